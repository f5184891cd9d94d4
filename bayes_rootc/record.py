"""What stands beside the results of a run: what made them (`run.json`), and whether each fit is to be trusted."""

from __future__ import annotations

from importlib.metadata import version

import pandas as pd

from . import demo
from .data.folder import Inputs
from .files import write_csv, write_json
from .settings import RunSettings


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
            "input_sha256": inputs.files,
            "seconds": {name: round(s, 2) for name, s in seconds.items()},
            "peak_memory_gib": _peak_memory_gib(),
        },
    )


def _peak_memory_gib() -> float:
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
