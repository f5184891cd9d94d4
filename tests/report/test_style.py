"""Axes in plain numbers, densities, and intervals, as every figure draws them."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bayes_rootc.report.style import draw_boxes, draw_density, draw_intervals, name_rows, plain_log_axis
from tests.drawn import assert_intervals, intervals, legible, row_names

RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def number(label: str) -> float:
    """A label as a reader takes it."""
    for digit in "⁰¹²³⁴⁵⁶⁷⁸⁹":
        if digit in label:
            return 10.0 ** int(label[2:].translate(RAISED))
    return float(label.replace(",", ""))


def log_axis(low: float, high: float):
    """Axes with a logarithmic x-axis between two values, drawn; and the labels that are within them, by their place."""
    figure = Figure((3, 2), layout="constrained")
    ax = figure.add_subplot(xscale="log", xlim=(low, high))
    plain_log_axis(ax.xaxis)
    FigureCanvasAgg(figure).draw()
    ticks = [*ax.xaxis.get_major_ticks(), *ax.xaxis.get_minor_ticks()]
    return figure, {
        t.get_loc(): t.label1.get_text() for t in ticks if low <= t.get_loc() <= high and t.label1.get_text()
    }


@pytest.mark.parametrize(
    ("low", "high"), [(2.0, 2.6), (1.1, 2.2), (0.004, 0.036), (700, 5600), (0.03, 0.33), (1e-5, 0.1), (3, 3e4)]
)
def test_a_log_axis_of_any_length_is_labelled_with_what_its_ticks_are(low, high):
    figure, labels = log_axis(low, high)
    assert labels and legible(figure) == []
    for place, label in labels.items():
        assert number(label) == pytest.approx(place, rel=1e-5), label


def test_a_log_axis_shorter_than_a_power_has_labels_at_2_and_5_too():
    assert list(log_axis(1.5, 8)[1].values()) == ["2", "5"]
    assert {"2.1", "2.5", "2.9"} <= set(log_axis(2.1, 2.9)[1].values())  # none of 1, 2 and 5 lies within
    assert sorted(log_axis(0.5, 5000)[1].values()) == ["1", "1,000", "10", "100"]


def test_a_density_is_that_of_the_sample_per_unit_and_per_decade():
    """Of 4,000 normal values: at the middle the kernel's width costs 2 % of the height, and chance has an sd of 3 %."""
    values = np.random.default_rng(0).normal(1, 0.2, 4000)
    for log, sample in ((False, values), (True, 10**values)):
        ax = Figure().add_subplot()
        draw_density(ax, sample, colour="k", log=log)
        x, y = ax.lines[0].get_data()
        scaled = np.log10(x) if log else x
        bell = np.exp(-0.5 * ((scaled - 1) / 0.2) ** 2) / (0.2 * np.sqrt(2 * np.pi))
        np.testing.assert_allclose(y, bell, atol=(0.02 + 4 * 0.03) * bell.max())
        assert np.trapezoid(y, scaled) == pytest.approx(1, abs=0.02)
        assert ax.get_xscale() == ("log" if log else "linear")


def test_a_sample_of_two_values_has_no_density():
    ax = Figure().add_subplot()
    draw_density(ax, np.array([1.0, 1.0, 2.0, np.nan]), colour="k")
    assert not ax.lines


def test_intervals_stand_in_named_rows_from_the_top_down():
    ax = Figure().add_subplot()
    draw_intervals(ax, [0, 1], [2.0, 5.0], [1.0, 3.0], [3.0, 9.0], colour=["red", "blue"])
    name_rows(ax, ["first", "second"])
    (found,) = intervals(ax)
    assert_intervals(found, [2, 5], [1, 3], [3, 9])
    assert found["y"].tolist() == [0, 1] and found["colour"].tolist() == [(1, 0, 0, 1), (0, 0, 1, 1)]
    assert row_names(ax) == ["first", "second"] and ax.get_ylim() == (1.5, -0.5)


def test_boxes_are_quartiles_with_whiskers_to_95_per_cent_and_a_dot_at_the_mean():
    sample = np.r_[np.random.default_rng(1).lognormal(0, 1, 200), np.nan]
    ax = Figure().add_subplot()
    draw_boxes(ax, [sample, np.array([np.nan])], [3.0, 4.0], colour="green", height=0.4)
    known = sample[:-1]
    (box,) = ax.patches  # a sample without a value has none
    x = box.get_path().vertices[:, 0]
    np.testing.assert_allclose([x.min(), x.max()], np.quantile(known, [0.25, 0.75]))
    *lines, dot = ax.lines
    ends = np.concatenate([line.get_xdata() for line in lines])
    low, high = np.quantile(known, [0.025, 0.975])
    # whiskers end at the outermost values within
    assert ends.min() == known[known >= low].min() and ends.max() == known[known <= high].max()
    assert any((line.get_xdata() == np.median(known)).all() for line in lines)
    np.testing.assert_allclose(dot.get_xydata(), [[known.mean(), 3.0]])
