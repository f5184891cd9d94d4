"""Data of another user's shape: a dozen sites, three covariates, no satellite production and no gridded stock."""

from __future__ import annotations

import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_rootc.cli import main

pytestmark = pytest.mark.whole_run

SITES = 12
RASTERS = ("bio1", "bio12", "clay", "wwf_biome")


@pytest.fixture(scope="module")
def folder(demo_world, tmp_path_factory) -> Path:
    """The first dozen of everything of the demo world."""
    out = tmp_path_factory.mktemp("own")
    for part in ("covariates", "israd", "npp", "roots"):
        (out / part).mkdir()
    source = demo_world.folder
    entries = (source / "covariates" / "manifest.toml").read_text(encoding="utf-8").split("[[raster]]")[1:]
    kept = [e for e in entries if re.search(r'name = "(\w+)"', e)[1] in RASTERS]
    (out / "covariates" / "manifest.toml").write_text("".join("[[raster]]" + e for e in kept), encoding="utf-8")
    for name in RASTERS:
        shutil.copy(source / "covariates" / f"{name}.tif", out / "covariates")
    (israd,) = (source / "israd").glob("*_layer_*")
    layers = pd.read_csv(israd, low_memory=False)
    profiles = layers["pro_name"].drop_duplicates().iloc[::20][:SITES]
    few = layers[layers["pro_name"].isin(profiles)].drop(columns=[c for c in layers if c.endswith("_SG")])
    few.to_csv(out / "israd" / "ISRaD_extra_flat_layer_own.csv", index=False)
    pd.read_csv(source / "npp" / "npp_peng2023.csv").iloc[:SITES].to_csv(out / "npp" / "npp_peng2023.csv", index=False)
    srdb = pd.read_csv(source / "npp" / "srdb-data.csv")
    srdb[srdb["Site_name"].isin(srdb["Site_name"].unique()[:SITES])].to_csv(out / "npp" / "srdb-data.csv", index=False)
    roots = pd.read_csv(source / "roots" / "root_profiles_D50D95.csv")
    roots.iloc[:: len(roots) // SITES].to_csv(out / "roots" / "root_profiles_D50D95.csv", index=False)
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("sites", "production"), [(5, None), (SITES, 300.0)], ids=["five sites", "equal production"])
def test_data_without_a_signal_go_through_with_a_flat_forest(folder, tmp_path, capsys, sites, production):
    """A forest of five sites cannot split, one of equal values need not: no predictor has an importance."""
    shutil.copytree(folder, tmp_path / "data")
    path = tmp_path / "data" / "npp" / "npp_peng2023.csv"
    npp = pd.read_csv(path).drop_duplicates(["lat", "lon"]).iloc[:sites]
    if production:
        npp = npp.assign(ANPP_2=production, BNPP_1=production, TNPP_1=2 * production)
    npp.to_csv(path, index=False)
    (tmp_path / "data" / "npp" / "srdb-data.csv").unlink()
    lines = ['turnover_prior = "weak"', "quick = true", "resolution = 10", "members = 20", "validation_splits = 2"]
    (tmp_path / "settings.toml").write_text("\n".join([*lines, "chains = 2"]))
    command = ["run", str(tmp_path / "settings.toml"), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert main(command) == 0, capsys.readouterr().err
    assert [str(w.message) for w in warned if not issubclass(w.category, DeprecationWarning | FutureWarning)] == []
    maps = xr.load_dataset(tmp_path / "out" / "maps" / "maps.nc")
    land = maps["iroot_mean"].sel(layer="0-200").notnull()
    assert np.isfinite(maps["iroot_applicability"].where(land).values[land.values]).all()
    if production:
        iroot = maps["iroot_mean"].sel(layer="0-200").values[land.values]
        np.testing.assert_allclose(iroot, 3.0, rtol=1e-3)  # g m⁻² to Mg ha⁻¹


@pytest.mark.filterwarnings("default:covariates are not used:bayes_rootc.errors.InputWarning")  # shown, as to a user
def test_a_dozen_sites_go_through_without_a_change(folder, tmp_path, capsys):
    assert main(["check", "--data", str(folder)]) == 0
    (tmp_path / "few.toml").write_text("chains = 2\nresolution = 5.0\n")
    command = ["run", str(tmp_path / "few.toml"), "--data", str(folder), "--out", str(tmp_path), "--quick"]
    stopped, said = main(command), capsys.readouterr().err
    assert stopped == 0, said
    assert "note: covariates are not used: fewer than 30 profiles" in said
    estimates = pd.read_csv(tmp_path / "tables" / "iloss_estimates.csv")
    assert set(estimates["estimate"]) == {1, 3, 5}  # no satellite production: 2, 4 and 6 have no site
    assert np.isfinite(estimates[["iroot_mean", "ibulk_mean", "iloss_p025", "iloss_p975"]]).all(axis=None)
    layers = pd.read_csv(tmp_path / "tables" / "layers.csv")
    assert layers["age_median"].between(1, 60_000).all()
    stays = pd.read_csv(tmp_path / "tables" / "persistence.csv")
    assert set(stays["family"]) == {"log-normal", "one pool"} and set(stays["estimate"]) == {"3", "mean"}
    fits = pd.read_csv(tmp_path / "tables" / "diagnostics.csv")["fit"]
    assert {"turnover", "turnover, log-normal"} <= set(fits)
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    figures = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert {"sites", "loss", "loss_map", "inputs", "ages", "turnover"} <= figures and "satellite" not in figures
    assert report.count("<img") == len(figures)
    assert (tmp_path / "maps" / "iloss_0-200_mean.tif").exists()
