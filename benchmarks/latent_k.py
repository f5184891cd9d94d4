"""`python -m benchmarks.latent_k`: the turnover model fitted the usual way, log k of every layer sampled by NUTS.

The package sums it out instead (`bayes_rootc.models.marginal`). Two libraries sample it here, a parameter a layer, and
ArviZ says how far their chains get. In a short run bad numbers may mean slow as well as stuck: `mean_by_chain` in the
JSON tells chains that disagree from chains that mix slowly about the same place.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from numpyro.infer import MCMC, NUTS
from rich.console import Console
from rich.table import Table

from bayes_rootc.data.atmosphere import Atmosphere
from bayes_rootc.data.folder import read_inputs
from bayes_rootc.files import write_json
from bayes_rootc.models.radiocarbon import LOG_K_RANGE, predicted_table

CHAINS, SEED, GRID, BIOMES = 4, 1, 512, 9
SPREADS = {"biome_sd": (0.5, 0.6), "tau_profile": (0.7, 0.5), "tau_layer": (0.7, 0.5), "model_sd": (30.0, 0.5)}
POSITIVE = SPREADS | {"nu_minus_1": (3.0, 1.0)}
"""Log-normal priors, those of the package: median, and standard deviation of the logarithm."""

HYPERPARAMETERS = ("mean", "slope", "biome_offset", *POSITIVE)
Posterior = dict[str, NDArray[Any]]
"""Draws of them and of `log_k`; `diverging` and `n_steps` of the sampler: (chain, draw, …)."""


class Data(NamedTuple):
    """Layers: depth functions (n, 2), biome and profile from 0, measured Δ14C and σ (‰), predicted Δ14C (n, GRID)."""

    depth: NDArray[np.float64]
    biome: NDArray[np.int64]
    profile: NDArray[np.int64]
    observed: NDArray[np.float64]
    sigma: NDArray[np.float64]
    table: NDArray[np.float64]


def prepare(layers: pd.DataFrame, atmosphere: Atmosphere, n: int) -> Data:
    """The first `n` layers (0: all), by whole profiles."""
    layers = layers.sort_values("profile_index", kind="stable")
    if n:
        through = layers.groupby("profile_index").size().cumsum()  # layers up to the end of each profile
        layers = layers[layers["profile_index"].isin(through.index[through <= n])]
    z = ((layers["top"] + layers["bottom"]) / 2).to_numpy(float)
    year, zone = layers["year"].to_numpy(float), layers["zone"].to_numpy(str)
    return Data(
        np.stack([np.log1p(z / 10) - np.log1p(3), z / 100 - 0.3], axis=1),
        layers["biome"].to_numpy(np.int64) - 1,
        np.unique(layers["profile_index"], return_inverse=True)[1],
        layers["delta14c"].to_numpy(float),
        layers["sigma"].to_numpy(float),
        predicted_table(np.exp(np.linspace(*LOG_K_RANGE, GRID)), year, zone, "steady", atmosphere),
    )


def interpolate(xp: Any, flat: Any, log_k: Any) -> Any:
    """Each layer's Δ14C from the flattened table, linear between nodes, constant beyond; in JAX or PyTensor (`xp`).

    The gradient flows through the weight alone; where a node is passed it jumps, by little on so fine a grid.
    """
    at = xp.clip((log_k - LOG_K_RANGE[0]) * ((GRID - 1) / (LOG_K_RANGE[1] - LOG_K_RANGE[0])), 0, GRID - 1)
    node = xp.minimum(xp.floor(at), GRID - 2).astype("int64")
    first = xp.arange(log_k.shape[0]) * GRID + node
    return flat[first] + (at - node) * (flat[first + 1] - flat[first])


def sample_pymc(data: Data, tune: int, draws: int) -> Posterior:
    """PyMC compiled by Numba, else at its defaults; layers and profiles not centred."""
    with pm.Model():
        s = {name: pm.LogNormal(name, np.log(median), sd) for name, (median, sd) in POSITIVE.items()}
        mean = pm.Normal("mean", -6.5, 1.5)
        slope = pm.Normal("slope", np.array([-1.0, 0.0]), 1.0, shape=2)
        biome_offset = pm.Normal("biome_offset", 0.0, s["biome_sd"], shape=BIOMES)
        profile = s["tau_profile"] * pm.Normal("profile", shape=int(data.profile.max()) + 1)
        centre = mean + biome_offset[data.biome] + pt.dot(data.depth, slope) + profile[data.profile]
        log_k = pm.Deterministic("log_k", centre + s["tau_layer"] * pm.Normal("layer", shape=len(data.observed)))
        predicted = interpolate(pt, pt.constant(data.table.ravel()), log_k)
        sd = pt.sqrt(data.sigma**2 + s["model_sd"] ** 2)
        pm.StudentT("delta14c", nu=1 + s["nu_minus_1"], mu=predicted, sigma=sd, observed=data.observed)
        setting = {"chains": CHAINS, "cores": 1, "progressbar": False, "compute_convergence_checks": False}
        tree = pm.sample(draws, tune=tune, random_seed=SEED, compile_kwargs={"mode": "NUMBA"}, **setting)
    stats = {name: tree["sample_stats"][name].to_numpy() for name in ("diverging", "n_steps")}
    return {name: tree["posterior"][name].to_numpy() for name in (*HYPERPARAMETERS, "log_k")} | stats


def sample_numpyro(data: Data, tune: int, draws: int) -> Posterior:
    """NumPyro in double precision, else at its defaults; profiles centred, layers not.

    Its default start puts `mean` within (-2, 2), where most layers are younger than the bomb peak and the likelihood
    is nearly flat; PyMC's lies about the prior mean. This is part of what a user meets, so it is not changed here.
    """

    def model() -> None:
        s = {name: numpyro.sample(name, dist.LogNormal(np.log(m), sd)) for name, (m, sd) in POSITIVE.items()}
        mean = numpyro.sample("mean", dist.Normal(-6.5, 1.5))
        slope = numpyro.sample("slope", dist.Normal(np.array([-1.0, 0.0]), 1.0).to_event(1))
        biome_offset = numpyro.sample("biome_offset", dist.Normal(0.0, s["biome_sd"]).expand([BIOMES]).to_event(1))
        profiles = dist.Normal(0.0, s["tau_profile"]).expand([int(data.profile.max()) + 1]).to_event(1)
        profile = numpyro.sample("profile", profiles)
        layer = numpyro.sample("layer", dist.Normal().expand([len(data.observed)]).to_event(1))
        centre = mean + biome_offset[data.biome] + data.depth @ slope + profile[data.profile]
        log_k = numpyro.deterministic("log_k", centre + s["tau_layer"] * layer)
        predicted = interpolate(jnp, jnp.asarray(data.table.ravel()), log_k)
        sd = jnp.sqrt(data.sigma**2 + s["model_sd"] ** 2)
        numpyro.sample("delta14c", dist.StudentT(1 + s["nu_minus_1"], predicted, sd), obs=data.observed)

    with jax.enable_x64(True):
        setting = {"num_chains": CHAINS, "chain_method": "sequential", "progress_bar": False}
        mcmc = MCMC(NUTS(model), num_warmup=tune, num_samples=draws, **setting)
        mcmc.run(jax.random.key(SEED), extra_fields=("diverging", "num_steps"))
        samples, stats = mcmc.get_samples(group_by_chain=True), mcmc.get_extra_fields(group_by_chain=True)
        posterior = {name: np.asarray(samples[name]) for name in (*HYPERPARAMETERS, "log_k")}
        return posterior | {"diverging": np.asarray(stats["diverging"]), "n_steps": np.asarray(stats["num_steps"])}


def measure(name: str, run: Callable[[], Posterior]) -> dict[str, Any]:
    """Wall time, compilation included, and what ArviZ says of the draws."""
    start = time.perf_counter()
    posterior = run()
    seconds = time.perf_counter() - start
    hyper = az.from_dict({"posterior": {name: posterior[name] for name in HYPERPARAMETERS}})
    layers = _flat(az.rhat(az.from_dict({"posterior": {"log_k": posterior["log_k"]}})))
    return {
        "variant": name,
        "seconds": seconds,
        "r_hat_max": float(_flat(az.rhat(hyper)).max()),
        "ess_bulk_min": float(_flat(az.ess(hyper, method="bulk")).min()),
        "ess_tail_min": float(_flat(az.ess(hyper, method="tail")).min()),
        "layers_r_hat_max": float(layers.max()),
        # In a short run agreeing chains pass 1.01 too, but seldom 1.1; an R-hat that is not a number counts as above.
        "layers_r_hat_above_1.01": float(1 - (layers <= 1.01).mean()),
        "layers_r_hat_above_1.1": float(1 - (layers <= 1.1).mean()),
        "divergences": int(posterior["diverging"].sum()),
        "steps_per_draw": float(posterior["n_steps"].mean()),
        "mean_by_chain": {k: posterior[k].mean(axis=1).tolist() for k in ("mean", *POSITIVE)},
    }


def _flat(tree: Any) -> NDArray[np.float64]:
    return np.concatenate([np.ravel(v.values) for v in tree.to_dataset().data_vars.values()])


def main() -> None:
    """Runs both libraries in turn, prints the table, saves it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latent_k", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=0, help="the first so many, by whole profiles; 0: all")
    parser.add_argument("--draws", type=int, default=150)
    parser.add_argument("--tune", type=int, default=150)
    parser.add_argument("--json", type=Path, default=Path("build/latent_k.json"))
    arguments = parser.parse_args()
    inputs = read_inputs(arguments.data)
    data = prepare(inputs.layers, inputs.atmosphere, arguments.layers)
    size = {"layers": len(data.observed), "profiles": int(data.profile.max()) + 1, "chains": CHAINS, "seed": SEED}
    settings = size | {"tune": arguments.tune, "draws": arguments.draws}
    rows = []
    for name, sampler in (
        (f"PyMC {pm.__version__}, profiles not centred", sample_pymc),
        (f"NumPyro {numpyro.__version__}, profiles centred", sample_numpyro),
    ):
        rows.append(measure(name, partial(sampler, data, arguments.tune, arguments.draws)))
        write_json(arguments.json, {"settings": settings, "rows": rows})  # the next may take long
    table = Table("", *(row["variant"] for row in rows), title=", ".join(f"{k} {v}" for k, v in settings.items()))
    for key in [key for key, value in rows[0].items() if isinstance(value, int | float)]:
        table.add_row(key, *(f"{row[key]:.4g}" for row in rows))
    Console().print(table)


if __name__ == "__main__":
    main()
