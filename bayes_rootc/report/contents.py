"""What figures and report read of an output folder, so that a file that lacks something is named before they begin."""

from __future__ import annotations

from itertools import product


def _summary(prefix: str = "") -> list[str]:
    """Columns of a posterior."""
    return [f"{prefix}{name}" for name in ("median", "p025", "p975")]


_COEFFICIENTS = ["coefficient", "group", "biome", "records", *_summary()]

TABLE_COLUMNS: dict[str, list[str]] = {
    "allocation": _COEFFICIENTS,
    "allocation_biome": ["biome", *_summary()],
    "checks": ["source", "file", "what", "rule", "rows"],
    "diagnostics": ["fit", "r_hat_max", "ess_bulk_min", "ess_tail_min", "divergences", "e_bfmi_min", "verdict"],
    "drivers_ibulk": _COEFFICIENTS,
    "drivers_iroot": _COEFFICIENTS,
    "held_out": ["target", "split", "mean", "observed"],
    "iloss_estimates": ["estimate", "sites", "biome", "layer", *_summary("iloss_"), *_summary("share_")],
    "iloss_letters": ["among", "name", "letters", *_summary("iloss_")],
    "layers": [
        *("lat", "lon", "biome", "top", "bottom", "year", "zone", "delta14c", "sigma", "model_sd", "age_median"),
        *("n_modes", "mode1_age", "mode1_probability", "mode2_age", "mode2_probability", "unexplained"),
    ],
    "learners": ["target", "learner", "split", "r2", "rmse", "bias", "crps", "coverage95", "n"],
    "learners_held_out": ["target", "learner", "split", "fold", "id", "lat", "lon", "mean", "observed", "pit"],
    "learners_importance": ["target", "split", "fold", "feature", "rmse_ratio"],
    "npp_sites": ["biome", "npp", "satellite_npp"],
    "paper_comparison": [
        *("quantity", "unit", "paper", "paper_low", "paper_high", "paper_interval"),
        *("ours", "ours_low", "ours_high", "ours_interval", "note"),
    ],
    "root_shares": ["biome", "biome_name", "layer", *_summary("share_")],
    "sites": ["estimate", "sites", "id", "lat", "lon", "biome", "layer", "iroot", "ibulk", "iloss"],
    "stock_sources": ["name", "layers", "compared", "log_bias", "log_sd"],
    "summary_biome": ["biome", "quantity", "where", *_summary()],
    "summary_depth": ["layer", "quantity", "where", *_summary()],
    "summary_global": ["quantity", "where", "unit", "n", "interval", "mean", *_summary()],
    "turnover_ages": ["biome", "depth_cm", *_summary("age_")],
    "turnover_cv": ["group", "class", "layers", "coverage95", "coverage95_se", "crps"],
    "turnover_factor": ["group", "name", *_summary("factor_"), *(f"probability_above_{n}" for n in (1, 2, 4))],
    "turnover_held_out": ["pit"],
    "turnover_population": ["parameter", "meaning", "unit", "mean", "p025", "p975"],
    "turnover_prehistory": ["prehistory", "depth_cm", "quantity", *_summary()],
    "variograms": ["target", "distance_km", "semivariance", "fitted", "block_km"],
} | {f"{name}_summary": ["quantity", *_summary()] for name in ("drivers_iroot", "drivers_ibulk", "allocation")}
"""Columns that are read of a table; tables that are not here are read as they are."""

MAP_VARIABLES = (
    *(f"{flux}_{statistic}" for flux, statistic in product(("iroot", "ibulk", "iloss"), ("mean", "p025", "p975"))),
    *("iloss_uncertainty", "iloss_probability", "iroot_applicability", "ibulk_applicability", "biome"),
)
"""What is read of `maps/maps.nc`, besides its coordinates."""

TURNOVER_VARIABLES = {
    "posterior": ["log_k"],
    "posterior_predictive": ["delta14c"],
    "observed_data": ["delta14c"],
    "constant_data": ["top", "bottom"],
}
"""What is read of `posterior/turnover.nc`, by group; `figure_turnover` asks for the prior of a hierarchical fit too."""

SETTINGS = ("data", "seed", "members", "prehistory", "turnover_prior")
"""What is read of the settings in `run.json`."""
