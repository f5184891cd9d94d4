"""The paper's ensemble, as what predicts I_root, I_bulk and f_BNPP at sites (Methods, "Machine learning models").

Five learners are fitted to four fifths of the sites, stratified by the response, each behind caret's two filters of
collinear columns; the three with the lowest error on the last fifth enter a principal-component regression. Whole sites
or profiles are held out, because layers of one profile are alike. As in the paper, each site has one prediction, on the
scale of the fit and back-transformed without a correction: it carries no uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from ..constants import LAYER_NAMES, LAYERS
from ..errors import InputError
from ..progress import Progress
from .learners import design_matrix, r_squared
from .regressors import BEST, ENSEMBLE, INNER_FOLDS, LEARNERS, TREES, Ensemble, combine, tune
from .tasks import Task
from .validation import folds_of

PLACE = ["lat", "lon"]
FOLDS = 5
"""Parts of the sites, one of which is held out: 20 %."""

HARMONISATION = "ibulk, all data"
"""The model that brings measured profiles to the seven layers."""


@dataclass(frozen=True)
class SiteEnsemble:
    """A fitted ensemble.

    Parameters
    ----------
    ensemble : Ensemble
        The three best learners and how they are combined.
    scores : DataFrame
        `learner`, `r2`, `rmse`, whether it is `in_ensemble`, and `n`, the number of rows that it was asked for.
    """

    ensemble: Ensemble
    scores: pd.DataFrame


def fit_ensemble(
    X: NDArray, y: NDArray, site: NDArray, *, seed: int, trees: int = TREES, everything: bool = False
) -> SiteEnsemble:
    """Fits the learners and their ensemble.

    Parameters
    ----------
    X : ndarray, shape (n, features)
        Features, finite.
    y : ndarray, shape (n,)
        Response.
    site : ndarray, shape (n,)
        Labels of rows that are held out together.
    seed : int
        Seed of the split and of the learners.
    trees : int
        Number of trees in the forest.
    everything : bool
        Fit to all rows and score on the same rows, as the paper does in its model for harmonisation.

    Returns
    -------
    SiteEnsemble

    Raises
    ------
    InputError
        Too few sites.
    """
    few = len(np.unique(site))
    if few < FOLDS * INNER_FOLDS:
        raise InputError(f"{few} sites are too few for an ensemble of learners, expected {FOLDS * INNER_FOLDS}")
    known, held = next(folds_of("site", y, site, site, folds=FOLDS, seed=seed))
    if everything:
        known = held = np.arange(len(y))
    learners = {name: tune(name, X[known], y[known], site[known], seed=seed, trees=trees) for name in LEARNERS}
    predicted = {name: fit.predict(X[held]) for name, fit in learners.items()}
    error = {name: float(np.sqrt(np.square(y[held] - p).mean())) for name, p in predicted.items()}
    if everything:  # who has learnt its rows by heart is not the best
        error = {name: fit.rmse for name, fit in learners.items()}
    names = sorted(learners, key=lambda name: error[name])[:BEST]
    best = tuple(learners[name] for name in names)
    ensemble = Ensemble(best, combine(best, y[known], site[known], seed=seed))
    predicted[ENSEMBLE] = ensemble.predict(X[held])
    rows = [
        {
            "learner": name,
            "r2": r_squared(y[held], p),
            "rmse": float(np.sqrt(np.square(y[held] - p).mean())),
            "in_ensemble": name in names,
            "n": len(held),
        }
        for name, p in predicted.items()
    ]
    return SiteEnsemble(ensemble, pd.DataFrame(rows))


def predict_sites(
    tasks: dict[str, Task],
    features: list[str],
    sites: pd.DataFrame,
    *,
    seed: int,
    trees: int = TREES,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the ensembles say of places.

    Parameters
    ----------
    tasks : dict of Task
        `iroot`, `ibulk`, `f_bnpp`.
    features : list of str
        Names of the covariates.
    sites : DataFrame
        `lat`, `lon`, `biome` and the covariates, whole.
    seed, trees : int
        As in `fit_ensemble`.
    progress : callable, optional
        Called with the models done and wanted.

    Returns
    -------
    predictions : DataFrame
        `lat`, `lon`, `iroot` (Mg C ha⁻¹ yr⁻¹), `f_bnpp`, and of each layer `ibulk_…` from the model of four fifths and
        `harmonised_…` from that of all data (Mg C ha⁻¹ yr⁻¹).
    scores : DataFrame
        `target` and the columns of `SiteEnsemble.scores`.
    """
    places = sites.drop_duplicates(PLACE).reset_index(drop=True)
    layered = places.loc[places.index.repeat(len(LAYERS))]
    depth = np.tile(LAYERS, (len(places), 1)).astype(float)
    thickness = np.diff(np.array(LAYERS, float), axis=1)[:, 0]
    out, scores = {name: places[name].to_numpy() for name in PLACE}, []
    wanted = [("iroot", "iroot", False), ("f_bnpp", "f_bnpp", False), ("ibulk", "ibulk", False)]
    wanted.append((HARMONISATION, "ibulk", True))
    for i, (name, target, everything) in enumerate(wanted):
        task = tasks[target]
        fitted = fit_ensemble(task.X, task.y.mean(axis=1), task.site, seed=seed, trees=trees, everything=everything)
        scores.append(fitted.scores.assign(target=name))
        if target == "ibulk":
            X, _ = design_matrix(layered, features, depth)
            values = np.exp(fitted.ensemble.predict(X)).reshape(-1, len(LAYERS)) * thickness
            kind = "harmonised" if everything else "ibulk"
            out |= {f"{kind}_{layer}": values[:, j] for j, layer in enumerate(LAYER_NAMES)}
        else:
            X, _ = design_matrix(places, features)
            found = fitted.ensemble.predict(X)
            out[target] = np.exp(found) if target == "iroot" else expit(found)
        if progress:
            progress(i + 1, len(wanted))
    table = pd.concat(scores, ignore_index=True)
    return pd.DataFrame(out), table[["target", *table.columns.drop("target")]]


@dataclass(frozen=True)
class SitePredictions:
    """Predictions at sites in the form in which forests give theirs, with one member.

    Parameters
    ----------
    table : DataFrame
        As `predict_sites` gives it.
    """

    table: pd.DataFrame

    def predict_iroot(self, sites: pd.DataFrame) -> NDArray[np.float32]:
        """I_root of the profile, Mg C ha⁻¹ yr⁻¹: (site, 1)."""
        return self._of(sites, ["iroot"])

    def predict_f_bnpp(self, sites: pd.DataFrame) -> NDArray[np.float32]:
        """Fraction of production that goes below ground: (site, 1)."""
        return self._of(sites, ["f_bnpp"])

    def predict_ibulk(self, sites: pd.DataFrame) -> NDArray[np.float32]:
        """I_bulk of the seven layers, Mg C ha⁻¹ yr⁻¹: (site, 7, 1)."""
        return self._of(sites, [f"ibulk_{layer}" for layer in LAYER_NAMES])[:, :, None]

    def harmonised(self, profiles: pd.DataFrame) -> NDArray[np.float32]:
        """I_bulk of the seven layers by the model of all data, Mg C ha⁻¹ yr⁻¹: (profile, 7, 1); NaN elsewhere."""
        return self._of(profiles, [f"harmonised_{layer}" for layer in LAYER_NAMES])[:, :, None]

    def _of(self, sites: pd.DataFrame, columns: list[str]) -> NDArray[np.float32]:
        joined = sites[PLACE].merge(self.table, on=PLACE, how="left", validate="many_to_one")
        return joined[columns].to_numpy(np.float32)
