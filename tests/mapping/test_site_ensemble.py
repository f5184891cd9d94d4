"""The paper's ensemble at sites: which learners it takes, what it says, and that it is asked of left-out sites."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.constants import LAYER_NAMES, LAYERS
from bayes_rootc.errors import InputError
from bayes_rootc.mapping.regressors import ENSEMBLE, LEARNERS
from bayes_rootc.mapping.site_ensemble import HARMONISATION, SitePredictions, fit_ensemble, predict_sites
from bayes_rootc.mapping.tasks import Task

pytestmark = pytest.mark.thorough


def world(n=90, layers=1, seed=0):
    rng = np.random.default_rng(seed)
    x = np.repeat(rng.uniform(size=(n, 4)), layers, axis=0)
    site = np.repeat(np.arange(n).astype(str), layers)
    return x.astype(np.float32), 2 * x[:, 0] - x[:, 1] + 0.2 * rng.normal(size=n * layers), site


def test_the_three_with_the_lowest_error_on_left_out_sites_are_in_it():
    X, y, site = world()
    fitted = fit_ensemble(X, y, site, seed=1, trees=40)
    scores = fitted.scores.set_index("learner")
    assert set(scores.index) == {*LEARNERS, ENSEMBLE} and (scores["n"] == 18).all()
    assert set(scores.index[scores["in_ensemble"]]) == set(scores.loc[list(LEARNERS), "rmse"].nsmallest(3).index)
    assert scores.loc[ENSEMBLE, "rmse"] < 1.2 * scores.loc[list(LEARNERS), "rmse"].min()
    new, truth, _ = world(400, seed=2)
    away = fitted.ensemble.predict(new) - truth
    assert np.sqrt(np.square(away).mean()) < 0.35  # 0.2 is noise


def test_the_model_for_harmonisation_has_seen_every_row():
    X, y, site = world(layers=3)
    scores = fit_ensemble(X, y, site, seed=1, trees=40, everything=True).scores.set_index("learner")
    assert (scores["n"] == 270).all()
    assert scores["in_ensemble"].sum() == 3


def test_too_few_sites_are_refused():
    X, y, site = world(14)
    with pytest.raises(InputError, match="14 sites are too few"):
        fit_ensemble(X, y, site, seed=1)


def test_predictions_come_back_for_the_sites_that_are_asked_for():
    rng = np.random.default_rng(3)
    n, features = 45, ["a", "b"]
    sites = pd.DataFrame({"lat": rng.uniform(-50, 60, n), "lon": rng.uniform(-180, 180, n), "biome": 3})
    sites[features] = rng.uniform(size=(n, 2))

    def task(y, depth=None):
        from bayes_rootc.mapping.learners import design_matrix

        X, names = design_matrix(sites, features, depth)
        label = np.arange(n).astype(str)
        return Task(X, y[:, None], label, np.arange(n), sites, names, 100.0, None)

    depth = np.array(LAYERS, float)[rng.integers(7, size=n)]
    tasks = {
        "iroot": task(sites["a"].to_numpy()),
        "f_bnpp": task(sites["b"].to_numpy() - 1),
        "ibulk": task(sites["a"].to_numpy() - depth.mean(axis=1) / 50 - 4, depth),
    }
    table, scores = predict_sites(tasks, features, pd.concat([sites, sites[:5]]), seed=1, trees=40)
    assert len(table) == n and set(scores["target"]) == {"iroot", "ibulk", "f_bnpp", HARMONISATION}
    predictions = SitePredictions(table)
    some = sites.iloc[[7, 3, 7]]
    root, share, bulk = (getattr(predictions, f"predict_{q}")(some) for q in ("iroot", "f_bnpp", "ibulk"))
    assert root.shape == share.shape == (3, 1) and bulk.shape == (3, 7, 1)
    assert root[0] == root[2] == np.float32(table["iroot"][7]) != root[1]
    assert ((share > 0) & (share < 1)).all() and (bulk > 0).all()
    per_cm = bulk[0, :, 0] / np.diff(np.array(LAYERS, float))[:, 0]
    assert per_cm[0] > 2 * per_cm[-1]
    assert np.corrcoef(np.log(table["iroot"]), sites["a"])[0, 1] > 0.9
    assert np.isnan(predictions.harmonised(pd.DataFrame({"lat": [0.5], "lon": [0.5]}))).all()
    assert [f"harmonised_{layer}" in table for layer in LAYER_NAMES] == [True] * 7
