"""The learners compared (paper, Extended Data Figs. 2, 3 and 9), and how far to trust their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binom

from ..constants import INTERVAL
from ..mapping.draw import frame_map, project
from ..mapping.regressors import ENSEMBLE, LEARNERS, POSTERIOR_FOREST, QUANTILE_FOREST
from .results import Results
from .style import FLUX_COLOURS, AxesArray, apart, letter, new_figure, save, styled

TITLES = {"iroot": "log I_root", "ibulk": "log I_bulk per cm", "f_bnpp": "log odds of f_BNPP"}
SPLITS = {"site": "sites held out", "spatial": "regions held out"}
SHOWN = (*LEARNERS, ENSEMBLE)
"""The paper's panels a-f."""

GREY = "#999999"

FOLD_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")

HIGHLIGHTED: dict[str, dict[str, Any]] = {
    "random forest": {"color": "#d55e00", "lw": 1.2},
    QUANTILE_FOREST: {"color": "#56b4e9", "lw": 1.2},
    POSTERIOR_FOREST: {"color": "#0072b2", "lw": 1.6},
    ENSEMBLE: {"color": "#009e73", "lw": 1.2, "ls": (0, (4, 1))},
}
"""Learners whose calibration has a line style of its own."""


def figure_ed2(results: Results) -> AxesArray:
    """Learners of I_root (paper, Extended Data Fig. 2)."""
    return figure_learners(results, "iroot")


def figure_ed3(results: Results) -> AxesArray:
    """Learners of I_bulk (paper, Extended Data Fig. 3)."""
    return figure_learners(results, "ibulk")


def figure_ed9(results: Results) -> AxesArray:
    """Learners of f_BNPP (paper, Extended Data Fig. 9)."""
    return figure_learners(results, "f_bnpp")


@styled
def figure_learners(results: Results, target: str) -> Figure:
    """Observed against predicted of the paper's five learners and its ensemble: sites, then regions held out.

    Parameters
    ----------
    target : str
        `iroot`, `ibulk` or `f_bnpp`.
    """
    held_out, scores = results.table("learners_held_out"), results.table("learners", "concordance")
    fig = new_figure(9.0)
    fig.suptitle(TITLES[target], fontsize=9)
    axes = fig.subplots(4, 3, sharex=True, sharey=True)
    here = held_out[held_out["target"] == target]
    limits = np.array(apart(*np.quantile(here["observed"], [0.001, 0.999])))
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
def figure_reliability(results: Results) -> Figure:
    """Share of observations below each quantile of their predictions, less that quantile: 0 where it can be trusted;
    rising where predictions are too wide, falling in the middle where they are too narrow. At each quantile the band
    holds 95 % of what chance alone makes of this number of independent observations.
    """
    held_out = results.table("learners_held_out")
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


@styled
def figure_importance(results: Results, *, shown: int = 12) -> Figure:
    """By how much the error of the forest of posterior draws grows on places held out when a covariate is shuffled: the
    mean of the folds, and the least and the most of them; sites and regions held out.
    """
    importance = results.table("learners_importance")
    fig = new_figure(4.2)
    for ax, (number, (target, title)) in zip(fig.subplots(1, 3), enumerate(TITLES.items()), strict=True):
        colour = FLUX_COLOURS.get(target, GREY)
        names: list[str] = []
        for split, shift, look in (("site", -0.15, {"mfc": colour}), ("spatial", 0.15, {"mfc": "white"})):
            here = importance[(importance["target"] == target) & (importance["split"] == split)]
            percent = 100 * (here.pivot(index="feature", columns="fold", values="rmse_ratio") - 1)
            names = names or percent.mean(axis=1).sort_values(ascending=False).index[:shown].tolist()
            folds = percent.loc[names].to_numpy()
            mean = folds.mean(axis=1)
            error = [mean - folds.min(axis=1), folds.max(axis=1) - mean]
            bars = {"color": colour, "lw": 0.9, "ms": 3, "fmt": "o", "label": SPLITS[split]}
            ax.errorbar(mean, np.arange(len(names)) + shift, xerr=error, **bars, **look)
        ax.axvline(0, color="black", lw=0.7, ls="--")
        ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=6)
        ax.invert_yaxis()
        ax.set_xscale("symlog", linthresh=2)
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        ax.set_xlabel("error grows by (%)")
        ax.set_title(title, loc="right", fontsize=7)
        letter(ax, "abc"[number])
    handles, labels = ax.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=7)
    return fig


@styled
def figure_blocks(results: Results) -> Figure:
    """The regions that are held out together, by colour, and the variogram from which their size follows."""
    held_out, variograms, land = results.table("learners_held_out"), results.table("variograms"), results.land
    fig = new_figure(6.6)
    axes = fig.subplots(3, 2, width_ratios=[2, 1])
    for row, (number, (target, title)) in zip(axes, enumerate(TITLES.items()), strict=True):
        here = held_out[(held_out["target"] == target) & (held_out["split"] == "spatial")]
        here = here[here["learner"] == here["learner"].iloc[0]].drop_duplicates("id")
        land.draw(row[0])
        x, y = project(here["lon"], here["lat"])
        row[0].scatter(x, y, s=4, lw=0, c=[FOLD_COLOURS[fold % len(FOLD_COLOURS)] for fold in here["fold"]], zorder=3)
        land.draw_coastline(row[0])
        frame_map(row[0], *land.extent(here["lat"]))
        of_target = variograms[variograms["target"] == target]
        block = f"{of_target['block_km'].iloc[0]:,.0f} km" if len(of_target) else "default"
        letter(row[0], "ace"[number], f"{title}: folds of blocks of {block}")
        ax = row[1]
        ax.plot(of_target["distance_km"], of_target["semivariance"], "o", ms=3, color="#0072b2", label="residuals")
        ax.plot(of_target["distance_km"], of_target["fitted"], color="black", lw=0.9, label="model")
        if len(of_target):
            ax.axvline(of_target["block_km"].iloc[0], color="#d55e00", lw=0.9, ls="--", label="block")
        ax.set(xscale="log", xlabel="distance (km)", ylabel="semivariance")
        ax.set_ylim(bottom=0)
        letter(ax, "bdf"[number])
        if number == 0:
            ax.legend(loc="lower left")
    return fig


def save_learner_figures(results: Results, *, simulated: bool) -> None:
    """Draws `learners_TARGET.png`, `learners_reliability.png`, `learners_importance.png` and `learners_blocks.png` from
    the tables into `figures/`.
    """
    figures = {f"learners_{target}": figure_learners(results, target) for target in TITLES}
    figures["learners_reliability"] = figure_reliability(results)
    figures["learners_importance"] = figure_importance(results)
    figures["learners_blocks"] = figure_blocks(results)
    for name, axes in figures.items():
        save(axes, results.out / "figures" / f"{name}.png", simulated=simulated)
