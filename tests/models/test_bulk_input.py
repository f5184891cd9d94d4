"""Layer stocks and their errors, and the harmonisation to the seven layers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.constants import LAYERS
from bayes_rootc.data.mapping_units import SOIL_MAP_STOCKS
from bayes_rootc.models.bulk_input import (
    GRIDDED_LOG_SD,
    TOP_SHARE,
    harmonise,
    layer_stocks,
    metre_share,
    standard_layers,
    stock_draws,
)


def table(n, **columns):
    default = {
        "stock_measured": np.nan,
        "stock_measured_log_sd": 0.2,
        "stock_gridded": np.nan,
        "stock_metre": np.nan,
        "top": 0.0,
        "bottom": 20.0,
        "biome": 3,
    }
    return pd.DataFrame({name: np.broadcast_to(columns.get(name, value), n) for name, value in default.items()})


@pytest.mark.parametrize("biome", [1, 2, 5])
def test_metre_share_has_the_published_top_and_is_one_at_a_metre(biome):
    depth = np.array([0.0, 20.0, 100.0, 200.0])
    share = metre_share(depth, np.full(4, biome))
    assert share[:3] == pytest.approx([0, TOP_SHARE[biome], 1], abs=1e-9)
    assert share[3] == pytest.approx(1 + 491 / 1502)


def test_measured_first_then_gridded_profile_then_gridded_metre():
    layers = table(
        3, stock_measured=[40.0, np.nan, np.nan], stock_gridded=[10.0, 30.0, np.nan], stock_metre=[90.0, 90.0, 100.0]
    )
    stocks, _ = layer_stocks(layers)
    assert stocks["stock_source"].tolist() == ["measured", "gridded profile", "gridded metre"]
    assert stocks["stock"].tolist() == pytest.approx([40.0, 30.0, 100 * TOP_SHARE[3]])
    assert stocks["stock_log_sd"].tolist() == pytest.approx([0.2, GRIDDED_LOG_SD, GRIDDED_LOG_SD])


def test_the_soil_map_gives_each_layer_its_part_of_the_seven_layers_as_they_are():
    """10-30 cm: half of 0-20 (60) and half of 20-40 (40) is 50; 90-125: half of 80-100 (10) and of 100-150 (20)."""
    rows = table(5, stock_measured=[70.0, *[np.nan] * 4], stock_gridded=99.0, stock_metre=99.0)
    rows["top"], rows["bottom"] = [0.0, 10, 90, 0, 160], [20.0, 30, 125, 20, 200]
    rows[SOIL_MAP_STOCKS] = [60.0, 40, 30, 20, 10, 20, np.nan]
    stocks, sources = layer_stocks(rows, gridded="soil_map")
    assert stocks["stock_source"].tolist() == ["measured", *["soil map"] * 3, "none"]
    assert stocks["stock"].tolist()[:4] == pytest.approx([70, 50, 15, 60])
    assert np.isnan(stocks["stock"].iloc[4])
    assert {s.name: s.layers for s in sources} == {"gridded profile": 0, "gridded metre": 0, "soil map": 3}


def test_the_bias_of_the_soil_map_is_reported_and_stays():
    rng, n = np.random.default_rng(6), 400
    rows = table(n, stock_measured=np.where(np.arange(n) % 2, 20 * rng.lognormal(0, 0.5, n), np.nan))
    rows[SOIL_MAP_STOCKS] = 40.0
    stocks, (*_, source) = layer_stocks(rows, gridded="soil_map")
    assert (stocks["stock"][::2] == 40).all()
    assert source.log_bias == pytest.approx(-np.log(2), abs=4 * 1.2533 * 0.5 / np.sqrt(200))


def test_bias_and_error_of_the_gridded_stock_are_recovered_from_measured_layers():
    rng, n = np.random.default_rng(5), 4000
    truth = rng.lognormal(3, 1, n)
    gridded = truth * np.exp(0.4 + 0.6 * rng.standard_normal(n))
    measured = np.where(np.arange(n) % 2, truth, np.nan)
    stocks, sources = layer_stocks(table(n, stock_measured=measured, stock_gridded=gridded))
    # median of 2,000 normals: sd 1.2533 * 0.6 / sqrt(2000); scaled MAD: 1.17 * 0.6 / sqrt(2000)
    assert sources[0].log_bias == pytest.approx(-0.4, abs=4 * 0.017)
    assert sources[0].log_sd == pytest.approx(0.6, abs=4 * 0.016)
    unmeasured = np.isnan(measured)
    assert np.median(np.log(stocks["stock"][unmeasured] / truth[unmeasured])) == pytest.approx(0, abs=0.12)


def test_no_source_gives_no_stock():
    stocks, _ = layer_stocks(table(1))
    assert np.isnan(stocks["stock"].iloc[0]) and stocks["stock_source"].iloc[0] == "none"


def test_layers_of_a_gridded_profile_err_together_and_measured_ones_alone():
    stocks = pd.DataFrame(
        {
            "stock": 10.0,
            "stock_log_sd": 0.5,
            "stock_source": ["measured", "measured", "gridded profile", "gridded profile"],
        }
    )
    rng = np.random.default_rng(1)
    draws = np.log(stock_draws(stocks, np.array([0, 0, 1, 1]), rng.standard_normal((2, 4000)), rng))
    correlation = np.corrcoef(draws)
    assert abs(correlation[0, 1]) < 4 / np.sqrt(4000)
    assert correlation[2, 3] == pytest.approx(1)
    assert draws.std(axis=1) == pytest.approx(0.5, rel=4 / np.sqrt(8000))


def test_harmonising_standard_layers_is_the_identity():
    top, bottom = np.array(LAYERS, float).T
    density = np.random.default_rng(2).lognormal(size=(7, 5))
    got = harmonise(top, bottom, np.zeros(7, int), density, 1)
    np.testing.assert_allclose(got[0], density * (bottom - top)[:, None])


def test_harmonising_conserves_what_whole_layers_hold():
    """Layers of other bounds that fill 0-200 cm: the total is kept."""
    bounds = np.array([0, 5, 18, 33, 61, 77, 104, 160, 200], float)
    density = np.random.default_rng(4).lognormal(size=(8, 3))
    got = harmonise(bounds[:-1], bounds[1:], np.zeros(8, int), density, 1)
    np.testing.assert_allclose(got[0].sum(axis=0), (density * np.diff(bounds)[:, None]).sum(axis=0))


def test_a_layer_that_is_mostly_unmeasured_stays_empty_and_replicates_do_not_count_twice():
    # 0-8 cm measured twice covers 8 of 20 cm; 20-38 covers 18 of 20
    got = harmonise(np.array([0.0, 0.0, 20.0]), np.array([8.0, 8.0, 38.0]), np.zeros(3, int), np.ones((3, 1)), 2)
    assert np.isnan(got[0, 0, 0]) and got[0, 1, 0] == pytest.approx(20.0)
    assert np.isnan(got[1]).all()


def test_standard_layers_take_the_stock_of_what_covers_them():
    layers = table(3, stock_measured=[30.0, 20.0, np.nan], top=[0.0, 10.0, 0.0], bottom=[10.0, 40.0, 15.0])
    layers["profile_index"], layers["profile"] = [0, 0, 1], ["a", "a", "b"]
    standard = standard_layers(layers)
    assert standard["profile"].tolist() == ["a"] * 7 + ["b"] * 7
    assert standard["bottom"].tolist() == [b for _, b in LAYERS] * 2
    # 0-20: 10 cm at 3 and 10 cm at 2/3 a cm; 20-40 at 2/3 a cm; deeper is not covered, nor is b measured
    assert standard["stock_measured"].tolist()[:2] == pytest.approx([30 + 20 / 3, 40 / 3])
    assert standard["stock_measured"].iloc[2:].isna().all()
    assert standard["stock_measured_log_sd"].tolist()[:2] == pytest.approx([0.2, 0.2])


def test_what_gridded_stocks_are_worth_can_be_known_beforehand():
    from bayes_rootc.models.bulk_input import StockSource

    known = [StockSource("gridded metre", 9, 99, 0.5, 0.3)]
    stocks, _ = layer_stocks(table(1, stock_metre=100.0), known)
    assert stocks["stock"].item() == pytest.approx(100 * TOP_SHARE[3] * np.exp(0.5))
    assert stocks["stock_log_sd"].item() == pytest.approx(0.3)
