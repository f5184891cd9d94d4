"""Many rates within a layer, beside the one pool of the paper: how long carbon stays, which the data decide."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.folder import Inputs
from ..files import write_csv
from ..inference.checks import leave_one_out
from ..inference.store import read_tree
from ..progress import Progress, part_of
from ..settings import RunSettings
from .engine import Step
from .record import write_diagnostics
from .turnover import TURNOVER, LayerTurnover, infer_turnover, read_turnover

COMPARISON = "tables/turnover_families.csv"
RESPIRED = "tables/turnover_respired.csv"


def fit_rates(inputs: Inputs, turnover: LayerTurnover, settings: RunSettings, progress: Progress | None = None) -> None:
    """Fits turnover with each family of rates that is asked for; compares families, where there are two."""
    runs = runs_of(settings)
    for number, run in enumerate(runs):
        if run is not settings:
            infer_turnover(inputs, run, part_of(progress, number, len(runs)))
            (row,) = pd.read_csv(run.out / "tables" / "diagnostics.csv").to_dict("records")
            write_diagnostics(settings, {str(k): v for k, v in row.items()} | {"fit": f"turnover, {run.family}"})
    if runs and runs[0] is not settings and (runs[0].out / RESPIRED).exists():
        shutil.copyfile(runs[0].out / RESPIRED, settings.out / RESPIRED)
    if len(runs) > 1:
        write_csv(settings.out / COMPARISON, comparison_table({str(run.family): run.out for run in runs}))
    else:
        (settings.out / COMPARISON).unlink(missing_ok=True)


def read_rates(settings: RunSettings) -> dict[str, LayerTurnover]:
    """The fits of many rates by family, the run's own first; none where layers were inverted alone."""
    return {str(run.family): read_turnover(run) for run in runs_of(settings)}


def runs_of(settings: RunSettings) -> list[RunSettings]:
    """Settings of each fit of many rates: those of the run itself where its own turnover has them."""
    if settings.turnover_prior != "hierarchical":
        return []
    own = [settings] if settings.pool_spread == "inferred" else []
    families = [family for family in settings.rates if not own or family != settings.family]
    return own + [
        settings.model_copy(
            update={
                "pool_spread": "inferred",
                "family": family,
                "out": settings.out / "rates" / family.replace(" ", "-"),
            }
        )
        for family in families
    ]


def comparison_table(folders: dict[str, Path]) -> pd.DataFrame:
    """`tables/turnover_families.csv`: how well each family predicts profiles that are left out, given others of their
    site and study: PSIS-LOO, its difference from the best, and stacking weights (Yao et al. 2018).

    Parameters
    ----------
    folders : dict of str to Path
        Output folder of each family's fit.
    """
    import arviz as az

    trees = {name: read_tree(out / "posterior" / "turnover.nc", "turnover") for name, out in folders.items()}
    likelihoods = {name: tree["log_likelihood"].to_dataset()["profiles"].values for name, tree in trees.items()}
    rows = []
    for name, values in likelihoods.items():
        rows.append({"family": name} | leave_one_out(values.reshape(-1, values.shape[-1]), len(values)))
    compared = az.compare(
        {name: az.from_dict(_of_profiles(values)) for name, values in likelihoods.items()}, round_to="none"
    )
    found = pd.DataFrame(rows).set_index("family")
    found["difference"], found["difference_se"] = compared["elpd_diff"], compared["dse"]
    found["weight"] = compared["weight"]
    return found.reset_index()


def _of_profiles(values: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """ArviZ wants a posterior along with the likelihood."""
    return {"posterior": {"none": np.zeros(values.shape[:2])}, "log_likelihood": {"profiles": values}}


RATES = Step(
    "rates",
    fit_rates,
    ("inputs", "turnover"),
    ("rates", *TURNOVER.settings),
    ("rates/*/posterior/*.nc", COMPARISON, RESPIRED),
    read=read_rates,
)
