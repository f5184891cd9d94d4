"""Drivers of I_root and of I_bulk, and allocation below ground: one regression, asked of three responses."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import BIOMES
from ..models import regression
from ..models.components import Components
from ..models.regression import Records, make_records
from ..progress import Progress
from . import checks
from .sampling import Sampler, diagnose, quiet, sample

NAMES = ("drivers_iroot", "drivers_ibulk", "allocation")
DEPTH = ("layer top", "layer bottom")
SAMPLED = ("mean", "by_biome", "biome_sd", "unit_sd", "record_sd")
"""What is kept of a posterior."""

MIN_ERROR = 0.05
"""Least standard deviation (log scale) of a layer's own error, where its profile's common error leaves less over."""

TARGET_ACCEPT = 0.95
"""Of the step size: small steps, for the funnel of effects and spreads of which few biomes tell."""

MAX_REPLICATES = 500


@dataclass(frozen=True)
class RegressionFit:
    """A fitted regression. tree : ArviZ DataTree; its posterior has `SAMPLED`, R² and the groups' importance."""

    name: str
    records: Records
    components: Components
    tree: xr.DataTree

    def draws(self, count: int | None = None) -> dict[str, NDArray[np.float64]]:
        """`SAMPLED` as (draw, …): all, or `count` of them spread evenly over the chains."""
        return flat_draws(self.tree, count)


def flat_draws(tree: xr.DataTree, count: int | None = None) -> dict[str, NDArray[np.float64]]:
    """Chains end to end, (draw, …): all draws, or `count` of them spread evenly."""
    posterior = tree["posterior"].to_dataset()
    draws = {n: posterior[n].values.reshape(-1, *posterior[n].shape[2:]) for n in SAMPLED}
    if count is None:
        return draws
    total = len(draws["unit_sd"])
    return {name: value[np.arange(count) * total // count] for name, value in draws.items()}


def iroot_records(
    sites: pd.DataFrame, records: pd.DataFrame, groups: dict[str, list[str]]
) -> tuple[Records, Components]:
    """log I_root (Mg C ha⁻¹ yr⁻¹) of each record of belowground production; a unit is a site."""
    return _of_sites(sites, records.assign(y=np.log(records["bnpp"])), groups)


def allocation_records(
    sites: pd.DataFrame, records: pd.DataFrame, groups: dict[str, list[str]]
) -> tuple[Records, Components]:
    """logit f_BNPP of each record that has total production too; a unit is a site."""
    known = records[records["f_bnpp"].notna()]
    return _of_sites(sites, known.assign(y=np.log(known["f_bnpp"] / (1 - known["f_bnpp"]))), groups)


def _of_sites(sites: pd.DataFrame, records: pd.DataFrame, groups: dict[str, list[str]]) -> tuple[Records, Components]:
    components = Components.fit(sites[sites["id"].isin(records["id"])], groups)
    rows = records.merge(sites.drop(columns=["bnpp", "npp", "f_bnpp"]), on="id", validate="many_to_one")
    made = make_records(
        rows["y"].to_numpy(float),
        components.scores(rows),
        components.names,
        _groups_of(components),
        rows["biome"].to_numpy(int),
        rows["id"],
    )
    return made, components


def ibulk_records(
    layers: pd.DataFrame, density: NDArray[np.float64], groups: dict[str, list[str]]
) -> tuple[Records, Components]:
    """log I_bulk (Mg C ha⁻¹ yr⁻¹ per cm) of each layer with a stock and covariates; a unit is a profile.

    The response is the mean of the log of its own posterior. Its spread is a known error: of a profile's layers the
    mean covariance is common to them (a gridded stock, the profile's effect on k), the rest is each layer's own.

    Parameters
    ----------
    layers : `profile`, `top`, `bottom` (cm), `biome`, `has_covariates`, the covariates. density : (layer, draw), NaN
        where no stock is known.
    """
    known = np.isfinite(density[:, 0]) & layers["has_covariates"].to_numpy()
    layers, log_density = layers[known], np.log(density[known])
    components = Components.fit(layers.drop_duplicates("profile"), groups)
    depth = layers[["top", "bottom"]].to_numpy(float)
    depth = (depth - depth.mean(axis=0)) / depth.std(axis=0)
    away = log_density - log_density.mean(axis=1, keepdims=True)
    variance = away.var(axis=1)
    by_profile = pd.DataFrame({"profile": layers["profile"].to_numpy(str), "variance": variance})
    index = pd.factorize(by_profile["profile"])[0]
    summed = np.zeros((index.max() + 1, away.shape[1]))
    np.add.at(summed, index, away)
    size, own = np.bincount(index), np.bincount(index, variance)
    # the variance of a sum is that of its parts plus twice their covariances
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = np.where(size > 1, (summed.var(axis=1) - own) / (size * (size - 1)), 0.0)
    shared = np.clip(shared, 0.0, own / size - MIN_ERROR**2)
    names = pd.Series(by_profile["profile"].unique())
    made = make_records(
        log_density.mean(axis=1),
        np.column_stack([components.scores(layers), depth]),
        (*components.names, *DEPTH),
        (*_groups_of(components), "depth", "depth"),
        layers["biome"].to_numpy(int),
        layers["profile"],
        sd=np.sqrt(np.maximum(variance - shared[index], MIN_ERROR**2)),
        unit_sd=pd.Series(np.sqrt(np.maximum(shared, 0.0)), names),
    )
    return made, components


def _groups_of(components: Components) -> tuple[str, ...]:
    return tuple(name.rsplit(" ", 1)[0] for name in components.names)


def fit_regression(
    name: str,
    records: Records,
    components: Components,
    *,
    seed: int,
    chains: int = 4,
    tune: int = 1000,
    draws: int = 1000,
    sampler: Sampler = "numpyro",
    correlated: bool = False,
) -> tuple[RegressionFit, dict[str, object]]:
    """Posterior of a regression, with its checks; and the row of `tables/diagnostics.csv`, leave-one-unit-out included.

    The tree has `posterior`, `sample_stats`, `prior`, `posterior_predictive` and `prior_predictive` (new records of new
    units at the same places), `observed_data`, `constant_data`, `log_likelihood` (by unit) and `components`.
    """
    import arviz as az

    model = regression.build(records, correlated=correlated)
    sampled = sample(
        model, seed=seed, chains=chains, tune=tune, draws=draws, sampler=sampler, target_accept=TARGET_ACCEPT
    )
    row = diagnose(name, sampled)
    flat, rng = flat_draws(sampled), np.random.default_rng(seed)
    prior = sample_prior(records, MAX_REPLICATES, seed=seed, correlated=correlated)

    def shaped(values: NDArray) -> NDArray:
        return values.reshape(chains, -1, *values.shape[1:])

    r_squared, shares = regression.r_squared(flat, records), regression.group_shares(flat, records)
    derived = {f"r_squared_{kind}": shaped(v) for kind, v in r_squared.items()}
    derived["importance"] = shaped(np.stack(list(shares.values()), axis=1))
    likelihood = regression.log_likelihood(flat, records)
    few = flat_draws(sampled, MAX_REPLICATES)
    groups: dict[str, dict[str, Any]] = {
        "posterior": {n: shaped(flat[n]) for n in SAMPLED} | derived,
        "posterior_predictive": {"y": regression.replicate(few, records, rng)[None]},
        "prior": {n: v[None] for n, v in prior.items()},
        "prior_predictive": {"y": regression.replicate(prior, records, rng)[None]},
        "observed_data": {"y": records.y},
        "constant_data": {"known_sd": records.sd, "biome_number": records.biome, "unit_index": records.unit},
        "log_likelihood": {"units": shaped(likelihood)},
        "sample_stats": {n: v.values for n, v in sampled["sample_stats"].to_dataset().items() if n in STATS},
    }
    by_coefficient = {"mean": ["coefficient"], "by_biome": ["biome", "coefficient"], "biome_sd": ["coefficient"]}
    by_record = {name: ["record"] for name in ("y", "known_sd", "biome_number", "unit_index")}
    coords = {
        "coefficient": [regression.INTERCEPT, *records.predictors],
        "biome": list(BIOMES.values()),
        "group": list(shares),
        "unit": list(records.unit_ids),
    }
    tree = az.from_dict(
        groups, coords=coords, dims=by_coefficient | by_record | {"importance": ["group"], "units": ["unit"]}
    )
    tree["components"] = xr.DataTree(components.to_dataset())
    return RegressionFit(name, records, components, tree), row | checks.leave_one_out(likelihood, chains)


STATS = ("diverging", "energy", "n_steps", "acceptance_rate", "lp")


def sample_prior(
    records: Records, count: int, *, seed: int, correlated: bool = False
) -> dict[str, NDArray[np.float64]]:
    """Draws of `SAMPLED` from the prior, (draw, …)."""
    import pymc as pm

    with regression.build(records, correlated=correlated), quiet("pymc"), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="The effect of Potentials"
        )  # the likelihood: leaving it out is the point
        drawn = pm.sample_prior_predictive(
            count, var_names=list(SAMPLED), random_seed=seed, compile_kwargs={"mode": "FAST_COMPILE"}
        )
    return flat_draws(xr.DataTree.from_dict({"posterior": drawn["prior"].to_dataset()}))


def posterior_scores(fit: RegressionFit, seed: int) -> pd.DataFrame:
    """Scores of the records that were fitted, in replicates for new units at their places."""
    draws = fit.draws(MAX_REPLICATES)
    replicated = regression.replicate(draws, fit.records, np.random.default_rng(seed))
    mean = fit.records.centre + regression.expected(draws, fit.records).mean(axis=0)
    return checks.predictive_scores(fit.records.y, replicated, mean)


def score_table(scores: pd.DataFrame, records: Records) -> pd.DataFrame:
    """`checks.score_table` by biome."""
    classes = {("biome", name): records.biome == b for b, name in BIOMES.items()}
    return checks.score_table(scores, pd.Series(records.unit), classes)


def cross_validate(
    records: Records,
    *,
    seed: int,
    folds: int = 10,
    sampler: Sampler = "numpyro",
    correlated: bool = False,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predicts each unit from a fit to the others: `checks.cross_validate`."""

    def predict(number: int, held: NDArray[np.bool_]) -> tuple[NDArray, NDArray, dict[str, object]]:
        known, new = records.rows(~held), records.rows(held)
        tree = sample(
            regression.build(known, correlated=correlated),
            seed=seed + number,
            chains=2,
            tune=500,
            draws=500,
            sampler=sampler,
            target_accept=TARGET_ACCEPT,
        )
        draws = flat_draws(tree)
        replicated = regression.replicate(draws, new, np.random.default_rng(seed + number))
        mean = new.centre + regression.expected(draws, new).mean(axis=0)
        return replicated, mean, diagnose(str(number), tree)

    return checks.cross_validate(records.y, pd.Series(records.unit), predict, folds=folds, seed=seed, progress=progress)


def calibrate(
    records: Records,
    *,
    seed: int,
    simulations: int,
    sampler: Sampler = "numpyro",
    correlated: bool = False,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`checks.calibrate`: the records give the design (predictors, biomes, units, known errors)."""

    def values(draws: dict[str, NDArray]) -> dict[str, NDArray]:
        present = records.biome[0] - 1
        named = {name: draws[name] for name in ("unit_sd", "record_sd")}
        for i, predictor in enumerate((regression.INTERCEPT, *records.predictors[:2])):
            named[f"mean {predictor}"] = draws["mean"][:, i]
            named[f"biome_sd {predictor}"] = draws["biome_sd"][:, i]
            named[f"biome {predictor}"] = draws["by_biome"][:, present, i]
        return named

    def simulate(seed: int) -> tuple[dict[str, float], Records]:
        truth = sample_prior(records, 1, seed=seed, correlated=correlated)
        y = regression.replicate(truth, records, np.random.default_rng(seed))[0]
        return {name: float(v[0]) for name, v in values(truth).items()}, replace(records, y=y)

    def infer(seed: int, data: Records) -> tuple[checks.Draws, dict[str, object]]:
        tree = sample(
            regression.build(data, correlated=correlated),
            seed=seed,
            chains=2,
            tune=500,
            draws=500,
            sampler=sampler,
            target_accept=TARGET_ACCEPT,
        )
        return values(flat_draws(tree, checks.CALIBRATION_DRAWS)), diagnose(str(seed), tree)

    return checks.calibrate(simulate, infer, seed=seed, simulations=simulations, progress=progress)
