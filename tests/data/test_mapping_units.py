"""Covariates from rasters of mapping units joined to a table of attributes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine

from bayes_rootc.data.biomes import WWF_TO_BIOME
from bayes_rootc.data.covariates import CovariateStack
from bayes_rootc.data.fetch import fetch
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.errors import InputError

CLASSES = list(WWF_TO_BIOME)
FOREST = CLASSES.index("boreal forests/taiga") + 1

TABLE = """\
unit,layer,upper,lower,group,clay,carbon
11,D1,0,20,AC,20,4
11,D2,20,40,AC,40,2
11,D3,40,100,AC,60,
12,D1,0,20,Nt,10,1
12,D2,20,40,NT,-7,-7
12,D3,40,100,NT,-7,-7
13,D1,0,20,WR,99,99
14,D1,0,20,LP,30,-4
14,D2,20,40,LP,-1,3
40000,D1,0,20,AC,5,0
"""
UNITS = """\
[[units]]
name = "soils"
path = "units.tif"
table = "soils.csv"
join = "unit"
top = "upper"
bottom = "lower"
missing = [-9, -8, -7, -6, -5, -4, -3, -2, -1]
soil = "group"
no_soil = ["GG", "WR"]
same = { Nt = "NT" }
"""
COMMON = 'units = "soils"\nrole = "covariate"\nunit = "%"\n'
ATTRIBUTES = f"""
[[attribute]]
name = "clay_top"
column = "clay"
depth = [0, 30]
group = "soil"
{COMMON}
[[attribute]]
name = "clay_deep"
column = "clay"
depth = [40, 100]
group = "soil"
{COMMON}
[[attribute]]
name = "soil_order"
column = "group"
depth = [0, 100]
categories = ["AC", "LP", "NT"]
group = "soil order"
{COMMON}"""
BIOME = f"""
[[raster]]
name = "wwf_biome"
path = "wwf_biome.tif"
role = "covariate"
group = "biome"
unit = "class"
categories = {CLASSES!r}
"""


def write(path, values, resolution, *, dtype, nodata):
    values = np.asarray(values, dtype)
    form = {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": dtype, "nodata": nodata}
    place = Affine(resolution, 0, 0, 0, -resolution, 4)
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:4326", transform=place, **form) as target:
        target.write(values, 1)


@pytest.fixture
def folder(tmp_path):
    """4° x 4° of forest; the columns of the raster of units are 11, 12, 13 (no soil), and below 14 and 99 (unknown)."""
    write(tmp_path / "wwf_biome.tif", np.full((4, 4), FOREST), 1, dtype="uint8", nodata=0)
    units = np.repeat([[11, 12, 13, 40000], [11, 12, 14, 0]], 2, axis=0)
    units[3, 0] = 99
    write(tmp_path / "units.tif", units, 1, dtype="uint16", nodata=0)
    (tmp_path / "soils.csv").write_text(TABLE)
    (tmp_path / "manifest.toml").write_text(UNITS + ATTRIBUTES + BIOME)
    return tmp_path


def at(folder, lat, lon, **how):
    return CovariateStack(folder).sample([lat], [lon], **how)[0].iloc[0]


def test_a_site_has_the_layers_of_its_unit_weighted_by_thickness(folder):
    acrisol = at(folder, 3.5, 0.5)
    assert acrisol["clay_top"] == pytest.approx((20 * 20 + 10 * 40) / 30)
    assert acrisol["clay_deep"] == 60


STOCK_TABLE = """\
unit,upper,lower,group,carbon,density,coarse
11,0,20,AC,2,1.2,25
11,20,40,AC,1,1.4,50
11,40,100,AC,0.5,1.6,0
12,0,20,NT,1,1.5,10
12,20,40,NT,-7,-7,-7
12,40,100,NT,-7,-7,-7
13,0,20,WR,9,9,0
"""


def test_stocks_of_layers_are_carbon_times_density_times_fine_earth(folder):
    """0-20 cm: 0.02 x 1.2 g cm⁻³ x 0.75 x 20 cm = 0.36 g cm⁻² = 36 Mg ha⁻¹; 20-40: 14; of 40-100, 0.8 a cm."""
    (folder / "soils.csv").write_text(STOCK_TABLE)
    columns = 'stock = { organic_carbon = "carbon", bulk_density = "density", coarse_fragments = "coarse" }\n'
    (folder / "manifest.toml").write_text(UNITS + columns + BIOME)
    stocks = CovariateStack(folder).layer_stocks([3.5, 3.5, 3.9], [0.5, 1.5, 2.1])
    np.testing.assert_allclose(stocks[0], [36, 14, 16, 16, 16, 40, 40], rtol=1e-6)
    np.testing.assert_allclose(stocks[1], 27 * np.array([1, 1, 1, 1, 1, 2.5, 2.5]), rtol=1e-6)  # a shallow soil
    np.testing.assert_allclose(stocks[2], stocks[1])  # water: its neighbour's
    assert np.isnan(CovariateStack(folder).layer_stocks([0.5], [0.5], nearest_km=1)).all()


def test_without_columns_of_a_stock_there_is_none_and_wrong_ones_are_refused(folder):
    assert CovariateStack(folder).layer_stocks([3.5], [0.5]) is None
    columns = 'stock = { organic_carbon = "carbon", bulk_density = "BD", coarse_fragments = "clay" }\n'
    (folder / "manifest.toml").write_text(UNITS + columns + BIOME)
    with pytest.raises(InputError, match="the bulk_density column BD is missing"):
        CovariateStack(folder)
    without_depths = UNITS.replace('top = "upper"\nbottom = "lower"\n', "")
    (folder / "manifest.toml").write_text(without_depths + columns + BIOME)
    with pytest.raises(InputError, match="a stock needs top and bottom"):
        CovariateStack(folder)


def test_a_shallow_soil_has_its_part_of_the_interval_or_else_its_lowest_layer(folder):
    nitisol = at(folder, 3.5, 1.5)
    assert nitisol["clay_top"] == 10  # of 0-20 cm: below, codes
    assert nitisol["clay_deep"] == 10


def test_classes_become_dummy_variables_and_other_spellings_are_joined(folder):
    stack = CovariateStack(folder)
    assert stack.features == ["clay_top", "clay_deep", "soil_order_AC", "soil_order_LP", "soil_order_NT"]
    assert stack.groups == {"soil": ["clay_top", "clay_deep"]}
    table, _ = stack.sample([3.5, 3.5, 0.5], [0.5, 1.5, 2.5])
    assert table[stack.features[2:]].to_numpy().tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_no_soil_an_unknown_unit_and_no_unit_are_holes(folder):
    for lat, lon in ((3.5, 2.5), (0.5, 0.5), (0.5, 3.5)):
        assert at(folder, lat, lon, nearest_km=1)[["clay_top", "soil_order_AC"]].isna().all()
    water = at(folder, 3.9, 2.1)
    assert water["clay_top"] == 10 and water["soil_order_NT"] == 1  # the neighbour in the west


def test_what_the_rules_did_is_counted(folder):
    stack = CovariateStack(folder)
    assert stack.checks() == []  # the table has not been read
    stack.sample([3.5, 0.5], [0.5, 0.5])
    (check,) = stack.checks()
    assert (check.read, check.used, check.dropped) == (5, 4, {"no soil (GG, WR)": 1})
    counts = {rule.split("(")[0].split(",")[0].strip(): n for rule, n in check.remarks.items()}
    assert counts == {
        "a code for a missing value": 2,
        "another spelling of a class": 1,
        "a soil that ends above an interval": 3,  # 12, 14, and 40000, which has one layer
        "numbers of the raster that are not in the table": 1,
    }


def test_a_map_has_the_same_values_as_sites_on_a_finer_and_on_a_coarser_grid(folder):
    stack = CovariateStack(folder)
    for resolution in (0.5, 1.0, 2.0):
        grid = MapGrid(resolution, (0, 0, 4, 4))
        cube = stack.on_grid(grid, stack.features)
        lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
        inside = 1e-6  # a centre that lies on a corner belongs to the cell in the south-east
        sites, _ = stack.sample(lat.ravel() - inside, lon.ravel() + inside, names=stack.features, nearest_km=250)
        for name in stack.features:
            found = cube[name].values[np.isfinite(cube[name].values)]
            assert len(found) and set(np.unique(found)) <= set(
                np.unique(sites[name].astype(np.float32))
            )  # no number in between
        whole = CovariateStack(folder).sample(lat.ravel() - inside, lon.ravel() + inside, nearest_km=0)[0]
        there = whole["clay_top"].notna().to_numpy()
        np.testing.assert_allclose(cube["clay_top"].values.ravel()[there], whole["clay_top"][there], rtol=1e-6)
        np.testing.assert_array_equal(cube["soil_order_LP"].values.ravel()[there], whole["soil_order_LP"][there])


def test_a_part_of_a_map_is_that_part_of_the_whole(folder):
    stack = CovariateStack(folder)
    whole, part = (stack.on_grid(MapGrid(0.5, box), stack.features) for box in ((0, 0, 4, 4), (1, 1, 3, 3)))
    for name in stack.features:
        np.testing.assert_array_equal(whole[name].values[2:6, 2:6], part[name].values)


def test_soils_that_share_a_unit_weigh_by_their_share(folder):
    (folder / "soils.csv").write_text(
        "unit,part,group,clay\n11,70,AC,10\n11,30,LP,50\n12,50,WR,\n12,50,NT,30\n40000,0,AC,5\n"
    )
    units = UNITS.replace('top = "upper"\nbottom = "lower"', 'share = "part"')
    attributes = ATTRIBUTES.replace("depth = [0, 30]\n", "").replace("depth = [0, 100]\n", "")
    attributes = attributes.replace(attributes.split("[[attribute]]")[2], "").replace("[[attribute]][[", "[[")
    (folder / "manifest.toml").write_text(units + attributes + BIOME)
    table, _ = CovariateStack(folder).sample([3.5, 3.5, 3.5], [0.5, 1.5, 3.5], nearest_km=1)
    assert table["clay_top"].tolist()[:2] == [pytest.approx(22), 30]
    assert table["soil_order_AC"].tolist()[:2] == [1, 0] and table["soil_order_NT"][1] == 1
    assert np.isnan(table["clay_top"][2])  # a share of nothing


def test_a_raster_of_classes_becomes_dummy_variables_too(folder):
    write(folder / "cover.tif", [[1, 1], [0, 2]], 2, dtype="uint8", nodata=None)
    cover = BIOME.replace("wwf_biome", "cover").replace('"biome"', '"cover"').replace(repr(CLASSES), '["ice", "grass"]')
    (folder / "manifest.toml").write_text(BIOME + cover)
    stack = CovariateStack(folder)
    assert stack.features == ["cover_ice", "cover_grass"] and stack.groups == {}
    table, _ = stack.sample([3, 1, 1], [1, 3, 1], nearest_km=1)
    np.testing.assert_array_equal(table[stack.features], [[1, 0], [0, 1], [np.nan, np.nan]])
    write(folder / "cover.tif", [[1, 1], [0, 3]], 2, dtype="uint8", nodata=None)
    with pytest.raises(InputError, match=r"cover\.tif: value 3 has no category"):
        CovariateStack(folder).sample([1], [3])


def test_fetch_copies_units_with_their_table(folder, tmp_path_factory):
    data, to = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("to")
    folder.rename(data / "covariates")
    fetch(to, data)
    stacks = [CovariateStack(place / "covariates") for place in (data, to)]
    (a, _), (b, _) = (stack.sample([3.5, 0.5], [0.5, 2.5]) for stack in stacks)
    pd.testing.assert_frame_equal(a, b[a.columns])


def changed(file, old, new):
    def change(folder):
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return change


MANIFEST, SOILS = "manifest.toml", "soils.csv"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            changed(MANIFEST, 'units = "soils"', 'units = "hwsd"'),
            "column units: entry clay_top: no .* named hwsd; there",
        ),
        (changed(MANIFEST, "depth = [0, 30]\n", ""), "column depth: entry clay_top: expected a depth"),
        (changed(MANIFEST, "[0, 30]", "[30, 30]"), "column depth: entry clay_top: expected .top, bottom. in cm"),
        (changed(MANIFEST, "[0, 30]", "[0, 300]"), "column depth: entry clay_top: expected .top, bottom. in cm"),
        (changed(MANIFEST, 'top = "upper"\n', ""), "entry soils: expected both top and bottom"),
        (changed(MANIFEST, 'soil = "group"\n', ""), "entry soils: expected both soil and no_soil"),
        (changed(MANIFEST, 'join = "unit"\n', ""), "column join: entry soils"),
        (changed(MANIFEST, '"soils.csv"', '"../soils.csv"'), "column table: entry soils: .* outside the folder"),
        (changed(MANIFEST, 'name = "clay_deep"', 'name = "clay_top"'), "entry clay_top: the name is there twice"),
        (changed(MANIFEST, 'column = "clay"', 'column = "sand"'), "soils.csv: the column of clay_top column sand"),
        (changed(MANIFEST, 'join = "unit"', 'join = "mu"'), "soils.csv: the join column mu is missing; found unit"),
        (changed(SOILS, "unit,layer", "unit,unit"), "soils.csv, column unit: the column is there twice"),
        (changed(SOILS, "11,D2,20,40,AC,40", "11,D2,20,40,AC,much"), "row 3, column clay: expected a number, found"),
        (changed(SOILS, "12,D1", "12.5,D1"), "row 5, column unit: expected a whole number, found 12.5"),
        (changed(SOILS, "12,D1", ",D1"), "row 5, column unit: expected a number, found nothing"),
        (
            changed(SOILS, "12,D1,0,20", "12,D1,20,20"),
            "row 5, column lower: expected a depth below upper, cm, found 20",
        ),
        (changed(SOILS, "11,D2,20,40", "11,D2,0,40"), "row 3, column unit: the unit 11 has two rows from 0 cm"),
        (changed(SOILS, "LP,30", "XX,30"), "row 9, column group: expected one of the categories of .* soil_order"),
        (lambda f: (f / SOILS).unlink(), "soils.csv: not a readable CSV table"),
        (lambda f: (f / SOILS).write_text(TABLE.split("\n")[0]), "soils.csv: expected at least one row"),
        (lambda f: (f / "units.tif").unlink(), "units.tif: not a readable raster"),
        (
            lambda f: write(f / "units.tif", np.ones((4, 4)), 1, dtype="float32", nodata=0),
            "units.tif: expected whole numbers, those of mapping units, found float32",
        ),
    ],
)
def test_bad_units_are_named_in_one_line(folder, change, says):
    change(folder)
    with pytest.raises(InputError, match=says) as error:
        CovariateStack(folder).sample([3.5], [0.5])
    assert str(error.value).isprintable()


@pytest.mark.real_data
def test_soils_of_the_world(real_data, tmp_path):
    folder = tmp_path / "covariates"
    folder.mkdir()
    for name in ("hwsd2_units.tif", "hwsd2_layers.csv.gz", "wwf_biome.tif"):
        (folder / name).symlink_to(real_data / "covariates" / name)
    (folder / "manifest.toml").write_text(
        UNITS.replace("units.tif", "hwsd2_units.tif")
        .replace("soils.csv", "hwsd2_layers.csv.gz")
        .replace('"unit"', '"HWSD1_SMU_ID"')
        .replace("upper", "TOPDEP")
        .replace("lower", "BOTDEP")
        .replace('"group"', '"WRB2"')
        .replace('"GG", "WR"', '"GG", "IS", "ND", "WR"')
        + ATTRIBUTES.split("[[attribute]]")[0]
        + "[[attribute]]"
        + ATTRIBUTES.split("[[attribute]]")[1].replace('"clay"', '"CLAY"')
        + BIOME
    )
    stack = CovariateStack(folder)
    table, report = stack.sample([-3.0, 52.0, 23.0], [-60.0, 10.0, 10.0], names=["clay_top"])
    assert table["clay_top"].between(0, 75).all() and report.missing["clay_top"] == 0
    grid = stack.on_grid(MapGrid(2.0), ["clay_top"])
    land = (grid["biome"].values > 0) & (grid["lat"].values[:, None] > -60)  # HWSD has no Antarctica
    assert np.isfinite(grid["clay_top"].values[land]).mean() > 0.97
    (check,) = stack.checks()
    assert check.read == 27_704 and check.dropped == {"no soil (GG, IS, ND, WR)": 198}
