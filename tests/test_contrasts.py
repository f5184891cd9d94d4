"""Differences and ratios of estimates, and the letters that follow from them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from bayes_rootc.contrasts import (
    compact_letters,
    correlation_table,
    factor_table,
    groups_of,
    letters_table,
    pairs_table,
)
from bayes_rootc.estimates import make_estimate


def estimate(number: int, root: float, bulk: float, noise: np.ndarray) -> xr.Dataset:
    """Two sites, of biomes 1 and 3, whose draws are a mean times common noise."""
    table = pd.DataFrame({"id": ["a", "b"], "lat": 0.0, "lon": 0.0, "biome": [1, 3]})
    shape = np.ones((2, 7, 1)) * np.arange(7, 0, -1)[:, None] / 28
    return make_estimate(number, "NPP", table, root * np.tile(noise, (2, 1)), shape, bulk * shape * np.ones_like(noise))


@pytest.fixture(scope="module")
def estimates() -> list[xr.Dataset]:
    noise = np.exp(0.2 * np.random.default_rng(0).standard_normal(4000))
    other = np.exp(0.2 * np.random.default_rng(1).standard_normal(4000))
    return [estimate(1, 4.0, 1.0, noise), estimate(2, 4.1, 1.0, noise), estimate(3, 4.0, 1.0, other)]


def test_what_estimates_share_cancels_in_their_difference(estimates):
    groups = groups_of(estimates)
    pairs = pairs_table(groups).set_index(["among", "a", "b"])
    assert pairs.loc[("estimates", "1", "2"), "probability"] == 0  # always less, though its interval is wide
    assert pairs.loc[("estimates", "1", "3"), "probability"] == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(4000))
    letters = letters_table(groups, pairs.reset_index()).set_index(["among", "name"])["letters"]
    assert not set(letters["estimates", "1"]) & set(letters["estimates", "2"])
    assert set(letters["estimates", "1"]) & set(letters["estimates", "3"])
    assert set(letters["biomes"].index) == {"tropical/subtropical forests", "temperate forests"}


def test_correlation_is_that_of_the_draws(estimates):
    table = correlation_table(estimates).set_index("estimate")
    assert table.loc["estimate_1", "estimate_2"] == pytest.approx(1)
    assert abs(table.loc["estimate_1", "estimate_3"]) < 4 / np.sqrt(4000)


def test_factor_is_the_ratio_of_means(estimates):
    table = factor_table(estimates)
    world = table[table["group"] == "all"].iloc[0]
    assert world["factor_median"] == pytest.approx(4.03, rel=0.02)
    assert world["probability_above_1"] == 1 and 0.4 < world["probability_above_4"] < 0.7
    assert table[table["group"] == "layer"]["factor_median"].to_numpy() == pytest.approx(world["factor_median"])
    assert len(table) == 1 + 2 + 7


def test_letters_of_a_textbook_case():
    assert compact_letters(["x", "y", "z"], {frozenset("xz")}) == {"x": "a", "y": "ab", "z": "b"}
    assert set(compact_letters(["x", "y"], set()).values()) == {"a"}


@given(st.integers(2, 7), st.data())
def test_two_share_a_letter_exactly_if_they_are_not_told_apart(n, data):
    names = list("abcdefg")[:n]
    every = [frozenset(pair) for pair in combinations(names, 2)]
    different = set(data.draw(st.lists(st.sampled_from(every), unique=True)))
    letters = compact_letters(names, different)
    for pair in every:
        a, b = pair
        assert bool(set(letters[a]) & set(letters[b])) == (pair not in different)
