"""Regressions: drivers of I_root and of I_bulk, allocation below ground, root depth; fitted and checked by one code."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..models.components import Components
from ..models.regression import DEPTH, Records, make_records
from ..models.root_depth import RootRecords, make_root_records
from ..progress import Progress
from ..seeds import child_seed
from . import checks
from .sampling import Sampler, Sampling, by_chain, diagnose, quiet, sample, split_chains

if TYPE_CHECKING:
    import pymc as pm

MIN_ERROR = 0.05
"""Least standard deviation (log scale) of a layer's own error, where its profile's common error leaves less over."""

MAX_REPLICATES = 500
STATS = ("diverging", "energy", "n_steps", "acceptance_rate", "lp")


class Response(Protocol):
    """What a model and its data must offer: `models.regression.Records`, `models.root_depth.RootRecords`.

    Its methods take draws by the name of the parameter, (draw, …).

    Attributes
    ----------
    observed : ndarray
        Observed responses, one or more numbers a record, (n, …).
    unit : ndarray
        Number of the unit (site or profile) of each record, from 0, ascending, (n,).
    """

    sampled: ClassVar[tuple[str, ...]]
    target_accept: ClassVar[float]
    max_tree_depth: ClassVar[int]

    @property
    def biome(self) -> NDArray[np.int64]: ...
    @property
    def unit(self) -> NDArray[np.int64]: ...
    @property
    def unit_ids(self) -> tuple[str, ...]: ...
    @property
    def observed(self) -> NDArray[np.float64]: ...
    @property
    def coords(self) -> dict[str, list[str]]: ...
    @property
    def dims(self) -> dict[str, list[str]]: ...

    def build(self) -> pm.Model: ...
    def complete(self, draws: dict[str, NDArray], rng: np.random.Generator) -> dict[str, NDArray]: ...
    def rows(self, keep: NDArray[np.bool_]) -> Self: ...
    def with_observed(self, observed: NDArray[np.float64]) -> Self: ...
    def fitted(self, draws: dict[str, NDArray]) -> NDArray[np.float64]: ...
    def replicate(self, draws: dict[str, NDArray], rng: np.random.Generator) -> NDArray[np.float64]: ...
    def log_likelihood(self, draws: dict[str, NDArray]) -> NDArray[np.float64]: ...
    def derived(self, draws: dict[str, NDArray]) -> dict[str, NDArray[np.float64]]: ...
    def ranked(self, draws: dict[str, NDArray]) -> dict[str, NDArray[np.float64]]: ...


@dataclass(frozen=True)
class RegressionFit[R: Response]:
    """A fitted regression.

    Attributes
    ----------
    tree : DataTree
        ArviZ DataTree; its posterior has `records.sampled` and what is derived from it.
    """

    name: str
    records: R
    components: Components
    tree: xr.DataTree

    def draws(self, count: int | None = None) -> dict[str, NDArray[np.float64]]:
        """Draws of `records.sampled`, (draw, …): all, or `count` of them at most, evenly spaced along the chains."""
        return flat_draws(self.tree, self.records.sampled, count)


def flat_draws(tree: xr.DataTree, names: tuple[str, ...], count: int | None = None) -> dict[str, NDArray[np.float64]]:
    """Draws of the chains end to end, (draw, …): all, or `count` of them at most, evenly spaced; names without draws
    are left out.
    """
    posterior = tree["posterior"].to_dataset()
    total = posterior.sizes["chain"] * posterior.sizes["draw"]
    draws = {n: posterior[n].values.reshape(total, *posterior[n].shape[2:]) for n in names if n in posterior}
    if count is None:
        return draws
    count = min(count, total)
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
    y, biome = rows["y"].to_numpy(float), rows["biome"].to_numpy(int)
    return make_records(y, components.predictors(rows), biome, rows["id"]), components


def root_records(profiles: pd.DataFrame, groups: dict[str, list[str]]) -> tuple[RootRecords, Components]:
    """D50 and D95 of each root profile, with components of climate; a unit is a site."""
    climate = {"climate": groups["climate"]} if "climate" in groups else {}
    components = Components.fit(profiles.drop_duplicates(["lat", "lon"]), climate)
    return make_root_records(profiles, components), components


def ibulk_records(
    layers: pd.DataFrame, density: NDArray[np.float64], groups: dict[str, list[str]]
) -> tuple[Records, Components]:
    """log I_bulk (Mg C ha⁻¹ yr⁻¹ per cm) of each layer with a stock and covariates; a unit is a profile.

    The response is the posterior mean of log I_bulk, and its posterior standard deviation is a known error: the mean
    covariance of a profile's layers is shared by them (a gridded stock, the profile's effect on k), the rest is each
    layer's own.

    Parameters
    ----------
    layers : DataFrame
        `profile`, `top`, `bottom` (cm), `biome`, `has_covariates`, the covariates.
    density : ndarray
        Draws of I_bulk per cm of depth, Mg C ha⁻¹ yr⁻¹ cm⁻¹, (layer, draw); NaN where no stock is known.
    """
    known = np.isfinite(density[:, 0]) & layers["has_covariates"].to_numpy()
    layers, log_density = layers[known], np.log(density[known])
    components = Components.fit(layers.drop_duplicates("profile"), groups)
    X, depth = components.predictors(layers), layers[["top", "bottom"]].to_numpy(float)
    X[list(DEPTH)] = (depth - depth.mean(axis=0)) / depth.std(axis=0)
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
        X,
        layers["biome"].to_numpy(int),
        layers["profile"],
        sd=np.sqrt(np.maximum(variance - shared[index], MIN_ERROR**2)),
        unit_sd=pd.Series(np.sqrt(np.maximum(shared, 0.0)), names),
    )
    return made, components


def fit_regression[R: Response](
    name: str, records: R, components: Components, how: Sampling, *, seed: int
) -> tuple[RegressionFit[R], dict[str, object]]:
    """Posterior of a regression, with its checks; and the row of `tables/diagnostics.csv`, leave-one-unit-out included.

    The tree has `posterior`, `sample_stats`, `prior`, `posterior_predictive` and `prior_predictive` (new records of new
    units at the same places), `observed_data`, `constant_data`, `log_likelihood` (by unit) and `components`.
    """
    import arviz as az

    sampled = sample_records(records, how, seed=child_seed(seed, "posterior"))
    row = diagnose(name, sampled)
    flat, rng = flat_draws(sampled, records.sampled), np.random.default_rng(child_seed(seed, "replicates"))
    prior = sample_prior(records, MAX_REPLICATES, seed=child_seed(seed, "prior"))
    likelihood = records.log_likelihood(flat)

    def shaped(values: NDArray) -> NDArray:
        return split_chains(values, how.chains)

    few = flat_draws(sampled, records.sampled, MAX_REPLICATES)
    groups: dict[str, dict[str, Any]] = {
        "posterior": {n: shaped(v) for n, v in (flat | records.derived(flat)).items()},
        "posterior_predictive": {"y": records.replicate(few, rng)[None]},
        "prior": {n: v[None] for n, v in prior.items()},
        "prior_predictive": {"y": records.replicate(prior, rng)[None]},
        "observed_data": {"y": records.observed},
        "constant_data": {"biome_number": records.biome, "unit_index": records.unit},
        "log_likelihood": {"units": shaped(likelihood)},
        "sample_stats": {n: v.values for n, v in sampled["sample_stats"].to_dataset().items() if n in STATS},
    }
    tree = az.from_dict(
        groups,
        coords=records.coords | {"unit": list(records.unit_ids)},
        dims=records.dims | {"biome_number": ["record"], "unit_index": ["record"], "units": ["unit"]},
    )
    tree["components"] = xr.DataTree(components.to_dataset())
    tree.attrs["centre"] = getattr(records, "centre", 0.0)
    return RegressionFit(name, records, components, tree), row | checks.leave_one_out(likelihood, how.chains)


def sample_records(records: Response, how: Sampling, *, seed: int) -> xr.DataTree:
    """Draws of what the sampler samples, and of what it leaves to be drawn."""
    tree = sample(
        records.build(),
        how,
        seed=child_seed(seed, "sampler"),
        target_accept=records.target_accept,
        max_tree_depth=records.max_tree_depth,
    )
    names = tuple(map(str, tree["posterior"].to_dataset().data_vars))
    flat = records.complete(flat_draws(tree, names), np.random.default_rng(child_seed(seed, "complete")))
    chains = tree["posterior"].sizes["chain"]
    shaped = {n: split_chains(flat[n], chains) for n in records.sampled}
    tree["posterior"] = xr.DataTree(by_chain(shaped))
    return tree


def sample_prior(records: Response, count: int, *, seed: int) -> dict[str, NDArray[np.float64]]:
    """Draws of `records.sampled` from the prior, (draw, …)."""
    import pymc as pm

    with records.build() as model, quiet("pymc"), warnings.catch_warnings():
        # the likelihood: leaving it out is the point
        warnings.filterwarnings("ignore", message="The effect of Potentials")
        names = [v.name for v in (*model.free_RVs, *model.deterministics)]
        drawn = pm.sample_prior_predictive(
            count, var_names=names, random_seed=child_seed(seed, "spreads"), compile_kwargs={"mode": "FAST_COMPILE"}
        )
    flat = flat_draws(xr.DataTree.from_dict({"posterior": drawn["prior"].to_dataset()}), tuple(names))
    none = records.rows(np.zeros(len(records.unit), bool))  # what is drawn given records is from its prior too
    every = none.complete(flat, np.random.default_rng(child_seed(seed, "complete")))
    return {name: every[name] for name in records.sampled}


def posterior_scores(fit: RegressionFit, seed: int) -> pd.DataFrame:
    """Scores of the records that were fitted, in replicates for new units at their places."""
    draws, records = fit.draws(MAX_REPLICATES), fit.records
    replicated = records.replicate(draws, np.random.default_rng(child_seed(seed, "scores")))
    replicated = replicated.reshape(len(replicated), -1)
    return checks.predictive_scores(records.observed.ravel(), replicated, records.fitted(draws).ravel())


def score_table(scores: pd.DataFrame, records: Response) -> pd.DataFrame:
    """`checks.score_table` by biome; of root depth also D50 and D95 by themselves."""
    numbers = records.observed[0].size
    biome, unit = (np.repeat(v, numbers) for v in (records.biome, records.unit))
    classes = checks.by_biome(biome)
    if isinstance(records, RootRecords):
        which = np.arange(len(biome)) % numbers
        classes = {("depth", name): which == i for i, name in enumerate(("D50", "D95"))} | classes
    return checks.score_table(scores, pd.Series(unit), classes)


def cross_validate(
    records: Response,
    *,
    seed: int,
    folds: int = 10,
    sampler: Sampler = "numpyro",
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predicts each unit from a fit to the others: `checks.cross_validate`, with the unit's name."""
    numbers = records.observed[0].size

    def predict(number: int, held: NDArray[np.bool_]) -> tuple[NDArray, NDArray, dict[str, object]]:
        here = held[::numbers]
        known, new = records.rows(~here), records.rows(here)
        how = Sampling(sampler, chains=2, tune=500, draws=500)
        tree = sample_records(known, how, seed=child_seed(seed, "fit", number))
        draws = flat_draws(tree, records.sampled)
        replicated = new.replicate(draws, np.random.default_rng(child_seed(seed, "replicates", number)))
        return replicated.reshape(len(replicated), -1), new.fitted(draws).ravel(), diagnose(str(number), tree)

    unit = np.repeat(records.unit, numbers)
    scores, fits = checks.cross_validate(
        records.observed.ravel(),
        pd.Series(unit),
        predict,
        folds=folds,
        seed=child_seed(seed, "folds"),
        progress=progress,
    )
    return scores.assign(unit=np.array(records.unit_ids)[unit]), fits


def calibrate(
    records: Response,
    *,
    seed: int,
    simulations: int,
    sampler: Sampler = "numpyro",
    done: checks.Ranks | None = None,
    keep: Callable[[checks.Ranks], None] | None = None,
    progress: Progress | None = None,
) -> checks.Ranks:
    """`checks.calibrate`: the records give the design (predictors, biomes, units, known errors)."""

    def simulate(seed: int) -> tuple[dict[str, float], Response]:
        truth = sample_prior(records, 1, seed=child_seed(seed, "prior"))
        observed = records.replicate(truth, np.random.default_rng(child_seed(seed, "replicates")))[0]
        return {name: float(v[0]) for name, v in records.ranked(truth).items()}, records.with_observed(observed)

    def infer(seed: int, data: Response) -> tuple[checks.Draws, dict[str, object]]:
        tree = sample_records(data, Sampling(sampler, chains=2, tune=300, draws=400), seed=seed)
        draws = flat_draws(tree, records.sampled, checks.CALIBRATION_DRAWS)
        return records.ranked(draws), diagnose(str(seed), tree)

    how: Any = {"done": done, "keep": keep, "progress": progress}
    return checks.calibrate(simulate, infer, seed=seed, simulations=simulations, **how)
