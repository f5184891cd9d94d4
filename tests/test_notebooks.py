"""The notebooks run from top to bottom, with public names only, and show what they found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bayes_rootc

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LONGEST = FOLDER / "own_table.ipynb"
"""Run by a module of its own, and so by another worker than the rest."""


def code_of(notebook: Path) -> list[dict]:
    return [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def without_numbers(text: str) -> str:
    """Text whose numbers may differ in the last digit on another machine."""
    return re.sub(r"[-+\d.,]+", "#", text)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_was_executed_and_uses_public_names_only(notebook):
    cells = code_of(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    source = "\n".join("".join(cell["source"]) for cell in cells)
    assert set(re.findall(r"\brc\.(\w+)", source)) <= set(bayes_rootc.__all__)
    assert not re.search(r"\b_\w|\._|from bayes_rootc", source)
    assert sum(bool(cell["outputs"]) for cell in cells) > len(cells) / 2
    assert notebook.stat().st_size < 150_000


@pytest.mark.compiled
@pytest.mark.parametrize("notebook", [n for n in NOTEBOOKS if n != LONGEST], ids=lambda path: path.stem)
def test_a_notebook_runs(notebook, tmp_path):
    check_run(notebook, tmp_path)


def check_run(notebook: Path, tmp_path: Path) -> None:
    """Runs the code of a notebook, which must say what its outputs say, but for numbers."""
    script = tmp_path / "notebook.py"
    script.write_text("\n".join("".join(cell["source"]) for cell in code_of(notebook)), encoding="utf-8")
    environment = os.environ | {"MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    for cell in code_of(notebook):
        for output in cell["outputs"]:
            if output["output_type"] == "stream":
                assert without_numbers("".join(output["text"])) in without_numbers(done.stdout)
