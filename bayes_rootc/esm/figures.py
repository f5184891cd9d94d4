"""Figures that compare models with our maps: where they differ, by how much in each biome, why their turnover is
fast."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from numpy.typing import NDArray

from ..constants import BIOMES, INTERVAL
from ..mapping.draw import Scale, colour_bar, draw_map, frame_map, map_aspect, project
from ..report.captions import MINUS
from ..report.figures_maps import BAR, TITLE, Sheet
from ..report.results import Results
from ..report.style import (
    BIOME_LABELS,
    GREY,
    WIDTH,
    draw_intervals,
    few_log_ticks,
    letter,
    name_rows,
    new_figure,
    save,
    styled,
)
from .compare import Comparison
from .grids import ModelGrid

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#999999")
"""Colours of the models, in order (Okabe & Ito; indigo and grey)."""

WORLD_BOX = (-180.0, 180.0, -56.0, 84.0)
UNITS = {"Mg C ha-1 yr-1": "Mg C ha⁻¹ yr⁻¹", "Mg C ha-1": "Mg C ha⁻¹", "log yr": "log of years", "1": ""}
PARTS = {
    "stock": "our stock / its stock",
    "aboveground": "its input / input below ground",
    "production": "input below ground / $I_\\mathrm{root}$",
    "loss": "$I_\\mathrm{root}$ / $I_\\mathrm{bulk}$",
}
SCORES = {
    "relative_bias": "bias (%)",
    "bias_score": "bias score",
    "rmse_score": "RMSE score",
    "distribution_score_median": "pattern score",
    "coverage95": "in our 95 %",
}


@styled
def figure_model(c: Comparison, results: Results) -> Figure:
    """A model, our posterior mean, and the difference; dotted where the model lies outside our 95 % interval."""
    layer = 0 if len(c.layers) == 1 else slice(None)
    values, reference = (np.asarray(a[layer]) for a in (c.values, c.reference))
    if values.ndim == 3:  # of the layers, their sum
        values, reference = values.sum(axis=0), reference.sum(axis=0)
    model, mean = values.mean(axis=1), reference.mean(axis=1)
    low, high = np.quantile(values - reference, INTERVAL, axis=1)
    outside = (low > 0) | (high < 0)
    unit = UNITS[c.unit]
    both = np.concatenate([model[c.weight > 0], mean[c.weight > 0]])
    scale = Scale.of(both, "viridis")
    panels = (
        ("a", c.model, model, scale, f"{c.variable} ({unit})" if unit else c.variable),
        ("b", "Our posterior mean", mean, scale, unit),
        ("c", "Difference", model - mean, Scale.of((model - mean)[c.weight > 0], "PuOr_r", centred=True), unit),
    )
    wide, tall = WIDTH - 0.1, (WIDTH - 0.1) / map_aspect(*WORLD_BOX)
    half, low_tall = (wide - 0.1) / 2, (wide - 0.1) / 2 / map_aspect(*WORLD_BOX)
    sheet = Sheet(TITLE + low_tall + BAR + TITLE + tall + BAR)
    places = (
        (0.05, TITLE, half, low_tall),
        (0.15 + half, TITLE, half, low_tall),
        (0.05, 2 * TITLE + low_tall + BAR, wide, tall),
    )
    for place, (panel, title, field, colours, name) in zip(places, panels, strict=True):
        ax = sheet.axes(*place)
        letter(ax, panel, title)
        mesh = _paint(ax, c.grid, c.on_grid(field), colours, results)
        bounds = (0.2, -0.06, 0.6, 0.03) if panel == "c" else (0.12, -0.1, 0.76, 0.045)
        colour_bar(mesh, ax, colours, name, bounds=bounds)
        if panel == "c":
            rows, cols = np.divmod(c.index, c.grid.shape[1])
            every = max(round(3 * c.grid.shape[1] / 360), 1) if c.grid.shape[0] > 1 else 1
            dotted = outside & (c.weight > 0) & (rows % every == 0) & (cols % every == 0)
            x, y = project(*(a.ravel()[c.index][dotted] for a in _centres(c.grid)))
            ax.plot(x, y, ls="none", marker=".", ms=1.3, mew=0, color="black", zorder=4)
    return sheet.figure


def _centres(grid: ModelGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude of all cells, (rows, columns)."""
    if grid.regular:
        lon, lat = np.meshgrid(grid.lon, grid.lat)
        return lon, lat
    return grid.lon, grid.lat


def _paint(ax: Axes, grid: ModelGrid, field: NDArray, scale: Scale, results: Results) -> Any:
    if grid.regular:
        # From north to south and from -180 to 180 degrees, as our maps are.
        rows, lon = np.argsort(-grid.lat), (grid.lon + 180) % 360 - 180
        cols = np.argsort(lon)
        mesh: Any = draw_map(ax, field[np.ix_(rows, cols)], grid.lat[rows], lon[cols], scale, results.land)
    else:
        results.land.draw(ax)
        known = np.isfinite(field)
        lon, lat = grid.lon_edges[known], grid.lat_edges[known]
        lon = (lon[:, :1] + 180) % 360 - 180 + lon - lon[:, :1]
        inside = (np.abs(lon) <= 180).all(axis=1)  # those across 180 degrees would span the map
        x, y = project(lon[inside], lat[inside])
        look: Any = {"cmap": scale.cmap, "norm": scale.norm, "edgecolors": "face", "linewidths": 0.2}
        mesh = PolyCollection(list(np.stack([x, y], axis=-1)), zorder=2, **look)
        mesh.set_array(field[known][inside])
        mesh.set_rasterized(True)
        ax.add_collection(mesh)
        results.land.draw_coastline(ax)
    frame_map(ax, *WORLD_BOX)
    return mesh


@styled
def figure_portrait(table: pd.DataFrame) -> Figure:
    """Bias over our median, and scores (1 is best), of every model over all land and by biome."""
    table = table[(table["layer"] == table["layer"].iloc[0]) & table["group"].isin(["all", "biome"])]
    models, classes = list(dict.fromkeys(table["model"])), ["all", *BIOMES.values()]
    classes = [name for name in classes if (table["class"] == name).any()]
    short = {name: BIOME_LABELS[number] for number, name in BIOMES.items()} | {"all": "all land"}
    fig = new_figure(1.2 + 0.24 * len(classes))
    table = table.assign(relative_bias=100 * table["bias_median"] / table["map_median"].abs())
    for ax, (score, name), panel in zip(
        fig.subplots(1, len(SCORES), sharey=True), SCORES.items(), "abcde", strict=True
    ):
        grid = table.pivot(index="class", columns="model", values=score).reindex(index=classes, columns=models)
        values, relative = grid.to_numpy(float), score == "relative_bias"
        limits = (-100, 100) if relative else (0, 1)
        ax.imshow(values, cmap="PuOr_r" if relative else "YlGnBu", vmin=limits[0], vmax=limits[1], aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = "white" if abs(value) > 0.6 * limits[1] else "black"
                text = f"{value:+.0f}".replace("-", MINUS) if relative else f"{value:.2f}"
                ax.text(column, row, text, ha="center", va="center", fontsize=6, color=ink)
        ax.set_xticks(range(len(models)), models, rotation=30, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(classes)), [short[c] for c in classes])
        ax.set_xlabel(name)
        ax.tick_params(length=0)
        letter(ax, panel)
    return fig


@styled
def figure_taylor(comparisons: Sequence[Comparison], table: pd.DataFrame) -> Figure:
    """Spatial pattern: angle by correlation with our map, radius the ratio of standard deviations; bars: 95 % over the
    members of the posterior. The star is a model that has our pattern.
    """
    fig = new_figure(3.6, 4.6)
    ax = fig.add_subplot(projection="polar")
    assert isinstance(ax, PolarAxes)
    whole = table[table["group"] == "all"].groupby("model", sort=False).first()
    whole_disc = float(whole["correlation_median"].min()) < 0
    ax.plot(0, 1, marker="*", ms=9, color="black", ls="none", clip_on=False)
    for colour, c in zip(COLOURS * 9, comparisons, strict=False):
        row = whole.loc[c.model]
        least, keys = -1 if whole_disc else 0, ("median", "p025", "p975")
        angle = {key: float(np.arccos(np.clip(row[f"correlation_{key}"], least, 1))) for key in keys}
        ax.plot(angle["median"], row["sd_ratio_median"], "o", ms=4, color=colour, label=c.model, clip_on=False)
        arc = np.linspace(angle["p975"], angle["p025"], 30)
        ax.plot(arc, np.full(30, row["sd_ratio_median"]), color=colour, lw=1)
        ax.plot([angle["median"]] * 2, [row["sd_ratio_p025"], row["sd_ratio_p975"]], color=colour, lw=1)
    ax.set_thetalim(0, np.pi if whole_disc else np.pi / 2)
    ticks = [r for r in (-0.8, -0.4, 0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99) if whole_disc or r >= 0]
    ax.set_thetagrids(np.degrees(np.arccos(ticks)), [f"{r:g}".replace("-", MINUS) for r in ticks])
    ax.set_rlim(0, max(1.5, 1.1 * float(whole["sd_ratio_p975"].max())))
    ax.tick_params(labelsize=6.5)
    ax.set_xlabel("standard deviation over that of our map", labelpad=12)
    if not whole_disc:
        ax.annotate("correlation", (0.78, 0.78), xycoords="axes fraction", rotation=-45, fontsize=7)
    ax.grid(color="#dddddd")
    fig.legend(loc="outside lower center", ncols=3, fontsize=7)
    return fig


@styled
def figure_factor(factors: pd.DataFrame) -> Figure:
    """How many times too fast carbon turns over in each model, by biome; and the factors that it is made of."""
    models = list(dict.fromkeys(factors["model"]))
    colours = dict(zip(models, COLOURS * 9, strict=False))
    fig = new_figure(3.7)
    left, right = fig.subplots(1, 2, width_ratios=(1.2, 1))
    letter(left, "a", "How many times too fast")
    classes = ["all", *BIOMES.values()]
    labels = ["all land", *BIOME_LABELS.values()]
    for i, model in enumerate(models):
        rows = factors[(factors["model"] == model) & factors["group"].isin(["all", "biome"])].set_index("class")
        rows = rows.reindex(classes)
        y = np.arange(len(classes)) + 0.6 * ((i + 0.5) / len(models) - 0.5)
        draw_intervals(left, y, *(rows[f"factor_{k}"] for k in ("median", "p025", "p975")), colour=colours[model])
        left.plot([], [], "o", color=colours[model], label=model)
    name_rows(left, labels)
    fig.legend(loc="outside lower center", ncols=4, fontsize=7)
    letter(right, "b", "What makes it so, all land")
    everywhere = factors[factors["group"] == "all"].set_index("model")
    shown = {"factor": "all together"} | {name: text for name, text in PARTS.items() if f"{name}_median" in factors}
    for i, model in enumerate(models):
        row = everywhere.loc[model]
        y = np.arange(len(shown)) + 0.6 * ((i + 0.5) / len(models) - 0.5)
        values = ([float(row.get(f"{n}_{k}", np.nan)) for n in shown] for k in ("median", "p025", "p975"))
        draw_intervals(right, y, *(np.array(v) for v in values), colour=colours[model])
    name_rows(right, list(shown.values()))
    for ax in (left, right):
        ax.axvline(1, color=GREY, lw=0.8, ls="--")
        ax.set_xscale("log")
        few_log_ticks(ax.xaxis)
        ax.set_xlabel("factor (log scale)")
    return fig


def save_benchmark_figures(
    comparisons: Sequence[Comparison], table: pd.DataFrame, factors: pd.DataFrame, results: Results, folder: Path
) -> None:
    """Draws a map of each model (`MODEL.png`), `portrait.png`, `taylor.png`, and of the turnover `factor.png`."""
    simulated = results.simulated
    for c in comparisons:
        name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in c.model)
        save(figure_model(c, results), folder / f"{name}.png", simulated=simulated)
    save(figure_portrait(table), folder / "portrait.png", simulated=simulated)
    if "correlation_median" in table:
        save(figure_taylor(comparisons, table), folder / "taylor.png", simulated=simulated)
    if len(factors):
        save(figure_factor(factors), folder / "factor.png", simulated=simulated)
