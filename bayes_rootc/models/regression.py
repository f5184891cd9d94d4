r"""Hierarchical regression on principal components: what drives I_root, I_bulk and allocation (paper, eq. 7–8).

Record i of unit p (a site or a profile) in biome b, with predictors x of unit variance:

.. math::
    y_i \sim N(\alpha_b + x_i \beta_b + u_p,\ \sqrt{\sigma^2 + s_i^2}), \quad
    u_p \sim N(0, \sqrt{\tau^2 + t_p^2}), \quad (\alpha_b, \beta_b) \sim N(\mu, \Sigma)

where s and t are known: what a response's own posterior says of its error, of a record by itself and of all records of
a unit together. u is integrated out: given the rest, records of a unit are Normal with equal covariances.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..constants import BIOMES

if TYPE_CHECKING:
    import pymc as pm

INTERCEPT = "intercept"
LKJ_SHAPE = 2.0
QUADRATURE_NODES = 15
PRIORS = {
    "mean_intercept": (1.0, "normal; y is centred, so e^±2 about its geometric mean"),
    "mean_slope": (0.5, "normal; one standard deviation of a predictor changes a flux by a factor of up to e"),
    "biome_sd_intercept": (0.5, "half-normal; biomes differ by a factor of up to e"),
    "biome_sd_slope": (0.25, "half-normal; slopes differ less between biomes than they are large"),
    "unit_sd": (1.0, "half-normal"),
    "record_sd": (1.0, "half-normal"),
}
"""Scale of each prior, and why."""


@dataclass(frozen=True)
class Records:
    """A response and its predictors, records of a unit side by side.

    y : response, (n,). sd : known standard deviation of each record's error, (n,). X : predictors, (n, p). predictors :
    their names. groups : the group of each (soil, climate, topography, depth). biome : 1–9, (n,). unit : 0 …, in order,
    (n,). unit_sd : known standard deviation of the error that records of a unit share, (unit,). unit_ids : their names.
    centre : of the response, about which the prior of the intercept lies.
    """

    y: NDArray[np.float64]
    sd: NDArray[np.float64]
    X: NDArray[np.float64]
    predictors: tuple[str, ...]
    groups: tuple[str, ...]
    biome: NDArray[np.int64]
    unit: NDArray[np.int64]
    unit_sd: NDArray[np.float64]
    unit_ids: tuple[str, ...]
    centre: float

    @property
    def design(self) -> NDArray[np.float64]:
        """Intercept and predictors, (n, 1 + p)."""
        return np.column_stack([np.ones(len(self.y)), self.X])

    @property
    def first(self) -> NDArray[np.int64]:
        """First record of each unit."""
        return np.searchsorted(self.unit, np.arange(len(self.unit_ids)))

    def rows(self, keep: NDArray[np.bool_]) -> Records:
        """The same without some records; units that lose all of theirs are gone."""
        units, unit = np.unique(self.unit[keep], return_inverse=True)
        return Records(
            self.y[keep],
            self.sd[keep],
            self.X[keep],
            self.predictors,
            self.groups,
            self.biome[keep],
            unit,
            self.unit_sd[units],
            tuple(np.array(self.unit_ids)[units]),
            self.centre,
        )


def make_records(
    y: NDArray[np.float64],
    X: NDArray[np.float64],
    predictors: tuple[str, ...],
    groups: tuple[str, ...],
    biome: NDArray[np.int64],
    unit: pd.Series,
    *,
    sd: NDArray[np.float64] | float = 0.0,
    unit_sd: pd.Series | None = None,
) -> Records:
    """Records in any order. unit : name of each record's unit. unit_sd : by that name."""
    order = np.argsort(unit.to_numpy(str), kind="stable")
    ids, index = np.unique(unit.to_numpy(str)[order], return_inverse=True)
    shared = np.zeros(len(ids)) if unit_sd is None else unit_sd[ids].to_numpy(float)
    sd = np.broadcast_to(np.asarray(sd, float), y.shape)[order]
    names = tuple(map(str, ids))
    return Records(y[order], sd, X[order], predictors, groups, biome[order], index, shared, names, float(y.mean()))


def build(records: Records, *, correlated: bool = False) -> pm.Model:
    """The PyMC model. Effects of biomes are sampled in units of their spreads (not centred), as several biomes have few
    records; correlated : with a prior on their correlations (LKJ 2), of which nine biomes tell next to nothing.
    """
    import pymc as pm
    import pytensor.tensor as pt

    coefficients = [INTERCEPT, *records.predictors]
    scale = {name: s for name, (s, _) in PRIORS.items()}
    mean_scale = np.array([scale["mean_intercept"], *[scale["mean_slope"]] * len(records.predictors)])
    sd_scale = np.array([scale["biome_sd_intercept"], *[scale["biome_sd_slope"]] * len(records.predictors)])
    X = records.design
    coords = {"coefficient": coefficients, "biome": list(BIOMES.values())}
    with pm.Model(coords=coords) as model:
        mean = pm.Normal("mean", 0.0, mean_scale, dims="coefficient")
        z = pm.Normal("biome_offset", dims=("biome", "coefficient"))
        if correlated:
            cholesky, _, sd = pm.LKJCholeskyCov(
                "biome_cov", n=len(coefficients), eta=LKJ_SHAPE, sd_dist=pm.HalfNormal.dist(sd_scale)
            )
            effect = z @ cholesky.T
            pm.Deterministic("biome_sd", sd, dims="coefficient")
        else:
            effect = z * pm.HalfNormal("biome_sd", sd_scale, dims="coefficient")
        by_biome = pm.Deterministic("by_biome", mean + effect, dims=("biome", "coefficient"))
        unit_sd = pm.HalfNormal("unit_sd", scale["unit_sd"])
        record_sd = pm.HalfNormal("record_sd", scale["record_sd"])
        residual = (records.y - records.centre) - (X * by_biome[records.biome - 1]).sum(axis=1)

        def by_unit(values: Any) -> Any:
            return pt.zeros(len(records.unit_ids))[records.unit].inc(values)

        terms = _unit_terms(residual, record_sd**2 + records.sd**2, unit_sd**2 + records.unit_sd**2, by_unit, pt.log)
        pm.Potential("units", terms.sum())
    return model


def _unit_terms(residual: Any, variance: Any, shared: Any, by_unit: Any, log: Any) -> Any:
    """Log density of the records of each unit: Normal, with `variance` of each and `shared` by all (Woodbury)."""
    weight = by_unit(1 / variance)
    joint = 1 + shared * weight
    square = by_unit(residual**2 / variance) - shared * by_unit(residual / variance) ** 2 / joint
    return -0.5 * (square + by_unit(log(2 * np.pi * variance)) + log(joint))


def expected(draws: dict[str, NDArray], records: Records) -> NDArray[np.float64]:
    """What the regression says of each record, (draw, n), less `centre`. draws : by name, (draw, …)."""
    return _by_biome(draws["by_biome"], records.design, records.biome)


def _by_biome(coefficients: NDArray, X: NDArray, biome: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row of X (n, p) times the coefficients of its biome (draw, biome, p): (draw, n)."""
    out = np.empty((len(coefficients), len(X)))
    for b in np.unique(biome):
        here = biome == b
        out[:, here] = coefficients[:, b - 1] @ X[here].T
    return out


def log_likelihood(draws: dict[str, NDArray], records: Records) -> NDArray[np.float64]:
    """Log likelihood of each unit, (draw, unit)."""
    mean = expected(draws, records)

    def by_unit(values: NDArray) -> NDArray:
        return np.add.reduceat(values, records.first)

    return np.stack(
        [
            _unit_terms(
                records.y - records.centre - m,
                records.sd**2 + draws["record_sd"][i] ** 2,
                records.unit_sd**2 + draws["unit_sd"][i] ** 2,
                by_unit,
                np.log,
            )
            for i, m in enumerate(mean)
        ]
    )


def replicate(draws: dict[str, NDArray], records: Records, rng: np.random.Generator) -> NDArray[np.float64]:
    """New records at the same places, (draw, n), of new units: known errors are in."""
    count = len(draws["record_sd"])
    unit = rng.standard_normal((count, len(records.unit_ids))) * np.hypot(draws["unit_sd"][:, None], records.unit_sd)
    own = rng.standard_normal((count, len(records.y))) * np.hypot(draws["record_sd"][:, None], records.sd)
    return records.centre + expected(draws, records) + unit[:, records.unit] + own


def r_squared(draws: dict[str, NDArray], records: Records) -> dict[str, NDArray[np.float64]]:
    """Bayesian R² (Gelman et al. 2019), by draw: variance of what is explained over that plus what is not, known errors
    left out of both. `marginal`: by the mean coefficients of all biomes; `conditional`: by each biome's own.
    """
    unexplained = draws["record_sd"] ** 2 + draws["unit_sd"] ** 2
    conditional, marginal = expected(draws, records).var(axis=1), (draws["mean"] @ records.design.T).var(axis=1)
    total = conditional + unexplained
    return {"marginal": np.minimum(marginal / total, 1.0), "conditional": conditional / total}


def group_shares(draws: dict[str, NDArray], records: Records) -> dict[str, NDArray[np.float64]]:
    """Importance of each group of predictors, and of the biome's intercept: variance of its part of the regression over
    the sum of these variances, by draw.
    """
    variance = {"biome": draws["by_biome"][:, records.biome - 1, 0].var(axis=1)}
    for group in dict.fromkeys(records.groups):
        columns = np.flatnonzero(np.array(records.groups) == group)
        part = _by_biome(draws["by_biome"][..., columns + 1], records.X[:, columns], records.biome)
        variance[group] = part.var(axis=1)
    total = np.sum(list(variance.values()), axis=0)
    return {name: v / total for name, v in variance.items()}


def site_means(
    draws: dict[str, NDArray], records: Records, response: Callable[[NDArray], NDArray]
) -> dict[int, NDArray[np.float64]]:
    """Mean response over the units of each biome, by draw, and of all under 0: (draw,) by biome number.

    What varies between units beside the predictors is averaged over, as the mean of a curved response needs.
    response : from the regression's scale to that of the flux or share, such as `exp`.
    """
    one = np.zeros(len(records.y), bool)
    one[records.first] = True
    units = records.rows(one)
    nodes, weights = np.polynomial.hermite_e.hermegauss(QUADRATURE_NODES)
    mean = records.centre + expected(draws, units)
    value = sum(w * response(mean + draws["unit_sd"][:, None] * x) for x, w in zip(nodes, weights, strict=True))
    value = np.asarray(value) / weights.sum()
    by_biome = {int(b): value[:, units.biome == b].mean(axis=1) for b in np.unique(units.biome)}
    return {0: value.mean(axis=1)} | by_biome
