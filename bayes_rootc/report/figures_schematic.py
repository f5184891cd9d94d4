"""Where root carbon goes, drawn to scale (paper, Fig. 5)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from ..constants import LAYER_NAMES, LAYERS, PROFILE_DEPTH_CM
from .captions import pick, posterior
from .results import Results
from .style import FLUX_COLOURS, FLUX_LABELS, FLUX_UNIT, WIDTH, letter, styled

RIVER = 0.8
"""Width of the arrow of I_root, in the unit of its axes."""


@styled
def figure_5(results: Results) -> Figure:
    """I_root parting into what enters bulk soil and what is lost, and both by depth: widths are the means over the six
    estimates, numbers their medians and 95 % intervals.
    """
    figure = Figure(figsize=(WIDTH, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _draw_parting(left, results)
    _draw_depths(right, results)
    return figure


def _draw_parting(ax: Axes, results: Results) -> None:
    letter(ax, "a", f"0–200 cm, {FLUX_UNIT}")
    summary = results.table("summary_global")
    rows = {q: pick(summary, quantity=q, where="mean of") for q in ("iroot", "iloss", "ibulk", "share")}
    found = {q: row for q, row in rows.items() if row is not None}
    lost = RIVER * float(found["share"]["median"])
    top, middle, bottom = RIVER / 2, RIVER / 2 - lost, -RIVER / 2
    _band(ax, (0.0, top, middle), (1.6, 0.62 + lost, 0.62), FLUX_COLOURS["iloss"])
    _band(ax, (0.0, middle, bottom), (1.6, -0.7, -0.7 - (RIVER - lost)), FLUX_COLOURS["ibulk"])
    ax.fill_between([-0.9, 0.0], bottom, top, color=FLUX_COLOURS["iroot"], lw=0)
    texts = {
        "iroot": (-0.85, top + 0.06, "left", f"{FLUX_LABELS['iroot']}: carbon\nthat roots put\ninto the soil"),
        "iloss": (1.95, 0.62 + lost / 2, "left", f"{FLUX_LABELS['iloss']}: lost on the way"),
        "ibulk": (1.95, -0.7 - (RIVER - lost) / 2, "left", f"{FLUX_LABELS['ibulk']}: enters bulk soil"),
    }
    for flux, (x, y, align, name) in texts.items():
        text = f"{name}\n{posterior(found[flux])}"
        if flux == "iloss":
            text += f"\n{posterior(found['share'], percent=True)} of {FLUX_LABELS['iroot']}"
        va = "bottom" if flux == "iroot" else "center"
        ax.text(x, y, text, ha=align, va=va, fontsize=7, color=FLUX_COLOURS[flux])
    ax.set_xlim(-0.95, 3.9)
    ax.set_ylim(-1.25, 1.75)
    ax.set_axis_off()


def _band(ax: Axes, start: tuple[float, float, float], end: tuple[float, float, float], colour: str) -> None:
    """A band from (x, upper, lower) to (x, upper, lower), bent like a river, with a point at its end."""
    (x0, upper0, lower0), (x1, upper1, lower1) = start, end
    half = (x0 + x1) / 2
    tip = (x1 + 0.35 * abs(upper1 - lower1), (upper1 + lower1) / 2)
    points = [(x0, upper0), (half, upper0), (half, upper1), (x1, upper1), tip, (x1, lower1)]
    points += [(half, lower1), (half, lower0), (x0, lower0), (x0, upper0)]
    move, line, curve = Outline.MOVETO, Outline.LINETO, Outline.CURVE4
    codes = [move, curve, curve, curve, line, line, curve, curve, curve, line]
    ax.add_patch(PathPatch(Outline(points, codes), facecolor=colour, edgecolor="none", alpha=0.85))


def _draw_depths(ax: Axes, results: Results) -> None:
    letter(ax, "b", "By depth")
    summary = results.table("summary_depth")
    for (top, bottom), name in zip(LAYERS, LAYER_NAMES, strict=True):
        found = {q: pick(summary, layer=name, quantity=q, where="mean of") for q in ("ibulk", "iloss", "share")}
        bulk, loss = (0.0 if found[q] is None else float(found[q]["median"]) for q in ("ibulk", "iloss"))  # type: ignore[index]
        middle, height = (top + bottom) / 2, 0.9 * (bottom - top)
        ax.barh(middle, bulk, height, color=FLUX_COLOURS["ibulk"])
        ax.barh(middle, loss, height, bulk, color=FLUX_COLOURS["iloss"])
        share = found["share"]
        if share is not None:
            ax.annotate(
                f"{100 * share['median']:.0f} % lost",
                (bulk + max(loss, 0), middle),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=6.5,
            )
    ax.set_ylim(PROFILE_DEPTH_CM, 0)
    ax.set_yticks(np.unique(LAYERS))
    ax.set_xlim(0, 1.35 * ax.get_xlim()[1])
    ax.set_xlabel(f"{FLUX_LABELS['ibulk']} and {FLUX_LABELS['iloss']} ({FLUX_UNIT})")
    ax.set_ylabel("depth (cm)")
