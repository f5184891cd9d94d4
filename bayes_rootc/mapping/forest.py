"""A fitted forest as flat arrays, which gives mean and spread of its trees for many rows, and for all layers at once.

Rows go down a tree together, some thousand at a time: a node splits their list, without a branch, so it is read once,
and the values that it tests lie side by side. The layers of a profile differ in top and bottom only, and both grow with
depth: a node that tests one of these parts the layers in an upper and a lower stretch, and both children get the whole
list. So a row passes a tree once for all its layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..progress import Progress

TILE = 8192
"""Rows that go down the trees together: enough for long lists, few enough for columns and sums to stay in the L2
cache."""

type Layers = tuple[tuple[float, float], ...]
"""Top and bottom of each, cm, from above."""

TYPES = {"feature": np.int16, "number": np.float64, "left": np.int32, "right": np.int32, "root": np.int32}


class Wanted(NamedTuple):
    """Where results of a tile go: one of `sums`, `kept` and `totals` is filled, the others are empty.

    Attributes
    ----------
    sums : ndarray
        (layer, row, 2), where trees' values and their squares are added, as differences between a layer and the one
        above.
    kept : ndarray
        (layer, tree, row), where the values go.
    totals : ndarray
        (group, layer, tree), where values times `weight`, (layer, row), are added by the `group` of the row.
    """

    sums: NDArray[np.float64] = np.empty((0, 0, 0))
    kept: NDArray[np.float32] = np.empty((0, 0, 0), np.float32)
    totals: NDArray[np.float64] = np.empty((0, 0, 0))
    weight: NDArray[np.float64] = np.empty((0, 0))
    group: NDArray[np.int32] = np.empty(0, np.int32)


@dataclass(frozen=True)
class Nodes:
    """Nodes of all trees, one after the other.

    Attributes
    ----------
    feature : ndarray
        Column that a node tests, -1 for a leaf.
    number : ndarray
        Threshold of the test (left where not above), or prediction of the leaf.
    left, right : ndarray
        Children, which come later.
    root : ndarray
        First node of each tree, (tree,). The others: (node,).

    Raises
    ------
    ValueError
        These are not the nodes of trees.
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
    def of(cls, trees: Iterable[Any]) -> Nodes:
        """The nodes of scikit-learn's fitted regression trees, one tree after the other."""
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

    @cached_property
    def leaf(self) -> NDArray[np.bool_]:
        """Which nodes predict, (node,)."""
        return self.feature < 0

    @cached_property
    def depth(self) -> int:
        """Nodes on the longest way down."""
        level, depth = self.root, 0
        while len(level):
            inner = level[self.feature[level] >= 0]
            level, depth = np.concatenate([self.left[inner], self.right[inner]]), depth + 1
        return depth

    def leaves(self, X: NDArray[np.float32]) -> NDArray[np.int32]:
        """Node at which each row, (row, feature), ends in each tree, (tree, row)."""
        rows, tests = np.arange(len(X)), np.where(self.leaf, 0, self.feature)
        out = np.empty((self.trees, len(X)), np.int32)
        for tree, root in enumerate(self.root):
            at = np.full(len(X), root, np.int32)
            while (moving := ~self.leaf[at]).any():
                left = X[rows, tests[at]] <= self.thresholds[at]
                at = np.where(moving, np.where(left, self.left[at], self.right[at]), at)
            out[tree] = at
        return out

    @cached_property
    def thresholds(self) -> NDArray[np.float32]:
        """Rounded down to single precision, which changes no comparison with a number of single precision."""
        single = self.number.astype(np.float32)
        return np.where(single > self.number, np.nextafter(single, np.float32(-np.inf)), single)


class CompiledForest:
    """A fitted forest, compiled to be evaluated fast.

    Parameters
    ----------
    forest : object
        A fitted scikit-learn forest of regression trees, or a list of such trees, or their `Nodes`.
    layer_columns : tuple of int, optional
        Columns of top and bottom among the predictors. Rows may come with these columns, which are not read, or without
        them.
    layers : tuple of (float, float), optional
        Top and bottom of the layers that every row is evaluated for, from above, in the unit of these columns.

    Attributes
    ----------
    tested : ndarray of int, shape (node,)
        Column that a node tests, counted without the columns of depths.
    fork : ndarray of int, shape (node,)
        Number of layers that go to the upper child at a node that tests a depth, else -1.

    Raises
    ------
    ValueError
        Layers without columns or columns without layers, or layers that do not get deeper.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> X, y = np.random.default_rng(0).standard_normal((2, 200, 3)), np.arange(200.0)
    >>> mean, spread = CompiledForest(RandomForestRegressor(50).fit(X[0], y)).mean_and_std(X[1])
    >>> mean.shape, spread.shape
    ((200,), (200,))
    """

    def __init__(self, forest: Any, *, layer_columns: tuple[int, int] | None = None, layers: Layers = ()):
        if isinstance(forest, Nodes):
            self.nodes, self._features = forest, max(layer_columns or (0,)) + 1
        else:
            trees = list(getattr(forest, "estimators_", forest))
            self.nodes, self._features = Nodes.of(trees), trees[0].n_features_in_
        depths = np.array(layers, np.float32).reshape(-1, 2)
        if (layer_columns is None) != (not len(depths)) or (np.diff(depths, axis=0) < 0).any():
            raise ValueError("layers from above, and the two columns of their top and bottom, belong together")
        self.layer_columns, self.layers = layer_columns, layers
        self.fork = np.full(len(self.nodes.number), -1, np.int32)
        feature = self.nodes.feature
        for column, values in zip(layer_columns or (), depths.T, strict=False):
            at = self.nodes.feature == column
            self.fork[at] = np.searchsorted(values, self.nodes.number[at], side="right")
        self.tested = feature
        if layer_columns:  # rows come without these columns
            below = sum((feature > column).astype(np.int16) for column in layer_columns)
            self.tested = np.where(self.fork >= 0, 0, feature - below).astype(np.int16)

    def mean_and_std(
        self, X: ArrayLike, *, threads: int = 2, progress: Progress | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean over the trees and their standard deviation.

        Parameters
        ----------
        X : array-like, shape (n, features)
            Predictors, finite; compared in single precision, as scikit-learn does.
        threads : int
            Number of threads.
        progress : callable, optional
            Called with the parts done and wanted.

        Returns
        -------
        mean, std : ndarray, shape (n,), or (n, layer) with `layers`
            Mean and standard deviation over the trees.
        """
        rows, depth, trees = self.rows(X), max(len(self.layers), 1), self.nodes.trees
        mean, sd = np.empty((2, len(rows), depth))
        shift = float(self.nodes.number[self.nodes.leaf].mean())  # sums about such a value do not cancel
        value = self.nodes.number - shift

        def work(part: slice, columns: NDArray[np.float32]) -> None:
            sums = np.zeros((depth, columns.shape[1], 2))
            self._descend(columns, value, Wanted(sums=sums))
            first, second = np.moveaxis(np.cumsum(sums, axis=0) / trees, (0, 1, 2), (2, 1, 0))
            mean[part] = shift + first
            sd[part] = np.sqrt(np.maximum(second - first**2, 0))

        for _ in _by_tile(work, rows, threads, progress):
            pass
        return (mean, sd) if self.layers else (mean[:, 0], sd[:, 0])

    def members(self, X: ArrayLike, *, threads: int = 2) -> NDArray[np.float32]:
        """Prediction of every tree.

        Parameters
        ----------
        X : array-like, shape (n, features)
            Predictors, as in `mean_and_std`.
        threads : int
            Number of threads.

        Returns
        -------
        ndarray, shape (n, tree), or (n, layer, tree) with `layers`
            Predictions in single precision.
        """
        rows, depth = self.rows(X), max(len(self.layers), 1)
        out = np.empty((len(rows), depth, self.nodes.trees), np.float32)

        def work(part: slice, columns: NDArray[np.float32]) -> None:
            kept = np.empty((depth, self.nodes.trees, columns.shape[1]), np.float32)
            self._descend(columns, self.nodes.number, Wanted(kept=kept))
            out[part] = kept.transpose(2, 0, 1)

        for _ in _by_tile(work, rows, threads, None):
            pass
        return out if self.layers else out[:, 0]

    def weighted_sums(
        self, X: ArrayLike, weight: ArrayLike, group: ArrayLike, *, power: float = 1.0
    ) -> NDArray[np.float64]:
        """Sums over rows of weight · exp(power · prediction), by group, layer and tree: shape (groups, layer, tree).

        One pass gives the totals of whole maps, one a tree, of a flux that was learnt on its log scale. In one thread:
        the order of sums is that of the rows.

        Parameters
        ----------
        weight : array-like
            Weight of each row, (n,), or of each of its layers, (n, layer).
        group : array-like
            Number of the group of each row, from 0, (n,).
        """
        rows, depth = self.rows(X), max(len(self.layers), 1)
        weights = np.broadcast_to(np.asarray(weight, float).reshape(len(rows), -1), (len(rows), depth))
        groups = np.asarray(group, np.int32)
        value = np.exp(power * np.where(self.nodes.leaf, self.nodes.number, 0.0))
        shape = (int(groups.max(initial=-1)) + 1, depth, self.nodes.trees)

        def work(part: slice, columns: NDArray[np.float32]) -> NDArray[np.float64]:
            totals = np.zeros(shape)
            own = np.ascontiguousarray(weights[part].T)
            self._descend(columns, value, Wanted(totals=totals, weight=own, group=groups[part]))
            return totals

        out = np.zeros(shape)
        for totals in _by_tile(work, rows, 1, None):
            out += totals
        return out

    def rows(self, X: ArrayLike) -> NDArray[np.float32]:
        """Rows in single precision, without columns of depths.

        Raises
        ------
        ValueError
            Too few columns.
        """
        rows = np.asarray(X, np.float32)
        if self.layer_columns and rows.shape[1] >= self._features:
            rows = np.delete(rows, self.layer_columns, axis=1)
        tested = int(self.tested.max())
        if tested >= rows.shape[1]:
            raise ValueError(f"{rows.shape[1]} columns, of which a tree tests number {tested}")
        return rows

    def _descend(self, columns: NDArray[np.float32], value: NDArray[np.float64], wanted: Wanted) -> None:
        n = self.nodes
        nodes = (self.tested, n.leaf, n.thresholds, value, n.left, n.right, self.fork)
        _kernel()(nodes, n.root, n.depth + 1, columns, wanted)


def _by_tile[T](
    work: Callable[[slice, NDArray[np.float32]], T], rows: NDArray[np.float32], threads: int, progress: Progress | None
) -> Iterator[T]:
    """`work(part, columns)` of each tile of the rows, in order; columns (feature, row) contiguous."""
    size = min(TILE, -(-len(rows) // threads)) or 1
    parts = [slice(start, start + size) for start in range(0, len(rows), size)]
    with ThreadPoolExecutor(threads) as pool:
        for number, done in enumerate(pool.map(lambda p: work(p, np.ascontiguousarray(rows[p].T)), parts), 1):
            yield done
            if progress:
                progress(number, len(parts))


@cache
def _kernel() -> Any:
    """The compiled descent; Numba is loaded with the first forest that predicts, and keeps what it compiled on disk."""
    from numba import njit

    return njit(_descend_trees, nogil=True, cache=True)


def _descend_trees(nodes: tuple[Any, ...], root: Any, stack: int, columns: Any, wanted: Wanted) -> None:
    """All rows of a tile down all trees.

    Parameters
    ----------
    nodes : tuple of ndarray
        What a node tests and where it leads; `fork`: layers of the upper stretch at a node that tests a depth, else -1.
    root : ndarray
        First node of each tree.
    stack : int
        Nodes that may wait while one is visited.
    """
    feature, leaf, threshold, number, left, right, fork = nodes
    sums, kept, totals, weight, group = wanted
    rows, keep, add_up = columns.shape[1], kept.size > 0, totals.size > 0
    depth = kept.shape[0] if keep else totals.shape[1] if add_up else sums.shape[0]
    order, spare = np.empty(rows, np.uint32), np.empty(rows, np.uint32)  # what is signed may count from the end
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
            while not leaf[node]:
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
                middle = np.uint64(start)
                for i in range(middle, np.uint64(end)):
                    row = order[i]
                    order[middle] = spare[i - middle] = row
                    middle += np.uint64(values[row] <= limit)
                for i in range(np.uint64(end) - middle):
                    order[middle + i] = spare[i]
                to_left = int(middle)
                if to_left == start:
                    node = right[node]
                elif to_left == end:
                    node = left[node]
                else:
                    wait(n_waiting, right[node], to_left, end, top, bottom)
                    n_waiting += 1
                    end, node = to_left, left[node]
            value, first, last = number[node], np.uint64(start), np.uint64(end)
            if keep or add_up:
                for layer in range(top, bottom):
                    for i in range(first, last):
                        row = order[i]
                        if keep:
                            kept[layer, tree, row] = value
                        else:
                            totals[group[row], layer, tree] += value * weight[layer, row]
                continue
            for at, sign in ((top, 1.0), (bottom, -1.0)):
                if at < depth:
                    layer_sums, first_power, second_power = sums[at], sign * value, sign * value * value
                    for i in range(first, last):
                        row = order[i]
                        layer_sums[row, 0] += first_power
                        layer_sums[row, 1] += second_power
