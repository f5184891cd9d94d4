"""Turnover: how fast the carbon of soil layers is replaced, from their radiocarbon; a fitted object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import xarray as xr

from ..data.atmosphere import Atmosphere, Prehistory
from ..data.own_tables import (
    Covariates,
    OwnTable,
    covariate_groups,
    flat,
    layer_table,
    parts_columns,
    respired_columns,
    row_coordinates,
)
from ..errors import InputError
from ..models.rates import PERSISTING, FamilyName, input_rate, mean_age, persisting_rate
from ..models.turnover import Level, TurnoverModel
from ..progress import Progress, part_of
from ..seeds import child_seed
from . import turnover_checks
from .fitted import Fitted, say_unused
from .store import read_fit, read_tree, save_turnover, turnover_tree
from .turnover_fit import TurnoverFit, diagnose_fit, draw_layers, fit_turnover

ALL_LAYERS = "all layers"
"""Name of the one biome of a table without biomes."""

SAMPLING = 5
"""How much longer sampling takes than drawing the layers, for the progress that is shown."""


class Turnover(Fitted):
    """Decay rates of soil layers from their radiocarbon, in one hierarchical model (`models.turnover`).

    All layers are fitted together: how log k falls with depth, differs between biomes and places, and scatters between
    profiles and layers. A layer's own measurement is weighed against what the others say about it.

    Parameters
    ----------
    covariates : sequence of str, or mapping of str to sequence of str
        Names of numeric columns (soil, climate, topography), or such names by group. Each group is rotated to principal
        components. They are used where the table has 30 profiles with all of them; otherwise a warning says so.
    columns : mapping of str, optional
        Names in your tables by the names used here, for those that differ.
    prehistory : {"steady", "intcal20"}
        State of the carbon in 1950.
    error : {"student", "normal"}
        Distribution of the errors of Δ14C: Student's t, which is robust against outliers, or Normal.
    pool_spread : float or "inferred"
        Standard deviation of log k within a layer; 0 is one homogeneous pool. "inferred": it changes with depth and is
        estimated, above all by comparing the Δ14C that layers respire with that of their bulk carbon (`incubations`
        of `fit`), and that of their light carbon with that of their heavy carbon (`fractions`).
    family : {"log-normal", "two pools"}
        How rates within a layer are distributed, where their spread is inferred.
    levels : sequence of {"site", "study"}
        What profiles have in common with others, from the lowest level up: log k also differs between sites, and
        between studies (columns of the table; a level that it does not have, or has too few of, is left out). What is
        said of a new place is then of a new study, and of the mean of all is less certain.
    chains, tune, draws : int
        Chains, and warm-up steps and kept draws of each.
    seed : int
        All randomness flows from it.
    atmosphere : Atmosphere, optional
        Curves to use instead of the packaged ones.

    Attributes
    ----------
    posterior : DataTree
        The fit in ArviZ's form: hyperparameters and `log_k` of the layers in `posterior`, replicates of Δ14C in
        `posterior_predictive`, and so on.

    Examples
    --------
    A table with column names of its own, from one region and therefore without biomes:

    >>> import bayes_rootc as rc
    >>> turnover = rc.Turnover(columns={"delta14c": "d14C", "top": "upper", "bottom": "lower"})
    >>> turnover.fit(pd.DataFrame({"d14C": [85.0], "upper": 0, "year": 2008.5}))
    Traceback (most recent call last):
    bayes_rootc.errors.InputError: columns: the table has no column lower for bottom; found d14C, upper, year
    """

    _kind = "turnover"

    def __init__(
        self,
        covariates: Covariates = (),
        *,
        columns: Mapping[str, str] | None = None,
        prehistory: Prehistory = "intcal20",
        error: Literal["student", "normal"] = "student",
        pool_spread: float | Literal["inferred"] = "inferred",
        family: FamilyName = "log-normal",
        levels: Sequence[Level] = ("site", "study"),
        chains: int = 4,
        tune: int = 100,
        draws: int = 500,
        seed: int = 20,
        atmosphere: Atmosphere | None = None,
    ):
        self.groups = covariate_groups(covariates)
        self.columns, self.seed = columns, seed
        self.model = TurnoverModel(prehistory, error, pool_spread, family=family, levels=tuple(levels))
        self.sampling = {"chains": chains, "tune": tune, "draws": draws}
        self.atmosphere = atmosphere or Atmosphere.packaged()
        self.layers: pd.DataFrame | None = None
        self.drawn: xr.Dataset | None = None
        self._fit: TurnoverFit | None = None

    @property
    def hyperparameters(self) -> TurnoverFit:
        """The fit of the hyperparameters, which `inference.turnover_fit` draws layers from.

        Raises
        ------
        InputError
            Nothing has been fitted.
        """
        if self._fit is None:
            raise self._unfitted()
        return self._fit

    def fit(
        self,
        layers: pd.DataFrame,
        incubations: pd.DataFrame | None = None,
        fractions: pd.DataFrame | None = None,
        *,
        until_good: bool = True,
        progress: Progress | None = None,
    ) -> Self:
        """Fits the model to a table of layers.

        Parameters
        ----------
        layers : DataFrame
            One row a layer: `top`, `bottom` (cm), `year` (decimal), `lat` and `lon` (or `zone`, of the atmosphere), and
            `delta14c` (‰), `fraction_modern` or `percent_modern`; the covariates; optionally `sigma` (in the unit of
            the measurement; 5 ‰ where unknown), `study`, `site`, `profile` (any labels; else a profile is a place),
            `biome` (number or name; else all layers are of one), `id`.
        incubations : DataFrame, optional
            One row an incubation of such a layer without living roots: `layer`, its label in the index of `layers`;
            `delta14c` (‰) of the CO₂, or another form of it; optionally `sigma`, and `length`, in days. Needs
            `pool_spread="inferred"`.
        fractions : DataFrame, optional
            One row a layer whose carbon was parted by density: `layer`, its label; `light` and `heavy`, Δ14C (‰) of the
            parts; `light_share`, the share of the carbon that is light; optionally `light_sigma` and `heavy_sigma`.
            Needs `pool_spread="inferred"`.
        until_good : bool
            Continue sampling while R-hat or effective sample sizes are not good.
        progress : callable, optional
            Called with the draws done and wanted.

        Returns
        -------
        Turnover
            The object itself.

        Raises
        ------
        InputError
            A column is missing, a value is impossible, or there are too few layers.
        """
        own = layer_table(layers, self.columns, flat(self.groups), measured=True)
        for name, table in (("incubations", incubations), ("fractions", fractions)):
            if table is not None and not self.model.inferred:
                raise InputError(f'{name} tell the spread of rates within a layer: set pool_spread="inferred"')
        if incubations is not None:
            own = own.join(respired_columns(incubations, layers.index, own["year"], self.columns))
        if fractions is not None:
            own = own.join(parts_columns(fractions, layers.index))
        fit = fit_turnover(
            own,
            self.groups,
            self.atmosphere,
            self.model,
            seed=child_seed(self.seed, "fit"),
            until_good=until_good,
            progress=part_of(progress, 0, SAMPLING + 1, span=SAMPLING),
            **self.sampling,
        )
        say_unused(self.groups, fit.components, "profiles")
        self.layers, self._fit = own, fit
        stream = child_seed(self.seed, "layers")
        self.drawn = draw_layers(
            fit, own, self.atmosphere, seed=stream, progress=part_of(progress, SAMPLING, SAMPLING + 1)
        )
        prior = turnover_checks.draw_prior(fit, own, self.atmosphere, seed=child_seed(self.seed, "prior"))
        tree = turnover_tree(own, self.drawn, fit, prior=prior)
        has_biome = OwnTable(layers, self.columns).has("biome")
        if not has_biome:
            names = [ALL_LAYERS, *tree["posterior"].to_dataset()["biome"].values[1:]]
            tree = tree.map_over_datasets(lambda d: d.assign_coords(biome=names) if "biome" in d.dims else d)
        self._posterior = tree
        return self

    def predict(self, layers: pd.DataFrame, *, draws: int = 1000, seed: int | None = None) -> xr.Dataset:
        """Posterior of layers that were not in the fit.

        Parameters
        ----------
        layers : DataFrame
            Columns as in `fit`. Radiocarbon is optional here; where a layer has it, it informs the layer and the others
            of its profile.
        draws : int
            Maximum number of draws.
        seed : int, optional
            Seed of these draws; by default derived from the object's seed.

        Returns
        -------
        Dataset
            Over `draw` and `layer`, the index of the table: `log_k`; in steady state `k` (yr⁻¹, input over stock),
            `age` (yr, mean of the carbon), `transit_time` (yr, mean of what leaves) and `persisting` (yr⁻¹, input over
            stock of what stays longer than each `time`, yr); and `delta14c` (‰) of a new measurement. Where the spread
            of rates is inferred, also `spread`, that of log k within the layer, with two pools `fast`, the share of the
            faster one, and `respired`, Δ14C (‰) of the CO₂.

        Raises
        ------
        InputError
            Nothing has been fitted, a column is missing, or a value is impossible.
        """
        fit = self.hyperparameters
        own = layer_table(layers, self.columns, flat(self.groups), measured=False)
        count = min(draws, fit.samples["tau_layer"].size)
        stream = child_seed(self.seed, "predict") if seed is None else seed
        drawn = draw_layers(fit, own, self.atmosphere, seed=stream, count=count)
        log_k, (spread, fast, _) = drawn["log_k"].values.astype(float), fit.shape(own, count)
        rate, dims = input_rate(log_k, spread, fast), ("draw", "layer")
        persisting = np.stack([persisting_rate(log_k, spread, years, fast) for years in PERSISTING])
        found = xr.Dataset(
            {
                "log_k": (dims, log_k, {"long_name": "log of the decay rate", "units": "log(yr-1)"}),
                "k": (dims, rate, {"long_name": "input over stock", "units": "yr-1"}),
                "age": (dims, mean_age(log_k, spread, fast), {"long_name": "mean age of the carbon", "units": "yr"}),
                "transit_time": (dims, 1 / rate, {"long_name": "mean transit time", "units": "yr"}),
                "persisting": (("time", *dims), persisting, {"long_name": "input that stays", "units": "yr-1"}),
                "delta14c": (
                    dims,
                    drawn["replicated"].values,
                    {"long_name": "a new measurement", "units": "per mille"},
                ),
            },
            coords=row_coordinates(layers.index, "layer", taken=("draw", "time")),
        ).assign_coords(time=("time", list(PERSISTING), {"units": "yr"}))
        if fit.model.inferred:
            found["spread"] = dims, spread, {"long_name": "standard deviation of log k within the layer", "units": "1"}
            if fast is not None:
                found["fast"] = dims, fast, {"long_name": "share of the faster pool", "units": "1"}
            found["respired"] = dims, drawn["respired"].values, {"long_name": "CO2 respired", "units": "per mille"}
        return found

    def _diagnostics(self) -> dict[str, Any]:
        return diagnose_fit("turnover", self.hyperparameters) | self._leave_one_out("profiles")

    def _held_out(self, folds: int, progress: Progress | None) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        layers = self._fitted_to(self.layers)
        scores, fits = turnover_checks.cross_validate(
            layers,
            self.groups,
            self.atmosphere,
            self.hyperparameters.model,
            seed=child_seed(self.seed, "folds"),
            folds=folds,
            progress=progress,
        )
        return scores, turnover_checks.score_table(scores, layers), fits

    def _ranks(self, simulations: int, progress: Progress | None) -> pd.DataFrame:
        return turnover_checks.calibrate(
            turnover_checks.calibration_layers(self._fitted_to(self.layers)),
            self.atmosphere,
            self.hyperparameters.model,
            seed=child_seed(self.seed, "calibration"),
            simulations=simulations,
            progress=progress,
        )[0]

    def _about(self) -> dict[str, Any]:
        return {"groups": self.groups, "columns": self.columns, "seed": self.seed}

    def _write(self, path: Path, tree: xr.DataTree) -> None:
        save_turnover(path, tree)

    @classmethod
    def load(cls, path: str | PathLike[str], *, atmosphere: Atmosphere | None = None) -> Self:
        """Reads an object that was saved, or the `posterior/turnover.nc` of a run.

        Parameters
        ----------
        path : path
            File that `save` or a run wrote.
        atmosphere : Atmosphere, optional
            Curves of the fit, if it did not use the packaged ones.

        Returns
        -------
        Turnover
            An object that predicts the same.

        Raises
        ------
        InputError
            The file was written neither by `save` nor by a run.
        """
        fit, tree = read_fit(Path(path)), read_tree(Path(path), "turnover")
        own = json.loads(tree.attrs.get("own_table", "{}"))
        model = fit.model
        made = cls(
            own.get("groups", list(fit.components.covariates)),
            columns=own.get("columns"),
            prehistory=model.prehistory,
            error=model.error,
            pool_spread=model.pool_spread,
            family=model.family,
            levels=model.levels,
            chains=len(fit.samples["tau_layer"]),
            draws=fit.samples["tau_layer"].shape[1],
            seed=own.get("seed", 20),
            atmosphere=atmosphere,
        )
        made._fit, made._posterior = fit, tree
        return made
