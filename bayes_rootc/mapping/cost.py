"""What a map costs before it is made: memory, time and size of files, from a few tiles that are made and removed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from ..data.covariates import CovariateStack
from ..errors import InputError
from ..memory import peak_memory_gib
from ..progress import Progress
from .geotiffs import BLOCK, write_cogs
from .maps import MapModels, land_cells
from .tiles import MapJob, Place, map_into
from .writers import Rounding, create_store, open_store, write_netcdf

SAMPLE, SAMPLE_SEED = 4, 20
"""Number of tiles that are made as a sample, and the seed by which they are drawn, all but the one with most land. That
one takes most memory.
"""

QUICK = 5.0
"""Seconds. A sampled tile that took less is made again: other numbers of cells are compiled anew, which is most of the
time of a small tile, but comes once in a map and not once in a tile.
"""

CORES = (1, 16, 256)

MEMORY, CELL_MEMORY = 0.8, 2e3
"""GiB of a process where the system does not say it; bytes of each further worker for each cell of a tile."""


def map_cost(job: MapJob, formats: Sequence[str], workers: int, progress: Progress | None = None) -> Table:
    """A table of what a map costs, from `SAMPLE` of its tiles with land, which are made in a temporary folder.

    Parameters
    ----------
    formats : sequence of str
        Formats that are wanted; the table has the size of each there is.
    workers : int
        Tiles that one process makes at once.

    Raises
    ------
    InputError
        The models are missing, or there is no land.
    """
    job.plan()  # misses the models
    stack, places = CovariateStack(job.covariates, job.manifest), job.places()
    biomes = (stack.on_grid(job.grid.part(*place, job.tile), [])["biome"].values for place in places)
    cells, land = np.array([(biome.size, (biome > 0).sum()) for biome in biomes]).T
    with_land = np.flatnonzero(land)
    if not len(with_land):
        raise InputError(f"no land cell in the box {job.grid.bbox}", file=job.covariates)
    others = np.random.default_rng(SAMPLE_SEED).permutation(np.setdiff1d(with_land, land.argmax()))
    drawn = np.r_[others[: SAMPLE - 1], land.argmax()]
    made, written = [], []
    with tempfile.TemporaryDirectory() as folder:
        begun = _clock()
        models = job.models()
        _make(job, stack, models, places[drawn[0]], Path(folder) / "first")  # compiles
        start = _since(begun)
        for done, i in enumerate(drawn, 1):
            times = _make(job, stack, models, places[i], Path(folder) / str(i))
            if sum(times) < QUICK:
                times = _make(job, stack, models, places[i], Path(folder) / f"{i} again")
            made.append(times)
            written.append(_write(job, places[i], Path(folder) / str(i)))
            if progress:
                progress(done, len(drawn))
    reading, making = np.array(made).T
    share, side = land.sum() / land[drawn].sum(), max(job.grid.shape)
    # Reading takes time for each cell of a tile with land, all else for each cell of land.
    tiles = reading.sum() * cells[with_land].sum() / cells[drawn].sum() + making.sum() * share
    (cogs, cog_bytes), (netcdf, netcdf_bytes), (_, zarr_bytes) = np.sum(written, axis=0) * share
    overviews = _overviews(side) / _overviews(min(side, job.tile))  # a GeoTIFF of one tile has fewer, or none
    cogs, cog_bytes = cogs * overviews, cog_bytes * overviews
    joining = ("cog" in formats) * cogs / workers + ("netcdf" in formats) * netcdf

    table = Table(show_header=False, caption_justify="left")
    table.add_row("cells", f"{cells.sum():,}, {land.sum():,} of them land")
    table.add_row("tiles", f"{len(places):,} of {job.tile} × {job.tile} cells, {len(with_land):,} of them with land")
    memory = (peak_memory_gib() or MEMORY) * 2**30 + CELL_MEMORY * (workers - 1) * int(cells.max())
    table.add_row(f"memory, {workers} worker{'s' * (workers > 1)}", f"{memory / 1e9:.1f} GB")
    for cores in CORES:
        used = f" ({len(with_land):,} used, a tile each)" if cores > len(with_land) else ""
        seconds = max(start - reading[0] - making[0], 0) + tiles / min(cores, len(with_land))
        table.add_row(f"time on {cores} core{'s' * (cores > 1)}", f"{_in_time(seconds)}{used}")
    table.add_row("joining, on one machine", f"up to {_in_time(joining)}")  # opening a file counts once a tile
    table.add_row("GeoTIFFs (cog)", f"{cog_bytes / 1e9:.2g} GB")
    table.add_row("NetCDF file (netcdf)", f"{netcdf_bytes / 1e9:.2g} GB")
    table.add_row("Zarr store (zarr)", f"{zarr_bytes / 1e9:.2g} GB, also needed until the maps are finished")
    random = f"{len(drawn) - 1} tile{'s' * (len(drawn) > 2)} drawn at random and " * (len(drawn) > 1)
    sample = f"{random}the one with most land, {land[drawn].sum():,} cells of land, made here and removed"
    table.caption = f"Times, sizes and memory are estimated from a sample: {sample}."
    return table


def _make(job: MapJob, stack: CovariateStack, models: MapModels, place: Place, path: Path) -> tuple[float, float]:
    """Makes a tile as a map of its own; gives the seconds that reading its covariates took, and all else."""
    grid, begun = job.grid.part(*place, job.tile), _clock()
    cells = land_cells(stack, grid, nearest_km=job.nearest_km)
    reading, begun = _since(begun), _clock()
    create_store(path / "zarr", grid, job.tile, job.choice, Rounding.to(job.precision))
    if len(cells.index):
        map_into(open_store(path / "zarr", write=True), (0, 0), cells, job, models)
    return reading, _since(begun)


def _write(job: MapJob, place: Place, path: Path) -> list[tuple[float, int]]:
    """Seconds in which the files of a tile are made, and their bytes: GeoTIFFs, NetCDF, Zarr."""
    grid, store, begun = job.grid.part(*place, job.tile), open_store(path / "zarr"), _clock()
    write_cogs(path / "cog", store, grid, {}, workers=1)
    cogs, begun = _since(begun), _clock()
    write_netcdf(path / "netcdf" / "maps.nc", store, grid, {})
    seconds = cogs, _since(begun), 0.0
    sizes = [sum(f.stat().st_size for f in (path / n).rglob("*") if f.is_file()) for n in ("cog", "netcdf", "zarr")]
    return list(zip(seconds, sizes, strict=True))


def _clock() -> NDArray[np.float64]:
    return np.array([time.perf_counter(), time.process_time()])


def _since(begun: NDArray[np.float64]) -> float:
    """Seconds of one core since then: waiting for files counts, and so does what several threads do at once."""
    return float((_clock() - begun).max())


def _overviews(side: float) -> float:
    """Cells of a GeoTIFF with its overviews, over those without."""
    return 1.0 if side <= BLOCK else 1.0 + _overviews(side / 2) / 4


def _in_time(seconds: float) -> str:
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(seconds, 1):.0f} s"
