"""Is the turnover posterior to be trusted? Predictive checks, leave-one-profile-out, cross-validation, calibration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import arviz as az
import jax
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from numpyro.infer import Predictive

from ..constants import BIOMES, INTERVAL
from ..data.atmosphere import Atmosphere
from ..models.components import Components
from ..models.turnover import TurnoverModel, turnover_model
from ..progress import Progress, part_of
from .turnover import LayerDraws, TurnoverFit, complete, diagnose_fit, draw_layers, fit_turnover

DEPTH_CLASSES = ((0, 10), (10, 30), (30, 60), (60, 100), (100, 200))
"""Depths (cm, by the middle of a layer) in which predictions are scored."""

PERIODS = ((1950, 1970), (1970, 1990), (1990, 2005), (2005, 2100))
PARETO_K_GOOD = 0.7


def sample_prior(model: TurnoverModel, n_components: int, count: int, seed: int) -> dict[str, NDArray]:
    """Hyperparameters from their priors, (draw, …)."""
    with jax.enable_x64(True):
        drawn = Predictive(turnover_model, num_samples=count)(
            jax.random.key(seed), None, None, n_components, tuple(BIOMES), student=model.student
        )
    samples = {name: np.asarray(v) for name, v in drawn.items()}
    return complete(samples, tuple(BIOMES), seed)


def draw_prior(
    fit: TurnoverFit, layers: pd.DataFrame, atmosphere: Atmosphere, *, seed: int, count: int = 200
) -> tuple[dict[str, NDArray], LayerDraws]:
    """Prior hyperparameters, and what radiocarbon they would make of the layers: the prior predictive."""
    samples = sample_prior(fit.model, len(fit.components.names), count, seed)
    prior = replace(fit, samples={k: v[None] for k, v in samples.items()})
    return samples, draw_layers(prior, layers.assign(delta14c=np.nan), atmosphere, seed=seed)


def leave_profile_out(fit: TurnoverFit, log_likelihood: NDArray[np.float64]) -> dict[str, Any]:
    """PSIS-LOO by profile. A profile's own effect is summed out of its likelihood, so leaving it out changes little but
    the hyperparameters, and importance sampling is safe.

    Parameters
    ----------
    log_likelihood : of all draws of the fit, (draw, profile), as `draw_layers` gives it.

    Returns
    -------
    `elpd_loo`, `elpd_se`, `p_loo`, `pareto_k_bad` (share of profiles above 0.7).
    """
    import warnings

    chains = len(fit.samples["tau_layer"])
    tree = az.from_dict(
        {
            "posterior": {"tau_layer": fit.samples["tau_layer"]},
            "log_likelihood": {"profiles": log_likelihood.reshape(chains, -1, log_likelihood.shape[1])},
        }
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter")  # it is in the table
        loo = az.loo(tree, pointwise=True)
    bad = float((np.asarray(loo.pareto_k) > PARETO_K_GOOD).mean())
    return {"elpd_loo": float(loo.elpd), "elpd_se": float(loo.se), "p_loo": float(loo.p), "pareto_k_bad": bad}


def cross_validate(
    layers: pd.DataFrame,
    groups: dict[str, list[str]],
    atmosphere: Atmosphere,
    model: TurnoverModel,
    *,
    seed: int,
    folds: int = 10,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predicts each profile from a fit to the others.

    Returns
    -------
    scores : one row a layer, in the order of `layers`: `fold`, `observed`, `mean`, `p025`, `p975` (‰), `pit` (share of
        the predictive below the observation), `crps` (‰). fits : the diagnostics of each fold's fit.
    """
    rng = np.random.default_rng(seed)
    profiles = layers["profile_index"].unique()
    fold = pd.Series(rng.permutation(len(profiles)) % folds, profiles)[layers["profile_index"]].to_numpy()
    parts, fits = [], []
    for number in range(folds):
        held = fold == number
        blank = layers.assign(delta14c=layers["delta14c"].where(~held))  # of one shape: compiled once
        fit = fit_turnover(
            blank,
            groups,
            atmosphere,
            model,
            seed=seed + number,
            chains=2,
            tune=150,
            draws=250,
            until_good=False,
            progress=part_of(progress, number, folds),
        )
        fits.append(_short_fit("fold", number, fit))
        drawn = draw_layers(fit, blank[held], atmosphere, seed=seed)
        observed = layers.loc[held, "delta14c"].to_numpy()
        parts.append(
            pd.DataFrame(_scores(observed, drawn), index=np.flatnonzero(held)).assign(observed=observed, fold=number)
        )
    scores = pd.concat(parts).sort_index()[["fold", "observed", "mean", "p025", "p975", "pit", "crps"]]
    return scores, pd.DataFrame(fits)


def _short_fit(kind: str, number: int, fit: TurnoverFit) -> dict[str, object]:
    """Diagnostics of one of many fits; too short, each by itself, for the verdict of a fit that is to be used."""
    row = diagnose_fit(str(number), fit)
    return {kind: number} | {name: value for name, value in row.items() if name not in ("fit", "verdict")}


def _scores(observed: NDArray, drawn: LayerDraws) -> dict[str, NDArray]:
    replicated = np.sort(drawn.replicated.astype(float), axis=0)
    n = len(replicated)
    lower, upper = np.quantile(replicated, INTERVAL, axis=0)
    # E|X - y| - E|X - X'|/2, the latter from the order statistics (Zamo & Naveau 2018)
    weight = (2 * np.arange(1, n + 1) - n - 1)[:, None] / (n * (n - 1))
    crps = np.abs(replicated - observed).mean(axis=0) - (weight * replicated).sum(axis=0)
    return {
        "mean": drawn.fitted.mean(axis=0),
        "p025": lower,
        "p975": upper,
        "pit": (replicated < observed).mean(axis=0),
        "crps": crps,
    }


def predictive_scores(observed: NDArray, drawn: LayerDraws) -> pd.DataFrame:
    """The same scores for any draws: of the layers that were fitted, a posterior predictive check."""
    return pd.DataFrame(_scores(observed, drawn)).assign(observed=observed)


def score_table(scores: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """Scores by depth, biome and period: `group`, `class`, layers, profiles, coverage95, coverage50, pit_mean, crps,
    bias, rmse (‰).

    Errors of layers of one profile go together, so a class of few profiles may miss 95 % by chance: `coverage95_se` is
    from the spread between profiles.
    """
    middle = ((layers["top"] + layers["bottom"]) / 2).to_numpy()
    year = layers["year"].to_numpy()
    classes = {("all", "all"): np.ones(len(layers), bool)}
    classes |= {("depth, cm", f"{a}-{b}"): (middle >= a) & (middle < b) for a, b in DEPTH_CLASSES}
    classes |= {("biome", name): (layers["biome"] == b).to_numpy() for b, name in BIOMES.items()}
    classes |= {("sampled", f"{a}-{b - 1}"): (year >= a) & (year < b) for a, b in PERIODS}
    rows = []
    for (group, name), here in classes.items():
        if not here.any():
            continue
        s = scores[here]
        inside = ((s["observed"] >= s["p025"]) & (s["observed"] <= s["p975"])).to_numpy(float)
        profile = np.unique(layers.loc[here, "profile_index"], return_inverse=True)[1]
        excess = np.bincount(profile, inside - inside.mean())
        error = s["observed"] - s["mean"]
        rows.append(
            {
                "group": group,
                "class": name,
                "layers": len(s),
                "profiles": profile.max() + 1,
                "coverage95": inside.mean(),
                "coverage95_se": float(np.sqrt((excess**2).sum()) / len(s)),
                "coverage50": s["pit"].between(0.25, 0.75).mean(),
                "pit_mean": s["pit"].mean(),
                "crps": s["crps"].mean(),
                "bias": error.mean(),
                "rmse": float(np.sqrt((error**2).mean())),
            }
        )
    return pd.DataFrame(rows)


RANKED = ("mean_log_k", "slope_log", "slope_linear", "biome_sd", "tau_profile", "tau_layer", "model_sd", "nu")
"""Hyperparameters whose ranks are looked at in simulation-based calibration."""


CALIBRATION_PROFILES = 40


def calibration_layers(layers: pd.DataFrame) -> pd.DataFrame:
    """The design of calibration: profiles spread evenly over the table, at most five layers each."""
    few = layers[layers.groupby("profile_index").cumcount() < 5]
    profiles = few["profile_index"].unique()
    chosen = profiles[np.linspace(0, len(profiles) - 1, min(CALIBRATION_PROFILES, len(profiles))).astype(int)]
    few = few[few["profile_index"].isin(chosen)].reset_index(drop=True)
    return few.assign(profile_index=pd.factorize(few["profile_index"])[0])


def calibrate(
    layers: pd.DataFrame,
    atmosphere: Atmosphere,
    model: TurnoverModel,
    *,
    seed: int,
    simulations: int,
    draws: int = 100,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulation-based calibration (Talts et al. 2018): truth from the prior, data from the truth, a fit to the data.

    Where everything is right, the rank of the truth among thinned posterior draws is uniform; so is that of one layer's
    log k. The layers give the design (depths, biomes, years, σ); covariates are left out.

    Returns
    -------
    ranks : one row a simulation: the rank, in 0 … 1, of each of `RANKED` and of the `log_k` of the first layer.
    fits : the diagnostics of each fit.
    """
    none = Components.fit(layers, {})
    rows, fits = [], []
    names = [n for n in RANKED if n != "nu" or model.student]
    for number in range(simulations):
        truth = {k: v[None] for k, v in sample_prior(model, 0, 1, seed + number).items()}
        blank = layers.assign(delta14c=np.nan)
        true_fit = TurnoverFit(model, none, truth, {}, (0.0, 0.0))
        world = draw_layers(true_fit, blank, atmosphere, seed=seed + number)
        data = layers.assign(delta14c=world.replicated[0].astype(float))
        fit = fit_turnover(data, {}, atmosphere, model, seed=seed + number, chains=2, tune=200, draws=2 * draws)
        fits.append(_short_fit("simulation", number, fit))
        posterior = fit.draws(draws)
        layer = draw_layers(fit, data, atmosphere, seed=seed + number + simulations, count=draws).log_k[:, 0]
        ranks = {name: float((posterior[name] < truth[name][0, 0]).mean()) for name in names}
        rows.append(ranks | {"log_k": float((layer < world.log_k[0, 0]).mean())})
        if progress:
            progress(number + 1, simulations)
    return pd.DataFrame(rows), pd.DataFrame(fits)


def calibration_table(ranks: pd.DataFrame) -> pd.DataFrame:
    """Each quantity's ranks against uniform: mean, and the p-value of a chi-squared test on ten bins."""
    from scipy.stats import chisquare

    bins = max(2, min(10, len(ranks) // 5))
    rows = []
    for name, values in ranks.items():
        counts = np.histogram(values, bins, (0, 1 + 1e-9))[0]
        rows.append(
            {
                "quantity": name,
                "simulations": len(values),
                "rank_mean": values.mean(),
                "p_uniform": chisquare(counts).pvalue,
            }
        )
    return pd.DataFrame(rows)
