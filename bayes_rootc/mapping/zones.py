"""Parts of the land that totals are wanted of: countries, river basins, any polygons or classes of a raster."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.features import rasterize
from rasterio.warp import reproject

from ..data.grid import MapGrid, open_raster
from ..data.tables import reason_of
from ..errors import InputError

RASTERS = (".tif", ".tiff", ".nc", ".vrt", ".asc")
"""Endings of what is read as a raster; all else is read as polygons."""


UNNAMED = "without a name"


def _is_missing(value: Any) -> bool:
    return value is None or value != value or not str(value).strip()


def _turned(shape: Any, path: Path) -> Any:
    """A polygon between -180 and 180 degrees: what lies beyond is taken a turn back."""
    import shapely

    west, _, east, _ = shape.bounds
    if west >= -180 and east <= 180:
        return shape
    if west < -360 or east > 360:
        raise InputError(f"expected longitudes of -180 to 180 or 0 to 360, found {west:g} to {east:g}", file=path)
    whole = shape if shape.is_valid else shapely.make_valid(shape)
    pieces = [
        shapely.transform(
            whole.intersection(shapely.box(180 * turn, -90, 180 * (turn + 2), 90)),
            lambda xy, t=turn: xy - [180 * (t + 1), 0],
        )
        for turn in (-3, -1, 1)
    ]
    return shapely.union_all([piece for piece in pieces if not piece.is_empty])


@dataclass(frozen=True)
class Zones:
    """Named zones from a file of polygons (GeoJSON, Shapefile, GeoPackage, … in longitude and latitude), or from a
    raster of classes.

    Parameters
    ----------
    path : Path
        The file.
    name_field : str, optional
        Column that names the polygons; by default the first one of text. Polygons of one name are one zone; where zones
        overlap, the later one has the cell.

    Raises
    ------
    InputError
        Not readable, in another coordinate system, no such column, no polygon.
    """

    path: Path
    name_field: str | None = None

    @cached_property
    def names(self) -> list[str]:
        """Names of the zones; zone i has the label i + 1."""
        return self._raster_classes if self._is_raster else self._polygons[0]

    def on_grid(self, grid: MapGrid) -> NDArray[np.int32]:
        """Label of the zone at the centre of each cell, (lat, lon); 0 where there is none."""
        if self._is_raster:
            return self._read_raster(grid)
        _, label, shapes, bounds = self._polygons
        west, south, east, north = grid.bbox
        near = (bounds[:, 0] < east) & (bounds[:, 2] > west) & (bounds[:, 1] < north) & (bounds[:, 3] > south)
        if not near.any():
            return np.zeros(grid.shape, np.int32)
        pairs = [(shapes[i], int(label[i])) for i in np.flatnonzero(near)]
        return rasterize(pairs, out_shape=grid.shape, transform=grid.transform, fill=0, dtype="int32")

    @property
    def _is_raster(self) -> bool:
        return self.path.suffix.lower() in RASTERS

    @cached_property
    def _polygons(self) -> tuple[list[str], NDArray[np.int64], Any, NDArray[np.float64]]:
        """Names of zones; label, shape and bounds of each polygon."""
        import shapely.errors
        from pyogrio.raw import read

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # of rings that are not closed: they are refused
                about, _, geometry, columns = read(self.path)
            shapes = shapely.from_wkb(geometry)
            crs = CRS.from_user_input(about["crs"]) if about["crs"] else None
        except (RuntimeError, ValueError, shapely.errors.ShapelyError) as error:  # pyogrio's are RuntimeErrors
            raise InputError(f"not a readable file of polygons ({reason_of(error)})", file=self.path) from None
        table = dict(zip(map(str, about["fields"]), columns, strict=True))
        if crs and crs.to_epsg() != 4326:
            raise InputError(f"expected longitude and latitude (EPSG:4326), found {about['crs']}", file=self.path)
        text = [name for name, values in table.items() if values.dtype == object]
        field = self.name_field or next(iter(text), None)
        if field not in table:
            found = ", ".join(table) or "none"
            called = repr(field) if field else "of text"
            raise InputError(f"no column {called} that names the zones; found {found}", file=self.path)
        solid = np.array([g is not None and "Polygon" in g.geom_type for g in shapes])
        if not solid.any():
            raise InputError("holds no polygon", file=self.path)
        titles = np.array([UNNAMED if _is_missing(value) else str(value) for value in table[field][solid]])
        names, label = np.unique(titles, return_inverse=True)
        turned = np.array([_turned(polygon, self.path) for polygon in shapes[solid]], object)
        return names.tolist(), label + 1, turned, shapely.bounds(turned)

    @cached_property
    def _raster_classes(self) -> list[str]:
        MapGrid.like(self.path)
        with open_raster(self.path) as source:
            if not np.issubdtype(np.dtype(source.dtypes[0]), np.integer):
                raise InputError(f"expected whole numbers as classes, found {source.dtypes[0]}", file=self.path)
            found: set[int] = set()
            for _, window in source.block_windows(1):
                found |= set(source.read(1, window=window, masked=True).compressed().tolist())
        if not found:
            raise InputError("holds no class", file=self.path)
        return [str(value) for value in sorted(found)]

    def _read_raster(self, grid: MapGrid) -> NDArray[np.int32]:
        values = np.array([int(name) for name in self.names], np.int64)
        out = np.zeros(grid.shape, np.int32)
        with open_raster(self.path) as source:
            data = source.read(1, masked=True)
            label = np.where(np.ma.getmaskarray(data), 0, np.searchsorted(values, np.ma.getdata(data)) + 1)
            reproject(
                label.astype(np.int32),
                out,
                src_transform=source.transform,
                src_crs=source.crs,
                dst_transform=grid.transform,
                dst_crs=source.crs,
                src_nodata=0,
                dst_nodata=0,
                resampling=Resampling.nearest,
            )
        return out
