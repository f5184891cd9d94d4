"""What the maps of a run hold, for a page that takes quantities as it finds them: `QUANTITY_STATISTIC` by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import xarray as xr

from ..constants import CF_FLUX_UNIT
from ..mapping.monte_carlo import FLUXES
from ..mapping.variables import EVERY
from .codec import FIRST_STEP, Scale

STATISTICS = {
    "median": "median",
    "mean": "mean",
    "p025": "2.5 % quantile",
    "p975": "97.5 % quantile",
    "uncertainty": "uncertainty",
    "probability": "probability of loss",
}
"""Statistics of a cell that are shown, in the order in which they are offered."""

INTERVAL = ("p025", "p975")

SYMBOLS = {
    "iroot": "I_root",
    "ibulk": "I_bulk",
    "iloss": "I_loss",
    "share": "I_loss / I_root",
    "f_bnpp": "f_BNPP",
    "npp": "NPP",
    "age": "carbon age",
    "transit_time": "transit time",
}
"""How quantities are called; `ibulk_t100` is I_bulk(100 yr)."""

UNITS = {"Mg ha-1 yr-1": "Mg C ha⁻¹ yr⁻¹", "yr": "yr", "1": ""}
FLOORS = {"Mg ha-1 yr-1": 0.001, "yr": 0.1, "1": 0.001}
"""Values below which the error is absolute, by unit."""

EVEN = {"probability": Scale(0.0, 0.005), "class": Scale(0.0, 1.0)}
"""Steps of what is not rounded relatively."""

DIVERGING = ("iloss", "share")
"""Quantities with a meaningful 0 in the middle."""


@dataclass(frozen=True)
class Variable:
    """A map of the file, of each layer or of the whole profile, and how it is rounded.

    `base` is the variable that it is written against, as it resembles it.
    """

    name: str
    layered: bool
    scale: Scale
    base: str | None = None

    def coarser(self) -> Variable:
        """The same with twice the relative error."""
        return replace(self, scale=Scale(self.scale.floor, 2 * self.scale.step)) if self.scale.floor else self


@dataclass(frozen=True)
class Quantity:
    """A quantity, with those of `STATISTICS` that can be shown of it."""

    name: str
    symbol: str
    meaning: str
    unit: str
    palette: str
    statistics: tuple[str, ...]
    layered: bool

    @property
    def diverging(self) -> bool:
        """Whether colours part at 0."""
        return self.name in DIVERGING


def split_name(variable: str) -> tuple[str, str]:
    """Quantity and statistic of a map's name.

    Examples
    --------
    >>> split_name("ibulk_t100_mean"), split_name("biome")
    (('ibulk_t100', 'mean'), ('biome', ''))
    """
    quantity, _, statistic = variable.rpartition("_")
    return (quantity, statistic) if statistic in (*STATISTICS, "applicability") else (variable, "")


def symbol_of(quantity: str) -> str:
    """How a quantity is called on the page.

    Examples
    --------
    >>> symbol_of("ibulk_t100"), symbol_of("iroot"), symbol_of("runoff")
    ('I_bulk(100 yr)', 'I_root', 'runoff')
    """
    stem, _, years = quantity.rpartition("_t")
    if stem in SYMBOLS and years.isdigit():
        return f"{SYMBOLS[stem]}({years} yr)"
    return SYMBOLS.get(quantity, quantity)


def variables_of(maps: xr.Dataset) -> list[Variable]:
    """The maps that the page has: those whose names it understands. Uncertainty that follows from an interval and a
    mean is left out, as the browser computes it; bases come before what is written against them.
    """
    found: dict[str, Variable] = {}
    names = [str(name) for name, values in maps.data_vars.items() if values.dims[-2:] == ("lat", "lon")]
    for name in sorted(names, key=_rank):
        quantity, statistic = split_name(name)
        if not statistic and name != "biome":
            continue
        if statistic == "uncertainty" and {f"{quantity}_{s}" for s in ("mean", *INTERVAL)} <= set(names):
            continue
        kind = "class" if name == "biome" else statistic
        scale = EVEN.get(kind) or Scale(FLOORS.get(_unit(maps, name), 0.001), FIRST_STEP)
        base = next((f"{quantity}_{s}" for s in ("mean", "median") if f"{quantity}_{s}" in found), None)
        like = base and statistic in ("mean", "median", *INTERVAL) and maps[base].dims == maps[name].dims
        found[name] = Variable(name, "layer" in maps[name].dims, scale, base if like else None)
    return list(found.values())


def _rank(name: str) -> tuple[str, int]:
    quantity, statistic = split_name(name)
    order = ("mean", "median", *INTERVAL, "uncertainty", "probability", "applicability", "")
    return quantity, order.index(statistic)


def quantities_of(maps: xr.Dataset) -> list[Quantity]:
    """Quantities that can be mapped, those of the paper first."""
    names = [str(name) for name in maps.data_vars]
    statistics: dict[str, set[str]] = {}
    for name in names:
        quantity, statistic = split_name(name)
        if statistic in STATISTICS:
            statistics.setdefault(quantity, set()).add(statistic)
    known = [q for q in ("iloss", "iroot", "ibulk", "share") if q in statistics]
    return [_quantity(maps, name, statistics[name]) for name in (*known, *sorted(set(statistics) - set(known)))]


def _quantity(maps: xr.Dataset, name: str, found: set[str]) -> Quantity:
    if {"mean", *INTERVAL} <= found or {"median", *INTERVAL} <= found:
        found = found | {"uncertainty"}
    first = next(f"{name}_{s}" for s in STATISTICS if f"{name}_{s}" in maps)
    unit = _unit(maps, first)
    known = EVERY.get(name)
    meaning = known.meaning if known else str(maps[first].attrs.get("long_name", "")).partition(":")[0]
    palette = known.colours if known else "viridis"
    statistics = tuple(s for s in STATISTICS if s in found)
    return Quantity(
        name, symbol_of(name), meaning, UNITS.get(unit, unit), palette, statistics, "layer" in maps[first].dims
    )


def _unit(maps: xr.Dataset, name: str) -> str:
    """Unit of a map, as CF writes it."""
    quantity, statistic = split_name(name)
    of_flux = quantity in FLUXES and statistic not in ("uncertainty", "probability", "applicability")
    return str(maps[name].attrs.get("units", CF_FLUX_UNIT if of_flux else "1"))
