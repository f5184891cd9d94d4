"""The learners side by side on held-out sites and regions, as `bayes-rootc train` offers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from .demo import is_simulated
from .files import write_csv
from .inference.sampling import offer_devices
from .mapping.learners import learner_tasks
from .mapping.regressors import TREES
from .mapping.validation import classes_table, compare_learners, learners_table
from .pipeline import check, step_seed, train
from .progress import Stages
from .report.figures_learners import save_learner_figures
from .settings import RunSettings
from .single_fit import bulk_density

FOLDS = 5
"""Each holds out a fifth, as the paper does once."""


def train_and_compare(settings: RunSettings, *, folds: int = FOLDS, quiet: bool = False) -> Path:
    """The forests of the maps, and all learners and ensembles with their scores on what they have not seen.

    Writes `tables/learners.csv`, `learners_by_class.csv` (biomes and depths), `learners_held_out.csv` (every
    prediction), and `figures/learners_*.png`. Returns the path of the first.

    Raises
    ------
    InputError : the data folder is unusable, or there are too few sites.
    """
    offer_devices(settings.chains)
    stages = Stages(6, quiet=quiet)
    with stages.stage("check"):
        inputs = check(settings)
    with stages.stage("turnover, unless there") as progress:
        stocks, density = bulk_density(inputs, settings, progress)
    tasks = learner_tasks(inputs, stocks, density, settings.block_degrees)
    with stages.stage("forests of the maps") as progress:
        train(tasks, inputs.features, settings, progress)
    path = settings.out / "tables" / "learners.csv"
    trees = min(TREES, settings.members)  # fewer in a quick run
    scores, classes, held_out = [pd.read_csv(path)], [], []
    for target, task in tasks.items():
        with stages.stage(f"learners of {target}") as progress:
            seed = step_seed(settings, f"learners {target}")
            predictions, costs = compare_learners(
                task.X, task.y, task.site, task.block, folds=folds, seed=seed, trees=trees, progress=progress
            )
        scores.append(learners_table(predictions, costs).assign(target=target))
        classes.append(classes_table(predictions, task.table).assign(target=target))
        names = task.table["id"].to_numpy(str)[predictions["row"].to_numpy()]
        held_out.append(predictions.drop(columns="row").assign(target=target, id=names))
    for name, parts in {"learners": scores, "learners_by_class": classes, "learners_held_out": held_out}.items():
        table = pd.concat(parts, ignore_index=True)
        first = [c for c in ("target", "learner", "split", "fold", "id") if c in table]
        write_csv(settings.out / "tables" / f"{name}.csv", table[[*first, *table.columns.drop(first)]])
    save_learner_figures(settings.out, simulated=is_simulated(inputs.folder))
    return path
