"""Columns judged as a whole: another unit is refused or doubted, the right one is not, whatever the soil."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.data.israd import read_layers
from bayes_rootc.data.npp import read_npp
from bayes_rootc.data.plausible import QUANTITIES, judge, without_codes
from bayes_rootc.data.roots import read_root_profiles
from bayes_rootc.data.tables import bare
from bayes_rootc.data.units import factor, radiocarbon_form, to_delta14c
from bayes_rootc.errors import InputError
from bayes_rootc.models.radiocarbon import LOG_K_RANGE
from bayes_rootc.models.radiocarbon import delta14c as radiocarbon_of

RNG = np.random.default_rng(29)
YEAR = 2005.5
N = 200


def soils(n: int = N) -> pd.DataFrame:
    """Layers of mineral soil with the radiocarbon of pools from decades to millennia."""
    depth = RNG.integers(0, 10, n) * 10.0
    k = np.exp(RNG.normal(np.log(1 / 150) - depth / 30, 0.8, n)).clip(*np.exp(LOG_K_RANGE))
    return pd.DataFrame(
        {
            "entry_name": "E",
            "site_name": [f"S{i}" for i in range(n)],
            "pro_name": "P",
            "lyr_name": "L",
            "pro_lat": 50.0,
            "pro_long": RNG.uniform(5, 15, n),
            "lyr_top": depth,
            "lyr_bot": depth + 10,
            "lyr_obs_date_y": 2005.0,
            "lyr_14c": radiocarbon_of(k, YEAR, "NHZone1").round(1),
            "lyr_14c_sigma": np.exp(RNG.normal(np.log(4), 0.4, n)).round(1),
            "lyr_c_org_filled": np.exp(RNG.normal(np.log(2.5) - depth / 40, 0.7, n)).clip(0.05, 15),
            "lyr_bd_samp_filled": RNG.normal(1.3, 0.2, n).clip(0.4, 1.9),
        }
    )


SOILS = soils()
FRACTION = (SOILS["lyr_14c"] / 1000 + 1) * np.exp((YEAR - 1950) / 8267)


def written(tmp_path, table: pd.DataFrame, name: str = "ISRaD_extra_flat_layer_x.csv"):
    path = tmp_path / name
    table.to_csv(path, index=False)
    return path


def test_soils_as_they_are_give_no_doubt(tmp_path):
    layers, check = read_layers(written(tmp_path, SOILS))
    assert check.doubts == {} and check.used == N and check.remarks.keys() == {"stock measured in the layer"}
    assert layers["delta14c"].tolist() == SOILS["lyr_14c"].tolist()


@pytest.mark.parametrize("rows", [1, 2, 5, N])
def test_few_soils_give_no_doubt_either(tmp_path, rows):
    _, check = read_layers(written(tmp_path, SOILS.iloc[:rows]))
    assert check.doubts == {}


AGE = -8033 * np.log(FRACTION)


@pytest.mark.parametrize(
    ("change", "column", "said"),
    [
        ({"lyr_14c": FRACTION, "lyr_14c_sigma": 0.004}, "lyr_14c", "fractions modern"),
        ({"lyr_14c": FRACTION}, "lyr_14c", "fractions modern"),
        ({"lyr_14c": 100 * FRACTION, "lyr_14c_sigma": 0.4}, "lyr_14c", "percent modern"),
        ({"lyr_14c": 100 * FRACTION}, "lyr_14c", "percent modern"),
        ({"lyr_14c": AGE.clip(50, 1900)}, "lyr_14c", "radiocarbon ages"),
        ({"lyr_14c_sigma": SOILS["lyr_14c_sigma"] * 100}, "lyr_14c_sigma", "where 1 to 10 is usual"),
        ({"lyr_top": SOILS["lyr_top"] / 100, "lyr_bot": SOILS["lyr_bot"] / 100}, "lyr_bot", "looks like m;"),
        ({"lyr_c_org_filled": SOILS["lyr_c_org_filled"].clip(2) * 10}, "lyr_c_org_filled", "g kg⁻¹"),
        ({"lyr_c_org_filled": SOILS["lyr_c_org_filled"] / 100}, "lyr_c_org_filled", "a fraction"),
        ({"lyr_bd_samp_filled": SOILS["lyr_bd_samp_filled"] * 1000}, "lyr_bd_samp_filled", "kg m⁻³"),
        ({"lyr_bd_samp_filled": SOILS["lyr_bd_samp_filled"] * 100}, "lyr_bd_samp_filled", "cg cm⁻³"),
    ],
)
def test_another_unit_is_refused_by_its_name(tmp_path, change, column, said):
    with pytest.raises(InputError) as error:
        read_layers(written(tmp_path, SOILS.assign(**change)))
    assert error.value.column == column and said in error.value.message


@pytest.mark.parametrize(
    ("change", "rows", "said"),
    [
        ({"lyr_14c": [106.05, 95.98], "lyr_14c_sigma": 0.4}, 2, "percent modern"),
        ({"lyr_14c": [1.06, 0.96]}, 2, "fractions modern"),
        ({"lyr_c_org_filled": [24.0, 9.0], "lyr_bd_samp_filled": [1.2, 1.4]}, 2, "g kg⁻¹"),
        ({"lyr_c_org_filled": SOILS["lyr_c_org_filled"] * 10}, N, "g kg⁻¹"),
        ({"lyr_14c_sigma": SOILS["lyr_14c_sigma"] / 10}, N, "percent modern carbon"),
        ({"lyr_14c": SOILS["lyr_14c"] / 10}, N, "is it in ‰?"),
    ],
)
def test_what_may_be_another_unit_is_a_doubt(tmp_path, change, rows, said):
    _, check = read_layers(written(tmp_path, SOILS.iloc[:rows].assign(**change)))
    assert any(said in doubt for doubt in check.doubts)


def test_one_fraction_modern_with_its_sigma_is_enough(tmp_path):
    """No laboratory measures Δ14C to 0.004 ‰."""
    with pytest.raises(InputError, match="fractions modern"):
        read_layers(written(tmp_path, SOILS.iloc[:1].assign(lyr_14c=1.0605, lyr_14c_sigma=0.004)))


@pytest.mark.parametrize(
    ("header", "scale", "column"),
    [
        ("lyr_bot [m]", 0.01, "lyr_bot"),
        ("lyr_bot (mm)", 10.0, "lyr_bot"),
        ("LYR_BOT", 1.0, "lyr_bot"),
        (" lyr_14c [permil] ", 1.0, "lyr_14c"),
        ("lyr_c_org_filled [g/kg]", 10.0, "lyr_c_org_filled"),
        ("lyr_bd_samp_filled [kg m-3]", 1000.0, "lyr_bd_samp_filled"),
    ],
)
def test_a_unit_in_the_header_is_converted(tmp_path, header, scale, column):
    plain, _ = read_layers(written(tmp_path, SOILS))
    table = SOILS.assign(**{column: SOILS[column] * scale}).rename(columns={column: header})
    stated, check = read_layers(written(tmp_path, table))
    pd.testing.assert_frame_equal(stated, plain, rtol=1e-9)
    assert check.doubts == {}


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"lyr_fraction_modern": FRACTION, "lyr_fraction_modern_sigma": 0.004}, {}),
        ({"lyr_14c": FRACTION, "lyr_14c_sigma": 0.004}, {"lyr_14c": "lyr_14c [F14C]"}),
        ({"lyr_14c": 100 * FRACTION, "lyr_14c_sigma": 0.4}, {"lyr_14c": "lyr_14c [pMC]"}),
        (
            {"lyr_14c": AGE, "lyr_14c_sigma": 0.004 / FRACTION * 8033},
            {"lyr_14c": "lyr_14c [yr BP]", "lyr_14c_sigma": "lyr_14c_sigma [yr BP]"},
        ),
    ],
)
def test_other_forms_of_radiocarbon_are_converted_with_the_year(tmp_path, columns, names):
    table = SOILS.drop(columns=["lyr_14c", "lyr_14c_sigma"]).assign(**columns).rename(columns=names)
    layers, check = read_layers(written(tmp_path, table))
    np.testing.assert_allclose(layers["delta14c"], SOILS["lyr_14c"], atol=1e-8)
    np.testing.assert_allclose(layers["sigma"], 4 * np.exp((1950 - YEAR) / 8267), rtol=1e-9)
    assert check.doubts == {} and sum("the year of sampling" in remark for remark in check.remarks) == 1


def test_without_any_radiocarbon_the_columns_are_named(tmp_path):
    with pytest.raises(InputError, match=r"lyr_14c .*lyr_fraction_modern"):
        read_layers(written(tmp_path, SOILS.drop(columns="lyr_14c")))


@pytest.mark.parametrize(
    ("column", "code", "rule"),
    [
        ("lyr_14c", -999.0, "no Δ14C"),
        ("lyr_14c", -9999.0, "no Δ14C"),
        ("lyr_14c", 1e20, "no Δ14C"),
        ("pro_lat", -9999.0, "no coordinates"),
        ("pro_lat", -99.0, "no coordinates"),
        ("lyr_top", -9999.0, "depth of top or bottom unknown"),
        ("lyr_bot", -99.0, "depth of top or bottom unknown"),
        ("lyr_obs_date_y", -9999.0, "year of sampling unknown"),
        ("lyr_obs_date_y", 9999.0, "year of sampling unknown"),
    ],
)
def test_codes_for_missing_values_are_missing(tmp_path, column, code, rule):
    table = SOILS.copy()
    table.loc[3, column] = code
    _, check = read_layers(written(tmp_path, table))
    assert check.dropped == {rule: 1}
    assert [n for remark, n in check.remarks.items() if remark.startswith(f"{column}: ")] == [1]


def test_a_code_that_the_quantity_may_have_is_a_value():
    values = pd.Series([-99.0, -9.99, 50.0])
    assert without_codes(values, "delta14c")[0].tolist() == values.tolist()
    assert without_codes(values, "carbon")[0].isna().tolist() == [True, True, False]


def test_a_sigma_that_copies_the_value_is_none(tmp_path):
    table = SOILS.iloc[:3].assign(lyr_14c=[60.5, -40.2, 85.0], lyr_14c_sigma=[60.5, -40.2, 85.0])
    layers, check = read_layers(written(tmp_path, table))
    assert layers["sigma"].tolist() == [5.0, 5.0, 5.0]
    assert check.remarks["σ equal to Δ14C itself: set to 5 ‰"] == 2


PRODUCTION = pd.DataFrame(
    {
        "lat": RNG.uniform(-50, 60, 80),
        "lon": RNG.uniform(-170, 170, 80),
        "ANPP_2": np.exp(RNG.normal(np.log(300), 0.6, 80)),
        "BNPP_1": np.exp(RNG.normal(np.log(160), 0.6, 80)),
    }
).assign(TNPP_1=lambda t: t["ANPP_2"] + t["BNPP_1"])


@pytest.mark.parametrize(
    ("scale", "unit"),
    [(0.01, "Mg ha⁻¹ yr⁻¹"), (1 / 365.25, "g m⁻² day⁻¹"), (0.001, "kg m⁻² yr⁻¹"), (10, "kg ha⁻¹ yr⁻¹"), (1000, "mg")],
)
def test_production_in_another_unit_is_refused_and_converted_where_it_is_stated(tmp_path, scale, unit):
    fluxes = ["ANPP_2", "BNPP_1", "TNPP_1"]
    other = PRODUCTION.assign(**{name: PRODUCTION[name] * scale for name in fluxes})
    written(tmp_path, other, "npp_peng2023.csv")
    with pytest.raises(InputError, match=f"looks like {unit}"):
        read_npp(tmp_path)
    stated = unit if unit != "mg" else "mg m-2 yr-1"
    written(tmp_path, other.rename(columns={name: f"{name} [{stated}]" for name in fluxes}), "npp_peng2023.csv")
    sites, _, checks = read_npp(tmp_path)
    np.testing.assert_allclose(np.sort(sites["bnpp"]), np.sort(PRODUCTION["BNPP_1"]) / 100, rtol=1e-9)
    assert checks[0].doubts == {}


def test_production_in_two_units_is_a_doubt(tmp_path):
    written(tmp_path, PRODUCTION.assign(BNPP_1=PRODUCTION["BNPP_1"] * 5), "npp_peng2023.csv")
    _, _, (check,) = read_npp(tmp_path)
    assert any("are the two in one unit?" in doubt for doubt in check.doubts)


ROOTS = pd.DataFrame(
    {
        "ID": [f"R{i}" for i in range(30)],
        "latitude": RNG.uniform(-50, 60, 30),
        "longitude": RNG.uniform(-170, 170, 30),
        "D50": np.exp(RNG.normal(np.log(0.13), 0.5, 30)),
    }
).assign(D95=lambda t: 5 * t["D50"], D50_extrapolated=np.nan, D95_extrapolated=-999.0)


def test_root_depths_in_other_units(tmp_path):
    plain, check = read_root_profiles(written(tmp_path, ROOTS))
    assert check.doubts == {}
    in_cm = ROOTS.assign(D50=100 * ROOTS["D50"], D95=100 * ROOTS["D95"])
    with pytest.raises(InputError, match=r"column D50: median .* m .* looks like cm"):
        read_root_profiles(written(tmp_path, in_cm))
    stated = in_cm.rename(columns={"D50": "D50 [cm]", "D95": "D95 [cm]"})
    pd.testing.assert_frame_equal(read_root_profiles(written(tmp_path, stated))[0], plain, rtol=1e-9)
    few = ROOTS.iloc[:2].assign(D50=[4.0, 5.0], D95=[18.0, 19.0])
    _, check = read_root_profiles(written(tmp_path, few))
    assert all("looks like cm" in doubt for doubt in check.doubts) and len(check.doubts) == 2


@pytest.mark.parametrize("quantity", [name for name, q in QUANTITIES.items() if q.usual])
def test_what_is_usual_is_never_doubted(quantity):
    low, high = QUANTITIES[quantity].usual
    for median in (low, np.sqrt(low * high), high):
        assert judge(np.full(9, median), quantity) is None


@pytest.mark.parametrize("quantity", [name for name, q in QUANTITIES.items() if q.usual])
def test_every_unit_that_is_known_leads_back_to_what_is_usual(quantity):
    known = QUANTITIES[quantity]
    assert known.usual[0] >= known.possible[0] and known.usual[1] <= known.possible[1]
    middle = np.sqrt(np.prod(known.usual))
    for name, ratio in known.other_units.items():
        doubt = judge(np.full(9, middle / ratio), quantity)
        assert doubt is not None and name in doubt.text


def test_units_are_understood_as_people_write_them():
    assert factor("t C/ha", "Mg ha-1") == factor("Mg C ha⁻¹", "Mg ha-1") == factor("tonnes/ha", "Mg ha-1") == 1
    assert factor("gC/m2/yr", "g m-2 yr-1") == factor("g C m^-2 y-1", "g m-2 yr-1") == 1
    assert factor("kg C m-2", "Mg ha-1") == 10 and factor("g/kg", "percent") == factor("mg g-1", "percent") == 0.1
    assert radiocarbon_form("pMC") == "percent_modern" and radiocarbon_form("cm") is None
    with pytest.raises(InputError, match="units `furlong`, expected such as can be brought to Mg ha-1"):
        factor("furlong", "Mg ha-1")
    assert bare(" Lyr 14C ") == "lyr_14c"


def test_a_radiocarbon_age_is_the_fraction_that_libby_would_have_had():
    value, sigma = to_delta14c([5568.0], [80.0], [1950.0], "radiocarbon_age")
    np.testing.assert_allclose(value, [-500], atol=0.05)  # Libby's half-life
    np.testing.assert_allclose(sigma, 1000 * 0.5 * 80 / 8033, rtol=1e-3)
