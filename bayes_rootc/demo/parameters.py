"""Parameters of the demo world: what every stage should recover."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..constants import (
    BIOMES,
    M_TO_CM,
)
from ..data.israd import (
    MEASURED_STOCK_LOG_SD,
)
from ..models.root_depth import layer_fractions

Array = NDArray[np.float64]

DRIVERS = ("bio1", "bio12", "clay")
"""The rasters on which carbon depends, besides the biome."""

SOIL_ORDERS = (
    "Oxisols",
    "Alfisols",
    "Alfisols",
    "Mollisols",
    "Inceptisols",
    "Spodosols",
    "Gelisols",
    "Aridisols",
    "Mollisols",
)
"""A common soil order in each biome (USDA)."""


@dataclass(frozen=True)
class DemoParameters:
    """The truth. Tuples of nine are by biome, in the order of `BIOMES`; z(x) are x standardised as in `standardised`.

    Rates within a layer are log-normal: log k ~ Normal(centre, rate_sd²), weighted by carbon. The centre is intercept +
    biome + slope · depth + effects · z + noise of study, profile and layer, at the middle of a layer. Stock: an
    exponential in depth, times a factor of the profile and one of the layer. I_bulk = stock · mean of k.
    """

    # centres of the rates, log yr⁻¹; slopes for each metre of depth; spread of log k within a layer (0: one pool)
    log_k_intercept: float = -5.4
    log_k_biome: tuple[float, ...] = (0.6, 0.35, 0.05, 0.0, 0.3, -0.15, -0.3, 0.5, 0.35)
    log_k_slope: tuple[float, ...] = (-1.9, -2.0, -2.1, -2.2, -2.0, -1.8, -1.6, -1.9, -2.3)
    log_k_effects: tuple[float, ...] = (0.15, 0.12, -0.12)
    rate_sd: float = 1.0
    log_k_study_sd: float = 0.3
    log_k_profile_sd: float = 0.4
    log_k_layer_sd: float = 0.3

    # carbon stock: Mg ha⁻¹ in the first metre, depth (cm) over which its density falls by e
    stock_1m: tuple[float, ...] = (120.0, 100.0, 130.0, 140.0, 95.0, 170.0, 215.0, 65.0, 105.0)
    stock_depth: tuple[float, ...] = (40.0, 45.0, 38.0, 45.0, 42.0, 40.0, 48.0, 55.0, 45.0)
    log_stock_effects: tuple[float, ...] = (-0.05, 0.1, 0.1)
    log_stock_profile_sd: float = 0.25
    log_stock_layer_sd: float = 0.15
    log_stock_measured_sd: float = MEASURED_STOCK_LOG_SD

    # belowground production, Mg C ha⁻¹ yr⁻¹ (median), and its share of all production
    bnpp: tuple[float, ...] = (3.2, 3.2, 2.7, 3.2, 2.5, 2.3, 1.9, 1.6, 1.7)
    log_bnpp_effects: tuple[float, ...] = (0.12, 0.2, 0.0)
    log_bnpp_sd: float = 0.3
    f_bnpp: tuple[float, ...] = (0.35, 0.56, 0.32, 0.58, 0.5, 0.32, 0.52, 0.55, 0.27)
    logit_f_effects: tuple[float, ...] = (-0.1, -0.15, 0.0)
    logit_f_sd: float = 0.3
    log_npp_measured_sd: float = 0.15

    # roots: depth (cm) above which half lie, and D95/D50 (medians); noise of log10 D50, of log log10 D95/D50, and their
    # correlation
    d50: tuple[float, ...] = (15.0, 20.0, 18.0, 12.0, 22.0, 11.0, 10.0, 24.0, 14.0)
    d95_over_d50: tuple[float, ...] = (6.5, 7.0, 6.0, 6.5, 6.5, 6.0, 6.0, 6.0, 5.5)
    log10_d50_sd: float = 0.15
    log_gap_sd: float = 0.2
    root_correlation: float = -0.3

    # measurement: how far a layer, the CO₂ that it respires, and light less heavy carbon are from the model, ‰;
    # shares of layers that were incubated, and whose carbon was parted by density; how strongly light carbon is fast
    # carbon; share of layers without a usable σ; rows of each flaw, as a share of all
    model_sd: float = 30.0
    respired_sd: float = 40.0
    parts_sd: float = 40.0
    incubated_share: float = 0.2
    parted_share: float = 0.12
    light_link: float = 0.6
    lost_sigma_share: float = 0.08
    planted_share: float = 0.004

    def standardised(self, covariates: Mapping[str, Any]) -> Array:
        """z of `DRIVERS`, first axis: temperature, log of rain, clay about those of a temperate loam."""
        bio1, bio12, clay = (np.asarray(covariates[name], float) for name in DRIVERS)
        return np.stack([(bio1 - 10) / 12, np.log(np.maximum(bio12, 1) / 800) / 0.8, (clay - 25) / 12])

    def log_k(self, covariates: Mapping[str, Any], depth_cm: ArrayLike) -> Array:
        """Expected centre of the rates (log yr⁻¹) at a depth."""
        biome = covariates["biome"]
        slope = by_biome_of(self.log_k_slope, biome) * np.asarray(depth_cm) / M_TO_CM
        return (
            self.log_k_intercept
            + by_biome_of(self.log_k_biome, biome)
            + slope
            + self._effect(self.log_k_effects, covariates)
        )

    @property
    def log_ibulk_sd(self) -> float:
        """Standard deviation of the log of I_bulk about its median at a place."""
        k = np.hypot(self.log_k_study_sd, np.hypot(self.log_k_profile_sd, self.log_k_layer_sd))
        return float(np.hypot(k, np.hypot(self.log_stock_profile_sd, self.log_stock_layer_sd)))

    def stock(self, covariates: Mapping[str, Any], top: ArrayLike, bottom: ArrayLike) -> Array:
        """Median stock between two depths (cm), Mg C ha⁻¹."""
        depth = by_biome_of(self.stock_depth, covariates["biome"])
        share = (np.exp(-np.asarray(top) / depth) - np.exp(-np.asarray(bottom) / depth)) / (1 - np.exp(-100 / depth))
        return (
            by_biome_of(self.stock_1m, covariates["biome"])
            * np.exp(self._effect(self.log_stock_effects, covariates))
            * share
        )

    def median_bnpp(self, covariates: Mapping[str, Any]) -> Array:
        """Median belowground production, Mg C ha⁻¹ yr⁻¹."""
        return by_biome_of(self.bnpp, covariates["biome"]) * np.exp(self._effect(self.log_bnpp_effects, covariates))

    def logit_f_bnpp(self, covariates: Mapping[str, Any]) -> Array:
        """Expected logit of the belowground share of production."""
        share = by_biome_of(self.f_bnpp, covariates["biome"])
        return np.log(share / (1 - share)) + self._effect(self.logit_f_effects, covariates)

    def root_depths(self, biome: ArrayLike, noise: Array | None = None) -> tuple[Array, Array]:
        """D50 and D95 (cm) for standard normal `noise`, shape (n, 2); the medians without."""
        noise = np.zeros((*np.shape(biome), 2)) if noise is None else noise
        first, second = (
            noise[..., 0],
            self.root_correlation * noise[..., 0] + np.sqrt(1 - self.root_correlation**2) * noise[..., 1],
        )
        d50 = by_biome_of(self.d50, biome) * 10 ** (self.log10_d50_sd * first)
        gap = np.log10(by_biome_of(self.d95_over_d50, biome)) * np.exp(self.log_gap_sd * second)
        return d50, d50 * 10**gap

    def mean_root_fractions(self) -> Array:
        """Expected share of roots in each layer over the profiles of a biome, shape (biome, layer), by quadrature."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(21)
        noise = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1)
        weights = np.outer(weights, weights) / weights.sum() ** 2
        biome = np.array(list(BIOMES))[:, None, None]
        d50, d95 = self.root_depths(np.broadcast_to(biome, (len(BIOMES), *weights.shape)), noise)
        return np.einsum("bijl,ij->bl", layer_fractions(d50, d95), weights)

    def _effect(self, effects: tuple[float, ...], covariates: Mapping[str, Any]) -> Array:
        return np.tensordot(effects, self.standardised(covariates), axes=1)


def by_biome_of(by_biome: tuple[float, ...], biome: ArrayLike) -> Array:
    """A biome's value for each place; NaN for biome 0."""
    return np.array([np.nan, *by_biome])[np.asarray(biome, int)]
