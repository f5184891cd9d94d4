"""Production as a fitted object: from tables of records to sites, maps and a file; and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc import InputError, Production
from bayes_rootc.inference import production
from bayes_rootc.inference.production import left_out

SITES, RECORDS = 60, 3


def world(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records of sites that grow more where it is warm, and the truth; g C m⁻² yr⁻¹."""
    rng = np.random.default_rng(seed)
    truth = pd.DataFrame({"lat": rng.uniform(-50, 60, SITES).round(2), "lon": rng.uniform(-120, 150, SITES).round(2)})
    truth["warm"] = rng.standard_normal(SITES)
    truth["biome"] = rng.choice([1, 3], SITES)
    log_npp = np.log(600) + 0.35 * truth["warm"] + 0.2 * rng.standard_normal(SITES)
    f = 1 / (1 + np.exp(0.5 + 0.2 * rng.standard_normal(SITES)))
    truth["npp"], truth["iroot"] = np.exp(log_npp), np.exp(log_npp) * f
    rows = truth.loc[np.repeat(truth.index, RECORDS)].reset_index(drop=True)
    noise = np.exp(0.15 * rng.standard_normal((2, len(rows))))
    rows["bnpp"] = rows["iroot"] * noise[0]
    rows["anpp"] = (rows["npp"] - rows["iroot"]) * noise[1]
    rows["npp"] = np.nan
    rows.loc[rows.index % 5 == 0, "anpp"] = np.nan
    alone = rows.index % 7 == 0
    rows.loc[alone, "npp"] = rows.loc[alone, "bnpp"] + rows.loc[alone, "anpp"].fillna(400.0)
    return rows.drop(columns="iroot").rename_axis("row"), truth


@pytest.fixture(scope="module")
def mine() -> tuple[pd.DataFrame, pd.DataFrame]:
    return world(1)


@pytest.fixture(scope="module")
def fitted(mine) -> Production:
    records, truth = mine
    satellite = truth[["lat", "lon", "warm", "biome"]].assign(
        npp=np.where(truth.index % 10 == 0, 0.0, truth["npp"] * 0.7)
    )
    return Production(["warm"], climate=["warm"], chains=2, draws=150, seed=3).fit(records, satellite, until_good=False)


@pytest.mark.compiled
def test_sites_lie_in_their_intervals_and_roots_are_a_part(fitted, mine):
    found, truth = fitted.sites(), mine[1].sort_values(["lat", "lon"])
    assert (found["iroot"] < found["npp"]).all()
    np.testing.assert_allclose(found["lat"], truth["lat"])
    inside = []
    for name in ("npp", "iroot"):
        low, high = np.quantile(found[name], [0.025, 0.975], axis=0)
        value = truth[name].to_numpy() / 100
        inside.append((low < value) & (value < high))
        assert np.corrcoef(np.log(found[name].mean("draw")), np.log(value))[0, 1] > 0.9
    assert np.mean(inside) > 0.88  # 120 intervals of 95 %: four standard errors below


@pytest.mark.compiled
def test_the_satellite_is_found_to_see_too_little(fitted):
    posterior = fitted.posterior["posterior"]
    bias = posterior["satellite_bias"] + posterior["satellite_biome"][..., 0]
    low, high = np.quantile(bias, [0.01, 0.99])
    assert low < np.log(0.7) < high and high < 0.3
    assert 0.02 < float(posterior["satellite_lost"].mean()) < 0.25  # six of sixty


@pytest.mark.compiled
def test_predictions_have_the_index_and_are_coherent(fitted, mine):
    places = mine[1].set_index(pd.Index([f"p{i}" for i in range(SITES)], name="place"))
    mean, site = fitted.predict(places, of="mean"), fitted.predict(places)
    assert mean["site"].values.tolist() == places.index.tolist() and mean["npp"].dims == ("draw", "site")
    assert (mean["iroot"] < mean["npp"]).all() and (site["iroot"] < site["npp"]).all()
    np.testing.assert_array_equal(mean["npp"], fitted.predict(places, of="mean")["npp"])
    assert float(np.log(site["npp"]).std("draw").mean()) > 1.2 * float(np.log(mean["npp"]).std("draw").mean())


@pytest.mark.compiled
def test_a_saved_fit_predicts_the_same(fitted, mine, tmp_path):
    fitted.save(tmp_path / "production.nc")
    again = Production.load(tmp_path / "production.nc")
    for of in ("mean", "site"):
        np.testing.assert_allclose(again.predict(mine[1], of=of)["iroot"], fitted.predict(mine[1], of=of)["iroot"])
    np.testing.assert_array_equal(again.sites()["npp"], fitted.sites()["npp"])
    with pytest.raises(InputError, match="need the table"):
        again.held_out(2)


@pytest.mark.compiled
def test_checks_hold_out_whole_sites_and_regions(fitted, monkeypatch):
    monkeypatch.setattr(production, "SHORT", 60)
    found = fitted.check(folds=2)
    assert np.isfinite(found["diagnostics"]["elpd_loo"]).all()
    scores = found["held_out"]
    assert len(scores) == SITES and scores["fold"].nunique() == 2
    assert found["held_out_scores"].set_index("class").loc["all", "coverage95"] > 0.8
    by_region = fitted.held_out(2, "region")
    assert by_region.groupby(left_out(by_region, "region"))["fold"].nunique().eq(1).all()


@pytest.mark.compiled
@pytest.mark.slow
def test_calibration(mine):
    """Ranks of true parameters, and of true sites, are uniform in worlds drawn from the prior."""
    records, truth = mine
    few = records[records["lat"].rank(method="dense") <= 25]
    model = Production(["warm"], chains=2, seed=5).fit(few, truth.head(30), until_good=False)
    table = model.check(simulations=100)["calibration"]
    assert (table["p_uniform"] > 0.01 / len(table)).all(), table


@pytest.mark.compiled
@pytest.mark.slow
def test_calibration_resumes_where_it_was(fitted, monkeypatch):
    monkeypatch.setattr(production, "SHORT", 50)
    kept: list[tuple[pd.DataFrame, pd.DataFrame]] = []
    ranks, fits = fitted.calibrate(3, keep=kept.append)
    assert [len(first) for first, _ in kept] == [1, 2, 3] and len(fits) == 3
    again, _ = fitted.calibrate(3, done=kept[1])
    pd.testing.assert_frame_equal(again, ranks)
    assert {"satellite_lost", "bnpp, first site"} <= set(ranks) and ranks.stack().between(0, 1).all()


def test_what_is_left_out_together():
    table = pd.DataFrame(
        {"lat": [10.01, 10.04, 16.0, -1.0], "lon": [5.0, 5.04, 5.0, 5.0], "study": ["a", "b", "a", ""]}
    )
    assert left_out(table, "site").nunique() == 3
    assert left_out(table, "study").tolist() == ["a", "b", "a", "-1.0/5.0"]
    assert left_out(table, "region").tolist() == ["0/0", "0/0", "1/0", "-1/0"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bnpp": None, "anpp": None, "npp": None}, "no column bnpp"),
        ({"bnpp": -3.0}, "row 0 of the table, column bnpp: found -3; expected a number above 0"),
        ({"sampling_depth": 30.0}, "give a fitted RootDepth"),
        ({"warm": None}, "no column for the covariate warm"),
        ({"biome": 11}, "biome"),
    ],
)
def test_impossible_records_are_named(mine, change, says):
    records = mine[0].assign(**change)
    records = records.drop(columns=[name for name, value in change.items() if value is None])
    with pytest.raises(InputError, match=says):
        Production(["warm"]).fit(records)


def test_too_few_sites_and_an_unknown_climate_are_refused(mine):
    with pytest.raises(InputError, match="too few"):
        Production(["warm"]).fit(mine[0].head(6))
    with pytest.raises(InputError, match="climate: rain is none of the covariates"):
        Production(["warm"], climate=["rain"])
    with pytest.raises(InputError, match="has not been fitted"):
        Production().sites()
