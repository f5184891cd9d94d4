"""Tables of one's own in a data folder, and the template of one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.cli import main
from bayes_rootc.data.folder import read_inputs
from bayes_rootc.data.israd import read_layers
from bayes_rootc.data.npp import read_npp
from bayes_rootc.data.own_files import column_names, read_own_layers, read_own_production, read_own_roots
from bayes_rootc.demo.template import write_template
from bayes_rootc.errors import InputError

OWN = pd.DataFrame(
    {
        "profile": ["a", "a", "b"],
        "lat": [48.7, 48.7, -12.0],
        "lon": [9.2, 9.2, 130.0],
        "top": [0.0, 20.0, 0.0],
        "bottom": [20.0, 50.0, 10.0],
        "year": [2008 + 6.5 / 12, 2008.0, 1998.625],
        "delta14c": [85.0, -60.0, 101.0],
        "sigma": [4.0, np.nan, 3.0],
        "carbon": [2.0, 1.0, np.nan],
        "bulk_density": [1.2, 1.4, np.nan],
        "stock": [np.nan, np.nan, 18.0],
    }
)
ISRAD = {
    "profile": "pro_name",
    "lat": "pro_lat",
    "lon": "pro_long",
    "top": "lyr_top",
    "bottom": "lyr_bot",
    "delta14c": "lyr_14c",
    "sigma": "lyr_14c_sigma",
    "carbon": "lyr_c_org_filled",
    "bulk_density": "lyr_bd_samp_filled",
}


def read(tmp_path, table: pd.DataFrame, names=None):
    table.to_csv(tmp_path / "layers.csv", index=False)
    return read_own_layers(tmp_path / "layers.csv", names or {})


def test_own_layers_are_those_that_israd_would_have(tmp_path):
    own, check = read(tmp_path, OWN)
    israd = OWN.rename(columns=ISRAD).assign(
        entry_name="own", site_name="site", lyr_name=["0-20", "20-50", "0-10"], lyr_soc_filled=OWN["stock"] / 100,
        lyr_obs_date_y=[2008, 2008, 1998], lyr_obs_date_m=[7, np.nan, 8],
    )  # fmt: skip
    israd.drop(columns=["year", "stock"]).to_csv(tmp_path / "israd.csv", index=False)
    other, _ = read_layers(tmp_path / "israd.csv")
    pd.testing.assert_frame_equal(own, other, rtol=1e-12)
    assert check.source == "radiocarbon layers (own)" and check.used == 3 and check.doubts == {}
    np.testing.assert_allclose(own["stock_measured"], [48.0, 42.0, 18.0])


def test_own_names_and_units(tmp_path):
    plain, _ = read(tmp_path, OWN)
    other = OWN.assign(bottom=OWN["bottom"] / 100, carbon=10 * OWN["carbon"], stock=OWN["stock"] / 10)
    other = other.rename(
        columns={"top": "upper", "bottom": "bottom [m]", "carbon": "Carbon (g/kg)", "stock": "stock [kg m-2]"}
    )
    pd.testing.assert_frame_equal(read(tmp_path, other, {"top": "upper"})[0], plain, rtol=1e-9)
    with pytest.raises(InputError, match="the column depth, named for top, is missing; found profile, lat"):
        read(tmp_path, OWN, {"top": "depth"})


@pytest.mark.parametrize("header", ["fraction_modern", "delta14c [F14C]"])
def test_own_fractions_modern(tmp_path, header):
    plain, _ = read(tmp_path, OWN.assign(sigma=4.0))
    decay = 1000 * np.exp((1950 - plain["year"]) / 8267)
    table = OWN.drop(columns=["delta14c", "sigma"]).assign(**{header: (OWN["delta14c"] + 1000) / decay})
    table[f"{'sigma' if '[' in header else 'fraction_modern_sigma'}"] = 4.0 / decay
    found, _ = read(tmp_path, table)
    np.testing.assert_allclose(found[["delta14c", "sigma"]], plain[["delta14c", "sigma"]], rtol=1e-9)


def test_layers_without_radiocarbon_under_a_known_name_are_refused(tmp_path):
    unknown = OWN.rename(columns={"delta14c": "D14C"})
    with pytest.raises(InputError, match=r"layers.csv: no layer has radiocarbon: .* delta14c, .*columns.toml"):
        read(tmp_path, unknown)
    assert read(tmp_path, unknown, {"delta14c": "D14C"})[1].used == 3


def test_production_and_roots_in_plain_columns(tmp_path):
    (tmp_path / "p.csv").write_text("lat,lon,bnpp [Mg ha-1 yr-1],npp [Mg ha-1 yr-1]\n48.7,9.2,3,8\n50,10,2.5,6.5\n")
    records = read_own_production(tmp_path / "p.csv", {})
    assert records.table["bnpp"].tolist() == [300, 250] and records.check.doubts == {}
    (tmp_path / "r.csv").write_text("lat,lon,d50,d95\n48.7,9.2,15,90\n50,10,12,\n")
    roots, check = read_own_roots(tmp_path / "r.csv", {})
    assert roots[["id", "d50", "d95"]].to_numpy().tolist() == [["row 2", 15, 90]]
    assert check.dropped == {"D50 or D95 missing": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[layer]\ntop = 'x'\n", r"\[layer\]: expected tables layers, production, roots of names"),
        ("[layers]\ndepth = 'x'\n", r"\[layers\]: depth is not a column that is used; expected one of lat, lon, top"),
        ("[layers]\ntop = 5\n", r"\[layers\]: expected tables"),
    ],
)
def test_a_bad_list_of_names_is_refused(tmp_path, text, said):
    (tmp_path / "columns.toml").write_text(text)
    with pytest.raises(InputError, match=said):
        column_names(tmp_path)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("template") / "mine"
    write_template(folder)
    return folder


def test_the_template_is_a_good_data_folder(template, capsys):
    assert main(["check", "--data", str(template)]) == 0
    said = capsys.readouterr().out
    assert "radiocarbon layers (own)" in said and "look at this first" not in said
    inputs = read_inputs(template)
    assert len(inputs.layers) > 100 and len(inputs.npp) > 40 and len(inputs.roots) > 30
    assert inputs.layers["stock_measured"].notna().sum() > 50 and set(inputs.groups) == {
        "climate",
        "soil",
        "topography",
    }
    assert {"layers.csv", "production.csv", "roots.csv"} <= set(inputs.files)


def test_five_edited_lines_of_the_template_are_read(template, tmp_path):
    """Other names, another unit, another form, a word, a code."""
    import shutil

    shutil.copytree(template, tmp_path / "mine")
    path = tmp_path / "mine" / "layers.csv"
    table = pd.read_csv(path).rename(columns={"top [cm]": "upper", "bottom [cm]": "bottom [m]"})
    table["bottom [m]"] /= 100
    table.loc[0, "sigma [permil]"] = -9999
    table.to_csv(path, index=False)
    (tmp_path / "mine" / "columns.toml").write_text('[layers]\ntop = "upper"\n')
    edited, plain = read_inputs(tmp_path / "mine").layers, read_inputs(template).layers
    np.testing.assert_allclose(edited[["top", "bottom", "delta14c"]], plain[["top", "bottom", "delta14c"]])


def test_a_template_overwrites_nothing(template):
    with pytest.raises(InputError, match="holds something already; choose a new folder"):
        write_template(template)


def test_a_biome_of_the_table_stands_for_that_of_the_rasters(tmp_path):
    folder = tmp_path / "data"
    write_template(folder)
    before = read_inputs(folder)
    for name, biomes in (("layers", ["croplands", "7", None]), ("production", ["Tundra "]), ("roots", [9, None])):
        table = pd.read_csv(folder / f"{name}.csv")
        table["Biome"] = pd.Series(np.resize(np.array(biomes, object), len(table)))
        table.to_csv(folder / f"{name}.csv", index=False)
    after = read_inputs(folder)
    assert len(after.layers) == len(before.layers) and len(after.npp) == len(before.npp)
    assert (after.npp["biome"] == 7).all() and (before.npp["biome"] != 7).any()
    for old, new, said in ((before.layers, after.layers, {7, 9}), (before.roots, after.roots, {9})):
        changed = (old["biome"] != new["biome"]).to_numpy()
        assert set(new["biome"][changed]) == said and 0.3 < changed.mean() < 2 / 3
    remarks = [text for check in after.checks for text in check.remarks if text.startswith("biome from the record")]
    croplands, other = (f"biome from the record{what}, against the rasters" for what in (": croplands", ""))
    assert remarks.count(croplands) == remarks.count(other) == 2


def test_records_of_two_biomes_at_one_place_are_two_sites(tmp_path):
    path = tmp_path / "production.csv"
    table = pd.DataFrame({"lat": 50.0, "lon": 10.0, "bnpp": [300.0, 200.0, 220.0], "npp": 700.0})
    table.assign(biome=["temperate forests", "croplands", 9]).to_csv(path, index=False)
    sites, records, _ = read_npp(tmp_path, read_own_production(path, {}))
    assert sites["said_biome"].tolist() == [3, 9] and sites["records"].tolist() == [1, 2]
    np.testing.assert_allclose(sites["bnpp"], [3.0, 2.1])
    assert records["id"].tolist() == ["npp-0001", "npp-0002", "npp-0002"]


@pytest.mark.parametrize(("biome", "shown"), [("jungle", "jungle"), (10, "10"), ("0", "0")])
def test_a_biome_that_is_none_is_refused_with_its_row(tmp_path, biome, shown):
    table = OWN.assign(biome=["croplands", biome, None])
    with pytest.raises(InputError, match=f"row 3, column biome: expected a number or name of: 1 trop.*found `{shown}`"):
        read(tmp_path, table)
    with pytest.raises(InputError, match="column climate: expected a number"):
        read(tmp_path, table.rename(columns={"biome": "climate"}), {"biome": "climate"})
