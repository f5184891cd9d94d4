"""What figures and report read of an output folder besides its tables, so that a file that lacks something is named
before they begin.
"""

from __future__ import annotations

MAPS_OF = {
    "loss_map": "iloss_{0} iroot_{0} iloss_p025 iloss_p975 iloss_probability iroot_applicability ibulk_applicability",
    "production_maps": "npp_mean npp_p025 npp_p975 f_bnpp_mean f_bnpp_p025 f_bnpp_p975 iroot_mean",
    "iroot_maps": "iroot_{0}",
    "ibulk_maps": "ibulk_{0}",
    "iloss_maps": "iloss_{0}",
    "iloss_uncertainty": "iloss_uncertainty",
    "age_maps": "age_{0} age_median",
    "ibulk_t100_maps": "ibulk_t100_{0} ibulk_t100_mean ibulk_mean",
}
"""What each figure and its caption read of `maps/maps.nc`, besides coordinates and `biome`; {0} is the mean or the
median. A figure whose maps were not made is left out.
"""


def maps_of(figure: str, middle: str) -> list[str]:
    """Maps that a figure shows.

    Examples
    --------
    >>> maps_of("iroot_maps", "mean"), maps_of("sites", "mean")
    (['iroot_mean'], [])
    """
    return MAPS_OF.get(figure, "").format(middle).split()


TURNOVER_VARIABLES = {
    "posterior": ["log_k"],
    "posterior_predictive": ["delta14c"],
    "observed_data": ["delta14c"],
    "constant_data": ["top", "bottom"],
}
"""What is read of `posterior/turnover.nc`, by group; `figure_turnover` asks for the prior of a hierarchical fit too."""

SETTINGS = ("data", "seed", "members", "prehistory", "turnover_prior")
"""What is read of the settings in `run.json`."""
