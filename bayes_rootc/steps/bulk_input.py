"""I_bulk of the measured layers and profiles, from their turnover and stocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import LAYER_NAMES, LAYERS
from ..data.folder import Inputs
from ..data.mapping_units import SOIL_MAP_STOCKS
from ..files import write_csv
from ..inference.turnover_fit import extend_profiles
from ..models.bulk_input import StockSource, harmonise, layer_stocks, standard_layers, stock_draws
from ..models.rates import input_rate, persisting_rate
from ..progress import Progress
from ..report.tables import layers_table
from ..settings import RunSettings, step_rng, step_seed
from .engine import Step
from .turnover import LayerTurnover


@dataclass(frozen=True)
class BulkInput:
    """I_bulk of the measured layers and of their profiles.

    Attributes
    ----------
    draws : Dataset
        `density` over `layer` and `draw`, Mg C ha⁻¹ yr⁻¹ per cm; over `profile`, `depth` (the seven layers) and `draw`,
        Mg C ha⁻¹ yr⁻¹, `measured`, which is NaN where measured layers do not cover one, and `standard`, from the
        posterior of the profile, if the fit was hierarchical.
    stocks : DataFrame
        Result of `layer_stocks`.
    sources : list of StockSource
        Bias and error of the gridded stocks.
    """

    draws: xr.Dataset
    stocks: pd.DataFrame
    sources: list[StockSource]

    @property
    def density(self) -> NDArray[np.float64]:
        """I_bulk of the measured layers, Mg C ha⁻¹ yr⁻¹ per cm: (layer, draw)."""
        return self.draws["density"].values


def infer_bulk_input(
    inputs: Inputs, turnover: LayerTurnover, settings: RunSettings, progress: Progress | None = None
) -> BulkInput:
    """I_bulk = C_stock x k (paper, eq. 6), the error of the stock included; writes `tables/layers.csv`."""
    layers = inputs.layers
    stocks, sources = layer_stocks(layers, gridded=stocks_of(inputs, settings))
    stock = measured_stock_draws(inputs, stocks, settings)
    thickness = (layers["bottom"] - layers["top"]).to_numpy()
    log_k, (spread, fast, _) = turnover.log_k.astype(float), turnover.shape(layers)
    ibulk = stock * input_rate(log_k, spread, fast)
    drawn = {"stock": stock, "ibulk": ibulk, "s": spread}
    drawn["ibulk_t100"] = stock * persisting_rate(log_k, spread, 100, fast)
    write_csv(settings.out / "tables" / "layers.csv", layers_table(layers, turnover.layers, stocks, drawn))
    density = ibulk / thickness[:, None]
    measured = harmonise_measured(inputs, stocks, density)
    standard = measured
    if turnover.fit is not None:
        standard = np.where(np.isfinite(measured), measured, extrapolate(inputs, turnover, sources, settings))
    by_profile = "profile", "depth", "draw"
    draws = {
        "density": (("layer", "draw"), density),
        "measured": (by_profile, measured),
        "standard": (by_profile, standard),
    }
    return BulkInput(xr.Dataset(draws, coords={"depth": list(LAYER_NAMES)}), stocks, sources)


def stocks_of(inputs: Inputs, settings: RunSettings) -> Literal["calibrated", "soil_map"]:
    """What is used where stocks were not measured: the choice of the settings, but `calibrated` gridded stocks where
    that is a soil map and there is none.
    """
    there = inputs.layers[SOIL_MAP_STOCKS].notna().any(axis=None)
    return settings.gridded_stocks if there else "calibrated"


def harmonise_measured(inputs: Inputs, stocks: pd.DataFrame, density: NDArray[Any]) -> NDArray[np.float64]:
    """I_bulk of the seven layers of every profile, (profile, 7, draw), NaN where measured layers do not cover one."""
    layers, known = inputs.layers, stocks["stock"].notna().to_numpy()
    profile = layers["profile_index"].to_numpy()
    top, bottom = (layers[c].to_numpy()[known] for c in ("top", "bottom"))
    return harmonise(top, bottom, profile[known], density[known], int(profile.max()) + 1)


def measured_stock_draws(inputs: Inputs, stocks: pd.DataFrame, settings: RunSettings) -> NDArray[np.float64]:
    """Draws of the stock of each radiocarbon layer, (layer, draw), Mg C ha⁻¹; without an error where k has
    none.
    """
    if settings.turnover_prior == "point":
        return np.repeat(stocks["stock"].to_numpy(float)[:, None], settings.members, axis=1)
    profile = inputs.layers["profile_index"].to_numpy()
    return stock_draws(stocks, profile, gridded_errors(inputs, settings), step_rng(settings, "stock"))


def gridded_errors(inputs: Inputs, settings: RunSettings) -> NDArray[np.float64]:
    """Error of each profile's gridded stock, the same wherever it is used: standard normal, (profile, draw)."""
    profiles = int(inputs.layers["profile_index"].max()) + 1
    return step_rng(settings, "gridded stock").standard_normal((profiles, settings.members))


def extrapolate(
    inputs: Inputs, turnover: LayerTurnover, sources: list[StockSource], settings: RunSettings
) -> NDArray[np.float64]:
    """I_bulk of the seven layers of every profile, (profile, 7, draw), from the turnover posterior of the profile and
    the stock of the layer.
    """
    assert turnover.fit is not None
    drawn = standard_draws(inputs, turnover, sources, settings)
    rate = turnover.fit.rate(drawn["log_k"].values.T, standard_layers(inputs.layers)).T
    return (drawn["stock"].values * rate).reshape(-1, len(LAYERS), settings.members)


def standard_draws(
    inputs: Inputs, turnover: LayerTurnover, sources: list[StockSource], settings: RunSettings
) -> xr.Dataset:
    """`log_k` and `stock` (Mg C ha⁻¹) of the seven layers of every profile, over `layer`, in the order of
    `standard_layers`, and `draw`: from the posterior of the profile, and from the source of its stocks.
    """
    assert turnover.fit is not None
    layers = standard_layers(inputs.layers)
    effect, seed = turnover.layers["effect"].values, step_seed(settings, "standard layers")
    log_k = extend_profiles(turnover.fit, effect, layers, seed=seed).T
    stocks, _ = layer_stocks(layers, sources, stocks_of(inputs, settings))
    profile, rng = layers["profile_index"].to_numpy(), step_rng(settings, "standard stocks")
    stock = stock_draws(stocks, profile, gridded_errors(inputs, settings), rng)
    return xr.Dataset({"log_k": (("layer", "draw"), log_k), "stock": (("layer", "draw"), stock)})


BULK_INPUT = Step(
    "bulk_input", infer_bulk_input, ("inputs", "turnover"), ("members", "turnover_prior", "gridded_stocks")
)
