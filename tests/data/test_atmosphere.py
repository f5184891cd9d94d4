"""Curves: the packaged table, Hua-form files, zones, extrapolation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.data.atmosphere import ATMOSPHERE_ZONES, Atmosphere, Curve, joined_to_observations, zone_of
from bayes_rootc.errors import InputError
from bayes_rootc.models.radiocarbon import delta14c


def test_packaged_curves_have_the_bomb_peak_where_and_when_it_was():
    air = Atmosphere.packaged()
    peak = {zone: float(air.bomb(zone).years[np.argmax(air.bomb(zone).delta14c)]) for zone in ATMOSPHERE_ZONES}
    assert 1963 < peak["NHZone1"] < 1965 and 1964 < peak["SHZone1-2"] < 1967
    assert air.bomb("NHZone1").delta14c.max() > 800 > air.bomb("SHZone1-2").delta14c.max() > 550


def test_history_reaches_back_55_thousand_years_and_joins_1950():
    air = Atmosphere.packaged()
    for zone in ("NHZone1", "SHZone3"):
        history = air.history(zone)
        assert history.years[0] == 1950 - 55000 and history.years[-1] == 1950
        assert abs(history.delta14c[-1] - air.bomb(zone).delta14c[0]) < 6


def test_the_packaged_month_is_the_published_month(real_data):
    """A curve of annual means is 55 ‰ off for a pool of a year, and 8 ‰ for one of ten."""
    ours, theirs = Atmosphere.packaged(), Atmosphere.read(real_data / "atmosphere")
    years, pools = np.arange(1950, 2025, 1 / 12), np.array([[1.0], [0.1]])
    for zone in ATMOSPHERE_ZONES:
        first, second = (delta14c(pools, years, zone, "steady", atmosphere=air) for air in (ours, theirs))
        assert np.abs(first - second).max() < 0.05, zone


def test_observations_carry_the_north_on_and_the_south_with_growing_doubt():
    air = Atmosphere.packaged()
    assert air.bomb("NHZone1").at(2023.598) == -8.3
    assert air.bomb("NHZone1").at(2021.0) == pytest.approx(-3, abs=1.5)  # the line from 2019 said -5.9
    north, south = air.bomb("NHZone2"), air.bomb("SHZone3")
    assert south.at(2023.5) - north.at(2023.5) == pytest.approx(8.3, abs=0.1)  # as in 2014-19
    assert north.sd_at(2023.598) == pytest.approx(1.7, abs=0.1) and 4 < south.sd_at(2023.598) < 6
    assert air.bomb("NHZone1").years[-1] == pytest.approx(2043.75, abs=0.01)


def test_a_curve_that_ends_long_before_the_observations_is_not_joined():
    old = Curve(np.arange(1950.0, 2011.0), np.zeros(61), np.ones(61))
    assert joined_to_observations(old, "NHZone1") is old


def test_models_can_be_given_the_atmosphere_of_cmip6(tmp_path, real_data):
    air = Atmosphere.cmip6(real_data / "atmosphere" / "cmip6" / "graven2017_bands.csv")
    assert set(air.curves) == set(ATMOSPHERE_ZONES) and air.bomb("NHZone1").years[0] == 1950
    assert air.bomb("NHZone1").delta14c.max() > air.bomb("SHZone3").delta14c.max() > 600
    bad = tmp_path / "bands.csv"
    bad.write_text("Year.AD,NH,Tropics,SH\n1949.5,0,0,0\n1948.5,0,0,0\n")
    with pytest.raises(InputError, match=r"bands.csv, row 3, column Year.AD: years must increase"):
        Atmosphere.cmip6(bad)
    bad.write_text("Year.AD,NH,Tropics,SH\n1970.5,0,0,0\n1971.5,0,0,0\n")
    with pytest.raises(InputError, match="expected years from 1950 on"):
        Atmosphere.cmip6(bad)


def test_extrapolation_goes_on_with_the_trend_and_grows_uncertain():
    years = np.arange(1990.0, 2020.0)
    curve = Curve(years, 100 - 4.0 * (years - 1990), np.full(30, 1.0)).extrapolated()
    assert curve.at(2025.0) == pytest.approx(100 - 4.0 * 35)
    assert curve.sd_at(2029.0) == pytest.approx(1 + 10.0)


def test_zones_follow_latitude_and_the_rain_belt():
    assert zone_of([70, 30, 5, -8, -50], [10, 10, 10, 20, 10]).tolist() == [
        "NHZone1",
        "NHZone2",
        "NHZone3",
        "SHZone3",
        "SHZone1-2",
    ]
    assert zone_of(20.0, 80.0) == "NHZone3" and zone_of(20.0, -135.0) == "NHZone2"  # the monsoon reaches further north
    assert zone_of(0.0, 180.0) == zone_of(0.0, -180.0)


def hua(tmp_path, **changes):
    table = pd.DataFrame(
        {"zone": "NHZone1", "Year": [1950.0, 1990.0, 2019.0], "mean.Delta14C": [-20.0, 150.0, 1.0], "sd.Delta14C": 1.0}
    )
    for column, values in changes.items():
        table[column.replace("_", ".")] = values
    table.to_csv(tmp_path / "curve.csv", index=False)
    return tmp_path


def test_a_users_curve_replaces_its_zone_only(tmp_path):
    air = Atmosphere.read(hua(tmp_path))
    assert air.bomb("NHZone1").at(1990.0) == 150.0
    assert air.curves["NHZone2"] is Atmosphere.packaged().curves["NHZone2"]
    assert air.source == "curve.csv"


def test_empty_folder_is_the_packaged_atmosphere(tmp_path):
    assert "packaged" in Atmosphere.read(tmp_path).source


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"zone": "NHZone9"}, "NHZone9.*not a zone"),
        ({"Year": [1950.0, 1990.0, 1990.0]}, "row 4, column Year: years of NHZone1 must increase"),
        ({"mean_Delta14C": [-20.0, 1e9, 1.0]}, r"row 3, column mean.Delta14C: 1e\+09 ‰ is outside"),
        ({"sd_Delta14C": ["1", "x", "1"]}, "row 3, column sd.Delta14C: expected a number, found `x`"),
    ],
)
def test_bad_curves_are_named(tmp_path, changes, says):
    with pytest.raises(InputError, match=says):
        Atmosphere.read(hua(tmp_path, **changes))


def test_a_table_of_another_form_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="expected the columns zone, Year"):
        Atmosphere.read(tmp_path)


@pytest.mark.parametrize(
    ("lat", "lon", "said"),
    [
        (np.nan, 9, "latitude is nan; expected degrees from -90 to 90"),
        (95, 9, "latitude is 95"),
        ([10, -122.3], 47.6, "latitude is -122.3"),
        (10, 400, "longitude is 400; expected degrees from -180 to 360"),
        (np.ma.MaskedArray([10.0, 20.0], [False, True]), 9, "latitude is nan"),
    ],
)
def test_a_place_off_the_globe_has_no_zone(lat, lon, said):
    with pytest.raises(InputError, match=said):
        zone_of(lat, lon)


def flat(years, value):
    return Curve(np.array(years, float), np.full(len(years), float(value)), np.ones(len(years)))


def test_each_zone_has_the_mean_of_its_hemisphere():
    north = [zone for zone in ATMOSPHERE_ZONES if zone.startswith("NH")]
    south = [zone for zone in ATMOSPHERE_ZONES if zone.startswith("SH")]
    years = {zone: [1950, 1960 + i, 2010] for i, zone in enumerate(ATMOSPHERE_ZONES)}
    values = {zone: 100.0 * i for i, zone in enumerate(ATMOSPHERE_ZONES)}
    air = Atmosphere({zone: flat(years[zone], values[zone]) for zone in ATMOSPHERE_ZONES})
    two = air.by_hemisphere()
    for zones in (north, south):
        want = np.mean([values[zone] for zone in zones])
        for zone in zones:
            np.testing.assert_allclose(two.bomb(zone).at([1950, 1961.5, 2009]), want)
    assert "mean of each hemisphere" in two.source


def test_years_that_a_zone_lacks_are_left_out():
    air = Atmosphere({zone: flat([1950, 2000 + 5 * i], 10) for i, zone in enumerate(ATMOSPHERE_ZONES)})
    shortest = min(2000 + 5 * i for i, zone in enumerate(ATMOSPHERE_ZONES) if zone.startswith("NH"))
    assert air.by_hemisphere().curves["NHZone1"].years[-1] == shortest
