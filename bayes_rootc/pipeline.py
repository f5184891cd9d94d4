"""The whole system on one page: from raw tables to a posterior to I_loss to a map.

Each function below is one step of the method; `run` puts them in order. A step's tables and files are written when it
ends, so a later failure loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from . import demo
from .constants import LAYERS, MAP_FOREST
from .contrasts import correlation_table, factor_table, groups_of, letters_table, pairs_table
from .data.folder import Inputs, read_inputs
from .data.netcdf import open_dataset
from .errors import InputError
from .estimates import Estimate, depth_shares, estimate_table, make_estimate, site_table
from .files import atomic_path, write_csv
from .inference.regressions import (
    RegressionFit,
    Response,
    allocation_records,
    fit_regression,
    ibulk_records,
    iroot_records,
    posterior_scores,
    root_records,
)
from .inference.regressions import score_table as score_records
from .inference.sampling import offer_devices
from .inference.store import kept_log_k, read_fit, retire_checks, save_turnover, turnover_tree
from .inference.turnover import Turnover
from .inference.turnover_checks import ppc_scores, score_table
from .inference.turnover_fit import (
    LayerDraws,
    TurnoverFit,
    extend_profiles,
)
from .map_making import draw_maps
from .mapping.applicability import Applicability
from .mapping.blocks import fold_labels
from .mapping.learners import MIN_GROUPS, FluxModel, Learners, PosteriorForest, is_constant, response_of, validate
from .mapping.model_file import read_learners, save_learners
from .mapping.tasks import Task, learner_tasks, variogram_table
from .models.bulk_input import StockSource, harmonise, layer_stocks, standard_layers, stock_draws
from .models.components import Components
from .models.radiocarbon import UNEXPLAINED_SD, LogNormalPrior, grid_quantile, invert, summarise_density
from .models.regression import Records
from .models.root_depth import RootRecords, fractions_by_biome, layer_fractions
from .models.turnover import TurnoverModel
from .progress import Progress, Stages, part_of
from .record import record_run, write_checks, write_diagnostics
from .report.datapackage import describe_tables
from .report.regression_tables import explained_comparison, regression_tables, root_depth_table
from .report.tables import (
    layers_table,
    paper_comparison,
    root_shares_table,
    summary_by_biome,
    summary_by_depth,
    summary_global,
)
from .report.turnover_tables import (
    harmonisation_score,
    harmonised_table,
    median_ages,
    misfit_table,
    population_table,
)
from .seeds import child_seed
from .settings import RunSettings, step_seed
from .steps import Steps

STAGES = ("check", "turnover", "bulk input", "drivers", "root depth", "learners", "estimates", "maps", "report")


DRIVER_FITS = ("drivers_iroot", "drivers_ibulk", "allocation")
"""Regressions of the step that is called after them."""

DEMO_PROFILES = 120
"""Number of radiocarbon profiles in the demo world: enough for every step, and few enough to be quick."""

MIN_RECORDS = 20
"""Records below which a regression is left out of a run."""


@dataclass(frozen=True)
class LayerTurnover:
    """Posterior of each radiocarbon layer: `summary` as `invert` gives it (without its grid), draws of log k, (layer,
    draw); of the hierarchical fit also its hyperparameters and the effects of profiles, (draw, profile).
    """

    summary: xr.Dataset
    log_k: NDArray[np.float64]
    fit: TurnoverFit | None = None
    effect: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class BulkInput:
    """I_bulk of the measured layers: `stocks` and `density` (layer, draw), Mg C ha⁻¹ yr⁻¹ per cm; `sources`: what the
    gridded stocks were worth; `measured`: I_bulk of the seven layers of every profile, (profile, 7, draw), NaN where
    measured layers do not cover one; `standard`: there from the profile's posterior, if the fit was hierarchical.
    """

    stocks: pd.DataFrame
    density: NDArray[np.float64]
    sources: list[StockSource]
    measured: NDArray[np.float64]
    standard: NDArray[np.float64]


def run(settings: RunSettings, *, quiet: bool = False) -> Path:
    """Everything, end to end. Returns the path of the report.

    Raises
    ------
    InputError : the data folder is unusable.
    """
    from .report.html import write_report

    offer_devices(settings.chains)
    out, stages = settings.out, Stages(len(STAGES), quiet=quiet)
    with stages.stage("check"):
        inputs = check(settings)
    steps = Steps(settings, inputs.files)

    def once(name: str, make: Callable[[], object]) -> None:
        stages.kept.append(not steps.once(name, make))

    with stages.stage("turnover") as progress:
        once("turnover", lambda: infer_turnover(inputs, settings, progress))
        turnover = read_turnover(settings)
    with stages.stage("bulk input"):
        bulk = infer_bulk_input(inputs, turnover, settings)
    with stages.stage("drivers") as progress:
        for i, name in enumerate(DRIVER_FITS):
            once(name, partial(infer_driver, name, inputs, bulk, settings))
            progress(i + 1, len(DRIVER_FITS))
    with stages.stage("root depth"):
        once("root_depth", lambda: infer_root_depth(inputs, settings))
        with open_dataset(out / "posterior" / "root_shares.nc", ("expected",), command="fit root-depth") as shares:
            fractions = shares.load()
    with stages.stage("learners") as progress:
        once(
            "learners",
            lambda: train(tasks_of(inputs, bulk.stocks, bulk.density, settings), inputs.features, settings, progress),
        )
        learners = read_learners(out / "models" / "learners.npz")
    with stages.stage("estimates"):
        estimates, learned = estimate(inputs, bulk.measured, learners, settings)
        harmonised = harmonised_table(profiles_of(inputs), bulk.measured, bulk.standard, learned)
        write_csv(out / "tables" / "ibulk_profiles.csv", harmonised)
    with stages.stage("maps") as progress:
        once("maps", lambda: draw_maps(inputs.folder, settings, progress=progress))
        totals = pd.read_csv(out / "tables" / "map_totals.csv")
    with stages.stage("report"):
        summarise_run(inputs, turnover, bulk, fractions, estimates, totals, settings)
        describe_tables(out / "tables")
        record_run(inputs, settings, stages.seconds)
        report = write_report(out, inputs.folder)
    record_run(inputs, settings, stages.seconds)
    return report


def check(settings: RunSettings) -> Inputs:
    """Reads, screens and joins every input; `tables/checks.csv` says what was used, dropped and why."""
    folder = settings.data or demo_world(settings)
    inputs = read_inputs(folder, nearest_km=settings.nearest_km)
    write_checks(settings.out, inputs.checks)
    return inputs


def demo_world(settings: RunSettings) -> Path:
    """The simulated world, written under the output folder: the input when a user has none."""
    folder = settings.out / "demo-data"
    resolution = max(settings.resolution, 0.5)
    Steps(settings, {}).once(
        "world",
        lambda: demo.simulate_world(
            folder, seed=settings.seed, resolution=resolution, radiocarbon_profiles=DEMO_PROFILES
        ),
    )
    return folder


def infer_turnover(inputs: Inputs, settings: RunSettings, progress: Progress | None = None) -> LayerTurnover:
    """Decay rate of every layer (paper, eq. 1–5): exact forward model, hierarchy over biomes, places and profiles, all
    modes kept.
    """
    if settings.turnover_prior == "weak":
        return invert_alone(inputs, settings)
    layers, variant = inputs.layers, turnover_model_of(settings)
    turnover = Turnover(
        inputs.groups,
        prehistory=variant.prehistory,
        error=variant.error,
        pool_spread=variant.pool_spread,
        chains=settings.chains,
        tune=settings.turnover_tune,
        draws=settings.turnover_draws,
        seed=step_seed(settings, "turnover"),
        atmosphere=inputs.atmosphere,
    ).fit(layers, until_good=not settings.quick, progress=progress)
    fit, drawn, tree = turnover.hyperparameters, turnover.drawn, turnover.posterior
    assert drawn is not None
    retire_checks(settings.out, "turnover", "tau_layer", fit.samples["tau_layer"])
    path, tables = settings.out / "posterior" / "turnover.nc", settings.out / "tables"
    turnover.save(path)
    write_csv(tables / "turnover_population.csv", population_table(tree))
    write_csv(tables / "turnover_ages.csv", median_ages(fit))
    observed = layers["delta14c"].to_numpy()
    write_csv(tables / "turnover_ppc.csv", score_table(ppc_scores(layers, drawn), layers))
    write_csv(tables / "turnover_misfit.csv", misfit_table(layers, drawn))
    (row,) = turnover.check()["diagnostics"].to_dict("records")
    write_diagnostics(settings, {str(name): value for name, value in row.items()})
    summary = summarise_density(drawn.density, drawn.nodes)
    residual = np.abs(observed[:, None] - drawn.predicted).min(axis=1)
    summary["model_sd"] = "layer", fit.misfit(layers)
    sd = np.hypot(layers["sigma"].to_numpy(), summary["model_sd"].values)
    summary["unexplained"] = "layer", residual > UNEXPLAINED_SD * sd
    few = np.arange(settings.members) * len(drawn.log_k) // settings.members
    save_layers(settings.out, summary.assign(effect=(("member", "profile"), drawn.effect[few])))
    return read_turnover(settings)


def save_layers(out: Path, layers: xr.Dataset) -> None:
    """`posterior/layers.nc`: the summary of each layer, and the effects of profiles that its members have."""
    with atomic_path(out / "posterior" / "layers.nc") as path:
        layers.to_netcdf(path, engine="h5netcdf")


def read_turnover(settings: RunSettings) -> LayerTurnover:
    """Read what `infer_turnover` wrote. A run uses the files, not what is in memory, so a resumed run ends the same."""
    folder = settings.out / "posterior"
    with open_dataset(folder / "layers.nc", ("unexplained",), command="fit turnover") as layers:
        summary = layers.load()
    log_k = kept_log_k(folder / "turnover.nc", settings.members)
    if "effect" not in summary:
        return LayerTurnover(summary, log_k)
    return LayerTurnover(summary, log_k, read_fit(folder / "turnover.nc"), summary["effect"].values)


def turnover_model_of(settings: RunSettings) -> TurnoverModel:
    """The variant of the turnover model that the settings choose."""
    return TurnoverModel(settings.prehistory, settings.turnover_error, settings.pool_spread)


def invert_alone(inputs: Inputs, settings: RunSettings) -> LayerTurnover:
    """Each layer by itself, under the weak prior: the independent check on the hierarchy."""
    layers, rng = inputs.layers, _rng(settings, "turnover")
    posterior = invert(
        layers["delta14c"],
        layers["sigma"],
        layers["year"],
        layers["zone"].to_numpy(str),
        LogNormalPrior(settings.prior_median_age, settings.prior_log_sd),
        settings.prehistory,
        model_sd=settings.model_sd,
        atmosphere=inputs.atmosphere,
    )
    nodes, predicted = posterior["log_k"].values, posterior["predicted"].values
    log_k = grid_quantile(posterior["density"].values, nodes, rng.uniform(size=(settings.members, len(layers)))).T
    fitted = np.array([np.interp(k, nodes, row) for k, row in zip(log_k.T, predicted, strict=True)]).T
    replicated = fitted + np.hypot(layers["sigma"].to_numpy(), settings.model_sd) * rng.standard_normal(fitted.shape)
    none = np.empty((0, 0))
    drawn = LayerDraws(
        log_k.astype(np.float32), fitted, replicated, none, none, nodes, posterior["density"].values, predicted
    )
    retire_checks(settings.out, "turnover")
    path = settings.out / "posterior" / "turnover.nc"
    save_turnover(path, turnover_tree(layers, drawn))
    misfit = "layer", np.full(len(layers), settings.model_sd)
    save_layers(settings.out, posterior.drop_dims("log_k").assign(model_sd=misfit))
    return read_turnover(settings)


def infer_bulk_input(inputs: Inputs, turnover: LayerTurnover, settings: RunSettings) -> BulkInput:
    """I_bulk = C_stock x k (paper, eq. 6), the error of the stock included; writes `tables/layers.csv`."""
    layers = inputs.layers
    stocks, sources = layer_stocks(layers)
    stock = measured_stock_draws(inputs, stocks, settings)
    thickness = (layers["bottom"] - layers["top"]).to_numpy()
    ibulk = stock * np.exp(turnover.log_k) * (turnover.fit.model.rate_over_median if turnover.fit else 1.0)
    write_csv(settings.out / "tables" / "layers.csv", layers_table(layers, turnover.summary, stocks, stock, ibulk))
    density = ibulk / thickness[:, None]
    measured = harmonise_measured(inputs, stocks, density)
    standard = measured
    if turnover.fit is not None and turnover.effect is not None:
        standard = np.where(np.isfinite(measured), measured, extrapolate(inputs, turnover, sources, settings))
    return BulkInput(stocks, density, sources, measured, standard)


def harmonise_measured(inputs: Inputs, stocks: pd.DataFrame, density: NDArray[Any]) -> NDArray[np.float64]:
    """I_bulk of the seven layers of every profile, (profile, 7, draw), NaN where measured layers do not cover one."""
    layers, known = inputs.layers, stocks["stock"].notna().to_numpy()
    profile = layers["profile_index"].to_numpy()
    top, bottom = (layers[c].to_numpy()[known] for c in ("top", "bottom"))
    return harmonise(top, bottom, profile[known], density[known], int(profile.max()) + 1)


def measured_stock_draws(inputs: Inputs, stocks: pd.DataFrame, settings: RunSettings) -> NDArray[np.float64]:
    """Draws of the stock of each radiocarbon layer, (layer, draw), Mg C ha⁻¹."""
    profile = inputs.layers["profile_index"].to_numpy()
    return stock_draws(stocks, profile, gridded_errors(inputs, settings), _rng(settings, "stock"))


def gridded_errors(inputs: Inputs, settings: RunSettings) -> NDArray[np.float64]:
    """Error of each profile's gridded stock, the same wherever it is used: standard normal, (profile, draw)."""
    profiles = int(inputs.layers["profile_index"].max()) + 1
    return _rng(settings, "gridded stock").standard_normal((profiles, settings.members))


def extrapolate(
    inputs: Inputs, turnover: LayerTurnover, sources: list[StockSource], settings: RunSettings
) -> NDArray[np.float64]:
    """I_bulk of the seven layers of every profile, (profile, 7, draw), from the turnover posterior of the profile and
    the stock of the layer.
    """
    assert turnover.fit is not None and turnover.effect is not None
    layers = standard_layers(inputs.layers)
    log_k = extend_profiles(turnover.fit, turnover.effect, layers, seed=step_seed(settings, "standard layers")).T
    stocks, _ = layer_stocks(layers, sources)
    profile, rng = layers["profile_index"].to_numpy(), _rng(settings, "standard stocks")
    stock = stock_draws(stocks, profile, gridded_errors(inputs, settings), rng)
    return (stock * np.exp(log_k) * turnover.fit.model.rate_over_median).reshape(-1, len(LAYERS), settings.members)


def infer_driver(name: str, inputs: Inputs, bulk: BulkInput, settings: RunSettings) -> None:
    """What drives I_root or I_bulk, or allocation (paper, eq. 7–8): a regression on principal components, by biome, if
    there are enough records, which differ.
    """
    sites, of_sites, groups = inputs.npp, inputs.npp_records, inputs.groups
    if name == "drivers_ibulk":
        stocked = np.isfinite(bulk.density[:, 0]) & inputs.layers["has_covariates"].to_numpy()
        enough = stocked.sum() >= MIN_RECORDS
        found = ibulk_records(inputs.layers, bulk.density, groups) if enough else None
    else:
        known = of_sites if name == "drivers_iroot" else of_sites[of_sites["f_bnpp"].notna()]
        make = iroot_records if name == "drivers_iroot" else allocation_records
        found = make(sites, of_sites, groups) if len(known) >= MIN_RECORDS else None
    if found and not is_constant(found[0].y):  # of equal records there is nothing to explain
        infer_regression(name, *found, settings)
    else:  # what an earlier run found would be taken for this one's
        for old in (*settings.out.glob(f"tables/{name}*.csv"), settings.out / "posterior" / f"{name}.nc"):
            old.unlink(missing_ok=True)


def infer_root_depth(inputs: Inputs, settings: RunSettings) -> tuple[RegressionFit[RootRecords], xr.Dataset]:
    """Where roots are: D50 and D95 by biome and climate; and the shares of the seven layers in root carbon by biome."""
    records, components = root_records(inputs.roots, inputs.groups)
    for name, values in zip(("D50", "D95/D50"), records.y.T, strict=True):
        if is_constant(values):
            raise InputError(
                f"{name} is the same in all {len(values)} root profiles; expected profiles that differ",
                file=inputs.folder / "roots",
            )
    fit = infer_regression("root_depth", records, components, settings)
    shares = fractions_by_biome(fit.draws(), fit.records, settings.members, _rng(settings, "root shares"))
    with atomic_path(settings.out / "posterior" / "root_shares.nc") as path:
        shares.to_netcdf(path, engine="h5netcdf")
    write_csv(settings.out / "tables" / "root_depth.csv", root_depth_table(fit))
    write_csv(settings.out / "tables" / "root_shares.csv", root_shares_table(shares))
    return fit, shares


def infer_regression[R: Response](
    name: str, records: R, components: Components, settings: RunSettings
) -> RegressionFit[R]:
    """Posterior of one regression, `posterior/NAME.nc`, its diagnostics, and tables of all but root depth."""
    seed = step_seed(settings, name)
    fit, row = fit_regression(
        name,
        records,
        components,
        seed=seed,
        chains=settings.chains,
        tune=settings.tune,
        draws=settings.sampler_draws,
        sampler=settings.sampler,
        until_good=not settings.quick,
    )
    retire_checks(settings.out, name, "mean", fit.tree["posterior"].to_dataset()["mean"].values)
    with atomic_path(settings.out / "posterior" / f"{name}.nc") as path:
        fit.tree.to_netcdf(path, engine="h5netcdf")
    write_diagnostics(settings, row)
    tables = {"ppc": score_records(posterior_scores(fit, child_seed(seed, "scores")), records)}
    if isinstance(records, Records):
        tables |= regression_tables(fit)  # type: ignore[arg-type]
    for kind, table in tables.items():
        write_csv(settings.out / "tables" / (f"{name}_{kind}.csv" if kind else f"{name}.csv"), table)
    return fit


def tasks_of(inputs: Inputs, stocks: pd.DataFrame, density: NDArray[Any], settings: RunSettings) -> dict[str, Task]:
    """The responses that are learnt; `tables/variograms.csv` says how far apart their sites err alike."""
    seed = step_seed(settings, "variograms")
    tasks = learner_tasks(inputs, stocks, density, block_km=settings.block_km, seed=seed)
    write_csv(settings.out / "tables" / "variograms.csv", variogram_table(tasks))
    return tasks


def train(
    tasks: dict[str, Task], features: list[str], settings: RunSettings, progress: Progress | None = None
) -> Learners:
    """Forests of log I_root, log I_bulk and logit f_BNPP; their spread is calibrated on held-out places (paper, eq.
    9–10).
    """
    models, scores, predictions = {}, [], []
    for i, (target, task) in enumerate(tasks.items()):
        forest = PosteriorForest(settings.members, random_state=step_seed(settings, f"forest {target}"))
        calibration, score, predicted = validate(
            forest,
            task.X,
            task.y,
            task.site,
            task.block,
            splits=settings.validation_splits,
            seed=step_seed(settings, f"validation {target}"),
            progress=part_of(progress, i, len(tasks)),
        )
        forest.fit(task.X, response_of(task.y), task.site)
        regions = task.block if len(np.unique(task.block)) >= MIN_GROUPS else task.site
        fold = fold_labels(regions, MIN_GROUPS, step_seed(settings, f"applicability {target}"))
        area = Applicability.fit(task.X, forest.feature_importances_, fold)
        models[target] = FluxModel(forest, calibration, area)
        scores.append(score.assign(target=target, learner=MAP_FOREST))
        predictions.append(predicted.assign(target=target))
    table, held_out = (pd.concat(parts, ignore_index=True) for parts in (scores, predictions))
    first = ["target", "learner"]
    write_csv(settings.out / "tables" / "learners.csv", table[[*first, *table.columns.drop(first)]])
    columns = ["target", "split", "fold", "row", "observed", "mean", "sd"]
    write_csv(settings.out / "tables" / "held_out.csv", held_out[columns])
    learners = Learners(features, models["iroot"], models["ibulk"], models["f_bnpp"])
    save_learners(settings.out / "models" / "learners.npz", learners)
    return learners


def estimate(
    inputs: Inputs, measured: NDArray[np.float64], learners: Learners, settings: RunSettings
) -> tuple[list[Estimate], NDArray[np.float32]]:
    """The six estimates of I_loss: observed first, predicted where missing (paper, Extended Data Table 1).

    Parameters
    ----------
    measured : I_bulk of the seven layers of every profile, as in `BulkInput`.

    Returns
    -------
    The estimates, and what the learner says of the seven layers of every profile, NaN where a covariate is missing.
    """
    every = profiles_of(inputs)
    known = every["has_covariates"].to_numpy()
    profiles = every[known]
    npp, roots = inputs.npp, inputs.roots
    ibulk_npp, ibulk_roots = (learners.predict_ibulk(sites) for sites in (npp, roots))
    predicted = learners.predict_ibulk(profiles)
    here = profiles["profile_index"].to_numpy()
    ibulk_14c = np.where(np.isfinite(measured[here]), measured[here], predicted).astype(np.float32)
    learned = np.full((len(every), *predicted.shape[1:]), np.nan, np.float32)
    learned[known] = predicted
    shares_npp, shares_14c = depth_shares(ibulk_npp), depth_shares(ibulk_14c)
    shares_roots = layer_fractions(roots["d50"], roots["d95"])[:, :, None]
    bnpp_14c, bnpp_roots = (learners.predict_iroot(sites) for sites in (profiles, roots))
    satellite_npp, satellite_14c, satellite_roots = (
        sites[["satellite_npp"]].to_numpy() for sites in (npp, profiles, roots)
    )
    f_14c, f_roots = (learners.predict_f_bnpp(sites) for sites in (profiles, roots))
    estimates = [
        make_estimate(1, "NPP", npp, npp[["bnpp"]].to_numpy(), shares_npp, ibulk_npp),
        make_estimate(2, "NPP", npp, satellite_npp * npp[["f_bnpp"]].to_numpy(), shares_npp, ibulk_npp),
        make_estimate(3, "Δ14C", profiles, bnpp_14c, shares_14c, ibulk_14c),
        make_estimate(4, "Δ14C", profiles, satellite_14c * f_14c, shares_14c, ibulk_14c),
        make_estimate(5, "roots", roots, bnpp_roots, shares_roots, ibulk_roots),
        make_estimate(6, "roots", roots, satellite_roots * f_roots, shares_roots, ibulk_roots),
    ]
    estimates = [e for e in estimates if len(e.table)]  # without a raster of role npp, 2, 4 and 6 have no site
    write_csv(settings.out / "tables" / "npp_sites.csv", npp[["id", "lat", "lon", "biome", "npp", "satellite_npp"]])
    groups = groups_of(estimates)
    pairs = pairs_table(groups)
    for name, table in {
        "sites": site_table(estimates),
        "iloss_estimates": estimate_table(estimates),
        "iloss_pairs": pairs,
        "iloss_letters": letters_table(groups, pairs),
        "iloss_correlation": correlation_table(estimates),
        "turnover_factor": factor_table(estimates),
    }.items():
        write_csv(settings.out / "tables" / f"{name}.csv", table)
    return estimates, learned


def profiles_of(inputs: Inputs) -> pd.DataFrame:
    """One row a radiocarbon profile."""
    return inputs.layers.drop_duplicates("profile_index").assign(id=lambda t: t["profile"])


def summarise_run(
    inputs: Inputs,
    turnover: LayerTurnover,
    bulk: BulkInput,
    fractions: xr.Dataset,
    estimates: list[Estimate],
    totals: pd.DataFrame,
    settings: RunSettings,
) -> None:
    """Summary tables and the comparison with the paper."""
    tables = settings.out / "tables"
    write_csv(tables / "summary_global.csv", summary_global(inputs, turnover.log_k, estimates, totals))
    write_csv(tables / "summary_biome.csv", summary_by_biome(inputs, estimates, totals))
    write_csv(tables / "summary_depth.csv", summary_by_depth(estimates, totals))
    write_csv(tables / "stock_sources.csv", pd.DataFrame([vars(s) for s in bulk.sources]))
    learners, profiles = (pd.read_csv(tables / f"{name}.csv") for name in ("learners", "ibulk_profiles"))
    beside = paper_comparison(inputs, turnover.log_k, estimates, learners, fractions)
    write_csv(
        tables / "paper_comparison.csv",
        pd.concat(
            [beside, pd.DataFrame([harmonisation_score(profiles)]), explained_comparison(tables)], ignore_index=True
        ),
    )


def _rng(settings: RunSettings, step: str) -> np.random.Generator:
    return np.random.default_rng(step_seed(settings, step))
