"""The paper's preset on a demo world: what it does, and numbers that no later default may move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.mapping.model_file import read_learners
from bayes_rootc.mapping.regressors import ENSEMBLE
from bayes_rootc.methods import read_numbers
from bayes_rootc.models.radiocarbon import delta14c
from bayes_rootc.pipeline import STEPS
from bayes_rootc.settings import RunSettings
from bayes_rootc.steps.engine import Run

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def out(demo_world, tmp_path_factory) -> Path:
    """Output folder of the steps up to the six estimates."""
    folder = tmp_path_factory.mktemp("paper")
    settings = RunSettings(
        preset="paper", data=demo_world.folder, out=folder, members=20, validation_splits=2, tau_bootstraps=2
    )
    Run(STEPS, settings, quiet=True).upto("estimates")
    return folder


def table(out: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(out / "tables" / f"{name}.csv")


def test_ages_are_the_reciprocal_of_a_k_that_gives_the_measured_value(out):
    points = table(out, "point_inversion")
    np.testing.assert_allclose(points["age"] * points["k"], 1, rtol=1e-4)
    hit = points["roots"] > 0
    assert hit.mean() > 0.8 and (points["roots"] > 1).any()
    assert (points.loc[hit, "k"] == points.loc[hit, "k_1"]).all()
    assert (points["posterior_age_p025"] < points["posterior_age_p975"]).all()


def test_i_bulk_is_stock_over_age(out):
    layers = table(out, "layers").set_index("id")
    points = table(out, "point_inversion").set_index("id")
    known = layers["stock_median"].notna()
    want = layers.loc[known, "stock_median"] / points["age"].reindex(layers.index[known])
    np.testing.assert_allclose(layers.loc[known, "ibulk_median"], want, rtol=1e-3)
    np.testing.assert_allclose(layers.loc[known, "ibulk_p025"], layers.loc[known, "ibulk_p975"], rtol=1e-3)


def test_tau_of_bootstraps_makes_the_intervals_of_the_maps(out):
    tau = table(out, "tau").set_index("target")
    learners = read_learners(out / "models" / "learners.npz")
    for target in ("iroot", "ibulk", "f_bnpp"):
        assert getattr(learners, target).calibration.tau95 == pytest.approx(tau.loc[target, "tau95_bootstraps"], 1e-4)
    assert (tau["bootstraps"] == 2).all() and not (out / "models" / ".bootstraps").exists()


def test_the_ensemble_predicts_at_sites_and_profiles_are_harmonised(out):
    scores = table(out, "ensemble")
    assert (scores.groupby("target")["in_ensemble"].sum() == 3).all()
    assert (scores["learner"] == ENSEMBLE).sum() == 4
    sites, places = table(out, "sites"), table(out, "ensemble_sites")
    whole = sites[(sites["estimate"] == 3) & (sites["layer"] == "0-200")].merge(places, on=["lat", "lon"])
    np.testing.assert_allclose(whole["iroot_x"], whole["iroot_y"], rtol=1e-3)
    harmonised = whole[[c for c in whole if c.startswith("harmonised_")]].sum(axis=1)
    np.testing.assert_allclose(whole["ibulk"], harmonised, rtol=1e-3)


def test_i_root_is_divided_like_i_bulk_where_no_roots_were_measured(out):
    sites = table(out, "sites").pivot_table(index=["estimate", "id"], columns="layer", values="share")
    by_layer = sites.sub(sites["0-200"], axis=0).abs().groupby("estimate").max().max(axis=1)
    assert by_layer.loc[[1, 2, 3, 4]].max() < 1e-3 < by_layer.loc[[5, 6]].min()


def test_without_a_soil_map_stocks_are_those_of_the_gridded_profile_or_metre(out):
    rules = table(out, "checks").query("source == 'stocks of the soil map'")["rule"]
    assert rules.str.endswith("are those of the gridded profile or metre").any()


def test_letters_are_there_for_all_four_quantities(out):
    letters = table(out, "biome_letters")
    assert set(letters["quantity"]) == {"iroot", "ibulk", "f_bnpp", "iloss"}
    assert letters["letters"].str.fullmatch("[A-Z]+").all()
    assert set(table(out, "iloss_letters")["among"]) == {"estimates", "biomes", "layers"}


def test_numbers_of_the_stored_run(out):
    """They follow from the demo world and the preset alone. A change here is a change of the paper's method."""
    whole = table(out, "iloss_estimates").query("biome == 0 and layer == '0-200'").set_index("estimate")
    stored = {
        "iroot_mean": [2.703, 2.786, 2.489, 2.878, 2.477, 2.826],
        "ibulk_mean": [0.364, 0.364, 0.321, 0.321, 0.337, 0.336],
        "iloss_mean": [2.339, 2.422, 2.167, 2.556, 2.141, 2.490],
    }
    for quantity, values in stored.items():  # learners of another version may differ a little
        np.testing.assert_allclose(whole[quantity], values, rtol=0.02, err_msg=quantity)
    assert table(out, "point_inversion")["age"].median() == pytest.approx(897.77, rel=1e-3)


def test_each_number_of_the_paper_has_one_row(out):
    """Checks the numbers whose tables are written by the steps up to the estimates."""
    numbers = [n for n in read_numbers() if n.table and (out / "tables" / f"{n.table}.csv").is_file()]
    assert len(numbers) > 15
    for number in numbers:
        found = table(out, number.table)
        here = np.logical_and.reduce([found[column] == value for column, value in number.row.items()])
        assert here.sum() == 1, number
        assert np.isfinite(number.ours(found)).all(), number


def test_the_model_passes_through_what_was_measured(out, demo_world):
    points = table(out, "point_inversion").query("roots > 0").head(50)
    predicted = delta14c(points["k"], points["year"], points["zone"].to_numpy(str))
    assert np.abs(predicted - points["delta14c"]).median() < 30  # five zones here, two hemispheres there
