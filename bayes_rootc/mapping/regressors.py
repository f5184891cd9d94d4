"""The paper's five learners and its ensemble, as predictive distributions, and forests that have one themselves.

Each learner is tuned, and its columns are chosen, within the rows that it is fitted to. Those that say nothing of their
uncertainty are given what they missed there on sites or profiles left out (a conformal predictive distribution).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold, ParameterGrid, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from .learners import Z95, PosteriorForest, response_of
from .mars import MarsRegressor
from .preprocessing import CorrelationFilter, LinearCombinationFilter

if TYPE_CHECKING:
    from quantile_forest import RandomForestQuantileRegressor

INNER_FOLDS = 3
"""Folds, by site or profile, on which settings are compared and errors are estimated."""

BEST = 3
"""Learners that the paper's ensemble is made of."""

TREES = 300
"""Number of trees in each forest, and of boosting rounds."""

PREDICTIVE_DRAWS = 200
STACKING_STEPS = 200


@dataclass(frozen=True)
class Choice:
    """A learner of a seed and a number of trees, and the settings among which it is tuned: the budget is their number x
    INNER_FOLDS fits.
    """

    make: Callable[[int, int], BaseEstimator]
    settings: dict[str, list[Any]]


def _boosting(seed: int, trees: int) -> BaseEstimator:
    from xgboost import XGBRegressor  # of an extra, as Cubist and the quantile forest are

    return XGBRegressor(
        n_estimators=TREES, learning_rate=0.05, subsample=0.7, colsample_bytree=0.5, random_state=seed, n_jobs=1
    )


def _cubist(seed: int, trees: int) -> BaseEstimator:
    from cubist import Cubist

    return Cubist(n_committees=10, random_state=seed)


LEARNERS = {
    "random forest": Choice(
        lambda seed, trees: PosteriorForest(trees, random_state=seed),  # of one column: an ordinary random forest
        {"min_samples_leaf": [1, 3, 6]},
    ),
    "XGBoost": Choice(_boosting, {"max_depth": [2, 4, 6]}),
    "Cubist": Choice(_cubist, {"neighbors": [None, 5]}),
    "SVM": Choice(lambda seed, trees: make_pipeline(StandardScaler(), SVR()), {"svr__C": [0.3, 1.0, 3.0]}),
    "MARS": Choice(lambda seed, trees: MarsRegressor(), {"max_terms": [11, 31]}),
}
"""Random forest, extreme gradient boosting, Cubist, support vector machine (radial kernel), additive splines."""

QUANTILE_FOREST, POSTERIOR_FOREST = "quantile regression forest", "posterior forest"
ENSEMBLE, STACK = "ensemble (principal components)", "ensemble (stacked densities)"


def pipeline(name: str, seed: int, trees: int) -> Pipeline:
    """A learner behind the filters of columns, not fitted."""
    filters = [("correlation", CorrelationFilter()), ("combinations", LinearCombinationFilter())]
    steps = Pipeline([*filters, ("learner", LEARNERS[name].make(seed, trees))])
    return steps.set_output(transform="pandas")  # Cubist names its columns, and looks for the names again


@dataclass(frozen=True)
class Fitted:
    """A tuned learner.

    Attributes
    ----------
    model : object
        Has `predict`.
    held_out : ndarray
        Its predictions of the rows it was fitted to, from fits without their site or profile, (n,).
    errors : ndarray
        Errors of these predictions, sorted, (n,).
    settings : dict of str to object
        The chosen settings.
    seconds : float
        Time that tuning and fitting took.
    """

    model: Any
    held_out: NDArray[np.float64]
    errors: NDArray[np.float64]
    settings: dict[str, Any]
    seconds: float

    @property
    def rmse(self) -> float:
        """Root mean square of the errors."""
        return float(np.sqrt(np.square(self.errors).mean()))

    def predict(self, X: NDArray) -> NDArray[np.float64]:
        """(n,)."""
        return np.asarray(self.model.predict(X), float).ravel()

    def predictive(self, X: NDArray, draws: int = PREDICTIVE_DRAWS) -> NDArray[np.float64]:
        """New observations at X, (draw, n): the prediction and evenly spaced quantiles of the errors."""
        return self.predict(X) + np.quantile(self.errors, (np.arange(draws) + 0.5) / draws)[:, None]


def inner_folds(groups: NDArray, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to fit and rows to predict, in tuning: whole groups, (n,)."""
    return list(GroupKFold(INNER_FOLDS, shuffle=True, random_state=seed).split(groups, None, groups))


def tune(name: str, X: NDArray, y: NDArray, groups: NDArray, *, seed: int, trees: int = TREES) -> Fitted:
    """A learner with those of its settings that predict left-out groups best, fitted to all rows.

    Parameters
    ----------
    X : ndarray
        (n, features), finite.
    y : ndarray
        Response, (n,).
    groups : ndarray
        Labels of sites or profiles, which stay together, (n,).
    """
    start = time.perf_counter()
    folds = inner_folds(groups, seed)
    best: tuple[float, NDArray, dict[str, Any], Pipeline] | None = None
    for settings in ParameterGrid(LEARNERS[name].settings):
        model = pipeline(name, seed, trees).set_params(**{f"learner__{key}": value for key, value in settings.items()})
        held_out = np.asarray(cross_val_predict(model, X, y, cv=folds), float).ravel()
        error = float(np.square(y - held_out).mean())
        if best is None or error < best[0]:
            best = error, held_out, settings, model
    assert best is not None
    _, held_out, settings, model = best
    fitted = clone(model).fit(X, y)
    return Fitted(fitted, held_out, np.sort(y - held_out), settings, time.perf_counter() - start)


class Predictor(Protocol):
    """What every learner, forest and ensemble has."""

    def predict(self, X: NDArray) -> NDArray[np.float64]:
        """(n,)."""

    def predictive(self, X: NDArray) -> NDArray[np.float64]:
        """New observations at X, (draw, n)."""


@dataclass(frozen=True)
class QuantileForest:
    """Quantile regression forest (Meinshausen 2006) of the responses themselves, with the chosen settings of the random
    forest.
    """

    forest: RandomForestQuantileRegressor

    @classmethod
    def fit(cls, X: NDArray, y: NDArray, *, seed: int, trees: int, settings: dict[str, Any]) -> QuantileForest:
        """Fits the forest.

        Parameters
        ----------
        y : ndarray
            Response, (n,).
        """
        from quantile_forest import RandomForestQuantileRegressor

        forest = RandomForestQuantileRegressor(trees, max_features=1 / 3, random_state=seed, n_jobs=2, **settings)
        return cls(forest.fit(X, y))

    def predict(self, X: NDArray) -> NDArray[np.float64]:
        """Mean of the predictive distribution, (n,)."""
        return np.asarray(self.forest.predict(X, quantiles="mean"), float)

    def predictive(self, X: NDArray) -> NDArray[np.float64]:
        """Evenly spaced quantiles, (draw, n)."""
        levels = (np.arange(PREDICTIVE_DRAWS) + 0.5) / PREDICTIVE_DRAWS
        return np.asarray(self.forest.predict(X, quantiles=levels.tolist()), float).T


@dataclass(frozen=True)
class ScaledForest:
    """Our forest of posterior draws, its spread scaled by what left-out rows ask for (paper, eq. 9-10)."""

    forest: PosteriorForest
    tau95: float

    @classmethod
    def fit(
        cls, X: NDArray, draws: NDArray, groups: NDArray, *, seed: int, trees: int, settings: dict[str, Any]
    ) -> ScaledForest:
        """Fits the forest, and its scale to rows that are left out.

        Parameters
        ----------
        draws : ndarray
            Draws of the response, (n, draw).
        """
        forest = PosteriorForest(trees, random_state=seed, **settings)
        rng, tau = np.random.default_rng(seed), np.empty(len(X))
        for known, held in inner_folds(groups, seed):
            mean, sd = clone(forest).fit(X[known], response_of(draws[known]), groups[known]).mean_and_std(X[held])
            observed = draws[held, rng.integers(draws.shape[1])]
            tau[held] = np.abs(observed - mean) / np.maximum(sd, np.finfo(float).tiny)
        return cls(forest.fit(X, response_of(draws), groups), float(np.quantile(tau, 0.95)))

    def predict(self, X: NDArray) -> NDArray[np.float64]:
        """Mean of the trees, (n,)."""
        return self.forest.predict(X)

    def predictive(self, X: NDArray) -> NDArray[np.float64]:
        """Normal quantiles whose 95 % interval is the paper's, (draw, n)."""
        mean, sd = self.forest.mean_and_std(X)
        z = norm.ppf((np.arange(PREDICTIVE_DRAWS) + 0.5) / PREDICTIVE_DRAWS)[:, None]
        return mean + self.tau95 / Z95 * sd * z


@dataclass(frozen=True)
class Ensemble:
    """The paper's: a regression on principal components of the predictions of the best learners.

    Attributes
    ----------
    members : tuple of Fitted
        The best learners.
    combination : Fitted
        Regression on their predictions, (n, members) → (n,).
    """

    members: tuple[Fitted, ...]
    combination: Fitted

    def predict(self, X: NDArray) -> NDArray[np.float64]:
        """(n,)."""
        return self.combination.predict(np.column_stack([m.predict(X) for m in self.members]))

    def predictive(self, X: NDArray) -> NDArray[np.float64]:
        """(draw, n)."""
        return self.combination.predictive(np.column_stack([m.predict(X) for m in self.members]))


@dataclass(frozen=True)
class Stack:
    """A mixture of the learners' predictive densities (Yao et al. 2018).

    Attributes
    ----------
    weights : ndarray
        Weights of the learners, which sum to 1, (members,).
    """

    members: tuple[Fitted, ...]
    weights: NDArray[np.float64]

    def predict(self, X: NDArray) -> NDArray[np.float64]:
        """(n,)."""
        return np.sum([w * m.predict(X) for w, m in zip(self.weights, self.members, strict=True)], axis=0)

    def predictive(self, X: NDArray) -> NDArray[np.float64]:
        """Draws from each learner in proportion to its weight, (draw, n)."""
        ends = np.rint(np.cumsum(self.weights) * PREDICTIVE_DRAWS).astype(int)
        counts = np.diff(ends, prepend=0)
        parts = [m.predictive(X, count) for count, m in zip(counts, self.members, strict=True) if count]
        return np.concatenate(parts)


def fit_all(
    X: NDArray, draws: NDArray, groups: NDArray, *, seed: int, trees: int = TREES
) -> tuple[dict[str, Predictor], dict[str, float]]:
    """Every learner, forest and ensemble, fitted to the same rows; and the seconds that each took.

    Parameters
    ----------
    X : ndarray
        (n, features), finite.
    draws : ndarray
        Draws of the response, (n, draw); all learners but our own forest are fitted to their mean.
    groups : ndarray
        Labels of sites or profiles, which stay together, (n,).
    """
    y = draws.mean(axis=1)
    learners = {name: tune(name, X, y, groups, seed=seed, trees=trees) for name in LEARNERS}
    seconds = {name: fit.seconds for name, fit in learners.items()}

    def timed[P: Predictor](name: str, fit: Callable[[], P]) -> P:
        start = time.perf_counter()
        fitted = fit()
        seconds[name] = time.perf_counter() - start
        return fitted

    like: Any = {"seed": seed, "trees": trees, "settings": learners["random forest"].settings}
    best = tuple(sorted(learners.values(), key=lambda fit: fit.rmse)[:BEST])
    every = tuple(learners.values())
    others: dict[str, Predictor] = {
        QUANTILE_FOREST: timed(QUANTILE_FOREST, lambda: QuantileForest.fit(X, y, **like)),
        POSTERIOR_FOREST: timed(POSTERIOR_FOREST, lambda: ScaledForest.fit(X, draws, groups, **like)),
        ENSEMBLE: timed(ENSEMBLE, lambda: Ensemble(best, combine(best, y, groups, seed=seed))),
        STACK: timed(STACK, lambda: Stack(every, stacking_weights(y, every))),
    }
    return {**learners, **others}, seconds


def combine(best: tuple[Fitted, ...], y: NDArray, groups: NDArray, *, seed: int) -> Fitted:
    """Principal-component regression on what the best learners predicted for left-out groups; these also decide how
    many components.
    """
    inputs = np.column_stack([fit.held_out for fit in best])
    folds = inner_folds(groups, seed + 1)
    tried = []
    for components in range(1, inputs.shape[1] + 1):
        model = make_pipeline(StandardScaler(), PCA(components), LinearRegression())
        held_out = cross_val_predict(model, inputs, y, cv=folds)
        tried.append((float(np.square(y - held_out).mean()), components, held_out, model))
    _, components, held_out, model = min(tried, key=lambda t: t[:2])
    return Fitted(model.fit(inputs, y), held_out, np.sort(y - held_out), {"components": components}, 0.0)


def stacking_weights(y: NDArray, learners: tuple[Fitted, ...]) -> NDArray[np.float64]:
    """Weights of predictive densities that make left-out observations most probable together (Yao et al. 2018, Bayesian
    Analysis 13, 917-1007): (learner,). Densities are Normal about the left-out prediction; found by EM, each step of
    which is more probable than the last.
    """
    density = np.stack([norm.pdf(y, fit.held_out, fit.rmse) for fit in learners], axis=1)
    density = np.maximum(density, np.finfo(float).tiny)
    weights = np.full(len(learners), 1 / len(learners))
    for _ in range(STACKING_STEPS):
        share = weights * density
        weights = (share / share.sum(axis=1, keepdims=True)).mean(axis=0)
    return weights
