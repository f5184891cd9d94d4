"""Maps as GeoTIFFs: named after what they hold, which comes back as it was, with overviews of the same values."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio

from bayes_rootc.data.grid import MapGrid
from bayes_rootc.mapping import geotiffs, writers
from bayes_rootc.mapping.geotiffs import write_cogs
from bayes_rootc.mapping.variables import BIOME_NAMES, FLAT, MAP_LAYERS, NODATA, MapChoice, describe
from bayes_rootc.mapping.writers import Rounding, create_store, open_store, write_tile
from tests.mapping.numbered_map import ABOUT, GRID, expected


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


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> tuple[dict[str, np.ndarray], dict]:
    """Two maps of 1,301 x 1,203 cells, noise and biomes, some of which are sea, rounded to 0.1 %; and their store,
    into which tiles of 350 cells were written.
    """
    grid, rng = MapGrid(0.01, (0, 0, 12.03, 13.01)), np.random.default_rng(1)
    assert grid.shape == (1301, 1203)
    biome = rng.integers(0, 10, grid.shape)
    biome[:600, :600] = 0
    path, values = tmp_path_factory.mktemp("large") / "maps.zarr", rng.lognormal(size=grid.shape).astype(np.float32)
    choice = MapChoice(layers=("0-200",), statistics=("probability",))
    create_store(path, grid, 350, choice, Rounding.to(0.001))
    store = open_store(path, write=True)
    for row in range(0, 1301, 350):
        for col in range(0, 1203, 350):
            part = grid.part(row, col, 350)
            at = slice(row, row + part.shape[0]), slice(col, col + part.shape[1])
            index = np.flatnonzero(biome[at])
            fields = {"iloss_probability": values[at].ravel()[index, None]}
            write_tile(store, (row, col), part, index, fields, biome[at].ravel()[index], Rounding.to(0.001))
    return {"value": np.where(biome > 0, values, np.nan), "biome": biome, "grid": grid}, store


def test_overviews_are_means_of_land_rounded_like_the_map(large, tmp_path, monkeypatch):
    monkeypatch.setattr(geotiffs, "WIDE", 512)  # parts end within the map
    known, store = large
    write_cogs(tmp_path, store, known["grid"], ABOUT)
    with rasterio.open(tmp_path / "iloss_probability_0-200.tif") as source:
        assert source.overviews(1) == [2, 4]
        assert source.tags(ns="IMAGE_STRUCTURE") == {
            "LAYOUT": "COG", "COMPRESSION": "ZSTD", "PREDICTOR": "3", "INTERLEAVE": "BAND",
        }  # fmt: skip
        assert source.tags()["comment"] == "rounded to 9 bits of the mantissa: relative error at most 0.098 %"
        full = source.read(1, masked=True)
    np.testing.assert_array_equal(full.mask, np.isnan(known["value"]))
    np.testing.assert_allclose(full.filled(np.nan), known["value"], rtol=0.001)
    expected = np.pad(known["value"].astype(float), ((0, 3), (0, 1)), constant_values=np.nan)
    for level in range(2):
        with np.errstate(invalid="ignore"):
            land = np.isfinite(expected).reshape(expected.shape[0] // 2, 2, -1, 2).sum(axis=(1, 3))
            total = np.nansum(expected.reshape(expected.shape[0] // 2, 2, -1, 2), axis=(1, 3))
            expected = total / land
        with rasterio.open(tmp_path / "iloss_probability_0-200.tif", overview_level=level) as source:
            read = source.read(1, masked=True).filled(np.nan)
        assert read.shape == ((651, 602), (326, 301))[level]
        np.testing.assert_allclose(read, expected[: read.shape[0], : read.shape[1]], rtol=0.001 * (level + 2))
        bits = read[np.isfinite(read)].view(np.uint32)
        assert not (bits & (2**14 - 1)).any()
    with rasterio.open(tmp_path / "biome.tif", overview_level=0) as source:
        np.testing.assert_array_equal(source.read(1), known["biome"][::2, ::2])


def test_blocks_of_sea_take_no_room(large, tmp_path):
    """The first of nine blocks is sea: it is read as such, but not in the file."""
    known, store = large
    write_cogs(tmp_path, store, known["grid"], ABOUT)
    with rasterio.open(tmp_path / "biome.tif") as source:
        assert (source.read(1, window=((0, 512), (0, 512))) == 0).all()
        sizes = [source.get_tag_item(f"BLOCK_SIZE_{col}_0", "TIFF", bidx=1) for col in range(3)]
    assert sizes[0] is None and None not in sizes[1:]
