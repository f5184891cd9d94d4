"""What describes maps to others: styles read back give the colours of the figures, catalogues name what is there."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from matplotlib.colors import to_rgb

from bayes_rootc.data.grid import MapGrid
from bayes_rootc.files import sha256
from bayes_rootc.mapping import writers
from bayes_rootc.mapping.catalogue import Origin, describe_maps
from bayes_rootc.mapping.draw import Scale
from bayes_rootc.mapping.geotiffs import write_cogs
from bayes_rootc.mapping.styles import scale_of
from bayes_rootc.mapping.variables import BIOME_COLOURS, BIOME_NAMES, EVERY_MAP, FLAT
from bayes_rootc.mapping.writers import create_store, open_store, write_tile

GRID = MapGrid(10.0, (-60, -20, 90, 70))
ABOUT = {
    "title": "maps of a test",
    "summary": "Numbers.",
    "software": "bayes-rootc test",
    "license": "CC-BY-4.0",
    "run_id": "0123456789abcdef",
}
SOURCES = [{"title": "a raster", "licence": "CC0"}, {"title": "another"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Some maps, and what describes them."""
    to = tmp_path_factory.mktemp("maps")
    create_store(to / "maps.zarr", GRID, 16)
    store, index = open_store(to / "maps.zarr", write=True), np.arange(100)
    rng = np.random.default_rng(2)
    values = {name: rng.normal(1, 3, (100, 8)).astype(np.float32) for name in EVERY_MAP.layered}
    values |= {name: rng.random(100).astype(np.float32) for name in FLAT}
    write_tile(store, (0, 0), GRID, index, values, (1 + index % 9).astype(np.uint8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writers, "MAPS", ["iloss_mean", "iloss_p975", "iroot_uncertainty", *FLAT, "biome"])
        made = write_cogs(to, store, GRID, ABOUT)
    describe_maps(to, made, GRID, Origin(ABOUT, (1985, 2014), SOURCES))
    return to


def ramp_of(style: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values and colours, 0 to 1, of a style as QGIS takes them: between its items, colours are interpolated."""
    items = list(ElementTree.parse(style).iter("item"))
    return np.array([float(i.attrib["value"]) for i in items]), np.array([to_rgb(i.attrib["color"]) for i in items])


@pytest.mark.parametrize("name", ["iloss_0-200_mean", "iloss_0-20_p975", "iroot_20-40_uncertainty"])
def test_a_style_that_is_read_back_paints_a_map_as_figures_do(folder, name):
    with rasterio.open(folder / f"{name}.tif") as source:
        values = source.read(1, masked=True).compressed()
    at, colours = ramp_of(folder / f"{name}.qml")
    quantity, _, statistic = name.split("_")
    scale = scale_of(f"{quantity}_{statistic}", values[:, None])
    painted = np.stack([np.interp(values, at, colours[:, band]) for band in range(3)], axis=1)
    want = scale.cmap(scale.norm(values))[:, :3]
    # 21 colours stand for 256, and each is written in whole numbers up to 255
    np.testing.assert_allclose(painted, want, atol=0.04)
    if statistic != "uncertainty":
        middle = Scale.of(np.array([-1.0, 1.0]), "PuOr_r", centred=True).cmap(0.5)[:3]
        zero = [np.interp(0.0, at, colours[:, band]) for band in range(3)]
        np.testing.assert_allclose(zero, middle, atol=0.04)


def test_the_style_of_biomes_has_their_names(folder):
    entries = {
        int(e.attrib["value"]): (e.attrib["label"], e.attrib["color"])
        for e in ElementTree.parse(folder / "biome.qml").iter("paletteEntry")
    }
    assert entries == {n: (BIOME_NAMES[n], colour) for n, colour in BIOME_COLOURS.items()}


def test_a_catalogue_leads_to_every_map_with_its_statistics(folder):
    collection = json.loads((folder / "stac" / "collection.json").read_text())
    assert collection["license"] == "CC-BY-4.0" and collection["extent"]["spatial"]["bbox"] == [[-60, -20, 90, 70]]
    found = set()
    for link in (link for link in collection["links"] if link["rel"] == "item"):
        item = json.loads((folder / "stac" / link["href"]).read_text())
        assert item["collection"] == collection["id"]
        assert item["properties"]["start_datetime"] == "1985-01-01T00:00:00Z"
        for key, asset in item["assets"].items():
            path = (folder / "stac" / asset["href"]).resolve()
            found.add(path.name)
            with rasterio.open(path) as source:
                values = source.read(1, masked=True).astype(float)
            if "statistics" in asset:
                assert asset["statistics"]["mean"] == pytest.approx(values.mean(), rel=1e-4)
                (limits,) = item["properties"]["renders"][key]["rescale"]
                assert limits[0] < limits[1]
    assert found == {path.name for path in folder.glob("*.tif")}
    biome = json.loads((folder / "stac" / "biome.json").read_text())["assets"]["biome"]
    assert [c["title"] for c in biome["classification:classes"]] == list(BIOME_NAMES)


def test_a_package_has_checksums_licence_and_sources(folder):
    package = json.loads((folder / "datapackage.json").read_text())
    assert package["licenses"] == [{"name": "CC-BY-4.0"}] and package["sources"] == SOURCES
    names = {resource["path"] for resource in package["resources"]}
    assert names == {p.name for p in folder.iterdir() if p.suffix in (".tif", ".qml", ".xml")}
    for resource in package["resources"]:
        path = folder / resource["path"]
        assert resource["hash"] == f"sha256:{sha256(path)}" and resource["bytes"] == path.stat().st_size
