"""Compiled forests against scikit-learn's own predictions, tree by tree."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeRegressor

from bayes_rootc.constants import LAYERS
from bayes_rootc.mapping.forest import TILE, CompiledForest, Nodes

FORESTS = {
    "deep": RandomForestRegressor(20, random_state=1),
    "leaves of five": RandomForestRegressor(20, min_samples_leaf=5, max_features=0.3, random_state=2),
    "best first": RandomForestRegressor(20, max_leaf_nodes=30, random_state=3),
    "random thresholds": ExtraTreesRegressor(20, random_state=4),
    "stumps": RandomForestRegressor(20, max_depth=1, random_state=5),
}


def layered(n: int, seed: int):
    """Four covariates, top and bottom of a layer, and a response to all."""
    rng = np.random.default_rng(seed)
    top = rng.uniform(0, 150, n)
    X = np.c_[rng.standard_normal((n, 4)), top, top + rng.uniform(5, 50, n)].astype(np.float32)
    return X, 100 + X[:, 0] - 0.02 * X[:, 4] * (1 + X[:, 1]) + 0.1 * rng.standard_normal(n)


@pytest.fixture(scope="module", params=FORESTS)
def pair(request):
    X, y = layered(400, 0)
    forest = FORESTS[request.param].fit(X, y)
    return forest, CompiledForest(forest)


def test_members_are_those_of_scikit_learn(pair):
    forest, compiled = pair
    X, _ = layered(2 * TILE + 7, 1)
    trees = np.stack([tree.predict(X) for tree in forest.estimators_], axis=1)
    np.testing.assert_array_equal(compiled.members(X), trees.astype(np.float32))
    mean, sd = compiled.mean_and_std(X)
    np.testing.assert_allclose(mean, trees.mean(axis=1), rtol=0, atol=1e-10)
    np.testing.assert_allclose(sd, trees.std(axis=1), rtol=0, atol=1e-10)
    np.testing.assert_allclose(mean, forest.predict(X), atol=1e-10)


def test_layers_at_once_are_layers_one_by_one(pair):
    forest, compiled = pair
    X, _ = layered(300, 2)
    at_once = CompiledForest(forest, layer_columns=(4, 5), layers=LAYERS)
    mean, sd = at_once.mean_and_std(X[:, :4])
    members = at_once.members(X[:, :4])
    np.testing.assert_array_equal(members, at_once.members(X))  # depths of rows are not read
    assert mean.shape == sd.shape == (300, 7) and members.shape == (300, 7, 20)
    for j, (top, bottom) in enumerate(LAYERS):
        X[:, 4:] = top, bottom
        np.testing.assert_array_equal(members[:, j], compiled.members(X))
        one = compiled.mean_and_std(X)
        np.testing.assert_allclose(mean[:, j], one[0], rtol=0, atol=1e-10)
        np.testing.assert_allclose(sd[:, j], one[1], rtol=0, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), leaf=st.integers(1, 40), rows=st.integers(1, 60))
def test_any_forest_and_rows_on_its_thresholds(seed, leaf, rows):
    """Values are few, so that many rows lie on thresholds, of double precision, or on one side by a rounding."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 4, (80, 3)) / 3
    tree = DecisionTreeRegressor(min_samples_leaf=leaf, random_state=seed).fit(X, rng.standard_normal(80))
    thresholds = tree.tree_.threshold[tree.tree_.feature >= 0]
    pool = np.concatenate([thresholds, np.nextafter(thresholds, 9), np.nextafter(thresholds, -9), [0.0, 1 / 3]])
    new = rng.choice(pool, (rows, 3))
    found = CompiledForest([tree, tree]).members(new)
    np.testing.assert_array_equal(found, np.tile(tree.predict(new)[:, None], 2).astype(np.float32))


def test_columns_of_layers_may_stand_anywhere(pair):
    forest, _ = pair
    X, y = layered(300, 6)
    order = [4, 0, 1, 5, 2, 3]
    other = CompiledForest(type(forest)(**forest.get_params()).fit(X[:, order], y), layer_columns=(0, 3), layers=LAYERS)
    members = other.members(X[:, :4])
    for j, (top, bottom) in enumerate(LAYERS):
        X[:, 4:] = top, bottom
        np.testing.assert_array_equal(members[:, j], CompiledForest(other.nodes).members(X[:, order]))


def test_threads_and_tiles_change_nothing(pair):
    _, compiled = pair
    X, _ = layered(3 * TILE, 3)
    one, two = (np.array(compiled.mean_and_std(X, threads=threads)) for threads in (1, 3))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one[:, 5:9], np.array(compiled.mean_and_std(X[5:9])))


def test_memory_does_not_grow_with_rows_times_trees():
    X, y = layered(300, 4)
    compiled = CompiledForest(RandomForestRegressor(200, random_state=1).fit(X, y))
    new, _ = layered(20 * TILE, 5)
    compiled.mean_and_std(new[:10])
    tracemalloc.start()
    compiled.mean_and_std(new, threads=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    results, tiles, nodes = 2 * 8 * len(new), 2 * 40 * TILE * 8, 40 * len(compiled.nodes.number)
    assert peak < results + tiles + nodes < 0.1 * len(new) * 200 * 8


def test_progress_counts_tiles(pair):
    seen = []
    pair[1].mean_and_std(np.zeros((3 * TILE - 1, 6)), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_what_is_no_tree_is_refused(pair):
    _, good = pair
    arrays = {name: getattr(good.nodes, name).copy() for name in ("feature", "number", "left", "right", "root")}
    for name, change in {
        "left": lambda a: np.where(a > 0, 0, a),  # a circle
        "right": lambda a: a + len(a),
        "root": lambda a: a - 1,
        "feature": lambda a: a.astype(float),
        "number": lambda a: a[:-1],
    }.items():
        with pytest.raises(ValueError, match="not the nodes of trees"):
            Nodes(**(arrays | {name: change(arrays[name])}))
    for wrong in ({"layers": LAYERS}, {"layer_columns": (4, 5)}, {"layers": LAYERS[::-1], "layer_columns": (4, 5)}):
        with pytest.raises(ValueError, match="belong together"):
            CompiledForest(good.nodes, **wrong)
    with pytest.raises(ValueError, match="1 columns"):
        good.members(np.zeros((2, 1)))


SEVERAL = {
    "forest": RandomForestRegressor(8, max_features=0.5, random_state=1),
    "extra trees": ExtraTreesRegressor(8, min_samples_leaf=3, random_state=2),
}


@pytest.fixture(scope="module", params=SEVERAL)
def several(request):
    """A forest with three outputs of unlike size, some of whose training values are missing."""
    X, y = layered(300, 9)
    X[::7, 1] = np.nan
    forest = SEVERAL[request.param].fit(X, np.c_[y, 1e4 * X[:, 0], X[:, 4]])
    return forest, CompiledForest(forest)


def test_outputs_are_those_of_scikit_learn_whether_values_are_missing_or_not(several):
    forest, compiled = several
    for missing in (slice(0), (slice(None, None, 3), 1), (slice(None, None, 2), slice(0, 6, 2))):
        X, _ = layered(500, 10)
        X[missing] = np.nan
        trees = np.stack([tree.predict(X) for tree in forest.estimators_], axis=-1)
        np.testing.assert_array_equal(compiled.members(X), trees.astype(np.float32))
        mean, sd = compiled.mean_and_std(X)
        np.testing.assert_allclose(mean, forest.predict(X), rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(sd, trees.std(axis=-1), rtol=1e-7, atol=1e-4)  # √ of 1e-16 of the square of 1e4


def test_layers_and_outputs_go_together(several):
    forest, compiled = several
    X, _ = layered(200, 11)
    at_once = CompiledForest(forest, layer_columns=(4, 5), layers=LAYERS)
    mean, members, middle = at_once.mean_and_std(X)[0], at_once.members(X), at_once.quantiles(X, 0.5)
    assert mean.shape == middle.shape == (200, 7, 3) and members.shape == (200, 7, 3, 8)
    for j, (top, bottom) in enumerate(LAYERS):
        X[:, 4:] = top, bottom
        np.testing.assert_array_equal(members[:, j], compiled.members(X))
        np.testing.assert_allclose(mean[:, j], compiled.mean_and_std(X)[0], rtol=1e-12, atol=1e-9)
        np.testing.assert_array_equal(middle[:, j], compiled.quantiles(X, 0.5))


def test_quantiles_are_those_of_the_members(pair):
    compiled = pair[1]
    X, _ = layered(TILE + 9, 12)
    levels = [0.0, 0.025, 0.5, 0.9, 1.0]
    found = compiled.quantiles(X, levels)
    want = np.quantile(compiled.members(X).astype(float), levels, axis=1).T
    np.testing.assert_allclose(found, want, rtol=2e-7)  # single precision
    np.testing.assert_array_equal(compiled.quantiles(X, 0.5), found[:, 2])
    with pytest.raises(ValueError, match="expected numbers from 0 to 1"):
        compiled.quantiles(X, [2.5, 97.5])


def test_quantiles_take_no_memory_for_rows_times_trees():
    X, y = layered(100, 4)
    compiled, new = CompiledForest(RandomForestRegressor(100, random_state=1).fit(X, y)), layered(8 * TILE, 5)[0]
    compiled.quantiles(new[:10], 0.5)
    tracemalloc.start()
    compiled.quantiles(new, 0.5, threads=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3.5 * 4 * TILE * 100 < 0.5 * 4 * len(new) * 100


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestClassifier(2),
        GradientBoostingRegressor(n_estimators=2),
        BaggingRegressor(n_estimators=2, max_features=0.5),  # whose trees do not see all columns
        AdaBoostRegressor(n_estimators=2),  # whose trees have weights
        DecisionTreeRegressor(),
    ],
)
def test_what_is_no_forest_of_regression_trees_is_refused(forest):
    X, y = layered(30, 0)
    forest.fit(X, (y > y.mean()).astype(int))
    with pytest.raises(ValueError, match=f"{type(forest).__name__} cannot be compiled; expected a fitted RandomForest"):
        CompiledForest(forest)


def test_lists_of_something_else_and_forests_without_trees_are_refused():
    X, y = layered(30, 0)
    classifier = RandomForestClassifier(2).fit(X, y > y.mean())
    for wrong in (classifier.estimators_, []):
        with pytest.raises(ValueError, match="list cannot be compiled"):
            CompiledForest(wrong)
    with pytest.raises(ValueError, match="not fitted"):
        CompiledForest(RandomForestRegressor())


def test_columns_of_a_table_must_be_those_of_the_fit():
    X, y = layered(60, 0)
    table = pd.DataFrame(X, columns=[*"abcd", "top", "bottom"])
    forest = RandomForestRegressor(3, random_state=0).fit(table, y)
    compiled = CompiledForest(forest)
    np.testing.assert_array_equal(compiled.members(table), compiled.members(X))
    with pytest.raises(ValueError, match=r"the columns are b, a, .*; expected a, b"):
        compiled.members(table[[*"bacd", "top", "bottom"]])
    at_once = CompiledForest(forest, layer_columns=(4, 5), layers=LAYERS)
    np.testing.assert_array_equal(at_once.members(table), at_once.members(table[[*"abcd"]]))


def test_the_example_of_the_documentation_runs(capsys):
    page, names = (Path(__file__).parents[2] / "docs" / "forests.md").read_text(encoding="utf-8"), {}
    for code in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        exec(code, names)
    assert capsys.readouterr().out == "(1000,) (1000,) (1000, 3) (1000, 200)\n(1000, 3)\n"
