"""Areas of overlap: exact on the sphere, whatever the order and origin of a model's cells."""

from __future__ import annotations

import numpy as np
import pytest

from bayes_rootc.data.grid import MapGrid
from bayes_rootc.esm.grids import ModelGrid, corners_of, edges_of
from bayes_rootc.mapping.maps import LandCells


def land(grid: MapGrid, some: int | None = None) -> LandCells:
    n = grid.shape[0] * grid.shape[1]
    index = np.arange(n) if some is None else np.sort(np.random.default_rng(0).choice(n, some, replace=False))
    return LandCells(grid, index, np.ones(len(index), np.int64), np.empty((len(index), 0), np.float32))


def model(rows: int, cols: int, *, west: float = 0.0, falling: bool = False) -> ModelGrid:
    lat = np.linspace(-90, 90, rows + 1)
    lat = lat[::-1] if falling else lat
    lon = west + np.linspace(0, 360, cols + 1)
    return ModelGrid((lat[1:] + lat[:-1]) / 2, (lon[1:] + lon[:-1]) / 2, lat, lon)


@pytest.mark.parametrize(("west", "falling"), [(0.0, False), (-180.0, True), (-1.25, False), (73.3, True)])
def test_every_map_cell_is_shared_out_whole(west, falling):
    cells = land(MapGrid(4.0), 300)
    overlap = model(37, 72, west=west, falling=falling).overlap(cells)
    np.testing.assert_allclose(overlap.sum(axis=0), cells.area_ha, rtol=1e-9)


def test_every_model_cell_is_filled():
    grid = model(30, 48, west=-180)
    np.testing.assert_allclose(grid.overlap(land(MapGrid(2.0))).sum(axis=1), grid.area_ha.ravel(), rtol=1e-9)


def test_nested_cells_are_means_by_area():
    fine, cells = MapGrid(2.0), land(MapGrid(2.0))
    field = np.cos(np.radians(cells.lat)) + cells.grid.lon[cells.index % fine.shape[1]] / 90
    coarse = MapGrid(10.0)
    overlap = ModelGrid.like(coarse).overlap(cells)
    got = (overlap @ field) / overlap.sum(axis=1)
    blocks = (fine.area_ha * field.reshape(fine.shape)).reshape(18, 5, 36, 5).sum(axis=(1, 3))
    areas = fine.area_ha.reshape(18, 5, 36, 5).sum(axis=(1, 3))
    np.testing.assert_allclose(got.reshape(coarse.shape), blocks / areas, rtol=1e-9)


def test_a_regular_grid_given_by_corners_overlaps_alike():
    grid, cells = model(18, 36), land(MapGrid(4.0), 200)
    lon, lat = np.meshgrid(grid.lon, grid.lat)
    edges = np.meshgrid(grid.lat_edges, grid.lon_edges, indexing="ij")
    corners = [np.stack([e[:-1, :-1], e[:-1, 1:], e[1:, 1:], e[1:, :-1]], axis=-1) for e in edges]
    curved = ModelGrid(lat, lon, corners[0], corners[1])
    np.testing.assert_allclose(curved.overlap(cells).toarray(), grid.overlap(cells).toarray(), rtol=1e-6, atol=1)
    np.testing.assert_allclose(curved.area_ha, grid.area_ha, rtol=1e-6)


def test_turned_cells_share_the_land_out_as_well():
    """A rotated grid over a region: what lies inside it is shared out whole."""
    a, b = np.meshgrid(np.arange(-30.0, 31, 3), np.arange(-30.0, 31, 3))
    lon, lat = a * np.cos(0.5) - b * np.sin(0.5) + 178, a * np.sin(0.5) + b * np.cos(0.5)
    grid = ModelGrid(lat, lon, corners_of(lat), corners_of(lon))
    cells = land(MapGrid(2.0))
    shared = grid.overlap(cells).sum(axis=0)
    lon_of = cells.grid.lon[cells.index % cells.grid.shape[1]]
    inside = (np.abs(cells.lat) < 15) & (np.abs((lon_of - 178 + 180) % 360 - 180) < 15)
    np.testing.assert_allclose(shared[inside], cells.area_ha[inside], rtol=1e-6)
    assert inside.sum() > 100


def test_edges_lie_between_centres():
    np.testing.assert_allclose(edges_of(np.array([1.0, 2.0, 4.0])), [0.5, 1.5, 3.0, 5.0])
    assert corners_of(np.arange(12.0).reshape(3, 4)).shape == (3, 4, 4)
