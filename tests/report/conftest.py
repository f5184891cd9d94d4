"""A finished output folder that is made up: three biomes, nine sites a data set, a coarse world."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from rasterio.transform import from_origin

from bayes_rootc.constants import BIOMES, LAYER_NAMES, MAP_FOREST, PROFILE_NAME
from bayes_rootc.data.covariates import CovariateStack
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.demo.rasters import WWF_CLASSES
from bayes_rootc.mapping.regressors import ENSEMBLE, LEARNERS, POSTERIOR_FOREST, QUANTILE_FOREST
from bayes_rootc.report.datapackage import describe_tables
from bayes_rootc.report.html import write_report
from bayes_rootc.report.regression_tables import R_SQUARED
from bayes_rootc.schemas import TABLES

LEARNED = (*LEARNERS, ENSEMBLE, POSTERIOR_FOREST, QUANTILE_FOREST)
HOSTILE = "<script>alert(1)</script>"
LAYERS = [*LAYER_NAMES, PROFILE_NAME]
SHARES = np.array([0.6, 0.2, 0.08, 0.05, 0.03, 0.025, 0.015])
DEPTH = np.r_[SHARES, 1.0]
SITES = {1: "NPP", 2: "NPP", 3: "Δ14C", 4: "Δ14C", 5: "roots", 6: "roots"}
FLUXES = {"iroot": 3.0, "ibulk": 0.8, "iloss": 2.2}
SHARES_BY_LAYER = dict(zip(LAYERS, DEPTH, strict=True))
LADDER = ("paper's definition", "log-normal rates", "log-normal rates, > 100 yr")
SUMMARY = {"mean": 1.02, "median": 1.0, "p025": 0.8, "p975": 1.3}
"""What is about a quantity that is summarised, times its middle."""


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
    classes = f"categories = {json.dumps(WWF_CLASSES)}"
    (folder / "manifest.toml").write_text(f"[[raster]]\n{lines}\n{classes}\n", encoding="utf-8")
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
            "iroot_model": "field",
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


def made_up(name: str, *rows: dict[str, Any]) -> pd.DataFrame:
    """A table that keeps its schema.

    Each of `rows` is a row for each combination of what its lists hold; functions are of the row so far. Of a quantity
    that is summarised it is enough to give that (`of`, where it has no name); other columns hold something that is
    allowed.
    """
    table = []
    for given in rows or ({},):
        lists = {column: values for column, values in given.items() if isinstance(values, list | tuple | range)}
        for at in product(*lists.values()):
            row = dict(zip(lists, at, strict=True))
            for column, value in given.items():
                row.setdefault(column, value(row) if callable(value) else value)
            table.append({c: row[c] if c in row else filled(c, s, row) for c, s in columns_of(name, row)})
    return pd.DataFrame(table)


def columns_of(name: str, row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Columns of a table: those that are required or in the row; of a pattern one, unless the row has some."""
    for column, schema in TABLES[name].columns.items():
        if schema.regex:
            found = [known for known in row if re.fullmatch(column, known)]
            yield from ((one, schema) for one in found or [EXAMPLES[column]])
        elif schema.required or column in row:
            yield column, schema


EXAMPLES = {"^.+": "tau_profile", "^(?!component$).+": "clay", r"^estimate_\d$": "estimate_1"}
EXAMPLES |= {r"^ibulk_\d": "ibulk_0-20", r"^harmonised_\d": "harmonised_0-20"}


def filled(column: str, schema: Any, row: dict[str, Any]) -> Any:
    """Something for a column, by the rest of the row and what is allowed."""
    quantity, _, statistic = column.rpartition("_")
    if statistic in SUMMARY and (quantity or "of") in row:
        return row[quantity or "of"] * SUMMARY[statistic]
    if column == "biome_name":
        return BIOMES.get(row.get("biome", 1), "global")
    limits = {what: value for check in schema.checks for what, value in check.statistics.items()}
    middle = (limits.get("min_value", 0) + limits.get("max_value", 2)) / 2
    numbers = {"float64": middle, "Int64": int(middle), "bool": False}
    return numbers.get(str(schema.dtype), limits.get("allowed_values", ["steady"])[0])


def write_tables(folder: Path) -> None:
    """Every table that a run writes, and those of other commands that figures are drawn of."""
    folder.mkdir(parents=True)
    wanted = contents()
    for name in (name for name, schema in TABLES.items() if name in wanted or "run" in schema.metadata["by"]):
        made_up(name, *wanted.get(name, ())).to_csv(folder / f"{name}.csv", index=False)


def contents() -> dict[str, tuple[dict[str, Any], ...] | list[dict[str, Any]]]:
    """What tables hold of which tests want more than a row of anything."""
    rng = np.random.default_rng(1)
    size, lat, lon = rng.lognormal(0, 0.4, (6, 9)), rng.uniform(-30, 60, 9), rng.uniform(-70, 30, 9)
    scaled = {flux: lambda row, value=value: value * SHARES_BY_LAYER[row["layer"]] for flux, value in FLUXES.items()}
    at_site = {
        flux: lambda row, flux=flux: scaled[flux](row) * size[row["estimate"] - 1, row["site"]] for flux in FLUXES
    }
    site = {"site": range(9), "id": lambda row: f"{row['sites']}-{row['site']}", "lat": lambda row: lat[row["site"]]}
    site |= {"lon": lambda row: lon[row["site"]], "biome": lambda row: (1, 3, 6)[row["site"] % 3]}
    held = {"target": ("iroot", "ibulk", "f_bnpp"), "split": ("site", "spatial")}
    predicted = {"mean": lambda _: rng.normal(), "observed": lambda row: row["mean"] + 0.1}
    scores = {"r2": 0.5, "rmse": 0.4, "bias": 0.0, "crps": 0.2, "coverage95": 0.95, "n": 40, "concordance": 0.7}
    classes = {"layers": 30, "coverage95": 0.95, "coverage95_se": 0.01, "crps": 40.0}
    scored = [
        {"group": g, "class": c} | classes for g, c in (("all", "all"), ("depth, cm", "0-10"), ("biome", BIOMES[3]))
    ]
    hyper = {"tau_profile": 0.8, "profile_skew": -0.3, "tau_layer": 0.4, "model_sd": 20.0, "nu": 3.0}
    hyper["coefficient[soil 1]"] = 0.2
    mean = {"unit": "Mg C ha-1 yr-1", "n": 6, "interval": "95 % of the posterior of the mean"}
    of_flux = [mean | {"quantity": flux, "of": value} for flux, value in FLUXES.items()]
    places = ("NPP sites, observed", "mean of the six estimates", "map, per area", "map, total")
    used = {"source": "radiocarbon", "file": "/somewhere/else/israd.csv"}
    among = "range of the six estimates"
    paper = {"paper": 0.779, "paper_low": 0.653, "paper_high": 0.909, "paper_interval": among}
    ours = {"ours": 0.7, "ours_low": 0.6, "ours_high": 0.8, "ours_interval": among, "note": "x"}
    regressions = {
        name: table
        for fit in ("drivers_iroot", "drivers_ibulk", "allocation")
        for name, table in {
            fit: [{"coefficient": ("intercept", "soil 1", "climate 1"), "biome": ("all", *BIOMES.values()), "of": 0.3,
                   "group": lambda row: row["coefficient"].split()[0]}],
            f"{fit}_summary": [{"quantity": R_SQUARED, "of": 0.5}],
        }.items()
    }  # fmt: skip
    return regressions | {
        "layers": radiocarbon_layers().to_dict("records"),
        "sites": [{"estimate": n, "sites": kind, "layer": LAYERS} | site | at_site for n, kind in SITES.items()],
        "iloss_estimates": [
            {"estimate": n, "sites": kind, "biome": (0, 1, 3, 6), "layer": LAYERS, "share": 0.7} | scaled
            for n, kind in SITES.items()
        ],
        "npp_sites": [
            {"biome": b, "npp": npp, "satellite_npp": seen}
            for b, npp, seen in ((1, 5, 6), (1, 7, 6), (3, 4, 5), (3, np.nan, 4), (6, 2, 1), (6, 3, 2))
        ],
        "iloss_letters": [
            {"among": "estimates", "name": list(map(str, SITES)), "iloss": 2.2, "letters": "ab"},
            {"among": "layers", "name": LAYER_NAMES, "iloss": 2.2, "letters": "ab"},
        ],
        "turnover_factor": [
            {"group": g, "name": n, "factor": 4.2} for g, n in (("all", "global"), ("layer", LAYER_NAMES[0]))
        ],
        "root_shares": [
            {"biome": list(BIOMES), "layer": LAYER_NAMES, "share": lambda row: SHARES_BY_LAYER[row["layer"]]}
        ],
        "map_totals": [{"biome": 0, "layer": PROFILE_NAME, "share": 0.7}],
        "held_out": [held | {"row": range(40)} | predicted],
        "learners_held_out": [held | {"learner": LEARNED, "row": range(40), "pit": lambda _: rng.random()} | predicted],
        "learners": [held | {"learner": (MAP_FOREST, *LEARNED)} | scores],
        "learners_importance": [
            held | {"fold": (0, 1), "feature": ("soil_clay", "mat"), "rmse_ratio": lambda _: 1 + rng.uniform(0, 0.5)}
        ],
        "variograms": [
            {"target": held["target"], "distance_km": (10.0, 100.0, 1000.0), "semivariance": 0.3, "fitted": 0.28,
             "block_km": 300.0}
        ],
        "checks": [
            used | {"what": what, "rule": rule, "rows": rows}
            for what, rule, rows in (
                ("read", "", 100), ("dropped", "no Δ14C", 60), ("remark", f"odd {HOSTILE}", 2), ("used", "", 40)
            )
        ],
        "diagnostics": [
            {"fit": "root_depth", "r_hat_max": 1.001, "ess_bulk_min": 1200, "ess_tail_min": 1500, "divergences": 0,
             "e_bfmi_min": 0.9, "verdict": "good"}
        ],
        "summary_global": [
            mean | {"quantity": "age 0-30 cm", "where": "Δ14C profiles", "of": 900.0, "unit": "yr"},
            mean | {"quantity": "ibulk", "where": "sites", "of": 0.8, "interval": "95 % of the sites"},
            *(flux | {"where": places} for flux in of_flux),
            mean | {"quantity": "share", "where": ("mean of the six estimates", "map"), "of": 0.7, "unit": "1"},
        ],
        "summary_biome": [
            flux | {"biome": (1, 3, 6), "where": ("mean of 6 estimates", "map, per area")} for flux in of_flux
        ],
        "summary_depth": [flux | {"layer": "0-20", "where": "map, per area"} for flux in of_flux],
        "paper_comparison": [
            {"quantity": "I_loss / I_root", "unit": "1"} | paper | ours,
            {"quantity": "carbon age, 30-100 cm", "unit": "yr", "paper": 3869, "ours": 3300, "note": ""}
            | dict.fromkeys(("paper_low", "paper_high", "ours_low", "ours_high", "paper_interval", "ours_interval")),
        ],
        "turnover_population": [{"parameter": name, "unit": "1", "of": value} for name, value in hyper.items()],
        "turnover_ppc": scored,
        "turnover_cv": scored,
        "turnover_sbc_ranks": [{"tau_profile": a, "nu": b} for a, b in rng.uniform(0, 1, (30, 2))],
        "turnover_prehistory": [
            {"prehistory": ("steady", "intcal20"), "depth_cm": ("0-30", "30-100"), "of": 900.0,
             "quantity": ("carbon age", "I_bulk density")}
        ],
        "turnover_held_out": [{"pit": value, "measured": "bulk"} for value in np.linspace(0.01, 0.99, 30)],
        "turnover_ages": [{"biome": list(BIOMES), "depth_cm": (5, 50, 150), "age": lambda row: 20.0 * row["depth_cm"]}],
        "persistence": [
            {"family": ("log-normal", "one pool"), "estimate": ("3", "4", "mean"), "biome": 0,
             "layer": LAYERS, "t_years": (0, 1, 10, 30, 100, 300), "iroot": 2.0,
             "ibulk": lambda row: 0.5 * np.exp(-row["t_years"] / 200), "iloss": 1.5, "share": 0.75},
        ],
        "turnover_respired": [
            {"id": tuple("abcd"), "top": lambda row: {"a": 0, "b": 20, "c": 50, "d": 120}[row["id"]],
             "bottom": lambda row: row["top"] + 10, "delta14c": -50.0, "respired": 20.0,
             "predicted": lambda row: 0.0 if row["id"] == "a" else 60.0, "gap": lambda row: 70.0 + row["top"]},
        ],
        "ladder": [
            {"rung": i + 1, "what": what, "compared_with": ("", *LADDER)[i], "change": (np.nan, -0.3, 0.4)[i],
             "why": "because", "iroot": 2.0, "ibulk": (0.5, 1.1, 0.3)[i], "share": (0.6, 0.3, 0.7)[i]}
            for i, what in enumerate(LADDER)
        ],
        "transit_times": [
            {"family": ("log-normal", "one pool"), "biome": 0, "layer": LAYERS, "age": 900.0, "transit_time": 300.0},
        ],
        "root_depth": [{"quantity": "D50", "where": BIOMES[1], "unit": "cm", "of": 15.0}],
        "allocation_biome": [{"biome": "all", "of": 0.4}],
    }  # fmt: skip


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
        "age_median": age,
        "n_modes": np.r_[2, 2, np.ones(n - 2, int)],
        "mode1_age": age,
        "mode1_probability": np.r_[0.7, 0.9, np.ones(n - 2)],
        "mode2_age": np.r_[8.0, 9.0, np.full(n - 2, np.nan)],
        "mode2_probability": np.r_[0.3, 0.1, np.zeros(n - 2)],
        "s_median": 0.0,
        "model_sd": 20.0,
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
    for name, value in (("age", 300.0), ("ibulk_t100", 0.2)):
        for key in ("mean", "median"):
            field = value * (2 - warm) * (1 + np.arange(len(LAYERS)))[:, None, None]
            maps[f"{name}_{key}"] = ("layer", "lat", "lon"), field.astype(np.float32)
    for name, value in (("npp", 8.0), ("f_bnpp", 0.4)):
        for key, factor in zip(("mean", "median", "p025", "p975"), (1.0, 0.95, 0.5, 2.0), strict=True):
            maps[f"{name}_{key}"] = ("lat", "lon"), (factor * value * warm).astype(np.float32)
    maps["biome"] = ("lat", "lon"), np.where(np.isfinite(warm), 3, 0).astype(np.uint8)
    maps.attrs["title"] = "a map"
    folder.mkdir()
    maps.to_netcdf(folder / "maps.nc", engine="h5netcdf")
