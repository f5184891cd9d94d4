"""Figures that only a posterior can show: the layers with two ages, and replicates beside what was measured."""

from __future__ import annotations

import numpy as np
import pytest

from bayes_rootc.models.radiocarbon import delta14c
from bayes_rootc.report.figures_posterior import DEPTH_CLASSES, figure_modes, figure_predictive
from bayes_rootc.report.results import Results
from tests.drawn import texts, title, varied_results


@pytest.fixture(scope="module")
def results(land, tmp_path_factory) -> Results:
    return varied_results(tmp_path_factory.mktemp("posterior"), land.folder.parent)


def test_a_layer_with_two_ages_is_shown_with_its_curve_its_measurement_and_both_modes(results):
    """The most doubtful first: of the made-up layers the first two have two ages, of probability 0.3 and 0.1."""
    axes = figure_modes(results).reshape(-1, 2)
    layers = results.table("layers")
    assert len(axes) == (layers["n_modes"] > 1).sum() == 2
    log_k = results.turnover["posterior"].to_dataset()["log_k"]
    for number, (left, right) in enumerate(axes):
        row = layers.loc[number]
        curve, level = left.lines
        ages, values = curve.get_data()
        air = results.atmosphere
        want = delta14c(1 / ages, row["year"], row["zone"], "steady", atmosphere=air)
        np.testing.assert_allclose(values, want, atol=0.1)  # taken between 1,024 rates
        assert ages[0] == 2 and ages[-1] > max(row["mode1_age"], row["mode2_age"])
        assert level.get_ydata()[0] == row["delta14c"]
        (band,) = left.patches
        error = np.hypot(row["sigma"], row["model_sd"])
        assert (band.get_y(), band.get_height()) == pytest.approx((row["delta14c"] - error, 2 * error))
        name = left.get_title(loc="left")
        assert name.startswith(f"{row['top']:g}–{row['bottom']:g} cm, {abs(row['lat']):.1f}° ")
        assert name.endswith(f"{row['delta14c']:.0f} ± {row['sigma']:.0f} ‰")
        draws = np.exp(-log_k.values[0, :, number])
        edges = np.array(
            [bar.get_x() for bar in right.patches] + [right.patches[-1].get_x() + right.patches[-1].get_width()]
        )
        counts = [bar.get_height() for bar in right.patches]
        np.testing.assert_array_equal(counts, np.histogram(draws, edges)[0])
        assert [line.get_xdata()[0] for line in right.lines] == [row["mode1_age"], row["mode2_age"]]
        weights = [f"{row[f'mode{m}_age']:,.0f} yr: {100 * row[f'mode{m}_probability']:.0f} %" for m in (1, 2)]
        assert texts(right) == weights
        assert left.get_ylabel() == "Δ¹⁴C (‰)" and right.get_ylabel() == "draws"
    assert all(ax.get_xlabel() == "carbon age (yr, log scale)" for ax in axes[-1])


def test_neighbours_of_one_place_and_year_are_shown_once(results):
    doubled = results.table("layers").loc[[0, 0, 1]].reset_index(drop=True)
    some = Results.read(results.out, data=results.data)
    some._tables["layers"] = doubled
    assert len(figure_modes(some).reshape(-1, 2)) == 2
    assert len(figure_modes(results, show=1).reshape(-1, 2)) == 1


def test_replicates_lie_about_the_observed_and_ranks_are_counted(results):
    upper, lower = figure_predictive(results).reshape(2, 3)
    tree = results.turnover
    observed = tree["observed_data"].to_dataset()["delta14c"].values
    replicated = tree["posterior_predictive"].to_dataset()["delta14c"].values[0]
    constants = tree["constant_data"].to_dataset()
    depth = ((constants["top"] + constants["bottom"]) / 2).values
    rank = 100 * (replicated < observed).mean(axis=0)
    for ax, below, (top, bottom) in zip(upper, lower, DEPTH_CLASSES, strict=True):
        here = (depth >= top) & (depth < bottom)
        assert title(ax) == f"{top}–{bottom} cm ({here.sum()} layers)" and title(below) == f"{top}–{bottom} cm"
        (steps,) = ax.patches
        density, edges, _ = steps.get_data()
        np.testing.assert_allclose(density, np.histogram(observed[here], edges, density=True)[0])
        assert (density * np.diff(edges)).sum() == pytest.approx(1)
        of_replicates = [np.histogram(r, edges, density=True)[0] for r in replicated[:, here]]
        (band,) = ax.collections
        ends = np.quantile(of_replicates, [0.025, 0.975], axis=0)
        assert {round(v, 9) for v in ends.ravel()} == {round(v, 9) for v in band.get_paths()[0].vertices[:, 1]}
        (steps,) = below.patches
        percent, edges, _ = steps.get_data()
        np.testing.assert_allclose(percent, 100 * np.histogram(rank[here], edges)[0] / here.sum())
        assert below.lines[0].get_ydata()[0] == 100 / len(percent)  # flat, if all is well
        assert ax.get_xlabel() == "Δ¹⁴C (‰)" and "(%)" in below.get_xlabel()
    assert upper[0].get_ylabel() == "density of layers (per ‰)" and lower[0].get_ylabel() == "layers (%)"


def test_a_depth_without_layers_stays_empty(results, land):
    some = Results.read(results.out, data=land.folder.parent)
    tree = results.turnover.copy()
    shallow = np.flatnonzero(tree["constant_data"].to_dataset()["top"].values < 100)
    some.__dict__["turnover"] = tree.isel(layer=shallow)
    upper, lower = figure_predictive(some).reshape(2, 3)
    assert title(upper[2]) == "100–200 cm (0 layers)"
    assert not upper[2].patches and not lower[2].patches and upper[1].patches
