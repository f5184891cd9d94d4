"""Figures of the regressions: the paper's grid of coefficients (Fig. 2), forests and ridges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..constants import BIOMES, INTERVAL
from ..data.netcdf import open_tree
from ..models.regression import INTERCEPT
from ..models.root_depth import DEPTHS
from .regression_tables import ALL_BIOMES, R_SQUARED
from .results import Results
from .style import BIOME_LABELS, FLUX_LABELS, WIDTH, AxesArray, letter, new_figure, parts_of, save, styled

if TYPE_CHECKING:
    from arviz_plots import PlotCollection

UNCERTAIN = "#d9d9d9"
PANELS = {
    "drivers_iroot": FLUX_LABELS["iroot"],
    "drivers_ibulk": FLUX_LABELS["ibulk"],
    "allocation": r"logit $f_\mathrm{BNPP}$",
}

TITLES = {
    "drivers_iroot": "log of I_root (Mg C ha⁻¹ yr⁻¹)",
    "drivers_ibulk": "log of I_bulk (Mg C ha⁻¹ yr⁻¹ per cm)",
    "allocation": "logit of f_BNPP",
    "root_depth": "log10 of D50 (cm)",
}

COMMANDS = {
    "drivers_iroot": "drivers",
    "drivers_ibulk": "drivers",
    "allocation": "allocation",
    "root_depth": "root-depth",
}
"""Which `bayes-rootc fit` makes them."""


def explained(results: Results) -> list[str]:
    """Regressions of `PANELS` that were fitted, with coefficients to show."""
    fitted = [name for name in PANELS if results.has(name, f"{name}_summary")]
    return [name for name in fitted if (results.table(name)["group"] != "intercept").any()]


@styled
def figure_2(results: Results) -> Figure:
    """Coefficients by biome, a panel a response (paper, Fig. 2); grey where the 95 % interval spans 0, blank without
    records. A response that was not fitted, or had too few sites for components, is left out.
    """
    names = explained(results)
    fig = new_figure(0.4 + 2.5 * len(names))
    panels = parts_of(fig, len(names), 1)
    for part, name, key in zip(panels, names, "abc", strict=False):
        ax = part.subplots()
        r2 = results.table(f"{name}_summary").set_index("quantity").loc[R_SQUARED]
        letter(ax, key, f"{PANELS[name]}:  R² {r2['median']:.2f} ({r2['p025']:.2f}–{r2['p975']:.2f})")
        _draw_grid(ax, results.table(name))
    return fig


def _draw_grid(ax: Axes, table: pd.DataFrame) -> None:
    table = table[table["group"] != "intercept"]
    columns = list(dict.fromkeys(table["coefficient"]))
    rows = [ALL_BIOMES, *BIOMES.values()]
    median, p025, p975, records = (
        table.pivot(index="biome", columns="coefficient", values=name).loc[rows, columns].to_numpy(float)
        for name in ("median", "p025", "p975", "records")
    )
    value = np.ma.masked_where(records == 0, median)
    clear = (p025 > 0) | (p975 < 0)
    depth = (table.drop_duplicates("coefficient")["group"] == "depth").to_numpy()  # so strong that others would pale
    limit = max(float(np.abs(median[clear & (records > 0) & ~depth]).max(initial=0.0)), 0.1)
    ax.imshow(value * 0, cmap=mpl.colors.ListedColormap([UNCERTAIN]), aspect="auto")
    image = ax.imshow(np.ma.masked_where(~clear, value), cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto")
    for i, j in np.argwhere(records > 0):
        strong = clear[i, j] and abs(median[i, j]) > 0.6 * limit
        colour = "white" if strong else "black" if clear[i, j] else "#777777"
        ax.text(j, i, f"{round(median[i, j], 2) + 0.0:.2f}", ha="center", va="center", fontsize=5.5, color=colour)
    ax.set_xticks(range(len(columns)), columns, rotation=35, ha="right", fontsize=6.5)
    counts = records.max(axis=1).astype(int)
    labels = ["mean of biomes", *(BIOME_LABELS[b] for b in BIOMES)]
    ax.set_yticks(range(len(rows)), [f"{label} ({n:,})" for label, n in zip(labels, counts, strict=True)], fontsize=6.5)
    ax.set_xlabel("principal component, or depth" if depth.any() else "principal component")
    ax.axhline(0.5, color="black", lw=0.8)
    ax.tick_params(length=0)
    ax.figure.colorbar(image, ax=ax, label="change for 1 sd", pad=0.01, extend="both" if depth.any() else "neither")


@styled
def figure_forest(tree: xr.DataTree, name: str) -> Figure:
    """Mean coefficients over biomes (of root depth: those of climate), 50 and 95 % intervals, by arviz-plots."""
    import arviz_plots as azp

    posterior = tree["posterior"].to_dataset()
    if name == "root_depth":
        shown = posterior["slope"].assign_coords(depth=["log10 D50", "log of log10 D95/D50"])
    else:
        shown = posterior["mean"].sel(coefficient=posterior["coefficient"] != INTERCEPT)
    plots = azp.plot_forest(
        xr.DataTree.from_dict({"posterior": shown.rename("shown").to_dataset()}),
        combined=True,
        labels=list(map(str, shown.dims[2:])),
        ci_kind="eti",
        ci_probs=(0.5, 1 - 2 * INTERVAL[0]),
        point_estimate="median",
        backend="matplotlib",
        figure_kwargs={"figsize": (WIDTH, 0.8 + 0.2 * shown[0, 0].size)},
    )
    what = "change for 1 sd" if name == "root_depth" else f"{TITLES[name]}, mean of biomes: change for 1 sd"
    return _taken(plots, "forest", what, zero=True)


@styled
def figure_ridge(tree: xr.DataTree, name: str) -> Figure:
    """Posterior of each biome's level, at mean predictors, by arviz-plots."""
    import arviz_plots as azp

    posterior, short = tree["posterior"].to_dataset(), list(BIOME_LABELS.values())
    if name == "root_depth":
        shown = posterior["biome_mean"].sel(depth=DEPTHS[0], drop=True)
    else:
        shown = posterior["by_biome"].sel(coefficient=INTERCEPT, drop=True) + float(tree.attrs["centre"])
    plots = azp.plot_ridge(
        xr.DataTree.from_dict({"posterior": shown.assign_coords(biome=short).rename("shown").to_dataset()}),
        combined=True,
        labels=["biome"],
        backend="matplotlib",
        figure_kwargs={"figsize": (WIDTH, 3.2)},
    )
    others = "" if name == "root_depth" else ", soil and topography"
    return _taken(plots, "ridge", f"{TITLES[name]} at mean climate{others}")


def _taken(plots: PlotCollection, column: str, label: str, *, zero: bool = False) -> Figure:
    """The figure, which then belongs to no window, with its axis named."""
    import matplotlib.pyplot as plt

    figure = plots.viz["figure"].item()
    ax = plots.viz["plot"].sel(column=column).item()
    ax.set_xlabel(label)
    if zero:
        ax.axvline(0.0, color=UNCERTAIN, lw=1, zorder=0)
    names = plots.viz["plot"].sel(column="labels").item()
    names.set_xticks([])
    names.spines["bottom"].set_visible(False)
    figure.set_layout_engine("constrained")
    plt.close(figure)
    return figure


def save_regression_figures(results: Results, *, simulated: bool) -> None:
    """Draws `drivers.png`, and `NAME_forest.png` and `NAME_ridge.png` of the regressions whose posteriors are there."""

    def keep(name: str, axes: AxesArray) -> None:
        save(axes, results.out / "figures" / f"{name}.png", simulated=simulated)

    if explained(results):
        keep("drivers", figure_2(results))
    for name in TITLES:
        path = results.out / "posterior" / f"{name}.nc"
        if not path.exists():
            continue
        means = ("slope", "biome_mean") if name == "root_depth" else ("mean", "by_biome")
        with open_tree(path, {"posterior": means, "components": ()}, command=f"fit {COMMANDS[name]}") as tree:
            if tree["components"].sizes.get("component"):
                keep(f"{name}_forest", figure_forest(tree, name))
            keep(f"{name}_ridge", figure_ridge(tree, name))
