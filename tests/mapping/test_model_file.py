"""Learners as a file: the same predictions from plain arrays, and nothing else is read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bayes_rootc.errors import InputError
from bayes_rootc.mapping.applicability import Applicability
from bayes_rootc.mapping.learners import Calibration, FluxModel, Learners, PosteriorForest
from bayes_rootc.mapping.model_file import read_learners, save_learners
from bayes_rootc.mapping.natural_scale import NaturalScale


@pytest.fixture(scope="module")
def learners() -> Learners:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 4)), rng.standard_normal((300, 5))
    forests = [PosteriorForest(7, min_samples_leaf=leaf, random_state=1).fit(X, y) for leaf in (1, 3, 100)]
    areas = [Applicability.fit(X[: 100 * i], np.ones(4) / i, np.arange(100 * i) % 3) for i in (1, 2, 3)]
    models = [FluxModel(f, Calibration(2.5 + i, 0.3), a) for i, (f, a) in enumerate(zip(forests, areas, strict=True))]
    return Learners(["a", "b"], *models)


def test_what_is_read_predicts_exactly_the_same(learners, tmp_path):
    save_learners(tmp_path / "models" / "learners.npz", learners)
    again = read_learners(tmp_path / "models" / "learners.npz")
    assert again.features == learners.features
    new = np.random.default_rng(2).standard_normal((1000, 4))
    for target in ("iroot", "ibulk", "f_bnpp"):
        before, after = getattr(learners, target), getattr(again, target)
        assert after.calibration == before.calibration
        np.testing.assert_array_equal(after.members(new), before.members(new))
        inside = (model.applicability.inside(new) for model in (before, after))
        np.testing.assert_array_equal(*inside)
        np.testing.assert_array_equal(after.forest.mean_and_std(new), before.forest.mean_and_std(new))


def test_factors_of_means_are_kept(learners, tmp_path):
    scale = NaturalScale(tuple(0.1 * np.arange(9)), (0.0, -0.1, 0.2, 0.0, 0.3), (tuple(0.01 * np.arange(14)),))
    save_learners(tmp_path / "learners.npz", replace(learners, ibulk=replace(learners.ibulk, scale=scale)))
    again = read_learners(tmp_path / "learners.npz")
    assert again.ibulk.scale == scale and again.iroot.scale is None


def test_values_on_a_threshold_go_the_same_way(learners, tmp_path):
    save_learners(tmp_path / "learners.npz", learners)
    again = read_learners(tmp_path / "learners.npz")
    trees = learners.iroot.forest.trees_
    at = trees.number[trees.feature == 0]
    X = np.zeros((len(at), 4))
    X[:, 0] = at
    np.testing.assert_array_equal(again.iroot.members(X), learners.iroot.members(X))


def test_other_files_are_one_line(learners, tmp_path):
    path = tmp_path / "learners.npz"
    with pytest.raises(InputError, match="bayes-rootc train"):
        read_learners(path)
    path.write_bytes(b"not an archive")
    with pytest.raises(InputError, match="not a readable file of learners"):
        read_learners(path)
    np.savez(path, about=np.array([object()], dtype=object))  # a pickle inside: refused
    with pytest.raises(InputError, match="not a readable file of learners"):
        read_learners(path)
    save_learners(path, learners)
    with np.load(path) as arrays:
        changed = {name: a if name != "ibulk_right" else a[::-1] for name, a in arrays.items()}
    np.savez(path, **changed)
    with pytest.raises(InputError, match="not the nodes of trees"):
        read_learners(path)
    save_learners(path, learners)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="not a readable file of learners"):
        read_learners(path)
