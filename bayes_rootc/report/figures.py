"""The figures of the report: one function a figure, from the output folder alone (and the land that it was run on)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ..constants import BIOMES, LAYER_NAMES, LAYERS, PROFILE_NAME
from ..data.atmosphere import ATMOSPHERE_ZONES, Atmosphere
from ..data.covariates import CovariateStack
from ..files import atomic_path
from ..mapping.draw import Basemap, Scale, colour_bar, draw_dots, draw_latitudes, draw_map, frame_map, project
from ..models.radiocarbon import delta14c
from .results import Results
from .style import (
    BIOME_COLOURS,
    BIOME_LABELS,
    DPI,
    FLUX_COLOURS,
    FLUX_LABELS,
    FLUX_MAPS,
    FLUX_UNIT,
    GREY,
    LIGHT,
    SITE_COLOURS,
    SITE_LABELS,
    SITE_MARKERS,
    draw_boxes,
    draw_density,
    draw_intervals,
    flux_axis,
    letter,
    name_rows,
    new_figure,
    plain_log,
    styled,
)

CERTAIN = 0.975
"""Probability of a sign from which on a map is dotted: the 95 % interval of the cell leaves out 0."""

DEPTH_CLASSES = ((0, 30), (30, 100), (100, 200))
"""Depths (cm, by the middle of a layer) in which radiocarbon is compared with its replicates."""


@dataclass(frozen=True)
class World:
    """What the covariates add to the results: the land, and the atmosphere that was used."""

    land: Basemap
    atmosphere: Atmosphere

    @classmethod
    def of(cls, covariates: CovariateStack) -> World:
        """Of the data folder that holds these covariates."""
        return cls(Basemap.of(covariates), Atmosphere.read(covariates.folder.parent / "atmosphere"))


@styled
def figure_sites(results: Results, world: World) -> Figure:
    """Where the three data sets were measured (paper, Extended Data Fig. 1), and in which biomes."""
    fig = new_figure(4.9)
    top, bottom = fig.subfigures(2, 1, height_ratios=(3.3, 1.6))
    ax = top.add_subplot()
    world.land.draw(ax)
    world.land.draw_coastline(ax)
    sites = {name: _sites(results, estimate) for name, estimate in zip(SITE_COLOURS, (1, 3, 5), strict=True)}
    for name, table in sites.items():
        x, y = project(table["lon"].to_numpy(), table["lat"].to_numpy())
        style = {"marker": SITE_MARKERS[name], "color": SITE_COLOURS[name]}
        ax.plot(x, y, ls="none", ms=2.8, mew=0.25, mec="white", alpha=0.85, zorder=5, **style)
        ax.plot([], [], ls="none", ms=5, label=f"{SITE_LABELS[name]} ({len(table):,})", **style)
    lat, lon = world.land.lat, world.land.lon
    everywhere = pd.concat(sites.values())
    frame_map(ax, lon.min(), lon.max(), min(-56.0, everywhere["lat"].min()), min(84.0, lat.max()))
    ax.legend(loc="lower center", ncols=3, bbox_to_anchor=(0.5, -0.09), handletextpad=0.2, fontsize=8)
    ax = bottom.add_subplot()
    for i, (name, table) in enumerate(sites.items()):
        counts = table["biome"].value_counts().reindex(list(BIOMES), fill_value=0)
        x = np.arange(len(BIOMES)) + 0.27 * (i - 1)
        bars = ax.bar(x, counts, 0.25, color=SITE_COLOURS[name])
        ax.bar_label(bars, fontsize=5.5, padding=1, color=GREY)
    ax.set_xticks(range(len(BIOMES)), [_two_lines(BIOME_LABELS[b]) for b in BIOMES], fontsize=6.2)
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel("number of sites")
    return fig


@styled
def figure_inputs(results: Results) -> Figure:
    """I_root and I_bulk of sites, and how they are spread over depth (paper, Fig. 1)."""
    fig = new_figure(5.6)
    axes = fig.subplots(2, 2)
    root, bulk = _sites(results, 1)["iroot"].to_numpy(), _sites(results, 3)["ibulk"].to_numpy()
    ax = axes[0, 0]
    letter(ax, "a", "Sites, 0–200 cm")
    for flux, values, name in (("iroot", root, "NPP"), ("ibulk", bulk, "Δ14C")):
        label = f"{FLUX_LABELS[flux]}, {SITE_LABELS[name]} ({len(values):,})"
        draw_density(ax, values, colour=FLUX_COLOURS[flux], label=label, log=True)
        ax.axvline(values.mean(), color=FLUX_COLOURS[flux], lw=0.9, ls="--")
    ax.set_xlabel(f"flux ({FLUX_UNIT}, log scale)")
    ax.set_ylabel("density of sites (per decade)")
    ax.set_ylim(top=1.3 * ax.get_ylim()[1])
    ax.legend(loc="upper left")
    ax = axes[0, 1]
    letter(ax, "b", "Sites by biome, 0–200 cm")
    for flux, estimate, shift in (("iroot", 1, -0.19), ("ibulk", 3, 0.19)):
        table = _sites(results, estimate)
        samples = [table.loc[table["biome"] == b, flux].to_numpy() for b in BIOMES]
        draw_boxes(ax, samples, np.arange(len(BIOMES)) + shift, colour=FLUX_COLOURS[flux], height=0.34)
    name_rows(ax, list(BIOME_LABELS.values()))
    _log_flux_axis(ax, "iroot", "ibulk")
    for ax, relative, panel in ((axes[1, 0], False, "c"), (axes[1, 1], True, "d")):
        letter(ax, panel, "Share of the profile in each layer" if relative else "Depth")
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
def figure_loss(results: Results) -> Figure:
    """I_loss of the six estimates: over sites, by depth, as a share of I_root, and by biome (paper, Fig. 3)."""
    fig = new_figure(6.4)
    axes = fig.subplots(2, 2, width_ratios=(1, 1.05))
    table = results.table("iloss_estimates")
    world = table[table["biome"] == 0]
    profile = world[world["layer"] == PROFILE_NAME].set_index("estimate")
    ax = axes[0, 0]
    letter(ax, "a", "Sites, 0–200 cm")
    values = {e: _sites(results, int(e))["iloss"].to_numpy() for e in profile.index}
    for e, sample in values.items():
        draw_density(ax, sample, fill=False, label=_estimate_name(profile, e), **_estimate_line(profile, e))
    ax.axvline(0, color="black", lw=0.6)
    ax.set_xlim(*np.quantile(np.concatenate(list(values.values())), [0.005, 0.995]))
    ax.set_xlabel(flux_axis("iloss"))
    ax.set_ylabel(f"density of sites (per {FLUX_UNIT})", fontsize=7)
    ax.legend(loc="upper right", fontsize=6.2, title="estimate: sites, NPP", title_fontsize=6.2)
    ax = axes[0, 1]
    letter(ax, "b", "Mean of the sites by depth")
    for i, e in enumerate(profile.index):
        layers = world[world["estimate"] == e].set_index("layer").reindex(list(LAYER_NAMES))
        y = np.arange(len(LAYERS)) + 0.12 * (i - (len(profile) - 1) / 2)
        draw_intervals(ax, y, *_interval(layers, "iloss"), **_estimate_marker(profile, e))
    ax.axvline(0, color="black", lw=0.6)
    name_rows(ax, list(LAYER_NAMES))
    ax.set_ylabel("depth (cm)")
    ax.set_xlabel(flux_axis("iloss"))
    ax = axes[1, 0]
    letter(ax, "c", f"{FLUX_LABELS['iloss']} as a share of {FLUX_LABELS['iroot']}, 0–200 cm")
    _paper_band(ax, results)
    for row, e in enumerate(profile.index):
        middle, low, high = (100 * float(v.loc[e]) for v in _interval(profile, "share"))
        draw_intervals(ax, row, middle, low, high, **_estimate_marker(profile, e))
    summary = results.table("summary_global")
    combined = summary[(summary["quantity"] == "share") & summary["where"].isin(["mean of the six estimates", "map"])]
    for i, (_, line) in enumerate(combined.iterrows()):
        values_of = (100 * float(line[c]) for c in ("median", "p025", "p975"))
        draw_intervals(ax, len(profile) + i, *values_of, colour=FLUX_COLOURS["iloss"], marker="D")
    name_rows(
        ax,
        [*(_estimate_name(profile, e) for e in profile.index), *combined["where"].str.replace(" of the six ", " of ")],
    )
    ax.set_xlabel("share lost (%)")
    ax = axes[1, 1]
    letter(ax, "d", "By biome, 0–200 cm")
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
    keys = [Line2D([], [], color=GREY, marker="o", ms=4, mfc=face) for face in (GREY, "white")]
    ax.legend(
        keys,
        ["sites, mean of estimates", "map, per area"],
        loc="lower right",
        fontsize=6.2,
        frameon=True,
        framealpha=0.8,
    )
    return fig


@styled
def figure_loss_maps(results: Results, world: World) -> Figure:
    """Where root carbon is lost, how sure that is, which part of the input it is, and where its sign is known (paper,
    Fig. 4).
    """
    fig = new_figure(5.3)
    axes = fig.subplots(2, 2)
    m = results.maps.sel(layer=PROFILE_NAME)
    lat, lon = m["lat"].values, m["lon"].values
    loss, probability = m["iloss_mean"].values, m["iloss_probability"].values
    share = 100 * loss / m["iroot_mean"].values
    spread = (m["iloss_p975"] - m["iloss_p025"]).values / 2
    panels = (
        ("a", "Mean", loss, Scale.of(loss, FLUX_MAPS["iloss"], centred=True), flux_axis("iloss")),
        ("b", "Half the 95 % interval", spread, Scale.of(spread, "cividis"), f"± {FLUX_UNIT}"),
        ("c", "Share of the input", share, Scale.of(share, FLUX_MAPS["iloss"], centred=True), f"{FLUX_LABELS['iloss']} / {FLUX_LABELS['iroot']} (%)"),
        ("d", "Probability of a loss", probability, Scale.of(probability, "PuOr_r", limits=(0.0, 1.0)), f"P({FLUX_LABELS['iloss']} > 0)"),
    )  # fmt: skip
    for ax, (panel, title, values, scale, label) in zip(axes.flat, panels, strict=True):
        letter(ax, panel, title)
        colour_bar(draw_map(ax, values, lat, lon, scale, world.land), ax, scale, label)
        side = ax.inset_axes((1.01, 0.0, 0.17, 1.0))
        bounds = (m["iloss_p025"].values, m["iloss_p975"].values) if panel == "a" else (None, None)
        draw_latitudes(side, lat, values, *bounds, beside=ax, colour=FLUX_COLOURS["iloss"])
        if scale.low <= 0 and panel != "d":
            side.axvline(0, color="black", lw=0.5)
        side.tick_params(labelsize=5.5)
        side.locator_params(axis="x", nbins=3)
    for ax in (axes[0, 0], axes[1, 1]):
        draw_dots(ax, (probability >= CERTAIN) | (probability <= 1 - CERTAIN), lat, lon)
    return fig


@styled
def figure_layer_maps(results: Results, world: World, flux: str) -> Figure:
    """One flux in the seven layers and the whole profile (paper, Extended Data Fig. 4–6)."""
    fig = new_figure(7.6)
    axes = fig.subplots(4, 2)
    centred = flux == "iloss"
    lat, lon = results.maps["lat"].values, results.maps["lon"].values
    for ax, layer, panel in zip(axes.flat, (*LAYER_NAMES, PROFILE_NAME), "abcdefgh", strict=True):
        values = results.maps[f"{flux}_mean"].sel(layer=layer).values
        scale = Scale.of(values, FLUX_MAPS[flux], centred=centred)
        letter(ax, panel, f"{layer.replace('-', '–')} cm")
        colour_bar(draw_map(ax, values, lat, lon, scale, world.land), ax, scale, flux_axis(flux))
    return fig


@styled
def figure_ages(results: Results, world: World) -> Figure:
    """The atmosphere, Δ14C against depth, and the age of soil carbon by depth and biome (paper, Supplementary Fig. 5)."""
    fig = new_figure(7.4)
    top, bottom = fig.subfigures(2, 1, height_ratios=(1, 1.75))
    left, right = top.subplots(1, 2)
    layers = results.table("layers")
    letter(left, "a", "Atmosphere")
    colours = ("#332288", "#0072B2", "#56B4E9", "#E69F00", "#D55E00")  # north to south, cold to warm
    last = float(layers["year"].max())
    for zone, colour in zip(ATMOSPHERE_ZONES, colours, strict=True):
        curve = world.atmosphere.bomb(zone)
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
    panels[0, 0].xaxis.set_major_formatter(plain_log())
    for ax in panels[:, 0]:
        ax.set_ylabel("depth (cm)")
    for ax in panels[-1]:
        ax.set_xlabel("carbon age (yr, log scale)")
    return fig


@styled
def figure_held_out(results: Results) -> Figure:
    """Held-out observations against what the forests said of them, for held-out sites and held-out regions."""
    held, scores = results.table("held_out"), results.table("learners")
    logistic = {"f_bnpp"}
    names = {
        "iroot": f"{FLUX_LABELS['iroot']} ({FLUX_UNIT})",
        "ibulk": f"{FLUX_LABELS['ibulk']} (Mg C ha⁻¹ yr⁻¹ cm⁻¹)",
        "f_bnpp": r"$f_\mathrm{BNPP}$ (fraction of NPP)",
    }
    splits = {"site": "held-out sites", "spatial": "held-out regions"}
    fig = new_figure(5.0)
    axes = fig.subplots(2, 3)
    for column, (target, name) in enumerate(names.items()):
        for row, (split, title) in enumerate(splits.items()):
            ax = axes[row, column]
            part = held[(held["target"] == target) & (held["split"] == split)]
            back: Callable[[NDArray], NDArray] = (lambda v: 1 / (1 + np.exp(-v))) if target in logistic else np.exp
            predicted, observed = back(part["mean"].to_numpy()), back(part["observed"].to_numpy())
            ax.plot(
                predicted,
                observed,
                ls="none",
                marker=".",
                ms=2.2,
                mew=0,
                alpha=0.25,
                color=FLUX_COLOURS.get(target, GREY),
                rasterized=True,
            )
            limits = (
                (0.0, 1.0) if target in logistic else tuple(np.quantile(np.r_[predicted, observed], [0.002, 0.998]))
            )
            ax.plot(limits, limits, color="black", lw=0.7, ls="--")
            if target not in logistic:
                ax.set(xscale="log", yscale="log")
            ax.set(xlim=limits, ylim=limits, aspect="equal")
            letter(ax, "abcdef"[3 * row + column], title)
            ax.set_xlabel(f"predicted {name}", fontsize=6.5)
            ax.set_ylabel(f"observed {name}", fontsize=6.5)
            score = scores[(scores["target"] == target) & (scores["split"] == split)].iloc[0]
            text = f"R² {score['r2']:.2f}\nRMSE {score['rmse']:.2f}\ncoverage {100 * score['coverage95']:.0f} %"
            ax.text(
                0.04,
                0.97,
                text,
                transform=ax.transAxes,
                va="top",
                fontsize=6.5,
                bbox={"fc": "white", "ec": "none", "alpha": 0.75, "pad": 1},
            )
    return fig


@styled
def figure_modes(results: Results, world: World, *, show: int = 4) -> Figure:
    """Layers whose radiocarbon has two ages: the model curve, the measurement, and the posterior's two modes."""
    layers = results.table("layers")
    doubtful = layers[layers["n_modes"] > 1].nlargest(show, "mode2_probability")
    fig = new_figure(max(1.75 * len(doubtful), 1.5))
    if doubtful.empty:
        ax = fig.add_subplot()
        ax.text(0.5, 0.5, "No layer of this run has two modes.", ha="center", transform=ax.transAxes)
        ax.set(xlabel="carbon age (yr)", ylabel="Δ¹⁴C (‰)")
        return fig
    axes = np.atleast_2d(fig.subplots(len(doubtful), 2, sharex=True))
    log_k = results.turnover["posterior"]["log_k"]
    model_sd = _model_sd(results)
    ages = np.geomspace(1, 5000, 400)
    for (left, right), (i, row) in zip(axes, doubtful.iterrows(), strict=True):
        curve = delta14c(
            1 / ages, row["year"], row["zone"], results.run["settings"]["prehistory"], atmosphere=world.atmosphere
        )
        left.plot(ages, curve, color="black", lw=1)
        error = float(np.hypot(row["sigma"], model_sd))
        left.axhspan(row["delta14c"] - error, row["delta14c"] + error, color="#0072B2", alpha=0.2, lw=0)
        left.axhline(row["delta14c"], color="#0072B2", lw=0.8)
        left.set_ylabel("Δ¹⁴C (‰)")
        place = f"{_degrees(row['lat'], 'N', 'S')} {_degrees(row['lon'], 'E', 'W')}, {int(row['year'])}"
        left.set_title(
            f"{row['top']:g}–{row['bottom']:g} cm, {place}: {row['delta14c']:.0f} ± {row['sigma']:.0f} ‰", fontsize=7
        )
        draws = np.exp(-log_k.isel(layer=int(i)).values.ravel())
        right.hist(draws, bins=np.geomspace(1, 5000, 70), color="#0072B2", alpha=0.5, lw=0)
        for mode in (1, 2):
            age, weight = row[f"mode{mode}_age"], row[f"mode{mode}_probability"]
            right.axvline(age, color="#D55E00", lw=0.8, ls="--")
            text = f"{age:,.0f} yr\n{100 * weight:.0f} %"
            right.annotate(
                text,
                (age, 0.97),
                xycoords=("data", "axes fraction"),
                xytext=(3, 0),
                textcoords="offset points",
                va="top",
                fontsize=6.5,
            )
        right.set_ylabel("draws")
    axes[0, 0].set_xscale("log")
    axes[0, 0].set_xlim(2, 3000)
    axes[0, 0].xaxis.set_major_formatter(plain_log())
    for ax in axes[-1]:
        ax.set_xlabel("carbon age (yr, log scale)")
    return fig


@styled
def figure_predictive(results: Results) -> Figure:
    """Posterior predictive check: observed Δ14C beside replicates, and where each observation lies among its own."""
    tree = results.turnover
    observed = tree["observed_data"]["delta14c"].values
    replicated = (
        tree["posterior_predictive"]["delta14c"].stack(sample=("chain", "draw")).transpose("layer", "sample").values
    )
    depth = (tree["constant_data"]["top"].values + tree["constant_data"]["bottom"].values) / 2
    rank = (replicated < observed[:, None]).mean(axis=1)
    fig = new_figure(3.9)
    axes = fig.subplots(2, len(DEPTH_CLASSES), height_ratios=(1.4, 1))
    for column, (upper, lower) in enumerate(DEPTH_CLASSES):
        here = (depth >= upper) & (depth < lower)
        ax, below = axes[:, column]
        letter(ax, "abc"[column], f"{upper}–{lower} cm ({here.sum():,} layers)")
        letter(below, "def"[column], "Rank of the observation")
        for axis, label in ((ax, "Δ¹⁴C (‰)"), (below, "share of replicates below the observation")):
            axis.set_xlabel(label)
        if not here.any():
            continue
        low, high = np.quantile(observed[here], [0.001, 0.999])
        bins = np.linspace(low - 50, high + 50, 45)
        middle = (bins[1:] + bins[:-1]) / 2
        density = np.array([np.histogram(r, bins, density=True)[0] for r in replicated[here].T[:200]])
        ax.fill_between(
            middle,
            *np.quantile(density, [0.025, 0.975], axis=0),
            color="#0072B2",
            alpha=0.35,
            lw=0,
            label="replicated, 95 %",
        )
        ax.stairs(np.histogram(observed[here], bins, density=True)[0], bins, color="black", lw=0.9, label="observed")
        ax.set_ylim(bottom=0)
        counts, edges = np.histogram(rank[here], 20, (0, 1))
        below.stairs(counts / here.sum(), edges, fill=True, color="#0072B2", alpha=0.5)
        below.axhline(1 / 20, color="black", lw=0.7, ls="--")
        below.set_xlim(0, 1)
    axes[0, 0].legend(loc="upper left", fontsize=6.5)
    axes[0, 0].set_ylabel("density of layers (per ‰)")
    axes[1, 0].set_ylabel("share of layers")
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
    npp = "observed or modelled" if estimate % 2 else "satellite"
    return f"{estimate}: {SITE_LABELS[profile.loc[estimate, 'sites']].split()[0]}, {npp}"


def _estimate_line(profile: pd.DataFrame, estimate: int) -> dict[str, str]:
    return {"colour": SITE_COLOURS[profile.loc[estimate, "sites"]], "line": "-" if estimate % 2 else "--"}


def _estimate_marker(profile: pd.DataFrame, estimate: int) -> dict[str, object]:
    sites = profile.loc[estimate, "sites"]
    return {"colour": SITE_COLOURS[sites], "marker": SITE_MARKERS[sites], "hollow": estimate % 2 == 0}


def _paper_band(ax: Axes, results: Results) -> None:
    """The paper's range of the share lost, behind ours."""
    table = results.table("paper_comparison")
    paper = table[table["quantity"].str.startswith("I_loss / I_root")]
    if len(paper) and np.isfinite(paper.iloc[0][["paper_low", "paper_high"]].astype(float)).all():
        low, high = (100 * float(paper.iloc[0][c]) for c in ("paper_low", "paper_high"))
        ax.axvspan(low, high, color=LIGHT, lw=0, zorder=0)
        ax.text(
            (low + high) / 2,
            0.01,
            "paper",
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=6.5,
            color=GREY,
        )


def _log_flux_axis(ax: Axes, *fluxes: str) -> None:
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(plain_log())
    ax.set_xlabel(f"{flux_axis(*fluxes)}, log scale".replace("), log", ", log") + ")")


def _layer_of(depth: pd.Series) -> pd.Series:
    """Number of the standard layer in which a depth lies."""
    return pd.cut(depth, [LAYERS[0][0], *(b for _, b in LAYERS)], labels=False, include_lowest=True)


def _step_by_depth(
    ax: Axes, values: pd.Series, colour: str, *, line: str = "-", width: float = 1.2, label: str = ""
) -> None:
    """A value a standard layer, drawn over the layer's thickness."""
    x = [v for number, v in values.items() for _ in (0, 1)]
    y = [edge for number in values.index for edge in LAYERS[int(number)]]
    ax.plot(x, y, color=colour, ls=line, lw=width, label=label)


def _model_sd(results: Results) -> float:
    """Misfit of a one-pool model, ‰: learnt, or as set."""
    settings = results.run["settings"]
    if settings["turnover_prior"] == "weak":
        return float(settings["model_sd"])
    table = results.table("turnover_population").set_index("parameter")["value"]
    return float(table[table.index.str.startswith("sigma_model")].iloc[0])


def _degrees(value: float, positive: str, negative: str) -> str:
    return f"{abs(value):.1f}° {positive if value >= 0 else negative}"


def _two_lines(text: str) -> str:
    """Breaks a label at the space nearest its middle."""
    spaces = [i for i, c in enumerate(text) if c == " "]
    if not spaces:
        return text
    at = min(spaces, key=lambda i: abs(i - len(text) / 2))
    return f"{text[:at]}\n{text[at + 1 :]}"


def save_figures(results: Results, covariates: CovariateStack) -> list[tuple[Path, str, str]]:
    """Draws every figure into `figures/` of the output folder; returns (path, title, caption) of each, in reading order.

    Raises
    ------
    InputError : a table, the maps or the turnover posterior is missing.
    """
    world = World.of(covariates)
    saved = []
    for name, draw, title, caption in catalogue(results, world):
        path = results.out / "figures" / f"{name}.png"
        with atomic_path(path) as temporary:
            draw().savefig(temporary, dpi=DPI, format="png")
        saved.append((path, title, caption))
    return saved


def catalogue(results: Results, world: World) -> list[tuple[str, Callable[[], Figure], str, str]]:
    """Name, function, title and caption of every figure."""
    return [
        ("sites", lambda: figure_sites(results, world), "", ""),
        ("inputs", lambda: figure_inputs(results), "", ""),
        ("loss", lambda: figure_loss(results), "", ""),
        ("loss_map", lambda: figure_loss_maps(results, world), "", ""),
        ("iroot_maps", lambda: figure_layer_maps(results, world, "iroot"), "", ""),
        ("ibulk_maps", lambda: figure_layer_maps(results, world, "ibulk"), "", ""),
        ("iloss_maps", lambda: figure_layer_maps(results, world, "iloss"), "", ""),
        ("ages", lambda: figure_ages(results, world), "", ""),
        ("held_out", lambda: figure_held_out(results), "", ""),
        ("modes", lambda: figure_modes(results, world), "", ""),
        ("predictive", lambda: figure_predictive(results), "", ""),
        ("root_shares", lambda: figure_root_shares(results), "", ""),
    ]
