"""The figures that only a posterior can show: two ages for one value, and data that the model would make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..models.radiocarbon import predicted_table
from ..models.rates import fine_log_k, mean_of
from .results import Results
from .style import FLUX_COLOURS, letter, new_figure, plain_log_axis, styled

DEPTH_CLASSES = ((0, 30), (30, 100), (100, 200))
"""Depths (cm, by the middle of a layer) in which radiocarbon is compared with its replicates."""

AGES = (2.0, 1000.0)
"""Ages that are shown where a bomb-era value has two, yr."""

BLUE, RED = FLUX_COLOURS["iroot"], FLUX_COLOURS["iloss"]


@styled
def figure_modes(results: Results, *, show: int = 4) -> Figure:
    """Layers whose radiocarbon has two ages: the model curve, the measurement, and the posterior's two modes.

    Where a layer has many rates, the age is that at their centre.
    """
    doubtful = _most_doubtful(results.table("layers"), show)
    if doubtful.empty:
        fig = new_figure(1.6)
        ax = fig.add_subplot()
        ax.text(0.5, 0.5, "No layer of this run has two modes.", ha="center", transform=ax.transAxes)
        ax.set(xlabel="carbon age (yr)", ylabel="Δ¹⁴C (‰)", xticks=[], yticks=[])
        return fig
    fig = new_figure(0.45 + 1.45 * len(doubtful))
    axes = np.atleast_2d(fig.subplots(len(doubtful), 2, sharex=True))
    log_k = results.turnover["posterior"].to_dataset()["log_k"]
    prehistory = results.run["settings"]["prehistory"]
    many = bool((doubtful["s_median"] > 0).any())
    label = f"carbon age{' at the centre of the rates' if many else ''} (yr, log scale)"
    oldest = max(AGES[1], 5 * float(doubtful[["mode1_age", "mode2_age"]].max().max()))
    ages, bins = np.geomspace(AGES[0], oldest, 300), np.geomspace(AGES[0], oldest, 60)
    for (left, right), number in zip(axes, doubtful.index, strict=True):
        row = doubtful.loc[number]
        sampled = np.atleast_1d(row["year"]).astype(float), np.atleast_1d(row["zone"]).astype(str)
        single = predicted_table(np.exp(fine_log_k()), *sampled, prehistory, results.atmosphere)
        (curve,) = mean_of(single, -np.log(ages), float(row["s_median"]))
        error = float(np.hypot(row["sigma"], row["model_sd"]))
        left.plot(ages, curve, color="black", lw=1)
        left.axhspan(row["delta14c"] - error, row["delta14c"] + error, color=BLUE, alpha=0.2, lw=0)
        left.axhline(row["delta14c"], color=BLUE, lw=0.8)
        near = [row["delta14c"] - 2 * error, row["delta14c"] + 2 * error, curve.max()]
        left.set_ylim(min(near) - 10, max(near) + 10)
        left.set_ylabel("Δ¹⁴C (‰)")
        left.set_title(f"{_place(row)}: {row['delta14c']:.0f} ± {row['sigma']:.0f} ‰", fontsize=7)
        draws = np.exp(-np.ravel(log_k.isel(layer=number)))
        counts, _, _ = right.hist(draws, bins, color=BLUE, alpha=0.5, lw=0)
        right.set_ylim(0, 1.45 * max(np.max(counts), 1))
        for mode in (1, 2):
            age, weight = row[f"mode{mode}_age"], row[f"mode{mode}_probability"]
            right.axvline(age, color=RED, lw=0.8, ls="--")
            text = f"{age:,.0f} yr: {100 * weight:.0f} %"
            beyond = age >= max(row["mode1_age"], row["mode2_age"])
            at: Any = {"xytext": (3 if beyond else -3, -1), "textcoords": "offset points", "va": "top"}
            at["ha"] = "left" if beyond else "right"
            right.annotate(text, (age, 1.0), xycoords=("data", "axes fraction"), **at)
        right.set_ylabel("draws")
    axes[0, 0].set(xscale="log", xlim=(AGES[0], oldest))
    plain_log_axis(axes[0, 0].xaxis)
    for ax in axes[-1]:
        ax.set_xlabel(label)
    return fig


def _most_doubtful(layers: pd.DataFrame, show: int) -> pd.DataFrame:
    """The layers with the most probable second mode; of neighbours in place and year, only the first is shown."""
    two = layers[layers["n_modes"] > 1].sort_values("mode2_probability", ascending=False)
    here = pd.DataFrame({"lat": (two["lat"] / 5).round(), "lon": (two["lon"] / 5).round(), "year": two["year"].round()})
    return two[~here.duplicated()].head(show)


def _place(row: pd.Series) -> str:
    lat = f"{abs(row['lat']):.1f}° {'N' if row['lat'] >= 0 else 'S'}"
    lon = f"{abs(row['lon']):.1f}° {'E' if row['lon'] >= 0 else 'W'}"
    return f"{row['top']:g}–{row['bottom']:g} cm, {lat} {lon}, {int(row['year'])}"


@styled
def figure_predictive(results: Results) -> Figure:
    """Posterior predictive check: observed Δ14C with replicates, and where each observation lies among its own."""
    tree = results.turnover
    observed = tree["observed_data"].to_dataset()["delta14c"].values
    drawn = tree["posterior_predictive"].to_dataset()["delta14c"].stack(sample=("chain", "draw"))
    replicated = drawn.transpose("layer", "sample").values
    depth = tree["constant_data"].to_dataset()[["top", "bottom"]].to_array().mean("variable").values
    rank = (replicated < observed[:, None]).mean(axis=1)
    fig = new_figure(3.9)
    axes = fig.subplots(2, len(DEPTH_CLASSES), height_ratios=(1.4, 1))
    for column, (upper, lower) in enumerate(DEPTH_CLASSES):
        here = (depth >= upper) & (depth < lower)
        ax, below = axes[:, column]
        letter(ax, "abc"[column], f"{upper}–{lower} cm ({here.sum():,} layers)")
        letter(below, "def"[column], f"{upper}–{lower} cm")
        ax.set_xlabel("Δ¹⁴C (‰)")
        below.set_xlabel("replicates below the observation (%)")
        if not here.any():
            continue
        low, high = np.quantile(observed[here], [0.001, 0.999])
        bins = np.linspace(low - 50, high + 50, 45)
        middle = (bins[1:] + bins[:-1]) / 2
        density = np.array([np.histogram(r, bins, density=True)[0] for r in replicated[here].T[:200]])
        band = np.quantile(density, [0.025, 0.975], axis=0)
        ax.fill_between(middle, band[0], band[1], color=BLUE, alpha=0.35, lw=0, label="replicated, 95 %")
        ax.stairs(np.histogram(observed[here], bins, density=True)[0], bins, color="black", lw=0.9, label="observed")
        ax.set_ylim(bottom=0)
        counts, edges = np.histogram(100 * rank[here], 20, (0, 100))
        below.stairs(100 * counts / here.sum(), edges, fill=True, color=BLUE, alpha=0.5)
        below.axhline(100 / 20, color="black", lw=0.7, ls="--")
        below.set_xlim(0, 100)
    axes[0, 0].legend(loc="upper left", fontsize=6.5)
    axes[0, 0].set_ylabel("density of layers (per ‰)")
    axes[1, 0].set_ylabel("layers (%)")
    return fig
