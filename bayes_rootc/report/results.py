"""The output folder of a run, read when asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from ..constants import MAP_FOREST
from ..data.atmosphere import Atmosphere
from ..data.covariates import CovariateStack
from ..data.tables import reason_of
from ..errors import InputError
from ..mapping.draw import Basemap

TABLES = (
    "checks",
    "layers",
    "turnover_population",
    "turnover_ages",
    "turnover_ppc",
    "turnover_misfit",
    "turnover_held_out",
    "turnover_cv",
    "turnover_sbc_ranks",
    "turnover_prehistory",
    "ibulk_profiles",
    "learners",
    "held_out",
    "learners_held_out",
    "learners_importance",
    "variograms",
    "iloss_estimates",
    "iloss_letters",
    "turnover_factor",
    "sites",
    "npp_sites",
    "summary_global",
    "summary_biome",
    "summary_depth",
    "map_totals",
    "drivers_iroot",
    "drivers_iroot_summary",
    "drivers_ibulk",
    "drivers_ibulk_summary",
    "allocation",
    "allocation_summary",
    "allocation_biome",
    "root_depth",
    "root_shares",
    "stock_sources",
    "paper_comparison",
    "diagnostics",
)


@dataclass(frozen=True)
class Results:
    """Tables, maps, posteriors and record of a finished run; each is read once, when it is first used.

    `Results.read("out").table("iloss_estimates")` is a data frame, `.maps` a dataset over (layer, lat, lon).
    """

    out: Path
    data: Path | None = None
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def read(cls, out: str | Path, *, data: str | Path | None = None) -> Results:
        """Results of an output folder. The data folder, of which figures take land and atmosphere, is that of the run
        where it is not given.

        Raises
        ------
        InputError : there is no such folder, or no run has ended in it (it has no `run.json`).
        """
        out = Path(out)
        if not out.is_dir():
            raise InputError("no such output folder", file=out)
        results = cls(out, Path(data) if data else None)
        _ = results.run
        return results

    @cached_property
    def run(self) -> dict[str, Any]:
        """`run.json`: settings, seed, versions, checksums, times."""
        path = self.path("run.json")
        try:
            record = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(f"not valid JSON ({reason_of(error)})", file=path) from None
        lacking = [key for key in ("settings", "seed", "versions", "input_sha256") if key not in record]
        if lacking:
            raise InputError(f"has no `{lacking[0]}`: not the record of a run", file=path)
        return record

    @property
    def simulated(self) -> bool:
        """Whether the data were those of the demo world."""
        return bool(self.run.get("simulated", False))

    def table(self, name: str) -> pd.DataFrame:
        """A table by its name without ending. Do not write into it: it is shared.

        Raises
        ------
        InputError : the run has not written it, it is not readable, or no run writes a table of that name.
        """
        if name not in TABLES:
            raise InputError(f"`{name}` is not a table of a run, choose from {', '.join(TABLES)}")
        if name not in self._tables:
            path = self.path(f"tables/{name}.csv")
            try:
                self._tables[name] = pd.read_csv(path)
            except pd.errors.EmptyDataError:
                self._tables[name] = pd.DataFrame()  # written without rows: there was nothing to tell
            except (pd.errors.ParserError, UnicodeDecodeError) as error:
                raise InputError(f"not a readable CSV table ({error})", file=path) from None
        return self._tables[name]

    def has(self, *names: str) -> bool:
        """Whether the tables of these names were all written."""
        return all((self.out / "tables" / f"{name}.csv").is_file() for name in names)

    @property
    def map_forest_scores(self) -> pd.DataFrame:
        """Rows of `tables/learners.csv` of the forests that make the maps."""
        scores = self.table("learners")
        return scores[scores["learner"] == MAP_FOREST]

    @property
    def folder(self) -> Path:
        """The data folder: the given one, that of the run, or the demo world that the run made in its output folder.

        Raises
        ------
        InputError : it is not there any more.
        """
        folder = self.data
        if folder is None:
            known = self.run["settings"]["data"]
            folder = Path(known) if known else self.out / "demo-data"
        if not folder.is_dir():
            raise InputError("no such data folder; say where it is with --data", file=folder)
        return folder

    @cached_property
    def land(self) -> Basemap:
        """Land and coastline of the biome raster of the data folder."""
        return Basemap.of(CovariateStack(self.folder / "covariates"))

    @property
    def atmosphere(self) -> Atmosphere:
        """Radiocarbon of the atmosphere, of the data folder."""
        return Atmosphere.read(self.folder / "atmosphere")

    @cached_property
    def maps(self) -> xr.Dataset:
        """`maps/maps.nc`, lazily: (layer, lat, lon)."""
        path = self.path("maps/maps.nc")
        with _readable(path):
            maps = xr.open_dataset(path, engine="h5netcdf")
        if not {"layer", "lat", "lon"} <= set(maps.dims):
            maps.close()
            raise InputError("has no layer, lat and lon: not made by `bayes-rootc map`", file=path)
        return maps

    @cached_property
    def turnover(self) -> xr.DataTree:
        """`posterior/turnover.nc`: draws of log k, replicated and observed Δ14C of every layer."""
        path = self.path("posterior/turnover.nc")
        with _readable(path):
            return xr.open_datatree(path, engine="h5netcdf")

    def close(self) -> None:
        """Closes the NetCDF files, so that another run may replace them."""
        for name in ("maps", "turnover"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    def path(self, relative: str) -> Path:
        """Path of a file of the folder.

        Raises
        ------
        InputError : it is not there.
        """
        path = self.out / relative
        if not path.is_file():
            raise InputError("not found in the output folder; let `bayes-rootc run` finish first", file=path)
        return path


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise InputError(f"not a readable NetCDF file ({reason_of(error)})", file=path) from None
