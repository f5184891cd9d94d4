"""The page of the documentation on a run of the public data, from the tables of a run."""

import runpy
from pathlib import Path

import pandas as pd
import pytest

from bayes_rootc.report.captions import posterior
from bayes_rootc.report.results import Results

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "run_page.py"))


def test_the_page_has_the_numbers_of_the_tables(quick_run):
    lines = list(TOOL["page"](Results.read(quick_run)))
    text = "\n".join(lines)
    assert "nan" not in text and "None" not in text
    totals = pd.read_csv(quick_run / "tables" / "map_totals.csv")
    world = totals[(totals["biome_name"] == "global") & (totals["layer"] == "0-200")].iloc[0]
    assert f"| {posterior(world, 'ibulk_pg_')} |" in text
    fits = pd.read_csv(quick_run / "tables" / "diagnostics.csv")
    assert [line.split(" | ")[0] for line in lines[-len(fits) - 1 : -1]] == ["| " + fit for fit in fits["fit"]]


def test_a_run_of_the_demo_world_is_refused(quick_run, monkeypatch):
    monkeypatch.setattr("sys.argv", ["run_page.py", str(quick_run)])
    with pytest.raises(SystemExit, match="public data"):
        TOOL["main"]()
