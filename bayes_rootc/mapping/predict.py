"""New sites: I_root, I_bulk and I_loss of layers, as a new measurement there would find them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..constants import PROFILE_DEPTH_CM
from ..inference.predict import STATISTICS, NewPlaces, reasons
from ..inference.sampling import summary_columns
from ..models.components import Components
from ..models.root_depth import cumulative_share, new_profiles
from .learners import Learners, design_matrix

FLUXES = ("iroot", "ibulk", "iloss")


def flux_columns(flux: str) -> tuple[str, ...]:
    """What a prediction adds."""
    return (*(f"{flux}_{s}" for s in STATISTICS), "reason")


def predict_flux(
    flux: str,
    learners: Learners,
    roots: tuple[dict[str, NDArray], Components] | None,
    places: NewPlaces,
    *,
    seed: int = 20,
) -> pd.DataFrame:
    """`iroot`, `ibulk` or `iloss` (Mg C ha⁻¹ yr⁻¹) of layers, as `bayes-rootc predict --help` says.

    Parameters
    ----------
    roots : tuple of dict of str to ndarray, Components, optional
        Draws and components of the root-depth fit; not needed for `ibulk`.
    places : NewPlaces
        `lat`, `lon`, `top`, `bottom` (cm).
    seed : int
        Seed of the random draws.
    """
    places, found = places.without(flux_columns(flux)), list[pd.DataFrame]()
    reason = reasons(places.sites)
    needed = tuple(dict.fromkeys([*learners.features, *(roots[1].covariates if roots else ())]))
    rows = places.rows(reason, needed)
    if len(rows):
        drawn = np.zeros((len(rows), 1))
        if flux != "ibulk":
            assert roots is not None
            drawn = drawn + _iroot(learners, roots, rows, seed)
        if flux != "iroot":
            ibulk = _ibulk(learners, rows)
            drawn = ibulk if flux == "ibulk" else drawn - ibulk
        found = [summary_columns(flux, drawn)]
    return places.answer(rows, found, reason, flux_columns(flux))


def _iroot(
    learners: Learners, roots: tuple[dict[str, NDArray], Components], rows: pd.DataFrame, seed: int
) -> NDArray[np.float64]:
    """I_root of the layers, (row, member): the place's, times the share of the layer in the roots of a new profile."""
    places = rows.drop_duplicates(["lat", "lon"]).reset_index(drop=True)
    at = np.asarray(rows.groupby(["lat", "lon"], sort=False).ngroup(), np.int64)
    members = learners.predict_iroot(places)
    depths = new_profiles(*roots, places, np.random.default_rng(seed))
    few = np.arange(members.shape[1]) * len(depths[0]) // members.shape[1]
    d50, d95 = (d[few].T[at] for d in depths)
    top, bottom = (rows[c].to_numpy(float)[:, None] for c in ("top", "bottom"))
    share = cumulative_share(bottom, d50, d95) - cumulative_share(top, d50, d95)
    return members[at] * share / cumulative_share(PROFILE_DEPTH_CM, d50, d95)


def _ibulk(learners: Learners, rows: pd.DataFrame) -> NDArray[np.float64]:
    """I_bulk of the layers, (row, member); of 0-200 cm the sum of the seven: the forest knows layers, not profiles."""
    depth = rows[["top", "bottom"]].to_numpy(float)
    X, _ = design_matrix(rows, learners.features, depth)
    out = np.exp(learners.ibulk.members(X).astype(float)) * (depth[:, 1:] - depth[:, :1])
    whole = (depth[:, 0] == 0) & (depth[:, 1] == PROFILE_DEPTH_CM)
    if whole.any():
        out[whole] = learners.predict_ibulk(rows[whole]).sum(axis=1)
    return out
