"""NetCDF files of ours: what is lacking, or not readable, is one line that names the file."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bayes_rootc.data.netcdf import open_dataset, open_tree
from bayes_rootc.errors import InputError


def test_what_is_there_is_read(tmp_path):
    dataset = xr.Dataset({"a": ("x", [1.0, 2.0])}, coords={"x": [3, 4]})
    dataset.to_netcdf(tmp_path / "one.nc", engine="h5netcdf")
    with open_dataset(tmp_path / "one.nc", ["a", "x"], command="map") as found:
        xr.testing.assert_identical(found.load(), dataset)
    xr.DataTree.from_dict({"posterior": dataset}).to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    with open_tree(tmp_path / "tree.nc", {"posterior": ["a"]}, command="fit turnover") as tree:
        np.testing.assert_array_equal(tree["posterior"]["a"].values, [1.0, 2.0])


def test_all_that_is_lacking_is_named_and_the_file_closed(tmp_path):
    path = tmp_path / "one.nc"
    xr.Dataset({"a": 1.0}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match=r"one\.nc: lacks b, c: not as `bayes-rootc map` writes it; run that again$"):
        open_dataset(path, ["a", "b", "c"], command="map")
    xr.DataTree.from_dict({"posterior": xr.Dataset({"a": 1.0})}).to_netcdf(path, engine="h5netcdf")  # it is not held
    with pytest.raises(InputError, match=r"one\.nc: lacks posterior/b, the group prior: not as `bayes-rootc fit x`"):
        open_tree(path, {"posterior": ["a", "b"], "prior": ["a"]}, command="fit x")


@pytest.mark.parametrize("read", [open_dataset, open_tree])
def test_what_is_no_netcdf_file_is_named(tmp_path, read):
    (tmp_path / "text.nc").write_text("text")
    for name in ("text.nc", "none.nc"):
        with pytest.raises(InputError, match=rf"{name}: not a readable NetCDF file"):
            read(tmp_path / name, {}, command="map")
