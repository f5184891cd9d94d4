"""Forests that carry a posterior, their calibration and scores."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import norm
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from bayes_rootc.mapping.applicability import Applicability
from bayes_rootc.mapping.blocks import spatial_blocks
from bayes_rootc.mapping.learners import (
    Calibration,
    PosteriorForest,
    TrainingData,
    design_matrix,
    is_constant,
    r_squared,
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
    calibration, scores, held = validate(
        PosteriorForest(60), TrainingData(X, y[:, None], site, block), splits=6, seed=5
    )
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
    data = TrainingData(X, value[:, None], site, site)
    scores = validate(PosteriorForest(40, max_features=1.0), data, splits=5, seed=0).scores
    assert scores["r2"].max() < 0.2


def test_profile_correlation_is_found():
    rng = np.random.default_rng(4)
    site = np.repeat(np.arange(200), 4)
    X = rng.standard_normal((800, 2))
    y = X[:, 0] + np.sqrt(0.6) * rng.standard_normal(200)[site] + np.sqrt(0.4) * rng.standard_normal(800)
    data = TrainingData(X, y[:, None], site, site)
    calibration = validate(PosteriorForest(40, min_samples_leaf=10), data, splits=6, seed=1).calibration
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


@parametrize_with_checks([PosteriorForest(20)])
def test_the_forest_is_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture
def named() -> tuple[pd.DataFrame, np.ndarray]:
    X, y = world(120)
    return pd.DataFrame(X, columns=["clay", "sand", "warm", "wet"]), y


def test_columns_in_another_order_are_refused(named):
    X, y = named
    forest = PosteriorForest(10).fit(X, y)
    assert forest.feature_names_in_.tolist() == ["clay", "sand", "warm", "wet"] and forest.n_features_in_ == 4
    np.testing.assert_array_equal(forest.predict(X), PosteriorForest(10).fit(X.to_numpy(), y).predict(X.to_numpy()))
    turned = X[["sand", "clay", "warm", "wet"]]
    for method in (forest.predict, forest.members, forest.mean_and_std):
        with pytest.raises(ValueError, match="Feature names must be in the same order as they were in fit"):
            method(turned)
    with pytest.raises(ValueError, match="Feature names unseen at fit time"):
        forest.predict(X.rename(columns={"wet": "dry"}))


def test_layers_may_leave_out_their_depth_but_nothing_else(named):
    X, y = named
    X = X.set_axis(["clay", "sand", "top", "bottom"], axis=1)
    forest, layers = PosteriorForest(10).fit(X, y), ((-1.0, 0.0), (0.0, 1.0))
    with_depth = forest.members(X, layers)
    np.testing.assert_array_equal(forest.members(X[["clay", "sand"]], layers), with_depth)
    with pytest.raises(ValueError, match="the features are sand, clay; expected clay, sand, as in the fit"):
        forest.members(X[["sand", "clay"]], layers)
    with pytest.raises(ValueError, match="X contains NaN"):
        forest.members(X[["clay", "sand"]] * np.nan, layers)
    with pytest.raises(ValueError, match="X has 3 features, but PosteriorForest is expecting 4"):
        PosteriorForest(10).fit(X.to_numpy(), y).mean_and_std(X.to_numpy()[:, :3], layers)


def test_what_cannot_be_fitted_or_predicted_is_refused(named):
    X, y = named
    with pytest.raises(NotFittedError):
        PosteriorForest(10).members(X)
    with pytest.raises(NotFittedError):
        PosteriorForest(10).compiled()
    with pytest.raises(ValueError, match="X contains NaN"):
        PosteriorForest(10).fit(X.where(X > 0), y)
    with pytest.raises(ValueError, match="y contains NaN"):
        PosteriorForest(10).fit(X, np.where(y > 0, y, np.nan))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        PosteriorForest(10).fit(X, y, groups=np.arange(7))
    with pytest.raises(ValueError, match="n_estimators is 0; expected at least 1"):
        PosteriorForest(0).fit(X, y)
    forest = PosteriorForest(10).fit(X, y)
    with pytest.raises(ValueError, match="X contains NaN"):
        forest.predict(X.where(X > 0))
    with pytest.raises(ValueError, match="X has 3 features, but PosteriorForest is expecting 4"):
        PosteriorForest(10).fit(X.to_numpy(), y).predict(X.to_numpy()[:, :3])
    assert forest.predict(X[:0]).shape == (0,) and forest.members(X[:0]).shape == (0, 10)


def test_single_precision_rows_are_not_copied(monkeypatch):
    X, y = world(50)
    forest, rows = PosteriorForest(5).fit(X, y), X.astype(np.float32)
    assert forest._validated(rows, ()) is rows
    assert forest._validated(rows[:, :2], ((0.0, 1.0),)).base is rows


def test_the_forest_is_cloned_and_pickled(named):
    X, y = named
    forest = PosteriorForest(10, min_samples_leaf=2, max_features=0.5, random_state=4, n_jobs=1)
    assert clone(forest).get_params() == forest.get_params()
    forest.fit(X, y)
    assert not hasattr(clone(forest), "trees_")
    np.testing.assert_array_equal(clone(forest).fit(X, y).members(X), forest.members(X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(forest)).members(X), forest.members(X))


def test_the_forest_works_in_a_pipeline_with_draws_and_groups(named):
    X, y = named
    draws, site = y[:, None] + np.random.default_rng(5).normal(0, 1, (120, 10)), np.arange(120) // 3
    pipe = make_pipeline(StandardScaler(), PosteriorForest(10)).set_output(transform="pandas")
    pipe.fit(X, draws, posteriorforest__groups=site)
    scaled = StandardScaler().set_output(transform="pandas").fit_transform(X)
    want = PosteriorForest(10).fit(scaled, draws, site).predict(scaled)
    np.testing.assert_array_equal(pipe.predict(X), want)


def test_the_forest_is_tuned_by_a_grid_search(named):
    X, y = named
    site = np.arange(120) // 3
    search = GridSearchCV(PosteriorForest(20), {"min_samples_leaf": [1, 40]}, cv=GroupKFold(4), error_score="raise")
    search.fit(X, y, groups=site)
    assert search.best_params_ == {"min_samples_leaf": 1} and search.best_score_ > 0.3
    assert search.predict(X).shape == (120,)


def test_the_forest_predicts_rasters(named):
    from sklearn_raster import FeatureArrayEstimator

    X, y = named
    raster = xr.Dataset({name: (("y", "x"), X[name].to_numpy().reshape(10, 12).copy()) for name in X})
    raster["clay"][0, 0] = np.nan  # the sea
    forest = FeatureArrayEstimator(PosteriorForest(10)).fit(X, y)
    found = forest.predict(raster)
    values = np.ravel(found.to_dataarray() if isinstance(found, xr.Dataset) else found)
    assert np.isnan(values[0])
    np.testing.assert_allclose(values[1:], PosteriorForest(10).fit(X, y).predict(X)[1:])


def test_one_column_of_draws_is_warned_of_as_scikit_learn_does_and_ours_are_quiet():
    X, y = world(60)
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        PosteriorForest(5).fit(X, y[:, None])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        validate(PosteriorForest(5), TrainingData(X, y[:, None], *[np.arange(60)] * 2), splits=2, seed=1)


def test_r_squared_of_what_does_not_vary_is_unknown():
    x = np.random.default_rng(0).standard_normal(50)
    assert r_squared(x, x) == 1 and r_squared(x, np.full(50, x.mean())) == pytest.approx(0)
    assert r_squared(x, x + 1) == pytest.approx(1 - 1 / x.var())
    rounded = np.array([0.1 + 0.2, 0.3, 0.3])
    assert is_constant(rounded) and not is_constant(x) and is_constant(np.zeros(4)) and is_constant(x[:0])
    assert np.isnan(r_squared(rounded, x[:3])) and np.isnan(r_squared(x[:0], x[:0]))


@pytest.mark.parametrize("sites", [5, 40])
def test_a_response_that_is_equal_everywhere_has_a_flat_forest_and_no_r_squared(sites):
    X, _ = world(sites)
    site, y = np.arange(sites), np.full((sites, 1), np.log(3.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calibration, scores, _ = validate(PosteriorForest(20), TrainingData(X, y, site, site), splits=3, seed=1)
        forest = PosteriorForest(20).fit(X, y[:, 0])
        area = Applicability.fit(X, forest.feature_importances_, site % 5)
    assert scores["r2"].isna().all() and (scores["rmse"] < 1e-12).all() and np.isfinite(calibration.tau95)
    np.testing.assert_allclose(calibration.stretched(forest.members(X)), np.log(3.0), rtol=1e-6)
    assert area.inside(X).all() and np.isfinite(area.threshold)
