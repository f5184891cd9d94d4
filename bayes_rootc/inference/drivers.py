"""Drivers: how production, input to bulk soil and allocation vary with covariates and biome; a fitted object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from ..data.own_tables import Covariates, OwnTable, flat, row_coordinates
from ..errors import InputError
from ..models.components import Components
from ..models.regression import DEPTH, Records, make_records
from ..seeds import child_seed
from .fitted import FittedRegression, say_unused
from .regressions import ibulk_records
from .sampling import Sampler


@dataclass(frozen=True)
class Scale:
    """Scale on which a response is regressed, and back; its unit."""

    there: Any
    back: Any
    unit: str


RESPONSES = {
    "iroot": Scale(np.log, np.exp, "Mg C ha-1 yr-1"),
    "ibulk": Scale(np.log, np.exp, "Mg C ha-1 yr-1"),
    "f_bnpp": Scale(logit, expit, "1"),
}
"""What can be regressed: input by roots, input to the bulk soil of a layer, share of production below ground."""


class Drivers(FittedRegression[Records]):
    """What drives a flux: a regression on principal components whose effects vary by biome (paper, eq. 7–8).

    Parameters
    ----------
    response : {"iroot", "ibulk", "f_bnpp"}
        Column to explain: root-derived carbon input, input to bulk soil (Mg C ha⁻¹ yr⁻¹), or the share of
        production that goes below ground.
    covariates : sequence of str, or mapping of str to sequence of str
        Names of numeric columns, or such names by group, each of which is rotated to principal components.
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
        The fit in ArviZ's form: `mean` and `by_biome` coefficients, standard deviations between units and biomes, R²,
        and `importance` of the groups.

    Examples
    --------
    >>> import bayes_rootc as rc
    >>> rc.Drivers("iroot", ["mat"]).fit(pd.DataFrame({"iroot": [2.5, -1.0], "mat": [8.0, 9.0], "site": ["a", "b"]}))
    Traceback (most recent call last):
    bayes_rootc.errors.InputError: row 1 of the table, column iroot: found `-1.0`, expected root-derived carbon input, \
Mg C ha⁻¹ yr⁻¹, above 0
    """

    _kind = "drivers"
    _sampled = Records.sampled

    def __init__(
        self,
        response: Literal["iroot", "ibulk", "f_bnpp"],
        covariates: Covariates = (),
        *,
        columns: Mapping[str, str] | None = None,
        sampler: Sampler = "numpyro",
        chains: int = 4,
        tune: int = 200,
        draws: int = 400,
        seed: int = 20,
    ):
        if response not in RESPONSES:
            raise InputError(f"response is {response}; expected one of {', '.join(RESPONSES)}")
        super().__init__(covariates, columns=columns, sampler=sampler, chains=chains, tune=tune, draws=draws, seed=seed)
        self.response = response
        self._depth: NDArray[np.float64] = np.zeros((2, 2))  # mean and standard deviation of top and bottom

    def fit(self, table: pd.DataFrame, draws: ArrayLike | None = None, *, until_good: bool = True) -> Self:
        """Fits the regression to a table.

        Parameters
        ----------
        table : DataFrame
            One row a record: the response, the covariates, optionally `biome`; `site` or `profile`, or `lat` and `lon`,
            say which records belong together. For `ibulk` also `top` and `bottom` of the layer (cm).
        draws : array-like, shape (layer, draw), optional
            Posterior draws of I_bulk of each layer, whose standard deviation is a known error of the response; for
            `ibulk` only, in place of its column.
        until_good : bool
            Continue sampling while R-hat or effective sample sizes are not good.

        Returns
        -------
        Drivers
            The object itself.

        Raises
        ------
        InputError
            A column is missing, a value is impossible, or all responses are equal.
        """
        own = OwnTable(table, self.columns, complete=True)
        rows = self._rows(own)
        if self.response == "ibulk":
            values = own.numbers("ibulk").to_numpy()[:, None] if draws is None else np.asarray(draws, float)
            if len(values) != len(table) or not (np.isfinite(values) & (values > 0)).all():
                raise InputError(
                    f"draws has the shape {values.shape}; expected a row for each of {len(table)} layers, > 0"
                )
            depth = rows[["top", "bottom"]].to_numpy(float)
            self._depth = np.stack([depth.mean(axis=0), depth.std(axis=0)])
            thickness = np.diff(depth, axis=1)
            records, components = ibulk_records(rows.assign(has_covariates=True), values / thickness, self.groups)
        else:
            if draws is not None:
                raise InputError(f"draws are for the response ibulk, not for {self.response}")
            y = RESPONSES[self.response].there(own.numbers(self.response).to_numpy())
            components = Components.fit(rows.drop_duplicates("profile"), self.groups)
            records = make_records(y, components.predictors(rows), rows["biome"].to_numpy(int), rows["profile"])
        if np.ptp(records.y) == 0:
            raise InputError(f"{self.response} is the same in all {len(records.y)} rows; expected rows that differ")
        say_unused(self.groups, components, "sites")
        return self._settle(records, components, until_good=until_good)

    def predict(self, table: pd.DataFrame, *, draws: int = 1000, seed: int | None = None) -> xr.Dataset:
        """The response at new places.

        Parameters
        ----------
        table : DataFrame
            The covariates, `biome` if the fit had it, and for `ibulk` `top` and `bottom`.
        draws : int
            Maximum number of draws.
        seed : int, optional
            Seed of these draws; by default derived from the object's seed.

        Returns
        -------
        Dataset
            Over `draw` and `site`, the index of the table: `expected`, what the regression says of the median place
            with these covariates, and the response by its name, at one new place, which differs from it; for `ibulk` of
            the whole layer.

        Raises
        ------
        InputError
            Nothing has been fitted, a column is missing, or a value is impossible.
        """
        some = self.parameters(draws)
        rows = self._rows(OwnTable(table, self.columns))
        X, thickness = self.components.predictors(rows), np.ones(len(rows))
        if self.response == "ibulk":
            depth = rows[["top", "bottom"]].to_numpy(float)
            X[list(DEPTH)], thickness = (depth - self._depth[0]) / self._depth[1], np.diff(depth, axis=1)[:, 0]
        centre = float(self.posterior.attrs["centre"])
        new = make_records(np.zeros(len(rows)), X, rows["biome"].to_numpy(int), rows["profile"])
        order = np.lexsort((rows["profile"].to_numpy(str), rows["biome"].to_numpy(int)))  # as `make_records` sorts
        mean = np.empty((len(some["unit_sd"]), len(rows)))
        mean[:, order] = centre + replace(new, centre=centre).expected(some)
        rng = np.random.default_rng(child_seed(self.seed, "predict") if seed is None else seed)
        unit = pd.factorize(rows["profile"])[0]
        noise = rng.standard_normal((len(mean), unit.max() + 1)) * some["unit_sd"][:, None]
        scale, dims = RESPONSES[self.response], ("draw", "site")
        found = {"expected": scale.back(mean) * thickness, self.response: scale.back(mean + noise[:, unit]) * thickness}
        return xr.Dataset(
            {name: (dims, value, {"units": scale.unit}) for name, value in found.items()},
            coords=row_coordinates(table.index, "site", taken=("draw",)),
        )

    def _rows(self, own: OwnTable) -> pd.DataFrame:
        """Biome, unit (`profile`), covariates, and depth where that is asked."""
        rows = pd.DataFrame({"biome": own.biome(), "profile": own.profile()})
        rows["profile"] += "/" + rows["biome"].astype(str)  # a unit lies in one biome
        if self.response == "ibulk":
            rows = rows.assign(**{name: own.numbers(name) for name in ("top", "bottom")})
        return pd.concat([rows, own.covariates(flat(self.groups))], axis=1).reset_index(drop=True)

    def _settings(self) -> dict[str, Any]:
        return {"response": self.response} | super()._settings()

    def _more(self) -> dict[str, Any]:
        return {"depth": self._depth.tolist()}

    def _restore(self, more: dict[str, Any]) -> None:
        super()._restore(more)
        self._depth = np.array(more["depth"])
