"""Extended Data Table 1: shares, totals and posteriors of the estimates."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.constants import LAYER_NAMES
from bayes_rootc.estimates import combine, depth_shares, estimate_table, make_estimate, site_table

SITES = pd.DataFrame({"id": ["a", "b", "c"], "lat": 0.0, "lon": 0.0, "biome": [1, 1, 6]})


@pytest.fixture
def estimate():
    rng = np.random.default_rng(1)
    ibulk = rng.lognormal(-3, 0.5, (3, 7, 40))
    total = np.array([[4.0], [2.0], [np.nan]])
    return make_estimate(1, "NPP", SITES, total, depth_shares(ibulk), ibulk)


def test_sites_without_a_total_are_left_out_and_layers_sum_to_it(estimate):
    assert estimate["id"].values.tolist() == ["a", "b"]
    np.testing.assert_allclose(estimate["iroot"].values.sum(axis=1)[:, 0], [4.0, 2.0], rtol=1e-5)


def test_shares_of_bulk_input_make_the_loss_the_same_share_in_every_layer(estimate):
    share = (1 - estimate["ibulk"] / estimate["iroot"]).values
    np.testing.assert_allclose(share, np.broadcast_to(share[:, :1], share.shape), rtol=1e-4)


def test_table_agrees_with_the_draws(estimate):
    table = estimate_table([estimate])
    assert set(table["biome"]) == {0, 1} and len(table) == 2 * (len(LAYER_NAMES) + 1)
    row = table[(table["biome"] == 0) & (table["layer"] == "0-200")].iloc[0]
    root, bulk = (estimate[name].values.sum(axis=1).mean(axis=0) for name in ("iroot", "ibulk"))
    assert row["iloss_mean"] == pytest.approx((root - bulk).mean(), rel=1e-5)
    assert row["share_p975"] == pytest.approx(np.quantile(1 - bulk / root, 0.975), rel=1e-5)
    layers = table[(table["biome"] == 0) & (table["layer"] != "0-200")]
    assert layers["iloss_mean"].sum() == pytest.approx(row["iloss_mean"], rel=1e-4)


def test_combination_averages_the_estimates_and_skips_those_without_the_biome(estimate):
    shifted = make_estimate(
        2, "NPP", SITES, np.array([[6.0], [4.0], [1.0]]), depth_shares(np.ones((3, 7, 40))), np.ones((3, 7, 40))
    )
    assert combine([estimate, shifted], "iroot").mean() == pytest.approx((3 + 11 / 3) / 2)
    assert combine([estimate, shifted], "iroot", biome=6).mean() == pytest.approx(1.0)
    assert combine([estimate], "iroot", biome=9).size == 0
    assert combine([shifted], "ibulk", layer=2).mean() == pytest.approx(1.0)


def test_site_table_has_every_site_estimate_and_layer(estimate):
    table = site_table([estimate])
    assert len(table) == 2 * 8
    profile = table[table["layer"] == "0-200"]
    assert profile["iroot"].tolist() == pytest.approx([4.0, 2.0], rel=1e-5)
    np.testing.assert_allclose(table["iloss"], table["iroot"] - table["ibulk"], rtol=1e-6)


def test_a_layer_without_roots_is_no_warning():
    """As of a shallow root profile, whose deepest share is 0 in single precision."""
    ibulk = np.random.default_rng(2).lognormal(-3, 0.5, (3, 7, 40))
    shares = depth_shares(ibulk)
    shares[:, -1] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = site_table([make_estimate(5, "roots", SITES, np.full((3, 1), 4.0), shares, ibulk)])
    deepest = table["layer"] == LAYER_NAMES[-1]
    assert (table.loc[deepest, "iroot"] == 0).all() and np.isfinite(table.loc[~deepest, "share"]).all()
