"""Tables of the turnover posterior: hyperparameters, ages by biome and depth, misfit, and I_bulk in standard layers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import BIOMES, DEPTH_CLASSES, LAYER_NAMES
from ..inference.sampling import summarise, summary_columns
from ..inference.turnover_fit import TurnoverFit
from ..mapping.learners import r_squared
from ..models.rates import mean_age
from ..models.turnover import PERIOD_NAMES, depth_functions, period_of, profile_quantile
from .tables import profile_mean_age

UNITS = {"model_sd": "per mille", "respired_sd": "per mille"}
MEANINGS = {
    "mean_log_k": "log k at 30 cm of the commonest profiles",
    "slope": "slope of log k on",
    "slope_offset": "slope's difference from the mean",
    "slope_sd": "spread of slopes between biomes",
    "biome_offset": "difference from the mean",
    "biome_sd": "spread between biomes",
    "coefficient": "change of log k for one standard deviation of",
    "coefficient_sd": "spread of these coefficients",
    "tau_profile": "scale of the differences in log k between profiles",
    "profile_scale": "that of a biome over tau_profile",
    "profile_skew": "log by which their scale is greater on the young side, and less on the old",
    "nu_profile": "degrees of freedom of these differences",
    "site_sd": "spread of log k between sites of a study",
    "study_sd": "spread of log k between studies",
    "logit_fast": "log of the odds that carbon is in the faster of two pools, at 30 cm",
    "fast_slope": "its change for one of log(1 + depth/10 cm)",
    "logit_link": "how strongly light carbon is fast carbon, as log of odds",
    "parts_sd": "misfit of light less heavy carbon",
    "tau_layer": "spread of log k between layers of a profile",
    "log_spread": "log of the spread of log k within a layer at 30 cm",
    "spread_slope": "its change for one of log(1 + depth/10 cm)",
    "respired_sd": "misfit of respired carbon",
    "model_sd": "sigma_model, misfit of bulk carbon",
    "misfit_depth": "change of log sigma_model for one of log(1 + depth/10 cm)",
    "misfit_biome": "log sigma_model's difference in a biome",
    "misfit_period": "log sigma_model's difference by year of sampling",
    "nu": "degrees of freedom of the misfit",
}
MG_HA_CM_TO_KG_M3 = 10.0
"""Mg ha⁻¹ in each cm of depth → kg m⁻³."""

AGE_DEPTHS = (5, 10, 20, 30, 50, 75, 100, 150)
"""Depths (cm) at which the age of each biome is reported."""


def population_table(tree: xr.DataTree) -> pd.DataFrame:
    """`tables/turnover_population.csv`: hyperparameter, meaning, unit, mean, median, 95 % interval, R-hat, ESS."""
    import arviz as az

    posterior = tree["posterior"].to_dataset()
    rows = []
    for name in (n for n in MEANINGS if n in posterior):
        values = posterior[[name]]
        r_hat, bulk, tail = (
            az.rhat(values)[name],
            az.ess(values, method="bulk")[name],
            az.ess(values, method="tail")[name],
        )
        stacked = values[name].stack(sample=("chain", "draw"))
        for at in np.ndindex(*(values.sizes[d] for d in values[name].dims[2:])):
            place = dict(zip(values[name].dims[2:], at, strict=True))
            labels = [str(values[d].values[i]) for d, i in place.items()]
            rows.append(
                {
                    "parameter": name + (f"[{', '.join(labels)}]" if labels else ""),
                    "meaning": " ".join([MEANINGS[name], *([labels[0]] if name in ("slope", "coefficient") else [])]),
                    "unit": UNITS.get(name, "1"),
                }
                | {k: float(v) for k, v in summarise(stacked.isel(place).values).items()}
                | {"r_hat": float(r_hat[at]), "ess_bulk": float(bulk[at]), "ess_tail": float(tail[at])}
            )
    return pd.DataFrame(rows)


def median_ages(fit: TurnoverFit) -> pd.DataFrame:
    """`tables/turnover_ages.csv`: median carbon age (yr) of a biome's profiles at a depth, covariates at their mean."""
    draws = fit.draws()
    depth = depth_functions(AGE_DEPTHS)
    shape = fit.shape(pd.DataFrame({"top": AGE_DEPTHS, "bottom": AGE_DEPTHS}))
    rows = []
    for b, (biome, name) in enumerate(BIOMES.items()):
        scale = draws["tau_profile"] * draws["profile_scale"][:, b]
        middle = draws["mean_log_k"] + draws["biome_offset"][:, b]
        middle = middle + profile_quantile(0.5, scale, draws["profile_skew"], draws["nu_profile"])
        for at, (d, forms) in enumerate(zip(AGE_DEPTHS, depth, strict=True)):
            here = shape.of((slice(None), at))
            slope = draws["slope"] + draws["slope_offset"][:, :, b]
            age = mean_age(middle + slope @ forms, here.spread, here.fast)
            summary = {f"age_{key}": float(v) for key, v in summarise(age).items()}
            rows.append({"biome": biome, "biome_name": name, "depth_cm": d} | summary)
    return pd.DataFrame(rows)


def misfit_table(layers: pd.DataFrame, drawn: xr.Dataset) -> pd.DataFrame:
    """`tables/turnover_misfit.csv`: how far Δ14C of layers is from the one-pool model, by what may explain it.

    Columns for each class: `misfit_median` (‰), the median of |observed - fitted|; `bias_median` (‰), the median of
    observed - fitted, positive where soils hold more radiocarbon than the model; and `share_over_50`, the share of
    layers that are off by more than 50 ‰.
    """
    fitted = drawn["fitted"].values.mean(axis=0, dtype=float)
    middle = (layers["top"] + layers["bottom"]) / 2
    depth = pd.cut(middle, [a for a, _ in DEPTH_CLASSES] + [DEPTH_CLASSES[-1][1]], right=False)
    period = pd.Series(np.array(PERIOD_NAMES, object)[period_of(layers["year"])], layers.index)
    structures = {
        "all": pd.Series("all", layers.index),
        "depth, cm": depth.map(lambda i: f"{i.left:g}-{i.right:g}").astype(object),
        "biome": layers["biome"].map(BIOMES),
        "sampled": period,
        "topsoil sampled": period.where(middle < 10),
        "model, ‰": pd.Series(np.where(fitted > 0, "bomb carbon (> 0)", "older (< 0)"), layers.index),
    }
    structures |= {name: layers[name] for name in ("horizon", "land_cover", "soil_order") if name in layers}
    table = pd.DataFrame({"error": layers["delta14c"].to_numpy() - fitted}, layers.index)
    rows = []
    for structure, classes in structures.items():
        for name, errors in table.groupby(classes, sort=False)["error"]:
            size = errors.abs()
            rows.append(
                {
                    "structure": structure,
                    "class": name,
                    "layers": len(errors),
                    "misfit_median": size.median(),
                    "bias_median": errors.median(),
                    "share_over_50": (size > 50).mean(),
                }
            )
    return pd.DataFrame(rows)


def respired_table(layers: pd.DataFrame, drawn: xr.Dataset) -> pd.DataFrame:
    """`tables/turnover_respired.csv`: Δ14C (‰) of the CO₂ of incubated layers, as measured and as the fit has it.

    `predicted_*` are those of a new measurement; `gap_*` is how much younger CO₂ is than bulk carbon in the model, from
    the Δ14C of both without errors; in one homogeneous pool it is 0.
    """
    here = np.flatnonzero(np.isfinite(layers["respired"]))
    some = layers.iloc[here].reset_index(drop=True)
    about = some[["id", "top", "bottom", "biome", "year", "delta14c", "respired"]]
    replicated, gap = (drawn[name].values[:, here].astype(float).T for name in ("respired_replicated", "respired"))
    gap = gap - drawn["fitted"].values[:, here].T
    return pd.concat([about, summary_columns("predicted", replicated), summary_columns("gap", gap)], axis=1)


def harmonised_table(profiles: pd.DataFrame, draws: xr.Dataset, learner: NDArray) -> pd.DataFrame:
    """`tables/ibulk_profiles.csv`: I_bulk (Mg C ha⁻¹ yr⁻¹) of the seven layers of every radiocarbon profile.

    `source` says whether measured layers cover the layer or the profile's posterior gives it; `learner_*` is what the
    forest predicts there (the paper's way of harmonising).

    Parameters
    ----------
    profiles : DataFrame
        `profile`, `profile_index`, `lat`, `lon`, `biome`.
    draws : Dataset
        `measured` and `standard` over `profile` (by `profile_index`), `depth` and `draw`; NaN where unknown.
    learner : ndarray
        (row of profiles, 7, draw), NaN where a covariate is missing.
    """
    index = profiles["profile_index"].to_numpy()
    measured, standard = (draws[name].values for name in ("measured", "standard"))
    flat = standard[index].reshape(-1, standard.shape[2])
    covered = np.isfinite(measured[index, :, 0]).ravel()
    known = np.isfinite(flat[:, 0])
    out = (
        profiles[["profile", "lat", "lon", "biome"]].loc[profiles.index.repeat(len(LAYER_NAMES))].reset_index(drop=True)
    )
    out["layer"] = np.tile(LAYER_NAMES, len(profiles))
    out["source"] = np.select([covered, known], ["measured layers", "posterior of the profile"], "none")
    learned = learner.reshape(len(flat), -1)
    return pd.concat([out, summary_columns("ibulk", flat), summary_columns("learner", learned)], axis=1)


def history_table(layers: pd.DataFrame, posteriors: dict[str, tuple[NDArray, NDArray]]) -> pd.DataFrame:
    """`tables/turnover_prehistory.csv`: carbon age by depth (yr), and mean I_bulk of measured layers (kg C m⁻³ yr⁻¹),
    under each history.

    Parameters
    ----------
    posteriors : dict of str to tuple of ndarray
        Draws of the mean age (yr) and of I_bulk per cm (Mg C ha⁻¹ yr⁻¹) of layers, (layer, draw), by prehistory.
    """
    middle = ((layers["top"] + layers["bottom"]) / 2).to_numpy()
    rows = []
    for prehistory, (ages, density) in posteriors.items():
        for top, bottom in ((0, 30), (30, 100), (0, 200)):
            age, n = profile_mean_age(layers, ages, top, bottom)
            here = (middle >= top) & (middle < bottom) & np.isfinite(density[:, 0])
            per_volume = density[here].mean(axis=0) * MG_HA_CM_TO_KG_M3
            at = {"prehistory": prehistory, "depth_cm": f"{top}-{bottom}"}
            for quantity, unit, count, draws in (
                ("carbon age", "yr", n, age),
                ("I_bulk density", "kg C m-3 yr-1", int(here.sum()), per_volume),
            ):
                row = at | {"quantity": quantity, "unit": unit, "n": count}
                rows.append(row | {key: float(v) for key, v in summarise(draws).items()})
    return pd.DataFrame(rows)


def harmonisation_score(table: pd.DataFrame) -> dict[str, object]:
    """Row of `paper_comparison.csv`: R² (log scale) of the forest that harmonises, on the layers that taught it."""
    covered = table[(table["source"] == "measured layers") & table["learner_median"].notna()]
    y, x = (np.log(covered[f"{c}_median"]) for c in ("ibulk", "learner"))
    r2 = r_squared(y.to_numpy(), x.to_numpy())
    note = f"{len(covered)} standard layers that measurements cover; not held out, log scale"
    return {"quantity": "R² of the forest that harmonises I_bulk", "unit": "1", "paper": 0.95, "ours": r2, "note": note}
