"""Parts of the land for which totals are wanted: countries, river basins, any polygons or classes of a raster.

Each cell counts by the share of it that lies in a zone, so that zones smaller than a cell are not lost. Shares
of polygons are exact: a polygon is cut into halves of the grid until a piece fills its box or is one cell's.
exactextract does the same, but counts the overlap of two polygons twice and is one more compiled package; regionmask
samples 10 x 10 points in each cell, for each zone on the whole grid.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

from ..data.grid import MapGrid
from ..data.rasters import open_covariate
from ..data.tables import reason_of
from ..errors import InputError

RASTERS = (".tif", ".tiff", ".nc", ".vrt", ".asc")
"""Endings of files that are read as rasters; all others are read as polygons."""

UNNAMED = "without a name"

MOST_POINTS = 100
"""Largest number of points along a side of a cell at which the classes of a raster are read."""

FULL = 1 - 1e-9
"""Share from which a cell counts as full; the rest is rounding."""


type Box = tuple[float, float, float, float]
"""West, south, east, north, degrees."""


@dataclass(frozen=True)
class Shares:
    """Shares of cells that lie in zones: one row for each cell and zone that overlap.

    Attributes
    ----------
    cell : ndarray
        Flat position on the grid, (n,).
    zone : ndarray
        Label, from 1 on, (n,).
    share : ndarray
        Share of the cell, 0 to 1, (n,). Those of one cell add up to at most 1.
    """

    cell: NDArray[np.int64]
    zone: NDArray[np.int64]
    share: NDArray[np.float64]

    @classmethod
    def joined(cls, cell: NDArray, zone: NDArray, share: NDArray) -> Shares:
        """Adds up rows of the same cell and zone, so that each pair has one row."""
        pairs, at = np.unique(np.stack([cell, zone]).astype(np.int64), axis=1, return_inverse=True)
        return cls(pairs[0], pairs[1], np.bincount(at.ravel(), share, pairs.shape[1]))

    def of(self, cells: NDArray[np.int64]) -> Shares:
        """Shares in the cells at ascending flat positions, with a last row in each cell for the part that is in no zone
        (label 0); `cell` counts these cells from 0.
        """
        at = np.searchsorted(cells, self.cell)
        here = at < len(cells)
        here[here] = cells[at[here]] == self.cell[here]
        at, zone, share = at[here], self.zone[here], self.share[here]
        rest = 1 - np.bincount(at, share, len(cells))
        left = np.flatnonzero(rest > 1 - FULL)
        outside = np.zeros(len(left), np.int64)
        return Shares(np.r_[at, left], np.r_[zone, outside], np.r_[share, rest[left]])


def _is_missing(value: Any) -> bool:
    return value is None or value != value or not str(value).strip()


def _turned(shape: Any, path: Path) -> Any:
    """A polygon between -180 and 180 degrees: the part beyond is shifted by 360°."""
    import shapely

    west, _, east, _ = shape.bounds
    if west >= -180 and east <= 180:
        return shape
    if west < -360 or east > 360:
        raise InputError(f"expected longitudes of -180 to 180 or 0 to 360, found {west:g} to {east:g}", file=path)
    whole = shape if shape.is_valid else shapely.make_valid(shape)
    pieces = [
        shapely.transform(
            whole.intersection(shapely.box(180 * turn, -90, 180 * (turn + 2), 90)),
            lambda xy, t=turn: xy - [180 * (t + 1), 0],
        )
        for turn in (-3, -1, 1)
    ]
    return shapely.union_all([piece for piece in pieces if not piece.is_empty])


class Polygons(NamedTuple):
    """Names of zones; label, shape and bounds of each polygon."""

    names: list[str]
    label: NDArray[np.int64]
    shape: Any
    bounds: NDArray[np.float64]


@dataclass(frozen=True)
class Zones:
    """Named zones from a file of polygons (GeoJSON, Shapefile, GeoPackage, … in longitude and latitude), or from a
    raster of classes.

    Parameters
    ----------
    path : Path
        The file.
    name_field : str, optional
        Column that names the polygons; by default the first one of text. Polygons of one name are one zone;
        where zones overlap, the later one counts.

    Raises
    ------
    InputError
        The file is not readable or not in longitude and latitude, or it has no such column or no polygon.
    """

    path: Path
    name_field: str | None = None

    @cached_property
    def names(self) -> list[str]:
        """Names of the zones; zone i has the label i + 1."""
        return self._raster_classes if self._is_raster else self._polygons.names

    def shares(self, grid: MapGrid) -> Shares:
        """Shares of the zones in the cells of a grid."""
        return self._classes_on(grid) if self._is_raster else self._polygons_on(grid)

    def _polygons_on(self, grid: MapGrid) -> Shares:
        from shapely import affinity

        _, label, shapes, bounds = self._polygons
        west, south, east, north = grid.bbox
        cover = _Cover(grid)
        for turn in (0, 360) if east > 180 else (0,):
            box = west - turn, south, east - turn, north
            near = (bounds[:, 0] < box[2]) & (bounds[:, 2] > box[0]) & (bounds[:, 1] < north) & (bounds[:, 3] > south)
            for i in np.flatnonzero(near)[::-1]:
                cover.add(affinity.translate(shapes[i], turn) if turn else shapes[i], label[i])
        return cover.shares()

    @property
    def _is_raster(self) -> bool:
        return self.path.suffix.lower() in RASTERS

    @cached_property
    def _polygons(self) -> Polygons:
        import shapely.errors
        from pyogrio.raw import read

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # of rings that are not closed: they are refused
                about, _, geometry, columns = read(self.path)
            shapes = shapely.from_wkb(geometry)
            crs = CRS.from_user_input(about["crs"]) if about["crs"] else None
        except (RuntimeError, ValueError, shapely.errors.ShapelyError) as error:  # pyogrio's are RuntimeErrors
            raise InputError(f"not a readable file of polygons ({reason_of(error)})", file=self.path) from None
        table = dict(zip(map(str, about["fields"]), columns, strict=True))
        if crs and crs.to_epsg() != 4326:
            raise InputError(f"expected longitude and latitude (EPSG:4326), found {about['crs']}", file=self.path)
        text = [name for name, values in table.items() if values.dtype == object]
        field = self.name_field or next(iter(text), None)
        if field not in table:
            found = ", ".join(table) or "none"
            called = repr(field) if field else "of text"
            raise InputError(f"no column {called} that names the zones; found {found}", file=self.path)
        solid = np.array([g is not None and "Polygon" in g.geom_type for g in shapes])
        if not solid.any():
            raise InputError("holds no polygon", file=self.path)
        titles = np.array([UNNAMED if _is_missing(value) else str(value) for value in table[field][solid]])
        names, label = np.unique(titles, return_inverse=True)
        turned = np.array([_turned(polygon, self.path) for polygon in shapes[solid]], object)
        return Polygons(names.tolist(), label + 1, turned, shapely.bounds(turned))

    @cached_property
    def _raster_classes(self) -> list[str]:
        with open_covariate(str(self.path), classes=True) as source:
            if not np.issubdtype(np.dtype(source.dtypes[0]), np.integer):
                raise InputError(f"expected whole numbers as classes, found {source.dtypes[0]}", file=self.path)
            found: set[int] = set()
            for _, window in source.block_windows(1):
                found |= set(source.read(1, window=window, masked=True).compressed().tolist())
        if not found:
            raise InputError("holds no class", file=self.path)
        return [str(value) for value in sorted(found)]

    def _classes_on(self, grid: MapGrid) -> Shares:
        """Shares of classes at points of each cell, about one for each cell of the raster; a row of cells at a time."""
        values, rows = np.array([int(name) for name in self.names], np.int64), []
        with open_covariate(str(self.path), classes=True) as source:
            t = source.transform
            points = int(np.clip(np.ceil(grid.resolution / min(t.a, -t.e) - 1e-6), 1, MOST_POINTS))
            offset = ((np.arange(points) + 0.5) / points - 0.5) * grid.resolution
            lon = ((grid.lon[:, None] + offset).ravel() + 180) % 360 - 180
            col = np.floor((lon - t.c) / t.a).astype(int)
            across = (col >= 0) & (col < source.width)
            for row, lat in enumerate(grid.lat):
                down = np.floor((lat + offset - t.f) / t.e).astype(int)
                down = down[(down >= 0) & (down < source.height)]
                if not len(down) or not across.any():
                    continue
                left, top = col[across].min(), down.min()
                window = Window(left, top, col[across].max() - left + 1, down.max() - top + 1)
                data = source.read(1, window=window, masked=True)[np.ix_(down - top, col[across] - left)]
                label = np.where(np.ma.getmaskarray(data), 0, np.searchsorted(values, np.ma.getdata(data)) + 1)
                cell = row * grid.shape[1] + np.flatnonzero(across) // points
                cell = np.broadcast_to(cell, label.shape)[label > 0]
                rows.append(np.stack([cell, label[label > 0]]))
        cell, zone = np.concatenate(rows, axis=1) if rows else np.zeros((2, 0), np.int64)
        return Shares.joined(cell, zone, np.full(len(cell), points**-2.0))


class _Cover:
    """Shares of the cells of a grid that polygons cover; where they overlap, the one that is added first counts.

    Parameters
    ----------
    grid : MapGrid
        Its cells may reach beyond 180°, and so must the polygons.
    """

    def __init__(self, grid: MapGrid):
        self._grid = grid
        self._full = np.zeros(grid.shape, bool)
        self._taken: dict[int, Any] = {}
        """The covered part of each cell that is partly covered."""
        self._found: list[tuple[NDArray, NDArray, NDArray]] = []

    def add(self, shape: Any, label: int) -> None:
        """Covers the part of a polygon that no earlier one covered."""
        import shapely

        whole = shape if shape.is_valid else shapely.make_valid(shape)
        size, columns = self._grid.resolution**2, self._grid.shape[1]
        pieces: dict[int, float] = {}
        every = (0, self._grid.shape[0]), (0, columns)
        for rows, cols, piece in self._parts(_within(whole, self._edges(*every)), *every):
            free = ~self._full[rows, cols]
            row, col = np.nonzero(free)
            cells = (row + rows.start) * columns + col + cols.start
            if piece is None:
                self._full[rows, cols] = True
                taken = [self._taken[c].area / size if c in self._taken else 0.0 for c in cells.tolist()]
                self._note(cells, label, 1 - np.array(taken))
            elif len(cells):
                (cell,) = cells.tolist()
                before = self._taken.get(cell)
                new = piece if before is None else shapely.difference(piece, before)
                pieces[cell] = new.area / size
                self._taken[cell] = piece if before is None else shapely.union(before, new)
        self._note(np.array(list(pieces), np.int64), label, np.array(list(pieces.values())))

    def _note(self, cells: NDArray, label: int, share: NDArray) -> None:
        self._found.append((cells, np.full(len(cells), label), share))

    def shares(self) -> Shares:
        """Shares of all polygons that were added."""
        cell, zone, share = (np.concatenate([np.zeros(0), *(found[i] for found in self._found)]) for i in range(3))
        some = share > 0
        return Shares.joined(cell[some], zone[some], share[some])

    def _parts(
        self, inside: Any, rows: tuple[int, int], cols: tuple[int, int]
    ) -> Iterator[tuple[slice, slice, Any | None]]:
        """Blocks of cells that a polygon fills, and single cells with the piece of it that lies in them.

        Parameters
        ----------
        inside : Polygon
            Its part in the block of these rows and columns.
        """
        number = (rows[1] - rows[0]) * (cols[1] - cols[0])
        if inside.area <= 0:
            return
        if inside.area >= FULL * number * self._grid.resolution**2:
            yield slice(*rows), slice(*cols), None
        elif number == 1:
            yield slice(*rows), slice(*cols), inside
        else:
            if rows[1] - rows[0] >= cols[1] - cols[0]:
                middle = sum(rows) // 2
                halves = [((rows[0], middle), cols), ((middle, rows[1]), cols)]
            else:
                middle = sum(cols) // 2
                halves = [(rows, (cols[0], middle)), (rows, (middle, cols[1]))]
            for half in halves:
                yield from self._parts(_within(inside, self._edges(*half)), *half)

    def _edges(self, rows: tuple[int, int], cols: tuple[int, int]) -> Box:
        """West, south, east, north of a block of cells."""
        step, (west, _, _, north) = self._grid.resolution, self._grid.bbox
        return west + cols[0] * step, north - rows[1] * step, west + cols[1] * step, north - rows[0] * step


def _within(shape: Any, box: Box) -> Any:
    """The part of a polygon that lies in a box.

    `shapely.clip_by_rect` takes a fifth of the time, and is wrong where a polygon's edges run along the box.
    """
    import shapely

    inside = shapely.intersection(shape, shapely.box(*box))
    return inside if inside.is_valid else shapely.make_valid(inside)
