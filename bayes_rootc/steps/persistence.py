"""How much of the carbon that enters bulk soil stays, and for how long: by biome and depth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import BIOMES, LAYER_NAMES, PROFILE_NAME
from ..data.folder import Inputs
from ..estimates import GLOBAL
from ..files import write_csv
from ..inference.sampling import summarise
from ..models.bulk_input import standard_layers
from ..models.rates import PERSISTING, mean_age, persisting_rates
from ..progress import Progress
from ..settings import RunSettings
from .bulk_input import BulkInput, harmonise_measured, measured_stock_draws, standard_draws
from .engine import Step
from .turnover import LayerTurnover

TABLE = "tables/persistence.csv"

DRAWS = 200
"""Number of draws from which the table is made: enough for an interval, and few enough to be quick."""


def infer_persistence(
    inputs: Inputs,
    turnover: LayerTurnover,
    bulk_input: BulkInput,
    settings: RunSettings,
    progress: Progress | None = None,
) -> None:
    """Writes `tables/persistence.csv`; nothing where layers were inverted one by one, so that others are unknown."""
    path = settings.out / TABLE
    if turnover.fit is None:
        path.unlink(missing_ok=True)
        return
    write_csv(path, persistence_table(persistence_of(inputs, turnover, bulk_input, settings), inputs, turnover))


def persistence_of(inputs: Inputs, turnover: LayerTurnover, bulk_input: BulkInput, settings: RunSettings) -> xr.Dataset:
    """Carbon of the seven layers of every profile: from measured layers where these cover one, else from the posterior
    of the profile.

    Returns
    -------
    Dataset
        Over `profile`, `depth` and `draw`: `stock` (Mg C ha⁻¹), `aged`, the stock times its mean age (Mg C yr ha⁻¹),
        and, over `time` (yr) as well, `input` that stays longer (Mg C ha⁻¹ yr⁻¹).
    """
    count = min(DRAWS, settings.members)
    some = np.arange(count) * settings.members // count
    standard = standard_draws(inputs, turnover, bulk_input.sources, settings)
    stock = measured_stock_draws(inputs, bulk_input.stocks, settings)[:, some]
    thickness = (inputs.layers["bottom"] - inputs.layers["top"]).to_numpy()[:, None]
    measured = _per_stock(turnover.log_k, inputs.layers, turnover, some)
    extended = _per_stock(standard["log_k"].values, standard_layers(inputs.layers), turnover, some)

    def joined(name: str) -> xr.DataArray:
        own = harmonise_measured(inputs, bulk_input.stocks, stock * measured[name] / thickness)
        other = (standard["stock"].values[:, some] * extended[name]).reshape(own.shape)
        return xr.DataArray(np.where(np.isfinite(own), own, other), dims=("profile", "depth", "draw"))

    staying = xr.concat([joined(f"input {years}") for years in PERSISTING], pd.Index(PERSISTING, name="time"))
    return xr.Dataset({"stock": joined("stock"), "aged": joined("aged"), "input": staying})


def _per_stock(
    log_k: NDArray[np.floating], layers: pd.DataFrame, turnover: LayerTurnover, some: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """What `persistence_of` has of a layer over its stock, (layer, draw), in some of the draws of log k."""
    assert turnover.fit is not None
    centre, shape = log_k[:, some].T.astype(float), turnover.fit.shape(layers, log_k.shape[1]).of(some)
    rates = persisting_rates(centre, shape.spread, shape.fast)
    return {"stock": np.ones(centre.shape).T, "aged": mean_age(centre, shape.spread, shape.fast).T} | {
        f"input {years}": rate.T for years, rate in rates.items()
    }


def persistence_table(found: xr.Dataset, inputs: Inputs, turnover: LayerTurnover) -> pd.DataFrame:
    """`tables/persistence.csv`: one row for each quantity, biome and layer, the profile last.

    `ibulk` is the input that stays longer than `years`, Mg C ha⁻¹ yr⁻¹, as mean over profiles; `age` and `transit_time`
    (yr) are means over all their carbon. `family` is the assumed distribution of rates within a layer.
    """
    assert turnover.fit is not None
    family = turnover.fit.model.family if turnover.fit.model.pool_spread else "one pool"
    biome = inputs.layers.drop_duplicates("profile_index").sort_values("profile_index")["biome"].to_numpy(int)
    stocks, times = found["stock"].values, found["time"].values
    values = (stocks, found["aged"].values, *found["input"].values)
    rows = []
    for number, biome_name in {0: GLOBAL, **BIOMES}.items():
        here = np.isfinite(stocks).all(axis=(1, 2)) & ((biome == number) | (number == 0))
        if not here.any():
            continue
        for layer, name in enumerate((*LAYER_NAMES, PROFILE_NAME)):
            where = slice(None) if name == PROFILE_NAME else slice(layer, layer + 1)
            stock, aged, *entering = (v[here, where].sum(axis=1).mean(axis=0) for v in values)
            first = {"family": family, "biome": number, "biome_name": biome_name, "layer": name, "n": int(here.sum())}
            for quantity, unit, years, draws in (
                *(("ibulk", "Mg C ha-1 yr-1", t, v) for t, v in zip(times, entering, strict=True)),
                ("age", "yr", np.nan, aged / stock),
                ("transit_time", "yr", np.nan, stock / entering[0]),
            ):
                summary = {key: float(value) for key, value in summarise(draws).items()}
                rows.append(first | {"quantity": quantity, "years": years, "unit": unit} | summary)
    return pd.DataFrame(rows)


PERSISTENCE = Step("persistence", infer_persistence, ("inputs", "turnover", "bulk_input"), ("members",), (TABLE,))
