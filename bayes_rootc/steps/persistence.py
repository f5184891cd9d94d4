"""How much of the carbon that enters bulk soil stays, and for how long: by estimate, biome and depth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import BIOMES, LAYER_NAMES, PROFILE_NAME
from ..data.folder import Inputs
from ..estimates import GLOBAL, of_biome
from ..files import write_csv
from ..inference.sampling import summarise
from ..inference.turnover_fit import under_wider_priors
from ..models.bulk_input import standard_layers
from ..models.rates import PERSISTING, mean_age, persisting_rates
from ..progress import Progress
from ..settings import RunSettings
from .bulk_input import BulkInput, harmonise_measured, standard_log_k
from .engine import Step
from .ladder import ONE_POOL, WIDER, ladder_table, rungs
from .turnover import LayerTurnover

TABLES = ("tables/persistence.csv", "tables/transit_times.csv", "tables/ladder.csv")

DRAWS = 200
"""Number of draws from which the tables are made: enough for an interval, and few enough to be quick."""

MEAN = "mean"
"""Estimate that is the mean of the two others."""


def infer_persistence(
    inputs: Inputs,
    turnover: LayerTurnover,
    rates: dict[str, LayerTurnover],
    bulk_input: BulkInput,
    estimates: list[xr.Dataset],
    settings: RunSettings,
    progress: Progress | None = None,
) -> None:
    """Writes `tables/persistence.csv`, `tables/transit_times.csv` and `tables/ladder.csv`; nothing where layers were
    inverted one by one, so that others are unknown.
    """
    paths = [settings.out / table for table in TABLES]
    if turnover.fit is None:
        for path in paths:
            path.unlink(missing_ok=True)
        return
    fits = dict(rates)
    fits.setdefault(_family(turnover), turnover)
    fitted = {family: persistence_of(inputs, fit, bulk_input, settings) for family, fit in fits.items()}
    families = {family: found["input"].values for family, found in fitted.items()}
    here = [e for e in estimates if e.attrs["sites"] == "Δ14C"]
    transit = pd.concat([transit_table(found, family, inputs) for family, found in fitted.items()], ignore_index=True)
    for path, table in zip(paths, (persistence_table(families, here, inputs, settings), transit), strict=False):
        write_csv(path, table)
    paths[-1].unlink(missing_ok=True)
    if parts := _at_profiles(families, here, inputs, settings):
        means = {
            family: np.mean([staying[:, profiles].mean(axis=1) for _, profiles, _ in parts], axis=0)
            for family, staying in families.items()
        }
        root = np.mean([root for _, _, root in parts], axis=0)
        some = _some(settings)
        wider = {
            family: under_wider_priors({n: v[some] for n, v in fit.fit.draws(settings.members).items()}, WIDER)
            for family, fit in fits.items()
            if fit.fit is not None
        }
        write_csv(paths[-1], ladder_table(rungs(root, means, wider, inputs, bulk_input, some, settings)))


def _family(turnover: LayerTurnover) -> str:
    assert turnover.fit is not None
    return turnover.fit.model.family if turnover.fit.model.pool_spread else ONE_POOL


def persistence_of(inputs: Inputs, turnover: LayerTurnover, bulk_input: BulkInput, settings: RunSettings) -> xr.Dataset:
    """Carbon of the seven layers of every profile: from measured layers where these cover one, else from the posterior
    of the profile.

    Returns
    -------
    Dataset
        Over `profile`, `depth` and `draw`: `stock` (Mg C ha⁻¹), `aged`, the stock times its mean age (Mg C yr ha⁻¹),
        and, over `time` (yr) as well, `input` that stays longer (Mg C ha⁻¹ yr⁻¹).
    """
    some = _some(settings)
    stock, standard_stock = (bulk_input.draws[name].values[..., some] for name in ("stock", "standard_stock"))
    thickness = (inputs.layers["bottom"] - inputs.layers["top"]).to_numpy()[:, None]
    measured = _per_stock(turnover.log_k, inputs.layers, turnover, some)
    extended = _per_stock(standard_log_k(inputs, turnover, settings), standard_layers(inputs.layers), turnover, some)

    def joined(name: str) -> xr.DataArray:
        own = harmonise_measured(inputs, bulk_input.stocks, stock * measured[name] / thickness)
        other = standard_stock * extended[name].reshape(own.shape)
        return xr.DataArray(np.where(np.isfinite(own), own, other), dims=("profile", "depth", "draw"))

    staying = xr.concat([joined(f"input {years}") for years in PERSISTING], pd.Index(PERSISTING, name="time"))
    return xr.Dataset({"stock": joined("stock"), "aged": joined("aged"), "input": staying})


def _some(settings: RunSettings) -> NDArray[np.int64]:
    """Draws, of those that a run keeps, from which the tables are made."""
    count = min(DRAWS, settings.members)
    return np.arange(count) * settings.members // count


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


def persistence_table(
    families: dict[str, NDArray[np.float64]], estimates: list[xr.Dataset], inputs: Inputs, settings: RunSettings
) -> pd.DataFrame:
    """`tables/persistence.csv`: how much of I_root stays longer than `t_years`, by biome and layer, the profile last.

    Parameters
    ----------
    families : dict of str to ndarray
        By assumed distribution of rates within a layer, the input that stays longer than each time: (time, profile,
        depth, draw).
    estimates : list of Dataset
        Estimates of I_root at radiocarbon profiles; the rows `mean` have the mean of them.
    inputs, settings
        Those of the run.
    """
    rows: list[dict[str, object]] = []
    for biome, biome_name in {0: GLOBAL, **BIOMES}.items():
        parts = _at_profiles(families, estimates, inputs, settings, biome)
        for family, staying in families.items():
            found = [(name, len(here), root, staying[:, here].mean(axis=1)) for name, here, root in parts]
            if found:
                counts, roots, inputs_ = list(zip(*found, strict=True))[1:]
                found.append((MEAN, max(counts), np.mean(roots, axis=0), np.mean(inputs_, axis=0)))
            for name, count, root, input_ in found:
                first = {"family": family, "estimate": name, "biome": biome, "biome_name": biome_name}
                rows += [first | row for row in _staying(root, input_, count)]
    return pd.DataFrame(rows)


def _at_profiles(
    families: dict[str, NDArray[np.float64]],
    estimates: list[xr.Dataset],
    inputs: Inputs,
    settings: RunSettings,
    biome: int = 0,
) -> list[tuple[str, NDArray[np.int64], NDArray[np.float64]]]:
    """Number, profiles whose carbon is known, and their mean I_root, (depth, draw), for each estimate."""
    some, profiles, parts = _some(settings), _profiles(inputs), []
    known = np.isfinite(next(iter(families.values()))).all(axis=(0, 2, 3))
    place = pd.Series(profiles.index, profiles["profile"])[known]
    for estimate in (of_biome(e, biome) for e in estimates):
        there = np.isin(estimate["id"].values, place.index)
        if there.any():
            root = estimate["iroot"].values[there][..., some].mean(axis=0, dtype=float)
            parts.append((str(estimate.attrs["estimate"]), place[estimate["id"].values[there]].to_numpy(), root))
    return parts


def _staying(root: NDArray[np.float64], staying: NDArray[np.float64], count: int) -> Iterator[dict[str, object]]:
    """Rows of `persistence.csv`, from mean I_root, (depth, draw), and mean I_bulk, (time, depth, draw)."""
    for layer, name in enumerate((*LAYER_NAMES, PROFILE_NAME)):
        where = slice(None) if name == PROFILE_NAME else slice(layer, layer + 1)
        iroot = root[where].sum(axis=0)
        for years, by_layer in zip(PERSISTING, staying, strict=True):
            ibulk = by_layer[where].sum(axis=0)
            quantities = {"iroot": iroot, "ibulk": ibulk, "iloss": iroot - ibulk, "share": 1 - ibulk / iroot}
            yield {"layer": name, "n": count, "t_years": years} | {
                f"{quantity}_{key}": float(value)
                for quantity, draws in quantities.items()
                for key, value in summarise(draws).items()
            }


def transit_table(found: xr.Dataset, family: str, inputs: Inputs) -> pd.DataFrame:
    """`tables/transit_times.csv`: mean age of all carbon and mean transit time (yr) by biome and layer, the profile
    last.
    """
    biome, stocks = _profiles(inputs)["biome"].to_numpy(int), found["stock"].values
    values, rows = (stocks, found["aged"].values, found["input"].values[0]), []
    for number, name_of_biome in {0: GLOBAL, **BIOMES}.items():
        here = np.isfinite(stocks).all(axis=(1, 2)) & ((biome == number) | (number == 0))
        if not here.any():
            continue
        for layer, name in enumerate((*LAYER_NAMES, PROFILE_NAME)):
            where = slice(None) if name == PROFILE_NAME else slice(layer, layer + 1)
            stock, aged, entering = (v[here, where].sum(axis=1).mean(axis=0) for v in values)
            first = {"family": family, "biome": number, "biome_name": name_of_biome, "layer": name, "n": here.sum()}
            quantities = {"age": aged / stock, "transit_time": stock / entering}
            rows.append(
                first
                | {
                    f"{quantity}_{key}": float(value)
                    for quantity, draws in quantities.items()
                    for key, value in summarise(draws).items()
                }
            )
    return pd.DataFrame(rows)


def _profiles(inputs: Inputs) -> pd.DataFrame:
    """One row a profile, in the order of `profile_index`."""
    return inputs.layers.drop_duplicates("profile_index").sort_values("profile_index", ignore_index=True)


PERSISTENCE = Step(
    "persistence",
    infer_persistence,
    ("inputs", "turnover", "rates", "bulk_input", "estimates"),
    ("members",),
    TABLES,
)
