"""Turnover with many rates in a layer, in simulated worlds whose spread of rates is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_rootc import Turnover
from bayes_rootc.data.atmosphere import Atmosphere
from bayes_rootc.data.own_tables import layer_table, respired_columns
from bayes_rootc.errors import InputError
from bayes_rootc.inference.turnover_checks import simulate
from bayes_rootc.models.radiocarbon import predicted_table
from bayes_rootc.models.rates import Shape, fine_log_k, fitted_at
from bayes_rootc.models.turnover import TurnoverModel, shape_of

pytestmark = pytest.mark.compiled

TRUTH = {"log_spread": 0.2, "spread_slope": -0.25, "respired_sd": 25.0}
AIR = Atmosphere.packaged()


def world(profiles: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Layers of one region, incubations of every other profile, and the truth of each layer: `log_k`, `spread`, Δ14C of
    bulk (`clean`) and of respired carbon (`respired`).
    """
    rng = np.random.default_rng(seed)
    pit, top = np.repeat(np.arange(profiles), 4), np.tile([0.0, 10.0, 30.0, 70.0], profiles)
    bottom = top + 10
    form = np.log1p((top + bottom) / 20) - np.log(4)
    log_k = -6.0 - 0.9 * form + 0.5 * rng.standard_normal(profiles)[pit] + 0.3 * rng.standard_normal(len(pit))
    spread = np.exp(TRUTH["log_spread"] + TRUTH["spread_slope"] * form)
    year = 1998.5 + rng.integers(0, 20, profiles)[pit]
    fine = fine_log_k()
    air = predicted_table(np.exp(fine), year, np.full(len(year), "NHZone1"), "intcal20", AIR)
    carbon = np.exp(-0.5 * ((fine - log_k[:, None]) / spread[:, None]) ** 2)
    flux = carbon * -np.expm1(-np.exp(fine) * 30 / 365.25)
    clean, respired = ((weight * air).sum(axis=1) / weight.sum(axis=1) for weight in (carbon, flux))
    layers = pd.DataFrame(
        {
            "delta14c": clean + 15 * rng.standard_t(6, len(pit)),
            "sigma": 3.0,
            "top": top,
            "bottom": bottom,
            "year": year,
            "lat": 48.0,
            "lon": 9 + 0.01 * pit,
            "profile": pit,
        },
        index=pd.Index([f"layer {i}" for i in range(len(pit))], name="sample"),
    )
    noise = TRUTH["respired_sd"] * rng.standard_t(6, len(pit))
    incubations = pd.DataFrame(
        {"layer": layers.index, "delta14c": respired + noise, "sigma": 3.0, "length": 30.0}
    ).iloc[pit % 2 == 0]
    truth = pd.DataFrame({"log_k": log_k, "spread": spread, "clean": clean, "respired": respired}, index=layers.index)
    return layers, incubations, truth


@pytest.fixture(scope="module")
def made() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    return world(60, 1)


@pytest.fixture(scope="module")
def fitted(made) -> Turnover:
    return Turnover(chains=2, draws=400, seed=4).fit(made[0], made[1], until_good=False)


def test_the_spread_of_rates_is_found(fitted):
    (row,) = fitted.check()["diagnostics"].to_dict("records")
    assert row["quadrature_error"] < 0.05 and row["r_hat_max"] < 1.05
    posterior = fitted.posterior["posterior"].to_dataset()
    for name, value in TRUTH.items():
        low, high = posterior[name].quantile([0.0005, 0.9995])
        assert low < value < high, name
    assert float(posterior["log_spread"].std()) < 0.25  # half of the prior's: incubations tell it


def test_layers_that_were_not_seen_are_covered(fitted):
    layers, _, truth = world(50, 2)
    found = fitted.predict(layers.drop(columns=["delta14c", "sigma", "profile"]))
    for name, of_truth in {"log_k": "log_k", "respired": "respired", "spread": "spread"}.items():
        low, high = found[name].quantile([0.025, 0.975], "draw").values
        inside = ((low <= truth[of_truth]) & (truth[of_truth] <= high)).to_numpy().reshape(-1, 4).mean(axis=1)
        if name != "spread":  # which is one curve: all layers are covered, or none
            assert inside.mean() == pytest.approx(0.95, abs=4 * inside.std() / np.sqrt(len(inside)) + 0.02), name
    xr.testing.assert_allclose(found["persisting"].sel(time=0, drop=True), found["k"])
    assert (found["persisting"].diff("time") < 0).all() and (found["age"] > found["transit_time"]).all()


def test_it_is_saved_and_loaded(fitted, made, tmp_path):
    fitted.save(tmp_path / "turnover.nc")
    again, some = Turnover.load(tmp_path / "turnover.nc"), made[0].head(6)
    xr.testing.assert_allclose(again.predict(some), fitted.predict(some))


def test_incubations_need_a_spread_and_a_layer(made):
    layers, incubations, _ = made
    with pytest.raises(InputError, match='set pool_spread="inferred"'):
        Turnover(pool_spread=1.0).fit(layers, incubations)
    with pytest.raises(InputError, match="layer 999 is no layer"):
        Turnover().fit(layers, incubations.assign(layer="layer 999"))


def parted_world(profiles: int, seed: int, *, light_share: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Layers of a world, and the same as the model takes them: some incubated, every second one parted by density."""
    layers, incubations, _ = world(profiles, seed)
    own = layer_table(layers, None, [], measured=True)
    own = own.join(respired_columns(incubations, layers.index, own["year"]))
    parted = np.arange(len(own)) % 2 == 0
    own["light_less_heavy"], own["light_less_heavy_sigma"] = np.where(parted, 0.0, np.nan), 4.0
    own["light_share"] = np.where(parted, light_share, np.nan)
    return layers, own


@pytest.mark.parametrize("family", ["log-normal", "two pools"])
def test_what_is_measured_is_simulated_about_its_mean(family):
    """By its misfit, in worlds whose hyperparameters are drawn from their prior."""
    _, own = parted_world(10, 3, light_share=0.3)
    model = TurnoverModel(pool_spread="inferred", error="normal", family=family)
    data, found = model.many_rates(own, AIR), {"respired": [], "parts": []}
    for seed in range(15):
        truth, log_k, simulated = simulate(own, AIR, model, seed=seed)
        place = (log_k - model.log_k[0]) / (model.log_k[1] - model.log_k[0])
        drawn = shape_of(data.spread_design, {name: v[0, 0] for name, v in truth.items()})
        shape = Shape(*(None if v is None else np.asarray(v, float) for v in drawn))
        for kind, column in (("respired", "respired"), ("parts", "light_less_heavy")):
            assert (simulated[column].notna() == own[column].notna()).all() and np.isfinite(log_k).all()
            here = getattr(data, kind)
            clean = fitted_at(data.rates, kind, here.row, shape.of(here.layer), place[here.layer])
            away = simulated[column].to_numpy()[here.layer] - clean
            found[kind].append(np.mean(away**2 / (truth[f"{kind}_sd"][0, 0] ** 2 + here.known_variance)))
    for kind, squares in found.items():
        n = 15 * len(getattr(data, kind).layer)
        assert np.mean(squares) == pytest.approx(1, abs=4 * np.sqrt(2 / n) + 0.02), kind


def test_light_and_heavy_carbon_tell_the_two_pools():
    """A world of two pools, whose light carbon is richer in the fast one, is found by the family of two pools."""
    layers, own = parted_world(50, 6, light_share=0.2)
    model = TurnoverModel(pool_spread="inferred", error="normal", family="two pools")
    truth, _, simulated = simulate(own, AIR, model, seed=8)
    table = layers.assign(delta14c=simulated["delta14c"].to_numpy())
    incubated, parts = simulated["respired"].notna().to_numpy(), simulated["light_less_heavy"].notna().to_numpy()
    fractions = pd.DataFrame({"layer": layers.index[parts], "heavy": 0.0, "light_share": 0.2}).assign(
        light=simulated["light_less_heavy"].to_numpy()[parts], light_sigma=4.0, heavy_sigma=0.0
    )
    again = pd.DataFrame({"layer": layers.index[incubated], "sigma": 3.0, "length": 30.0}).assign(
        delta14c=simulated["respired"].to_numpy()[incubated]
    )
    fit = Turnover(error="normal", family="two pools", chains=2, draws=300, seed=4)
    posterior = fit.fit(table, again, fractions, until_good=False).posterior["posterior"].to_dataset()
    for name in ("log_spread", "spread_slope", "logit_fast", "fast_slope", "logit_link", "parts_sd", "respired_sd"):
        low, high = posterior[name].quantile([0.0005, 0.9995])
        assert low < truth[name][0, 0] < high, name
    found = fit.predict(table.head(4))
    assert ((found["fast"] > 0) & (found["fast"] < 1)).all() and (found["persisting"].diff("time") < 0).all()
