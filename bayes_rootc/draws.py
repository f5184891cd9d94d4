"""Posterior draws as labelled arrays: their summary, and the loss of root carbon from those of its inputs."""

from __future__ import annotations

import numpy as np
import xarray as xr

from .constants import INTERVAL
from .errors import InputError

STATISTICS = ("mean", "median", "p025", "p975")
"""What a summary says of each quantity: the ends are those of the 95 % equal-tailed interval."""


def summary(draws: xr.DataArray | xr.Dataset, dim: str = "draw") -> xr.Dataset:
    """Mean, median and 95 % equal-tailed interval of draws.

    Parameters
    ----------
    draws : DataArray or Dataset
        Posterior draws, such as those that `predict` gives. A DataArray needs a name.
    dim : str
        The dimension of the draws; variables without it are left out.

    Returns
    -------
    Dataset
        `NAME_mean`, `NAME_median`, `NAME_p025`, `NAME_p975` over the other dimensions, with the units of the draws;
        empty where a draw is.

    Raises
    ------
    InputError
        No variable has the dimension.

    Examples
    --------
    >>> age = xr.DataArray([[80.0, 900.0], [100.0, 1100.0], [120.0, 1000.0]], dims=("draw", "layer"), name="age")
    >>> summary(age)["age_median"].values
    array([ 100., 1000.])
    """
    table = draws.to_dataset(name=draws.name or "value") if isinstance(draws, xr.DataArray) else draws
    found: dict[str, xr.DataArray] = {}
    for name, values in table.data_vars.items():
        if dim not in values.dims:
            continue
        chunked = values.chunk({dim: -1}) if values.chunks else values
        ends = chunked.astype(float).quantile([INTERVAL[0], 0.5, INTERVAL[1]], dim, skipna=False)
        parts = [chunked.mean(dim, skipna=False), *(ends.isel(quantile=i, drop=True) for i in (1, 0, 2))]
        units = {key: values.attrs[key] for key in ("units",) if key in values.attrs}
        found |= {f"{name}_{s}": part.assign_attrs(units) for s, part in zip(STATISTICS, parts, strict=True)}
    if not found:
        raise InputError(f"no variable has the dimension {dim}; found {', '.join(map(str, table.dims)) or 'none'}")
    return xr.Dataset(found)


def loss(iroot: xr.DataArray, ibulk: xr.DataArray, *, dim: str = "draw") -> xr.Dataset:
    """Root carbon that never enters bulk soil: I_loss = I_root - I_bulk, and its share of I_root (paper, Fig. 3).

    Parameters
    ----------
    iroot, ibulk : DataArray
        Draws of both fluxes in one unit, at the same sites, layers or cells; other dimensions are matched by name. They
        are of different posteriors, so draws are paired as they come; the longer of the two is thinned.
    dim : str
        The dimension of the draws.

    Returns
    -------
    Dataset
        `iloss` and `share`, each as `_mean`, `_median`, `_p025`, `_p975`. A share has no mean where I_root may be near
        0: look at its median.

    Raises
    ------
    InputError
        One of them has no draws, or their labels have nothing in common.

    Examples
    --------
    >>> iroot = xr.DataArray(np.array([[2.0], [2.5], [3.0]]), dims=("draw", "site"))
    >>> ibulk = xr.DataArray(np.array([[0.5], [0.5], [0.6]]), dims=("draw", "site"))
    >>> found = loss(iroot, ibulk)
    >>> found["iloss_median"].item(), found["share_median"].item()
    (2.0, 0.8)
    """
    for name, values in (("iroot", iroot), ("ibulk", ibulk)):
        if dim not in values.dims:
            raise InputError(f"{name} has no dimension {dim}; found {', '.join(map(str, values.dims)) or 'none'}")
    count = min(iroot.sizes[dim], ibulk.sizes[dim])

    def thinned(values: xr.DataArray) -> xr.DataArray:
        return values.isel({dim: np.arange(count) * values.sizes[dim] // count}).drop_vars(dim, errors="ignore")

    root, bulk = xr.align(thinned(iroot), thinned(ibulk), join="inner")
    if 0 in root.sizes.values():
        raise InputError(
            "the labels of iroot and ibulk have nothing in common; expected the same sites, layers or cells"
        )
    share = 1 - bulk / root.where(root != 0)
    units = {key: value for key, value in iroot.attrs.items() if key == "units"}
    return summary(
        xr.Dataset({"iloss": (root - bulk).assign_attrs(units), "share": share.assign_attrs(units="1")}), dim
    )
