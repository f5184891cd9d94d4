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
from .natural_scale import read_scales

VERSION = 4
TARGETS = ("iroot", "ibulk", "f_bnpp")
AREA = ("mean", "sd", "weight", "trained", "mean_distance", "threshold")
"""Arrays and numbers of an area of applicability."""


def save_learners(path: Path, learners: Learners) -> None:
    """Writes the forests, their calibration and areas of applicability, `models/learners.npz`."""
    models = {target: getattr(learners, target) for target in TARGETS}
    _write(path, models, {"features": learners.features})


def read_learners(path: Path) -> Learners:
    """Reads what `save_learners` wrote; the forests predict the same.

    Raises
    ------
    InputError
        The file does not exist, or was not written by this package.
    """
    if not path.is_file():
        raise InputError("not found; run `bayes-rootc run` or `bayes-rootc train` first", file=path)
    models, about = _read(path, TARGETS)
    return Learners(list(about["features"]), **models)


def save_model(path: Path, model: FluxModel, about: dict[str, Any]) -> None:
    """Writes one forest with its calibration and area of applicability, and what else is to be known of it (JSON)."""
    _write(path, {"flux": model}, about)


def read_model(path: Path) -> tuple[FluxModel, dict[str, Any]]:
    """Reads what `save_model` wrote; the forest predicts the same.

    Raises
    ------
    InputError
        The file does not exist, or was not written by this package.
    """
    if not path.is_file():
        raise InputError("not found", file=path)
    models, about = _read(path, ("flux",))
    return models["flux"], about


def _write(path: Path, models: dict[str, FluxModel], about: dict[str, Any]) -> None:
    calibration = {name: asdict(model.calibration) for name, model in models.items()}
    factors = {name: asdict(model.scale) if model.scale else None for name, model in models.items()}
    arrays: dict[str, Any] = {}
    for name, model in models.items():
        arrays |= {f"{name}_{part}": getattr(model.forest.trees_, part) for part in TYPES}
        arrays |= {f"{name}_area_{part}": getattr(model.applicability, part) for part in AREA}
    text = json.dumps({"version": VERSION} | about | {"calibration": calibration, "factors": factors})
    with atomic_path(path) as temporary, open(temporary, "wb") as file:  # given a name, NumPy would add an ending
        np.savez_compressed(file, about=np.array(text), **arrays)


def _read(path: Path, names: tuple[str, ...]) -> tuple[dict[str, FluxModel], dict[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            if about["version"] != VERSION:
                raise InputError(f"made by another version (its form is {about['version']}, not {VERSION})", file=path)
            models, scales = {}, read_scales(about["factors"], names)
            for name in names:
                trees = Nodes(**{part: arrays[f"{name}_{part}"] for part in TYPES})
                area = {part: arrays[f"{name}_area_{part}"] for part in AREA}
                forest = PosteriorForest(trees.trees)
                forest.trees_, forest.n_features_in_ = trees, len(area["mean"])
                numbers = {part: float(value) for part, value in area.items() if value.ndim == 0}
                calibration = Calibration(**about["calibration"][name])
                models[name] = FluxModel(forest, calibration, Applicability(**(area | numbers)), scales.get(name))
            return models, about
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"not a readable file of learners ({reason_of(error)})", file=path) from None
