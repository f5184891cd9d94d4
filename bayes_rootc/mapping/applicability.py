"""Where a learner may be believed: its area of applicability.

Meyer & Pebesma 2021, Methods in Ecology and Evolution 12, 1620-1633.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import pairwise_distances_argmin_min, pairwise_distances_chunked

WHISKER = 1.5
"""Of a box plot, in interquartile ranges: dissimilarities beyond it are outliers among the training data."""


@dataclass(frozen=True)
class Applicability:
    """How unlike its training data a place is, in predictors that matter.

    mean, sd, weight : of each predictor, (features,); a place is standardised and weighed by them. trained : the
    training data so treated, (n, features). mean_distance : between two of them. threshold : dissimilarity up to which
    a place is inside.
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

        Parameters
        ----------
        X : (n, features), finite. importance : of each predictor in the learner, negative counts as none, (features,).
        fold : label of the part of the cross-validation, (n,), of two at least: the threshold is the largest
            dissimilarity of a training point from the other folds that is no outlier, as validation met it.
        """
        X, fold = np.asarray(X, float), np.asarray(fold)
        sd = X.std(axis=0)
        scale = cls(
            X.mean(axis=0), np.where(sd > 0, sd, 1.0), np.maximum(np.asarray(importance, float), 0), X, 1.0, np.inf
        )
        trained = scale._weighed(X)
        total = sum(float(part.sum()) for part in pairwise_distances_chunked(trained))
        mean_distance = total / (len(X) * (len(X) - 1))
        own = np.empty(len(X))
        for label in np.unique(fold):
            here = fold == label
            own[here] = pairwise_distances_argmin_min(trained[here], trained[~here])[1] / mean_distance
        low, high = np.quantile(own, [0.25, 0.75])
        threshold = float(own[own <= high + WHISKER * (high - low)].max())
        return cls(scale.mean, scale.sd, scale.weight, trained, mean_distance, threshold)

    def dissimilarity(self, X: ArrayLike) -> NDArray[np.float64]:
        """Distance of places (n, features) to the nearest training point over the mean distance between these, (n,)."""
        return pairwise_distances_argmin_min(self._weighed(X), self.trained)[1] / self.mean_distance

    def inside(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Whether places (n, features) are in the area of applicability, (n,)."""
        return self.dissimilarity(X) <= self.threshold

    def _weighed(self, X: ArrayLike) -> NDArray[np.float64]:
        return (np.asarray(X, float) - self.mean) / self.sd * self.weight
