"""NUTS over a NumPyro model with an expensive gradient: a whitened space, one compiled function, all cores.

Warm-up is where a sampler spends its time when it knows nothing of the shape of a posterior. Here the space is first
whitened by the curvature where the posterior has its mass; chains start dispersed about that place, at twice its width.
The value and gradient of the potential are the only thing that XLA compiles, once for data of one shape: the search for
that place and the chains call it. nutpie runs the chains, and chooses the length of each trajectory itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # noqa: F401 (whole: the lazy one that ArviZ leaves would break its parts)
import nutpie
from jax import Array
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray
from numpyro.infer import init_to_value
from numpyro.infer.util import initialize_model
from nutpie.compiled_pyfunc import from_pyfunc
from scipy.optimize import minimize

from ..progress import Progress
from ..seeds import child_seed

DISPERSION = 2.0
"""Chains start this many times as far from the middle of the posterior as it is wide."""

MORE_DRAWS, MORE_TUNING, MAX_ROUNDS = 100, 50, 16
"""Draws added to each chain while they are too few, after as many steps of adapting; and how often at most."""

MIN_CURVATURE = 0.25
"""Smallest curvature that is trusted, for parameters whose priors have about unit scale."""

DIFFERENCE = 1e-3
"""Step of the finite differences of the gradient, for parameters of about unit scale."""

MAX_DEPTH = 8
"""Doublings of a trajectory: while the step size is not yet found, one of a thousand steps would hold up all."""

STATS = {"diverging": "diverging", "energy": "energy", "n_steps": "n_steps", "mean_tree_accept": "acceptance_rate"}
"""Statistics that are kept, by nutpie's names."""

type Place = tuple[NDArray[np.float64], NDArray[np.float64]]
type LogDensity = Callable[[NDArray], tuple[float, NDArray]]


class Sampled(NamedTuple):
    """What chains gave: parameters and deterministic quantities by name, (chain, draw, …), in double precision;
    `diverging`, `energy`, `n_steps` and `acceptance_rate`, (chain, draw); and where each chain stands, (chain, n).
    """

    samples: dict[str, NDArray]
    stats: dict[str, NDArray]
    ends: NDArray[np.float64]


class Nuts:
    """A sampler of one model, compiled when first used with data of a shape.

    Parameters
    ----------
    model : callable
        NumPyro model of continuous parameters.
    arguments : tuple
        An example of its positional arguments.
    start : dict
        Where the search for the middle of the posterior starts, by parameter; by default NumPyro's choice.
    tune : int
        Warm-up steps of each chain.
    target_accept : float
        Acceptance that the step size aims at.
    known_spread : bool
        The model has a keyword `known_spread`, a number: at 1 its mode is near the middle of the posterior, at 0 it may
        not be.
    """

    def __init__(
        self,
        model: Callable[..., None],
        arguments: tuple[Any, ...],
        *,
        tune: int,
        start: dict[str, Any] | None = None,
        target_accept: float = 0.8,
        known_spread: bool = False,
    ):
        self.tune, self.target_accept, self._known_spread = tune, target_accept, known_spread
        strategy = {"init_strategy": init_to_value(values=start)} if start else {}
        with jax.enable_x64(True):
            self._info = initialize_model(
                jax.random.key(0), model, dynamic_args=True, model_args=arguments, validate_grad=False, **strategy
            )
            self._start, self._unravel = ravel_pytree(self._info.param_info.z)
        self._value_and_gradient = jax.jit(jax.value_and_grad(self._potential))
        self._constrain = jax.jit(self._parameters)

    def locate(self, arguments: tuple[Any, ...]) -> Place:
        """Middle of the posterior, and a factor L of the inverse curvature there: L Lᵀ = H⁻¹.

        Where effects have an unknown standard deviation, the mode will not do: the probability density may have a
        needle where all of them are 0. The middle is then that of the model with a known standard deviation, which has
        no needle.
        """
        n = len(self._start)

        def objective(z: NDArray) -> tuple[float, NDArray]:
            known = float(self._known_spread)
            value, gradient = self._value_and_gradient(jnp.asarray(z), origin, identity, known, arguments)
            return float(value), np.array(gradient)

        with jax.enable_x64(True):
            origin, identity = jnp.zeros(n), jnp.eye(n)
            z = minimize(objective, np.array(self._start), jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
            here = objective(z)[1]
            rows = np.array([(objective(z + e)[1] - here) / DIFFERENCE for e in DIFFERENCE * np.eye(n)])
        return z, _factor((rows + rows.T) / 2)

    def run(
        self,
        arguments: tuple[Any, ...],
        place: Place | None = None,
        *,
        seed: int,
        chains: int = 4,
        draws: int = 300,
        starts: NDArray[np.float64] | None = None,
        enough: Callable[[dict[str, NDArray]], bool] | None = None,
        progress: Progress | None = None,
    ) -> Sampled:
        """Draws of the model's parameters and deterministic quantities.

        Parameters
        ----------
        arguments : tuple
            Positional arguments of the model.
        place : tuple of array, optional
            Result of `locate`, if that was called before.
        seed : int
            Seed of the chains.
        chains, draws : int
            Number of chains, and kept draws of each.
        starts : array, (chain, n), optional
            `Sampled.ends` of chains that resume, with the same `place`, on other data of this shape or on a finer grid.
        enough : callable, optional
            Judges the samples; while it finds them too few, each chain continues by `MORE_DRAWS`, up to `MAX_ROUNDS`
            times.
        progress : callable, optional
            Called with the draws done and wanted.

        Returns
        -------
        Sampled
            Draws, statistics of the sampler, and the ends of the chains.
        """
        place = place or self.locate(arguments)
        log_density = self._log_density(arguments, place)
        warm = starts is not None
        if starts is None:
            rng = np.random.default_rng(child_seed(seed, "start"))
            starts = DISPERSION * rng.standard_normal((chains, len(self._start)))
        rounds: list[dict[str, NDArray]] = []
        while True:
            tune = MORE_TUNING if warm or rounds else self.tune
            length = MORE_DRAWS if rounds else draws
            seeds = [child_seed(seed, "chain", len(rounds), number) for number in range(chains)]
            told = None if rounds else progress
            rounds.append(self._advance(log_density, starts, seeds, tune, length, told))
            together = {name: np.concatenate([r[name] for r in rounds], axis=1) for name in rounds[0]}
            white = together.pop("white")
            samples, starts = self._natural(white, place, arguments), white[:, -1]
            if enough is None or len(rounds) > MAX_ROUNDS or enough(samples):
                return Sampled(samples, together, starts)

    def _log_density(self, arguments: tuple[Any, ...], place: Place) -> LogDensity:
        """Log density of a point of the whitened space, and its gradient."""
        with jax.enable_x64(True):
            inputs = (jnp.asarray(place[0]), jnp.asarray(place[1]), 0.0, arguments)

        def log_density(white: NDArray) -> tuple[float, NDArray]:
            with jax.enable_x64(True):  # the setting belongs to a thread
                found = self._value_and_gradient(jnp.asarray(white), *inputs)
                value, gradient = jax.block_until_ready(found)  # lets the other chains run, as `float` does not
                return -float(value), -np.asarray(gradient)

        return log_density

    def _advance(
        self,
        log_density: LogDensity,
        starts: NDArray,
        seeds: list[int],
        tune: int,
        draws: int,
        progress: Progress | None,
    ) -> dict[str, NDArray]:
        """Chains, each from its start, side by side: `white`, (chain, draw, dimension), and the statistics."""
        log_density(starts[0])  # compiled here, not in each thread
        n, done, running = starts.shape[1], [0] * len(starts), list[Any]()

        def chain(number: int) -> Any:
            def report(of_chain: list[Any]) -> None:
                done[number] = of_chain[0].finished_draws
                if progress:
                    progress(sum(done), len(starts) * (tune + draws))

            model = from_pyfunc(
                n,
                lambda: log_density,
                lambda *_: lambda white: {"white": np.array(white)},
                [np.dtype(float)],
                [(n,)],
                ["white"],
                make_initial_point_fn=lambda _: starts[number],
            )
            sampler = nutpie.sample(
                model,
                draws=draws,
                tune=tune,
                chains=1,
                cores=1,
                seed=seeds[number],
                target_accept=self.target_accept,
                maxdepth=MAX_DEPTH,
                save_warmup=False,
                progress_bar=False,
                progress_callback=report,
                progress_rate=1000,
                blocking=False,
            )
            running.append(sampler)
            tree = sampler.wait()
            stats = {ours: tree["sample_stats"][theirs].values[0] for theirs, ours in STATS.items()}
            return {"white": tree["posterior"]["white"].values[0]} | stats

        with ThreadPoolExecutor(min(len(starts), os.cpu_count() or 1)) as pool:
            futures = [pool.submit(chain, number) for number in range(len(starts))]
            try:
                parts = [future.result() for future in futures]
            except BaseException:  # an interrupt too: what runs in threads would go on
                pool.shutdown(wait=False, cancel_futures=True)
                for sampler in running:
                    sampler.cancel()
                raise
        return {name: np.stack([part[name] for part in parts]) for name in parts[0]}

    def _potential(self, white: Array, middle: Array, factor: Array, known: Any, arguments: tuple[Any, ...]) -> Array:
        keywords = {"known_spread": known} if self._known_spread else {}
        return self._info.potential_fn(*arguments, **keywords)(self._unravel(middle + factor @ white))

    def _natural(self, white: NDArray, place: Place, arguments: tuple[Any, ...]) -> dict[str, NDArray]:
        with jax.enable_x64(True):
            samples = self._constrain(jnp.asarray(place[0] + white @ place[1].T), arguments)
        return {name: np.asarray(value) for name, value in samples.items()}

    def _parameters(self, z: Array, arguments: tuple[Any, ...]) -> dict[str, Array]:
        return jax.vmap(jax.vmap(lambda z: self._info.postprocess_fn(*arguments)(self._unravel(z))))(z)


def _factor(curvature: NDArray) -> NDArray:
    """L with L Lᵀ = the inverse of a curvature, of which no less than `MIN_CURVATURE` is trusted."""
    values, vectors = np.linalg.eigh(curvature)
    return vectors / np.sqrt(np.maximum(values, MIN_CURVATURE))
