"""The step that reads every input, and the demo world where a user has none."""

from __future__ import annotations

from pathlib import Path

from .. import demo
from ..data.folder import Inputs, read_inputs
from ..errors import InputError
from ..progress import Progress
from ..settings import RunSettings
from .engine import Run, Step
from .record import write_checks

DEMO_PROFILES = 120
"""Number of radiocarbon profiles in the demo world: enough for every step, and few enough to be quick."""


def check(settings: RunSettings, progress: Progress | None = None) -> Inputs:
    """Reads, screens and joins every input; `tables/checks.csv` says what was used, dropped and why."""
    if settings.data is None:
        Run((WORLD,), settings, quiet=True).upto("world")
    inputs = read_inputs(data_folder(settings), nearest_km=settings.nearest_km)
    write_checks(settings.out, inputs.checks)
    return inputs


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
INPUTS = Step("inputs", check, sources=lambda inputs: dict(inputs.files))
