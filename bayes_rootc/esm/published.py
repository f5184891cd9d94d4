"""A published map held against ours: the same quantity, layer and unit, cell by cell, with the uncertainty of both.

| quantity | of ours |
|---|---|
| `iroot`, `ibulk`, `ibulk_t100` | inputs, Mg C ha⁻¹ yr⁻¹ |
| `f_bnpp`, `npp` | the part of production below ground; I_root over it, Mg C ha⁻¹ yr⁻¹ |
| `age`, `transit_time` | of the carbon of the layer, yr, compared by their logarithms |
| `stock` | gridded carbon, freed of its bias at measured layers, Mg C ha⁻¹ |
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.transform import from_bounds
from rasterio.warp import Resampling, reproject

from ..constants import INTERVAL, LAYER_NAMES, LAYERS, PROFILE_NAME
from ..data.grid import MapGrid, open_raster
from ..data.plausible import ALWAYS_CODES
from ..errors import InputError
from ..files import atomic_path, write_csv
from ..progress import Progress
from ..report.results import Results
from ..report.style import save
from .archive import opened
from .compare import Comparison, check_orientation, on_common_grid, score_table, stock_errors
from .coordinates import placed
from .figures import figure_model
from .grids import ModelGrid
from .members import Source, persistence_members, posterior_on
from .model_output import ModelField
from .units import carbon_factor

FLUX, STOCK, AGE, SHARE = "Mg ha-1 yr-1", "Mg ha-1", "yr", "1"
UNITS = {
    "iroot": FLUX,
    "ibulk": FLUX,
    "ibulk_t100": FLUX,
    "npp": FLUX,
    "f_bnpp": SHARE,
    "age": AGE,
    "transit_time": AGE,
    "stock": STOCK,
}
"""Quantities that a published map may be of, and the units in which they are compared."""

LOGARITHMIC = ("age", "transit_time")
PROFILE_ONLY = ("npp", "f_bnpp")
SHOWN = {FLUX: "Mg C ha-1 yr-1", STOCK: "Mg C ha-1", AGE: "log yr", SHARE: "1"}
ABSENT = 1e15


@dataclass(frozen=True)
class Published:
    """A published map, and what has to be known of it.

    Parameters
    ----------
    path : Path
        GeoTIFF or NetCDF; `FILE.nc::NAME` says which variable of several.
    quantity : str
        One of `UNITS`.
    layer : str
        Depth, cm, from one border of our layers to another, such as `0-100`.
    unit : str, optional
        Unit, where the file does not say it.
    uncertainty : Path or float, optional
        Standard deviation: a map like this one, or its ratio to the values.
    """

    path: Path
    quantity: str
    layer: str = PROFILE_NAME
    unit: str | None = None
    uncertainty: Path | float | None = None

    @property
    def name(self) -> str:
        """Name of the map, of its file and variable."""
        file, _, variable = self.path.name.partition("::")
        return "_".join(filter(None, (Path(file).stem, variable)))

    @property
    def layers(self) -> slice:
        """Which of our layers make up the layer.

        Raises
        ------
        InputError
            They do not.
        """
        tops, bottoms = ([str(b[i]) for b in LAYERS] for i in (0, 1))
        top, _, bottom = self.layer.partition("-")
        if top not in tops or bottom not in bottoms or bottoms.index(bottom) < tops.index(top):
            borders = ", ".join(dict.fromkeys([*tops, *bottoms]))
            raise InputError(f"--layer {self.layer}: expected TOP-BOTTOM, two of {borders}")
        if self.quantity in PROFILE_ONLY and self.layer != PROFILE_NAME:
            raise InputError(f"--layer {self.layer}: {self.quantity} is of the whole profile")
        return slice(tops.index(top), bottoms.index(bottom) + 1)


class Field(NamedTuple):
    """Values of a map on a grid, (rows, columns), in the unit of its quantity."""

    values: NDArray[np.float64]
    grid: ModelGrid


def hold_against(
    published: Published, out: Path, *, data: Path | None = None, progress: Progress | None = None
) -> tuple[Path, pd.Series]:
    """Scores of a published map under the posterior of a run, in `compare/NAME-QUANTITY/` of its output folder.

    Writes `scores.csv` (all land, biomes, latitudes), `map.png` and `differs.tif`: 1 where the published map is above
    the 95 % interval of the difference from ours, both being uncertain, −1 where it is below, 0 elsewhere.

    Returns
    -------
    tuple of Path, Series
        The path of `scores.csv`, and its row of all land.

    Raises
    ------
    InputError
        The map is not readable, has no unit, is of another quantity or lies the wrong way; or the run lacks what it is
        compared with.
    """
    layers = published.layers
    results = Results.read(out, data=data)
    try:
        source, seed = Source.of(results), int(results.run["seed"])
        field = _read(str(published.path), published, source.grid)
        spread = _spread(field, published, source.grid)
        both = {
            name: ModelField(published.name, name, f.values, f.grid, [])
            for name, f in {"value": field, "sd": Field(spread, field.grid)}.items()
        }
        both = on_common_grid(both, source)
        grid = both["value"].grid
        posterior = _posterior(published, grid, source, progress)
        check_orientation(published.path, both["value"].values, posterior)
        comparison = _comparison(
            published, both, posterior, _reference(published, layers, posterior, source, seed), seed
        )
        folder = out / "compare" / f"{published.name}-{published.quantity}"
        table = score_table([comparison])
        differs = _differs(comparison)
        table["differs"] = [_share(comparison, differs, row) for _, row in table.iterrows()]
        write_csv(folder / "scores.csv", table)
        save(figure_model(comparison, results), folder / "map.png", simulated=results.simulated)
        _write_raster(folder / "differs.tif", comparison, differs)
    finally:
        results.close()
    return folder / "scores.csv", table.iloc[0]


def _read(path: str, published: Published, grid: MapGrid) -> Field:
    """A map as it is, or averaged over our cells where it is finer or in another system."""
    name, _, variable = path.partition("::")
    file = Path(name)
    if not file.exists():
        raise InputError("no such file", file=file)
    if file.suffix in (".nc", ".nc4") or file.is_dir():
        return _read_netcdf(file, variable, published)
    with open_raster(file) as source:
        if source.crs is None:
            raise InputError("has no coordinate system", file=file)
        unit = source.units[0] or source.tags(1).get("units") or source.tags().get("units")
        step = max(abs(source.res[0]), abs(source.res[1]))
        if source.crs.to_epsg() == 4326 and step > 0.99 * grid.resolution:
            values = source.read(1, masked=True).astype(float).filled(np.nan)
            west, south, east, north = source.bounds
        else:
            west, south, east, north = grid.bbox
            values = np.full(grid.shape, np.nan)
            reproject(
                rasterio.band(source, 1),
                values,
                dst_transform=from_bounds(west, south, east, north, grid.shape[1], grid.shape[0]),
                dst_crs="EPSG:4326",
                dst_nodata=np.nan,
                resampling=Resampling.average,
            )
        scale, offset = source.scales[0], source.offsets[0]
    rows, columns = values.shape
    lat_edges, lon_edges = np.linspace(north, south, rows + 1), np.linspace(west, east, columns + 1)
    middle = [(edges[1:] + edges[:-1]) / 2 for edges in (lat_edges, lon_edges)]
    on = ModelGrid(middle[0], middle[1], np.clip(lat_edges, -90, 90), lon_edges)
    return Field(_in_unit(values * scale + offset, unit, published, file), on)


def _read_netcdf(file: Path, variable: str, published: Published) -> Field:
    with opened(file) as dataset:
        bounds = {str(v.attrs.get("bounds", "")) for v in dataset.variables.values()}
        names = [str(n) for n, v in dataset.data_vars.items() if v.ndim >= 2 and str(n) not in bounds]
        if variable not in names:
            if variable or len(names) != 1:
                text = f"no variable `{variable}`" if variable else "several variables, or none"
                raise InputError(
                    f"{text}; name one as {file.name}::NAME, found {', '.join(names) or 'none'}", file=file
                )
            variable = names[0]
        field = placed(dataset[variable].load(), dataset, file)
        if field.vertical:
            raise InputError(f"dimension {field.vertical}: expected one field", file=file, column=variable)
        values = field.array.values.astype(float)
        unit = field.array.attrs.get("units")
    return Field(_in_unit(values, unit, published, file), field.grid)


def _in_unit(values: NDArray[np.float64], unit: str | None, published: Published, file: Path) -> NDArray[np.float64]:
    given = published.unit or unit
    if not given:
        raise InputError(f"says no unit; give one with --unit, such as `{UNITS[published.quantity]}`", file=file)
    known = np.isfinite(values) & (np.abs(values) < ABSENT) & ~np.isin(values, ALWAYS_CODES)
    factor = carbon_factor(given, UNITS[published.quantity], file)
    values = np.where(known, values * factor, np.nan)
    if not known.any():
        raise InputError("no value anywhere", file=file)
    if np.nanmax(values) <= 0 and np.nanmin(values) < 0:
        raise InputError("is negative everywhere; expected amounts above 0", file=file)
    return values


def _spread(field: Field, published: Published, grid: MapGrid) -> NDArray[np.float64]:
    """Standard deviation of the published map, 0 where nothing is known of it."""
    match published.uncertainty:
        case None:
            return np.zeros_like(field.values)
        case Path() as path:
            found = _read(str(path), published, grid)
            if found.values.shape != field.values.shape:
                raise InputError("is on another grid than the map that it belongs to", file=path)
            return np.abs(found.values)
        case ratio:
            return float(ratio) * np.abs(field.values)


def _posterior(published: Published, grid: ModelGrid, source: Source, progress: Progress | None) -> xr.Dataset:
    quantity = published.quantity
    if quantity in ("age", "transit_time", "ibulk_t100"):
        needed = ("age", "transit_time") if quantity == "age" else (quantity,)
        lacking = [name for name in needed if name not in source.models.persistence]
        if lacking:
            raise InputError(f"the run has no forest of {', '.join(lacking)}: see the setting map_quantities")
        return posterior_on(grid, source, layered=True, make=persistence_members, progress=progress)
    layered = quantity not in PROFILE_ONLY and published.layer != PROFILE_NAME
    return posterior_on(grid, source, layered=layered, progress=progress)


def _reference(
    published: Published, layers: slice, posterior: xr.Dataset, source: Source, seed: int
) -> NDArray[np.floating]:
    """Members of our map, (cell, member), in the unit of the quantity."""

    def summed(name: str) -> NDArray[np.floating]:
        values = posterior[name].values
        return values[:, layers].sum(axis=1) if values.shape[1] == len(LAYER_NAMES) else values[:, 0]

    match published.quantity:
        case "iroot" | "ibulk" | "ibulk_t100" as name:
            return summed(name)
        case "f_bnpp":
            return posterior["f_bnpp"].values
        case "npp":
            return posterior["iroot"].values[:, 0] / posterior["f_bnpp"].values
        case "stock":
            errors = stock_errors(posterior.sizes["cell"], source.member_count, source, seed)
            return posterior["stock"].values[:, layers].sum(axis=1)[:, None] * errors
        case "transit_time":
            return summed("carbon") / summed("ibulk")
        case _:
            return summed("aged") / summed("carbon")


def _comparison(
    published: Published,
    both: dict[str, ModelField],
    posterior: xr.Dataset,
    reference: NDArray[np.floating],
    seed: int,
) -> Comparison:
    index, grid = posterior["cell"].values, both["value"].grid
    value, sd = (both[name].values.reshape(-1)[index, None] for name in ("value", "sd"))
    if published.uncertainty is not None:
        noise = np.random.default_rng(seed).standard_normal(reference.shape)
        # an error in proportion is one of the logarithm, so that no draw falls below 0
        relative = np.divide(sd, np.abs(value), out=np.zeros_like(sd), where=np.abs(value) > 0)
        wide = np.sqrt(np.log1p(relative**2))
        value = value * np.exp(wide * noise - wide**2 / 2)
    if published.quantity in LOGARITHMIC:
        with np.errstate(invalid="ignore", divide="ignore"):
            value, reference = (np.log(np.where(a > 0, a, np.nan)) for a in (value, reference))
    usable = np.isfinite(value).all(axis=1) & np.isfinite(reference).all(axis=1)
    weight = np.where(usable, posterior["area_ha"].values, 0.0)
    if not weight.any():
        raise InputError("has no value where our maps have land", file=published.path)
    return Comparison(
        published.name,
        published.quantity,
        SHOWN[UNITS[published.quantity]],
        value[None],
        reference[None],
        (published.layer,),
        grid,
        index,
        weight,
        posterior["biome"].values,
        {},
        [],
    )


def _differs(c: Comparison) -> NDArray[np.int8]:
    """1 where the published map is above ours beyond both uncertainties, −1 where it is below, (cell,)."""
    low, high = np.quantile(c.values[0] - c.reference[0], INTERVAL, axis=1)
    return np.where(low > 0, 1, np.where(high < 0, -1, 0)).astype(np.int8)


def _share(c: Comparison, differs: NDArray[np.int8], row: pd.Series) -> float:
    """Share of the land of a class where the two differ beyond both uncertainties."""
    inside = next(cells for group, label, cells in c.classes() if (group, label) == (row["group"], row["class"]))
    weight = np.where(inside, c.weight, 0.0)
    return float(weight @ (differs != 0) / weight.sum())


def _write_raster(path: Path, c: Comparison, differs: NDArray[np.int8]) -> None:
    """A GeoTIFF of where the two differ, north up; nothing of a grid that is not regular."""
    steps = [np.diff(edges) for edges in (c.grid.lat_edges, c.grid.lon_edges)]
    if not c.grid.regular or not all(np.allclose(s, s[0], rtol=1e-3) for s in steps):
        return
    field = c.on_grid(differs.astype(float))
    rows, lon = (field if steps[0][0] < 0 else field[::-1]), c.grid.lon_edges
    north, south = c.grid.lat_edges.max(), c.grid.lat_edges.min()
    profile: dict[str, Any] = {
        "driver": "GTiff", "dtype": "int8", "count": 1, "height": rows.shape[0], "width": rows.shape[1],
        "crs": "EPSG:4326", "nodata": -128, "compress": "deflate",
        "transform": from_bounds(lon.min(), south, lon.max(), north, rows.shape[1], rows.shape[0]),
    }  # fmt: skip
    with atomic_path(path) as temporary, rasterio.open(temporary, "w", **profile) as target:
        target.write(np.where(np.isfinite(rows), rows, -128).astype(np.int8), 1)
        text = "1: the published map is higher, -1: lower, beyond the 95 % interval of the difference; 0: within"
        target.set_band_description(1, text)
