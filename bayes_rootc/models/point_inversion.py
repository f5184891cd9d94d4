r"""One decay rate of a layer, as the paper's Methods have it (eq. 1–6), with every other that fits as well.

A layer in steady state with the air of 1950 has :math:`A^{soil} = k / (k + \gamma) \cdot A^{input}` (eq. 2), so
:math:`k = \gamma A^{soil} / (A^{input} - A^{soil})` (eq. 3). From that state eq. 1 is integrated to the year of
sampling, and k is sought with which it arrives at the measured Δ14C. After the bomb tests two are often found: one so
slow that it has taken up little bomb carbon, one so fast that it has lost most of it again.

The paper does not say which of them it takes. We take the slowest. It is the one that eq. 3, the paper's start, leads
to: bomb carbon raises the Δ14C of every k, so the solution lies below the k of eq. 3, and the first one met on the way
down to it from k = 0 is the slowest. It is also the one that agrees with the age of mineral soil below the litter,
where carbon of a few years' age is rare. All of them are in the table, with the posterior of the layer next to them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize.elementwise import find_root

from ..constants import GAMMA
from ..data.atmosphere import Atmosphere, Prehistory
from .radiocarbon import LOG_K_RANGE, delta14c, predictions

NODES = 2001
"""Number of grid points of log k between which solutions are sought; two solutions within one step count as none."""

MAX_ROOTS = 3


def steady_k(activity: ArrayLike, activity_of_input: ArrayLike) -> NDArray[np.float64]:
    """Decay rate of a layer in steady state with its input, yr⁻¹ (paper, eq. 3); infinite where it has no less
    radiocarbon.

    Examples
    --------
    >>> 1 / steady_k(0.5, 1.0)
    np.float64(8267.0)
    """
    activity, air = np.asarray(activity, float), np.asarray(activity_of_input, float)
    less = air > activity
    return np.asarray(np.where(less, GAMMA * activity / np.where(less, air - activity, 1.0), np.inf))


def invert_points(
    measured: ArrayLike,
    year: ArrayLike,
    zone: ArrayLike,
    *,
    prehistory: Prehistory = "steady",
    atmosphere: Atmosphere | None = None,
) -> pd.DataFrame:
    """Every decay rate that gives the measured Δ14C, and the one that is taken.

    Parameters
    ----------
    measured : array-like, shape (n,)
        Δ14C, ‰.
    year : array-like, shape (n,)
        Sampling date, decimal year AD, 1950 or later.
    zone : array-like of str, shape (n,)
        Atmospheric zone.
    prehistory : {"steady", "intcal20"}
        State in 1950; the paper's is steady.
    atmosphere : Atmosphere, optional
        Curves to use instead of the packaged ones.

    Returns
    -------
    DataFrame
        `k` (yr⁻¹), the slowest that fits, and `age` = 1/k (yr); `roots`, the number of those that fit, and `k_1` …
        `k_3`, from the slowest on. Where none does, `roots` is 0 and `k` is the one that comes closest.

    Examples
    --------
    >>> found = invert_points([100.0, -300.0], [2000.0, 2000.0], ["NHZone1", "NHZone1"])
    >>> found["roots"].tolist(), found["age"].round(-1).tolist(), (1 / found["k_2"]).round().tolist()
    ([2, 1], [80.0, 3300.0], [2.0, nan])
    """
    atmosphere = atmosphere or Atmosphere.packaged()
    observed, years = np.atleast_1d(np.asarray(measured, float)), np.atleast_1d(np.asarray(year, float))
    zones = np.atleast_1d(np.asarray(zone, str))
    nodes = np.linspace(*LOG_K_RANGE, NODES)
    closest = np.empty(len(observed))
    found = [(np.empty(0, int), np.empty(0, int))]
    for rows, predicted in predictions(np.exp(nodes), years, zones, prehistory, atmosphere):
        away = predicted - observed[rows, None]
        closest[rows] = np.exp(nodes[np.abs(away).argmin(axis=1)])
        within, node = np.nonzero((away[:, :-1] < 0) != (away[:, 1:] < 0))
        found.append((rows[within], node))
    row, node = map(np.concatenate, zip(*found, strict=True))
    order = np.argsort(row, kind="stable")  # nodes of a row stay in order
    row, node = row[order], node[order]
    names, number = np.unique(zones, return_inverse=True)

    def misfit(log_k: NDArray, observed: NDArray, year: NDArray, number: NDArray) -> NDArray[np.float64]:
        return delta14c(np.exp(log_k), year, names[number.astype(int)], prehistory, atmosphere=atmosphere) - observed

    between, of_row = (nodes[node], nodes[node + 1]), (observed[row], years[row], number[row])
    roots = np.exp(find_root(misfit, between, args=of_row).x) if len(row) else np.empty(0)
    count = np.bincount(row, minlength=len(observed))
    place = np.arange(len(row)) - np.searchsorted(row, row)
    table = np.full((len(observed), MAX_ROOTS), np.nan)
    kept = place < MAX_ROOTS
    table[row[kept], place[kept]] = roots[kept]
    k = np.where(count > 0, table[:, 0], closest)
    columns: dict[str, Any] = {"k": k, "age": 1 / k, "roots": count}
    return pd.DataFrame(columns | {f"k_{i + 1}": table[:, i] for i in range(MAX_ROOTS)})
