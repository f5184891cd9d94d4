r"""Net primary production, and how it is divided between what is above and below the ground, at places on the Earth.

At place s, of biome b, with principal components x of the covariates, production N and its belowground share f are

.. math::
    \log N(s) = \mu_N + \alpha_{N,b} + x\beta_N + g_N(s), \qquad
    \operatorname{logit} f(s) = \mu_f + \alpha_{f,b} + x\beta_f + g_f(s)

g are Gaussian fields, the sum of three with kernels of fixed length: two on the sphere, of a region and of a continent,
and one over climate, in which places of like temperature and rain are alike wherever they are; it bends the lines β.
The data say how much each weighs.
A site at s differs from its field, in what grows above and below ground, by effects u:

.. math::
    \log A = \log N(1-f) + u_A, \quad \log B = \log N f + u_B, \quad u \sim N(0, \Sigma_\mathrm{site})

so that its production is A + B, and B, which is I_root, is never above it. Record j of a site gives log A and log B, or
one of them, or log (A + B) alone, with the offset of its method and an error:

.. math::
    y_j = (\log A, \log B) + m_\mathrm{method} + (0, \log R_j) + t\, e_j, \qquad e_j \sim N(0, \Sigma_\mathrm{record})

R is the share of roots within the sampled depth; t, one of seven factors that make the error Student's t with 4 degrees
of freedom, is common to a site's records. Given the field and t all is Normal, so u is integrated out in closed form
and t is summed out; of a total alone, to first order in u. Sites with one odd record weigh less.

The satellite's production is data of the field, not of a site: biased by a factor of the biome, with an error of the
biome, and zero where it saw nothing, or nothing was there to see:

.. math::
    \log S(s) \sim N(\mu_S,\ \sigma_b), \quad \mu_S = a_b + \log 5 + c\,(\log N(s) - \log 5), \qquad
    P(S = 0) = \pi + (1 - \pi)\,\Phi\big((\log S_\mathrm{min} - \mu_S) / \sigma_b\big)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.spatial.distance import cdist

from ..constants import BIOMES, EARTH_RADIUS_KM
from .spread import UnknownSpread, draw_spread, normal_prior, positive_prior

FIELDS = ("log_npp", "logit_f")
"""The two fields: log of production (Mg C ha⁻¹ yr⁻¹), and the log odds of its belowground share."""

PARTS = ("anpp", "bnpp")
"""What records measure, above and below ground."""

SCALES = ("region", "continent", "climate")
"""The three parts of a Gaussian field."""

LENGTH = {"region": 400.0, "continent": 2000.0, "climate": 1.0}
"""Length of each kernel, km or standard deviations of the sites' climates."""

CENTRES = {"region": 100, "continent": 25, "climate": 80}
"""Number of places that each kernel is spanned by, at most."""

FREEDOM, NODES = 4.0, 7
"""Degrees of freedom of a record's error, and the number of factors that stand for them."""

FACTORS = (special.gammaincinv(FREEDOM / 2, (np.arange(NODES) + 0.5) / NODES) / (FREEDOM / 2)) ** -0.5
"""t: of equal probability, the inverse roots of quantiles of the Gamma distribution."""

LEAST_SEEN = 0.05
"""Satellite production (Mg C ha⁻¹ yr⁻¹) below which it counts as zero."""

PRIORS: dict[str, tuple[Any, Any, str]] = {
    "mean": (np.array([np.log(6.0), np.log(0.4 / 0.6)]), np.array([0.5, 0.5]), "normal; 6 Mg C ha⁻¹ yr⁻¹, 40 % below"),
    "biome_sd": (np.log(0.4), 0.4, "log-normal; biomes differ by a factor of up to 2 or 3"),
    "slope": (0.0, 0.05, "normal; a standard deviation of a component changes N by a few per cent"),
    "region_sd": (np.log(0.25), 0.3, "log-normal; regions differ by a factor of up to 2"),
    "continent": (0.0, 0.15, "normal; continents differ by a factor of up to 1.4"),
    "climate_sd": (np.log(0.45), 0.3, "log-normal; climates by 2.5, beyond what the biome says"),
    "site_sd": (np.log(0.4), 0.5, "log-normal; sites of a place differ by a factor of up to 2"),
    "record_sd": (np.log(0.3), 0.5, "log-normal; so do records of a site"),
    "total_sd": (np.log(0.3), 0.5, "log-normal; and records of the whole production"),
    "method_offset": (0.0, 0.2, "normal; methods and compilations differ by a fifth, and are right on average"),
    "satellite_bias": (0.0, 0.5, "normal, common to all biomes"),
    "satellite_biome": (0.0, 0.3, "normal, of each biome"),
    "satellite_slope": (1.0, 0.25, "normal; 1 is proportional"),
    "satellite_sd": (np.log(0.4), 0.25, "log-normal; errors in biomes differ by a factor of up to 1.6"),
}
"""Location and scale of each prior, and why. Correlations of sites' and records' parts are 2 Beta(2, 2) - 1; the share
of zeros that say nothing is Beta(1, 9)."""


SAMPLED = (
    "mean",
    "biome_effect",
    "slope",
    "weight",
    "site_sd",
    "site_half",
    "record_sd",
    "record_half",
    "total_sd",
    "method",
    "satellite_bias",
    "satellite_biome",
    "satellite_slope",
    "satellite_sd",
    "satellite_lost",
)
"""What is kept of a posterior."""

MIDDLE = np.log(5.0)
"""log N at which the satellite's bias is that of its biome."""


class Places(NamedTuple):
    """Places as the model sees them: biome 1–9, (n,), components, (n, p), and basis of the Gaussian fields, (n, q)."""

    biome: Any
    X: Any
    basis: Any


class ProductionData(NamedTuple):
    """Records at sites, and the satellite's production at places.

    Attributes
    ----------
    sites : Places
        Of the sites, (site,).
    site : array of int
        Site of each record, (record,).
    parts : array
        log of production above and below ground, (record, 2), Mg C ha⁻¹ yr⁻¹; NaN where unknown.
    total : array
        log of whole production of records that have no part, (record,); NaN elsewhere.
    method : array of int
        Number of the method of each record, (record,).
    log_share : array
        log of the share of roots within the sampled depth, (record,).
    seen_at : Places
        Of the satellite's values, (cell,).
    seen : array
        log of the satellite's production, (cell,), Mg C ha⁻¹ yr⁻¹; NaN where it is below `LEAST_SEEN`.
    """

    sites: Places
    site: Any
    parts: Any
    total: Any
    method: Any
    log_share: Any
    seen_at: Places
    seen: Any


@dataclass(frozen=True)
class Kernel:
    """A Gaussian field of unit variance, spanned by some centres.

    Attributes
    ----------
    centres : ndarray
        (centre, dimension).
    length : float
        Length of its kernel, in the unit of the centres.
    root : ndarray
        Inverse of the Cholesky factor of the kernel between centres, (centre, centre).
    """

    centres: NDArray[np.float64]
    length: float
    root: NDArray[np.float64]

    @classmethod
    def over(cls, points: NDArray[np.float64], count: int, length: float) -> Self:
        """A field whose centres are spread over points, each the farthest from those before it."""
        points = np.unique(points, axis=0)
        chosen = [int(np.argmin(cdist(points, points.mean(axis=0)[None])[:, 0]))] if len(points) else []
        away = np.full(len(points), np.inf)
        while len(chosen) < min(count, len(points)):
            away = np.minimum(away, cdist(points, points[chosen[-1]][None])[:, 0])
            if away.max() < 1e-6 * length:
                break
            chosen.append(int(away.argmax()))
        return cls.of(points[chosen], length)

    @classmethod
    def of(cls, centres: NDArray[np.float64], length: float) -> Self:
        """A field with these centres."""
        between = _matern(cdist(centres, centres) / length) + 1e-6 * np.eye(len(centres))
        return cls(centres, length, np.linalg.inv(np.linalg.cholesky(between)))

    def basis(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows whose product with standard normal weights is the field, (n, centre); each of unit length."""
        rows = _matern(cdist(points, self.centres) / self.length) @ self.root.T
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _matern(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matérn's correlation of smoothness 3/2."""
    return (1 + np.sqrt(3) * distance) * np.exp(-np.sqrt(3) * distance)


def on_sphere(lat: ArrayLike, lon: ArrayLike) -> NDArray[np.float64]:
    """Places in space, km from the Earth's centre, (n, 3)."""
    lat, lon = np.radians(np.asarray(lat, float)), np.radians(np.asarray(lon, float))
    return EARTH_RADIUS_KM * np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def fields(p: dict[str, Any], at: Places) -> tuple[Any, Any]:
    """log N and logit f at places, (…, n), from parameters, (…, shape).

    Parameters
    ----------
    p : dict
        `mean` (2,), `biome_effect` (9, 2), `slope` (component, 2), `weight` (q, 2).
    at : Places
        Where.
    """
    out = p["mean"][..., None, :] + p["biome_effect"][..., at.biome - 1, :] + at.X @ p["slope"]
    out = out + at.basis @ p["weight"]
    return out[..., 0], out[..., 1]


def covariance(sd: Any, half_correlation: Any) -> Any:
    """2 × 2 covariance of what is above and below ground."""
    across = (2 * half_correlation - 1) * sd[0] * sd[1]
    return jnp.array([[sd[0] ** 2, across], [across, sd[1] ** 2]])


class Site(NamedTuple):
    """What the records of sites say of their effects: precision (site, 2, 2), pull (site, 2), square (site,), log
    determinant of the errors (site,), and how many numbers there are (site,).
    """

    precision: Any
    pull: Any
    square: Any
    log_determinant: Any
    numbers: Any


def summed(p: dict[str, Any], data: ProductionData, log_npp: Any, logit_f: Any) -> Site:
    """Records of each site, given the fields at the sites, with errors as they are where t = 1."""
    count = data.sites.X.shape[0]
    log_f, log_rest = -jnp.logaddexp(0.0, -logit_f), -jnp.logaddexp(0.0, logit_f)
    expected = jnp.stack([log_npp + log_rest, log_npp + log_f], axis=-1)[data.site] + p["method"][data.method]
    expected = expected.at[:, 1].add(data.log_share)
    known = ~jnp.isnan(data.parts)
    r = jnp.where(known, data.parts - expected, 0.0)
    errors = covariance(p["record_sd"], p["record_half"])
    both = known.all(axis=1)
    inverse = jnp.linalg.inv(errors)
    alone = known / jnp.diag(errors)
    first, last = (jnp.where(both, inverse[i, i], alone[:, i]) for i in (0, 1))
    across = jnp.where(both, inverse[0, 1], 0.0)
    log_det = jnp.where(both, jnp.log(jnp.linalg.det(errors)), (known * jnp.log(jnp.diag(errors))).sum(axis=1))
    pull = jnp.stack([first * r[:, 0] + across * r[:, 1], across * r[:, 0] + last * r[:, 1]], axis=-1)
    square = (pull * r).sum(axis=1)
    whole = ~jnp.isnan(data.total)
    total = jnp.logaddexp(expected[:, 0], expected[:, 1])
    rest = jnp.where(whole, data.total - total, 0.0)
    row = jnp.exp(expected - total[:, None])  # of a total, what grows above counts as its share
    weight = whole / p["total_sd"] ** 2
    precision = jnp.stack(
        [
            first + weight * row[:, 0] ** 2,
            across + weight * row[:, 0] * row[:, 1],
            last + weight * row[:, 1] ** 2,
        ],
        axis=-1,
    )
    pull = pull + (weight * rest)[:, None] * row
    square = square + weight * rest**2
    log_det = log_det + whole * 2 * jnp.log(p["total_sd"])

    ends = jnp.searchsorted(data.site, jnp.arange(count + 1))  # records are in the order of their sites

    def by_site(values: Any) -> Any:  # faster than adding one by one
        running = jnp.cumsum(jnp.concatenate([jnp.zeros((1, *values.shape[1:])), values]), axis=0)
        return running[ends[1:]] - running[ends[:-1]]

    numbers = known.sum(axis=1) + whole
    columns = jnp.concatenate([precision, pull, jnp.stack([square, log_det, numbers], axis=-1)], axis=-1)
    s = by_site(columns)
    matrix = jnp.stack([jnp.stack([s[:, 0], s[:, 1]], axis=-1), jnp.stack([s[:, 1], s[:, 2]], axis=-1)], axis=-2)
    return Site(matrix, s[:, 3:5], s[:, 5], s[:, 6], s[:, 7])


def site_likelihood(sites: Site, effects: Any) -> Any:
    """Log likelihood of each site's records for each of `FACTORS`, (factor, site); `effects`: covariance of u."""
    t2 = jnp.asarray(FACTORS**2)[:, None]
    # |I + Σ T| and vᵀ (Σ⁻¹ + T)⁻¹ v, with precision T and pull v over t²
    ST = jnp.einsum("ij,sjk->sik", effects, sites.precision)
    trace, det = ST[:, 0, 0] + ST[:, 1, 1], ST[:, 0, 0] * ST[:, 1, 1] - ST[:, 0, 1] * ST[:, 1, 0]
    grown = 1 + trace / t2 + det / t2**2
    Sv = jnp.einsum("ij,sj->si", effects, sites.pull)
    plain = (sites.pull * Sv).sum(axis=-1)
    # the adjugate of I + ST/t²
    adj = jnp.stack(
        [ST[:, 1, 1] * Sv[:, 0] - ST[:, 0, 1] * Sv[:, 1], ST[:, 0, 0] * Sv[:, 1] - ST[:, 1, 0] * Sv[:, 0]], axis=-1
    )
    gain = (plain + (sites.pull * adj).sum(axis=-1) / t2) / grown / t2**2
    fit = sites.square / t2 - gain + jnp.log(grown) + sites.log_determinant + sites.numbers * jnp.log(t2 * 2 * np.pi)
    return -0.5 * fit - np.log(NODES)


def satellite_likelihood(p: dict[str, Any], seen: Any, biome: Any, log_npp: Any) -> Any:
    """Log likelihood of the satellite's values, (cell,)."""
    expected = p["satellite_bias"] + p["satellite_biome"][biome - 1] + MIDDLE
    expected = expected + p["satellite_slope"] * (log_npp - MIDDLE)
    sd = p["satellite_sd"][biome - 1]
    there = ~jnp.isnan(seen)
    value = dist.Normal(expected, sd).log_prob(jnp.where(there, seen, 0.0)) + jnp.log1p(-p["satellite_lost"])
    zero = jnp.log1p(-p["satellite_lost"]) + norm.logcdf((np.log(LEAST_SEEN) - expected) / sd)
    return jnp.where(there, value, jnp.logaddexp(jnp.log(p["satellite_lost"]), zero))


def model(data: ProductionData, sizes: tuple[int, ...], methods: int, known_spread: Any = 0.0) -> None:
    """The NumPyro model; site effects and t are summed out.

    Parameters
    ----------
    data : ProductionData
        Records and the satellite's values.
    sizes : tuple of int
        How many columns of the basis each of `SCALES` has.
    methods : int
        Number of methods.
    """
    p = parameters(data.sites.X.shape[1], sizes, methods, known_spread)
    log_npp, logit_f = fields(p, data.sites)
    effects = covariance(p["site_sd"], p["site_half"])
    each = site_likelihood(summed(p, data, log_npp, logit_f), effects)
    numpyro.factor("records", logsumexp(each, axis=0).sum())
    if data.seen.shape[0]:
        log_npp, _ = fields(p, data.seen_at)
        numpyro.factor("satellite", satellite_likelihood(p, data.seen, data.seen_at.biome, log_npp).sum())


def parameters(components: int, sizes: tuple[int, ...], methods: int, known_spread: Any = 0.0) -> dict[str, Any]:
    """Parameters, under their priors. Spreads of effects are integrated out (`models.spread`)."""

    normal, positive = partial(normal_prior, PRIORS), partial(positive_prior, PRIORS)

    def effects(name: str, size: int) -> Any:
        if not size:
            return numpyro.deterministic(name, jnp.zeros((0, 2)))
        if name in PRIORS:
            return normal(name, size, 2)
        location, scale, _ = PRIORS[f"{name}_sd"]
        return numpyro.sample(f"{name}_T", UnknownSpread(location, scale, size, (2,), known_spread)).T

    p = {"mean": normal("mean", 2), "slope": effects("slope", components)}
    p["biome_effect"] = numpyro.deterministic("biome_effect", effects("biome", len(BIOMES)))
    weights = [effects(name, size) for name, size in zip(SCALES, sizes, strict=True)]
    p["weight"] = numpyro.deterministic("weight", jnp.concatenate(weights))
    p |= {name: positive(name, 2) for name in ("site_sd", "record_sd")} | {"total_sd": positive("total_sd")}
    p |= {f"{name}_half": numpyro.sample(f"{name}_half", dist.Beta(2.0, 2.0)) for name in ("site", "record")}
    offset = normal("method_offset", methods, 2)
    p["method"] = numpyro.deterministic("method", offset - offset.mean(axis=0))
    p |= {"satellite_bias": normal("satellite_bias"), "satellite_slope": normal("satellite_slope")}
    biomes = len(BIOMES)
    p |= {"satellite_biome": normal("satellite_biome", biomes), "satellite_sd": positive("satellite_sd", biomes)}
    p["satellite_lost"] = numpyro.sample("satellite_lost", dist.Beta(1.0, 9.0))
    return p


def spreads(draws: Draws, sizes: tuple[int, ...], rng: np.random.Generator) -> Draws:
    """Draws of the unknown spreads of effects given the effects, `biome_sd`, `region_sd`, `climate_sd`, (draw, 2)."""
    ends = np.cumsum((0, *sizes))
    parts = {"biome_sd": draws["biome_effect"]}
    parts |= {f"{n}_sd": draws["weight"][:, a:b] for n, a, b in zip(SCALES, ends, ends[1:], strict=False)}
    return {n: draw_spread(v.swapaxes(1, 2), PRIORS[n][:2], rng) for n, v in parts.items() if n in PRIORS}


type Draws = dict[str, NDArray[np.float64]]


def likelihoods(draws: Draws, data: ProductionData) -> NDArray[np.float64]:
    """Log likelihood of each site's records, (draw, site)."""
    return special.logsumexp(_by_factor(draws, data)[1], axis=1)


def _by_factor(draws: Draws, data: ProductionData) -> tuple[Site, Any]:
    """What records say of their sites, and the likelihood of each factor, (draw, factor, site)."""

    def one(p: dict[str, Any]) -> tuple[Site, Any]:
        found = summed(p, data, *fields(p, data.sites))
        return found, site_likelihood(found, covariance(p["site_sd"], p["site_half"]))

    with jax.enable_x64(True):
        return jax.device_get(jax.jit(jax.vmap(one))({name: jnp.asarray(v) for name, v in draws.items()}))


def expected_parts(draws: Draws, at: Places, dtype: type = float) -> NDArray[Any]:
    """log of production above and below ground that the fields say of places, (draw, n, 2).

    Parameters
    ----------
    dtype : type
        Precision; single is ample for maps, and takes half the time.
    """
    of_biome = np.asarray(at.biome)[:, None] == np.array(list(BIOMES))
    known: NDArray[Any] = np.concatenate([of_biome, at.X, at.basis], axis=1, dtype=dtype)
    weights = [draws["mean"][:, None] + draws["biome_effect"], draws["slope"], draws["weight"]]
    by_column: NDArray[Any] = np.concatenate(weights, axis=1, dtype=dtype).transpose(2, 1, 0)
    log_npp, logit_f = (known @ of_field for of_field in by_column)
    above = -np.logaddexp(0, logit_f)  # log (1 - f)
    return np.stack([log_npp + above, log_npp + above + logit_f], axis=-1).transpose(1, 0, 2)


def covariances(draws: Draws, kind: str) -> NDArray[np.float64]:
    """Covariance of sites' or records' parts in each draw, (draw, 2, 2)."""
    sd, half = draws[f"{kind}_sd"], draws[f"{kind}_half"]
    out = sd[:, :, None] * sd[:, None, :]
    out[:, [0, 1], [1, 0]] *= (2 * half - 1)[:, None]
    return out


def correlated(covariance: NDArray, white: NDArray) -> NDArray[np.float64]:
    """White noise, (draw, n, 2), with the covariance of each draw."""
    return white @ np.linalg.cholesky(covariance).transpose(0, 2, 1)


def new_sites(draws: Draws, expected: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """log of production above and below ground of one new site at each place, (draw, n, 2)."""
    return expected + correlated(covariances(draws, "site"), rng.standard_normal(expected.shape))


def mean_of_sites(draws: Draws, expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """log of the mean of production above and below ground over the sites of each place, (draw, n, 2)."""
    return expected + draws["site_sd"][:, None, :] ** 2 / 2


class SiteDraws(NamedTuple):
    """Draws of sites with records: log of production above and below ground, (draw, site, 2), and t, (draw, site)."""

    parts: NDArray[np.float64]
    factor: NDArray[np.float64]


def measured_sites(draws: Draws, data: ProductionData, rng: np.random.Generator) -> SiteDraws:
    """Sites given their own records: t, and u given t, from their exact conditionals."""
    effects, t = effects_given(*_by_factor(draws, data), covariances(draws, "site"), rng)
    return SiteDraws(expected_parts(draws, data.sites) + effects, t)


def effects_given(
    sums: Site, by_factor: NDArray[np.float64], covariance: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draws of effects, (draw, site, 2), and of t, (draw, site), given what records say of them.

    Parameters
    ----------
    sums : Site
        What the records say, each with the draws first.
    by_factor : ndarray
        Log likelihood of each of `FACTORS`, (draw, factor, site).
    covariance : ndarray
        Covariance of the effects, (draw, 2, 2).
    """
    mass = np.cumsum(np.exp(by_factor - by_factor.max(axis=1, keepdims=True)), axis=1)
    node = (mass < rng.uniform(size=mass[:, -1].shape)[:, None] * mass[:, -1:]).sum(axis=1)
    t = FACTORS[node]
    precision = np.linalg.inv(covariance)[:, None] + np.asarray(sums.precision) / t[..., None, None] ** 2
    root = np.linalg.cholesky(precision)
    mean = np.linalg.solve(precision, (np.asarray(sums.pull) / t[..., None] ** 2)[..., None])
    noise = np.linalg.solve(root.swapaxes(-1, -2), rng.standard_normal((*t.shape, 2, 1)))
    return (mean + noise)[..., 0], t


def replicate(
    draws: Draws, data: ProductionData, parts: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Records of sites, log of what is above and below ground as it would be reported, (draw, record, 2); t is new.

    Parameters
    ----------
    parts : ndarray
        log of production above and below ground of the sites, (draw, site, 2).
    """
    t = FACTORS[rng.integers(0, NODES, parts.shape[:2])][:, data.site]
    errors = correlated(covariances(draws, "record"), rng.standard_normal((len(parts), len(data.site), 2)))
    out = parts[:, data.site] + draws["method"][:, data.method] + t[..., None] * errors
    out[..., 1] += data.log_share
    return out


def totals(
    draws: Draws, data: ProductionData, parts: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """The same of records of the whole production, (draw, record)."""
    t = FACTORS[rng.integers(0, NODES, parts.shape[:2])][:, data.site]
    there = parts[:, data.site] + draws["method"][:, data.method]
    error = draws["total_sd"][:, None] * rng.standard_normal(t.shape)
    return np.logaddexp(there[..., 0], there[..., 1] + data.log_share) + t * error


def prior_draw(data: ProductionData, sizes: tuple[int, ...], methods: int, seed: int) -> Draws:
    """One draw of the parameters from their priors, (1, …)."""

    def priors() -> dict[str, Any]:
        return parameters(data.sites.X.shape[1], sizes, methods)

    with jax.enable_x64(True), numpyro.handlers.seed(rng_seed=seed % 2**31):
        p = priors()
    return {name: np.asarray(p[name])[None] for name in SAMPLED}


def simulated(draws: Draws, data: ProductionData, rng: np.random.Generator) -> ProductionData:
    """The same records and satellite's values as one draw of the parameters would have them."""
    parts = new_sites(draws, expected_parts(draws, data.sites), rng)
    made, whole = (each(draws, data, parts, rng)[0] for each in (replicate, totals))
    seen = satellite(draws, data.seen_at, rng)[0]
    return data._replace(
        parts=np.where(np.isnan(data.parts), np.nan, made),
        total=np.where(np.isnan(data.total), np.nan, whole),
        seen=seen,
    )


def seen_production(
    draws: Draws, seen: NDArray[np.float64], biome: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Production that a satellite's value stands for, without its bias and with its error, (draw, n), Mg C ha⁻¹ yr⁻¹;
    NaN where it saw nothing.

    Parameters
    ----------
    seen : ndarray
        Its values, (n,), Mg C ha⁻¹ yr⁻¹.
    biome : ndarray
        Biomes, 1–9, (n,).
    """
    there = seen >= LEAST_SEEN
    bias = draws["satellite_bias"][:, None] + draws["satellite_biome"][:, biome - 1]
    error = draws["satellite_sd"][:, biome - 1] * rng.standard_normal(bias.shape)
    beyond = np.log(np.where(there, seen, 1.0)) - MIDDLE - bias - error
    return np.where(there, np.exp(MIDDLE + beyond / draws["satellite_slope"][:, None]), np.nan)


def satellite(draws: Draws, at: Places, rng: np.random.Generator) -> NDArray[np.float64]:
    """log of what a satellite would see at places, (draw, n); NaN where it sees nothing."""
    log_npp = np.logaddexp(*np.moveaxis(expected_parts(draws, at), -1, 0))
    of_biome = np.asarray(at.biome) - 1
    value = draws["satellite_bias"][:, None] + draws["satellite_biome"][:, of_biome]
    value = value + MIDDLE + draws["satellite_slope"][:, None] * (log_npp - MIDDLE)
    value = value + draws["satellite_sd"][:, of_biome] * rng.standard_normal(value.shape)
    lost = rng.uniform(size=value.shape) < draws["satellite_lost"][:, None]
    return np.where(lost | (value < np.log(LEAST_SEEN)), np.nan, value)
