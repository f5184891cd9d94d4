r"""The hierarchical model of turnover: how log k falls with depth, differs between biomes and places, and scatters.

For layer i of profile p in biome b, with depth functions d (log(1 + z/10 cm) and z/1 m, both 0 at 30 cm) and
principal components x of soil, climate and topography:

.. math::
    \log k_i &\sim \mathrm{Normal}(\beta_0 + u_b + (\beta + v_b)\cdot d_i + \gamma\cdot x_p + a_p,\
    \tau_\mathrm{layer}), \qquad a_p \sim \mathrm{Student}_\eta(g_p, \tau_\mathrm{profile}\,\rho_b\,e^{\pm s}) \\
    \Delta^{14}\mathrm{C}_i &\sim \mathrm{Student}_\nu(F(k_i, \mathrm{year}_i, \mathrm{zone}_i),\
    \sigma_i \oplus \sigma_\mathrm{atmosphere} \oplus \sigma_\mathrm{model}\,\exp(w \cdot m_i))

Profiles of some biomes differ more than those of others (ρ), a few by far more than most (η), and more of these are old
than young (s < 0: the scale is smaller above 0 than below): peat that grew, or carbon of the Pleistocene, among
ordinary soil. What a profile has in common with others of its site, and these with others of their study, is g_p, a sum
of two Normal effects. One pool is farther from the truth in some biomes, depths and years (m) than in others: in the
seventies, bomb carbon was in fast pools only. Spreads of u, v and γ are unknown (`spread`).

A sampler that keeps the thousands of log k as parameters creeps: some 500 steps a draw, and chains that start on the
young side of the bomb peak, where a measurement has its second solution, may stay there (`benchmarks/latent_k.py`).
Here log k and all effects of profiles, sites and studies are summed out exactly (`marginal`), and what is sampled is
smooth and has some 60 dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from jax import Array
from numpy.typing import NDArray
from scipy.stats import t as student_t

from ..constants import BIOMES, DAYS_PER_YEAR
from ..data.atmosphere import Atmosphere, Prehistory
from .components import Components
from .marginal import Block, Levels, log_likelihood_of_effects, log_likelihoods, make_blocks, make_levels, product
from .measurements import ManyRates, Measured, OnePool, Scales, log_density_at_zero, measured, one_pool
from .radiocarbon import LOG_K_RANGE, atmosphere_sd, predicted_table
from .rates import (
    MAX_SPREAD,
    Family,
    FamilyName,
    LogNormal,
    Shape,
    TwoPools,
    fine_log_k,
    mean_of,
    mean_table,
    padded,
    parts_table,
)
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

type Level = Literal["site", "study"]

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
    "logit_fast": ((-1.0, 1.0), "normal", "5 to 72 % of a layer's carbon at 30 cm is in the faster of two pools"),
    "fast_slope": ((0.0, 0.5), "normal", "its share may fall, or rise, with depth"),
    "logit_link": ((0.0, 1.0), "normal", "light carbon is fast carbon, from hardly to nearly as strongly as can be"),
    "parts_sd": ((float(np.log(50.0)), 0.5), "log-normal", "misfit of light less heavy carbon, 19 to 130 ‰"),
    "site_sd": ((float(np.log(0.3)), 0.5), "log-normal", "sites of a study differ by a factor of 1.1 to 2.2"),
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
    grid : int, optional
        Nodes of log k; by default as many as one pool needs, or, with means over rates being smoother, fewer.
    refine : float, optional
        Factor on the nodes of the profile effect; by default more with levels than without.
    family : {"log-normal", "two pools"}
        How rates within a layer are distributed, where their spread is inferred.
    levels : tuple of {"site", "study"}
        What profiles have in common with others, from the lowest level up: log k also differs between sites, and
        between studies. A fit drops those that its table does not have (`with_levels`).
    """

    prehistory: Prehistory = "intcal20"
    error: Literal["student", "normal"] = "student"
    pool_spread: float | Literal["inferred"] = 0.0
    grid: int | None = None
    refine: float | None = None
    family: FamilyName = "log-normal"
    levels: tuple[Level, ...] = ()

    def with_levels(self, layers: pd.DataFrame) -> TurnoverModel:
        """With those levels of which the table can tell the size: in which some units have several members."""
        members = int(layers["profile_index"].nunique())
        kept: list[Level] = []
        for level in self.levels:
            if level in layers:
                units = len(np.unique(unit_of(layers, level)))
                if members - units >= MIN_SHARED and units >= MIN_SHARED:
                    kept.append(level)
                    members = units
        return replace(self, levels=tuple(kept))

    @property
    def student(self) -> bool:
        """Whether errors are Student's t."""
        return self.error == "student"

    @property
    def nodes(self) -> int:
        """Number of nodes of log k."""
        return self.grid or (192 if self.inferred else 220)

    @property
    def refinement(self) -> float:
        """Factor on the nodes of the profile effect."""
        return self.refine or (1.1 if self.levels else 0.9 if self.inferred else 0.7)

    @property
    def log_k(self) -> NDArray[np.float64]:
        """Nodes of log k."""
        return np.linspace(*LOG_K_RANGE, self.nodes)

    @property
    def inferred(self) -> bool:
        """Whether the spread of rates within a layer is inferred."""
        return self.pool_spread == "inferred"

    def refined(self, error: tuple[float, float], limit: float) -> TurnoverModel:
        """With more nodes of log k, and of the profile effect, where the error of these is above the limit: it falls at
        least with the square of their number.
        """
        grid, effect = (min(np.sqrt(max(e / limit, 1.0)), MAX_REFINEMENT) for e in error)
        return replace(self, grid=int(np.ceil(self.nodes * grid)), refine=self.refinement * effect)

    def predicted(self, layers: pd.DataFrame, atmosphere: Atmosphere) -> NDArray[np.float64]:
        """Δ14C (‰) of layers (`year`, `zone`) at each node, (layer, grid); of one pool if the spread is inferred."""
        year, zone = layers["year"].to_numpy(float), layers["zone"].to_numpy(str)
        if self.inferred or self.pool_spread == 0:
            return predicted_table(np.exp(self.log_k), year, zone, self.prehistory, atmosphere)
        table = predicted_table(np.exp(fine_log_k()), year, zone, self.prehistory, atmosphere)
        return mean_of(table, self.log_k, float(self.pool_spread))

    def many_rates(self, layers: pd.DataFrame, atmosphere: Atmosphere, *, flux: bool = False) -> ManyRates:
        """What was measured of layers with many rates each, and the Δ14C that such rates give.

        Parameters
        ----------
        layers : DataFrame
            As in `data`; of incubated layers `respired` and `respired_sigma` (‰), and `respired_days`, the length of
            the incubation; of layers whose carbon was parted by density `light_less_heavy` and
            `light_less_heavy_sigma` (‰), and `light_share`. A layer with a length, or a share, but no Δ14C is one that
            is held out.
        atmosphere : Atmosphere
            Its curves.
        flux : bool
            With means of what respires at one moment, which no likelihood needs.

        Returns
        -------
        ManyRates
            In NumPy's arrays.
        """
        rows, row = np.unique(layers[["year", "zone"]].to_records(index=False), return_inverse=True)
        years, zones = rows["year"].astype(float), rows["zone"].astype(str)
        days, share = (column(layers, name) for name in ("respired_days", "light_share"))
        incubated, parted = np.flatnonzero(np.isfinite(days)), np.flatnonzero(np.isfinite(share))
        length, rates = days[incubated] / DAYS_PER_YEAR, self.family
        made: Family
        if rates == "two pools":
            values = predicted_table(np.exp(self.log_k), years, zones, self.prehistory, atmosphere)
            made = TwoPools(padded(values), self.log_k, row[incubated], row[parted], length, share[parted])
        else:
            k = np.exp(fine_log_k())
            values = predicted_table(k, years, zones, self.prehistory, atmosphere)
            respired = mean_table(values[row[incubated]], self.log_k, -np.expm1(-k * length[:, None]))
            parts = parts_table(values[row[parted]], self.log_k, share[parted])
            made = LogNormal(
                mean_table(values, self.log_k), respired, parts, mean_table(values, self.log_k, k) if flux else None
            )
        year, zone = layers["year"].to_numpy(float), layers["zone"].to_numpy(str)
        air = atmosphere_sd(year, zone, atmosphere) ** 2

        def column_of(name: str, sigma: str, at: NDArray[np.int64], row: NDArray[np.int64], more: Any) -> Measured:
            value = column(layers, name)[at]
            known = np.nan_to_num(column(layers, sigma)[at]) ** 2 + more
            there = np.isfinite(value).astype(float)
            return measured(at, row, np.nan_to_num(value), known, there, layers=len(layers))

        return ManyRates(
            made,
            column_of("delta14c", "sigma", np.arange(len(layers)), row, air),
            column_of("respired", "respired_sigma", incubated, np.arange(len(incubated)), 0.0),
            column_of("light_less_heavy", "light_less_heavy_sigma", parted, np.arange(len(parted)), 0.0),
            spread_design(layers),
        )

    def data(
        self, layers: pd.DataFrame, components: Components, atmosphere: Atmosphere
    ) -> tuple[tuple[Block, ...], Levels | None]:
        """Layers as the likelihood takes them, and what their profiles have in common.

        Parameters
        ----------
        layers : DataFrame
            `year`, `zone`, `top`, `bottom` (cm), `biome` (1–9), `profile_index`, the covariates; `delta14c` and `sigma`
            (‰), NaN where nothing was measured; `site` and `study`, without which each profile is of its own; and
            columns of `many_rates`.
        components : Components
            How covariates become components.
        atmosphere : Atmosphere
            Its curves.

        Returns
        -------
        blocks : tuple of Block
        levels : Levels or None
        """
        observed = layers["delta14c"].to_numpy(float)
        known = np.isfinite(observed)
        _, first, profile = np.unique(layers["profile_index"], return_index=True, return_inverse=True)
        group = layers["biome"].to_numpy(int)[first] - 1
        X, M = design(layers, components), misfit_design(layers)
        data: OnePool | ManyRates
        if self.inferred:
            data = self.many_rates(layers, atmosphere)
            for kind in (data.respired, data.parts):
                known[kind.layer[kind.there > 0]] = True
        else:
            year, zone = layers["year"].to_numpy(float), layers["zone"].to_numpy(str)
            variance = np.nan_to_num(layers["sigma"].to_numpy(float)) ** 2 + atmosphere_sd(year, zone, atmosphere) ** 2
            bulk = np.where(known, observed, 0.0)
            data = one_pool(bulk[:, None] - self.predicted(layers, atmosphere), variance)
        blocks = make_blocks(data, known, X, M, profile, group, refine=self.refinement, levels=bool(self.levels))
        units = [pd.factorize(unit_of(layers, level)[first])[0] for level in self.levels]
        return blocks, make_levels(blocks, units, refine=self.refinement)


MIN_SHARED = 4
"""A level is in the model if there are as many units, and as many members that share one with another."""


def column(layers: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """A column of numbers, NaN where the table does not have it."""
    return layers[name].to_numpy(float) if name in layers else np.full(len(layers), np.nan)


def unit_of(layers: pd.DataFrame, level: str) -> NDArray[np.str_]:
    """Label of each layer's unit of a level; without one, profiles are each of their own."""
    if level not in layers:
        return layers["profile_index"].to_numpy().astype(str)
    names = ["study", "site"] if level == "site" and "study" in layers else [level]
    return np.array(["\0".join(row) for row in layers[names].astype(str).to_numpy()])


def spread_design(layers: pd.DataFrame) -> NDArray[np.float64]:
    """What the shape of the distribution of rates depends on, depth (its log form): (layer, 2)."""
    depth = depth_functions((layers["top"] + layers["bottom"]) / 2)[:, :1]
    return np.concatenate([np.ones((len(layers), 1)), depth], axis=1)


def shape_of(D: Any, sample: Mapping[str, Any]) -> Shape:
    """Distribution of rates within each layer, from one draw of the hyperparameters."""
    v = sample

    def line(first: str, slope: str) -> Array:
        return product(D, jnp.stack([jnp.asarray(v[first]), jnp.asarray(v[slope])]))

    spread = jnp.minimum(jnp.exp(line("log_spread", "spread_slope")), MAX_SPREAD)
    fast = jax.nn.sigmoid(line("logit_fast", "fast_slope")) if "logit_fast" in v else None
    return Shape(spread, fast, jax.nn.sigmoid(jnp.asarray(v["logit_link"])) if "logit_link" in v else None)


def depth_functions(depth: Any) -> NDArray[np.float64]:
    """Both forms of depth (cm), 0 at the reference depth: shape (…, 2). k falls steeply in the first decimetres and may
    go on falling evenly below.
    """
    depth = np.asarray(depth, float)
    forms = np.stack([np.log1p(depth / 10), depth / 100], axis=-1)
    return forms - np.array([np.log1p(REFERENCE_DEPTH_CM / 10), REFERENCE_DEPTH_CM / 100])


def design(layers: pd.DataFrame, components: Components) -> NDArray[np.float64]:
    """Design matrix, in the order of `regression_vector`: shape (layer, p)."""
    depth = depth_functions((layers["top"] + layers["bottom"]) / 2)
    biome = layers["biome"].to_numpy(int)[:, None] == np.array(list(BIOMES))
    by_biome = [biome * d for d in (1.0, depth[:, :1], depth[:, 1:])]
    return np.concatenate([np.ones((len(layers), 1)), depth, *by_biome, components.scores(layers)], axis=1)


def regression_vector(sample: Mapping[str, Any]) -> Array:
    """Coefficients of the design matrix from one draw of the hyperparameters."""
    v = sample
    fixed = jnp.concatenate([jnp.atleast_1d(v["mean_log_k"]), v["slope"]])
    return jnp.concatenate([fixed, v["biome_offset"], v["slope_offset"].ravel(), v["coefficient"]])


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


def scales(sample: Mapping[str, Any], block: Block, levels: tuple[str, ...] = (), *, student: bool) -> Scales:
    """Spreads of a block's layers and profiles, and of units of the levels, from one draw of the hyperparameters."""
    many = isinstance(block.data, ManyRates)
    return Scales(
        sample["tau_layer"],
        misfit_sd(block.misfit_design, sample),
        sample["nu"],
        log_density_at_zero(sample["nu"], student=student),
        sample["tau_profile"] * sample["profile_scale"],
        sample["nu_profile"],
        sample["profile_skew"],
        levels=tuple(jnp.asarray(sample[f"{level}_sd"]) for level in levels),
        shape=shape_of(block.data.spread_design, sample) if many else None,
        respired_sd=sample["respired_sd"] if many else None,
        parts_sd=sample.get("parts_sd"),
    )


def likelihoods_of_effects(
    sample: dict[str, Array], blocks: tuple[Block, ...], log_k: Array, *, student: bool
) -> list[Array]:
    """Log likelihood of the profiles of each block at the nodes of their effects, (profile, Q)."""
    beta = regression_vector(sample)
    return [
        log_likelihood_of_effects(b, log_k, b.design @ beta, scales(sample, b, student=student), student=student)
        for b in blocks
    ]


def log_likelihood(
    sample: dict[str, Array],
    blocks: tuple[Block, ...],
    levels: Levels | None,
    log_k: Array,
    *,
    names: tuple[str, ...],
    student: bool,
) -> Array:
    """Log marginal likelihood of all layers, under one draw of the hyperparameters; `names` are those of the levels."""
    by_effect = likelihoods_of_effects(sample, blocks, log_k, student=student)
    together = scales(sample, blocks[0], names, student=student)
    return log_likelihoods(by_effect, blocks, levels, together, student=student).sum()


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
    family : {"log-normal", "two pools"} or None
        How rates within a layer are distributed, if their spread is inferred.
    parts : bool
        Whether light and heavy carbon were measured.
    levels : tuple of {"site", "study"}
        What profiles have in common.
    """

    components: int
    biomes: tuple[int, ...]
    student: bool
    family: FamilyName | None = None
    parts: bool = False
    levels: tuple[str, ...] = ()

    @property
    def optional(self) -> tuple[str, ...]:
        """Names of the hyperparameters that not every variant of the model has."""
        names: tuple[str, ...] = tuple(f"{level}_sd" for level in self.levels)
        if self.family:
            names += ("log_spread", "spread_slope", "respired_sd")
        if self.family == "two pools":
            names += ("logit_fast", "fast_slope")
        return (*names, "logit_link", "parts_sd") if self.parts else names


OPTIONAL = Structure(0, (), True, "two pools", True, ("site", "study")).optional
"""All such names."""


def turnover_model(
    data: tuple[tuple[Block, ...], Levels | None] | None, log_k: Array, structure: Structure, *, known_spread: Any = 0.0
) -> None:
    """The NumPyro model of the hyperparameters.

    Parameters
    ----------
    data : tuple, or None
        What `TurnoverModel.data` gives; without it, the model is the prior.
    log_k : Array, shape (G,)
        Nodes of log k.
    structure : Structure
    known_spread : float or Array
        As in `hyperparameters`.
    """
    sample = hyperparameters(structure, known_spread=known_spread)
    if data is not None:
        value = log_likelihood(sample, *data, log_k, names=structure.levels, student=structure.student)
        numpyro.factor("layers", value)


EFFECTS = {"biome_effect": "biome_sd", "slope_effect": "slope_sd", "coefficient": "coefficient_sd"}
"""Effects whose standard deviations are integrated out, and the names of these."""


def prior_medians(structure: Structure) -> dict[str, Any]:
    """Median of what `hyperparameters` samples, by name: where a search for the mode starts."""
    have = len(structure.biomes)
    shapes: dict[str, tuple[int, ...]] = {"misfit_biome": (N_BIOMES,), "misfit_period": (len(PERIODS),)}
    shapes |= {"log_profile_scale": (have,)}
    left_out = {*EFFECTS.values(), "log_misfit", *OPTIONAL} - set(structure.optional)
    medians: dict[str, Any] = {
        name: np.full(shapes.get(name, ()), location if family == "normal" else np.exp(location))
        for name, ((location, _), family, _) in PRIORS.items()
        if name not in left_out
    }
    medians |= {name: np.zeros(shapes[name]) for name in ("misfit_biome", "misfit_period")} | {"misfit_depth": 0.0}
    effects = {"biome_effect": (have,), "slope_effect": (2, have), "coefficient": (structure.components,)}
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
        if name in EFFECTS:
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
    for name in ("tau_profile", "profile_skew", "tau_layer", "model_sd", *structure.optional):
        s[name] = numpyro.sample(name, prior(name))
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
