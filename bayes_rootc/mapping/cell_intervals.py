r"""Statistics of I_root, I_bulk and I_loss of a cell from formulas, in place of its 500 members.

Members of a cell are independent of those of others, so that nothing is asked of them but their distribution, and 500
members leave that uncertain: the level of a 2.5 % quantile by 0.7 percentage points, that of a median by 2.2. What
follows here costs a fiftieth of them and has no noise. It is nearer to 20,000 members than 500 are (the tests say how
near), but for the lower end of I_loss where one site in twenty of a biome has hardly any roots in a layer.

- Means, variances, and quantiles of what is log-normal (I_root of the profile, I_bulk of a layer) are exact.
- I_root of a layer is a log-normal times a share, whose draws have any distribution; so is I_root / I_bulk, and with it
  the share that is lost and P(I_loss > 0). The distribution of such a product, on a log scale and about its median,
  depends on biome, layer and one standard deviation: `ProductTable` holds it.
- I_bulk of the profile, a sum of correlated log-normals: the first four cumulants of its logarithm by a cubature of
  degree 5 (a central composite design of 81 points), and from these quantiles (Cornish and Fisher 1938) and
  probabilities (Edgeworth).
- I_loss = X - Y from the quantiles of both: ends of the interval by adding their distances from the median in
  quadrature (Zou and Donner 2008), :math:`q_p = x_{0.5} - y_{0.5} \pm \sqrt{(x_p - x_{0.5})^2 + (y_{1-p} -
  y_{0.5})^2}`, and the median with the curvature of both quantile functions, :math:`x'' / 2` and :math:`y'' / 2` by the
  standard normal deviate, of which each counts by the other's part in the variance.

`monte_carlo.independent_statistics` makes the members themselves, and is what this is tested against.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr as normal_cdf
from scipy.special import ndtri

from ..constants import LAYERS
from .monte_carlo import FLUXES, LEVELS, LogNormals, Statistics

CHUNK_CELLS = 2048

Z = ndtri(list(LEVELS.values()))

STEP, PLACES, LEAST_LOG = 0.0125, 4096, -30.0
"""Spacing, number and first of the logarithms on which products are tabulated."""

LEAST_SHARE = 1e-9

SPREADS = np.geomspace(0.03, 3.0, 40)
"""Standard deviations for which products are tabulated; beyond them, quantiles go on straight."""

SCORES = np.linspace(-6, 6, 129)
"""Where distribution functions are tabulated, in standard deviations from the mean."""

LEAST_VARIANCE = 1e-10


class ProductTable(NamedTuple):
    """Distribution of exp(spread · z) · share, z standard normal, for each biome and layer and for `SPREADS`.

    Attributes
    ----------
    mean, variance : Array
        Of the share, (9, 7).
    log_mean, log_variance : Array
        Of its logarithm, (9, 7).
    quantile : Array
        Logarithms of the quantiles of `LEVELS`, and first and second derivative at the median by the standard normal
        deviate, (9, 7, 40, 5).
    probability : Array
        Distribution function of the logarithm at `SCORES`, (9, 7, 40, 129).
    """

    mean: Array
    variance: Array
    log_mean: Array
    log_variance: Array
    quantile: Array
    probability: Array

    @classmethod
    def of(cls, fractions: ArrayLike) -> ProductTable:
        """The table of draws of the shares, (draw, 9, 7): their distribution is smoothed by Fourier transform."""
        shares = np.asarray(fractions, float)
        logs = np.log(np.maximum(shares, LEAST_SHARE))
        _, biomes, layers = shares.shape
        quantile = np.empty((biomes, layers, len(SPREADS), 5))
        probability = np.empty((biomes, layers, len(SPREADS), len(SCORES)))
        smoothing = np.exp(-((2 * np.pi * np.fft.rfftfreq(PLACES, STEP) * SPREADS[:, None]) ** 2) / 2)
        x, near = LEAST_LOG + STEP * np.arange(PLACES), 0.2
        levels = normal_cdf([Z[0], -near, 0, near, Z[2]])
        log_mean, log_variance = logs.mean(axis=0), logs.var(axis=0)
        for biome, layer in product(range(biomes), range(layers)):
            at = (logs[:, biome, layer] - LEAST_LOG) / STEP
            below = at.astype(int)
            counts = np.bincount(below, below + 1 - at, PLACES) + np.bincount(below + 1, at - below, PLACES)
            density = np.fft.irfft(np.fft.rfft(counts / len(logs)) * smoothing, PLACES)
            cdf = np.maximum.accumulate(np.cumsum(density, axis=1) - density / 2, axis=1)
            sd = np.sqrt(SPREADS**2 + log_variance[biome, layer])
            for i, row in enumerate(cdf):
                low, before, middle, after, high = np.interp(levels, row, x)
                slope, bend = (after - before) / (2 * near), (after - 2 * middle + before) / near**2
                quantile[biome, layer, i] = low, middle, high, slope, bend
                probability[biome, layer, i] = np.interp(log_mean[biome, layer] + SCORES * sd[i], x, row)
        arrays = shares.mean(axis=0), shares.var(axis=0), log_mean, log_variance, quantile, probability
        return cls(*(jnp.asarray(a, np.float32) for a in arrays))


class Quantity(NamedTuple):
    """A quantity's quantiles of `LEVELS`, (3, …), and the derivatives of its quantile function at the median."""

    quantiles: Array
    slope: Array
    bend: Array

    @classmethod
    def of_log(cls, quantiles: Array, slope: Array, bend: Array) -> Quantity:
        """The same from those of its logarithm."""
        values = jnp.exp(quantiles)
        return cls(values, slope * values[1], (slope**2 + bend) * values[1])

    def minus(self, other: Quantity) -> Array:
        """Quantiles of the difference from another, independent one, (3, …)."""
        (low, middle, high), (other_low, other_middle, other_high) = self.quantiles, other.quantiles
        part = 1 / (1 + (other.slope / jnp.maximum(self.slope, 1e-30)) ** 2)  # of the variance that is from this one
        difference = middle - other_middle
        return jnp.stack(
            [
                difference - jnp.hypot(middle - low, other_high - other_middle),
                difference + ((1 - part) * self.bend - part * other.bend) / 2,
                difference + jnp.hypot(high - middle, other_middle - other_low),
            ]
        )


class Cumulants(NamedTuple):
    """Mean, standard deviation, skewness and excess kurtosis of a quantity that is nearly Normal."""

    mean: Array
    sd: Array
    skewness: Array
    kurtosis: Array

    def quantile(self, z: float) -> Array:
        """Quantile at a standard normal deviate, by Cornish and Fisher."""
        g, k = self.skewness, self.kurtosis
        score = z + (z**2 - 1) * g / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * g**2 / 36
        return self.mean + self.sd * score

    @property
    def quantity(self) -> Quantity:
        """That of which it is the logarithm."""
        g, k = self.skewness, self.kurtosis
        slope = self.sd * (1 - k / 8 + 5 * g**2 / 36)
        return Quantity.of_log(jnp.stack([self.quantile(float(z)) for z in Z]), slope, self.sd * g / 3)

    def minus_normal(self, mean: Array, sd: Array) -> Cumulants:
        """Those of the difference from an independent Normal."""
        both = jnp.sqrt(self.sd**2 + sd**2)
        part = self.sd / both
        return Cumulants(self.mean - mean, both, self.skewness * part**3, self.kurtosis * part**4)

    @property
    def probability_below_0(self) -> Array:
        """By Edgeworth's series."""
        x, g, k = -self.mean / self.sd, self.skewness, self.kurtosis
        series = (x**2 - 1) * g / 6 + (x**3 - 3 * x) * k / 24 + (x**5 - 10 * x**3 + 15 * x) * g**2 / 72
        return jnp.clip(ndtr(x) - series * jnp.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), 0, 1)


def _composite_design(layers: int) -> tuple[NDArray, NDArray, NDArray]:
    """Cubature of degree 5 for the common error of a profile and those of its layers.

    Returns
    -------
    errors : ndarray
        The pairs of common and own error that occur, (9, 2).
    chosen : ndarray
        Which pair each layer has at a point, 0 or 1, (point, 9 · layer).
    weight : ndarray
        Weights of the points, (point,).
    """
    corners = np.array(list(product((-1, 1), repeat=layers - 1)))
    corners = np.c_[corners, corners[:, :4].prod(axis=1), corners[:, [0, 1, 4, 5]].prod(axis=1)]
    stars = np.concatenate([np.eye(layers + 1, dtype=int), -np.eye(layers + 1, dtype=int)])
    # Weights and distances for which 2nd and 4th moments are those of the Normal. The corners' distance is free: the
    # square of 1.66 has the nearest star points.
    corner = 1.66
    of_corners = 1 / corner**2
    star = 2 / (1 - of_corners * corner)
    of_stars = (1 - of_corners * corner) / (2 * star)
    weight = np.r_[
        np.full(len(corners), of_corners / len(corners)),
        np.full(len(stars), of_stars),
        1 - of_corners - len(stars) * of_stars,
    ]
    points = np.concatenate([corners * corner**0.5, stars * star**0.5, np.zeros((1, layers + 1))])
    pairs = np.stack(np.broadcast_arrays(points[:, :1], points[:, 1:]), axis=2)
    errors, which = np.unique(pairs.reshape(-1, 2).round(9), axis=0, return_inverse=True)
    chosen = which.reshape(len(points), layers) == np.arange(len(errors))[:, None, None]
    return errors, chosen.transpose(1, 0, 2).reshape(len(points), -1), weight


ERRORS, CHOSEN, WEIGHT = (a.astype(np.float32) for a in _composite_design(len(LAYERS)))


def interval_statistics(
    cells: LogNormals, table: ProductTable, *, profile_correlation: float, wanted: Collection[str] | None = None
) -> Statistics:
    """Statistics of I_root, I_bulk and I_loss of each cell, in the seven layers and the profile.

    Parameters
    ----------
    cells : LogNormals
        The fluxes; `cell` is not read.
    table : ProductTable
        That of the draws of the root shares.
    profile_correlation : float
        Correlation between the errors of a profile's layers.
    wanted : collection of str, optional
        Names of statistics that are needed besides means and variances, which are always there; all by default.

    Returns
    -------
    Statistics
        As `independent_statistics` gives them, (n, 8) float32.

    Examples
    --------
    >>> shares = np.random.default_rng(0).dirichlet(np.arange(8, 1, -1), (100, 9))
    >>> cells = LogNormals(np.zeros(3), np.full(3, 0.5), np.full((3, 7), -4.0), np.full((3, 7), 0.8), [1, 5, 9], None)
    >>> interval_statistics(cells, ProductTable.of(shares), profile_correlation=0.4)["iloss_p025"].shape
    (3, 8)
    """
    *fluxes, biome = cells[:-1]
    arrays = *(np.asarray(a, np.float32).T for a in fluxes), np.asarray(biome, np.int32) - 1
    n, layers = np.shape(cells.bulk_mean)
    moments = [f"{flux}_{name}" for flux in FLUXES for name in ("mean", "variance")]
    names = tuple(name for name in _NAMES if wanted is None or name in wanted or name in moments)
    out = {name: np.empty((n, layers + 1), np.float32) for name in names}
    for start in range(0, n, CHUNK_CELLS):
        part = [a[..., start : start + CHUNK_CELLS] for a in arrays]
        count = part[-1].size
        padding = (1 << (count - 1).bit_length()) - count  # few shapes are compiled
        part = [np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, padding)], mode="edge") for a in part]
        for name, values in _statistics(part, table, np.float32(profile_correlation), names).items():
            out[name][start : start + count] = np.asarray(values)[:, :count].T
    return out


_NAMES = (
    *(f"{name}_{statistic}" for name in FLUXES for statistic in ("mean", "variance", *LEVELS, "uncertainty")),
    *(f"share_{level}" for level in LEVELS),
    "iloss_probability",
)


@partial(jax.jit, static_argnames="names")
def _statistics(
    cells: list[Array], table: ProductTable, correlation: Array, names: tuple[str, ...]
) -> dict[str, Array]:
    """Statistics of cells, layers first, (8, cell). What is not asked for is not computed."""
    root_mean, root_sd, bulk_mean, bulk_sd, biome = cells
    share, spread = table.mean[biome].T, table.variance[biome].T
    root, bulk = jnp.exp(root_mean + root_sd**2 / 2), jnp.exp(bulk_mean + bulk_sd**2 / 2)
    alike = correlation + (1 - correlation) * jnp.eye(len(bulk), dtype=np.float32)
    covariance = bulk[:, None] * bulk * jnp.expm1(alike[..., None] * bulk_sd[:, None] * bulk_sd)
    variance = root**2 * jnp.expm1(root_sd**2)

    def joined(layers: Array, profile: Array) -> Array:
        return jnp.concatenate([layers, profile[None]])

    out = {
        "iroot_mean": joined(root * share, root),
        "ibulk_mean": joined(bulk, bulk.sum(axis=0)),
        "iroot_variance": joined(variance * share**2 + (variance + root**2) * spread, variance),
        "ibulk_variance": joined(jnp.einsum("llc->lc", covariance), covariance.sum(axis=(0, 1))),
    }
    out["iloss_mean"] = out["iroot_mean"] - out["ibulk_mean"]
    out["iloss_variance"] = out["iroot_variance"] + out["ibulk_variance"]

    z = Z.astype(np.float32)[:, None]
    whole_root = Quantity.of_log(root_mean + z * root_sd, root_sd, jnp.zeros_like(root_sd))
    log_root = _tabulated(table.quantile, biome, jnp.broadcast_to(root_sd, bulk_sd.shape))
    iroot = Quantity.of_log(root_mean + log_root[:3], log_root[3], log_root[4])
    ibulk = Quantity.of_log(bulk_mean + z[..., None] * bulk_sd, bulk_sd, jnp.zeros_like(bulk_sd))
    log_whole_bulk = _log_of_sum(bulk_mean, bulk_sd, correlation)
    whole_bulk = log_whole_bulk.quantity
    both_sd = jnp.sqrt(root_sd**2 + bulk_sd**2)
    ratio = jnp.exp(bulk_mean - root_mean - _tabulated(table.quantile[..., :3], biome, both_sd))
    log_whole_ratio = log_whole_bulk.minus_normal(root_mean, root_sd)
    whole_ratio = jnp.exp(jnp.stack([log_whole_ratio.quantile(-float(score)) for score in Z]))
    above = 1 - _probability(table, biome, both_sd, bulk_mean - root_mean)
    out["iloss_probability"] = joined(above, log_whole_ratio.probability_below_0)
    of_layers = {"iroot": iroot.quantiles, "ibulk": ibulk.quantiles, "iloss": iroot.minus(ibulk), "share": 1 - ratio}
    of_profile = whole_root.quantiles, whole_bulk.quantiles, whole_root.minus(whole_bulk), 1 - whole_ratio
    for (quantity, layers), profile in zip(of_layers.items(), of_profile, strict=True):
        for i, level in enumerate(LEVELS):
            out[f"{quantity}_{level}"] = joined(layers[i], profile[i])
    for flux in FLUXES:
        margin = (out[f"{flux}_p975"] - out[f"{flux}_p025"]) / 2
        out[f"{flux}_uncertainty"] = margin / jnp.maximum(abs(out[f"{flux}_mean"]), 1e-6)
    return {name: out[name] for name in names}


def _log_of_sum(mean: Array, sd: Array, correlation: Array) -> Cumulants:
    """Cumulants of the logarithm of the sum of a profile's layers, from those of their logarithms, (7, cell)."""
    error = jnp.sqrt(correlation) * ERRORS[:, 0] + jnp.sqrt(1 - correlation) * ERRORS[:, 1]
    values = jnp.exp(mean + error[:, None, None] * sd).reshape(-1, mean.shape[1])
    log = jnp.log(jnp.matmul(CHOSEN, values, precision="highest"))
    log, average = jax.lax.optimization_barrier((log, jnp.matmul(WEIGHT, log, precision="highest")))
    second, third, fourth = (jnp.matmul(WEIGHT, (log - average) ** power, precision="highest") for power in (2, 3, 4))
    variance = jnp.maximum(second, LEAST_VARIANCE)
    return Cumulants(average, jnp.sqrt(variance), third / variance**1.5, fourth / variance**2 - 3)


def _between_spreads(spread: Array) -> tuple[Array, Array]:
    """The tabulated spread below, and how far on the way to the next one."""
    ratio = np.log(SPREADS[1] / SPREADS[0])
    below = jnp.clip(jnp.log(jnp.maximum(spread, SPREADS[0]) / SPREADS[0]) / ratio, 0, len(SPREADS) - 2).astype(int)
    nodes = jnp.asarray(SPREADS, np.float32)
    return below, (spread - nodes[below]) / (nodes[below + 1] - nodes[below])


def _tabulated(quantile: Array, biome: Array, spread: Array) -> Array:
    """Quantiles, slopes and so on, (5, 7, cell), of products with this spread of the logarithm, (7, cell)."""
    below, on = _between_spreads(spread)
    layer = jnp.arange(len(spread))[:, None]
    low, high = (quantile[biome, layer, at] for at in (below, below + 1))
    return jnp.moveaxis(low + on[..., None] * (high - low), -1, 0)


def _probability(table: ProductTable, biome: Array, spread: Array, log: Array) -> Array:
    """Distribution function of the logarithm of products, (7, cell)."""
    layer = jnp.arange(len(spread))[:, None]
    sd = jnp.sqrt(spread**2 + table.log_variance[biome, layer])
    score = (log - table.log_mean[biome, layer]) / sd
    at = jnp.clip((score - SCORES[0]) / (SCORES[1] - SCORES[0]), 0, len(SCORES) - 1.001)
    place = at.astype(int)
    below, on = _between_spreads(spread)
    on = jnp.clip(on, 0, 1)

    def along(row: Array) -> Array:
        first, second = (table.probability[biome, layer, row, i] for i in (place, place + 1))
        return first + (at - place) * (second - first)

    return (1 - on) * along(below) + on * along(below + 1)
