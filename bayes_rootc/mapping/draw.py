"""Static maps in an equal-area projection, drawn from what the run has: nothing is downloaded.

Cells are painted by their edges, without interpolation, in the Equal Earth projection; land and coastline come from the
mask of the biome raster, so that they fit a simulated world as well as the Earth. The axes are plain matplotlib axes in
projected metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import xarray as xr
from contourpy import FillType, LineType, contour_generator
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from ..data.covariates import CovariateStack
from ..data.grid import WORLD

LAND, COAST, GRATICULE = "#cfcfcf", "#555555", "#e4e4e4"
QUANTILES = (0.02, 0.98)
MAX_COLUMNS = 1440
"""Cells across the widest map that is drawn; finer maps are averaged, as no printed page shows more."""

Extend = Literal["neither", "min", "max", "both"]


@lru_cache(maxsize=1)
def _projections() -> tuple[Any, Any]:
    """Equal Earth, and longitude and latitude: made once, as each takes cartopy a millisecond."""
    import cartopy.crs as ccrs

    return ccrs.EqualEarth(), ccrs.PlateCarree()


def project(lon: ArrayLike, lat: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Equal Earth coordinates, m, of longitudes and latitudes (degrees), broadcast."""
    lon, lat = np.broadcast_arrays(np.asarray(lon, float), np.asarray(lat, float))
    equal_earth, geographic = _projections()
    points = equal_earth.transform_points(geographic, lon.ravel(), lat.ravel())
    return points[:, 0].reshape(lon.shape), points[:, 1].reshape(lon.shape)


class Extent(NamedTuple):
    """A box of longitudes and latitudes, degrees."""

    west: float
    east: float
    south: float
    north: float


@dataclass(frozen=True)
class Basemap:
    """Land of a world: coverage of the cells of a grid by land, 0–1, from north to south and west to east.

    Parameters
    ----------
    cover : ndarray
        (row, column).
    lon, lat : ndarray
        Centres of the cells, degrees.
    """

    cover: NDArray[np.float64]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]

    @classmethod
    def of(cls, covariates: CovariateStack) -> Basemap:
        """The land of a covariate stack."""
        land, bounds = covariates.land_outline()
        return cls.trace(land, Extent(bounds.left, bounds.right, bounds.bottom, bounds.top))

    @classmethod
    def trace(cls, land: NDArray, extent: tuple[float, float, float, float], *, step: float = 0.25) -> Basemap:
        """Land from a mask, north up, averaged to cells of about `step` degrees.

        Parameters
        ----------
        land : ndarray
            (row, column).
        extent : tuple of float
            West, east, south, north, degrees.
        """
        west, east, south, north = extent
        cover = np.asarray(land, float)
        edges = np.linspace(north, south, cover.shape[0] + 1), np.linspace(west, east, cover.shape[1] + 1)
        rows, cols = cover.shape
        factors = max(int(step * rows / (north - south)), 1), max(int(step * cols / (east - west)), 1)
        coarse = Field(cover, *edges).averaged(*factors)
        cover, lat, lon = coarse.values, *coarse.centres
        if east - west >= 360 - 1e-6:
            # One column of the other side, so that land that continues across 180° is not given a coast there.
            lon = np.r_[-180.0, lon, 180.0]
            cover = np.c_[(cover[:, :1] + cover[:, -1:]) / 2, cover, (cover[:, :1] + cover[:, -1:]) / 2]
        return cls(cover, lon, lat)

    @cached_property
    def coastline(self) -> list[NDArray[np.float64]]:
        """Lines of (lon, lat), degrees, where land ends. Land at the raster's edge has no coast there."""
        if min(self.cover.shape) < 2:
            return []
        generator = contour_generator(self.lon, self.lat, self.cover, line_type=LineType.Separate)
        lines = cast(list[NDArray[np.float64]], generator.lines(0.5))
        return [line for line in lines if len(line) > 4]

    @cached_property
    def outline(self) -> Outline:
        """Land as one projected path, lakes and seas as its holes."""
        if min(self.cover.shape) < 2:
            return Outline(np.empty((0, 2)))
        generator = contour_generator(self.lon, self.lat, self.cover, fill_type=FillType.OuterCode)
        points, codes = cast(tuple[list[Any], list[Any]], generator.filled(0.5, 2.0))
        if not points:
            return Outline(np.empty((0, 2)))
        lon, lat = np.concatenate(points).T
        return Outline(np.column_stack(project(lon, lat)), np.concatenate(codes))

    @cached_property
    def _projected_coastline(self) -> list[NDArray[np.float64]]:
        return [np.column_stack(project(line[:, 0], line[:, 1])) for line in self.coastline]

    def extent(self, lat: ArrayLike) -> Extent:
        """What a map of places at these latitudes shows: not Antarctica, unless one lies there."""
        south = min(max(-56.0, self.lat.min()), np.asarray(lat, float).min())
        return Extent(self.lon.min(), self.lon.max(), south, min(84.0, self.lat.max()))

    def draw(self, ax: Axes) -> None:
        """Graticule and land, beneath the values."""
        ax.add_collection(LineCollection(_graticule(), colors=GRATICULE, linewidths=0.4, zorder=0), autolim=False)
        if np.size(self.outline.vertices):
            ax.add_artist(PathPatch(self.outline, facecolor=LAND, edgecolor="none", zorder=1))

    def draw_coastline(self, ax: Axes) -> LineCollection:
        """The coastline, above the values."""
        collection = LineCollection(self._projected_coastline, colors=COAST, linewidths=0.3, zorder=4)
        ax.add_collection(collection, autolim=False)
        return collection


@lru_cache(maxsize=1)
def _graticule() -> list[NDArray[np.float64]]:
    """Parallels every 30° and meridians every 60°, projected."""
    parallels = [project(np.linspace(-180, 180, 91), lat) for lat in range(-60, 90, 30)]
    meridians = [project(lon, np.linspace(-90, 90, 91)) for lon in range(-180, 181, 60)]
    return [np.column_stack(line) for line in (*parallels, *meridians)]


@dataclass(frozen=True)
class Scale:
    """Colours of a map: limits, colour map, and which arrows its bar needs."""

    low: float
    high: float
    cmap: Colormap
    extend: Extend

    @classmethod
    def of(
        cls,
        values: NDArray,
        cmap: str,
        *,
        centred: bool = False,
        limits: tuple[float | None, float | None] = (None, None),
    ) -> Scale:
        """Limits from the 2 % and 98 % quantiles of the finite values.

        Parameters
        ----------
        centred : bool
            The middle of the colour map is 0, and equal steps on its two sides have equal colour differences; 0 is
            always within the limits.
        limits : tuple of float, optional
            Fixed limits, where not None.
        """
        finite = np.asarray(values)[np.isfinite(values)]
        low, high = map(float, np.quantile(finite, QUANTILES)) if len(finite) else (0.0, 1.0)
        if centred:
            low, high = min(low, 0.0), max(high, 0.0)
        low, high = (fixed if fixed is not None else found for fixed, found in zip(limits, (low, high), strict=True))
        if not high > low:
            low, high = low - 0.5, high + 0.5
        below, above = bool((finite < low).any()), bool((finite > high).any())
        extend: Extend = "both" if below and above else "min" if below else "max" if above else "neither"
        colours = colormaps[cmap]
        if centred:
            reach = max(-low, high)
            part = np.linspace(0.5 + 0.5 * low / reach, 0.5 + 0.5 * high / reach, 256)
            colours = LinearSegmentedColormap.from_list(f"{cmap}_part", colours(part))
        return cls(low, high, colours, extend)

    @property
    def norm(self) -> Normalize:
        """Linear between the limits."""
        return Normalize(self.low, self.high)


def cell_edges(centres: NDArray, span: tuple[float, float]) -> NDArray[np.float64]:
    """Edges of regular cells from their centres, kept within `span`; a single cell is taken to be 1 wide."""
    centres = np.asarray(centres, float)
    half = (centres[1] - centres[0]) / 2 if len(centres) > 1 else 0.5
    return np.clip(np.r_[centres - half, centres[-1] + half], *span)


class Field(NamedTuple):
    """Values of cells, (row, column), and the edges of rows and columns, degrees."""

    values: NDArray
    row_edges: NDArray[np.float64]
    col_edges: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray, lat: NDArray, lon: NDArray) -> Field:
        """A field from the centres of its cells."""
        return cls(values, cell_edges(lat, (WORLD[1], WORLD[3])), cell_edges(lon, (WORLD[0], WORLD[2])))

    @property
    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latitudes and longitudes between the edges."""
        lat, lon = ((edges[:-1] + edges[1:]) / 2 for edges in (self.row_edges, self.col_edges))
        return lat, lon

    def averaged(self, down: int, across: int) -> Field:
        """Means over blocks of `down` by `across` cells, NaN where fewer than half of them have a value. The last block
        may be smaller.
        """
        values = np.asarray(self.values)
        if down == across == 1:
            return self._replace(values=values.astype(float))
        rows, cols = np.arange(0, values.shape[0], down), np.arange(0, values.shape[1], across)
        known = np.isfinite(values)

        def total(a: NDArray) -> NDArray[np.float64]:
            return np.add.reduceat(np.add.reduceat(a.astype(float), rows, axis=0), cols, axis=1)

        count = total(known)
        cells = np.diff(np.r_[rows, values.shape[0]])[:, None] * np.diff(np.r_[cols, values.shape[1]])
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(count >= cells / 2, total(np.where(known, values, 0)) / count, np.nan)
        edges = (np.r_[e[start], e[-1]] for e, start in ((self.row_edges, rows), (self.col_edges, cols)))
        return Field(mean, *edges)

    def coarsened(self, spacing: float) -> Field:
        """Means over blocks of about this many degrees."""
        steps = (abs(edges[1] - edges[0]) for edges in (self.row_edges, self.col_edges))
        return self.averaged(*(max(round(spacing / step), 1) for step in steps))


def draw_map(
    ax: Axes, values: NDArray, lat: NDArray, lon: NDArray, scale: Scale, basemap: Basemap | None = None
) -> QuadMesh:
    """Paints a field on the axes, with land beneath and coastline above; cells without a value are not painted.

    Parameters
    ----------
    values : ndarray
        (lat, lon), NaN where there is none.
    lat, lon : ndarray
        Centres of the cells, degrees.
    """
    factor = int(np.ceil(values.shape[1] / MAX_COLUMNS))
    shown = Field.of(values, lat, lon).averaged(factor, factor)
    x, y = project(*np.meshgrid(shown.col_edges, shown.row_edges))
    if basemap:
        basemap.draw(ax)
    mesh = ax.pcolormesh(
        x,
        y,
        np.ma.masked_invalid(shown.values),
        cmap=scale.cmap,
        norm=scale.norm,
        shading="flat",
        antialiased=False,
        linewidth=0,
        rasterized=True,
        zorder=2,
    )
    if basemap:
        basemap.draw_coastline(ax)
    frame_map(ax, *painted_extent(values, lat, lon))
    return mesh


def on_the_globe(maps: xr.Dataset) -> xr.Dataset:
    """Maps with longitudes of -180 to 180; of those across 180°, the columns of the globe that lie between their ends
    are empty.
    """
    lon = maps["lon"].values
    if lon.max() <= 180:
        return maps
    step = float(lon[1] - lon[0]) if len(lon) > 1 else 1.0
    turned = maps.assign_coords(lon=(lon + 180) % 360 - 180).sortby("lon")
    globe = np.arange(-180 + step / 2, 180, step)
    empty = {name: 0 if values.dtype.kind in "iu" else np.nan for name, values in maps.data_vars.items()}
    return turned.reindex(lon=globe, method="nearest", tolerance=0.51 * step, fill_value=empty)


def frame_map(ax: Axes, west: float, east: float, south: float, north: float) -> None:
    """Shows a box of longitudes and latitudes (degrees) and hides the axes' frame."""
    x, y = _frame(west, east, south, north)
    ax.set_xlim(*x)
    ax.set_ylim(*y)
    ax.set_aspect("equal")
    ax.set_axis_off()


def map_aspect(west: float, east: float, south: float, north: float) -> float:
    """Width over height of a box, as projected."""
    x, y = _frame(west, east, south, north)
    return (x[1] - x[0]) / (y[1] - y[0])


def _frame(west: float, east: float, south: float, north: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Projected limits of a box, m."""
    along = np.linspace(south, north, 61)
    x, _ = project(np.array([[west], [east]]), along)
    _, y = project(0.0, np.array([south, north]))
    return (float(x.min()), float(x.max())), (float(y[0]), float(y[1]))


def painted_extent(values: NDArray, lat: NDArray, lon: NDArray, *, margin: float = 2.0) -> Extent:
    """Where cells have a value, with a margin in degrees; the world if none has."""
    painted = np.isfinite(values)
    if not painted.any():
        return Extent(WORLD[0], WORLD[2], WORLD[1], WORLD[3])
    _, rows, cols = Field.of(values, lat, lon)
    r, c = np.flatnonzero(painted.any(axis=1)), np.flatnonzero(painted.any(axis=0))
    west, east = float(cols[c[0]]) - margin, float(cols[c[-1] + 1]) + margin
    south, north = float(rows[r[-1] + 1]) - margin, float(rows[r[0]]) + margin
    return Extent(max(west, WORLD[0]), min(east, WORLD[2]), max(south, WORLD[1]), min(north, WORLD[3]))


def draw_dots(ax: Axes, where: NDArray[np.bool_], lat: NDArray, lon: NDArray, *, spacing: float = 3.0) -> int:
    """Dots on a grid of `spacing` degrees where most cells of its blocks fulfil a condition; returns how many."""
    share = Field.of(where, lat, lon).coarsened(spacing)
    r, c = np.nonzero(share.values > 0.5)
    rows, cols = share.centres
    x, y = project(cols[c], rows[r])
    ax.plot(x, y, ls="none", marker="o", ms=1.0, mew=0, color="black", zorder=5)
    return len(r)


def draw_hatch(ax: Axes, where: NDArray[np.bool_], lat: NDArray, lon: NDArray) -> None:
    """Hatches cells that fulfil a condition, joined to areas of a degree at least."""
    share = Field.of(where, lat, lon).coarsened(1.0)
    most = share.values > 0.5
    if min(most.shape) < 2 or not most.any():
        return
    x, y = project(*np.meshgrid(*share.centres[::-1]))
    hatched = ax.contourf(x, y, most, levels=[0.5, 1.5], colors="none", hatches=["//////"], zorder=3)
    hatched.set_edgecolor("#333333")
    hatched.set_linewidth(0)


def draw_latitudes(
    ax: Axes,
    lat: NDArray,
    values: NDArray,
    low: NDArray | None = None,
    high: NDArray | None = None,
    *,
    beside: Axes | None = None,
    colour: str = "black",
) -> Axes:
    """Zonal means against latitude, in the projection's northing, so that they are level with the map next to them
    (`beside`).

    Parameters
    ----------
    values : ndarray
        Values of the map, (lat, lon).
    low, high : ndarray, optional
        Bounds of the cells' intervals, (lat, lon): their zonal means bound a band.
    """
    lat = np.asarray(lat, float)
    painted = np.isfinite(values).any(axis=1)
    _, northing = project(np.zeros_like(lat), lat)
    gap = np.where(painted, 0.0, np.nan)  # rows without land interrupt the line

    def zonal(a: NDArray) -> NDArray[np.float64]:
        known = np.isfinite(a)
        return np.where(known, a, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1) + gap

    if low is not None and high is not None:
        ax.fill_betweenx(northing, zonal(low), zonal(high), color=colour, alpha=0.22, lw=0)
    ax.plot(zonal(values), northing, color=colour, lw=0.9)
    ticks = np.arange(-60, 90, 30)
    ax.set_yticks(project(np.zeros(len(ticks)), ticks)[1], [latitude_name(float(t)) for t in ticks])
    ax.set_ylim(beside.get_ylim() if beside is not None else (northing.min(), northing.max()))
    ax.set_xlim(auto=False)  # what is drawn later, such as a line at 0, does not widen it
    ax.yaxis.tick_right()
    ax.spines["left"].set_visible(False)
    ax.spines["right"].set_visible(True)
    ax.grid(axis="y")
    return ax


def latitude_name(degrees: float) -> str:
    """`30° N`, `0°`, `30° S`."""
    return f"{abs(degrees):g}°" + (" N" if degrees > 0 else " S" if degrees < 0 else "")


def colour_bar(
    mesh: QuadMesh,
    ax: Axes,
    scale: Scale,
    label: str,
    *,
    bounds: tuple[float, float, float, float] = (0.14, -0.08, 0.72, 0.045),
) -> Colorbar:
    """A horizontal bar beneath a map, with arrows where values lie beyond its limits.

    Parameters
    ----------
    bounds : tuple of float
        Left, bottom, width and height, as parts of the map's axes.
    """
    cax = ax.inset_axes(bounds)
    bar = ax.figure.colorbar(mesh, cax=cax, orientation="horizontal", extend=scale.extend)
    bar.set_label(label, labelpad=1)
    bar.ax.tick_params(pad=1.5)
    bar.locator = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
    bar.update_ticks()
    bar.outline.set_linewidth(0.4)
    return bar
