"""What figures and report read of an output folder besides its tables, so that a file that lacks something is named
before they begin.
"""

from __future__ import annotations

from itertools import product

MAP_VARIABLES = (
    *(f"{flux}_{statistic}" for flux, statistic in product(("iroot", "ibulk", "iloss"), ("mean", "p025", "p975"))),
    *("iloss_uncertainty", "iloss_probability", "iroot_applicability", "ibulk_applicability", "biome"),
)
"""What is read of `maps/maps.nc`, besides its coordinates."""

CHOSEN_MAPS = ("age_mean", "age_median", "ibulk_t100_mean")
"""What is read of it besides, where the setting `map_quantities` lets it be there."""

TURNOVER_VARIABLES = {
    "posterior": ["log_k"],
    "posterior_predictive": ["delta14c"],
    "observed_data": ["delta14c"],
    "constant_data": ["top", "bottom"],
}
"""What is read of `posterior/turnover.nc`, by group; `figure_turnover` asks for the prior of a hierarchical fit too."""

SETTINGS = ("data", "seed", "members", "prehistory", "turnover_prior")
"""What is read of the settings in `run.json`."""
