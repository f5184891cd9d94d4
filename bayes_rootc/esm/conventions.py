"""What files of models say in other words than CF's: calendars, months and years since a date, radians."""

from __future__ import annotations

import re
from pathlib import Path

import cftime
import numpy as np
import xarray as xr

from ..errors import InputError

CALENDARS = {
    "360": "360_day",
    "360_days": "360_day",
    "360d": "360_day",
    "thirty_day_months": "360_day",
    "365": "noleap",
    "365_days": "noleap",
    "365d": "noleap",
    "no_leap": "noleap",
    "366": "all_leap",
    "gregorian_proleptic": "proleptic_gregorian",
}
"""Names of calendars that older tools write, and CF's."""

LONG_STEPS = re.compile(r"^(?P<unit>months?|years?|yrs?|common_years?)\s+since\s+(?P<start>.+)$", re.IGNORECASE)
RADIANS = ("radian", "radians", "rad")


def decoded(dataset: xr.Dataset, file: Path) -> xr.Dataset:
    """A dataset that was opened as it stands, with dates, and with longitudes and latitudes in degrees.

    Raises
    ------
    InputError
        The units or the calendar of the time are not understood.
    """
    dataset = dataset.copy()
    bounds = {v.attrs.get("bounds") for v in dataset.variables.values()}  # they go with what they are bounds of
    for name in list(dataset.variables):
        attributes = dataset[name].attrs
        if "calendar" in attributes:
            calendar = str(attributes["calendar"]).strip().lower()
            attributes["calendar"] = CALENDARS.get(calendar, calendar)
        if found := LONG_STEPS.match(str(attributes.get("units", ""))):
            _in_days(dataset, str(name), found, file)
        elif str(attributes.get("units", "")).strip().lower() in RADIANS and name not in bounds:
            _in_degrees(dataset, str(name))
    try:
        return xr.decode_cf(dataset, decode_times=xr.coders.CFDatetimeCoder(use_cftime=True))
    except (ValueError, OverflowError):
        for name, variable in dataset.variables.items():
            units = variable.attrs.get("units")
            if " since " in str(units):
                kind = variable.attrs.get("calendar", "standard")
                text = f"units `{units}` with the calendar `{kind}` are not understood"
                raise InputError(
                    f"{text}; expected such as `days since 1850-01-01`", file=file, column=str(name)
                ) from None
        raise


def _with_bounds(dataset: xr.Dataset, name: str) -> list[str]:
    bounds = str(dataset[name].attrs.get("bounds", ""))
    return [name, *([bounds] if bounds in dataset.variables else [])]


def _in_days(dataset: xr.Dataset, name: str, found: re.Match[str], file: Path) -> None:
    """Months or years since a date, as days since it: a month is a month of the calendar, whatever its length."""
    calendar, since = str(dataset[name].attrs.get("calendar", "standard")), f"days since {found['start']}"
    per_unit = 1 if found["unit"].lower().startswith("month") else 12
    try:
        start = cftime.num2date(0, since, calendar)
    except (ValueError, OverflowError):
        raise InputError(f"units `{dataset[name].attrs['units']}` are not understood", file=file, column=name) from None

    def day(count: float) -> float:
        whole = int(np.floor(count * per_unit + 1e-9))
        month = start.year * 12 + start.month - 1 + whole
        first = start.replace(year=month // 12, month=month % 12 + 1, day=1)
        part = count * per_unit - whole
        begun = min(start.day, first.daysinmonth) - 1
        return float(cftime.date2num(first, since, calendar)) + begun + part * first.daysinmonth

    for one in _with_bounds(dataset, name):
        values = np.vectorize(day, otypes=[float])(dataset[one].values)
        dataset[one] = dataset[one].copy(data=values).assign_attrs(units=since, calendar=calendar)


def _in_degrees(dataset: xr.Dataset, name: str) -> None:
    kind = "north" if "lat" in f"{dataset[name].attrs.get('standard_name', name)}".lower() else "east"
    for one in _with_bounds(dataset, name):
        dataset[one] = dataset[one].copy(data=np.degrees(dataset[one].values)).assign_attrs(units=f"degrees_{kind}")
