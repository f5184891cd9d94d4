"""Ways to spoil the files of a good folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
from affine import Affine

from .case import MANIFEST, Change


def write(file: str, content: str | bytes) -> Change:
    """The file, new or not, gets this content."""

    def spoil(folder: Path) -> None:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return spoil


def remade(file: str, change: Callable[[bytes], bytes]) -> Change:
    """The file gets what a function makes of its bytes."""
    return lambda folder: (folder / file).write_bytes(change((folder / file).read_bytes()))


def text(file: str, change: Callable[[str], str], encoding: str = "utf-8") -> Change:
    """The file gets what a function makes of its text, in another encoding if need be."""
    return remade(file, lambda content: change(content.decode()).encode(encoding))


def removed(file: str) -> Change:
    """The file is not there."""
    return lambda folder: (folder / file).unlink()


def a_folder(file: str) -> Change:
    """A folder is there in place of the file."""

    def spoil(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        (folder / file).mkdir(parents=True)

    return spoil


def cut(file: str, share: float = 0.5) -> Change:
    """Only the first part of the file is there."""
    return remade(file, lambda content: content[: int(share * len(content))])


def table(file: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Change:
    """A table, all text, gets what a function makes of it."""

    def spoil(folder: Path) -> None:
        change(pd.read_csv(folder / file, dtype=str)).to_csv(folder / file, index=False)

    return spoil


def cells(file: str, rows: slice | list[int] = slice(None), **values: str | None) -> Change:
    """Cells get new values, in some rows (counted from 0) or in all."""

    def change(t: pd.DataFrame) -> pd.DataFrame:
        for column, value in values.items():
            t.loc[t.index[rows], column] = value
        return t

    return table(file, change)


first = partial(cells, rows=[0])
"""Cells of the first row get new values."""


def times(file: str, factor: float, *columns: str) -> Change:
    """Numbers in another unit."""

    def change(t: pd.DataFrame) -> pd.DataFrame:
        for column in columns:
            t[column] = t[column].astype(float) * factor
        return t

    return table(file, change)


def raster(name: str, change: Callable[[np.ndarray], np.ndarray] = lambda values: values, **profile: Any) -> Change:
    """The values and the profile of a raster are changed."""

    def spoil(folder: Path) -> None:
        path = folder / f"data/covariates/{name}.tif"
        with rasterio.open(path) as source:
            values, form = change(source.read()), source.profile
        path.unlink()
        form |= {"count": len(values), "dtype": values.dtype, "nodata": form["nodata"]} | profile
        with rasterio.open(path, "w", **form) as target:
            target.write(values)

    return spoil


def moved(name: str, change: Callable[[Affine], Affine]) -> Change:
    """A raster lies elsewhere, or otherwise."""

    def spoil(folder: Path) -> None:
        with rasterio.open(folder / f"data/covariates/{name}.tif", "r+") as target:
            target.transform = change(target.transform)

    return spoil


def manifest(old: str, new: str) -> Change:
    """The first such words of the manifest are others."""
    return text(MANIFEST, lambda content: content.replace(old, new, 1))
