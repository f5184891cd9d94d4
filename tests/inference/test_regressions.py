"""Regressions of I_root, I_bulk and allocation: they recover a simulated truth, cover what they have not seen, and are
calibrated.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from bayes_rootc.errors import InputError
from bayes_rootc.inference import regressions
from bayes_rootc.inference.checks import calibration_table
from bayes_rootc.inference.sampling import Sampling, sample
from bayes_rootc.models.components import Components
from bayes_rootc.models.regression import DEPTH, Records, make_records
from bayes_rootc.report.regression_tables import coefficient_table, explained_table, site_means_table

pytestmark = pytest.mark.compiled

MEAN, BIOME_SD = np.array([0.4, -0.6, 0.3]), np.array([0.4, 0.2, 0.1])
UNIT_SD, RECORD_SD = 0.5, 0.3


def simulated(seed: int) -> tuple[Records, dict[str, np.ndarray]]:
    """120 sites in five biomes, up to three records each, and the truth they were drawn from."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(120), rng.integers(1, 4, 120))
    biome = rng.integers(1, 6, 120)[unit]
    by_biome = MEAN + BIOME_SD * rng.standard_normal((9, 3))
    truth = {"mean": MEAN[None], "by_biome": by_biome[None]}
    truth |= {"unit_sd": np.array([UNIT_SD]), "record_sd": np.array([RECORD_SD])}
    names = pd.Series([f"s{u:03d}" for u in unit])
    X = pd.DataFrame(rng.standard_normal((120, 2))[unit], columns=["soil 1", "climate 1"])
    blank = make_records(np.zeros(len(unit)), X, biome, names, sd=0.2)
    y = blank.replicate(truth, rng)[0]
    return replace(blank, y=y, centre=float(y.mean())), truth


@pytest.fixture(scope="module")
def world() -> tuple[Records, dict[str, np.ndarray]]:
    return simulated(4)


def test_coefficients_miss_the_truth_by_what_they_say():
    """Given the true spreads, over 30 worlds of 15 coefficients: the mean square of z is 1 ± √(2/450)."""
    count = 1000
    spreads = {"biome_sd": np.tile(BIOME_SD, (count, 1)), "unit_sd": np.full(count, UNIT_SD)}
    spreads["record_sd"] = np.full(count, RECORD_SD)
    z = []
    for seed in range(30):
        records, truth = simulated(100 + seed)
        present = np.unique(records.biome) - 1
        drawn = records.complete(spreads, np.random.default_rng(seed))["by_biome"][:, present]
        want = truth["by_biome"][0, present] - np.array([records.centre, 0, 0])
        z.append((drawn.mean(axis=0) - want) / drawn.std(axis=0))
    assert np.square(z).mean() == pytest.approx(1, abs=4 * np.sqrt(2 / np.size(z)))


@pytest.fixture(scope="module")
def fit(world):
    records, _ = world
    none = Components.fit(pd.DataFrame(index=range(3)), {})
    how = Sampling(chains=2, tune=500, draws=500, until_good=True)
    return regressions.fit_regression("drivers_iroot", records, none, how, seed=2)


@pytest.mark.slow
def test_truth_is_recovered_and_its_own_checks_agree(fit, world):
    (found, row), (records, truth) = fit, world
    assert row["r_hat_max"] < 1.05 and row["divergences"] == 0 and row["pareto_k_bad"] < 0.1
    draws = found.draws()
    for name in ("unit_sd", "record_sd"):
        z = (draws[name].mean() - truth[name][0]) / draws[name].std()
        assert abs(z) < 4
    present = np.unique(records.biome) - 1
    by_biome = draws["by_biome"][:, present]
    want = truth["by_biome"][0, present] - np.array([records.centre, 0, 0])
    z = (by_biome.mean(axis=0) - want) / by_biome.std(axis=0)
    assert np.abs(z).max() < 4 and (z**2).sum() < chi2.ppf(1 - 1e-4, z.size)  # each as rare
    scores = regressions.score_table(regressions.posterior_scores(found, seed=1), records)
    assert scores.iloc[0]["coverage95"] == pytest.approx(0.95, abs=4 * scores.iloc[0]["coverage95_se"])


@pytest.mark.slow
def test_tables_tell_the_posterior(fit, world):
    (found, _), (records, _) = fit, world
    table = coefficient_table(found)
    assert len(table) == 3 * 10
    here = table[(table["coefficient"] == "climate 1") & (table["biome"] == "all")].iloc[0]
    drawn = found.draws()["mean"][:, 2]
    assert here["mean"] == pytest.approx(drawn.mean())
    assert here["probability_of_direction"] == pytest.approx(max((drawn > 0).mean(), (drawn < 0).mean()))
    intercept = table[(table["coefficient"] == "intercept") & (table["biome"] == "all")].iloc[0]
    assert intercept["mean"] == pytest.approx(found.draws()["mean"][:, 0].mean() + records.centre)
    explained = explained_table(found).set_index("quantity")
    assert explained.loc["R² of the biomes' own coefficients", "paper"] == 0.5
    assert explained.filter(like="importance", axis=0)["mean"].sum() == pytest.approx(1)
    shares = site_means_table(replace(found, name="allocation"))
    assert shares["units"].iloc[0] == 120 and shares["units"].iloc[1:].sum() == 120
    assert shares["p025"].between(0, 1).all() and (shares["p025"] < shares["p975"]).all()
    assert set(found.tree.children) >= {"posterior", "prior", "prior_predictive", "log_likelihood", "sample_stats"}


@pytest.mark.slow
def test_ranks_of_the_truth_are_uniform():
    """Small, as for turnover: see there for the tolerances."""
    rng, unit = np.random.default_rng(7), np.repeat(np.arange(30), 2)
    biome, X = rng.integers(1, 10, 30)[unit], pd.DataFrame({"soil 1": rng.standard_normal(30)[unit]})
    names = pd.Series([f"s{u:02d}" for u in unit])
    design = make_records(np.zeros(60), X, biome, names, sd=0.1)
    ranks, fits = regressions.calibrate(design, seed=11, simulations=8)
    assert len(fits) == 8 and (fits["r_hat_max"] < 1.1).all()
    apart = ((ranks - 0.5) ** 2).to_numpy().mean()
    assert apart == pytest.approx(1 / 12, abs=4 * 0.075 / np.sqrt(8 * ranks.shape[1] / 2))
    assert (calibration_table(ranks)["rank_mean"] - 0.5).abs().max() < 4 * 0.29 / np.sqrt(8)


@pytest.mark.slow
def test_held_out_sites_are_covered(world):
    records, _ = world
    scores, fits = regressions.cross_validate(records, seed=3, folds=2)
    every = regressions.score_table(scores, records).iloc[0]
    assert len(scores) == len(records.y) and fits["fold"].tolist() == [0, 1]
    np.testing.assert_array_equal(scores["observed"], records.y)
    assert every["coverage95"] == pytest.approx(0.95, abs=4 * every["coverage95_se"])
    assert every["rmse"] < records.y.std()  # predictors and biomes tell something


def test_error_of_a_layer_is_split_into_its_own_and_its_profiles():
    rng, profiles, draws = np.random.default_rng(6), 40, 4000
    profile = np.repeat(np.arange(profiles), 3)
    shared = 0.6 * rng.standard_normal((profiles, draws))
    log_density = -3 + shared[profile] + 0.3 * rng.standard_normal((len(profile), draws))
    layers = pd.DataFrame(
        {"profile": [f"p{p:02d}" for p in profile], "top": 0.0, "bottom": np.tile([10.0, 20, 30], 40)}
    )
    layers = layers.assign(top=layers["bottom"] - 10, biome=3, has_covariates=True)
    records, _ = regressions.ibulk_records(layers, np.exp(log_density), {})
    assert records.predictors == DEPTH
    np.testing.assert_allclose(records.unit_sd, 0.6, atol=6 * 0.6 / np.sqrt(2 * draws) + 0.01)
    np.testing.assert_allclose(records.sd, 0.3, atol=0.05)
    np.testing.assert_allclose(records.X.std(axis=0), 1)


def test_a_layer_alone_keeps_all_of_its_error():
    density = np.exp(np.random.default_rng(1).normal(-2, 0.4, (2, 5000)))
    layers = pd.DataFrame({"profile": ["a", "b"], "top": [0.0, 10], "bottom": [10.0, 30], "biome": 1})
    records, _ = regressions.ibulk_records(layers.assign(has_covariates=True), density, {})
    assert (records.unit_sd == 0).all()
    np.testing.assert_allclose(records.sd, 0.4, rtol=0.05)


def test_a_sampler_that_is_not_installed_is_one_line(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "blackjax", None)
    with pytest.raises(InputError, match=r"^the sampler \"blackjax\" needs .* 'bayes-rootc\[samplers\]'$"):
        sample(world[0].build(), Sampling("blackjax"), seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["numpyro", "nutpie", "blackjax"])
def test_samplers_agree(name):
    import pymc as pm

    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("mean", 0, 10), 1.0, observed=np.full(25, 2.0))
    before = jax.config.jax_enable_x64
    jax.devices()  # JAX has started, as after a fit of turnover
    tree = sample(model, Sampling(name, chains=2, tune=300, draws=500), seed=1)
    assert jax.config.jax_enable_x64 == before
    assert float(tree["posterior"]["mean"].mean()) == pytest.approx(2.0, abs=4 * 0.2 / np.sqrt(200))
    assert float(tree["posterior"]["mean"].std()) == pytest.approx(0.2, rel=0.3)
