"""Fitted learners as a file of plain arrays: nothing in it is run when it is read."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..data.tables import reason_of
from ..errors import InputError
from ..files import atomic_path
from .applicability import Applicability
from .forest import TYPES, Nodes
from .learners import Calibration, FluxModel, Learners, PosteriorForest

VERSION = 3
TARGETS = ("iroot", "ibulk", "f_bnpp")
AREA = ("mean", "sd", "weight", "trained", "mean_distance", "threshold")
"""Arrays and numbers of an area of applicability."""


def save_learners(path: Path, learners: Learners) -> None:
    """Writes the forests, their calibration and areas of applicability, `models/learners.npz`."""
    about: dict[str, Any] = {"version": VERSION, "features": learners.features, "calibration": {}}
    arrays: dict[str, Any] = {}
    for target in TARGETS:
        model: FluxModel = getattr(learners, target)
        about["calibration"][target] = asdict(model.calibration)
        arrays |= {f"{target}_{name}": getattr(model.forest.trees_, name) for name in TYPES}
        arrays |= {f"{target}_area_{name}": getattr(model.applicability, name) for name in AREA}
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
                trees = Nodes(**{name: arrays[f"{target}_{name}"] for name in TYPES})
                area = {name: arrays[f"{target}_area_{name}"] for name in AREA}
                forest = PosteriorForest(trees.trees)
                forest.trees_, forest.n_features_in_ = trees, len(area["mean"])
                numbers = {name: float(value) for name, value in area.items() if value.ndim == 0}
                calibration = Calibration(**about["calibration"][target])
                models[target] = FluxModel(forest, calibration, Applicability(**(area | numbers)))
        return Learners(list(about["features"]), **models)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"not a readable file of learners ({reason_of(error)})", file=path) from None
