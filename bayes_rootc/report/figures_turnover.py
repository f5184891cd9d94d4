"""What the hierarchical fit of turnover learnt, and how well it predicts profiles that it has not seen."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binom

from ..constants import DEPTH_CLASSES, INTERVAL, LAYER_NAMES, PROFILE_NAME
from ..mapping.variables import BIOME_COLOURS
from .results import Results
from .style import (
    BIOME_LABELS,
    FLUX_COLOURS,
    FLUX_LABELS,
    draw_intervals,
    few_log_ticks,
    letter,
    name_rows,
    new_figure,
    plain_log_axis,
    save,
    styled,
)

BLUE, GREY = FLUX_COLOURS["iroot"], "#999999"
SPREADS = {
    "biome_sd": "biomes",
    "tau_profile": "profiles",
    "tau_layer": "layers of a profile",
    "model_sd": r"misfit $\sigma_\mathrm{model}$ (100 ‰)",
    "nu": r"tail $\nu$",
}
"""Hyperparameters that are shown with their prior, and what they are the standard deviation of."""

HISTORIES = {"steady": "steady in 1950", "intcal20": "IntCal20, SHCal20"}

IN_HUNDREDS = ("model_sd",)
DEPTH_BINS = np.array([0, 5, 10, 15, 20, 30, 40, 50, 60, 80, 100, 125, 150, 200.0])


@styled
def figure_turnover(results: Results) -> Figure:
    """Age by depth and biome; coefficients of the covariates; scales with their priors; prior → posterior → data."""
    ages, population = results.table("turnover_ages"), results.table("turnover_population")
    sampled = results.turnover["posterior"].to_dataset().data_vars
    shown = [name for name in SPREADS if name in sampled]
    tree = results.require_turnover({"prior": shown, "prior_predictive": ["delta14c"]})
    fig = new_figure(6.4)
    (a, b), (c, d) = fig.subplots(2, 2)
    letter(a, "a", "median age by depth and biome")
    for biome, rows in ages.groupby("biome"):
        a.plot(
            rows["age_median"],
            rows["depth_cm"],
            color=BIOME_COLOURS[int(str(biome))],
            label=BIOME_LABELS[int(str(biome))],
        )
        a.fill_betweenx(
            rows["depth_cm"], rows["age_p025"], rows["age_p975"], color=BIOME_COLOURS[int(str(biome))], alpha=0.08, lw=0
        )
    a.set(xscale="log", ylim=(155, 0), xlabel="carbon age (yr, log scale)", ylabel="depth (cm)")
    plain_log_axis(a.xaxis)
    a.legend(fontsize=5.5, loc="lower left")

    letter(b, "b", "change of log k for 1 sd of a component")
    coefficients = population[population["parameter"].str.startswith("coefficient[")]
    names = coefficients["parameter"].str.extract(r"\[(.*)\]")[0].tolist()
    clear = ((coefficients["p025"] > 0) | (coefficients["p975"] < 0)).to_numpy()
    colours = np.where(clear, BLUE, GREY).tolist()
    if len(coefficients):
        draw_intervals(
            b, range(len(names)), coefficients["mean"], coefficients["p025"], coefficients["p975"], colour=colours
        )
    b.axvline(0, color="black", lw=0.6)
    name_rows(b, names)
    b.set_xlabel("faster turnover →")

    letter(c, "c", "spreads: prior (grey) and posterior")
    posterior, prior = (tree[g].to_dataset() for g in ("posterior", "prior"))
    for row, name in enumerate(shown):
        for draws, colour, width in ((prior[name], GREY, 4.0), (posterior[name], BLUE, 2.0)):
            low, middle, high = np.quantile(
                draws.values / (100 if name in IN_HUNDREDS else 1), [INTERVAL[0], 0.5, INTERVAL[1]]
            )
            c.plot([low, high], [row, row], color=colour, lw=width, solid_capstyle="butt", alpha=0.9)
            c.plot(middle, row, "o", ms=4, color=colour)
    name_rows(c, [SPREADS[name] for name in shown])
    c.set(xscale="log", xlabel="spread of log k; misfit; degrees of freedom (log scale)")
    plain_log_axis(c.xaxis)

    letter(d, "d", "Δ¹⁴C by depth: prior, posterior, data")
    _draw_depth(d, tree)
    return fig


def _draw_depth(ax: Axes, tree: xr.DataTree) -> None:
    constants = tree["constant_data"].to_dataset()
    depth = ((constants["top"] + constants["bottom"]) / 2).values
    bins = np.digitize(depth, DEPTH_BINS) - 1
    used = [i for i in range(len(DEPTH_BINS) - 1) if (bins == i).sum() >= 5]
    middle = [(DEPTH_BINS[i] + DEPTH_BINS[i + 1]) / 2 for i in used]
    for group, colour, text in (("prior_predictive", GREY, "prior"), ("posterior_predictive", BLUE, "posterior")):
        drawn = tree[group].to_dataset()["delta14c"].values
        drawn = drawn.reshape(-1, drawn.shape[-1])[-400:]
        low, high = np.transpose([np.quantile(drawn[:, bins == i], INTERVAL) for i in used])
        ax.fill_betweenx(middle, low, high, color=colour, alpha=0.25, lw=0, label=f"{text} predictive, 95 %")
    observed = tree["observed_data"].to_dataset()["delta14c"].values
    ax.plot(observed, depth, ".", ms=1.2, color="black", alpha=0.5, rasterized=True, label="measured")
    ax.set(ylim=(200, 0), xlim=(-1010, 450), xlabel="Δ¹⁴C (‰)", ylabel="depth (cm)")
    ax.legend(fontsize=6, loc="lower right")


@styled
def figure_held_out_profiles(results: Results) -> Figure:
    """Profiles predicted from a fit to the others: where observations fall in their predictions, and coverage."""
    held_out, scores = results.table("turnover_held_out"), results.table("turnover_cv")
    held_out = held_out[held_out["measured"] == "bulk"]
    fig = new_figure(3.6)
    a, b = fig.subplots(1, 2, width_ratios=(1, 1.3))
    letter(a, "a", "where observations fall (PIT)")
    counts, edges = np.histogram(held_out["pit"], 20, (0, 1))
    a.stairs(100 * counts / len(held_out), edges, fill=True, color=BLUE, alpha=0.5)
    a.axhline(5, color="black", lw=0.7, ls="--")
    a.set(xlabel="share of the predictive below the observation", ylabel="layers (%)", xlim=(0, 1))
    letter(b, "b", "coverage of 95 % intervals")
    rows = scores[scores["group"].isin(["all", "depth, cm", "biome"])].reset_index(drop=True)
    middle, error = 100 * rows["coverage95"], 196 * rows["coverage95_se"]
    b.axvspan(93, 97, color="#eeeeee", lw=0)
    b.axvline(95, color="black", lw=0.7, ls="--")
    draw_intervals(b, rows.index, middle, middle - error, np.minimum(middle + error, 100), colour=BLUE)
    name_rows(b, [f"{name} ({n:,})" for name, n in zip(rows["class"], rows["layers"], strict=True)])
    b.set_xlabel("layers inside (%; bars: 95 %, by profile)")
    return fig


@styled
def figure_calibration(results: Results) -> Figure:
    """Simulation-based calibration: ranks of the truth among posterior draws, flat within the band if all is right."""
    ranks = results.table("turnover_sbc_ranks")
    bins = max(2, min(10, len(ranks) // 5))
    columns = 3
    fig = new_figure(1.5 * -(-len(ranks.columns) // columns))
    axes = np.ravel(fig.subplots(-(-len(ranks.columns) // columns), columns, sharex=True, sharey=True))
    low, high = binom.ppf(INTERVAL, len(ranks), 1 / bins)
    for ax, name in zip(axes, ranks.columns, strict=False):
        ax.axhspan(low, high, color="#dddddd", lw=0)
        counts, edges = np.histogram(ranks[name], bins, (0, 1))
        ax.stairs(counts, edges, fill=True, color=BLUE, alpha=0.6)
        ax.set_title(name, fontsize=7)
        ax.set_xlabel("rank of the truth")
        ax.label_outer()
    for ax in axes[len(ranks.columns) :]:
        ax.set_visible(False)
    axes[0].set_ylabel("simulations")
    return fig


@styled
def figure_histories(results: Results) -> Figure:
    """Age and I_bulk by depth under both states of the pool in 1950: steady, as in the paper, and with the history of
    IntCal20 and SHCal20.
    """
    table = results.table("turnover_prehistory")
    looks = {"steady": (BLUE, "o", -0.12), "intcal20": (FLUX_COLOURS["iloss"], "s", 0.12)}
    fig = new_figure(2.2)
    for ax, quantity, name, panel in zip(
        fig.subplots(1, 2),
        ("carbon age", "I_bulk density"),
        ("carbon age (yr, log scale)", f"{FLUX_LABELS['ibulk']} of measured layers (kg C m⁻³ yr⁻¹, log scale)"),
        "ab",
        strict=True,
    ):
        letter(ax, panel)
        for prehistory, (colour, marker, shift) in looks.items():
            rows = table[(table["quantity"] == quantity) & (table["prehistory"] == prehistory)]
            y = np.arange(len(rows)) + shift
            draw_intervals(ax, y, rows["median"], rows["p025"], rows["p975"], colour=colour, marker=marker)
            ax.plot([], [], color=colour, marker=marker, ls="none", label=HISTORIES[prehistory])
        name_rows(ax, [f"{depth.replace('-', '–')} cm" for depth in table["depth_cm"].unique()])
        ax.set(xscale="log", xlabel=name)
        few_log_ticks(ax.xaxis)
    ax.legend(fontsize=6.5, loc="best")
    return fig


@styled
def figure_persistence(results: Results) -> Figure:
    """Input to bulk soil that persists beyond a given time, by depth and for other rates; mean age of the
    carbon, and its mean transit time.
    """
    stays, times = (results.table(name).query("biome == 0") for name in ("persistence", "transit_times"))
    stays = stays[stays["estimate"] == "mean"].sort_values("t_years")
    family = times["family"].iloc[0]
    times = times[times["family"] == family]
    fig = new_figure(3.2)
    left, right = fig.subplots(1, 2)
    letter(left, "a", "input that stays")
    for name, colour in {PROFILE_NAME: "black", **dict(zip(LAYER_NAMES[:3], STAYING, strict=True))}.items():
        rows = stays[(stays["layer"] == name) & (stays["family"] == family)]
        label = f"{name.replace('-', '–')} cm"
        left.plot(rows["t_years"], rows["ibulk_median"], color=colour, label=label)
        left.fill_between(rows["t_years"], rows["ibulk_p025"], rows["ibulk_p975"], color=colour, alpha=0.2, lw=0)
    profile = stays[stays["layer"] == PROFILE_NAME]
    others = profile[profile["family"] != family].groupby("family")
    for (other, rows), style in zip(others, ("--", ":"), strict=False):
        left.plot(rows["t_years"], rows["ibulk_median"], color="black", ls=style, lw=0.9, label=other)
    root = profile[profile["family"] == family].iloc[0]
    left.axhspan(root["iroot_p025"], root["iroot_p975"], color=FLUX_COLOURS["iroot"], alpha=0.15, lw=0)
    left.axhline(root["iroot_median"], color=FLUX_COLOURS["iroot"], lw=0.8, label=FLUX_LABELS["iroot"])
    left.set_xscale("symlog", linthresh=1)
    left.set(xlabel="years since it entered", ylabel="input (Mg C ha⁻¹ yr⁻¹)", xlim=(0, None), ylim=(0, None))
    left.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    left.minorticks_off()
    left.legend()
    letter(right, "b", "age and transit time")
    names = [*LAYER_NAMES, PROFILE_NAME]
    for quantity, colour, label, shift in (
        ("age", "black", "mean age of the carbon", -0.12),
        ("transit_time", BLUE, "mean transit time", 0.12),
    ):
        rows = times.set_index("layer").loc[names]
        y = np.arange(len(names)) + shift
        ends = (rows[f"{quantity}_{key}"] for key in ("median", "p025", "p975"))
        draw_intervals(right, y, *ends, colour=colour, label=label)
    name_rows(right, [f"{name.replace('-', '–')} cm" for name in names])
    right.set_xscale("log")
    few_log_ticks(right.xaxis)
    right.set_xlabel("years (log scale)")
    right.set_ylim(len(names) + 0.3, -0.5)  # room for the legend
    right.legend(loc="lower center", ncols=2)
    return fig


@styled
def figure_ladder(results: Results) -> Figure:
    """Share of root carbon that is lost, and I_bulk, in each way to count."""
    table = results.table("ladder")
    fig = new_figure(0.45 + 0.19 * len(table))
    left, right = fig.subplots(1, 2, sharey=True)
    rows = np.arange(len(table))
    letter(left, "a", "share lost")
    draw_intervals(
        left, rows, *(100 * table[f"share_{key}"] for key in ("median", "p025", "p975")), colour=FLUX_COLOURS["iloss"]
    )
    left.set_xlim(max(-100, 100 * table["share_p025"].min() - 5), 102)
    left.set_xlabel("% of I_root")
    name_rows(left, [f"{number}  {what}" for number, what in zip(table["rung"], table["what"], strict=True)])
    letter(right, "b", "enters bulk soil")
    draw_intervals(
        right, rows, *(table[f"ibulk_{key}"] for key in ("median", "p025", "p975")), colour=FLUX_COLOURS["ibulk"]
    )
    right.set_xscale("log")
    plain_log_axis(right.xaxis)
    right.set_xlabel("I_bulk (Mg C ha⁻¹ yr⁻¹, log scale)")
    right.grid(axis="x")
    return fig


@styled
def figure_respired(results: Results) -> Figure:
    """Respired against bulk carbon by depth, as measured and in the model; where one pool fails."""
    table = results.table("turnover_respired")
    middle = ((table["top"] + table["bottom"]) / 2).to_numpy()
    fig = new_figure(3.2)
    left, right = fig.subplots(1, 2)
    letter(left, "a", "younger than bulk carbon")
    known = table["delta14c"].notna()
    left.plot((table["respired"] - table["delta14c"])[known], middle[known], ".", color=GREY, ms=3, label="measured")
    classes = []
    for top, bottom in DEPTH_CLASSES:
        here = (middle >= top) & (middle < bottom)
        if here.any():
            classes.append((min((top + bottom) / 2, 150.0), table.loc[here, ["gap_median", "gap_p025", "gap_p975"]]))
    depth = np.array([at for at, _ in classes])
    gap, low, high = np.array([rows.mean().to_numpy() for _, rows in classes]).T
    draw_intervals(left, depth, gap, low, high, colour=BLUE, label="model, mean of layers")
    left.axvline(0, color="black", lw=0.8, ls="--", label="one pool")
    left.set(xlabel="Δ¹⁴C of CO₂ less that of bulk carbon (‰)", ylabel="depth (cm)", ylim=(200, 0))
    left.legend()
    letter(right, "b", "measured and predicted")
    observed = table["respired"]
    right.errorbar(
        table["predicted_median"],
        observed,
        xerr=np.abs(table[["predicted_p025", "predicted_p975"]].to_numpy().T - table["predicted_median"].to_numpy()),
        fmt="none",
        ecolor=BLUE,
        elinewidth=0.4,
        alpha=0.35,
    )
    right.plot(table["predicted_median"], observed, ".", color=BLUE, ms=3, label="model (95 %)")
    right.plot(table["delta14c"], observed, "x", color=GREY, ms=3, mew=0.6, label="one pool: as bulk carbon")
    ends = float(observed.min()), float(observed.max())
    right.plot(ends, ends, color="black", lw=0.8)
    right.set(xlabel="Δ¹⁴C of CO₂, predicted (‰)", ylabel="Δ¹⁴C of CO₂, measured (‰)")
    right.legend()
    return fig


STAYING = ("#0072B2", "#009E73", "#D55E00")
"""Colours of the uppermost layers."""


def save_check_figures(results: Results, *, simulated: bool) -> None:
    """Plots the results of the expensive checks (folds, calibration, both histories), where they have tables."""
    possible = {
        "turnover": (figure_turnover, "prior" in results.turnover.children),
        "turnover_held_out": (figure_held_out_profiles, results.has("turnover_held_out", "turnover_cv")),
        "turnover_sbc": (figure_calibration, results.has("turnover_sbc_ranks")),
        "turnover_prehistory": (figure_histories, results.has("turnover_prehistory")),
    }
    for name, (draw, there) in possible.items():
        if there:
            save(draw(results), results.out / "figures" / f"{name}.png", simulated=simulated)
