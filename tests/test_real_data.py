"""The whole system on the real inputs, where there are any."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.cli import main


def table(folder, name) -> pd.DataFrame:
    return pd.read_csv(folder / "tables" / f"{name}.csv")


@pytest.mark.real_data
def test_check_on_the_real_data(real_data, capsys):
    assert main(["check", "--data", str(real_data)]) == 0
    printed = capsys.readouterr().out
    assert "radiocarbon layers (ISRaD)" in printed and "30,219 read" in printed
    assert "dropped: peatland" in printed


@pytest.mark.slow
@pytest.mark.whole_run
@pytest.mark.real_data
def test_quick_run_on_the_real_data(real_data, tmp_path):
    (tmp_path / "few.toml").write_text("chains = 2\n")
    assert main(["run", str(tmp_path / "few.toml"), "--data", str(real_data), "--out", str(tmp_path), "--quick"]) == 0
    layers = table(tmp_path, "layers")
    assert len(layers) > 4000
    deep = (layers["top"] + layers["bottom"]) / 2 > 100
    assert layers.loc[deep, "age_median"].median() > 3 * layers.loc[~deep, "age_median"].median()
    assert (layers[["k_p025", "age_p025"]] > 0).all(axis=None)
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "SIMULATED" not in report
    profiles = table(tmp_path, "ibulk_profiles")
    measured, own = (profiles[profiles["source"] == s] for s in ("measured layers", "posterior of the profile"))
    width = [np.log(t["ibulk_p975"] / t["ibulk_p025"]).median() for t in (measured, own)]
    assert 0 < width[0] < width[1]  # what was not measured is less certain
