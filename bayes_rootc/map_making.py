"""Maps from the fitted models in an output folder: tiles, files, totals."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pandas as pd
import xarray as xr

from . import demo
from .data.grid import MapGrid
from .data.tables import SourceCheck
from .files import write_csv
from .mapping.tiles import MapJob, begin, finish, gather, make_tiles
from .mapping.totals import totals_tables
from .mapping.writers import open_store, write_cogs, write_netcdf
from .mapping.zones import Zones
from .progress import Progress, Stages, part_of
from .report.tables import checks_table
from .settings import RunSettings, step_seed

MAP_CELLS = "map cells at"
"""Of what resolution; how they are called among the sources of `tables/checks.csv`."""

MAP_TITLE = "Root carbon inputs, their part that reaches bulk soil, and the loss between them"


def draw_maps(
    folder: Path,
    settings: RunSettings,
    *,
    resume: bool = False,
    dask: str | None = None,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, SourceCheck]:
    """Maps of the three fluxes with their uncertainty, tile by tile, from the fitted models in the output folder; and
    totals in which one member is one whole map.

    Parameters
    ----------
    folder : data folder. resume : goes on with the tiles that a run with the same settings left. dask : address of a
        scheduler that makes the tiles, or `local`.

    Returns
    -------
    Totals by biome, and how many land cells could not be mapped.
    """
    grid = MapGrid.like(settings.map_like) if settings.map_like else MapGrid(settings.resolution, settings.bbox)
    job = MapJob(
        covariates=folder / "covariates",
        out=settings.out,
        grid=grid,
        tile=settings.tile,
        members=settings.members,
        seed=step_seed(settings, "maps"),
        nearest_km=settings.nearest_km,
        coherent=settings.map_mode == "coherent",
        zones=Zones(settings.zones, settings.zone_field) if settings.zones else None,
    )
    places = begin(job, resume=resume)
    make_tiles(job, places, workers=settings.workers, dask=dask, progress=part_of(progress, 0, 3))
    totals, cells, lacking = gather(job)
    path, files = job.work / "maps.zarr", []
    store = open_store(path)
    if "cog" in settings.map_formats:
        files += write_cogs(job.work / "cog", store, grid, workers=settings.workers, progress=part_of(progress, 1, 3))
    if "netcdf" in settings.map_formats:
        files.append(job.work / "maps.nc")
        write_netcdf(
            files[-1],
            store,
            grid,
            title=MAP_TITLE + (" (SIMULATED demo world)" if demo.is_simulated(folder) else ""),
            history=f"bayes-rootc {version('bayes-rootc')}, seed {settings.seed}",
            progress=part_of(progress, 2, 3),
        )
    finish(job, files + ([path] if "zarr" in settings.map_formats else []))
    with xr.open_dataset(job.shares, engine="h5netcdf") as shares:
        tables = totals_tables(totals, shares["expected"].values, job.zones.names if job.zones else [])
    for name, table in tables.items():
        write_csv(settings.out / "tables" / f"{name}.csv", table)
    dropped = {f"a covariate missing within {settings.nearest_km:g} km": lacking} if lacking else {}
    where = f"{MAP_CELLS} {grid.resolution:g}°"
    return tables["map_totals"], SourceCheck(where, str(job.covariates), cells + lacking, cells, dropped)


def map_again(
    folder: Path, settings: RunSettings, *, resume: bool = False, dask: str | None = None, quiet: bool = False
) -> Path:
    """Maps from the models of a finished run or training; parameters as `draw_maps`. Returns their folder.

    Raises
    ------
    InputError : the models are missing, or unfinished tiles are of other settings.
    """
    stages, table = Stages(1, quiet=quiet), settings.out / "tables" / "checks.csv"
    with stages.stage("maps") as progress:
        _, mapped = draw_maps(folder, settings, resume=resume, dask=dask, progress=progress)
    known = pd.read_csv(table) if table.exists() else pd.DataFrame(columns=["source"])
    kept = known[~known["source"].astype(str).str.startswith(MAP_CELLS)]
    write_csv(table, pd.concat([kept, checks_table([mapped])], ignore_index=True))
    return settings.out / "maps"
