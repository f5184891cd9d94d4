"""Which columns a learner is given: none that says what another says already (paper, Methods).

Both are scikit-learn selectors: what they keep is learnt where they are fitted, so in a fold from its training rows
alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

RELATIVE_RANK_TOLERANCE = 1e-7


class _Selector(SelectorMixin, BaseEstimator):
    """Keeps the columns of `kept_`, a mask that `fit` learns: (features,)."""

    kept_: NDArray[np.bool_]

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        return self.kept_


class CorrelationFilter(_Selector):
    """From each pair of columns with |r| > cutoff, drops the column with the larger mean correlation.

    It follows the documentation of caret's `findCorrelation` with `exact`: means are computed again after each removal,
    and the strongest pair comes first. A constant column correlates with none.

    Parameters
    ----------
    cutoff : float
        Largest |r| between two columns that are both kept.
    """

    def __init__(self, cutoff: float = 0.9):
        self.cutoff = cutoff

    def fit(self, X: ArrayLike, y: object = None) -> CorrelationFilter:
        """Learns what to keep from X (n, features), finite."""
        table = np.asarray(validate_data(self, X), float)
        varies = table.std(axis=0) > 0
        r = np.zeros((table.shape[1],) * 2)
        if varies.sum() > 1:
            r[np.ix_(varies, varies)] = np.abs(np.corrcoef(table[:, varies], rowvar=False))
        np.fill_diagonal(r, 0)
        kept = np.ones(len(r), bool)
        while r.max(initial=0) > self.cutoff:
            pair = np.unravel_index(np.argmax(r), r.shape)
            drop = max(pair, key=lambda column: (r[column].sum(), column))  # the later one, where they are equal
            kept[drop] = False
            r[drop], r[:, drop] = 0, 0
        self.kept_ = kept
        return self


class LinearCombinationFilter(_Selector):
    """Drops each column that is exactly a linear combination of a constant and the columns before it.

    What caret's `findLinearCombos` removes: of dummy variables that sum to 1, the last.
    """

    def fit(self, X: ArrayLike, y: object = None) -> LinearCombinationFilter:
        """Learns what to keep from X (n, features), finite."""
        table = np.asarray(validate_data(self, X), float)
        centred = table - table.mean(axis=0)
        size = np.linalg.norm(centred, axis=0)
        # Columns of one size, so that the tolerance means the same for millimetres and kilometres. A column that was
        # constant is rounding noise after centring.
        constant = size <= RELATIVE_RANK_TOLERANCE * np.maximum(np.linalg.norm(table, axis=0), np.finfo(float).tiny)
        kept, basis = ~constant, np.empty((len(table), 0))
        for j in np.flatnonzero(~constant):
            rest = centred[:, j] / size[j]
            for _ in range(2):  # the second time mends the rounding of the first
                rest = rest - basis @ (basis.T @ rest)
            length = np.linalg.norm(rest)
            if length > RELATIVE_RANK_TOLERANCE:
                basis = np.column_stack([basis, rest / length])
            else:
                kept[j] = False
        self.kept_ = kept
        return self
