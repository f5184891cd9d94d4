"""Maps and totals from forests whose answer is known, and the files they are written to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rasterio
import xarray as xr

from bayes_rootc.constants import LAYERS
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.mapping import monte_carlo
from bayes_rootc.mapping.applicability import Applicability
from bayes_rootc.mapping.geotiffs import write_cogs
from bayes_rootc.mapping.learners import Calibration, FluxModel, PosteriorForest
from bayes_rootc.mapping.maps import LandCells, MapModels, map_cells
from bayes_rootc.mapping.totals import Totals, totals_tables
from bayes_rootc.mapping.variables import EVERY_MAP, FLAT, MAP_LAYERS, MapChoice, MapMode
from bayes_rootc.mapping.writers import create_store, open_store, write_netcdf, write_tile
from bayes_rootc.mapping.zones import Shares

FRACTIONS = np.broadcast_to(np.array([0.6, 0.2, 0.08, 0.05, 0.03, 0.025, 0.015]), (20, 9, 7))
I_ROOT, DENSITY = 3.0, 0.004


def constant_model(value: float, features: int, spread: float = 0.0, tau95: float = 1.959964) -> FluxModel:
    """A forest whose trees each give a constant: its members are known."""
    X = np.random.default_rng(0).standard_normal((20, features))
    draws = np.tile(np.log(value) + spread * np.linspace(-1, 1, 20), (20, 1))
    area = Applicability.fit(X, np.ones(features), np.arange(20) % 4)
    return FluxModel(PosteriorForest(20).fit(X, draws), Calibration(tau95, 0.0), area)


def models(spread: float = 0.0, tau95: float = 1.959964) -> MapModels:
    iroot, ibulk = constant_model(I_ROOT, 3, spread, tau95), constant_model(DENSITY, 5)
    return MapModels(iroot, ibulk, FRACTIONS, FRACTIONS)


def thirds(n: int) -> Shares:
    """A third of the cells in no zone, a third in each of two."""
    return Shares(np.arange(n), np.arange(n) % 3, np.ones(n))


def mapped(cells: LandCells, of: MapModels, *, mode: MapMode = "independent"):
    return map_cells(cells, of, mode=mode, zones=thirds(len(cells.index)))


@pytest.fixture
def cells():
    grid = MapGrid(10.0, (-180, -60, 180, 80))
    index = np.flatnonzero(np.arange(grid.shape[0] * grid.shape[1]) % 5 == 2)
    biome = np.where(np.arange(len(index)) % 2, 1, 6)
    return LandCells(grid, index, biome, np.zeros((len(index), 3), np.float32))


@pytest.mark.parametrize("mode", ["independent", "members", "coherent"])
def test_maps_of_constant_fluxes_are_constant(cells, mode):
    values, _ = mapped(cells, models(), mode=mode)
    np.testing.assert_allclose(values["iroot_median"][:, 7], I_ROOT, rtol=1e-4)
    by_layer = np.tile(I_ROOT * FRACTIONS[0, 0], (len(cells.index), 1))
    np.testing.assert_allclose(values["iroot_mean"][:, :7], by_layer, rtol=1e-4)
    np.testing.assert_allclose(values["ibulk_mean"][:, 7], DENSITY * 200, rtol=1e-4)
    thickness = [bottom - top for top, bottom in LAYERS]
    np.testing.assert_allclose(values["ibulk_mean"][:, :7], np.tile(thickness, (len(cells.index), 1)) * DENSITY, 1e-4)
    assert (values["iloss_probability"] == (values["iroot_mean"] > values["ibulk_mean"])).all()


@pytest.mark.parametrize("mode", ["independent", "members", "coherent"])
def test_the_bare_part_of_a_cell_has_no_flux_but_what_is_there_has_its_age(cells, mode):
    staying = dict.fromkeys(("age", "ibulk_t100"), constant_model(DENSITY / 4, 5))
    of, choice = replace(models(spread=0.3), persistence=staying), MapChoice(quantities=tuple(staying))
    green = np.tile([0.25, 1.0, 0.0], len(cells.index))[: len(cells.index)]
    bare = replace(cells, green=green)
    (grown, everywhere), (found, totals) = (map_cells(c, of, mode=mode, choice=choice) for c in (cells, bare))
    for name in ("iroot_mean", "iroot_p025", "ibulk_p975", "iloss_mean", "iloss_p025", "ibulk_t100_mean"):
        np.testing.assert_allclose(found[name], grown[name] * np.maximum(green, 1e-3)[:, None], rtol=1e-5, atol=1e-6)
    for name in ("age_mean", "share_median", "iloss_probability"):
        np.testing.assert_allclose(found[name], grown[name], rtol=1e-5, atol=1e-6)
    planted = cells.area_ha @ np.maximum(green, 1e-3)
    assert totals.area_ha.sum() == everywhere.area_ha.sum()  # of land
    np.testing.assert_allclose(totals.ibulk.sum(axis=(0, 1)), DENSITY * 200 * planted, rtol=1e-6)
    ratio = planted / cells.area_ha.sum()
    np.testing.assert_allclose(totals.iroot.sum(axis=0), everywhere.iroot.sum(axis=0) * ratio, rtol=1e-6)


def test_members_of_a_coherent_map_are_the_trees(cells):
    values, totals = mapped(cells, models(spread=0.3), mode="coherent")
    trees = I_ROOT * np.exp(0.3 * np.linspace(-1, 1, 20))
    np.testing.assert_allclose(values["iroot_p975"][:, 7], np.quantile(trees, 0.975), rtol=1e-4)
    # a total is as uncertain as each of its cells: its members are the same
    world = totals.iroot.sum(axis=0) / totals.area_ha.sum()
    np.testing.assert_allclose(np.quantile(world, 0.975), values["iroot_p975"][0, 7], rtol=1e-4)


def test_totals_are_area_times_flux_and_one_member_is_one_world(cells):
    _, totals = mapped(cells, models(spread=0.3))
    area = cells.area_ha.sum()
    assert totals.area_ha.sum() == pytest.approx(area)
    single = 2.0**-22  # leaves of up to 8 in single precision
    np.testing.assert_allclose(totals.ibulk.sum(axis=(0, 1)), DENSITY * 200 * area, rtol=single)
    # the trees' common shift is not averaged away over cells: the total varies as much as one cell does
    world = np.sort(totals.iroot.sum(axis=0)) / area
    np.testing.assert_allclose(world, I_ROOT * np.exp(0.3 * np.linspace(-1, 1, 20)), rtol=single)
    table = totals_tables(totals, FRACTIONS, ["north", "south"])["map_totals"]
    row = table[(table["biome"] == 0) & (table["layer"] == "0-200")].iloc[0]
    assert row["ibulk_mg_ha_mean"] == pytest.approx(DENSITY * 200)
    assert row["ibulk_pg_mean"] == pytest.approx(DENSITY * 200 * area / 1e9)
    assert row["share_median"] == pytest.approx(1 - DENSITY * 200 / I_ROOT, rel=0.02)


def test_deviations_of_trees_are_stretched_in_totals_as_in_cells(cells):
    _, plain = mapped(cells, models(spread=0.3))
    _, wide = mapped(cells, models(spread=0.3, tau95=2 * 1.959964))
    log_plain, log_wide = (np.log(t.iroot.sum(axis=0) / t.area_ha.sum()) for t in (plain, wide))
    middle = np.log(I_ROOT)
    np.testing.assert_allclose(log_wide - middle, 2 * (log_plain - middle), atol=1e-6)


def test_tables_add_up_however_the_land_is_parted(cells):
    _, totals = mapped(cells, models(spread=0.2))
    tables = totals_tables(totals, FRACTIONS, ["first", "second"])
    profile = {name: t[t["layer"] == "0-200"] for name, t in tables.items()}
    biomes, bands, zones = (profile[f"map_totals{n}"] for n in ("", "_latitude", "_zones"))
    world = biomes.iloc[0]
    for name in ("area_mha", "iroot_pg_mean", "ibulk_pg_mean", "iloss_pg_mean"):
        assert biomes[name].iloc[1:].sum() == pytest.approx(world[name])
        assert bands[name].sum() == pytest.approx(world[name])
    assert zones["zone"].tolist() == ["first", "second"]
    assert zones["area_mha"].sum() == pytest.approx(world["area_mha"] * 2 / 3, rel=0.1)  # a third has none
    assert (bands["north"] - bands["south"] == 10).all() and bands["north"].max() == 80
    # layers add up to the profile
    every = tables["map_totals"][tables["map_totals"]["biome"] == 0]
    assert every["iroot_pg_mean"].iloc[:7].sum() == pytest.approx(every["iroot_pg_mean"].iloc[7])


def test_independent_draws_claim_too_much(cells):
    _, totals = mapped(cells, models(spread=0.3))
    world = totals_tables(totals, FRACTIONS, [])["map_totals"].query("biome == 0 and layer == '0-200'").iloc[0]
    claimed = world["iroot_pg_independent_p975"] - world["iroot_pg_independent_p025"]
    honest = world["iroot_pg_p975"] - world["iroot_pg_p025"]
    n = len(cells.index)
    assert claimed < 3 * honest / np.sqrt(n)  # cells differ in area, so it is not exactly 1/√n
    assert world["iroot_pg_independent_p025"] < world["iroot_pg_mean"] * 1.05


def test_totals_of_parts_join_to_those_of_the_whole(cells):
    of = models(spread=0.2)
    _, whole = mapped(cells, of)
    zone = thirds(len(cells.index)).zone
    parts = []
    for some in (slice(None, 40), slice(40, None)):
        part = replace(cells, index=cells.index[some], biome=cells.biome[some], X=cells.X[some])
        zones = Shares(np.arange(len(zone[some])), zone[some], np.ones(len(zone[some])))
        parts.append(map_cells(part, of, zones=zones)[1])
    joined = Totals.joined(parts)
    for name in ("classes", "area_ha", "iroot", "ibulk", "mean", "variance"):
        np.testing.assert_allclose(getattr(joined, name), getattr(whole, name), rtol=2e-5, err_msg=name)


def test_places_like_the_training_data_are_inside_the_area_of_applicability(cells):
    of = models()
    trained = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)  # as in `constant_model`
    near = replace(cells, X=np.tile(trained[:1], (len(cells.index), 1)))
    far = replace(cells, X=near.X + 50)
    inside, outside = (mapped(c, of)[0] for c in (near, far))
    assert inside["iroot_applicability"].max() < 1e-3 < 1 < outside["iroot_applicability"].min()
    assert outside["ibulk_applicability"].min() > 1


def test_cell_numbers_are_those_of_the_globe_whatever_the_box():
    whole, part = MapGrid(10.0), MapGrid(10.0, (20, -40, 60, 10))
    numbers, inside = (
        LandCells(g, np.arange(g.shape[0] * g.shape[1]), np.ones(1), np.zeros((1, 1))).number.reshape(g.shape)
        for g in (whole, part)
    )
    np.testing.assert_array_equal(inside, numbers[8:13, 20:24])
    assert len(np.unique(numbers)) == numbers.size


@pytest.mark.parametrize("mode", ["independent", "members", "coherent"])
@pytest.mark.parametrize(
    ("layers", "statistics"),
    [
        (("0-200",), ("mean", "uncertainty")),
        (("0-20", "150-200"), ("p975",)),
        (("20-40", "0-200"), ("median", "probability", "applicability")),
        (("0-20", "0-200"), ("mean",)),
        (MAP_LAYERS, ("probability",)),
        (("40-60",), ("applicability",)),
    ],
)
def test_chosen_maps_and_totals_are_those_of_all_maps(cells, layers, statistics, mode):
    of, zones = models(spread=0.3), thirds(len(cells.index))
    how = {"mode": mode, "zones": zones}
    every, totals = map_cells(cells, of, **how)
    choice = MapChoice(layers=layers, statistics=statistics)
    some, same = map_cells(cells, of, **how, choice=choice)
    assert [*some] == [name for name in choice.names if name != "biome"]
    for name, values in some.items():
        want = every[name] if name in FLAT else every[name][:, choice.places]
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(values, want, err_msg=name)
    for name in ("classes", "area_ha", "iroot", "ibulk", "mean", "variance"):
        np.testing.assert_array_equal(getattr(same, name), getattr(totals, name))


def test_members_are_made_and_sorted_only_for_maps_that_need_them(cells, monkeypatch):
    made = []
    monkeypatch.setattr(monte_carlo, "_statistics", lambda members, asked, *_: made.append(asked) or ({}, {}))

    def asked(layers: tuple[str, ...], *statistics: str) -> monte_carlo.Asked | None:
        made.clear()
        choice = MapChoice(layers=layers, statistics=statistics)
        map_cells(cells, models(), mode="coherent", choice=choice)
        return made[0] if made else None

    assert asked(MAP_LAYERS, "applicability") is None
    assert asked(("0-200",), "probability") == ((), ("iloss",), (), False)
    assert asked(("20-40",), "uncertainty") == (("iroot", "ibulk", "iloss"), (), (1,), True)
    assert asked(MAP_LAYERS, "median") == monte_carlo.EVERYTHING


def test_files_hold_what_was_mapped(cells, tmp_path):
    values, _ = mapped(cells, models(spread=0.2))
    create_store(tmp_path / "maps.zarr", cells.grid, 8)
    store = open_store(tmp_path / "maps.zarr", write=True)
    write_tile(store, (0, 0), cells.grid, cells.index, values, cells.biome)
    written = write_cogs(tmp_path / "cog", store, cells.grid, {})
    assert len(written) == 8 * len(EVERY_MAP.layered) + len(FLAT) + 1 and not list((tmp_path / "cog").glob(".*"))
    want = np.full(cells.grid.shape[0] * cells.grid.shape[1], np.nan, np.float32)
    want[cells.index] = values["iloss_mean"][:, 7]
    want = want.reshape(cells.grid.shape)
    with rasterio.open(tmp_path / "cog" / "iloss_0-200_mean.tif") as source:
        read = source.read(1, masked=True)
        assert source.transform == cells.grid.transform and source.crs.to_epsg() == 4326
        assert source.units == ("Mg ha-1 yr-1",) and source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert source.tags()["layer_cm"] == "0-200"
    np.testing.assert_array_equal(np.ma.filled(read, np.nan), want)
    assert {"iloss_probability_0-20.tif", "iroot_applicability.tif"} <= {made.path.name for made in written}
    write_netcdf(tmp_path / "maps.nc", store, cells.grid, {})
    with xr.open_dataset(tmp_path / "maps.nc") as maps:
        np.testing.assert_array_equal(maps["iloss_mean"].sel(layer="0-200"), want)
        assert maps["iloss_mean"].attrs["units"] == "Mg ha-1 yr-1" and maps.attrs["Conventions"].startswith("CF-1.11")
        np.testing.assert_allclose(maps["depth_bnds"].values[:7], np.array(LAYERS) / 100)
        assert tuple(maps["layer"].values) == MAP_LAYERS
        assert (maps["biome"].values > 0).sum() == len(cells.index)
    with xr.open_zarr(
        tmp_path / "maps.zarr", chunks=None, consolidated=False
    ) as maps:  # a user may open the store itself
        np.testing.assert_array_equal(maps["iloss_mean"][7], want)
