"""Fitted objects: from a table under any names to a posterior, predictions with the table's index, and a file."""

from __future__ import annotations

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_rootc import Drivers, InputError, RootDepth, Turnover, delta14c
from bayes_rootc.errors import InputWarning
from bayes_rootc.inference.fitted import say_unused
from bayes_rootc.inference.turnover_fit import draw_layers
from bayes_rootc.models.components import Components
from bayes_rootc.models.root_depth import layer_fractions

pytestmark = pytest.mark.compiled

NAMES = {"delta14c": "d14C", "top": "upper_cm", "bottom": "lower_cm", "lat": "Latitude", "lon": "Longitude"}


def pits(profiles: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Layers of one region without biomes, younger where it is warm; and their true log k."""
    rng = np.random.default_rng(seed)
    pit, top = np.repeat(np.arange(profiles), 4), np.tile([0.0, 15.0, 40.0, 80.0], profiles)
    warm = rng.standard_normal(profiles)[pit]
    log_k = (
        -5.5 - 0.02 * top + 0.5 * warm + 0.4 * rng.standard_normal(profiles)[pit] + 0.2 * rng.standard_normal(len(pit))
    )
    year = 2005.5 + rng.integers(0, 12, profiles)[pit]
    observed = delta14c(np.exp(log_k), year, "NHZone1") + 15 * rng.standard_normal(len(pit))
    table = pd.DataFrame(
        {
            "d14C": observed,
            "upper_cm": top,
            "lower_cm": top + 15,
            "year": year,
            "Latitude": 48.0,
            "Longitude": 9 + 0.01 * pit,
            "profile": pit,
            "warm": warm,
        },
        index=pd.Index([f"layer {i}" for i in range(len(pit))], name="sample"),
    )
    return table, log_k


@pytest.fixture(scope="module")
def mine() -> tuple[pd.DataFrame, np.ndarray]:
    return pits(50, 1)


@pytest.fixture(scope="module")
def turnover(mine) -> Turnover:
    return Turnover(["warm"], columns=NAMES, pool_spread=0.0, chains=2, draws=500, seed=3).fit(mine[0])


def test_a_table_of_ones_own_gives_a_posterior_for_arviz(turnover, mine):
    (row,) = turnover.check()["diagnostics"].to_dict("records")
    assert row["verdict"] == "good" and row["quadrature_error"] < 0.05 and np.isfinite(row["elpd_loo"])
    posterior = turnover.posterior["posterior"].to_dataset()
    assert az.summary(turnover.posterior, var_names=["tau_layer"]).shape[0] == 1
    assert posterior["layer"].values.tolist() == mine[0].index.tolist()
    assert posterior["biome"].values[0] == "all layers"
    truth = {"coefficient": 0.5, "tau_layer": 0.2, "tau_profile": 0.4}
    for name, value in truth.items():
        low, high = posterior[name].quantile([0.0005, 0.9995])
        assert low < value < high, name


def test_predictions_cover_new_layers_and_keep_their_index(turnover):
    table, log_k = pits(40, 2)
    found = turnover.predict(table.drop(columns=["d14C", "profile"]))
    assert found["log_k"].dims == ("draw", "layer") and found["layer"].values.tolist() == table.index.tolist()
    low, high = found["log_k"].quantile([0.025, 0.975], "draw").values
    by_profile = ((low <= log_k) & (log_k <= high)).reshape(-1, 4).mean(axis=1)
    assert by_profile.mean() == pytest.approx(0.95, abs=4 * by_profile.std() / np.sqrt(len(by_profile)) + 0.01)
    np.testing.assert_allclose(found["k"] * found["age"], 1.0)
    assert np.corrcoef(found["delta14c"].mean("draw"), table["d14C"])[0, 1] > 0.7
    known = turnover.predict(table)  # with its own measurements a layer is known better
    assert float((known["log_k"].std("draw") / found["log_k"].std("draw")).mean()) < 0.8


def test_predictions_are_those_of_the_engine(turnover, mine):
    """The layers of the fit again, under the same stream: exact draws of the same conditionals."""
    assert turnover.layers is not None
    again = draw_layers(turnover.hyperparameters, turnover.layers, turnover.atmosphere, seed=9, count=100)
    np.testing.assert_allclose(turnover.predict(mine[0], draws=100, seed=9)["log_k"], again.log_k)


def test_a_fit_of_turnover_is_saved_and_loaded(turnover, mine, tmp_path):
    turnover.save(tmp_path / "turnover.nc")
    again = Turnover.load(tmp_path / "turnover.nc")
    some = mine[0].drop(columns="d14C").head(6)
    xr.testing.assert_allclose(again.predict(some), turnover.predict(some))
    first, second = (t.check()["diagnostics"] for t in (turnover, again))
    pd.testing.assert_frame_equal(first, second, rtol=1e-6)
    with pytest.raises(InputError, match="need the table"):
        again.check(folds=2)


@pytest.mark.parametrize(("kind", "arguments"), [(Turnover, ()), (RootDepth, ()), (Drivers, ("iroot",))])
def test_what_has_not_been_fitted_says_so(kind, arguments, tmp_path):
    made = kind(*arguments)
    assert "not fitted" in repr(made)
    for use in (lambda: made.posterior, lambda: made.check(), lambda: made.save(tmp_path / "x.nc")):
        with pytest.raises(InputError, match="has not been fitted"):
            use()
    with pytest.raises(InputError, match="not found"):
        kind.load(tmp_path / "nothing.nc")


@pytest.fixture(scope="module")
def sites() -> pd.DataFrame:
    """Production at 90 sites of two biomes, whose logarithm rises with warmth by 0.3 and 0.1; in random order."""
    rng = np.random.default_rng(5)
    biome, warm = rng.choice([3, 7], 90), rng.standard_normal(90)
    y = 0.8 + np.where(biome == 3, 0.3, 0.1) * warm + 0.15 * rng.standard_normal(90)
    names = {"biome": np.where(biome == 3, "temperate forests", "Tundra"), "warm": warm, "BNPP": np.exp(y)}
    table = pd.DataFrame(names | {"place": [f"site {i}" for i in range(90)]})
    return table.sample(frac=1, random_state=1)


@pytest.fixture(scope="module")
def drivers(sites) -> Drivers:
    return Drivers("iroot", ["warm"], columns={"iroot": "BNPP", "site": "place"}, chains=2, draws=300).fit(sites)


def test_drivers_predict_each_row_by_its_own_biome(drivers, sites):
    new = pd.DataFrame({"warm": [1.0, -1.0, 1.0, 0.0], "biome": [7, 3, 3, 7]}, index=list("dbca"))
    found = drivers.predict(new)
    assert found["site"].values.tolist() == list("dbca")
    middle = np.log(found["expected"]).median("draw")
    standard = (new["warm"] - sites["warm"].mean()) / sites["warm"].std()  # by hand, from the coefficients
    posterior = drivers.posterior["posterior"].to_dataset().stack(sample=("chain", "draw"))
    for place in "dbca":
        name = {3: "temperate forests", 7: "tundra"}[new.loc[place, "biome"]]
        a, b = (posterior["by_biome"].sel(biome=name, coefficient=c) for c in ("intercept", "covariates 1"))
        expected = drivers.posterior.attrs["centre"] + a + b * standard[place]
        assert float(middle.sel(site=place)) == pytest.approx(float(expected.median()), abs=0.01)
    noise = np.log(found["iroot"] / found["expected"])
    assert float(noise.std()) == pytest.approx(float(np.sqrt((posterior["unit_sd"] ** 2).mean())), rel=0.1)


def test_drivers_are_checked_saved_and_loaded(drivers, sites, tmp_path):
    assert drivers.check()["diagnostics"]["divergences"].item() == 0
    drivers.save(tmp_path / "drivers.nc")
    again = Drivers.load(tmp_path / "drivers.nc")
    xr.testing.assert_allclose(again.predict(sites.head(5)), drivers.predict(sites.head(5)))
    assert again.response == "iroot"


def test_drivers_refuse_what_they_cannot_explain(sites):
    for made, table, said in (
        (Drivers("iroot", ["warm"]), sites, "the table has no column iroot"),
        (Drivers("f_bnpp"), sites.assign(f_bnpp=0.4), "f_bnpp is the same in all 90 rows"),
        (Drivers("f_bnpp"), sites.assign(f_bnpp=1.0), "share of production below ground, between 0 and 1"),
        (Drivers("ibulk"), sites.assign(ibulk=1.0), "the table has no column top"),
    ):
        with pytest.raises(InputError, match=said):
            made.fit(table)
    with pytest.raises(InputError, match="response is npp; expected one of iroot, ibulk, f_bnpp"):
        Drivers("npp")


def test_root_depth_from_a_table(tmp_path):
    rng = np.random.default_rng(6)
    n = 80
    profiles = pd.DataFrame(
        {"lat": rng.uniform(40, 50, n), "lon": rng.uniform(0, 20, n), "dry": rng.standard_normal(n)}
    )
    d50 = 10 ** (1.2 + 0.1 * profiles["dry"] + 0.1 * rng.standard_normal(n))
    profiles = profiles.assign(d50=d50, d95=d50 * 10 ** np.exp(-0.3 + 0.1 * rng.standard_normal(n)))
    roots = RootDepth(["dry"], chains=2, draws=250).fit(profiles)
    new = pd.DataFrame({"lat": 45.0, "lon": 5.0, "dry": [-1.5, 1.5]}, index=["wet", "dry"])
    found = roots.predict(new)
    np.testing.assert_allclose(found["share"].sum("depth"), 1.0)
    np.testing.assert_allclose(found["share"], layer_fractions(found["d50"], found["d95"]))
    middle = np.log10(found["d50"]).median("draw").values
    assert middle[1] - middle[0] == pytest.approx(0.3, abs=0.15)  # 4 standard errors of the slope over the distance
    np.testing.assert_allclose(np.log10(found["d50"]).std("draw"), 0.1, rtol=0.35)
    roots.save(tmp_path / "roots.nc")
    xr.testing.assert_allclose(RootDepth.load(tmp_path / "roots.nc").shares(new), roots.shares(new))
    with pytest.raises(InputError, match="d95 is not below d50"):
        roots.fit(profiles.assign(d95=profiles["d95"].mask(profiles.index == 3, 1.0)))


CHECKED = {"diagnostics", "held_out", "held_out_scores", "folds", "calibration", "ranks"}


def test_drivers_are_checked_on_held_out_sites_and_simulated_worlds(sites):
    quick = Drivers("iroot", ["warm"], columns={"iroot": "BNPP", "site": "place"}, chains=2, tune=100, draws=100)
    found = quick.fit(sites, until_good=False).check(folds=2, simulations=1)
    assert set(found) == CHECKED and len(found["ranks"]) == 1 and len(found["folds"]) == 2
    (every,) = found["held_out_scores"].query("group == 'all'").to_dict("records")
    assert every["records"] == len(sites) and 0.85 < every["coverage95"] <= 1  # 4 standard errors below 0.95


@pytest.mark.slow
def test_turnover_is_checked_on_held_out_profiles_and_simulated_worlds(turnover, mine):
    found = turnover.check(folds=2, simulations=1)
    assert set(found) == CHECKED and len(found["held_out"]) == len(mine[0])
    (every,) = found["held_out_scores"].query("group == 'all'").to_dict("records")
    assert every["coverage95"] == pytest.approx(0.95, abs=max(4 * every["coverage95_se"], 0.05))


def test_covariates_that_too_few_places_have_are_said_not_to_be_used():
    groups, sites = {"climate": ["mat", "map"]}, pd.DataFrame({"mat": np.arange(30.0), "map": np.arange(30.0) % 7})
    say_unused(groups, Components.fit(sites, groups), "sites")
    say_unused({"all": []}, Components.fit(sites[:5], {"all": []}), "sites")
    with pytest.warns(InputWarning, match="not used: fewer than 30 sites of the table have all of mat, map"):
        say_unused(groups, Components.fit(sites[:29], groups), "sites")
