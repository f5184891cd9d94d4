"""Stocks: how much carbon layers hold, from measured stocks and from gridded ones; a fitted object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import BIOMES
from ..data.israd import MEASURED_STOCK_LOG_SD
from ..data.own_tables import OwnTable, row_coordinates
from ..errors import InputError
from ..models import stocks as ms
from ..progress import Progress
from ..seeds import child_seed
from . import checks
from .fitted import Fitted
from .nuts import Nuts
from .regressions import flat_draws
from .sampling import by_chain, converged, convergence

FEWEST = 10
"""Least number of layers with a measured stock."""

SHORT = 150
"""Draws of each chain of the fits of a cross-validation or calibration."""

DEPTHS = ((0, 20), (20, 60), (60, 200))
"""Depths of a layer's middle, cm, by which predictions are scored."""


class Stocks(Fitted):
    """Carbon stocks of layers from gridded ones, depth and biome, with effects of studies and profiles
    (`models.stocks`).

    Parameters
    ----------
    gridded : sequence of str
        Names of the columns with gridded stocks of the layer, Mg C ha⁻¹, one a source; cells may be empty.
    columns : mapping of str, optional
        Names in your tables by the names used here, for those that differ.
    stones : bool
        Whether a stock may have been computed as if there were no stones, where `coarse` was not reported.
    chains, tune, draws : int
        Chains, and warm-up steps and kept draws of each.
    seed : int
        All randomness flows from it.

    Attributes
    ----------
    posterior : DataTree
        The fit in ArviZ's form; `stock` of the layers with a measured one among its variables.
    table : DataFrame
        Layers of the fit, in the order of their profiles.

    Examples
    --------
    >>> import bayes_rootc as rc
    >>> rc.Stocks(["soilgrids"]).fit(pd.DataFrame({"top": [0.0], "bottom": [20.0], "stock": [45.0]}))
    Traceback (most recent call last):
    bayes_rootc.errors.InputError: the table has no column for the covariate soilgrids; found top, bottom, stock
    """

    _kind = "stocks"
    _sampled = (*ms.SAMPLED, *ms.DRAWN)
    _units = "profiles"
    _groups: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(
        self,
        gridded: Sequence[str] = (),
        *,
        columns: Mapping[str, str] | None = None,
        stones: bool = True,
        chains: int = 4,
        tune: int = 100,
        draws: int = 300,
        seed: int = 20,
    ):
        if isinstance(gridded, str):
            raise InputError(f'gridded is the text "{gridded}"; expected a list of names')
        self.gridded, self.columns, self.stones, self.seed = list(gridded), columns, stones, seed
        self.sampling = {"chains": chains, "tune": tune, "draws": draws}
        self.table: pd.DataFrame | None = None
        self._data: ms.StockData | None = None
        self._centres: dict[str, list[float]] = {}
        self._studies: list[str] = []
        self._profiles: list[str] = []

    def fit(self, layers: pd.DataFrame, *, until_good: bool = True, progress: Progress | None = None) -> Self:
        """Fits the model to layers with a measured stock.

        Parameters
        ----------
        layers : DataFrame
            One row a layer: `top`, `bottom` (cm), `stock` (Mg C ha⁻¹; rows without one are left out), the gridded
            stocks; optionally `stock_error` (relative; 0.2 where unknown), `coarse` (% of the volume, of the layer, as
            far as reported) and `coarse_gridded` (% on a map), `study`, `site`, `profile` (any labels; else a profile
            is a place, and a study is a profile), `lat` and `lon`, and `biome` (number or name).
        until_good : bool
            Continue sampling while R-hat or effective sample sizes are not good.
        progress : callable, optional
            Called with the draws done and wanted.

        Returns
        -------
        Stocks
            The object itself.

        Raises
        ------
        InputError
            A column is missing, a value is impossible, or there are too few layers.
        """
        own = self._layers(layers, measured=True)
        measured = own.assign(row=np.arange(len(own)))[own["stock"].notna().to_numpy()]
        table = measured.sort_values(["study", "profile"], kind="stable")
        if len(table) < FEWEST:
            raise InputError(f"{len(table)} layers with a stock are too few; expected at least {FEWEST}")
        self._centres = {name: self._centre(table, name) for name in self.gridded}
        self._studies, self._profiles = (list(pd.unique(table[name])) for name in ("study", "profile"))
        self.table, self._data = table, self._arrays(table)
        self._sample(until_good, progress)
        return self

    def layers(self, *, draws: int = 1000) -> xr.Dataset:
        """Stocks of the layers of the fit, given their own measured ones, the error of these counted once.

        Parameters
        ----------
        draws : int
            Maximum number of draws.

        Returns
        -------
        Dataset
            `stock` (Mg C ha⁻¹) over `draw` and `layer`; `row` is the position of each in the table of the fit.

        Raises
        ------
        InputError
            Nothing has been fitted.
        """
        row = self.posterior["constant_data"]["row"].values
        stock = flat_draws(self.posterior, ("stock",), draws)["stock"]
        return xr.Dataset({"stock": (("draw", "layer"), stock, {"units": "Mg ha-1"})}, coords={"row": ("layer", row)})

    def predict(self, layers: pd.DataFrame, *, draws: int = 1000, seed: int | None = None) -> xr.Dataset:
        """Stocks of other layers, whose own `stock`, if there is one, is not looked at.

        Layers of one profile err together, and so do profiles of one study. The effects of studies and profiles that
        the fit had, by their labels, are those of the fit.

        Parameters
        ----------
        layers : DataFrame
            Columns as in `fit`, without `stock`.
        draws : int
            Maximum number of draws.
        seed : int, optional
            Seed of these draws; by default derived from the object's seed.

        Returns
        -------
        Dataset
            Over `draw` and `layer`, the index of the table, Mg C ha⁻¹: `stock`, and `reported`, a new measurement of
            it, with its error and the stones that it overlooks.

        Raises
        ------
        InputError
            Nothing has been fitted, a column is missing, or a value is impossible.
        """
        stream = child_seed(self.seed, "predict") if seed is None else seed
        p = self.parameters(draws)
        found = self._predicted(p, self._layers(layers, measured=False), np.random.default_rng(stream))
        return found.assign_coords(row_coordinates(layers.index, "layer", taken=("draw",)))

    def held_out(self, folds: int, *, progress: Progress | None = None) -> pd.DataFrame:
        """Predictions of the measured stocks from fits without their studies.

        Parameters
        ----------
        folds : int
            Number of folds; each costs a fit.
        progress : callable, optional
            Called with the fits done and wanted.

        Returns
        -------
        DataFrame
            One row a layer, in the order of `table`: `study`, `profile`, `biome`, `top`, `bottom`, `fold`; `observed`,
            `mean`, `p025`, `p975`, `pit`, `crps` of log stock; on the natural scale `observed_natural` and
            `mean_natural`, Mg C ha⁻¹.

        Raises
        ------
        InputError
            Nothing has been fitted; or the object was loaded, and the table is needed.
        """
        data, table = self._fitted_to(self._data), self._fitted_to(self.table)
        names = table["study"].unique()
        order = np.random.default_rng(child_seed(self.seed, "folds")).permutation(len(names)) % folds
        fold = table["study"].map(dict(zip(names, order, strict=True))).to_numpy()
        observed, parts = table["stock"].to_numpy(float), []
        for number in range(folds):
            held = fold == number
            stream = child_seed(self.seed, "fold", number)
            p = self._refit(data._replace(y=np.where(held, np.nan, data.y)), seed=stream)
            # to the fit a study without data is a draw from its prior, but not one that errs with its spread
            made = self._predicted(p, table[held], np.random.default_rng(stream), known=False)["reported"].values
            scores = checks.predictive_scores(np.log(observed[held]), np.log(made), np.log(made).mean(axis=0))
            natural = {"observed_natural": observed[held], "mean_natural": made.mean(axis=0)}
            parts.append(scores.set_index(np.flatnonzero(held)).assign(fold=number, **natural))
            if progress:
                progress(number + 1, folds)
        about = table[["study", "profile", "biome", "top", "bottom"]].reset_index(drop=True)
        return pd.concat([about, pd.concat(parts).sort_index()], axis=1)

    def _sample(self, until_good: bool, progress: Progress | None) -> None:
        """Samples the posterior and keeps it as a tree."""
        import arviz as az

        data, table = self._fitted_to(self._data), self._fitted_to(self.table)
        how = partial(ms.model, sources=len(self.gridded), studies=len(self._studies), stones=self.stones)
        self._nuts = Nuts(how, (data,), tune=self.sampling["tune"], known_spread=True)

        def enough(samples: dict[str, NDArray]) -> bool:
            return converged(convergence(by_chain({name: samples[name] for name in self._varying})))

        found = self._nuts.run(
            (data,),
            seed=child_seed(self.seed, "chains"),
            chains=self.sampling["chains"],
            draws=self.sampling["draws"],
            enough=enough if until_good else None,
            progress=progress,
        )
        samples = {name: found.samples[name] for name in ms.SAMPLED}
        shape = samples["layer_sd"].shape
        rng = np.random.default_rng(child_seed(self.seed, "layers"))
        p = ms.completed({name: v.reshape(-1, *v.shape[2:]) for name, v in samples.items()}, data, rng)
        thickness = (table["bottom"] - table["top"]).to_numpy(float)
        drawn = {name: p[name] for name in ms.DRAWN}
        drawn["stock"] = ms.to_stock(ms.true_layers(p, data, rng), thickness).astype(np.float32)
        self._posterior = az.from_dict(
            {
                "posterior": samples | {name: v.reshape(*shape, *v.shape[1:]) for name, v in drawn.items()},
                "sample_stats": found.stats,
                "log_likelihood": {"profiles": ms.likelihoods(p, data).reshape(*shape, -1)},
                "observed_data": {"reported": table["stock"].to_numpy(float)},
                "constant_data": {"row": table["row"].to_numpy()},
            },
            coords={
                "biome_of": list(BIOMES.values()),
                "study": self._studies,
                "profile": self._profiles,
                "column": self._columns,
                "depth_form": ["surface", "deep"],
            },
            dims={
                "coefficient": ["column"],
                "biome_effect": ["biome_of"],
                "study_effect": ["study", "depth_form"],
                "profile_effect": ["profile", "depth_form"],
                "profile_factor": ["profile"],
                "study_sd": ["depth_form"],
                "profile_sd": ["depth_form"],
                "profiles": ["profile"],
                **{name: ["layer"] for name in ("stock", "reported", "row")},
            },
        )

    def _layers(self, layers: pd.DataFrame, *, measured: bool) -> pd.DataFrame:
        """Layers under our names, with the index of the table."""
        own = OwnTable(layers, self.columns, complete=measured)
        numbers = {name: own.numbers(name) for name in ("top", "bottom")}
        for name in ("stock", "stock_error", "coarse", "coarse_gridded"):
            wanted = own.has(name) and (measured or name != "stock")
            numbers[name] = own.numbers(name, missing=True) if wanted else pd.Series(np.nan, layers.index)
        if measured and not own.has("stock"):
            own.numbers("stock")  # says that it is missing
        table = pd.DataFrame(numbers)
        density = table["stock"] / (table["bottom"] - table["top"])
        for wrong, text in (
            (table["bottom"] <= table["top"], "bottom is not below top"),
            ((table["stock"] <= 0), "the stock is not above 0"),
            (density >= ms.LARGEST_DENSITY, f"the stock is not below {ms.LARGEST_DENSITY:g} Mg ha⁻¹ in a centimetre"),
        ):
            if wrong.any():
                raise InputError(f"row {layers.index[wrong.to_numpy()][0]} of the table: {text}")
        table["stock_error"] = table["stock_error"].fillna(MEASURED_STOCK_LOG_SD)
        table["biome"], table["profile"] = own.biome(), own.profile()
        table["study"] = own.labels("study") if own.has("study") else table["profile"]
        table["stones"] = _stones(table)
        return pd.concat([table, own.covariates(self.gridded)], axis=1)

    def _centre(self, table: pd.DataFrame, name: str) -> list[float]:
        """Line of a source's log density on depth."""
        value = _log_density(table, name)
        known = np.isfinite(value)
        if known.sum() < FEWEST:
            raise InputError(
                f"{int(known.sum())} layers have both a measured stock and one of {name}; expected at least {FEWEST}"
            )
        depth = ms.depth_columns(table["top"], table["bottom"])[0][known, 1]
        slope, intercept = np.polyfit(depth, value[known], 1) if np.ptp(depth) > 0 else (0.0, value[known].mean())
        return [float(intercept), float(slope)]

    @property
    def _columns(self) -> list[str]:
        return [*ms.DEPTH_FORMS, *self.gridded, *(f"{name} missing" for name in self.gridded)]

    def _arrays(self, table: pd.DataFrame) -> ms.StockData:
        """Arrays of layers; profiles and their studies are numbered as they come."""
        forms, deep = ms.depth_columns(table["top"], table["bottom"])
        sources = np.empty((len(table), len(self.gridded)))
        for j, (intercept, slope) in enumerate(self._centres.values()):
            sources[:, j] = _log_density(table, self.gridded[j]) - intercept - slope * forms[:, 1]
        thickness = table["bottom"] - table["top"]
        profile, names = pd.factorize(table["profile"])
        study = table.groupby("profile", sort=False)["study"].first()[names]
        return ms.StockData(
            np.concatenate([forms, np.nan_to_num(sources), np.isnan(sources)], axis=1),
            table["biome"].to_numpy(int),
            deep,
            ms.to_logit(table["stock"], thickness),
            table["stock_error"].to_numpy(float),
            table["stones"].to_numpy(float),
            profile,
            pd.factorize(study)[0],
        )

    def _predicted(
        self, p: dict[str, NDArray], table: pd.DataFrame, rng: np.random.Generator, *, known: bool = True
    ) -> xr.Dataset:
        data, names = self._arrays(table), pd.Index(table["profile"].unique())
        studies = pd.Index(table.groupby("profile", sort=False)["study"].first()[names].unique())
        numbers = (pd.Index(self._profiles).get_indexer(names), pd.Index(self._studies).get_indexer(studies))
        profile, study = numbers if known else (np.full(len(n), -1) for n in numbers)
        made = ms.new_layers(p, data, profile, study, rng)
        thickness = (table["bottom"] - table["top"]).to_numpy(float)
        dims, units = ("draw", "layer"), {"units": "Mg ha-1"}
        values = {"stock": made.true, "reported": made.reported}
        return xr.Dataset({name: (dims, ms.to_stock(y, thickness), units) for name, y in values.items()})

    def _refit(self, data: ms.StockData, *, seed: int, draws: int = SHORT, chains: int = 2) -> dict[str, NDArray]:
        """Draws of a fit to other data of the same shape."""
        found = self._nuts.run((data,), seed=seed, chains=chains, draws=draws).samples
        p = {name: found[name].reshape(-1, *found[name].shape[2:]) for name in ms.SAMPLED}
        return ms.completed(p, data, np.random.default_rng(child_seed(seed, "effects")))

    def _held_out(self, folds: int, progress: Progress | None) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        scores = self.held_out(folds, progress=progress)
        return scores, score_table(scores), pd.DataFrame({"fold": range(folds)})

    def _ranks(self, simulations: int, progress: Progress | None) -> pd.DataFrame:
        data = self._fitted_to(self._data)
        sizes = len(self.gridded), len(self._studies), self.stones
        profile, study = np.full(len(data.study), -1), np.arange(len(self._studies))

        def simulate(seed: int) -> tuple[dict[str, float], ms.StockData]:
            truth, rng = ms.prior_draw(*sizes, seed), np.random.default_rng(seed)
            none = {"profile_effect": np.zeros((1, 1, 2)), "profile_factor": np.ones((1, 1))}
            made = ms.new_layers(truth | none, data, profile, study, rng).reported[0]
            return self._ranked(truth), data._replace(y=made)

        def infer(seed: int, world: ms.StockData) -> tuple[checks.Draws, dict[str, object]]:
            draws = self._refit(world, seed=seed)
            thin = np.arange(checks.CALIBRATION_DRAWS) * len(draws["layer_sd"]) // checks.CALIBRATION_DRAWS
            return self._ranked({name: v[thin] for name, v in draws.items()}), {}

        stream = child_seed(self.seed, "calibration")
        return checks.calibrate(simulate, infer, seed=stream, simulations=simulations, progress=progress)[0]

    def _ranked(self, draws: dict[str, NDArray]) -> dict[str, Any]:
        """What is ranked in simulation-based calibration: by draw, or the one of a truth."""
        named = {name: draws[name] for name in ("layer_sd", "layer_slope", "profile_half")}
        named |= {"overlooked": draws["overlooked"]} if self.stones else {}
        named |= {name: draws["coefficient"][:, j] for j, name in enumerate(self._columns)}
        for j, where in enumerate(("surface", "deep")):
            named |= {f"{name} {where}": draws[name][:, j] for name in ("profile_sd", "study_sd")}
        return {name: v if len(v) > 1 else float(v[0]) for name, v in named.items()}

    @property
    def _varying(self) -> tuple[str, ...]:
        return tuple(name for name in ms.SAMPLED if self.stones or name != "overlooked")

    def _settings(self) -> dict[str, Any]:
        own = {"gridded": self.gridded, "columns": self.columns, "stones": self.stones, "seed": self.seed}
        return own | self.sampling

    def _more(self) -> dict[str, Any]:
        return {"centres": self._centres, "studies": self._studies, "profiles": self._profiles}

    def _restore(self, more: dict[str, Any]) -> None:
        self._centres, self._studies, self._profiles = more["centres"], more["studies"], more["profiles"]


def _log_density(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """log of a source's stock in a centimetre; NaN where it has none."""
    value = table[name].to_numpy(float) / (table["bottom"] - table["top"]).to_numpy(float)
    return np.log(np.where(value > 0, value, np.nan))


def _stones(table: pd.DataFrame) -> pd.Series:
    """Share of the volume that may be stones which a stock overlooks: 0 where the layer's own were reported, else the
    mean of those that its study reported, else the map's, else the mean of all of these.
    """
    reported = table["coarse"] / 100
    likely = reported.groupby(table["study"]).transform("mean").fillna(table["coarse_gridded"] / 100)
    likely = likely.fillna(likely.mean()).fillna(0.0).clip(0, 0.95)
    return likely.where(reported.isna(), 0.0)


def score_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of `Stocks.held_out` by depth and biome, with `ratio`: the sum of predicted over that of measured."""
    middle, biome = (scores["top"] + scores["bottom"]) / 2, scores["biome"].to_numpy(int)
    classes = {("depth", f"{a}-{b} cm"): middle.between(a, b, inclusive="left").to_numpy() for a, b in DEPTHS}
    classes |= {("biome", name): biome == b for b, name in BIOMES.items()}
    table = checks.score_table(scores, scores["study"], classes, ("layers", "studies"))
    every = {("all", "all"): np.ones(len(scores), bool)} | classes
    here = [every[key] for key in zip(table["group"], table["class"], strict=True)]
    sums = [scores.loc[mask, ["mean_natural", "observed_natural"]].sum() for mask in here]
    return table.assign(ratio=[s["mean_natural"] / s["observed_natural"] for s in sums])
