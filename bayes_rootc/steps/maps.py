"""Maps from the fitted models in an output folder: tiles, files, totals."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version

import pandas as pd
import xarray as xr

from .. import demo
from ..data.covariates import CovariateStack
from ..data.grid import MapGrid
from ..data.manifest import read_manifest
from ..data.tables import SourceCheck
from ..files import write_csv
from ..mapping.catalogue import Origin, describe_maps
from ..mapping.geotiffs import Picture, write_cogs
from ..mapping.learners import Learners
from ..mapping.maps import read_root_shares
from ..mapping.parts import require_tiles
from ..mapping.ranges import range_table
from ..mapping.tiles import MapJob, begin, finish, gather, make_tiles
from ..mapping.totals import totals_tables
from ..mapping.writers import About, open_store, say_about, write_netcdf
from ..mapping.zones import Zones
from ..progress import Progress, part_of
from ..settings import RunSettings, step_seed
from .engine import Step
from .inputs import data_folder, manifest_of
from .record import MAP_CELLS, write_checks

SAMPLED = (1950, 2020)
"""Years that the public radiocarbon samples are from."""

MAP_TITLE = "Root carbon inputs, their part that reaches bulk soil, and the loss between them"


def draw_maps(
    learners: Learners,
    root_depth: xr.Dataset,
    persistence_forests: None,
    production: None,
    settings: RunSettings,
    progress: Progress | None = None,
    *,
    joining: bool = False,
) -> None:
    """Maps of the three fluxes with their uncertainty, tile by tile; and totals in which one member is one whole map.

    The tiles read the models from their files, as they may be made by other processes. `tables/checks.csv` says how
    many land cells could not be mapped.

    Parameters
    ----------
    joining : bool
        Takes tiles that parts have made (`mapping.parts`), and makes none.

    Raises
    ------
    InputError
        The models are missing, or unfinished tiles, which `resume` asks for, were made with something else; joining:
        tiles are missing.
    """
    job = map_job(settings)
    if joining:
        require_tiles(job)
    grid = job.grid
    places = begin(job, resume=settings.resume)
    make_tiles(job, places, workers=settings.workers, dask=settings.dask, progress=part_of(progress, 0, 3))
    totals, cells, lacking = gather(job)
    store_path, folder = job.work / "maps.zarr", job.work / "files"
    store, about, made = open_store(store_path), about_maps(job, settings), list[Picture]()
    if "cog" in settings.map_formats:
        made = write_cogs(folder, store, grid, about, workers=settings.workers, progress=part_of(progress, 1, 3))
    if "netcdf" in settings.map_formats:
        write_netcdf(folder / "maps.nc", store, grid, about, progress=part_of(progress, 2, 3))
    if "zarr" in settings.map_formats:
        for path in store_path.rglob("*.partial"):  # of a chunk that a killed process was writing
            path.unlink()
    say_about(store_path, about)
    describe_maps(folder, made, grid, Origin(about, _years(settings), _sources(job)))
    ranges = range_table(store, grid)
    finish(job, [*folder.iterdir(), *([store_path] if "zarr" in settings.map_formats else [])])
    _, expected = read_root_shares(job.shares)
    tables = totals_tables(totals, expected, job.zones.names if job.zones else [])
    for name, table in tables.items():
        write_csv(settings.out / "tables" / f"{name}.csv", table)
    write_csv(settings.out / "tables" / "map_ranges.csv", ranges)
    dropped = {f"a covariate missing within {settings.nearest_km:g} km": lacking} if lacking else {}
    where = f"{MAP_CELLS} {grid.resolution:g}°"
    write_checks(settings.out, [SourceCheck(where, str(job.covariates), cells + lacking, cells, dropped)])


def map_job(settings: RunSettings) -> MapJob:
    """What is mapped under these settings."""
    return MapJob(
        covariates=data_folder(settings) / "covariates",
        manifest=manifest_of(settings)[0],
        out=settings.out,
        grid=MapGrid.like(settings.map_like) if settings.map_like else MapGrid(settings.resolution, settings.bbox),
        tile=settings.tile,
        members=settings.members,
        seed=step_seed(settings, "maps"),
        nearest_km=settings.nearest_km,
        mode=settings.map_mode,
        quantities=settings.map_quantities,
        iroot_model=settings.iroot_model,
        layers=settings.map_layers,
        statistics=settings.map_statistics,
        precision=settings.map_precision,
        zones=Zones(settings.zones, settings.zone_field) if settings.zones else None,
    )


def about_maps(job: MapJob, settings: RunSettings) -> About:
    """What is said of the maps in each of their files: the same for the same models, covariates and settings."""
    simulated = demo.is_simulated(data_folder(settings))
    software = f"bayes-rootc {version('bayes-rootc')}"
    plan = json.loads((job.work / "plan.json").read_text(encoding="utf-8"))
    for path in CovariateStack(job.covariates, job.manifest).files:
        plan[path.name] = plan[path.name][0]  # its size; copies of a raster have other times
    return {
        "title": MAP_TITLE + (" (SIMULATED demo world)" if simulated else ""),
        "summary": "Posterior means and quantiles of root-derived carbon inputs, of those that reach bulk soil and of "
        "the loss between them, by soil layer, and where the forests that predict them may be trusted.",
        "source": "simulated world" if simulated else "radiocarbon, production and root profiles at sites, covariates",
        "history": f"{software}, seed {settings.seed}",
        "software": software,
        "references": "Wang, Xiao et al., Most root-derived carbon inputs do not contribute to the global bulk soil "
        "carbon pool (method)",
        "license": settings.license,
        "run_id": hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16],
    }


def _sources(job: MapJob) -> list[dict[str, str]]:
    """Sources of the covariates, each once, as their manifest names them."""
    found = dict[str, dict[str, str]]()
    for entry in read_manifest(CovariateStack(job.covariates, job.manifest).manifest).covariates:
        if entry.source:
            licence = {"licence": entry.licence} if entry.licence else {}
            found.setdefault(entry.source, {"title": entry.source} | licence)
    return list(found.values())


def _years(settings: RunSettings) -> tuple[int, int]:
    """First and last year in which radiocarbon was sampled, as far as the output folder says it."""
    path = settings.out / "tables" / "layers.csv"
    if not path.is_file():
        return SAMPLED
    year = pd.read_csv(path, usecols=["year"])["year"]
    return int(year.min()), int(year.max())


def read_totals(settings: RunSettings) -> pd.DataFrame:
    """Read the totals by biome that `draw_maps` wrote."""
    return pd.read_csv(settings.out / "tables" / "map_totals.csv")


MAPS = Step(
    "maps",
    draw_maps,
    ("learners", "root_depth", "persistence_forests", "production"),
    (
        "covariates",
        "members",
        "resolution",
        "bbox",
        "map_like",
        "map_mode",
        "map_formats",
        "map_quantities",
        "map_layers",
        "map_statistics",
        "map_precision",
        "license",
        "zones",
        "zone_field",
        "tile",
    ),
    ("maps/**/*", "tables/map_totals*.csv", "tables/map_ranges.csv"),
    read=read_totals,
)
