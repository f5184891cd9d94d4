"""Fitting the turnover model: NUTS over its hyperparameters, a check of the quadrature, then exact draws of log k."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from jax import Array
from numpy.typing import NDArray

from ..constants import BIOMES
from ..data.atmosphere import Atmosphere
from ..data.israd import DEFAULT_SIGMA
from ..errors import InputError
from ..models.components import Components
from ..models.marginal import Block, Levels, draw_effects, product
from ..models.measurements import Measured, log_density
from ..models.radiocarbon import LOG_K_RANGE
from ..models.rates import Kind, Shape, fitted_at, input_rate
from ..models.spread import draw_spread
from ..models.turnover import (
    EFFECTS,
    PRIORS,
    Structure,
    TurnoverModel,
    column,
    design,
    likelihoods_of_effects,
    log_likelihood,
    misfit_design,
    misfit_sd,
    prior_medians,
    regression_vector,
    scales,
    shape_of,
    spread_design,
    turnover_model,
)
from ..progress import Progress
from ..seeds import child_seed
from .nuts import Nuts
from .sampling import DO_NOT_TRUST, GOOD, converged, convergence, diagnose, split_chains

MIN_LAYERS = 20
"""Layers below which a population says nothing."""

MAX_QUADRATURE_ERROR = 0.05
"""The log likelihood of all layers may differ from a finer grid's by a constant; this much variation between draws is
let pass, because it changes no posterior probability by more than 5 %.
"""

MAX_WEIGHTED_ERROR = 0.5
"""Up to this variation, draws are weighted by how much more likely a finer grid finds them, which loses a fifth of them
at most; beyond, the chains resume on the finer grid."""

CHECK_DRAWS = 64
"""Draws in which the error of the quadrature is computed: its standard deviation is then known to a tenth."""

MAX_REPETITIONS = 3
"""Times that sampling may be done, each on a finer grid than before."""

LAYER_GRID = 384
"""Nodes of log k from which layers are drawn: 0.04 apart, finer than any layer's posterior is wide."""

RUN = 16
"""Nodes that are drawn from together, at first; divides LAYER_GRID."""

MISFIT_DRAWS = 200
MIN_DELTA = -1000.0
"""‰; no replicate has less radiocarbon than none."""


@dataclass(frozen=True)
class TurnoverFit:
    """A fitted turnover model.

    Attributes
    ----------
    model : TurnoverModel
        The variant that was fitted.
    components : Components
        How covariates become components.
    samples : dict of str to ndarray
        Hyperparameters by name, (chain, draw, …).
    stats : dict of str to ndarray
        What the sampler says of each draw, (chain, draw).
    quadrature : tuple of float
        Standard deviation over draws of the log likelihood's error, from the nodes of log k and from those of the
        profile effect.
    """

    model: TurnoverModel
    components: Components
    samples: dict[str, NDArray[np.float64]]
    stats: dict[str, NDArray]
    quadrature: tuple[float, float]

    def draws(self, count: int | None = None) -> dict[str, NDArray[np.float64]]:
        """Draws of the hyperparameters, (draw, …): all, or `count` of them, evenly spaced along the chains."""
        total = self.samples["tau_layer"].size
        flat = {name: value.reshape(total, *value.shape[2:]) for name, value in self.samples.items()}
        if count is None:
            return flat
        return {name: value[np.arange(count) * total // count] for name, value in flat.items()}

    def shape(self, layers: pd.DataFrame, count: int | None = None) -> Shape:
        """Distribution of rates within layers (`top`, `bottom`, cm) in `count` draws: `spread` and, with two pools,
        `fast`, (draw, layer).
        """
        draws, D = self.draws(count), spread_design(layers)
        if not self.model.inferred:
            return Shape(np.full((len(draws["tau_layer"]), len(layers)), self.model.pool_spread))
        names = ("log_spread", "spread_slope", "logit_fast", "fast_slope")
        with jax.enable_x64(True):
            found = jax.vmap(partial(shape_of, D))({name: draws[name] for name in names if name in draws})
        return Shape(*(None if value is None else np.asarray(value) for value in found))

    def rate(self, log_k: NDArray[Any], layers: pd.DataFrame) -> NDArray[np.float64]:
        """Input over stock (yr⁻¹) of layers with these draws of log k: (draw, layer), as many as there are."""
        shape = self.shape(layers, len(log_k))
        return input_rate(log_k, shape.spread, shape.fast)

    def misfit(self, layers: pd.DataFrame) -> NDArray[np.float64]:
        """Posterior mean of each layer's misfit σ_model, ‰."""
        M = misfit_design(layers)
        return np.mean([np.asarray(misfit_sd(M, sample), float) for sample in _each(self.draws(MISFIT_DRAWS))], axis=0)


def fit_turnover(
    layers: pd.DataFrame,
    groups: dict[str, list[str]],
    atmosphere: Atmosphere,
    model: TurnoverModel | None = None,
    *,
    seed: int,
    chains: int = 4,
    tune: int = 100,
    draws: int = 500,
    until_good: bool = True,
    progress: Progress | None = None,
) -> TurnoverFit:
    """Posterior of the hyperparameters, on grids that are fine enough where the posterior is.

    Parameters
    ----------
    layers : DataFrame
        `delta14c` (‰; NaN: left out, as in cross-validation), `sigma` (‰), `year`, `zone`, `biome` (1–9), `top`,
        `bottom` (cm), `profile_index`, and the covariates (NaN where unknown).
    groups : dict of str to list of str
        Names of the covariates, by group.
    atmosphere : Atmosphere
        Its curves.
    model : TurnoverModel, optional
        Variant of the model.
    seed, chains, tune : int
        Seed; number of chains; warm-up steps of each.
    draws : int
        Kept draws of each chain.
    until_good : bool
        Continue sampling until R-hat and effective sample sizes are good.
    progress : callable, optional
        Called with the draws done and wanted.

    Returns
    -------
    TurnoverFit
        Draws of the hyperparameters, with the model and its grids.

    Raises
    ------
    InputError
        There are too few layers.
    """
    measured = int(layers["delta14c"].notna().sum())
    if measured < MIN_LAYERS:
        raise InputError(
            f"{measured} radiocarbon layers are too few to learn how age changes with depth "
            f'(at least {MIN_LAYERS}); set turnover_prior = "weak"'
        )
    model = (model or TurnoverModel()).with_levels(layers)
    components = Components.fit(layers.drop_duplicates("profile_index"), groups)
    biomes = tuple(int(b) for b in np.unique(layers["biome"]))
    sampler = _sampler_for(structure_of(model, components, biomes, layers), tune)

    def data(model: TurnoverModel) -> tuple[tuple[tuple[Block, ...], Levels | None], Array]:
        with jax.enable_x64(True):
            return model.data(layers, components, atmosphere), jnp.asarray(model.log_k)

    place, starts = sampler.locate(data(model)), None
    for repetition in range(MAX_REPETITIONS):
        samples, stats, starts = sampler.run(
            data(model),
            place,
            seed=child_seed(seed, "chains", repetition),
            chains=chains,
            draws=draws,
            starts=starts,
            enough=_good if until_good else None,
            progress=progress,
        )
        samples = complete(samples, biomes, child_seed(seed, "complete", repetition))
        fit = TurnoverFit(model, components, samples, stats, (np.nan, np.nan))
        fit = replace(fit, quadrature=quadrature_error(fit, layers, atmosphere))
        if max(fit.quadrature) <= MAX_QUADRATURE_ERROR:
            return fit
        if max(fit.quadrature) > MAX_WEIGHTED_ERROR:
            model = model.refined(fit.quadrature, MAX_QUADRATURE_ERROR)
            continue
        # Weights need the likelihood of each draw but once: the grid may be finer than it must be.
        model = model.refined(fit.quadrature, MAX_QUADRATURE_ERROR / 2)
        fit = weighted(fit, model, layers, atmosphere, child_seed(seed, "weights"))
        if not until_good or diagnose_fit("turnover", fit)["verdict"] == GOOD:
            return fit  # else weights have cost too many draws, and the chains resume on the finer grid
    return fit


def under_wider_priors(draws: dict[str, NDArray[np.float64]], factor: float) -> NDArray[np.float64]:
    """Weights under which draws of the hyperparameters are those of the posterior under wider priors (Kallioinen et al.
    2024, Statistics and Computing 34, 57).

    Parameters
    ----------
    draws : dict of str to ndarray
        Hyperparameters by name, (draw, …). Those without a row in `PRIORS`, such as the misfit of biomes, keep their
        priors.
    factor : float
        By how much the scale of each prior is larger.

    Returns
    -------
    ndarray, (draw,)
        They sum to 1.
    """
    gain = np.zeros(len(draws["tau_layer"]))
    for name in PRIORS.keys() & draws.keys():
        (location, scale), family, _ = PRIORS[name]
        away = ((draws[name] if family == "normal" else np.log(draws[name])) - location) / scale
        gain += (away**2).reshape(len(gain), -1).sum(axis=1) * (1 - factor**-2) / 2
    weight = np.exp(gain - gain.max())
    return np.asarray(weight / weight.sum())


def taken_by(weight: NDArray[np.float64], offset: float = 0.5) -> NDArray[np.int64]:
    """Draws, as many as there are, each as often as its weight wants, in order; evenly spaced, for the least noise.

    Parameters
    ----------
    weight : ndarray, (draw,)
    offset : float
        Place of the first, 0 to 1.
    """
    share = np.cumsum(weight)
    return np.searchsorted(share / share[-1], (np.arange(len(weight)) + offset) / len(weight))


def structure_of(
    model: TurnoverModel, components: Components, biomes: tuple[int, ...], layers: pd.DataFrame
) -> Structure:
    """The hyperparameters of a variant of the model for these layers."""
    parts = model.inferred and bool(np.isfinite(column(layers, "light_share")).any())
    family = model.family if model.inferred else None
    return Structure(len(components.names), biomes, model.student, family, parts, model.levels)


def weighted(
    fit: TurnoverFit, model: TurnoverModel, layers: pd.DataFrame, atmosphere: Atmosphere, seed: int
) -> TurnoverFit:
    """The fit on a finer grid: draws of each chain are taken as often as that grid finds them likelier, in order."""
    finer = replace(fit, model=model)
    old, new = (log_likelihoods(f, layers, atmosphere) for f in (fit, finer))
    gain = split_chains(new - old, len(fit.samples["tau_layer"]))
    offset = np.random.default_rng(seed).uniform(size=len(gain))
    taken = [taken_by(np.exp(g - g.max()), o) for g, o in zip(gain, offset, strict=True)]

    def take(values: dict[str, NDArray]) -> dict[str, NDArray]:
        return {name: np.stack([v[i] for v, i in zip(value, taken, strict=True)]) for name, value in values.items()}

    finer = replace(finer, samples=take(fit.samples), stats=take(fit.stats))
    return replace(finer, quadrature=quadrature_error(finer, layers, atmosphere))


@cache
def _sampler_for(structure: Structure, tune: int) -> Nuts:
    """The sampler of a variant of the model; it stays compiled for the next fit to layers of the same shape."""
    model = partial(turnover_model, structure=structure)
    return Nuts(model, (None, None), tune=tune, start=prior_medians(structure), target_accept=0.65, known_spread=True)


def _good(samples: dict[str, NDArray]) -> bool:
    import arviz as az

    sampled = {name: value for name, value in samples.items() if name not in PADDED}
    return converged(convergence(az.from_dict({"posterior": sampled})["posterior"].to_dataset()))


def diagnose_fit(name: str, fit: TurnoverFit) -> dict[str, object]:
    """`diagnose`, and the variation of the quadrature's error, which is also to be trusted."""
    import arviz as az

    samples = {k: v for k, v in fit.samples.items() if v.size and np.isfinite(v).all()}
    row = diagnose(name, az.from_dict({"posterior": samples, "sample_stats": fit.stats}))
    worst = max(fit.quadrature)
    return row | {"quadrature_error": worst} | ({} if worst <= MAX_QUADRATURE_ERROR else {"verdict": DO_NOT_TRUST})


INTERNAL = ("biome_effect", "slope_effect", "log_profile_scale")
"""Names of samples that others are made of."""

PADDED = ("biome_offset", "slope_offset", "profile_scale")
"""Names of these others, which hold a constant for biomes without layers."""


def complete(samples: dict[str, NDArray], biomes: tuple[int, ...], seed: int) -> dict[str, NDArray]:
    """Samples with all that the likelihood needs.

    Standard deviations of effects are drawn given the effects; effects of biomes without layers are drawn given their
    standard deviation, which is all that is known of them. Without components, or with Normal errors, placeholders are
    added.
    """
    rng = np.random.default_rng(seed)
    out = {name: np.array(v) for name, v in samples.items() if name not in INTERNAL}
    for effect, spread in EFFECTS.items():
        if effect in samples:
            out[spread] = draw_spread(samples[effect], PRIORS[spread][0], rng)
    absent = np.setdiff1d(list(BIOMES), biomes) - 1
    shape = out["tau_layer"].shape
    out["biome_offset"][..., absent] = out["biome_sd"][..., None] * rng.standard_normal((*shape, len(absent)))
    noise = rng.standard_normal((*shape, 2, len(absent)))
    out["slope_offset"][..., absent] = out["slope_sd"][..., None] * noise
    out["profile_scale"][..., absent] = np.exp(rng.normal(*PRIORS["log_profile_scale"][0], (*shape, len(absent))))
    return {"coefficient": np.zeros((*shape, 0)), "nu": np.full(shape, np.inf)} | out


def quadrature_error(fit: TurnoverFit, layers: pd.DataFrame, atmosphere: Atmosphere) -> tuple[float, float]:
    """Standard deviation over draws of (log likelihood - that on finer nodes): nodes of log k, and of the effect; where
    that of both together is little, twice that.
    """

    def total(**finer: Any) -> NDArray[np.float64]:
        return log_likelihoods(replace(fit, model=replace(fit.model, **finer)), layers, atmosphere, CHECK_DRAWS)

    here, grid, effect = total(), {"grid": 2 * fit.model.nodes}, {"refine": 2 * fit.model.refinement}
    together = float(np.std(here - total(**grid, **effect)))
    if together <= MAX_QUADRATURE_ERROR:  # one compilation instead of two
        return together, together
    return float(np.std(here - total(**grid))), float(np.std(here - total(**effect)))


def log_likelihoods(
    fit: TurnoverFit, layers: pd.DataFrame, atmosphere: Atmosphere, count: int | None = None
) -> NDArray[np.float64]:
    """Log marginal likelihood of all layers under draws of the hyperparameters, (draw,)."""
    with jax.enable_x64(True):
        data, log_k = fit.model.data(layers, fit.components, atmosphere), jnp.asarray(fit.model.log_k)
    variant: Any = {"names": fit.model.levels, "student": fit.model.student}

    def of_draw(sample: dict[str, NDArray]) -> float:
        with jax.enable_x64(True):  # the setting belongs to a thread
            return float(_log_likelihood({k: jnp.asarray(v) for k, v in sample.items()}, *data, log_k, **variant))

    first, *others = _each(fit.draws(count))
    values = [of_draw(first)]  # compiled here, not in each thread
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return np.array([*values, *pool.map(of_draw, others)])


_log_likelihood = jax.jit(log_likelihood, static_argnames=("names", "student"))


def draw_layers(
    fit: TurnoverFit,
    layers: pd.DataFrame,
    atmosphere: Atmosphere,
    *,
    seed: int,
    count: int | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Draws log k of layers from its exact conditional: first the effect of each profile, then its layers given that.

    Layers without a Δ14C (NaN) are predicted: from the other layers of their profile where those have one, else from
    the population.

    Parameters
    ----------
    fit : TurnoverFit
        What the hyperparameters are drawn from.
    layers : DataFrame
        Columns as in `fit_turnover`.
    atmosphere : Atmosphere
        Its curves.
    seed : int
        Seed of all draws.
    count : int, optional
        Number of draws of the hyperparameters, evenly spaced along the chains; by default all.
    progress : callable, optional
        Called with the draws done and wanted.

    Returns
    -------
    Dataset
        `log_k`, `fitted` (Δ14C of the model, ‰) and `replicated` (a new measurement of it, ‰) over `draw` and `layer`;
        `effect` of each profile, with those of its site and study in it, and its `log_likelihood` given the latter, own
        effect and log k summed out, over `draw` and `profile`, in the order of `profile_index`; `density`, the
        probability density of log k averaged over the draws, and the Δ14C that is `predicted` (‰; of one pool), over
        `layer` and `node`, a value of log k. Where the spread of rates is inferred, also, over `draw` and `layer`,
        `spread` and, with two pools, `fast`; the Δ14C of respired carbon (`respired`; in the incubation, where there
        was one) and of a new measurement of it (`respired_replicated`, ‰); and, if carbon was parted by density,
        `parts_replicated`, light less heavy carbon (‰; NaN for other layers).
    """
    fine = replace(fit.model, grid=LAYER_GRID)
    nodes, step = fine.log_k, fine.log_k[1] - fine.log_k[0]
    n, total = len(layers), len(fit.draws(count)["tau_layer"])
    predicted = fine.predicted(layers, atmosphere)
    sampler = _Sampler(fit, fine, layers, atmosphere, count)
    nu = fit.draws(count)["nu"]
    log_k, fitted, replicated = (np.empty((total, n), np.float32) for _ in range(3))
    rates = _Rates(fit, fine, layers, atmosphere, count) if fit.model.inferred else None
    effect, log_likelihood = (np.empty((total, layers["profile_index"].nunique())) for _ in range(2))
    parts = np.array_split(np.arange(total), min(total, 8))  # fixed, so that sums do not depend on the threads

    def work(part: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        density = [np.zeros((len(rows), LAYER_GRID), np.float32) for rows in sampler.layers]
        for m in part:
            rng = np.random.default_rng([seed, m])
            for number, (profiles, by_profile, value) in enumerate(sampler.effects(m, rng)):
                effect[m, profiles], log_likelihood[m, profiles] = by_profile, value
                weight, sd = sampler.densities(number, m, by_profile)
                rows = sampler.layers[number]
                position, mass = _draw_positions(weight, rng)
                log_k[m, rows] = nodes[0] + step * position
                if rates:
                    fitted[m, rows] = rates.fit(m, rows, position, rng)
                else:
                    left = np.minimum(position.astype(int), LAYER_GRID - 2)
                    low, high = predicted[rows, left], predicted[rows, left + 1]
                    fitted[m, rows] = low + (position - left) * (high - low)
                noise = sd * draw_errors(rng, nu[m], len(rows))
                replicated[m, rows] = np.maximum(fitted[m, rows] + noise, MIN_DELTA)
                density[number] += weight * (1 / (mass * step))[:, None].astype(np.float32)
            done[0] += 1
            if progress:
                progress(done[0], total)
        return density

    done = [0]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        by_part = list(pool.map(work, parts))
    density = np.empty((n, LAYER_GRID))
    for rows, *sums in zip(sampler.layers, *by_part, strict=True):
        density[rows] = np.sum(sums, axis=0, dtype=float)
    density /= density.sum(axis=1, keepdims=True) * step
    by_layer, by_profile, by_node = ("draw", "layer"), ("draw", "profile"), ("layer", "node")
    of_rates = {name: (by_layer, values) for name, values in rates.found.items()} if rates else {}
    return xr.Dataset(
        {
            "log_k": (by_layer, log_k),
            "fitted": (by_layer, fitted),
            "replicated": (by_layer, replicated),
            "effect": (by_profile, effect),
            "log_likelihood": (by_profile, log_likelihood),
            "density": (by_node, density),
            "predicted": (by_node, predicted),
            **of_rates,
        },
        coords={"node": nodes},
    )


class _Rates:
    """Δ14C of bulk and of respired carbon in layers of many rates, draw by draw; `found` is (draw, layer) by name."""

    def __init__(
        self, fit: TurnoverFit, fine: TurnoverModel, layers: pd.DataFrame, atmosphere: Atmosphere, count: int | None
    ):
        data, draws = fine.many_rates(layers, atmosphere, flux=True), fit.draws(count)
        self._rates, self._bulk, self._nu = data.rates, data.bulk, draws["nu"]
        self._shape = fit.shape(layers, count)
        self._link = 1 / (1 + np.exp(-draws["logit_link"])) if "logit_link" in draws else None
        self._kinds: dict[Kind, Measured] = {"respired": data.respired}
        if self._link is not None:
            self._kinds["parts"] = data.parts
        n, total = len(layers), len(self._nu)
        self._variance = {"respired": np.full(n, DEFAULT_SIGMA**2), "parts": np.full(n, np.nan)}
        self._place = {name: np.full(n, -1) for name in self._kinds}
        for name, kind in self._kinds.items():
            self._variance[name][kind.layer] = kind.known_variance
            self._place[name][kind.layer] = np.arange(len(kind.layer))
        self._misfit = {name: draws[f"{name}_sd"] for name in self._kinds}
        self.found = {"spread": self._shape.spread.astype(np.float32)}
        if self._shape.fast is not None:
            self.found["fast"] = self._shape.fast.astype(np.float32)
        for quantity in ("respired", *(f"{kind}_replicated" for kind in self._kinds)):
            self.found[quantity] = np.full((total, n), np.nan, np.float32)

    def fit(
        self, draw: int, rows: NDArray[np.int64], position: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Δ14C of the bulk of some layers, given the places of their centres; what else is measured is kept."""
        shape = Shape(*(None if v is None else v[draw] for v in self._shape[:2]))
        of_rows = shape.of(rows)
        respired = fitted_at(self._rates, "flux", self._bulk.row[rows], of_rows, position)
        for name in self._kinds:
            at = self._place[name][rows]
            here = at >= 0
            link = None if self._link is None else self._link[draw]
            some = of_rows.of(here)._replace(link=link)
            values = fitted_at(self._rates, name, at[here], some, position[here])
            if name == "respired":
                respired[here] = values
                values, here = respired, np.ones(len(rows), bool)
            sd = np.sqrt(self._variance[name][rows[here]] + self._misfit[name][draw] ** 2)
            noise = sd * draw_errors(rng, self._nu[draw], int(here.sum()))
            self.found[f"{name}_replicated"][draw, rows[here]] = np.maximum(values + noise, MIN_DELTA)
        self.found["respired"][draw, rows] = respired
        return fitted_at(self._rates, "bulk", self._bulk.row[rows], of_rows, position)


def draw_errors(rng: np.random.Generator, nu: float, count: int) -> NDArray[np.float64]:
    """Errors of unit scale: Student's t, or Normal where the degrees of freedom are infinite."""
    return rng.standard_t(nu, count) if np.isfinite(nu) else rng.standard_normal(count)


def _draw_positions(
    weight: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One draw of each row of weights (n, G), as a place among the nodes, 0 … G - 1, and the sum of the row.

    Each node represents a cell around it. First a run of nodes is drawn, then one of its nodes: a cumulative sum of the
    whole row would take three times as long.
    """
    runs = weight.reshape(len(weight), -1, RUN)
    run, rest, mass = _draw_index(runs @ np.ones(RUN, np.float32), rng.uniform(size=len(weight)))
    inside, rest, _ = _draw_index(runs[np.arange(len(runs)), run], rest)
    return np.clip(run * RUN + inside + rest - 0.5, 0, weight.shape[1] - 1), mass


def _draw_index(weight: NDArray, u: NDArray) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Column of each row where the cumulative weight passes the share `u` of its sum, how far into the column's own
    weight that is (0 … 1), and the sum.
    """
    cumulative = np.cumsum(weight, axis=1, dtype=float)
    target = u[:, None] * cumulative[:, -1:]
    index = np.minimum((cumulative < target).sum(axis=1), weight.shape[1] - 1)
    at = index[:, None]
    own = np.take_along_axis(weight, at, 1)[:, 0].astype(float)
    into = target[:, 0] - (np.take_along_axis(cumulative, at, 1)[:, 0] - own)
    share = np.divide(into, own, where=own > 0, out=np.full(len(u), 0.5))
    return index, np.clip(share, 0, 1), cumulative[:, -1]


def extend_profiles(
    fit: TurnoverFit, effect: NDArray[np.float64], layers: pd.DataFrame, *, seed: int
) -> NDArray[np.float32]:
    """log k of unmeasured layers of profiles whose effects were drawn.

    Parameters
    ----------
    fit : TurnoverFit
        What the hyperparameters are drawn from.
    effect : ndarray, shape (draw, profile)
        What `draw_layers` gives.
    layers : DataFrame
        `profile_index` as there, `top`, `bottom`, `biome`, and the covariates.
    seed : int
        Seed of the layers' own scatter.

    Returns
    -------
    ndarray, shape (draw, layer)
    """
    X, draws = design(layers, fit.components), fit.draws(len(effect))
    rng = np.random.default_rng(seed)
    profile = layers["profile_index"].to_numpy()
    out = np.empty((len(effect), len(layers)), np.float32)
    for m, sample in enumerate(_each(draws)):
        noise = sample["tau_layer"] * rng.standard_normal(len(layers))
        out[m] = X @ np.asarray(regression_vector(sample)) + effect[m, profile] + noise
    return np.clip(out, *LOG_K_RANGE)


class _Sampler:
    """Draws from blocks of layers: the effects of profiles, then densities of log k given these.

    Attributes
    ----------
    layers : list of ndarray
        For each block, the places of its layers in their table.
    """

    def __init__(
        self, fit: TurnoverFit, fine: TurnoverModel, layers: pd.DataFrame, atmosphere: Atmosphere, count: int | None
    ):
        with jax.enable_x64(True):
            self._nodes, nodes = jnp.asarray(fit.model.log_k), jnp.asarray(fine.log_k)
            self._blocks, self._levels = fit.model.data(layers, fit.components, atmosphere)
            blocks, _ = fine.data(layers, fit.components, atmosphere)
            # Single precision is ample for drawing, and there are many nodes.
            single = jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == float else a, (nodes, blocks))
            self._fine_nodes, self._fine_blocks = single
        self._draws, self._names, self._student = _each(fit.draws(count)), fit.model.levels, fit.model.student
        units = 0 if self._levels is None else sum(len(order) for order in self._levels.order)
        self._uniforms = units + sum(len(block.profile_order) for block in self._blocks)
        self.layers = [np.asarray(block.layer_order) for block in self._blocks]

    def effects(self, m: int, rng: np.random.Generator) -> list[tuple[NDArray, NDArray, NDArray]]:
        """For each block its profiles, their effects, and their log likelihoods, under draw `m`."""
        with jax.enable_x64(True):
            found = _effects(
                self._blocks,
                self._levels,
                self._nodes,
                self._draws[m],
                jnp.asarray(rng.uniform(size=self._uniforms)),
                names=self._names,
                student=self._student,
            )
        by_block = zip(self._blocks, *found, strict=True)
        return [(np.asarray(b.profile_order), np.asarray(effect), np.asarray(value)) for b, effect, value in by_block]

    def densities(self, number: int, m: int, effect: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
        """Unnormalised density of log k of each layer of a block at the fine nodes, given the effects of its profiles,
        and the scale of each measurement's error, ‰.
        """
        single = {name: np.float32(value) for name, value in self._draws[m].items()}
        block, student = self._fine_blocks[number], self._student
        with jax.enable_x64(True):
            found = _densities(block, self._fine_nodes, single, np.float32(effect), student=student)
        return np.asarray(found[0]), np.asarray(found[1])


@partial(jax.jit, static_argnames=("names", "student"))
def _effects(
    blocks: tuple[Block, ...],
    levels: Levels | None,
    log_k: Array,
    sample: dict[str, Array],
    uniform: Array,
    *,
    names: tuple[str, ...],
    student: bool,
) -> tuple[list[Array], list[Array]]:
    by_effect = likelihoods_of_effects(sample, blocks, log_k, student=student)
    together = scales(sample, blocks[0], names, student=student)
    return draw_effects(by_effect, blocks, levels, together, uniform, student=student)


@partial(jax.jit, static_argnames="student")
def _densities(
    block: Block, log_k: Array, sample: dict[str, Array], effect: Array, *, student: bool
) -> tuple[Array, Array]:
    """Density of log k of each layer given its profile's effect, 1 at its highest, (layer, G); scale of its error."""
    centre = product(block.design, regression_vector(sample)) + effect[block.profile]
    spread = scales(sample, block, student=student)
    _, depth = log_density(block.data, spread, student=student)
    z = (log_k - centre[:, None]) / spread.tau_layer
    exponent = block.measured[:, None] * depth - 0.5 * z**2
    sd = jnp.sqrt(block.data.known_variance + spread.model_sd**2)
    return jnp.exp(exponent - exponent.max(axis=1, keepdims=True)), sd


def _each(draws: dict[str, NDArray]) -> list[dict[str, NDArray]]:
    return [{name: value[i] for name, value in draws.items()} for i in range(len(draws["tau_layer"]))]
