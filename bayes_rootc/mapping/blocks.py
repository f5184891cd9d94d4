"""Blocks of spatial validation, whose side is the range over which residuals are correlated, by their variogram.

Places nearer than that are no new places to a learner, and scores on them flatter it (Roberts et al. 2017, Ecography
40, 913-929; Valavi et al. 2019, Methods in Ecology and Evolution 10, 225-232).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares
from sklearn.metrics.pairwise import haversine_distances
from sklearn.model_selection import GroupKFold

from ..constants import EARTH_RADIUS_KM, KM_PER_DEGREE
from .learners import PosteriorForest, is_constant, response_of

EDGES_KM = np.concatenate([[0.0], np.geomspace(25.0, 3000.0, 16)])
"""Edges of the classes of distance. Farther apart than the last, places differ in climate, which learners know."""

CLASSES = ["distance_km", "semivariance", "pairs"]

MIN_PAIRS = 30
"""Least number of pairs of places for a class of distance to be used."""

MAX_PLACES = 3000
"""Maximum number of places in a variogram: enough to estimate it well; their pairs fill 70 MB."""

BLOCK_KM = (100.0, 1500.0)
"""Smallest and largest block that a variogram may ask for. Smaller ones hold a place or two; of larger ones there are
too few."""

DEFAULT_BLOCK_KM = 500.0
"""Side of blocks where there are too few places to estimate a range."""

FOLDS, TREES = 5, 100
"""Folds and trees of the forest whose residuals the variogram is made from."""


@dataclass(frozen=True)
class Variogram:
    """Half the mean squared difference of two places' residuals against their distance h, and the exponential model
    nugget + sill (1 - exp(-3 h / range)), which has 95 % of its sill at the range.

    Attributes
    ----------
    classes : DataFrame
        `distance_km` (mean), `semivariance`, `pairs`.
    range_km : float
        NaN where no class has MIN_PAIRS.
    """

    classes: pd.DataFrame
    nugget: float
    sill: float
    range_km: float

    @classmethod
    def fit(cls, lat: ArrayLike, lon: ArrayLike, residual: ArrayLike, *, seed: int = 0) -> Variogram:
        """Estimates the variogram of residuals (n,) at places (n,).

        Residuals at one place are averaged first, so that all pairs are between places. Semivariances are Cressie and
        Hawkins's (1980), which outliers move little; the model is fitted with Cressie's (1985) weights, pairs /
        semivariance².
        """
        table = pd.DataFrame({"lat": lat, "lon": lon, "residual": residual}, dtype=float)
        places = table.groupby(["lat", "lon"], as_index=False).mean()
        if len(places) > MAX_PLACES:
            places = places.sample(MAX_PLACES, random_state=seed)
        first, second = np.triu_indices(len(places), 1)
        radians = np.radians(places[["lat", "lon"]].to_numpy())
        distance = (EARTH_RADIUS_KM * haversine_distances(radians))[first, second]
        value = places["residual"].to_numpy()
        root = np.sqrt(np.abs(value[first] - value[second]))
        at = np.digitize(distance, EDGES_KM) - 1
        rows = []
        for k in range(len(EDGES_KM) - 1):
            here = at == k
            n = int(here.sum())
            if n >= MIN_PAIRS:
                semivariance = 0.5 * root[here].mean() ** 4 / (0.457 + 0.494 / n)
                rows.append({"distance_km": distance[here].mean(), "semivariance": semivariance, "pairs": n})
        classes = pd.DataFrame(rows, columns=CLASSES)
        if len(classes) < 4 or not classes["semivariance"].max() > 0:  # what does not vary has no range
            return cls(classes, np.nan, np.nan, np.nan)
        return _fit_model(classes)

    def model(self, distance_km: ArrayLike) -> NDArray[np.float64]:
        """Semivariance at distances, of their shape."""
        return self.nugget + self.sill * (1 - np.exp(-3 * np.asarray(distance_km) / self.range_km))

    @property
    def block_km(self) -> float:
        """Side of a block: the range, within BLOCK_KM, to 50 km, as it is not known better."""
        if not np.isfinite(self.range_km):
            return DEFAULT_BLOCK_KM
        return float(np.clip(50 * np.round(self.range_km / 50), *BLOCK_KM))


def _fit_model(classes: pd.DataFrame) -> Variogram:
    h, gamma, pairs = (classes[c].to_numpy(float) for c in ("distance_km", "semivariance", "pairs"))
    weight = np.sqrt(pairs / pairs.max())
    scale = gamma.max()

    def error(p: NDArray) -> NDArray:
        fitted = p[0] + p[1] * (1 - np.exp(-3 * h / np.exp(p[2])))
        return weight * (gamma / scale / fitted - 1)

    low, high = np.log(EDGES_KM[[1, -1]])
    starts = [np.array([0.5, 0.5, at]) for at in np.linspace(low, high, 5)[1:-1]]
    bounds = ([1e-3, 0.0, low], [2.0, 2.0, high])
    best = min((least_squares(error, start, bounds=bounds) for start in starts), key=lambda found: found.cost)
    nugget, sill, log_range = best.x
    return Variogram(classes, float(nugget * scale), float(sill * scale), float(np.exp(log_range)))


def residual_variogram(
    X: NDArray, y: NDArray, site: NDArray, lat: ArrayLike, lon: ArrayLike, *, seed: int
) -> Variogram:
    """Variogram of a forest's residuals on held-out sites.

    Parameters
    ----------
    X : ndarray
        (n, features), finite.
    y : ndarray
        Draws of the response, (n, draw).
    site : ndarray
        Labels of the sites, (n,).
    lat, lon : array-like
        Coordinates in degrees, (n,).
    """
    if len(np.unique(site)) < FOLDS or is_constant(y):
        return Variogram(pd.DataFrame(columns=CLASSES), np.nan, np.nan, np.nan)
    residual = np.empty(len(X))
    for known, held in GroupKFold(FOLDS, shuffle=True, random_state=seed).split(X, None, site):
        forest = PosteriorForest(TREES, random_state=seed).fit(X[known], response_of(y[known]), site[known])
        residual[held] = y[held].mean(axis=1) - forest.predict(X[held])
    return Variogram.fit(lat, lon, residual, seed=seed)


def spatial_blocks(lat: ArrayLike, lon: ArrayLike, side_km: float) -> NDArray[np.int64]:
    """Label of the block in which a place lies, (n,): bands of latitude, cut into squares of about `side_km`."""
    lat, lon = np.asarray(lat, float), np.asarray(lon, float)
    band = np.floor((lat + 90) * KM_PER_DEGREE / side_km)
    middle = np.clip((band + 0.5) * side_km / KM_PER_DEGREE - 90, -90, 90)
    column = np.floor((lon + 180) * KM_PER_DEGREE * np.cos(np.radians(middle)) / side_km)
    return (band * 100_000 + column).astype(np.int64)
