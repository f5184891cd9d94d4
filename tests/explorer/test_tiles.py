"""Tiles hold the maps, cell for cell, and their means from afar."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayes_rootc.explorer.codec import Scale
from bayes_rootc.explorer.quantities import variables_of
from bayes_rootc.explorer.tiles import Pyramid, cut_maps

from .node import needs_node, run_node

READ = """
    const files = given.files;
    const read = given.folder
        ? async (name) => readFileSync(`${given.folder}/${name}.js`, "utf8").match(/,"(.*)"/)[1]
        : async (name) => files[name];
    const map = new atlas.Atlas(given.about, read);
"""


def about_of(page: Path) -> dict:
    """What a page says of itself."""
    found = re.search(r'<script type="application/json" id="about">(.*?)</script>', page.read_text(encoding="utf-8"))
    return json.loads(found[1])


def asked(folder: Path, tmp_path: Path, script: str, **more: object):
    """Value of a script that reads the maps of an explorer with `map`, an Atlas."""
    page = folder / "explorer" / "index.html"
    about = about_of(page)
    given: dict = {"about": about, "files": {}} | more
    if about["tiles"]:
        given["folder"] = str(folder / "explorer" / about["tiles"])
    else:
        held = re.findall(r'<script type="text/plain" id="part-(.*?)">(.*?)</script>', page.read_text(encoding="utf-8"))
        given["files"] = dict(held)
    return run_node(READ + script, given, tmp_path, "atlas")


def test_every_cell_lies_in_one_tile_of_each_level():
    pyramid = Pyramid(1300, 2900)
    covered = np.zeros((1300, 2900), int)
    for rows, cols in pyramid.squares():
        covered[rows, cols] += 1
    assert (covered == 1).all() and len(pyramid.levels) == 3
    assert Pyramid(360, 720).is_one_tile and not Pyramid(361, 720).is_one_tile


@needs_node
@pytest.mark.parametrize("folder", ["explored", "fine"])
def test_each_cell_answers_with_the_numbers_of_the_maps(folder, request, tmp_path):
    out = request.getfixturevalue(folder)
    maps = xr.load_dataset(out / "maps" / "maps.nc", engine="h5netcdf")
    rng = np.random.default_rng(3)
    places = np.argwhere(maps["biome"].values > 0)
    places = places[rng.choice(len(places), 60, replace=False)]
    at = [[float(maps["lat"][r]), float(maps["lon"][c])] for r, c in places]
    script = "return Promise.all(given.at.map(([lat, lon]) => map.everything(map.cellAt(lat, lon))));"
    found = asked(out, tmp_path, script, at=at)
    about = about_of(out / "explorer" / "index.html")
    checked = 0
    for (row, col), cell in zip(places, found, strict=True):
        assert cell["biome"] == maps["biome"].values[row, col]
        for name, variable in about["variables"].items():
            if name == "biome":
                continue
            scale = Scale(variable["floor"], variable["step"])
            values = maps[name].values[..., row, col]
            if variable["layered"]:
                values = [values[maps["layer"].values.tolist().index(layer)] for layer in about["layers"]]
            quantity, statistic = name.rsplit("_", 1)
            for got, want in zip(cell["of"][quantity][statistic], np.atleast_1d(values), strict=True):
                if got is None:
                    assert np.isnan(want)
                else:
                    assert abs(got - want) <= scale.error(want) * 1.001
                    checked += 1
    assert checked > 1000


@needs_node
def test_where_nothing_is_mapped_there_is_no_answer(fine, tmp_path):
    at = [[0.05, 5.05], [0.05, 65.05], [80.0, 0.0], [0.0, 170.0]]
    script = """
        return Promise.all(given.at.map(async ([lat, lon]) => {
            const cell = map.cellAt(lat, lon);
            return cell && await map.everything(cell);
        }));
    """
    assert asked(fine, tmp_path, script, at=at) == [None] * 4


@needs_node
def test_from_afar_a_cell_is_the_mean_of_those_that_it_covers(fine, tmp_path):
    maps = xr.load_dataset(fine / "maps" / "maps.nc", engine="h5netcdf")
    want = maps["iroot_mean"].sel(layer="0-200").coarsen(lat=2, lon=2, boundary="pad").mean().values
    script = """
        const tile = "1/0/0";
        const land = await map.land(tile);
        const values = await map.values(tile, "iroot", "mean", "0-200");
        return { rows: land.rows, cols: land.cols, values: [...land.index].map((i) => (i < 0 ? null : values[i])) };
    """
    found = asked(fine, tmp_path, script)
    got = np.array(found["values"], float).reshape(found["rows"], found["cols"])
    part = want[: got.shape[0], : got.shape[1]]
    assert (np.isfinite(got) == np.isfinite(part)).all()
    np.testing.assert_allclose(got[np.isfinite(got)], part[np.isfinite(got)], rtol=0.0052)


@needs_node
def test_uncertainty_follows_from_interval_and_mean(fine, tmp_path):
    maps = xr.load_dataset(fine / "maps" / "maps.nc", engine="h5netcdf")
    script = "return (await map.everything(map.cellAt(10.05, 20.05))).of.iloss.uncertainty;"
    want = maps["iloss_uncertainty"].sel(lat=10.05, lon=20.05, method="nearest").sel(layer=["0-200", "0-20"])
    np.testing.assert_allclose(asked(fine, tmp_path, script), want, rtol=0.03)
    assert "iloss_uncertainty" not in about_of(fine / "explorer" / "index.html")["variables"]


def test_a_sea_without_an_island_makes_no_tile(tmp_path):
    lat, lon = np.linspace(80, -80, 400), np.linspace(-170, 170, 900)
    biome = np.zeros((400, 900), np.uint8)
    biome[:50, :50] = 1
    field = np.where(biome > 0, 1.0, np.nan).astype(np.float32)[None]
    maps = xr.Dataset(
        {"iroot_mean": (("layer", "lat", "lon"), field), "biome": (("lat", "lon"), biome)},
        {"layer": ["0-200"], "lat": lat, "lon": lon},
    )
    files: dict[str, str] = {}
    cut = cut_maps(maps, variables_of(maps), files.__setitem__)
    assert sorted(cut.tiles) == ["0/0/0"] and set(files) == {f"0/0/0/{n}" for n in ("cells", "biome", "iroot_mean")}
