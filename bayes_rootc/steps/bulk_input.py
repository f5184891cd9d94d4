"""I_bulk of the measured layers and profiles, from their turnover and stocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import LAYER_NAMES
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
from .stocks import draw_stocks
from .turnover import LayerTurnover

if TYPE_CHECKING:
    from ..inference.stocks import Stocks


@dataclass(frozen=True)
class BulkInput:
    """I_bulk of the measured layers and of their profiles.

    Attributes
    ----------
    draws : Dataset
        `stock`, Mg C ha⁻¹, and `density`, Mg C ha⁻¹ yr⁻¹ per cm, over `layer` and `draw`; over `profile`, `depth` (the
        seven layers) and `draw`, Mg C ha⁻¹ yr⁻¹, `measured`, which is NaN where measured layers do not cover one, and
        `standard`, from the posterior of the profile, if the fit was hierarchical; over `profile`, `depth` and `draw`
        also the stock of the latter, `standard_stock`, Mg C ha⁻¹.
    stocks : DataFrame
        Median `stock` of the layers (Mg C ha⁻¹), `stock_log_sd` and `stock_source`.
    sources : list of StockSource
        How the gridded stocks compare with measured ones.
    """

    draws: xr.Dataset
    stocks: pd.DataFrame
    sources: list[StockSource]

    @property
    def density(self) -> NDArray[np.float64]:
        """I_bulk of the measured layers, Mg C ha⁻¹ yr⁻¹ per cm: (layer, draw)."""
        return self.draws["density"].values


def infer_bulk_input(
    inputs: Inputs,
    turnover: LayerTurnover,
    stocks: Stocks | None,
    settings: RunSettings,
    progress: Progress | None = None,
) -> BulkInput:
    """I_bulk = C_stock x k (paper, eq. 6), the error of the stock included; writes `tables/layers.csv` and
    `tables/stock_sources.csv`.
    """
    layers = inputs.layers
    found, sources = layer_stocks(layers, gridded=stocks_of(inputs, settings))
    predicted = draw_stocks(stocks, inputs, settings.members) if stocks is not None else None
    stock = predicted.layers if predicted else measured_stock_draws(inputs, found, settings)
    if predicted:
        found, sources = of_the_model(found, stock), [informing(source, layers) for source in sources]
        if settings.turnover_prior == "point":
            stock = np.repeat(stock.mean(axis=1, keepdims=True), settings.members, axis=1)
    thickness = (layers["bottom"] - layers["top"]).to_numpy()
    log_k, (spread, fast, _) = turnover.log_k.astype(float), turnover.shape(layers)
    ibulk = stock * input_rate(log_k, spread, fast)
    drawn = {"stock": stock, "ibulk": ibulk, "s": spread}
    drawn["ibulk_t100"] = stock * persisting_rate(log_k, spread, 100, fast)
    write_csv(settings.out / "tables" / "layers.csv", layers_table(layers, turnover.layers, found, drawn))
    write_csv(settings.out / "tables" / "stock_sources.csv", pd.DataFrame([vars(s) for s in sources]))
    density = ibulk / thickness[:, None]
    measured = harmonise_measured(inputs, found, density)
    standard = measured
    by_profile = "profile", "depth", "draw"
    draws: dict[str, Any] = {}
    if turnover.fit is not None:
        other = predicted.standard if predicted else standard_stock_draws(inputs, sources, settings)
        rate = turnover.fit.rate(standard_log_k(inputs, turnover, settings).T, standard_layers(layers)).T
        standard = np.where(np.isfinite(measured), measured, (other * rate).reshape(measured.shape))
        draws["standard_stock"] = by_profile, other.reshape(measured.shape)
    draws |= {
        "stock": (("layer", "draw"), stock),
        "density": (("layer", "draw"), density),
        "measured": (by_profile, measured),
        "standard": (by_profile, standard),
    }
    return BulkInput(xr.Dataset(draws, coords={"depth": list(LAYER_NAMES)}), found, sources)


def of_the_model(stocks: pd.DataFrame, draws: NDArray[np.float64]) -> pd.DataFrame:
    """The result of `layer_stocks` with what the stock model says, from its draws, (layer, draw)."""
    source = stocks["stock_source"].where(stocks["stock_source"] == "measured", "stock model")
    log_sd = np.log(draws).std(axis=1)
    return stocks.assign(stock=np.median(draws, axis=1), stock_log_sd=log_sd, stock_source=source)


def informing(source: StockSource, layers: pd.DataFrame) -> StockSource:
    """The same with the number of layers that the stock model predicts with it."""
    column = {"gridded profile": "stock_gridded", "gridded metre": "stock_metre"}.get(source.name, SOIL_MAP_STOCKS[0])
    return replace(source, layers=int((layers[column].notna() & layers["stock_measured"].isna()).sum()))


def stocks_of(inputs: Inputs, settings: RunSettings) -> Literal["calibrated", "soil_map"]:
    """What is used where stocks were not measured and there is no stock model: the soil map, if the settings choose it
    and there is one, else gridded stocks less their median bias.
    """
    there = inputs.layers[SOIL_MAP_STOCKS].notna().any(axis=None)
    return "soil_map" if there and settings.gridded_stocks == "soil_map" else "calibrated"


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


def standard_log_k(inputs: Inputs, turnover: LayerTurnover, settings: RunSettings) -> NDArray[Any]:
    """log k of the seven layers of every profile, in the order of `standard_layers`, from the turnover posterior of the
    profile: (layer, draw).
    """
    assert turnover.fit is not None
    effect, seed = turnover.layers["effect"].values, step_seed(settings, "standard layers")
    return extend_profiles(turnover.fit, effect, standard_layers(inputs.layers), seed=seed).T


def standard_stock_draws(inputs: Inputs, sources: list[StockSource], settings: RunSettings) -> NDArray[np.float64]:
    """Stocks of the same layers from the source of their own, (layer, draw), Mg C ha⁻¹."""
    layers = standard_layers(inputs.layers)
    found, _ = layer_stocks(layers, sources, stocks_of(inputs, settings))
    profile, rng = layers["profile_index"].to_numpy(), step_rng(settings, "standard stocks")
    return stock_draws(found, profile, gridded_errors(inputs, settings), rng)


BULK_INPUT = Step(
    "bulk_input", infer_bulk_input, ("inputs", "turnover", "stocks"), ("members", "turnover_prior", "gridded_stocks")
)
