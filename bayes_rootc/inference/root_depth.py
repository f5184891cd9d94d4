"""Root depth: how deep roots go, by biome and climate; a fitted object."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from ..constants import LAYER_NAMES
from ..data.own_tables import OwnTable, row_coordinates
from ..errors import InputError
from ..models.components import Components
from ..models.root_depth import RootRecords, layer_fractions, make_root_records, new_profiles
from ..seeds import child_seed
from .fitted import FittedRegression, say_unused


class RootDepth(FittedRegression[RootRecords]):
    """D50 and D95 of root profiles in one hierarchical model, by biome, climate and site (`models.root_depth`).

    Parameters
    ----------
    covariates : sequence of str, or mapping of str to sequence of str
        Names of numeric columns, or such names by group; climate matters most.
    columns : mapping of str, optional
        Names in your tables by the names used here, for those that differ.
    sampler : {"numpyro", "pymc", "nutpie", "blackjax"}
        What draws the posterior.
    chains, tune, draws : int
        Chains, and warm-up steps and kept draws of each.
    seed : int
        All randomness flows from it.

    Attributes
    ----------
    posterior : DataTree
        The fit in ArviZ's form.

    Examples
    --------
    >>> import bayes_rootc as rc
    >>> rc.RootDepth(["mat"]).fit(pd.DataFrame({"lat": [48.0], "lon": [9.0], "d50": [15.0], "d95": [90.0]}))
    Traceback (most recent call last):
    bayes_rootc.errors.InputError: the table has no column for the covariate mat; found lat, lon, d50, d95
    """

    _kind = "root-depth"
    _sampled = RootRecords.sampled

    def fit(self, profiles: pd.DataFrame, *, until_good: bool = True) -> Self:
        """Fits the model to a table of root profiles.

        Parameters
        ----------
        profiles : DataFrame
            One row a profile: `lat`, `lon`, `d50`, `d95` (cm), the covariates, and optionally `biome` (number or name).
            Profiles of one place are a site.
        until_good : bool
            Continue sampling while R-hat or effective sample sizes are not good.

        Returns
        -------
        RootDepth
            The object itself.

        Raises
        ------
        InputError
            A column is missing or a value is impossible.
        """
        own = self._places(profiles)
        depths = OwnTable(profiles, self.columns, complete=True)
        own["d50"], own["d95"] = (depths.numbers(name).to_numpy() for name in ("d50", "d95"))
        shallow = (own["d95"] <= own["d50"]).to_numpy()
        if shallow.any():
            raise InputError(f"row {profiles.index[shallow][0]} of the table: d95 is not below d50")
        own["d50_sampled"] = own["d95_sampled"] = np.nan
        components = Components.fit(own.drop_duplicates(["lat", "lon"]), self.groups)
        say_unused(self.groups, components, "places")
        return self._settle(make_root_records(own, components), components, until_good=until_good)

    def predict(self, sites: pd.DataFrame, *, draws: int = 1000, seed: int | None = None) -> xr.Dataset:
        """D50 and D95 of one new profile at each site, and its shares of roots in the seven standard layers.

        Parameters
        ----------
        sites : DataFrame
            `lat`, `lon`, the covariates, and `biome` if the fit had it.
        draws : int
            Maximum number of draws.
        seed : int, optional
            Seed of these draws; by default derived from the object's seed.

        Returns
        -------
        Dataset
            Over `draw` and `site`, the index of the table: `d50`, `d95` (cm); with `depth` (cm, "0-20" to "150-200")
            `share`, which sums to 1.

        Raises
        ------
        InputError
            Nothing has been fitted, a column is missing, or a value is impossible.
        """
        stream = child_seed(self.seed, "predict") if seed is None else seed
        rng = np.random.default_rng(stream)
        d50, d95 = new_profiles(self.parameters(draws), self.components, self._places(sites), rng)
        dims = ("draw", "site")
        return xr.Dataset(
            {
                "d50": (dims, d50, {"units": "cm"}),
                "d95": (dims, d95, {"units": "cm"}),
                "share": ((*dims, "depth"), layer_fractions(d50, d95), {"long_name": "share of roots", "units": "1"}),
            },
            coords=row_coordinates(sites.index, "site", taken=("draw", "depth")),
        ).assign_coords(depth=list(LAYER_NAMES))

    @classmethod
    def _of_run(cls, tree: xr.DataTree) -> dict[str, Any]:
        components = Components.from_dataset(tree["components"].to_dataset())
        return {"settings": {"covariates": list(components.covariates)}, "more": {}}

    def shares(self, sites: pd.DataFrame, *, draws: int = 1000, seed: int | None = None) -> xr.DataArray:
        """Shares of roots in the seven standard layers, (draw, site, depth): `share` of `predict`."""
        return self.predict(sites, draws=draws, seed=seed)["share"]
