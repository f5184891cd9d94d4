"""Posteriors on disk: what one lacks is named, whoever reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayes_rootc.errors import InputError
from bayes_rootc.inference.store import COMPONENTS, kept_log_k, read_fit, read_root_depth
from bayes_rootc.mapping.maps import read_root_shares
from bayes_rootc.models.components import Components
from bayes_rootc.models.root_depth import RootRecords
from bayes_rootc.models.turnover import TurnoverModel

NONE = Components((), (), np.empty(0), np.empty(0), np.empty((0, 0)))


@pytest.fixture
def turnover() -> xr.DataTree:
    """The parts of `turnover.nc` that are read again, of two layers."""
    draws = ("chain", "draw")
    names = ("tau_layer", "nu_profile", "profile_skew", "misfit_depth")
    posterior = xr.Dataset({name: (draws, np.ones((2, 5))) for name in names})
    posterior["profile_scale"] = (*draws, "biome"), np.ones((2, 5, 9))
    posterior["log_k"] = (*draws, "layer"), np.arange(20.0).reshape(2, 5, 2)
    tree = xr.DataTree.from_dict({
        "posterior": posterior,
        "sample_stats": xr.Dataset({"diverging": (draws, np.zeros((2, 5)))}),
        "components": NONE.to_dataset(),
    })  # fmt: skip
    tree.attrs = {"model": json.dumps(asdict(TurnoverModel())), "quadrature_error": [0.0, 0.0]}
    return tree


def without(tree: xr.DataTree, group: str, name: str = "") -> xr.DataTree:
    """The tree without a group, or without a variable of it."""
    if not name:
        return tree.filter(lambda node: node.name != group)
    return tree.assign({group: xr.DataTree(tree[group].to_dataset().drop_vars(name))})


def refuses(read: Callable[[Path], object], tree: xr.DataTree, path: Path, says: str) -> None:
    tree.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match=rf"{path.name}: {says}") as error:
        read(path)
    assert "\n" not in str(error.value)


def test_a_turnover_posterior_is_read_back(turnover, tmp_path):
    path = tmp_path / "turnover.nc"
    turnover.to_netcdf(path, engine="h5netcdf")
    fit = read_fit(path)
    assert fit.model == TurnoverModel() and fit.components.names == () and fit.samples["tau_layer"].shape == (2, 5)
    np.testing.assert_array_equal(kept_log_k(path, 5), np.arange(20.0).reshape(10, 2)[::2].T)


def test_what_a_turnover_posterior_lacks_is_named(turnover, tmp_path):
    path, again = tmp_path / "turnover.nc", "not as `bayes-rootc fit turnover` writes it; run that again"
    refuses(read_fit, without(turnover, "posterior"), path, f"lacks the group posterior: {again}")
    refuses(read_fit, without(turnover, "sample_stats"), path, f"lacks the group sample_stats: {again}")
    refuses(read_fit, without(turnover, "components"), path, f"lacks the group components: {again}")
    for name in COMPONENTS:
        refuses(read_fit, without(turnover, "components", name), path, f"lacks components/{name}: {again}")
    for name in ("tau_layer", "nu_profile"):
        refuses(read_fit, without(turnover, "posterior", name), path, f"lacks {name}: made by another version")
    refuses(
        lambda p: kept_log_k(p, 5), without(turnover, "posterior", "log_k"), path, f"lacks posterior/log_k: {again}"
    )


@pytest.mark.parametrize("attrs", [{"model": "{"}, {"model": '{"speed": 1}'}, {"model": None}])
def test_attributes_of_another_version_are_refused(turnover, tmp_path, attrs):
    turnover.attrs |= {"quadrature_error": [0.0]} | attrs
    if attrs["model"] is None:
        turnover.attrs = {"model": json.dumps(asdict(TurnoverModel()))}
    refuses(read_fit, turnover, tmp_path / "turnover.nc", "attributes are not of this version .*; fit turnover again")


def test_what_a_posterior_of_root_depth_lacks_is_named(tmp_path):
    posterior = xr.Dataset({name: (("chain", "draw"), np.ones((2, 5))) for name in RootRecords.sampled})
    tree = xr.DataTree.from_dict({"posterior": posterior, "components": NONE.to_dataset()})
    path = tmp_path / "root_depth.nc"
    tree.to_netcdf(path, engine="h5netcdf")
    assert len(read_root_depth(path, 4)[0]["mean"]) == 4
    for group, name in (("posterior", ""), ("components", ""), ("components", "scale")):
        says = f"lacks {'' if name else 'the group '}{group}{'/' if name else ''}{name}: not as"
        refuses(lambda p: read_root_depth(p, 4), without(tree, group, name), path, says)


def test_what_root_shares_lack_is_named(tmp_path):
    shares = xr.Dataset({name: (("draw", "biome", "layer"), np.full((3, 9, 7), 1 / 7)) for name in ("expected",)})
    shares.to_netcdf(tmp_path / "root_shares.nc", engine="h5netcdf")
    with pytest.raises(InputError, match=r"root_shares\.nc: lacks predictive: not as `bayes-rootc fit root-depth`"):
        read_root_shares(tmp_path / "root_shares.nc")
    shares.assign(predictive=shares["expected"] / 2).to_netcdf(tmp_path / "root_shares.nc", engine="h5netcdf")
    predictive, expected = read_root_shares(tmp_path / "root_shares.nc")
    np.testing.assert_array_equal(2 * predictive, expected)
