"""All learners on places that they have not seen: the paper's stratified fifths of the sites, and whole regions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from ..constants import BIOMES
from ..errors import InputError
from ..inference.checks import predictive_scores
from ..inference.turnover_checks import DEPTH_CLASSES
from ..progress import Progress
from .applicability import Applicability
from .regressors import INNER_FOLDS, POSTERIOR_FOREST, TREES, Predictor, ScaledForest, fit_all, inner_folds

STRATA = 5
"""Classes of the response, of which each fold has its share."""

SPLITS = ("site", "spatial")


def folds_of(
    split: str, y: NDArray, site: NDArray, block: NDArray, *, folds: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to fit and rows to predict, for each fold; every row is predicted once, and no site is on both sides.

    Parameters
    ----------
    split : `site` (stratified on the response) or `spatial` (blocks). y : (n,). site, block : labels, (n,).
    """
    if split == "spatial":
        return iter(GroupKFold(folds, shuffle=True, random_state=seed).split(y, y, block))
    strata = pd.qcut(pd.Series(y).rank(method="first"), min(STRATA, len(y)), labels=False).to_numpy()
    return iter(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(y, strata, site))


def compare_learners(
    X: NDArray,
    draws: NDArray,
    site: NDArray,
    block: NDArray,
    *,
    folds: int,
    seed: int,
    trees: int = TREES,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fits every learner without each fold and predicts it.

    Parameters
    ----------
    X : (n, features), finite. draws : of the response on its log or logit scale, (n, draw); a row's observation is one
        of them. site, block : labels, (n,). folds : 5 are the paper's 80/20.

    Returns
    -------
    predictions : `split`, `learner`, `fold`, `row`, whether it is `inside` the area of applicability of what the fold
    was fitted to, and `predictive_scores` (a learner's prediction is its `mean`).
    costs : `split`, `learner`, `fold`, `seconds`.

    Raises
    ------
    InputError : too few sites.
    """
    few = len(np.unique(site))
    if few < folds * INNER_FOLDS:
        raise InputError(f"{few} sites are too few to compare learners on, expected {folds * INNER_FOLDS}")
    if len(np.unique(block)) < folds * INNER_FOLDS:
        block = site
    rng = np.random.default_rng(seed)
    observed = draws[np.arange(len(X)), rng.integers(draws.shape[1], size=len(X))]
    predictions, costs = [], []
    for number, split in enumerate(SPLITS):
        split_up = folds_of(split, draws.mean(axis=1), site, block, folds=folds, seed=seed)
        for fold, (known, held) in enumerate(split_up):
            groups = (block if split == "spatial" else site)[known]  # tuned for what is asked
            models, seconds = fit_all(X[known], draws[known], groups, seed=seed + fold, trees=trees)
            inside = _applicability(X[known], groups, models[POSTERIOR_FOREST], seed + fold).inside(X[held])
            for name, model in models.items():
                scores = predictive_scores(observed[held], model.predictive(X[held]), model.predict(X[held]))
                predictions.append(scores.assign(split=split, learner=name, fold=fold, row=held, inside=inside))
                costs.append({"split": split, "learner": name, "fold": fold, "seconds": seconds[name]})
            if progress:
                progress(number * folds + fold + 1, len(SPLITS) * folds)
    return pd.concat(predictions, ignore_index=True), pd.DataFrame(costs)


def _applicability(X: NDArray, groups: NDArray, forest: Predictor, seed: int) -> Applicability:
    assert isinstance(forest, ScaledForest)  # of all columns, whose importances it knows
    fold = np.empty(len(X), int)
    for label, (_, held) in enumerate(inner_folds(groups, seed)):
        fold[held] = label
    return Applicability.fit(X, forest.forest.feature_importances_, fold)


def learner_scores(predictions: pd.DataFrame) -> dict[str, float]:
    """R², RMSE, bias (predicted - observed), Lin's concordance, CRPS, coverage of the 50, 80 and 95 % intervals, what
    lies below and above the last, and the mean of the PIT (0.5 where there is no bias), of one learner's predictions.
    """
    p = predictions
    observed, mean, pit = p["observed"], p["mean"], p["pit"]
    error = mean - observed
    covariance = float(np.mean((observed - observed.mean()) * (mean - mean.mean())))
    return {
        "r2": 1 - float((error**2).sum() / ((observed - observed.mean()) ** 2).sum()),
        "rmse": float(np.sqrt((error**2).mean())),
        "bias": float(error.mean()),
        "concordance": 2 * covariance / float(observed.var(ddof=0) + mean.var(ddof=0) + error.mean() ** 2),
        "crps": float(p["crps"].mean()),
        "coverage50": float(pit.between(0.25, 0.75).mean()),
        "coverage80": float(pit.between(0.1, 0.9).mean()),
        "coverage95": float(((observed >= p["p025"]) & (observed <= p["p975"])).mean()),
        "below95": float((observed < p["p025"]).mean()),
        "above95": float((observed > p["p975"]).mean()),
        "pit_mean": float(pit.mean()),
    }


def learners_table(predictions: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """Scores of each learner in each split, and the seconds that a fit took, tuning included."""
    seconds = costs.groupby(["split", "learner"])["seconds"].mean()
    rows = [
        {"learner": name, "split": split}
        | learner_scores(part)
        | {"n": len(part), "seconds": float(seconds.loc[(split, name)])}  # type: ignore[index]
        for (split, name), part in predictions.groupby(["split", "learner"], sort=False)
    ]
    return pd.DataFrame(rows)


def classes_table(predictions: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Scores of each learner in each split by biome, inside and outside the area of applicability and, for layers, by
    depth.

    table : the rows that were predicted, with `biome` and, for layers, `top` and `bottom` (cm).
    """
    biome = table["biome"].to_numpy(int)
    classes = {("biome", name): biome == b for b, name in BIOMES.items()}
    if "top" in table:
        middle = ((table["top"] + table["bottom"]) / 2).to_numpy(float)
        classes |= {("depth, cm", f"{a}-{b}"): (middle >= a) & (middle < b) for a, b in DEPTH_CLASSES}
    rows = []
    for (split, name), part in predictions.groupby(["split", "learner"], sort=False):
        inside = part["inside"].to_numpy(bool)
        of_part = {key: here[part["row"].to_numpy()] for key, here in classes.items()}
        of_part |= {("area of applicability", "inside"): inside, ("area of applicability", "outside"): ~inside}
        for (group, label), here in of_part.items():
            some = part[here]
            if len(some) > 1:
                at = {"learner": name, "split": split, "group": group, "class": label, "n": len(some)}
                rows.append(at | learner_scores(some))
    return pd.DataFrame(rows)
