"""A forest of a flux that carries its posterior: from draws at sites to statistics and members anywhere."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from ..data.own_tables import row_coordinates
from ..errors import InputError
from ..progress import Progress
from ..seeds import child_seed
from .learners import FluxModel, PosteriorForest, TrainingData, validate
from .model_file import read_model, save_model

NODES = 24
"""Nodes of the Gauss-Hermite rule that takes mean and standard deviation back from the scale of the fit."""

SCALES: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[float, float]]] = {
    "log": (np.log, np.exp, (0.0, np.inf)),
    "logit": (logit, expit, (0.0, 1.0)),
    "identity": (np.asarray, np.asarray, (-np.inf, np.inf)),
}
"""Scales that a flux may be learnt on: there, back, and the open range of what can be taken there."""

STATISTICS = ("mean", "sd", "median", "p025", "p975", "dissimilarity")


class FluxForest:
    """Random forest of a flux, with the uncertainty of its posterior and of new places, and the area where it applies.

    Tree m is fitted to posterior draw m (`PosteriorForest`). The spread of the trees is calibrated on groups that were
    held out (paper, eq. 9–10), and the area of applicability says where new places are unlike all that were seen (Meyer
    & Pebesma 2021).

    Parameters
    ----------
    trees : int
        Number of trees.
    scale : {"log", "logit", "identity"}
        Scale on which the response is learnt: the logarithm for fluxes, the logit for shares.
    min_samples_leaf : int
        As in scikit-learn.
    max_features : float
        Share of the features that a split may choose from.
    splits : int
        Hold-out splits of the calibration.
    seed : int
        All randomness flows from it.
    n_jobs : int
        Number of threads.

    Attributes
    ----------
    features : list of str
        Names of the features, in order.
    scores : DataFrame
        R², RMSE, bias, CRPS and coverage on held-out groups and blocks, on the scale of the fit.
    held_out : DataFrame
        Each prediction that these come from.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"mat": rng.uniform(0, 25, 200), "map": rng.uniform(200, 2000, 200)})
    >>> draws = np.exp(0.08 * X["mat"].to_numpy()[:, None] + 0.1 * rng.standard_normal((200, 50)))
    >>> forest = FluxForest(50, splits=3).fit(X, draws)
    >>> at = forest.predict(pd.DataFrame({"mat": [5.0, 20.0], "map": 800.0}, index=["cold", "warm"]))
    >>> at["median"].sel(site="warm").item() > 2 * at["median"].sel(site="cold").item()
    True
    """

    def __init__(
        self,
        trees: int = 500,
        *,
        scale: Literal["log", "logit", "identity"] = "log",
        min_samples_leaf: int = 3,
        max_features: float = 1 / 3,
        splits: int = 10,
        seed: int = 20,
        n_jobs: int = 2,
    ):
        if scale not in SCALES:
            raise InputError(f"scale is {scale}; expected one of {', '.join(SCALES)}")
        self.scale, self.splits, self.seed = scale, splits, seed
        self.settings = {
            "n_estimators": trees,
            "min_samples_leaf": min_samples_leaf,
            "max_features": max_features,
            "n_jobs": n_jobs,
        }
        self.features: list[str] = []
        self.scores = self.held_out = pd.DataFrame()
        self._model: FluxModel | None = None

    @property
    def model(self) -> FluxModel:
        """Forest, calibration and area of applicability.

        Raises
        ------
        InputError
            Nothing has been fitted.
        """
        if self._model is None:
            raise InputError("this FluxForest has not been fitted; call fit(X, draws) first, or FluxForest.load(path)")
        return self._model

    def fit(
        self,
        X: pd.DataFrame,
        draws: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        blocks: ArrayLike | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Fits and calibrates the forest.

        Parameters
        ----------
        X : DataFrame
            Features, numeric and finite, one row a site or layer.
        draws : array-like, shape (n,) or (n, draw), or DataArray with a dimension `draw`
            The flux, or posterior draws of it.
        groups : array-like, shape (n,), optional
            Labels of rows that belong together (site, profile, study): resampled and held out together.
        blocks : array-like, shape (n,), optional
            Labels of regions that are held out to calibrate the spread; by default the groups.
        progress : callable, optional
            Called with the hold-outs done and wanted.

        Returns
        -------
        FluxForest
            The object itself.

        Raises
        ------
        InputError
            A value is not finite or out of the range of the scale, rows do not match, or there are fewer than 5 groups.
        """
        if not isinstance(X, pd.DataFrame):
            raise InputError(f"X is a {type(X).__name__}; expected a DataFrame, whose columns name the features")
        if isinstance(draws, xr.DataArray) and "draw" in draws.dims:
            draws = draws.transpose(..., "draw").values
        y = np.asarray(draws, float)
        y = y[:, None] if y.ndim == 1 else y
        if y.ndim != 2 or len(y) != len(X):
            raise InputError(f"draws has the shape {np.shape(draws)}; expected {len(X)} rows, as X")
        there, _, (low, high) = SCALES[self.scale]
        if not ((y > low) & (y < high)).all():
            raise InputError(f"draws hold a value that is not between {low:g} and {high:g}, so has no {self.scale}")
        rows = self._matrix(X, list(map(str, X.columns)))
        if not np.isfinite(rows).all():
            column = X.columns[~np.isfinite(rows).all(axis=0)][0]
            raise InputError(f"the feature {column} has an empty or infinite cell; expected finite numbers")
        group = np.arange(len(X)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
        block = group if blocks is None else np.unique(np.asarray(blocks), return_inverse=True)[1]
        data = TrainingData(rows, there(y), group, block)
        forest = PosteriorForest(**self.settings, random_state=child_seed(self.seed, "forest"))  # type: ignore[arg-type]
        calibration, self.scores, self.held_out = validate(
            forest, data, splits=self.splits, seed=child_seed(self.seed, "splits"), progress=progress
        )
        self._model = FluxModel.fit(forest, data, calibration, seed=child_seed(self.seed, "folds"))
        self.features = list(map(str, X.columns))
        return self

    def predict(self, X: pd.DataFrame | xr.Dataset) -> xr.Dataset:
        """Statistics of the flux at new places.

        Parameters
        ----------
        X : DataFrame, or Dataset of rasters
            The features by name. Rasters may be chunked (Dask): nothing is computed then before it is asked for.

        Returns
        -------
        Dataset
            `mean`, `sd`, `median`, `p025`, `p975` of the calibrated predictive distribution, in the unit of the draws;
            `dissimilarity` to what was learnt from, and `applicable`, whether it is within what validation met. Over
            `site`, the index of the table, or over the dimensions of the rasters. Empty where a feature is.

        Raises
        ------
        InputError
            Nothing has been fitted, or a feature is missing.
        """
        threshold = self.model.applicability.threshold
        if isinstance(X, xr.Dataset):
            stacked = self._over_rasters(X, self._statistics, "statistic", list(STATISTICS))
        else:
            rows = self._matrix(X, self.features)
            coords = row_coordinates(X.index, "site", taken=("statistic",))
            stacked = xr.DataArray(self._statistics(rows), dims=("site", "statistic"), coords=coords)
            stacked = stacked.assign_coords(statistic=list(STATISTICS))
        found = stacked.to_dataset("statistic")
        unlike = found["dissimilarity"]
        return found.assign(applicable=(unlike.dims, unlike.data <= threshold))

    def sample(self, X: pd.DataFrame | xr.Dataset) -> xr.DataArray:
        """Members of the flux at new places, one a tree: neighbours err together, as the trees do.

        Parameters
        ----------
        X : DataFrame, or Dataset of rasters
            As in `predict`.

        Returns
        -------
        DataArray
            Over `draw` and `site`, the index of the table, or `draw` and the dimensions of the rasters.

        Raises
        ------
        InputError
            Nothing has been fitted, or a feature is missing.
        """
        trees = list(range(self.model.forest.trees_.trees))
        if isinstance(X, xr.Dataset):
            return self._over_rasters(X, self._members, "draw", trees).transpose("draw", ...)
        rows = self._matrix(X, self.features)
        coords = row_coordinates(X.index, "site", taken=("draw",))
        return xr.DataArray(self._members(rows), dims=("site", "draw"), coords=coords).transpose("draw", "site")

    def check(self) -> dict[str, pd.DataFrame]:
        """Scores on held-out groups and blocks, and the predictions that they come from.

        Returns
        -------
        dict of DataFrame
            `scores`, `held_out`.

        Raises
        ------
        InputError
            Nothing has been fitted; or the object was loaded: scores are not in the file.
        """
        if self.scores.empty:
            raise InputError("scores come from fitting, and are not in a file: fit again, in this session")
        return {"scores": self.scores, "held_out": self.held_out}

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the forest as plain arrays (npz), from which `load` makes one that predicts the same.

        Parameters
        ----------
        path : path
            File to write.

        Raises
        ------
        InputError
            Nothing has been fitted.
        """
        save_model(Path(path), self.model, {"features": self.features, "scale": self.scale, "seed": self.seed})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Reads a forest that was saved.

        Parameters
        ----------
        path : path
            File that `save` wrote.

        Returns
        -------
        FluxForest
            The forest, which predicts the same; `scores` and `held_out` are not in the file.

        Raises
        ------
        InputError
            The file was not written by `save`.
        """
        model, about = read_model(Path(path))
        made = cls(model.forest.n_estimators, scale=about["scale"], seed=about["seed"])
        made._model, made.features = model, list(about["features"])
        return made

    @staticmethod
    def _matrix(X: pd.DataFrame, features: list[str]) -> NDArray[np.float32]:
        names = {str(name): name for name in X.columns}
        for name in features:
            if name not in names:
                raise InputError(f"the feature {name} is missing; found {', '.join(list(names)[:12])}")
            if not pd.api.types.is_numeric_dtype(X[names[name]]):
                raise InputError(f"the feature {name} holds text; expected numbers")
        return X[[names[name] for name in features]].to_numpy(np.float32)

    def _over_rasters(
        self, rasters: xr.Dataset, work: Callable[[NDArray], NDArray], dim: str, labels: Sequence[Hashable]
    ) -> xr.DataArray:
        for name in self.features:
            if name not in rasters:
                raise InputError(f"the feature {name} is missing; found {', '.join(map(str, list(rasters)[:12]))}")
        cube = rasters[self.features].to_dataarray("feature").transpose(..., "feature")
        if cube.chunks:
            cube = cube.chunk({"feature": -1})

        def by_rows(block: NDArray) -> NDArray:
            return work(block.reshape(-1, block.shape[-1]).astype(np.float32)).reshape(*block.shape[:-1], len(labels))

        return xr.apply_ufunc(
            by_rows,
            cube,
            input_core_dims=[["feature"]],
            output_core_dims=[[dim]],
            dask="parallelized",
            output_dtypes=[np.float32],
            dask_gufunc_kwargs={"output_sizes": {dim: len(labels)}},
        ).assign_coords({dim: list(labels)})

    def _statistics(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """`STATISTICS` of rows, (n, 6); empty where a feature is."""
        out = np.full((len(rows), len(STATISTICS)), np.nan, np.float32)
        whole = np.isfinite(rows).all(axis=1)
        if not whole.any():
            return out
        model, back = self.model, SCALES[self.scale][1]
        middle, sd = model.forest.mean_and_std(rows[whole])
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        weights /= weights.sum()
        values = back(middle[:, None] + model.calibration.stretch * sd[:, None] * nodes)
        mean = values @ weights
        reach = model.calibration.tau95 * sd
        out[whole] = np.column_stack(
            [
                mean,
                np.sqrt(((values - mean[:, None]) ** 2) @ weights),
                back(middle),
                back(middle - reach),
                back(middle + reach),
                model.applicability.dissimilarity(rows[whole]),
            ]
        )
        return out

    def _members(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        out = np.full((len(rows), self.model.forest.trees_.trees), np.nan, np.float32)
        whole = np.isfinite(rows).all(axis=1)
        if whole.any():
            out[whole] = SCALES[self.scale][1](self.model.members(rows[whole]))
        return out
