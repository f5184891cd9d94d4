"""Sampling and diagnostics on a model with a known posterior."""

from __future__ import annotations

import numpy as np
import pytest

from bayes_rootc.inference.sampling import Sampling, diagnose, sample, summarise, summary_columns

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def normal():
    """Mean of 50 unit normals under a flat-ish prior: posterior Normal(mean, 1/50)."""
    import pymc as pm

    data = np.random.default_rng(2).normal(1.5, 1.0, 50)
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 100)
        pm.Normal("y", mean, 1.0, observed=data)
    return data, sample(model, Sampling(chains=4, tune=300, draws=1500), seed=3)


def test_posterior_matches_the_analytic_one(normal):
    data, tree = normal
    draws = tree["posterior"]["mean"].values
    ess = diagnose("normal", tree)["ess_bulk_min"]
    assert draws.mean() == pytest.approx(data.mean(), abs=4 / np.sqrt(50 * ess))
    assert draws.std() == pytest.approx(1 / np.sqrt(50), rel=4 / np.sqrt(2 * ess) * 1.5)


def test_diagnostics_trust_a_good_fit_and_not_a_stuck_one(normal):
    _, tree = normal
    assert diagnose("normal", tree)["verdict"] == "good"
    stuck = tree.copy(deep=True)
    stuck["posterior"]["mean"].values[0] += 1.0
    bad = diagnose("stuck", stuck)
    assert bad["r_hat_max"] > 1.1 and bad["verdict"] == "do not trust"


def test_posterior_predictive_comes_along(normal):
    data, tree = normal
    assert tree["posterior_predictive"]["y"].shape == (4, 1500, 50)
    assert float(tree["posterior_predictive"]["y"].mean()) == pytest.approx(
        data.mean(), abs=4 * np.sqrt(2 / 50) / np.sqrt(50)
    )


def test_interval_is_the_central_95_percent():
    draws = np.linspace(0, 1, 4001)[None]
    assert [float(v[0]) for v in summarise(draws).values()] == pytest.approx([0.5, 0.5, 0.025, 0.975])
    assert list(summary_columns("age", draws)) == ["age_mean", "age_median", "age_p025", "age_p975"]


@pytest.mark.parametrize("short", [False, True])
def test_what_the_caller_has_compiled_stays_unless_memory_maps_run_short(short, monkeypatch):
    import jax
    import pymc as pm

    monkeypatch.setattr("bayes_rootc.inference.sampling._short_of_maps", lambda: short)
    doubled = jax.jit(lambda x: 2 * x)
    assert doubled(1.5) == 3.0
    with pm.Model() as model:
        pm.Normal("x")
    sample(model, Sampling(chains=1, tune=5, draws=5), seed=1)
    assert (doubled._cache_size() == 0) == short
