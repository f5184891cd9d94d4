"""Turnover of the radiocarbon layers of a run, and the checks of its fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..data.folder import Inputs
from ..data.netcdf import open_dataset
from ..files import atomic_path, write_csv
from ..inference.sampling import summarise
from ..inference.store import kept_log_k, read_fit, save_turnover, turnover_tree
from ..inference.turnover import Turnover
from ..inference.turnover_checks import ppc_scores, score_table
from ..inference.turnover_fit import TurnoverFit
from ..models.point_inversion import invert_points
from ..models.radiocarbon import UNEXPLAINED_SD, LogNormalPrior, grid_quantile, invert, summarise_density
from ..models.rates import Shape, input_rate, mean_age
from ..models.turnover import Level, TurnoverModel
from ..progress import Progress
from ..report.turnover_tables import median_ages, misfit_table, population_table, respired_table
from ..settings import RunSettings, step_rng, step_seed
from .engine import Step
from .record import write_diagnostics


@dataclass(frozen=True)
class LayerTurnover:
    """Posterior of the radiocarbon layers.

    Attributes
    ----------
    layers : Dataset
        Over `layer`, the summary that `invert` gives (without its grid); draws of `log_k` over `layer` and `draw`; of a
        hierarchical fit also the `effect` of each profile, over `draw` and `profile`.
    fit : TurnoverFit, optional
        The hyperparameters of a hierarchical fit.
    """

    layers: xr.Dataset
    fit: TurnoverFit | None = None

    @property
    def log_k(self) -> NDArray[np.float64]:
        """Draws of log k, of the centre where layers have many rates: (layer, draw)."""
        return self.layers["log_k"].values

    def shape(self, layers: pd.DataFrame) -> Shape:
        """How the rates of these layers are distributed about their centres in each draw: arrays (layer, draw)."""
        count = self.log_k.shape[1]
        if self.fit is None:
            return Shape(np.zeros((len(layers), count)))
        return Shape(*(None if v is None else v.T for v in self.fit.shape(layers, count)))

    def age(self, layers: pd.DataFrame) -> NDArray[np.float64]:
        """Draws of the mean age of the carbon of these layers, yr: (layer, draw)."""
        spread, fast, _ = self.shape(layers)
        return mean_age(self.log_k.astype(float), spread, fast)


def infer_turnover(inputs: Inputs, settings: RunSettings, progress: Progress | None = None) -> None:
    """Decay rate of every layer (paper, eq. 1–5): exact forward model, hierarchy over biomes, places and profiles, all
    modes kept.
    """
    if settings.turnover_prior != "hierarchical":
        invert_alone(inputs, settings)
        return
    layers, variant = inputs.layers, turnover_model_of(settings)
    parts = (inputs.incubations, inputs.fractions) if variant.inferred else ()
    turnover = Turnover(
        inputs.groups,
        prehistory=variant.prehistory,
        error=variant.error,
        pool_spread=variant.pool_spread,
        family=variant.family,
        levels=variant.levels,
        chains=settings.chains,
        tune=settings.turnover_tune,
        draws=settings.turnover_draws,
        seed=step_seed(settings, "turnover"),
        atmosphere=inputs.atmosphere,
    ).fit(layers, *parts, until_good=not settings.quick, progress=progress)
    fit, drawn, tree = turnover.hyperparameters, turnover.drawn, turnover.posterior
    assert drawn is not None
    path, tables = settings.out / "posterior" / "turnover.nc", settings.out / "tables"
    turnover.save(path)
    write_csv(tables / "turnover_population.csv", population_table(tree))
    write_csv(tables / "turnover_ages.csv", median_ages(fit))
    measured, observed = layers_of(inputs, variant), layers["delta14c"].to_numpy()
    write_csv(tables / "turnover_ppc.csv", score_table(ppc_scores(measured, drawn), measured))
    write_csv(tables / "turnover_misfit.csv", misfit_table(layers, drawn))
    (tables / "turnover_respired.csv").unlink(missing_ok=True)
    if variant.inferred and inputs.incubations is not None:
        assert turnover.layers is not None
        write_csv(tables / "turnover_respired.csv", respired_table(turnover.layers, drawn))
    (row,) = turnover.check()["diagnostics"].to_dict("records")
    write_diagnostics(settings, {str(name): value for name, value in row.items()})
    summary = summarise_density(drawn["density"].values, drawn["node"].values)
    residual = np.abs(observed[:, None] - drawn["predicted"].values).min(axis=1)
    summary["model_sd"] = "layer", fit.misfit(layers)
    sd = np.hypot(layers["sigma"].to_numpy(), summary["model_sd"].values)
    summary["unexplained"] = "layer", residual > UNEXPLAINED_SD * sd
    few = np.arange(settings.members) * drawn.sizes["draw"] // settings.members
    if fit.model.pool_spread:  # k and age are then means over the rates of a layer
        log_k, shape = drawn["log_k"].values[few].astype(float), fit.shape(layers, settings.members)
        for name, mean in (("k", input_rate), ("age", mean_age)):
            for statistic, of_layers in summarise(mean(log_k, shape.spread, shape.fast), axis=0).items():
                summary[f"{name}_{statistic}"] = "layer", of_layers
    save_layers(settings.out, summary.assign(effect=(("member", "profile"), drawn["effect"].values[few])))


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
    found = summary.rename(member="draw") if "effect" in summary else summary
    fit = read_fit(folder / "turnover.nc") if "effect" in summary else None
    return LayerTurnover(found.assign(log_k=(("layer", "draw"), log_k)), fit)


def layers_of(inputs: Inputs, model: TurnoverModel) -> pd.DataFrame:
    """The radiocarbon layers, with the CO₂ that they respire and their parts where the model learns from these."""
    return inputs.turnover_layers if model.inferred else inputs.layers


def turnover_model_of(settings: RunSettings) -> TurnoverModel:
    """The variant of the turnover model that the settings choose."""
    usual: tuple[Level, ...] = ("site", "study") if settings.pool_spread == "inferred" else ()
    return TurnoverModel(
        settings.prehistory,
        settings.turnover_error,
        settings.pool_spread,
        family=settings.family,
        levels=usual if settings.levels is None else settings.levels,
    )


def invert_alone(inputs: Inputs, settings: RunSettings) -> None:
    """Each layer by itself, under the weak prior: the independent check on the hierarchy. Or the one k that gives its
    value; the posterior is then next to it, in `tables/point_inversion.csv`.
    """
    layers, rng = inputs.layers, step_rng(settings, "turnover")
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
    (settings.out / POINTS).unlink(missing_ok=True)
    if settings.turnover_prior == "point":
        table = point_table(inputs, posterior, settings)
        write_csv(settings.out / POINTS, table)
        log_k = np.repeat(np.log(table["k"].to_numpy())[None], settings.members, axis=0)
    fitted = np.array([np.interp(k, nodes, row) for k, row in zip(log_k.T, predicted, strict=True)]).T
    replicated = fitted + np.hypot(layers["sigma"].to_numpy(), settings.model_sd) * rng.standard_normal(fitted.shape)
    by_layer = "draw", "layer"
    drawn = xr.Dataset({"log_k": (by_layer, log_k.astype(np.float32)), "replicated": (by_layer, replicated)})
    save_turnover(settings.out / "posterior" / "turnover.nc", turnover_tree(layers, drawn))
    misfit = "layer", np.full(len(layers), settings.model_sd)
    save_layers(settings.out, posterior.drop_dims("log_k").assign(model_sd=misfit))


def point_table(inputs: Inputs, posterior: xr.Dataset, settings: RunSettings) -> pd.DataFrame:
    """Every k that gives a layer's value, the one that is taken (`k`, yr⁻¹; `age`, yr), and the age's posterior."""
    layers = inputs.layers
    found = invert_points(
        layers["delta14c"],
        layers["year"],
        layers["zone"].to_numpy(str),
        prehistory=settings.prehistory,
        atmosphere=inputs.atmosphere,
    )
    about = layers[["id", "profile", "top", "bottom", "delta14c", "year", "zone"]].reset_index(drop=True)
    ages = {f"posterior_{name}": posterior[name].values for name in ("age_median", "age_p025", "age_p975")}
    return pd.concat([about, found], axis=1).assign(**ages)


POINTS = "tables/point_inversion.csv"

TURNOVER = Step(
    "turnover",
    infer_turnover,
    ("inputs",),
    (
        *("prehistory", "turnover_prior", "turnover_error", "pool_spread", "family", "levels", "chains"),
        *("turnover_tune", "turnover_draws", "prior_median_age", "prior_log_sd", "model_sd", "members"),
    ),
    (
        *("posterior/turnover.nc", "posterior/layers.nc"),
        *(f"tables/turnover_{name}.csv" for name in ("population", "ages", "ppc", "misfit")),
        POINTS,
    ),
    read=read_turnover,
)
