"""I_bulk of measured layers by hand (eq. 6)."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.data.mapping_units import SOIL_MAP_STOCKS
from bayes_rootc.models.radiocarbon import invert
from bayes_rootc.settings import RunSettings
from bayes_rootc.steps.bulk_input import infer_bulk_input
from bayes_rootc.steps.turnover import LayerTurnover

AGE = np.array([400.0, 1000.0, 2000.0])


def made_up_layers() -> pd.DataFrame:
    """A profile of 0-10, 10-20 and 20-40 cm, the last without a measured stock but with a gridded one."""
    return pd.DataFrame({
        "id": ["a", "b", "c"], "lat": 50.0, "lon": 10.0, "biome": 3, "year": 2000.0, "zone": "NHZone1", "sigma": 5.0,
        "delta14c": [-30.0, -100.0, -190.0], "top": [0.0, 10.0, 20.0], "bottom": [10.0, 20.0, 40.0],
        "profile": "p", "profile_index": 0, "stock_measured": [40.0, 20.0, np.nan],
        "stock_measured_log_sd": [0.2, 0.2, np.nan], "stock_gridded": [np.nan, np.nan, 30.0], "stock_metre": 100.0,
    })  # fmt: skip


@pytest.mark.parametrize(("map_stock", "source"), [(30.0, "soil map"), (np.nan, "gridded profile")])
def test_i_bulk_is_the_stock_over_the_age(tmp_path, map_stock, source):
    """40 / 400 = 0.1, 20 / 1000 = 0.02 and 30 / 2000 = 0.015 Mg C ha⁻¹ yr⁻¹: 0.12 in 0-20 and 0.015 in 20-40 cm.

    The last is of the soil map; where the covariates have none, of the gridded profile.
    """
    settings = RunSettings(preset="paper", data=tmp_path, out=tmp_path, members=20)
    log_k = np.repeat(-np.log(AGE)[:, None], 20, axis=1)
    layers = made_up_layers()
    layers[SOIL_MAP_STOCKS] = map_stock
    layers["stock_gridded"] = [np.nan, np.nan, 30.0 if np.isnan(map_stock) else 99.0]
    posterior = invert(layers["delta14c"], layers["sigma"], layers["year"], layers["zone"].to_numpy(str), model_sd=20.0)
    summary = posterior.drop_dims("log_k").assign(model_sd=("layer", np.full(3, 20.0)))
    found = infer_bulk_input(
        SimpleNamespace(layers=layers), LayerTurnover(summary.assign(log_k=(("layer", "draw"), log_k))), None, settings
    )
    written = pd.read_csv(tmp_path / "tables" / "layers.csv")
    assert written["stock_source"].tolist() == ["measured", "measured", source]
    for column in ("ibulk_mean", "ibulk_median", "ibulk_p025", "ibulk_p975"):  # one k and one stock: no error
        assert written[column].tolist() == pytest.approx([0.1, 0.02, 0.015])
    np.testing.assert_allclose(found.density[:, 0], [0.01, 0.002, 0.00075])
    np.testing.assert_allclose(found.draws["measured"].values[0, :2, 0], [0.12, 0.015])
    assert (np.ptp(found.density, axis=1) == 0).all()
    assert np.isnan(found.draws["measured"].values[0, 2:]).all()
