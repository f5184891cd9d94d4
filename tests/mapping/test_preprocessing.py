"""Filters of columns: what they are documented to drop, on cases small enough to know."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from bayes_rootc.mapping.preprocessing import CorrelationFilter, LinearCombinationFilter


@pytest.fixture
def columns() -> np.ndarray:
    """a, b = a + a little, c = a + more, d alone."""
    rng = np.random.default_rng(0)
    a, d = rng.standard_normal((2, 500))
    return np.column_stack(
        [a, a + 0.05 * rng.standard_normal(500), a + 0.6 * rng.standard_normal(500), d]
    )  # r(a, b) = 0.999, r(a, c) = 0.86


def test_of_a_pair_the_one_closer_to_the_rest_goes(columns):
    kept = CorrelationFilter(0.9).fit(columns).get_support()
    assert kept.sum() == 3 and kept[2] and kept[3]
    r = np.abs(np.corrcoef(columns, rowvar=False))
    assert kept[0] == (r[0].sum() < r[1].sum())
    assert CorrelationFilter(0.8).fit(columns).get_support().sum() == 2
    assert CorrelationFilter(0.9999).fit(columns).get_support().all()


@pytest.mark.parametrize("cutoff", [0.3, 0.6, 0.9])
def test_no_pair_above_the_cutoff_stays_and_no_column_goes_for_nothing(cutoff):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((200, 30)) @ rng.standard_normal((30, 30))
    kept = CorrelationFilter(cutoff).fit(X).get_support()
    r = np.abs(np.corrcoef(X, rowvar=False)) - np.eye(30)
    assert r[np.ix_(kept, kept)].max() <= cutoff
    assert (r[~kept].max(axis=1) > cutoff).all()


def test_a_constant_column_disturbs_nobody():
    X = np.column_stack([np.ones(50), np.arange(50.0), np.arange(50.0) ** 2])
    assert CorrelationFilter(0.99).fit(X).get_support().tolist() == [True, True, True]
    assert LinearCombinationFilter().fit(X).get_support().tolist() == [False, True, True]


def test_exact_combinations_go_whatever_their_unit():
    rng = np.random.default_rng(2)
    sand, silt = rng.uniform(0, 50, (2, 300))
    biome = rng.integers(0, 3, 300)[:, None] == np.arange(3)
    X = np.column_stack([sand, silt, 1e6 * (100 - sand - silt), biome, 1e-9 * rng.standard_normal(300) + 5e-8])
    kept = LinearCombinationFilter().fit(X).get_support()
    assert kept.tolist() == [True, True, False, True, True, False, True]
    nearly = X.copy()
    nearly[:, 2] += 10 * rng.standard_normal(300)  # 1e-5 of its spread: not exact
    assert LinearCombinationFilter().fit(nearly).get_support()[2]


def test_what_was_kept_is_kept_at_prediction_too():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((100, 4))
    X[:, 3] = X[:, 0] + X[:, 1]
    y = X @ np.array([1.0, 2, 3, 0])
    model = make_pipeline(CorrelationFilter(), LinearCombinationFilter(), LinearRegression()).fit(X, y)
    new = rng.standard_normal((5, 4))  # where the fourth is no combination of others, which must not matter
    np.testing.assert_allclose(model.predict(new), new[:, :3] @ [1, 2, 3], atol=1e-9)
