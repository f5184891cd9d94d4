"""Root profiles of Schenk & Jackson: which are used, in which units, and what is said of bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.data.roots import read_root_profiles
from bayes_rootc.errors import InputError

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
    assert check.remarks == {
        "D95_extrapolated: -999 stands for a missing value": 1,
        "no extrapolated depths: those of the sampled part": 1,
    }


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
    with pytest.raises(InputError, match=r"row 3, column D95: 90 is outside \[0, 20\] m"):
        read_root_profiles(roots(tmp_path, {}, {"D95": 90.0}))
