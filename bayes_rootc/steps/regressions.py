"""The regressions of a run: drivers of I_root and of I_bulk, allocation, root depth."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from ..data.folder import Inputs
from ..data.netcdf import open_dataset
from ..errors import InputError
from ..files import atomic_path, write_csv
from ..inference.regressions import (
    RegressionFit,
    Response,
    allocation_records,
    fit_regression,
    ibulk_records,
    iroot_records,
    posterior_scores,
    root_records,
    score_table,
)
from ..inference.sampling import Sampling
from ..mapping.learners import is_constant
from ..models.components import Components
from ..models.regression import Records
from ..models.root_depth import fractions_by_biome
from ..progress import Progress
from ..report.regression_tables import regression_tables, root_depth_table
from ..report.tables import root_shares_table
from ..seeds import child_seed
from ..settings import RunSettings, step_rng, step_seed
from .bulk_input import BulkInput
from .engine import Step
from .record import write_diagnostics

DRIVER_FITS = ("drivers_iroot", "drivers_ibulk", "allocation")
REGRESSIONS = (*DRIVER_FITS, "root_depth")

MIN_RECORDS = 20
"""Records below which a regression is left out of a run."""


def regression_records(name: str, inputs: Inputs, bulk_input: BulkInput | None = None) -> tuple[Any, Components]:
    """What a regression is fitted to, and the components of its covariates.

    Parameters
    ----------
    name : str
        One of `REGRESSIONS`.
    bulk_input : BulkInput
        Input to bulk soil of the radiocarbon layers; only `drivers_ibulk` needs it.

    Raises
    ------
    InputError
        There are too few records, or all are the same.
    """
    if name == "root_depth":
        return _root_records(inputs)
    groups, known = inputs.groups, inputs.npp_records
    if bulk_input is not None:
        count = int((np.isfinite(bulk_input.density[:, 0]) & inputs.layers["has_covariates"].to_numpy()).sum())
    else:
        count = len(known) if name == "drivers_iroot" else int(known["f_bnpp"].notna().sum())
    if count < MIN_RECORDS:
        text = f"{count} records are too few for the regression {name}: expected at least {MIN_RECORDS}"
        raise InputError(text, file=inputs.folder)
    if bulk_input is not None:
        found = ibulk_records(inputs.layers, bulk_input.density, groups)
    else:
        found = (iroot_records if name == "drivers_iroot" else allocation_records)(inputs.npp, known, groups)
    if is_constant(found[0].y):
        text = f"the response of {name} is the same in all {count} records; expected records that differ"
        raise InputError(text, file=inputs.folder)
    return found


def _root_records(inputs: Inputs) -> tuple[Any, Components]:
    records, components = root_records(inputs.roots, inputs.groups)
    for name, values in zip(("D50", "D95/D50"), records.y.T, strict=True):
        if is_constant(values):
            text = f"{name} is the same in all {len(values)} root profiles; expected profiles that differ"
            raise InputError(text, file=inputs.folder / "roots")
    return records, components


def infer_driver(
    name: str,
    *,
    inputs: Inputs,
    settings: RunSettings,
    bulk_input: BulkInput | None = None,
    progress: Progress | None = None,
) -> None:
    """What drives I_root or I_bulk, or allocation (paper, eq. 7–8): a regression on principal components, by biome. One
    that has too few records, or equal ones, is left out of a run.
    """
    try:
        records, components = regression_records(name, inputs, bulk_input)
    except InputError:  # what an earlier run found would be taken for this one's
        for old in (*settings.out.glob(f"tables/{name}*.csv"), settings.out / "posterior" / f"{name}.nc"):
            old.unlink(missing_ok=True)
    else:
        infer_regression(name, records, components, settings)


def infer_root_depth(inputs: Inputs, settings: RunSettings, progress: Progress | None = None) -> None:
    """Where roots are: D50 and D95 by biome and climate; and the shares of the seven layers in root carbon by biome."""
    fit = infer_regression("root_depth", *_root_records(inputs), settings)
    shares = fractions_by_biome(fit.draws(), fit.records, settings.members, step_rng(settings, "root shares"))
    with atomic_path(settings.out / "posterior" / "root_shares.nc") as path:
        shares.to_netcdf(path, engine="h5netcdf")
    write_csv(settings.out / "tables" / "root_depth.csv", root_depth_table(fit))
    write_csv(settings.out / "tables" / "root_shares.csv", root_shares_table(shares))


def read_root_shares(settings: RunSettings) -> xr.Dataset:
    """Read the shares of the layers in root carbon that `infer_root_depth` wrote."""
    with open_dataset(settings.out / "posterior" / "root_shares.nc", ("expected",), command="fit root-depth") as shares:
        return shares.load()


def infer_regression[R: Response](
    name: str, records: R, components: Components, settings: RunSettings
) -> RegressionFit[R]:
    """Posterior of one regression, `posterior/NAME.nc`, its diagnostics, and tables of all but root depth."""
    seed = step_seed(settings, name)
    how = Sampling(settings.sampler, settings.chains, settings.tune, settings.sampler_draws, not settings.quick)
    fit, row = fit_regression(name, records, components, how, seed=seed)
    with atomic_path(settings.out / "posterior" / f"{name}.nc") as path:
        fit.tree.to_netcdf(path, engine="h5netcdf")
    write_diagnostics(settings, row)
    tables = {"ppc": score_table(posterior_scores(fit, child_seed(seed, "scores")), records)}
    if isinstance(records, Records):
        tables |= regression_tables(fit)  # type: ignore[arg-type]
    for kind, table in tables.items():
        write_csv(settings.out / "tables" / (f"{name}_{kind}.csv" if kind else f"{name}.csv"), table)
    return fit


TITLES = {
    "drivers_iroot": "drivers of I_root",
    "drivers_ibulk": "drivers of I_bulk",
    "allocation": "drivers of allocation",
}
"""What progress calls them."""

BULK = {"drivers_ibulk": ("bulk_input",)}
"""What regressions need besides the inputs."""


def _step(name: str, make: Any, read: Any = None) -> Step:
    tables = tuple(f"tables/{name}{kind}.csv" for kind in ("", "_ppc", "_summary", "_loadings", "_biome"))
    more = ("posterior/root_shares.nc", "tables/root_shares.csv") if name == "root_depth" else ()
    settings = ("chains", "tune", "sampler_draws", "sampler", "members")
    needs = ("inputs", *BULK.get(name, ()))
    files = (*more, f"posterior/{name}.nc", *tables)
    return Step(name, make, needs, settings, files, read=read, title=TITLES.get(name, ""))


DRIVER_STEPS = tuple(_step(name, partial(infer_driver, name)) for name in DRIVER_FITS)
ROOT_DEPTH = _step("root_depth", infer_root_depth, read_root_shares)
