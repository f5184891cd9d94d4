"""Checks of the fits of a run that cost many fits: cross-validation, calibration, and the other history."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.atmosphere import Prehistory
from ..data.folder import Inputs
from ..files import write_csv
from ..inference.checks import Ranks, calibration_table
from ..inference.regressions import calibrate as calibrate_regression
from ..inference.regressions import cross_validate as cross_validate_regression
from ..inference.regressions import score_table as score_records
from ..inference.turnover_checks import calibrate, calibration_layers, cross_validate, score_table
from ..inference.turnover_fit import TurnoverFit
from ..progress import Progress
from ..report.turnover_tables import history_table
from ..settings import RunSettings, step_seed
from .bulk_input import BulkInput, infer_bulk_input
from .engine import Step
from .regressions import BULK, REGRESSIONS, regression_records
from .turnover import LayerTurnover, infer_turnover, layers_of, read_turnover

if TYPE_CHECKING:
    from ..inference.stocks import Stocks


def held_out_layers(
    inputs: Inputs, turnover: LayerTurnover, settings: RunSettings, progress: Progress | None = None
) -> None:
    """Cross-validation by profile, or by study."""
    layers, tables = layers_of(inputs, _checked(turnover).model), settings.out / "tables"
    scores, fits = cross_validate(
        layers,
        inputs.groups,
        inputs.atmosphere,
        _checked(turnover).model,
        seed=step_seed(settings, "turnover folds"),
        folds=settings.folds,
        by=settings.folds_by,
        progress=progress,
    )
    about = layers[["id", "top", "bottom", "biome"]].iloc[scores["row"]].reset_index(drop=True)
    write_csv(tables / "turnover_held_out.csv", pd.concat([about, scores.drop(columns="row")], axis=1))
    write_csv(tables / "turnover_cv.csv", score_table(scores, layers))
    write_csv(tables / "turnover_folds.csv", fits)


def calibrate_turnover(
    inputs: Inputs, turnover: LayerTurnover, settings: RunSettings, progress: Progress | None = None
) -> None:
    """Simulation-based calibration, on the depths, biomes, years and errors of the layers."""
    design, seed = (
        calibration_layers(layers_of(inputs, _checked(turnover).model)),
        step_seed(settings, "turnover calibration"),
    )
    worlds = partial(calibrate, design, inputs.atmosphere, _checked(turnover).model, seed=seed)
    write_calibration(worlds, "turnover", settings, progress)


def compare_histories(
    inputs: Inputs,
    turnover: LayerTurnover,
    stocks: Stocks | None,
    bulk_input: BulkInput,
    settings: RunSettings,
    progress: Progress | None = None,
) -> None:
    """Ages and I_bulk with the pool steady in 1950 and with the history since 55 kyr BP, side by side."""
    prehistory: Prehistory = "intcal20" if settings.prehistory == "steady" else "steady"
    other = settings.model_copy(update={"prehistory": prehistory, "out": settings.out / "other-history"})
    infer_turnover(inputs, other, progress)
    refitted = read_turnover(other)
    posteriors: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {
        settings.prehistory: (turnover.age(inputs.layers), bulk_input.density),
        prehistory: (refitted.age(inputs.layers), infer_bulk_input(inputs, refitted, stocks, other).density),
    }
    write_csv(settings.out / "tables" / "turnover_prehistory.csv", history_table(inputs.layers, posteriors))


def _checked(turnover: LayerTurnover) -> TurnoverFit:
    assert turnover.fit is not None, "layers that were inverted alone have no fit to check"
    return turnover.fit


def held_out_records(name: str, *, settings: RunSettings, progress: Progress | None = None, **made: Any) -> None:
    """Cross-validation of a regression by site or profile."""
    records, _ = regression_records(name, made["inputs"], made.get("bulk_input"))
    seed, tables = step_seed(settings, name), settings.out / "tables"
    scores, fits = cross_validate_regression(
        records, seed=seed, folds=settings.folds, sampler=settings.sampler, progress=progress
    )
    write_csv(tables / f"{name}_held_out.csv", scores)
    write_csv(tables / f"{name}_cv.csv", score_records(scores, records))
    write_csv(tables / f"{name}_folds.csv", fits)


def calibrate_records(name: str, *, settings: RunSettings, progress: Progress | None = None, **made: Any) -> None:
    """Simulation-based calibration of a regression, at the places of its records."""
    records, _ = regression_records(name, made["inputs"], made.get("bulk_input"))
    worlds = partial(calibrate_regression, records, seed=step_seed(settings, name), sampler=settings.sampler)
    write_calibration(worlds, name, settings, progress)


def write_calibration(
    calibrate: Callable[..., Ranks], name: str, settings: RunSettings, progress: Progress | None
) -> None:
    """Writes `NAME_sbc_ranks.csv`, `NAME_sbc_fits.csv` and `NAME_sbc.csv` after each simulation. Existing files are
    resumed: they belong to the same posterior, because the engine removes others.
    """
    tables = settings.out / "tables"
    paths = [tables / f"{name}_sbc_{kind}.csv" for kind in ("ranks", "fits")]

    def keep(found: Ranks) -> None:
        for path, table in zip(paths, found, strict=True):
            write_csv(path, table)
        write_csv(tables / f"{name}_sbc.csv", calibration_table(found[0]))

    there = all(path.exists() for path in paths)
    ranks, fits = (pd.read_csv(path) for path in paths) if there else (pd.DataFrame(), pd.DataFrame())
    both = min(len(ranks), len(fits))
    calibrate(simulations=settings.simulations, done=(ranks[:both], fits[:both]), keep=keep, progress=progress)


def _files(fit: str, *kinds: str) -> tuple[str, ...]:
    return (*(f"tables/{fit}_{kind}.csv" for kind in kinds), *(f"figures/{fit}_{kind}.png" for kind in kinds))


def _folds(fit: str, make: Callable[..., None], *needs: str) -> Step:
    return Step(
        f"{fit}_folds",
        make,
        ("inputs", *needs, fit),
        ("folds", "folds_by"),
        _files(fit, "cv", "folds", "held_out"),
        checks=fit,
    )


def _calibration(fit: str, make: Callable[..., None], *needs: str) -> Step:
    files = _files(fit, "sbc", "sbc_ranks", "sbc_fits")
    return Step(f"{fit}_calibration", make, ("inputs", *needs, fit), ("simulations",), files, checks=fit)


CHECKS = (
    _folds("turnover", held_out_layers),
    _calibration("turnover", calibrate_turnover),
    Step(
        "turnover_histories",
        compare_histories,
        ("inputs", "turnover", "stocks", "bulk_input"),
        makes=_files("turnover", "prehistory"),
        checks="turnover",
    ),
    *(_folds(name, partial(held_out_records, name), *BULK.get(name, ())) for name in REGRESSIONS),
    *(_calibration(name, partial(calibrate_records, name), *BULK.get(name, ())) for name in REGRESSIONS),
)


def checks_of(fit: str, settings: RunSettings) -> list[str]:
    """Names of the checks of a fit that the settings ask for."""
    if fit == "turnover" and settings.turnover_prior != "hierarchical":
        return []
    asked = [f"{fit}_folds"] * bool(settings.folds) + [f"{fit}_calibration"] * bool(settings.simulations)
    return asked + ["turnover_histories"] * (fit == "turnover" and settings.both_histories)
