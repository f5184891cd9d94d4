"""The map grid: where its cells lie, how large they are, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from bayes_rootc.data.grid import EARTH_RADIUS_KM, MIN_CELL, MapGrid
from bayes_rootc.errors import InputError

SPHERE_HA = 4 * np.pi * EARTH_RADIUS_KM**2 * 100


def test_cells_are_counted_from_the_north_west_and_named_by_their_centres():
    grid = MapGrid(0.5, (10, 47, 14, 50))
    assert grid.shape == (6, 8)
    np.testing.assert_allclose(grid.lat, [49.75, 49.25, 48.75, 48.25, 47.75, 47.25])
    np.testing.assert_allclose(grid.lon, 10.25 + 0.5 * np.arange(8))
    assert grid.transform @ (0, 0) == (10, 50) and grid.transform @ (8, 6) == (14, 47)  # corners of the raster


@pytest.mark.parametrize("resolution", [30.0, 4.0, 0.5])
def test_cells_cover_the_sphere(resolution):
    grid = MapGrid(resolution)
    assert grid.area_ha.shape == grid.shape
    assert grid.area_ha.sum() == pytest.approx(SPHERE_HA, rel=1e-12)
    np.testing.assert_allclose(grid.area_ha, grid.area_ha[::-1])


def test_a_cell_is_the_band_of_its_latitudes_times_its_longitudes():
    """Archimedes: the area of a band of the sphere is its height, so from 0 to 30° N it is a quarter of the globe."""
    assert MapGrid(30.0, (0, 0, 30, 30)).area_ha.item() == pytest.approx(SPHERE_HA / 4 / 12, rel=1e-12)
    fine, coarse = MapGrid(1.0, (20, 60, 26, 66)), MapGrid(3.0, (20, 60, 26, 66))
    parts = fine.area_ha.reshape(2, 3, 2, 3).sum(axis=(1, 3))
    np.testing.assert_allclose(coarse.area_ha, parts, rtol=1e-12)


def test_a_last_row_that_would_go_beyond_the_pole_ends_there():
    grid = MapGrid(7.0)  # 26 rows are 182 degrees, 51 columns are 357
    assert grid.shape == (26, 51)
    assert grid.area_ha.sum() == pytest.approx(SPHERE_HA * 357 / 360, rel=1e-12)


def test_whole_rows_are_those_of_the_grid():
    grid = MapGrid(2.0, (-20, -30, 40, 50))
    for start, count in ((0, 7), (33, 7), (38, 7)):
        part = grid.rows(start, count)
        assert part.shape == (min(count, 40 - start), 30)
        np.testing.assert_allclose(part.lat, grid.lat[start : start + count])
        np.testing.assert_allclose(part.lon, grid.lon)
        np.testing.assert_allclose(part.area_ha, grid.area_ha[start : start + count])


@pytest.mark.parametrize(
    ("resolution", "bbox", "says"),
    [
        (0.0, (-180, -90, 180, 90), "at least 0.0008"),
        (MIN_CELL / 2, (-180, -90, 180, 90), "at least 0.0008"),
        (float("nan"), (-180, -90, 180, 90), "at least 0.0008"),
        (1.0, (10, 0, 10, 5), "west > east: across 180°"),
        (1.0, (-200, 0, -170, 5), "west > east: across 180°"),
        (1.0, (20, 0, 400, 5), "round the globe once"),
        (1.0, (0, 5, 10, -5), "south < north"),
        (1.0, (0, -91, 10, 0), "south < north"),
    ],
)
def test_a_grid_off_the_globe_or_without_cells_is_refused(resolution, bbox, says):
    with pytest.raises(InputError, match=says):
        MapGrid(resolution, bbox)


@pytest.mark.parametrize("bbox", [(170, -20, -160, 10), (170, -20, 200, 10)])
def test_a_box_across_180_degrees_is_one_box(bbox):
    grid = MapGrid(2.0, bbox)
    assert grid.bbox == (170, -20, 200, 10) and grid.shape == (15, 15)
    np.testing.assert_array_equal(grid.lon, np.arange(171, 200, 2))
    beyond = grid.part(0, 5, 5)
    assert beyond.bbox == (-180, 0, -170, 10) and grid.part(0, 10, 5).lon.tolist() == [-169, -167, -165, -163, -161]
    assert grid.rows(3, 2).bbox == (170, 0, 200, 4)


def test_boxes_of_0_to_360_degrees_are_turned():
    assert MapGrid(2.0, (200, 0, 240, 10)) == MapGrid(2.0, (-160, 0, -120, 10))
    assert MapGrid(2.0, (0, -90, 360, 90)) == MapGrid(2.0)


def test_a_grid_is_taken_from_a_raster(tmp_path):
    path = tmp_path / "like.tif"
    profile = {"driver": "GTiff", "width": 8, "height": 6, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, crs="EPSG:4326", transform=rasterio.Affine(0.5, 0, 10, 0, -0.5, 50)) as f:
        f.write(np.zeros((6, 8), np.uint8), 1)
    grid = MapGrid.like(path)
    assert grid.shape == (6, 8) and grid.bbox == (10, 47, 14, 50)
    for crs, transform, says in (
        ("EPSG:3857", rasterio.Affine(0.5, 0, 10, 0, -0.5, 50), "EPSG:4326"),
        ("EPSG:4326", rasterio.Affine(0.5, 0, 10, 0, -0.25, 50), "square cells"),
    ):
        with rasterio.open(path, "w", **profile, crs=crs, transform=transform) as f:
            f.write(np.zeros((6, 8), np.uint8), 1)
        with pytest.raises(InputError, match=says):
            MapGrid.like(path)
    with pytest.raises(InputError, match="not a readable raster"):
        MapGrid.like(tmp_path / "none.tif")
