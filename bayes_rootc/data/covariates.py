"""Gridded covariates: each raster on its own grid, described by `manifest.toml`; sampled at sites, or brought onto one
map grid.

Missing cells. Grids disagree on coastlines, and soil maps have holes where the dominant unit is rock, city, ice or
sand. A site or cell without a value takes that of the nearest
cell that has one, up to `NEAREST_KM` away; beyond that it is left out and counted. Where a soil property that no soil
has at exactly zero (`NEVER_ZERO`) is zero, it is missing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import pydantic
import rasterio
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject
from rasterio.windows import Window
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from ..constants import EARTH_RADIUS_KM
from ..errors import InputError
from .biomes import with_croplands, wwf_lookup
from .grid import MIN_CELL, MapGrid, open_raster
from .tables import shown
from .toml import first_error, read_toml

PART = 1024
"""Side of the parts in which a raster is read for points, in cells."""

NEAREST_KM = 100.0
NEVER_ZERO = ("clay", "sand", "silt", "organic_carbon", "ph_h2o", "bulk_density", "carbon_nitrogen_ratio")
BIOME_RASTER, CROPLAND_RASTER = "wwf_biome", "cropland_fraction"
MANIFEST_FORM = "a list of [[raster]] entries (name, path, role, group, unit)"
FARTHEST_KM = np.pi * EARTH_RADIUS_KM
FILL_VALUES = (-9999.0, -99999.0, -32768.0, *(float(np.finfo(t).min) for t in ("float32", "float64")))
"""What stands for a missing value in files that do not declare it."""

OF_RECORDS = tuple("id profile lat lon top bottom year zone delta14c sigma npp bnpp f_bnpp d50 d95 biome".split())
"""Columns of tables of records, to which the rasters are joined."""


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or "\0" in path:
        raise ValueError(f"`{shown(path)}` is outside the folder, expected a path within that of the manifest")
    return path


def _own_name(name: str) -> str:
    if name in OF_RECORDS:
        raise ValueError(f"`{name}` is a column of the records; choose another name")
    return name


class Raster(pydantic.BaseModel):
    """One entry of `manifest.toml`."""

    model_config = pydantic.ConfigDict(extra="forbid")

    name: Annotated[str, pydantic.AfterValidator(_own_name)]
    path: Annotated[str, pydantic.AfterValidator(_inside)]
    role: Literal["covariate", "npp", "stock"]
    group: str
    unit: str
    source: str = ""
    note: str = ""
    categories: list[str] | None = None


@dataclass
class SampleReport:
    """How many of `sites` took each raster's value from a neighbouring cell, and how many found none within reach."""

    sites: int
    filled: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)


class CovariateStack:
    """The rasters of a covariate folder.

    Parameters
    ----------
    folder : holds `manifest.toml` and the rasters it names (EPSG:4326, one band, north up).

    Raises
    ------
    InputError : no manifest, an entry with an unknown or missing key, a raster that is not there, not readable, or in
        another form.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.manifest = self.folder / "manifest.toml"
        if not self.manifest.exists():
            raise InputError(f"not found; expected {MANIFEST_FORM}", file=self.manifest)
        self.rasters = {raster.name: raster for raster in read_manifest(self.manifest)}
        if BIOME_RASTER not in self.rasters:
            raise InputError(f"no entry named {BIOME_RASTER}, from which the biomes are derived", file=self.manifest)
        self._without_nodata: set[str] = set()
        for raster in self.rasters.values():
            self._check(raster)

    @cached_property
    def features(self) -> list[str]:
        """Names of the numeric covariates, in the manifest's order (biome is apart)."""
        return [
            r.name
            for r in self.rasters.values()
            if r.role == "covariate" and r.group != "biome" and r.categories is None
        ]

    def role(self, role: str) -> list[str]:
        """Names of the rasters that play a role."""
        return [r.name for r in self.rasters.values() if r.role == role]

    def sample(
        self, lat: ArrayLike, lon: ArrayLike, names: list[str] | None = None, *, nearest_km: float = NEAREST_KM
    ) -> tuple[pd.DataFrame, SampleReport]:
        """Values at sites: one row a site, a column a raster (default: features, npp, stock), and `biome` (0 where
        there is none).

        Parameters
        ----------
        lat, lon : degrees, shape (n,).
        nearest_km : how far to look for a cell with a value.
        """
        lat, lon = (
            np.asarray(lat, float),
            (np.asarray(lon, float) + 180) % 360 - 180,
        )  # 180° E is the first column's edge
        nearest_km = min(nearest_km, FARTHEST_KM)
        names = names if names is not None else [*self.features, *self.role("npp"), *self.role("stock")]
        report = SampleReport(len(lat))
        table = pd.DataFrame(index=range(len(lat)))
        for name in names:
            table[name] = self._sample_raster(self.rasters[name], lat, lon, nearest_km, report)
        natural = self._sample_raster(self.rasters[BIOME_RASTER], lat, lon, nearest_km, report)
        cropland = (
            self._sample_raster(self.rasters[CROPLAND_RASTER], lat, lon, nearest_km, report)
            if CROPLAND_RASTER in self.rasters
            else np.zeros(len(lat))
        )
        table["biome"] = with_croplands(np.nan_to_num(natural), cropland)
        return table, report

    def on_grid(self, grid: MapGrid, names: list[str] | None = None, *, nearest_km: float = NEAREST_KM) -> xr.Dataset:
        """Rasters on a map grid: (lat, lon), NaN off land; `biome` as uint8, 0 off land.

        A finer raster is averaged (classes: the most frequent), a coarser one is read at the cell's centre. Land is
        where the biome raster has soil. A cell without a value takes that of the raster's nearest cell that has one; on
        a coarse grid, from as far as the next cell. Only the part of a raster that the grid covers is read, and what is
        within reach of it where there are holes.
        """
        nearest_km = min(max(nearest_km, 1.5 * np.radians(grid.resolution) * EARTH_RADIUS_KM), FARTHEST_KM)
        biome = self._biome_on_grid(grid)
        land = biome > 0
        out = xr.Dataset(coords={"lat": grid.lat, "lon": grid.lon})
        known_cells: dict[bytes, tuple[cKDTree, NDArray[np.intp]]] = {}
        for name in names if names is not None else [*self.features, *self.role("npp"), *self.role("stock")]:
            raster = self.rasters[name]
            values = self._read_onto(raster, grid, Resampling.average) if land.any() else np.full(grid.shape, np.nan)
            holes = land & np.isnan(values)
            if holes.any():
                values[holes] = self._fill(raster, grid, holes, nearest_km, known_cells)
            out[name] = ("lat", "lon"), np.where(land, values, np.nan).astype(np.float32), {"units": raster.unit}
        out["biome"] = ("lat", "lon"), biome
        return out

    def land_outline(self) -> tuple[NDArray[np.bool_], tuple[float, float, float, float]]:
        """Land mask of the biome raster at its own resolution, and its extent (west, east, south, north): what
        coastlines are drawn from.
        """
        with self._opened(self.rasters[BIOME_RASTER]) as source:
            land = source.read(1, masked=True)
            bounds = source.bounds
        return ~np.ma.getmaskarray(land) & (np.ma.getdata(land) > 0), (
            bounds.left,
            bounds.right,
            bounds.bottom,
            bounds.top,
        )

    def _biome_on_grid(self, grid: MapGrid) -> NDArray[np.uint8]:
        natural = np.nan_to_num(self._read_onto(self.rasters[BIOME_RASTER], grid, Resampling.mode)).astype(np.uint8)
        crops = (
            self._read_onto(self.rasters[CROPLAND_RASTER], grid, Resampling.average)
            if CROPLAND_RASTER in self.rasters
            else 0.0
        )
        return with_croplands(natural, np.broadcast_to(crops, natural.shape))

    def _lookup(self) -> NDArray[np.uint8]:
        try:
            return wwf_lookup(self.rasters[BIOME_RASTER].categories or [])
        except InputError as error:
            raise InputError(error.message, file=self.manifest, column="categories") from None

    def _clean(self, raster: Raster, values: np.ma.MaskedArray) -> NDArray[np.float64]:
        """Plain float values with NaN where missing; classes of the biome raster become biome numbers, 0 for rock, ice
        and water.
        """
        data = np.ma.filled(values.astype(float), np.nan)
        if raster.name in self._without_nodata and (filled := np.isin(data, FILL_VALUES)).any():
            raise InputError(
                f"has the value {data[filled][0]:g} and declares no nodata value; expected to be told what is missing",
                file=self.folder / raster.path,
            )
        data[~np.isfinite(data)] = np.nan
        if raster.name in NEVER_ZERO:
            data[data == 0] = np.nan
        if raster.name == BIOME_RASTER:
            known, lookup = np.isfinite(data), self._lookup()
            found = data[known]
            strange = (found % 1 != 0) | (found < 0) | (found >= len(lookup))
            if strange.any():
                raise InputError(
                    f"value {found[strange][0]:g} has no category in {self.manifest}", file=self.folder / raster.path
                )
            data[known] = lookup[found.astype(int)]
        return data

    def _soil_values(self, raster: Raster, values: np.ma.MaskedArray) -> NDArray[np.float64]:
        """The same for a site, which stands on soil: it may not take a biome without."""
        data = self._clean(raster, values)
        if raster.name == BIOME_RASTER:
            data[data == 0] = np.nan
        return data

    def _sample_raster(
        self, raster: Raster, lat: NDArray, lon: NDArray, nearest_km: float, report: SampleReport
    ) -> NDArray[np.float64]:
        with self._opened(raster) as source:
            read = _at_points(source, lat, lon)
            values = self._soil_values(raster, read)
            # A point off the raster takes its nearest cell: it is missing.
            left, bottom, right, top = source.bounds
            values[(lon < left) | (lon > right) | (lat < bottom) | (lat > top)] = np.nan
            holes = np.flatnonzero(np.isnan(values))
            for i in holes:
                values[i] = self._nearest(source, raster, lat[i], lon[i], nearest_km)
        report.filled[raster.name] = int(np.isfinite(values[holes]).sum())
        report.missing[raster.name] = int(np.isnan(values[holes]).sum())
        return values

    def _nearest(
        self, source: rasterio.DatasetReader, raster: Raster, lat: float, lon: float, nearest_km: float
    ) -> float:
        """Value of the nearest cell that has one, by great-circle distance; NaN beyond reach. Reads only a window about
        the site.
        """
        reach = np.degrees(nearest_km / EARTH_RADIUS_KM)
        lon_reach = min(reach / max(np.cos(np.radians(lat)), 0.01), 180.0)
        row, col = source.index(lon, lat)
        rows, cols = int(np.ceil(reach / source.res[1])) + 1, int(np.ceil(lon_reach / source.res[0])) + 1
        top, left = max(row - rows, 0), max(col - cols, 0)
        bottom, right = min(row + rows + 1, source.height), min(col + cols + 1, source.width)
        if top >= bottom or left >= right:
            return np.nan
        window = Window(left, top, right - left, bottom - top)
        values = self._soil_values(raster, source.read(1, window=window, masked=True))
        r, c = np.nonzero(np.isfinite(values))
        if len(r) == 0:
            return np.nan
        x, y = source.xy(r + top, c + left)
        km = great_circle_km(lat, lon, np.asarray(y), np.asarray(x))
        best = int(np.argmin(km))
        return float(values[r[best], c[best]]) if km[best] <= nearest_km else np.nan

    def _read_onto(self, raster: Raster, grid: MapGrid, finer: Resampling) -> NDArray[np.float64]:
        out = np.full(grid.shape, np.nan)
        with self._opened(raster) as source:
            window = _window(source, grid.bbox)
            if window is None:
                return out
            reproject(
                self._clean(raster, source.read(1, window=window, masked=True)),
                out,
                src_transform=source.window_transform(window),
                src_crs="EPSG:4326",
                src_nodata=np.nan,
                dst_transform=grid.transform,
                dst_crs="EPSG:4326",
                dst_nodata=np.nan,
                resampling=Resampling.nearest if source.res[0] >= grid.resolution else finer,
            )
        return out

    def _fill(
        self,
        raster: Raster,
        grid: MapGrid,
        holes: NDArray[np.bool_],
        nearest_km: float,
        known_cells: dict[bytes, tuple[cKDTree, NDArray[np.intp]]],
    ) -> NDArray[np.float64]:
        """Values for the holes of a grid, (hole,), from the nearest cell of the raster; NaN beyond reach.

        known_cells : where a raster has values, by its form and holes, which rasters of one source share.
        """
        row, col = np.nonzero(holes)
        places = sphere(grid.lat[row], grid.lon[col])
        reach = np.degrees(nearest_km / EARTH_RADIUS_KM)
        south, north = grid.lat[row[-1]] - reach, grid.lat[row[0]] + reach
        lon_reach = reach / np.cos(np.radians(min(max(abs(south), abs(north)), 89.0)))
        west, east = grid.lon[col.min()] - lon_reach, grid.lon[col.max()] + lon_reach
        turns = (0, 360, -360) if east - west < 360 else (0,)  # what is near may lie across 180°
        nearest, out = np.full(len(row), _chord(nearest_km)), np.full(len(row), np.nan)
        with self._opened(raster) as source:
            for turn in turns:
                window = _window(source, (west + turn, south, east + turn, north))
                if window is None:
                    continue
                values = self._clean(raster, source.read(1, window=window, masked=True))
                transform, known = source.window_transform(window), np.isfinite(values)
                key = repr((transform, values.shape)).encode() + np.packbits(known).tobytes()
                if key not in known_cells:
                    # The nearest of them has a neighbour without a value, or lies at the edge.
                    edge = known & ~binary_erosion(known, np.ones((3, 3)))
                    r, c = np.nonzero(edge)
                    lon, lat = transform @ (c + 0.5, r + 0.5)
                    known_cells[key] = cKDTree(sphere(lat, lon)), np.flatnonzero(edge)
                tree, cells = known_cells[key]
                if len(cells):
                    distance, at = tree.query(places, distance_upper_bound=_chord(nearest_km))
                    closer = distance <= nearest
                    nearest[closer] = distance[closer]
                    out[closer] = values.ravel()[cells[at[closer]]]
        return out

    def _opened(self, raster: Raster) -> AbstractContextManager[rasterio.DatasetReader]:
        return open_raster(self.folder / raster.path)

    def _check(self, raster: Raster) -> None:
        path = self.folder / raster.path
        with self._opened(raster) as source:
            crs, t, (left, bottom, right, top) = source.crs, source.transform, source.bounds
            count, kind, nodata = source.count, np.dtype(source.dtypes[0]).kind, source.nodata
            typed = source.dtypes[0]
        if crs is None or crs.to_epsg() != 4326:
            raise InputError(f"expected coordinates in EPSG:4326, found {crs or 'none'}", file=path)
        if count != 1:
            raise InputError(f"expected one band, found {count}", file=path)
        if kind not in "iuf":
            raise InputError(f"expected whole or floating-point numbers, found {typed}", file=path)
        if t.b or t.d or t.a <= 0 or t.e >= 0:
            raise InputError("expected a north-up raster without rotation", file=path)
        if min(t.a, -t.e) < MIN_CELL:
            raise InputError(
                f"has cells of {min(t.a, -t.e):.2g}°, expected cells of at least {MIN_CELL:g}°: average it first",
                file=path,
            )
        for low, high, limit, what in ((left, right, 180, "longitudes"), (bottom, top, 90, "latitudes")):
            if low < -limit - t.a or high > limit + t.a:
                raise InputError(f"expected {what} of -{limit} to {limit}, found {low:g} to {high:g}", file=path)
        if nodata is None:
            self._without_nodata.add(raster.name)


def read_manifest(path: Path) -> list[Raster]:
    """Entries of a covariate manifest.

    Raises
    ------
    InputError : not TOML, or an entry with an unknown, missing or wrong key, or with the name of another.
    """
    entries = read_toml(path).get("raster", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"expected {MANIFEST_FORM}", file=path)
    rasters: list[Raster] = []
    for number, entry in enumerate(entries, 1):
        name = shown(entry.get("name", f"number {number}"))
        try:
            rasters.append(Raster.model_validate(entry))
        except pydantic.ValidationError as error:
            key, message = first_error(error)
            raise InputError(f"entry {name}: {message}", file=path, column=key) from None
        if rasters[-1].name in {raster.name for raster in rasters[:-1]}:
            raise InputError(f"entry {name}: the name is there twice", file=path, column="name")
    return rasters


def great_circle_km(lat: ArrayLike, lon: ArrayLike, lats: NDArray, lons: NDArray) -> NDArray[np.float64]:
    """Distance from one place to others, km (haversine)."""
    lat, lon, lats, lons = (np.radians(a) for a in (lat, lon, lats, lons))
    h = np.sin((lats - lat) / 2) ** 2 + np.cos(lat) * np.cos(lats) * np.sin((lons - lon) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(h, 0, 1)))


def sphere(lat: ArrayLike, lon: ArrayLike) -> NDArray[np.float64]:
    """Places on the unit sphere, (…, 3)."""
    lat, lon = np.broadcast_arrays(np.radians(lat), np.radians(lon))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _at_points(source: rasterio.DatasetReader, lat: NDArray, lon: NDArray) -> np.ma.MaskedArray:
    """Values of the cells in which points (n,) lie. Each part of the raster with points is read once: point by point
    takes ten times as long.
    """
    cell = ~source.transform
    across, down = cell.a * lon + cell.b * lat + cell.c, cell.d * lon + cell.e * lat + cell.f
    row, col = (
        np.clip(np.floor(v).astype(int), 0, size - 1) for v, size in ((down, source.height), (across, source.width))
    )
    read = np.ma.masked_all(len(row), source.dtypes[0])
    part = row // PART * (source.width // PART + 1) + col // PART
    for number in np.unique(part):
        here = np.flatnonzero(part == number)
        top, left = row[here].min(), col[here].min()
        window = Window(left, top, col[here].max() - left + 1, row[here].max() - top + 1)
        read[here] = source.read(1, window=window, masked=True)[row[here] - top, col[here] - left]
    return read


def _window(source: rasterio.DatasetReader, box: tuple[float, float, float, float]) -> Window | None:
    """The cells of a raster that a box (west, south, east, north) touches, and one more on each side; none: None."""
    west, south, east, north = box
    left, top = ~source.transform @ (west, north)
    right, bottom = ~source.transform @ (east, south)
    columns = max(int(np.floor(left)) - 1, 0), min(int(np.ceil(right)) + 1, source.width)
    rows = max(int(np.floor(top)) - 1, 0), min(int(np.ceil(bottom)) + 1, source.height)
    if columns[0] >= columns[1] or rows[0] >= rows[1]:
        return None
    return Window.from_slices(rows, columns)


def _chord(km: float) -> float:
    """Straight-line distance on the unit sphere for a distance along it."""
    return 2 * np.sin(km / EARTH_RADIUS_KM / 2)
