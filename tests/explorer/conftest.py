"""Explorers of a made-up run: coarse maps in one page, and fine ones in tiles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayes_rootc.constants import LAYER_NAMES, PROFILE_NAME
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.explorer.page import write_explorer
from bayes_rootc.report.results import Results
from tests.report.conftest import HOSTILE, finish

HOSTILE_SITE = f'{HOSTILE}" onmouseover="alert(2)" \'=1+1&amp;'


@pytest.fixture(scope="session")
def explored(tmp_path_factory) -> Path:
    """Folder of a run with an explorer; it has a site of a hostile name, and lacks a layer in its maps."""
    out = finish(tmp_path_factory.mktemp("explored"))
    sites = out / "tables" / "sites.csv"
    sites.write_text(sites.read_text(encoding="utf-8").replace("NPP-0", '"' + HOSTILE_SITE.replace('"', '""') + '"'))
    maps = xr.load_dataset(out / "maps" / "maps.nc", engine="h5netcdf").sel(layer=[*LAYER_NAMES[:-1], PROFILE_NAME])
    for statistic, factor in {"median": 1.0, "p025": 0.3, "p975": 2.5}.items():  # what other versions may map
        maps[f"age_{statistic}"] = (700 * factor * (maps["iroot_mean"] + 1)).assign_attrs(units="yr", long_name="age")
        maps[f"ibulk_t100_{statistic}"] = (0.4 * factor * maps["ibulk_mean"]).assign_attrs(units="Mg ha-1 yr-1")
    maps.to_netcdf(out / "maps" / "maps.nc", engine="h5netcdf")
    make(out)
    return out


@pytest.fixture(scope="session")
def fine(tmp_path_factory) -> Path:
    """Folder of a run whose maps are finer than half a degree, with an explorer in tiles."""
    out = finish(tmp_path_factory.mktemp("fine"))
    write_fine_maps(out / "maps" / "maps.nc")
    make(out)
    return out


def make(out: Path, **changes: object) -> Path:
    """The explorer of a run whose settings are changed."""
    results = Results(out)
    settings = json.loads((out / "run.json").read_text())["settings"] | changes
    try:
        return write_explorer(results, settings=settings, simulated=False)
    finally:
        results.close()


def write_fine_maps(path: Path) -> None:
    """Two statistics and the probability of a loss in two layers, on 700 × 1500 cells of a tenth of a degree, with a
    lake, and cells that lack a value.
    """
    grid, rng = MapGrid(0.1, (-75, -30, 75, 40)), np.random.default_rng(5)
    lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    field = 2 + np.sin(np.radians(3 * lat)) + 0.5 * np.cos(np.radians(5 * lon)) + rng.normal(0, 0.1, grid.shape)
    biome = np.where((np.hypot(lat, lon - 5) < 4) | (lon > 60), 0, 3).astype(np.uint8)
    maps = xr.Dataset(coords={"layer": ["0-20", "0-200"], "lat": grid.lat, "lon": grid.lon})
    for flux, factor in {"iroot": 1.0, "ibulk": 0.3, "iloss": 0.7}.items():
        for statistic, size in {"mean": 1.0, "p025": 0.4, "p975": 2.2}.items():
            both = np.stack([0.6 * field, field]) * factor * size - (0.4 if flux == "iloss" else 0)
            both[:, 100:110, 300:310] = np.nan
            maps[f"{flux}_{statistic}"] = ("layer", "lat", "lon"), np.where(biome > 0, both, np.nan).astype(np.float32)
        maps[f"{flux}_uncertainty"] = (maps[f"{flux}_p975"] - maps[f"{flux}_p025"]) / 2 / abs(maps[f"{flux}_mean"])
    maps["iloss_probability"] = maps["iloss_mean"] / 4
    for name in ("iroot", "ibulk"):
        maps[f"{name}_applicability"] = ("lat", "lon"), np.where(lon > 40, 1.3, 0.5).astype(np.float32)
    maps["biome"] = ("lat", "lon"), biome
    maps.to_netcdf(path, engine="h5netcdf")
