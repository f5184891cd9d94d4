r"""Roots with depth: the logistic dose–response of Schenk & Jackson 2002, hierarchical by biome, with climate.

.. math:: R(D) = \frac{1}{1 + (D/D_{50})^c}, \qquad c = \frac{-1.27875}{\log_{10} D_{95} - \log_{10} D_{50}}

R(D) is the share of roots above depth D. Shares of the seven layers are differences of R, divided by R(200 cm), so that
they sum to 1.

Profile i at site s of biome b has :math:`y_i = (\log_{10} D_{50}, \log(\log_{10} D_{95} - \log_{10} D_{50}))`, the
logarithm of the difference because it keeps D95 > D50:

.. math::
    y_i = \alpha_b + B x_s + u_s + w_i + \kappa z_i \delta_i, \quad
    u_s \sim N(0, \Sigma_\mathrm{site}),\ w_i \sim N(0, \Sigma_\mathrm{profile}),\ z_i \sim N(0, 1),\
    \alpha_b \sim N(\mu, \mathrm{diag}(\sigma_b^2))

x are principal components of climate. δ is how far y was moved by extrapolating to the roots below the sampled depth;
κ, which is estimated, scales the error of that extrapolation.

Given the standard deviations and κ all is Normal, so all is integrated out. Profiles of a site share x and b, so their
mean, weighted by their precisions, holds all that they say about α and B, which are drawn afterwards
(`RootRecords.complete`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ..constants import BIOMES, LAYER_NAMES, LAYERS
from .components import Components
from .spread import divided_spread, half_normal

if TYPE_CHECKING:
    import pymc as pm

SHAPE = -1.27875
"""log10(0.05/0.95): 95 % of the roots are above D95."""

BOUNDS = np.array([LAYERS[0][0], *(bottom for _, bottom in LAYERS)], float)
DEPTHS = ("log10_d50", "log_gap")
"""The two numbers that the model is of: log10 of D50 in cm, and the logarithm of log10 D95 - log10 D50."""

COLUMNS = (["d50", "d95"], ["d50_sampled", "d95_sampled"])
PRIOR_MEAN = (float(np.log10(15.0)), float(np.log(np.log10(6.0))))
PRIORS = {
    "mean": (0.5, "normal; D50 about 15 cm within a factor of 10, D95/D50 about 6 within 2 to 60"),
    "slope": (0.2, "normal; a standard deviation of a component changes D50 by a factor of up to 2.5"),
    "biome_sd": (0.3, "half-normal; biomes differ by a factor of up to 4"),
    "site_sd": (0.3, "half-normal; so do sites"),
    "profile_sd": (0.3, "half-normal; and profiles of a site"),
    "extrapolation_sd": (1.0, "half-normal; an extrapolation may be wrong by all that it added"),
}
"""Scale of each prior, and why; correlations are 2 Beta(2, 2) - 1."""

SAMPLED = (
    "mean",
    "biome_mean",
    "slope",
    "biome_sd",
    "site_sd",
    "profile_sd",
    "site_correlation",
    "profile_correlation",
    "extrapolation_sd",
)
"""What is kept of a posterior."""


def cumulative_share(depth: ArrayLike, d50: ArrayLike, d95: ArrayLike) -> NDArray[np.float64]:
    """Share of all roots above a depth; arrays broadcast, all in cm."""
    depth, d50, d95 = (np.asarray(a, float) for a in (depth, d50, d95))
    c = SHAPE / (np.log10(d95) - np.log10(d50))
    with np.errstate(divide="ignore", over="ignore"):  # at the surface (D/D50)^c is infinite and the share 0
        return 1 / (1 + (depth / d50) ** c)


def layer_fractions(d50: ArrayLike, d95: ArrayLike) -> NDArray[np.float64]:
    """Shares of roots in the seven standard layers, 0–20 to 150–200 cm.

    Parameters
    ----------
    d50, d95 : array-like of float
        Depths above which 50 and 95 % of the roots lie, cm; broadcast against each other.

    Returns
    -------
    ndarray, shape (…, 7)
        Share of each layer in the roots of 0–200 cm; the shares of a profile sum to 1.

    Examples
    --------
    >>> layer_fractions(15.0, 90.0).round(2)
    array([0.62, 0.22, 0.07, 0.03, 0.02, 0.02, 0.01])
    """
    d50, d95 = np.broadcast_arrays(np.asarray(d50, float), np.asarray(d95, float))
    above = cumulative_share(BOUNDS, d50[..., None], d95[..., None])
    return np.diff(above, axis=-1) / above[..., -1:]


def to_log_depths(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """log10 of D50 and of D95, cm, (…, 2), from `DEPTHS` on the last axis."""
    return np.stack([y[..., 0], y[..., 0] + np.exp(y[..., 1])], axis=-1)


def from_log_depths(log_depths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of `to_log_depths`."""
    return np.stack([log_depths[..., 0], np.log(log_depths[..., 1] - log_depths[..., 0])], axis=-1)


def to_depths(y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """D50 and D95, cm, from `DEPTHS` on the last axis."""
    d50, d95 = np.moveaxis(10 ** to_log_depths(y), -1, 0)
    return d50, d95


class Symmetric(NamedTuple):
    """Symmetric 2 x 2 matrices."""

    first: Any
    across: Any
    last: Any


class Sites(NamedTuple):
    """Sites given the spreads: log probability density of the differences between profiles; the mean of these, less
    `PRIOR_MEAN`, of both numbers; and the covariance of that mean.
    """

    within: Any
    mean: tuple[Any, Any]
    covariance: Symmetric


class NormalEquations(NamedTuple):
    """Zᵀ C⁻¹ Z, Zᵀ C⁻¹ y, yᵀ C⁻¹ y, and the log determinant of 2π C."""

    matrix: Any
    pull: Any
    square: Any
    log_determinant: Any


@dataclass(frozen=True)
class RootRecords:
    """Root profiles, sites side by side; what `inference.regressions` asks of a model.

    Attributes
    ----------
    y : ndarray
        `DEPTHS` of each profile, (n, 2).
    extrapolated : ndarray
        How far it was moved by extrapolation, (n, 2).
    X : ndarray
        Predictors, (n, p).
    predictors : tuple of str
        Their names.
    biome : ndarray
        1–9, (n,).
    unit : ndarray
        Number of the site, in order, (n,).
    unit_ids : tuple of str
        Names of sites.
    """

    y: NDArray[np.float64]
    extrapolated: NDArray[np.float64]
    X: NDArray[np.float64]
    predictors: tuple[str, ...]
    biome: NDArray[np.int64]
    unit: NDArray[np.int64]
    unit_ids: tuple[str, ...]

    sampled: ClassVar[tuple[str, ...]] = SAMPLED
    target_accept: ClassVar[float] = 0.9
    max_tree_depth: ClassVar[int] = 8

    @property
    def first(self) -> NDArray[np.int64]:
        """First profile of each site."""
        return np.searchsorted(self.unit, np.arange(len(self.unit_ids)))

    @property
    def observed(self) -> NDArray[np.float64]:
        """What predictions are compared with: log10 of D50 and of D95, cm, (n, 2)."""
        return to_log_depths(self.y)

    def rows(self, keep: NDArray[np.bool_]) -> RootRecords:
        """The same without some profiles; sites that lose all of theirs are gone."""
        units, unit = np.unique(self.unit[keep], return_inverse=True)
        kept = replace(
            self, y=self.y[keep], extrapolated=self.extrapolated[keep], X=self.X[keep], biome=self.biome[keep]
        )
        return replace(kept, unit=unit, unit_ids=tuple(self.unit_ids[u] for u in units))

    def build(self) -> pm.Model:
        """The PyMC model of the spreads, correlations and κ, the coefficients integrated out."""
        import pymc as pm
        import pytensor.tensor as pt
        from pytensor.tensor.linalg import cholesky, solve_triangular

        scale = {name: s for name, (s, _) in PRIORS.items()}
        with pm.Model(coords={"depth": list(DEPTHS)}) as model:
            biome_sd = half_normal("biome_sd", scale["biome_sd"], dims="depth")
            scales = (scale["site_sd"], scale["profile_sd"])
            covariances = []
            for kind, sd in zip(
                ("site", "profile"), divided_spread(("site_sd", "profile_sd"), scales, "depth"), strict=True
            ):
                half = pm.Beta(f"{kind}_correlation_half", 2.0, 2.0)
                correlation = pm.Deterministic(f"{kind}_correlation", 2 * half - 1)
                covariances.append(Symmetric(sd[0] ** 2, correlation * sd[0] * sd[1], sd[1] ** 2))
            kappa = half_normal("extrapolation_sd", scale["extrapolation_sd"])

            def by_unit(values: Any) -> Any:
                return pt.zeros(len(self.unit_ids))[self.unit].inc(values)

            sites = self._by_site(covariances, kappa, by_unit, pt.log)
            G, h, square, log_det = _normal_equations(self.site_design, sites, pt)
            prior = self._prior_scale(biome_sd, pt.concatenate)
            root = cholesky(np.eye(2 * self.site_design.shape[1]) + prior[:, None] * G * prior)
            half_h = solve_triangular(root, prior * h, lower=True)
            fit = square - half_h @ half_h + log_det + 2 * pt.log(pt.diag(root)).sum()
            pm.Potential("sites", sites.within.sum() - 0.5 * fit)
        return model

    def complete(self, draws: dict[str, NDArray], rng: np.random.Generator) -> dict[str, NDArray]:
        """Draws of the spreads, correlations and κ, with exact draws of the coefficients given them: `mean` (draw, 2),
        `biome_mean` (draw, biome, 2), `slope` (draw, p, 2). Biomes without profiles are drawn from their prior.
        """
        columns, count = self.site_design.shape[1], len(draws["biome_sd"])
        theta = np.empty((count, 2, columns))
        for i in range(count):
            kappa = draws["extrapolation_sd"][i]
            sites = self._by_site(_covariances(draws, i), kappa, self._sum_by_site, np.log)
            G, h, _, _ = _normal_equations(self.site_design, sites, np)
            prior = self._prior_scale(draws["biome_sd"][i], np.concatenate)
            root = np.linalg.cholesky(np.eye(2 * columns) + prior[:, None] * G * prior)
            white = np.linalg.solve(root, prior * h) + rng.standard_normal(2 * columns)
            theta[i] = (prior * np.linalg.solve(root.T, white)).reshape(2, columns)
        theta = theta.transpose(0, 2, 1)
        mean = theta[:, 0] + np.array(PRIOR_MEAN)
        biomes = len(BIOMES)
        coefficients = {"mean": mean, "biome_mean": mean[:, None] + theta[:, 1 : 1 + biomes]}
        return draws | coefficients | {"slope": theta[:, 1 + biomes :]}

    @property
    def site_design(self) -> NDArray[np.float64]:
        """Design matrix of the sites: intercept, biome, predictors, (site, 1 + 9 + p)."""
        biome = self.biome[self.first, None] == np.array(list(BIOMES))
        return np.column_stack([np.ones(len(biome)), biome, self.X[self.first]])

    def _prior_scale(self, biome_sd: Any, concatenate: Any) -> Any:
        """Prior standard deviations of the coefficients, of the first of `DEPTHS` and then of the second."""
        slopes = np.full(self.X.shape[1], PRIORS["slope"][0])
        ones, mean = np.ones(len(BIOMES)), np.array([PRIORS["mean"][0]])
        return concatenate([mean, biome_sd[0] * ones, slopes, mean, biome_sd[1] * ones, slopes])

    def _sum_by_site(self, values: NDArray) -> NDArray:
        return np.add.reduceat(values, self.first) if len(values) else values

    def _by_site(self, covariances: Sequence[Symmetric], kappa: Any, by_unit: Any, log: Any) -> Sites:
        """Sites, given the covariances between sites and between profiles."""
        site, profile = covariances
        first, last = self.extrapolated.T
        r, s = (self.y - np.array(PRIOR_MEAN)).T
        precision, determinant = _inverse(
            Symmetric(
                profile.first + kappa**2 * first**2,
                profile.across + kappa**2 * first * last,
                profile.last + kappa**2 * last**2,
            )
        )
        pull = (precision[0] * r + precision[1] * s, precision[1] * r + precision[2] * s)
        of_mean, total = _inverse(Symmetric(*(by_unit(p) for p in precision)))
        v, w = (by_unit(p) for p in pull)
        mean = (of_mean[0] * v + of_mean[1] * w, of_mean[1] * v + of_mean[2] * w)
        square = by_unit(r * pull[0] + s * pull[1]) - (mean[0] * v + mean[1] * w)
        spare = 2 * (np.bincount(self.unit, minlength=len(self.unit_ids)) - 1) * np.log(2 * np.pi)
        within = -0.5 * (square + by_unit(log(determinant)) + log(total) + spare)
        return Sites(within, mean, Symmetric(*(a + b for a, b in zip(of_mean, site, strict=True))))

    def expected(self, draws: dict[str, NDArray]) -> NDArray[np.float64]:
        """`DEPTHS` that the regression says of each profile, (draw, n, 2)."""
        return draws["biome_mean"][:, self.biome - 1] + np.einsum("np,mpd->mnd", self.X, draws["slope"])

    def fitted(self, draws: dict[str, NDArray]) -> NDArray[np.float64]:
        """log10 of D50 and of D95 that the regression says, mean over the draws, (n, 2)."""
        return to_log_depths(self.expected(draws)).mean(axis=0)

    def log_likelihood(self, draws: dict[str, NDArray]) -> NDArray[np.float64]:
        """Log likelihood of each site given the coefficients, (draw, site)."""
        expected = self.expected(draws)[:, self.first] - np.array(PRIOR_MEAN)
        out = np.empty(expected.shape[:2])
        for i, kappa in enumerate(draws["extrapolation_sd"]):
            within, mean, covariance = self._by_site(_covariances(draws, i), kappa, self._sum_by_site, np.log)
            precision, determinant = _inverse(covariance)
            r, s = mean[0] - expected[i, :, 0], mean[1] - expected[i, :, 1]
            square = precision[0] * r**2 + 2 * precision[1] * r * s + precision[2] * s**2
            out[i] = within - 0.5 * (square + np.log(determinant)) - np.log(2 * np.pi)
        return out

    def new_sites(
        self, draws: dict[str, NDArray], rng: np.random.Generator, *, extrapolated: bool = False
    ) -> NDArray[np.float64]:
        """`DEPTHS` of new profiles of new sites at the same places, (draw, n, 2); `extrapolated`: with the error of an
        extrapolation that goes as far as the profile's.
        """
        count, n = len(draws["mean"]), len(self.y)
        site = _correlated(draws, "site", rng.standard_normal((count, len(self.unit_ids), 2)))[:, self.unit]
        y = self.expected(draws) + site + _correlated(draws, "profile", rng.standard_normal((count, n, 2)))
        if extrapolated:
            size = draws["extrapolation_sd"][:, None] * rng.standard_normal((count, n))
            y += size[..., None] * self.extrapolated
        return y

    def replicate(self, draws: dict[str, NDArray], rng: np.random.Generator) -> NDArray[np.float64]:
        """log10 of D50 and of D95 of new profiles of new sites, (draw, n, 2), as they would be reported."""
        return to_log_depths(self.new_sites(draws, rng, extrapolated=True))

    def with_observed(self, observed: NDArray[np.float64]) -> RootRecords:
        """The same places with other depths, log10 of D50 and of D95."""
        return replace(self, y=from_log_depths(observed))

    def derived(self, draws: dict[str, NDArray]) -> dict[str, NDArray[np.float64]]:
        """Nothing but the draws is kept."""
        return {}

    def ranked(self, draws: dict[str, NDArray]) -> dict[str, NDArray[np.float64]]:
        """What is ranked in simulation-based calibration, (draw,)."""
        named = {name: draws[name] for name in ("site_correlation", "profile_correlation", "extrapolation_sd")}
        for i, depth in enumerate(DEPTHS):
            named |= {f"{name} {depth}": draws[name][:, i] for name in ("mean", "biome_sd", "site_sd", "profile_sd")}
            named[f"biome {depth}"] = draws["biome_mean"][:, self.biome[0] - 1, i]
            named |= {f"slope {p} {depth}": draws["slope"][:, j, i] for j, p in enumerate(self.predictors[:1])}
        return named

    @property
    def coords(self) -> dict[str, list[str]]:
        """Names of the places of a posterior's dimensions."""
        return {"biome": list(BIOMES.values()), "depth": list(DEPTHS), "predictor": list(self.predictors)}

    @property
    def dims(self) -> dict[str, list[str]]:
        """Dimensions of a posterior's variables other than draws."""
        by_depth = {name: ["depth"] for name in ("mean", "biome_sd", "site_sd", "profile_sd")}
        by_depth |= {"biome_mean": ["biome", "depth"], "slope": ["predictor", "depth"]}
        return by_depth | {"y": ["record", "root_share"]}


def _inverse(matrix: Symmetric) -> tuple[Symmetric, Any]:
    """Inverse of matrices, and their determinant."""
    a, b, c = matrix
    determinant = a * c - b**2
    return Symmetric(c / determinant, -b / determinant, a / determinant), determinant


def _normal_equations(X: NDArray[np.float64], sites: Sites, xp: Any) -> NormalEquations:
    """Normal equations of the coefficients, those of the first number, then those of the second. In NumPy or PyTensor
    (`xp`).
    """
    (a, b, c), determinant = _inverse(sites.covariance)
    mean = sites.mean
    across = X.T @ (b[:, None] * X)
    top, below = ((X.T @ (w[:, None] * X)) for w in (a, c))
    G = xp.concatenate([xp.concatenate([top, across], axis=1), xp.concatenate([across, below], axis=1)], axis=0)
    pull = (a * mean[0] + b * mean[1], b * mean[0] + c * mean[1])
    h = xp.concatenate([X.T @ pull[0], X.T @ pull[1]])
    square = (mean[0] * pull[0] + mean[1] * pull[1]).sum()
    return NormalEquations(G, h, square, (xp.log(determinant) + 2 * np.log(2 * np.pi)).sum())


def _covariances(draws: dict[str, NDArray], i: int) -> list[Symmetric]:
    """Covariances between sites, and between profiles, in one draw."""
    pairs = [(draws[f"{kind}_sd"][i], draws[f"{kind}_correlation"][i]) for kind in ("site", "profile")]
    return [Symmetric(sd[0] ** 2, r * sd[0] * sd[1], sd[1] ** 2) for sd, r in pairs]


def _correlated(draws: dict[str, NDArray], kind: str, white: NDArray) -> NDArray[np.float64]:
    """White noise (draw, n, 2) with the covariance of sites, or of profiles."""
    sd, correlation = draws[f"{kind}_sd"][:, None], draws[f"{kind}_correlation"][:, None]
    second = correlation * white[..., 0] + np.sqrt(1 - correlation**2) * white[..., 1]
    return sd * np.stack([white[..., 0], second], axis=-1)


def make_root_records(profiles: pd.DataFrame, components: Components) -> RootRecords:
    """Records of profiles in any order; those of one place are a site.

    Parameters
    ----------
    profiles : DataFrame
        `lat`, `lon`, `d50`, `d95`, and `d50_sampled`, `d95_sampled` of the sampled part alone (cm; NaN where unknown:
        then the extrapolation is taken to be the median of all), `biome`, the covariates.
    """
    profiles = profiles.sort_values(["lat", "lon"], kind="stable")
    site = profiles.groupby(["lat", "lon"], sort=False).ngroup().to_numpy().astype(np.int64)
    places = profiles.drop_duplicates(["lat", "lon"])
    with np.errstate(invalid="ignore", divide="ignore"):
        y, sampled = (from_log_depths(np.log10(profiles[c].to_numpy(float))) for c in COLUMNS)
    moved = y - sampled
    known = pd.DataFrame(moved).replace([np.inf, -np.inf], np.nan)
    return RootRecords(
        y,
        known.fillna(known.median()).fillna(0.0).to_numpy(float),
        components.scores(profiles),
        components.names,
        profiles["biome"].to_numpy(int),
        site,
        tuple(f"{lat:g}/{lon:g}" for lat, lon in zip(places["lat"], places["lon"], strict=True)),
    )


def new_profiles(
    draws: dict[str, NDArray], components: Components, places: pd.DataFrame, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """D50 and D95 (cm) of one new profile at each place, (draw, place).

    Parameters
    ----------
    places : DataFrame
        `lat`, `lon`, `biome`, covariates.
    """
    unknown = places.assign(**dict.fromkeys(("d50", "d95", "d50_sampled", "d95_sampled"), np.nan))
    records = make_root_records(unknown, components)
    as_records = places.sort_values(["lat", "lon"], kind="stable")
    back = np.argsort(places.index.get_indexer(as_records.index))
    d50, d95 = to_depths(records.new_sites(draws, rng)[:, back])
    return d50, d95


def fractions_by_biome(
    draws: dict[str, NDArray], records: RootRecords, count: int, rng: np.random.Generator, *, sites_per_draw: int = 400
) -> xr.Dataset:
    """Shares of the seven layers by biome, over the climates of its sites (where it has none: at the mean of all).

    Returns
    -------
    Dataset
        Dataset over (draw, biome, layer): `expected`, the biome's mean share (its uncertainty is that of the biome),
        and `predictive`, the share at one new site.
    """
    total = len(draws["mean"])
    pick = rng.choice(total, count, replace=count > total)
    some = {name: v[pick] for name, v in draws.items()}
    places = np.zeros((len(BIOMES), sites_per_draw, records.X.shape[1]))
    for b in np.unique(records.biome):
        climates = records.X[records.first][records.biome[records.first] == b]
        places[b - 1] = climates[rng.integers(0, len(climates), sites_per_draw)]
    n = places.shape[0] * sites_per_draw
    new = RootRecords(
        np.zeros((n, 2)),
        np.zeros((n, 2)),
        places.reshape(n, -1),
        records.predictors,
        np.repeat(np.array(list(BIOMES)), sites_per_draw),
        np.arange(n),
        tuple(map(str, range(n))),
    )
    share = np.empty((count, len(BIOMES), 2, len(LAYERS)))
    for i in range(count):  # one by one, for the sake of memory
        one = layer_fractions(*to_depths(new.new_sites({name: v[i : i + 1] for name, v in some.items()}, rng)))
        by_biome = one.reshape(len(BIOMES), sites_per_draw, len(LAYERS))
        share[i] = np.stack([by_biome.mean(axis=1), by_biome[:, rng.integers(sites_per_draw)]], axis=1)
    dims = ("draw", "biome", "layer")
    return xr.Dataset(
        {"expected": (dims, share[:, :, 0]), "predictive": (dims, share[:, :, 1])},
        coords={"biome": list(BIOMES), "layer": list(LAYER_NAMES)},
    )
