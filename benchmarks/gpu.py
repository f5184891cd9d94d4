"""`python -m benchmarks.gpu`: whether a GPU says what processors say, and how fast it is; eight minutes at most.

Two processes do the same work one after the other, the first on JAX's default device, the second on processors. Without
a GPU both are on processors and the work is small: that shows that the script runs, and nothing about GPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bayes_rootc.data.atmosphere import ATMOSPHERE_ZONES, Atmosphere
from bayes_rootc.files import write_json
from bayes_rootc.inference.turnover_fit import structure_of
from bayes_rootc.mapping.cell_intervals import ProductTable, interval_statistics
from bayes_rootc.mapping.monte_carlo import LogNormals, independent_statistics
from bayes_rootc.models.components import Components
from bayes_rootc.models.radiocarbon import invert
from bayes_rootc.models.turnover import TurnoverModel, log_likelihood, prior_draws

SECONDS = 230
"""A process may take this long; two are below eight minutes."""

SECONDS_OF_A_PART, REPEATS = 20, 5
"""A part is repeated, after a warm-up, until either is reached."""

type Results = dict[str, NDArray[np.float64]]


class Part(NamedTuple):
    """Some work: what one call of it makes, how many of them, and the largest difference that rounding explains."""

    unit: str
    count: int
    limit: float
    work: Callable[[], Results]


def inversion(small: bool, device: bool) -> Part:
    """Posteriors of layers. Double precision, so that 1e-8 is far above rounding, and far below what matters."""
    rng, n = np.random.default_rng(1), 500 if small else 100_000
    observed, year = rng.uniform(-400, 50, n), rng.uniform(1965, 2019, n).round(1)
    zone = rng.choice(ATMOSPHERE_ZONES, n)

    def work() -> Results:
        found = invert(observed, 5.0, year, zone, model_sd=20.0, density=False)
        return {name: found[name].values for name in ("k_mean", "age_median", "age_p025", "age_p975", "log_marginal")}

    return Part("layers", n, 1e-8, work)


def gradient(small: bool, device: bool) -> Part:
    """Log likelihood of the turnover model and its gradient, at draws from the prior.

    Errors of Student's t are in single precision, with 6e-8 of rounding a term and sums over some thousand layers; on
    the real data a GPU was 2e-9 off in the value.
    """
    rng, profiles, draws = np.random.default_rng(2), 40 if small else 1200, 3 if small else 20
    profile = np.repeat(np.arange(profiles), 4)
    top = np.tile([0.0, 10.0, 30.0, 60.0], profiles)
    layers = pd.DataFrame(
        {
            "profile_index": profile,
            "biome": rng.integers(1, 10, profiles)[profile],
            "top": top,
            "bottom": top + 10,
            "year": rng.integers(1975, 2019, profiles)[profile] + 0.5,
            "zone": rng.choice(ATMOSPHERE_ZONES, profiles)[profile],
            "delta14c": rng.uniform(0, 100, 4 * profiles) - 5 * top,
            "sigma": 5.0,
            "warm": rng.standard_normal(profiles)[profile],
        }
    )
    model, atmosphere = TurnoverModel(), Atmosphere.packaged()
    components = Components.fit(layers.drop_duplicates("profile_index"), {"climate": ["warm"]})
    structure = structure_of(model, components, tuple(map(int, np.unique(layers["biome"]))), layers)
    samples = prior_draws(structure, draws, rng)
    with jax.enable_x64(True):
        blocks, levels = model.data(layers, components, atmosphere)
        likelihood = partial(log_likelihood, names=structure.levels, student=structure.student)
        function = jax.jit(jax.value_and_grad(likelihood))

    def work() -> Results:
        with jax.enable_x64(True):
            found = [function({n: v[i] for n, v in samples.items()}, blocks, levels, model.log_k) for i in range(draws)]
            values, slopes = zip(*found, strict=True)
            return {name: np.stack([s[name] for s in slopes]) for name in samples} | {"value": np.array(values)}

    return Part("gradients", draws, 1e-3, work)


def formulas(small: bool, device: bool) -> Part:
    """Statistics of each cell by formulas, in single precision, as maps have them."""
    cells, shares = _cells(512 if small else 1 << 20)
    table = ProductTable.of(shares)

    def work() -> Results:
        return interval_statistics(cells, table, profile_correlation=0.3)

    return Part("cells", len(cells.biome), 1e-4, work)


def _cells(n: int) -> tuple[LogNormals, NDArray[np.float32]]:
    """Fluxes of cells, and draws of the root shares."""
    rng = np.random.default_rng(4)
    shares = rng.dirichlet(np.arange(8, 1, -1), (200, 9)).astype(np.float32)
    cells = LogNormals(
        root_mean=rng.normal(0.5, 0.5, n),
        root_sd=np.full(n, 0.5),
        bulk_mean=rng.normal(-3, 1, (n, 7)),
        bulk_sd=np.full((n, 7), 0.8),
        biome=rng.integers(1, 10, n),
        cell=np.arange(n),
    )
    return cells, shares


def members(small: bool, device: bool) -> Part:
    """Statistics of 500 members of each cell. The random bits are the same; single precision rounds a member at 1e-7,
    and a difference of two fluxes at 1e-5 where they nearly cancel.
    """
    cells, shares = _cells(256 if small else 65_536)
    threads = 1 if device else _processors()

    def work() -> Results:
        return independent_statistics(cells, shares, members=500, seed=1, profile_correlation=0.3, threads=threads)

    return Part("cells", len(cells.biome), 1e-4, work)


PARTS = {"invert": inversion, "turnover gradient": gradient, "formulas": formulas, "members": members}


def _processors() -> int:
    return os.process_cpu_count() or 1


def work_through(folder: Path, *, small: bool, device: bool) -> None:
    """Does all parts on JAX's default device, and writes what they gave and took, one after the other."""
    for name, make in PARTS.items():
        part, seconds = make(small, device), list[float]()
        found = part.work()
        while len(seconds) < REPEATS and sum(seconds) < SECONDS_OF_A_PART:
            start = time.perf_counter()
            found = part.work()
            seconds.append(time.perf_counter() - start)
        np.savez(folder / f"{name}.npz", **found)
        row = {"unit": part.unit, "count": part.count, "limit": part.limit, "seconds": float(np.median(seconds))}
        write_json(folder / f"{name}.json", row)


def difference(one: Results, other: Results) -> float:
    """Largest difference of two results, relative to the number itself and to the median size of its kind."""
    worst = 0.0
    for name, values in one.items():
        a, b = (np.asarray(v, float) for v in (values, other[name]))
        if a.shape != b.shape or (np.isfinite(a) != np.isfinite(b)).any():
            return np.inf
        known = np.isfinite(a)
        if known.any():
            size = np.abs(b[known])
            scale = size + np.median(size)
            apart = np.abs(a - b)[known]
            worst = max(worst, float(np.divide(apart, scale, out=np.zeros_like(apart), where=apart > 0).max()))
    return worst


def compared(device: Path, processors: Path) -> list[dict[str, object]]:
    """A row for each part that both have finished."""
    rows = []
    for name in PARTS:
        if not all((folder / f"{name}.json").is_file() for folder in (device, processors)):
            continue
        here, there = (json.loads((f / f"{name}.json").read_text(encoding="utf-8")) for f in (device, processors))
        with np.load(device / f"{name}.npz") as one, np.load(processors / f"{name}.npz") as other:
            apart = difference(dict(one), dict(other))
        seconds = {"seconds_device": here["seconds"], "seconds_processors": there["seconds"]}
        rates = {f"{key.replace('seconds', 'per_second')}": here["count"] / value for key, value in seconds.items()}
        agreement = {"difference": apart, "limit": here["limit"], "agrees": apart <= here["limit"]}
        rows.append({"part": name, "unit": here["unit"], "count": here["count"], **seconds, **rates, **agreement})
    return rows


def _start(folder: Path, *, small: bool, device: bool) -> None:
    """A process of its own for `work_through`: where JAX runs is decided when it starts."""
    folder.mkdir()
    command = [sys.executable, "-m", "benchmarks.gpu", "--work", str(folder)]
    command += ["--small"] * small + ["--device"] * device
    environment = dict(os.environ) if device else os.environ | {"JAX_PLATFORMS": "cpu"}
    try:
        subprocess.run(command, env=environment, check=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        print(f"stopped after {SECONDS} s; parts that were not finished are left out")


def _gpu() -> str | None:
    """Name of the GPU that JAX sees; asked of another process, because one that has asked keeps most of its memory."""
    code = "import jax; d = jax.devices()[0]; print(d.device_kind if d.platform == 'gpu' else '')"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return asked.stdout.strip() or None


def main() -> int:
    """Compares, prints the table, saves it as JSON; 1 if something does not agree or was not finished."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/gpu.json"))
    for hidden, kind in (("--work", Path), ("--small", None), ("--device", None)):
        parser.add_argument(hidden, help=argparse.SUPPRESS, **({"type": kind} if kind else {"action": "store_true"}))
    arguments = parser.parse_args()
    if arguments.work:
        work_through(arguments.work, small=arguments.small, device=arguments.device)
        return 0
    gpu = _gpu()
    print(
        f"{gpu} compared with {_processors()} processors" if gpu else "no GPU: small work, processors with themselves"
    )
    with tempfile.TemporaryDirectory() as folder:
        here, there = Path(folder) / "device", Path(folder) / "processors"
        _start(here, small=not gpu, device=True)
        _start(there, small=not gpu, device=False)
        rows = compared(here, there)
    write_json(arguments.json, {"gpu": gpu, "processors": _processors(), "jax": jax.__version__, "parts": rows})
    table = Table("part", "a second", f"on {gpu or 'processors'}", "on processors", "times", "difference", "limit", "")
    for row in rows:
        rates = [float(str(row[f"per_second_{where}"])) for where in ("device", "processors")]
        numbers = (f"{rates[0]:.3g}", f"{rates[1]:.3g}", f"{rates[0] / rates[1]:.2g}")
        agreement = (f"{row['difference']:.1g}", f"{row['limit']:.0g}", "agrees" if row["agrees"] else "DIFFERS")
        table.add_row(str(row["part"]), str(row["unit"]), *numbers, *agreement)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return 0 if len(rows) == len(PARTS) and all(row["agrees"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
