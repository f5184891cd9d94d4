"""Attributes of the terrain: surfaces whose slopes and curvatures are known, small neighbourhoods worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine

from bayes_rootc.constants import EARTH_RADIUS_KM
from bayes_rootc.data.covariates import CovariateStack
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.data.terrain import TERRAIN_ATTRIBUTES, terrain
from bayes_rootc.errors import InputError

CELL = (0.01, 0.01)
METRES = EARTH_RADIUS_KM * 1000 * np.radians(0.01)
LAT = np.array([60.01, 60.0, 59.99])
MIDDLE = 1, 1


def surface(height, lat=LAT):
    """Elevation of 5 x 5 cells, height(x, y) in metres from the middle, eastwards and northwards."""
    rows = np.concatenate([[lat[0] + CELL[1]], lat, [lat[-1] - CELL[1]]])
    y = (rows - lat[1])[:, None] / CELL[1] * METRES
    x = np.arange(-2.0, 3)[None] * METRES * np.cos(np.radians(lat[1]))  # of the middle row, on which we look
    return height(x + 0 * y, y + 0 * x)


def of(attribute, height, lat=LAT):
    return terrain(attribute, surface(height, lat), lat, CELL)[MIDDLE]


def test_a_plane_has_its_slope_and_direction_on_cells_that_are_narrower_than_high():
    def plane(x, y):
        return 0.03 * x - 0.04 * y

    assert of("slope", plane) == pytest.approx(np.degrees(np.arctan(0.05)), rel=1e-6)
    assert of("northness", plane) == pytest.approx(0.8, rel=1e-6)  # it falls to the north-west
    assert of("eastness", plane) == pytest.approx(-0.6, rel=1e-6)
    for curvature in ("curvature", "profile_curvature", "plan_curvature"):
        assert of(curvature, plane) == pytest.approx(0, abs=1e-12)


def test_a_quadratic_surface_has_its_curvatures():
    p, q, r, s, t = 0.02, 0.05, 3e-5, -1e-5, 2e-5

    def quadratic(x, y):
        return p * x + q * y + r * x**2 / 2 + s * x * y + t * y**2 / 2

    g = p**2 + q**2
    profile = -(p**2 * r + 2 * p * q * s + q**2 * t) / (g * (1 + g) ** 1.5)
    plan = -(q**2 * r - 2 * p * q * s + p**2 * t) / (g * np.sqrt(1 + g))
    assert of("curvature", quadratic) == pytest.approx(-(r + t), rel=1e-3)
    assert of("profile_curvature", quadratic) == pytest.approx(profile, rel=1e-3)
    assert of("plan_curvature", quadratic) == pytest.approx(plan, rel=1e-3)
    assert of("slope", quadratic) == pytest.approx(np.degrees(np.arctan(np.sqrt(g))), rel=1e-3)


def test_a_cone_is_straight_down_and_curved_across():
    distance = 20 * METRES

    def cone(x, y):
        return -0.1 * np.hypot(x - distance, y)

    assert of("profile_curvature", cone) == pytest.approx(0, abs=1e-8)
    assert of("plan_curvature", cone) == pytest.approx(0.1 / distance / np.sqrt(1.01), rel=0.01)  # spreads: above 0


def test_relief_of_nine_cells_by_hand():
    z = np.full((5, 5), 100.0)
    z[1:4, 1:4] = [[10, 20, 30], [40, 50, 60], [70, 80, 100]]
    value = {name: terrain(name, z, LAT, CELL)[MIDDLE] for name in TERRAIN_ATTRIBUTES}
    assert value["roughness"] == 90
    assert value["terrain_ruggedness"] == pytest.approx((40 + 30 + 20 + 10 + 10 + 20 + 30 + 50) / 8)
    assert value["topographic_position"] == pytest.approx(50 - 410 / 8)
    assert value["surface_relief_ratio"] == pytest.approx((460 / 9 - 10) / 90)
    assert value["dissection"] == pytest.approx(40 / 90)


def test_heat_load_is_most_on_slopes_to_the_south_west_and_mirrored_in_the_south():
    toward = {"SW": lambda x, y: 0.3 * (x + y), "NE": lambda x, y: -0.3 * (x + y), "flat": lambda x, y: 0 * x}
    north = {name: of("heat_load", height) for name, height in toward.items()}
    slope, lat = np.arctan(0.3 * np.sqrt(2)), np.radians(60)
    common = 0.339 + 0.808 * np.cos(lat) * np.cos(slope) - 0.196 * np.sin(lat) * np.sin(slope)
    assert north["SW"] == pytest.approx(common + 0.482 * np.sin(slope), rel=1e-3)
    assert north["NE"] == pytest.approx(common - 0.482 * np.sin(slope), rel=1e-3)
    assert north["flat"] == pytest.approx(0.339 + 0.808 / 2)
    mirrored = {name: (lambda x, y, f=height: f(x, -y)) for name, height in toward.items()}
    south = {name: of("heat_load", height, -LAT[::-1]) for name, height in mirrored.items()}
    assert south == pytest.approx(north)


def test_a_plain_is_flat_and_sea_stays_sea():
    z = np.full((5, 5), 7.0)
    z[1, 1] = np.nan
    flat = {"surface_relief_ratio": 0.5, "dissection": 0.5}
    for name in TERRAIN_ATTRIBUTES:
        found = terrain(name, z, LAT, CELL)
        assert np.isnan(found[0, 0]) and np.isfinite(found).sum() == 8
        if name != "heat_load":
            assert (found[np.isfinite(found)] == flat.get(name, 0)).all()


ENTRIES = """
[[raster]]
name = "elevation"
path = "elevation.tif"
role = "covariate"
group = "topography"
unit = "m"

[[raster]]
name = "wwf_biome"
path = "wwf_biome.tif"
role = "covariate"
group = "biome"
unit = "class"
categories = ["boreal forests/taiga"]
"""


def derived(*names):
    return "".join(
        f'[[terrain]]\nname = "{name}"\nelevation = "elevation"\nattribute = "{name}"\n'
        'role = "covariate"\ngroup = "topography"\nunit = "1"\n'
        for name in names
    )


@pytest.fixture
def globe(tmp_path):
    """Hills all round the globe, on 5°, with a hole of sea."""
    rng = np.random.default_rng(1)
    z = rng.uniform(0, 3000, (36, 72)).astype(np.float32)
    z[10:14, 20:24] = np.nan
    for name, values in {"elevation": z, "wwf_biome": np.ones_like(z)}.items():
        form = {"height": 36, "width": 72, "count": 1, "dtype": "float32", "nodata": np.nan, "crs": "EPSG:4326"}
        with rasterio.open(tmp_path / f"{name}.tif", "w", transform=Affine(5, 0, -180, 0, -5, 90), **form) as target:
            target.write(values, 1)
    (tmp_path / "manifest.toml").write_text(ENTRIES + derived(*TERRAIN_ATTRIBUTES))
    return tmp_path, z


def test_sites_and_maps_have_the_terrain_of_their_cell_across_the_date_line_too(globe):
    folder, z = globe
    stack = CovariateStack(folder)
    lat, lon = 90 - 5 * (np.arange(36) + 0.5), -180 + 5 * (np.arange(72) + 0.5)
    closed = np.pad(np.concatenate([z[:, -1:], z, z[:, :1]], axis=1), ((1, 1), (0, 0)), constant_values=np.nan)
    rows, columns = np.array([5, 20, 35, 9, 30]), np.array([0, 71, 40, 22, 10])
    sites, _ = stack.sample(lat[rows], lon[columns])
    grid = stack.on_grid(MapGrid(5.0))
    for name in TERRAIN_ATTRIBUTES:
        want = terrain(name, closed, lat, (5.0, 5.0))
        np.testing.assert_allclose(sites[name], want[rows, columns], rtol=1e-9, err_msg=name)
        land = np.isfinite(want)
        np.testing.assert_allclose(grid[name].values[land], want[land], rtol=1e-5, atol=1e-9, err_msg=name)
    part = stack.on_grid(MapGrid(5.0, (-180, 20, -100, 60)))
    for name in TERRAIN_ATTRIBUTES:
        np.testing.assert_array_equal(part[name].values, grid[name].values[6:14, :16], err_msg=name)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('elevation = "elevation"', 'elevation = "height"', "column elevation: entry slope: no .* named height"),
        ('elevation = "elevation"', 'elevation = "wwf_biome"', "column elevation: entry slope: no .* of numbers"),
        ('attribute = "slope"', 'attribute = "steepness"', "column attribute: entry slope"),
    ],
)
def test_bad_terrain_is_named(globe, old, new, says):
    folder, _ = globe
    (folder / "manifest.toml").write_text(ENTRIES + derived("slope").replace(old, new))
    with pytest.raises(InputError, match=says):
        CovariateStack(folder)


@pytest.mark.real_data
def test_terrain_of_the_world_agrees_with_rasters_that_were_derived_elsewhere(real_data, tmp_path):
    for name in ("elevation.tif", "wwf_biome.tif", "slope.tif", "roughness.tif", "northness.tif", "eastness.tif"):
        (tmp_path / name).symlink_to(real_data / "covariates" / name)
    names = "slope", "roughness", "northness", "eastness"
    text = (real_data / "covariates" / "manifest.toml").read_text()
    biome = next(block for block in text.split("[[raster]]") if 'name = "wwf_biome"' in block)
    given = "".join(
        ENTRIES.split("[[raster]]")[1].replace("elevation", name).join(["[[raster]]", ""]) for name in names
    )
    own = derived(*names).replace('name = "', 'name = "own_')
    elevation = "[[raster]]" + ENTRIES.split("[[raster]]")[1]
    (tmp_path / "manifest.toml").write_text(elevation + given + own + "[[raster]]" + biome.split("[[")[0])
    rng = np.random.default_rng(2)
    lat, lon = rng.uniform(-50, 70, 2000), rng.uniform(-180, 180, 2000)
    table, _ = CovariateStack(tmp_path).sample(lat, lon, nearest_km=1)
    alike = {name: table[[name, f"own_{name}"]].dropna().corr("spearman").iloc[0, 1] for name in names}
    assert alike["slope"] > 0.9 and alike["roughness"] > 0.9
    assert alike["northness"] < -0.8 and alike["eastness"] < -0.8  # theirs say where it rises
