"""Posteriors as files, without a fit: what is written under which name, to how many digits, and what is read back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_rootc.constants import BIOMES
from bayes_rootc.errors import InputError
from bayes_rootc.inference.store import (
    CONSTANTS,
    PACKED,
    kept_log_k,
    read_fit,
    read_root_depth,
    save_turnover,
    turnover_tree,
)
from bayes_rootc.inference.turnover_fit import TurnoverFit
from bayes_rootc.models.components import Components
from bayes_rootc.models.radiocarbon import LOG_K_RANGE
from bayes_rootc.models.root_depth import RootRecords
from bayes_rootc.models.turnover import TurnoverModel

CHAINS, DRAWS, PROFILES = 2, 400, 3
STEP = PACKED["scale_factor"]


@pytest.fixture
def layers() -> pd.DataFrame:
    """Five layers of three profiles, which do not come in the order of their numbers."""
    profile = np.array([2, 0, 0, 1, 2])
    columns = {name: np.arange(5.0) + 10 * i for i, name in enumerate(CONSTANTS)}
    named = {"id": [f"layer {i}" for i in "abcde"], "profile": [f"profile {p}" for p in profile]}
    return pd.DataFrame(columns | named | {"profile_index": profile, "delta14c": [-20.0, -50, 3, -400, 110]})


def drawn(seed: int = 0) -> xr.Dataset:
    """Draws of the layers; log k comes up to both ends of its range."""
    rng, total = np.random.default_rng(seed), CHAINS * DRAWS
    log_k = rng.uniform(*LOG_K_RANGE, (total, 5))
    log_k[0, :2] = LOG_K_RANGE
    by_layer, by_profile = ("draw", "layer"), ("draw", "profile")
    return xr.Dataset(
        {
            "log_k": (by_layer, log_k.astype(np.float32)),
            "replicated": (by_layer, rng.normal(-100, 50, (total, 5)).astype(np.float32)),
            "log_likelihood": (by_profile, rng.standard_normal((total, PROFILES))),
        }
    )


def fit_of(components: int = 2, **model) -> TurnoverFit:
    """A fit that nobody made: each draw is a number of its own."""
    shape = CHAINS, DRAWS
    rng = np.random.default_rng(1)
    by_biome = {n: rng.standard_normal((*shape, 9)) for n in ("biome_offset", "profile_scale", "misfit_biome")}
    scalars = ("tau_layer", "tau_profile", "nu_profile", "profile_skew", "misfit_depth", "model_sd", "mean_log_k")
    samples = {n: rng.standard_normal(shape) for n in scalars} | by_biome
    samples |= {"slope": rng.standard_normal((*shape, 2)), "slope_offset": rng.standard_normal((*shape, 2, 9))}
    samples["misfit_period"] = rng.standard_normal((*shape, 4))
    samples["coefficient"] = rng.standard_normal((*shape, components))
    turnover_model = TurnoverModel(**model)
    samples["nu"] = np.full(shape, np.inf) if turnover_model.error == "normal" else rng.uniform(2, 9, shape)
    stats = {"diverging": np.zeros(shape, bool), "energy": rng.standard_normal(shape)}
    names = tuple(f"climate {i}" for i in range(1, components + 1))
    table = Components(("warm", "wet"), names, np.array([8.0, 900.0]), np.ones(2), np.eye(2)[:components])
    return TurnoverFit(turnover_model, table, samples, stats, (0.01, 0.002))


def test_everything_is_found_by_the_name_of_its_layer_biome_or_profile(layers):
    fit, draws = fit_of(), drawn()
    tree = turnover_tree(layers, draws, fit)
    by_chain = draws["log_k"].values.reshape(CHAINS, DRAWS, 5)
    posterior = tree["posterior"].to_dataset()
    np.testing.assert_array_equal(posterior["log_k"].sel(layer="layer d", chain=1), by_chain[1, :, 3])
    np.testing.assert_array_equal(
        posterior["slope_offset"].sel(biome=BIOMES[6], depth_form="depth/1 m"), fit.samples["slope_offset"][..., 1, 5]
    )
    np.testing.assert_array_equal(
        posterior["misfit_period"].sel(period="1990-2004"), fit.samples["misfit_period"][..., 2]
    )
    np.testing.assert_array_equal(
        posterior["coefficient"].sel(component="climate 2"), fit.samples["coefficient"][..., 1]
    )
    likelihood = tree["log_likelihood"].to_dataset()["profiles"]  # in the order of the profiles' numbers
    assert likelihood["profile"].values.tolist() == [f"profile {i}" for i in range(PROFILES)]
    np.testing.assert_array_equal(likelihood[0, :, 2], draws["log_likelihood"].values[:DRAWS, 2])
    constants = tree["constant_data"].to_dataset()
    assert all(constants[name].sel(layer="layer b") == layers[name][1] for name in CONSTANTS)
    assert tree["observed_data"].to_dataset()["delta14c"].sel(layer="layer e") == 110
    assert posterior["log_k"].attrs["units"] == "log(yr-1)"


def test_replicates_are_thinned_and_know_their_draw(layers):
    """800 draws: every one is kept, up to twice 500."""
    assert turnover_tree(layers, drawn())["posterior_predictive"].sizes["draw"] == CHAINS * DRAWS  # one chain, no fit
    many = xr.concat([drawn(), drawn(1)], "draw")
    kept = turnover_tree(layers, many)["posterior_predictive"].to_dataset()
    assert kept["draw"].values.tolist() == list(range(0, 2 * CHAINS * DRAWS, 3))
    np.testing.assert_array_equal(kept["delta14c"].sel(chain=0, draw=300), many["replicated"].values[300])


def test_log_k_is_kept_to_its_stated_rounding_over_its_whole_range(layers, tmp_path):
    """And the members of a run are draws of the file, evenly from all chains."""
    draws = drawn()
    save_turnover(tmp_path / "turnover.nc", turnover_tree(layers, draws, fit_of()))
    with xr.open_datatree(tmp_path / "turnover.nc", engine="h5netcdf") as tree:
        found = tree["posterior"].to_dataset()["log_k"].values.reshape(CHAINS * DRAWS, 5)
        np.testing.assert_array_equal(tree["posterior"].to_dataset()["chain"], range(CHAINS))
    assert STEP == 2.5e-4
    assert abs(found - draws["log_k"].values).max() <= STEP / 2 + np.spacing(
        np.float32(14)
    )  # packed in single precision
    kept = kept_log_k(tmp_path / "turnover.nc", 8)
    np.testing.assert_array_equal(kept, found[::100].T)  # of 800


def test_the_fit_comes_back_as_it_was(layers, tmp_path):
    path = tmp_path / "turnover.nc"
    fit = fit_of(prehistory="intcal20", pool_spread=0.4, grid=225, refine=1.25)
    save_turnover(path, turnover_tree(layers, drawn(), fit))
    again = read_fit(path)
    assert again.model == fit.model and again.quadrature == fit.quadrature
    assert set(again.samples) == set(fit.samples)
    for name, values in fit.samples.items():
        np.testing.assert_array_equal(again.samples[name], values, err_msg=name)
    for name, values in fit.stats.items():
        np.testing.assert_array_equal(again.stats[name], values, err_msg=name)
    assert (again.components.covariates, again.components.names) == (fit.components.covariates, fit.components.names)
    np.testing.assert_array_equal(again.components.loadings, fit.components.loadings)


def test_a_fit_without_components_and_with_normal_errors_comes_back_too(layers, tmp_path):
    """Neither has draws that a file could hold: coefficients of nothing, and infinite degrees of freedom."""
    save_turnover(tmp_path / "turnover.nc", turnover_tree(layers, drawn(), fit_of(0, error="normal")))
    with xr.open_datatree(tmp_path / "turnover.nc", engine="h5netcdf") as tree:
        assert not {"nu", "coefficient"} & set(tree["posterior"].data_vars)
    again = read_fit(tmp_path / "turnover.nc")
    assert again.samples["coefficient"].shape == (CHAINS, DRAWS, 0) and np.isposinf(again.samples["nu"]).all()


def test_what_is_no_fit_is_refused_with_what_to_do(layers, tmp_path):
    path = tmp_path / "turnover.nc"
    with pytest.raises(InputError, match="run `bayes-rootc fit turnover`"):
        read_fit(path)
    path.write_bytes(b"no NetCDF")
    with pytest.raises(InputError, match="not a readable NetCDF file"):
        read_fit(path)
    xr.Dataset({"x": 1.0}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match="lacks the group posterior"):
        read_fit(path)
    save_turnover(path, turnover_tree(layers, drawn()))  # the weak prior: draws of layers alone
    with pytest.raises(InputError, match="holds no hierarchical fit"):
        read_fit(path)
    tree = turnover_tree(layers, drawn(), fit_of())
    tree["posterior"] = xr.DataTree(tree["posterior"].to_dataset().drop_vars("profile_skew"))
    save_turnover(path, tree)
    with pytest.raises(InputError, match="lacks profile_skew: made by another version"):
        read_fit(path)


def root_tree(**changes) -> xr.DataTree:
    """A posterior of root depth in which every number says its draw, in the order of chains."""
    number = np.arange(12.0).reshape(2, 6)
    posterior = xr.Dataset({name: (("chain", "draw"), number) for name in RootRecords.sampled} | changes)
    components = Components(("warm",), ("climate 1",), np.zeros(1), np.ones(1), np.ones((1, 1)))
    return xr.DataTree.from_dict({"posterior": posterior, "components": components.to_dataset()})


@pytest.mark.parametrize(
    ("count", "draws"), [(4, [0, 3, 6, 9]), (5, [0, 2, 4, 7, 9]), (12, range(12)), (50, range(12))]
)
def test_draws_of_root_depth_are_taken_evenly_and_no_more_than_there_are(count, draws, tmp_path):
    root_tree().to_netcdf(tmp_path / "root_depth.nc", engine="h5netcdf")
    found, components = read_root_depth(tmp_path / "root_depth.nc", count)
    assert set(found) == set(RootRecords.sampled) and components.names == ("climate 1",)
    for values in found.values():
        assert values.tolist() == list(draws)


def test_root_depth_of_another_version_is_refused(tmp_path):
    tree = root_tree()
    tree["posterior"] = xr.DataTree(tree["posterior"].to_dataset().drop_vars("slope"))
    tree.to_netcdf(tmp_path / "root_depth.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="lacks slope: made by another version; fit root-depth again"):
        read_root_depth(tmp_path / "root_depth.nc", 4)
