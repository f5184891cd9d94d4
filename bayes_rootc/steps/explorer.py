"""The explorer of a run: its interactive maps."""

from __future__ import annotations

from .. import demo
from ..data.folder import Inputs
from ..explorer.page import write_explorer
from ..progress import Progress
from ..report.results import Results
from ..settings import RunSettings
from .engine import Step
from .regressions import DRIVER_FITS


def make_explorer(inputs: Inputs, settings: RunSettings, progress: Progress | None = None, **_: object) -> None:
    """Writes `explorer/` from the files of the steps before it."""
    results = Results(settings.out, inputs.folder)
    try:
        write_explorer(
            results,
            settings=settings.model_dump(mode="json"),
            simulated=demo.is_simulated(inputs.folder),
            progress=progress,
        )
    finally:
        results.close()


EXPLORER = Step(
    "explorer",
    make_explorer,
    ("inputs", "turnover", "persistence", *DRIVER_FITS, "root_depth", "estimates", "maps"),
    makes=("explorer/index.html",),
)
