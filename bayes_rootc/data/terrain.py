r"""Attributes of the terrain from a raster of elevation, cell by cell from its 3 x 3 neighbourhood.

Cells are equal in degrees, not in metres: distances are those on the sphere at each row's latitude. With the elevation
:math:`z`, its derivatives eastwards :math:`p = z_x, r = z_{xx}` and northwards :math:`q = z_y, t = z_{yy}`, and
:math:`s = z_{xy}`:

- `slope`, degrees: :math:`\arctan\sqrt{p^2 + q^2}`, and `northness`, `eastness`: cosine and sine of the direction in
  which it falls, 0 where it is flat (gradients by Horn 1981, Proceedings of the IEEE 69, 14-47);
- `curvature`, m⁻¹: :math:`-(r + t)`, above 0 on tops; `profile_curvature`, along the fall line:
  :math:`-(p^2 r + 2pqs + q^2 t) / ((p^2 + q^2)(1 + p^2 + q^2)^{3/2})`, and `plan_curvature`, across it:
  :math:`-(q^2 r - 2pqs + p^2 t) / ((p^2 + q^2)(1 + p^2 + q^2)^{1/2})`, both 0 where it is flat (Evans 1980,
  Zeitschrift für Geomorphologie, Supplement 36, 274-295);
- `roughness`, m: highest less lowest of the nine cells; `terrain_ruggedness`, m: mean difference from the eight
  neighbours, without its sign; `topographic_position`, m: height above the mean of the eight (Wilson et al. 2007,
  Marine Geodesy 30, 3-35);
- `surface_relief_ratio`: (mean - lowest) / (highest - lowest) of the nine (Pike & Wilson 1971, Geological Society of
  America Bulletin 82, 1079-1084); `dissection`: the same of the cell itself (Evans 1972); both 1/2 where it is flat;
- `heat_load`: relative warmth of the slope, from its steepness, latitude and direction, folded so that it is most
  where it faces south-west (in the southern hemisphere north-west) (McCune & Keon 2002, Journal of Vegetation Science
  13, 603-606, eq. 3).

A neighbour without elevation, as at a coast, is taken to be as high as the cell.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..constants import EARTH_RADIUS_KM

TerrainAttribute = Literal[
    "slope",
    "northness",
    "eastness",
    "curvature",
    "profile_curvature",
    "plan_curvature",
    "roughness",
    "terrain_ruggedness",
    "topographic_position",
    "surface_relief_ratio",
    "dissection",
    "heat_load",
]
TERRAIN_ATTRIBUTES: tuple[TerrainAttribute, ...] = get_args(TerrainAttribute)


def terrain(
    attribute: TerrainAttribute, elevation: NDArray[np.floating], lat: NDArray[np.floating], cell: tuple[float, float]
) -> NDArray[np.float64]:
    """An attribute of the terrain.

    Parameters
    ----------
    attribute : str
        One of `TERRAIN_ATTRIBUTES`; the module says what each is.
    elevation : ndarray, shape (rows + 2, columns + 2)
        Elevation, m, from the north-west, with a margin of one cell on every side; NaN where there is none.
    lat : ndarray, shape (rows,)
        Latitude of the rows without the margin, degrees.
    cell : tuple of float
        Size of a cell in longitude and latitude, degrees.

    Returns
    -------
    ndarray, shape (rows, columns)
        NaN where the cell has no elevation.

    Examples
    --------
    A plane that rises by 1 m in 100 m northwards falls to the south:

    >>> north = np.arange(5.0)[::-1, None] * np.radians(0.1) * 6371e3 * np.ones(5)
    >>> lat = np.array([0.1, 0.0, -0.1])
    >>> terrain("slope", north / 100, lat, (0.1, 0.1)).round(2)[1, 1] == np.degrees(np.arctan(0.01)).round(2)
    np.True_
    >>> terrain("northness", north / 100, lat, (0.1, 0.1))[1, 1]
    np.float64(-1.0)
    """
    found = _of_neighbourhood(attribute, np.asarray(elevation, float), np.asarray(lat, float), cell)
    return np.where(np.isnan(elevation[1:-1, 1:-1]), np.nan, found)


def _of_neighbourhood(
    attribute: TerrainAttribute, elevation: NDArray[np.float64], lat: NDArray[np.float64], cell: tuple[float, float]
) -> NDArray[np.float64]:
    """The same; anything where the cell has no elevation."""
    centre = elevation[1:-1, 1:-1]
    rows, columns = centre.shape

    def at(down: int, right: int) -> NDArray[np.float64]:
        found = elevation[1 + down : 1 + down + rows, 1 + right : 1 + right + columns]
        return np.where(np.isnan(found), centre, found)

    around = [at(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    nw, n, ne, w, _, e, sw, s, se = around
    metres = EARTH_RADIUS_KM * 1000 * np.radians(cell[1])
    across = (EARTH_RADIUS_KM * 1000 * np.radians(cell[0]) * np.maximum(np.cos(np.radians(lat)), 1e-6))[:, None]
    zx = (ne + 2 * e + se - nw - 2 * w - sw) / (8 * across)
    zy = (nw + 2 * n + ne - sw - 2 * s - se) / (8 * metres)
    steep = zx**2 + zy**2
    flat = steep == 0

    def where_steep(value: NDArray[np.float64], by: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(flat, 0.0, value / np.where(flat, 1.0, by))

    if "curvature" in attribute:
        zxx, zyy = (e - 2 * centre + w) / across**2, (n - 2 * centre + s) / metres**2
        zxy = (ne - nw - se + sw) / (4 * across * metres)
    lowest, highest = np.minimum.reduce(around), np.maximum.reduce(around)
    relief = np.where(highest > lowest, highest - lowest, np.inf)
    match attribute:
        case "slope":
            return np.degrees(np.arctan(np.sqrt(steep)))
        case "northness":
            return where_steep(-zy, np.sqrt(steep))
        case "eastness":
            return where_steep(-zx, np.sqrt(steep))
        case "curvature":
            return -(zxx + zyy)
        case "profile_curvature":
            along = zx**2 * zxx + 2 * zx * zy * zxy + zy**2 * zyy
            return where_steep(-along, steep * (1 + steep) ** 1.5)
        case "plan_curvature":
            aside = zy**2 * zxx - 2 * zx * zy * zxy + zx**2 * zyy
            return where_steep(-aside, steep * np.sqrt(1 + steep))
        case "roughness":
            return highest - lowest
        case "terrain_ruggedness":
            return sum((abs(z - centre) for z in around), np.zeros_like(centre)) / 8
        case "topographic_position":
            return centre - (sum(around, np.zeros_like(centre)) - centre) / 8
        case "surface_relief_ratio":
            mean = sum(around, np.zeros_like(centre)) / 9
            return np.where(np.isinf(relief), 0.5, (mean - lowest) / relief)
        case "dissection":
            return np.where(np.isinf(relief), 0.5, (centre - lowest) / relief)
        case "heat_load":
            return _heat_load(np.arctan(np.sqrt(steep)), np.arctan2(-zx, -zy), np.radians(lat)[:, None])
        case _:
            raise ValueError(f"{attribute} is not one of {', '.join(TERRAIN_ATTRIBUTES)}")


def _heat_load(
    slope: NDArray[np.float64], aspect: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Slope, aspect (clockwise from north) and latitude in radians."""
    warmest = np.where(lat >= 0, np.radians(225), np.radians(315))
    folded = abs(np.pi - abs(aspect % (2 * np.pi) - warmest))
    lat = abs(lat)
    return (
        0.339
        + 0.808 * np.cos(lat) * np.cos(slope)
        - 0.196 * np.sin(lat) * np.sin(slope)
        - 0.482 * np.cos(folded) * np.sin(slope)
    )
