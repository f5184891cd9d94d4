"""Loaders of published tables: units, rules, and what they say of bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.data.israd import DEFAULT_SIGMA, read_layers
from bayes_rootc.data.npp import read_npp
from bayes_rootc.data.roots import read_root_profiles
from bayes_rootc.errors import InputError

LAYER = {
    "entry_name": "E",
    "site_name": "S",
    "pro_name": "P",
    "lyr_name": "L",
    "pro_lat": 50.0,
    "pro_long": 10.0,
    "lyr_top": 0.0,
    "lyr_bot": 10.0,
    "lyr_obs_date_y": 2005.0,
    "lyr_14c": 40.0,
    "lyr_14c_sigma": 4.0,
}


def layers(tmp_path, *changes, **extra):
    """A file with one row for each set of changes to a good layer; names and places differ, so that none is a
    duplicate.
    """
    rows = [
        LAYER | extra | {"lyr_name": f"L{i}", "pro_lat": 50.0 + i / 10} | change for i, change in enumerate(changes)
    ]
    path = tmp_path / "ISRaD_extra_flat_layer_test.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"lyr_14c": np.nan}, "no Δ14C"),
        ({"lyr_bot": np.inf}, "depth of top or bottom unknown"),
        ({"lyr_top": -5.0}, "organic layer above"),
        ({"lyr_bot": 0.0}, "bottom not below top"),
        ({"lyr_bot": 201.0}, "reaches below 200 cm"),
        ({"lyr_obs_date_y": np.nan}, "year of sampling unknown"),
        ({"lyr_obs_date_y": 1949.0}, "sampled before 1950"),
        ({"pro_peatland": "yes"}, "peatland"),
        ({"pro_usda_soil_order": "Histosols"}, "peatland"),
        ({"lyr_c_org_filled": 35.0}, "organic material"),
        ({"lyr_hzn": "Oa2"}, "organic material"),
        ({"pro_treatment": "treatment"}, "experimental treatment"),
        ({"pro_lat": 50.0}, "duplicate"),
    ],
)
def test_each_rule_drops_its_layer_and_no_other(tmp_path, change, rule):
    table, check = read_layers(layers(tmp_path, {}, change))
    assert table["id"].tolist() == ["E/S/P/L0"]
    assert [n for name, n in check.dropped.items() if rule in name] == [1]
    assert (check.read, check.used, sum(check.dropped.values())) == (2, 1, 1)


def test_missing_zero_and_absurd_sigma_take_the_default(tmp_path):
    table, check = read_layers(layers(tmp_path, *({"lyr_14c_sigma": s} for s in (np.nan, 0.0, 989.0, 7.5))))
    assert table["sigma"].tolist() == [DEFAULT_SIGMA] * 3 + [7.5]
    assert list(check.remarks.values()) == [3]


def test_radiocarbon_filled_in_by_the_database_is_used_where_measured_is_missing(tmp_path):
    table, _ = read_layers(layers(tmp_path, {"lyr_14c": np.nan, "lyr_14c_fill_extra": -87.0}))
    assert table["delta14c"].tolist() == [-87.0]


def test_stock_is_measured_or_carbon_times_density_and_impossible_ones_are_not_used(tmp_path):
    table, _ = read_layers(
        layers(
            tmp_path,
            {"lyr_soc_filled": 0.3},
            {"lyr_c_org_filled": 2.0, "lyr_bd_samp_filled": 1.2, "lyr_coarse_tot_filled": 25.0},
            {"lyr_soc_filled": 30.0},
            {"lyr_soc_filled": 30.0, "lyr_c_org_filled": 2.0, "lyr_bd_samp_filled": 1.2},
        )
    )
    # g cm⁻² x 100 = Mg ha⁻¹; 2 % x 1.2 g cm⁻³ x 10 cm x 0.75; 30 g cm⁻² in 10 cm is 3 g C cm⁻³
    np.testing.assert_allclose(table["stock_measured"], [30.0, 18.0, np.nan, 24.0])


def test_gridded_stock_integrates_the_mapped_profile(tmp_path):
    constant = {
        f"pro_{q}_{d}_cm_SG": v
        for q, v in {"corg": 4.0, "bd": 120.0, "coarse": 10.0}.items()
        for d in (0, 10, 30, 60, 100, 200)
    }
    table, _ = read_layers(layers(tmp_path, {}, {"lyr_top": 25.0, "lyr_bot": 130.0}, **constant))
    # 4 x 5 g kg⁻¹ = 2 %, 1.2 g cm⁻³, 0.9 fine: 2.16 Mg C ha⁻¹ per cm
    np.testing.assert_allclose(table["stock_gridded"], [21.6, 2.16 * 105])


def test_a_date_with_a_month_is_the_middle_of_it(tmp_path):
    table, _ = read_layers(layers(tmp_path, {"lyr_obs_date_m": 7.0}, {}))
    np.testing.assert_allclose(table["year"], [2005 + 6.5 / 12, 2005.5])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lyr_14c": 20000.0}, r"row 3, column lyr_14c: 20000 is outside \[-1000, 2000\] ‰"),
        ({"pro_lat": 95.0}, r"row 3, column pro_lat: 95 is outside \[-90, 90\] degrees"),
        ({"lyr_top": "ten"}, "row 3, column lyr_top: expected a number, found `ten`"),
        ({"lyr_name": None}, "row 3, column lyr_name"),
    ],
)
def test_bad_values_are_named_with_row_and_column(tmp_path, change, says):
    with pytest.raises(InputError, match=says):
        read_layers(layers(tmp_path, {}, change))


def test_a_missing_column_and_an_unreadable_file_are_named(tmp_path):
    path = layers(tmp_path, {})
    pd.read_csv(path).drop(columns="lyr_top").to_csv(path, index=False)
    with pytest.raises(InputError, match="the column lyr_top is missing"):
        read_layers(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="not a readable CSV"):
        read_layers(path)


SRDB = {
    "Latitude": 45.0,
    "Longitude": 5.0,
    "NPP": 800.0,
    "ANPP": 500.0,
    "BNPP": 300.0,
    "Quality_flag": None,
    "Manipulation": None,
    "Duplicate_record": None,
}


def npp(tmp_path, *changes):
    rows = [SRDB | {"Latitude": 45.0 + i} | change for i, change in enumerate(changes)]
    pd.DataFrame(rows).to_csv(tmp_path / "srdb-data.csv", index=False)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"BNPP": np.nan, "Longitude": 1250.0}, "no belowground production"),
        ({"Quality_flag": "Q03,Q13"}, "quality flag"),
        ({"Manipulation": "Fertilized"}, "manipulation"),
        ({"Duplicate_record": 2040}, "duplicate record"),
        ({"Latitude": np.nan}, "no coordinates"),
        ({"BNPP": 0.0}, "not > 0"),
        ({"BNPP": 4203.0}, "> 1500"),
        ({"Latitude": 45.0}, "same place and figures"),
    ],
)
def test_npp_rules(tmp_path, change, rule):
    sites, _, (check,) = read_npp(npp(tmp_path, {}, change))
    assert len(sites) == 1
    assert [n for name, n in check.dropped.items() if rule in name] == [1]


def test_npp_units_fractions_and_averages(tmp_path):
    sites, records, _ = read_npp(
        npp(
            tmp_path,
            {"Quality_flag": "Q01"},
            {"Latitude": 45.0, "BNPP": 500.0},
            {"NPP": np.nan},
            {"NPP": 250.0},
            {"Manipulation": "No-till"},
        )
    )
    assert sites["bnpp"].tolist() == pytest.approx(
        [4.0, 3.0, 3.0, 3.0]
    )  # g m⁻² → Mg ha⁻¹; the first two rows are one place
    assert sites["records"].tolist() == [2, 1, 1, 1]
    np.testing.assert_allclose(sites["f_bnpp"], [(300 / 800 + 500 / 800) / 2, 300 / 800, np.nan, 300 / 800])
    assert len(records) == 5 and sorted(records["bnpp"]) == pytest.approx([3.0, 3.0, 3.0, 3.0, 5.0])
    first = records[records["id"] == sites["id"][0]]
    assert sorted(first["f_bnpp"]) == pytest.approx([300 / 800, 500 / 800])


def test_npp_of_two_compilations_counts_a_shared_record_once(tmp_path):
    npp(tmp_path, {}, {})
    pd.DataFrame({"lat": [45.04], "lon": [5.0], "TNPP_1": [800.0], "ANPP_2": [500.0], "BNPP_1": [300.2]}).to_csv(
        tmp_path / "npp_peng2023.csv", index=False
    )
    sites, _, checks = read_npp(tmp_path)
    assert len(sites) == 2 and "in an earlier source (same 0.1° and BNPP)" in checks[1].dropped


ROOT = {
    "ID": "A",
    "latitude": 10.0,
    "longitude": 20.0,
    "D50": 0.1,
    "D95": 0.8,
    "D50_extrapolated": 0.15,
    "D95_extrapolated": 0.9,
}


def roots(tmp_path, *changes):
    path = tmp_path / "root_profiles_D50D95.csv"
    pd.DataFrame([ROOT | {"ID": f"A{i}", "latitude": 10.0 + i} | change for i, change in enumerate(changes)]).to_csv(
        path, index=False
    )
    return path


def test_root_depths_are_in_centimetres_and_extrapolated_ones_come_first(tmp_path):
    profiles, check = read_root_profiles(roots(tmp_path, {}, {"D95_extrapolated": -999.0}))
    np.testing.assert_allclose(profiles[["d50", "d95"]], [[15, 90], [10, 80]])
    assert list(check.remarks.values()) == [1]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"latitude": -999.0}, "no coordinates"),
        ({"D50": -999.0, "D50_extrapolated": -999.0}, "missing"),
        ({"D50_extrapolated": 0.0}, "not > 0"),
        ({"D95_extrapolated": 0.15}, "not below"),
        ({"latitude": 10.0}, "duplicate"),
    ],
)
def test_root_rules(tmp_path, change, rule):
    profiles, check = read_root_profiles(roots(tmp_path, {}, change))
    assert len(profiles) == 1 and [n for name, n in check.dropped.items() if rule in name] == [1]


def test_a_root_depth_in_centimetres_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"row 3, column D95: 90 is neither -999 \(missing\) nor in \[0, 20\] m"):
        read_root_profiles(roots(tmp_path, {}, {"D95": 90.0}))
