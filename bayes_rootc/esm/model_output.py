"""Output of an Earth system model: mean fields in our units, on the model's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..data.plausible import ALWAYS_CODES
from ..errors import InputError
from .archive import ANY, FIXED, VARIABLES, Choice, Part, chosen, models_of, opened, read_archive, readable
from .coordinates import on_layers, placed
from .grids import ModelGrid
from .units import converted
from .years import Series, common_years, ranges

FLUX, STOCK, AGE = "Mg ha-1 yr-1", "Mg ha-1", "yr"
UNITS = dict.fromkeys(("nppRoot", "npp", "rh"), FLUX) | dict.fromkeys(VARIABLES[3:6], STOCK) | {"tau": AGE}
"""Units that each of `VARIABLES` is brought to."""

MANY_ZEROS = 0.1
"""Share of cells of exactly 0 from which they are remarked."""

SEA = 0.4
"""Share of cells of exactly 0 from which, where no cell is missing, zeros are the sea."""

ABSENT = 1e15
"""Values above are fill values that the file does not declare as such."""

TILES = ("VEGET_COV_MAX", "VEGET_MAX")
"""Shares of the kinds of vegetation of a cell (ORCHIDEE), by which values of each are summed."""

SAME_AREA = 0.05
"""Relative difference of areas of cells from which it is remarked."""


@dataclass(frozen=True)
class ModelField:
    """Mean over some years, in the units of `UNITS`.

    Attributes
    ----------
    values : ndarray
        (rows, columns), NaN where there is none; (7, rows, columns) of the standard layers where the model has layers.
    remarks : list of str
        What was done to the file's numbers.
    """

    model: str
    variable: str
    values: NDArray[np.float64]
    grid: ModelGrid
    remarks: list[str]


@dataclass(frozen=True)
class ModelOutput:
    """Variables of a model, or of one of its members, on one grid and over the same years.

    Attributes
    ----------
    model : str
        Its name.
    fields : dict of str to ModelField
        Means over the members.
    members : dict of str to dict
        Fields of each member, by its name; none of a single one.
    """

    model: str
    fields: dict[str, ModelField]
    members: dict[str, dict[str, ModelField]] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """Variables of which one set is enough, the first that is there, and what to say where none is."""

    sets: Sequence[tuple[str, ...]]
    otherwise: str = ""


def read_field(path: Path, variable: str, choice: Choice = ANY) -> ModelField:
    """The mean of a variable over years, the last twenty whole ones if none are given.

    Parameters
    ----------
    path : Path
        A NetCDF file or Zarr store, or a folder of them, of one model.
    variable : str
        Its name in CMIP6.
    choice : Choice
        What is taken of several.

    Raises
    ------
    InputError
        The file, the variable or the years are not there; units are missing or do not fit; coordinates are not found;
        or a time step has no value.
    """
    outputs = read_models(path, Wanted([(variable,)]), choice)
    if len(outputs) > 1:
        raise InputError(f"holds several models: {', '.join(o.model for o in outputs)}", file=path)
    return outputs[0].fields[variable]


def read_models(path: Path, wanted: Wanted, choice: Choice = ANY) -> list[ModelOutput]:
    """Models that a path holds.

    Parameters
    ----------
    path : Path
        A NetCDF file or Zarr store, or a folder, nested or not, of one or more models.
    wanted : Wanted
        Variables.
    choice : Choice
        What is taken of several.

    Raises
    ------
    InputError
        As `read_field`; or variables are on different grids, or have no member in common.
    """
    parts, out = read_archive(path), []
    for model, of_model in models_of(parts, path).items():
        there = {part.variable for part in of_model}
        names = next((names for names in wanted.sets if there.issuperset(names)), None)
        if names is None:
            if len(wanted.sets) == 1:
                _refuse_absent(path, wanted.sets[0], there)
            found = ", ".join(sorted(there & set(VARIABLES))) or "none"
            raise InputError(f"{wanted.otherwise}; found {found}", file=path)
        out += _read_model(model, of_model, names, choice, path)
    return out


def _refuse_absent(path: Path, names: tuple[str, ...], there: set[str]) -> None:
    (absent,) = set(names) - there
    if path.is_file():
        with opened(path) as dataset:
            found = ", ".join(str(name) for name in dataset.data_vars) or "none"
        raise InputError(f"no variable `{absent}` in it, it has: {found}", file=path)
    chosen([], absent, ANY, path)


def _read_model(model: str, parts: list[Part], names: tuple[str, ...], choice: Choice, path: Path) -> list[ModelOutput]:
    members = {name: chosen(parts, name, choice, path) for name in names}
    common = set.intersection(*(set(of_variable) for of_variable in members.values()))
    kept = [member for member in members[names[0]] if member in common]
    if not kept:
        said = ", ".join(f"`{name}` has {', '.join(m or '(unnamed)' for m in of)}" for name, of in members.items())
        raise InputError(f"{said}: no member in common", file=path)
    left = sorted(set().union(*members.values()) - common)
    remarks = [f"members without all variables left out: {', '.join(left)}"] if left else []
    series = {name: {m: Series.of(members[name][m]) for m in kept} for name in names}
    newest = sorted({part.version for name in names for m in kept for part in members[name][m] if part.version})
    older = sorted({p.version for p in parts if p.variable in names and p.version} - set(newest))
    if older:
        remarks.append(f"versions {', '.join(older)} left out for newer ones")
    if choice.members == "each":
        outputs = []
        for member in kept:
            years, notes = common_years({name: [of[member]] for name, of in series.items()}, choice.years, path)
            label = f"{model} {member}".strip()
            fields = {n: _field(label, n, series[n][member], years, parts) for n in names}
            _refuse_other_grids(list(fields.values()), path)
            outputs.append(ModelOutput(label, _with_remarks(fields, [*remarks, *notes])))
        return outputs
    years, notes = common_years({name: list(of.values()) for name, of in series.items()}, choice.years, path)
    of_members = {m: {n: _field(model, n, series[n][m], years, parts) for n in names} for m in kept}
    first = of_members[kept[0]]
    _refuse_other_grids([one for fields in of_members.values() for one in fields.values()], path)
    if len(kept) == 1:
        return [ModelOutput(model, _with_remarks(first, [*remarks, *notes]))]
    means = {n: replace(first[n], values=np.mean([of_members[m][n].values for m in kept], axis=0)) for n in names}
    remarks.append(f"mean of {len(kept)} members: {', '.join(kept)}")
    return [ModelOutput(model, _with_remarks(means, [*remarks, *notes]), of_members)]


def _with_remarks(fields: dict[str, ModelField], remarks: list[str]) -> dict[str, ModelField]:
    """Fields, of which the first says what holds for all."""
    first = next(iter(fields))
    return fields | {first: replace(fields[first], remarks=[*remarks, *fields[first].remarks])}


def _refuse_other_grids(fields: list[ModelField], path: Path) -> None:
    first = fields[0]
    for other in fields[1:]:
        if other.grid.shape != first.grid.shape or not np.allclose(other.grid.lon_edges, first.grid.lon_edges):
            raise InputError(f"`{first.variable}` and `{other.variable}` are on different grids", file=path)


def _field(model: str, variable: str, series: Series, years: list[int], parts: list[Part]) -> ModelField:
    """A variable of one member."""
    file, name = series.parts[0].path, series.parts[0].name
    array, remarks = _mean(series, years)
    with opened(file) as dataset:
        array = _over_tiles(array, dataset)
        field_ = placed(array, dataset, file)
        if field_.vertical:
            values, said = on_layers(field_.array, dataset, field_.vertical, UNITS[variable], file)
            remarks += said
        else:
            values = converted(field_.array, UNITS[variable], file)
    methods = str(array.attrs.get("cell_methods", ""))
    values, said = _on_land(values, field_.grid, methods, [p for p in parts if p.variable in FIXED])
    values, zeros = _without_sea(values)
    remarks += [f"{name}: {text}" for text in (*said, *zeros)]
    known = values[np.isfinite(values)]
    if not len(known):
        raise InputError("no value anywhere", file=file, column=name)
    if known.max() <= 0 and known.min() < 0:
        raise InputError(
            "is negative everywhere; expected a stock, or a flux whose sign is positive (see its attribute `positive`)",
            file=file,
            column=name,
        )
    return ModelField(model, variable, values, field_.grid, remarks)


def _mean(series: Series, years: list[int]) -> tuple[xr.DataArray, list[str]]:
    """Mean over years, weighted by the length of the steps, of all pieces that have some of them."""
    remarks: list[str] = []
    if not series.steps:
        part = series.parts[0]
        with opened(part.path) as dataset:
            array = _loaded(dataset[part.name], part)
        return _without_fill(array, remarks), remarks
    total = weight = None
    count, attributes = 0, dict[str, object]()
    for steps in series.steps:
        inside = np.flatnonzero(np.isin(steps.year, years))
        if not len(inside):
            continue
        with opened(steps.part.path) as dataset:
            array = _loaded(dataset[steps.part.name].isel({steps.dimension: inside}), steps.part)
            dates = dataset[steps.dimension].values[inside]
        attributes = attributes or array.attrs
        array = _without_fill(array, remarks)
        empty = ~array.notnull().any([d for d in array.dims if d != steps.dimension]).values
        if empty.any():
            date = dates[int(empty.argmax())].strftime("%Y-%m-%d")
            raise InputError(f"the time step of {date} has no value", file=steps.part.path, column=steps.part.name)
        days = xr.DataArray(steps.days[inside], dims=steps.dimension)
        here = (array * days).sum(steps.dimension), (array.notnull() * days).sum(steps.dimension)
        if total is None or weight is None:
            total, weight = here
        else:
            total, weight = total + here[0].values, weight + here[1].values
        count += len(inside)
    assert total is not None and weight is not None
    mean = (total / weight).where(weight > 0).rename(series.parts[0].name)
    mean.attrs = attributes
    pieces = f", {len(series.steps)} files" if len(series.steps) > 1 else ""
    remarks.append(f"{mean.name}: mean of {ranges(years)} ({count} step{'s' * (count > 1)}{pieces})")
    return mean, remarks


def _loaded(array: xr.DataArray, part: Part) -> xr.DataArray:
    if array.dtype.kind not in "iuf":
        raise InputError(f"expected numbers, found {array.dtype}", file=part.path, column=part.name)
    with readable(part.path):
        return array.load()


def _without_fill(array: xr.DataArray, remarks: list[str]) -> xr.DataArray:
    absent = np.abs(array) > ABSENT
    coded = array.isin(ALWAYS_CODES)
    said = []
    if bool(absent.any()):
        said.append(f"{array.name}: values above {ABSENT:g} taken for missing")
    if bool(coded.any()):
        said.append(f"{array.name}: {float(array.values[coded.values][0]):g} taken for missing")
    remarks += [text for text in said if text not in remarks]
    kept = array.where(~(absent | coded))
    kept.attrs = array.attrs
    return kept


def _over_tiles(array: xr.DataArray, dataset: xr.Dataset) -> xr.DataArray:
    """The sum over kinds of vegetation, each weighted by its share of the cell."""
    for name in TILES:
        if name not in dataset:
            continue
        shares = dataset[name].load()
        extra = [d for d in shares.dims if d not in array.dims]
        if str(array.name) != name and set(shares.dims) - set(extra) <= set(array.dims):
            shares = shares.mean(extra) if extra else shares
            kinds = [d for d in shares.dims if str(d).lower() in ("veget", "pft", "vegtype", "vegtyp")]
            if kinds:
                summed = (array.fillna(0) * shares.fillna(0)).sum(kinds).where(array.notnull().any(kinds))
                summed.attrs, summed.name = array.attrs, array.name
                return summed
    return array


def _on_land(
    values: NDArray[np.float64], grid: ModelGrid, methods: str, fixed: list[Part]
) -> tuple[NDArray[np.float64], list[str]]:
    """Values an area of land, none where there is no land, by the shares that come with the model; and remarks.

    Fields that are on another grid are not used.
    """
    remarks = list[str]()
    per_cell = "area: mean" in methods and "where land" not in methods
    for part in fixed:
        with opened(part.path) as dataset:
            array = dataset[part.name].squeeze(drop=True).load()
        found = np.asarray(array.values, float).reshape((1, -1) if array.ndim == 1 else array.shape)
        if found.shape != grid.shape:
            continue
        if part.variable == "areacella":
            ours, theirs = grid.area_ha, found / 1e4
            known = np.isfinite(theirs) & (theirs > 0)
            off = np.nanmedian(np.abs(ours[known] / theirs[known] - 1)) if known.any() else 0.0
            if off > SAME_AREA:
                remarks.append(f"areas of cells differ from areacella by {100 * off:.0f} %: are its bounds right?")
            continue
        share = found / 100 if array.attrs.get("units") == "%" or np.nanmax(found) > 1.5 else found
        land = np.isfinite(share) & (share > 0) & (share <= 1.001)
        dropped = np.isfinite(values) & ~land
        if per_cell:
            with np.errstate(invalid="ignore", divide="ignore"):
                values = values / np.where(land, share, np.nan)
            remarks.append("values of whole cells (area: mean) divided by the share of land")
        if dropped.any():
            remarks.append(f"{int(dropped.sum()):,} values where there is no land (sftlf) left out")
        return np.where(land, values, np.nan), remarks
    if per_cell:
        remarks.append("cell_methods say area: mean without `where land`, and there is no sftlf: taken as of land")
    return values, remarks


def _without_sea(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[str]]:
    """Zeros are the sea where no cell is missing; else they count, and many are remarked."""
    known = np.isfinite(values)
    zero = known & (values == 0)
    everywhere = zero.all(axis=0) if values.ndim == 3 else zero
    if known.all() and everywhere.mean() > SEA:
        text = f"{int(everywhere.sum()):,} cells of exactly 0 taken for sea, as no cell is missing"
        return np.where(everywhere, np.nan, values), [text]
    if zero.sum() > MANY_ZEROS * known.sum():
        return values, [
            f"{int(zero.sum()):,} of {int(known.sum()):,} cells are exactly 0 and count as values, sea among them?"
        ]
    return values, []
