"""NUTS over a NumPyro model whose gradient is dear: few, well-placed steps, and all cores.

Warm-up is where a sampler spends its time when it knows nothing of the shape of a posterior. Here the space is first
whitened by the curvature where the posterior has its mass; chains start dispersed about that place, at twice its width.
One compiled step serves all chains, and later fits to data of the same shape; threads run the chains side by side,
because JAX releases the interpreter while it computes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # noqa: F401 (whole: the lazy one that ArviZ leaves would break its parts)
from jax import Array
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray
from numpyro.infer import init_to_median
from numpyro.infer.hmc import hmc
from numpyro.infer.util import initialize_model
from scipy.optimize import minimize

from ..progress import Progress

CHUNK = 25
"""Steps between two reports of progress."""

DISPERSION = 2.0
"""Chains start this many times as far from its middle as the posterior is wide."""

MORE_DRAWS, MAX_ROUNDS = 100, 16
"""Draws that are added to each chain, and how often, while they are not enough."""

MIN_CURVATURE = 0.25
"""Least curvature that is believed, of parameters whose priors have about unit scale."""

DIFFERENCE = 1e-3
"""Step of the finite differences of the gradient, of parameters of about unit scale."""


type Place = tuple[Array, Array]


class Nuts:
    """A sampler of one model; compiled when first used with data of a shape.

    Parameters
    ----------
    model : NumPyro model of continuous parameters. arguments : an example of its positional arguments.
    tune : warm-up steps (step size; diagonal mass matrix in the whitened space). target_accept : of the step size.
    max_tree_depth : of a trajectory. A depth of 3, 7 steps, crosses a posterior that is well whitened. There, one that
        goes on comes back on the other side of the middle, so that draws alternate, and spreads are learnt slowly
        however well means are.
    near : a model of the same parameters whose mode is near the middle of this one's posterior, if its own is not.
    """

    def __init__(
        self,
        model: Callable[..., None],
        arguments: tuple[Any, ...],
        *,
        tune: int,
        target_accept: float = 0.8,
        max_tree_depth: int = 3,
        near: Callable[..., None] | None = None,
    ):
        self.tune, self.target_accept, self.max_tree_depth = tune, target_accept, max_tree_depth
        with jax.enable_x64(True):
            self._info, near_info = (
                initialize_model(
                    jax.random.key(0),
                    m,
                    init_strategy=init_to_median(num_samples=50),
                    dynamic_args=True,
                    model_args=arguments,
                    validate_grad=False,
                )
                for m in (model, near or model)
            )
            self._start, self._unravel = ravel_pytree(self._info.param_info.z)

        def near_potential(z: Array, arguments: tuple[Any, ...]) -> Array:
            return near_info.potential_fn(*arguments)(self._unravel(z))

        self._init, self._sample = hmc(potential_fn_gen=self._whitened, algo="NUTS")
        self._value_and_gradient = jax.jit(jax.value_and_grad(near_potential))
        self._begin, self._advance, self._constrain = (jax.jit(f) for f in (self._first, self._steps, self._parameters))

    def lowered(self, arguments: tuple[Any, ...]) -> list[Any]:
        """The parts of `run` for data of this shape, traced: each has a `compile()`, which takes long the first time,
        and may be called in another thread, beside `locate`. Tracing may not: NumPyro's handlers are one stack.
        """
        with jax.enable_x64(True):
            n = len(self._start)
            first = (jax.random.key(0), jnp.zeros(n), (jnp.zeros(n), jnp.eye(n), arguments))
            state = jax.eval_shape(self._begin, *first)
            return [self._begin.lower(*first), self._advance.lower(state, first[-1])]

    def locate(self, arguments: tuple[Any, ...]) -> Place:
        """Middle of the posterior, and a factor L of the inverse curvature there: L Lᵀ = H⁻¹.

        Where effects have an unknown spread, the mode is no such place: a needle may stand where all of them are 0. It
        is that of the model `near`, with a spread that is known, which leaves no needle.
        """

        def objective(z: NDArray) -> tuple[float, NDArray]:
            value, gradient = self._value_and_gradient(jnp.asarray(z), arguments)
            return float(value), np.array(gradient)

        with jax.enable_x64(True):
            z = minimize(objective, self._start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
            here = objective(z)[1]
            rows = np.array([(objective(z + e)[1] - here) / DIFFERENCE for e in DIFFERENCE * np.eye(len(z))])
            return jnp.asarray(z), jnp.asarray(_factor((rows + rows.T) / 2))

    def sketch(self, arguments: tuple[Any, ...], place: Place, *, seed: int, count: int) -> dict[str, NDArray]:
        """Draws of the normal approximation there, as `run` gives them, of one chain."""
        with jax.enable_x64(True):
            white = np.random.default_rng(seed).standard_normal((1, count, len(self._start)))
            samples = self._constrain(jnp.asarray(white), (*place, arguments))
        return {name: np.asarray(value) for name, value in samples.items()}

    def run(
        self,
        arguments: tuple[Any, ...],
        place: Place | None = None,
        *,
        seed: int,
        chains: int = 4,
        draws: int = 300,
        enough: Callable[[dict[str, NDArray]], bool] | None = None,
        progress: Progress | None = None,
    ) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        """Draws of the model's parameters and deterministic quantities, in double precision.

        place : from `locate`, if that was asked before. enough : judges the samples; while it finds them too few,
            `MORE_DRAWS` are added, up to `MAX_ROUNDS` times.

        Returns
        -------
        samples : by name, (chain, draw, …).
        stats : `diverging`, `energy`, `n_steps`, `acceptance_rate`, (chain, draw).
        """
        for part in self.lowered(arguments):
            part.compile()  # here, not in each thread
        with jax.enable_x64(True):
            inputs = (*(place or self.locate(arguments)), arguments)
            starts = DISPERSION * np.random.default_rng(seed).standard_normal((chains, len(self._start)))
            keys = jax.random.split(jax.random.key(seed), chains)
            states = [self._begin(key, jnp.asarray(x), inputs) for key, x in zip(keys, starts, strict=True)]

        def chain(number: int, tune: int, draws: int, done: list[int]) -> Any:
            chunks, kept = -(-(tune + draws) // CHUNK), []
            with jax.enable_x64(True):  # the setting belongs to a thread
                for i in range(chunks):
                    states[number], drawn = jax.block_until_ready(self._advance(states[number], inputs))
                    first = max(tune - i * CHUNK, 0)
                    kept.append(jax.tree.map(lambda a, first=first: np.asarray(a[first:]), drawn))
                    done[number] = i + 1
                    if progress and not rounds:
                        progress(sum(done), chains * chunks)
            return jax.tree.map(lambda *parts: np.concatenate(parts)[:draws], *kept)

        rounds: list[Any] = []
        with jax.enable_x64(True), ThreadPoolExecutor(min(chains, os.cpu_count() or 1)) as pool:
            while True:
                steps = {"tune": 0, "draws": MORE_DRAWS} if rounds else {"tune": self.tune, "draws": draws}
                work = partial(chain, **steps, done=[0] * chains)
                rounds.append(jax.tree.map(lambda *parts: np.stack(parts), *pool.map(work, range(chains))))
                white, diverging, energy, n_steps, accepted = jax.tree.map(
                    lambda *parts: np.concatenate(parts, axis=1), *rounds
                )
                samples = {name: np.asarray(value) for name, value in self._constrain(white, inputs).items()}
                if enough is None or len(rounds) > MAX_ROUNDS or enough(samples):
                    break
        stats = {"diverging": diverging, "energy": energy, "n_steps": n_steps, "acceptance_rate": accepted}
        return samples, stats

    def _potential(self, z: Array, arguments: tuple[Any, ...]) -> Array:
        return self._info.potential_fn(*arguments)(self._unravel(z))

    def _whitened(self, mode: Array, factor: Array, arguments: tuple[Any, ...]) -> Callable[[Array], Array]:
        return lambda white: self._potential(mode + factor @ white, arguments)

    def _first(self, key: Array, white: Array, inputs: tuple[Any, ...]) -> Any:
        return self._init(
            white,
            self.tune,
            target_accept_prob=self.target_accept,
            max_tree_depth=self.max_tree_depth,
            model_args=inputs,
            model_kwargs={},
            rng_key=key,
        )

    def _steps(self, state: Any, inputs: tuple[Any, ...]) -> Any:
        def step(state: Any, _: None) -> tuple[Any, Any]:
            state = self._sample(state, inputs, {})
            return state, (state.z, state.diverging, state.energy, state.num_steps, state.accept_prob)

        return jax.lax.scan(step, state, length=CHUNK)

    def _parameters(self, white: Array, inputs: tuple[Any, ...]) -> dict[str, Array]:
        mode, factor, arguments = inputs

        def one(w: Array) -> dict[str, Array]:
            return self._info.postprocess_fn(*arguments)(self._unravel(mode + factor @ w))

        return jax.vmap(jax.vmap(one))(white)


def _factor(curvature: NDArray) -> NDArray:
    """L with L Lᵀ = the inverse of a curvature, of which no less is believed than `MIN_CURVATURE`."""
    values, vectors = np.linalg.eigh(curvature)
    return vectors / np.sqrt(np.maximum(values, MIN_CURVATURE))
