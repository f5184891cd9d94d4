r"""How far a forest's prediction is off, in units of the spread of its trees, by the paper's bootstraps (eq. 9–10).

Profiles are drawn with replacement, as many as there are; the rows of four fifths of those that were drawn train a
forest, and each of the others has

.. math:: \tau = \sqrt{(y - \bar{\hat y})^2 / \mathrm{var}(\hat y)} \qquad (9)

with the mean and the variance of the predictions of the trees. The 95th percentile of all of them, over all bootstraps,
makes the 95 % interval of a prediction :math:`\bar{\hat y} \pm \hat\tau_{95} \, \mathrm{sd}(\hat y)` (eq. 10).

The paper draws profiles, then parts "the soil profile-specific data": read here as parting the profiles that were
drawn. A profile that was drawn twice is twice on one side, never on both: else the forest would be asked for what it
has seen.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..files import atomic_path
from ..progress import Progress
from .learners import PosteriorForest, TrainingData, response_of

HELD_OUT = 0.2

LEVEL = 0.95


def scaled_error(observed: ArrayLike, mean: ArrayLike, sd: ArrayLike) -> NDArray[np.float64]:
    """τ of each observation (paper, eq. 9).

    Parameters
    ----------
    observed : array-like, shape (n,)
        What was measured.
    mean, sd : array-like, shape (n,)
        Mean and standard deviation over the trees.

    Returns
    -------
    ndarray, shape (n,)
        Infinite where all trees agree on something else.

    Examples
    --------
    >>> scaled_error([5.0, 4.0], [3.0, 3.0], [0.5, 0.0])
    array([ 4., inf])
    """
    error, sd = np.abs(np.asarray(observed, float) - mean), np.asarray(sd, float)
    return np.divide(error, sd, out=np.where(error > 0, np.inf, 0.0), where=sd > 0)


def interval(mean: ArrayLike, sd: ArrayLike, tau95: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of the 95 % prediction interval (paper, eq. 10).

    Examples
    --------
    >>> interval(3.0, 0.5, 2.0)
    (array(2.), array(4.))
    """
    middle, reach = np.asarray(mean, float), tau95 * np.asarray(sd, float)
    return np.asarray(middle - reach), np.asarray(middle + reach)


def percentile95(tau: ArrayLike) -> float:
    """τ₉₅ of all held-out observations of all bootstraps; infinite values take part.

    Raises
    ------
    ValueError
        There is none.
    """
    values = np.asarray(tau, float).ravel()
    if not len(values):
        raise ValueError("there is no τ; expected at least one held-out observation")
    return float(np.quantile(values, LEVEL, method="higher" if np.isinf(values).any() else "linear"))


def bootstrap_tau(
    forest: PosteriorForest,
    data: TrainingData,
    *,
    bootstraps: int,
    seed: int,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> list[NDArray[np.float64]]:
    """τ of the held-out observations of each bootstrap.

    Parameters
    ----------
    forest : PosteriorForest
        Not fitted; its settings are used.
    data : TrainingData
        Rows of a site are drawn, and held out, together.
    bootstraps : int
        Number of bootstraps.
    seed : int
        Seed, from which each bootstrap derives its own.
    folder : Path, optional
        Folder where each bootstrap is saved; a saved one of the same data and settings is read instead of repeated.
    progress : callable, optional
        Called with the bootstraps done and wanted.

    Returns
    -------
    list of ndarray
        One array a bootstrap, (held-out rows,).
    """
    key = _key(forest, data, seed)
    number = np.unique(data.site, return_inverse=True)[1]
    found = []
    for b, child in enumerate(np.random.SeedSequence(seed).spawn(bootstraps)):
        path = folder / f"{key}-{b}.npy" if folder else None
        if path and path.is_file():
            found.append(np.load(path, allow_pickle=False))
        else:
            found.append(_one(forest, data.X, data.y, number, np.random.default_rng(child)))
            if path:
                with atomic_path(path) as temporary, open(temporary, "wb") as file:
                    np.save(file, found[-1], allow_pickle=False)
        if progress:
            progress(b + 1, bootstraps)
    return found


def _one(
    forest: PosteriorForest, X: NDArray, y: NDArray, profile: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    count = int(profile.max()) + 1
    times = np.bincount(rng.integers(count, size=count), minlength=count)
    drawn = rng.permutation(np.flatnonzero(times))
    held = drawn[: max(round(HELD_OUT * len(drawn)), 1)]
    known = drawn[len(held) :]
    (train, copy), (test, _) = (_rows(profile, some, times) for some in (known, held))
    fold = PosteriorForest(**(forest.get_params() | {"random_state": int(rng.integers(2**31))}))
    fold.fit(X[train], response_of(y[train]), copy)
    mean, sd = fold.mean_and_std(X[test])
    return scaled_error(y[test, rng.integers(y.shape[1])], mean, sd)


def _rows(
    profile: NDArray[np.int64], some: NDArray[np.int64], times: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of some profiles, each as often as its profile was drawn; and labels of a profile's copies, which the forest
    resamples one by one.
    """
    there = np.flatnonzero(np.isin(profile, some))
    repeats = times[profile[there]]
    rows = np.repeat(there, repeats)
    copy = np.arange(len(rows)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    return rows, profile[rows] * (times.max() + 1) + copy


def _key(forest: PosteriorForest, data: TrainingData, seed: int) -> str:
    """Checksum of what a bootstrap follows from."""
    settings = {name: value for name, value in forest.get_params().items() if name not in ("n_jobs", "random_state")}
    text = repr((seed, sorted(settings.items()), data.X.shape, data.y.shape, [str(s) for s in data.site]))
    found = hashlib.sha256(text.encode())
    for values in (data.X, data.y):
        found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()[:16]
