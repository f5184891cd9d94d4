"""Coordinates of a model's field: regular, curvilinear and unstructured grids, and soil layers."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..constants import LAYERS
from ..data.units import factor
from ..errors import InputError
from .grids import ModelGrid, corners_of, edges_of
from .units import DENSITY_UNIT, converted, is_density

SAME_PLACE = 1e-4
"""Degrees by which coordinates of one place may differ."""

ON_EARTH = 1e4
"""Magnitudes of coordinates from here on are fill values."""

SOIL_AXES = ("depth", "sdepth", "solth", "levsoi", "levdcmp", "levgrnd", "lev_soil")


class Placed(NamedTuple):
    """A field on its grid, (rows, columns) or (layer, rows, columns), without repeated columns."""

    array: xr.DataArray
    grid: ModelGrid
    vertical: str


def placed(array: xr.DataArray, dataset: xr.Dataset, file: Path) -> Placed:
    """A mean field, its dimensions in the order of its grid.

    Parameters
    ----------
    array : DataArray
        Without time; a dimension of soil layers is kept.
    dataset : Dataset
        What it is from, for the bounds of its coordinates.

    Raises
    ------
    InputError
        Coordinates are not found or not understood, or there are more fields than one.
    """
    lat, lon = (coordinate(dataset, array, kind, file) for kind in ("latitude", "longitude"))
    vertical = vertical_of(array, lat, lon)
    for name in array.dims:
        if name not in (*lat.dims, *lon.dims, vertical):
            if array.sizes[name] > 1:
                raise InputError(
                    f"dimension {name} has {array.sizes[name]} entries, expected one field",
                    file=file,
                    column=str(array.name),
                )
            array = array.isel({name: 0})
    across = lon.dims[-1]
    keep = _not_repeated(lat, lon)
    if not keep.all():
        columns = {across: np.flatnonzero(keep)}
        array, lat, lon = (a.isel(columns, missing_dims="ignore") for a in (array, lat, lon))
        dataset = dataset.isel(columns)
    grid = _grid(dataset, lat, lon, file)
    order = lat.dims if lat.ndim == 2 or lat.dims == lon.dims else (*lat.dims, *lon.dims)
    array = array.transpose(*([vertical] if vertical else []), *order)
    if lat.dims == lon.dims and lat.ndim == 1:
        array = array.expand_dims("row", axis=-2)
    return Placed(array, grid, vertical)


def coordinate(dataset: xr.Dataset, array: xr.DataArray, kind: str, file: Path) -> xr.DataArray:
    """Latitude or longitude of the array, by its CF attributes, else by its name."""
    units = f"degrees_{'north' if kind == 'latitude' else 'east'}"

    def is_it(name: Hashable) -> bool:
        attributes = dataset[name].attrs
        return (
            attributes.get("standard_name") == kind or attributes.get("units") == units
            or str(name).lower() in (kind, kind[:3], f"nav_{kind[:3]}", f"c{kind[:3]}")
        )  # fmt: skip

    bounds = {str(v.attrs.get("bounds", "")) for v in dataset.variables.values()}
    named = [*array.coords, *array.encoding.get("coordinates", "").split(), *dataset.variables]
    for name in named:
        if name not in dataset.variables or str(name) in bounds or not is_it(name):
            continue
        found = dataset[name]
        if found.dims and found.ndim <= 2 and set(found.dims) <= set(array.dims):
            values = found.values.astype(float)
            known = np.isfinite(values) & (np.abs(values) < ON_EARTH)
            if known.all() or (known.any() and found.ndim == 2):
                return found.copy(data=np.where(known, values, np.nan))
    raise InputError(
        f"found no {kind} of it (standard_name `{kind}`, or units `{units}`)", file=file, column=str(array.name)
    )


def _not_repeated(lat: xr.DataArray, lon: xr.DataArray) -> NDArray[np.bool_]:
    """Columns that are not an earlier one again, as grids that go round the globe may have at their ends."""
    if lon.ndim == 1:
        if lat.dims == lon.dims:
            return np.ones(len(lon), bool)
        places = (lon.values % 360)[None]
    else:
        lat = lat.transpose(*lon.dims)
        places = np.concatenate([lon.values % 360, lat.values])
    rounded = np.round(np.where(np.isfinite(places), places, -1) / SAME_PLACE).astype(np.int64)
    rounded[: len(lon) if lon.ndim == 2 else 1] %= round(360 / SAME_PLACE)
    _, first = np.unique(rounded, axis=1, return_index=True)
    keep = np.zeros(rounded.shape[1], bool)
    keep[first] = True
    # columns without any place stay: their cells are dropped one by one
    return keep | ~np.isfinite(places).any(axis=0)


def _grid(dataset: xr.Dataset, lat: xr.DataArray, lon: xr.DataArray, file: Path) -> ModelGrid:
    if np.nanmax(np.abs(lat.values)) > 90.01:
        raise InputError(
            f"latitudes reach {np.nanmax(np.abs(lat.values)):g}, expected -90 to 90", file=file, column=str(lat.name)
        )
    if lat.ndim == 1 and lat.dims == lon.dims:
        return _unstructured(dataset, lat, lon, file)
    if lat.ndim == 1:
        if min(len(lat), len(lon)) < 2:
            raise InputError("expected at least two rows and two columns of cells", file=file)
        lon = lon.copy(data=np.unwrap(lon.values, period=360))
        edges = [_edges(dataset, axis, file) for axis in (lat, lon)]
        return ModelGrid(lat.values, lon.values, np.clip(edges[0], -90, 90), edges[1])
    lat_corners, lon_corners = (_corners(dataset, axis) for axis in (lat, lon))
    if lat_corners is None or lon_corners is None:
        lat_corners, lon_corners = (corners_of(_extended(v)) for v in (lat.values, _turned(lon.values)))
    known = np.isfinite(lat.values) & np.isfinite(lon.values)
    return ModelGrid(lat.values, lon.values, *_closed(lat_corners, lon_corners, known))


def _unstructured(dataset: xr.Dataset, lat: xr.DataArray, lon: xr.DataArray, file: Path) -> ModelGrid:
    """One row of cells, each with its vertices."""
    lat_corners, lon_corners = (_corners(dataset, axis) for axis in (lat, lon))
    if lat_corners is None or lon_corners is None:
        raise InputError(
            "cells of an unstructured grid, without vertices; expected an attribute `bounds` that names them",
            file=file,
            column=str(lat.name),
        )
    lat_ring, lon_ring = _closed(lat_corners, lon_corners, np.isfinite(lat.values))
    return ModelGrid(lat.values[None], lon.values[None], lat_ring[None], lon_ring[None])


def _closed(
    lat: NDArray[np.float64], lon: NDArray[np.float64], known: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Vertices of cells, (..., n): those that a cell does not need repeat its last, a cell without any is a point."""
    there = np.isfinite(lat) & np.isfinite(lon) & (np.abs(lat) < ON_EARTH) & (np.abs(lon) < ON_EARTH)
    there &= known[..., None]
    last = np.maximum.accumulate(np.where(there, np.arange(lat.shape[-1]), 0), axis=-1)
    first = there.argmax(axis=-1)[..., None]
    index = np.where(np.arange(lat.shape[-1]) < first, first, last)
    lat, lon = (np.take_along_axis(values, index, axis=-1) for values in (lat, lon))
    empty = ~there.any(axis=-1)[..., None]
    return np.clip(np.where(empty, 0.0, lat), -90, 90), np.where(empty, 0.0, lon)


def _turned(lon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes without a jump between neighbours."""
    turned = lon.copy()
    rows, cols = np.nonzero(np.isfinite(lon))
    for row in np.unique(rows):
        along = cols[rows == row]
        turned[row, along] = np.unwrap(lon[row, along], period=360)
    shift = np.nanmedian(turned, axis=1)[np.isfinite(turned).any(axis=1)]
    turned[np.unique(rows)] += (np.unwrap(shift, period=360) - shift)[:, None]
    return turned


def _extended(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coordinates with those that are missing continued from their neighbours in the row, else in the column."""
    for _ in range(2):
        values = np.stack([_continued(row) for row in values]).T
    return values


def _continued(row: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.flatnonzero(np.isfinite(row))
    if len(known) < 2 or len(known) == len(row):
        return row
    at = np.arange(len(row))
    out = np.interp(at, known, row[known])
    for end, (near, next_one) in ((at < known[0], known[:2]), (at > known[-1], known[:-3:-1])):
        out[end] = row[near] + (at[end] - near) * (row[next_one] - row[near]) / (next_one - near)
    return out


def _edges(dataset: xr.Dataset, axis: xr.DataArray, file: Path) -> NDArray[np.float64]:
    values = axis.values
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
    if bounds is None or bounds.ndim != axis.ndim + 1 or bounds.shape[:-1] != axis.shape or bounds.shape[-1] < 3:
        return None
    return bounds.values.astype(float)


def vertical_of(array: xr.DataArray, lat: xr.DataArray, lon: xr.DataArray) -> str:
    """Name of the dimension of soil layers, or nothing."""
    for name in map(str, array.dims):
        attributes = array.coords[name].attrs if name in array.coords else {}
        if name in lat.dims or name in lon.dims or array.sizes[name] < 2:
            continue
        if attributes.get("axis") == "Z" or attributes.get("positive") or name.lower() in SOIL_AXES:
            return name
    return ""


def on_layers(
    array: xr.DataArray, dataset: xr.Dataset, name: str, unit: str, file: Path
) -> tuple[NDArray[np.float64], list[str]]:
    """Values of the standard layers, (7, rows, columns), and remarks; within a model layer they are taken as uniform.

    Parameters
    ----------
    name : str
        Dimension of the soil layers.
    unit : str
        Unit of an amount in a layer; a density is recognised by its own unit.
    """
    depth, remarks = dataset[name], list[str]()
    to_cm = factor(depth.attrs.get("units"), "cm", file=file, column=name)
    bounds = dataset.get(str(depth.attrs.get("bounds", "")))
    if bounds is not None and bounds.shape == (depth.size, 2):
        limits = bounds.values.astype(float)
    elif depth.size > 1 and (np.diff(depth.values) > 0).all() and float(depth[0]) > 0:
        between = (depth.values[1:] + depth.values[:-1]) / 2
        below = 2 * depth.values[-1] - between[-1]
        limits = np.stack([np.r_[0.0, between], np.r_[between, below]], axis=1)
        remarks.append(f"{array.name}: soil layers without bounds end half-way between their depths")
    else:
        raise InputError("expected bounds of the soil layers (attribute `bounds`)", file=file, column=name)
    top, bottom = np.sort(np.abs(limits), axis=1).T * to_cm
    density = is_density(array, file)
    values = converted(array, DENSITY_UNIT if density else unit, file)
    out = []
    for upper, lower in LAYERS:
        common = np.clip(np.minimum(bottom, lower) - np.maximum(top, upper), 0, None)
        weight = common if density else common / (bottom - top)
        whole = common.sum() > 0.5 * (lower - upper)
        out.append(np.tensordot(weight, np.nan_to_num(values), 1) if whole else np.full(values.shape[1:], np.nan))
    land = np.isfinite(values).any(axis=0)
    return np.where(land, np.stack(out), np.nan), remarks
