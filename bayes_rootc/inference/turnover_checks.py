"""Can the turnover posterior be trusted? The diagnostics of `checks`, applied to layers and profiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import BIOMES
from ..data.atmosphere import Atmosphere
from ..models.components import Components
from ..models.marginal import EFFECT_RANGE
from ..models.radiocarbon import atmosphere_sd
from ..models.rates import values_at
from ..models.turnover import (
    PERIOD_NAMES,
    Structure,
    TurnoverModel,
    design,
    misfit_design,
    misfit_sd,
    period_of,
    prior_draws,
    profile_quantile,
    regression_vector,
    spread_design,
    spread_of,
)
from ..progress import Progress, part_of
from ..seeds import child_seed
from . import checks
from .turnover_fit import LAYER_GRID, TurnoverFit, complete, diagnose_fit, draw_errors, draw_layers, fit_turnover

DEPTH_CLASSES = ((0, 10), (10, 30), (30, 60), (60, 100), (100, 200))
"""Depths (cm, by the middle of a layer) in which predictions are scored."""


def sample_prior(model: TurnoverModel, n_components: int, count: int, seed: int) -> dict[str, NDArray]:
    """Draws of the hyperparameters from their priors, (draw, …)."""
    rng = np.random.default_rng(child_seed(seed, "sites"))
    samples = prior_draws(Structure.of(model, n_components, tuple(BIOMES)), count, rng)
    return complete(samples, tuple(BIOMES), child_seed(seed, "complete"))


def draw_prior(
    fit: TurnoverFit, layers: pd.DataFrame, atmosphere: Atmosphere, *, seed: int, count: int = 200
) -> tuple[dict[str, NDArray], xr.Dataset]:
    """Prior hyperparameters, and what radiocarbon they would make of the layers: the prior predictive."""
    samples = sample_prior(fit.model, len(fit.components.names), count, child_seed(seed, "hyperparameters"))
    prior = replace(fit, samples={k: v[None] for k, v in samples.items()})
    return samples, draw_layers(prior, layers.assign(delta14c=np.nan), atmosphere, seed=child_seed(seed, "layers"))


def cross_validate(
    layers: pd.DataFrame,
    groups: dict[str, list[str]],
    atmosphere: Atmosphere,
    model: TurnoverModel,
    *,
    seed: int,
    folds: int = 10,
    by: Literal["profile", "study"] = "profile",
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predicts each profile, or all profiles of a study, from a fit to the others.

    Parameters
    ----------
    layers, groups, atmosphere, model
        As in `fit_turnover`; `study` too, if whole studies are held out.
    seed : int
        Seed of the folds and of their fits.
    folds : int
        Number of parts.
    by : {"profile", "study"}
        What is held out as a whole.
    progress : callable, optional
        Called with the folds done and wanted.

    Returns
    -------
    scores, fits : DataFrame
        Results of `checks.cross_validate`, ‰; scores have one row a layer, in the order of `layers`.
    """
    observed = layers["delta14c"].to_numpy()

    def predict(number: int, held: NDArray[np.bool_]) -> tuple[NDArray, NDArray, dict[str, object]]:
        measured = [name for name in ("delta14c", "respired") if name in layers]
        blank = layers.assign(**layers[measured].where(~held))  # of one shape: compiled once
        fit = fit_turnover(
            blank,
            groups,
            atmosphere,
            model,
            seed=child_seed(seed, "fit", number),
            chains=2,
            tune=150,
            draws=250,
            until_good=False,
            progress=part_of(progress, number, folds),
        )
        drawn = draw_layers(fit, blank[held], atmosphere, seed=child_seed(seed, "layers", number))
        return drawn["replicated"].values, drawn["fitted"].values.mean(axis=0), diagnose_fit(str(number), fit)

    unit = layers["profile_index"] if by == "profile" else pd.Series(pd.factorize(layers["study"])[0])
    return checks.cross_validate(observed, unit, predict, folds=folds, seed=child_seed(seed, "folds"))


def ppc_scores(layers: pd.DataFrame, drawn: xr.Dataset) -> pd.DataFrame:
    """Scores of the layers that were fitted, in their own replicates: a posterior predictive check."""
    replicated, fitted = (drawn[name].values for name in ("replicated", "fitted"))
    return checks.predictive_scores(layers["delta14c"].to_numpy(), replicated, fitted.mean(axis=0))


def score_table(scores: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """`checks.score_table` by depth, biome and period."""
    middle = ((layers["top"] + layers["bottom"]) / 2).to_numpy()
    period = period_of(layers["year"])
    classes = {("depth, cm", f"{a}-{b}"): (middle >= a) & (middle < b) for a, b in DEPTH_CLASSES}
    classes |= {("biome", name): (layers["biome"] == b).to_numpy() for b, name in BIOMES.items()}
    classes |= {("sampled", name): period == number for number, name in enumerate(PERIOD_NAMES)}
    return checks.score_table(scores, layers["profile_index"], classes, ("layers", "profiles"))


RANKED = (
    "mean_log_k",
    "slope_log",
    "slope_linear",
    "biome_sd",
    "tau_profile",
    "profile_skew",
    "tau_layer",
    "model_sd",
    "nu",
    "log_spread",
    "spread_slope",
)
"""Hyperparameters that simulation-based calibration ranks."""


CALIBRATION_PROFILES = 40


def calibration_layers(layers: pd.DataFrame) -> pd.DataFrame:
    """The design of calibration: profiles spread evenly over the table, at most five layers each."""
    few = layers[layers.groupby("profile_index").cumcount() < 5]
    profiles = few["profile_index"].unique()
    chosen = profiles[np.linspace(0, len(profiles) - 1, min(CALIBRATION_PROFILES, len(profiles))).astype(int)]
    few = few[few["profile_index"].isin(chosen)].reset_index(drop=True)
    return few.assign(profile_index=pd.factorize(few["profile_index"])[0])


def simulate(
    layers: pd.DataFrame, atmosphere: Atmosphere, model: TurnoverModel, *, seed: int
) -> tuple[dict[str, NDArray], NDArray[np.float64], pd.DataFrame]:
    """Hyperparameters from their prior, (1, 1, …), log k of layers, (layer,), and the layers with the Δ14C (‰) of their
    bulk, and of what they respire where that was measured, that follow from them.

    The likelihood is that of the data *and* of every log k lying in the range of the grid, of which a distribution that
    reaches beyond is not made to hold more. So truths are drawn again until that is the case.
    """
    rng = np.random.default_rng(seed)
    fine = replace(model, grid=LAYER_GRID)
    X, nodes = design(layers, Components.fit(layers, {})), fine.log_k
    _, first, profile = np.unique(layers["profile_index"], return_index=True, return_inverse=True)
    biome = layers["biome"].to_numpy(int)[first] - 1
    known = layers["sigma"].to_numpy(float) ** 2
    known += atmosphere_sd(layers["year"].to_numpy(float), layers["zone"].to_numpy(str), atmosphere) ** 2
    while True:
        truth = {k: v[0] for k, v in sample_prior(model, 0, 1, int(rng.integers(2**31))).items()}
        scale = truth["tau_profile"] * truth["profile_scale"][biome]
        effect = np.full(len(first), np.inf)
        while (beyond := np.abs(effect) > EFFECT_RANGE).any():
            drawn = profile_quantile(rng.uniform(size=len(first)), scale, truth["profile_skew"], truth["nu_profile"])
            effect = np.where(beyond, drawn, effect)
        log_k = X @ np.asarray(regression_vector(truth)) + effect[profile]
        log_k += truth["tau_layer"] * rng.standard_normal(len(layers))
        if ((log_k >= nodes[0]) & (log_k <= nodes[-1])).all():
            break
    out = layers.copy()

    def measured(fitted: NDArray[np.float64], variance: Any) -> NDArray[np.float64]:
        nu = float(truth["nu"]) if model.student else np.inf
        return fitted + np.sqrt(variance) * draw_errors(rng, nu, len(fitted))

    misfit = np.asarray(misfit_sd(misfit_design(layers), truth)) ** 2
    if model.inferred:
        means, place = fine.mean_tables(layers, atmosphere), (log_k - nodes[0]) / (nodes[1] - nodes[0])
        spread, there = np.asarray(spread_of(spread_design(layers), truth), float), means.incubated
        fitted = values_at(means.bulk, means.row, spread, place)
        respired = values_at(means.respired, np.arange(len(there)), spread[there], place[there])
        if len(there):
            error = layers["respired_sigma"].to_numpy(float)[there] ** 2 + truth["respired_sd"] ** 2
            out.loc[out.index[there], "respired"] = measured(respired, error)
    else:
        predicted = fine.predicted(layers, atmosphere)
        fitted = np.array([np.interp(k, nodes, row) for k, row in zip(log_k, predicted, strict=True)])
    out["delta14c"] = measured(fitted, known + misfit)
    return {k: v[None, None] for k, v in truth.items()}, log_k, out


def calibrate(
    layers: pd.DataFrame,
    atmosphere: Atmosphere,
    model: TurnoverModel,
    *,
    seed: int,
    simulations: int,
    done: checks.Ranks | None = None,
    keep: Callable[[checks.Ranks], None] | None = None,
    progress: Progress | None = None,
) -> checks.Ranks:
    """`checks.calibrate` of `RANKED` and of the `log_k` of the first layer. The layers give the design (depths, biomes,
    years, σ); covariates are left out.
    """
    left_out = [*([] if model.student else ["nu"]), *([] if model.inferred else ["log_spread", "spread_slope"])]
    names = [name for name in RANKED if name not in left_out]

    def truth(seed: int) -> tuple[dict[str, float], pd.DataFrame]:
        sample, log_k, simulated = simulate(layers, atmosphere, model, seed=seed)
        values = {name: float(sample[name][0, 0]) for name in names}
        return values | {"log_k": float(log_k[0])}, simulated

    def infer(seed: int, data: pd.DataFrame) -> tuple[checks.Draws, dict[str, object]]:
        fit = fit_turnover(data, {}, atmosphere, model, seed=child_seed(seed, "fit"), chains=2, tune=200, draws=200)
        posterior = fit.draws(checks.CALIBRATION_DRAWS)
        drawn = draw_layers(fit, data, atmosphere, seed=child_seed(seed, "layers"), count=checks.CALIBRATION_DRAWS)
        draws = {name: posterior[name] for name in names} | {"log_k": drawn["log_k"].values[:, 0].astype(float)}
        return draws, diagnose_fit(str(seed), fit)

    how: Any = {"done": done, "keep": keep, "progress": progress}
    return checks.calibrate(truth, infer, seed=seed, simulations=simulations, **how)
