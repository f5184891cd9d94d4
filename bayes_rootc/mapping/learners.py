"""Random forests that carry a posterior: tree m is fitted to posterior draw m, so inversion uncertainty is in the
spread of the trees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GroupKFold
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from ..constants import BIOMES, INTERVAL, LAYERS
from ..crps import normal_crps
from ..errors import InputError
from ..progress import Progress, part_of
from .applicability import Applicability
from .forest import CompiledForest, Layers, Nodes
from .natural_scale import NaturalScale

HOLD_OUT_TREES = 200
"""Number of trees in the forests of validation: enough to know the standard deviation of the trees to 5 %."""

MIN_GROUPS = 5
"""Least number of sites, or of spatial blocks, to hold out a fifth; with fewer blocks, sites are held out instead."""

ROUNDING = 1e-12
"""Values that differ less than this, relative to the largest, are taken for equal."""

Z95 = norm.ppf(INTERVAL[1])


class PosteriorForest(RegressorMixin, BaseEstimator):
    """Random forest on posterior draws of a response.

    Each tree sees a bootstrap sample of whole groups (sites or profiles, as the paper resamples profiles) and one
    posterior draw of the response, so that the spread of the trees holds the uncertainty of the response. With one
    column of `y` it is an ordinary random forest. It is an estimator of scikit-learn: it can be cloned, tuned, and put
    into a pipeline.

    Parameters
    ----------
    n_estimators : int
        Number of trees.
    min_samples_leaf : int or float
        As in scikit-learn.
    max_features : int or float
        As in scikit-learn; a third of the features is the usual choice for regression (Breiman 2001).
    random_state : int
        Seed; the same seed gives the same forest whatever `n_jobs`.
    n_jobs : int
        Number of threads.

    Attributes
    ----------
    trees_ : Nodes
        Nodes of the fitted trees.
    feature_importances_ : ndarray, shape (features,)
        Share of each feature in what the trees explain, as in scikit-learn; zeros if they explain nothing.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str, shape (features,)
        Their names, if `X` had any.

    Examples
    --------
    A response that is known to ± 1: the trees differ by what is not known of it.

    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(size=(300, 2))
    >>> draws = 5 * X[:, :1] + rng.standard_normal((300, 100))
    >>> forest = PosteriorForest(100, random_state=1).fit(X, draws)
    >>> mean, sd = forest.mean_and_std([[0.2, 0.5], [0.8, 0.5]])
    >>> mean.round(), bool((sd > 0.3).all())
    (array([1., 4.]), True)
    """

    def __init__(
        self,
        n_estimators: int = 500,
        *,
        min_samples_leaf: int = 3,
        max_features: float = 1 / 3,
        random_state: int = 0,
        n_jobs: int = 2,
    ):
        self.n_estimators = n_estimators
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> PosteriorForest:
        """Fits the trees.

        Parameters
        ----------
        X : array-like, shape (n, features)
            Features, finite.
        y : array-like, shape (n,) or (n, draws)
            Response, or posterior draws of it, finite; tree m sees draw m, and starts again after the last.
        groups : array-like, shape (n,), optional
            Labels of rows that are resampled together; by default every row is its own.

        Returns
        -------
        PosteriorForest
            The forest itself.

        Raises
        ------
        ValueError
            A value is not finite, the numbers of rows differ, or no tree is asked for.
        """
        if self.n_estimators < 1:
            raise ValueError(f"n_estimators is {self.n_estimators}; expected at least 1")
        rows: NDArray[np.float32]
        rows, y = validate_data(self, X, y, dtype=np.float32, order="C", multi_output=True, y_numeric=True)
        check_consistent_length(rows, groups)
        draws = np.asarray(y, dtype=np.float64)
        if draws.ndim == 1 or draws.shape[1] == 1:
            draws = column_or_1d(draws, warn=True)[:, None]  # warns of a column, as scikit-learn's forests do
        groups = np.arange(len(rows)) if groups is None else groups
        resampling = self._resampling(groups)

        def grow(tree: int) -> DecisionTreeRegressor:
            times, rng = resampling(tree)
            drawn, weight = np.flatnonzero(times), times.astype(float)
            fitted = DecisionTreeRegressor(
                # a row that was drawn twice weighs twice: the same tree as from both, in two thirds of the time
                min_weight_fraction_leaf=min((self.min_samples_leaf - 0.5) / weight.sum(), 0.5),
                max_features=self.max_features,
                random_state=int(rng.integers(2**31)),
            )
            return fitted.fit(rows[drawn], draws[drawn, tree % draws.shape[1]], sample_weight=weight[drawn])

        trees = Parallel(n_jobs=self.n_jobs, prefer="threads")(delayed(grow)(t) for t in range(self.n_estimators))
        self.trees_ = Nodes.of(trees)
        self.feature_importances_ = np.mean([tree.feature_importances_ for tree in trees], axis=0)
        return self

    def _resampling(self, groups: ArrayLike) -> Callable[[int], tuple[NDArray[np.int64], np.random.Generator]]:
        """How often each row is drawn for a tree, and the tree's random stream from there on."""
        labels = np.unique(np.asarray(groups), return_inverse=True)[1]
        there = int(labels.max()) + 1
        seeds = np.random.SeedSequence(self.random_state).spawn(self.n_estimators)

        def of_tree(tree: int) -> tuple[NDArray[np.int64], np.random.Generator]:
            rng = np.random.default_rng(seeds[tree])
            return np.bincount(rng.integers(0, there, there), minlength=there)[labels], rng

        return of_tree

    def times_drawn(self, groups: ArrayLike) -> NDArray[np.float64]:
        """How often each row of a fit was drawn for each tree, (tree, row), of the same groups and random state."""
        resampling = self._resampling(groups)
        return np.stack([resampling(tree)[0] for tree in range(self.n_estimators)]).astype(float)

    def members(self, X: ArrayLike, layers: Layers = ()) -> NDArray[np.float32]:
        """Prediction of every tree.

        Parameters
        ----------
        X : array-like, shape (n, features)
            Features, finite, in the order of the fit; with `layers` the last two may be left out.
        layers : tuple of (float, float), optional
            Top and bottom (cm) of layers, from above, that every row is predicted for; they are the last two features.

        Returns
        -------
        ndarray, shape (n, tree) or (n, layer, tree)
            Prediction of every tree, in the unit of the response.
        """
        rows = self._validated(X, layers)
        return self.compiled(layers).members(rows, threads=self.n_jobs)

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Mean over the trees, shape (n,), of features X, (n, features)."""
        return self.mean_and_std(X)[0]

    def mean_and_std(
        self, X: ArrayLike, layers: Layers = (), *, progress: Progress | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation over the trees; memory does not grow with rows × trees.

        Parameters
        ----------
        X : array-like, shape (n, features)
            Features, as in `members`.
        layers : tuple of (float, float), optional
            Top and bottom (cm) of layers, as in `members`.
        progress : callable, optional
            Called with the parts done and wanted.

        Returns
        -------
        mean, std : ndarray, shape (n,) or (n, layer)
            Mean and standard deviation over the trees.
        """
        rows = self._validated(X, layers)
        return self.compiled(layers).mean_and_std(rows, threads=self.n_jobs, progress=progress)

    def compiled(self, layers: Layers = ()) -> CompiledForest:
        """The forest for rows with all predictors, or for `layers` of rows: top and bottom are its last predictors."""
        check_is_fitted(self)
        columns = (self.n_features_in_ - 2, self.n_features_in_ - 1) if layers else None
        return CompiledForest(self.trees_, layer_columns=columns, layers=layers)

    def _validated(self, X: ArrayLike, layers: Layers) -> NDArray[np.float32]:
        """Features as the trees compare them. No rows are fine: there is nothing to predict then."""
        check_is_fitted(self)
        how: dict[str, Any] = {"dtype": np.float32, "ensure_min_samples": 0}
        places = self.n_features_in_ - 2  # features without the depth of a layer
        if not layers or np.shape(X)[1:] != (places,):
            return validate_data(self, X, reset=False, **how)
        names, known = getattr(X, "columns", None), getattr(self, "feature_names_in_", None)
        if names is not None and known is not None and list(names) != list(known[:places]):
            raise ValueError(
                f"the features are {', '.join(names)}; expected {', '.join(known[:places])}, as in the fit"
            )
        return check_array(X, estimator=self, input_name="X", **how)


def response_of(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draws (n, draw) as `PosteriorForest.fit` takes them: (n,) where there is but one."""
    return draws[:, 0] if draws.shape[1] == 1 else draws


@dataclass(frozen=True)
class TrainingData:
    """What a forest learns from: a row a site or layer.

    Attributes
    ----------
    X : ndarray
        Predictors, (n, features), finite.
    y : ndarray
        Draws of the response on its log or logit scale, (n, draw); an observation is one of them.
    site, block : ndarray
        Labels of the sites or profiles, which stay together, and of the spatial blocks that they lie in, (n,).
    """

    X: NDArray[np.float32]
    y: NDArray[np.float64]
    site: NDArray[Any]
    block: NDArray[Any]

    def regions(self, least: int = MIN_GROUPS) -> NDArray[Any]:
        """Labels of the blocks, or of the sites where there are fewer blocks than `least`."""
        return self.block if len(np.unique(self.block)) >= least else self.site


def fold_labels(groups: ArrayLike, folds: int, seed: int) -> NDArray[np.int64]:
    """Number of the fold that each row belongs to, (n,); groups are kept whole."""
    groups = np.asarray(groups)
    label = np.empty(len(groups), int)
    for fold, (_, held) in enumerate(GroupKFold(folds, shuffle=True, random_state=seed).split(groups, None, groups)):
        label[held] = fold
    return label


@dataclass(frozen=True)
class Calibration:
    """How far the standard deviation of the trees is from the true error (paper, eq. 9–10), measured on sites that the
    forest had not seen.

    Attributes
    ----------
    tau95 : float
        95th percentile of |y - mean| / sd; the 95 % interval is mean ± tau95 · sd.
    profile_correlation : float
        Correlation of the standardised errors of two layers of one profile.
    """

    tau95: float
    profile_correlation: float

    @property
    def stretch(self) -> float:
        """Factor on the trees' deviations that makes them a sample of the calibrated predictive distribution."""
        return self.tau95 / Z95

    def stretched(self, trees: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated members from what the trees predict, (…, tree): their deviations from their mean, stretched.
        Neighbouring sites err together, as the trees do.
        """
        mean = trees.mean(axis=-1, keepdims=True)
        return mean + np.float32(self.stretch) * (trees - mean)


def design_matrix(
    covariates: pd.DataFrame, features: list[str], depth: NDArray | None = None
) -> tuple[NDArray[np.float32], list[str]]:
    """Numeric covariates, biome as dummy variables, and layer top and bottom (cm, (n, 2)) where given."""
    biome = covariates["biome"].to_numpy(int)
    parts = [covariates[features].to_numpy(np.float32), (biome[:, None] == np.array(list(BIOMES))).astype(np.float32)]
    names = [*features, *(f"biome_{b}" for b in BIOMES)]
    if depth is not None:
        parts.append(np.asarray(depth, np.float32))
        names += ["top", "bottom"]
    return np.concatenate(parts, axis=1), names


@dataclass(frozen=True)
class FluxModel:
    """A forest of a flux on its log or logit scale, the calibration of its spread and of its means, and where to trust
    it.
    """

    forest: PosteriorForest
    calibration: Calibration
    applicability: Applicability
    scale: NaturalScale | None = None

    @classmethod
    def fit(
        cls,
        forest: PosteriorForest,
        data: TrainingData,
        calibration: Calibration,
        *,
        seed: int,
        scale: NaturalScale | None = None,
    ) -> FluxModel:
        """Fits a forest to all data; the seed parts them into the folds of the area of applicability."""
        forest.fit(data.X, response_of(data.y), data.site)
        fold = fold_labels(data.regions(), MIN_GROUPS, seed)
        return cls(forest, calibration, Applicability.fit(data.X, forest.feature_importances_, fold), scale)

    def members(self, X: ArrayLike, layers: Layers = ()) -> NDArray[np.float32]:
        """Calibrated members, (n, tree) or (n, layer, tree), on the scale of the fit."""
        return self.calibrated(self.forest.members(X, layers), np.asarray(X, np.float32), layers)

    def calibrated(
        self, trees: NDArray[np.float32], X: NDArray[np.float32], layers: Layers = ()
    ) -> NDArray[np.float32]:
        """Members from what the trees predict there."""
        out = self.calibration.stretched(trees) + self.log_factor(X, layers)[..., None]
        if self.scale is not None:
            out += self.scale.deviations(*self._classes(X, layers), trees.shape[-1])
        return out

    def log_factor(self, X: NDArray[np.float32], layers: Layers = ()) -> NDArray[np.float32]:
        """What makes means right on the natural scale, to be added to logarithms: (n,), or (n, layer)."""
        if self.scale is None:
            return np.zeros((len(X), len(layers)) if layers else len(X), np.float32)
        return self.scale.log_factor(*self._classes(X, layers))

    def deviations(self, biome: NDArray[np.int64], members: int, layers: Layers = ()) -> NDArray[np.float32]:
        """What is not known of `log_factor` in these biomes (n,), in each of the members, (n, layer or 1, member)."""
        middle = np.mean(layers, axis=1)[None] if layers else None
        if self.scale is None:
            return np.zeros((len(biome), len(layers) or 1, members), np.float32)
        return self.scale.deviations(biome[:, None], middle, members)

    def _classes(self, X: NDArray[np.float32], layers: Layers) -> tuple[NDArray[np.int64], NDArray | None]:
        """Biome of each row as `design_matrix` has it, and the middle of each layer (cm) where there is a depth."""
        assert self.scale is not None
        end = self.forest.n_features_in_ - 2 * bool(self.scale.log_depth)
        biome = X[:, end - len(BIOMES) : end].argmax(axis=1) + 1
        if layers:
            return np.broadcast_to(biome[:, None], (len(X), len(layers))), np.mean(layers, axis=1)[None]
        return biome, X[:, end:].mean(axis=1) if self.scale.log_depth else None


@dataclass(frozen=True)
class Learners:
    """What predicts at places without a measurement: forests of log I_root, log I_bulk per cm and logit f_BNPP.

    Tables of sites have a column for each of `features`, and `biome`. Predictions are calibrated members, one a draw.
    """

    features: list[str]
    iroot: FluxModel
    ibulk: FluxModel
    f_bnpp: FluxModel

    def predict_iroot(self, sites: pd.DataFrame) -> NDArray[np.float32]:
        """I_root of the profile, Mg C ha⁻¹ yr⁻¹: (site, member)."""
        X, _ = design_matrix(sites, self.features)
        return np.exp(self.iroot.members(X))

    def predict_ibulk(self, sites: pd.DataFrame) -> NDArray[np.float32]:
        """I_bulk of the seven layers, Mg C ha⁻¹ yr⁻¹: (site, 7, member)."""
        X, _ = design_matrix(sites, self.features)
        thickness = np.array([bottom - top for top, bottom in LAYERS], np.float32)
        return np.exp(self.ibulk.members(X, LAYERS)) * thickness[:, None]

    def predict_f_bnpp(self, sites: pd.DataFrame) -> NDArray[np.float32]:
        """Fraction of production that goes below ground: (site, member)."""
        X, _ = design_matrix(sites, self.features)
        return (1 / (1 + np.exp(-self.f_bnpp.members(X)))).astype(np.float32)


class Validation(NamedTuple):
    """A calibration; scores (`split`, `r2`, `rmse`, `bias`, `crps`, `coverage95`, `tau95`, `n`) and predictions
    (held-out `split`, `fold`, `row`, `observed`, `mean`, `sd`, `tau`) that it comes with.
    """

    calibration: Calibration
    scores: pd.DataFrame
    predictions: pd.DataFrame


def validate(
    forest: PosteriorForest, data: TrainingData, *, splits: int, seed: int, progress: Progress | None = None
) -> Validation:
    """Scores on held-out sites and held-out spatial blocks, and the calibration that follows from the latter.

    Each split holds out 20 % of the sites (or of the blocks), fits the forest to the rest and compares it with one
    posterior draw of each held-out response.
    The interval that is scored in a split is scaled by the tau95 of the other splits, so that coverage is honest.

    Parameters
    ----------
    forest : PosteriorForest
        An unfitted forest, whose settings are used.
    """
    site = data.site
    if len(np.unique(site)) < MIN_GROUPS:
        raise InputError(f"{len(np.unique(site))} sites are too few to train and validate with, expected {MIN_GROUPS}")
    rng, parts = np.random.default_rng(seed), []
    for number, (kind, labels) in enumerate({"site": site, "spatial": data.regions()}.items()):
        part = part_of(progress, number, 2)
        parts.append(hold_out(forest, data, labels, splits=splits, rng=rng, progress=part).assign(split=kind))
    predictions = pd.concat(parts, ignore_index=True)
    scores = pd.DataFrame([score(str(kind), group) for kind, group in predictions.groupby("split", sort=False)])
    spatial = predictions[predictions["split"] == "spatial"]
    calibration = Calibration(float(spatial["tau"].quantile(0.95)), profile_correlation(spatial, site))
    return Validation(calibration, scores, predictions)


def hold_out(
    forest: PosteriorForest,
    data: TrainingData,
    labels: NDArray[Any],
    *,
    splits: int,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Predictions of fits without a fifth of the labels, compared with one posterior draw of the response.

    Parameters
    ----------
    forest : PosteriorForest
        An unfitted forest, whose settings are used.
    labels : ndarray
        What is left out as a whole, (n,).
    splits : int
        How often a random fifth is left out.

    Returns
    -------
    DataFrame
        `fold`, `row`, `observed`, `mean`, `sd`, `tau`, as in `Validation`.
    """
    groups, parts = np.unique(labels), []
    for fold in range(splits):
        held = np.isin(labels, rng.choice(groups, max(len(groups) // 5, 1), replace=False))
        fewer = PosteriorForest(**(forest.get_params() | {"random_state": int(rng.integers(2**31))}))
        fewer.set_params(n_estimators=min(forest.n_estimators, HOLD_OUT_TREES))
        fewer.fit(data.X[~held], response_of(data.y[~held]), data.site[~held])
        mean, sd = fewer.mean_and_std(data.X[held])
        rows = {"fold": fold, "row": np.flatnonzero(held), "observed": data.y[held, rng.integers(data.y.shape[1])]}
        parts.append(pd.DataFrame(rows | {"mean": mean, "sd": sd}))
        if progress:
            progress(fold + 1, splits)
    out = pd.concat(parts, ignore_index=True)
    return out.assign(tau=(out["observed"] - out["mean"]).abs() / out["sd"].clip(lower=1e-6))


def score(kind: str, p: pd.DataFrame) -> dict[str, object]:
    """Scores of held-out predictions, as in `Validation`."""
    residual = p["observed"] - p["mean"]
    covered, crps = [], []
    for fold, rows in p.groupby("fold"):
        tau95 = p.loc[p["fold"] != fold, "tau"].quantile(0.95)
        covered.append(rows["tau"] <= tau95)
        crps.append(normal_crps(rows["observed"], rows["mean"], rows["sd"].to_numpy() * tau95 / Z95))
    return {
        "split": kind,
        "r2": r_squared(p["observed"].to_numpy(), p["mean"].to_numpy()),
        "rmse": float(np.sqrt((residual**2).mean())),
        "bias": float(-residual.mean()),
        "crps": float(np.concatenate(crps).mean()),
        "coverage95": float(pd.concat(covered).mean()),
        "tau95": float(p["tau"].quantile(0.95)),
        "n": len(p),
    }


def r_squared(observed: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """Share of the observations' variance that predictions explain; NaN where they do not vary but by rounding."""
    if is_constant(observed):
        return np.nan
    return 1 - float(np.square(observed - predicted).sum() / np.square(observed - observed.mean()).sum())


def is_constant(values: NDArray[np.float64]) -> bool:
    """Whether values differ by rounding at most."""
    return bool(np.ptp(values) <= ROUNDING * np.abs(values).max()) if len(values) else True


def profile_correlation(predictions: pd.DataFrame, site: NDArray) -> float:
    """Intraclass correlation (one-way analysis of variance) of standardised errors within profile; 0 where each has one
    layer.
    """
    z = ((predictions["observed"] - predictions["mean"]) / predictions["sd"].clip(lower=1e-6)).to_numpy()
    group = pd.Series(z).groupby([predictions["fold"].to_numpy(), site[predictions["row"].to_numpy()]])
    size, mean = group.transform("size").to_numpy(), group.transform("mean").to_numpy()
    n_groups = group.ngroups
    if (size > 1).sum() < 10 or len(z) <= n_groups:
        return 0.0
    within = ((z - mean) ** 2).sum() / (len(z) - n_groups)
    between = ((mean - z.mean()) ** 2).sum() / (n_groups - 1)
    typical = (len(z) - (size.astype(float)).sum() / len(z)) / (n_groups - 1)  # sum of n_g² / N, written over rows
    return float(np.clip((between - within) / (between + (typical - 1) * within), 0, 1))
