"""Zones: the share of a cell that lies in a polygon, or in a class of a raster; and files that hold none."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import shapely

from bayes_rootc.data.grid import MapGrid
from bayes_rootc.errors import InputError
from bayes_rootc.mapping.zones import Shares, Zones

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


def shares(zones: Zones, grid: MapGrid = GRID) -> np.ndarray:
    """Share of each cell in each zone, (zone, lat, lon)."""
    found, out = zones.shares(grid), np.zeros((len(zones.names), *grid.shape))
    np.add.at(out.reshape(len(out), -1), (found.zone - 1, found.cell), found.share)
    assert (found.share > 0).all() and (out.sum(axis=0) < 1 + 1e-9).all()
    return out


def boxes(grid: MapGrid) -> np.ndarray:
    """The cells as polygons."""
    lon, lat = np.meshgrid(grid.lon, grid.lat)
    half = grid.resolution / 2
    return shapely.box(lon - half, lat - half, lon + half, lat + half)


def test_a_cell_counts_by_the_share_that_lies_in_a_polygon(tmp_path):
    """Five-cornered polygons at random places, some smaller than a cell, against the areas of their intersections."""
    rng = np.random.default_rng(1)
    angle = np.sort(rng.uniform(0, 2 * np.pi, (6, 5)), axis=1)
    middle = np.stack(np.meshgrid([-5, 5, 15], [-5, 8]), axis=-1).reshape(6, 1, 2)
    size = np.array([4.9, 0.2, 4.9, 4.9, 0.02, 4.9])[:, None, None]
    corners = middle + size * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    shapes = [shapely.Polygon(ring) for ring in corners]
    zones = Zones(polygons(tmp_path / "z.geojson", *(feature(s, name=f"zone {i}") for i, s in enumerate(shapes))))
    assert zones.names == [f"zone {i}" for i in range(6)]
    for i, (found, shape) in enumerate(zip(shares(zones), shapes, strict=True)):
        np.testing.assert_allclose(found, shapely.area(shapely.intersection(shape, boxes(GRID))), atol=1e-9)
        assert found.sum() == pytest.approx(shape.area) and found.sum() > 0, i


def test_polygons_of_one_name_are_one_zone_and_the_later_of_two_has_what_they_share(tmp_path):
    west, east, over = shapely.box(-10, -10, -5.3, 0), shapely.box(9.5, -10, 20, 0), shapely.box(-7, -10, 12.5, -5.5)
    features = feature(west, name="both"), feature(east, name="both"), feature(over, name="a later one")
    zones = Zones(polygons(tmp_path / "z.geojson", *features))
    assert zones.names == ["a later one", "both"]
    later, both = shares(zones)
    np.testing.assert_allclose(later, shapely.area(shapely.intersection(over, boxes(GRID))), atol=1e-9)
    rest = shapely.difference(shapely.union(west, east), over)
    np.testing.assert_allclose(both, shapely.area(shapely.intersection(rest, boxes(GRID))), atol=1e-9)


def test_zones_that_lie_side_by_side_and_in_one_another(tmp_path):
    """Where three zones overlap in a cell, the later one has the common part; the rest of the cell is in no zone."""
    three = [shapely.box(0.1, 0.1, 0.5, 0.9), shapely.box(0.5, 0.1, 0.9, 0.9), shapely.box(0.3, 0.3, 0.7, 0.5)]
    zones = Zones(polygons(tmp_path / "z.geojson", *(feature(s, name=n) for s, n in zip(three, "abc", strict=True))))
    found = zones.shares(GRID)
    np.testing.assert_allclose(found.share, [0.32 - 0.04, 0.32 - 0.04, 0.08])
    (cell,) = set(found.cell.tolist())
    of = found.of(np.array([cell - 1, cell, cell + 7]))
    assert of.cell.tolist() == [1, 1, 1, 0, 1, 2] and of.zone.tolist() == [1, 2, 3, 0, 0, 0]
    np.testing.assert_allclose(of.share, [0.28, 0.28, 0.08, 1, 0.36, 1])
    assert Shares.joined(*np.zeros((3, 0))).of(np.array([3, 4])).share.tolist() == [1, 1]


def test_zones_are_named_by_the_first_column_of_text_or_by_the_one_that_is_asked_for(tmp_path):
    path = polygons(tmp_path / "z.geojson", feature(shapely.box(0, 0, 5, 5), code=7, name="Elbe", country="DE"))
    assert Zones(path).names == ["Elbe"]
    assert Zones(path, "country").names == ["DE"]
    assert Zones(path, "code").names == ["7"]


def test_a_part_of_the_map_has_the_shares_of_the_whole(tmp_path):
    """As in tiles, most of which a polygon does not reach."""
    shapes = {"north": shapely.box(-10, 5, 20, 15), "south": shapely.box(-10, -10, 0, -5)}
    zones = Zones(polygons(tmp_path / "z.geojson", *(feature(s, name=n) for n, s in shapes.items())))
    whole = shares(zones)
    for row, col in ((0, 0), (0, 16), (8, 8), (16, 16)):
        part = GRID.part(row, col, 8)
        np.testing.assert_array_equal(shares(zones, part), whole[:, row : row + 8, col : col + 8])
    assert not shares(zones, MapGrid(1.0, (100, 0, 110, 5))).any()


@pytest.mark.parametrize("factor", [1, 4])
def test_a_cell_has_the_class_of_the_raster_at_its_centre(tmp_path, factor):
    """Of a raster as coarse as the map, and of coarser ones; classes are any whole numbers, in their order."""
    coarse = MapGrid(float(factor), (-8, -8, 16, 12))
    values = np.random.default_rng(2).choice(np.array([-3, 0, 12, 5], np.int16), coarse.shape)
    zones = Zones(raster(tmp_path / "z.tif", values, coarse, nodata=0))
    assert zones.names == ["-3", "5", "12"]
    found = shares(zones).reshape(len(zones.names), -1).T
    lat, lon = (a.ravel() for a in np.meshgrid(GRID.lat, GRID.lon, indexing="ij"))
    for cell, y, x in zip(found, lat, lon, strict=True):
        row, col = int((12 - y) // factor), int((x + 8) // factor)
        inside = 0 <= row < coarse.shape[0] and 0 <= col < coarse.shape[1] and values[row, col] != 0
        assert cell.tolist() == [float(inside and name == str(values[row, col])) for name in zones.names], (y, x)


def test_a_cell_has_the_classes_of_a_finer_raster_by_their_shares(tmp_path):
    """One of 0 to 360 degrees, so that the cells of the map lie at its two ends."""
    fine, grid = np.random.default_rng(3).choice(np.array([0, 4, 9], np.uint8), (72, 144)), MapGrid(10.0)
    turned = np.roll(fine, 72, axis=1)
    path = raster(tmp_path / "z.tif", turned, MapGrid(2.5), nodata=0, transform=rasterio.Affine(2.5, 0, 0, 0, -2.5, 90))
    for label, found in zip((4, 9), shares(Zones(path), grid), strict=True):
        want = (fine == label).reshape(18, 4, 36, 4).mean(axis=(1, 3))
        np.testing.assert_allclose(found, want, atol=1e-12)
    across = shares(Zones(path), MapGrid(10.0, (150, -90, -150, 90)))
    np.testing.assert_allclose(across[1], np.roll(want, 3, axis=1)[:, :6], atol=1e-12)


def test_files_that_hold_no_zones_are_refused(tmp_path):
    empty = raster(tmp_path / "empty.tif", np.zeros(GRID.shape, np.uint8), GRID, nodata=0)
    shares = raster(tmp_path / "shares.tif", np.ones(GRID.shape, np.float32), GRID)
    for path, says in (
        (empty, "holds no class"),
        (shares, "expected whole numbers as classes, found float32"),
        (tmp_path / "none.tif", "not a readable raster"),
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
    lon = {name: grid.lon[np.nonzero(found)[1]] for name, found in zip(zones.names, shares(zones, grid), strict=True)}
    assert list(lon) == ["B", "C", "D", "without a name"]
    assert (lon["B"].min(), lon["B"].max(), len(lon["B"])) == (-119, -61, 30 * 15)
    assert set(lon["C"]) == set(lon["D"]) == {171, 173, 175, 177, 179, -179, -177, -175, -173, -171}


def test_longitudes_of_no_globe_are_refused(tmp_path):
    path = tmp_path / "z.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [square("A", 400, 0, 420, 10)]}))
    with pytest.raises(InputError, match="expected longitudes of -180 to 180 or 0 to 360, found 400 to 420"):
        Zones(path).shares(MapGrid(2.0))


def test_zones_on_a_map_across_180_degrees(tmp_path):
    path = polygons(tmp_path / "z.geojson", square("C", 170, -20, 191, 0), square("D", -190, 0, -170, 3))
    grid = MapGrid(2.0, (160, -20, -160, 10))
    assert grid.bbox == (160, -20, 200, 10)
    for found, shape in zip(shares(Zones(path), grid), (shapely.box(170, -20, 191, 0), shapely.box(170, 0, 190, 3)),
                            strict=True):  # fmt: skip
        np.testing.assert_allclose(found, shapely.area(shapely.intersection(shape, boxes(grid))) / 4, atol=1e-9)


def test_polygons_with_holes_and_with_edges_along_those_of_cells(tmp_path):
    """Shares of a polygon with many pieces equal the areas of intersection; so do those of two that overlap."""
    rng = np.random.default_rng(4)

    def pieces(size: float, rounded: bool):
        angle, middle = np.sort(rng.uniform(0, 2 * np.pi, (4, 30)), axis=1), rng.uniform(-7, 12, (4, 1, 2))
        corners = middle + size * rng.uniform(0.2, 1, (4, 30, 1)) * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        rings = [shapely.Polygon(ring) for ring in (np.round(corners) if rounded else corners)]
        merged = shapely.union_all(shapely.make_valid(rings))
        return shapely.MultiPolygon([p for p in shapely.get_parts(merged) if p.geom_type == "Polygon"])

    for rounded in (True, True, False):
        holed = shapely.difference(pieces(6, rounded), pieces(2, rounded))
        later = pieces(5, rounded)
        path = polygons(tmp_path / "z.geojson", feature(holed, name="holed"), feature(later, name="later"))
        for found, shape in zip(shares(Zones(path)), (shapely.difference(holed, later), later), strict=True):
            np.testing.assert_allclose(found, shapely.area(shapely.intersection(shape, boxes(GRID))), atol=1e-9)
