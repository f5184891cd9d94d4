"""Reading tables with a schema, and counting what each rule leaves out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..errors import InputError

if TYPE_CHECKING:
    import pandera.pandas as pa

HEADER_ROWS = 1
"""Rows are named as a spreadsheet counts them: the header is row 1."""


@dataclass
class SourceCheck:
    """What became of one source: rows read, used, and dropped by which rule; and remarks on values that a rule
    replaced.
    """

    source: str
    file: str
    read: int = 0
    used: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    remarks: dict[str, int] = field(default_factory=dict)


class Screen:
    """Applies rules to a table one after another; each row is counted under the first rule that drops it.

    Parameters
    ----------
    source : what the table is, for people.
    file : where it came from.
    table : one row a record.
    """

    def __init__(self, source: str, file: str | Path, table: pd.DataFrame):
        self.table = table
        self.check = SourceCheck(source, str(file), read=len(table), used=len(table))

    def drop(self, rule: str, condition: ArrayLike) -> None:
        """Leaves out the rows where `condition` is true."""
        condition = np.asarray(condition, bool)
        if condition.any():
            self.check.dropped[rule] = self.check.dropped.get(rule, 0) + int(condition.sum())
        self.table = self.table.loc[~condition].copy()
        self.check.used = len(self.table)

    def remark(self, rule: str, condition: ArrayLike) -> None:
        """Counts rows that stay, with a value replaced by rule."""
        n = int(np.asarray(condition, bool).sum())
        if n:
            self.check.remarks[rule] = self.check.remarks.get(rule, 0) + n


def read_csv(
    path: Path, schema: pa.DataFrameSchema, *, optional: tuple[str, ...] = (), value: str | None = None
) -> pd.DataFrame:
    """A CSV table that keeps a schema: only the schema's columns, with their types; `file_row` is the row in the file.

    Parameters
    ----------
    path : CSV, plain or compressed.
    schema : pandera schema; its checks' `error` texts say what was expected.
    optional : columns that may be absent; they come back empty.
    value : the column that a row is read for: a row without it is kept, to be counted, but its other values are not
        checked.

    Raises
    ------
    InputError : not a CSV, a column is missing, a value has the wrong type or is out of range.
    """
    import pandera.errors

    try:
        header = pd.read_csv(path, nrows=0)
        absent = [c for c in schema.columns if c not in header.columns]
        required = [c for c in absent if c not in optional]
        if required:
            raise InputError(f"the column {required[0]} is missing; found {_few(header.columns)}", file=path)
        table = pd.read_csv(path, usecols=[c for c in schema.columns if c not in absent], low_memory=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError, EOFError) as error:
        raise InputError(f"not a readable CSV table ({str(error).splitlines()[0]})", file=path) from None
    table = table.reindex(columns=list(schema.columns))
    for name, column in schema.columns.items():
        if str(column.dtype) == "float64":
            table[name] = _numbers(table[name], path, name)
        else:
            table[name] = table[name].astype("object").where(table[name].notna(), None)
    try:
        schema.validate(table if value is None else table[table[value].notna()], lazy=True)
    except pandera.errors.SchemaErrors as errors:
        raise _first_failure(errors.failure_cases, path) from None
    table["file_row"] = np.arange(len(table)) + HEADER_ROWS + 1
    return table


def _numbers(values: pd.Series, path: Path, column: str) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values):
        return values.astype(float)
    text = values.astype("object").map(lambda v: v.strip() if isinstance(v, str) else v)
    text = text.where(~text.isin(["", "NA", "NaN", "nan"]))
    numbers = pd.to_numeric(text, errors="coerce")
    bad = numbers.isna() & text.notna()
    if bad.any():
        at = int(np.argmax(bad))
        raise InputError(
            f"expected a number, found `{text.iloc[at]}`", file=path, row=at + HEADER_ROWS + 1, column=column
        )
    return numbers.astype(float)


def _first_failure(cases: pd.DataFrame, path: Path) -> InputError:
    cases = cases.sort_values("index", na_position="first", kind="stable")
    case = cases.iloc[0]
    row = None if pd.isna(case["index"]) else int(case["index"]) + HEADER_ROWS + 1
    value = case["failure_case"]
    shown = f"{value:g}" if isinstance(value, float) else f"`{value}`"
    more = f" ({len(cases)} such values in all)" if len(cases) > 1 else ""
    return InputError(f"{shown} {case['check']}{more}", file=path, row=row, column=str(case["column"]))


def _few(names: pd.Index) -> str:
    return ", ".join(map(str, names[:8])) + (" …" if len(names) > 8 else "")
