"""The work in five sentences, made from the tables of a run."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from .captions import largest_steps, number, pick, posterior, staying
from .results import Results

ONE_POOL = "one pool"


def sentences(results: Results) -> Iterator[str]:
    """At most five sentences; those whose tables a run does not have are left out."""
    if not results.has("persistence", "transit_times", "ladder"):
        yield _roots(
            results, pick(results.table("summary_global"), quantity="iroot", where="mean of"), "", "of the soil"
        )
        return
    families = list(dict.fromkeys(results.table("persistence")["family"]))
    of_profiles = staying(results, families[0], 0)
    yield _roots(results, of_profiles, "iroot_", f"of {number(of_profiles['n'], 6)} radiocarbon profiles")
    many = [family for family in families if family != ONE_POOL]
    if ONE_POOL in families:
        row = staying(results, ONE_POOL, 0)
        yield (
            f"If every layer is one pool, as in the paper, {posterior(row, 'ibulk_')} Mg C ha⁻¹ yr⁻¹ enters the bulk "
            f"soil of these profiles, and {posterior(row, 'share_', percent=True)} is lost on the way."
        )
    if many:
        row = staying(results, many[0], 0)
        yield (
            "How much enters in all is not known, however: if a layer has many rates, as respired CO₂ suggests, it is "
            f"{posterior(row, 'ibulk_')} Mg C ha⁻¹ yr⁻¹ with {many[0]} rates."
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


def _roots(results: Results, mean: pd.Series | None, prefix: str, where: str) -> str:
    land = pick(results.table("summary_global"), quantity="iroot", where="map, total")
    text = "" if mean is None else f"Roots bring {posterior(mean, prefix)} Mg C ha⁻¹ yr⁻¹ into the upper 200 cm {where}"
    return f"{text}, {posterior(land)} Pg C yr⁻¹ on all mapped land." if land is not None else f"{text}."


def _conditions(results: Results) -> str:
    ladder = results.table("ladder")
    low, high = (number(100 * value) for value in (ladder["share_median"].min(), ladder["share_median"].max()))
    return (
        f"All of this is conditional on steady state, on the carbon stocks and on root production; under the "
        f"{len(ladder)} ways to count that are compared, medians of the share lost go from {low} to {high} %, with the "
        f"largest steps {' and '.join(largest_steps(ladder, 2))}."
    )
