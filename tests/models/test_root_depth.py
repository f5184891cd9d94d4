"""The dose-response curve against its definition; the hierarchy against closed forms and simulated truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag
from scipy.stats import multivariate_normal, norm

from bayes_rootc.inference import regressions
from bayes_rootc.inference.checks import calibration_table
from bayes_rootc.inference.sampling import Sampling
from bayes_rootc.models import root_depth
from bayes_rootc.models.components import Components
from bayes_rootc.models.root_depth import PRIOR_MEAN, PRIORS, RootRecords, to_log_depths
from bayes_rootc.report.regression_tables import root_depth_table

pytestmark = pytest.mark.compiled

NO_COMPONENTS = Components.fit(pd.DataFrame(index=range(3)), {})


def records(sites: int = 12, seed: int = 0, biomes: int = 2) -> RootRecords:
    """One to three profiles a site, one predictor, every other profile extrapolated."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(sites), rng.integers(1, 4, sites))
    n = len(unit)
    y = np.array([1.1, -0.2]) + 0.3 * rng.standard_normal((n, 2))
    moved = np.array([0.05, 0.2]) * rng.uniform(0, 1, (n, 1)) * (np.arange(n)[:, None] % 2)
    X, biome = rng.standard_normal((sites, 1))[unit], rng.integers(1, biomes + 1, sites)[unit]
    return RootRecords(y, moved, X, ("climate 1",), biome, unit, tuple(f"s{i:02d}" for i in range(sites)))


def truth(count: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    one = {
        "mean": np.array([1.15, -0.25]),
        "biome_mean": np.array([1.15, -0.25]) + 0.2 * rng.standard_normal((9, 2)),
        "slope": np.array([[0.1, -0.05]]),
        "biome_sd": np.array([0.2, 0.2]),
        "site_sd": np.array([0.2, 0.25]),
        "profile_sd": np.array([0.15, 0.2]),
        "site_correlation": np.array(-0.4),
        "profile_correlation": np.array(0.3),
        "extrapolation_sd": np.array(0.5),
    }
    return {name: np.repeat(v[None], count, axis=0) for name, v in one.items()}


def site_covariance(data: RootRecords, some: dict[str, np.ndarray], site: int) -> np.ndarray:
    """Of all numbers of a site's profiles, profile by profile."""

    def matrix(kind: str) -> np.ndarray:
        sd, r = some[f"{kind}_sd"][0], some[f"{kind}_correlation"][0]
        return np.outer(sd, sd) * np.array([[1, r], [r, 1]])

    here = np.flatnonzero(data.unit == site)
    covariance = np.kron(np.ones((len(here), len(here))), matrix("site"))
    for i, k in enumerate(here):
        moved = some["extrapolation_sd"][0] * data.extrapolated[k]
        covariance[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] += matrix("profile") + np.outer(moved, moved)
    return covariance


def test_curve_passes_through_its_two_depths():
    d50, d95 = np.array([8.0, 25.0]), np.array([40.0, 190.0])
    np.testing.assert_allclose(root_depth.cumulative_share(d50, d50, d95), 0.5)
    np.testing.assert_allclose(root_depth.cumulative_share(d95, d50, d95), 0.95, atol=1e-4)  # -1.27875 has five digits
    np.testing.assert_allclose(root_depth.cumulative_share(0.0, d50, d95), 0)


def test_layer_fractions_sum_to_one_and_are_positive():
    rng = np.random.default_rng(0)
    d50 = rng.uniform(1, 100, 500)
    fractions = root_depth.layer_fractions(d50, d50 * rng.uniform(1.2, 30, 500))
    np.testing.assert_allclose(fractions.sum(axis=-1), 1)
    assert (fractions > 0).all()


def test_deeper_rooting_moves_roots_down():
    shallow, deep = root_depth.layer_fractions([10.0, 30.0], [60.0, 150.0])
    assert (np.cumsum(deep) <= np.cumsum(shallow) + 1e-12).all()


def test_sites_have_the_likelihood_of_one_large_normal():
    data, some = records(), truth()
    found, mean = data.log_likelihood(some), data.expected(some)[0]
    for site in range(len(data.unit_ids)):
        here = data.unit == site
        want = multivariate_normal(mean[here].ravel(), site_covariance(data, some, site)).logpdf(data.y[here].ravel())
        assert found[0, site] == pytest.approx(want, abs=1e-9)


def coefficient_prior(some: dict[str, np.ndarray], predictors: int) -> np.ndarray:
    """Standard deviations of (mean, biomes, slopes) of both numbers, (1 + 9 + p, 2)."""
    rows = [[PRIORS["mean"][0]] * 2, *[some["biome_sd"][0]] * 9, *[[PRIORS["slope"][0]] * 2] * predictors]
    return np.array(rows)


def all_covariance(data: RootRecords, some: dict[str, np.ndarray]) -> np.ndarray:
    """Of all numbers given the coefficients, profile by profile; sites are side by side."""
    return block_diag(*(site_covariance(data, some, site) for site in range(len(data.unit_ids))))


def full_design(data: RootRecords) -> np.ndarray:
    """Of all numbers on (coefficient, number): shape (2n, 2(1 + 9 + p))."""
    return np.kron(data.site_design[data.unit], np.eye(2))


def test_spreads_have_the_marginal_likelihood():
    """Against the Normal of all numbers that one matrix gives."""
    data, some = records(), truth()
    model = data.build()
    point = model.initial_point()
    for name in ("biome_sd", "extrapolation_sd"):
        point[f"{name}_signed"] = -some[name][0]  # either sign is the same spread
    site, profile = (some[f"{kind}_sd"][0] / PRIORS[f"{kind}_sd"][0] for kind in ("site", "profile"))
    point["site_sd_and_profile_sd_radius_log__"] = np.log(np.hypot(site, profile))
    point["site_sd_and_profile_sd_place"] = norm.ppf(np.arctan2(profile, site) / (np.pi / 2))
    for kind in ("site", "profile"):
        half = (1 + some[f"{kind}_correlation"][0]) / 2
        point[f"{kind}_correlation_half_logodds__"] = np.log(half / (1 - half))
    value = model.compile_fn(model.replace_rvs_by_values(model.potentials), inputs=model.value_vars)(point)[0]
    X, prior = full_design(data), np.diag(coefficient_prior(some, 1).ravel() ** 2)
    covariance = all_covariance(data, some) + X @ prior @ X.T
    want = multivariate_normal(np.tile(PRIOR_MEAN, len(data.y)), covariance).logpdf(data.y.ravel())
    assert float(value) == pytest.approx(want, rel=1e-9)


def test_coefficients_have_their_exact_conditional():
    data, count = records(), 10_000
    spreads = {n: v for n, v in truth(count).items() if n not in ("mean", "biome_mean", "slope")}
    found, some = data.complete(spreads, np.random.default_rng(2)), truth()
    offsets = found["biome_mean"] - found["mean"][:, None]
    drawn = np.concatenate([(found["mean"] - PRIOR_MEAN)[:, None], offsets, found["slope"]], axis=1).reshape(count, -1)
    X, prior = full_design(data), np.diag(coefficient_prior(some, 1).ravel() ** 2)
    gain = prior @ X.T @ np.linalg.inv(all_covariance(data, some) + X @ prior @ X.T)
    mean, covariance = gain @ (data.y - PRIOR_MEAN).ravel(), prior - gain @ X @ prior
    spread = np.sqrt(np.diag(covariance))
    # 22 means and 484 covariances: 5 standard errors leave one false alarm in 4,000 runs
    assert (np.abs(drawn.mean(axis=0) - mean) / (spread / np.sqrt(count))).max() < 5
    error = (np.cov(drawn.T) - covariance) / np.outer(spread, spread)
    assert np.abs(error).max() < 5 * np.sqrt(2 / count)


def test_replicates_have_the_covariance_of_a_new_site():
    data, count = records(4), 40_000
    found = root_depth.from_log_depths(data.replicate(truth(count), np.random.default_rng(1)))
    here = data.unit == np.bincount(data.unit).argmax()
    want = site_covariance(data, truth(), int(data.unit[here][0]))
    got = np.cov(found[:, here].reshape(count, -1).T)
    scale = np.sqrt(np.outer(np.diag(want), np.diag(want)))
    assert (np.abs(got - want) / scale).max() < 5 * np.sqrt(2 / count)


def test_observed_depths_go_there_and_back():
    data = records()
    np.testing.assert_allclose(data.with_observed(data.observed).y, data.y)
    assert (data.observed[:, 1] > data.observed[:, 0]).all()


def test_an_extrapolation_is_known_by_what_it_moved():
    """Nothing where the pit reached the last root; the median of the others where the sampled part is not told."""
    table = pd.DataFrame(
        {"lat": [2.0, 1.0, 1.0, 3.0], "lon": 0.0, "biome": 1, "d50": 20.0, "d95": [100.0, 100.0, 80.0, 90.0]}
    )
    table["d50_sampled"], table["d95_sampled"] = [20.0, 16.0, np.nan, 18.0], [100.0, 70.0, np.nan, 80.0]
    made = root_depth.make_root_records(table, NO_COMPONENTS)
    assert made.unit.tolist() == [0, 0, 1, 2] and made.unit_ids == ("1/0", "2/0", "3/0")
    assert made.extrapolated[2].tolist() == [0, 0]
    assert made.extrapolated[0, 0] == pytest.approx(np.log10(20 / 16))
    known = made.extrapolated[[0, 2, 3]]
    np.testing.assert_allclose(made.extrapolated[1], np.median(known, axis=0))


@pytest.fixture(scope="module")
def fit():
    rng, blank = np.random.default_rng(5), records(150, seed=6, biomes=4)
    data = blank.with_observed(blank.replicate(truth(), rng)[0])
    how = Sampling(chains=2, tune=500, draws=500, until_good=True)
    return regressions.fit_regression("root_depth", data, NO_COMPONENTS, how, seed=2)


@pytest.mark.slow
def test_truth_is_recovered(fit):
    found, row = fit
    assert row["r_hat_max"] < 1.05 and row["divergences"] == 0 and row["pareto_k_bad"] < 0.1
    draws, want = found.draws(), truth()
    present = np.unique(found.records.biome) - 1
    wanted = [(draws["biome_mean"][:, present], want["biome_mean"][0, present])]
    wanted += [(draws[n], want[n][0]) for n in ("slope", "site_sd", "profile_sd", "site_correlation")]
    z = np.concatenate([np.ravel((d.mean(axis=0) - v) / d.std(axis=0)) for d, v in wanted])
    assert np.abs(z).max() < 4 and (z**2).mean() < 2
    scores = regressions.score_table(regressions.posterior_scores(found, seed=1), found.records)
    assert scores["class"].tolist()[:3] == ["all", "D50", "D95"]
    assert scores.iloc[0]["coverage95"] == pytest.approx(0.95, abs=4 * scores.iloc[0]["coverage95_se"])


@pytest.mark.slow
def test_shares_by_biome_are_means_over_its_sites(fit):
    found, _ = fit
    shares = root_depth.fractions_by_biome(found.draws(), found.records, 60, np.random.default_rng(1))
    np.testing.assert_allclose(shares["expected"].sum("layer"), 1)
    spread = shares.std("draw")
    assert float(spread["predictive"].sel(biome=1).mean()) > float(spread["expected"].sel(biome=1).mean())
    here = found.records.rows(found.records.biome == 1)
    y = here.new_sites(found.draws(400), np.random.default_rng(2))
    mean = root_depth.layer_fractions(*root_depth.to_depths(y[:, here.first])).mean(axis=(0, 1))
    np.testing.assert_allclose(shares["expected"].sel(biome=1).mean("draw"), mean, atol=0.02)
    table = root_depth_table(found).set_index(["quantity", "where"])
    d50 = table.loc[("D50", "tropical/subtropical forests")]
    centre = to_log_depths(here.expected(found.draws()).mean(axis=1))[:, 0]
    assert d50["median"] == pytest.approx(np.median(10**centre)) and d50["unit"] == "cm"
    assert (table["p025"] <= table["median"]).all() and (table["median"] <= table["p975"]).all()


@pytest.mark.slow
def test_ranks_of_the_truth_are_uniform():
    """Small, as for turnover: see there for the tolerances."""
    ranks, fits = regressions.calibrate(records(40, seed=9, biomes=9), seed=21, simulations=6)
    assert (fits["r_hat_max"] < 1.1).all()
    apart = ((ranks - 0.5) ** 2).to_numpy().mean()
    assert apart == pytest.approx(1 / 12, abs=4 * 0.075 / np.sqrt(6 * ranks.shape[1] / 2))
    assert (calibration_table(ranks)["rank_mean"] - 0.5).abs().max() < 4 * 0.29 / np.sqrt(6)
