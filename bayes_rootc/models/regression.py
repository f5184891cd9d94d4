r"""Hierarchical regression on principal components: what drives I_root, I_bulk and allocation (paper, eq. 7–8).

Record i of unit p (a site or a profile) in biome b, with predictors x of unit variance:

.. math::
    y_i \sim N(\alpha_b + x_i \beta_b + u_p,\ \sqrt{\sigma^2 + s_i^2}), \quad
    u_p \sim N(0, \sqrt{\tau^2 + t_p^2}), \quad (\alpha_b, \beta_b) \sim N(\mu, \Sigma)

where s and t are known: what a response's own posterior says of its error, of a record by itself and of all records of
a unit together.

Given the spreads Σ, σ and τ, everything else is Normal. So u, the coefficients of biomes and their mean μ are
integrated out in closed form. What is sampled is a spread for each predictor and two more: no funnel of effects and
their spread, no ridges along which well-known coefficients trade with their mean. The coefficients are drawn from their
exact conditional afterwards (`Records.complete`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..constants import BIOMES
from .spread import half_normal

if TYPE_CHECKING:
    import pymc as pm

INTERCEPT = "intercept"
DEPTH = ("layer top", "layer bottom")
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


SAMPLED = ("mean", "by_biome", "biome_sd", "unit_sd", "record_sd")
"""What is kept of a posterior."""


@dataclass(frozen=True)
class Records:
    """A response and its predictors, by biome and unit; what `inference.regressions` asks of a model.

    Attributes
    ----------
    y : ndarray
        Response, (n,).
    sd : ndarray
        Known standard deviation of each record's error, (n,).
    X : ndarray
        Predictors, (n, p).
    predictors : tuple of str
        Their names.
    biome : ndarray
        1–9, in order, (n,).
    unit : ndarray
        0 …, in order, (n,).
    unit_sd : ndarray
        Known standard deviation of the error that records of a unit share, (unit,).
    unit_ids : ndarray of str
        Their names.
    centre : float
        Mean of the response, on which the prior of the intercept is centred.
    correlated : bool
        Let the effects of biomes be correlated (LKJ(2) prior); nine biomes say little about these correlations.
    """

    y: NDArray[np.float64]
    sd: NDArray[np.float64]
    X: NDArray[np.float64]
    predictors: tuple[str, ...]
    biome: NDArray[np.int64]
    unit: NDArray[np.int64]
    unit_sd: NDArray[np.float64]
    unit_ids: tuple[str, ...]
    centre: float
    correlated: bool = False

    sampled: ClassVar[tuple[str, ...]] = SAMPLED
    target_accept: ClassVar[float] = 0.8
    max_tree_depth: ClassVar[int] = 6

    @property
    def observed(self) -> NDArray[np.float64]:
        """What predictions are compared with."""
        return self.y

    @property
    def groups(self) -> tuple[str, ...]:
        """The group of each predictor (soil, climate, topography, depth): the name of a component begins with it."""
        return tuple("depth" if name in DEPTH else name.rsplit(" ", 1)[0] for name in self.predictors)

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
            self.biome[keep],
            unit,
            self.unit_sd[units],
            tuple(self.unit_ids[u] for u in units),
            self.centre,
            self.correlated,
        )

    def build(self) -> pm.Model:
        """The PyMC model of the standard deviations, with the coefficients integrated out."""
        import pymc as pm
        import pytensor.tensor as pt
        from pytensor.tensor.linalg import cholesky, solve_triangular

        mean_scale, sd_scale = _prior_scales(self)
        with pm.Model(coords={"coefficient": [INTERCEPT, *self.predictors]}) as model:
            if self.correlated:
                factor, _, sd = pm.LKJCholeskyCov(
                    "biome_cov", n=len(sd_scale), eta=LKJ_SHAPE, sd_dist=pm.HalfNormal.dist(sd_scale)
                )
                pm.Deterministic("biome_sd", sd, dims="coefficient")
                pm.Deterministic("biome_factor", factor)
            else:
                factor = pt.diag(half_normal("biome_sd", sd_scale, dims="coefficient"))
            unit_sd = half_normal("unit_sd", PRIORS["unit_sd"][0])
            record_sd = half_normal("record_sd", PRIORS["record_sd"][0])

            def by_unit(values: Any, unit: NDArray[np.int64], count: int) -> Any:
                return pt.zeros((count, values.shape[1]))[unit].inc(values)

            moments, log_det = _moments(self, unit_sd**2, record_sd**2, by_unit, pt.log)
            identity = np.eye(len(mean_scale))
            roots = cholesky(identity + factor.T @ moments[:, :-1, :-1] @ factor)
            halves = solve_triangular(roots, factor.T @ moments[:, :-1], lower=True)
            total = (moments - halves.transpose(0, 2, 1) @ halves).sum(axis=0)
            log_det += 2 * pt.log(pt.diagonal(roots, axis1=1, axis2=2)).sum()
            root = cholesky(identity + mean_scale[:, None] * total[:-1, :-1] * mean_scale)
            half = solve_triangular(root, mean_scale * total[:-1, -1], lower=True)
            log_det += 2 * pt.log(pt.diag(root)).sum() + len(self.y) * np.log(2 * np.pi)
            pm.Potential("records", -0.5 * (total[-1, -1] - half @ half + log_det))
        return model

    def complete(self, spreads: dict[str, NDArray], rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
        """Draws of the standard deviations (`unit_sd`, `record_sd`, `biome_sd`; `biome_factor` where effects are
        correlated), and exact draws of the coefficients given them: `mean` (draw, coefficient), `by_biome` (draw,
        biome, coefficient). Biomes without records are drawn from their prior.
        """
        mean_scale, _ = _prior_scales(self)
        p, count, identity = len(mean_scale), len(spreads["unit_sd"]), np.eye(len(mean_scale))
        present = np.unique(self.biome) - 1
        factors = spreads.get("biome_factor")
        mean, by_biome = np.empty((count, p)), np.empty((count, len(BIOMES), p))

        for i in range(count):
            factor = np.diag(spreads["biome_sd"][i]) if factors is None else factors[i]
            moments, _ = _moments(self, spreads["unit_sd"][i] ** 2, spreads["record_sd"][i] ** 2, _sum_rows, np.log)
            inner = identity + factor.T @ moments[:, :-1, :-1] @ factor
            half = np.linalg.solve(inner, factor.T @ moments[:, :-1])
            total = (moments - np.swapaxes(moments[:, :-1], 1, 2) @ factor @ half).sum(axis=0)
            precision = identity + mean_scale[:, None] * total[:-1, :-1] * mean_scale
            mean[i] = mean_scale * _draw_normal(precision, mean_scale * total[:-1, -1], rng)
            z = rng.standard_normal((len(BIOMES), p))
            pull = (moments[:, :-1, -1] - moments[:, :-1, :-1] @ mean[i]) @ factor
            z[present] = _draw_normal(inner, pull, rng)
            by_biome[i] = mean[i] + z @ factor.T
        return spreads | {"mean": mean, "by_biome": by_biome}

    def expected(self, draws: dict[str, NDArray]) -> NDArray[np.float64]:
        """What the regression says of each record, (draw, n), less `centre`.

        Parameters
        ----------
        draws : dict of str to ndarray
            By name, (draw, …).
        """
        return _by_biome(draws["by_biome"], self.design, self.biome)

    def fitted(self, draws: dict[str, NDArray]) -> NDArray[np.float64]:
        """The same with `centre`, mean over the draws, (n,)."""
        return self.centre + self.expected(draws).mean(axis=0)

    def log_likelihood(self, draws: dict[str, NDArray]) -> NDArray[np.float64]:
        """Log likelihood of each unit given the coefficients, (draw, unit)."""

        def by_unit(values: NDArray) -> NDArray:
            return np.add.reduceat(values, self.first)

        out = []
        for i, mean in enumerate(self.expected(draws)):
            residual = self.y - self.centre - mean
            variance, shared = self.sd**2 + draws["record_sd"][i] ** 2, self.unit_sd**2 + draws["unit_sd"][i] ** 2
            joint = 1 + shared * by_unit(1 / variance)  # Woodbury: records of a unit have equal covariances
            square = by_unit(residual**2 / variance) - shared * by_unit(residual / variance) ** 2 / joint
            out.append(-0.5 * (square + by_unit(np.log(2 * np.pi * variance)) + np.log(joint)))
        return np.stack(out)

    def replicate(self, draws: dict[str, NDArray], rng: np.random.Generator) -> NDArray[np.float64]:
        """New records at the same places, (draw, n), of new units: known errors are in."""
        count = len(draws["record_sd"])
        unit = rng.standard_normal((count, len(self.unit_ids))) * np.hypot(draws["unit_sd"][:, None], self.unit_sd)
        own = rng.standard_normal((count, len(self.y))) * np.hypot(draws["record_sd"][:, None], self.sd)
        return self.centre + self.expected(draws) + unit[:, self.unit] + own

    def with_observed(self, observed: NDArray[np.float64]) -> Records:
        """The same places with other values."""
        return replace(self, y=observed)

    def derived(self, draws: dict[str, NDArray]) -> dict[str, NDArray[np.float64]]:
        """R² of both kinds, and `importance` of the groups, (draw, group)."""
        by_kind = {f"r_squared_{kind}": v for kind, v in r_squared(draws, self).items()}
        return by_kind | {"importance": np.stack(list(group_shares(draws, self).values()), axis=1)}

    def ranked(self, draws: dict[str, NDArray]) -> dict[str, NDArray[np.float64]]:
        """What is ranked in simulation-based calibration, (draw,)."""
        present = self.biome[0] - 1
        named = {name: draws[name] for name in ("unit_sd", "record_sd")}
        for i, predictor in enumerate((INTERCEPT, *self.predictors[:2])):
            named[f"mean {predictor}"] = draws["mean"][:, i]
            named[f"biome_sd {predictor}"] = draws["biome_sd"][:, i]
            named[f"biome {predictor}"] = draws["by_biome"][:, present, i]
        return named

    @property
    def coords(self) -> dict[str, list[str]]:
        """Names of the places of a posterior's dimensions."""
        groups = ["biome", *dict.fromkeys(self.groups)]
        return {"coefficient": [INTERCEPT, *self.predictors], "biome": list(BIOMES.values()), "group": groups}

    @property
    def dims(self) -> dict[str, list[str]]:
        """Dimensions of a posterior's variables other than draws."""
        by_coefficient = {"mean": ["coefficient"], "by_biome": ["biome", "coefficient"], "biome_sd": ["coefficient"]}
        return by_coefficient | {"importance": ["group"], "y": ["record"]}


def make_records(
    y: NDArray[np.float64],
    X: pd.DataFrame,
    biome: NDArray[np.int64],
    unit: pd.Series,
    *,
    sd: NDArray[np.float64] | float = 0.0,
    unit_sd: pd.Series | None = None,
) -> Records:
    """Records in any order.

    Parameters
    ----------
    X : DataFrame
        Predictors, by name.
    unit : Series
        Name of each record's unit, which lies in one biome.
    unit_sd : Series, optional
        By that name.
    """
    name = unit.to_numpy(str)
    order = np.lexsort((name, biome))
    index = pd.factorize(name[order])[0]
    ids = tuple(map(str, pd.unique(name[order])))
    shared = np.zeros(len(ids)) if unit_sd is None else unit_sd[list(ids)].to_numpy(float)
    sd = np.broadcast_to(np.asarray(sd, float), y.shape)[order]
    rows, predictors = np.ascontiguousarray(X.to_numpy(float)[order]), tuple(map(str, X.columns))
    return Records(y[order], sd, rows, predictors, biome[order], index, shared, ids, float(y.mean()))


def _prior_scales(records: Records) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Prior scales of the mean coefficients, and of the standard deviations of biomes about them."""
    slopes = len(records.predictors)
    return tuple(  # type: ignore[return-value]
        np.array([PRIORS[f"{kind}_intercept"][0], *[PRIORS[f"{kind}_slope"][0]] * slopes])
        for kind in ("mean", "biome_sd")
    )


def _moments(records: Records, unit_variance: Any, record_variance: Any, by_unit: Any, log: Any) -> tuple[Any, Any]:
    """Moments Zᵀ V⁻¹ Z of each biome that has records, (biome, p + 2, p + 2), where Z is the design with the response
    as its last column and V the covariance of records given the coefficients; and the log determinant of V. In NumPy or
    PyTensor.

    Parameters
    ----------
    by_unit : object
        Function of rows (n, p), the unit of each row and the number of units, which returns sums by unit, (unit, p).
    """
    Z = np.column_stack([records.design, records.y - records.centre])
    variance = record_variance + records.sd**2
    weighted = Z / variance[:, None]
    sums = by_unit(weighted, records.unit, len(records.unit_ids))  # the intercept's column sums the weights
    joint = 1 + (unit_variance + records.unit_sd**2) * sums[:, 0]
    # Records of a unit have equal covariances: what differs within it, and its mean, which is as uncertain as `joint`
    # says. As a sum it stays positive; Woodbury's difference cancels where records are precise and units are not.
    mean = sums / sums[:, :1]
    within = Z - mean[records.unit]
    moments = _products(within, within / variance[:, None], records.biome)
    moments += _products(mean, sums / joint[:, None], records.biome[records.first])
    return moments, log(variance).sum() + log(joint).sum()


def _products(left: Any, right: Any, biome: NDArray[np.int64]) -> Any:
    """Leftᵀ right of the rows of each biome, (biome, p, p).

    All biomes at once, padded to the size of the largest: a graph of nine parts takes three times as long to compile.
    """
    rows = [np.flatnonzero(biome == b) for b in np.unique(biome)]
    index = np.zeros((len(rows), max(map(len, rows), default=0)), int)
    there = np.zeros((*index.shape, 1))
    for i, of_biome in enumerate(rows):
        index[i, : len(of_biome)], there[i, : len(of_biome)] = of_biome, 1.0
    return (left[index] * there).transpose(0, 2, 1) @ right[index]


def _sum_rows(values: NDArray, unit: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    return np.stack([np.bincount(unit, column, count) for column in values.T], axis=1)


def _draw_normal(precision: NDArray, pull: NDArray, rng: np.random.Generator) -> NDArray[np.float64]:
    """One draw of each Normal with this precision (…, p, p) and precision times mean (…, p)."""
    root = np.linalg.cholesky(precision)
    white = np.linalg.solve(root, pull[..., None])[..., 0] + rng.standard_normal(pull.shape)
    return np.linalg.solve(np.swapaxes(root, -1, -2), white[..., None])[..., 0]


def _by_biome(coefficients: NDArray, X: NDArray, biome: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row of X (n, p) times the coefficients of its biome (draw, biome, p): (draw, n)."""
    out = np.empty((len(coefficients), len(X)))
    for b in np.unique(biome):
        here = biome == b
        out[:, here] = coefficients[:, b - 1] @ X[here].T
    return out


def r_squared(draws: dict[str, NDArray], records: Records) -> dict[str, NDArray[np.float64]]:
    """Bayesian R² (Gelman et al. 2019), by draw: variance of what is explained over that plus what is not, known errors
    left out of both. `marginal`: by the mean coefficients of all biomes; `conditional`: by each biome's own.
    """
    unexplained = draws["record_sd"] ** 2 + draws["unit_sd"] ** 2
    conditional, marginal = records.expected(draws).var(axis=1), (draws["mean"] @ records.design.T).var(axis=1)
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

    Variation between units that the predictors do not explain is averaged over, as the mean of a curved response needs.

    Parameters
    ----------
    response : callable
        From the regression's scale to that of the flux or share, such as `exp`.
    """
    one = np.zeros(len(records.y), bool)
    one[records.first] = True
    units = records.rows(one)
    nodes, weights = np.polynomial.hermite_e.hermegauss(QUADRATURE_NODES)
    mean = records.centre + units.expected(draws)
    value = sum(w * response(mean + draws["unit_sd"][:, None] * x) for x, w in zip(nodes, weights, strict=True))
    value = np.asarray(value) / weights.sum()
    by_biome = {int(b): value[:, units.biome == b].mean(axis=1) for b in np.unique(units.biome)}
    return {0: value.mean(axis=1)} | by_biome
