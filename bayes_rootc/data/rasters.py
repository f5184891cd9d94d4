"""Rasters as people have them, opened as one band in longitude and latitude, from -180 to 180 degrees east.

A raster in another coordinate system is warped when it is read, one of 0 to 360 degrees is turned, a band is picked by
its number, a variable of a NetCDF file or Zarr store by its name. Nothing is written: GDAL does it all on the way.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import rasterio
import rasterio.errors
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from ..errors import InputError
from .plausible import ALWAYS_CODES, LARGEST_VALUE
from .tables import reason_of, shown

WGS84 = CRS.from_epsg(4326)
VARIABLE = "::"
"""Between a file and its variable: `soil.nc::carbon`."""

OF_SERVERS = {"https://": "/vsicurl/https://", "http://": "/vsicurl/http://", "s3://": "/vsis3/", "gs://": "/vsigs/"}
"""How addresses begin, and the names of GDAL's file systems."""

REMOTE = tuple(OF_SERVERS)

GDAL_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "uint64": "UInt64",
    "int64": "Int64",
    "float32": "Float32",
    "float64": "Float64",
}

RASTER_CODES = (*ALWAYS_CODES, -999999.0, -32768.0, -2147483648.0)
"""Values that mean "missing" in any raster."""


@dataclass(frozen=True)
class Form:
    """What a raster's file says of its numbers: value = number · `scale` + `offset`; `nodata` is missing."""

    dtype: np.dtype
    nodata: float | None
    scale: float = 1.0
    offset: float = 0.0

    def undeclared(self, numbers: NDArray) -> float | None:
        """A number that can only mean "missing", though the file does not declare it; None if there is none.

        Where the file declares no nodata at all, the ends of its type of whole numbers are such as well.
        """
        found = numbers[np.isfinite(numbers)]
        strange = np.isin(found, RASTER_CODES) | (np.abs(found) >= LARGEST_VALUE)
        if self.nodata is None and self.dtype.kind in "iu":
            ends = np.iinfo(self.dtype)
            strange |= (found == ends.max) | ((found == ends.min) & (ends.min < 0))
        return float(found[strange][0]) if strange.any() else None


def place_of(folder: Path, path: str) -> str:
    """Where a path of a manifest leads: below its folder, or to a server."""
    return path if path.startswith(REMOTE) else str(folder / path)


def file_of(folder: Path, path: str) -> Path | None:
    """The local file, or store, of a path of a manifest; none of one on a server."""
    return None if path.startswith(REMOTE) else folder / path.partition(VARIABLE)[0]


@contextmanager
def open_covariate(
    place: str, *, band: int | None = None, classes: bool = False, form: list[Form] | None = None
) -> Iterator[rasterio.DatasetReader]:
    """A raster as one band in longitude and latitude, open for reading.

    Parameters
    ----------
    place : str
        A file, an address, or either with a variable: `soil.nc::carbon`.
    band : int, optional
        Its number, from 1 on, where the file has several.
    classes : bool
        Numbers are codes, so that warping must not mix them.
    form : list, optional
        Gets what the file says of its numbers.

    Raises
    ------
    InputError
        It cannot be opened or read, has several bands or variables and none is named, has no coordinate system, or
        cells that do not close the globe.
    """
    with ExitStack() as stack:
        try:
            if place.startswith(REMOTE):  # no listing of the server's folder, which may be endless
                stack.enter_context(rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_HTTP_TIMEOUT=60))
            with warnings.catch_warnings():
                # A NetCDF file of several variables is not georeferenced as such.
                warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
                source = stack.enter_context(rasterio.open(_gdal_name(place)))
            source, found = _one_band(source, place, band, stack)
            if form is not None:
                form.append(found)
            yield _on_the_globe(source, place, classes, stack)
        except rasterio.errors.RasterioError as error:
            raise InputError(f"not a readable raster ({reason_of(error.__cause__ or error)})", file=place) from None


def _gdal_name(place: str) -> str:
    file, _, variable = place.partition(VARIABLE)
    if not variable:
        return place
    for address, name in OF_SERVERS.items():  # in front of a driver, GDAL knows its own names only
        if file.startswith(address):
            file = name + file.removeprefix(address)
    if file.rstrip("/").endswith(".zarr"):
        return f'ZARR:"{file}":/{variable}'
    return f'NETCDF:"{file}":{variable}'


def _one_band(
    source: rasterio.DatasetReader, place: str, band: int | None, stack: ExitStack
) -> tuple[rasterio.DatasetReader, Form]:
    if source.count == 0 and source.subdatasets:
        names = ", ".join(name.rpartition(":")[2].lstrip("/") for name in source.subdatasets[:8])
        raise InputError(f"holds several variables ({names}); say which, as `{Path(place).name}::NAME`", file=place)
    if band is None and source.count != 1:
        raise InputError(f"expected one band, found {source.count}; say which by `band = 1`", file=place)
    if band is not None and not 1 <= band <= source.count:
        raise InputError(f"band {band}: the raster has {source.count}", file=place, column="band")
    at = (band or 1) - 1
    form = Form(np.dtype(source.dtypes[at]), source.nodatavals[at], source.scales[at], source.offsets[at])
    crs = source.crs
    if crs is None and VARIABLE in place and _in_degrees(source):
        crs = WGS84  # CF needs no grid mapping for longitude and latitude
    if crs is None:
        raise InputError("has no coordinate system; expected EPSG:4326, or another that it declares", file=place)
    geographic = crs.is_geographic
    turned = geographic and source.bounds.right > 180 + source.transform.a and source.transform.a > 0
    if source.count == 1 and crs == source.crs and not turned:
        return source, form
    pieces = _turned(source, place) if turned else [(0, 0, source.width, source.width, source.transform.c)]
    width, west = pieces[0][3], pieces[0][4]
    t = source.transform
    parts = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="0">{escape(source.name)}</SourceFilename>'
        f"<SourceBand>{at + 1}</SourceBand>"
        f'<SrcRect xOff="{start}" yOff="0" xSize="{size}" ySize="{source.height}"/>'
        f'<DstRect xOff="{to}" yOff="0" xSize="{size}" ySize="{source.height}"/></SimpleSource>'
        for start, to, size, *_ in pieces
    )
    missing, kind = form.nodata, GDAL_TYPES.get(form.dtype.name)
    if missing is None and source.width < width:  # what lies outside needs one
        missing, kind = np.nan, "Float64"
    nodata = "" if missing is None else f"<NoDataValue>{missing!r}</NoDataValue>"
    if kind is None:
        raise InputError(f"expected whole or floating-point numbers, found {source.dtypes[at]}", file=place)
    xml = (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{source.height}"><SRS>{escape(crs.to_wkt())}</SRS>'
        f"<GeoTransform>{west!r},{t.a!r},{t.b!r},{t.f!r},{t.d!r},{t.e!r}</GeoTransform>"
        f'<VRTRasterBand dataType="{kind}" band="1">{nodata}{parts}</VRTRasterBand></VRTDataset>'
    )
    memory = stack.enter_context(MemoryFile(xml.encode(), ext=".vrt"))
    return stack.enter_context(memory.open()), form


def _in_degrees(source: rasterio.DatasetReader) -> bool:
    left, bottom, right, top = source.bounds
    low, high = min(bottom, top), max(bottom, top)
    return -181 <= left < right <= 361 and -91 <= low < high <= 91 and right - left > 1e-6


def _turned(source: rasterio.DatasetReader, place: str) -> list[tuple[int, int, int, int, float]]:
    """Pieces of a raster that reaches beyond 180° E, as it lies from -180 to 180: first column there, first column
    here, number of columns; and the width of the whole and its western edge.
    """
    cell, left = source.transform.a, source.transform.c
    around = round(360 / cell)
    if abs(around * cell - 360) > 0.01 * cell:
        raise InputError(
            f"reaches {source.bounds.right:g}° E with cells of {cell:g}°, which do not close the globe", file=place
        )
    west = left - cell * np.floor((left + 180) / cell + 1e-9)
    to = np.round((left + cell * np.arange(source.width) - west) / cell).astype(int) % around
    starts = np.r_[0, np.flatnonzero(np.diff(to) != 1) + 1, source.width]
    return [(int(start), int(to[start]), int(end - start), around, float(west)) for start, end in pairwise(starts)]


def _on_the_globe(
    source: rasterio.DatasetReader, place: str, classes: bool, stack: ExitStack
) -> rasterio.DatasetReader:
    if source.crs.is_geographic:  # datums differ by less than any cell
        return source
    nodata = source.nodata
    kind = source.dtypes[0]
    how = {"dtype": kind, "nodata": nodata, "src_nodata": nodata}
    if nodata is None:  # what lies outside needs one
        how = {"dtype": "float64", "nodata": np.nan, "src_nodata": None}
    resampling = Resampling.nearest if classes else Resampling.bilinear
    try:
        return stack.enter_context(WarpedVRT(source, crs=WGS84, resampling=resampling, **how))
    except rasterio.errors.RasterioError as error:
        raise InputError(
            f"cannot be brought to longitude and latitude ({reason_of(error)})", file=shown(place)
        ) from None
