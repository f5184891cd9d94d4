"""Incubations and density fractions of ISRaD: which are used, and how they join their layers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.data.israd import DEFAULT_SIGMA, read_layers
from bayes_rootc.data.israd_fractions import read_fractions
from bayes_rootc.data.israd_incubations import USUAL_LENGTH, read_incubations
from bayes_rootc.errors import InputError

SOIL = {
    "entry_name": "E",
    "site_name": "S",
    "pro_name": "P",
    "lyr_name": "L",
    "pro_lat": 50.0,
    "pro_long": 10.0,
    "lyr_top": 0.0,
    "lyr_bot": 10.0,
    "lyr_obs_date_y": 2005.0,
    "lyr_obs_date_m": 7.0,
}
INCUBATION = SOIL | {"inc_type": "root-picked soil", "inc_14c": 80.0, "inc_14c_sigma": 3.0, "inc_duration": 14.0}
LIGHT = {"frc_scheme": "density", "frc_property": "free light", "frc_14c": 90.0, "frc_c_perc": 30.0}
HEAVY = {"frc_scheme": "density", "frc_property": "heavy", "frc_14c": -40.0, "frc_c_perc": 70.0}


def table(tmp_path, rows):
    path = tmp_path / "table.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"inc_14c": np.nan}, "no Δ14C"),
        ({"inc_analyte": "CH4"}, "gas other than CO₂"),
        ({"inc_type": "litter"}, "litter, roots"),
        ({"inc_type": "soil w/ live roots"}, "litter, roots"),
        ({"inc_anaerobic": "yes"}, "without oxygen"),
        ({"inc_14c": -992.0}, "not above -990"),
        ({"lyr_top": -5.0}, "organic layer above"),
        ({"pro_peatland": "yes"}, "peatland"),
        ({"pro_treatment": "treatment"}, "experimental treatment"),
    ],
)
def test_each_rule_drops_its_incubation_and_no_other(tmp_path, change, rule):
    found, check = read_incubations(table(tmp_path, [INCUBATION, INCUBATION | {"lyr_name": "M"} | change]))
    assert found["layer"].tolist() == ["E/S/P/L"]
    assert [n for name, n in check.dropped.items() if rule in name] == [1]
    assert (check.read, check.used) == (2, 1)


def test_an_incubation_has_the_year_of_its_layer_a_length_and_the_fate_of_its_roots(tmp_path):
    dead = INCUBATION | {"inc_type": "soil w/ dead roots", "inc_duration": np.nan, "inc_14c_sigma": 0.0}
    found, check = read_incubations(table(tmp_path, [INCUBATION, dead]))
    assert found["roots"].tolist() == ["picked", "dead"]
    assert found["length"].tolist() == [14.0, USUAL_LENGTH] and found["sigma"].tolist() == [3.0, DEFAULT_SIGMA]
    np.testing.assert_allclose(found["year"], 2005 + 6.5 / 12)
    assert sorted(check.remarks.values()) == [1, 1]


def test_a_bad_length_is_named_with_its_place(tmp_path):
    with pytest.raises(InputError, match=r"table.csv, row 3, column inc_duration: -3.* is outside \[0, 36525\] days"):
        read_incubations(table(tmp_path, [INCUBATION, INCUBATION | {"inc_duration": -3.0}]))


def test_light_and_heavy_carbon_are_means_weighted_by_carbon(tmp_path):
    occluded = LIGHT | {"frc_property": "occluded light", "frc_14c": 30.0, "frc_c_perc": 10.0}
    rows = [SOIL | part for part in (LIGHT | {"frc_14c_sigma": 2.0}, occluded, HEAVY | {"frc_c_perc": 60.0})]
    found, check = read_fractions(table(tmp_path, rows))
    assert found["layer"].tolist() == ["E/S/P/L"] and check.used == 3
    one = found.iloc[0]
    assert one["light"] == pytest.approx((3 * 90 + 30) / 4) and one["heavy"] == -40
    assert one["light_share"] == pytest.approx(0.4) and one["light_sigma"] == pytest.approx((3 * 2 + DEFAULT_SIGMA) / 4)


@pytest.mark.parametrize("shares", [(np.nan, 70.0), (30.0, 20.0), (0.0, 100.0)])
def test_parts_without_a_usable_share_are_kept_without_it(tmp_path, shares):
    rows = [SOIL | part | {"frc_c_perc": share} for part, share in zip((LIGHT, HEAVY), shares, strict=True)]
    found, _ = read_fractions(table(tmp_path, rows))
    assert np.isnan(found["light_share"][0]) and found[["light", "heavy"]].iloc[0].tolist() == [90.0, -40.0]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"frc_scheme": "chemical"}, "not a light or heavy fraction"),
        ({"frc_property": "roots"}, "not a light or heavy fraction"),
        ({"frc_14c": np.nan}, "no Δ14C of the fraction"),
        ({"lyr_bot": 250.0}, "reaches below"),
    ],
)
def test_a_layer_with_one_part_is_dropped(tmp_path, change, rule):
    below = {"lyr_name": "M", "lyr_top": 10.0, "lyr_bot": 20.0}
    rows = [SOIL | LIGHT, SOIL | HEAVY, SOIL | LIGHT | below, SOIL | HEAVY | below | change]
    found, check = read_fractions(table(tmp_path, rows))
    assert found["layer"].tolist() == ["E/S/P/L"]
    assert [n for name, n in check.dropped.items() if rule in name] == [1]
    assert check.dropped["light or heavy carbon of the layer only"] == 1


def test_the_numbers_of_the_real_tables(real_data):
    """934 incubations and 485 layers with both parts lie in mineral soil; the rules of the layers leave 805 and 447."""
    folder = real_data / "israd"
    jars, _ = read_incubations(next(folder.glob("*incubation*")))
    parts, _ = read_fractions(next(folder.glob("*fraction*")))
    layers, _ = read_layers(next(folder.glob("*layer*")))
    assert (len(jars), jars["profile"].nunique(), len(parts)) == (805, 334, 447)
    joined = jars.merge(layers[["id", "delta14c"]], left_on="layer", right_on="id")
    middle, apart = (joined["top"] + joined["bottom"]) / 2, joined["delta14c_x"] - joined["delta14c_y"]
    assert 20 < apart[middle < 10].median() < 40 and apart[middle > 60].median() > 200
