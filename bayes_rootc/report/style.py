"""How every figure looks: one size of print, one set of colours that colour-blind readers can tell apart."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray
from scipy.stats import gaussian_kde

from ..files import atomic_path

WIDTH = 7.2
"""Full width of a printed page, inches."""

DPI = 150

FLUX_UNIT = "Mg C ha⁻¹ yr⁻¹"

FLUX_LABELS = {"iroot": r"$I_\mathrm{root}$", "ibulk": r"$I_\mathrm{bulk}$", "iloss": r"$I_\mathrm{loss}$"}

STAYING_LABELS = {
    "age": "carbon age (yr)",
    "transit_time": "transit time (yr)",
    "ibulk_t100": rf"$I_\mathrm{{bulk}}$(100 yr) ({FLUX_UNIT})",
}
"""Labels of what says how long carbon stays."""

FLUX_COLOURS = {"iroot": "#0072B2", "ibulk": "#009E73", "iloss": "#D55E00"}
"""From the palette of Okabe & Ito."""

FLUX_MAPS = {"iroot": "viridis", "ibulk": "viridis", "iloss": "PuOr_r"}
"""Perceptually even for inputs; with a neutral middle, at 0, for their difference."""

SITE_COLOURS = {"NPP": "#CC9A1F", "Δ14C": "#BB5566", "roots": "#004488"}
SITE_MARKERS = {"NPP": "o", "Δ14C": "^", "roots": "s"}
SITE_LABELS = {"NPP": "NPP sites", "Δ14C": "Δ¹⁴C profiles", "roots": "root profiles"}
"""The three data sets, which also differ in shape (high-contrast palette of P. Tol)."""

BIOME_LABELS = {
    1: "tropical/subtrop. forests",
    2: "tropical/subtrop. savannas",
    3: "temperate forests",
    4: "temperate grasslands",
    5: "Mediterr./montane shrublands",
    6: "boreal forests",
    7: "tundra",
    8: "deserts",
    9: "croplands",
}
"""Short forms for axes."""

type AxesArray = NDArray[np.object_]
"""Axes of one figure, in the order in which they were made."""

GREY, LIGHT = "#6b6b6b", "#d9d9d9"

RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.titlepad": 4,
    "axes.titley": 1.0,
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "axes.formatter.useoffset": False,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.4,
    "mathtext.fontset": "dejavusans",
    "mathtext.default": "regular",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def styled[**P](draw: Callable[P, Figure]) -> Callable[P, AxesArray]:
    """Draws in this style, leaves the user's settings and backend as they were, and gives the axes of the figure."""

    @wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> AxesArray:
        with matplotlib.rc_context(RC):
            return np.array(draw(*args, **kwargs).axes, dtype=object)

    return in_style


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure (inches) that belongs to no window and to no global state."""
    return Figure(figsize=(width, height), layout="constrained")


def parts_of(figure: Figure, rows: int, columns: int, **layout: Any) -> list[SubFigure]:
    """Parts of a figure that are laid out each for itself: long names in one do not squeeze the one above."""
    parts: Any = figure.subfigures(rows, columns, squeeze=False, **layout)
    return list(parts.flat)


def save(axes: AxesArray, path: Path, *, simulated: bool) -> None:
    """Writes the figure of these axes (PNG, PDF or SVG, by its ending); across one whose data are simulated it is said:
    figures travel without their report.
    """
    figure = axes[0].get_figure(root=True)
    if simulated:
        look: Any = {"fontsize": 44, "color": "#b00020", "alpha": 0.16, "rotation": 25, "weight": "bold", "zorder": 100}
        figure.text(0.5, 0.5, "SIMULATED", ha="center", va="center", in_layout=False, **look)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format=path.suffix[1:])


def letter(ax: Axes, text: str, title: str = "") -> None:
    """Panel letter and title, as printed."""
    ax.set_title(rf"$\mathbf{{{text}}}$   {title}")


def flux_axis(*fluxes: str) -> str:
    """Axis label of fluxes, with their unit."""
    return f"{', '.join(FLUX_LABELS[f] for f in fluxes)} ({FLUX_UNIT})"


def map_axis(quantity: str) -> str:
    """Label of a mapped quantity, with its unit."""
    return f"{STAYING_LABELS[quantity]}" if quantity in STAYING_LABELS else flux_axis(quantity)


def apart(low: float, high: float) -> tuple[float, float]:
    """Limits of an axis; where they are equal, as of values that do not vary, a little about them."""
    if high - low > 1e-9 * max(abs(low), abs(high)):
        return float(low), float(high)
    pad = 0.1 * abs(low) or 0.1
    return float(low) - pad, float(high) + pad


def draw_density(
    ax: Axes, values: NDArray, *, colour: str, label: str = "", log: bool = False, line: str = "-", fill: bool = True
) -> None:
    """Plots the kernel density of a sample over the 0.5–99.5 % range, per unit of the axis (per decade if `log`).

    Samples of fewer than three different values have no density and are not plotted.
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    if len(np.unique(values)) < 3:
        return
    scaled = np.log10(values) if log else values
    low, high = np.quantile(scaled, [0.005, 0.995])
    pad = 0.1 * (high - low)
    x = np.linspace(low - pad, high + pad, 300)
    y = gaussian_kde(scaled)(x)
    at = 10**x if log else x
    ax.plot(at, y, color=colour, ls=line, label=label)
    if fill:
        ax.fill_between(at, y, color=colour, alpha=0.18, lw=0)
    if log:
        ax.set_xscale("log")
        plain_log_axis(ax.xaxis)


def draw_intervals(
    ax: Axes,
    y: ArrayLike,
    middle: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    colour: Any,
    label: str = "",
    marker: str = "o",
    hollow: bool = False,
) -> None:
    """Points with horizontal intervals; `colour` is one colour or one for each point."""
    y, middle, low, high = (np.atleast_1d(np.asarray(v, float)) for v in (y, middle, low, high))
    ax.hlines(y, low, high, colors=colour, lw=1.1)
    face = "white" if hollow else colour
    ax.scatter(middle, y, s=14, marker=marker, c=face, edgecolors=colour, linewidths=0.9, zorder=3, label=label)


def draw_boxes(ax: Axes, samples: list[NDArray], positions: ArrayLike, *, colour: str, height: float) -> None:
    """Horizontal boxes: median and quartiles, whiskers to 2.5 % and 97.5 %, a dot at the mean."""
    known = [(s[np.isfinite(s)], p) for s, p in zip(samples, np.atleast_1d(positions), strict=True)]
    known = [(s, p) for s, p in known if len(s)]
    if not known:
        return
    ax.boxplot(
        [s for s, _ in known],
        positions=[p for _, p in known],
        widths=height,
        orientation="horizontal",
        whis=(2.5, 97.5),
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"facecolor": colour, "alpha": 0.45, "linewidth": 0.6},
        medianprops={"color": "black", "linewidth": 1.0},
        whiskerprops={"linewidth": 0.6, "color": colour},
        capprops={"linewidth": 0.6, "color": colour},
    )
    ax.plot(
        [s.mean() for s, _ in known],
        [p for _, p in known],
        ls="none",
        marker="o",
        ms=2.6,
        color=colour,
        mec="k",
        mew=0.3,
    )


def name_rows(ax: Axes, names: list[str]) -> None:
    """Names the rows 0, 1, … from the top down."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(max(len(names), 1) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")


def plain_log_axis(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis, once its limits are known: at powers of ten; on one that spans less than a
    power, also at 2 and 5.
    """
    low, high = axis.get_view_interval()
    if high < 10 * low:
        few_log_ticks(axis)
    else:
        axis.set_major_formatter(plain_log())
        axis.set_minor_formatter(NullFormatter())


MANY_TICKS = 300.0
"""Ratio of the ends of a log axis from which ticks at 1, 2 and 5 would run into each other."""


def few_log_ticks(axis: Axis) -> None:
    """Ticks at 1, 2 and 5 times powers of ten, in plain numbers, where a log axis spans one power or two; else at these
    powers.
    """
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < MANY_TICKS else (1,)))
    axis.set_major_formatter(plain_log())
    axis.set_minor_formatter(NullFormatter())


def plain_log() -> FuncFormatter:
    """Ticks of a logarithmic axis as plain numbers: 10⁻⁵, 0.01, 1, 2.5, 10,000."""
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

    def plain(value: float, _: int) -> str:
        if value >= 1 and np.isclose(value, round(value), rtol=1e-9):
            return f"{value:,.0f}"
        return f"{value:g}" if value >= 0.0009 else f"10{str(round(np.log10(value))).translate(raised)}"

    return FuncFormatter(plain)
