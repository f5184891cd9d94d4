"""I_loss members: against moments of the log-normal, and invariant to how the map is cut."""

from __future__ import annotations

import numpy as np
import pytest

from bayes_rootc.mapping.monte_carlo import iloss_statistics


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


def test_means_and_quantiles_are_those_of_the_log_normal():
    members, x = 20_000, cells(4)
    got = iloss_statistics(**x, members=members, seed=1, profile_correlation=0.0)
    mean = np.exp(x["root_mean"] + 0.4**2 / 2)
    relative_error = np.sqrt((np.exp(0.4**2) - 1) / members)
    np.testing.assert_allclose(got["iroot_mean"][:, -1], mean, rtol=4 * relative_error)
    np.testing.assert_allclose(
        got["iroot_median"][:, -1], np.exp(x["root_mean"]), rtol=4 * 1.2533 * 0.4 / np.sqrt(members)
    )
    np.testing.assert_allclose(
        got["iroot_p975"][:, -1], np.exp(x["root_mean"] + 1.96 * 0.4), rtol=4 * 0.4 * 2.7 / np.sqrt(members)
    )
    bulk = np.exp(x["bulk_mean"] + 0.6**2 / 2)
    np.testing.assert_allclose(got["ibulk_mean"][:, :7], bulk, rtol=4 * np.sqrt((np.exp(0.36) - 1) / members))
    np.testing.assert_allclose(got["iloss_mean"], got["iroot_mean"] - got["ibulk_mean"], atol=2e-5)


def test_layers_of_roots_add_up_to_the_profile():
    got = iloss_statistics(**cells(6), members=200, seed=1, profile_correlation=0.3)
    np.testing.assert_allclose(got["iroot_mean"][:, :7].sum(axis=1), got["iroot_mean"][:, -1], rtol=1e-5)


def test_correlated_layers_make_the_profile_more_uncertain():
    alone, together = (iloss_statistics(**cells(8), members=4000, seed=2, profile_correlation=r) for r in (0.0, 1.0))
    np.testing.assert_allclose(alone["ibulk_uncertainty"][:, 0], together["ibulk_uncertainty"][:, 0], rtol=0.15)
    assert (together["ibulk_uncertainty"][:, -1] > 1.2 * alone["ibulk_uncertainty"][:, -1]).all()


def test_a_cell_does_not_depend_on_its_neighbours_or_on_the_chunk():
    x = cells(2500)  # more than one chunk
    whole = iloss_statistics(**x, members=60, seed=3, profile_correlation=0.4)
    pick = np.array([2499, 7, 2048])
    part = {name: (value if name == "fractions" else value[pick]) for name, value in x.items()}
    some = iloss_statistics(**part, members=60, seed=3, profile_correlation=0.4)
    for name in whole:
        np.testing.assert_allclose(some[name], whole[name][pick], rtol=2e-5, atol=1e-6, err_msg=name)


def test_certain_signs_have_certain_probabilities():
    x = cells(2) | {"bulk_sd": np.full((2, 7), 1e-6), "root_sd": np.full(2, 1e-6)}
    x["bulk_mean"] = np.tile([[-9.0], [9.0]], (1, 7))
    got = iloss_statistics(**x, members=50, seed=1, profile_correlation=0.0)
    assert got["iloss_probability"][0].min() == 1 and got["iloss_probability"][1].max() == 0


@pytest.mark.parametrize("name", ["iroot", "ibulk", "iloss"])
def test_quantiles_are_in_order(name):
    got = iloss_statistics(**cells(50), members=100, seed=5, profile_correlation=0.2)
    assert (got[f"{name}_p025"] <= got[f"{name}_median"]).all() and (got[f"{name}_median"] <= got[f"{name}_p975"]).all()
