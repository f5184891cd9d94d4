r"""Radiocarbon of one soil pool, and what a measurement says about its decay rate.

The pool is at steady stock and is fed by the atmosphere (paper, eq. 1):

.. math:: \dot A = k A_\mathrm{in}(t) - (k + \gamma) A, \qquad A = \Delta^{14}\mathrm{C}/1000 + 1

The equation is linear and the atmosphere is linear between the curve's nodes, so each interval has a closed form; no
solver, no step
size. After the bomb the response is not monotone in k: one value may have two ages, and the posterior shows both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..constants import GAMMA, INTERVAL
from ..data.atmosphere import BOMB_START, Atmosphere, Curve, Prehistory
from ..errors import InputError

if TYPE_CHECKING:
    import xarray as xr

K_RANGE = (1e-6, 2.0)
LOG_K_RANGE = (math.log(K_RANGE[0]), math.log(K_RANGE[1]))
"""Decay rates of the grid, yr⁻¹: ages from half a year to a million years."""

GRID_SIZE = 1024
MAX_MODES = 3
MODE_FLOOR = 0.005
"""Modes with less probability than this are not listed."""

UNEXPLAINED_SD = 3.0
"""A value is unexplained when every k leaves it further than this many total standard deviations away."""


@dataclass(frozen=True)
class LogNormalPrior:
    """Prior of the decay rate: log k ~ Normal(-log(median_age), log_sd).

    The default is weak on purpose: 95 % of its mass lies between ages of 8 and 20,000 years, which spans what bulk soil
    shows from
    litter-fed topsoil to the deepest metre (Balesdent et al. 2018; Shi et al. 2020). Either field may be an array with
    one value a layer.
    """

    median_age: Any = 400.0
    log_sd: Any = 2.0

    def log_density(self, log_k: NDArray[np.float64], n: int) -> NDArray[np.float64]:
        """Normalised log density of log k: shape (n, len(log_k))."""
        of_layers = (np.atleast_1d(np.asarray(v, float))[:, None] for v in (self.median_age, self.log_sd))
        median_age, log_sd = of_layers  # a prior that all layers share is computed once
        z = (log_k + np.log(median_age)) / log_sd
        return np.broadcast_to(-0.5 * z**2 - np.log(log_sd * np.sqrt(2 * np.pi)), (n, len(log_k)))


def delta14c(
    k: ArrayLike,
    year: ArrayLike,
    zone: ArrayLike,
    prehistory: Prehistory = "steady",
    *,
    atmosphere: Atmosphere | None = None,
) -> NDArray[np.float64]:
    r"""Radiocarbon of a one-pool soil layer in the year it was sampled.

    Parameters
    ----------
    k : decay rate, yr⁻¹, > 0. Broadcasts with `year` and `zone`.
    year : sampling date, decimal year AD, not before 1950; after the last node the curve is extrapolated (see
        `Curve.extrapolated`).
    zone : one of `ATMOSPHERE_ZONES`.
    prehistory : state in 1950: steady under the 1950 atmosphere (paper, eq. 2–3), or the IntCal20/SHCal20 history from
        55 kyr BP.
    atmosphere : curves to use instead of the packaged ones.

    Returns
    -------
    Δ14C, ‰ relative to the absolute standard; float64, of the broadcast shape.

    Raises
    ------
    InputError : k ≤ 0 or not finite, unknown zone or prehistory, year before 1950.

    Examples
    --------
    Two decay rates, one observation: a bomb-era value rarely has a unique age.

    >>> delta14c([1 / 2, 1 / 79], 2000.0, "NHZone1").round(-1)
    array([100., 100.])
    """
    k, year, zone = np.broadcast_arrays(np.asarray(k, float), np.asarray(year, float), np.asarray(zone, str))
    if not np.all(np.isfinite(k) & (k > 0)):
        raise InputError("decay rate k must be finite and > 0 yr⁻¹")
    if not np.all(year >= BOMB_START):
        raise InputError(f"sampling year must be {BOMB_START:.0f} or later")
    atmosphere = atmosphere or Atmosphere.packaged()
    out = np.empty(k.shape)
    for name in np.unique(zone):
        here = zone == name
        curve = atmosphere.bomb(str(name))
        start = _initial_state(k[here], atmosphere, str(name), prehistory)
        out[here] = _to_delta(_respond(k[here], curve, start, year[here]))
    return out


def invert(
    delta14c: ArrayLike,
    sigma: ArrayLike,
    year: ArrayLike,
    zone: ArrayLike,
    prior: LogNormalPrior | None = None,
    prehistory: Prehistory = "steady",
    *,
    model_sd: float = 0.0,
    atmosphere: Atmosphere | None = None,
    grid_size: int = GRID_SIZE,
) -> xr.Dataset:
    """Posterior of the decay rate of any number of layers at once, on a grid of log k.

    The likelihood is Normal with standard deviation `sigma` ⊕ the atmosphere's in the sampling year ⊕ `model_sd`.

    Parameters
    ----------
    delta14c, sigma : measured Δ14C and its standard deviation, ‰; shape (layer,), broadcast together.
    year, zone : sampling date (decimal year AD) and atmospheric zone.
    prior : prior of k; weak by default (`LogNormalPrior`).
    prehistory : as in `delta14c`.
    model_sd : how far a one-pool model may be from a real layer, ‰.
    atmosphere : curves to use instead of the packaged ones.
    grid_size : nodes between 1e-6 and 2 yr⁻¹, evenly spaced in log k.

    Returns
    -------
    Dataset over `layer` and `log_k`: `density` (per unit of log k), `predicted` (Δ14C at each k, ‰); `k` and `age` with
    `_mean`, `_median`, `_p025`,
    `_p975` (yr⁻¹, yr); over `mode`, most probable first, `mode_k`, `mode_probability` (NaN and 0 where there is none);
    `n_modes`;
    `log_marginal` likelihood; `unexplained`, true where no k brings the model within 3 standard deviations.

    Raises
    ------
    InputError : a measurement is not finite, a standard deviation is not > 0 in total, a year or zone is out of range.
    """
    import xarray as xr

    observed, sigma, year, zone = (
        np.atleast_1d(a)
        for a in np.broadcast_arrays(
            np.asarray(delta14c, float), np.asarray(sigma, float), np.asarray(year, float), np.asarray(zone, str)
        )
    )
    if not np.all(np.isfinite(observed)):
        raise InputError("Δ14C must be finite; drop layers without a value first")
    atmosphere = atmosphere or Atmosphere.packaged()
    log_k = np.linspace(*LOG_K_RANGE, grid_size)
    predicted = predicted_table(np.exp(log_k), year, zone, prehistory, atmosphere)
    sd = np.sqrt(sigma**2 + model_sd**2 + atmosphere_sd(year, zone, atmosphere) ** 2)
    if not np.all(np.isfinite(sd) & (sd > 0)):
        raise InputError("standard deviation of Δ14C must be finite and > 0 ‰")

    residual = (observed[:, None] - predicted) / sd[:, None]
    log_joint = -0.5 * residual**2 - np.log(sd * np.sqrt(2 * np.pi))[:, None]
    log_joint += (prior or LogNormalPrior()).log_density(log_k, len(observed))
    step = log_k[1] - log_k[0]
    top = log_joint.max(axis=1, keepdims=True)
    density = np.exp(log_joint - top)
    mass = density.sum(axis=1, keepdims=True) * step
    density /= mass

    result = xr.Dataset(
        {
            "density": (("layer", "log_k"), density),
            "predicted": (("layer", "log_k"), predicted, {"units": "per mille"}),
            "log_marginal": ("layer", (top + np.log(mass))[:, 0]),
            "unexplained": ("layer", np.abs(residual).min(axis=1) > UNEXPLAINED_SD),
        },
        coords={"log_k": log_k},
    )
    return result.merge(summarise_density(density, log_k))


def summarise_density(density: NDArray[np.float64], log_k: NDArray[np.float64]) -> xr.Dataset:
    """What densities of log k on evenly spaced nodes, (layer, grid), say of k and age: see `invert`, Returns."""
    import xarray as xr

    step = log_k[1] - log_k[0]
    result = xr.Dataset()
    result["k_mean"] = "layer", (density * np.exp(log_k)).sum(axis=1) * step
    result["age_mean"] = "layer", (density * np.exp(-log_k)).sum(axis=1) * step
    lower, median, upper = np.exp(grid_quantile(density, log_k, np.array([INTERVAL[0], 0.5, INTERVAL[1]])[:, None])).T
    for name, value in {"median": median, "p025": lower, "p975": upper}.items():
        result[f"k_{name}"] = "layer", value
    for name, value in {"median": median, "p025": upper, "p975": lower}.items():
        result[f"age_{name}"] = "layer", 1 / value
    result["n_modes"], result["mode_k"], result["mode_probability"] = _modes(density, log_k)
    return result


def grid_quantile(density: NDArray[np.float64], log_k: NDArray[np.float64], levels: ArrayLike) -> NDArray[np.float64]:
    """Quantiles of log k from densities on the grid; also draws, when the levels are uniform random numbers.

    Parameters
    ----------
    density : shape (layer, grid).
    log_k : the grid.
    levels : in (0, 1), broadcast to shape (n, layer).

    Returns
    -------
    log k, shape (layer, n).
    """
    levels = np.asarray(levels, float)
    levels = np.broadcast_to(levels, (levels.shape[0], density.shape[0]))
    step = log_k[1] - log_k[0]
    cumulative = np.cumsum(density, axis=1) * step
    cumulative /= cumulative[:, -1:]
    # One search for all layers: layer i's cumulative density is shifted to lie between i and i + 1.
    shift = np.arange(density.shape[0])
    node = np.searchsorted((cumulative + shift[:, None]).ravel(), (levels + shift).ravel())
    node = np.clip(node.reshape(levels.shape) - shift * density.shape[1], 0, len(log_k) - 1)
    above = cumulative[shift, node]
    below = np.where(node > 0, cumulative[shift, node - 1], 0.0)
    width = above - below
    part = np.divide(levels - below, width, where=width > 0, out=np.full(levels.shape, 0.5))
    # Each node stands for a cell around it.
    between = log_k[node] + step * (np.clip(part, 0, 1) - 0.5)
    return np.asarray(np.clip(between, log_k[0], log_k[-1]).T)


def _modes(density: NDArray[np.float64], log_k: NDArray[np.float64]) -> tuple[Any, Any, Any]:
    """Separate modes: the density is cut at its local minima, a mode's probability is the mass between two cuts."""
    n, size = density.shape
    falling = density[:, 1:] < density[:, :-1]
    cut = np.zeros((n, size), bool)  # a piece starts here: at the first node, and at each local minimum
    cut[:, 0], cut[:, 1:-1] = True, falling[:, :-1] & ~falling[:, 1:]
    start, flat = np.flatnonzero(cut), density.ravel()
    mass = np.add.reduceat(flat, start) * (log_k[1] - log_k[0])
    kept = mass >= MODE_FLOOR
    top = np.repeat(np.maximum.reduceat(flat, start), np.diff(np.r_[start, n * size]))
    at_top = np.flatnonzero(flat == top)
    peak = at_top[np.searchsorted(at_top, start)]  # the first highest node of each piece
    row, mass, peak = start[kept] // size, mass[kept], peak[kept]
    order = np.lexsort((-mass, row))
    row, mass, peak = row[order], mass[order], peak[order]
    n_modes = np.bincount(row, minlength=n)
    slot = np.arange(len(row)) - np.searchsorted(row, row)
    listed = slot < MAX_MODES
    mode_k, probability = np.full((n, MAX_MODES), np.nan), np.zeros((n, MAX_MODES))
    mode_k[row[listed], slot[listed]] = np.exp(log_k[peak[listed] % size])
    probability[row[listed], slot[listed]] = mass[listed]
    return ("layer", n_modes), (("layer", "mode"), mode_k, {"units": "yr-1"}), (("layer", "mode"), probability)


def _to_delta(activity: ArrayLike) -> NDArray[np.float64]:
    return (np.asarray(activity) - 1) * 1000


def _to_activity(delta: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(delta) / 1000 + 1


def atmosphere_sd(year: NDArray[Any], zone: NDArray[Any], atmosphere: Atmosphere) -> NDArray[np.float64]:
    """The curve's σ in the sampling year: an upper bound on what it adds to a layer, which averages over many years."""
    sd = np.empty(len(year))
    for name in np.unique(zone):
        sd[zone == name] = atmosphere.bomb(str(name)).sd_at(year[zone == name])
    return sd


def _initial_state(k: NDArray[Any], atmosphere: Atmosphere, zone: str, prehistory: Prehistory) -> NDArray[np.float64]:
    """Activity in 1950."""
    match prehistory:
        case "steady":
            return k / (k + GAMMA) * _to_activity(atmosphere.bomb(zone).delta14c[0])  # paper, eq. 2
        case "intcal20":
            curve = atmosphere.history(zone)
            start = k / (k + GAMMA) * _to_activity(curve.delta14c[0])
            return _respond(k, curve, start, np.full(k.shape, BOMB_START))
        case _:
            raise InputError(f"`{prehistory}` is not a prehistory, choose steady or intcal20")


def predicted_table(
    k: NDArray[Any], year: NDArray[Any], zone: NDArray[Any], prehistory: Prehistory, atmosphere: Atmosphere
) -> NDArray[np.float64]:
    """Δ14C (‰) for every layer and every k of the grid: shape (layer, k). Each zone's curve is integrated once."""
    out = np.empty((len(year), len(k)))
    if not np.all(year >= BOMB_START):
        raise InputError(f"sampling year must be {BOMB_START:.0f} or later")
    for name in np.unique(zone):
        here = np.flatnonzero(zone == name)
        years, place = np.unique(year[here], return_inverse=True)
        curve = atmosphere.bomb(str(name))
        start = _initial_state(k, atmosphere, str(name), prehistory)
        out[here] = _to_delta(_respond_on_grid(k, curve, start, years))[place]
    return out


def _intervals(curve: Curve) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Start, length and slope of each interval, in activity; a step (length 0) has no slope."""
    length = np.diff(curve.years)
    rise = np.diff(_to_activity(curve.delta14c))
    return _to_activity(curve.delta14c[:-1]), length, np.divide(rise, length, out=np.zeros_like(rise), where=length > 0)


def _respond(k: NDArray[Any], curve: Curve, start: NDArray[Any], year: NDArray[Any]) -> NDArray[np.float64]:
    """Activity of each pool in its own sampling year: arrays of one shape (n,)."""
    import jax

    from .pool import respond

    if k.size == 0:
        return np.empty(0)
    inflow, length, slope = _intervals(curve)
    size = 1 << (k.size - 1).bit_length()  # padded to a power of two, so that few shapes are ever compiled
    padded = [np.pad(a, (0, size - k.size), mode="edge") for a in (k, start, np.minimum(year, curve.years[-1]))]
    with jax.enable_x64(True):  # double precision here, and the user's global flag stays as it was
        return np.asarray(respond(*padded, curve.years[:-1], length, inflow, slope))[: k.size]


def _respond_on_grid(k: NDArray[Any], curve: Curve, start: NDArray[Any], years: NDArray[Any]) -> NDArray[np.float64]:
    """Activity of every pool in every year: shape (years, k)."""
    import jax

    from .pool import respond_on_grid

    inflow, length, slope = _intervals(curve)
    interval = np.clip(np.searchsorted(curve.years, years, side="right") - 1, 0, len(length) - 1)
    since = np.minimum(years, curve.years[-1]) - curve.years[interval]
    with jax.enable_x64(True):
        return np.asarray(respond_on_grid(k, start, length, inflow, slope, interval, since))
