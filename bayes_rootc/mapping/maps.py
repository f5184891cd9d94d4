"""What a map says in each cell: I_root, I_bulk and I_loss with their uncertainty, and where they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..constants import LAYERS
from ..data.covariates import CovariateStack
from ..data.grid import MapGrid
from ..data.netcdf import open_dataset
from . import forest_device
from .forest import CompiledForest
from .learners import FluxModel, Learners, design_matrix
from .monte_carlo import LogNormals, Statistics, coherent_statistics, independent_statistics
from .persistence_forests import PersistenceForests, persistence_statistics
from .totals import BAND_DEGREES, THICKNESS_CM, Totals, Trees, sum_cells
from .zones import Shares

MEMBER_CELLS = 4096
"""Cells whose trees are held at once in coherent mode: with 500 of them, 66 MB."""


def read_root_shares(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of the layers in root carbon, `predictive` of a new site and `expected` of a biome, (draw, biome, layer),
    from `posterior/root_shares.nc`.

    Raises
    ------
    InputError
        The file is not readable, or not one of ours.
    """
    with open_dataset(path, ("predictive", "expected"), command="fit root-depth") as shares:
        return shares["predictive"].values, shares["expected"].values


@dataclass(frozen=True)
class LandCells:
    """The cells that are mapped and their predictors; `lacking` more of land lack a covariate.

    Attributes
    ----------
    index : ndarray
        Places in the flattened grid, (n,).
    biome : ndarray
        1–9, (n,).
    X : ndarray
        (n, features).
    """

    grid: MapGrid
    index: NDArray[np.int64]
    biome: NDArray[np.int64]
    X: NDArray[np.float32]
    lacking: int = 0

    @property
    def area_ha(self) -> NDArray[np.float64]:
        """Area of each cell."""
        return self.grid.area_ha.ravel()[self.index]

    @property
    def lat(self) -> NDArray[np.float64]:
        """Latitude of each cell."""
        return np.repeat(self.grid.lat, self.grid.shape[1])[self.index]

    @property
    def number(self) -> NDArray[np.int64]:
        """Number of each cell on the whole globe at this resolution: the same whatever part is mapped."""
        lon = np.tile(self.grid.lon, self.grid.shape[0])[self.index]
        row, col = np.floor((90 - self.lat) / self.grid.resolution), np.floor((lon + 180) % 360 / self.grid.resolution)
        return (row * np.ceil(360 / self.grid.resolution) + col).astype(np.int64)


def land_cells(covariates: CovariateStack, grid: MapGrid, *, nearest_km: float) -> LandCells:
    """Land cells with every covariate."""
    stack = covariates.on_grid(grid, covariates.features, nearest_km=nearest_km)
    biome = stack["biome"].values.ravel()
    land = np.flatnonzero(biome > 0)
    values = pd.DataFrame({name: stack[name].values.ravel()[land] for name in covariates.features})
    whole = values.notna().all(axis=1).to_numpy()
    index = land[whole]
    X, _ = design_matrix(values[whole].assign(biome=biome[index]), covariates.features)
    return LandCells(grid, index, biome[index].astype(np.int64), X, int((~whole).sum()))


@dataclass(frozen=True)
class MapModels:
    """What maps are made from: forests of log I_root of the profile and of log I_bulk per cm, and root shares of the
    seven layers by biome, (draw, 9, 7): of one new site, and expected of the biome.
    """

    iroot: FluxModel
    ibulk: FluxModel
    predictive_shares: NDArray[np.float64]
    expected_shares: NDArray[np.float64]
    persistence: Mapping[str, FluxModel] = field(default_factory=dict)
    """Forests of how long carbon stays, by quantity."""

    @classmethod
    def of(
        cls,
        learners: Learners,
        predictive_shares: NDArray,
        expected_shares: NDArray,
        persistence: PersistenceForests | None = None,
    ) -> MapModels:
        """The forests of the fitted learners, with the root shares."""
        more = persistence.models(learners.ibulk) if persistence else {}
        return cls(learners.iroot, learners.ibulk, predictive_shares, expected_shares, more)

    @cached_property
    def forests(self) -> tuple[CompiledForest, CompiledForest]:
        """Compiled forests: I_root of the profile, and I_bulk of the seven layers."""
        return self.iroot.forest.compiled(), self.ibulk.forest.compiled(LAYERS)


def map_cells(
    cells: LandCells, models: MapModels, *, members: int, seed: int, coherent: bool, zones: Shares | None = None
) -> tuple[Statistics, Totals]:
    """Statistics of every cell, and totals.

    Parameters
    ----------
    members, seed : int
        Number and seed of independent members.
    coherent : bool
        Use the trees of the forests as members of each cell, in place of independent members.
    zones : Shares, optional
        Shares of the zones in each cell, counted from 0, including the part in no zone (`Shares.of`).

    Returns
    -------
    tuple of Statistics, Totals
        Statistics as `independent_statistics` gives them, (n, 8); and `iroot_applicability`, `ibulk_applicability`: the
        dissimilarity from the training data over its threshold, up to 1 inside the area of applicability, of the layer
        that is farthest outside, (n,).
    """
    X, root, bulk = cells.X, models.iroot.calibration, models.ibulk.calibration
    (root_mean, root_sd), (bulk_mean, bulk_sd) = (_mean_and_std(forest, X) for forest in models.forests)
    root_factor, bulk_factor = models.iroot.log_factor(X), models.ibulk.log_factor(X, LAYERS)
    log_bulk = bulk_mean + bulk_factor + np.log(THICKNESS_CM)
    scaled = root_mean + root_factor, root.stretch * root_sd, log_bulk, bulk.stretch * bulk_sd
    statistics = independent_statistics(
        LogNormals(*scaled, cells.biome, cells.number),
        models.predictive_shares,
        members=members,
        seed=seed,
        profile_correlation=bulk.profile_correlation,
    )
    band = np.floor(cells.lat / BAND_DEGREES) * BAND_DEGREES
    parts = zones or Shares(np.arange(len(X)), np.zeros(len(X), np.int64), np.ones(len(X)))
    at = parts.cell if zones else slice(None)
    totals = sum_cells(
        np.stack([cells.biome[at], band.astype(np.int64)[at], parts.zone], axis=1),
        cells.area_ha[at],
        X[at],
        (
            Trees(models.forests[0], root_mean[at], root.stretch, root_factor[at]),
            Trees(models.forests[1], bulk_mean[at], bulk.stretch, bulk_factor[at]),
        ),
        {name: statistics[name][at] for name in statistics},
        share=parts.share,
    )
    if coherent:
        statistics = _coherent(cells, models)
    staying = persistence_statistics(models.persistence, log_bulk, X)
    outside = [
        model.applicability.dissimilarity(X, layers).reshape(len(X), -1).max(axis=1) / model.applicability.threshold
        for model, layers in ((models.iroot, ()), (models.ibulk, LAYERS))
    ]
    areas = {f"{f}_applicability": a.astype(np.float32) for f, a in zip(("iroot", "ibulk"), outside, strict=True)}
    return statistics | areas | staying, totals


def _mean_and_std(forest: CompiledForest, X: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if jax.default_backend() == "gpu":
        return forest_device.mean_and_std(forest, X)
    return forest.mean_and_std(X, threads=1)


def _coherent(cells: LandCells, models: MapModels) -> Statistics:
    """Statistics over the members of totals: trees of both forests, and draws of the expected root shares."""
    parts = []
    members = len(models.iroot.forest.trees_.root)
    shares = models.expected_shares[np.arange(members) % len(models.expected_shares)]
    for start in range(0, len(cells.X), MEMBER_CELLS):
        X, biome = cells.X[start : start + MEMBER_CELLS], cells.biome[start : start + MEMBER_CELLS]
        root = models.iroot.calibrated(models.forests[0].members(X, threads=1), X)
        bulk = models.ibulk.calibrated(models.forests[1].members(X, threads=1), X, LAYERS)
        bulk += np.log(THICKNESS_CM).astype(np.float32)[:, None]
        parts.append(coherent_statistics(root, bulk[:, :, np.arange(members) % bulk.shape[2]], shares, biome))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
