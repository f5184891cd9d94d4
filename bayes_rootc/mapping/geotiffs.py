"""Maps as cloud-optimised GeoTIFFs, each made in one pass over the store, with overviews whose values are rounded as
those of the map are.

ZSTD of level 3 after a predictor for floating point was chosen by measurement (docs/engineering.md).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.shutil import copy

from ..data.grid import MapGrid
from ..files import atomic_path
from ..progress import Progress
from .variables import BIOME_COLOURS, BIOME_NAMES, NODATA, describe, file_name
from .writers import About, Rounding, Store, layers_in, maps_in, said_of

TIFF_TAGS = {"title": "TIFFTAG_IMAGEDESCRIPTION", "software": "TIFFTAG_SOFTWARE", "license": "TIFFTAG_COPYRIGHT"}
"""Names that TIFF has for what is said of a file."""

COG: dict[str, Any] = {"driver": "COG", "compress": "ZSTD", "level": 3, "predictor": "YES", "sparse_ok": "YES"}

BLOCK = 512
"""Side of a block of a GeoTIFF, cells; a larger map has an overview of half its side, and so on."""

WIDE = 4096
"""Columns that are read at a time."""


class Picture(NamedTuple):
    """A map as a GeoTIFF: its file, its variable, and its layer and the place of that in the store, if it has one."""

    path: Path
    variable: str
    layer: str | None = None
    place: int | None = None


def pictures(folder: Path, store: Store) -> list[Picture]:
    """All maps of a store, as GeoTIFFs in a folder."""
    out, layers = [], layers_in(store)
    for variable in maps_in(store):
        if store[variable].ndim == 2:
            out.append(Picture(folder / file_name(variable, None), variable))
            continue
        out += [Picture(folder / file_name(variable, layer), variable, layer, i) for i, layer in enumerate(layers)]
    return out


def write_cogs(
    folder: Path, store: Store, grid: MapGrid, about: About, *, workers: int = 2, progress: Progress | None = None
) -> list[Picture]:
    """One cloud-optimised GeoTIFF for each quantity, layer and statistic, `iloss_0-20_mean.tif`, …, and `biome.tif`;
    existing files are kept.

    Parameters
    ----------
    about : About
        What is said of the maps in each file.
    """
    jobs = pictures(folder, store)
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(workers) as pool:
        written = pool.map(lambda job: _write_cog(job, store, grid, about), jobs)
        for done, _ in enumerate(written, 1):
            if progress:
                progress(done, len(jobs))
    return jobs


def _write_cog(picture: Picture, store: Store, grid: MapGrid, about: About) -> None:
    path, variable, layer, _ = picture
    if path.exists():
        return
    classes = variable == "biome"
    said = describe(variable) | said_of(store[variable])
    said = {key: str(value) for key, value in said.items() if not isinstance(value, np.ndarray)}
    tags = {TIFF_TAGS.get(key, key): text for key, text in about.items()} | said
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        plain, *overviews = (Path(scratch) / f"{level}.tif" for level in range(len(_sizes(grid))))
        sums = _write_plain([plain, *overviews], picture, store, grid)
        with rasterio.open(plain, "r+") as target:
            target.update_tags(**tags, **({} if layer is None else {"layer_cm": layer}))
            target.set_band_description(1, said["long_name"])
            if classes:
                target.write_colormap(1, {0: (0, 0, 0, 0)} | {n: _rgb(colour) for n, colour in BIOME_COLOURS.items()})
                target.update_tags(1, **{f"class_{i}": name for i, name in enumerate(BIOME_NAMES)})
            else:
                target.set_band_unit(1, said["units"])
                target.update_tags(1, **sums.tags())
        with atomic_path(path) as temporary:
            copy(_joined(plain, overviews), temporary, **COG)
    if classes:
        names = "".join(f"<Category>{escape(name)}</Category>" for name in BIOME_NAMES)
        text = (
            f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand></PAMDataset>'
        )
        path.with_name(f"{path.name}.aux.xml").write_text(text + "\n", encoding="utf-8")


def _sizes(grid: MapGrid) -> list[tuple[int, int]]:
    """Rows and columns of a map and of its overviews."""
    sizes = [grid.shape]
    while max(sizes[-1]) > BLOCK:
        rows, cols = sizes[-1]
        sizes.append(((rows + 1) // 2, (cols + 1) // 2))
    return sizes


def _write_plain(files: list[Path], picture: Picture, store: Store, grid: MapGrid) -> Sums:
    """Writes a map and its overviews, without compression and without blocks of sea, and sums its values up."""
    classes, sizes, sums = picture.variable == "biome", _sizes(grid), Sums(grid.shape[0] * grid.shape[1])
    profile = {
        "driver": "GTiff",
        "dtype": "uint8" if classes else "float32",
        "count": 1,
        "crs": "EPSG:4326",
        "nodata": 0 if classes else NODATA,
        "bigtiff": "IF_SAFER",
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "sparse_ok": True,
    }
    rounding = Rounding.of_map(store[picture.variable])
    with ExitStack() as opened:
        levels = [
            opened.enter_context(rasterio.open(file, "w", height=rows, width=cols, transform=grid.transform, **profile))
            for file, (rows, cols) in zip(files, sizes, strict=True)
        ]
        for rows, cols in _parts(grid.shape, 2 ** (len(levels) - 1)):
            values = store[picture.variable][(rows, cols) if picture.place is None else (picture.place, rows, cols)]
            values = np.asarray(values)
            known = values > 0 if classes else np.isfinite(values)
            if not known.any():
                continue
            if not classes:
                sums.add(values[known])
            row, col = rows.start, cols.start
            for target in levels:
                filled = values if classes else np.where(np.isfinite(values), values, np.float32(NODATA))
                target.write(filled, 1, window=((row, row + values.shape[0]), (col, col + values.shape[1])))
                row, col = row // 2, col // 2
                values = values[::2, ::2] if classes else rounding.of(halved(values))
    return sums


def _parts(shape: tuple[int, int], multiple: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of parts of a map that begin at multiples of some number."""
    tall, wide = max(BLOCK, multiple), max(WIDE, multiple)
    for row in range(0, shape[0], tall):
        for col in range(0, shape[1], wide):
            yield slice(row, min(row + tall, shape[0])), slice(col, min(col + wide, shape[1]))


def halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over squares of four cells, of those that have a value.

    Examples
    --------
    >>> halved(np.array([[1, 3, 5], [np.nan, np.nan, 7], [np.nan, np.nan, 8]], np.float32))
    array([[ 2.,  6.],
           [nan,  8.]], dtype=float32)
    """
    rows, cols = values.shape
    values = np.pad(values, ((0, rows % 2), (0, cols % 2)), constant_values=np.nan)
    known = np.isfinite(values)
    total, count = np.where(known, values, np.float32(0)), known.astype(np.uint8)
    total, count = (a[::2] + a[1::2] for a in (total, count))
    total, count = (a[:, ::2] + a[:, 1::2] for a in (total, count))
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0, dtype=np.float32)


def _joined(plain: Path, overviews: list[Path]) -> Path:
    """A virtual raster of a map and its overviews, from which GDAL takes both."""
    path = plain.with_suffix(".vrt")
    copy(plain, path, driver="VRT")
    band = "".join(
        f'<Overview><SourceFilename relativeToVRT="1">{file.name}</SourceFilename><SourceBand>1</SourceBand></Overview>'
        for file in overviews
    )
    text = path.read_text(encoding="utf-8").replace("</VRTRasterBand>", f"{band}</VRTRasterBand>")
    path.write_text(text, encoding="utf-8")
    return path


def _rgb(colour: str) -> tuple[int, int, int, int]:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue, 255


@dataclass
class Sums:
    """Sums over the values of a map, from which its statistics follow."""

    cells: int
    known: int = 0
    total: float = 0.0
    squares: float = 0.0
    least: float = np.inf
    most: float = -np.inf

    def add(self, values: NDArray) -> None:
        """Adds some of the values."""
        exact = values.astype(np.float64)
        self.known += len(exact)
        self.total += float(exact.sum())
        self.squares += float(exact @ exact)
        self.least, self.most = min(self.least, float(exact.min())), max(self.most, float(exact.max()))

    def tags(self) -> dict[str, str]:
        """Statistics as GDAL keeps them; none of a map without values."""
        if not self.known:
            return {}
        mean = self.total / self.known
        found = {
            "MINIMUM": self.least,
            "MAXIMUM": self.most,
            "MEAN": mean,
            "STDDEV": max(self.squares / self.known - mean**2, 0.0) ** 0.5,
            "VALID_PERCENT": 100 * self.known / self.cells,
        }
        return {f"STATISTICS_{name}": f"{value:.8g}" for name, value in found.items()}
