"""Stocks as a fitted object: from a table of layers to other layers and a file; and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc import InputError, Stocks
from bayes_rootc.inference.stocks import score_table
from bayes_rootc.models.production import FACTORS
from bayes_rootc.models.stocks import depth_columns, to_stock

STUDIES, PROFILES = 40, 3
BOUNDS = np.array([0.0, 10, 25, 50, 100])
SLOPE, ERROR = 0.5, 0.15


def world(seed: int, stones: float = 0.0) -> pd.DataFrame:
    """Layers whose stock follows a map with a slope of one half; studies and profiles differ; stones are overlooked."""
    rng = np.random.default_rng(seed)
    profile = np.repeat(np.arange(STUDIES * PROFILES), len(BOUNDS) - 1)
    table = pd.DataFrame({"study": profile // PROFILES, "profile": profile})
    table["top"], table["bottom"] = (np.tile(b, STUDIES * PROFILES) for b in (BOUNDS[:-1], BOUNDS[1:]))
    depth = depth_columns(table["top"], table["bottom"])[0][:, 1]
    level, n = rng.standard_normal(STUDIES * PROFILES)[profile], len(table)
    study, of_profile = 0.5 * rng.standard_normal(STUDIES), 0.3 * rng.standard_normal(STUDIES * PROFILES)
    y = -3.3 - 0.6 * depth + SLOPE * level + study[table["study"]] + of_profile[profile] + 0.3 * rng.standard_normal(n)
    thickness = (table["bottom"] - table["top"]).to_numpy()
    table["truth"] = to_stock(y, thickness)
    table["map"] = np.exp(0.3 - 0.6 * depth + level) * thickness
    table["stock"] = table["truth"] * np.exp(ERROR * rng.standard_normal(n)) / (1 - stones)
    table["stock_error"], table["coarse_gridded"] = ERROR, 100 * stones
    return table


@pytest.fixture(scope="module")
def mine() -> pd.DataFrame:
    return world(1)


@pytest.fixture(scope="module")
def fitted(mine) -> Stocks:
    return Stocks(["map"], chains=2, draws=150, seed=3).fit(mine, until_good=False)


@pytest.mark.compiled
def test_the_slope_is_recovered_and_layers_lie_in_their_intervals(fitted, mine):
    slope = fitted.posterior["posterior"]["coefficient"].sel(column="map").values
    assert abs(slope.mean() - SLOPE) < 4 * slope.std() and slope.std() < 0.15
    found = fitted.layers()
    assert sorted(found["row"].values) == list(range(len(mine)))
    low, high = np.quantile(found["stock"], [0.025, 0.975], axis=0)
    truth = mine["truth"].to_numpy()[found["row"]]
    assert 0.92 < ((low < truth) & (truth < high)).mean() < 0.98  # 480 intervals of 95 %: three standard errors
    # what the others say narrows a measurement, whose error is scaled by t
    assert np.log(found["stock"]).std("draw").mean() < ERROR * np.sqrt((FACTORS**2).mean())


@pytest.mark.compiled
def test_means_and_intervals_are_right_in_another_sample_of_the_world(fitted):
    new = world(2)
    found = fitted.predict(new.assign(study=new["study"] + STUDIES), draws=300)
    total = found["stock"].mean("draw").sum().item() / new["truth"].sum()
    # a study's effect has a spread of 0.6 with its profiles': of 40 studies, 0.1, and the fit's own mean as much
    assert total == pytest.approx(1, abs=3 * 0.14)
    low, high = np.quantile(found["reported"], [0.025, 0.975], axis=0)
    assert 0.88 < ((low < new["stock"]) & (new["stock"] < high)).mean() <= 1


@pytest.mark.compiled
def test_a_profile_of_the_fit_is_known_better_than_a_new_one(fitted, mine):
    subsoil = mine[mine["top"] == 50].assign(top=100.0, bottom=150.0, map=np.nan)
    known, new = (
        np.log(fitted.predict(table, draws=300)["stock"]) for table in (subsoil, subsoil.assign(study="another"))
    )
    assert float(known.std("draw").mean()) < 0.8 * float(new.std("draw").mean())


@pytest.mark.compiled
def test_a_saved_fit_predicts_the_same_under_the_index_of_the_table(fitted, mine, tmp_path):
    fitted.save(tmp_path / "stocks.nc")
    loaded, places = Stocks.load(tmp_path / "stocks.nc"), mine.head(7).set_index(pd.Index(list("abcdefg"), name="name"))
    found = loaded.predict(places)
    assert found["layer"].values.tolist() == list("abcdefg") and (found["stock"] > 0).all()
    np.testing.assert_allclose(found["stock"], fitted.predict(places)["stock"])
    np.testing.assert_allclose(loaded.layers()["stock"], fitted.layers()["stock"])
    with pytest.raises(InputError, match="fit again"):
        loaded.held_out(2)


@pytest.mark.compiled
def test_studies_that_are_left_out_are_scored_by_depth(fitted, mine):
    held = fitted.held_out(2)
    assert set(held["fold"]) == {0, 1} and held.groupby("study")["fold"].nunique().eq(1).all()
    table = score_table(held).set_index(["group", "class"])
    assert table.loc[("depth", "0-20 cm"), "layers"] == 2 * STUDIES * PROFILES
    total = held["mean_natural"].sum() / held["observed_natural"].sum()
    assert table.loc[("all", "all"), "ratio"] == pytest.approx(total) and abs(total - 1) < 3 * 0.14
    assert table.loc[("all", "all"), "coverage95"] > 0.88


@pytest.mark.compiled
def test_stones_that_nobody_reported_lower_stocks_and_no_others(mine):
    stony = world(4, stones=0.3)
    reported = stony["study"] % 2 == 0
    table = stony.assign(coarse=np.where(reported, 30.0, np.nan))
    how = {"chains": 2, "draws": 100, "seed": 3}
    found = [Stocks(["map"], stones=s, **how).fit(table, until_good=False).layers() for s in (True, False)]
    with_stones, without = (each["stock"].mean("draw").values for each in found)
    rows = found[0]["row"].values
    change, reported = np.log(with_stones / without), reported.to_numpy()[rows]
    assert change[~reported].mean() < -0.05 and (change[~reported] < change[reported].max()).all()


def test_what_cannot_be_is_refused_by_row(mine):
    for change, text in (
        ({"bottom": 0.0}, "row 3 of the table: bottom is not below top"),
        ({"stock": 0.0}, "row 3 of the table: the stock is not above 0"),
        ({"stock": 5000.0}, "row 3 of the table: the stock is not below 30 Mg ha⁻¹ in a centimetre"),
    ):
        wrong = mine.copy()
        wrong.loc[3, list(change)] = list(change.values())
        with pytest.raises(InputError, match=text):
            Stocks(["map"]).fit(wrong)
    with pytest.raises(InputError, match="9 layers with a stock are too few"):
        Stocks(["map"]).fit(mine.head(9))
    with pytest.raises(InputError, match="0 layers have both a measured stock and one of map"):
        Stocks(["map"]).fit(mine.assign(map=np.nan))
    with pytest.raises(InputError, match="no column stock"):
        Stocks(["map"]).fit(mine.drop(columns="stock"))
    with pytest.raises(InputError, match="expected a list of names"):
        Stocks("map")
    with pytest.raises(InputError, match="has not been fitted"):
        Stocks().predict(mine)
