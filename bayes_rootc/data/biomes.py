"""The nine biomes, from WWF ecoregion biomes and the fraction of cropland."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

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
    return np.where((natural > 0) & (fraction > CROPLAND_FRACTION), np.uint8(9), natural)
