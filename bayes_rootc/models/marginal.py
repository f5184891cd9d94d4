r"""The marginal likelihood of a profile: log k of every layer and the profile's own effect, both summed out on grids.

A layer's log k is Normal(c + a, τ), where c is what the regression says and a is common to the layers of a profile; a
may have any distribution, which is but a weight on its nodes (here Student's t). Both sums are trapezoid rules on
smooth functions that vanish at the ends, so they converge faster than any power of the spacing.

The inner sum, over nodes x_g of log k, is the likelihood of a layer blurred by τ. It is wanted at c + a_q, at another
place for each layer. So c is split into a multiple of the spacing of a_q and a remainder δ: then c + a_q = t_l + δ,
with t_l on one lattice for all layers, and

.. math:: (x_g - t_l - \delta)^2 = (x_g - t_l)^2 - 2 (x_g - t_l)\,\delta + \delta^2

of which the first term is one matrix for all layers and the others are factors of (layer, x_g) and (layer, t_l). The
sum is a matrix product, from which each layer takes the stretch of the lattice that its profile's effect means to it.
No factor is large, because δ is small; so single precision is enough, where the error has no narrower tail than
Student's t, and sums over layers are taken in double precision.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.nn import softmax
from jax.scipy.special import gammaln, logsumexp
from numpy.typing import NDArray

from .radiocarbon import LOG_K_RANGE
from .rates import interpolate

EFFECT_RANGE = 6.0
"""The profile effect is summed over ± this much of log k (a factor of 400), and its weights are normalised there: the
tails that Student's t has beyond are cut off.
"""

LATTICE_RANGE = 0.4
"""The lattice goes beyond the range of log k by this much of EFFECT_RANGE; farther out nothing is likely."""

SPACING = 0.6
"""Spacing of the nodes of the effect, times √(1 + 4.5 layers). With τ_layer = 0.47 s, where s is its scale, the effect
of a profile of that many layers has a standard deviation of s/√(1 + 4.5 layers); nodes h apart leave an error of
exp(-2π² sd²/h²).
"""

GREGORY = (251 / 720, 299 / 240, 211 / 240, 739 / 720)
"""Weights of the first and the last nodes: the trapezoid rule, corrected at ends where a function does not vanish."""

BUCKETS = (2, 4, 8, 16, 32)
"""Profiles are taken together by their number of layers (up to each of these, and more): one with many layers has a
narrower effect, which needs closer nodes.
"""


class Limits(NamedTuple):
    """What a precision can hold: a likelihood is not below exp(-floor) of its highest, the tilt by δ not above
    exp(tilt), and a sum not below `tiny`.
    """

    floor: float
    tilt: float
    tiny: float


SINGLE, DOUBLE = Limits(50.0, 25.0, 1e-37), Limits(500.0, 100.0, 1e-300)

product = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
"""Matrix product at full precision: by default GPUs multiply single precision with a third of its digits."""


class OnePool(NamedTuple):
    """Δ14C of layers that are one pool each.

    Attributes
    ----------
    squared : array, shape (layer, G)
        Squares of observed minus predicted Δ14C at the nodes of log k, ‰².
    least : array, shape (layer,)
        The least of them, in double precision.
    known_variance : array, shape (layer,)
        Variance by the laboratory and the atmosphere, ‰².
    """

    squared: Any
    least: Any
    known_variance: Any


class ManyRates(NamedTuple):
    """Δ14C of layers with many rates each, of their bulk carbon and of the CO₂ that they respire.

    Attributes
    ----------
    bulk, respired : array, shape (row, spread, G)
        Δ14C of the model (‰) at the spreads of `rates.SPREADS` and the nodes of log k; layers of one year and zone
        share a row.
    bulk_row : array of int, shape (layer,)
        Row of each layer.
    bulk_observed, known_variance : array, shape (layer,)
        Δ14C (‰), and its variance by the laboratory and the atmosphere (‰²).
    bulk_measured : array, shape (layer,)
        1, or 0 where only respired carbon was measured.
    layer : array of int, shape (incubated,)
        Layers whose CO₂ was measured.
    respired_row : array of int, shape (incubated,)
        Their rows of `respired`.
    respired_observed, respired_variance : array, shape (incubated,)
        Δ14C (‰) of the CO₂, and its variance by the laboratory (‰²).
    spread_design : array, shape (layer, r)
        Design matrix of log s.
    """

    bulk: Any
    bulk_row: Any
    bulk_observed: Any
    bulk_measured: Any
    known_variance: Any
    respired: Any
    layer: Any
    respired_row: Any
    respired_observed: Any
    respired_variance: Any
    spread_design: Any


class Block(NamedTuple):
    """Layers of profiles of similar size; all arrays, so that it passes through JAX.

    Attributes
    ----------
    data : OnePool or ManyRates
        What was measured of the layers.
    measured : array, shape (layer,)
        1, or 0 where nothing was.
    design, misfit_design : array, shape (layer, p) and (layer, q)
        Design matrices of the regression and of the misfit.
    profile : array, shape (layer,)
        Number of the layer's profile in the block.
    layer_order, profile_order : array
        Places of layers and profiles in the tables that they came from.
    group : array, shape (profile,)
        Group of each profile, such as its biome.
    effect : array, shape (Q,)
        Nodes of the profile effect.
    lattice : array, shape (T,)
        Nodes of log k with the same spacing.
    """

    data: Any
    measured: Any
    design: Any
    misfit_design: Any
    profile: Any
    layer_order: Any
    profile_order: Any
    group: Any
    effect: Any
    lattice: Any


class Scales(NamedTuple):
    """Spreads, and shapes of distributions, under one draw of the hyperparameters.

    Effects of profiles follow two halves of Student's t.

    Attributes
    ----------
    tau_layer : Array
        Standard deviation of log k among layers of a profile.
    model_sd : Array, shape (layer,)
        Misfit of each layer, ‰.
    nu : Array
        Degrees of freedom of errors; infinite if they are Normal.
    log_density : Array
        Log of the probability density at 0 of an error of unit scale.
    profile : Array, shape (group,)
        Scale of the effects of profiles.
    nu_profile : Array
        Their degrees of freedom.
    skew : Array
        Log of the factor by which their scale is greater above 0, and less below.
    spread : Array, shape (layer,), or None
        Standard deviation of log k within each layer, where there are many rates.
    respired_sd : Array or None
        Misfit of respired carbon, ‰.
    study_sd : Array or None
        Standard deviation of the effects of studies, where there are any. There are then twice as many groups: profiles
        of the second half are each of a study of its own, whose effect is part of theirs.
    """

    tau_layer: Array
    model_sd: Array
    nu: Array
    log_density: Array
    profile: Array
    nu_profile: Array
    skew: Array
    spread: Any = None
    respired_sd: Any = None
    study_sd: Any = None


def make_blocks(
    data: OnePool | ManyRates,
    measured: NDArray[np.bool_],
    design: NDArray[np.float64],
    misfit_design: NDArray[np.float64],
    profile: NDArray[np.int64],
    group: NDArray[np.int64] | None = None,
    *,
    refine: float = 1.0,
) -> tuple[Block, ...]:
    """Blocks of layers.

    Parameters
    ----------
    data : OnePool or ManyRates
        What was measured of all layers, in NumPy's arrays.
    measured, design, misfit_design : ndarray
        As in `Block`.
    profile : ndarray, shape (layer,)
        Number of each layer's profile, from 0.
    group : ndarray, shape (profile,), optional
        Group of each profile, such as its biome; by default 0.
    refine : float
        Factor on the number of nodes of the profile effect.

    Returns
    -------
    tuple of Block
        One for each class of profiles by their number of layers.
    """
    size = np.bincount(profile)
    group = np.zeros(len(size), int) if group is None else group
    bucket = np.searchsorted(BUCKETS, size)
    blocks = []
    for b in np.unique(bucket):
        profiles = np.flatnonzero(bucket == b)
        layers = np.flatnonzero(bucket[profile] == b)
        layers = layers[np.argsort(profile[layers], kind="stable")]
        effect, lattice = effect_nodes(int(size[profiles].max()), refine)
        blocks.append(
            Block(
                data=_of_layers(data, layers),
                measured=measured[layers].astype(float),
                design=design[layers],
                misfit_design=misfit_design[layers],
                profile=np.searchsorted(profiles, profile[layers]),
                layer_order=layers,
                profile_order=profiles,
                group=group[profiles],
                effect=effect,
                lattice=lattice,
            )
        )
    return tuple(jax.tree.map(jnp.asarray, blocks))


def one_pool(residual: NDArray[np.float64], known_variance: NDArray[np.float64]) -> OnePool:
    """Data of layers that are one pool each.

    Parameters
    ----------
    residual : ndarray, shape (layer, G)
        Observed minus predicted Δ14C at the nodes of log k, ‰.
    known_variance : ndarray, shape (layer,)
        As in `OnePool`.
    """
    squared = residual**2
    return OnePool(squared.astype(np.float32), squared.min(axis=1), known_variance)


def _of_layers(data: OnePool | ManyRates, layers: NDArray[np.int64]) -> OnePool | ManyRates:
    """The data of some layers, in their order."""
    if isinstance(data, OnePool):
        return OnePool(*(values[layers] for values in data))
    place = np.full(layers.max(initial=-1) + 1, -1)
    place[layers] = np.arange(len(layers))
    here = np.flatnonzero(np.isin(data.layer, layers))
    here = here[np.argsort(place[data.layer[here]], kind="stable")]
    by_layer = ("bulk_row", "bulk_observed", "bulk_measured", "known_variance", "spread_design")
    by_incubation = ("respired_row", "respired_observed", "respired_variance")
    return data._replace(
        layer=place[data.layer[here]],
        **{name: getattr(data, name)[layers] for name in by_layer},
        **{name: getattr(data, name)[here] for name in by_incubation},
    )


def effect_nodes(layers: int, refine: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes of the profile effect, close enough for a profile with this number of layers, and the lattice of log k."""
    half = int(np.ceil(EFFECT_RANGE / SPACING * np.sqrt(1 + 4.5 * max(layers, 1)) * refine))
    spacing, (low, high) = EFFECT_RANGE / half, LOG_K_RANGE
    count = 2 * _beyond(half) + int(np.ceil((high - low) / spacing)) + 1
    effect, lattice = np.arange(-half, half + 1, dtype=float), np.arange(count, dtype=float) - _beyond(half)
    return spacing * effect, low + spacing * lattice


def _beyond(half: int) -> int:
    """Nodes of the lattice on either side of the range of log k, where the effect has `half` on either side of 0."""
    return int(LATTICE_RANGE * half)


def log_density_at_zero(nu: Array, *, student: bool) -> Array:
    """Log probability density at 0 of a standard Student's t, or Normal."""
    if not student:
        return -0.5 * jnp.log(2 * jnp.pi)
    return gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * jnp.log(nu * jnp.pi)


def student_log_weight(nodes: Array, scale: Array, nu: Array, skew: Array) -> Array:
    """Log weights of the nodes (Q,) of a two-piece Student's t of each scale (g,), shape (g, Q); they sum to 1."""
    scale = scale[:, None] * jnp.exp(skew * jnp.sign(nodes))
    ends = jnp.log(jnp.array(GREGORY))
    rule = jnp.zeros_like(nodes).at[: len(ends)].set(ends).at[-len(ends) :].set(ends[::-1])
    density = rule - 0.5 * (nu + 1) * jnp.log1p((nodes / scale) ** 2 / nu)
    return density - logsumexp(density, axis=1, keepdims=True)


def log_density(block: Block, scales: Scales, *, student: bool) -> tuple[Array, Array]:
    """Log likelihood of the measurements of each layer at every node of log k, in two parts.

    Parameters
    ----------
    block : Block
        Layers.
    scales : Scales
        Misfits, and degrees of freedom.
    student : bool
        Whether errors are Student's t.

    Returns
    -------
    constant : Array, shape (layer,)
        Log likelihood at the best node.
    depth : Array, shape (layer, G)
        How far below it the other nodes are, in single precision where errors are Student's t.
    """
    if isinstance(block.data, OnePool):
        return _one_pool(student, block, scales)
    data, variance = block.data, block.data.known_variance + scales.model_sd**2
    real = jnp.float32 if student else jnp.float64
    fitted = interpolate(data.bulk, data.bulk_row, scales.spread).astype(real)
    total = _error_density(data.bulk_observed, fitted, variance, scales, student) * data.bulk_measured[:, None]
    fitted = interpolate(data.respired, data.respired_row, scales.spread[data.layer]).astype(real)
    variance = data.respired_variance + scales.respired_sd**2
    respired = _error_density(data.respired_observed, fitted, variance, scales, student)
    total = total.at[data.layer].add(respired)
    best = lax.stop_gradient(total.max(axis=1))
    return best.astype(float), jnp.maximum(total - best[:, None], -_limits(real).floor).astype(real)


def _error_density(observed: Array, fitted: Array, variance: Array, scales: Scales, student: bool) -> Array:
    """Log density of measurements (n,) about what is fitted (n, G)."""
    squared = (observed.astype(fitted.dtype)[:, None] - fitted) ** 2
    constant, slope = _constant_and_slope(variance, scales, student=student)
    penalty = _penalty(squared, variance, scales, student)
    return constant.astype(fitted.dtype)[:, None] + slope.astype(fitted.dtype) * penalty


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _one_pool(student: bool, block: Block, scales: Scales) -> tuple[Array, Array]:
    return _one_pool_forward(student, block, scales)[0]


def _one_pool_forward(student: bool, block: Block, scales: Scales) -> tuple[tuple[Array, Array], Any]:
    real = jnp.float32 if student else jnp.float64
    variance = block.data.known_variance + scales.model_sd**2
    constant, slope = _constant_and_slope(variance, scales, student=student)
    squared = block.data.squared.astype(real)
    penalty, least = (_penalty(r, variance, scales, student) for r in (squared, block.data.least))
    depth = jnp.maximum(slope.astype(real) * (penalty - least.astype(real)[:, None]), -_limits(real).floor)
    return (constant + slope * least, depth), (block, scales, penalty)


def _one_pool_backward(student: bool, saved: Any, cotangent: tuple[Array, Array]) -> tuple[None, Scales]:
    """By hand, as the compiler would evaluate the logarithms again. The mass of a layer over the nodes adds up to its
    `total`, so that the best node, which both parts contain, drops out.
    """
    (block, scales, penalty), (total, mass) = saved, cotangent
    variance = block.data.known_variance + scales.model_sd**2
    penalty = (mass * penalty).sum(axis=1)
    if student:
        nu, squared = scales.nu, block.data.squared
        scaled = (nu * variance).astype(squared.dtype)[:, None]
        part = (mass * (squared / (squared + scaled))).sum(axis=1)
        d_variance = (-0.5 * total + (nu + 1) / 2 * part) / variance
        d_nu = 0.5 * ((nu + 1) / nu * part - penalty).astype(float).sum()
    else:
        d_variance = (-0.5 * total + penalty) / variance
        d_nu = jnp.zeros_like(scales.nu)
    nothing = jax.tree.map(jnp.zeros_like, scales)
    return None, nothing._replace(model_sd=d_variance * 2 * scales.model_sd, nu=d_nu, log_density=total.sum())


_one_pool.defvjp(_one_pool_forward, _one_pool_backward)


def _limits(real: Any) -> Limits:
    return SINGLE if real == jnp.float32 else DOUBLE


def _constant_and_slope(variance: Array, scales: Scales, *, student: bool) -> tuple[Array, Array]:
    return scales.log_density - 0.5 * jnp.log(variance), -(scales.nu + 1) / 2 if student else -jnp.ones(())


def _penalty(squared: Array, variance: Array, scales: Scales, student: bool) -> Array:
    """What squared residuals, (layer,) or (layer, G), cost in log density, but for a factor: half the squared
    standardised residual of a Normal, or log(1 + r²/ν) of Student's t.
    """
    factor = 1 / (scales.nu * variance) if student else 0.5 / variance
    ratio = squared * factor.reshape(-1, *(1,) * (squared.ndim - 1)).astype(squared.dtype)
    return jnp.log1p(ratio) if student else ratio


def effect_log_posterior(block: Block, log_k: Array, centre: Array, scales: Scales, *, student: bool) -> Array:
    """Log of (likelihood x prior) of each profile's effect at each node, not normalised.

    Parameters
    ----------
    block : Block
        Layers.
    log_k : Array, shape (G,)
        Nodes of log k.
    centre : Array, shape (layer,)
        What the regression says of log k.
    scales : Scales
        Spreads.
    student : bool
        Whether errors are Student's t.

    Returns
    -------
    Array, shape (profile, Q)
    """
    return _sum_out(block, log_k, centre, scales, *log_density(block, scales, student=student)).log_posterior


def profile_log_likelihood(block: Block, log_k: Array, centre: Array, scales: Scales, *, student: bool) -> Array:
    """Log marginal likelihood of each profile of the block: shape (profile,)."""
    return _marginal(block, log_k, centre, scales, *log_density(block, scales, student=student))


class _Sums(NamedTuple):
    """What both the value and its gradient need: tilted likelihood of layers at nodes (n, G), the blur (G, T), the
    blurred likelihood on the layer's stretch (n, Q), where that begins and δ, (n,), and the log posterior of the effect
    (P, Q).
    """

    tilted: Array
    blur: Array
    blurred: Array
    start: Array
    delta: Array
    log_posterior: Array


def _sum_out(block: Block, log_k: Array, centre: Array, scales: Scales, constant: Array, depth: Array) -> _Sums:
    real, limits = depth.dtype, _limits(depth.dtype)
    middle, spacing, step = log_k.mean(), block.effect[1] - block.effect[0], log_k[1] - log_k[0]
    centre, tau = jnp.clip(centre, log_k[0], log_k[-1]), _resolved(block, log_k, scales, limits)

    # The centre plus the first node of the effect is node `start` of the lattice, which is padded, plus δ.
    pad = _padding(block)
    place = (centre + block.effect[0] - block.lattice[0]) / spacing
    delta = (place - jnp.round(place)) * spacing
    start = jnp.round(place).astype(int) + pad
    tilt = delta / tau**2

    tilted = jnp.exp(depth + jnp.outer(tilt.astype(real), (log_k - middle).astype(real)))
    blur = jnp.exp(-0.5 * ((log_k[:, None] - block.lattice) / tau) ** 2).astype(real)
    blur = blur.at[np.array([0, -1])].multiply(0.5)  # the trapezoid rule: a likelihood does not vanish at the ends
    padded = jnp.pad(product(tilted, blur), ((0, 0), (pad, pad))) + limits.tiny
    blurred = jax.vmap(lambda row, at: lax.dynamic_slice(row, (at,), block.effect.shape))(padded, start)

    constant = constant + jnp.log(step / (tau * jnp.sqrt(2 * jnp.pi)))
    rest = constant + tilt * (delta / 2 + middle - centre)
    by_layer = jnp.log(blurred) + rest[:, None] - jnp.outer(tilt, block.effect)
    by_layer = jnp.where(block.measured[:, None] > 0, by_layer, 0.0)  # no measurement: a sum of 1
    by_profile = jax.ops.segment_sum(by_layer, block.profile, len(block.profile_order), indices_are_sorted=True)
    log_posterior = by_profile + _log_weight(block, scales)[block.group]
    return _Sums(tilted, blur, blurred, start, delta, log_posterior)


def _padding(block: Block) -> int:
    """Nodes that must be added to the lattice on either side, for any centre within the range of log k."""
    half = len(block.effect) // 2
    return half - _beyond(half) + 1


def _log_weight(block: Block, scales: Scales) -> Array:
    log_weight = student_log_weight(block.effect, scales.profile, scales.nu_profile, scales.skew)
    if scales.study_sd is None:
        return log_weight
    away = (block.effect[:, None] - block.effect) / jnp.maximum(scales.study_sd, block.effect[1] - block.effect[0])
    blurred = logsumexp(log_weight[:, :, None] - 0.5 * away**2, axis=1)
    return jnp.concatenate([log_weight, blurred - logsumexp(blurred, axis=1, keepdims=True)])


def _resolved(block: Block, log_k: Array, scales: Scales, limits: Limits) -> Array:
    """τ_layer, floored at what the grid resolves; `quadrature_error` shows when the floor is active."""
    farthest = (log_k[-1] - log_k[0]) / 2 * (block.effect[1] - block.effect[0]) / 2  # |x - its middle| times |δ|
    return jnp.maximum(scales.tau_layer, jnp.sqrt(farthest / limits.tilt))


@jax.custom_vjp
def _marginal(block: Block, log_k: Array, centre: Array, scales: Scales, constant: Array, depth: Array) -> Array:
    return _forward(block, log_k, centre, scales, constant, depth)[0]


def _forward(
    block: Block, log_k: Array, centre: Array, scales: Scales, constant: Array, depth: Array
) -> tuple[Array, Any]:
    sums = _sum_out(block, log_k, centre, scales, constant, depth)
    return logsumexp(sums.log_posterior, axis=1), (block, log_k, centre, scales, sums)


def _backward(saved: Any, cotangent: Array) -> tuple[Any, ...]:
    """Fisher's identity: the gradient of a marginal likelihood is the posterior mean of the joint one's.

    Written out because the compiler's own reverse pass evaluates the exponentials again for each use: 3 times slower.
    """
    block, log_k, centre, scales, sums = saved
    middle, real = log_k.mean(), sums.tilted.dtype
    tau = _resolved(block, log_k, scales, _limits(real))
    by_profile = softmax(sums.log_posterior, axis=1) * cotangent[:, None]
    total, effect = (v[block.profile] * block.measured for v in (cotangent, by_profile @ block.effect))
    ratio = (by_profile.astype(real)[block.profile] * block.measured.astype(real)[:, None]) / sums.blurred  # (n, Q)

    # Posterior mass of each layer's log k, (n, G).
    pad = _padding(block)
    row = jnp.zeros(len(block.lattice) + 2 * pad, real)
    onto = jax.vmap(lambda part, at: lax.dynamic_update_slice(row, part, (at,)))(ratio, sums.start)[:, pad:-pad]
    mass = sums.tilted * product(onto, sums.blur.T)
    log_k_mean = product(mass, (log_k - middle).astype(real)) + middle * total
    away = log_k_mean - jnp.clip(centre, log_k[0], log_k[-1]) * total - effect  # of log k from centre + effect
    d_centre = jnp.where((centre > log_k[0]) & (centre < log_k[-1]), away / tau**2, 0.0)
    joint = product(sums.tilted.T, onto) * sums.blur  # of all layers' log k and place on the lattice, (G, T)
    squares = (joint * (log_k[:, None] - block.lattice) ** 2).sum()
    squares -= (sums.delta * (2 * away + sums.delta * total)).sum()
    d_tau = jnp.where(scales.tau_layer < tau, 0.0, squares / tau**3 - total.sum() / tau)

    log_weight, pull_back = jax.vjp(partial(_log_weight, block), scales)
    (by_weight,) = pull_back(jnp.zeros_like(log_weight).at[block.group].add(by_profile))
    return None, None, d_centre, by_weight._replace(tau_layer=d_tau), total, mass


_marginal.defvjp(_forward, _backward)
