"""`python -m benchmarks`: ratios against what a user would pick instead, in one run; interleaved, medians.

Seconds depend on the machine and on who else uses it; the ratio of two things timed in turn much less.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from quantile_forest import RandomForestQuantileRegressor
from rich.console import Console
from rich.table import Table
from scipy.integrate import solve_ivp
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq, minimize_scalar
from sklearn.ensemble import RandomForestRegressor

from bayes_rootc.constants import GAMMA, LAYERS
from bayes_rootc.data.atmosphere import Atmosphere
from bayes_rootc.files import write_json
from bayes_rootc.mapping.forest import CompiledForest
from bayes_rootc.mapping.monte_carlo import independent_statistics
from bayes_rootc.models.radiocarbon import delta14c, invert

Case = tuple[str, str, Callable[[], object], str, Callable[[], object], float]
"""What; ours, and the work; theirs, and the work; how many times more of the work ours does."""


class Seconds(float):
    """What a program says that its work took, without its start."""


def forward_model() -> Case:
    rng = np.random.default_rng(1)
    k, year = np.exp(rng.uniform(np.log(1e-4), np.log(0.3), 40)), rng.uniform(1965, 2019, 40)
    return (
        "Δ14C of 40 layers",
        "exact, broadcast",
        lambda: delta14c(k, year, "NHZone1"),
        "SciPy solve_ivp, a layer at a time",
        lambda: [_solve(*pair) for pair in zip(k, year, strict=True)],
        1.0,
    )


def inversion() -> Case:
    """A full posterior of 2,000 layers against both turnover times of one layer, as SoilR's `turnoverFit` has them."""
    return (
        "inversion, a layer",
        "posterior on 1,024 nodes, 2,000 layers at once",
        _posteriors,
        "optimiser around an ODE solver, as R users do: two values, no uncertainty",
        lambda: _two_turnover_times(-200.0, 1998.5),
        2000.0,
    )


def inversion_by_root() -> Case:
    """The same against the least that a solver must do: the one root on the old side of the peak, from 1950 on."""
    return (
        "inversion, a layer",
        "posterior on 1,024 nodes, 2,000 layers at once",
        _posteriors,
        "brentq over solve_ivp: one root, no uncertainty",
        lambda: brentq(lambda log_k: _solve(np.exp(log_k), 1998.5) + 200, np.log(1e-5), np.log(5e-3), xtol=1e-3),
        2000.0,
    )


def _posteriors() -> object:
    rng = np.random.default_rng(2)
    observed, year = rng.uniform(-400, 50, 2000), rng.uniform(1965, 2019, 2000)
    return invert(observed, 5.0, year, "NHZone1", model_sd=20.0)


def forest_threads() -> Case:
    """Two threads beside one; the ratio is what a second core is worth."""
    compiled, cells = _forest(smooth=True)[1:]
    return (
        "forest mean and spread, smooth",
        "compiled, two threads",
        lambda: compiled.mean_and_std(cells),
        "compiled, one thread",
        lambda: compiled.mean_and_std(cells, threads=1),
        1.0,
    )


def forest_size() -> Case:
    """A cell of 65,536 beside one of 16,384: 1 where time is linear in cells."""
    compiled, cells = _forest(smooth=True)[1:]
    many = np.tile(cells, (4, 1))
    return (
        "forest mean and spread, a cell",
        "of 65,536 cells",
        lambda: compiled.mean_and_std(many),
        "of 16,384 cells",
        lambda: compiled.mean_and_std(cells),
        4.0,
    )


def _training() -> tuple[np.ndarray, np.ndarray]:
    """54 covariates and the layer of 3,000 rows, and a response."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((3000, 54)).astype(np.float32)
    layer = np.array(LAYERS, np.float32)[rng.integers(0, 7, 3000)]
    return np.c_[X, layer], X[:, 0] + np.sin(X[:, 1]) - 0.02 * layer[:, 0] + rng.standard_normal(3000)


@cache
def _forest(smooth: bool) -> tuple[RandomForestRegressor, CompiledForest, np.ndarray]:
    """500 trees of 3,000 rows and 54 covariates, in seven layers of cells that know nothing of each other, or of a
    raster on which neighbours are alike: there scikit-learn finds the nodes that it wants in the cache.
    """
    rng, side = np.random.default_rng(3), 128
    sklearn = RandomForestRegressor(500, max_features=1 / 3, random_state=1, n_jobs=2).fit(*_training())
    compiled = CompiledForest(sklearn, layer_columns=(54, 55), layers=LAYERS)
    fields = rng.standard_normal((54, side, side))
    if smooth:
        fields = np.stack([gaussian_filter(f, 8, mode="wrap") for f in fields])
        fields /= fields.std(axis=(1, 2), keepdims=True)
    return sklearn, compiled, fields.reshape(54, -1).T.astype(np.float32)


def forest_spread(smooth: bool) -> Case:
    """Mean and spread of the trees in seven layers: ours, and what one does with scikit-learn."""
    sklearn, compiled, cells = _forest(smooth)

    def loop() -> list[tuple[np.ndarray, np.ndarray]]:
        out = []
        for each in LAYERS:
            rows = np.c_[cells, np.broadcast_to(np.array(each, np.float32), (len(cells), 2))]
            jobs = (delayed(tree.tree_.predict)(rows) for tree in sklearn.estimators_)
            trees = np.stack(Parallel(2, prefer="threads")(jobs))
            out.append((trees.mean(axis=0), trees.std(axis=0)))
        return out

    return (
        f"forest mean and spread, {len(cells):,} cells x 7 layers x 500 trees, {'smooth' if smooth else 'independent'}",
        "compiled, two threads",
        lambda: compiled.mean_and_std(cells),
        "scikit-learn, loop over trees, two threads",
        loop,
        1.0,
    )


def quantile_forest() -> Case:
    """An interval in seven layers: ours from the spread of the trees, theirs from the training values in the leaves."""
    compiled, cells = _forest(smooth=False)[1:]
    X, y = _training()
    theirs = RandomForestQuantileRegressor(500, max_features=1 / 3, random_state=1, n_jobs=2).fit(X, y)
    few = len(cells) // 16
    rows = np.concatenate([np.c_[cells[:few], np.full((few, 2), each)] for each in np.array(LAYERS, np.float32)])
    return (
        f"forest interval, {few:,} cells x 7 layers x 500 trees",
        "compiled, two threads",
        lambda: compiled.mean_and_std(cells),
        "quantile-forest, three quantiles, two threads",
        lambda: theirs.predict(rows, quantiles=[0.025, 0.5, 0.975]),
        16.0,
    )


def ranger() -> Case:
    """R's ranger with predict.all, and the spread of its trees, on a sixteenth of the cells."""
    compiled, cells = _forest(smooth=False)[1:]
    X, y = _training()
    names, few = [f"x{i}" for i in range(X.shape[1])], len(cells) // 16
    rows = np.concatenate([np.c_[cells[:few], np.full((few, 2), each)] for each in np.array(LAYERS, np.float32)])
    folder = Path(tempfile.mkdtemp())
    pd.DataFrame(X, columns=names).assign(y=y).to_csv(folder / "train.csv", index=False)
    pd.DataFrame(rows, columns=names).to_csv(folder / "cells.csv", index=False)
    command = ["Rscript", str(Path(__file__).with_name("ranger.R")), folder / "train.csv", folder / "cells.csv"]
    return (
        f"forest mean and spread, {few:,} cells x 7 layers x 500 trees",
        "compiled, two threads",
        lambda: compiled.mean_and_std(cells),
        "R's ranger, predict.all, two threads (prediction alone)",
        lambda: Seconds(subprocess.run(command, capture_output=True, text=True, check=True).stdout),
        16.0,
    )


def has_ranger() -> bool:
    """Whether R and its package ranger are there."""
    if not shutil.which("Rscript"):
        return False
    asked = ["Rscript", "-e", 'cat(requireNamespace("ranger", quietly = TRUE))']
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout == "TRUE"


def monte_carlo(tuned: bool) -> Case:
    """500 members of a cell, and their statistics: beside NumPy as one writes it, and as one writes it for speed."""
    rng, n, members = np.random.default_rng(4), 4096, 500
    fields = {
        "root_mean": rng.normal(0.5, 0.5, n).astype(np.float32),
        "root_sd": np.full(n, 0.5, np.float32),
        "bulk_mean": rng.normal(-3, 1, (n, 7)).astype(np.float32),
        "bulk_sd": np.full((n, 7), 0.8, np.float32),
    }
    shares = rng.dirichlet(np.arange(8, 1, -1), (200, 9)).astype(np.float32)
    biome = rng.integers(1, 10, n)
    f, levels = fields, (0.025, 0.5, 0.975)

    def plain() -> dict[str, np.ndarray]:
        """All cells at once, in double precision, members first."""
        root = np.exp(f["root_mean"] + f["root_sd"] * rng.standard_normal((members, n)))
        iroot = root[..., None] * shares[rng.integers(0, 200, (members, n)), biome - 1]
        error = np.sqrt(0.3) * rng.standard_normal((members, n, 1)) + np.sqrt(0.7) * rng.standard_normal(
            (members, n, 7)
        )
        ibulk = np.exp(f["bulk_mean"] + f["bulk_sd"] * error)
        iroot, ibulk = (np.concatenate([a, a.sum(axis=2, keepdims=True)], axis=2) for a in (iroot, ibulk))
        every = {"iroot": iroot, "ibulk": ibulk, "iloss": iroot - ibulk, "share": 1 - ibulk / iroot}
        return {q: np.concatenate([a.mean(axis=0)[None], np.quantile(a, levels, axis=0)]) for q, a in every.items()}

    def for_speed() -> list[tuple[np.ndarray, ...]]:
        """In single precision, a layer's members side by side, sorted once for all quantiles; some cells at a time."""
        parts, places = [], [int(level * (members - 1)) for level in levels]
        for start in range(0, n, 256):
            p = slice(start, start + 256)
            z = rng.standard_normal((256, 9, members), dtype=np.float32)
            root = np.exp(f["root_mean"][p, None] + f["root_sd"][p, None] * z[:, 0])
            drawn = shares[rng.integers(0, 200, (256, members)), biome[p, None] - 1]
            iroot = root[:, None] * np.moveaxis(drawn, 2, 1)
            error = np.sqrt(np.float32(0.3)) * z[:, 1:2] + np.sqrt(np.float32(0.7)) * z[:, 2:]
            ibulk = np.exp(f["bulk_mean"][p, :, None] + f["bulk_sd"][p, :, None] * error)
            iroot, ibulk = (np.concatenate([a, a.sum(axis=1, keepdims=True)], axis=1) for a in (iroot, ibulk))
            for values in (iroot, ibulk, iroot - ibulk, 1 - ibulk / iroot):
                mean, positive = values.mean(axis=-1), (values > 0).mean(axis=-1)
                values.sort(axis=-1)
                parts.append((mean, positive, *(values[..., place] for place in places)))
        return parts

    return (
        "I_loss, 4,096 cells x 8 x 500 members",
        "JAX, two threads",
        lambda: independent_statistics(
            **fields,
            fractions=shares,
            biome=biome,
            cell=np.arange(n),
            members=members,
            seed=1,
            profile_correlation=0.3,
            threads=2,
        ),
        "NumPy, single precision, in parts, one sort" if tuned else "NumPy, np.quantile",
        for_speed if tuned else plain,
        1.0,
    )


def _solve(k: float, year: float) -> float:
    curve = Atmosphere.packaged().bomb("NHZone1")
    start = k / (k + GAMMA) * (curve.delta14c[0] / 1000 + 1)
    solution = solve_ivp(
        lambda t, a: k * (curve.at(t) / 1000 + 1) - (k + GAMMA) * a, (1950, year), [start], rtol=1e-6, max_step=1.0
    )
    return float((solution.y[0, -1] - 1) * 1000)


def _two_turnover_times(observed: float, year: float) -> list[float]:
    """Carbon and radiocarbon of one pool from 1850 on, every half year, which is also the longest step (as deSolve's
    default has it); an optimiser of the squared misfit on either side of the peak's turnover time.
    """
    curve = Atmosphere.packaged().bomb("NHZone1")
    times = np.arange(1850, year + 0.25, 0.5)

    def misfit(log_turnover: float) -> float:
        k = np.exp(-log_turnover)

        def change(t: float, state: np.ndarray) -> tuple[float, float]:
            return 1 - k * state[0], np.interp(t, curve.years, curve.delta14c) / 1000 + 1 - (k + GAMMA) * state[1]

        start = [1 / k, (curve.delta14c[0] / 1000 + 1) / (k + GAMMA)]
        solution = solve_ivp(
            change, (times[0], times[-1]), start, method="LSODA", t_eval=times, rtol=1e-6, atol=1e-6, max_step=0.5
        )
        carbon, radiocarbon = solution.y[:, -1]
        return float(((radiocarbon / carbon - 1) * 1000 - observed) ** 2)

    sides = ((0.0, np.log(20)), (np.log(20), np.log(20_000)))
    return [float(np.exp(minimize_scalar(misfit, bounds=side, method="bounded").x)) for side in sides]


def measure(case: Case, repeats: int) -> dict[str, object]:
    """Median times of both ways, run in turn after one warm-up each."""
    what, ours_name, ours, theirs_name, theirs, work = case
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for repeat in range(repeats + 1):
        for who, run in (("ours", ours), ("theirs", theirs)):
            start = time.perf_counter()
            told = run()  # what runs elsewhere says itself how long it took
            if repeat:
                seconds[who].append(told if isinstance(told, Seconds) else time.perf_counter() - start)
    mine, other = statistics.median(seconds["ours"]) / work, statistics.median(seconds["theirs"])
    return {
        "what": what,
        "ours": ours_name,
        "theirs": theirs_name,
        "seconds_ours": mine,
        "seconds_theirs": other,
        "times_faster": other / mine,
    }


CASES = (
    forward_model,
    inversion,
    inversion_by_root,
    partial(forest_spread, smooth=False),
    partial(forest_spread, smooth=True),
    forest_threads,
    forest_size,
    quantile_forest,
    partial(monte_carlo, tuned=False),
    partial(monte_carlo, tuned=True),
)


def main() -> None:
    """Runs every case, prints the table, saves it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks.json"))
    arguments = parser.parse_args()
    cases = (*CASES, ranger) if has_ranger() else CASES
    rows = [measure(make(), arguments.repeats) for make in cases]
    table = Table("what", "ours", "instead", "ours, s", "instead, s", "times faster")
    for row in rows:
        numbers = (f"{row['seconds_ours']:.2g}", f"{row['seconds_theirs']:.2g}", f"{row['times_faster']:.3g}")
        table.add_row(str(row["what"]), str(row["ours"]), str(row["theirs"]), *numbers)
    Console().print(table)
    write_json(arguments.json, rows)


if __name__ == "__main__":
    main()
