"""One inference by itself, and the dearer checks that `bayes-rootc fit` offers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .data.atmosphere import Prehistory
from .data.folder import Inputs
from .data.netcdf import open_tree
from .demo import is_simulated
from .errors import InputError
from .files import write_csv
from .inference.checks import Ranks, calibration_table
from .inference.regressions import Response, allocation_records, ibulk_records, iroot_records
from .inference.regressions import calibrate as calibrate_regression
from .inference.regressions import cross_validate as cross_validate_regression
from .inference.regressions import score_table as score_records
from .inference.sampling import offer_devices
from .inference.store import kept_log_k
from .inference.turnover_checks import calibrate, calibration_layers, cross_validate, score_table
from .mapping.learners import is_constant
from .mapping.model_file import read_learners
from .models.bulk_input import layer_stocks
from .models.components import Components
from .models.regression import Records
from .pipeline import (
    BulkInput,
    LayerTurnover,
    check,
    estimate,
    harmonise_measured,
    infer_bulk_input,
    infer_regression,
    infer_root_depth,
    infer_turnover,
    measured_stock_draws,
    turnover_model_of,
)
from .progress import Progress, Stages
from .report.figures_regressions import save_regression_figures
from .report.results import Results
from .report.turnover_tables import history_table
from .settings import RunSettings, step_seed


def fit(
    name: str,
    settings: RunSettings,
    *,
    folds: int = 0,
    simulations: int = 0,
    both_histories: bool = False,
    quiet: bool = False,
) -> Path:
    """One inference by itself: its posterior and tables; on demand also the dearer checks.

    Parameters
    ----------
    name : `turnover`, `drivers`, `root-depth` or `allocation`.
    folds : of a cross-validation by profile or site. simulations : of a simulation-based calibration. both_histories :
        fits under the other state in 1950 too, and compares.

    Returns
    -------
    Path of the posterior.
    """
    offer_devices(settings.chains)
    regressions = REGRESSIONS.get(name, ())
    each = max(len(regressions), 1)
    stages = Stages(1 + each * (1 + (folds > 0) + (simulations > 0)) + both_histories, quiet=quiet)
    with stages.stage("check"):
        inputs = check(settings)
    if regressions:
        for regression in regressions:
            path = fit_one_regression(regression, inputs, settings, stages, folds=folds, simulations=simulations)
        return path
    with stages.stage(name) as progress:
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
            seed, design = step_seed(settings, "turnover calibration"), calibration_layers(layers)
            worlds = partial(calibrate, design, inputs.atmosphere, model, seed=seed, simulations=simulations)
            run_calibration(worlds, "turnover", tables, progress)
    from .report.figures_turnover import save_check_figures

    results = Results(settings.out, inputs.folder)
    save_check_figures(results, simulated=is_simulated(inputs.folder))
    results.close()
    return settings.out / "posterior" / "turnover.nc"


def run_calibration(calibrate: Callable[..., Ranks], name: str, tables: Path, progress: Progress | None) -> None:
    """Writes `NAME_sbc_ranks.csv`, `NAME_sbc_fits.csv` and `NAME_sbc.csv` after each simulation; those that are there,
    of the same posterior (`retire_checks`), are gone on with.
    """
    paths = [tables / f"{name}_sbc_{kind}.csv" for kind in ("ranks", "fits")]

    def keep(found: Ranks) -> None:
        for path, table in zip(paths, found, strict=True):
            write_csv(path, table)
        write_csv(tables / f"{name}_sbc.csv", calibration_table(found[0]))

    there = all(path.exists() for path in paths)
    ranks, fits = (pd.read_csv(path) for path in paths) if there else (pd.DataFrame(), pd.DataFrame())
    both = min(len(ranks), len(fits))
    calibrate(done=(ranks[:both], fits[:both]), keep=keep, progress=progress)


def compare_histories(
    inputs: Inputs, turnover: LayerTurnover, bulk: BulkInput, settings: RunSettings, progress: Progress | None = None
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


def estimate_again(settings: RunSettings, *, quiet: bool = False) -> Path:
    """The six estimates of I_loss from the posterior and the forests in the output folder. Returns the table's path.

    Raises
    ------
    InputError : the forests are missing, or the data folder is unusable.
    """
    learners = read_learners(settings.out / "models" / "learners.npz")
    offer_devices(settings.chains)
    stages = Stages(3, quiet=quiet)
    inputs, stocks, density = checked_density(settings, stages)
    with stages.stage("estimates"):
        estimate(inputs, harmonise_measured(inputs, stocks, density), learners, settings)
    return settings.out / "tables" / "iloss_estimates.csv"


REGRESSIONS = {
    "drivers": ("drivers_iroot", "drivers_ibulk"),
    "allocation": ("allocation",),
    "root-depth": ("root_depth",),
}
"""What each regression command fits."""


def fit_one_regression(
    name: str, inputs: Inputs, settings: RunSettings, stages: Stages, *, folds: int, simulations: int
) -> Path:
    """A regression's posterior, tables and figures, and the checks asked for. Returns the posterior's path."""
    tables, seed = settings.out / "tables", step_seed(settings, name)
    with stages.stage(name.replace("_", " of " if name.startswith("drivers") else " ")) as progress:
        records: Response
        if name == "root_depth":
            records = infer_root_depth(inputs, settings)[0].records
        else:
            records, components = regression_records(name, inputs, settings, progress)
            if is_constant(records.y):
                raise InputError(
                    f"the response of {name} is the same in all {len(records.y)} records; expected records that differ",
                    file=inputs.folder,
                )
            infer_regression(name, records, components, settings)
        save_regression_figures(Results(settings.out, inputs.folder), simulated=is_simulated(inputs.folder))
    if folds:
        with stages.stage(f"{folds}-fold cross-validation") as progress:
            scores, fits = cross_validate_regression(
                records, seed=seed, folds=folds, sampler=settings.sampler, progress=progress
            )
            write_csv(tables / f"{name}_held_out.csv", scores)
            write_csv(tables / f"{name}_cv.csv", score_records(scores, records))
            write_csv(tables / f"{name}_folds.csv", fits)
    if simulations:
        with stages.stage("calibration") as progress:
            how: Any = {"seed": seed, "simulations": simulations, "sampler": settings.sampler}
            run_calibration(partial(calibrate_regression, records, **how), name, tables, progress)
    return settings.out / "posterior" / f"{name}.nc"


def regression_records(
    name: str, inputs: Inputs, settings: RunSettings, progress: Progress | None
) -> tuple[Records, Components]:
    """What a regression is fitted to."""
    if name == "drivers_ibulk":
        _, density = bulk_density(inputs, settings, progress)
        return ibulk_records(inputs.layers, density, inputs.groups)
    of_sites = iroot_records if name == "drivers_iroot" else allocation_records
    return of_sites(inputs.npp, inputs.npp_records, inputs.groups)


def checked_density(settings: RunSettings, stages: Stages) -> tuple[Inputs, pd.DataFrame, NDArray[np.float64]]:
    """The inputs, and what `bulk_density` gives of them, in two stages."""
    with stages.stage("check"):
        inputs = check(settings)
    with stages.stage("turnover, unless there") as progress:
        return inputs, *bulk_density(inputs, settings, progress)


def bulk_density(
    inputs: Inputs, settings: RunSettings, progress: Progress | None
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Stocks of the measured layers, and draws of their I_bulk per cm (layer, draw), Mg C ha⁻¹ yr⁻¹; from the turnover
    posterior in the output folder where that is the one asked for, else from a new fit.
    """
    layers = inputs.layers
    stocks, _ = layer_stocks(layers)
    log_k = stored_log_k(inputs, settings)
    if log_k is None:
        log_k = infer_turnover(inputs, settings, progress).log_k
    rate = turnover_model_of(settings).rate_over_median if settings.turnover_prior == "hierarchical" else 1.0
    thickness = (layers["bottom"] - layers["top"]).to_numpy(float)
    return stocks, measured_stock_draws(inputs, stocks, settings) * np.exp(log_k) * rate / thickness[:, None]


def stored_log_k(inputs: Inputs, settings: RunSettings) -> NDArray[np.float64] | None:
    """log k of the layers, (layer, draw), from the output folder's turnover posterior, if that is of the same layers
    and of the model that the settings choose.
    """
    path = settings.out / "posterior" / "turnover.nc"
    if not path.exists():
        return None
    wanted = asdict(turnover_model_of(settings)) if settings.turnover_prior == "hierarchical" else {}
    with open_tree(path, {"posterior": ["log_k", "layer"]}, command="fit turnover") as tree:
        model = json.loads(tree.attrs.get("model", "{}"))
        same = all(model.get(name) == wanted.get(name) for name in ("prehistory", "error", "pool_spread"))
        ids = tree["posterior"].to_dataset()["layer"].values.astype(str).tolist()
    if not same or ids != inputs.layers["id"].astype(str).tolist():
        return None
    return kept_log_k(path, settings.members)
