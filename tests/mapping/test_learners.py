"""Forests that carry a posterior, their calibration and scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from bayes_rootc.mapping.blocks import spatial_blocks
from bayes_rootc.mapping.learners import (
    Calibration,
    PosteriorForest,
    design_matrix,
    validate,
)


def world(n, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4))
    return X, np.sin(X[:, 0]) + X[:, 1] + noise * rng.standard_normal(n)


def test_mean_and_spread_are_those_of_the_members():
    X, y = world(200)
    forest = PosteriorForest(30, random_state=1).fit(X, y)
    members = forest.members(X)
    mean, sd = forest.mean_and_std(X)
    np.testing.assert_allclose(mean, members.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(sd, members.std(axis=1), atol=1e-6)
    np.testing.assert_array_equal(forest.predict(X), mean)


def test_same_seed_same_forest_whatever_the_number_of_workers():
    X, y = world(150)
    one, two = (PosteriorForest(20, random_state=7, n_jobs=n).fit(X, y).members(X) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, PosteriorForest(20, random_state=8).fit(X, y).members(X))


def test_tree_m_sees_draw_m():
    X, _ = world(100)
    draws = np.tile(np.arange(10.0), (100, 1))  # draw m is m everywhere
    members = PosteriorForest(10).fit(X, draws).members(X)
    np.testing.assert_array_equal(members, np.tile(np.arange(10), (100, 1)))


def test_posterior_uncertainty_of_the_response_widens_the_spread():
    X, y = world(300)
    rng = np.random.default_rng(3)
    narrow = PosteriorForest(60, random_state=2).fit(X, y).mean_and_std(X)[1].mean()
    wide = (
        PosteriorForest(60, random_state=2).fit(X, y[:, None] + rng.normal(0, 1.0, (300, 60))).mean_and_std(X)[1].mean()
    )
    assert wide > 1.3 * narrow


def test_groups_are_resampled_whole():
    """Two profiles of opposite sign: a bootstrap of profiles gives trees that have seen only one of them, a quarter
    each way.
    """
    X = np.zeros((40, 1))
    y = np.repeat([-1.0, 1.0], 20)
    members = PosteriorForest(400, min_samples_leaf=1).fit(X, y, groups=y).members(X[:1])[0]
    share = np.isin(members, [-1.0, 1.0]).mean()
    assert share == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(400))


def test_validation_calibrates_the_interval_and_scores_it():
    X, y = world(600, noise=1.0)
    rng = np.random.default_rng(1)
    site = np.arange(600)
    block = spatial_blocks(rng.uniform(-60, 60, 600), rng.uniform(-180, 180, 600), 1100)
    calibration, scores, held = validate(PosteriorForest(60), X, y[:, None], site, block, splits=6, seed=5)
    assert scores["split"].tolist() == ["site", "spatial"]
    # 720 held-out values, six folds sharing sites: bound of the binomial with a third as many independent values
    assert scores["coverage95"].between(0.95 - 4 * np.sqrt(0.0475 / 240), 1).all()
    assert (scores["r2"] > 0.3).all() and (scores["crps"] < scores["rmse"]).all()
    new_X, new_y = world(2000, seed=9, noise=1.0)
    forest = PosteriorForest(60).fit(X, y)
    mean, sd = forest.mean_and_std(new_X)
    covered = (np.abs(new_y - mean) <= calibration.tau95 * sd).mean()
    assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.0475 / 240))
    assert set(held["split"]) == {"site", "spatial"}


def test_held_out_sites_are_never_trained_on():
    """With a response that only site membership explains, held-out prediction has no skill."""
    rng = np.random.default_rng(2)
    site = np.repeat(np.arange(100), 5)
    value = rng.standard_normal(100)[site]
    X = rng.standard_normal(100)[site][:, None]  # identifies the site, and nothing else
    _, scores, _ = validate(PosteriorForest(40, max_features=1.0), X, value[:, None], site, site, splits=5, seed=0)
    assert scores["r2"].max() < 0.2


def test_profile_correlation_is_found():
    rng = np.random.default_rng(4)
    site = np.repeat(np.arange(200), 4)
    X = rng.standard_normal((800, 2))
    y = X[:, 0] + np.sqrt(0.6) * rng.standard_normal(200)[site] + np.sqrt(0.4) * rng.standard_normal(800)
    calibration, _, _ = validate(PosteriorForest(40, min_samples_leaf=10), X, y[:, None], site, site, splits=6, seed=1)
    assert calibration.profile_correlation == pytest.approx(0.6, abs=0.15)


def test_stretched_members_keep_the_mean_and_widen_the_spread():
    X, y = world(100)
    forest = PosteriorForest(50).fit(X, y)
    plain = forest.members(X)
    stretched = Calibration(tau95=3 * norm.ppf(0.975), profile_correlation=0).stretched(plain)
    np.testing.assert_allclose(stretched.mean(axis=1), plain.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(stretched.std(axis=1), 3 * plain.std(axis=1), rtol=1e-4)


def test_design_matrix_has_dummies_for_biomes_and_the_layer_last():
    table = pd.DataFrame({"bio1": [1.0, 2.0], "biome": [9, 1]})
    X, names = design_matrix(table, ["bio1"], np.array([[0, 20], [20, 40]]))
    assert names[0] == "bio1" and names[-2:] == ["top", "bottom"] and X.shape == (2, 12)
    assert X[0, names.index("biome_9")] == 1 and X[1, names.index("biome_1")] == 1 and X[:, 1:10].sum() == 2
