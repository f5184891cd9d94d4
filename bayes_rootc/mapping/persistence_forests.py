"""Forests of how long carbon stays: mean age, mean transit time, and the input that stays longer than 100 years.

They have the trees of the forest of I_bulk, and other values in their leaves: those of the same posterior draws of the
same layers. So member m of all of them is one draw, and they cost no fit; what they know of new places is calibrated on
held-out blocks like that of other forests.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..constants import LAYERS
from ..data.tables import reason_of
from ..errors import InputError
from ..files import atomic_path
from ..progress import Progress
from .forest import CompiledForest, Nodes
from .learners import (
    ROUNDING,
    Calibration,
    FluxModel,
    PosteriorForest,
    TrainingData,
    profile_correlation,
    response_of,
    score,
)
from .monte_carlo import LEVELS, Statistics
from .natural_scale import NaturalScale, corrected, natural_means, read_scales
from .variables import PERSISTENCE

LEAST_SHARE = 1e-3
"""Share of the input from which it counts as staying: less is nothing that radiocarbon could tell."""

HOLD_OUT_TREES = 30
"""Trees of the forests that are scored on held-out blocks: enough for their spread to 13 %, and cheap."""

ROWS_AT_ONCE = 16_384
"""Cells whose layers are combined at once: 49 pairs of layers take 400 bytes a cell, several times."""

YEARS = 100
"""Years that the input of `ibulk_t100` stays, at least."""


@dataclass(frozen=True)
class SharedTrees:
    """The trees of a fitted forest, for other responses of the rows that it was fitted to.

    Attributes
    ----------
    forest : PosteriorForest
        The fitted forest.
    leaf : ndarray
        Node at which each row ends in each tree, (tree, row).
    times : ndarray
        How often the row was drawn for the tree, (tree, row).
    """

    forest: PosteriorForest
    leaf: NDArray[np.int32]
    times: NDArray[np.float64]

    @classmethod
    def of(cls, forest: PosteriorForest, X: NDArray[np.float32], site: NDArray) -> SharedTrees:
        """The trees of a forest that was fitted to these rows and groups."""
        return cls(forest, forest.trees_.leaves(X), forest.times_drawn(site))

    def leaves_of(self, y: NDArray[np.float64]) -> NDArray[np.float32]:
        """Means of draws (row, draw) over the rows in the leaves of each tree; 0 at other nodes, (node,)."""
        number = np.zeros(len(self.forest.trees_.number), np.float32)
        for tree, (leaf, times) in enumerate(zip(self.leaf, self.times, strict=True)):
            total = np.bincount(leaf, times * y[:, tree % y.shape[1]])
            weight = np.bincount(leaf, times)
            at = np.flatnonzero(weight)
            number[at] = total[at] / weight[at]
        return number

    def with_leaves(self, number: NDArray[np.float32]) -> PosteriorForest:
        """The forest with other values in its leaves."""
        return _with_leaves(self.forest, number)


def _with_leaves(forest: PosteriorForest, number: NDArray[np.float32]) -> PosteriorForest:
    nodes = forest.trees_
    other = PosteriorForest(**forest.get_params())
    other.trees_ = replace(nodes, number=np.where(nodes.leaf, number, nodes.number))
    other.n_features_in_ = forest.n_features_in_
    return other


@dataclass(frozen=True)
class PersistenceForests:
    """Values in the leaves of the forest of I_bulk, by quantity, and what they are calibrated with.

    Attributes
    ----------
    leaves : dict of str to ndarray
        (node,), on the log scale; yr, or Mg C ha⁻¹ yr⁻¹ per cm for inputs.
    calibration : dict of str to Calibration
        By quantity.
    trees : str
        Checksum of the trees that they belong to.
    scale : dict of str to NaturalScale
        What makes means of inputs right on the natural scale, where it is wanted.
    """

    leaves: dict[str, NDArray[np.float32]]
    calibration: dict[str, Calibration]
    trees: str
    scale: dict[str, NaturalScale] = field(default_factory=dict)

    def models(self, ibulk: FluxModel) -> dict[str, FluxModel]:
        """Forests by quantity, with the trees of the forest of I_bulk.

        Raises
        ------
        InputError
            They belong to other trees.
        """
        if checksum(ibulk.forest.trees_) != self.trees:
            raise InputError("models/persistence.npz belongs to other forests than models/learners.npz; run again")
        return {
            name: FluxModel(
                _with_leaves(ibulk.forest, values), self.calibration[name], ibulk.applicability, self.scale.get(name)
            )
            for name, values in self.leaves.items()
        }

    def save(self, path: Path) -> None:
        """Writes `models/persistence.npz`."""
        calibration = {name: asdict(one) for name, one in self.calibration.items()}
        scale = {name: asdict(one) for name, one in self.scale.items()}
        about = json.dumps({"trees": self.trees, "calibration": calibration, "factors": scale})
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            arrays: dict[str, Any] = {"about": np.array(about), **self.leaves}
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path, quantities: Sequence[str]) -> PersistenceForests:
        """Reads some of the quantities that `save` wrote.

        Raises
        ------
        InputError
            The file was not written by this package, or lacks a quantity.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                about = json.loads(str(arrays["about"]))
                lacking = [name for name in quantities if name not in about["calibration"]]
                if lacking:
                    raise InputError(f"has no {', '.join(lacking)}; run `bayes-rootc run` again", file=path)
                leaves = {name: arrays[name] for name in quantities}
            known = {name: Calibration(**about["calibration"][name]) for name in quantities}
            return cls(leaves, known, str(about["trees"]), read_scales(about["factors"], quantities))
        except InputError:
            raise
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise InputError(f"not a readable file of forests ({reason_of(error)})", file=path) from None


def checksum(nodes: Nodes) -> str:
    """Checksum of the nodes of a forest."""
    found = hashlib.sha256()
    for array in (nodes.feature, nodes.number, nodes.left, nodes.right, nodes.root):
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def fit_persistence(
    ibulk: FluxModel,
    data: TrainingData,
    responses: Mapping[str, NDArray[np.float64]],
    *,
    splits: int,
    seed: int,
    layers: pd.DataFrame | None = None,
    progress: Progress | None = None,
) -> tuple[PersistenceForests, pd.DataFrame]:
    """Other quantities in the leaves of the forest of I_bulk, calibrated on held-out blocks.

    Parameters
    ----------
    ibulk : FluxModel
        The forest of I_bulk, fitted to `data`; its random state must be that of the fit.
    data : TrainingData
        Layers.
    responses : mapping of str to ndarray
        Draws of each quantity on the log scale, (layer, draw).
    splits : int
        How often a fifth of the blocks is held out.
    layers : DataFrame, optional
        `biome`, `top`, `bottom` (cm) of the layers, with which means of inputs are made right on the natural scale; by
        default they are not.

    Returns
    -------
    tuple of PersistenceForests, DataFrame
        The forests, and their scores as in `tables/learners.csv`, by `target`, with the ratio of predicted to observed
        means of inputs, before and after (`ratio_uncorrected`, `ratio`).
    """
    shared = SharedTrees.of(ibulk.forest, data.X, data.site)
    leaves = {name: shared.leaves_of(y) for name, y in responses.items()}
    rng, blocks = np.random.default_rng(seed), data.regions()
    groups, held_out = np.unique(blocks), dict[str, list[pd.DataFrame]]()
    for split in range(splits):
        held = np.isin(blocks, rng.choice(groups, max(len(groups) // 5, 1), replace=False))
        forest = PosteriorForest(HOLD_OUT_TREES, random_state=int(rng.integers(2**31)))
        forest.fit(data.X[~held], response_of(data.y[~held]), data.site[~held])
        fold = SharedTrees.of(forest, data.X[~held], data.site[~held])
        drawn = rng.integers(data.y.shape[1])
        for name, y in responses.items():
            mean, sd = fold.with_leaves(fold.leaves_of(y[~held])).mean_and_std(data.X[held])
            rows = {"split": "spatial", "fold": split, "row": np.flatnonzero(held), "observed": y[held, drawn]}
            held_out.setdefault(name, []).append(pd.DataFrame(rows | {"mean": mean, "sd": sd}))
        if progress:
            progress(split + 1, splits)
    calibration, scores, scale = {}, [], dict[str, NaturalScale]()
    for name, parts in held_out.items():
        table = pd.concat(parts, ignore_index=True)
        table["tau"] = (table["observed"] - table["mean"]).abs() / table["sd"].clip(lower=1e-6)
        calibration[name] = Calibration(float(table["tau"].quantile(0.95)), profile_correlation(table, data.site))
        ratios = dict.fromkeys(("ratio_uncorrected", "ratio"), np.nan)
        if layers is not None and name.startswith("ibulk"):
            means = natural_means(table, np.exp(responses[name]).mean(axis=1), layers)
            scale[name], observed = NaturalScale.fit(means), means["observed"].sum()
            ratios = {
                "ratio_uncorrected": means["predicted"].sum() / observed,
                "ratio": corrected(means, blocks).sum() / observed,
            }
        scores.append({"target": name, **score("spatial", table)} | ratios)
    return PersistenceForests(leaves, calibration, checksum(ibulk.forest.trees_), scale), pd.DataFrame(scores)


def persistence_statistics(
    models: Mapping[str, FluxModel], ibulk: NDArray[np.float64], X: NDArray[np.float32]
) -> Statistics:
    """Statistics of how long carbon stays, of the seven layers and the profile, (n, 8).

    Layers are log-normal. A profile's age and transit time are means over its carbon, and over what enters it, in the
    middle of the layers' stocks, I_bulk times transit time; its spread follows from those of the layers, which err
    together as held-out profiles do, and it is taken for log-normal as well.

    Parameters
    ----------
    models : mapping of str to FluxModel
        Forests by quantity.
    ibulk : ndarray
        Mean of log I_bulk of the seven layers, Mg C ha⁻¹ yr⁻¹, (n, 7).
    X : ndarray
        Predictors, (n, features).
    """
    if not models:
        return {}
    forest = _together(models)
    rows = [slice(start, start + ROWS_AT_ONCE) for start in range(0, max(len(X), 1), ROWS_AT_ONCE)]
    parts = [_of_rows(models, forest, ibulk[some], X[some]) for some in rows]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _of_rows(
    models: Mapping[str, FluxModel], forest: CompiledForest, ibulk: NDArray[np.float64], X: NDArray[np.float32]
) -> Statistics:
    """`persistence_statistics` of some cells, from the forest of all quantities."""
    thickness = np.log([bottom - top for top, bottom in LAYERS])
    logs, out = dict[str, tuple[NDArray, NDArray]](), dict[str, NDArray[np.float32]]()
    means, sds = (a.reshape(len(X), len(LAYERS), -1) for a in forest.mean_and_std(X, threads=1))
    for i, (name, model) in enumerate(models.items()):
        shift = thickness if name.startswith("ibulk") else 0.0
        logs[name] = means[..., i] + model.log_factor(X, LAYERS) + shift, model.calibration.stretch * sds[..., i]
    for name, (mean, sd) in logs.items():
        correlation = models[name].calibration.profile_correlation
        if name == "transit_time":
            profile = _of_mean(-mean, sd, _shares(ibulk + mean), correlation)
            profile = -profile[0], profile[1]
        elif name == "age":
            stock = ibulk + logs["transit_time"][0] if "transit_time" in logs else ibulk + mean
            profile = _of_mean(mean, sd, _shares(stock), correlation)
        else:
            profile = _of_mean(mean, sd, np.ones_like(mean), correlation)
        out |= _log_normal(name, np.concatenate([mean, profile[0]], axis=1), np.concatenate([sd, profile[1]], axis=1))
    return out


def _together(models: Mapping[str, FluxModel]) -> CompiledForest:
    """Forests with the same trees as one of several outputs: their trees are gone down once for all of them."""
    forests = [model.forest for model in models.values()]
    nodes = replace(forests[0].trees_, number=np.stack([forest.trees_.number for forest in forests]))
    features = forests[0].n_features_in_
    return CompiledForest(nodes, layer_columns=(features - 2, features - 1), layers=LAYERS)


def _shares(log: NDArray) -> NDArray[np.float64]:
    """Shares of layers, from logarithms of their amounts, (n, 7)."""
    amount = np.exp(log - log.max(axis=1, keepdims=True))
    return amount / amount.sum(axis=1, keepdims=True)


def _of_mean(mean: NDArray, sd: NDArray, weight: NDArray, correlation: float) -> tuple[NDArray, NDArray]:
    """Mean and standard deviation of the logarithm of a weighted sum of correlated log-normals, by its moments, each
    (n, 1).
    """
    part = weight * np.exp(mean + sd**2 / 2)
    alike = correlation + (1 - correlation) * np.eye(mean.shape[1])
    total = part.sum(axis=1, keepdims=True)
    covariance = part[:, :, None] * part[:, None] * np.expm1(alike * sd[:, :, None] * sd[:, None])
    relative = covariance.sum(axis=(1, 2))[:, None] / np.maximum(total, ROUNDING) ** 2
    variance = np.log1p(relative)
    return np.log(np.maximum(total, ROUNDING)) - variance / 2, np.sqrt(variance)


def _log_normal(name: str, mean: NDArray, sd: NDArray) -> Statistics:
    out = {f"{name}_mean": np.exp(mean + sd**2 / 2)}
    for level, z in zip(LEVELS, (-1.959964, 0.0, 1.959964), strict=True):
        out[f"{name}_{level}"] = np.exp(mean + z * sd)
    wanted = {f"{name}_{s}" for s in PERSISTENCE[name].statistics}
    return {key: values.astype(np.float32) for key, values in out.items() if key in wanted}
