"""Atmospheric radiocarbon: the bomb curves by zone, the history before 1950, and which zone a place lies in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .plausible import judge
from .tables import HEADER_ROWS, bare, names_found, read_csv, read_header, shown

Zone = Literal["NHZone1", "NHZone2", "NHZone3", "SHZone1-2", "SHZone3"]
Prehistory = Literal["steady", "intcal20"]

ATMOSPHERE_ZONES: tuple[str, ...] = get_args(Zone)
"""Zones of Hua et al. 2021, from the Arctic to the Antarctic."""

BOMB_START = 1950.0
"""Year in which the modelled bomb period begins."""

FIRST_YEAR = 1800.0
"""First year of a sample. Before 1950 the air is that of IntCal20, or, for a pool steady in 1950, as it was in 1950."""

EXTRAPOLATION_YEARS = 20.0
EXTRAPOLATION_TREND_YEARS = 5.0
EXTRAPOLATION_SD_PER_YEAR = 1.0
"""Growth of the curve's σ after its last node, ‰ per year: the spread of five-year trends about the next five years
since 1995. The south, where nothing was observed since 2019, grows uncertain as fast about the north.
"""

JOIN_YEARS = 5.0
"""Years before the end of a curve over which its mean difference from the north is taken."""

MAX_GAP_YEARS = 5.0
"""Longest step of a curve that is dense elsewhere, and latest beginning after 1950: more would lose the bomb peak."""


@dataclass(frozen=True)
class Curve:
    """A piecewise-linear atmosphere: Δ14C and its standard deviation (‰) at increasing years AD; a repeated year is a
    step.
    """

    years: NDArray[np.float64]
    delta14c: NDArray[np.float64]
    sd: NDArray[np.float64]

    def __post_init__(self) -> None:
        if len(self.years) < 2:
            raise InputError(f"a curve needs at least two nodes, has {len(self.years)}")
        if np.any(np.diff(self.years) < 0):
            at = int(np.argmax(np.diff(self.years) < 0))
            raise InputError(f"curve years must not decrease, {self.years[at]} is followed by {self.years[at + 1]}")

    def at(self, year: ArrayLike) -> NDArray[np.float64]:
        """Δ14C (‰) in a year."""
        return np.asarray(np.interp(np.asarray(year, float), self.years, self.delta14c))

    def sd_at(self, year: ArrayLike) -> NDArray[np.float64]:
        """Standard deviation of the curve (‰) in a year."""
        return np.asarray(np.interp(np.asarray(year, float), self.years, self.sd))

    def from_year(self, start: float) -> Curve:
        """The part from `start` on, with a node at `start`."""
        later = self.years > start
        return Curve(
            np.r_[start, self.years[later]],
            np.r_[self.at(start), self.delta14c[later]],
            np.r_[self.sd_at(start), self.sd[later]],
        )

    def extrapolated(self) -> Curve:
        """The curve with its last five years' linear trend continued for 20 years, σ growing by 1 ‰ a year.

        The paper imputed these years by a random forest; a stated line with a growing σ can be checked and says how
        little is known.
        """
        end = self.years[-1]
        recent = self.years >= end - EXTRAPOLATION_TREND_YEARS
        if recent.sum() < 2 or end <= BOMB_START:
            return self
        slope = np.polyfit(self.years[recent] - end, self.delta14c[recent], 1)[0]
        return Curve(
            np.r_[self.years, end + EXTRAPOLATION_YEARS],
            np.r_[self.delta14c, self.delta14c[-1] + slope * EXTRAPOLATION_YEARS],
            np.r_[self.sd, self.sd[-1] + EXTRAPOLATION_SD_PER_YEAR * EXTRAPOLATION_YEARS],
        )


@dataclass(frozen=True)
class Atmosphere:
    """Bomb-period curves by zone, and the curve before 1950 of each hemisphere.

    `Atmosphere.packaged()` needs no file: Hua et al. 2021 by month to 2019.4, joined to northern observations up to
    2023.75 (see `joined_to_observations`), and the nodes of IntCal20 and SHCal20, which curves without
    a history of their own have before 1950. `Atmosphere.read(folder)` takes files in Hua's form where a user has them,
    `Atmosphere.cmip6(file)` the forcing of CMIP6.
    """

    curves: dict[str, Curve]
    before: dict[str, Curve] = field(default_factory=lambda: _packaged_prehistory())
    source: str = ""

    @staticmethod
    @lru_cache(maxsize=1)
    def packaged() -> Atmosphere:
        """The tables that ship with the package."""
        curves = {
            zone: joined_to_observations(curve, zone).extrapolated() for zone, curve in _packaged_curves().items()
        }
        source = "packaged monthly table (Hua et al. 2021; Jungfraujoch from 2019)"
        return Atmosphere(curves, _packaged_prehistory(), source)

    @staticmethod
    def read(folder: str | Path) -> Atmosphere:
        """Curves from the `*.csv` files of a folder: Hua 2021 form (bomb period); IntCal20 and SHCal20 form (before
        1950).

        Zones or hemispheres without a file are those of the packaged table. A folder without files gives the packaged
        atmosphere.

        Parameters
        ----------
        folder : str or Path
            Folder with the files.

        Returns
        -------
        Atmosphere
            The curves of all zones.

        Raises
        ------
        InputError
            A file has neither form, two files have the curve of one zone or hemisphere, or a number is missing, out of
            order, out of range, or in a different unit.
        """
        curves: dict[str, Curve] = {}
        before: dict[str, Curve] = {}
        names: list[str] = []
        made_by: dict[str, str] = {}
        for path in sorted(Path(folder).glob("*.csv")) if Path(folder).is_dir() else []:
            header, (hua, intcal, _) = read_header(path), _schemas()
            found: dict[str, Curve] = {}
            if _has(header, hua):
                found = _hua_curves(read_csv(path, hua), path)
                curves |= found
            elif _has(header, intcal):
                found = {_hemisphere(path): _history(read_csv(path, intcal), path)}
                before |= found
            else:
                raise InputError(
                    f"expected the columns {', '.join(hua.columns)} (Hua 2021) or {', '.join(intcal.columns)} "
                    f"(IntCal20); {names_found(header)}",
                    file=path,
                )
            for what in found:
                if what in made_by:
                    whose = what if what in ATMOSPHERE_ZONES else f"the {what} before 1950"
                    raise InputError(
                        f"a second curve of {whose}, which is in {made_by[what]} as well; leave one of them",
                        file=path,
                    )
                made_by[what] = path.name
            names.append(path.name)
        packaged = Atmosphere.packaged()
        source = f"{', '.join(names)}" if curves else packaged.source + (f" with {', '.join(names)}" if names else "")
        return Atmosphere(packaged.curves | curves, packaged.before | before, source)

    def by_hemisphere(self) -> Atmosphere:
        """The atmosphere as the paper takes it: every zone has the mean curve of the zones of its hemisphere.

        Examples
        --------
        >>> air = Atmosphere.packaged().by_hemisphere()
        >>> bool(air.bomb("NHZone1").at(1964.5) == air.bomb("NHZone3").at(1964.5) > air.bomb("SHZone3").at(1964.5))
        True
        """
        curves: dict[str, Curve] = {}
        for hemisphere in ("NH", "SH"):
            zones = [zone for zone in self.curves if zone.startswith(hemisphere)]
            if zones:
                curves |= dict.fromkeys(zones, _mean([self.curves[zone] for zone in zones]))
        return replace(self, curves=curves, source=f"{self.source}, mean of each hemisphere's zones")

    @staticmethod
    def cmip6(path: str | Path) -> Atmosphere:
        """The atmosphere that Earth system models of CMIP6 were given (Graven et al. 2017), for comparing with them.

        Its three bands replace the zones: north of 30° N, the tropics, south of 30° S. In 1955-65 they differ from
        the zones of Hua et al. 2021 by 19 ‰ on average, so that measured layers are not to be dated with them.

        Parameters
        ----------
        path : path
            A table of annual values with the columns `Year.AD`, `NH`, `Tropics`, `SH`, ‰, from 1950 or earlier on.

        Raises
        ------
        InputError
            A column is missing, or a figure is missing, unordered or out of range.
        """
        path = Path(path)
        table = read_csv(path, _schemas()[2])
        years = table["Year.AD"]
        _refuse(years.diff() <= 0, "years must increase", path, "Year.AD")
        if len(table) < 2 or years.iloc[0] > BOMB_START + MAX_GAP_YEARS:
            raise InputError(f"expected years from {BOMB_START:.0f} on", file=path, column="Year.AD")
        nothing = np.zeros(len(table))
        bands = {band: Curve(years.to_numpy(float), table[band].to_numpy(float), nothing) for band in CMIP6_BANDS}
        curves = {zone: bands[band].extrapolated() for band, zones in CMIP6_BANDS.items() for zone in zones}
        return Atmosphere(curves, _packaged_prehistory(), f"{path.name} (CMIP6)")

    def bomb(self, zone: str) -> Curve:
        """The curve of a zone from 1950 on, extrapolated."""
        return self._zone(zone).from_year(BOMB_START) if self._zone(zone).years[0] < BOMB_START else self._zone(zone)

    def history(self, zone: str) -> Curve:
        """The curve of a zone's hemisphere from 55 kyr BP to 1950."""
        return self.before["south" if zone.startswith("SH") else "north"]

    def whole(self, zone: str) -> Curve:
        """The history of a zone's hemisphere to 1950, and the zone's own curve from then on."""
        before, after = self.history(zone), self.bomb(zone)
        early = before.years <= after.years[0]
        parts = ((getattr(before, name)[early], getattr(after, name)) for name in ("years", "delta14c", "sd"))
        return Curve(*(np.concatenate(part) for part in parts))

    def _zone(self, zone: str) -> Curve:
        if zone not in self.curves:
            raise InputError(f"`{zone}` is not an atmospheric zone, choose from {', '.join(self.curves)}")
        return self.curves[zone]


def zone_of(latitude: ArrayLike, longitude: ArrayLike) -> NDArray[np.str_]:
    """Atmospheric radiocarbon zone of a place.

    Hua et al. 2021 divide the globe at 40° N (between zones 1 and 2 of the north) and at the summer and winter
    positions of the tropical rain belt (NHZone3 and SHZone3 between them, divided at its yearly mean), and take one
    curve south of it. The belt's July and January latitudes are read from a climatology at twelve meridians (Waliser &
    Gautier 1993, doi:10.1175/1520-0442(1993)006<2162:ASVCOT>2.0.CO;2) and joined by straight lines; a shift of 5°
    changes Δ14C by less than 10 ‰ outside 1955–1968.

    Parameters
    ----------
    latitude, longitude : array-like of float
        Degrees north and degrees east; broadcast against each other.

    Returns
    -------
    ndarray of str
        One of `ATMOSPHERE_ZONES` for each place, of the broadcast shape.

    Raises
    ------
    InputError
        A latitude or longitude is missing or off the globe.
    """
    latitude, longitude = np.broadcast_arrays(filled(latitude), filled(longitude))
    for name, value, low, high in (("latitude", latitude, -90, 90), ("longitude", longitude, -180, 360)):
        wrong = ~((value >= low) & (value <= high))
        if wrong.any():
            raise InputError(f"{name} is {value[wrong].flat[0]:g}; expected degrees from {low} to {high}")
    july = np.interp(longitude, _MERIDIANS, _RAIN_BELT_JULY, period=360)
    january = np.interp(longitude, _MERIDIANS, _RAIN_BELT_JANUARY, period=360)
    middle = (july + january) / 2
    return np.select(
        [latitude >= 40, latitude >= july, latitude >= middle, latitude >= january],
        ["NHZone1", "NHZone2", "NHZone3", "SHZone3"],
        "SHZone1-2",
    )


def filled(values: ArrayLike) -> NDArray[np.float64]:
    """Numbers as an array, NaN where a masked array is masked."""
    if isinstance(values, np.ma.MaskedArray):
        return np.asarray(np.ma.filled(values.astype(float), np.nan))
    return np.asarray(values, float)


CMIP6_BANDS: dict[str, tuple[str, ...]] = {
    "NH": ("NHZone1", "NHZone2"),
    "Tropics": ("NHZone3", "SHZone3"),
    "SH": ("SHZone1-2",),
}
"""Bands of the CMIP6 forcing, and the zones that each of them replaces."""


def joined_to_observations(curve: Curve, zone: str) -> Curve:
    """A zone's curve with what was observed after its end in the north: quarterly means of Jungfraujoch, to 2023.75.

    The station agrees with NHZone1 in 2015-19 (0.15 ‰ higher, with a standard deviation of 2.2 ‰ of a sample). Other
    zones are taken to differ from NHZone1 as they did on average in the last five years of the curve. σ is that of a
    quarter's samples, with the scatter of this difference and, in the south, 1 ‰ for each year since.

    Parameters
    ----------
    curve : Curve
        Before extrapolation. One that ends more than five years before 2019, or after 2023, is returned as it is.
    zone : str
        One of `ATMOSPHERE_ZONES`.
    """
    north, observed, end = _packaged_curves()["NHZone1"], _observed_north(), curve.years[-1]
    later = observed.years > end
    if not later.any() or end < observed.years[0] - JOIN_YEARS:
        return curve
    recent = north.years[(north.years > end - JOIN_YEARS) & (north.years <= end)]
    difference = curve.at(recent) - north.at(recent)
    since = (observed.years[later] - end) * EXTRAPOLATION_SD_PER_YEAR * zone.startswith("SH")
    return Curve(
        np.r_[curve.years, observed.years[later]],
        np.r_[curve.delta14c, observed.delta14c[later] + difference.mean()],
        np.r_[curve.sd, np.sqrt(observed.sd[later] ** 2 + difference.var() + since**2)],
    )


def _mean(curves: list[Curve]) -> Curve:
    """Mean of curves at the nodes of any of them, over the years that all have."""
    first, last = max(c.years[0] for c in curves), min(c.years[-1] for c in curves)
    years = np.unique(np.concatenate([c.years for c in curves]))
    years = years[(years >= first) & (years <= last)]
    return Curve(
        years, *(np.mean([f(years) for f in fs], axis=0) for fs in ([c.at for c in curves], [c.sd_at for c in curves]))
    )


@lru_cache(maxsize=1)
def _packaged_curves() -> dict[str, Curve]:
    """Packaged curve of each zone, up to 2019.4, before observations are joined."""
    table = _packaged_table("bomb_curve_monthly.csv")
    columns = {zone: ("year", zone, f"{zone}_sd") for zone in ATMOSPHERE_ZONES}
    return {zone: Curve(*(table[name].to_numpy(float) for name in names)) for zone, names in columns.items()}


def _observed_north() -> Curve:
    table = _packaged_table("observed_north.csv")
    return Curve(*(table[name].to_numpy(float) for name in ("year", "delta14c", "sd")))


def _packaged_table(name: str) -> pd.DataFrame:
    with as_file(files("bayes_rootc.data") / name) as path:
        return pd.read_csv(path, comment="#")


_MERIDIANS = (-165, -135, -105, -75, -45, -15, 15, 45, 75, 105, 135, 165)
_RAIN_BELT_JULY = (9, 10, 12, 11, 9, 14, 17, 19, 26, 26, 20, 12)
_RAIN_BELT_JANUARY = (-2, 3, 4, -12, -10, 2, -15, -17, -9, -9, -13, -10)


def _packaged_prehistory() -> dict[str, Curve]:
    table = _packaged_table("prehistory.csv")
    return {
        hemisphere: _calendar_bp_curve(*(table.loc[table["curve"] == name, c] for c in ("cal_bp", "delta14c", "sd")))
        for hemisphere, name in (("north", "intcal20"), ("south", "shcal20"))
    }


def _calendar_bp_curve(cal_bp: pd.Series, delta14c: pd.Series, sd: pd.Series) -> Curve:
    years = BOMB_START - cal_bp.to_numpy(float)
    order = np.argsort(years)
    return Curve(years[order], delta14c.to_numpy(float)[order], sd.to_numpy(float)[order])


def _has(header: list[str], schema: Any) -> bool:
    return {bare(name) for name in schema.columns} <= {bare(name) for name in header}


def _hemisphere(path: Path) -> str:
    """Hemisphere of a curve before 1950, from its file name: south for SHCal20 or a name with "south", else north."""
    return "south" if re.search(r"shcal|south|(^|[^a-z])sh([^a-z]|$)", path.name.lower()) else "north"


def _refuse_other_form(values: pd.Series, path: Path, column: str) -> None:
    doubt = judge(values, "delta14c")
    if doubt is not None and doubt.sure and values.between(0, 3).all():
        raise InputError(f"{doubt.text.partition(':')[0]}; expected ‰", file=path, column=column)


def _history(table: pd.DataFrame, path: Path) -> Curve:
    years = table["CAL.BP"]
    _refuse(years.duplicated(), "the year is there twice", path, "CAL.BP")
    _refuse_other_form(table["Delta.14C"], path, "Delta.14C")
    if len(table) < 2:
        raise InputError(f"expected at least two years, found {len(table)}", file=path)
    if years.min() > MAX_GAP_YEARS:
        raise InputError(f"ends {years.min():g} years before 1950, expected to reach it", file=path, column="CAL.BP")
    return _calendar_bp_curve(years, table["Delta.14C"], table["Sigma.Delta.14C"])


def _hua_curves(table: pd.DataFrame, path: Path) -> dict[str, Curve]:
    unknown = ~table["zone"].isin(ATMOSPHERE_ZONES)
    if unknown.any():
        stranger = shown(table["zone"][unknown].iloc[0])
        _refuse(unknown, f"`{stranger}` is not a zone, expected one of {', '.join(ATMOSPHERE_ZONES)}", path, "zone")
    _refuse_other_form(table["mean.Delta14C"], path, "mean.Delta14C")
    curves = {}
    for name, rows in table.groupby("zone"):
        zone, years = str(name), rows["Year"]
        _refuse(years.diff() <= 0, f"years of {zone} must increase", path, "Year")
        if len(rows) < 2:
            raise InputError(f"expected at least two years of {zone}, found {len(rows)}", file=path)
        if years.iloc[0] > BOMB_START + MAX_GAP_YEARS:
            raise InputError(f"{zone} begins in {years.iloc[0]:g}, expected {BOMB_START:.0f}", file=path, column="Year")
        # A hole in a curve; one of few nodes throughout is its maker's choice.
        gap = years.diff() > max(MAX_GAP_YEARS, 10 * years.diff().median())
        if gap.any():
            before, after = years.shift()[gap].iloc[0], years[gap].iloc[0]
            _refuse(gap, f"{zone} has no value between {before:g} and {after:g}", path, "Year")
        curve = Curve(*(rows[c].to_numpy(float) for c in ("Year", "mean.Delta14C", "sd.Delta14C")))
        curves[zone] = joined_to_observations(curve, zone).extrapolated()
    return curves


def _refuse(wrong: pd.Series, message: str, path: Path, column: str) -> None:
    """Names the first row that is wrong."""
    if wrong.any():
        raise InputError(message, file=path, row=int(wrong.index[wrong][0]) + HEADER_ROWS + 1, column=column)


@lru_cache(maxsize=1)
def _schemas():  # type: ignore[no-untyped-def]
    """Schemas of files in the form of Hua et al., of IntCal20, and of the CMIP6 forcing."""
    import pandera.pandas as pa

    def number(low: float, high: float, what: str = "") -> pa.Column:
        return pa.Column(float, pa.Check.in_range(low, high, error=f"{what} is outside [{low:g}, {high:g}]".strip()))

    delta14c, sd = number(-1000, 2000, "‰"), number(0, 1000, "‰")
    zone, year, cal_bp = pa.Column(object), number(-60_000, 2100), number(-100, 60_000)
    return (
        pa.DataFrameSchema({"zone": zone, "Year": year, "mean.Delta14C": delta14c, "sd.Delta14C": sd}),
        pa.DataFrameSchema({"CAL.BP": cal_bp, "Delta.14C": delta14c, "Sigma.Delta.14C": sd}),
        pa.DataFrameSchema({"Year.AD": year} | dict.fromkeys(CMIP6_BANDS, delta14c)),
    )
