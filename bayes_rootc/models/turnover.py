r"""The hierarchical model of turnover: how log k falls with depth, differs between biomes and places, and scatters.

For layer i of profile p in biome b, with depth functions d (log(1 + z/10 cm) and z/1 m, both 0 at 30 cm) and
principal components x of soil, climate and topography:

.. math::
    \log k_i &\sim \mathrm{Normal}(\beta_0 + u_b + (\beta + v_b)\cdot d_i + \gamma\cdot x_p + a_p,\
    \tau_\mathrm{layer}), \qquad a_p \sim \mathrm{Student}_\eta(0, \tau_\mathrm{profile}\,\rho_b\,e^{\pm s}) \\
    \Delta^{14}\mathrm{C}_i &\sim \mathrm{Student}_\nu(F(k_i, \mathrm{year}_i, \mathrm{zone}_i),\
    \sigma_i \oplus \sigma_\mathrm{atmosphere} \oplus \sigma_\mathrm{model}\,\exp(w \cdot m_i))

Profiles of some biomes differ more than those of others (ρ), a few by far more than most (η), and more of these are old
than young (s < 0: the scale is smaller above 0 than below): peat that grew, or carbon of the Pleistocene, among
ordinary soil. One pool is farther from the truth in some biomes, depths and years (m) than in others: in the
seventies, bomb carbon was in fast pools only. Spreads of u, v and γ are unknown (`spread`).

A sampler that keeps the thousands of log k as parameters creeps: some 500 steps a draw, and chains that start on the
young side of the bomb peak, where a measurement has its second solution, may stay there (`benchmarks/latent_k.py`).
Here log k and a_p are summed out exactly (`marginal`), and what is sampled is smooth and has some 60 dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from jax import Array
from numpy.typing import NDArray
from scipy.stats import t as student_t

from ..constants import BIOMES
from ..data.atmosphere import Atmosphere, Prehistory
from .components import Components
from .marginal import (
    Block,
    ManyRates,
    OnePool,
    Scales,
    log_density_at_zero,
    make_blocks,
    one_pool,
    product,
    profile_log_likelihood,
)
from .radiocarbon import LOG_K_RANGE, atmosphere_sd, predicted_table
from .rates import MAX_SPREAD, fine_log_k, mean_of, mean_table
from .spread import UnknownSpread

REFERENCE_DEPTH_CM = 30.0
DEPTH_FORMS = ("log(1 + depth/10 cm)", "depth/1 m")
PERIODS = ((1950, 1970), (1970, 1990), (1990, 2005), (2005, 2100))
"""Periods of sampling, between which the misfit may differ; earlier years count to the first, later ones to the
last."""

PERIOD_NAMES = ("before 1970", "1970-1989", "1990-2004", "since 2005")

N_BIOMES = len(BIOMES)
MAX_REFINEMENT = 2.0
"""Factor by which a grid is refined at once."""

PRIORS: dict[str, tuple[tuple[float, float], str, str]] = {
    "mean_log_k": ((-6.5, 1.5), "normal", "age at 30 cm between 35 and 12,500 yr (95 %)"),
    "slope_log": ((-1.0, 1.0), "normal", "age grows with depth in nearly every published profile"),
    "slope_linear": ((0.0, 1.0), "normal", "either sign: how age grows farther below"),
    "biome_sd": ((float(np.log(0.5)), 0.6), "log-normal", "biomes differ by a factor of 1.2 to 5 either way"),
    "slope_sd": ((float(np.log(0.3)), 0.6), "log-normal", "their slopes by less than the slope itself"),
    "coefficient_sd": ((float(np.log(0.1)), 0.6), "log-normal", "a standard deviation of a component, by 3 to 40 %"),
    "tau_profile": ((float(np.log(0.7)), 0.5), "log-normal", "neighbouring profiles differ by a factor of 1.3 to 7"),
    "log_profile_scale": ((0.0, 0.5), "normal", "of a biome's spread over tau_profile: a factor of 0.4 to 2.7"),
    "nu_profile_minus_1": ((float(np.log(4.0)), 0.8), "log-normal", "few profiles far off, to nearly Normal"),
    "profile_skew": ((0.0, 0.3), "normal", "old profiles may be farther off than young ones, or nearer, by up to 3.2"),
    "tau_layer": ((float(np.log(0.7)), 0.5), "log-normal", "layers about their profile's curve likewise"),
    "model_sd": ((float(np.log(30.0)), 0.5), "log-normal", "misfit of a one-pool model, 11 to 80 ‰"),
    "log_spread": (
        (0.0, 0.5),
        "normal",
        "rates within a layer at 30 cm differ by a factor of 1.5 to 14 (one s either way)",
    ),
    "spread_slope": ((0.0, 0.3), "normal", "they may differ more, or less, with depth"),
    "respired_sd": ((float(np.log(50.0)), 0.5), "log-normal", "misfit of respired carbon, 19 to 130 ‰"),
    "study_sd": ((float(np.log(0.4)), 0.5), "log-normal", "studies differ by a factor of 1.2 to 3"),
    "log_misfit": ((0.0, 0.25), "normal", "that of a biome, period or step of depth differs by a factor of 0.6 to 1.6"),
    "nu_minus_1": ((float(np.log(3.0)), 1.0), "log-normal", "from a heavy tail with a mean to nearly Normal"),
}
"""Location and scale, family, and reason of each prior."""


@dataclass(frozen=True)
class TurnoverModel:
    """What may be chosen of the model.

    Attributes
    ----------
    prehistory : {"steady", "intcal20"}
        State of the carbon in 1950.
    error : {"student", "normal"}
        Distribution of a measurement about the model, robust or not.
    pool_spread : float or "inferred"
        Standard deviation s of log k *within* a layer (`rates`); 0 is the paper's one homogeneous pool. "inferred": it
        changes with depth, and what layers respire tells it. log k is then the centre of the rates.
    grid : int
        Nodes of log k.
    refine : float
        Factor on the nodes of the profile effect.
    by_study : bool
        Whether log k also differs between studies.
    studies : tuple of str
        Studies with several profiles, whose effects are sampled. The effect of another study is part of its profiles'.
    """

    prehistory: Prehistory = "steady"
    error: Literal["student", "normal"] = "student"
    pool_spread: float | Literal["inferred"] = 0.0
    grid: int = 220
    refine: float = 0.7
    by_study: bool = False
    studies: tuple[str, ...] = ()

    def with_studies(self, layers: pd.DataFrame) -> TurnoverModel:
        """With the studies that have measured layers in several profiles."""
        if not self.by_study:
            return self
        known = layers[layers["delta14c"].notna() | np.isfinite(_respired(layers))]
        count = known.groupby("study")["profile_index"].nunique()
        return replace(self, studies=tuple(sorted(str(study) for study in count.index[count > 1])))

    @property
    def student(self) -> bool:
        """Whether errors are Student's t."""
        return self.error == "student"

    @property
    def log_k(self) -> NDArray[np.float64]:
        """Nodes of log k."""
        return np.linspace(*LOG_K_RANGE, self.grid)

    @property
    def inferred(self) -> bool:
        """Whether the spread of rates within a layer is inferred."""
        return self.pool_spread == "inferred"

    def refined(self, error: tuple[float, float], limit: float) -> TurnoverModel:
        """With more nodes of log k, and of the profile effect, where the error of these is above the limit: it falls at
        least with the square of their number.
        """
        grid, effect = (min(np.sqrt(max(e / limit, 1.0)), MAX_REFINEMENT) for e in error)
        return replace(self, grid=int(np.ceil(self.grid * grid)), refine=self.refine * effect)

    def predicted(self, layers: pd.DataFrame, atmosphere: Atmosphere) -> NDArray[np.float64]:
        """Δ14C (‰) of layers (`year`, `zone`) at each node, (layer, grid); of one pool if the spread is inferred."""
        year, zone = layers["year"].to_numpy(float), layers["zone"].to_numpy(str)
        if self.inferred or self.pool_spread == 0:
            return predicted_table(np.exp(self.log_k), year, zone, self.prehistory, atmosphere)
        table = predicted_table(np.exp(fine_log_k()), year, zone, self.prehistory, atmosphere)
        return mean_of(table, self.log_k, float(self.pool_spread))

    def mean_tables(self, layers: pd.DataFrame, atmosphere: Atmosphere) -> MeanTables:
        """Δ14C (‰) of bulk and of respired carbon at every node and spread of rates.

        Parameters
        ----------
        layers : DataFrame
            `year`, `zone`; of incubated layers `respired` (‰) and `respired_days`, the length of the incubation.
        atmosphere : Atmosphere
            Its curves.

        Returns
        -------
        MeanTables
        """
        rows, row = np.unique(layers[["year", "zone"]].to_records(index=False), return_inverse=True)
        years, zones = rows["year"].astype(float), rows["zone"].astype(str)
        k = np.exp(fine_log_k())
        values = predicted_table(k, years, zones, self.prehistory, atmosphere)
        log_k, length = self.log_k, _days(layers) / DAYS_PER_YEAR
        incubated = np.flatnonzero(np.isfinite(_respired(layers)))
        weight = -np.expm1(-k * length[incubated, None])
        respired = mean_table(values[row[incubated]], log_k, weight)
        return MeanTables(mean_table(values, log_k), mean_table(values, log_k, k), row, respired, incubated)

    def blocks(self, layers: pd.DataFrame, components: Components, atmosphere: Atmosphere) -> tuple[Block, ...]:
        """Layers as the likelihood takes them.

        Parameters
        ----------
        layers : DataFrame
            `year`, `zone`, `top`, `bottom` (cm), `biome` (1–9), `profile_index`, the covariates; `delta14c` and `sigma`
            (‰), NaN where nothing was measured.
        components : Components
            How covariates become components.
        atmosphere : Atmosphere
            Its curves.

        Returns
        -------
        tuple of Block
        """
        observed = layers["delta14c"].to_numpy(float)
        measured = np.isfinite(observed)
        year, zone = layers["year"].to_numpy(float), layers["zone"].to_numpy(str)
        known = np.nan_to_num(layers["sigma"].to_numpy(float)) ** 2 + atmosphere_sd(year, zone, atmosphere) ** 2
        bulk = np.where(measured, observed, 0.0)
        _, first, profile = np.unique(layers["profile_index"], return_index=True, return_inverse=True)
        group = layers["biome"].to_numpy(int)[first] - 1
        if self.by_study:
            group = group + N_BIOMES * ~_study(layers).isin(self.studies).to_numpy()[first]
        X, M = design(layers, components, self.studies), misfit_design(layers)
        data: OnePool | ManyRates
        if self.inferred:
            means = self.mean_tables(layers, atmosphere)
            sigma = layers["respired_sigma"].to_numpy(float)[means.incubated] if len(means.incubated) else np.empty(0)
            data = ManyRates(
                bulk=means.bulk,
                bulk_row=means.row,
                bulk_observed=bulk,
                bulk_measured=measured.astype(float),
                known_variance=known,
                respired=means.respired,
                layer=means.incubated,
                respired_row=np.arange(len(means.incubated)),
                respired_observed=_respired(layers)[means.incubated],
                respired_variance=sigma**2,
                spread_design=spread_design(layers),
            )
            measured = measured | np.isfinite(_respired(layers))
        else:
            data = one_pool(bulk[:, None] - self.predicted(layers, atmosphere), known)
        return make_blocks(data, measured, X, M, profile, group, refine=self.refine)


class MeanTables(NamedTuple):
    """Δ14C (‰) over spreads of rates and nodes of their centre.

    Attributes
    ----------
    bulk, flux : ndarray, shape (row, spread, grid)
        Mean by carbon, and by what respires at one moment.
    row : ndarray of int, shape (layer,)
        Row of each layer.
    respired : ndarray, shape (incubated, spread, grid)
        Mean by what respires during an incubation.
    incubated : ndarray of int, shape (incubated,)
        Layers whose CO₂ was measured.
    """

    bulk: NDArray[np.float32]
    flux: NDArray[np.float32]
    row: NDArray[np.int64]
    respired: NDArray[np.float32]
    incubated: NDArray[np.int64]


DAYS_PER_YEAR = 365.25


def _respired(layers: pd.DataFrame) -> NDArray[np.float64]:
    """Δ14C of the CO₂ that layers respired (‰), NaN where it was not measured."""
    return layers["respired"].to_numpy(float) if "respired" in layers else np.full(len(layers), np.nan)


def _days(layers: pd.DataFrame) -> NDArray[np.float64]:
    return layers["respired_days"].to_numpy(float) if "respired_days" in layers else np.full(len(layers), np.nan)


def spread_design(layers: pd.DataFrame) -> NDArray[np.float64]:
    """What log s depends on, in the order of `spread_of`: depth (its log form); (layer, 2)."""
    depth = depth_functions((layers["top"] + layers["bottom"]) / 2)[:, :1]
    return np.concatenate([np.ones((len(layers), 1)), depth], axis=1)


def spread_of(D: Any, sample: Mapping[str, Any]) -> Array:
    """Spread s of log k within each layer, (layer,), from one draw of the hyperparameters."""
    v = sample
    w = jnp.stack([jnp.asarray(v["log_spread"]), jnp.asarray(v["spread_slope"])])
    return jnp.minimum(jnp.exp(product(D, w)), MAX_SPREAD)


def depth_functions(depth: Any) -> NDArray[np.float64]:
    """Both forms of depth (cm), 0 at the reference depth: shape (…, 2). k falls steeply in the first decimetres and may
    go on falling evenly below.
    """
    depth = np.asarray(depth, float)
    forms = np.stack([np.log1p(depth / 10), depth / 100], axis=-1)
    return forms - np.array([np.log1p(REFERENCE_DEPTH_CM / 10), REFERENCE_DEPTH_CM / 100])


def _study(layers: pd.DataFrame) -> pd.Series:
    """Name of each layer's study; all are of none where the table does not say."""
    return layers["study"].astype(str) if "study" in layers else pd.Series("", layers.index)


def design(layers: pd.DataFrame, components: Components, studies: tuple[str, ...] = ()) -> NDArray[np.float64]:
    """Design matrix, in the order of `regression_vector`: shape (layer, p)."""
    depth = depth_functions((layers["top"] + layers["bottom"]) / 2)
    biome = layers["biome"].to_numpy(int)[:, None] == np.array(list(BIOMES))
    by_biome = [biome * d for d in (1.0, depth[:, :1], depth[:, 1:])]
    parts = [np.ones((len(layers), 1)), depth, *by_biome, components.scores(layers)]
    if studies:
        parts.append(_study(layers).to_numpy()[:, None] == np.array(studies))
    return np.concatenate(parts, axis=1)


def regression_vector(sample: Mapping[str, Any]) -> Array:
    """Coefficients of the design matrix from one draw of the hyperparameters."""
    v = sample
    fixed = jnp.concatenate([jnp.atleast_1d(v["mean_log_k"]), v["slope"]])
    studies = [v["study_effect"]] if "study_effect" in v else []
    return jnp.concatenate([fixed, v["biome_offset"], v["slope_offset"].ravel(), v["coefficient"], *studies])


def profile_quantile(share: Any, scale: Any, skew: Any, nu: Any) -> NDArray[np.float64]:
    """Quantile of the effect of profiles; arguments broadcast. Two halves of Student's t meet at 0, of which each holds
    a share in proportion to its scale.
    """
    below, above = scale * np.exp(-np.asarray(skew)), scale * np.exp(skew)
    both = below + above
    left = below * student_t.ppf(np.minimum(share * both / (2 * below), 0.5), nu)
    right = above * student_t.isf(np.minimum((1 - share) * both / (2 * above), 0.5), nu)
    return np.where(share * both <= below, left, right)


def misfit_design(layers: pd.DataFrame) -> NDArray[np.float64]:
    """What the misfit depends on, in the order of `misfit_sd`: depth (its log form), biome, period; (layer, q)."""
    depth = depth_functions((layers["top"] + layers["bottom"]) / 2)[:, :1]
    biome = layers["biome"].to_numpy(int)[:, None] == np.array(list(BIOMES))
    period = period_of(layers["year"])[:, None] == np.arange(len(PERIODS))
    return np.concatenate([depth, biome, period], axis=1)


def period_of(year: Any) -> NDArray[np.int64]:
    """Number of the period of sampling, from 0."""
    return np.searchsorted([start for start, _ in PERIODS[1:]], np.asarray(year, float), side="right")


def misfit_sd(M: Any, sample: Mapping[str, Any]) -> Array:
    """Misfit (‰) of each row of a misfit design, (layer,), from one draw of the hyperparameters."""
    v = sample
    w = jnp.concatenate([jnp.atleast_1d(v["misfit_depth"]), v["misfit_biome"], v["misfit_period"]])
    return v["model_sd"] * jnp.exp(product(M, w))


def scales(sample: Mapping[str, Any], block: Block, *, student: bool) -> Scales:
    """Spreads of a block's layers and profiles from one draw of the hyperparameters."""
    many = isinstance(block.data, ManyRates)
    return Scales(
        sample["tau_layer"],
        misfit_sd(block.misfit_design, sample),
        sample["nu"],
        log_density_at_zero(sample["nu"], student=student),
        sample["tau_profile"] * sample["profile_scale"],
        sample["nu_profile"],
        sample["profile_skew"],
        spread=spread_of(block.data.spread_design, sample) if many else None,
        respired_sd=sample["respired_sd"] if many else None,
        study_sd=sample.get("study_sd"),
    )


def log_likelihood(sample: dict[str, Array], blocks: tuple[Block, ...], log_k: Array, *, student: bool) -> list[Array]:
    """Log marginal likelihood of the profiles of each block."""
    beta = regression_vector(sample)
    return [
        profile_log_likelihood(b, log_k, b.design @ beta, scales(sample, b, student=student), student=student)
        for b in blocks
    ]


@dataclass(frozen=True)
class Structure:
    """What decides which hyperparameters there are.

    Attributes
    ----------
    components : int
        Number of components of the covariates.
    biomes : tuple of int
        Biomes with layers, 1–9, whose effects are sampled; those of the others are 0 until they are drawn afterwards,
        like the standard deviations of effects (`complete`).
    student : bool
        Whether errors are Student's t.
    inferred : bool
        Whether the spread of rates within a layer is inferred.
    by_study : bool
        Whether log k differs between studies.
    studies : int
        Number of studies whose effects are sampled.
    """

    components: int
    biomes: tuple[int, ...]
    student: bool
    inferred: bool
    by_study: bool = False
    studies: int = 0

    @classmethod
    def of(cls, model: TurnoverModel, components: int, biomes: tuple[int, ...]) -> Structure:
        """The structure of a variant of the model."""
        return cls(components, biomes, model.student, model.inferred, model.by_study, len(model.studies))


SPREAD_NAMES = ("log_spread", "spread_slope", "respired_sd")
"""Hyperparameters that are there where the spread of rates is inferred."""


def turnover_model(
    blocks: tuple[Block, ...] | None, log_k: Array, structure: Structure, *, known_spread: Any = 0.0
) -> None:
    """The NumPyro model of the hyperparameters.

    Parameters
    ----------
    blocks : tuple of Block, or None
        Layers; without them, the model is the prior.
    log_k : Array, shape (G,)
        Nodes of log k.
    structure : Structure
    known_spread : float or Array
        As in `hyperparameters`.
    """
    sample = hyperparameters(structure, known_spread=known_spread)
    if blocks is not None:
        by_block = log_likelihood(sample, blocks, log_k, student=structure.student)
        numpyro.factor("layers", sum(p.sum() for p in by_block))


EFFECTS = {"biome_effect": "biome_sd", "slope_effect": "slope_sd", "coefficient": "coefficient_sd"}
"""Effects whose standard deviations are integrated out, and the names of these."""


def prior_medians(structure: Structure) -> dict[str, Any]:
    """Median of what `hyperparameters` samples, by name: where a search for the mode starts."""
    have = len(structure.biomes)
    shapes: dict[str, tuple[int, ...]] = {"misfit_biome": (N_BIOMES,), "misfit_period": (len(PERIODS),)}
    shapes |= {"log_profile_scale": (have,)}
    left_out = [*EFFECTS.values(), "log_misfit"]
    left_out += [] if structure.inferred else SPREAD_NAMES
    left_out += [] if structure.by_study else ["study_sd"]
    medians: dict[str, Any] = {
        name: np.full(shapes.get(name, ()), location if family == "normal" else np.exp(location))
        for name, ((location, _), family, _) in PRIORS.items()
        if name not in left_out
    }
    medians |= {name: np.zeros(shapes[name]) for name in ("misfit_biome", "misfit_period")} | {"misfit_depth": 0.0}
    effects = {"biome_effect": (have,), "slope_effect": (2, have), "coefficient": (structure.components,)}
    effects |= {"study_effect": (structure.studies,)} if structure.studies else {}
    return medians | {name: np.zeros(shape) for name, shape in effects.items()}


def prior_draws(structure: Structure, count: int, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Draws from the prior, of what `hyperparameters` samples and of what follows from it: (draw, …)."""

    def draw(prior: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        (location, scale), family, _ = PRIORS[prior]
        value = location + scale * rng.standard_normal((count, *shape))
        return value if family == "normal" else np.exp(value)

    sites: dict[str, NDArray[np.float64]] = {}
    for name, median in prior_medians(structure).items():
        shape = np.shape(median)
        if name == "study_effect":
            sites[name] = sites["study_sd"][:, None] * rng.standard_normal((count, *shape))
        elif name in EFFECTS:
            sites[name] = draw(EFFECTS[name], (*shape[:-1], 1)) * rng.standard_normal((count, *shape))
        else:
            sites[name] = draw("log_misfit" if name.startswith("misfit") else name, shape)

    def everything(site: dict[str, Array]) -> dict[str, Array]:
        model = numpyro.handlers.substitute(hyperparameters, data=site)
        trace = numpyro.handlers.trace(model).get_trace(structure)
        return {name: found["value"] for name, found in trace.items()}

    with jax.enable_x64(True):
        return {name: np.asarray(value) for name, value in jax.jit(jax.vmap(everything))(sites).items()}


def hyperparameters(structure: Structure, *, known_spread: Any = 0.0) -> dict[str, Any]:
    """Draws the hyperparameters from their priors, except for the standard deviations of effects, which are integrated
    out.

    Parameters
    ----------
    structure : Structure
        Which hyperparameters there are.
    known_spread : float or Array
        1 puts the standard deviations of effects at the median of their prior; the effects are then Normal.

    Returns
    -------
    dict of str to Array
        Hyperparameters, and what follows from them, by name.
    """
    have, n_components = np.array(structure.biomes) - 1, structure.components

    def prior(name: str) -> dist.Distribution:
        (location, scale), family, _ = PRIORS[name]
        return (dist.Normal if family == "normal" else dist.LogNormal)(location, scale)

    def effects(name: str, spread: str, size: int, batch: tuple[int, ...] = ()) -> Array:
        location, scale = PRIORS[spread][0]
        return numpyro.sample(name, UnknownSpread(location, scale, size, batch, known_spread).to_event())

    s: dict[str, Any] = {"mean_log_k": numpyro.sample("mean_log_k", prior("mean_log_k"))}
    slopes = [numpyro.sample(name, prior(name)) for name in ("slope_log", "slope_linear")]
    s["slope"] = numpyro.deterministic("slope", jnp.stack(slopes))
    offset, by_slope = (
        effects("biome_effect", "biome_sd", len(have)),
        effects("slope_effect", "slope_sd", len(have), (2,)),
    )
    s["biome_offset"] = numpyro.deterministic("biome_offset", jnp.zeros(N_BIOMES).at[have].set(offset))
    s["slope_offset"] = numpyro.deterministic("slope_offset", jnp.zeros((2, N_BIOMES)).at[:, have].set(by_slope))
    s["coefficient"] = effects("coefficient", "coefficient_sd", n_components) if n_components else jnp.zeros(0)
    rates = SPREAD_NAMES if structure.inferred else ()
    studies = ("study_sd",) if structure.by_study else ()
    for name in ("tau_profile", "profile_skew", "tau_layer", "model_sd", *rates, *studies):
        s[name] = numpyro.sample(name, prior(name))
    if structure.studies:
        effect = dist.Normal(0, s["study_sd"]).expand([structure.studies]).to_event(1)
        s["study_effect"] = numpyro.sample("study_effect", effect)
    s["misfit_depth"] = numpyro.sample("misfit_depth", prior("log_misfit"))
    for name, size in (("misfit_biome", N_BIOMES), ("misfit_period", len(PERIODS))):
        s[name] = numpyro.sample(name, prior("log_misfit").expand([size]).to_event(1))
    by_biome = numpyro.sample("log_profile_scale", prior("log_profile_scale").expand([len(have)]).to_event(1))
    s["profile_scale"] = numpyro.deterministic("profile_scale", jnp.ones(N_BIOMES).at[have].set(jnp.exp(by_biome)))
    s["nu_profile"] = numpyro.deterministic(
        "nu_profile", 1 + numpyro.sample("nu_profile_minus_1", prior("nu_profile_minus_1"))
    )
    s["nu"] = jnp.inf
    if structure.student:
        s["nu"] = numpyro.deterministic("nu", 1 + numpyro.sample("nu_minus_1", prior("nu_minus_1")))
    return s
