"""The figures: each is drawn from an output folder alone, with its axes named, and leaves no trace in the settings."""

from __future__ import annotations

import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from bayes_rootc.constants import LAYERS
from bayes_rootc.report import figures
from bayes_rootc.report.captions import caption, number
from bayes_rootc.report.figures import catalogue
from bayes_rootc.report.figures_sites import _step_by_depth
from bayes_rootc.report.results import Results
from bayes_rootc.report.style import DPI, WIDTH, apart, new_figure, save
from tests.drawn import legible, visible_axes

pytestmark = pytest.mark.thorough

NAMES = (
    "sites", "inputs", "loss", "loss_map", "iroot_maps", "ibulk_maps", "iloss_maps", "ages", "held_out", "modes",
    "predictive", "drivers", "root_shares", "turnover", "turnover_held_out", "schematic", "persistence", "respired",
    "ladder", "age_maps", "ibulk_t100_maps", "production_maps",
    "iloss_uncertainty", "satellite", "turnover_sbc", "turnover_prehistory",
    "learners_iroot", "learners_ibulk", "learners_f_bnpp", "learners_reliability",
)  # fmt: skip


def read(out, land) -> Results:
    return Results.read(out, data=land.folder.parent)


def draw(results: Results, name: str) -> Figure:
    drawings = {n: make for n, _, make in catalogue(results)}
    return drawings[name]()[0].get_figure(root=True)


def test_the_catalogue_is_whole(finished, land):
    assert sorted(n for n, *_ in catalogue(read(finished, land))) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_named_axes_and_words_that_can_be_read(finished, land, name):
    figure = draw(read(finished, land), name)
    assert legible(figure) == []
    for ax in visible_axes(figure):
        if not ax.axison:  # a map; its colour bar has the label
            continue
        if ax.get_label() == "<colorbar>" and ax.get_ylabel():
            continue
        shared = ax.get_shared_x_axes().get_siblings(ax)
        named = [a.get_xlabel() or len(a.get_xticklabels()) == 9 for a in shared]
        assert any(named), (name, ax.get_title(loc="left"))


@pytest.mark.parametrize("name", NAMES)
def test_every_caption_quotes_numbers_of_the_run(finished, name):
    text = caption(Results.read(finished), name)
    assert len(text) > 100
    assert "nan" not in text.lower().split()


def test_figures_are_saved_small_and_whole(reported):
    saved = sorted((reported / "figures").iterdir())
    assert [path.name for path in saved] == sorted(f"{name}.png" for name in NAMES)
    for path in saved:
        assert path.stat().st_size < 1_000_000
        pixels = imread(path)[..., :3]
        assert pixels.shape[1] == round(WIDTH * DPI), path.stem  # as wide as a page
        halves = [half for axis in (0, 1) for half in np.array_split(pixels, 2, axis=axis)]
        assert all(np.ptp(half) > 0.5 for half in halves), path.stem  # something dark is drawn on white in each


def test_drawing_leaves_the_settings_as_they_were(finished, land):
    before = dict(matplotlib.rcParams)
    draw(read(finished, land), "root_shares")
    assert dict(matplotlib.rcParams) == before


def test_a_figure_of_simulated_data_says_so(tmp_path):
    for simulated, texts in ((True, ["SIMULATED"]), (False, [])):
        figure = new_figure(1.0)
        save(np.array([figure.subplots()]), tmp_path / "figure.png", simulated=simulated)
        assert [text.get_text() for text in figure.texts] == texts


def test_a_run_without_two_modes_says_so(finished, land):
    results = read(finished, land)
    results.table("layers")["n_modes"] = 1
    figure = draw(results, "modes")
    assert "No layer" in figure.axes[0].texts[0].get_text()


def test_figures_belong_to_no_window():
    assert new_figure(2.0).canvas.manager is None


@pytest.mark.parametrize(("value", "text"), [(np.nan, "–"), ("", "–"), (0, "0"), (0.99999, "1.00"), (1e-4, "0.000100")])
def test_numbers_at_the_edges(value, text):
    assert number(value) == text


def test_a_layer_without_a_value_is_a_gap():
    ax = new_figure(1.0).subplots()
    _step_by_depth(ax, pd.Series({0: 5.0, 2: 7.0}), "black")
    x, y = ax.lines[0].get_data()
    np.testing.assert_array_equal(x[:6], [5, 5, np.nan, np.nan, 7, 7])
    assert list(y[:6]) == [edge for layer in LAYERS[:3] for edge in layer]


def test_every_figure_of_the_paper_is_found_by_its_number_and_gives_its_axes(finished, land):
    results = read(finished, land)
    numbers = [f"figure_{n}" for n in range(1, 6)] + [f"figure_ed{n}" for n in range(1, 10)] + ["figure_s5"]
    drawings = {draw for _, draw in figures.FIGURES.values()}
    assert {getattr(figures, name) for name in numbers} <= drawings
    axes = figures.figure_3(results)
    assert all(isinstance(ax, matplotlib.axes.Axes) for ax in axes)
    assert [ax.get_title(loc="left")[9] for ax in axes[:4]] == list("abcd")


@pytest.mark.parametrize(
    ("missing", "left_out"),
    [
        ("turnover_cv", {"turnover_held_out"}),
        ("turnover_sbc_ranks", {"turnover_sbc"}),
        ("learners_held_out", {n for n in NAMES if n.startswith("learners_")}),
    ],
)
def test_a_check_that_was_not_asked_for_has_no_figure(finished, land, missing, left_out):
    (finished / "tables" / f"{missing}.csv").unlink()
    assert set(NAMES) - {n for n, *_ in catalogue(read(finished, land))} == left_out


def test_axes_of_values_that_do_not_vary_have_a_length(finished, land):
    assert apart(1.0, 3.0) == (1.0, 3.0) and apart(0.0, 0.0) == (-0.1, 0.1) and apart(-2.0, -2.0) == (-2.2, -1.8)
    for name in ("held_out", "learners_held_out"):
        path = finished / "tables" / f"{name}.csv"
        pd.read_csv(path).assign(observed=0.5, mean=0.5).to_csv(path, index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = Results.read(finished, data=land.folder.parent)
        assert len(figures.figure_held_out(results)) and len(figures.figure_ed2(results))
