"""Eq. 1-6 of the paper by hand, and every decay rate that gives a measured value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from bayes_rootc.constants import GAMMA
from bayes_rootc.data.atmosphere import ATMOSPHERE_ZONES, Atmosphere, Curve
from bayes_rootc.models.point_inversion import invert_points, steady_k
from bayes_rootc.models.radiocarbon import delta14c, steady_activity

ZONE = "NHZone1"


def air(years, values):
    """One curve, everywhere."""
    curve = Curve(np.array(years, float), np.array(values, float), np.ones(len(years)))
    return Atmosphere(dict.fromkeys(ATMOSPHERE_ZONES, curve))


def test_steady_state_by_hand():
    # 1/k = 1000 yr: A = (1/1000) / (1/1000 + 1/8267) = 8267 / 9267
    assert steady_activity(1e-3, 1.0) == pytest.approx(8267 / 9267)
    assert 1 / steady_k(8267 / 9267, 1.0) == pytest.approx(1000)
    # per mille cancels the standard (eq. 4-5): air at -20, soil at -100
    assert steady_k(0.9, 0.98) == pytest.approx(GAMMA * 0.9 / 0.08)
    assert steady_k(1.1, 0.98) == np.inf


def test_eq_1_is_solved_from_the_steady_state():
    """A step of the air from 0 to 100 ‰ in 1950: A' = kB - (k + γ)A has an exponential solution."""
    stepped = air([1950.0, 1950.001, 2010.0], [0.0, 100.0, 100.0])
    k, years = 1 / 50, 40.0
    start, end, rate = k / (k + GAMMA), 1.1 * k / (k + GAMMA), k + GAMMA
    want = 1000 * (end + (start - end) * np.exp(-rate * years) - 1)
    assert delta14c(k, 1990.0, ZONE, "steady", atmosphere=stepped) == pytest.approx(want, abs=0.01)
    found = invert_points([want], [1990.0], [ZONE], atmosphere=stepped)
    assert found["age"][0] == pytest.approx(50, rel=1e-3)


def test_three_years_by_hand():
    """A pool of 10 years under an air of 0, 100, 60 and 60 ‰ at the ends of 1950 to 1953.

    Within a year the input is b + s t, and eq. 1 gives A(1) = A(0) e + k / λ (b (1 - e) + s (1 - (1 - e) / λ)), with
    λ = k + γ = 0.1 + 1 / 8267 = 0.10012096 and e = exp(-λ) = 0.90472797; so (1 - e) / λ = 0.95156923.
    """
    moving = air([1950.0, 1951.0, 1952.0, 1953.0], [0.0, 100.0, 60.0, 60.0])
    # 1950, eq. 2: 0.1 / 0.10012096
    start = 0.99879183
    # 1951: 0.99879183 e + 0.99879183 (0.09527203 + 0.1 x 0.04843077)
    # 1952: 1.00362906 e + 0.99879183 (1.1 x 0.09527203 - 0.04 x 0.04843077)
    # 1953: 1.01074901 e + 0.99879183 (1.06 x 0.09527203)
    activity = np.array([1.00362906, 1.01074901, 1.01531924])
    found = delta14c(0.1, [1950.0, 1951.0, 1952.0, 1953.0], ZONE, "steady", atmosphere=moving)
    np.testing.assert_allclose(found, 1000 * (np.r_[start, activity] - 1), atol=2e-5)
    # and back: k = 0.1 is among the rates that give the value of 1953
    roots = invert_points(found[3:], [1953.0], [ZONE], atmosphere=moving).filter(like="k_").to_numpy()
    assert np.nanmin(np.abs(roots - 0.1)) < 1e-6


@pytest.mark.parametrize("standard", [1.0, 1.176e-12])
def test_the_standard_cancels(standard):
    """Eq. 1 in 14C/12C ratios, which eq. 5 makes of Δ14C and eq. 4 brings back, by a numerical solver."""
    years, values, k = [1950.0, 1951.0, 1952.0, 1953.0], [-20.0, 300.0, 150.0, 100.0], 1 / 4
    ratio = (np.array(values) / 1000 + 1) * standard

    def change(t, soil):
        return k * np.interp(t, years, ratio) - (k + GAMMA) * soil

    soil = steady_activity(k, ratio[:1])
    for year in years[:-1]:  # the input has a corner where a year begins
        soil = solve_ivp(change, (year, year + 1), soil, rtol=1e-10, atol=1e-12 * standard).y[:, -1]
    want = (soil.item() / standard - 1) * 1000
    assert delta14c(k, 1953.0, ZONE, "steady", atmosphere=air(years, values)) == pytest.approx(want, abs=1e-5)


def test_where_the_air_never_changed_the_answer_is_eq_3():
    constant = air([1950.0, 2010.0], [-20.0, -20.0])
    found = invert_points([-100.0, -500.0], 2000.0 * np.ones(2), [ZONE] * 2, atmosphere=constant)
    np.testing.assert_allclose(found["k"], steady_k([0.9, 0.5], 0.98), rtol=1e-6)
    assert found["roots"].tolist() == [1, 1]


def test_a_known_age_comes_back_whatever_the_zone_and_the_year():
    rng = np.random.default_rng(1)
    age = np.exp(rng.uniform(np.log(150), np.log(30_000), 60))
    year, zone = rng.uniform(1955, 2018, 60), rng.choice(ATMOSPHERE_ZONES, 60)
    found = invert_points(delta14c(1 / age, year, zone, "steady"), year, zone)
    np.testing.assert_allclose(found["age"], age, rtol=1e-5)


def test_of_two_solutions_the_slowest_is_taken_and_both_are_there():
    found = invert_points([100.0], [2000.0], [ZONE]).iloc[0]
    assert found["roots"] == 2 and found["k"] == found["k_1"] < found["k_2"] and np.isnan(found["k_3"])
    np.testing.assert_allclose(delta14c([found["k_1"], found["k_2"]], 2000.0, ZONE, "steady"), 100.0, atol=1e-6)
    assert found["age"] == 1 / found["k"] > 50 > 1 / found["k_2"]


def test_bomb_carbon_makes_the_slowest_solution_slower_than_eq_3():
    start = Atmosphere.packaged().bomb(ZONE).delta14c[0] / 1000 + 1
    measured = np.array([-60.0, -100.0, -400.0])
    found = invert_points(measured, np.full(3, 2005.0), [ZONE] * 3)
    assert (found["k"] < steady_k(measured / 1000 + 1, start)).all()


def test_a_value_out_of_reach_has_no_solution_and_takes_the_closest():
    found = invert_points([900.0, 800.0], [2000.0, 1964.5], [ZONE] * 2)
    assert found["roots"][0] == 0 and found[["k_1", "k_2", "k_3"]].iloc[0].isna().all()
    others = delta14c(found["k"][0] * np.array([0.8, 1.0, 1.25]), 2000.0, ZONE, "steady")
    assert others[1] == others.max()
    assert (found["k"] > 0).all()


def test_no_layers_give_no_rows():
    assert len(invert_points(np.empty(0), np.empty(0), np.empty(0, str))) == 0
