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
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ..constants import BIOMES, LAYER_NAMES, LAYERS, PROFILE_NAME
from ..errors import InputWarning
from ..inference.sampling import summarise
from .forest import TILE, CompiledForest, Wanted
from .learners import Z95
from .monte_carlo import FLUXES, Statistics

BAND_DEGREES = 10
MG_PER_PG = 1e9
THICKNESS_CM = np.array([bottom - top for top, bottom in LAYERS], float)
STRIP = 128
"""Cells whose trees are summed at once: with 500 of them, 256 kB."""


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


class Classes(NamedTuple):
    """Which cells, or parts of cells, belong to which class.

    Attributes
    ----------
    unique : ndarray
        The classes, as in `Totals`, (class, 3).
    label : ndarray
        Number of the class of each part, (part,).
    cell : ndarray
        Cell that it is a part of, (part,).
    whole_ha, area_ha : ndarray
        Area of the cell, and of the part, (part,).
    """

    unique: NDArray[np.int64]
    label: NDArray[np.int64]
    cell: NDArray[np.int64]
    whole_ha: NDArray[np.float64]
    area_ha: NDArray[np.float64]

    @classmethod
    def of(cls, classes: NDArray[np.int64], cell: NDArray[np.int64], whole_ha: NDArray, share: NDArray) -> Classes:
        """Parts of cells, from the class of each, (part, 3), and the share of the cell that it is, 0 to 1."""
        unique, label = np.unique(classes, axis=0, return_inverse=True)
        return cls(unique, label, cell, whole_ha[cell], whole_ha[cell] * share)

    def times(self, share: NDArray[np.float64]) -> Classes:
        """The same with a share of each cell's area, (cell,)."""
        return self._replace(whole_ha=self.whole_ha * share[self.cell], area_ha=self.area_ha * share[self.cell])

    def merged(self, at: NDArray[np.int64]) -> Classes:
        """The same areas of fewer cells, as parts of themselves: `at` is which of them each cell is, (cell,)."""
        fewer = int(at.max()) + 1 if len(at) else 0
        pair, part = np.unique(self.label * fewer + at[self.cell], return_inverse=True)
        area = np.bincount(part, self.area_ha)
        return Classes(self.unique, pair // max(fewer, 1), pair % max(fewer, 1), area, area)

    def weight(self, cells: int) -> csr_matrix:
        """Area of each cell in each class, (class, cell), ha."""
        return csr_matrix((self.area_ha, (self.label, self.cell)), shape=(len(self.unique), cells))

    def sums(self, values: NDArray) -> NDArray[np.float64]:
        """Sums of values of parts, (part, …), by class."""
        out = np.zeros((len(self.unique), *values.shape[1:]))
        np.add.at(out, self.label, values)
        return out


def distinct(X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The rows that differ, in the order in which they come, and which of them each row is."""
    factor = np.random.default_rng(0).integers(0, 2**63, X.shape[1:], dtype=np.uint64)
    key = np.zeros(len(X), np.uint64)  # of rows that differ it differs, but for one pair in 2**33
    for column in range(X.shape[1]):  # one at a time, for memory
        key += np.ascontiguousarray(X[:, column]).view(np.uint32) * factor[column]
    first, label = np.unique(key, return_index=True, return_inverse=True)[1:]
    order = np.argsort(first)
    rows, at = X[first[order]], np.argsort(order)[label]
    alike = all((rows[at, column] == X[:, column]).all() for column in range(X.shape[1]))
    return (rows, at) if alike else (X, np.arange(len(X)))


class Flux(NamedTuple):
    """Mean and standard deviation of a log flux over the trees of its forest, (n,) or (n, 7), and sums of the members'
    fluxes by class, (class, 1 or 7, member).
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    sums: NDArray[np.float64]


class Trees(NamedTuple):
    """Trees of a log flux: their forest, the factor that stretches their deviations from their mean, and what is then
    added to it in each cell, (n,) or (n, 7).
    """

    forest: CompiledForest
    stretch: float
    log_factor: NDArray

    def flux(self, X: NDArray[np.float32], classes: Classes) -> Flux:
        """What the trees say of cells, from their predictors, (n, features): they are gone down once for all of it.

        Predictions of all trees, in single precision, are held for some cells at a time.
        """
        forest, layers = self.forest, self.log_factor.size // len(X)
        order = np.argsort(classes.label, kind="stable")  # sums run over neighbours
        cells, rows = classes.cell[order], forest.rows(X)
        area, label = classes.area_ha[order], classes.label[order]
        factor = self.log_factor.reshape(len(X), layers)
        if layers > 1:
            factor = factor + np.log(THICKNESS_CM)
        mean, sd = np.empty((2, len(X), layers))
        sums = np.zeros((len(classes.unique), layers, forest.nodes.trees))
        # One buffer for all tiles: the system would take as long to give a new one as the sums take.
        buffer = np.empty(layers * forest.nodes.trees * min(TILE, len(cells)), np.float32)
        for start in range(0, len(cells), TILE):
            part = slice(start, start + TILE)
            here = cells[part]
            kept = buffer[: layers * forest.nodes.trees * len(here)].reshape(layers, -1, len(here))
            forest._descend(np.ascontiguousarray(rows[here].T), forest.nodes.values, Wanted(kept=kept[None]))
            moments = np.empty((2, layers, len(here)))
            own = np.ascontiguousarray(factor[here].T)
            _kernel()(kept, self.stretch, own, area[part], label[part], moments, sums)
            mean[here], sd[here] = moments.transpose(0, 2, 1)
        shape = self.log_factor.shape
        return Flux(mean.reshape(shape), sd.reshape(shape), sums)


@cache
def _kernel() -> Any:
    """The compiled sums."""
    from numba import njit

    return njit(_sum_members, nogil=True, cache=True, fastmath=True, error_model="numpy")


def _sum_members(kept: Any, stretch: float, factor: Any, area: Any, label: Any, moments: Any, sums: Any) -> None:
    """Mean and standard deviation over trees, and sums of area · exp(mean + factor + stretch · (tree - mean)).

    Both passes take a strip of cells at a time, whose predictions then stay in the cache.

    Parameters
    ----------
    kept : ndarray
        Predictions, (layer, tree, cell).
    factor : ndarray
        (layer, cell).
    area, label : ndarray
        Area and class of each cell, ascending, (cell,).
    moments : ndarray
        Where mean and standard deviation go, (2, layer, cell).
    sums : ndarray
        Where sums are added, (class, layer, tree).
    """
    depth, trees, cells = kept.shape
    base, first, second, weight = np.empty(STRIP), np.empty(STRIP), np.empty(STRIP), np.empty(STRIP)
    for layer in range(depth):
        for start in range(0, cells, STRIP):
            n = min(STRIP, cells - start)
            for i in range(n):
                base[i], first[i], second[i] = kept[layer, 0, start + i], 0.0, 0.0
            for tree in range(trees):
                values = kept[layer, tree, start : start + n]
                for i in range(n):
                    deviation = values[i] - base[i]  # sums about such a value do not cancel
                    first[i] += deviation
                    second[i] += deviation * deviation
            for i in range(n):
                mean = first[i] / trees
                moments[1, layer, start + i] = np.sqrt(max(second[i] / trees - mean * mean, 0.0))
                moments[0, layer, start + i] = base[i] = base[i] + mean
                weight[i] = area[start + i] * np.exp(base[i] + factor[layer, start + i])
            begin = 0
            while begin < n:
                group, end = label[start + begin], begin + 1
                while end < n and label[start + end] == group:
                    end += 1
                middle, own = base[begin:end], weight[begin:end]
                for tree in range(trees):
                    values, total = kept[layer, tree, start + begin : start + end], 0.0
                    for i in range(end - begin):
                        # exp(256 x), which unlike `np.exp` runs on several numbers at once; right to 1e-9 up to 10
                        x = (values[i] - middle[i]) * (stretch / 256)
                        e = 1 + x * (1 + x * (1 / 2 + x * (1 / 6 + x * (1 / 24 + x * (1 / 120)))))
                        e *= e
                        e *= e
                        e *= e
                        e *= e
                        e *= e
                        e *= e
                        e *= e
                        e *= e
                        total += own[i] * e
                    sums[group, layer, tree] += total
                begin = end


def sum_cells(
    classes: Classes, iroot: NDArray[np.float64], ibulk: NDArray[np.float64], statistics: Statistics
) -> Totals:
    """Totals of some cells, or parts of cells.

    Parameters
    ----------
    classes : Classes
        What belongs together.
    iroot, ibulk : ndarray
        Sums of the members, (class, member) and (class, 7, member).
    statistics : Statistics
        Statistics of independent members of cells, (n, 8).
    """
    # Parts of a cell vary together: each has its share of the cell's variance, so that they add up to it.
    weights = {"mean": classes.area_ha, "variance": classes.area_ha * classes.whole_ha}
    mean, variance = (
        np.stack(
            [classes.sums(statistics[f"{flux}_{name}"][classes.cell] * weight[:, None]) for flux in FLUXES], axis=1
        )
        for name, weight in weights.items()
    )
    return Totals(classes.unique, classes.sums(classes.area_ha), iroot, ibulk, mean, variance)


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
