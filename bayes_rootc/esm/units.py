"""Units of carbon in models' files: mass of carbon, moles of it, or mass of carbon dioxide."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..data.units import compatible, factor

CARBON_G_PER_MOL = 12.011
DIOXIDE_G_PER_MOL = 44.009
DIOXIDE = re.compile(r"[ _]*\(?CO_?2\)?|[ _]*CO₂", re.IGNORECASE)
MOLES = re.compile(r"(?<![a-z])(?P<prefix>[munpk]?|micro|milli|kilo)mol(?:es?|s)?(?![a-z])", re.IGNORECASE)
DENSITY_UNIT = "Mg ha-1 cm-1"


def converted(array: xr.DataArray, unit: str, file: Path) -> NDArray[np.float64]:
    """Values in another unit, which is one of mass of carbon, or of time."""
    return array.values.astype(float) * carbon_factor(array.attrs.get("units"), unit, file, str(array.name))


def carbon_factor(found: object, wanted: str, file: Path | None = None, column: str | None = None) -> float:
    """Factor to a unit of mass of carbon from any other, from moles of carbon, or from mass or moles of CO₂.

    Parameters
    ----------
    found : object
        Units as a file states them.
    wanted : str
        Unit of mass of carbon, as pint writes it.

    Raises
    ------
    InputError
        The units are missing, not understood, or those of a different quantity.

    Examples
    --------
    >>> round(carbon_factor("mol m-2 s-1", "g m-2 s-1"), 3), round(carbon_factor("kg CO2 m-2", "kg m-2"), 4)
    (12.011, 0.2729)
    """
    if not isinstance(found, str):
        return factor(found, wanted, file=file, column=column)
    plain, dioxide = DIOXIDE.subn("", found)
    moles = MOLES.search(plain)
    if moles:
        # the unit is written in grams of carbon, to which its moles amount
        plain = MOLES.sub(lambda m: f"{m['prefix'].replace('micro', 'u').replace('milli', 'm')}g", plain)
        return CARBON_G_PER_MOL * factor(plain, wanted, file=file, column=column)
    share = CARBON_G_PER_MOL / DIOXIDE_G_PER_MOL if dioxide else 1.0
    return share * factor(plain, wanted, file=file, column=column)


def is_density(array: xr.DataArray, file: Path) -> bool:
    """Whether values are amounts a volume, rather than an area."""
    units, name = array.attrs.get("units"), str(array.name)
    if isinstance(units, str):
        units = DIOXIDE.sub("", MOLES.sub("g", units))
    return compatible(units, DENSITY_UNIT, file=file, column=name)
