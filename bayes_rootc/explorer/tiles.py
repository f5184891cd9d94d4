"""Maps cut into tiles that a page can load by themselves, and coarser levels of them for a view from afar.

A tile is a square of cells. It has a file for each variable, with all layers, and one that says which cells are land.
Level 0 has the cells of the map; those of level n are means over 2ⁿ × 2ⁿ of them. Maps of half a degree or coarser are
one tile, which the page itself holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..constants import LAYER_NAMES, PROFILE_NAME
from ..mapping.draw import Scale as Colours
from ..progress import Progress
from .codec import deflated, pack
from .quantities import DIVERGING, Variable, split_name

ORDER = (PROFILE_NAME, *LAYER_NAMES)
"""Layers as they are kept, each after the one that it resembles."""

WHOLE = (360, 720)
"""Rows and columns of the finest map that is one tile: the globe at half a degree."""

SIDE = 256
"""Side of a tile, cells."""

MOST_LEVELS = 4
"""Most levels above the map's own: cells that are read at once grow fourfold with each."""

CELLS = "cells"
"""What the file is called that says which cells of a tile are land."""

type Write = Callable[[str, str], None]
"""Takes the name of a tile's file, `level/row/column/variable`, and its content."""


@dataclass(frozen=True)
class Pyramid:
    """How a grid is cut.

    Parameters
    ----------
    rows, cols : int
        Cells of the map.

    Examples
    --------
    >>> Pyramid(360, 720).levels, Pyramid(3600, 7200).levels
    ([(360, 720, 720)], [(3600, 7200, 256), (1800, 3600, 256), (900, 1800, 256), (450, 900, 256)])
    """

    rows: int
    cols: int

    @property
    def is_one_tile(self) -> bool:
        """Whether the whole map is one tile, which the page holds."""
        return self.rows <= WHOLE[0] and self.cols <= WHOLE[1]

    @property
    def levels(self) -> list[tuple[int, int, int]]:
        """Rows, columns and side of a tile, of each level, the finest first."""
        if self.is_one_tile:
            return [(self.rows, self.cols, max(self.rows, self.cols))]
        above = math.ceil(math.log2(max(self.rows / (1.5 * WHOLE[0]), self.cols / (1.5 * WHOLE[1]), 1)))
        return [
            (math.ceil(self.rows / 2**n), math.ceil(self.cols / 2**n), SIDE) for n in range(min(above, MOST_LEVELS) + 1)
        ]

    def squares(self) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of the parts that are read at once: one tile of the coarsest level each."""
        side = self.levels[-1][2] * 2 ** (len(self.levels) - 1)
        for row in range(0, self.rows, side):
            for col in range(0, self.cols, side):
                yield slice(row, min(row + side, self.rows)), slice(col, min(col + side, self.cols))


@dataclass(frozen=True)
class Cut:
    """What came of cutting maps into tiles.

    Attributes
    ----------
    tiles : list of str
        Tiles that have land, `level/row/column`.
    limits : dict of str to list
        Limits of the colours of each variable in each of its layers, from the coarsest level.
    """

    tiles: list[str]
    limits: dict[str, list[tuple[float, float]]]


def layers_of(maps: xr.Dataset) -> list[str]:
    """Layers that the maps have, in the order in which they are kept."""
    there = set(maps["layer"].values.astype(str))
    return [layer for layer in ORDER if layer in there]


def cut_maps(maps: xr.Dataset, variables: Sequence[Variable], write: Write, *, progress: Progress | None = None) -> Cut:
    """Cuts maps into tiles and hands each file over to `write`, from several threads at once.

    Parameters
    ----------
    maps : Dataset
        `maps/maps.nc`, (layer, lat, lon).
    variables : sequence of Variable
        What is cut, bases first.
    write : callable
        Takes name and content of each file.
    progress : callable, optional
        Is told how many parts of how many are done.
    """
    pyramid = Pyramid(maps.sizes["lat"], maps.sizes["lon"])
    order = [maps["layer"].values.astype(str).tolist().index(layer) for layer in layers_of(maps)]
    bases = {variable.base for variable in variables}
    names: list[str] = []
    samples: dict[str, list[NDArray]] = {variable.name: [] for variable in variables}
    squares = list(pyramid.squares())
    with ThreadPoolExecutor(WORKERS) as pool:
        for done, (rows, cols) in enumerate(squares, 1):
            here = maps.isel(lat=rows, lon=cols)
            mapped = here["biome"].values > 0 if "biome" in here else np.isfinite(here[variables[0].name].values[0])
            tiles = list(_tiles(pyramid, rows.start, cols.start, mapped))
            names += [tile.name for tile in tiles]
            writing = [pool.submit(write, f"{tile.name}/{CELLS}", deflated(tile.bits())) for tile in tiles]
            kept: dict[str, Sequence[NDArray[np.int16] | None]] = {}
            for variable in variables if tiles else ():
                values = here[variable.name].values
                levels = _levels(values[order] if variable.layered else values[None], mapped, len(pyramid.levels))
                cells = [tile.cells(levels[tile.level]) for tile in tiles]
                samples[variable.name] += [c for c, t in zip(cells, tiles, strict=True) if t.level == len(levels) - 1]
                steps = [variable.scale.steps(values) for values in cells]
                wait(writing)  # not more than one variable waits to be written
                references: Sequence[NDArray[np.int16] | None] = kept.get(variable.base or "", [None] * len(tiles))
                writing = [
                    pool.submit(_write_values, write, f"{tile.name}/{variable.name}", some, values, reference)
                    for tile, some, values, reference in zip(tiles, steps, cells, references, strict=True)
                ]
                if variable.name in bases:
                    kept[variable.name] = steps
            for written in writing:
                written.result()
            if progress:
                progress(done, len(squares))
    limits = {name: _limits(name, np.concatenate(parts, axis=1)) for name, parts in samples.items() if parts}
    return Cut(names, limits)


WORKERS = 2


def _write_values(
    write: Write, name: str, steps: NDArray[np.int16], values: NDArray, reference: NDArray[np.int16] | None
) -> None:
    write(name, deflated(pack(steps, np.isfinite(values), reference)))


@dataclass(frozen=True)
class _Tile:
    """A square of a level: where it begins there (row, column), counted from that of the part that was read, and which
    of its cells are land.
    """

    name: str
    level: int
    place: tuple[int, int]
    land: NDArray[np.bool_]

    def cells(self, field: NDArray) -> NDArray[np.floating]:
        """Values of the land cells of the tile, (layer, cell), from a field of its level, (layer, row, column)."""
        (row, col), (rows, cols) = self.place, self.land.shape
        return field[:, row : row + rows, col : col + cols][:, self.land]

    def bits(self) -> bytes:
        """Land, row by row, eight cells a byte."""
        return np.packbits(self.land).tobytes()


def _tiles(pyramid: Pyramid, row: int, col: int, mapped: NDArray[np.bool_]) -> Iterator[_Tile]:
    """Tiles with land, of all levels, of a part of the map that begins at a row and column."""
    land = mapped
    for level, (_, _, side) in enumerate(pyramid.levels):
        if level:
            land = _blocks(land).any(axis=(1, 3))
        for r in range(0, land.shape[0], side):
            for c in range(0, land.shape[1], side):
                part = land[r : r + side, c : c + side]
                if part.any():
                    name = f"{level}/{(row // 2**level + r) // side}/{(col // 2**level + c) // side}"
                    yield _Tile(name, level, (r, c), part)


def _levels(values: NDArray, mapped: NDArray[np.bool_], count: int) -> list[NDArray]:
    """A field, (layer, row, column), and its means over ever larger blocks of land cells; of classes the greatest."""
    levels = [values]
    if count > 1 and values.dtype.kind == "f":
        levels = [np.where(mapped, values, np.float32(np.nan))]
    for _ in range(count - 1):
        last = levels[-1]
        if last.dtype.kind == "f":
            blocks = _blocks(last)
            known = np.isfinite(blocks)
            number = known.sum(axis=(2, 4))
            total = np.where(known, blocks, 0).sum(axis=(2, 4))
            levels.append(np.divide(total, number, where=number > 0, out=np.full(total.shape, np.nan, total.dtype)))
        else:
            levels.append(_blocks(last).max(axis=(2, 4)))
    return levels


def _blocks(field: NDArray) -> NDArray:
    """Blocks of 2 × 2 cells, as further axes; an odd last row or column is filled up with nothing."""
    *more, rows, cols = field.shape
    empty = np.nan if field.dtype.kind == "f" else 0
    widths = [(0, 0)] * len(more) + [(0, rows % 2), (0, cols % 2)]
    whole = np.pad(field, widths, constant_values=empty)
    return whole.reshape(*more, (rows + 1) // 2, 2, (cols + 1) // 2, 2)


def _limits(name: str, values: NDArray) -> list[tuple[float, float]]:
    """Limits of the colours in each layer."""
    quantity, _ = split_name(name)
    found = (Colours.of(layer, "viridis", centred=quantity in DIVERGING) for layer in values)
    return [(float(f"{scale.low:.4g}"), float(f"{scale.high:.4g}")) for scale in found]
