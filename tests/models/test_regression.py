"""The hierarchical regression against closed forms: likelihood of a unit, means over sites, explained variance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from bayes_rootc.models.regression import (
    Records,
    build,
    expected,
    group_shares,
    log_likelihood,
    make_records,
    r_squared,
    replicate,
    site_means,
)


def records(n: int = 40, seed: int = 0) -> Records:
    """Records of 15 sites in two biomes, in no order, with known errors."""
    rng = np.random.default_rng(seed)
    unit = rng.integers(0, 15, n)
    names = pd.Series([f"site {u:02d}" for u in unit])
    biome = np.where(unit % 2, 3, 8)
    X = rng.standard_normal((15, 2))[unit]
    shared = pd.Series(rng.uniform(0, 0.5, 15), [f"site {u:02d}" for u in range(15)])
    return make_records(
        rng.standard_normal(n),
        X,
        ("soil 1", "climate 1"),
        ("soil", "climate"),
        biome,
        names,
        sd=rng.uniform(0, 0.5, n),
        unit_sd=shared,
    )


def draws(count: int, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    mean = rng.standard_normal((count, 3))
    return {
        "mean": mean,
        "by_biome": mean[:, None] + 0.3 * rng.standard_normal((count, 9, 3)),
        "unit_sd": rng.uniform(0.3, 1, count),
        "record_sd": rng.uniform(0.3, 1, count),
    }


def test_units_are_normal_with_equal_covariances():
    data, some = records(), draws(4)
    found, mean = log_likelihood(some, data), expected(some, data)
    assert found.shape == (4, len(data.unit_ids))
    for m in range(4):
        for u in range(len(data.unit_ids)):
            here = data.unit == u
            own = np.diag(data.sd[here] ** 2 + some["record_sd"][m] ** 2)
            covariance = own + some["unit_sd"][m] ** 2 + data.unit_sd[u] ** 2
            want = multivariate_normal(data.centre + mean[m, here], covariance).logpdf(data.y[here])
            assert found[m, u] == pytest.approx(want, abs=1e-9)


def test_pymc_sees_the_same_likelihood():
    data, some = records(), draws(1)
    model = build(data)
    point = model.initial_point()
    point |= {"mean": some["mean"][0], "unit_sd_log__": np.log(some["unit_sd"][0])}
    point |= {"record_sd_log__": np.log(some["record_sd"][0]), "biome_sd_log__": np.zeros(3)}
    point["biome_offset"] = some["by_biome"][0] - some["mean"][0]
    (potential,) = model.potentials
    value = model.compile_fn(model.replace_rvs_by_values([potential]), inputs=model.value_vars)(point)[0]
    assert float(value) == pytest.approx(log_likelihood(some, data).sum(), rel=1e-9)


def test_correlated_effects_have_their_spreads():
    """Effects of biomes drawn from the prior, over their spreads, are standard normal whatever their correlation."""
    import pymc as pm

    with build(records(), correlated=True):
        prior = pm.sample_prior_predictive(1500, var_names=["mean", "by_biome", "biome_sd"], random_seed=1)["prior"]
    mean, by_biome, sd = (prior[v].values[0] for v in ("mean", "by_biome", "biome_sd"))
    z = (by_biome - mean[:, None]) / sd[:, None]
    # 1,500 independent draws of each of 9 x 3; the mean square of n standard normals is 1 ± √(2/n)
    np.testing.assert_allclose((z**2).mean(axis=0), 1, atol=4.5 * np.sqrt(2 / 1500))


def test_site_means_average_over_what_varies_between_sites():
    data, some, rng = records(), draws(1), np.random.default_rng(3)
    found = site_means(some, data, np.exp)
    first = data.first
    level = data.centre + expected(some, data)[0, first]
    many = np.exp(level + some["unit_sd"][0] * rng.standard_normal((100_000, len(level)))).mean(axis=0)
    assert found[0][0] == pytest.approx(many.mean(), rel=0.02)
    assert found[3][0] == pytest.approx(many[data.biome[first] == 3].mean(), rel=0.02)
    np.testing.assert_allclose(found[0], np.exp(level + some["unit_sd"][0] ** 2 / 2).mean(), rtol=1e-6)


def test_explained_variance_and_its_shares():
    data, some = records(), draws(3)
    r2, shares = r_squared(some, data), group_shares(some, data)
    assert list(shares) == ["biome", "soil", "climate"]
    np.testing.assert_allclose(sum(shares.values()), 1)
    fitted = expected(some, data).var(axis=1)
    np.testing.assert_allclose(r2["conditional"], fitted / (fitted + some["record_sd"] ** 2 + some["unit_sd"] ** 2))
    alone = {k: v.copy() for k, v in some.items()}
    alone["by_biome"][..., [0, 2]] = 0.0  # neither intercept nor climate
    np.testing.assert_allclose(group_shares(alone, data)["soil"], 1)


def test_replicates_have_the_variance_of_a_new_unit():
    data = records()
    one = draws(1)
    many = {k: np.repeat(v, 40_000, axis=0) for k, v in one.items()}
    found = replicate(many, data, np.random.default_rng(5))
    own = data.sd**2 + one["record_sd"] ** 2
    shared = (data.unit_sd**2 + one["unit_sd"] ** 2)[data.unit]
    np.testing.assert_allclose(found.var(axis=0), own + shared, rtol=4 * np.sqrt(2 / 40_000))
    pair = np.flatnonzero(data.unit == data.unit[0])[:2]
    assert np.cov(found[:, pair].T)[0, 1] == pytest.approx(shared[0], abs=4 * (own + shared).max() / np.sqrt(40_000))


def test_dropping_records_keeps_units_together():
    data = records()
    kept = data.rows(data.unit != 2)
    assert "site 02" not in kept.unit_ids and len(kept.unit_ids) == len(data.unit_ids) - 1
    assert (np.diff(kept.unit) >= 0).all() and kept.unit.max() == len(kept.unit_ids) - 1
    np.testing.assert_array_equal(kept.y, data.y[data.unit != 2])
    assert kept.centre == data.centre
