"""Steps in time of a model's output: pieces of a period joined, months by their length, and which years are whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from .archive import Part, opened

LAST_YEARS = 20
WHOLE_YEAR = 0.97
"""Share of a year's days from which it counts as whole."""

OVERLAP_DAYS = 0.5
"""Days by which steps may overlap where calendars are rounded."""


@dataclass(frozen=True)
class Steps:
    """Steps of a variable in one file.

    Attributes
    ----------
    part : Part
        Where they are.
    dimension : str
        Name of the time axis.
    year : ndarray
        Year in which the middle of each step lies, (step,).
    days : ndarray
        Length of each step, (step,).
    start : ndarray
        Days from a common date to the begin of each step, (step,).
    year_days : float
        Days of a year of the calendar.
    """

    part: Part
    dimension: str
    year: NDArray[np.int64]
    days: NDArray[np.float64]
    start: NDArray[np.float64]
    year_days: float


@dataclass(frozen=True)
class Series:
    """A variable of one member, of all its pieces; without `steps` it has no time.

    Attributes
    ----------
    parts : sequence of Part
        Files it is in.
    steps : sequence of Steps
        Steps of each, in their order in time.
    """

    parts: Sequence[Part]
    steps: Sequence[Steps]

    @classmethod
    def of(cls, parts: Sequence[Part]) -> Series:
        """Joins the pieces of a period.

        Raises
        ------
        InputError
            Pieces overlap, or one of several has no time.
        """
        steps = []
        for part in parts:
            with opened(part.path) as dataset:
                found = _steps(dataset, part)
            if found is not None:
                steps.append(found)
            elif len(parts) > 1:
                others = next(other.path for other in parts if other != part)
                raise InputError(
                    f"`{part.name}` has no time axis here, and is in {others.name} as well; leave one",
                    file=part.path,
                )
        steps.sort(key=lambda s: s.start.min())
        for before, after in pairwise(steps):
            if after.start.min() < (before.start + before.days).max() - OVERLAP_DAYS:
                raise InputError(
                    f"`{after.part.name}` overlaps in time with {before.part.path} "
                    f"({ranges(np.unique(before.year))} and {ranges(np.unique(after.year))}); leave one",
                    file=after.part.path,
                )
        return cls(parts, steps)

    @cached_property
    def covered(self) -> dict[int, float]:
        """Share of the days of each year that there is."""
        covered = dict[int, float]()
        for steps in self.steps:
            for year, days in zip(steps.year, steps.days, strict=True):
                covered[int(year)] = covered.get(int(year), 0.0) + float(days) / steps.year_days
        return covered


def _steps(dataset: xr.Dataset, part: Part) -> Steps | None:
    array = dataset[part.name]
    name = next((str(d) for d in array.dims if str(d) == "time" or _is_time(dataset.get(d, array).attrs)), "")
    if not name:
        return None
    dates: NDArray[Any] = dataset[name].values if name in dataset.variables else np.empty(0)
    if not len(dates) or not hasattr(dates[0], "year"):
        raise InputError("expected units such as `days since 1850-01-01`", file=part.path, column=name)
    bounds = dataset.get(str(dataset[name].attrs.get("bounds", "")))
    begun, year = dates, np.array([date.year for date in list(dates)])
    if bounds is not None and bounds.ndim == 2:
        begins, ends = bounds.values.T
        dated = bounds.dtype == object
        length = np.array([_length(a, b) for a, b in zip(begins, ends, strict=True)]) if dated else ends - begins
        if (length <= 0).any():
            raise InputError(
                "has steps of no length; expected their beginning and end", file=part.path, column=str(bounds.name)
            )
        if dated:
            begun = begins
            middle: list[Any] = [a + timedelta(days=float(d) / 2) for a, d in zip(begins, length, strict=True)]
            # a mean over many years, such as a climatology, is of the year that it is dated
            year = np.where(length <= 366, [date.year for date in middle], year)
    else:
        length = _lengths(dates)
    calendar = dates[0].calendar
    since = cftime.datetime(1, 1, 1, calendar=calendar)
    start = np.array([_length(since, date) for date in begun])
    year_days = 360.0 if calendar == "360_day" else 365.25
    return Steps(part, name, year.astype(np.int64), length.astype(float), start, year_days)


def _is_time(attributes: dict[str, Any]) -> bool:
    return attributes.get("axis") == "T" or attributes.get("standard_name") == "time"


def _length(start: Any, end: Any) -> float:
    return float((end - start).total_seconds()) / 86400


def _lengths(dates: NDArray[Any]) -> NDArray[np.float64]:
    """Length of each step without bounds: of its month where there are twelve a year, of a year, else of the typical
    step; one alone counts as a year.
    """
    apart = np.array([_length(a, b) for a, b in pairwise(dates)])
    typical = float(np.median(apart)) if len(apart) else 365.25
    if 27 < typical < 32:
        return np.array([date.daysinmonth for date in dates], float)
    return np.full(len(dates), typical)


def common_years(
    series: dict[str, list[Series]], years: tuple[int, int] | None, path: Path
) -> tuple[list[int], list[str]]:
    """Years over which variables are averaged, the same for all and for all members; and remarks.

    Parameters
    ----------
    series : dict
        Members of each variable.
    years : tuple of int, optional
        First and last that are wanted; else the last twenty that are whole in all.

    Raises
    ------
    InputError
        Years are wanted of a variable without time; or there is no year in common.
    """
    timed = {name: [s for s in members if s.steps] for name, members in series.items()}
    every = [s for members in timed.values() for s in members]
    if years:
        for name, members in series.items():
            if len(timed[name]) < len(members):
                raise InputError("has no time axis to choose years from", file=members[0].parts[0].path, column=name)
    if not every:
        return [], []
    there = sorted(set.intersection(*(set(s.covered) for s in every)))
    if not there:
        said = ", ".join(f"`{name}` has {_span(s.covered for s in members)}" for name, members in timed.items())
        raise InputError(f"{said}: no year in common", file=path)
    whole = [y for y in there if all(s.covered[y] >= WHOLE_YEAR for s in every)]
    remarks = []
    if years:
        wanted = [y for y in there if years[0] <= y <= years[1]]
        if not wanted:
            text = f"has years {there[0]} to {there[-1]}, none of {years[0]} to {years[1]}"
            raise InputError(text, file=every[0].parts[0].path if len(every[0].parts) == 1 else path)
        lacking = years[1] - years[0] + 1 - len(wanted)
        if lacking:
            remarks.append(f"{lacking} of the years {years[0]} to {years[1]} are not there; used: {ranges(wanted)}")
    else:
        wanted = (whole or there)[-LAST_YEARS:]
        spans = {name: _span(s.covered for s in members) for name, members in timed.items()}
        if len(set(spans.values())) > 1:
            said = ", ".join(f"{name} {span}" for name, span in spans.items())
            remarks.append(f"years that all variables have: {ranges(wanted)} ({said})")
    partly = [y for y in wanted if y not in whole]
    if partly:
        remarks.append(f"{ranges(partly)}: only a part of the year is there")
    return wanted, remarks


def _span(covered: Any) -> str:
    years = sorted(set.intersection(*map(set, covered)))
    return ranges(years) or "none"


def ranges(years: Iterable[int]) -> str:
    """Years as people write them.

    Examples
    --------
    >>> ranges([1990, 1991, 1992, 1995])
    '1990 to 1992, 1995'
    """
    runs: list[list[int]] = []
    for year in years:
        if runs and year == runs[-1][-1] + 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
