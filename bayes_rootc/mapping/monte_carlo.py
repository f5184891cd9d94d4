"""I_loss = I_root - I_bulk by Monte Carlo (paper, Methods: 500 simulations in each cell), in JAX.

Every cell has its own counter-based random key, from the seed and the cell's number on the globe, so a result does not
depend on how the map was cut into tiles. The key shifts one Latin hypercube of `members` points around the unit cube
(Cranley & Patterson 1976): members of a cell are spread evenly over each error, which takes most of the Monte Carlo
noise out of quantiles and means, and cells stay independent of one another.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray
from scipy.stats.qmc import LatinHypercube

from ..constants import INTERVAL

CHUNK_CELLS = 2048
FLUXES = ("iroot", "ibulk", "iloss")


def iloss_statistics(
    root_mean: NDArray,
    root_sd: NDArray,
    bulk_mean: NDArray,
    bulk_sd: NDArray,
    fractions: NDArray,
    biome: NDArray,
    cell: NDArray,
    *,
    members: int,
    seed: int,
    profile_correlation: float,
) -> dict[str, NDArray[np.float32]]:
    """Statistics of I_root, I_bulk and I_loss over members, for each cell, the seven layers and the profile.

    Log-normal members: log I_root ~ Normal(root_mean, root_sd); log I_bulk of layer l ~ Normal(bulk_mean_l, bulk_sd_l)
    with errors of one profile's layers
    correlated by `profile_correlation`; root fractions are a random posterior-predictive draw of the cell's biome.

    Parameters
    ----------
    root_mean, root_sd : (n,). bulk_mean, bulk_sd : (n, 7), log Mg C ha⁻¹ yr⁻¹.
    fractions : (draws, 9, 7). biome : (n,), 1–9. cell : (n,), the cell's number, for its random key.

    Returns
    -------
    `iroot_mean` … `iloss_uncertainty` and so on, (n, 8) float32 in Mg C ha⁻¹ yr⁻¹, the profile last; `uncertainty` is
    half the 95 % interval over |mean| (the
    paper's margin of deviation); `iloss_probability` is P(I_loss > 0).
    """
    n = len(cell)
    # I_root, the profile's common error, each layer's own, and which draw of the root shares
    points = LatinHypercube(np.shape(bulk_mean)[1] + 3, rng=seed).random(members).T.astype(np.float32)
    parts: list[dict[str, NDArray]] = []
    for start in range(0, n, CHUNK_CELLS):
        part = slice(start, start + CHUNK_CELLS)
        arrays = [np.asarray(a, np.float32)[part] for a in (root_mean, root_sd, bulk_mean, bulk_sd)]
        index = [np.asarray(a)[part].astype(np.uint32) for a in (biome, cell)]
        short = CHUNK_CELLS - len(index[0]) if n > CHUNK_CELLS else 0  # the last chunk is padded: one compiled shape
        padded = [np.pad(a, [(0, short)] + [(0, 0)] * (a.ndim - 1), mode="edge") for a in (*arrays, *index)]
        values = _members(
            *padded,
            np.asarray(fractions, np.float32),
            np.uint32(seed),
            np.float32(profile_correlation),
            points,
        )
        result = _statistics(np.array(values))
        parts.append({name: value[: CHUNK_CELLS - short] for name, value in result.items()})
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _statistics(values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Statistics over the last axis of (cell, flux, layer, member), which is sorted in place.

    NumPy sorts: on a CPU it is several times faster at it than XLA, and sorting is most of the work.
    """
    mean = values.mean(axis=-1)
    positive = (values[:, -1] > 0).mean(axis=-1, dtype=np.float32)
    values.sort(axis=-1)
    lower, median, upper = (_sorted_quantile(values, level) for level in (INTERVAL[0], 0.5, INTERVAL[1]))
    margin = ((upper - lower) / 2 / np.maximum(np.abs(mean), 1e-6)).astype(np.float32)
    out: dict[str, NDArray[np.float32]] = {}
    for i, flux in enumerate(FLUXES):
        named: dict[str, NDArray[np.float32]] = {
            "mean": mean,
            "median": median,
            "p025": lower,
            "p975": upper,
            "uncertainty": margin,
        }
        out |= {f"{flux}_{statistic}": array[:, i] for statistic, array in named.items()}
    return out | {"iloss_probability": positive}


def _sorted_quantile(values: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """Quantile of sorted values along the last axis, linear between them (NumPy's default)."""
    place = (values.shape[-1] - 1) * level
    below = int(place)
    above = min(below + 1, values.shape[-1] - 1)
    return values[..., below] + np.float32(place - below) * (values[..., above] - values[..., below])


@jax.jit
def _members(
    root_mean: Array,
    root_sd: Array,
    bulk_mean: Array,
    bulk_sd: Array,
    biome: Array,
    cell: Array,
    fractions: Array,
    seed: Array,
    correlation: Array,
    points: Array,
) -> Array:
    """Members of I_root, I_bulk and I_loss: (cell, 3, 8, member), from shifted `points` (dimension, member)."""
    root = jax.random.key(seed)

    def one_cell(
        root_mean: Array, root_sd: Array, bulk_mean: Array, bulk_sd: Array, biome: Array, cell: Array
    ) -> Array:
        shift = jax.random.uniform(jax.random.fold_in(root, cell), (points.shape[0], 1))
        uniform = (points + shift) % 1
        z = jax.scipy.special.ndtri(jnp.clip(uniform[:-1], 1e-6, 1 - 1e-6))
        draw = (uniform[-1] * fractions.shape[0]).astype(int)
        iroot = jnp.exp(root_mean + root_sd * z[0]) * fractions[draw, biome - 1].T
        bulk_z = jnp.sqrt(correlation) * z[1] + jnp.sqrt(1 - correlation) * z[2:]
        ibulk = jnp.exp(bulk_mean[:, None] + bulk_sd[:, None] * bulk_z)
        fluxes = jnp.stack([iroot, ibulk, iroot - ibulk])
        return jnp.concatenate([fluxes, fluxes.sum(axis=1, keepdims=True)], axis=1)

    return jax.vmap(one_cell)(root_mean, root_sd, bulk_mean, bulk_sd, biome, cell)
