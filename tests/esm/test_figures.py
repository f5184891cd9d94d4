"""Figures of models beside the map: fields in their place, scores in their cell, factors on their row."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba

from bayes_rootc.constants import BIOMES
from bayes_rootc.esm.compare import Comparison
from bayes_rootc.esm.figures import (
    COLOURS,
    PARTS,
    SCORES,
    figure_factor,
    figure_model,
    figure_portrait,
    figure_taylor,
    save_benchmark_figures,
)
from bayes_rootc.esm.grids import ModelGrid, corners_of
from bayes_rootc.mapping.draw import Basemap, project
from bayes_rootc.report.style import BIOME_LABELS
from tests.drawn import assert_intervals, bar_label, dots, intervals, legend_names, legible, painted, row_names, title

ROWS, COLS, MEMBERS = 18, 36, 40
MODELS = ("SLOW", "FAST")
KEYS = ("median", "p025", "p975")


def regular() -> ModelGrid:
    """Cells of 10 degrees from south to north and from 0 to 360 degrees."""
    lat, lon = np.linspace(-90, 90, ROWS + 1), np.linspace(0, 360, COLS + 1)
    return ModelGrid((lat[1:] + lat[:-1]) / 2, (lon[1:] + lon[:-1]) / 2, lat, lon)


def askew() -> ModelGrid:
    """The same cells, with rows that are shifted against each other."""
    grid = regular()
    lat = np.broadcast_to(grid.lat[:, None], (ROWS, COLS)).copy()
    lon = grid.lon + 0.5 * np.arange(ROWS)[:, None]
    return ModelGrid(lat, lon, corners_of(lat), corners_of(lon))


def comparison(grid: ModelGrid, layers: int = 1) -> Comparison:
    """A model on a third of the cells, some of which are not compared; on others it lies in the outer parts of our 95 %
    interval, or outside.
    """
    rng = np.random.default_rng(7)
    index = np.flatnonzero(rng.random(ROWS * COLS) < 0.33)
    n = len(index)
    reference = rng.lognormal(0, 0.3, (layers, n, MEMBERS))
    values = reference.mean(axis=2, keepdims=True) * rng.choice([1.0, 1.4, 5.0], n)[:, None]
    weight, names = np.where(rng.random(n) < 0.9, 1e6, 0.0), tuple(f"layer {i}" for i in range(layers))
    where = grid, index, weight, rng.integers(1, 10, n)
    return Comparison("SLOW", "nppRoot", "Mg C ha-1 yr-1", values, reference, names, *where, {}, [])


@pytest.fixture(scope="module")
def results() -> SimpleNamespace:
    """What the figures take of a run."""
    land = np.zeros((90, 180), bool)
    land[20:70, 40:120] = True
    return SimpleNamespace(land=Basemap.trace(land, (-180, 180, -90, 90), step=4.0), simulated=True)


def fields(c: Comparison) -> list[np.ndarray]:
    """Model, our mean and their difference, of the sum of the layers; NaN where they are not compared."""
    model, mean = c.values.sum(axis=0).mean(axis=1), c.reference.sum(axis=0).mean(axis=1)
    return [np.where(c.weight > 0, v, np.nan) for v in (model, mean, model - mean)]


@pytest.mark.parametrize("layers", [1, 3])
def test_a_model_its_map_and_their_difference_lie_where_they_are(layers, results):
    c = comparison(regular(), layers)
    axes = figure_model(c, results)
    assert [title(ax) for ax in axes] == ["SLOW", "Our posterior mean", "Difference"]
    unit = "Mg C ha⁻¹ yr⁻¹"
    assert [bar_label(ax) for ax in axes] == [f"nppRoot ({unit})", unit, unit]
    lat, lon = (a.ravel()[c.index] for a in np.meshgrid(c.grid.lat, c.grid.lon, indexing="ij"))
    row, col = (
        ((90 - lat) // 10).astype(int),
        (((lon + 180) % 360) // 10).astype(int),
    )  # as maps are: from the north-west
    for ax, values in zip(axes, fields(c), strict=True):
        want = np.full((ROWS, COLS), np.nan)
        want[row, col] = values
        np.testing.assert_allclose(painted(ax), want)
    members = (c.values - c.reference).sum(axis=0)
    low, high = np.quantile(members, [0.025, 0.975], axis=1)
    outside = ((low > 0) | (high < 0)) & (c.weight > 0)
    assert 0 < outside.sum() < (c.weight > 0).sum()
    np.testing.assert_allclose(dots(axes[2])[0], np.column_stack(project(lon[outside], lat[outside])))
    assert legible(axes[0].figure) == []


def test_cells_of_a_curvilinear_model_are_painted_as_they_are(results):
    c = comparison(askew())
    axes = figure_model(c, results)
    lon, lat = (e.reshape(-1, 4)[c.index] for e in (c.grid.lon_edges, c.grid.lat_edges))
    west = (lon[:, :1] + 180) % 360 - 180
    lon = west + (lon - lon[:, :1] + 180) % 360 - 180
    whole = (abs(lon) <= 180).all(axis=1)  # one across 180 degrees would span the map
    assert 0.9 < whole.mean() < 1
    for ax, values in zip(axes, fields(c), strict=True):
        (cells,) = (a for a in ax.collections if isinstance(a, PolyCollection))
        shown = whole & np.isfinite(values)
        corners = np.stack(project(lon[shown], lat[shown]), axis=-1)
        np.testing.assert_allclose([path.vertices[:4] for path in cells.get_paths()], corners)
        np.testing.assert_array_equal(cells.get_array(), values[shown])
    assert title(axes[0]) == "SLOW" and bar_label_of_cells(axes[0]) == "nppRoot (Mg C ha⁻¹ yr⁻¹)"


def bar_label_of_cells(ax) -> str:
    """Label of the colour bar of a map of polygons."""
    (cells,) = (a for a in ax.collections if isinstance(a, PolyCollection))
    return cells.colorbar.ax.get_xlabel()


def scores() -> pd.DataFrame:
    """Scores of two models over all land and in two biomes; one has none in the last."""
    rng, rows = np.random.default_rng(3), []
    classes = [("all", "all"), ("biome", BIOMES[1]), ("biome", BIOMES[6]), ("latitude", "0 to 10")]
    for model, (group, name) in product(MODELS, classes):
        if (model, name) == ("FAST", BIOMES[6]):
            continue
        row = {"model": model, "layer": "0-200", "group": group, "class": name, "bias_median": rng.normal(0, 1)}
        row |= {"map_median": 2.0, **{s: rng.uniform(0, 1) for s in SCORES if s != "relative_bias"}}
        for quantity, value in (("correlation", rng.uniform(0.2, 0.9)), ("sd_ratio", rng.uniform(0.5, 1.4))):
            row |= dict(zip((f"{quantity}_{k}" for k in KEYS), (value, value - 0.1, value + 0.1), strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def test_a_portrait_has_every_score_of_every_model_and_class(results):
    table = scores()
    axes = figure_portrait(table)
    shown = table[table["group"] != "latitude"].assign(relative_bias=lambda t: 100 * t["bias_median"] / 2)
    classes = ["all", BIOMES[1], BIOMES[6]]
    for ax, (score, name) in zip(axes, SCORES.items(), strict=True):
        want = shown.pivot(index="class", columns="model", values=score).loc[classes, list(MODELS)].to_numpy()
        (image,) = ax.images
        np.testing.assert_allclose(np.ma.filled(image.get_array(), np.nan), want)
        written = {text.get_position(): text.get_text() for text in ax.texts}
        form = "{:+.0f}" if score == "relative_bias" else "{:.2f}"
        known = {(j, i): form.format(v).replace("-", "−") for (i, j), v in np.ndenumerate(want) if np.isfinite(v)}
        assert written == known and len(known) == 5
        assert image.get_clim() == ((-100, 100) if score == "relative_bias" else (0, 1))
        assert ax.get_xlabel() == name and [t.get_text() for t in ax.get_xticklabels()] == list(MODELS)
    assert row_names(axes[0]) == ["all land", BIOME_LABELS[1], BIOME_LABELS[6]]
    assert legible(axes[0].figure) == []


@pytest.mark.parametrize("least", [0.2, -0.4])
def test_a_models_pattern_stands_at_its_correlation_and_ratio_of_spreads(least):
    """Below a correlation of 0 the whole half disc is shown, and every model is within the frame."""
    table = scores()
    for key, shift in (("median", 0.0), ("p025", -0.1), ("p975", 0.1)):
        table.loc[(table["model"] == "FAST") & (table["group"] == "all"), f"correlation_{key}"] = least + shift
    (ax,) = figure_taylor([SimpleNamespace(model=m) for m in MODELS], table)
    whole = table[table["group"] == "all"].set_index("model")
    for number, model in enumerate(MODELS):
        row = whole.loc[model]
        (point,) = (line for line in ax.lines if line.get_label() == model)
        angle, radius = point.get_xydata()[0]
        assert (np.cos(angle), radius) == pytest.approx((row["correlation_median"], row["sd_ratio_median"]))
        assert point.get_color() == COLOURS[number]
        arc, ray = (line.get_xydata() for line in ax.lines if line.get_color() == COLOURS[number] and line is not point)
        ends = sorted(np.cos(arc[[0, -1], 0]))
        assert ends == pytest.approx([row["correlation_p025"], row["correlation_p975"]])
        assert (arc[:, 1] == row["sd_ratio_median"]).all() and (ray[:, 0] == angle).all()
        np.testing.assert_allclose(ray[:, 1], row[["sd_ratio_p025", "sd_ratio_p975"]].astype(float))
        assert radius < ax.get_rmax() and 0 <= np.degrees(angle) <= ax.get_thetamax()
    assert ax.get_thetamax() == (180 if least < 0 else 90)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[0, 1]])  # the star: our pattern
    assert legend_names(ax.figure) == list(MODELS)
    for tick, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True):
        assert np.cos(tick) == pytest.approx(float(label.get_text().replace("−", "-")), abs=1e-9)
    assert ax.get_xlabel() == "standard deviation over that of our map"


def factors() -> pd.DataFrame:
    """Factors of turnover of two models: of all land and three biomes; the second has turnover times alone."""
    rng, rows = np.random.default_rng(4), []
    for model, (group, name) in product(MODELS, [("all", "all"), *(("biome", BIOMES[b]) for b in (1, 3, 9))]):
        row = {"model": model, "group": group, "class": name}
        for quantity in ("factor", *PARTS):
            value = rng.lognormal(0.5, 0.5)
            if quantity in ("factor", "loss") or model == "SLOW":
                row |= dict(zip((f"{quantity}_{k}" for k in KEYS), (value, value / 2, 2 * value), strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def test_factors_stand_in_the_row_of_their_biome_and_beside_what_they_are_made_of():
    table = factors()
    left, right = figure_factor(table)
    assert row_names(left) == ["all land", *BIOME_LABELS.values()]
    classes = ["all", *BIOMES.values()]
    for number, (found, model) in enumerate(zip(intervals(left), MODELS, strict=True)):
        rows = table[table["model"] == model].set_index("class").reindex(classes)
        known = rows["factor_median"].notna().to_numpy()
        assert_intervals(found[known], *(rows.loc[known, f"factor_{k}"] for k in KEYS))
        assert found["middle"].notna().tolist() == known.tolist()
        assert found.loc[known, "y"].round().tolist() == np.flatnonzero(known).tolist()
        assert set(found["colour"]) == {to_rgba(COLOURS[number])}
    assert row_names(right) == ["all together", *PARTS.values()]
    everywhere = table[table["group"] == "all"].set_index("model")
    for found, model in zip(intervals(right), MODELS, strict=True):
        want = [[everywhere.loc[model, f"{n}_{k}"] for n in ("factor", *PARTS)] for k in KEYS]
        assert_intervals(found, *want)
    for ax in (left, right):
        assert ax.get_xscale() == "log" and ax.get_xlabel() == "factor (log scale)"
        assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"] == [1]
    assert legend_names(left.figure) == list(MODELS)
    assert legible(left.figure) == []


def test_a_file_of_each_model_is_called_after_it(results, tmp_path):
    """Whatever it is called: a name may be no path."""
    c = comparison(regular())
    named = Comparison(**vars(c) | {"model": "CESM2/r1 (land)"})
    table = scores().drop(columns=[f"correlation_{k}" for k in KEYS])  # of fewer than three cells there is no pattern
    save_benchmark_figures([named], table, factors().iloc[:0], results, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"CESM2-r1--land-.png", "portrait.png"}
