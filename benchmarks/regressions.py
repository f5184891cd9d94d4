"""`python -m benchmarks.regressions`: samplers of the regressions in effective draws a second; and REML beside them.

Each sampler draws the same PyMC model with the same settings; time is wall time, compilation included, because a user
waits for it. REML is statsmodels' MixedLM of the same specification: coefficients that vary by biome, independently,
and sites within them. It has no priors: spreads that a prior holds off 0 may be 0 in it.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from bayes_rootc.data.folder import read_inputs
from bayes_rootc.files import write_json
from bayes_rootc.inference.regressions import Response, allocation_records, iroot_records, root_records, sample_records
from bayes_rootc.inference.sampling import Sampling, diagnose
from bayes_rootc.models.regression import INTERCEPT, Records

SAMPLERS = ("numpyro", "blackjax", "nutpie", "pymc")
SEED, LENGTH = 1, {"chains": 4, "tune": 500, "draws": 500}


def measure(name: str, records: Response, sampler: Any) -> dict[str, Any]:
    """Seconds, the worst quantity's effective draws, and how long 400 of them take, warm-up and compilation once."""
    start = time.perf_counter()
    tree = sample_records(records, Sampling(sampler, **LENGTH), seed=SEED)
    seconds = time.perf_counter() - start
    row = diagnose(name, tree)
    ess = min(float(str(row["ess_bulk_min"])), float(str(row["ess_tail_min"])))
    steps = tree["sample_stats"].to_dataset().get("n_steps")
    return {
        "fit": name,
        "sampler": sampler,
        "seconds": seconds,
        "ess_min": ess,
        "ess_per_second": ess / seconds,
        "steps_per_draw": float(steps.mean()) if steps is not None else float("nan"),
        "r_hat_max": row["r_hat_max"],
        "divergences": row["divergences"],
    }


def reml(records: Records) -> pd.DataFrame:
    """Mean coefficients and spreads by REML, and by the posterior: `quantity`, `reml`, mean and sd."""
    from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams, VCSpec

    names = [INTERCEPT, *records.predictors]
    X, biomes = records.design, np.unique(records.biome)
    columns, matrices = [], []
    for i, name in enumerate(names):
        columns.append([[name]] * len(biomes))
        matrices.append([X[records.biome == b, i : i + 1] for b in biomes])
    in_biome = [np.unique(records.unit[records.biome == b], return_inverse=True)[1] for b in biomes]
    columns.append([[f"unit {u}" for u in range(v.max() + 1)] for v in in_biome])
    matrices.append([np.eye(v.max() + 1)[v] for v in in_biome])
    spec = VCSpec([*names, "unit"], columns, matrices)
    draws = sample_records(records, Sampling(**LENGTH), seed=SEED)["posterior"]
    model = MixedLM(records.y - records.centre, X, records.biome, exog_vc=spec)
    # from the posterior on: from its own start the optimiser stops short of the best
    spread = np.append(draws["biome_sd"].values.mean(axis=(0, 1)), float(draws["unit_sd"].mean()))
    ours = dict(zip([*names, "unit"], (spread / float(draws["record_sd"].mean())) ** 2, strict=True))
    start = MixedLMParams.from_components(
        fe_params=draws["mean"].values.mean(axis=(0, 1)), vcomp=np.array([ours[n] for n in model.exog_vc.names])
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at 0, where spreads may be, the curvature says nothing
        found = model.fit(start_params=start, reml=True, method=["lbfgs", "powell"])
    rows = []
    order = model.exog_vc.names
    spreads = dict(zip(order, np.sqrt(found.vcomp), strict=True)) | {"record": float(np.sqrt(found.scale))}
    for i, name in enumerate(names):
        post = draws["mean"].values[..., i]
        rows.append((f"mean {name}", found.fe_params[i], post.mean(), post.std()))
    for i, name in enumerate([*names, "unit", "record"]):
        post = draws["biome_sd"].values[..., i] if i < len(names) else draws[f"{name}_sd"].values
        rows.append((f"spread {name}", spreads[name], post.mean(), post.std()))
    return pd.DataFrame(rows, columns=["quantity", "reml", "posterior_mean", "posterior_sd"])


def main() -> None:
    """Measures, compares, prints, saves as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regressions", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data folder")
    parser.add_argument("--json", type=Path, default=Path("build/regressions.json"))
    parser.add_argument("--samplers", nargs="*", default=SAMPLERS, choices=SAMPLERS)
    arguments = parser.parse_args()
    inputs = read_inputs(arguments.data)
    sites = {
        "drivers_iroot": iroot_records(inputs.npp, inputs.npp_records, inputs.groups)[0],
        "allocation": allocation_records(inputs.npp, inputs.npp_records, inputs.groups)[0],
    }
    roots = root_records(inputs.roots, inputs.groups)[0]
    timed = [measure(n, r, s) for n, r in (*sites.items(), ("root_depth", roots)) for s in arguments.samplers]
    _print(pd.DataFrame(timed))
    compared = {name: reml(records) for name, records in sites.items()}
    for table in compared.values():
        _print(table)
    write_json(arguments.json, {"samplers": timed, "reml": {n: t.to_dict("records") for n, t in compared.items()}})


def _print(table: pd.DataFrame) -> None:
    shown = Table(*map(str, table.columns))
    for row in table.itertuples(index=False):
        shown.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row))
    Console().print(shown)


if __name__ == "__main__":
    main()
