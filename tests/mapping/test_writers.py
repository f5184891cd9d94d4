"""Maps as files: each value comes back where its cell lies, with its unit; what is not mapped stays empty."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine

from bayes_rootc.constants import CF_FLUX_UNIT, LAYERS
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.mapping import writers
from bayes_rootc.mapping.variables import BIOME_NAMES, FLAT, LAYERED, MAP_LAYERS, NODATA, describe
from bayes_rootc.mapping.writers import (
    create_store,
    maps_in,
    open_store,
    say_about,
    write_cogs,
    write_netcdf,
    write_tile,
)

ABOUT = {
    "title": "maps of a test",
    "summary": "Numbers.",
    "history": "written",
    "software": "bayes-rootc test",
    "license": "CC-BY-4.0",
    "references": "none",
    "run_id": "0123456789abcdef",
}

GRID = MapGrid(10.0, (-60, -20, 90, 70))
TILE = 6


def value(name: str, layer: int, row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """What a variable has in a cell: a number that says which of all values it is."""
    number = [*LAYERED, *FLAT].index(name)
    return (1000 * number + 100 * layer + 10.0 * row + col / 10).astype(np.float32)


@pytest.fixture(scope="module")
def mapped() -> np.ndarray:
    """Which cells of the grid are mapped."""
    return np.random.default_rng(0).random(GRID.shape) < 0.4


@pytest.fixture(scope="module")
def store(mapped, tmp_path_factory):
    """A store that tiles were written into, the last ones of which are cut off by the edge; one tile is left out."""
    path = tmp_path_factory.mktemp("store") / "maps.zarr"
    create_store(path, GRID, TILE)
    opened = open_store(path, write=True)
    for row in range(0, GRID.shape[0], TILE):
        for col in range(0, GRID.shape[1], TILE):
            if (row, col) == (0, TILE):
                continue
            part = GRID.part(row, col, TILE)
            index = np.flatnonzero(mapped[row : row + part.shape[0], col : col + part.shape[1]])
            r, c = np.divmod(index, part.shape[1])
            values = {n: np.stack([value(n, i, row + r, col + c) for i in range(8)], axis=1) for n in LAYERED}
            values |= {n: value(n, 0, row + r, col + c) for n in FLAT}
            write_tile(opened, (row, col), part, index, values, (1 + index % 9).astype(np.uint8))
    return opened


def expected(name: str, layer: int, mapped: np.ndarray) -> np.ndarray:
    """The whole map of a variable; without the tile that was left out."""
    field = value(name, layer, *np.indices(GRID.shape))
    field[~mapped] = np.nan
    field[:TILE, TILE : 2 * TILE] = np.nan
    return field


def test_tiles_lie_where_they_begin_and_the_rest_is_empty(store, mapped):
    for name in LAYERED:
        for layer in range(8):
            np.testing.assert_array_equal(store[name][layer], expected(name, layer, mapped), err_msg=name)
    for name in FLAT:
        np.testing.assert_array_equal(store[name][:], expected(name, 0, mapped), err_msg=name)
    filled = np.isfinite(expected(FLAT[0], 0, mapped))
    np.testing.assert_array_equal(store["biome"][:] > 0, filled)
    np.testing.assert_array_equal(store["lat"][:], GRID.lat)
    np.testing.assert_array_equal(store["lon"][:], GRID.lon)


@pytest.mark.parametrize(
    ("variable", "unit", "words"),
    [
        ("iroot_mean", CF_FLUX_UNIT, ("root-derived carbon input", "mean over members")),
        ("ibulk_p975", CF_FLUX_UNIT, ("carbon input to bulk soil", "97.5 % quantile")),
        ("iloss_uncertainty", "1", ("lost before entering bulk soil", "half the 95 % interval")),
        ("iloss_probability", "1", ("probability of being positive",)),
        ("share_median", "1", ("lost part",)),
        ("iroot_applicability", "1", ("dissimilarity",)),
    ],
)
def test_a_variable_has_its_unit_and_says_what_it_is(variable, unit, words):
    described = describe(variable)
    assert described["units"] == unit and all(word in described["long_name"] for word in words)


def test_every_geotiff_is_named_after_flux_layer_and_statistic_and_holds_that_map(store, mapped, tmp_path, monkeypatch):
    monkeypatch.setattr(
        writers, "MAPS", ["ibulk_p025", "iloss_probability", *FLAT, "biome"]
    )  # a hundred more would only take longer
    done = []
    made = write_cogs(tmp_path / "maps", store, GRID, ABOUT, progress=lambda n, total: done.append((n, total)))
    names = {f"ibulk_{layer}_p025.tif": ("ibulk_p025", i) for i, layer in enumerate(MAP_LAYERS)}
    names |= {f"iloss_probability_{layer}.tif": ("iloss_probability", i) for i, layer in enumerate(MAP_LAYERS)}
    names |= {f"{name}.tif": (name, 0) for name in FLAT}
    files = sorted(p.name for p in (tmp_path / "maps").iterdir())
    assert sorted(m.path.name for m in made) == sorted([*names, "biome.tif"])
    assert files == sorted([*names, "biome.tif", "biome.tif.aux.xml"])
    assert done == [(n, len(made)) for n in range(1, len(made) + 1)]
    for picture in made:
        if picture.variable == "biome":
            continue
        name, layer = names[picture.path.name]
        with rasterio.open(picture.path) as source:
            read, nodata = source.read(1), source.nodata
            assert (source.transform, source.crs.to_epsg(), source.count) == (GRID.transform, 4326, 1)
            assert source.units == (describe(name)["units"],)
            assert source.descriptions == (describe(name)["long_name"],)
            tags, of_band = source.tags(), source.tags(1)
        assert tags.get("layer_cm") == (None if name in FLAT else MAP_LAYERS[layer])
        assert tags["TIFFTAG_SOFTWARE"] == ABOUT["software"] and tags["TIFFTAG_COPYRIGHT"] == ABOUT["license"]
        assert tags["run_id"] == ABOUT["run_id"]
        assert nodata == NODATA
        want = expected(name, layer, mapped)
        np.testing.assert_array_equal(np.where(read == nodata, np.nan, read), want)
        statistics = {"MINIMUM": np.nanmin, "MAXIMUM": np.nanmax, "MEAN": np.nanmean, "STDDEV": np.nanstd}
        for key, statistic in statistics.items():
            assert float(of_band[f"STATISTICS_{key}"]) == pytest.approx(float(statistic(want.astype(float))), rel=1e-5)
        assert float(of_band["STATISTICS_VALID_PERCENT"]) == pytest.approx(100 * np.isfinite(want).mean())


def test_the_biomes_are_classes_with_names_and_colours(store, tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "MAPS", [*FLAT, "biome"])
    write_cogs(tmp_path, store, GRID, ABOUT)
    with rasterio.open(tmp_path / "biome.tif") as source:
        assert (source.dtypes, source.nodata) == (("uint8",), 0)
        np.testing.assert_array_equal(source.read(1), store["biome"][:])
        assert source.colormap(1)[3] == (0x44, 0xAA, 0x99, 255)
        assert source.tags(1)["class_9"] == "croplands"
    names = ElementTree.parse(tmp_path / "biome.tif.aux.xml").iter("Category")
    assert tuple(name.text for name in names) == BIOME_NAMES


def test_a_geotiff_that_is_there_is_kept(store, tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "MAPS", [*FLAT, "biome"])
    (tmp_path / f"{FLAT[0]}.tif").write_bytes(b"of an earlier command")
    write_cogs(tmp_path, store, GRID, ABOUT)
    assert (tmp_path / f"{FLAT[0]}.tif").read_bytes() == b"of an earlier command"
    assert (tmp_path / f"{FLAT[1]}.tif").read_bytes()[:2] == b"II"


def test_the_netcdf_file_has_every_map_by_layer_with_depths_in_metres(store, mapped, tmp_path):
    write_netcdf(tmp_path / "maps.nc", store, GRID, ABOUT)
    with xr.open_dataset(tmp_path / "maps.nc") as maps:
        assert set(maps.data_vars) - {"depth_bnds", "crs"} == {*LAYERED, *FLAT, "biome"}
        assert maps["layer"].values.tolist() == list(MAP_LAYERS)
        np.testing.assert_allclose(maps["depth_bnds"], np.array([*LAYERS, (0, 200)]) / 100, rtol=1e-6)
        np.testing.assert_allclose(maps["depth"], maps["depth_bnds"].mean("nv"), rtol=1e-6)
        for name in ("iroot_mean", "share_p975"):
            for i, layer in enumerate(MAP_LAYERS):
                np.testing.assert_array_equal(maps[name].sel(layer=layer), expected(name, i, mapped))
            assert maps[name].attrs["units"] == describe(name)["units"]
        np.testing.assert_array_equal(maps[FLAT[1]], expected(FLAT[1], 0, mapped))
        np.testing.assert_array_equal(maps["lat"], GRID.lat)
        assert maps["biome"].dtype == np.uint8
        assert (maps.attrs["title"], maps.attrs["history"]) == ("maps of a test", "written")


def test_files_of_several_maps_have_a_coordinate_system_and_named_layers(store, tmp_path):
    write_netcdf(tmp_path / "maps.nc", store, GRID, ABOUT)
    for place in (f'NETCDF:"{tmp_path / "maps.nc"}":iloss_mean', f'NETCDF:"{tmp_path / "maps.nc"}":biome'):
        with rasterio.open(place) as source:
            assert source.crs.to_epsg() == 4326
    create_store(tmp_path / "maps.zarr", GRID, TILE)
    with xr.open_zarr(tmp_path / "maps.zarr", consolidated=True) as maps:
        assert maps["lat"].attrs["units"] == "degrees_north" and maps["lon"].attrs["axis"] == "X"
        layer = maps.set_coords(["depth", "layer"])["iloss_mean"].sel(layer="0-20")
        assert layer.shape == GRID.shape and float(layer["depth"]) == pytest.approx(0.1)


def test_maps_say_what_is_known_of_them_and_which_others_go_with_them(store, tmp_path):
    write_netcdf(tmp_path / "maps.nc", store, GRID, ABOUT)
    with xr.open_dataset(tmp_path / "maps.nc") as maps:
        for key, text in ABOUT.items():
            assert maps.attrs[key] == text
        mean = maps["iloss_mean"].attrs
        assert mean["cell_methods"] == "area: mean where land realization: mean"
        assert set(mean["ancillary_variables"].split()) <= set(maps.data_vars)
        assert (
            "iloss_probability" in mean["ancillary_variables"] and "iroot_applicability" in mean["ancillary_variables"]
        )
        assert maps["iroot_mean"].attrs["standard_name"].endswith("accumulated_in_roots")
        flags = maps["biome"].attrs
        assert flags["flag_values"].tolist() == list(range(10))
        assert len(flags["flag_meanings"].split()) == 10


def test_a_store_keeps_the_conventions_of_geozarr(store, tmp_path):
    create_store(tmp_path / "maps.zarr", GRID, TILE)
    say_about(tmp_path / "maps.zarr", ABOUT)
    with xr.open_zarr(tmp_path / "maps.zarr", consolidated=True) as maps:
        attributes = maps.attrs
        assert maps["biome"].attrs["flag_values"] == list(range(10))
    assert attributes["proj:code"] == "EPSG:4326" and attributes["license"] == ABOUT["license"]
    assert attributes["spatial:dimensions"] == ["lat", "lon"]
    assert attributes["spatial:shape"] == list(GRID.shape)
    assert Affine(*attributes["spatial:transform"]) == GRID.transform
    assert {convention["name"] for convention in attributes["zarr_conventions"]} == {"proj:", "spatial:"}


def test_maps_of_how_long_carbon_stays_are_there_where_they_are_wanted(tmp_path):
    create_store(tmp_path / "maps.zarr", GRID, TILE, ("age",))
    store = open_store(tmp_path / "maps.zarr", write=True)
    assert {"age_mean", "age_median", "age_p025", "age_p975"} == set(maps_in(store)) - {*LAYERED, *FLAT, "biome"}
    index = np.arange(5)
    values = {name: np.ones((5, 8) if name not in FLAT else 5, np.float32) for name in maps_in(store)}
    write_tile(store, (0, 0), GRID.part(0, 0, TILE), index, values, np.ones(5, np.uint8))
    write_netcdf(tmp_path / "maps.nc", store, GRID, ABOUT)
    with xr.open_dataset(tmp_path / "maps.nc") as maps:
        assert maps["age_mean"].attrs["units"] == "yr" and maps["age_mean"].sizes["layer"] == 8
        assert "ibulk_applicability" in maps["age_mean"].attrs["ancillary_variables"]
        assert "ibulk_t100_mean" not in maps
