"""Static maps in an equal-area projection, drawn from what the run has: nothing is downloaded.

Cells are painted by their edges, without interpolation, in the Equal Earth projection; land and coastline come from the
mask of the biome raster, so that they fit a simulated world as well as the Earth. The axes are plain matplotlib axes in
projected metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, cast

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
        return cls.trace(*covariates.land_outline())

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
        row_edges, col_edges = (
            np.linspace(north, south, cover.shape[0] + 1),
            np.linspace(west, east, cover.shape[1] + 1),
        )
        factors = [
            max(int(step * n / span), 1) for n, span in zip(cover.shape, (north - south, east - west), strict=True)
        ]
        cover, row_edges, col_edges = block_mean(cover, row_edges, col_edges, (factors[0], factors[1]))
        lat, lon = (row_edges[:-1] + row_edges[1:]) / 2, (col_edges[:-1] + col_edges[1:]) / 2
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

    def extent(self, lat: ArrayLike) -> tuple[float, float, float, float]:
        """West, east, south, north of a map of places at these latitudes: without Antarctica, unless one lies there."""
        south = min(max(-56.0, self.lat.min()), np.asarray(lat, float).min())
        return self.lon.min(), self.lon.max(), south, min(84.0, self.lat.max())

    def draw(self, ax: Axes) -> None:
        """Graticule and land, beneath the values."""
        ax.add_collection(LineCollection(_graticule(), colors=GRATICULE, linewidths=0.4, zorder=0), autolim=False)
        if np.size(self.outline.vertices):
            ax.add_artist(PathPatch(self.outline, facecolor=LAND, edgecolor="none", zorder=1))

    def draw_coastline(self, ax: Axes, *, width: float = 0.3) -> LineCollection:
        """The coastline, above the values."""
        collection = LineCollection(self._projected_coastline, colors=COAST, linewidths=width, zorder=4)
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


def block_mean(
    values: NDArray, row_edges: NDArray, col_edges: NDArray, factors: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray, NDArray]:
    """Means over blocks of `factors` (rows, columns) cells and the blocks' edges; NaN where fewer than half of a
    block's
    cells have a value. The last block may be smaller.
    """
    if factors == (1, 1):
        return np.asarray(values, float), row_edges, col_edges
    rows, cols = (np.arange(0, n, f) for n, f in zip(values.shape, factors, strict=True))
    known = np.isfinite(values)

    def total(a: NDArray) -> NDArray[np.float64]:
        return np.add.reduceat(np.add.reduceat(a.astype(float), rows, axis=0), cols, axis=1)

    count = total(known)
    cells = np.diff(np.r_[rows, values.shape[0]])[:, None] * np.diff(np.r_[cols, values.shape[1]])
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count >= cells / 2, total(np.where(known, values, 0)) / count, np.nan)
    return mean, np.r_[row_edges[rows], row_edges[-1]], np.r_[col_edges[cols], col_edges[-1]]


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
    rows, cols = cell_edges(lat, (WORLD[1], WORLD[3])), cell_edges(lon, (WORLD[0], WORLD[2]))
    factor = int(np.ceil(values.shape[1] / MAX_COLUMNS))
    shown, rows, cols = block_mean(values, rows, cols, (factor, factor))
    x, y = project(*np.meshgrid(cols, rows))
    if basemap:
        basemap.draw(ax)
    mesh = ax.pcolormesh(
        x,
        y,
        np.ma.masked_invalid(shown),
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


def painted_extent(
    values: NDArray, lat: NDArray, lon: NDArray, *, margin: float = 2.0
) -> tuple[float, float, float, float]:
    """West, east, south, north of the cells that have a value, with a margin in degrees; the world if none has."""
    painted = np.isfinite(values)
    if not painted.any():
        return WORLD[0], WORLD[2], WORLD[1], WORLD[3]
    rows, cols = cell_edges(lat, (WORLD[1], WORLD[3])), cell_edges(lon, (WORLD[0], WORLD[2]))
    r, c = np.flatnonzero(painted.any(axis=1)), np.flatnonzero(painted.any(axis=0))
    west, east = float(cols[c[0]]) - margin, float(cols[c[-1] + 1]) + margin
    south, north = float(rows[r[-1] + 1]) - margin, float(rows[r[0]]) + margin
    return max(west, WORLD[0]), min(east, WORLD[2]), max(south, WORLD[1]), min(north, WORLD[3])


def draw_dots(ax: Axes, where: NDArray[np.bool_], lat: NDArray, lon: NDArray, *, spacing: float = 3.0) -> int:
    """Dots on a grid of `spacing` degrees where most cells of its blocks fulfil a condition; returns how many."""
    rows, cols = cell_edges(lat, (WORLD[1], WORLD[3])), cell_edges(lon, (WORLD[0], WORLD[2]))
    factors = tuple(max(round(spacing / abs(e[1] - e[0])), 1) for e in (rows, cols))
    share, rows, cols = block_mean(np.asarray(where, float), rows, cols, (factors[0], factors[1]))
    r, c = np.nonzero(share > 0.5)
    x, y = project((cols[c] + cols[c + 1]) / 2, (rows[r] + rows[r + 1]) / 2)
    ax.plot(x, y, ls="none", marker="o", ms=1.0, mew=0, color="black", zorder=5)
    return len(r)


def draw_hatch(ax: Axes, where: NDArray[np.bool_], lat: NDArray, lon: NDArray, *, spacing: float = 1.0) -> None:
    """Hatches cells that fulfil a condition, joined to areas of `spacing` degrees at least."""
    rows, cols = cell_edges(lat, (WORLD[1], WORLD[3])), cell_edges(lon, (WORLD[0], WORLD[2]))
    factors = tuple(max(round(spacing / abs(e[1] - e[0])), 1) for e in (rows, cols))
    share, rows, cols = block_mean(np.asarray(where, float), rows, cols, (factors[0], factors[1]))
    if min(share.shape) < 2 or not (share > 0.5).any():
        return
    x, y = project(*np.meshgrid((cols[:-1] + cols[1:]) / 2, (rows[:-1] + rows[1:]) / 2))
    hatched = ax.contourf(x, y, share > 0.5, levels=[0.5, 1.5], colors="none", hatches=["//////"], zorder=3)
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
    limits: tuple[float | None, float | None] = (None, None),
) -> Axes:
    """Zonal means against latitude, in the projection's northing, so that they are level with the map next to them
    (`beside`).

    Parameters
    ----------
    values : ndarray
        Values of the map, (lat, lon).
    low, high : ndarray, optional
        Bounds of the cells' intervals, (lat, lon): their zonal means bound a band.
    limits : tuple of float, optional
        Limits of the value axis; None leaves them to matplotlib.
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
    ax.set_xlim(*limits)
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
