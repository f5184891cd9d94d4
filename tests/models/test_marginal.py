"""The marginal likelihood of a profile against brute-force integration, and its gradient against differences."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm
from scipy.stats import t as student_t

from bayes_rootc.data.atmosphere import Atmosphere
from bayes_rootc.models.marginal import (
    EFFECT_RANGE,
    LEVEL_RANGE,
    Block,
    draw_effects,
    log_likelihood_of_effects,
    log_likelihoods,
    make_blocks,
    make_levels,
)
from bayes_rootc.models.measurements import Scales, log_density_at_zero, one_pool
from bayes_rootc.models.radiocarbon import LOG_K_RANGE, predicted_table

pytestmark = pytest.mark.compiled

PROFILE = np.array([0, 0, 0, 1, 2, 2])
YEAR, OBSERVED = np.full(6, 2005.0), np.array([60.0, -80.0, -300.0, 90.0, 10.0, 40.0])
KNOWN = np.array([16.0, 25.0, 9.0, 4.0, 36.0, 25.0])
CENTRE = np.array([-4.5, -6.0, -7.5, -4.0, -5.0, -5.2])
TRUTH = {"tau_profile": 0.8, "tau_layer": 0.5, "model_sd": 20.0}
UNEVEN = np.array([1.0, 0.6, 1.5, 1.2, 0.8, 1.1])
"""Misfit of each layer over model_sd."""

TAU_LAYER = [0.5, 0.07]
NO_DESIGN = (np.zeros((6, 1)), np.zeros((6, 1)))
GROUP, GROUP_SCALE, NU_PROFILE, SKEW = np.array([0, 1, 1]), np.array([1.0, 1.6]), 3.0, -0.3


@partial(jax.jit, static_argnames="student")
def log_likelihood(block: Block, log_k: jax.Array, centre: jax.Array, spread: Scales, *, student: bool) -> jax.Array:
    """Log marginal likelihood of each profile in a block."""
    found = log_likelihood_of_effects(block, log_k, centre, spread, student=student)
    return log_likelihoods([found], (block,), None, spread, student=student)


def scales(values: dict, layers: np.ndarray, group_scale: Sequence[float] = GROUP_SCALE, *, student: bool) -> Scales:
    v = {"nu_profile": NU_PROFILE, "skew": SKEW} | values
    v = {name: jnp.asarray(value) for name, value in v.items()}
    density, profile = log_density_at_zero(v["nu"], student=student), v["tau_profile"] * jnp.asarray(group_scale)
    return Scales(v["tau_layer"], v["model_sd"] * UNEVEN[layers], v["nu"], density, profile, v["nu_profile"], v["skew"])


def residuals(grid: int) -> tuple[np.ndarray, np.ndarray]:
    log_k = np.linspace(*LOG_K_RANGE, grid)
    air = Atmosphere.packaged()
    return log_k, OBSERVED[:, None] - predicted_table(np.exp(log_k), YEAR, np.full(6, "NHZone1"), "steady", air)


def ours(
    nu: float, measured: np.ndarray | None = None, centre: np.ndarray = CENTRE, refine: float = 16, **changed: float
):
    log_k, residual = residuals(512)
    measured = np.ones(6, bool) if measured is None else measured
    out = np.empty(3)
    for block in make_blocks(one_pool(residual, KNOWN), measured, *NO_DESIGN, PROFILE, GROUP, refine=refine):
        spread = scales(TRUTH | {"nu": nu} | changed, np.asarray(block.layer_order), student=np.isfinite(nu))
        value = log_likelihood(
            block,
            jnp.asarray(log_k),
            jnp.asarray(centre)[block.layer_order],
            spread,
            student=np.isfinite(nu),
        )
        out[np.asarray(block.profile_order)] = value
    return out


def brute_force(nu: float, tau_layer: float, group_scale: Sequence[float] = GROUP_SCALE) -> np.ndarray:
    """Trapezoid sums over log k and the effect, layer by layer, on nodes much finer than needed."""
    log_k, residual = residuals(4096)
    effect = np.linspace(-EFFECT_RANGE, EFFECT_RANGE, 901)
    out = []
    for p in range(3):
        scale = TRUTH["tau_profile"] * group_scale[GROUP[p]] * np.exp(SKEW * np.sign(effect))
        total = student_t.logpdf(effect / scale, NU_PROFILE)  # of both halves the same at 0
        total[[0, -1]] -= np.log(2)
        total -= logsumexp(total)  # the tails are cut off
        for i in np.flatnonzero(PROFILE == p):
            sd = np.hypot(np.sqrt(KNOWN[i]), TRUTH["model_sd"] * UNEVEN[i])
            error = student_t.logpdf(residual[i], nu, 0, sd) if np.isfinite(nu) else norm.logpdf(residual[i], 0, sd)
            latent = norm.logpdf(log_k, CENTRE[i] + effect[:, None], tau_layer)
            latent[:, [0, -1]] -= np.log(2)
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


def one_profile(grid: int, measured: list[bool], refine: float = 1.0):
    """The first profile as a function of centres and scales, with a group scale and a cotangent that are not 1."""
    log_k, residual = residuals(grid)
    (block,) = make_blocks(
        one_pool(residual[:3], KNOWN[:3]),
        np.array(measured),
        *(a[:3] for a in NO_DESIGN),
        np.zeros(3, int),
        refine=refine,
    )

    @partial(jax.jit, static_argnames="student")
    def value(centre, values, student=True):
        spread = scales(TRUTH | values, np.arange(3), [1.3], student=student)
        return 1.7 * log_likelihood(block, jnp.asarray(log_k), centre, spread, student=student).sum()

    return value


@pytest.mark.parametrize("shift", [0.0, 4.5])  # the second is so far off that the effect is at the end of its range
@pytest.mark.parametrize("tau_layer", TAU_LAYER)
@pytest.mark.parametrize("nu", [np.inf, 2.5])
def test_the_written_gradient_is_the_gradient(nu, tau_layer, shift):
    student = np.isfinite(nu)
    refine = 1 if tau_layer > 0.1 else 16  # as a fit begins; for so small a spread, as it would end
    value = partial(one_profile(256, [True, True, False], refine), student=student)
    centre, at = (
        jnp.asarray(CENTRE[:3] + shift),
        TRUTH | {"nu": nu, "tau_layer": tau_layer, "nu_profile": 3.0, "skew": -0.3},
    )
    by_centre, by_scale = jax.grad(value, argnums=(0, 1))(centre, at)
    step = 2e-3  # in single precision the value is good to about 1e-6: differences to 1e-6 / step
    for i in range(3):
        move = step * np.eye(3)[i]
        difference = (value(centre + move, at) - value(centre - move, at)) / (2 * step)
        assert float(by_centre[i]) == pytest.approx(float(difference), abs=5e-3)
    for name in set(at) - (set() if student else {"nu"}):
        up, down = ({**at, name: at[name] + s} for s in (step, -step))
        difference = (value(centre, up) - value(centre, down)) / (2 * step)
        assert float(by_scale[name]) == pytest.approx(float(difference), abs=5e-3), name
    assert float(by_centre[2]) == pytest.approx(0, abs=1e-9)  # nothing was measured there


def test_a_layer_without_a_measurement_says_nothing():
    measured = np.array([True, True, False, False, True, True])
    blank = ours(2.5, measured)
    assert blank[1] == pytest.approx(0, abs=1e-6)
    moved = CENTRE + np.array([0, 0, 2.0, -3.0, 0, 0])
    np.testing.assert_allclose(ours(2.5, measured, moved), blank, atol=1e-9)


def test_nothing_jumps_where_a_centre_goes_from_one_node_to_the_next():
    value = one_profile(256, [True, True, True])
    centre = jnp.asarray(CENTRE[:3]) + np.linspace(-0.3, 0.3, 121)[:, None] * np.array([1.0, -0.7, 0.4])
    along = np.array([value(c, {"nu": 2.5}) for c in centre])
    assert np.abs(np.diff(along, 3)).max() < 1e-4  # steps of 0.005: the third difference of a smooth curve is 1e-6


@pytest.mark.parametrize("nu", [np.inf, 2.5])
def test_any_spreads_that_a_sampler_may_try_give_a_number(nu):
    value = partial(one_profile(144, [True, True, True]), student=np.isfinite(nu))
    for shift in (-12.0, -4.0, 0.0, 5.0):
        for tau_layer in (1e-3, 0.05, 0.3, 3.0):
            for tau_profile in (0.01, 0.8, 20.0):
                at = {"nu": nu, "tau_layer": tau_layer, "tau_profile": tau_profile}
                number, gradient = jax.value_and_grad(value)(jnp.asarray(CENTRE[:3] + shift), at)
                assert np.isfinite(number) and np.isfinite(gradient).all(), (shift, at)


def test_less_spread_of_layers_than_the_nodes_can_blur_by_shows_when_these_are_refined():
    few, many = (
        one_profile(256, [True] * 3, refine)(jnp.asarray(CENTRE[:3]), {"nu": 2.5, "tau_layer": 0.07})
        for refine in (1, 16)
    )
    np.testing.assert_allclose(many, 1.7 * brute_force(2.5, 0.07, group_scale=[1.3, 1.3])[0], atol=5e-4)
    assert abs(few - many) > 0.1


SITE, STUDY = np.array([0, 0, 1]), np.array([0, 0, 0])
LEVEL_SD = (0.4, 0.6)


def grouped(refine: float = 4):
    """Both blocks of the three profiles, which are of two sites of one study, and what `log_likelihoods` takes."""
    log_k, residual = residuals(256)
    measured = np.ones(6, bool)
    blocks = make_blocks(one_pool(residual, KNOWN), measured, *NO_DESIGN, PROFILE, GROUP, refine=refine, levels=True)
    levels = make_levels(blocks, [SITE, STUDY], refine=refine)

    def spread_of(block: Block, site_sd: float, study_sd: float, **values: float) -> Scales:
        both = jnp.asarray(site_sd), jnp.asarray(study_sd)
        made = scales(TRUTH | {"nu": 2.5} | values, np.asarray(block.layer_order), student=True)
        return made._replace(levels=both)

    def by_effect(**values: float) -> list[jax.Array]:
        return [
            log_likelihood_of_effects(
                b,
                jnp.asarray(log_k),
                jnp.asarray(CENTRE)[b.layer_order],
                spread_of(b, *LEVEL_SD, **values),
                student=True,
            )
            for b in blocks
        ]

    return blocks, levels, spread_of, by_effect


def of_common(blocks: tuple[Block, ...], found: list[jax.Array], common: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log likelihood of each profile, and the mean of its effect, given what it has in common with others, by plain
    sums: (profile, common).
    """
    out, mean = np.empty((3, len(common))), np.empty((3, len(common)))
    for block, values in zip(blocks, found, strict=True):
        effect = np.asarray(block.effect)
        for p, value in zip(np.asarray(block.profile_order), np.asarray(values), strict=True):
            away = effect[:, None] - common
            density = student_t.logpdf(away / (0.8 * GROUP_SCALE[GROUP[p]] * np.exp(SKEW * np.sign(away))), NU_PROFILE)
            whole = logsumexp(
                student_t.logpdf(effect / (0.8 * GROUP_SCALE[GROUP[p]] * np.exp(SKEW * np.sign(effect))), 3)
            )
            both = value[:, None] + density
            out[p] = logsumexp(both, axis=0) - whole
            mean[p] = effect @ np.exp(both - logsumexp(both, axis=0))
    return out, mean


def test_sites_and_studies_are_summed_out_as_by_plain_sums():
    blocks, levels, spread_of, by_effect = grouped()
    found = by_effect()
    value = log_likelihoods(found, blocks, levels, spread_of(blocks[0], *LEVEL_SD), student=True)
    nodes = np.linspace(-LEVEL_RANGE, LEVEL_RANGE, 301)
    step = nodes[1] - nodes[0]
    profile, _ = of_common(blocks, found, nodes)
    given_study = sum(
        logsumexp(profile[SITE == s].sum(axis=0)[:, None] + norm.logpdf(nodes[:, None], nodes, 0.4), axis=0)
        + np.log(step)
        for s in range(2)
    )
    plain = logsumexp(given_study + norm.logpdf(nodes, 0, 0.6)) + np.log(step)
    assert value.shape == (1,) and float(value[0]) == pytest.approx(plain, abs=2e-3)


def test_the_gradient_by_the_spread_of_levels_is_the_gradient():
    blocks, levels, spread_of, by_effect = grouped()

    @jax.jit
    def value(at: dict[str, jax.Array]) -> jax.Array:
        spread = spread_of(blocks[0], at["site_sd"], at["study_sd"], tau_profile=at["tau_profile"])
        return log_likelihoods(by_effect(), blocks, levels, spread, student=True).sum()

    at = {"site_sd": jnp.asarray(0.4), "study_sd": jnp.asarray(0.6), "tau_profile": jnp.asarray(0.8)}
    gradient, step = jax.grad(value)(at), 2e-3
    for name in at:
        up, down = ({**at, name: at[name] + s} for s in (step, -step))
        assert float(gradient[name]) == pytest.approx(float(value(up) - value(down)) / (2 * step), abs=2e-3), name


def test_effects_are_drawn_from_their_posterior():
    """The draws' means are those of the joint posterior of all levels by plain sums, to their Monte Carlo error."""
    blocks, levels, spread_of, by_effect = grouped(refine=2)
    found, spread = by_effect(), spread_of(blocks[0], *LEVEL_SD)
    uniforms = np.random.default_rng(5).uniform(size=(4000, 1 + 2 + 3))
    draw = jax.vmap(lambda u: draw_effects(found, blocks, levels, spread, u, student=True)[0])
    drawn = np.empty((4000, 3))
    for block, effects in zip(blocks, draw(jnp.asarray(uniforms)), strict=True):
        drawn[:, np.asarray(block.profile_order)] = effects

    nodes = np.linspace(-LEVEL_RANGE, LEVEL_RANGE, 121)
    profile, mean_given = of_common(blocks, found, nodes)
    prior = norm.logpdf(nodes[:, None], nodes, 0.4)  # of the site's effect (row), given the study's (column)
    site = np.stack([profile[SITE == s].sum(axis=0) for s in range(2)])
    of_site = logsumexp(site[:, :, None] + prior, axis=1)  # (site, study's effect)
    of_study = of_site.sum(axis=0) + norm.logpdf(nodes, 0, 0.6)
    study = np.exp(of_study - logsumexp(of_study))
    for p in range(3):
        given = np.exp(site[SITE[p]][:, None] + prior - of_site[SITE[p]])  # of the site's effect, given the study's
        expected = mean_given[p] @ given @ study
        error = drawn[:, p].std() / np.sqrt(4000)
        assert drawn[:, p].mean() == pytest.approx(expected, abs=4 * error + 5e-3), p
