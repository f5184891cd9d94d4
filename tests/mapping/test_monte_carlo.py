"""I_loss members: against moments of the log-normal, and invariant to how the map is cut."""

from __future__ import annotations

import numpy as np
import pytest

from bayes_rootc.mapping import monte_carlo
from bayes_rootc.mapping.monte_carlo import coherent_statistics, independent_statistics


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


def members_of(x, members, seed, profile_correlation):
    """I_root and I_bulk, (cell, 8, member), the profile last."""
    fractions = np.moveaxis(x["fractions"], 0, 2).astype(np.float32)
    lists = monte_carlo._lists_of_members(7, fractions.shape[2], members, seed)
    common = fractions, np.uint32(seed), np.float32(profile_correlation), *lists
    fields = [x[name].astype(np.float32) for name in ("root_mean", "root_sd", "bulk_mean", "bulk_sd")]
    layers, profile = monte_carlo._independent_members(common, *fields, x["biome"], x["cell"].astype(np.uint32))
    return [np.concatenate([a, np.asarray(b)[:, None]], axis=1) for a, b in zip(layers, profile, strict=True)]


def test_means_and_quantiles_are_those_of_the_log_normal():
    x = cells(4)
    got = independent_statistics(**x, members=50, seed=1, profile_correlation=0.0)
    np.testing.assert_allclose(got["iroot_mean"][:, -1], np.exp(x["root_mean"] + 0.4**2 / 2), rtol=1e-6)
    np.testing.assert_allclose(got["iroot_median"][:, -1], np.exp(x["root_mean"]), rtol=1e-6)
    np.testing.assert_allclose(got["iroot_p975"][:, -1], np.exp(x["root_mean"] + 1.959964 * 0.4), rtol=1e-6)
    np.testing.assert_allclose(got["ibulk_mean"][:, :7], np.exp(x["bulk_mean"] + 0.6**2 / 2), rtol=1e-6)
    np.testing.assert_allclose(got["iloss_mean"], got["iroot_mean"] - got["ibulk_mean"], atol=1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_formulas_are_what_many_members_come_to(correlation):
    members, rng = 20_000, np.random.default_rng(6)
    x = cells(30) | {"fractions": rng.dirichlet(np.arange(8, 1, -1), (200, 9))}
    got = independent_statistics(**x, members=members, seed=1, profile_correlation=correlation)
    iroot, ibulk = members_of(x, members, 1, correlation)
    for name, values in {"iroot": iroot, "ibulk": ibulk, "iloss": iroot - ibulk}.items():
        mean, sd = values.mean(axis=2), values.std(axis=2)
        assert (abs(got[f"{name}_mean"] - mean) < 4 * sd / np.sqrt(members)).all(), name
        fourth = ((values - mean[..., None]) ** 4).mean(axis=2)
        error = np.sqrt((fourth - sd**4) / members)
        assert (abs(got[f"{name}_variance"] - sd**2) < 4 * error).all(), name
        # A quantile's place among members is off by so many of them.
        for level, quantile in ((0.025, "p025"), (0.5, "median"), (0.975, "p975")):
            below = (values < got[f"{name}_{quantile}"][..., None]).mean(axis=2)
            assert (abs(below - level) < 4 * np.sqrt(level * (1 - level) / members)).all(), (name, quantile)


def test_layers_of_roots_add_up_to_the_profile():
    got = independent_statistics(**cells(6), members=200, seed=1, profile_correlation=0.3)
    np.testing.assert_allclose(got["iroot_mean"][:, :7].sum(axis=1), got["iroot_mean"][:, -1], rtol=1e-5)


def test_correlated_layers_make_the_profile_more_uncertain():
    alone, together = (
        independent_statistics(**cells(8), members=4000, seed=2, profile_correlation=r) for r in (0.0, 1.0)
    )
    np.testing.assert_allclose(alone["ibulk_uncertainty"][:, 0], together["ibulk_uncertainty"][:, 0], rtol=0.15)
    assert (together["ibulk_uncertainty"][:, -1] > 1.2 * alone["ibulk_uncertainty"][:, -1]).all()


def test_a_cell_does_not_depend_on_its_neighbours_or_on_the_chunk():
    x = cells(2500)  # more than one chunk
    whole = independent_statistics(**x, members=60, seed=3, profile_correlation=0.4)
    pick = np.array([2499, 7, 2048])
    part = {name: (value if name == "fractions" else value[pick]) for name, value in x.items()}
    some = independent_statistics(**part, members=60, seed=3, profile_correlation=0.4)
    for name in whole:
        np.testing.assert_allclose(some[name], whole[name][pick], rtol=2e-5, atol=1e-6, err_msg=name)


def test_certain_signs_have_certain_probabilities():
    x = cells(2) | {"bulk_sd": np.full((2, 7), 1e-6), "root_sd": np.full(2, 1e-6)}
    x["bulk_mean"] = np.tile([[-9.0], [9.0]], (1, 7))
    got = independent_statistics(**x, members=50, seed=1, profile_correlation=0.0)
    assert got["iloss_probability"][0].min() == 1 and got["iloss_probability"][1].max() == 0


def test_errors_are_paired_at_random():
    """Averaged over cells, independent errors leave no covariance: the variance of a difference is the sum."""
    n, members = 2000, 100
    x = cells(n) | {"root_mean": np.full(n, -1.0), "bulk_mean": np.full((n, 7), -1.5)}
    iroot, ibulk = (a[:, 0] for a in members_of(x, members, 4, 0.0))
    root, bulk, loss = (a.var(axis=1) for a in (iroot, ibulk, iroot - ibulk))
    correlation = (root + bulk - loss) / (2 * np.sqrt(root * bulk))
    assert abs(correlation.mean()) < 4 / np.sqrt(members * n)
    assert correlation.std() == pytest.approx(1 / np.sqrt(members), rel=4 / np.sqrt(2 * n))


def test_on_a_device_the_statistics_are_the_same(monkeypatch):
    x = cells(70)
    here = independent_statistics(**x, members=90, seed=3, profile_correlation=0.4)
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    there = independent_statistics(**x, members=90, seed=3, profile_correlation=0.4)
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
    got = independent_statistics(**cells(50), members=100, seed=5, profile_correlation=0.2)
    assert (got[f"{name}_p025"] <= got[f"{name}_median"]).all() and (got[f"{name}_median"] <= got[f"{name}_p975"]).all()
