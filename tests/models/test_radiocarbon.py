"""The forward model against closed forms; the inversion against simulated truth and its own definition."""

from __future__ import annotations

import datetime
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.integrate import solve_ivp

from bayes_rootc.constants import GAMMA
from bayes_rootc.data.atmosphere import ATMOSPHERE_ZONES, Atmosphere, Curve
from bayes_rootc.errors import InputError, InputWarning
from bayes_rootc.models import radiocarbon
from bayes_rootc.models.radiocarbon import (
    GRID_SIZE,
    K_RANGE,
    LogNormalPrior,
    delta14c,
    grid_quantile,
    invert,
    unexplained,
)

K = np.geomspace(*K_RANGE, 60)
HISTORY = {side: Curve(np.array([-50_000.0, 1950.0]), np.full(2, 40.0), np.zeros(2)) for side in ("north", "south")}
"""The same air for 52,000 years."""


def atmosphere(years, values, sd=0.0) -> Atmosphere:
    """One curve for every zone; it starts in 1950."""
    curve = Curve(np.array(years, float), np.array(values, float), np.full(len(years), sd))
    return Atmosphere({zone: curve for zone in ATMOSPHERE_ZONES}, HISTORY)


def steady(k, delta):
    return k / (k + GAMMA) * (delta / 1000 + 1)


def test_constant_atmosphere_keeps_the_steady_state():
    air = atmosphere([1950, 1980, 2020], [40.0, 40.0, 40.0])
    got = delta14c(K[:, None], np.array([1950.0, 1963.2, 2019.9]), "NHZone1", "steady", atmosphere=air)
    want = np.broadcast_to(((steady(K, 40.0) - 1) * 1000)[:, None], got.shape)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)


def test_ramp_matches_the_closed_form():
    slope, start = 2.5, -20.0
    air = atmosphere([1950, 1975, 2020], [start, start + 25 * slope, start + 70 * slope])
    for year in (1950.5, 1974.999, 1975.0, 2020.0):
        t, rate = year - 1950, K + GAMMA
        a0, s = start / 1000 + 1, slope / 1000
        # A' = k (a0 + s t) - rate A: a line plus a decaying transient
        line = K * (a0 / rate - s / rate**2) + K * s / rate * t
        transient = (steady(K, start) - K * (a0 / rate - s / rate**2)) * np.exp(-rate * t)
        np.testing.assert_allclose(
            delta14c(K, year, "SHZone3", "steady", atmosphere=air), (line + transient - 1) * 1000, rtol=0, atol=1e-9
        )


def test_step_matches_the_closed_form():
    air = atmosphere([1950, 1960, 1960, 2020], [0.0, 0.0, 700.0, 700.0])
    year = 1983.7
    before, after = steady(K, 0.0), steady(K, 700.0)
    want = after + (before - after) * np.exp(-(K + GAMMA) * (year - 1960))
    np.testing.assert_allclose(
        delta14c(K, year, "NHZone2", "steady", atmosphere=air), (want - 1) * 1000, rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("prehistory", ["steady", "intcal20"])
def test_bomb_curve_matches_an_ode_solver(prehistory):
    air = Atmosphere.packaged()
    curve = air.bomb("NHZone3")
    start = delta14c(K[[15, 38, 50]], 1950.0, "NHZone3", prehistory, atmosphere=air)
    for k, delta0 in zip(K[[15, 38, 50]], start, strict=True):
        solution = solve_ivp(
            lambda t, a, k=k: k * (curve.at(t) / 1000 + 1) - (k + GAMMA) * a,
            (1950, 2010),
            [delta0 / 1000 + 1],
            rtol=1e-10,
            atol=1e-12,
            max_step=0.5,
        )
        assert delta14c(k, 2010.0, "NHZone3", prehistory) == pytest.approx(
            (solution.y[0, -1] - 1) * 1000,
            abs=1e-3,  # the solver steps over the kinks at the nodes; we do not
        )


@pytest.mark.parametrize("prehistory", ["steady", "intcal20"])
def test_before_1950_a_constant_air_keeps_the_steady_state(prehistory):
    air = atmosphere([1950, 2020], [40.0, 40.0])
    got = delta14c(K[:, None], np.array([1820.0, 1903.4, 1949.9, 1950.0]), "SHZone3", prehistory, atmosphere=air)
    np.testing.assert_allclose(got, np.tile(((steady(K, 40.0) - 1) * 1000)[:, None], 4), rtol=0, atol=1e-9)


def test_before_1950_the_history_is_followed_and_nothing_jumps_in_1950():
    k, years = np.array([1.0, 1 / 30, 1 / 1000]), np.array([1850.0, 1900.0, 1949.0, 1950.0, 1951.0])
    got = delta14c(k[:, None], years, "NHZone1", "intcal20")
    history = Atmosphere.packaged().history("NHZone1")
    assert np.abs(got[0, :3] - history.at(years[:3] - 1.0)).max() < 0.5  # a year behind
    assert np.abs(np.diff(got[:, 2:])).max() < 2.5  # the two curves differ by 1.8 in 1950
    steady_in = {year: delta14c(k, year, "NHZone1", "steady") for year in (1850.0, 1950.0)}
    assert (steady_in[1850.0] == steady_in[1950.0]).all()  # its air did not change


def test_nodes_on_a_straight_line_change_nothing():
    coarse = atmosphere([1950, 2020], [0.0, 350.0])
    fine = atmosphere(np.linspace(1950, 2020, 841), np.linspace(0.0, 350.0, 841))
    difference = delta14c(K, 2011.3, "NHZone1", atmosphere=coarse) - delta14c(K, 2011.3, "NHZone1", atmosphere=fine)
    np.testing.assert_allclose(difference, 0, atol=1e-9)


def test_limits_fast_pools_follow_the_air_and_slow_ones_are_dead():
    assert delta14c(1e-6, 1990.0, "NHZone1") < -990
    fast = delta14c(2.0, 2005.0, "NHZone1")
    assert abs(fast - Atmosphere.packaged().bomb("NHZone1").at(2004.5)) < 3  # half a year behind


def test_broadcasts_and_leaves_the_global_precision_alone():
    import jax

    before = jax.config.jax_enable_x64
    values = delta14c(np.full((3, 1), 0.01), [1990.0, 2000.0], np.array(["NHZone1", "SHZone1-2"]))
    assert values.shape == (3, 2) and values.dtype == np.float64
    assert jax.config.jax_enable_x64 == before
    assert delta14c(0.01, 1990.0, "NHZone1").shape == ()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((0.0, 2000.0, "NHZone1"), "> 0"),
        ((np.nan, 2000.0, "NHZone1"), "finite"),
        ((0.1, 1799.0, "NHZone1"), "1800"),
        ((0.1, 2000.0, "Mars"), "not an atmospheric zone"),
        ((0.1, 2000.0, "NHZone1", "ice"), "not a prehistory"),
    ],
)
def test_bad_arguments_are_named(arguments, says):
    with pytest.raises(InputError, match=says):
        delta14c(*arguments)


def test_known_old_values_have_the_right_ages():
    """-50 ‰ in 2005 and -200 ‰ in 1998, which a pool started at +1 ‰ gets wrong by an order of magnitude."""
    posterior = invert([-50.0, -200.0], 5.0, [2005.5, 1998.5], "NHZone1", prehistory="intcal20")
    np.testing.assert_allclose(posterior["age_median"], [600, 2200], rtol=0.05)


def test_posterior_is_prior_times_likelihood():
    prior = LogNormalPrior(300.0, 1.5)
    posterior = invert([80.0], 8.0, 2003.5, "NHZone2", prior, model_sd=6.0)
    log_k = posterior["log_k"].values
    sd2 = 8.0**2 + 6.0**2 + float(Atmosphere.packaged().bomb("NHZone2").sd_at(2003.5)) ** 2
    exponent = -0.5 * (80.0 - delta14c(np.exp(log_k), 2003.5, "NHZone2")) ** 2 / sd2
    exponent -= 0.5 * ((log_k + np.log(300.0)) / 1.5) ** 2
    want = np.exp(exponent - exponent.max())
    want /= want.sum() * (log_k[1] - log_k[0])
    np.testing.assert_allclose(posterior["density"].values[0], want, rtol=1e-6, atol=1e-12)
    normaliser = -0.5 * np.log(2 * np.pi * sd2) - np.log(1.5 * np.sqrt(2 * np.pi))
    evidence = np.log(np.exp(exponent).sum() * (log_k[1] - log_k[0])) + normaliser
    assert float(posterior["log_marginal"][0]) == pytest.approx(evidence, abs=1e-9)


def test_a_bomb_value_has_two_modes_and_their_probabilities_sum_to_one():
    observed = float(delta14c(1 / 90, 2008.0, "NHZone1"))
    posterior = invert([observed], 3.0, 2008.0, "NHZone1")
    assert int(posterior["n_modes"][0]) == 2
    assert float(posterior["mode_probability"][0].sum()) == pytest.approx(1, abs=0.01)
    at_modes = delta14c(posterior["mode_k"].values[0, :2], 2008.0, "NHZone1")
    np.testing.assert_allclose(
        at_modes, observed, atol=6
    )  # both reproduce the measurement, within the pull of the prior


def test_impossible_value_is_flagged_and_only_that():
    posterior = invert([900.0, 50.0], 5.0, 1995.5, "NHZone1")
    assert posterior["unexplained"].values.tolist() == [True, False]


def test_quantiles_agree_with_draws_and_with_a_finer_grid():
    arguments = ([-150.0, 60.0, 180.0], 10.0, [1998.5, 2012.5, 1985.5], "NHZone2")
    posterior = invert(*arguments)
    fine = invert(*arguments, grid_size=8 * GRID_SIZE)
    for name in ("k_median", "k_p025", "k_p975", "k_mean"):
        np.testing.assert_allclose(posterior[name], fine[name], rtol=0.02)
    rng = np.random.default_rng(3)
    draws = grid_quantile(posterior["density"].values, posterior["log_k"].values, rng.uniform(size=(20_000, 3)))
    below = (draws < np.log(posterior["k_median"].values)[:, None]).mean(axis=1)
    np.testing.assert_allclose(below, 0.5, atol=4 * 0.5 / np.sqrt(20_000))


def test_simulation_based_calibration():
    """Ranks of true k among posterior draws are uniform when k comes from the prior (Talts et al. 2018)."""
    rng, n, draws = np.random.default_rng(11), 2000, 99
    log_k = np.clip(rng.normal(-np.log(400.0), 2.0, n), *np.log(K_RANGE))
    year = rng.uniform(1960, 2020, n)
    zone = rng.choice(ATMOSPHERE_ZONES, n)
    air = atmosphere(np.r_[1950:2022], 300 * np.exp(-np.abs(np.r_[1950:2022] - 1964) / 14))
    observed = delta14c(np.exp(log_k), year, zone, atmosphere=air) + rng.normal(0, 20.0, n)
    posterior = invert(observed, 20.0, year, zone, atmosphere=air)
    sample = grid_quantile(posterior["density"].values, posterior["log_k"].values, rng.uniform(size=(draws, n)))
    rank = (sample < log_k[:, None]).sum(axis=1)
    counts = np.bincount(rank // 10, minlength=10)
    chi2 = ((counts - n / 10) ** 2 / (n / 10)).sum()
    assert chi2 < 27.9  # 99.9 % of chi-squared with 9 degrees of freedom


@pytest.fixture
def mine() -> pd.DataFrame:
    """A user's table, in an order of its own."""
    return pd.DataFrame(
        {
            "delta14c": [85.0, -210.0, 20.0],
            "sigma": [4.0, 6.0, 5.0],
            "year": [2008.5, 1998.5, 2015.0],
            "zone": "NHZone1",
        },
        index=["c", "a", "b"],
    )


def test_results_have_the_index_of_the_series(mine):
    found = invert(mine["delta14c"], mine["sigma"], mine["year"], "NHZone1")
    joined = mine.join(found[["age_median"]].to_dataframe())
    np.testing.assert_array_equal(joined["age_median"], found["age_median"])
    by_site = mine.set_index(pd.MultiIndex.from_tuples([("x", 1), ("x", 2), ("y", 1)], names=["site", "layer_number"]))
    joined = by_site.join(invert(by_site)[["age_median"]].to_dataframe())
    np.testing.assert_array_equal(joined["age_median"], found["age_median"])
    with pytest.raises(InputError, match="a level of the index is called layer, as a dimension of the result"):
        invert(by_site.rename_axis(["site", "layer"]))


def test_results_of_plain_values_are_numbered(mine):
    found = invert(mine["delta14c"].to_numpy(), 5.0, 2010.0, "NHZone1")
    assert found["layer"].values.tolist() == [0, 1, 2]
    assert invert(85.0, 4.0, 2008.5, "NHZone1")["layer"].values.tolist() == [0]


def test_a_table_says_what_its_columns_say(mine):
    want = invert(mine["delta14c"], mine["sigma"], mine["year"], mine["zone"], model_sd=10.0)
    xr.testing.assert_identical(invert(mine, model_sd=10.0), want)
    placed = mine.drop(columns="zone").assign(lat=48.7, lon=9.2, depth="0-20")
    xr.testing.assert_identical(invert(placed, model_sd=10.0), want)
    xr.testing.assert_identical(invert(mine.drop(columns="sigma"), mine["sigma"], model_sd=10.0), want)
    xr.testing.assert_identical(invert(mine.drop(columns="sigma")), invert(mine, 5.0))
    xr.testing.assert_identical(invert(mine.assign(sigma=[5.0, np.nan, 5.0])), invert(mine, 5.0))


def many(n: int) -> tuple:
    """Layers of three zones in no order, and a prior of each; some have no value."""
    rng = np.random.default_rng(32)
    observed, year = rng.uniform(-400, 100, n), rng.uniform(1960, 2019, n)
    observed[::7] = np.nan
    return observed, 5.0, year, rng.choice(ATMOSPHERE_ZONES[:3], n), LogNormalPrior(rng.uniform(100, 500, n), 1.5)


def test_layers_some_at_a_time_are_layers_at_once(monkeypatch):
    at_once = invert(*many(50))
    monkeypatch.setattr(radiocarbon, "VALUES_AT_ONCE", 4 * GRID_SIZE)  # four layers
    xr.testing.assert_identical(invert(*many(50)), at_once)
    summary = invert(*many(50), density=False)
    xr.testing.assert_identical(summary, at_once.drop_vars(["density", "predicted", "log_k"]))
    assert set(at_once) - set(summary) == {"density", "predicted"}


def test_memory_of_a_summary_does_not_grow_with_layers_times_nodes(monkeypatch):
    monkeypatch.setattr(radiocarbon, "VALUES_AT_ONCE", 64 * GRID_SIZE)
    layers = many(3000)
    invert(*layers, density=False)
    tracemalloc.start()
    invert(*layers, density=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 64 * GRID_SIZE * 8 < 0.5 * 3000 * GRID_SIZE * 8  # some arrays of 64 layers on the grid


def test_no_layer_has_an_empty_result():
    found = invert([], 5.0, [], [])
    assert found["density"].shape == (0, GRID_SIZE) and found["age_median"].shape == (0,)


@pytest.mark.parametrize("table", [True, False])
def test_a_layer_without_a_value_has_no_result(mine, table):
    some = mine.assign(delta14c=[85.0, np.nan, 20.0], year=[2008.5, np.nan, 2015.0], lat=[48.7, np.nan, 48.7], lon=9.2)
    some, prior = some.drop(columns="zone"), LogNormalPrior([300.0, 400.0, 500.0], 1.5)
    columns = [some] if table else [some["delta14c"], some["sigma"], some["year"], "NHZone1"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = invert(*columns, prior=prior)
    known = invert(mine.iloc[[0, 2]], prior=LogNormalPrior([300.0, 500.0], 1.5))
    xr.testing.assert_identical(found.isel(layer=[0, 2]), known)
    empty = found.sel(layer="a")
    assert not empty["unexplained"] and empty["n_modes"] == 0 and (empty["mode_probability"] == 0).all()
    others = empty.drop_vars(["unexplained", "n_modes", "mode_probability", "log_k", "layer"])
    assert all(np.isnan(values).all() for values in others.data_vars.values())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"drop": ["year"]}, "the table has no column year; expected delta14c, year, zone, and optionally sigma"),
        ({"drop": ["delta14c", "zone"]}, r"the table has no column delta14c, zone \(or lat and lon\); expected"),
        ({"drop": ["zone"], "lat": 10.0}, r"the table has no column zone \(or lat and lon\)"),
        ({"drop": ["zone"], "lat": [10.0, np.nan, 3.0], "lon": 0.0}, "lat is nan; expected -90 to 90"),
        ({"drop": ["zone"], "lat": -122.3, "lon": 47.6}, "lat is -122.3; expected -90 to 90"),
        ({"delta14c": ["85", "?", "20"]}, "delta14c holds a value that is no number .*'\\?'"),
        ({"delta14c": [85.0, np.inf, 20.0]}, "Δ14C must be finite, or NaN where there is no value"),
        ({"delta14c": [85.0, -3500.0, 20.0]}, "Δ14C must be at least -1000 ‰, found -3500"),
        ({"year": pd.Timestamp("2005-07-01")}, "year holds dates or durations; expected numbers, as 2005.5"),
        ({"sigma": -4.0}, "standard deviation of Δ14C must be ≥ 0 ‰, found -4"),
        ({"zone": "moon"}, "`moon` is not an atmospheric zone"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(mine, change, says):
    table = mine.drop(columns=change.get("drop", [])).assign(**{k: v for k, v in change.items() if k != "drop"})
    with pytest.raises(InputError, match=says):
        invert(table)


def test_arguments_that_do_not_belong_together_are_refused(mine):
    moved = mine["year"].sort_index()
    with pytest.raises(InputError, match="year and delta14c have different indexes, so their layers cannot be matched"):
        invert(mine["delta14c"], 5.0, moved, "NHZone1")
    with pytest.raises(InputError, match="found 3 of delta14c, 2 of year; expected as many values of each, or one for"):
        invert(mine["delta14c"], 5.0, [2000.0, 2001.0], "NHZone1")
    with pytest.raises(InputError, match="found 2 of year for 1 layers; expected as many, or one for all"):
        invert(mine["delta14c"][:1], 5.0, [2000.0, 2001.0], "NHZone1")
    with pytest.raises(InputError, match="missing: year, zone; expected delta14c, year, zone, and optionally sigma"):
        invert(85.0, 4.0)
    with pytest.raises(InputError, match=r"delta14c has the shape \(2, 2\); expected one value a layer"):
        invert([[1.0, 2.0], [3.0, 4.0]], 5.0, 2000.0, "NHZone1")
    with pytest.raises(InputError, match="the table has the column year twice"):
        invert(pd.concat([mine, mine[["year"]]], axis=1))


@pytest.mark.parametrize("year", [np.datetime64("2005-07-01"), pd.Timestamp("2005-07-01"), datetime.date(2005, 7, 1)])
def test_a_date_is_no_decimal_year(year):
    for call in (lambda: delta14c(0.1, year, "NHZone1"), lambda: invert(60.0, 4.0, year, "NHZone1")):
        with pytest.raises(InputError, match=r"year holds dates .*numbers, as 2005.5 .*dayofyear"):
            call()


@pytest.mark.parametrize("year", [2060.0, 20055.0])
def test_a_year_after_the_curve_is_refused(year):
    for call in (lambda: delta14c(0.1, [2005.0, year], "NHZone1"), lambda: invert(-20.0, 4.0, year, "NHZone1")):
        with pytest.raises(InputError, match=f"sampling year {year:g} is after the end of the atmosphere's curve"):
            call()


def test_masked_values_are_missing():
    masked = np.ma.MaskedArray([60.0, -999.0], [False, True])
    assert invert(masked, 4.0, 2005.5, "NHZone1")["n_modes"].values.tolist()[1] == 0
    years = np.ma.MaskedArray([2005.5, 1.0], [False, True])
    with pytest.raises(InputError, match="sampling year"):
        delta14c(0.1, years, "NHZone1")


def test_a_code_for_a_missing_value_is_none():
    assert invert([60.0, -999.0], 4.0, 2005.5, "NHZone1")["n_modes"].values.tolist()[1] == 0


@pytest.mark.parametrize(("value", "sigma"), [(1.0605, 0.004), ([1.06, 0.96, 0.8], 5.0), ([1.06, 0.96, 0.8], None)])
def test_fractions_modern_are_refused(value, sigma):
    with pytest.raises(InputError, match=r"delta14c: values .* look like fractions modern"):
        invert(value, sigma, 2005.5, "NHZone1")


def test_what_may_be_percent_modern_is_a_warning_and_what_is_not_none():
    with pytest.warns(InputWarning, match="look like percent modern"):
        invert([106.05, 95.98], 0.4, 2005.5, "NHZone1")
    invert([106.05, 95.98], 4.0, 2005.5, "NHZone1")  # of the years after the bomb
    invert(3.5, 4.0, 2005.5, "NHZone1")


def test_what_no_rate_explains_is_flagged():
    flags = unexplained(
        [300.0, 300.0, 1200.0, -999.0, np.nan], 4.0, [2015.5, 1975.5, 2005.5, 2005.5, 2005.5], "NHZone1"
    )
    assert flags.tolist() == [True, False, True, False, False]
    k = np.exp(np.linspace(*np.log(K_RANGE), 77))
    for zone in ATMOSPHERE_ZONES:
        assert not unexplained(delta14c(k, 1999.0, zone), 0.5, 1999.0, zone).any()
