"""What learners are to learn, and the spatial blocks that test them far from their training data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.folder import Inputs
from .blocks import Variogram, residual_variogram, spatial_blocks
from .learners import TrainingData, design_matrix


@dataclass(frozen=True)
class Task(TrainingData):
    """What a learner is to learn, and where it comes from.

    Attributes
    ----------
    table : DataFrame
        The rows, with `biome`, `lat`, `lon` and, for layers, `top` and `bottom`.
    features : list of str
        Names of the columns of `X`.
    block_km : float
        Side of a spatial block, km.
    variogram : Variogram
        Variogram of the residuals, from which the side follows by default.
    """

    table: pd.DataFrame
    features: list[str]
    block_km: float
    variogram: Variogram


def learner_tasks(
    inputs: Inputs, stocks: pd.DataFrame, density: NDArray, *, block_km: float | None, seed: int
) -> dict[str, Task]:
    """The three responses: log I_root of NPP sites, log I_bulk per cm of radiocarbon layers, logit f_BNPP of sites.

    Parameters
    ----------
    stocks : DataFrame
        Carbon stocks of the layers (`stock`, NaN where unknown).
    density : ndarray
        Draws of I_bulk per cm of depth, Mg C ha⁻¹ yr⁻¹ cm⁻¹, (layer, draw).
    block_km : float, optional
        Side of the blocks of spatial validation; None: what the variogram of the residuals asks for.
    """

    def task(table: pd.DataFrame, y: NDArray, label: str, depth: NDArray | None = None) -> Task:
        X, features = design_matrix(table, inputs.features, depth)
        site = table[label].to_numpy(str)
        variogram = residual_variogram(X, y, site, table["lat"], table["lon"], seed=seed)
        side = block_km or variogram.block_km
        return Task(X, y, site, spatial_blocks(table["lat"], table["lon"], side), table, features, side, variogram)

    npp, known = inputs.npp, inputs.npp["f_bnpp"].notna()
    stocked = (stocks["stock"].notna() & inputs.layers["has_covariates"]).to_numpy()
    layers = inputs.layers[stocked]
    f_bnpp = npp.loc[known, ["f_bnpp"]].to_numpy()
    return {
        "iroot": task(npp, np.log(npp[["bnpp"]].to_numpy()), "id"),
        "ibulk": task(layers, np.log(density[stocked]), "profile", layers[["top", "bottom"]].to_numpy()),
        "f_bnpp": task(npp[known], np.log(f_bnpp / (1 - f_bnpp)), "id"),
    }


def variogram_table(tasks: dict[str, Task]) -> pd.DataFrame:
    """`target`, the classes of its variogram, the model's `fitted` semivariance, `range_km`, and `block_km`."""
    parts = []
    for target, task in tasks.items():
        found = task.variogram
        classes = found.classes.assign(fitted=found.model(found.classes["distance_km"]))
        parts.append(classes.assign(range_km=found.range_km, block_km=task.block_km).assign(target=target))
    table = pd.concat(parts, ignore_index=True)
    return table[["target", *table.columns.drop("target")]]
