"""Maps as files: a Zarr store that tiles are written into, and the GeoTIFFs and the NetCDF file that are made of it."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

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

from ..constants import LAYERS, PROFILE_DEPTH_CM
from ..data.grid import MapGrid
from ..files import atomic_path
from ..progress import Progress
from .variables import (
    BIOME_COLOURS,
    BIOME_NAMES,
    CRS_NAME,
    FLAT,
    MAP_LAYERS,
    MAPS,
    NODATA,
    describe,
    file_name,
    layered_maps,
    located,
)

TIFF_TAGS = {"title": "TIFFTAG_IMAGEDESCRIPTION", "software": "TIFFTAG_SOFTWARE", "license": "TIFFTAG_COPYRIGHT"}
"""Names that TIFF has for what is said of a file."""

COG: dict[str, Any] = {"driver": "COG", "compress": "DEFLATE", "predictor": "YES", "overview_resampling": "average"}


LAYER_LONG_NAME = "soil layer, cm"

GEOZARR = [
    {
        "schema_url": "https://raw.githubusercontent.com/zarr-conventions/geo-proj/refs/tags/v1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/geo-proj/blob/v1/README.md",
        "uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f",
        "name": "proj:",
        "description": "Coordinate reference system information for geospatial data",
    },
    {
        "schema_url": "https://raw.githubusercontent.com/zarr-conventions/spatial/refs/tags/v1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/spatial/blob/v1/README.md",
        "uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
        "name": "spatial:",
        "description": "Spatial coordinate information",
    },
]
"""Conventions of Zarr stores that GDAL, QGIS and browsers read a coordinate system from."""

type About = dict[str, str]
"""Attributes of a file: title, history, source, references, license, run_id and so on."""


def georeferenced(grid: MapGrid) -> dict[str, Any]:
    """Attributes of a Zarr group by GeoZarr's conventions `proj:` and `spatial:`."""
    step, (west, south, east, north) = grid.resolution, grid.bbox
    return {
        "zarr_conventions": GEOZARR,
        "proj:code": "EPSG:4326",
        "spatial:dimensions": ["lat", "lon"],
        "spatial:transform_type": "affine",
        "spatial:transform": [step, 0.0, west, 0.0, -step, north],
        "spatial:shape": list(grid.shape),
        "spatial:bbox": [west, south, east, north],
        "spatial:registration": "pixel",
    }


def for_json(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes without arrays."""
    return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in attributes.items()}


def coordinates(grid: MapGrid) -> dict[str, tuple[tuple[str, ...], NDArray, dict[str, Any]]]:
    """Coordinates of the maps by CF, with their system, as dimensions, values and attributes."""
    bounds = np.array([*LAYERS, (0, PROFILE_DEPTH_CM)], np.float32) / 100
    wgs84 = CRS.from_epsg(4326).to_wkt()
    # crs_wkt is CF's word, spatial_ref GDAL's.
    system = {"grid_mapping_name": "latitude_longitude", "crs_wkt": wgs84, "spatial_ref": wgs84}
    system |= {"semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563, "longitude_of_prime_meridian": 0.0}
    north = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north", "axis": "Y"}
    east = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east", "axis": "X"}
    down = {"standard_name": "depth", "units": "m", "positive": "down", "bounds": "depth_bnds"}
    return {
        "lat": (("lat",), grid.lat, north),
        "lon": (("lon",), grid.lon, east),
        "depth": (("layer",), bounds.mean(axis=1), down | {"long_name": "depth of the middle of the layer"}),
        "depth_bnds": (("layer", "nv"), bounds, {}),
        CRS_NAME: ((), np.array(0, np.int32), system),
    }


type Store = dict[str, zarr.Array[Any]]
"""Maps by name, (layer, lat, lon) or (lat, lon)."""


def open_store(path: Path, *, write: bool = False) -> Store:
    """The maps of a store."""
    return dict(zarr.open_group(path, mode="r+" if write else "r").arrays())


def create_store(path: Path, grid: MapGrid, tile: int, quantities: Sequence[str] = ()) -> None:
    """An empty store of maps, in chunks of a tile; `quantities` are those of `PERSISTENCE` that are wanted."""
    group = zarr.open_group(path, mode="w")
    group.attrs.update({"layer": list(MAP_LAYERS), "Conventions": "CF-1.11"} | georeferenced(grid))
    compress = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle")
    chunk = tuple(min(tile, n) for n in grid.shape)
    layered: dict[str, Any] = {"shape": (len(MAP_LAYERS), *grid.shape), "chunks": (1, *chunk)}
    flat: dict[str, Any] = {"shape": grid.shape, "chunks": chunk}
    every = layered_maps(quantities)
    for name in (*every, *FLAT, "biome"):
        dimensions = ("layer", "lat", "lon") if name in every else ("lat", "lon")
        array = group.create_array(
            name,
            **(layered if name in every else flat),
            dtype="uint8" if name == "biome" else "float32",
            fill_value=0 if name == "biome" else np.nan,
            compressors=compress,
            dimension_names=dimensions,
        )
        array.attrs.update(for_json(located(name)))
    for name, (along, values, attributes) in coordinates(grid).items():
        group.create_array(name, data=values, dimension_names=along).attrs.update(attributes)
    names = group.create_array("layer", shape=(len(MAP_LAYERS),), dtype="string", dimension_names=("layer",))
    names[:] = np.array(MAP_LAYERS, dtype=np.dtypes.StringDType())
    names.attrs["long_name"] = LAYER_LONG_NAME
    consolidate(path)


def consolidate(path: Path) -> None:
    """Gathers the metadata of a store in one place."""
    with warnings.catch_warnings():
        # No part of the specification yet, but xarray looks for it, and asks the server once instead of for each array.
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        zarr.consolidate_metadata(path)


def say_about(path: Path, about: About) -> None:
    """Writes what is known of the maps into their store."""
    zarr.open_group(path, mode="r+").attrs.update(about)
    consolidate(path)


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
        (n, 8) of maps of every layer, (n,) of others.
    biome : ndarray
        Biome of each cell, 1–9, (n,).
    """
    rows, cols = (slice(start, start + n) for start, n in zip(place, grid.shape, strict=True))
    for name in maps_in(store):
        known = biome if name == "biome" else values[name].T
        array = store[name]
        field = np.full((*known.shape[:-1], grid.shape[0] * grid.shape[1]), array.fill_value, array.dtype)
        field[..., index] = known
        array[..., rows, cols] = field.reshape(*known.shape[:-1], *grid.shape)


def maps_in(store: Store) -> list[str]:
    """Names of the maps of a store, in order."""
    return [name for name in MAPS if name in store]


def strips(array: zarr.Array[Any]) -> Iterator[slice]:
    """Rows of the map, as many at a time as a chunk has."""
    step = array.chunks[-2]
    return (slice(start, min(start + step, array.shape[-2])) for start in range(0, array.shape[-2], step))


class Picture(NamedTuple):
    """A map as a GeoTIFF: its file, its variable and its layer, if it has one."""

    path: Path
    variable: str
    layer: int | None


def pictures(folder: Path, store: Store) -> list[Picture]:
    """All maps of a store, as GeoTIFFs in a folder."""
    out = []
    for variable in maps_in(store):
        layers: list[int | None] = [*range(len(MAP_LAYERS))] if store[variable].ndim == 3 else [None]
        for layer in layers:
            name = file_name(variable, None if layer is None else MAP_LAYERS[layer])
            out.append(Picture(folder / name, variable, layer))
    return out


def write_cogs(
    folder: Path, store: Store, grid: MapGrid, about: About, *, workers: int = 2, progress: Progress | None = None
) -> list[Picture]:
    """One cloud-optimised GeoTIFF for each quantity, layer and statistic, `iloss_0-20_mean.tif`, …, and `biome.tif`;
    existing files are kept.

    Parameters
    ----------
    about : About
        What is said of the maps in each file.
    """
    jobs = pictures(folder, store)
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(workers) as pool:
        written = pool.map(lambda job: _write_cog(job, store, grid, about), jobs)
        for done, _ in enumerate(written, 1):
            if progress:
                progress(done, len(jobs))
    return jobs


def values_of(store: Store, picture: Picture, rows: slice = slice(None)) -> NDArray:
    """Values of a map, (row, column), in some of its rows."""
    array = store[picture.variable]
    return np.asarray(array[rows] if picture.layer is None else array[picture.layer, rows])


def _write_cog(picture: Picture, store: Store, grid: MapGrid, about: About) -> None:
    path, variable, layer = picture
    if path.exists():
        return
    classes = variable == "biome"
    profile = {
        "driver": "GTiff",
        "dtype": "uint8" if classes else "float32",
        "count": 1,
        "height": grid.shape[0],
        "width": grid.shape[1],
        "crs": "EPSG:4326",
        "transform": grid.transform,
        "nodata": 0 if classes else NODATA,
        "bigtiff": "IF_SAFER",
        "tiled": True,
    }
    said = {key: str(value) for key, value in describe(variable).items() if not isinstance(value, np.ndarray)}
    tags = {TIFF_TAGS.get(key, key): text for key, text in about.items()} | said
    sums = Sums()
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        plain = Path(scratch) / path.name
        with rasterio.open(plain, "w", **profile) as target:
            for rows in strips(store[variable]):
                values = values_of(store, picture, rows)
                window = ((rows.start, rows.stop), (0, grid.shape[1]))
                if classes:
                    target.write(values.astype(np.uint8), 1, window=window)
                    continue
                known = np.isfinite(values)
                sums.add(values[known], values.size)
                target.write(np.where(known, values, NODATA).astype(np.float32), 1, window=window)
            target.update_tags(**tags, **({} if layer is None else {"layer_cm": MAP_LAYERS[layer]}))
            target.set_band_description(1, said["long_name"])
            if classes:
                target.write_colormap(1, {0: (0, 0, 0, 0)} | {n: _rgb(colour) for n, colour in BIOME_COLOURS.items()})
                target.update_tags(1, **{f"class_{i}": name for i, name in enumerate(BIOME_NAMES)})
            else:
                target.set_band_unit(1, said["units"])
                target.update_tags(1, **sums.tags())
        with atomic_path(path) as temporary:
            copy(plain, temporary, **(COG | ({"overview_resampling": "mode"} if classes else {})))
    if classes:
        names = "".join(f"<Category>{escape(name)}</Category>" for name in BIOME_NAMES)
        text = (
            f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand></PAMDataset>'
        )
        path.with_name(f"{path.name}.aux.xml").write_text(text + "\n", encoding="utf-8")


def _rgb(colour: str) -> tuple[int, int, int, int]:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue, 255


@dataclass
class Sums:
    """Sums over the values of a map, from which its statistics follow."""

    cells: int = 0
    known: int = 0
    total: float = 0.0
    squares: float = 0.0
    least: float = np.inf
    most: float = -np.inf

    def add(self, values: NDArray, cells: int) -> None:
        """Adds some of the values, of some of the cells."""
        self.cells += cells
        if len(values):
            exact = values.astype(np.float64)
            self.known += len(exact)
            self.total += float(exact.sum())
            self.squares += float(exact @ exact)
            self.least, self.most = min(self.least, float(exact.min())), max(self.most, float(exact.max()))

    def tags(self) -> dict[str, str]:
        """Statistics as GDAL keeps them; none of a map without values."""
        if not self.known:
            return {}
        mean = self.total / self.known
        found = {
            "MINIMUM": self.least,
            "MAXIMUM": self.most,
            "MEAN": mean,
            "STDDEV": max(self.squares / self.known - mean**2, 0.0) ** 0.5,
            "VALID_PERCENT": 100 * self.known / self.cells,
        }
        return {f"STATISTICS_{name}": f"{value:.8g}" for name, value in found.items()}


def write_netcdf(path: Path, store: Store, grid: MapGrid, about: About, *, progress: Progress | None = None) -> None:
    """All maps in one CF-1.11 NetCDF file, with depth bounds; `about` holds its attributes."""
    names = maps_in(store)
    with atomic_path(path) as temporary, h5netcdf.File(temporary, "w") as file:
        file.attrs.update({"Conventions": "CF-1.11, ACDD-1.3"} | about)
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
                ("layer", "lat", "lon") if array.ndim == 3 else ("lat", "lon"),
                array.dtype,
                fillvalue=None if name == "biome" else np.float32(np.nan),
                chunks=array.chunks,
                compression="gzip",
                compression_opts=4,
                shuffle=True,
            )
            variable.attrs.update(located(name))
            for rows in strips(array):
                if array.ndim == 3:
                    for i in range(len(MAP_LAYERS)):
                        variable[i, rows] = array[i, rows]
                else:
                    variable[rows] = array[rows]
            if progress:
                progress(done, len(names))
