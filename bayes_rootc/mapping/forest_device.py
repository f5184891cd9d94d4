"""A compiled forest on a GPU, in JAX: every row walks down by itself, a level of all rows at a time.

On a processor this is several times slower than `forest`, whose lists need no gathers; a GPU has the bandwidth for it.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike, NDArray

from .forest import CompiledForest

ROWS = 65_536
"""Rows and layers that go down together."""


def mean_and_std(forest: CompiledForest, X: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `CompiledForest.mean_and_std`, on JAX's default device, in double precision."""
    rows, layers = forest.rows(X), max(len(forest.layers), 1)
    n, nodes = len(rows), forest.nodes
    shift = float(nodes.number[nodes.leaf].mean())
    each = max(ROWS // layers, 1)
    mean, sd = np.empty((2, n, layers))
    with jax.enable_x64(True):
        tables = (
            jnp.asarray(forest.tested, jnp.int32),
            jnp.asarray(nodes.leaf),
            jnp.asarray(nodes.thresholds),
            jnp.asarray(nodes.number - shift),
            jnp.asarray(nodes.left),
            jnp.asarray(nodes.right),
            jnp.asarray(forest.fork),
        )
        for start in range(0, n, each):
            part = rows[start : start + each]
            padded = np.pad(part, [(0, each - len(part) if n > each else 0), (0, 0)])
            first, second = _sums(tables, jnp.asarray(nodes.root), jnp.asarray(padded), layers, nodes.depth)
            here = slice(start, start + len(part))
            mean[here], square = (np.asarray(a)[: len(part)] / nodes.trees for a in (first, second))
            sd[here] = np.sqrt(np.maximum(square - mean[here] ** 2, 0))
    mean += shift
    return (mean, sd) if forest.layers else (mean[:, 0], sd[:, 0])


@partial(jax.jit, static_argnums=(3, 4))
def _sums(tables: tuple[Array, ...], root: Array, X: Array, layers: int, depth: int) -> tuple[Array, Array]:
    """Sums over trees of predictions and of their squares, (row, layer)."""
    tested, leaf, threshold, value, left, right, fork = tables
    row, layer = jnp.arange(len(X))[:, None], jnp.arange(layers)

    def down(_: int, node: Array) -> Array:
        by_depth = fork[node]
        goes_left = jnp.where(by_depth >= 0, layer < by_depth, X[row, jnp.maximum(tested[node], 0)] <= threshold[node])
        return jnp.where(leaf[node], node, jnp.where(goes_left, left[node], right[node]))

    def tree(sums: tuple[Array, Array], start: Array) -> tuple[tuple[Array, Array], None]:
        found = value[jax.lax.fori_loop(0, depth, down, jnp.full((len(X), layers), start))]
        return (sums[0] + found, sums[1] + found**2), None

    zero = jnp.zeros((len(X), layers))
    return jax.lax.scan(tree, (zero, zero), root)[0]
