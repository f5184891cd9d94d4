"""Archives of model output that are made for tests: what is in each file is known in closed form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

STEP = 3.0
"""Side of a cell, degrees."""


def of_latitude(south: np.ndarray, north: np.ndarray) -> np.ndarray:
    """Mean of 1 + cos(latitude) over bands of the sphere."""
    low, high = np.radians([south, north])
    integral = (high - low) / 2 + (np.sin(2 * high) - np.sin(2 * low)) / 4
    return 1 + integral / (np.sin(high) - np.sin(low))


def rows(step: float = STEP) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres, southern and northern edges of bands."""
    edges = np.arange(-90, 90 + step / 2, step)
    return (edges[:-1] + edges[1:]) / 2, edges[:-1], edges[1:]


def askew() -> xr.Dataset:
    """A curvilinear grid, whose rows are shifted, and whose last columns are its first again."""
    lat, south, north = rows()
    lon = np.arange(0, 360 + 2 * STEP, STEP)[None] + 0.2 * np.arange(len(lat))[:, None]
    left, right = (lon + s * STEP / 2 for s in (-1, 1))
    shape = lon.shape
    lat_vertices = np.stack([np.broadcast_to(e[:, None], shape) for e in (south, south, north, north)], axis=-1)
    lon_vertices = np.stack([left, right, right, left], axis=-1) % 360
    values = np.broadcast_to(of_latitude(south, north)[:, None], shape)
    return xr.Dataset(
        {
            "field": (("j", "i"), values),
            "lat_vertices": (("j", "i", "v"), lat_vertices),
            "lon_vertices": (("j", "i", "v"), lon_vertices),
        },
        {
            "latitude": (("j", "i"), np.broadcast_to(lat[:, None], shape).copy(), coordinate("lat")),
            "longitude": (("j", "i"), lon % 360, coordinate("lon")),
        },
    )


def triangles() -> xr.Dataset:
    """An unstructured grid: cells cut in two, or whole with four vertices, in no order."""
    lat, south, north = rows()
    lon = np.arange(0, 360, STEP) + STEP / 2
    at = np.random.default_rng(1).permutation(2 * len(lat) * len(lon))
    row, column = (np.repeat(a.ravel(), 2)[at] for a in np.mgrid[: len(lat), : len(lon)])
    upper, low, high = (np.arange(len(at)) % 2)[at] == 1, south[row], north[row]
    left, right = lon[column] - STEP / 2, lon[column] + STEP / 2
    missing = np.full(len(at), np.nan)
    lat_vertices = np.stack([low, np.where(upper, high, low), high, missing], axis=-1)
    lon_vertices = np.stack([left, np.where(upper, left, right), right, missing], axis=-1)
    return xr.Dataset(
        {
            "field": ("cell", of_latitude(south, north)[row]),
            "lat_vertices": (("cell", "v"), np.radians(lat_vertices)),
            "lon_vertices": (("cell", "v"), np.radians(lon_vertices)),
        },
        {
            "clat": ("cell", np.radians(lat[row]), coordinate("lat") | {"units": "radian"}),
            "clon": ("cell", np.radians(lon[column]), coordinate("lon") | {"units": "radian"}),
        },
    )


def coordinate(kind: str) -> dict[str, str]:
    """Attributes of a coordinate."""
    name = {"lat": "latitude", "lon": "longitude"}[kind]
    units = {"lat": "degrees_north", "lon": "degrees_east"}[kind]
    return {"standard_name": name, "units": units, "bounds": f"{kind}_vertices"}


@dataclass(frozen=True)
class Run:
    """A run of a model: `level` is its value in 2000, which rises by 1 % a year and by 1 % a month within one."""

    model: str
    experiment: str
    member: str
    level: float
    era: str = "CMIP6"

    def value(self, years: Iterable[int]) -> float:
        """Mean over years of a calendar without leap days."""
        days = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
        months = 1 + 0.01 * np.arange(12)
        return float(np.mean([self.level * (1 + 0.01 * (y - 2000)) for y in years]) * (days @ months) / 365)

    def months(self, years: Iterable[int]) -> np.ndarray:
        """The field in each month."""
        return np.array([self.level * (1 + 0.01 * (y - 2000)) * (1 + 0.01 * m) for y in years for m in range(12)])


def write(root: Path, run: Run, name: str, grid: xr.Dataset, years: range, *, branding: str = "") -> Path:
    """A piece of a period of a variable, where an archive has it: value by month, times `field` of the grid."""
    time = xr.date_range(
        f"{years[0]}-01-01", periods=12 * len(years) + 1, freq="MS", calendar="noleap", use_cftime=True
    )
    values = run.months(years).reshape(-1, *[1] * grid["field"].ndim) * grid["field"].values[None]
    units = "kg m-2" if name.startswith("cSoil") else "kg m-2 s-1"
    scale = 1 if units == "kg m-2" else 1e-7
    where = list(grid["field"].coords)
    dataset = grid.drop_vars("field").assign_coords(time=("time", time[1:], {"bounds": "time_bnds", "axis": "T"}))
    dataset[name] = ("time", *grid["field"].dims), (scale * values).astype(np.float32), {"units": units}
    dataset[name].encoding["coordinates"] = " ".join(map(str, where))
    dataset[name].attrs["cell_methods"] = "area: mean where land time: mean"
    dataset["time_bnds"] = ("time", "bnds"), np.stack([time[:-1], time[1:]], axis=1)
    for axis in ("time", "time_bnds"):
        dataset[axis].encoding["units"] = "days since 1850-01-01"
    period = f"{years[0]}01-{years[-1]}12"
    common = {"source_id": run.model, "experiment_id": run.experiment, "variant_label": run.member, "grid_label": "gn"}
    if run.era == "CMIP7":
        dataset.attrs = common | {"mip_era": "CMIP7", "frequency": "mon", "branding_suffix": branding}
        folder = root / "MIP-DRS7/CMIP7/CMIP/INST" / run.model / run.experiment / run.member / "glb/mon" / name
        folder = folder / branding / "gn" / "v20260101"
        stem = f"{name}_{branding}_mon_glb_gn_{run.model}_{run.experiment}_{run.member}_{period}"
    else:
        dataset.attrs = common | {"mip_era": "CMIP6", "table_id": "Emon", "frequency": "mon", "variable_id": name}
        folder = root / "CMIP6/CMIP/INST" / run.model / run.experiment / run.member / "Emon" / name / "gn" / "v20200101"
        stem = f"{name}_Emon_{run.model}_{run.experiment}_{run.member}_gn_{period}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.nc"
    packed = {"zlib": True, "complevel": 1}
    dataset.to_netcdf(path, engine="h5netcdf", encoding={name: packed})
    return path


PIECES = (range(2006, 2009), range(2009, 2012), range(2012, 2015))
YEARS = range(2006, 2015)
MEMBERS = {"r1i1p1f1": 10.0, "r2i1p1f1": 12.0}
"""Value of each member in 2000."""

BRANDINGS = {"tavg-u-hxy-lnd": 1.0, "tavg-d100cm-hxy-lnd": 0.5, "tavg-u-hxy-ng": 0.1}
"""Three branded variables of CMIP7's cSoil (all soil, the first metre, grassland), and the ratio to the first."""


def esgf_tree(root: Path) -> Path:
    """Two models of two members and two experiments, in three pieces: CMIP6 names on a curvilinear grid, CMIP7 names on
    an unstructured one.
    """
    for member, level in MEMBERS.items():
        for experiment, factor in (("historical", 1.0), ("1pctCO2", 3.0)):
            older, newer = (
                Run("SKEW-ESM", experiment, member, factor * level),
                Run("TRI-ESM", experiment, member, factor * level, "CMIP7"),
            )
            for years in PIECES if experiment == "historical" else PIECES[:1]:
                write(root, older, "cSoil", askew(), years)
                for branding, part in BRANDINGS.items():
                    write(
                        root, replace(newer, level=part * newer.level), "cSoil", triangles(), years, branding=branding
                    )
    return root
