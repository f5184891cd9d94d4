"""Variograms of simulated fields, and blocks as large as they ask for."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.metrics.pairwise import haversine_distances

from bayes_rootc.constants import EARTH_RADIUS_KM, KM_PER_DEGREE
from bayes_rootc.data.covariates import great_circle_km
from bayes_rootc.mapping.blocks import (
    BLOCK_KM,
    DEFAULT_BLOCK_KM,
    Variogram,
    residual_variogram,
    spatial_blocks,
)


def field(range_km: float, nugget: float, n: int = 900, seed: int = 0):
    """A Gaussian field of unit sill with an exponential covariance, with noise, at places on two continents."""
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(20, 50, n), rng.uniform(0, 60, n)
    distance = EARTH_RADIUS_KM * haversine_distances(np.radians(np.c_[lat, lon]))
    covariance = np.exp(-3 * distance / range_km)
    value = np.linalg.cholesky(covariance + 1e-9 * np.eye(n)) @ rng.standard_normal(n)
    return lat, lon, value + np.sqrt(nugget) * rng.standard_normal(n)


@pytest.mark.parametrize("range_km", [300.0, 1000.0])
def test_the_range_of_a_field_is_found(range_km):
    found = [Variogram.fit(*field(range_km, 0.5, seed=seed)) for seed in range(6)]
    ranges = np.log([f.range_km for f in found])
    error = ranges.std(ddof=1) / np.sqrt(6)
    assert ranges.mean() == pytest.approx(np.log(range_km), abs=4 * error) and error < 0.25
    assert np.mean([f.nugget for f in found]) == pytest.approx(0.5, abs=0.25)
    assert np.mean([f.nugget + f.sill for f in found]) == pytest.approx(1.5, abs=0.3)
    first = found[0]
    well = first.classes[first.classes["pairs"] > 2000]
    np.testing.assert_allclose(first.model(well["distance_km"]), well["semivariance"], rtol=0.2)
    assert BLOCK_KM[0] <= first.block_km <= BLOCK_KM[1] and first.block_km % 50 == 0


def test_noise_asks_for_small_blocks_or_has_no_structure():
    lat, lon, _ = field(300, 0)
    found = Variogram.fit(lat, lon, np.random.default_rng(1).standard_normal(len(lat)))
    assert found.sill < 0.2 * (found.nugget + found.sill) or found.range_km < 150


def test_one_outlier_moves_little():
    lat, lon, value = field(300, 0.5)
    spoilt = value.copy()
    spoilt[0] = 50.0
    one, two = (Variogram.fit(lat, lon, v).classes["semivariance"] for v in (value, spoilt))
    assert (np.abs(two / one - 1) < 0.3).all()


def test_layers_of_one_place_count_once():
    lat, lon, value = field(300, 0.5)
    noise = np.random.default_rng(2).standard_normal((len(lat), 2)) * [3.0, -3.0]
    noise[:, 1] = -noise[:, 0]  # cancels within the place
    thrice = [np.repeat(a, 2) for a in (lat, lon)]
    one, two = Variogram.fit(lat, lon, value), Variogram.fit(*thrice, (value[:, None] + noise).ravel())
    np.testing.assert_allclose(one.classes["semivariance"], two.classes["semivariance"])


def test_too_few_places_say_nothing():
    found = Variogram.fit([1.0, 2.0], [3.0, 4.0], [0.1, 0.2])
    assert np.isnan(found.range_km) and found.block_km == DEFAULT_BLOCK_KM
    X, y = np.zeros((6, 2)), np.zeros((6, 1))
    few = residual_variogram(X, y, np.repeat(["a", "b"], 3), np.zeros(6), np.zeros(6), seed=1)
    assert few.block_km == DEFAULT_BLOCK_KM


def test_residuals_are_of_sites_held_out():
    """A response that only the site explains, which its columns tell: seen, it would leave no residual."""
    rng = np.random.default_rng(3)
    site = np.repeat(np.arange(150), 3)
    value = rng.standard_normal(150)[site]
    X = np.c_[rng.standard_normal(150)[site], rng.standard_normal(450)]
    lat, lon = rng.uniform(20, 50, 150)[site], rng.uniform(0, 60, 150)[site]
    found = residual_variogram(X, value[:, None], site.astype(str), lat, lon, seed=1)
    assert found.nugget + found.sill > 0.8


@pytest.mark.parametrize("side", [100.0, 700.0])
def test_blocks_are_about_as_wide_as_high_everywhere(side):
    rng = np.random.default_rng(4)
    lat, lon = rng.uniform(-70, 70, 200_000), rng.uniform(-180, 180, 200_000)
    block = spatial_blocks(lat, lon, side)
    for label in rng.choice(block, 20):
        here = block == label
        if here.sum() > 50:
            high = np.ptp(lat[here]) * EARTH_RADIUS_KM * np.pi / 180
            wide = np.ptp(lon[here]) * EARTH_RADIUS_KM * np.pi / 180 * np.cos(np.radians(lat[here].mean()))
            assert high < side * 1.001 and wide < side * 1.15
    assert len(np.unique(spatial_blocks([90.0, -90.0, 0.0], [0.0, 180.0, -180.0], side))) == 3


def test_a_degree_is_as_long_in_blocks_as_between_places():
    assert great_circle_km(0, 0, np.array([1.0]), np.array([0.0]))[0] == pytest.approx(KM_PER_DEGREE, rel=1e-12)
    edge = 500.0 / KM_PER_DEGREE - 90  # of the southernmost band of blocks of 500 km
    south, north = spatial_blocks([edge - 1e-8, edge + 1e-8], [-180.0, -180.0], 500.0)
    assert south != north


def test_residuals_that_do_not_vary_have_no_range():
    rng = np.random.default_rng(5)
    lat, lon, X = rng.uniform(20, 50, 200), rng.uniform(0, 60, 200), rng.standard_normal((200, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flat = Variogram.fit(lat, lon, np.full(200, 0.3))
        equal = residual_variogram(X, np.full((200, 1), np.log(3.0)), np.arange(200), lat, lon, seed=1)
    assert np.isnan(flat.range_km) and flat.block_km == equal.block_km == DEFAULT_BLOCK_KM
