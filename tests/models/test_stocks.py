"""The stock model against dense normal distributions, and its bounds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from bayes_rootc.models import stocks as ms
from bayes_rootc.models.production import FACTORS, NODES

TOP, BOTTOM = np.array([0.0, 10, 30, 0, 20]), np.array([10.0, 30, 80, 20, 60])


def layers(error: float = 0.2) -> ms.StockData:
    """Two profiles of two studies, one source; the fourth layer was not measured."""
    rng = np.random.default_rng(3)
    forms, deep = ms.depth_columns(TOP, BOTTOM)
    source, missing = rng.standard_normal(5), np.array([0.0, 0, 0, 1, 0])
    y = np.array([-2.5, -3.0, -4.1, np.nan, -3.2])
    X = np.column_stack([forms, source * (1 - missing), missing])
    stones = np.array([0.1, 0.1, 0.0, 0.2, 0.3])
    return ms.StockData(
        X, np.array([1, 1, 1, 3, 3]), deep, y, np.full(5, error), stones, np.array([0, 0, 0, 1, 1]), np.array([0, 1])
    )


def parameters() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    draws = {"coefficient": np.array([[-3.4, -0.7, 0.1, 0.4, -0.2]]), "biome_effect": 0.3 * rng.standard_normal((1, 9))}
    draws |= {"study_effect": rng.standard_normal((1, 2, 2)), "profile_sd": np.array([[0.5, 0.7]])}
    draws |= {"profile_half": np.array([0.3]), "layer_sd": np.array([0.35]), "layer_slope": np.array([0.2])}
    return draws | {"overlooked": np.array([0.6])}


def dense(p: dict[str, np.ndarray], data: ms.StockData, profile: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residuals of a profile's measured layers, covariance of their effect, and variance of their errors."""
    here = (data.profile == profile) & np.isfinite(data.y)
    u = p["study_effect"][0, data.study[profile]]
    mean = (
        data.X[here] @ p["coefficient"][0] + p["biome_effect"][0, data.biome[here] - 1] + u[0] + data.deep[here] * u[1]
    )
    mean -= np.log(1 - 0.6 * data.stones[here])
    rows = np.column_stack([np.ones(here.sum()), data.deep[here]])
    across = (2 * 0.3 - 1) * 0.5 * 0.7
    effect = rows @ np.array([[0.25, across], [across, 0.49]]) @ rows.T
    return data.y[here] - mean, effect, (0.35 * np.exp(0.2 * data.X[here, 1])) ** 2 + data.error[here] ** 2


def test_profile_effects_and_heavy_tails_are_summed_out():
    p, data = parameters(), layers()
    found = ms.likelihoods(p, data)
    for profile in (0, 1):
        rest, effect, errors = dense(p, data, profile)
        each = [multivariate_normal.logpdf(rest, cov=effect + t**2 * np.diag(errors)) for t in FACTORS]
        assert found[0, profile] == pytest.approx(logsumexp(each) - np.log(NODES), rel=1e-10)


def test_a_stock_without_an_error_is_what_was_measured_less_its_stones():
    p, data = parameters(), layers(error=1e-9)
    rng = np.random.default_rng(0)
    true = ms.true_layers(ms.completed(p, data, rng), data, rng)[0]
    known = np.isfinite(data.y)
    np.testing.assert_allclose(true[known], (data.y + np.log(1 - 0.6 * data.stones))[known], atol=1e-6)


def test_layers_of_the_fit_are_drawn_from_their_exact_posterior():
    """Mean and spread of layers measured with an error as large as their scatter."""
    count = 20_000
    p = {name: np.repeat(v, count, axis=0) for name, v in parameters().items()}
    data, rng = layers(error=0.4), np.random.default_rng(1)
    true = ms.true_layers(ms.completed(p, data, rng), data, rng)[:, :3]
    rest, effect, errors = dense(parameters(), data, 0)
    own = errors - data.error[:3] ** 2
    weights = np.array([multivariate_normal.logpdf(rest, cov=effect + t**2 * np.diag(errors)) for t in FACTORS])
    weights = np.exp(weights - logsumexp(weights))
    means, seconds = [], []
    for t in FACTORS:
        prior = effect + t**2 * np.diag(own)
        gain = prior @ np.linalg.inv(effect + t**2 * np.diag(errors))
        means.append(gain @ rest)
        seconds.append(np.diag(prior - gain @ prior) + means[-1] ** 2)
    mean = weights @ np.array(means)
    sd = np.sqrt(weights @ np.array(seconds) - mean**2)
    centre = data.y[:3] + np.log(1 - 0.6 * data.stones[:3]) - rest
    np.testing.assert_allclose(true.mean(axis=0), centre + mean, atol=5 * sd.max() / np.sqrt(count))
    np.testing.assert_allclose(true.std(axis=0), sd, rtol=0.05)  # heavy tails: some 2 % at this count


def test_no_stock_is_beyond_the_bound_and_its_mean_is_finite():
    y, thickness = np.array([[-50.0, 0.0, 50.0]]), np.array([10.0, 10.0, 20.0])
    stock = ms.to_stock(y, thickness)
    assert (stock <= ms.LARGEST_DENSITY * thickness).all() and np.isfinite(stock).all()
    np.testing.assert_allclose(ms.to_logit([45.0], [20.0]), np.log(2.25 / 27.75))
    np.testing.assert_allclose(ms.to_stock(ms.to_logit([45.0], [20.0]), np.array([20.0])), [45.0])


def test_stones_only_ever_lower_a_stock():
    p = {"overlooked": np.linspace(0, 1, 5)}
    shift = ms.overlooked(p, np.array([0.0, 0.1, 0.5]))
    assert (shift >= 0).all() and (shift[:, 0] == 0).all() and (np.diff(shift[:, 2]) > 0).all()
    np.testing.assert_allclose(shift[-1], -np.log([1.0, 0.9, 0.5]))


def test_new_layers_of_one_profile_err_together_and_those_of_the_fit_have_its_effects():
    count = 4000
    p = {name: np.repeat(v, count, axis=0) for name, v in parameters().items()}
    data, rng = layers(), np.random.default_rng(2)
    p = ms.completed(p, data, rng)
    new = ms.new_layers(p, data, np.array([-1, -1]), np.array([-1, -1]), rng)
    correlation = np.corrcoef(new.true.T)
    assert correlation[0, 1] > 0.4 and abs(correlation[0, 3]) < 4 / np.sqrt(count)
    known = ms.new_layers(p, data, np.array([0, 1]), np.array([0, 1]), rng)
    assert (known.true.std(axis=0)[[0, 1, 2, 4]] < new.true.std(axis=0)[[0, 1, 2, 4]]).all()
    expected = ms.expected(p, data)[0] + p["study_effect"][0, [0, 0, 0, 1, 1], 0]
    expected += data.deep * p["study_effect"][0, [0, 0, 0, 1, 1], 1]
    rest = known.true.mean(axis=0) - expected - p["profile_effect"][:, data.profile, 0].mean(axis=0)
    rest -= data.deep * p["profile_effect"][:, data.profile, 1].mean(axis=0)
    np.testing.assert_allclose(rest, 0, atol=5 * 0.6 / np.sqrt(count))
