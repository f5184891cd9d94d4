"""What all fitted objects have in common: a posterior, once there is one."""

from __future__ import annotations

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..data.netcdf import require
from ..data.own_tables import Covariates, OwnTable, covariate_groups, flat
from ..errors import InputError, InputWarning
from ..files import atomic_path
from ..models.components import MIN_ROWS, Components
from ..models.regression import Records
from ..models.root_depth import RootRecords
from ..progress import Progress
from ..seeds import child_seed
from . import checks
from .regressions import calibrate, cross_validate, fit_regression, flat_draws, score_table
from .sampling import Sampler, Sampling, diagnose
from .store import COMPONENTS, read_tree

NAMED = 5
"""Covariates that a remark names."""


def say_unused(groups: Mapping[str, Sequence[str]], components: Components, units: str) -> None:
    """Warns where covariates were given, and there are too few sites or profiles (`units`) for any to be used."""
    if any(groups.values()) and not components.covariates:
        names = [name for members in groups.values() for name in members]
        named = ", ".join(names[:NAMED]) + f" and {len(names) - NAMED} more" * (len(names) > NAMED)
        text = f"covariates are not used: fewer than {MIN_ROWS} {units} of the table have all of {named}"
        warnings.warn(text, InputWarning, stacklevel=3)


class Fitted(ABC):
    """A model with its settings that may have been fitted."""

    groups: dict[str, list[str]]
    columns: Mapping[str, str] | None
    seed: int
    sampling: dict[str, Any]
    _kind: ClassVar[str]
    _sampled: ClassVar[tuple[str, ...]] = ()
    _units: ClassVar[str] = "units"
    _groups: ClassVar[Mapping[str, tuple[str, ...]]] = {"components": COMPONENTS}
    _posterior: xr.DataTree | None = None

    @property
    def posterior(self) -> xr.DataTree:
        """The posterior, as a DataTree that ArviZ understands.

        Raises
        ------
        InputError
            Nothing has been fitted.
        """
        if self._posterior is None:
            raise self._unfitted()
        return self._posterior

    def check(
        self, *, folds: int = 0, simulations: int = 0, progress: Progress | None = None
    ) -> dict[str, pd.DataFrame]:
        """Diagnostics of the fit: whether it can be trusted.

        Parameters
        ----------
        folds : int
            Folds of a cross-validation that leaves out whole profiles or sites; each costs a fit.
        simulations : int
            Worlds of a simulation-based calibration; each costs a fit.
        progress : callable, optional
            Called with the fits done and wanted.

        Returns
        -------
        dict of DataFrame
            `diagnostics`: R-hat, effective sample sizes, divergences, a verdict (for turnover also the error of the
            quadrature), and leave-one-out by profile or site. With `folds`: `held_out` (how each row lies in its
            prediction without its profile or site), `held_out_scores` (coverage, CRPS, bias by class) and `folds`. With
            `simulations`: `calibration` and `ranks`.

        Raises
        ------
        InputError
            Nothing has been fitted; or the object was loaded, and the table is needed.
        """
        found = {"diagnostics": pd.DataFrame([self._diagnostics()])}
        if folds:
            found |= dict(zip(("held_out", "held_out_scores", "folds"), self._held_out(folds, progress), strict=True))
        if simulations:
            ranks = self._ranks(simulations, progress)
            found |= {"calibration": checks.calibration_table(ranks), "ranks": ranks}
        return found

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the posterior to a NetCDF file, from which `load` makes an object that predicts.

        Parameters
        ----------
        path : path
            File to write.

        Raises
        ------
        InputError
            Nothing has been fitted.
        """
        tree = self.posterior.copy()
        tree.attrs |= {"own_table": json.dumps(self._about())}
        self._write(Path(path), tree)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Reads an object that was saved.

        Parameters
        ----------
        path : path
            File that `save` wrote.

        Returns
        -------
        object of this class
            It predicts the same; cross-validation needs a new fit, as the table is not in the file.

        Raises
        ------
        InputError
            The file was not written by `save`.
        """
        tree = read_tree(Path(path), cls._kind)
        require(tree, cls._groups, Path(path), command=f"fit {cls._kind}")
        own = json.loads(tree.attrs["own_table"]) if "own_table" in tree.attrs else cls._of_run(tree)
        if own is None:
            raise InputError(f"was not written by {cls.__name__}.save", file=Path(path))
        made = cls(**own["settings"])
        made._posterior = tree
        made._restore(own["more"])
        return made

    @classmethod
    def _of_run(cls, tree: xr.DataTree) -> dict[str, Any] | None:
        """What the posterior of a run says of the object; None where a run writes it with `save`."""
        return None

    def _diagnostics(self) -> dict[str, Any]:
        """Row of `diagnostics`."""
        return self._diagnose(self._kind, self.posterior) | self._leave_one_out(self._units)

    def _diagnose(self, name: str, tree: xr.DataTree) -> dict[str, Any]:
        """`diagnose` of the parameters that were sampled."""
        groups = {"posterior": tree["posterior"].to_dataset()[list(self._varying)]}
        return diagnose(name, xr.DataTree.from_dict(groups | {"sample_stats": tree["sample_stats"].to_dataset()}))

    @property
    def _varying(self) -> tuple[str, ...]:
        """Parameters that differ between draws."""
        return self._sampled

    @abstractmethod
    def _held_out(self, folds: int, progress: Progress | None) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Predictions without the own profile or site, their scores, and the diagnostics of the fits."""

    @abstractmethod
    def _ranks(self, simulations: int, progress: Progress | None) -> pd.DataFrame:
        """Ranks of known truths among the draws, a row a simulation."""

    def _about(self) -> dict[str, Any]:
        """What the file says of the object, beyond its posterior."""
        return {"settings": self._settings(), "more": self._more()}

    def _settings(self) -> dict[str, Any]:
        """Arguments that make the object again."""
        return {"covariates": self.groups, "columns": self.columns, "seed": self.seed} | self.sampling

    def _more(self) -> dict[str, Any]:
        """What the object has learnt that the posterior does not hold."""
        return {}

    def _restore(self, more: dict[str, Any]) -> None:  # noqa: B027 (nothing to restore is the usual case)
        """Inverse of `_more`."""

    def parameters(self, count: int) -> dict[str, NDArray[np.float64]]:
        """Draws of the model's parameters by name, (draw, …): `count` of them, evenly spaced, or as many as there are.

        Parameters
        ----------
        count : int
            Maximum number of draws.

        Returns
        -------
        dict of str to ndarray
            The draws.

        Raises
        ------
        InputError
            Nothing has been fitted.
        """
        return flat_draws(self.posterior, self._sampled, count)

    def _places(self, table: pd.DataFrame) -> pd.DataFrame:
        """`lat`, `lon`, `biome` and the covariates of a table."""
        own = OwnTable(table, self.columns)
        places = pd.DataFrame({name: own.numbers(name) for name in ("lat", "lon")}).assign(biome=own.biome())
        return pd.concat([places, own.covariates(flat(self.groups))], axis=1).reset_index(drop=True)

    def _write(self, path: Path, tree: xr.DataTree) -> None:
        with atomic_path(path) as temporary:
            tree.to_netcdf(temporary, engine="h5netcdf")

    def _leave_one_out(self, name: str) -> dict[str, Any]:
        """Leave-one-out from a variable of `log_likelihood`, (chain, draw, unit)."""
        values = self.posterior["log_likelihood"][name].transpose("chain", "draw", ...).values
        return checks.leave_one_out(values.reshape(-1, values.shape[-1]), len(values))

    @staticmethod
    def _fitted_to[T](table: T | None) -> T:
        """What the object was fitted to, which a file does not hold."""
        if table is None:
            raise InputError("cross-validation and calibration need the table: fit again, in this session")
        return table

    def _unfitted(self) -> InputError:
        name = type(self).__name__
        return InputError(f"this {name} has not been fitted; call fit(table) first, or {name}.load(path)")

    def __repr__(self) -> str:
        state = "fitted" if self._posterior is not None else "not fitted"
        return f"<{type(self).__name__}, {state}>"


class FittedRegression[R: (Records, RootRecords)](Fitted):
    """A regression on principal components of covariates, by biome: what `Drivers` and `RootDepth` share."""

    def __init__(
        self,
        covariates: Covariates = (),
        *,
        columns: Mapping[str, str] | None = None,
        sampler: Sampler = "numpyro",
        chains: int = 4,
        tune: int = 200,
        draws: int = 400,
        seed: int = 20,
    ):
        self.groups, self.columns, self.seed = covariate_groups(covariates), columns, seed
        self.sampling: dict[str, Any] = {"sampler": sampler, "chains": chains, "tune": tune, "draws": draws}
        self.records: R | None = None
        self._components: Components | None = None

    @property
    def components(self) -> Components:
        """Principal components of the covariates.

        Raises
        ------
        InputError
            Nothing has been fitted.
        """
        if self._components is None:
            raise self._unfitted()
        return self._components

    def _held_out(self, folds: int, progress: Progress | None) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        records = self._fitted_to(self.records)
        how: dict[str, Any] = {"sampler": self.sampling["sampler"], "progress": progress}
        scores, fits = cross_validate(records, seed=child_seed(self.seed, "folds"), folds=folds, **how)
        return scores, score_table(scores, records), fits

    def _ranks(self, simulations: int, progress: Progress | None) -> pd.DataFrame:
        how: dict[str, Any] = {"sampler": self.sampling["sampler"], "progress": progress}
        stream = child_seed(self.seed, "calibration")
        return calibrate(self._fitted_to(self.records), seed=stream, simulations=simulations, **how)[0]

    def _restore(self, more: dict[str, Any]) -> None:
        self._components = Components.from_dataset(self.posterior["components"].to_dataset())

    def _settle(self, records: R, components: Components, *, until_good: bool) -> Self:
        """Fits the regression and keeps it."""
        how = Sampling(**self.sampling, until_good=until_good)
        fit, _ = fit_regression(self._kind, records, components, how, seed=self.seed)
        self.records, self._components, self._posterior = records, components, fit.tree
        return self
