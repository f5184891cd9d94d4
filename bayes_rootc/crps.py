r"""Scores of a whole predictive distribution: how far it is from what was observed, and how likely it found that.

The continuous ranked probability score is

.. math:: \mathrm{CRPS} = \mathrm{E}|X - y| - \tfrac12 \mathrm{E}|X - X'|

in the unit of the observation y, with X and X' independent draws of the prediction; 0 is best, and for a single number
it is the absolute error (Gneiting & Raftery 2007, Journal of the American Statistical Association 102, 359-378).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from scipy.stats import norm


def ensemble_crps(observed: ArrayLike, members: ArrayLike, *, axis: int = -1) -> NDArray[np.float64]:
    """Score of a prediction that is known by draws, without a bias from their number.

    E|X - X'| is the mean over pairs of *different* draws. Over all pairs, of which 1/n are a draw with itself, a
    perfect prediction of few draws would score worse than one of many (Ferro 2014, Quarterly Journal of the Royal
    Meteorological Society 140, 1917-1923; Zamo & Naveau 2018, Mathematical Geosciences 50, 209-234).

    Parameters
    ----------
    observed : array-like
        Observations, of the shape of `members` without `axis`.
    members : array-like
        Draws of each prediction along `axis`, at least two.
    axis : int
        Axis of the draws.

    Returns
    -------
    ndarray of float
        Score of each observation.

    Raises
    ------
    ValueError
        There are fewer than two draws.

    Examples
    --------
    Three draws: they are on average 4/3 away from the observation, and 2 from each other.

    >>> round(float(ensemble_crps(2.0, [0.0, 1.0, 3.0])), 3)
    0.333
    """
    ordered = np.sort(np.moveaxis(np.asarray(members, float), axis, -1), axis=-1)
    n = ordered.shape[-1]
    if n < 2:
        raise ValueError(f"{n} draws of a prediction: its CRPS needs at least 2")
    # E|X - X'| / 2 from the sorted draws x_1 <= … <= x_n: sum_i (2i - n - 1) x_i / (n (n - 1))
    weight = (2 * np.arange(1, n + 1) - n - 1) / (n * (n - 1))
    error = np.abs(ordered - np.asarray(observed, float)[..., None]).mean(axis=-1)
    return np.asarray(error - ordered @ weight)


def ensemble_log_density(observed: ArrayLike, members: ArrayLike, *, axis: int = -1) -> NDArray[np.float64]:
    """Log of the probability density that a prediction known by draws gives to an observation; high is good.

    The density is the mean of Normal densities about the draws, of Silverman's width; where half of the draws are the
    same, the width is that of their standard deviation.

    Parameters
    ----------
    observed, members, axis
        As in `ensemble_crps`.

    Returns
    -------
    ndarray of float
        Log density at each observation, in the inverse of its unit.

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(size=2000)
    >>> ensemble_log_density([0.0, 2.0], [draws, draws]).round(1)
    array([-1. , -2.9])
    """
    draws = np.moveaxis(np.asarray(members, float), axis, -1)
    low, high = np.quantile(draws, (0.25, 0.75), axis=-1)
    sd = draws.std(axis=-1, ddof=1)
    width = 1.06 * np.where(high > low, np.minimum(sd, (high - low) / 1.34), sd) * draws.shape[-1] ** -0.2
    z = (np.asarray(observed, float)[..., None] - draws) / width[..., None]
    return np.asarray(logsumexp(norm.logpdf(z), axis=-1) - np.log(width * draws.shape[-1]))


def normal_crps(observed: ArrayLike, mean: ArrayLike, sd: ArrayLike) -> NDArray[np.float64]:
    """Score of a normal prediction (Gneiting & Raftery 2007, eq. 5).

    Parameters
    ----------
    observed, mean, sd : array-like
        Observation, and mean and standard deviation of its prediction; they are broadcast together. With a standard
        deviation of 0 the score is the absolute error.

    Returns
    -------
    ndarray of float
        Score of each observation.

    Examples
    --------
    A prediction that is sharper and just as right scores better.

    >>> normal_crps(0.0, 0.0, [1.0, 0.5]).round(3)
    array([0.234, 0.117])
    """
    sd = np.maximum(np.asarray(sd, float), 1e-12)
    z = (np.asarray(observed) - np.asarray(mean)) / sd
    return np.asarray(sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi)))
