"""Totals over the land, by biome, latitude and zone, in which one member is one whole map.

Independent draws in every cell average out, and shrink the interval of a total to nothing: a tree errs over whole
regions at once, as the forest does. Member m is the map of tree m of both forests and draw m of the root shares; the
trees' deviations are stretched by the same calibration as the cells' intervals. For comparison, the tables also have
the intervals that independent draws would have given.

Cells, or the shares of them that lie in a zone, are gathered in classes, each of one biome, band of latitude and zone;
every total is a sum of classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..constants import BIOMES, LAYER_NAMES, LAYERS, PROFILE_NAME
from ..errors import InputWarning
from ..inference.sampling import summarise
from .forest import CompiledForest
from .learners import Z95
from .monte_carlo import FLUXES, Statistics

BAND_DEGREES = 10
MG_PER_PG = 1e9
THICKNESS_CM = np.array([bottom - top for top, bottom in LAYERS], float)


@dataclass(frozen=True)
class Totals:
    """Sums over the cells of each class, Mg C yr⁻¹.

    Attributes
    ----------
    classes : ndarray
        Biome (1–9), band of latitude (its southern edge, degrees) and zone (0: none), (class, 3).
    area_ha : ndarray
        Land of the class, (class,).
    iroot : ndarray
        I_root of the profile, by member, (class, member).
    ibulk : ndarray
        I_bulk of the seven layers, by member, (class, 7, member).
    mean, variance : ndarray
        Moments of sums of independent members, by flux and layer, the profile last, (class, 3, 8).
    """

    classes: NDArray[np.int64]
    area_ha: NDArray[np.float64]
    iroot: NDArray[np.float64]
    ibulk: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Iterable[Totals]) -> Totals:
        """Joins the classes of several parts of the land, in their order."""
        whole: Totals | None = None
        for part in parts:
            whole = part if whole is None else whole.plus(part)
        assert whole is not None
        return whole

    def plus(self, other: Totals) -> Totals:
        """Adds the sums of another part of the land."""
        classes, at = np.unique(np.concatenate([self.classes, other.classes]), axis=0, return_inverse=True)

        def added(a: NDArray, b: NDArray) -> NDArray[np.float64]:
            out = np.zeros((len(classes), *a.shape[1:]))
            np.add.at(out, at[: len(a)], a)
            np.add.at(out, at[len(a) :], b)
            return out

        names = ("area_ha", "iroot", "ibulk", "mean", "variance")
        return Totals(classes, *(added(getattr(self, n), getattr(other, n)) for n in names))

    def over(self, some: NDArray[np.bool_]) -> Totals:
        """Sums over some of the classes, given as a mask, (class,)."""
        arrays = {name: value[some] for name, value in vars(self).items()}
        return replace(self, **arrays)


class Trees(NamedTuple):
    """Trees of a log flux: their forest, their mean in cells, (n,) or (n, 7), the factor that stretches their
    deviations from it, and what is then added, of the same shape as the mean.
    """

    forest: CompiledForest
    mean: NDArray
    stretch: float
    log_factor: NDArray


def sum_cells(
    classes: NDArray[np.int64],
    area_ha: NDArray[np.float64],
    X: NDArray[np.float32],
    trees: tuple[Trees, Trees],
    statistics: Statistics,
    share: NDArray[np.float64],
) -> Totals:
    """Totals of some cells, or parts of cells.

    Parameters
    ----------
    classes : ndarray
        Class of each cell, as in `Totals`, (n, 3).
    area_ha : ndarray
        Area of each whole cell, (n,).
    X : ndarray
        Predictors, (n, features).
    trees : tuple of Trees
        Those of log I_root of the profile, and of log I_bulk per cm in the seven layers.
    statistics : Statistics
        Statistics of independent members, (n, 8).
    share : ndarray
        Share of each cell that counts, 0 to 1, (n,).
    """
    unique, label = np.unique(classes, axis=0, return_inverse=True)
    whole_ha, area_ha = area_ha, area_ha * share
    sums = []
    for (forest, mean, s, log_factor), unit in zip(trees, (np.ones(1), THICKNESS_CM), strict=True):
        # exp(mean + s (tree - mean)) = exp((1 - s) mean) exp(s tree)
        weight = (area_ha * np.exp((1 - s) * mean + log_factor).T).T * unit
        sums.append(forest.weighted_sums(X, weight, label, power=s))

    def by_class(values: NDArray) -> NDArray[np.float64]:
        out = np.zeros((len(unique), *values.shape[1:]))
        np.add.at(out, label, values)
        return out

    mean, variance = (
        np.stack([statistics[f"{flux}_{name}"] for flux in FLUXES], axis=1) for name in ("mean", "variance")
    )
    # Parts of a cell vary together: each has its share of the cell's variance, so that they add up to it.
    area = area_ha[:, None, None]
    independent = by_class(mean * area), by_class(variance * area * whole_ha[:, None, None])
    return Totals(unique, by_class(area_ha), sums[0][:, 0], sums[1], *independent)


def totals_tables(totals: Totals, fractions: NDArray, zones: list[str]) -> dict[str, pd.DataFrame]:
    """`map_totals` (by biome), `map_totals_latitude` and `map_totals_zones`: totals (Pg C yr⁻¹), area means
    (Mg C ha⁻¹ yr⁻¹) and the share lost, of each layer and the profile, with 95 % intervals, and with those that
    independent draws would have given.

    Parameters
    ----------
    fractions : ndarray
        Expected root shares, (draw, 9, 7).
    zones : list of str
        Names of the zones.
    """
    biome, band, zone = totals.classes.T
    everywhere = np.ones(len(biome), bool)
    named = {"biome": 0, "biome_name": "global"}
    by_biome = [(named, everywhere)] + [
        ({"biome": b, "biome_name": name}, biome == b) for b, name in BIOMES.items() if (biome == b).any()
    ]
    by_band = [({"south": int(b), "north": int(b) + BAND_DEGREES}, band == b) for b in np.unique(band)[::-1]]
    lost = [name for i, name in enumerate(zones, 1) if not (zone == i).any()]
    if lost:
        warnings.warn(
            f"zones without a mapped cell, and so without totals: {', '.join(lost[:10])}"
            + (f" and {len(lost) - 10} more" if len(lost) > 10 else "")
            + "; they lie off the map, or where it has no land",
            InputWarning,
            stacklevel=2,
        )
    by_zone = [({"zone": name}, zone == i) for i, name in enumerate(zones, 1) if (zone == i).any()]
    tables = {"map_totals": by_biome, "map_totals_latitude": by_band} | ({"map_totals_zones": by_zone} if zones else {})
    return {
        name: pd.DataFrame([first | row for first, some in rows for row in _rows(totals.over(some), fractions)])
        for name, rows in tables.items()
    }


def _rows(totals: Totals, fractions: NDArray) -> list[dict[str, object]]:
    """One row for each layer, the profile last."""
    members = np.arange(totals.iroot.shape[1])
    shares = fractions[members % len(fractions)][:, totals.classes[:, 0] - 1]  # (member, class, 7)
    root = np.einsum("cm,mcl->lm", totals.iroot, shares)
    bulk = totals.ibulk.sum(axis=0)[:, members % totals.ibulk.shape[2]]
    area, rows = float(totals.area_ha.sum()), []
    for layer, name in enumerate((*LAYER_NAMES, PROFILE_NAME)):
        i, b = (a.sum(axis=0) if name == PROFILE_NAME else a[layer] for a in (root, bulk))
        row: dict[str, object] = {"layer": name, "area_mha": area / 1e6}
        for number, (flux, draws) in enumerate({"iroot": i, "ibulk": b, "iloss": i - b}.items()):
            row |= {f"{flux}_pg_{key}": float(v) for key, v in summarise(draws / MG_PER_PG).items()}
            row |= {f"{flux}_mg_ha_{key}": float(v) for key, v in summarise(draws / area).items()}
            claimed = totals.mean[:, number, layer].sum() / MG_PER_PG
            half = Z95 * np.sqrt(max(float(totals.variance[:, number, layer].sum()), 0.0)) / MG_PER_PG
            row |= {f"{flux}_pg_independent_p025": claimed - half, f"{flux}_pg_independent_p975": claimed + half}
        rows.append(row | {f"share_{key}": float(v) for key, v in summarise(1 - b / i).items()})
    return rows
