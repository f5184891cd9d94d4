"""The other family of rates within a layer, beside the run's own: what both say alike is what the data decide."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from ..data.folder import Inputs
from ..files import write_csv
from ..inference.checks import leave_one_out
from ..inference.store import read_tree
from ..models.rates import FamilyName
from ..progress import Progress
from ..settings import RunSettings
from .engine import Step
from .turnover import TURNOVER, LayerTurnover, infer_turnover, read_turnover

FOLDER = "other-family"
TABLE = "tables/turnover_families.csv"


def fit_other_family(
    inputs: Inputs, turnover: LayerTurnover, settings: RunSettings, progress: Progress | None = None
) -> None:
    """Fits turnover with the other family of rates, if that is asked for, and compares both by leave-one-out."""
    if not asked(settings) or turnover.fit is None:
        (settings.out / TABLE).unlink(missing_ok=True)
        return
    other = _other(settings)
    infer_turnover(inputs, other, progress)
    folders = {run.family: run.out for run in (settings, other)}
    write_csv(settings.out / TABLE, comparison_table(folders))


def read_other_family(settings: RunSettings) -> LayerTurnover | None:
    """What `fit_other_family` made; nothing where it was not asked for."""
    return read_turnover(_other(settings)) if asked(settings) else None


def asked(settings: RunSettings) -> bool:
    """Whether a run fits both families."""
    return settings.both_families and settings.turnover_prior == "hierarchical" and settings.pool_spread == "inferred"


def _other(settings: RunSettings) -> RunSettings:
    (other,) = set(get_args(FamilyName.__value__)) - {settings.family}
    return settings.model_copy(update={"family": other, "out": settings.out / FOLDER})


def comparison_table(folders: dict[FamilyName, Path]) -> pd.DataFrame:
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
        chains = len(values)
        rows.append({"family": name} | leave_one_out(values.reshape(-1, values.shape[-1]), chains))
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


OTHER_FAMILY = Step(
    "other_family",
    fit_other_family,
    ("inputs", "turnover"),
    ("both_families", *TURNOVER.settings),
    (f"{FOLDER}/posterior/*.nc", TABLE),
    read=read_other_family,
)
