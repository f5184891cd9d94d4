r"""Many rates in one layer, of one of two families: log-normal, log k ~ Normal(m, s²), or two pools, a fast and a slow
one, whose log k has the same mean m and standard deviation s. Both are weighted by carbon.

Observations of such a layer are means over it: bulk Δ14C weighted by carbon, Δ14C of respired CO₂ weighted by carbon
and rate; light carbon (by density) is a part in which fast carbon is more frequent than in the rest. In steady state
its input is C E[k], of which C E[k exp(-kt)] stays longer than t; the mean age of the carbon is E[1/k], and the mean
transit time C over the input. All of them use the same distribution, kept within the range of rates that can be
distinguished: the log-normal is truncated to it, a pool beyond it is put at its end.

Weighting by k moves a Normal of log k by s², so that E[k] = exp(m + s²/2), less what the truncation takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.polynomial.hermite_e import hermeval
from numpy.typing import ArrayLike, NDArray
from scipy.special import factorial, ndtr, ndtri

from .radiocarbon import LOG_K_RANGE

type FamilyName = Literal["log-normal", "two pools"]

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

TERMS = 4
"""Terms of the series for light less heavy carbon; with a link of 0.7 what is left out is 2 % of it."""


class Shape(NamedTuple):
    """How the rates of layers are distributed about their centres.

    Attributes
    ----------
    spread : array, shape (layer,)
        Standard deviation s of log k within a layer.
    fast : array, shape (layer,), or None
        Share of the carbon that is in the faster one of two pools; None: log-normal.
    link : array, or None
        How strongly light carbon is fast carbon: from 0, not at all, to 1, as strongly as can be.
    """

    spread: Any
    fast: Any = None
    link: Any = None

    def of(self, layers: Any) -> Shape:
        """That of some layers."""
        return Shape(self.spread[layers], None if self.fast is None else self.fast[layers], self.link)


class LogNormal(NamedTuple):
    """Means over log-normal rates, at `SPREADS` and the nodes of their centre.

    Attributes
    ----------
    bulk : array, shape (row, spread, G)
        Δ14C of carbon, ‰; layers of one year and zone share a row.
    respired : array, shape (incubated, spread, G)
        Δ14C of what is respired in the jar, ‰.
    parts : array, shape (parted, TERMS, spread, G)
        Light less heavy carbon, ‰: terms that powers of the link multiply.
    flux : array, shape (row, spread, G), or None
        Δ14C of what respires at one moment, ‰.
    """

    bulk: Any
    respired: Any
    parts: Any
    flux: Any = None


class TwoPools(NamedTuple):
    """Δ14C of single rates, from which those of two pools are taken.

    Attributes
    ----------
    bulk : array, shape (row, 3 G)
        Δ14C of carbon of one rate, ‰, at the nodes of log k and as many below and above, where it is that at the ends.
    log_k : array, shape (G,)
        The nodes.
    respired_row, parts_row : array of int, shape (incubated,) and (parted,)
        Rows of `bulk`.
    length : array, shape (incubated,)
        Length of the incubations, yr.
    light_share : array, shape (parted,)
        Share of the carbon that is light.
    """

    bulk: Any
    log_k: Any
    respired_row: Any
    parts_row: Any
    length: Any
    light_share: Any


type Family = LogNormal | TwoPools
type Kind = Literal["bulk", "respired", "parts"]


def fine_log_k() -> NDArray[np.float64]:
    """The log rates over which means are taken."""
    return np.linspace(*LOG_K_RANGE, FINE)


def mean_table(
    values: NDArray[np.float64], log_k: NDArray[np.float64], weight: NDArray[np.float64] | float = 1.0
) -> NDArray[np.float32]:
    """Weighted means of a quantity that depends on the rate, for every centre and spread of log-normal rates.

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
    mixture = _mixture(log_k, spread)
    shares = np.broadcast_to(weight, values.shape)
    return (shares * values) @ mixture / (shares @ mixture)


def _mixture(log_k: NDArray[np.float64], spread: float) -> NDArray[np.float64]:
    """Weights of the fine rates for each centre, (FINE, G), by the trapezoid rule."""
    mixture = np.exp(-0.5 * ((fine_log_k()[:, None] - log_k) / spread) ** 2)
    mixture[[0, -1]] /= 2
    return mixture


def parts_table(
    values: NDArray[np.float64], log_k: NDArray[np.float64], light_share: NDArray[np.float64]
) -> NDArray[np.float32]:
    r"""Terms of light less heavy carbon in layers of log-normal rates.

    Carbon is light where ρ z + √(1 - ρ²) ε exceeds a threshold that leaves the light share, z being the standardised
    log k and ε as much chance. Its probability given z is a tetrachoric series in ρ, the link: term n has the nth
    Hermite polynomial of z (Pearson 1900, Philosophical Transactions A 195, 1-47).

    Parameters
    ----------
    values : ndarray, shape (parted, FINE)
        Δ14C of carbon of each rate, ‰.
    log_k : ndarray, shape (G,)
        Centres.
    light_share : ndarray, shape (parted,)
        Share of the carbon that is light, 0 to 1.

    Returns
    -------
    ndarray, shape (parted, TERMS, spread, G)
    """
    out = np.zeros((len(values), TERMS, len(SPREADS), len(log_k)))
    threshold = -ndtri(light_share)
    density = np.exp(-0.5 * threshold**2) / np.sqrt(2 * np.pi) / (light_share * (1 - light_share))
    for at, spread in enumerate(SPREADS[1:], start=1):
        mixture = _mixture(log_k, float(spread))
        z = (fine_log_k()[:, None] - log_k) / spread
        for n in range(1, TERMS + 1):
            moment = values @ (mixture * _hermite(n, z)) / mixture.sum(axis=0)
            out[:, n - 1, at] = (density * _hermite(n - 1, threshold) / factorial(n))[:, None] * moment
    return out.astype(np.float32)


def _hermite(n: int, z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(hermeval(z, np.eye(n + 1)[n]))


def padded(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows (row, G) with as many nodes below and above, at the values of the ends: (row, 3 G)."""
    return np.pad(values, ((0, 0), (values.shape[1],) * 2), mode="edge").astype(np.float32)


def with_slopes(rates: Family, kind: Kind, row: Array, shape: Shape) -> tuple[Array, Shape]:
    """Δ14C of layers at every node of log k, and how it changes with the shape of the distribution of rates.

    Parameters
    ----------
    rates : LogNormal or TwoPools
    kind : {"bulk", "respired", "parts"}
        The carbon that is measured.
    row : Array of int, shape (n,)
        Rows of the tables.
    shape : Shape
        One for each of these layers.

    Returns
    -------
    fitted : Array, shape (n, G)
        ‰.
    slopes : Shape
        Derivatives by each part of the shape that the value depends on, (n, G).
    """
    fitted = _log_normal if isinstance(rates, LogNormal) else _two_pools

    def slope(name: str) -> Any:
        at = getattr(shape, name)
        if at is None or (name == "link" and kind != "parts"):
            return None
        return jax.jvp(lambda v: fitted(rates, kind, row, shape._replace(**{name: v})), (at,), (jnp.ones_like(at),))[1]

    return fitted(rates, kind, row, shape), Shape(*(slope(name) for name in Shape._fields))


def _log_normal(rates: Any, kind: Kind, row: Array, shape: Shape) -> Array:
    table = getattr(rates, kind)
    if kind != "parts":
        return interpolate(table, row, shape.spread)
    terms = [shape.link ** (n + 1) * interpolate(table[:, n], row, shape.spread) for n in range(TERMS)]
    return sum(terms[1:], terms[0])


def _two_pools(rates: Any, kind: Kind, row: Array, shape: Shape) -> Array:
    fast, slow = pools(0.0, shape.spread, shape.fast, lambda v: v)
    at = row if kind == "bulk" else getattr(rates, f"{kind}_row")[row]
    of_fast, of_slow = (_shifted(rates, at, shift) for shift in (fast, slow))
    share = shape.fast.astype(of_fast.dtype)[:, None]
    if kind == "parts":
        return (of_fast - of_slow) * contrast(shape.fast, rates.light_share[row], shape.link)[:, None]
    if kind == "bulk":
        return share * of_fast + (1 - share) * of_slow
    by_fast, by_slow = (
        -jnp.expm1(-jnp.exp(jnp.clip(rates.log_k + shift[:, None], *LOG_K_RANGE)) * rates.length[row][:, None])
        for shift in (fast, slow)
    )
    weight = share * by_fast / (share * by_fast + (1 - share) * by_slow)
    return weight * of_fast + (1 - weight) * of_slow


def _shifted(rates: TwoPools, row: Array, shift: Array) -> Array:
    """Δ14C of carbon whose log k is farther up than each node by a shift, (n, G)."""
    count, width = len(rates.log_k), rates.bulk.shape[1]
    place = jnp.clip(shift / (rates.log_k[1] - rates.log_k[0]), 2 - count, count - 3) + count
    left = jnp.floor(place).astype(int)

    def stretch(row: Array, start: Array) -> Array:
        return lax.dynamic_slice(rates.bulk, (row, start), (1, min(count + 3, width)))[0]

    values = jax.vmap(stretch)(row, left - 1)
    weights = [w.astype(values.dtype)[:, None] for w in _cubic(place - left)]
    parts = [w * values[:, n : n + count] for n, w in enumerate(weights)]
    return parts[0] + parts[1] + parts[2] + parts[3]


def contrast(fast: Any, light_share: Any, link: Any) -> Any:
    """By how much the share of the fast one of two pools is greater in light than in heavy carbon.

    Parameters
    ----------
    fast, light_share : array-like
        Shares of all carbon that are in the fast pool, and that are light.
    link : array-like
        0: light carbon is like the rest; 1: it has as much of the fast pool as can be.
    """
    xp = jnp if isinstance(link, Array) else np
    return link * fast * (xp.minimum(1.0, light_share / fast) - light_share) / (light_share * (1 - light_share))


def pools(log_k: Any, spread: Any, fast: Any, keep: Callable[[Any], Any] | None = None) -> tuple[Any, Any]:
    """log k of the fast and of the slow pool, from its mean and standard deviation and the share of the fast one.

    By default both are kept within the range of rates; `keep` does something else with them.
    """
    odds = (1 - fast) / fast
    both = log_k + spread * odds**0.5, log_k - spread / odds**0.5
    keep = keep or (lambda v: np.clip(v, *LOG_K_RANGE))
    return keep(both[0]), keep(both[1])


def _cubic(t: Any) -> list[Any]:
    """Weights of four neighbours in Catmull–Rom's cubic, at a share t of the way from the second to the third."""
    return [
        -t / 2 + t**2 - t**3 / 2,
        1 - 2.5 * t**2 + 1.5 * t**3,
        t / 2 + 2 * t**2 - 1.5 * t**3,
        -(t**2) / 2 + t**3 / 2,
    ]


def neighbours(spread: Any) -> list[tuple[Any, Any]]:
    """Positions in `SPREADS`, and weights, of the cubic that interpolates a table at `spread`, (n,).

    Means are even in s, which gives the neighbour below 0.
    """
    xp = jnp if isinstance(spread, Array) else np
    place = xp.clip(spread, 0.0, MAX_SPREAD) / (SPREADS[1] - SPREADS[0])
    left = xp.clip(xp.floor(place).astype(int), 0, len(SPREADS) - 3)
    return list(zip((abs(left - 1), left, left + 1, left + 2), _cubic(place - left), strict=True))


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


def fitted_at(
    rates: Family,
    kind: Kind | Literal["flux"],
    row: NDArray[np.int64],
    shape: Shape,
    place: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Δ14C (‰) of layers whose centres are at a place among the nodes of log k (0 … G - 1), (n,).

    Parameters
    ----------
    rates : LogNormal or TwoPools
        In NumPy's arrays.
    kind : {"bulk", "respired", "parts", "flux"}
        The carbon that is measured; "flux": what respires at one moment, in rows of the bulk carbon.
    row : ndarray of int, shape (n,)
        Rows of the tables.
    shape : Shape
        One for each of these layers.
    place : ndarray, shape (n,)
    """
    if isinstance(rates, LogNormal):
        table = getattr(rates, kind)
        if kind != "parts":
            return values_at(table, row, shape.spread, place)
        return sum(shape.link ** (n + 1) * values_at(table[:, n], row, shape.spread, place) for n in range(TERMS))
    count, step = len(rates.log_k), rates.log_k[1] - rates.log_k[0]
    at = row if kind in ("bulk", "flux") else getattr(rates, f"{kind}_row")[row]
    two, logs = [], []
    for shift in pools(0.0, shape.spread, shape.fast, lambda v: v):
        where = np.clip(place + shift / step, 0, count - 1)
        left = np.minimum(where.astype(int), count - 2)
        low, high = (rates.bulk[at, count + left + n] for n in (0, 1))
        two.append(low + (where - left) * (high - low))
        logs.append(rates.log_k[0] + step * where)
    share = shape.fast
    if kind == "parts":
        return np.asarray((two[0] - two[1]) * contrast(share, rates.light_share[row], shape.link))
    if kind != "bulk":
        length = 1e-6 if kind == "flux" else rates.length[row]  # in a moment, in proportion to k
        by_fast, by_slow = (-np.expm1(-np.exp(v) * length) for v in logs)
        share = share * by_fast / (share * by_fast + (1 - share) * by_slow)
    return np.asarray(share * two[0] + (1 - share) * two[1])


def input_rate(log_k: ArrayLike, spread: ArrayLike, fast: ArrayLike | None = None) -> NDArray[np.float64]:
    """Input over stock in steady state, E[k] (yr⁻¹).

    Parameters
    ----------
    log_k, spread : array-like
        Centre and spread of the rates of each layer; they broadcast.
    fast : array-like, optional
        Share of the fast one of two pools; by default rates are log-normal.

    Examples
    --------
    One pool of 100 years, and rates that spread by a factor of e to either side, whose fast part needs more input:

    >>> input_rate(np.log(0.01), [0.0, 1.0]).round(4)
    array([0.01  , 0.0165])
    """
    return _moment(log_k, spread, fast, 1)


def mean_age(log_k: ArrayLike, spread: ArrayLike, fast: ArrayLike | None = None) -> NDArray[np.float64]:
    """Mean age of the carbon in steady state, E[1/k] (yr); arguments are those of `input_rate`.

    Examples
    --------
    >>> mean_age(np.log(0.01), [0.0, 1.0]).round(0)
    array([100., 165.])
    """
    return _moment(log_k, spread, fast, -1)


def _moment(log_k: ArrayLike, spread: ArrayLike, fast: ArrayLike | None, power: int) -> NDArray[np.float64]:
    """E[k^power]."""
    m, s = np.broadcast_arrays(np.asarray(log_k, float), np.asarray(spread, float))
    if fast is not None:
        share = np.asarray(fast, float)
        quick, slow = pools(m, s, share)
        return np.asarray(share * np.exp(power * quick) + (1 - share) * np.exp(power * slow))
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


def persisting_rate(
    log_k: ArrayLike, spread: ArrayLike, years: float, fast: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Input that stays longer than `years` over stock, E[k exp(-k years)] (yr⁻¹), in steady state.

    Parameters
    ----------
    log_k, spread, fast : array-like
        As in `input_rate`.
    years : float
        Time since the carbon entered, yr; 0 gives the whole input.

    Examples
    --------
    In one pool of 100 years, a share of exp(-1) of the input stays for 100 years:

    >>> persisting_rate([np.log(0.01)], 0.0, 100.0).round(5)
    array([0.00368])
    """
    if years == 0:
        return input_rate(log_k, spread, fast)
    m, s = np.broadcast_arrays(np.asarray(log_k, float), np.asarray(spread, float))
    if fast is not None:
        share = np.asarray(fast, float)
        quick, slow = (np.exp(v) for v in pools(m, s, share))
        return np.asarray(share * quick * np.exp(-quick * years) + (1 - share) * slow * np.exp(-slow * years))
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


def persisting_rates(
    log_k: NDArray[np.float64], spread: NDArray[np.float64], fast: NDArray[np.float64] | None = None
) -> dict[int, NDArray[np.float64]]:
    """`persisting_rate` for each of `PERSISTING`, where rates are log-normal by interpolation: for millions of layers
    and draws.

    Parameters
    ----------
    log_k, spread, fast : ndarray
        As in `input_rate`, of one shape; centres within the range of rates.

    Returns
    -------
    dict of int to ndarray
        Rate for each number of years, yr⁻¹, accurate to a thousandth of the whole input.
    """
    if fast is not None:
        return {years: persisting_rate(log_k, spread, years, fast) for years in PERSISTING}
    centres = fine_log_k()
    place = (log_k.ravel() - centres[0]) / (centres[1] - centres[0])
    row, s = np.zeros(log_k.size, int), spread.ravel()
    whole, out = input_rate(log_k, spread), {}
    for years in PERSISTING:
        with np.errstate(divide="ignore"):
            share = persisting_rate(centres, SPREADS[:, None], years) / input_rate(centres, SPREADS[:, None])
        out[years] = whole * np.clip(values_at(share[None], row, s, place), 0, 1).reshape(log_k.shape)
    return out
