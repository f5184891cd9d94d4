"""Is a posterior to be trusted? What every fit is asked: leave one unit out, predict held-out units, rank known truths.

A unit is what goes together: a soil profile with its layers, a site with its records.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chisquare

from ..constants import BIOMES, INTERVAL
from ..crps import ensemble_crps, ensemble_log_density
from ..progress import Progress
from ..seeds import child_seed

PARETO_K_GOOD = 0.7
CALIBRATION_DRAWS = 99
"""Thinned draws among which a truth has its rank: one of 100 places, so that ten bins are alike."""

BAND_SIMULATIONS = 1000
"""Sets of uniform ranks from which the band of their cumulative distribution is found."""

type Draws = dict[str, NDArray[np.float64]]


def leave_one_out(log_likelihood: NDArray[np.float64], chains: int) -> dict[str, Any]:
    """PSIS-LOO by unit. A unit's own effect is summed out of its likelihood, so leaving it out changes little but the
    hyperparameters, and importance sampling is safe.

    Parameters
    ----------
    log_likelihood : ndarray
        Log likelihood of each unit in all draws of the fit, chain after chain, (draw, unit).

    Returns
    -------
    dict of str to object
        `elpd_loo`, `elpd_se`, `p_loo`, `pareto_k_bad` (share of units above 0.7).
    """
    values = log_likelihood.reshape(chains, -1, log_likelihood.shape[1])
    none = {"none": np.zeros(values.shape[:2])}  # ArviZ wants a posterior along with the likelihood
    tree = az.from_dict({"posterior": none, "log_likelihood": {"units": values}})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter")  # it is in the table
        loo = az.loo(tree, pointwise=True, reff=1.0)
    bad = float((np.asarray(loo.pareto_k) > PARETO_K_GOOD).mean())
    return {"elpd_loo": float(loo.elpd), "elpd_se": float(loo.se), "p_loo": float(loo.p), "pareto_k_bad": bad}


def predictive_scores(
    observed: NDArray[np.float64], replicated: NDArray[np.floating], mean: NDArray[np.floating]
) -> pd.DataFrame:
    """How observations lie in their predictions, one row each.

    Parameters
    ----------
    replicated : ndarray
        Draws of a new measurement, (draw, n).
    mean : ndarray
        Mean of the predictions without measurement error, (n,).

    Returns
    -------
    DataFrame
        `observed`, `mean`, `p025`, `p975`, `pit` (share of the predictive below the observation), `crps`, `log_score`
        (log of the predictive density at the observation).
    """
    replicated = replicated.astype(float)
    lower, upper = np.quantile(replicated, INTERVAL, axis=0)
    pit = (replicated < observed).mean(axis=0)
    of_draws = {
        "crps": ensemble_crps(observed, replicated, axis=0),
        "log_score": ensemble_log_density(observed, replicated, axis=0),
    }
    columns = {"observed": observed, "mean": mean, "p025": lower, "p975": upper, "pit": pit}
    return pd.DataFrame(columns | of_draws)


def score_table(
    scores: pd.DataFrame,
    unit: pd.Series,
    classes: dict[tuple[str, str], NDArray[np.bool_]],
    names: tuple[str, str] = ("records", "units"),
) -> pd.DataFrame:
    """Scores by class: `group`, `class`, how many rows and units, `coverage95`, `coverage50`, `pit_mean`, `crps`,
    `log_score`, `bias`, `rmse`.

    Errors of one unit's rows go together, so a class of few units may miss 95 % by chance: `coverage95_se` is from the
    spread between units.
    """
    rows = []
    for (group, name), here in ({("all", "all"): np.ones(len(scores), bool)} | classes).items():
        if not here.any():
            continue
        s = scores[here]
        inside = ((s["observed"] >= s["p025"]) & (s["observed"] <= s["p975"])).to_numpy(float)
        number = np.unique(unit[here], return_inverse=True)[1]
        excess = np.bincount(number, inside - inside.mean())
        error = s["observed"] - s["mean"]
        rows.append(
            {
                "group": group,
                "class": name,
                names[0]: len(s),
                names[1]: number.max() + 1,
                "coverage95": inside.mean(),
                "coverage95_se": float(np.sqrt((excess**2).sum()) / len(s)),
                "coverage50": s["pit"].between(0.25, 0.75).mean(),
                "pit_mean": s["pit"].mean(),
                "crps": s["crps"].mean(),
                "log_score": s["log_score"].mean(),
                "bias": error.mean(),
                "rmse": float(np.sqrt((error**2).mean())),
            }
        )
    return pd.DataFrame(rows)


def by_biome(biome: ArrayLike) -> dict[tuple[str, str], NDArray[np.bool_]]:
    """Classes of `score_table`: the rows of each biome."""
    return {("biome", name): np.asarray(biome, int) == number for number, name in BIOMES.items()}


def cross_validate(
    observed: NDArray[np.float64],
    unit: pd.Series,
    predict: Callable[[int, NDArray[np.bool_]], tuple[NDArray, NDArray, dict[str, object]]],
    *,
    folds: int,
    seed: int,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predicts each unit from a fit to the others.

    Parameters
    ----------
    predict : callable
        Function of a fold's number and the mask of its rows: fits the other rows, and returns replicates of these
        (draw, row), their mean without measurement error (row,), and the row of `diagnose`.

    Returns
    -------
    scores : DataFrame
        `fold`, and the columns of `predictive_scores`, one row for each observation.
    fits : DataFrame
        Diagnostics of each fold's fit.
    """
    names = unit.unique()
    order = np.random.default_rng(seed).permutation(len(names)) % folds
    fold = pd.Series(order, names)[unit].to_numpy()
    parts, fits = [], []
    for number in range(folds):
        held = fold == number
        replicated, mean, row = predict(number, held)
        fits.append(_short("fold", number, row))
        part = predictive_scores(observed[held], replicated, mean)
        parts.append(part.set_index(np.flatnonzero(held)).assign(fold=number))
        if progress:
            progress(number + 1, folds)
    scores = pd.concat(parts).sort_index()
    return scores[["fold", *scores.columns.drop("fold")]], pd.DataFrame(fits)


type Ranks = tuple[pd.DataFrame, pd.DataFrame]
"""Results of simulation-based calibration: ranks in 0 … 1, one row a simulation, and the diagnostics of the fits."""


def calibrate[Data](
    simulate: Callable[[int], tuple[dict[str, float], Data]],
    infer: Callable[[int, Data], tuple[Draws, dict[str, object]]],
    *,
    seed: int,
    simulations: int,
    done: Ranks | None = None,
    keep: Callable[[Ranks], None] | None = None,
    progress: Progress | None = None,
) -> Ranks:
    """Simulation-based calibration (Talts et al. 2018): where everything is right, the rank of a truth among thinned
    posterior draws is uniform.

    Parameters
    ----------
    simulate : callable
        Function of a seed: draws true values from the prior, and data that follow from them.
    infer : callable
        Fits the data; returns `CALIBRATION_DRAWS` draws of each of these values, and the row of `diagnose`.
    done : Ranks, optional
        Results of the first simulations, from an earlier call; they are not repeated.
    keep : callable, optional
        Called after each simulation with all results until then, to save them.

    Returns
    -------
    ranks : DataFrame
        One row a simulation: the rank, in 0 … 1, of each value.
    fits : DataFrame
        Diagnostics of each fit.
    """
    rows, fits = ([dict(row) for _, row in table.iterrows()] for table in done or (pd.DataFrame(), pd.DataFrame()))
    for number in range(len(rows), simulations):
        truth, data = simulate(child_seed(seed, number, "truth"))
        draws, row = infer(child_seed(seed, number, "fit"), data)
        rows.append({name: float((draws[name] < value).mean()) for name, value in truth.items()})
        fits.append(_short("simulation", number, row))
        if keep:
            keep((pd.DataFrame(rows), pd.DataFrame(fits)))
        if progress:
            progress(number + 1, simulations)
    return pd.DataFrame(rows), pd.DataFrame(fits)


def calibration_table(ranks: pd.DataFrame) -> pd.DataFrame:
    """Each quantity's ranks against uniform: mean, the p-value of a chi-squared test on ten bins, and how much of their
    cumulative distribution is outside the band that holds all of it in 95 % of cases (Säilynoja et al. 2022).
    """
    from arviz_stats.ecdf_utils import ecdf_pit

    bins = max(2, min(10, len(ranks) // 5))
    rows = []
    for name, values in ranks.items():
        counts = np.histogram(values, bins, (0, 1 + 1e-9))[0]
        middle = (values * CALIBRATION_DRAWS + 0.5) / (CALIBRATION_DRAWS + 1)  # of the rank's place
        outside = np.nan
        if len(values) > 1:
            _, ecdf, low, high = ecdf_pit(middle, INTERVAL[1] - INTERVAL[0], BAND_SIMULATIONS)
            outside = float(((ecdf < low) | (ecdf > high)).mean())
        rows.append(
            {
                "quantity": name,
                "simulations": len(values),
                "rank_mean": values.mean(),
                "p_uniform": chisquare(counts).pvalue,
                "outside_band": outside,
            }
        )
    return pd.DataFrame(rows)


def _short(kind: str, number: int, row: dict[str, object]) -> dict[str, object]:
    """Diagnostics of one of many fits; too short, each by itself, for the verdict of a fit that is to be used."""
    return {kind: number} | {name: value for name, value in row.items() if name not in ("fit", "verdict")}
