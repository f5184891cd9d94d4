"""The output folder of a run, read when asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from ..constants import LAYER_NAMES, MAP_FOREST, PROFILE_NAME
from ..data.atmosphere import Atmosphere
from ..data.covariates import CovariateStack
from ..data.netcdf import open_dataset, open_tree, require
from ..data.tables import reason_of
from ..errors import InputError
from ..mapping.draw import Basemap
from ..schemas import needed_columns
from .contents import SETTINGS, TURNOVER_VARIABLES, maps_of

TURNOVER = "posterior/turnover.nc"
LISTED = 12
"""Tables that are named, at most, where there is none of a name."""


@dataclass(frozen=True)
class Results:
    """Tables, maps, posteriors and record of a finished run; each is read once, when it is first used.

    `Results.read("out").table("iloss_estimates")` is a data frame, `.maps` a dataset over (layer, lat, lon).

    Parameters
    ----------
    out : Path
        Output folder of the run.
    data : Path, optional
        Data folder, if it has moved since the run.
    """

    out: Path
    data: Path | None = None
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def read(cls, out: str | Path, *, data: str | Path | None = None) -> Results:
        """Results of an output folder.

        Figures take land and atmosphere from the data folder, which by default is that of the run.

        Parameters
        ----------
        out : str or Path
            Output folder of a finished run.
        data : str or Path, optional
            Data folder, if it has moved since the run.

        Returns
        -------
        Results
            The results; files are read when they are first used.

        Raises
        ------
        InputError
            The folder does not exist, or no run has ended in it (it has no `run.json`).
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
        if not lacking:
            lacking = [f"settings.{key}" for key in SETTINGS if key not in record["settings"]]
        if lacking:
            raise InputError(f"has no `{lacking[0]}`: not the record of a run", file=path)
        return record

    @property
    def simulated(self) -> bool:
        """Whether the data were those of the demo world."""
        return bool(self.run.get("simulated", False))

    def table(self, name: str, *columns: str) -> pd.DataFrame:
        """A table by its name without ending. Do not write into it: it is shared.

        Parameters
        ----------
        name : str
            Any `tables/NAME.csv` of the folder.
        *columns : str
            Columns that it must have, besides those of its schema (`bayes_rootc.schemas`).

        Raises
        ------
        InputError
            The table does not exist, is not readable, or lacks a column.
        """
        path, needed = self.out / "tables" / f"{name}.csv", needed_columns(name)
        if name not in self._tables:
            there = sorted(table.stem for table in (self.out / "tables").glob("*.csv"))
            if name not in there:
                listed = ", ".join(get_close_matches(name, there, n=LISTED, cutoff=0))
                choose = f" choose one of {listed} ({len(there)} in all), or" if listed else ""
                text = f"not found in the output folder;{choose} let `bayes-rootc run` finish first"
                raise InputError(text, file=path)
            try:
                self._tables[name] = pd.read_csv(path)
            except pd.errors.EmptyDataError:
                self._tables[name] = pd.DataFrame(columns=needed)  # written without rows: there was nothing to report
            except (pd.errors.ParserError, UnicodeDecodeError) as error:
                raise InputError(f"not a readable CSV table ({error})", file=path) from None
        lacking = [column for column in (*needed, *columns) if column not in self._tables[name]]
        if lacking:
            text = f"lacks the column {', '.join(lacking)}: not as `bayes-rootc run` writes it; run that again"
            raise InputError(text, file=path)
        return self._tables[name]

    def has(self, *names: str) -> bool:
        """Whether the tables of these names were all written."""
        return all((self.out / "tables" / f"{name}.csv").is_file() for name in names)

    @property
    def map_middle(self) -> str:
        """What maps show of the members of a cell: their `mean`; or, where bootstraps have stretched them so far that
        the largest outweigh the rest, their `median`, which is what the forests predict.
        """
        return "median" if self.run["settings"].get("tau_bootstraps") else "mean"

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
        InputError
            The folder is no longer there.
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
        """`maps/maps.nc`, lazily: (layer, lat, lon); the layers and statistics that were asked for."""
        return open_dataset(self.path("maps/maps.nc"), ("layer", "lat", "lon", "biome"), command="map")

    @property
    def map_layers(self) -> list[str]:
        """Layers that the maps have, in the order of depth, the profile last."""
        there = self.maps["layer"].values.astype(str)
        return [layer for layer in (*LAYER_NAMES, PROFILE_NAME) if layer in there]

    def has_maps_of(self, figure: str) -> bool:
        """Whether the maps that a figure shows were made."""
        needed = maps_of(figure, self.map_middle)
        if not needed:
            return True
        layers = set(self.map_layers)
        if figure in ("loss_map", "production_maps") and PROFILE_NAME not in layers:
            return False
        # the median of the profile is not what is predicted; the sum of the layers is
        summed = figure == "ibulk_maps" and self.map_middle == "median" and PROFILE_NAME in layers
        return all(name in self.maps for name in needed) and (not summed or set(LAYER_NAMES) <= layers)

    @cached_property
    def turnover(self) -> xr.DataTree:
        """`posterior/turnover.nc`: draws of log k, replicated and observed Δ14C of every layer."""
        return open_tree(self.path(TURNOVER), TURNOVER_VARIABLES, command="fit turnover")

    def require_turnover(self, needed: Mapping[str, Iterable[str]]) -> xr.DataTree:
        """The same, if it has these variables, by group.

        Raises
        ------
        InputError
            It lacks one.
        """
        require(self.turnover, needed, self.path(TURNOVER), command="fit turnover")
        return self.turnover

    def close(self) -> None:
        """Closes the NetCDF files, so that another run may replace them."""
        for name in ("maps", "turnover"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    def path(self, relative: str) -> Path:
        """Path of a file of the folder.

        Raises
        ------
        InputError
            It is not there.
        """
        path = self.out / relative
        if not path.is_file():
            raise InputError("not found in the output folder; let `bayes-rootc run` finish first", file=path)
        return path
