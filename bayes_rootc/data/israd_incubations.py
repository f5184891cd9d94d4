"""Radiocarbon of the CO₂ that soil respires in the laboratory, from ISRaD's flat incubation table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from .israd import DEFAULT_SIGMA, MAX_SIGMA, SOIL_OPTIONAL, drop_other_soil, layer_columns, soil_schema
from .tables import Screen, SourceCheck, number_column, read_csv

HETEROTROPHIC = {"root-picked soil": "picked", "soil w/ dead roots": "dead"}
"""Kinds of incubated soil in which only microbes respire, and whether its roots were picked or died."""

MIN_DELTA14C = -990.0
"""A CO₂ at or below this (‰) is a leak or a blank, not respiration: fossil carbon hardly respires."""

USUAL_LENGTH = 41.0
"""Length (days) of an incubation whose length is not reported: the median of the others."""

_OPTIONAL = (*SOIL_OPTIONAL, "inc_duration", "inc_analyte", "inc_anaerobic", "inc_14c_sigma")


def read_incubations(path: Path) -> tuple[pd.DataFrame, SourceCheck]:
    """Incubations of mineral soil in which only microbes respired, one row an incubation.

    The layers must keep the rules of `israd.read_layers`. Soil whose roots died in the jar respires their carbon as
    well: see column `roots`.

    Parameters
    ----------
    path : Path
        `ISRaD_extra_flat_incubation_*.csv`, plain or compressed.

    Returns
    -------
    incubations : DataFrame
        `layer` (as `id` of the layers), `study`, `site`, `profile`, `lat`, `lon` (degrees), `top`, `bottom` (cm),
        `year` (decimal AD, of the *layer*: soil in the jar gets no new carbon), `delta14c` and `sigma` (‰) of the
        CO₂, `length` (days), `roots` (picked or dead).
    check : SourceCheck
        Rows read, used, and dropped by rule.

    Raises
    ------
    InputError
        See `tables.read_csv`.
    """
    screen = Screen("incubations (ISRaD)", path, read_csv(path, _schema(), optional=_OPTIONAL))
    screen.drop("no Δ14C of CO₂", screen.table["inc_14c"].isna())
    screen.drop("gas other than CO₂", ~screen.table["inc_analyte"].fillna("CO2").eq("CO2"))
    screen.drop("litter, roots, or soil with living roots", ~screen.table["inc_type"].isin(list(HETEROTROPHIC)))
    screen.drop("without oxygen", screen.table["inc_anaerobic"].eq("yes"))
    drop_other_soil(screen)
    screen.drop(f"Δ14C of CO₂ not above {MIN_DELTA14C:g} ‰", screen.table["inc_14c"] <= MIN_DELTA14C)
    t = screen.table
    lost = ~t["inc_14c_sigma"].between(0, MAX_SIGMA, inclusive="right")
    screen.remark(f"σ of Δ14C missing, 0 or > {MAX_SIGMA:g} ‰: set to {DEFAULT_SIGMA:g} ‰", lost)
    no_length = ~(t["inc_duration"] > 0)
    screen.remark(f"length unknown: set to {USUAL_LENGTH:g} days", no_length)
    found = layer_columns(t).rename(columns={"id": "layer"})
    found = found.assign(
        delta14c=t["inc_14c"],
        sigma=t["inc_14c_sigma"].where(~lost, DEFAULT_SIGMA),
        length=t["inc_duration"].where(~no_length, USUAL_LENGTH),
        roots=t["inc_type"].map(HETEROTROPHIC),
    )
    return found.reset_index(drop=True), screen.check


def _schema():  # type: ignore[no-untyped-def]
    import pandera.pandas as pa

    columns = soil_schema() | {name: pa.Column(object, nullable=True) for name in ("inc_type", "inc_analyte")}
    columns |= {
        "inc_anaerobic": pa.Column(object, nullable=True),
        "inc_14c": number_column(-1000, 2000, "‰"),
        "inc_14c_sigma": number_column(),
        "inc_duration": number_column(0, 36525, "days"),
    }
    return pa.DataFrameSchema(columns)
