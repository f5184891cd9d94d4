"""The nine biomes, from WWF ecoregion biomes and the fraction of cropland, or from what a record says of its place."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..constants import BIOMES
from ..errors import InputError

CROPLANDS = 9
UNSAID, NOT_CROPLAND = 0, -1
"""What stands for a record's biome where it says nothing, or only that its land is not cultivated."""

CULTIVATED = ("cultivated", "cropland", "croplands", "crop", "crops", "arable", "arable land", "agriculture")
UNCULTIVATED = ("forest", "rangeland/grassland", "grassland", "rangeland", "shrubland", "tundra", "wetland", "bare")
"""Land covers of records, ISRaD's first, whose land is croplands, or is not, whatever covers most of the cell."""

EXPECTED_BIOME = f"a number or name of: {', '.join(f'{number} {name}' for number, name in BIOMES.items())}"

CROPLAND_FRACTION = 0.5
"""Cells with more cropland than this are croplands, whatever grew there before."""

WWF_TO_BIOME: dict[str, int] = {
    "boreal forests/taiga": 6,
    "deserts and xeric shrublands": 8,
    "flooded grasslands and savannas": 2,
    "inland water": 0,
    "mangroves": 1,
    "mediterranean forests, woodlands and scrub": 5,
    "montane grasslands and shrublands": 5,
    "rock and ice": 0,
    "temperate broadleaf and mixed forests": 3,
    "temperate conifer forests": 3,
    "temperate grasslands, savannas and shrublands": 4,
    "tropical and subtropical coniferous forests": 1,
    "tropical and subtropical dry broadleaf forests": 1,
    "tropical and subtropical grasslands, savannas and shrublands": 2,
    "tropical and subtropical moist broadleaf forests": 1,
    "tundra": 7,
}
"""WWF's sixteen classes (Olson et al. 2001) → biome number; 0 has no soil profile and is left out."""


def wwf_lookup(categories: list[str]) -> NDArray[np.uint8]:
    """Table from raster value (1, 2, …, as `categories` lists them) to biome number; value 0 and classes without soil
    give 0.

    Raises
    ------
    InputError
        A category that is not one of WWF's.
    """
    unknown = [c for c in categories if _spelt(c) not in WWF_TO_BIOME]
    if unknown:
        raise InputError(f"`{unknown[0]}` is not a WWF biome, expected one of: {'; '.join(WWF_TO_BIOME)}")
    return np.array([0, *(WWF_TO_BIOME[_spelt(c)] for c in categories)], np.uint8)


def _spelt(category: str) -> str:
    """A class as `WWF_TO_BIOME` spells it: `&` is `and`, in the publisher's own file and in RESOLVE's."""
    words = category.casefold().replace("&", " and ").replace(";", ",").split()
    return " ".join(words).replace(" / ", "/")


def with_croplands(natural: ArrayLike, cropland_fraction: ArrayLike) -> NDArray[np.uint8]:
    """Biome number, croplands where they cover more than half; 0 stays 0, an unknown fraction counts as none."""
    natural = np.asarray(natural, np.uint8)
    fraction = np.nan_to_num(np.asarray(cropland_fraction, float))
    return np.where((natural > 0) & (fraction > CROPLAND_FRACTION), np.uint8(CROPLANDS), natural)


def said_by_land_cover(land_cover: pd.Series) -> pd.Series:
    """Biome that records say by their land cover: croplands, `NOT_CROPLAND`, or `UNSAID`."""
    words = land_cover.fillna("").astype(str).str.strip().str.casefold()
    said = pd.Series(UNSAID, land_cover.index).mask(words.isin(CULTIVATED), CROPLANDS)
    return said.mask(words.isin(UNCULTIVATED), NOT_CROPLAND)


def biome_numbers(column: pd.Series) -> pd.Series:
    """Numbers of biomes from numbers or names, in any case; empty cells are `UNSAID`, what is neither is NaN."""
    names = {name.casefold(): number for number, name in BIOMES.items()} | {str(number): number for number in BIOMES}
    text = column.map(lambda v: f"{v:g}" if isinstance(v, float) else str(v).strip().casefold(), na_action="ignore")
    text = text.astype("object").str.removesuffix(".0")
    return text.map(names).where(text.notna() & (text != ""), UNSAID)


def biome_of_record(said: ArrayLike, mapped: ArrayLike, natural: ArrayLike) -> NDArray[np.int64]:
    """Biome of records: the one that they say; the natural one where they say that the land is not cultivated; else
    that of the rasters.

    Parameters
    ----------
    said : array-like
        As `said_by_land_cover` and `biome_numbers` give it.
    mapped, natural : array-like
        Biome of the rasters, with and without croplands; 0 where there is none.
    """
    said, mapped, natural = (np.asarray(v, np.int64) for v in (said, mapped, natural))
    return np.where(said > UNSAID, said, np.where((said == NOT_CROPLAND) & (natural > 0), natural, mapped))
