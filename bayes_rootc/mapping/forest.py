"""A fitted forest as flat arrays, which gives mean and spread of its trees for many rows, and for all layers at once.

Rows go down a tree together, some thousand at a time: a node splits their list, without a branch, so it is read once,
and the values that it tests lie side by side. The layers of a profile differ in top and bottom only, and both grow with
depth: a node that tests one of these parts the layers in an upper and a lower stretch, and both children get the whole
list. So a row passes a tree once for all its layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    """Where results of a tile go: one of `sums` and `kept` is filled, the other is empty.

    Attributes
    ----------
    sums : ndarray
        (output, layer, row, 2), where trees' values and their squares are added, as differences between a layer and the
        one above.
    kept : ndarray
        (output, layer, tree, row), where the values go.
    """

    sums: NDArray[np.float64] = np.empty((0, 0, 0, 0))
    kept: NDArray[np.float32] = np.empty((0, 0, 0, 0), np.float32)


@dataclass(frozen=True)
class Nodes:
    """Nodes of all trees, one after the other.

    Attributes
    ----------
    feature : ndarray
        Column that a node tests, -1 for a leaf.
    number : ndarray
        Threshold of the test (left where not above), or prediction of the leaf: (output, node) if there are several
        outputs.
    left, right : ndarray
        Children, which come later.
    root : ndarray
        First node of each tree, (tree,). The others: (node,).
    missing_left : ndarray of bool, optional
        Whether a row without a value for the test goes left; by default it goes right.

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
    missing_left: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        inner = np.flatnonzero(self.feature >= 0)
        children = np.concatenate([self.left[inner], self.right[inner]])
        nodes = len(self.feature)
        if (
            not len(self.root)
            or any(a.shape[-1] != nodes for a in (self.number, self.left, self.right))
            or any(getattr(self, name).dtype != kind for name, kind in TYPES.items())
            or not ((self.root >= 0) & (self.root < nodes)).all()
            or not ((children > np.concatenate([inner, inner])) & (children < nodes)).all()
        ):
            raise ValueError("not the nodes of trees")

    @classmethod
    def of(cls, trees: Sequence[Any]) -> Nodes:
        """The nodes of scikit-learn's fitted regression trees, one tree after the other."""
        parts, start = [], 0
        for tree in (t.tree_ for t in trees):
            leaf = tree.children_left < 0
            number = np.where(leaf, tree.value[:, :, 0].T, tree.threshold)
            children = (np.where(leaf, -1, c + start) for c in (tree.children_left, tree.children_right))
            missing_left = tree.missing_go_to_left.astype(bool)
            parts.append((np.where(leaf, -1, tree.feature), number, *children, np.array([start]), missing_left))
            start += tree.node_count
        *columns, missing_left = (np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True))
        columns[1] = columns[1] if len(columns[1]) > 1 else columns[1][0]
        arrays = {name: column.astype(kind) for (name, kind), column in zip(TYPES.items(), columns, strict=True)}
        return cls(**arrays, missing_left=missing_left)

    @property
    def values(self) -> NDArray[np.float64]:
        """`number` with an axis of outputs: (output, node)."""
        return np.atleast_2d(self.number)

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
        number = self.values[0]
        single: NDArray[np.float32] = number.astype(np.float32)
        return np.where(single > number, np.nextafter(single, np.float32(-np.inf)), single)


def _trees_of(forest: Any) -> list[Any]:
    """Trees of scikit-learn's forests of regression trees, or those of a list.

    Raises
    ------
    ValueError
        Not such a forest, or it has more features than can be numbered.
    """
    from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
    from sklearn.tree import DecisionTreeRegressor
    from sklearn.utils.validation import check_is_fitted

    if isinstance(forest, RandomForestRegressor | ExtraTreesRegressor):
        check_is_fitted(forest)
        forest = forest.estimators_
    if not (isinstance(forest, list | tuple) and forest and all(isinstance(t, DecisionTreeRegressor) for t in forest)):
        raise ValueError(
            f"{type(forest).__name__} cannot be compiled; expected a fitted RandomForestRegressor or "
            "ExtraTreesRegressor of scikit-learn, or a list of fitted regression trees"
        )
    most = np.iinfo(np.int16).max
    if (features := forest[0].n_features_in_) > most:
        raise ValueError(f"the trees have {features:,} features; expected at most {most:,}")
    return list(forest)


class CompiledForest:
    """A fitted forest, compiled to be evaluated fast.

    Parameters
    ----------
    forest : object
        A fitted `RandomForestRegressor` or `ExtraTreesRegressor` of scikit-learn with one or several outputs, or a list
        of fitted regression trees, or their `Nodes`.
    layer_columns : tuple of int, optional
        Columns of top and bottom among the predictors. Rows may come with these columns, which are not read, or without
        them.
    layers : tuple of (float, float), optional
        Top and bottom of the layers that every row is evaluated for, from above, in the unit of these columns.

    Attributes
    ----------
    nodes : Nodes
        The trees as flat arrays.
    tested : ndarray of int, shape (node,)
        Column that a node tests, counted without the columns of depths.
    fork : ndarray of int, shape (node,)
        Number of layers that go to the upper child at a node that tests a depth, else -1.

    Raises
    ------
    ValueError
        Not a forest of regression trees, or not fitted, layers without columns or columns without layers, or layers
        that do not get deeper.

    Examples
    --------
    Two responses at once; the forest is scikit-learn's:

    >>> from sklearn.ensemble import ExtraTreesRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(size=(400, 3))
    >>> y = np.c_[X[:, 0], 10 * X[:, 1]]
    >>> forest = ExtraTreesRegressor(50, random_state=0).fit(X, y)
    >>> compiled = CompiledForest(forest)
    >>> mean, std = compiled.mean_and_std(X[:5])
    >>> bool(np.allclose(mean, forest.predict(X[:5]))), std.shape
    (True, (5, 2))

    Every tree, and quantiles over the trees:

    >>> compiled.members(X[:5]).shape, compiled.quantiles(X[:5], [0.1, 0.5, 0.9]).shape
    ((5, 2, 50), (5, 2, 3))
    """

    def __init__(self, forest: Any, *, layer_columns: tuple[int, int] | None = None, layers: Layers = ()):
        if isinstance(forest, Nodes):
            self.nodes, self._features = forest, max(layer_columns or (0,)) + 1
        else:
            trees = _trees_of(forest)
            self.nodes, self._features = Nodes.of(trees), trees[0].n_features_in_
        self._names = getattr(forest, "feature_names_in_", None)
        depths = np.array(layers, np.float32).reshape(-1, 2)
        if (layer_columns is None) != (not len(depths)) or (np.diff(depths, axis=0) < 0).any():
            raise ValueError("layers from above, and the two columns of their top and bottom, belong together")
        self.layer_columns, self.layers = layer_columns, layers
        self.fork = np.full(len(self.nodes.feature), -1, np.int32)
        feature = self.nodes.feature
        for column, values in zip(layer_columns or (), depths.T, strict=False):
            at = self.nodes.feature == column
            self.fork[at] = np.searchsorted(values, self.nodes.values[0, at], side="right")
        self.tested = feature.astype(np.int32)
        if layer_columns:  # rows come without these columns
            below = sum((feature > column).astype(np.int16) for column in layer_columns)
            self.tested = np.where(self.fork >= 0, 0, feature - below).astype(np.int32)

    def mean_and_std(
        self, X: ArrayLike, *, threads: int = 2, progress: Progress | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean over the trees and their standard deviation; memory does not grow with rows × trees.

        Parameters
        ----------
        X : array-like, shape (n, features)
            Predictors, not infinite; compared in single precision, as scikit-learn does. A missing value (NaN) goes
            where scikit-learn sends it. Columns of a table must have the names and the order of the fit.
        threads : int
            Number of threads.
        progress : callable, optional
            Called with the parts done and wanted.

        Returns
        -------
        mean, std : ndarray, shape (n,), (n, layer) with `layers`, (n, output), or (n, layer, output)
            Mean and standard deviation over the trees.
        """
        rows, depth, trees, outputs = self.rows(X), max(len(self.layers), 1), self.nodes.trees, len(self.nodes.values)
        mean, sd = np.empty((2, len(rows), depth, outputs))
        # sums about such a value do not cancel
        shift = np.array([number[self.nodes.leaf].mean() for number in self.nodes.values])
        value = self.nodes.values - shift[:, None]

        def work(part: slice, columns: NDArray[np.float32]) -> None:
            sums = np.zeros((outputs, depth, columns.shape[1], 2))
            self._descend(columns, value, Wanted(sums=sums))
            first, second = np.cumsum(sums, axis=1).T / trees
            mean[part] = shift + first
            sd[part] = np.sqrt(np.maximum(second - first**2, 0))

        for _ in _by_tile(work, rows, threads, progress):
            pass
        return self._without_single_axes(mean), self._without_single_axes(sd)

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
        ndarray, shape (n, tree), (n, layer, tree) with `layers`, (n, output, tree), or (n, layer, output, tree)
            Predictions in single precision.
        """
        rows = self.rows(X)
        out = np.empty((len(rows), *self._members_shape), np.float32)

        def work(part: slice, columns: NDArray[np.float32]) -> None:
            out[part] = self._members(columns)

        for _ in _by_tile(work, rows, threads, None):
            pass
        return self._without_single_axes(out)

    def quantiles(self, X: ArrayLike, levels: ArrayLike, *, threads: int = 2) -> NDArray[np.float32]:
        """Quantiles over the trees; memory does not grow with rows × trees.

        They say how far the trees differ, as `mean_and_std` does, not where a new observation may lie: for that, a
        quantile regression forest keeps the training values of the leaves.

        Parameters
        ----------
        X : array-like, shape (n, features)
            Predictors, as in `mean_and_std`.
        levels : array-like of float
            Probabilities, from 0 to 1.
        threads : int
            Number of threads.

        Returns
        -------
        ndarray, shape (n, *levels), or as those of `mean_and_std`, followed by *levels
            Quantiles, linear between members, as `np.quantile` has them by default.

        Raises
        ------
        ValueError
            A level is not between 0 and 1.
        """
        level = np.asarray(levels, float)
        if not ((level >= 0) & (level <= 1)).all():
            raise ValueError(f"levels are {level}; expected numbers from 0 to 1")
        rows, (depth, outputs, trees) = self.rows(X), self._members_shape
        out = np.empty((len(rows), depth, outputs, *level.shape), np.float32)
        place = level * (trees - 1)
        lower = place.astype(int)
        upper = np.minimum(lower + 1, trees - 1)

        def work(part: slice, columns: NDArray[np.float32]) -> None:
            members = np.sort(self._members(columns))
            low = members[..., lower]
            out[part] = low + (place - lower) * (members[..., upper] - low)

        for _ in _by_tile(work, rows, threads, None, size=max(TILE // (depth * outputs), TILE // 16)):
            pass
        return self._without_single_axes(out)

    def rows(self, X: ArrayLike) -> NDArray[np.float32]:
        """Rows in single precision, without columns of depths.

        Raises
        ------
        ValueError
            Too few columns, or a table whose columns are not those of the fit, in their order.
        """
        names = getattr(X, "columns", None)
        if names is not None and self._names is not None:
            without = np.delete(self._names, self.layer_columns or ())
            if list(names) not in (list(self._names), list(without)):
                raise ValueError(f"the columns are {', '.join(map(str, names))}; expected {', '.join(self._names)}")
        rows = np.asarray(X, np.float32)
        if self.layer_columns and rows.shape[1] >= self._features:
            rows = np.delete(rows, self.layer_columns, axis=1)
        tested = int(self.tested.max())
        if tested >= rows.shape[1]:
            raise ValueError(f"{rows.shape[1]} columns, of which a tree tests number {tested}")
        return rows

    @property
    def _members_shape(self) -> tuple[int, int, int]:
        """Numbers of layers, outputs and trees."""
        return max(len(self.layers), 1), len(self.nodes.values), self.nodes.trees

    def _members(self, columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """Predictions of a tile, (row, layer, output, tree)."""
        depth, outputs, trees = self._members_shape
        kept = np.empty((outputs, depth, trees, columns.shape[1]), np.float32)
        self._descend(columns, self.nodes.values, Wanted(kept=kept))
        return kept.transpose(3, 1, 0, 2)

    def _without_single_axes(self, out: NDArray[Any]) -> NDArray[Any]:
        """Results, (row, layer, output, …), without the axis of layers if there are none, and of a single output."""
        out = out if len(self.nodes.values) > 1 else out[:, :, 0]
        return out if self.layers else out[:, 0]

    def _descend(self, columns: NDArray[np.float32], value: NDArray[np.float64], wanted: Wanted) -> None:
        n, tested = self.nodes, self.tested
        if n.missing_left is not None and (missing := np.isnan(columns)).any():
            # A missing value is above all thresholds, as NaN, or below them in a second copy of all columns.
            tested = np.where(n.missing_left, tested + np.int32(len(columns)), tested)
            columns = np.concatenate([columns, np.where(missing, np.float32(-np.inf), columns)])
        nodes = (tested, n.leaf, n.thresholds, value, n.left, n.right, self.fork)
        _kernel()(nodes, n.root, n.depth + 1, columns, wanted)


def _by_tile[T](
    work: Callable[[slice, NDArray[np.float32]], T],
    rows: NDArray[np.float32],
    threads: int,
    progress: Progress | None,
    size: int = TILE,
) -> Iterator[T]:
    """`work(part, columns)` of each tile of the rows, in order; columns (feature, row) contiguous."""
    size = min(size, -(-len(rows) // threads)) or 1
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
    sums, kept = wanted
    rows, keep = columns.shape[1], kept.size > 0
    depth = kept.shape[1] if keep else sums.shape[1]
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
            first, last = np.uint64(start), np.uint64(end)
            for output in range(number.shape[0]):
                value = number[output, node]
                if keep:
                    for layer in range(top, bottom):
                        for i in range(first, last):
                            kept[output, layer, tree, order[i]] = value
                    continue
                for at, sign in ((top, 1.0), (bottom, -1.0)):
                    if at < depth:
                        layer_sums, first_power, second_power = sums[output, at], sign * value, sign * value * value
                        for i in range(first, last):
                            row = order[i]
                            layer_sums[row, 0] += first_power
                            layer_sums[row, 1] += second_power
