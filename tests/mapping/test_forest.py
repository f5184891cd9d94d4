"""Compiled forests against scikit-learn's own predictions, tree by tree."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

from bayes_rootc.constants import LAYERS
from bayes_rootc.mapping import forest_device
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


def test_weighted_sums_are_those_of_members(pair):
    forest, _ = pair
    at_once, rng = CompiledForest(forest, layer_columns=(4, 5), layers=LAYERS), np.random.default_rng(7)
    X, _ = layered(TILE + 50, 7)
    weight, group = rng.uniform(1, 2, (len(X), 7)), rng.integers(0, 3, len(X))
    sums = at_once.weighted_sums(X, weight, group, power=0.02)
    members = np.exp(0.02 * at_once.members(X).astype(float)) * weight[:, :, None]
    want = np.stack([members[group == g].sum(axis=0) for g in range(3)])
    np.testing.assert_allclose(sums, want, rtol=1e-6)  # members are in single precision
    alone = CompiledForest(forest).weighted_sums(X, np.ones(len(X)), np.zeros(len(X), int))
    np.testing.assert_allclose(
        np.log(alone[0, 0]), np.log(np.exp([t.predict(X) for t in forest.estimators_]).sum(axis=1)), rtol=1e-10
    )


def test_the_form_for_a_device_says_the_same(pair, monkeypatch):
    forest, compiled = pair
    X, _ = layered(300, 8)
    monkeypatch.setattr(forest_device, "ROWS", 512)  # more than one part
    for each in (compiled, CompiledForest(forest, layer_columns=(4, 5), layers=LAYERS)):
        for here, there in zip(each.mean_and_std(X), forest_device.mean_and_std(each, X), strict=True):
            np.testing.assert_allclose(there, here, rtol=0, atol=1e-10)


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
