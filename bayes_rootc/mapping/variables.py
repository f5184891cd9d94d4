"""Which maps there are: quantities, their statistics, and what CF and people call them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from ..constants import BIOMES, CF_FLUX_UNIT, LAYER_NAMES, PROFILE_NAME

type MapMode = Literal["independent", "members", "coherent"]

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
NPP = "net_primary_productivity_of_biomass_expressed_as_carbon"
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
    "mean": "posterior mean",
    "median": "posterior median",
    "p025": "2.5 % quantile of the posterior",
    "p975": "97.5 % quantile of the posterior",
    "uncertainty": "half the 95 % interval over the absolute mean",
    "probability": "probability of being positive",
    "applicability": "dissimilarity from the training data over its threshold (above 1: outside the area of"
    " applicability)",
}

PRODUCTION = {
    "npp": MapQuantity("net primary production", CF_FLUX_UNIT, ("mean", *QUANTILES), NPP),
    "f_bnpp": MapQuantity("share of production that goes below ground", "1", ("mean", *QUANTILES), colours="cividis"),
}
"""Quantities of the place, where the fields of production make I_root."""

FLAT = ["iroot_applicability", "ibulk_applicability"]
"""Maps of the profile alone, that say where forests may be trusted."""

EVERY = QUANTITIES | PERSISTENCE | PRODUCTION


def named(quantities: dict[str, MapQuantity], statistics: Collection[str] = tuple(STATISTIC_NAMES)) -> list[str]:
    """Names of the maps of some statistics of quantities, in order."""
    return [f"{name}_{s}" for name, quantity in quantities.items() for s in quantity.statistics if s in statistics]


OF_PLACE = named(PRODUCTION)

MAPS = [*named(QUANTITIES), *named(PERSISTENCE), *OF_PLACE, *FLAT, "biome"]
"""All maps that there may be, in order."""

RATIOS = ("uncertainty", "probability", "applicability")
"""Statistics without a unit."""


@dataclass(frozen=True)
class MapChoice:
    """Which of all maps are made.

    Attributes
    ----------
    quantities : tuple of str
        Those of `PERSISTENCE` that are made besides the fluxes.
    layers : tuple of str
        Those of `MAP_LAYERS`, in their order.
    statistics : tuple of str
        Those of `STATISTIC_NAMES`.
    fields : bool
        Whether the fields of production make I_root: then `PRODUCTION` is mapped as well.

    Examples
    --------
    >>> MapChoice(layers=("0-20", "0-200"), statistics=("probability", "applicability")).names
    ['iloss_probability', 'iroot_applicability', 'ibulk_applicability', 'biome']
    """

    quantities: tuple[str, ...] = ()
    layers: tuple[str, ...] = MAP_LAYERS
    statistics: tuple[str, ...] = tuple(STATISTIC_NAMES)
    fields: bool = False

    @property
    def layered(self) -> list[str]:
        """Maps of every layer that is chosen."""
        return named(QUANTITIES | {name: PERSISTENCE[name] for name in self.quantities}, self.statistics)

    @property
    def of_place(self) -> list[str]:
        """Maps of production, which has no layers."""
        return named(PRODUCTION, self.statistics) if self.fields else []

    @property
    def flat(self) -> list[str]:
        """Maps of the profile alone."""
        return FLAT if "applicability" in self.statistics else []

    @property
    def names(self) -> list[str]:
        """All maps; that of the biomes is always made."""
        return [*self.layered, *self.of_place, *self.flat, "biome"]

    @property
    def places(self) -> list[int]:
        """Places of the layers in `MAP_LAYERS`."""
        return [MAP_LAYERS.index(layer) for layer in self.layers]


EVERY_MAP = MapChoice()
"""All maps but those of `PERSISTENCE`."""


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


def located(variable: str, among: Collection[str]) -> dict[str, Any]:
    """Attributes of a map in a file of several: what it is, where its coordinates and their system are, and which other
    maps among those of the file say how sure it is.
    """
    about = describe(variable) | {"grid_mapping": CRS_NAME}
    if variable in (*OF_PLACE, *FLAT, "biome"):
        return about
    about["coordinates"] = "depth"
    quantity, statistic = parts_of(variable)
    if statistic in ("mean", "median"):
        others = [f"{quantity}_{s}" for s in EVERY[quantity].statistics if s not in ("mean", "median")]
        forest = "ibulk" if quantity in PERSISTENCE else quantity
        forests = [name for name in FLAT if name.startswith(f"{forest}_") or quantity in ("iloss", "share")]
        there = [name for name in (*others, *forests) if name in among]
        if there:
            about["ancillary_variables"] = " ".join(there)
    return about
