"""The whole system on one page: the steps of a run in order, and how far each command goes.

Each step is a function in `steps/`, declared with what it needs, which settings change it and what it makes. The engine
(`steps/engine.py`) makes what is missing and keeps what was made from the same data, settings and code.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.table import Table

from .demo import is_simulated
from .mapping.cost import map_cost
from .mapping.parts import Part, make_part
from .progress import Stages
from .report.datapackage import describe_tables
from .report.results import Results
from .settings import RunSettings
from .steps.bulk_input import BULK_INPUT
from .steps.checks import CHECKS, checks_of
from .steps.engine import Run
from .steps.estimates import ESTIMATES
from .steps.explorer import EXPLORER
from .steps.inputs import INPUTS, data_folder
from .steps.learners import COMPARISON, LEARNERS
from .steps.maps import MAPS, draw_maps, map_job
from .steps.persistence import PERSISTENCE
from .steps.persistence_forests import PERSISTENCE_FORESTS
from .steps.production import PRODUCTION
from .steps.rates import RATES
from .steps.record import record_run
from .steps.regressions import DRIVER_FITS, DRIVER_STEPS, REGRESSIONS, ROOT_DEPTH, regression_records
from .steps.site_ensemble import SITE_ENSEMBLE
from .steps.stocks import STOCKS
from .steps.summary import SUMMARY
from .steps.turnover import TURNOVER

STEPS = (
    INPUTS,  # raw tables and rasters → screened, joined inputs
    TURNOVER,  # radiocarbon → posterior of k of every layer
    RATES,  # … and of many rates within a layer, which say how long carbon stays
    STOCKS,  # measured stocks and gridded ones → stock of every layer
    BULK_INPUT,  # k and stocks → I_bulk of layers and profiles
    *DRIVER_STEPS,  # what drives I_root, I_bulk and allocation
    ROOT_DEPTH,  # where roots are
    PRODUCTION,  # all that grows, above and below ground, in one model, where it is asked for
    LEARNERS,  # draws at sites → forests
    PERSISTENCE_FORESTS,  # … and, in the same trees, how long carbon stays
    SITE_ENSEMBLE,  # the paper's ensemble at sites, where it is asked for
    ESTIMATES,  # the six estimates of I_loss
    PERSISTENCE,  # how much of I_root stays in bulk soil, and for how long
    MAPS,  # forests and rasters → maps and totals
    SUMMARY,  # tables of all of it, next to the paper's
    EXPLORER,  # maps, sites and posteriors → a page to click on
    *CHECKS,  # folds and calibration of the fits, where they are asked for
    COMPARISON,  # all learners on held-out places
)

FITS = {
    "turnover": ("turnover",),
    "drivers": ("drivers_iroot", "drivers_ibulk"),
    "allocation": ("allocation",),
    "root-depth": ("root_depth",),
}
"""Fits that each name of `bayes-rootc fit` makes."""


def run(settings: RunSettings, *, quiet: bool = False) -> Path:
    """Makes everything, end to end.

    Parameters
    ----------
    settings : RunSettings
        What to do, with which data, and where to write.
    quiet : bool
        Print no progress.

    Returns
    -------
    Path
        File of the report.

    Raises
    ------
    InputError
        The data folder is unusable.
    """
    from .report.html import write_report

    made = Run(STEPS, settings, quiet=quiet)
    checks = [check for fit in ("turnover", *REGRESSIONS) for check in checks_of(fit, settings)]
    made.upto(*DRIVER_FITS, "persistence", "summary", "explorer", *checks, more=1)
    inputs = made.products["inputs"]
    with made.stages.stage("report"):
        describe_tables(settings.out / "tables")
        record_run(inputs, settings, made.stages.seconds)
        report = write_report(settings.out, inputs.folder)
    record_run(inputs, settings, made.stages.seconds)
    return report


def fit(name: str, settings: RunSettings, *, quiet: bool = False) -> Path:
    """Makes the steps up to one inference, and the checks of it that the settings ask for.

    Parameters
    ----------
    name : {"turnover", "drivers", "root-depth", "allocation"}
        Which model to fit.
    settings : RunSettings
    quiet : bool
        As in `run`.

    Returns
    -------
    Path
        File of the posterior.

    Raises
    ------
    InputError
        The data folder is unusable, or there is nothing to fit.
    """
    from .report.figures_regressions import save_regression_figures
    from .report.figures_turnover import save_check_figures

    made, fits = Run(STEPS, settings, quiet=quiet), FITS[name]
    also = ["bulk_input"] if name == "turnover" else []  # the table of layers, with what they receive
    made.upto(*fits, *also, *(check for fit in fits for check in checks_of(fit, settings)))
    posteriors = [settings.out / "posterior" / f"{fit}.nc" for fit in fits]
    for fitted, path in zip(fits, posteriors, strict=True):
        if not path.is_file():  # a run leaves it out; here it was asked for
            regression_records(fitted, made.products["inputs"], made.products.get("bulk_input"))
    with _drawing(made) as (results, simulated):
        (save_check_figures if name == "turnover" else save_regression_figures)(results, simulated=simulated)
    return posteriors[-1]


def train(settings: RunSettings, *, quiet: bool = False) -> Path:
    """Makes the steps up to the forests of the maps, and compares all learners on held-out sites and regions.

    Parameters
    ----------
    settings : RunSettings
    quiet : bool
        As in `run`.

    Returns
    -------
    Path
        File of the table of scores.

    Raises
    ------
    InputError
        The data folder is unusable, or there are too few sites.
    """
    from .report.figures_learners import save_learner_figures

    made = Run(STEPS, settings, quiet=quiet)
    made.upto("learner_comparison")
    with _drawing(made) as (results, simulated):
        save_learner_figures(results, simulated=simulated)
    return settings.out / "tables" / "learners.csv"


def estimate(settings: RunSettings, *, quiet: bool = False) -> Path:
    """Makes the steps up to the six estimates of I_loss. Parameters as in `run`; returns the file of the estimates."""
    Run(STEPS, settings, quiet=quiet).upto("estimates")
    return settings.out / "tables" / "iloss_estimates.csv"


def make_maps(settings: RunSettings, *, joining: bool = False, quiet: bool = False) -> Path:
    """Makes the maps from the models in the output folder, whatever they were made from; if there are none, makes the
    steps up to them first, and the record of a run, so that models can be compared with the maps. Parameters as in
    `run`; returns the folder of the maps. With `joining`, all tiles must have been made, by `make_map_part`.
    """
    steps = STEPS
    if joining:
        map_job(settings).plan()  # misses the models at once
        join = replace(MAPS, make=partial(draw_maps, joining=True))
        steps = tuple(join if step is MAPS else step for step in STEPS)
    made = Run(steps, settings, quiet=quiet)
    made.upto("maps", models_there=True)
    if "inputs" in made.products:  # all of it was made here
        record_run(made.products["inputs"], settings, made.stages.seconds)
    return settings.out / "maps"


def make_map_part(settings: RunSettings, part: Part, *, quiet: bool = False) -> None:
    """Makes the tiles of one part of the maps, and joins none; other processes may make other parts meanwhile."""
    with Stages(1, quiet=quiet).stage(f"part {part}") as progress:
        make_part(map_job(settings), part, workers=settings.workers, dask=settings.dask, progress=progress)


def plan_maps(settings: RunSettings, *, quiet: bool = False) -> Table:
    """A table of what the maps will cost; nothing is written into the output folder."""
    with Stages(1, quiet=quiet).stage("sample of tiles") as progress:
        return map_cost(map_job(settings), settings.map_formats, settings.workers, progress)


@contextmanager
def _drawing(made: Run) -> Iterator[tuple[Results, bool]]:
    """The output folder, for figures, and whether its data are simulated."""
    folder = data_folder(made.settings)
    results = Results(made.settings.out, folder)
    yield results, is_simulated(folder)
    results.close()
