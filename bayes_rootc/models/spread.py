r"""Effects of unknown standard deviation (their spread, s), integrated over s.

.. math:: p(e) = \int \mathrm{LogNormal}(s)\,\prod_i \mathrm{Normal}(e_i; 0, s)\,ds

A sampler that moves effects and their spread together meets a funnel: where s is small, the effects have no room. The
data depend on s through the effects only, and the density of s on the effects through their sum of squares; so s is
integrated out on a grid, in one dimension, and drawn afterwards given the effects. What is left is one smooth bump.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # whole: the lazy one that ArviZ leaves would break its parts
import numpyro.distributions as dist
from jax import Array
from jax.scipy.special import logsumexp
from numpy.typing import NDArray

REACH, NODES = 6.0, 201
"""The prior of log s is cut off at `REACH` standard deviations either way. The trapezoid rule on `NODES` nodes needs a
spacing of at most the posterior's standard deviation, which with n effects is about 1/√(2 n): 0.11 for 40.
"""


SIGNED = "_signed"
"""Suffix of the name of a variable whose absolute value is a standard deviation."""


class UnknownSpread(dist.Distribution):
    """n effects, Normal(0, s), whose spread has log s ~ Normal(location, scale); a value is (…, n).

    Parameters
    ----------
    location, scale : float
        Mean and standard deviation of log s.
    size : int
        Number of effects, n.
    batch : tuple of int
        Shape of the sets of effects, each with a spread of its own.
    known : float or Array
        1 for effects whose spread is known, at the median of its prior; 0 otherwise; may be traced.
    """

    support = dist.constraints.real_vector

    def __init__(self, location: float, scale: float, size: int, batch: tuple[int, ...] = (), known: Any = 0.0):
        self.location, self.scale, self.known = location, scale, known
        super().__init__(batch_shape=batch, event_shape=(size,))

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws of the effects, each set from a spread of its own."""
        first, second = jax.random.split(key)
        log_spread = self.location + self.scale * jax.random.normal(first, (*sample_shape, *self.batch_shape, 1))
        return jnp.exp(log_spread) * jax.random.normal(second, (*sample_shape, *self.batch_shape, *self.event_shape))

    def log_prob(self, value: Array) -> Array:
        """Log probability density of each set of effects, (…)."""
        size = value.shape[-1]
        z, step = np.linspace(-REACH, REACH, NODES, retstep=True)
        terms = _exponent(jnp, (value**2).sum(axis=-1), size, self.location, self.scale, z)
        unknown = logsumexp(terms, axis=-1) + np.log(step) - 0.5 * (size + 1) * np.log(2 * np.pi)
        known = dist.Normal(0.0, np.exp(self.location)).log_prob(value).sum(axis=-1)
        return jnp.where(self.known > 0, known, unknown)


def draw_spread(
    effects: NDArray[np.float64], prior: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draws of the spread given effects, (…, n): one for each set, (…).

    Parameters
    ----------
    prior : tuple of float
        Location and scale of log s.
    """
    z, step = np.linspace(-REACH, REACH, 2 * NODES, retstep=True)
    terms = _exponent(np, (effects**2).sum(axis=-1), effects.shape[-1], *prior, z)
    mass = np.cumsum(np.exp(terms - terms.max(axis=-1, keepdims=True)), axis=-1)
    u = rng.uniform(size=mass.shape[:-1])[..., None] * mass[..., -1:]
    node = (mass < u).sum(axis=-1)
    return np.exp(prior[0] + prior[1] * (z[node] + step * rng.uniform(-0.5, 0.5, node.shape)))


def _exponent(xp: Any, squares: Any, size: int, location: float, scale: float, z: NDArray[np.float64]) -> Any:
    """Log of prior times likelihood at log s = location + scale z, but for a constant: (…, node)."""
    log_spread = location + scale * z
    return -0.5 * z**2 - size * log_spread - 0.5 * xp.exp(-2 * log_spread) * squares[..., None]


def half_normal(name: str, scale: Any, *, dims: str | None = None) -> Any:
    """A half-normal standard deviation in a PyMC model, sampled as the absolute value of a normal variable.

    On the log scale, where PyMC would sample it, a spread that may be zero has an endless left tail, which trajectories
    explore slowly. With a sign the tail is gone: both signs say the same, and the density is smooth across zero.

    Parameters
    ----------
    name : str
        Name of the spread; the variable that is sampled is called after it, with `SIGNED`.
    scale : float or array
        Scale of the half-normal prior.
    dims : str, optional
        Dimension of the spread in the PyMC model.

    Returns
    -------
    TensorVariable
        PyMC deterministic, at least 0.
    """
    import pymc as pm

    return pm.Deterministic(name, abs(pm.Normal(name + SIGNED, 0.0, scale, dims=dims)), dims=dims)


def divided_spread(names: tuple[str, str], scales: tuple[float, float], dims: str) -> tuple[Any, Any]:
    """Two independent half-normal spreads in a PyMC model, of which data know the sum of squares better than its parts.

    The posterior of two such spreads lies along an arc. They are sampled as its radius, which has a Rayleigh prior, and
    the place on it, uniform in angle: the priors of the spreads are exactly half-normal.

    Parameters
    ----------
    names : tuple of str
        Names of the spreads.
    scales : tuple of float
        Scale of the half-normal prior of each.
    dims : str
        Dimension of the spreads in the PyMC model.

    Returns
    -------
    tuple of two PyMC deterministics, >= 0
    """
    import pymc as pm
    import pytensor.tensor as pt

    radius = pm.Weibull(f"{'_and_'.join(names)}_radius", alpha=2.0, beta=np.sqrt(2.0), dims=dims)
    place = pm.Normal(f"{'_and_'.join(names)}_place", 0.0, 1.0, dims=dims)
    angle = np.pi / 4 * (1 + pt.erf(place / np.sqrt(2)))
    parts = (scales[0] * radius * pt.cos(angle), scales[1] * radius * pt.sin(angle))
    first, second = (pm.Deterministic(n, part, dims=dims) for n, part in zip(names, parts, strict=True))
    return first, second


def normal_prior(priors: Mapping[str, tuple[Any, Any, str]], name: str, *shape: int) -> Any:
    """Samples a parameter under its Normal prior, (location, scale, reason)."""
    location, scale, _ = priors[name]
    return numpyro.sample(name, dist.Normal(location, scale).expand(shape).to_event())


def positive_prior(priors: Mapping[str, tuple[Any, Any, str]], name: str, *shape: int) -> Any:
    """The same of a parameter whose logarithm is Normal."""
    location, scale, _ = priors[name]
    white = numpyro.sample(f"{name}_white", dist.Normal(0.0, 1.0).expand(shape).to_event())
    return numpyro.deterministic(name, jnp.exp(location + scale * white))
