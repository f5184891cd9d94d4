"""I_root of maps from the fields of the production model: what grows, and which part of it below ground.

A draw of the fields is one whole map, so that cells err together as the fields do. In each draw I_root is a part of
production, so it exceeds it nowhere. Cells, or the part of them, that are bare or under ice have no plants to speak of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import expit

from ..models import production as mp
from .learners import Z95
from .monte_carlo import Statistics

if TYPE_CHECKING:
    from ..inference.production import Production
    from .maps import LandCells

CELLS = 4096
"""Cells whose draws are held at once: with 500 of them, 16 MB."""

QUANTILES = {"p025": -Z95, "median": 0.0, "p975": Z95}

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(24)


class RootCells(NamedTuple):
    """What the fields say of cells.

    Attributes
    ----------
    mean, sd : ndarray
        Mean and standard deviation of log I_root of a site in each cell, (n,), Mg C ha⁻¹ yr⁻¹.
    sums : ndarray
        Weighted sums of the cells' I_root, by draw, (class, member).
    statistics : dict of str to ndarray
        `npp_mean` … and `f_bnpp_mean` …, (n,) float32.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    sums: NDArray[np.float64]
    statistics: Statistics


@dataclass(frozen=True)
class RootField:
    """Draws of the fields of production.

    Attributes
    ----------
    production : Production
        The fitted model.
    features : list of str
        Covariates of the cells, in the order of their columns.
    draws : dict of str to ndarray
        Draws of its parameters, one a member.
    """

    production: Production
    features: list[str]
    draws: mp.Draws

    @classmethod
    def load(cls, path: Path, features: list[str], members: int) -> RootField:
        """Reads `posterior/production.nc`; `members` draws of it are taken, or as many as there are.

        Raises
        ------
        InputError
            The file is missing, or was not written by this package.
        """
        from ..inference.production import Production

        production = Production.load(path)
        return cls(production, features, production.parameters(members))

    @property
    def members(self) -> int:
        """Number of draws."""
        return len(self.draws["mean"])

    def parts(self, cells: LandCells) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """log of production above and below ground, mean over the sites of each cell, (cell, draw, 2), some cells at a
        time.
        """
        variance, log_green = self.draws["site_sd"] ** 2, cells.log_green
        for start in range(0, len(cells.X), CELLS):
            some = slice(start, start + CELLS)
            here = cells.part(some)
            table = pd.DataFrame(here.X[:, : len(self.features)], columns=self.features)
            places = self.production.ground.at(table.assign(biome=here.biome, lat=here.lat, lon=here.lon))
            parts = mp.expected_parts(self.draws, places, np.float32).transpose(1, 0, 2) + variance / 2
            yield some, (parts + log_green[some, None, None]).astype(np.float32)

    def share(self, cells: LandCells) -> NDArray[np.float32]:
        """Share of the mean production of each cell that goes below ground, (cell, draw)."""
        parts = [parts for _, parts in self.parts(cells)]
        return np.concatenate([expit(each[..., 1] - each[..., 0]) for each in parts])

    def cells(self, cells: LandCells, weight: csr_matrix) -> RootCells:
        """Statistics of cells, and sums over them with the weights of cells in classes, (class, cell)."""
        n = len(cells.X)
        mean, sd = np.empty(n), np.empty(n)
        sums = np.zeros((weight.shape[0], self.members))
        names = [f"{quantity}_{name}" for quantity in ("npp", "f_bnpp") for name in ("mean", *QUANTILES)]
        found: Statistics = {name: np.empty(n, np.float32) for name in names}
        site = mp.covariances(self.draws, "site")
        for some, log_parts in self.parts(cells):
            parts = np.exp(log_parts)
            sums += weight[:, some] @ parts[..., 1]
            whole = parts.sum(axis=2)
            share = parts / whole[..., None]
            middle, root = whole.mean(axis=1, dtype=float), parts[..., 1].mean(axis=1, dtype=float)
            # of a site in the cell: the log of a sum varies as its parts do, by their shares
            across = np.einsum("cdi,dij,cdj->c", share, site, share) / self.members
            sd[some] = np.sqrt(log_parts[..., 1].var(axis=1, dtype=float) + site[:, 1, 1].mean())
            mean[some] = np.log(root) - sd[some] ** 2 / 2
            of_npp = np.sqrt(np.log(whole).var(axis=1, dtype=float) + across)
            found["npp_mean"][some] = middle
            log_odds = log_parts[..., 1] - log_parts[..., 0] - (self.draws["site_sd"] ** 2 @ [-0.5, 0.5]).astype("f4")
            odds, apart = log_odds.mean(axis=1, dtype=float), site[:, [0, 1], [0, 1]].sum(axis=1) - 2 * site[:, 0, 1]
            of_odds = np.sqrt(log_odds.var(axis=1, dtype=float) + apart.mean())
            found["f_bnpp_mean"][some] = expit(odds[:, None] + of_odds[:, None] * NODES) @ WEIGHTS / WEIGHTS.sum()
            for name, z in QUANTILES.items():
                found[f"npp_{name}"][some] = middle * np.exp(z * of_npp - of_npp**2 / 2)
                found[f"f_bnpp_{name}"][some] = expit(odds + z * of_odds)
        return RootCells(mean, sd, sums, found)
