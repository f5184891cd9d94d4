"""Fitted learners as a file of plain arrays: nothing in it is run when it is read."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor

from ..errors import InputError
from ..files import atomic_path
from .learners import Calibration, FluxModel, Learners, PosteriorForest

VERSION = 1
TARGETS = ("iroot", "ibulk", "f_bnpp")
NODES = ("feature", "number", "right")


@dataclass(frozen=True)
class StoredTree:
    """A regression tree as arrays of its nodes, in scikit-learn's order: a node's left child follows it.

    feature : that a node tests, -1 for a leaf. number : threshold of the test (left where not above), or prediction of
    the leaf. right : the right child. All (node,).
    """

    feature: NDArray[np.int16]
    number: NDArray[np.float64]
    right: NDArray[np.int32]

    @classmethod
    def of(cls, tree: DecisionTreeRegressor) -> StoredTree:
        """The same tree as scikit-learn's."""
        t = tree.tree_
        leaf = t.children_left < 0
        number = np.where(leaf, t.value[:, 0, 0], t.threshold)
        return cls(np.where(leaf, -1, t.feature).astype(np.int16), number, t.children_right.astype(np.int32))

    def predict(self, X: NDArray[np.float32], check_input: bool = False) -> NDArray[np.float64]:
        """(n,); X (n, features) in single precision, as scikit-learn compares."""
        rows, node = np.arange(len(X)), np.zeros(len(X), int)
        while (inner := self.feature[node] >= 0).any():
            left = X[rows, self.feature[node]] <= self.number[node]
            node = np.where(inner, np.where(left, node + 1, self.right[node]), node)
        return self.number[node]


def save_learners(path: Path, learners: Learners) -> None:
    """Writes the forests and their calibration, `models/learners.npz`."""
    about: dict[str, Any] = {"version": VERSION, "features": learners.features, "calibration": {}}
    arrays: dict[str, Any] = {}
    for target in TARGETS:
        model: FluxModel = getattr(learners, target)
        about["calibration"][target] = asdict(model.calibration)
        trees = [StoredTree.of(tree) for tree in model.forest.estimators_]
        arrays |= {f"{target}_{n}": np.concatenate([getattr(t, n) for t in trees]) for n in NODES}
        arrays[f"{target}_nodes"] = np.array([len(t.feature) for t in trees])
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, about=np.array(json.dumps(about)), **arrays)


def read_learners(path: Path) -> Learners:
    """Reads what `save_learners` wrote; the forests predict the same.

    Raises
    ------
    InputError : no such file, or not one of ours.
    """
    if not path.is_file():
        raise InputError("not found; run `bayes-rootc run` or `bayes-rootc train` first", file=path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            if about["version"] != VERSION:
                raise InputError(f"made by another version (its form is {about['version']}, not {VERSION})", file=path)
            models = {}
            for target in TARGETS:
                ends = np.cumsum(arrays[f"{target}_nodes"])[:-1]
                parts = [np.split(arrays[f"{target}_{name}"], ends) for name in NODES]
                forest = PosteriorForest(len(ends) + 1)
                forest.estimators_ = [StoredTree(*nodes) for nodes in zip(*parts, strict=True)]
                models[target] = FluxModel(forest, Calibration(**about["calibration"][target]))
        return Learners(list(about["features"]), **models)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"not a readable file of learners ({error})", file=path) from None
