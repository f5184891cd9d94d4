"""An example data folder to put one's own data into: simulated values, under plain names with their units."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from ..constants import G_CM2_TO_MG_HA, M_TO_CM
from ..data.own_files import COLUMNS, LAYER_NAMES, LAYERS, PRODUCTION, ROOTS
from ..data.plausible import ALWAYS_CODES
from ..errors import InputError
from ..files import write_csv
from .world import simulate_world

RASTERS = (
    "bio1",
    "bio12",
    "clay",
    "ph_h2o",
    "elevation",
    "cropland_fraction",
    "npp_satellite",
    "soc_stock_hwsd",
    "wwf_biome",
)
"""Covariates of the template, of the many of the demo world."""

UNITS = {
    "lat": "degrees",
    "lon": "degrees",
    "top": "cm",
    "bottom": "cm",
    "delta14c": "permil",
    "sigma": "permil",
    "carbon": "%",
    "bulk_density": "g cm-3",
    "coarse": "%",
    "stock": "Mg ha-1",
    "npp": "g m-2 yr-1",
    "anpp": "g m-2 yr-1",
    "bnpp": "g m-2 yr-1",
    "d50": "cm",
    "d95": "cm",
}
"""Units that follow the names in the headers."""

README = """\
# A data folder

**The values are simulated.** Put your own in their place, then

    bayes-rootc check --data {folder}
    bayes-rootc run --data {folder} --out out --quick

`check` says what is used, what is left out and why, and first of all which column may be in another unit.

## `{layers}`: soil layers with radiocarbon, one a row

- needed: `lat`, `lon`, `top`, `bottom`, `year` (decimal), and one of `delta14c`, `fraction_modern`, `percent_modern`,
  `radiocarbon_age`
- optional: `sigma` (in the same form); `study`, `site`, `profile`, `id`; `stock`, or `carbon` and `bulk_density` (of
  fine earth); `horizon`, `treatment`, `peatland`, `soil_order`, `land_cover`, `biome`

## `{production}`: net primary production at sites

- needed: `lat`, `lon`, `bnpp`; optional: `npp`, `anpp`, `biome`

## `{roots}`: root profiles

- needed: `lat`, `lon`, `d50`, `d95` (above which 50 and 95 % of the roots are); optional: `id`, `biome`

## `covariates/manifest.toml`: the rasters, each with its group and unit

## Names and units

A unit behind a name, as in `bottom [m]` or `delta14c [F14C]`, is converted; without one it is that of these files.
Empty cells, NA and -9999 are missing. Columns that have other names are given in `{columns}`:

    [layers]
    top = "upper_cm"
    year = "sampled"

A `biome`, by name or number, stands for that of the rasters at its place. Other columns are left alone. The
publishers' own files may be placed next to these, in `israd/`, `npp/` and `roots/`; both are read.
"""


def write_template(folder: str | Path) -> list[Path]:
    """Writes an example data folder, and gives its files.

    Parameters
    ----------
    folder : path
        Is made; it must be empty.

    Raises
    ------
    InputError
        It holds something.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("holds something already; choose a new folder", file=folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        world = Path(name) / "world"
        simulate_world(world, resolution=4.0, radiocarbon_profiles=60, npp_sites=80, root_profiles=60)
        _write(folder / LAYERS, _layers(world))
        _write(folder / PRODUCTION, _production(world))
        _write(folder / ROOTS, _roots(world))
        (folder / "covariates").mkdir()
        head, *entries = (world / "covariates" / "manifest.toml").read_text(encoding="utf-8").split("[[raster]]")
        kept = []
        for entry in entries:
            (raster,) = re.findall(r'^name = "(.*)"$', entry, re.MULTILINE)
            if raster in RASTERS:
                kept.append(entry)
                shutil.copy(world / "covariates" / f"{raster}.tif", folder / "covariates")
        (folder / "covariates" / "manifest.toml").write_text("[[raster]]".join([head, *kept]), encoding="utf-8")
    names = {"layers": LAYERS, "production": PRODUCTION, "roots": ROOTS, "columns": COLUMNS}
    (folder / "README.md").write_text(README.format(folder=folder, **names), encoding="utf-8")
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _write(path: Path, table: pd.DataFrame) -> None:
    write_csv(path, table.rename(columns={name: f"{name} [{UNITS[name]}]" for name in table if name in UNITS}))


def _table(folder: Path, pattern: str) -> pd.DataFrame:
    (path,) = folder.glob(pattern)
    return pd.read_csv(path).replace(ALWAYS_CODES[0], np.nan)


def _layers(world: Path) -> pd.DataFrame:
    names = {theirs: ours for ours, theirs in LAYER_NAMES.items()}
    table = _table(world, "israd/*_layer_*").rename(columns=names)
    table = table[table["peatland"].isna() & table["treatment"].eq("control")].dropna(subset=["delta14c", "bottom"])
    table["stock"] *= G_CM2_TO_MG_HA
    table["year"] += ((table["lyr_obs_date_m"] - 0.5) / 12).fillna(0.5)
    columns = "study site profile id lat lon top bottom year delta14c sigma carbon bulk_density coarse stock horizon"
    return table[columns.split()]


def _production(world: Path) -> pd.DataFrame:
    table = _table(world, "npp/npp_peng2023.csv")
    names = {"TNPP_1": "npp", "ANPP_2": "anpp", "BNPP_1": "bnpp"}
    return table.rename(columns=names)[["lat", "lon", *names.values()]].dropna(subset=["bnpp"])


def _roots(world: Path) -> pd.DataFrame:
    table = _table(world, "roots/*.csv").rename(columns={"ID": "id", "latitude": "lat", "longitude": "lon"})
    for name in ("D50", "D95"):
        table[name.lower()] = (table[f"{name}_extrapolated"].fillna(table[name]) * M_TO_CM).round(1)
    return table[["id", "lat", "lon", "d50", "d95"]].dropna()
