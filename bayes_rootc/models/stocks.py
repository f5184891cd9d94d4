r"""Carbon stocks of soil layers: what gridded stocks, depth and biome say of a measured one.

Layer i of profile p in study s holds M Mg C ha⁻¹ in h cm. Its density M/h is bounded: no mineral soil comes near
D = 30 Mg C ha⁻¹ in a centimetre (0.3 g cm⁻³). On the scale of

.. math:: y = \operatorname{logit} \frac{M}{h D}

which is that of log M but for the richest layers, the mean of M exists whatever the tails of y. It is linear in the
log of each gridded stock G at the site, with a free slope, and in the depth d of the layer's middle:

.. math::
    y_i = \beta_0 + \beta_1 d_i + \beta_2 d_i^2 + \sum_j \lambda_j g_{ij} + \alpha_b
          + u_{s0} + r_i u_{s1} + v_{p0} + r_i v_{p1} + t_p e_i

g is log G/h less what it is at that depth on average; a source without a value there says nothing but that, with an
offset of its own. r grows from 0 at the surface to 1 in the deep subsoil, where soils differ more.
The effects of studies, u, are independent; those of profiles, v, are Normal with a covariance, and are integrated out
in closed form. The errors e are Normal, with a spread that changes with depth; t, one of seven factors that make them
Student's t with 4 degrees of freedom, is common to a profile, and is summed out.

A reported stock has an error of its own, :math:`t_p o_i`, and may have been computed as if there were no stones:

.. math:: y_i^\mathrm{reported} = y_i - \log(1 - \kappa c_i) + t_p o_i

where c is the share of stones that the study's other layers, or else the grid, lead to expect, 0 where the layer's own
stones were reported. κ is the part of them that was overlooked: the stock is never larger than reported for it.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logsumexp
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ..constants import BIOMES
from .production import FACTORS, NODES, Draws, Site, correlated, covariance, covariances, effects_given, site_likelihood
from .spread import UnknownSpread, draw_spread, normal_prior, positive_prior

LARGEST_DENSITY = 30.0
"""Upper limit of the carbon density, Mg C ha⁻¹ per cm of depth: twice the largest plausible one of a mineral soil."""

DEEP_CM = 40.0
"""Depth at which r = 1 - exp(-depth/DEEP_CM) has come two thirds of the way from topsoil to subsoil."""

DEPTH_FORMS = ("intercept", "depth", "depth squared")
"""Columns of the design that every layer has."""

PRIORS: dict[str, tuple[Any, Any, str]] = {
    "depth_form": (
        np.array([-3.4, -0.7, 0.0]),
        np.array([1.0, 0.5, 0.3]),
        "normal; 1 Mg ha⁻¹ in a centimetre at 25 cm",
    ),
    "slope": (0.3, 0.3, "normal; between nothing (0) and proportional (1)"),
    "missing": (0.0, 0.5, "normal; where a map has no value soils may differ by a factor of up to 2 or 3"),
    "biome_sd": (np.log(0.3), 0.5, "log-normal; biomes differ by a factor of up to 2"),
    "study_sd": (np.log(0.5), 0.5, "log-normal; studies by 3, and as much again in how stocks change with depth"),
    "profile_sd": (np.log(0.5), 0.5, "log-normal; so do profiles of a study"),
    "layer_sd": (np.log(0.35), 0.5, "log-normal; layers of a profile differ by a factor of up to 2"),
    "layer_slope": (0.0, 0.3, "normal; and by more or less at depth"),
}
"""Location and scale of each prior, and why. The correlation of profiles' effects is 2 Beta(2, 2) - 1; the part of the
stones that was overlooked is Beta(2, 2): of some 12 %, half, which is within the 2 to 10 % that Poeplau et al. (2017)
find for farmland.
"""

SAMPLED = (
    "coefficient",
    "biome_effect",
    "study_effect",
    "profile_sd",
    "profile_half",
    "layer_sd",
    "layer_slope",
    "overlooked",
)
"""What is kept of a posterior; what is drawn given it: `DRAWN`."""

DRAWN = ("study_sd", "profile_effect", "profile_factor")


class StockData(NamedTuple):
    """Layers, in the order of their profiles.

    Attributes
    ----------
    X : array
        Columns of the design: `DEPTH_FORMS`, the sources, and whether each is missing, (layer, p).
    biome : array of int
        1–9, (layer,).
    deep : array
        r, (layer,).
    y : array
        Logit of the reported density over `LARGEST_DENSITY`, (layer,); NaN where none was measured.
    error : array
        Relative error of the reported stock, (layer,).
    stones : array
        Share of the volume that stones may take up unreported, 0 to 1, (layer,).
    profile : array of int
        Number of the profile, in order, (layer,).
    study : array of int
        Number of each profile's study, (profile,).
    """

    X: Any
    biome: Any
    deep: Any
    y: Any
    error: Any
    stones: Any
    profile: Any
    study: Any


def depth_columns(top: ArrayLike, bottom: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns `DEPTH_FORMS`, (n, 3), and r, (n,), of layers between depths in cm."""
    middle = (np.asarray(top, float) + np.asarray(bottom, float)) / 2
    d = np.log((middle + 5) / 30)
    return np.stack([np.ones_like(d), d, d**2], axis=-1), -np.expm1(-middle / DEEP_CM)


def to_logit(stock: ArrayLike, thickness: ArrayLike) -> NDArray[np.float64]:
    """y of a stock, Mg C ha⁻¹, in a layer of this thickness, cm."""
    return special.logit(np.asarray(stock, float) / np.asarray(thickness, float) / LARGEST_DENSITY)


def to_stock(y: NDArray[np.float64], thickness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of `to_logit`; layers are the last axis."""
    return LARGEST_DENSITY * special.expit(y) * thickness


def expected(p: dict[str, Any], data: StockData) -> Any:
    """y of the layers of an average profile of an average study, (…, layer)."""
    return p["coefficient"] @ data.X.T + p["biome_effect"][..., data.biome - 1]


def overlooked(p: dict[str, Any], stones: Any, xp: Any = np) -> Any:
    """By how much a reported y is too high, (…, layer)."""
    return -xp.log1p(-p["overlooked"][..., None] * stones)


def layer_spread(p: dict[str, Any], data: StockData, xp: Any = np) -> Any:
    """Standard deviation of e, (…, layer)."""
    return p["layer_sd"][..., None] * xp.exp(p["layer_slope"][..., None] * data.X[:, 1])


def summed(p: dict[str, Any], data: StockData) -> Site:
    """What the reported stocks of profiles say of their effects, with errors as they are where t = 1."""
    known, study = ~jnp.isnan(data.y), p["study_effect"][data.study[data.profile]]
    mean = expected(p, data) + study[:, 0] + data.deep * study[:, 1] + overlooked(p, data.stones, jnp)
    variance = layer_spread(p, data, jnp) ** 2 + data.error**2
    weight, rest = known / variance, jnp.where(known, data.y - mean, 0.0)
    row = jnp.stack([jnp.ones_like(data.deep), data.deep])
    columns = [weight, weight * data.deep, weight * data.deep**2, *(weight * rest * row)]
    columns += [weight * rest**2, known * jnp.log(variance), known]
    ends = jnp.searchsorted(data.profile, jnp.arange(len(data.study) + 1))
    running = jnp.cumsum(jnp.stack([jnp.concatenate([jnp.zeros(1), c]) for c in columns]), axis=1)
    s = running[:, ends[1:]] - running[:, ends[:-1]]
    matrix = jnp.stack([jnp.stack([s[0], s[1]], axis=-1), jnp.stack([s[1], s[2]], axis=-1)], axis=-2)
    return Site(matrix, s[3:5].T, s[5], s[6], s[7])


def model(data: StockData, sources: int, studies: int, stones: bool, known_spread: Any = 0.0) -> None:
    """The NumPyro model; profile effects and t are summed out.

    Parameters
    ----------
    data : StockData
        Layers with a measured stock.
    sources, studies : int
        Number of gridded sources, and of studies.
    stones : bool
        Whether stones may have been overlooked.
    """
    p = parameters(sources, studies, stones, known_spread)
    each = site_likelihood(summed(p, data), covariance(p["profile_sd"], p["profile_half"]))
    numpyro.factor("layers", logsumexp(each, axis=0).sum())


def parameters(sources: int, studies: int, stones: bool, known_spread: Any = 0.0) -> dict[str, Any]:
    """Parameters, under their priors. Spreads of the effects of biomes and studies are integrated out."""

    normal, positive = partial(normal_prior, PRIORS), partial(positive_prior, PRIORS)

    def effects(name: str, size: int, *batch: int) -> Any:
        location, scale, _ = PRIORS[f"{name}_sd"]
        return numpyro.sample(f"{name}_T", UnknownSpread(location, scale, size, batch, known_spread)).T

    parts = [normal("depth_form", len(DEPTH_FORMS)), normal("slope", sources), normal("missing", sources)]
    p = {"coefficient": numpyro.deterministic("coefficient", jnp.concatenate(parts))}
    p["biome_effect"] = numpyro.deterministic("biome_effect", effects("biome", len(BIOMES)))
    p["study_effect"] = numpyro.deterministic("study_effect", effects("study", studies, 2))
    p |= {"profile_sd": positive("profile_sd", 2), "layer_sd": positive("layer_sd")}
    p |= {"layer_slope": normal("layer_slope"), "profile_half": numpyro.sample("profile_half", dist.Beta(2.0, 2.0))}
    part = numpyro.sample("overlooked_part", dist.Beta(2.0, 2.0)) if stones else jnp.zeros(())
    p["overlooked"] = numpyro.deterministic("overlooked", part)
    return p


def likelihoods(draws: Draws, data: StockData) -> NDArray[np.float64]:
    """Log likelihood of each profile's layers given the effect of its study, (draw, profile)."""
    return special.logsumexp(_by_factor(draws, data)[1], axis=1)


def _by_factor(draws: Draws, data: StockData) -> tuple[Site, NDArray[np.float64]]:
    """What layers say of their profiles, and the likelihood of each factor, (draw, factor, profile)."""
    with jax.enable_x64(True):
        return jax.device_get(_each_draw({name: jnp.asarray(draws[name]) for name in SAMPLED}, data))


@jax.jit
def _each_draw(draws: dict[str, Any], data: StockData) -> tuple[Site, Any]:
    def one(p: dict[str, Any]) -> tuple[Site, Any]:
        found = summed(p, data)
        return found, site_likelihood(found, covariance(p["profile_sd"], p["profile_half"]))

    return jax.vmap(one)(draws)


def completed(draws: Draws, data: StockData, rng: np.random.Generator) -> Draws:
    """The same draws with `DRAWN`: spread of studies (draw, 2), and each profile's effect and t, (draw, profile, 2) and
    (draw, profile), from their exact conditionals.
    """
    sums, by_factor = _by_factor(draws, data)
    effect, factor = effects_given(sums, by_factor, covariances(draws, "profile"), rng)
    study_sd = draw_spread(draws["study_effect"].swapaxes(1, 2), PRIORS["study_sd"][:2], rng)
    return draws | {"study_sd": study_sd, "profile_effect": effect, "profile_factor": factor}


def true_layers(draws: Draws, data: StockData, rng: np.random.Generator) -> NDArray[np.float64]:
    """y of the layers of the fit, (draw, layer), given their own reported stocks, whose error counts once."""
    centre = _of_profiles(draws, data, draws["study_effect"][:, data.study], draws["profile_effect"])
    error, spread = data.error**2, layer_spread(draws, data) ** 2
    weight = spread / (spread + error)
    rest = data.y - overlooked(draws, data.stones) - centre
    sd = draws["profile_factor"][:, data.profile] * np.sqrt(weight * error)
    return centre + weight * rest + sd * rng.standard_normal(sd.shape)


class NewLayers(NamedTuple):
    """y of layers, and as it would be reported, (draw, layer)."""

    true: NDArray[np.float64]
    reported: NDArray[np.float64]


def new_layers(
    draws: Draws, data: StockData, profile: NDArray[np.int64], study: NDArray[np.int64], rng: np.random.Generator
) -> NewLayers:
    """Layers without a stock of their own.

    Parameters
    ----------
    data : StockData
        The layers, in any order; `study` numbers the studies of these profiles, from 0.
    profile : ndarray of int
        Number in the fit of each profile, -1 for a new one, (profile,).
    study : ndarray of int
        Number in the fit of each study, -1 for a new one, (study,).
    """
    count = len(draws["layer_sd"])
    new = rng.standard_normal((count, len(study), 2)) * draws["study_sd"][:, None]
    studies = np.where((study < 0)[:, None], new, draws["study_effect"][:, study])
    new = correlated(covariances(draws, "profile"), rng.standard_normal((count, len(profile), 2)))
    effects = np.where((profile < 0)[:, None], new, draws["profile_effect"][:, profile])
    factor = FACTORS[rng.integers(0, NODES, (count, len(profile)))]
    factor = np.where(profile < 0, factor, draws["profile_factor"][:, profile])[:, data.profile]
    centre = _of_profiles(draws, data, studies[:, data.study], effects)
    true = centre + factor * layer_spread(draws, data) * rng.standard_normal(centre.shape)
    error = factor * data.error * rng.standard_normal(centre.shape)
    return NewLayers(true, true + overlooked(draws, data.stones) + error)


def _of_profiles(draws: Draws, data: StockData, study: NDArray, profile: NDArray) -> NDArray[np.float64]:
    """y of the layers without their own errors; effects are (draw, profile, 2)."""
    effect = (study + profile)[:, data.profile]
    return expected(draws, data) + effect[..., 0] + data.deep * effect[..., 1]


def prior_draw(sources: int, studies: int, stones: bool, seed: int) -> Draws:
    """One draw of the parameters from their priors, (1, …); `study_sd` is drawn given the effects."""
    with jax.enable_x64(True), numpyro.handlers.seed(rng_seed=seed % 2**31):
        p = parameters(sources, studies, stones)
    draws = {name: np.asarray(p[name])[None] for name in SAMPLED}
    effects = draws["study_effect"].swapaxes(1, 2)
    return draws | {"study_sd": draw_spread(effects, PRIORS["study_sd"][:2], np.random.default_rng(seed))}
