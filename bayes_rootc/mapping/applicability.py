"""Where a learner can be trusted: its area of applicability.

Meyer & Pebesma 2021, Methods in Ecology and Evolution 12, 1620-1633.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import pairwise_distances_argmin_min, pairwise_distances_chunked

from ..errors import InputError
from .forest import Layers

CHUNK = 4096
"""Places whose distances to the training points are held at once."""

WHISKER = 1.5
"""Length of a box plot's whisker, in interquartile ranges: dissimilarities beyond it are outliers among the training
data."""

LEAST_THRESHOLD = 1e-6
"""Rounding alone makes a training point this unlike itself."""


@dataclass(frozen=True)
class Applicability:
    """How unlike its training data a place is, in predictors that matter.

    Attributes
    ----------
    mean, sd, weight : ndarray
        Mean, standard deviation and weight of each predictor, by which places are standardised and weighted,
        (features,).
    trained : ndarray
        Predictors of the training data, standardised and weighted, (n, features).
    mean_distance : float
        Mean distance between two rows of `trained`.
    threshold : float
        Dissimilarity up to which a place is inside the area of applicability.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    weight: NDArray[np.float64]
    trained: NDArray[np.float64]
    mean_distance: float
    threshold: float

    @classmethod
    def fit(cls, X: ArrayLike, importance: ArrayLike, fold: ArrayLike) -> Applicability:
        """Learns from the training data.

        Where no predictor matters, as to a learner that is flat, all matter alike. Where nearly every training point
        has a twin in another fold, so that others are outliers, these count as well; the threshold is never below
        `LEAST_THRESHOLD`.

        Parameters
        ----------
        X : array-like, shape (n, features)
            Training data, finite.
        importance : array-like, shape (features,)
            Importance of each predictor in the learner; what is negative or not finite counts as none.
        fold : array-like, shape (n,)
            Label of the part of the cross-validation. The threshold is the largest dissimilarity of a training point
            from the other folds that is no outlier, as validation met it.

        Raises
        ------
        InputError
            There is only one fold.
        """
        X, fold = np.asarray(X, float), np.asarray(fold)
        if len(np.unique(fold)) < 2:
            raise InputError(
                f"the {len(X)} training points are in one fold; expected 2 or more, to see how unlike they are: add "
                "sites, or make the blocks of validation smaller (block_km)"
            )
        mean, sd = X.mean(axis=0), X.std(axis=0)
        varies = sd > 1e-9 * np.maximum(np.abs(mean), 1e-9)  # what is less is rounding
        weight = np.maximum(np.nan_to_num(np.asarray(importance, float), posinf=0.0), 0)
        if not weight[varies].any():
            weight = np.ones(len(sd))
        scale = cls(mean, np.where(varies, sd, 1.0), weight, X, 1.0, np.inf)
        trained = scale._weighed(X)
        total = sum(float(part.sum()) for part in pairwise_distances_chunked(trained))
        mean_distance = total / (len(X) * (len(X) - 1))
        if mean_distance < LEAST_THRESHOLD:  # all training points are alike
            mean_distance = 1.0
        own = np.empty(len(X))
        for label in np.unique(fold):
            here = fold == label
            own[here] = pairwise_distances_argmin_min(trained[here], trained[~here])[1] / mean_distance
        low, high = np.quantile(own, [0.25, 0.75])
        threshold = float(own[own <= high + WHISKER * (high - low)].max())
        if threshold < LEAST_THRESHOLD:
            threshold = float(own.max())
        return cls(scale.mean, scale.sd, scale.weight, trained, mean_distance, max(threshold, LEAST_THRESHOLD))

    def dissimilarity(self, X: ArrayLike, layers: Layers = ()) -> NDArray[np.float64]:
        """Distance of places (n, features) to the nearest training point over the mean distance between these, (n,).

        With `layers`, of which top and bottom are the last features, places come without these: (n, layer).
        """
        own = 2 if layers else 0
        places, of = np.unique(self.trained[:, : self.trained.shape[1] - own], axis=0, return_inverse=True)
        apart = np.full((len(places), max(len(layers), 1)), np.inf)  # squared, in depth: the least of a place's layers
        if layers:
            depth = (np.array(layers, float) - self.mean[-2:]) / self.sd[-2:] * self.weight[-2:]
            for j, layer in enumerate(depth):
                np.minimum.at(apart[:, j], of, np.square(self.trained[:, -2:] - layer).sum(axis=1))
        else:
            apart[:] = 0
        rows, out = np.asarray(X), np.empty((len(np.asarray(X)), apart.shape[1]))
        squares = np.square(places).sum(axis=1)
        for start in range(0, len(rows), CHUNK):
            here = self._weighed(rows[start : start + CHUNK])
            squared = squares - 2 * here @ places.T
            for j, more in enumerate(apart.T):
                out[start : start + CHUNK, j] = (squared + more).min(axis=1)
            out[start : start + CHUNK] += np.square(here).sum(axis=1)[:, None]
        out = np.sqrt(np.maximum(out, 0)) / self.mean_distance
        return out if layers else out[:, 0]

    def inside(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Whether places (n, features) are in the area of applicability, (n,)."""
        return self.dissimilarity(X) <= self.threshold

    def _weighed(self, X: ArrayLike) -> NDArray[np.float64]:
        rows = np.asarray(X, float)
        some = slice(rows.shape[1])  # without the depth of a layer there are two fewer
        return (rows - self.mean[some]) / self.sd[some] * self.weight[some]
