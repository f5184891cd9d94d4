r"""Multivariate adaptive regression splines (Friedman 1991, Annals of Statistics 19, 1-67), additive.

.. math:: f(x) = a_0 + \sum_m a_m \max(0, \pm(x_{j_m} - t_m))

The forward pass adds the pair of hinges that lowers the squared error most; the backward pass removes terms one by one
and keeps the size with the least generalised cross-validation error. No library for it is kept up: py-earth ended in
2017 and does not build for today's Python.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

MIN_GAIN = 1e-3
"""The forward pass ends when a pair explains less than this share of the variance."""

END_RISK = 0.05
"""Probability that a run of errors at the end of some column is taken for a slope (Friedman's α)."""

MIN_NORM = 1e-6
"""A candidate with less of its length outside the span of the terms adds nothing."""


class MarsRegressor(RegressorMixin, BaseEstimator):
    """Additive MARS.

    Parameters
    ----------
    max_terms : int
        Maximum number of terms of the forward pass, the constant included.
    knots : int
        Number of candidate knots for each column, at quantiles of its distinct values.
    penalty : float
        Degrees of freedom that a knot costs (Friedman: 2 for additive models).

    Attributes
    ----------
    range_ : tuple of ndarray
        Minimum and maximum of each column, (features,) each. Beyond them the response stays constant, where the slopes
        of Friedman's splines would continue.
    terms_ : list of tuple
        Column, knot and side of each hinge; the side is where the hinge is not 0 (1: above the knot, -1: below).
    coef_ : ndarray
        The intercept, then the coefficient of each hinge, (1 + hinges,).
    """

    def __init__(self, max_terms: int = 41, *, knots: int = 30, penalty: float = 2.0):
        self.max_terms = max_terms
        self.knots = knots
        self.penalty = penalty

    def fit(self, X: ArrayLike, y: ArrayLike) -> MarsRegressor:
        """Fits X (n, features) and y (n,), both finite."""
        at, response = (np.asarray(v, float) for v in validate_data(self, X, y, y_numeric=True))
        terms = self._grow(at, response)
        self.terms_ = self._prune(_basis(at, terms), response, terms)
        self.range_ = at.min(axis=0), at.max(axis=0)
        self.coef_ = np.linalg.lstsq(_basis(at, self.terms_), response, rcond=None)[0]
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """The response at X: (n,)."""
        check_is_fitted(self)
        at = np.asarray(validate_data(self, X, reset=False), float)
        return _basis(np.clip(at, *self.range_), self.terms_) @ self.coef_

    def _grow(self, X: NDArray, y: NDArray) -> list[tuple[int, float, int]]:
        """The forward pass. With terms orthonormal, what a candidate adds is its squared product with y; a pair spans
        the column itself and the hinge, and once the column is a term, further pairs add a hinge only.
        """
        end = int(np.ceil(3 - np.log2(END_RISK / X.shape[1])))  # Friedman 1991, eq. 45
        candidates = [(j, float(t)) for j in range(X.shape[1]) for t in _knots(X[:, j], self.knots, end)]
        if not candidates:
            return []
        column = np.array([j for j, _ in candidates])
        hinge = np.stack([np.maximum(X[:, j] - t, 0) for j, t in candidates], axis=1)
        line = X.astype(float)
        for block in (hinge, line):
            block -= block.mean(axis=0)
            block /= np.maximum(np.linalg.norm(block, axis=0), np.finfo(float).tiny)
        residual = y - y.mean()
        least, taken = MIN_GAIN * float(residual @ residual), np.zeros(len(candidates), bool)
        terms: list[tuple[int, float, int]] = []
        entered: set[int] = set()
        while len(terms) + 3 <= self.max_terms:
            by_line, line_left = _gain(line, residual)
            across = np.einsum("nc,nc->c", hinge, line[:, column]) / np.maximum(line_left[column], MIN_NORM**2)
            across[line_left[column] < MIN_NORM**2] = 0
            rest = hinge - across * line[:, column]  # of the hinge, what its column does not have
            by_hinge, _ = _gain(rest, residual)
            gain = np.where(taken, -1.0, by_hinge + by_line[column])
            best = int(np.argmax(gain))
            if gain[best] < least:
                break
            j, t = candidates[best]
            taken[best] = True
            new = [rest[:, best]]
            if j not in entered and line_left[j] >= MIN_NORM**2:
                new.insert(0, line[:, j])
                entered.add(j)
                terms.append((j, t, -1))
            terms.append((j, t, 1))
            for direction in [v / np.linalg.norm(v) for v in new if np.linalg.norm(v) > MIN_NORM]:
                for block in (hinge, line):
                    block -= np.outer(direction, direction @ block)
                residual = residual - direction * (direction @ residual)
        return terms

    def _prune(self, B: NDArray, y: NDArray, terms: list[tuple[int, float, int]]) -> list[tuple[int, float, int]]:
        """The backward pass: of all sizes, the one with the least generalised cross-validation error."""
        kept = list(range(1, B.shape[1]))
        best, best_error = list(kept), self._gcv(B[:, [0, *kept]], y)
        while kept:
            # Removing a term adds coef² / [(BᵀB)⁻¹]ⱼⱼ to the squared error.
            part = B[:, [0, *kept]]
            inverse = np.linalg.pinv(part.T @ part, hermitian=True)
            added = (inverse @ (part.T @ y)) ** 2 / np.maximum(np.diag(inverse), np.finfo(float).tiny)
            kept.pop(int(np.argmin(added[1:])))
            error = self._gcv(B[:, [0, *kept]], y)
            if error <= best_error:
                best, best_error = list(kept), error
        return [terms[m - 1] for m in best]

    def _gcv(self, B: NDArray, y: NDArray) -> float:
        """Mean squared error over the squared share of degrees of freedom left: each term costs one, each knot
        `penalty`.
        """
        residual = y - B @ np.linalg.lstsq(B, y, rcond=None)[0]
        n, terms = B.shape
        spent = terms + self.penalty * (terms - 1) / 2
        return float(residual @ residual) / n / (1 - spent / n) ** 2 if spent < n else np.inf


def _basis(X: NDArray, terms: list[tuple[int, float, int]]) -> NDArray[np.float64]:
    """A constant, and each term's hinge: (n, 1 + terms)."""
    columns = [np.maximum(sign * (X[:, j] - t), 0) for j, t, sign in terms]
    return np.column_stack([np.ones(len(X)), *columns])


def _knots(x: NDArray, count: int, end: int) -> NDArray[np.float64]:
    """Places where the slope may change: the lowest value, which makes the hinge a straight line, and quantiles of the
    distinct values with `end` observations or more on either side, because a slope estimated from fewer would be
    extrapolated beyond them. Where there are two distinct values, the lower alone, which makes the hinge a dummy
    variable.
    """
    values, ordered = np.unique(x), np.sort(x)
    if len(values) <= 2 or len(x) <= 2 * end:
        return values[:1] if len(values) > 1 else values[:0]
    inside = values[(values > ordered[0]) & (values >= ordered[end]) & (values <= ordered[-end - 1])]
    if len(inside) > count:
        inside = np.unique(np.quantile(inside, np.arange(count) / count, method="lower"))
    return np.concatenate([values[:1], inside])


def _gain(block: NDArray, residual: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each column of a block (n, m), by itself, would lower the squared error by; and its own squared length."""
    length = np.einsum("nm,nm->m", block, block)
    return np.where(length > MIN_NORM**2, (residual @ block) ** 2 / np.maximum(length, MIN_NORM**2), 0.0), length
