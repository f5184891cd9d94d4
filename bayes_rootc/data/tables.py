"""Reading tables with a schema, and counting what each rule leaves out."""

from __future__ import annotations

import lzma
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
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

CHUNK_ROWS = 20_000
"""Rows that are read at once: tables may have hundreds of columns that are not used."""

SHOWN_CHARACTERS, LONGEST_REASON = 60, 200

BAD_ARCHIVES = (zlib.error, zipfile.BadZipFile, lzma.LZMAError, tarfile.TarError)


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
    InputError : not a CSV, no row, a column is missing or there twice, a value has the wrong type or is out of range.
    """
    import pandera.errors

    header = read_header(path)
    for name in schema.columns:
        if name not in header and name not in optional:
            raise InputError(f"the column {name} is missing; {names_found(header)}", file=path)
        if header.count(name) > 1:
            raise InputError("the column is there twice", file=path, column=name)
    used = [name for name in schema.columns if name in header]
    text = {name: str for name in used if str(schema.columns[name].dtype) != "float64"}
    with readable(path):
        # Only where all columns are read are rows with a field too many refused, in which a value stands elsewhere.
        with pd.read_csv(path, chunksize=CHUNK_ROWS, dtype=text, index_col=False, low_memory=False) as chunks:
            table = pd.concat([chunk[used] for chunk in chunks], ignore_index=True)
    if table.empty:
        raise InputError("expected at least one row", file=path)
    table = table.reindex(columns=list(schema.columns))
    for name, column in schema.columns.items():
        if str(column.dtype) == "float64":
            table[name] = numbers(table[name], path, name)
        else:
            table[name] = table[name].astype("object").where(table[name].notna(), None)
    try:
        schema.validate(table if value is None else table[table[value].notna()], lazy=True)
    except pandera.errors.SchemaErrors as errors:
        raise _first_failure(errors.failure_cases, path) from None
    table["file_row"] = np.arange(len(table)) + HEADER_ROWS + 1
    return table


def numbers(values: pd.Series, path: Path, column: str) -> pd.Series:
    """A column of a table as numbers; empty cells and NA are missing.

    Raises
    ------
    InputError : a cell holds something else.
    """
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return values.astype(float)
    text = values.astype("object").map(lambda v: str(v).strip(), na_action="ignore")
    text = text.where(~text.isin(["", "NA", "NaN", "nan"]))
    found = pd.to_numeric(text, errors="coerce")
    bad = found.isna() & text.notna()
    if bad.any():
        at = int(np.argmax(bad))
        raise InputError(
            f"expected a number, found `{shown(text.iloc[at])}`", file=path, row=at + HEADER_ROWS + 1, column=column
        )
    return found.astype(float)


def _first_failure(cases: pd.DataFrame, path: Path) -> InputError:
    cases = cases.sort_values("index", na_position="first", kind="stable")
    case = cases.iloc[0]
    row = None if pd.isna(case["index"]) else int(case["index"]) + HEADER_ROWS + 1
    value = case["failure_case"]
    said = "is missing" if case["check"] == "not_nullable" else f"{value:g} {case['check']}"
    more = f" ({len(cases)} such values in all)" if len(cases) > 1 else ""
    return InputError(said + more, file=path, row=row, column=str(case["column"]))


def read_header(path: Path) -> list[str]:
    """Names of the columns of a CSV table, as they stand there.

    Raises
    ------
    InputError : not a CSV.
    """
    with readable(path):
        return [str(name) for name in pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0].fillna("")]


def names_found(names: list[str]) -> str:
    """What a header holds, for people."""
    for mark, called in {";": "`;`", "\t": "tabs", "|": "`|`"}.items():
        if len(names) == 1 and mark in names[0]:
            return f"expected commas between columns, found {called}"
    return f"found {', '.join(map(shown, names[:8]))}" + (" …" if len(names) > 8 else "")


def shown(value: object, longest: int = SHOWN_CHARACTERS) -> str:
    """A value as messages give it: on one line, and not long."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value)[: longest + 1])
    return text if len(text) <= longest else f"{text[:longest]}…"


def reason_of(error: BaseException) -> str:
    """What another library says, on one line."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return shown(said.splitlines()[0], LONGEST_REASON)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What pandas says of a file that it cannot read, as an `InputError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except InputError:
        raise
    except UnicodeDecodeError as error:
        found = error.object[error.start]
        raise InputError(f"expected text in UTF-8, found the byte 0x{found:02x}", file=path) from None
    except pd.errors.ParserWarning:
        raise InputError("rows have more fields than the header has names", file=path) from None
    except (ValueError, OSError, EOFError, ImportError, *BAD_ARCHIVES) as error:
        reason = reason_of(error).removeprefix("Error tokenizing data. C error: ")
        raise InputError(f"not a readable CSV table ({reason})", file=path) from None
