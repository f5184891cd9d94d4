"""The ladder: how much root carbon is lost under each choice that the data do not make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..balance import PARTS, Part, balanced
from ..data.atmosphere import Prehistory
from ..data.folder import Inputs
from ..inference.sampling import summarise
from ..inference.turnover_fit import taken_by
from ..models.bulk_input import layer_stocks
from ..models.point_inversion import invert_points
from ..models.radiocarbon import LogNormalPrior, grid_quantile, invert
from ..models.rates import PERSISTING
from ..settings import RunSettings, step_seed
from .bulk_input import BulkInput, harmonise_measured

ONE_POOL = "one pool"
LONGER = (10, 100)
"""Years after which what has left bulk soil is not counted."""

WIDER, MIN_DRAWS = 1.5, 50
"""By how much the scales of the priors of turnover are larger on a rung, and how many draws it must be worth."""

BALANCE: dict[str, tuple[tuple[Part, ...], str]] = {
    "litter": (("litter",), "a third of what enters bulk soil in 0–20 cm comes from litter, not from roots"),
    "exudates": (("exudates",), "roots also exude carbon, which is not in their measured production"),
    "dissolved carbon": (("dissolved",), "carbon that moved down in solution was counted in two layers"),
    "litter, exudates and dissolved carbon": (PARTS, "all three together"),
}
"""Parts of the balance that each rung has, and why it differs."""


class Rung(NamedTuple):
    """One way to count, and the one that it is compared with; I_root and I_bulk of the mean profile, (7, draw)."""

    name: str
    compared_with: str
    why: str
    iroot: NDArray[np.float64]
    ibulk: NDArray[np.float64]


def ladder_table(ladder: Iterable[Rung]) -> pd.DataFrame:
    """`tables/ladder.csv`: share of I_root lost, I_bulk and I_root of the mean radiocarbon profile, on each rung."""
    found: dict[str, float] = {}
    rows = []
    for number, rung in enumerate(ladder, 1):
        root, bulk = rung.iroot.sum(axis=0), rung.ibulk.sum(axis=0)
        quantities = {"share": 1 - bulk / root, "ibulk": bulk, "iroot": root}
        found[rung.name] = float(np.median(quantities["share"]))
        rows.append(
            {
                "rung": number,
                "what": rung.name,
                "compared_with": rung.compared_with,
                "change": found[rung.name] - found.get(rung.compared_with, np.nan),
                "why": rung.why,
            }
            | {
                f"{quantity}_{key}": float(value)
                for quantity, draws in quantities.items()
                for key, value in summarise(draws).items()
            }
        )
    return pd.DataFrame(rows)


def rungs(
    iroot: NDArray[np.float64],
    families: dict[str, NDArray[np.float64]],
    wider: dict[str, NDArray[np.float64]],
    inputs: Inputs,
    bulk_input: BulkInput,
    some: NDArray[np.int64],
    settings: RunSettings,
) -> Iterator[Rung]:
    """The ladder, from the paper's definition upwards.

    Parameters
    ----------
    iroot : ndarray
        I_root of the seven layers, mean over profiles, (7, draw), Mg C ha⁻¹ yr⁻¹.
    families : dict of str to ndarray
        By family of rates, the input that stays longer than each of `PERSISTING`, mean over profiles, (time, 7, draw).
    wider : dict of str to ndarray
        By family, the weights that draws have where priors are wider by a factor `WIDER`, (draw,).
    some : ndarray
        Draws of the run that these are.
    """
    entering = {family: staying[PERSISTING.index(0)] for family, staying in families.items()}
    if ONE_POOL in families:
        yield from definitions(iroot, entering[ONE_POOL], inputs, bulk_input, some, settings)
    many = {family: f"{family} rates" for family in families if family != ONE_POOL}
    for family, name in many.items():
        why = "a layer of many rates has the radiocarbon of a single pool that turns over far more slowly"
        yield Rung(name, ONE_POOL if ONE_POOL in families else "", why, iroot, entering[family])
    for years in LONGER:
        for family, staying in families.items():
            start = many.get(family, family)
            why = "what passes through bulk soil in less time is not counted as having entered it"
            yield Rung(f"{start}, > {years} yr", start, why, iroot, staying[PERSISTING.index(years)])
    last = PERSISTING.index(LONGER[-1])
    headlines = [(family, many.get(family, family), entering[family]) for family in families]
    headlines += [(family, f"{name}, > {LONGER[-1]} yr", families[family][last]) for family, name in many.items()]
    for family, start, ibulk in headlines:
        weight = wider[family]
        if (left := 1 / (weight**2).sum()) >= MIN_DRAWS:
            why = f"priors of turnover {WIDER:g} times as wide, by weights that leave {left:.0f} of {len(weight)} draws"
            yield Rung(f"{start}; wider priors", start, why, iroot, ibulk[:, taken_by(weight)])
    for _, start, ibulk in (h for h in headlines if h[1] not in many.values()):
        for name, (parts, why) in BALANCE.items():
            rng = np.random.default_rng(step_seed(settings, "balance"))
            yield Rung(f"{start}; {name}", start, why, *balanced(iroot, ibulk, parts, rng))


def definitions(
    iroot: NDArray[np.float64],
    ibulk: NDArray[np.float64],
    inputs: Inputs,
    bulk_input: BulkInput,
    some: NDArray[np.int64],
    settings: RunSettings,
) -> Iterator[Rung]:
    """From the paper's definition to that of one pool in this run, `ibulk`. The ways before the last are compared with
    it in the layers that were measured: depth by depth, the ratio of their sums is put on its mean profile.
    """
    draws = bulk_input.draws
    own = draws["measured"].values[..., some]
    corrected = draws["stock"].values[:, some]
    as_they_are = uncorrected(inputs.layers)

    def of_layers(k: NDArray[np.float64], stock: NDArray[np.float64]) -> NDArray[np.float64]:
        thickness = (inputs.layers["bottom"] - inputs.layers["top"]).to_numpy()[:, None]
        measured = harmonise_measured(
            inputs, bulk_input.stocks, np.broadcast_to(k * stock / thickness, corrected.shape)
        )
        both = np.isfinite(measured) & np.isfinite(own)
        found, there = (np.where(both, values, 0.0).sum(axis=0) for values in (measured, own))
        return ibulk * np.divide(found, there, out=np.ones_like(ibulk), where=there > 0)

    alone = {history: _alone(inputs, history, len(some), settings) for history in ("steady", "intcal20")}
    slowest = invert_points(
        *_samples(inputs),
        prehistory="steady",
        atmosphere=inputs.atmosphere,  # as in the paper
    )["k"].to_numpy()[:, None]
    paper, steady, intcal, stocks = (
        "paper's definition",
        "each layer alone, with errors",
        "each layer alone, IntCal20",
        "each layer alone, corrected stocks",
    )
    why = "the older of two ages that give a layer's Δ14C, in air that was always as in 1950, with gridded stocks"
    yield Rung(paper, "", why, iroot, of_layers(slowest, as_they_are[:, None]))
    why = "either age is possible, and each layer's own error counts; the mean is above the middle"
    yield Rung(steady, paper, why, iroot, of_layers(alone["steady"], as_they_are[:, None]))
    why = "the air had more radiocarbon before 1950 than then, so the same carbon is older"
    yield Rung(intcal, steady, why, iroot, of_layers(alone["intcal20"], as_they_are[:, None]))
    why = "stocks that were not measured are corrected by those that were"
    yield Rung(stocks, intcal, why, iroot, of_layers(alone["intcal20"], corrected))
    why = "layers are judged together: by depth, biome, climate, soil and their profile"
    yield Rung(ONE_POOL, stocks, why, iroot, ibulk)


def uncorrected(layers: pd.DataFrame) -> NDArray[np.float64]:
    """Stock of each layer, measured or gridded as it is, (layer,), Mg C ha⁻¹."""
    stocks, sources = layer_stocks(layers)
    bias = stocks["stock_source"].map({source.name: source.log_bias for source in sources}).fillna(0.0)
    return stocks["stock"].to_numpy() / np.exp(bias.to_numpy(float))


def _samples(inputs: Inputs) -> tuple[pd.Series, pd.Series, NDArray[np.str_]]:
    return inputs.layers["delta14c"], inputs.layers["year"], inputs.layers["zone"].to_numpy(str)


def _alone(inputs: Inputs, history: Prehistory, count: int, settings: RunSettings) -> NDArray[np.float64]:
    """k of each layer judged by itself, under the weak prior, (layer, draw)."""
    value, year, zone = _samples(inputs)
    prior = LogNormalPrior(settings.prior_median_age, settings.prior_log_sd)
    posterior = invert(
        value,
        inputs.layers["sigma"],
        year,
        zone,
        prior,
        history,
        model_sd=settings.model_sd,
        atmosphere=inputs.atmosphere,
    )
    uniform = np.random.default_rng(step_seed(settings, "ladder")).uniform(size=(count, len(value)))
    return np.exp(grid_quantile(posterior["density"].values, posterior["log_k"].values, uniform))
