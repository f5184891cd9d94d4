"""Maps of any size, tile by tile: memory does not grow with the map, and a run that was stopped resumes.

A tile is computed from files alone, so it may be made in any order, by any thread, process or machine of a Dask
cluster that sees the folders. Its values go into a Zarr store, whose chunks are tiles; its totals into a file that is
written last, and whole: a tile that has one is finished.
"""

from __future__ import annotations

import errno
import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
from rasterio.errors import NotGeoreferencedWarning

from ..data.covariates import CovariateStack
from ..data.grid import MapGrid
from ..errors import InputError
from ..extras import require
from ..files import atomic_path, code_checksum, sha256, write_json
from ..memory import give_memory_back
from ..progress import Progress
from .maps import LandCells, MapModels, land_cells, map_cells, read_root_shares
from .model_file import read_learners
from .persistence_forests import PersistenceForests
from .root_field import RootField
from .totals import Totals
from .variables import EVERY_MAP, MapChoice, MapMode
from .writers import Rounding, Store, create_store, open_store, write_tile
from .zones import Zones

RETRIES = 3
"""How often a tile is tried again on a cluster after its worker died."""

LOCAL_CLUSTER = "local"

SCHEDULER_SECONDS = 60.0
"""How long the file of a scheduler that is starting is waited for."""

type Place = tuple[int, int]
"""Row and column of the map where a tile begins."""


@dataclass(frozen=True)
class MapJob:
    """What is mapped, as files and numbers.

    Attributes
    ----------
    covariates : Path
        Folder of the covariates.
    out : Path
        Output folder, which holds the fitted models.
    tile : int
        Side of a tile, cells; a worker needs some 2 kB a cell.
    mode : {"independent", "members", "coherent"}
        Where the statistics of a cell come from, as `map_mode` of `RunSettings`.

    Notes
    -----
    The other attributes are as in `RunSettings`.
    """

    covariates: Path
    out: Path
    grid: MapGrid
    tile: int
    members: int
    seed: int
    nearest_km: float
    mode: MapMode = "independent"
    zones: Zones | None = None
    manifest: Path | None = None
    quantities: tuple[str, ...] = ()
    layers: tuple[str, ...] = EVERY_MAP.layers
    statistics: tuple[str, ...] = EVERY_MAP.statistics
    precision: float = 0.0
    iroot_model: str = "forest"

    @property
    def choice(self) -> MapChoice:
        """Which maps are made."""
        return MapChoice(self.quantities, self.layers, self.statistics, fields=self.iroot_model == "field")

    @property
    def work(self) -> Path:
        """Where a map is while it is made."""
        return self.out / "maps" / ".unfinished"

    @property
    def learners(self) -> Path:
        """Fitted forests."""
        return self.out / "models" / "learners.npz"

    @property
    def shares(self) -> Path:
        """Root shares by biome."""
        return self.out / "posterior" / "root_shares.nc"

    @property
    def persistence(self) -> Path:
        """Forests of how long carbon stays, where maps of it are wanted."""
        return self.out / "models" / "persistence.npz"

    @property
    def production(self) -> Path:
        """Fitted production, where maps of I_root are those of its fields."""
        return self.out / "posterior" / "production.nc"

    def models(self) -> MapModels:
        """What the maps are made from, read from its files."""
        learners = read_learners(self.learners)
        persistence = PersistenceForests.load(self.persistence, self.quantities) if self.quantities else None
        fields = None
        if self.iroot_model == "field":
            fields = RootField.load(self.production, learners.features, self.members)
        return MapModels.of(learners, *read_root_shares(self.shares), persistence, fields)

    def places(self) -> list[Place]:
        """All tiles."""
        rows, cols = self.grid.shape
        return [(r, c) for r in range(0, rows, self.tile) for c in range(0, cols, self.tile)]

    def done(self, place: Place) -> Path:
        """The file that a finished tile has."""
        return self.work / "tiles" / f"{place[0]}-{place[1]}.npz"

    def plan(self) -> dict[str, Any]:
        """What the maps depend on: unfinished tiles of a different plan are not kept."""
        stack = CovariateStack(self.covariates, self.manifest)
        files = [self.learners, self.shares, stack.manifest, *([self.zones.path] if self.zones else [])]
        files += [self.persistence] if self.quantities else []
        files += [self.production] if self.iroot_model == "field" else []
        makes = {
            self.learners: "; `bayes-rootc train` makes it",
            self.shares: "; `bayes-rootc fit root-depth` makes it",
            self.persistence: "; `bayes-rootc run` makes it, or leave map_quantities empty",
            self.production: "; `bayes-rootc run` makes it",
        }
        for path in files:
            if not path.is_file():
                raise InputError(f"not found{makes.get(path, '')}", file=path)
        settings = asdict(self) | {"version": version("bayes-rootc"), "code": code_checksum()}
        plan = {name: value for name, value in settings.items() if name not in ("covariates", "out", "manifest")}
        plan |= {path.name: sha256(path) for path in files}
        plan |= {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in stack.files}
        return dict(json.loads(json.dumps(plan, default=str)))  # as it will be read


def begin(job: MapJob, *, resume: bool, shared: bool = False) -> list[Place]:
    """Makes ready for the tiles of a job, and gives those that are still to be made.

    The folder of unfinished maps is made under another name and renamed when it is complete: of several processes that
    begin at once, one is first, and the others use its folder.

    Parameters
    ----------
    job : MapJob
        What is mapped. Unfinished tiles of the same job are kept.
    resume : bool
        Refuses to remove unfinished tiles of a different job.
    shared : bool
        Others may be making tiles here, so nothing is removed.

    Raises
    ------
    InputError
        The models are missing, or unfinished tiles were made with a different plan.
    """
    plan, path = job.plan(), job.work / "plan.json"
    was_there = job.work.exists()  # asked first: another process may make it now, but only with a plan
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    other = [name for name in {**known, **plan} if known.get(name) != plan.get(name)]
    if shared and was_there and not known:
        raise InputError("remains of a map that was being removed; remove this folder", file=job.work)
    if known and other and shared:
        text = f"other parts of the map were made with other values of {', '.join(other)}"
        raise InputError(f"{text}; give all parts the same, or remove this folder to start over", file=job.work)
    if known and other and resume:
        text = f"cannot resume: the unfinished tiles were made with other values of {', '.join(other)}"
        raise InputError(f"{text}; run without --resume to start over", file=job.work)
    if other:
        if not shared:
            _discard(job.work)
        made = _aside(job.work)
        (made / "tiles").mkdir(parents=True)
        create_store(made / "maps.zarr", job.grid, job.tile, job.choice, Rounding.to(job.precision))
        write_json(made / "plan.json", plan)
        try:
            made.rename(job.work)
        except OSError as error:
            shutil.rmtree(made)
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            return begin(job, resume=resume, shared=shared)  # another process was first; its plan may be another
    return [place for place in job.places() if not job.done(place).exists()]


def _aside(work: Path) -> Path:
    """A name next to a folder of unfinished maps, for one that is not complete."""
    return work.with_name(f"{work.name}-{uuid4().hex}")


def _discard(work: Path) -> None:
    """Removes unfinished maps at once, by renaming them first, and what killed processes left incomplete."""
    if work.exists():
        work.rename(_aside(work))
    for path in work.parent.glob(f"{work.name}-*"):
        shutil.rmtree(path)


class Opened(NamedTuple):
    """What all tiles of a job use."""

    covariates: CovariateStack
    models: MapModels
    store: Store


@lru_cache(maxsize=1)
def _opened(job: MapJob, begun: int) -> Opened:
    """Opens what all tiles of a job use, once a process.

    Parameters
    ----------
    begun : int
        Time at which the job began, so that models fitted since are read again.
    """
    store = open_store(job.work / "maps.zarr", write=True)
    return Opened(CovariateStack(job.covariates, job.manifest), job.models(), store)


def make_tile(job: MapJob, place: Place) -> None:
    """Computes and writes one tile, unless it is finished."""
    if job.done(place).exists():
        return
    covariates, models, store = _opened(job, (job.work / "plan.json").stat().st_mtime_ns)
    grid = job.grid.part(*place, job.tile)
    cells = land_cells(covariates, grid, nearest_km=job.nearest_km)
    found: dict[str, Any] = {"lacking": cells.lacking, "cells": len(cells.index)}
    if len(cells.index):
        found |= vars(map_into(store, place, cells, job, models))
    with atomic_path(job.done(place)) as temporary:
        np.savez(temporary, **found)
    give_memory_back()  # it lies between what is still in use, and the next tile would ask for more


def map_into(store: Store, place: Place, cells: LandCells, job: MapJob, models: MapModels) -> Totals:
    """Maps the cells of a tile into a store, in which the tile begins at `place`, and gives their totals."""
    values, totals = map_cells(
        cells,
        models,
        mode=job.mode,
        members=job.members,
        seed=job.seed,
        zones=job.zones.shares(cells.grid).of(cells.index) if job.zones else None,
        choice=job.choice,
    )
    write_tile(store, place, cells.grid, cells.index, values, cells.biome, Rounding.to(job.precision))
    return totals


def make_tiles(
    job: MapJob,
    places: list[Place],
    *,
    workers: int,
    dask: str | None = None,
    total: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Makes tiles by threads, or on a Dask cluster.

    Parameters
    ----------
    total : int, optional
        Number of tiles, with those that are finished, by which progress is counted; by default that of the map.
    workers : int
        Threads, or processes of a local cluster.
    dask : str, optional
        Address of a scheduler, the file in which it is, or `local`.
    """
    everything = len(job.places()) if total is None else total
    if progress and len(places) < everything:
        progress(everything - len(places), everything)
    with warnings.catch_warnings(), _workers(job, workers, dask) as run:
        # rasterio silences these itself, but not where several threads do so at once: of arrays that it reprojects, and
        # of a product of affine's that it still uses.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        for done, _ in enumerate(run(places), everything - len(places) + 1):
            if progress:
                progress(done, everything)


@contextmanager
def _workers(job: MapJob, workers: int, dask: str | None) -> Iterator[Callable[[list[Place]], Iterator[Any]]]:
    """Something that makes tiles, and gives a result for each as it is finished."""
    make = partial(make_tile, job)
    if dask is None:
        with ThreadPoolExecutor(workers) as pool:
            try:
                yield lambda places: (f.result() for f in as_completed([pool.submit(make, p) for p in places]))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return
    require("dask", "--dask")
    from dask.distributed import Client, LocalCluster
    from dask.distributed import as_completed as completed

    cluster = (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) if dask == LOCAL_CLUSTER else None
    )
    try:
        client = Client(cluster or _address(dask), timeout=10)
    except (OSError, TypeError) as error:  # the second without certificates
        raise InputError(f"--dask {dask}: no scheduler answers there ({error})") from None
    with client:
        yield lambda places: (f.result() for f in completed(client.map(make, places, pure=False, retries=RETRIES)))
    if cluster:
        cluster.close()


def _address(dask: str) -> str:
    """Address of a scheduler, from that or from the file into which it writes it, which may be about to start.

    Raises
    ------
    InputError
        The file does not come, or holds no address.
    """
    if not dask.endswith(".json"):
        return dask
    file, end = Path(dask), time.monotonic() + SCHEDULER_SECONDS
    while not (text := file.read_text(encoding="utf-8") if file.is_file() else ""):
        if time.monotonic() > end:
            raise InputError("no such scheduler file; `dask scheduler --scheduler-file` writes one", file=file)
        time.sleep(0.1)
    try:
        return str(json.loads(text)["address"])
    except (ValueError, KeyError, TypeError):
        raise InputError("holds no address of a scheduler", file=file) from None


class Gathered(NamedTuple):
    """Totals of all tiles, the cells that are mapped, and those of land that lack a covariate."""

    totals: Totals
    cells: int
    lacking: int


def gather(job: MapJob) -> Gathered:
    """What all tiles of a finished job hold.

    Raises
    ------
    InputError
        There is no cell with every covariate.
    """
    totals, cells, lacking = [], 0, 0
    for place in job.places():
        with np.load(job.done(place)) as found:
            cells, lacking = cells + int(found["cells"]), lacking + int(found["lacking"])
            if found["cells"]:
                totals.append(Totals(**{name: found[name] for name in Totals.__dataclass_fields__}))
    if not totals:
        raise InputError(f"no land cell with every covariate in the box {job.grid.bbox}", file=job.covariates)
    return Gathered(Totals.joined(totals), cells, lacking)


def finish(job: MapJob, files: list[Path]) -> None:
    """Moves finished files from where they were made to `maps/`, and removes the tiles; and, where there are new
    GeoTIFFs, those of an earlier map that were not made again.
    """
    if any(path.suffix == ".tif" for path in files):
        for name in _geotiffs_of(job.out / "maps" / "datapackage.json") - {path.name for path in files}:
            (job.out / "maps" / name).unlink(missing_ok=True)
    for path in files:
        target = job.out / "maps" / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.replace(target)
    (job.work / "plan.json").replace(job.out / "maps" / "plan.json")
    _discard(job.work)


def _geotiffs_of(package: Path) -> set[str]:
    """Names of the GeoTIFFs that a data package lists, and of what belongs to each."""
    try:
        listed = [str(one["path"]) for one in json.loads(package.read_text(encoding="utf-8"))["resources"]]
    except (OSError, ValueError, KeyError, TypeError):
        return set()  # none, or not ours
    return {name for name in listed if name == Path(name).name and name.endswith((".tif", ".qml", ".tif.aux.xml"))}
