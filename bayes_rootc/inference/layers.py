"""The turnover posterior as a file: draws of log k for every measured layer, as an ArviZ DataTree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..files import atomic_path

CONSTANTS = ("lat", "lon", "top", "bottom", "year", "sigma", "biome")


def save_layers(path: Path, layers: pd.DataFrame, log_k: NDArray, replicated: NDArray) -> None:
    """Writes `posterior` (log k), `posterior_predictive`, `observed_data` (Δ14C, ‰), `constant_data`, by layer id.

    Parameters
    ----------
    layers : `id`, `delta14c` and `CONSTANTS`. log_k, replicated : (layer, draw), independent draws: one chain.
    """
    import arviz as az

    tree = az.from_dict(
        {
            "posterior": {"log_k": log_k.T[None].astype(np.float32)},
            "posterior_predictive": {"delta14c": replicated.T[None].astype(np.float32)},
            "observed_data": {"delta14c": layers["delta14c"].to_numpy()},
            "constant_data": {name: layers[name].to_numpy() for name in CONSTANTS},
        },
        coords={"layer": layers["id"].to_numpy(str)},
        dims={name: ["layer"] for name in ("log_k", "delta14c", *CONSTANTS)},
    )
    with atomic_path(path) as temporary:
        tree.to_netcdf(temporary, engine="h5netcdf")
