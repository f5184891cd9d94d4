"""All learners on places that they have not seen: the paper's stratified fifths of the sites, and whole regions."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from ..constants import INTERVAL
from ..errors import InputError
from ..inference.checks import by_biome, predictive_scores
from ..inference.turnover_checks import DEPTH_CLASSES
from ..progress import Progress
from .applicability import Applicability
from .learners import TrainingData, fold_labels, is_constant, r_squared
from .regressors import INNER_FOLDS, POSTERIOR_FOREST, TREES, Predictor, ScaledForest, fit_all

STRATA = 5
"""Classes of the response, of which each fold has its share."""

SPLITS = ("site", "spatial")

BOOTSTRAPS = 500
MIN_SITES = 10
"""Least number of sites of a class for which the 95th percentile is computed."""


def folds_of(
    split: str, y: NDArray, site: NDArray, block: NDArray, *, folds: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to fit and rows to predict, for each fold; every row is predicted once, and no site is on both sides.

    Parameters
    ----------
    split : str
        `site` (stratified on the response) or `spatial` (blocks).
    y : ndarray
        Response, (n,).
    site, block : ndarray
        Labels of sites and of spatial blocks, (n,).
    """
    if split == "spatial":
        return iter(GroupKFold(folds, shuffle=True, random_state=seed).split(y, y, block))
    strata = pd.qcut(pd.Series(y).rank(method="first"), min(STRATA, len(y)), labels=False).to_numpy()
    return iter(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(y, strata, site))


class HeldOut(NamedTuple):
    """What learners said of rows that they had not seen.

    Attributes
    ----------
    predictions : DataFrame
        `split`, `learner`, `fold`, `row`, whether it is `inside` the area of applicability of what the fold was fitted
        to, and `predictive_scores` (a learner's prediction is its `mean`); `spread` of the trees of the posterior
        forest, before it is scaled (NaN of others).
    costs : DataFrame
        `split`, `learner`, `fold`, `seconds`, `mib` of the fitted learner.
    importances : DataFrame
        `split`, `fold`, `feature` (number of its column), `rmse_ratio`: by what the error of the posterior forest on
        the held-out rows grows if the column is shuffled among them.
    """

    predictions: pd.DataFrame
    costs: pd.DataFrame
    importances: pd.DataFrame


def compare_learners(
    data: TrainingData, *, folds: int, seed: int, trees: int = TREES, progress: Progress | None = None
) -> HeldOut:
    """Fits every learner without each fold and predicts it.

    Parameters
    ----------
    folds : int
        Number of folds; 5 make the paper's 80/20 split.

    Raises
    ------
    InputError
        Too few sites, or a response that is the same in all rows.
    """
    X, draws, site = data.X, data.y, data.site
    few = len(np.unique(site))
    if few < folds * INNER_FOLDS:
        raise InputError(f"{few} sites are too few to compare learners on, expected {folds * INNER_FOLDS}")
    if is_constant(draws):
        raise InputError(
            f"the response is the same in all {len(draws)} rows (on its log or logit scale {draws.flat[0]:.6g}): there "
            "is nothing to compare learners on; expected values that differ"
        )
    block = data.regions(folds * INNER_FOLDS)
    rng = np.random.default_rng(seed)
    observed = draws[np.arange(len(X)), rng.integers(draws.shape[1], size=len(X))]
    predictions, costs, importances = [], [], []
    for number, split in enumerate(SPLITS):
        split_up = folds_of(split, draws.mean(axis=1), site, block, folds=folds, seed=seed)
        for fold, (known, held) in enumerate(split_up):
            groups = (block if split == "spatial" else site)[known]  # tuned for what is asked
            models, seconds = fit_all(X[known], draws[known], groups, seed=seed + fold, trees=trees)
            forest = models[POSTERIOR_FOREST]
            assert isinstance(forest, ScaledForest)
            label = fold_labels(groups, INNER_FOLDS, seed + fold)
            area = Applicability.fit(X[known], forest.forest.feature_importances_, label)
            inside = area.inside(X[held])
            spread = {POSTERIOR_FOREST: forest.forest.mean_and_std(X[held])[1]}
            ratio = permuted_rmse(forest, X[held], observed[held], rng)
            importances.append(pd.DataFrame({"split": split, "fold": fold, "rmse_ratio": ratio}).rename_axis("feature"))
            for name, model in models.items():
                scores = predictive_scores(observed[held], model.predictive(X[held]), model.predict(X[held]))
                at: dict[str, Any] = {"split": split, "learner": name, "fold": fold}
                predictions.append(scores.assign(**at, row=held, inside=inside, spread=spread.get(name, np.nan)))
                costs.append({**at, "seconds": seconds[name], "mib": len(pickle.dumps(model)) / 2**20})
            if progress:
                progress(number * folds + fold + 1, len(SPLITS) * folds)
    said = pd.concat(predictions, ignore_index=True)
    return HeldOut(said, pd.DataFrame(costs), pd.concat(importances).reset_index())


def permuted_rmse(model: Predictor, X: NDArray, y: NDArray, rng: np.random.Generator) -> NDArray[np.float64]:
    """Root mean square error after a column was shuffled, over that before, (features,) (Breiman 2001); 1 where there
    was no error, as of a response that does not vary.
    """
    error = float(np.square(y - model.predict(X)).mean())
    if not error > 0:
        return np.ones(X.shape[1])
    ratios = []
    for column in range(X.shape[1]):
        shuffled = X.copy()
        shuffled[:, column] = X[rng.permutation(len(X)), column]
        ratios.append(np.sqrt(float(np.square(y - model.predict(shuffled)).mean()) / error))
    return np.array(ratios)


def learner_scores(predictions: pd.DataFrame) -> dict[str, float]:
    """R², RMSE, bias (predicted - observed), Lin's concordance, CRPS, coverage of the 50, 80 and 95 % intervals, what
    lies below and above the last, its score (Gneiting & Raftery 2007: its width, and 40 times what an observation
    misses it by) and the mean of the PIT (0.5 where there is no bias), of one learner's predictions.
    """
    p = predictions
    observed, mean, pit = p["observed"], p["mean"], p["pit"]
    error = mean - observed
    missed = (p["p025"] - observed).clip(lower=0) + (observed - p["p975"]).clip(lower=0)
    covariance = float(np.mean((observed - observed.mean()) * (mean - mean.mean())))
    alike = float(observed.var(ddof=0) + mean.var(ddof=0) + error.mean() ** 2)
    return {
        "r2": r_squared(observed.to_numpy(), mean.to_numpy()),
        "rmse": float(np.sqrt((error**2).mean())),
        "bias": float(error.mean()),
        "concordance": np.nan if is_constant(observed.to_numpy()) else 2 * covariance / alike,
        "crps": float(p["crps"].mean()),
        "coverage50": float(pit.between(0.25, 0.75).mean()),
        "coverage80": float(pit.between(0.1, 0.9).mean()),
        "coverage95": float(((observed >= p["p025"]) & (observed <= p["p975"])).mean()),
        "below95": float((observed < p["p025"]).mean()),
        "above95": float((observed > p["p975"]).mean()),
        "interval_score95": float((p["p975"] - p["p025"] + missed * 2 / 0.05).mean()),
        "pit_mean": float(pit.mean()),
    }


def learners_table(predictions: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """Scores of each learner in each split, the seconds that a fit took, tuning included, and its size (MiB)."""
    cost = costs.groupby(["split", "learner"])[["seconds", "mib"]].mean()
    rows = [
        {"learner": name, "split": split} | learner_scores(part) | {"n": len(part)} | cost.loc[(split, name)].to_dict()  # type: ignore[index]
        for (split, name), part in predictions.groupby(["split", "learner"], sort=False)
    ]
    return pd.DataFrame(rows)


def classes_table(predictions: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Scores of each learner in each split by biome, inside and outside the area of applicability and, for layers, by
    depth.

    Parameters
    ----------
    table : DataFrame
        The rows that were predicted, with `biome` and, for layers, `top` and `bottom` (cm).
    """
    rows = [
        {"learner": name, "split": split, "group": group, "class": label, "n": len(some)} | learner_scores(some)
        for (split, name), part in predictions.groupby(["split", "learner"], sort=False)
        for (group, label), some in _classes(part, table)
        if len(some) > 1
    ]
    return pd.DataFrame(rows)


def tau_table(
    predictions: pd.DataFrame, table: pd.DataFrame, site: NDArray, *, seed: int, bootstraps: int = BOOTSTRAPS
) -> pd.DataFrame:
    """Factor that the standard deviation of the posterior forest's trees needs (paper, eq. 9-10), overall and by the
    classes of `classes_table`: `tau95`, and its 95 % interval over bootstraps of whole sites.

    Parameters
    ----------
    predictions, table : DataFrame
        As `classes_table`.
    site : ndarray
        Labels of the rows that were predicted, (n,).
    """
    rng = np.random.default_rng(seed)
    forest = predictions[predictions["learner"] == POSTERIOR_FOREST]
    rows = []
    for split, part in forest.groupby("split", sort=False):
        for (group, label), some in [(("all", "all"), part), *_classes(part, table)]:
            sites, of = np.unique(site[some["row"].to_numpy()], return_inverse=True)
            if len(sites) < MIN_SITES:
                continue
            tau = ((some["observed"] - some["mean"]).abs() / some["spread"].clip(lower=1e-6)).to_numpy()
            order = np.argsort(tau)
            drawn = []
            for _ in range(bootstraps):
                times = np.bincount(rng.integers(len(sites), size=len(sites)), minlength=len(sites))[of[order]]
                below = np.cumsum(times)
                drawn.append(tau[order][np.searchsorted(below, 0.95 * below[-1])])
            low, high = np.quantile(drawn, INTERVAL)
            at = {"split": split, "group": group, "class": label, "n": len(some), "sites": len(sites)}
            rows.append(at | {"tau95": float(np.quantile(tau, 0.95)), "p025": low, "p975": high})
    return pd.DataFrame(rows)


def _classes(part: pd.DataFrame, table: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Predictions by biome, depth of the layer, and area of applicability; table as `classes_table`."""
    rows, inside = table.iloc[part["row"].to_numpy()], part["inside"].to_numpy(bool)
    classes = by_biome(rows["biome"])
    if "top" in table:
        middle = ((rows["top"] + rows["bottom"]) / 2).to_numpy(float)
        classes |= {("depth, cm", f"{a}-{b}"): (middle >= a) & (middle < b) for a, b in DEPTH_CLASSES}
    classes |= {("area of applicability", "inside"): inside, ("area of applicability", "outside"): ~inside}
    return [(key, part[here]) for key, here in classes.items()]
