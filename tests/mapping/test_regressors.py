"""The paper's learners and ensembles: tuned without a look at what they predict, with errors that can be believed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from bayes_rootc.constants import BIOMES
from bayes_rootc.errors import InputError
from bayes_rootc.mapping.learners import TrainingData
from bayes_rootc.mapping.regressors import (
    ENSEMBLE,
    LEARNERS,
    POSTERIOR_FOREST,
    PREDICTIVE_DRAWS,
    QUANTILE_FOREST,
    STACK,
    Fitted,
    Stack,
    fit_all,
    pipeline,
    stacking_weights,
    tune,
)
from bayes_rootc.mapping.validation import (
    classes_table,
    compare_learners,
    folds_of,
    learner_scores,
    learners_table,
    permuted_rmse,
    tau_table,
)

pytestmark = pytest.mark.thorough

TREES = 40


def world(sites: int, seed: int = 0):
    """Three rows a site, a response that bends, one column twice and one that is noise; and its 30 posterior draws."""
    rng = np.random.default_rng(seed)
    site = np.repeat(np.arange(sites), 3)
    a, b, c = rng.standard_normal((3, sites))[:, site]
    X = np.column_stack([a, b, a, c])
    y = 2 * np.maximum(a, 0) + b + 0.5 * rng.standard_normal(len(site))
    return X, y, y[:, None] + 0.3 * rng.standard_normal((len(site), 30)), site.astype(str)


@pytest.fixture(scope="module")
def fitted():
    X, _, draws, site = world(80)
    return fit_all(X, draws, site, seed=1, trees=TREES)


def test_every_learner_predicts_and_says_how_wrong_it_may_be(fitted):
    models, seconds = fitted
    assert set(LEARNERS) < set(models) == set(seconds) and min(seconds.values()) > 0
    X, y, _, _ = world(200, seed=9)
    for name, model in models.items():
        mean, draws = model.predict(X), model.predictive(X)
        assert mean.shape == y.shape and draws.shape == (PREDICTIVE_DRAWS, len(y)), name
        r2 = 1 - np.square(y - mean).sum() / np.square(y - y.mean()).sum()
        assert r2 > 0.3, name  # the forests try one column of four
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        # 240 rows of 80 sites tell the 2.5 % quantiles of their errors to ± 1 % each; the quantile forest takes the
        # rows of a site, which are alike, for independent
        least = 0.8 if name == QUANTILE_FOREST else 0.9
        assert least < ((low <= y) & (y <= high)).mean() < 0.99, name


def test_the_paper_s_ensemble_is_of_the_three_best(fitted):
    models, _ = fitted
    best = sorted((models[name] for name in LEARNERS), key=lambda fit: fit.rmse)[:3]
    assert [m.rmse for m in models[ENSEMBLE].members] == [m.rmse for m in best]
    assert models[ENSEMBLE].combination.rmse < 1.05 * best[0].rmse
    assert models[STACK].weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", LEARNERS)
def test_errors_are_of_sites_left_out(name):
    """Here a site can be told by its columns, and its response by nothing else: nothing can be predicted."""
    rng = np.random.default_rng(2)
    site = np.repeat(np.arange(40), 3)
    X, y = rng.standard_normal((40, 3))[site], rng.standard_normal(40)[site]
    fit = tune(name, X, y, site, seed=0, trees=TREES)
    assert fit.rmse > 0.85 * y.std()
    np.testing.assert_allclose(np.sort(y - fit.held_out), fit.errors)
    assert set(fit.settings) == set(LEARNERS[name].settings)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_same_seed_gives_the_same_learner(name):
    X, y, _, _ = world(40)
    one, two = (pipeline(name, 3, TREES).fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_weights_of_a_stack_are_the_most_probable():
    rng = np.random.default_rng(5)
    y = rng.standard_normal(400)
    held_out = [y + 0.5 * rng.standard_normal(400), y + 0.6 * rng.standard_normal(400), np.zeros(400)]
    fits = tuple(Fitted(None, h, np.sort(y - h), {}, 0.0) for h in held_out)
    weights = stacking_weights(y, fits)
    density = np.stack([norm.pdf(y, f.held_out, f.rmse) for f in fits], axis=1)

    def score(w: np.ndarray) -> float:
        return float(np.log(density @ w).sum())

    assert weights.sum() == pytest.approx(1) and weights[0] > weights[1] > weights[2]
    for other in rng.dirichlet(np.ones(3), 300):
        assert score(other) <= score(weights) + 0.05


def test_a_stack_draws_from_each_as_often_as_its_weight_says():
    class Constant:
        def __init__(self, value):
            self.value = value

        def predict(self, X):
            return np.full(len(X), self.value)

    members = tuple(Fitted(Constant(v), np.zeros(1), np.zeros(9), {}, 0.0) for v in (1.0, 2.0, 3.0))
    drawn = Stack(members, np.array([0.5, 0.3, 0.2])).predictive(np.zeros((2, 1)))
    values, counts = np.unique(drawn[:, 0], return_counts=True)
    assert values.tolist() == [1, 2, 3] and counts.tolist() == [100, 60, 40]
    assert len(Stack(members, np.array([1 / 3, 1 / 3, 1 / 3])).predictive(np.zeros((2, 1)))) == PREDICTIVE_DRAWS


@pytest.mark.parametrize("split", ["site", "spatial"])
def test_folds_hold_every_row_once_and_no_site_or_block_on_both_sides(split):
    rng = np.random.default_rng(6)
    site = np.repeat(np.arange(60), 2)
    block, y = site // 4, rng.lognormal(0, 1, 60)[site]
    seen = []
    for known, held in folds_of(split, y, site, block, folds=5, seed=1):
        labels = block if split == "spatial" else site
        assert not set(labels[known]) & set(labels[held])
        seen.extend(held)
        if split == "site":  # stratified: each fold has its share of high and low responses
            assert abs(np.mean(y[held] > np.median(y)) - 0.5) < 0.2
    assert sorted(seen) == list(range(120))


def test_comparison_has_every_learner_in_both_splits():
    X, _, draws, site = world(60, seed=3)
    block = np.arange(len(site)) // 9
    predictions, costs, importances = compare_learners(
        TrainingData(X, draws, site, block), folds=2, seed=1, trees=TREES
    )
    table = learners_table(predictions, costs)
    assert (table["mib"] > 0).all()
    ratio = importances.groupby(["split", "feature"])["rmse_ratio"].mean()
    assert len(importances) == 2 * 2 * 4 and (ratio.xs(1, level="feature") > 1.1).all()
    assert (ratio.xs(3, level="feature") < 1.05).all()  # noise
    assert len(table) == 2 * 9 and (table["n"] == len(X)).all() and (table["r2"] > 0.25).all()
    rows = pd.DataFrame({"biome": 1 + np.arange(len(X)) % 2, "top": 0.0, "bottom": 10.0})
    classes = classes_table(predictions, rows)
    assert set(classes["group"]) == {"biome", "depth, cm", "area of applicability"}
    area = classes[classes["group"] == "area of applicability"].groupby(["split", "learner"])["n"]
    assert (area.sum() >= len(X) - 1).all() and (area.max() > 0.7 * len(X)).all()  # a class of one has no score
    assert classes.loc[classes["class"] == "0-10", "r2"].tolist() == table["r2"].tolist()
    with pytest.raises(InputError, match="5 sites are too few"):
        compare_learners(TrainingData(X[:15], draws[:15], site[:15], block[:15]), folds=2, seed=1)


def test_scores_are_what_they_are_called():
    rng = np.random.default_rng(7)
    observed = rng.standard_normal(5000)
    mean = observed + 0.5 + 0.3 * rng.standard_normal(5000)
    frame = pd.DataFrame({"observed": observed, "mean": mean, "p025": mean - 0.1, "p975": mean + 0.3, "crps": 0.2})
    found = learner_scores(frame.assign(pit=rng.uniform(size=5000)))
    assert found["bias"] == pytest.approx(0.5, abs=0.02)
    assert found["rmse"] == pytest.approx(np.sqrt(0.25 + 0.09), abs=0.02)
    r = np.corrcoef(observed, mean)[0, 1]
    sx, sy = observed.std(), mean.std()
    lin = 2 * r * sx * sy / (sx**2 + sy**2 + (observed.mean() - mean.mean()) ** 2)  # Lin 1989, eq. 2
    assert found["concordance"] == pytest.approx(lin, rel=1e-9)
    assert found["coverage95"] + found["below95"] + found["above95"] == pytest.approx(1)
    assert found["below95"] > found["above95"]
    missed = np.maximum(mean - 0.1 - observed, 0) + np.maximum(observed - mean - 0.3, 0)
    assert found["interval_score95"] == pytest.approx(0.4 + 40 * missed.mean())


def test_scaling_of_the_spread_is_that_of_its_percentile_with_the_error_of_so_many_sites():
    """Errors are Normal with twice the spread; layers of a site err together, so that sites count, not rows."""
    rng = np.random.default_rng(8)
    site = np.repeat(np.arange(400), 4)
    z = rng.standard_normal(400)[site]
    frame = pd.DataFrame({"observed": 2 * 0.3 * z, "mean": 0.0, "spread": 0.3, "row": np.arange(1600), "inside": True})
    predictions = pd.concat([frame.assign(split=s, learner=POSTERIOR_FOREST) for s in ("site", "spatial")])
    rows = pd.DataFrame({"biome": np.where(site < 200, 1, np.where(site < 396, 2, 3)), "top": 0.0, "bottom": 10.0})
    table = tau_table(predictions, rows, site, seed=1).set_index(["split", "group", "class"])
    whole = table.loc[("site", "all", "all")]
    expected = 2 * norm.ppf(0.975)
    error = 2 * np.sqrt(0.95 * 0.05 / 400) / (2 * norm.pdf(norm.ppf(0.975)))  # of a percentile of 400 values
    assert whole["tau95"] == pytest.approx(expected, abs=4 * error)
    assert (whole["p975"] - whole["p025"]) / (2 * 1.96) == pytest.approx(error, rel=0.5)
    assert whole["p025"] < whole["tau95"] < whole["p975"] and whole["sites"] == 400
    classes = table.loc["spatial"].index.get_level_values("class")
    assert {"inside", "0-10", BIOMES[1], BIOMES[2]} <= set(classes)
    assert not {"outside", BIOMES[3]} & set(classes)  # nothing, and four sites


def test_what_does_not_vary_is_refused_or_has_no_score():
    X = np.random.default_rng(0).standard_normal((60, 3))
    with pytest.raises(
        InputError, match=r"the response is the same in all 60 rows .* 1\.1\): there is nothing to comp"
    ):
        compare_learners(TrainingData(X, np.full((60, 2), 1.1), *[np.arange(60)] * 2), folds=5, seed=1)
    mean = np.full(9, 1.1)
    ends = {"p025": mean - 0.1, "p975": mean + 0.1, "pit": 0.5, "crps": 0.0}
    scores = learner_scores(pd.DataFrame({"observed": mean, "mean": mean} | ends))
    assert np.isnan(scores["r2"]) and np.isnan(scores["concordance"]) and scores["rmse"] == 0
    np.testing.assert_array_equal(permuted_rmse(Constant(), X, np.full(60, 1.1), np.random.default_rng(1)), np.ones(3))


class Constant:
    """Predicts 1.1 everywhere."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.full(len(X), 1.1)
