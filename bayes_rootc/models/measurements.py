r"""What the measurements of a layer say about its log k: their log likelihood at every node of log k.

A layer of one pool has one measurement, Δ14C of its bulk carbon. A layer of many rates may have three: the bulk, the
CO₂ that it respired in a jar, and how much richer in radiocarbon its light carbon is than its heavy carbon. Given log k
(the centre of the rates) and how the rates spread, errors of the three are independent.

Gradients are written by hand, because the compiler's own reverse pass evaluates logarithms and tables again: a layer's
fitted value depends on the layer's own shape only, so one forward derivative for each parameter of the shape is enough.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.special import gammaln
from numpy.typing import NDArray

from .rates import Family, Kind, Shape, with_slopes


class Limits(NamedTuple):
    """What a precision can hold: a likelihood is not below exp(-floor) of its highest, the tilt by δ not above
    exp(tilt), and a sum not below `tiny`.
    """

    floor: float
    tilt: float
    tiny: float


SINGLE, DOUBLE = Limits(50.0, 25.0, 1e-37), Limits(500.0, 100.0, 1e-300)


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


class Measured(NamedTuple):
    """Measurements of one kind.

    Attributes
    ----------
    layer : array of int, shape (n,)
        Layers that were measured.
    row : array of int, shape (n,)
        Row of each in the tables of the family of rates.
    observed, known_variance : array, shape (n,)
        Δ14C, or a difference of two (‰), and its variance by the laboratory and the atmosphere (‰²).
    there : array, shape (n,)
        1, or 0 where the value is missing or held out.
    of_layer : array of int, shape (layer,)
        Place of each layer here; n if it was not measured.
    """

    layer: Any
    row: Any
    observed: Any
    known_variance: Any
    there: Any
    of_layer: Any


class ManyRates(NamedTuple):
    """Radiocarbon of layers with many rates each.

    Attributes
    ----------
    rates : Family
        Δ14C that rates of this family give.
    bulk, respired, parts : Measured
        The whole carbon; what was respired; light less heavy carbon.
    spread_design : array, shape (layer, r)
        Design matrix of the shape of the distribution of rates.
    """

    rates: Family
    bulk: Measured
    respired: Measured
    parts: Measured
    spread_design: Any

    @property
    def known_variance(self) -> Any:
        """Variance of bulk Δ14C by the laboratory and the atmosphere, ‰², (layer,)."""
        return self.bulk.known_variance


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
    levels : tuple of Array
        Standard deviation of the effects of each level above profiles.
    shape : Shape
        Distribution of the rates within each layer, where there are many.
    respired_sd, parts_sd : Array or None
        Misfit of respired carbon, and of light less heavy carbon, ‰.
    """

    tau_layer: Array
    model_sd: Array
    nu: Array
    log_density: Array
    profile: Array
    nu_profile: Array
    skew: Array
    levels: tuple[Array, ...] = ()
    shape: Any = None
    respired_sd: Any = None
    parts_sd: Any = None


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


def measured(layer: Any, row: Any, observed: Any, known_variance: Any, there: Any, *, layers: int) -> Measured:
    """Measurements of one kind, of some of the layers."""
    of_layer = np.full(layers, len(layer))
    of_layer[layer] = np.arange(len(layer))
    return Measured(layer, row, observed, known_variance, there, of_layer)


def of_layers(data: OnePool | ManyRates, layers: NDArray[np.int64]) -> OnePool | ManyRates:
    """The data of some layers, in their order."""
    if isinstance(data, OnePool):
        return OnePool(*(values[layers] for values in data))
    count = len(data.bulk.layer)
    place = np.full(count, count)
    place[layers] = np.arange(len(layers))

    def some(kind: Measured) -> Measured:
        here = np.argsort(place[kind.layer], kind="stable")[: int((place[kind.layer] < count).sum())]
        return measured(place[kind.layer[here]], *(values[here] for values in kind[1:-1]), layers=len(layers))

    bulk, respired, parts = (some(kind) for kind in (data.bulk, data.respired, data.parts))
    return ManyRates(data.rates, bulk, respired, parts, data.spread_design[layers])


def log_density_at_zero(nu: Array, *, student: bool) -> Array:
    """Log probability density at 0 of a standard Student's t, or Normal."""
    if not student:
        return -0.5 * jnp.log(2 * jnp.pi)
    return gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * jnp.log(nu * jnp.pi)


def log_density(data: OnePool | ManyRates, scales: Scales, *, student: bool) -> tuple[Array, Array]:
    """Log likelihood of the measurements of each layer at every node of log k, in two parts.

    Parameters
    ----------
    data : OnePool or ManyRates
        What was measured of the layers.
    scales : Scales
        Misfits, degrees of freedom, and the distribution of rates.
    student : bool
        Whether errors are Student's t.

    Returns
    -------
    constant : Array, shape (layer,)
        Log likelihood at the best node.
    depth : Array, shape (layer, G)
        How far below it the other nodes are, in single precision where errors are Student's t.
    """
    return (_one_pool if isinstance(data, OnePool) else _many_rates)(student, data, scales)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _one_pool(student: bool, data: OnePool, scales: Scales) -> tuple[Array, Array]:
    return _one_pool_forward(student, data, scales)[0]


def _one_pool_forward(student: bool, data: OnePool, scales: Scales) -> tuple[tuple[Array, Array], Any]:
    real = precision(student)
    variance = data.known_variance + scales.model_sd**2
    constant, slope = _constant_and_slope(variance, scales, student=student)
    squared = data.squared.astype(real)
    penalty, least = (_penalty(r, variance, scales, student) for r in (squared, data.least))
    depth = jnp.maximum(slope.astype(real) * (penalty - least.astype(real)[:, None]), -limits(real).floor)
    return (constant + slope * least, depth), (data, scales, penalty)


def _one_pool_backward(student: bool, saved: Any, cotangent: tuple[Array, Array]) -> tuple[None, Scales]:
    """The mass of a layer over the nodes adds up to its `total`, so that the best node, which both parts contain, drops
    out.
    """
    (data, scales, penalty), (total, mass) = saved, cotangent
    variance = data.known_variance + scales.model_sd**2
    d_variance, d_nu = _error_gradient(data.squared, penalty, variance, mass, total, scales, student)
    nothing = jax.tree.map(jnp.zeros_like, scales)
    d_sd = d_variance * 2 * scales.model_sd
    return None, nothing._replace(model_sd=d_sd, nu=d_nu, log_density=total.sum())


_one_pool.defvjp(_one_pool_forward, _one_pool_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _many_rates(student: bool, data: ManyRates, scales: Scales) -> tuple[Array, Array]:
    return _many_rates_forward(student, data, scales)[0]


KINDS: tuple[Kind, ...] = ("bulk", "respired", "parts")


def _misfit(scales: Scales, kind: str) -> Array:
    return {"bulk": scales.model_sd, "respired": scales.respired_sd, "parts": scales.parts_sd}[kind]


def _many_rates_forward(student: bool, data: ManyRates, scales: Scales) -> tuple[tuple[Array, Array], Any]:
    real, saved, total = precision(student), dict[str, Any](), jnp.zeros(())
    for kind in KINDS:
        of_kind: Measured = getattr(data, kind)
        if not len(of_kind.layer):
            continue
        # The barrier keeps the compiler from looking tables up again for each use of the values: 3 times slower.
        fitted, slopes = lax.optimization_barrier(
            with_slopes(data.rates, kind, of_kind.row, scales.shape.of(of_kind.layer))
        )
        residual = of_kind.observed.astype(real)[:, None] - fitted.astype(real)
        variance = of_kind.known_variance + _misfit(scales, kind) ** 2
        constant, slope = _constant_and_slope(variance, scales, student=student)
        penalty = _penalty(residual**2, variance, scales, student)
        found = (constant.astype(real)[:, None] + slope.astype(real) * penalty) * of_kind.there.astype(real)[:, None]
        if kind == "bulk":
            total = found
        else:  # a gather, as a scatter takes longer than all else
            total = total + jnp.pad(found, ((0, 1), (0, 0)))[of_kind.of_layer]
        saved[kind] = residual, penalty, slopes
    best = total.max(axis=1)
    return (best.astype(float), jnp.maximum(total - best[:, None], -limits(real).floor)), (data, scales, saved)


def _many_rates_backward(student: bool, saved: Any, cotangent: tuple[Array, Array]) -> tuple[None, Scales]:
    (data, scales, kept), mass_of = saved, lax.optimization_barrier(cotangent[1])
    real = mass_of.dtype
    out: Scales = jax.tree.map(jnp.zeros_like, scales)
    for kind, (residual, penalty, slopes) in kept.items():
        of_kind: Measured = getattr(data, kind)
        mass = (mass_of if kind == "bulk" else mass_of[of_kind.layer]) * of_kind.there.astype(real)[:, None]
        total = mass.sum(axis=1).astype(float)
        misfit = _misfit(scales, kind)
        variance, squared = of_kind.known_variance + misfit**2, residual**2
        d_variance, d_nu = _error_gradient(squared, penalty, variance, mass, total, scales, student)
        if student:
            pull = (scales.nu + 1).astype(real) * residual / (squared + (scales.nu * variance).astype(real)[:, None])
        else:
            pull = residual / variance.astype(real)[:, None]
        slope = Shape(*(None if s is None else (mass * pull * s).sum(axis=1).astype(float) for s in slopes))
        name = {"bulk": "model_sd", "respired": "respired_sd", "parts": "parts_sd"}[kind]
        d_sd = d_variance * 2 * misfit
        out = out._replace(
            **{name: getattr(out, name) + (d_sd if kind == "bulk" else d_sd.sum())},
            nu=out.nu + d_nu,
            log_density=out.log_density + total.sum(),
            shape=_added(out.shape, of_kind.of_layer, slope),
        )
    return None, out


def _added(shape: Shape, of_layer: Array, part: Shape) -> Shape:
    """A gradient by the shape, with that of some layers' measurements added."""
    link = shape.link if part.link is None else shape.link + part.link.sum()
    spread, fast = (None if v is None else jnp.pad(v, (0, 1))[of_layer] for v in part[:2])
    return Shape(shape.spread + spread, None if shape.fast is None else shape.fast + fast, link)


_many_rates.defvjp(_many_rates_forward, _many_rates_backward)


def _error_gradient(
    squared: Array, penalty: Array, variance: Array, mass: Array, total: Array, scales: Scales, student: bool
) -> tuple[Array, Array]:
    """Gradient by the variance of each measurement, (n,), and by the degrees of freedom."""
    penalised = (mass * penalty).sum(axis=1)
    if not student:
        return (-0.5 * total + penalised) / variance, jnp.zeros_like(scales.nu)
    nu = scales.nu
    scaled = (nu * variance).astype(squared.dtype)[:, None]
    part = (mass * (squared / (squared + scaled))).sum(axis=1)
    d_nu = 0.5 * ((nu + 1) / nu * part - penalised).astype(float).sum()
    return (-0.5 * total + (nu + 1) / 2 * part) / variance, d_nu


def precision(student: bool) -> Any:
    """Single precision is enough where the error has no narrower tail than Student's t."""
    return jnp.float32 if student else jnp.float64


def limits(real: Any) -> Limits:
    """What a precision can hold."""
    return SINGLE if real == jnp.float32 else DOUBLE


def _constant_and_slope(variance: Array, scales: Scales, *, student: bool) -> tuple[Array, Array]:
    return scales.log_density - 0.5 * jnp.log(variance), -(scales.nu + 1) / 2 if student else -jnp.ones(())


def _penalty(squared: Array, variance: Array, scales: Scales, student: bool) -> Array:
    """What squared residuals, (n,) or (n, G), cost in log density, but for a factor: half the squared standardised
    residual of a Normal, or log(1 + r²/ν) of Student's t.
    """
    factor = 1 / (scales.nu * variance) if student else 0.5 / variance
    ratio = squared * factor.reshape(-1, *(1,) * (squared.ndim - 1)).astype(squared.dtype)
    return jnp.log1p(ratio) if student else ratio
