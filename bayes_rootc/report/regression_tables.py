"""Tables of the regressions: coefficients by biome, what they explain, loadings of components, means by biome."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..constants import BIOMES
from ..inference.regressions import RegressionFit
from ..inference.sampling import summarise
from ..models.components import Components
from ..models.regression import INTERCEPT, site_means

ALL_BIOMES = "all"
PAPER_R_SQUARED = {"drivers_iroot": 0.50, "drivers_ibulk": 0.74}
PAPER_ALLOCATION = 0.377
"""Mean f_BNPP over the paper's sites."""


def coefficient_table(fit: RegressionFit) -> pd.DataFrame:
    """`tables/drivers_*.csv`, `allocation.csv`: `coefficient`, `group`, `biome` (and `all`: their mean), records of the
    biome, mean, median, 95 % interval, and the probability that the coefficient has the sign of its median.

    A coefficient is the change of the response (log of a flux; logit of a share) for one standard deviation of the
    predictor; that of the intercept is the response itself where all predictors are at their mean.
    """
    draws = fit.draws()
    groups = dict(zip(fit.records.predictors, fit.records.groups, strict=True)) | {INTERCEPT: INTERCEPT}
    rows = []
    for i, name in enumerate((INTERCEPT, *fit.records.predictors)):
        shift = fit.records.centre if name == INTERCEPT else 0.0
        values = {ALL_BIOMES: draws["mean"][:, i]} | {
            label: draws["by_biome"][:, b - 1, i] for b, label in BIOMES.items()
        }
        counts = {ALL_BIOMES: len(fit.records.y)} | {
            label: int((fit.records.biome == b).sum()) for b, label in BIOMES.items()
        }
        for biome, drawn in values.items():
            row = {"coefficient": name, "group": groups[name], "biome": biome, "records": counts[biome]}
            positive = float((drawn + shift > 0).mean())
            row |= {key: float(v) for key, v in summarise(drawn + shift).items()}
            rows.append(row | {"probability_of_direction": max(positive, 1 - positive)})
    return pd.DataFrame(rows)


def explained_table(fit: RegressionFit) -> pd.DataFrame:
    """`tables/NAME_summary.csv`: Bayesian R², importance of the groups of predictors, and spreads; the paper's beside
    them.
    """
    posterior = fit.tree["posterior"].to_dataset()
    what = {
        "R² of the biomes' own coefficients": ("r_squared_conditional", PAPER_R_SQUARED.get(fit.name)),
        "R² of the mean coefficients": ("r_squared_marginal", None),
        "spread between sites or profiles": ("unit_sd", None),
        "spread between records of one": ("record_sd", None),
    }
    rows = [
        {"quantity": text, "paper": paper} | {k: float(v) for k, v in summarise(posterior[name].values.ravel()).items()}
        for text, (name, paper) in what.items()
    ]
    for group in posterior["group"].values:
        drawn = posterior["importance"].sel(group=group).values.ravel()
        rows.append(
            {"quantity": f"importance of {group}", "paper": None} | {k: float(v) for k, v in summarise(drawn).items()}
        )
    return pd.DataFrame(rows)


def loadings_table(components: Components) -> pd.DataFrame:
    """`tables/NAME_loadings.csv`: of each component (row) on each standardised covariate."""
    return pd.DataFrame(components.loadings, columns=list(components.covariates)).assign(component=components.names)[
        ["component", *components.covariates]
    ]


def site_means_table(
    fit: RegressionFit, response: Callable[[NDArray], NDArray], paper: float | None = None
) -> pd.DataFrame:
    """Mean response over the sites of each biome, and over all: `biome`, `units`, mean, median, 95 % interval."""
    unit_biome = fit.records.biome[fit.records.first]
    rows = []
    for b, drawn in site_means(fit.draws(), fit.records, response).items():
        count = len(unit_biome) if b == 0 else int((unit_biome == b).sum())
        row = {"biome": BIOMES.get(b, ALL_BIOMES), "units": count}
        rows.append(row | {k: float(v) for k, v in summarise(drawn).items()} | {"paper": paper if b == 0 else None})
    return pd.DataFrame(rows)


def logistic(x: NDArray) -> NDArray:
    """Inverse of the logit."""
    return 1 / (1 + np.exp(-x))
