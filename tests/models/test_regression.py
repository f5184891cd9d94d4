"""The hierarchical regression against closed forms: likelihood of a unit, means over sites, explained variance."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from bayes_rootc.inference.regressions import sample_prior
from bayes_rootc.models.regression import (
    PRIORS,
    Records,
    _moments,
    _sum_rows,
    group_shares,
    make_records,
    r_squared,
    site_means,
)

pytestmark = pytest.mark.compiled


def records(n: int = 40, seed: int = 0) -> Records:
    """Records of 15 sites in two biomes, in no order, with known errors."""
    rng = np.random.default_rng(seed)
    unit = rng.integers(0, 15, n)
    names = pd.Series([f"site {u:02d}" for u in unit])
    biome = np.where(unit % 2, 3, 8)
    X = pd.DataFrame(rng.standard_normal((15, 2))[unit], columns=["soil 1", "climate 1"])
    shared = pd.Series(rng.uniform(0, 0.5, 15), [f"site {u:02d}" for u in range(15)])
    return make_records(
        rng.standard_normal(n),
        X,
        biome,
        names,
        sd=rng.uniform(0, 0.5, n),
        unit_sd=shared,
    )


def three_records() -> Records:
    """Two records in biome 3 and one in biome 8, of three sites, with one predictor."""
    y, x, biome = np.array([2.0, 0.0, 1.0]), np.array([1.0, -2.0, 2.0]), np.array([3, 3, 8])
    return make_records(y, pd.DataFrame({"soil 1": x}), biome, pd.Series(["a", "b", "c"]))


def test_intercept_and_slope_of_each_biome_by_hand():
    """Eq. 7: X β with a column of ones, and β that of the record's biome."""
    data = three_records()
    assert data.design.tolist() == [[1, 1], [1, -2], [1, 2]]
    assert full_design(data)[:, 6:8].tolist() == [[1, 1], [1, -2], [0, 0]]  # biome 3, after the mean and biomes 1, 2
    assert full_design(data)[:, 16:18].tolist() == [[0, 0], [0, 0], [1, 2]]
    by_biome = np.zeros((1, 9, 2))
    by_biome[0, 2], by_biome[0, 7] = [0.5, 0.25], [-1.0, 0.75]
    some = {"by_biome": by_biome, "mean": np.zeros((1, 2)), "record_sd": np.array([0.3]), "unit_sd": np.array([0.4])}
    # 0.5 + 1 x 0.25, 0.5 - 2 x 0.25, -1 + 2 x 0.75, about the mean response of 1
    assert data.expected(some)[0].tolist() == [0.75, 0.0, 0.5]
    assert data.fitted(some).tolist() == [1.75, 1.0, 1.5]
    # left over: 0.25, -1, -0.5, with the variance 0.3² + 0.4² = 0.25
    want = -0.5 * (np.array([0.0625, 1.0, 0.25]) / 0.25 + np.log(2 * np.pi * 0.25))
    np.testing.assert_allclose(data.log_likelihood(some)[0], want)


def test_biomes_share_their_mean_coefficients_by_hand():
    """Eq. 8: biomes vary about a mean, so records of one biome covary by both, those of two biomes by the mean alone.

    With variances 1 and 0.25 of the mean intercept and slope, 0.25 and 0.04 of the biomes' about them, and 0.25 left:
    var y1 = 1.25 + 0.29 + 0.25, var y2 = var y3 = 1.25 + 4 x 0.29 + 0.25; cov(y1, y2) = 1.25 - 2 x 0.29,
    cov(y1, y3) = 1 + 2 x 0.25, cov(y2, y3) = 1 - 4 x 0.25.
    """
    assert (PRIORS["mean_intercept"][0], PRIORS["mean_slope"][0]) == (1.0, 0.5)
    data = three_records()
    model = data.build()
    spreads = {"biome_sd_signed": np.array([0.5, 0.2]), "unit_sd_signed": 0.4, "record_sd_signed": 0.3}
    point = model.initial_point() | spreads
    value = model.compile_fn(model.replace_rvs_by_values(model.potentials), inputs=model.value_vars)(point)[0]
    covariance = [[1.79, 0.67, 1.50], [0.67, 2.66, 0.00], [1.50, 0.00, 2.66]]
    assert float(value) == pytest.approx(multivariate_normal(np.zeros(3), covariance).logpdf([1.0, -1.0, 0.0]))


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
    found, mean = data.log_likelihood(some), data.expected(some)
    assert found.shape == (4, len(data.unit_ids))
    for m in range(4):
        for u in range(len(data.unit_ids)):
            here = data.unit == u
            own = np.diag(data.sd[here] ** 2 + some["record_sd"][m] ** 2)
            covariance = own + some["unit_sd"][m] ** 2 + data.unit_sd[u] ** 2
            want = multivariate_normal(data.centre + mean[m, here], covariance).logpdf(data.y[here])
            assert found[m, u] == pytest.approx(want, abs=1e-9)


def covariance_given_spreads(data: Records, some: dict[str, np.ndarray], factor: np.ndarray) -> np.ndarray:
    """Of all records, everything but the spreads integrated out; and of the records given the coefficients."""
    own = np.diag(data.sd**2 + some["record_sd"][0] ** 2)
    return own + (data.unit[:, None] == data.unit) * (some["unit_sd"][0] ** 2 + data.unit_sd[data.unit] ** 2)


def coefficient_covariance(data: Records, factor: np.ndarray) -> np.ndarray:
    """Prior covariance of (mean, coefficients of biome 1 … 9)."""
    scale = np.diag(np.square([PRIORS["mean_intercept"][0], *[PRIORS["mean_slope"][0]] * 2]))
    return np.kron(np.ones((10, 10)), scale) + np.kron(np.diag([0.0, *[1.0] * 9]), factor @ factor.T)


def full_design(data: Records) -> np.ndarray:
    """Of (mean, coefficients of biome 1 … 9), (n, 30)."""
    biome = np.arange(10) == data.biome[:, None]
    return np.einsum("nb,np->nbp", biome, data.design).reshape(len(data.y), -1)


@pytest.mark.parametrize("correlated", [False, True])
def test_spreads_have_the_marginal_likelihood(correlated):
    """Against the Normal of all records that one matrix of 40 x 40 gives."""
    import pymc as pm

    data, some = replace(records(), correlated=correlated), draws(1)
    model = data.build()
    point = model.initial_point() | {"unit_sd_signed": some["unit_sd"][0], "record_sd_signed": -some["record_sd"][0]}
    sd = np.array([0.5, 0.1, 0.3])
    if correlated:
        (packed,) = [name for name in point if name.startswith("biome_cov")]
        values = model.rvs_to_values[model["biome_cov"]]
        factor_of = model.compile_fn(model.replace_rvs_by_values([model["biome_factor"]]), inputs=[values])
        point[packed] = np.array([-0.5, 0.2, -1.0, 0.3, -0.4, -0.7])
        factor = factor_of({packed: point[packed]})[0]
        assert factor[2, 0] != 0
    else:
        point["biome_sd_signed"], factor = sd * [1, -1, 1], np.diag(sd)  # either sign is the same spread
    value = model.compile_fn(model.replace_rvs_by_values(model.potentials), inputs=model.value_vars)(point)[0]
    X = full_design(data)
    covariance = covariance_given_spreads(data, some, factor) + X @ coefficient_covariance(data, factor) @ X.T
    want = multivariate_normal(np.zeros(len(data.y)), covariance).logpdf(data.y - data.centre)
    assert float(value) == pytest.approx(want, rel=1e-9)
    assert isinstance(model, pm.Model)


def test_coefficients_have_their_exact_conditional():
    """Means and covariances of many draws against the Normal of the linear model."""
    data, count = records(), 20_000
    sd = np.array([0.5, 0.1, 0.3])
    spreads = {"biome_sd": sd, "unit_sd": np.array(0.6), "record_sd": np.array(0.4)}
    many = {name: np.repeat(v[None], count, axis=0) for name, v in spreads.items()}
    found = data.complete(many, np.random.default_rng(2))
    drawn = np.concatenate([found["mean"], found["by_biome"].reshape(count, -1)], axis=1)
    X, prior = full_design(data), coefficient_covariance(data, np.diag(sd))
    one = {name: v[None] for name, v in spreads.items()}
    gain = prior @ X.T @ np.linalg.inv(covariance_given_spreads(data, one, np.diag(sd)) + X @ prior @ X.T)
    mean, covariance = gain @ (data.y - data.centre), prior - gain @ X @ prior
    spread = np.sqrt(np.diag(covariance))
    # 30 means and 900 covariances: 5 standard errors leave one false alarm in 2,000 runs
    assert (np.abs(drawn.mean(axis=0) - mean) / (spread / np.sqrt(count))).max() < 5
    error = (np.cov(drawn.T) - covariance) / np.outer(spread, spread)
    assert np.abs(error).max() < 5 * np.sqrt(2 / count)


def test_correlated_effects_have_their_spreads():
    """Effects of biomes drawn from the prior, over their spreads, are standard normal whatever their correlation."""
    prior = sample_prior(replace(records(), correlated=True), 1500, seed=1)
    z = (prior["by_biome"] - prior["mean"][:, None]) / prior["biome_sd"][:, None]
    # 1,500 independent draws of each of 9 x 3; the mean square of n standard normals is 1 ± √(2/n)
    np.testing.assert_allclose((z**2).mean(axis=0), 1, atol=4.5 * np.sqrt(2 / 1500))


def test_site_means_average_over_what_varies_between_sites():
    data, some, rng = records(), draws(1), np.random.default_rng(3)
    found = site_means(some, data, np.exp)
    first = data.first
    level = data.centre + data.expected(some)[0, first]
    many = np.exp(level + some["unit_sd"][0] * rng.standard_normal((100_000, len(level)))).mean(axis=0)
    assert found[0][0] == pytest.approx(many.mean(), rel=0.02)
    assert found[3][0] == pytest.approx(many[data.biome[first] == 3].mean(), rel=0.02)
    np.testing.assert_allclose(found[0], np.exp(level + some["unit_sd"][0] ** 2 / 2).mean(), rtol=1e-6)


def test_explained_variance_and_its_shares():
    data, some = records(), draws(3)
    r2, shares = r_squared(some, data), group_shares(some, data)
    assert list(shares) == ["biome", "soil", "climate"]
    np.testing.assert_allclose(sum(shares.values()), 1)
    fitted = data.expected(some).var(axis=1)
    np.testing.assert_allclose(r2["conditional"], fitted / (fitted + some["record_sd"] ** 2 + some["unit_sd"] ** 2))
    alone = {k: v.copy() for k, v in some.items()}
    alone["by_biome"][..., [0, 2]] = 0.0  # neither intercept nor climate
    np.testing.assert_allclose(group_shares(alone, data)["soil"], 1)


def test_replicates_have_the_variance_of_a_new_unit():
    data = records()
    one = draws(1)
    many = {k: np.repeat(v, 40_000, axis=0) for k, v in one.items()}
    found = data.replicate(many, np.random.default_rng(5))
    own = data.sd**2 + one["record_sd"] ** 2
    shared = (data.unit_sd**2 + one["unit_sd"] ** 2)[data.unit]
    np.testing.assert_allclose(found.var(axis=0), own + shared, rtol=4 * np.sqrt(2 / 40_000))
    pair = np.flatnonzero(data.unit == data.unit[0])[:2]
    assert np.cov(found[:, pair].T)[0, 1] == pytest.approx(shared[0], abs=4 * (own + shared).max() / np.sqrt(40_000))


def test_dropping_records_keeps_units_together():
    data = records()
    kept = data.rows(data.unit != 2)
    assert data.unit_ids[2] not in kept.unit_ids and len(kept.unit_ids) == len(data.unit_ids) - 1
    assert (np.diff(kept.unit) >= 0).all() and kept.unit.max() == len(kept.unit_ids) - 1
    np.testing.assert_array_equal(kept.y, data.y[data.unit != 2])
    assert kept.centre == data.centre


def test_precise_records_of_uncertain_units_leave_a_positive_precision():
    """Moments equal those in exact fractions. A difference of two sums of 1e14 would be wrong by several units."""
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((8, 2)), rng.standard_normal(8)
    unit, biome = pd.Series(np.repeat(["a", "b", "c", "d"], 2)), np.repeat([1, 3], 4)
    records = make_records(y, pd.DataFrame(X), biome, unit, sd=np.full(8, 1e-7))
    found, _ = _moments(records, 9.0, 1e-14, _sum_rows, np.log)
    Z = np.column_stack([records.design, records.y - records.centre])
    for place, number in enumerate((1, 3)):
        exact = np.full((4, 4), Fraction(0))
        for one in np.unique(records.unit[records.biome == number]):
            rows = np.array([[Fraction(float(v)) for v in row] for row in Z[records.unit == one]])
            weight = 1 / (Fraction(1e-14) + Fraction(float(records.sd[0])) ** 2)
            summed = weight * rows.sum(axis=0)
            shared = Fraction(9)
            exact += weight * rows.T @ rows - shared / (1 + shared * summed[0]) * np.outer(summed, summed)
        expected = exact.astype(float)
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        np.testing.assert_allclose(found[place] / scale, expected / scale, atol=1e-9)
        assert np.linalg.eigvalsh(np.eye(4) + found[place]).min() > 0.9
