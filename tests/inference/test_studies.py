"""Turnover that differs between studies: simulated worlds, with and without the study in the model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_rootc import Turnover, delta14c

pytestmark = pytest.mark.compiled

STUDY_SD, STUDIES = 0.7, 16


def world(seed: int, first: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Layers of studies of four profiles each, and of one profile each, and their log k."""
    rng = np.random.default_rng(seed)
    study = np.concatenate([np.repeat(np.arange(STUDIES), 4), STUDIES + np.arange(STUDIES)])
    pit, top = np.repeat(np.arange(len(study)), 3), np.tile([0.0, 20.0, 60.0], len(study))
    effect = STUDY_SD * rng.standard_normal(2 * STUDIES)
    log_k = -5.5 - 0.02 * top + effect[study][pit]
    log_k += 0.3 * rng.standard_normal(len(study))[pit] + 0.25 * rng.standard_normal(len(pit))
    year = 2000.5 + rng.integers(0, 15, len(study))[pit]
    table = pd.DataFrame(
        {
            "delta14c": delta14c(np.exp(log_k), year, "NHZone1") + 12 * rng.standard_normal(len(pit)),
            "top": top,
            "bottom": top + 15,
            "year": year,
            "lat": 48.0,
            "lon": 9 + 0.01 * pit,
            "study": [f"study {first + s}" for s in study[pit]],
            "profile": pit,
        }
    )
    return table, log_k


@pytest.fixture(scope="module")
def made() -> tuple[pd.DataFrame, np.ndarray]:
    return world(3)


@pytest.fixture(scope="module")
def fitted(made) -> Turnover:
    return Turnover(by_study=True, chains=2, draws=300, seed=2).fit(made[0], until_good=False)


def test_how_much_studies_differ_is_found(fitted):
    (row,) = fitted.check()["diagnostics"].to_dict("records")
    assert row["quadrature_error"] < 0.05 and row["r_hat_max"] < 1.05
    posterior = fitted.posterior["posterior"].to_dataset()
    assert posterior["study_effect"].sizes["study"] == STUDIES  # those of one profile are part of its effect
    for name, value in {"study_sd": STUDY_SD, "tau_profile": 0.3, "tau_layer": 0.25}.items():
        low, high = posterior[name].quantile([0.0005, 0.9995])
        assert low < value < high, name
    assert float(posterior["study_sd"].std()) < 0.2


def test_a_known_study_tells_of_its_next_profile_and_a_new_one_is_covered(fitted, made):
    place = pd.DataFrame({"top": 20.0, "bottom": 35.0, "year": 2010.5, "lat": 49.0, "lon": [9.0, 9.5]})
    found = fitted.predict(place.assign(study=["study 3", "study 999"]))["log_k"]
    table, log_k = made
    here = (table["study"] == "study 3") & (table["top"] == 20)
    assert abs(float(found.mean("draw")[0]) - log_k[here].mean()) < 4 * np.hypot(0.3, 0.25) / 2
    assert float(found.std("draw")[0]) < 0.75 * float(found.std("draw")[1])
    assert float(found.std("draw")[1]) == pytest.approx(np.sqrt(STUDY_SD**2 + 0.3**2 + 0.25**2), rel=0.35)
    new, truth = world(4, first=100)
    drawn = fitted.predict(new.drop(columns=["delta14c", "profile"]))["log_k"]
    low, high = drawn.quantile([0.025, 0.975], "draw").values
    inside = pd.Series((low <= truth) & (truth <= high)).groupby(new["study"]).mean()
    assert inside.mean() == pytest.approx(0.95, abs=4 * inside.std() / np.sqrt(len(inside)) + 0.02)


def test_studies_are_saved(fitted, made, tmp_path):
    fitted.save(tmp_path / "turnover.nc")
    again, some = Turnover.load(tmp_path / "turnover.nc"), made[0].head(6)
    xr.testing.assert_allclose(again.predict(some), fitted.predict(some))
