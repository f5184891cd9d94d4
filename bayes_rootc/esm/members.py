"""The posterior of our maps on the grid of a model: means over its cells, member by member.

Uncertainty goes from our cells to larger ones by members, each of which is one whole map (as in `mapping.totals`): it
shrinks as far as the members' errors differ from cell to cell, and no further. To take cells for independent would let
it vanish.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import expit

from ..constants import BIOMES, LAYER_NAMES, LAYERS, PROFILE_NAME
from ..data.covariates import CovariateStack, covariates_for
from ..data.folder import metre_stock, stock_rasters
from ..data.grid import MapGrid
from ..mapping.learners import Learners
from ..mapping.maps import (
    MEMBER_CELLS,
    LandCells,
    MapModels,
    bulk_members,
    land_cells,
    log_rooted,
    read_root_shares,
    root_members,
)
from ..mapping.model_file import read_learners
from ..mapping.persistence_forests import PersistenceForests
from ..mapping.root_field import RootField
from ..models.bulk_input import StockSource, metre_share
from ..progress import Progress
from ..report.results import Results
from .grids import ModelGrid

type Make = Callable[[LandCells, Source], dict[str, NDArray[np.float32]]]
"""Makes members of cells."""

STRIP_CELLS = 200_000
"""Cells of the map grid, sea included, whose covariates are read at once."""


@dataclass(frozen=True)
class Source:
    """What the maps of a finished run were made from.

    Attributes
    ----------
    grid : MapGrid
        Grid of the maps.
    covariates : CovariateStack
        Covariates of the data folder.
    learners : Learners
        Fitted learners of the run.
    models : MapModels
        Forests and root shares that the maps were made with.
    nearest_km : float
        Maximum distance (km) from which a missing covariate is borrowed.
    stock : StockSource
        Gridded carbon stock of the top metre, and its errors.
    """

    grid: MapGrid
    covariates: CovariateStack
    learners: Learners
    models: MapModels
    nearest_km: float
    stock: StockSource

    @classmethod
    def of(cls, results: Results) -> Source:
        """Reads what an output folder's maps were made from.

        Raises
        ------
        InputError
            Maps, models or the data folder are missing.
        """
        maps = results.maps
        step = float(abs(maps["lat"][0] - maps["lat"][1])) if maps.sizes["lat"] > 1 else 180.0
        west, north = float(maps["lon"][0]) - step / 2, float(maps["lat"][0]) + step / 2
        box = west, north - step * maps.sizes["lat"], west + step * maps.sizes["lon"], north
        west, south, east, north = (round(edge, 9) for edge in box)
        learners = read_learners(results.out / "models" / "learners.npz")
        staying, fields, path = None, None, results.out / "models" / "persistence.npz"
        if path.exists():
            staying = PersistenceForests.load(path, results.run["settings"].get("map_quantities", ()))
        if results.run["settings"].get("iroot_model") == "field":
            members = len(learners.iroot.forest.trees_.root)
            fields = RootField.load(results.path("posterior/production.nc"), learners.features, members)
        models = MapModels.of(learners, *read_root_shares(results.path("posterior/root_shares.nc")), staying, fields)
        sources = results.table("stock_sources").set_index("name")
        layers, compared, bias, sd = (float(v) for v in sources.loc["gridded metre"].to_numpy(float))
        stock = StockSource("gridded metre", int(layers), int(compared), bias, sd)
        covariates = covariates_for(results.folder / "covariates", learners.features)
        nearest = float(results.run["settings"].get("nearest_km", 100.0))
        return cls(MapGrid(step, (west, south, east, north)), covariates, learners, models, nearest, stock)

    @property
    def member_count(self) -> int:
        """Number of members."""
        return len(self.learners.iroot.forest.trees_.root)

    def strips(self) -> Iterator[MapGrid]:
        """The map grid, some rows at a time."""
        rows = max(STRIP_CELLS // self.grid.shape[1], 1)
        return (self.grid.rows(row, rows) for row in range(0, self.grid.shape[0], rows))

    def land(self) -> Iterator[tuple[int, LandCells]]:
        """Land of the map grid, some rows at a time, with the row where they begin."""
        row = 0
        for strip in self.strips():
            yield row, land_cells(self.covariates, strip, nearest_km=self.nearest_km)
            row += strip.shape[0]


def posterior_on(
    grid: ModelGrid,
    source: Source,
    *,
    layered: bool = False,
    make: Make | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Members of one run's maps on those cells of a model's grid that hold some of the mapped land.

    Parameters
    ----------
    grid : ModelGrid
        The model's.
    source : Source
        The run.
    layered : bool
        Make members of the seven layers, rather than of the profile.
    make : callable, optional
        Makes other members: of cells and the source, arrays (n, layer or 1, member) by name.
    progress : callable, optional
        Called with the rows done and wanted.

    Returns
    -------
    Dataset
        Over `cell`, whose coordinate is its place in the grid, flattened: `area_ha` of mapped land, the `biome` (1-9)
        that covers most of it, and gridded carbon (`stock`) of the seven layers, over `depth` as well, Mg C ha⁻¹, NaN
        where there is none. Means over that land of `iroot` and `ibulk`, Mg C ha⁻¹ yr⁻¹, over `cell`, `layer` (the
        seven, or the profile alone) and `draw`, a member; `f_bnpp` over `cell` and `draw`.
    """
    index = _land_of(grid, source)
    n = len(index)
    make = make or partial(_members, layered=layered)
    area, with_stock, biomes = np.zeros(n), np.zeros(n), np.zeros((n, 1 + max(BIOMES)))
    means, stock = dict[str, NDArray[np.float32]](), np.zeros((n, len(LAYERS)))
    for row, cells in source.land():
        overlap = grid.overlap(cells)[index]
        area += overlap.sum(axis=1)
        for biome in BIOMES:
            biomes[:, biome] += overlap @ (cells.biome == biome)
        carbon = _stock(cells, source)
        known = np.isfinite(carbon[:, 0])
        with_stock += overlap @ known
        stock += overlap @ np.where(known[:, None], carbon, 0)
        for start in range(0, len(cells.X), MEMBER_CELLS):
            part = slice(start, start + MEMBER_CELLS)
            weight = overlap[:, part]
            found = np.flatnonzero(np.diff(weight.indptr))
            for name, values in make(cells.part(part), source).items():
                means.setdefault(name, np.zeros((n, *values.shape[1:]), np.float32))
                summed = weight[found].astype(np.float32) @ values.reshape(len(values), -1)
                means[name][found] += summed.reshape(len(found), *values.shape[1:])
        if progress:
            progress(min(row + cells.grid.shape[0], source.grid.shape[0]), source.grid.shape[0])
    land = area > 0
    stock = np.divide(stock, with_stock[:, None], out=np.full_like(stock, np.nan), where=with_stock[:, None] > 0)
    for values in means.values():
        values /= np.where(land, area, 1).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    layer = list(LAYER_NAMES) if layered else [PROFILE_NAME]
    along = ("cell", "layer", "draw")
    whole = xr.Dataset(
        {
            "area_ha": ("cell", area),
            "biome": ("cell", biomes.argmax(axis=1)),
            "stock": (("cell", "depth"), stock),
            **{name: (along if values.ndim == 3 else ("cell", "draw"), values) for name, values in means.items()},
        },
        coords={"cell": index, "layer": layer, "depth": list(LAYER_NAMES)},
    )
    return whole if land.all() else whole.isel(cell=land)


def _land_of(grid: ModelGrid, source: Source) -> NDArray[np.int64]:
    """Cells of a grid that hold land of the maps' biome raster."""
    found = np.zeros(grid.shape[0] * grid.shape[1], bool)
    for strip in source.strips():
        biome = source.covariates.on_grid(strip, [])["biome"].values.ravel().astype(np.int64)
        index = np.flatnonzero(biome)
        overlap = grid.overlap(LandCells(strip, index, biome[index], np.empty((len(index), 0), np.float32)))
        found |= overlap.sum(axis=1) > 0
    return np.flatnonzero(found)


def _members(cells: LandCells, source: Source, *, layered: bool) -> dict[str, NDArray[np.float32]]:
    """`iroot` and `ibulk`, (n, layer, member), and `f_bnpp`, (n, member)."""
    models, members, X = source.models, np.arange(source.member_count), cells.X
    root = np.exp(root_members(cells, models))[:, members]
    bulk = np.exp(bulk_members(cells, models, threads=2))
    bulk = bulk[:, :, members % bulk.shape[2]]
    if models.field is None:
        allocated = source.learners.f_bnpp
        fraction = expit(allocated.calibrated(allocated.forest.compiled().members(X, threads=2), X))
    else:
        fraction = models.field.share(cells)
    fraction = fraction[:, members % fraction.shape[1]].astype(np.float32)
    if not layered:
        return {"iroot": root[:, None], "ibulk": bulk.sum(axis=1, keepdims=True), "f_bnpp": fraction}
    shares = models.expected_shares[members % len(models.expected_shares)].astype(np.float32)
    root = root[:, None] * shares[:, cells.biome - 1].transpose(1, 2, 0)
    return {"iroot": root, "ibulk": bulk, "f_bnpp": fraction}


def persistence_members(cells: LandCells, source: Source) -> dict[str, NDArray[np.float32]]:
    """Members of what says how long carbon stays, of the seven layers, (n, 7, member): all are amounts an area, so that
    a mean over cells is that of their carbon.

    `ibulk` and, as far as the run has forests of them, `ibulk_t100` (Mg C ha⁻¹ yr⁻¹); `carbon`, I_bulk times transit
    time (Mg C ha⁻¹), and `aged`, that times its mean age (Mg C yr ha⁻¹).
    """
    models, members, X = source.models, np.arange(source.member_count), cells.X
    found = {"ibulk": np.exp(bulk_members(cells, models, threads=2))}
    for name, model in models.persistence.items():
        trees = model.forest.compiled(LAYERS).members(X, threads=2)
        found[name] = np.exp(model.calibrated(trees, X, LAYERS))
    out = {"ibulk": found["ibulk"]}
    if "ibulk_t100" in found:
        out["ibulk_t100"] = found["ibulk_t100"] * np.exp(log_rooted(cells))[:, :, None]
    if "transit_time" in found:
        out["carbon"] = found["ibulk"] * found["transit_time"]
        if "age" in found:
            out["aged"] = out["carbon"] * found["age"]
    return {name: values[:, :, members % values.shape[2]] for name, values in out.items()}


def every_member(cells: LandCells, source: Source) -> dict[str, NDArray[np.float32]]:
    """Members of the profile: `iroot`, `ibulk`, `f_bnpp`, and sums over its layers of `persistence_members`."""
    staying = {name: v.sum(axis=1, keepdims=True) for name, v in persistence_members(cells, source).items()}
    return staying | _members(cells, source, layered=False)


def _stock(cells: LandCells, source: Source) -> NDArray[np.float64]:
    """Gridded carbon of the seven layers of each cell, without its bias at measured layers, Mg C ha⁻¹: (n, 7)."""
    names = stock_rasters(source.covariates)
    stack = source.covariates.on_grid(cells.grid, names, nearest_km=source.nearest_km)
    table = pd.DataFrame({name: stack[name].values.ravel()[cells.index] for name in names}, range(len(cells.index)))
    metre = metre_stock(table, source.covariates) * np.exp(source.stock.log_bias)
    edges = (0, *(bottom for _, bottom in LAYERS))
    above = np.stack([metre_share(np.full(len(metre), float(depth)), cells.biome) for depth in edges], axis=1)
    return metre[:, None] * np.diff(above, axis=1)
