"""The paper's ensemble of learners, where it is what predicts at the sites of the six estimates."""

from __future__ import annotations

import pandas as pd

from ..data.folder import Inputs
from ..files import write_csv
from ..mapping.regressors import TREES
from ..mapping.site_ensemble import PLACE, SitePredictions, predict_sites
from ..progress import Progress
from ..settings import RunSettings, step_seed
from .bulk_input import BulkInput
from .engine import Step
from .learners import tasks_of

PREDICTIONS, SCORES = "ensemble_sites", "ensemble"


def predict_at_sites(
    inputs: Inputs, bulk_input: BulkInput, settings: RunSettings, progress: Progress | None = None
) -> None:
    """Writes `tables/ensemble_sites.csv`, what the ensembles say of every site, and `tables/ensemble.csv`, the scores
    of learners and ensembles; neither where the forests predict.
    """
    tables = settings.out / "tables"
    if settings.site_predictions == "forests":
        for name in (PREDICTIONS, SCORES):
            (tables / f"{name}.csv").unlink(missing_ok=True)
        return
    columns = [*PLACE, "biome", *inputs.features]
    layers = inputs.layers[inputs.layers["has_covariates"]]
    sites = pd.concat([table[columns] for table in (inputs.npp, layers, inputs.roots)])
    predictions, scores = predict_sites(
        tasks_of(inputs, bulk_input, settings),
        inputs.features,
        sites,
        seed=step_seed(settings, "site ensemble"),
        trees=min(TREES, settings.members),
        progress=progress,
    )
    write_csv(tables / f"{SCORES}.csv", scores)
    write_csv(tables / f"{PREDICTIONS}.csv", predictions, shorten=[str(c) for c in predictions if c not in PLACE])


def read_predictions(settings: RunSettings) -> SitePredictions | None:
    """Read what `predict_at_sites` wrote; nothing where the forests predict."""
    if settings.site_predictions == "forests":
        return None
    return SitePredictions(pd.read_csv(settings.out / "tables" / f"{PREDICTIONS}.csv"))


SITE_ENSEMBLE = Step(
    "site_ensemble",
    predict_at_sites,
    ("inputs", "bulk_input"),
    ("site_predictions", "members", "block_km"),
    (f"tables/{PREDICTIONS}.csv", f"tables/{SCORES}.csv"),
    read=read_predictions,
    wanted=lambda settings: settings.site_predictions == "ensemble",
    extra="learners",
)
