"""New places: the posterior of k and age and the Δ14C that a new measurement would find; how deep roots go."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from ..constants import LAYER_NAMES, LAYERS, PROFILE_DEPTH_CM
from ..data.atmosphere import FIRST_YEAR, Atmosphere, zone_of
from ..data.biomes import EXPECTED_BIOME, UNSAID, biome_numbers, biome_of_record
from ..data.covariates import CovariateStack
from ..data.israd import DEFAULT_SIGMA, MAX_SIGMA
from ..data.plausible import judge
from ..data.tables import HEADER_ROWS, located, number_column, read_csv, read_header, readable
from ..errors import InputError, InputWarning
from ..models.components import Components
from ..models.radiocarbon import unexplained
from ..models.rates import input_rate, mean_age
from ..models.root_depth import layer_fractions, new_profiles
from .sampling import summary_columns
from .turnover_fit import TurnoverFit, draw_layers

OPTIONAL = ("year", "top", "bottom", "delta14c", "sigma", "profile")
QUANTITIES = ("delta14c", "k", "age")
STATISTICS = ("mean", "median", "p025", "p975")
COLUMNS = (*(f"{quantity}_{s}" for quantity in QUANTITIES for s in STATISTICS), "unexplained", "reason")
"""What a prediction of turnover adds; `unexplained`: no decay rate comes near the measured Δ14C."""

RATE_COLUMNS = tuple(f"{quantity}_{s}" for quantity in ("respired", "s") for s in STATISTICS)
"""What it adds where the spread of rates within a layer was inferred: Δ14C of the CO₂ (‰), and that spread of log k."""

ROOT_QUANTITIES = ("d50", "d95", *(f"share_{layer}" for layer in LAYER_NAMES))
ROOT_COLUMNS = (*(f"{quantity}_{s}" for quantity in ROOT_QUANTITIES for s in STATISTICS), "reason")
"""What a prediction of root depth adds."""

ROW = "row of the file"
MAX_DRAWS = 1000


def read_sites(path: Path, *, layers: bool = True, year: bool = True, total: bool = False) -> pd.DataFrame:
    """New sites, in the order of the file and with all its columns.

    Parameters
    ----------
    layers : bool
        A file without `top` and `bottom` gives the seven standard layers of each row, with `total` also 0-200 cm.
    year : bool
        Must be there.

    Raises
    ------
    InputError
        A column is missing, a value is not a number, a column is surely in another unit.
    """
    units = {"delta14c": ("‰", "permil"), "sigma": ("‰", "permil"), "top": ("cm", "cm"), "bottom": ("cm", "cm")}
    units |= {"lat": ("degrees", "degree"), "lon": ("degrees", "degree"), "year": ("", "")}
    columns: dict[str, pa.Column] = {
        name: number_column(unit=unit, quantity=name if name != "lon" else None, pint_unit=known or None)
        for name, (unit, known) in units.items()
    }
    schema = pa.DataFrameSchema(columns | {"profile": pa.Column(object, nullable=True)})
    optional = OPTIONAL[1:] if year else OPTIONAL
    checked = read_csv(path, schema, optional=optional)
    at, _ = located(read_header(path), schema, path, optional, {})
    with readable(path):
        sites = pd.read_csv(path, dtype=str, index_col=False)  # what is not ours goes back as it came
    names = {place: name for name, place in at.items()}
    sites.columns = pd.Index([names.get(i, name) for i, name in enumerate(sites.columns)])
    given = sites.columns
    # Empty rows are passed over.
    sites = sites.iloc[checked.pop("file_row").to_numpy() - HEADER_ROWS - 1].reset_index(drop=True)
    sites = sites.assign(**{str(c): checked[c] for c in checked if c in given})
    sites.attrs.clear()
    doubt = judge(checked["delta14c"], "delta14c", sigma=checked["sigma"], bottom=checked["bottom"])
    if doubt is not None and doubt.sure:
        raise InputError(doubt.text, file=path, column="delta14c")
    for text in [*checked.attrs["doubts"], *([f"column delta14c: {doubt.text}"] if doubt else [])]:
        warnings.warn(f"{path}, {text}", InputWarning, stacklevel=2)
    if not layers:
        return sites
    if ("top" in given) != ("bottom" in given):
        raise InputError("expected both top and bottom, or neither", file=path)
    if "top" not in given:
        if year and "delta14c" in given:
            raise InputError("a delta14c needs the top and bottom of its layer", file=path)
        each = [*LAYERS, (0, PROFILE_DEPTH_CM)] if total else LAYERS
        sites = sites.loc[sites.index.repeat(len(each))].reset_index(drop=True)
        sites[["top", "bottom"]] = np.tile(each, (len(sites) // len(each), 1)).astype(float)
    return sites


@dataclass(frozen=True)
class NewPlaces:
    """Sites, one a row, or layers at them, where something is to be predicted.

    Attributes
    ----------
    sites : DataFrame
        `lat`, `lon`, and what the prediction needs.
    covariates : CovariateStack
        What their covariates and biomes are read from.
    nearest_km : float
        Largest distance from which one that is missing is taken.
    """

    sites: pd.DataFrame
    covariates: CovariateStack
    nearest_km: float

    def without(self, columns: Collection[str]) -> Self:
        """The same without some columns, as those of an earlier prediction."""
        return replace(self, sites=self.sites.drop(columns=[c for c in columns if c in self.sites]))

    def rows(self, reason: pd.Series, needed: tuple[str, ...]) -> pd.DataFrame:
        """Rows without a `reason`, with `ROW`, covariates of their place, and its biome unless they have one; those
        that lack one get a reason.
        """
        sites = self.sites
        usable = (reason == "").to_numpy()
        places = sites.loc[usable, ["lat", "lon"]].drop_duplicates()
        values, _ = self.covariates.sample(places["lat"], places["lon"], nearest_km=self.nearest_km)
        at = places.reset_index(drop=True).join(values)
        rows = sites.reset_index(names=ROW)[usable].merge(at, on=["lat", "lon"], how="left", suffixes=("_own", ""))
        lacking = [c for c in needed if c not in rows]
        if lacking:
            raise InputError(
                f"the fit knows the covariate {lacking[0]}, the data folder does not", file=self.covariates.manifest
            )
        if "biome" in sites:
            said = biome_numbers(rows["biome_own"])
            unknown = said.isna().to_numpy()
            if unknown.all() and len(rows):  # a column of the user's own, of another kind
                text = f"no value is one of ours, so that of the rasters is used; expected {EXPECTED_BIOME}"
                warnings.warn(f"column biome: {text}", InputWarning, stacklevel=2)
                said, unknown = said.fillna(UNSAID), np.zeros(len(rows), bool)
            reason[rows.loc[unknown, ROW]] = f"biome: expected {EXPECTED_BIOME}"
            rows["biome"] = biome_of_record(said.fillna(UNSAID), rows["biome"], rows["natural_biome"])
            rows = rows[~unknown]
        no_biome = (rows["biome"] == 0).to_numpy()
        reason[rows.loc[no_biome, ROW]] = f"no soil biome within {self.nearest_km:g} km"
        no_covariate = rows[list(needed)].isna().any(axis=1).to_numpy() & ~no_biome
        reason[rows.loc[no_covariate, ROW]] = f"a covariate is missing within {self.nearest_km:g} km"
        return rows[~no_biome & ~no_covariate].reset_index(drop=True)

    def answer(
        self, rows: pd.DataFrame, found: list[pd.DataFrame], reason: pd.Series, columns: tuple[str, ...]
    ) -> pd.DataFrame:
        """All sites, with what was found for some rows, or the reason why nothing was."""
        out = self.sites
        for table in found:
            out = out.join(table.set_axis(rows[ROW]))
        return out.assign(reason=reason).reindex(columns=[*self.sites, *columns])


def predict_turnover(fit: TurnoverFit, places: NewPlaces, atmosphere: Atmosphere, *, seed: int = 20) -> pd.DataFrame:
    """Posterior of new layers, as `bayes-rootc predict --help` says.

    Parameters
    ----------
    places : NewPlaces
        `lat`, `lon`, `year`, `top`, `bottom`; optionally `delta14c`, `sigma` (‰), `profile`.
    seed : int
        Seed of the random draws.
    """
    places, found = places.without((*COLUMNS, *RATE_COLUMNS)), list[pd.DataFrame]()
    reason = reasons(places.sites, min(curve.years[-1] for curve in atmosphere.curves.values()))
    layers = places.rows(reason, fit.components.covariates)
    if len(layers):
        measured = layers["delta14c"] if "delta14c" in layers else pd.Series(np.nan, layers.index)
        sigma = layers["sigma"] if "sigma" in layers else pd.Series(np.nan, layers.index)
        place = layers["lat"].astype(str) + "/" + layers["lon"].astype(str)
        if "profile" in layers:
            place += "/" + layers["profile"].astype(str)
        layers = layers.assign(
            delta14c=measured.astype(float),
            sigma=sigma.where(sigma.between(0, MAX_SIGMA, inclusive="right"), DEFAULT_SIGMA),  # as in the fit
            zone=zone_of(layers["lat"], layers["lon"]),
            profile_index=pd.factorize(place)[0],
        )
        count = min(fit.samples["tau_layer"].size, MAX_DRAWS)
        drawn = draw_layers(fit, layers, atmosphere, seed=seed, count=count)
        log_k, shape = drawn["log_k"].values.astype(float), fit.shape(layers, count)
        found = [
            _predictive(drawn["replicated"].values, drawn["fitted"].values),
            summary_columns("k", input_rate(log_k, shape.spread, shape.fast), axis=0),
            summary_columns("age", mean_age(log_k, shape.spread, shape.fast), axis=0),
        ]
        if fit.model.inferred:
            found.append(summary_columns("respired", drawn["respired"].values.astype(float), axis=0))
            found.append(summary_columns("s", shape.spread, axis=0))
        flags = unexplained(
            layers["delta14c"],
            layers["sigma"],
            layers["year"],
            layers["zone"].to_numpy(str),
            prehistory=fit.model.prehistory,
            atmosphere=atmosphere,
        )
        found.append(pd.DataFrame({"unexplained": flags}))
    added = (*COLUMNS[:-2], *(RATE_COLUMNS if fit.model.inferred else ()), *COLUMNS[-2:])
    return places.answer(layers, found, reason, added)


def predict_root_depth(
    draws: dict[str, NDArray], components: Components, places: NewPlaces, *, seed: int = 20
) -> pd.DataFrame:
    """D50 and D95 (cm) and the shares of the seven layers at one new profile of each site, as `bayes-rootc predict
    --help` says.

    Parameters
    ----------
    draws : dict of str to ndarray
        Posterior draws of the fit, by parameter.
    components : Components
        Components of the covariates that the fit was made with.
    places : NewPlaces
        `lat`, `lon`.
    seed : int
        Seed of the random draws.
    """
    places, found = places.without(ROOT_COLUMNS), list[pd.DataFrame]()
    reason = reasons(places.sites, layers=False)
    rows = places.rows(reason, components.covariates)
    if len(rows):
        d50, d95 = new_profiles(draws, components, rows, np.random.default_rng(seed))
        drawn = dict(zip(ROOT_QUANTITIES, (d50, d95, *np.moveaxis(layer_fractions(d50, d95), 2, 0)), strict=True))
        found = [summary_columns(quantity, values, axis=0) for quantity, values in drawn.items()]
    return places.answer(rows, found, reason, ROOT_COLUMNS)


def _predictive(replicated: NDArray, fitted: NDArray) -> pd.DataFrame:
    """Summary of new measurements. Errors are symmetric with heavy tails: the mean is of what they scatter about."""
    return summary_columns("delta14c", replicated, axis=0).assign(delta14c_mean=fitted.astype(float).mean(axis=0))


def reasons(sites: pd.DataFrame, last_year: float = np.inf, *, layers: bool = True) -> pd.Series:
    """Why a row cannot be predicted; empty where it can.

    Parameters
    ----------
    last_year : float
        Last year of the atmospheric curves; with infinity, `year` is not screened.
    layers : bool
        Screen `top` and `bottom` as well.
    """
    delta = sites["delta14c"] if "delta14c" in sites else pd.Series(np.nan, sites.index)
    rules = {
        "lat is not in -90 … 90": ~sites["lat"].between(-90, 90),
        "lon is not in -180 … 180": ~sites["lon"].between(-180, 180),
    }
    if np.isfinite(last_year):
        rules |= {
            f"year is not in {FIRST_YEAR:.0f} … {last_year:.0f}": ~sites["year"].between(FIRST_YEAR, last_year),
            "delta14c is not in -1000 … 1200 ‰": delta.notna() & ~delta.between(-1000, 1200),
        }
    if layers:
        rules |= {
            f"top and bottom are not in 0 … {PROFILE_DEPTH_CM} cm": ~(
                sites["top"].between(0, PROFILE_DEPTH_CM) & sites["bottom"].between(0, PROFILE_DEPTH_CM)
            ),
            "bottom is not below top": ~(sites["bottom"] > sites["top"]),
        }
    reason = pd.Series("", sites.index)
    for text, broken in rules.items():
        reason = reason.where((reason != "") | ~broken, text)
    return reason
