"""New places: their biome is that of the rasters, unless the table has one."""

from __future__ import annotations

import pandas as pd

from bayes_rootc.data.covariates import CovariateStack
from bayes_rootc.inference.predict import NewPlaces, reasons


def test_a_biome_of_the_table_stands_for_that_of_the_rasters(demo_world):
    stack = CovariateStack(demo_world.folder / "covariates")
    places = pd.read_csv(next(demo_world.folder.glob("roots/*.csv")))[["latitude", "longitude"]].dropna().head(4)
    sites = pd.DataFrame({"lat": places["latitude"].to_numpy(), "lon": places["longitude"].to_numpy()})

    def biomes(table: pd.DataFrame) -> tuple[list[int], list[str]]:
        reason = reasons(table, layers=False)
        return NewPlaces(table, stack, 100.0).rows(reason, ())["biome"].tolist(), reason.tolist()

    mapped, _ = biomes(sites)
    said, reason = biomes(sites.assign(biome=["croplands", "7", None, "jungle"]))
    assert said == [9, 7, mapped[2]]
    assert reason[:3] == [""] * 3 and reason[3].startswith("biome: expected a number or name of: 1 tropical")
