"""Carbon that reaches bulk soil: I_bulk = C_stock x k (paper, eq. 6), draw by draw, and its harmonisation to the seven
layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import median_abs_deviation

from ..constants import LAYERS
from ..data.israd import GRIDDED_STOCKS
from ..data.mapping_units import SOIL_MAP_STOCKS

GRIDDED_LOG_SD = 0.8
"""Error of a gridded stock in one layer of one site (log scale), for use where too few layers are measured to estimate
it: products like SoilGrids have an R² of about 0.4–0.6 for carbon density of profiles.
"""

MIN_COMPARISONS = 30
"""Number of layers with both a measured and a gridded stock from which bias and error of the latter are estimated."""

TOP_SHARE = {1: 0.50, 2: 0.42, 3: 0.50, 4: 0.42, 5: 0.33, 6: 0.50, 7: 0.42, 8: 0.33, 9: 0.42}
"""Share of the first metre's carbon in its top 20 cm, by biome: forests 0.50, grasslands 0.42, shrublands 0.33 (Jobbágy
& Jackson 2000).
"""

SECOND_METRE = 491 / 1502
"""Carbon of the second metre over that of the first, global (Jobbágy & Jackson 2000)."""


SOURCES = {"calibrated": ("gridded profile", "gridded metre"), "soil_map": ("soil map",)}
"""Sources that are used where stocks were not measured, best first, for each value of the setting `gridded_stocks`."""


@dataclass(frozen=True)
class StockSource:
    """How a source of layer stocks compares with measured layers: log bias (removed, except from a soil map) and log
    sd (kept).
    """

    name: str
    layers: int
    compared: int
    log_bias: float
    log_sd: float


def metre_share(depth: NDArray[np.float64], biome: NDArray[np.int64]) -> NDArray[np.float64]:
    """Carbon above a depth (cm, to 200) over that of the first metre: exponential in the first metre, even in the
    second.
    """
    top = np.array([TOP_SHARE[int(b)] for b in biome])
    # 20 cm hold the share `top` of the metre: 1 - q = top (1 - q^5) with q = exp(-20/z), solved by fixed-point steps.
    q = 1 - top
    for _ in range(60):
        q = 1 - top * (1 - q**5)
    first = (1 - q ** (np.minimum(depth, 100) / 20)) / (1 - q**5)
    return first + SECOND_METRE * np.clip(depth - 100, 0, 100) / 100


def layer_share(layers: pd.DataFrame) -> NDArray[np.float64]:
    """Carbon of each layer over that of the first metre at its site (`metre_share`)."""
    biome = layers["biome"].to_numpy(int)
    return metre_share(layers["bottom"].to_numpy(float), biome) - metre_share(layers["top"].to_numpy(float), biome)


def soil_map_stock(layers: pd.DataFrame) -> NDArray[np.float64]:
    """Stock of each layer, Mg C ha⁻¹, from the soil map's seven layers at its site: the parts of these that lie in the
    layer, added up.

    Parameters
    ----------
    layers : DataFrame
        `top`, `bottom` (cm, to 200) and `SOIL_MAP_STOCKS`; a layer has no stock if a soil-map layer that
        it reaches into has none.
    """
    upper, lower = np.array(LAYERS, float).T
    top, bottom = (layers[c].to_numpy(float)[:, None] for c in ("top", "bottom"))
    part = np.clip(np.minimum(bottom, lower) - np.maximum(top, upper), 0, None) / (lower - upper)
    return np.where(part > 0, part * layers[SOIL_MAP_STOCKS].to_numpy(float), 0).sum(axis=1)


def gridded_layers(layers: pd.DataFrame, metres: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Stock of each layer, Mg C ha⁻¹, from every gridded source, by its name; NaN where it has none.

    Parameters
    ----------
    layers : DataFrame
        As in `layer_stocks`.
    metres : mapping of str to ndarray
        Stocks of the first metre at each layer's site, Mg C ha⁻¹, which are distributed over depth.
    """
    found = {"gridded profile": layers["stock_gridded"].to_numpy(float)}
    if set(SOIL_MAP_STOCKS) <= set(layers):
        found["soil map"] = soil_map_stock(layers)
    share = layer_share(layers)
    return found | {name: stock * share for name, stock in metres.items()}


def layer_stocks(
    layers: pd.DataFrame,
    known: list[StockSource] | None = None,
    gridded: Literal["calibrated", "soil_map"] = "calibrated",
) -> tuple[pd.DataFrame, list[StockSource]]:
    """Median stock and its error in each layer: measured, else that of the gridded profile, else that of the gridded
    metre, distributed over depth. With `gridded="soil_map"`: measured, else that of the soil map.

    Parameters
    ----------
    layers : DataFrame
        `stock_measured`, `stock_measured_log_sd`, `stock_gridded` (Mg C ha⁻¹), `stock_metre` (Mg C ha⁻¹ in 0–100 cm),
        `top`, `bottom` (cm), `biome` (1–9), and, if there is a soil map, `SOIL_MAP_STOCKS`.
    known : list of StockSource, optional
        Bias and error of the gridded sources, if these are known from other layers.
    gridded : {"calibrated", "soil_map"}
        What is used where stocks were not measured: gridded profile and metre, less their bias, or the soil map,
        uncorrected.

    Returns
    -------
    stocks : DataFrame
        `stock` (Mg C ha⁻¹; NaN where no source has one), `stock_log_sd`, `stock_source`.
    sources : list of StockSource
        Bias and error of the gridded sources.
    """
    measured = layers["stock_measured"].to_numpy(float)
    stock, log_sd = measured.copy(), layers["stock_measured_log_sd"].to_numpy(float).copy()
    source = np.where(np.isfinite(measured), "measured", "none").astype(object)
    sources = []
    candidates = {
        "gridded profile": layers["stock_gridded"].to_numpy(float),
        "gridded metre": layers["stock_metre"].to_numpy(float) * layer_share(layers),
    }
    if set(SOIL_MAP_STOCKS) <= set(layers):
        candidates["soil map"] = soil_map_stock(layers)
    for name, values in candidates.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.log(measured / values)
        ratio = ratio[np.isfinite(ratio)]
        enough = len(ratio) >= MIN_COMPARISONS
        bias = float(np.median(ratio)) if enough else 0.0
        sd = float(median_abs_deviation(ratio, scale="normal")) if enough else GRIDDED_LOG_SD
        for source_known in known or []:
            if source_known.name == name:
                bias, sd = source_known.log_bias, source_known.log_sd
        use = ~np.isfinite(stock) & (values > 0) & (name in SOURCES[gridded])
        removed = 0.0 if name == "soil map" else bias
        stock[use], log_sd[use], source[use] = values[use] * np.exp(removed), sd, name
        sources.append(StockSource(name, int(use.sum()), len(ratio), bias, sd))
    return pd.DataFrame({"stock": stock, "stock_log_sd": log_sd, "stock_source": source}, index=layers.index), sources


def standard_layers(layers: pd.DataFrame) -> pd.DataFrame:
    """The seven standard layers of every profile: columns of the site (from its first layer), `top`, `bottom`, and a
    measured stock where measured layers cover the standard one (`harmonise`), and that of the gridded profile; sorted
    by `profile_index`, then depth.
    """
    profiles = layers.drop_duplicates("profile_index").sort_values("profile_index", ignore_index=True)
    thickness = (layers["bottom"] - layers["top"]).to_numpy(float)
    known = layers["stock_measured"].notna().to_numpy()
    density, log_sd = (layers[c].to_numpy(float)[known] for c in ("stock_measured", "stock_measured_log_sd"))
    values = np.stack([density / thickness[known], log_sd], axis=1)
    here = layers[known]
    covered = harmonise(
        here["top"].to_numpy(float),
        here["bottom"].to_numpy(float),
        here["profile_index"].to_numpy(),
        values,
        len(profiles),
    )
    out = profiles.loc[profiles.index.repeat(len(LAYERS))].reset_index(drop=True)
    top, bottom = np.tile(LAYERS, (len(profiles), 1)).astype(float).T
    return out.assign(
        top=top,
        bottom=bottom,
        delta14c=np.nan,
        stock_measured=covered[:, :, 0].ravel(),
        stock_measured_log_sd=covered[:, :, 1].ravel() / (bottom - top),
        stock_gridded=profiles[GRIDDED_STOCKS].to_numpy(float).ravel()
        if set(GRIDDED_STOCKS) <= set(layers)
        else np.nan,
        coarse=np.nan,
    )


def stock_draws(
    stocks: pd.DataFrame, profile: NDArray[np.int64], gridded: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draws of the stock, (layer, draw), Mg C ha⁻¹: log-normal about the median.

    Errors of measured layers are independent; the layers of a gridded profile share their error, which is its row of
    `gridded`, standard normal, (profile, draw).
    """
    own = rng.standard_normal((len(stocks), gridded.shape[1]))
    z = np.where((stocks["stock_source"] == "measured").to_numpy()[:, None], own, gridded[profile])
    return stocks["stock"].to_numpy()[:, None] * np.exp(stocks["stock_log_sd"].to_numpy()[:, None] * z)


def harmonise(
    top: NDArray[np.float64],
    bottom: NDArray[np.float64],
    profile: NDArray[np.int64],
    density: NDArray[np.float64],
    profiles: int,
    *,
    cover: float = 0.8,
) -> NDArray[np.float64]:
    """I_bulk of the seven standard layers from measured layers of any bounds.

    A standard layer takes the mean density of the measured layers that overlap it, weighted by the overlap, where they
    cover at least the share `cover` of it.

    Parameters
    ----------
    top, bottom : ndarray
        Bounds of the layers, cm, (layer,).
    profile : ndarray
        Index of the layer's profile, (layer,).
    density : ndarray
        I_bulk per cm of depth, (layer, draw).
    profiles : int
        Number of profiles.

    Returns
    -------
    ndarray
        I_bulk, (profile, 7, draw); NaN where a standard layer is not covered.
    """
    out = np.full((profiles, len(LAYERS), density.shape[1]), np.nan)
    for j, (upper, lower) in enumerate(LAYERS):
        overlap = np.clip(np.minimum(bottom, lower) - np.maximum(top, upper), 0, None)
        use = overlap > 0
        weight = np.bincount(profile[use], overlap[use], profiles)
        summed = np.zeros((profiles, density.shape[1]))
        np.add.at(summed, profile[use], overlap[use, None] * density[use])
        covered = _covered(top[use], bottom[use], profile[use], profiles, upper, lower) >= cover * (lower - upper)
        out[covered, j] = summed[covered] / weight[covered, None] * (lower - upper)
    return out


def _covered(
    top: NDArray, bottom: NDArray, profile: NDArray, profiles: int, upper: float, lower: float
) -> NDArray[np.float64]:
    """Centimetres of [upper, lower] that at least one layer of each profile covers: overlaps count once."""
    covered = np.zeros(profiles)
    reached = np.full(profiles, upper, float)
    for i in np.lexsort((top, profile)):
        p = profile[i]
        start, end = max(top[i], reached[p]), min(bottom[i], lower)
        if end > start:
            covered[p] += end - start
            reached[p] = end
    return covered
