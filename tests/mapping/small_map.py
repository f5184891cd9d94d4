"""A map that is made in seconds, from forests of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from bayes_rootc.constants import BIOMES
from bayes_rootc.data.covariates import CovariateStack
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.mapping.applicability import Applicability
from bayes_rootc.mapping.learners import Calibration, FluxModel, Learners, PosteriorForest
from bayes_rootc.mapping.model_file import save_learners
from bayes_rootc.mapping.tiles import MapJob


def small_map(data: Path, out: Path) -> MapJob:
    """A map of the demo world in 15 tiles; its models are written."""
    rng = np.random.default_rng(0)
    stack = CovariateStack(data / "covariates")
    lat, lon = rng.uniform(-50, 60, 400), rng.uniform(-170, 170, 400)
    sites, _ = stack.sample(lat, lon, stack.features)
    sites = sites.dropna()
    biomes = np.array(list(BIOMES)) == rng.integers(1, 10, (len(sites), 1))
    X = np.c_[sites[stack.features], biomes].astype(np.float32)
    models = []
    for depth, level in ((0, 0.5), (2, -5.0), (0, 0.0)):
        top = rng.choice([0, 20, 100], (len(X), 1))
        rows = np.c_[X, top, top + 20][:, : X.shape[1] + depth]
        draws = level + 0.3 * rng.standard_normal((len(X), 5))
        forest = PosteriorForest(20, random_state=1).fit(rows, draws)
        area = Applicability.fit(rows, forest.feature_importances_, np.arange(len(X)) % 5)
        models.append(FluxModel(forest, Calibration(2.5, 0.2), area))
    save_learners(out / "models" / "learners.npz", Learners(stack.features, *models))
    shares = ("draw", "biome", "layer"), rng.dirichlet(np.arange(8, 1, -1), (20, 9))
    (out / "posterior").mkdir()
    xr.Dataset({"predictive": shares, "expected": shares}).to_netcdf(out / "posterior" / "root_shares.nc")
    grid = MapGrid(4.0)
    return MapJob(data / "covariates", out, grid, 20, members=40, seed=3, nearest_km=100.0)


def command(job: MapJob, *more: str) -> list[str]:
    """Arguments that make the maps of the job, which has no fits from which to say how long carbon stays."""
    folder, out, settings = str(job.covariates.parent), str(job.out), job.out / "map.toml"
    settings.write_text("map_quantities = []\n")
    return [
        "map",
        str(settings),
        "--data",
        folder,
        "--out",
        out,
        "--resolution",
        "4",
        "--tile",
        "20",
        "--seed",
        "3",
        *more,
    ]
