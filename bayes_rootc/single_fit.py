"""One inference by itself, and the dearer checks of turnover that `bayes-rootc fit` offers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from numpy.typing import NDArray

from .data.atmosphere import Prehistory
from .data.folder import Inputs
from .files import write_csv
from .inference.turnover_checks import (
    calibrate,
    calibration_layers,
    calibration_table,
    cross_validate,
    score_table,
)
from .pipeline import (
    BulkInput,
    Turnover,
    check,
    infer_bulk_input,
    infer_root_depth,
    infer_turnover,
    step_seed,
    turnover_model_of,
)
from .progress import Progress, Stages
from .report.turnover_tables import history_table
from .settings import RunSettings


def fit(
    name: str,
    settings: RunSettings,
    *,
    folds: int = 0,
    simulations: int = 0,
    both_histories: bool = False,
    quiet: bool = False,
) -> Path:
    """One inference by itself: its posterior and tables; of turnover, on demand also the dearer checks.

    Parameters
    ----------
    name : `turnover` or `root-depth`.
    folds : of a cross-validation by profile. simulations : of a simulation-based calibration. both_histories : fits
        under the other state in 1950 too, and compares.

    Returns
    -------
    Path of the posterior.
    """
    stages = Stages(2 + (folds > 0) + (simulations > 0) + both_histories, quiet=quiet)
    with stages.stage("check"):
        inputs = check(settings)
    with stages.stage(name) as progress:
        if name == "root-depth":
            infer_root_depth(inputs, settings)
            return settings.out / "posterior" / "root_depth.nc"
        turnover = infer_turnover(inputs, settings, progress)
        bulk = infer_bulk_input(inputs, turnover, settings)
    tables, layers = settings.out / "tables", inputs.layers
    model = turnover.fit.model if turnover.fit else turnover_model_of(settings)  # with its refined grid
    if both_histories:
        with stages.stage("the other history") as progress:
            write_csv(tables / "turnover_prehistory.csv", compare_histories(inputs, turnover, bulk, settings, progress))
    if folds:
        with stages.stage(f"{folds}-fold cross-validation") as progress:
            seed = step_seed(settings, "turnover folds")
            scores, fits = cross_validate(
                layers, inputs.groups, inputs.atmosphere, model, seed=seed, folds=folds, progress=progress
            )
            places = layers[["id", "top", "bottom", "biome"]]
            write_csv(tables / "turnover_held_out.csv", pd.concat([places, scores], axis=1))
            write_csv(tables / "turnover_cv.csv", score_table(scores, layers))
            write_csv(tables / "turnover_folds.csv", fits)
    if simulations:
        with stages.stage("calibration") as progress:
            ranks, fits = calibrate(
                calibration_layers(layers),
                inputs.atmosphere,
                model,
                seed=step_seed(settings, "turnover calibration"),
                simulations=simulations,
                progress=progress,
            )
            write_csv(tables / "turnover_sbc_ranks.csv", ranks)
            write_csv(tables / "turnover_sbc_fits.csv", fits)
            write_csv(tables / "turnover_sbc.csv", calibration_table(ranks))
    from .report.figures_turnover import save_check_figures

    save_check_figures(settings.out)
    return settings.out / "posterior" / "turnover.nc"


def compare_histories(
    inputs: Inputs, turnover: Turnover, bulk: BulkInput, settings: RunSettings, progress: Progress | None = None
) -> pd.DataFrame:
    """Ages and I_bulk with the pool steady in 1950 and with the history since 55 kyr BP, side by side."""
    prehistory: Prehistory = "intcal20" if settings.prehistory == "steady" else "steady"
    other = settings.model_copy(update={"prehistory": prehistory, "out": settings.out / "other-history"})
    refitted = infer_turnover(inputs, other, progress)
    density = infer_bulk_input(inputs, refitted, other).density
    posteriors: dict[str, tuple[NDArray, NDArray]] = {
        settings.prehistory: (turnover.log_k, bulk.density),
        prehistory: (refitted.log_k, density),
    }
    return history_table(inputs.layers, posteriors)
