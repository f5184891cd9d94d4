r"""Many rates in one layer: log k ~ Normal(m, s²) within it, weighted by carbon and truncated to the range of rates
that can be distinguished.

Observations of such a layer are means over it: bulk Δ14C weighted by carbon, Δ14C of respired CO₂ weighted by carbon
and rate. In steady state its input is C E[k], of which C E[k exp(-kt)] stays longer than t; the mean age of the carbon
is E[1/k], and the mean transit time C over the input. All of them use the same truncated distribution.

Weighting by k moves a Normal of log k by s², so that E[k] = exp(m + s²/2), less what the truncation takes.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from .radiocarbon import LOG_K_RANGE

SPREADS = np.linspace(0.0, 3.25, 14)
"""Values of s in tables of means; cubic interpolation between them is good to 1 ‰ since 1968 and to 3 ‰ in 1964."""

MAX_SPREAD = 3.0
"""Largest s that can be distinguished from larger ones; beyond it, the distribution fills the whole range of rates."""

FINE = 1024
"""Number of rates over which means are taken."""

ONE_RATE = 1e-4
"""Spread below which a layer has one rate."""

PERSISTING = (0, 1, 10, 30, 100, 300)
"""Times (yr) for which the input that stays longer is reported."""

NODES, REACH = 96, 8.0
"""Number of points of the Gauss–Legendre rule over the rates of a layer, and its reach from the centre, in s."""


def fine_log_k() -> NDArray[np.float64]:
    """The log rates over which means are taken."""
    return np.linspace(*LOG_K_RANGE, FINE)


def mean_table(
    values: NDArray[np.float64], log_k: NDArray[np.float64], weight: NDArray[np.float64] | float = 1.0
) -> NDArray[np.float32]:
    """Weighted means of a quantity that depends on the rate, for every centre and spread.

    Parameters
    ----------
    values : ndarray, shape (row, FINE)
        The quantity for carbon of each rate, such as Δ14C (‰).
    log_k : ndarray, shape (G,)
        Centres m.
    weight : float or ndarray, shape (FINE,) or (row, FINE)
        Weight of carbon of each rate; 1 for a mean by carbon.

    Returns
    -------
    ndarray, shape (row, spread, G)
        Means at `SPREADS`, in single precision.
    """
    out = [mean_of(values, log_k, float(spread), weight) for spread in SPREADS]
    return np.stack(out, axis=1).astype(np.float32)


def mean_of(
    values: NDArray[np.float64], log_k: NDArray[np.float64], spread: float, weight: NDArray[np.float64] | float = 1.0
) -> NDArray[np.float64]:
    """Weighted means of a quantity that depends on the rate, for every centre, at one spread.

    Arguments are those of `mean_table`.
    """
    fine = fine_log_k()
    if spread == 0:
        return np.array([np.interp(log_k, fine, row) for row in values]).reshape(len(values), len(log_k))
    mixture = np.exp(-0.5 * ((fine[:, None] - log_k) / spread) ** 2)
    mixture[[0, -1]] /= 2
    shares = np.broadcast_to(weight, values.shape)
    return (shares * values) @ mixture / (shares @ mixture)


def neighbours(spread: Any) -> list[tuple[Any, Any]]:
    """Positions in `SPREADS`, and weights, of the Catmull–Rom cubic that interpolates a table at `spread`, (n,).

    Means are even in s, which gives the neighbour below 0.
    """
    xp = jnp if isinstance(spread, Array) else np
    place = xp.clip(spread, 0.0, MAX_SPREAD) / (SPREADS[1] - SPREADS[0])
    left = xp.clip(xp.floor(place).astype(int), 0, len(SPREADS) - 3)
    t = place - left
    return [
        (abs(left - 1), -t / 2 + t**2 - t**3 / 2),
        (left, 1 - 2.5 * t**2 + 1.5 * t**3),
        (left + 1, t / 2 + 2 * t**2 - 1.5 * t**3),
        (left + 2, -(t**2) / 2 + t**3 / 2),
    ]


def interpolate(table: Array, row: Array, spread: Array) -> Array:
    """Rows of a `mean_table` at spreads between its own.

    Parameters
    ----------
    table : Array, shape (row, spread, G)
        Means at `SPREADS`.
    row : Array of int, shape (n,)
        Row of the table.
    spread : Array, shape (n,)
        Spread s for each of these rows.

    Returns
    -------
    Array, shape (n, G)
    """
    parts = [table[row, at] * weight.astype(table.dtype)[:, None] for at, weight in neighbours(spread)]
    return parts[0] + parts[1] + parts[2] + parts[3]


def values_at(
    table: NDArray[np.floating], row: NDArray[np.int64], spread: NDArray[np.floating], place: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One value of a `mean_table` for each layer, at its row, spread and position among the centres (0 … G - 1)."""
    left = np.minimum(place.astype(int), table.shape[2] - 2)
    share = place - left
    return sum(
        weight * (table[row, at, left] * (1 - share) + table[row, at, left + 1] * share)
        for at, weight in neighbours(spread)
    )


def input_rate(log_k: ArrayLike, spread: ArrayLike) -> NDArray[np.float64]:
    """Input over stock in steady state, E[k] (yr⁻¹), of layers with centre `log_k` and spread `spread`.

    Examples
    --------
    One pool of 100 years, and rates that spread by a factor of e to either side, whose fast part needs more input:

    >>> input_rate(np.log(0.01), [0.0, 1.0]).round(4)
    array([0.01  , 0.0165])
    """
    return _moment(log_k, spread, 1)


def mean_age(log_k: ArrayLike, spread: ArrayLike) -> NDArray[np.float64]:
    """Mean age of the carbon in steady state, E[1/k] (yr).

    Examples
    --------
    >>> mean_age(np.log(0.01), [0.0, 1.0]).round(0)
    array([100., 165.])
    """
    return _moment(log_k, spread, -1)


def _moment(log_k: ArrayLike, spread: ArrayLike, power: int) -> NDArray[np.float64]:
    """E[k^power] of the truncated log-normal."""
    m, s = np.broadcast_arrays(np.asarray(log_k, float), np.asarray(spread, float))
    one = s < ONE_RATE
    wide = np.where(one, 1.0, s)  # there is nothing to cut from one rate, wherever it is
    low, high = ((end - m) / wide for end in LOG_K_RANGE)
    shift = power * wide
    share = _between(low - shift, high - shift) / _between(low, high)
    return np.exp(power * m + 0.5 * (power * s) ** 2) * np.where(one, 1.0, share)


def _between(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normal probability between two bounds, computed from the nearer tail."""
    turn = low > 0
    return np.where(turn, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))


def persisting_rate(log_k: ArrayLike, spread: ArrayLike, years: float) -> NDArray[np.float64]:
    """Input that stays longer than `years` over stock, E[k exp(-k years)] (yr⁻¹), in steady state.

    Parameters
    ----------
    log_k, spread : array-like
        Centre and spread of each layer; they broadcast.
    years : float
        Time since the carbon entered, yr; 0 gives the whole input.

    Examples
    --------
    In one pool of 100 years, a share of exp(-1) of the input stays for 100 years:

    >>> persisting_rate([np.log(0.01)], 0.0, 100.0).round(5)
    array([0.00368])
    """
    if years == 0:
        return input_rate(log_k, spread)
    m, s = np.broadcast_arrays(np.asarray(log_k, float), np.asarray(spread, float))
    # Weighted by rate, the distribution is shifted by s²: E[k f(k)] = E[k] E'[f(k)].
    centre, wide = np.where(s < ONE_RATE, np.clip(m, *LOG_K_RANGE), m + s**2), np.maximum(s, ONE_RATE)
    low = np.maximum(LOG_K_RANGE[0], np.minimum(centre, LOG_K_RANGE[1]) - REACH * wide)
    high = np.minimum(LOG_K_RANGE[1], np.maximum(centre, LOG_K_RANGE[0]) + REACH * wide)
    stays, whole = np.zeros(m.shape), np.zeros(m.shape)
    for node, rule in zip(*np.polynomial.legendre.leggauss(NODES), strict=True):
        log_rate = low + (high - low) * (node + 1) / 2
        weight = rule * np.exp(-0.5 * ((log_rate - centre) / wide) ** 2)
        stays += weight * np.exp(-np.exp(log_rate) * years)
        whole += weight
    stays /= whole
    return input_rate(m, s) * stays


def persisting_rates(log_k: NDArray[np.float64], spread: NDArray[np.float64]) -> dict[int, NDArray[np.float64]]:
    """`persisting_rate` for each of `PERSISTING`, by interpolation: for millions of layers and draws.

    Parameters
    ----------
    log_k, spread : ndarray
        Centre, within the range of rates, and spread of each layer, of one shape.

    Returns
    -------
    dict of int to ndarray
        Rate for each number of years, yr⁻¹, accurate to a thousandth of the whole input.
    """
    centres = fine_log_k()
    place = (log_k.ravel() - centres[0]) / (centres[1] - centres[0])
    row, s = np.zeros(log_k.size, int), spread.ravel()
    whole, out = input_rate(log_k, spread), {}
    for years in PERSISTING:
        with np.errstate(divide="ignore"):
            share = persisting_rate(centres, SPREADS[:, None], years) / input_rate(centres, SPREADS[:, None])
        out[years] = whole * np.clip(values_at(share[None], row, s, place), 0, 1).reshape(log_k.shape)
    return out
