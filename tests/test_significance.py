"""Letters from tests over sites: worked by hand, and with the error that they promise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from bayes_rootc.constants import BIOMES
from bayes_rootc.estimates import make_estimate, places
from bayes_rootc.significance import biome_letters, compare_pairs, iloss_tests, lettered


def test_two_groups_are_welch_s_test():
    rng = np.random.default_rng(0)
    samples = {"a": rng.normal(1, 1, 30), "b": rng.normal(1.5, 3, 80)}
    (row,) = compare_pairs(samples).to_dict("records")
    welch = ttest_ind(samples["a"], samples["b"], equal_var=False)
    assert row["p"] == pytest.approx(welch.pvalue, rel=1e-9)
    assert row["difference"] == pytest.approx(samples["a"].mean() - samples["b"].mean())
    interval = welch.confidence_interval(0.95)
    assert (row["p025"], row["p975"]) == pytest.approx((interval.low, interval.high))


def test_of_equal_groups_few_runs_have_any_false_difference():
    rng = np.random.default_rng(1)
    false = [
        (compare_pairs({str(i): rng.normal(0, 1 + i, 15 + 10 * i) for i in range(5)})["p"] < 0.05).any()
        for _ in range(300)
    ]
    assert np.mean(false) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)


def test_letters_by_hand():
    wave = np.array([-1.0, 0.0, 1.0])
    samples = {"low": wave, "high": 100 + wave, "also high": 100.5 + wave, "alone": np.array([7.0])}
    table = lettered(samples, compare_pairs(samples)).set_index("name")
    assert list(table.index) == ["also high", "high", "alone", "low"]
    assert set(table.loc["high", "letters"]) & set(table.loc["also high", "letters"])
    assert not set(table.loc["high", "letters"]) & set(table.loc["low", "letters"])
    assert set(table.loc["alone", "letters"]) == {"a", "b"}  # one site differs from nothing
    assert table.loc["low", ["mean", "median", "n"]].tolist() == [0, 0, 3]


@pytest.fixture
def estimates():
    """Forests of 40 sites and tundra of 30; I_root is 5 and 1, I_bulk 1 and 0.9, both with a spread of 0.5."""
    rng = np.random.default_rng(2)
    biome = np.repeat([1, 7], [40, 30])
    table = pd.DataFrame({"id": np.arange(70).astype(str), "lat": 0.0, "lon": 0.0, "biome": biome})
    shares = np.full((70, 7, 1), 1 / 7)

    def flux(forest, tundra):
        return np.where(biome == 1, forest, tundra)[:, None] + 0.5 * rng.standard_normal((70, 1))

    return [
        make_estimate(number, sites, table, flux(5, 1), shares, flux(1, 0.9)[:, None] * shares)
        for number, sites in ((1, "NPP"), (2, "NPP"), (3, "Δ14C"))
    ]


def test_biomes_have_letters_for_each_quantity(estimates):
    npp = places(estimates[0]).assign(f_bnpp=0.3 + 0.05 * np.random.default_rng(3).standard_normal(70))
    table = biome_letters(estimates, npp).set_index(["quantity", "name"])
    forest, tundra = BIOMES[1], BIOMES[7]
    assert table.loc[("iroot", forest), "letters"] == "A" and table.loc[("iroot", tundra), "letters"] == "B"
    assert table.loc[("iloss", forest), "letters"] == "A" and table.loc[("iloss", tundra), "letters"] == "B"
    assert table.loc[("f_bnpp", forest), "letters"] == table.loc[("f_bnpp", tundra), "letters"] == "A"
    assert table.loc[("iroot", forest), "lowercase"] == "a" and table.loc[("ibulk", forest), "lowercase"] == "b"
    assert table.loc[("iroot", tundra), "lowercase"] == table.loc[("ibulk", tundra), "lowercase"] == "a"
    assert (table.loc["f_bnpp", "lowercase"] == "").all()
    assert table.loc[("iloss", forest), "n"] == 80  # 40 sites of each data set; two estimates of one site count once


def test_tables_of_i_loss_have_the_form_of_those_of_the_posterior(estimates):
    pairs, letters = iloss_tests(estimates)
    assert set(pairs["among"]) == {"estimates", "biomes", "layers"}
    (biomes,) = pairs[pairs["among"] == "biomes"].to_dict("records")
    assert biomes["probability"] > 0.999 and biomes["difference_p025"] > 0
    layers = letters[letters["among"] == "layers"]
    assert len(layers) == 7 and (layers["letters"] == "a").all()
    assert ((letters["iloss_p025"] < letters["iloss_mean"]) & (letters["iloss_mean"] < letters["iloss_p975"])).all()
