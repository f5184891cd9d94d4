"""Maps from the fitted models in an output folder: tiles, files, totals."""

from __future__ import annotations

from importlib.metadata import version

import pandas as pd
import xarray as xr

from .. import demo
from ..data.grid import MapGrid
from ..data.tables import SourceCheck
from ..files import write_csv
from ..mapping.learners import Learners
from ..mapping.maps import read_root_shares
from ..mapping.ranges import range_table
from ..mapping.tiles import MapJob, begin, finish, gather, make_tiles
from ..mapping.totals import totals_tables
from ..mapping.writers import open_store, write_cogs, write_netcdf
from ..mapping.zones import Zones
from ..progress import Progress, part_of
from ..settings import RunSettings, step_seed
from .engine import Step
from .inputs import data_folder, manifest_of
from .record import MAP_CELLS, write_checks

MAP_TITLE = "Root carbon inputs, their part that reaches bulk soil, and the loss between them"


def draw_maps(
    learners: Learners, root_depth: xr.Dataset, settings: RunSettings, progress: Progress | None = None
) -> None:
    """Maps of the three fluxes with their uncertainty, tile by tile; and totals in which one member is one whole map.

    The tiles read the models from their files, as they may be made by other processes. `tables/checks.csv` says how
    many land cells could not be mapped.

    Raises
    ------
    InputError
        The models are missing, or unfinished tiles, which `resume` asks for, were made with something else.
    """
    folder = data_folder(settings)
    grid = MapGrid.like(settings.map_like) if settings.map_like else MapGrid(settings.resolution, settings.bbox)
    job = MapJob(
        covariates=folder / "covariates",
        manifest=manifest_of(settings)[0],
        out=settings.out,
        grid=grid,
        tile=settings.tile,
        members=settings.members,
        seed=step_seed(settings, "maps"),
        nearest_km=settings.nearest_km,
        coherent=settings.map_mode == "coherent",
        zones=Zones(settings.zones, settings.zone_field) if settings.zones else None,
    )
    places = begin(job, resume=settings.resume)
    make_tiles(job, places, workers=settings.workers, dask=settings.dask, progress=part_of(progress, 0, 3))
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
    ranges = range_table(store, grid)
    finish(job, files + ([path] if "zarr" in settings.map_formats else []))
    _, expected = read_root_shares(job.shares)
    tables = totals_tables(totals, expected, job.zones.names if job.zones else [])
    for name, table in tables.items():
        write_csv(settings.out / "tables" / f"{name}.csv", table)
    write_csv(settings.out / "tables" / "map_ranges.csv", ranges)
    dropped = {f"a covariate missing within {settings.nearest_km:g} km": lacking} if lacking else {}
    where = f"{MAP_CELLS} {grid.resolution:g}°"
    write_checks(settings.out, [SourceCheck(where, str(job.covariates), cells + lacking, cells, dropped)])


def read_totals(settings: RunSettings) -> pd.DataFrame:
    """Read the totals by biome that `draw_maps` wrote."""
    return pd.read_csv(settings.out / "tables" / "map_totals.csv")


MAPS = Step(
    "maps",
    draw_maps,
    ("learners", "root_depth"),
    (
        "covariates",
        "members",
        "resolution",
        "bbox",
        "map_like",
        "map_mode",
        "map_formats",
        "zones",
        "zone_field",
        "tile",
    ),
    ("maps/**/*", "tables/map_totals*.csv", "tables/map_ranges.csv"),
    read=read_totals,
)
