"""The manifest of the paper's 54 covariates."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import rasterio

from bayes_rootc.data.covariates import PAPER_COVARIATES, CovariateStack, covariates_for
from bayes_rootc.data.manifest import read_manifest

FIFTY_FOUR = {"soil": 20, "climate": 19, "topography": 13, "biome": 1, "soil order": 1}


def test_they_are_54_in_the_paper_s_groups():
    covariates = [c for c in read_manifest(PAPER_COVARIATES).covariates if c.role == "covariate"]
    counted = Counter(c.group for c in covariates if c.name != "cropland_fraction")  # it makes the biome croplands
    assert counted == FIFTY_FOUR and counted.total() == 54


@pytest.mark.real_data
def test_they_are_made_from_the_public_files(real_data):
    stack = CovariateStack(real_data / "covariates", PAPER_COVARIATES)
    assert {group: len(names) for group, names in stack.groups.items()} == {
        group: FIFTY_FOUR[group] for group in ("climate", "topography", "soil")
    }
    assert len(stack.features) == 52 + 31
    table, report = stack.sample([51.3, -2.9, 44.5, 68.6], [10.4, -60.0, -123.6, -149.6])
    assert table[stack.features].notna().all(axis=None) and report.missing["sand"] == 0
    orders = table[[name for name in stack.features if name.startswith("soil_order_")]].to_numpy()
    np.testing.assert_array_equal(orders.sum(axis=1), 1)
    parts = table[["sand", "silt", "clay"]].sum(axis=1)
    np.testing.assert_allclose(parts, 100, atol=2)  # whole numbers in the table


@pytest.mark.real_data
def test_stocks_of_the_soil_map_are_those_of_the_unit_s_row(real_data):
    """At a place near Kursk whose unit's soil reaches below 2 m."""
    folder, (lat, lon) = real_data / "covariates", (51.72, 36.22)
    with rasterio.open(folder / "hwsd2_units.tif") as units:
        unit = next(units.sample([(lon, lat)]))[0]
    table = pd.read_csv(folder / "hwsd2_layers.csv.gz")
    rows = table[table["HWSD1_SMU_ID"] == unit].sort_values("TOPDEP")
    thickness = rows["BOTDEP"] - rows["TOPDEP"]
    want = rows["ORG_CARBON"] / 100 * rows["BULK"] * (1 - rows["COARSE"] / 100) * thickness * 100
    (stocks,) = CovariateStack(folder, PAPER_COVARIATES).layer_stocks([lat], [lon])
    np.testing.assert_allclose(stocks, want, rtol=1e-5)
    assert CovariateStack(folder).layer_stocks([lat], [lon]) is None


def test_a_folder_without_their_files_has_its_own(demo_world):
    folder = demo_world.folder / "covariates"
    own = CovariateStack(folder)
    assert covariates_for(folder, own.features).manifest == own.manifest
    assert covariates_for(folder, ["cec_soil"]).manifest == own.manifest


@pytest.mark.real_data
def test_a_model_of_the_54_finds_them_again(real_data):
    folder = real_data / "covariates"
    assert covariates_for(folder, ["cec_soil", "soil_order_AC", "heat_load"]).manifest == PAPER_COVARIATES
    assert covariates_for(folder, ["bio1", "soc_stock_hwsd"]).manifest == folder / "manifest.toml"
