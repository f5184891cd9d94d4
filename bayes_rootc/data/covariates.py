"""Gridded covariates: each raster on its own grid, described by `manifest.toml` (`manifest`); sampled at sites, or
brought onto one map grid.

Rasters of mapping units give a covariate for each attribute that is looked up in their table (`mapping_units`), and a
raster of elevation one for each attribute of the `terrain`. A covariate of classes gives a dummy variable for each
class.

Missing cells. Grids disagree on coastlines, and soil maps have holes where the dominant unit is rock, city, ice or
sand. A site or cell without a value takes that of the nearest cell that has one, up to `NEAREST_KM` away; beyond that
it is left out and counted. A zero of a soil property that is zero in no soil (`NEVER_ZERO`) counts as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject
from rasterio.windows import Window
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from ..constants import EARTH_RADIUS_KM, G_CM2_TO_MG_HA, LAYER_NAMES, LAYERS
from ..errors import InputError
from .biomes import with_croplands, wwf_lookup
from .grid import MIN_CELL, MapGrid
from .manifest import MANIFEST_FORM, Attribute, CarbonDensity, Entry, Indicator, Raster, Terrain, Units, read_manifest
from .mapping_units import UnitTable
from .rasters import Form, file_of, open_covariate, place_of
from .tables import SourceCheck
from .terrain import terrain

PART = 1024
"""Side of the parts in which a raster is read for points, in cells."""

PAPER_COVARIATES = Path(__file__).with_name("paper_covariates.toml")
"""Manifest of the paper's 54 covariates, made from the files of the public data folder."""

CLASS_UNITS = ("class", "classes", "category", "categories", "code", "codes")
"""Units of rasters whose numbers are no quantity."""

NEAREST_KM = 100.0
NEVER_ZERO = ("clay", "sand", "silt", "organic_carbon", "ph_h2o", "bulk_density", "carbon_nitrogen_ratio")
BIOME_RASTER, CROPLAND_RASTER = "wwf_biome", "cropland_fraction"

IGBP = "mcd12c1_2019_igbp.tif"
LAND_COVER = Raster(name="land_cover", role="covariate", group="", unit="1", path=IGBP, band=None, nodata=None)
BARE = (15, 16)
"""IGBP classes of `LAND_COVER` without plants to speak of: snow and ice, barren."""
FARTHEST_KM = np.pi * EARTH_RADIUS_KM


type Cells = dict[tuple[str, tuple[int, ...]], NDArray[np.unsignedinteger]]
"""Mapping units of windows of their raster, by its name and the window."""


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
    folder : str or Path
        Folder with `manifest.toml` and the files that it names (rasters, north up; see `rasters`).
    manifest : str or Path, optional
        A different manifest of the folder's files, such as `PAPER_COVARIATES`.

    Raises
    ------
    InputError
        There is no manifest, an entry has an unknown or missing key, or a raster or table is missing, unreadable, or in
        an unknown form.
    """

    def __init__(self, folder: str | Path, manifest: str | Path | None = None):
        self.folder = Path(folder)
        self.manifest = self.folder / "manifest.toml" if manifest is None else Path(manifest)
        if not self.manifest.exists():
            raise InputError(f"not found; expected {MANIFEST_FORM}", file=self.manifest)
        entries = read_manifest(self.manifest)
        self.rasters: dict[str, Entry | Indicator] = {}
        """By name, in the manifest's order: its covariates, and after one of classes their dummy variables."""
        for entry in entries.covariates:
            self.rasters |= {entry.name: entry} | {one.name: one for one in indicators(entry)}
        if BIOME_RASTER not in self.rasters:
            raise InputError(f"no entry named {BIOME_RASTER}, from which the biomes are derived", file=self.manifest)
        files = [file_of(self.folder, path) for path in entries.files]
        cover = self.folder / LAND_COVER.path
        self._covered = cover.is_file()
        self.files = [path for path in dict.fromkeys(files) if path is not None] + [cover] * self._covered
        """Every file here that the manifest names, and the land cover, where there is one."""
        self._forms: dict[str, Form] = {}
        self._units = entries.units
        self._tables: dict[str, UnitTable] = {}
        for entry in entries.covariates:
            if isinstance(entry, Raster):
                self._check(entry)
        for units in entries.units.values():
            self._check(units)
            self._tables[units.name] = UnitTable(units, self.folder)
        for entry in entries.covariates:
            if isinstance(entry, Attribute):
                self._tables[entry.units].check(entry)

    @cached_property
    def features(self) -> list[str]:
        """Names of the numeric covariates, dummy variables among them, in the manifest's order (biome is apart)."""
        return [
            name
            for name, r in self.rasters.items()
            if r.role == "covariate" and r.group != "biome" and r.categories is None
        ]

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """Numeric covariates by group (soil, climate, topography), without dummy variables."""
        groups: dict[str, list[str]] = {}
        for name in self.features:
            if not isinstance(self.rasters[name], Indicator):
                groups.setdefault(self.rasters[name].group, []).append(name)
        return groups

    def checks(self) -> list[SourceCheck]:
        """What was used of the tables of mapping units, for the attributes that have been looked up until now."""
        return [table.source_check() for table in self._tables.values() if table.asked]

    def role(self, role: str) -> list[str]:
        """Names of the rasters that play a role."""
        return [name for name, r in self.rasters.items() if r.role == role and not isinstance(r, Indicator)]

    def sample(
        self, lat: ArrayLike, lon: ArrayLike, names: list[str] | None = None, *, nearest_km: float = NEAREST_KM
    ) -> tuple[pd.DataFrame, SampleReport]:
        """Values of the rasters at sites.

        Parameters
        ----------
        lat, lon : array-like of float, shape (n,)
            Degrees north and east.
        names : list of str, optional
            Rasters to sample; by default the features and those of role `npp` and `stock`.
        nearest_km : float
            Maximum distance (km) from which a missing value is borrowed.

        Returns
        -------
        values : DataFrame
            One row a site and one column a raster, `biome` (1–9; 0 where there is none), and `natural_biome`, which has
            no croplands.
        report : SampleReport
            How many values were borrowed, and how many are missing.
        """
        lat, lon = (
            np.asarray(lat, float),
            (np.asarray(lon, float) + 180) % 360 - 180,
        )  # 180° E is the first column's edge
        nearest_km = min(nearest_km, FARTHEST_KM)
        names = names if names is not None else [*self.features, *self.role("npp"), *self.role("stock")]
        report = SampleReport(len(lat))
        known: dict[str, NDArray[np.float64]] = {}
        cells: Cells = {}

        def value(name: str) -> NDArray[np.float64]:
            entry = self.rasters[name]
            if isinstance(entry, Indicator):
                return entry.of_classes(value(entry.of.name))
            if name not in known:
                known[name] = self._sample_raster(entry, lat, lon, nearest_km, report, cells)
            return known[name]

        values = {name: value(name) for name in names}
        natural = np.nan_to_num(value(BIOME_RASTER)).astype(np.uint8)
        cropland = value(CROPLAND_RASTER) if CROPLAND_RASTER in self.rasters else np.zeros(len(lat))
        table = pd.DataFrame(values, index=range(len(lat)))
        return table.assign(biome=with_croplands(natural, cropland), natural_biome=natural), report

    def layer_stocks(
        self, lat: ArrayLike, lon: ArrayLike, *, nearest_km: float = NEAREST_KM
    ) -> NDArray[np.float64] | None:
        """Carbon stock of the seven layers at sites, Mg C ha⁻¹, (n, 7), from the first `[[units]]` entry with a
        `stock`; None where the manifest has none.

        A unit without a value in a layer takes that of the nearest cell with one.

        Parameters
        ----------
        lat, lon : array-like
            Degrees, shape (n,).
        nearest_km : float
            How far to look for a cell with a value; NaN where there is none.
        """
        units = next((one for one in self._units.values() if one.stock is not None), None)
        if units is None:
            return None
        lat, lon = np.asarray(lat, float), (np.asarray(lon, float) + 180) % 360 - 180
        report = SampleReport(len(lat))
        cells: Cells = {}
        densities = [
            self._sample_raster(
                CarbonDensity(name=f"carbon density {name} cm", units=units.name, depth=depth), lat, lon,
                min(nearest_km, FARTHEST_KM), report, cells,
            )
            for name, depth in zip(LAYER_NAMES, LAYERS, strict=True)
        ]  # fmt: skip
        return np.stack(densities, axis=1) * np.diff(LAYERS)[:, 0] * G_CM2_TO_MG_HA

    def on_grid(self, grid: MapGrid, names: list[str] | None = None, *, nearest_km: float = NEAREST_KM) -> xr.Dataset:
        """Rasters on a map grid.

        A finer raster is averaged (classes: the most frequent); a coarser one, and one of mapping units, is read at the
        cell's centre. Land is where the biome raster has soil. A cell without a value takes that of the raster's
        nearest cell that has one; on a coarse grid, from as far as the next cell. Only the part of a raster that the
        grid covers is read, and what is within reach of it where there are holes.

        Parameters
        ----------
        grid : MapGrid
            Cells of the map.
        names : list of str, optional
            Rasters to read; by default the features and those of role `npp` and `stock`.
        nearest_km : float
            Maximum distance (km) from which a missing value is borrowed; at least one and a half cells.

        Returns
        -------
        Dataset
            Over `lat` and `lon`: the rasters, NaN off land, and `biome` as uint8, 0 off land.
        """
        nearest_km = min(max(nearest_km, 1.5 * np.radians(grid.resolution) * EARTH_RADIUS_KM), FARTHEST_KM)
        biome = self._biome_on_grid(grid)
        land = biome > 0
        out = xr.Dataset(coords={"lat": grid.lat, "lon": grid.lon})
        known_cells: dict[bytes, tuple[cKDTree, NDArray[np.intp]]] = {}
        known: dict[str, NDArray[np.float32]] = {}
        cells: Cells = {}

        def value(name: str) -> NDArray[np.float32]:
            entry = self.rasters[name]
            if isinstance(entry, Indicator):
                return entry.of_classes(value(entry.of.name)).astype(np.float32)
            if name not in known:
                finer = Resampling.mode if entry.categories else Resampling.average
                values = self._read_onto(entry, grid, finer, cells) if land.any() else np.full(grid.shape, np.nan)
                holes = land & np.isnan(values)
                if holes.any():
                    values[holes] = self._fill(entry, grid, holes, nearest_km, known_cells, cells)
                known[name] = np.where(land, values, np.nan).astype(np.float32)
            return known[name]

        for name in names if names is not None else [*self.features, *self.role("npp"), *self.role("stock")]:
            out[name] = ("lat", "lon"), value(name), {"units": self.rasters[name].unit}
        out["biome"] = ("lat", "lon"), biome
        return out

    def bare_share(self, grid: MapGrid) -> NDArray[np.float64] | None:
        """Share of each cell that is bare or under ice, by the folder's `LAND_COVER`; 0 where that says nothing, None
        where there is no such file.
        """
        if not self._covered:
            return None
        self._check(LAND_COVER)
        return np.nan_to_num(self._read_onto(LAND_COVER, grid, Resampling.average, {}))

    def land_outline(self) -> tuple[NDArray[np.bool_], rasterio.coords.BoundingBox]:
        """Land mask of the biome raster at its own resolution, and its bounds: what coastlines are drawn from."""
        with self._opened(self._entry(BIOME_RASTER)) as source:
            land = source.read(1, masked=True)
            bounds = source.bounds
        return ~np.ma.getmaskarray(land) & (np.ma.getdata(land) > 0), bounds

    def _biome_on_grid(self, grid: MapGrid) -> NDArray[np.uint8]:
        natural = np.nan_to_num(self._read_onto(self._entry(BIOME_RASTER), grid, Resampling.mode, {})).astype(np.uint8)
        crops = (
            self._read_onto(self._entry(CROPLAND_RASTER), grid, Resampling.average, {})
            if CROPLAND_RASTER in self.rasters
            else 0.0
        )
        return with_croplands(natural, np.broadcast_to(crops, natural.shape))

    def _lookup(self) -> NDArray[np.uint8]:
        try:
            return wwf_lookup(self._entry(BIOME_RASTER).categories or [])
        except InputError as error:
            raise InputError(error.message, file=self.manifest, column="categories") from None

    def _entry(self, name: str) -> Entry:
        """A covariate of the manifest, no dummy variable."""
        entry = self.rasters[name]
        assert isinstance(entry, Entry)
        return entry

    def _read(self, entry: Entry, source: rasterio.DatasetReader, window: Window, cells: Cells) -> NDArray[np.floating]:
        """Values of a window, NaN where there are none.

        Parameters
        ----------
        cells : Cells
            Mapping units of the windows that were read before, which all attributes of them share.
        """
        if isinstance(entry, Terrain):
            elevation = _with_margin(
                source, window, lambda wider: self._read(self._elevation(entry), source, wider, {})
            )
            rows = window.row_off + np.arange(window.height) + 0.5
            return terrain(entry.attribute, elevation, source.transform.f + source.transform.e * rows, source.res)
        if entry is LAND_COVER:
            cover = source.read(1, window=window, masked=True)
            return np.where(np.ma.getmaskarray(cover), np.nan, np.isin(cover.data, BARE))
        if not isinstance(entry, Attribute):
            return self._clean(entry, source.read(1, window=window, masked=True))
        table, key = self._tables[entry.units], (entry.units, tuple(map(int, window.flatten())))
        if key not in cells:
            cells[key] = table.positions(source.read(1, window=window, masked=True))
        return table.values(entry)[cells[key]]

    def _clean(self, raster: Entry, values: np.ma.MaskedArray) -> NDArray[np.float64]:
        """Plain float values with NaN where missing; classes of the biome raster become biome numbers, 0 for rock, ice
        and water.
        """
        data = np.ma.filled(values.astype(float), np.nan)
        form, asked = self._forms[raster.name], raster.nodata if isinstance(raster, Raster) else None
        if asked is not None:
            data[data == asked] = np.nan
        if (code := form.undeclared(data)) is not None and asked is None:
            declared = "no nodata value" if form.nodata is None else f"{form.nodata:g} as nodata"
            raise InputError(
                f"has the value {code:g} and declares {declared}; declare what is missing in the file, or in its entry "
                f"of the manifest: `nodata = {code:g}`",
                file=self._path(raster),
            )
        data[~np.isfinite(data)] = np.nan
        if (form.scale, form.offset) != (1.0, 0.0):
            data = data * form.scale + form.offset
        if raster.name in NEVER_ZERO:
            data[data == 0] = np.nan
        if raster.categories is not None:
            known = np.isfinite(data)
            found = data[known]
            strange = (found % 1 != 0) | (found < 0) | (found > len(raster.categories))
            if strange.any():
                raise InputError(
                    f"value {found[strange][0]:g} has no category in {self.manifest}", file=self._path(raster)
                )
            if raster.name == BIOME_RASTER:
                data[known] = self._lookup()[found.astype(int)]
            else:
                data[data == 0] = np.nan
        return data

    def _soil_values(
        self, raster: Entry, source: rasterio.DatasetReader, window: Window, cells: Cells
    ) -> NDArray[np.floating]:
        """The values of a window for a site, which stands on soil: it may not take a biome without."""
        data = self._read(raster, source, window, cells)
        if raster.name == BIOME_RASTER:
            data[data == 0] = np.nan
        return data

    def _sample_raster(
        self, raster: Entry, lat: NDArray, lon: NDArray, nearest_km: float, report: SampleReport, cells: Cells
    ) -> NDArray[np.float64]:
        with self._opened(raster) as source:
            values = _at_points(source, lat, lon, lambda window: self._soil_values(raster, source, window, cells))
            # A point off the raster takes its nearest cell: it is missing.
            left, bottom, right, top = source.bounds
            values[(lon < left) | (lon > right) | (lat < bottom) | (lat > top)] = np.nan
            holes = np.flatnonzero(np.isnan(values))
            for i in holes:
                values[i] = self._nearest(source, raster, lat[i], lon[i], nearest_km, cells)
        report.filled[raster.name] = int(np.isfinite(values[holes]).sum())
        report.missing[raster.name] = int(np.isnan(values[holes]).sum())
        return values

    def _nearest(
        self, source: rasterio.DatasetReader, raster: Entry, lat: float, lon: float, nearest_km: float, cells: Cells
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
        values = self._soil_values(raster, source, window, cells)
        r, c = np.nonzero(np.isfinite(values))
        if len(r) == 0:
            return np.nan
        x, y = source.xy(r + top, c + left)
        km = great_circle_km(lat, lon, np.asarray(y), np.asarray(x))
        best = int(np.argmin(km))
        return float(values[r[best], c[best]]) if km[best] <= nearest_km else np.nan

    def _read_onto(self, raster: Entry, grid: MapGrid, finer: Resampling, cells: Cells) -> NDArray[np.float64]:
        out = np.full(grid.shape, np.nan)
        west, south, east, north = grid.bbox
        with self._opened(raster) as source:
            coarser = source.res[0] >= grid.resolution
            for turn in (0, 360) if east > 180 else (0,):
                window = _window(source, (west - turn, south, east - turn, north))
                if window is None:
                    continue
                side = np.full(grid.shape, np.nan)
                reproject(
                    self._read(raster, source, window, cells),
                    side,
                    src_transform=source.window_transform(window),
                    src_crs="EPSG:4326",
                    src_nodata=np.nan,
                    dst_transform=Affine.translation(-turn, 0) @ grid.transform,
                    dst_crs="EPSG:4326",
                    dst_nodata=np.nan,
                    resampling=Resampling.nearest if coarser or isinstance(raster, Attribute) else finer,
                )
                # What lies beyond 180° is at the raster's other end; a cell is of the side of its centre.
                here = (grid.lon >= 180) == bool(turn) if east > 180 else slice(None)
                out[:, here] = side[:, here]
        return out

    def _fill(
        self,
        raster: Entry,
        grid: MapGrid,
        holes: NDArray[np.bool_],
        nearest_km: float,
        known_cells: dict[bytes, tuple[cKDTree, NDArray[np.intp]]],
        cells: Cells,
    ) -> NDArray[np.float64]:
        """Values for the holes of a grid, (hole,), from the nearest cell of the raster; NaN beyond reach.

        Parameters
        ----------
        known_cells : dict of bytes to tuple of cKDTree, ndarray
            Where a raster has values, by its form and holes, which rasters of one source share.
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
                values = self._read(raster, source, window, cells)
                transform, known = source.window_transform(window), np.isfinite(values)
                key = repr((transform, values.shape)).encode() + np.packbits(known).tobytes()
                if key not in known_cells:
                    # The nearest of them has a neighbour without a value, or lies at the edge.
                    edge = known & ~binary_erosion(known, np.ones((3, 3)))
                    r, c = np.nonzero(edge)
                    lon, lat = transform @ (c + 0.5, r + 0.5)
                    known_cells[key] = cKDTree(sphere(lat, lon)), np.flatnonzero(edge)
                tree, edges = known_cells[key]
                if len(edges):
                    distance, at = tree.query(places, distance_upper_bound=_chord(nearest_km))
                    closer = distance <= nearest
                    nearest[closer] = distance[closer]
                    out[closer] = values.ravel()[edges[at[closer]]]
        return out

    def _path(self, entry: Entry) -> str:
        """Where the raster lies that a covariate is read from."""
        return place_of(self.folder, self._source(entry).path)

    def _source(self, entry: Entry) -> Raster | Units:
        of: Entry | Units = entry
        if isinstance(entry, Attribute):
            of = self._units[entry.units]
        elif isinstance(entry, Terrain):
            of = self._elevation(entry)
        assert isinstance(of, Raster | Units)
        return of

    def _elevation(self, entry: Terrain) -> Entry:
        return self._entry(entry.elevation)

    def _opened(self, entry: Entry) -> AbstractContextManager[rasterio.DatasetReader]:
        return self._open(self._source(entry))

    def _open(self, of: Raster | Units, form: list[Form] | None = None) -> AbstractContextManager[Any]:
        classes = isinstance(of, Units) or of.categories is not None
        return open_covariate(place_of(self.folder, of.path), band=of.band, classes=classes, form=form)

    def _check(self, of: Raster | Units) -> None:
        path, forms = place_of(self.folder, of.path), list[Form]()
        with self._open(of, forms) as source:
            t, (left, bottom, right, top) = source.transform, source.bounds
        (form,) = forms
        self._forms[of.name] = form
        kind, typed = form.dtype.kind, form.dtype.name
        if kind not in "iuf":
            raise InputError(f"expected whole or floating-point numbers, found {typed}", file=path)
        if isinstance(of, Units) and kind == "f":
            raise InputError(f"expected whole numbers, those of mapping units, found {typed}", file=path)
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
        if (isinstance(of, Units) or of.categories is not None) and (form.scale, form.offset) != (1.0, 0.0):
            raise InputError(f"expected plain numbers of classes, found a scale of {form.scale:g}", file=path)
        if isinstance(of, Raster) and of.unit.strip().casefold() in CLASS_UNITS and of.categories is None:
            raise InputError(
                f"entry {of.name}: unit `{of.unit}` without categories; name the classes 1, 2, …, or give the unit of "
                "the quantity",
                file=self.manifest,
                column="categories",
            )


def covariates_for(folder: str | Path, names: Iterable[str]) -> CovariateStack:
    """The covariates of a folder by the manifest that has some names: its own, else that of the paper's 54; where
    neither has them all, its own.
    """
    own = CovariateStack(folder)
    if set(names) <= set(own.rasters):
        return own
    try:
        paper = CovariateStack(folder, PAPER_COVARIATES)
    except InputError:  # its files are not there
        return own
    return paper if set(names) <= set(paper.rasters) else own


def indicators(entry: Entry) -> list[Indicator]:
    """Dummy variables of a covariate of classes; none of the biome, which learners have already."""
    if entry.role != "covariate" or entry.group == "biome":
        return []
    return [Indicator(of=entry, number=i) for i, _ in enumerate(entry.categories or [], 1)]


def great_circle_km(lat: ArrayLike, lon: ArrayLike, lats: NDArray, lons: NDArray) -> NDArray[np.float64]:
    """Distance from one place to others, km (haversine)."""
    lat, lon, lats, lons = (np.radians(a) for a in (lat, lon, lats, lons))
    h = np.sin((lats - lat) / 2) ** 2 + np.cos(lat) * np.cos(lats) * np.sin((lons - lon) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(h, 0, 1)))


def sphere(lat: ArrayLike, lon: ArrayLike) -> NDArray[np.float64]:
    """Places on the unit sphere, (…, 3)."""
    lat, lon = np.broadcast_arrays(np.radians(lat), np.radians(lon))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _at_points(
    source: rasterio.DatasetReader, lat: NDArray, lon: NDArray, values: Callable[[Window], NDArray[np.floating]]
) -> NDArray[np.float64]:
    """Values of the cells in which points (n,) lie. Each part of the raster with points is read once: point by point
    takes ten times as long.

    Parameters
    ----------
    values : callable
        Gives those of a window.
    """
    cell = ~source.transform
    across, down = cell.a * lon + cell.b * lat + cell.c, cell.d * lon + cell.e * lat + cell.f
    row, col = (
        np.clip(np.floor(v).astype(int), 0, size - 1) for v, size in ((down, source.height), (across, source.width))
    )
    read = np.full(len(row), np.nan)
    part = row // PART * (source.width // PART + 1) + col // PART
    for number in np.unique(part):
        here = np.flatnonzero(part == number)
        top, left = row[here].min(), col[here].min()
        window = Window(left, top, col[here].max() - left + 1, row[here].max() - top + 1)
        read[here] = values(window)[row[here] - top, col[here] - left]
    return read


def _with_margin(
    source: rasterio.DatasetReader, window: Window, read: Callable[[Window], NDArray[np.floating]]
) -> NDArray[np.floating]:
    """Values of a window and of the cells around it; NaN off the raster, but one that goes round the globe closes."""
    top, left, height, width = (int(v) for v in (window.row_off, window.col_off, window.height, window.width))
    rows = max(top - 1, 0), min(top + height + 1, source.height)
    columns = max(left - 1, 0), min(left + width + 1, source.width)
    out = np.full((height + 2, width + 2), np.nan)
    place = slice(rows[0] - top + 1, rows[1] - top + 1)
    out[place, columns[0] - left + 1 : columns[1] - left + 1] = read(Window.from_slices(rows, columns))
    if abs(source.width * source.res[0] - 360) < source.res[0] / 2:
        if left == 0:
            out[place, :1] = read(Window.from_slices(rows, (source.width - 1, source.width)))
        if left + width == source.width:
            out[place, -1:] = read(Window.from_slices(rows, (0, 1)))
    return out


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
