"""Which maps there are: quantities, their statistics, and what CF and people call them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..constants import BIOMES, CF_FLUX_UNIT, LAYER_NAMES, PROFILE_NAME

MAP_LAYERS = (*LAYER_NAMES, PROFILE_NAME)

CRS_NAME = "crs"
NODATA = -9999.0


@dataclass(frozen=True)
class MapQuantity:
    """A quantity that is mapped.

    Attributes
    ----------
    meaning : str
        What it is, in words.
    unit : str
        CF's spelling.
    statistics : tuple of str
        Those of `STATISTIC_NAMES` that are mapped.
    standard_name : str
        CF's name, if there is one.
    colours : str
        Colour map of its values.
    """

    meaning: str
    unit: str
    statistics: tuple[str, ...]
    standard_name: str = ""
    colours: str = "viridis"

    @property
    def centred(self) -> bool:
        """Whether its colours part at 0."""
        return self.colours == "PuOr_r"


QUANTILES = ("median", "p025", "p975")
SPREADING = ("mean", *QUANTILES, "uncertainty")
ROOT_PRODUCTION = "net_primary_productivity_of_biomass_expressed_as_carbon_accumulated_in_roots"

QUANTITIES = {
    "iroot": MapQuantity("root-derived carbon input to soil", CF_FLUX_UNIT, SPREADING, ROOT_PRODUCTION),
    "ibulk": MapQuantity("carbon input to bulk soil", CF_FLUX_UNIT, SPREADING),
    "iloss": MapQuantity(
        "root-derived carbon lost before entering bulk soil",
        CF_FLUX_UNIT,
        (*SPREADING, "probability"),
        colours="PuOr_r",
    ),
    "share": MapQuantity("lost part of root-derived carbon", "1", QUANTILES, colours="PuOr_r"),
}
"""Quantities of every layer and the profile, in all maps."""

PERSISTENCE = {
    "age": MapQuantity("mean age of carbon in bulk soil", "yr", ("mean", *QUANTILES), colours="cividis"),
    "transit_time": MapQuantity(
        "mean transit time of carbon through bulk soil", "yr", ("mean", *QUANTILES), colours="cividis"
    ),
    "ibulk_t100": MapQuantity(
        "carbon input to bulk soil that stays longer than 100 years", CF_FLUX_UNIT, ("mean", *QUANTILES)
    ),
}
"""Quantities of every layer and the profile that a setting chooses (`map_quantities`)."""

STATISTIC_NAMES = {
    "mean": "mean over members",
    "median": "median over members",
    "p025": "2.5 % quantile over members",
    "p975": "97.5 % quantile over members",
    "uncertainty": "half the 95 % interval over the absolute mean",
    "probability": "probability of being positive",
    "applicability": "dissimilarity from the training data over its threshold (above 1: outside the area of"
    " applicability)",
}

LAYERED = [f"{name}_{statistic}" for name, quantity in QUANTITIES.items() for statistic in quantity.statistics]
"""Maps of every layer and the profile, in all maps."""

FLAT = ["iroot_applicability", "ibulk_applicability"]
"""Maps of the profile alone."""

EVERY = QUANTITIES | PERSISTENCE

MAPS = [f"{name}_{statistic}" for name, quantity in EVERY.items() for statistic in quantity.statistics] + [
    *FLAT,
    "biome",
]
"""All maps that there may be, in order."""

RATIOS = ("uncertainty", "probability", "applicability")
"""Statistics without a unit."""

BIOME_NAMES = ("not mapped", *BIOMES.values())

BIOME_COLOURS = dict(
    zip(
        BIOMES,
        ("#117733", "#999933", "#44AA99", "#DDCC77", "#CC6677", "#332288", "#88CCEE", "#882255", "#AA4499"),
        strict=True,
    )
)
"""The muted palette of P. Tol: green for tropical forests, sand for grasslands, indigo and cyan for the cold."""


class Name(NamedTuple):
    """Name of a map, in its parts."""

    quantity: str
    statistic: str


def parts_of(variable: str) -> Name:
    """Quantity and statistic of a map.

    Examples
    --------
    >>> parts_of("iloss_mean").statistic, parts_of("biome")
    ('mean', Name(quantity='biome', statistic=''))
    """
    quantity, _, statistic = variable.rpartition("_")
    return Name(quantity, statistic) if statistic in STATISTIC_NAMES else Name(variable, "")


def file_name(variable: str, layer: str | None) -> str:
    """Name of the GeoTIFF of a map.

    Examples
    --------
    >>> file_name("iloss_mean", "0-20"), file_name("iloss_probability", "0-20"), file_name("biome", None)
    ('iloss_0-20_mean.tif', 'iloss_probability_0-20.tif', 'biome.tif')
    """
    if layer is None:
        return f"{variable}.tif"
    quantity, statistic = parts_of(variable)
    words = (quantity, statistic, layer) if statistic == "probability" else (quantity, layer, statistic)
    return f"{'_'.join(words)}.tif"


def colours_of(variable: str) -> tuple[str, bool]:
    """Colour map of a map's values, and whether it parts at 0."""
    quantity, statistic = parts_of(variable)
    if statistic in ("uncertainty", "probability", "applicability"):
        return "cividis", False
    known = EVERY[quantity]
    return known.colours, known.centred


def layered_maps(quantities: Iterable[str]) -> list[str]:
    """Maps of every layer: those that there always are, and those of chosen quantities."""
    return LAYERED + [f"{name}_{s}" for name in quantities for s in PERSISTENCE[name].statistics]


def describe(variable: str) -> dict[str, Any]:
    """CF attributes of a map: what it is.

    Values are means over the land of a cell; quantiles have no word in CF's cell methods, so that their long name says
    what they are.
    """
    if variable == "biome":
        meanings = " ".join("_".join(name.replace("/", " or ").split()) for name in BIOME_NAMES)
        return {
            "long_name": "biome",
            "flag_values": np.arange(len(BIOME_NAMES), dtype=np.uint8),
            "flag_meanings": meanings,
        }
    name, statistic = parts_of(variable)
    quantity = EVERY[name]
    about = {
        "long_name": f"{quantity.meaning}: {STATISTIC_NAMES[statistic]}",
        "units": "1" if statistic in RATIOS else quantity.unit,
        "cell_methods": "area: mean where land",
    }
    if statistic in ("mean", "median"):
        about["cell_methods"] += f" realization: {statistic}"
        if quantity.standard_name:
            about["standard_name"] = quantity.standard_name
    return about


def located(variable: str) -> dict[str, Any]:
    """Attributes of a map in a file of several: what it is, where its coordinates and their system are, and which other
    maps say how sure it is.
    """
    about = describe(variable) | {"grid_mapping": CRS_NAME}
    if variable in (*FLAT, "biome"):
        return about
    about["coordinates"] = "depth"
    quantity, statistic = parts_of(variable)
    if statistic in ("mean", "median"):
        others = [f"{quantity}_{s}" for s in EVERY[quantity].statistics if s not in ("mean", "median")]
        forest = "ibulk" if quantity in PERSISTENCE else quantity
        forests = [name for name in FLAT if name.startswith(f"{forest}_") or quantity in ("iloss", "share")]
        about["ancillary_variables"] = " ".join((*others, *forests))
    return about
