"""Tables of one's own: found by any name, refused by row and column."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.constants import BIOMES
from bayes_rootc.data.atmosphere import zone_of
from bayes_rootc.data.own_tables import OwnTable, covariate_groups, layer_table
from bayes_rootc.errors import InputError

LAYERS = pd.DataFrame(
    {
        "lat": [48.7, 48.7, -12.0],
        "lon": [9.2, 9.2, 130.0],
        "top": [0.0, 20.0, 0.0],
        "bottom": [20.0, 50.0, 10.0],
        "year": [2008.5, 2008.5, 1998.5],
        "delta14c": [85.0, -60.0, np.nan],
        "sigma": [4.0, 0.0, np.nan],
        "mat": [8.0, 8.0, 27.0],
    },
    index=["a", "b", "c"],
)


def made(table: pd.DataFrame = LAYERS, columns=None, measured: bool = True) -> pd.DataFrame:
    return layer_table(table, columns, ["mat"], measured=measured)


def test_layers_come_as_the_model_takes_them():
    own = made()
    assert own["id"].tolist() == ["a", "b", "c"] and own["profile_index"].tolist() == [0, 0, 1]
    assert own["zone"].tolist() == zone_of(LAYERS["lat"], LAYERS["lon"]).tolist()
    assert own["sigma"].tolist() == [4.0, 5.0, 5.0]  # 0 is no standard deviation
    assert np.isnan(own["delta14c"].iloc[2]) and own["mat"].tolist() == [8.0, 8.0, 27.0]


def test_names_may_differ():
    renamed = LAYERS.rename(columns={"top": "upper", "delta14c": "d14C", "lat": "Latitude"})
    pd.testing.assert_frame_equal(made(renamed, {"top": "upper", "delta14c": "d14C", "lat": "Latitude"}), made())


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"depth": "top"}, "columns: depth is not a column that is used; expected one of lat, lon, top"),
        ({"sigma": "error"}, "columns: the table has no column error for sigma; found lat, lon"),
    ],
)
def test_a_wrong_name_for_a_column_is_refused(columns, said):
    with pytest.raises(InputError) as error:
        made(columns=columns)
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"top": None}, "the table has no column top (upper depth of the layer, cm); found lat, lon, bottom"),
        ({"delta14c": None}, "the table has no column delta14c (Δ14C, ‰)"),
        ({"lat": None}, "the table has no column lat (latitude, degrees)"),
        ({"mat": None}, "the table has no column for the covariate mat; found lat"),
        ({"year": [2008.5, 1799.0, 1998.5]}, "row b of the table, column year: found `1799.0`, expected sampling date"),
        ({"year": [2008.5, np.nan, 1998.5]}, "row b of the table, column year: found an empty cell, expected sampling"),
        ({"top": ["0", "twenty", "0"]}, "row b of the table, column top: found `twenty`, expected a number"),
        ({"bottom": [20.0, 20.0, 10.0]}, "row b of the table: bottom (20 cm) is not below top (20 cm)"),
        (
            {"lon": [9.2, 9.2, 230.0]},
            "row c of the table, column lon: found `230.0`, expected longitude, degrees, from",
        ),
        ({"biome": [3, "tundra", "moon"]}, "row c of the table, column biome: found `moon`, expected a number or name"),
        (
            {"delta14c": [1.08, 0.95, 1.1]},
            "column delta14c: values from 0.95 to 1.1 look like fractions modern, not Δ14C in ‰",
        ),
        ({"delta14c": [np.nan] * 3}, "every cell of the column delta14c is empty"),
        ({"fraction_modern": [1.0] * 3}, "the table has delta14c and fraction_modern; expected one of them"),
        ({"mat": ["8", "warm", "27"]}, "row b of the table, column mat: found `warm`, expected a number"),
        ({"year": pd.to_datetime(["2008-07-01"] * 3)}, "row a of the table, column year: found `2008-07-01 00:00:00`"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(change, said):
    table = LAYERS.drop(columns=[name for name, value in change.items() if value is None])
    table = table.assign(**{name: value for name, value in change.items() if value is not None})
    with pytest.raises(InputError) as error:
        made(table)
    assert str(error.value).startswith(said), str(error.value)


@pytest.mark.parametrize(("form", "per_unit"), [("fraction_modern", 1.0), ("percent_modern", 100.0)])
def test_fractions_modern_become_the_delta14c_of_their_year(form, per_unit):
    """By the definition: Δ14C = (F e^((1950 - year)/8267) - 1) 1000 (Stuiver & Polach 1977)."""
    table = LAYERS.drop(columns="delta14c").assign(
        **{form: np.array([1.1, 0.9, 1.0]) * per_unit, "sigma": 0.004 * per_unit}
    )
    own = made(table)
    decay = np.exp((1950 - LAYERS["year"].to_numpy()) / 8267)
    np.testing.assert_allclose(own["delta14c"], 1000 * (np.array([1.1, 0.9, 1.0]) * decay - 1), rtol=1e-12)
    np.testing.assert_allclose(own["sigma"], 4 * decay, rtol=1e-12)


def test_biomes_by_number_by_name_or_none():
    both = LAYERS.assign(biome=[3.0, " Tundra", "9"])
    assert OwnTable(both).biome().tolist() == [3, 7, 9]
    assert made()["biome"].nunique() == 1
    assert OwnTable(LAYERS.assign(biome=list(BIOMES.values())[:3])).biome().tolist() == [1, 2, 3]


def test_a_profile_is_what_its_labels_say():
    numbered = LAYERS.assign(profile=[1, 2, 1], lat=48.7, lon=[9.2, 9.2, 9.21])
    assert made(numbered)["profile_index"].tolist() == [0, 1, 0]
    apart = LAYERS.assign(profile=1)  # one name in Germany and in Australia
    assert made(apart)["profile_index"].tolist() == [0, 0, 1]
    by_site = numbered.assign(site=["x", "x", "y"], profile=[1, 1, 1])
    assert made(by_site)["profile_index"].tolist() == [0, 0, 1]
    near = LAYERS.assign(lat=[48.70001, 48.70002, -12.0])  # a metre apart
    assert made(near)["profile_index"].tolist() == [0, 1, 2]
    nowhere = LAYERS.drop(columns=["lat", "lon"]).assign(zone="NHZone1")
    assert made(nowhere)["profile_index"].tolist() == [0, 1, 2]


def test_labels_of_the_index_may_repeat():
    again = LAYERS.set_axis(["a", "a", "b"])
    pd.testing.assert_frame_equal(made(again).drop(columns="id"), made().drop(columns="id"))
    assert made(again)["id"].tolist() == ["a", "a", "b"]


def test_radiocarbon_may_be_missing_where_it_is_predicted():
    assert made(LAYERS.drop(columns="delta14c"), measured=False)["delta14c"].isna().all()
    assert made(LAYERS.drop(columns="delta14c"), {"delta14c": "d14C"}, measured=False)["delta14c"].isna().all()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([1, 2], "expected a pandas DataFrame, found list"),
        (LAYERS.iloc[:0], "the table has no row"),
        (pd.concat([LAYERS, LAYERS[["lat"]]], axis=1), "the table has the column lat twice"),
    ],
)
def test_what_is_no_table_is_refused(table, said):
    with pytest.raises(InputError, match=said):
        OwnTable(table)


def test_covariates_are_one_group_or_several():
    assert covariate_groups(["mat", "map"]) == {"covariates": ["mat", "map"]}
    assert covariate_groups({"climate": ("mat",), "soil": ["clay"]}) == {"climate": ["mat"], "soil": ["clay"]}
    assert covariate_groups([]) == {}
    with pytest.raises(InputError, match="expected a list of names"):
        covariate_groups("mat")
