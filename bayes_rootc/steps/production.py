"""Production of a run: all its records and the satellite's in one model, from which I_root follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..constants import G_M2_TO_MG_HA
from ..data.covariates import CovariateStack
from ..data.folder import Inputs, satellite_npp
from ..data.grid import MapGrid
from ..estimates import RootInput
from ..files import write_csv
from ..inference.root_depth import RootDepth
from ..inference.sampling import summarise
from ..models import production as mp
from ..progress import Progress
from ..settings import RunSettings, step_rng, step_seed
from .engine import Step
from .record import write_diagnostics

if TYPE_CHECKING:
    from ..inference.production import Production

CLIMATE = ("bio1", "bio12", "bio4", "bio15")
"""Covariates in which places are compared by climate, as far as there are such: mean temperature, rain, and the
seasonality of both."""

SATELLITE_DEGREES, APART_KM = 2.5, 500.0
"""Cells in which the satellite's production is read, and how far apart those are that are taken: its errors are then
their own."""

LEAST_GREEN = 0.5
"""Least share of such a cell that has plants: where there is less, a zero of the satellite is one of bare ground."""

LEAST_DRAWS = 200
"""Draws of each chain."""

FLUXES = ("npp", "anpp", "bnpp")
MODEL, TABLE = "posterior/production.nc", "tables/production_sites.csv"


def fit_production(inputs: Inputs, root_depth: object, settings: RunSettings, progress: Progress | None = None) -> None:
    """Fits all records of production, and writes `posterior/production.nc` and what they say of their sites; nothing
    where a forest makes I_root.
    """
    from ..inference.production import Production

    for name in (MODEL, TABLE):
        (settings.out / name).unlink(missing_ok=True)
    if settings.iroot_model != "field":
        return
    model = Production(
        inputs.groups,
        climate=[name for name in CLIMATE if name in inputs.features],
        chains=settings.chains,
        draws=max(LEAST_DRAWS, -(-settings.members // settings.chains)),
        seed=step_seed(settings, "production"),
    )
    records = records_of(inputs)
    roots = RootDepth.load(settings.out / "posterior" / "root_depth.nc")
    seen = seen_cells(inputs.covariates, settings.nearest_km)
    model.fit(records, seen, roots, until_good=not settings.quick, progress=progress)
    model.save(settings.out / MODEL)
    (row,) = model.check()["diagnostics"].to_dict("records")
    write_diagnostics(settings, {str(name): value for name, value in row.items()})
    write_csv(settings.out / TABLE, production_table(model, records, inputs, settings))


def records_of(inputs: Inputs) -> pd.DataFrame:
    """Records as `Production` takes them, in g C m⁻² yr⁻¹."""
    assert inputs.production is not None, "records of production are read where they are asked for"
    return inputs.production.assign(**{name: inputs.production[name] / G_M2_TO_MG_HA for name in FLUXES})


def seen_cells(covariates: CovariateStack, nearest_km: float) -> pd.DataFrame | None:
    """The satellite's production of ground with plants, g C m⁻² yr⁻¹, in cells of the land that lie far apart; None
    without a satellite.

    The fields are those of ground with plants, and maps multiply them by its share of a cell. So the satellite's value
    of a cell is divided by that share, and cells that are mostly bare or under ice are left out.
    """
    seen = covariates.role("npp")
    if not seen:
        return None
    grid = MapGrid(SATELLITE_DEGREES)
    names = [*covariates.features, *seen]
    stack = covariates.on_grid(grid, names, nearest_km=nearest_km)
    lat, lon = (a.ravel() for a in np.meshgrid(grid.lat, grid.lon, indexing="ij"))
    table = pd.DataFrame({name: stack[name].values.ravel() for name in [*names, "biome"]}).assign(lat=lat, lon=lon)
    bare = covariates.bare_share(grid)
    table["green"] = 1.0 if bare is None else 1 - bare.ravel()
    known = (table["biome"] > 0) & table[covariates.features].notna().all(axis=1)
    table = table[known & (table["green"] >= LEAST_GREEN)].reset_index(drop=True)
    table["npp"] = satellite_npp(table, covariates) / table["green"] / G_M2_TO_MG_HA
    place, kept = mp.on_sphere(table["lat"], table["lon"]), list[int]()
    for row in np.random.default_rng(0).permutation(len(table)):  # in any order, but always the same
        if not kept or ((place[kept] - place[row]) ** 2).sum(axis=1).min() > APART_KM**2:
            kept.append(row)
    return table.iloc[sorted(kept)].reset_index(drop=True)


def read_production(settings: RunSettings) -> Production | None:
    """The fit of a run; None where a forest makes I_root."""
    from ..inference.production import Production

    return Production.load(settings.out / MODEL) if settings.iroot_model == "field" else None


def sites_of(records: pd.DataFrame) -> pd.DataFrame:
    """Sites of the records with their covariates, in the order of the fit: `id`, how many `records` they have, how many
    of them below ground (`below`), and means of these, `bnpp` (g C m⁻² yr⁻¹).
    """
    from ..inference.production import site_of

    below = records["bnpp"].fillna((records["npp"] - records["anpp"]).where(lambda rest: rest > 0))
    table = records.assign(site=site_of(records), bnpp=below)
    by_site = table.groupby("site")
    first = table.sort_values("site", kind="stable").drop_duplicates("site").reset_index(drop=True)
    return first.assign(
        id=[f"site {number}" for number in first["site"]],
        records=by_site.size().to_numpy(),
        below=by_site["bnpp"].count().to_numpy(),
        bnpp=by_site["bnpp"].mean().to_numpy(),
    )


def production_table(model: Production, records: pd.DataFrame, inputs: Inputs, settings: RunSettings) -> pd.DataFrame:
    """`tables/production_sites.csv`: production, its share below ground and I_root at every site, given its records."""
    sites, found = sites_of(records), model.sites(draws=settings.members)
    table = sites[["id", "lat", "lon", "biome", "records", "below"]].assign(observed=sites["bnpp"] * G_M2_TO_MG_HA)
    for name in ("npp", "f_bnpp", "iroot"):
        summary = summarise(found[name].values.T, axis=1)
        table = table.assign(**{f"{name}_{key}": value for key, value in summary.items()})
    return table.assign(satellite_npp=satellite_npp(sites, inputs.covariates))


def root_input(inputs: Inputs, model: Production, settings: RunSettings) -> RootInput:
    """I_root for the six estimates, with the errors of its measurements and of the satellite."""
    rng, members = step_rng(settings, "root input"), settings.members
    sites, found = sites_of(records_of(inputs)), model.sites(draws=members)
    known = (sites["below"] > 0).to_numpy()
    draws = model.parameters(members)

    def at(places: pd.DataFrame, name: str) -> NDArray[np.float64]:
        return model.predict(places, draws=members)[name].values.T

    def seen(places: pd.DataFrame) -> NDArray[np.float64]:
        value = places["satellite_npp"].to_numpy(float)
        return mp.seen_production(draws, value, places["biome"].to_numpy(int), rng).T

    sites = sites.assign(npp=found["npp"].values.mean(axis=0), satellite_npp=satellite_npp(sites, inputs.covariates))
    table = sites[known].reset_index(drop=True)
    return RootInput(
        table,
        found["iroot"].values.T[known],
        found["f_bnpp"].values.T[known],
        lambda places: at(places, "iroot"),
        lambda places: at(places, "f_bnpp"),
        seen,
    )


PRODUCTION = Step(
    "production",
    fit_production,
    ("inputs", "root_depth"),
    ("iroot_model", "chains", "members"),
    (MODEL, TABLE),
    read=read_production,
    wanted=lambda settings: settings.iroot_model == "field",
)
