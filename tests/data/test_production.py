"""Records of production: which are used, in which units, of which biome, and that none is counted twice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.data.own_files import read_own_production
from bayes_rootc.data.production import CARBON, biome_of_vegetation, read_production
from bayes_rootc.errors import InputError

PENG = {"lat": 45.0, "lon": 5.0, "TNPP_1": 800.0, "ANPP_2": 500.0, "BNPP_1": 300.0, "Begin_year": 2000.0}
PENG |= {"End_year": 2002.0, "pft": "Forest", "references": "A 2001"}
SRDB = {"Latitude": 45.0, "Longitude": 5.0, "NPP": 800.0, "ANPP": 500.0, "BNPP": 300.0, "Study_midyear": 2001.0}
SRDB |= {"Ecosystem_type": "Grassland", "Study_number": 7, "Quality_flag": "Q01", "Manipulation": None}
SUN = {"Latitude": 45.0, "Longitude": 5.0, "Grassland type": "Typical steppe", "BNPP": 400.0, "ANPP": 200.0}
SUN |= {"TNPP": 600.0}
TABLES = {"npp_peng2023": (PENG, "lat"), "srdb-data": (SRDB, "Latitude"), "sun2022_grassland_bnpp": (SUN, "Latitude")}


def folder(tmp_path, **changes):
    """A folder with a table for each name: one good row, and one for each change, a degree apart."""
    for name, rows in changes.items():
        row, lat = TABLES[name.replace("srdb_data", "srdb-data")]
        table = [row | {lat: row[lat] + i} | change for i, change in enumerate(rows)]
        pd.DataFrame(table).to_csv(tmp_path / f"{name.replace('srdb_data', 'srdb-data')}.csv", index=False)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "change", "rule"),
    [
        ("srdb_data", {"NPP": None, "ANPP": None, "BNPP": None, "Longitude": 1250.0}, "no production"),
        ("srdb_data", {"Quality_flag": "Q03,Q13"}, "quality flag"),
        ("srdb_data", {"Manipulation": "Fertilized"}, "manipulation"),
        ("npp_peng2023", {"TNPP_1": None, "ANPP_2": None, "BNPP_1": 4203.0}, "neither npp, anpp nor bnpp"),
        ("npp_peng2023", {"lat": None}, "no coordinates"),
        ("npp_peng2023", {"lat": 45.0}, "same place and figures"),
        ("sun2022_grassland_bnpp", {"BNPP": 1600.0, "ANPP": 1400.0, "TNPP": 3000.0}, "standing roots"),
        ("sun2022_grassland_bnpp", {"ANPP": 50.0, "TNPP": 450.0}, "standing roots"),
    ],
)
def test_a_rule_drops_its_row_and_counts_it(tmp_path, name, change, rule):
    records, (check,) = read_production(folder(tmp_path, **{name: [{}, change]}))
    assert len(records) == 1 and (check.read, check.used) == (2, 1)
    assert [n for text, n in check.dropped.items() if rule in text] == [1]


def test_units_years_and_what_follows_from_a_total(tmp_path):
    changes = [{}, {"NPP": None}, {"BNPP": None}, {"NPP": 400.0}, {"ANPP": None, "BNPP": None}]
    srdb, (check,) = read_production(folder(tmp_path, srdb_data=changes))
    np.testing.assert_allclose(srdb["npp"], 8.0)  # g m⁻² → Mg ha⁻¹; a total below its parts is their sum
    np.testing.assert_allclose(srdb["bnpp"], [3.0, 3.0, 3.0, 3.0, np.nan])
    assert check.remarks["bnpp = npp - anpp"] == 1
    assert srdb["year"].unique().tolist() == [2001.0] and srdb["study"].unique().tolist() == ["SRDB 7"]


def test_dry_mass_becomes_carbon(tmp_path):
    records, _ = read_production(folder(tmp_path, sun2022_grassland_bnpp=[{}]))
    np.testing.assert_allclose(records[["npp", "anpp", "bnpp"]], [[6 * CARBON, 2 * CARBON, 4 * CARBON]])


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({}, True),
        ({"Latitude": 45.09, "BNPP": 301.0, "NPP": 801.0}, True),
        ({"Study_midyear": 2008.0}, False),
        ({"BNPP": 330.0, "NPP": 830.0}, False),
        ({"Latitude": 45.2}, False),
        ({"NPP": None, "ANPP": None}, True),
    ],
)
def test_a_record_of_two_compilations_counts_once(tmp_path, change, known):
    there = folder(tmp_path, npp_peng2023=[{}], srdb_data=[change])
    records, checks = read_production(there)
    assert len(records) == 2 - known and checks[1].used == 1 - known


@pytest.mark.parametrize(
    ("words", "natural", "lat", "biome"),
    [
        ("Forest", 4, 45.0, 3),
        ("Forest", 2, 5.0, 1),
        ("Forest", 7, 68.0, 6),
        ("Forest", 8, 20.0, 1),
        ("Grassland: Typical steppe", 8, 43.0, 4),
        ("Grassland: Desert steppe", 4, 42.0, 8),
        ("Grassland: Tundra", 6, 68.0, 7),
        ("Grassland: Alpine meadow", 3, 33.0, 5),
        ("Grassland: Dry savanna", 8, 15.0, 2),
        ("Agriculture", 3, 50.0, 9),
        ("Wetland", 3, 50.0, 0),
    ],
)
def test_the_biome_of_a_record_is_that_of_its_vegetation(words, natural, lat, biome):
    assert biome_of_vegetation([words], [natural], [lat]).tolist() == [biome]


def test_own_records_need_one_of_the_three(tmp_path):
    path = tmp_path / "production.csv"
    own = {
        "lat": [45.0, 46.0],
        "lon": 5.0,
        "anpp": [500.0, None],
        "sampling_depth [m]": [0.5, None],
        "method": ["cores", None],
    }
    pd.DataFrame(own).to_csv(path, index=False)
    records, (check,) = read_production(tmp_path, read_own_production(path, {}))
    assert records["sampling_depth"].tolist() == [50.0] and records["method"].tolist() == ["cores"]
    assert check.dropped == {"neither npp, anpp nor bnpp": 1}
    pd.DataFrame({"lat": [45.0], "lon": 5.0}).to_csv(path, index=False)
    with pytest.raises(InputError, match="npp, anpp, bnpp or one of them"):
        read_own_production(path, {})


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected npp_peng2023"):
        read_production(tmp_path)
