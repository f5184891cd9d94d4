"""Totals over the land: area times flux, member by member, whatever the classes, the parts and the members are."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from bayes_rootc.constants import BIOMES, LAYER_NAMES, LAYERS, PROFILE_NAME
from bayes_rootc.errors import InputWarning
from bayes_rootc.mapping import totals as totals_module
from bayes_rootc.mapping.learners import PosteriorForest
from bayes_rootc.mapping.monte_carlo import FLUXES
from bayes_rootc.mapping.totals import STRIP, Classes, Totals, Trees, distinct, sum_cells, totals_tables

CELLS, MEMBERS = 60, 7
SHARES = np.array([0.6, 0.2, 0.08, 0.05, 0.03, 0.025, 0.015])
THICKNESS = np.array([bottom - top for top, bottom in LAYERS])


def land(seed: int = 0, classes: int = 12) -> Totals:
    """Totals of classes of some biomes, bands and zones, from members of their own."""
    rng = np.random.default_rng(seed)
    labels = np.stack([rng.choice([1, 3, 6], classes), rng.choice([-10, 0, 40], classes), rng.integers(0, 3, classes)])
    labels, at = np.unique(labels.T, axis=0, return_inverse=True)
    area = np.bincount(at, rng.uniform(1e6, 5e6, classes))
    iroot = area[:, None] * rng.lognormal(1.0, 0.3, (len(area), MEMBERS))
    ibulk = area[:, None, None] * rng.lognormal(-2.5, 0.3, (len(area), 7, MEMBERS))
    mean, variance = rng.uniform(1e6, 1e7, (2, len(area), 3, 8))
    return Totals(labels, area, iroot, ibulk, mean, variance)


def row_of(table, layer: str = PROFILE_NAME, **where):
    """The row of a layer and a class."""
    rows = table[table["layer"] == layer]
    for name, value in where.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_totals_of_a_constant_flux_are_flux_times_area():
    area, root, bulk = np.array([2e6, 3e6, 5e6]), 4.0, 0.2
    classes = np.array([[1, 0, 1], [1, 10, 0], [9, 10, 2]])
    iroot, ibulk = root * area[:, None] * np.ones(MEMBERS), bulk * area[:, None, None] * np.ones((7, MEMBERS))
    totals = Totals(classes, area, iroot, ibulk, *np.zeros((2, 3, 3, 8)))
    tables = totals_tables(totals, np.broadcast_to(SHARES, (MEMBERS, 9, 7)), ["first", "second"])
    places = [("map_totals", {"biome": 0}, 10e6), ("map_totals", {"biome": 1}, 5e6), ("map_totals", {"biome": 9}, 5e6)]
    places += [("map_totals_latitude", {"south": 0, "north": 10}, 2e6), ("map_totals_latitude", {"south": 10}, 8e6)]
    places += [("map_totals_zones", {"zone": "first"}, 2e6), ("map_totals_zones", {"zone": "second"}, 5e6)]
    for name, where, hectares in places:
        for layer, share in zip((*LAYER_NAMES, PROFILE_NAME), (*SHARES, 1.0), strict=True):
            row = row_of(tables[name], layer, **where)
            into = bulk * (7 if layer == PROFILE_NAME else 1)
            want = {"iroot": root * share, "ibulk": into, "iloss": root * share - into}
            for flux, value in want.items():
                for key in ("mean", "median", "p025", "p975"):
                    assert row[f"{flux}_mg_ha_{key}"] == pytest.approx(value), (where, layer, flux)
                    assert row[f"{flux}_pg_{key}"] == pytest.approx(value * hectares / 1e9), (where, layer, flux)
            assert row["share_median"] == pytest.approx(1 - into / (root * share))
            assert row["area_mha"] == pytest.approx(hectares / 1e6)


def test_rows_are_the_world_and_the_biomes_bands_and_zones_that_have_land():
    totals = land()
    with pytest.warns(InputWarning, match=r"zones without a mapped cell, .*: nowhere;"):
        tables = totals_tables(totals, np.broadcast_to(SHARES, (1, 9, 7)), ["a", "b", "nowhere"])
    layers = [*LAYER_NAMES, PROFILE_NAME]
    for table, column, want in (
        ("map_totals", "biome_name", ["global", BIOMES[1], BIOMES[3], BIOMES[6]]),
        ("map_totals_latitude", "south", [40, 0, -10]),
        ("map_totals_zones", "zone", ["a", "b"]),
    ):
        assert tables[table][column].tolist() == [name for name in want for _ in layers]
        assert tables[table]["layer"].tolist() == layers * len(want)
    assert "map_totals_zones" not in totals_tables(totals, np.broadcast_to(SHARES, (1, 9, 7)), [])


def test_intervals_are_over_members_each_of_which_is_one_world():
    """Member m: the sum over classes of tree m of both forests and, of the shares, of which there are fewer, draw m mod
    their number.
    """
    totals, shares = land(1), np.random.default_rng(2).dirichlet(np.arange(8, 1, -1), (3, 9))
    root, bulk = np.zeros((2, 7, MEMBERS))
    for c, (biome, _, _) in enumerate(totals.classes):
        for m in range(MEMBERS):
            root[:, m] += totals.iroot[c, m] * shares[m % 3, biome - 1]
            bulk[:, m] += totals.ibulk[c, :, m]
    table = totals_tables(totals, shares, [])["map_totals"]
    for layer, (i, b) in {
        "20-40": (root[1], bulk[1]),
        PROFILE_NAME: (root.sum(axis=0), bulk.sum(axis=0)),
    }.items():
        row = row_of(table, layer, biome=0)
        for flux, members in {"iroot": i, "ibulk": b, "iloss": i - b}.items():
            for key, level in (("p025", 0.025), ("median", 0.5), ("p975", 0.975)):
                assert row[f"{flux}_pg_{key}"] == pytest.approx(np.quantile(members, level) / 1e9), (layer, flux)
            assert row[f"{flux}_mg_ha_mean"] == pytest.approx(members.mean() / totals.area_ha.sum())
        assert row["share_p025"] == pytest.approx(np.quantile(1 - b / i, 0.025))


def test_what_independent_draws_would_have_claimed_is_a_normal_interval_of_the_summed_variances():
    totals = land(3)
    table = totals_tables(totals, np.broadcast_to(SHARES, (1, 9, 7)), [])["map_totals"]
    here = totals.classes[:, 0] == 3
    for number, flux in enumerate(FLUXES):
        row = row_of(table, "60-80", biome=3)
        low, high = row[f"{flux}_pg_independent_p025"], row[f"{flux}_pg_independent_p975"]
        assert (low + high) / 2 == pytest.approx(totals.mean[here, number, 3].sum() / 1e9)
        assert (high - low) / 2 == pytest.approx(1.959964 * np.sqrt(totals.variance[here, number, 3].sum()) / 1e9)


def test_parts_of_the_land_add_up_class_by_class():
    whole = land(4)
    some = np.arange(len(whole.classes)) % 2 == 0
    for name in (f.name for f in fields(Totals)):  # classes that both parts have, or only one
        joined = Totals.joined([whole.over(some), whole.over(~some), whole.over(some)])
        want = getattr(whole, name) if name == "classes" else (getattr(whole, name).T * np.where(some, 2, 1)).T
        np.testing.assert_allclose(getattr(joined, name), want, err_msg=name)


def summed(labels, cell, area, share, X, trees, moments) -> Totals:
    """Totals of parts of cells, from the trees of both fluxes."""
    classes = Classes.of(labels, cell, area, share)
    root, bulk = (of_flux.flux(X, classes).sums for of_flux in trees)
    return sum_cells(classes, root[:, 0], bulk, moments)


def test_cells_that_are_alike_are_summed_as_one():
    rng = np.random.default_rng(8)
    different = rng.standard_normal((CELLS // 4, 3)).astype(np.float32)
    X = different[rng.integers(0, len(different), CELLS)]
    rows, at = distinct(X)
    np.testing.assert_array_equal(rows[at], X)
    assert len(rows) == len(np.unique(X, axis=0)) < CELLS and (np.diff(np.unique(at, return_index=True)[1]) > 0).all()
    cell = np.concatenate([np.arange(CELLS), np.arange(0, CELLS, 3)])  # a third of the cells lies in two classes
    labels = rng.integers(1, 3, (len(cell), 3))
    classes = Classes.of(labels, cell, rng.uniform(1e5, 2e5, CELLS), rng.uniform(0.2, 0.5, len(cell)))
    forest = PosteriorForest(MEMBERS, random_state=1).fit(rng.standard_normal((200, 3)), rng.standard_normal((200, 4)))
    whole = Trees(forest.compiled(), 1.3, np.zeros(CELLS)).flux(X, classes)
    fewer = Trees(forest.compiled(), 1.3, np.zeros(len(rows))).flux(rows, classes.merged(at))
    np.testing.assert_array_equal(fewer.mean[at], whole.mean)
    np.testing.assert_array_equal(fewer.sd[at], whole.sd)
    np.testing.assert_allclose(fewer.sums, whole.sums, rtol=1e-9)  # as its exponential is right


def test_no_cell_is_no_row():
    rows, at = distinct(np.empty((0, 4), np.float32))
    assert rows.shape == (0, 4) and at.shape == (0,)


@pytest.mark.parametrize("stretch", [(1.0, 1.0), (1.7, 0.6)])
def test_cells_are_summed_tree_by_tree_with_their_deviations_stretched(stretch):
    """Against the sum written out: area · thickness · factor · exp(mean + stretch · (tree − mean)) of every cell."""
    rng = np.random.default_rng(5)
    X, depth = rng.standard_normal((CELLS, 3)), np.tile([[0, 20], [100, 150]], (CELLS // 2, 1))
    rooted = PosteriorForest(MEMBERS, random_state=1).fit(X, 1 + 0.3 * X[:, :1] + 0.1 * rng.standard_normal((CELLS, 4)))
    layered = np.c_[X, depth]
    buried = PosteriorForest(MEMBERS, random_state=2).fit(layered, -5 + X[:, 1] - 0.01 * depth[:, 0])
    forests = rooted.compiled(), buried.compiled(LAYERS)
    cells = X.astype(np.float32)
    trees = [forest.members(cells).astype(float) for forest in forests]
    means = trees[0].mean(axis=-1), trees[1].mean(axis=-1)
    classes = np.stack([rng.choice([1, 9], CELLS), np.zeros(CELLS, int), rng.integers(0, 2, CELLS)], axis=1)
    area = rng.uniform(1e3, 2e3, CELLS)
    moments = {f"{flux}_{name}": rng.uniform(0.5, 1, (CELLS, 8)) for flux in FLUXES for name in ("mean", "variance")}
    factors = 0.2 * rng.standard_normal(CELLS), 0.2 * rng.standard_normal((CELLS, 7))
    stretched = [Trees(*of_flux) for of_flux in zip(forests, stretch, factors, strict=True)]
    totals = summed(classes, np.arange(CELLS), area, np.ones(CELLS), cells, stretched, moments)
    iroot, ibulk = (
        np.exp((m + f)[..., None] + s * (t - m[..., None]))
        for m, s, t, f in zip(means, stretch, trees, factors, strict=True)
    )
    np.testing.assert_array_equal(totals.classes, np.unique(classes, axis=0))
    for c, label in enumerate(totals.classes):
        here = (classes == label).all(axis=1)
        assert totals.area_ha[c] == pytest.approx(area[here].sum())
        # trees are compared in single precision
        np.testing.assert_allclose(totals.iroot[c], area[here] @ iroot[here], rtol=1e-5)
        by_layer = np.einsum("n,nlm->lm", area[here], ibulk[here] * THICKNESS[:, None])
        np.testing.assert_allclose(totals.ibulk[c], by_layer, rtol=1e-5)
        for number, flux in enumerate(FLUXES):
            np.testing.assert_allclose(totals.mean[c, number], area[here] @ moments[f"{flux}_mean"][here])
            np.testing.assert_allclose(totals.variance[c, number], area[here] ** 2 @ moments[f"{flux}_variance"][here])


def test_a_negative_variance_of_rounding_is_none():
    totals = land(6)
    flat = replace(totals, variance=np.full_like(totals.variance, -1e-9))
    row = row_of(totals_tables(flat, np.broadcast_to(SHARES, (1, 9, 7)), [])["map_totals"], biome=0)
    assert row["iloss_pg_independent_p025"] == row["iloss_pg_independent_p975"]


def test_parts_of_cells_add_up_to_them():
    """Cells that two zones share, against the same cells whole."""
    rng = np.random.default_rng(8)
    X = rng.standard_normal((CELLS, 3)).astype(np.float32)
    forest = PosteriorForest(MEMBERS, random_state=1).fit(X, 1 + 0.3 * X[:, :1] + 0.1 * rng.standard_normal((CELLS, 4)))
    layered = PosteriorForest(MEMBERS, random_state=2).fit(np.c_[X, X[:, :2] > 0], -5 + X[:, 1])
    forests = forest.compiled(), layered.compiled(LAYERS)
    means = [f.members(X).astype(float).mean(axis=-1) for f in forests]
    trees = [Trees(f, s, 0 * m) for f, m, s in zip(forests, means, (1.3, 0.8), strict=True)]
    moments = {f"{flux}_{name}": rng.uniform(0.5, 1, (CELLS, 8)) for flux in FLUXES for name in ("mean", "variance")}
    area, share, one = rng.uniform(1e3, 2e3, CELLS), rng.uniform(0, 1, CELLS), np.ones((CELLS, 3), int)
    whole = summed(one, np.arange(CELLS), area, np.ones(CELLS), X, trees, moments)
    twice = np.r_[np.arange(CELLS), np.arange(CELLS)]
    classes = np.r_[one, one + np.array([0, 0, 1])]
    parted = summed(classes, twice, area, np.r_[share, 1 - share], X, trees, moments)
    assert len(parted.classes) == 2 and parted.area_ha[0] == pytest.approx((area * share).sum())
    for name in ("area_ha", "iroot", "ibulk", "mean", "variance"):
        np.testing.assert_allclose(getattr(parted, name).sum(axis=0), getattr(whole, name)[0], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("cells", [STRIP - 1, 3 * STRIP + 5])
def test_mean_and_spread_come_with_the_sums(cells, monkeypatch):
    """Those of the forest itself, whose leaves are in double precision here and in single precision there."""
    monkeypatch.setattr(totals_module, "TILE", 2 * STRIP)  # several tiles, of several strips
    rng = np.random.default_rng(9)
    X = rng.standard_normal((cells, 3)).astype(np.float32)
    y = -5 + X[:, 1:2] + 0.1 * rng.standard_normal((cells, 4))
    layered = PosteriorForest(MEMBERS, random_state=2).fit(np.c_[X, X[:, :2] > 0], y).compiled(LAYERS)
    labels = np.stack([rng.integers(1, 10, cells), np.zeros(cells, int), np.zeros(cells, int)], axis=1)
    classes = Classes.of(labels, np.arange(cells), np.ones(cells), np.ones(cells))
    flux = Trees(layered, 1.3, np.zeros((cells, 7))).flux(X, classes)
    mean, sd = layered.mean_and_std(X)
    np.testing.assert_allclose(flux.mean, mean, atol=5e-7 * abs(y).max())
    np.testing.assert_allclose(flux.sd, sd, atol=1e-6 * abs(y).max())
