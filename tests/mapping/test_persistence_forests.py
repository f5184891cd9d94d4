"""Forests that share the trees of another: their leaves, their calibration, and what follows for a profile."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.constants import LAYERS
from bayes_rootc.errors import InputError
from bayes_rootc.mapping.learners import Calibration, FluxModel, PosteriorForest, TrainingData
from bayes_rootc.mapping.persistence_forests import (
    PersistenceForests,
    SharedTrees,
    _of_mean,
    checksum,
    fit_persistence,
    persistence_statistics,
)

ROWS, DRAWS = 600, 40


def world(seed: int) -> tuple[TrainingData, dict[str, np.ndarray]]:
    """Layers whose log age is known but for noise; I_bulk falls as it grows. Draws differ by what is not known."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(ROWS, 4)).astype(np.float32)
    block = np.floor(10 * X[:, 3]).astype(int)
    age = 4 + 2 * X[:, 0] + 0.3 * rng.standard_normal(ROWS)
    draws = age[:, None] + 0.2 * rng.standard_normal((ROWS, DRAWS))
    data = TrainingData(X, 1 - draws, np.arange(ROWS), block)
    return data, {"age": draws, "ibulk_t100": 0.5 - 1.5 * draws}


@pytest.fixture(scope="module")
def fitted():
    data, responses = world(0)
    forest = PosteriorForest(DRAWS, random_state=3).fit(data.X, data.y, data.site)
    return data, responses, FluxModel(forest, Calibration(2.0, 0.0), None)


def test_the_same_response_gives_the_same_forest(fitted):
    data, _, ibulk = fitted
    shared = SharedTrees.of(ibulk.forest, data.X, data.site)
    again = shared.with_leaves(shared.leaves_of(data.y))
    np.testing.assert_allclose(again.trees_.number, ibulk.forest.trees_.number, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(again.predict(data.X), ibulk.forest.predict(data.X), rtol=1e-5)


def test_a_linear_function_of_the_response_is_that_of_its_predictions(fitted):
    """Means in leaves are linear; age is one less the response of the trees, tree by tree."""
    data, responses, ibulk = fitted
    shared = SharedTrees.of(ibulk.forest, data.X, data.site)
    age = shared.with_leaves(shared.leaves_of(responses["age"]))
    np.testing.assert_allclose(age.members(data.X), 1 - ibulk.forest.members(data.X), atol=2e-5)


def test_intervals_cover_new_layers_and_scores_say_what_is_known(fitted):
    """Intervals hold 95 % of 600 new layers; blocks are no harder here than new places, as one process made both."""
    data, responses, ibulk = fitted
    forests, scores = fit_persistence(ibulk, data, responses, splits=5, seed=1)
    new, truth = world(7)
    for name, model in forests.models(ibulk).items():
        mean, sd = model.forest.mean_and_std(new.X)
        drawn = truth[name][np.arange(ROWS), np.random.default_rng(0).integers(DRAWS, size=ROWS)]
        inside = np.abs(drawn - mean) <= model.calibration.tau95 * sd
        assert inside.mean() == pytest.approx(0.95, abs=0.03)
    assert (scores["r2"] > 0.6).all() and (scores["split"] == "spatial").all()
    assert scores["coverage95"].between(0.85, 1.0).all()


def test_what_was_saved_is_read_and_other_forests_are_refused(fitted, tmp_path):
    data, responses, ibulk = fitted
    shared = SharedTrees.of(ibulk.forest, data.X, data.site)
    leaves = {name: shared.leaves_of(y) for name, y in responses.items()}
    forests = PersistenceForests(leaves, dict.fromkeys(leaves, Calibration(2.5, 0.3)), checksum(ibulk.forest.trees_))
    forests.save(tmp_path / "p.npz")
    read = PersistenceForests.load(tmp_path / "p.npz", ["age"])
    np.testing.assert_array_equal(read.leaves["age"], leaves["age"])
    assert read.calibration["age"] == Calibration(2.5, 0.3)
    with pytest.raises(InputError, match="has no transit_time"):
        PersistenceForests.load(tmp_path / "p.npz", ["age", "transit_time"])
    other = PosteriorForest(5, random_state=1).fit(data.X, data.y)
    with pytest.raises(InputError, match="belongs to other forests"):
        read.models(FluxModel(other, Calibration(2.0, 0.0), None))
    (tmp_path / "p.npz").write_bytes(b"text")
    with pytest.raises(InputError, match="not a readable file"):
        PersistenceForests.load(tmp_path / "p.npz", ["age"])


def test_means_of_inputs_are_right_in_biomes_that_the_forest_cannot_see(fitted, tmp_path):
    """Inputs of croplands are e times those of others of the same predictors: so are the factors, up to their prior."""
    data, responses, ibulk = fitted
    crops = np.random.default_rng(2).random(ROWS) < 0.5
    layers = pd.DataFrame({"biome": np.where(crops, 9, 1), "top": 0.0, "bottom": 10.0})
    staying = responses["ibulk_t100"] + crops[:, None]
    every = {"age": responses["age"], "ibulk_t100": staying}
    forests, scores = fit_persistence(ibulk, data, every, splits=5, seed=1, layers=layers)
    assert list(forests.scale) == ["ibulk_t100"]
    factors = forests.scale["ibulk_t100"].log_biome
    assert factors[8] - factors[0] == pytest.approx(1, abs=0.2)
    ratio = scores.set_index("target")["ratio"]
    assert ratio["ibulk_t100"] == pytest.approx(1, abs=0.1) and np.isnan(ratio["age"])
    forests.save(tmp_path / "p.npz")
    assert PersistenceForests.load(tmp_path / "p.npz", ["age", "ibulk_t100"]).scale == forests.scale


def test_a_weighted_sum_of_log_normals_has_the_moments_of_its_members():
    """200,000 members of seven correlated layers: their mean to 1 %, and the spread of its logarithm to 3 %."""
    rng = np.random.default_rng(5)
    mean, sd, weight, correlation = (
        rng.normal(size=(1, 7)),
        rng.uniform(0.2, 0.8, (1, 7)),
        rng.uniform(size=(1, 7)),
        0.4,
    )
    common, own = rng.standard_normal((200_000, 1)), rng.standard_normal((200_000, 7))
    z = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
    total = (weight * np.exp(mean + sd * z)).sum(axis=1)
    m, s = (float(a[0, 0]) for a in _of_mean(mean, sd, weight, correlation))
    assert np.exp(m + s**2 / 2) == pytest.approx(total.mean(), rel=0.01)
    assert s == pytest.approx(np.sqrt(np.log1p(total.var() / total.mean() ** 2)), rel=0.03)


def constant(value: float, features: int) -> FluxModel:
    """A forest that says one value everywhere."""
    X = np.zeros((10, features), np.float32)
    forest = PosteriorForest(3).fit(X, np.full(10, value))
    return FluxModel(forest, Calibration(1.959964, 0.5), None)


def test_a_profile_is_the_mean_over_its_carbon_and_over_what_enters():
    """Layers of one age have a profile of that age; layers of equal input and different stock weigh by their stock."""
    X = np.zeros((4, 3), np.float32)
    models = {
        name: constant(np.log(v), 5) for name, v in (("transit_time", 50.0), ("age", 200.0), ("ibulk_t100", 0.01))
    }
    thickness = np.array([bottom - top for top, bottom in LAYERS])
    found = persistence_statistics(models, np.log(np.full((4, 7), 0.3)), X)
    np.testing.assert_allclose(found["age_mean"], 200, rtol=1e-5)
    np.testing.assert_allclose(found["transit_time_median"], 50, rtol=1e-5)
    np.testing.assert_allclose(found["ibulk_t100_mean"][:, :7], np.broadcast_to(0.01 * thickness, (4, 7)), rtol=1e-5)
    np.testing.assert_allclose(found["ibulk_t100_mean"][:, 7], 2.0, rtol=1e-5)
    assert {key.rpartition("_")[2] for key in found} == {"mean", "median", "p025", "p975"}
    assert all(values.shape == (4, 8) and values.dtype == np.float32 for values in found.values())


def test_no_maps_of_persistence_cost_nothing():
    X = np.zeros((4, 3), np.float32)
    assert persistence_statistics({}, np.zeros((4, 7)), X) == {}
