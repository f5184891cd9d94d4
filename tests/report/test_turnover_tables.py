"""Tables of the turnover posterior whose values can be told beforehand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_rootc.constants import LAYER_NAMES
from bayes_rootc.report.turnover_tables import harmonisation_score, harmonised_table, history_table, misfit_table


@pytest.fixture
def harmonised() -> pd.DataFrame:
    """Two profiles; the second lacks covariates, so no forest speaks of it."""
    rng = np.random.default_rng(1)
    profiles = pd.DataFrame({"profile": ["a", "b"], "profile_index": [0, 1], "lat": 1.0, "lon": 2.0, "biome": 3})
    standard = rng.lognormal(size=(2, 7, 50))
    measured = standard.copy()
    measured[0, 5:] = np.nan
    learner = np.where(np.arange(2)[:, None, None] == 0, standard, np.nan)
    dims = "profile", "depth", "draw"
    draws = xr.Dataset({"measured": (dims, measured), "standard": (dims, standard)})
    return harmonised_table(profiles, draws, learner)


def test_every_profile_has_its_seven_layers_and_their_source(harmonised):
    assert harmonised["layer"].tolist() == 2 * list(LAYER_NAMES)
    own = harmonised["source"] == "posterior of the profile"
    assert own.tolist() == [False] * 5 + [True] * 2 + [False] * 7
    assert harmonised["learner_median"].notna().tolist() == [True] * 7 + [False] * 7


def test_a_forest_that_is_right_has_an_r2_of_1(harmonised):
    score = harmonisation_score(harmonised)
    assert score["ours"] == pytest.approx(1) and str(score["note"]).startswith("5 standard layers")
    wrong = harmonised.assign(learner_median=harmonised["learner_median"].mean())
    assert harmonisation_score(wrong)["ours"] < 0.01


def test_histories_are_compared_in_years_and_per_volume():
    layers = pd.DataFrame({"profile_index": [0, 1], "top": [0.0, 40.0], "bottom": [10.0, 60.0]})
    age = np.array([[100.0] * 4, [3000.0] * 4])
    density = np.array([[0.02] * 4, [0.001] * 4])  # Mg C ha⁻¹ yr⁻¹ per cm
    table = history_table(layers, {"steady": (age, density), "intcal20": (2 * age, density)})
    median = table.set_index(["prehistory", "quantity", "depth_cm"])["median"]
    assert median["steady", "carbon age", "0-30"] == pytest.approx(100)
    assert median["intcal20", "carbon age", "30-100"] == pytest.approx(6000)
    assert median["steady", "I_bulk density", "0-30"] == pytest.approx(0.2)  # kg C m⁻³ yr⁻¹


def test_every_layer_is_in_one_period_whenever_it_was_sampled():
    year = [1895.0, 1969.9, 1970.0, 2004.5, 2015.0]
    layers = pd.DataFrame({"top": 0.0, "bottom": 5.0, "year": year, "biome": 3, "delta14c": [0.0, 10, 20, 30, 40]})
    table = misfit_table(layers, xr.Dataset({"fitted": (("draw", "layer"), np.zeros((4, 5)))}))
    sampled = table[table["structure"] == "sampled"].set_index("class")["layers"]
    assert sampled.to_dict() == {"before 1970": 2, "1970-1989": 1, "1990-2004": 1, "since 2005": 1}
