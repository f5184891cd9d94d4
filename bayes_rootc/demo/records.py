"""Records of the demo world, in the forms in which publishers give theirs, with rows planted for the rules to drop."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ..constants import (
    BIOMES,
    DAYS_PER_YEAR,
    G_CM2_TO_MG_HA,
    G_M2_TO_MG_HA,
    KG_M2_TO_MG_HA,
    LAYER_NAMES,
    LAYERS,
    M_TO_CM,
    PROFILE_DEPTH_CM,
    PROFILE_NAME,
)
from ..data.atmosphere import Atmosphere, zone_of
from ..data.israd import (
    DEFAULT_SIGMA,
    GRIDDED_CARBON_PER_UNIT,
    GRIDDED_DEPTHS,
    MAX_CARBON_DENSITY,
    MAX_ORGANIC_CARBON,
)
from ..data.npp import MAX_BNPP
from ..data.plausible import ALWAYS_CODES
from ..models.radiocarbon import predicted_table
from ..models.rates import fine_log_k, input_rate, mean_age
from ..models.root_depth import layer_fractions
from .parameters import DRIVERS, SOIL_ORDERS, Array, DemoParameters, by_biome_of

MISSING = ALWAYS_CODES[0]

TOPS, BOTTOMS = (np.array(bounds, float) for bounds in zip(*LAYERS, strict=True))


def radiocarbon_records(
    folder: Path, sites: pd.DataFrame, p: DemoParameters, rng: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, dict[str, int]]]:
    """Profiles of contiguous layers to 200 cm, and the ISRaD tables that report them, the CO₂ that some of the layers
    respire, and their light and heavy carbon.
    """
    study = np.arange(len(sites)) // 8
    of_study = p.log_k_study_sd * rng.standard_normal(len(sites))
    sites = sites.assign(
        entry=[f"Demo_{1 + i:02d}" for i in study],
        site=[f"Site_{1 + i:03d}" for i in range(len(sites))],
        year=1965 + np.floor(57 * rng.beta(3.0, 1.4, len(sites))),  # 1965–2021, most of them recent
        month=np.where(rng.random(len(sites)) < 0.5, rng.integers(1, 13, len(sites)), np.nan),
        zone=zone_of(sites["lat"], sites["lon"]),
        k_noise=p.log_k_profile_sd * rng.standard_normal(len(sites)) + of_study[study],
        stock_noise=p.log_stock_profile_sd * rng.standard_normal(len(sites)),
        lab_sigma=np.exp(rng.normal(np.log(4), 0.4, len(sites))).round(1),
    )
    count = rng.integers(3, 9, len(sites))
    bounds = [_layer_bounds(rng, n) for n in count]
    t = sites.loc[np.repeat(sites.index, count)].reset_index(drop=True)
    t["top"], t["bottom"] = (np.concatenate([b[part] for b in bounds]) for part in (slice(None, -1), slice(1, None)))
    n, covariates = len(t), {name: t[name].to_numpy() for name in (*DRIVERS, "biome")}
    t["profile"] = t["entry"] + "/" + t["site"] + "/" + t["site"] + "_P1"
    t["layer"] = t["site"] + "_" + t["top"].map("{:g}".format) + "-" + t["bottom"].map("{:g}".format)
    t["id"] = t["profile"] + "/" + t["layer"]
    decimal_year = t["year"] + ((t["month"] - 0.5) / 12).fillna(0.5)
    t["log_k_expected"] = p.log_k(covariates, (t["top"] + t["bottom"]) / 2)
    t["log_k"] = t["log_k_expected"] + t["k_noise"] + p.log_k_layer_sd * rng.standard_normal(n)
    t["k"], t["age"] = input_rate(t["log_k"], p.rate_sd), mean_age(t["log_k"], p.rate_sd)
    stock_noise = t["stock_noise"] + p.log_stock_layer_sd * rng.standard_normal(n)
    t["stock"] = p.stock(covariates, t["top"], t["bottom"]) * np.exp(stock_noise)
    t["i_bulk"] = t["stock"] * t["k"]
    lost = rng.random(n) < p.lost_sigma_share
    t["sigma"], t["sigma_reported"] = np.where(lost, DEFAULT_SIGMA, t["lab_sigma"]), ~lost
    noise = rng.standard_normal((2, n)) * np.stack([t["sigma"], np.full(n, p.model_sd)])
    carbon = _Carbon(t["log_k"].to_numpy(), p.rate_sd, decimal_year.to_numpy(), t["zone"].to_numpy(str))
    observed = np.maximum(carbon.mean() + noise.sum(axis=0), MISSING + 1)  # −999 would be read as a missing value

    stock = t["stock"] * np.exp(p.log_stock_measured_sd * rng.standard_normal(n))
    thickness = t["bottom"] - t["top"]
    density = np.minimum(
        stock / thickness / G_CM2_TO_MG_HA, 0.95 * MAX_CARBON_DENSITY
    )  # as the loader bounds what it believes
    coarse = rng.uniform(0, 15, n).round(1)
    bulk_density = np.maximum(1.45 - 8 * density, density / (0.95 * MAX_ORGANIC_CARBON / 100))
    kind = rng.choice(["stock", "carbon and density", "carbon"], n, p=[0.6, 0.25, 0.15])
    rows = pd.DataFrame(
        {
            "entry_name": t["entry"],
            "site_name": t["site"],
            "pro_name": t["site"] + "_P1",
            "lyr_name": t["layer"],
            "pro_lat": t["lat"],
            "pro_long": t["lon"],
            "pro_treatment": "control",
            "pro_peatland": None,
            "pro_usda_soil_order": [SOIL_ORDERS[b - 1] for b in t["biome"]],
            "lyr_obs_date_y": t["year"],
            "lyr_obs_date_m": t["month"],
            "lyr_top": t["top"],
            "lyr_bot": t["bottom"],
            "lyr_hzn": np.select([t["top"] == 0, t["bottom"] < 100], ["A", "Bw"], "C"),
            "lyr_14c": observed.round(1),
            "lyr_14c_fill_extra": np.nan,
            # most lost σ are missing, some are absurd: a fraction modern taken for ‰
            "lyr_14c_sigma": np.where(lost, np.where(rng.random(n) < 0.15, 990.0, np.nan), t["sigma"]),
            "lyr_c_org_filled": (100 * density / bulk_density).round(4),
            "lyr_c_tot": np.nan,
            "lyr_soc_filled": np.where(kind == "stock", (density * thickness).round(6), np.nan),
            "lyr_soc_sigma": np.nan,
            "lyr_bd_samp_filled": np.where(kind == "carbon", np.nan, bulk_density.round(4)),
            "lyr_coarse_tot": coarse,
        }
    )
    about = rows.drop(columns=["lyr_14c", "lyr_14c_fill_extra", "lyr_14c_sigma"])
    _write(_incubations(about, carbon, p, rng), folder, "incubation")
    _write(_fractions(about, carbon, p, rng), folder, "fraction")
    rows = pd.concat([rows, _gridded_profile(covariates, p)], axis=1)
    rows, planted = _plant(rows, RADIOCARBON_FLAWS, "lyr_name", p, rng)
    _write(rows.sort_values("site_name", kind="stable"), folder, "layer")
    kept = "id profile lat lon biome top bottom year zone sigma sigma_reported log_k_expected log_k k age stock i_bulk"
    return t.assign(year=decimal_year)[kept.split()], {"israd": planted}


def _write(rows: pd.DataFrame, folder: Path, table: str) -> None:
    """One of ISRaD's tables; with a time of its own, the bytes would not be the same again."""
    path = folder / f"ISRaD_extra_flat_{table}_demo.csv.gz"
    rows.to_csv(path, index=False, compression={"method": "gzip", "mtime": 1})


class _Carbon:
    """Carbon of layers by its rate: the Δ14C of parts of it, which weights of the rates choose, (layer, rate)."""

    def __init__(self, centre: Array, sd: float, year: Array, zone: NDArray[np.str_]):
        self.log_k = fine_log_k()
        self.z = (self.log_k - centre[:, None]) / max(sd, self.log_k[1] - self.log_k[0])
        self.share = np.exp(-0.5 * self.z**2)
        self._delta = predicted_table(np.exp(self.log_k), year, zone, "intcal20", Atmosphere.packaged())

    def mean(self, weight: Array | float = 1.0) -> Array:
        """Mean Δ14C (‰) of each layer's carbon, or of a part of it."""
        share = self.share * weight
        return (share * self._delta).sum(axis=1) / share.sum(axis=1)


def _incubations(about: pd.DataFrame, carbon: _Carbon, p: DemoParameters, rng: np.random.Generator) -> pd.DataFrame:
    """The CO₂ that some layers respire in a jar, from which roots were picked."""
    days = rng.integers(10, 121, len(about)).astype(float)
    respired = carbon.mean(-np.expm1(-np.exp(carbon.log_k) * days[:, None] / DAYS_PER_YEAR))
    sigma = np.full(len(about), 4.0)
    error = np.hypot(sigma, p.respired_sd) * rng.standard_normal(len(about))
    table = about.assign(
        inc_type="root-picked soil",
        inc_analyte="CO2",
        inc_duration=days,
        inc_14c=np.maximum(respired + error, MISSING + 10).round(1),
        inc_14c_sigma=sigma,
    )
    return table[rng.random(len(table)) < p.incubated_share]


def _fractions(about: pd.DataFrame, carbon: _Carbon, p: DemoParameters, rng: np.random.Generator) -> pd.DataFrame:
    """Light and heavy carbon of some layers, two rows each: the faster carbon is, the more often it is light."""
    light_share = rng.uniform(0.08, 0.45, len(about))
    tendency = (p.light_link * carbon.z + ndtri(light_share)[:, None]) / np.sqrt(1 - p.light_link**2)
    means = {"free light": carbon.mean(ndtr(tendency)), "heavy": carbon.mean(ndtr(-tendency))}
    shares = {"free light": light_share, "heavy": 1 - light_share}
    chosen, parts = rng.random(len(about)) < p.parted_share, []
    for part, mean in means.items():
        error = p.parts_sd / np.sqrt(2) * rng.standard_normal(len(about))  # of their difference: parts_sd
        parts.append(
            about.assign(
                frc_scheme="density",
                frc_property=part,
                frc_14c=np.maximum(mean + error, MISSING + 1).round(1),
                frc_14c_sigma=4.0,
                frc_c_perc=(100 * shares[part]).round(1),
            )[chosen]
        )
    return pd.concat(parts).sort_index(kind="stable")


RADIOCARBON_FLAWS: dict[str, dict[str, Any]] = {
    "no Δ14C": {"lyr_14c": np.nan},
    "depth of top or bottom unknown": {"lyr_bot": np.nan},
    "organic layer above the mineral soil": {"lyr_top": -6.0, "lyr_bot": 0.0, "lyr_hzn": "Oe"},
    "bottom not below top": {"lyr_top": 40.0, "lyr_bot": 40.0},
    "reaches below": {"lyr_top": 180.0, "lyr_bot": 240.0},
    "year of sampling unknown": {"lyr_obs_date_y": np.nan, "lyr_obs_date_m": np.nan},
    "peatland": {"pro_peatland": "yes", "pro_usda_soil_order": "Histosols"},
    "organic material": {"lyr_hzn": "Oa", "lyr_c_org_filled": 38.0},
    "experimental treatment": {"pro_treatment": "treatment"},
    "duplicate": {},
}
NPP_FLAWS: dict[str, dict[str, Any]] = {
    "no belowground production": {"bnpp": np.nan},
    "no coordinates": {"lat": np.nan},
    "belowground production not > 0": {"bnpp": 0.0},
    "belowground production >": {"bnpp": 12.0 * MAX_BNPP},  # kg taken for g, or biomass for production
    "duplicate": {},
}
SRDB_FLAWS: dict[str, dict[str, Any]] = {
    "no belowground production": {"bnpp": np.nan},
    "quality flag": {"Quality_flag": "Q02 Q12"},
    "experimental manipulation": {"Manipulation": "Fertilized"},
    "marked as a duplicate record": {"Duplicate_record": "1"},
    "belowground production >": {"bnpp": 12.0 * MAX_BNPP},
}
ROOT_FLAWS: dict[str, dict[str, Any]] = {
    "no coordinates": {"latitude": MISSING},
    "D50 or D95 missing": {"D50": MISSING, "D50_extrapolated": MISSING},
    "D50 not > 0": {"D50_extrapolated": 0.0},
    "D95 not below D50": {"D50_extrapolated": 0.4, "D95_extrapolated": 0.3},
    "duplicate": {},
}
"""Rows that the rules drop: copies of good ones, changed so; the keys are the first words of the rule."""


def _plant(
    rows: pd.DataFrame, flaws: dict[str, dict[str, Any]], name: str, p: DemoParameters, rng: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Rows with flawed copies after them, and how many of each flaw."""
    n = max(round(p.planted_share * len(rows)), 1)
    parts = [rows]
    for number, changes in enumerate(flaws.values()):
        copies = rows.iloc[rng.choice(len(rows), n, replace=False)].assign(**changes)
        copies[name] = copies[name].astype(str) + f"_{chr(ord('b') + number)}"
        parts.append(copies)
    return pd.concat(parts, ignore_index=True), dict.fromkeys(flaws, n)


def _layer_bounds(rng: np.random.Generator, n: int) -> Array:
    """Bounds of n layers from 0 to 200 cm: whole cm, irregular, none thinner than 2 cm, thicker with depth."""
    weight = rng.gamma(4.0, size=n) * 1.3 ** np.arange(n)
    thickness = 3 + (PROFILE_DEPTH_CM - 3 * n) * weight / weight.sum()
    return np.r_[0, np.cumsum(thickness).round()]


def _gridded_profile(covariates: dict[str, Array], p: DemoParameters) -> pd.DataFrame:
    """SoilGrids' columns: the median profile of the place, without the noise of its own.

    The publisher rounds to whole numbers; decimals are kept here, since without them the carbon of the subsoil is lost.
    """
    depths = np.array(GRIDDED_DEPTHS, float)[:, None]
    at_depth = p.stock(covariates, depths, depths + 0.01) / 0.01
    # The curve sags between the mapped depths; lowered so that straight lines between them hold the stock, as they do
    # in the publisher's sums.
    lines = (at_depth[1:] + at_depth[:-1]) / 2 * np.diff(depths, axis=0)
    sag = np.pad(p.stock(covariates, depths[:-1], depths[1:]) / lines, ((1, 1), (0, 0)), mode="edge")
    at_depth *= (sag[1:] + sag[:-1]) / 2 / G_CM2_TO_MG_HA
    columns: dict[str, Array] = {}
    for depth, density in zip(GRIDDED_DEPTHS, at_depth, strict=True):
        coarse = np.full(len(density), 6.0 + 0.04 * depth)
        bulk_density = np.maximum(1.45 - 8 * density, 0.4)
        carbon = 100 * density / bulk_density / (1 - coarse / 100)
        columns[f"pro_corg_{depth}_cm_SG"] = (carbon / GRIDDED_CARBON_PER_UNIT).round(3)
        columns[f"pro_bd_{depth}_cm_SG"] = (100 * bulk_density).round(1)
        columns[f"pro_coarse_{depth}_cm_SG"] = coarse.round(1)
        columns[f"pro_clay_{depth}_cm_SG"] = np.round(covariates["clay"])
    for top, bottom in pairwise(GRIDDED_DEPTHS):
        columns[f"pro_corgStock_{top}_{bottom}_cm_SG"] = (p.stock(covariates, top, bottom) / KG_M2_TO_MG_HA).round(2)
    return pd.DataFrame(columns)


def in_standard_layers(t: pd.DataFrame, p: DemoParameters) -> pd.DataFrame:
    """I_bulk of each profile in the seven layers: measured layers, divided as the smooth stock times k is."""
    # Stock falls with exp(-depth / e-folding depth), k with exp(slope · depth), so does their product.
    rate = (1 / by_biome_of(p.stock_depth, t["biome"]) - by_biome_of(p.log_k_slope, t["biome"]) / M_TO_CM)[:, None]
    top, bottom = (t[name].to_numpy(float)[:, None] for name in ("top", "bottom"))
    upper, lower = np.clip(TOPS, top, bottom), np.clip(BOTTOMS, top, bottom)
    share = (np.exp(-rate * upper) - np.exp(-rate * lower)) / (np.exp(-rate * top) - np.exp(-rate * bottom))
    parts = (
        pd.DataFrame(t["i_bulk"].to_numpy()[:, None] * share, columns=list(LAYER_NAMES))
        .groupby(t["profile"], sort=False)
        .sum()
    )
    places = t.drop_duplicates("profile").set_index("profile")[["lat", "lon", "biome"]]
    return places.join(parts.assign(**{PROFILE_NAME: parts.sum(axis=1)})).reset_index()


def npp_records(
    folder: Path, sites: pd.DataFrame, p: DemoParameters, rng: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, dict[str, int]]]:
    """Production at sites, and the two compilations that report it in one to three records a site."""
    covariates = {name: sites[name].to_numpy() for name in (*DRIVERS, "biome")}
    noise = rng.standard_normal((2, len(sites)))
    sites["bnpp"] = p.median_bnpp(covariates) * np.exp(p.log_bnpp_sd * noise[0])
    sites["f_bnpp"] = 1 / (1 + np.exp(-p.logit_f_bnpp(covariates) - p.logit_f_sd * noise[1]))
    # Peng's compilation has forests and grasslands, the other all biomes.
    in_peng = (sites["biome"] <= 6) & (rng.random(len(sites)) < 0.75)
    r = sites.loc[np.repeat(sites.index, rng.integers(1, 4, len(sites)))]
    error = np.exp(p.log_npp_measured_sd * rng.standard_normal((2, len(r))))
    bnpp = np.minimum(r["bnpp"] / G_M2_TO_MG_HA * error[0], 0.99 * MAX_BNPP).round(2)
    anpp = (r["bnpp"] * (1 / r["f_bnpp"] - 1) / G_M2_TO_MG_HA * error[1]).round(2)
    total = np.where(rng.random(len(r)) < 0.5, (anpp + bnpp).round(2), np.nan)
    records = pd.DataFrame(
        {"lat": r["lat"], "lon": r["lon"], "anpp": anpp, "bnpp": bnpp, "total": total, "biome": r["biome"]}
    )
    records["site"] = [f"Demo {i:03d}" for i in records.index]
    peng, srdb = records[in_peng[records.index]], records[~in_peng[records.index]]
    peng = peng.assign(references="simulated", pft=np.where(np.isin(peng["biome"], (2, 4)), "Grassland", "Forest"))
    peng["ID"] = [f"D{i}" for i in range(len(peng))]
    srdb = srdb.assign(Author="simulated", Duplicate_record=None, Quality_flag="Q02", Manipulation="None")
    srdb["Ecosystem_type"] = [BIOMES[b] for b in srdb["biome"]]
    shared = peng.sample(max(round(p.planted_share * len(srdb)), 1), random_state=rng)
    peng, planted_peng = _plant(peng, NPP_FLAWS, "ID", p, rng)
    srdb, planted_srdb = _plant(srdb, SRDB_FLAWS, "site", p, rng)
    shared = shared.drop(columns=["references", "pft", "ID"]).assign(Author="simulated", Quality_flag="Q01")
    srdb = pd.concat([srdb, shared])
    srdb.insert(0, "Record_number", range(1, len(srdb) + 1))
    srdb["Site_name"] = srdb.pop("site")
    peng_names = {"anpp": "ANPP_2", "bnpp": "BNPP_1", "total": "TNPP_1"}
    srdb_names = {"lat": "Latitude", "lon": "Longitude", "anpp": "ANPP", "bnpp": "BNPP", "total": "NPP"}
    for name, table, columns in (("npp_peng2023.csv", peng, peng_names), ("srdb-data.csv", srdb, srdb_names)):
        table.drop(columns="biome").rename(columns=columns).to_csv(folder / name, index=False)
    truth = sites.sort_values(["lat", "lon"], ignore_index=True)[["lat", "lon", "biome", "bnpp", "f_bnpp"]]
    return truth, {"npp_peng2023": planted_peng, "srdb-data": planted_srdb | {"in an earlier source": len(shared)}}


def root_records(
    folder: Path, sites: pd.DataFrame, p: DemoParameters, rng: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, dict[str, int]]]:
    """Root profiles, and the Schenk & Jackson table that reports them, in metres."""
    n = len(sites)
    d50, d95 = p.root_depths(sites["biome"].to_numpy(), rng.standard_normal((n, 2)))
    truth = sites[["lat", "lon", "biome"]].assign(d50=d50, d95=d95)
    truth.insert(0, "id", [f"DM{i:03d}" for i in range(1, n + 1)])
    truth[list(LAYER_NAMES)] = layer_fractions(d50, d95)
    sampled_all = rng.random(n) < 0.06  # pits that reached the last root: nothing to extrapolate
    d50_m, d95_m = (d50 / M_TO_CM).round(4), (d95 / M_TO_CM).round(4)
    rows = pd.DataFrame(
        {
            "ID": truth["id"],
            "Schenk_Jackson_2002": "NO",
            "latitude": truth["lat"],
            "longitude": truth["lon"],
            "Elevation": MISSING,
            "Vegetation": [BIOMES[b] for b in truth["biome"]],
            "D50": np.where(sampled_all, d50_m, (0.95 * d50_m).round(4)),
            "D95": np.where(sampled_all, d95_m, (0.85 * d95_m).round(4)),
            "D50_extrapolated": np.where(sampled_all, MISSING, d50_m),
            "D95_extrapolated": np.where(sampled_all, MISSING, d95_m),
        }
    )
    rows, planted = _plant(rows, ROOT_FLAWS, "ID", p, rng)
    rows.to_csv(folder / "root_profiles_D50D95.csv", index=False)
    return truth, {"root_profiles_D50D95": planted}
