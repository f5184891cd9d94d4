"""The linear pool in JAX: the closed form of one interval, and the two ways of walking along a curve with it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from ..constants import GAMMA


def advance(activity: Array, k: Array, inflow: Array, slope: Array, dt: Array) -> Array:
    """State after `dt` years under an atmosphere `inflow + slope * t` (activities, yr⁻¹, yr); arrays broadcast."""
    x = (k + GAMMA) * dt
    small = x < 1e-2
    safe = jnp.where(small, 1.0, x)
    decayed = -jnp.expm1(-x)
    # φ1 = (1 - e^-x)/x and φ2 = (x - 1 + e^-x)/x² cancel for small x; there the series below are exact to 1e-16.
    phi1 = jnp.where(small, 1 - x / 2 + x**2 / 6 - x**3 / 24 + x**4 / 120 - x**5 / 720 + x**6 / 5040, decayed / safe)
    phi2 = jnp.where(
        small,
        1 / 2 - x / 6 + x**2 / 24 - x**3 / 120 + x**4 / 720 - x**5 / 5040 + x**6 / 40320,
        (safe - decayed) / safe**2,
    )
    return activity * (1 - decayed) + k * dt * (inflow * phi1 + slope * dt * phi2)


@jax.jit
def respond(k: Array, start: Array, year: Array, node_year: Array, length: Array, inflow: Array, slope: Array) -> Array:
    """Activity of each pool in its own sampling year: `k`, `start`, `year` of shape (n,), the curve's intervals of
    shape (m,).
    """

    def step(activity: Array, interval: tuple[Array, ...]) -> tuple[Array, None]:
        node_year, length, inflow, slope = interval
        # Intervals after the sampling year have zero length and leave the state as it is.
        dt = (year - node_year).clip(0, length)
        return advance(activity, k, inflow, slope, dt), None

    return jax.lax.scan(step, start, (node_year, length, inflow, slope))[0]


@jax.jit
def respond_on_grid(
    k: Array, start: Array, length: Array, inflow: Array, slope: Array, interval: Array, since: Array
) -> Array:
    """Activity of every pool (k,) in every year, given as interval index and years since its start: shape (years, k).

    The curve is walked once for all years, so the cost is (nodes + years) x k.
    """

    def step(activity: Array, node: tuple[Array, ...]) -> tuple[Array, Array]:
        length, inflow, slope = node
        return advance(activity, k, inflow, slope, length), activity

    _, at_nodes = jax.lax.scan(step, start, (length, inflow, slope))
    return advance(at_nodes[interval], k, inflow[interval][:, None], slope[interval][:, None], since[:, None])
