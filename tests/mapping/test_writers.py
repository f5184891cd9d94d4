"""Maps as files: each value comes back where its cell lies, with its unit; what is not mapped stays empty."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr.errors
from affine import Affine
from numcodecs import BitRound

from bayes_rootc.constants import CF_FLUX_UNIT, LAYERS
from bayes_rootc.mapping.variables import EVERY_MAP, FLAT, MAP_LAYERS, MapChoice, describe
from bayes_rootc.mapping.writers import (
    Rounding,
    create_store,
    maps_in,
    open_store,
    say_about,
    write_netcdf,
    write_tile,
)
from tests.mapping.numbered_map import ABOUT, GRID, TILE, expected


def test_tiles_lie_where_they_begin_and_the_rest_is_empty(store, mapped):
    for name in EVERY_MAP.layered:
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
        ("iroot_mean", CF_FLUX_UNIT, ("root-derived carbon input", "posterior mean")),
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


def test_the_netcdf_file_has_every_map_by_layer_with_depths_in_metres(store, mapped, tmp_path):
    write_netcdf(tmp_path / "maps.nc", store, GRID, ABOUT)
    with xr.open_dataset(tmp_path / "maps.nc") as maps:
        assert set(maps.data_vars) - {"depth_bnds", "crs"} == {*EVERY_MAP.layered, *FLAT, "biome"}
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
    create_store(tmp_path / "maps.zarr", GRID, TILE, MapChoice(("age",)))
    store = open_store(tmp_path / "maps.zarr", write=True)
    assert {"age_mean", "age_median", "age_p025", "age_p975"} == set(maps_in(store)) - {
        *EVERY_MAP.layered,
        *FLAT,
        "biome",
    }
    index = np.arange(5)
    values = {name: np.ones((5, 8) if name not in FLAT else 5, np.float32) for name in maps_in(store)}
    write_tile(store, (0, 0), GRID.part(0, 0, TILE), index, values, np.ones(5, np.uint8))
    write_netcdf(tmp_path / "maps.nc", store, GRID, ABOUT)
    with xr.open_dataset(tmp_path / "maps.nc") as maps:
        assert maps["age_mean"].attrs["units"] == "yr" and maps["age_mean"].sizes["layer"] == 8
        assert "ibulk_applicability" in maps["age_mean"].attrs["ancillary_variables"]
        assert "ibulk_t100_mean" not in maps


@pytest.mark.parametrize("precision", [0.1, 0.001, 0.0005, 1e-6])
def test_a_rounded_value_is_within_the_precision_and_has_no_more_bits_than_it_needs(precision):
    rng = np.random.default_rng(0)
    values = (rng.choice([-1, 1], 100_000) * 10 ** rng.uniform(-30, 30, 100_000)).astype(np.float32)
    rounding = Rounding.to(precision)
    rounded = rounding.of(values)
    error = np.abs(rounded.astype(float) / values - 1)
    assert error.max() <= precision and error.max() > 0.4 * 0.5 * precision
    assert not (rounded.view(np.uint32) & (2 ** (23 - rounding.bits) - 1)).any()
    np.testing.assert_array_equal(rounding.of(rounded), rounded)
    np.testing.assert_array_equal(
        rounded, BitRound(keepbits=rounding.bits).decode(BitRound(rounding.bits).encode(values))
    )


def test_rounding_leaves_alone_what_is_no_number_or_exact():
    special = np.array([0.0, -0.0, 1.0, 0.5, np.nan, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(Rounding.to(0.1).of(special), special)
    values = np.random.default_rng(0).random(100).astype(np.float32)
    np.testing.assert_array_equal(Rounding.to(0).of(values), values)
    assert Rounding.to(0) == Rounding.to(1e-9) == Rounding() and Rounding().attributes == {}


def test_every_file_says_how_its_values_are_rounded(tmp_path):
    choice, rounding = MapChoice(layers=("20-40", "0-200"), statistics=("mean", "p975")), Rounding.to(0.0005)
    create_store(tmp_path / "maps.zarr", GRID, TILE, choice, rounding)
    store, index = open_store(tmp_path / "maps.zarr", write=True), np.arange(TILE**2)
    exact = {name: np.random.default_rng(3).lognormal(size=(TILE**2, 2)).astype(np.float32) for name in choice.layered}
    write_tile(store, (0, 0), GRID.part(0, 0, TILE), index, exact, np.ones(TILE**2, np.uint8), rounding)
    write_netcdf(tmp_path / "maps.nc", store, GRID, ABOUT)
    said = {"comment": "rounded to 10 bits of the mantissa: relative error at most 0.049 %", "quantization_nsb": 10}
    with (
        xr.open_dataset(tmp_path / "maps.nc") as netcdf,
        xr.open_zarr(tmp_path / "maps.zarr", chunks=None, consolidated=True) as zarr,
    ):
        for maps in (netcdf, zarr):
            assert {n for n in maps if n.startswith("i")} == {
                f"i{f}_{s}" for f in ("root", "bulk", "loss") for s in ("mean", "p975")
            }
            assert maps["layer"].values.tolist() == ["20-40", "0-200"]
            np.testing.assert_allclose(maps["depth"], [0.3, 1.0], rtol=1e-6)
            assert maps["iloss_mean"].attrs["ancillary_variables"] == "iloss_p975"
            assert "comment" not in maps["biome"].attrs
            for name in choice.layered:
                assert said.items() <= maps[name].attrs.items()
                read = maps[name].values[:, :TILE, :TILE].reshape(2, -1).T
                np.testing.assert_allclose(read, exact[name], rtol=0.0005)
                assert (read != exact[name]).mean() > 0.99


def test_a_store_goes_to_a_store_of_objects_as_the_documentation_says(tmp_path):
    create_store(tmp_path / "maps.zarr", GRID, TILE)
    open_store(tmp_path / "maps.zarr", write=True)["iloss_mean"][0, :TILE] = 1.5
    say_about(tmp_path / "maps.zarr", ABOUT)
    maps = xr.open_zarr(tmp_path / "maps.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)  # that consolidated metadata are not specified yet
        maps.to_zarr("memory://bucket/maps.zarr")
    copy = xr.open_zarr("memory://bucket/maps.zarr")
    xr.testing.assert_identical(copy.load(), maps.load())
    assert float(copy["iloss_mean"][0, 0, 0]) == 1.5 and copy.attrs["license"] == ABOUT["license"]
    assert copy["iloss_mean"].encoding["chunks"] == maps["iloss_mean"].encoding["chunks"]
