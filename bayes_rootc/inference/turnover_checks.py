"""Can the turnover posterior be trusted? The diagnostics of `checks`, applied to layers and profiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import BIOMES, DEPTH_CLASSES
from ..data.atmosphere import Atmosphere
from ..models.components import Components
from ..models.marginal import EFFECT_RANGE
from ..models.measurements import Measured
from ..models.radiocarbon import atmosphere_sd
from ..models.rates import Kind, Shape, fitted_at, mean_age, persisting_rate
from ..models.turnover import (
    PERIOD_NAMES,
    TurnoverModel,
    column,
    design,
    misfit_design,
    misfit_sd,
    period_of,
    prior_draws,
    profile_quantile,
    regression_vector,
    shape_of,
    unit_of,
)
from ..progress import Progress, part_of
from ..seeds import child_seed
from . import checks
from .turnover_fit import (
    LAYER_GRID,
    TurnoverFit,
    complete,
    diagnose_fit,
    draw_errors,
    draw_layers,
    fit_turnover,
    structure_of,
)


def sample_prior(
    model: TurnoverModel, components: Components, layers: pd.DataFrame, count: int, seed: int
) -> dict[str, NDArray]:
    """Draws of the hyperparameters from their priors, (draw, …)."""
    rng = np.random.default_rng(child_seed(seed, "sites"))
    samples = prior_draws(structure_of(model, components, tuple(BIOMES), layers), count, rng)
    return complete(samples, tuple(BIOMES), child_seed(seed, "complete"))


def draw_prior(
    fit: TurnoverFit, layers: pd.DataFrame, atmosphere: Atmosphere, *, seed: int, count: int = 200
) -> tuple[dict[str, NDArray], xr.Dataset]:
    """Prior hyperparameters, and what radiocarbon they would make of the layers: the prior predictive."""
    samples = sample_prior(fit.model, fit.components, layers, count, child_seed(seed, "hyperparameters"))
    prior = replace(fit, samples={k: v[None] for k, v in samples.items()})
    return samples, draw_layers(prior, _blank(layers), atmosphere, seed=child_seed(seed, "layers"))


def cross_validate(
    layers: pd.DataFrame,
    groups: dict[str, list[str]],
    atmosphere: Atmosphere,
    model: TurnoverModel,
    *,
    seed: int,
    folds: int = 10,
    by: Literal["profile", "study"] = "profile",
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predicts each profile, or all profiles of a study, from a fit to the others.

    Parameters
    ----------
    layers, groups, atmosphere, model
        As in `fit_turnover`; `study` too, if whole studies are held out.
    seed : int
        Seed of the folds and of their fits.
    folds : int
        Number of parts.
    by : {"profile", "study"}
        What is held out as a whole.
    progress : callable, optional
        Called with the folds done and wanted.

    Returns
    -------
    scores, fits : DataFrame
        Results of `checks.cross_validate`, ‰; scores have one row a measurement, with `measured`, one of `MEASURED`,
        and `row`, the place of the layer in the table.
    """
    rows = measurements(layers)
    place = rows["row"].to_numpy()

    def predict(number: int, held: NDArray[np.bool_]) -> tuple[NDArray, NDArray, dict[str, object]]:
        out = np.zeros(len(layers), bool)
        out[place[held]] = True
        blank = _blank(layers, out)
        fit = fit_turnover(
            blank,
            groups,
            atmosphere,
            model,
            seed=child_seed(seed, "fit", number),
            chains=2,
            tune=150,
            draws=250,
            until_good=False,
            progress=part_of(progress, number, folds),
        )
        drawn = draw_layers(fit, blank[out], atmosphere, seed=child_seed(seed, "layers", number))
        at = (np.cumsum(out) - 1)[place[held]]
        return *_predicted(drawn, rows["measured"][held], at), diagnose_fit(str(number), fit)

    unit = layers["profile_index"] if by == "profile" else pd.Series(pd.factorize(layers["study"])[0])
    of_row = pd.Series(unit.to_numpy()[place])
    observed = rows["observed"].to_numpy()
    scores, fits = checks.cross_validate(observed, of_row, predict, folds=folds, seed=child_seed(seed, "folds"))
    return scores.assign(**rows[["measured", "row"]]), fits


MEASURED = {"bulk": "delta14c", "respired": "respired", "light less heavy": "light_less_heavy"}
"""What a fit learns from, and its column of layers."""

_DRAWN = {
    "bulk": ("replicated", "fitted"),
    "respired": ("respired_replicated", "respired"),
    "light less heavy": ("parts_replicated", "parts_replicated"),
}
"""Names of new measurements, and of their values without error, among the draws of layers."""


def measurements(layers: pd.DataFrame) -> pd.DataFrame:
    """Every value that was measured: `measured`, of `MEASURED`, `row`, the place of its layer, and `observed`, ‰."""
    parts = []
    for name, label in MEASURED.items():
        value = column(layers, label)
        row = np.flatnonzero(np.isfinite(value))
        parts.append(pd.DataFrame({"measured": name, "row": row, "observed": value[row]}))
    return pd.concat(parts, ignore_index=True)


def _predicted(drawn: xr.Dataset, measured: pd.Series, row: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    """Draws of new measurements, (draw, n), and their means without error, (n,), of rows of `measurements`."""
    replicated, mean = np.empty((drawn.sizes["draw"], len(row))), np.empty(len(row))
    for name, (with_error, without) in _DRAWN.items():
        here = (measured == name).to_numpy()
        if here.any():
            replicated[:, here] = drawn[with_error].values[:, row[here]]
            mean[here] = drawn[without].values[:, row[here]].mean(axis=0)
    return replicated, mean


def _blank(layers: pd.DataFrame, held: NDArray[np.bool_] | None = None) -> pd.DataFrame:
    """Layers without what was measured of some; the table keeps its shape, so that nothing is compiled again."""
    there = [name for name in MEASURED.values() if name in layers]
    gone = np.ones(len(layers), bool) if held is None else held
    return layers.assign(**{name: layers[name].mask(gone) for name in there})


def ppc_scores(layers: pd.DataFrame, drawn: xr.Dataset) -> pd.DataFrame:
    """Scores of what was fitted, in its own replicates, a row a measurement: a posterior predictive check."""
    rows = measurements(layers)
    found = _predicted(drawn, rows["measured"], rows["row"].to_numpy())
    return checks.predictive_scores(rows["observed"].to_numpy(), *found).assign(**rows[["measured", "row"]])


def score_table(scores: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """`checks.score_table` of bulk Δ14C by depth, biome and period, and of what else was measured by depth."""
    parts = []
    for name in MEASURED:
        some = scores[scores["measured"] == name].reset_index(drop=True)
        if some.empty:
            continue
        of = layers.iloc[some["row"]].reset_index(drop=True)
        middle = ((of["top"] + of["bottom"]) / 2).to_numpy()
        classes = {("depth, cm", f"{a}-{b}"): (middle >= a) & (middle < b) for a, b in DEPTH_CLASSES}
        if name == "bulk":
            period = period_of(of["year"])
            classes |= {("biome", biome): (of["biome"] == b).to_numpy() for b, biome in BIOMES.items()}
            classes |= {("sampled", label): period == number for number, label in enumerate(PERIOD_NAMES)}
        table = checks.score_table(some, of["profile_index"], classes, ("layers", "profiles"))
        parts.append(table if name == "bulk" else table.assign(group=f"{name}: " + table["group"]))
    return pd.concat(parts, ignore_index=True)


RANKED = (
    "mean_log_k",
    "slope_log",
    "slope_linear",
    "biome_sd",
    "tau_profile",
    "profile_skew",
    "tau_layer",
    "model_sd",
)
"""Hyperparameters that simulation-based calibration ranks, beside those that not every variant of the model has."""


CALIBRATION_PROFILES, PROFILES_OF_STUDY, LAYERS_OF_PROFILE = 24, 3, 3
TOPSOIL_CM = 30


def calibration_layers(layers: pd.DataFrame) -> pd.DataFrame:
    """The design of calibration: a few layers of a few profiles of studies that are spread evenly over the table, so
    that studies and sites have something in common, and a fit takes seconds.
    """
    few = layers[layers.groupby("profile_index").cumcount() < LAYERS_OF_PROFILE]
    study = few["study"] if "study" in few else few["profile_index"]
    rank = few.groupby(study)["profile_index"].transform(lambda index: pd.factorize(index)[0])
    few = few[rank < PROFILES_OF_STUDY]
    size = few.groupby(study.loc[few.index])["profile_index"].nunique()
    most = size.index[size >= min(PROFILES_OF_STUDY, size.max())]
    wanted = min(max(CALIBRATION_PROFILES // int(size.max()), 1), len(most))
    chosen = most[np.linspace(0, len(most) - 1, wanted).astype(int)]
    few = few[study.loc[few.index].isin(chosen)].reset_index(drop=True)
    return few.assign(profile_index=pd.factorize(few["profile_index"])[0])


def simulate(
    layers: pd.DataFrame,
    atmosphere: Atmosphere,
    model: TurnoverModel,
    *,
    seed: int,
    truths: dict[str, NDArray] | None = None,
) -> tuple[dict[str, NDArray], NDArray[np.float64], pd.DataFrame]:
    """Hyperparameters, (1, 1, …), log k of layers, (layer,), and the layers with the Δ14C (‰) of their bulk, and of
    what they respire where that was measured, that follow from them.

    The likelihood is that of the data *and* of every log k lying in the range of the grid, of which a distribution that
    reaches beyond is not made to hold more. So truths are drawn again until that is the case.

    Parameters
    ----------
    truths : dict of str to ndarray, optional
        Draws of the hyperparameters, (draw, …), of a model without covariates, one of which is true; by default they
        are drawn from the prior.
    """
    rng = np.random.default_rng(seed)
    fine = replace(model, grid=LAYER_GRID)
    components = Components.fit(layers, {})
    X, nodes = design(layers, components), fine.log_k
    _, first, profile = np.unique(layers["profile_index"], return_index=True, return_inverse=True)
    biome = layers["biome"].to_numpy(int)[first] - 1
    known = layers["sigma"].to_numpy(float) ** 2
    known += atmosphere_sd(layers["year"].to_numpy(float), layers["zone"].to_numpy(str), atmosphere) ** 2
    units = [pd.factorize(unit_of(layers, level)[first])[0] for level in model.levels]
    while True:
        source = sample_prior(model, components, layers, 1, int(rng.integers(2**31))) if truths is None else truths
        one = rng.integers(len(source["tau_layer"]))
        truth = {name: value[one] for name, value in source.items()}
        common = np.zeros(len(first))
        for level, unit in zip(model.levels, units, strict=True):
            common += truth[f"{level}_sd"] * rng.standard_normal(unit.max() + 1)[unit]
        scale = truth["tau_profile"] * truth["profile_scale"][biome]
        effect = np.full(len(first), np.inf)
        while (beyond := np.abs(effect) > EFFECT_RANGE).any():
            drawn = profile_quantile(rng.uniform(size=len(first)), scale, truth["profile_skew"], truth["nu_profile"])
            effect = np.where(beyond, common + drawn, effect)
        log_k = X @ np.asarray(regression_vector(truth)) + effect[profile]
        log_k += truth["tau_layer"] * rng.standard_normal(len(layers))
        if ((log_k >= nodes[0]) & (log_k <= nodes[-1])).all():
            break
    out = layers.copy()

    def measured(fitted: NDArray[np.float64], variance: Any) -> NDArray[np.float64]:
        nu = float(truth["nu"]) if model.student else np.inf
        return fitted + np.sqrt(variance) * draw_errors(rng, nu, len(fitted))

    misfit = np.asarray(misfit_sd(misfit_design(layers), truth)) ** 2
    place = (log_k - nodes[0]) / (nodes[1] - nodes[0])
    if model.inferred:
        data = fine.many_rates(layers, atmosphere)
        shape = Shape(*(None if v is None else np.asarray(v, float) for v in shape_of(data.spread_design, truth)))
        fitted = fitted_at(data.rates, "bulk", data.bulk.row, shape, place)
        kinds: tuple[tuple[Kind, str, Measured], ...] = (
            ("respired", "respired", data.respired),
            ("parts", "light_less_heavy", data.parts),
        )
        for kind, name, at in kinds:
            if len(at.layer):
                values = fitted_at(data.rates, kind, at.row, shape.of(at.layer), place[at.layer])
                out.loc[out.index[at.layer], name] = measured(values, at.known_variance + truth[f"{kind}_sd"] ** 2)
    else:
        predicted = fine.predicted(layers, atmosphere)
        fitted = np.array([np.interp(k, nodes, row) for k, row in zip(log_k, predicted, strict=True)])
    out["delta14c"] = measured(fitted, known + misfit)
    return {k: v[None, None] for k, v in truth.items()}, log_k, out


def calibrate(
    layers: pd.DataFrame,
    atmosphere: Atmosphere,
    model: TurnoverModel,
    *,
    seed: int,
    simulations: int,
    done: checks.Ranks | None = None,
    keep: Callable[[checks.Ranks], None] | None = None,
    progress: Progress | None = None,
) -> checks.Ranks:
    """`checks.calibrate` of `RANKED`, of `log_k` of the first layer, and of what is reported of all layers: mean age of
    the topsoil, and input, whole and that stays for a century, where stocks are equal. The layers give the design
    (depths, biomes, years, σ); covariates are left out.
    """
    model = model.with_levels(layers)
    structure = structure_of(model, Components.fit(layers, {}), tuple(BIOMES), layers)
    names = [*RANKED, *(["nu"] if model.student else []), *structure.optional]
    top = ((layers["top"] + layers["bottom"]) / 2 < TOPSOIL_CM).to_numpy()

    def of_layers(sample: dict[str, NDArray], log_k: NDArray) -> dict[str, NDArray]:
        """Quantities of layers, (draw,), from `log_k`, (draw, layer)."""
        fit = TurnoverFit(model, Components.fit(layers, {}), sample, {}, (np.nan, np.nan))
        spread, fast, _ = fit.shape(layers, len(log_k))
        found = {"log_k": log_k[:, 0]}
        if top.any():
            of_top = (log_k[:, top], spread[:, top], None if fast is None else fast[:, top])
            found[f"mean age, 0-{TOPSOIL_CM} cm"] = mean_age(*of_top).mean(axis=1)
        for years in (0, 100):
            found[f"input, {years} yr"] = persisting_rate(log_k, spread, years, fast).mean(axis=1)
        return found

    def truth(seed: int) -> tuple[dict[str, float], pd.DataFrame]:
        sample, log_k, simulated = simulate(layers, atmosphere, model, seed=seed)
        values = {name: float(sample[name][0, 0]) for name in names}
        return values | {name: float(v[0]) for name, v in of_layers(sample, log_k[None]).items()}, simulated

    def infer(seed: int, data: pd.DataFrame) -> tuple[checks.Draws, dict[str, object]]:
        how: Any = {"chains": 2, "tune": 150, "draws": 200, "until_good": False}
        fit = fit_turnover(data, {}, atmosphere, model, seed=child_seed(seed, "fit"), **how)
        posterior = fit.draws(checks.CALIBRATION_DRAWS)
        drawn = draw_layers(fit, data, atmosphere, seed=child_seed(seed, "layers"), count=checks.CALIBRATION_DRAWS)
        draws = {name: posterior[name] for name in names}
        kept = {name: value[None] for name, value in posterior.items()}
        return draws | of_layers(kept, drawn["log_k"].values.astype(float)), diagnose_fit(str(seed), fit)

    how: Any = {"done": done, "keep": keep, "progress": progress}
    return checks.calibrate(truth, infer, seed=seed, simulations=simulations, **how)
