"""`python -m benchmarks.resampled`: places where soil was sampled again, years later. From the first samples alone, how
much does each model of turnover say that Δ14C changed, and how much did it?

The rates of a layer are drawn given its first sample; a later one of the same depth is the same layer in another year.
Hyperparameters are those of a run, which knew all samples, of some thousand.
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
from bayes_rootc.data.folder import read_inputs
from bayes_rootc.files import write_csv
from bayes_rootc.inference.turnover import Turnover
from bayes_rootc.inference.turnover_fit import LAYER_GRID, TurnoverFit, draw_errors, draw_layers
from bayes_rootc.models.rates import Shape, fitted_at

from .worlds import FITS

PLACES = {
    "Waite, Australia (Sanderman et al. 2017)": (-34.96, 138.63),
    "Calhoun, USA (Richter et al. 1999)": (34.50, -82.00),
    "Judgeford, New Zealand (Goh et al. 1977; Baisden et al. 2013)": (-41.11, 174.95),
    "Te Kowhai, New Zealand (Baisden et al. 2013)": (-37.80, 175.40),
    "Harvard Forest, USA (Gaudinski et al. 2000; Beem-Miller et al. 2022)": (42.54, -72.18),
    "Howland, USA (Fernandez et al. 1993; Gaudinski et al. 2001)": (45.17, -68.67),
    "Kamennaya Steppe, Russia (Torn et al. 2002)": (51.01, 40.43),
}
NEAR, APART, DEPTH_CM, DRAWS, SEED = 0.01, 5.0, 3.0, 400, 1


def delta14c(
    fit: TurnoverFit, layers: pd.DataFrame, log_k: NDArray[np.float64], atmosphere: Atmosphere
) -> NDArray[np.float64]:
    """Δ14C (‰) of layers in their years, without error, (draw, layer), from log k, (draw, layer)."""
    fine = replace(fit.model, grid=LAYER_GRID)
    place = (log_k - fine.log_k[0]) / (fine.log_k[1] - fine.log_k[0])
    if not fit.model.inferred:
        rows = fine.predicted(layers, atmosphere)
        return np.stack(
            [np.interp(p, np.arange(LAYER_GRID), row) for p, row in zip(place.T, rows, strict=True)], axis=1
        )
    data, (spread, fast, _) = fine.many_rates(layers, atmosphere), fit.shape(layers, len(log_k))
    of_draw = [Shape(spread[m], None if fast is None else fast[m]) for m in range(len(log_k))]
    return np.stack([fitted_at(data.rates, "bulk", data.bulk.row, s, p) for s, p in zip(of_draw, place, strict=True)])


def errors(fit: TurnoverFit, layers: pd.DataFrame, count: int, seed: int) -> NDArray[np.float64]:
    """How far measurements are from the model's values, ‰, (count, layer)."""
    rng, sd = np.random.default_rng(seed), np.hypot(layers["sigma"].to_numpy(float), fit.misfit(layers))
    return np.stack([sd * draw_errors(rng, float(nu), len(layers)) for nu in fit.draws(count)["nu"]])


def pairs(layers: pd.DataFrame, year: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Layers of the first year and of a later one that have the same depths."""
    years = layers["year"].round()
    first, later = np.flatnonzero(years == years.min()), np.flatnonzero(years == year)
    ends = layers[["top", "bottom"]].to_numpy()
    alike = np.abs(ends[first][:, None] - ends[later][None]).max(axis=2) <= DEPTH_CM
    at, to = np.nonzero(alike)
    return first[at], later[to]


def changes(layers: pd.DataFrame, fit: TurnoverFit, atmosphere: Atmosphere) -> list[dict[str, object]]:
    """A row for each later year of a place: how much Δ14C changed in the mean layer, and was said to."""
    rows = []
    years = layers["year"].round()
    first = np.flatnonzero(years == years.min())
    start = layers.iloc[first].reset_index(drop=True)
    start = start.assign(profile_index=pd.factorize(start["profile_index"])[0])
    log_k = draw_layers(fit, start, atmosphere, seed=SEED, count=DRAWS)["log_k"].values.astype(float)
    before = delta14c(fit, start, log_k, atmosphere)
    for year in sorted(set(years[years >= years.min() + APART].astype(int))):
        old, new = pairs(layers, year)
        if not len(old):
            continue
        of = np.searchsorted(first, old)
        then = start.iloc[of].assign(year=layers["year"].to_numpy()[new]).reset_index(drop=True)
        change = delta14c(fit, then, log_k[:, of], atmosphere) - before[:, of]
        said = (change + errors(fit, then, DRAWS, year) - errors(fit, start.iloc[of], DRAWS, SEED)).mean(axis=1)
        observed = layers["delta14c"].to_numpy()[new] - layers["delta14c"].to_numpy()[old]
        low, middle, high = np.quantile(said, (0.025, 0.5, 0.975))
        row = {"first": int(years.min()), "later": year, "layers": len(np.unique(new)), "observed": observed.mean()}
        rows.append(row | {"predicted": middle, "p025": low, "p975": high})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resampled", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of a run")
    parser.add_argument("--to", type=Path, default=Path("build/resampled.csv"))
    arguments = parser.parse_args()
    layers, rows = read_inputs(arguments.data).layers, []
    for model, at in FITS.items():
        path = arguments.out / at / "posterior" / "turnover.nc"
        if not path.exists():
            continue
        fit = Turnover.load(path).hyperparameters
        for name, (lat, lon) in PLACES.items():
            here = layers[((layers["lat"] - lat).abs() < NEAR) & ((layers["lon"] - lon).abs() < NEAR)]
            found = changes(here.reset_index(drop=True), fit, Atmosphere.packaged())
            rows += [{"place": name, "model": model} | row for row in found]
    table = pd.DataFrame(rows)
    write_csv(arguments.to, table)
    Console(width=160).print(table.round(0).to_string(index=False))


if __name__ == "__main__":
    main()
