"""Posteriors as files: ArviZ DataTrees that can also be predicted from."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import BIOMES
from ..data.netcdf import open_tree, require
from ..data.tables import reason_of
from ..errors import InputError
from ..files import atomic_path
from ..models.components import Components
from ..models.rates import FamilyName
from ..models.root_depth import RootRecords
from ..models.turnover import DEPTH_FORMS, PERIOD_NAMES, TurnoverModel
from .regressions import flat_draws
from .sampling import split_chains
from .turnover_fit import TurnoverFit

CONSTANTS = ("lat", "lon", "top", "bottom", "year", "sigma", "biome")
DIMS = {
    "biome_offset": ["biome"],
    "profile_scale": ["biome"],
    "misfit_biome": ["biome"],
    "misfit_period": ["period"],
    "slope": ["depth_form"],
    "slope_sd": ["depth_form"],
    "slope_offset": ["depth_form", "biome"],
    "coefficient": ["component"],
    "log_k": ["layer"],
    "delta14c": ["layer"],
    "profiles": ["profile"],
    **{name: ["layer"] for name in CONSTANTS},
}
PACKED = {"dtype": "int16", "scale_factor": 2.5e-4, "add_offset": -6.5, "_FillValue": -32768, "zlib": True}
"""log k to 0.00025, in two bytes a draw."""

MAX_REPLICATES = 500

COMPONENTS = ("component", "covariate", "centre", "scale", "loadings")
"""Variables that a posterior file keeps in its `components` group."""


def turnover_tree(
    layers: pd.DataFrame,
    draws: xr.Dataset,
    fit: TurnoverFit | None = None,
    *,
    prior: tuple[dict[str, NDArray], xr.Dataset] | None = None,
) -> xr.DataTree:
    """Everything a fit has found, by name.

    `posterior` (hyperparameters, log k by layer id), `posterior_predictive` and `observed_data` (Δ14C, ‰),
    `constant_data`; of a hierarchical fit also `sample_stats`, `log_likelihood` (by profile), `prior`,
    `prior_predictive` and `components`. Replicates are thinned to about 500 draws.

    Parameters
    ----------
    layers : DataFrame
        `id`, `profile`, `delta14c` and `CONSTANTS`.
    draws : Dataset
        Draws of these layers, as `draw_layers` gives them.
    fit : TurnoverFit, optional
        The hyperparameters; without them draws are independent, in one chain.
    prior : tuple of dict and Dataset, optional
        Hyperparameters from the prior, (draw, …), and the layers that follow from them.

    Returns
    -------
    DataTree
    """
    import arviz as az

    chains = len(fit.samples["tau_layer"]) if fit else 1

    def shaped(name: str) -> NDArray:
        return split_chains(draws[name].values, chains)

    sampled = {k: v for k, v in fit.samples.items() if v.size and np.isfinite(v).all()} if fit else {}
    groups: dict[str, dict[str, Any]] = {
        "posterior": sampled | {"log_k": shaped("log_k")},
        "posterior_predictive": {"delta14c": shaped("replicated")[:, :: _thin(draws)]},
        "observed_data": {"delta14c": layers["delta14c"].to_numpy()},
        "constant_data": {name: layers[name].to_numpy() for name in CONSTANTS},
    }
    coords: dict[str, Any] = {"layer": layers["id"].to_numpy(str)}
    if fit:
        groups["sample_stats"] = fit.stats
        groups["log_likelihood"] = {"profiles": shaped("log_likelihood")}
        coords |= {
            "biome": list(BIOMES.values()),
            "depth_form": list(DEPTH_FORMS),
            "period": list(PERIOD_NAMES),
            "component": list(fit.components.names),
            "profile": layers.drop_duplicates("profile_index").sort_values("profile_index")["profile"].to_numpy(str),
        }
    if prior is not None:
        groups["prior"] = {k: v[None] for k, v in prior[0].items() if k in sampled}
        groups["prior_predictive"] = {"delta14c": prior[1]["replicated"].values[None]}
    tree = az.from_dict(groups, coords=coords, dims=DIMS)
    kept = tree["posterior"]["draw"].values[:: _thin(draws)]
    tree["posterior_predictive"] = xr.DataTree(tree["posterior_predictive"].to_dataset().assign_coords(draw=kept))
    if fit:
        tree["components"] = xr.DataTree(fit.components.to_dataset())
        tree.attrs["model"] = json.dumps(asdict(fit.model))
        tree.attrs["quadrature_error"] = list(fit.quadrature)
    tree["posterior"]["log_k"].attrs = {"long_name": "log of the decay rate", "units": "log(yr-1)"}
    return tree


def _thin(draws: xr.Dataset) -> int:
    """Every how many draws a replicate is kept: they are for looking at, and the largest thing in the file."""
    return max(1, draws.sizes["draw"] // MAX_REPLICATES)


def save_turnover(path: Path, tree: xr.DataTree) -> None:
    """Writes the tree atomically."""
    names = [g for g in ("posterior_predictive", "prior_predictive") if g in tree.children]
    encoding = {"/posterior": {"log_k": PACKED}} | {f"/{g}": {"delta14c": _small(tree[g]["delta14c"])} for g in names}
    with atomic_path(path) as temporary:
        tree.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)


def kept_log_k(path: Path, members: int) -> NDArray[np.float64]:
    """Some draws of log k of the layers from a file, evenly from all chains, (layer, draw).

    They are rounded there. A run uses them, not those in memory, so that a command on its output folder finds what the
    run found.
    """
    with open_tree(path, {"posterior": ["log_k"]}, command="fit turnover") as tree:
        log_k = tree["posterior"]["log_k"].stack(sample=("chain", "draw")).transpose("layer", "sample")
        few = np.arange(members) * log_k.sizes["sample"] // members
        return log_k.values[:, few].astype(float)


def _small(values: Any) -> dict[str, Any]:
    return {"dtype": "float32", "zlib": True, "chunksizes": tuple(min(n, 1024) for n in values.shape)}


def turnover_file(out: Path) -> Path:
    """The fit by which a run predicts turnover: of many rates within a layer, where it has one, else of one pool."""
    many = [
        out / "rates" / family.replace(" ", "-") / "posterior" / "turnover.nc"
        for family in get_args(FamilyName.__value__)
    ]
    return next((path for path in many if path.is_file()), out / "posterior" / "turnover.nc")


def read_fit(path: Path) -> TurnoverFit:
    """The fit of a `turnover.nc`.

    Raises
    ------
    InputError
        The file does not exist, was not written by this package, or was made with the weak prior, which says nothing
        about new layers.
    """
    tree = read_tree(path, "turnover")
    if "model" not in tree.attrs:
        raise InputError('holds no hierarchical fit (turnover_prior = "weak"?): nothing to predict from', file=path)
    posterior = tree["posterior"].to_dataset().drop_vars("log_k", errors="ignore")
    samples = {str(name): np.asarray(v, float) for name, v in posterior.data_vars.items()}
    require(tree, {"sample_stats": (), "components": COMPONENTS}, path, command="fit turnover")
    stats = {str(name): v.values for name, v in tree["sample_stats"].to_dataset().data_vars.items()}
    lacking = {"tau_layer", "profile_scale", "nu_profile", "profile_skew", "misfit_depth"} - samples.keys()
    if lacking:
        raise InputError(f"lacks {min(lacking)}: made by another version; fit turnover again", file=path)
    shape = samples["tau_layer"].shape
    samples = {"coefficient": np.zeros((*shape, 0)), "nu": np.full(shape, np.inf)} | samples
    components = Components.from_dataset(tree["components"].to_dataset())
    try:
        model = TurnoverModel(**json.loads(tree.attrs["model"]))
        model = replace(model, levels=tuple(model.levels))
        quadrature = tuple(float(q) for q in np.ravel(tree.attrs["quadrature_error"]))
    except (KeyError, TypeError, ValueError) as error:
        text = f"attributes are not of this version ({reason_of(error)}); fit turnover again"
        raise InputError(text, file=path) from None
    return TurnoverFit(model, components, samples, stats, quadrature[:2])  # type: ignore[arg-type]


def read_root_depth(path: Path, count: int) -> tuple[dict[str, NDArray[np.float64]], Components]:
    """Draws of a `root_depth.nc`, `count` at most, and its components.

    Raises
    ------
    InputError
        The file does not exist, or was not written by this package.
    """
    tree = read_tree(path, "root-depth")
    lacking = sorted(set(RootRecords.sampled) - set(map(str, tree["posterior"].data_vars)))
    if lacking:
        raise InputError(f"lacks {lacking[0]}: made by another version; fit root-depth again", file=path)
    require(tree, {"components": COMPONENTS}, path, command="fit root-depth")
    draws = flat_draws(tree, RootRecords.sampled, count)
    return draws, Components.from_dataset(tree["components"].to_dataset())


def read_tree(path: Path, name: str) -> xr.DataTree:
    """A posterior file of the command `fit NAME`, in memory.

    Raises
    ------
    InputError
        The file does not exist, or was not written by this package.
    """
    if not path.is_file():
        raise InputError(f"not found; run `bayes-rootc fit {name}` or `bayes-rootc run` first", file=path)
    try:
        with open_tree(path, {"posterior": ()}, command=f"fit {name}") as tree:
            return tree.load()
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # of what is in it
        raise InputError(f"not a readable NetCDF file ({reason_of(error)})", file=path) from None
