"""Names and numbers that every part shares: layers, biomes, decay constant, units."""

from __future__ import annotations

import math

GAMMA = 1.0 / 8267.0
"""Decay rate of radiocarbon, yr⁻¹ (paper, eq. 1)."""

LAYERS: tuple[tuple[int, int], ...] = ((0, 20), (20, 40), (40, 60), (60, 80), (80, 100), (100, 150), (150, 200))
"""The seven standard layers, (top, bottom) in cm."""

LAYER_NAMES: tuple[str, ...] = tuple(f"{top}-{bottom}" for top, bottom in LAYERS)

PROFILE_NAME = "0-200"
"""The whole profile: the sum of the seven layers."""

PROFILE_DEPTH_CM = 200

BIOMES: dict[int, str] = {
    1: "tropical/subtropical forests",
    2: "tropical/subtropical grasslands/savannas",
    3: "temperate forests",
    4: "temperate grasslands",
    5: "Mediterranean/montane shrublands",
    6: "boreal forests",
    7: "tundra",
    8: "deserts",
    9: "croplands",
}
"""The nine biomes, in the paper's order."""

DEPTH_CLASSES = ((0, 10), (10, 30), (30, 60), (60, 100), (100, 200))
"""Depths (cm, by the middle of a layer) in which predictions of layers are scored."""

INTERVAL = (0.025, 0.975)
"""Bounds of every interval that we report: 95 %, equal tails."""

CF_FLUX_UNIT = "Mg ha-1 yr-1"
"""Unit of the fluxes in tables and maps, as CF writes it."""

G_M2_TO_MG_HA = 0.01
"""g m⁻² → Mg ha⁻¹ (a flux or a stock)."""

KG_M2_TO_MG_HA = 10.0
"""kg m⁻² → Mg ha⁻¹."""

G_CM2_TO_MG_HA = 100.0
"""g cm⁻² → Mg ha⁻¹."""

M_TO_CM = 100.0

DAYS_PER_YEAR = 365.25

EARTH_RADIUS_KM = 6371.0072
"""Radius of the sphere that has the area of the WGS 84 ellipsoid, so that areas of cells add up to the Earth's."""

KM_PER_DEGREE = EARTH_RADIUS_KM * math.pi / 180
"""Length of a degree of latitude."""

MAP_FOREST = "map forest"
"""Name, among the learners of `tables/learners.csv`, of the forests that make the maps."""
