"""Radiocarbon layers from the International Soil Radiocarbon Database (ISRaD, Lawrence et al. 2020), flat layer table.

Which layers are used (paper, Methods: mineral soil, 0–200 cm, year and depths known), and every other rule, stands in
`read_layers`.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from ..constants import G_CM2_TO_MG_HA, PROFILE_DEPTH_CM
from .atmosphere import FIRST_YEAR
from .tables import Screen, SourceCheck, read_csv

MAX_ORGANIC_CARBON = 20.0
"""Organic carbon (%) from which material is organic, not mineral soil (WRB 2022)."""

MAX_SIGMA = 100.0
"""A laboratory σ above this (‰) is a conversion error: the largest true one is about 60 ‰, the wrong ones are near 990.
"""

DEFAULT_SIGMA = 5.0
"""σ (‰) of a measurement reported without one: a little above the median of those reported (4 ‰)."""

MAX_CARBON_DENSITY = 0.15
"""Largest carbon density of mineral soil, g cm⁻³: 20 % carbon at a bulk density of 0.75. Above it the stock has a unit
error.
"""

MEASURED_STOCK_LOG_SD = 0.2
"""Relative error of a measured layer stock: bulk density, carbon and stones together (Goidts et al. 2009 find 10–30 %).
"""

GRIDDED_DEPTHS = (0, 10, 30, 60, 100, 200)
MAX_GRIDDED = 1000.0
"""No gridded figure can be larger, in the units of its column: larger ones, and negative ones, are fill values."""

GRIDDED_CARBON_PER_UNIT = 0.5
"""`pro_corg_*_SG` counts 5 g kg⁻¹: only so do it, `pro_bd_*_SG` (10 kg m⁻³) and `pro_coarse_*_SG` (%) give
`pro_corgStock_*_SG` in kg m⁻².
"""

_TEXT = (
    "entry_name",
    "site_name",
    "pro_name",
    "lyr_name",
    "lyr_hzn",
    "pro_treatment",
    "pro_peatland",
    "pro_usda_soil_order",
    "pro_land_cover",
)
_GRIDDED = tuple(f"pro_{quantity}_{depth}_cm_SG" for quantity in ("corg", "bd", "coarse") for depth in GRIDDED_DEPTHS)
SOIL_OPTIONAL = (
    "lyr_hzn",
    "pro_treatment",
    "pro_peatland",
    "pro_usda_soil_order",
    "pro_land_cover",
    "lyr_obs_date_m",
    "lyr_c_org_filled",
    "lyr_c_tot",
)
"""Columns of `soil_schema` that may be absent."""

LAYER_COLUMNS = ("id", "study", "site", "profile", "lat", "lon", "top", "bottom", "year")
"""What `layer_columns` tells of a row."""

_OPTIONAL = (
    *SOIL_OPTIONAL,
    "lyr_14c_sigma",
    "lyr_14c_fill_extra",
    "lyr_soc_filled",
    "lyr_soc_sigma",
    "lyr_bd_samp_filled",
    "lyr_coarse_tot_filled",
    *_GRIDDED,
)


def read_layers(path: Path) -> tuple[pd.DataFrame, SourceCheck]:
    """Mineral-soil layers with radiocarbon, one row a layer.

    Parameters
    ----------
    path : `ISRaD_extra_flat_layer_*.csv`, plain or compressed.

    Returns
    -------
    layers : `id`, `study`, `site`, `profile`, `lat`, `lon` (degrees), `top`, `bottom` (cm), `year` (decimal AD),
        `delta14c`, `sigma` (‰), `stock_measured`, `stock_gridded` (Mg C ha⁻¹ in the layer, NaN where unknown),
        `stock_measured_log_sd`,
        `organic_carbon` (%), and, as reported, `horizon` (A, E, B, C), `land_cover`, `soil_order` (or `unknown`).
    check : rows read, used, and dropped by rule.

    Raises
    ------
    InputError : see `tables.read_csv`.
    """
    screen = Screen("radiocarbon layers (ISRaD)", path, read_csv(path, _schema(), optional=_OPTIONAL))
    t = screen.table
    t["delta14c"] = t["lyr_14c"].fillna(t["lyr_14c_fill_extra"])

    screen.drop("no Δ14C", screen.table["delta14c"].isna())
    drop_other_soil(screen)
    t = screen.table
    place = ["pro_lat", "pro_long", "lyr_top", "lyr_bot", "lyr_obs_date_y", "delta14c"]
    screen.drop("duplicate (same place, depth, year and Δ14C)", t.duplicated(place))

    t = screen.table
    lost_sigma = ~t["lyr_14c_sigma"].between(0, MAX_SIGMA, inclusive="right")
    screen.remark(f"σ of Δ14C missing, 0 or > {MAX_SIGMA:g} ‰: set to {DEFAULT_SIGMA:g} ‰", lost_sigma)
    measured = _measured_stock(t)
    screen.remark(
        "measured stock above 0.15 g C cm⁻³ or negative: not used", t["lyr_soc_filled"].notna() & measured.isna()
    )
    gridded = _gridded_stock(t)
    screen.remark("stock measured in the layer", measured.notna())
    screen.remark("stock from the gridded profile at the site", measured.isna() & gridded.notna())
    relative = t["lyr_soc_sigma"] / t["lyr_soc_filled"]
    layers = layer_columns(t)
    repeat = layers.groupby("id").cumcount()
    layers["id"] = layers["id"].where(repeat == 0, layers["id"] + "#" + (repeat + 1).astype(str))
    layers = layers.assign(
        delta14c=t["delta14c"],
        sigma=t["lyr_14c_sigma"].where(~lost_sigma, DEFAULT_SIGMA),
        stock_measured=measured,
        stock_measured_log_sd=relative.where(relative.between(0.01, 1.0), MEASURED_STOCK_LOG_SD),
        stock_gridded=gridded,
        organic_carbon=_organic_carbon(t),
        horizon=t["lyr_hzn"].map(_master_horizon),
        land_cover=t["pro_land_cover"].fillna("unknown"),
        soil_order=t["pro_usda_soil_order"].fillna("unknown"),
    )
    return layers.reset_index(drop=True), screen.check


def drop_other_soil(screen: Screen) -> None:
    """Drops rows that are not of a layer of untreated mineral soil in 0-200 cm, sampled in a known place and year."""
    screen.drop("no coordinates", screen.table["pro_lat"].isna() | screen.table["pro_long"].isna())
    t = screen.table
    screen.drop("depth of top or bottom unknown", ~np.isfinite(t["lyr_top"]) | ~np.isfinite(t["lyr_bot"]))
    t = screen.table
    screen.drop("organic layer above the mineral soil (negative depth)", t["lyr_top"] < 0)
    t = screen.table
    screen.drop("bottom not below top", t["lyr_bot"] <= t["lyr_top"])
    t = screen.table
    screen.drop(f"reaches below {PROFILE_DEPTH_CM} cm", t["lyr_bot"] > PROFILE_DEPTH_CM)
    t = screen.table
    screen.drop("year of sampling unknown", t["lyr_obs_date_y"].isna())
    t = screen.table
    screen.drop("peatland", t["pro_peatland"].eq("yes") | t["pro_usda_soil_order"].eq("Histosols"))
    t = screen.table
    organic_name = t["lyr_hzn"].fillna("").astype(str).str.match(r"^\d?O")
    screen.drop(
        f"organic material (horizon O, or ≥ {MAX_ORGANIC_CARBON:g} % C)",
        (_organic_carbon(t) >= MAX_ORGANIC_CARBON) | organic_name,
    )
    t = screen.table
    screen.drop("experimental treatment", t["pro_treatment"].eq("treatment"))


def layer_columns(t: pd.DataFrame) -> pd.DataFrame:
    """Which layer each row of a table is of, and where and when that was sampled: `id`, `study`, `site`, `profile`,
    `lat`, `lon`, `top`, `bottom`, `year`.
    """
    month = t["lyr_obs_date_m"].where(t["lyr_obs_date_m"].between(1, 12))
    site = t["entry_name"] + "/" + t["site_name"]
    profile = site + "/" + t["pro_name"]
    return pd.DataFrame(
        {
            "id": profile + "/" + t["lyr_name"],
            "study": t["entry_name"],
            "site": site,
            "profile": profile,
            "lat": t["pro_lat"],
            "lon": t["pro_long"],
            "top": t["lyr_top"],
            "bottom": t["lyr_bot"],
            # half a year, or half a month, past the start of the period named
            "year": np.floor(t["lyr_obs_date_y"]) + ((month - 0.5) / 12).fillna(0.5),
        }
    )


def with_other_layers(layers: pd.DataFrame, *others: pd.DataFrame) -> pd.DataFrame:
    """Layers, and below them those that only incubations or fractions were measured of; their Δ14C is NaN."""
    known = set(layers["id"])
    columns = [name for name in LAYER_COLUMNS if name in layers]
    new = [other.rename(columns={"layer": "id"})[columns] for other in others]
    more = pd.concat(new).drop_duplicates("id") if new else layers.iloc[:0]
    return pd.concat([layers, more[~more["id"].isin(known)]], ignore_index=True)


def _organic_carbon(t: pd.DataFrame) -> pd.Series:
    return t["lyr_c_org_filled"].where(t["lyr_c_org_filled"] > 0, t["lyr_c_tot"])


def _master_horizon(name: object) -> str:
    """Master horizon (A, E, B, C) of a name such as 2Bt1; `unknown` where it names none."""
    found = re.match(r"^\d*([AEBC])(?![a-z]*soil)", str(name)) if isinstance(name, str) else None
    return found.group(1) if found else "unknown"


def _measured_stock(t: pd.DataFrame) -> pd.Series:
    """Reported stock, else carbon x bulk density x thickness x fine fraction (Mg ha⁻¹); NaN where neither is
    believable.
    """
    thickness = t["lyr_bot"] - t["lyr_top"]
    fine = 1 - t["lyr_coarse_tot_filled"].fillna(0).clip(0, 100) / 100
    computed = t["lyr_c_org_filled"] / 100 * t["lyr_bd_samp_filled"] * thickness * fine

    def believable(stock: pd.Series) -> pd.Series:
        return stock.where((stock > 0) & (stock / thickness <= MAX_CARBON_DENSITY))

    return believable(t["lyr_soc_filled"]).fillna(believable(computed)) * G_CM2_TO_MG_HA


def _gridded_stock(t: pd.DataFrame) -> pd.Series:
    """Stock of the layer in the gridded profile at the site (Mg ha⁻¹): carbon density linear between the six mapped
    depths.
    """
    carbon, density, coarse = (
        np.where((values >= 0) & (values <= MAX_GRIDDED), values, np.nan)
        for values in (
            t[[f"pro_{quantity}_{depth}_cm_SG" for depth in GRIDDED_DEPTHS]].to_numpy(float)
            for quantity in ("corg", "bd", "coarse")
        )
    )
    # g C cm⁻³: % x g cm⁻³ x fine fraction
    volumetric = carbon * GRIDDED_CARBON_PER_UNIT / 100 * density / 100 * (1 - coarse / 100)
    depths = np.asarray(GRIDDED_DEPTHS, float)
    cumulative = np.zeros_like(volumetric)
    cumulative[:, 1:] = np.cumsum((volumetric[:, 1:] + volumetric[:, :-1]) / 2 * np.diff(depths), axis=1)

    def stock_above(depth: np.ndarray) -> np.ndarray:
        i = np.clip(np.searchsorted(depths, depth, side="right") - 1, 0, len(depths) - 2)
        row = np.arange(len(depth))
        part = (depth - depths[i]) / (depths[i + 1] - depths[i])
        here = volumetric[row, i] + part / 2 * (volumetric[row, i + 1] - volumetric[row, i])
        return cumulative[row, i] + here * (depth - depths[i])

    stock = stock_above(t["lyr_bot"].to_numpy(float)) - stock_above(t["lyr_top"].to_numpy(float))
    return pd.Series(stock, index=t.index).where(stock > 0) * G_CM2_TO_MG_HA


def number_column(low: float = -np.inf, high: float = np.inf, what: str = ""):  # type: ignore[no-untyped-def]
    """A column of numbers, or of nothing, in a range."""
    import pandera.pandas as pa

    if np.isinf(low) and np.isinf(high):
        return pa.Column(float, nullable=True)
    check = pa.Check.in_range(low, high, error=f"is outside [{low:g}, {high:g}] {what}", ignore_na=True)
    return pa.Column(float, check, nullable=True)


def soil_schema():  # type: ignore[no-untyped-def]
    """Columns that tell which layer a row is of, and whether it is one that we use."""
    import pandera.pandas as pa

    columns = {
        name: pa.Column(object, nullable=name not in ("entry_name", "site_name", "pro_name", "lyr_name"))
        for name in _TEXT
    }
    return columns | {
        "pro_lat": number_column(-90, 90, "degrees"),
        "pro_long": number_column(-180, 180, "degrees"),
        "lyr_top": number_column(),
        "lyr_bot": number_column(),
        "lyr_obs_date_y": number_column(FIRST_YEAR, date.today().year, "(a year)"),
        "lyr_obs_date_m": number_column(),
        "lyr_c_org_filled": number_column(-1, 100, "%"),
        "lyr_c_tot": number_column(-1, 100, "%"),
    }


def _schema():  # type: ignore[no-untyped-def]
    import pandera.pandas as pa

    number, free = number_column, number_column()
    columns = soil_schema() | {
        "lyr_14c": number(-1000, 2000, "‰"),
        "lyr_14c_fill_extra": number(-1000, 2000, "‰"),
        "lyr_14c_sigma": free,
        "lyr_soc_filled": free,
        "lyr_soc_sigma": free,
        "lyr_bd_samp_filled": number(0, 5, "g cm⁻³"),
        "lyr_coarse_tot_filled": number(0, 100, "%"),
    }
    return pa.DataFrameSchema(columns | dict.fromkeys(_GRIDDED, free))
