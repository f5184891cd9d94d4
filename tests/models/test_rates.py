"""Means over a cut log-normal of rates, against sums over many rates."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from bayes_rootc.data.atmosphere import Atmosphere
from bayes_rootc.models.radiocarbon import LOG_K_RANGE, predicted_table
from bayes_rootc.models.rates import (
    PERSISTING,
    fine_log_k,
    input_rate,
    interpolate,
    mean_age,
    mean_table,
    persisting_rate,
    persisting_rates,
    values_at,
)

LAYERS = [(-5.0, 1.5), (-2.0, 1.0), (0.0, 2.0), (-11.0, 2.0), (-5.0, 0.3)]
"""Centre and spread, some near an end of the range of rates."""

RATES = np.linspace(*LOG_K_RANGE, 100_001)


def shares(centre: float, spread: float) -> np.ndarray:
    weight = np.exp(-0.5 * ((RATES - centre) / spread) ** 2)
    weight[[0, -1]] /= 2
    return weight / weight.sum()


@pytest.mark.parametrize(("centre", "spread"), LAYERS)
def test_means_over_the_rates_are_those_of_a_sum(centre, spread):
    share, k = shares(centre, spread), np.exp(RATES)
    assert input_rate(centre, spread) == pytest.approx(share @ k, rel=1e-5)
    assert mean_age(centre, spread) == pytest.approx(share @ (1 / k), rel=1e-5)
    for years in PERSISTING:
        assert persisting_rate(centre, spread, years) == pytest.approx(share @ (k * np.exp(-k * years)), rel=1e-5)


def test_one_pool_has_one_rate():
    assert input_rate(-4.0, 0.0) == pytest.approx(np.exp(-4)) and mean_age(-4.0, 0.0) == pytest.approx(np.exp(4))
    assert persisting_rate(-4.0, 0.0, 30) == pytest.approx(np.exp(-4 - 30 * np.exp(-4)), rel=1e-6)
    ends = np.array([*LOG_K_RANGE, *np.float32(LOG_K_RANGE)]) + np.array([0, 0, -1e-5, 1e-5])
    for log_k in ends:  # at an end of the range, and a rounding beyond it
        assert input_rate(log_k, 0.0) == pytest.approx(np.exp(log_k)) and mean_age(log_k, 0.0) > 0
        assert persisting_rate(log_k, 0.0, 1) == pytest.approx(np.exp(log_k - np.exp(log_k)), rel=1e-3)


def test_the_quick_way_to_what_persists_is_as_good():
    centre, spread = (np.array(column) for column in zip(*LAYERS, (-3.3, 0.0), (-6.1, 0.77), strict=True))
    quick, whole = persisting_rates(centre, spread), input_rate(centre, spread)
    for years in PERSISTING:
        np.testing.assert_allclose(quick[years], persisting_rate(centre, spread, years), atol=1e-3 * whole.max())
        assert (np.abs(quick[years] - persisting_rate(centre, spread, years)) < 1.5e-3 * whole).all()


@pytest.mark.parametrize("spread", [0.06, 0.3, 0.6, 1.1, 2.1])
def test_radiocarbon_between_the_spreads_of_the_table_is_right_to_a_permil(spread):
    """For bulk and respired carbon since 1968; in 1964, when the air changed by hundreds of permil, to 3 ‰."""
    year, log_k = np.array([1968.5, 1990.5, 2010.5]), np.linspace(*LOG_K_RANGE, 120)
    fine, air = fine_log_k(), Atmosphere.packaged()
    values = predicted_table(np.exp(fine), year, np.full(3, "NHZone1"), "steady", air)
    for weight in (np.ones(len(fine)), np.exp(fine)):
        table = mean_table(values, log_k, weight)
        mixture = np.exp(-0.5 * ((fine - log_k[:, None]) / spread) ** 2) * weight
        mixture[:, [0, -1]] /= 2
        exact = np.array([(mixture @ row) / mixture.sum(axis=1) for row in values])
        found = np.asarray(interpolate(jnp.asarray(table), jnp.arange(3), jnp.full(3, spread)))
        assert np.abs(found - exact).max() < 1.0
        place = np.full(3, 40.25)
        between = values_at(table, np.arange(3), np.full(3, spread), place)
        np.testing.assert_allclose(between, 0.75 * found[:, 40] + 0.25 * found[:, 41], rtol=1e-4, atol=1e-2)
