"""The learners beside each other (paper, Extended Data Figs. 2, 3 and 9), and how far to believe their intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..constants import MAP_FOREST
from ..files import atomic_path
from ..mapping.regressors import ENSEMBLE, LEARNERS
from .style import DPI, FLUX_COLOURS, letter, new_figure, styled

TITLES = {"iroot": "log I_root", "ibulk": "log I_bulk per cm", "f_bnpp": "log odds of f_BNPP"}
SPLITS = {"site": "sites held out", "spatial": "regions held out"}
SHOWN = (*LEARNERS, ENSEMBLE)
"""The paper's panels a-f."""

GREY = "#999999"


@styled
def figure_learners(held_out: pd.DataFrame, scores: pd.DataFrame, target: str) -> Figure:
    """Observed against predicted of the paper's five learners and its ensemble: sites, then regions held out.

    Parameters
    ----------
    held_out, scores : `tables/learners_held_out.csv`, `tables/learners.csv`. target : `iroot`, `ibulk` or `f_bnpp`.
    """
    fig = new_figure(9.0)
    fig.suptitle(TITLES[target], fontsize=9)
    axes = fig.subplots(4, 3, sharex=True, sharey=True)
    here = held_out[held_out["target"] == target]
    limits = np.quantile(here["observed"], [0.001, 0.999])
    limits += np.array([-0.05, 0.05]) * np.ptp(limits)
    alpha = float(np.clip(800 / max(len(here) / len(SHOWN), 1), 0.1, 0.6))
    for number, (split, learner) in enumerate((split, learner) for split in SPLITS for learner in SHOWN):
        ax = axes.flat[number]
        part = here[(here["split"] == split) & (here["learner"] == learner)]
        colour = FLUX_COLOURS.get(target, GREY)
        ax.plot(part["mean"], part["observed"], ".", ms=2.4, mew=0, alpha=alpha, color=colour, rasterized=True)
        ax.plot(limits, limits, color="black", lw=0.7, ls="--")
        ax.set(xlim=limits, ylim=limits, aspect="equal")
        letter(ax, "abcdefghijkl"[number], f"{learner.split(' (')[0]}, {SPLITS[split]}")
        row = scores[(scores["target"] == target) & (scores["split"] == split) & (scores["learner"] == learner)].iloc[0]
        text = f"R² {row['r2']:.2f}\nRMSE {row['rmse']:.2f}\nconcordance {row['concordance']:.2f}"
        box = {"fc": "white", "ec": "none", "alpha": 0.75, "pad": 1}
        ax.text(0.04, 0.97, text, transform=ax.transAxes, va="top", fontsize=6, bbox=box)
    for ax in axes[-1]:
        ax.set_xlabel("predicted")
    for ax in axes[:, 0]:
        ax.set_ylabel("observed")
    return fig


@styled
def figure_reliability(held_out: pd.DataFrame) -> Figure:
    """Share of observations below each quantile of their predictions, less that quantile: 0 where it can be believed;
    rising where predictions are too wide, falling in the middle where they are too narrow.

    held_out : `tables/learners_held_out.csv`.
    """
    learners = list(held_out["learner"].unique())
    levels = np.linspace(0.01, 0.99, 99)
    fig = new_figure(4.8)
    axes = fig.subplots(2, 3, sharex=True, sharey=True)
    for row, (split, title) in zip(axes, SPLITS.items(), strict=True):
        for ax, (target, name) in zip(row, TITLES.items(), strict=True):
            here = held_out[(held_out["target"] == target) & (held_out["split"] == split)]
            ax.axhline(0, color="black", lw=0.7, ls="--")
            for number, learner in enumerate(learners):
                pit = np.sort(here.loc[here["learner"] == learner, "pit"])
                below = np.searchsorted(pit, levels, side="right") / max(len(pit), 1)
                look = {"lw": 1.2} if "forest" in learner else {"lw": 0.8, "ls": (0, (3, 1))}
                ax.plot(100 * levels, 100 * (below - levels), color=f"C{number}", label=learner, **look)
            ax.set_title(f"{name}, {title}", fontsize=7)
    for ax in axes[-1]:
        ax.set_xlabel("quantile of the prediction (%)")
    for ax in axes[:, 0]:
        ax.set_ylabel("observations below it, less it (%)")
    axes[0, 0].legend(fontsize=4.5, ncols=2, loc="lower center")
    return fig


def save_learner_figures(out: Path) -> list[Path]:
    """`figures/learners_TARGET.png` and `learners_reliability.png` from the tables; returns the paths."""
    held_out, scores = (pd.read_csv(out / "tables" / f"{name}.csv") for name in ("learners_held_out", "learners"))
    scores = scores[scores["learner"] != MAP_FOREST]
    figures = {f"learners_{target}": figure_learners(held_out, scores, target) for target in TITLES}
    figures["learners_reliability"] = figure_reliability(held_out)
    saved = []
    for name, figure in figures.items():
        path = out / "figures" / f"{name}.png"
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=DPI, format="png")
        saved.append(path)
    return saved
