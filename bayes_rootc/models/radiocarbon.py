r"""Radiocarbon of one soil pool, and what a measurement says about its decay rate.

The pool is at steady stock and is fed by the atmosphere (paper, eq. 1):

.. math:: \dot A = k A_\mathrm{in}(t) - (k + \gamma) A, \qquad A = \Delta^{14}\mathrm{C}/1000 + 1

The equation is linear and the atmosphere is linear between the curve's nodes, so each interval has a closed form; no
solver, no step
size. After the bomb the response is not monotone in k: one value may have two ages, and the posterior shows both.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..constants import GAMMA, INTERVAL
from ..data.atmosphere import BOMB_START, FIRST_YEAR, Atmosphere, Curve, Prehistory, filled, zone_of
from ..data.israd import DEFAULT_SIGMA
from ..data.own_tables import DECIMAL_YEARS, row_coordinates
from ..data.plausible import judge_argument, without_codes
from ..data.tables import reason_of
from ..errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from .pool import Intervals

K_RANGE = (1e-6, 2.0)
LOG_K_RANGE = (math.log(K_RANGE[0]), math.log(K_RANGE[1]))
"""Decay rates of the grid, yr⁻¹: ages from half a year to a million years."""

NO_RADIOCARBON = -1000.0
"""Δ14C of carbon without any, ‰."""

GRID_SIZE = 1024
MAX_MODES = 3
MODE_FLOOR = 0.005
"""Modes with less probability than this are not listed."""

UNEXPLAINED_SD = 3.0
"""A value is unexplained when every k leaves it further than this many total standard deviations away."""

VALUES_AT_ONCE = 1 << 20
"""Layers are taken some at a time, as many as have this many values of their grid of log k."""

UNEXPLAINED_NODES = 256
"""Decay rates between which the highest and the lowest Δ14C are looked for."""


@dataclass(frozen=True)
class LogNormalPrior:
    """Prior of the decay rate: log k ~ Normal(-log(median_age), log_sd).

    The default is weak on purpose: 95 % of its mass lies between ages of 8 and 20,000 years, which spans what bulk soil
    shows from litter-fed topsoil to the deepest metre (Balesdent et al. 2018; Shi et al. 2020).

    Parameters
    ----------
    median_age : float or array-like of float, shape (layer,)
        Median of the carbon age 1/k, yr.
    log_sd : float or array-like of float, shape (layer,)
        Standard deviation of log k.
    """

    median_age: Any = 400.0
    log_sd: Any = 2.0

    def log_density(self, log_k: NDArray[np.float64], n: int) -> NDArray[np.float64]:
        """Normalised log probability density of log k for each layer, (n, len(log_k))."""
        of_layers = (np.atleast_1d(np.asarray(v, float))[:, None] for v in (self.median_age, self.log_sd))
        median_age, log_sd = of_layers  # a prior that all layers share is computed once
        z = (log_k + np.log(median_age)) / log_sd
        return np.broadcast_to(-0.5 * z**2 - np.log(log_sd * np.sqrt(2 * np.pi)), (n, len(log_k)))

    def of_layers(self, rows: NDArray[np.int64], n: int) -> LogNormalPrior:
        """The prior of some of n layers."""
        values = (np.atleast_1d(np.asarray(v, float)) for v in (self.median_age, self.log_sd))
        return LogNormalPrior(*(v if len(v) == 1 else np.broadcast_to(v, n)[rows] for v in values))


def steady_activity(k: ArrayLike, activity_of_input: ArrayLike) -> NDArray[np.float64]:
    """Activity of a layer in steady state with its input (paper, eq. 2).

    Examples
    --------
    A layer of 8267 years' age has lost half of its radiocarbon:

    >>> steady_activity(1 / 8267, 1.0)
    array(0.5)
    """
    k = np.asarray(k, float)
    return np.asarray(k / (k + GAMMA) * np.asarray(activity_of_input, float))


def delta14c(
    k: ArrayLike,
    year: ArrayLike,
    zone: ArrayLike,
    prehistory: Prehistory = "intcal20",
    *,
    atmosphere: Atmosphere | None = None,
) -> NDArray[np.float64]:
    r"""Radiocarbon of a one-pool soil layer in the year it was sampled.

    Parameters
    ----------
    k : array-like of float
        Decay rate, yr⁻¹, > 0. Broadcasts with `year` and `zone`.
    year : array-like of float
        Sampling date, decimal year AD, not before 1800, and not after the end of the curve, which is extrapolated by 20
        years (see `Curve.extrapolated`).
    zone : array-like of str
        One of `ATMOSPHERE_ZONES`.
    prehistory : {"steady", "intcal20"}
        State in 1950: steady under the 1950 atmosphere (paper, eq. 2–3), or the IntCal20/SHCal20 history from 55 kyr
        BP. Before 1950 a steady pool has the value of 1950, since its air did not change; the other follows the
        history.
    atmosphere : Atmosphere, optional
        Curves to use instead of the packaged ones.

    Returns
    -------
    ndarray
        Δ14C, ‰ relative to the absolute standard; float64, of the broadcast shape.

    Raises
    ------
    InputError
        k ≤ 0 or not finite, unknown zone or prehistory, a year that is no decimal year or off the curve.

    Examples
    --------
    Two decay rates, one observation: a bomb-era value rarely has a unique age.

    >>> delta14c([1 / 2, 1 / 86], 2000.0, "NHZone1").round(-1)
    array([100., 100.])
    """
    k, year, zone = np.broadcast_arrays(filled(k), _numbers("year", year), np.asarray(zone, str))
    if not np.all(np.isfinite(k) & (k > 0)):
        raise InputError("decay rate k must be finite and > 0 yr⁻¹")
    atmosphere = atmosphere or Atmosphere.packaged()
    _refuse_years(year, zone, atmosphere)
    out = np.empty(k.shape)
    for name in np.unique(zone):
        here = zone == name
        curve = _driving_curve(atmosphere, str(name), prehistory)
        out[here] = _to_delta(_respond(k[here], curve, year[here]))
    return out


def invert(
    delta14c: ArrayLike | pd.DataFrame,
    sigma: ArrayLike | None = None,
    year: ArrayLike | None = None,
    zone: ArrayLike | None = None,
    prior: LogNormalPrior | None = None,
    prehistory: Prehistory = "intcal20",
    *,
    model_sd: float = 0.0,
    atmosphere: Atmosphere | None = None,
    grid_size: int = GRID_SIZE,
    density: bool = True,
) -> xr.Dataset:
    """Posterior of the decay rate of any number of layers at once, on a grid of log k.

    The likelihood is Normal with standard deviation `sigma` ⊕ the atmosphere's in the sampling year ⊕ `model_sd`.
    Layers are taken some thousand at a time; a million need `density=False`, because their densities on the grid, which
    are then made but not kept, would take 16 GB.

    Parameters
    ----------
    delta14c : array-like of float, shape (layer,), or DataFrame
        Measured Δ14C, ‰; a layer without a value (NaN) has NaN results and no mode. Or a table, one row a layer, with
        the columns `delta14c`, `year`, `zone` or `lat` and `lon`, and optionally `sigma`; an argument that is given as
        well goes before the column.
    sigma : array-like of float, optional
        Standard deviation of the measurement, ‰; 5 where it is not given.
    year : array-like of float
        Sampling date, decimal year AD, not before 1800, and not after the end of the (extrapolated) curve.
    zone : array-like of str
        One of `ATMOSPHERE_ZONES`; `zone_of` finds it from a place.
    prior : LogNormalPrior, optional
        Prior of k; weak by default.
    prehistory : {"steady", "intcal20"}
        State in 1950, as in `delta14c`.
    model_sd : float
        How far a one-pool model may be from a real layer, ‰: 0 for what is one pool, some 25 for bulk soil.
    atmosphere : Atmosphere, optional
        Curves to use instead of the packaged ones.
    grid_size : int
        Number of nodes between 1e-6 and 2 yr⁻¹, evenly spaced in log k.
    density : bool
        Whether `density` and `predicted` are in the result, which take 16 kB a layer, or only what is computed from
        them.

    Returns
    -------
    Dataset
        Over `layer` and `log_k`: `density` (per unit of log k), `predicted` (Δ14C at each k, ‰); over `layer`: `k`
        and `age` with `_mean`, `_median`, `_p025`, `_p975` (yr⁻¹, yr), `n_modes`, `log_marginal` likelihood,
        `unexplained`, true where no k brings the model within 3 standard deviations; over `layer` and `mode`, most
        probable first: `mode_k`, `mode_probability` (NaN and 0 where there is none). The coordinate `layer` is the
        index of the table, or of the Series that were given, else 0, 1, ….

    Raises
    ------
    InputError
        A column or an argument is missing, two Series have different indexes, numbers of values differ, a measurement
        is infinite or below -1000 ‰, surely is in another form of radiocarbon, a standard deviation is negative, or
        not > 0 in total, a year is a date, or a year, zone or place is out of range.

    Warns
    -----
    InputWarning
        Values may be in another form than ‰.

    Examples
    --------
    A table of your own, whose index comes back:

    >>> import pandas as pd
    >>> mine = pd.DataFrame(
    ...     {"delta14c": [85.0, -210.0], "year": [2008.5, 1998.5], "lat": 48.7, "lon": 9.2},
    ...     index=["litter", "subsoil"],
    ... )
    >>> ages = invert(mine, model_sd=10.0)[["age_p025", "age_median", "age_p975"]]
    >>> mine[["delta14c"]].join(ages.to_dataframe().round())
             delta14c  age_p025  age_median  age_p975
    litter       85.0       5.0        95.0     130.0
    subsoil    -210.0    1989.0      2287.0    2606.0

    The first value was met twice, before and after the peak of the bomb tests:

    >>> modes = invert(mine, model_sd=10.0).sel(layer="litter")
    >>> (1 / modes["mode_k"]).values.round(), modes["mode_probability"].values.round(2)
    (array([99.,  7., nan]), array([0.8, 0.2, 0. ]))
    """
    import xarray as xr

    atmosphere = atmosphere or Atmosphere.packaged()
    layers = _Layers.of(delta14c, sigma, year, zone, atmosphere)
    observed, sigma, year, zone = layers.delta14c, layers.sigma, layers.year, layers.zone
    log_k = np.linspace(*LOG_K_RANGE, grid_size)
    sd = np.sqrt(sigma**2 + model_sd**2 + atmosphere_sd(year, zone, atmosphere) ** 2)
    if not np.all(np.isfinite(sd) & (sd > 0)):
        raise InputError("standard deviation of Δ14C must be finite and > 0 ‰")

    prior, n, variables = prior or LogNormalPrior(), len(observed), dict[Any, xr.Variable]()
    for rows, predicted in predictions(np.exp(log_k), year, zone, prehistory, atmosphere):
        log_prior = prior.of_layers(rows, n).log_density(log_k, len(rows))
        part = _posterior(observed[rows], predicted, sd[rows], log_prior, log_k)
        for name, found in part.data_vars.items():
            if density or "log_k" not in found.dims:
                if name not in variables:
                    empty = np.empty((n, *found.shape[1:]), found.dtype)
                    variables[name] = xr.Variable(found.dims, empty, found.attrs)
                variables[name].values[rows] = found.values

    coordinates = {"log_k": log_k} if density else {}
    result = xr.Dataset(variables, coordinates).assign_coords(
        row_coordinates(layers.index, "layer", taken=("log_k", "mode"))
    )
    return result if layers.measured.all() else _blanked(result, layers.measured)


def _posterior(
    observed: NDArray[np.float64],
    predicted: NDArray[np.float64],
    sd: NDArray[np.float64],
    log_prior: NDArray[np.float64],
    log_k: NDArray[np.float64],
) -> xr.Dataset:
    """Variables of `invert` for layers whose predictions and prior are known, (layer, log_k)."""
    import xarray as xr

    residual = (observed[:, None] - predicted) / sd[:, None]
    log_joint = -0.5 * residual**2 - np.log(sd * np.sqrt(2 * np.pi))[:, None]
    log_joint += log_prior
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
        }
    )
    return result.assign(summarise_density(density, log_k).data_vars)


def unexplained(
    delta14c: ArrayLike,
    sigma: ArrayLike,
    year: ArrayLike,
    zone: ArrayLike,
    *,
    prehistory: Prehistory = "intcal20",
    atmosphere: Atmosphere | None = None,
) -> NDArray[np.bool_]:
    """Whether no decay rate explains a measurement: it lies more than three standard deviations above or below what any
    pool of its zone had in its year, and so also what any mixture of pools had.

    Parameters
    ----------
    delta14c, sigma : array-like of float, shape (n,)
        Δ14C and its standard deviation, ‰; where either is NaN, nothing is to be explained.
    year : array-like of float, shape (n,)
        Sampling date, decimal year AD.
    zone : array-like of str, shape (n,)
        One of `ATMOSPHERE_ZONES`.
    prehistory, atmosphere : optional
        As in `invert`.

    Examples
    --------
    No soil carbon had 300 ‰ in 2015, in whatever air it grew:

    >>> unexplained([300.0, 300.0], 4.0, [2015.5, 1975.5], "NHZone1")
    array([ True, False])
    """
    atmosphere = atmosphere or Atmosphere.packaged()
    delta, sd, years, zones = np.broadcast_arrays(
        filled(delta14c), filled(sigma), _numbers("year", year), np.asarray(zone, str)
    )
    known = np.isfinite(delta) & np.isfinite(sd) & np.isfinite(years)
    found = np.zeros(delta.shape, bool)
    if known.any():
        k = np.exp(np.linspace(*LOG_K_RANGE, UNEXPLAINED_NODES))
        low, high = np.empty((2, int(known.sum())))
        for rows, possible in predictions(k, years[known], zones[known], prehistory, atmosphere):
            low[rows], high[rows] = possible.min(axis=1), possible.max(axis=1)
        tolerance = UNEXPLAINED_SD * np.hypot(sd[known], atmosphere_sd(years[known], zones[known], atmosphere))
        found[known] = (delta[known] < low - tolerance) | (delta[known] > high + tolerance)
    return found


@dataclass(frozen=True)
class _Layers:
    """Measurements, one a layer, (layer,), as `invert` takes them; where `measured` is false the others are made up."""

    delta14c: NDArray[np.float64]
    sigma: NDArray[np.float64]
    year: NDArray[np.float64]
    zone: NDArray[np.str_]
    measured: NDArray[np.bool_]
    index: pd.Index[Any]

    @classmethod
    def of(
        cls,
        delta14c: ArrayLike | pd.DataFrame,
        sigma: ArrayLike | None,
        year: ArrayLike | None,
        zone: ArrayLike | None,
        atmosphere: Atmosphere,
    ) -> _Layers:
        """From arguments of `invert`."""
        given: dict[str, Any] = {"delta14c": delta14c, "sigma": sigma, "year": year, "zone": zone}
        if isinstance(delta14c, pd.DataFrame):
            table = delta14c
            if not table.columns.is_unique:
                twice = table.columns[table.columns.duplicated()][0]
                raise InputError(f"the table has the column {twice} twice; expected each name once")
            given["delta14c"] = None
            given = {name: table.get(name) if value is None else value for name, value in given.items()}
            if given["zone"] is None:
                given |= {name: table.get(name) for name in ("lat", "lon")}
        _refuse_missing(given, table=isinstance(delta14c, pd.DataFrame))
        given = {name: value for name, value in given.items() if value is not None}
        index = _common_index(given)
        arrays = {name: _values(name, value) for name, value in given.items()}
        sizes = {name: len(array) for name, array in arrays.items() if len(array) != 1}
        if len(set(sizes.values())) > 1:
            found = ", ".join(f"{n} of {name}" for name, n in sizes.items())
            raise InputError(f"found {found}; expected as many values of each, or one for all")
        n = len(index) if index is not None else next(iter(sizes.values()), 1)
        if any(size != n for size in sizes.values()):
            name, size = next((name, size) for name, size in sizes.items() if size != n)
            raise InputError(f"found {size} of {name} for {n} layers; expected as many, or one for all")
        arrays = {name: np.broadcast_to(array, n) for name, array in arrays.items()}
        observed = without_codes(pd.Series(arrays["delta14c"]), "delta14c")[0].to_numpy()
        measured = ~np.isnan(observed)
        if np.isinf(observed).any():
            raise InputError("Δ14C must be finite, or NaN where there is no value")
        if (measured & (observed < NO_RADIOCARBON)).any():
            raise InputError(f"Δ14C must be at least {NO_RADIOCARBON:g} ‰, found {observed[measured].min():g}")
        spread = arrays.get("sigma", np.full(n, np.nan))
        spread = np.where(np.isnan(spread), DEFAULT_SIGMA, spread)
        if (measured & (spread < 0)).any():
            raise InputError(f"standard deviation of Δ14C must be ≥ 0 ‰, found {spread[measured].min():g}")
        known = np.where(measured, observed, np.nan)
        judge_argument(known, "delta14c", name="delta14c", sigma=arrays.get("sigma"))
        if "zone" not in arrays:
            arrays["zone"] = _zones(arrays["lat"], arrays["lon"], measured)
        return cls(
            np.where(measured, observed, 0.0),
            np.where(measured, spread, 1.0),
            np.where(measured, arrays["year"], BOMB_START),
            np.where(measured, arrays["zone"], next(iter(atmosphere.curves))),
            measured,
            pd.RangeIndex(n) if index is None else index,
        )


def _refuse_missing(given: dict[str, Any], *, table: bool) -> None:
    """Refuse a call without measurements, without years, or without zones or places."""
    missing = [name for name in ("delta14c", "year") if given[name] is None]
    if given["zone"] is None and any(given.get(name) is None for name in ("lat", "lon")):
        missing.append("zone (or lat and lon)" if table else "zone")
    if missing:
        where = "the table has no column" if table else "missing:"
        hint = "; zone_of(lat, lon) has the zone of a place" if "zone" in missing else ""
        raise InputError(f"{where} {', '.join(missing)}; expected delta14c, year, zone, and optionally sigma{hint}")


def _common_index(given: dict[str, Any]) -> pd.Index[Any] | None:
    """The index of the Series among values; none where there is no Series."""
    known = {name: value.index for name, value in given.items() if isinstance(value, pd.Series)}
    first = next(iter(known), "")
    for name, index in known.items():
        if not index.equals(known[first]):
            raise InputError(
                f"{name} and {first} have different indexes, so their layers cannot be matched; take both from one "
                f"table, or reindex: {name}.reindex({first}.index)"
            )
    return known.get(first)


def _values(name: str, value: Any) -> NDArray[Any]:
    """One value a layer."""
    array = np.atleast_1d(np.asarray(value, str if name == "zone" else None))
    if array.ndim > 1:
        raise InputError(f"{name} has the shape {array.shape}; expected one value a layer")
    if name == "zone":
        return array
    return _numbers(name, array if not isinstance(value, np.ma.MaskedArray) else np.ma.atleast_1d(value))


def _numbers(name: str, value: Any) -> NDArray[np.float64]:
    """Numbers as an array; masked ones are NaN. Refuses dates and durations, whose numbers would be nanoseconds."""
    array = np.asarray(value)
    first = array.flat[0] if array.dtype == object and array.size else None
    if array.dtype.kind in "mM" or isinstance(first, datetime.date | np.datetime64):
        how = f"; {DECIMAL_YEARS}" if name == "year" else ""
        raise InputError(f"{name} holds dates or durations; expected numbers, as 2005.5 for the middle of 2005{how}")
    try:
        return filled(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} holds a value that is no number ({reason_of(error)})") from None


def _zones(lat: NDArray[np.float64], lon: NDArray[np.float64], measured: NDArray[np.bool_]) -> NDArray[np.str_]:
    """Zones of places."""
    for name, value, low, high in (("lat", lat, -90, 90), ("lon", lon, -180, 360)):
        wrong = measured & ~((value >= low) & (value <= high))
        if wrong.any():
            raise InputError(f"{name} is {value[wrong][0]:g}; expected {low} to {high}")
    return zone_of(np.where(measured, lat, 0.0), np.where(measured, lon, 0.0))


def _blanked(result: xr.Dataset, measured: NDArray[np.bool_]) -> xr.Dataset:
    """Results without those of layers that have no measurement."""
    import xarray as xr

    here = xr.DataArray(measured, dims="layer")
    blank: dict[Any, Any] = {"n_modes": 0, "mode_probability": 0.0, "unexplained": False}
    return result.assign({name: v.where(here, blank.get(name, np.nan)) for name, v in result.data_vars.items()})


def summarise_density(density: NDArray[np.float64], log_k: NDArray[np.float64]) -> xr.Dataset:
    """Summary of k and age from probability densities of log k on evenly spaced nodes, (layer, grid); see `invert`,
    Returns.
    """
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
    return result.assign(_modes(density, log_k))


def grid_quantile(density: NDArray[np.float64], log_k: NDArray[np.float64], levels: ArrayLike) -> NDArray[np.float64]:
    """Quantiles of log k from its probability density on the grid; or draws, if the levels are uniform random numbers.

    Parameters
    ----------
    density : ndarray
        Shape (layer, grid).
    log_k : ndarray
        The grid.
    levels : array-like
        In (0, 1), broadcast to shape (n, layer).

    Returns
    -------
    ndarray
        log k, shape (layer, n).
    """
    levels = np.asarray(levels, float)
    levels = np.broadcast_to(levels, (levels.shape[0], density.shape[0]))
    step = log_k[1] - log_k[0]
    cumulative = np.cumsum(density, axis=1) * step
    cumulative /= cumulative[:, -1:]
    # One search for all layers: layer i's cumulative probability is shifted to lie between i and i + 1.
    shift = np.arange(density.shape[0])
    node = np.searchsorted((cumulative + shift[:, None]).ravel(), (levels + shift).ravel())
    node = np.clip(node.reshape(levels.shape) - shift * density.shape[1], 0, len(log_k) - 1)
    above = cumulative[shift, node]
    below = np.where(node > 0, cumulative[shift, node - 1], 0.0)
    width = above - below
    part = np.divide(levels - below, width, where=width > 0, out=np.full(levels.shape, 0.5))
    # Each node represents a cell around it.
    between = log_k[node] + step * (np.clip(part, 0, 1) - 0.5)
    return np.asarray(np.clip(between, log_k[0], log_k[-1]).T)


def _modes(density: NDArray[np.float64], log_k: NDArray[np.float64]) -> dict[str, Any]:
    """Separate modes, `n_modes`, `mode_k` and `mode_probability`: the probability density is cut at its local minima,
    and the mass between two cuts is the probability of a mode.
    """
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
    listed_k = ("layer", "mode"), mode_k, {"units": "yr-1"}
    return {"n_modes": ("layer", n_modes), "mode_k": listed_k, "mode_probability": (("layer", "mode"), probability)}


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


def _driving_curve(atmosphere: Atmosphere, zone: str, prehistory: Prehistory) -> Curve:
    """The air that a pool has seen since it was last steady: since 1950, or for 55,000 years."""
    match prehistory:
        case "steady":
            return atmosphere.bomb(zone)
        case "intcal20":
            return atmosphere.whole(zone)
        case _:
            raise InputError(f"`{prehistory}` is not a prehistory, choose steady or intcal20")


def _refuse_years(year: NDArray[Any], zone: NDArray[Any], atmosphere: Atmosphere) -> None:
    if not np.all(year >= FIRST_YEAR):
        raise InputError(f"sampling year must be {FIRST_YEAR:.0f} or later")
    for name in np.unique(zone):
        latest, end = year[zone == name].max(), atmosphere.bomb(str(name)).years[-1]
        if latest > end:
            raise InputError(f"sampling year {latest:g} is after the end of the atmosphere's curve, {end:g}")


def predicted_table(
    k: NDArray[Any], year: NDArray[Any], zone: NDArray[Any], prehistory: Prehistory, atmosphere: Atmosphere
) -> NDArray[np.float64]:
    """Δ14C (‰) for every layer and every k of the grid: shape (layer, k). Each zone's curve is integrated once."""
    out = np.empty((len(year), len(k)))
    for rows, predicted in predictions(k, year, zone, prehistory, atmosphere):
        out[rows] = predicted
    return out


def predictions(
    k: NDArray[Any], year: NDArray[Any], zone: NDArray[Any], prehistory: Prehistory, atmosphere: Atmosphere
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Rows of `predicted_table`, a thousand or so at a time: numbers of layers of one zone, and Δ14C (layer, k)."""
    _refuse_years(year, zone, atmosphere)
    if not len(year):
        yield np.empty(0, int), np.empty((0, len(k)))
    size = max(VALUES_AT_ONCE // len(k), 1)
    for name in np.unique(zone):
        here = np.flatnonzero(zone == name)
        respond = _response_on_grid(k, _driving_curve(atmosphere, str(name), prehistory))
        for start in range(0, len(here), size):
            rows = here[start : start + size]
            years, place = np.unique(year[rows], return_inverse=True)
            yield rows, _to_delta(respond(years))[place]


def _intervals(curve: Curve) -> Intervals:
    """The curve between its nodes; a step (length 0) has no slope."""
    from .pool import Intervals

    length, activity = np.diff(curve.years), _to_activity(curve.delta14c)
    slope = np.divide(np.diff(activity), length, out=np.zeros_like(length), where=length > 0)
    return Intervals(curve.years[:-1], length, activity[:-1], slope)


def _respond(k: NDArray[Any], curve: Curve, year: NDArray[Any]) -> NDArray[np.float64]:
    """Activity of each pool, steady at the beginning of the curve, in its own sampling year: arrays of one shape."""
    import jax

    from .pool import respond

    if k.size == 0:
        return np.empty(0)
    intervals = _intervals(curve)
    start = steady_activity(k, intervals.inflow[0])
    size = 1 << (k.size - 1).bit_length()  # padded to a power of two, so that few shapes are ever compiled
    padded = [np.pad(a, (0, size - k.size), mode="edge") for a in (k, start, np.minimum(year, curve.years[-1]))]
    with jax.enable_x64(True):  # double precision here, and the user's global flag stays as it was
        return np.asarray(respond(*padded, intervals))[: k.size]


def _response_on_grid(k: NDArray[Any], curve: Curve) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """A function of years, which has the activity of every pool, steady at the beginning of the curve: (years, k)."""
    import jax

    from .pool import at_nodes, between_nodes

    intervals = _intervals(curve)
    with jax.enable_x64(True):
        activity = at_nodes(k, steady_activity(k, intervals.inflow[0]), intervals)

    def respond(years: NDArray[Any]) -> NDArray[np.float64]:
        interval = np.clip(np.searchsorted(curve.years, years, side="right") - 1, 0, len(curve.years) - 2)
        since = np.clip(years, curve.years[0], curve.years[-1]) - curve.years[interval]
        size = 1 << (len(years) - 1).bit_length()  # so that few shapes are ever compiled
        padded = [np.pad(a, (0, size - len(years)), mode="edge") for a in (interval, since)]
        with jax.enable_x64(True):
            return np.asarray(between_nodes(activity, k, intervals, *padded))[: len(years)]

    return respond
