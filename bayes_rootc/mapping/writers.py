"""Maps as files: cloud-optimised GeoTIFFs and one CF NetCDF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from rasterio.shutil import copy

from ..constants import LAYERS, PROFILE_DEPTH_CM
from ..data.grid import MapGrid
from ..files import atomic_path
from ..progress import Progress

NODATA = -9999.0
UNIT = "Mg ha-1 yr-1"
LONG_NAMES = {
    "iroot": "root-derived carbon input to soil",
    "ibulk": "carbon input to bulk soil",
    "iloss": "root-derived carbon lost before entering bulk soil",
}
STATISTIC_NAMES = {
    "mean": "mean over members",
    "median": "median over members",
    "p025": "2.5 % quantile over members",
    "p975": "97.5 % quantile over members",
    "uncertainty": "half the 95 % interval over the absolute mean",
    "probability": "probability of being positive",
}


def describe(variable: str) -> dict[str, str]:
    """CF attributes of a map variable."""
    flux, statistic = variable.split("_")
    unit = "1" if statistic in ("uncertainty", "probability") else UNIT
    return {"long_name": f"{LONG_NAMES[flux]}: {STATISTIC_NAMES[statistic]}", "units": unit}


def write_cogs(folder: Path, maps: xr.Dataset, grid: MapGrid, *, progress: Progress | None = None) -> list[Path]:
    """One cloud-optimised GeoTIFF for each flux, layer and statistic: `iloss_0-20_mean.tif`, …"""
    written = []
    variables = [v for v in maps.data_vars if v != "biome"]
    for done, variable in enumerate(variables, 1):
        flux, statistic = str(variable).split("_")
        attributes = describe(str(variable))
        for layer in maps["layer"].values:
            values = maps[variable].sel(layer=layer).values
            name = (
                f"{flux}_probability_{layer}.tif" if statistic == "probability" else f"{flux}_{layer}_{statistic}.tif"
            )
            _write_cog(folder / name, values, grid, attributes | {"layer_cm": str(layer)})
            written.append(folder / name)
        if progress:
            progress(done, len(variables))
    return written


def _write_cog(path: Path, values: np.ndarray, grid: MapGrid, tags: dict[str, str]) -> None:
    profile = {
        "driver": "GTiff",
        "dtype": "float32",
        "count": 1,
        "height": grid.shape[0],
        "width": grid.shape[1],
        "crs": "EPSG:4326",
        "transform": grid.transform,
        "nodata": NODATA,
    }
    filled = np.where(np.isfinite(values), values, NODATA).astype(np.float32)
    with rasterio.MemoryFile() as memory:
        with memory.open(**profile) as plain:
            plain.write(filled, 1)
            plain.update_tags(**tags)
            plain.set_band_unit(1, tags["units"])
            plain.set_band_description(1, tags["long_name"])
        with memory.open() as plain, atomic_path(path) as temporary:
            copy(plain, temporary, driver="COG", compress="DEFLATE", predictor="YES", overview_resampling="average")


def write_netcdf(path: Path, maps: xr.Dataset, *, title: str, history: str) -> None:
    """All maps in one CF-1.11 NetCDF file, with depth bounds."""
    out = maps.copy()
    for variable in out.data_vars:
        out[variable].attrs = (
            describe(str(variable))
            if variable != "biome"
            else {"long_name": "biome (1-9; 0: not mapped)", "units": "1"}
        )
    bounds = np.array([*LAYERS, (0, PROFILE_DEPTH_CM)], np.float32) / 100
    out = out.assign_coords(depth=("layer", bounds.mean(axis=1)), depth_bnds=(("layer", "nv"), bounds))
    out["depth"].attrs = {"standard_name": "depth", "units": "m", "positive": "down", "bounds": "depth_bnds"}
    out["layer"].attrs = {"long_name": "soil layer, cm"}
    out["lat"].attrs = {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}
    out["lon"].attrs = {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}
    out.attrs = {"Conventions": "CF-1.11", "title": title, "history": history}
    encoding: dict[str, dict[str, Any]] = {str(v): {"zlib": True, "complevel": 4} for v in out.data_vars}
    encoding |= {str(c): {"_FillValue": None} for c in ("lat", "lon", "depth", "depth_bnds")}
    with atomic_path(path) as temporary:
        out.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)
