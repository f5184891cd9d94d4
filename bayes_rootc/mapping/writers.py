"""Maps as files: a Zarr store that tiles are written into, and the NetCDF file that is made of it; `geotiffs` has the
other files.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import h5netcdf
import h5py
import numpy as np
import zarr
import zarr.errors
from numpy.typing import NDArray
from rasterio.crs import CRS
from zarr.codecs import BloscCodec

from ..constants import LAYERS, PROFILE_DEPTH_CM
from ..data.grid import MapGrid
from ..files import atomic_path
from ..progress import Progress
from .variables import (
    CRS_NAME,
    EVERY_MAP,
    MAP_LAYERS,
    MAPS,
    MapChoice,
    located,
)

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

MANTISSA = 23
"""Bits of the mantissa of a number in single precision."""

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


def coordinates(grid: MapGrid, layers: Sequence[str]) -> dict[str, tuple[tuple[str, ...], NDArray, dict[str, Any]]]:
    """Coordinates of maps of some layers by CF, with their system, as dimensions, values and attributes."""
    depths = dict(zip(MAP_LAYERS, (*LAYERS, (0, PROFILE_DEPTH_CM)), strict=True))
    bounds = np.array([depths[layer] for layer in layers], np.float32) / 100
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


@dataclass(frozen=True)
class Rounding:
    """Rounding of single-precision values to some bits of their mantissa; the others, which are 0, take no room in a
    compressed file.

    Attributes
    ----------
    bits : int
        Bits that are kept; with all of them values stay as computed.

    Examples
    --------
    >>> Rounding.to(0.0005)
    Rounding(bits=10)
    >>> Rounding.to(0.1).of(np.array([1.0, 3.3, np.nan], np.float32))
    array([1.  , 3.25,  nan], dtype=float32)
    """

    bits: int = MANTISSA

    @classmethod
    def to(cls, precision: float) -> Rounding:
        """As few bits as a relative error allows; 0: all."""
        return cls(int(np.clip(np.ceil(-np.log2(precision)) - 1, 0, MANTISSA))) if precision else cls()

    @classmethod
    def of_map(cls, array: zarr.Array[Any]) -> Rounding:
        """How the values of a map in a store are rounded."""
        return cls(int(cast(int, array.attrs.get("quantization_nsb", MANTISSA))))

    @property
    def attributes(self) -> dict[str, Any]:
        """What is said of it in files."""
        if self.bits == MANTISSA:
            return {}
        percent = f"{50 / 2**self.bits:.2g}"
        text = f"rounded to {self.bits} bits of the mantissa: relative error at most {percent} %"
        return {"comment": text, "quantization_nsb": self.bits}  # the second as CF-1.12 calls it

    def of(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rounded values; a tie goes to the even number, as in libraries that call this bit rounding."""
        dropped = MANTISSA - self.bits
        if not dropped:
            return values
        bits = values.view(np.uint32)
        half = np.uint32((1 << dropped - 1) - 1)
        rounded = (bits + half + (bits >> np.uint32(dropped) & np.uint32(1))) & np.uint32(-1 << dropped & 0xFFFFFFFF)
        return np.where(np.isfinite(values), rounded.view(np.float32), values)


EXACT = Rounding()

type Store = dict[str, zarr.Array[Any]]
"""Maps by name, (layer, lat, lon) or (lat, lon)."""


def open_store(path: Path, *, write: bool = False) -> Store:
    """The maps of a store."""
    return dict(zarr.open_group(path, mode="r+" if write else "r").arrays())


def create_store(
    path: Path, grid: MapGrid, tile: int, choice: MapChoice = EVERY_MAP, rounding: Rounding = EXACT
) -> None:
    """An empty store of the chosen maps, in chunks of a tile, whose attributes say how values are rounded."""
    group = zarr.open_group(path, mode="w")
    group.attrs.update({"layer": list(choice.layers), "Conventions": "CF-1.11"} | georeferenced(grid))
    compress = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")
    chunk = tuple(min(tile, n) for n in grid.shape)
    layered: dict[str, Any] = {"shape": (len(choice.layers), *grid.shape), "chunks": (1, *chunk)}
    flat: dict[str, Any] = {"shape": grid.shape, "chunks": chunk}
    for name in choice.names:
        dimensions = ("layer", "lat", "lon") if name in choice.layered else ("lat", "lon")
        array = group.create_array(
            name,
            **(layered if name in choice.layered else flat),
            dtype="uint8" if name == "biome" else "float32",
            fill_value=0 if name == "biome" else np.nan,
            compressors=compress,
            dimension_names=dimensions,
        )
        array.attrs.update(for_json(located(name, choice.names)))
        if name != "biome":
            array.attrs.update(rounding.attributes)
    for name, (along, values, attributes) in coordinates(grid, choice.layers).items():
        group.create_array(name, data=values, dimension_names=along).attrs.update(attributes)
    names = group.create_array("layer", shape=(len(choice.layers),), dtype="string", dimension_names=("layer",))
    names[:] = np.array(choice.layers, dtype=np.dtypes.StringDType())
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
    store: Store,
    place: tuple[int, int],
    grid: MapGrid,
    index: NDArray,
    values: dict[str, NDArray],
    biome: NDArray,
    rounding: Rounding = EXACT,
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
        (n, layer) of maps of every layer of the store, (n,) of others.
    biome : ndarray
        Biome of each cell, 1–9, (n,).
    rounding : Rounding
        What was said of it when the store was made.
    """
    rows, cols = (slice(start, start + n) for start, n in zip(place, grid.shape, strict=True))
    for name in maps_in(store):
        known = biome if name == "biome" else rounding.of(values[name]).T
        array = store[name]
        field = np.full((*known.shape[:-1], grid.shape[0] * grid.shape[1]), array.fill_value, array.dtype)
        field[..., index] = known
        array[..., rows, cols] = field.reshape(*known.shape[:-1], *grid.shape)


def said_of(array: zarr.Array[Any]) -> dict[str, Any]:
    """What the store says of the rounding of a map."""
    return {key: array.attrs[key] for key in ("comment", "quantization_nsb") if key in array.attrs}


def maps_in(store: Store) -> list[str]:
    """Names of the maps of a store, in order."""
    return [name for name in MAPS if name in store]


def strips(array: zarr.Array[Any]) -> Iterator[slice]:
    """Rows of the map, as many at a time as a chunk has."""
    step = array.chunks[-2]
    return (slice(start, min(start + step, array.shape[-2])) for start in range(0, array.shape[-2], step))


def layers_in(store: Store) -> list[str]:
    """Names of the layers of a store, in order."""
    return [str(name) for name in np.asarray(store["layer"][:])]


def write_netcdf(path: Path, store: Store, grid: MapGrid, about: About, *, progress: Progress | None = None) -> None:
    """All maps in one CF-1.11 NetCDF file, with depth bounds; `about` holds its attributes."""
    names, layers = maps_in(store), layers_in(store)
    with atomic_path(path) as temporary, h5netcdf.File(temporary, "w") as file:
        file.attrs.update({"Conventions": "CF-1.11, ACDD-1.3"} | about)
        file.dimensions = {"layer": len(layers), "lat": grid.shape[0], "lon": grid.shape[1], "nv": 2}
        for name, (dimensions, values, attributes) in coordinates(grid, layers).items():
            file.create_variable(name, dimensions, values.dtype, data=values).attrs.update(attributes)
        layer = file.create_variable("layer", ("layer",), h5py.string_dtype())
        layer[:] = np.array(layers, object)
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
                compression_opts=1,
                shuffle=True,
            )
            variable.attrs.update(located(name, names) | said_of(array))
            for rows in strips(array):
                for place in [(i, rows) for i in range(len(layers))] if array.ndim == 3 else [(rows,)]:
                    values = np.asarray(array[place])
                    if (np.isfinite(values) & (values != array.fill_value)).any():  # sea takes no room
                        variable[place] = values
            if progress:
                progress(done, len(names))
