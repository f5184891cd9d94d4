"""Draws as labelled arrays: their summary, and the loss of root carbon."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bayes_rootc import loss, summary
from bayes_rootc.errors import InputError

RNG = np.random.default_rng(4)
ROOT = xr.DataArray(
    np.exp(RNG.normal(0.7, 0.2, (400, 3))),
    dims=("draw", "site"),
    coords={"site": ["a", "b", "c"]},
    attrs={"units": "u"},
)
BULK = xr.DataArray(
    np.exp(RNG.normal(-0.7, 0.4, (2, 4, 100))),
    dims=("site", "depth", "draw"),
    coords={"site": ["c", "a"], "depth": [0, 20, 40, 60]},
)


def test_a_summary_is_that_of_the_draws():
    found = summary(xr.Dataset({"age": ROOT, "other": ("site", [1, 2, 3])}))
    assert set(found) == {f"age_{s}" for s in ("mean", "median", "p025", "p975")}
    np.testing.assert_allclose(found["age_p975"], np.quantile(ROOT, 0.975, axis=0))
    np.testing.assert_allclose(found["age_mean"], ROOT.mean("draw"))
    assert found["age_median"].attrs == {"units": "u"} and found["site"].values.tolist() == ["a", "b", "c"]
    xr.testing.assert_allclose(summary(ROOT.rename("age").chunk({"draw": 50}))["age_p025"].compute(), found["age_p025"])
    with pytest.raises(InputError, match="no variable has the dimension chain; found"):
        summary(ROOT.rename("age"), "chain")


def test_loss_pairs_draws_by_number_and_places_by_label():
    """The longer of the two is thinned evenly; a is the first site of one and the second of the other."""
    found = loss(ROOT, BULK)
    pairs = ROOT.sel(site="a").values[::4, None] - BULK.sel(site="a").transpose("draw", "depth").values
    np.testing.assert_allclose(found["iloss_median"].sel(site="a"), np.median(pairs, axis=0))
    share = pairs / ROOT.sel(site="a").values[::4, None]
    np.testing.assert_allclose(found["share_p025"].sel(site="a"), np.quantile(share, 0.025, axis=0))
    assert set(found["site"].values) == {"a", "c"} and found["iloss_mean"].attrs == {"units": "u"}


def test_what_cannot_be_subtracted_is_refused():
    with pytest.raises(InputError, match="iroot has no dimension draw; found site"):
        loss(ROOT.mean("draw"), BULK)
    with pytest.raises(InputError, match="nothing in common"):
        loss(ROOT.isel(site=[1]), BULK)


def test_nothing_is_said_of_a_share_of_no_roots():
    none = ROOT.where(ROOT["site"] != "b", 0.0)
    assert np.isnan(loss(none, ROOT)["share_median"].sel(site="b"))
    assert loss(none, ROOT)["share_median"].sel(site="a") == 0
