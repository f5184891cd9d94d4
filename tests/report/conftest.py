"""A finished output folder that is made up: three biomes, nine sites a data set, a coarse world."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from rasterio.transform import from_origin

from bayes_rootc.constants import BIOMES, LAYER_NAMES, MAP_FOREST, PROFILE_NAME
from bayes_rootc.data.covariates import CovariateStack
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.mapping.regressors import ENSEMBLE, LEARNERS, POSTERIOR_FOREST, QUANTILE_FOREST
from bayes_rootc.report.datapackage import describe_tables
from bayes_rootc.report.html import write_report
from bayes_rootc.report.regression_tables import R_SQUARED

LEARNED = (*LEARNERS, ENSEMBLE, POSTERIOR_FOREST, QUANTILE_FOREST)
HOSTILE = "<script>alert(1)</script>"
LAYERS = [*LAYER_NAMES, PROFILE_NAME]
SHARES = np.array([0.6, 0.2, 0.08, 0.05, 0.03, 0.025, 0.015])
DEPTH = np.r_[SHARES, 1.0]
SITES = {1: "NPP", 2: "NPP", 3: "Δ14C", 4: "Δ14C", 5: "roots", 6: "roots"}
FLUXES = {"iroot": 3.0, "ibulk": 0.8, "iloss": 2.2}
SUMMARY = ("mean", "median", "p025", "p975")


def spread(name: str, value: float) -> dict[str, float]:
    """Columns of a posterior about a value."""
    return dict(zip((f"{name}{key}" for key in SUMMARY), value * np.array([1.02, 1.0, 0.8, 1.3]), strict=True))


@pytest.fixture(scope="session")
def land(tmp_path_factory) -> CovariateStack:
    """Two continents, one of which goes on across 180°."""
    folder = tmp_path_factory.mktemp("data") / "covariates"
    folder.mkdir()
    biome = np.zeros((36, 72), np.uint8)
    biome[4:28, 20:44] = 3
    biome[8:20, :6] = biome[8:20, -8:] = 6
    with rasterio.open(
        folder / "biome.tif",
        "w",
        driver="GTiff",
        width=72,
        height=36,
        count=1,
        dtype="uint8",
        crs="EPSG:4326",
        transform=from_origin(-180, 90, 5, 5),
        nodata=0,
    ) as raster:
        raster.write(biome, 1)
    entry = {"name": "wwf_biome", "path": "biome.tif", "role": "covariate", "group": "biome", "unit": "class"}
    lines = "\n".join(f'{key} = "{value}"' for key, value in entry.items())
    (folder / "manifest.toml").write_text(f"[[raster]]\n{lines}\n", encoding="utf-8")
    return CovariateStack(folder)


@pytest.fixture
def finished(tmp_path) -> Path:
    """The folder; every test has its own, to spoil as it likes."""
    return finish(tmp_path / "out")


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory) -> Path:
    """The folder, for tests that only read it."""
    return finish(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def reported(land, tmp_path_factory) -> Path:
    """Such a folder with figures and report."""
    out = finish(tmp_path_factory.mktemp("reported"))
    write_report(out, land.folder.parent)
    return out


def finish(out: Path) -> Path:
    """Writes all that a run leaves."""
    write_tables(out / "tables")
    describe_tables(out / "tables")
    write_turnover(out)
    write_maps(out / "maps")
    run = {
        "settings": {
            "data": None,
            "out": "out",
            "seed": 3,
            "quick": True,
            "prehistory": "steady",
            "turnover_prior": "hierarchical",
            "turnover_error": "student",
            "model_sd": 20.0,
            "members": 20,
        },
        "seed": 3,
        "simulated": False,
        "atmosphere": "packaged",
        "versions": {"bayes-rootc": "1.2.3", "numpy": "4"},
        "input_sha256": {"npp/a.csv": "00ff"},
        "seconds": {"check": 1.0, "maps": 61.5},
        "peak_memory_gib": 1.25,
    }
    (out / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return out


def write_tables(folder: Path) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)

    def write(name: str, table: pd.DataFrame) -> None:
        table.to_csv(folder / f"{name}.csv", index=False)

    write("layers", radiocarbon_layers())
    sites, estimates = [], []
    for number, kind in SITES.items():
        for j, layer in enumerate(LAYERS):
            size = rng.lognormal(0, 0.4, 9)
            place = {"estimate": number, "sites": kind, "id": [f"{kind}-{i}" for i in range(9)]}
            where = {"lat": rng.uniform(-30, 60, 9), "lon": rng.uniform(-70, 30, 9), "biome": [1, 3, 6] * 3}
            fluxes = {flux: value * DEPTH[j] * size for flux, value in FLUXES.items()}
            sites.append(pd.DataFrame(place | where | {"layer": layer} | fluxes))
            for biome in (0, 1, 3, 6):
                row = {"estimate": number, "sites": kind, "biome": biome, "layer": layer, "n": 9}
                row["biome_name"] = BIOMES.get(biome, "global")
                for flux, value in FLUXES.items():
                    row |= spread(f"{flux}_", value * DEPTH[j])
                estimates.append(row | spread("share_", 0.7))
    write("sites", pd.concat(sites))
    produced = {"id": list("abcdef"), "lat": 0.0, "lon": 0.0, "biome": [1, 1, 3, 3, 6, 6]}
    measured = {"npp": [5.0, 7, 4, np.nan, 2, 3], "satellite_npp": [6.0, 6, 5, 4, 1, 2]}
    write("npp_sites", pd.DataFrame(produced | measured))
    compared = [("estimates", str(number)) for number in SITES] + [("layers", name) for name in LAYER_NAMES]
    letters = [{"among": a, "name": n, "letters": "ab"} | spread("iloss_", 2.2) for a, n in compared]
    write("iloss_letters", pd.DataFrame(letters))
    above = {f"probability_above_{limit}": 0.5 for limit in (1, 2, 4)}
    factors = [
        {"group": g, "name": n} | spread("factor_", 4.2) | above for g, n in (("all", "global"), ("layer", "0-20"))
    ]
    write("turnover_factor", pd.DataFrame(factors))
    write("iloss_estimates", pd.DataFrame(estimates))
    write("root_shares", pd.DataFrame([
        {"biome": b, "biome_name": name, "layer": layer} | spread("share_", share)
        for b, name in BIOMES.items()
        for layer, share in zip(LAYER_NAMES, SHARES, strict=True)
    ]))  # fmt: skip
    held = [
        pd.DataFrame({"target": t, "split": s, "fold": 0, "row": range(40), "mean": x, "observed": x + 0.1, "sd": 0.3})
        for t in ("iroot", "ibulk", "f_bnpp")
        for s in ("site", "spatial")
        for x in [rng.normal(0, 1, 40)]
    ]
    write("held_out", pd.concat(held))
    scores = {"r2": 0.5, "rmse": 0.4, "bias": 0.0, "crps": 0.2, "coverage95": 0.95, "tau95": 2.0, "n": 40}
    scores |= {"concordance": 0.7}
    write("learners", pd.DataFrame([
        {"target": t, "learner": learner, "split": s} | scores
        for t in ("iroot", "ibulk", "f_bnpp")
        for learner in (MAP_FOREST, *LEARNED)
        for s in ("site", "spatial")
    ]))  # fmt: skip
    learned = [
        part.assign(learner=learner, pit=rng.uniform(0, 1, len(part)), id="a", lat=1.0, lon=2.0)
        for part in held
        for learner in LEARNED
    ]
    write("learners_held_out", pd.concat(learned))
    ratios = [{"target": t, "split": s, "fold": f, "feature": x} for t, s, f, x in product(
        ("iroot", "ibulk", "f_bnpp"), ("site", "spatial"), (0, 1), ("soil_clay", "mat")
    )]  # fmt: skip
    write("learners_importance", pd.DataFrame(ratios).assign(rmse_ratio=1 + rng.uniform(0, 0.5, len(ratios))))
    distances = {"distance_km": [10.0, 100, 1000], "semivariance": 0.3, "fitted": 0.28, "block_km": 300.0}
    write("variograms", pd.concat([pd.DataFrame(distances | {"target": t}) for t in ("iroot", "ibulk", "f_bnpp")]))
    write_summaries(write)
    checks = [("read", "", 100), ("dropped", "no Δ14C", 60), ("remark", f"odd {HOSTILE}", 2), ("used", "", 40)]
    write("checks", pd.DataFrame([
        {"source": "radiocarbon", "file": "/somewhere/else/israd.csv", "what": what, "rule": rule, "rows": n}
        for what, rule, n in checks
    ]))  # fmt: skip


def write_summaries(write) -> None:
    of_mean = {"unit": "Mg C ha-1 yr-1", "n": 6, "interval": "95 % of the posterior of the mean"}
    rows = [{"quantity": "age 0-30 cm", "where": "Δ14C profiles"} | of_mean | spread("", 900.0) | {"unit": "yr"}]
    rows += [{"quantity": "ibulk", "where": "sites"} | of_mean | spread("", 0.8) | {"interval": "95 % of the sites"}]
    biomes, totals, depths = [], [], []
    for flux, value in FLUXES.items():
        for where in ("NPP sites, observed", "mean of the six estimates", "map, per area", "map, total"):
            rows.append({"quantity": flux, "where": where} | of_mean | spread("", value))
        for b in (1, 3, 6):
            for where in ("mean of 6 estimates", "map, per area"):
                row = {"biome": b, "biome_name": BIOMES[b], "quantity": flux, "where": where}
                biomes.append(row | of_mean | spread("", value))
        depths.append({"layer": "0-20", "quantity": flux, "where": "map, per area"} | of_mean | spread("", value))
    for where in ("mean of the six estimates", "map"):
        rows.append({"quantity": "share", "where": where} | of_mean | spread("", 0.7) | {"unit": "1"})
    totals.append({"biome": 0, "biome_name": "global", "layer": PROFILE_NAME} | spread("share_", 0.7))
    write("summary_global", pd.DataFrame(rows))
    write("summary_biome", pd.DataFrame(biomes))
    write("summary_depth", pd.DataFrame(depths))
    write("map_totals", pd.DataFrame(totals))
    paper = {"paper": 0.779, "paper_low": 0.653, "paper_high": 0.909, "paper_interval": "range of the six estimates"}
    ours = {"ours": 0.7, "ours_low": 0.6, "ours_high": 0.8, "ours_interval": "range of the six estimates", "note": "x"}
    age = {"quantity": "carbon age, 30-100 cm", "unit": "yr", "paper": 3869, "ours": 3300, "note": ""}
    write("paper_comparison", pd.DataFrame([{"quantity": "I_loss / I_root", "unit": "1"} | paper | ours, age]))
    fit = {"fit": "root_depth", "r_hat_max": 1.001, "ess_bulk_min": 1200, "ess_tail_min": 1500, "divergences": 0}
    write("diagnostics", pd.DataFrame([fit | {"e_bfmi_min": 0.9, "verdict": "good"}]))
    write("stock_sources", pd.DataFrame([{"name": "gridded", "layers": 5, "compared": 9, "log_bias": 0, "log_sd": 1}]))
    rows = {
        "tau_profile": 0.8,
        "profile_skew": -0.3,
        "tau_layer": 0.4,
        "model_sd": 20.0,
        "nu": 3.0,
        "coefficient[soil 1]": 0.2,
    }
    write("turnover_population", pd.DataFrame([
        {"parameter": name, "meaning": "meaning", "unit": "1"} | spread("", value)
        for name, value in rows.items()
    ]))  # fmt: skip
    scored = {"layers": 30, "profiles": 9, "coverage95": 0.95, "coverage95_se": 0.01, "coverage50": 0.5, "crps": 40.0}
    classes = [("all", "all"), ("depth, cm", "0-10"), ("biome", BIOMES[3])]
    for name in ("turnover_ppc", "turnover_cv"):
        write(name, pd.DataFrame([{"group": g, "class": c} | scored for g, c in classes]))
    write_regressions(write)
    rng = np.random.default_rng(4)
    write("turnover_sbc_ranks", pd.DataFrame({name: rng.uniform(0, 1, 30) for name in ("tau_profile", "nu")}))
    both = ("steady", "intcal20"), ("0-30", "30-100"), ("carbon age", "I_bulk density")
    write("turnover_prehistory", pd.DataFrame([
        {"prehistory": h, "depth_cm": d, "quantity": q} | spread("", 900.0) for h, d, q in product(*both)
    ]))  # fmt: skip
    write("turnover_held_out", pd.DataFrame({"pit": np.linspace(0.01, 0.99, 30)}))
    write("turnover_misfit", pd.DataFrame([{"structure": "all", "class": "all", "layers": 30, "misfit_median": 13.0}]))
    write("ibulk_profiles", pd.DataFrame([{"profile": "a", "layer": LAYERS[0], "ibulk_median": 0.3}]))
    write("turnover_ages", pd.DataFrame([
        {"biome": b, "biome_name": name, "depth_cm": d} | spread("age_", 20.0 * d)
        for b, name in BIOMES.items()
        for d in (5, 50, 150)
    ]))  # fmt: skip


def write_regressions(write) -> None:
    for name in ("drivers_iroot", "drivers_ibulk", "allocation"):
        write(name, pd.DataFrame([
            {"coefficient": c, "group": c.split()[0], "biome": b, "records": 9} | spread("", 0.3)
            for c in ("intercept", "soil 1", "climate 1")
            for b in ("all", *BIOMES.values())
        ]))  # fmt: skip
        write(f"{name}_summary", pd.DataFrame([{"quantity": R_SQUARED} | spread("", 0.5)]))
    write("root_depth", pd.DataFrame([{"quantity": "D50", "where": BIOMES[1], "unit": "cm"} | spread("", 15.0)]))
    write("allocation_biome", pd.DataFrame([{"biome": "all"} | spread("", 0.4)]))


def radiocarbon_layers() -> pd.DataFrame:
    """Thirty layers, two of which have two ages; the name of one is hostile."""
    rng = np.random.default_rng(2)
    n = 30
    top = rng.choice([0, 5, 40, 110], n)
    age = 100.0 + 20 * top
    table = pd.DataFrame({
        "id": [HOSTILE, *(f"layer-{i}" for i in range(1, n))],
        "lat": rng.uniform(-30, 60, n),
        "lon": rng.uniform(-70, 30, n),
        "biome": rng.choice([1, 3, 6], n),
        "top": top,
        "bottom": top + 10,
        "year": rng.uniform(1990, 2015, n),
        "zone": "NHZone2",
        "delta14c": 100.0 - 3.0 * top,
        "sigma": 5.0,
        "age_median": age,
        "stock_source": "measured",
        "n_modes": np.r_[2, 2, np.ones(n - 2, int)],
        "mode1_age": age,
        "mode1_probability": np.r_[0.7, 0.9, np.ones(n - 2)],
        "mode2_age": np.r_[8.0, 9.0, np.full(n - 2, np.nan)],
        "mode2_probability": np.r_[0.3, 0.1, np.zeros(n - 2)],
        "model_sd": 20.0,
        "unexplained": False,
    })  # fmt: skip
    return table


def write_turnover(out: Path) -> None:
    layers, rng = radiocarbon_layers(), np.random.default_rng(3)
    coords, dims = {"layer": layers["id"].to_numpy(str)}, ("chain", "draw", "layer")
    log_k = -np.log(layers["age_median"].to_numpy()) + 0.3 * rng.standard_normal((1, 50, len(layers)))
    replicated = layers["delta14c"].to_numpy() + 20 * rng.standard_normal((1, 50, len(layers)))
    known = {c: ("layer", layers[c].to_numpy()) for c in ("top", "bottom", "year")}
    spreads = {name: (dims[:2], rng.lognormal(0, 0.1, (1, 50))) for name in ("biome_sd", "tau_layer", "model_sd", "nu")}
    tree = xr.DataTree.from_dict({
        "posterior": xr.Dataset(spreads | {"log_k": (dims, log_k)}, coords),
        "prior": xr.Dataset(spreads),
        "prior_predictive": xr.Dataset({"delta14c": (dims, 3 * replicated)}, coords),
        "posterior_predictive": xr.Dataset({"delta14c": (dims, replicated)}, coords),
        "observed_data": xr.Dataset({"delta14c": ("layer", layers["delta14c"].to_numpy())}, coords),
        "constant_data": xr.Dataset(known, coords),
    })  # fmt: skip
    (out / "posterior").mkdir()
    tree.to_netcdf(out / "posterior" / "turnover.nc", engine="h5netcdf")


def write_maps(folder: Path) -> None:
    grid = MapGrid(5.0)
    maps = xr.Dataset(coords={"layer": LAYERS, "lat": grid.lat, "lon": grid.lon})
    warm = np.where(np.abs(grid.lat) < 60, np.cos(np.radians(grid.lat)), np.nan)[:, None] * np.ones(grid.shape)
    for flux, value in FLUXES.items():
        field = value * DEPTH[:, None, None] * warm - (0.3 if flux == "iloss" else 0)
        for key, factor in zip(SUMMARY, (1.0, 0.9, 0.3, 2.5), strict=True):
            maps[f"{flux}_{key}"] = ("layer", "lat", "lon"), (factor * field).astype(np.float32)
    maps["iloss_uncertainty"] = ("layer", "lat", "lon"), np.broadcast_to(2 - warm, (len(LAYERS), *grid.shape)).copy()
    maps["iloss_probability"] = ("layer", "lat", "lon"), np.broadcast_to(warm, (len(LAYERS), *grid.shape)).copy()
    for name in ("iroot", "ibulk"):
        maps[f"{name}_applicability"] = ("lat", "lon"), np.where(warm > 0.9, 1.2, 0.6 * warm)
    maps["biome"] = ("lat", "lon"), np.where(np.isfinite(warm), 3, 0).astype(np.uint8)
    maps.attrs["title"] = "a map"
    folder.mkdir()
    maps.to_netcdf(folder / "maps.nc", engine="h5netcdf")
