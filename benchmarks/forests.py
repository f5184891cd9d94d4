"""Mean and spread of a forest's trees."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from quantile_forest import RandomForestQuantileRegressor
from scipy.ndimage import gaussian_filter
from sklearn.ensemble import RandomForestRegressor

from bayes_rootc.constants import LAYERS
from bayes_rootc.mapping.forest import CompiledForest

from . import r
from .case import Case

FEWER = 16
"""So many times fewer cells are given to what is slow with them."""


def training() -> tuple[np.ndarray, np.ndarray]:
    """54 covariates and the layer of 3,000 rows, and a response."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((3000, 54)).astype(np.float32)
    layer = np.array(LAYERS, np.float32)[rng.integers(0, 7, 3000)]
    return np.c_[X, layer], X[:, 0] + np.sin(X[:, 1]) - 0.02 * layer[:, 0] + rng.standard_normal(3000)


@cache
def forest(smooth: bool) -> tuple[RandomForestRegressor, CompiledForest, np.ndarray]:
    """500 trees of 3,000 rows and 54 covariates, in seven layers of cells that know nothing of each other, or of a
    raster on which neighbours are alike: there scikit-learn finds the nodes that it wants in the cache.
    """
    rng, side = np.random.default_rng(3), 128
    sklearn = RandomForestRegressor(500, max_features=1 / 3, random_state=1, n_jobs=2).fit(*training())
    compiled = CompiledForest(sklearn, layer_columns=(54, 55), layers=LAYERS)
    fields = rng.standard_normal((54, side, side))
    if smooth:
        fields = np.stack([gaussian_filter(f, 8, mode="wrap") for f in fields])
        fields /= fields.std(axis=(1, 2), keepdims=True)
    return sklearn, compiled, fields.reshape(54, -1).T.astype(np.float32)


def in_layers(cells: np.ndarray) -> np.ndarray:
    """Rows of cells in seven layers, the layer last, as others than we take them."""
    return np.concatenate([np.c_[cells, np.full((len(cells), 2), each)] for each in np.array(LAYERS, np.float32)])


def forest_spread(smooth: bool) -> Case:
    """Mean and spread of the trees in seven layers: ours, and what one does with scikit-learn."""
    sklearn, compiled, cells = forest(smooth)

    def loop() -> list[tuple[np.ndarray, np.ndarray]]:
        out = []
        for each in LAYERS:
            rows = np.c_[cells, np.broadcast_to(np.array(each, np.float32), (len(cells), 2))]
            jobs = (delayed(tree.tree_.predict)(rows) for tree in sklearn.estimators_)
            trees = np.stack(Parallel(2, prefer="threads")(jobs))
            out.append((trees.mean(axis=0), trees.std(axis=0)))
        return out

    return Case(
        f"forest mean and spread, {len(cells):,} cells x 7 layers x 500 trees, {'smooth' if smooth else 'independent'}",
        "compiled, two threads",
        lambda: compiled.mean_and_std(cells),
        "scikit-learn, loop over trees, two threads",
        loop,
    )


def quantile_forest() -> Case:
    """An interval in seven layers: ours from the spread of the trees, theirs from the training values in the leaves."""
    compiled, cells = forest(smooth=False)[1:]
    X, y = training()
    theirs = RandomForestQuantileRegressor(500, max_features=1 / 3, random_state=1, n_jobs=2).fit(X, y)
    rows = in_layers(cells[: len(cells) // FEWER])
    return Case(
        f"forest interval, {len(cells) // FEWER:,} cells x 7 layers x 500 trees",
        "compiled, two threads",
        lambda: compiled.mean_and_std(cells),
        "quantile-forest, three quantiles, two threads",
        lambda: theirs.predict(rows, quantiles=[0.025, 0.5, 0.975]),
        FEWER,
    )


def forest_quantiles() -> Case:
    """Quantiles over the trees in seven layers: ours, and what one does with scikit-learn."""
    sklearn, compiled, cells = forest(smooth=False)
    few, levels = cells[: len(cells) // FEWER], (0.025, 0.5, 0.975)
    rows = in_layers(few)

    def loop() -> np.ndarray:
        trees = Parallel(2, prefer="threads")(delayed(tree.tree_.predict)(rows) for tree in sklearn.estimators_)
        return np.quantile(np.stack(trees)[..., 0], levels, axis=0)

    return Case(
        f"quantiles over the trees, {len(few):,} cells x 7 layers x 500 trees",
        "compiled, two threads",
        lambda: compiled.quantiles(few, levels),
        "scikit-learn, loop over trees, two threads, np.quantile",
        loop,
    )


def treelite() -> Case:
    """Treelite's own interpreter, every tree, and the spread of its trees."""
    from treelite.gtil import predict_per_tree
    from treelite.sklearn import import_model

    sklearn, compiled, cells = forest(smooth=False)
    theirs, rows = import_model(sklearn), in_layers(cells[: len(cells) // FEWER])

    def spread() -> tuple[np.ndarray, np.ndarray]:
        trees = predict_per_tree(theirs, rows, nthread=2)
        return trees.mean(axis=1), trees.std(axis=1)

    return Case(
        f"forest mean and spread, {len(cells) // FEWER:,} cells x 7 layers x 500 trees",
        "compiled, two threads",
        lambda: compiled.mean_and_std(cells),
        "treelite, every tree, two threads",
        spread,
        FEWER,
    )


def ydf() -> Case:
    """Yggdrasil's fastest engine for this forest, which has the mean of the trees alone."""
    import ydf as yggdrasil

    sklearn, compiled, cells = forest(smooth=False)
    theirs, rows = yggdrasil.from_sklearn(sklearn), {"features": in_layers(cells[: len(cells) // FEWER])}
    return Case(
        f"forest mean (ours: and spread), {len(cells) // FEWER:,} cells x 7 layers x 500 trees",
        "compiled, two threads",
        lambda: compiled.mean_and_std(cells),
        "YDF, mean alone, two threads",
        lambda: theirs.predict(rows, num_threads=2),
        FEWER,
    )


OTHERS = {"treelite": treelite, "ydf": ydf}
"""Cases of packages that are timed where they are installed."""


def installed() -> list[Callable[[], Case]]:
    """Cases of `OTHERS` whose package is there."""
    return [case for package, case in OTHERS.items() if find_spec(package)]


def ranger() -> Case:
    """R's ranger with predict.all, and the spread of its trees."""
    compiled, cells = forest(smooth=False)[1:]
    X, y = training()
    names = [f"x{i}" for i in range(X.shape[1])]
    train = pd.DataFrame(X, columns=names).assign(y=y)
    rows = pd.DataFrame(in_layers(cells[: len(cells) // FEWER]), columns=names)
    return Case(
        f"forest mean and spread, {len(cells) // FEWER:,} cells x 7 layers x 500 trees",
        "compiled, two threads",
        lambda: compiled.mean_and_std(cells),
        "R's ranger, predict.all, two threads (prediction alone)",
        lambda: r.run("ranger", train, rows),
        FEWER,
    )


def forest_threads() -> Case:
    """Two threads beside one; the ratio is what a second core is worth."""
    compiled, cells = forest(smooth=True)[1:]
    return Case(
        "forest mean and spread, smooth",
        "compiled, two threads",
        lambda: compiled.mean_and_std(cells),
        "compiled, one thread",
        lambda: compiled.mean_and_std(cells, threads=1),
    )


def forest_size() -> Case:
    """A cell of 65,536 beside one of 16,384: 1 where time is linear in cells."""
    compiled, cells = forest(smooth=True)[1:]
    many = np.tile(cells, (4, 1))
    return Case(
        "forest mean and spread, a cell",
        "of 65,536 cells",
        lambda: compiled.mean_and_std(many),
        "of 16,384 cells",
        lambda: compiled.mean_and_std(cells),
        4.0,
    )
