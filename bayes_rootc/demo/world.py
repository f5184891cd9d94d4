"""The demo world: a simulated data folder with known truth, in the forms in which publishers give real data.

It is the default input of a run and the ground truth of the tests. Carbon is simulated from the models that the package
fits; the truth at a place is a function of the *published* rasters there (read as any user would), so that no
difference in resolution stands between the two.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import (
    BIOMES,
    G_M2_TO_MG_HA,
    KG_M2_TO_MG_HA,
    LAYER_NAMES,
    LAYERS,
    PROFILE_NAME,
)
from ..data.biomes import with_croplands, wwf_lookup
from ..data.covariates import CovariateStack
from ..data.grid import MapGrid
from ..errors import InputError
from ..models.rates import input_rate
from ..models.root_depth import layer_fractions
from .parameters import DRIVERS, Array, DemoParameters
from .rasters import WWF_CLASSES, Geography, RasterFolder, cell_centres, spread, touched_by_land, write_geography
from .records import BOTTOMS, TOPS, in_standard_layers, npp_records, radiocarbon_records, root_records

MARKER = "SIMULATED.txt"


@dataclass(frozen=True, eq=False)
class DemoWorld:
    """A simulated data folder and the truth behind it.

    Attributes
    ----------
    folder : Path
        Folder of the data.
    seed : int
        Seed of the simulation.
    parameters : DemoParameters
        True parameters of the simulation.
    layers : DataFrame
        By measured layer, in the file's order: `id`, `profile`, `lat`, `lon`, `biome`, `top`, `bottom` (cm), `year`,
        `zone`, `sigma` (the true laboratory σ, ‰), `sigma_reported`, `log_k_expected` (before all noise) and `log_k`,
        the centres of the rates, their mean `k` (yr⁻¹), the mean `age` of the carbon (yr), `stock` (Mg ha⁻¹), `i_bulk`
        (Mg ha⁻¹ yr⁻¹).
    profiles : DataFrame
        By profile: `profile`, `lat`, `lon`, `biome`, I_bulk in the seven standard layers and `0-200`, the sum over its
        measured layers.
    npp_sites : DataFrame
        `lat`, `lon`, `biome`, `bnpp` (Mg C ha⁻¹ yr⁻¹), `f_bnpp`; sorted by place.
    root_profiles : DataFrame
        `id`, `lat`, `lon`, `biome`, `d50`, `d95` (cm) and the shares in the seven layers.
    planted : dict of str to dict of str to int
        By file, how many rows of which flaw it holds; a flaw is named by the first words of the rule that drops it.
    """

    folder: Path
    seed: int
    parameters: DemoParameters
    layers: pd.DataFrame
    profiles: pd.DataFrame
    npp_sites: pd.DataFrame
    root_profiles: pd.DataFrame
    planted: dict[str, dict[str, int]]

    def truth_maps(self, grid: MapGrid) -> xr.Dataset:
        """True `iroot`, `ibulk` and `iloss` on a map grid, Mg C ha⁻¹ yr⁻¹, over (layer, lat, lon).

        The last layer is the total, `0-200`.

        `_median` is the field with all noise at zero (a total is the sum of its layers); `_mean` the expectation over
        study, profile, layer and site noise: what an average over many sites of the same covariates tends to. NaN off
        land, and where a driver is missing.
        """
        p = self.parameters
        data = CovariateStack(self.folder / "covariates").on_grid(grid, list(DRIVERS))
        covariates = {name: data[name].values.astype(float) for name in DRIVERS} | {"biome": data["biome"].values}
        middle, biome = (TOPS + BOTTOMS) / 2, covariates["biome"]
        k, stock = (
            input_rate([p.log_k(covariates, m) for m in middle], p.rate_sd),
            np.stack([p.stock(covariates, t, b) for t, b in LAYERS]),
        )
        bnpp = p.median_bnpp(covariates)
        median_share, mean_share = (
            np.moveaxis(np.vstack([np.full(len(LAYERS), np.nan), by_biome])[biome], -1, 0)
            for by_biome in (layer_fractions(*p.root_depths(np.array(list(BIOMES)))), p.mean_root_fractions())
        )
        fields = {
            "iroot_median": bnpp * median_share,
            "iroot_mean": bnpp * np.exp(p.log_bnpp_sd**2 / 2) * mean_share,
            "ibulk_median": stock * k,
            "ibulk_mean": stock * k * np.exp(p.log_ibulk_sd**2 / 2),
        }
        fields |= {f"iloss_{kind}": fields[f"iroot_{kind}"] - fields[f"ibulk_{kind}"] for kind in ("median", "mean")}
        attributes = {"units": "Mg ha-1 yr-1"}
        return xr.Dataset(
            {
                name: (
                    ("layer", "lat", "lon"),
                    np.where(biome > 0, np.concatenate([field, field.sum(axis=0)[None]]), np.nan),
                    attributes,
                )
                for name, field in fields.items()
            },
            coords={"layer": [*LAYER_NAMES, PROFILE_NAME], "lat": data["lat"], "lon": data["lon"]},
        )


def simulate_world(
    folder: str | Path,
    *,
    seed: int = 20,
    resolution: float = 1.0,
    radiocarbon_profiles: int = 220,
    npp_sites: int = 260,
    root_profiles: int = 200,
    parameters: DemoParameters | None = None,
) -> DemoWorld:
    """Writes a data folder of a simulated world and returns it with its truth.

    Parameters
    ----------
    folder : str or Path
        Folder to make; an earlier simulation in it is overwritten.
    seed : int
        Seed; the same seed gives the same files, and the same continents and climates at every resolution.
    resolution : float
        Cell of the rasters, degrees (the biome and soil texture rasters are twice as fine, satellite production twice
        as coarse).
    radiocarbon_profiles, npp_sites, root_profiles : int
        Number of profiles and sites.
    parameters : DemoParameters, optional
        The truth, by default `DemoParameters()`; with `rate_sd=0` each layer is one pool.

    Returns
    -------
    DemoWorld
        The folder, the parameters of the simulation, and the true values.

    Raises
    ------
    InputError
        The folder holds files that were not simulated.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not is_simulated(folder):
        raise InputError("holds data that were not simulated; choose an empty folder for the demo world", file=folder)
    parameters = parameters or DemoParameters()
    geography_seed, *other_seeds = np.random.SeedSequence(seed).spawn(4)
    soil_rng, npp_rng, root_rng = map(np.random.default_rng, other_seeds)
    for name in ("israd", "npp", "roots"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    settings = {
        "seed": seed,
        "resolution": resolution,
        "profiles": radiocarbon_profiles,
        "npp_sites": npp_sites,
        "root_profiles": root_profiles,
    }
    told = "\n".join(f"{name} = {value}" for name, value in (settings | asdict(parameters)).items())
    (folder / MARKER).write_text(
        f"These data are simulated. No place, measurement or study in them is real.\n\n{told}\n", encoding="utf-8"
    )

    geography = Geography(geography_seed)
    rasters = RasterFolder(folder / "covariates")
    land, covariates = write_geography(geography, rasters, resolution)
    _write_carbon_maps(geography, rasters, land, covariates, MapGrid(resolution), parameters)
    rasters.write_manifest()
    places = _Places(CovariateStack(rasters.folder), MapGrid(resolution / 2))

    chosen = places.choose(soil_rng, radiocarbon_profiles)
    layers, planted_layers = radiocarbon_records(folder / "israd", chosen, parameters, soil_rng)
    profiles = in_standard_layers(layers, parameters)
    sites, planted_npp = npp_records(folder / "npp", places.choose(npp_rng, npp_sites), parameters, npp_rng)
    roots, planted_roots = root_records(folder / "roots", places.choose(root_rng, root_profiles), parameters, root_rng)
    return DemoWorld(
        folder, seed, parameters, layers, profiles, sites, roots, planted_layers | planted_npp | planted_roots
    )


def is_simulated(folder: str | Path) -> bool:
    """Whether a data folder is a simulated one."""
    return (Path(folder) / MARKER).is_file()


class _Places:
    """Chooses sites on land, each biome by the square root of its area: field studies seek out the rare ones."""

    def __init__(self, stack: CovariateStack, grid: MapGrid):
        self._stack, self._grid = stack, grid
        biome = stack.on_grid(grid, [])["biome"].values
        self._cells = np.flatnonzero(biome > 0)
        area = grid.area_ha.ravel()[self._cells]
        self._weights = area / np.sqrt(np.bincount(biome.ravel()[self._cells], area)[biome.ravel()[self._cells]])

    def choose(self, rng: np.random.Generator, n: int) -> pd.DataFrame:
        """Sites with `lat`, `lon`, the drivers and `biome`, as they are read from the rasters."""
        chosen = rng.choice(self._cells, 3 * n, p=self._weights / self._weights.sum())
        row, col = np.unravel_index(chosen, self._grid.shape)
        offset = rng.uniform(-0.49, 0.49, (2, len(chosen))) * self._grid.resolution
        lat, lon = (self._grid.lat[row] + offset[0]).round(4), (self._grid.lon[col] + offset[1]).round(4)
        table, _ = self._stack.sample(lat, lon, list(DRIVERS))
        table.insert(0, "lat", lat)
        table.insert(1, "lon", lon)
        usable = table.notna().all(axis=1) & (table["biome"] > 0) & ~table.duplicated(["lat", "lon"])
        return table[usable].head(n).reset_index(drop=True)


def _write_carbon_maps(
    geography: Geography,
    rasters: RasterFolder,
    land: NDArray[np.bool_],
    here: dict[str, Array],
    grid: MapGrid,
    p: DemoParameters,
) -> None:
    """Rasters that follow from the truth, each with an error of its own that varies smoothly over the world.

    Parameters
    ----------
    land : ndarray
        As `write_geography` returns them, for `grid`.
    here : dict of str to Array
        As `write_geography` returns them, for `grid`.
    """
    touched = touched_by_land(land, grid)
    lat, lon = (a[touched.ravel()] for a in cell_centres(grid))
    here = _with_biome(here)
    error = geography.surveyed(lat, lon)
    stock = p.stock(here, 0, 100) * np.exp(0.2 * error) / KG_M2_TO_MG_HA
    rasters.add("soc_stock_hwsd", spread(stock, touched), grid.transform, "kg m-2", "soil", note="0-1 m")
    frozen = np.isin(here["biome"], (6, 7)) & (here["bio1"] < 0) & (lat > 45)
    northern = spread(np.where(frozen, stock * np.exp(-0.3 * error), np.nan), touched)
    note = "0-1 m, northern permafrost region only"
    rasters.add("soc_stock_ncscd", northern, grid.transform, "kg m-2", "stock", note)

    coarse = MapGrid(180 / max(round(90 / grid.resolution), 1))
    touched = touched_by_land(land, coarse)
    lat, lon = (a[touched.ravel()] for a in cell_centres(coarse))
    here = _with_biome(geography.at(lat, lon))
    npp = p.median_bnpp(here) * (1 + np.exp(-p.logit_f_bnpp(here))) / G_M2_TO_MG_HA
    npp = np.nan_to_num(npp) * np.exp(0.15 * geography.surveyed(lat, lon))  # nothing grows on ice
    rasters.add("npp_satellite", spread(npp, touched), coarse.transform, "g C m-2 yr-1", "npp")


def _with_biome(covariates: dict[str, Array]) -> dict[str, Any]:
    natural = wwf_lookup(list(WWF_CLASSES))[covariates["wwf_biome"].astype(int)]
    return covariates | {"biome": with_croplands(natural, covariates["cropland_fraction"])}
