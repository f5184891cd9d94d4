"""The sampler against distributions whose moments are known."""

from __future__ import annotations

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.stats import norm

from bayes_rootc.inference.nuts import MAX_ROUNDS, MORE_DRAWS, Nuts
from bayes_rootc.models.spread import UnknownSpread, draw_spread

pytestmark = pytest.mark.compiled

TRACED: list[int] = []


def conjugate(y) -> None:
    """A normal mean with a normal prior, and a positive quantity beside it."""
    TRACED.append(0)
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
    return y, sampler, data, sampler.run(data, seed=1, draws=500)[:2]


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

    samples, stats, _ = sampler.run(data, seed=1, draws=500, enough=enough)
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
    traced = len(TRACED)
    samples, *_ = sampler.run(other, seed=2, draws=500)
    assert len(TRACED) == traced  # the model was not looked at again
    assert samples["mean"].mean() > 8


def test_the_same_seed_gives_the_same_draws_whatever_the_threads(run, monkeypatch):
    _, sampler, data, (first, _) = run
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    again = sampler.run(data, seed=1, draws=500)[0]
    np.testing.assert_array_equal(again["mean"], first["mean"])
    other = sampler.run(data, seed=2, draws=500)[0]
    assert not np.isin(other["mean"], first["mean"]).any()


def test_chains_go_on_where_they_stood(run):
    _, sampler, data, _ = run
    place = sampler.locate(data)
    first = sampler.run(data, place, seed=1, draws=100)
    again = sampler.run(data, place, seed=3, draws=500, starts=first.ends)
    assert first.ends.shape == (4, 2) and not np.isin(again.samples["mean"], first.samples["mean"]).any()
    assert float(az.rhat(again.samples["mean"])) < 1.02


PRIOR = float(np.log(0.3)), 0.6


def hierarchy(y, *, known_spread=0.0) -> None:
    """Effects that are known less well than their spread lets them vary."""
    effect = numpyro.sample("effect", UnknownSpread(*PRIOR, len(y), known=known_spread))
    numpyro.factor("data", dist.Normal(effect, 1.0).log_prob(y).sum())


def test_effects_of_unknown_spread_have_their_exact_posterior():
    """By quadrature over the spread, given which the effects are Normal."""
    y = np.array([1.1, -0.9, 0.4, -0.3, 0.8, -1.2, 0.2, 2.5])
    with jax.enable_x64(True):
        data = (jnp.asarray(y),)
    sampler = Nuts(hierarchy, data, tune=200, known_spread=True)
    place = sampler.locate(data)
    samples, stats, _ = sampler.run(data, place, seed=1, draws=1000)
    effect = samples["effect"].reshape(-1, len(y))

    log_s = np.linspace(-6, 3, 2001)
    variance = np.exp(2 * log_s)
    weight = norm.pdf(log_s, *PRIOR) * np.prod(norm.pdf(y[:, None], scale=np.sqrt(1 + variance)), axis=0)
    weight /= weight.sum()
    shrunk = variance / (1 + variance)  # the conditional variance, and the mean over y
    mean, sd = y * (weight @ shrunk), np.sqrt(weight @ shrunk + y**2 * (weight @ shrunk**2 - (weight @ shrunk) ** 2))
    ess = np.array([float(az.ess(samples["effect"][..., i])) for i in range(len(y))])
    assert (np.abs(effect.mean(axis=0) - mean) < 4 * sd / np.sqrt(ess)).all()
    np.testing.assert_allclose(effect.std(axis=0), sd, rtol=0.1)
    width = np.sqrt((np.asarray(place[1]) ** 2).sum(axis=1))
    np.testing.assert_allclose(width, sd, rtol=0.5)
    assert not stats["diverging"].any()

    spread = draw_spread(effect, PRIOR, np.random.default_rng(2))
    log_spread = np.log(spread.reshape(samples["effect"].shape[:2]))
    expected = weight @ log_s
    error = np.sqrt(weight @ (log_s - expected) ** 2 / float(az.ess(log_spread)))
    assert log_spread.mean() == pytest.approx(expected, abs=4 * error)


def test_the_global_precision_stays_as_it_was(run):
    assert jnp.asarray(1.0).dtype == jnp.float32
