"""Principal components by group: variances, signs, missing values, and the way to disk and back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.models.components import CLIP_SD, Components

GROUPS = {"soil": ["clay", "sand"], "climate": ["warm", "wet", "dull"]}


@pytest.fixture
def sites() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    clay, warm = rng.normal(20, 5, 300), rng.normal(10, 8, 300)
    return pd.DataFrame({
        "clay": clay,
        "sand": 80 - clay + rng.normal(0, 1, 300),
        "warm": warm,
        "wet": 100 * warm + rng.normal(0, 200, 300),
        "dull": 3.0,
    })  # fmt: skip


def test_each_group_keeps_what_carries_more_than_one_covariate(sites):
    found = Components.fit(sites, GROUPS)
    assert found.names == ("soil 1", "climate 1")
    scores = found.scores(sites)
    np.testing.assert_allclose(scores.std(axis=0, ddof=1), 1, rtol=1e-9)
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-12)
    soil, climate = scores.T
    assert abs(np.corrcoef(soil, sites["clay"])[0, 1]) > 0.95
    assert np.corrcoef(climate, sites["warm"])[0, 1] > 0.95  # the largest loading is positive
    assert (found.loadings[:, found.covariates.index("dull")] == 0).all()  # a constant says nothing


def test_a_covariate_alone_in_its_group_is_always_kept():
    """Its variance is 1 up to rounding, which must not decide."""
    rng = np.random.default_rng(2)
    for _ in range(200):
        rows = int(rng.integers(30, 400))
        table = pd.DataFrame({"clay": rng.normal(rng.uniform(-50, 50), rng.lognormal(0, 2), rows), "dull": 3.0})
        found = Components.fit(table, {"soil": ["clay"], "climate": ["dull"]})
        assert found.names == ("soil 1",)
        np.testing.assert_allclose(found.scores(table).std(ddof=1), 1, rtol=0.05)  # scores are cut at 4 sd


def test_covariates_that_share_nothing_are_all_kept():
    table = pd.DataFrame(np.repeat([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], 10, axis=0), columns=["clay", "warm"])
    assert Components.fit(table, {"both": ["clay", "warm"]}).names == ("both 1", "both 2")


def test_a_site_without_a_covariate_stands_at_the_mean_and_none_far_outside(sites):
    found = Components.fit(sites, GROUPS)
    odd = sites.iloc[:2].assign(clay=[np.nan, 1e6])
    scores = found.scores(odd)
    assert (scores[0] == 0).all()
    assert np.abs(scores[1]).max() == CLIP_SD


def test_few_sites_give_no_components(sites):
    found = Components.fit(sites.iloc[:10], GROUPS)
    assert found.names == () and found.scores(sites).shape == (300, 0)


def test_there_and_back(sites):
    found = Components.fit(sites, GROUPS)
    again = Components.from_dataset(found.to_dataset())
    assert again.names == found.names
    np.testing.assert_array_equal(again.scores(sites), found.scores(sites))
