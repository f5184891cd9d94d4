"""The ladder's lower rungs: radiocarbon and stocks as others would take them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_rootc.data.atmosphere import Atmosphere
from bayes_rootc.models.bulk_input import layer_stocks
from bayes_rootc.models.radiocarbon import delta14c
from bayes_rootc.settings import RunSettings
from bayes_rootc.steps.bulk_input import BulkInput
from bayes_rootc.steps.ladder import MIN_DRAWS, ONE_POOL, definitions, ladder_table, rungs, uncorrected


def test_stocks_as_they_are_are_measured_or_those_of_the_grid():
    rng = np.random.default_rng(1)
    truth = rng.lognormal(3, 0.3, 80)
    layers = pd.DataFrame({"top": 0.0, "bottom": 20.0, "biome": 3, "stock_measured": truth, "stock_gridded": 2 * truth})
    layers = layers.assign(stock_measured_log_sd=0.1, stock_metre=np.nan)
    layers.loc[40:, "stock_measured"] = np.nan
    found = uncorrected(layers)
    np.testing.assert_allclose(found[:40], truth[:40])
    np.testing.assert_allclose(found[40:], 2 * truth[40:])  # and not half of it, as measured layers ask for


def world(spread: float = 0.3) -> tuple[SimpleNamespace, BulkInput, np.ndarray]:
    """Topsoils of one pool each, whose rates and stocks are known, sampled in 2005; old enough to have but one age."""
    rng = np.random.default_rng(3)
    count = 60
    k = np.exp(np.log(1 / 800) + spread * rng.standard_normal(count))
    stock = rng.lognormal(3, 0.2, count)
    layers = pd.DataFrame({"top": 0.0, "bottom": 20.0, "biome": 3, "profile_index": np.arange(count), "year": 2005.0})
    layers = layers.assign(zone="NHZone1", sigma=2.0, stock_measured=stock, stock_measured_log_sd=0.1)
    layers = layers.assign(stock_gridded=stock, stock_metre=np.nan)
    layers["delta14c"] = delta14c(k, 2005.0, "NHZone1", prehistory="intcal20")
    stocks, sources = layer_stocks(layers)
    draws = np.repeat(stock[:, None], 50, axis=1)
    measured = np.full((count, 7, 50), np.nan)
    measured[:, 0] = draws * k[:, None]
    found = xr.Dataset({"stock": (("layer", "draw"), draws), "measured": (("profile", "depth", "draw"), measured)})
    inputs = SimpleNamespace(layers=layers, atmosphere=Atmosphere.packaged())
    return inputs, BulkInput(found, stocks, sources), measured


def test_each_definition_is_put_on_the_runs_mean_profile():
    inputs, bulk_input, measured = world()
    ibulk = np.zeros((7, 50))
    ibulk[0] = 2 * measured[:, 0].mean(axis=0)  # the mean profile has more than those that were measured
    root, settings = np.ones((7, 50)), RunSettings(model_sd=2.0)
    found = {r.name: r for r in definitions(root, ibulk, inputs, bulk_input, np.arange(50), settings)}
    assert [*found][0::4] == ["paper's definition", "one pool"]
    assert all((rung.ibulk[1:] == 0).all() for rung in found.values())  # no layer below 20 cm was measured
    np.testing.assert_array_equal(found["one pool"].ibulk, ibulk)
    alone = found["each layer alone, IntCal20"].ibulk[0] / ibulk[0]
    assert np.median(alone) == pytest.approx(1, abs=0.05)  # the truth, as k of 60 layers is known to some 5 % each
    older = found["each layer alone, with errors"].ibulk[0] / ibulk[0]
    assert 1.05 < np.median(older / alone) < 1.35  # carbon is too young in the air of 1950
    assert np.median(found["paper's definition"].ibulk[0] / ibulk[0]) == pytest.approx(np.median(older), rel=0.05)


def test_wider_priors_are_a_rung_where_enough_draws_are_left():
    rng, count = np.random.default_rng(5), 200
    times = (0, 1, 10, 30, 100, 300)
    staying = rng.lognormal(0, 0.3, (len(times), 7, count))
    families, root = {"log-normal": staying, "two pools": staying}, np.full((7, count), 10.0)
    even, one = np.full(count, 1 / count), np.eye(count)[3]
    wider = {"log-normal": even * (staying[0, 0] > 1) / (even * (staying[0, 0] > 1)).sum(), "two pools": one}
    inputs, bulk_input, _ = world()
    found = {r.name: r for r in rungs(root, families, wider, inputs, bulk_input, np.arange(count), RunSettings())}
    names = [name for name in found if "wider" in name]
    assert names == ["log-normal rates; wider priors", "log-normal rates, > 100 yr; wider priors"]
    assert 1 / (wider["log-normal"] ** 2).sum() > MIN_DRAWS and ONE_POOL not in found
    taken = found[names[0]].ibulk
    assert (taken[0] > 1).all()  # draws without weight are gone, and all quantities of a draw stay together
    assert set(map(tuple, taken.T)) <= set(map(tuple, staying[0].T))
    table = ladder_table(found.values()).set_index("what")
    assert table.loc[names[0], "compared_with"] == "log-normal rates" and table.loc[names[0], "change"] < 0
