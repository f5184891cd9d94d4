"""Output of an Earth system model, in CMIP's naming: one mean field in our units, on the model's own grid."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..constants import LAYERS
from ..data.plausible import ALWAYS_CODES
from ..data.tables import reason_of
from ..data.units import compatible, factor
from ..errors import InputError
from .conventions import decoded
from .grids import ModelGrid, corners_of, edges_of

FLUX, STOCK, AGE = "Mg ha-1 yr-1", "Mg ha-1", "yr"
UNITS = {
    "nppRoot": FLUX,
    "npp": FLUX,
    "rh": FLUX,
    "cSoil": STOCK,
    "cSoilAbove1m": STOCK,
    "cSoilLevels": STOCK,
    "tau": AGE,
}
"""Variables that are understood, by CMIP's name (`tau`: turnover time), and the units that they are brought to."""

DENSITY_UNIT = "Mg ha-1 cm-1"
LAST_YEARS = 20
MANY_ZEROS = 0.1
"""Share of cells of exactly 0 from which they are remarked: some models have no missing values over the sea."""

ABSENT = 1e15
"""Values above are fill values that the file does not declare as such."""


@dataclass(frozen=True)
class ModelField:
    """Mean over some years, in the units of `UNITS`.

    Attributes
    ----------
    values : ndarray
        (rows, columns), NaN where there is none; (7, rows, columns) of the standard layers where the model has layers.
    remarks : list of str
        What was done to the file's numbers.
    """

    model: str
    variable: str
    values: NDArray[np.float64]
    grid: ModelGrid
    remarks: list[str]


def read_field(path: Path, variable: str, years: tuple[int, int] | None = None) -> ModelField:
    """The mean of a variable over years, the last twenty of the file if none are given.

    Parameters
    ----------
    path : Path
        A NetCDF file, or a folder of them, one of which has the variable.
    years : tuple of int, optional
        First and last.

    Raises
    ------
    InputError
        The file, the variable or the years are not there; units are missing or do not fit; coordinates are not found;
        or a time step has no value.
    """
    file = _file_of(path, variable)
    with _opened(file) as dataset:
        if variable not in dataset:
            found = ", ".join(str(name) for name in dataset.data_vars) or "none"
            raise InputError(f"no variable `{variable}` in it, it has: {found}", file=file)
        array = _loaded(dataset[variable], file)
        remarks: list[str] = []
        label = str(dataset.attrs.get("source_id") or path.stem)
        array, remarks = _without_fill(array, remarks)
        array, remarks = _mean_over_time(array, dataset, file, years, remarks)
        lat, lon = (_coordinate(dataset, array, kind, file) for kind in ("latitude", "longitude"))
        vertical = _vertical(array, lat, lon)
        for name in array.dims:
            if name not in (*lat.dims, *lon.dims, vertical):
                if array.sizes[name] > 1:
                    raise InputError(
                        f"dimension {name} has {array.sizes[name]} entries, expected one field",
                        file=file,
                        column=variable,
                    )
                array = array.isel({name: 0})
        grid = _grid(dataset, lat, lon, file)
        order = [*([vertical] if vertical else []), *(lat.dims if lat.ndim == 2 else (*lat.dims, *lon.dims))]
        array = array.transpose(*order)
        if vertical:
            values = _on_layers(array, dataset, vertical, variable, file)
        else:
            values = _converted(array, UNITS[variable], file)
    known = values[np.isfinite(values)]
    if not len(known):
        raise InputError("no value anywhere", file=file, column=variable)
    if known.max() <= 0 and known.min() < 0:
        raise InputError(
            "is negative everywhere; expected a stock, or a flux whose sign is positive (see its attribute `positive`)",
            file=file,
            column=variable,
        )
    zeros = int((known == 0).sum())
    if zeros > MANY_ZEROS * len(known):
        remarks.append(
            f"{variable}: {zeros:,} of {len(known):,} cells are exactly 0 and count as values, sea among them?"
        )
    return ModelField(label, variable, values, grid, remarks)


def available(path: Path) -> set[str]:
    """Variables of `UNITS` that a file, or a folder of files, has.

    Raises
    ------
    InputError
        There is no file or folder of this name, or it is not NetCDF.
    """
    if not path.exists():
        raise InputError("no such file or folder", file=path)
    found = set()
    for file in sorted(path.glob("*.nc")) if path.is_dir() else [path]:
        with _opened(file) as dataset:
            found |= set(map(str, dataset.data_vars)) & set(UNITS)
    return found


def _file_of(path: Path, variable: str) -> Path:
    if not path.exists():
        raise InputError("no such file or folder", file=path)
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.nc"))
    for file in files:
        with _opened(file) as dataset:
            if variable in dataset:
                return file
    raise InputError(f"none of its {len(files)} NetCDF files has a variable `{variable}`", file=path)


def _opened(file: Path) -> xr.Dataset:
    with _readable(file):
        return decoded(xr.open_dataset(file, decode_cf=False), file)


def _loaded(array: xr.DataArray, file: Path) -> xr.DataArray:
    if array.dtype.kind not in "iuf":
        raise InputError(f"expected numbers, found {array.dtype}", file=file, column=str(array.name))
    with _readable(file):
        return array.load()


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"not a readable NetCDF file ({reason_of(error)})", file=file) from None


def _without_fill(array: xr.DataArray, remarks: list[str]) -> tuple[xr.DataArray, list[str]]:
    absent = np.abs(array) > ABSENT
    coded = array.isin(ALWAYS_CODES)
    if bool(absent.any()):
        remarks = [*remarks, f"{array.name}: values above {ABSENT:g} taken for missing"]
    if bool(coded.any()):
        code = float(array.values[coded.values][0])
        remarks = [*remarks, f"{array.name}: {code:g} taken for missing"]
    kept = array.where(~(absent | coded))
    kept.attrs = array.attrs
    return kept, remarks


def _mean_over_time(
    array: xr.DataArray, dataset: xr.Dataset, file: Path, years: tuple[int, int] | None, remarks: list[str]
) -> tuple[xr.DataArray, list[str]]:
    """Weighted by the length of the steps."""
    name = next((str(d) for d in array.dims if str(d) == "time" or "T" == dataset.get(d, array).attrs.get("axis")), "")
    if not name:
        if years:
            raise InputError("has no time axis to choose years from", file=file, column=str(array.name))
        return array, remarks
    if not hasattr(dataset[name].values.ravel()[0], "year"):
        raise InputError("expected units such as `days since 1850-01-01`", file=file, column=name)
    of_year = np.array([date.year for date in dataset[name].values])
    first, last = years or (max(of_year.max() - LAST_YEARS + 1, of_year.min()), of_year.max())
    inside = np.flatnonzero((of_year >= first) & (of_year <= last))
    if not len(inside):
        raise InputError(f"has years {of_year.min()} to {of_year.max()}, none of {first} to {last}", file=file)
    part = array.isel({name: inside})
    empty = ~part.notnull().any([d for d in part.dims if d != name]).values
    if empty.any():
        date = dataset[name].values[inside][int(empty.argmax())]
        raise InputError(
            f"the time step of {date.strftime('%Y-%m-%d')} has no value", file=file, column=str(array.name)
        )
    weight = xr.DataArray(_days(dataset, name, file)[inside], dims=name)
    mean = part.weighted(weight).mean(name)
    mean.attrs = array.attrs
    return mean, [*remarks, f"{array.name}: mean of {first} to {last} ({len(inside)} steps)"]


def _days(dataset: xr.Dataset, name: str, file: Path) -> NDArray[np.float64]:
    """Length of each step, from its bounds, else the length of its month where there are twelve a year, else even."""
    bounds = dataset.get(str(dataset[name].attrs.get("bounds", "")))
    if bounds is not None and bounds.ndim == 2:
        length = np.array([_length(start, end) for start, end in bounds.values], float)
        if (length <= 0).any():
            raise InputError(
                "has steps of no length; expected their beginning and end", file=file, column=str(bounds.name)
            )
        return length
    dates = dataset[name].values
    monthly = len(dates) > 1 and 27 < (dates[1] - dates[0]).total_seconds() / 86400 < 32
    return np.array([date.daysinmonth for date in dates], float) if monthly else np.ones(len(dates))


def _length(start: Any, end: Any) -> float:
    """Days from one date to another; bounds without dates are days themselves."""
    length = end - start
    return length.total_seconds() / 86400 if hasattr(length, "total_seconds") else float(length)


def _coordinate(dataset: xr.Dataset, array: xr.DataArray, kind: str, file: Path) -> xr.DataArray:
    """Latitude or longitude of the array, by its CF attributes, else by its name."""
    units = f"degrees_{'north' if kind == 'latitude' else 'east'}"

    def is_it(name: Hashable) -> bool:
        attributes = dataset[name].attrs
        return (
            attributes.get("standard_name") == kind or attributes.get("units") == units
            or str(name).lower() in (kind, kind[:3], f"nav_{kind[:3]}")
        )  # fmt: skip

    named = [*array.coords, *array.encoding.get("coordinates", "").split(), *dataset.variables]
    for name in named:
        if (
            name in dataset.variables
            and is_it(name)
            and dataset[name].dims
            and set(dataset[name].dims) <= set(array.dims)
        ):
            if dataset[name].ndim <= 2 and np.isfinite(dataset[name].values).all():
                return dataset[name]
    raise InputError(
        f"found no {kind} of it (standard_name `{kind}`, or units `{units}`)", file=file, column=str(array.name)
    )


def _grid(dataset: xr.Dataset, lat: xr.DataArray, lon: xr.DataArray, file: Path) -> ModelGrid:
    if np.abs(lat.values).max() > 90.01:
        raise InputError(
            f"latitudes reach {np.abs(lat.values).max():g}, expected -90 to 90", file=file, column=str(lat.name)
        )
    if lat.ndim == 1:
        if min(len(lat), len(lon)) < 2:
            raise InputError("expected at least two rows and two columns of cells", file=file)
        edges = [_edges(dataset, axis, file) for axis in (lat, lon)]
        return ModelGrid(lat.values.astype(float), lon.values.astype(float), np.clip(edges[0], -90, 90), edges[1])
    turned = np.unwrap(np.unwrap(lon.values.astype(float), period=360, axis=1), period=360, axis=0)
    corners = [_corners(dataset, axis) for axis in (lat, lon)]
    given = [
        found if found is not None else corners_of(c) for found, c in zip(corners, (lat.values, turned), strict=True)
    ]
    return ModelGrid(lat.values.astype(float), turned, np.clip(given[0], -90, 90), given[1])


def _edges(dataset: xr.Dataset, axis: xr.DataArray, file: Path) -> NDArray[np.float64]:
    values = axis.values.astype(float)
    steps = np.diff(values)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise InputError(
            "expected cells in the order of their place, rising or falling", file=file, column=str(axis.name)
        )
    bounds = dataset.get(str(axis.attrs.get("bounds", "")))
    if bounds is not None and bounds.shape == (len(values), 2):
        low, high = np.sort(bounds.values.astype(float), axis=1).T
        near = np.allclose(low[1:], high[:-1], atol=1e-3) or np.allclose(low[:-1], high[1:], atol=1e-3)
        if near and (low - 1e-6 <= values).all() and (values <= high + 1e-6).all():
            return np.r_[low, high[-1]] if steps[0] > 0 else np.r_[high, low[-1]]
    return edges_of(values)


def _corners(dataset: xr.Dataset, axis: xr.DataArray) -> NDArray[np.float64] | None:
    bounds = dataset.get(str(axis.attrs.get("bounds", "")))
    if bounds is None or bounds.ndim != 3 or bounds.shape[:2] != axis.shape:
        return None
    return bounds.values.astype(float)


def _vertical(array: xr.DataArray, lat: xr.DataArray, lon: xr.DataArray) -> str:
    """Name of the dimension of soil layers, or nothing."""
    for name in array.dims:
        attributes = array.coords[name].attrs if name in array.coords else {}
        if name in lat.dims or name in lon.dims or array.sizes[name] < 2:
            continue
        if (
            attributes.get("axis") == "Z"
            or attributes.get("positive")
            or str(name).lower() in ("depth", "sdepth", "solth")
        ):
            return str(name)
    return ""


def _on_layers(array: xr.DataArray, dataset: xr.Dataset, name: str, variable: str, file: Path) -> NDArray[np.float64]:
    """Values of the standard layers, (7, rows, columns); within a model layer they are taken as uniform."""
    depth = dataset[name]
    to_cm = factor(depth.attrs.get("units"), "cm", file=file, column=name)
    bounds = dataset.get(str(depth.attrs.get("bounds", "")))
    if bounds is None or bounds.shape != (depth.size, 2):
        raise InputError("expected bounds of the soil layers (attribute `bounds`)", file=file, column=name)
    top, bottom = np.sort(np.abs(bounds.values.astype(float)), axis=1).T * to_cm
    density = compatible(array.attrs.get("units"), DENSITY_UNIT, file=file, column=variable)
    values = _converted(array, DENSITY_UNIT if density else UNITS[variable], file)
    out = []
    for upper, lower in LAYERS:
        common = np.clip(np.minimum(bottom, lower) - np.maximum(top, upper), 0, None)
        weight = common if density else common / (bottom - top)
        whole = common.sum() > 0.5 * (lower - upper)
        out.append(np.tensordot(weight, np.nan_to_num(values), 1) if whole else np.full(values.shape[1:], np.nan))
    land = np.isfinite(values).any(axis=0)
    return np.where(land, np.stack(out), np.nan)


def _converted(array: xr.DataArray, unit: str, file: Path) -> NDArray[np.float64]:
    return array.values.astype(float) * factor(array.attrs.get("units"), unit, file=file, column=str(array.name))
