"""What tests of tiles share."""

from __future__ import annotations

import numpy as np
import pytest

from bayes_rootc.mapping.tiles import MapJob
from bayes_rootc.mapping.variables import EVERY_MAP
from bayes_rootc.mapping.writers import create_store, open_store, write_tile
from tests.mapping.numbered_map import GRID, TILE, value
from tests.mapping.small_map import small_map


@pytest.fixture(scope="module")
def job(demo_world, tmp_path_factory) -> MapJob:
    """A map of the demo world in 15 tiles, of which none is made."""
    return small_map(demo_world.folder, tmp_path_factory.mktemp("tiles"))


@pytest.fixture(scope="module")
def mapped() -> np.ndarray:
    """Which cells of the grid are mapped."""
    return np.random.default_rng(0).random(GRID.shape) < 0.4


@pytest.fixture(scope="module")
def store(mapped, tmp_path_factory):
    """A store that tiles were written into, the last ones of which are cut off by the edge; one tile is left out."""
    path = tmp_path_factory.mktemp("store") / "maps.zarr"
    create_store(path, GRID, TILE)
    opened = open_store(path, write=True)
    for row in range(0, GRID.shape[0], TILE):
        for col in range(0, GRID.shape[1], TILE):
            if (row, col) == (0, TILE):
                continue
            part = GRID.part(row, col, TILE)
            index = np.flatnonzero(mapped[row : row + part.shape[0], col : col + part.shape[1]])
            r, c = np.divmod(index, part.shape[1])
            values = {n: np.stack([value(n, i, row + r, col + c) for i in range(8)], axis=1) for n in EVERY_MAP.layered}
            values |= {n: value(n, 0, row + r, col + c) for n in EVERY_MAP.flat}
            write_tile(opened, (row, col), part, index, values, (1 + index % 9).astype(np.uint8))
    return opened
