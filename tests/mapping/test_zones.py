"""Zones: the polygon, or the class of a raster, that the centre of a cell lies in; and files that hold none."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import shapely

from bayes_rootc.data.grid import MapGrid
from bayes_rootc.errors import InputError
from bayes_rootc.mapping.zones import Zones

GRID = MapGrid(1.0, (-10, -10, 20, 15))


def feature(shape, **properties) -> dict:
    """A feature of GeoJSON."""
    return {"type": "Feature", "properties": properties, "geometry": shapely.geometry.mapping(shape)}


def polygons(path, *features: dict):
    """A file of them."""
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def raster(path, values: np.ndarray, grid: MapGrid, **profile):
    """A file of classes."""
    rows, cols = values.shape
    shape = {"driver": "GTiff", "height": rows, "width": cols, "count": 1, "dtype": values.dtype, "crs": "EPSG:4326"}
    with rasterio.open(path, "w", **shape | {"transform": grid.transform} | profile) as target:
        target.write(values, 1)
    return path


def centres(grid: MapGrid) -> np.ndarray:
    """Points at the centres of the cells."""
    lon, lat = np.meshgrid(grid.lon, grid.lat)
    return shapely.points(lon, lat)


def test_a_cell_belongs_to_the_polygon_that_its_centre_lies_in(tmp_path):
    """Five-cornered polygons at random places, each against the point-in-polygon test of shapely."""
    rng = np.random.default_rng(1)
    angle = np.sort(rng.uniform(0, 2 * np.pi, (6, 5)), axis=1)
    middle = np.stack(np.meshgrid([-5, 5, 15], [-5, 8]), axis=-1).reshape(6, 1, 2)
    corners = middle + 4.9 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    shapes = [shapely.Polygon(ring) for ring in corners]
    zones = Zones(polygons(tmp_path / "z.geojson", *(feature(s, name=f"zone {i}") for i, s in enumerate(shapes))))
    assert zones.names == [f"zone {i}" for i in range(6)]
    labels = zones.on_grid(GRID)
    assert labels.shape == GRID.shape and len(np.unique(labels)) == 7
    for i, shape in enumerate(shapes):
        np.testing.assert_array_equal(labels == i + 1, shapely.contains(shape, centres(GRID)))


def test_polygons_of_one_name_are_one_zone_and_the_later_of_two_has_what_they_share(tmp_path):
    west, east, over = shapely.box(-10, -10, -5, 0), shapely.box(10, -10, 20, 0), shapely.box(-7, -10, 12, -5)
    features = feature(west, name="both"), feature(east, name="both"), feature(over, name="a later one")
    zones = Zones(polygons(tmp_path / "z.geojson", *features))
    assert zones.names == ["a later one", "both"]
    labels, points = zones.on_grid(GRID), centres(GRID)
    later = shapely.contains(over, points)
    np.testing.assert_array_equal(labels == 1, later)
    np.testing.assert_array_equal(labels == 2, shapely.contains(shapely.union(west, east), points) & ~later)


def test_zones_are_named_by_the_first_column_of_text_or_by_the_one_that_is_asked_for(tmp_path):
    path = polygons(tmp_path / "z.geojson", feature(shapely.box(0, 0, 5, 5), code=7, name="Elbe", country="DE"))
    assert Zones(path).names == ["Elbe"]
    assert Zones(path, "country").names == ["DE"]
    assert Zones(path, "code").names == ["7"]


def test_a_part_of_the_map_has_the_labels_of_the_whole(tmp_path):
    """As in tiles, most of which a polygon does not reach."""
    shapes = {"north": shapely.box(-10, 5, 20, 15), "south": shapely.box(-10, -10, 0, -5)}
    zones = Zones(polygons(tmp_path / "z.geojson", *(feature(s, name=n) for n, s in shapes.items())))
    whole = zones.on_grid(GRID)
    for row, col in ((0, 0), (0, 16), (8, 8), (16, 16)):
        part = GRID.part(row, col, 8)
        np.testing.assert_array_equal(zones.on_grid(part), whole[row : row + 8, col : col + 8])
    assert not zones.on_grid(MapGrid(1.0, (100, 0, 110, 5))).any()


@pytest.mark.parametrize("factor", [1, 4])
def test_a_cell_has_the_class_of_the_raster_at_its_centre(tmp_path, factor):
    """Of a raster as coarse as the map, and of coarser ones; classes are any whole numbers, in their order."""
    coarse = MapGrid(float(factor), (-8, -8, 16, 12))
    values = np.random.default_rng(2).choice(np.array([-3, 0, 12, 5], np.int16), coarse.shape)
    zones = Zones(raster(tmp_path / "z.tif", values, coarse, nodata=0))
    assert zones.names == ["-3", "5", "12"]
    labels = zones.on_grid(GRID)
    lat, lon = (a.ravel() for a in np.meshgrid(GRID.lat, GRID.lon, indexing="ij"))
    for label, y, x in zip(labels.ravel(), lat, lon, strict=True):
        row, col = int((12 - y) // factor), int((x + 8) // factor)
        inside = 0 <= row < coarse.shape[0] and 0 <= col < coarse.shape[1] and values[row, col] != 0
        assert label == (zones.names.index(str(values[row, col])) + 1 if inside else 0), (y, x)


def test_files_that_hold_no_zones_are_refused(tmp_path):
    empty = raster(tmp_path / "empty.tif", np.zeros(GRID.shape, np.uint8), GRID, nodata=0)
    shares = raster(tmp_path / "shares.tif", np.ones(GRID.shape, np.float32), GRID)
    metres = raster(tmp_path / "metres.tif", np.ones(GRID.shape, np.uint8), GRID, crs="EPSG:3857")
    for path, says in (
        (empty, "holds no class"),
        (shares, "expected whole numbers as classes, found float32"),
        (metres, "EPSG:4326"),
    ):
        with pytest.raises(InputError, match=says):
            _ = Zones(path).names


def test_files_of_polygons_that_cannot_be_used_are_refused_by_name(tmp_path):
    (tmp_path / "a.geojson").write_text("nothing")
    (tmp_path / "b.geojson").write_text(json.dumps(feature(shapely.box(0, 0, 1, 1), code=1, name="x")))
    (tmp_path / "c.geojson").write_text(
        json.dumps({"type": "Feature", "properties": {"n": "x"}, "geometry": {"type": "Point", "coordinates": [0, 0]}})
    )
    for name, field, says in (
        ("a.geojson", None, "not a readable file of polygons"),
        ("b.geojson", "country", "no column 'country' that names the zones; found code, name"),
        ("c.geojson", None, "holds no polygon"),
        ("d.shp", None, "not a readable file of polygons"),
    ):
        with pytest.raises(InputError, match=says):
            _ = Zones(tmp_path / name, field).names


def square(name, west, south, east, north) -> dict:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Feature", "properties": {"name": name}, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def test_polygons_of_0_to_360_degrees_are_turned_and_those_without_a_name_are_called_so(tmp_path):
    squares = [square("B", 240, 30, 300, 60), square("C", 170, -20, 190, 0), square("D", -190, 60, -170, 70)]
    path = tmp_path / "z.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [*squares, square(None, 60, 30, 100, 60)]}))
    zones, grid = Zones(path), MapGrid(2.0)
    label = zones.on_grid(grid)
    lon = {name: grid.lon[np.nonzero(label == i)[1]] for i, name in enumerate(zones.names, 1)}
    assert list(lon) == ["B", "C", "D", "without a name"]
    assert (lon["B"].min(), lon["B"].max(), len(lon["B"])) == (-119, -61, 30 * 15)
    assert set(lon["C"]) == set(lon["D"]) == {171, 173, 175, 177, 179, -179, -177, -175, -173, -171}


def test_longitudes_of_no_globe_are_refused(tmp_path):
    path = tmp_path / "z.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [square("A", 400, 0, 420, 10)]}))
    with pytest.raises(InputError, match="expected longitudes of -180 to 180 or 0 to 360, found 400 to 420"):
        Zones(path).on_grid(MapGrid(2.0))
