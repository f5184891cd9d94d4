"""The figures that are maps. They are laid out in inches, as a map's shape follows from what is mapped."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..constants import BIOMES, LAYER_NAMES, PROFILE_NAME
from ..errors import InputError
from ..mapping.draw import (
    Basemap,
    Scale,
    colour_bar,
    draw_dots,
    draw_hatch,
    draw_latitudes,
    draw_map,
    frame_map,
    map_aspect,
    on_the_globe,
    painted_extent,
    project,
)
from ..mapping.variables import EVERY
from .results import Results
from .style import (
    BIOME_LABELS,
    FLUX_COLOURS,
    FLUX_LABELS,
    FLUX_MAPS,
    FLUX_UNIT,
    GREY,
    SITE_COLOURS,
    SITE_LABELS,
    SITE_MARKERS,
    WIDTH,
    AxesArray,
    flux_axis,
    letter,
    map_axis,
    styled,
)

CERTAIN = 0.975
"""Probability of a sign from which on a map is dotted: the 95 % interval of the cell leaves out 0."""

MOST_UNCERTAIN = 10.0
"""Margin over mean at which the colours of its maps end."""

TITLE, BAR = 0.24, 0.5
"""Room above and beneath a map, inches."""

BENEATH, THICK = 0.13, 0.07
"""How far beneath its map a colour bar lies, and how thick it is, inches."""


@dataclass
class Sheet:
    """A figure on which axes are put in inches, from the top left corner."""

    height: float

    def __post_init__(self) -> None:
        self.figure = Figure(figsize=(WIDTH, self.height))

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """New axes."""
        bottom = self.height - top - height
        return self.figure.add_axes((left / WIDTH, bottom / self.height, width / WIDTH, height / self.height))


def bar_bounds(tall: float, margin: float = 0.14) -> tuple[float, float, float, float]:
    """Position of the colour bar below a map of a given height (inches), in fractions of the map's axes."""
    return margin, -BENEATH / tall, 1 - 2 * margin, THICK / tall


@styled
def figure_ed1(results: Results) -> Figure:
    """Where the three data sets were measured (paper, Extended Data Fig. 1), and in which biomes."""
    sites = results.table("sites")
    sites = sites[sites["layer"] == PROFILE_NAME]
    tables = {name: sites[sites["sites"] == name].drop_duplicates("id") for name in SITE_COLOURS}
    everywhere = pd.concat(tables.values())
    extent = results.land.extent(everywhere["lat"])
    height = WIDTH / map_aspect(*extent)
    sheet = Sheet(height + 1.95)
    ax = sheet.axes(0.02, 0.02, WIDTH - 0.04, height)
    results.land.draw(ax)
    results.land.draw_coastline(ax)
    for name, table in tables.items():
        x, y = project(table["lon"], table["lat"])
        look: Any = {"marker": SITE_MARKERS[name], "color": SITE_COLOURS[name], "ls": "none"}
        ax.plot(x, y, ms=2.8, mew=0.25, mec="white", alpha=0.85, zorder=5, **look)
        ax.plot([], [], ms=5, label=f"{SITE_LABELS[name]} ({len(table):,})", **look)
    frame_map(ax, *extent)
    ax.legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, 0.0), handletextpad=0.2, fontsize=8)
    ax = sheet.axes(0.5, height + 0.5, WIDTH - 0.55, 1.0)
    for i, (name, table) in enumerate(tables.items()):
        counts = table["biome"].value_counts().reindex(list(BIOMES), fill_value=0)
        bars = ax.bar(np.arange(len(BIOMES)) + 0.28 * (i - 1), counts, 0.26, color=SITE_COLOURS[name])
        ax.bar_label(bars, fontsize=5.5, padding=1, color=GREY)
    names = [fill(BIOME_LABELS[b].replace("/", "/ "), 13).replace("/ ", "/") for b in BIOMES]
    ax.set_xticks(range(len(BIOMES)), names, fontsize=6)
    ax.set_xlim(-0.5, len(BIOMES) - 0.5)
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel("number of sites")
    return sheet.figure


@styled
def figure_4(results: Results) -> Figure:
    """Where root carbon is lost, how sure that is, which part of the input it is, and where its sign is known (paper,
    Fig. 4).
    """
    maps = on_the_globe(results.maps)
    m = maps.sel(layer=PROFILE_NAME)
    lat, lon = m["lat"].values, m["lon"].values
    middle = results.map_middle
    loss, probability = m[f"iloss_{middle}"].values, m["iloss_probability"].values
    low, high = m["iloss_p025"].values, m["iloss_p975"].values
    share, spread = 100 * loss / m[f"iroot_{middle}"].values, (high - low) / 2
    known = (probability >= CERTAIN) | (probability <= 1 - CERTAIN)
    share_name = f"{FLUX_LABELS['iloss']} / {FLUX_LABELS['iroot']} (%)"
    probability_name = f"P({FLUX_LABELS['iloss']} > 0)"

    aspect = map_aspect(*painted_extent(loss, lat, lon))
    wide, side = 4.4, 0.66
    tall = wide / max(aspect, 1.0)
    small = (WIDTH - 0.3) / 3
    low_tall = small / max(aspect, 1.0)
    sheet = Sheet(TITLE + tall + BAR + TITLE + low_tall + BAR + 0.05)

    ax = sheet.axes(0.05, TITLE, wide, tall)
    letter(ax, "a", f"{middle.capitalize()} loss, 0–200 cm")
    scale = Scale.of(loss, FLUX_MAPS["iloss"], centred=True)
    mesh = draw_map(ax, loss, lat, lon, scale, results.land)
    colour_bar(mesh, ax, scale, flux_axis("iloss"), bounds=bar_bounds(tall, 0.2))
    draw_dots(ax, known, lat, lon)
    draw_hatch(ax, outside_area(maps, "iloss"), lat, lon)
    # members stretched by bootstraps reach so far that their band would hide the line
    band = (low, high) if middle == "mean" else (None, None)
    profiles = (
        (loss, *band, FLUX_UNIT),
        (share, None, None, share_name),
        (probability, None, None, probability_name),
    )
    for i, (values, lower, upper, name) in enumerate(profiles):
        beside = sheet.axes(wide + 0.12 + i * (side + 0.1), TITLE, side, tall)
        draw_latitudes(beside, lat, values, lower, upper, beside=ax, colour=FLUX_COLOURS["iloss"])
        beside.axvline(0.5 if name == probability_name else 0.0, color="black", lw=0.5)
        beside.set_xlabel(name, fontsize=6)
        beside.tick_params(labelsize=6)
        beside.locator_params(axis="x", nbins=3)
        if i < len(profiles) - 1:
            beside.tick_params(axis="y", labelright=False)

    panels = (
        ("b", "Half the 95 % interval of a cell", spread, Scale.of(spread, "cividis"), f"± {FLUX_UNIT}"),
        ("c", "Share of the input lost", share, Scale.of(share, FLUX_MAPS["iloss"], centred=True), share_name),
        ("d", "Probability of a loss", probability, Scale.of(probability, "cividis"), probability_name),
    )
    for i, (panel, title, values, scale, name) in enumerate(panels):
        ax = sheet.axes(0.05 + i * (small + 0.1), TITLE + tall + BAR + TITLE, small, low_tall)
        letter(ax, panel, title)
        mesh = draw_map(ax, values, lat, lon, scale, results.land)
        colour_bar(mesh, ax, scale, name, bounds=bar_bounds(low_tall))
    return sheet.figure


def outside_area(maps: xr.Dataset, flux: str) -> NDArray[np.bool_]:
    """Cells outside the area of applicability of the forests that a flux is made from, (lat, lon)."""
    forests = ("iroot", "ibulk") if flux == "iloss" else (flux,)
    return np.any([maps[f"{forest}_applicability"].values > 1 for forest in forests], axis=0)


@styled
def figure_one_map(maps: xr.Dataset, flux: str, layer: str) -> Figure:
    """Mean of a flux in a layer with zonal means next to it, and half the 95 % interval; hatched outside the area of
    applicability, dotted where the sign of a loss is known.

    Parameters
    ----------
    maps : Dataset
        `maps/maps.nc`.
    flux : str
        `iroot`, `ibulk` or `iloss`.
    layer : str
        Such as `0-20`, or `0-200`.

    Raises
    ------
    InputError
        The maps were made without the layer, or without a statistic that is drawn.
    """
    forests = ("iroot", "ibulk") if flux == "iloss" else (flux,)
    needed = [*(f"{flux}_{name}" for name in ("mean", "p025", "p975")), *(f"{name}_applicability" for name in forests)]
    needed += ["iloss_probability"] if flux == "iloss" else []
    lacking = [name for name in needed if name not in maps]
    lacking += [] if layer in maps["layer"].values.astype(str) else [f"layer {layer}"]
    if lacking:
        text = f"the maps have no {', '.join(lacking)}; make them with the `--layers` and `--statistics` that are drawn"
        raise InputError(text)
    maps = on_the_globe(maps)
    m, lat, lon = maps.sel(layer=layer), maps["lat"].values, maps["lon"].values
    mean, low, high = (m[f"{flux}_{name}"].values for name in ("mean", "p025", "p975"))
    land = Basemap.trace(maps["biome"].values > 0, map_box(lat, lon))
    aspect = map_aspect(*painted_extent(mean, lat, lon))
    wide = WIDTH - 1.2
    tall = wide / max(aspect, 1.0)
    sheet = Sheet(2 * (TITLE + tall + BAR))
    spread = (high - low) / 2
    panels = (
        ("a", f"Mean of {layer.replace('-', '–')} cm", mean, Scale.of(mean, FLUX_MAPS[flux], centred=flux == "iloss")),
        ("b", "Half the 95 % interval of a cell", spread, Scale.of(spread, "cividis")),
    )
    for i, (panel, title, values, scale) in enumerate(panels):
        ax = sheet.axes(0.05, TITLE + i * (TITLE + tall + BAR), wide, tall)
        letter(ax, panel, title)
        mesh = draw_map(ax, values, lat, lon, scale, land)
        name = flux_axis(flux) if i == 0 else f"± {FLUX_UNIT}"
        colour_bar(mesh, ax, scale, name, bounds=bar_bounds(tall, 0.2))
        draw_hatch(ax, outside_area(maps, flux), lat, lon)
        if i == 0 and flux == "iloss":
            probability = m["iloss_probability"].values
            draw_dots(ax, (probability >= CERTAIN) | (probability <= 1 - CERTAIN), lat, lon)
        beside = sheet.axes(wide + 0.1, TITLE + i * (TITLE + tall + BAR), 0.55, tall)
        bounds = (low, high) if i == 0 else (None, None)
        draw_latitudes(beside, lat, values, *bounds, beside=ax, colour=FLUX_COLOURS[flux])
        beside.tick_params(labelsize=6)
        beside.locator_params(axis="x", nbins=2)
    return sheet.figure


def map_box(lat: NDArray, lon: NDArray) -> tuple[float, float, float, float]:
    """West, east, south, north of the cells with these centres, degrees."""
    half = abs(lat[0] - lat[-1]) / max(len(lat) - 1, 1) / 2 or 0.5
    return lon.min() - half, lon.max() + half, lat.min() - half, lat.max() + half


def figure_ed4(results: Results) -> AxesArray:
    """I_root by layer (paper, Extended Data Fig. 4)."""
    return figure_layer_maps(results, "iroot")


def figure_ed5(results: Results) -> AxesArray:
    """I_bulk by layer (paper, Extended Data Fig. 5)."""
    return figure_layer_maps(results, "ibulk")


def figure_ed6(results: Results) -> AxesArray:
    """I_loss by layer (paper, Extended Data Fig. 6)."""
    return figure_layer_maps(results, "iloss")


def figure_ed7(results: Results) -> AxesArray:
    """Uncertainty of I_loss by layer (paper, Extended Data Fig. 7)."""
    return figure_layer_maps(results, "iloss", "uncertainty")


def figure_age_maps(results: Results) -> AxesArray:
    """Mean age of the carbon by layer."""
    return figure_layer_maps(results, "age")


def figure_t100_maps(results: Results) -> AxesArray:
    """Input to bulk soil that stays longer than 100 years, by layer."""
    return figure_layer_maps(results, "ibulk_t100")


@styled
def figure_production_maps(results: Results) -> Figure:
    """NPP and the share of it that goes below ground, with half their 95 % intervals."""
    maps = on_the_globe(results.maps)
    lat, lon = maps["lat"].values, maps["lon"].values
    wide = (WIDTH - 0.2) / 2
    tall = wide / max(map_aspect(*painted_extent(maps["npp_mean"].values, lat, lon)), 1.0)
    sheet = Sheet(2 * (TITLE + tall + BAR) + 0.02)
    names = {"npp": ("NPP", FLUX_UNIT), "f_bnpp": ("Share of NPP below ground", "share of NPP")}
    for row, (quantity, (title, unit)) in enumerate(names.items()):
        mean, low, high = (maps[f"{quantity}_{name}"].values for name in ("mean", "p025", "p975"))
        panels = (
            (title, mean, EVERY[quantity].colours),
            ("Half the 95 % interval of a site", (high - low) / 2, "cividis"),
        )
        for column, (label, values, colours) in enumerate(panels):
            scale = Scale.of(values, colours)
            ax = sheet.axes(0.05 + column * (wide + 0.1), TITLE + row * (TITLE + tall + BAR), wide, tall)
            letter(ax, "abcd"[2 * row + column], label)
            mesh = draw_map(ax, values, lat, lon, scale, results.land)
            colour_bar(mesh, ax, scale, unit, bounds=bar_bounds(tall))
    return sheet.figure


@styled
def figure_layer_maps(results: Results, flux: str, statistic: str | None = None) -> Figure:
    """One flux in the layers that were mapped, by default in the middle of the members; its `uncertainty` is half the
    95 % interval over |mean|.
    """
    name, layers = f"{flux}_{statistic or results.map_middle}", results.map_layers
    maps = on_the_globe(results.maps[[name]])[name]
    if flux == "ibulk" and statistic is None and results.map_middle == "median" and PROFILE_NAME in layers:
        # the median of a sum is not what is predicted
        profile = maps.sel(layer=list(LAYER_NAMES)).sum("layer", skipna=False)
        maps = maps.where(maps["layer"] != PROFILE_NAME, profile)
    relative = statistic == "uncertainty"
    lat, lon = maps["lat"].values, maps["lon"].values
    aspect = map_aspect(*painted_extent(maps.sel(layer=layers[-1]).values, lat, lon))
    wide = (WIDTH - 0.2) / 2
    tall = wide / max(aspect, 1.0)
    sheet = Sheet((len(layers) + 1) // 2 * (TITLE + tall + BAR) + 0.02)
    for i, layer in enumerate(layers):
        row, column = divmod(i, 2)
        values = maps.sel(layer=layer).values
        colours = "cividis" if relative else EVERY[flux].colours
        limits = (0.0, MOST_UNCERTAIN) if relative else (None, None)  # the ratio has no bound where the mean is near 0
        scale = Scale.of(values, colours, centred=flux == "iloss" and not relative, limits=limits)
        ax = sheet.axes(0.05 + column * (wide + 0.1), TITLE + row * (TITLE + tall + BAR), wide, tall)
        letter(ax, "abcdefgh"[i], f"{layer.replace('-', '–')} cm")
        name = f"half the 95 % interval of {FLUX_LABELS[flux]} / |mean|" if relative else map_axis(flux)
        mesh = draw_map(ax, values, lat, lon, scale, results.land)
        colour_bar(mesh, ax, scale, name, bounds=bar_bounds(tall))
    return sheet.figure
