"""A fitted forest as flat arrays, which gives mean and spread of its trees for many rows, and for all layers at once.

Rows go down a tree together, some thousand at a time: a node splits their list, so it is read once, and the values that
it tests lie side by side. The layers of a profile differ in top and bottom only, and both grow with depth: a node that
tests one of these parts the layers in an upper and a lower stretch, and both children get the whole list. So a row
passes a tree once for all its layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..progress import Progress

TILE = 2048
"""Rows that go down together: the values of a column, and the list, stay in the nearest cache."""

type Layers = tuple[tuple[float, float], ...]
"""Top and bottom of each, cm, from above: the last two columns of the forest, which rows are then given without."""


TYPES = {"feature": np.int16, "number": np.float64, "left": np.int32, "right": np.int32, "root": np.int32}


@dataclass(frozen=True)
class CompiledForest:
    """Nodes of all trees, one after the other.

    feature : column that a node tests, -1 for a leaf. number : threshold of the test (left where not above), or
    prediction of the leaf. left, right : children, which come later. root : first node of each tree, (tree,). The
    others: (node,).

    Raises
    ------
    ValueError : these are not the nodes of trees.
    """

    feature: NDArray[np.int16]
    number: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    root: NDArray[np.int32]

    def __post_init__(self) -> None:
        inner = np.flatnonzero(self.feature >= 0)
        children = np.concatenate([self.left[inner], self.right[inner]])
        nodes = len(self.feature)
        if (
            not len(self.root)
            or any(len(a) != nodes for a in (self.number, self.left, self.right))
            or any(getattr(self, name).dtype != kind for name, kind in TYPES.items())
            or not ((self.root >= 0) & (self.root < nodes)).all()
            or not ((children > np.concatenate([inner, inner])) & (children < nodes)).all()
        ):
            raise ValueError("not the nodes of trees")

    @classmethod
    def of(cls, trees: Iterable[Any]) -> CompiledForest:
        """Of scikit-learn's fitted regression trees, or of the `estimators_` of one of its forests."""
        parts, start = [], 0
        for tree in (t.tree_ for t in trees):
            leaf = tree.children_left < 0
            number = np.where(leaf, tree.value[:, 0, 0], tree.threshold)
            children = (np.where(leaf, -1, c + start) for c in (tree.children_left, tree.children_right))
            parts.append((np.where(leaf, -1, tree.feature), number, *children, np.array([start])))
            start += tree.node_count
        columns = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return cls(*(c.astype(kind) for c, kind in zip(columns, TYPES.values(), strict=True)))

    @property
    def trees(self) -> int:
        """Their number."""
        return len(self.root)

    def mean_and_std(
        self, X: ArrayLike, layers: Layers = (), *, threads: int = 2, progress: Progress | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean over the trees and their standard deviation: of each row, (n,), or of its layers, (n, layer).

        Parameters
        ----------
        X : (n, features), finite; in single precision, as scikit-learn compares. layers : see `Layers`.
        """
        depth, nodes = max(len(layers), 1), self._nodes(X, layers)
        mean, sd = np.empty((2, np.shape(X)[0], depth))
        shift = float(self.number[self.feature < 0].mean())  # sums about such a value do not cancel

        def work(part: slice, columns: NDArray[np.float32]) -> None:
            sums = np.zeros((2, depth + 1, columns.shape[1]))
            _kernel()(*nodes, columns, shift, sums, np.empty((0, 0, 0), np.float32))
            first, second = np.cumsum(sums[:, :depth], axis=1) / self.trees
            mean[part] = shift + first.T
            sd[part] = np.sqrt(np.maximum(second - first**2, 0)).T

        _by_tile(work, X, threads, progress)
        return (mean, sd) if layers else (mean[:, 0], sd[:, 0])

    def members(self, X: ArrayLike, layers: Layers = (), *, threads: int = 2) -> NDArray[np.float32]:
        """Prediction of every tree: (n, tree), or (n, layer, tree). Parameters as `mean_and_std`."""
        depth, nodes = max(len(layers), 1), self._nodes(X, layers)
        out = np.empty((np.shape(X)[0], depth, self.trees), np.float32)

        def work(part: slice, columns: NDArray[np.float32]) -> None:
            kept = np.empty((depth, self.trees, columns.shape[1]), np.float32)
            _kernel()(*nodes, columns, 0.0, np.empty((0, 0, 0)), kept)
            out[part] = kept.transpose(2, 0, 1)

        _by_tile(work, X, threads, None)
        return out if layers else out[:, 0]

    def _nodes(self, X: ArrayLike, layers: Layers) -> tuple[Any, ...]:
        """What the kernel is told of the nodes; for rows X, layers apart."""
        columns, tested = np.shape(X)[1], int(self.feature.max())
        if tested >= columns + (2 if layers else 0):
            raise ValueError(f"{columns} columns, of which a tree tests number {tested}")
        fork = np.full(len(self.number), -1, np.int32)
        for depths, column in zip(np.array(layers, np.float32).T, (columns, columns + 1), strict=False):
            at = self.feature == column
            fork[at] = np.searchsorted(depths, self.number[at], side="right")
        return self.feature, self._thresholds, self.number, self.left, self.right, fork, self.root, self._depth + 1

    @cached_property
    def _depth(self) -> int:
        """Nodes on the longest way down."""
        level, depth = self.root, 0
        while len(level):
            inner = level[self.feature[level] >= 0]
            level, depth = np.concatenate([self.left[inner], self.right[inner]]), depth + 1
        return depth

    @cached_property
    def _thresholds(self) -> NDArray[np.float32]:
        """Rounded down to single precision, which changes no comparison with a number of single precision."""
        single = self.number.astype(np.float32)
        return np.where(single > self.number, np.nextafter(single, np.float32(-np.inf)), single)


def _by_tile(work: Any, X: ArrayLike, threads: int, progress: Progress | None) -> None:
    """Calls `work(rows, columns)` for each tile of the rows; columns (feature, row) contiguous, in single precision."""
    rows = np.asarray(X, np.float32)
    parts = [slice(start, start + TILE) for start in range(0, len(rows), TILE)]
    with ThreadPoolExecutor(threads) as pool:
        done = pool.map(lambda part: work(part, np.ascontiguousarray(rows[part].T)), parts)
        for number, _ in enumerate(done, 1):
            if progress:
                progress(number, len(parts))


@cache
def _kernel() -> Any:
    """The compiled descent; Numba is loaded with the first forest that predicts, and keeps what it compiled on disk."""
    from numba import njit

    return njit(_descend_trees, nogil=True, cache=True)


def _descend_trees(
    feature: Any,
    threshold: Any,
    number: Any,
    left: Any,
    right: Any,
    fork: Any,
    root: Any,
    stack: Any,
    columns: Any,
    shift: Any,
    sums: Any,
    kept: Any,
) -> None:
    """All rows of a tile down all trees.

    stack : nodes that may wait while one is visited. fork : layers of the upper stretch at a node that tests a depth,
    else -1. sums : (2, layer + 1, row): where trees' values (less `shift`) and their squares are added, as differences
    between a layer and the one above; or empty. kept : (layer, tree, row), where the values go; or empty.
    """
    rows, keep = columns.shape[1], kept.size > 0
    depth = kept.shape[0] if keep else sums.shape[1] - 1
    order, spare = np.empty(rows, np.int32), np.empty(rows, np.int32)
    waiting = np.empty((stack, 5), np.int32)

    def wait(at: int, node: int, start: int, end: int, top: int, bottom: int) -> None:
        waiting[at, 0], waiting[at, 1], waiting[at, 2], waiting[at, 3], waiting[at, 4] = node, start, end, top, bottom

    for tree in range(len(root)):
        for i in range(rows):
            order[i] = i
        wait(0, root[tree], 0, rows, 0, depth)
        n_waiting = 1
        while n_waiting > 0:
            n_waiting -= 1
            node, start, end = waiting[n_waiting, 0], waiting[n_waiting, 1], waiting[n_waiting, 2]
            top, bottom = waiting[n_waiting, 3], waiting[n_waiting, 4]
            while feature[node] >= 0:
                split = fork[node]
                if split >= 0:
                    if split <= top:
                        node = right[node]
                    elif split >= bottom:
                        node = left[node]
                    else:
                        wait(n_waiting, right[node], start, end, split, bottom)
                        n_waiting += 1
                        bottom, node = split, left[node]
                    continue
                values, limit = columns[feature[node]], threshold[node]
                to_left, to_right = start, 0
                for i in range(start, end):
                    row = order[i]
                    goes = values[row] <= limit
                    order[to_left] = row
                    spare[to_right] = row
                    to_left += goes
                    to_right += not goes
                for i in range(to_right):
                    order[to_left + i] = spare[i]
                if to_left == start:
                    node = right[node]
                elif to_left == end:
                    node = left[node]
                else:
                    wait(n_waiting, right[node], to_left, end, top, bottom)
                    n_waiting += 1
                    end, node = to_left, left[node]
            if keep:
                for layer in range(top, bottom):
                    for i in range(start, end):
                        kept[layer, tree, order[i]] = number[node]
                continue
            value = number[node] - shift
            square = value * value
            for i in range(start, end):
                row = order[i]
                sums[0, top, row] += value
                sums[1, top, row] += square
                if bottom < depth:
                    sums[0, bottom, row] -= value
                    sums[1, bottom, row] -= square
