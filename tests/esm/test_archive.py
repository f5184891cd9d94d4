"""Archives of model output, made with known means: what is found in them, and what belongs together."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_rootc.cli import main
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.errors import InputError
from bayes_rootc.esm.archive import Choice, read_archive
from bayes_rootc.esm.model_output import Wanted, read_field, read_models
from bayes_rootc.report.results import Results
from tests.esm.archives import MEMBERS, PIECES, YEARS, Run, askew, esgf_tree, of_latitude, triangles, write

HISTORICAL = Choice(experiment="historical")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return esgf_tree(tmp_path_factory.mktemp("esgf"))


def level(field) -> float:
    """Factor of the field over that which the grids are made with."""
    south, north = field.grid.lat_edges.min(axis=-1), field.grid.lat_edges.max(axis=-1)
    return float(np.nanmedian(field.values / of_latitude(south, north)))


def test_pieces_are_joined_and_members_averaged(tree):
    """All of three pieces, whose years differ by 1 %; a kilogram per square metre is ten tonnes a hectare."""
    skew, tri = read_models(tree, Wanted([("cSoil",)]), HISTORICAL)
    assert (skew.model, tri.model) == ("SKEW-ESM", "TRI-ESM")
    want = 10 * np.mean([Run("", "", m, v).value(YEARS) for m, v in MEMBERS.items()])
    for output in (skew, tri):
        assert level(output.fields["cSoil"]) == pytest.approx(want, rel=1e-6)
        assert list(output.members) == list(MEMBERS)
        assert any("mean of 2 members" in remark for remark in output.fields["cSoil"].remarks)
        assert any("2006 to 2014 (108 steps, 3 files)" in remark for remark in output.fields["cSoil"].remarks)
    assert skew.fields["cSoil"].grid.shape == (60, 120)  # without the columns that are there twice
    assert tri.fields["cSoil"].grid.shape == (1, 2 * 60 * 120)


def test_members_are_models_where_asked_and_years_are_chosen_across_pieces(tree):
    outputs = read_models(tree, Wanted([("cSoil",)]), Choice((2008, 2009), "historical", members="each"))
    names = [f"{model} {member}" for model in ("SKEW-ESM", "TRI-ESM") for member in MEMBERS]
    assert [output.model for output in outputs] == names
    for output, (member, value) in zip(outputs, 2 * list(MEMBERS.items()), strict=True):
        want = 10 * Run("", "", member, value).value((2008, 2009))
        assert level(output.fields["cSoil"]) == pytest.approx(want, rel=1e-6)


def test_brandings_of_cmip7_are_different_variables(tree):
    (tri,) = (o for o in read_models(tree / "MIP-DRS7", Wanted([("cSoilAbove1m",)]), HISTORICAL))
    want = 5 * np.mean([Run("", "", m, v).value(YEARS) for m, v in MEMBERS.items()])
    assert level(tri.fields["cSoilAbove1m"]) == pytest.approx(want, rel=1e-6)
    assert {part.variable for part in read_archive(tree / "MIP-DRS7")} == {"cSoil", "cSoilAbove1m"}


def test_a_tree_of_an_archive_from_the_command_line(tree, quick_run, capsys):
    """Means over the mapped land are the analytic ones, of both grids, both namings, three pieces and two members."""
    command = ["benchmark", str(tree), "--variable", "cSoil", "--from", str(quick_run)]
    assert main(command) == 2
    assert "is there for several: 1pctCO2, historical; choose with --experiment" in capsys.readouterr().err
    assert main([*command, "--experiment", "historical"]) == 0
    table = pd.read_csv(quick_run / "benchmark" / "cSoil" / "scores.csv").query("group == 'all'").set_index("model")
    mapped = Results.read(quick_run).maps["iroot_mean"].sel(layer="0-200").notnull().values
    grid = MapGrid(4.0)
    area = grid.area_ha * mapped
    pattern = of_latitude(grid.lat - 2, grid.lat + 2)[:, None]
    pattern = float((area * pattern).sum() / area.sum())
    of_members = [10 * Run("", "", m, v).value(YEARS) * pattern for m, v in MEMBERS.items()]
    for model in ("SKEW-ESM", "TRI-ESM"):
        assert table.loc[model, "model_mean"] == pytest.approx(np.mean(of_members), rel=1e-3)
        assert table.loc[model, "members"] == 2
        assert table.loc[model, "members_sd"] == pytest.approx(np.std(of_members, ddof=1), rel=1e-3)
    assert (quick_run / "benchmark" / "cSoil" / "TRI-ESM.png").exists()


def test_the_newest_version_is_taken_and_overlaps_are_refused(tmp_path):
    run = Run("A-ESM", "historical", "r1i1p1f1", 1.0)
    old = write(tmp_path, run, "cSoil", askew(), PIECES[0])
    newer = old.parents[1] / "v20210101" / old.name
    newer.parent.mkdir()
    shutil.copy(
        write(tmp_path / "other", Run("A-ESM", "historical", "r1i1p1f1", 2.0), "cSoil", askew(), PIECES[0]), newer
    )
    shutil.rmtree(tmp_path / "other")
    field = read_field(tmp_path, "cSoil")
    assert level(field) == pytest.approx(20 * run.value(PIECES[0]), rel=1e-6)
    assert any("versions v20200101 left out" in remark for remark in field.remarks)
    overlapping = write(tmp_path, run, "cSoil", askew(), range(2007, 2010))
    overlapping.replace(newer.parent / overlapping.name)
    with pytest.raises(InputError, match=r"overlaps in time with .*2006 to 2008 and 2007 to 2009"):
        read_field(tmp_path, "cSoil")


def test_grids_and_experiments_that_are_not_there(tree):
    with pytest.raises(InputError, match="no experiment `ssp585`; found 1pctCO2, historical"):
        read_field(tree / "CMIP6", "cSoil", Choice(experiment="ssp585"))
    with pytest.raises(InputError, match="no grid `gr`; found gn"):
        read_field(tree / "CMIP6", "cSoil", Choice(experiment="historical", grid="gr"))


def test_a_turnover_time_has_the_years_of_both_its_parts(tmp_path):
    run = Run("A-ESM", "historical", "r1i1p1f1", 1.0)
    write(tmp_path, run, "cSoil", askew(), PIECES[0])
    write(tmp_path, run, "cSoil", askew(), PIECES[1])
    write(tmp_path, run, "rh", askew(), PIECES[1])
    wanted = Wanted([("cSoil", "rh")])
    fields = read_models(tmp_path, wanted)[0].fields
    assert level(fields["cSoil"]) == pytest.approx(10 * run.value(PIECES[1]), rel=1e-6)
    said = "years that all variables have: 2009 to 2011 (cSoil 2006 to 2011, rh 2009 to 2011)"
    assert said in fields["cSoil"].remarks
    partly = read_models(tmp_path, wanted, Choice((2010, 2019)))[0].fields
    assert "8 of the years 2010 to 2019 are not there; used: 2010 to 2011" in partly["cSoil"].remarks
    shutil.rmtree(next(path for path in tmp_path.rglob("rh")))
    write(tmp_path, run, "rh", askew(), PIECES[2])
    with pytest.raises(InputError, match="`cSoil` has 2006 to 2011, `rh` has 2012 to 2014: no year in common"):
        read_models(tmp_path, wanted)


def test_members_of_one_variable_alone_are_left_out(tmp_path):
    for member in MEMBERS:
        write(tmp_path, Run("A-ESM", "historical", member, 1.0), "cSoil", askew(), PIECES[0])
    write(tmp_path, Run("A-ESM", "historical", "r2i1p1f1", 1.0), "rh", askew(), PIECES[0])
    (output,) = read_models(tmp_path, Wanted([("cSoil", "rh")]))
    assert not output.members
    assert "members without all variables left out: r1i1p1f1" in output.fields["cSoil"].remarks


def simple(name: str, value: float = 1.0, units: str = "kg m-2", **more) -> xr.Dataset:
    """A field of one value on 12 x 24 cells."""
    lat, lon = np.arange(-82.5, 90, 15.0), np.arange(7.5, 360, 15)
    return xr.Dataset(
        {name: (("lat", "lon"), np.full((12, 24), value), {"units": units} | more)},
        {"lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", lon, {"units": "degrees_east"})},
    )


def test_a_file_name_says_what_attributes_do_not(tmp_path):
    """CMIP5, 6 and 7."""
    names = {
        "cSoil_Lmon_OLD-ESM_historical_r1i1p1_185001-200512.nc": ("OLD-ESM", "historical", "r1i1p1", ""),
        "cSoil_Emon_MID-ESM_ssp126_r3i1p1f2_gr_201501-210012.nc": ("MID-ESM", "ssp126", "r3i1p1f2", "gr"),
        "cSoil_tavg-u-hxy-lnd_mon_glb_gn_NEW-ESM_historical_r1i1p1f1_185001-200012.nc": (
            "NEW-ESM", "historical", "r1i1p1f1", "gn",
        ),
    }  # fmt: skip
    for name, want in names.items():
        simple("cSoil").to_netcdf(tmp_path / name, engine="h5netcdf")
        (part,) = read_archive(tmp_path / name)
        assert (part.source, part.experiment, part.member, part.grid) == want
        assert part.frequency == "mon"
    attributes = {"model_id": "X", "realization": 2, "initialization_method": 1, "physics_version": 3}
    simple("cSoil").assign_attrs(attributes).to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    (part,) = read_archive(tmp_path / "x.nc")
    assert (part.source, part.member) == ("X", "r2i1p3")


def test_a_metre_of_soil_is_known_by_the_bounds_of_its_depth(tmp_path):
    for bottom, variable in ((1.0, "cSoilAbove1m"), (3.0, "cSoil")):
        dataset = simple("cSoil")
        depth = {"standard_name": "depth", "units": "m", "bounds": "depth_bnds"}
        dataset = dataset.assign_coords(depth=((), bottom / 2, depth))
        dataset["depth_bnds"] = "bnds", [0.0, bottom]
        dataset.to_netcdf(tmp_path / "one.nc", engine="h5netcdf")
        assert [part.variable for part in read_archive(tmp_path / "one.nc")] == [variable]


@pytest.mark.parametrize(
    ("name", "variable", "units", "factor"),
    [
        ("TOTSOMC", "cSoil", "gC/m^2", 0.01), ("HR", "rh", "gC/m^2/s", 0.01 * 365.25 * 86400),
        ("BGNPP", "nppRoot", "gC/m^2/s", 0.01 * 365.25 * 86400), ("TOTAL_SOIL_CARB", "cSoil", "gC/m^2", 0.01),
        ("HET_RESP", "rh", "gC/m^2/day", 3.6525), ("npp", "npp", "mol m-2 s-1", 12.011 * 0.01 * 365.25 * 86400),
        ("npp", "npp", "umol CO2 m-2 s-1", 12.011e-8 * 365.25 * 86400),
        ("npp", "npp", "micromoles m-2 s-1", 12.011e-8 * 365.25 * 86400),
        ("rh", "rh", "kg CO2 m-2 yr-1", 10 * 12.011 / 44.009), ("cSoil", "cSoil", "lb ft-2", 48.82428),
    ],
)  # fmt: skip
def test_names_and_units_of_other_models(tmp_path, name, variable, units, factor):
    simple(name, units=units).to_netcdf(tmp_path / "m.nc", engine="h5netcdf")
    assert np.unique(read_field(tmp_path / "m.nc", variable).values) == pytest.approx([factor], rel=1e-6)


def test_kinds_of_vegetation_are_summed_by_their_share(tmp_path):
    dataset = simple("NPP", units="gC/m^2/day").expand_dims(veget=3).copy()
    dataset["NPP"] = dataset["NPP"] * xr.DataArray([1.0, 2.0, 4.0], dims="veget")
    dataset["NPP"].attrs["units"] = "gC/m^2/day"
    dataset["VEGET_COV_MAX"] = xr.zeros_like(dataset["NPP"]) + xr.DataArray([0.2, 0.3, 0.25], dims="veget")
    dataset.to_netcdf(tmp_path / "orchidee.nc", engine="h5netcdf")
    values = read_field(tmp_path / "orchidee.nc", "npp").values
    assert np.unique(values) == pytest.approx([3.6525 * (0.2 + 0.6 + 1.0)], rel=1e-6)


def test_a_zarr_store_is_read_as_a_file_is(tmp_path):
    run = Run("A-ESM", "historical", "r1i1p1f1", 1.0)
    paths = [write(tmp_path / "nc", run, "cSoil", askew(), years) for years in PIECES[:2]]
    want = read_field(tmp_path / "nc", "cSoil")
    for path in paths:
        with xr.open_dataset(path, decode_times=False) as dataset:
            for variable in dataset.variables.values():
                variable.encoding = {}
            dataset.to_zarr(tmp_path / "zarr" / f"{path.stem}.zarr", consolidated=False)
    found = read_field(tmp_path / "zarr", "cSoil")
    np.testing.assert_allclose(found.values, want.values, rtol=1e-6)
    assert found.model == "A-ESM"


def test_shares_of_land_divide_what_is_of_whole_cells_and_drop_the_sea(tmp_path):
    share = simple("sftlf", units="%")
    share["sftlf"][:, :4], share["sftlf"][:, 4:] = 0.0, 50.0
    share.to_netcdf(tmp_path / "sftlf.nc", engine="h5netcdf")
    for methods, want in (("area: mean where land time: mean", 10.0), ("area: mean time: mean", 20.0)):
        simple("cSoil", cell_methods=methods).to_netcdf(tmp_path / "cSoil.nc", engine="h5netcdf")
        field = read_field(tmp_path, "cSoil")
        assert np.isnan(field.values[:, :4]).all() and np.unique(field.values[:, 4:]) == pytest.approx([want])
        assert any("48 values where there is no land" in remark for remark in field.remarks)
        assert any("divided by the share of land" in remark for remark in field.remarks) == (want == 20)
    (tmp_path / "sftlf.nc").unlink()
    assert any("there is no sftlf" in remark for remark in read_field(tmp_path, "cSoil").remarks)


def test_areas_that_differ_from_those_of_the_cells_are_remarked(tmp_path):
    simple("cSoil").to_netcdf(tmp_path / "cSoil.nc", engine="h5netcdf")
    grid = read_field(tmp_path, "cSoil").grid
    for factor in (1.0, 1.2):
        areas = simple("areacella", units="m2")
        areas["areacella"][:] = factor * 1e4 * grid.area_ha
        areas.to_netcdf(tmp_path / "areacella.nc", engine="h5netcdf")
        said = [remark for remark in read_field(tmp_path, "cSoil").remarks if "areacella" in remark]
        assert bool(said) == (factor > 1)


def test_zeros_are_the_sea_where_no_cell_is_missing(tmp_path):
    dataset = simple("cSoil")
    dataset["cSoil"][:, 12:] = 0.0
    dataset.to_netcdf(tmp_path / "zero.nc", engine="h5netcdf")
    field = read_field(tmp_path / "zero.nc", "cSoil")
    assert np.isnan(field.values[:, 12:]).all() and any("taken for sea" in remark for remark in field.remarks)
    dataset["cSoil"][0] = np.nan
    dataset.to_netcdf(tmp_path / "both.nc", engine="h5netcdf")
    field = read_field(tmp_path / "both.nc", "cSoil")
    assert (field.values[1:, 12:] == 0).all() and any("are exactly 0" in remark for remark in field.remarks)


def test_what_could_be_either_is_refused(tmp_path):
    for branding in ("tavg-u-hxy-lnd", "tpt-u-hxy-lnd"):
        run = Run("A-ESM", "historical", "r1i1p1f1", 1.0, "CMIP7")
        write(tmp_path, run, "cSoil", triangles(), PIECES[0], branding=branding)
    with pytest.raises(InputError, match=r"`cSoil` could be any of tavg-u-hxy-lnd, tpt-u-hxy-lnd"):
        read_field(tmp_path, "cSoil")


def test_steps_dated_at_their_end_are_of_the_year_in_which_they_lie(tmp_path):
    """The pieces are dated so: December of 2008 bears the date of the first of January 2009."""
    run = Run("A-ESM", "historical", "r1i1p1f1", 1.0)
    write(tmp_path, run, "cSoil", askew(), PIECES[0])
    field = read_field(tmp_path, "cSoil", Choice((2008, 2008)))
    assert level(field) == pytest.approx(10 * run.value([2008]), rel=1e-6)
    assert not any("part of the year" in remark for remark in field.remarks)


def test_a_year_that_is_partly_there_is_left_out_or_said(tmp_path):
    run = Run("A-ESM", "historical", "r1i1p1f1", 1.0)
    path = write(tmp_path, run, "cSoil", askew(), PIECES[0])
    with xr.open_dataset(path, decode_times=False) as whole:
        dataset = whole.load()
    dataset.isel(time=slice(0, 30)).to_netcdf(path, engine="h5netcdf")
    field = read_field(tmp_path, "cSoil")
    assert level(field) == pytest.approx(10 * run.value((2006, 2007)), rel=1e-6)
    field = read_field(tmp_path, "cSoil", Choice((2007, 2008)))
    assert "2008: only a part of the year is there" in field.remarks


def test_references_need_their_package(tmp_path):
    (tmp_path / "refs.json").write_text('{"version": 1, "refs": {}}')
    if "kerchunk" in xr.backends.list_engines():
        pytest.skip("kerchunk is there")
    with pytest.raises(InputError, match="pip install kerchunk"):
        read_field(tmp_path / "refs.json", "cSoil")
