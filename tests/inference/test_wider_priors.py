"""Draws under wider priors, by weights."""

from __future__ import annotations

import numpy as np
import pytest

from bayes_rootc.inference.turnover_fit import taken_by, under_wider_priors
from bayes_rootc.models.turnover import PRIORS


@pytest.mark.parametrize("factor", [1.5, 2.0])
def test_weighted_draws_are_of_the_posterior_under_wider_priors(factor):
    """A Normal mean and a log-normal scale, each measured once, whose posteriors are known."""
    rng, count = np.random.default_rng(1), 200_000

    def posterior(name: str, value: float, sd: float, factor: float) -> tuple[float, float]:
        (location, scale), _, _ = PRIORS[name]
        precision = (scale * factor) ** -2 + sd**-2
        return (location * (scale * factor) ** -2 + value * sd**-2) / precision, precision**-0.5

    measured = {"mean_log_k": (-4.0, 1.2), "tau_layer": (0.3, 0.4)}
    draws = {name: rng.normal(*posterior(name, *given, 1.0), count) for name, given in measured.items()}
    draws["tau_layer"] = np.exp(draws["tau_layer"])
    weight = under_wider_priors(draws, factor)
    assert weight.sum() == pytest.approx(1)
    for name, given in measured.items():
        x = draws[name] if name == "mean_log_k" else np.log(draws[name])
        middle, sd = posterior(name, *given, factor)
        error = sd * np.sqrt((weight**2).sum())  # of a weighted mean
        assert (weight * x).sum() == pytest.approx(middle, abs=5 * error)
        assert np.sqrt((weight * (x - middle) ** 2).sum()) == pytest.approx(sd, rel=0.05)
        assert abs(x.mean() - middle) > 20 * error  # the weights have done something


def test_draws_are_taken_as_often_as_they_weigh():
    weight = np.array([0.5, 0.0, 0.25, 0.25])
    np.testing.assert_array_equal(taken_by(weight), [0, 0, 2, 3])
