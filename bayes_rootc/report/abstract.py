"""The work in five sentences, made from the tables of a run."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from .captions import number, pick, posterior, staying
from .results import Results

ONE_POOL = "one pool"
MOST = 2
"""Choices that are named as those on which the share lost hangs."""


def sentences(results: Results) -> Iterator[str]:
    """At most five sentences; those whose tables a run does not have are left out."""
    yield _roots(results)
    if not results.has("persistence", "transit_times", "ladder"):
        return
    families = list(dict.fromkeys(results.table("persistence")["family"]))
    many = [family for family in families if family != ONE_POOL]
    if ONE_POOL in families:
        row = staying(results, ONE_POOL, 0)
        yield (
            f"If every layer is one pool, as in the paper, {posterior(row, 'ibulk_')} Mg C ha⁻¹ yr⁻¹ of it enters bulk "
            f"soil, and {posterior(row, 'share_', percent=True)} is lost on the way."
        )
    if many:
        row = staying(results, many[0], 0)
        yield (
            "How much enters in all is not known, however: where a layer has many rates, as what soils respire asks "
            f"for, it is {posterior(row, 'ibulk_')} Mg C ha⁻¹ yr⁻¹ with {many[0]} rates."
        )
    century = {family: staying(results, family, 100) for family in [*many, *(f for f in families if f == ONE_POOL)]}
    inputs = " and ".join(f"{posterior(row, 'ibulk_')} with {_rates(family)}" for family, row in century.items())
    first = next(iter(century.values()))
    yield (
        f"What the data decide is the input that stays longer than a century, {inputs}, so that "
        f"{posterior(first, 'share_', percent=True)} of root carbon does not stay that long."
    )
    yield _conditions(results)


def _rates(family: str) -> str:
    return family if family.endswith(("pool", "pools")) else f"{family} rates"


def _roots(results: Results) -> str:
    summary = results.table("summary_global")
    site, land = (pick(summary, quantity="iroot", where=where) for where in ("mean of", "map, total"))
    text = f"Roots bring {posterior(site)} Mg C ha⁻¹ yr⁻¹ into the upper 200 cm of the soil" if site is not None else ""
    return f"{text}, {posterior(land)} Pg C yr⁻¹ on all mapped land." if land is not None else f"{text}."


def _conditions(results: Results) -> str:
    ladder = results.table("ladder")
    known = ladder.dropna(subset=["change"]).set_index("what")
    most = known["change"].abs().nlargest(MOST).index
    named = " and ".join(f"{what} ({_points(known.loc[what])})" for what in most)
    low, high = (number(100 * value) for value in (ladder["share_median"].min(), ladder["share_median"].max()))
    return (
        f"All of this is conditional on steady state, on the carbon stocks and on root production; under the "
        f"{len(ladder)} ways to count that are compared, medians of the share lost go from {low} to {high} %, and what "
        f"moves it most is {named}."
    )


def _points(row: pd.Series) -> str:
    return f"{number(100 * row['change'])} points from {row['compared_with']}"
