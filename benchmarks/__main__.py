"""`python -m benchmarks`: ratios against what a user would pick instead, in one run; interleaved, medians.

Seconds depend on the machine and on who else uses it; the ratio of two things timed in turn much less.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.integrate import solve_ivp
from scipy.optimize import brentq, minimize_scalar

from bayes_rootc.constants import GAMMA
from bayes_rootc.data.atmosphere import Atmosphere
from bayes_rootc.files import write_json
from bayes_rootc.mapping.cell_intervals import ProductTable, interval_statistics
from bayes_rootc.mapping.monte_carlo import LogNormals, independent_statistics
from bayes_rootc.models.radiocarbon import delta14c, invert

from . import r
from .case import Case, measure
from .fits import drivers, turnover
from .forests import (
    forest_quantiles,
    forest_size,
    forest_spread,
    forest_threads,
    installed,
    quantile_forest,
    ranger,
)


def forward_model() -> Case:
    rng = np.random.default_rng(1)
    k, year = np.exp(rng.uniform(np.log(1e-4), np.log(0.3), 40)), rng.uniform(1965, 2019, 40)
    return Case(
        "Δ14C of 40 layers",
        "exact, broadcast",
        lambda: delta14c(k, year, "NHZone1"),
        "SciPy solve_ivp, a layer at a time",
        lambda: [_solve(*pair) for pair in zip(k, year, strict=True)],
    )


def inversion() -> Case:
    """A full posterior of 2,000 layers against both turnover times of one layer, as SoilR's `turnoverFit` has them."""
    return Case(
        "inversion, a layer",
        "posterior on 1,024 nodes, 2,000 layers at once",
        _posteriors,
        "optimiser around an ODE solver, as R users do: two values, no uncertainty",
        lambda: _two_turnover_times(-200.0, 1998.5),
        2000.0,
    )


def inversion_by_root() -> Case:
    """The same against the least that a solver must do: the one root on the old side of the peak, from 1950 on."""
    return Case(
        "inversion, a layer",
        "posterior on 1,024 nodes, 2,000 layers at once",
        _posteriors,
        "brentq over solve_ivp: one root, no uncertainty",
        lambda: brentq(lambda log_k: _solve(np.exp(log_k), 1998.5) + 200, np.log(1e-5), np.log(5e-3), xtol=1e-3),
        2000.0,
    )


def soilr() -> Case:
    """The same against SoilR itself, on the same curve, which stands still before its first year."""
    curve = Atmosphere.packaged().bomb("NHZone1")
    years, values = np.r_[1850.0, curve.years], np.r_[curve.delta14c[0], curve.delta14c]
    table = pd.DataFrame({"year": years, "delta14c": values})
    layer = pd.DataFrame({"delta14c": [-200.0], "year": [1998.5]})
    return Case(
        "inversion, a layer",
        "posterior on 1,024 nodes, 2,000 layers at once",
        _posteriors,
        "R's SoilR, turnoverFit: two values, no uncertainty",
        lambda: r.run("SoilR", layer, table),
        2000.0,
    )


def _posteriors() -> object:
    rng = np.random.default_rng(2)
    observed, year = rng.uniform(-400, 50, 2000), rng.uniform(1965, 2019, 2000)
    return invert(observed, 5.0, year, "NHZone1", model_sd=20.0)


def monte_carlo(tuned: bool, formulas: bool = False) -> Case:
    """Statistics of a cell from 500 members or, as maps have them, from formulas: beside NumPy as one writes it, and as
    one writes it for speed.
    """
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

    log_normals, products = LogNormals(**fields, biome=biome, cell=np.arange(n)), ProductTable.of(shares)

    def by_formulas() -> object:
        return interval_statistics(log_normals, products, profile_correlation=0.3)

    def by_members() -> object:
        how = {"members": members, "seed": 1, "profile_correlation": 0.3, "threads": 2}
        return independent_statistics(log_normals, shares, **how)

    return Case(
        "I_loss, 4,096 cells x 8 x 500 members",
        "JAX, formulas without members" if formulas else "JAX, two threads",
        by_formulas if formulas else by_members,
        "NumPy, single precision, in parts, one sort" if tuned else "NumPy, np.quantile",
        for_speed if tuned else plain,
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


CASES = (
    forward_model,
    inversion,
    inversion_by_root,
    partial(monte_carlo, tuned=False),
    partial(monte_carlo, tuned=True),
    partial(monte_carlo, tuned=True, formulas=True),
    partial(forest_spread, smooth=False),
    partial(forest_spread, smooth=True),
    forest_threads,
    forest_size,
    forest_quantiles,
    quantile_forest,
    turnover,
)

R_CASES = {"SoilR": soilr, "ranger": ranger, "lme4": drivers}


def main() -> None:
    """Runs every case, prints the table, saves it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks.json"))
    arguments = parser.parse_args()
    cases = [*CASES, *installed(), *(case for package, case in R_CASES.items() if r.has(package))]
    rows = []
    for make in cases:
        rows.append(measure(make(), arguments.repeats))
        write_json(arguments.json, rows)
    table = Table("what", "ours", "instead", "ours, s", "instead, s", "times faster")
    for row in rows:
        numbers = (f"{row['seconds_ours']:.2g}", f"{row['seconds_theirs']:.2g}", f"{row['times_faster']:.3g}")
        table.add_row(str(row["what"]), str(row["ours"]), str(row["theirs"]), *numbers)
    Console().print(table)


if __name__ == "__main__":
    main()
