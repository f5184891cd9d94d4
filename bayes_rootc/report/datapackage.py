"""What the columns of the tables mean: `tables/datapackage.json`, a Frictionless Data Package."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import InputError
from ..files import sha256, write_json
from ..mapping.writers import UNIT

FILE = "datapackage.json"

COLUMNS: tuple[tuple[str, str, str], ...] = (
    (
        r"(iroot|ibulk|iloss)_pg_independent_.*",
        "Pg yr-1",
        "total of carbon, as independent draws in cells claim it",
    ),
    (r"(iroot|ibulk|iloss)_pg_.*", "Pg yr-1", "total of carbon, 95 % interval over whole-map members"),
    (r"(iroot|ibulk|iloss)(_.*)?|difference_.*", UNIT, "flux of carbon"),
    (r"npp|satellite_npp", UNIT, "net primary production, measured or from satellites"),
    (r"share.*", "1", "part of I_root that is lost, or of the profile that is in a layer"),
    (r"factor_.*", "1", "I_root over I_bulk"),
    (r"probability.*|mode\d_probability|.*direction.*|p_uniform", "1", "probability"),
    (r"(mode\d_)?age.*", "yr", "carbon age 1/k"),
    (r"k_.*", "yr-1", "decay rate"),
    (r"stock(_mean|_median|_p025|_p975)?", "Mg ha-1", "carbon stock of a layer"),
    (r"(delta14c|sigma|model_sd)(_.*)?", "per mille", "radiocarbon, or an error of it"),
    (r"(d50|d95)(_.*)?", "cm", "depth above which 50 or 95 % of roots are"),
    (r"top|bottom", "cm", "depth of a layer"),
    (r"layer", "cm", "depth of a layer, top-bottom"),
    (r"lat|south|north", "degrees_north", "latitude"),
    (r"lon", "degrees_east", "longitude"),
    (r"year", "yr", "of sampling, AD"),
    (r"area_mha", "1e6 ha", "area"),
    (r".*_km", "km", "distance"),
    (r"seconds", "s", "time"),
    (r"mib", "MiB", "memory"),
    (r"biome", "1", "1-9 as in the paper; 0: all"),
    (r"n|n_.*|rows|sites|simulations", "1", "number"),
    (r"r2.*|concordance", "1", "agreement of predicted and observed"),
    (r"coverage\d+|below95|above95|pit.*", "1", "calibration of predictive intervals"),
    (r"r_hat.*|ess.*|e_bfmi.*|divergences", "1", "of the sampler's chains"),
)
"""Pattern of a name, unit (CF), and meaning. Others have the unit that a column `unit` says, or none: on a log or
standardised scale, or text.
"""

SUFFIXES = {
    "mean": "mean",
    "median": "median",
    "p025": "2.5 % quantile",
    "p975": "97.5 % quantile",
}


def describe_tables(folder: Path) -> None:
    """Writes `datapackage.json` beside the tables of a folder: of each its size, checksum, and columns with type, unit
    and meaning.
    """
    resources = [_resource(path) for path in sorted(folder.glob("*.csv"))]
    write_json(folder / FILE, {"name": "bayes-rootc-tables", "resources": resources})


@contextmanager
def tables_as_written(folder: Path) -> Iterator[None]:
    """Lays a failure to the table of a folder that is not as it was described, if there is one.

    Raises
    ------
    InputError : there is one.
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
    except ValueError:  # written without rows; or it is none of ours
        return pd.DataFrame()


def _resource(path: Path) -> dict[str, Any]:
    table = _read(path)
    return {
        "name": path.stem.lower(),
        "path": path.name,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "bytes": path.stat().st_size,
        "hash": f"sha256:{sha256(path)}",
        "schema": {"fields": [_field(str(name), table[name]) for name in table], "missingValues": [""]},
    }


def _field(name: str, values: pd.Series) -> dict[str, str]:
    kind = {"i": "integer", "f": "number", "b": "boolean"}.get(values.dtype.kind, "string")
    field = {"name": name, "type": kind}
    for pattern, unit, meaning in COLUMNS:
        if re.fullmatch(pattern, name) and (kind != "string" or unit == "cm"):
            statistic = SUFFIXES.get(name.rsplit("_", 1)[-1])
            return field | {"unit": unit, "description": meaning + (f", {statistic}" if statistic else "")}
    return field
