"""`python -m benchmarks.studies`: Δ14C of studies that a fit has not seen, predicted by each model of turnover, and by
what one would use without a model: other layers of the biome and depth, and the nearest profile of another study.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console

from bayes_rootc.constants import BIOMES, DEPTH_CLASSES
from bayes_rootc.data.folder import Inputs, read_inputs, with_parts
from bayes_rootc.files import write_csv
from bayes_rootc.inference.checks import predictive_scores
from bayes_rootc.inference.turnover_checks import cross_validate, score_table
from bayes_rootc.models.production import on_sphere
from bayes_rootc.models.turnover import TurnoverModel

FOLDS, SEED, LEAST = 5, 1, 30
MANY = TurnoverModel(pool_spread="inferred", levels=("site", "study"))
MODELS = {
    "one pool": replace(MANY, pool_spread=0.0),
    "log-normal rates": MANY,
    "two pools": replace(MANY, family="two pools"),
}
COLUMNS = ["model", "group", "class", "layers", "coverage95", "coverage95_se", "pit_mean", "crps", "log_score", "bias"]


def of_model(inputs: Inputs, model: TurnoverModel, report: Console) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of each measurement, and the layers."""
    layers = inputs.turnover_layers if model.inferred else inputs.layers
    scores, _ = cross_validate(
        layers,
        inputs.groups,
        inputs.atmosphere,
        model,
        seed=SEED,
        folds=FOLDS,
        by="study",
        progress=lambda done, of: report.print(f"{done} of {of}", end="\r"),
    )
    return scores, layers


def of_class(layers: pd.DataFrame, known: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Δ14C of known layers of the same biome and depth class, for each other layer."""
    depth = np.digitize((layers["top"] + layers["bottom"]) / 2, [low for low, _ in DEPTH_CLASSES])
    value, biome = layers["delta14c"].to_numpy(float), layers["biome"].to_numpy(int)
    found = []
    for row in np.flatnonzero(~known):
        alike = known & (depth == depth[row])
        here = alike & (biome == biome[row])
        found.append(value[here if here.sum() >= LEAST else alike])
    return found


def of_neighbour(layers: pd.DataFrame, known: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Δ14C of the layer nearest in depth of the nearest known profile of another study, with the errors that such a
    prediction has among known layers.
    """
    at, middle = on_sphere(layers["lat"], layers["lon"]), ((layers["top"] + layers["bottom"]) / 2).to_numpy()
    value, study = layers["delta14c"].to_numpy(float), pd.factorize(layers["study"])[0]
    rows = np.flatnonzero(known)

    def nearest(row: np.intp) -> float:
        others = rows[study[rows] != study[row]]
        away = ((at[others] - at[row]) ** 2).sum(axis=1)
        close = others[away <= away.min() + 1.0]  # a profile: within a kilometre
        return float(value[close[np.abs(middle[close] - middle[row]).argmin()]])

    errors = np.array([value[row] - nearest(row) for row in rows])
    return [nearest(row) + errors for row in np.flatnonzero(~known)]


def without_model(layers: pd.DataFrame, folds: pd.Series) -> dict[str, pd.DataFrame]:
    """Scores of bulk Δ14C in the same folds; `folds` is of each layer."""
    found: dict[str, list[pd.DataFrame]] = {"biome and depth": [], "nearest profile": []}
    rng = np.random.default_rng(SEED)
    for number in sorted(folds.unique()):
        held = (folds == number).to_numpy()
        for name, ways in zip(found, (of_class, of_neighbour), strict=True):
            draws = np.stack([rng.choice(values, 500) for values in ways(layers, ~held)], axis=1)
            scores = predictive_scores(layers["delta14c"].to_numpy(float)[held], draws, draws.mean(axis=0))
            found[name].append(scores.assign(row=np.flatnonzero(held), measured="bulk", fold=number))
    return {name: pd.concat(parts) for name, parts in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--to", type=Path, default=Path("build/studies"), help="folder of the tables")
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    arguments = parser.parse_args()
    inputs, report = read_inputs(arguments.data), Console()
    with_parts(inputs)
    tables = []
    for name in arguments.models:
        report.print(name)
        scores, layers = of_model(inputs, MODELS[name], report)
        write_csv(arguments.to / f"{name.replace(' ', '-')}-measurements.csv", scores)
        tables.append(score_table(scores, layers).assign(model=name))
    bulk = scores[scores["measured"] == "bulk"].set_index("row")["fold"]
    for name, scores in without_model(layers, bulk.reindex(range(len(layers)))).items():
        tables.append(score_table(scores, layers).assign(model=name))
    table = pd.concat(tables)[COLUMNS]
    write_csv(arguments.to / "scores.csv", table)
    report.print(table[table["class"].isin(["all", *BIOMES.values()])].round(3).to_string(index=False))


if __name__ == "__main__":
    main()
