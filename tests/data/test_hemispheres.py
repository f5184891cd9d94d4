"""One curve a hemisphere."""

from __future__ import annotations

import numpy as np

from bayes_rootc.data.atmosphere import ATMOSPHERE_ZONES, Atmosphere, Curve
from bayes_rootc.data.hemispheres import two_hemispheres


def curve(years, value):
    return Curve(np.array(years, float), np.full(len(years), float(value)), np.ones(len(years)))


def test_each_zone_has_the_mean_of_its_hemisphere():
    north = [zone for zone in ATMOSPHERE_ZONES if zone.startswith("NH")]
    south = [zone for zone in ATMOSPHERE_ZONES if zone.startswith("SH")]
    years = {zone: [1950, 1960 + i, 2010] for i, zone in enumerate(ATMOSPHERE_ZONES)}
    values = {zone: 100.0 * i for i, zone in enumerate(ATMOSPHERE_ZONES)}
    air = Atmosphere({zone: curve(years[zone], values[zone]) for zone in ATMOSPHERE_ZONES})
    two = two_hemispheres(air)
    for zones in (north, south):
        want = np.mean([values[zone] for zone in zones])
        for zone in zones:
            np.testing.assert_allclose(two.bomb(zone).at([1950, 1961.5, 2009]), want)
    assert "mean of each hemisphere" in two.source


def test_years_that_a_zone_lacks_are_left_out():
    air = Atmosphere({zone: curve([1950, 2000 + 5 * i], 10) for i, zone in enumerate(ATMOSPHERE_ZONES)})
    shortest = min(2000 + 5 * i for i, zone in enumerate(ATMOSPHERE_ZONES) if zone.startswith("NH"))
    assert two_hemispheres(air).curves["NHZone1"].years[-1] == shortest
