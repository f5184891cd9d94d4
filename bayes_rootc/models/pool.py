"""The linear pool in JAX: the closed form of one interval, and the two ways of walking along a curve with it."""

from __future__ import annotations

from typing import Any, NamedTuple

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


class Intervals(NamedTuple):
    """Intervals of a curve of activities, each of which is linear, (m,)."""

    year: Any  # in which each begins
    length: Any  # yr
    inflow: Any  # at its beginning
    slope: Any  # yr⁻¹


@jax.jit
def respond(k: Array, start: Array, year: Array, curve: Intervals) -> Array:
    """Activity of each pool in its own sampling year: `k`, `start`, `year` of shape (n,)."""

    def step(activity: Array, interval: Intervals) -> tuple[Array, None]:
        # Intervals after the sampling year have zero length and leave the state as it is.
        dt = (year - interval.year).clip(0, interval.length)
        return advance(activity, k, interval.inflow, interval.slope, dt), None

    return jax.lax.scan(step, start, curve)[0]


@jax.jit
def at_nodes(k: Array, start: Array, curve: Intervals) -> Array:
    """Activity of every pool (k,) at the beginning of every interval: shape (m, k)."""

    def step(activity: Array, node: Intervals) -> tuple[Array, Array]:
        return advance(activity, k, node.inflow, node.slope, node.length), activity

    return jax.lax.scan(step, start, curve)[1]


@jax.jit
def between_nodes(activity: Array, k: Array, curve: Intervals, interval: Array, since: Array) -> Array:
    """Activity of every pool (k,) in every year, given as interval index and years since its start: shape (years, k).

    `activity` is that of `at_nodes`, so a curve is walked once for all years.
    """
    inflow, slope = (of_curve[interval][:, None] for of_curve in (curve.inflow, curve.slope))
    return advance(activity[interval], k, inflow, slope, since[:, None])
