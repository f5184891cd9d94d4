"""The population of decay rates is recovered from simulated layers, and settles two-valued measurements."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from bayes_rootc.data.atmosphere import Atmosphere
from bayes_rootc.errors import InputError
from bayes_rootc.models.radiocarbon import delta14c, invert
from bayes_rootc.models.turnover import Population, fit_population, log_posterior

TRUTH = {"surface": {1: -4.0, 3: -4.6, 6: -5.4}, "slope": np.array([-1.4, -0.3]), "tau": 0.8, "model_sd": 25.0}


def simulate(n: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    top = np.where(rng.random(n) < 0.3, 0.0, rng.exponential(40.0, n))  # three layers in ten start at the surface
    layers = pd.DataFrame(
        {
            "biome": rng.choice(list(TRUTH["surface"]), n),
            "top": top,
            "bottom": top + rng.uniform(5, 40, n),
            "year": rng.uniform(1975, 2019, n),
            "zone": rng.choice(["NHZone1", "NHZone3", "SHZone1-2"], n),
            "sigma": rng.uniform(2, 8, n),
        }
    )
    depth = np.log1p((layers["top"] + layers["bottom"]) / 20)
    log_k = (
        layers["biome"].map(TRUTH["surface"])
        + TRUTH["slope"][0] * depth
        + TRUTH["slope"][1] * (layers["top"] + layers["bottom"]) / 200
        + TRUTH["tau"] * rng.standard_normal(n)
    )
    clean = delta14c(np.exp(log_k), layers["year"], layers["zone"].to_numpy(str))
    layers["delta14c"] = clean + np.hypot(layers["sigma"], TRUTH["model_sd"]) * rng.standard_normal(n)
    return layers, log_k.to_numpy()


def test_the_truth_is_within_the_likelihood_ratio_bound_of_the_maximum():
    """Wilks: twice the gain in log likelihood over the truth is chi-squared with one degree of freedom a parameter."""
    layers, _ = simulate(1000)
    air = Atmosphere.packaged()
    found = fit_population(layers, air)
    surface = found.biome.copy()  # biomes without layers stay where the fit has them
    for biome, mean in TRUTH["surface"].items():
        surface[biome - 1] = mean
    truth = Population(surface, TRUTH["slope"], TRUTH["tau"], TRUTH["model_sd"])
    gain = log_posterior(found, layers, air) - log_posterior(truth, layers, air)
    n_parameters = len(TRUTH["surface"]) + 4
    assert 0 <= 2 * gain < chi2.ppf(0.999, n_parameters)
    wrong = Population(surface, TRUTH["slope"] / 2, TRUTH["tau"], TRUTH["model_sd"])
    assert 2 * (log_posterior(found, layers, air) - log_posterior(wrong, layers, air)) > chi2.ppf(0.999, n_parameters)


def test_intervals_under_the_population_cover_the_truth_and_settle_two_solutions():
    n = 1000
    layers, log_k = simulate(n, seed=1)
    population = Population(
        np.array([TRUTH["surface"].get(b, -5.0) for b in range(1, 10)]), TRUTH["slope"], TRUTH["tau"], TRUTH["model_sd"]
    )
    prior = population.prior(*(layers[c].to_numpy() for c in ("biome", "top", "bottom")))
    data = (layers["delta14c"], layers["sigma"], layers["year"], layers["zone"].to_numpy(str))
    posterior, alone = (invert(*data, p, model_sd=TRUTH["model_sd"]) for p in (prior, None))
    covered = (np.log(posterior["k_p025"]) <= log_k) & (log_k <= np.log(posterior["k_p975"]))
    assert float(covered.mean()) == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / n))
    two = alone["mode_probability"][:, 1] > 0.1
    assert two.sum() > 20
    assert (posterior["mode_probability"][two, 0].mean() > alone["mode_probability"][two, 0].mean()).item()


def test_too_few_layers_are_refused():
    layers, _ = simulate(8)
    with pytest.raises(InputError, match="too few"):
        fit_population(layers, Atmosphere.packaged())
