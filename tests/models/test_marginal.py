"""The marginal likelihood of a profile against brute-force integration, and its gradient against differences."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import norm
from scipy.stats import t as student_t

from bayes_rootc.data.atmosphere import Atmosphere
from bayes_rootc.models.marginal import (
    PROFILE_RANGE,
    Scales,
    _direct,
    _sum_out,
    make_blocks,
    profile_log_likelihood,
    student_log_weight,
)
from bayes_rootc.models.radiocarbon import LOG_K_RANGE, predicted_table

PROFILE = np.array([0, 0, 0, 1, 2, 2])
YEAR, OBSERVED = np.full(6, 2005.0), np.array([60.0, -80.0, -300.0, 90.0, 10.0, 40.0])
KNOWN = np.array([16.0, 25.0, 9.0, 4.0, 36.0, 25.0])
CENTRE = np.array([-4.5, -6.0, -7.5, -4.0, -5.0, -5.2])
TRUTH = {"tau_profile": 0.8, "tau_layer": 0.5, "model_sd": 20.0}
TAU_LAYER = [0.5, 0.07]  # the second is beyond what the factors can hold
GROUP, GROUP_SCALE, NU_PROFILE = np.array([0, 1, 1]), np.array([1.0, 1.6]), 3.0


log_likelihood = jax.jit(profile_log_likelihood, static_argnames="student")
sum_out = jax.jit(_sum_out, static_argnames="student")
direct_sum = jax.jit(_direct, static_argnums=0)


def weights(block) -> jax.Array:
    return student_log_weight(block.z, jnp.asarray(GROUP_SCALE)[block.group], jnp.asarray(NU_PROFILE))


def residuals(grid: int) -> tuple[np.ndarray, np.ndarray]:
    log_k = np.linspace(*LOG_K_RANGE, grid)
    air = Atmosphere.packaged()
    return log_k, OBSERVED[:, None] - predicted_table(np.exp(log_k), YEAR, np.full(6, "NHZone1"), "steady", air)


def ours(
    nu: float, measured: np.ndarray | None = None, centre: np.ndarray = CENTRE, refine: float = 8, **changed: float
):
    log_k, residual = residuals(512)
    measured = np.ones(6, bool) if measured is None else measured
    scales = Scales(**{k: jnp.asarray(v) for k, v in (TRUTH | {"nu": nu} | changed).items()})
    out = np.empty(3)
    for block in make_blocks(residual, measured, KNOWN, np.zeros((6, 1)), PROFILE, GROUP, refine=refine):
        value = log_likelihood(
            block,
            jnp.asarray(log_k),
            jnp.asarray(centre)[block.layer_order],
            scales,
            weights(block),
            student=np.isfinite(nu),
        )
        out[np.asarray(block.profile_order)] = value
    return out


def brute_force(nu: float, tau_layer: float) -> np.ndarray:
    """A Riemann sum over log k and the effect, layer by layer, on nodes much finer than needed."""
    log_k, residual = residuals(4096)
    effect = np.linspace(-PROFILE_RANGE, PROFILE_RANGE, 901) * TRUTH["tau_profile"]
    out = []
    for p in range(3):
        total = student_t.logpdf(effect, NU_PROFILE, 0, TRUTH["tau_profile"] * GROUP_SCALE[GROUP[p]])
        total[[0, -1]] -= np.log(2)
        total -= logsumexp(total)  # the tails are cut off
        for i in np.flatnonzero(PROFILE == p):
            sd = np.hypot(np.sqrt(KNOWN[i]), TRUTH["model_sd"])
            error = student_t.logpdf(residual[i], nu, 0, sd) if np.isfinite(nu) else norm.logpdf(residual[i], 0, sd)
            latent = norm.logpdf(log_k, CENTRE[i] + effect[:, None], tau_layer)
            total += logsumexp(error + latent, axis=1) + np.log(log_k[1] - log_k[0])
        out.append(logsumexp(total))
    return np.array(out)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("tau_layer", TAU_LAYER)
@pytest.mark.parametrize("nu", [np.inf, 2.5])
def test_both_sums_equal_brute_force(nu, tau_layer):
    np.testing.assert_allclose(ours(nu, tau_layer=tau_layer), brute_force(nu, tau_layer), atol=2e-4)


def test_the_cut_tails_cost_no_accuracy_on_few_nodes():
    """The trapezoid rule alone is 1e-3 off, from the ends where Student's t is cut."""
    np.testing.assert_allclose(ours(2.5, refine=1), ours(2.5, refine=16), atol=1e-4)


@pytest.mark.parametrize("tau_layer", TAU_LAYER)
@pytest.mark.parametrize("nu", [np.inf, 2.5])
def test_the_written_gradient_is_the_gradient(nu, tau_layer):
    log_k, residual = residuals(128)
    (block,) = make_blocks(residual[:3], np.array([True, True, False]), KNOWN[:3], np.zeros((3, 1)), np.zeros(3, int))
    weight = jnp.asarray([1.7])  # the cotangent is not 1

    @jax.jit
    def value(centre, group_scale=1.0, **scales):
        log_weight = student_log_weight(block.z, jnp.atleast_1d(group_scale), NU_PROFILE)
        every = Scales(**(TRUTH | {"nu": jnp.asarray(nu)} | scales))
        return (
            profile_log_likelihood(block, jnp.asarray(log_k), centre, every, log_weight, student=np.isfinite(nu))
            * weight
        ).sum()

    centre = jnp.asarray(CENTRE[:3])
    names = ["tau_profile", "tau_layer", "model_sd", "group_scale"] + (["nu"] if np.isfinite(nu) else [])
    at = {n: jnp.asarray((TRUTH | {"nu": nu, "tau_layer": tau_layer, "group_scale": 1.3})[n]) for n in names}
    by_centre, by_scale = jax.grad(value)(centre, **at), jax.grad(lambda s: value(centre, **s))(at)
    step = 1e-3  # the penalty's logarithm is in single precision: differences are good to 1e-6 / step
    for i in range(3):
        move = step * np.eye(3)[i]
        difference = (value(centre + move, **at) - value(centre - move, **at)) / (2 * step)
        assert float(by_centre[i]) == pytest.approx(float(difference), abs=5e-3)
    for name in names:
        up, down = ({**at, name: at[name] + s} for s in (step, -step))
        difference = (value(centre, **up) - value(centre, **down)) / (2 * step)
        assert float(by_scale[name]) == pytest.approx(float(difference), abs=5e-3)
    assert float(by_centre[2]) == pytest.approx(0, abs=1e-9)  # nothing was measured there


def test_a_layer_without_a_measurement_says_nothing():
    measured = np.array([True, True, False, False, True, True])
    blank = ours(2.5, measured)
    assert blank[1] == pytest.approx(0, abs=1e-6)
    moved = CENTRE + np.array([0, 0, 2.0, -3.0, 0, 0])
    np.testing.assert_allclose(ours(2.5, measured, moved), blank, atol=1e-9)


@pytest.mark.parametrize("tau_profile", [0.5, 0.8, 1.2, 3.0])
@pytest.mark.parametrize("centre", [CENTRE[:3], CENTRE[:3] - 4.0])
def test_both_ways_of_summing_agree_where_the_sampler_goes_from_one_to_the_other(tau_profile, centre):
    log_k, residual = residuals(256)
    (block,) = make_blocks(residual[:3], np.ones(3, bool), KNOWN[:3], np.zeros((3, 1)), np.zeros(3, int))
    arguments = block, jnp.asarray(log_k), jnp.asarray(centre)
    fast = []
    for tau_layer in np.linspace(0.08, 1.2, 33):
        values = TRUTH | {"nu": 2.5, "tau_layer": tau_layer, "tau_profile": tau_profile}
        scales, weight = Scales(**{k: jnp.asarray(v) for k, v in values.items()}), weights(block)
        sums = sum_out(*arguments, scales, weight, student=True)
        fast.append(bool(sums.in_range))
        if fast[-1]:
            direct = direct_sum(True, *arguments, scales, weight)
            np.testing.assert_allclose(softmax(sums.log_posterior), softmax(direct), atol=1e-9)
            np.testing.assert_allclose(logsumexp(sums.log_posterior), logsumexp(direct), atol=1e-6)
    assert sorted(set(fast)) == [False, True] and fast == sorted(fast)  # both were seen, and one limit parts them
