"""Ranges of values over the cells of the maps, by biome: the paper's "95 % of the cells" of I_root, I_bulk and I_loss.

A map of 30″ has too many cells to sort: their values are counted in classes 0.2 % wide, strip by strip.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..constants import BIOMES, LAYER_NAMES, PROFILE_NAME
from ..data.grid import MapGrid
from .monte_carlo import FLUXES
from .writers import Store, layers_in, strips

RANGED = {flux: f"{flux}_median" for flux in FLUXES}
"""Map of each flux from which ranges are made. Forests predict logarithms: their mean, transformed back, is the median
of a cell's members of I_root in 0-200 cm and of I_bulk in a layer, and is what the paper maps. The mean over members
grows with the factor by which they are stretched, and so does the median of I_bulk in 0-200 cm, a sum of log-normal
layers: the sum of what the forest predicts for the layers is used instead.
"""

SMALLEST, LARGEST, CLASSES = 1e-4, 1e4, 20_000
"""Classes have equal widths below the first value, proportional ones above, and end at the second (Mg C ha⁻¹ yr⁻¹)."""

REACH = np.arcsinh(LARGEST / SMALLEST)
EDGES = SMALLEST * np.sinh(np.linspace(-REACH, REACH, CLASSES + 1))

ROWS = 64
"""Number of rows that are counted at a time: rows of a fine map are long."""

COLUMNS = "biome biome_name layer quantity cells mean p025 median p975 cell_p025 cell_median cell_p975".split()

PARTS = {"p025": 0.025, "median": 0.5, "p975": 0.975}


@dataclass
class Ranges:
    """Number of a map's cells, and their area (ha), by biome (row 0: all) and class of the value, (10, `CLASSES`)."""

    cells: NDArray[np.float64] = field(default_factory=lambda: np.zeros((1 + len(BIOMES), CLASSES)))
    area: NDArray[np.float64] = field(default_factory=lambda: np.zeros((1 + len(BIOMES), CLASSES)))
    summed: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1 + len(BIOMES)))
    """Value x area, ha, by biome."""

    def add(self, values: NDArray[np.floating], biome: NDArray[np.integer], area_ha: NDArray[np.float64]) -> None:
        """Counts cells, in arrays of any shape; only those with a value and a biome."""
        known = np.isfinite(values) & (biome > 0)
        place = (np.arcsinh(values[known] / SMALLEST) + REACH) * (CLASSES / (2 * REACH))
        at = biome[known].astype(np.int64) * CLASSES + np.clip(place.astype(np.int64), 0, CLASSES - 1)
        for counted, weights in ((self.cells, np.ones(len(at))), (self.area, area_ha[known])):
            of_biome = np.bincount(at, weights, counted.size).reshape(counted.shape)
            counted += of_biome
            counted[0] += of_biome.sum(axis=0)
        flux = np.bincount(biome[known], values[known] * area_ha[known], len(self.summed))
        self.summed += flux
        self.summed[0] += flux.sum()

    def row(self, biome: int) -> dict[str, float]:
        """Number of cells, their mean, and quantiles by area and by number of cells."""
        found: dict[str, float] = {"cells": int(self.cells[biome].sum())}
        found["mean"] = self.summed[biome] / self.area[biome].sum()
        for prefix, counted in (("", self.area[biome]), ("cell_", self.cells[biome])):
            below = np.append(0.0, np.cumsum(counted)) / counted.sum()
            found |= {f"{prefix}{name}": _value_at(below, part) for name, part in PARTS.items()}
        return found


def _value_at(below: NDArray[np.float64], part: float) -> float:
    """Value below which a given part lies, if the values within a class are spread evenly."""
    upper = int(np.searchsorted(below, part))
    lower = upper - 1
    return float(EDGES[lower] + (part - below[lower]) / (below[upper] - below[lower]) * (EDGES[upper] - EDGES[lower]))


def range_table(store: Store, grid: MapGrid) -> pd.DataFrame:
    """`map_ranges`: ranges over the cells of each biome, and of all, by flux and layer, of the maps that there are.

    Parameters
    ----------
    store : Store
        The maps.
    grid : MapGrid
        Grid of the maps.

    Returns
    -------
    DataFrame
        `biome` (0: all), `biome_name`, `layer`, `quantity`, `cells`; weighted by area, `mean`, `p025`, `median`,
        `p975`; with equal weights, `cell_p025`, `cell_median`, `cell_p975`, Mg C ha⁻¹ yr⁻¹.
    """
    names: dict[int, str] = {0: "global"} | BIOMES
    rows: list[dict[str, Any]] = []
    layers = layers_in(store)
    for flux, variable in RANGED.items():
        for layer_name in layers if variable in store else ():
            ranges, array = Ranges(), store[variable]
            # A profile of I_bulk is the sum of its layers, see `RANGED`.
            summed = LAYER_NAMES if (flux, layer_name) == ("ibulk", PROFILE_NAME) else (layer_name,)
            if not set(summed) <= set(layers):
                continue
            parts = [layers.index(name) for name in summed]
            for strip in strips(array):
                values = reduce(np.add, (np.asarray(array[part, strip]) for part in parts))
                biomes, areas = np.asarray(store["biome"][strip]), grid.area_ha[strip]
                for row in range(0, len(values), ROWS):
                    some = slice(row, row + ROWS)
                    ranges.add(values[some].astype(float), biomes[some], areas[some])
            for biome in map(int, np.flatnonzero(ranges.cells.any(axis=1))):
                place = {"biome": biome, "biome_name": names[biome], "layer": layer_name, "quantity": flux}
                rows.append(place | ranges.row(biome))
    rows.sort(key=lambda row: int(row["biome"]))
    return pd.DataFrame(rows, columns=COLUMNS)
