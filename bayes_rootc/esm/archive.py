"""Files of models as archives deliver them: which file holds which variable, of which run, and which belong together.

A model's output comes as nested folders of NetCDF files or Zarr stores, with a variable cut into periods, next to other
experiments, members, grids and versions. What a file holds is read from its attributes, else from its name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from ..data.tables import reason_of
from ..errors import InputError
from .conventions import decoded

VARIABLES = ("nppRoot", "npp", "rh", "cSoil", "cSoilAbove1m", "cSoilLevels", "tau")
"""Variables that are understood, by CMIP6's name (`tau`: turnover time)."""

FIXED = ("sftlf", "areacella")
"""Share of land, and area, of a cell."""

ALIASES = {
    "TOTSOMC": "cSoil",
    "TOTSOMC_1m": "cSoilAbove1m",
    "SOILC_vr": "cSoilLevels",
    "BGNPP": "nppRoot",
    "NPP": "npp",
    "HR": "rh",
    "TOTAL_SOIL_CARB": "cSoil",
    "HET_RESP": "rh",
    "landfrac": "sftlf",
}
"""What models call them in their own output: CLM, CTSM and ELM; ORCHIDEE (stomate); both."""

VERTICAL = {"d100cm": "cSoilAbove1m", "sl": "cSoilLevels", "u": "cSoil"}
"""CMIP7 calls all of these `cSoil`; the second label of the branding tells them apart."""

WHOLE = ("lnd", "u", "")
"""Fourth label of a CMIP7 branding where a variable counts all land, not one kind of vegetation."""

FREQUENCIES = ("mon", "yr", "day", "fx")
"""Frequencies in the order in which they are preferred."""

MEMBER = re.compile(r"r\d+i\d+p\d+(?:f\d+)?$")
BRANDING = re.compile(r"[a-z0-9]+-[a-z0-9]+-[a-z0-9]+-[a-z0-9]+$")
VERSION = re.compile(r"v\d{6,}$")
FILES = (".nc", ".nc4", ".cdf", ".h5")
REFERENCES = (".json", ".parquet", ".parq")
STORE = ("zarr.json", ".zgroup", ".zmetadata")
METRE = (0.0, 100.0)


@dataclass(frozen=True)
class Choice:
    """What is taken of an archive that holds several.

    Parameters
    ----------
    years : tuple of int, optional
        First and last year of the average; by default the last twenty whole years.
    experiment : str, optional
        Name of an experiment, such as `historical`; needed where there are several.
    grid : str, optional
        Label of a grid, such as `gn`; needed where there are several.
    members : {"mean", "each"}
        Average the members of a model, or take each for a model.
    """

    years: tuple[int, int] | None = None
    experiment: str | None = None
    grid: str | None = None
    members: Literal["mean", "each"] = "mean"


ANY = Choice()


@dataclass(frozen=True)
class Part:
    """A variable in a file.

    Attributes
    ----------
    path : Path
        The file or store.
    name : str
        What the file calls the variable.
    variable : str
        Which of `VARIABLES` or `FIXED` it is; another name where it is none of them.
    source, experiment, member, grid, frequency, version, branding : str
        Where it comes from; empty where neither attributes nor names say it.
    """

    path: Path
    name: str
    variable: str
    source: str = ""
    experiment: str = ""
    member: str = ""
    grid: str = ""
    frequency: str = ""
    version: str = ""
    branding: str = ""


def read_archive(path: Path) -> list[Part]:
    """Variables of `VARIABLES` and `FIXED` in a file or store, or in all below a folder.

    Raises
    ------
    InputError
        There is no file or folder of this name, or a file is not readable.
    """
    if not path.exists():
        raise InputError("no such file or folder", file=path)
    found = []
    for file in _files(path):
        with opened(file) as dataset:
            facets = _facets(dataset, file)
            for name in map(str, dataset.data_vars):
                variable = _variable(name, dataset, facets["branding"])
                if variable in (*VARIABLES, *FIXED):
                    found.append(Part(file, name, variable, **facets))
    return found


def files_of(path: Path) -> list[Path]:
    """NetCDF files, Zarr stores and references to them: the path itself, or all below it."""
    return list(_files(path))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir() or _is_store(path):
        yield path
        return
    for folder, below, names in os.walk(path):
        here = Path(folder)
        stores = [name for name in below if _is_store(here / name)]
        below[:] = sorted(name for name in below if name not in stores)
        yield from (here / name for name in sorted(stores))
        yield from (here / name for name in sorted(names) if name.endswith(FILES) or _is_reference(here / name))


def _is_store(path: Path) -> bool:
    return any((path / name).exists() for name in STORE)


def _is_reference(path: Path) -> bool:
    """Whether a file says which bytes of other files make a Zarr store, as kerchunk writes them."""
    if path.suffix != ".json":
        return path.suffix in REFERENCES
    with path.open("rb") as file:
        return b'"refs"' in file.read(4096) or b".zgroup" in file.read(4096)


@contextmanager
def opened(file: Path) -> Iterator[xr.Dataset]:
    """A file or store, with dates, and with coordinates in degrees.

    Raises
    ------
    InputError
        It is not readable.
    """
    more: dict[str, Any] = {}
    if file.is_dir() and _is_store(file):
        more |= {"engine": "zarr", "consolidated": False}
    elif file.suffix in REFERENCES:
        more["engine"] = "kerchunk"
        if "kerchunk" not in xr.backends.list_engines():
            raise InputError("references are read by the package kerchunk: pip install kerchunk", file=file)
    with readable(file):
        dataset = xr.open_dataset(file, decode_cf=False, **more)
    with dataset, readable(file):
        yield decoded(dataset, file)


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Names the file that cannot be read."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"not a readable NetCDF file ({reason_of(error)})", file=file) from None


def _facets(dataset: xr.Dataset, file: Path) -> dict[str, str]:
    """Where a file comes from, by its attributes, else by its name as CMIP5, 6 and 7 lay it down."""
    words = file.stem.split("_")
    named = dict[str, str]()
    if len(words) >= 8 and BRANDING.match(words[1]):
        order = "variable branding frequency region grid source experiment member"
        named = dict(zip(order.split(), words, strict=False))
    elif len(words) >= 5 and MEMBER.match(words[4]):
        named = dict(zip("variable table source experiment member grid".split(), words, strict=False))
        if re.match(r"\d{4,}(-\d{4,})?", named.get("grid", "")):  # CMIP5 has the period there
            named["grid"] = ""
    attributes = {str(key): str(value) for key, value in dataset.attrs.items()}
    numbers = [attributes.get(key, "") for key in ("realization", "initialization_method", "physics_version")]
    if all(number.isdigit() for number in numbers):
        named["member"] = "r{}i{}p{}".format(*numbers)
    table = named.get("table", attributes.get("table_id", ""))
    frequency = attributes.get("frequency") or named.get("frequency") or _frequency(table)
    said = {
        "source": attributes.get("source_id") or attributes.get("model_id"),
        "experiment": attributes.get("experiment_id"),
        "member": attributes.get("variant_label"),
        "grid": attributes.get("grid_label"),
        "branding": attributes.get("branding_suffix") or attributes.get("variable_branding_suffix"),
    }
    facets = {facet: value or named.get(facet, "") for facet, value in said.items()}
    versions = [part for part in file.parts if VERSION.match(part)]
    return facets | {"frequency": frequency, "version": versions[-1] if versions else ""}


def _frequency(table: str) -> str:
    return next((known for known in FREQUENCIES if known in table.lower()), "")


def _variable(name: str, dataset: xr.Dataset, branding: str) -> str:
    """Which variable it is, by its name, its branding (CMIP7) or the bounds of its depth."""
    known = ALIASES.get(name, name)
    if branding:
        _, vertical, _, area = (branding.split("-") + [""] * 4)[:4]
        if known in VARIABLES and area not in WHOLE:
            return f"{known}-{area}"
        return VERTICAL.get(vertical, f"{known}-{vertical}") if known == "cSoil" else known
    if known == "cSoil" and _depth_cm(dataset, name) == METRE:
        return "cSoilAbove1m"
    return known


def _depth_cm(dataset: xr.Dataset, name: str) -> tuple[float, float] | None:
    """Bounds of the one depth of a variable, where it says them."""
    for axis in map(str, dataset.coords):
        depth = dataset[axis]
        bounds = dataset.get(str(depth.attrs.get("bounds", "")))
        if depth.attrs.get("standard_name") != "depth" or depth.size != 1 or bounds is None or bounds.size != 2:
            continue
        if depth.dims and depth.dims[0] not in dataset[name].dims:
            continue
        to_cm = {"m": 100.0, "cm": 1.0}.get(str(depth.attrs.get("units")))
        if to_cm:
            top, bottom = sorted(float(round(v * to_cm, 3)) for v in np.abs(bounds.values.astype(float)).ravel())
            return top, bottom
    return None


def models_of(parts: Iterable[Part], path: Path) -> dict[str, list[Part]]:
    """Parts of each model in an archive; those that do not say of which are of the only one, else of that of the
    path's name.
    """
    parts = list(parts)
    names = sorted({part.source for part in parts if part.source and part.variable in VARIABLES}) or [path.stem]
    return {name: [part for part in parts if part.source in (name, "")] for name in names}


def chosen(parts: list[Part], variable: str, choice: Choice, path: Path) -> dict[str, list[Part]]:
    """Parts of a variable of one model, by member: of one experiment, grid, frequency and branding, and of the newest
    version of each member.

    Raises
    ------
    InputError
        The variable is not there, or there are several and the choice does not say which.
    """
    found = [part for part in parts if part.variable == variable]
    for facet, option in (("experiment", choice.experiment), ("grid", choice.grid)):
        there = sorted({getattr(part, facet) for part in found})
        if option is not None and option not in there:
            listed = ", ".join(name for name in there if name) or "none that a file names"
            raise InputError(f"`{variable}`: no {facet} `{option}`; found {listed}", file=path)
        if option is None and len(there) > 1:
            listed = ", ".join(name or "(unnamed)" for name in there)
            raise InputError(f"`{variable}` is there for several: {listed}; choose with --{facet}", file=path)
        found = [part for part in found if option is None or getattr(part, facet) == option]
    frequencies = {part.frequency for part in found}
    preferred = next((known for known in FREQUENCIES if known in frequencies), None)
    if preferred is not None:
        found = [part for part in found if part.frequency in (preferred, "")]
    for facet in ("branding", "name"):
        there = sorted({getattr(part, facet) for part in found})
        if len(there) > 1:
            files = ", ".join(str(next(p.path for p in found if getattr(p, facet) == one).name) for one in there)
            raise InputError(f"`{variable}` could be any of {', '.join(there)} ({files}); leave one in it", file=path)
    if not found:
        raise InputError(f"none of its {len(files_of(path))} NetCDF files has a variable `{variable}`", file=path)
    members = dict[str, list[Part]]()
    for member in sorted({part.member for part in found}, key=_member_number):
        of_member = [part for part in found if part.member == member]
        newest = max(part.version for part in of_member)
        members[member] = [part for part in of_member if part.version == newest]
    return members


def _member_number(member: str) -> tuple[list[int], str]:
    return [int(number) for number in re.findall(r"\d+", member)], member
