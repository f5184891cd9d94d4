"""The step that reads every input, and the demo world where a user has none."""

from __future__ import annotations

from pathlib import Path

from .. import demo
from ..data.covariates import PAPER_COVARIATES
from ..data.folder import Inputs, read_inputs, with_parts
from ..data.manifest import read_manifest
from ..data.mapping_units import SOIL_MAP_STOCKS
from ..data.tables import SourceCheck
from ..errors import InputError
from ..progress import Progress
from ..settings import RunSettings
from .engine import Run, Step
from .record import write_checks

DEMO_PROFILES = 60
"""Number of radiocarbon profiles in the demo world: enough for every step, and few enough to be quick."""


def check(settings: RunSettings, progress: Progress | None = None) -> Inputs:
    """Reads, screens and joins every input; `tables/checks.csv` says what was used, dropped and why."""
    if settings.data is None:
        Run((WORLD,), settings, quiet=True).upto("world")
    manifest, missing = manifest_of(settings)
    fields = settings.iroot_model == "field"
    inputs = read_inputs(data_folder(settings), nearest_km=settings.nearest_km, manifest=manifest, production=fields)
    if settings.atmosphere == "hemispheres":
        inputs.atmosphere = inputs.atmosphere.by_hemisphere()
    if settings.turnover_prior == "hierarchical" and (settings.rates or settings.pool_spread == "inferred"):
        with_parts(inputs)
    if missing:
        rule = "the paper's covariates need files that are not there: those of the folder's manifest are used"
        inputs.checks.append(SourceCheck("covariates of the paper", str(PAPER_COVARIATES), remarks={rule: missing}))
    if settings.gridded_stocks == "soil_map":
        without = int(inputs.layers[SOIL_MAP_STOCKS].isna().all(axis=1).sum())
        rule = "no soil map with a stock in reach: stocks that were not measured are "
        rule += "those of the gridded profile or metre" if without == len(inputs.layers) else "missing"
        remarks = {rule: without} if without else {}
        inputs.checks.append(SourceCheck("stocks of the soil map", str(inputs.covariates.manifest), remarks=remarks))
    write_checks(settings.out, inputs.checks)
    return inputs


def manifest_of(settings: RunSettings) -> tuple[Path | None, int]:
    """The manifest of the covariates, if not the folder's own, and how many files are missing for the one asked for."""
    if settings.covariates == "folder":
        return None, 0
    folder = data_folder(settings) / "covariates"
    missing = sum(not (folder / name).is_file() for name in read_manifest(PAPER_COVARIATES).files)
    return (None if missing else PAPER_COVARIATES), missing


def data_folder(settings: RunSettings) -> Path:
    """The data folder of a run: that of the settings, or the demo world below the output folder.

    Raises
    ------
    InputError
        It is not there.
    """
    folder = settings.data or settings.out / "demo-data"
    if not folder.is_dir():
        raise InputError("no such data folder", file=folder)
    return folder


def simulate(settings: RunSettings, progress: Progress | None = None) -> None:
    """The simulated world, written under the output folder."""
    demo.simulate_world(
        settings.out / "demo-data",
        seed=settings.seed,
        resolution=max(settings.resolution, 0.5),
        radiocarbon_profiles=DEMO_PROFILES,
    )


WORLD = Step("world", simulate, settings=("resolution",), makes=("demo-data/**/*",))
INPUTS = Step(
    "inputs",
    check,
    settings=("covariates", "atmosphere", "gridded_stocks"),
    sources=lambda inputs: dict(inputs.files),
)
