"""Radiocarbon of the light and the heavy part of a layer's carbon, from ISRaD's flat fraction table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from .israd import (
    DEFAULT_SIGMA,
    LAYER_COLUMNS,
    MAX_SIGMA,
    SOIL_OPTIONAL,
    drop_other_soil,
    layer_columns,
    soil_schema,
)
from .tables import Screen, SourceCheck, number_column, read_csv

PARTS = {"free light": "light", "occluded light": "light", "heavy": "heavy"}
"""Names of density fractions by the part that they belong to: plant remains, or carbon bound to minerals."""

COMPLETE = (80.0, 115.0)
"""Shares (%) of the layer's carbon add up to this where all of it is accounted for."""

_OPTIONAL = (*SOIL_OPTIONAL, "frc_14c_sigma", "frc_c_perc")


def read_fractions(path: Path) -> tuple[pd.DataFrame, SourceCheck]:
    """Layers whose light and heavy carbon were both measured, one row a layer.

    The layers must keep the rules of `israd.read_layers`. Where a part was divided further, as into free and occluded
    light carbon, its Δ14C is the mean weighted by carbon, or the plain mean where the shares are not reported.

    Parameters
    ----------
    path : Path
        `ISRaD_extra_flat_fraction_*.csv`, plain or compressed.

    Returns
    -------
    fractions : DataFrame
        `layer` (as `id` of the layers), `study`, `site`, `profile`, `lat`, `lon` (degrees), `top`, `bottom` (cm),
        `year` (decimal AD), `light`, `heavy` (Δ14C, ‰), `light_sigma`, `heavy_sigma` (‰), `light_share` (share of
        the layer's carbon, 0 to 1; NaN where unknown, or where the shares do not add up to 80-115 %).
    check : SourceCheck
        Rows read, used (fractions of these layers), and dropped by each rule.

    Raises
    ------
    InputError
        See `tables.read_csv`.
    """
    screen = Screen("density fractions (ISRaD)", path, read_csv(path, _schema(), optional=_OPTIONAL))
    t = screen.table
    screen.drop(
        "not a light or heavy fraction by density",
        ~(t["frc_scheme"].eq("density") & t["frc_property"].isin(list(PARTS))),
    )
    screen.drop("no Δ14C of the fraction", screen.table["frc_14c"].isna())
    drop_other_soil(screen)
    t = screen.table
    place = [*("pro_lat", "pro_long", "lyr_top", "lyr_bot", "lyr_obs_date_y"), "frc_property", "frc_14c"]
    screen.drop("duplicate (same place, depth, year, part and Δ14C)", t.duplicated(place))
    t = screen.table.assign(part=screen.table["frc_property"].map(PARTS))
    names = layer_columns(t)
    parts = t.groupby(names["id"])["part"].transform("nunique")
    screen.drop("light or heavy carbon of the layer only", parts < 2)
    t, names = t[parts == 2], names[parts == 2]

    lost = ~t["frc_14c_sigma"].between(0, MAX_SIGMA, inclusive="right")
    screen.remark(f"σ of Δ14C missing, 0 or > {MAX_SIGMA:g} ‰: set to {DEFAULT_SIGMA:g} ‰", lost)
    rows = pd.DataFrame({"layer": names["id"], "part": t["part"], "delta14c": t["frc_14c"], "share": t["frc_c_perc"]})
    rows["sigma"] = t["frc_14c_sigma"].where(~lost, DEFAULT_SIGMA)
    # A missing share makes the sum NaN; the part then has the plain mean.
    both = rows.groupby(["layer", "part"])["share"].agg(lambda share: share.sum(skipna=False))
    rows["weight"] = rows["share"].where(rows.groupby(["layer", "part"])["share"].transform("min") > 0, 1.0)
    rows[["delta14c", "sigma"]] = rows[["delta14c", "sigma"]].mul(rows["weight"], axis=0)
    summed = rows.groupby(["layer", "part"])[["delta14c", "sigma", "weight"]].sum()
    wide = summed[["delta14c", "sigma"]].div(summed["weight"], axis=0).unstack("part")
    total = both.unstack("part").sum(axis=1, skipna=False)
    share = (both.unstack("part")["light"] / total).where(total.between(*COMPLETE))
    share = share.where(share.between(0, 1, inclusive="neither"))
    found = names.drop_duplicates("id").set_index("id")
    found = found.assign(
        light=wide["delta14c", "light"],
        heavy=wide["delta14c", "heavy"],
        light_sigma=wide["sigma", "light"],
        heavy_sigma=wide["sigma", "heavy"],
        light_share=share,
    )
    screen.check.remarks["layers with light and heavy carbon"] = len(found)
    screen.remark("of them without a usable share of carbon", np.isnan(found["light_share"]))
    return found.rename_axis("layer").reset_index()[["layer", *LAYER_COLUMNS[1:], *_MEASURED]], screen.check


_MEASURED = ("light", "heavy", "light_sigma", "heavy_sigma", "light_share")


def _schema():  # type: ignore[no-untyped-def]
    import pandera.pandas as pa

    columns = soil_schema() | {name: pa.Column(object, nullable=True) for name in ("frc_scheme", "frc_property")}
    columns |= {
        "frc_14c": number_column(-1000, 2000, "‰"),
        "frc_14c_sigma": number_column(),
        "frc_c_perc": number_column(),
    }
    return pa.DataFrameSchema(columns)
