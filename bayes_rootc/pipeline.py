"""The whole system on one page: from raw tables to a posterior to I_loss to a map.

Each function below is one step of the method; `run` puts them in order. A step's tables and files are written when it
ends, so a later failure loses nothing.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from . import demo
from .data.folder import Inputs, read_inputs
from .data.grid import MapGrid
from .estimates import Estimate, depth_shares, estimate_table, make_estimate, site_table
from .files import atomic_path, write_csv, write_json
from .inference.layers import save_layers
from .inference.sampling import diagnose, sample
from .mapping.learners import FluxModel, Learners, PosteriorForest, design_matrix, spatial_blocks, validate
from .mapping.maps import land_cells, make_maps, member_totals, predict_fields, totals_table
from .mapping.writers import write_cogs, write_netcdf
from .models import root_depth
from .models.bulk_input import StockSource, harmonise, layer_stocks, stock_draws
from .models.radiocarbon import LogNormalPrior, grid_quantile, invert
from .models.turnover import fit_population
from .progress import Progress, Stages, part_of
from .report.tables import (
    checks_table,
    layers_table,
    paper_comparison,
    root_shares_table,
    summary_by_biome,
    summary_by_depth,
    summary_global,
)
from .settings import RunSettings

STAGES = ("check", "turnover", "bulk input", "root depth", "learners", "estimates", "maps", "report")


@dataclass(frozen=True)
class Turnover:
    """Posterior of each radiocarbon layer: `summary` from `invert` (without its grid), and draws of log k, (layer,
    draw).
    """

    summary: xr.Dataset
    log_k: NDArray[np.float64]


@dataclass(frozen=True)
class BulkInput:
    """I_bulk of the measured layers: `stocks` and `density` (layer, draw), Mg C ha⁻¹ yr⁻¹ per cm; `sources`: what the
    gridded stocks were worth.
    """

    stocks: pd.DataFrame
    density: NDArray[np.float64]
    sources: list[StockSource]


def run(settings: RunSettings, *, quiet: bool = False) -> Path:
    """Everything, end to end. Returns the path of the report.

    Raises
    ------
    InputError : the data folder is unusable.
    """
    from .report.html import write_report

    out, stages = settings.out, Stages(len(STAGES), quiet=quiet)
    with stages.stage("check"):
        inputs = check(settings)
    with stages.stage("turnover"):
        turnover = infer_turnover(inputs, settings)
    with stages.stage("bulk input"):
        bulk = infer_bulk_input(inputs, turnover, settings)
    with stages.stage("root depth"):
        fractions = infer_root_depth(inputs, settings)
    with stages.stage("learners") as progress:
        learners = train(inputs, bulk, settings, progress)
    with stages.stage("estimates"):
        estimates = estimate(inputs, bulk, learners, settings)
    with stages.stage("maps") as progress:
        totals = draw_maps(inputs, learners, fractions, settings, progress)
    with stages.stage("report"):
        summarise_run(inputs, turnover, bulk, fractions, estimates, totals, settings)
        record_run(inputs, settings, stages.seconds)
        report = write_report(out, inputs.covariates)
    record_run(inputs, settings, stages.seconds)
    return report


def check(settings: RunSettings) -> Inputs:
    """Reads, screens and joins every input; `tables/checks.csv` says what was used, dropped and why."""
    folder = settings.data or demo_world(settings)
    inputs = read_inputs(folder, nearest_km=settings.nearest_km)
    write_csv(settings.out / "tables" / "checks.csv", checks_table(inputs.checks))
    return inputs


def demo_world(settings: RunSettings) -> Path:
    """The simulated world, written under the output folder: the input when a user has none."""
    folder = settings.out / "demo-data"
    demo.simulate_world(folder, seed=settings.seed, resolution=max(settings.resolution, 0.5))
    return folder


def infer_turnover(inputs: Inputs, settings: RunSettings) -> Turnover:
    """Decay rate of every layer: exact forward model, posterior on a grid of log k, all modes kept (paper, eq. 1–5)."""
    layers, rng = inputs.layers, _rng(settings, "turnover")
    prior, model_sd = turnover_prior(inputs, settings)
    posterior = invert(
        layers["delta14c"],
        layers["sigma"],
        layers["year"],
        layers["zone"].to_numpy(str),
        prior,
        settings.prehistory,
        model_sd=model_sd,
        atmosphere=inputs.atmosphere,
    )
    log_k = grid_quantile(
        posterior["density"].values, posterior["log_k"].values, rng.uniform(size=(settings.members, len(layers)))
    )
    fitted = np.array(
        [
            np.interp(draws, posterior["log_k"].values, row)
            for draws, row in zip(log_k, posterior["predicted"].values, strict=True)
        ]
    )
    error = np.hypot(layers["sigma"].to_numpy(), model_sd)[:, None]
    replicated = fitted + error * rng.standard_normal(fitted.shape)
    save_layers(settings.out / "posterior" / "turnover.nc", layers, log_k, replicated)
    return Turnover(posterior.drop_dims("log_k"), log_k)


def turnover_prior(inputs: Inputs, settings: RunSettings) -> tuple[LogNormalPrior, float]:
    """Prior of each layer's k, and the misfit of a one-pool model (‰): learnt from all layers together, or weak."""
    if settings.turnover_prior == "weak":
        return LogNormalPrior(settings.prior_median_age, settings.prior_log_sd), settings.model_sd
    layers = inputs.layers
    population = fit_population(layers, inputs.atmosphere, settings.prehistory)
    write_csv(settings.out / "tables" / "turnover_population.csv", population.table())
    return population.prior(*(layers[c].to_numpy() for c in ("biome", "top", "bottom"))), population.model_sd


def infer_bulk_input(inputs: Inputs, turnover: Turnover, settings: RunSettings) -> BulkInput:
    """I_bulk = C_stock x k (paper, eq. 6), the error of the stock included; writes `tables/layers.csv`."""
    layers = inputs.layers
    stocks, sources = layer_stocks(layers)
    stock = stock_draws(stocks, layers["profile_index"].to_numpy(), settings.members, _rng(settings, "stock"))
    thickness = (layers["bottom"] - layers["top"]).to_numpy()[:, None]
    ibulk = stock * np.exp(turnover.log_k)
    write_csv(settings.out / "tables" / "layers.csv", layers_table(layers, turnover.summary, stocks, stock, ibulk))
    return BulkInput(stocks, ibulk / thickness, sources)


def infer_root_depth(inputs: Inputs, settings: RunSettings) -> xr.Dataset:
    """Shares of the seven layers in root carbon, by biome: hierarchical D50 and D95."""
    seed = _seed(settings, "root depth")
    tree = sample(
        root_depth.build(inputs.roots),
        seed=seed,
        chains=settings.chains,
        tune=settings.tune,
        draws=settings.sampler_draws,
    )
    with atomic_path(settings.out / "posterior" / "root_depth.nc") as path:
        tree.to_netcdf(path, engine="h5netcdf")
    write_csv(settings.out / "tables" / "diagnostics.csv", pd.DataFrame([diagnose("root_depth", tree)]))
    return root_depth.fractions_by_biome(
        tree["posterior"].to_dataset(), settings.members, _rng(settings, "root shares")
    )


def train(inputs: Inputs, bulk: BulkInput, settings: RunSettings, progress: Progress | None = None) -> Learners:
    """Forests of log I_root, log I_bulk and logit f_BNPP; their spread is calibrated on held-out places (paper, eq.
    9–10).
    """
    npp, known = inputs.npp, inputs.npp["f_bnpp"].notna()
    stocked = (bulk.stocks["stock"].notna() & inputs.layers["has_covariates"]).to_numpy()
    layers = inputs.layers[stocked]
    f_bnpp = npp.loc[known, "f_bnpp"].to_numpy()
    tasks = {
        "iroot": (npp, np.log(npp[["bnpp"]].to_numpy()), npp["id"], None),
        "ibulk": (layers, np.log(bulk.density[stocked]), layers["profile"], layers[["top", "bottom"]].to_numpy()),
        "f_bnpp": (npp[known], np.log(f_bnpp / (1 - f_bnpp))[:, None], npp.loc[known, "id"], None),
    }
    models, scores, predictions = {}, [], {}
    for i, (target, (table, y, site, depth)) in enumerate(tasks.items()):
        X, _ = design_matrix(table, inputs.features, depth)
        forest = PosteriorForest(settings.members, random_state=_seed(settings, f"forest {target}"))
        block = spatial_blocks(table["lat"], table["lon"], settings.block_degrees)
        calibration, score, predicted = validate(
            forest,
            X,
            y,
            site.to_numpy(str),
            block,
            splits=settings.validation_splits,
            seed=_seed(settings, f"validation {target}"),
            progress=part_of(progress, i, len(tasks)),
        )
        models[target] = FluxModel(forest.fit(X, y, site), calibration)
        scores.append(score.assign(target=target, learner="random forest"))
        predictions[target] = predicted
    table = pd.concat(scores, ignore_index=True)
    write_csv(
        settings.out / "tables" / "learners.csv",
        table[["target", "learner", *table.columns.drop(["target", "learner"])]],
    )
    held_out = pd.concat([p.assign(target=target) for target, p in predictions.items()], ignore_index=True)
    write_csv(
        settings.out / "tables" / "held_out.csv", held_out[["target", "split", "fold", "row", "observed", "mean", "sd"]]
    )
    return Learners(inputs.features, models["iroot"], models["ibulk"], models["f_bnpp"])


def estimate(inputs: Inputs, bulk: BulkInput, learners: Learners, settings: RunSettings) -> list[Estimate]:
    """The six estimates of I_loss: observed first, predicted where missing (paper, Extended Data Table 1)."""
    profiles = (
        inputs.layers[inputs.layers["has_covariates"]]
        .drop_duplicates("profile_index")
        .assign(id=lambda t: t["profile"])
    )
    npp, roots = inputs.npp, inputs.roots
    ibulk_npp, ibulk_roots = (learners.predict_ibulk(sites) for sites in (npp, roots))
    ibulk_14c = observed_first(inputs, bulk, profiles, learners.predict_ibulk(profiles))
    shares_npp, shares_14c = depth_shares(ibulk_npp), depth_shares(ibulk_14c)
    shares_roots = root_depth.layer_fractions(roots["d50"], roots["d95"])[:, :, None]
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
    write_csv(settings.out / "tables" / "sites.csv", site_table(estimates))
    write_csv(settings.out / "tables" / "iloss_estimates.csv", estimate_table(estimates))
    return estimates


def draw_maps(
    inputs: Inputs, learners: Learners, fractions: xr.Dataset, settings: RunSettings, progress: Progress | None = None
) -> pd.DataFrame:
    """Maps of the three fluxes with 500-member uncertainty, and totals in which one member is one whole map."""
    grid = MapGrid(settings.resolution, settings.bbox)
    cells = land_cells(inputs.covariates, grid, nearest_km=settings.nearest_km)
    inputs.checks.append(cells.check)
    write_csv(settings.out / "tables" / "checks.csv", checks_table(inputs.checks))
    fields = predict_fields(cells, learners.iroot, learners.ibulk, progress=progress)
    maps = make_maps(
        cells,
        fields,
        fractions["predictive"].values,
        members=settings.members,
        seed=_seed(settings, "maps"),
        profile_correlation=learners.ibulk.calibration.profile_correlation,
    )
    write_cogs(settings.out / "maps", maps, grid)
    title = "Root carbon inputs, their part that reaches bulk soil, and the loss between them"
    if demo.is_simulated(inputs.folder):
        title += " (SIMULATED demo world)"
    write_netcdf(
        settings.out / "maps" / "maps.nc",
        maps,
        title=title,
        history=f"bayes-rootc {version('bayes-rootc')}, seed {settings.seed}",
    )
    totals = totals_table(
        member_totals(cells, fields, learners.iroot, learners.ibulk, fractions["expected"].values, progress=progress)
    )
    write_csv(settings.out / "tables" / "map_totals.csv", totals)
    return totals


def summarise_run(
    inputs: Inputs,
    turnover: Turnover,
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
    write_csv(tables / "root_shares.csv", root_shares_table(fractions))
    write_csv(tables / "stock_sources.csv", pd.DataFrame([vars(s) for s in bulk.sources]))
    write_csv(
        tables / "paper_comparison.csv",
        paper_comparison(inputs, turnover.log_k, estimates, pd.read_csv(tables / "learners.csv"), fractions),
    )


def record_run(inputs: Inputs, settings: RunSettings, seconds: dict[str, float]) -> None:
    """`run.json`: what made these numbers."""
    packages = ("bayes-rootc", "numpy", "scipy", "pandas", "xarray", "scikit-learn", "jax", "pymc", "arviz", "rasterio")
    write_json(
        settings.out / "run.json",
        {
            "settings": settings.model_dump(mode="json"),
            "seed": settings.seed,
            "simulated": demo.is_simulated(inputs.folder),
            "atmosphere": inputs.atmosphere.source,
            "versions": {p: version(p) for p in packages},
            "input_sha256": inputs.files,
            "seconds": {name: round(s, 2) for name, s in seconds.items()},
            "peak_memory_gib": _peak_memory_gib(),
        },
    )


def observed_first(
    inputs: Inputs, bulk: BulkInput, profiles: pd.DataFrame, predicted: NDArray[np.float32]
) -> NDArray[np.float32]:
    """I_bulk of Δ14C profiles in the seven layers, (profile, 7, draw): harmonised measurements where they cover a
    layer, else predicted.
    """
    stocked = bulk.stocks["stock"].notna().to_numpy()
    layers = inputs.layers[stocked]
    index = layers["profile_index"].to_numpy()
    measured = harmonise(
        layers["top"].to_numpy(),
        layers["bottom"].to_numpy(),
        index,
        bulk.density[stocked],
        int(inputs.layers["profile_index"].max()) + 1,
    )[profiles["profile_index"].to_numpy()]
    return np.where(np.isfinite(measured), measured, predicted).astype(np.float32)


def _seed(settings: RunSettings, step: str) -> int:
    """A seed of its own for each step, from the run's one seed: adding a step changes no other."""
    return int(np.random.SeedSequence([settings.seed, zlib.crc32(step.encode())]).generate_state(1)[0] >> 1)


def _rng(settings: RunSettings, step: str) -> np.random.Generator:
    return np.random.default_rng(_seed(settings, step))


def _peak_memory_gib() -> float:
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
