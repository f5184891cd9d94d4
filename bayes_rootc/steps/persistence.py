"""How much of the carbon that enters bulk soil stays, and for how long: by biome and depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..constants import BIOMES, LAYER_NAMES, LAYERS, PROFILE_NAME
from ..data.folder import Inputs
from ..estimates import GLOBAL
from ..files import write_csv
from ..inference.sampling import summarise
from ..inference.turnover_fit import extend_profiles
from ..models.bulk_input import harmonise, layer_stocks, standard_layers, stock_draws
from ..models.rates import PERSISTING, mean_age, persisting_rates
from ..progress import Progress
from ..settings import RunSettings, step_rng, step_seed
from .bulk_input import BulkInput, gridded_errors, measured_stock_draws, stocks_of
from .engine import Step
from .turnover import LayerTurnover

TABLE = "tables/persistence.csv"

DRAWS = 200
"""Number of draws from which the table is made: enough for an interval, and few enough to be quick."""


@dataclass(frozen=True)
class Persistence:
    """Carbon of the seven layers of every profile, (profile, 7, draw).

    Attributes
    ----------
    stock : ndarray
        Mg C ha⁻¹.
    aged : ndarray
        Stock times its mean age, Mg C yr ha⁻¹.
    input : dict of int to ndarray
        Input that stays longer than each number of years (the key), Mg C ha⁻¹ yr⁻¹.
    """

    stock: NDArray[np.float64]
    aged: NDArray[np.float64]
    input: dict[int, NDArray[np.float64]]


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


def persistence_of(
    inputs: Inputs, turnover: LayerTurnover, bulk_input: BulkInput, settings: RunSettings
) -> Persistence:
    """Each of the seven layers from measured layers where these cover it, else from the posterior of the profile."""
    assert turnover.fit is not None
    layers, standard = inputs.layers, standard_layers(inputs.layers)
    some = np.arange(DRAWS) * settings.members // DRAWS if settings.members > DRAWS else np.arange(settings.members)
    effect, seed = turnover.layers["effect"].values, step_seed(settings, "standard layers")
    extended = extend_profiles(turnover.fit, effect, standard, seed=seed)
    stocks, _ = layer_stocks(standard, bulk_input.sources, stocks_of(inputs, settings))
    profile = standard["profile_index"].to_numpy()
    rng = step_rng(settings, "standard stocks")
    stock = stock_draws(stocks, profile, gridded_errors(inputs, settings), rng)[:, some]
    known = bulk_input.stocks["stock"].notna().to_numpy()
    thickness = (layers["bottom"] - layers["top"]).to_numpy()[known, None]
    measured = measured_stock_draws(inputs, bulk_input.stocks, settings)[known][:, some] / thickness
    parts = [
        _per_stock(turnover.log_k[known].T, turnover, layers[known], some),
        _per_stock(extended, turnover, standard, some),
    ]
    bounds = (layers[name].to_numpy()[known] for name in ("top", "bottom", "profile_index"))
    top, bottom, index = bounds
    profiles = int(profile.max()) + 1

    def joined(name: str) -> NDArray[np.float64]:
        own = harmonise(top, bottom, index, measured * parts[0][name], profiles)
        other = (stock * parts[1][name]).reshape(profiles, len(LAYERS), len(some))
        return np.where(np.isfinite(own), own, other)

    return Persistence(joined("stock"), joined("aged"), {years: joined(f"input {years}") for years in PERSISTING})


def _per_stock(
    log_k: NDArray[np.floating], turnover: LayerTurnover, layers: pd.DataFrame, some: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Each quantity of `Persistence` per stock, (layer, draw), from log k, (draw, layer)."""
    assert turnover.fit is not None
    spread = turnover.fit.spread(layers, len(log_k))[some]
    centre = np.asarray(log_k, float)[some]
    found = {"stock": np.ones(centre.T.shape), "aged": mean_age(centre, spread).T}
    rates = persisting_rates(centre, spread)
    return found | {f"input {years}": rates[years].T for years in PERSISTING}


def persistence_table(found: Persistence, inputs: Inputs, turnover: LayerTurnover) -> pd.DataFrame:
    """`tables/persistence.csv`: one row for each quantity, biome and layer, the profile last.

    `ibulk` is the input that stays longer than `years`, Mg C ha⁻¹ yr⁻¹, as mean over profiles; `age` and `transit_time`
    (yr) are means over all their carbon. `family` is the assumed distribution of rates within a layer.
    """
    assert turnover.fit is not None
    family = "many rates" if turnover.fit.model.inferred or turnover.fit.model.pool_spread else "one pool"
    biome = inputs.layers.drop_duplicates("profile_index").sort_values("profile_index")["biome"].to_numpy(int)
    rows = []
    for number, biome_name in {0: GLOBAL, **BIOMES}.items():
        here = np.isfinite(found.stock).all(axis=(1, 2)) & ((biome == number) | (number == 0))
        if not here.any():
            continue
        for layer, name in enumerate((*LAYER_NAMES, PROFILE_NAME)):
            where = slice(None) if name == PROFILE_NAME else slice(layer, layer + 1)

            values = (found.stock, found.aged, *found.input.values())
            stock, aged, *entering = (v[here, where].sum(axis=1).mean(axis=0) for v in values)
            first = {"family": family, "biome": number, "biome_name": biome_name, "layer": name, "n": int(here.sum())}
            for quantity, unit, years, draws in (
                *(("ibulk", "Mg C ha-1 yr-1", t, v) for t, v in zip(found.input, entering, strict=True)),
                ("age", "yr", np.nan, aged / stock),
                ("transit_time", "yr", np.nan, stock / entering[0]),
            ):
                summary = {key: float(value) for key, value in summarise(draws).items()}
                rows.append(first | {"quantity": quantity, "years": years, "unit": unit} | summary)
    return pd.DataFrame(rows)


PERSISTENCE = Step("persistence", infer_persistence, ("inputs", "turnover", "bulk_input"), ("members",), (TABLE,))
