"""The area of applicability against its published definition, written out point by point."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from bayes_rootc.errors import InputError
from bayes_rootc.mapping.applicability import LEAST_THRESHOLD, Applicability

IMPORTANCE = np.array([2.0, 0.5, 0.0, -0.1])


@pytest.fixture(scope="module")
def trained() -> tuple[np.ndarray, np.ndarray, Applicability]:
    rng = np.random.default_rng(0)
    X, fold = rng.standard_normal((120, 4)) * [1, 10, 1, 1] + [0, 500, 0, 0], rng.integers(0, 5, 120)
    return X, fold, Applicability.fit(X, IMPORTANCE, fold)


def test_it_is_the_published_index_and_threshold(trained):
    X, fold, area = trained
    z = (X - X.mean(axis=0)) / X.std(axis=0) * np.maximum(IMPORTANCE, 0)
    distance = np.array([[np.sqrt(((a - b) ** 2).sum()) for b in z] for a in z])
    mean = distance[np.triu_indices(120, 1)].mean()
    new = X[:10] + 0.3
    w = (new - X.mean(axis=0)) / X.std(axis=0) * np.maximum(IMPORTANCE, 0)
    want = [min(np.sqrt(((a - b) ** 2).sum()) for b in z) / mean for a in w]
    np.testing.assert_allclose(area.dissimilarity(new), want, rtol=1e-6)
    own = np.array([min(distance[i, fold != fold[i]]) / mean for i in range(120)])
    low, high = np.quantile(own, [0.25, 0.75])
    assert area.threshold == pytest.approx(own[own <= high + 1.5 * (high - low)].max(), rel=1e-6)


def test_the_unit_of_a_predictor_and_those_that_do_not_matter_change_nothing(trained):
    X, fold, area = trained
    new = X[:20] + 0.2
    other = Applicability.fit(X * [1e-3, 1e6, 1, 1], IMPORTANCE * 7, fold)
    np.testing.assert_allclose(other.dissimilarity(new * [1e-3, 1e6, 1, 1]), area.dissimilarity(new), rtol=1e-5)
    np.testing.assert_allclose(area.dissimilarity(new + np.array([0, 0, 99, 99])), area.dissimilarity(new))


def test_training_points_are_inside_and_far_places_outside(trained):
    X, _, area = trained
    np.testing.assert_allclose(area.dissimilarity(X), 0, atol=1e-6)
    assert area.inside(X).all()
    distance = [area.dissimilarity(X[:1] + np.array([step, 0, 0, 0]))[0] for step in (4, 8, 16)]
    assert area.threshold < distance[0] < distance[1] < distance[2]
    alike = np.random.default_rng(1).standard_normal((500, 4)) * [1, 10, 1, 1] + [0, 500, 0, 0]
    assert area.inside(alike).mean() > 0.9  # drawn as the training data were; 7 of 120 of these are outliers


def test_layers_at_once_are_layers_one_by_one():
    rng = np.random.default_rng(3)
    top = rng.uniform(0, 150, 200)
    sites = rng.standard_normal((40, 3))[rng.integers(0, 40, 200)]  # profiles of several layers
    X = np.c_[sites, top, top + 20]
    area = Applicability.fit(X, [1.0, 0.4, 0.1, 2.0, 1.0], np.arange(200) % 5)
    new, layers = rng.standard_normal((30, 3)), ((0, 20), (60, 80), (150, 200))
    at_once = area.dissimilarity(new, layers)
    for j, layer in enumerate(layers):
        one = area.dissimilarity(np.c_[new, np.tile(layer, (30, 1))])
        np.testing.assert_allclose(at_once[:, j], one, rtol=1e-6)


def test_a_constant_predictor_is_harmless():
    X = np.column_stack([np.arange(30.0), np.full(30, 3.0)])
    area = Applicability.fit(X, [1.0, 1.0], np.arange(30) % 3)
    assert np.isfinite(area.dissimilarity(X + 1)).all()


@pytest.mark.parametrize("importance", [[0.0, 0, 0, 0], [-0.1, -2, 0, -1], [np.nan] * 4])
def test_to_a_flat_learner_all_predictors_matter_alike(trained, importance):
    X, fold, _ = trained
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flat = Applicability.fit(X, importance, fold)
    alike = Applicability.fit(X, np.ones(4), fold)
    new = X[:20] + 0.3
    np.testing.assert_array_equal(flat.dissimilarity(new), alike.dissimilarity(new))
    assert flat.threshold == alike.threshold and flat.inside(X).all()
    assert not flat.inside(X[:1] + np.array([0, 0, 99, 0]))[0]


@pytest.mark.parametrize("value", [0.1, 3.0, 1e8, 0.0])
def test_training_data_that_are_all_alike_have_only_their_like_inside(value):
    X = np.full((7, 3), value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        area = Applicability.fit(X, [1.0, 0.0, 2.0], np.arange(7) % 3)
        assert area.inside(X).all() and not area.inside(X + np.array([1.0, 0, 0])).any()
    assert 0 < area.threshold < np.inf and np.isfinite(area.dissimilarity(X + 1)).all()


def test_training_data_with_twins_in_other_folds_have_a_threshold():
    X = np.repeat(np.random.default_rng(2).standard_normal((6, 2)), 2, axis=0)
    area = Applicability.fit(X, [1.0, 1.0], np.arange(12) % 2)
    assert area.threshold == LEAST_THRESHOLD and area.inside(X).all()
    assert not area.inside(X + 0.01).any()
    few_alone = np.concatenate([np.repeat(X, 4, axis=0), [[3.0, 3.0]]])  # the last has no twin
    area = Applicability.fit(few_alone, [1.0, 1.0], np.arange(49) % 2)
    assert area.threshold > 0.1 and area.inside(few_alone).all()


def test_one_fold_is_refused():
    with pytest.raises(InputError, match="the 9 training points are in one fold; expected 2 or more"):
        Applicability.fit(np.random.default_rng(0).standard_normal((9, 2)), [1.0, 1.0], np.zeros(9))


def test_five_points_are_enough():
    """A forest of five sites cannot split, so that nothing has an importance."""
    X = np.random.default_rng(1).standard_normal((5, 3))
    area = Applicability.fit(X, np.zeros(3), np.arange(5))
    assert area.inside(X).all() and not area.inside(X + 50).any()
