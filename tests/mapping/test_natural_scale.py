"""Means on the natural scale: biases by biome and depth are found, removed, and told from chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.constants import DEPTH_CLASSES
from bayes_rootc.mapping.applicability import Applicability
from bayes_rootc.mapping.learners import Calibration, FluxModel, PosteriorForest, design_matrix
from bayes_rootc.mapping.natural_scale import NaturalScale, corrected, natural_means, natural_table

ROWS, SITES, SD = 6000, 600, 0.6
BIAS = {1: 0.0, 3: np.log(1.6), 6: np.log(0.5)}


@pytest.fixture
def held_out() -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Log-normal layers, predicted with the right spread and a median that is off by biome, and by a third below 60 cm;
    the layers; and their sites.
    """
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"biome": rng.choice(list(BIAS), ROWS), "top": rng.choice([0, 20, 60, 100], ROWS)})
    table["bottom"] = table["top"] + 20
    site = rng.integers(0, SITES, ROWS)
    median = -4 + 0.3 * rng.standard_normal(ROWS)
    off = table["biome"].map(BIAS).to_numpy() + np.where(table["top"] >= 60, np.log(4 / 3), 0.0)
    predictions = pd.DataFrame(
        {
            "split": "spatial",
            "fold": site % 5,
            "row": np.arange(ROWS),
            "observed": median + SD * rng.standard_normal(ROWS),
            "mean": median + off,
            "sd": SD,
        }
    )
    predictions["tau"] = abs(predictions["observed"] - median) / SD
    return predictions, table, site


def test_means_are_those_of_log_normals_over_the_thickness(held_out):
    predictions, table, _ = held_out
    means = natural_means(predictions, np.exp(predictions["observed"].to_numpy()), table)
    by_row = means.set_index("row").loc[predictions["row"]]
    np.testing.assert_allclose(by_row["observed"], 20 * np.exp(predictions["observed"]))
    want = 20 * np.exp(predictions["mean"] + SD**2 / 2)
    np.testing.assert_allclose(by_row["predicted"], want, rtol=0.03)  # τ95 of a fold is known to 1.5 %


def test_bias_by_biome_and_depth_is_found(held_out):
    predictions, table, site = held_out
    means = natural_means(predictions, np.exp(predictions["observed"].to_numpy()), table)
    scale = NaturalScale.fit(means)
    biome, middle = table["biome"].to_numpy(), (table["top"] + table["bottom"]).to_numpy() / 2
    found = scale.log_factor(biome, middle)
    want = -(table["biome"].map(BIAS).to_numpy() + np.where(middle > 60, np.log(4 / 3), 0.0))
    # a ratio of means of some 500 layers, whose ratio has a coefficient of variation of 0.66, is known to 3 %
    np.testing.assert_allclose(found, want, atol=0.12)
    ratio = natural_table(means.assign(corrected=corrected(means, site)), site, seed=1).set_index(["group", "class"])
    assert ratio.loc[("biome", "boreal forests"), "ratio_uncorrected"] < 0.7
    assert (abs(ratio["ratio"] - 1) < 0.1).all()
    inside = (ratio["ratio_p025"] < ratio["ratio"]) & (ratio["ratio"] < ratio["ratio_p975"])
    assert inside.all() and set(ratio.loc["depth, cm"].index) <= {f"{a}-{b}" for a, b in DEPTH_CLASSES}


def test_a_site_is_not_corrected_by_itself(held_out):
    """One site is ten times what is predicted of it: the factors that it gets are as if it were not there."""
    predictions, table, site = held_out
    means = natural_means(predictions, np.exp(predictions["observed"].to_numpy()), table)
    here = np.isin(means["row"], np.flatnonzero(site == 7))
    assert here.any()
    odd = means.assign(observed=np.where(here, 10 * means["observed"], means["observed"]))
    before, after = (corrected(m, site)[here] for m in (means, odd))
    np.testing.assert_allclose(before, after)


def test_few_records_change_little(held_out):
    predictions, table, _ = held_out
    few = natural_means(predictions, np.exp(predictions["observed"].to_numpy()), table)
    few = pd.concat(
        [few[few["biome"] == 1], few[few["biome"] == 6].head(3).assign(observed=lambda t: 5 * t["observed"])]
    )
    scale = NaturalScale.fit(few)
    assert abs(scale.log_factor(np.array([6]), np.array([10]))[0]) < 0.6
    assert abs(scale.log_factor(np.array([1]), np.array([10]))[0]) < 0.15


def test_members_differ_by_what_is_not_known_of_the_factors():
    """In worlds whose regions have each an error of their own, factors are off by as much as members say."""
    rng, regions, biomes = np.random.default_rng(3), 180, np.arange(1, 10)
    off, claimed = [], []
    for world in range(30):
        region = np.repeat(np.arange(regions), 5)
        error = 0.5 * rng.standard_normal(regions)[region] - 0.5**2 / 2
        rows = pd.DataFrame({"biome": 1 + region % 9, "predicted": rng.uniform(0.5, 2, len(region))})
        rows["observed"] = rows["predicted"] * np.exp(error)
        scale = NaturalScale.fit(rows, region, seed=world)
        off.append(scale.log_factor(biomes))
        claimed.append(scale.deviations(biomes, None, 100).std(axis=1))
    # 270 errors give their standard deviation to 4 %; that of twenty resampled regions is 3 % too small
    assert 0.85 < np.sqrt(np.mean(np.square(claimed))) / np.sqrt(np.mean(np.square(off))) < 1.1
    assert not NaturalScale.fit(rows).deviations(np.array([[1], [2]]), None, 7).any()


def test_what_has_no_depth_has_factors_of_biomes_alone(held_out):
    predictions, table, _ = held_out
    scale = NaturalScale.fit(natural_means(predictions, np.exp(predictions["observed"].to_numpy()), table[["biome"]]))
    assert scale.log_depth == () and scale.log_factor(np.array([[1], [6]])).shape == (2, 1)


def test_a_model_applies_the_factors_of_its_rows():
    """By the biome and the depth that the predictors say, whether layers are given or rows have a depth each."""
    rng = np.random.default_rng(2)
    sites = pd.DataFrame({"warm": rng.standard_normal(60), "biome": rng.choice([1, 6], 60)})
    top = rng.choice([0.0, 100.0], 60)
    X, _ = design_matrix(sites, ["warm"], np.c_[top, top + 20])
    forest = PosteriorForest(20, random_state=1).fit(X, rng.standard_normal(60))
    plain = FluxModel(
        forest, Calibration(2.0, 0.0), Applicability.fit(X, forest.feature_importances_, np.arange(60) % 5)
    )
    scale = NaturalScale((0.1, 0, 0, 0, 0, -0.5, 0, 0, 0), (0.0, 0.2, 0.0, 0.0, 0.4))
    drawn = tuple(tuple(0.1 * m + np.array(scale.log_biome + scale.log_depth)) for m in range(4))
    uncertain = replace(plain, scale=replace(scale, drawn=drawn))
    scaled = replace(plain, scale=scale)
    off = uncertain.members(X) - scaled.members(X)  # by 0.1 in the biome, and as much in the depth
    np.testing.assert_allclose(off, np.broadcast_to(0.2 * (np.arange(20) % 4), off.shape), atol=1e-5)
    of_row = np.where(sites["biome"] == 1, 0.1, -0.5) + np.where(top == 0, 0.2, 0.4)
    np.testing.assert_allclose(scaled.members(X) - plain.members(X), np.repeat(of_row[:, None], 20, axis=1), atol=1e-5)
    layers = ((0.0, 20.0), (100.0, 150.0))
    by_layer = (scaled.members(X, layers) - plain.members(X, layers))[:, :, 0]
    np.testing.assert_allclose(
        by_layer - np.where(sites["biome"] == 1, 0.1, -0.5)[:, None], [[0.2, 0.4]] * 60, atol=1e-5
    )
    off = uncertain.members(X, layers) - scaled.members(X, layers)
    np.testing.assert_allclose(uncertain.deviations(np.array([1, 6]), 20, layers), off[:2], atol=1e-5)
