"""Tables of the regressions: coefficients by biome, what they explain, loadings of components, means by biome."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..constants import BIOMES
from ..inference.sampling import summarise
from ..models.components import Components
from ..models.regression import INTERCEPT, Records, site_means
from ..models.root_depth import DEPTHS, RootRecords, to_depths

if TYPE_CHECKING:  # ArviZ, which it needs, would import pyplot
    from ..inference.regressions import RegressionFit

ALL_BIOMES = "all"
R_SQUARED = "R² of the biomes' own coefficients"
PAPER_R_SQUARED = {"drivers_iroot": 0.50, "drivers_ibulk": 0.74}
RESPONSES = {"drivers_iroot": "I_root", "drivers_ibulk": "I_bulk"}
PAPER_ALLOCATION = 0.377
"""Mean f_BNPP over the paper's sites."""


SITE_MEANS: dict[str, tuple[Callable[[NDArray], NDArray], float | None]] = {
    "drivers_iroot": (np.exp, None),
    "allocation": (lambda x: 1 / (1 + np.exp(-x)), PAPER_ALLOCATION),
}
"""Regressions for which means by biome are reported: the function from the scale of the regression to the flux or
share, and the paper's mean."""


def regression_tables(fit: RegressionFit[Records]) -> dict[str, pd.DataFrame]:
    """All tables of a regression, by the suffix of their file's name."""
    tables = {"": coefficient_table(fit), "summary": explained_table(fit), "loadings": loadings_table(fit.components)}
    return tables | ({"biome": site_means_table(fit)} if fit.name in SITE_MEANS else {})


def coefficient_table(fit: RegressionFit[Records]) -> pd.DataFrame:
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


def explained_table(fit: RegressionFit[Records]) -> pd.DataFrame:
    """`tables/NAME_summary.csv`: Bayesian R², importance of the groups of predictors, and standard deviations between
    units and biomes; next to the paper's values.
    """
    posterior = fit.tree["posterior"].to_dataset()
    what = {
        R_SQUARED: ("r_squared_conditional", PAPER_R_SQUARED.get(fit.name)),
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


def explained_comparison(tables: Path) -> pd.DataFrame:
    """Rows of `tables/paper_comparison.csv`: R² of the regressions that have a table, and the paper's."""
    rows = []
    for name, paper in PAPER_R_SQUARED.items():
        path = tables / f"{name}_summary.csv"
        if path.exists():
            found = pd.read_csv(path).set_index("quantity").loc[R_SQUARED]
            row = {"quantity": f"R² of the drivers of {RESPONSES[name]}", "unit": "1", "paper": paper}
            row |= {"ours": found["mean"], "ours_low": found["p025"], "ours_high": found["p975"]}
            note = "of records, which differ within a site too" if "root" in name else ""
            rows.append(row | {"ours_interval": "95 % of the posterior", "note": note})
    return pd.DataFrame(rows)


def loadings_table(components: Components) -> pd.DataFrame:
    """`tables/NAME_loadings.csv`: of each component (row) on each standardised covariate."""
    return pd.DataFrame(components.loadings, columns=list(components.covariates)).assign(component=components.names)[
        ["component", *components.covariates]
    ]


def site_means_table(fit: RegressionFit[Records]) -> pd.DataFrame:
    """Mean response over the sites of each biome, and over all: `biome`, `units`, mean, median, 95 % interval."""
    response, paper = SITE_MEANS[fit.name]
    unit_biome = fit.records.biome[fit.records.first]
    rows = []
    for b, drawn in site_means(fit.draws(), fit.records, response).items():
        count = len(unit_biome) if b == 0 else int((unit_biome == b).sum())
        row = {"biome": BIOMES.get(b, ALL_BIOMES), "units": count}
        rows.append(row | {k: float(v) for k, v in summarise(drawn).items()} | {"paper": paper if b == 0 else None})
    return pd.DataFrame(rows)


def root_depth_table(fit: RegressionFit[RootRecords]) -> pd.DataFrame:
    """`tables/root_depth.csv`: `quantity`, `where`, `profiles`, `unit`, mean, median, 95 % interval.

    D50 and D95 of the median site of each biome; what one standard deviation of a component multiplies them by; spreads
    of biomes, sites and profiles (log10 of D50; logarithm of log10 D95/D50); how much an extrapolation may be off, as a
    share of what it added.
    """
    draws, records = fit.draws(), fit.records
    rows = []

    def add(quantity: str, where: str, unit: str, drawn: NDArray, profiles: int = len(records.y)) -> None:
        row = {"quantity": quantity, "where": where, "profiles": profiles, "unit": unit}
        rows.append(row | {k: float(v) for k, v in summarise(drawn).items()})

    expected = records.expected(draws)
    for b, biome in BIOMES.items():
        here = records.biome == b
        centre = expected[:, here].mean(axis=1) if here.any() else draws["biome_mean"][:, b - 1]
        for name, drawn in zip(("D50", "D95"), to_depths(centre), strict=True):
            add(name, biome, "cm", drawn, int(here.sum()))
    d50, d95 = to_depths(expected.mean(axis=1))
    for j, predictor in enumerate(records.predictors):
        moved = to_depths(expected.mean(axis=1) + draws["slope"][:, j])
        for name, before, after in zip(("D50", "D95"), (d50, d95), moved, strict=True):
            add(f"{name}, for 1 sd of {predictor}", ALL_BIOMES, "factor", after / before)
    for kind in ("biome", "site", "profile"):
        for i, depth in enumerate(DEPTHS):
            add(f"spread of {depth} between {kind}s", ALL_BIOMES, "1", draws[f"{kind}_sd"][:, i])
    add("error of an extrapolation", ALL_BIOMES, "1", draws["extrapolation_sd"])
    return pd.DataFrame(rows)
