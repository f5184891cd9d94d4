"""Figures of fluxes and ages at sites, of the held-out predictions, and of the depth of roots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import expit

from ..constants import BIOMES, LAYER_NAMES, LAYERS, PROFILE_NAME
from ..data.atmosphere import ATMOSPHERE_ZONES
from ..mapping.variables import BIOME_COLOURS
from .captions import pick
from .results import Results
from .style import (
    BIOME_LABELS,
    FLUX_COLOURS,
    FLUX_LABELS,
    FLUX_UNIT,
    GREY,
    LIGHT,
    SITE_COLOURS,
    SITE_LABELS,
    SITE_MARKERS,
    apart,
    draw_boxes,
    draw_density,
    draw_intervals,
    flux_axis,
    letter,
    name_rows,
    new_figure,
    parts_of,
    plain_log_axis,
    styled,
)

ESTIMATE_SITES = {1: "NPP", 2: "NPP", 3: "Δ14C", 4: "Δ14C", 5: "roots", 6: "roots"}
"""Data set at whose sites each estimate is made (paper, Extended Data Table 1)."""


@styled
def figure_1(results: Results) -> Figure:
    """I_root and I_bulk of sites, and how they are distributed over depth (paper, Fig. 1)."""
    fig = new_figure(5.4)
    panels = [part.subplots() for part in parts_of(fig, 2, 2)]
    ax = panels[0]
    letter(ax, "a", "Sites, 0–200 cm")
    for flux, estimate in (("iroot", 1), ("ibulk", 3)):
        values = _sites(results, estimate)[flux].to_numpy()
        label = f"{FLUX_LABELS[flux]}, {SITE_LABELS[ESTIMATE_SITES[estimate]]} ({len(values):,})"
        draw_density(ax, values, colour=FLUX_COLOURS[flux], label=label, log=True)
        if len(values):
            ax.axvline(values.mean(), color=FLUX_COLOURS[flux], lw=0.9, ls="--")
    ax.set_xlabel(f"flux ({FLUX_UNIT}, log scale)")
    ax.set_ylabel("density of sites (per decade)")
    ax.set_ylim(0, 1.3 * ax.get_ylim()[1])
    ax.legend(loc="upper left")
    ax = panels[1]
    letter(ax, "b", "Sites by biome, 0–200 cm")
    for flux, estimate, shift in (("iroot", 1, -0.19), ("ibulk", 3, 0.19)):
        table = _sites(results, estimate)
        samples = [table.loc[table["biome"] == b, flux].to_numpy() for b in BIOMES]
        draw_boxes(ax, samples, np.arange(len(BIOMES)) + shift, colour=FLUX_COLOURS[flux], height=0.34)
    name_rows(ax, list(BIOME_LABELS.values()))
    _log_flux_axis(ax, "iroot", "ibulk")
    for ax, relative, panel in ((panels[2], False, "c"), (panels[3], True, "d")):
        letter(ax, panel, "Share of the profile in each layer" if relative else "By layer")
        for flux, estimate, shift in (("iroot", 5, -0.19), ("ibulk", 3, 0.19)):
            layers = _site_layers(results, estimate, flux)
            if relative:
                layers = 100 * layers / layers.sum(axis=1, keepdims=True)
            draw_boxes(ax, list(layers.T), np.arange(len(LAYERS)) + shift, colour=FLUX_COLOURS[flux], height=0.34)
        name_rows(ax, list(LAYER_NAMES))
        ax.set_ylabel("depth (cm)")
        if relative:
            ax.set_xlabel("share of 0–200 cm (%)")
            ax.set_xlim(0, 100)
        else:
            _log_flux_axis(ax, "iroot", "ibulk")
    return fig


@styled
def figure_3(results: Results) -> Figure:
    """I_loss of the six estimates: over sites, by depth, as a share of I_root, and by biome (paper, Fig. 3)."""
    fig = new_figure(6.2)
    panels = [part.subplots() for part in parts_of(fig, 2, 2)]
    table = results.table("iloss_estimates")
    world = table[table["biome"] == 0]
    profile = world[world["layer"] == PROFILE_NAME].set_index("estimate")
    ax = panels[0]
    letter(ax, "a", "Sites, 0–200 cm")
    values = {e: _sites(results, int(e))["iloss"].to_numpy() for e in profile.index}
    for e, sample in values.items():
        draw_density(ax, sample, fill=False, **_estimate_line(profile, e))
    ax.axvline(0, color="black", lw=0.6)
    ax.set_ylim(bottom=0)
    ax.set_xlim(*np.quantile(np.concatenate(list(values.values())), [0.005, 0.995]))
    ax.set_xlabel(flux_axis("iloss"))
    ax.set_ylabel(f"density of sites (per {FLUX_UNIT})")
    ax = panels[1]
    letter(ax, "b", "Mean of the sites by depth")
    for i, e in enumerate(profile.index):
        layers = world[world["estimate"] == e].set_index("layer").reindex(list(LAYER_NAMES))
        y = np.arange(len(LAYERS)) + 0.12 * (i - (len(profile) - 1) / 2)
        draw_intervals(ax, y, *_interval(layers, "iloss"), **_estimate_marker(profile, e))
    ax.axvline(0, color="black", lw=0.6)
    name_rows(ax, list(LAYER_NAMES))
    ax.set_ylabel("depth (cm)")
    ax.set_xlabel(flux_axis("iloss"))
    ax = panels[2]
    letter(ax, "c", f"{FLUX_LABELS['iloss']} as a share of {FLUX_LABELS['iroot']}, 0–200 cm")
    _paper_band(ax, results)
    for row, e in enumerate(profile.index):
        middle, low, high = (100 * float(v.loc[e]) for v in _interval(profile, "share"))
        draw_intervals(ax, row, middle, low, high, **_estimate_marker(profile, e))
    summary = results.table("summary_global")
    combined = summary[(summary["quantity"] == "share") & summary["where"].str.match("mean of|map")]
    for i, (_, line) in enumerate(combined.iterrows()):
        values_of = (100 * float(line[c]) for c in ("median", "p025", "p975"))
        draw_intervals(ax, len(profile) + i, *values_of, colour=FLUX_COLOURS["iloss"], marker="D")
    name_rows(ax, [*(_estimate_name(profile, e) for e in profile.index), *combined["where"]])
    ax.set_xlabel("share lost (%)")
    ax = panels[3]
    letter(ax, "d", "By biome: sites ●, map ○")
    by_biome = results.table("summary_biome")
    by_biome = by_biome[by_biome["quantity"] == "iloss"]
    for where, shift, hollow in (("mean of", -0.14, False), ("map, per area", 0.14, True)):
        rows = by_biome[by_biome["where"].str.startswith(where)].set_index("biome")
        y = np.array([list(BIOMES).index(b) for b in rows.index]) + shift
        colours = [BIOME_COLOURS[b] for b in rows.index]
        draw_intervals(ax, y, rows["median"], rows["p025"], rows["p975"], colour=colours, hollow=hollow)
    ax.axvline(0, color="black", lw=0.6)
    name_rows(ax, list(BIOME_LABELS.values()))
    ax.set_xlabel(flux_axis("iloss"))
    return fig


@styled
def figure_s5(results: Results) -> Figure:
    """The atmosphere, Δ14C by depth, and the age of soil carbon by depth and biome (paper, Supplementary Fig. 5)."""
    fig = new_figure(7.4)
    top, bottom = parts_of(fig, 2, 1, height_ratios=(1, 1.75))
    left, right = top.subplots(1, 2)
    layers = results.table("layers")
    letter(left, "a", "Atmosphere")
    colours = ("#332288", "#0072B2", "#56B4E9", "#E69F00", "#D55E00")  # north to south, cold to warm
    last = float(layers["year"].max())
    for zone, colour in zip(ATMOSPHERE_ZONES, colours, strict=True):
        curve = results.atmosphere.bomb(zone)
        years = np.union1d(curve.years[curve.years <= last], [last])
        left.plot(years, curve.at(years), color=colour, lw=0.9, label=zone)
    left.plot(layers["year"], np.full(len(layers), -70.0), "|", color=GREY, ms=4, mew=0.25, alpha=0.5, label="samples")
    left.set_xlabel("year")
    left.set_ylabel("Δ¹⁴C of CO₂ (‰)")
    left.legend(fontsize=6.2)
    letter(right, "b", f"Soil ({len(layers):,} layers)")
    depth = (layers["top"] + layers["bottom"]) / 2
    right.plot(layers["delta14c"], depth, ls="none", marker=".", ms=1.6, mew=0, color=GREY, alpha=0.45, rasterized=True)
    binned = layers["delta14c"].groupby(_layer_of(depth))
    _step_by_depth(right, binned.median(), "black", label="median of the layers")
    right.axvline(0, color="black", lw=0.5)
    right.set_xlabel("Δ¹⁴C of soil carbon (‰)")
    right.set_ylabel("depth (cm)")
    right.set_ylim(200, 0)
    right.legend(loc="lower right")
    panels = bottom.subplots(3, 3, sharex=True, sharey=True)
    age, cells = layers["age_median"], _layer_of(depth)
    everywhere = age.groupby(cells).median()
    for ax, (biome, colour) in zip(panels.flat, BIOME_COLOURS.items(), strict=True):
        here = layers["biome"] == biome
        ax.plot(age[here], depth[here], ls="none", marker=".", ms=2, mew=0, color=colour, alpha=0.4, rasterized=True)
        _step_by_depth(ax, everywhere, GREY, line=":")
        enough = age[here].groupby(cells[here]).agg(["median", "size"])
        _step_by_depth(ax, enough.loc[enough["size"] >= 5, "median"], colour, width=2.0)
        ax.set_title(f"{BIOME_LABELS[biome]} ({int(here.sum()):,})", fontsize=7)
        ax.grid(axis="x")
    letter(panels[0, 0], "c", panels[0, 0].get_title(loc="left"))
    panels[0, 0].set(xscale="log", ylim=(200, 0), xlim=tuple(np.quantile(age, [0.001, 0.999])))
    plain_log_axis(panels[0, 0].xaxis)
    for ax in panels[:, 0]:
        ax.set_ylabel("depth (cm)")
    for ax in panels[-1]:
        ax.set_xlabel("carbon age (yr, log scale)")
    return fig


@styled
def figure_held_out(results: Results) -> Figure:
    """Held-out observations against what the forests said of them, for held-out sites and held-out regions."""
    held, scores = results.table("held_out"), results.map_forest_scores
    names = {
        "iroot": f"{FLUX_LABELS['iroot']} ({FLUX_UNIT})",
        "ibulk": f"{FLUX_LABELS['ibulk']} ({FLUX_UNIT} cm⁻¹)",
        "f_bnpp": r"$f_\mathrm{BNPP}$ (fraction of NPP)",
    }
    fig = new_figure(4.7)
    axes = fig.subplots(2, 3)
    for column, (target, name) in enumerate(names.items()):
        logistic, values = target == "f_bnpp", held[held["target"] == target]
        back = expit if logistic else np.exp
        everything = back(values[["observed", "mean"]].to_numpy())
        limits = (0.0, 1.0) if logistic or not len(values) else apart(*np.quantile(everything, [0.001, 0.999]))
        for row, (split, title) in enumerate({"site": "held-out sites", "spatial": "held-out regions"}.items()):
            ax = axes[row, column]
            part, score = values[values["split"] == split], pick(scores, target=target, split=split)
            alpha = float(np.clip(800 / max(len(part), 1), 0.2, 0.6))
            look: Any = {"marker": ".", "ms": 2.6, "mew": 0, "alpha": alpha, "color": FLUX_COLOURS.get(target, GREY)}
            ax.plot(back(part["mean"]), back(part["observed"]), ls="none", rasterized=True, **look)
            ax.plot(limits, limits, color="black", lw=0.7, ls="--")
            if not logistic:
                ax.set(xscale="log", yscale="log")
            ax.set(xlim=limits, ylim=limits, aspect="equal", xlabel=f"predicted {name}", ylabel=f"observed {name}")
            if not logistic:
                plain_log_axis(ax.xaxis)
                plain_log_axis(ax.yaxis)
            letter(ax, "abcdef"[3 * row + column], title)
            if score is not None:
                text = f"R² {score['r2']:.2f}\nRMSE {score['rmse']:.2f}\ncoverage {100 * score['coverage95']:.0f} %"
                box = {"fc": "white", "ec": "none", "alpha": 0.75, "pad": 1}
                ax.text(0.04, 0.97, text, transform=ax.transAxes, va="top", fontsize=6.5, bbox=box)
    return fig


@styled
def figure_root_shares(results: Results) -> Figure:
    """Share of each layer in root carbon by biome, with 95 % intervals of the biome's mean."""
    shares = results.table("root_shares")
    fig = new_figure(2.9)
    axes = fig.subplots(1, len(LAYERS), sharey=True)
    for ax, layer in zip(axes, LAYER_NAMES, strict=True):
        rows = shares[shares["layer"] == layer].set_index("biome").reindex(list(BIOMES))
        values = (100 * rows[f"share_{key}"] for key in ("median", "p025", "p975"))
        draw_intervals(ax, np.arange(len(BIOMES)), *values, colour=list(BIOME_COLOURS.values()))
        ax.set_title(f"{layer.replace('-', '–')} cm")
        ax.set_xlim(left=0)
        ax.set_xlabel("share (%)")
        ax.locator_params(axis="x", nbins=3)
        name_rows(ax, list(BIOME_LABELS.values()))
    return fig


def _sites(results: Results, estimate: int, layer: str = PROFILE_NAME) -> pd.DataFrame:
    """Rows of `sites.csv` of one estimate and layer."""
    sites = results.table("sites")
    return sites[(sites["estimate"] == estimate) & (sites["layer"] == layer)]


def _site_layers(results: Results, estimate: int, flux: str) -> NDArray[np.float64]:
    """One flux at the sites of an estimate: (site, 7)."""
    return np.column_stack([_sites(results, estimate, layer)[flux] for layer in LAYER_NAMES])


def _interval(table: pd.DataFrame, quantity: str) -> tuple[pd.Series, pd.Series, pd.Series]:
    return table[f"{quantity}_median"], table[f"{quantity}_p025"], table[f"{quantity}_p975"]


def _estimate_name(profile: pd.DataFrame, estimate: int) -> str:
    sites = str(profile.loc[estimate, "sites"])
    observed = "observed" if sites == "NPP" else "predicted"
    source = f"BNPP {observed}" if estimate % 2 else r"satellite × $f_\mathrm{BNPP}$"
    return f"{estimate}: {SITE_LABELS[sites]},\n{source}"


def _estimate_line(profile: pd.DataFrame, estimate: int) -> dict[str, Any]:
    return {"colour": SITE_COLOURS[str(profile.loc[estimate, "sites"])], "line": "-" if estimate % 2 else "--"}


def _estimate_marker(profile: pd.DataFrame, estimate: int) -> dict[str, Any]:
    sites = str(profile.loc[estimate, "sites"])
    return {"colour": SITE_COLOURS[sites], "marker": SITE_MARKERS[sites], "hollow": estimate % 2 == 0}


def _paper_band(ax: Axes, results: Results) -> None:
    """The paper's range of the share lost, behind ours."""
    table = results.table("paper_comparison")
    paper = table[table["quantity"].str.startswith("I_loss / I_root")]
    if len(paper) and np.isfinite(paper.iloc[0][["paper_low", "paper_high"]].astype(float)).all():
        low, high = (100 * float(paper.iloc[0][c]) for c in ("paper_low", "paper_high"))
        ax.axvspan(low, high, color=LIGHT, lw=0, zorder=0)
        place: Any = {"xytext": (0, -2), "textcoords": "offset points", "ha": "center", "va": "top"}
        middle = ((low + high) / 2, 1.0)
        ax.annotate("the paper's range", middle, xycoords=("data", "axes fraction"), color=GREY, fontsize=6.5, **place)


def _log_flux_axis(ax: Axes, *fluxes: str) -> None:
    ax.set_xscale("log")
    plain_log_axis(ax.xaxis)
    ax.set_xlabel(f"{flux_axis(*fluxes)}, log scale".replace("), log", ", log") + ")")


def _layer_of(depth: pd.Series) -> pd.Series:
    """Number of the standard layer in which a depth lies."""
    return pd.cut(depth, [LAYERS[0][0], *(b for _, b in LAYERS)], labels=False, include_lowest=True)


@styled
def figure_ed8(results: Results) -> Figure:
    """Net primary production measured at sites against that of satellites (paper, Extended Data Fig. 8): site by site,
    and by biome.
    """
    sites = results.table("npp_sites").dropna(subset=["npp", "satellite_npp"])
    fig = new_figure(2.9)
    left, right = fig.subplots(1, 2, width_ratios=(1, 1.15))
    letter(left, "a", f"Sites ({len(sites):,})")
    left.plot(sites["npp"], sites["satellite_npp"], ls="none", marker="o", ms=1.8, alpha=0.5, mew=0, color=GREY)
    limit = float(sites[["npp", "satellite_npp"]].to_numpy().max()) * 1.05
    letter(right, "b", "Means by biome")
    for biome in sorted(sites["biome"].unique()):
        part = sites.loc[sites["biome"] == biome, ["npp", "satellite_npp"]]
        (x, y), (dx, dy) = part.mean(), 1.96 * part.sem().fillna(0)
        label = f"{BIOME_LABELS[biome]} ({len(part)})"
        right.errorbar(x, y, xerr=dx, yerr=dy, fmt="o", ms=3.5, color=BIOME_COLOURS[biome], label=label)
    reach = 1.25 * max(right.get_xlim()[1], right.get_ylim()[1])
    for ax, end in ((left, limit), (right, reach)):
        ax.plot([0, end], [0, end], color="black", lw=0.6, ls="--")
        ax.set_xlim(0, end)
        ax.set_ylim(0, end)
        ax.set_xlabel(f"measured NPP ({FLUX_UNIT})")
        ax.set_ylabel(f"satellite NPP ({FLUX_UNIT})")
    right.legend(fontsize=5.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


def _step_by_depth(
    ax: Axes, values: pd.Series, colour: str, *, line: str = "-", width: float = 1.2, label: str = ""
) -> None:
    """A value a standard layer, drawn over the layer's thickness; a layer without one is a gap."""
    values = values.reindex(range(len(LAYERS)))
    x = [v for number, v in values.items() for _ in (0, 1)]
    y = [edge for number in values.index for edge in LAYERS[int(number)]]
    ax.plot(x, y, color=colour, ls=line, lw=width, label=label)
