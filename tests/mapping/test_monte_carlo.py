"""I_loss by Monte Carlo: against the log-normal and a plain simulation, and the same however the map is cut."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from bayes_rootc.mapping.monte_carlo import LogNormals, coherent_statistics, independent_statistics


def cells(n, seed=0):
    rng = np.random.default_rng(seed)
    fractions = np.broadcast_to(np.array([0.6, 0.2, 0.08, 0.05, 0.03, 0.025, 0.015]), (10, 9, 7))
    return {
        "root_mean": rng.normal(0.5, 0.5, n),
        "root_sd": np.full(n, 0.4),
        "bulk_mean": rng.normal(-3, 0.5, (n, 7)),
        "bulk_sd": np.full((n, 7), 0.6),
        "fractions": fractions,
        "biome": rng.integers(1, 10, n),
        "cell": np.arange(n),
    }


def statistics(x, **how):
    fluxes = LogNormals(**{name: value for name, value in x.items() if name != "fractions"})
    return independent_statistics(fluxes, x["fractions"], **how)


def simulated(x, members, seed, profile_correlation):
    """I_root and I_bulk as the model says, (cell, 8, member), the profile last: members of a generator of its own."""
    rng = np.random.default_rng(seed)
    n = len(x["biome"])
    root = np.exp(x["root_mean"][:, None] + x["root_sd"][:, None] * rng.standard_normal((n, members)))
    draw = rng.integers(0, len(x["fractions"]), (n, members))
    shares = np.moveaxis(x["fractions"][draw, x["biome"][:, None] - 1], 2, 1)
    common, own = rng.standard_normal((n, 1, members)), rng.standard_normal((n, 7, members))
    error = np.sqrt(profile_correlation) * common + np.sqrt(1 - profile_correlation) * own
    bulk = np.exp(x["bulk_mean"][:, :, None] + x["bulk_sd"][:, :, None] * error)
    iroot = np.concatenate([root[:, None] * shares, root[:, None]], axis=1)
    return iroot, np.concatenate([bulk, bulk.sum(axis=1, keepdims=True)], axis=1)


def test_means_and_quantiles_are_those_of_the_log_normal():
    x = cells(4)
    got = statistics(x, members=50, seed=1, profile_correlation=0.0)
    np.testing.assert_allclose(got["iroot_mean"][:, -1], np.exp(x["root_mean"] + 0.4**2 / 2), rtol=1e-6)
    np.testing.assert_allclose(got["iroot_median"][:, -1], np.exp(x["root_mean"]), rtol=1e-6)
    np.testing.assert_allclose(got["iroot_p975"][:, -1], np.exp(x["root_mean"] + 1.959964 * 0.4), rtol=1e-6)
    np.testing.assert_allclose(got["ibulk_mean"][:, :7], np.exp(x["bulk_mean"] + 0.6**2 / 2), rtol=1e-6)
    np.testing.assert_allclose(got["iloss_mean"], got["iroot_mean"] - got["ibulk_mean"], atol=1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_statistics_are_those_of_a_plain_simulation(correlation):
    """Within 5 standard errors: there are some two thousand comparisons."""
    members, rng = 20_000, np.random.default_rng(6)
    x = cells(12) | {"fractions": rng.dirichlet(np.arange(8, 1, -1), (200, 9))}
    got = statistics(x, members=members, seed=1, profile_correlation=correlation)
    iroot, ibulk = simulated(x, members, 0, correlation)
    for name, values in {"iroot": iroot, "ibulk": ibulk, "iloss": iroot - ibulk, "share": 1 - ibulk / iroot}.items():
        if name != "share":
            mean, sd = values.mean(axis=2), values.std(axis=2)
            assert (abs(got[f"{name}_mean"] - mean) < 5 * sd / np.sqrt(members)).all(), name
            fourth = ((values - mean[..., None]) ** 4).mean(axis=2)
            error = np.sqrt((fourth - sd**4) / members)
            assert (abs(got[f"{name}_variance"] - sd**2) < 5 * error).all(), name
        # A quantile's rank has two errors: of the members that it is from, and of those that it is compared with.
        for level, quantile in ((0.025, "p025"), (0.5, "median"), (0.975, "p975")):
            below = (values < got[f"{name}_{quantile}"][..., None]).mean(axis=2)
            assert (abs(below - level) < 5 * np.sqrt(2 * level * (1 - level) / members)).all(), (name, quantile)
    positive = (iroot > ibulk).mean(axis=2)
    likely = (positive + got["iloss_probability"]) / 2  # where all but none or all are positive, they come as Poisson's
    allowed = 5 * np.sqrt(2 * likely * (1 - likely) / members) + 10 / members
    assert (abs(got["iloss_probability"] - positive) < allowed).all()


def test_layers_of_roots_add_up_to_the_profile():
    got = statistics(cells(6), members=200, seed=1, profile_correlation=0.3)
    np.testing.assert_allclose(got["iroot_mean"][:, :7].sum(axis=1), got["iroot_mean"][:, -1], rtol=1e-5)


def test_correlated_layers_make_the_profile_more_uncertain():
    alone, together = (statistics(cells(8), members=4000, seed=2, profile_correlation=r) for r in (0.0, 1.0))
    np.testing.assert_allclose(alone["ibulk_uncertainty"][:, 0], together["ibulk_uncertainty"][:, 0], rtol=0.15)
    assert (together["ibulk_uncertainty"][:, -1] > 1.2 * alone["ibulk_uncertainty"][:, -1]).all()


def test_a_cell_does_not_depend_on_its_neighbours_or_on_the_chunk():
    x = cells(2500)  # more than one chunk
    whole = statistics(x, members=60, seed=3, profile_correlation=0.4)
    pick = np.array([2499, 7, 2048])
    part = {name: (value if name == "fractions" else value[pick]) for name, value in x.items()}
    some = statistics(part, members=60, seed=3, profile_correlation=0.4)
    for name in whole:
        np.testing.assert_allclose(some[name], whole[name][pick], rtol=2e-5, atol=1e-6, err_msg=name)


def test_certain_signs_have_certain_probabilities():
    x = cells(2) | {"bulk_sd": np.full((2, 7), 1e-6), "root_sd": np.full(2, 1e-6)}
    x["bulk_mean"] = np.tile([[-9.0], [9.0]], (1, 7))
    got = statistics(x, members=50, seed=1, profile_correlation=0.0)
    assert got["iloss_probability"][0].min() == 1 and got["iloss_probability"][1].max() == 0


def test_errors_are_paired_at_random():
    """P(I_loss > 0) of cells that are alike, of few members: right on average, as it is only where errors of I_root and
    of I_bulk are independent. It scatters as far as Latin hypercubes let it: without what either error explains alone.
    """
    n, members, apart, root_sd, bulk_sd = 2000, 100, 0.72, 0.4, 0.6  # as in `cells`
    x = cells(n) | {"root_mean": np.full(n, -1.0)}
    x["bulk_mean"] = x["root_mean"][:, None] + np.log(x["fractions"][0, 0]) - apart
    got = statistics(x, members=members, seed=4, profile_correlation=0.0)["iloss_probability"][:, :7]
    exact = ndtr(apart / np.hypot(root_sd, bulk_sd))
    assert (abs(got.mean(axis=0) - exact) < 4 * np.sqrt(exact * (1 - exact) / (n * members))).all()
    z, weight = np.polynomial.hermite_e.hermegauss(61)
    given = ndtr((apart + root_sd * z) / bulk_sd), ndtr((apart + bulk_sd * z) / root_sd)
    explained = sum(weight @ p**2 / weight.sum() - exact**2 for p in given)
    scatter = np.sqrt((exact * (1 - exact) - explained) / members)
    # 4 standard errors, and half as much again: the cells share few lists of members
    np.testing.assert_allclose(got.std(axis=0), scatter, rtol=6 / np.sqrt(2 * n))
    between_layers = np.corrcoef(got.T)[~np.eye(7, dtype=bool)]
    assert (abs(between_layers) < 4 / np.sqrt(n)).all()


def test_on_a_device_the_statistics_are_the_same(monkeypatch):
    x = cells(70)
    here = statistics(x, members=90, seed=3, profile_correlation=0.4)
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    there = statistics(x, members=90, seed=3, profile_correlation=0.4)
    for name in here:
        np.testing.assert_allclose(there[name], here[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_coherent_members_are_summarised_as_they_are():
    rng = np.random.default_rng(0)
    root, bulk = rng.normal(0, 0.3, (9, 50)), rng.normal(-3, 0.3, (9, 7, 50))
    shares, biome = rng.dirichlet(np.ones(7), (50, 9)), rng.integers(1, 10, 9)
    got = coherent_statistics(root, bulk, shares, biome)
    by_cell = shares[:, biome - 1].transpose(1, 2, 0)  # (cell, layer, member)
    iroot, ibulk = np.exp(root)[:, None] * by_cell, np.exp(bulk)
    loss = iroot - ibulk
    np.testing.assert_allclose(got["iloss_mean"][:, :7], loss.mean(axis=2), rtol=1e-4, atol=1e-6)
    whole = loss.sum(axis=1)
    np.testing.assert_allclose(got["iloss_p975"][:, 7], np.quantile(whole, 0.975, axis=1), rtol=1e-4)
    np.testing.assert_allclose(got["iloss_probability"][:, 7], (whole > 0).mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(got["iroot_variance"][:, 7], np.exp(root).var(axis=1), rtol=1e-3)
    share = np.quantile(loss / iroot, [0.025, 0.5, 0.975], axis=2)
    for name, want in zip(("p025", "median", "p975"), share, strict=True):
        np.testing.assert_allclose(got[f"share_{name}"][:, :7], want, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["iroot", "ibulk", "iloss"])
def test_quantiles_are_in_order(name):
    got = statistics(cells(50), members=100, seed=5, profile_correlation=0.2)
    assert (got[f"{name}_p025"] <= got[f"{name}_median"]).all() and (got[f"{name}_median"] <= got[f"{name}_p975"]).all()
