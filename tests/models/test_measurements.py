"""The likelihood of what is measured of layers with many rates, against plain sums, and its gradient."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from scipy.stats import norm
from scipy.stats import t as student_t

from bayes_rootc.data.atmosphere import Atmosphere
from bayes_rootc.models.measurements import Scales, log_density, log_density_at_zero, of_layers
from bayes_rootc.models.radiocarbon import LOG_K_RANGE, predicted_table
from bayes_rootc.models.rates import Shape, contrast, fitted_at, pools
from bayes_rootc.models.turnover import DAYS_PER_YEAR, TurnoverModel

AIR = Atmosphere.packaged()
FAMILIES = ("log-normal", "two pools")
LAYERS = pd.DataFrame(
    {
        "year": [1985.5, 2004.5, 2004.5, 2012.5],
        "zone": "NHZone1",
        "top": [0.0, 10.0, 40.0, 5.0],
        "bottom": [10.0, 20.0, 60.0, 15.0],
        "delta14c": [120.0, -30.0, np.nan, 40.0],
        "sigma": [4.0, 5.0, 5.0, 6.0],
        "respired": [np.nan, 90.0, 60.0, np.nan],
        "respired_sigma": [np.nan, 4.0, 5.0, np.nan],
        "respired_days": [np.nan, 30.0, 200.0, np.nan],
        "light_less_heavy": [np.nan, 110.0, np.nan, 60.0],
        "light_less_heavy_sigma": [np.nan, 7.0, np.nan, 8.0],
        "light_share": [np.nan, 0.3, np.nan, 0.15],
    }
)
SPREAD, FAST, LINK = np.array([0.8, 1.3, 1.6, 0.4]), np.array([0.3, 0.15, 0.4, 0.6]), 0.4
MODEL_SD, RESPIRED_SD, PARTS_SD = np.array([20.0, 30.0, 25.0, 15.0]), 40.0, 50.0


def model(family: str, error: str = "student", grid: int = 160) -> TurnoverModel:
    return TurnoverModel("intcal20", error, "inferred", grid=grid, family=family)


def shape_of(family: str) -> Shape:
    return Shape(SPREAD, FAST if family == "two pools" else None, np.asarray(LINK))


def rates_of(family: str, layer: int, centre: float) -> tuple[np.ndarray, np.ndarray]:
    """Log rates and their shares of the carbon."""
    if family == "two pools":
        both = pools(centre, SPREAD[layer], FAST[layer])
        return np.array(both), np.array([FAST[layer], 1 - FAST[layer]])
    log_k = np.linspace(*LOG_K_RANGE, 20_001)
    weight = np.exp(-0.5 * ((log_k - centre) / SPREAD[layer]) ** 2)
    return log_k, weight / weight.sum()


def air_of(layer: int, log_k: np.ndarray) -> np.ndarray:
    row = LAYERS.iloc[[layer]]
    return predicted_table(np.exp(log_k), row["year"].to_numpy(), row["zone"].to_numpy(str), "intcal20", AIR)[0]


def of_light(family: str, layer: int, centre: float, log_k: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Probability that carbon of each rate is light."""
    light = LAYERS["light_share"][layer]
    if family == "two pools":
        fast = light + LINK * (min(1.0, light / FAST[layer]) - light)
        return np.array([fast, (light - FAST[layer] * fast) / (1 - FAST[layer])])
    threshold = norm.isf(light)
    return norm.sf((threshold - LINK * (log_k - centre) / SPREAD[layer]) / np.sqrt(1 - LINK**2))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("centre", [-6.5, -4.0, -2.5])
def test_what_is_measured_is_a_mean_over_the_rates(family, centre):
    made = model(family)
    data, nodes = made.many_rates(LAYERS, AIR, flux=True), made.log_k
    place = np.array([(centre - nodes[0]) / (nodes[1] - nodes[0])])
    for kind, layers in (("bulk", [0, 1, 2, 3]), ("flux", [0, 1, 2, 3]), ("respired", [1, 2]), ("parts", [1, 3])):
        for at, layer in enumerate(layers):
            row = data.bulk.row[[layer]] if kind in ("bulk", "flux") else np.array([at])
            found = fitted_at(data.rates, kind, row, shape_of(family).of(np.array([layer])), place)[0]
            log_k, share = rates_of(family, layer, centre)
            air = air_of(layer, log_k)
            if kind == "parts":
                light = share * of_light(family, layer, centre, log_k, share)
                heavy = share - light
                expected = light @ air / light.sum() - heavy @ air / heavy.sum()
                assert light.sum() == pytest.approx(LAYERS["light_share"][layer], abs=0.005)
            else:
                days = {"bulk": None, "flux": 1e-3}.get(kind, LAYERS["respired_days"][layer])
                weight = share if days is None else share * -np.expm1(-np.exp(log_k) * days / DAYS_PER_YEAR)
                expected = weight @ air / weight.sum()
            assert found == pytest.approx(expected, abs=2.5, rel=0.02), (kind, layer)


def test_light_carbon_has_at_most_all_of_the_fast_pool():
    """With a full link, light carbon is fast carbon alone, or all of the fast carbon is light."""
    few, many = contrast(0.3, 0.2, 1.0), contrast(0.3, 0.6, 1.0)
    assert few == pytest.approx(1 - 0.1 / 0.8) and many == pytest.approx(0.5)
    assert contrast(0.3, 0.2, 0.0) == 0


def scales(family: str, student: bool) -> Scales:
    nu = jnp.asarray(4.0 if student else np.inf)
    some = jnp.ones(())
    return Scales(
        some,
        jnp.asarray(MODEL_SD),
        nu,
        log_density_at_zero(nu, student=student),
        some,
        some,
        some,
        shape=Shape(*(None if v is None else jnp.asarray(v) for v in shape_of(family))),
        respired_sd=jnp.asarray(RESPIRED_SD),
        parts_sd=jnp.asarray(PARTS_SD),
    )


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("error", ["student", "normal"])
def test_the_likelihood_is_the_product_of_the_measurements(family, error):
    made, student = (
        model(family, error, grid=1280),
        error == "student",
    )  # so that it does not matter how they are joined
    data = made.many_rates(LAYERS, AIR)
    constant, depth = log_density(data, scales(family, student), student=student)
    place = np.arange(made.grid, dtype=float)
    expected = np.zeros((4, made.grid))
    for kind, measured, misfit in (
        ("bulk", data.bulk, MODEL_SD),
        ("respired", data.respired, np.full(2, RESPIRED_SD)),
        ("parts", data.parts, np.full(2, PARTS_SD)),
    ):
        for at, layer in enumerate(measured.layer):
            if measured.there[at]:
                many = np.full(made.grid, layer)
                row = np.full(made.grid, measured.row[at])
                fitted = fitted_at(data.rates, kind, row, shape_of(family).of(many), place)
                sd = np.hypot(np.sqrt(measured.known_variance[at]), misfit[at])
                away = measured.observed[at] - fitted
                expected[layer] += student_t.logpdf(away / sd, 4) - np.log(sd) if student else norm.logpdf(away, 0, sd)
    np.testing.assert_allclose(constant, expected.max(axis=1), atol=5e-3)  # of the interpolation between nodes
    likely = expected > expected.max(axis=1, keepdims=True) - 40
    found = np.asarray(constant)[:, None] + np.asarray(depth)
    np.testing.assert_allclose(found[likely], expected[likely], atol=5e-3)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("error", ["student", "normal"])
def test_the_written_gradient_is_the_gradient(family, error):
    made, student = model(family, error), error == "student"
    data = jax.tree.map(jnp.asarray, made.many_rates(LAYERS, AIR))

    @jax.jit
    def value(at: Scales) -> jax.Array:
        constant, depth = log_density(data, at, student=student)
        return (jnp.array([1.0, 0.7, 1.3, 0.9]) * jax.scipy.special.logsumexp(constant[:, None] + depth, axis=1)).sum()

    at = scales(family, student)
    gradient = jax.grad(value)(at)
    moved = {"model_sd": 0.02, "respired_sd": 0.02, "parts_sd": 0.02, "log_density": 1e-3}
    for name, step in moved.items() | ({"nu": 2e-3}.items() if student else set()):
        up, down = (at._replace(**{name: getattr(at, name) + s}) for s in (step, -step))
        difference = float(value(up) - value(down)) / (2 * step)
        assert float(getattr(gradient, name).sum()) == pytest.approx(difference, rel=2e-3, abs=2e-3), name
    for name in [field for field in Shape._fields if getattr(at.shape, field) is not None]:
        shapes = (at.shape._replace(**{name: getattr(at.shape, name) + s}) for s in (2e-3, -2e-3))
        up, down = (at._replace(shape=shape) for shape in shapes)
        difference = float(value(up) - value(down)) / 4e-3
        # The second derivative of the cubics jumps: differences are off by their step.
        assert float(getattr(gradient.shape, name).sum()) == pytest.approx(difference, rel=5e-3, abs=2e-2), name


@pytest.mark.parametrize("family", FAMILIES)
def test_some_layers_keep_their_measurements(family):
    made = model(family)
    data = made.many_rates(LAYERS, AIR)
    whole, _ = log_density(data, scales(family, True), student=True)
    order = np.array([3, 1])
    some = of_layers(data, order)
    at = scales(family, True)
    shape = Shape(*(v if v is None or v.ndim == 0 else v[order] for v in at.shape))
    few, _ = log_density(some, at._replace(model_sd=at.model_sd[order], shape=shape), student=True)
    np.testing.assert_allclose(few, np.asarray(whole)[order], atol=1e-5)
    assert logsumexp(few) < 0
