"""Root profiles of Schenk & Jackson 2003 (ORNL DAAC 660): the depths above which half and 95 % of the roots lie."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..constants import M_TO_CM
from .tables import Screen, SourceCheck, number_column, read_csv

MAX_D95_M = 20.0


def read_root_profiles(path: Path) -> tuple[pd.DataFrame, SourceCheck]:
    """Root profiles, one row a profile.

    The extrapolated depths are used (roots below the sampled depth counted in), else those of the sampled part.

    Returns
    -------
    profiles : DataFrame
        `id`, `lat`, `lon` (degrees), `d50`, `d95` (cm); `d50_sampled`, `d95_sampled`: of the sampled part alone, NaN
        where missing or 0.
    check : SourceCheck
        Rows read, used, and dropped by rule.

    Raises
    ------
    InputError
        See `tables.read_csv`.
    """
    screen = Screen("root profiles (Schenk & Jackson)", path, read_csv(path, _schema()))
    t = screen.table
    sampled_only = t["D50_extrapolated"].isna() | t["D95_extrapolated"].isna()
    d50 = t["D50_extrapolated"].where(~sampled_only, t["D50"])
    d95 = t["D95_extrapolated"].where(~sampled_only, t["D95"])
    sampled = {f"{n.lower()}_sampled": t[n].where(t[n] > 0) * M_TO_CM for n in ("D50", "D95")}
    screen.table = t.assign(d50=d50 * M_TO_CM, d95=d95 * M_TO_CM, **sampled)
    screen.remark("no extrapolated depths: those of the sampled part", sampled_only)
    screen.table = screen.table.rename(columns={"ID": "id", "latitude": "lat", "longitude": "lon"})
    return profiles_of(screen)


def profiles_of(screen: Screen) -> tuple[pd.DataFrame, SourceCheck]:
    """Profiles and check of a table under our names, with depths in cm."""
    screen.drop("no coordinates", screen.table["lat"].isna() | screen.table["lon"].isna())
    screen.drop("D50 or D95 missing", screen.table["d50"].isna() | screen.table["d95"].isna())
    screen.drop("D50 not > 0", screen.table["d50"] <= 0)
    screen.drop("D95 not below D50", screen.table["d95"] <= screen.table["d50"])
    screen.drop("duplicate (same place and depths)", screen.table.duplicated(["lat", "lon", "d50", "d95"]))
    columns = ["id", "lat", "lon", "d50", "d95", "d50_sampled", "d95_sampled"]
    columns += ["said_biome"] if "said_biome" in screen.table else []
    return screen.table[columns].reset_index(drop=True), screen.check


def _schema():  # type: ignore[no-untyped-def]
    import pandera.pandas as pa

    def depth(quantity: str):  # type: ignore[no-untyped-def]
        return number_column(0, MAX_D95_M, "m", quantity=quantity, pint_unit="m", scale=M_TO_CM)

    return pa.DataFrameSchema(
        {
            "ID": pa.Column(object),
            "latitude": number_column(-90, 90, "degrees", quantity="lat", pint_unit="degree"),
            "longitude": number_column(-180, 180, "degrees", quantity="lon", pint_unit="degree"),
        }
        | {name: depth(name[:3].lower()) for name in ("D50", "D95", "D50_extrapolated", "D95_extrapolated")}
    )
