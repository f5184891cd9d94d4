"""The six estimates of I_loss at the sites of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..contrasts import correlation_table, factor_table, groups_of, letters_table, pairs_table
from ..data.folder import Inputs
from ..estimates import RootInput, depth_shares, estimate_table, make_estimate, site_table
from ..files import write_csv
from ..inference.store import read_root_depth
from ..mapping.learners import Learners
from ..mapping.site_ensemble import SitePredictions
from ..models.root_depth import layer_fractions, new_profiles
from ..progress import Progress
from ..report.turnover_tables import harmonised_table
from ..settings import RunSettings, step_rng
from ..significance import biome_letters, iloss_tests
from .bulk_input import BulkInput
from .engine import Step
from .production import root_input

if TYPE_CHECKING:
    from ..inference.production import Production


def estimate(
    inputs: Inputs,
    bulk_input: BulkInput,
    root_depth: xr.Dataset,
    learners: Learners,
    site_ensemble: SitePredictions | None,
    production: Production | None,
    settings: RunSettings,
    progress: Progress | None = None,
) -> list[xr.Dataset]:
    """The six estimates of I_loss: observed first, predicted where missing (paper, Extended Data Table 1).

    I_root of a profile is divided among its layers as roots are: as observed at root sites, elsewhere as in a new root
    profile of the biome and climate (`iroot_depth`).

    `tables/ibulk_profiles.csv` has I_bulk of every profile, as measured and as the learner predicts it. Where the
    paper's ensemble predicts, profiles are brought to the seven layers by its model of all data, and differences are
    judged by tests over sites, also those of I_root, I_bulk and f_BNPP by biome (`tables/biome_letters.csv`).
    """
    every = profiles_of(inputs)
    measured = bulk_input.draws["measured"].values if site_ensemble is None else site_ensemble.harmonised(every)
    models = learners if site_ensemble is None else site_ensemble
    known = every["has_covariates"].to_numpy()
    profiles = every[known]
    root = measured_roots(inputs, models) if production is None else root_input(inputs, production, settings)
    npp, roots = root.sites, inputs.roots
    ibulk_npp, ibulk_roots = (models.predict_ibulk(sites) for sites in (npp, roots))
    predicted = models.predict_ibulk(profiles)
    here = profiles["profile_index"].to_numpy()
    ibulk_14c = np.where(np.isfinite(measured[here]), measured[here], predicted).astype(np.float32)
    learned = np.full((len(every), *predicted.shape[1:]), np.nan, np.float32)
    learned[known] = predicted if site_ensemble is None else ibulk_14c
    if settings.iroot_depth == "paper":
        shares_npp, shares_14c = depth_shares(ibulk_npp), depth_shares(ibulk_14c)
    else:
        rng = step_rng(settings, "depth of I_root")
        shares_npp, shares_14c = (
            root_shares(sites, settings, ibulk.shape[2], rng)
            for sites, ibulk in ((npp, ibulk_npp), (profiles, ibulk_14c))
        )
    shares_roots = layer_fractions(roots["d50"], roots["d95"])[:, :, None]
    bnpp_14c, bnpp_roots = (root.predict_iroot(sites) for sites in (profiles, roots))
    satellite_npp, satellite_14c, satellite_roots = (root.satellite(sites) for sites in (npp, profiles, roots))
    f_14c, f_roots = (root.predict_f_bnpp(sites) for sites in (profiles, roots))
    estimates = [
        make_estimate(1, "NPP", npp, root.iroot, shares_npp, ibulk_npp),
        make_estimate(2, "NPP", npp, satellite_npp * root.f_bnpp, shares_npp, ibulk_npp),
        make_estimate(3, "Δ14C", profiles, bnpp_14c, shares_14c, ibulk_14c),
        make_estimate(4, "Δ14C", profiles, satellite_14c * f_14c, shares_14c, ibulk_14c),
        make_estimate(5, "roots", roots, bnpp_roots, shares_roots, ibulk_roots),
        make_estimate(6, "roots", roots, satellite_roots * f_roots, shares_roots, ibulk_roots),
    ]
    estimates = [e for e in estimates if e.sizes["site"]]  # without a raster of role npp, 2, 4 and 6 have no site
    write_csv(settings.out / "tables" / "npp_sites.csv", npp[["id", "lat", "lon", "biome", "npp", "satellite_npp"]])
    tables = {
        "sites": site_table(estimates),
        "iloss_estimates": estimate_table(estimates),
        "turnover_factor": factor_table(estimates),
    }
    (settings.out / "tables" / "biome_letters.csv").unlink(missing_ok=True)
    if site_ensemble is None:
        groups = groups_of(estimates)
        tables["iloss_pairs"] = pairs_table(groups)
        tables["iloss_letters"] = letters_table(groups, tables["iloss_pairs"])
        tables["iloss_correlation"] = correlation_table(estimates)
    else:  # one number a site: what a posterior would say is said by tests
        tables["iloss_pairs"], tables["iloss_letters"] = iloss_tests(estimates)
        tables["biome_letters"] = biome_letters(estimates, npp)
        (settings.out / "tables" / "iloss_correlation.csv").unlink(missing_ok=True)
    for name, table in tables.items():
        write_csv(settings.out / "tables" / f"{name}.csv", table)
    harmonised = harmonised_table(every, bulk_input.draws, learned)
    write_csv(settings.out / "tables" / "ibulk_profiles.csv", harmonised)
    return estimates


def measured_roots(inputs: Inputs, models: Learners | SitePredictions) -> RootInput:
    """I_root as it was measured, and as learners predict it; production as the satellite sees it."""
    npp = inputs.npp
    return RootInput(
        npp,
        npp[["bnpp"]].to_numpy(),
        npp[["f_bnpp"]].to_numpy(),
        models.predict_iroot,
        models.predict_f_bnpp,
        lambda sites: sites[["satellite_npp"]].to_numpy(),
    )


def root_shares(
    sites: pd.DataFrame, settings: RunSettings, members: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Shares of the layers in the roots of one new profile at each site, (site, 7, member); their mean if one member is
    asked for.
    """
    draws, components = read_root_depth(settings.out / "posterior" / "root_depth.nc", settings.members)
    shares = np.moveaxis(layer_fractions(*new_profiles(draws, components, sites.reset_index(drop=True), rng)), 0, 2)
    if members == 1:
        return shares.mean(axis=2, keepdims=True)
    return shares[:, :, np.arange(members) * shares.shape[2] // members]


def profiles_of(inputs: Inputs) -> pd.DataFrame:
    """One row a radiocarbon profile."""
    return inputs.layers.drop_duplicates("profile_index").assign(id=lambda t: t["profile"])


ESTIMATES = Step(
    "estimates",
    estimate,
    ("inputs", "bulk_input", "root_depth", "learners", "site_ensemble", "production"),
    ("members", "iroot_depth"),
)
