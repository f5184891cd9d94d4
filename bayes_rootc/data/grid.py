"""The map grid: regular in latitude and longitude, north up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from ..errors import InputError

EARTH_RADIUS_KM = 6371.0072
"""Radius of the sphere with the Earth's area."""

WORLD = (-180.0, -90.0, 180.0, 90.0)


@dataclass(frozen=True)
class MapGrid:
    """Cells of `resolution` degrees within `bbox` (west, south, east, north), counted from the north-west corner.

    Raises
    ------
    InputError : a box off the globe or empty, a resolution that is not > 0.

    Examples
    --------
    >>> grid = MapGrid(30.0)
    >>> grid.shape, float(grid.lat[0]), round(float(grid.area_ha.sum() / 1e8))
    ((6, 12), 75.0, 510)
    """

    resolution: float
    bbox: tuple[float, float, float, float] = WORLD

    def __post_init__(self) -> None:
        west, south, east, north = self.bbox
        if not self.resolution > 0:
            raise InputError(f"map resolution must be > 0 degrees, is {self.resolution:g}")
        if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
            raise InputError(
                f"bounding box must be west < east in [-180, 180] and south < north in [-90, 90], is {self.bbox}"
            )

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        west, south, east, north = self.bbox
        return max(round((north - south) / self.resolution), 1), max(round((east - west) / self.resolution), 1)

    @cached_property
    def transform(self) -> Affine:
        """Of the north-west corner, as rasterio wants it."""
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

    def cartesian(self) -> NDArray[np.float64]:
        """Cell centres on the unit sphere, shape (lat, lon, 3)."""
        lat, lon = np.meshgrid(np.radians(self.lat), np.radians(self.lon), indexing="ij")
        return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
