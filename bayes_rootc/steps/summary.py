"""Summary tables of a run, and the comparison with the paper."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from ..data.folder import Inputs
from ..files import write_csv
from ..progress import Progress
from ..report.regression_tables import explained_comparison
from ..report.tables import Mapped, paper_comparison, summary_by_biome, summary_by_depth, summary_global
from ..report.turnover_tables import harmonisation_score
from ..settings import RunSettings
from .engine import Step
from .turnover import LayerTurnover


def summarise_run(
    inputs: Inputs,
    turnover: LayerTurnover,
    root_depth: xr.Dataset,
    estimates: list[xr.Dataset],
    maps: pd.DataFrame,
    settings: RunSettings,
    progress: Progress | None = None,
) -> None:
    """Summary tables and the comparison with the paper."""
    tables, age = settings.out / "tables", turnover.age(inputs.layers)
    mapped = Mapped(maps, pd.read_csv(tables / "map_ranges.csv") if settings.tau_bootstraps else None)
    write_csv(tables / "summary_global.csv", summary_global(inputs, age, estimates, mapped))
    write_csv(tables / "summary_biome.csv", summary_by_biome(inputs, estimates, mapped))
    write_csv(tables / "summary_depth.csv", summary_by_depth(estimates, mapped))
    learners, profiles = (pd.read_csv(tables / f"{name}.csv") for name in ("learners", "ibulk_profiles"))
    beside = paper_comparison(inputs, age, estimates, learners, root_depth)
    write_csv(
        tables / "paper_comparison.csv",
        pd.concat(
            [beside, pd.DataFrame([harmonisation_score(profiles)]), explained_comparison(tables)], ignore_index=True
        ),
    )


SUMMARY = Step("summary", summarise_run, ("inputs", "turnover", "root_depth", "estimates", "maps"))
