"""Production at sites: which records are used, in which units, and how those of one place are averaged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.data.npp import MAX_NPP, read_npp
from bayes_rootc.errors import InputError

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
    assert len(sites) == 1 and (check.read, check.used) == (2, 1)
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


def test_production_of_peng_alone(tmp_path):
    """Rows without a total have that of above and below ground; places come sorted."""
    rows = {
        "lat": [45.0, -3.0],
        "lon": 5.0,
        "TNPP_1": [800.0, np.nan],
        "ANPP_2": [500.0, 300.0],
        "BNPP_1": [300.0, 100],
    }
    pd.DataFrame(rows).to_csv(tmp_path / "npp_peng2023.csv", index=False)
    sites, records, (check,) = read_npp(tmp_path)
    assert sites["lat"].tolist() == [-3.0, 45.0] and sites["id"].tolist() == ["npp-0001", "npp-0002"]
    np.testing.assert_allclose(sites[["bnpp", "npp", "f_bnpp"]], [[1.0, 4.0, 0.25], [3.0, 8.0, 0.375]])
    assert records["id"].tolist() == ["npp-0002", "npp-0001"]
    assert (check.read, check.used, check.dropped) == (2, 2, {})
    assert check.remarks == {"total production = above + below ground": 1}


def test_a_total_that_cannot_be_one_gives_no_share_but_the_record_stays(tmp_path):
    """Not above its belowground part, above any ecosystem, or with nothing known above ground."""
    totals = ({"NPP": 300.0}, {"NPP": 250.0}, {"NPP": MAX_NPP + 1}, {"NPP": np.nan, "ANPP": np.nan}, {"NPP": MAX_NPP})
    sites, records, (check,) = read_npp(npp(tmp_path, *totals))
    np.testing.assert_allclose(sites["f_bnpp"], [np.nan] * 4 + [300 / MAX_NPP])
    np.testing.assert_allclose(sites["npp"], [np.nan] * 4 + [MAX_NPP / 100])
    assert check.used == len(records) == 5 and [n for rule, n in check.remarks.items() if "no f_BNPP" in rule] == [4]


def test_a_record_of_both_compilations_is_the_same_to_a_tenth_of_a_degree_and_a_gram(tmp_path):
    npp(tmp_path, {}, {}, {})
    peng = pd.DataFrame({"lat": [45.04, 46.06, 47.0], "lon": 5.0, "BNPP_1": [300.2, 300.0, 301.0]})
    peng.assign(TNPP_1=800.0, ANPP_2=500.0).to_csv(tmp_path / "npp_peng2023.csv", index=False)
    _, _, (first, second) = read_npp(tmp_path)
    assert first.used == 3  # of these only the one at 45.04 is the record of SRDB at 45
    assert second.dropped == {"in an earlier source (same 0.1° and BNPP)": 1} and second.used == 2


def test_a_folder_without_either_compilation_says_what_it_expects(tmp_path):
    with pytest.raises(InputError, match=r"npp_peng2023\.csv or srdb-data\.csv"):
        read_npp(tmp_path)
