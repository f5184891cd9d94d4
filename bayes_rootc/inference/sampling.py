"""Sampling a PyMC model, and the diagnostics that decide whether to trust it."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import INTERVAL
from ..extras import require
from ..models.spread import SIGNED
from ..seeds import child_seed

if TYPE_CHECKING:
    import pymc as pm

MAX_R_HAT = 1.01
MIN_ESS = 400
MIN_E_BFMI = 0.3
MAX_ROUNDS = 4
GOOD, DO_NOT_TRUST = "good", "do not trust"

type Sampler = Literal["pymc", "nutpie", "numpyro", "blackjax"]
JAX_SAMPLERS = ("numpyro", "blackjax")


@dataclass(frozen=True)
class Sampling:
    """How a model is sampled.

    Attributes
    ----------
    sampler : {"numpyro", "pymc", "nutpie", "blackjax"}
        What draws the posterior.
    chains, tune, draws : int
        Chains, and warm-up steps and kept draws of each.
    until_good : bool
        Extend NumPyro's chains, by `draws` each time and `MAX_ROUNDS` times at most, until R-hat and effective sample
        sizes are good enough.
    """

    sampler: Sampler = "numpyro"
    chains: int = 4
    tune: int = 1000
    draws: int = 1000
    until_good: bool = False


def sample(
    model: pm.Model, how: Sampling, *, seed: int, target_accept: float = 0.9, max_tree_depth: int = 10
) -> xr.DataTree:
    """NUTS draws of a model as an ArviZ DataTree, with the posterior predictive of what was observed.

    Numba compiles the model for PyMC and nutpie: no C compiler is needed. PyMC's chains run one after another, because
    forking a process that has started JAX may hang.

    Parameters
    ----------
    max_tree_depth : int
        Maximum tree depth of NumPyro's trajectories. Its chains wait for each other: while step sizes are not yet
        adapted, one trajectory of a thousand steps would hold up all of them.

    Raises
    ------
    MissingPackageError
        The sampler's package is not installed.
    """
    import pymc as pm

    sampler, nuts = how.sampler, dict[str, Any](target_accept=target_accept)
    if sampler == "blackjax":
        require("samplers", f'the sampler "{sampler}"')
    with model, quiet("pymc"), _double_precision(sampler in JAX_SAMPLERS):
        if sampler == "numpyro":
            tree = _sample_numpyro(model, how, nuts | {"max_tree_depth": max_tree_depth}, seed=seed)
        else:
            if sampler == "blackjax":
                nuts["chain_method"] = "vectorized"
            tree = pm.sample(
                how.draws,
                tune=how.tune,
                chains=how.chains,
                cores=1 if sampler == "pymc" else None,
                random_seed=seed,
                nuts=nuts,
                nuts_sampler=sampler,
                progressbar=False,
                quiet=True,
                compute_convergence_checks=False,
                compile_kwargs={} if sampler in JAX_SAMPLERS else {"mode": "NUMBA"},
            )
        if model.observed_RVs:
            predictive = pm.sample_posterior_predictive(
                tree,
                random_seed=child_seed(seed, "predictive"),
                progressbar=False,
                compile_kwargs={"mode": "FAST_COMPILE"},
            )
            tree["posterior_predictive"] = predictive["posterior_predictive"]
    tree = tree.map_over_datasets(xr.Dataset.as_numpy)  # JAX samplers leave arrays of their own
    if sampler in JAX_SAMPLERS and _short_of_maps():
        import jax

        jax.clear_caches()
    return tree


def _short_of_maps() -> bool:
    """Whether the process has an eighth of the memory maps that Linux gives it. A compiled model takes some hundreds of
    them, and 20 MB, for as long as JAX knows it: after a hundred fits the next would fail.
    """
    limit, maps = Path("/proc/sys/vm/max_map_count"), Path("/proc/self/maps")
    try:
        return maps.read_bytes().count(b"\n") > int(limit.read_text()) / 8
    except OSError:  # another system, without such a limit
        return False


NUMPYRO_STATS = {
    "diverging": "diverging",
    "energy": "energy",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "potential_energy": "lp",
}
"""Statistics of NumPyro that are kept, and ArviZ's names of them."""


def _sample_numpyro(model: pm.Model, how: Sampling, nuts: dict[str, Any], *, seed: int) -> xr.DataTree:
    """NumPyro on the log probability density of a PyMC model.

    `pm.sample` also can, but differentiates the model for samplers that it does not use, and evaluates the starting
    points operation by operation, each of which JAX compiles: together a third of the time of a small fit.
    """
    import jax
    import numpyro  # noqa: F401 (whole: the lazy one that ArviZ leaves would break its parts)
    from numpyro.infer import MCMC, NUTS
    from pymc.sampling.jax import get_jaxified_graph, get_jaxified_logp
    from pymc.util import is_transformed_name

    potential = jax.jit(get_jaxified_logp(model, negative_logp=False))
    point, rng = model.initial_point(seed), np.random.default_rng(child_seed(seed, "start"))
    start = [point[v.name] + rng.uniform(-1, 1, (how.chains, *np.shape(point[v.name]))) for v in model.value_vars]
    mcmc = MCMC(
        NUTS(
            potential_fn=potential,
            dense_mass=True,  # spreads of one response go together, and there are few of them
            target_accept_prob=nuts["target_accept"],
            max_tree_depth=nuts["max_tree_depth"],
        ),
        num_warmup=how.tune,
        num_samples=how.draws,
        num_chains=how.chains,
        chain_method=_in_threads,
        progress_bar=False,
    )
    # with either sign a spread is the same: chains need not agree on it
    names = [v for v in model.unobserved_value_vars if not is_transformed_name(v.name)]
    shown = [v for v in names if not v.name.endswith(SIGNED)]
    natural = jax.jit(jax.vmap(jax.vmap(get_jaxified_graph(model.value_vars, shown))))
    keys, rounds = jax.random.split(jax.random.key(child_seed(seed, "chains")), how.chains), list[xr.DataTree]()
    while True:
        mcmc.run(keys, init_params=start, extra_fields=tuple(NUMPYRO_STATS))
        values = dict(zip([v.name for v in shown], natural(*mcmc.get_samples(group_by_chain=True)), strict=True))
        stats = mcmc.get_extra_fields(group_by_chain=True)
        groups = {"posterior": values, "sample_stats": {ours: stats[theirs] for theirs, ours in NUMPYRO_STATS.items()}}
        rounds.append(xr.DataTree.from_dict({name: by_chain(group) for name, group in groups.items()}))
        together = xr.DataTree.from_dict(
            {name: xr.concat([r[name].to_dataset() for r in rounds], "draw") for name in groups}
        )
        if not how.until_good or len(rounds) > MAX_ROUNDS or converged(convergence(together["posterior"].to_dataset())):
            return together
        mcmc.post_warmup_state = mcmc.last_state  # the chains go on
        keys = mcmc.last_state.rng_key


def split_chains(values: NDArray, chains: int) -> NDArray:
    """Draws end to end, (draw, …), as (chain, draw, …); of any size, 0 included."""
    return values.reshape(chains, len(values) // chains, *values.shape[1:])


def by_chain(arrays: dict[str, Any]) -> xr.Dataset:
    """Arrays (chain, draw, …) as a dataset; further axes are called after the variable."""
    dims = {n: ("chain", "draw", *(f"{n}_{i}" for i in range(a.ndim - 2))) for n, a in arrays.items()}
    return xr.Dataset({n: (dims[n], np.asarray(a)) for n, a in arrays.items()})


QUICK_TO_COMPILE = {"xla_backend_optimization_level": 1}
"""Options of XLA under which chains on some hundred records are compiled by a third faster and run as fast."""


def _in_threads(chain: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of one chain as one of all chains, which is compiled once and runs in a thread for each.

    NumPyro's own ways need a device of JAX for each chain, which can be had only before JAX starts, or compile the
    model once a chain.
    """
    import jax

    def run(inputs: Any) -> Any:
        each = [jax.tree.map(lambda values, i=i: values[i], inputs) for i in range(len(jax.tree.leaves(inputs)[0]))]
        compiled = jax.jit(chain).lower(each[0]).compile(QUICK_TO_COMPILE)
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            found = list(pool.map(lambda one: jax.block_until_ready(compiled(one)), each))
        return jax.tree.map(lambda *values: jax.numpy.stack(values), *found)

    return run


@contextmanager
def _double_precision(wanted: bool) -> Iterator[None]:
    """JAX in double precision, if that is wanted; a sampler may switch it on for the whole process: it is put back."""
    import jax

    before = jax.config.jax_enable_x64
    try:
        with jax.enable_x64(wanted or before):
            yield
    finally:
        jax.config.update("jax_enable_x64", before)


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Lets a library's log through only from warnings up: the run has its own progress."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Numba does the work, so that PyTensor found no BLAS for its C backend does not matter.
            warnings.filterwarnings("ignore", message="PyTensor could not link to a BLAS")
            yield
    finally:
        logger.setLevel(level)


def convergence(posterior: xr.Dataset) -> dict[str, float]:
    """Worst R-hat and effective sample sizes of a posterior's variables, (chain, draw, …)."""
    import arviz as az

    return {
        "r_hat_max": _extreme(az.rhat(posterior), np.nanmax),
        "ess_bulk_min": _extreme(az.ess(posterior, method="bulk"), np.nanmin),
        "ess_tail_min": _extreme(az.ess(posterior, method="tail"), np.nanmin),
    }


def converged(found: dict[str, float]) -> bool:
    """Whether `convergence` found what we ask for."""
    return found["r_hat_max"] < MAX_R_HAT and min(found["ess_bulk_min"], found["ess_tail_min"]) >= MIN_ESS


def diagnose(name: str, tree: xr.DataTree) -> dict[str, object]:
    """One row of `tables/diagnostics.csv`: worst R-hat and ESS, divergences, E-BFMI, and a verdict.

    ArviZ computes each of them; its own `diagnose` gives one effective sample size in place of that of the bulk and
    that of the tails.
    """
    import arviz as az

    posterior = tree["posterior"].to_dataset()
    # the diagonal of a correlation is 1 in every draw; log k of layers is drawn given the rest, not sampled
    found = convergence(posterior.drop_vars([v for v in posterior if str(v).endswith("_corr") or v == "log_k"]))
    e_bfmi = _extreme(az.bfmi(tree), np.nanmin)
    divergences = int(tree["sample_stats"]["diverging"].sum())
    verdict = GOOD if converged(found) and divergences == 0 and e_bfmi > MIN_E_BFMI else DO_NOT_TRUST
    return {"fit": name, **found, "divergences": divergences, "e_bfmi_min": e_bfmi, "verdict": verdict}


def _extreme(values: xr.Dataset | xr.DataTree, which: Callable[..., Any]) -> float:
    dataset = values.to_dataset() if isinstance(values, xr.DataTree) else values
    return float(which([which(v.values) for v in dataset.data_vars.values() if v.size]))  # no predictor: none


def summarise(draws: np.ndarray, axis: int = -1) -> dict[str, np.ndarray]:
    """Mean, median and the 95 % equal-tailed interval along the axis of draws."""
    lower, median, upper = np.quantile(draws, [INTERVAL[0], 0.5, INTERVAL[1]], axis=axis)
    return {"mean": draws.mean(axis=axis), "median": median, "p025": lower, "p975": upper}


def summary_columns(name: str, draws: np.ndarray, axis: int = -1) -> pd.DataFrame:
    """`summarise`, as columns `name_mean`, `name_median`, `name_p025`, `name_p975`."""
    return pd.DataFrame({f"{name}_{key}": value for key, value in summarise(draws, axis).items()})
