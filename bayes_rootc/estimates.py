"""The six estimates of I_loss (paper, Extended Data Table 1), draw by draw.

| estimate | sites | I_root | depth shares of I_root | I_bulk |
|---|---|---|---|---|
| 1 | NPP | BNPP observed | root profile predicted | predicted |
| 2 | NPP | satellite NPP x f_BNPP observed | root profile predicted | predicted |
| 3 | Δ14C | BNPP predicted | root profile predicted | observed |
| 4 | Δ14C | satellite NPP x f_BNPP predicted | root profile predicted | observed |
| 5 | roots | BNPP predicted | root profile observed | predicted |
| 6 | roots | satellite NPP x f_BNPP predicted | root profile observed | predicted |

Where no root profile was observed, the paper takes the shares of I_bulk (`iroot_depth = "paper"`). That is circular:
every layer of a site then loses the same share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from .constants import BIOMES, LAYER_NAMES, PROFILE_NAME
from .inference.sampling import summarise

GLOBAL = "global"

PLACE = ("id", "lat", "lon", "biome")
"""What an estimate knows of each site."""


@dataclass(frozen=True)
class RootInput:
    """Where the six estimates have I_root from.

    Attributes
    ----------
    sites : DataFrame
        Sites where production was measured below ground: `id`, `lat`, `lon`, `biome`, `npp`, `satellite_npp`, the
        covariates.
    iroot, f_bnpp : ndarray
        I_root (Mg C ha⁻¹ yr⁻¹) and the share of production that goes below ground at these sites, (site, draw) or
        (site, 1); NaN where unknown.
    predict_iroot, predict_f_bnpp : callable
        The same at other places, from a table of them.
    satellite : callable
        Production by satellite at places, (site, draw) or (site, 1), Mg C ha⁻¹ yr⁻¹; NaN where there is none.
    """

    sites: pd.DataFrame
    iroot: NDArray[np.float64]
    f_bnpp: NDArray[np.float64]
    predict_iroot: Callable[[pd.DataFrame], NDArray]
    predict_f_bnpp: Callable[[pd.DataFrame], NDArray]
    satellite: Callable[[pd.DataFrame], NDArray]


def depth_shares(ibulk: NDArray) -> NDArray:
    """Share of each layer in the profile's I_bulk, (site, 7, draw): the paper's rule for the depth of I_root."""
    return ibulk / ibulk.sum(axis=1, keepdims=True)


def make_estimate(
    number: int, sites: str, table: pd.DataFrame, total: NDArray, shares: NDArray, ibulk: NDArray
) -> xr.Dataset:
    """One estimate; sites without a total are left out.

    Parameters
    ----------
    number : int
        1-6.
    sites : str
        Which data set.
    table : DataFrame
        `id`, `lat`, `lon`, `biome` of each site.
    total : ndarray, shape (site, draw) or (site, 1)
        I_root of the profile, Mg C ha⁻¹ yr⁻¹; NaN where it is not known.
    shares : ndarray, shape (site, 7, draw) or (site, 7, 1)
        Shares of the layers in it.
    ibulk : ndarray, shape (site, 7, draw)
        I_bulk of the layers, Mg C ha⁻¹ yr⁻¹.

    Returns
    -------
    Dataset
        `iroot` and `ibulk` over `site`, `depth` (the seven layers) and `draw`; the columns of the table are coordinates
        of the sites; `estimate` and `sites` are attributes.
    """
    known = np.isfinite(total).all(axis=1)
    iroot = (total[:, None, :] * shares)[known].astype(np.float32)
    bulk = ibulk[known].astype(np.float32)
    dims = "site", "depth", "draw"
    where = {name: ("site", table.loc[known, name].to_numpy()) for name in PLACE}
    return xr.Dataset(
        {"iroot": (dims, np.broadcast_to(iroot, bulk.shape)), "ibulk": (dims, bulk)},
        coords=where | {"depth": list(LAYER_NAMES)},
        attrs={"estimate": number, "sites": sites},
    )


def places(estimate: xr.Dataset) -> pd.DataFrame:
    """`id`, `lat`, `lon`, `biome` of the sites of an estimate."""
    return pd.DataFrame({name: estimate[name].values for name in PLACE})


def site_table(estimates: list[xr.Dataset]) -> pd.DataFrame:
    """`tables/sites.csv`: the three fluxes (Mg C ha⁻¹ yr⁻¹) at every site, by estimate and layer (and the profile).

    `iroot`, `ibulk`, `iloss` are posterior means, `_p025`, `_p975` bounds of their 95 % intervals; `share` is the
    posterior median of I_loss / I_root, with its interval.
    """
    parts = []
    for e in estimates:
        root, bulk = (_with_profile(e[name].values) for name in ("iroot", "ibulk"))
        for layer, name in enumerate([*LAYER_NAMES, PROFILE_NAME]):
            fluxes = {"iroot": root[:, layer], "ibulk": bulk[:, layer]}
            fluxes["iloss"] = fluxes["iroot"] - fluxes["ibulk"]
            columns = {}
            with np.errstate(invalid="ignore", divide="ignore"):  # a draw without any root there
                fluxes["share"] = 1 - fluxes["ibulk"] / fluxes["iroot"]
                summaries = {quantity: summarise(draws.astype(float), axis=1) for quantity, draws in fluxes.items()}
            for quantity, found in summaries.items():
                columns[quantity] = found["median" if quantity == "share" else "mean"]
                columns |= {f"{quantity}_{end}": found[end] for end in ("p025", "p975")}
            parts.append(places(e).assign(**e.attrs, layer=name, **columns))
    table = pd.concat(parts, ignore_index=True)
    first = ["estimate", "sites", "id", "lat", "lon", "biome", "layer"]
    return table[[*first, *table.columns.drop(first)]]


def estimate_table(estimates: list[xr.Dataset]) -> pd.DataFrame:
    """`tables/iloss_estimates.csv`: estimate x biome x layer (and the profile), fluxes in Mg C ha⁻¹ yr⁻¹.

    For each quantity: mean over the sites, with its posterior (`_mean`, `_median`, `_p025`, `_p975`);
    `iloss_site_p025`, `_p975`: 95 % of the sites
    (posterior means); `share`: mean I_loss over mean I_root; `iloss_site_median`: median site.
    """
    rows = []
    for e in estimates:
        for biome in [0, *BIOMES]:
            some = of_biome(e, biome)
            if some.sizes["site"]:
                rows += _biome_rows(some, biome)
    return pd.DataFrame(rows)


def of_biome(estimate: xr.Dataset, biome: int) -> xr.Dataset:
    """The sites of a biome, 1-9; all for 0."""
    return estimate.isel(site=estimate["biome"].values == biome) if biome else estimate


def _biome_rows(e: xr.Dataset, biome: int) -> list[dict[str, object]]:
    rows = []
    root, bulk = (_with_profile(e[name].values) for name in ("iroot", "ibulk"))
    for layer, name in enumerate([*LAYER_NAMES, PROFILE_NAME]):
        row: dict[str, object] = {
            **e.attrs,
            "biome": biome,
            "biome_name": BIOMES.get(biome, GLOBAL),
            "layer": name,
            "n": e.sizes["site"],
        }
        mean_root, mean_bulk = root[:, layer].mean(axis=0), bulk[:, layer].mean(axis=0)
        quantities = {
            "iroot": mean_root,
            "ibulk": mean_bulk,
            "iloss": mean_root - mean_bulk,
            "share": 1 - mean_bulk / mean_root,
        }
        for quantity, draws in quantities.items():
            row |= {f"{quantity}_{key}": float(value) for key, value in summarise(draws).items()}
        site = (root[:, layer] - bulk[:, layer]).mean(axis=1)
        row |= dict(
            zip(
                ("iloss_site_p025", "iloss_site_median", "iloss_site_p975"),
                np.quantile(site, [0.025, 0.5, 0.975]),
                strict=True,
            )
        )
        rows.append(row)
    return rows


def _with_profile(values: NDArray) -> NDArray:
    return np.concatenate([values, values.sum(axis=1, keepdims=True)], axis=1)


def numbered(estimates: list[xr.Dataset], number: int) -> xr.Dataset:
    """The estimate of a number."""
    return next(e for e in estimates if e.attrs["estimate"] == number)


def combine(estimates: list[xr.Dataset], quantity: str, biome: int = 0, layer: int = -1) -> NDArray[np.float64]:
    """Draws of the average over the estimates of a site mean: `quantity` is iroot, ibulk, iloss or share; `layer` -1 is
    the profile.
    """
    per_estimate = []
    for e in estimates:
        some = of_biome(e, biome)
        if not some.sizes["site"]:
            continue
        fluxes = (some[name].values for name in ("iroot", "ibulk"))
        root, bulk = ((a.sum(axis=1) if layer < 0 else a[:, layer]).mean(axis=0, dtype=float) for a in fluxes)
        values = {"iroot": root, "ibulk": bulk, "iloss": root - bulk, "share": 1 - bulk / root}
        per_estimate.append(values[quantity])
    return np.mean(per_estimate, axis=0) if per_estimate else np.empty(0)
