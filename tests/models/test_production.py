"""Production: likelihoods against dense normals, exact draws, and a satellite whose probabilities add up to one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm, t

from bayes_rootc.models import production as mp

LOG_NPP, LOGIT_F = 1.8, -0.4


def parameters(**changes: object) -> mp.Draws:
    """One draw, (1, …), of a world whose fields are the same everywhere."""
    p = {
        "mean": [LOG_NPP, LOGIT_F],
        "biome_effect": np.zeros((9, 2)),
        "slope": np.zeros((0, 2)),
        "weight": np.zeros((3, 2)),
        "site_sd": [0.4, 0.5],
        "site_half": 0.7,
        "record_sd": [0.3, 0.2],
        "record_half": 0.6,
        "total_sd": 0.25,
        "method": [[0.05, -0.1]],
        "satellite_bias": 0.1,
        "satellite_biome": np.full(9, -0.2),
        "satellite_slope": 0.9,
        "satellite_sd": np.full(9, 0.5),
        "satellite_lost": 0.03,
    }
    return {name: np.asarray(v, float)[None] for name, v in (p | changes).items()}


def places(n: int) -> mp.Places:
    return mp.Places(np.ones(n, int), np.zeros((n, 0)), np.ones((n, 3)))


def data_of(records: list[tuple[int, float, float, float]], log_share: float = 0.0) -> mp.ProductionData:
    """Records (site, log above, log below, log of all)."""
    site, above, below, total = map(np.array, zip(*records, strict=True))
    zeros = np.zeros(len(site))
    return mp.ProductionData(
        places(int(site.max()) + 1),
        site.astype(int),
        np.stack([above, below], axis=1).astype(float),
        total.astype(float),
        zeros.astype(int),
        zeros + log_share,
        places(0),
        np.zeros(0),
    )


N = np.nan
RECORDS = [(0, 1.5, 0.9, N), (0, 1.1, N, N), (0, N, 1.6, N), (0, 1.2, 1.0, N), (1, N, -0.5, N)]


def dense(p: mp.Draws, data: mp.ProductionData, site: int, factor: float) -> tuple:
    """Values of a site's records that are known, their means, and their whole covariance."""
    expected = mp.expected_parts(p, data.sites)[0, site] + p["method"][0, 0] + np.array([0, data.log_share[0]])
    rows = np.flatnonzero(data.site == site)
    known = ~np.isnan(data.parts[rows]).ravel()
    across = np.kron(np.ones((len(rows), len(rows))), mp.covariances(p, "site")[0])
    across += factor**2 * np.kron(np.eye(len(rows)), mp.covariances(p, "record")[0])
    return data.parts[rows].ravel()[known], np.tile(expected, len(rows))[known], across[np.ix_(known, known)], known


def test_the_likelihood_of_a_site_is_that_of_its_records_together():
    p, data = parameters(), data_of(RECORDS, log_share=-0.2)
    found = mp.likelihoods(p, data)[0]
    for site in (0, 1):
        each = []
        for factor in mp.FACTORS:
            value, mean, covariance, _ = dense(p, data, site, factor)
            each.append(multivariate_normal(mean, covariance).logpdf(value))
        assert found[site] == pytest.approx(logsumexp(each) - np.log(mp.NODES), abs=1e-9)


def test_a_total_alone_counts_as_the_sum_of_its_parts():
    """To first order in the effects: exact where they are small."""
    p = parameters(site_sd=[0.02, 0.03])
    data = data_of([(0, N, N, 2.3)])
    above, below = mp.expected_parts(p, data.sites)[0, 0] + p["method"][0, 0]
    share = 1 / (1 + np.exp(below - above))
    row = np.array([share, 1 - share])
    of_effects = row @ mp.covariances(p, "site")[0] @ row
    sd = np.sqrt(of_effects + mp.FACTORS**2 * p["total_sd"] ** 2)
    wanted = logsumexp(norm.logpdf(2.3, np.logaddexp(above, below), sd)) - np.log(mp.NODES)
    assert mp.likelihoods(p, data)[0, 0] == pytest.approx(wanted, abs=1e-9)


def test_sites_are_drawn_from_their_conditional():
    many = 40_000
    p = {name: np.repeat(v, many, axis=0) for name, v in parameters().items()}
    data = data_of(RECORDS)
    found = mp.measured_sites(p, data, np.random.default_rng(1))
    one, effects = parameters(), mp.covariances(parameters(), "site")[0]
    weight, mean, square = [], [], []
    for factor in mp.FACTORS:
        value, expected, covariance, known = dense(one, data, 0, factor)
        rows = np.tile(np.eye(2), (4, 1))[known]
        gain = effects @ rows.T @ np.linalg.inv(covariance)
        mean.append(gain @ (value - expected))
        square.append(effects - gain @ rows @ effects + np.outer(mean[-1], mean[-1]))
        weight.append(multivariate_normal(expected, covariance).pdf(value))
    share = np.array(weight) / np.sum(weight)
    u = found.parts[:, 0] - mp.expected_parts(one, data.sites)[0, 0]
    sd = np.sqrt(np.diag(np.einsum("k,kij->ij", share, square)))
    np.testing.assert_allclose(u.mean(axis=0), share @ np.array(mean), atol=4 * sd.max() / np.sqrt(many))
    np.testing.assert_allclose(
        u.T @ u / many, np.einsum("k,kij->ij", share, square), atol=8 * sd.max() ** 2 / many**0.5
    )
    drawn = np.bincount(np.searchsorted(np.sort(mp.FACTORS), found.factor[:, 0]), minlength=mp.NODES) / many
    np.testing.assert_allclose(drawn, share[np.argsort(mp.FACTORS)], atol=4 * 0.5 / np.sqrt(many))


def test_factors_make_the_errors_students():
    """Seven factors cut the tail off: beyond three standard errors a sixth of it is missing."""
    for x, tolerance in ((0.5, 0.02), (1.0, 0.03), (2.0, 0.08), (3.0, 0.2)):
        tail = norm.sf(x / mp.FACTORS).mean()
        assert tail == pytest.approx(t.sf(x, mp.FREEDOM), rel=tolerance)


def test_what_a_satellite_may_see_has_probability_one():
    p = {name: v[0] for name, v in parameters().items()}
    one = np.array([1])

    def density(x: float) -> float:
        return float(np.exp(mp.satellite_likelihood(p, np.array([x]), one, np.array([0.2])))[0])

    nothing = float(np.exp(mp.satellite_likelihood(p, np.array([np.nan]), one, np.array([0.2])))[0])
    above, _ = quad(density, np.log(mp.LEAST_SEEN), 8.0)
    assert nothing + above == pytest.approx(1.0, abs=1e-5) and nothing > p["satellite_lost"]


def test_simulated_records_have_the_moments_of_the_model():
    many = 20_000
    p = {name: np.repeat(v, many, axis=0) for name, v in parameters().items()}
    data, rng = data_of([(0, 0.0, 0.0, N), (0, 0.0, 0.0, N)]), np.random.default_rng(2)
    expected = mp.expected_parts(p, data.sites)
    made = mp.replicate(p, data, mp.new_sites(p, expected, rng), rng)
    np.testing.assert_allclose(made.mean(axis=(0, 1)), expected[0, 0] + p["method"][0, 0], atol=0.02)
    first, second = (made[:, i] - expected[:, 0] - p["method"][:, 0] for i in (0, 1))
    np.testing.assert_allclose(first.T @ second / many, mp.covariances(p, "site")[0], atol=0.015)


def test_roots_are_a_part_of_production_whatever_the_draw():
    rng = np.random.default_rng(3)
    wild = parameters(site_sd=[2.0, 3.0])
    p = {name: np.repeat(v, 500, axis=0) for name, v in wild.items()}
    above, below = np.moveaxis(np.exp(mp.new_sites(p, mp.expected_parts(p, places(4)), rng)), -1, 0)
    assert (below < above + below).all() and np.isfinite(above + below).all()


def test_the_basis_of_a_kernel_gives_its_correlations():
    rng = np.random.default_rng(4)
    points = mp.on_sphere(rng.uniform(-60, 60, 80), rng.uniform(-180, 180, 80))
    kernel = mp.Kernel.over(points, 80, 2000.0)
    rows = kernel.basis(points)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0)
    apart = np.linalg.norm(points[:, None] - points, axis=-1) * np.sqrt(3) / 2000.0
    np.testing.assert_allclose(rows @ rows.T, (1 + apart) * np.exp(-apart), atol=1e-3)
    again = mp.Kernel.of(kernel.centres, 2000.0)
    np.testing.assert_array_equal(again.basis(points), rows)
