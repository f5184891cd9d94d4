"""An Earth system model compared with the posterior of our maps.

| variable | of the model | of ours |
|---|---|---|
| `nppRoot` | root production | I_root |
| `npp`, `rh` | production, or respiration (equal to it at steady state), times our posterior of f_BNPP | I_root |
| `cSoil`, `cSoilAbove1m` | carbon of all soil, of the first metre | gridded stock of 0–200, 0–100 cm |
| `cSoilLevels` | carbon of soil layers | gridded stock of the seven layers |
| `turnover` | log of cSoil / rh (else npp), or of `tau` | log of stock / I_bulk |

The finer of the two grids is brought to the other: our members are averaged over the model's cells, or a finer model
over ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import BIOMES, LAYER_NAMES, PROFILE_NAME
from ..crps import ensemble_crps
from ..errors import InputError
from ..inference.sampling import summarise
from ..mapping.totals import BAND_DEGREES
from ..progress import Progress
from ..report.results import Results
from . import scores
from .archive import ANY, Choice
from .grids import ModelGrid
from .members import Source, posterior_on
from .model_output import ModelField, ModelOutput, Wanted, read_models

TURNOVER = "turnover"
LEAST_COVER, GOOD_COVER = 0.5, 0.8
"""Shares of our land on which a model must have values, and on which it has them when it is turned the right way."""

MEDIAN_ERROR = 1.2533
"""Standard error of a median over that of a mean."""

METRE_LAYERS = 5
TURNOVER_SETS = Wanted(
    [("tau",), ("cSoil", "rh"), ("cSoil", "npp")], "turnover needs `cSoil` and `rh` (or `npp`), or `tau`"
)

type Fields = dict[str, NDArray[np.floating]]
"""Values by variable, (layer, cell, 1)."""


class Compared(NamedTuple):
    """What of a model is compared, (layer, cell, 1 or member of the posterior), and what turnover is made of."""

    values: NDArray[np.floating]
    parts: dict[str, NDArray[np.floating]]


@dataclass(frozen=True)
class Comparison:
    """A model and the posterior on the same cells.

    Attributes
    ----------
    model : str
        Its name.
    variable, unit : str
        Name and unit of what is compared.
    values : ndarray
        Values of the model, (layer, cell, member); the last dimension is 1 where the model has no members.
    reference : ndarray
        Members of the posterior, (layer, cell, member).
    layers : tuple of str
        Names of the layers.
    grid : ModelGrid
        The model's grid.
    index : ndarray
        Positions of the compared cells in the flattened grid, (cell,).
    weight : ndarray
        Mapped land where both have values, ha, 0 elsewhere, (cell,).
    biome : ndarray
        1–9, (cell,).
    parts : dict of str to ndarray
        What turnover is made of: `input`, `carbon` of the model, (cell, 1), `below`, its input times f_BNPP, and
        `carbon_map`, `iroot`, `ibulk`, (cell, member).
    remarks : list of str
        What was done to the model's numbers.
    ensemble : ndarray, optional
        Values of each member of the model's own, whose mean `values` is, (layer, cell, member).
    """

    model: str
    variable: str
    unit: str
    values: NDArray[np.floating]
    reference: NDArray[np.floating]
    layers: tuple[str, ...]
    grid: ModelGrid
    index: NDArray[np.int64]
    weight: NDArray[np.float64]
    biome: NDArray[np.int64]
    parts: dict[str, NDArray[np.floating]]
    remarks: list[str]
    ensemble: NDArray[np.floating] | None = None

    @property
    def lat(self) -> NDArray[np.float64]:
        """Latitude of each cell."""
        lat = self.grid.lat[:, None] if self.grid.regular else self.grid.lat
        return np.broadcast_to(lat, self.grid.shape).ravel()[self.index]

    def on_grid(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Values of the cells, (cell,), on their grid, (rows, columns); NaN where there are none."""
        field = np.full(self.grid.shape[0] * self.grid.shape[1], np.nan)
        field[self.index] = np.where(self.weight > 0, values, np.nan)
        return field.reshape(self.grid.shape)

    def classes(self) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
        """Groups of cells that are scored: all, biomes, and bands of latitude from north to south."""
        land = self.weight > 0
        yield "all", "all", land
        for number, name in BIOMES.items():
            if (land & (self.biome == number)).any():
                yield "biome", name, land & (self.biome == number)
        band = np.floor(self.lat / BAND_DEGREES) * BAND_DEGREES
        for south in np.unique(band[land])[::-1]:
            yield "latitude", f"{south:g} to {south + BAND_DEGREES:g}", land & (band == south)


def compare(
    paths: Sequence[Path],
    variable: str,
    results: Results,
    *,
    choice: Choice = ANY,
    seed: int = 20,
    progress: Progress | None = None,
) -> list[Comparison]:
    """Compares each model with the posterior of a finished run.

    Parameters
    ----------
    paths : sequence of Path
        NetCDF files, Zarr stores, or folders of them, each of one or more models.
    variable : str
        One of the variables that `bayes-rootc benchmark --help` lists.
    choice : Choice
        Years, experiment and grid, and whether members are averaged.
    seed : int
        Seed of the errors of the gridded stock.
    progress : callable, optional
        Called with the rows done and wanted.

    Returns
    -------
    list of Comparison
        One for each model.

    Raises
    ------
    InputError
        A file of the run or of a model is missing or unusable, or a model's grid seems to be flipped or shifted.
    """
    source, known = Source.of(results), dict[tuple[bytes, bytes, bool], xr.Dataset]()
    out = []
    for path in paths:
        for output in read_models(path, TURNOVER_SETS if variable == TURNOVER else Wanted([(variable,)]), choice):
            fields = on_common_grid(output.fields, source)
            members = {name: on_common_grid(of_member, source) for name, of_member in output.members.items()}
            grid, layered = next(iter(fields.values())).grid, next(iter(fields.values())).values.ndim == 3
            key = grid.lat_edges.tobytes(), grid.lon_edges.tobytes(), layered
            if key not in known:
                known[key] = posterior_on(grid, source, layered=layered, progress=progress)
            out.append(
                _comparison(path, variable, ModelOutput(output.model, fields, members), known[key], source, seed)
            )
    return out


def on_common_grid(fields: dict[str, ModelField], source: Source) -> dict[str, ModelField]:
    """A model's fields on the coarser of its grid and that of the maps."""
    grid = next(iter(fields.values())).grid
    if np.median(grid.area_ha) >= 0.99 * np.median(source.grid.area_ha):
        return fields
    ours = ModelGrid.like(source.grid)
    flat = {name: f.values.reshape(-1, grid.shape[0] * grid.shape[1]) for name, f in fields.items()}
    out = {name: np.full((len(v), ours.shape[0] * ours.shape[1]), np.nan) for name, v in flat.items()}
    for row, cells in source.land():
        overlap, at = grid.overlap(cells).T, row * ours.shape[1] + cells.index
        for name, v in flat.items():
            known = np.isfinite(v)
            with np.errstate(invalid="ignore", divide="ignore"):
                out[name][:, at] = ((overlap @ np.where(known, v, 0).T) / (overlap @ known.T.astype(float))).T
    return {
        name: replace(field, grid=ours, values=out[name].reshape(*field.values.shape[:-2], *ours.shape))
        for name, field in fields.items()
    }


def _comparison(
    path: Path, variable: str, output: ModelOutput, posterior: xr.Dataset, source: Source, seed: int
) -> Comparison:
    """The model's values and the map's, of one meaning and unit."""
    first = next(iter(output.fields.values()))
    remarks = [remark for one in output.fields.values() for remark in one.remarks]
    if first.grid.shape[0] > 1:
        check_orientation(path, first.values, posterior)
    iroot, ibulk = (posterior[name].transpose("layer", "cell", "draw").values for name in ("iroot", "ibulk"))
    index, area, f_bnpp = (posterior[name].values for name in ("cell", "area_ha", "f_bnpp"))
    stock_error = stock_errors(posterior.sizes["cell"], posterior.sizes["draw"], source, seed)
    carbon = posterior["stock"].values.T[:, :, None] * stock_error
    values, parts = _compared(variable, _at(output.fields, index), f_bnpp)
    layers: tuple[str, ...] = LAYER_NAMES if len(values) > 1 else (PROFILE_NAME,)
    reference: NDArray[np.floating]
    unit = "Mg C ha-1 yr-1"
    match variable:
        case "nppRoot" | "npp" | "rh":
            reference = iroot
        case "cSoil" | "cSoilLevels":
            unit = "Mg C ha-1"
            reference = carbon if len(values) > 1 else carbon.sum(axis=0, keepdims=True)
        case "cSoilAbove1m":
            reference = carbon[:METRE_LAYERS].sum(axis=0, keepdims=True)
            unit, layers = "Mg C ha-1", ("0-100",)
        case _:
            whole = carbon.sum(axis=0)
            parts |= {"carbon_map": whole, "iroot": iroot[0], "ibulk": ibulk[0]}
            reference, unit = _log(whole / ibulk[0])[None], "log yr"
    usable = (np.isfinite(values).any(axis=0) & np.isfinite(reference).any(axis=0)).all(axis=1)
    weight = np.where(usable, area, 0.0)
    if not weight.any():
        raise InputError(f"has no value of `{variable}` where our maps have land", file=path)
    mean_fraction = f_bnpp.mean(axis=1, keepdims=True)
    members = [_compared(variable, _at(of_one, index), mean_fraction).values for of_one in output.members.values()]
    ensemble = np.concatenate(members, axis=2) if members else None
    where = first.grid, index, weight, posterior["biome"].values
    return Comparison(output.model, variable, unit, values, reference, layers, *where, parts, remarks, ensemble)


def _at(fields: dict[str, ModelField], index: NDArray[np.int64]) -> Fields:
    """Values of fields in some cells of their flattened grid."""
    cells = next(iter(fields.values())).grid.shape
    return {name: one.values.reshape(-1, cells[0] * cells[1])[:, index, None] for name, one in fields.items()}


def _compared(variable: str, model: Fields, f_bnpp: NDArray[np.floating]) -> Compared:
    """What of a model has the meaning of our maps.

    Parameters
    ----------
    f_bnpp : ndarray
        Our part of production below ground, (cell, member).
    """
    if variable != TURNOVER:
        values = model[variable]
        return Compared(values * f_bnpp if variable in ("npp", "rh") else values, {})
    if "tau" in model:
        return Compared(_log(model["tau"][:1]), {})
    flux = next(name for name in model if name != "cSoil")
    parts = {"carbon": model["cSoil"][0], "input": model[flux][0]}
    parts["below"] = parts["input"] * f_bnpp
    with np.errstate(invalid="ignore", divide="ignore"):
        return Compared(_log(parts["carbon"] / parts["input"])[None], parts)


def _log(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Logarithm of what is positive, NaN elsewhere."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log(np.where(values > 0, values, np.nan))


def check_orientation(path: Path, values: NDArray[np.float64], posterior: xr.Dataset) -> None:
    """Refuses a model grid that is flipped north–south or shifted by 180°."""
    field = values[0] if values.ndim == 3 else values
    index, area = posterior["cell"].values, posterior["area_ha"].values

    def cover(turned: NDArray[Any]) -> float:
        there = turned.ravel()[index]
        return float(area[np.isfinite(there) & (there != 0)].sum() / area.sum())

    here = cover(field)
    if here >= LEAST_COVER or field.shape[1] < 4:
        return
    turned = {
        "latitudes seem to be upside down": field[::-1],
        "longitudes seem to be off by 180°": np.roll(field, field.shape[1] // 2, axis=1),
    }
    for what, other in turned.items():
        if cover(other) >= max(GOOD_COVER, 1.5 * here):
            raise InputError(
                f"{what}: it has values on {100 * here:.0f} % of our land, turned on {100 * cover(other):.0f} %",
                file=path,
            )


def stock_errors(cells: int, members: int, source: Source, seed: int) -> NDArray[np.float64]:
    """Factors of the gridded stock, (cell, member), of mean 1: the scatter of measured layers about it, each cell for
    itself, and the uncertainty of its bias, in all cells alike.
    """
    rng = np.random.default_rng(seed)
    sd = source.stock.log_sd
    shared = MEDIAN_ERROR * sd / np.sqrt(max(source.stock.compared, 1)) * rng.standard_normal(members)
    own = sd * rng.standard_normal((cells, members), dtype=np.float32)
    factors: NDArray[np.float64] = np.exp(own + (shared - sd**2 / 2).astype(np.float32))
    return factors


def score_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """`scores.csv`: a row a model, layer and group of cells. Scores that compare fields come with the 95 % interval of
    the posterior.
    """
    rows = []
    for c in comparisons:
        for layer, name in enumerate(c.layers):
            values, reference = c.values[layer], c.reference[layer]
            known = np.isfinite(values).all(axis=1) & np.isfinite(reference).all(axis=1)
            for group, label, inside in c.classes():
                here = inside & known
                if here.any():
                    where = {"model": c.model, "variable": c.variable, "layer": name, "group": group, "class": label}
                    ensemble = _ensemble(c.ensemble[layer, here] if c.ensemble is not None else None, c.weight[here])
                    row = where | _scores(values[here], reference[here], c.weight[here]) | ensemble
                    rows.append(row | {"unit": c.unit})
    return pd.DataFrame(rows)


def _scores(values: NDArray[Any], reference: NDArray[Any], weight: NDArray[Any]) -> dict[str, object]:
    difference = values - reference
    correlation, ratio = scores.pattern(values, reference, weight)
    draws = {
        "model": weight @ np.broadcast_to(values, difference.shape) / weight.sum(),
        "map": weight @ reference / weight.sum(),
        "bias": scores.bias(difference, weight),
        "rmse": scores.rmse(difference, weight),
    }
    if len(weight) > 2:  # a pattern needs more than two cells
        draws |= {"correlation": correlation, "sd_ratio": ratio}
        draws["distribution_score"] = scores.distribution_score(correlation, ratio)
    row: dict[str, object] = {"area_mha": float(weight.sum()) / 1e6, "cells": len(weight)}
    for name, draw in draws.items():
        row |= {f"{name}_{key}": float(value) for key, value in summarise(draw).items()}
    row["crps"] = float(weight @ ensemble_crps(np.zeros(len(weight)), difference) / weight.sum())
    return row | scores.coverage(difference, weight) | scores.ilamb_scores(difference, reference, weight)


def _ensemble(values: NDArray[Any] | None, weight: NDArray[Any]) -> dict[str, object]:
    """Members of a model's own, and the standard deviation between their means over the land."""
    if values is None:
        return {"members": 1, "members_sd": np.nan}
    known = np.isfinite(values)
    means = weight @ np.where(known, values, 0) / (weight @ known)
    return {"members": values.shape[1], "members_sd": float(means.std(ddof=1))}


def factor_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """`turnover_factor.csv`: how many times too fast a model turns carbon over, and why, by biome and latitude.

    factor = (input / carbon of the model) / (I_bulk / stock) is the product of `stock` (our stock over the model's),
    `aboveground` (the model's input over the part of it that our f_BNPP sends below ground), `production` (that part
    over I_root) and `loss` (I_root over I_bulk: what a model that sends all root carbon to bulk soil overlooks).
    `loss_share`: log `loss` over log `factor`.
    """
    rows = []
    for c in comparisons:
        if not c.parts:
            continue
        for group, label, inside in c.classes():
            w = c.weight[inside]
            total = {name: w @ a[inside] for name, a in c.parts.items()}
            if "carbon" in total:
                turnover = total["input"] / total["carbon"]
                draws = {
                    "stock": total["carbon_map"] / total["carbon"],
                    "aboveground": total["input"] / total["below"],
                    "production": total["below"] / total["iroot"],
                    "loss": total["iroot"] / total["ibulk"],
                }
            else:
                carbon, age = c.parts["carbon_map"][inside].mean(axis=1, keepdims=True), np.exp(c.values[0][inside])
                turnover, draws = w @ (carbon / age) / (w @ carbon), {"loss": total["iroot"] / total["ibulk"]}
            factor = turnover / (total["ibulk"] / total["carbon_map"])
            row: dict[str, object] = {"model": c.model, "group": group, "class": label, "area_mha": w.sum() / 1e6}
            shares = {"loss_share": np.log(draws["loss"]) / np.log(factor)}
            for name, draw in ({"factor": factor} | draws | shares).items():
                row |= {f"{name}_{key}": float(value) for key, value in summarise(draw).items() if key != "mean"}
            rows.append(row | {"probability_too_fast": float((factor > 1).mean())})
    return pd.DataFrame(rows)
