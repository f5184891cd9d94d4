"""Maps and totals from forests whose answer is known, and the files they are written to."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import xarray as xr

from bayes_rootc.constants import LAYERS
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.data.tables import SourceCheck
from bayes_rootc.mapping.learners import Calibration, FluxModel, PosteriorForest
from bayes_rootc.mapping.maps import (
    MAP_LAYERS,
    LandCells,
    make_maps,
    member_totals,
    predict_fields,
    totals_table,
)
from bayes_rootc.mapping.writers import write_cogs, write_netcdf

FRACTIONS = np.broadcast_to(np.array([0.6, 0.2, 0.08, 0.05, 0.03, 0.025, 0.015]), (20, 9, 7))
I_ROOT, DENSITY = 3.0, 0.004


def constant_model(value: float, features: int, spread: float = 0.0) -> FluxModel:
    """A forest whose trees each give a constant: its members are known."""
    X = np.zeros((20, features))
    draws = np.tile(np.log(value) + spread * np.linspace(-1, 1, 20), (20, 1))
    return FluxModel(PosteriorForest(20).fit(X, draws), Calibration(1.959964, 0.0))


def maps_of(cells: LandCells) -> xr.Dataset:
    fields = predict_fields(cells, constant_model(I_ROOT, 3), constant_model(DENSITY, 5))
    return make_maps(cells, fields, FRACTIONS, members=20, seed=1, profile_correlation=0.0)


@pytest.fixture
def cells():
    grid = MapGrid(10.0, (-180, -60, 180, 80))
    index = np.flatnonzero(np.arange(grid.shape[0] * grid.shape[1]) % 5 == 2)
    biome = np.where(np.arange(len(index)) % 2, 1, 6)
    return LandCells(grid, index, biome, np.zeros((len(index), 3), np.float32), SourceCheck("cells", ""))


def test_maps_of_constant_fluxes_are_constant_and_only_on_land(cells):
    maps = maps_of(cells)
    land = np.isin(np.arange(maps["biome"].size), cells.index).reshape(maps["biome"].shape)
    np.testing.assert_array_equal(np.isfinite(maps["iloss_mean"].values).all(axis=0), land)
    assert (maps["biome"].values > 0).tolist() == land.tolist()
    profile = maps.sel(layer="0-200")
    assert float(profile["iroot_median"].max()) == pytest.approx(I_ROOT, rel=1e-4)
    assert float(profile["ibulk_mean"].min()) == pytest.approx(DENSITY * 200, rel=1e-4)
    thin, thick = (float(maps["ibulk_mean"].sel(layer=name).max()) for name in ("80-100", "100-150"))
    assert thick / thin == pytest.approx(2.5, rel=1e-4)


def test_totals_are_area_times_flux_and_one_member_is_one_world(cells):
    iroot, ibulk = constant_model(I_ROOT, 3, spread=0.3), constant_model(DENSITY, 5)
    totals = member_totals(cells, iroot, ibulk, FRACTIONS)
    area = cells.area_ha.sum()
    assert totals["area_ha"][0] == pytest.approx(area)
    np.testing.assert_allclose(totals["ibulk"][:, 0].sum(axis=1), DENSITY * 200 * area, rtol=1e-6)
    # the trees' common shift is not averaged away over cells: the total varies as much as one cell does
    world = totals["iroot"][:, 0].sum(axis=1) / area
    np.testing.assert_allclose(np.sort(world), I_ROOT * np.exp(0.3 * np.linspace(-1, 1, 20)), rtol=1e-5)
    np.testing.assert_allclose(totals["iroot"][:, 0], totals["iroot"][:, 1:].sum(axis=1))
    table = totals_table(totals)
    row = table[(table["biome"] == 0) & (table["layer"] == "0-200")].iloc[0]
    assert row["ibulk_mg_ha_mean"] == pytest.approx(DENSITY * 200)
    assert row["ibulk_pg_mean"] == pytest.approx(DENSITY * 200 * area / 1e9)
    assert row["share_median"] == pytest.approx(1 - DENSITY * 200 / I_ROOT, rel=0.02)


def test_cell_numbers_are_those_of_the_globe_whatever_the_box():
    whole, part = MapGrid(10.0), MapGrid(10.0, (20, -40, 60, 10))
    numbers = LandCells(
        whole, np.arange(18 * 36), np.ones(18 * 36, int), np.zeros((18 * 36, 1)), SourceCheck("cells", "")
    ).number.reshape(18, 36)
    inside = LandCells(
        part, np.arange(20), np.ones(20, int), np.zeros((20, 1)), SourceCheck("cells", "")
    ).number.reshape(5, 4)
    np.testing.assert_array_equal(inside, numbers[8:13, 20:24])
    assert len(np.unique(numbers)) == numbers.size


def test_files_hold_what_was_mapped(cells, tmp_path):
    maps = maps_of(cells)
    written = write_cogs(tmp_path, maps, cells.grid)
    assert len(written) == 3 * 8 * 5 + 8
    with rasterio.open(tmp_path / "iloss_0-200_mean.tif") as source:
        values = source.read(1, masked=True)
        assert source.transform == cells.grid.transform and source.crs.to_epsg() == 4326
        assert source.units == ("Mg ha-1 yr-1",) and source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    want = maps["iloss_mean"].sel(layer="0-200").values
    np.testing.assert_array_equal(np.ma.filled(values, np.nan), want)
    assert (tmp_path / "iloss_probability_0-20.tif").exists()
    write_netcdf(tmp_path / "maps.nc", maps, title="t", history="h")
    with xr.open_dataset(tmp_path / "maps.nc") as read:
        np.testing.assert_array_equal(read["iloss_mean"].sel(layer="0-200"), want)
        assert read["iloss_mean"].attrs["units"] == "Mg ha-1 yr-1" and read.attrs["Conventions"] == "CF-1.11"
        np.testing.assert_allclose(read["depth_bnds"].values[:7], np.array(LAYERS) / 100)
        assert tuple(read["layer"].values) == MAP_LAYERS
