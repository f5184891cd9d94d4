"""Reading tables with a schema, and counting what each rule leaves out."""

from __future__ import annotations

import lzma
import re
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..errors import InputError
from . import plausible

if TYPE_CHECKING:
    import pandera.pandas as pa

HEADER_ROWS = 1
"""Rows are named as a spreadsheet counts them: the header is row 1."""

CHUNK_ROWS = 20_000
"""Rows that are read at once: tables may have hundreds of columns that are not used."""

SHOWN_CHARACTERS, LONGEST_REASON = 60, 200

WITH_UNIT = re.compile(r"^(?P<name>.*?)\s*[\[(](?P<unit>[^\])]+)[\])]$")
"""A name with the unit behind it: `delta14c [permil]`, `D50 (cm)`."""

BAD_ARCHIVES = (zlib.error, zipfile.BadZipFile, lzma.LZMAError, tarfile.TarError)


@dataclass
class SourceCheck:
    """What became of one source: rows read, used, and dropped by which rule; remarks on values that a rule replaced;
    and doubts whether a column is what it claims to be.
    """

    source: str
    file: str
    read: int = 0
    used: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    remarks: dict[str, int] = field(default_factory=dict)
    doubts: dict[str, int] = field(default_factory=dict)

    def judge(self, column: str, doubt: plausible.Doubt | None) -> None:
        """Keeps a doubt of a column for `check`.

        Raises
        ------
        InputError
            The column cannot be what it claims to be.
        """
        if doubt is not None and doubt.sure:
            raise InputError(doubt.text, file=self.file, column=column)
        if doubt is not None:
            self.doubts[f"column {column}: {doubt.text}"] = doubt.rows


class Screen:
    """Applies rules to a table one after another; each row is counted under the first rule that drops it.

    Parameters
    ----------
    source : str
        What the table is, for people.
    file : str or Path
        Where it came from.
    table : DataFrame
        One row a record; what `read_csv` remarked of it goes into the check.
    """

    def __init__(self, source: str, file: str | Path, table: pd.DataFrame):
        self.table = table
        said = {kind: dict(table.attrs.get(kind, {})) for kind in ("remarks", "doubts")}
        table.attrs.clear()
        self.check = SourceCheck(source, str(file), read=len(table), used=len(table), **said)

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

    def judge(self, column: str, doubt: plausible.Doubt | None) -> None:
        """Keeps a doubt of a column; see `SourceCheck.judge`."""
        self.check.judge(column, doubt)


def number_column(  # type: ignore[no-untyped-def]
    low: float = -np.inf,
    high: float = np.inf,
    unit: str = "",
    *,
    quantity: str | None = None,
    pint_unit: str | None = None,
    scale: float = 1.0,
    forms: Mapping[str, str] | None = None,
    of: str | None = None,
):
    """A column of numbers in a range, for a schema.

    Parameters
    ----------
    low, high : float
        Range of a value, in the unit.
    unit : str
        The unit as messages show it.
    quantity : str, optional
        A name of `plausible.QUANTITIES`: by it the column is judged as a whole.
    pint_unit : str, optional
        The unit as pint writes it, to which one in the header is converted.
    scale : float
        What numbers are multiplied by to be in the quantity's own unit.
    forms : mapping of str to str, optional
        For radiocarbon, the schema's columns of its other forms (`units.Form`): a column goes there if its header names
        that form, as in `lyr_14c [pMC]`.
    of : str, optional
        For a σ, the column that it belongs to, whose form it shares if its own header names none.
    """
    import pandera.pandas as pa

    about: dict[str, Any] = {"quantity": quantity, "unit": unit.strip("()"), "pint_unit": pint_unit, "scale": scale}
    about |= {"forms": forms or {}, "of": of}
    if np.isinf(low) and np.isinf(high):
        return pa.Column(float, nullable=True, metadata=about)
    check = pa.Check.in_range(low, high, error=f"is outside [{low:g}, {high:g}] {unit}".strip(), ignore_na=True)
    return pa.Column(float, check, nullable=True, metadata=about)


def read_csv(
    path: Path,
    schema: pa.DataFrameSchema,
    *,
    optional: tuple[str, ...] = (),
    value: str | tuple[str, ...] = (),
    judged: tuple[str, ...] = (),
    names: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """A CSV table that keeps a schema: only the schema's columns, with their types; `file_row` is the row in the file.

    Names are found whatever their case and the spaces about them. A unit behind a name (`D50 [cm]`) is converted to the
    schema's. Codes for missing values become NaN, rows without any value are passed over, and each column is judged as
    a whole (`plausible`): what is remarked is in the table's `attrs`, for a `Screen`.

    Parameters
    ----------
    path : Path
        CSV, plain or compressed.
    schema : DataFrameSchema
        Pandera schema; its checks' `error` texts say what was expected.
    optional : tuple of str
        Columns that may be absent; they come back empty.
    value : str or tuple of str, optional
        The columns that a row is read for: a row with none of them is kept, to be counted, but its other values are
        neither checked nor judged.
    judged : tuple of str
        Columns are judged by the rows with one of these; by default by those with `value`, or by all.
    names : mapping of str to str, optional
        Names in the file by the schema's, for those that differ.

    Raises
    ------
    InputError
        Not a CSV, no row, a column is missing or there twice, a unit does not fit, a column is surely in another unit,
        a value has the wrong type or is out of range.
    """
    header = read_header(path)
    at, units = located(header, schema, path, optional, names or {})
    text = {i: str for name, i in at.items() if str(schema.columns[name].dtype) != "float64"}
    with readable(path):
        # Only where all columns are read are rows with a field too many refused, in which a value stands elsewhere.
        with pd.read_csv(path, chunksize=CHUNK_ROWS, dtype=text, index_col=False, low_memory=False) as chunks:
            # An empty row, of commas alone, is what spreadsheets leave below a table.
            table = pd.concat([chunk.dropna(how="all").iloc[:, list(at.values())] for chunk in chunks])
    if table.empty:
        raise InputError("expected at least one row", file=path)
    table.columns = pd.Index(list(at))
    return conformed(table, schema, path, units=units, value=value, judged=judged)


def conformed(
    table: pd.DataFrame,
    schema: pa.DataFrameSchema,
    path: Path,
    *,
    units: Mapping[str, float],
    value: str | tuple[str, ...] = (),
    judged: tuple[str, ...] = (),
) -> pd.DataFrame:
    """A table that keeps a schema, of cells as they were read; see `read_csv`.

    Parameters
    ----------
    table : DataFrame
        Under the schema's names; its index is the row of the file, counted from 0 below the header.
    units : mapping of str to float
        What numbers are multiplied by, from the units in the header.

    Raises
    ------
    InputError
        See `read_csv`.
    """
    import pandera.errors

    table = table.reindex(columns=list(schema.columns))
    for name, column in schema.columns.items():
        if str(column.dtype) == "float64":
            table[name] = numbers(table[name], path, name) * units.get(name, 1.0)
        else:
            table[name] = table[name].astype("object").where(table[name].notna(), None)
    remarks = _without_codes(table, schema)
    wanted = (value,) if isinstance(value, str) else value
    judged = judged or wanted
    doubts = _judge(table[table[list(judged)].notna().any(axis=1)] if judged else table, schema, path)
    try:
        schema.validate(table[table[list(wanted)].notna().any(axis=1)] if wanted else table, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        raise _first_failure(errors.failure_cases, path) from None
    table["file_row"] = table.index + HEADER_ROWS + 1
    table = table.reset_index(drop=True)
    table.attrs.update(remarks=remarks, doubts=doubts)
    return table


def bare(name: str) -> str:
    """A name of a column as it is compared: without spaces about it, in one case."""
    return "_".join(name.replace("\ufeff", "").split()).casefold()


def located(
    header: list[str], schema: pa.DataFrameSchema, path: Path, optional: tuple[str, ...], names: Mapping[str, str]
) -> tuple[dict[str, int], dict[str, float]]:
    """Where each column of a schema stands in a header, and what its numbers are multiplied by; see `read_csv`."""
    whole = [bare(found) for found in header]
    parted = [WITH_UNIT.match(found.strip()) for found in header]
    parts = [bare(match["name"]) if match else "" for match in parted]
    at: dict[str, int] = {}
    units: dict[str, float] = {}
    moved: dict[str, str] = {}
    for name, column in schema.columns.items():
        called, about = names.get(name, name), column.metadata or {}
        places = [i for i, found in enumerate(header) if found == called]
        places = places or [i for i, found in enumerate(whole) if bare(called) in (found, parts[i])]
        if not places and name in names:
            raise InputError(f"the column {called}, named for {name}, is missing; {names_found(header)}", file=path)
        if not places and name not in optional:
            raise InputError(f"the column {name} is missing; {names_found(header)}", file=path)
        if len(places) > 1 or (places and name in at):
            raise InputError("the column is there twice", file=path, column=name)
        for place in places:
            stated = parted[place] if whole[place] != bare(called) else None
            form = _stated_form(stated["unit"] if stated else None, about, moved)
            target = about["forms"][form] if form else name
            if target in at:
                text = "the column is there twice: the unit in the header of another column says that it is the same"
                raise InputError(text, file=path, column=target)
            at[target] = place
            if form:
                moved[name] = form
            elif stated and about.get("pint_unit"):
                from .units import factor  # loads pint

                units[name] = factor(stated["unit"], about["pint_unit"], file=path, column=shown(header[place]))
    return at, units


def _stated_form(unit: str | None, about: Mapping[str, Any], moved: Mapping[str, str]) -> str | None:
    """The form of radiocarbon that a unit says, or that the column has, to which a σ belongs."""
    if not about.get("forms"):
        return None
    if unit is None:
        return moved.get(about["of"])
    from .units import radiocarbon_form

    form = radiocarbon_form(unit)
    return form if form in about["forms"] else None


def _numeric(schema: pa.DataFrameSchema) -> dict[str, dict[str, Any]]:
    """What a schema's columns of numbers are."""
    return {name: column.metadata or {} for name, column in schema.columns.items() if str(column.dtype) == "float64"}


def _without_codes(table: pd.DataFrame, schema: pa.DataFrameSchema) -> dict[str, int]:
    """Takes codes for missing values out of a table, and gives remarks on them."""
    remarks = {}
    for name, about in _numeric(schema).items():
        there = table[name].notna().sum()
        table[name], codes = plausible.without_codes(table[name], about.get("quantity"), about.get("scale", 1.0))
        if codes:
            said = ", ".join(f"{code:.6g}" for code in codes)
            remarks[f"{name}: {said} stands for a missing value"] = int(there - table[name].notna().sum())
    return remarks


def _judge(rows: pd.DataFrame, schema: pa.DataFrameSchema, path: Path) -> dict[str, int]:
    """Doubts of columns; Δ14C is judged where its σ and depths are known."""
    doubts = {}
    for name, about in _numeric(schema).items():
        quantity = about.get("quantity")
        if quantity and quantity != "delta14c":
            doubt = plausible.judge(rows[name].to_numpy(float), quantity, scale=about["scale"], unit=about["unit"])
            if doubt is not None and doubt.sure:
                raise InputError(doubt.text, file=path, column=name)
            if doubt is not None:
                doubts[f"column {name}: {doubt.text}"] = doubt.rows
    return doubts


def numbers(values: pd.Series, path: Path, column: str) -> pd.Series:
    """A column of a table as numbers; empty cells and NA are missing.

    Raises
    ------
    InputError
        A cell holds something else.
    """
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return values.astype(float)
    text = values.astype("object").map(lambda v: str(v).strip(), na_action="ignore")
    text = text.where(~text.isin(["", "NA", "NaN", "nan"]))
    found = pd.to_numeric(text, errors="coerce")
    bad = found.isna() & text.notna()
    if bad.any():
        at = int(np.argmax(bad))
        row = int(values.index.to_numpy()[at]) + HEADER_ROWS + 1
        raise InputError(f"expected a number, found `{shown(text.iloc[at])}`", file=path, row=row, column=column)
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
    InputError
        Not a CSV.
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
def readable(path: Path, expected: str = "CSV table") -> Iterator[None]:
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
    except (ValueError, KeyError, OSError, EOFError, ImportError, *BAD_ARCHIVES) as error:
        reason = reason_of(error).removeprefix("Error tokenizing data. C error: ")
        raise InputError(f"not a readable {expected} ({reason})", file=path) from None
