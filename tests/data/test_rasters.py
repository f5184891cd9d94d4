"""Rasters as people have them: bands, scales, codes, coordinate systems, 0 to 360 degrees, NetCDF and Zarr."""

from __future__ import annotations

import functools
import http.server
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from rasterio.transform import from_bounds
from rasterio.warp import Resampling, reproject
from rasterio.windows import Window

from bayes_rootc.data.covariates import CovariateStack
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.data.rasters import open_covariate
from bayes_rootc.errors import InputError

LAT, LON = np.array([45.0, -5.0]), np.array([5.0, -125.0])
WORLD = Affine(10, 0, -180, 0, -10, 90)
NUMBERS = np.arange(18.0 * 36).reshape(18, 36)
BIOME = """[[raster]]
name = "wwf_biome"
path = "wwf_biome.tif"
role = "covariate"
group = "biome"
unit = "class"
categories = ["boreal forests/taiga", "tundra"]
"""


def tif(path, values, *, nodata=None, transform=WORLD, crs="EPSG:4326", dtype="float32", scale=None, offset=None):
    values = np.asarray(values, dtype)
    bands = values[None] if values.ndim == 2 else values
    form = {"driver": "GTiff", "count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": dtype}
    with rasterio.open(path, "w", crs=crs, transform=transform, nodata=nodata, **form) as target:
        target.write(bands)
        if scale is not None:
            target.scales = [scale] * len(bands)
            target.offsets = [offset or 0.0] * len(bands)


@pytest.fixture
def stack(tmp_path):
    """Makes a covariate folder of one raster `it`."""
    tif(tmp_path / "wwf_biome.tif", np.ones((18, 36)), nodata=0, dtype="uint8")

    def make(path="it.tif", *, unit="%", role="covariate", group="soil", extra=""):
        entry = (
            f'[[raster]]\nname = "it"\npath = "{path}"\nrole = "{role}"\ngroup = "{group}"\nunit = "{unit}"\n{extra}\n'
        )
        (tmp_path / "manifest.toml").write_text(BIOME + entry, encoding="utf-8")
        return CovariateStack(tmp_path)

    return make


def at(stack: CovariateStack) -> list[float]:
    return stack.sample(LAT, LON, ["it"])[0]["it"].tolist()


def expected(values=NUMBERS) -> list[float]:
    return [float(values[int((90 - lat) // 10), int((lon + 180) // 10)]) for lat, lon in zip(LAT, LON, strict=True)]


@pytest.mark.parametrize(
    ("scale", "offset", "stored", "dtype"), [(0.1, -273.15, 2800, "uint16"), (0.1, 0, 100, "int16")]
)
def test_scale_and_offset_are_applied(stack, tmp_path, scale, offset, stored, dtype):
    tif(tmp_path / "it.tif", np.full((18, 36), stored), nodata=0, dtype=dtype, scale=scale, offset=offset)
    made = stack()
    np.testing.assert_allclose(at(made), stored * scale + offset)
    on_grid = made.on_grid(MapGrid(20.0), ["it"])["it"].values
    np.testing.assert_allclose(on_grid, stored * scale + offset, rtol=1e-6)


@pytest.mark.parametrize(
    ("fill", "dtype"),
    [
        (255, "uint8"),
        (65535, "uint16"),
        (-2147483648, "int32"),
        (-999, "int16"),
        (1e20, "float32"),
        (-3.4e38, "float32"),
    ],
)
@pytest.mark.parametrize("declared", [None, 7])
def test_a_fill_that_is_not_declared_is_refused_and_taken_where_the_manifest_names_it(
    stack, tmp_path, fill, dtype, declared
):
    values = np.full((18, 36), 20.0)
    values[4, 18] = fill
    tif(tmp_path / "it.tif", values, nodata=declared, dtype=dtype)
    if declared is None or fill < 0 or fill > 1e15:
        with pytest.raises(
            InputError, match=rf"it.tif: has the value {re.escape(f'{fill:g}')} and declares (no|7 as) nodata"
        ):
            at(stack())
    asked = stack(extra=f"nodata = {float(np.asarray(fill, dtype))!r}")
    np.testing.assert_array_equal(at(asked), [np.nan, 20.0])  # the next cell is beyond reach


def test_a_raster_of_whole_numbers_without_gaps_needs_no_nodata(stack, tmp_path):
    tif(tmp_path / "it.tif", NUMBERS % 200, dtype="uint8")
    assert at(stack()) == expected(NUMBERS % 200)


def test_a_band_is_picked_by_its_number(stack, tmp_path):
    tif(tmp_path / "it.tif", [NUMBERS, NUMBERS + 1000])
    assert at(stack(extra="band = 2")) == expected(NUMBERS + 1000)
    with pytest.raises(InputError, match="expected one band, found 2; say which by `band = 1`"):
        stack()
    with pytest.raises(InputError, match="column band: band 3: the raster has 2"):
        stack(extra="band = 3")


@pytest.mark.parametrize("west", [0, -5, 10])
def test_a_raster_of_0_to_360_degrees_is_turned(stack, tmp_path, west):
    """Also where no cell ends at 180 degrees."""
    columns = (west + 5 + 10.0 * np.arange(36) + 180) % 360 - 180  # longitude of each
    values = np.tile(columns, (18, 1))
    tif(tmp_path / "it.tif", values, transform=Affine(10, 0, west, 0, -10, 90))
    found = np.array(at(stack()))
    assert np.abs((found - LON + 180) % 360 - 180).max() <= 5
    grid = stack().on_grid(MapGrid(10.0), ["it"])["it"]
    apart = (grid.values - grid["lon"].values[None, :] + 180) % 360 - 180
    assert np.nanmax(np.abs(apart)) <= 5.01


def test_part_of_the_globe_beyond_180_degrees_is_turned(stack, tmp_path):
    tif(tmp_path / "it.tif", np.full((18, 6), 3.0), transform=Affine(10, 0, 220, 0, -10, 90))
    np.testing.assert_array_equal(at(stack()), [np.nan, 3.0])


def test_cells_that_do_not_close_the_globe_are_refused(stack, tmp_path):
    tif(tmp_path / "it.tif", np.ones((18, 26)), transform=Affine(11, 0, 0, 0, -10, 90))
    with pytest.raises(InputError, match="reaches 286° E with cells of 11°, which do not close the globe"):
        stack()


@pytest.mark.parametrize("declared", [-1.0, None])
@pytest.mark.parametrize(
    "crs", ["ESRI:54009", "EPSG:6933", "EPSG:3857"]
)  # equal area, as soil maps are made, and the web's
def test_another_coordinate_system_is_warped_on_reading(stack, tmp_path, crs, declared):
    lat = np.tile(np.linspace(89.5, -89.5, 180)[:, None], (1, 360))
    source = Affine(1, 0, -180, 0, -1, 90)
    edge = 18_000_000
    out = np.full((180, 360), np.nan)
    target = Affine(2 * edge / 360, 0, -edge, 0, -edge / 180, edge / 2)
    reproject(lat, out, src_transform=source, src_crs="EPSG:4326", dst_transform=target, dst_crs=crs, dst_nodata=np.nan,
              resampling=Resampling.bilinear)  # fmt: skip
    out = out if declared is None else np.nan_to_num(out, nan=-999.5)
    tif(tmp_path / "it.tif", out, transform=target, crs=crs, nodata=None if declared is None else -999.5)
    np.testing.assert_allclose(at(stack()), LAT, atol=0.7)


def test_classes_are_not_mixed_when_they_are_warped(stack, tmp_path):
    values = np.random.default_rng(3).choice([1, 3], (180, 360))
    edge = 18_000_000
    tif(tmp_path / "it.tif", values, transform=Affine(2 * edge / 360, 0, -edge, 0, -edge / 180, edge / 2),
        crs="EPSG:6933", dtype="uint8", nodata=0)  # fmt: skip
    made = stack(unit="class", extra='categories = ["a", "b", "c"]')
    places = np.random.default_rng(4).uniform((-50, -150), (50, 150), (200, 2)).T
    assert set(made.sample(*places, ["it"])[0]["it"]) == {1.0, 3.0}


def test_without_a_coordinate_system_a_raster_is_refused(stack, tmp_path):
    tif(tmp_path / "it.tif", NUMBERS, crs=None)
    with pytest.raises(InputError, match=r"it\.tif: has no coordinate system"):
        stack()


def test_other_spellings_of_wgs84_are_longitude_and_latitude(stack, tmp_path):
    esri = (
        'GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],'
        'UNIT["Degree",0.0174532925199433]]'
    )
    for crs in (esri, "EPSG:4269", "OGC:CRS84"):
        tif(tmp_path / "it.tif", NUMBERS, crs=crs)
        assert at(stack()) == expected()


def netcdf(lon_from: float) -> xr.Dataset:
    lon = lon_from + 5 + 10.0 * np.arange(36)
    known = ((lon + 180) % 360 // 10).astype(int)
    stored = NUMBERS[:, known].astype("int16")
    stored[0, 0] = -32000
    form = {"scale_factor": 0.1, "add_offset": 5.0, "_FillValue": np.int16(-32000), "units": "kg m-2"}
    return xr.Dataset(
        {"carbon": (("lat", "lon"), stored, form), "other": (("lat", "lon"), stored)},
        coords={
            "lat": ("lat", np.arange(85.0, -90, -10), {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
    )


@pytest.mark.parametrize("lon_from", [-180, 0])
@pytest.mark.parametrize("rising", [True, False])
def test_a_variable_of_netcdf(stack, tmp_path, lon_from, rising):
    dataset = netcdf(lon_from)
    dataset.isel(lat=slice(None, None, -1 if rising else 1)).to_netcdf(tmp_path / "it.nc", engine="h5netcdf")
    made = stack("it.nc::carbon")
    np.testing.assert_allclose(at(made), 0.1 * np.array(expected()) + 5)
    assert made.files[-1] == tmp_path / "it.nc"
    with pytest.raises(InputError, match=r"holds several variables \(carbon, other\); say which, as `it.nc::NAME`"):
        stack("it.nc")


def test_a_variable_of_zarr(stack, tmp_path):
    netcdf(-180).to_zarr(tmp_path / "it.zarr", zarr_format=2)
    np.testing.assert_allclose(at(stack("it.zarr::carbon")), 0.1 * np.array(expected()) + 5)


def test_codes_of_classes_without_their_names_are_refused(stack, tmp_path):
    tif(tmp_path / "it.tif", np.full((18, 36), 50), dtype="uint8", nodata=0)
    with pytest.raises(InputError, match="entry it: unit `class` without categories; name the classes"):
        stack(unit="class")


def test_classes_become_indicators(stack, tmp_path):
    tif(tmp_path / "it.tif", np.full((18, 36), 3), dtype="uint8", nodata=0)
    made = stack(unit="class", extra='categories = ["Alfisols", "Andisols", "Aridisols"]')
    assert made.features == ["it_Alfisols", "it_Andisols", "it_Aridisols"]
    assert made.sample(LAT, LON)[0][made.features].to_numpy().tolist() == [[0, 0, 1]] * 2


def test_a_raster_on_a_server(stack, tmp_path):
    tif(tmp_path / "it.tif", NUMBERS)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made = stack(f"http://127.0.0.1:{server.server_address[1]}/it.tif")
        assert at(made) == expected() and made.files == [tmp_path / "wwf_biome.tif"]
        server.shutdown()


@pytest.fixture
def store_of_objects(tmp_path, monkeypatch):
    """The folder as a server has it that sends parts of files; Amazon's and Google's stores are there too."""
    script = Path(__file__).with_name("range_server.py")
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        address = f"127.0.0.1:{server.stdout.readline().strip()}"
        for name, value in {
            "AWS_S3_ENDPOINT": address,
            "AWS_HTTPS": "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
            "AWS_NO_SIGN_REQUEST": "YES",
            "CPL_GS_ENDPOINT": f"http://{address}/",
            "GS_NO_SIGN_REQUEST": "YES",
        }.items():
            monkeypatch.setenv(name, value)
        yield address, server
        server.stdin.close()
        server.stdout.read()


@pytest.mark.parametrize("start", ["http://{}", "s3://bucket", "gs://bucket"])
def test_rasters_and_stores_of_objects(stack, tmp_path, store_of_objects, start):
    start = start.format(store_of_objects[0])
    tif(tmp_path / "it.tif", NUMBERS)
    netcdf(-180).to_zarr(tmp_path / "it.zarr", zarr_format=3, consolidated=False)
    assert at(stack(f"{start}/it.tif")) == expected()
    np.testing.assert_allclose(at(stack(f"{start}/it.zarr::carbon")), 0.1 * np.array(expected()) + 5)


def test_of_a_large_raster_only_the_part_that_is_asked_for_is_sent(tmp_path, store_of_objects):
    values = np.random.default_rng(0).standard_normal((2048, 4096)).astype(np.float32)
    form = {"driver": "COG", "width": 4096, "height": 2048, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    with rasterio.open(
        tmp_path / "large.tif", "w", transform=from_bounds(-180, -90, 180, 90, 4096, 2048), **form
    ) as it:
        it.write(values, 1)
    address, server = store_of_objects
    with open_covariate(f"http://{address}/large.tif") as source:
        part = source.read(1, window=Window(1000, 500, 50, 50))
    np.testing.assert_array_equal(part, values[500:550, 1000:1050])
    server.stdin.close()
    sent, whole = int(server.stdout.readline()), (tmp_path / "large.tif").stat().st_size
    assert 0 < sent < 0.15 * whole  # a block of 512 x 512 cells is a thirty-second of it


def test_maps_take_the_grid_of_a_raster_of_0_to_360_degrees(tmp_path):
    tif(tmp_path / "it.tif", NUMBERS, transform=Affine(10, 0, 0, 0, -10, 90))
    assert MapGrid.like(tmp_path / "it.tif") == MapGrid(10.0)
    tif(tmp_path / "it.tif", NUMBERS[:, :6], transform=Affine(10, 0, 220, 0, -10, 90))
    assert MapGrid.like(tmp_path / "it.tif").bbox == (-140, -90, -80, 90)
    tif(tmp_path / "it.tif", NUMBERS[:, :6], transform=Affine(10, 0, 150, 0, -10, 90))
    assert MapGrid.like(tmp_path / "it.tif").bbox == (150, -90, 210, 90)
    tif(tmp_path / "it.tif", NUMBERS[:, :6], transform=Affine(10, 0, 400, 0, -10, 90))
    with pytest.raises(InputError, match="expected longitudes of -180 to 180 or 0 to 360, found 400 to 460"):
        MapGrid.like(tmp_path / "it.tif")
