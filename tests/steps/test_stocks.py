"""Stocks of a run: fitted, kept in a file, and used for layers that have none of their own."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.constants import LAYERS
from bayes_rootc.data.israd import GRIDDED_STOCKS
from bayes_rootc.models.bulk_input import standard_layers
from bayes_rootc.settings import RunSettings
from bayes_rootc.steps.stocks import draw_stocks, fit_stocks, read_stocks, stock_table

PROFILES = 30


def inputs(measured: int = 2 * PROFILES) -> SimpleNamespace:
    """Profiles of 0-20, 20-40 and 40-60 cm whose map is twice as high as what was measured, here not in 40-60 cm."""
    rng = np.random.default_rng(7)
    profile = np.repeat(np.arange(PROFILES), 3)
    top = np.tile([0.0, 20.0, 40.0], PROFILES)
    level = np.exp(0.5 * rng.standard_normal(PROFILES))[profile]
    truth = 40 * np.exp(-top / 40) * level * np.exp(0.1 * rng.standard_normal(3 * PROFILES))
    layers = pd.DataFrame({"study": (profile // 3).astype(str), "site": "s", "profile": profile.astype(str)})
    layers = layers.assign(profile_index=profile, lat=50.0, lon=10.0, biome=3, top=top, bottom=top + 20.0)
    known = (top < 40) & (np.arange(len(layers)) < 1.5 * measured)
    layers["stock_measured"] = np.where(known, truth, np.nan)
    layers["stock_measured_log_sd"], layers["coarse"], layers["coarse_gridded"] = 0.1, 0.0, 10.0
    layers["stock_gridded"], layers["truth"] = 2 * truth, truth
    middle = np.mean(LAYERS, axis=1)
    for name, depth, (upper, lower) in zip(GRIDDED_STOCKS, middle, LAYERS, strict=True):
        layers[name] = 80 * np.exp(-(depth - 10) / 40) * level * (lower - upper) / 20
    no_rasters = SimpleNamespace(role=lambda role: [], features=[], rasters={})
    return SimpleNamespace(layers=layers, covariates=no_rasters)


@pytest.mark.compiled
def test_stocks_of_a_run_are_fitted_kept_and_used(tmp_path):
    settings = RunSettings(out=tmp_path, members=60, quick=True, chains=2)
    data = inputs()
    fit_stocks(data, settings)
    stocks = read_stocks(settings)
    drawn, standard = draw_stocks(stocks, data, settings.members)
    assert drawn.shape == (len(data.layers), 60) and standard.shape == (7 * PROFILES, 60)
    unlike = np.log(drawn[2::3] / standard[2::7])  # 40-60 cm, which was not measured: apart from the layer's own error
    assert unlike.std() < 0.7 * np.log(drawn[2::3]).std()
    ratio = drawn.mean(axis=1) / data.layers["truth"]
    known = data.layers["stock_measured"].notna()
    assert ratio[known].between(0.8, 1.25).all()  # errors of 0.1
    assert ratio[~known].mean() == pytest.approx(1, abs=0.3)  # and not 2, as the map
    assert stock_table(data, standard_layers(data.layers))["gridded profile"].notna().all()
    diagnostics = pd.read_csv(tmp_path / "tables" / "diagnostics.csv")
    assert diagnostics["fit"].tolist() == ["stocks"]


@pytest.mark.parametrize("change", [{"gridded_stocks": "soil_map"}, {}])
def test_without_a_model_or_enough_stocks_there_is_no_fit_and_none_is_left(tmp_path, change):
    path = tmp_path / "posterior" / "stocks.nc"
    path.parent.mkdir()
    path.touch()
    settings = RunSettings(out=tmp_path, members=60, **change)
    fit_stocks(inputs(measured=20 if settings.gridded_stocks == "model" else 2 * PROFILES), settings)
    assert not path.exists() and read_stocks(settings) is None
