"""Net primary production above and below ground at sites: Peng et al. 2023, and the soil respiration database SRDB
(Jian et al. 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..constants import G_M2_TO_MG_HA
from ..errors import InputError
from .biomes import UNSAID
from .plausible import Doubt
from .tables import Screen, SourceCheck, number_column, read_csv

MAX_BNPP = 1500.0
MAX_NPP = 3000.0
"""g C m⁻² yr⁻¹: above any undisturbed ecosystem (wet tropical forest: NPP to about 2,200); larger figures are dry mass
or biomass.
"""

FIRST_PROBLEM_FLAG = 10
"""SRDB's quality flags from Q10 on name a potential, suspected or known problem; Q01–Q04 only say how a figure was
read.
"""

ORDINARY_MANAGEMENT = ("none", "control", "conventional tillage", "no-till", "reduced tillage", "tillage")
"""Entries of SRDB's `Manipulation` that are how such land is kept, not an experiment on it."""


PENG, SRDB = "npp_peng2023.csv", "srdb-data.csv"

PENG_NAMES = {"lat": "lat", "lon": "lon", "TNPP_1": "npp", "ANPP_2": "anpp", "BNPP_1": "bnpp"}
SRDB_NAMES = {"Latitude": "lat", "Longitude": "lon", "NPP": "npp", "ANPP": "anpp", "BNPP": "bnpp"}
"""Our names of a compilation's columns."""


class Npp(NamedTuple):
    """Belowground production.

    Attributes
    ----------
    sites : DataFrame
        One row a site: `id`, `lat`, `lon` (degrees), `bnpp` (Mg C ha⁻¹ yr⁻¹), `npp` (the same; NaN where unknown),
        `f_bnpp` (0–1; NaN where unknown), `records` (how many were averaged), `said_biome` (the biome that the records
        state, `biomes.biome_of_record`).
    records : DataFrame
        `id` of the site, `bnpp`, `npp`, `f_bnpp`, as of sites; one row a year or study.
    checks : list of SourceCheck
        One for each file.
    """

    sites: pd.DataFrame
    records: pd.DataFrame
    checks: list[SourceCheck]


def read_npp(folder: Path, own: Screen | None = None) -> Npp:
    """Sites with belowground production, at which records of one place, and of one biome where they say it, are
    averaged; and the records.

    Parameters
    ----------
    folder : Path
        Holds `npp_peng2023.csv`, `srdb-data.csv`, or both.
    own : Screen, optional
        Records of a table of one's own, which come first.

    Raises
    ------
    InputError
        See `tables.read_csv`.
    """
    readers = {PENG: _read_peng, SRDB: _read_srdb}
    parts: list[pd.DataFrame] = []
    checks: list[SourceCheck] = []
    found = [reader(folder / name) for name, reader in readers.items() if (folder / name).exists()]
    for screen in ([own] if own else []) + found:
        _screen_fluxes(screen)
        if parts:  # the compilations share studies
            screen.drop("in an earlier source (same 0.1° and BNPP)", _keys(screen.table).isin(_keys(pd.concat(parts))))
        parts.append(screen.table)
        checks.append(screen.check)
    if not parts:
        raise InputError(f"expected {' or '.join(readers)} in it", file=folder)
    records = pd.concat(parts, ignore_index=True)
    records["f_bnpp"] = records["bnpp"] / records["npp"]
    records[["bnpp", "npp"]] *= G_M2_TO_MG_HA
    place = records.groupby(["lat", "lon", "said_biome"], sort=True)
    sites = place.agg(
        bnpp=("bnpp", "mean"), npp=("npp", "mean"), f_bnpp=("f_bnpp", "mean"), records=("bnpp", "size")
    ).reset_index()
    sites.insert(0, "id", [f"npp-{i:04d}" for i in range(1, len(sites) + 1)])
    records.insert(0, "id", sites["id"].to_numpy()[place.ngroup()])
    return Npp(sites, records[["id", "bnpp", "npp", "f_bnpp"]], checks)


def _keys(records: pd.DataFrame) -> pd.Series:
    return (
        records["lat"].round(1).astype(str)
        + "/"
        + records["lon"].round(1).astype(str)
        + "/"
        + records["bnpp"].round().astype(str)
    )


def _read_peng(path: Path) -> Screen:
    table = read_csv(path, production_schema(PENG_NAMES), value="BNPP_1")
    return Screen("net primary production (Peng et al. 2023)", path, table.rename(columns=PENG_NAMES))


def _read_srdb(path: Path) -> Screen:
    text = ("Quality_flag", "Manipulation", "Duplicate_record")
    table = read_csv(path, production_schema(SRDB_NAMES, text=text), optional=text, value="BNPP")
    screen = Screen("net primary production (SRDB v5)", path, table.rename(columns=SRDB_NAMES))
    screen.drop("no belowground production", screen.table["bnpp"].isna())
    drop_problems(screen)
    return screen


def drop_problems(screen: Screen) -> None:
    """Leaves out records of SRDB with a known problem, of experiments, and those that are marked as duplicates."""
    flags = screen.table["Quality_flag"].fillna("").astype(str).str.findall(r"Q(\d+)")
    screen.drop(
        f"quality flag Q{FIRST_PROBLEM_FLAG} or worse",
        [any(int(f) >= FIRST_PROBLEM_FLAG for f in row) for row in flags],
    )
    manipulation = screen.table["Manipulation"].fillna("none").astype(str).str.strip().str.lower()
    screen.drop("experimental manipulation", ~manipulation.isin(ORDINARY_MANAGEMENT))
    screen.drop("marked as a duplicate record", screen.table["Duplicate_record"].notna())


def _screen_fluxes(screen: Screen) -> None:
    screen.drop("no belowground production", screen.table["bnpp"].isna())
    screen.drop("no coordinates", screen.table["lat"].isna() | screen.table["lon"].isna())
    screen.drop("belowground production not > 0", screen.table["bnpp"] <= 0)
    screen.drop(f"belowground production > {MAX_BNPP:g} g C m⁻² yr⁻¹", screen.table["bnpp"] > MAX_BNPP)
    t = screen.table
    screen.drop("duplicate (same place and figures)", t.duplicated(["lat", "lon", "npp", "anpp", "bnpp"]))
    t = screen.table
    summed = t["npp"].isna() & t["anpp"].notna()
    screen.remark("total production = above + below ground", summed)
    total = t["npp"].fillna(t["anpp"] + t["bnpp"])
    both = total.notna()
    above = int((total <= t["bnpp"])[both].sum())
    if above > 0.5 * both.sum() and above > 1:
        text = f"{above} of {int(both.sum())} are not above belowground production: are the two in one unit?"
        screen.judge("npp", Doubt(text, above, False))
    unusable = (total <= t["bnpp"]) | (total > MAX_NPP) | total.isna()
    screen.remark(f"total production unknown, not above BNPP or > {MAX_NPP:g} g C m⁻² yr⁻¹: no f_BNPP", unusable)
    t = t.assign(npp=total.where(~unusable, np.nan))
    if "said_biome" not in t:
        t["said_biome"] = UNSAID
    screen.table = t[["lat", "lon", "npp", "anpp", "bnpp", "said_biome"]]


def production_schema(  # type: ignore[no-untyped-def]
    names: Mapping[str, str], *, scale: float = 1.0, years: tuple[str, ...] = (), text: tuple[str, ...] = ()
):
    """Schema of a compilation.

    Parameters
    ----------
    names : mapping of str
        Our names of `lat`, `lon`, `npp`, `anpp`, `bnpp` by those of the compilation.
    scale : float
        What figures are multiplied by to be g C m⁻² yr⁻¹.
    years, text : tuple of str
        Further columns, by the compilation's names.
    """
    import pandera.pandas as pa

    theirs = {ours: name for name, ours in names.items()}
    columns = {theirs["lat"]: number_column(-90, 90, "degrees", quantity="lat", pint_unit="degree")}
    columns[theirs["lon"]] = number_column(-180, 180, "degrees", quantity="lon", pint_unit="degree")
    for flux in ("npp", "anpp", "bnpp"):
        about: dict[str, Any] = {"quantity": flux, "pint_unit": "g m-2 yr-1", "scale": scale}
        columns[theirs[flux]] = number_column(unit="g C m⁻² yr⁻¹", **about)
    columns |= {name: number_column(unit="yr") for name in years}
    return pa.DataFrameSchema(columns | {name: pa.Column(object, nullable=True) for name in text})
