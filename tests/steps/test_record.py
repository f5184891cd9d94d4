"""What stands beside results: each part is replaced by itself."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from bayes_rootc.data.tables import SourceCheck
from bayes_rootc.memory import peak_memory_gib
from bayes_rootc.steps.record import MAP_CELLS, write_checks

STATUS = Path("/proc/self/status")


def source(name: str, used: int) -> SourceCheck:
    return SourceCheck(name, "a.csv", used + 1, used, {"no value": 1})


def used(out) -> dict[str, int]:
    table = pd.read_csv(out / "tables" / "checks.csv")
    return dict(table[table["what"] == "used"].set_index("source")["rows"])


def test_inputs_and_map_cells_are_replaced_by_themselves(tmp_path):
    write_checks(tmp_path, [source("npp", 5), source("roots", 6)])
    write_checks(tmp_path, [source(f"{MAP_CELLS} 1°", 7)])
    assert used(tmp_path) == {"npp": 5, "roots": 6, f"{MAP_CELLS} 1°": 7}
    write_checks(tmp_path, [source("npp", 8)])
    write_checks(tmp_path, [source(f"{MAP_CELLS} 2°", 9)])
    assert used(tmp_path) == {"npp": 8, f"{MAP_CELLS} 2°": 9}


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\x00", b'source,"\n'])
def test_a_damaged_table_is_replaced(tmp_path, content):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "checks.csv").write_bytes(content)
    write_checks(tmp_path, [source("npp", 5)])
    assert used(tmp_path) == {"npp": 5}


@pytest.mark.skipif(not STATUS.is_file(), reason="only Linux says it in a second way")
def test_peak_memory_is_in_gib():
    (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert peak_memory_gib() == pytest.approx(int(peak) / 2**20, rel=0.1)


def test_a_system_without_that_record_has_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory_gib() is None
