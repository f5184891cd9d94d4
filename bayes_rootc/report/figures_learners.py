"""The learners beside each other (paper, Extended Data Figs. 2, 3 and 9), and how far to believe their intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import binom

from ..constants import INTERVAL, MAP_FOREST
from ..mapping.regressors import ENSEMBLE, LEARNERS, POSTERIOR_FOREST, QUANTILE_FOREST
from .style import FLUX_COLOURS, letter, new_figure, save, styled

TITLES = {"iroot": "log I_root", "ibulk": "log I_bulk per cm", "f_bnpp": "log odds of f_BNPP"}
SPLITS = {"site": "sites held out", "spatial": "regions held out"}
SHOWN = (*LEARNERS, ENSEMBLE)
"""The paper's panels a-f."""

GREY = "#999999"

HIGHLIGHTED: dict[str, dict[str, Any]] = {
    "random forest": {"color": "#d55e00", "lw": 1.2},
    QUANTILE_FOREST: {"color": "#56b4e9", "lw": 1.2},
    POSTERIOR_FOREST: {"color": "#0072b2", "lw": 1.6},
    ENSEMBLE: {"color": "#009e73", "lw": 1.2, "ls": (0, (4, 1))},
}
"""Learners whose calibration is told apart."""


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
    rising where predictions are too wide, falling in the middle where they are too narrow. The band holds 95 % of what
    chance alone makes of so many independent observations, at each quantile.

    held_out : `tables/learners_held_out.csv`.
    """
    learners = [n for n in held_out["learner"].unique() if n not in HIGHLIGHTED] + list(HIGHLIGHTED)
    levels = np.linspace(0.01, 0.99, 99)
    fig = new_figure(5.2)
    axes = fig.subplots(2, 3, sharex=True, sharey=True)
    for row, (split, title) in zip(axes, SPLITS.items(), strict=True):
        for ax, (target, name) in zip(row, TITLES.items(), strict=True):
            here = held_out[(held_out["target"] == target) & (held_out["split"] == split)]
            n = int((here["learner"] == learners[0]).sum())
            low, high = (100 * (binom.ppf(q, n, levels) / n - levels) for q in INTERVAL)
            ax.fill_between(100 * levels, low, high, color="#e4e4e4", lw=0, label="chance")
            ax.axhline(0, color="black", lw=0.7, ls="--")
            for learner in learners:
                pit = np.sort(here.loc[here["learner"] == learner, "pit"])
                below = np.searchsorted(pit, levels, side="right") / len(pit)
                look = HIGHLIGHTED.get(learner, {"color": "#aaaaaa", "lw": 0.6})
                label = learner if learner in HIGHLIGHTED else "other learners"
                ax.plot(100 * levels, 100 * (below - levels), label=label, **look)
            ax.set_title(f"{name}, {title}", fontsize=7)
    for ax in axes[-1]:
        ax.set_xlabel("quantile of the prediction (%)")
    for ax in axes[:, 0]:
        ax.set_ylabel("observations below it, less it (%)")
    handles, names = axes[0, 0].get_legend_handles_labels()
    once = dict(zip(names, handles, strict=True))
    fig.legend(once.values(), once.keys(), loc="outside lower center", ncols=3, fontsize=7)
    return fig


def save_learner_figures(out: Path, *, simulated: bool) -> None:
    """Draws `learners_TARGET.png` and `learners_reliability.png` from the tables into `figures/`."""
    held_out, scores = (pd.read_csv(out / "tables" / f"{name}.csv") for name in ("learners_held_out", "learners"))
    scores = scores[scores["learner"] != MAP_FOREST]
    figures = {f"learners_{target}": figure_learners(held_out, scores, target) for target in TITLES}
    for name, figure in {**figures, "learners_reliability": figure_reliability(held_out)}.items():
        save(figure, out / "figures" / f"{name}.png", simulated=simulated)
