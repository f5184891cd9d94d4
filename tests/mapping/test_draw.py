"""Static maps: the right cells, nothing where there is nothing, coastlines that stay on the coast."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

from bayes_rootc.data.grid import MapGrid
from bayes_rootc.mapping.draw import (
    Basemap,
    Field,
    Scale,
    cell_edges,
    colour_bar,
    draw_dots,
    draw_hatch,
    draw_latitudes,
    draw_map,
    painted_extent,
    project,
)

GRID = MapGrid(5.0)
WORLD_EXTENT = (-180.0, 180.0, -90.0, 90.0)


@pytest.fixture
def ax():
    return Figure().add_subplot()


def across_the_date_line() -> Basemap:
    """Land from 150° E to 150° W, and an island."""
    land = np.zeros((90, 180), bool)
    land[20:40, :15] = land[20:40, -15:] = land[50:60, 80:100] = True
    return Basemap.trace(land, WORLD_EXTENT, step=2.0)


def test_projection_keeps_areas():
    """A cell at 60° N has half the area of one at the equator (of a sphere; the projection's Earth is flattened)."""

    def area(lat: float) -> float:
        x, y = project([0, 1, 1, 0], [lat, lat, lat + 1, lat + 1])
        return 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))

    want = (np.sin(np.radians(61)) - np.sin(np.radians(60))) / np.sin(np.radians(1))
    assert area(60) / area(0) == pytest.approx(want, rel=0.015)


def test_cells_without_a_value_are_not_painted(ax):
    values = np.ones(GRID.shape)
    values[:, :40] = np.nan
    mesh = draw_map(ax, values, GRID.lat, GRID.lon, Scale.of(values, "viridis"))
    painted = mesh.get_array()
    assert np.ma.is_masked(painted)
    np.testing.assert_array_equal(np.ma.getmaskarray(painted), np.isnan(values))


def test_a_cell_is_painted_where_it_lies(ax):
    values = np.full(GRID.shape, np.nan)
    values[3, 5] = 1.0
    mesh = draw_map(ax, values, GRID.lat, GRID.lon, Scale.of(values, "viridis"))
    corners = mesh.get_coordinates()[3:5, 5:7]
    x, y = project([-155.0, -150.0], [75.0, 75.0])
    np.testing.assert_allclose(corners[0], np.column_stack([x, y]))
    assert ax.get_xlim()[0] < corners[..., 0].min() and ax.get_xlim()[1] > corners[..., 0].max()


def test_fine_maps_are_averaged_for_the_page(ax):
    values = np.tile([[0.0, 2.0]], (10, 2000))
    lat, lon = np.linspace(10, 9, 10), np.linspace(-179.9, 179.9, 4000)
    mesh = draw_map(ax, values, lat, lon, Scale.of(values, "viridis"))
    # 4,000 columns are more than 1,440: three by three, and the last alone
    want = [values[0, start : start + 3].mean() for start in range(0, 4000, 3)]
    np.testing.assert_allclose(mesh.get_array(), np.tile(want, (4, 1)))


def test_block_means_count_only_known_cells():
    values = np.array([[1.0, np.nan, 5.0], [3.0, 4.0, np.nan]])
    mean, rows, cols = Field(values, np.array([2.0, 1.0, 0.0]), np.arange(4.0)).averaged(2, 2)
    np.testing.assert_allclose(mean, [[8 / 3, 5.0]])
    np.testing.assert_allclose(rows, [2, 0])
    np.testing.assert_allclose(cols, [0, 2, 3])
    sparse = Field(np.array([[1.0, np.nan, np.nan]]), np.array([1.0, 0.0]), np.arange(4.0)).averaged(1, 3)
    assert np.isnan(sparse.values).all()


def test_cell_edges_stay_on_the_globe():
    np.testing.assert_allclose(cell_edges(GRID.lat, (-90, 90))[[0, -1]], [90, -90])
    np.testing.assert_allclose(cell_edges(np.array([3.0]), (-90, 90)), [2.5, 3.5])


def test_colour_limits_are_quantiles_with_arrows():
    values = np.r_[np.linspace(0, 100, 1001), np.nan]
    scale = Scale.of(values, "viridis")
    assert (scale.low, scale.high, scale.extend) == (pytest.approx(2), pytest.approx(98), "both")
    fixed = Scale.of(values, "viridis", limits=(0, 100))
    assert (fixed.low, fixed.high, fixed.extend) == (0, 100, "neither")


@pytest.mark.parametrize("values", [np.full(4, np.nan), np.full(4, 7.0), np.zeros(0)])
def test_colour_limits_of_hardly_anything(values):
    scale = Scale.of(values, "viridis", centred=True)
    assert scale.low < scale.high


def test_a_centred_scale_has_its_neutral_colour_at_zero():
    scale = Scale.of(np.linspace(-1, 4, 1001), "PuOr_r", centred=True)
    neutral = np.array(scale.cmap(scale.norm(0.0))[:3])
    assert neutral.min() > 0.94
    one, minus_one = (np.array(scale.cmap(scale.norm(v))[:3]) for v in (0.5, -0.5))
    # equal steps from 0 are equally far from neutral: half a unit is pale on both sides
    assert abs(np.linalg.norm(one - neutral) - np.linalg.norm(minus_one - neutral)) < 0.15
    assert Scale.of(np.linspace(2, 4, 100), "PuOr_r", centred=True).low == 0.0


def test_no_coast_crosses_the_map():
    basemap = across_the_date_line()
    width = 2 * project(180.0, 0.0)[0]
    assert len(basemap.coastline) >= 3
    for line in basemap._projected_coastline:
        assert np.hypot(*np.diff(line, axis=0).T).max() < 0.05 * width
    for line in basemap.coastline:  # land goes on across 180°: no coast runs along it
        edge = np.abs(line[:, 0]) > 179.5
        along = edge[1:] & edge[:-1]
        assert (np.abs(np.diff(line[:, 1]))[along] < 1).all()


def test_land_is_filled_on_both_sides_of_the_date_line():
    outline = across_the_date_line().outline
    for lon in (-170, 170, 0):
        assert outline.contains_point(np.ravel(project(float(lon), 30.0 if lon else -20.0)))
    assert not outline.contains_point(np.ravel(project(60.0, 30.0)))


def test_a_world_without_land_has_no_coast(ax):
    empty = Basemap.trace(np.zeros((9, 18), bool), WORLD_EXTENT)
    empty.draw(ax)
    assert empty.draw_coastline(ax).get_segments() == []
    assert not [artist for artist in ax.get_children() if isinstance(artist, PathPatch)]


def test_a_regional_mask_is_not_wrapped():
    basemap = Basemap.trace(np.ones((10, 10), bool), (10, 20, 40, 50))
    assert basemap.lon.min() > 10 and basemap.lon.max() < 20 and basemap.coastline == []


def test_latitudes_stand_level_with_the_map(ax):
    values = np.where(np.abs(GRID.lat)[:, None] < 40, 1.0, np.nan) * np.ones(GRID.shape)
    draw_map(ax, values, GRID.lat, GRID.lon, Scale.of(values, "viridis"))
    beside = draw_latitudes(ax.figure.add_subplot(), GRID.lat, values, values - 1, values + 1, beside=ax)
    assert beside.get_ylim() == ax.get_ylim()
    line = beside.lines[0]
    np.testing.assert_allclose(line.get_xdata()[np.isfinite(line.get_xdata())], 1.0)
    assert np.isfinite(line.get_xdata()).sum() == (np.abs(GRID.lat) < 40).sum()


def test_dots_stand_where_most_cells_fulfil_the_condition(ax):
    where = np.zeros(GRID.shape, bool)
    assert draw_dots(ax, where, GRID.lat, GRID.lon, spacing=10) == 0
    where[:4, :4] = True
    assert draw_dots(ax, where, GRID.lat, GRID.lon, spacing=10) == 4


def test_what_fulfils_a_condition_is_hatched_and_nothing_else(ax):
    """Hatches are bounded half-way between the centres of cells."""
    where = np.zeros(GRID.shape, bool)
    where[8:16, 30:42] = True
    draw_hatch(ax, where, GRID.lat, GRID.lon)
    (hatched,) = ax.collections
    assert hatched.hatches == ["//////"]
    centres = np.column_stack([a.ravel() for a in project(*np.meshgrid(GRID.lon, GRID.lat))])
    covered = np.any([path.contains_points(centres) for path in hatched.get_paths()], axis=0).reshape(GRID.shape)
    np.testing.assert_array_equal(covered, where)
    bare = Figure().add_subplot()
    draw_hatch(bare, np.zeros(GRID.shape, bool), GRID.lat, GRID.lon)
    assert not bare.collections


def test_a_colour_bar_has_its_unit(ax):
    values = np.ones(GRID.shape)
    scale = Scale.of(values, "viridis")
    bar = colour_bar(draw_map(ax, values, GRID.lat, GRID.lon, scale), ax, scale, "Mg C ha⁻¹ yr⁻¹")
    assert bar.ax.get_xlabel() == "Mg C ha⁻¹ yr⁻¹"


def test_the_extent_is_that_of_the_values():
    values = np.full(GRID.shape, np.nan)
    values[10, 20] = 1.0
    west, east, south, north = painted_extent(values, GRID.lat, GRID.lon, margin=1.0)
    assert (west, east, south, north) == (-81, -74, 34, 41)


def test_drawing_does_not_import_pyplot():
    """A user's backend is theirs."""
    import subprocess

    code = "import sys, bayes_rootc.mapping.draw, bayes_rootc.report.figures; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
