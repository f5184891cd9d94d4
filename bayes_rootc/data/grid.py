"""The map grid: regular in latitude and longitude, north up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import rasterio
import rasterio.errors
from affine import Affine
from numpy.typing import NDArray

from ..constants import EARTH_RADIUS_KM
from ..errors import InputError
from .tables import reason_of

WORLD = (-180.0, -90.0, 180.0, 90.0)

MIN_CELL = 0.0008
"""Smallest cell of a raster or map, degrees (3″, 90 m): of smaller ones no computer could hold what is near a place."""

ROUNDING = 1e-6
"""Degrees that edges of cells may be off by."""


@contextmanager
def open_raster(path: Path) -> Iterator[rasterio.DatasetReader]:
    """A raster, open for reading.

    Raises
    ------
    InputError
        It cannot be opened, or not read where it is read.
    """
    try:
        with rasterio.open(path) as source:
            yield source
    except rasterio.errors.RasterioError as error:
        raise InputError(f"not a readable raster ({reason_of(error.__cause__ or error)})", file=path) from None


@dataclass(frozen=True)
class MapGrid:
    """Cells of `resolution` degrees within `bbox` (west, south, east, north), counted from the north-west corner.

    A box whose west is greater than its east crosses 180°; its east is kept as a value above 180, and so are the
    longitudes of its cells. Boxes in longitudes of 0 to 360 degrees are accepted.

    Parameters
    ----------
    resolution : float
        Side of a cell, degrees.
    bbox : tuple of float
        West, south, east and north, degrees; by default the globe.

    Raises
    ------
    InputError
        The box is empty or not on the globe, or the resolution is below `MIN_CELL`.

    Examples
    --------
    >>> grid = MapGrid(30.0)
    >>> grid.shape, float(grid.lat[0]), round(float(grid.area_ha.sum() / 1e8))
    ((6, 12), 75.0, 510)

    New Zealand and what lies east of it:

    >>> grid = MapGrid(5.0, (165, -50, -170, -30))
    >>> grid.bbox, grid.lon.tolist()
    ((165, -50, 190, -30), [167.5, 172.5, 177.5, 182.5, 187.5])
    """

    resolution: float
    bbox: tuple[float, float, float, float] = WORLD

    def __post_init__(self) -> None:
        west, south, east, north = self.bbox
        if not self.resolution >= MIN_CELL:
            raise InputError(f"map resolution must be at least {MIN_CELL:g} degrees, is {self.resolution:g}")
        if not (-180 <= west <= 360 and -180 <= east <= 540 and west != east and -90 <= south < north <= 90):
            raise InputError(
                "bounding box must have its west and east in [-180, 180] (west > east: across 180°) or [0, 360], and "
                f"south < north in [-90, 90], is {self.bbox}"
            )
        if east < west:
            east += 360
        if east - west > 360 + ROUNDING:
            raise InputError(f"bounding box must go round the globe once at most, is {self.bbox}")
        if east - west > 360 - ROUNDING:
            west, east = -180.0, 180.0  # the same cells, counted from elsewhere
        elif west >= 180:
            west, east = west - 360, east - 360
        object.__setattr__(self, "bbox", (west, south, east, north))

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        west, south, east, north = self.bbox
        return max(round((north - south) / self.resolution), 1), max(round((east - west) / self.resolution), 1)

    @cached_property
    def transform(self) -> Affine:
        """Affine transform from the north-west corner, as rasterio wants it."""
        return Affine(self.resolution, 0, self.bbox[0], 0, -self.resolution, self.bbox[3])

    @cached_property
    def lat(self) -> NDArray[np.float64]:
        """Latitudes of the cell centres, north to south."""
        return np.float64(self.bbox[3]) - (np.arange(self.shape[0]) + 0.5) * self.resolution

    @cached_property
    def lon(self) -> NDArray[np.float64]:
        """Longitudes of the cell centres, west to east."""
        return np.float64(self.bbox[0]) + (np.arange(self.shape[1]) + 0.5) * self.resolution

    @cached_property
    def area_ha(self) -> NDArray[np.float64]:
        """Area of a cell in each row, ha, shape (lat, lon); exact on the sphere."""
        half = self.resolution / 2
        band = np.sin(np.radians(np.minimum(self.lat + half, 90))) - np.sin(
            np.radians(np.maximum(self.lat - half, -90))
        )
        hectares = EARTH_RADIUS_KM**2 * np.radians(self.resolution) * band * 100
        return np.broadcast_to(hectares[:, None], self.shape)

    @classmethod
    def like(cls, path: Path) -> MapGrid:
        """The grid of a raster.

        Parameters
        ----------
        path : Path
            File of the raster.

        Returns
        -------
        MapGrid
            Grid with the same cells.

        Raises
        ------
        InputError
            The file is not a raster, or its cells are not square in latitude and longitude, north up.
        """
        with open_raster(path) as source:
            crs, t, bounds = source.crs, source.transform, source.bounds
        if crs is None or crs.to_epsg() != 4326:
            raise InputError(f"expected coordinates in EPSG:4326, found {crs or 'none'}", file=path)
        if t.b or t.d or t.a < MIN_CELL or not np.isclose(t.a, -t.e):
            raise InputError(
                f"expected square cells of at least {MIN_CELL:g} degrees, north up, without rotation", file=path
            )
        west, south, east, north = (round(float(v), 9) for v in bounds)
        if abs(east - west - 360) < t.a / 2:
            west, east = -180.0, 180.0  # the same cells, counted from elsewhere
        if west < -180 - t.a or east - west > 360 or west > 360:
            raise InputError(f"expected longitudes of -180 to 180 or 0 to 360, found {west:g} to {east:g}", file=path)
        return cls(t.a, (max(west, -180.0), max(south, -90.0), east, min(north, 90.0)))

    def part(self, row: int, col: int, size: int) -> MapGrid:
        """Cells from a row and column on, `size` a side or up to the edge."""
        return self._box(row, col, *(min(size, n - start) for n, start in zip(self.shape, (row, col), strict=True)))

    def rows(self, row: int, count: int) -> MapGrid:
        """`count` whole rows from one on, or fewer at the edge."""
        return self._box(row, 0, min(count, self.shape[0] - row), self.shape[1])

    def _box(self, row: int, col: int, rows: int, cols: int) -> MapGrid:
        west, north = self.bbox[0] + col * self.resolution, self.bbox[3] - row * self.resolution
        east, south = west + cols * self.resolution, north - rows * self.resolution
        return MapGrid(self.resolution, (max(west, -180.0), max(south, -90.0), east, min(north, 90.0)))
