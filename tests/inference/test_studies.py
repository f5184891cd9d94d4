"""Turnover that differs between sites and between studies: simulated worlds whose differences are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_rootc import Turnover, delta14c

pytestmark = pytest.mark.compiled

SDS = {"study_sd": 0.6, "site_sd": 0.5, "tau_profile": 0.3, "tau_layer": 0.25}
STUDIES, SITES, PROFILES = 16, 3, 2


def world(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Layers of studies of three sites with two profiles each, and their log k."""
    rng = np.random.default_rng(seed)
    site = np.arange(STUDIES * SITES).repeat(PROFILES)
    pit, top = np.repeat(np.arange(len(site)), 3), np.tile([0.0, 20.0, 60.0], len(site))
    effect = SDS["study_sd"] * rng.standard_normal(STUDIES)[site // SITES]
    effect += SDS["site_sd"] * rng.standard_normal(STUDIES * SITES)[site]
    effect += SDS["tau_profile"] * rng.standard_normal(len(site))
    log_k = -5.5 - 0.02 * top + effect[pit] + SDS["tau_layer"] * rng.standard_normal(len(pit))
    year = 2000.5 + rng.integers(0, 15, len(site))[pit]
    table = pd.DataFrame(
        {
            "delta14c": delta14c(np.exp(log_k), year, "NHZone1") + 12 * rng.standard_normal(len(pit)),
            "top": top,
            "bottom": top + 15,
            "year": year,
            "lat": 48.0,
            "lon": 9 + 0.01 * pit,
            "study": [f"study {s // SITES}" for s in site[pit]],
            "site": [f"site {s % SITES}" for s in site[pit]],
            "profile": pit,
        }
    )
    return table, log_k


@pytest.fixture(scope="module")
def made() -> tuple[pd.DataFrame, np.ndarray]:
    return world(3)


@pytest.fixture(scope="module")
def fitted(made) -> Turnover:
    return Turnover(pool_spread=0.0, chains=2, draws=300, seed=2).fit(made[0], until_good=False)


def test_how_much_sites_and_studies_differ_is_found(fitted):
    (row,) = fitted.check()["diagnostics"].to_dict("records")
    assert row["quadrature_error"] < 0.05 and row["r_hat_max"] < 1.05
    posterior = fitted.posterior["posterior"].to_dataset()
    for name, value in SDS.items():
        low, high = posterior[name].quantile([0.0005, 0.9995])
        assert low < value < high, name
        assert float(posterior[name].std()) < 0.2, name


def test_a_new_study_is_covered_and_measured_neighbours_tell_of_a_layer(fitted):
    new, truth = world(4)
    nothing = fitted.predict(new.drop(columns=["delta14c", "profile"]))["log_k"]
    low, high = nothing.quantile([0.025, 0.975], "draw").values
    inside = pd.Series((low <= truth) & (truth <= high)).groupby(new["study"]).mean()
    assert inside.mean() == pytest.approx(0.95, abs=4 * inside.std() / np.sqrt(len(inside)) + 0.02)
    whole = np.sqrt(sum(sd**2 for sd in SDS.values()))
    assert float(nothing.std("draw").mean()) == pytest.approx(whole, rel=0.25)

    held = new["profile"] % PROFILES == 1  # the other profile of each site is measured
    told = fitted.predict(new.assign(delta14c=new["delta14c"].mask(held)))["log_k"][:, held.to_numpy()]
    away = (told.mean("draw") - truth[held]).values
    alone = np.sqrt(2 * SDS["tau_profile"] ** 2 + SDS["tau_layer"] ** 2)  # of a site whose profile is known
    assert np.sqrt(np.mean(away**2)) < 1.3 * alone < whole
    assert float(told.std("draw").mean()) == pytest.approx(np.sqrt(np.mean(away**2)), rel=0.3)


def test_a_level_that_a_table_cannot_tell_is_left_out(made):
    some = made[0][made[0]["study"].isin(["study 0", "study 1", "study 2"])]
    found = Turnover(pool_spread=0.0, chains=2, tune=100, draws=50).fit(some, until_good=False)
    assert found.hyperparameters.model.levels == ("site",)


def test_levels_are_saved(fitted, made, tmp_path):
    fitted.save(tmp_path / "turnover.nc")
    again, some = Turnover.load(tmp_path / "turnover.nc"), made[0].head(6)
    xr.testing.assert_allclose(again.predict(some), fitted.predict(some))
