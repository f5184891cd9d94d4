"""The record that goes with the results of a run: what made them (`run.json`), what was used of each source, and
whether each fit can be trusted.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pandas as pd

from .. import demo
from ..commit import commit
from ..data.folder import Inputs
from ..data.tables import SourceCheck
from ..files import write_csv, write_json
from ..memory import peak_memory_gib
from ..report.tables import checks_table
from ..settings import RunSettings

MAP_CELLS = "map cells at"
"""How map cells are called among the sources of `tables/checks.csv`; their resolution follows."""


def write_checks(out: Path, checks: list[SourceCheck]) -> None:
    """Puts what was used of all inputs, or of the cells of a map, into `tables/checks.csv`; the other part stays."""
    path, table = out / "tables" / "checks.csv", checks_table(checks)
    try:
        known = pd.read_csv(path)
    except (FileNotFoundError, ValueError):
        known = table[:0]
    if list(known) != list(table):
        known = table[:0]
    parts = _inputs_and_cells(known) | _inputs_and_cells(table)
    write_csv(path, pd.concat([parts[of_map] for of_map in sorted(parts)], ignore_index=True))


def _inputs_and_cells(table: pd.DataFrame) -> dict[bool, pd.DataFrame]:
    return {bool(of_map): part for of_map, part in table.groupby(table["source"].str.startswith(MAP_CELLS))}


def write_diagnostics(settings: RunSettings, row: dict[str, object]) -> None:
    """Puts the row of a fit into `tables/diagnostics.csv`, in place of an older one of the same fit."""
    path = settings.out / "tables" / "diagnostics.csv"
    kept = pd.read_csv(path) if path.exists() else pd.DataFrame()
    if len(kept):
        kept = kept[kept["fit"] != row["fit"]]
    write_csv(path, pd.concat([kept, pd.DataFrame([row])], ignore_index=True))


def record_run(inputs: Inputs, settings: RunSettings, seconds: dict[str, float]) -> None:
    """`run.json`: what made these numbers."""
    packages = ("bayes-rootc", "numpy", "scipy", "pandas", "xarray", "scikit-learn", "jax", "pymc", "arviz", "rasterio")
    write_json(
        settings.out / "run.json",
        {
            "settings": settings.model_dump(mode="json"),
            "seed": settings.seed,
            "simulated": demo.is_simulated(inputs.folder),
            "atmosphere": inputs.atmosphere.source,
            "versions": {p: version(p) for p in packages},
            "commit": commit(),
            "input_sha256": inputs.files,
            "seconds": {name: round(s, 2) for name, s in seconds.items()},
            "peak_memory_gib": peak_memory_gib(),
        },
    )
