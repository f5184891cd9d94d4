r"""The marginal likelihood of layers: log k of each, and the effects of profiles, sites and studies, all summed out on
grids.

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

Profiles of one site have an effect in common, and sites of one study. Given that, a profile's likelihood is its own,
blurred by how profiles differ; a site's likelihood is the product of its profiles', and so on upwards (`Levels`).
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.nn import one_hot
from jax.scipy.special import logsumexp
from numpy.typing import NDArray

from .measurements import ManyRates, OnePool, Scales, limits, log_density, of_layers, precision
from .radiocarbon import LOG_K_RANGE

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

LEVEL_RANGE, LEVEL_SPACING = 5.0, 0.086
"""What the profiles of a site or study have in common is summed over ± this much of log k, on nodes this far apart;
those of profiles are then the same, or halves or thirds between them, so that a narrow distribution of profiles about
it, whose weights are taken at differences of nodes, has the same sum everywhere.
"""

BATCH = 16
"""Profiles of one group that are blurred together."""

product = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
"""Matrix product at full precision: by default GPUs multiply single precision with a third of its digits."""


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
    batch : array, shape (batches, BATCH)
        Profiles in batches of one group; past their number, any.
    batch_group : array of int, shape (batches,)
        Group of each batch.
    rank : array, shape (profile,)
        Place of each profile in `batch`, row by row.
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
    batch: Any
    batch_group: Any
    rank: Any
    effect: Any
    lattice: Any


class Levels(NamedTuple):
    """What profiles have in common with others: those of their site, and sites with others of their study.

    Attributes
    ----------
    unit : tuple of array
        For each level, from the lowest, the unit that each member belongs to: of profiles, in the order of the blocks,
        their site; of sites, their study.
    order : tuple of array
        Numbers of the units.
    nodes : array, shape (U,)
        Nodes of what the members of a unit have in common.
    """

    unit: Any
    order: Any
    nodes: Any


def make_blocks(
    data: OnePool | ManyRates,
    measured: NDArray[np.bool_],
    design: NDArray[np.float64],
    misfit_design: NDArray[np.float64],
    profile: NDArray[np.int64],
    group: NDArray[np.int64] | None = None,
    *,
    refine: float = 1.0,
    levels: bool = False,
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
    levels : bool
        Whether profiles have something in common with others.

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
        effect, lattice = effect_nodes(int(size[profiles].max()), refine, levels=levels)
        batch, batch_group, rank = _batches(group[profiles])
        blocks.append(
            Block(
                data=of_layers(data, layers),
                measured=measured[layers].astype(float),
                design=design[layers],
                misfit_design=misfit_design[layers],
                profile=np.searchsorted(profiles, profile[layers]),
                layer_order=layers,
                profile_order=profiles,
                group=group[profiles],
                batch=batch,
                batch_group=batch_group,
                rank=rank,
                effect=effect,
                lattice=lattice,
            )
        )
    return tuple(jax.tree.map(jnp.asarray, blocks))


def _batches(group: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """`batch`, `batch_group` and `rank` of a block."""
    order = np.argsort(group, kind="stable")
    inside = np.empty(len(group), int)
    inside[order] = np.arange(len(group)) - np.searchsorted(group[order], group[order])
    first = np.concatenate([[0], np.cumsum(-(-np.bincount(group) // BATCH))])
    rank = first[group] * BATCH + inside
    batch = np.zeros(first[-1] * BATCH, int)
    batch[rank] = np.arange(len(group))
    of_batch = np.searchsorted(first, np.arange(first[-1]), side="right") - 1
    return batch.reshape(-1, BATCH), of_batch, rank


def make_levels(blocks: tuple[Block, ...], units: list[NDArray[np.int64]], *, refine: float = 1.0) -> Levels | None:
    """Levels above the profiles of blocks.

    Parameters
    ----------
    blocks : tuple of Block
        Profiles.
    units : list of ndarray, each of shape (profile,)
        For each level, from the lowest, the number of each profile's unit; no unit has parts in two of the next level.
    refine : float
        Factor on the number of nodes.

    Returns
    -------
    Levels or None
        None if there is no level.
    """
    if not units:
        return None
    half = int(np.ceil(LEVEL_RANGE / LEVEL_SPACING * refine))
    nodes = LEVEL_SPACING / refine * np.arange(-half, half + 1)
    member, of_members = np.concatenate([np.asarray(b.profile_order) for b in blocks]), []
    for unit in units:
        of_members.append(unit[member])
        member = np.unique(unit, return_index=True)[1]  # a profile of each unit
    order = [np.arange(int(unit.max()) + 1) for unit in units]
    return jax.tree.map(jnp.asarray, Levels(tuple(of_members), tuple(order), nodes))


def effect_nodes(
    layers: int, refine: float = 1.0, *, levels: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes of the profile effect, close enough for a profile with this number of layers, and the lattice of log k."""
    spacing, (low, high) = SPACING / np.sqrt(1 + 4.5 * max(layers, 1)) / refine, LOG_K_RANGE
    if levels:
        common = LEVEL_SPACING / refine
        spacing = common / np.ceil(common / spacing)
    half = int(np.ceil(EFFECT_RANGE / spacing))
    if not levels:
        spacing = EFFECT_RANGE / half
    count = 2 * _beyond(half) + int(np.ceil((high - low) / spacing)) + 1
    effect, lattice = np.arange(-half, half + 1, dtype=float), np.arange(count, dtype=float) - _beyond(half)
    return spacing * effect, low + spacing * lattice


def _beyond(half: int) -> int:
    """Nodes of the lattice on either side of the range of log k, where the effect has `half` on either side of 0."""
    return int(LATTICE_RANGE * half)


def student_log_weight(nodes: Array, scale: Array, nu: Array, skew: Array) -> Array:
    """Log weights of the nodes (Q,) of a two-piece Student's t of each scale (g,), shape (g, Q); they sum to 1."""
    ends = jnp.log(jnp.array(GREGORY))
    rule = jnp.zeros_like(nodes).at[: len(ends)].set(ends).at[-len(ends) :].set(ends[::-1])
    density = rule + _student(nodes, scale[:, None], nu, skew)
    return density - logsumexp(density, axis=1, keepdims=True)


def _student(away: Array, scale: Array, nu: Array, skew: Array) -> Array:
    """Log density of a two-piece Student's t, but for a constant."""
    return -0.5 * (nu + 1) * jnp.log1p((away / (scale * jnp.exp(skew * jnp.sign(away)))) ** 2 / nu)


def log_likelihoods(
    by_effect: list[Array], blocks: tuple[Block, ...], levels: Levels | None, scales: Scales, *, student: bool
) -> Array:
    """Log marginal likelihood of each unit of the highest level, or of each profile if there is no level: (unit,).

    Parameters
    ----------
    by_effect : list of Array
        What `log_likelihood_of_effects` gives for each block.
    blocks : tuple of Block
    levels : Levels or None
    scales : Scales
        How profiles, and units of the levels, differ.
    student : bool
        Whether errors are Student's t.
    """
    if levels is None:
        parts = [f + _log_weight(b, scales)[b.group] for f, b in zip(by_effect, blocks, strict=True)]
        return jnp.concatenate([logsumexp(part, axis=1) for part in parts])
    of_units = _upwards(by_effect, blocks, levels, scales, student)
    return logsumexp(of_units[-1] + _log_normal_weight(levels.nodes, scales.levels[-1], jnp.zeros(1)).T, axis=1)


def draw_effects(
    by_effect: list[Array],
    blocks: tuple[Block, ...],
    levels: Levels | None,
    scales: Scales,
    uniform: Array,
    *,
    student: bool,
) -> tuple[list[Array], list[Array]]:
    """Exact draws of the effects of profiles, each with those of its site and study in it, from the top down.

    Parameters
    ----------
    by_effect, blocks, levels, scales, student
        As in `log_likelihoods`.
    uniform : Array
        A number between 0 and 1 for each unit, from the highest level down, and for each profile.

    Returns
    -------
    effect : list of Array, each (profile,)
        For each block.
    log_likelihood : list of Array, each (profile,)
        Of the profile's layers, given what it has in common with others; its effect and log k are summed out.
    """
    used, place = 0, None
    if levels is not None:
        of_units = _upwards(by_effect, blocks, levels, scales, student)
        common = jnp.zeros(len(levels.order[-1]))
        for level in reversed(range(len(of_units))):
            weight = of_units[level] + _log_normal_weight(levels.nodes, scales.levels[level], common).T
            place = draw_index(weight, uniform[used : used + len(weight)])
            used, common = used + len(weight), levels.nodes[place]
            if level:
                common = common[levels.unit[level]]
        place = place[levels.unit[0]]  # type: ignore[index]
    effects, likelihoods, done = [], [], 0
    for found, block in zip(by_effect, blocks, strict=True):
        count = len(found)
        if place is None or levels is None:
            weight = _log_weight(block, scales)[block.group]
        else:
            common = levels.nodes[place[done : done + count]]
            weight = _about(block, scales, common)
        posterior = found + weight
        effects.append(block.effect[draw_index(posterior, uniform[used + done : used + done + count])])
        likelihoods.append(logsumexp(posterior, axis=1))
        done += count
    return effects, likelihoods


def draw_index(log_weight: Array, uniform: Array) -> Array:
    """A column of each row of log weights (n, Q), drawn by numbers between 0 and 1, (n,)."""
    cumulative = jnp.cumsum(jnp.exp(log_weight - log_weight.max(axis=1, keepdims=True)), axis=1)
    passed = cumulative < uniform[:, None] * cumulative[:, -1:]
    return jnp.minimum(passed.sum(axis=1), log_weight.shape[1] - 1)


def _about(block: Block, scales: Scales, common: Array) -> Array:
    """Log weights of the nodes of the effect of each profile, given what it has in common with others: (profile, Q)."""
    scale = scales.profile[block.group][:, None]
    density = _student(block.effect - common[:, None], scale, scales.nu_profile, scales.skew)
    return density - logsumexp(density, axis=1, keepdims=True)


def _upwards(
    by_effect: list[Array], blocks: tuple[Block, ...], levels: Levels, scales: Scales, student: bool
) -> list[Array]:
    """Log likelihood of what lies below each unit at the nodes of what its members have in common: for each level,
    (unit, U).
    """
    real, nodes, out = precision(student), levels.nodes, []
    members = jnp.concatenate(
        [_given_common(f, b, nodes, scales, real) for f, b in zip(by_effect, blocks, strict=True)]
    )
    for level, (unit, order) in enumerate(zip(levels.unit, levels.order, strict=True)):
        if level:
            members = _blurred(members, _log_normal_weight(nodes, scales.levels[level - 1], nodes))
        members = jax.ops.segment_sum(members, unit, len(order))
        out.append(members)
    return out


def _given_common(by_effect: Array, block: Block, nodes: Array, scales: Scales, real: Any) -> Array:
    """Log likelihood of each profile at the nodes of what it has in common with others, (profile, U)."""
    scale, nu, skew = (v.astype(real) for v in (scales.profile[:, None], scales.nu_profile, scales.skew))
    # Differences of nodes are multiples of the spacing of the effect, so that there are but few of them.
    count, common = len(block.effect), len(nodes)
    ratio = round(LEVEL_RANGE * (count // 2) / EFFECT_RANGE / (common // 2))
    steps = jnp.arange(count + ratio * common) - (count // 2 + ratio * (common // 2))
    weight = jnp.exp(_student((steps * (block.effect[1] - block.effect[0])).astype(real), scale, nu, skew))
    by_group = _shifted_rows(weight, count, common, ratio).reshape(len(scale), -1)
    by_batch = product(one_hot(block.batch_group, len(scale), dtype=real), by_group)
    top = lax.stop_gradient(by_effect.max(axis=1))
    share = jnp.exp(by_effect - top[:, None]).astype(real)[block.batch]
    blurred = product(share, by_batch.reshape(-1, common, count).transpose(0, 2, 1))
    blurred = blurred.reshape(-1, common)[block.rank]
    whole = logsumexp(_student(block.effect, scales.profile[:, None], scales.nu_profile, scales.skew), axis=1)
    return (top - whole[block.group])[:, None] + jnp.log(blurred + limits(real).tiny).astype(float)


def _shifted_rows(values: Array, count: int, rows: int, shift: int) -> Array:
    """Stretches of `count` of values (group, n), each `shift` farther left than the one above: (group, rows, count).

    By tiling, which the compiler differentiates into sums; a table of places would become a slow scatter.
    """
    n = values.shape[1]
    tiled = jnp.broadcast_to(values[:, None], (len(values), rows, n)).reshape(len(values), -1)
    tiled = tiled[:, : rows * (n - shift)].reshape(len(values), rows, n - shift)
    return tiled[:, :, shift * (rows - 1) : shift * (rows - 1) + count]


def _blurred(log_values: Array, log_weight: Array) -> Array:
    """Log of the weighted sum of values (n, U) over nodes, for each column of weights: (n, V)."""
    top = lax.stop_gradient(log_values.max(axis=1, keepdims=True))
    return top + jnp.log(product(jnp.exp(log_values - top), jnp.exp(log_weight)) + limits(jnp.float64).tiny)


def _log_normal_weight(nodes: Array, sd: Array, middle: Array) -> Array:
    """Log weights of the nodes (U,) of a Normal about each middle (v,), (U, v); over the nodes they sum to 1."""
    spacing = nodes[1] - nodes[0]
    density = -0.5 * ((nodes[:, None] - middle) / jnp.maximum(sd, spacing)) ** 2
    return density - logsumexp(density, axis=0, keepdims=True)


def log_likelihood_of_effects(block: Block, log_k: Array, centre: Array, scales: Scales, *, student: bool) -> Array:
    """Log likelihood of each profile's layers at every node of its effect, log k summed out.

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
    return _by_effect(block, log_k, centre, scales.tau_layer, *log_density(block.data, scales, student=student))


class _Sums(NamedTuple):
    """What both the value and its gradient need: tilted likelihood of layers at nodes (n, G), the blur (G, T), the
    blurred likelihood on the layer's stretch (n, Q), where that begins and δ, (n,), and the log likelihood of the
    effect (P, Q).
    """

    tilted: Array
    blur: Array
    blurred: Array
    start: Array
    delta: Array
    log_likelihood: Array


def _sum_out(block: Block, log_k: Array, centre: Array, tau_layer: Array, constant: Array, depth: Array) -> _Sums:
    real, held = depth.dtype, limits(depth.dtype)
    middle, spacing, step = log_k.mean(), block.effect[1] - block.effect[0], log_k[1] - log_k[0]
    centre, tau = jnp.clip(centre, log_k[0], log_k[-1]), _resolved(block, log_k, tau_layer, held.tilt)

    # The centre plus the first node of the effect is node `start` of the lattice, which is padded, plus δ.
    pad = _padding(block)
    place = (centre + block.effect[0] - block.lattice[0]) / spacing
    delta = (place - jnp.round(place)) * spacing
    start = jnp.round(place).astype(int) + pad
    tilt = delta / tau**2

    tilted = jnp.exp(depth + jnp.outer(tilt.astype(real), (log_k - middle).astype(real)))
    blur = jnp.exp(-0.5 * ((log_k[:, None] - block.lattice) / tau) ** 2).astype(real)
    blur = blur.at[np.array([0, -1])].multiply(0.5)  # the trapezoid rule: a likelihood does not vanish at the ends
    padded = jnp.pad(product(tilted, blur), ((0, 0), (pad, pad))) + held.tiny
    blurred = jax.vmap(lambda row, at: lax.dynamic_slice(row, (at,), block.effect.shape))(padded, start)

    constant = constant + jnp.log(step / (tau * jnp.sqrt(2 * jnp.pi)))
    rest = constant + tilt * (delta / 2 + middle - centre)
    by_layer = jnp.log(blurred) + rest[:, None] - jnp.outer(tilt, block.effect)
    by_layer = jnp.where(block.measured[:, None] > 0, by_layer, 0.0)  # no measurement: a sum of 1
    by_profile = jax.ops.segment_sum(by_layer, block.profile, len(block.profile_order), indices_are_sorted=True)
    return _Sums(tilted, blur, blurred, start, delta, by_profile)


def _padding(block: Block) -> int:
    """Nodes that must be added to the lattice on either side, for any centre within the range of log k."""
    half = len(block.effect) // 2
    return half - _beyond(half) + 1


def _log_weight(block: Block, scales: Scales) -> Array:
    return student_log_weight(block.effect, scales.profile, scales.nu_profile, scales.skew)


def _resolved(block: Block, log_k: Array, tau_layer: Array, tilt: float) -> Array:
    """τ_layer, floored at what the grid resolves; `quadrature_error` shows when the floor is active."""
    farthest = (log_k[-1] - log_k[0]) / 2 * (block.effect[1] - block.effect[0]) / 2  # |x - its middle| times |δ|
    return jnp.maximum(tau_layer, jnp.sqrt(farthest / tilt))


@jax.custom_vjp
def _by_effect(block: Block, log_k: Array, centre: Array, tau_layer: Array, constant: Array, depth: Array) -> Array:
    return _forward(block, log_k, centre, tau_layer, constant, depth)[0]


def _forward(
    block: Block, log_k: Array, centre: Array, tau_layer: Array, constant: Array, depth: Array
) -> tuple[Array, Any]:
    sums = _sum_out(block, log_k, centre, tau_layer, constant, depth)
    return sums.log_likelihood, (block, log_k, centre, tau_layer, sums)


def _backward(saved: Any, by_profile: Array) -> tuple[Any, ...]:
    """Fisher's identity: the gradient of a marginal likelihood is the posterior mean of the joint one's.

    Written out because the compiler's own reverse pass evaluates the exponentials again for each use: 3 times slower.
    """
    block, log_k, centre, tau_layer, sums = saved
    middle, real = log_k.mean(), sums.tilted.dtype
    tau = _resolved(block, log_k, tau_layer, limits(real).tilt)
    total, effect = (v[block.profile] * block.measured for v in (by_profile.sum(axis=1), by_profile @ block.effect))
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
    d_tau = jnp.where(tau_layer < tau, 0.0, squares / tau**3 - total.sum() / tau)
    return None, None, d_centre, d_tau, total, mass


_by_effect.defvjp(_forward, _backward)
