"""The whole system on the demo world: every file of the contract, and the truth recovered."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr

from bayes_rootc.cli import main
from bayes_rootc.constants import LAYER_NAMES
from bayes_rootc.data.grid import MapGrid

TABLES = (
    "checks",
    "layers",
    "turnover_population",
    "learners",
    "held_out",
    "iloss_estimates",
    "sites",
    "summary_global",
    "summary_biome",
    "summary_depth",
    "map_totals",
    "root_shares",
    "stock_sources",
    "paper_comparison",
    "diagnostics",
)


def table(folder, name) -> pd.DataFrame:
    return pd.read_csv(folder / "tables" / f"{name}.csv")


def test_every_file_of_the_contract_is_there(quick_run):
    for name in TABLES:
        assert len(table(quick_run, name)) > 0, name
    for flux in ("iroot", "ibulk", "iloss"):
        for layer in (*LAYER_NAMES, "0-200"):
            for statistic in ("mean", "median", "p025", "p975", "uncertainty"):
                with rasterio.open(quick_run / "maps" / f"{flux}_{layer}_{statistic}.tif") as source:
                    assert np.isfinite(source.read(1, masked=True).compressed()).all()
    assert len(list((quick_run / "maps").glob("iloss_probability_*.tif"))) == 8
    assert list((quick_run / "figures").glob("*.png"))
    assert not [p for p in quick_run.rglob(".*")]  # no temporary file is left


def test_run_json_says_what_made_the_numbers(quick_run, quick_settings):
    record = json.loads((quick_run / "run.json").read_text())
    assert record["seed"] == quick_settings.seed and record["simulated"] is True
    assert "report" in record["seconds"] and record["versions"]["numpy"] == np.__version__
    assert len(record["input_sha256"]) > 40


def test_report_says_on_its_face_that_the_data_are_simulated(quick_run):
    assert "SIMULATED" in (quick_run / "report.html").read_text(encoding="utf-8")


def test_layers_table_has_every_usable_layer_and_covers_the_truth(quick_run, demo_world):
    checks = table(quick_run, "checks")
    used = checks[(checks["what"] == "used") & checks["source"].str.contains("covariates at radiocarbon")][
        "rows"
    ].item()
    layers = table(quick_run, "layers")
    assert len(layers) == used
    merged = layers.merge(demo_world.layers[["id", "k", "i_bulk"]], on="id", validate="one_to_one")
    assert len(merged) == len(layers)
    # profiles share an effect, so count independent trials as profiles
    tolerance = 4 * np.sqrt(0.95 * 0.05 / demo_world.layers["profile"].nunique())
    for quantity, truth in {"k": "k", "ibulk": "i_bulk"}.items():
        covered = (merged[f"{quantity}_p025"] <= merged[truth]) & (merged[truth] <= merged[f"{quantity}_p975"])
        assert covered.mean() == pytest.approx(0.95, abs=tolerance), quantity


def test_totals_of_the_map_hold_the_truth(quick_run, demo_world, quick_settings):
    grid = MapGrid(quick_settings.resolution)
    truth = demo_world.truth_maps(grid).sel(layer="0-200")
    with xr.open_dataset(quick_run / "maps" / "maps.nc") as maps:
        mapped = np.isfinite(maps["iloss_mean"].sel(layer="0-200").values) & np.isfinite(truth["iloss_mean"].values)
        r = np.corrcoef(maps["iroot_median"].sel(layer="0-200").values[mapped], truth["iroot_median"].values[mapped])[
            0, 1
        ]
    assert r > 0.8
    totals = table(quick_run, "map_totals").set_index(["biome", "layer"]).loc[(0, "0-200")]
    for flux in ("iroot", "ibulk", "iloss"):
        want = np.average(truth[f"{flux}_mean"].values[mapped], weights=grid.area_ha[mapped])
        assert totals[f"{flux}_mg_ha_p025"] < want < totals[f"{flux}_mg_ha_p975"], flux


def test_estimates_share_the_truth_within_their_posterior(quick_run, demo_world):
    estimates = table(quick_run, "iloss_estimates")
    assert sorted(estimates["estimate"].unique()) == [1, 2, 3, 4, 5, 6]
    profile = estimates[(estimates["biome"] == 0) & (estimates["layer"] == "0-200")]
    layers = (
        estimates[(estimates["biome"] == 0) & (estimates["layer"] != "0-200")].groupby("estimate")["iloss_mean"].sum()
    )
    np.testing.assert_allclose(layers, profile.set_index("estimate")["iloss_mean"], rtol=1e-3)
    assert profile["share_mean"].between(0.6, 0.95).all()


def test_the_same_seed_gives_the_same_tables(quick_run, quick_settings, tmp_path):
    from bayes_rootc.pipeline import run

    run(quick_settings.model_copy(update={"out": tmp_path}), quiet=True)
    for name in TABLES:
        assert (tmp_path / "tables" / f"{name}.csv").read_bytes() == (
            quick_run / "tables" / f"{name}.csv"
        ).read_bytes(), name


@pytest.mark.real_data
def test_check_on_the_real_data(real_data, capsys):
    assert main(["check", "--data", str(real_data)]) == 0
    printed = capsys.readouterr().out
    assert "radiocarbon layers (ISRaD)" in printed and "30,219 read" in printed
    assert "dropped: peatland" in printed


@pytest.mark.real_data
def test_quick_run_on_the_real_data(real_data, tmp_path):
    assert main(["run", "--data", str(real_data), "--out", str(tmp_path), "--quick"]) == 0
    layers = table(tmp_path, "layers")
    assert len(layers) > 4000
    deep = (layers["top"] + layers["bottom"]) / 2 > 100
    assert layers.loc[deep, "age_median"].median() > 3 * layers.loc[~deep, "age_median"].median()
    assert (layers[["k_p025", "age_p025"]] > 0).all(axis=None)
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "SIMULATED" not in report
