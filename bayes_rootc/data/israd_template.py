"""Workbooks in ISRaD's template (.xlsx), as its entries are written: the sheet `layer` with its profile and site.

Below the header of every sheet are two rows of descriptions and units, and then the records. Names are ISRaD's own,
without what the "extra" release adds: a profile without coordinates takes those of its site, and carbon, bulk density,
stones and stocks are as measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..errors import InputError
from .israd import OPTIONAL, RADIOCARBON, layers_of, schema
from .tables import HEADER_ROWS, Screen, SourceCheck, bare, conformed, located, names_found, readable, shown

SITE_KEY = ("entry_name", "site_name")
PROFILE_KEY = (*SITE_KEY, "pro_name")
SHEETS = {"site": SITE_KEY, "profile": PROFILE_KEY, "layer": (*PROFILE_KEY, "lyr_name")}
"""Sheets that are read, and the columns that name their rows."""

FILLED = {f"{name}_filled": name for name in ("lyr_c_org", "lyr_bd_samp", "lyr_soc")}
"""Columns of the "extra" release, and those of the template that they are filled from."""

COORDINATES = {"pro_lat": "site_lat", "pro_long": "site_long"}

LOCK = "~$"
"""Beginning of the name of the lock file that a spreadsheet program leaves next to an open workbook."""


def templates(*folders: Path) -> list[Path]:
    """Workbooks in these folders that have the sheets of ISRaD's template."""
    found = [path for folder in folders for path in sorted(folder.glob("*")) if path.suffix.lower() == ".xlsx"]
    return [path for path in found if not path.name.startswith((LOCK, ".")) and set(SHEETS) <= set(_sheets(path))]


def _sheets(path: Path) -> dict[str, str]:
    """Names of a workbook's sheets, by the form in which they are compared."""
    with readable(path, "Excel workbook"), pd.ExcelFile(path, engine="openpyxl") as book:
        return {bare(str(name)): str(name) for name in book.sheet_names}


def read_templates(paths: Sequence[Path]) -> tuple[pd.DataFrame, SourceCheck]:
    """Layers of workbooks in ISRaD's template, as `israd.read_layers` gives them.

    Parameters
    ----------
    paths : sequence of Path
        One or more workbooks, which are joined.

    Raises
    ------
    InputError
        A file is not a workbook, a sheet or a column is missing, or a layer names a profile or site that is not there;
        see also `tables.read_csv`.
    """
    tables = [_read(path).assign(file=str(path)) for path in paths]
    joined = pd.concat(tables, ignore_index=True)
    if not joined[list(RADIOCARBON)].notna().any(axis=None):
        raise InputError(
            f"no layer has radiocarbon: expected values in one of {', '.join(RADIOCARBON)} of the sheet layer",
            file=paths[0] if len(paths) == 1 else paths[0].parent,
        )
    for said in ("remarks", "doubts"):
        total: dict[str, int] = {}
        for table in tables:
            for text, rows in table.attrs[said].items():
                total[text] = total.get(text, 0) + rows
        joined.attrs[said] = total
    file = paths[0] if len(paths) == 1 else paths[0].parent
    called = "template" if len(paths) == 1 else f"{len(paths)} templates"
    return layers_of(Screen(f"radiocarbon layers (ISRaD {called})", file, joined))


def _read(path: Path) -> pd.DataFrame:
    """The layers of one workbook with their profiles and sites, under the names of the "extra" release."""
    present = _sheets(path)
    if lacking := [name for name in SHEETS if name not in present]:
        raise InputError(
            f"no sheet {', '.join(lacking)}; expected those of ISRaD's template, {names_found(list(present))}",
            file=path,
        )
    sheets = {name: _sheet(path, present[name], key) for name, key in SHEETS.items()}
    layers = sheets["layer"]
    if layers.empty:
        raise InputError("the sheet layer has no row below its descriptions", file=path)
    rows = _joined(layers, sheets["profile"], PROFILE_KEY, "profile", path)
    rows = _joined(rows, sheets["site"], SITE_KEY, "site", path)
    for ours, theirs in (FILLED | COORDINATES).items():
        if theirs in rows:
            rows[ours] = rows[ours].fillna(rows[theirs]) if ours in rows else rows[theirs]
    wanted = schema()
    at, units = located([str(name) for name in rows.columns], wanted, path, OPTIONAL, {})
    table = rows.iloc[:, list(at.values())].set_axis(list(at), axis=1)
    return conformed(table, wanted, path, units=units, judged=RADIOCARBON)


def _sheet(path: Path, sheet: str, key: tuple[str, ...]) -> pd.DataFrame:
    """Cells of a sheet without its descriptions; the index counts rows from 0 below the header."""
    with readable(path, "Excel workbook"):
        cells = pd.read_excel(path, sheet_name=sheet, header=None, dtype=object, engine="openpyxl")
    if cells.empty:
        raise InputError(f"the sheet {sheet} is empty", file=path)
    names = ["" if pd.isna(name) else str(name).strip() for name in cells.iloc[0]]
    table = cells.iloc[HEADER_ROWS:].set_axis(names, axis=1).reset_index(drop=True)
    table = table.loc[:, [bool(name) for name in names]]
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        raise InputError(f"the sheet {sheet} has the column {twice} twice", file=path)
    if lacking := [name for name in key if name not in table]:
        raise InputError(
            f"the sheet {sheet} has no column {', '.join(lacking)}; {names_found(list(table.columns))}", file=path
        )
    table = table.mask(table.map(lambda cell: isinstance(cell, str) and not cell.strip()))
    table = table.iloc[_descriptions(table) :].dropna(how="all")
    # Names that are numbers are the same in every sheet, however its cells are formatted.
    return table.assign(**{name: table[name].map(_label) for name in key})


def _descriptions(table: pd.DataFrame) -> int:
    """Number of rows of descriptions and units above the records: those with text, and no number, where numbers belong.

    A record has at least its coordinates or depths as numbers.
    """
    numeric = [name for name, column in schema().columns.items() if str(column.dtype) == "float64"]
    numeric += [*FILLED.values(), *COORDINATES.values(), "site_elevation", "pro_elevation"]
    cells = table[[name for name in dict.fromkeys(numeric) if name in table]].head(3)
    known = cells.apply(pd.to_numeric, errors="coerce").notna().any(axis=1)
    text = (cells.notna()).sum(axis=1) >= 1
    described = (text & ~known).to_numpy()
    return int(described.argmin()) if not described.all() else len(described)


def _label(value: object) -> object:
    if pd.isna(value):  # type: ignore[call-overload]
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _joined(rows: pd.DataFrame, others: pd.DataFrame, key: tuple[str, ...], sheet: str, path: Path) -> pd.DataFrame:
    """Adds to each row the columns of the one row of another sheet with the same key."""
    others = others.drop_duplicates()
    for table, called in ((rows, "layer"), (others, sheet)):
        for name in key:
            if table[name].isna().any():
                at = int(table.index[table[name].isna()][0]) + HEADER_ROWS + 1
                raise InputError(f"the sheet {called}: is missing", file=path, row=at, column=name)
    twice = others.duplicated(list(key))
    if twice.any():
        at = int(others.index[twice][0]) + HEADER_ROWS + 1
        name = shown(others[key[-1]][twice].iloc[0])
        raise InputError(f"the sheet {sheet} has two rows for `{name}` that differ", file=path, row=at, column=key[-1])
    new = [name for name in others.columns if name not in rows.columns or name in key]
    joined = rows.reset_index(names="row").merge(others[new], on=list(key), how="left", indicator="found")
    alone = joined["found"] == "left_only"
    if alone.any():
        first = joined[alone].iloc[0]
        raise InputError(
            f"the sheet layer: `{shown(first[key[-1]])}` is not in the sheet {sheet}",
            file=path,
            row=int(first["row"]) + HEADER_ROWS + 1,
            column=key[-1],
        )
    return joined.drop(columns="found").set_index("row")
