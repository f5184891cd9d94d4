"""The forests of the maps, and all learners compared on held-out places."""

from __future__ import annotations

import shutil
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pandas as pd

from ..constants import MAP_FOREST
from ..data.folder import Inputs
from ..files import write_csv
from ..mapping.bootstrap import bootstrap_tau, percentile95
from ..mapping.learners import MIN_GROUPS, FluxModel, Learners, PosteriorForest, hold_out, validate
from ..mapping.model_file import read_learners, save_learners
from ..mapping.natural_scale import NaturalScale, corrected, natural_means, natural_table
from ..mapping.regressors import TREES
from ..mapping.tasks import Task, learner_tasks, variogram_table
from ..mapping.validation import classes_table, compare_learners, learners_table, tau_table
from ..progress import Progress, part_of
from ..settings import RunSettings, step_seed
from .bulk_input import BulkInput
from .engine import Step

NATURAL = ("iroot", "ibulk")
"""Responses that are learnt on the log scale, and whose means count on the natural one."""


def tasks_of(inputs: Inputs, bulk_input: BulkInput, settings: RunSettings) -> dict[str, Task]:
    """The responses that are learnt, and the distance over which their residuals are correlated."""
    seed = step_seed(settings, "variograms")
    return learner_tasks(inputs, bulk_input.stocks, bulk_input.density, block_km=settings.block_km, seed=seed)


def train(inputs: Inputs, bulk_input: BulkInput, settings: RunSettings, progress: Progress | None = None) -> None:
    """Forests of log I_root, log I_bulk and logit f_BNPP; their spread is calibrated on held-out places (paper, eq.
    9–10).
    """
    tasks = tasks_of(inputs, bulk_input, settings)
    write_csv(settings.out / "tables" / "variograms.csv", variogram_table(tasks))
    models, scores, predictions, taus, natural = {}, [], [], [], []
    for i, (target, task) in enumerate(tasks.items()):
        forest = PosteriorForest(settings.members, random_state=step_seed(settings, f"forest {target}"))
        calibration, score, predicted = validate(
            forest,
            task,
            splits=settings.validation_splits,
            seed=step_seed(settings, f"validation {target}"),
            progress=part_of(progress, 2 * i, 2 * len(tasks)),
        )
        taus.append(tau_row(target, predicted, settings.validation_splits))
        if settings.tau_bootstraps:
            tau = bootstrap_tau(
                forest,
                task,
                bootstraps=settings.tau_bootstraps,
                seed=step_seed(settings, f"bootstraps {target}"),
                folder=settings.out / UNFINISHED,
                progress=part_of(progress, 2 * i + 1, 2 * len(tasks)),
            )
            calibration = replace(calibration, tau95=percentile95(np.concatenate(tau)))
            taus[-1] |= {"tau95_bootstraps": calibration.tau95, "bootstraps": len(tau)}
        scale = None
        if target in NATURAL:
            found, means = natural_scale(forest, task, predicted, settings, seed=step_seed(settings, f"means {target}"))
            natural.append(means.assign(target=target))
            scale = found if settings.correct_means else None
        seed = step_seed(settings, f"applicability {target}")
        models[target] = FluxModel.fit(forest, task, calibration, seed=seed, scale=scale)
        scores.append(score.assign(target=target, learner=MAP_FOREST))
        predictions.append(predicted.assign(target=target))
    table, held_out = (pd.concat(parts, ignore_index=True) for parts in (scores, predictions))
    first = ["target", "learner"]
    write_csv(settings.out / "tables" / "learners.csv", table[[*first, *table.columns.drop(first)]])
    columns = ["target", "split", "fold", "row", "observed", "mean", "sd"]
    write_csv(settings.out / "tables" / "held_out.csv", held_out[columns])
    means = pd.concat(natural, ignore_index=True)
    first = ["target", "split"]
    write_csv(settings.out / "tables" / "natural_scale.csv", means[[*first, *means.columns.drop(first)]])
    learners = Learners(inputs.features, models["iroot"], models["ibulk"], models["f_bnpp"])
    save_learners(settings.out / "models" / "learners.npz", learners)
    write_csv(settings.out / "tables" / "tau.csv", pd.DataFrame(taus))
    shutil.rmtree(settings.out / UNFINISHED, ignore_errors=True)


def natural_scale(
    forest: PosteriorForest, task: Task, predicted: pd.DataFrame, settings: RunSettings, *, seed: int
) -> tuple[NaturalScale, pd.DataFrame]:
    """Factors by which means of fluxes are right in regions that were held out; and how right means are at sites,
    studies and regions that were held out, each corrected by what the others ask for.
    """
    groups, parts = {"site": task.site, "spatial": task.regions()}, [predicted]
    if "study" in task.table and task.table["study"].nunique() >= MIN_GROUPS:
        groups["study"] = task.table["study"].to_numpy(str)
        splits = max(settings.validation_splits // 2, 2)
        rng = np.random.default_rng(seed)
        parts.append(hold_out(forest, task, groups["study"], splits=splits, rng=rng).assign(split="study"))
    measured = np.exp(task.y).mean(axis=1)
    rows, tables = natural_means(pd.concat(parts, ignore_index=True), measured, task.table), []
    for split, of_split in rows.groupby("split", sort=False):
        of_split = of_split.assign(corrected=corrected(of_split, groups[str(split)]))
        tables.append(natural_table(of_split, task.site, seed).assign(split=split))
    spatial = rows[rows["split"] == "spatial"]
    return NaturalScale.fit(spatial, groups["spatial"][spatial["row"]], seed=seed), pd.concat(tables)


def tau_row(target: str, predicted: pd.DataFrame, splits: int) -> dict[str, object]:
    """τ₉₅ of held-out sites and of held-out regions, `tables/tau.csv`; bootstraps, where there are any, come next to
    them.
    """
    held_out = {f"tau95_{kind}": float(part["tau"].quantile(0.95)) for kind, part in predicted.groupby("split")}
    return {"target": target, **held_out, "splits": splits, "tau95_bootstraps": np.nan, "bootstraps": 0}


UNFINISHED = "models/.bootstraps"
"""Where bootstraps are kept until the last is done."""


def read_models(settings: RunSettings) -> Learners:
    """Read the forests that `train` wrote."""
    return read_learners(settings.out / "models" / "learners.npz")


def compare(
    inputs: Inputs, bulk_input: BulkInput, learners: Learners, settings: RunSettings, progress: Progress | None = None
) -> None:
    """All learners and ensembles with their scores on what they have not seen.

    Writes `tables/learners_by_class.csv` (biomes, depths, area of applicability), `learners_tau.csv` (scaling of the
    spread, by the same), `learners_importance.csv`, `learners_held_out.csv` (every prediction), and adds to
    `learners.csv`, which has the forests of the maps already.
    """
    tables, trees = settings.out / "tables", min(TREES, settings.members)  # fewer in a quick run
    ours = pd.read_csv(tables / "learners.csv")
    parts: dict[str, list[pd.DataFrame]] = defaultdict(list, learners=[ours[ours["learner"] == MAP_FOREST]])
    tasks = tasks_of(inputs, bulk_input, settings)
    for i, (target, task) in enumerate(tasks.items()):
        seed = step_seed(settings, f"learners {target}")
        part = part_of(progress, i, len(tasks))
        predictions, costs, importance = compare_learners(
            task, folds=settings.learner_folds, seed=seed, trees=trees, progress=part
        )
        rows = task.table[["id", "lat", "lon"]].iloc[predictions["row"].to_numpy()].reset_index(drop=True)
        for name, table in {
            "learners": learners_table(predictions, costs),
            "learners_by_class": classes_table(predictions, task.table),
            "learners_tau": tau_table(predictions, task.table, task.site, seed=seed),
            "learners_importance": importance.assign(feature=np.array(task.features)[importance["feature"]]),
            "learners_held_out": pd.concat([predictions.drop(columns="row"), rows], axis=1),
        }.items():
            parts[name].append(table.assign(target=target))
    for name, of_targets in parts.items():
        table = pd.concat(of_targets, ignore_index=True)
        first = [c for c in ("target", "learner", "split", "fold", "id") if c in table]
        write_csv(tables / f"{name}.csv", table[[*first, *table.columns.drop(first)]])


LEARNERS = Step(
    "learners",
    train,
    ("inputs", "bulk_input"),
    ("members", "validation_splits", "block_km", "tau_bootstraps", "correct_means"),
    (
        "models/learners.npz",
        "tables/held_out.csv",
        "tables/natural_scale.csv",
        "tables/variograms.csv",
        "tables/tau.csv",
    ),
    shared=("tables/learners.csv",),
    read=read_models,
)
COMPARISON = Step(
    "learner_comparison",
    compare,
    ("inputs", "bulk_input", "learners"),
    ("learner_folds",),
    tuple(f"tables/learners_{kind}.csv" for kind in ("by_class", "tau", "importance", "held_out")),
    shared=("tables/learners.csv",),
    checks="learners",
    extra="learners",
)
