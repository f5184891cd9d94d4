"""Covariates on different grids: sampling, filling, warping, biomes, and the map grid itself."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine

from bayes_rootc.constants import EARTH_RADIUS_KM
from bayes_rootc.data.biomes import WWF_TO_BIOME, with_croplands, wwf_lookup
from bayes_rootc.data.covariates import CovariateStack, great_circle_km
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.errors import InputError

CATEGORIES = list(WWF_TO_BIOME)
FOREST, ICE = CATEGORIES.index("boreal forests/taiga") + 1, CATEGORIES.index("rock and ice") + 1


def write(path, values, west, north, resolution, *, nodata=-9999.0, crs="EPSG:4326", dtype="float32"):
    values = np.asarray(values, dtype)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=values.shape[0],
        width=values.shape[1],
        count=1,
        dtype=dtype,
        crs=crs,
        transform=Affine(resolution, 0, west, 0, -resolution, north),
        nodata=nodata,
    ) as target:
        target.write(values, 1)


def entry(name, group="soil", role="covariate", extra=""):
    return (
        f'[[raster]]\nname = "{name}"\npath = "{name}.tif"\nrole = "{role}"\ngroup = "{group}"\nunit = "1"\n{extra}\n'
    )


@pytest.fixture
def folder(tmp_path):
    """A 10° x 10° land: biome on 1°, bio1 on 1° with a hole, clay on 0.5° with zeros (no soil), npp on 2°."""
    biome = np.full((10, 10), FOREST)
    biome[:, 0] = ICE
    write(tmp_path / "wwf_biome.tif", biome, 0, 10, 1, nodata=0, dtype="uint8")
    bio1 = np.arange(100.0).reshape(10, 10)
    bio1[4, 4] = -9999
    write(tmp_path / "bio1.tif", bio1, 0, 10, 1)
    clay = np.repeat(np.repeat(np.arange(1.0, 101).reshape(10, 10), 2, 0), 2, 1)
    clay[0:2, 18:20] = 0
    write(tmp_path / "clay.tif", clay, 0, 10, 0.5)
    write(tmp_path / "npp_satellite.tif", np.arange(25.0).reshape(5, 5), 0, 10, 2)
    categories = "categories = [" + ", ".join(f'"{c}"' for c in CATEGORIES) + "]"
    (tmp_path / "manifest.toml").write_text(
        entry("wwf_biome", "biome", extra=categories)
        + entry("bio1", "climate")
        + entry("clay")
        + entry("npp_satellite", "npp", "npp")
    )
    return tmp_path


def test_names_of_biomes_are_known_in_the_spellings_of_their_publishers():
    names = [
        "Boreal Forests/Taiga",
        "Deserts & Xeric Shrublands",
        "Mediterranean Forests,  Woodlands & Scrub",
        "ROCK AND ICE",
    ]
    assert wwf_lookup(names).tolist() == [0, 6, 8, 5, 0]


def test_a_site_takes_the_value_of_its_cell_in_each_grid(folder):
    table, report = CovariateStack(folder).sample([9.2, 0.1], [3.7, 9.9])
    assert table["bio1"].tolist() == [3.0, 99.0]
    assert table["clay"].tolist() == [4.0, 100.0]
    assert table["npp_satellite"].tolist() == [1.0, 24.0]
    assert table["biome"].tolist() == [6, 6]
    assert sum(report.filled.values()) == sum(report.missing.values()) == 0


def test_a_hole_takes_the_nearest_value_within_reach_only(folder):
    stack = CovariateStack(folder)
    table, report = stack.sample([5.9], [4.5])  # in the hole of row 4, near its upper edge
    assert table["bio1"].tolist() == [34.0] and report.filled["bio1"] == 1
    table, report = stack.sample([5.9], [4.5], nearest_km=50)
    assert np.isnan(table["bio1"][0]) and report.missing["bio1"] == 1


def test_zero_clay_is_no_soil_and_ice_is_no_biome(folder):
    table, _ = CovariateStack(folder).sample([9.5, 9.5], [9.5, 0.9])
    assert table["clay"][0] in (9.0, 20.0)  # a neighbour's, not 0
    assert table["biome"][1] == 6  # from the nearest forest cell
    table, _ = CovariateStack(folder).sample([9.5], [0.1], nearest_km=20)
    assert table["biome"][0] == 0


def test_a_site_off_every_raster_is_missing(folder):
    table, _ = CovariateStack(folder).sample([40.0], [40.0])
    assert table.drop(columns=["biome", "natural_biome"]).isna().all(axis=None) and table["biome"][0] == 0


def test_on_a_coarser_grid_values_are_averaged_and_land_is_kept(folder):
    grid = CovariateStack(folder).on_grid(MapGrid(2.0, (0, 0, 10, 10)))
    assert float(grid["bio1"][0, 1]) == pytest.approx((2 + 3 + 12 + 13) / 4)
    assert float(grid["bio1"][2, 2]) == pytest.approx((45 + 54 + 55) / 3)  # the hole counts for nothing
    assert float(grid["npp_satellite"][0, 1]) == 1.0
    assert (grid["biome"].values[:, 1:] == 6).all()


def test_on_a_finer_grid_cells_are_read_not_blended(folder):
    grid = CovariateStack(folder).on_grid(MapGrid(0.25, (0, 0, 10, 10)))
    assert set(np.unique(grid["npp_satellite"].values[np.isfinite(grid["npp_satellite"].values)])) <= set(range(25))
    assert np.isnan(grid["bio1"].values[grid["biome"].values == 0]).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: (f / "manifest.toml").unlink(), "manifest.toml: not found"),
        (lambda f: (f / "manifest.toml").write_text("[[raster]\n"), "not valid TOML"),
        (lambda f: (f / "manifest.toml").write_text(entry("bio1", role="soil")), "column role: entry bio1"),
        (
            lambda f: (f / "manifest.toml").write_text(entry("bio1", extra='colour = "red"')),
            "column colour: entry bio1",
        ),
        (lambda f: (f / "manifest.toml").write_text(entry("bio1")), "no entry named wwf_biome"),
        (lambda f: (f / "clay.tif").unlink(), "clay.tif: not a readable raster"),
        (lambda f: (f / "clay.tif").write_bytes(b"II*\x00 cut"), "clay.tif: not a readable raster"),
        (
            lambda f: write(f / "clay.tif", np.ones((4, 4)), 0, 4, 1, crs="EPSG:3857"),
            "clay.tif: has cells of 9e-06°",
        ),
        (
            lambda f: write(f / "clay.tif", np.ones((4, 4)), 0, 4, 1, crs=None),
            "clay.tif: has no coordinate system",
        ),
    ],
)
def test_bad_folders_are_named(folder, change, says):
    change(folder)
    with pytest.raises(InputError, match=says):
        CovariateStack(folder)


def test_bare_ground_and_ice_have_a_share_of_each_cell(folder):
    assert CovariateStack(folder).bare_share(MapGrid(1, (0, 0, 10, 10))) is None
    cover = np.full((20, 20), 10)
    cover[:, :2], cover[0, 2:4], cover[1, 2], cover[19, 19] = 16, 15, 10, 255
    write(folder / "mcd12c1_2019_igbp.tif", cover, 0, 10, 0.5, nodata=255, dtype="uint8")
    stack = CovariateStack(folder)
    assert folder / "mcd12c1_2019_igbp.tif" in stack.files  # maps depend on it
    bare = stack.bare_share(MapGrid(1, (0, 0, 10, 10)))
    np.testing.assert_allclose(bare[:, 0], 1)
    np.testing.assert_allclose(bare[0, :3], [1, 0.5, 0])
    assert bare[9, 9] == 0 and bare[1:, 1:].sum() == 0
    finer = stack.bare_share(MapGrid(0.25, (0, 0, 2, 2)))
    assert (finer[:, :4] == 1).all() and finer[7, 4:].sum() == 0


def test_wwf_classes_map_to_nine_biomes_and_strangers_are_refused():
    lookup = wwf_lookup(CATEGORIES)
    assert lookup[0] == 0 and set(lookup) == set(range(9))
    with pytest.raises(InputError, match="`swamp` is not a WWF biome"):
        wwf_lookup(["swamp"])


def test_croplands_win_over_half_but_not_over_ice():
    assert with_croplands([3, 3, 0, 3], [0.6, 0.5, 0.9, np.nan]).tolist() == [9, 3, 0, 3]


def test_grid_cells_add_up_to_the_sphere_and_to_any_part():
    whole = MapGrid(1.5).area_ha.sum()
    assert whole == pytest.approx(4 * np.pi * EARTH_RADIUS_KM**2 * 100)
    north, south = MapGrid(1.5, (-180, 0, 180, 90)).area_ha.sum(), MapGrid(1.5, (-180, -90, 180, 0)).area_ha.sum()
    assert north + south == pytest.approx(whole) and north == pytest.approx(south)


@pytest.mark.parametrize(
    ("resolution", "bbox"), [(0.0, (-180, -90, 180, 90)), (1.0, (10, 0, 10, 5)), (1.0, (0, 0, 5, 91))]
)
def test_bad_grids_are_refused(resolution, bbox):
    with pytest.raises(InputError):
        MapGrid(resolution, bbox)


def test_great_circle_distance_of_a_degree():
    assert great_circle_km(0, 0, np.array([1.0]), np.array([0.0]))[0] == pytest.approx(np.pi * EARTH_RADIUS_KM / 180)
    assert great_circle_km(0, 179.5, np.array([0.0]), np.array([-179.5]))[0] == pytest.approx(
        np.pi * EARTH_RADIUS_KM / 180
    )


def test_a_grid_across_180_degrees_has_the_cells_of_both_sides(demo_world):
    """A box across 180° gives the same values as the global map, also where 180° falls inside a cell."""
    stack = CovariateStack(demo_world.folder / "covariates")
    names = stack.features[::4]
    whole, across = stack.on_grid(MapGrid(4.0), names), stack.on_grid(MapGrid(4.0, (140, -62, -140, 78)), names)
    assert across.lon.values.tolist() == [*range(142, 180, 4), *range(182, 220, 4)]
    for name in [*names, "biome"]:
        here = whole[name].values[3:38]  # 78° N to 62° S
        np.testing.assert_array_equal(across[name], np.c_[here[:, -10:], here[:, :10]], err_msg=name)
    assert (across["biome"] > 0).sum() > 20
    parted = stack.on_grid(MapGrid(4.0, (142, -62, -142, 78)), names)
    assert set(parted.lon.values) >= {176, 180, 184}
