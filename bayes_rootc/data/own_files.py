"""The user's own tables in a data folder: `layers.csv`, `production.csv`, `roots.csv`, with plain names and units.

They replace the publishers' files, or add to them, and go through the same rules. A unit may follow a name in the
header, as in `bottom [m]`; other names are listed in `columns.toml`::

    [layers]
    top = "upper_cm"
    delta14c = "D14C (permil)"

A biome that they state, by name or number, is that of the record, whatever the rasters have at its place.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..errors import InputError
from .atmosphere import FIRST_YEAR
from .biomes import EXPECTED_BIOME, biome_numbers
from .israd import FORMS, SIGMA_FORMS, layers_of
from .israd import schema as israd_schema
from .plausible import QUANTITIES
from .roots import profiles_of
from .tables import Screen, SourceCheck, number_column, read_csv, shown
from .toml import read_toml

LAYERS, PRODUCTION, ROOTS = "layers.csv", "production.csv", "roots.csv"
COLUMNS = "columns.toml"

LAYER_NAMES = {
    "lat": "pro_lat",
    "lon": "pro_long",
    "top": "lyr_top",
    "bottom": "lyr_bot",
    "year": "lyr_obs_date_y",
    "delta14c": "lyr_14c",
    "sigma": "lyr_14c_sigma",
    "stock": "lyr_soc_filled",
    "carbon": "lyr_c_org_filled",
    "bulk_density": "lyr_bd_samp_filled",
    "coarse": "lyr_coarse_tot",
    "horizon": "lyr_hzn",
    "treatment": "pro_treatment",
    "peatland": "pro_peatland",
    "soil_order": "pro_usda_soil_order",
    "land_cover": "pro_land_cover",
    "study": "entry_name",
    "site": "site_name",
    "profile": "pro_name",
    "id": "lyr_name",
    "biome": "biome",
    **FORMS,
}
"""Columns of `layers.csv`, and their names in ISRaD."""

NEEDED = ("lat", "lon", "top", "bottom", "year")
TEXT = ("horizon", "treatment", "peatland", "soil_order", "land_cover", "study", "site", "profile", "id", "biome")
WORDS = {"delta14c": "‰", "sigma": "‰", "stock": "Mg ha⁻¹", "top": "cm", "bottom": "cm", "carbon": "%", "coarse": "%"}
WORDS |= {"bulk_density": "g cm⁻³", "npp": "g C m⁻² yr⁻¹", "anpp": "g C m⁻² yr⁻¹", "bnpp": "g C m⁻² yr⁻¹"}
WORDS |= {"d50": "cm", "d95": "cm", "sampling_depth": "cm"}
PRODUCTION_NAMES = ("lat", "lon", "npp", "anpp", "bnpp", "year", "sampling_depth", "study", "method", "biome")
"""Columns of `production.csv`."""
UNJUDGED_RANGE = ("top", "bottom", "year", "npp", "anpp", "bnpp", "stock", "sigma", "d50", "d95", "sampling_depth")
"""Quantities whose values are screened by the rules of the sources, not refused one by one."""


def column_names(folder: Path) -> dict[str, dict[str, str]]:
    """Names of the user's columns in each table, by our names, from `columns.toml`.

    Raises
    ------
    InputError
        The file names a table or a column that is not used, or has something other than tables of texts.
    """
    path = folder / COLUMNS
    found = read_toml(path) if path.exists() else {}
    known = {"layers": list(LAYER_NAMES), "production": list(PRODUCTION_NAMES)}
    known["roots"] = ["id", "lat", "lon", "d50", "d95", "biome"]
    for table, names in found.items():
        if table not in known or not isinstance(names, dict) or not all(isinstance(v, str) for v in names.values()):
            raise InputError(f"[{shown(table)}]: expected tables {', '.join(known)} of names", file=path)
        for name in names:
            if name not in known[table]:
                raise InputError(
                    f"[{table}]: {shown(name)} is not a column that is used; expected one of {', '.join(known[table])}",
                    file=path,
                )
    return found


def _column(name: str):  # type: ignore[no-untyped-def]
    quantity = QUANTITIES[name]
    low, high = (quantity.low, quantity.high) if name not in UNJUDGED_RANGE else (-float("inf"), float("inf"))
    if name == "year":
        low, high = FIRST_YEAR, quantity.high
    known = None if name == "year" or name in FORMS else quantity.unit
    more: dict[str, object] = {}
    if name in ("delta14c", "sigma"):
        of = FORMS if name == "delta14c" else SIGMA_FORMS
        more = {"forms": {form: form if name == "delta14c" else f"{form}_sigma" for form in of}}
        more |= {"of": "delta14c"} if name == "sigma" else {}
    judged = None if name == "top" else name
    return number_column(low, high, WORDS.get(name, ""), quantity=judged, pint_unit=known, **more)  # type: ignore[arg-type]


def _said_biome(table: pd.DataFrame, path: Path, names: dict[str, str]) -> pd.Series:
    """The column `biome` as numbers, `UNSAID` where it is empty."""
    found = biome_numbers(table["biome"])
    if (wrong := found.isna()).any():
        at = int(wrong.argmax())
        raise InputError(
            f"expected {EXPECTED_BIOME}; found `{shown(table['biome'].iloc[at])}`",
            file=path,
            row=int(table["file_row"].iloc[at]),
            column=names.get("biome", "biome"),
        )
    return found.astype(int)


def read_own_layers(path: Path, names: dict[str, str]) -> tuple[pd.DataFrame, SourceCheck]:
    """Layers of `layers.csv`, as `israd.read_layers` gives them.

    Raises
    ------
    InputError
        See `tables.read_csv`.
    """
    import pandera.pandas as pa

    numbers = [name for name in LAYER_NAMES if name not in TEXT]
    columns = {name: _column(name) for name in numbers} | dict.fromkeys(TEXT, pa.Column(object, nullable=True))
    columns |= {f"{form}_sigma": number_column() for form in SIGMA_FORMS}
    optional = tuple(name for name in columns if name not in NEEDED)
    radiocarbon = ("delta14c", *FORMS)
    table = read_csv(path, pa.DataFrameSchema(columns), optional=optional, judged=radiocarbon, names=names)
    if table[list(radiocarbon)].isna().all(axis=None):
        forms = ", ".join(radiocarbon)
        raise InputError(
            f"no layer has radiocarbon: expected a column {forms} with a number in it; {COLUMNS} says if yours has "
            "another name",
            file=path,
        )
    said = dict(table.attrs)
    table["stock"] = table["stock"] / 100  # Mg ha⁻¹ → g cm⁻²
    place = table["lat"].map("{:.4f}".format) + "," + table["lon"].map("{:.4f}".format)
    unnamed = table[["site", "profile"]].isna().all(axis=1)
    table["study"] = table["study"].fillna("own")
    table["site"] = table["site"].fillna(place.where(unnamed, "site"))
    table["profile"] = table["profile"].fillna("profile")
    span = table["top"].map("{:g}".format) + "-" + table["bottom"].map("{:g}".format)
    table["id"] = table["id"].fillna(span)
    table["year"], part = table["year"] // 1, table["year"] % 1
    renamed = table.rename(columns=LAYER_NAMES | {f"{form}_sigma": name for form, name in SIGMA_FORMS.items()})
    renamed = renamed.reindex(columns=[*israd_schema().columns, "file_row", "biome"])
    renamed["biome"] = _said_biome(table, path, names)
    # A whole year stands for its middle, as in ISRaD; a decimal year is kept, as a fractional month.
    renamed["lyr_obs_date_m"] = (part * 12 + 0.5).where(part > 0)
    renamed.attrs.update(said)
    return layers_of(Screen("radiocarbon layers (own)", path, renamed))


def read_own_production(path: Path, names: dict[str, str]) -> Screen:
    """Records of `production.csv`, as `npp` and `production` take them.

    Raises
    ------
    InputError
        See `tables.read_csv`; or none of npp, anpp and bnpp is a column.
    """
    import pandera.pandas as pa

    columns = {name: _column(name) for name in ("lat", "lon", "npp", "anpp", "bnpp")}
    columns |= {"year": number_column(FIRST_YEAR, QUANTITIES["year"].high), "sampling_depth": _column("sampling_depth")}
    columns |= {name: pa.Column(object, nullable=True) for name in ("study", "method", "biome")}
    optional = tuple(name for name in columns if name not in ("lat", "lon"))
    fluxes = ("npp", "anpp", "bnpp")
    table = read_csv(path, pa.DataFrameSchema(columns), optional=optional, value=fluxes, names=names)
    if table[list(fluxes)].isna().all(axis=None):
        raise InputError(f"expected a column {', '.join(fluxes)} or one of them, with a number in it", file=path)
    table["said_biome"] = _said_biome(table, path, names)
    return Screen("net primary production (own)", path, table)


def read_own_roots(path: Path, names: dict[str, str]) -> tuple[pd.DataFrame, SourceCheck]:
    """Root profiles of `roots.csv`, as `roots.read_root_profiles` gives them.

    Raises
    ------
    InputError
        See `tables.read_csv`.
    """
    import pandera.pandas as pa

    columns = {name: pa.Column(object, nullable=True) for name in ("id", "biome")}
    columns |= {name: _column(name) for name in ("lat", "lon", "d50", "d95")}
    table = read_csv(path, pa.DataFrameSchema(columns), optional=("id", "biome"), names=names)
    said = dict(table.attrs)
    table["id"] = table["id"].fillna("row " + table["file_row"].astype(str))
    table = table.assign(d50_sampled=table["d50"], d95_sampled=table["d95"])
    table["said_biome"] = _said_biome(table, path, names)
    table.attrs.update(said)
    return profiles_of(Screen("root profiles (own)", path, table))
