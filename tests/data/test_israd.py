"""Radiocarbon layers of ISRaD: which are used, in which units, and what is said of bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.data.biomes import CROPLANDS, NOT_CROPLAND, UNSAID, biome_of_record
from bayes_rootc.data.israd import (
    DEFAULT_SIGMA,
    GRIDDED_DEPTHS,
    GRIDDED_STOCKS,
    MEASURED_STOCK_LOG_SD,
    read_layers,
)
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
        LAYER | extra | {"lyr_name": f"L{i}", "pro_lat": 50.0 + i / 1000} | change for i, change in enumerate(changes)
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


def test_a_layer_that_breaks_two_rules_is_counted_under_the_first(tmp_path):
    table, check = read_layers(
        layers(tmp_path, {}, {"lyr_14c": np.nan, "pro_peatland": "yes"}, {"pro_peatland": "yes"})
    )
    assert len(table) == 1 and check.dropped == {"no Δ14C": 1, "peatland": 1}


def test_missing_zero_and_absurd_sigma_take_the_default(tmp_path):
    table, check = read_layers(layers(tmp_path, *({"lyr_14c_sigma": s} for s in (np.nan, 0.0, 989.0, 7.5))))
    assert table["sigma"].tolist() == [DEFAULT_SIGMA] * 3 + [7.5]
    assert list(check.remarks.values()) == [3]


def test_layers_sampled_before_1950_are_used(tmp_path):
    table, check = read_layers(layers(tmp_path, {"lyr_obs_date_y": 1881.0}))
    assert table["year"].tolist() == [1881.5] and check.used == 1


def test_radiocarbon_filled_in_by_the_database_is_used_where_measured_is_missing(tmp_path):
    table, _ = read_layers(layers(tmp_path, {"lyr_14c": np.nan, "lyr_14c_fill_extra": -87.0}))
    assert table["delta14c"].tolist() == [-87.0]


def test_stock_is_measured_or_carbon_times_density_and_impossible_ones_are_not_used(tmp_path):
    table, _ = read_layers(
        layers(
            tmp_path,
            {"lyr_soc_filled": 0.3},
            {"lyr_c_org_filled": 2.0, "lyr_bd_samp_filled": 1.2, "lyr_coarse_tot": 25.0},
            {"lyr_soc_filled": 30.0},
            {"lyr_soc_filled": 30.0, "lyr_c_org_filled": 2.0, "lyr_bd_samp_filled": 1.2},
        )
    )
    # g cm⁻² x 100 = Mg ha⁻¹; 2 % x 1.2 g cm⁻³ of fine earth x 10 cm; 30 g cm⁻² in 10 cm is 3 g C cm⁻³
    np.testing.assert_allclose(table["stock_measured"], [30.0, 24.0, np.nan, 24.0])


@pytest.mark.parametrize("stones", [0.0, 12.0, 60.0])
def test_stones_are_taken_off_once_as_in_israd(tmp_path, stones):
    """ISRaD's own stock is that of the fine earth (help page of its function ISRaD.extra.Cstocks): carbon x density of
    the fine earth x thickness, where the density of the fine earth (`lyr_bd_samp`) is that of the whole soil
    (`lyr_bd_tot`) less the share of stones.
    """
    carbon, whole, thickness = 1.7, 1.5, 12.0
    fine_earth = whole * (1 - stones / 100)
    israd = carbon / 100 * fine_earth * thickness
    row = {"lyr_bot": thickness, "lyr_coarse_tot": stones}
    reported, own = (
        row | {"lyr_soc_filled": israd},
        row | {"lyr_c_org_filled": carbon, "lyr_bd_samp_filled": fine_earth},
    )
    table, _ = read_layers(layers(tmp_path, reported, own))
    np.testing.assert_allclose(table["stock_measured"], 100 * israd)
    assert table["coarse"].tolist() == [stones] * 2


def test_the_public_table_has_stocks_by_this_formula(real_data):
    """Where the studies reported none, so that ISRaD computed them, in layers with stones."""
    (path,) = (real_data / "israd").glob("ISRaD_extra_flat_layer_*")
    t = pd.read_csv(path, usecols=lambda name: name.startswith("lyr_"), low_memory=False)
    stony = t[t["lyr_soc"].isna() & (t["lyr_coarse_tot"] > 0) & t["lyr_soc_filled"].notna()]
    computed = stony["lyr_c_org_filled"] / 100 * stony["lyr_bd_samp_filled"] * (stony["lyr_bot"] - stony["lyr_top"])
    assert len(stony) > 100 and np.isclose(computed, stony["lyr_soc_filled"], rtol=1e-3).mean() > 0.95
    both = stony[stony["lyr_bd_tot"].notna() & stony["lyr_bd_samp"].isna()]
    fine = both["lyr_bd_tot"] * (1 - both["lyr_coarse_tot"] / 100)
    np.testing.assert_allclose(both["lyr_bd_samp_filled"], fine, rtol=1e-6)


def test_gridded_stones_and_stocks_of_the_seven_layers_are_those_of_the_mapped_profile(tmp_path):
    mapped = {
        f"pro_{q}_{d}_cm_SG": v
        for q, values in {"corg": [4.0] * 6, "bd": [120.0] * 6, "coarse": [0, 10, 20, 30, 40, 50]}.items()
        for d, v in zip(GRIDDED_DEPTHS, values, strict=True)
    }
    table, _ = read_layers(layers(tmp_path, {"lyr_bot": 10.0}, {"lyr_top": 20.0, "lyr_bot": 20.5}, **mapped))
    np.testing.assert_allclose(table["coarse_gridded"], [5.0, 15.125])
    # 2.4 Mg C ha⁻¹ per cm of fine earth, which is 1 - 0.05 on average in 0-10 cm and 1 - 0.125 in 10-20 cm
    np.testing.assert_allclose(table[GRIDDED_STOCKS[0]], 24.0 * (0.95 + 0.875))
    assert (table[GRIDDED_STOCKS].diff(axis=1).iloc[:, 1:3] < 0).all(axis=None)


def test_gridded_stock_integrates_the_mapped_profile(tmp_path):
    constant = {
        f"pro_{q}_{d}_cm_SG": v
        for q, v in {"corg": 4.0, "bd": 120.0, "coarse": 10.0}.items()
        for d in (0, 10, 30, 60, 100, 200)
    }
    table, _ = read_layers(layers(tmp_path, {}, {"lyr_top": 25.0, "lyr_bot": 130.0}, **constant))
    # 4 x 5 g kg⁻¹ = 2 %, 1.2 g cm⁻³, 0.9 fine: 2.16 Mg C ha⁻¹ per cm
    np.testing.assert_allclose(table["stock_gridded"], [21.6, 2.16 * 105])


def test_gridded_stock_is_the_integral_of_lines_between_the_mapped_depths(tmp_path):
    rng = np.random.default_rng(0)
    carbon, density, coarse = (rng.uniform(low, high, 6) for low, high in ((1, 9), (80, 160), (0, 40)))
    mapped = {
        f"pro_{q}_{d}_cm_SG": v
        for q, values in {"corg": carbon, "bd": density, "coarse": coarse}.items()
        for d, v in zip(GRIDDED_DEPTHS, values, strict=True)
    }
    bounds = [(0.0, 3.0), (3.0, 47.0), (47.0, 60.0), (60.0, 100.0), (100.0, 123.5), (123.5, 200.0), (0.0, 200.0)]
    table, _ = read_layers(layers(tmp_path, *({"lyr_top": a, "lyr_bot": b} for a, b in bounds), **mapped))
    # a unit of carbon is 5 g kg⁻¹, of bulk density 10 kg m⁻³; 1 kg m⁻³ is 0.1 Mg ha⁻¹ in a centimetre
    at_depth = (5e-3 * carbon) * (10 * density) * (1 - coarse / 100) * 0.1
    for (top, bottom), stock in zip(bounds, table["stock_gridded"], strict=True):
        knots = np.unique([top, bottom, *(d for d in GRIDDED_DEPTHS if top < d < bottom)])
        want = np.trapezoid(np.interp(knots, GRIDDED_DEPTHS, at_depth), knots)
        assert stock == pytest.approx(want, rel=1e-12), (top, bottom)
    assert table["stock_gridded"][:6].sum() == pytest.approx(table["stock_gridded"][6], rel=1e-12)


def test_a_fill_value_of_the_grid_is_no_stock(tmp_path):
    constant = {f"pro_{q}_{d}_cm_SG": 10.0 for q in ("corg", "bd", "coarse") for d in GRIDDED_DEPTHS}
    fills = [{"pro_bd_0_cm_SG": -1.0}, {"pro_corg_30_cm_SG": 32767.0}, {"pro_coarse_10_cm_SG": np.nan}, {}]
    table, _ = read_layers(layers(tmp_path, *(f | {"lyr_bot": 60.0} for f in fills), **constant))
    assert table["stock_gridded"].notna().tolist() == [False, False, False, True]


def test_the_error_of_a_measured_stock_is_the_reported_one_where_it_can_be_one(tmp_path):
    sigmas = (0.03, 0.001, 0.9, np.nan)  # of 0.3 g cm⁻²: 10 %, 0.3 %, 300 %, none
    table, _ = read_layers(layers(tmp_path, *({"lyr_soc_filled": 0.3, "lyr_soc_sigma": s} for s in sigmas)))
    np.testing.assert_allclose(table["stock_measured_log_sd"], [0.1, *[MEASURED_STOCK_LOG_SD] * 3])


def test_total_carbon_stands_for_organic_carbon_that_was_not_measured(tmp_path):
    carbon = [(1.5, 3.0), (np.nan, 3.0), (0.0, 3.0), (np.nan, np.nan)]
    rows = ({"lyr_c_org_filled": organic, "lyr_c_tot": total} for organic, total in carbon)
    table, _ = read_layers(layers(tmp_path, *rows))
    np.testing.assert_allclose(table["organic_carbon"], [1.5, 3.0, 3.0, np.nan])
    _, check = read_layers(layers(tmp_path, {}, {"lyr_c_tot": 25.0}))
    assert list(check.dropped.values()) == [1]  # organic by its total carbon


def test_a_horizon_is_known_by_its_master_letter_and_what_is_not_reported_is_unknown(tmp_path):
    names = {"2Bt1": "B", "Ap": "A", "E": "E", "3Cg": "C", "R": "unknown", "Csoil": "unknown", None: "unknown"}
    table, _ = read_layers(layers(tmp_path, *({"lyr_hzn": name} for name in names)))
    assert table["horizon"].tolist() == list(names.values())
    assert set(table["land_cover"]) == set(table["soil_order"]) == {"unknown"}
    table, _ = read_layers(layers(tmp_path, {"pro_land_cover": "forest", "pro_usda_soil_order": "Oxisols"}))
    assert table[["land_cover", "soil_order"]].to_numpy().tolist() == [["forest", "Oxisols"]]


def test_layers_of_one_name_keep_their_profile_and_get_names_of_their_own(tmp_path):
    rows = ({"lyr_name": "L", "lyr_top": top, "lyr_bot": top + 5} for top in (0.0, 5.0, 10.0))
    table, _ = read_layers(layers(tmp_path, *rows))
    assert table["id"].tolist() == ["E/S/P/L", "E/S/P/L#2", "E/S/P/L#3"] and set(table["profile"]) == {"E/S/P"}


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


@pytest.mark.parametrize(
    ("change", "dropped"),
    [
        *[({"pro_peatland": word}, "peatland") for word in ("Yes", "TRUE", "y", "1", " peat ")],
        *[
            ({"pro_usda_soil_order": word}, "peatland")
            for word in ("histosols", "Histosol", "HISTOSOLS", "Fibric Histosol")
        ],
        *[({"pro_treatment": word}, "experimental treatment") for word in ("Treatment", "fertilized", "N addition")],
    ],
)
def test_words_are_known_in_any_spelling(tmp_path, change, dropped):
    table, check = read_layers(layers(tmp_path, {}, change))
    assert len(table) == 1 and check.dropped == {dropped: 1}


@pytest.mark.parametrize("change", [{"pro_peatland": "No"}, {"pro_peatland": "FALSE"}, {"pro_treatment": "Control"}])
def test_no_in_any_spelling_drops_nothing(tmp_path, change):
    assert read_layers(layers(tmp_path, {}, change))[1].dropped == {}


def test_a_word_that_is_neither_yes_nor_no_is_refused(tmp_path):
    with pytest.raises(InputError, match="row 3, column pro_peatland: expected yes or no, found `maybe`"):
        read_layers(layers(tmp_path, {}, {"pro_peatland": "maybe"}))


def test_empty_rows_of_a_spreadsheet_are_passed_over_and_rows_keep_their_numbers(tmp_path):
    path = layers(tmp_path, {}, {})
    head, *rows = path.read_text().splitlines()
    commas = "," * head.count(",")
    path.write_text("\n".join([head, rows[0], commas, rows[1], commas, commas]) + "\n")
    assert read_layers(path)[1].used == 2
    path.write_text("\n".join([head, rows[0], commas, rows[1].replace("50.001", "95")]) + "\n")
    with pytest.raises(InputError, match="row 4, column pro_lat: 95"):
        read_layers(path)


def test_one_name_of_a_profile_at_two_places_is_two_profiles(tmp_path):
    table, check = read_layers(layers(tmp_path, {}, {"pro_lat": -33.9, "pro_long": 18.4}))
    assert table["profile"].tolist() == ["E/S/P@50.0,10.0", "E/S/P@-33.9,18.4"] and table["id"].is_unique
    assert check.remarks == {"a profile's name at several places: the place is added to it": 2}


def test_depths_are_counted_from_the_mineral_soil(tmp_path):
    rows = [
        {"lyr_top": 0.0, "lyr_bot": 8.0, "lyr_hzn": "Oa", "pro_lat": 50.0},
        {"lyr_top": 8.0, "lyr_bot": 20.0, "lyr_hzn": "A", "pro_lat": 50.0},
        {"lyr_top": 20.0, "lyr_bot": 40.0, "lyr_hzn": "Bw", "pro_lat": 50.0},
        {"lyr_top": 40.0, "lyr_bot": 45.0, "lyr_hzn": "2Ob", "pro_lat": 50.0},
    ]
    table, check = read_layers(layers(tmp_path, *rows))
    assert table[["top", "bottom"]].to_numpy().tolist() == [[0, 12], [12, 32]]
    assert check.remarks["depth counted from the organic horizon's surface: its thickness is taken off"] == 3


@pytest.mark.parametrize(
    "organic",
    [
        {"lyr_top": -8.0, "lyr_bot": 0.0},  # as ISRaD asks for
        {"lyr_top": 100.0, "lyr_bot": 110.0},  # buried
        {"lyr_top": 0.0, "lyr_bot": 15.0},  # not above the mineral layer
    ],
)
def test_other_organic_horizons_move_nothing(tmp_path, organic):
    rows = [organic | {"lyr_hzn": "Oe", "pro_lat": 50.0}, {"lyr_top": 10.0, "lyr_bot": 20.0, "pro_lat": 50.0}]
    table, _ = read_layers(layers(tmp_path, *rows))
    assert table["top"].tolist() == [10.0]


def test_croplands_are_those_of_the_record(tmp_path):
    """Cultivated land is croplands, other land is not, and the rasters count where the record says nothing."""
    covers = ["cultivated", " Cropland", "forest", "rangeland/grassland", "urban", None]
    table, _ = read_layers(layers(tmp_path, *({"pro_land_cover": cover} for cover in covers)))
    said = table["said_biome"].tolist()
    assert said == [CROPLANDS, CROPLANDS, NOT_CROPLAND, NOT_CROPLAND, UNSAID, UNSAID]
    assert biome_of_record(said, [3, 9, 9, 4, 9, 3], [3, 4, 4, 4, 4, 3]).tolist() == [9, 9, 4, 4, 9, 3]
    assert biome_of_record([NOT_CROPLAND, CROPLANDS], [0, 0], [0, 0]).tolist() == [0, 9]
