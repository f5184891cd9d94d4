"""The learners side by side on held-out sites and regions, as `bayes-rootc train` offers."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from .demo import is_simulated
from .files import write_csv
from .inference.sampling import offer_devices
from .mapping.regressors import TREES
from .mapping.validation import classes_table, compare_learners, learners_table, tau_table
from .pipeline import tasks_of, train
from .progress import Stages
from .report.figures_learners import save_learner_figures
from .report.results import Results
from .settings import RunSettings, step_seed
from .single_fit import checked_density

FOLDS = 5
"""Each holds out a fifth, as the paper does once."""


def train_and_compare(settings: RunSettings, *, folds: int = FOLDS, quiet: bool = False) -> Path:
    """The forests of the maps, and all learners and ensembles with their scores on what they have not seen.

    Writes `tables/learners.csv`, `learners_by_class.csv` (biomes, depths, area of applicability), `learners_tau.csv`
    (scaling of the spread, by the same), `learners_importance.csv`, `learners_held_out.csv` (every prediction), and
    `figures/learners_*.png`. Returns the path of the first.

    Raises
    ------
    InputError : the data folder is unusable, or there are too few sites.
    """
    offer_devices(settings.chains)
    stages = Stages(6, quiet=quiet)
    inputs, stocks, density = checked_density(settings, stages)
    with stages.stage("forests of the maps") as progress:
        tasks = tasks_of(inputs, stocks, density, settings)
        train(tasks, inputs.features, settings, progress)
    path = settings.out / "tables" / "learners.csv"
    trees = min(TREES, settings.members)  # fewer in a quick run
    parts: dict[str, list[pd.DataFrame]] = defaultdict(list, learners=[pd.read_csv(path)])
    for target, task in tasks.items():
        with stages.stage(f"learners of {target}") as progress:
            seed = step_seed(settings, f"learners {target}")
            predictions, costs, importance = compare_learners(
                task.X, task.y, task.site, task.block, folds=folds, seed=seed, trees=trees, progress=progress
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
        write_csv(settings.out / "tables" / f"{name}.csv", table[[*first, *table.columns.drop(first)]])
    save_learner_figures(Results(settings.out, inputs.folder), simulated=is_simulated(inputs.folder))
    return path
