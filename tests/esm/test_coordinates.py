"""Grids of models' files: repeated columns, missing coordinates, vertices, soil layers without bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayes_rootc.errors import InputError
from bayes_rootc.esm.archive import opened
from bayes_rootc.esm.coordinates import placed
from bayes_rootc.esm.model_output import read_field
from tests.esm.archives import askew, triangles

FILE = Path("m.nc")


def on_grid(dataset: xr.Dataset, tmp_path):
    dataset = dataset.rename(field="cSoil")
    dataset["cSoil"].attrs["units"] = "Mg ha-1"
    dataset.to_netcdf(tmp_path / "m.nc", engine="h5netcdf")
    with opened(tmp_path / "m.nc") as found:
        return placed(found["cSoil"].load(), found.load(), tmp_path / "m.nc")


def globe() -> float:
    """Area, ha."""
    return 4 * np.pi * 6371.0**2 * 100


def test_cells_of_all_kinds_of_grids_make_up_the_globe(tmp_path):
    """Each once: repeated columns of the curvilinear grid are left out, triangles come without order."""
    for dataset, cells in ((askew(), 7200), (triangles(), 14400)):
        found = on_grid(dataset, tmp_path)
        assert found.array.size == cells and found.grid.shape[0] * found.grid.shape[1] == cells
        assert found.grid.area_ha.sum() == pytest.approx(globe(), rel=1e-3)


def test_a_regular_grid_with_its_first_column_again(tmp_path):
    lat, lon = np.arange(-87.5, 90, 5), np.arange(0, 361, 5.0)
    axes = {"lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", lon, {"units": "degrees_east"})}
    found = on_grid(xr.Dataset({"field": (("lat", "lon"), np.ones((36, 73)))}, axes), tmp_path)
    assert found.grid.shape == (36, 72) and found.grid.area_ha.sum() == pytest.approx(globe(), rel=1e-3)


def test_longitudes_that_jump_at_180_are_in_order(tmp_path):
    lat, lon = np.arange(-87.5, 90, 5), (np.arange(2.5, 360, 5) + 180) % 360 - 180
    axes = {"lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", lon, {"units": "degrees_east"})}
    found = on_grid(xr.Dataset({"field": (("lat", "lon"), np.ones((36, 72)))}, axes), tmp_path)
    np.testing.assert_allclose(np.diff(found.grid.lon), 5)


@pytest.mark.parametrize("vertices", [True, False])
def test_cells_without_a_place_are_left_out(tmp_path, vertices):
    """Where a curvilinear grid lacks coordinates, in a corner and in a hole, all other cells are kept."""
    dataset = askew().isel(i=slice(0, -2))
    if not vertices:
        dataset = dataset.drop_vars(["lat_vertices", "lon_vertices"])
    whole = on_grid(dataset, tmp_path).grid.area_ha
    gone = np.zeros(whole.shape, bool)
    gone[:10, :10] = gone[30:32, 50:52] = True
    for name in ("latitude", "longitude"):
        dataset[name] = dataset[name].where(~gone).assign_attrs(dataset[name].attrs)
    found = on_grid(dataset, tmp_path).grid.area_ha
    assert (found[gone] == 0).all()
    # without vertices, corners next to missing cells are continued from their neighbours
    np.testing.assert_allclose(found[~gone], whole[~gone], rtol=1e-6 if vertices else 2e-2)


def test_an_unstructured_grid_without_vertices_is_refused(tmp_path):
    dataset = triangles().drop_vars(["lat_vertices", "lon_vertices"])
    with pytest.raises(InputError, match="cells of an unstructured grid, without vertices"):
        on_grid(dataset, tmp_path)


def test_soil_layers_without_bounds_end_half_way(tmp_path):
    """Layers as CLM has them, 0–20–40–…–180 cm, of one density."""
    depth = np.arange(0.1, 1.8, 0.2)
    axes = {
        "levsoi": ("levsoi", depth, {"units": "m"}),
        "lat": ("lat", [-60.0, -20, 20, 60], {"units": "degrees_north"}),
        "lon": ("lon", [0.0, 90, 180, 270], {"units": "degrees_east"}),
    }
    values = np.full((len(depth), 4, 4), 5.0)
    dataset = xr.Dataset({"SOILC_vr": (("levsoi", "lat", "lon"), values, {"units": "kg m-3"})}, axes)
    dataset.to_netcdf(tmp_path / "clm.nc", engine="h5netcdf")
    field = read_field(tmp_path / "clm.nc", "cSoilLevels")
    np.testing.assert_allclose(field.values[:, 0, 0], [10, 10, 10, 10, 10, 25, 15])
    assert any("without bounds" in remark for remark in field.remarks)
