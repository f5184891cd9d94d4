"""I_root of cells from draws of the fields of production."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from bayes_rootc.data.grid import MapGrid
from bayes_rootc.mapping.maps import LandCells
from bayes_rootc.mapping.root_field import RootField
from bayes_rootc.models import production as mp

DRAWS, CELLS = 300, 40


@pytest.fixture(scope="module")
def cells() -> LandCells:
    rng = np.random.default_rng(1)
    grid = MapGrid(10.0)
    biome = rng.integers(1, 10, CELLS)
    green = np.where(np.arange(CELLS) % 4 == 0, 0.25, 1.0)
    return LandCells(grid, np.arange(CELLS) + 200, biome, rng.standard_normal((CELLS, 1)).astype(np.float32), 0, green)


@pytest.fixture(scope="module")
def field() -> RootField:
    """Fields without a spatial part, of one component."""
    rng = np.random.default_rng(2)
    draws = {
        "mean": np.log([6.0, 0.6]) + 0.1 * rng.standard_normal((DRAWS, 2)),
        "biome_effect": 0.3 * rng.standard_normal((DRAWS, 9, 2)),
        "slope": 0.2 + 0.05 * rng.standard_normal((DRAWS, 1, 2)),
        "weight": np.zeros((DRAWS, 0, 2)),
        "site_sd": np.abs(np.array([0.4, 0.5]) + 0.02 * rng.standard_normal((DRAWS, 2))),
        "site_half": rng.beta(20, 20, DRAWS),
    }
    ground = SimpleNamespace(
        at=lambda t: mp.Places(t["biome"].to_numpy(), t[["warm"]].to_numpy(float), np.zeros((len(t), 0)))
    )
    return RootField(SimpleNamespace(ground=ground), ["warm"], draws)


def places(cells: LandCells) -> mp.Places:
    return mp.Places(cells.biome, cells.X.astype(float), np.zeros((CELLS, 0)))


def test_statistics_of_cells_are_those_of_many_new_sites(field, cells):
    """Against sites drawn one by one: 300 draws, 40 sites of each."""
    rng = np.random.default_rng(3)
    expected = mp.expected_parts(field.draws, places(cells))
    parts = np.exp(np.concatenate([mp.new_sites(field.draws, expected, rng) for _ in range(40)]))
    parts *= cells.green[None, :, None]
    npp, root = parts.sum(axis=2), parts[..., 1]
    found = field.cells(cells, csr_matrix((1, CELLS)))
    error = 4 / np.sqrt(len(parts))  # four standard errors of a mean, in standard deviations
    np.testing.assert_allclose(found.mean, np.log(root).mean(axis=0), atol=error * found.sd.max() + 0.02)
    np.testing.assert_allclose(found.sd, np.log(root).std(axis=0), rtol=0.05)
    np.testing.assert_allclose(found.statistics["npp_mean"], npp.mean(axis=0), rtol=error)
    share = root / npp
    np.testing.assert_allclose(found.statistics["f_bnpp_mean"], share.mean(axis=0), rtol=error)
    for name, level in (("p025", 0.025), ("median", 0.5), ("p975", 0.975)):
        np.testing.assert_allclose(found.statistics[f"npp_{name}"], np.quantile(npp, level, axis=0), rtol=0.08)
        np.testing.assert_allclose(found.statistics[f"f_bnpp_{name}"], np.quantile(share, level, axis=0), rtol=0.08)


def test_mean_root_input_is_below_mean_production_and_bare_ground_has_its_share(field, cells):
    found = field.cells(cells, csr_matrix((1, CELLS)))
    iroot = np.exp(found.mean + found.sd**2 / 2)
    assert (iroot < found.statistics["npp_mean"]).all()
    whole = field.cells(replace(cells, green=None), csr_matrix((1, CELLS)))
    np.testing.assert_allclose(iroot, cells.green * np.exp(whole.mean + whole.sd**2 / 2), rtol=1e-5)
    np.testing.assert_allclose(found.statistics["f_bnpp_mean"], whole.statistics["f_bnpp_mean"], rtol=1e-5)


def test_sums_are_of_whole_maps(field, cells):
    """A member of a total is the sum over one draw of the fields: its spread is that of what cells have in common."""
    area = np.random.default_rng(4).uniform(1, 2, (2, CELLS)) * (np.arange(CELLS) < [[20], [40]])
    found = field.cells(cells, csr_matrix(area))
    log_mean = mp.mean_of_sites(field.draws, mp.expected_parts(field.draws, places(cells)))[..., 1]
    np.testing.assert_allclose(found.sums, area * cells.green @ np.exp(log_mean).T, rtol=1e-5)
    share = field.share(cells)
    assert share.shape == (CELLS, DRAWS) and 0 < share.min() and share.max() < 1
