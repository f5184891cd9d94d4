"""Additive MARS: finds hinges, ignores noise, is exact where it can be."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from bayes_rootc.mapping.mars import MarsRegressor


def hinges(X: np.ndarray) -> np.ndarray:
    return 3 * np.maximum(X[:, 0] - 0.4, 0) - 2 * np.maximum(0.7 - X[:, 1], 0) + X[:, 2]


def test_hinges_are_found_among_columns_of_noise():
    rng = np.random.default_rng(0)
    X, new = rng.uniform(size=(2, 1000, 10))
    model = MarsRegressor().fit(X, hinges(X) + 0.1 * rng.standard_normal(1000))
    assert {j for j, _, _ in model.terms_} == {0, 1, 2}
    knots = {j: t for j, t, _ in model.terms_}
    assert knots[0] == pytest.approx(0.4, abs=0.05) and knots[1] == pytest.approx(0.7, abs=0.05)  # 30 knots: 0.03 apart
    error = np.sqrt(np.square(model.predict(new) - hinges(new)).mean())
    # 6 coefficients of 1,000 rows: noise alone leaves 0.1 √(6/1000) = 0.008; knots half a step off, 3 x 0.017 at most
    assert error < 0.03


def test_noise_alone_is_the_mean():
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((400, 5)), rng.standard_normal(400)
    model = MarsRegressor().fit(X, y)
    assert len(model.terms_) <= 4  # the best of 150 candidates is better than one by chance
    assert model.predict(X).std() < 0.35


def test_a_line_is_a_line():
    rng = np.random.default_rng(2)
    X, new = rng.uniform(-1, 1, (200, 2)), rng.uniform(-0.9, 0.9, (50, 2))
    want = 2 * new[:, 0] - new[:, 1] + 5
    np.testing.assert_allclose(MarsRegressor().fit(X, 2 * X[:, 0] - X[:, 1] + 5).predict(new), want, atol=1e-6)


def test_dummy_variables_have_one_hinge():
    rng = np.random.default_rng(3)
    biome = (rng.integers(0, 4, 300)[:, None] == np.arange(4)).astype(float)
    effect = np.array([0.0, 1.0, -2.0, 4.0])
    model = MarsRegressor().fit(biome, biome @ effect)
    np.testing.assert_allclose(model.predict(np.eye(4)), effect, atol=1e-9)


def test_with_as_many_knots_as_it_needs_it_is_the_least_squares_fit_of_its_terms():
    rng = np.random.default_rng(4)
    X = rng.uniform(size=(300, 3))
    y = np.sin(6 * X[:, 0]) + X[:, 1] ** 2 + 0.05 * rng.standard_normal(300)
    model = MarsRegressor().fit(X, y)
    B = np.column_stack([np.maximum(side * (X[:, j] - t), 0) for j, t, side in model.terms_])
    np.testing.assert_allclose(model.predict(X), LinearRegression().fit(B, y).predict(B), atol=1e-8)
    assert model.score(X, y) > 0.98
    assert len(model.terms_) < 40


def test_constant_columns_and_responses_are_harmless():
    X = np.column_stack([np.ones(30), np.arange(30.0)])
    np.testing.assert_allclose(MarsRegressor().fit(X, np.full(30, 2.5)).predict(X), 2.5)
    np.testing.assert_allclose(MarsRegressor().fit(X[:, :1], np.arange(30.0)).predict(X[:, :1]), 14.5)


def test_slopes_end_where_the_data_end():
    rng = np.random.default_rng(5)
    X = rng.uniform(-1, 1, (200, 2))
    model = MarsRegressor().fit(X, 3 * X[:, 0] + 0.1 * rng.standard_normal(200))
    at = [X.max(axis=0), X.min(axis=0)]
    np.testing.assert_allclose(model.predict([[50.0, 9.0], [-50.0, -9.0]]), model.predict(at))
    assert model.predict(at)[0] > 2.5 > -2.5 > model.predict(at)[1]
