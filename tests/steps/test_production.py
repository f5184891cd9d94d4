"""What a run gives the model of production: the satellite's production of ground with plants."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from bayes_rootc.data.grid import MapGrid
from bayes_rootc.models.production import on_sphere
from bayes_rootc.steps.production import APART_KM, LEAST_GREEN, seen_cells

NPP = 300.0


def covariates(bare: np.ndarray | None) -> SimpleNamespace:
    """A world of land whose plants grow alike; the satellite sees the mean of each cell."""

    def on_grid(grid: MapGrid, names: list[str], *, nearest_km: float) -> xr.Dataset:
        seen = NPP * (1 - (np.zeros(grid.shape) if bare is None else bare))
        values = {"warm": np.ones(grid.shape), "seen": seen, "biome": np.full(grid.shape, 8)}
        return xr.Dataset({name: (("lat", "lon"), values[name]) for name in [*names, "biome"]})

    raster = SimpleNamespace(unit="g C m-2 yr-1")
    return SimpleNamespace(
        features=["warm"],
        role=lambda role: ["seen"],
        rasters={"seen": raster},
        on_grid=on_grid,
        bare_share=lambda grid: bare,
    )


def test_what_the_satellite_sees_is_of_the_ground_with_plants():
    """Fields say what plants grow where there are plants: a desert half bare is no desert that grows half as much."""
    shape = MapGrid(2.5).shape
    bare = np.random.default_rng(1).choice([0.0, 0.25, 0.45, 0.8, 1.0], shape)
    found = seen_cells(covariates(bare), 100.0)
    np.testing.assert_allclose(found["npp"], NPP)
    assert found["green"].min() >= LEAST_GREEN and set(found["green"].round(2)) == {1.0, 0.75, 0.55}
    without = seen_cells(covariates(None), 100.0)
    np.testing.assert_allclose(without["npp"], NPP)


@pytest.mark.parametrize("bare", [None, np.zeros(MapGrid(2.5).shape)])
def test_cells_lie_far_apart(bare):
    found = seen_cells(covariates(bare), 100.0)
    place = on_sphere(found["lat"], found["lon"])
    apart = np.linalg.norm(place[:, None] - place, axis=-1) + 1e9 * np.eye(len(place))
    assert len(found) > 300 and apart.min() > APART_KM
