"""The script that measures a GPU, on processors: it runs, and it sees a difference."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bayes_rootc.files import write_json
from benchmarks.gpu import PARTS, compared, difference


@pytest.mark.thorough
def test_without_a_gpu_it_compares_processors_with_themselves(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--json", str(tmp_path / "gpu.json")]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no GPU") and all(name in done.stdout for name in PARTS)
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    apart = {row["part"]: row["difference"] for row in found["parts"]}
    assert found["gpu"] is None and list(apart) == list(PARTS)
    assert all(row["per_second_device"] > 0 for row in found["parts"]) and set(apart.values()) == {0.0}


def test_a_difference_is_relative_to_a_number_and_to_others_like_it():
    one = {"a": np.array([1.0, 100.0, np.nan]), "b": np.zeros(3)}
    assert difference(one, one) == 0
    assert difference(one | {"a": np.array([1.01, 100.0, np.nan])}, one) == pytest.approx(0.01 / (1 + 50.5))
    assert difference(one | {"a": np.array([1.0, 100.0, 1.0])}, one) == np.inf
    assert difference(one | {"b": np.zeros(2)}, one) == np.inf


def test_a_part_that_differs_is_named_and_one_that_is_not_finished_left_out(tmp_path):
    for folder, value in (("device", 1.0), ("processors", 1.001)):
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "invert.npz", k_mean=np.array([value]))
        write_json(tmp_path / folder / "invert.json", {"unit": "layers", "count": 10, "limit": 1e-8, "seconds": 0.5})
    write_json(tmp_path / "device" / "members.json", {})
    (row,) = compared(tmp_path / "device", tmp_path / "processors")
    assert row["part"] == "invert" and row["per_second_device"] == 20 and not row["agrees"]
