"""Files of models: what is understood, and what each bad one is told."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bayes_rootc.errors import InputError
from bayes_rootc.esm.archive import Choice, read_archive
from bayes_rootc.esm.model_output import read_field

YEAR = 365.25 * 86400


def cmip(*, years: int = 2, calendar="noleap", units="kg m-2 s-1", name="nppRoot", bounds=True) -> xr.Dataset:
    """A monthly file on 12 x 24 cells whose values are the month's number."""
    lat, lon = np.arange(-82.5, 90, 15.0), np.arange(7.5, 360, 15)
    time = xr.date_range("2000-01-01", periods=12 * years + 1, freq="MS", calendar=calendar, use_cftime=True)
    values = np.broadcast_to((np.arange(12 * years) % 12 + 1.0)[:, None, None], (12 * years, 12, 24)).copy()
    values[:, :3, :5] = np.nan
    dataset = xr.Dataset(
        {name: (("time", "lat", "lon"), values, {"units": units})},
        {
            "time": time[:-1],
            "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", lon, {"units": "degrees_east", "standard_name": "longitude"}),
        },
        {"source_id": "TEST"},
    )
    if bounds:
        dataset["time_bnds"] = ("time", "bnds"), np.stack([time[:-1], time[1:]], axis=1)
        dataset["time"].attrs["bounds"] = "time_bnds"
        for name in ("time", "time_bnds"):
            dataset[name].encoding["units"] = "days since 2000-01-01"
    return dataset


@pytest.fixture
def written(tmp_path):
    def write(dataset: xr.Dataset, name: str = "model.nc"):
        dataset.to_netcdf(tmp_path / name, engine="h5netcdf")
        return tmp_path / name

    return write


@pytest.mark.parametrize("calendar", ["noleap", "standard", "360_day", "julian"])
@pytest.mark.parametrize("bounds", [True, False])
def test_months_are_weighted_by_their_length(written, calendar, bounds):
    dataset = cmip(calendar=calendar, bounds=bounds)
    days = np.array([date.daysinmonth for date in dataset["time"].values])
    want = (days * (np.arange(24) % 12 + 1)).sum() / days.sum()
    field = read_field(written(dataset), "nppRoot")
    assert field.model == "TEST" and field.grid.shape == (12, 24)
    np.testing.assert_allclose(np.nanmax(field.values), want * 10 * YEAR, rtol=1e-9)
    assert np.isnan(field.values[:3, :5]).all() and np.isfinite(field.values[3:]).all()


@pytest.mark.parametrize(
    ("units", "factor"),
    [
        ("kg m-2 s-1", 10 * YEAR), ("kg C m-2 s-1", 10 * YEAR), ("kgC m-2 s-1", 10 * YEAR), ("gC m-2 d-1", 3.6525),
        ("g m^-2 year^-1", 0.01), ("Mg ha-1 yr-1", 1.0),
    ],
)  # fmt: skip
def test_units_are_brought_to_ours(written, units, factor):
    dataset = cmip(units=units).isel(time=[0]).drop_vars("time_bnds")
    assert np.nanmean(read_field(written(dataset), "nppRoot").values) == pytest.approx(factor, rel=1e-6)


def test_the_last_twenty_years_are_taken_and_others_where_asked(written):
    dataset = cmip(years=25)
    dataset["nppRoot"] = xr.zeros_like(dataset["nppRoot"]) + dataset["time"].dt.year
    dataset["nppRoot"].attrs["units"] = "Mg ha-1 yr-1"
    path = written(dataset)
    assert np.nanmax(read_field(path, "nppRoot").values) == pytest.approx(np.mean(range(2005, 2025)))
    assert np.nanmax(read_field(path, "nppRoot", Choice((2003, 2004))).values) == pytest.approx(2003.5)


def test_a_folder_of_files_is_one_model(written, tmp_path):
    written(cmip(name="cSoil", units="kg m-2"), "cSoil.nc")
    written(cmip(name="rh"), "rh.nc")
    assert {part.variable for part in read_archive(tmp_path)} == {"cSoil", "rh"}
    assert np.nanmax(read_field(tmp_path, "cSoil").values) == pytest.approx(10 * 6.526, rel=1e-3)


def test_a_curvilinear_grid_is_read_with_its_corners_or_without(written):
    y, x = np.mgrid[0:6, 0:8].astype(float)
    lat, lon = 10 + 3 * y + 0.5 * x, (350 + 3 * x - 0.5 * y) % 360
    dataset = xr.Dataset({"cSoil": (("y", "x"), np.ones((6, 8)), {"units": "kg m-2"})})
    dataset["nav_lat"] = ("y", "x"), lat, {"standard_name": "latitude"}
    dataset["nav_lon"] = ("y", "x"), lon, {"standard_name": "longitude"}
    bare = read_field(written(dataset, "bare.nc"), "cSoil").grid
    assert not bare.regular and bare.lon_edges.shape == (6, 8, 4)
    assert np.ptp(bare.lon_edges.reshape(-1, 4), axis=1).max() < 10  # no cell goes round the globe
    for kind, values in (("lat", bare.lat_edges), ("lon", bare.lon_edges)):
        dataset[f"{kind}_vertices"] = ("y", "x", "v"), values
        dataset[f"nav_{kind}"].attrs["bounds"] = f"{kind}_vertices"
    given = read_field(written(dataset, "corners.nc"), "cSoil").grid
    np.testing.assert_allclose(given.lat_edges, bare.lat_edges)


@pytest.mark.parametrize("units", ["kg m-2", "kg m-3"])
def test_soil_layers_are_brought_to_the_standard_ones(written, units):
    """Layers 0-30, 30-100, 100-300 cm; amounts are spread evenly over their layer."""
    dataset = cmip(name="cSoilLevels", units=units).isel(time=0, drop=True).drop_vars("time_bnds")
    stacked = xr.concat([dataset["cSoilLevels"] * k for k in (1, 2, 3)], "depth").transpose("depth", "lat", "lon")
    stacked.attrs["units"] = units
    depth = ("depth", [0.15, 0.65, 2.0], {"units": "m", "positive": "down", "bounds": "depth_bnds"})
    out = xr.Dataset({"cSoilLevels": stacked}).assign_coords(depth=depth)
    out["depth_bnds"] = ("depth", "b"), np.array([[0, 0.3], [0.3, 1.0], [1.0, 3.0]])
    values = read_field(written(out), "cSoilLevels").values
    assert values.shape == (7, 12, 24)
    first, second = (1 / 0.3, 2 / 0.7) if units == "kg m-2" else (1.0, 2.0)
    np.testing.assert_allclose(values[0, 5, 5], 10 * 0.2 * first, rtol=1e-6)
    np.testing.assert_allclose(values[1, 5, 5], 10 * (0.1 * first + 0.1 * second), rtol=1e-6)
    assert np.isnan(values[:, 0, 0]).all()


def bad(change) -> xr.Dataset:
    dataset = cmip()
    return change(dataset) or dataset


def no_units(d):
    del d["nppRoot"].attrs["units"]


def blank_month(d):
    d["nppRoot"][5] = np.nan


def no_latitude(d):
    return d.rename(lat="row").drop_vars("row")


def two_fields(d):
    return xr.Dataset({"nppRoot": d["nppRoot"].expand_dims(pool=2)}, d.coords).assign_attrs(d.attrs)


def in_degrees_of_360(d):
    return d.assign_coords(lat=("lat", d["lat"].values * 2, d["lat"].attrs))


def shuffled(d):
    return d.isel(lon=np.r_[5, 2, 0:24])


def years_as_numbers(d):
    return d.assign_coords(time=("time", np.arange(24.0), {"units": "months"})).drop_vars("time_bnds")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_units, "column nppRoot: has no attribute `units`"),
        (lambda d: d["nppRoot"].attrs.update(units="K"), "units `K`, expected such as can be brought to Mg ha-1 yr-1"),
        (lambda d: d["nppRoot"].attrs.update(units="a lot"), "units `a lot` are not understood"),
        (lambda d: d.rename(nppRoot="gpp"), "no variable `nppRoot` in it, it has: gpp"),
        (blank_month, "the time step of 2000-06-01 has no value"),
        (no_latitude, "found no latitude of it"),
        (two_fields, "dimension pool has 2 entries, expected one field"),
        (in_degrees_of_360, "latitudes reach 165, expected -90 to 90"),
        (shuffled, "expected cells in the order of their place"),
        (years_as_numbers, "expected units such as `days since 1850-01-01`"),
        (lambda d: d.isel(lat=[3]), "expected at least two rows and two columns"),
    ],
)
def test_a_bad_file_gets_one_clear_line(written, change, message):
    path = written(bad(change))
    with pytest.raises(InputError) as caught:
        read_field(path, "nppRoot")
    assert message in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_years_that_are_not_there(written):
    with pytest.raises(InputError, match="has years 2000 to 2001, none of 1850 to 1900"):
        read_field(written(cmip()), "nppRoot", Choice((1850, 1900)))


def test_what_is_no_file_of_a_model(tmp_path):
    (tmp_path / "text.nc").write_text("hello")
    for path, message in (
        (tmp_path / "text.nc", "not a readable NetCDF file"),
        (tmp_path / "none.nc", "no such file or folder"),
    ):
        with pytest.raises(InputError, match=message):
            read_field(path, "cSoil")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="none of its 0 NetCDF files"):
        read_field(tmp_path / "empty", "cSoil")


def test_fill_values_that_are_not_declared_are_missing_and_said(written):
    dataset = cmip()
    dataset["nppRoot"] = dataset["nppRoot"].fillna(1e20).assign_attrs(units="kg m-2 s-1")
    dataset["nppRoot"].encoding["_FillValue"] = None
    field = read_field(written(dataset), "nppRoot")
    assert np.isnan(field.values[0, 0]) and any("taken for missing" in remark for remark in field.remarks)


@pytest.mark.parametrize("calendar", ["360", "THIRTY_DAY_MONTHS", "360_days"])
def test_calendars_are_known_by_their_older_names(written, calendar):
    dataset = cmip(calendar="360_day", bounds=False)
    plain = read_field(written(dataset), "nppRoot")
    raw = xr.open_dataset(written(dataset), decode_cf=False).load()
    raw["time"].attrs["calendar"] = calendar
    np.testing.assert_array_equal(read_field(written(raw, "other.nc"), "nppRoot").values, plain.values)


@pytest.mark.parametrize("unit", ["months", "years"])
def test_months_and_years_since_a_date_are_those_of_the_calendar(written, unit):
    dataset = cmip(calendar="noleap")
    plain = read_field(written(dataset), "nppRoot")
    raw = xr.open_dataset(written(dataset), decode_cf=False).load()
    per_unit = 1 if unit == "months" else 12
    months = np.arange(24)
    raw["time"] = raw["time"].copy(data=months / per_unit).assign_attrs(units=f"{unit} since 2000-01-01")
    raw["time_bnds"] = ("time", "bnds"), np.stack([months, months + 1], axis=1) / per_unit
    np.testing.assert_allclose(read_field(written(raw, "other.nc"), "nppRoot").values, plain.values, rtol=1e-12)


def test_a_time_that_is_not_understood_is_named(written):
    raw = xr.open_dataset(written(cmip(bounds=False)), decode_cf=False).load()
    raw["time"].attrs["calendar"] = "moon"
    with pytest.raises(
        InputError, match=r"column time: units `days since .*` with the calendar `moon` are not understood"
    ):
        read_field(written(raw, "other.nc"), "nppRoot")


def test_radians_are_degrees(written):
    plain = read_field(written(cmip()), "nppRoot")
    raw = xr.open_dataset(written(cmip()), decode_cf=False).load()
    for name in ("lat", "lon"):
        raw[name] = raw[name].copy(data=np.radians(raw[name])).assign_attrs(raw[name].attrs | {"units": "radian"})
    found = read_field(written(raw, "other.nc"), "nppRoot")
    np.testing.assert_allclose(found.grid.lat, plain.grid.lat, atol=1e-9)
    np.testing.assert_allclose(found.grid.lon, plain.grid.lon, atol=1e-9)


def test_bounds_of_no_length_and_a_flipped_sign_are_named(written):
    empty = cmip()
    empty["time_bnds"][...] = empty["time_bnds"].values[0, 0]
    with pytest.raises(InputError, match="column time_bnds: has steps of no length"):
        read_field(written(empty), "nppRoot")
    flipped = cmip()
    flipped["nppRoot"] = -flipped["nppRoot"]
    flipped["nppRoot"].attrs["units"] = "kg m-2 s-1"
    with pytest.raises(InputError, match="column nppRoot: is negative everywhere"):
        read_field(written(flipped, "flipped.nc"), "nppRoot")


def test_codes_are_missing_and_many_zeros_are_remarked(written):
    dataset = cmip()
    dataset["nppRoot"] = dataset["nppRoot"].fillna(-99999.0).assign_attrs(units="kg m-2 s-1")
    field = read_field(written(dataset), "nppRoot")
    assert np.isnan(field.values[:3, :5]).all() and "nppRoot: -99999 taken for missing" in field.remarks
    dataset["nppRoot"][:, :3] = 0.0
    assert any("are exactly 0" in remark for remark in read_field(written(dataset, "zero.nc"), "nppRoot").remarks)
