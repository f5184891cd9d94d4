"""NUTS over a NumPyro model whose gradient is dear: few, well-placed steps, and all cores.

Warm-up is where a sampler spends its time when it knows nothing of the shape of a posterior. Here the space is first
whitened by the curvature at the posterior's mode; chains start dispersed about it, at twice its width. One compiled
step serves all chains, and threads run them side by side, because JAX releases the interpreter while it computes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray
from numpyro import handlers
from numpyro.infer import NUTS, init_to_median
from numpyro.infer.util import initialize_model, potential_energy
from scipy.optimize import minimize

from ..progress import Progress

CHUNK = 25
"""Steps between two reports of progress."""

DISPERSION = 2.0
"""Chains start this many times as far from the mode as the posterior is wide."""

MIN_CURVATURE = 0.25
"""Least curvature that is believed, of parameters whose priors have unit scale: a flat direction is not a wide one."""


def run_nuts(
    model: Callable[..., None],
    arguments: tuple[Any, ...],
    *,
    seed: int,
    chains: int = 4,
    tune: int = 300,
    draws: int = 500,
    target_accept: float = 0.85,
    progress: Progress | None = None,
) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
    """Draws of a model's parameters and deterministic quantities, in double precision.

    Parameters
    ----------
    model : NumPyro model of continuous parameters.
    arguments : its positional arguments: arrays, or pytrees of them.
    chains, tune, draws : chains; warm-up steps (step size, diagonal mass matrix in the whitened space); kept draws.

    Returns
    -------
    samples : by name, (chain, draw, …).
    stats : `diverging`, `energy`, `n_steps`, `acceptance_rate`, (chain, draw).
    """
    with jax.enable_x64(True):
        info = initialize_model(
            jax.random.key(seed),
            model,
            init_strategy=init_to_median(num_samples=50),
            validate_grad=False,
            dynamic_args=True,
            model_args=arguments,
        )
        mode, unravel = ravel_pytree(info.param_info.z)
        mode, factor = _laplace(lambda z, a: info.potential_fn(*a)(unravel(z)), mode, arguments)

        def whitened(mode: Array, factor: Array, arguments: tuple[Any, ...]) -> None:
            white = numpyro.sample(
                "white", dist.ImproperUniform(dist.constraints.real_vector, (), event_shape=mode.shape)
            )
            with handlers.block():
                energy = potential_energy(model, arguments, {}, unravel(mode + factor @ white))
            numpyro.factor("log_density", -energy)

        kernel = NUTS(whitened, target_accept_prob=target_accept)
        inputs = (mode, factor, arguments)
        keys = jax.random.split(jax.random.key(seed + 1), chains)
        starts = DISPERSION * np.random.default_rng(seed).standard_normal((chains, len(mode)))
        states = [
            kernel.init(key, tune, init_params={"white": jnp.asarray(x)}, model_args=inputs, model_kwargs={})
            for key, x in zip(keys, starts, strict=True)
        ]

    @jax.jit
    def advance(state: Any, inputs: tuple[Any, ...]) -> Any:
        def step(state: Any, _: None) -> tuple[Any, Any]:
            state = kernel.sample(state, inputs, {})
            return state, (state.z["white"], state.diverging, state.energy, state.num_steps, state.accept_prob)

        return jax.lax.scan(step, state, length=CHUNK)

    chunks = -(-(tune + draws) // CHUNK)
    done = [0] * chains

    def chain(number: int) -> Any:
        state, kept = states[number], []
        with jax.enable_x64(True):  # the setting belongs to a thread
            for i in range(chunks):
                state, drawn = jax.block_until_ready(advance(state, inputs))
                first = max(tune - i * CHUNK, 0)
                kept.append(jax.tree.map(lambda a, first=first: np.asarray(a[first:]), drawn))
                done[number] = (i + 1) * CHUNK
                if progress:
                    progress(sum(done), chains * chunks * CHUNK)
        return jax.tree.map(lambda *parts: np.concatenate(parts)[:draws], *kept)

    with jax.enable_x64(True):
        advance.lower(states[0], inputs).compile()
        with ThreadPoolExecutor(min(chains, os.cpu_count() or 1)) as pool:
            runs = list(pool.map(chain, range(chains)))
        white, diverging, energy, steps, accepted = jax.tree.map(lambda *parts: np.stack(parts), *runs)
        constrain = jax.jit(jax.vmap(jax.vmap(lambda w: info.postprocess_fn(*arguments)(unravel(mode + factor @ w)))))
        samples = {name: np.asarray(value) for name, value in constrain(white).items()}
    stats = {"diverging": diverging, "energy": energy, "n_steps": steps, "acceptance_rate": accepted}
    return samples, stats


def _laplace(potential: Callable[..., Array], start: Array, arguments: tuple[Any, ...]) -> tuple[Array, Array]:
    """Mode of a potential, and a factor L of the inverse curvature there: L Lᵀ = H⁻¹."""
    value_and_gradient = jax.jit(jax.value_and_grad(potential))

    def objective(z: NDArray) -> tuple[float, NDArray]:
        value, gradient = value_and_gradient(jnp.asarray(z), arguments)
        return float(value), np.asarray(gradient)

    mode = minimize(objective, np.asarray(start), jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    step = 1e-3
    rows = [(objective(mode + e)[1] - objective(mode - e)[1]) / (2 * step) for e in step * np.eye(len(mode))]
    curvature = np.array(rows)
    values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
    return jnp.asarray(mode), jnp.asarray(vectors / np.sqrt(np.maximum(values, MIN_CURVATURE)))
