"""The dose-response curve against its definition, and the hierarchy against simulated truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.inference.sampling import diagnose, sample
from bayes_rootc.models import root_depth


def test_curve_passes_through_its_two_depths():
    d50, d95 = np.array([8.0, 25.0]), np.array([40.0, 190.0])
    np.testing.assert_allclose(root_depth.cumulative_share(d50, d50, d95), 0.5)
    np.testing.assert_allclose(root_depth.cumulative_share(d95, d50, d95), 0.95, atol=1e-4)  # -1.27875 has five digits
    np.testing.assert_allclose(root_depth.cumulative_share(0.0, d50, d95), 0)


def test_layer_fractions_sum_to_one_and_are_positive():
    rng = np.random.default_rng(0)
    d50 = rng.uniform(1, 100, 500)
    fractions = root_depth.layer_fractions(d50, d50 * rng.uniform(1.2, 30, 500))
    np.testing.assert_allclose(fractions.sum(axis=-1), 1)
    assert (fractions > 0).all()


def test_deeper_rooting_moves_roots_down():
    shallow, deep = root_depth.layer_fractions([10.0, 30.0], [60.0, 150.0])
    assert (np.cumsum(deep) <= np.cumsum(shallow) + 1e-12).all()


@pytest.mark.slow
def test_hierarchy_recovers_biome_means():
    rng, n = np.random.default_rng(8), 60
    biomes = np.repeat([1, 4, 8], n)
    truth = {1: (1.05, -0.25), 4: (1.25, -0.35), 8: (1.45, -0.15)}
    means = np.array([truth[b] for b in biomes])
    y = means + rng.multivariate_normal([0, 0], [[0.04, -0.012], [-0.012, 0.03]], len(biomes))
    d50 = 10 ** y[:, 0]
    profiles = pd.DataFrame(
        {"id": np.arange(len(biomes)).astype(str), "biome": biomes, "d50": d50, "d95": d50 * 10 ** np.exp(y[:, 1])}
    )
    tree = sample(root_depth.build(profiles), seed=4, chains=4, tune=600, draws=400, target_accept=0.99)
    diagnostics = diagnose("root_depth", tree)
    # six of nine biomes are empty: small steps are needed at the neck of the hierarchy
    assert diagnostics["r_hat_max"] < 1.03 and diagnostics["divergences"] == 0
    posterior = tree["posterior"]["biome_mean"]
    for biome, want in truth.items():
        got = posterior.isel(biome=biome - 1)
        z = (got.mean(("chain", "draw")).values - want) / got.std(("chain", "draw")).values
        assert np.abs(z).max() < 4
    fractions = root_depth.fractions_by_biome(tree["posterior"].to_dataset(), 100, rng)
    np.testing.assert_allclose(fractions["expected"].sum("layer"), 1)
    spread = fractions.std("draw")
    assert float(spread["predictive"].sel(biome=1).mean()) > float(spread["expected"].sel(biome=1).mean())
