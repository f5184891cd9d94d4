"""Forests of how long carbon stays, for the maps."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.folder import Inputs
from ..files import write_csv
from ..mapping.blocks import DEFAULT_BLOCK_KM, spatial_blocks
from ..mapping.learners import Learners, TrainingData, design_matrix
from ..mapping.persistence_forests import LEAST_SHARE, YEARS, fit_persistence
from ..models.rates import input_rate, mean_age, persisting_rate
from ..progress import Progress
from ..settings import RunSettings, step_seed
from .bulk_input import BulkInput
from .engine import Step
from .turnover import LayerTurnover

MODEL, TABLE = "models/persistence.npz", "tables/persistence_learners.csv"

SPLITS = 5
"""Most times that a fifth of the blocks is held out: fits that only calibrate."""


def train_persistence(
    inputs: Inputs,
    turnover: LayerTurnover,
    rates: dict[str, LayerTurnover],
    bulk_input: BulkInput,
    learners: Learners,
    settings: RunSettings,
    progress: Progress | None = None,
) -> None:
    """Puts age, transit time and the input that stays into the trees of I_bulk, as far as the settings want them."""
    if not settings.map_quantities:
        for name in (MODEL, TABLE):
            (settings.out / name).unlink(missing_ok=True)
        return
    stocked = (bulk_input.stocks["stock"].notna() & inputs.layers["has_covariates"]).to_numpy()
    layers = inputs.layers[stocked]
    X, _ = design_matrix(layers, inputs.features, layers[["top", "bottom"]].to_numpy())
    density = bulk_input.density[stocked]
    variograms = pd.read_csv(settings.out / "tables" / "variograms.csv")
    found = variograms.loc[variograms["target"] == "ibulk", "block_km"]  # few places have no pairs, and no variogram
    block_km = float(found.iloc[0]) if len(found) else settings.block_km or DEFAULT_BLOCK_KM
    block = spatial_blocks(layers["lat"], layers["lon"], block_km)
    data = TrainingData(X, np.log(density), layers["profile"].to_numpy(str), block)
    # a forest that was read from its file has forgotten the seed of its resampling
    learners.ibulk.forest.set_params(random_state=step_seed(settings, "forest ibulk"))
    spread, fast, _ = turnover.shape(inputs.layers).of(stocked)
    stock = density / input_rate(turnover.log_k[stocked].astype(float), spread, fast)
    every = responses_of(next(iter(rates.values()), turnover), layers, stocked, stock)
    forests, scores = fit_persistence(
        learners.ibulk,
        data,
        {name: every[name] for name in settings.map_quantities},
        splits=min(SPLITS, settings.validation_splits),
        seed=step_seed(settings, "validation persistence"),
        layers=layers if settings.correct_means else None,
        progress=progress,
    )
    forests.save(settings.out / MODEL)
    write_csv(settings.out / TABLE, scores)


def responses_of(
    turnover: LayerTurnover, layers: pd.DataFrame, some: NDArray[np.bool_], stock: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Logarithms of draws of layers, (layer, draw): `age` and `transit_time` (yr), and `ibulk_t100`, input that stays
    longer than 100 years (Mg C ha⁻¹ yr⁻¹ per cm).

    Parameters
    ----------
    layers : DataFrame
        Those of the layers for which `some` is true.
    stock : ndarray
        Their carbon per cm, Mg C ha⁻¹, (layer, draw).
    """
    log_k, (spread, fast, _) = turnover.log_k[some].astype(float), turnover.shape(layers)
    rate = input_rate(log_k, spread, fast)
    staying = np.maximum(persisting_rate(log_k, spread, YEARS, fast), LEAST_SHARE * rate)
    age = mean_age(log_k, spread, fast)
    return {"age": np.log(age), "transit_time": -np.log(rate), "ibulk_t100": np.log(stock * staying)}


PERSISTENCE_FORESTS = Step(
    "persistence_forests",
    train_persistence,
    ("inputs", "turnover", "rates", "bulk_input", "learners"),
    ("map_quantities", "validation_splits", "correct_means"),
    (MODEL, TABLE),
    wanted=lambda settings: bool(settings.map_quantities),
)
