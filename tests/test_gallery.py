"""The gallery: one idea a page, a few lines with public names only, and the figure that these lines draw."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

import bayes_rootc

GALLERY = Path(__file__).parents[1] / "docs" / "gallery"
PAGES = sorted(set(GALLERY.glob("*.md")) - {GALLERY / "index.md"})

DRAW = """
for number, axes in enumerate(plt.gcf().axes):
    assert axes.get_xlabel() and (number or axes.get_ylabel()), "an axis without a label"
plt.gcf().savefig("figure.png")
"""


def code_of(page: Path) -> str:
    (code,) = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return code


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_is_short_and_uses_public_names_only(page):
    code = code_of(page)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 15 and max(map(len, lines)) <= 120
    assert set(re.findall(r"\brc\.(\w+)", code)) <= set(bayes_rootc.__all__)
    assert re.search(r"\brc\.\w", code) and not re.search(r"\._|from bayes_rootc", code)
    text = page.read_text(encoding="utf-8")
    assert re.search(r"^<!-- figure: .{30,} -->$", text, re.MULTILINE)  # a description for those who cannot see it
    assert len(re.findall(r"^#+ ", text.replace(code, ""), re.MULTILINE)) == 1


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_draws_its_figure(page, tmp_path):
    script = tmp_path / "page.py"
    script.write_text(code_of(page) + DRAW, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "agg", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert np.ptp(imread(tmp_path / "figure.png")) > 0.5  # not blank
