"""The paper's eq. 9 and 10: worked by hand, and against errors that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bayes_rootc.mapping.bootstrap import _rows, bootstrap_tau, interval, percentile95, scaled_error
from bayes_rootc.mapping.learners import PosteriorForest, TrainingData


def test_tau_by_hand():
    got = scaled_error([4.0, 2.5, 5.0, 6.0], [2.0, 3.0, 5.0, 5.0], [1.0, 1.0, 0.0, 0.0])
    np.testing.assert_allclose(got, [2.0, 0.5, 0.0, np.inf])


def test_tau95_is_the_95th_percentile_and_makes_the_interval():
    assert percentile95(np.arange(101)) == 95
    assert percentile95([1.0, 2.0, np.inf]) == np.inf
    with pytest.raises(ValueError, match="no τ"):
        percentile95([])
    low, high = interval([1.0, 2.0], [0.5, 0.1], 3.0)
    np.testing.assert_allclose([low, high], [[-0.5, 1.7], [2.5, 2.3]])


def test_rows_come_as_often_as_their_profile_and_copies_are_told_apart():
    profile = np.array([0, 0, 1, 2, 2])
    rows, copy = _rows(profile, np.array([0, 2]), np.array([2, 1, 1]))
    assert rows.tolist() == [0, 0, 1, 1, 3, 4]
    assert copy[0] == copy[2] and copy[1] == copy[3] and copy[0] != copy[1] and copy[4] == copy[5]
    assert len(set(copy)) == 3


def test_no_profile_is_on_both_sides_and_a_fifth_is_held_out(monkeypatch):
    rng = np.random.default_rng(0)
    profile = np.repeat(np.arange(60), 3)
    X = np.column_stack([profile, rng.uniform(size=180)]).astype(np.float32)  # each row says whose it is
    sides = []

    class Watched(PosteriorForest):
        def fit(self, X, y, groups=None):
            sides.append([set(X[:, 0].astype(int))])
            return super().fit(X, y, groups)

        def mean_and_std(self, X, *args, **how):
            sides[-1].append(set(X[:, 0].astype(int)))
            return super().mean_and_std(X, *args, **how)

    monkeypatch.setattr("bayes_rootc.mapping.bootstrap.PosteriorForest", Watched)
    data = TrainingData(X, rng.normal(size=(180, 1)), profile, profile)
    bootstrap_tau(PosteriorForest(5), data, bootstraps=6, seed=1)
    assert len(sides) == 6
    for known, held in sides:
        assert not known & held
        assert len(held) == round(0.2 * len(known | held)) and 25 < len(known | held) < 50  # 63 % are drawn


def test_intervals_of_eq_10_cover_what_is_new():
    rng = np.random.default_rng(2)

    def world(n):
        X = rng.uniform(size=(n, 3)).astype(np.float32)
        return X, 2 * X[:, 0] + rng.normal(scale=0.5, size=n)

    X, y = world(300)
    forest = PosteriorForest(60, random_state=3)
    data = TrainingData(X, y[:, None], *[np.arange(300)] * 2)
    tau = np.concatenate(bootstrap_tau(forest, data, bootstraps=12, seed=4))
    new, truth = world(2000)
    low, high = interval(*forest.fit(X, y).mean_and_std(new), percentile95(tau))
    assert 0.92 < ((truth >= low) & (truth <= high)).mean() < 0.99


def test_a_run_that_was_stopped_resumes_with_the_same_numbers(tmp_path, monkeypatch):
    rng = np.random.default_rng(5)
    X, y, profile = rng.normal(size=(80, 2)).astype(np.float32), rng.normal(size=(80, 4)), np.arange(80) // 2
    forest = PosteriorForest(8, random_state=1)
    data = TrainingData(X, y, profile, profile)
    whole = bootstrap_tau(forest, data, bootstraps=4, seed=1)
    bootstrap_tau(forest, data, bootstraps=2, seed=1, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    made = []
    one = PosteriorForest.fit
    monkeypatch.setattr(PosteriorForest, "fit", lambda self, *args: made.append(1) or one(self, *args))
    resumed = bootstrap_tau(forest, data, bootstraps=4, seed=1, folder=tmp_path)
    assert len(made) == 2
    for a, b in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(a, b)
    bootstrap_tau(forest, replace(data, y=y + 1), bootstraps=1, seed=1, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 5  # other data are not taken for these
