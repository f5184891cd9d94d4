"""`python -m benchmarks.production`: does the model of production find the truth in worlds that it made itself?

Simulation-based calibration on a small design: sites in a few regions, whose records have both parts, one of them, or
the whole, by two methods, and cells of a satellite elsewhere. In each world the parameters are drawn from their priors,
the data follow from them, and the model is fitted to these. The rank of each truth among the draws is then uniform.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from bayes_rootc.files import write_csv
from bayes_rootc.inference.checks import Ranks, calibration_table
from bayes_rootc.inference.production import Production

REGIONS, SITES, RECORDS, CELLS = 5, 5, 3, 30
"""Regions, sites in each, records at each site, and cells of the satellite."""

REGION_DEGREES = 5.0
SEED = 1


def design() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records and cells; of their values only which are missing matters."""
    rng = np.random.default_rng(SEED)
    middle = np.column_stack([rng.uniform(-40, 60, REGIONS), rng.uniform(-120, 150, REGIONS)])
    where = np.repeat(middle, SITES, axis=0) + rng.uniform(-REGION_DEGREES, REGION_DEGREES, (REGIONS * SITES, 2))
    sites = pd.DataFrame(where.round(2), columns=["lat", "lon"]).assign(biome=rng.choice([1, 3, 8], len(where)))
    cells = pd.DataFrame({"lat": rng.uniform(-50, 70, CELLS), "lon": rng.uniform(-180, 180, CELLS)})
    cells = cells.assign(biome=rng.choice([1, 3, 8], CELLS), npp=400.0)
    for table in (sites, cells):
        table["warm"] = 1 - np.abs(table["lat"]) / 30 + 0.3 * rng.standard_normal(len(table))
    records = sites.loc[np.repeat(sites.index, RECORDS)].reset_index(drop=True)
    kind = records.index % 4  # both parts, either one, or the whole
    records["anpp"] = np.where(np.isin(kind, (0, 1)), 300.0, np.nan)
    records["bnpp"] = np.where(np.isin(kind, (0, 2)), 200.0, np.nan)
    records["npp"] = np.where(kind == 3, 500.0, np.nan)
    return records.assign(method=np.where(records.index % 2, "cores", "ingrowth")), cells


def write(folder: Path, found: Ranks) -> None:
    """Saves the ranks, and what they say, after each world."""
    ranks, fits = found
    for name, table in {"ranks": ranks, "fits": fits, "calibration": calibration_table(ranks)}.items():
        write_csv(folder / f"{name}.csv", table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.production", description=__doc__)
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--to", type=Path, default=Path("build/production"), help="folder of the tables")
    arguments = parser.parse_args()
    records, cells = design()
    model = Production(["warm"], chains=2, seed=SEED).fit(records, cells, until_good=False)
    found = model.calibrate(arguments.worlds, keep=partial(write, arguments.to))
    Console().print(calibration_table(found[0]).to_string(index=False, float_format="%.3f"))


if __name__ == "__main__":
    main()
