"""The tutorial does what it says, in as few lines as it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

pytestmark = pytest.mark.whole_run

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.py"


@pytest.mark.slow
def test_the_tutorial_runs_from_data_to_map(tmp_path):
    assert len(TUTORIAL.read_text(encoding="utf-8").splitlines()) < 60
    environment = os.environ | {"MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, TUTORIAL, tmp_path], env=environment, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("in 2008") == 2 and "tau_profile" in done.stdout
    for name in ("spreads.png", "loss.png"):
        assert np.ptp(imread(tmp_path / name)) > 0.5, name  # it can be read, and is not blank
    assert "</html>" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "out" / "tables" / "datapackage.json").read_text(encoding="utf-8"))["resources"]
