"""Published maps held against the maps of a run: made from its own posterior, so that scores are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from matplotlib.image import imread

from bayes_rootc.cli import main
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.errors import InputError
from bayes_rootc.esm.grids import ModelGrid
from bayes_rootc.esm.members import Source, every_member, persistence_members, posterior_on
from bayes_rootc.esm.published import Published, hold_against
from bayes_rootc.report.results import Results


@pytest.fixture(scope="module")
def results(quick_run) -> Results:
    return Results.read(quick_run)


@pytest.fixture(scope="module")
def source(results) -> Source:
    return Source.of(results)


@pytest.fixture(scope="module")
def posterior(source) -> xr.Dataset:
    return posterior_on(ModelGrid.like(source.grid), source, make=every_member)


def raster(path: Path, values: np.ndarray, grid: MapGrid, unit: str | None = None) -> Path:
    """A GeoTIFF of a field, (row, column)."""
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "height": grid.shape[0], "width": grid.shape[1]}
    profile |= {"crs": "EPSG:4326", "transform": grid.transform, "nodata": -9999.0}
    with rasterio.open(path, "w", **profile) as target:
        target.write(np.where(np.isfinite(values), values, -9999).astype(np.float32), 1)
        if unit:
            target.set_band_unit(1, unit)
    return path


def on_map(posterior: xr.Dataset, values: np.ndarray, grid: MapGrid) -> np.ndarray:
    field = np.full(grid.shape[0] * grid.shape[1], np.nan)
    field[posterior["cell"].values] = values
    return field.reshape(grid.shape)


def test_a_known_bias_is_found_in_the_units_of_the_file(quick_run, source, posterior, tmp_path):
    """1.3 times our mean, in g m⁻² yr⁻¹: a hundred times as much."""
    mean = posterior["iroot"].values[:, 0].mean(axis=1)
    path = raster(tmp_path / "high.tif", on_map(posterior, 130 * mean, source.grid), source.grid, "g m-2 yr-1")
    written, row = hold_against(Published(path, "iroot"), quick_run)
    level = np.average(mean, weights=posterior["area_ha"].values)
    assert row["bias_mean"] == pytest.approx(0.3 * level, rel=1e-4)
    assert row["map_mean"] == pytest.approx(level, rel=1e-4)
    table = pd.read_csv(written)
    assert set(table["group"]) == {"all", "biome", "latitude"}
    assert np.ptp(imread(written.parent / "map.png")) > 0.5
    with rasterio.open(written.parent / "differs.tif") as found:
        differs, area = found.read(1), source.grid.area_ha
        assert found.transform == source.grid.transform
    land = differs != -128
    assert (area * (differs == 1)).sum() / (area * land).sum() == pytest.approx(row["differs"], abs=1e-6)
    assert not (differs == -1).any()


def test_a_member_differs_on_as_much_land_as_the_interval_says(quick_run, source, posterior, tmp_path):
    """5 % of the land on average; less where the published map is uncertain itself."""
    shares = {None: [], 0.5: []}
    for member in range(0, posterior.sizes["draw"], 10):
        draw = posterior["ibulk"].values[:, 0, member]
        path = raster(tmp_path / f"m{member}.tif", on_map(posterior, draw, source.grid), source.grid, "t C/ha/yr")
        for uncertainty, found in shares.items():
            found.append(hold_against(Published(path, "ibulk", uncertainty=uncertainty), quick_run)[1]["differs"])
    assert np.mean(shares[None]) == pytest.approx(0.05, abs=0.05)
    assert np.mean(shares[0.5]) < np.mean(shares[None])


def test_a_finer_map_is_averaged_over_our_cells(quick_run, source, posterior, tmp_path):
    fine = MapGrid(source.grid.resolution / 4)
    mean = on_map(posterior, posterior["iroot"].values[:, 0].mean(axis=1), source.grid)
    rng = np.random.default_rng(0)
    noise = rng.uniform(0.5, 1.5, (*source.grid.shape, 16))
    noise /= noise.mean(axis=2, keepdims=True)
    values = (mean[..., None] * noise).reshape(*source.grid.shape, 4, 4).transpose(0, 2, 1, 3).reshape(fine.shape)
    path = raster(tmp_path / "fine.tif", values, fine, "Mg ha-1 yr-1")
    _, row = hold_against(Published(path, "iroot"), quick_run)
    assert row["bias_mean"] == pytest.approx(0.0, abs=1e-3 * row["map_mean"])


def test_ages_of_a_stretch_of_layers_are_those_of_its_carbon(quick_run, source, tmp_path):
    """A published age of twice our median, in a NetCDF file: log 2 apart in every cell."""
    layered = posterior_on(ModelGrid.like(source.grid), source, layered=True, make=persistence_members)
    age = layered["aged"].values[:, :5].sum(axis=1) / layered["carbon"].values[:, :5].sum(axis=1)
    field = on_map(layered, 2 * np.exp(np.log(age).mean(axis=1)), source.grid)
    axes = {"lat": source.grid.lat, "lon": source.grid.lon}
    dataset = xr.Dataset({"tau": (("lat", "lon"), field, {"units": "years"}), "other": (("lat", "lon"), field)}, axes)
    dataset.to_netcdf(tmp_path / "tau.nc", engine="h5netcdf")
    _, row = hold_against(Published(Path(f"{tmp_path}/tau.nc::tau"), "age", "0-100"), quick_run)
    assert row["bias_mean"] == pytest.approx(np.log(2), rel=1e-4)
    assert row["unit"] == "log yr" and row["layer"] == "0-100"


def test_npp_is_root_input_over_its_part(quick_run, source, posterior, tmp_path):
    npp = posterior["iroot"].values[:, 0] / posterior["f_bnpp"].values
    path = raster(tmp_path / "npp.tif", on_map(posterior, npp.mean(axis=1), source.grid), source.grid, "Mg ha-1 yr-1")
    _, row = hold_against(Published(path, "npp"), quick_run)
    assert row["bias_mean"] == pytest.approx(0.0, abs=1e-3 * row["map_mean"])


def test_from_the_command_line(quick_run, source, posterior, tmp_path, capsys):
    mean = on_map(posterior, posterior["f_bnpp"].values.mean(axis=1), source.grid)
    path = raster(tmp_path / "f.tif", mean, source.grid)
    command = ["compare", str(path), "--with", "f_bnpp", "--from", str(quick_run)]
    assert main(command) == 2
    assert "says no unit; give one with --unit" in capsys.readouterr().err
    assert main([*command, "--unit", "1"]) == 0
    assert "they differ beyond both uncertainties on 0 % of the land" in capsys.readouterr().out
    assert (quick_run / "compare" / "f-f_bnpp" / "scores.csv").exists()
    for more, message in (
        (["--unit", "K"], "units `K`, expected such as can be brought to 1"),
        (["--unit", "1", "--layer", "0-20"], "f_bnpp is of the whole profile"),
    ):
        assert main([*command, *more]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("layer", ["0-30", "20-0", "deep"])
def test_layers_that_ours_do_not_make_up_are_refused(layer):
    with pytest.raises(InputError, match="expected TOP-BOTTOM, two of 0, 20, 40"):
        _ = Published(Path("m.tif"), "ibulk", layer).layers


def test_a_map_that_is_not_there_or_of_something_else(quick_run, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        hold_against(Published(tmp_path / "none.tif", "iroot"), quick_run)
    axes = {"lat": [10.0, 5.0], "lon": [0.0, 5.0]}
    both = xr.Dataset({n: (("lat", "lon"), np.ones((2, 2)), {"units": "yr"}) for n in "ab"}, axes)
    both.to_netcdf(tmp_path / "two.nc", engine="h5netcdf")
    with pytest.raises(InputError, match=r"name one as two.nc::NAME, found a, b"):
        hold_against(Published(tmp_path / "two.nc", "age"), quick_run)
