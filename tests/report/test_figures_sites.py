"""Figures of sites, depths and held-out predictions: what is drawn is what the tables say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from scipy.special import expit

from bayes_rootc.constants import BIOMES, LAYER_NAMES, LAYERS, PROFILE_NAME
from bayes_rootc.data.atmosphere import ATMOSPHERE_ZONES
from bayes_rootc.mapping.variables import BIOME_COLOURS
from bayes_rootc.report.figures_sites import (
    figure_1,
    figure_3,
    figure_ed8,
    figure_held_out,
    figure_root_shares,
    figure_s5,
)
from bayes_rootc.report.results import Results
from bayes_rootc.report.style import BIOME_LABELS, FLUX_COLOURS, FLUX_LABELS, FLUX_UNIT
from tests.drawn import (
    assert_intervals,
    curves,
    dots,
    intervals,
    legend_names,
    row_names,
    texts,
    title,
    varied_results,
)

HERE = (1, 3, 6)
"""Biomes of the made-up sites."""


@pytest.fixture(scope="module")
def results(land, tmp_path_factory) -> Results:
    return varied_results(tmp_path_factory.mktemp("sites"), land.folder.parent)


def at_sites(results: Results, estimate: int, layer: str = PROFILE_NAME) -> pd.DataFrame:
    """Rows of `sites.csv`."""
    return results.table("sites").query("estimate == @estimate and layer == @layer")


def boxes(ax) -> list[tuple[float, float, np.ndarray]]:
    """Place, mean and quartiles of each box; boxes and means come in the same order."""
    means = np.concatenate(dots(ax))
    quartiles = [np.unique(patch.get_path().vertices[:, 0])[[0, -1]] for patch in ax.patches]
    return [(y, mean, q) for (mean, y), q in zip(means, quartiles, strict=True)]


def assert_boxes(ax, samples: dict[float, pd.Series]) -> None:
    """There is a box at each place, of that sample."""
    found = boxes(ax)
    assert [y for y, _, _ in found] == pytest.approx(list(samples))
    for (_, mean, quartiles), sample in zip(found, samples.values(), strict=True):
        assert mean == pytest.approx(np.mean(sample))
        np.testing.assert_allclose(quartiles, np.quantile(sample, [0.25, 0.75]))


def test_figure_1_has_the_sites_fluxes_by_biome_and_by_layer(results):
    density, by_biome, by_layer, shares = figure_1(results)
    sites = {"iroot": at_sites(results, 1), "ibulk": at_sites(results, 3)}
    names = legend_names(density)
    assert names == [f"{FLUX_LABELS['iroot']}, NPP sites (9)", f"{FLUX_LABELS['ibulk']}, Δ¹⁴C profiles (9)"]
    for (flux, table), name in zip(sites.items(), names, strict=True):
        x, y = curves(density)[name].T
        assert x[0] < table[flux].quantile(0.05) and x[-1] > table[flux].quantile(0.95) and y.max() > 0
    means = [line.get_xdata()[0] for line in density.lines if line.get_linestyle() == "--"]
    assert means == pytest.approx([table[flux].mean() for flux, table in sites.items()])
    assert FLUX_UNIT in density.get_xlabel() and "per decade" in density.get_ylabel()
    assert row_names(by_biome) == list(BIOME_LABELS.values())
    number = {b: i for i, b in enumerate(BIOMES)}
    samples = {
        number[b] + shift: table.loc[table["biome"] == b, flux]
        for (flux, table), shift in zip(sites.items(), (-0.19, 0.19), strict=True)
        for b in HERE
    }
    assert_boxes(by_biome, samples)
    assert row_names(by_layer) == row_names(shares) == list(LAYER_NAMES)
    parts = {
        flux: np.column_stack([at_sites(results, e, name)[flux] for name in LAYER_NAMES])
        for flux, e in (("iroot", 5), ("ibulk", 3))
    }
    places = [i + shift for shift in (-0.19, 0.19) for i in range(7)]
    assert_boxes(by_layer, dict(zip(places, np.concatenate([v.T for v in parts.values()]), strict=True)))
    percent = [100 * v.T / v.sum(axis=1) for v in parts.values()]
    assert_boxes(shares, dict(zip(places, np.concatenate(percent), strict=True)))
    for ax in (by_biome, by_layer):
        assert ax.get_xscale() == "log" and FLUX_UNIT in ax.get_xlabel()
    assert "(%)" in shares.get_xlabel() and by_layer.get_ylabel() == shares.get_ylabel() == "depth (cm)"


def test_figure_3_has_the_six_estimates_by_depth_as_shares_and_by_biome(results):
    density, by_depth, shares, by_biome = figure_3(results)
    estimates = results.table("iloss_estimates").query("biome == 0")
    assert len([line for line in density.lines if len(line.get_xdata()) > 2]) == 6
    assert (
        density.get_xlabel()
        == by_depth.get_xlabel()
        == by_biome.get_xlabel()
        == f"{FLUX_LABELS['iloss']} ({FLUX_UNIT})"
    )
    found = intervals(by_depth)
    assert len(found) == 6 and row_names(by_depth) == list(LAYER_NAMES)
    for number, rows in enumerate(found, 1):
        table = estimates[(estimates["estimate"] == number) & (estimates["layer"] != PROFILE_NAME)]
        assert_intervals(rows, *(table[f"iloss_{key}"] for key in ("median", "p025", "p975")))
        assert rows["y"].round().tolist() == list(range(7))
    profile = estimates[estimates["layer"] == PROFILE_NAME]
    summary = results.table("summary_global").query("quantity == 'share'")
    drawn = pd.concat(intervals(shares))
    assert drawn["y"].tolist() == list(range(8))
    want = [pd.concat([profile[f"share_{key}"], summary[key]]) * 100 for key in ("median", "p025", "p975")]
    assert_intervals(drawn, *want)
    names = row_names(shares)
    assert [name[:2] for name in names[:6]] == [f"{n}:" for n in range(1, 7)]
    assert [name.split(": ")[1].split(",")[0] for name in names[:6:2]] == [
        "NPP sites",
        "Δ¹⁴C profiles",
        "root profiles",
    ]
    assert names[6:] == ["mean of the six estimates", "map"] and "(%)" in shares.get_xlabel()
    (band,) = shares.patches
    assert [band.get_x(), band.get_x() + band.get_width()] == pytest.approx([65.3, 90.9])  # of the made-up comparison
    assert texts(shares) == ["the paper's range"]
    assert row_names(by_biome) == list(BIOME_LABELS.values())
    table = results.table("summary_biome").query("quantity == 'iloss'")
    for rows, where in zip(intervals(by_biome), ("mean of", "map, per area"), strict=True):
        of = table[table["where"].str.startswith(where)].set_index("biome")
        assert_intervals(rows, of["median"], of["p025"], of["p975"])
        assert rows["y"].round().tolist() == [list(BIOMES).index(b) for b in of.index]
        assert rows["colour"].tolist() == [to_rgba(BIOME_COLOURS[b]) for b in of.index]


def test_figure_s5_has_the_atmosphere_the_layers_and_their_ages(results):
    air, soil, *biomes = figure_s5(results)
    layers = results.table("layers")
    last = layers["year"].max()
    for zone in ATMOSPHERE_ZONES:
        years, values = curves(air)[zone].T
        assert years[-1] == last  # not beyond the last sample
        np.testing.assert_allclose(values, results.atmosphere.bomb(zone).at(years))
    np.testing.assert_array_equal(dots(air, "samples")[0][:, 0], layers["year"])
    assert legend_names(air) == [*ATMOSPHERE_ZONES, "samples"] and "(‰)" in air.get_ylabel()
    depth = (layers["top"] + layers["bottom"]) / 2
    np.testing.assert_array_equal(dots(soil)[0], np.column_stack([layers["delta14c"], depth]))
    assert title(soil) == "Soil (30 layers)" and soil.get_ylim() == (200, 0)
    assert "(‰)" in soil.get_xlabel() and soil.get_ylabel() == "depth (cm)"
    layer = np.searchsorted([b for _, b in LAYERS], depth)
    median = layers["delta14c"].groupby(layer).median().reindex(range(7))
    step = curves(soil)["median of the layers"]
    np.testing.assert_array_equal(step[::2, 0], median)
    np.testing.assert_array_equal(step[:, 1].reshape(7, 2), LAYERS)
    assert [title(ax) for ax in biomes] == [
        f"{name} ({(layers['biome'] == b).sum()})" for b, name in BIOME_LABELS.items()
    ]
    for ax, b in zip(biomes, BIOMES, strict=True):
        here = layers["biome"] == b
        found = np.concatenate([*dots(ax), np.empty((0, 2))])
        np.testing.assert_array_equal(found, np.column_stack([layers["age_median"], depth])[here])
        assert ax.get_ylim() == (200, 0) and ax.get_xscale() == "log"
        (step,) = (line for line in ax.lines if line.get_linestyle() == "-")
        of = layers["age_median"][here].groupby(layer[here]).agg(["median", "size"]).reindex(range(7))
        np.testing.assert_array_equal(step.get_xdata()[::2], of["median"].where(of["size"] >= 5))
        (everywhere,) = (line for line in ax.lines if line.get_linestyle() == ":")
        median = layers["age_median"].groupby(layer).median().reindex(range(7))
        np.testing.assert_array_equal(everywhere.get_xdata()[::2], median)
    assert all(ax.get_ylabel() == "depth (cm)" for ax in biomes[::3])
    assert all("(yr, log scale)" in ax.get_xlabel() for ax in biomes[6:])


def test_held_out_observations_stand_against_their_predictions_on_the_scale_of_the_flux(results):
    panels = dict(
        zip(
            [(t, s) for s in ("site", "spatial") for t in ("iroot", "ibulk", "f_bnpp")],
            figure_held_out(results),
            strict=True,
        )
    )
    for (target, split), ax in panels.items():
        held = results.table("held_out").query("target == @target and split == @split")
        back = expit if target == "f_bnpp" else np.exp
        np.testing.assert_allclose(dots(ax)[0], back(held[["mean", "observed"]]))
        score = results.map_forest_scores.query("target == @target and split == @split").iloc[0]
        want = f"R² {score['r2']:.2f}\nRMSE {score['rmse']:.2f}\ncoverage {100 * score['coverage95']:.0f} %"
        assert texts(ax) == [want]
        assert title(ax) == {"site": "held-out sites", "spatial": "held-out regions"}[split]
        unit = {"iroot": FLUX_UNIT, "ibulk": f"{FLUX_UNIT} cm⁻¹", "f_bnpp": "fraction of NPP"}[target]
        assert ax.get_xlabel().startswith("predicted") and ax.get_xlabel().endswith(f"({unit})")
        assert ax.get_ylabel().startswith("observed") and ax.get_ylabel().endswith(f"({unit})")
        assert ax.get_xlim() == ax.get_ylim()  # so that the dashed line is the diagonal
        (line,) = (x for x in ax.lines if x.get_linestyle() == "--")
        np.testing.assert_array_equal(line.get_xdata(), line.get_ydata())


def test_root_shares_are_those_of_the_biomes_in_per_cent(results):
    table = results.table("root_shares")
    panels = figure_root_shares(results)
    for ax, layer in zip(panels, LAYER_NAMES, strict=True):
        rows = table[table["layer"] == layer]
        (found,) = intervals(ax)
        assert_intervals(found, *(100 * rows[f"share_{key}"] for key in ("median", "p025", "p975")))
        assert found["y"].tolist() == [b - 1 for b in rows["biome"]]
        assert found["colour"].tolist() == [to_rgba(BIOME_COLOURS[b]) for b in rows["biome"]]
        assert title(ax) == f"{layer.replace('-', '–')} cm" and ax.get_xlabel() == "share (%)"
    assert row_names(panels[0]) == list(BIOME_LABELS.values())


def test_satellite_production_stands_beside_the_measured_by_site_and_by_biome(results):
    left, right = figure_ed8(results)
    known = results.table("npp_sites").dropna(subset=["npp", "satellite_npp"])
    assert len(known) == 5 and title(left) == "Sites (5)"
    np.testing.assert_array_equal(dots(left)[0], known[["npp", "satellite_npp"]])
    assert legend_names(right) == [f"{BIOME_LABELS[b]} ({n})" for b, n in ((1, 2), (3, 1), (6, 2))]
    for container, (_, part) in zip(right.containers, known.groupby("biome"), strict=True):
        point, _, bars = container.lines
        mean = part[["npp", "satellite_npp"]].mean()
        np.testing.assert_allclose(point.get_xydata(), [mean])
        error = 1.96 * part[["npp", "satellite_npp"]].sem().fillna(0)  # of one site there is none
        for bar, axis in zip(bars, (0, 1), strict=True):
            np.testing.assert_allclose(
                bar.get_segments()[0][:, axis], mean.iloc[axis] + error.iloc[axis] * np.array([-1, 1])
            )
    for ax in (left, right):
        assert ax.get_xlabel() == f"measured NPP ({FLUX_UNIT})" and ax.get_ylabel() == f"satellite NPP ({FLUX_UNIT})"
        assert ax.get_xlim() == ax.get_ylim() and ax.get_xlim()[0] == 0


def test_estimates_that_are_missing_leave_the_others(finished, land):
    """Without satellite NPP there are only the odd estimates: each keeps its number, and rows close up."""
    for name in ("sites", "iloss_estimates"):
        path = finished / "tables" / f"{name}.csv"
        table = pd.read_csv(path)
        table[table["estimate"] % 2 == 1].to_csv(path, index=False)
    results = Results.read(finished, data=land.folder.parent)
    density, by_depth, shares, _ = figure_3(results)
    assert len([line for line in density.lines if len(line.get_xdata()) > 2]) == len(intervals(by_depth)) == 3
    assert [name[:2] for name in row_names(shares)] == ["1:", "3:", "5:", "me", "ma"]
    assert len(intervals(shares)) == 5
    assert [len(boxes(ax)) for ax in figure_1(results)[1:]] == [6, 14, 14]


def test_fluxes_have_their_colours(results):
    density, by_biome, *_ = figure_1(results)
    colours = [line.get_color() for line in density.lines if line.get_label() in legend_names(density)]
    assert colours == [FLUX_COLOURS["iroot"], FLUX_COLOURS["ibulk"]]
    faces = [patch.get_facecolor()[:3] for patch in by_biome.patches]
    assert faces == [to_rgba(FLUX_COLOURS[f])[:3] for f in ("iroot", "ibulk") for _ in HERE]
