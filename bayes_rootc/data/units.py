"""Units as people write them, and the forms in which laboratories report radiocarbon."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ..constants import GAMMA
from ..errors import InputError
from .tables import shown

type Form = Literal["delta14c", "fraction_modern", "percent_modern", "radiocarbon_age"]

LIBBY_MEAN_LIFE = 8033.0
"""Mean life (yr) by which conventional radiocarbon ages are reported, whatever the true one (Stuiver & Polach 1977)."""

FORM_UNITS: dict[str, Form] = {
    "f14c": "fraction_modern",
    "f": "fraction_modern",
    "fm": "fraction_modern",
    "fraction modern": "fraction_modern",
    "pmc": "percent_modern",
    "percent modern": "percent_modern",
    "percent modern carbon": "percent_modern",
    "bp": "radiocarbon_age",
    "yr bp": "radiocarbon_age",
    "years bp": "radiocarbon_age",
    "14c yr bp": "radiocarbon_age",
    "radiocarbon yr bp": "radiocarbon_age",
}
"""What stands as a unit behind the name of a radiocarbon column, and the form that it means."""

SPELLINGS = {
    r"per ?mill?e?|permil|o/oo": "permille",
    r"\btonnes?\b|\btons?\b": "t",
    r"\byears?\b|\by\b": "yr",
    r"g ?/ ?100 ?g": "percent",
    r"\bvol ?%|% ?vol\b|\bwt ?%|% ?wt\b": "percent",
}
"""Spellings that pint does not know, or knows as something else."""

CARBON = r"(?<=g)[ _]*C\b|(?<=\bt)[ _]+C\b|(?<=[mM]ol)[ _]*C\b"


def factor(found: object, wanted: str, *, file: str | Path | None = None, column: str | None = None) -> float:
    """Factor that converts numbers from the units found to the units wanted.

    Carbon is not distinguished from other mass: ``kg C m-2``, ``kgC/m2`` and ``kg m-2`` are the same.

    Parameters
    ----------
    found : object
        Units as a file states them.
    wanted : str
        Units as pint writes them.
    file : path, optional
    column : str, optional
        Where the units are, for messages.

    Raises
    ------
    InputError
        The units are missing, not understood, or those of a different quantity.

    Examples
    --------
    >>> factor("t C/ha", "g m-2"), factor("‰", "permil"), round(factor("g m-2 d-1", "g m-2 yr-1"), 2)
    (100.0, 1.0, 365.25)
    """
    import pint

    ours = _unit(wanted, file, column)
    try:
        return float(f"{(1.0 * _unit(found, file, column)).to(ours).magnitude:.12g}")
    except pint.DimensionalityError:
        raise InputError(
            f"units `{shown(found)}`, expected such as can be brought to {wanted}", file=file, column=column
        ) from None


def compatible(found: object, wanted: str, *, file: str | Path | None = None, column: str | None = None) -> bool:
    """Whether units are of the same quantity."""
    return bool(_unit(found, file, column).is_compatible_with(_unit(wanted, file, column)))


def radiocarbon_form(unit: str) -> Form | None:
    """The form of radiocarbon that a unit means; none where it is a plain unit."""
    return FORM_UNITS.get(" ".join(unit.casefold().replace("_", " ").split()))


def _unit(found: object, file: str | Path | None, column: str | None) -> Any:
    # cf_xarray knows the spellings of CF, and takes long to load.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Import\(s\) unavailable")  # it would tell Matplotlib of units
        import cf_xarray.units
    import pint

    if not isinstance(found, str) or not found.strip():
        raise InputError("has no attribute `units`", file=file, column=column)
    plain = re.sub(CARBON, "", found.strip())
    for spelling, known in SPELLINGS.items():
        plain = re.sub(spelling, known, plain)
    try:
        return cf_xarray.units.units.parse_units(plain)
    except (pint.PintError, ValueError, TypeError, AssertionError, AttributeError):
        raise InputError(f"units `{shown(found)}` are not understood", file=file, column=column) from None


def to_delta14c(
    value: ArrayLike, sigma: ArrayLike, year: ArrayLike, form: Form
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]:
    r"""Δ14C (‰) of the sampling year, and its standard deviation, from another form (Stuiver & Polach 1977).

    .. math:: \Delta^{14}\mathrm{C} = 1000 \left(F e^{(1950 - y)/8267} - 1\right)

    Parameters
    ----------
    value, sigma : array-like, shape (n,)
        Fraction modern (F14C), percent modern carbon, a conventional radiocarbon age (yr BP), or Δ14C itself.
    year : array-like, shape (n,)
        Sampling date, decimal year AD.
    form : str
        Which of them.

    Examples
    --------
    >>> value, sigma = to_delta14c([1.06], [0.004], [2005.5], "fraction_modern")
    >>> value.round(1), sigma.round(1)
    (array([52.9]), array([4.]))
    """
    value, sigma, year = (np.asarray(v, float) for v in (value, sigma, year))
    if form == "delta14c":
        return value, sigma
    if form == "radiocarbon_age":
        fraction = np.exp(-value / LIBBY_MEAN_LIFE)
        spread = fraction * sigma / LIBBY_MEAN_LIFE
    else:
        scale = 100.0 if form == "percent_modern" else 1.0
        fraction, spread = value / scale, sigma / scale
    decay = 1000 * np.exp(GAMMA * (1950 - year))
    return fraction * decay - 1000, spread * decay
