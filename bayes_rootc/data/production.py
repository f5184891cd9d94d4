"""Records of net primary production, whole, above and below ground, of three compilations and of one's own table.

Peng et al. 2023 (forests and grasslands), the soil respiration database SRDB (Jian et al. 2021; all biomes), Sun, Chang
& Fang 2022 (grasslands, in dry mass). `npp` has the sites with belowground production, as the paper uses them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..constants import G_M2_TO_MG_HA
from ..errors import InputError
from .biomes import UNSAID
from .npp import MAX_BNPP, MAX_NPP, PENG, PENG_NAMES, SRDB, SRDB_NAMES, drop_problems, production_schema
from .tables import Screen, SourceCheck, read_csv

SUN = "sun2022_grassland_bnpp.csv"
SUN_NAMES = {"Latitude": "lat", "Longitude": "lon", "TNPP": "npp", "ANPP": "anpp", "BNPP": "bnpp"}

QUANTITIES = ("npp", "anpp", "bnpp")

MOST = {"npp": MAX_NPP, "anpp": 2500.0, "bnpp": MAX_BNPP}
"""g C m⁻² yr⁻¹: above any undisturbed ecosystem; larger figures are dry mass, or biomass."""

LEAST = 1.0
"""g C m⁻² yr⁻¹: below this a figure is a rounded nothing, or in another unit."""

CARBON = 0.45
"""Carbon in the dry mass of grasses and their roots."""

STANDING_ROOTS, STANDING_SHARE = 700.0, 0.85
"""Belowground production of grasslands above this (g C m⁻² yr⁻¹), or above this share of all production, is standing
root mass that was taken for production.
"""

SAME_DEGREES, SAME_YEARS, SAME_VALUE = 0.1, 1.0, 0.02
"""Records of two compilations are one if they are so near in place and year (where both state one) and all figures that
both have differ by less than this share: compilers round, and take carbon of dry mass differently.
"""

SUM_TOLERANCE = 0.1
"""A total that differs by more than this share from the sum of its parts is not used."""

FOREST, GRASSLAND, STEPPE, ALPINE, SAVANNA, SHRUBLAND = (
    "forest",
    "grassland",
    "steppe",
    "alpine",
    "savanna",
    "shrubland",
)
TUNDRA, DESERT, CROPLAND = "tundra", "desert", "cropland"

WORDS = (
    (CROPLAND, ("agriculture", "crop", "artificial")),
    (TUNDRA, ("tundra",)),
    (DESERT, ("desert",)),
    (ALPINE, ("alpine", "mountain", "montane", "highland")),
    (SAVANNA, ("savanna",)),
    (STEPPE, ("steppe", "prairie", "pampa")),
    (SHRUBLAND, ("shrub", "heath")),
    (FOREST, ("forest", "woodland")),
    (GRASSLAND, ("grass", "meadow", "pasture")),
)
"""Kinds of vegetation, and the words by which records name them; the first that fits, so that a desert steppe is a
desert and a forest steppe a steppe.
"""

TROPICS = 30.0
"""Latitude up to which the forests and savannas of a desert's climate are tropical or subtropical."""

NATURAL_TO_BIOME: dict[str, tuple[int, ...]] = {
    #           rasters: 1  2  3  4  5  6  7  8
    FOREST: (0, 1, 1, 3, 3, 5, 6, 6, 3),
    GRASSLAND: (0, 2, 2, 4, 4, 5, 4, 7, 8),
    STEPPE: (0, 2, 2, 4, 4, 4, 4, 4, 4),
    ALPINE: (0, 5, 5, 5, 5, 5, 5, 7, 5),
    SAVANNA: (0, 2, 2, 4, 4, 5, 4, 4, 4),
    SHRUBLAND: (0, 5, 5, 5, 5, 5, 5, 7, 8),
    TUNDRA: (7,) * 9,
    DESERT: (8,) * 9,
    CROPLAND: (9,) * 9,
}
"""Biome of a record by its vegetation and the natural biome of the rasters at its place (0 to 8): a forest among
grasslands is the forest of that climate. Montane grasslands are of the rasters' biome 5.
"""


class Production(NamedTuple):
    """Records of production, and what became of each source.

    Attributes
    ----------
    records : DataFrame
        One row a record: `lat`, `lon` (degrees), `npp`, `anpp`, `bnpp` (Mg C ha⁻¹ yr⁻¹; NaN where unknown), `year`
        (middle of the measurement; NaN where unknown), `study`, `method` (the compilation, or what one's own table
        says), `sampling_depth` (cm down to which roots were sampled; NaN where unknown), `vegetation` (words of the
        record) and `said_biome` (number or `UNSAID`).
    checks : list of SourceCheck
        One for each file.
    """

    records: pd.DataFrame
    checks: list[SourceCheck]


def read_production(folder: Path, own: Screen | None = None) -> Production:
    """All records with any of net primary production, its part above ground and its part below ground.

    Parameters
    ----------
    folder : Path
        Holds any of `npp_peng2023.csv`, `srdb-data.csv` and `sun2022_grassland_bnpp.csv`.
    own : Screen, optional
        Records of a table of one's own, which come first.

    Raises
    ------
    InputError
        There is no record, or see `tables.read_csv`.
    """
    readers = {PENG: _read_peng, SRDB: _read_srdb, SUN: _read_sun}
    found = [reader(folder / name) for name, reader in readers.items() if (folder / name).exists()]
    parts: list[pd.DataFrame] = []
    checks = []
    for screen in ([own] if own else []) + found:
        screen_production(screen)
        if parts:
            rule = f"in an earlier source (same {SAME_DEGREES:g}°, year and figures)"
            screen.drop(rule, in_both(screen.table, pd.concat(parts)))
        parts.append(screen.table)
        checks.append(screen.check)
    if not parts:
        raise InputError(f"expected {', '.join(readers)} or one of them in it", file=folder)
    records = pd.concat(parts, ignore_index=True)
    records[list(QUANTITIES)] *= G_M2_TO_MG_HA
    return Production(records, checks)


def screen_production(screen: Screen) -> None:
    """Applies the rules of all sources to records in g C m⁻² yr⁻¹, and completes their columns."""
    t = screen.table
    for name in QUANTITIES:
        for rule, bad in (
            (f"{name} not above {LEAST:g} g C m⁻² yr⁻¹: not used", t[name] < LEAST),
            (f"{name} > {MOST[name]:g} g C m⁻² yr⁻¹: not used", t[name] > MOST[name]),
        ):
            screen.remark(rule, bad)
            t[name] = t[name].mask(bad)
    parts = t["anpp"] + t["bnpp"]
    wrong = (t["npp"] <= t[["anpp", "bnpp"]].max(axis=1)) | ((t["npp"] / parts - 1).abs() > SUM_TOLERANCE)
    screen.remark("total production is not the sum of its parts: not used", wrong)
    t["npp"] = t["npp"].mask(wrong)
    for part, other in (("anpp", "bnpp"), ("bnpp", "anpp")):
        rest = t["npp"] - t[other]
        missing = t[part].isna() & (rest >= LEAST)
        screen.remark(f"{part} = npp - {other}", missing)
        t[part] = t[part].mask(missing, rest)
    t["npp"] = t["npp"].mask(parts.notna(), parts)
    screen.drop("neither npp, anpp nor bnpp", t[list(QUANTITIES)].isna().all(axis=1))
    screen.drop("no coordinates", screen.table[["lat", "lon"]].isna().any(axis=1))
    same = ["lat", "lon", *QUANTITIES]
    screen.drop("duplicate (same place and figures)", screen.table.duplicated(same))
    texts = {"study": "", "method": "own", "vegetation": ""}
    t = screen.table.reindex(columns=[*same, "year", "sampling_depth", *texts, "said_biome"])
    for name, otherwise in texts.items():
        t[name] = t[name].astype(object).fillna(otherwise).astype(str)
    screen.table = t.assign(said_biome=t["said_biome"].fillna(UNSAID).astype(int))


def in_both(records: pd.DataFrame, earlier: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each record is among the earlier ones: same place, year and figures; (n,)."""
    found = np.zeros(len(records), bool)
    there = earlier[["lat", "lon", "year", *QUANTITIES]].to_numpy(float)
    for i, here in enumerate(records[["lat", "lon", "year", *QUANTITIES]].to_numpy(float)):
        near = there[(np.abs(there[:, :2] - here[:2]) <= SAME_DEGREES).all(axis=1)]
        near = near[~(np.abs(near[:, 2] - here[2]) > SAME_YEARS)]
        with np.errstate(invalid="ignore"):
            apart = np.abs(near[:, 3:] / here[3:] - 1)
        both = np.isfinite(apart)
        found[i] = (both.any(axis=1) & (np.where(both, apart, 0.0) <= SAME_VALUE).all(axis=1)).any()
    return found


def biome_of_vegetation(vegetation: Iterable[str], natural: ArrayLike, lat: ArrayLike) -> NDArray[np.int64]:
    """Biome of records that name their vegetation; `UNSAID` where no word of it is known.

    Parameters
    ----------
    vegetation : iterable of str
        What records say, such as `Forest`, `Alpine meadow`.
    natural : array-like of int
        Biome of the rasters, without croplands.
    lat : array-like of float
        Latitude, degrees.

    Examples
    --------
    >>> biome_of_vegetation(["Forest", "Desert steppe", "Wetland"], [4, 4, 3], [45.0, 42.0, 50.0]).tolist()
    [3, 8, 0]
    """
    natural, lat = np.asarray(natural, np.int64), np.asarray(lat, float)
    kinds = [next((kind for kind, words in WORDS if any(w in v.casefold() for w in words)), None) for v in vegetation]
    out = np.array([NATURAL_TO_BIOME[k][n] if k else UNSAID for k, n in zip(kinds, natural, strict=True)], np.int64)
    dry = (natural == 8) & (np.abs(lat) <= TROPICS)
    for kind, biome in ((FOREST, 1), (SAVANNA, 2)):
        out[np.array([k == kind for k in kinds], bool) & dry] = biome
    return out


def _read_peng(path: Path) -> Screen:
    text, years = ("references", "pft"), ("Begin_year", "End_year")
    schema = production_schema(PENG_NAMES, years=years, text=text)
    table = read_csv(path, schema, optional=(*text, *years), value=("TNPP_1", "ANPP_2", "BNPP_1"))
    t = _renamed(table, PENG_NAMES | {"pft": "vegetation", "references": "study"})
    t["year"], t["method"] = t[list(years)].mean(axis=1), "Peng 2023"
    return Screen("net primary production, whole or in parts (Peng et al. 2023)", path, t)


def _read_srdb(path: Path) -> Screen:
    text, year = ("Quality_flag", "Manipulation", "Duplicate_record", "Study_number", "Ecosystem_type"), "Study_midyear"
    schema = production_schema(SRDB_NAMES, years=(year,), text=text)
    table = read_csv(path, schema, optional=(*text, year), value=("NPP", "ANPP", "BNPP"))
    t = _renamed(table, SRDB_NAMES | {year: "year", "Study_number": "study", "Ecosystem_type": "vegetation"})
    screen = Screen("net primary production, whole or in parts (SRDB v5)", path, t)
    screen.drop("no production", screen.table[list(QUANTITIES)].isna().all(axis=1))
    drop_problems(screen)
    screen.table["study"] = "SRDB " + screen.table["study"].fillna("").astype(str)
    screen.table["method"] = "SRDB"
    return screen


def _read_sun(path: Path) -> Screen:
    text = ("Grassland type",)
    table = read_csv(path, production_schema(SUN_NAMES, scale=CARBON, text=text), optional=text)
    t = _renamed(table, SUN_NAMES | {"Grassland type": "vegetation"})
    t["vegetation"], t["method"] = "Grassland: " + t["vegetation"].fillna("").astype(str), "Sun 2022"
    screen = Screen("net primary production of grasslands (Sun et al. 2022)", path, t)
    screen.remark(f"dry mass, of which {CARBON:g} is carbon", np.ones(len(t), bool))
    screen.table[list(QUANTITIES)] *= CARBON
    total = screen.table["npp"].fillna(screen.table["anpp"] + screen.table["bnpp"])
    standing = (screen.table["bnpp"] > STANDING_ROOTS) | (screen.table["bnpp"] / total > STANDING_SHARE)
    rule = f"standing roots: bnpp > {STANDING_ROOTS:g} g C m⁻² yr⁻¹, or > {STANDING_SHARE:g} of all production"
    screen.drop(rule, standing)
    return screen


def _renamed(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """A table under our names, with what `read_csv` said of it."""
    out = table.rename(columns=names)
    out.attrs.update(table.attrs)
    return out
