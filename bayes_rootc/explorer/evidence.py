"""What the page has besides maps: measured places, totals, persistence, parameters, the atmosphere.

Each part is JSON that a browser reads; a table that a run has not made is left out.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import GAMMA
from ..data.atmosphere import ATMOSPHERE_ZONES, Atmosphere, Curve
from ..data.netcdf import open_dataset
from ..models.radiocarbon import GRID_SIZE, LOG_K_RANGE, LogNormalPrior
from ..report.results import TURNOVER, Results
from .codec import FIRST_STEP, Scale, pack

type Part = dict[str, Any]

AGES = (-0.35, 6.05, 128)
"""Bins of log10 of an age, yr: from, to, number."""

SITE_SCALE = Scale(0.001, FIRST_STEP)
SITE_COLUMNS = [f"{q}{s}" for q in ("iroot", "ibulk", "iloss", "share") for s in ("", "_p025", "_p975")]
PLACE_DIGITS = 4
"""Decimals of a degree to which coordinates are rounded; places less than about 10 m apart become one."""

FITS = {
    "turnover": "Turnover of soil carbon",
    "drivers_iroot": "Drivers of I_root",
    "drivers_ibulk": "Drivers of I_bulk",
    "allocation": "Allocation below ground",
    "root_depth": "Depth of roots",
}
"""Fits whose parameters are shown, with their prior."""

BINS = 48
MOST_VALUES = 20
"""Most values of one parameter that are shown; coefficients of each biome are more."""


def columns(table: pd.DataFrame, digits: int = 6) -> dict[str, list[Any]]:
    """A table by columns: numbers rounded to the given significant digits, null where a value is missing."""
    return {str(name): [_plain(value, digits) for value in values.tolist()] for name, values in table.items()}


def _plain(value: Any, digits: int) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        short = float(f"{value:.{digits}g}")
        return int(short) if short.is_integer() and abs(short) < 1e15 else short
    return value


def places(results: Results) -> Part:
    """Where something was measured, and what: latitudes and longitudes, and by the number of their place the rows of
    `sites.csv` and the layers of `layers.csv`.
    """
    sites = results.table("sites") if results.has("sites") else pd.DataFrame(columns=["lat", "lon"])
    layers = results.table("layers") if results.has("layers") else pd.DataFrame(columns=["lat", "lon"])
    at = pd.concat([sites[["lat", "lon"]], layers[["lat", "lon"]]]).astype(float).round(PLACE_DIGITS)
    unique, number = np.unique(at.to_numpy(), axis=0, return_inverse=True)
    number = number.ravel()
    found: Part = {"lat": unique[:, 0].tolist(), "lon": unique[:, 1].tolist()}
    if len(sites):
        found["sites"] = _sites(sites.assign(place=number[: len(sites)]), results)
    if len(layers):
        found["layers"] = _radiocarbon(layers.assign(place=number[len(sites) :]), results)
    return found


def _sites(sites: pd.DataFrame, results: Results) -> Part:
    """Fluxes at sites: `known` are the sites; a row has a site, an estimate and a layer, and its `values`, packed like
    those of a cell, are those of `SITE_COLUMNS`.
    """
    values = sites[SITE_COLUMNS].to_numpy(float).T
    known = sites[["id", "sites", "biome", "place"]].drop_duplicates(["id", "sites"]).reset_index(drop=True)
    site = sites.merge(known.assign(site=known.index)[["id", "sites", "site"]], on=["id", "sites"], how="left")["site"]
    if results.has("npp_sites"):
        production = results.table("npp_sites").drop_duplicates("id").set_index("id")
        of_npp = known["sites"] == "NPP"
        for name in ("npp", "satellite_npp"):
            known[name] = known["id"].map(production[name]).where(of_npp)
    rows = {"site": site.tolist(), "estimate": sites["estimate"].tolist(), "layer": sites["layer"].tolist()}
    packed = base64.b64encode(pack(SITE_SCALE.steps(values), np.isfinite(values))).decode()
    return {"known": columns(known), "rows": rows, "columns": SITE_COLUMNS, "values": packed}


LAYER_COLUMNS = (
    "id place top bottom year zone delta14c sigma age_median age_p025 age_p975 model_sd unexplained ibulk_median "
    "ibulk_p025 ibulk_p975"
).split()


def _radiocarbon(layers: pd.DataFrame, results: Results) -> Part:
    """Radiocarbon layers, and the posterior of the age of each as a histogram over `AGES`, in bytes."""
    found: Part = {"table": columns(layers[[c for c in LAYER_COLUMNS if c in layers]])}
    path = results.out / TURNOVER
    if path.is_file():
        with open_dataset(path, ["log_k"], command="fit turnover", group="posterior") as posterior:
            log_k = posterior["log_k"]
            names, draws = log_k["layer"].values.astype(str), log_k.values.reshape(-1, log_k.sizes["layer"])
        if names.tolist() == layers["id"].astype(str).tolist():
            found["ages"] = base64.b64encode(_histograms(-draws.T / math.log(10)).tobytes()).decode()
    return found


def _histograms(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Histogram of each row over `AGES`, its highest bar 255, (row, bin)."""
    first, last, bins = AGES
    at = np.clip((values - first) / (last - first) * bins, 0, bins - 1).astype(np.int64)
    number = at + bins * np.arange(len(values))[:, None]
    count = np.bincount(number.ravel(), minlength=bins * len(values)).reshape(-1, bins)
    return np.rint(255 * count / np.maximum(count.max(axis=1, keepdims=True), 1)).astype(np.uint8)


TOTALS = {
    "map_totals": ("biome_name",),
    "map_totals_latitude": ("south", "north"),
    "map_totals_zones": ("zone",),
}
TOTAL_COLUMNS = ["layer", "area_mha"]
TOTAL_COLUMNS += [f"{f}_pg_{s}" for f in ("iroot", "ibulk", "iloss") for s in ("median", "p025", "p975")]
TOTAL_COLUMNS += [f"share_{s}" for s in ("median", "p025", "p975")]


def totals(results: Results) -> Part:
    """Totals over whole-map members: by biome, latitude and zone."""
    return {
        name: columns(results.table(name)[[*first, *TOTAL_COLUMNS]])
        for name, first in TOTALS.items()
        if results.has(name)
    }


def persistence(results: Results) -> Part:
    """Input that stays longer than some years, mean age and transit time, by biome and layer."""
    if not results.has("persistence"):
        return {}
    stays, times = (results.table(name) for name in ("persistence", "transit_times"))
    family = times["family"].iloc[0]
    stays, times = stays[(stays["family"] == family) & (stays["estimate"] == "mean")], times[times["family"] == family]
    parts = [_quantity(stays.rename(columns={"t_years": "years"}), "ibulk")]
    parts += [_quantity(times.assign(years=np.nan), quantity) for quantity in ("age", "transit_time")]
    return columns(pd.concat(parts, ignore_index=True))


def _quantity(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Its median and interval, under names that all quantities share."""
    statistics = {f"{quantity}_{key}": key for key in ("median", "p025", "p975")}
    names = ["family", "biome", "layer", "n", "years", *statistics]
    return table[names].rename(columns=statistics).assign(quantity=quantity)


def parameters(results: Results) -> list[Part]:
    """Parameters of each fit: posterior, and, where the file has one, prior, as histograms with the same bins."""
    found = []
    for name, title in FITS.items():
        path = results.out / "posterior" / f"{name}.nc"
        if path.is_file():
            meanings = _meanings(results) if name == "turnover" else {}
            with open_dataset(path, (), command="run", group="posterior") as posterior, _prior(path) as prior:
                rows = list(_rows(posterior, prior, meanings))
            if rows:
                found.append({"name": name, "title": title, "rows": rows})
    return found


def _meanings(results: Results) -> dict[str, str]:
    if not results.has("turnover_population"):
        return {}
    table = results.table("turnover_population")
    return dict(zip(table["parameter"].astype(str), table["meaning"].astype(str), strict=True))


def _prior(path: Path) -> xr.Dataset:
    """Draws from the prior; of a fit whose file has none, nothing."""
    with h5netcdf.File(path, "r") as file:
        there = "prior" in file.groups
    return open_dataset(path, (), command="run", group="prior") if there else xr.Dataset()


def _rows(posterior: xr.Dataset, prior: xr.Dataset, meanings: dict[str, str]) -> Iterable[Part]:
    order = {name: i for i, name in enumerate(dict.fromkeys(n.partition("[")[0] for n in meanings))}
    for variable in sorted(map(str, posterior.data_vars), key=lambda name: order.get(name, 0)):
        after = posterior[variable]
        more = [str(d) for d in after.dims if d not in ("chain", "draw")]
        if not 0 < math.prod(after.sizes[d] for d in more) <= MOST_VALUES or "layer" in more:
            continue
        draws = after.transpose(..., "chain", "draw").values.reshape(*(after.sizes[d] for d in more), -1)
        before = None
        if variable in prior and [str(d) for d in prior[variable].dims if d not in ("chain", "draw")] == more:
            before = prior[variable].transpose(..., "chain", "draw").values.reshape(*draws.shape[:-1], -1)
        for at in np.ndindex(*draws.shape[:-1]):
            labels = [str(after[d].values[i]) if d in after.coords else str(i) for d, i in zip(more, at, strict=True)]
            name = variable + (f"[{', '.join(labels)}]" if labels else "")
            if meanings and name not in meanings:
                continue  # what another parameter says as well
            yield {"name": name, "meaning": meanings.get(name, "")} | _compared(
                draws[at], None if before is None else before[at]
            )


def _compared(after: NDArray, before: NDArray | None) -> Part:
    """Median and interval, and histograms: over what holds 98 % of the prior and all but all of the posterior."""
    after = after[np.isfinite(after)]
    if not len(after):
        return {"posterior": None}
    low, median, high = np.quantile(after, [0.025, 0.5, 0.975])
    first, last = np.quantile(after, [0.001, 0.999])
    before = before[np.isfinite(before)] if before is not None else np.empty(0)
    if len(before):
        ends = np.quantile(before, [0.01, 0.99])
        first, last = min(first, ends[0]), max(last, ends[1])
    if not last > first:
        first, last = first - 0.5, last + 0.5
    edges = np.linspace(first, last, BINS + 1)
    bars = {"posterior": _bars(after, edges), "prior": _bars(before, edges) if len(before) else None}
    numbers = {"median": median, "p025": low, "p975": high, "from": first, "to": last}
    return {name: _plain(float(value), 4) for name, value in numbers.items()} | bars


def _bars(draws: NDArray, edges: NDArray) -> list[int]:
    """Density in each bin, in hundredths of that of a bin with all draws."""
    count, _ = np.histogram(draws, edges)
    return np.rint(1000 * count / len(draws)).astype(int).tolist()


def radiocarbon(atmosphere: Atmosphere, settings: dict[str, Any]) -> Part:
    """What the calculator needs: curves of all zones and hemispheres, constants, prior, and the run's own history."""
    prior = LogNormalPrior()
    return {
        "gamma": GAMMA,
        "log_k": [*LOG_K_RANGE, GRID_SIZE],
        "prior": [prior.median_age, prior.log_sd],
        "prehistory": settings.get("prehistory", "steady"),
        "source": atmosphere.source,
        "bomb": {zone: _curve(atmosphere.bomb(zone)) for zone in ATMOSPHERE_ZONES},
        "before": {hemisphere: _curve(curve) for hemisphere, curve in atmosphere.before.items()},
    }


def _curve(curve: Curve) -> Part:
    return {name: getattr(curve, name).tolist() for name in ("years", "delta14c", "sd")}


def geotiffs(folder: Path, variables: Iterable[str], layers: Iterable[str]) -> list[str]:
    """Names of the GeoTIFFs in a folder that hold one of the maps."""
    there = {path.stem for path in folder.glob("*.tif")}
    wanted = set()
    for variable in variables:
        quantity, _, statistic = variable.rpartition("_")
        wanted |= {variable} | {f"{quantity}_{layer}_{statistic}" for layer in layers}
        wanted |= {f"{variable}_{layer}" for layer in layers}
    return sorted(there & wanted)
