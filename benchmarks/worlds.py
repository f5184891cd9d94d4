"""`python -m benchmarks.worlds`: what each model of turnover says of worlds that another one made.

Each world has the places, depths, years and errors of some real studies, and is made by one model with hyperparameters
that its own fit to the real data found likely. Every model is fitted to it. What is compared is what the report says:
mean age, and input that stays for some years, of the mean layer.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console

from bayes_rootc.data.atmosphere import Atmosphere
from bayes_rootc.data.folder import read_inputs, with_parts
from bayes_rootc.files import write_csv
from bayes_rootc.inference.turnover import Turnover
from bayes_rootc.inference.turnover_checks import simulate
from bayes_rootc.inference.turnover_fit import TurnoverFit, draw_layers, fit_turnover
from bayes_rootc.models.rates import mean_age, persisting_rate
from bayes_rootc.seeds import child_seed

FITS = {"one pool": ".", "log-normal rates": "rates/log-normal", "two pools": "rates/two-pools"}
"""Models, and where their fits lie in a run's folder."""

STUDIES, LAYERS_OF_PROFILE, LAYERS_OF_STUDY = 25, 4, 30
YEARS = (0, 1, 10, 30, 100, 300)
TOPSOIL_CM = 30
SEED = 1


def design(layers: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Some layers of some studies."""
    few = layers[layers.groupby("profile_index").cumcount() < LAYERS_OF_PROFILE]
    few = few[few.groupby("study").cumcount() < LAYERS_OF_STUDY]
    studies = rng.choice(few["study"].unique(), min(STUDIES, few["study"].nunique()), replace=False)
    few = few[few["study"].isin(studies)].reset_index(drop=True)
    return few.assign(profile_index=pd.factorize(few["profile_index"])[0])


def reported(layers: pd.DataFrame, fit: TurnoverFit, log_k: NDArray) -> dict[str, NDArray[np.float64]]:
    """What a report says, (draw,), from log k of the layers, (draw, layer)."""
    spread, fast, _ = fit.shape(layers, len(log_k))
    top = ((layers["top"] + layers["bottom"]) / 2 < TOPSOIL_CM).to_numpy()
    of_top = (log_k[:, top], spread[:, top], None if fast is None else fast[:, top])
    found = {f"mean age, 0-{TOPSOIL_CM} cm": mean_age(*of_top).mean(axis=1)}
    return found | {f"stays {t} yr": persisting_rate(log_k, spread, t, fast).mean(axis=1) for t in YEARS}


def world(layers: pd.DataFrame, maker: TurnoverFit, seed: int) -> tuple[pd.DataFrame, dict[str, float]]:
    """Layers as a model would have them, and what is true of them."""
    hidden = {name: value for name, value in maker.draws().items() if name != "coefficient"}
    hidden["coefficient"] = np.zeros((len(hidden["tau_layer"]), 0))
    atmosphere, model = Atmosphere.packaged(), maker.model.with_levels(layers)
    truth, log_k, made = simulate(layers, atmosphere, model, seed=seed, truths=hidden)
    as_fit = replace(maker, model=model, samples=truth)
    return made, {name: float(v[0]) for name, v in reported(layers, as_fit, log_k[None]).items()}


def compare(layers: pd.DataFrame, fits: dict[str, TurnoverFit], number: int) -> list[dict[str, object]]:
    """Rows of one world by each maker, one for each model that is fitted and each quantity."""
    rng = np.random.default_rng(child_seed(SEED, "design", number))
    few, rows = design(layers, rng), []
    for maker, by in fits.items():
        made, truth = world(few, by, child_seed(SEED, maker, number))
        for name, fit in fits.items():
            for levels in {fit.model.levels, ()} if name == maker else {fit.model.levels}:
                model = replace(fit.model, levels=levels, grid=None, refine=None)
                seed, how = child_seed(SEED, name, number), {"chains": 2, "draws": 250, "until_good": False}
                found = fit_turnover(made, {}, Atmosphere.packaged(), model, seed=seed, **how)  # type: ignore[arg-type]
                drawn = draw_layers(found, made, Atmosphere.packaged(), seed=seed, count=250)
                said = reported(made, found, drawn["log_k"].values.astype(float))
                for quantity, values in said.items():
                    low, middle, high = np.quantile(values, (0.025, 0.5, 0.975))
                    row = {"world": number, "made_by": maker, "fitted": name, "levels": "+".join(levels) or "none"}
                    inside = bool(low <= truth[quantity] <= high)
                    log_ratio = float(np.log(middle / truth[quantity]))
                    more = {"quantity": quantity, "log_ratio": log_ratio, "inside": inside}
                    rows.append(row | more | {"sd": float(np.log(values).std())})
    return rows


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Median ratio of what was said to what is true, how far ratios scatter beside what was claimed, and coverage."""
    by = rows.groupby(["made_by", "fitted", "levels", "quantity"], sort=False)
    return pd.DataFrame(
        {
            "worlds": by.size(),
            "ratio": np.exp(by["log_ratio"].median()),
            "claimed_over_actual_sd": by["sd"].mean() / by["log_ratio"].std(),
            "coverage95": by["inside"].mean(),
        }
    ).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worlds", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--out", type=Path, required=True, help='folder of a run with rates = ["log-normal", "two pools"]'
    )
    parser.add_argument("--to", type=Path, default=Path("build/worlds"), help="folder of the tables")
    parser.add_argument("--worlds", type=int, default=10)
    arguments = parser.parse_args()
    inputs, report = read_inputs(arguments.data), Console()
    with_parts(inputs)
    fits = {
        n: Turnover.load(arguments.out / at / "posterior" / "turnover.nc").hyperparameters for n, at in FITS.items()
    }
    rows: list[dict[str, object]] = []
    for number in range(arguments.worlds):
        rows += compare(inputs.turnover_layers, fits, number)
        table = pd.DataFrame(rows)
        write_csv(arguments.to / "worlds.csv", table)
        write_csv(arguments.to / "summary.csv", summary(table))
        report.print(f"{number + 1} of {arguments.worlds}")
    report.print(summary(table).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
