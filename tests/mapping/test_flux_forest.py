"""A forest of a flux: the same from tables and rasters, calibrated, and lazy where rasters are."""

from __future__ import annotations

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_rootc import FluxForest
from bayes_rootc.errors import InputError

FEATURES = ["mat", "map"]


def world(sites: int, seed: int, draws: int = 40) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Three rows a site that share an error; features, posterior draws, one new measurement of each row, sites."""
    rng = np.random.default_rng(seed)
    site = np.repeat(np.arange(sites), 3)
    X = pd.DataFrame({"mat": rng.uniform(0, 25, sites)[site], "map": rng.uniform(200, 2000, sites)[site]})
    mean = 0.08 * X["mat"].to_numpy() + 0.3 * rng.standard_normal(sites)[site]
    truth = mean + 0.1 * rng.standard_normal(len(X))
    return X, np.exp(truth[:, None] + 0.1 * rng.standard_normal((len(X), draws))), np.exp(truth), site


@pytest.fixture(scope="module")
def forest() -> FluxForest:
    X, draws, _, site = world(150, 1)
    return FluxForest(120, splits=6).fit(X, draws, groups=site)


@pytest.fixture(scope="module")
def rasters() -> xr.Dataset:
    rng = np.random.default_rng(3)
    shape, dims = (24, 30), ("lat", "lon")
    cells = {"mat": rng.uniform(0, 25, shape), "map": rng.uniform(200, 2000, shape), "other": np.zeros(shape)}
    made = xr.Dataset({n: (dims, v.astype("f4")) for n, v in cells.items()}, coords={"lat": np.arange(24.0)})
    made["mat"][2, 3] = np.nan
    return made


def test_intervals_cover_new_places(forest):
    """300 sites; a row's new measurement errs as its site does, so sites count, not rows."""
    X, _, truth, site = world(300, 2)
    found = forest.predict(X)
    inside = ((found["p025"] <= truth) & (truth <= found["p975"])).values
    by_site = np.bincount(site, inside) / 3
    assert inside.mean() == pytest.approx(0.95, abs=4 * by_site.std() / np.sqrt(len(by_site)) + 0.02)
    error = np.log(found["median"].values) - np.log(truth)
    assert 0.2 < error.std() < 0.45  # what was simulated cannot be known better than 0.32, or so


def test_rasters_give_what_a_table_of_their_cells_gives(forest, rasters):
    cells = rasters[FEATURES].to_dataframe()[["map", "mat"]]  # in another order
    flat, grid = forest.predict(cells), forest.predict(rasters)
    for name in grid:
        np.testing.assert_array_equal(grid[name].values.ravel(), flat[name].values, err_msg=str(name))
    assert np.isnan(grid["mean"][2, 3]) and not grid["applicable"][2, 3] and grid["lat"].size == 24
    members = forest.sample(rasters)
    assert members.dims == ("draw", "lat", "lon") and members.sizes["draw"] == 120
    np.testing.assert_array_equal(members.values.reshape(120, -1), forest.sample(cells).values)


def test_chunked_rasters_are_computed_when_asked(forest, rasters):
    def refuse(*_, **__):
        raise AssertionError("computed")

    with dask.config.set(scheduler=refuse):
        lazy = forest.predict(rasters.chunk({"lat": 10, "lon": 11}))
        sampled = forest.sample(rasters.chunk({"lat": 10}))
    xr.testing.assert_allclose(lazy.compute(), forest.predict(rasters))
    xr.testing.assert_allclose(sampled.compute(), forest.sample(rasters))


def test_statistics_are_those_of_the_calibrated_distribution(forest):
    """Log-normal, in closed form; members have the same centre and spread on the scale of the fit."""
    X, *_ = world(20, 5)
    found = forest.predict(X)
    middle = np.log(found["median"])
    sd = (np.log(found["p975"]) - middle) / 1.959964
    np.testing.assert_allclose(found["mean"], np.exp(middle + sd**2 / 2), rtol=1e-4)
    np.testing.assert_allclose(found["sd"] / found["mean"], np.sqrt(np.expm1(sd**2)), rtol=1e-3)
    members = np.log(forest.sample(X))
    np.testing.assert_allclose(members.mean("draw"), middle, atol=1e-4)
    np.testing.assert_allclose(members.std("draw"), sd, rtol=1e-3)


def test_places_unlike_all_that_were_seen_are_not_applicable(forest):
    found = forest.predict(pd.DataFrame({"mat": [12.0, 60.0], "map": [1000.0, 9000.0]}, index=["like", "unlike"]))
    assert found["applicable"].sel(site="like") and not found["applicable"].sel(site="unlike")


def test_a_forest_is_saved_and_loaded(forest, tmp_path):
    forest.save(tmp_path / "flux.forest")
    again = FluxForest.load(tmp_path / "flux.forest")
    X, *_ = world(10, 6)
    xr.testing.assert_equal(again.predict(X), forest.predict(X))
    with pytest.raises(InputError, match="fit again"):
        again.check()
    assert set(forest.check()["scores"]["split"]) == {"site", "spatial"}


@pytest.mark.parametrize("scale", ["log", "logit", "identity"])
def test_each_scale_stays_in_its_range(scale):
    X, draws, *_ = world(30, 7)
    low, high = {"log": (0, np.inf), "logit": (0, 1), "identity": (-np.inf, np.inf)}[scale]
    y = draws / (1 + draws) if scale == "logit" else draws
    found = FluxForest(30, scale=scale, splits=3).fit(X, y).predict(X)
    assert ((found["p025"] > low) & (found["p975"] < high)).all()
    assert float(abs(found["median"] - np.median(y, axis=1)).mean()) < y.std()
    if scale != "identity":
        with pytest.raises(InputError, match=f"has no {scale}"):
            FluxForest(30, scale=scale).fit(X, y - 2)


def test_what_cannot_be_learnt_or_predicted_is_refused(forest):
    X, draws, *_ = world(30, 8)
    for wrong, said in (
        (lambda: FluxForest(5).fit(X.to_numpy(), draws), "expected a DataFrame, whose columns name the features"),
        (lambda: FluxForest(5).fit(X, draws[:-1]), "expected 90 rows, as X"),
        (lambda: FluxForest(5).fit(X.assign(mat=np.nan), draws), "the feature mat has an empty or infinite cell"),
        (lambda: FluxForest(5).fit(X.assign(mat="warm"), draws), "the feature mat holds text"),
        (lambda: FluxForest(5).fit(X, draws, groups=np.zeros(90)), "1 sites are too few"),
        (lambda: FluxForest(5, scale="root"), "scale is root; expected one of log, logit, identity"),
        (lambda: FluxForest(5).predict(X), "has not been fitted"),
        (lambda: forest.predict(X[["mat"]]), "the feature map is missing; found mat"),
        (lambda: forest.sample(xr.Dataset({"mat": ("x", [1.0])})), "the feature map is missing; found mat"),
    ):
        with pytest.raises(InputError, match=said):
            wrong()
