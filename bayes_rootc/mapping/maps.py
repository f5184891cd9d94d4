"""Maps of I_root, I_bulk and I_loss with their uncertainty, and the totals that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import BIOMES, LAYER_NAMES, LAYERS, PROFILE_NAME
from ..data.covariates import CovariateStack
from ..data.grid import MapGrid
from ..data.tables import Screen, SourceCheck
from ..errors import InputError
from ..inference.sampling import summarise
from ..progress import Progress
from .learners import FluxModel, design_matrix
from .monte_carlo import iloss_statistics

MAP_LAYERS = (*LAYER_NAMES, PROFILE_NAME)
MG_PER_PG = 1e9

TOTALS_CHUNK = 1024
"""Cells whose members are held at once, layer by layer: with 500 members, 14 MB an array."""


@dataclass(frozen=True)
class LandCells:
    """The cells that are mapped, their predictors, and `check`: how many land cells were left out for want of a
    covariate.
    """

    grid: MapGrid
    index: NDArray[np.int64]
    biome: NDArray[np.int64]
    X: NDArray[np.float32]
    check: SourceCheck

    @property
    def area_ha(self) -> NDArray[np.float64]:
        """Area of each cell."""
        return self.grid.area_ha.ravel()[self.index]

    @property
    def number(self) -> NDArray[np.int64]:
        """Number of each cell on the whole globe at this resolution: the same whatever part is mapped."""
        lat = np.repeat(self.grid.lat, self.grid.shape[1])[self.index]
        lon = np.tile(self.grid.lon, self.grid.shape[0])[self.index]
        row, col = np.floor((90 - lat) / self.grid.resolution), np.floor((lon + 180) / self.grid.resolution)
        return (row * np.ceil(360 / self.grid.resolution) + col).astype(np.int64)


def land_cells(covariates: CovariateStack, grid: MapGrid, *, nearest_km: float) -> LandCells:
    """Land cells with every covariate.

    Raises
    ------
    InputError : there is none.
    """
    stack = covariates.on_grid(grid, covariates.features, nearest_km=nearest_km)
    biome = stack["biome"].values.ravel()
    values = pd.DataFrame({name: stack[name].values.ravel() for name in covariates.features})
    land = biome > 0
    screen = Screen(f"map cells at {grid.resolution:g}°", covariates.folder, pd.DataFrame(index=np.flatnonzero(land)))
    screen.drop(f"a covariate missing within {nearest_km:g} km", values[land].isna().any(axis=1))
    whole = land & values.notna().all(axis=1).to_numpy()
    if not whole.any():
        raise InputError(f"no land cell with every covariate in the box {grid.bbox}", file=covariates.manifest)
    index = np.flatnonzero(whole)
    X, _ = design_matrix(values.iloc[index].assign(biome=biome[index]), covariates.features)
    return LandCells(grid, index, biome[index].astype(np.int64), X, screen.check)


@dataclass(frozen=True)
class FluxFields:
    """What the forests say in each cell, log scale: I_root of the profile (n,), and I_bulk of the seven layers (n, 7),
    as mean and calibrated spread.
    """

    root_mean: NDArray[np.float64]
    root_sd: NDArray[np.float64]
    bulk_mean: NDArray[np.float64]
    bulk_sd: NDArray[np.float64]


def predict_fields(
    cells: LandCells, iroot: FluxModel, ibulk: FluxModel, *, progress: Progress | None = None
) -> FluxFields:
    """Evaluates the forests in every cell.

    Parameters
    ----------
    iroot : forest of log I_root of the profile. ibulk : forest of log I_bulk per cm of depth, with top and bottom as
        last predictors.
    """
    root_mean, root_sd = iroot.forest.mean_and_std(cells.X)
    bulk_mean, bulk_sd = ibulk.forest.mean_and_std(cells.X, LAYERS, progress=progress)
    bulk_mean += np.log([bottom - top for top, bottom in LAYERS])
    return FluxFields(root_mean, iroot.calibration.stretch * root_sd, bulk_mean, ibulk.calibration.stretch * bulk_sd)


def make_maps(
    cells: LandCells, fields: FluxFields, fractions: NDArray, *, members: int, seed: int, profile_correlation: float
) -> xr.Dataset:
    """Statistics of each flux in each cell, layer and for the profile, over independent Monte Carlo members (the
    paper's way).

    Parameters
    ----------
    fractions : predictive root shares, (draw, 9, 7).
    profile_correlation : of the errors of two layers of one profile.

    Returns
    -------
    Dataset over (layer, lat, lon): `iroot_mean` … `iloss_p975` in Mg C ha⁻¹ yr⁻¹, `*_uncertainty`, `iloss_probability`;
    NaN off the mapped land; and `biome`.
    """
    statistics = iloss_statistics(
        fields.root_mean,
        fields.root_sd,
        fields.bulk_mean,
        fields.bulk_sd,
        fractions,
        cells.biome,
        cells.number,
        members=members,
        seed=seed,
        profile_correlation=profile_correlation,
    )
    grid = cells.grid
    maps = xr.Dataset(coords={"layer": list(MAP_LAYERS), "lat": grid.lat, "lon": grid.lon})
    for name, values in statistics.items():
        field = np.full((len(MAP_LAYERS), grid.shape[0] * grid.shape[1]), np.nan, np.float32)
        field[:, cells.index] = values.T
        maps[name] = ("layer", "lat", "lon"), field.reshape(len(MAP_LAYERS), *grid.shape)
    biome = np.zeros(grid.shape[0] * grid.shape[1], np.uint8)
    biome[cells.index] = cells.biome
    maps["biome"] = ("lat", "lon"), biome.reshape(grid.shape)
    return maps


def member_totals(
    cells: LandCells,
    iroot: FluxModel,
    ibulk: FluxModel,
    fractions: NDArray,
    *,
    progress: Progress | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Area-weighted totals by member: one member is one whole map, made by tree m of both forests and draw m of the
    root shares.

    Independent draws in every cell would average out and shrink the interval of a total to nothing; a tree errs over
    whole regions at once, as the forest does.
    The trees' deviations are stretched by the same calibration as the cells' intervals.

    Parameters
    ----------
    fractions : expected root shares, (draw, 9, 7).

    Returns
    -------
    `iroot`, `ibulk`: (member, 10, 7), Mg C yr⁻¹; index 0 of the second axis is the whole map, 1–9 the biomes.
    `area_ha`: (10,).
    """
    n_members, n_biomes = iroot.forest.trees_.trees, len(BIOMES) + 1
    area, biome = cells.area_ha, cells.biome
    root = np.zeros((n_biomes, n_members))
    bulk = np.zeros((n_biomes, len(LAYERS), ibulk.forest.trees_.trees))
    thickness = np.array([bottom - top for top, bottom in LAYERS], np.float32)[:, None]
    starts = range(0, len(cells.X), TOTALS_CHUNK)
    for done, start in enumerate(starts, 1):
        part = slice(start, start + TOTALS_CHUNK)
        here, hectares = cells.X[part], area[part].astype(np.float32)
        of_root = np.exp(iroot.members(here)) * hectares[:, None]
        of_bulk = np.exp(ibulk.members(here, LAYERS)) * (hectares[:, None, None] * thickness)
        for b in np.unique(biome[part]):
            rows = biome[part] == b
            root[b] += of_root[rows].sum(axis=0, dtype=float)
            bulk[b] += of_bulk[rows].sum(axis=0, dtype=float)
        if progress:
            progress(done, len(starts))
    member = np.arange(n_members)
    shares = np.concatenate([np.zeros((n_members, 1, len(LAYERS))), fractions[member % len(fractions)]], axis=1)
    out = {"iroot": root.T[..., None] * shares, "ibulk": np.moveaxis(bulk, 2, 0)[member % bulk.shape[2]]}
    for values in out.values():
        values[:, 0] = values[:, 1:].sum(axis=1)
    areas = np.bincount(biome, area, n_biomes)
    areas[0] = areas[1:].sum()
    return out | {"area_ha": areas}


def totals_table(totals: dict[str, NDArray[np.float64]]) -> pd.DataFrame:
    """`tables/map_totals.csv`: totals (Pg C yr⁻¹), area means (Mg C ha⁻¹ yr⁻¹) and the share lost, by biome and layer,
    with 95 % intervals.
    """
    rows = []
    for biome in range(len(BIOMES) + 1):
        if totals["area_ha"][biome] == 0:
            continue
        for layer, name in enumerate(MAP_LAYERS):
            root, bulk = (
                totals[q][:, biome].sum(axis=1) if name == PROFILE_NAME else totals[q][:, biome, layer]
                for q in ("iroot", "ibulk")
            )
            row: dict[str, object] = {
                "biome": biome,
                "biome_name": BIOMES.get(biome, "global"),
                "layer": name,
                "area_mha": totals["area_ha"][biome] / 1e6,
            }
            for quantity, draws in {"iroot": root, "ibulk": bulk, "iloss": root - bulk}.items():
                row |= {f"{quantity}_pg_{key}": float(v) for key, v in summarise(draws / MG_PER_PG).items()}
                row |= {
                    f"{quantity}_mg_ha_{key}": float(v)
                    for key, v in summarise(draws / totals["area_ha"][biome]).items()
                }
            row |= {f"share_{key}": float(v) for key, v in summarise(1 - bulk / root).items()}
            rows.append(row)
    return pd.DataFrame(rows)
