"""The continuous ranked probability score against its definition, closed forms, and another library."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from bayes_rootc.crps import ensemble_crps, ensemble_log_density, normal_crps


def test_it_is_the_mean_over_pairs_of_different_draws():
    rng = np.random.default_rng(1)
    observed, members = rng.normal(size=4), rng.normal(size=(4, 30))
    pairs = np.abs(members[:, :, None] - members[:, None]).sum(axis=(1, 2)) / (30 * 29)
    want = np.abs(members - observed[:, None]).mean(axis=1) - pairs / 2
    np.testing.assert_allclose(ensemble_crps(observed, members), want, rtol=1e-10)
    np.testing.assert_allclose(ensemble_crps(observed, members.T, axis=0), want, rtol=1e-10)


def test_it_needs_two_draws():
    with pytest.raises(ValueError, match="1 draws of a prediction: its CRPS needs at least 2"):
        ensemble_crps([0.0], [[1.0]])


def test_few_draws_score_as_many_do():
    """The mean over all pairs, self included, would make 4 draws 0.14 worse than many."""
    rng = np.random.default_rng(2)
    observed, members = rng.normal(size=40_000), rng.normal(size=(40_000, 4))
    want = normal_crps(observed, 0.0, 1.0).mean()
    scores = ensemble_crps(observed, members)
    assert scores.mean() == pytest.approx(want, abs=4 * scores.std() / np.sqrt(40_000))


def test_the_normal_score_is_that_of_many_draws():
    """Draws are quantiles of the normal, so that only their number errs."""
    members, at = 4000, np.array([-1.0, 0.3, 2.0])
    draws = 1.0 + 2.0 * norm.ppf((np.arange(members) + 0.5) / members)
    got = ensemble_crps(at, np.tile(draws, (3, 1)))
    np.testing.assert_allclose(normal_crps(at, 1.0, 2.0), got, atol=4 / members)


def test_without_spread_it_is_the_absolute_error():
    np.testing.assert_allclose(ensemble_crps([1.0, -2.0], np.zeros((2, 5))), [1.0, 2.0])
    np.testing.assert_allclose(normal_crps([1.0, -2.0], 0.0, 0.0), [1.0, 2.0], rtol=1e-9)


def test_scoringrules_finds_the_same():
    import scoringrules  # compiles for some seconds

    rng = np.random.default_rng(3)
    observed, members = rng.normal(size=50), 3 * rng.normal(size=(50, 17))
    want = scoringrules.crps_ensemble(observed, members, estimator="fair", backend="numpy")
    np.testing.assert_allclose(ensemble_crps(observed, members), want, rtol=1e-10)
    want = -scoringrules.logs_ensemble(observed, members, backend="numpy")
    np.testing.assert_allclose(ensemble_log_density(observed, members.T, axis=0), want, rtol=1e-10)
    mean, sd = rng.normal(size=50), rng.lognormal(size=50)
    want = scoringrules.crps_normal(observed, mean, sd, backend="numpy")
    np.testing.assert_allclose(normal_crps(observed, mean, sd), want, rtol=1e-10)


def test_draws_half_of_which_are_the_same_have_a_density():
    """Quantiles over the responses of a small leaf are often such."""
    draws = np.r_[np.zeros(80), np.linspace(-1, 1, 20)]
    near, far = ensemble_log_density([0.0, 2.0], [draws, draws])
    width = 1.06 * draws.std(ddof=1) * 100**-0.2
    assert near == pytest.approx(np.log(norm.pdf(draws, scale=width).mean()), rel=1e-10) and far < near - 3


def test_a_fit_and_a_benchmark_score_alike():
    from bayes_rootc.esm.compare import _scores
    from bayes_rootc.inference.checks import predictive_scores

    rng = np.random.default_rng(4)
    value, draws = rng.normal(size=(30, 1)), rng.normal(size=(30, 20))
    of_fit = predictive_scores(value[:, 0], draws.T, draws.mean(axis=1))["crps"].mean()
    assert _scores(value, draws, np.ones(30))["crps"] == pytest.approx(of_fit, rel=1e-12)
