r"""The marginal likelihood of a profile: log k of every layer and the profile's own effect, both summed out on grids.

A layer's log k is Normal(c + a, τ), where c is what the regression says and a, of scale s, is common to the layers of a
profile; a may have any distribution, which is but a weight on its nodes (`student_log_weight`). Both sums are trapezoid
rules on smooth functions that vanish at the ends, so they converge faster than any power of the spacing. With nodes
a_q = s z_q the inner sum over log k = x_g needs no n x G x Q exponentials, because a Gaussian
splits into factors of (layer, node of log k), (node of log k, node of a) and (layer, node of a):

.. math:: (x_g - c - a_q)^2 = (x_g - c)^2 - 2 (x_g - \bar x) a_q - 2 (\bar x - c) a_q + a_q^2

and the middle factor is one matrix for all layers: the sum is a matrix product. Where τ is so small beside s that its
factors leave the range of double precision, which a sampler may touch in passing, the sum is taken term by term.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.nn import softmax
from jax.scipy.special import digamma, gammaln, logsumexp
from numpy.typing import NDArray

PROFILE_RANGE = 6.0
"""The profile effect is summed over ± this many times its scale, and the weights are normalised there: the tails that
Student's t would have beyond are cut off.
"""

GREGORY = (251 / 720, 299 / 240, 211 / 240, 739 / 720)
"""Weights of the first and the last nodes: the trapezoid rule, corrected at ends where a function does not vanish."""

BUCKETS = (2, 4, 8, 16, 32)
"""Profiles are taken together by their number of layers (up to each of these, and more): one with many layers has a
narrower effect, which needs closer nodes.
"""

MAX_EXPONENT, TINY, MARGIN = 690.0, 1e-300, 20.0
"""Double precision ends at exp(±709); a sum must exceed TINY by exp(MARGIN) to be free of it."""

NEGLIGIBLE = 1e-20
"""Posterior weight of a node of the profile effect that changes no sum."""


class Block(NamedTuple):
    """Layers of profiles of similar size; all arrays, so that it passes through JAX.

    residual : observed minus predicted Δ14C, ‰, (layer, G). measured : 1, or 0 where the residual has no meaning,
    (layer,). known_variance : laboratory ⊕ atmosphere, ‰², (layer,). design : of the regression, (layer, p).
    profile : number of the layer's profile within the block, (layer,). order : places of layers and profiles in the
    tables that they came from. group : of each profile, (P,). z : nodes of the profile effect over its scale, (Q,).
    """

    residual: Any
    measured: Any
    known_variance: Any
    design: Any
    profile: Any
    layer_order: Any
    profile_order: Any
    group: Any
    z: Any


class Scales(NamedTuple):
    """Spreads of the model: of profiles and layers in log k, misfit (‰), degrees of freedom (inf: Normal)."""

    tau_profile: Array
    tau_layer: Array
    model_sd: Array
    nu: Array


def make_blocks(
    residual: NDArray[np.float64],
    measured: NDArray[np.bool_],
    known_variance: NDArray[np.float64],
    design: NDArray[np.float64],
    profile: NDArray[np.int64],
    group: NDArray[np.int64] | None = None,
    *,
    refine: float = 1.0,
) -> tuple[Block, ...]:
    """Blocks of layers. profile : of each, from 0. group : of each profile, such as its biome; by default 0. refine :
    multiplies the nodes of the profile effect.
    """
    size = np.bincount(profile)
    group = np.zeros(len(size), int) if group is None else group
    bucket = np.searchsorted(BUCKETS, size)
    blocks = []
    for b in np.unique(bucket):
        profiles = np.flatnonzero(bucket == b)
        layers = np.flatnonzero(bucket[profile] == b)
        layers = layers[np.argsort(profile[layers], kind="stable")]
        blocks.append(
            Block(
                residual=residual[layers],
                measured=measured[layers].astype(float),
                known_variance=known_variance[layers],
                design=design[layers],
                profile=np.searchsorted(profiles, profile[layers]),
                layer_order=layers,
                profile_order=profiles,
                group=group[profiles],
                z=profile_nodes(int(size[profiles].max()), refine),
            )
        )
    return tuple(jax.tree.map(jnp.asarray, blocks))


def profile_nodes(layers: int, refine: float = 1.0) -> NDArray[np.float64]:
    """Nodes over the scale of the effect, close enough for that of a profile with so many layers.

    With τ_layer = 0.47 s the effect given its layers has a standard deviation of s/√(1 + 4.5 layers); nodes that far
    apart leave an error of exp(-2π²).
    """
    spacing = 1 / np.sqrt(1 + 4.5 * max(layers, 1)) / refine
    return np.linspace(-PROFILE_RANGE, PROFILE_RANGE, 2 * int(np.ceil(PROFILE_RANGE / spacing)) + 1)


def student_log_weight(z: Array, scale: Array, nu: Array) -> Array:
    """Log weights of the nodes z (Q,) of Student's t of each scale (P,), shape (P, Q); they sum to 1."""
    ends = jnp.log(jnp.array(GREGORY))
    rule = jnp.zeros_like(z).at[: len(ends)].set(ends).at[-len(ends) :].set(ends[::-1])
    density = rule - 0.5 * (nu + 1) * jnp.log1p((z / scale[:, None]) ** 2 / nu)
    return density - logsumexp(density, axis=1, keepdims=True)


def log_error_density(
    residual: Array, known_variance: Array, scales: Scales, *, student: bool
) -> tuple[Array, Array, Array]:
    """Log density of a measurement at every node of log k: constant (layer,) + slope x penalty (layer, G), where the
    penalty is 0 where the model meets the measurement: half the squared standardised residual of a Normal, or
    log(1 + r²/ν) of Student's t.
    """
    variance = known_variance + scales.model_sd**2
    if not student:
        penalty = residual**2 * (0.5 / variance)[:, None]
        return -0.5 * jnp.log(2 * jnp.pi * variance), -jnp.ones(()), penalty
    nu = scales.nu
    constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * jnp.log(nu * jnp.pi * variance)
    ratio = residual**2 * (1 / (nu * variance))[:, None]
    # The logarithm is the dearest step. In single precision it is six times cheaper, and 1e-6 off at most.
    return constant, -(nu + 1) / 2, jnp.log1p(ratio.astype(jnp.float32)).astype(ratio.dtype)


def effect_log_posterior(
    block: Block, log_k: Array, centre: Array, scales: Scales, log_weight: Array, *, student: bool
) -> Array:
    """Log of (likelihood x weight) of each profile's effect at each node, not normalised: shape (profile, Q).

    centre : what the regression says of log k, (layer,). log_weight : of the effect's nodes, (profile, Q).
    """
    sums = _sum_out(block, log_k, centre, scales, log_weight, student=student)
    return lax.cond(
        sums.in_range, lambda: sums.log_posterior, lambda: _direct(student, block, log_k, centre, scales, log_weight)
    )


def profile_log_likelihood(
    block: Block, log_k: Array, centre: Array, scales: Scales, log_weight: Array, *, student: bool
) -> Array:
    """Log marginal likelihood of each profile of the block: shape (profile,). Its gradient is written out below."""
    return _profile_log_likelihood(student, block, log_k, centre, scales, log_weight)


class _Sums(NamedTuple):
    """What both the value and its gradient need: the penalty and exp(exponents) of layers at nodes (n, G), the shared
    factor (G, Q), their product, the effect at its nodes (Q,), its log posterior and the weights thereof (P, Q), and
    whether the factors were within the range of double precision wherever there is weight.
    """

    penalty: Array
    layers: Array
    shared: Array
    product: Array
    effect: Array
    log_posterior: Array
    weight: Array
    in_range: Array


def _sum_out(block: Block, log_k: Array, centre: Array, scales: Scales, log_weight: Array, *, student: bool) -> _Sums:
    constant, slope, penalty = log_error_density(block.residual, block.known_variance, scales, student=student)
    tau, step = scales.tau_layer, log_k[1] - log_k[0]
    exponent = (slope * block.measured)[:, None] * penalty - (log_k - centre[:, None]) ** 2 * (0.5 / tau**2)
    top = exponent.max(axis=1, keepdims=True)
    layers = jnp.exp(exponent - top)
    middle, effect = log_k.mean(), scales.tau_profile * block.z
    # Measured from middle + effect: where a layer with centre c needs it, at c + effect, it is then near (c - middle).
    shared_exponent = (log_k[:, None] - middle - effect) * (effect / tau**2)
    shared = jnp.exp(jnp.minimum(shared_exponent, MAX_EXPONENT))
    product = layers @ shared + TINY
    log_product = jnp.log(product)
    rest = constant * block.measured + top[:, 0] + jnp.log(step / (tau * jnp.sqrt(2 * jnp.pi)))
    rest = rest[:, None] + (middle - centre)[:, None] * (effect / tau**2) + 0.5 * (effect / tau) ** 2
    by_layer = jnp.where(block.measured[:, None] > 0, log_product + rest, 0.0)  # no measurement: a sum of 1
    log_posterior = _by_profile(block, by_layer, log_weight)
    weight = softmax(log_posterior, axis=1)
    weight = jnp.where(weight > NEGLIGIBLE, weight, 0.0)
    # TINY can only raise a sum: what it spoils has weight, and is out of range by itself, or has none in truth.
    reach = jnp.maximum(shared_exponent.max(axis=0), MARGIN) - jnp.minimum(log_product, 0.0)
    free = (block.measured[:, None] == 0) | (weight[block.profile] == 0)
    in_range = jnp.all(free | (reach < MAX_EXPONENT))
    return _Sums(penalty, layers, shared, product, effect, log_posterior, weight, in_range)


def _by_profile(block: Block, by_layer: Array, log_weight: Array) -> Array:
    """Log posterior of the effect from the log likelihood of each layer, (n, Q) to (P, Q)."""
    count = len(block.profile_order)
    return jax.ops.segment_sum(by_layer, block.profile, count, indices_are_sorted=True) + log_weight


def _direct(student: bool, block: Block, log_k: Array, centre: Array, scales: Scales, log_weight: Array) -> Array:
    """The log posterior of `_sum_out`, term by term: for any spreads, and some fifty times slower."""
    constant, slope, penalty = log_error_density(block.residual, block.known_variance, scales, student=student)
    log_error = (slope * block.measured)[:, None] * penalty
    constant += jnp.log((log_k[1] - log_k[0]) / (scales.tau_layer * jnp.sqrt(2 * jnp.pi)))

    @jax.checkpoint
    def at(effect: Array) -> Array:
        z = (log_k - (centre + effect)[:, None]) / scales.tau_layer
        return jnp.where(block.measured > 0, logsumexp(log_error - 0.5 * z**2, axis=1) + constant, 0.0)

    return _by_profile(block, lax.map(at, scales.tau_profile * block.z).T, log_weight)


def _direct_likelihood(
    student: bool, block: Block, log_k: Array, centre: Array, scales: Scales, log_weight: Array
) -> Array:
    return logsumexp(_direct(student, block, log_k, centre, scales, log_weight), axis=1)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _profile_log_likelihood(
    student: bool, block: Block, log_k: Array, centre: Array, scales: Scales, log_weight: Array
) -> Array:
    return _forward(student, block, log_k, centre, scales, log_weight)[0]


def _forward(
    student: bool, block: Block, log_k: Array, centre: Array, scales: Scales, log_weight: Array
) -> tuple[Array, Any]:
    sums = _sum_out(block, log_k, centre, scales, log_weight, student=student)
    value = lax.cond(
        sums.in_range,
        lambda: logsumexp(sums.log_posterior, axis=1),
        lambda: _direct_likelihood(student, block, log_k, centre, scales, log_weight),
    )
    return value, (block, log_k, centre, scales, log_weight, sums)


def _backward(student: bool, saved: Any, cotangent: Array) -> tuple[Any, ...]:
    block, log_k, centre, scales, log_weight, sums = saved

    def direct() -> tuple[Array, Scales, Array]:
        _, pull_back = jax.vjp(partial(_direct_likelihood, student, block, log_k), centre, scales, log_weight)
        return pull_back(cotangent)

    gradient = lax.cond(
        sums.in_range, lambda: _gradient(student, block, log_k, centre, scales, sums, cotangent), direct
    )
    return None, None, *gradient


def _gradient(
    student: bool, block: Block, log_k: Array, centre: Array, scales: Scales, sums: _Sums, cotangent: Array
) -> tuple[Array, Scales, Array]:
    """Fisher's identity: the gradient of a marginal likelihood is the posterior mean of the joint one's.

    Written out because the compiler's own reverse pass evaluates the exponentials again for each use: 3 times slower.
    """
    tau, s, effect = scales.tau_layer, scales.tau_profile, sums.effect
    d_log_weight = sums.weight * cotangent[:, None]
    weight = d_log_weight[block.profile]  # (n, Q)
    ratio = weight / sums.product
    mass = sums.layers * (ratio @ sums.shared.T)  # of each layer's log k, (n, G)
    joint = sums.shared * (sums.layers.T @ ratio)  # of (log k, effect), all layers together, (G, Q)
    total = weight.sum(axis=1)
    from_centre = log_k - centre[:, None]
    mean_effect = weight @ effect
    first = (mass * from_centre).sum(axis=1)
    d_centre = (first - mean_effect) / tau**2
    cross = log_k @ joint @ effect - centre @ mean_effect  # of (log k - centre) and the effect
    squares = (mass * from_centre**2).sum() - 2 * cross + (weight @ effect**2).sum()
    d_tau_layer = squares / tau**3 - total.sum() / tau
    d_tau_profile = (cross - (weight @ effect**2).sum()) / (s * tau**2)

    variance = block.known_variance + scales.model_sd**2
    mass, total = mass * block.measured[:, None], total * block.measured
    penalty = (mass * sums.penalty).sum(axis=1)
    if student:
        nu, squared = scales.nu, block.residual**2
        part = (mass * (squared / (squared + (nu * variance)[:, None]))).sum(axis=1)
        d_variance = (-0.5 * total + (nu + 1) / 2 * part) / variance
        d_constant = total.sum() * (digamma((nu + 1) / 2) - digamma(nu / 2) - 1 / nu)
        d_nu = 0.5 * (d_constant - penalty.sum() + (nu + 1) / nu * part.sum())
    else:
        d_variance = (-0.5 * total + penalty) / variance
        d_nu = jnp.zeros_like(scales.nu)
    d_model_sd = (d_variance * 2 * scales.model_sd).sum()
    return d_centre, Scales(d_tau_profile, d_tau_layer, d_model_sd, d_nu), d_log_weight


_profile_log_likelihood.defvjp(_forward, _backward)
