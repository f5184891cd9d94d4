"""Figures of the learners: each panel has its own learner's predictions, scores, ranks and regions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from scipy.stats import binom

from bayes_rootc.mapping.draw import project
from bayes_rootc.report.figures_learners import (
    FOLD_COLOURS,
    HIGHLIGHTED,
    SHOWN,
    SPLITS,
    TITLES,
    figure_blocks,
    figure_ed2,
    figure_ed3,
    figure_ed9,
    figure_importance,
    figure_reliability,
)
from bayes_rootc.report.results import Results
from tests.drawn import curves, dots, legend_names, legible, row_names, texts, title, varied_results
from tests.report.conftest import LEARNED, made_up

ROWS = 40
FEATURES = ["mat", "soil_clay", "biome_1", "elevation"]


@pytest.fixture(scope="module")
def results(land, tmp_path_factory) -> Results:
    """With predictions, folds, places and importances that differ between learners, targets and splits."""
    found = varied_results(tmp_path_factory.mktemp("learners"), land.folder.parent)
    rng, parts, importance, variograms = np.random.default_rng(5), [], [], []
    for i, (target, split) in enumerate(product(TITLES, SPLITS)):
        observed, lat, lon = rng.normal(i, 1, ROWS), rng.uniform(-30, 60, ROWS), rng.uniform(-70, 30, ROWS)
        place = {"id": [f"site-{n}" for n in range(ROWS)], "lat": lat, "lon": lon, "fold": np.arange(ROWS) % 5}
        for learner in LEARNED:
            said = {"observed": observed, "mean": observed + rng.normal(0, 0.3, ROWS), "pit": rng.uniform(0, 1, ROWS)}
            parts.append(pd.DataFrame(place | said).assign(target=target, split=split, learner=learner))
        grows = 1 + np.array([0.3, 0.1, 0.5, 0.0])[:, None] + rng.uniform(0, 0.05, (len(FEATURES), 3))
        for (feature, fold), ratio in zip(product(FEATURES, range(3)), grows.ravel(), strict=True):
            importance.append({"target": target, "split": split, "fold": fold, "feature": feature, "rmse_ratio": ratio})
    for i, target in enumerate(TITLES):
        known = {"distance_km": [30.0, 300, 900], "semivariance": rng.uniform(0.1, 0.5, 3), "fitted": [0.1, 0.2, 0.3]}
        variograms.append(pd.DataFrame(known).assign(target=target, block_km=100.0 * (i + 1)))
    for name, tables in (("learners_held_out", parts), ("variograms", variograms)):
        made_up(name, *pd.concat(tables).to_dict("records")).to_csv(found.out / "tables" / f"{name}.csv", index=False)
    table = made_up("learners_importance", *importance)
    table.to_csv(found.out / "tables" / "learners_importance.csv", index=False)
    return found


@pytest.mark.parametrize(("draw", "target"), [(figure_ed2, "iroot"), (figure_ed3, "ibulk"), (figure_ed9, "f_bnpp")])
def test_each_learner_has_a_panel_for_sites_and_one_for_regions(draw, target, results):
    axes = draw(results)
    held, scores = results.table("learners_held_out"), results.table("learners")
    assert axes[0].figure.get_suptitle() == TITLES[target]
    for ax, (split, learner) in zip(axes, product(SPLITS, SHOWN), strict=True):
        rows = held.query("target == @target and split == @split and learner == @learner")
        np.testing.assert_allclose(dots(ax)[0], rows[["mean", "observed"]])
        assert title(ax) == f"{learner.split(' (')[0]}, {SPLITS[split]}"
        score = scores.query("target == @target and split == @split and learner == @learner").iloc[0]
        want = f"R² {score['r2']:.2f}\nRMSE {score['rmse']:.2f}\nconcordance {score['concordance']:.2f}"
        assert texts(ax) == [want] and ax.get_xlim() == ax.get_ylim()
    assert {ax.get_xlabel() for ax in axes[9:]} == {"predicted"}
    assert {ax.get_ylabel() for ax in axes[::3]} == {"observed"}


def test_reliability_is_the_share_below_each_quantile_less_that_quantile(results):
    axes = figure_reliability(results)
    held, levels = results.table("learners_held_out"), np.linspace(0.01, 0.99, 99)
    for ax, (split, target) in zip(axes, product(SPLITS, TITLES), strict=True):
        here = held.query("target == @target and split == @split")
        assert title(ax) == f"{TITLES[target]}, {SPLITS[split]}"
        for learner in HIGHLIGHTED:
            pit = here.loc[here["learner"] == learner, "pit"].to_numpy()
            below = (pit[:, None] <= levels).mean(axis=0)
            np.testing.assert_allclose(curves(ax)[learner], 100 * np.column_stack([levels, below - levels]), atol=1e-9)
        grey = [line for line in ax.lines if line.get_label() == "other learners"]
        assert len(grey) == len(set(LEARNED) - set(HIGHLIGHTED))
        (band,) = ax.collections
        corners = {tuple(v) for v in np.round(band.get_paths()[0].vertices, 6)}
        low, high = (100 * (binom.ppf(q, ROWS, levels) / ROWS - levels) for q in (0.025, 0.975))
        for end in (low, high):
            assert {tuple(v) for v in np.round(np.column_stack([100 * levels, end]), 6)} <= corners
    assert set(legend_names(axes[0].figure)) == {"chance", "other learners", *HIGHLIGHTED}
    assert all("(%)" in ax.get_xlabel() for ax in axes[3:]) and all("(%)" in ax.get_ylabel() for ax in axes[::3])


def test_importance_is_the_growth_of_the_error_with_the_most_important_on_top(results):
    axes = figure_importance(results, shown=3)
    table = results.table("learners_importance")
    for ax, target in zip(axes, TITLES, strict=True):
        assert row_names(ax) == ["biome 1", "mat", "soil clay"] and ax.yaxis_inverted()
        for container, split in zip(ax.containers, SPLITS, strict=True):
            rows = table.query("target == @target and split == @split")
            percent = 100 * (rows.pivot(index="feature", columns="fold", values="rmse_ratio") - 1)
            percent = percent.loc[["biome_1", "mat", "soil_clay"]]
            point, _, (bars,) = container.lines
            np.testing.assert_allclose(point.get_xdata(), percent.mean(axis=1))
            ends = np.array(bars.get_segments())[:, :, 0]
            np.testing.assert_allclose(ends, percent.agg(["min", "max"], axis=1))
            assert container.get_label() == SPLITS[split]
        assert ax.get_xlabel() == "error grows by (%)" and ax.get_title(loc="right") == TITLES[target]
    assert legend_names(axes[0].figure) == list(SPLITS.values())


def test_regions_are_mapped_by_fold_beside_the_variogram_that_their_size_is_from(results):
    axes = figure_blocks(results).reshape(3, 2)
    held, variograms = results.table("learners_held_out"), results.table("variograms")
    for i, ((world, beside), target) in enumerate(zip(axes, TITLES, strict=True)):
        rows = held.query("target == @target and split == 'spatial'").drop_duplicates("id")
        (points,) = (c for c in world.collections if len(c.get_offsets()) == ROWS)
        np.testing.assert_allclose(points.get_offsets(), np.column_stack(project(rows["lon"], rows["lat"])))
        assert [tuple(c) for c in points.get_facecolors()] == [to_rgba(FOLD_COLOURS[f]) for f in rows["fold"]]
        assert title(world) == f"{TITLES[target]}: folds of blocks of {100 * (i + 1)} km"
        of = variograms[variograms["target"] == target]
        np.testing.assert_allclose(dots(beside, "residuals")[0], of[["distance_km", "semivariance"]])
        np.testing.assert_allclose(curves(beside)["model"], of[["distance_km", "fitted"]])
        assert curves(beside)["block"][0, 0] == 100 * (i + 1)
        assert beside.get_xlabel() == "distance (km)" and beside.get_ylabel() == "semivariance"
    assert legend_names(axes[0, 1]) == ["residuals", "model", "block"]


def test_their_words_can_be_read(results):
    for axes in (figure_ed2(results), figure_reliability(results), figure_importance(results), figure_blocks(results)):
        assert legible(axes[0].figure) == []
