"""Figure 5 is drawn to scale: widths and bars are the medians, and the numbers beside them those of the tables."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import PathPatch, Rectangle

from bayes_rootc.constants import LAYER_NAMES, LAYERS
from bayes_rootc.report.captions import number
from bayes_rootc.report.figures_schematic import RIVER, figure_5
from bayes_rootc.report.results import Results
from bayes_rootc.report.style import FLUX_COLOURS, FLUX_LABELS, FLUX_UNIT
from tests.drawn import legible, texts, title, varied_results
from tests.report.conftest import made_up

WHERE = "mean of 6 estimates"


@pytest.fixture(scope="module")
def results(land, tmp_path_factory) -> Results:
    """With fluxes by layer: in the deepest, less is put in than arrives."""
    found = varied_results(tmp_path_factory.mktemp("schematic"), land.folder.parent)
    rows = []
    for i, layer in enumerate(LAYER_NAMES):
        fluxes = {"ibulk": 0.4 / 2**i, "iloss": (1.2 if i < 6 else -0.1) / 2**i, "share": 0.75 - 0.1 * i}
        rows += [{"layer": layer, "quantity": q, "where": WHERE, "of": v} for q, v in fluxes.items()]
    made_up("summary_depth", *rows).to_csv(found.out / "tables" / "summary_depth.csv", index=False)
    return found


def test_the_river_parts_by_the_share_that_is_lost(results):
    parting, _ = figure_5(results)
    summary = results.table("summary_global")
    summary = summary[summary["where"].str.startswith("mean of")].set_index("quantity")
    share = summary.loc["share", "median"]
    lost, kept = (p for p in parting.patches if isinstance(p, PathPatch))
    for band, width, flux in ((lost, RIVER * share, "iloss"), (kept, RIVER * (1 - share), "ibulk")):
        start = band.get_path().vertices[:, 1][band.get_path().vertices[:, 0] == 0]
        assert np.ptp(start) == pytest.approx(width) and band.get_facecolor()[:3] == to_rgba(FLUX_COLOURS[flux])[:3]
    root, loss, bulk = texts(parting)
    for text, flux in ((root, "iroot"), (loss, "iloss"), (bulk, "ibulk")):
        row = summary.loc[flux]
        assert text.startswith(FLUX_LABELS[flux])
        assert f"{number(row['median'])} ({number(row['p025'])} to {number(row['p975'])})" in text
    assert f"{number(100 * share)} %" in loss and f"of {FLUX_LABELS['iroot']}" in loss
    assert title(parting) == f"0–200 cm, {FLUX_UNIT}"


def test_layers_have_what_arrives_and_what_is_lost_end_to_end(results):
    _, by_depth = figure_5(results)
    table = results.table("summary_depth").pivot(index="layer", columns="quantity", values="median")
    bars = [p for p in by_depth.patches if isinstance(p, Rectangle)]
    for (top, bottom), layer, arrives, lost in zip(LAYERS, LAYER_NAMES, bars[::2], bars[1::2], strict=True):
        row = table.loc[layer]
        assert (arrives.get_x(), arrives.get_width()) == pytest.approx((0, row["ibulk"]))
        ends = sorted([lost.get_x(), lost.get_x() + lost.get_width()])
        assert ends == pytest.approx(sorted([row["ibulk"], row["ibulk"] + row["iloss"]]))
        for bar in (arrives, lost):
            assert bar.get_y() + bar.get_height() / 2 == (top + bottom) / 2
            assert top < bar.get_y() and bar.get_y() + bar.get_height() < bottom
    assert texts(by_depth) == [f"{100 * table.loc[layer, 'share']:.0f} % lost" for layer in LAYER_NAMES]
    assert by_depth.get_ylim() == (200, 0) and by_depth.get_ylabel() == "depth (cm)"
    assert by_depth.get_yticks().tolist() == sorted({edge for layer in LAYERS for edge in layer})
    assert FLUX_UNIT in by_depth.get_xlabel()


def test_its_words_can_be_read(results):
    assert legible(figure_5(results)[0].figure) == []
