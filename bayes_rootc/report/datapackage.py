"""What the columns of the tables mean: `tables/datapackage.json`, a Frictionless Data Package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa

from ..errors import InputError
from ..files import sha256, write_json
from ..schemas import TABLES, column_of

FILE = "datapackage.json"
TYPES = {"float64": "number", "Int64": "integer", "bool": "boolean"}
CONSTRAINTS = {"min_value": "minimum", "max_value": "maximum", "allowed_values": "enum"}
"""From pandera's words to Frictionless's."""


def describe_tables(folder: Path) -> None:
    """Writes `datapackage.json` next to the tables of a folder: size and checksum of each, and its columns with type,
    unit, meaning and limits.
    """
    resources = [_resource(path) for path in sorted(folder.glob("*.csv"))]
    write_json(folder / FILE, {"name": "bayes-rootc-tables", "resources": resources})


@contextmanager
def tables_as_written(folder: Path) -> Iterator[None]:
    """Lays a failure to the table of a folder that is not as it was described, if there is one.

    Raises
    ------
    InputError
        There is one.
    """
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as error:
        for path, (checksum, columns) in _as_described(folder).items():
            if not path.is_file() or f"sha256:{sha256(path)}" == checksum:
                continue
            lacking = [name for name in columns if name not in _read(path)]
            how = f"lacks the column {lacking[0]}" if lacking else "has another checksum"
            raise InputError(
                f"is not as it was written: {how}; expected the table that {FILE} describes", file=path
            ) from error
        raise


def _as_described(folder: Path) -> dict[Path, tuple[str, list[str]]]:
    """Checksum and columns of each table; none where there is no description, or it is damaged."""
    try:
        resources = json.loads((folder / FILE).read_text(encoding="utf-8"))["resources"]
        return {folder / r["path"]: (r["hash"], [field["name"] for field in r["schema"]["fields"]]) for r in resources}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except ValueError:  # written without rows, or by another program
        return pd.DataFrame()


def _resource(path: Path) -> dict[str, Any]:
    table = _read(path)
    about = {"title": TABLES[path.stem].title} if path.stem in TABLES else {}
    return {
        "name": path.stem.lower(),
        "path": path.name,
        **about,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "bytes": path.stat().st_size,
        "hash": f"sha256:{sha256(path)}",
        "schema": {
            "fields": [_field(str(name), table[name], column_of(path.stem, str(name))) for name in table],
            "missingValues": [""],
        },
    }


def _field(name: str, values: pd.Series, column: pa.Column | None) -> dict[str, Any]:
    """A field as Frictionless has it; of a column that has no schema, as what its values are read."""
    if column is None:
        return {"name": name, "type": {"i": "integer", "f": "number", "b": "boolean"}.get(values.dtype.kind, "string")}
    field = {"name": name, "type": TYPES.get(str(column.dtype), "string"), "description": column.description}
    unit = column.metadata["unit"]
    limits = {CONSTRAINTS[what]: value for check in column.checks for what, value in check.statistics.items()}
    limits |= {} if column.nullable else {"required": True}
    return field | ({"unit": unit} if unit else {}) | ({"constraints": limits} if limits else {})
