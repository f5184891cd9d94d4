"""Reference files for those who judge Earth system models: ILAMB and obs4MIPs (CF-1.11, ODS-2.6).

Each flux is a field over 0–200 cm, fixed in time, in kg m⁻² s⁻¹ of carbon, with the standard deviation of its posterior
(`sd`), the bounds of its 95 % interval (`lbnd`, `ubnd`) and the number of sites in the cell that informed it (`nobs`).

A flux names `sd` alone as its ancillary variable: of two ilamb3 makes bounds, and of these √(lower² + upper²), and it
refuses more. The bounds and the numbers are in the file, and say themselves what they are of.
"""

from __future__ import annotations

import uuid
from collections.abc import Hashable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cf_xarray.units
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..constants import INTERVAL, KM_PER_DEGREE, PROFILE_DEPTH_CM, PROFILE_NAME
from ..data.grid import MapGrid
from ..errors import InputError
from ..files import atomic_path
from ..mapping.variables import EVERY, PERSISTENCE, ROOT_PRODUCTION
from ..progress import Progress
from ..report.results import Results
from .grids import ModelGrid
from .members import Source, every_member, posterior_on

UNIT = "kg m-2 s-1"
FACTOR = float(cf_xarray.units.units.Quantity(1.0, "Mg ha-1 yr-1").to(UNIT).magnitude)

SOURCE_ID = "bayes-rootc"
FILL = np.float32(1e20)


@dataclass(frozen=True)
class Exported:
    """A flux as it is called outside.

    Attributes
    ----------
    flux : str
        What we call it.
    variable_id : str
        CMIP's where there is one.
    sites : tuple of int
        Estimates of `sites.csv` whose sites were measured for it.
    unit, meaning, standard_name : str
        Unit of the file; what it is, unless that of our map says it; its name in CF, or none.
    """

    flux: str
    variable_id: str
    sites: tuple[int, ...]
    unit: str = UNIT
    meaning: str = ""
    standard_name: str = ""

    @property
    def factor(self) -> float:
        """From our unit to that of the file."""
        return FACTOR if self.unit == UNIT else 1.0

    @property
    def long_name(self) -> str:
        """What it is, in words."""
        return f"{self.meaning or EVERY[self.flux].meaning}, 0-{PROFILE_DEPTH_CM} cm"


EXPORTED = (
    Exported("iroot", "nppRoot", (1,), standard_name=ROOT_PRODUCTION),
    Exported("ibulk", "iBulk", (3,)),
    Exported("iloss", "iLoss", (1, 3)),
    Exported("f_bnpp", "fBnpp", (1,), "1", "part of net primary production that goes below ground"),
    Exported("age", "ageSoil", (3,), "yr"),
    Exported("ibulk_t100", "iBulk100", (3,)),
)
"""Those that need forests of how long carbon stays come last; a run may lack them (`map_quantities`)."""

UNCERTAINTIES = {
    "sd": "standard deviation of the posterior",
    "lbnd": "2.5 % quantile of the posterior",
    "ubnd": "97.5 % quantile of the posterior",
    "nobs": "number of sites in the cell",
}


STATISTICS = ("mean", "sd", "lbnd", "ubnd")

type Fields = dict[str, NDArray[np.float64]]
"""`STATISTICS` of a flux, (lat, lon), from south to north; Mg C ha⁻¹ yr⁻¹, NaN off the mapped land."""

BAND_CELLS = 50_000
"""Cells whose members are held at once: with 500 of them 100 MB a flux."""

M2_PER_HA = 1e4
RESOLUTIONS = (
    (0.72, "0.5 km"), (1.6, "1 km"), (3.6, "2.5 km"), (7.2, "5 km"), (16, "10 km"), (36, "25 km"), (72, "50 km"),
    (160, "100 km"), (360, "250 km"), (720, "500 km"), (1600, "1000 km"), (3600, "2500 km"), (7200, "5000 km"),
)  # fmt: skip
"""Nominal resolutions of CMIP6: upper bound of a cell's mean diagonal (km), and the name of the class."""


@dataclass(frozen=True)
class Maker:
    """Who made the files, and what others may do with them: attributes that ODS-2.6 requires and no program can know.

    Parameters
    ----------
    institution : str
        Who made the files.
    contact : str
        Name and address of a contact.
    code : str
        Address of the code that made them.
    license : str
        Licence of the files.
    """

    institution: str = "bayes-rootc users"
    contact: str = "N/A"
    code: str = "N/A"
    license: str = "Creative Commons Attribution 4.0 International (CC BY 4.0)"


ANYONE = Maker()


def export(
    kind: str,
    out: Path,
    to: Path,
    resolution: float | None = None,
    *,
    data: Path | None = None,
    who: Maker = ANYONE,
    progress: Progress | None = None,
) -> list[Path]:
    """Writes reference files from the maps of a finished run.

    Parameters
    ----------
    kind : {"ilamb", "obs4mips"}
        For ILAMB, one file for each flux, with its uncertainty; for obs4MIPs, one file for each variable, also for the
        uncertainty and the areas of cells.
    out : Path
        Output folder of the run.
    to : Path
        Folder to write into.
    resolution : float, optional
        Cell size, degrees: that of the maps, or a multiple of it, over which members are averaged; by default 0.5, or
        that of coarser maps.
    data : Path, optional
        Data folder, if it has moved since the run.
    who : Maker
        Who made the files.
    progress : callable, optional
        Called with the rows done and wanted.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    InputError
        Maps or models are missing, or the resolution is not one that they can be brought to.
    """
    results = Results.read(out, data=data)
    try:
        source = Source.of(results)
        grid, times = _target(source.grid, resolution or max(0.5, source.grid.resolution))
        fields = _aggregated(source, grid, times, progress)
        paths = []
        for exported in EXPORTED:
            if exported.flux not in fields:
                continue
            dataset = _dataset(exported, fields[exported.flux], grid, results)
            attributes = _attributes(kind, exported, grid, times, results, who)
            paths += (_write_ilamb if kind == "ilamb" else _write_obs4mips)(dataset, attributes, to)
        if kind == "obs4mips":
            paths.append(_write_areas(dataset, attributes, to))
    finally:
        results.close()
    return paths


def _target(native: MapGrid, step: float) -> tuple[MapGrid, int]:
    """The grid of the files, and how many map cells make one of its cells, a side."""
    times = step / native.resolution
    whole = round(times)
    if times < 0.999 or abs(times - whole) > 1e-6 or any(n % whole for n in native.shape):
        raise InputError(
            f"--resolution {step:g}: expected that of the maps, {native.resolution:g}°, or a multiple of it that parts "
            f"their {native.shape[0]} rows and {native.shape[1]} columns evenly"
        )
    return MapGrid(step, native.bbox), whole


def _aggregated(source: Source, grid: MapGrid, times: int, progress: Progress | None) -> dict[str, Fields]:
    """Statistics of the members' means over cells, some rows at a time."""
    rows = max(BAND_CELLS // grid.shape[1], 1)
    bands: dict[str, list[NDArray[Any]]] = {}
    staying = source.models.persistence.keys()
    wanted = [e.flux for e in EXPORTED if e.flux not in PERSISTENCE or e.flux in staying]
    wanted = [flux for flux in wanted if flux != "age" or "transit_time" in staying]
    for row in range(0, grid.shape[0], rows):
        band = grid.rows(row, rows)
        part = replace(source, grid=source.grid.rows(row * times, band.shape[0] * times))
        posterior = posterior_on(ModelGrid.like(band), part, make=every_member)
        for flux in wanted:
            draws = _draws(flux, posterior)
            field = np.full((len(STATISTICS), band.shape[0] * band.shape[1]), np.nan)
            if len(draws):
                bounds = np.quantile(draws, INTERVAL, axis=1)
                field[:, posterior["cell"].values] = draws.mean(axis=1), draws.std(axis=1), *bounds
            bands.setdefault(flux, []).append(field.reshape(-1, *band.shape))
        if progress:
            progress(row + band.shape[0], grid.shape[0])
    return {flux: dict(zip(STATISTICS, np.concatenate(b, axis=1)[:, ::-1], strict=True)) for flux, b in bands.items()}


def _draws(flux: str, posterior: xr.Dataset) -> NDArray[np.floating]:
    """Members of a flux, (cell, member); none where there is no land."""
    if not posterior.sizes["cell"]:
        return np.empty((0, 0))
    member = {name: values[:, 0] if values.ndim == 3 else values for name, values in _arrays(posterior).items()}
    match flux:
        case "iloss":
            return member["iroot"] - member["ibulk"]
        case "age":
            return member["aged"] / member["carbon"]
    return member[flux]


def _arrays(posterior: xr.Dataset) -> dict[str, NDArray[np.floating]]:
    return {str(name): array.values for name, array in posterior.items() if "draw" in array.dims}


def _dataset(exported: Exported, fields: Fields, grid: MapGrid, results: Results) -> xr.Dataset:
    """A flux with its uncertainty, coordinates with bounds, and areas of cells."""
    half, name = grid.resolution / 2, exported.variable_id
    lat, lon = grid.lat[::-1], grid.lon
    dataset = xr.Dataset(
        coords={
            "lat": ("lat", lat, _axis("latitude", "degrees_north", "Y")),
            "lon": ("lon", lon, _axis("longitude", "degrees_east", "X")),
            "depth": ((), PROFILE_DEPTH_CM / 200, _axis("depth", "m", "Z") | {"positive": "down"}),
        }
    )
    bounds = {
        "lat": np.clip(np.stack([lat - half, lat + half], axis=1), -90, 90),
        "lon": np.stack([lon - half, lon + half], axis=1),
        "depth": np.array([0.0, PROFILE_DEPTH_CM / 100]),
    }
    for axis, values in bounds.items():
        dataset[f"{axis}_bnds"] = (*dataset[axis].dims, "bnds"), values
    area = {"standard_name": "cell_area", "long_name": "area of the grid cell", "units": "m2"}
    dataset["areacella"] = ("lat", "lon"), (grid.area_ha[::-1] * M2_PER_HA).astype(np.float32), area
    common = {"cell_measures": "area: areacella"}
    long_name = exported.long_name
    for statistic, values in fields.items():
        main = statistic == "mean"
        attributes = {
            "long_name": long_name if main else f"{UNCERTAINTIES[statistic]}: {long_name}",
            "units": exported.unit,
        }
        if exported.standard_name and statistic in ("mean", "sd"):
            attributes["standard_name"] = exported.standard_name + ("" if main else " standard_error")
        if main:
            attributes |= {"cell_methods": "area: mean where land", "ancillary_variables": f"{name}_sd"}
        key = name if main else f"{name}_{statistic}"
        dataset[key] = ("lat", "lon"), (exported.factor * values).astype(np.float32), attributes | common
    counted = {"standard_name": "number_of_observations", "units": "1"}
    counted["long_name"] = f"{UNCERTAINTIES['nobs']}: {long_name}"
    sites = np.where(np.isfinite(fields["mean"]), _sites(exported, grid, results)[::-1], np.nan)
    dataset[f"{name}_nobs"] = ("lat", "lon"), sites.astype(np.float32), counted | common
    return dataset


def _axis(standard_name: str, units: str, axis: str) -> dict[str, str]:
    short = {"latitude": "lat", "longitude": "lon"}.get(standard_name, standard_name)
    return {
        "standard_name": standard_name,
        "long_name": standard_name,
        "units": units,
        "axis": axis,
        "bounds": f"{short}_bnds",
    }


def _sites(exported: Exported, grid: MapGrid, results: Results) -> NDArray[np.float64]:
    """Sites in each cell that informed a flux, (lat, lon), north up."""
    table = results.table("sites")
    used = table[table["estimate"].isin(exported.sites) & (table["layer"] == PROFILE_NAME)]
    rows = np.floor((grid.bbox[3] - used["lat"].to_numpy()) / grid.resolution).astype(int)
    cols = np.floor((used["lon"].to_numpy() - grid.bbox[0]) % 360 / grid.resolution).astype(int)
    inside = (rows >= 0) & (rows < grid.shape[0]) & (cols >= 0) & (cols < grid.shape[1])
    counts = np.zeros(grid.shape)
    np.add.at(counts, (rows[inside], cols[inside]), 1)
    return counts


def _attributes(
    kind: str, exported: Exported, grid: MapGrid, times: int, results: Results, who: Maker
) -> dict[str, str]:
    """Global attributes of ODS-2.6."""
    now, made = datetime.now(UTC), version("bayes-rootc")
    step, simulated = grid.resolution, "SIMULATED demo world: " if results.simulated else ""
    identity = "-".join("".join(c if c.isalnum() else " " for c in who.institution).split()) or "unknown"
    return {
        "Conventions": "CF-1.11 ODS-2.6",
        "activity_id": "ILAMB" if kind == "ilamb" else "obs4MIPs",
        "aux_uncertainty_id": "sd",
        "comment": "Members of the posterior are averaged over cells, then summarised. sd: standard deviation of the "
        "posterior; lbnd, ubnd: its 2.5 and 97.5 % quantiles; nobs: number of sites in the cell.",
        "contact": who.contact,
        "creation_date": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "data_specs_version": "2.6",
        "dataset_contributor": who.institution,
        "frequency": "fx",
        "grid": f"{step:g}x{step:g} degree latitude x longitude",
        "grid_label": "gn" if times == 1 else "gr",
        "has_aux_unc": "TRUE",
        "history": f"{now:%Y-%m-%d}: bayes-rootc {made} export {kind}, seed {results.run['seed']}",
        "institution": who.institution,
        "institution_id": identity,
        "license": who.license,
        "nominal_resolution": nominal_resolution(step),
        "processing_code_location": who.code,
        "product": "derived",
        "realm": "land",
        "references": "Wang, Xiao et al., Most root-derived carbon inputs do not contribute to the global bulk soil "
        "carbon pool (method)",
        "region": "global_land",
        "source": "random forests of radiocarbon inversions (ISRaD), of belowground production and of root profiles",
        "source_id": SOURCE_ID,
        "source_label": SOURCE_ID,
        "source_type": "AI_upscaling",
        "source_version_number": made,
        "title": f"{simulated}{exported.long_name}",
        "tracking_id": f"hdl:21.14102/{uuid.uuid4()}",
        "variable_id": exported.variable_id,
        "variant_info": "posterior of one run of bayes-rootc",
        "variant_label": identity,
        "site_location": "N/A",
        "version": now.strftime("v%Y%m%d"),
    }


def nominal_resolution(step: float) -> str:
    """Nominal resolution of CMIP6 of a regular grid, from the global mean of the cells' diagonals.

    Examples
    --------
    >>> [nominal_resolution(step) for step in (0.05, 0.5, 1.0, 2.5)]
    ['5 km', '50 km', '100 km', '250 km']
    """
    diagonal = step * KM_PER_DEGREE * np.hypot(1, np.pi / 4)
    return next((name for limit, name in RESOLUTIONS if diagonal < limit), "10000 km")


def _write_ilamb(dataset: xr.Dataset, attributes: dict[str, str], to: Path) -> list[Path]:
    """Writes all variables into one file."""
    return [_write(dataset, attributes, to)]


def _write_obs4mips(dataset: xr.Dataset, attributes: dict[str, str], to: Path) -> list[Path]:
    """A file a variable, on longitudes from 0 to 360."""
    name = attributes["variable_id"]
    outside = attributes | {"external_variables": "areacella"}
    files = [_write(_alone(dataset, name), outside, to)]
    for statistic, meaning in UNCERTAINTIES.items():
        own = {"variable_id": f"{name}_{statistic}", "aux_uncertainty_id": statistic, "has_aux_unc": "FALSE"}
        own["title"] = f"{meaning}: {attributes['title']}"
        files.append(_write(_alone(dataset, own["variable_id"]), outside | own, to))
    return files


def _write_areas(dataset: xr.Dataset, attributes: dict[str, str], to: Path) -> Path:
    """Areas of the cells, of which the other files say that they are outside."""
    own = {"variable_id": "areacella", "has_aux_unc": "FALSE", "title": "area of the grid cells"}
    kept = {name: text for name, text in attributes.items() if name not in ("aux_uncertainty_id", "comment")}
    return _write(_alone(dataset, "areacella").drop_vars(["depth", "depth_bnds"]), kept | own, to)


def _alone(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """One variable with its coordinates, on longitudes from 0 to 360."""
    others = [v for v in dataset.data_vars if v != name and not str(v).endswith("_bnds")]
    alone = dataset.drop_vars(others)
    half = (alone["lon_bnds"][0, 1] - alone["lon_bnds"][0, 0]) / 2
    turned = alone.assign_coords(lon=("lon", alone["lon"].values % 360, alone["lon"].attrs)).sortby("lon")
    turned["lon_bnds"] = ("lon", "bnds"), turned["lon"].values[:, None] + float(half) * np.array([-1, 1])
    turned[name].attrs.pop("ancillary_variables", None)
    return turned


def _write(dataset: xr.Dataset, attributes: dict[str, str], to: Path) -> Path:
    dataset = dataset.copy()
    dataset.attrs = dict(sorted(attributes.items()))
    encoding: dict[Hashable, dict[str, Any]] = {}
    for name in dataset.variables:
        bare = name in dataset.coords or str(name).endswith("_bnds")
        packed = {"zlib": True, "complevel": 4, "shuffle": True, "_FillValue": FILL}
        encoding[name] = {"_FillValue": None} if bare else packed
        if bare or name == "areacella":
            dataset[name].encoding["coordinates"] = None
    facets = "activity_id institution_id source_id frequency variable_id grid_label version".split()
    path = to / f"{'_'.join(attributes[facet] for facet in facets)}.nc"
    with atomic_path(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)
    return path
