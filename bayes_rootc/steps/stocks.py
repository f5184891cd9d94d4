"""Stocks of the layers of a run: measured, or predicted by the model that measured ones are fitted with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.folder import Inputs, metre_stocks
from ..models.bulk_input import MIN_COMPARISONS, gridded_layers, standard_layers
from ..progress import Progress
from ..settings import RunSettings, step_seed
from .engine import Step
from .record import write_diagnostics

if TYPE_CHECKING:
    from ..inference.stocks import Stocks

LEAST_DRAWS = 300
"""Draws of each chain."""

COLUMNS = {"stock": "stock_measured", "stock_error": "stock_measured_log_sd"}


def fit_stocks(inputs: Inputs, settings: RunSettings, progress: Progress | None = None) -> None:
    """Fits measured stocks on gridded ones, depth and biome, and writes `posterior/stocks.nc`; nothing where the
    settings want no model, or where fewer than `MIN_COMPARISONS` layers have a measured stock.
    """
    from ..inference.stocks import Stocks

    path = posterior_file(settings)
    path.unlink(missing_ok=True)
    if settings.gridded_stocks != "model":
        return
    table = stock_table(inputs, inputs.layers)
    both = table[table["stock_measured"].notna()].count()
    if both["stock_measured"] < MIN_COMPARISONS:
        return
    names = gridded_layers(inputs.layers, metre_stocks(inputs.layers, inputs.covariates))
    stocks = Stocks(
        [name for name in names if both[name] >= MIN_COMPARISONS],
        columns=COLUMNS,
        chains=settings.chains,
        draws=max(LEAST_DRAWS, -(-settings.members // settings.chains)),
        seed=step_seed(settings, "stocks"),
    ).fit(table, until_good=not settings.quick, progress=progress)
    stocks.save(path)
    (row,) = stocks.check()["diagnostics"].to_dict("records")
    write_diagnostics(settings, {str(name): value for name, value in row.items()})


def posterior_file(settings: RunSettings) -> Path:
    """The fit of a run."""
    return settings.out / "posterior" / "stocks.nc"


def read_stocks(settings: RunSettings) -> Stocks | None:
    """The fit of a run; none where it has none. A run uses the file, not what is in memory, so a resumed run ends the
    same.
    """
    from ..inference.stocks import Stocks

    path = posterior_file(settings)
    return Stocks.load(path) if settings.gridded_stocks == "model" and path.is_file() else None


def stock_table(inputs: Inputs, layers: pd.DataFrame) -> pd.DataFrame:
    """Layers as `Stocks` takes them: with a column for each gridded source, by its name."""
    gridded = gridded_layers(layers, metre_stocks(layers, inputs.covariates))
    columns = ["study", "site", "profile", "lat", "lon", "biome", "top", "bottom", "coarse", "coarse_gridded"]
    return layers[[*columns, *COLUMNS.values()]].assign(**gridded)


class StockDraws(NamedTuple):
    """Stocks of the radiocarbon layers and of the seven layers of every profile, (layer, draw), Mg C ha⁻¹."""

    layers: NDArray[np.float64]
    standard: NDArray[np.float64]


def draw_stocks(stocks: Stocks, inputs: Inputs, members: int) -> StockDraws:
    """Draws from the stock model, of measured layers given their own stock; layers of one profile, and profiles of one
    study, err together in both.
    """
    own, standard = stock_table(inputs, inputs.layers), stock_table(inputs, standard_layers(inputs.layers))
    drawn = stocks.predict(pd.concat([own, standard], ignore_index=True), draws=members)["stock"].values.T
    found, measured = StockDraws(drawn[: len(own)], drawn[len(own) :]), stocks.layers(draws=members)
    found.layers[measured["row"].values] = measured["stock"].values.T
    return found


STOCKS = Step(
    "stocks",
    fit_stocks,
    ("inputs",),
    ("gridded_stocks", "chains", "members"),
    ("posterior/stocks.nc",),
    read=read_stocks,
    wanted=lambda settings: settings.gridded_stocks == "model",
)
