"""`python -m benchmarks.intervals`: 95 % intervals of places held out, ours beside those that a user would pick.

The same folds, forests of the same settings: MAPIE's CV+ (Barber et al. 2021), a quantile regression forest, the errors
of places left out (`regressors.Fitted`), and the spread of the trees, as it is (± 1.96) and scaled (paper, eq. 9-10),
of a forest of the means of responses and of one of their posterior draws, which makes the maps.
"""

from __future__ import annotations

import mapie
import numpy as np
import pandas as pd
from mapie.regression import CrossConformalRegressor
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import GroupKFold

from bayes_rootc.files import write_json
from bayes_rootc.mapping.learners import Z95
from bayes_rootc.mapping.regressors import INNER_FOLDS, QuantileForest, ScaledForest, tune
from bayes_rootc.mapping.tasks import Task
from bayes_rootc.mapping.validation import SPLITS, folds_of

from .responses import real_responses

FOLDS, SEED, TREES, LEVEL = 5, 1, 300, 0.95
MAPIE = f"CV+ (MAPIE {mapie.__version__})"

type Interval = tuple[NDArray[np.float64], NDArray[np.float64]]


def intervals(task: Task, known: NDArray, held: NDArray, groups: NDArray, seed: int) -> dict[str, Interval]:
    """Lower and upper bounds of the held rows by each method, (held,)."""
    X, y = task.X.astype(float), task.y.mean(axis=1)
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    forest = tune("random forest", X[known], y[known], groups, seed=seed, trees=TREES)
    like = {"seed": seed, "trees": TREES, "settings": forest.settings}
    quantiles = QuantileForest.fit(X[known], y[known], **like)
    spread = {
        name: ScaledForest.fit(X[known], draws, groups, **like)
        for name, draws in (("means", y[known, None]), ("posterior draws", task.y[known]))
    }
    plain = RandomForestRegressor(TREES, max_features=1 / 3, random_state=seed, n_jobs=2, **forest.settings)
    conformal = CrossConformalRegressor(
        plain, confidence_level=LEVEL, method="plus", cv=GroupKFold(INNER_FOLDS, shuffle=True, random_state=seed)
    )
    conformal.fit_conformalize(X[known], y[known], groups=groups)
    bounds = np.asarray(conformal.predict_interval(X[held])[1])[..., 0]
    drawn = {
        "random forest, errors of places left out": forest.predictive(X[held]),
        "quantile regression forest": quantiles.predictive(X[held]),
    } | {f"forest of {name}, scaled spread": forest.predictive(X[held]) for name, forest in spread.items()}
    found = {name: tuple(np.quantile(draws, ends, axis=0)) for name, draws in drawn.items()}
    for name, forest in spread.items():
        mean, sd = forest.forest.mean_and_std(X[held])
        found[f"forest of {name}, spread"] = mean - Z95 * sd, mean + Z95 * sd
    return {MAPIE: (bounds[:, 0], bounds[:, 1])} | found  # type: ignore[return-value]


def compare(task: Task) -> pd.DataFrame:
    """Coverage, mean width and interval score (Gneiting & Raftery 2007) of each method in both splits."""
    rng = np.random.default_rng(SEED)
    observed = task.y[np.arange(len(task.y)), rng.integers(task.y.shape[1], size=len(task.y))]
    rows = []
    for split in SPLITS:
        parts: dict[str, list[pd.DataFrame]] = {}
        labels = task.block if split == "spatial" else task.site
        folds = folds_of(split, task.y.mean(axis=1), task.site, task.block, folds=FOLDS, seed=SEED)
        for fold, (known, held) in enumerate(folds):
            for name, (low, high) in intervals(task, known, held, labels[known], SEED + fold).items():
                part = pd.DataFrame({"y": observed[held], "low": low, "high": high})
                parts.setdefault(name, []).append(part)
        for name, of_folds in parts.items():
            p = pd.concat(of_folds)
            missed = (p["low"] - p["y"]).clip(lower=0) + (p["y"] - p["high"]).clip(lower=0)
            width = p["high"] - p["low"]
            score = (width + missed * 2 / (1 - LEVEL)).mean()
            at = {"split": split, "method": name, "coverage": (missed == 0).mean()}
            rows.append(at | {"width": width.mean(), "interval_score": score})
    return pd.DataFrame(rows)


def main() -> None:
    """Compares on every response, prints the table, saves it as JSON."""
    tasks, path = real_responses("intervals", __doc__)
    rows: list[pd.DataFrame] = []
    for target, task in tasks.items():
        rows.append(compare(task).assign(target=target))
        write_json(path, pd.concat(rows).to_dict("records"))  # the next may take long
    found = pd.concat(rows)
    table = Table(*(c.replace("_", " ") for c in ("target", *found.columns.drop("target"))))
    for row in found.itertuples():
        numbers = f"{100 * row.coverage:.1f} %", f"{row.width:.2f}", f"{row.interval_score:.2f}"
        table.add_row(str(row.target), str(row.split), str(row.method), *numbers)
    Console().print(table)


if __name__ == "__main__":
    main()
