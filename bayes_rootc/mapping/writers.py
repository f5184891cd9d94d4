"""Maps as files: a Zarr store that tiles are written into, and the GeoTIFFs and the NetCDF file that are made of it."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import rasterio
import zarr
import zarr.errors
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.shutil import copy
from zarr.codecs import BloscCodec

from ..constants import CF_FLUX_UNIT, LAYERS, PROFILE_DEPTH_CM
from ..data.grid import MapGrid
from ..files import atomic_path
from ..progress import Progress
from .maps import MAP_LAYERS
from .monte_carlo import FLUXES

NODATA = -9999.0
LONG_NAMES = {
    "iroot": "root-derived carbon input to soil",
    "ibulk": "carbon input to bulk soil",
    "iloss": "root-derived carbon lost before entering bulk soil",
    "share": "lost part of root-derived carbon",
}
STATISTIC_NAMES = {
    "mean": "mean over members",
    "median": "median over members",
    "p025": "2.5 % quantile over members",
    "p975": "97.5 % quantile over members",
    "uncertainty": "half the 95 % interval over the absolute mean",
    "probability": "probability of being positive",
    "applicability": "dissimilarity from the training data over its threshold (above 1: outside the area of"
    " applicability)",
}
LAYERED = [
    *(f"{flux}_{s}" for flux in FLUXES for s in ("mean", "median", "p025", "p975", "uncertainty")),
    "iloss_probability",
    *(f"share_{s}" for s in ("median", "p025", "p975")),
]
"""Maps of every layer and the profile."""

FLAT = ["iroot_applicability", "ibulk_applicability"]
"""Maps of the profile alone."""

COG: dict[str, Any] = {"driver": "COG", "compress": "DEFLATE", "predictor": "YES", "overview_resampling": "average"}


def describe(variable: str) -> dict[str, str]:
    """CF attributes of a map variable."""
    if variable == "biome":
        return {"long_name": "biome (1-9; 0: not mapped)", "units": "1"}
    flux, statistic = variable.split("_")
    unit = "1" if flux == "share" or statistic in ("uncertainty", "probability", "applicability") else CF_FLUX_UNIT
    return {"long_name": f"{LONG_NAMES[flux]}: {STATISTIC_NAMES[statistic]}", "units": unit}


def located(variable: str) -> dict[str, str]:
    """Attributes of a map in a file of several: what it is, and where its coordinates and their system are."""
    return describe(variable) | {"grid_mapping": CRS_NAME} | ({"coordinates": "depth"} if variable in LAYERED else {})


def coordinates(grid: MapGrid) -> dict[str, tuple[tuple[str, ...], NDArray, dict[str, Any]]]:
    """Coordinates of the maps by CF, with their system, as dimensions, values and attributes."""
    bounds = np.array([*LAYERS, (0, PROFILE_DEPTH_CM)], np.float32) / 100
    wgs84 = CRS.from_epsg(4326).to_wkt()
    # crs_wkt is CF's word, spatial_ref GDAL's.
    system = {"grid_mapping_name": "latitude_longitude", "crs_wkt": wgs84, "spatial_ref": wgs84}
    system |= {"semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563, "longitude_of_prime_meridian": 0.0}
    north = {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}
    east = {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}
    down = {"standard_name": "depth", "units": "m", "positive": "down", "bounds": "depth_bnds"}
    return {
        "lat": (("lat",), grid.lat, north),
        "lon": (("lon",), grid.lon, east),
        "depth": (("layer",), bounds.mean(axis=1), down),
        "depth_bnds": (("layer", "nv"), bounds, {}),
        CRS_NAME: ((), np.array(0, np.int32), system),
    }


CRS_NAME, LAYER_LONG_NAME = "crs", "soil layer, cm"

type Store = dict[str, zarr.Array[Any]]
"""Maps by name, (layer, lat, lon) or (lat, lon)."""


def open_store(path: Path, *, write: bool = False) -> Store:
    """The maps of a store."""
    return dict(zarr.open_group(path, mode="r+" if write else "r").arrays())


def create_store(path: Path, grid: MapGrid, tile: int) -> None:
    """An empty store of maps, in chunks of a tile."""
    group = zarr.open_group(path, mode="w")
    group.attrs.update({"layer": list(MAP_LAYERS), "Conventions": "CF-1.11"})
    compress = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle")
    chunk = tuple(min(tile, n) for n in grid.shape)
    layered: dict[str, Any] = {"shape": (len(MAP_LAYERS), *grid.shape), "chunks": (1, *chunk)}
    flat: dict[str, Any] = {"shape": grid.shape, "chunks": chunk}
    for name in (*LAYERED, *FLAT, "biome"):
        dimensions = ("layer", "lat", "lon") if name in LAYERED else ("lat", "lon")
        array = group.create_array(
            name,
            **(layered if name in LAYERED else flat),
            dtype="uint8" if name == "biome" else "float32",
            fill_value=0 if name == "biome" else np.nan,
            compressors=compress,
            dimension_names=dimensions,
        )
        array.attrs.update(located(name))
    for name, (along, values, attributes) in coordinates(grid).items():
        group.create_array(name, data=values, dimension_names=along).attrs.update(attributes)
    names = group.create_array("layer", shape=(len(MAP_LAYERS),), dtype="string", dimension_names=("layer",))
    names[:] = np.array(MAP_LAYERS, dtype=np.dtypes.StringDType())
    names.attrs["long_name"] = LAYER_LONG_NAME
    with warnings.catch_warnings():
        # No part of the specification yet, but xarray looks for it, and asks the server once instead of for each array.
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        zarr.consolidate_metadata(group.store)


def write_tile(
    store: Store, place: tuple[int, int], grid: MapGrid, index: NDArray, values: dict[str, NDArray], biome: NDArray
) -> None:
    """Puts the values of a tile's cells into the store.

    Parameters
    ----------
    place : tuple of int
        Row and column where the tile begins.
    grid : MapGrid
        Grid of the tile.
    index : ndarray
        Positions of the cells in the flattened tile, (n,).
    values : dict of str to ndarray
        (n, 8) of `LAYERED`, (n,) of `FLAT`.
    biome : ndarray
        Biome of each cell, 1–9, (n,).
    """
    rows, cols = (slice(start, start + n) for start, n in zip(place, grid.shape, strict=True))
    for name in (*LAYERED, *FLAT, "biome"):
        known = biome if name == "biome" else values[name].T
        array = store[name]
        field = np.full((*known.shape[:-1], grid.shape[0] * grid.shape[1]), array.fill_value, array.dtype)
        field[..., index] = known
        array[..., rows, cols] = field.reshape(*known.shape[:-1], *grid.shape)


def strips(array: zarr.Array[Any]) -> Iterator[slice]:
    """Rows of the map, as many at a time as a chunk has."""
    step = array.chunks[-2]
    return (slice(start, min(start + step, array.shape[-2])) for start in range(0, array.shape[-2], step))


def write_cogs(
    folder: Path, store: Store, grid: MapGrid, *, workers: int = 2, progress: Progress | None = None
) -> list[Path]:
    """One cloud-optimised GeoTIFF for each flux, layer and statistic: `iloss_0-20_mean.tif`, …; existing files
    are kept.
    """
    jobs: list[tuple[Path, str, int | None]] = []
    for variable in LAYERED:
        flux, statistic = variable.split("_")
        for i, layer in enumerate(MAP_LAYERS):
            words = (flux, statistic, layer) if statistic == "probability" else (flux, layer, statistic)
            jobs.append((folder / f"{'_'.join(words)}.tif", variable, i))
    jobs += [(folder / f"{variable}.tif", variable, None) for variable in FLAT]
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(workers) as pool:
        written = pool.map(lambda job: _write_cog(job[0], job[1], job[2], store, grid), jobs)
        for done, _ in enumerate(written, 1):
            if progress:
                progress(done, len(jobs))
    return [path for path, _, _ in jobs]


def _write_cog(path: Path, variable: str, layer: int | None, store: Store, grid: MapGrid) -> None:
    if path.exists():
        return
    profile = {
        "driver": "GTiff",
        "dtype": "float32",
        "count": 1,
        "height": grid.shape[0],
        "width": grid.shape[1],
        "crs": "EPSG:4326",
        "transform": grid.transform,
        "nodata": NODATA,
        "bigtiff": "IF_SAFER",
        "tiled": True,
    }
    array, tags = store[variable], describe(variable)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        plain = Path(scratch) / path.name
        with rasterio.open(plain, "w", **profile) as target:
            for rows in strips(array):
                values = np.asarray(array[rows] if layer is None else array[layer, rows])
                window = ((rows.start, rows.stop), (0, grid.shape[1]))
                target.write(np.where(np.isfinite(values), values, NODATA).astype(np.float32), 1, window=window)
            target.update_tags(**tags, **({} if layer is None else {"layer_cm": MAP_LAYERS[layer]}))
            target.set_band_unit(1, tags["units"])
            target.set_band_description(1, tags["long_name"])
        with atomic_path(path) as temporary:
            copy(plain, temporary, **COG)


def write_netcdf(
    path: Path, store: Store, grid: MapGrid, *, title: str, history: str, progress: Progress | None = None
) -> None:
    """All maps in one CF-1.11 NetCDF file, with depth bounds."""
    names = [*LAYERED, *FLAT, "biome"]
    with atomic_path(path) as temporary, h5netcdf.File(temporary, "w") as file:
        file.attrs.update({"Conventions": "CF-1.11", "title": title, "history": history})
        file.dimensions = {"layer": len(MAP_LAYERS), "lat": grid.shape[0], "lon": grid.shape[1], "nv": 2}
        for name, (dimensions, values, attributes) in coordinates(grid).items():
            file.create_variable(name, dimensions, values.dtype, data=values).attrs.update(attributes)
        layer = file.create_variable("layer", ("layer",), h5py.string_dtype())
        layer[:] = np.array(MAP_LAYERS, object)
        layer.attrs["long_name"] = LAYER_LONG_NAME
        for done, name in enumerate(names, 1):
            array = store[name]
            variable = file.create_variable(
                name,
                ("layer", "lat", "lon") if name in LAYERED else ("lat", "lon"),
                array.dtype,
                fillvalue=None if name == "biome" else np.float32(np.nan),
                chunks=array.chunks,
                compression="gzip",
                compression_opts=4,
                shuffle=True,
            )
            variable.attrs.update(located(name))
            for rows in strips(array):
                if name in LAYERED:
                    for i in range(len(MAP_LAYERS)):
                        variable[i, rows] = array[i, rows]
                else:
                    variable[rows] = array[rows]
            if progress:
                progress(done, len(names))
