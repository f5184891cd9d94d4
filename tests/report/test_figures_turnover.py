"""Figures of the turnover fit and its checks: what is drawn is what the tables and the posterior say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from scipy.stats import binom

from bayes_rootc.constants import BIOMES, LAYER_NAMES, PROFILE_NAME
from bayes_rootc.mapping.variables import BIOME_COLOURS
from bayes_rootc.report.captions import caption
from bayes_rootc.report.figures_turnover import (
    BLUE,
    DEPTH_BINS,
    GREY,
    HISTORIES,
    SPREADS,
    figure_calibration,
    figure_held_out_profiles,
    figure_histories,
    figure_ladder,
    figure_persistence,
    figure_respired,
    figure_turnover,
    save_check_figures,
)
from bayes_rootc.report.results import Results
from bayes_rootc.report.style import BIOME_LABELS
from tests.drawn import assert_intervals, curves, dots, intervals, legend_names, row_names, title, varied_results

COEFFICIENTS = {"soil 1": (0.2, 0.1, 0.3), "soil 2": (0.1, -0.1, 0.3), "climate 1": (-0.3, -0.5, -0.1)}
"""Mean and interval: clearly above 0, neither, clearly below."""


@pytest.fixture(scope="module")
def results(land, tmp_path_factory) -> Results:
    found = varied_results(tmp_path_factory.mktemp("turnover"), land.folder.parent)
    path = found.out / "tables" / "turnover_population.csv"
    table = pd.read_csv(path).query("not parameter.str.startswith('coefficient')")
    rows = [
        {"parameter": f"coefficient[{n}]", "mean": m, "p025": a, "p975": b} for n, (m, a, b) in COEFFICIENTS.items()
    ]
    pd.concat([table, pd.DataFrame(rows)]).to_csv(path, index=False)
    return found


def test_ages_by_depth_and_biome_have_their_interval(results):
    ax = figure_turnover(results)[0]
    table = results.table("turnover_ages")
    assert legend_names(ax) == list(BIOME_LABELS.values())
    bands = dict(zip(BIOMES, ax.collections, strict=True))
    for biome, label in BIOME_LABELS.items():
        rows = table[table["biome"] == biome]
        np.testing.assert_allclose(curves(ax)[label], rows[["age_median", "depth_cm"]])
        corners = {tuple(v) for v in np.round(bands[biome].get_paths()[0].vertices, 6)}
        for key in ("age_p025", "age_p975"):
            assert {tuple(v) for v in np.round(rows[[key, "depth_cm"]].to_numpy(), 6)} <= corners
    colours = [line.get_color() for line in ax.lines]
    assert colours == list(BIOME_COLOURS.values())
    assert ax.get_xlabel() == "carbon age (yr, log scale)" and ax.get_xscale() == "log"
    assert ax.get_ylabel() == "depth (cm)" and ax.yaxis_inverted()


def test_what_stays_falls_with_time_and_has_its_band(results):
    left, right = figure_persistence(results)
    table = results.table("persistence")
    rows = table[(table["biome"] == 0) & (table["layer"] == PROFILE_NAME) & (table["estimate"] == "mean")]
    for name, family in (("0–200 cm", "log-normal"), ("one pool", "one pool")):
        of_family = rows[rows["family"] == family]
        np.testing.assert_allclose(curves(left)[name], of_family[["t_years", "ibulk_median"]])
    low, high = (rows.loc[rows["family"] == "log-normal", f"ibulk_{end}"].to_numpy() for end in ("p025", "p975"))
    corners = left.collections[0].get_paths()[0].vertices[:, 1]
    assert corners.min() == pytest.approx(low.min()) and corners.max() == pytest.approx(high.max())
    age, transit = intervals(right)
    assert set(np.round(age["middle"], 6)) == {900.0} and set(np.round(transit["middle"], 6)) == {300.0}
    assert row_names(right) == [f"{name.replace('-', '–')} cm" for name in (*LAYER_NAMES, PROFILE_NAME)]


def test_rungs_stand_in_their_order_with_share_and_input(results):
    left, right = figure_ladder(results)
    table = results.table("ladder")
    (share,), (ibulk,) = intervals(left), intervals(right)
    np.testing.assert_allclose(share["middle"], 100 * table["share_median"])
    np.testing.assert_allclose(ibulk["middle"], table["ibulk_median"])
    assert row_names(left) == [f"{n}  {what}" for n, what in zip(table["rung"], table["what"], strict=True)]
    assert "from “log-normal rates” to “log-normal rates, > 100 yr” (+40 points)" in caption(results, "ladder")


def test_respired_carbon_stands_beside_that_of_one_pool(results):
    left, right = figure_respired(results)
    (model,) = intervals(left)
    assert set(np.round(model["middle"])) == {70.0, 90.0, 120.0, 190.0}  # one layer in each of four classes of depth
    measured = next(line for line in left.lines if line.get_label() == "measured")
    assert set(measured.get_xdata()) == {70.0} and set(measured.get_ydata()) == {5.0, 25.0, 55.0, 125.0}
    points = {line.get_label(): line for line in right.lines}
    assert set(points["model (95 %)"].get_xdata()) == {0.0, 60.0}
    assert set(points["one pool: as bulk carbon"].get_xdata()) == {-50.0}


def test_coefficients_are_coloured_where_their_sign_is_clear(results):
    ax = figure_turnover(results)[1]
    (found,) = intervals(ax)
    assert_intervals(found, *np.transpose(list(COEFFICIENTS.values())))
    assert row_names(ax) == list(COEFFICIENTS)
    assert found["colour"].tolist() == [to_rgba(c) for c in (BLUE, GREY, BLUE)]


def test_spreads_stand_beside_their_priors(results):
    ax = figure_turnover(results)[2]
    posterior, prior = (results.turnover[name].to_dataset() for name in ("posterior", "prior"))
    shown = [name for name in SPREADS if name in posterior]
    assert row_names(ax) == [SPREADS[name] for name in shown] and len(shown) == 4
    bars = [line for line in ax.lines if len(line.get_xdata()) == 2]
    middles = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    of = [(name, draws) for name in shown for draws in (prior[name], posterior[name])]
    for (name, draws), bar, middle in zip(of, bars, middles, strict=True):
        want = np.quantile(draws, [0.025, 0.5, 0.975]) / (100 if name == "model_sd" else 1)
        np.testing.assert_allclose([bar.get_xdata()[0], middle, bar.get_xdata()[1]], want)
    assert {bar.get_color() for bar in bars[::2]} == {GREY} and {bar.get_color() for bar in bars[1::2]} == {BLUE}
    assert "100 ‰" in row_names(ax)[shown.index("model_sd")]  # the unit that the misfit is counted in


def test_predictive_bands_hold_95_per_cent_of_the_replicates_of_a_depth(results):
    ax = figure_turnover(results)[3]
    tree = results.turnover
    constants = tree["constant_data"].to_dataset()
    depth = ((constants["top"] + constants["bottom"]) / 2).values
    observed = tree["observed_data"].to_dataset()["delta14c"].values
    np.testing.assert_array_equal(dots(ax, "measured")[0], np.column_stack([observed, depth]))
    number = np.digitize(depth, DEPTH_BINS) - 1
    bins = [i for i in range(len(DEPTH_BINS) - 1) if (number == i).sum() >= 5]
    assert len(bins) > 1
    for group, band in zip(("prior_predictive", "posterior_predictive"), ax.collections, strict=True):
        drawn = tree[group].to_dataset()["delta14c"].values[0]
        corners = {tuple(v) for v in np.round(band.get_paths()[0].vertices, 4)}
        for i in bins:
            middle = (DEPTH_BINS[i] + DEPTH_BINS[i + 1]) / 2
            for end in np.quantile(drawn[:, number == i], [0.025, 0.975]):
                assert (round(end, 4), middle) in corners
    assert legend_names(ax) == ["prior predictive, 95 %", "posterior predictive, 95 %", "measured"]
    assert ax.get_xlabel() == "Δ¹⁴C (‰)" and ax.get_ylabel() == "depth (cm)" and ax.yaxis_inverted()


def test_held_out_profiles_have_their_pit_and_their_coverage(results):
    pit, coverage = figure_held_out_profiles(results)
    (steps,) = pit.patches
    held_out = results.table("turnover_held_out")["pit"]
    values, edges, _ = steps.get_data()
    np.testing.assert_allclose(values, 100 * np.histogram(held_out, edges)[0] / len(held_out))
    assert values.sum() == pytest.approx(100) and len(values) == 20
    (line,) = pit.lines
    assert line.get_ydata()[0] == 100 / len(values)  # flat, if all is well
    scores = results.table("turnover_cv")
    (found,) = intervals(coverage)
    middle, half = 100 * scores["coverage95"], 196 * scores["coverage95_se"]
    assert_intervals(found, middle, middle - half, np.minimum(middle + half, 100))
    assert row_names(coverage) == [f"{c} (30)" for c in scores["class"]]
    assert "(%)" in pit.get_ylabel() and "(%" in coverage.get_xlabel()


def test_ranks_of_the_truth_are_counted_within_a_band_of_chance(results):
    panels = figure_calibration(results)
    ranks = results.table("turnover_sbc_ranks")
    shown = [ax for ax in panels if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in shown] == list(ranks)
    for ax, name in zip(shown, ranks, strict=True):
        band, steps = ax.patches
        counts, edges, _ = steps.get_data()
        assert len(counts) == 6  # a fifth of 30 simulations
        np.testing.assert_array_equal(counts, np.histogram(ranks[name], edges)[0])
        low, high = binom.ppf([0.025, 0.975], 30, 1 / 6)
        assert (band.get_y(), band.get_y() + band.get_height()) == (low, high)
        assert ax.get_xlabel() == "rank of the truth"
    assert shown[0].get_ylabel() == "simulations"


def test_both_histories_stand_beside_each_other(results):
    age, density = figure_histories(results)
    table = results.table("turnover_prehistory")
    for ax, quantity in ((age, "carbon age"), (density, "I_bulk density")):
        assert row_names(ax) == ["0–30 cm", "30–100 cm"]
        for found, history in zip(intervals(ax), HISTORIES, strict=True):
            rows = table[(table["quantity"] == quantity) & (table["prehistory"] == history)]
            assert_intervals(found, rows["median"], rows["p025"], rows["p975"])
            assert found["y"].round().tolist() == [0, 1]
    assert legend_names(density) == list(HISTORIES.values())
    assert "(yr, log scale)" in age.get_xlabel() and "(kg C m⁻³ yr⁻¹, log scale)" in density.get_xlabel()


def test_figures_of_checks_are_those_whose_tables_are_there(finished, land):
    (finished / "tables" / "turnover_cv.csv").unlink()
    (finished / "tables" / "turnover_prehistory.csv").unlink()
    save_check_figures(Results.read(finished, data=land.folder.parent), simulated=False)
    assert sorted(path.name for path in (finished / "figures").iterdir()) == ["turnover.png", "turnover_sbc.png"]


def test_panels_say_what_they_show(results):
    titles = [title(ax) for ax in figure_turnover(results)]
    assert titles[0] == "median age by depth and biome" and titles[1] == "change of log k for 1 sd of a component"
    assert [title(ax) for ax in figure_held_out_profiles(results)] == [
        "where observations fall (PIT)",
        "coverage of 95 % intervals",
    ]
