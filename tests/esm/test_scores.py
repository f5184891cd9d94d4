"""Scores against closed forms and brute force."""

from __future__ import annotations

import numpy as np
import pytest

from bayes_rootc.esm import scores


def test_draws_of_the_posterior_lie_inside_as_often_as_the_interval_says():
    rng, n = np.random.default_rng(2), 4000
    reference, value = rng.normal(size=(n, 500)), rng.normal(size=(n, 1))
    got = scores.coverage(value - reference, np.ones(n))
    for name, level in (("coverage50", 0.5), ("coverage95", 0.95)):
        assert got[name] == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / n) + 1 / 500)


def test_bias_and_rmse_weigh_by_area():
    difference, weight = np.array([[1.0, 2.0], [3.0, -2.0]]), np.array([3.0, 1.0])
    np.testing.assert_allclose(scores.bias(difference, weight), [1.5, 1.0])
    np.testing.assert_allclose(scores.rmse(difference, weight), np.sqrt([3.0, 4.0]))


def test_a_model_that_is_the_map_scores_one():
    reference = np.repeat(np.random.default_rng(3).lognormal(size=(50, 1)), 20, axis=1)
    weight = np.ones(50)
    assert scores.ilamb_scores(0 * reference, reference, weight) == {"bias_score": 1.0, "rmse_score": 1.0}
    correlation, ratio = scores.pattern(reference[:, :1], reference, weight)
    np.testing.assert_allclose([correlation, ratio], 1.0)
    np.testing.assert_allclose(scores.distribution_score(correlation, ratio), 1.0)
    _, doubled = scores.pattern(2 * reference[:, :1], reference, weight)
    np.testing.assert_allclose(doubled, 2.0)


def test_the_bias_score_forgives_one_standard_deviation():
    reference = 10 + np.tile([-1.0, 1.0], (5, 10))  # mean 10, sd 1
    for shift, want in ((0.9, 1.0), (3.0, np.exp(-0.2))):
        got = scores.ilamb_scores(10 + shift - reference, reference, np.ones(5))
        assert got["bias_score"] == pytest.approx(want)
