"""Grids of models, and how much of each cell of our maps lies in each of their cells: what conservative regridding is.

A regular grid is a product of intervals, so areas of overlap are products as well, exact on the sphere. Cells of a
curvilinear grid are polygons with straight edges in longitude and sine of latitude, in which areas are true.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from ..constants import EARTH_RADIUS_KM
from ..data.grid import MapGrid
from ..mapping.maps import LandCells

HA_PER_RADIAN = EARTH_RADIUS_KM**2 * 100
"""Hectares of a cell of 1 in sine of latitude and 1 radian of longitude."""


@dataclass(frozen=True)
class ModelGrid:
    """Cells of a model, of `shape` (rows, columns), longitudes and latitudes in degrees.

    Attributes
    ----------
    lat, lon : ndarray
        Centres, (rows,) and (columns,), or both (rows, columns) of a curvilinear grid; an unstructured grid is one row
        of cells. Cells without a place have NaN.
    lat_edges, lon_edges : ndarray
        Of a regular grid, (rows + 1,) and (columns + 1,), in the order of the cells; of others the corners of each
        cell, (rows, columns, n); a cell without a place is a point.
    """

    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    lat_edges: NDArray[np.float64]
    lon_edges: NDArray[np.float64]

    @classmethod
    def like(cls, grid: MapGrid) -> ModelGrid:
        """The grid of our maps."""
        half = grid.resolution / 2
        lat_edges, lon_edges = np.r_[grid.lat + half, grid.lat[-1] - half], np.r_[grid.lon - half, grid.lon[-1] + half]
        return cls(grid.lat, grid.lon, np.clip(lat_edges, -90, 90), lon_edges)

    @property
    def regular(self) -> bool:
        """Whether latitude depends on the row alone, and longitude on the column."""
        return self.lat.ndim == 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return (len(self.lat), len(self.lon)) if self.regular else (self.lat.shape[0], self.lat.shape[1])

    @property
    def area_ha(self) -> NDArray[np.float64]:
        """Area of each cell, (rows, columns)."""
        if self.regular:
            high = np.abs(np.diff(np.sin(np.radians(self.lat_edges))))
            return HA_PER_RADIAN * np.outer(high, np.abs(np.diff(np.radians(self.lon_edges))))
        return HA_PER_RADIAN * np.radians(1) * shapely.area(self._polygons()).reshape(self.shape)

    def overlap(self, cells: LandCells) -> csr_array:
        """Area (ha) of each map cell in each cell of this grid: (rows x columns, n)."""
        half, (rows, cols) = cells.grid.resolution / 2, np.divmod(cells.index, cells.grid.shape[1])
        south, north = cells.grid.lat[rows] - half, cells.grid.lat[rows] + half
        west, east = cells.grid.lon[cols] - half, cells.grid.lon[cols] + half
        if not self.regular:
            return self._polygon_overlap(south, north, west, east)
        low, high = np.sort([self.lat_edges[:-1], self.lat_edges[1:]], axis=0)
        left, right = np.sort([self.lon_edges[:-1], self.lon_edges[1:]], axis=0)
        up = _common(*np.sin(np.radians(np.clip([low, high], -90, 90))), *np.sin(np.radians([south, north])))
        across = sum(_common(left + turn, right + turn, west, east) for turn in (-720.0, -360.0, 0.0, 360.0))
        return csr_array(_columnwise_product(up, csc_array(across))) * (HA_PER_RADIAN * np.radians(1))

    def _polygons(self) -> NDArray[np.object_]:
        """Cells in longitude and sine of latitude; each is kept together where it crosses 180 degrees."""
        lon = self.lon_edges.reshape(-1, self.lon_edges.shape[-1])
        first = lon[:, :1]
        lon = first + (lon - first + 180) % 360 - 180
        lat = np.sin(np.radians(np.clip(self.lat_edges.reshape(lon.shape), -90, 90)))
        return shapely.make_valid(shapely.polygons(np.stack([lon, lat], axis=-1)))

    def _polygon_overlap(self, south: NDArray, north: NDArray, west: NDArray, east: NDArray) -> csr_array:
        polygons = self._polygons()
        tree = shapely.STRtree(polygons)
        bottom, top = np.sin(np.radians([south, north]))
        rows, cols, areas = [], [], []
        for turn in (-360.0, 0.0, 360.0):
            boxes = shapely.box(west + turn, bottom, east + turn, top)
            cell, polygon = tree.query(boxes, predicate="intersects")
            rows.append(polygon)
            cols.append(cell)
            areas.append(shapely.area(shapely.intersection(boxes[cell], polygons[polygon])))
        places = np.concatenate(rows), np.concatenate(cols)
        areas_ha = np.concatenate(areas) * (HA_PER_RADIAN * np.radians(1))
        return csr_array((areas_ha, places), shape=(len(polygons), len(south)))


def _common(low: NDArray, high: NDArray, start: NDArray, end: NDArray) -> csc_array:
    """Length that each interval [low, high], a row, has in common with each [start, end], a column."""
    at, inverse = np.unique(np.stack([start, end]), axis=1, return_inverse=True)
    common = np.minimum(high[:, None], at[1]) - np.maximum(low[:, None], at[0])
    return csc_array(np.clip(common, 0, None))[:, inverse.ravel()]


def _columnwise_product(a: csc_array, b: csc_array) -> csc_array:
    """Kronecker product of each column of `a` with the same column of `b`."""
    few, many = np.diff(a.indptr), np.diff(b.indptr)
    count = few * many
    column = np.repeat(np.arange(len(count)), count)
    ends = np.cumsum(count)
    within = np.arange(len(column)) - np.repeat(ends - count, count)
    i, j = a.indptr[column] + within // many[column], b.indptr[column] + within % many[column]
    rows = a.indices[i].astype(np.int64) * b.shape[0] + b.indices[j]
    return csc_array((a.data[i] * b.data[j], rows, np.r_[0, ends]), shape=(a.shape[0] * b.shape[0], len(count)))


def edges_of(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges half-way between centres, (n + 1,); the outer ones as far from their centre as the inner ones."""
    middle = (centres[1:] + centres[:-1]) / 2
    return np.r_[2 * centres[0] - middle[0], middle, 2 * centres[-1] - middle[-1]]


def corners_of(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners of curvilinear cells, (rows, columns, 4), in a ring: means of the four centres around each."""
    outer = np.pad(centres, 1, mode="reflect", reflect_type="odd")
    node = (outer[:-1, :-1] + outer[:-1, 1:] + outer[1:, :-1] + outer[1:, 1:]) / 4
    return np.stack([node[:-1, :-1], node[:-1, 1:], node[1:, 1:], node[1:, :-1]], axis=-1)
