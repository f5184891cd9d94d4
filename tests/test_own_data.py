"""Data of another user's shape: a dozen sites, three covariates, no satellite production and no gridded stock."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.cli import main

SITES = 12
RASTERS = ("bio1", "bio12", "clay", "wwf_biome")


@pytest.fixture(scope="module")
def folder(demo_world, tmp_path_factory) -> Path:
    """The first dozen of everything of the demo world."""
    out = tmp_path_factory.mktemp("own")
    for part in ("covariates", "israd", "npp", "roots"):
        (out / part).mkdir()
    source = demo_world.folder
    entries = (source / "covariates" / "manifest.toml").read_text(encoding="utf-8").split("[[raster]]")[1:]
    kept = [e for e in entries if re.search(r'name = "(\w+)"', e)[1] in RASTERS]
    (out / "covariates" / "manifest.toml").write_text("".join("[[raster]]" + e for e in kept), encoding="utf-8")
    for name in RASTERS:
        shutil.copy(source / "covariates" / f"{name}.tif", out / "covariates")
    (israd,) = (source / "israd").glob("*.csv*")
    layers = pd.read_csv(israd, low_memory=False)
    profiles = layers["pro_name"].drop_duplicates().iloc[::20][:SITES]
    few = layers[layers["pro_name"].isin(profiles)].drop(columns=[c for c in layers if c.endswith("_SG")])
    few.to_csv(out / "israd" / "ISRaD_extra_flat_layer_own.csv", index=False)
    pd.read_csv(source / "npp" / "npp_peng2023.csv").iloc[:SITES].to_csv(out / "npp" / "npp_peng2023.csv", index=False)
    srdb = pd.read_csv(source / "npp" / "srdb-data.csv")
    srdb[srdb["Site_name"].isin(srdb["Site_name"].unique()[:SITES])].to_csv(out / "npp" / "srdb-data.csv", index=False)
    roots = pd.read_csv(source / "roots" / "root_profiles_D50D95.csv")
    roots.iloc[:: len(roots) // SITES].to_csv(out / "roots" / "root_profiles_D50D95.csv", index=False)
    return out


def test_a_dozen_sites_go_through_without_a_change(folder, tmp_path, capsys):
    assert main(["check", "--data", str(folder)]) == 0
    assert main(["run", "--data", str(folder), "--out", str(tmp_path), "--quick"]) == 0, capsys.readouterr().err
    estimates = pd.read_csv(tmp_path / "tables" / "iloss_estimates.csv")
    assert set(estimates["estimate"]) == {1, 3, 5}  # no satellite production: 2, 4 and 6 have no site
    assert np.isfinite(estimates[["iroot_mean", "ibulk_mean", "iloss_p025", "iloss_p975"]]).all(axis=None)
    layers = pd.read_csv(tmp_path / "tables" / "layers.csv")
    assert layers["age_median"].between(1, 60_000).all()
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    figures = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert {"sites", "loss", "loss_map", "inputs", "ages", "turnover"} <= figures and "satellite" not in figures
    assert report.count("<img") == len(figures)
    assert (tmp_path / "maps" / "iloss_0-200_mean.tif").exists()
