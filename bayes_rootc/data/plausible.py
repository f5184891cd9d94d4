"""Whether a column holds what it claims to hold: ranges of the quantities, codes for missing values, other units.

A value alone says little: 24 may be percent or g kg⁻¹. A column says more. After its codes for missing values are taken
out, its median is compared with what columns of this quantity have; where another unit would explain it, that unit is
named. What cannot be right is refused, what may be is a doubt, which `check` prints first.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..constants import PROFILE_DEPTH_CM
from ..errors import InputError, InputWarning

CODES: tuple[float, ...] = (
    *(-99.0, -99.9, -999.0, -999.9, -999.99, -9999.0, -9999.9, -99999.0, -999999.0, -32768.0, -2147483648.0),
    *(-9.99, 9999.0, 99999.0, 999999.0, 1e20, -1e20, 1e30, -1e30, 1e34, -1e34, 1e36, -1e36, 9.969209968386869e36),
)
"""Codes of a missing value in files that do not declare any. A code that is a possible value of the quantity counts as
a value, except for `ALWAYS_CODES`.
"""

ALWAYS_CODES = (-999.0, -999.9, -999.99, -9999.0, -9999.9, -99999.0)
"""Codes of a missing value for any quantity: no laboratory reports a Δ14C of −999 ‰."""

RELATIVE = 1e-6
"""Relative tolerance with which codes are recognised: single precision."""

LARGEST_VALUE = 1e15
"""Magnitudes from here on are fill values, in any file."""

SURE_ROWS = 3
"""Number of values of radiocarbon from which a column is refused as a whole; fewer give a doubt."""

SURE_MEDIAN_ROWS = 5
"""The same of a quantity that is known by its median."""

BEST_SIGMA = 0.1
"""σ of Δ14C (‰) that no laboratory reaches; smaller ones belong to fractions modern."""

HIGHEST_MEDIAN = 250.0
"""Median of Δ14C (‰) that no set of soils has: in 1965 layers of pure bomb carbon are rare."""

MOST_BOMB = 1200.0
"""Δ14C (‰) above any air since 1950 (NHZone1 in 1963: about 950), with room for error."""


@dataclass(frozen=True)
class Quantity:
    """What a column may hold.

    Attributes
    ----------
    meaning : str
        With its unit, for messages.
    low, high : float
        Range of a value, in `unit`; `open`: without its bounds.
    usual, possible : tuple of float, optional
        Range of medians of columns: outside the first a column is doubted, outside the second refused, if one of the
        other units explains it.
    other_units : mapping of str to float
        By name, what a number in them is multiplied by to be in `unit`.
    """

    meaning: str
    unit: str
    low: float = -np.inf
    high: float = np.inf
    open: bool = False
    usual: tuple[float, float] | None = None
    possible: tuple[float, float] | None = None
    other_units: Mapping[str, float] = field(default_factory=dict)

    @property
    def range(self) -> str:
        """The range in words."""
        if np.isfinite(self.high):
            return f"{'between' if self.open else 'from'} {self.low:g} {'and' if self.open else 'to'} {self.high:g}"
        return f"{'above' if self.open else 'at least'} {self.low:g}"


_FLUX_UNITS = {
    "Mg ha⁻¹ yr⁻¹": 100.0,
    "kg ha⁻¹ yr⁻¹": 0.1,
    "kg m⁻² yr⁻¹": 1000.0,
    "g m⁻² day⁻¹": 365.25,
    "mg m⁻² yr⁻¹": 0.001,
}
_LENGTH_OF_CM = {"m": 100.0, "mm": 0.1}


def _flux(meaning: str, usual: tuple[float, float], possible: tuple[float, float]) -> Quantity:
    return Quantity(f"{meaning}, g C m⁻² yr⁻¹", "g m-2 yr-1", usual=usual, possible=possible, other_units=_FLUX_UNITS)


QUANTITIES: dict[str, Quantity] = {
    "lat": Quantity("latitude, degrees", "degree", -90, 90),
    "lon": Quantity("longitude, degrees", "degree", -180, 180),
    "top": Quantity("upper depth of the layer, cm", "cm", 0, PROFILE_DEPTH_CM),
    "bottom": Quantity(
        "lower depth of the layer, cm", "cm", 0, PROFILE_DEPTH_CM, False, (4, 250), (1.5, 1000), _LENGTH_OF_CM
    ),
    "year": Quantity("sampling date, decimal year AD", "yr", 1800, 2100),
    "delta14c": Quantity("Δ14C, ‰", "permil", -1000, 2000),
    "fraction_modern": Quantity(
        "fraction modern (F14C)", "dimensionless", 0, 3, False, (0.2, 1.4), (0.01, 3), {"percent modern": 0.01}
    ),
    "percent_modern": Quantity(
        "percent modern carbon", "percent", 0, 300, False, (20, 140), (3, 300), {"fraction modern": 100.0}
    ),
    "radiocarbon_age": Quantity("conventional radiocarbon age, yr BP", "yr", -3000, 60_000),
    "sigma": Quantity("standard deviation of the measurement, in its unit", "permil", 0),
    "carbon": Quantity(
        "organic carbon, %", "percent", -1, 100, False, (0.15, 8), (0.03, 60), {"g kg⁻¹": 0.1, "a fraction": 100.0}
    ),
    "bulk_density": Quantity(
        "bulk density, g cm⁻³", "g cm-3", 0, 5, False, (0.4, 1.9), (0.03, 2.7), {"kg m⁻³": 0.001, "cg cm⁻³": 0.01}
    ),
    "coarse": Quantity("coarse fragments, % by volume", "percent", 0, 100),
    "coarse_gridded": Quantity("coarse fragments on a map, % by volume", "percent", 0, 100),
    "stock": Quantity(
        "carbon stock of the layer, Mg ha⁻¹",
        "Mg ha-1",
        usual=(2, 90),
        possible=(0.4, 600),
        other_units={"kg m⁻²": 10.0, "g m⁻²": 0.01, "g cm⁻²": 100.0, "kg ha⁻¹": 0.001},
    ),
    "stock_error": Quantity("relative error of the carbon stock", "dimensionless", 0, 2, open=True),
    "metre_stock": Quantity(
        "carbon stock of the first metre, Mg ha⁻¹",
        "Mg ha-1",
        usual=(20, 500),
        possible=(4, 2500),
        other_units={"kg m⁻²": 10.0, "g m⁻²": 0.01, "kg ha⁻¹": 0.001},
    ),
    "npp": _flux("net primary production", (60, 2200), (8, 4000)),
    "anpp": _flux("aboveground net primary production", (30, 1500), (6, 3500)),
    "bnpp": _flux("belowground net primary production", (20, 900), (6, 1600)),
    "sampling_depth": Quantity("depth down to which roots were sampled, cm", "cm", 0, np.inf, True),
    "iroot": Quantity("root-derived carbon input, Mg C ha⁻¹ yr⁻¹", "Mg ha-1 yr-1", 0, open=True),
    "ibulk": Quantity("input to bulk soil in the layer, Mg C ha⁻¹ yr⁻¹", "Mg ha-1 yr-1", 0, open=True),
    "f_bnpp": Quantity("share of production below ground", "dimensionless", 0, 1, open=True),
    "d50": Quantity(
        "depth above which half of the roots are, cm", "cm", 0, np.inf, True, (4, 60), (2, 200), _LENGTH_OF_CM
    ),
    "d95": Quantity(
        "depth above which 95 % of the roots are, cm", "cm", 0, np.inf, True, (18, 300), (8, 800), _LENGTH_OF_CM
    ),
}
"""The quantities of tables, in the units of tables of one's own."""


@dataclass(frozen=True)
class Doubt:
    """A column that looks like something else; `sure`: it cannot be what it claims to be.

    Attributes
    ----------
    rows : int
        How many values.
    """

    text: str
    rows: int
    sure: bool


def without_codes(values: pd.Series, quantity: str | None = None, scale: float = 1.0) -> tuple[pd.Series, list[float]]:
    """A column whose codes for missing values are NaN, and the codes that were found.

    Parameters
    ----------
    values : Series of float
        The column.
    quantity : str, optional
        A name of `QUANTITIES`: a code that lies in its range is a value, unless it is one whatever the quantity.
    scale : float
        What the column's numbers are multiplied by to be in the quantity's unit.
    """
    number = values.to_numpy(float)
    coded = np.zeros(len(number), bool)
    known = QUANTITIES.get(quantity or "")
    for code in CODES:
        possible = known is None or known.low <= code * scale <= known.high
        if possible and code not in ALWAYS_CODES and abs(code) < LARGEST_VALUE:
            continue
        coded |= np.abs(number - code) <= RELATIVE * abs(code)
    coded |= np.isfinite(number) & (np.abs(number) >= LARGEST_VALUE)
    found = sorted({float(f"{v:.6g}") for v in number[coded]}) if coded.any() else []
    return values.mask(coded), found


def judge(
    values: ArrayLike,
    quantity: str,
    *,
    scale: float = 1.0,
    unit: str = "",
    sigma: ArrayLike | None = None,
    bottom: ArrayLike | None = None,
) -> Doubt | None:
    """What a column looks like, if not like the quantity that it claims to be.

    Parameters
    ----------
    values : array-like of float, shape (n,)
        The column; missing values are NaN.
    quantity : str
        A name of `QUANTITIES`; others are not judged.
    scale : float
        Factor from the column's unit to the quantity's.
    unit : str
        The column's unit, as messages show it.
    sigma, bottom : array-like of float, shape (n,), optional
        For Δ14C, its standard deviation (‰) and the lower depths of the layers (cm), which make the verdict surer.

    Examples
    --------
    >>> doubt = judge([1.06, 0.96, 0.87], "delta14c")
    >>> doubt.sure, doubt.text[:50]
    (True, 'values from 0.87 to 1.06 look like fractions moder')
    >>> judge([24.0, 9.0], "carbon").sure
    False
    """
    values = np.asarray(values, float)
    if quantity == "delta14c":
        return _judge_delta14c(values, *(None if v is None else np.asarray(v, float) for v in (sigma, bottom)))
    if quantity == "sigma":
        return _judge_sigma(values)
    known = QUANTITIES.get(quantity)
    if known is None or known.usual is None or known.possible is None:
        return None
    there = values[np.isfinite(values) & (values > 0)]
    if not len(there):
        return None
    found, (low, high) = float(np.median(there)), known.usual
    if low <= found * scale <= high:
        return None
    own = known.meaning.rpartition(", ")[2]
    ratios = {own: 1.0, **known.other_units}
    explained = {
        name: abs(np.log(found * ratio / np.sqrt(low * high)))
        for name, ratio in ratios.items()
        if ratio != scale and low <= found * ratio <= high
    }
    said = f"median {found:.3g} {unit or own} ({known.meaning.partition(',')[0]}), "
    said += f"where {low / scale:g} to {high / scale:g} is usual"
    if not explained:
        return Doubt(f"{said}; is it in this unit?", len(there), False)
    likely = min(explained, key=lambda name: explained[name])
    impossible = not known.possible[0] <= found * scale <= known.possible[1]
    text = f"{said}: looks like {likely}; convert it, or state the unit in the header: `name [unit]`"
    return Doubt(text, len(there), impossible and len(there) >= SURE_MEDIAN_ROWS)


def _judge_delta14c(values: NDArray[Any], sigma: NDArray[Any] | None, bottom: NDArray[Any] | None) -> Doubt | None:
    here = np.isfinite(values)
    there, n = values[here], int(here.sum())
    if not n:
        return None
    spread = sigma[here] if sigma is not None else np.full(n, np.nan)
    spread = spread[np.isfinite(spread) & (spread > 0)]
    span = f"values from {there.min():.4g} to {there.max():.4g}"
    if (there > 0).all() and (there <= 3).all():
        fine = bool(len(spread)) and float(np.median(spread)) < BEST_SIGMA
        text = f"{span} look like fractions modern, not Δ14C in ‰: name the column fraction_modern, or `… [F14C]`"
        return Doubt(text, n, fine or n >= SURE_ROWS)
    if len(spread) and float(np.median(spread)) < BEST_SIGMA:
        text = f"σ of {np.median(spread):.2g} ‰ is below what any laboratory reaches: is it that of a fraction modern?"
        return Doubt(text, n, False)
    if (n99 := int((there == -99).sum())) >= SURE_ROWS:
        return Doubt("-99 ‰ exactly, again and again: if it stands for a missing value, empty these cells", n99, False)
    deep = bottom[here] > 60 if bottom is not None else np.zeros(n, bool)
    if (there > 0).all() and np.median(there) > (HIGHEST_MEDIAN if n >= SURE_ROWS else MOST_BOMB):
        text = f"{span} look like radiocarbon ages, not Δ14C in ‰: name the column radiocarbon_age, or `… [yr BP]`"
        return Doubt(text, n, n >= SURE_ROWS)
    if (there > 0).all() and (there < 200).all() and 20 < np.median(there) < 150:
        fine = bool(len(spread)) and float(np.median(spread)) < 1
        old = bool(
            deep.sum() >= 2 * SURE_ROWS and there.min() < 95
        )  # the deep layers of no soil have bomb carbon throughout
        if fine or old or n >= 20:
            text = f"{span} look like percent modern, not Δ14C in ‰: name the column percent_modern, or `… [pMC]`"
            return Doubt(text, n, (fine or old) and n >= SURE_ROWS)
    if deep.sum() >= 10 and there.min() > -100:
        text = f"{span}, though {int(deep.sum())} layers reach below 60 cm, where Δ14C is below -100 ‰: is it in ‰?"
        return Doubt(text, n, False)
    if np.median(there) < -900:
        return Doubt(f"median {np.median(there):.4g} ‰, as of carbon without radiocarbon: is it in ‰?", n, False)
    if there.max() > MOST_BOMB and n >= SURE_ROWS:
        return Doubt(f"{span}: no air since 1950 had more than {MOST_BOMB:g} ‰", int((there > MOST_BOMB).sum()), False)
    return None


def _judge_sigma(values: NDArray[Any]) -> Doubt | None:
    there = values[np.isfinite(values) & (values > 0)]
    if not len(there):
        return None
    median = float(np.median(there))
    if median < BEST_SIGMA:
        text = f"median {median:.2g} ‰ is below what any laboratory reaches: looks like the σ of a fraction modern"
        return Doubt(text, len(there), False)
    if median < 0.7:
        text = f"median {median:.2g} ‰, where 1 to 10 is usual: looks like the σ of percent modern carbon"
        return Doubt(text, len(there), False)
    if median > 200:
        text = f"median {median:.3g} ‰, where 1 to 10 is usual: it is that of no measurement, or in another unit"
        return Doubt(text, len(there), len(there) >= SURE_ROWS)
    if median > 30:
        return Doubt(f"median {median:.3g} ‰, where 1 to 10 is usual: is it in ‰?", len(there), False)
    return None


def judge_argument(values: ArrayLike, quantity: str, *, name: str, **more: Any) -> None:
    """Refuses what a Python argument or column cannot be, and warns of what it may not be.

    Raises
    ------
    InputError
        It is surely something else.
    """
    doubt = judge(values, quantity, **more)
    if doubt is None:
        return
    if doubt.sure:
        raise InputError(f"{name}: {doubt.text}")
    warnings.warn(f"{name}: {doubt.text}", InputWarning, stacklevel=3)
