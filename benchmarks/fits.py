"""Posteriors, on the demo world: how long 400 effective draws of the parameter that has fewest take."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import cache

import jax
import numpy as np
import pandas as pd

from bayes_rootc.data.folder import Inputs, read_inputs
from bayes_rootc.demo.world import simulate_world
from bayes_rootc.inference.regressions import iroot_records, sample_records
from bayes_rootc.inference.sampling import Sampling, diagnose
from bayes_rootc.inference.turnover_fit import diagnose_fit, fit_turnover

from . import latent_k, r
from .case import Case, Seconds

ENOUGH = 400
"""Effective draws, of the bulk and of the tails, that are asked of a fit."""

SHORT = {"tune": 150, "draws": 150}
"""Of the one that samples log k: longer chains would take minutes, and get no further in a second."""


@cache
def demo_inputs() -> Inputs:
    """Inputs of the demo world."""
    with tempfile.TemporaryDirectory() as folder:
        return read_inputs(simulate_world(folder, resolution=4.0).folder)


def seconds_of(fit: Callable[[], dict[str, object]]) -> Seconds:
    """Of enough effective draws, compilation included, at the rate of a fit."""
    jax.clear_caches()
    start = time.perf_counter()
    row = fit()
    seconds = time.perf_counter() - start
    return Seconds(seconds * ENOUGH / min(float(str(row["ess_bulk_min"])), float(str(row["ess_tail_min"]))))


def turnover() -> Case:
    """The turnover model, four chains: log k of layers summed out, and sampled with the rest by NUTS."""
    inputs = demo_inputs()
    data = latent_k.prepare(inputs.layers, inputs.atmosphere, 0)

    def ours() -> Seconds:
        def fit() -> dict[str, object]:
            found = fit_turnover(inputs.layers, inputs.groups, inputs.atmosphere, seed=1, until_good=False)
            return diagnose_fit("turnover", found)

        return seconds_of(fit)

    def theirs() -> Seconds:
        return seconds_of(lambda: latent_k.measure("NumPyro", lambda: latent_k.sample_numpyro(data, **SHORT)))

    return Case(
        f"turnover, {len(inputs.layers):,} layers, {ENOUGH} effective draws",
        "log k summed out on a grid, HMC",
        ours,
        "NumPyro, log k of every layer sampled by NUTS",
        theirs,
        cold=True,
    )


def drivers() -> Case:
    """Drivers of I_root: a full posterior, and lme4's point estimates of the same model."""
    records = iroot_records(demo_inputs().npp, demo_inputs().npp_records, demo_inputs().groups)[0]
    table = pd.DataFrame(records.X, columns=[f"x{i}" for i in range(records.X.shape[1])])
    table = table.assign(y=records.y, biome=records.biome, unit=records.unit)

    def ours() -> Seconds:
        def fit() -> dict[str, object]:
            tree = sample_records(records, Sampling(tune=500, draws=500), seed=1)
            return diagnose("drivers", tree)

        return seconds_of(fit)

    return Case(
        f"drivers of I_root, {np.size(records.y):,} records",
        f"posterior, {ENOUGH} effective draws",
        ours,
        "R's lme4, REML: one value, no priors",
        lambda: r.run("lme4", table),
        cold=True,
    )
