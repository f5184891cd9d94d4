"""A map whose numbers say which map, layer and cell they are of."""

from __future__ import annotations

import numpy as np

from bayes_rootc.data.grid import MapGrid
from bayes_rootc.mapping.variables import EVERY_MAP

ABOUT = {
    "title": "maps of a test",
    "summary": "Numbers.",
    "history": "written",
    "software": "bayes-rootc test",
    "license": "CC-BY-4.0",
    "references": "none",
    "run_id": "0123456789abcdef",
}

GRID = MapGrid(10.0, (-60, -20, 90, 70))
TILE = 6


def value(name: str, layer: int, row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """What a variable has in a cell: a number that says which of all values it is."""
    number = EVERY_MAP.names.index(name)
    return (1000 * number + 100 * layer + 10.0 * row + col / 10).astype(np.float32)


def expected(name: str, layer: int, mapped: np.ndarray) -> np.ndarray:
    """The whole map of a variable; without the tile that was left out."""
    field = value(name, layer, *np.indices(GRID.shape))
    field[~mapped] = np.nan
    field[:TILE, TILE : 2 * TILE] = np.nan
    return field
