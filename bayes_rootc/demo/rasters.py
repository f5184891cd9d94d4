"""The demo world's geography: invented continents, relief, climate, soils and biomes, and the rasters that show them.

Every field is a function of the place, built from smooth random functions in space of which the sphere sees a cut: no
seam at 180°, no artefact at the poles, and the same world at every resolution.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from affine import Affine
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import spline_filter

from ..data.grid import MapGrid

Array = NDArray[np.float64]

NODATA = -9999.0
LAND_SHARE = 0.32
STENCIL_DEGREES = 1 / 3
"""Reach of slope, roughness and the like (20′): fixed, so that they do not change with the resolution."""

CELLS = 32
"""Cells along each side of a random lattice; a power of two."""

CHUNK = 40_000
"""Places evaluated at once: bounds the memory of fine worlds."""

WWF_CLASSES = (
    "boreal forests/taiga",
    "deserts and xeric shrublands",
    "flooded grasslands and savannas",
    "inland water",
    "mangroves",
    "Mediterranean forests, woodlands and scrub",
    "montane grasslands and shrublands",
    "rock and ice",
    "temperate broadleaf and mixed forests",
    "temperate conifer forests",
    "temperate grasslands, savannas and shrublands",
    "tropical and subtropical coniferous forests",
    "tropical and subtropical dry broadleaf forests",
    "tropical and subtropical grasslands, savannas and shrublands",
    "tropical and subtropical moist broadleaf forests",
    "tundra",
)

CLIMATE = {f"bio{i}": "degC" for i in (1, 2, 5, 6, 7, 8, 9, 10, 11)} | {"bio3": "%", "bio4": "degC * 100", "bio15": "%"}
CLIMATE |= {f"bio{i}": "mm" for i in (12, 13, 14, 16, 17, 18, 19)}
CLIMATE = {f"bio{i}": CLIMATE[f"bio{i}"] for i in range(1, 20)}
TEXTURE = {"clay": "%", "sand": "%", "silt": "%", "organic_carbon": "%", "ph_h2o": "1"}
WATER = {
    "water_holding_capacity_0_30cm": "mm m-1",
    "water_holding_capacity_30_150cm": "mm m-1",
    "percolation_0_30cm": "mm h-1",
    "percolation_30_150cm": "mm h-1",
    "available_water_capacity": "mm",
}
TOPOGRAPHY = {
    "elevation": "m",
    "slope": "degree",
    "northness": "1",
    "eastness": "1",
    "roughness": "m",
    "terrain_ruggedness": "m",
    "topographic_position": "m",
    "curvature": "m-1",
}


class SphereField:
    """A smooth random function on the sphere: octaves of spline-interpolated random lattices, each turned at random.

    Parameters
    ----------
    rng : Generator
        Source of the lattices.
    frequency : float
        Lattice cells per Earth radius in the first octave; it doubles with each.
    octaves : int
        How many.
    persistence : float
        Amplitude of an octave relative to the one before.
    """

    def __init__(self, rng: np.random.Generator, frequency: float, octaves: int, persistence: float = 0.5):
        self._octaves = []
        for i in range(octaves):
            lattice = spline_filter(rng.standard_normal((CELLS, CELLS, CELLS)), order=2, mode="grid-wrap")
            turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
            self._octaves.append((lattice, turn * frequency * 2**i, rng.uniform(0, CELLS, 3), persistence**i))
        # Mean 0 and variance 1 over the sphere, whatever grid is asked for later.
        values = self._sum(_SPREAD_PLACES)
        self._mean, self._sd = values.mean(), values.std()

    def __call__(self, xyz: Array, octaves: int | None = None) -> Array:
        """Values at places on the unit sphere, shape (n, 3) → (n,); without detail, by the first `octaves` only."""
        return (self._sum(xyz, octaves) - self._mean) / self._sd

    def _sum(self, xyz: Array, octaves: int | None = None) -> Array:
        total = np.zeros(len(xyz))
        for lattice, turn, shift, amplitude in self._octaves[:octaves]:
            _add_spline(total, lattice, xyz @ turn.T + shift, amplitude)
        return total


@njit(cache=True, nogil=True)
def _add_spline(total: Array, lattice: Array, places: Array, amplitude: float) -> None:
    """Adds a periodic quadratic spline at places (n, 3), in lattice cells: `scipy.ndimage.map_coordinates` of
    order 2, mode "grid-wrap", in a third of the time. A world has a thousand such sums.
    """
    last = lattice.shape[0] - 1  # cells per side are a power of two: a mask does for the remainder, and costs nothing
    for i in range(len(places)):
        weight, cell = np.empty((3, 3)), np.empty((3, 3), np.int64)
        for axis in range(3):
            nearest = np.floor(places[i, axis] + 0.5)
            t = places[i, axis] - nearest
            weight[axis, 0], weight[axis, 1], weight[axis, 2] = 0.5 * (0.5 - t) ** 2, 0.75 - t * t, 0.5 * (0.5 + t) ** 2
            for k in range(3):
                cell[axis, k] = (int(nearest) + k - 1) & last
        value = 0.0
        for j in range(3):
            for k in range(3):
                row = 0.0
                for m in range(3):
                    row += weight[2, m] * lattice[cell[0, j], cell[1, k], cell[2, m]]
                value += weight[0, j] * weight[1, k] * row
        total[i] += amplitude * value


class Geography:
    """The invented world of one seed: `land` and `at` give it at any places (degrees, shape (n,))."""

    def __init__(self, seed: np.random.SeedSequence):
        rngs = iter(np.random.default_rng(s) for s in seed.spawn(20))
        self._warp = [SphereField(next(rngs), 2.5, 2) for _ in range(3)]
        self._relief = SphereField(next(rngs), 1.25, 7, 0.55)
        self._broad = SphereField(next(rngs), 1.6, 3)
        self._ridge_line = SphereField(next(rngs), 1.5, 4, 0.45)
        self._ridge_where = SphereField(next(rngs), 1.8, 2)
        self._rugged = SphereField(next(rngs), 9.0, 4, 0.6)
        self._warmth, self._meander, self._rain, self._ecotone = (
            SphereField(next(rngs), f, 4) for f in (2.0, 1.5, 3.0, 8.0)
        )
        self._sandy, self._clayey, self._fertile = (SphereField(next(rngs), f, 5, 0.6) for f in (4.0, 5.0, 4.0))
        self._fields, self._lakes, self._surveyed = (SphereField(next(rngs), f, 4, 0.6) for f in (5.0, 14.0, 3.0))
        self._turn = np.ones(3)
        height = self._height(_SPREAD_PLACES)
        self._sea = np.quantile(height, 1 - LAND_SHARE)
        # North is where most land is, as on Earth: the maps of permafrost carbon are of the north.
        self._turn[2] = np.sign(_SPREAD_PLACES[height > self._sea, 2].sum())

    def land(self, lat: Array, lon: Array, margin: float = 0.0) -> NDArray[np.bool_]:
        """Where the land stands more than `margin` (standard deviations of the relief) above the sea."""
        return np.concatenate([self._height(c) - self._sea > margin for c in _chunks(_on_sphere(lat, lon))])

    def surveyed(self, lat: Array, lon: Array) -> Array:
        """A smooth field, mean 0 and sd 1: the standardised error of maps that derive from the truth."""
        return np.concatenate([self._surveyed(c) for c in _chunks(_on_sphere(lat, lon))])

    def at(self, lat: Array, lon: Array, *, topography: bool = False) -> dict[str, Array]:
        """Covariates by their names in the manifest, but those of carbon; `wwf_biome` counts `WWF_CLASSES` from 1."""
        parts = [
            self._at(*part, topography)
            for part in zip(_chunks(lat), _chunks(lon), _chunks(_on_sphere(lat, lon)), strict=True)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _at(self, lat: Array, lon: Array, xyz: Array, topography: bool) -> dict[str, Array]:
        elevation = self._elevation(xyz)
        months = self._months(lat, lon, xyz, elevation)
        temperature, out = months.temperature, bioclim(months)
        out["elevation"] = elevation
        # Rain over potential evapotranspiration (Holdridge: 58.93 mm for each degree of mean temperature between 0 and
        # 30).
        wetness = (
            out["bio12"] / (58.93 * np.clip(temperature, 0, 30).mean(axis=1) + 30) * np.exp(0.08 * self._ecotone(xyz))
        )
        out["wwf_biome"] = self._biome(xyz, out, temperature.max(axis=1), temperature.min(axis=1), wetness)
        out["cropland_fraction"] = self._cropland(xyz, out, wetness)
        out |= self._soil(xyz, out, wetness)
        if topography:
            out |= self._topography(lat, lon, elevation)
        return out

    def _height(self, xyz: Array) -> Array:
        """Relief in standard deviations; shifting the places about a little frays coasts into capes and bays."""
        xyz = xyz * self._turn
        warped = xyz + 0.12 * np.stack([w(xyz) for w in self._warp], axis=-1)
        return self._relief(warped) + 0.35 * self._broad(xyz)

    def _ridges(self, xyz: Array) -> Array:
        """0–1: mountain chains along some of the lines where a broad field changes sign."""
        xyz = xyz * self._turn
        return np.exp(-((self._ridge_line(xyz) / 0.22) ** 2)) * _step(self._ridge_where(xyz), -0.3, 1.0)

    def _elevation(self, xyz: Array) -> Array:
        height = np.maximum(self._height(xyz) - self._sea, 0)
        rugged = self._rugged(xyz)
        mountains = 3800 * self._ridges(xyz) * _step(height, 0, 0.5) * np.exp(0.35 * rugged - 0.1)
        return 330 * height**1.2 + 35 * np.minimum(height, 1) * np.abs(rugged) + mountains

    def _inland(self, xyz: Array) -> Array:
        """0 (open sea) to 1 (heart of a continent)."""
        xyz = xyz * self._turn
        return _step(self._relief(xyz, 3) + 0.35 * self._broad(xyz) - self._sea, -0.7, 1.1)

    def _months(self, lat: Array, lon: Array, xyz: Array, elevation: Array) -> Months:
        latitude, pole = lat[:, None], np.abs(lat)[:, None]
        july = np.cos(2 * np.pi * (np.arange(12) - 6) / 12)  # 1 in July, -1 in January
        summer = july * np.tanh(latitude / 8)
        inland = self._inland(xyz)[:, None]
        # The wind comes from the west in the middle latitudes and from the east in the trades.
        west, east = _on_sphere(lat, lon - 11), _on_sphere(lat, lon + 11)
        westerly = (1 + np.tanh((pole - 31) / 5)) / 2
        land_west, land_east = self._inland(west)[:, None], self._inland(east)[:, None]
        upwind_land = westerly * land_west + (1 - westerly) * land_east
        shadow = (
            westerly * self._ridges(_on_sphere(lat, lon - 4))[:, None]
            + (1 - westerly) * self._ridges(_on_sphere(lat, lon + 4))[:, None]
        )

        sine = np.sin(np.radians(pole))
        mean = 27.5 - 42 * sine**2.5 - 12 * _step(pole, 66, 84) + 1.5 * self._warmth(xyz)[:, None]
        swing = 25 * sine**1.2 * (0.35 + 0.8 * inland) * (1 - 0.35 * _step(pole, 68, 90))
        temperature = mean + swing * summer - 5.5e-3 * elevation[:, None]

        # The belts of rain meander, as monsoons and standing waves make them do.
        meander = 5 * self._meander(xyz)[:, None] * _step(90 - pole, 0, 30)
        latitude = latitude + meander
        pole = np.abs(latitude)
        rain_belt = 260 * np.exp(-(((latitude - 3 - 11 * july) / 9) ** 2)) * (1.15 - 0.55 * upwind_land)
        storms = 95 * np.exp(-(((pole - 47 - 10 * summer) / 14) ** 2)) * (1.25 - 1.0 * upwind_land)
        eastern_summer = 110 * np.clip(summer + 0.3, 0, None) * (1 - land_east) * np.exp(-(((pole - 29) / 13) ** 2))
        thunder = 45 * np.clip(summer, 0, None) * inland * np.exp(-(((pole - 47) / 17) ** 2))
        rain = (rain_belt + storms + eastern_summer + thunder + 5) * np.exp(0.28 * self._rain(xyz)[:, None])
        rain *= (1 + 0.5 * self._ridges(xyz)[:, None]) * (1 - 0.55 * shadow)
        rain *= np.minimum(1, np.exp(0.04 * (temperature - 5)))  # cold air holds little water
        day_range = 6 + 9 * np.exp(-rain.sum(axis=1) / 700) + 2 * inland[:, 0]
        return Months(temperature, rain, day_range)

    def _biome(self, xyz: Array, climate: dict[str, Array], warmest: Array, coldest: Array, wetness: Array) -> Array:
        """WWF class, 1–16, by thresholds of climate."""
        elevation, winter = climate["elevation"], climate["bio11"]
        ecotone = self._ecotone(xyz)
        winter_rain = climate["bio19"] / np.maximum(climate["bio18"] + climate["bio19"], 1)
        tropical = coldest > 14.5 + 0.7 * ecotone
        mild_seasons = climate["bio4"] < 750
        rules = {
            "rock and ice": warmest < 0.5,
            "inland water": (self._lakes(xyz) > 2.9) & (elevation < 700) & (wetness > 0.4),
            "montane grasslands and shrublands": (climate["bio10"] < 14)
            & mild_seasons
            & (elevation > 1500)
            & (wetness > 0.25),
            "tundra": climate["bio10"] < 9.5 + 0.5 * ecotone,
            "deserts and xeric shrublands": (wetness < 0.30) & (climate["bio1"] > -1),
            "mangroves": tropical & (elevation < 14) & (wetness > 0.8),
            "flooded grasslands and savannas": tropical & (elevation < 130) & (ecotone > 1.7),
            "tropical and subtropical moist broadleaf forests": tropical & (wetness > 0.88) & (climate["bio15"] < 85),
            "tropical and subtropical coniferous forests": tropical & (wetness > 0.75) & (elevation > 1300),
            "tropical and subtropical dry broadleaf forests": tropical & (wetness > 0.85),
            "tropical and subtropical grasslands, savannas and shrublands": tropical,
            "boreal forests/taiga": (climate["bio1"] < 2.5 + 0.5 * ecotone) & (wetness > 0.42),
            "Mediterranean forests, woodlands and scrub": (winter_rain > 0.52)
            & (winter > 2)
            & (climate["bio10"] > 18)
            & (wetness < 1),
            "temperate conifer forests": (wetness > 0.72) & ((elevation > 1000) | (ecotone > 1.3)),
            "temperate broadleaf and mixed forests": wetness > 0.72,
        }
        classes = [WWF_CLASSES.index(name) + 1.0 for name in rules]
        return np.select(
            list(rules.values()), classes, WWF_CLASSES.index("temperate grasslands, savannas and shrublands") + 1.0
        )

    def _cropland(self, xyz: Array, climate: dict[str, Array], wetness: Array) -> Array:
        """0–1: where it is neither cold, dry nor steep, and people happen to have settled."""
        comfort = np.exp(-(((climate["bio1"] - 15) / 9) ** 2) - (np.log(np.maximum(wetness, 0.01) / 0.75) / 0.6) ** 2)
        comfort *= 1 - _step(climate["elevation"], 600, 1800)
        return comfort / (1 + np.exp(-2.5 * (self._fields(xyz) + 0.15)))

    def _soil(self, xyz: Array, climate: dict[str, Array], wetness: Array) -> dict[str, Array]:
        warm, damp = climate["bio1"] / 30, np.clip(wetness, 0, 2)
        sandy, clayey, fertile = self._sandy(xyz), self._clayey(xyz), self._fertile(xyz)
        weights = np.exp(
            [0.75 + 0.55 * sandy - 0.15 * damp, 0.45 * clayey + 0.45 * warm - 0.25, 0.25 - 0.3 * warm + 0.2 * fertile]
        )
        sand, clay, silt = 100 * weights / weights.sum(axis=0)
        carbon = np.exp(0.1 + 0.45 * damp - 1.1 * warm + 0.3 * fertile + 0.012 * clay)
        storage = 60 + 2.1 * clay + 1.3 * silt - 0.3 * sand
        percolation = 0.4 * np.exp(0.045 * sand)
        return {
            "clay": clay,
            "sand": sand,
            "silt": silt,
            "organic_carbon": carbon,
            "ph_h2o": np.clip(7.9 - 1.6 * damp + 0.3 * sandy - 0.4 * fertile, 3.8, 9.5),
            "bulk_density": np.clip(1.5 - 0.1 * carbon + 0.0015 * sand, 0.5, 1.7),
            "carbon_nitrogen_ratio": np.clip(13 - 4 * warm + 1.2 * sandy, 9, 23),
            "water_holding_capacity_0_30cm": storage,
            "water_holding_capacity_30_150cm": storage * np.exp(0.1 * clayey),
            "percolation_0_30cm": percolation,
            "percolation_30_150cm": percolation * np.exp(-0.2 - 0.2 * clayey),
            "available_water_capacity": np.clip(1.5 * storage * np.exp(0.1 * fertile), 100, 900),
        }

    def _topography(self, lat: Array, lon: Array, centre: Array) -> dict[str, Array]:
        """Slope and the like from the eight places around each, about 37 km off."""
        step_m = np.radians(STENCIL_DEGREES) * 6.371e6
        xyz = _on_sphere(lat, lon)
        phi, lam = np.radians(lat), np.radians(lon)
        north = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)], axis=-1)
        east = np.stack([-np.sin(lam), np.cos(lam), np.zeros_like(lam)], axis=-1)
        around = {}
        for i, j in ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)):
            place = xyz + np.radians(STENCIL_DEGREES) * (i * north + j * east)
            around[i, j] = self._elevation(place / np.linalg.norm(place, axis=1, keepdims=True))
        neighbours = np.stack(list(around.values()))
        to_north, to_east = ((around[a] - around[b]) / (2 * step_m) for a, b in (((1, 0), (-1, 0)), ((0, 1), (0, -1))))
        gradient = np.hypot(to_north, to_east)
        everything = np.vstack([neighbours, centre])
        return {
            "slope": np.degrees(np.arctan(gradient)),
            "northness": -to_north / np.maximum(gradient, 1e-12),  # a slope that rises to the north faces south
            "eastness": -to_east / np.maximum(gradient, 1e-12),
            "roughness": everything.max(axis=0) - everything.min(axis=0),
            "terrain_ruggedness": np.abs(neighbours - centre).mean(axis=0),
            "topographic_position": centre - neighbours.mean(axis=0),
            "curvature": (around[1, 0] + around[-1, 0] + around[0, 1] + around[0, -1] - 4 * centre) / step_m**2,
        }


class Months(NamedTuple):
    """Climate of n places: monthly means of temperature (°C) and sums of rain (mm), (n, 12); the mean daily range of
    temperature (°C), (n,).
    """

    temperature: Array
    rain: Array
    day_range: Array


def bioclim(months: Months) -> dict[str, Array]:
    """The nineteen bioclimatic variables (O'Donnell & Ignizio 2012)."""
    temperature, rain, day_range = months
    highest, lowest = temperature + day_range[:, None] / 2, temperature - day_range[:, None] / 2
    quarter_t = np.mean([np.roll(temperature, -i, axis=1) for i in range(3)], axis=0)
    quarter_p = np.sum([np.roll(rain, -i, axis=1) for i in range(3)], axis=0)
    row = np.arange(len(rain))
    wettest, driest = quarter_p.argmax(axis=1), quarter_p.argmin(axis=1)
    warmest, coldest = quarter_t.argmax(axis=1), quarter_t.argmin(axis=1)
    spread = highest.max(axis=1) - lowest.min(axis=1)
    values = (
        temperature.mean(axis=1),
        day_range,
        100 * day_range / spread,
        100 * temperature.std(axis=1, ddof=1),
        highest.max(axis=1),
        lowest.min(axis=1),
        spread,
        quarter_t[row, wettest],
        quarter_t[row, driest],
        quarter_t[row, warmest],
        quarter_t[row, coldest],
        rain.sum(axis=1),
        rain.max(axis=1),
        rain.min(axis=1),
        100 * rain.std(axis=1, ddof=1) / (1 + rain.mean(axis=1)),
        quarter_p[row, wettest],
        quarter_p[row, driest],
        quarter_p[row, warmest],
        quarter_p[row, coldest],
    )
    return {f"bio{i}": value for i, value in enumerate(values, 1)}


@dataclass
class RasterFolder:
    """Writes GeoTIFFs (EPSG:4326, one band, deflate) and the manifest that describes them."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._entries: list[dict[str, Any]] = []

    def add(
        self,
        name: str,
        values: NDArray,
        transform: Affine,
        unit: str | tuple[str, ...],
        group: str,
        note: str = "",
    ) -> None:
        """One raster, shape (lat, lon), north up; NaN (class 0) is missing. Of classes, the unit is their names."""
        is_class = isinstance(unit, tuple)
        data = (
            np.nan_to_num(values).astype(np.uint8)
            if is_class
            else np.where(np.isnan(values), NODATA, values).astype(np.float32)
        )
        profile = {"driver": "GTiff", "count": 1, "crs": "EPSG:4326", "compress": "deflate", "transform": transform}
        profile |= {
            "height": data.shape[0],
            "width": data.shape[1],
            "dtype": data.dtype,
            "nodata": 0 if is_class else NODATA,
        }
        with rasterio.open(self.folder / f"{name}.tif", "w", **profile) as sink:
            sink.write(data, 1)
        entry = {
            "name": name,
            "path": f"{name}.tif",
            "role": group if group in ("npp", "stock") else "covariate",
            "group": group,
            "unit": "class" if is_class else unit,
            "source": "simulated",
            "note": note,
        }
        self._entries.append(entry | ({"categories": list(unit)} if is_class else {}))

    def write_manifest(self) -> None:
        """`manifest.toml`, in the order in which the rasters were added."""
        lines = [
            "# Gridded inputs of a simulated world, each on its own grid, EPSG:4326. role: covariate | npp | stock."
        ]
        for entry in self._entries:
            # a JSON string, or list of strings, is a TOML one too
            lines += ["", "[[raster]]", *(f"{key} = {json.dumps(value)}" for key, value in entry.items())]
        (self.folder / "manifest.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_geography(
    geography: Geography, sink: RasterFolder, resolution: float
) -> tuple[NDArray[np.bool_], dict[str, Array]]:
    """The rasters that do not depend on carbon, on three grids: as asked, twice as fine, and one that ends at 56° S.

    Flaws that real inputs have: soil maps on a finer grid with a coastline of their own, zero where there is no soil;
    bulk density without the far south.

    Returns
    -------
    land : ndarray of bool
        Cells of the finer grid that are land.
    values : dict of str to ndarray
        `Geography.at` for the cells of the asked grid that `touched_by_land` names.
    """
    grid, fine = MapGrid(resolution), MapGrid(resolution / 2)
    lat, lon = cell_centres(fine)
    land = geography.land(lat, lon)
    on_fine = geography.at(lat[land], lon[land])
    touched = touched_by_land(land.reshape(fine.shape), grid)
    lat, lon = (a[touched.ravel()] for a in cell_centres(grid))
    on_grid = geography.at(lat, lon, topography=True)

    def plain(name: str) -> Array:
        return spread(on_grid[name], touched)

    for name, unit in CLIMATE.items():
        sink.add(name, plain(name), grid.transform, unit, "climate")
    no_soil = np.isin(on_fine["wwf_biome"], [WWF_CLASSES.index("rock and ice") + 1])
    no_soil |= (on_fine["wwf_biome"] == WWF_CLASSES.index("deserts and xeric shrublands") + 1) & (on_fine["sand"] > 75)
    at = np.column_stack([a[land] for a in cell_centres(fine)])
    ashore = geography.land(at[:, 0], at[:, 1], margin=0.02)
    for name, unit in TEXTURE.items():
        values = np.where(ashore, np.where(no_soil, 0.0, on_fine[name]), np.nan)
        note = "0 where the ground is rock, ice or shifting sand; the coastline is a little inland of the others'"
        sink.add(name, spread(values, land.reshape(fine.shape)), fine.transform, unit, "soil", note=note)
    north, south = (round((90 - edge) / resolution) for edge in (84, -56))
    cut = Affine(resolution, 0, -180, 0, -resolution, 90 - north * resolution)
    sink.add("bulk_density", plain("bulk_density")[north:south], cut, "g cm-3", "soil", note="no data south of 56 S")
    sink.add("carbon_nitrogen_ratio", plain("carbon_nitrogen_ratio"), grid.transform, "1", "soil")
    for name, unit in WATER.items():
        sink.add(name, plain(name), grid.transform, unit, "soil")
    for name, unit in TOPOGRAPHY.items():
        sink.add(name, plain(name), grid.transform, unit, "topography", note="20 arc-minute relief")
    biome = spread(on_fine["wwf_biome"], land.reshape(fine.shape))
    sink.add("wwf_biome", biome, fine.transform, WWF_CLASSES, "biome")
    sink.add("cropland_fraction", plain("cropland_fraction"), grid.transform, "1", "biome")
    return land.reshape(fine.shape), on_grid


def touched_by_land(fine_land: NDArray[np.bool_], grid: MapGrid) -> NDArray[np.bool_]:
    """Cells of `grid` with land in any cell of another grid: no cell of a finer one is left without a value."""
    rows = np.arange(fine_land.shape[0]) * grid.shape[0] // fine_land.shape[0]
    cols = np.arange(fine_land.shape[1]) * grid.shape[1] // fine_land.shape[1]
    touched = np.zeros(grid.shape, bool)
    np.logical_or.at(touched, (rows[:, None], cols[None, :]), fine_land)
    return touched


_spread_index = np.arange(6000) + 0.5
_spread_z, _spread_turn = 1 - 2 * _spread_index / 6000, np.pi * (1 + np.sqrt(5)) * _spread_index
_SPREAD_PLACES = np.stack(
    [np.sqrt(1 - _spread_z**2) * np.cos(_spread_turn), np.sqrt(1 - _spread_z**2) * np.sin(_spread_turn), _spread_z],
    axis=-1,
)
"""Places evenly spread over the sphere (Fibonacci lattice), for means that no map grid biases."""


def _on_sphere(lat: Array, lon: Array) -> Array:
    phi, lam = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def _chunks(values: Array) -> list[Array]:
    return np.array_split(values, range(CHUNK, len(values), CHUNK))


def cell_centres(grid: MapGrid) -> tuple[Array, Array]:
    lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    return lat.ravel(), lon.ravel()


def spread(values: Array, mask: NDArray[np.bool_]) -> Array:
    """Values of the cells in `mask` on its grid, NaN elsewhere."""
    out = np.full(mask.shape, np.nan)
    out[mask] = values
    return out


def _step(x: Any, low: float, high: float) -> Any:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
