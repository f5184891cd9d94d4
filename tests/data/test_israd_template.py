"""Workbooks in ISRaD's template: joined as the flat table has them, and what is said of those that are not whole."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.cli import main
from bayes_rootc.data.folder import read_inputs
from bayes_rootc.data.israd import read_layers
from bayes_rootc.data.israd_template import read_templates, templates
from bayes_rootc.demo.template import write_template
from bayes_rootc.errors import InputError

SITES = pd.DataFrame({"entry_name": "E", "site_name": ["S", 2], "site_lat": [50.0, -3.0], "site_long": [10.0, -60.0]})
PROFILES = pd.DataFrame(
    {
        "entry_name": "E",
        "site_name": ["S", "S", 2],
        "pro_name": ["P", 7, 1.0],
        "pro_lat": [50.001, np.nan, np.nan],
        "pro_long": [10.001, np.nan, np.nan],
        "pro_land_cover": ["forest", "cultivated", None],
        "pro_peatland": [None, None, "no"],
    }
)
LAYERS = pd.DataFrame(
    {
        "entry_name": "E",
        "site_name": ["S", "S", "S", "2"],
        "pro_name": ["P", "P", "7", 1],
        "lyr_name": ["P_0", "P_10", "Q_0", "R_0"],
        "lyr_obs_date_y": [2005, 2005, 2010, 1998],
        "lyr_top": [0, 10, 0, 0],
        "lyr_bot": [10, 30.5, 20, 15],
        "lyr_hzn": ["A", "B", None, " "],
        "lyr_bd_samp": [1.1, None, 1.3, None],
        "lyr_c_org": [2.5, 1.0, 1.2, None],
        "lyr_soc": [None, 0.2, None, None],
        "lyr_14c": [80.0, -40.0, None, -120.0],
        "lyr_14c_sigma": [3.0, 4.0, None, None],
        "lyr_fraction_modern": [None, None, 1.03, None],
        "lyr_fraction_modern_sigma": [None, None, 0.003, None],
    }
)


def written(path, *, descriptions: int = 2, **sheets: pd.DataFrame):
    """A workbook with the given number of description rows below each header, and an empty row after the records."""
    whole = {"metadata": SITES[["entry_name"]], "site": SITES, "profile": PROFILES, "layer": LAYERS} | sheets
    with pd.ExcelWriter(path, engine="openpyxl") as book:
        for name, table in whole.items():
            words = pd.DataFrame([[f"{c} {i}" if i % 2 == 0 else "‰" for c in table] for i in range(descriptions)])
            table.to_excel(book, sheet_name=name, index=False, startrow=descriptions)
            sheet = book.sheets[name]
            for column, title in enumerate(table.columns, 1):
                for row in range(descriptions + 1):
                    sheet.cell(row + 1, column, title if row == 0 else words.iloc[row - 1, column - 1])
            sheet.cell(descriptions + len(table) + 2, 2, " ")
    return path


def flat(path):
    """The same layers as ISRaD's flat table has them."""
    text = {"site_name": str, "pro_name": str}
    profiles = PROFILES.astype(text).replace({"1.0": "1"})
    rows = LAYERS.astype(text).merge(profiles, on=["entry_name", "site_name", "pro_name"])
    rows = rows.merge(SITES.astype({"site_name": str}), on=["entry_name", "site_name"])
    rows = rows.assign(
        pro_lat=rows["pro_lat"].fillna(rows["site_lat"]), pro_long=rows["pro_long"].fillna(rows["site_long"])
    )
    rows.rename(columns=lambda c: f"{c}_filled" if c in ("lyr_bd_samp", "lyr_c_org", "lyr_soc") else c).to_csv(path)
    return path


@pytest.mark.parametrize("descriptions", [0, 1, 2, 3])
def test_a_template_gives_the_layers_of_the_flat_table(tmp_path, descriptions):
    expected, _ = read_layers(flat(tmp_path / "flat.csv"))
    found, check = read_templates([written(tmp_path / "E.xlsx", descriptions=descriptions)])
    pd.testing.assert_frame_equal(found, expected)
    assert len(found) == 4 and check.read == 4 and found["land_cover"].tolist()[2] == "cultivated"
    assert found["lat"].tolist() == [50.001, 50.001, 50.0, -3.0]
    np.testing.assert_allclose(found["stock_measured"], [27.5, 20.0, 31.2, np.nan])


def test_several_templates_are_joined(tmp_path):
    other = {name: t.assign(entry_name="F") for name, t in {"site": SITES, "profile": PROFILES}.items()}
    moved = LAYERS.assign(entry_name="F", lyr_14c=LAYERS["lyr_14c"] + 1)
    paths = [written(tmp_path / "E.xlsx"), written(tmp_path / "F.xlsx", **other, layer=moved)]
    table, check = read_templates(paths)
    assert table["study"].value_counts().to_dict() == {"E": 4, "F": 3}  # the fraction modern is the same in both
    assert check.source == "radiocarbon layers (ISRaD 2 templates)" and check.file == str(tmp_path)
    shutil.copy(paths[0], tmp_path / "~$E.xlsx")  # as Excel's locks are called
    pd.DataFrame({"a": [1]}).to_excel(tmp_path / "notes.xlsx")
    assert templates(tmp_path) == paths


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"profile": PROFILES.iloc[:1]}, "row 6, column pro_name: the sheet layer: `7` is not in the sheet profile"),
        ({"site": SITES.iloc[:1]}, "row 7, column site_name: the sheet layer: `2` is not in the sheet site"),
        ({"layer": LAYERS.drop(columns="lyr_top")}, "the column lyr_top is missing"),
        ({"layer": LAYERS.drop(columns="pro_name")}, "the sheet layer has no column pro_name; found entry_name"),
        ({"layer": LAYERS.iloc[:0]}, "the sheet layer has no row below its descriptions"),
        ({"layer": LAYERS.assign(lyr_bot=[10, "30 cm", 20, 15])}, "row 5, column lyr_bot: expected a number, found"),
        ({"layer": LAYERS.assign(pro_name=["P", None, "7", 1])}, "row 5, column pro_name: the sheet layer: is missing"),
        ({"layer": LAYERS.drop(columns=["lyr_14c", "lyr_fraction_modern"])}, "no layer has radiocarbon"),
        (
            {"profile": pd.concat([PROFILES, PROFILES.iloc[:1].assign(pro_lat=51.0)])},
            "row 7, column pro_name: the sheet profile has two rows for `P` that differ",
        ),
        ({"profile": PROFILES.assign(pro_peatland=[None, None, "swamp"])}, "row 7, column pro_peatland: expected yes"),
    ],
)
def test_what_is_wrong_in_a_template_is_named(tmp_path, change, said):
    path = written(tmp_path / "E.xlsx", **change)
    with pytest.raises(InputError) as error:
        read_templates([path])
    assert said in str(error.value) and str(error.value).startswith(str(path))


def test_a_file_that_is_no_workbook(tmp_path):
    (tmp_path / "E.xlsx").write_text("entry_name,site_name\n")
    with pytest.raises(InputError, match="not a readable Excel workbook"):
        templates(tmp_path)


def test_templates_in_a_data_folder(tmp_path, capsys):
    data = tmp_path / "data"
    write_template(data)
    before = read_inputs(data)
    sites = SITES.assign(site_lat=before.layers["lat"].iloc[0], site_long=before.layers["lon"].iloc[0])
    profiles = PROFILES.assign(pro_lat=None, pro_long=None)
    (data / "israd").mkdir(exist_ok=True)
    written(data / "israd" / "E.xlsx", site=sites, profile=profiles)
    after = read_inputs(data)
    assert len(after.layers) == len(before.layers) + 4 and "israd/E.xlsx" in after.files
    # Alone, without a table of layers, and in the folder itself.
    (data / "layers.csv").unlink()
    (data / "israd" / "E.xlsx").rename(data / "E.xlsx")
    (data / "israd").rmdir()
    assert read_inputs(data).layers["study"].tolist() == ["E"] * 4
    assert main(["check", "--data", str(data)]) == 0
    assert "radiocarbon layers (ISRaD template)" in capsys.readouterr().out
