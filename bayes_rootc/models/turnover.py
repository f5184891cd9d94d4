r"""The population of decay rates: how log k falls with depth and differs between biomes, learnt from all layers at
once.

.. math:: \log k_i \sim \mathrm{Normal}(\beta_{b(i)} + \beta_1 \log(1 + z_i/10\,\mathrm{cm})
          + \beta_2 z_i/100\,\mathrm{cm},\ \tau), \qquad
          \Delta^{14}\mathrm{C}_i \sim \mathrm{Normal}(F(k_i), \sigma_i \oplus \sigma_\mathrm{model})

A measurement with two solutions says little about which is right; the population does. log k is integrated out exactly
on the grid, so
the hyperparameters (β, τ, σ_model) have an ordinary smooth likelihood, and its maximum is found by gradient (empirical
Bayes, with weak priors).
The fitted population is then the prior of each layer in `radiocarbon.invert`. The uncertainty of the hyperparameters
themselves is not carried: with
thousands of layers it is small beside that of a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize

from ..constants import BIOMES
from ..data.atmosphere import Atmosphere, Prehistory
from ..errors import InputError
from .radiocarbon import LOG_K_RANGE, LogNormalPrior, atmosphere_sd, predicted_table

DEPTH_SCALE_CM = 10.0
BIOME_SD = 1.0
"""Ridge on the biome intercepts about their mean: a biome with few layers stays near the others."""

LOG_TAU_PRIOR = (0.0, 0.5)
LOG_MODEL_SD_PRIOR = (float(np.log(30.0)), 0.3)
"""Normal priors of log τ and log σ_model. Layers whose Δ14C is steep in log k say little about σ_model: with a thousand
layers its likelihood is flat from 12 to 25 ‰, and a mode that is too low makes every interval too narrow. The prior
spans 16–55 ‰; with the 4,500 layers of the real compilation (41 ± 2 ‰) it does not matter.
"""

START = {"mean": -6.0, "slope_log": -1.0, "slope_linear": 0.0, "log_tau": 0.0, "log_model_sd": float(np.log(30.0))}
FIT_GRID_SIZE = 384
"""Nodes of the grid while the hyperparameters are sought; σ_model ≥ 10 ‰ makes the integrand smooth on it."""


@dataclass(frozen=True)
class Population:
    """Fitted hyperparameters: mean of log k by biome (index 0: biome 1) at the surface, its slopes on log(1 + z/10 cm)
    and z/1 m,
    τ, and σ_model (‰).
    """

    biome: NDArray[np.float64]
    slope: NDArray[np.float64]
    tau: float
    model_sd: float

    def mean_log_k(
        self, biome: NDArray[np.int64], top: NDArray[np.float64], bottom: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Mean of log k for layers of a biome (1–9) with bounds in cm."""
        return self.biome[np.asarray(biome) - 1] + _depth(np.asarray(top), np.asarray(bottom)) @ self.slope

    def prior(self, biome: NDArray[np.int64], top: NDArray[np.float64], bottom: NDArray[np.float64]) -> LogNormalPrior:
        """The prior of k for layers, as `radiocarbon.invert` takes it."""
        return LogNormalPrior(median_age=np.exp(-self.mean_log_k(biome, top, bottom)), log_sd=self.tau)

    def table(self) -> pd.DataFrame:
        """Hyperparameters with units, one a row."""
        rows = [
            {
                "parameter": f"median age at the surface, {name}",
                "value": float(np.exp(-self.biome[b - 1])),
                "unit": "yr",
            }
            for b, name in BIOMES.items()
        ]
        rows += [
            {"parameter": "slope of log k on log(1 + depth / 10 cm)", "value": self.slope[0], "unit": "1"},
            {"parameter": "slope of log k on depth / 1 m", "value": self.slope[1], "unit": "1"},
            {"parameter": "tau, spread of log k between layers", "value": self.tau, "unit": "1"},
            {"parameter": "sigma_model, misfit of a one-pool model", "value": self.model_sd, "unit": "per mille"},
        ]
        return pd.DataFrame(rows)


def fit_population(layers: pd.DataFrame, atmosphere: Atmosphere, prehistory: Prehistory = "steady") -> Population:
    """Hyperparameters that make the measured layers most probable, every layer's log k integrated out.

    Parameters
    ----------
    layers : `delta14c`, `sigma` (‰), `year`, `zone`, `biome` (1–9), `top`, `bottom` (cm).

    Raises
    ------
    InputError : fewer layers than hyperparameters.
    """
    if len(layers) < len(BIOMES) + len(START):
        raise InputError(
            f"{len(layers)} radiocarbon layers are too few to learn how age changes with depth; "
            'set turnover_prior = "weak"'
        )
    objective = _objective(layers, atmosphere, prehistory)
    found = minimize(objective, np.r_[np.zeros(len(BIOMES)), list(START.values())], jac=True, method="L-BFGS-B")
    offsets, (mean, *slope, log_tau, log_model_sd) = found.x[: len(BIOMES)], found.x[len(BIOMES) :]
    return Population(mean + offsets, np.array(slope), float(np.exp(log_tau)), float(np.exp(log_model_sd)))


def log_posterior(
    population: Population, layers: pd.DataFrame, atmosphere: Atmosphere, prehistory: Prehistory = "steady"
) -> float:
    """Log likelihood of hyperparameters plus their log prior, up to a constant: what `fit_population` maximises."""
    mean = population.biome.mean()
    theta = np.r_[population.biome - mean, mean, *population.slope, np.log(population.tau), np.log(population.model_sd)]
    return -_objective(layers, atmosphere, prehistory)(theta)[0]


def _objective(
    layers: pd.DataFrame, atmosphere: Atmosphere, prehistory: Prehistory
) -> Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]:
    """Negative log posterior of the hyperparameters and its gradient, as a function of (biome offsets, mean, slope, log
    τ, log σ_model).
    """
    log_k = np.linspace(*LOG_K_RANGE, FIT_GRID_SIZE)
    year, zone = layers["year"].to_numpy(float), layers["zone"].to_numpy(str)
    predicted = predicted_table(np.exp(log_k), year, zone, prehistory, atmosphere)
    known_variance = layers["sigma"].to_numpy() ** 2 + atmosphere_sd(year, zone, atmosphere) ** 2
    depth = _depth(layers["top"].to_numpy(float), layers["bottom"].to_numpy(float))
    data = (
        predicted,
        layers["delta14c"].to_numpy(float),
        known_variance,
        layers["biome"].to_numpy(int) - 1,
        depth,
        log_k,
    )
    with jax.enable_x64(True):
        arrays = tuple(jnp.asarray(a) for a in data)

    def objective(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        with jax.enable_x64(True):
            value, gradient = _negative_log_posterior(jnp.asarray(theta), *arrays)
            return float(value), np.asarray(gradient)

    return objective


def _depth(top: NDArray, bottom: NDArray) -> NDArray[np.float64]:
    """Both forms of depth: k falls steeply in the first decimetres, and may go on falling evenly below."""
    middle = (top + bottom) / 2
    return np.stack([np.log1p(middle / DEPTH_SCALE_CM), middle / 100], axis=-1)


@jax.jit
@jax.value_and_grad
def _negative_log_posterior(theta, predicted, observed, known_variance, biome, depth, log_k):  # type: ignore[no-untyped-def]
    offsets, mean, slope = theta[: len(BIOMES)], theta[len(BIOMES)], theta[len(BIOMES) + 1 : -2]
    log_tau, log_model_sd = theta[-2:]
    variance = known_variance + jnp.exp(2 * log_model_sd)
    log_likelihood = (
        -0.5 * (observed[:, None] - predicted) ** 2 / variance[:, None] - 0.5 * jnp.log(2 * jnp.pi * variance)[:, None]
    )
    z = (log_k - (mean + offsets[biome] + depth @ slope)[:, None]) / jnp.exp(log_tau)
    log_prior = -0.5 * z**2 - log_tau - 0.5 * jnp.log(2 * jnp.pi)
    step = log_k[1] - log_k[0]
    layers = jax.scipy.special.logsumexp(log_likelihood + log_prior, axis=1) + jnp.log(step)
    penalty = jnp.sum((offsets / BIOME_SD) ** 2)
    for value, (centre, sd) in ((log_tau, LOG_TAU_PRIOR), (log_model_sd, LOG_MODEL_SD_PRIOR)):
        penalty += ((value - centre) / sd) ** 2
    return 0.5 * penalty - layers.sum()
