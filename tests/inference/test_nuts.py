"""The sampler against distributions whose moments are known."""

from __future__ import annotations

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from bayes_rootc.inference.nuts import MAX_ROUNDS, MORE_DRAWS, Nuts


def conjugate(y) -> None:
    """A normal mean with a normal prior, and a positive quantity beside it."""
    mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
    numpyro.sample("size", dist.LogNormal(1.0, 0.5))
    numpyro.deterministic("twice", 2 * mean)
    numpyro.factor("data", dist.Normal(mean, 1.0).log_prob(y).sum())


@pytest.fixture(scope="module")
def run():
    y = np.array([1.0, 2.0, 0.5, 1.5])
    with jax.enable_x64(True):
        data = (jnp.asarray(y),)
    sampler = Nuts(conjugate, data, tune=200)
    return y, sampler, data, sampler.run(data, seed=1, draws=500)


def test_moments_are_those_of_the_conjugate_posterior(run):
    y, _, _, (samples, stats) = run
    precision = len(y) + 1 / 4
    expected, sd = y.sum() / precision, 1 / np.sqrt(precision)
    draws = samples["mean"]
    ess = float(az.ess(draws, method="bulk"))
    assert draws.mean() == pytest.approx(expected, abs=4 * sd / np.sqrt(ess))
    assert draws.std() == pytest.approx(sd, rel=4 / np.sqrt(2 * ess))
    size = np.log(samples["size"])
    assert size.mean() == pytest.approx(1.0, abs=4 * 0.5 / np.sqrt(float(az.ess(size, method="bulk"))))
    np.testing.assert_allclose(samples["twice"], 2 * draws)
    assert not stats["diverging"].any() and draws.shape == (4, 500)


def test_more_is_drawn_while_it_is_not_enough(run):
    _, sampler, data, (first, _) = run
    seen = []

    def enough(samples) -> bool:
        seen.append(samples["mean"].shape[1])
        return len(seen) == 2

    samples, stats = sampler.run(data, seed=1, draws=500, enough=enough)
    both = 500 + MORE_DRAWS
    assert seen == [500, both] and samples["mean"].shape == stats["diverging"].shape == (4, both)
    np.testing.assert_array_equal(samples["mean"][:, :500], first["mean"])
    assert not np.isin(samples["mean"][:, 500:], first["mean"]).any()  # the chains went on
    never = sampler.run(data, seed=1, draws=25, enough=lambda _: False)[0]
    assert never["mean"].shape == (4, 25 + MORE_DRAWS * MAX_ROUNDS)


def test_it_serves_other_data_of_the_shape_without_compiling_again(run):
    y, sampler, _, _ = run
    with jax.enable_x64(True):
        other = (jnp.asarray(y + 10),)
    compiled = sampler._advance._cache_size()
    samples, _ = sampler.run(other, seed=2, draws=100)
    assert sampler._advance._cache_size() == compiled
    assert samples["mean"].mean() > 8


def hierarchy(y) -> None:
    """Centred effects that are known less well than their spread lets them vary."""
    spread = numpyro.sample("spread", dist.LogNormal(np.log(0.3), 0.6))
    effect = numpyro.sample("effect", dist.Normal(0.0, spread).expand([len(y)]).to_event(1))
    numpyro.factor("data", dist.Normal(effect, 1.0).log_prob(y).sum())


def test_effects_and_their_spread_are_whitened_where_they_have_their_mass():
    """At the joint mode log spread is -4.1: the prior's -1.2, less 8 x 0.6². Its marginal has a closed form."""
    y = np.array([1.1, -0.9, 0.4, -0.3, 0.8, -1.2, 0.2, 0.5])
    with jax.enable_x64(True):
        data = (jnp.asarray(y),)
    sampler = Nuts(hierarchy, data, tune=200, max_tree_depth=5, target_accept=0.9, spreads={"effect": "spread"})
    middle, factor = sampler.locate(data)
    at = sampler._unravel(jnp.arange(9.0))
    place = int(at["spread"])

    def minus_log_marginal(log_spread: float) -> float:
        data = norm.logpdf(y, scale=np.hypot(1, np.exp(log_spread))).sum()
        return -data - norm.logpdf(log_spread, np.log(0.3), 0.6)

    mode = minimize_scalar(minus_log_marginal, bounds=(-5, 2), method="bounded").x
    assert middle[place] == pytest.approx(mode, abs=0.3)  # half of its posterior standard deviation
    samples, stats = sampler.run(data, (middle, factor), seed=1, draws=500)
    width = np.sqrt((np.asarray(factor) ** 2).sum(axis=1))
    effects = np.asarray(at["effect"], int)
    np.testing.assert_allclose(width[effects], samples["effect"].std(axis=(0, 1)), rtol=0.5)
    assert width[place] == pytest.approx(np.log(samples["spread"]).std(), rel=0.5)
    assert float(az.rhat(np.log(samples["spread"]))) < 1.05 and stats["diverging"].mean() < 0.01


def test_the_global_precision_stays_as_it_was(run):
    assert jnp.asarray(1.0).dtype == jnp.float32
