"""What a reader sees of a figure: its words, points, lines and intervals, read from what was drawn."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.text import Text

from bayes_rootc.report.results import Results
from tests.report.conftest import finish

VARIED = (
    "iloss_estimates root_shares summary_global summary_biome summary_depth turnover_ages turnover_population "
    "turnover_cv turnover_prehistory drivers_iroot drivers_ibulk allocation learners"
).split()
VARYING = "mean median p025 p975 r2 rmse concordance coverage95".split()


def varied_results(folder: Path, data: Path | None = None) -> Results:
    """A made-up output folder, no two rows of a table alike: a figure that took one for another would be found out."""
    out = finish(folder / "out")
    for name in VARIED:
        path = out / "tables" / f"{name}.csv"
        table = pd.read_csv(path)
        columns = [c for c in table if str(c).split("_")[-1] in VARYING]
        table[columns] = table[columns].mul(np.linspace(0.5, 1, len(table)), axis=0)
        table.to_csv(path, index=False)
    return Results.read(out, data=data)


def visible_axes(figure: Figure) -> list[Axes]:
    """Axes of the figure and of its parts, colour bars included."""
    return [ax for ax in figure.findobj(Axes) if ax.get_visible()]


def title(ax: Axes) -> str:
    """Title, without the letter of the panel."""
    return ax.get_title(loc="left").split("$   ")[-1]


def texts(ax: Axes) -> list[str]:
    """What is written into the axes."""
    return [text.get_text() for text in ax.texts if text.get_text()]


def row_names(ax: Axes) -> list[str]:
    """Names at the vertical axis."""
    return [label.get_text() for label in ax.get_yticklabels()]


def legend_names(owner: Axes | Figure) -> list[str]:
    """Names in the legend of axes or of a whole figure."""
    legends = owner.legends if isinstance(owner, Figure) else [owner.get_legend()]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def dots(ax: Axes, label: str | None = None) -> list[np.ndarray]:
    """Points that `plot` drew without a line, (n, 2) each; with a label, only those."""
    lines = [line for line in ax.lines if line.get_linestyle() in ("None", "none", "") and len(line.get_xdata())]
    return [line.get_xydata() for line in lines if label is None or line.get_label() == label]


def curves(ax: Axes) -> dict[str, np.ndarray]:
    """Lines by their label, (n, 2)."""
    return {
        line.get_label(): line.get_xydata() for line in ax.lines if line.get_linestyle() not in ("None", "none", "")
    }


def intervals(ax: Axes) -> list[pd.DataFrame]:
    """Points with horizontal bars, in the order in which they were drawn: `y`, `middle`, `low`, `high`, `colour`."""
    bars = [c for c in ax.collections if isinstance(c, LineCollection)]
    points = [c for c in ax.collections if isinstance(c, PathCollection)]
    out = []
    for bar, point in zip(bars, points, strict=True):
        segments = np.array([path.vertices for path in bar.get_paths()])  # NaN where there is none
        offsets = np.ma.filled(point.get_offsets(), np.nan)
        np.testing.assert_array_equal(segments[:, 0, 1], offsets[:, 1])  # a bar goes through its point
        table = pd.DataFrame({"y": offsets[:, 1], "middle": offsets[:, 0]})
        colours = np.broadcast_to(bar.get_colors(), (len(table), 4))
        out.append(table.assign(low=segments[:, 0, 0], high=segments[:, 1, 0], colour=[tuple(c) for c in colours]))
    return out


def assert_intervals(found: pd.DataFrame, middle: Any, low: Any, high: Any) -> None:
    """The bars are these."""
    want = np.column_stack([np.atleast_1d(np.asarray(v, float)) for v in (middle, low, high)])
    np.testing.assert_allclose(found[["middle", "low", "high"]], want)


def mesh(ax: Axes) -> QuadMesh:
    """The cells of the map on the axes."""
    (found,) = (c for c in ax.collections if isinstance(c, QuadMesh))
    return found


def painted(ax: Axes) -> np.ndarray:
    """Values of the map on the axes, NaN where nothing is painted."""
    return np.ma.filled(mesh(ax).get_array(), np.nan)


def bar_label(ax: Axes) -> str:
    """Label of the colour bar beneath the map on the axes."""
    return mesh(ax).colorbar.ax.get_xlabel()


def legible(figure: Figure) -> list[str]:
    """What is wrong with the words: those off the page, and pairs that lie on each other. Empty where all is well.

    Slanted words are not looked at: their boxes are larger than they.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    width, height = figure.get_size_inches()
    box, wrong = figure.get_tightbbox(renderer), []
    if min(box.x0, box.y0, width - box.x1, height - box.y1) < -0.01:
        wrong.append(f"off the page of {width:g} x {height:g} inches: {box.extents.round(2)}")
    written = [text for ax in visible_axes(figure) for text in _words(ax)]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in written if not text.get_rotation() % 90]
    for (one, a), (other, b) in combinations(boxes, 2):
        wide, tall = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        if wide > 1 and tall > 2:  # pixels; lines of print may touch
            wrong.append(f"{one!r} lies on {other!r}")
    return wrong


def _words(ax: Axes) -> list[Text]:
    words = [*ax.texts, ax.title, *(t for t in ax.get_children() if isinstance(t, Text))]
    for axis in (ax.xaxis, ax.yaxis) if ax.axison else ():
        low, high = sorted(axis.get_view_interval())
        ticks = [tick for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()] if low <= tick.get_loc() <= high]
        words += [axis.label, *(label for tick in ticks for label in (tick.label1, tick.label2))]
    unique = {id(word): word for word in words}.values()
    return [word for word in unique if word.get_visible() and word.get_text().strip()]
