"""Statistics of cells by formulas: against members, 500 of which are farther from 20,000 than the formulas are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from bayes_rootc.mapping.cell_intervals import CHOSEN, ERRORS, WEIGHT, ProductTable, interval_statistics
from bayes_rootc.mapping.monte_carlo import LEVELS, QUANTITIES, LogNormals, independent_statistics

MANY = 20_000

BIAS = {
    "iroot": {"median": 0.005},
    "ibulk": {"p025": 0.01, "median": 0.018, "p975": 0.009},
    "iloss": {"p025": 0.022, "median": 0.026, "p975": 0.011},
    "share": {"median": 0.005},
}
"""How far the level of a quantile may be off, at most; where it is not given, by 0.003."""


def shares(seed=0):
    """Draws of root shares, as sites differ in the depth to which their roots go: skewed on a log scale by
    -0.3 to -6, with heavy tails.
    """
    depth = np.exp(3.4 + 0.3 * np.random.default_rng(seed).standard_t(6, (400, 9, 1)))
    below = np.exp(-np.array([0, 20, 40, 60, 80, 100, 150, 200]) / depth)
    return -np.diff(below, axis=2) / (1 - below[..., -1:])


def cells(n=60, seed=1):
    """Cells with all standard deviations and ratios of I_bulk to I_root that maps have, and some beyond."""
    rng = np.random.default_rng(seed)
    biome, root_mean = rng.integers(1, 10, n), rng.normal(0.5, 0.5, n)
    typical = np.log(shares()).mean(axis=0)[biome - 1]
    ratio = rng.uniform(-4, 1, (n, 1)) + rng.normal(0, 0.5, (n, 7))
    sd = np.clip(rng.uniform(0.3, 1.2, (n, 1)) + rng.normal(0, 0.1, (n, 7)), 0.2, 1.4)
    root_sd = rng.uniform(0.25, 1.0, n)
    return LogNormals(root_mean, root_sd, root_mean[:, None] + typical + ratio, sd, biome, np.arange(n))


def formulas(of, correlation, **how):
    return interval_statistics(of, ProductTable.of(shares()), profile_correlation=correlation, **how)


@pytest.fixture(params=[0.0, 0.36, 0.9], scope="module")
def simulated(request):
    """Cells, their statistics by formulas and from 500 members, and 20,000 plain members, (cell, 8, member)."""
    of, rng, correlation = cells(), np.random.default_rng(7), request.param
    n = len(of.biome)
    root = np.exp(of.root_mean[:, None] + of.root_sd[:, None] * rng.standard_normal((n, MANY)))
    drawn = np.moveaxis(shares()[rng.integers(0, 400, (n, MANY)), of.biome[:, None] - 1], 2, 1)
    error = np.sqrt(correlation) * rng.standard_normal((n, 1, MANY))
    error = error + np.sqrt(1 - correlation) * rng.standard_normal((n, 7, MANY))
    bulk = np.exp(of.bulk_mean[..., None] + of.bulk_sd[..., None] * error)
    iroot = np.concatenate([root[:, None] * drawn, root[:, None]], axis=1)
    ibulk = np.concatenate([bulk, bulk.sum(axis=1, keepdims=True)], axis=1)
    members = {"iroot": iroot, "ibulk": ibulk, "iloss": iroot - ibulk, "share": 1 - ibulk / iroot}
    few = independent_statistics(of, shares(), members=500, seed=1, profile_correlation=correlation)
    return formulas(of, correlation), few, members


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_quantiles_are_those_of_20000_members(simulated, quantity):
    """By their level among the members: within what is stated, and 5 standard errors of 20,000 members."""
    got, few, members = simulated
    for name, level in LEVELS.items():
        off, off_few = (
            (members[quantity] < statistics[f"{quantity}_{name}"][..., None]).mean(axis=2) - level
            for statistics in (got, few)
        )
        noise = np.sqrt(level * (1 - level) / MANY)
        assert abs(off).max() < BIAS[quantity].get(name, 0.003) + 5 * noise, name
        uncertain = slice(7, 8) if quantity == "ibulk" else slice(0, 7)  # for the others members have a formula as well
        mine, theirs = (np.sqrt((a[:, uncertain] ** 2).mean()) for a in (off, off_few))
        assert mine < theirs / 1.5, name


def test_probabilities_are_those_of_20000_members(simulated):
    got, few, members = simulated
    positive = (members["iloss"] > 0).mean(axis=2)
    noise = np.sqrt(positive * (1 - positive) / MANY)
    assert (abs(got["iloss_probability"] - positive) < 0.004 + 5 * noise + 5 / MANY).all()
    mine, theirs = (np.sqrt(((each["iloss_probability"] - positive) ** 2).mean()) for each in (got, few))
    assert mine < theirs / 3


def test_means_and_variances_are_those_of_the_members_exactly(simulated):
    got, few, _ = simulated
    for name in (f"{flux}_{moment}" for flux in ("iroot", "ibulk") for moment in ("mean", "variance")):
        np.testing.assert_allclose(got[name], few[name], rtol=1e-5, err_msg=name)
    scale = few["iroot_mean"] + few["ibulk_mean"]  # the difference cancels
    assert (abs(got["iloss_mean"] - few["iloss_mean"]) < 1e-5 * scale).all()
    for flux in ("iroot", "ibulk", "iloss"):
        margin = (got[f"{flux}_p975"] - got[f"{flux}_p025"]) / 2
        np.testing.assert_allclose(got[f"{flux}_uncertainty"], margin / abs(got[f"{flux}_mean"]), rtol=1e-5)


def test_without_a_spread_of_shares_what_is_log_normal_is_exact():
    constant = np.broadcast_to(np.array([0.6, 0.2, 0.08, 0.05, 0.03, 0.025, 0.015]), (20, 9, 7))
    of = cells(20)
    got = interval_statistics(of, ProductTable.of(constant), profile_correlation=0.3)
    apart = of.root_mean[:, None] + np.log(constant[0, 0]) - of.bulk_mean
    both = np.hypot(of.root_sd[:, None], of.bulk_sd)
    np.testing.assert_allclose(got["iloss_probability"][:, :7], ndtr(apart / both), atol=1e-3)
    for name, level in LEVELS.items():
        root = np.exp(of.root_mean[:, None] + np.log(constant[0, 0]) + ndtri(level) * of.root_sd[:, None])
        np.testing.assert_allclose(got[f"iroot_{name}"][:, :7], root, rtol=2e-3)
        share = 1 - np.exp(-apart - ndtri(level) * both)
        np.testing.assert_allclose(1 - got[f"share_{name}"][:, :7], 1 - share, rtol=4e-3)


def test_the_cubature_has_the_moments_of_the_normal():
    """All moments up to the fifth agree, of the common error and of the errors of the layers."""
    pairs = np.einsum("pel,ek->plk", CHOSEN.reshape(len(CHOSEN), len(ERRORS), 7), ERRORS.astype(float))
    points, weight = np.concatenate([pairs[:, :1, 0], pairs[:, :, 1]], axis=1), WEIGHT.astype(float)
    assert weight.min() > 0 and weight.sum() == pytest.approx(1, abs=1e-6)
    second = np.einsum("p,pi,pj->ij", weight, points, points)
    np.testing.assert_allclose(second, np.eye(8), atol=1e-6)
    fourth = np.einsum("p,pi,pj,pk,pl->ijkl", weight, *[points] * 4)
    one = np.eye(8)
    want = sum(np.einsum(how, one, one) for how in ("ij,kl->ijkl", "ik,jl->ijkl", "il,jk->ijkl"))
    np.testing.assert_allclose(fourth, want, atol=1e-5)
    assert abs(np.einsum("p,pi,pj,pk->ijk", weight, *[points] * 3)).max() < 1e-6


def test_quantiles_are_in_order_for_any_spread():
    rng = np.random.default_rng(3)
    n = 500
    sd = 10 ** rng.uniform(-4, 0.3, (n, 8))
    of = LogNormals(rng.normal(0, 3, n), sd[:, 0], rng.normal(-3, 3, (n, 7)), sd[:, 1:], rng.integers(1, 10, n), None)
    got = formulas(of, 0.4)
    for name, values in got.items():
        assert np.isfinite(values).all(), name
    for name in QUANTITIES:
        low, middle, high = (got[f"{name}_{level}"] for level in LEVELS)
        rounding = 1e-5 * np.maximum(abs(low), abs(high))
        assert (low <= middle + rounding).all() and (middle <= high + rounding).all(), name


def test_a_cell_does_not_depend_on_its_neighbours_and_only_what_is_asked_for_is_made():
    of = cells(2500)
    whole = formulas(of, 0.4)
    pick = np.array([2499, 7, 2048])
    some = formulas(LogNormals(*(np.asarray(a)[pick] for a in of)), 0.4)
    for name in whole:
        np.testing.assert_allclose(some[name], whole[name][pick], rtol=2e-5, atol=1e-6, err_msg=name)
    few = formulas(of, 0.4, wanted=("iloss_p025",))
    assert set(few) == {f"{f}_{m}" for f in ("iroot", "ibulk", "iloss") for m in ("mean", "variance")} | {"iloss_p025"}
