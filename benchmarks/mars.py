"""`python -m benchmarks.mars`: our additive splines beside R's `earth`, on the same held-out fifths of the real data.

Needs `Rscript` and the R package earth (Debian: r-cran-earth). Python has no kept library: py-earth's last release is
of 2017 and does not build for Python 3.12. `earth` runs at its defaults (degree 1); ours with as many terms.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bayes_rootc.files import write_json
from bayes_rootc.mapping.mars import MarsRegressor
from bayes_rootc.mapping.preprocessing import CorrelationFilter, LinearCombinationFilter
from bayes_rootc.mapping.validation import folds_of

from .responses import real_responses

FOLDS, SEED = 5, 1
SCRIPT = """
suppressMessages(library(earth)); options(digits = 17)
d <- read.csv("train.csv"); new <- read.csv("test.csv")
t <- system.time(m <- earth(y ~ ., data = d, degree = 1))["elapsed"]
write.csv(data.frame(p = as.vector(predict(m, new)), seconds = as.vector(t)), "out.csv", row.names = FALSE)
"""


def earth(X: NDArray, y: NDArray, new: NDArray) -> tuple[NDArray[np.float64], float]:
    """Predictions of R's earth at new rows, and the seconds of its fit."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        pd.DataFrame(X).add_prefix("x").assign(y=y).to_csv(at / "train.csv", index=False)
        pd.DataFrame(new).add_prefix("x").to_csv(at / "test.csv", index=False)
        (at / "fit.R").write_text(SCRIPT)
        subprocess.run(["Rscript", "fit.R"], cwd=at, check=True)
        out = pd.read_csv(at / "out.csv")
    return out["p"].to_numpy(), float(out["seconds"].iloc[0])


def ours(X: NDArray, y: NDArray, new: NDArray) -> tuple[NDArray[np.float64], float]:
    """The same, ours."""
    start = time.perf_counter()
    model = MarsRegressor(max_terms=min(200, max(20, 2 * X.shape[1])) + 1).fit(X, y)
    seconds = time.perf_counter() - start
    return model.predict(new), seconds


def main() -> None:
    """Compares on every response, prints the table, saves it as JSON."""
    tasks, path = real_responses("mars", __doc__)
    rows = []
    for target, task in tasks.items():
        X, y = task.X.astype(float), task.y.mean(axis=1)
        predicted = {method: np.empty(len(y)) for method in (earth, ours)}
        seconds = dict.fromkeys(predicted, 0.0)
        for known, held in folds_of("site", y, task.site, task.block, folds=FOLDS, seed=SEED):
            filters = [CorrelationFilter(), LinearCombinationFilter()]
            here, there = X[known], X[held]
            for each in filters:
                here, there = each.fit_transform(here), each.transform(there)
            for method in predicted:
                predicted[method][held], took = method(here, y[known], there)
                seconds[method] += took / FOLDS
        for method, mean in predicted.items():
            r2 = 1 - np.square(y - mean).sum() / np.square(y - y.mean()).sum()
            rows.append({"target": target, "method": method.__name__, "r2": r2, "seconds": seconds[method]})
    write_json(path, rows)
    table = Table("target", "method", "R², sites held out", "seconds a fit")
    for row in rows:
        table.add_row(str(row["target"]), str(row["method"]), f"{row['r2']:.3f}", f"{row['seconds']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
