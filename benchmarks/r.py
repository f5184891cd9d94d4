"""Packages of R, where R is there: each has a script beside this, which says what its work took."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pandas as pd

from .case import Seconds


def has(package: str) -> bool:
    """Whether R and its package are there."""
    if not shutil.which("Rscript"):
        return False
    asked = ["Rscript", "-e", f'cat(requireNamespace("{package}", quietly = TRUE))']
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout == "TRUE"


def run(package: str, *tables: pd.DataFrame) -> Seconds:
    """Runs its script on the tables, as CSV files."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.csv" for i in range(len(tables))]
        for path, table in zip(paths, tables, strict=True):
            table.to_csv(path, index=False)
        command = ["Rscript", str(Path(__file__).with_name(f"{package}.R")), *map(str, paths)]
        return Seconds(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
