"""What a map costs, before it is made."""

from __future__ import annotations

import re
import tempfile

import pytest

from bayes_rootc.cli import main
from bayes_rootc.data.covariates import CovariateStack
from bayes_rootc.mapping import cost
from bayes_rootc.mapping.cost import MEMORY, _in_time, _overviews
from bayes_rootc.memory import peak_memory_gib
from tests.mapping.small_map import command

pytestmark = pytest.mark.thorough


def test_a_plan_is_a_table_and_leaves_no_file(job, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "SAMPLE", 2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    arguments = command(job, "--plan", "--workers", "3")
    before = {path: path.stat().st_mtime_ns for path in job.out.rglob("*")}
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in job.out.rglob("*")} == before
    assert list(tmp_path.iterdir()) == []
    said = capsys.readouterr().out
    rows = dict(re.findall(r"^│ (.+?) +│ (.+?) +│$", said, re.MULTILINE))
    biome = CovariateStack(job.covariates).on_grid(job.grid, [])["biome"].values
    land = int((biome > 0).sum())
    with_land = sum(bool((biome[r : r + job.tile, c : c + job.tile] > 0).any()) for r, c in job.places())
    assert rows["cells"] == f"4,050, {land:,} of them land"
    assert rows["tiles"] == f"15 of 20 × 20 cells, {with_land} of them with land"
    further = 2 * 2e3 * 400  # bytes of two more workers in tiles of 400 cells
    taken = (peak_memory_gib() or MEMORY) * 2**30 + further
    assert float(rows["memory, 3 workers"].removesuffix(" GB")) == pytest.approx(taken / 1e9, abs=0.06)
    assert rows["time on 256 cores"].endswith(f"({with_land} used, a tile each)")
    assert set(rows) >= {"time on 1 core", "time on 16 cores", "joining, on one machine", "GeoTIFFs (cog)"}
    assert re.search(r"1 tile drawn at random and the one with most land, [\d,]+ cells of land", " ".join(said.split()))


def test_fewer_and_rounder_maps_take_less_room(job, capsys, monkeypatch):
    monkeypatch.setattr(cost, "SAMPLE", 2)

    def sizes(*more: str) -> list[float]:
        assert main(command(job, "--plan", *more)) == 0
        return [float(size) for size in re.findall(r"│ ([\d.e-]+) GB[ ,]", capsys.readouterr().out)[1:]]

    exact, rounded, few = sizes("--precision", "0"), sizes(), sizes("--layers", "0-200", "--statistics", "mean")
    assert len(exact) == 3
    assert all(a > b > 3 * c for a, b, c in zip(exact, rounded, few, strict=True)), (exact, rounded, few)


def test_a_box_of_sea_costs_nothing_and_says_so(job, capsys):
    assert main([*command(job, "--plan"), "--bbox", "-179", "-89", "-170", "-80"]) == 2
    assert "no land cell" in capsys.readouterr().err


def test_overviews_add_a_third_to_a_large_map():
    assert _overviews(512) == 1 and _overviews(1024) == 1.25 and _overviews(1e6) == pytest.approx(4 / 3, rel=1e-5)


def test_times_are_in_the_unit_that_one_would_say():
    assert [_in_time(s) for s in (0.1, 90, 600, 8000, 3e5)] == ["1 s", "90 s", "10.0 min", "2.2 h", "3.5 days"]
