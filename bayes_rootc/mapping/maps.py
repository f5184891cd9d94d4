"""What a map says in each cell: I_root, I_bulk and I_loss with their uncertainty, and where they can be trusted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..constants import CF_FLUX_UNIT, LAYERS, PROFILE_NAME
from ..data.covariates import CovariateStack
from ..data.grid import MapGrid
from ..data.netcdf import open_dataset
from .cell_intervals import ProductTable, interval_statistics
from .forest import CompiledForest
from .learners import FluxModel, Learners, design_matrix
from .monte_carlo import (
    FLUXES,
    QUANTITIES,
    Asked,
    LogNormals,
    Statistics,
    coherent_statistics,
    independent_statistics,
)
from .persistence_forests import PersistenceForests, persistence_statistics
from .root_field import RootCells, RootField
from .totals import BAND_DEGREES, THICKNESS_CM, Classes, Totals, Trees, distinct, sum_cells
from .variables import EVERY_MAP, MAP_LAYERS, PERSISTENCE, QUANTILES, MapChoice, MapMode, parts_of
from .zones import Shares

MEMBER_CELLS = 4096
"""Cells whose trees are held at once in coherent mode: with 500 of them, 66 MB."""

LEAST_GREEN = 1e-3
"""Least share of a cell with plants: a logarithm is taken of it."""


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
    green : ndarray, optional
        Share of each cell that is neither bare nor under ice, (n,), where a map of land cover says it.
    """

    grid: MapGrid
    index: NDArray[np.int64]
    biome: NDArray[np.int64]
    X: NDArray[np.float32]
    lacking: int = 0
    green: NDArray[np.float64] | None = None

    @property
    def area_ha(self) -> NDArray[np.float64]:
        """Area of each cell."""
        return self.grid.area_ha.ravel()[self.index]

    @property
    def lat(self) -> NDArray[np.float64]:
        """Latitude of each cell."""
        return np.repeat(self.grid.lat, self.grid.shape[1])[self.index]

    @property
    def lon(self) -> NDArray[np.float64]:
        """Longitude of each cell."""
        return np.tile(self.grid.lon, self.grid.shape[0])[self.index]

    @property
    def log_green(self) -> NDArray[np.float64]:
        """log of the share of each cell with plants, (n,): roots of ground without them bring no carbon."""
        return np.zeros(len(self.index)) if self.green is None else np.log(np.maximum(self.green, LEAST_GREEN))

    def part(self, some: slice) -> LandCells:
        """Some of the cells."""
        green = None if self.green is None else self.green[some]
        return dataclasses.replace(
            self, index=self.index[some], biome=self.biome[some], X=self.X[some], green=green, lacking=0
        )

    @property
    def number(self) -> NDArray[np.int64]:
        """Number of each cell on the whole globe at this resolution: the same whatever part is mapped."""
        step = self.grid.resolution
        row, col = np.floor((90 - self.lat) / step), np.floor((self.lon + 180) % 360 / step)
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
    bare = covariates.bare_share(grid)
    green = None if bare is None else 1 - bare.ravel()[index]
    return LandCells(grid, index, biome[index].astype(np.int64), X, int((~whole).sum()), green)


@dataclass(frozen=True)
class MapModels:
    """What maps are made from: forests of log I_root of the profile and of log I_bulk per cm, and root shares of the
    seven layers by biome, (draw, 9, 7): of one new site, and expected of the biome.
    """

    iroot: FluxModel
    ibulk: FluxModel
    predictive_shares: NDArray[np.float64]
    expected_shares: NDArray[np.float64]
    persistence: Mapping[str, FluxModel] = dataclasses.field(default_factory=dict)
    """Forests of how long carbon stays, by quantity."""
    field: RootField | None = None
    """Fields of production, where these make I_root in place of its forest."""

    @classmethod
    def of(
        cls,
        learners: Learners,
        predictive_shares: NDArray,
        expected_shares: NDArray,
        persistence: PersistenceForests | None = None,
        field: RootField | None = None,
    ) -> MapModels:
        """The forests of the fitted learners, with the root shares."""
        more = persistence.models(learners.ibulk) if persistence else {}
        return cls(learners.iroot, learners.ibulk, predictive_shares, expected_shares, more, field)

    @cached_property
    def forests(self) -> tuple[CompiledForest, CompiledForest]:
        """Compiled forests: I_root of the profile, and I_bulk of the seven layers."""
        return self.iroot.forest.compiled(), self.ibulk.forest.compiled(LAYERS)

    @cached_property
    def products(self) -> ProductTable:
        """Distributions of I_root of layers, from root shares of a new site."""
        return ProductTable.of(self.predictive_shares)


def from_members(choice: MapChoice) -> Asked:
    """What the members of a cell must be made for, where all comes from them.

    Parameters
    ----------
    choice : MapChoice
        Maps that are made.
    """
    wanted = set(choice.statistics)
    quantiles = bool(wanted & {*QUANTILES, "uncertainty"})
    names: tuple[str, ...] = ("iloss",) if "probability" in wanted else ()
    if quantiles or "mean" in wanted:
        names = QUANTITIES if wanted & set(QUANTILES) else FLUXES
    layers = tuple(MAP_LAYERS.index(layer) for layer in choice.layers if layer != PROFILE_NAME)
    return Asked(names if layers else (), names if PROFILE_NAME in choice.layers else (), layers, quantiles)


def map_cells(
    cells: LandCells,
    models: MapModels,
    *,
    mode: MapMode = "independent",
    members: int = 500,
    seed: int = 0,
    zones: Shares | None = None,
    choice: MapChoice = EVERY_MAP,
) -> tuple[Statistics, Totals]:
    """Statistics of every cell, and totals, which do not depend on what is chosen.

    Forests are fitted where plants grow. The part of a cell that is bare or under ice has no roots, and so no carbon
    from them: fluxes are multiplied by the share of the cell with plants, ages are not.

    Parameters
    ----------
    mode : {"independent", "members", "coherent"}
        Statistics of independent members by formulas, of the members themselves, or of the trees of the forests, which
        all cells have in common.
    members, seed : int
        Number and seed of independent members, if these are made.
    zones : Shares, optional
        Shares of the zones in each cell, counted from 0, including the part in no zone (`Shares.of`).
    choice : MapChoice
        Maps that are made; what others need is left out where that saves time.

    Returns
    -------
    tuple of Statistics, Totals
        The chosen statistics as `interval_statistics` gives them, (n, layer); and `iroot_applicability`,
        `ibulk_applicability`: the dissimilarity from the training data over its threshold, up to 1 inside the area of
        applicability, of the layer that is farthest outside, (n,).
    """
    X, bulk, n = cells.X, models.ibulk.calibration, len(cells.X)
    parts = zones or Shares(np.arange(n), np.zeros(n, np.int64), np.ones(n))
    band = (np.floor(cells.lat / BAND_DEGREES) * BAND_DEGREES).astype(np.int64)
    by_part = np.stack([cells.biome[parts.cell], band[parts.cell], parts.zone], axis=1)
    classes = Classes.of(by_part, parts.cell, cells.area_ha, parts.share)
    rows, at = distinct(X)  # where covariates are coarser than the map, cells are alike: these are predicted once
    green = np.exp(cells.log_green)
    planted = classes.times(green).merged(at)
    root = _iroot(cells, models, classes, planted, rows, at)
    bulk_factor = models.ibulk.log_factor(rows, LAYERS)
    trees = Trees(models.forests[1], bulk.stretch, bulk_factor).flux(rows, planted)
    log_bulk = trees.mean + bulk_factor + np.log(THICKNESS_CM)
    of_cells = log_bulk[at] + cells.log_green[:, None]
    log_normals = LogNormals(root.mean, root.sd, of_cells, bulk.stretch * trees.sd[at], cells.biome, cells.number)
    alike = bulk.profile_correlation
    if mode == "members":
        shares, how = models.predictive_shares, {"members": members, "seed": seed}
        statistics = independent_statistics(log_normals, shares, profile_correlation=alike, **how)
    else:
        wanted = () if mode == "coherent" else choice.layered
        statistics = interval_statistics(log_normals, models.products, profile_correlation=alike, wanted=wanted)
    bulk_sums = trees.sums * np.exp(models.ibulk.deviations(classes.unique[:, 0], trees.sums.shape[2], LAYERS))
    totals = sum_cells(classes, root.sums, bulk_sums, statistics)
    if mode == "coherent":
        statistics = _coherent(cells, models, from_members(choice))
    persist = any(parts_of(name).quantity in models.persistence for name in choice.layered)
    of_rows = persistence_statistics(models.persistence, log_bulk, rows) if persist else {}
    chosen = {}
    for name in choice.layered:  # all statistics of a tile twice are too much for memory
        values = of_rows.pop(name)[at] if name in of_rows else statistics.pop(name)
        chosen[name] = values[:, choice.places]
        if (quantity := PERSISTENCE.get(parts_of(name).quantity)) and quantity.unit == CF_FLUX_UNIT:
            chosen[name] *= green.astype(np.float32)[:, None]
    for name, model, layers in zip(choice.flat, (models.iroot, models.ibulk), ((), LAYERS), strict=False):
        farthest = model.applicability.dissimilarity(rows, layers).reshape(len(rows), -1).max(axis=1)
        chosen[name] = (farthest / model.applicability.threshold).astype(np.float32)[at]
    return chosen | {name: root.statistics[name] for name in choice.of_place}, totals


def _iroot(
    cells: LandCells,
    models: MapModels,
    classes: Classes,
    planted: Classes,
    rows: NDArray[np.float32],
    at: NDArray[np.int64],
) -> RootCells:
    """I_root of the cells and its sums, from the fields of production or from its forest (`rows[at]`), whose sums are
    over the areas with plants of these rows.
    """
    if models.field is not None:
        return models.field.cells(cells, classes.weight(len(cells.X)))
    stretch, factor = models.iroot.calibration.stretch, models.iroot.log_factor(rows)
    trees = Trees(models.forests[0], stretch, factor).flux(rows, planted)
    sums = trees.sums * np.exp(models.iroot.deviations(classes.unique[:, 0], trees.sums.shape[2]))
    return RootCells((trees.mean + factor)[at] + cells.log_green, stretch * trees.sd[at], sums[:, 0], {})


def root_members(cells: LandCells, models: MapModels) -> NDArray[np.float32]:
    """log I_root of the members of totals, (cell, member): trees, or draws of the fields."""
    if models.field is None:
        log_root = models.iroot.calibrated(models.forests[0].members(cells.X, threads=1), cells.X)
        return log_root + cells.log_green.astype(np.float32)[:, None]
    return np.concatenate([parts[..., 1] for _, parts in models.field.parts(cells)])


def bulk_members(cells: LandCells, models: MapModels, *, threads: int = 1) -> NDArray[np.float32]:
    """log I_bulk of the seven layers of the members of totals, (cell, 7, member): trees."""
    log_bulk = models.ibulk.calibrated(models.forests[1].members(cells.X, threads=threads), cells.X, LAYERS)
    return log_bulk + log_rooted(cells)[:, :, None]


def log_rooted(cells: LandCells) -> NDArray[np.float32]:
    """log of the thickness of the seven layers, cm, times the share of the cell with plants, (cell, 7)."""
    return (np.log(THICKNESS_CM) + cells.log_green[:, None]).astype(np.float32)


def _coherent(cells: LandCells, models: MapModels, asked: Asked) -> Statistics:
    """Statistics over the members of totals: those of I_root, trees of the forest of I_bulk, and draws of the expected
    root shares.
    """
    parts = []
    for start in range(0, len(cells.X), MEMBER_CELLS):
        some = cells.part(slice(start, start + MEMBER_CELLS))
        root, bulk = root_members(some, models), bulk_members(some, models)
        members = root.shape[1]
        shares = models.expected_shares[np.arange(members) % len(models.expected_shares)]
        bulk = bulk[:, :, np.arange(members) % bulk.shape[2]]
        parts.append(coherent_statistics(root, bulk, shares, some.biome, asked=asked))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
