"""Radiocarbon layers from the International Soil Radiocarbon Database (ISRaD, Lawrence et al. 2020), flat layer table.

Which layers are used (paper, Methods: mineral soil, 0–200 cm, year and depths known), and every other rule, is in
`read_layers`.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..constants import G_CM2_TO_MG_HA, LAYER_NAMES, LAYERS, PROFILE_DEPTH_CM
from ..errors import InputError
from .atmosphere import FIRST_YEAR
from .biomes import UNSAID, said_by_land_cover
from .plausible import Doubt, judge
from .tables import Screen, SourceCheck, number_column, read_csv, shown
from .units import Form, to_delta14c

MAX_ORGANIC_CARBON = 20.0
"""Organic carbon (%) from which material is organic, not mineral soil (WRB 2022)."""

MAX_SIGMA = 100.0
"""A laboratory σ above this (‰) is a conversion error: the largest true one is about 60 ‰, the wrong ones are near 990.
"""

LARGEST_COINCIDENCE = 12.0
"""A σ (‰) above this that equals the value is a copy of it; smaller ones may be equal by chance."""

DEFAULT_SIGMA = 5.0
"""σ (‰) of a measurement reported without one: a little above the median of those reported (4 ‰)."""

MAX_CARBON_DENSITY = 0.15
"""Largest carbon density of mineral soil, g cm⁻³: 20 % carbon at a bulk density of 0.75. Above it the stock has a unit
error.
"""

SUBSOIL_CM, MAX_SUBSOIL_CARBON = 30.0, 4.0
"""Depth of the top (cm) from which mineral soils rarely have more carbon (%) than this."""

MEASURED_STOCK_LOG_SD = 0.2
"""Relative error of a measured layer stock: bulk density, carbon and stones together (Goidts et al. 2009 find 10–30 %).
"""

GRIDDED_DEPTHS = (0, 10, 30, 60, 100, 200)
MAX_GRIDDED = 1000.0
"""Largest possible gridded values, in the units of their columns: larger ones, and negative ones, are fill values."""

GRIDDED_STOCKS = [f"stock_gridded_{name}" for name in LAYER_NAMES]
"""Columns for the stocks of the seven layers in the gridded profile at the site, Mg C ha⁻¹."""

GRIDDED_CARBON_PER_UNIT = 0.5
"""`pro_corg_*_SG` is in units of 5 g kg⁻¹: only then do it, `pro_bd_*_SG` (10 kg m⁻³) and `pro_coarse_*_SG` (%)
reproduce `pro_corgStock_*_SG` in kg m⁻².
"""

UNTREATED = ("", "control", "none", "no", "n", "false", "0", "untreated", "no treatment", "ambient", "reference")
"""Entries of `pro_treatment` for undisturbed soil; every other one names an experiment."""

YES, NO = ("yes", "y", "true", "t", "1", "1.0", "peat", "peatland"), ("", "no", "n", "false", "f", "0", "0.0", "none")

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

SAME_PLACE_DEGREES = 0.05
"""Largest difference between reported coordinates of one profile, degrees."""

LAYER_COLUMNS = ("id", "study", "site", "profile", "lat", "lon", "top", "bottom", "year")
"""Columns that `layer_columns` makes from each row."""

FORMS: dict[str, str] = {
    "fraction_modern": "lyr_fraction_modern",
    "percent_modern": "lyr_percent_modern",
    "radiocarbon_age": "lyr_radiocarbon_age",
}
"""Columns of radiocarbon in other forms than Δ14C: the first with a value is converted where `lyr_14c` has none."""

SIGMA_FORMS = {form: f"{name}_sigma" for form, name in FORMS.items()}

OPTIONAL = (
    *SOIL_OPTIONAL,
    "lyr_14c",
    "lyr_14c_sigma",
    "lyr_14c_fill_extra",
    *FORMS.values(),
    *SIGMA_FORMS.values(),
    "lyr_soc_filled",
    "lyr_soc_sigma",
    "lyr_bd_samp_filled",
    "lyr_coarse_tot",
    *_GRIDDED,
)
"""Columns of `schema` that may be absent."""


def read_layers(path: Path) -> tuple[pd.DataFrame, SourceCheck]:
    """Mineral-soil layers with radiocarbon, one row a layer.

    Parameters
    ----------
    path : Path
        `ISRaD_extra_flat_layer_*.csv`, plain or compressed.

    Returns
    -------
    layers : DataFrame
        `id`, `study`, `site`, `profile`, `lat`, `lon` (degrees), `top`, `bottom` (cm), `year` (decimal AD), `delta14c`,
        `sigma` (‰), `stock_measured`, `stock_gridded` (Mg C ha⁻¹ in the layer, NaN where unknown), `GRIDDED_STOCKS`,
        `stock_measured_log_sd`, `coarse` and `coarse_gridded` (% of the volume that is stones, as reported and as
        mapped), `organic_carbon` (%), and, as reported, `horizon` (A, E, B, C), `land_cover`,
        `soil_order` (or `unknown`); `said_biome`, the biome that the record states (`biomes.biome_of_record`).
    check : SourceCheck
        Rows read, used, and dropped by rule.

    Raises
    ------
    InputError
        See `tables.read_csv`.
    """
    read = read_csv(path, schema(), optional=OPTIONAL, judged=RADIOCARBON)
    screen = Screen("radiocarbon layers (ISRaD)", path, read)
    if not read[list(RADIOCARBON)].notna().any(axis=None):
        _refuse_without_radiocarbon(path)
    return layers_of(screen)


def layers_of(screen: Screen) -> tuple[pd.DataFrame, SourceCheck]:
    """Layers and check of a table under ISRaD's names, as `read_layers` gives them."""
    _judge_together(screen)
    _below_organic_horizons(screen)
    _convert_forms(screen)

    screen.drop("no Δ14C", screen.table["delta14c"].isna())
    drop_other_soil(screen)
    t = screen.table
    place = ["pro_lat", "pro_long", "lyr_top", "lyr_bot", "lyr_obs_date_y", "delta14c"]
    screen.drop("duplicate (same place, depth, year and Δ14C)", t.duplicated(place))

    t = screen.table
    screen.judge("lyr_14c", judge(t["delta14c"], "delta14c", sigma=t["sigma"], bottom=t["lyr_bot"]))
    copied = (t["sigma"] == t["delta14c"].abs()) & (t["sigma"] > LARGEST_COINCIDENCE)
    screen.remark(f"σ equal to Δ14C itself: set to {DEFAULT_SIGMA:g} ‰", copied)
    lost_sigma = ~t["sigma"].between(0, MAX_SIGMA, inclusive="right")
    screen.remark(f"σ of Δ14C missing, 0 or > {MAX_SIGMA:g} ‰: set to {DEFAULT_SIGMA:g} ‰", lost_sigma)
    lost_sigma |= copied
    measured = _measured_stock(t)
    screen.remark(
        "measured stock above 0.15 g C cm⁻³ or negative: not used", t["lyr_soc_filled"].notna() & measured.isna()
    )
    gridded = _gridded_stock(t, t["lyr_top"], t["lyr_bot"])
    screen.remark("stock measured in the layer", measured.notna())
    screen.remark("stock from the gridded profile at the site", measured.isna() & gridded.notna())
    relative = t["lyr_soc_sigma"] / t["lyr_soc_filled"]
    layers = layer_columns(t)
    screen.remark("a profile's name at several places: the place is added to it", _places_apart(layers))
    repeat = layers.groupby("id").cumcount()
    layers["id"] = layers["id"].where(repeat == 0, layers["id"] + "#" + (repeat + 1).astype(str))
    layers = layers.assign(
        delta14c=t["delta14c"],
        sigma=t["sigma"].where(~lost_sigma, DEFAULT_SIGMA),
        stock_measured=measured,
        stock_measured_log_sd=relative.where(relative.between(0.01, 1.0), MEASURED_STOCK_LOG_SD),
        stock_gridded=gridded,
        **{name: _gridded_stock(t, *bounds) for name, bounds in zip(GRIDDED_STOCKS, LAYERS, strict=True)},
        coarse=t["lyr_coarse_tot"],
        coarse_gridded=_gridded_stones(t),
        organic_carbon=_organic_carbon(t),
        horizon=t["lyr_hzn"].map(_master_horizon),
        land_cover=t["pro_land_cover"].fillna("unknown"),
        said_biome=said_by_land_cover(t["pro_land_cover"]),
        soil_order=t["pro_usda_soil_order"].fillna("unknown"),
    )
    if "biome" in t:
        layers["said_biome"] = t["biome"].where(t["biome"] != UNSAID, layers["said_biome"])
    return layers.reset_index(drop=True), screen.check


def drop_other_soil(screen: Screen) -> None:
    """Keeps only layers of untreated mineral soil in 0-200 cm, sampled in a known place and year."""
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
    _refuse_unknown(screen, "pro_peatland", (*YES, *NO), "yes or no")
    screen.drop("peatland", _peat(t))
    t = screen.table
    organic_name = _organic_name(t)
    screen.drop(
        f"organic material (horizon O, or ≥ {MAX_ORGANIC_CARBON:g} % C)",
        (_organic_carbon(t) >= MAX_ORGANIC_CARBON) | organic_name,
    )
    t = screen.table
    treatment = t["pro_treatment"].fillna("control").astype(str).str.strip().str.casefold()
    screen.drop("experimental treatment", ~treatment.isin(UNTREATED))


def _refuse_unknown(screen: Screen, column: str, known: tuple[str, ...], expected: str) -> None:
    said = screen.table[column].fillna("").astype(str).str.strip().str.casefold()
    unknown = ~said.isin(known)
    if unknown.any():
        at = int(np.argmax(unknown))
        raise InputError(
            f"expected {expected}, found `{shown(screen.table[column].iloc[at])}`",
            # Where several workbooks are joined, each row says which it is from.
            file=screen.table["file"].iloc[at] if "file" in screen.table else screen.check.file,
            row=int(screen.table["file_row"].iloc[at]),
            column=column,
        )


def _peat(t: pd.DataFrame) -> pd.Series:
    order = t["pro_usda_soil_order"].fillna("").astype(str).str.casefold()
    said = t["pro_peatland"].fillna("").astype(str).str.strip().str.casefold()
    return order.str.contains("histosol|histel") | said.isin(YES)


def _organic_name(t: pd.DataFrame) -> pd.Series:
    """Whether the name of a horizon is that of an organic one: O, Oa, 2Oe."""
    return t["lyr_hzn"].fillna("").astype(str).str.match(r"^\d?O")


def _refuse_without_radiocarbon(path: Path) -> None:
    raise InputError(
        f"no layer has radiocarbon: expected values in lyr_14c (Δ14C, ‰), or in {', '.join(FORMS.values())}", file=path
    )


def _judge_together(screen: Screen) -> None:
    """Checks units by comparing columns of the layers with Δ14C."""
    t = screen.table[screen.table[list(RADIOCARBON)].notna().any(axis=1) & ~_organic_name(screen.table)]
    carbon = t["lyr_c_org_filled"][(t["lyr_top"] >= SUBSOIL_CM) & ~_peat(t) & (t["lyr_c_org_filled"] > 0)]
    if len(carbon) >= 5 and carbon.median() > MAX_SUBSOIL_CARBON:
        text = (
            f"median {carbon.median():.3g} % below {SUBSOIL_CM:g} cm, where less than {MAX_SUBSOIL_CARBON:g} is usual: "
        )
        text += "looks like g kg⁻¹; convert it, or state the unit in the header: `lyr_c_org_filled [g/kg]`"
        screen.judge("lyr_c_org_filled", Doubt(text, len(carbon), False))
    density = (t["lyr_c_org_filled"] / 100 * t["lyr_bd_samp_filled"])[lambda v: v > 0]
    heavy = int((density > MAX_CARBON_DENSITY).sum())
    if heavy and heavy >= 0.5 * len(density):
        text = (
            f"{heavy} of {len(density)} layers hold more than {MAX_CARBON_DENSITY:g} g C cm⁻³ with their bulk density: "
        )
        text += (
            "carbon looks like g kg⁻¹, not %; convert it, or state the unit in the header: `lyr_c_org_filled [g/kg]`"
        )
        screen.judge("lyr_c_org_filled", Doubt(text, heavy, heavy >= 3 and heavy > 0.8 * len(density)))
    thickness = t["lyr_bot"] - t["lyr_top"]
    density = (t["lyr_soc_filled"] / thickness)[lambda v: np.isfinite(v) & (v > 0)]
    heavy = int((density > MAX_CARBON_DENSITY).sum())
    if heavy and heavy >= 0.5 * len(density):
        text = (
            f"{heavy} of {len(density)} layers hold more than {MAX_CARBON_DENSITY:g} g C cm⁻³: stocks look like kg m⁻² "
        )
        text += "or Mg ha⁻¹, not g cm⁻²; state the unit in the header: `lyr_soc_filled [Mg ha-1]`"
        screen.judge("lyr_soc_filled", Doubt(text, heavy, heavy >= 3 and heavy > 0.8 * len(density)))


def _below_organic_horizons(screen: Screen) -> None:
    """Depths from the top of the mineral soil, in profiles whose depths are counted from the top of the O horizon."""
    t = screen.table
    profile = [t[name] for name in ("entry_name", "site_name", "pro_name")]
    # Buried ones begin with a number.
    organic = _organic_name(t) & ~t["lyr_hzn"].fillna("").astype(str).str.match(r"^\d") & (t["lyr_top"] >= 0)
    at_surface = (t["lyr_top"].where(organic).groupby(profile).transform("min") == 0).to_numpy()
    thick = t["lyr_bot"].where(organic).groupby(profile).transform("max")
    highest = t["lyr_top"].where(~organic).groupby(profile).transform("min")
    shifted = at_surface & ~organic & (highest >= thick)
    t.loc[shifted, ["lyr_top", "lyr_bot"]] = t.loc[shifted, ["lyr_top", "lyr_bot"]].sub(thick[shifted], axis=0)
    measured = t[list(RADIOCARBON)].notna().any(axis=1)
    screen.remark("depth counted from the organic horizon's surface: its thickness is taken off", shifted & measured)


def _convert_forms(screen: Screen) -> None:
    """Adds `delta14c` and `sigma` (‰) in whatever form they are reported."""
    t = screen.table
    delta, sigma = t["lyr_14c"].fillna(t["lyr_14c_fill_extra"]), t["lyr_14c_sigma"].copy()
    year = layer_columns(t)["year"]
    form: Form
    for form in ("fraction_modern", "percent_modern", "radiocarbon_age"):
        value, spread = t[FORMS[form]], t[SIGMA_FORMS[form]]
        converted, error = to_delta14c(value, spread, year, form)
        # Without the year there is no Δ14C: the layer is dropped for its missing year, not as unmeasured.
        fill = delta.isna() & value.notna()
        delta[fill], sigma[fill] = np.nan_to_num(converted[fill]), error[fill]
        screen.remark(f"Δ14C from {FORMS[form]} and the year of sampling", fill & year.notna())
    screen.table = t.assign(delta14c=delta, sigma=sigma)


def _places_apart(layers: pd.DataFrame) -> pd.Series:
    """Adds the place to the names of profiles found at several places, and of their layers; returns their rows."""
    by_profile = layers.groupby("profile")[["lat", "lon"]]
    spread = (by_profile.transform("max") - by_profile.transform("min")).max(axis=1)
    apart = spread > SAME_PLACE_DEGREES
    place = "@" + layers["lat"].round(2).astype(str) + "," + layers["lon"].round(2).astype(str)
    for name in ("id", "profile"):
        layers[name] = layers[name].where(~apart, layers[name] + place)
    return apart


def layer_columns(t: pd.DataFrame) -> pd.DataFrame:
    """Layer that each row of a table belongs to, and where and when it was sampled: `id`, `study`, `site`, `profile`,
    `lat`, `lon`, `top`, `bottom`, `year`.
    """
    month = t["lyr_obs_date_m"].where(t["lyr_obs_date_m"].between(0.5, 12.5))
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


def _organic_carbon(t: pd.DataFrame) -> pd.Series:
    return t["lyr_c_org_filled"].where(t["lyr_c_org_filled"] > 0, t["lyr_c_tot"])


def _master_horizon(name: object) -> str:
    """Master horizon (A, E, B, C) of a name such as 2Bt1; `unknown` where it names none."""
    found = re.match(r"^\d*([AEBC])(?![a-z]*soil)", str(name)) if isinstance(name, str) else None
    return found.group(1) if found else "unknown"


def _measured_stock(t: pd.DataFrame) -> pd.Series:
    """Reported stock, else carbon x bulk density x thickness (Mg ha⁻¹); NaN where neither is plausible.

    ISRaD's `lyr_bd_samp` is the mass of fine earth per volume of soil: stones are not subtracted again.
    """
    thickness = t["lyr_bot"] - t["lyr_top"]
    computed = t["lyr_c_org_filled"] / 100 * t["lyr_bd_samp_filled"] * thickness

    def believable(stock: pd.Series) -> pd.Series:
        return stock.where((stock > 0) & (stock / thickness <= MAX_CARBON_DENSITY))

    return believable(t["lyr_soc_filled"]).fillna(believable(computed)) * G_CM2_TO_MG_HA


def _gridded_stock(t: pd.DataFrame, top: ArrayLike, bottom: ArrayLike) -> pd.Series:
    """Stock between two depths (cm) in the gridded profile at the site (Mg ha⁻¹): carbon density linear between the six
    mapped depths.
    """
    carbon, density, coarse = (_at_mapped_depths(t, quantity) for quantity in ("corg", "bd", "coarse"))
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

    upper, lower = (np.broadcast_to(np.asarray(depth, float), len(t)) for depth in (top, bottom))
    stock = stock_above(lower) - stock_above(upper)
    return pd.Series(stock, index=t.index).where(stock > 0) * G_CM2_TO_MG_HA


def _gridded_stones(t: pd.DataFrame) -> pd.Series:
    """Stones (% of the volume) in the gridded profile at the middle of the layer."""
    coarse, depths = _at_mapped_depths(t, "coarse"), np.asarray(GRIDDED_DEPTHS, float)
    middle = ((t["lyr_top"] + t["lyr_bot"]) / 2).to_numpy(float)
    i = np.clip(np.searchsorted(depths, middle, side="right") - 1, 0, len(depths) - 2)
    row, part = np.arange(len(t)), (middle - depths[i]) / (depths[i + 1] - depths[i])
    stones = (1 - part) * coarse[row, i] + part * coarse[row, i + 1]
    return pd.Series(stones, index=t.index).where(stones <= 100)


def _at_mapped_depths(t: pd.DataFrame, quantity: str) -> np.ndarray:
    """A quantity of the gridded profile, (row, depth); NaN for fill values."""
    values = t[[f"pro_{quantity}_{depth}_cm_SG" for depth in GRIDDED_DEPTHS]].to_numpy(float)
    return np.where((values >= 0) & (values <= MAX_GRIDDED), values, np.nan)


def soil_schema():  # type: ignore[no-untyped-def]
    """Columns that identify the layer of a row, and those that decide whether it is used."""
    import pandera.pandas as pa

    columns = {
        name: pa.Column(object, nullable=name not in ("entry_name", "site_name", "pro_name", "lyr_name"))
        for name in _TEXT
    }
    number = number_column
    return columns | {
        "pro_lat": number(-90, 90, "degrees", quantity="lat", pint_unit="degree"),
        "pro_long": number(-180, 180, "degrees", quantity="lon", pint_unit="degree"),
        "lyr_top": number(unit="cm", pint_unit="cm"),
        "lyr_bot": number(unit="cm", quantity="bottom", pint_unit="cm"),
        "lyr_obs_date_y": number(FIRST_YEAR, date.today().year, "(a year)", quantity="year"),
        "lyr_obs_date_m": number(),
        "lyr_c_org_filled": number(-1, 100, "%", quantity="carbon", pint_unit="percent"),
        "lyr_c_tot": number(-1, 100, "%", quantity="carbon", pint_unit="percent"),
    }


RADIOCARBON = ("lyr_14c", "lyr_14c_fill_extra", *FORMS.values())
"""Columns of radiocarbon."""


def schema():  # type: ignore[no-untyped-def]
    """Columns of the flat layer table that are read."""
    import pandera.pandas as pa

    number, free = number_column, number_column()
    delta: dict[str, Any] = {"unit": "‰", "quantity": "delta14c", "pint_unit": "permil"}
    grams: dict[str, Any] = {"unit": "g cm⁻²", "quantity": "stock", "pint_unit": "g cm-2", "scale": G_CM2_TO_MG_HA}
    columns = soil_schema() | {
        "lyr_14c": number(-1000, 2000, **delta, forms=FORMS),
        "lyr_14c_fill_extra": number(-1000, 2000, **delta),
        "lyr_14c_sigma": number(unit="‰", quantity="sigma", pint_unit="permil", forms=SIGMA_FORMS, of="lyr_14c"),
        "lyr_fraction_modern": number(0, 3, "(a fraction)", quantity="fraction_modern"),
        "lyr_percent_modern": number(0, 300, "%", quantity="percent_modern"),
        "lyr_radiocarbon_age": number(-3000, 60_000, "yr BP", quantity="radiocarbon_age"),
        "lyr_soc_filled": number(**grams),
        "lyr_soc_sigma": number(unit="g cm⁻²", pint_unit="g cm-2"),
        "lyr_bd_samp_filled": number(0, 5, "g cm⁻³", quantity="bulk_density", pint_unit="g cm-3"),
        "lyr_coarse_tot": number(0, 100, "%", quantity="coarse", pint_unit="percent"),
    }
    columns |= dict.fromkeys(SIGMA_FORMS.values(), free)
    return pa.DataFrameSchema(columns | dict.fromkeys(_GRIDDED, free))
