"""How far a model is from the posterior of our maps: each score that compares fields has a posterior itself.

`difference` is model less map, member by member, (cell, member); `weight` the mapped land in each cell, (cell,).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..constants import INTERVAL

type Draws = NDArray[np.float64]
"""A score by member, (member,)."""

COVERAGES = {"coverage50": (0.25, 0.75), "coverage95": INTERVAL}


def bias(difference: NDArray, weight: NDArray) -> Draws:
    """Mean difference over the land."""
    return weight @ difference / weight.sum()


def rmse(difference: NDArray, weight: NDArray) -> Draws:
    """Root of the mean squared difference."""
    return np.sqrt(weight @ np.square(difference) / weight.sum())


def coverage(difference: NDArray, weight: NDArray) -> dict[str, float]:
    """Share of the land where the model lies inside the 50 and the 95 % interval of our posterior."""
    out = {}
    for name, levels in COVERAGES.items():
        low, high = np.quantile(difference, levels, axis=1)
        out[name] = float(weight @ ((low <= 0) & (high >= 0)) / weight.sum())
    return out


def ilamb_scores(difference: NDArray, reference: NDArray, weight: NDArray) -> dict[str, float]:
    """ILAMB's bias score, exp(−error / |mean|), of the error beyond one standard deviation of the posterior (Collier et
    al. 2018, with ilamb3's discount); and the same of the root mean squared error over members.
    """
    mean = np.abs(reference.mean(axis=1))
    known = (mean > 0) & (weight > 0)
    error = np.abs(difference.mean(axis=1)) - difference.std(axis=1)
    errors = {"bias_score": np.clip(error, 0, None), "rmse_score": np.sqrt(np.square(difference).mean(axis=1))}
    w = weight[known]
    return {name: float(w @ np.exp(-e[known] / mean[known]) / w.sum()) for name, e in errors.items()}


def pattern(model: NDArray, reference: NDArray, weight: NDArray) -> tuple[Draws, Draws]:
    """Correlation over the land, and standard deviation of the model over that of the map (Taylor 2001), by member.

    Parameters
    ----------
    model : ndarray
        Values of the model, (cell, member), or (cell, 1) without members.
    reference : ndarray
        Members of the map, (cell, member).
    """
    w = (weight / weight.sum())[:, None]
    x, r = (a - (w * a).sum(axis=0) for a in (model, reference))
    sx, sr = (np.sqrt((w * a**2).sum(axis=0)) for a in (x, r))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (w * x * r).sum(axis=0) / (sx * sr), sx / sr


def distribution_score(correlation: NDArray, ratio: NDArray) -> Draws:
    """ILAMB's score of the spatial distribution, 2 (1 + R) / (σ + 1/σ)² (Collier et al. 2018)."""
    return 2 * (1 + correlation) / (ratio + 1 / ratio) ** 2
