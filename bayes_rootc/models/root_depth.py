r"""Roots with depth: the logistic dose–response of Schenk & Jackson 2002, hierarchical by biome.

.. math:: R(D) = \frac{1}{1 + (D/D_{50})^c}, \qquad c = \frac{-1.27875}{\log_{10} D_{95} - \log_{10} D_{50}}

R(D) is the share of roots above depth D. Shares of the seven layers are differences of R, divided by R(200 cm), so that
they sum to 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ..constants import BIOMES, LAYER_NAMES, LAYERS

if TYPE_CHECKING:
    import pymc as pm

SHAPE = -1.27875
"""log10(0.05/0.95): 95 % of the roots are above D95."""

BOUNDS = np.array([LAYERS[0][0], *(bottom for _, bottom in LAYERS)], float)


def cumulative_share(depth: ArrayLike, d50: ArrayLike, d95: ArrayLike) -> NDArray[np.float64]:
    """Share of all roots above a depth; arrays broadcast, all in cm."""
    depth, d50, d95 = (np.asarray(a, float) for a in (depth, d50, d95))
    c = SHAPE / (np.log10(d95) - np.log10(d50))
    with np.errstate(divide="ignore", over="ignore"):  # at the surface (D/D50)^c is infinite and the share 0
        return 1 / (1 + (depth / d50) ** c)


def layer_fractions(d50: ArrayLike, d95: ArrayLike) -> NDArray[np.float64]:
    """Shares of the seven layers, last axis; they sum to 1.

    Examples
    --------
    >>> layer_fractions(15.0, 90.0).round(2)
    array([0.62, 0.22, 0.07, 0.03, 0.02, 0.02, 0.01])
    """
    d50, d95 = np.broadcast_arrays(np.asarray(d50, float), np.asarray(d95, float))
    above = cumulative_share(BOUNDS, d50[..., None], d95[..., None])
    return np.diff(above, axis=-1) / above[..., -1:]


def build(profiles: pd.DataFrame) -> pm.Model:
    """Bivariate normal of log10 D50 and log(log10 D95 - log10 D50), with means by biome drawn from a common normal.

    Working on the logarithm of the difference keeps D95 > D50. Priors: the common mean of D50 is 15 cm within a factor
    of 10 (2 sd),
    of D95/D50 about 6 within 2–60; biomes and profiles each vary by up to a factor of a few (half-normal 0.5).
    Non-centred, since several biomes have few profiles.

    Parameters
    ----------
    profiles : columns `d50`, `d95` (cm) and `biome` (1–9).
    """
    import pymc as pm

    log_d50 = np.log10(profiles["d50"].to_numpy(float))
    log_gap = np.log(np.log10(profiles["d95"].to_numpy(float)) - log_d50)
    observed = np.column_stack([log_d50, log_gap])
    coords = {"biome": list(BIOMES.values()), "depth": ["log10_d50", "log_gap"], "profile": profiles["id"].to_list()}
    with pm.Model(coords=coords) as model:
        mean = pm.Normal("mean", mu=np.array([np.log10(15.0), np.log(np.log10(6.0))]), sigma=0.5, dims="depth")
        biome_sd = pm.HalfNormal("biome_sd", 0.5, dims="depth")
        offset = pm.Normal("biome_offset", dims=("biome", "depth"))
        biome_mean = pm.Deterministic("biome_mean", mean + offset * biome_sd, dims=("biome", "depth"))
        cholesky, _, _ = pm.LKJCholeskyCov(
            "profile_cov", n=2, eta=2.0, sd_dist=pm.HalfNormal.dist(0.5), compute_corr=True
        )
        pm.MvNormal(
            "observed_depths",
            mu=biome_mean[profiles["biome"].to_numpy(int) - 1],
            chol=cholesky,
            observed=observed,
            dims=("profile", "depth"),
        )
    return model


def fractions_by_biome(
    posterior: xr.Dataset, draws: int, rng: np.random.Generator, *, sites_per_draw: int = 200
) -> xr.Dataset:
    """Shares of the seven layers by biome, from the posterior of `build`.

    Returns
    -------
    Dataset over (draw, biome, layer): `expected`, the biome's mean share (its uncertainty is that of the biome), and
    `predictive`, the share at one new site.
    """
    flat = posterior.stack(sample=("chain", "draw"))
    pick = rng.choice(flat.sizes["sample"], draws, replace=draws > flat.sizes["sample"])
    mean = flat["biome_mean"].transpose("sample", "biome", "depth").values[pick]
    cholesky = _cholesky(flat["profile_cov"].transpose("sample", ...).values[pick])
    noise = rng.standard_normal((draws, sites_per_draw, len(BIOMES), 2))
    sites = mean[:, None] + np.einsum("dij,dsbj->dsbi", cholesky, noise)
    d50 = 10 ** sites[..., 0]
    share = layer_fractions(d50, d50 * 10 ** np.exp(sites[..., 1]))
    dims = ("draw", "biome", "layer")
    return xr.Dataset(
        {"expected": (dims, share.mean(axis=1)), "predictive": (dims, share[:, 0])},
        coords={"biome": list(BIOMES), "layer": list(LAYER_NAMES)},
    )


def _cholesky(packed: NDArray) -> NDArray:
    """Lower triangles, row by row, as 2 x 2 matrices."""
    out = np.zeros((*packed.shape[:-1], 2, 2))
    out[..., 0, 0], out[..., 1, 0], out[..., 1, 1] = np.moveaxis(packed, -1, 0)
    return out
