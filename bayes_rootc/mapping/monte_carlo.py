"""I_loss = I_root - I_bulk by Monte Carlo (paper, Methods: 500 simulations in each cell), in JAX.

Independent mode, the paper's: every cell has its own counter-based random key, from the seed and the cell's number on
the globe, so a result does not depend on how the map was cut into tiles. The key picks one of a few Latin hypercubes of
`members` points and rotates the list of members of each error by a number of places of its own: the members of a cell
are spread evenly over each error, which takes most of the Monte Carlo noise out of quantiles and means, and errors and
cells are paired at random. Normal deviates are made once for all cells: a cell costs copies, one exponential a layer,
and the sorting.

Coherent mode: member m of a cell is what tree m of both forests says there, so that member m of all cells is one map.

Members of some hundred cells are made and summarised before the next, so that they stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from scipy.stats.qmc import LatinHypercube

from ..constants import INTERVAL

CHUNK_CELLS = 256
"""With 500 members 12 MB. A device with its own memory takes `DEVICE_CHUNK_CELLS` at once."""

DEVICE_CHUNK_CELLS = 16_384

FLUXES = ("iroot", "ibulk", "iloss")
QUANTITIES = (*FLUXES, "share")
"""Fluxes, and I_loss over I_root."""

HYPERCUBES = 16
"""So many lists of members to choose from: what the random places of points within their strata do to a tail is not the
same in all cells."""

LEVELS = (INTERVAL[0], 0.5, INTERVAL[1])

type Statistics = dict[str, NDArray[np.float32]]

type Members = tuple[tuple[Array, Array], tuple[Array, Array]]
"""I_root and I_bulk of layers, (cell, layer, member), and of profiles, (cell, member)."""


def independent_statistics(
    root_mean: ArrayLike,
    root_sd: ArrayLike,
    bulk_mean: ArrayLike,
    bulk_sd: ArrayLike,
    fractions: ArrayLike,
    biome: ArrayLike,
    cell: ArrayLike,
    *,
    members: int,
    seed: int,
    profile_correlation: float,
    threads: int = 1,
) -> Statistics:
    """Statistics of I_root, I_bulk and I_loss over independent members, of each cell, in the seven layers and the
    profile.

    Log-normal members: log I_root ~ Normal(root_mean, root_sd); log I_bulk of layer l ~ Normal(bulk_mean_l, bulk_sd_l)
    with errors of one profile's layers correlated by `profile_correlation`; root fractions are a random
    posterior-predictive draw of the cell's biome.

    Parameters
    ----------
    root_mean, root_sd : (n,). bulk_mean, bulk_sd : (n, 7), log Mg C ha⁻¹ yr⁻¹.
    fractions : (draws, 9, 7). biome : (n,), 1–9. cell : (n,), the cell's number, for its random key.

    Returns
    -------
    `iroot_mean` … `iloss_uncertainty` and so on, (n, 8) float32 in Mg C ha⁻¹ yr⁻¹, the profile last; `uncertainty` is
    half the 95 % interval over |mean| (the paper's margin of deviation), `variance` that of the members;
    `iloss_probability` is P(I_loss > 0); `share_median`, `share_p025`, `share_p975` are of I_loss / I_root.
    """
    fields = [np.asarray(a, np.float32) for a in (root_mean, root_sd, bulk_mean, bulk_sd)]
    numbers = [np.asarray(a).astype(np.uint32) for a in (biome, cell)]
    by_biome = np.moveaxis(np.asarray(fractions, np.float32), 0, 2)
    lists = _lists_of_members(np.shape(bulk_mean)[1], by_biome.shape[2], members, seed)
    common = by_biome, np.uint32(seed), np.float32(profile_correlation), *lists
    return _by_chunk(partial(_independent_members, common), (*fields, *numbers), threads)


def coherent_statistics(root: ArrayLike, bulk: ArrayLike, fractions: ArrayLike, biome: ArrayLike) -> Statistics:
    """The same over members that are one map each.

    Parameters
    ----------
    root, bulk : members of log I_root and log I_bulk, (n, member) and (n, 7, member). fractions : root shares of each
        member, (member, 9, 7). biome : (n,), 1–9.
    """
    fields = np.asarray(root, np.float32), np.asarray(bulk, np.float32), np.asarray(biome).astype(np.uint32)
    return _by_chunk(partial(_coherent_members, np.asarray(fractions, np.float32)), fields)


def _by_chunk(make: Callable[..., Members], arrays: tuple[NDArray, ...], threads: int = 1) -> Statistics:
    """Statistics of the members that `make` gives of some rows of the arrays."""
    on_cpu = jax.default_backend() == "cpu"
    size, summarise = (CHUNK_CELLS, _statistics) if on_cpu else (DEVICE_CHUNK_CELLS, _device_statistics)
    n = len(arrays[0])
    out: Statistics = {}
    # glibc maps large arrays anew from the system, each time, until one of up to 32 MB has been freed: the page faults
    # would take a fifth of the time.
    np.empty(31 << 20, np.uint8)

    lock = Lock()

    def work(starts: range) -> None:
        scratch = np.empty(0, np.float32)
        for start in starts:
            part = [a[start : start + size] for a in arrays]
            count = len(part[0])
            padding = min(size, 1 << (count - 1).bit_length()) - count  # few shapes are compiled
            members = make(*(_padded(a, padding) for a in part))
            if on_cpu and scratch.size < members[0][0].size:
                scratch = np.empty(members[0][0].size, np.float32)
            for name, value in summarise(members, scratch).items():
                with lock:
                    whole = out.setdefault(name, np.empty((n, value.shape[1]), np.float32))
                whole[start : start + count] = value[:count]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, (range(i * size, n, threads * size) for i in range(threads))))
    return out


def _padded(a: NDArray, rows: int) -> NDArray:
    """With so many more rows, which repeat the last."""
    return np.pad(a, [(0, rows)] + [(0, 0)] * (a.ndim - 1), mode="edge")


def _lists_of_members(layers: int, draws: int, members: int, seed: int) -> tuple[NDArray, NDArray]:
    """Errors of members, (hypercube, error, member), and the draw of root shares of each, (hypercube, 1, member).

    Errors are I_root's, the profile's common one and each layer's own. Each list stands there twice, so that a rotated
    one is a slice of it.
    """
    sampler = LatinHypercube(layers + 3, rng=seed)
    points = np.stack([sampler.random(members).T for _ in range(HYPERCUBES)])
    points = np.concatenate([points, points], axis=2)
    return ndtri(points[:, :-1]).astype(np.float32), (points[:, -1:] * draws).astype(np.int32)


@jax.jit
def _independent_members(
    common: tuple[Array, ...],
    root_mean: Array,
    root_sd: Array,
    bulk_mean: Array,
    bulk_sd: Array,
    biome: Array,
    cell: Array,
) -> Members:
    fractions, seed, correlation, errors, draws = common
    key, members = jax.random.key(seed), errors.shape[2] // 2

    def of_cell(number: Array) -> tuple[Array, Array]:
        bits = jax.random.bits(jax.random.fold_in(key, number), (errors.shape[1] + 2,))
        cube, place = bits[0] % HYPERCUBES, (bits[1:] % members).astype(int)
        rotated = jax.vmap(lambda row, start: jax.lax.dynamic_slice(row, (start,), (members,)))
        return rotated(errors[cube], place[:-1]), rotated(draws[cube], place[-1:])

    # Without barriers the compiler would evaluate what is used several times as often: it takes twice as long.
    z, draw = jax.lax.optimization_barrier(jax.vmap(of_cell)(cell))
    root = jnp.exp(root_mean[:, None] + root_sd[:, None] * z[:, 0])
    shares = jnp.take_along_axis(fractions[biome.astype(int) - 1], draw, axis=2)
    error = jnp.sqrt(correlation) * z[:, 1:2] + jnp.sqrt(1 - correlation) * z[:, 2:]
    return _fluxes(root, shares, bulk_mean[..., None] + bulk_sd[..., None] * error)


@jax.jit
def _coherent_members(fractions: Array, root: Array, bulk: Array, biome: Array) -> Members:
    return _fluxes(jnp.exp(root), jnp.transpose(fractions[:, biome.astype(int) - 1], (1, 2, 0)), bulk)


def _fluxes(root: Array, shares: Array, log_bulk: Array) -> Members:
    root, shares = jax.lax.optimization_barrier((root, shares))
    ibulk = jnp.exp(log_bulk)
    return (root[:, None] * shares, ibulk), (root, ibulk.sum(axis=1))


def _statistics(members: Members, scratch: NDArray[np.float32]) -> Statistics:
    """NumPy sorts: on a CPU it is several times faster at it than XLA, and sorting is most of the work.

    scratch : room for as many numbers as there are members of I_root; to ask the system for it anew each time would
    take as long as to sort.
    """

    def of_part(part: tuple[Array, Array]) -> tuple[list[list[NDArray]], NDArray]:
        iroot, ibulk = (np.asarray(a) for a in part)
        values: NDArray[np.float32] = scratch[: iroot.size].reshape(iroot.shape)
        each = np.full(values.shape[-1], 1 / values.shape[-1], np.float32)

        def of_one() -> list[NDArray]:
            mean = values @ each
            variance = np.einsum("...m,...m->...", values, values) * each[0] - mean**2
            values.sort(axis=-1)
            return [mean, variance, *_sorted_quantiles(values)]

        np.copyto(values, iroot)
        statistics = [of_one()]
        np.copyto(values, ibulk)
        statistics.append(of_one())
        np.subtract(iroot, ibulk, out=values)
        positive = np.count_nonzero(values > 0, axis=-1) / values.shape[-1]
        statistics.append(of_one())
        np.divide(ibulk, iroot, out=values)
        np.subtract(1, values, out=values)
        statistics.append(of_one())
        return statistics, positive

    (layers, positive), (profile, of_profile) = map(of_part, members)
    return dict(_named(layers, profile, [positive, of_profile], np))


def _device_statistics(members: Members, _: NDArray[np.float32]) -> Statistics:
    """The same where the members are."""
    return {name: np.asarray(value) for name, value in _on_device(members).items()}


@jax.jit
def _on_device(members: Members) -> dict[str, Array]:
    def of_one(values: Array) -> list[Array]:
        mean = values.mean(axis=-1)
        return [mean, (values**2).mean(axis=-1) - mean**2, *_sorted_quantiles(jnp.sort(values, axis=-1))]

    every = [(iroot, ibulk, iroot - ibulk, 1 - ibulk / iroot) for iroot, ibulk in members]
    layers, profile = ([of_one(values) for values in part] for part in every)
    return dict(_named(layers, profile, [(part[2] > 0).mean(axis=-1) for part in every], jnp))


def _named(
    layers: list[list[Any]], profile: list[list[Any]], positive: list[Any], xp: Any
) -> Iterator[tuple[str, Any]]:
    """Names of the statistics of `Members`, of layers and profile together."""

    def joined(layers: Any, profile: Any) -> Any:
        return xp.concatenate([layers, profile[:, None]], axis=1)

    for quantity, of_layers, of_profile in zip(QUANTITIES, layers, profile, strict=True):
        mean, variance, low, median, high = map(joined, of_layers, of_profile)
        named = {"median": median, "p025": low, "p975": high}
        if quantity in FLUXES:
            margin = (high - low) / 2 / xp.maximum(xp.abs(mean), 1e-6)
            named |= {"mean": mean, "uncertainty": margin, "variance": variance}
        yield from ((f"{quantity}_{name}", value) for name, value in named.items())
    yield "iloss_probability", joined(*positive)


def _sorted_quantiles(values: Any) -> Iterator[Any]:
    """Quantiles of sorted values along the last axis, linear between them (NumPy's default)."""
    for level in LEVELS:
        place = (values.shape[-1] - 1) * level
        below = int(place)
        above = min(below + 1, values.shape[-1] - 1)
        yield values[..., below] + np.float32(place - below) * (values[..., above] - values[..., below])
