"""I_loss = I_root - I_bulk by Monte Carlo (paper, Methods: 500 simulations in each cell), in JAX.

Maps have the statistics of independent members from formulas (`cell_intervals`), or with `map_mode = "members"` from
the members themselves, which the formulas are tested against.

Independent mode, the paper's: every cell has its own counter-based random key, from the seed and the cell's number on
the globe, so a result does not depend on how the map was cut into tiles. The key picks one of a few Latin hypercubes of
`members` points and rotates the list of members of each error by a number of places of its own: the members of a cell
are spread evenly over each error, which takes most of the Monte Carlo noise out of quantiles, and errors and cells are
paired at random. Normal deviates are made once for all cells: a cell costs copies, one exponential a layer, and the
sorting. What has a formula is not left to chance: all means and variances, and the quantiles of I_root of the profile
and of I_bulk of a layer, which are log-normal.

Coherent mode: member m of a cell is what tree m of both forests says there, so that member m of all cells is one map.

Members of some hundred cells are made and summarised before the next, so that they stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from scipy.stats.qmc import LatinHypercube

from ..constants import INTERVAL, LAYERS

CHUNK_CELLS = 256
"""With 500 members 12 MB. A device with its own memory takes `DEVICE_CHUNK_CELLS` at once."""

DEVICE_CHUNK_CELLS = 16_384

FLUXES = ("iroot", "ibulk", "iloss")
QUANTITIES = (*FLUXES, "share")
"""Fluxes, and I_loss over I_root."""

HYPERCUBES = 16
"""Number of Latin hypercubes of members to choose from, so that the random places of points within their strata do not
shift a tail alike in all cells."""

LEVELS = {"p025": INTERVAL[0], "median": 0.5, "p975": INTERVAL[1]}

type Statistics = dict[str, NDArray[np.float32]]

type Members = tuple[tuple[Array, Array], tuple[Array, Array]]
"""I_root and I_bulk of layers, (cell, layer, member), and of profiles, (cell, member)."""

LAYER_PLACES = tuple(range(len(LAYERS)))


class Asked(NamedTuple):
    """What is taken from members; statistics that are not asked for are NaN, or those of formulas.

    Attributes
    ----------
    layers, profile : tuple of str
        Quantities of layers, and of profiles.
    places : tuple of int
        Which of the layers.
    quantiles : bool
        Whether quantiles are asked for, for which members are sorted.
    """

    layers: tuple[str, ...] = QUANTITIES
    profile: tuple[str, ...] = QUANTITIES
    places: tuple[int, ...] = LAYER_PLACES
    quantiles: bool = True


EVERYTHING = Asked()
NOT_LOG_NORMAL = Asked(layers=("iroot", "iloss", "share"), profile=("ibulk", "iloss", "share"))
"""What independent members are made for: quantiles of log-normal quantities, means and variances have formulas."""


class LogNormals(NamedTuple):
    """Log-normal fluxes of cells.

    Attributes
    ----------
    root_mean, root_sd : array-like
        Mean and standard deviation of log I_root of the profile (Mg C ha⁻¹ yr⁻¹), (n,).
    bulk_mean, bulk_sd : array-like
        Mean and standard deviation of log I_bulk of the layers (Mg C ha⁻¹ yr⁻¹), (n, 7).
    biome : array-like
        Biome of each cell, 1–9, (n,).
    cell : array-like
        Number of each cell, for its random key, (n,).
    """

    root_mean: Any
    root_sd: Any
    bulk_mean: Any
    bulk_sd: Any
    biome: Any
    cell: Any


def independent_statistics(
    cells: LogNormals,
    fractions: ArrayLike,
    *,
    members: int,
    seed: int,
    profile_correlation: float,
    threads: int = 1,
) -> Statistics:
    """Statistics of I_root, I_bulk and I_loss over independent members, of each cell, in the seven layers and the
    profile.

    Maps have the same from formulas (`cell_intervals`), which are tested against this.

    Log-normal members: log I_root ~ Normal(root_mean, root_sd); log I_bulk of layer l ~ Normal(bulk_mean_l, bulk_sd_l)
    with errors of one profile's layers correlated by `profile_correlation`; root fractions are a random
    posterior-predictive draw of the cell's biome.

    Parameters
    ----------
    fractions : array-like
        Draws of the root shares by biome, (draw, 9, 7).

    Returns
    -------
    Statistics
        `iroot_mean` … `iloss_uncertainty` and so on, (n, 8) float32 in Mg C ha⁻¹ yr⁻¹, the profile last; `uncertainty`
        is half the 95 % interval over |mean| (the paper's margin of deviation); `iloss_probability` is P(I_loss > 0);
        `share_median`, `share_p025`, `share_p975` are of I_loss / I_root. Means and variances do not depend on
        `members`.
    """
    *fluxes, biome, cell = cells
    fields = LogNormals(
        *(np.asarray(a, np.float32) for a in fluxes), *(np.asarray(a).astype(np.uint32) for a in (biome, cell))
    )
    by_biome = np.moveaxis(np.asarray(fractions, np.float32), 0, 2)
    layers = fields.bulk_mean.shape[1]
    lists = _lists_of_members(layers, by_biome.shape[2], members, seed)
    common = by_biome, np.uint32(seed), np.float32(profile_correlation), *lists
    known = partial(_log_normal, by_biome.mean(axis=2), by_biome.var(axis=2), profile_correlation)
    make = partial(_independent_members, common)
    return _by_chunk(make, fields, layers, threads, asked=NOT_LOG_NORMAL, known=known)


def coherent_statistics(
    root: ArrayLike, bulk: ArrayLike, fractions: ArrayLike, biome: ArrayLike, *, asked: Asked = EVERYTHING
) -> Statistics:
    """The same statistics over members each of which is one whole map.

    Parameters
    ----------
    root, bulk : array-like
        Members of log I_root and log I_bulk, (n, member) and (n, 7, member).
    fractions : array-like
        Root shares of each member, (member, 9, 7).
    biome : array-like
        Biome of each cell, 1–9, (n,).
    """
    fields = np.asarray(root, np.float32), np.asarray(bulk, np.float32), np.asarray(biome).astype(np.uint32)
    make = partial(_coherent_members, np.asarray(fractions, np.float32))
    return _by_chunk(make, fields, fields[1].shape[1], asked=asked)


def _log_normal(share_mean: NDArray, share_variance: NDArray, correlation: float, cells: LogNormals) -> Statistics:
    """Statistics that follow from formulas, without members, for layers and profile, (n, 8): means and variances, and
    quantiles of what is log-normal, I_root of the profile and I_bulk of layers (NaN for the others).

    A layer's I_root is the product of two independent quantities; a profile's I_bulk is a sum of correlated ones.

    Parameters
    ----------
    share_mean, share_variance : ndarray
        Mean and variance of root shares, (biome, layer).
    """

    def joined(layers: NDArray, profile: NDArray) -> NDArray[np.float32]:
        return np.concatenate([layers, profile], axis=1).astype(np.float32)

    root_mean, root_sd = (a.astype(float)[:, None] for a in (cells.root_mean, cells.root_sd))
    bulk_mean, bulk_sd = (a.astype(float) for a in (cells.bulk_mean, cells.bulk_sd))
    share, spread = share_mean[cells.biome - 1], share_variance[cells.biome - 1]
    root, bulk = (np.exp(mean + sd**2 / 2) for mean, sd in ((root_mean, root_sd), (bulk_mean, bulk_sd)))
    alike = correlation + (1 - correlation) * np.eye(bulk.shape[1])
    covariance = bulk[:, :, None] * bulk[:, None] * np.expm1(alike * bulk_sd[:, :, None] * bulk_sd[:, None])
    variance = root**2 * np.expm1(root_sd**2)
    out = {
        "iroot_mean": joined(root * share, root),
        "ibulk_mean": joined(bulk, bulk.sum(axis=1, keepdims=True)),
        "iroot_variance": joined(variance * share**2 + (variance + root**2) * spread, variance),
        "ibulk_variance": joined(np.einsum("nll->nl", covariance), covariance.sum(axis=1).sum(axis=1, keepdims=True)),
    }
    out["iloss_mean"] = out["iroot_mean"] - out["ibulk_mean"]
    out["iloss_variance"] = out["iroot_variance"] + out["ibulk_variance"]
    for name, level in LEVELS.items():
        iroot, ibulk = (np.exp(mean + ndtri(level) * sd) for mean, sd in ((root_mean, root_sd), (bulk_mean, bulk_sd)))
        out[f"iroot_{name}"] = joined(np.full_like(bulk, np.nan), iroot)
        out[f"ibulk_{name}"] = joined(ibulk, np.full_like(root, np.nan))
    return out


def _by_chunk(
    make: Callable[..., Members],
    arrays: tuple[NDArray, ...],
    layers: int,
    threads: int = 1,
    *,
    asked: Asked,
    known: Callable[..., Statistics] | None = None,
) -> Statistics:
    """Statistics that some rows of the arrays let us know, and of the members that `make` gives of them the others."""
    on_cpu = jax.default_backend() == "cpu"
    size, summarise = (CHUNK_CELLS, _statistics) if on_cpu else (DEVICE_CHUNK_CELLS, _device_statistics)
    n, moments = len(arrays[0]), known is None
    names = [f"{quantity}_{name}" for quantity in QUANTITIES for name in LEVELS] + ["iloss_probability"]
    names += [f"{flux}_{name}" for flux in FLUXES for name in ("mean", "variance")]
    out: Statistics = {name: np.full((n, layers + 1), np.nan, np.float32) for name in names}
    # glibc maps large arrays from the system again each time, until one of up to 32 MB has been freed: the page faults
    # would take a fifth of the time.
    np.empty(31 << 20, np.uint8)

    def work(starts: range) -> None:
        scratch = np.empty(0, np.float32)
        for start in starts:
            part = jax.tree.map(lambda a, at=slice(start, start + size): a[at], arrays)
            count = len(part[0])
            for name, value in known(part).items() if known else ():
                out[name][start : start + count] = value
            if not asked.layers and not asked.profile:
                continue
            padding = min(size, 1 << (count - 1).bit_length()) - count  # few shapes are compiled
            members = make(jax.tree.map(partial(_padded, rows=padding), part))
            if on_cpu and scratch.size < members[0][0].size:
                scratch = np.empty(members[0][0].size, np.float32)
            of_layers, of_profile = summarise(members, asked, moments, scratch)
            for name, value in of_layers.items():
                out[name][start : start + count, asked.places] = value[:count]
            for name, value in of_profile.items():
                out[name][start : start + count, layers] = value[:count]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, (range(i * size, n, threads * size) for i in range(threads))))
    for flux in FLUXES:
        margin = np.subtract(out[f"{flux}_p975"], out[f"{flux}_p025"]) / 2
        out[f"{flux}_uncertainty"] = np.divide(margin, np.maximum(abs(out[f"{flux}_mean"]), np.float32(1e-6)))
    return out


def _padded(a: NDArray, rows: int) -> NDArray:
    """The array with more rows, which repeat the last."""
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
def _independent_members(common: tuple[Array, ...], cells: LogNormals) -> Members:
    fractions, seed, correlation, errors, draws = common
    key, members = jax.random.key(seed), errors.shape[2] // 2

    def of_cell(number: Array) -> tuple[Array, Array]:
        bits = jax.random.bits(jax.random.fold_in(key, number), (errors.shape[1] + 2,))
        cube, place = bits[0] % HYPERCUBES, (bits[1:] % members).astype(int)
        rotated = jax.vmap(lambda row, start: jax.lax.dynamic_slice(row, (start,), (members,)))
        return rotated(errors[cube], place[:-1]), rotated(draws[cube], place[-1:])

    # Without barriers the compiler would evaluate what is used several times as often: it takes twice as long.
    z, draw = jax.lax.optimization_barrier(jax.vmap(of_cell)(cells.cell))
    root = jnp.exp(cells.root_mean[:, None] + cells.root_sd[:, None] * z[:, 0])
    shares = jnp.take_along_axis(fractions[cells.biome.astype(int) - 1], draw, axis=2)
    error = jnp.sqrt(correlation) * z[:, 1:2] + jnp.sqrt(1 - correlation) * z[:, 2:]
    return _fluxes(root, shares, cells.bulk_mean[..., None] + cells.bulk_sd[..., None] * error)


@jax.jit
def _coherent_members(fractions: Array, fields: tuple[Array, Array, Array]) -> Members:
    root, bulk, biome = fields
    return _fluxes(jnp.exp(root), jnp.transpose(fractions[:, biome.astype(int) - 1], (1, 2, 0)), bulk)


def _fluxes(root: Array, shares: Array, log_bulk: Array) -> Members:
    root, shares = jax.lax.optimization_barrier((root, shares))
    ibulk = jnp.exp(log_bulk)
    return (root[:, None] * shares, ibulk), (root, ibulk.sum(axis=1))


def _statistics(
    members: Members, asked: Asked, moments: bool, scratch: NDArray[np.float32]
) -> tuple[Statistics, Statistics]:
    """Statistics of layers and of profiles. NumPy sorts, which is most of the work: on a CPU it is several times faster
    than XLA.

    Parameters
    ----------
    scratch : ndarray
        Buffer for as many numbers as there are members of I_root; allocating it each time would take as long as
        sorting.
    """

    def of_part(iroot: NDArray, ibulk: NDArray, names: tuple[str, ...]) -> Statistics:
        values: NDArray[np.float32] = scratch[: iroot.size].reshape(iroot.shape)
        number = np.float32(values.shape[-1])
        out: Statistics = {}
        for quantity in names:
            match quantity:
                case "iroot":
                    np.copyto(values, iroot)
                case "ibulk":
                    np.copyto(values, ibulk)
                case "iloss":
                    np.subtract(iroot, ibulk, out=values)
                    positive: NDArray = (values > 0).sum(axis=-1, dtype=np.int32)
                    out["iloss_probability"] = positive.astype(np.float32) / number
                case "share":
                    np.subtract(1, np.divide(ibulk, iroot, out=values), out=values)
            if moments and quantity in FLUXES:
                mean = out[f"{quantity}_mean"] = values.mean(axis=-1)
                out[f"{quantity}_variance"] = np.vecdot(values, values) / number - mean**2
            if asked.quantiles:
                values.sort(axis=-1)
                out |= _sorted_quantiles(quantity, values)
        return out

    (iroot, ibulk), profile = ((np.asarray(a), np.asarray(b)) for a, b in members)
    if asked.places != LAYER_PLACES:
        iroot, ibulk = iroot[:, asked.places], ibulk[:, asked.places]
    return of_part(iroot, ibulk, asked.layers), of_part(*profile, asked.profile)


def _device_statistics(
    members: Members, asked: Asked, moments: bool, _: NDArray[np.float32]
) -> tuple[Statistics, Statistics]:
    """The same where the members are. Experimental: no GPU has run it yet."""
    layers, profile = jax.device_get(_on_device(members, asked, moments))
    return layers, profile


@partial(jax.jit, static_argnums=(1, 2))
def _on_device(members: Members, asked: Asked, moments: bool) -> list[dict[str, Array]]:
    def of_part(iroot: Array, ibulk: Array, names: tuple[str, ...]) -> dict[str, Array]:
        every = {"iroot": iroot, "ibulk": ibulk, "iloss": iroot - ibulk, "share": 1 - ibulk / iroot}
        out = dict[str, Array]()
        for quantity in names:
            values = every[quantity]
            if quantity == "iloss":
                out["iloss_probability"] = (values > 0).mean(axis=-1)
            if moments and quantity in FLUXES:
                mean = out[f"{quantity}_mean"] = values.mean(axis=-1)
                out[f"{quantity}_variance"] = (values**2).mean(axis=-1) - mean**2
            if asked.quantiles:
                out |= _sorted_quantiles(quantity, jnp.sort(values, axis=-1))
        return out

    (iroot, ibulk), profile = members
    some = np.array(asked.places, int)
    return [of_part(iroot[:, some], ibulk[:, some], asked.layers), of_part(*profile, asked.profile)]


def _sorted_quantiles(quantity: str, values: Any) -> dict[str, Any]:
    """Quantiles of sorted values along the last axis, linear between them (NumPy's default)."""

    def at(level: float) -> Any:
        place = (values.shape[-1] - 1) * level
        below = int(place)
        above = min(below + 1, values.shape[-1] - 1)
        return values[..., below] + np.float32(place - below) * (values[..., above] - values[..., below])

    return {f"{quantity}_{name}": at(level) for name, level in LEVELS.items()}
