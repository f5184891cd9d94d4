"""`covariates/manifest.toml`: the entries by which a covariate folder says what it holds.

`[[raster]]` is a raster of values or classes. `[[units]]` is a raster of mapping units with a table of their
attributes, as HWSD, WISE30sec and STATSGO are published, and `[[attribute]]` is a covariate that is made from it.
`[[terrain]]` is one that is derived from a raster of elevation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import numpy as np
import pydantic
from numpy.typing import NDArray

from ..constants import PROFILE_DEPTH_CM
from ..errors import InputError
from .tables import shown
from .terrain import TerrainAttribute
from .toml import first_error, read_toml

MANIFEST_FORM = "a list of [[raster]] entries (name, path, role, group, unit)"

OF_RECORDS = tuple("id profile lat lon top bottom year zone delta14c sigma npp bnpp f_bnpp d50 d95 biome".split())
"""Columns of tables of records, to which the covariates are joined."""


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or "\0" in path:
        raise ValueError(f"`{shown(path)}` is outside the folder, expected a path within that of the manifest")
    return path


def _own_name(name: str) -> str:
    if name in OF_RECORDS:
        raise ValueError(f"`{name}` is a column of the records; choose another name")
    return name


type Inside = Annotated[str, pydantic.AfterValidator(_inside)]


class Entry(pydantic.BaseModel):
    """What every covariate of a manifest says of itself."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, pydantic.AfterValidator(_own_name)]
    role: Literal["covariate", "npp", "stock"]
    group: str
    unit: str
    source: str = ""
    licence: str = ""
    note: str = ""
    categories: list[str] | None = None
    """Names of classes; the first has the number 1."""


class Raster(Entry):
    """`[[raster]]`: a raster of values, or of the numbers of `categories`."""

    path: Inside
    """Below the folder, or an address (https, s3); with a variable: `soil.nc::carbon`."""
    band: int | None = pydantic.Field(None, ge=1)
    """Number of the band, where the file has several."""
    nodata: float | None = None
    """Number of a missing value, where the file does not declare it."""


class Attribute(Entry):
    """`[[attribute]]`: a property of the soils of a `[[units]]` entry, averaged over an interval of depth; or, with
    `categories`, a class of them.
    """

    units: str
    """Name of the `[[units]]` entry."""
    column: str
    """Column of its table."""
    depth: tuple[float, float] | None = None
    """Interval (cm), for tables of layers."""
    missing: tuple[float, ...] = ()
    """Codes for a missing value, besides those of the `[[units]]` entry."""

    @pydantic.field_validator("depth")
    @classmethod
    def _downwards(cls, depth: tuple[float, float] | None) -> tuple[float, float] | None:
        if depth is not None and not 0 <= depth[0] < depth[1] <= PROFILE_DEPTH_CM:
            raise ValueError(
                f"expected [top, bottom] in cm, 0 ≤ top < bottom ≤ {PROFILE_DEPTH_CM}, found {list(depth)}"
            )
        return depth


class CarbonDensity(Attribute):
    """Organic carbon of the soils of a `[[units]]` entry, g cm⁻³, from the columns of its `stock`."""

    role: Literal["stock"] = "stock"
    group: str = "soil"
    unit: str = "g cm-3"
    column: str = ""


class Terrain(Entry):
    """`[[terrain]]`: an attribute of the terrain (`terrain`), from the elevation in and around each cell."""

    elevation: str
    """Name of the `[[raster]]` entry with the elevation, m."""
    attribute: TerrainAttribute


class CarbonColumns(pydantic.BaseModel):
    """Columns of a `[[units]]` table from which the carbon stock of its layers follows."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    organic_carbon: str
    """% of the mass of fine earth."""
    bulk_density: str
    """g cm⁻³."""
    coarse_fragments: str
    """% of the volume."""


class Units(pydantic.BaseModel):
    """`[[units]]`: a raster of the numbers of mapping units, and the table of what is in them."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    path: Inside
    """Raster of whole numbers."""
    band: int | None = pydantic.Field(None, ge=1)
    """Number of the band, where the file has several."""
    table: Inside
    """CSV, plain or compressed."""
    join: str
    """Column with the numbers of the raster."""
    top: str | None = None
    bottom: str | None = None
    """Columns of the depths of layers, cm; without them a unit has one row for each of its soils."""
    share: str | None = None
    """Column of the share of each soil in its unit; without it a unit has one soil."""
    missing: tuple[float, ...] = ()
    """Codes of a missing value."""
    soil: str | None = None
    """Column of the class that says what is no soil."""
    no_soil: tuple[str, ...] = ()
    """Its classes without soil: rock, ice, water, towns."""
    same: dict[str, str] = pydantic.Field(default_factory=dict)
    """Other spellings of a class: `{ Nt = "NT" }`."""
    stock: CarbonColumns | None = None
    """Columns of carbon, bulk density and stones, if the stock of layers is to be had from the table."""
    source: str = ""
    note: str = ""

    @pydantic.model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.top is None) != (self.bottom is None):
            raise ValueError("expected both top and bottom, or neither")
        if self.stock is not None and self.top is None:
            raise ValueError("a stock needs top and bottom: it is of layers")
        if (self.soil is None) != (not self.no_soil):
            raise ValueError("expected both soil and no_soil, or neither")
        return self


class Indicator(pydantic.BaseModel):
    """Dummy variable of one class of a covariate: 1 where it is, 0 where another is."""

    model_config = pydantic.ConfigDict(frozen=True)

    of: Entry
    number: int
    """Number of the class."""

    categories: None = None
    unit: str = "1"

    @property
    def name(self) -> str:
        """Name of the covariate and of the class."""
        return f"{self.of.name}_{(self.of.categories or [])[self.number - 1]}"

    @property
    def role(self) -> str:
        """Role of the covariate."""
        return self.of.role

    @property
    def group(self) -> str:
        """Group of the covariate."""
        return self.of.group

    def of_classes(self, numbers: NDArray[np.floating]) -> NDArray[np.float64]:
        """The variable, from numbers of classes; NaN where there is none."""
        return np.where(np.isnan(numbers), np.nan, numbers == self.number)


class Manifest(pydantic.BaseModel):
    """The entries of a manifest, in its order."""

    covariates: tuple[Raster | Attribute | Terrain, ...]
    units: dict[str, Units]

    @property
    def files(self) -> list[str]:
        """Paths of every file that it names, below its folder."""
        found = [entry.path for entry in self.covariates if isinstance(entry, Raster)]
        found += [path for units in self.units.values() for path in (units.path, units.table)]
        return list(dict.fromkeys(found))


KINDS: Mapping[str, type[Raster] | type[Terrain] | type[Attribute] | type[Units]] = {
    "raster": Raster,
    "terrain": Terrain,
    "units": Units,
    "attribute": Attribute,
}


def read_manifest(path: Path) -> Manifest:
    """Entries of a covariate manifest.

    Raises
    ------
    InputError
        Not TOML, an entry with an unknown, missing or wrong key, or two entries of the same name.
    """
    tables = read_toml(path)
    covariates: list[Raster | Attribute | Terrain] = []
    units: dict[str, Units] = {}
    for kind in KINDS:
        for entry in _entries(tables.get(kind, []), kind, path):
            names = units if isinstance(entry, Units) else {covariate.name for covariate in covariates}
            if entry.name in names:
                raise InputError(f"entry {shown(entry.name)}: the name is there twice", file=path, column="name")
            if isinstance(entry, Units):
                units[entry.name] = entry
            else:
                covariates.append(entry)
    for covariate in covariates:
        if isinstance(covariate, Attribute):
            _check_attribute(covariate, units, path)
        elif isinstance(covariate, Terrain):
            _check_terrain(covariate, covariates, path)
    return Manifest(covariates=tuple(covariates), units=units)


def _entries(entries: Any, kind: str, path: Path) -> Sequence[Raster | Attribute | Terrain | Units]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        form = MANIFEST_FORM if kind == "raster" else f"a list of [[{kind}]] entries"
        raise InputError(f"expected {form}", file=path)
    found = []
    for number, entry in enumerate(entries, 1):
        try:
            found.append(KINDS[kind].model_validate(entry))
        except pydantic.ValidationError as error:
            key, message = first_error(error)
            name = shown(entry.get("name", f"number {number}"))
            raise InputError(f"entry {name}: {message}", file=path, column=key or None) from None
    return found


def _check_attribute(entry: Attribute, units: dict[str, Units], path: Path) -> None:
    place = f"entry {shown(entry.name)}"
    if entry.units not in units:
        there = ", ".join(map(shown, units)) or "none"
        raise InputError(
            f"{place}: no [[units]] entry is named {shown(entry.units)}; there are: {there}", file=path, column="units"
        )
    layered = units[entry.units].top is not None
    if layered != (entry.depth is not None):
        problem = "expected a depth, [top, bottom] in cm" if layered else "expected none: its table has no depths"
        raise InputError(f"{place}: {problem}", file=path, column="depth")


def _check_terrain(entry: Terrain, covariates: Sequence[Entry], path: Path) -> None:
    rasters = [one.name for one in covariates if isinstance(one, Raster) and one.categories is None]
    if entry.elevation not in rasters:
        raise InputError(
            f"entry {shown(entry.name)}: no [[raster]] entry of numbers is named {shown(entry.elevation)}",
            file=path,
            column="elevation",
        )
