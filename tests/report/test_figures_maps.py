"""The figures that are maps: each cell has the value of the file, in a colour whose bar says what it is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from bayes_rootc.constants import BIOMES, LAYER_NAMES, PROFILE_NAME
from bayes_rootc.mapping.draw import project
from bayes_rootc.report.figures_maps import (
    CERTAIN,
    MOST_UNCERTAIN,
    figure_4,
    figure_age_maps,
    figure_ed1,
    figure_ed4,
    figure_ed5,
    figure_ed6,
    figure_ed7,
    figure_one_map,
    figure_t100_maps,
    outside_area,
)
from bayes_rootc.report.results import Results
from bayes_rootc.report.style import BIOME_LABELS, FLUX_LABELS, FLUX_UNIT, SITE_COLOURS, map_axis
from tests.drawn import bar_label, curves, dots, legend_names, legible, mesh, painted, title, varied_results

UNITS = {flux: f"{FLUX_LABELS[flux]} ({FLUX_UNIT})" for flux in ("iroot", "ibulk", "iloss")}


@pytest.fixture(scope="module")
def results(land, tmp_path_factory) -> Results:
    return varied_results(tmp_path_factory.mktemp("maps"), land.folder.parent)


def map_of(results: Results, name: str, layer: str = PROFILE_NAME) -> np.ndarray:
    """Values of a map."""
    return results.maps[name].sel(layer=layer).values


def zonal(values: np.ndarray) -> np.ndarray:
    """Mean of each row of cells; NaN where it has none."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=1) / known.sum(axis=1)


def is_hatched(ax) -> bool:
    """Whether a part of the map is hatched."""
    return any(getattr(c, "hatches", None) and any(c.hatches) for c in ax.collections)


def test_sites_stand_where_they_are_and_are_counted_by_biome(results):
    world, counts = figure_ed1(results)
    sites = results.table("sites").query("layer == @PROFILE_NAME").drop_duplicates(["sites", "id"])
    for name, drawn in zip(SITE_COLOURS, dots(world), strict=True):
        here = sites[sites["sites"] == name]
        np.testing.assert_allclose(drawn, np.column_stack(project(here["lon"], here["lat"])))
    assert legend_names(world) == ["NPP sites (9)", "Δ¹⁴C profiles (9)", "root profiles (9)"]
    x, y = project(sites["lon"], sites["lat"])
    (left, right), (bottom, top) = world.get_xlim(), world.get_ylim()
    assert ((x > left) & (x < right) & (y > bottom) & (y < top)).all()
    heights = [[bar.get_height() for bar in bars] for bars in counts.containers if hasattr(bars[0], "get_height")]
    assert heights == [[3 if b in (1, 3, 6) else 0 for b in BIOMES]] * 3
    assert [text.get_text() for text in counts.texts] == [f"{n}" for n in heights[0]] * 3
    names = [label.get_text().replace("\n", "").replace(" ", "") for label in counts.get_xticklabels()]
    assert names == [name.replace(" ", "") for name in BIOME_LABELS.values()]
    assert counts.get_ylabel() == "number of sites"


def test_figure_4_maps_the_loss_its_uncertainty_its_share_and_its_sign(results):
    axes = figure_4(results)
    loss, zones, small = axes[0], axes[1:4], axes[4:7]
    low, high = (map_of(results, f"iloss_{key}") for key in ("p025", "p975"))
    mean, probability = map_of(results, "iloss_mean"), map_of(results, "iloss_probability")
    share = 100 * mean / map_of(results, "iroot_mean")
    share_label, sign_label = f"{FLUX_LABELS['iloss']} / {FLUX_LABELS['iroot']} (%)", f"P({FLUX_LABELS['iloss']} > 0)"
    panels = [
        (loss, mean, "Mean loss, 0–200 cm", UNITS["iloss"]),
        (small[0], (high - low) / 2, "Half the 95 % interval of a cell", f"± {FLUX_UNIT}"),
        (small[1], share, "Share of the input lost", share_label),
        (small[2], probability, "Probability of a loss", sign_label),
    ]
    for ax, values, name, label in panels:
        np.testing.assert_allclose(painted(ax), values, rtol=1e-6)
        assert title(ax) == name and bar_label(ax) == label
    for ax, values, label in zip(zones, (mean, share, probability), (FLUX_UNIT, share_label, sign_label), strict=True):
        (line,) = (v for v in curves(ax).values() if len(v) > 2)
        np.testing.assert_allclose(line[:, 0], zonal(values), rtol=1e-6)
        np.testing.assert_allclose(line[:, 1], project(0 * results.maps["lat"], results.maps["lat"])[1])
        assert ax.get_xlabel() == label and ax.get_ylim() == loss.get_ylim()
    certain = (probability >= CERTAIN) | (probability <= 1 - CERTAIN)
    assert 0 < certain.sum() < np.isfinite(mean).sum()
    at = np.argwhere(certain)  # cells of 5 degrees are wider than the dots are apart
    lon, lat = results.maps["lon"].values[at[:, 1]], results.maps["lat"].values[at[:, 0]]
    np.testing.assert_allclose(dots(loss)[0], np.column_stack(project(lon, lat)))
    assert outside_area(results.maps, "iloss").any() and is_hatched(loss)
    assert legible(loss.figure) == []


@pytest.mark.parametrize(
    ("draw", "flux", "statistic"),
    [
        (figure_ed4, "iroot", "mean"),
        (figure_ed5, "ibulk", "mean"),
        (figure_ed6, "iloss", "mean"),
        (figure_ed7, "iloss", "uncertainty"),
        (figure_age_maps, "age", "mean"),
        (figure_t100_maps, "ibulk_t100", "mean"),
    ],
)
def test_layers_are_mapped_one_by_one_and_then_the_profile(draw, flux, statistic, results):
    panels = draw(results)
    assert [title(ax) for ax in panels] == [f"{name.replace('-', '–')} cm" for name in (*LAYER_NAMES, PROFILE_NAME)]
    label = map_axis(flux) if statistic == "mean" else f"half the 95 % interval of {FLUX_LABELS[flux]} / |mean|"
    for ax, layer in zip(panels, (*LAYER_NAMES, PROFILE_NAME), strict=True):
        np.testing.assert_allclose(painted(ax), map_of(results, f"{flux}_{statistic}", layer), rtol=1e-6)
        assert bar_label(ax) == label
        low, high = mesh(ax).get_clim()
        if statistic == "uncertainty":
            assert (low, high) == (0, MOST_UNCERTAIN)
        elif flux == "iloss":  # the colour of neither loss nor gain is at 0, which is on the scale
            assert low <= 0 <= high


@pytest.mark.parametrize(("flux", "layer"), [("iloss", "0-200"), ("ibulk", "20-40")])
def test_one_map_is_that_of_its_flux_and_layer(flux, layer, results):
    mean_map, mean_zones, spread_map, spread_zones = figure_one_map(results.maps, flux, layer)
    mean, low, high = (map_of(results, f"{flux}_{key}", layer) for key in ("mean", "p025", "p975"))
    np.testing.assert_allclose(painted(mean_map), mean, rtol=1e-6)
    np.testing.assert_allclose(painted(spread_map), (high - low) / 2, rtol=1e-5)
    assert title(mean_map) == f"Mean of {layer.replace('-', '–')} cm" and bar_label(mean_map) == UNITS[flux]
    assert bar_label(spread_map) == f"± {FLUX_UNIT}"
    for ax, values in ((mean_zones, mean), (spread_zones, (high - low) / 2)):
        (line,) = curves(ax).values()
        np.testing.assert_allclose(line[:, 0], zonal(values), rtol=1e-5)
    (band,) = mean_zones.collections  # about the mean: zonal means of both ends of the cells' intervals
    edges = np.unique(np.round(band.get_paths()[0].vertices[:, 0], 6))
    assert np.nanmin(zonal(low)) == pytest.approx(edges[0], abs=1e-5)
    assert np.nanmax(zonal(high)) == pytest.approx(edges[-1], abs=1e-5)
    assert is_hatched(mean_map) and is_hatched(spread_map)
    assert bool(dots(mean_map)) == (flux == "iloss")  # where its sign is known: the others have but one
    assert legible(mean_map.figure) == []


def test_a_region_alone_is_mapped_as_far_as_it_reaches(results, land):
    """Two degrees about the cells that have a value, not the world."""
    region = Results.read(results.out, data=land.folder.parent)
    region.__dict__["maps"] = results.maps.isel(lat=slice(8, 14), lon=slice(30, 34)).load()
    lat, lon = region.maps["lat"].values, region.maps["lon"].values
    south, north = lat.min() - 2.5 - 2, lat.max() + 2.5 + 2
    west, east = lon.min() - 2.5 - 2, lon.max() + 2.5 + 2
    for axes in (figure_4(region), figure_ed4(region)):
        np.testing.assert_allclose(axes[0].get_ylim(), project(0.0, np.array([south, north]))[1])
        sides, _ = project(np.array([[west], [east]]), np.linspace(south, north, 200))
        np.testing.assert_allclose(axes[0].get_xlim(), (sides[0].min(), sides[1].max()), rtol=1e-3)
        assert painted(axes[0]).shape == (6, 4) and np.isfinite(painted(axes[0])).all()
        assert legible(axes[0].figure) == []


def test_sites_have_the_colours_of_their_data_sets(results):
    world, counts = figure_ed1(results)
    points = [line.get_color() for line in world.lines if len(line.get_xdata())]
    bars = [b[0].get_facecolor() for b in counts.containers]
    assert points == list(SITE_COLOURS.values()) and bars == [to_rgba(c) for c in SITE_COLOURS.values()]


def test_maps_across_180_degrees_are_drawn_at_both_ends_of_the_globe(results):
    maps = results.maps
    beyond = maps.assign_coords(lon=maps["lon"] % 360).sortby("lon")  # 0 to 360: all lies beyond 180 or before
    kept = beyond.isel(lon=(beyond["lon"].values > 150) & (beyond["lon"].values < 210))
    axes = figure_one_map(kept, "iloss", PROFILE_NAME)
    want = map_of(results, "iloss_mean")
    want = np.where(np.abs(maps["lon"].values) > 150, want, np.nan)
    np.testing.assert_allclose(painted(axes[0]), want, rtol=1e-6)


def test_a_run_with_bootstraps_shows_medians(land, tmp_path):
    results = varied_results(tmp_path, land.folder.parent)
    path = results.out / "run.json"
    run = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(run | {"settings": run["settings"] | {"tau_bootstraps": 500}}), encoding="utf-8")
    results = Results(results.out, land.folder.parent)
    vars(results)["maps"] = results.maps.assign_coords(depth=("layer", np.arange(8.0)))  # as files have it
    for figure, flux in ((figure_ed4, "iroot"), (figure_ed6, "iloss"), (figure_4, "iloss")):
        axes = figure(results)
        ax, layer = (axes[0], PROFILE_NAME) if figure is figure_4 else (axes[0], LAYER_NAMES[0])
        values = map_of(results, f"{flux}_median", layer)
        np.testing.assert_allclose(np.sort(mesh(ax).get_array().compressed()), np.sort(values[np.isfinite(values)]))
    layers = np.sum([map_of(results, "ibulk_median", layer) for layer in LAYER_NAMES], axis=0)
    drawn = np.sort(mesh(figure_ed5(results)[7]).get_array().compressed())
    np.testing.assert_allclose(drawn, np.sort(layers[np.isfinite(layers)]), rtol=1e-6)
    lost = figure_4(results)
    assert title(lost[0]).startswith("Median loss") and not lost[1].collections  # a line by latitude, without a band
    results.close()
