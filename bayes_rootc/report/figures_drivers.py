"""What drives I_root and I_bulk: the paper's grid of coefficients (Fig. 2), with everything a posterior adds."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..constants import BIOMES
from ..files import atomic_path
from .regression_tables import ALL_BIOMES
from .style import BIOME_LABELS, DPI, FLUX_LABELS, letter, new_figure, parts_of, styled

UNCERTAIN = "#d9d9d9"
PANELS = {
    "drivers_iroot": FLUX_LABELS["iroot"],
    "drivers_ibulk": FLUX_LABELS["ibulk"],
    "allocation": r"logit $f_\mathrm{BNPP}$",
}


@styled
def figure_drivers(coefficients: dict[str, pd.DataFrame], summaries: dict[str, pd.DataFrame]) -> Figure:
    """Coefficients by biome, a panel a response; grey where the 95 % interval spans 0, blank without records.

    Parameters
    ----------
    coefficients, summaries : `tables/NAME.csv` and `tables/NAME_summary.csv` by name.
    """
    names = [n for n in PANELS if n in coefficients]
    fig = new_figure(0.4 + 2.5 * len(names))
    panels = parts_of(fig, len(names), 1)
    for part, name, key in zip(panels, names, "abc", strict=False):
        ax = part.subplots()
        r2 = summaries[name].set_index("quantity").loc["R² of the biomes' own coefficients"]
        letter(ax, key, f"{PANELS[name]}:  R² {r2['median']:.2f} ({r2['p025']:.2f}–{r2['p975']:.2f})")
        _draw_grid(ax, coefficients[name])
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
    ax.axhline(0.5, color="black", lw=0.8)
    ax.tick_params(length=0)
    ax.figure.colorbar(image, ax=ax, label="change for 1 sd", pad=0.01, extend="both" if depth.any() else "neither")


def save_drivers_figure(out: Path) -> Path:
    """Draws `figures/drivers.png` from the regressions whose tables are there; returns the path."""
    tables, path = out / "tables", out / "figures" / "drivers.png"
    names = [n for n in PANELS if (tables / f"{n}_summary.csv").exists()]
    coefficients, summaries = ({n: pd.read_csv(tables / f"{n}{kind}.csv") for n in names} for kind in ("", "_summary"))
    with atomic_path(path) as temporary:
        figure_drivers(coefficients, summaries).savefig(temporary, dpi=DPI, format="png")
    return path
