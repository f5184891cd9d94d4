"""Principal components of the covariates, group by group, which represent soil, climate and topography in a regression.

The 40-odd covariates repeat each other. As the paper does, each group is rotated to its principal components and those
with a variance of 1 or more (at least one covariate's worth) are kept and standardised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from sklearn.decomposition import PCA

MIN_VARIANCE = 1.0 - 1e-9
"""Components that carry less variance than one standardised covariate are left out (Kaiser's rule, as in the paper).

The tolerance keeps a covariate that is alone in its group: its variance is 1, up to rounding. With it every group that
varies has a component, as the largest of its variances is never below their mean, which is 1."""

MIN_ROWS = 30
"""Sites from which components are learnt; with fewer the regression goes without covariates."""

CLIP_SD = 4.0
"""A component of a new site further out than this is set to it: a line is not to be trusted far beyond the data."""


@dataclass(frozen=True)
class Components:
    """Fitted components.

    Attributes
    ----------
    covariates : tuple of str
        Names, in order.
    centre, scale : ndarray
        Mean and standard deviation of each covariate, (covariate,).
    names : tuple of str
        Names of the components: `soil 1`, `soil 2`, ….
    loadings : ndarray
        Loadings of the standardised covariates, scaled for scores of unit variance, (component, covariate).
    """

    covariates: tuple[str, ...]
    names: tuple[str, ...]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    loadings: NDArray[np.float64]

    @classmethod
    def fit(cls, sites: pd.DataFrame, groups: dict[str, list[str]]) -> Self:
        """Components of the covariates at sites (one row a site, or rows repeated as they should weigh).

        Parameters
        ----------
        groups : dict of str to list of str
            Covariates by group. Constant covariates, and rows that lack a value, are left out.
        """
        covariates = [c for names in groups.values() for c in names]
        complete = sites[covariates].dropna()
        if len(complete) < MIN_ROWS:
            covariates, groups = [], {}
        centre, scale = (complete[covariates].agg(how).to_numpy(float) for how in ("mean", "std"))
        scale = np.where(scale > 1e-9 * np.maximum(np.abs(centre), 1e-9), scale, np.inf)  # a constant says nothing
        standard = pd.DataFrame((complete[covariates] - centre) / scale, columns=covariates)
        names, loadings = [], []
        for group, members in groups.items():
            varying = [c for c in members if np.isfinite(scale[covariates.index(c)])]
            if not varying:
                continue
            pca = PCA().fit(standard[varying])
            kept = pca.explained_variance_ >= MIN_VARIANCE
            for number, (axis, variance) in enumerate(
                zip(pca.components_[kept], pca.explained_variance_[kept], strict=True), 1
            ):
                sign = np.sign(axis[np.argmax(np.abs(axis))])  # the largest loading is positive, whatever the library
                row = pd.Series(0.0, covariates)
                row[varying] = sign * axis / np.sqrt(variance)
                names.append(f"{group} {number}")
                loadings.append(row.to_numpy())
        shape = (len(names), len(covariates))
        return cls(tuple(covariates), tuple(names), centre, scale, np.reshape(loadings, shape).astype(float))

    def scores(self, sites: pd.DataFrame) -> NDArray[np.float64]:
        """Scores (site, component); a site that lacks a covariate stands at the mean of all sites: zeros."""
        if not self.names:
            return np.zeros((len(sites), 0))
        standard = (sites[list(self.covariates)].to_numpy(float) - self.centre) / self.scale
        return np.clip(np.nan_to_num(standard @ self.loadings.T), -CLIP_SD, CLIP_SD)

    def predictors(self, sites: pd.DataFrame) -> pd.DataFrame:
        """Scores as columns, by the name of the component."""
        return pd.DataFrame(self.scores(sites), columns=list(self.names))

    def to_dataset(self) -> xr.Dataset:
        """As it is stored with the posterior."""
        return xr.Dataset(
            {
                "loadings": (("component", "covariate"), self.loadings),
                "centre": ("covariate", self.centre),
                "scale": ("covariate", self.scale),
            },
            coords={"component": list(self.names), "covariate": list(self.covariates)},
        )

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> Self:
        """Inverse of `to_dataset`."""
        names, covariates = (tuple(map(str, dataset[d].values)) for d in ("component", "covariate"))
        return cls(covariates, names, *(dataset[v].values for v in ("centre", "scale", "loadings")))
