"""Tables as people have them: columns with other names, biomes by name, profiles under any label.

Everything that a fitted object reads from a table goes through here, so that what is missing or impossible is said by
name, before anything is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import InputError
from .atmosphere import zone_of
from .biomes import EXPECTED_BIOME, UNSAID, biome_numbers
from .israd import DEFAULT_SIGMA, MAX_SIGMA, SAME_PLACE_DEGREES
from .israd_incubations import USUAL_LENGTH
from .plausible import QUANTITIES, judge_argument, without_codes
from .tables import WITH_UNIT, bare, shown
from .units import Form, factor, radiocarbon_form, to_delta14c

if TYPE_CHECKING:
    import xarray as xr

type Covariates = Sequence[str] | Mapping[str, Sequence[str]]
"""Names of numeric columns, or such names by group (soil, climate, …), each of which is rotated by itself."""

ONE_BIOME = 1
"""Biome number of all rows of a table without biomes."""

COLUMNS = QUANTITIES
"""Numeric columns that fitted objects know."""

LABELS = ("study", "site", "profile", "id", "zone", "method")
"""Columns of text; study, site and profile together say which rows belong to one profile."""


class OwnTable:
    """A table under our names for its columns.

    Parameters
    ----------
    table : DataFrame
        As the user has it.
    columns : mapping of str, optional
        Names in the table by our names, for those that differ: ``{"top": "upper_cm"}``.
    complete : bool
        All of these names must be in the table, as when it is fitted. A table to predict from has fewer.

    Raises
    ------
    InputError
        Not a DataFrame, no row, or `columns` names what neither we nor the table have.
    """

    def __init__(self, table: pd.DataFrame, columns: Mapping[str, str] | None = None, *, complete: bool = False):
        if not isinstance(table, pd.DataFrame):
            raise InputError(f"expected a pandas DataFrame, found {type(table).__name__}")
        if table.empty:
            raise InputError("the table has no row")
        if not table.columns.is_unique:
            twice = table.columns[table.columns.duplicated()][0]
            raise InputError(f"the table has the column {twice} twice; expected each name once")
        known = [*COLUMNS, *LABELS, "biome"]
        for ours, theirs in (columns or {}).items():
            if ours not in known:
                raise InputError(f"columns: {ours} is not a column that is used; expected one of {', '.join(known)}")
            if complete and theirs not in table:
                raise InputError(f"columns: the table has no column {theirs} for {ours}; {self._found(table)}")
        self.table, self.names = table, dict(columns or {})

    def has(self, name: str) -> bool:
        """Whether the table has one of our columns."""
        return self.label(name) is not None

    def form(self, name: str) -> Form | None:
        """The form of radiocarbon that stands as a unit behind a column's name."""
        unit = self._unit(name)
        return radiocarbon_form(unit) if unit else None

    def numbers(self, name: str, *, missing: bool = False) -> pd.Series:
        """A numeric column.

        Parameters
        ----------
        name : str
            Our name of it.
        missing : bool
            Empty cells are allowed.

        Raises
        ------
        InputError
            The column is missing, is surely in another unit, or a value is not a number, is empty, or is out of range:
            with its row and column.
        """
        column = self._column(name)
        if _is_date(column):
            self._refuse(column, column.notna(), f"expected {COLUMNS[name].meaning}: {DECIMAL_YEARS}")
        given = _to_numbers(column)
        unit = self._unit(name)
        if unit and radiocarbon_form(unit) is None:
            given = given * factor(unit, COLUMNS[name].unit, column=str(column.name))
        values, _ = without_codes(given, name)
        if name != "sigma":  # which is known by the form of radiocarbon that it belongs to
            more = {"sigma": _to_numbers(self._column("sigma"))} if name == "delta14c" and self.has("sigma") else {}
            judge_argument(values, name, name=f"column {column.name}", **more)
        rule = COLUMNS[name]
        wrong = ~values.between(rule.low, rule.high, inclusive="neither" if rule.open else "both") & values.notna()
        unread = given.isna() & column.notna()
        for bad, expected in ((unread, "a number"), (wrong, f"{rule.meaning}, {rule.range}")):
            if bad.any():
                self._refuse(column, bad, f"expected {expected}")
        if not missing and values.isna().any():
            self._refuse(column, values.isna(), f"expected {rule.meaning}")
        return values

    def covariates(self, names: Iterable[str]) -> pd.DataFrame:
        """Numeric columns under the table's own names; empty cells stay empty.

        Raises
        ------
        InputError
            A column is missing or holds text.
        """
        out = {}
        for name in names:
            if name not in self.table:
                raise InputError(f"the table has no column for the covariate {name}; {self._found(self.table)}")
            column = self.table[name]
            out[name] = _to_numbers(column)
            if (unread := out[name].isna() & column.notna()).any():
                self._refuse(column, unread, "expected a number")
        return pd.DataFrame(out, index=self.table.index)

    def biome(self) -> pd.Series:
        """Biome numbers 1–9 from numbers or names; `ONE_BIOME` everywhere where the table has none.

        Raises
        ------
        InputError
            A value is neither.
        """
        if not self.has("biome"):
            return pd.Series(ONE_BIOME, self.table.index)
        column = self._column("biome")
        found = biome_numbers(column)
        if (wrong := found.isna() | (found == UNSAID)).any():
            self._refuse(column, wrong, f"expected {EXPECTED_BIOME}")
        return found.astype(int)

    def labels(self, name: str) -> pd.Series:
        """A column of labels as text."""
        return self._column(name).astype(str)

    def profile(self) -> pd.Series:
        """Label of each row's profile: study, site and profile together; else the place; else each row is a profile."""
        parts = [self.labels(name) for name in ("study", "site", "profile") if self.has(name)]
        place = self.has("lat") and self.has("lon")
        if parts and place:
            # A label may hold only within a place.
            at = pd.DataFrame({name: self.numbers(name) for name in ("lat", "lon")})
            by_label = at.groupby([part.to_numpy() for part in parts])
            spread = (by_label.transform("max") - by_label.transform("min")).max(axis=1)
            if (spread > SAME_PLACE_DEGREES).any():
                where = at["lat"].round(2).astype(str) + "," + at["lon"].round(2).astype(str)
                parts.append(where.where(spread > SAME_PLACE_DEGREES, ""))
        if not parts and place:
            parts = [self.numbers(name).map(str) for name in ("lat", "lon")]
        if not parts:
            return pd.Series([f"row {i}" for i in self.table.index], self.table.index)
        return pd.concat(parts, axis=1).agg("/".join, axis=1)

    def label(self, name: str) -> Any:
        """The table's own name of a column: as it is called, or in another case, or with a unit behind it."""
        theirs = self.names.get(name, name)
        if theirs in self.table:
            return theirs
        for label in self.table.columns:
            parted = WITH_UNIT.match(str(label).strip())
            if bare(str(theirs)) in (bare(str(label)), bare(parted["name"]) if parted else ""):
                return label
        return None

    def _unit(self, name: str) -> str | None:
        label = str(self.label(name))
        parted = WITH_UNIT.match(label.strip())
        return parted["unit"] if parted and bare(label) != bare(str(self.names.get(name, name))) else None

    def _column(self, name: str) -> pd.Series:
        theirs = self.label(name)
        if theirs is None:
            theirs = self.names.get(name, name)
            meaning = f" ({COLUMNS[name].meaning})" if name in COLUMNS else ""
            raise InputError(
                f"the table has no column {theirs}{meaning}; {self._found(self.table)}; if it has another name there, "
                f'columns={{"{name}": "…"}} says which'
            )
        return self.table[theirs]

    @staticmethod
    def _found(table: pd.DataFrame) -> str:
        names = [shown(name) for name in table.columns[:12]]
        return f"found {', '.join(names)}" + (" …" if table.shape[1] > 12 else "")

    @staticmethod
    def _refuse(column: pd.Series, bad: pd.Series, expected: str) -> None:
        at = bad.idxmax()
        value = column[bad].iloc[0]
        more = f" ({int(bad.sum())} such values in all)" if bad.sum() > 1 else ""
        found = "an empty cell" if pd.isna(value) else f"`{shown(value)}`"
        raise InputError(f"row {shown(at)} of the table, column {column.name}: found {found}, {expected}{more}")


def covariate_groups(covariates: Covariates) -> dict[str, list[str]]:
    """Names of covariates by group; a mere list of names is one group."""
    if isinstance(covariates, str):
        raise InputError(f'covariates is the text "{covariates}"; expected a list of names')
    if isinstance(covariates, Mapping):
        return {str(group): list(names) for group, names in covariates.items()}
    return {"covariates": list(covariates)} if len(covariates) else {}


def layer_table(
    table: pd.DataFrame, columns: Mapping[str, str] | None, covariates: Iterable[str], *, measured: bool
) -> pd.DataFrame:
    """Radiocarbon layers as the turnover model takes them, in the order of the table.

    Parameters
    ----------
    table : DataFrame
        `top`, `bottom`, `year`; `zone`, or `lat` and `lon`; `delta14c`, `fraction_modern`, `percent_modern` or
        `radiocarbon_age`; and optionally `sigma`, `study`, `site`, `profile`, `biome`, `id`.
    columns : mapping of str, optional
        Names in the table by ours.
    covariates : iterable of str
        Names of covariates.
    measured : bool
        Radiocarbon is required; where it is not, layers without it are predicted.

    Returns
    -------
    DataFrame
        `id`, `profile`, `profile_index`, `study` and `site` (if the table has them), `lat`, `lon`, `zone`,
        `biome`, `top`, `bottom`, `year`, `delta14c`, `sigma`, and the covariates, with the index 0, 1, ….

    Raises
    ------
    InputError
        A column is missing, or a value is impossible: with its row and column.
    """
    own = OwnTable(table, columns, complete=measured)
    place = own.has("lat") and own.has("lon")
    if not own.has("zone") and not place:
        for name in ("lat", "lon"):
            own.numbers(name)  # says which is missing
    out = pd.DataFrame({name: own.numbers(name) for name in ("top", "bottom", "year")})
    shallow = out["bottom"] <= out["top"]
    if shallow.any():
        at = shallow.idxmax()
        row = out[shallow].iloc[0]
        raise InputError(
            f"row {shown(at)} of the table: bottom ({row['bottom']:g} cm) is not below top ({row['top']:g} cm)"
        )
    out["lat"], out["lon"] = (own.numbers(n) if place else np.nan for n in ("lat", "lon"))
    out["zone"] = own.labels("zone") if own.has("zone") else zone_of(out["lat"], out["lon"])
    out["delta14c"], out["sigma"] = _radiocarbon(own, out["year"], measured=measured)
    out["biome"] = own.biome()
    if own.has("study"):
        out["study"] = own.labels("study")
    if own.has("site"):
        out["site"] = own.labels("site")
    out["profile"] = own.profile()
    out["profile_index"] = pd.factorize(out["profile"])[0]
    out["id"] = own.labels("id") if own.has("id") else [str(i) for i in table.index]
    return pd.concat([out, own.covariates(covariates)], axis=1).reset_index(drop=True)


def respired_columns(
    incubations: pd.DataFrame, layers: pd.Index[Any], year: pd.Series, columns: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Radiocarbon of the CO₂ of incubated layers, the mean of a layer's incubations.

    Parameters
    ----------
    incubations : DataFrame
        `layer`, a label of `layers`; `delta14c` or another form of radiocarbon; optionally `sigma` and `length` (days;
        41 where unknown, the median of those published).
    layers : Index
        Labels of the layers.
    year : Series
        Their years.
    columns : mapping of str, optional
        Names in the table by ours.

    Returns
    -------
    DataFrame
        `respired`, `respired_sigma` (‰) and `respired_days`, a row a layer, with the index 0, 1, …; NaN where there is
        no incubation.

    Raises
    ------
    InputError
        A column is missing, a label is of no layer, or a value is impossible.
    """
    own = OwnTable(incubations, {o: t for o, t in (columns or {}).items() if t in incubations})
    at = _layers_of(incubations, layers, "incubations")
    value, sigma = _radiocarbon(own, at.map(year.reset_index(drop=True)), measured=True)
    length = _to_numbers(incubations["length"]) if "length" in incubations else pd.Series(np.nan, incubations.index)
    if (length <= 0).any():
        raise InputError(f"incubations, column length: found {length[length <= 0].iloc[0]:g}; expected days, above 0")
    each = pd.DataFrame({"respired": value, "respired_days": length.fillna(USUAL_LENGTH), "variance": sigma**2})
    by_layer = each[value.notna()].groupby(at)
    found = by_layer.mean()
    found["respired_sigma"] = np.sqrt(found.pop("variance") / by_layer.size())
    return found.reindex(range(len(layers)))


def _layers_of(table: pd.DataFrame, layers: pd.Index[Any], name: str) -> pd.Series:
    """Position of each row's layer."""
    if "layer" not in table:
        raise InputError(f"{name}: the table has no column layer; expected the label of each row's layer")
    place = layers.get_indexer(pd.Index(table["layer"]))
    if (place < 0).any():
        lost = table["layer"].iloc[int(np.argmax(place < 0))]
        raise InputError(f"{name}: {shown(lost)} is no layer of the table; expected a label of its index")
    return pd.Series(place, table.index)


def parts_columns(fractions: pd.DataFrame, layers: pd.Index[Any]) -> pd.DataFrame:
    """By how much the light carbon of layers is richer in radiocarbon than the heavy, the mean of a layer's rows.

    Parameters
    ----------
    fractions : DataFrame
        `layer`, a label of `layers`; Δ14C (‰) of the `light` and the `heavy` carbon, by density; `light_share`, the
        share of the layer's carbon that is light (0 to 1; a row without one is not used); optionally `light_sigma` and
        `heavy_sigma` (‰).
    layers : Index
        Labels of the layers.

    Returns
    -------
    DataFrame
        `light_less_heavy`, `light_less_heavy_sigma` (‰) and `light_share`, a row a layer, with the index 0, 1, …; NaN
        where there is no fraction.

    Raises
    ------
    InputError
        A column is missing, a label is of no layer, or a value is impossible.
    """
    at = _layers_of(fractions, layers, "fractions")
    for name in ("light", "heavy", "light_share"):
        if name not in fractions:
            raise InputError(f"fractions: the table has no column {name}; found {', '.join(map(str, fractions))}")
    table = fractions.reindex(columns=["light", "heavy", "light_share", "light_sigma", "heavy_sigma"]).apply(
        _to_numbers
    )
    outside = table["light_share"].notna() & ~table["light_share"].between(0, 1, inclusive="neither")
    if outside.any():
        found = table["light_share"][outside].iloc[0]
        raise InputError(f"fractions, column light_share: found {found:g}; expected a share between 0 and 1")
    sigma = table[["light_sigma", "heavy_sigma"]].fillna(DEFAULT_SIGMA)
    each = pd.DataFrame(
        {
            "light_less_heavy": table["light"] - table["heavy"],
            "light_share": table["light_share"],
            "variance": (sigma**2).sum(axis=1),
        }
    )
    by_layer = each.dropna().groupby(at)
    found = by_layer.mean()
    found["light_less_heavy_sigma"] = np.sqrt(found.pop("variance") / by_layer.size())
    return found.reindex(range(len(layers)))


def _radiocarbon(own: OwnTable, year: pd.Series, *, measured: bool) -> tuple[pd.Series, pd.Series]:
    """Δ14C and its standard deviation, ‰, from whichever form the table has (Stuiver & Polach 1977)."""
    forms = [name for name in FORMS if own.has(name)]
    nothing = pd.Series(np.nan, own.table.index)
    if len(forms) > 1:
        raise InputError(f"the table has {' and '.join(forms)}; expected one of them")
    if not forms:
        if measured:
            own.numbers("delta14c")  # says that it is missing
        return nothing, nothing.fillna(DEFAULT_SIGMA)
    (form,) = forms
    if stated := own.form(form):
        own, form = OwnTable(own.table, {**own.names, stated: own.label(form)}), stated
    value = own.numbers(form, missing=True)
    if measured and not value.notna().any():
        raise InputError(f"every cell of the column {form} is empty; expected radiocarbon of some layers")
    sigma = own.numbers("sigma", missing=True) if own.has("sigma") else nothing
    converted, error = to_delta14c(value, sigma, year, form)
    value, sigma = pd.Series(converted, value.index), pd.Series(error, value.index)
    judge_argument(sigma, "sigma", name="sigma")
    return value, sigma.where(sigma.between(0, MAX_SIGMA, inclusive="right"), DEFAULT_SIGMA)


FORMS: tuple[Form, ...] = ("delta14c", "fraction_modern", "percent_modern", "radiocarbon_age")

DECIMAL_YEARS = "for dates, `date.dt.year + (date.dt.dayofyear - 0.5) / 365.25`"
"""How a column of dates becomes one of decimal years."""


def _is_date(column: pd.Series) -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(column) or isinstance(column.dtype, pd.PeriodDtype))


def _to_numbers(column: pd.Series) -> pd.Series:
    if _is_date(column):
        return pd.Series(np.nan, column.index)  # its numbers would be nanoseconds
    return pd.to_numeric(column, errors="coerce").astype(float)


def row_coordinates(index: pd.Index[Any] | None, dim: str, *, taken: Sequence[str] = ()) -> xr.Coordinates:
    """The index of a table as a coordinate of results, under the name of their dimension.

    Parameters
    ----------
    index : Index or None
        Index of the table; None gives no labels.
    dim : str
        Name of the dimension.
    taken : sequence of str
        Other dimensions of the results.

    Raises
    ------
    InputError
        A level of the index has the name of one of these dimensions.
    """
    import xarray as xr

    if isinstance(index, pd.MultiIndex):
        clash = {dim, *taken} & set(index.names)
        if clash:
            raise InputError(f"a level of the index is called {min(clash)}, as a dimension of the result; rename it")
        return xr.Coordinates.from_pandas_multiindex(index, dim)
    return xr.Coordinates({} if index is None else {dim: index.rename(dim)})


def flat(groups: Mapping[str, Sequence[str]]) -> list[str]:
    """All names of covariates, in order."""
    return [name for names in groups.values() for name in names]
