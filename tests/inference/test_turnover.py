"""The hierarchical fit on simulated layers: it recovers its truth, and its conditional draws are exact."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from bayes_rootc.data.atmosphere import Atmosphere
from bayes_rootc.errors import InputError
from bayes_rootc.inference.checks import calibration_table, leave_one_out
from bayes_rootc.inference.store import read_fit, save_turnover, turnover_tree
from bayes_rootc.inference.turnover_checks import calibrate, calibration_layers, cross_validate, score_table
from bayes_rootc.inference.turnover_fit import (
    TurnoverFit,
    diagnose_fit,
    draw_layers,
    extend_profiles,
    fit_turnover,
    log_likelihoods,
    weighted,
)
from bayes_rootc.models.components import Components
from bayes_rootc.models.marginal import student_log_weight
from bayes_rootc.models.radiocarbon import LogNormalPrior, delta14c, invert
from bayes_rootc.models.turnover import TurnoverModel, depth_functions, misfit_design, misfit_sd, profile_quantile

pytestmark = pytest.mark.compiled

TRUTH = {"mean_log_k": -6.2, "tau_profile": 0.7, "profile_skew": -0.3, "tau_layer": 0.4, "model_sd": 25.0, "nu": 4.0}
SLOPE, BIOME, EFFECT = np.array([-1.3, -0.2]), {1: 0.5, 3: 0.1, 6: -0.6}, 0.5
MISFIT = {1: 1.0, 3: 1.0, 6: 2.5}
"""Of a biome, over model_sd."""

AIR = Atmosphere.packaged()
GROUPS = {"climate": ["warm", "wet"]}
PROFILES = 120


def simulate(profiles: int, seed: int = 0, per_profile: int = 4) -> tuple[pd.DataFrame, np.ndarray]:
    """Layers of a world that follows the model, with one covariate component that matters; and their true log k."""
    rng = np.random.default_rng(seed)
    p = np.repeat(np.arange(profiles), per_profile)
    n = len(p)
    warm = rng.standard_normal(profiles)
    top = np.sort(rng.exponential(35.0, (profiles, per_profile)), axis=1).ravel().clip(0, 170)
    layers = pd.DataFrame(
        {
            "id": [f"layer {i}" for i in range(n)],
            "profile": [f"profile {i}" for i in p],
            "lat": 10.0,
            "lon": 20.0 + p,
            "profile_index": p,
            "biome": rng.choice(list(BIOME), profiles)[p],
            "top": top,
            "bottom": top + rng.uniform(5, 25, n),
            "year": np.floor(rng.uniform(1975, 2019, profiles))[p],
            "zone": rng.choice(["NHZone1", "SHZone1-2"], profiles)[p],
            "sigma": rng.uniform(2, 8, n),
            "warm": warm[p],
            "wet": (warm + 0.1 * rng.standard_normal(profiles))[p],
        }
    )
    below, above = TRUTH["tau_profile"] * np.exp([-TRUTH["profile_skew"], TRUTH["profile_skew"]])
    old = np.random.default_rng([seed, 1]).uniform(size=profiles) < below / (below + above)
    effect = np.where(old, -below, above) * np.abs(rng.standard_normal(profiles))
    log_k = (
        TRUTH["mean_log_k"]
        + layers["biome"].map(BIOME).to_numpy()
        + depth_functions((layers["top"] + layers["bottom"]) / 2) @ SLOPE
        + EFFECT * warm[p]
        + effect[p]
        + TRUTH["tau_layer"] * rng.standard_normal(n)
    )
    clean = delta14c(np.exp(log_k), layers["year"], layers["zone"].to_numpy(str))
    misfit = TRUTH["model_sd"] * layers["biome"].map(MISFIT)
    noise = np.hypot(layers["sigma"], misfit) * rng.standard_t(TRUTH["nu"], n)
    return layers.assign(delta14c=np.maximum(clean + noise, -999)), log_k


@pytest.fixture(scope="module")
def world() -> tuple[pd.DataFrame, np.ndarray]:
    return simulate(PROFILES)


@pytest.fixture(scope="module")
def fitted(world) -> TurnoverFit:
    return fit_turnover(world[0], GROUPS, AIR, seed=5)


def shortened(fit: TurnoverFit, draws: int) -> TurnoverFit:
    """The first draws of each chain."""
    samples, stats = ({k: v[:, :draws] for k, v in group.items()} for group in (fit.samples, fit.stats))
    return replace(fit, samples=samples, stats=stats)


def test_the_fit_is_to_be_trusted(fitted):
    row = diagnose_fit("turnover", fitted)
    assert row["verdict"] == "good", row


def test_draws_of_a_coarse_grid_are_weighted_into_those_of_a_fine_one(fitted, world):
    layers, _ = world
    fine, coarse = (TurnoverModel(grid=grid) for grid in (fitted.model.grid, 90))
    rough = fit_turnover(layers, GROUPS, AIR, coarse, seed=6, until_good=False, tune=100, draws=100)
    assert rough.model.grid > coarse.grid and max(rough.quadrature) < 0.05
    start = replace(fitted, model=coarse)
    taken = weighted(start, fine, layers, AIR, seed=1)
    gain = np.subtract(*(log_likelihoods(f, layers, AIR) for f in (fitted, start)))
    for name in ("tau_layer", "mean_log_k", "model_sd"):
        values, gains = fitted.samples[name], gain.reshape(fitted.samples[name].shape)
        weight = np.exp(gains - gains.max()) / np.exp(gains - gains.max()).sum(axis=1, keepdims=True)
        expected = (weight * values).sum(axis=1)
        # taken at even places, a chain's mean is off by less than its range over its draws, times a few
        np.testing.assert_allclose(
            taken.samples[name].mean(axis=1), expected, atol=8 * np.ptp(values) / values.shape[1]
        )


def test_the_truth_is_among_the_draws(fitted):
    draws = fitted.draws()
    for name, value in TRUTH.items():
        if name != "mean_log_k":  # three biomes of nine leave it loose; contrasts are sharp
            low, high = np.quantile(draws[name], [0.0005, 0.9995])
            assert low < value < high, name
    contrast = draws["biome_offset"][:, 0] - draws["biome_offset"][:, 5]
    assert np.quantile(contrast, 0.0005) < BIOME[1] - BIOME[6] < np.quantile(contrast, 0.9995)
    contrast = draws["misfit_biome"][:, 5] - draws["misfit_biome"][:, 0]
    low, high = np.quantile(contrast, [0.0005, 0.9995])
    assert low < np.log(MISFIT[6] / MISFIT[1]) < high and np.quantile(contrast, 0.025) > 0
    assert draws["coefficient"].shape[1] == 1
    low, high = np.quantile(draws["coefficient"][:, 0], [0.0005, 0.9995])
    assert 0 < low < EFFECT < high


def test_intervals_of_log_k_cover_the_truth(fitted, world):
    layers, log_k = world
    drawn = draw_layers(fitted, layers, AIR, seed=1, count=400)
    low, high = np.quantile(drawn["log_k"].values, [0.025, 0.975], axis=0)
    inside = (low <= log_k) & (log_k <= high)
    by_profile = inside.reshape(-1, 4).mean(axis=1)  # layers of a profile go together
    assert inside.mean() == pytest.approx(0.95, abs=4 * by_profile.std() / np.sqrt(len(by_profile)))
    step = drawn["node"].values[1] - drawn["node"].values[0]
    np.testing.assert_allclose(drawn["density"].values.sum(axis=1) * step, 1, rtol=1e-9)
    mean = (drawn["density"].values * drawn["node"].values).sum(axis=1) * step
    error = drawn["log_k"].values.std(axis=0) / np.sqrt(400)
    assert (np.abs(mean - drawn["log_k"].values.mean(axis=0)) < 5 * error + step / 2).all()


def test_single_layers_under_known_hyperparameters_are_those_of_invert():
    """The independent check: one layer a profile, so both effects are one normal prior, and errors are normal."""
    layers, _ = simulate(40, seed=3, per_profile=1)
    none = Components.fit(layers, {})
    known = {
        "mean_log_k": np.array(TRUTH["mean_log_k"]),
        "slope": SLOPE,
        "biome_offset": np.zeros(9),
        "slope_offset": np.zeros((2, 9)),
        "coefficient": np.zeros(0),
        "profile_scale": np.ones(9),
        "misfit_depth": np.array(0.0),
        "misfit_biome": np.zeros(9),
        "misfit_period": np.zeros(4),
        "nu_profile": np.array(1e6),  # Normal
        "profile_skew": np.array(0.0),
        "nu": np.array(np.inf),
        **{name: np.array(TRUTH[name]) for name in ("tau_profile", "tau_layer", "model_sd")},
    }
    draws = 3000
    samples = {k: np.broadcast_to(v, (1, draws, *v.shape)) for k, v in known.items()}
    fit = TurnoverFit(TurnoverModel(error="normal"), none, samples, {}, (0.0, 0.0))
    drawn = draw_layers(fit, layers, AIR, seed=2)
    mean = TRUTH["mean_log_k"] + depth_functions((layers["top"] + layers["bottom"]) / 2) @ SLOPE
    prior = LogNormalPrior(np.exp(-mean), np.hypot(TRUTH["tau_profile"], TRUTH["tau_layer"]))
    data = (layers["delta14c"], layers["sigma"], layers["year"], layers["zone"].to_numpy(str))
    alone = invert(*data, prior, model_sd=TRUTH["model_sd"])
    for level, name in ((0.025, "p025"), (0.5, "median"), (0.975, "p975")):
        exact = np.log(alone[f"k_{name}"].values)
        below = (drawn["log_k"].values < exact).mean(axis=0)
        # 40 binomial shares at 5 standard errors, and half a grid cell
        assert np.abs(below - level).max() < 5 * np.sqrt(level * (1 - level) / draws) + 0.02, name


@pytest.mark.parametrize(("skew", "nu"), [(-0.4, 6.0), (0.5, 9.0)])
def test_quantiles_of_a_profiles_effect_are_those_of_its_weights(skew, nu):
    nodes, share = np.linspace(-6, 6, 4801), np.array([0.05, 0.5, 0.8])
    weight = np.exp(student_log_weight(jnp.array(nodes), jnp.array([0.4]), nu, skew)[0], dtype=float)
    found = profile_quantile(share, 0.4, skew, nu)
    np.testing.assert_allclose(np.interp(found, nodes + 0.00125, np.cumsum(weight)), share, atol=2e-3)  # tails are cut


def test_the_misfit_of_a_layer_is_that_of_its_biome_year_and_depth():
    layers = pd.DataFrame(
        {"top": [20.0, 20, 80], "bottom": [40.0, 40, 120], "biome": [1, 6, 1], "year": [1949.5, 2005, 1990]}
    )
    log_depth = np.log1p(100 / 10) - np.log1p(30 / 10)
    sample = {"misfit_biome": np.log(np.arange(1.0, 10)), "misfit_period": np.log([1.0, 10, 100, 1000])}
    found = misfit_sd(misfit_design(layers), sample | {"model_sd": 20.0, "misfit_depth": 0.5})
    np.testing.assert_allclose(found, [20, 20 * 6 * 1000, 20 * 100 * np.exp(0.5 * log_depth)], rtol=1e-5)


def test_profiles_are_extended_with_their_own_effect(fitted, world):
    layers, _ = world
    drawn = draw_layers(fitted, layers, AIR, seed=1, count=200)
    again = extend_profiles(fitted, drawn["effect"].values, layers, seed=9)
    assert again.shape == drawn["log_k"].values.shape
    apart = again.mean(axis=0) - drawn["log_k"].values.mean(axis=0)  # what the layer's own measurement adds
    assert np.abs(apart).mean() < TRUTH["tau_layer"]
    blank = draw_layers(fitted, layers.assign(delta14c=np.nan), AIR, seed=1, count=200)
    assert again.std(axis=0).mean() < 0.8 * blank.log_k.std(axis=0).mean()  # the effect is known


def test_the_file_gives_the_fit_back(fitted, world, tmp_path):
    layers, _ = world
    fit = shortened(fitted, 150)
    drawn = draw_layers(fit, layers, AIR, seed=1)
    tree = turnover_tree(layers, drawn, fit)
    save_turnover(tmp_path / "turnover.nc", tree)
    again = read_fit(tmp_path / "turnover.nc")
    assert again.model == fit.model and again.components.names == fit.components.names
    np.testing.assert_array_equal(again.samples["tau_layer"], fit.samples["tau_layer"])
    np.testing.assert_array_equal(draw_layers(again, layers, AIR, seed=1)["log_k"].values, drawn["log_k"].values)
    with pytest.raises(InputError, match="fit turnover"):
        read_fit(tmp_path / "none.nc")


def test_leaving_a_profile_out_is_safe(fitted, world):
    layers, _ = world
    values = draw_layers(fitted, layers, AIR, seed=1)["log_likelihood"].values
    assert values.shape == (fitted.samples["tau_layer"].size, PROFILES)
    some = np.arange(16) * len(values) // 16
    np.testing.assert_allclose(log_likelihoods(fitted, layers, AIR, 16), values[some].sum(axis=1), atol=1e-5)
    loo = leave_one_out(values, len(fitted.samples["tau_layer"]))
    assert loo["pareto_k_bad"] < 0.02
    assert 2 < loo["p_loo"] < 40  # about as many as there are free hyperparameters


@pytest.mark.slow
def test_held_out_profiles_are_covered():
    layers, _ = simulate(PROFILES, seed=6, per_profile=2)
    scores, fits = cross_validate(layers, GROUPS, AIR, TurnoverModel(), seed=4, folds=2)
    assert fits["fold"].tolist() == [0, 1] and (fits["divergences"] <= 5).all()  # 1 % of the draws
    assert (fits["r_hat_max"] < 1.1).all() and (fits["quadrature_error"] < 0.05).all()
    table = score_table(scores, layers)
    every = table.iloc[0]
    assert every["layers"] == len(layers)
    assert every["coverage95"] == pytest.approx(0.95, abs=4 * every["coverage95_se"])
    assert every["pit_mean"] == pytest.approx(0.5, abs=4 * 0.29 / np.sqrt(PROFILES))
    # predicting from place and depth beats the climatology of all layers
    assert every["crps"] < 0.8 * np.abs(layers["delta14c"] - layers["delta14c"].median()).mean()


@pytest.mark.slow
def test_ranks_of_the_truth_are_uniform():
    """Simulation-based calibration, small: 12 uniform ranks have a mean with a standard error of 0.29/√12; of their
    squared distance from 0.5 it is 0.075/√12, and less for the mean over quantities, of which half may tell the same.
    """
    layers, _ = simulate(12, seed=8, per_profile=3)
    ranks, fits = calibrate(layers, AIR, TurnoverModel(), seed=3, simulations=12)
    assert len(fits) == 12 and (fits["r_hat_max"] < 1.05).all()
    apart = ((ranks - 0.5) ** 2).to_numpy().mean()
    assert apart == pytest.approx(1 / 12, abs=4 * 0.075 / np.sqrt(12 * ranks.shape[1] / 2))
    table = calibration_table(ranks)
    assert set(table["quantity"]) >= {"tau_profile", "tau_layer", "model_sd", "log_k"}
    assert (table["rank_mean"] - 0.5).abs().max() < 4 * 0.29 / np.sqrt(12)
    assert ((ranks > 0) & (ranks < 1)).to_numpy().mean() > 0.8  # truths are inside their posteriors


def test_too_few_layers_are_refused():
    layers, _ = simulate(4)
    with pytest.raises(InputError, match=r"^15 radiocarbon layers are too few"):
        fit_turnover(layers.assign(delta14c=layers["delta14c"].where(layers.index > 0)), {}, AIR, seed=1)


def test_worlds_of_a_calibration_have_studies_and_sites_in_common():
    """Whole studies with several profiles each, few layers of each profile, and one of each where nothing is shared."""
    studies, profiles, layers = 12, 5, 6
    table = pd.DataFrame(
        [
            {"profile_index": s * profiles + p, "study": f"s{s}", "site": f"s{s}-{p // 2}", "layer": number}
            for s in range(studies)
            for p in range(profiles if s % 2 else 1)
            for number in range(layers)
        ]
    )
    few = calibration_layers(table)
    by_profile = few.groupby("profile_index")
    assert (by_profile.size() == 3).all() and by_profile["layer"].max().max() == 2
    by_study = few.groupby("study")["profile_index"].nunique()
    assert (by_study == 3).all() and len(by_study) == 6  # those with several profiles
    assert sorted(few["profile_index"].unique()) == list(range(18))
    alone = calibration_layers(table.drop(columns=["study", "site"]))
    assert alone["profile_index"].nunique() == 24
