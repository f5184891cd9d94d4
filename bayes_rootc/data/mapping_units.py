"""Rasters of mapping units and the tables of what is in them, as HWSD, WISE30sec and STATSGO are published.

A cell holds the number of a mapping unit, and the table the properties of its soils, layer by layer. Numbers of units
are looked up, never averaged or interpolated: a site has the soil of the unit it lies in, a cell of a map that of the
unit at its centre. The property of a unit over an interval of depth follows from five rules:

1. Empty cells of the table, and the `missing` codes of the entry, count as missing.
2. A unit whose soil is one of `no_soil` (rock, ice, water, towns) has no property at all; where several soils share a
   unit, those without soil are left out.
3. The value is the mean of the layers that have one, weighted by how much of the interval each takes up (and by the
   share of its soil); where a soil ends within the interval, it is the mean of the part above.
4. A soil that ends above the interval has the value of its lowest layer that has one.
5. A class is the one that takes up most of the interval (or of the unit); other spellings of a class are joined
   (`same`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..constants import LAYER_NAMES
from ..errors import InputError
from .manifest import Attribute, CarbonDensity, Units
from .tables import HEADER_ROWS, SourceCheck, names_found, numbers, read_header, readable, shown

SOIL_MAP_STOCKS = [f"stock_map_{name}" for name in LAYER_NAMES]
"""Columns in tables of records for the soil map's stocks of the seven layers at the site, Mg C ha⁻¹."""


@dataclass
class UnitTable:
    """The attribute table of a `[[units]]` entry. It is read when the first attribute is looked up.

    Parameters
    ----------
    entry : Units
        The entry of the manifest.
    folder : Path
        The folder of the manifest.

    Raises
    ------
    InputError
        The table is missing, or lacks a column that the entry names.
    """

    entry: Units
    folder: Path

    def __post_init__(self) -> None:
        self._found: dict[str, NDArray[np.float32]] = {}
        self._coded: set[int] = set()
        self._shallow: set[int] = set()
        self._unknown: set[int] = set()
        header = read_header(self.path)
        for key in ("join", "top", "bottom", "share", "soil"):
            self._has(getattr(self.entry, key), key, header)
        for key, column in self.entry.stock or ():
            self._has(column, key, header)

    @property
    def path(self) -> Path:
        """The table's file."""
        return self.folder / self.entry.table

    @property
    def asked(self) -> bool:
        """Whether any attribute has been looked up."""
        return bool(self._found)

    def check(self, attribute: Attribute) -> None:
        """Refuses an attribute whose column is not in the table."""
        self._has(attribute.column, f"column of {attribute.name}", read_header(self.path))

    def values(self, attribute: Attribute) -> NDArray[np.float32]:
        """The attribute of each unit, (unit + 1,), NaN where it has none. The last value, for cells without a
        unit, is NaN too.

        A class is its number in `categories`.
        """
        if attribute.name not in self._found:
            if attribute.categories:
                found = self._classes(attribute)
            else:
                carbon = isinstance(attribute, CarbonDensity)
                values = self._carbon_density() if carbon else self._numbers(attribute.column, attribute.missing)
                found = self._mean(values, *(attribute.depth or (0.0, 1.0)))
            self._found[attribute.name] = np.append(found, np.nan).astype(np.float32)
        return self._found[attribute.name]

    def positions(self, cells: np.ma.MaskedArray) -> NDArray[np.unsignedinteger]:
        """Position in `values` of the unit of each cell of the raster; the last one where it has none, or one that is
        not in the table.
        """
        there, known = np.ma.getdata(cells).astype(np.int64), ~np.ma.getmaskarray(cells)
        at = np.searchsorted(self.numbers, there)
        unknown = self.numbers[np.minimum(at, len(self.numbers) - 1)] != there
        self._unknown.update(np.unique(there[unknown & known]).tolist())
        at[unknown | ~known] = len(self.numbers)
        return at.astype(np.min_scalar_type(len(self.numbers)))

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """Numbers of the units, in order."""
        return np.unique(self._rows["unit"].to_numpy(np.int64))

    def source_check(self) -> SourceCheck:
        """How many units each rule above was applied to, for the attributes that have been looked up."""
        text, entry = self._text, self.entry
        joined = text[entry.soil].str.strip().isin(list(entry.same)) if entry.soil else np.zeros(len(text), bool)
        check = SourceCheck(f"mapping units {self.entry.name}", str(self.path), len(self.numbers), len(self.numbers))
        none = len(self.numbers) - self._rows.loc[self._rows["soil"], "unit"].nunique()
        if none:
            check.dropped[f"no soil ({', '.join(entry.no_soil)})"] = none
            check.used -= none
        remarks = {
            f"a code for a missing value ({', '.join(f'{code:g}' for code in entry.missing)}, …)": len(self._coded),
            f"another spelling of a class ({', '.join(f'{a} = {b}' for a, b in entry.same.items())})": self._rows.loc[
                joined, "unit"
            ].nunique(),
            "a soil that ends above an interval, whose lowest layer stands for it": len(self._shallow),
            "numbers of the raster that are not in the table, and no value": len(self._unknown),
        }
        check.remarks = {rule: number for rule, number in remarks.items() if number}
        return check

    def _has(self, column: str | None, key: str, header: list[str]) -> None:
        if column is None:
            return
        if column not in header:
            raise InputError(f"the {key} column {shown(column)} is missing; {names_found(header)}", file=self.path)
        if header.count(column) > 1:
            raise InputError("the column is there twice", file=self.path, column=column)

    @cached_property
    def _text(self) -> pd.DataFrame:
        with readable(self.path):
            table = pd.read_csv(self.path, dtype=str, index_col=False, keep_default_na=False)
        if table.empty:
            raise InputError("expected at least one row", file=self.path)
        return table

    @cached_property
    def _rows(self) -> pd.DataFrame:
        """`unit`, `top`, `bottom` (cm; 0 and 1 for a table without depths), `share`, whether it is `soil`."""
        entry = self.entry
        rows = pd.DataFrame({"unit": self._required(entry.join)})
        fraction = rows["unit"] % 1 != 0
        if fraction.any():
            self._refuse(fraction, entry.join, "a whole number")
        rows["top"] = self._required(entry.top) if entry.top else 0.0
        rows["bottom"] = self._required(entry.bottom) if entry.bottom else 1.0
        wrong = (rows["top"] < 0) | (rows["bottom"] <= rows["top"])
        if entry.bottom and wrong.any():
            self._refuse(wrong, entry.bottom, f"a depth below {entry.top}, cm")
        rows["share"] = self._required(entry.share) if entry.share else 1.0
        if entry.share and (rows["share"] < 0).any():
            self._refuse(rows["share"] < 0, entry.share, "a share of 0 or more")
        rows["soil"] = ~self._spelt(entry.soil).isin(list(entry.no_soil)) if entry.soil else True
        twice = rows.duplicated(["unit", "top"])
        if not entry.share and twice.any():
            at = int(np.argmax(twice))
            layer = f" from {rows['top'][at]:g} cm" if entry.top else ""
            raise InputError(
                f"the unit {rows['unit'][at]:g} has two rows{layer}; expected one, or a `share` of each soil in the "
                f"manifest's [[units]] entry {entry.name}",
                file=self.path,
                row=at + HEADER_ROWS + 1,
                column=entry.join,
            )
        return rows

    def _required(self, column: str) -> pd.Series:
        values = numbers(self._text[column], self.path, column)
        if values.isna().any() or np.isinf(values).any():
            self._refuse(values.isna() | np.isinf(values), column, "a number")
        return values

    def _refuse(self, wrong: pd.Series, column: str, expected: str) -> None:
        at = int(np.argmax(wrong))
        found = shown(self._text[column].iloc[at]) or "nothing"
        raise InputError(f"expected {expected}, found {found}", file=self.path, row=at + HEADER_ROWS + 1, column=column)

    def _spelt(self, column: str) -> pd.Series:
        return self._text[column].str.strip().replace(self.entry.same)

    def _carbon_density(self) -> pd.Series:
        """Carbon density of each row, g cm⁻³: organic carbon x bulk density of fine earth x its share of the volume."""
        columns = self.entry.stock
        assert columns is not None
        carbon, density, coarse = (
            self._numbers(name) for name in (columns.organic_carbon, columns.bulk_density, columns.coarse_fragments)
        )
        return carbon / 100 * density * (1 - coarse / 100)

    def _numbers(self, column: str, codes: Collection[float] = ()) -> pd.Series:
        """A column, NaN where there is a code for a missing value."""
        values = numbers(self._text[column], self.path, column)
        coded = values.isin([*self.entry.missing, *codes])
        self._coded.update(self._rows.loc[coded & self._rows["soil"], "unit"].astype(int))
        return values.mask(coded)

    def _mean(self, values: pd.Series, upper: float, lower: float) -> NDArray[np.float64]:
        """Mean of each unit's layers in an interval, by rules 1 to 4."""
        rows = self._rows
        known = (np.isfinite(values) & rows["soil"]).to_numpy()
        unit = np.searchsorted(self.numbers, rows["unit"].to_numpy(np.int64))[known]
        value, top, bottom, share = values.to_numpy()[known], *(rows[c].to_numpy()[known] for c in DEPTH_AND_SHARE)
        mean = _weighted(
            unit, value, np.clip(np.minimum(bottom, lower) - np.maximum(top, upper), 0, None) * share, self
        )
        lowest = np.full(len(self.numbers), -np.inf)
        above = bottom <= upper
        np.maximum.at(lowest, unit[above], bottom[above])
        at_end = above & (bottom == lowest[unit])
        end = _weighted(unit[at_end], value[at_end], share[at_end], self)
        ends = np.isnan(mean) & np.isfinite(end)
        self._shallow.update(self.numbers[ends].tolist())
        return np.where(ends, end, mean)

    def _classes(self, attribute: Attribute) -> NDArray[np.float64]:
        rows, names = self._rows, self._spelt(attribute.column)
        number = names.map({name: i for i, name in enumerate(attribute.categories or [], 1)})
        missing = (names == "") | names.isin([f"{code:g}" for code in self.entry.missing])
        strange = number.isna() & ~missing & rows["soil"]
        if strange.any():
            self._refuse(strange, attribute.column, f"one of the categories of the attribute {attribute.name}")
        known = (number.notna() & rows["soil"]).to_numpy()
        upper, lower = attribute.depth or (0.0, 1.0)
        overlap = np.clip(np.minimum(rows["bottom"], lower) - np.maximum(rows["top"], upper), 0, None)
        unit, count = np.searchsorted(self.numbers, rows["unit"].to_numpy(np.int64)), len(attribute.categories or [])
        place = unit[known] * count + number[known].to_numpy(int) - 1
        weight = np.bincount(place, (overlap * rows["share"]).to_numpy()[known], len(self.numbers) * count)
        weight = weight.reshape(len(self.numbers), count)
        return np.where(weight.max(axis=1) > 0, weight.argmax(axis=1) + 1.0, np.nan)


DEPTH_AND_SHARE = ("top", "bottom", "share")


def _weighted(unit: NDArray, value: NDArray, weight: NDArray, table: UnitTable) -> NDArray[np.float64]:
    """Weighted mean of each unit, NaN where there is no weight."""
    total, weights = (np.bincount(unit, w, len(table.numbers)) for w in (weight * value, weight))
    with np.errstate(invalid="ignore"):
        return np.where(weights > 0, total / weights, np.nan)
