"""The data folder: every source read, checked and brought together with the covariates at its sites."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..constants import G_M2_TO_MG_HA, LAYERS
from ..errors import InputError
from ..files import sha256
from . import own_files
from .atmosphere import Atmosphere, zone_of
from .biomes import CROPLANDS, UNSAID, biome_of_record
from .choice import not_read, the_files, the_table
from .covariates import CovariateStack
from .israd import read_layers
from .israd_fractions import read_fractions
from .israd_incubations import read_incubations
from .israd_template import read_templates, templates
from .mapping_units import SOIL_MAP_STOCKS
from .npp import read_npp
from .own_files import column_names
from .own_tables import parts_columns, respired_columns
from .plausible import Doubt, judge
from .production import SUN, biome_of_vegetation, read_production
from .roots import read_root_profiles
from .tables import Screen, SourceCheck
from .units import factor

SITE = ["lat", "lon"]
ISRAD_LAYERS, ISRAD_INCUBATIONS = "ISRaD_extra_flat_layer_", "ISRaD_extra_flat_incubation_"
ISRAD_FRACTIONS = "ISRaD_extra_flat_fraction_"
STOCK_UNIT, FLUX_UNIT = "Mg ha-1", "Mg ha-1 yr-1"


@dataclass
class Inputs:
    """Everything a run needs.

    Tables have one row a record and carry the covariates of their sites (a column each, `biome`, and `satellite_npp` in
    Mg C ha⁻¹ yr⁻¹).

    Attributes
    ----------
    layers : DataFrame
        Radiocarbon layers (`israd.read_layers`), with `zone`, `profile_index`, `stock_metre` (Mg C ha⁻¹),
        `SOIL_MAP_STOCKS` (stocks of the seven layers at the site, NaN where the manifest has no soil map), and
        `has_covariates`: a layer needs covariates to train and predict with, but not for its age.
    npp, npp_records : DataFrame
        NPP sites and their records (`npp.read_npp`).
    roots : DataFrame
        Root profiles (`roots.read_root_profiles`).
    checks : list of SourceCheck
        What was used and dropped, one for each source.
    files : dict of str to str
        Checksum of every file read.
    incubations, fractions : DataFrame, optional
        Radiocarbon of the CO₂ that layers respire (`israd_incubations.read_incubations`), and of their light and heavy
        carbon (`israd_fractions.read_fractions`); `layer` is a label in the index of `layers`. Read only by
        `with_parts`.
    production : DataFrame, optional
        All records of production (`production.read_production`), where they were asked for.
    """

    folder: Path
    atmosphere: Atmosphere
    covariates: CovariateStack
    layers: pd.DataFrame
    npp: pd.DataFrame
    npp_records: pd.DataFrame
    roots: pd.DataFrame
    checks: list[SourceCheck]
    files: dict[str, str] = field(default_factory=dict)
    incubations: pd.DataFrame | None = None
    fractions: pd.DataFrame | None = None
    production: pd.DataFrame | None = None

    @property
    def turnover_layers(self) -> pd.DataFrame:
        """Radiocarbon layers as the turnover model takes them, with their incubations and fractions if these were
        read.
        """
        layers = self.layers
        if self.incubations is not None:
            layers = layers.join(respired_columns(self.incubations, layers.index, layers["year"]))
        if self.fractions is not None:
            layers = layers.join(parts_columns(self.fractions, layers.index))
        return layers

    @property
    def features(self) -> list[str]:
        """Numeric covariates."""
        return self.covariates.features

    @property
    def groups(self) -> dict[str, list[str]]:
        """Numeric covariates by group (soil, climate, topography), without dummy variables."""
        return self.covariates.groups


def read_inputs(
    folder: str | Path, *, nearest_km: float = 100.0, manifest: Path | None = None, production: bool = False
) -> Inputs:
    """Reads and checks a data folder.

    Parameters
    ----------
    production : bool
        Also read all records of production, whole or in parts.
    manifest : Path, optional
        Manifest of the covariates; by default the folder's own.

    Raises
    ------
    InputError
        A source is missing or unusable, or the rules leave nothing of it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("no such data folder", file=folder)
    covariates = CovariateStack(folder / "covariates", manifest)
    if not covariates.features:
        raise InputError("no entry is a numeric covariate (role covariate, no categories)", file=covariates.manifest)
    atmosphere = Atmosphere.read(folder / "atmosphere")
    workbooks = templates(folder / "israd", folder)
    layers, layer_checks = _layers(folder, workbooks)
    npp, npp_records, npp_checks = read_npp(folder / "npp", _own_production(folder))
    roots, roots_checks = _roots(folder)

    layers, layers_at = _with_covariates("covariates at radiocarbon layers", layers, covariates, nearest_km, keep=True)
    npp, npp_at = _with_covariates("covariates at NPP sites", npp, covariates, nearest_km)
    roots, roots_at = _with_covariates("covariates at root profiles", roots, covariates, nearest_km)
    for name, table, file, checks in (
        ("radiocarbon layers", layers, Path(layer_checks[0].file), [*layer_checks, layers_at]),
        ("NPP sites", npp, Path(npp_checks[0].file).parent, [*npp_checks, npp_at]),
        ("root profiles", roots, Path(roots_checks[0].file), [*roots_checks, roots_at]),
    ):
        if len(table) < 2:
            dropped = "; ".join(f"{n:,} {rule}" for check in checks for rule, n in check.dropped.items())
            raise InputError(
                f"{len(table)} usable {name}, expected at least 2; dropped: {dropped or 'none'}", file=file
            )

    layers["zone"] = zone_of(layers["lat"], layers["lon"])
    layers["profile_index"] = layers.groupby("profile", sort=False).ngroup()
    layers["stock_metre"] = metre_stock(layers, covariates)
    layers[SOIL_MAP_STOCKS] = soil_map_stocks(layers, covariates, nearest_km)
    for table in (layers, npp, roots):
        table["satellite_npp"] = satellite_npp(table, covariates)
    for at, values, quantity, role, scale in (
        (layers_at, layers["stock_metre"], "metre_stock", "stock", 1.0),
        (npp_at, npp["satellite_npp"], "npp", "npp", 1 / G_M2_TO_MG_HA),
    ):
        rasters = ", ".join(stock_rasters(covariates) if role == "stock" else covariates.role(role))
        at.judge(f"{rasters} of the manifest", judge(values, quantity, scale=scale, unit="Mg ha⁻¹"))
    read = [layer_checks, npp_checks, roots_checks]
    tables = [Path(check.file) for checks in read for check in checks if Path(check.file).is_file()]
    tables += [path for path in workbooks if path not in tables]
    parts = [path for name in (ISRAD_INCUBATIONS, ISRAD_FRACTIONS) for path in the_files(folder / "israd", name)]
    sun = [path for path in (folder / "npp" / SUN,) if path.is_file()]
    parts += sun if production else []
    for checks, name in zip(read, ("israd", "npp", "roots"), strict=True):
        if others := not_read(folder / name, [*tables, *parts]):
            checks[0].remarks[f"files that are not read: {', '.join(others)}"] = len(others)
    used = [
        *tables,
        *sun,
        *sorted((folder / "atmosphere").glob("*.csv")),
        covariates.manifest,
        *covariates.files,
    ]
    inputs = Inputs(
        folder,
        atmosphere,
        covariates,
        layers,
        npp,
        npp_records[npp_records["id"].isin(npp["id"])].reset_index(drop=True),
        roots,
        [*layer_checks, *npp_checks, *roots_checks, *covariates.checks(), layers_at, npp_at, roots_at],
        {str(f.relative_to(folder)) if f.is_relative_to(folder) else f.name: sha256(f) for f in used},
    )
    if production:
        records, production_checks = read_production(folder / "npp", _own_production(folder))
        inputs.production, at = _with_covariates("covariates at records of production", records, covariates, nearest_km)
        inputs.checks += [*production_checks, at]
    return inputs


def with_parts(inputs: Inputs) -> None:
    """Adds the incubations and the density fractions of the layers that are used, where the folder has ISRaD's tables
    of them.
    """
    inputs.incubations = _parts(inputs, ISRAD_INCUBATIONS, read_incubations)
    inputs.fractions = _parts(inputs, ISRAD_FRACTIONS, read_fractions)


def _own_production(folder: Path) -> Screen | None:
    """Records of the user's own table, where there is one."""
    path = folder / own_files.PRODUCTION
    names = column_names(folder).get("production", {})
    return own_files.read_own_production(path, names) if path.exists() else None


def _parts(inputs: Inputs, name: str, read: Callable[[Path], tuple[pd.DataFrame, SourceCheck]]) -> pd.DataFrame | None:
    if not the_files(inputs.folder / "israd", name):
        return None
    path = the_table(inputs.folder / "israd", name, f"{name}*.csv")
    table, check = read(path)
    known = pd.Series(inputs.layers.index, inputs.layers["id"])
    at = table["layer"].map(known[~known.index.duplicated()])
    if at.isna().any():
        check.dropped["of a layer that is not used, as its own Δ14C was not measured"] = int(at.isna().sum())
        check.used -= int(at.isna().sum())
    inputs.checks.append(check)
    inputs.files[str(path.relative_to(inputs.folder))] = sha256(path)
    return table.assign(layer=at)[at.notna()].astype({"layer": int}).reset_index(drop=True)


def _layers(folder: Path, workbooks: list[Path]) -> tuple[pd.DataFrame, list[SourceCheck]]:
    """Layers of the user's own table, of ISRaD's table and of workbooks in its template, as far as they are there."""
    own, israd = folder / own_files.LAYERS, folder / "israd"
    parts = []
    if own.exists():
        parts.append(own_files.read_own_layers(own, column_names(folder).get("layers", {})))
    if not (own.exists() or workbooks) or the_files(israd, ISRAD_LAYERS):
        parts.append(read_layers(the_table(israd, ISRAD_LAYERS, f"{ISRAD_LAYERS}*.csv")))
    if workbooks:
        table, check = read_templates(workbooks)
        published = table["study"].isin([study for earlier, _ in parts for study in earlier["study"]])
        if published.any():  # entries of ISRaD that its table has already
            check.dropped["of a study that another table has"] = int(published.sum())
            check.used -= int(published.sum())
        parts.append((table[~published], check))
    return pd.concat([table for table, _ in parts], ignore_index=True), [check for _, check in parts]


def _roots(folder: Path) -> tuple[pd.DataFrame, list[SourceCheck]]:
    """Root profiles of the user's own table and of the published one, as far as they are there."""
    own, published = folder / own_files.ROOTS, folder / "roots" / "root_profiles_D50D95.csv"
    parts = []
    if own.exists():
        parts.append(own_files.read_own_roots(own, column_names(folder).get("roots", {})))
    if published.exists():
        parts.append(read_root_profiles(published))
    if not parts:
        raise InputError(f"not found; expected it, or {own_files.ROOTS} in the data folder", file=published)
    return pd.concat([table for table, _ in parts], ignore_index=True), [check for _, check in parts]


def _with_covariates(
    source: str, table: pd.DataFrame, covariates: CovariateStack, nearest_km: float, *, keep: bool = False
) -> tuple[pd.DataFrame, SourceCheck]:
    """Joins the covariates of each row's site, and its biome, which is that of the record if it states one; rows
    without a biome, or without one of the covariates (unless `keep`), are dropped and counted.
    """
    sites = table[SITE].drop_duplicates().reset_index(drop=True)
    values, report = covariates.sample(sites["lat"], sites["lon"], nearest_km=nearest_km)
    joined = table.merge(
        pd.concat([sites, values], axis=1), on=SITE, how="left", validate="many_to_one", suffixes=("_own", "")
    )
    mapped, natural = joined["biome"], joined.pop("natural_biome")
    if "said_biome" in joined:
        said = joined.pop("said_biome")
        if "vegetation" in joined:
            said = said.where(said != UNSAID, biome_of_vegetation(joined["vegetation"], natural, joined["lat"]))
        joined["biome"] = biome_of_record(said, mapped, natural)
    screen = Screen(source, covariates.folder, joined)
    for text, here in (
        ("biome from the record: croplands", joined["biome"] == CROPLANDS),
        ("biome from the record: not croplands", mapped == CROPLANDS),
        ("biome from the record", (joined["biome"] != CROPLANDS) & (mapped != CROPLANDS)),
    ):
        screen.remark(f"{text}, against the rasters", here & (joined["biome"] != mapped))
    at_sea = int((values["biome"] == 0).sum())
    if at_sea >= 3 and at_sea > 0.5 * len(sites):
        text = f"{at_sea} of {len(sites)} places are not on soil: are latitude and longitude exchanged, or a sign lost?"
        screen.judge("latitude and longitude", Doubt(text, at_sea, False))
    screen.drop(f"no soil biome within {nearest_km:g} km", joined["biome"] == 0)
    for group in dict.fromkeys(covariates.rasters[f].group for f in covariates.features):
        names = [f for f in covariates.features if covariates.rasters[f].group == group]
        rule, lacks = f"a {group} covariate missing within {nearest_km:g} km", screen.table[names].isna().any(axis=1)
        if keep:
            screen.remark(f"{rule}: age only, not in the learners", lacks)
        else:
            screen.drop(rule, lacks)
    screen.table["has_covariates"] = screen.table[covariates.features].notna().all(axis=1)
    filled = max(report.filled.values(), default=0)
    screen.check.remarks |= (
        {f"sites ({report.sites} in all) that take a covariate from a neighbouring cell, at most": filled}
        if filled
        else {}
    )
    return screen.table.reset_index(drop=True), screen.check


def stock_rasters(covariates: CovariateStack) -> list[str]:
    """Rasters of the stock of the first metre, best first: those of role `stock`, then `soc_stock*`."""
    return covariates.role("stock") + [f for f in covariates.features if f.startswith("soc_stock")]


def metre_stock(table: pd.DataFrame, covariates: CovariateStack) -> np.ndarray:
    """Gridded stock of the first metre at each row, Mg C ha⁻¹, from its columns `stock_rasters`.

    Raises
    ------
    InputError
        The unit of a raster is not one of a stock.
    """
    return _in_mg_ha(table, covariates, stock_rasters(covariates), STOCK_UNIT)


def metre_stocks(table: pd.DataFrame, covariates: CovariateStack) -> dict[str, np.ndarray]:
    """The same from each of these rasters, by its name.

    Raises
    ------
    InputError
        The unit of a raster is not one of a stock.
    """
    return {name: _in_mg_ha(table, covariates, [name], STOCK_UNIT) for name in stock_rasters(covariates)}


def soil_map_stocks(table: pd.DataFrame, covariates: CovariateStack, nearest_km: float) -> np.ndarray:
    """Stocks of the seven layers at each row's site from the manifest's soil map, Mg C ha⁻¹, (row, 7); NaN where there
    is none.
    """
    sites, at = np.unique(table[SITE].to_numpy(float), axis=0, return_inverse=True)
    stocks = covariates.layer_stocks(*sites.T, nearest_km=nearest_km)
    return np.full((len(table), len(LAYERS)), np.nan) if stocks is None else stocks[at]


def satellite_npp(table: pd.DataFrame, covariates: CovariateStack) -> np.ndarray:
    """Satellite net primary production at each site, Mg C ha⁻¹ yr⁻¹; NaN where there is none."""
    return _in_mg_ha(table, covariates, covariates.role("npp"), FLUX_UNIT)


def _in_mg_ha(table: pd.DataFrame, covariates: CovariateStack, names: list[str], unit: str) -> np.ndarray:
    """The first of several rasters that has a value, in Mg C ha⁻¹ (yr⁻¹)."""
    values = np.full(len(table), np.nan)
    for name in names:
        try:
            ratio = factor(covariates.rasters[name].unit, unit)
        except InputError as error:
            raise InputError(f"entry {name}: {error.message}", file=covariates.manifest, column="unit") from None
        values = np.where(np.isfinite(values), values, table[name].to_numpy(float) * ratio)
    return values
