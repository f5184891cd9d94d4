"""Schemas of the tables of an output folder: what each is, and the type, unit and meaning of its columns.

What a table is checked against when it is written and read, `tables/datapackage.json` and the documentation's page of
columns all come from here. A column is bounded, or said to be never empty, only where that holds whatever the data are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

import pandas as pd
import pandera.errors
import pandera.pandas as pa

from .constants import BIOMES, CF_FLUX_UNIT, LAYER_NAMES, PROFILE_NAME

STATISTICS = {"mean": "mean", "median": "median", "p025": "2.5 % quantile", "p975": "97.5 % quantile"}
"""What the draws of a quantity are summarised by: `age_p025` is the 2.5 % quantile of `age`."""

type Recipe = partial[pa.Column]
"""A column that is not yet of a table."""


def number(
    meaning: str,
    unit: str | None = "1",
    low: float | None = None,
    high: float | None = None,
    *,
    known: bool = False,
    kind: str = "float64",
) -> Recipe:
    """Numbers from `low` to `high`. `unit`: as CF writes it, None where it is in the row. `known`: never empty."""
    limits = [check(limit) for check, limit in ((pa.Check.ge, low), (pa.Check.le, high)) if limit is not None]
    how: dict[str, Any] = {"description": meaning, "metadata": {"unit": unit}, "nullable": not known, "coerce": True}
    return partial(pa.Column, kind, limits, **how)


def share(meaning: str, low: float | None = 0) -> Recipe:
    """A part of something, or a probability."""
    return number(meaning, "1", low, 1)


def count(meaning: str, low: int = 0, high: int | None = None, *, known: bool = True) -> Recipe:
    """Whole numbers."""
    return number(meaning, "1", low, high, known=known, kind="Int64")


def text(meaning: str, *choices: str, unit: str | None = None, known: bool = True) -> Recipe:
    """Text; `choices`: all that it can be."""
    checks = [pa.Check.isin(choices)] if choices else []
    return partial(pa.Column, str, checks, description=meaning, metadata={"unit": unit}, nullable=not known)


def truth(meaning: str) -> Recipe:
    """Truth values."""
    return partial(pa.Column, bool, description=meaning, metadata={"unit": None})


def table(what: str, row: str, names: str, /, *, by: str = "run", **own: Recipe) -> pa.DataFrameSchema:
    """A table.

    Parameters
    ----------
    what : str
        What the table is.
    row : str
        What a row of it is.
    names : str
        Names of the columns. `age_*` are all `STATISTICS` of `age`, `*` those of `of`; a column with `?` may be absent.
    by : str
        The commands that write it.
    **own : Recipe
        Columns with a meaning other than in `COLUMNS`; a name that begins with `^` is a pattern of names.
    """
    recipes = COLUMNS | own
    columns: dict[str, pa.Column] = {}
    for word in names.split():
        name = word.rstrip("?")
        here: dict[str, Any] = {"required": name == word}
        for each in (name.replace("*", statistic) for statistic in STATISTICS) if "*" in name else [name]:
            quantity, _, statistic = each.rpartition("_")
            recipe = recipes.get(each) or recipes[quantity or "of"]
            if each not in recipes:
                here["description"] = f"{recipe.keywords['description']}, {STATISTICS[statistic]}"
            columns[each] = recipe(**here)
    columns |= {name: recipe(regex=True) for name, recipe in own.items() if name.startswith("^")}
    return pa.DataFrameSchema(columns, strict=True, title=what, description=row, metadata={"by": by})


FLUXES = ("iroot", "ibulk", "iloss")
LAYER = text("depth of the standard layer", *LAYER_NAMES, unit="cm")
BIOME_OR_ALL = count("biome, 1-9 as in the paper; 0: all", 0, 9)
BIOME_LABEL = text("name of the biome, or `all`", "all", *BIOMES.values())
SCALE = "log scale; f_BNPP: logit"

COLUMNS: dict[str, Recipe] = {
    # where and what
    "id": text("name of the site or layer"),
    "profile": text("name of the profile"),
    "lat": number("latitude", "degrees_north", -90, 90),
    "lon": number("longitude", "degrees_east", -180, 180),
    "biome": count("biome, 1-9 as in the paper", 1, 9),
    "biome_name": text("name of the biome; `global`: all", "global", *BIOMES.values()),
    "layer": text("depth of the standard layer, or the whole profile", *LAYER_NAMES, PROFILE_NAME, unit="cm"),
    "top": number("depth of the layer's top", "cm"),
    "bottom": number("depth of the layer's bottom", "cm"),
    "depth_cm": number("depth", "cm", 0, known=True),
    "quantity": text("quantity that the row is about"),
    "where": text("sites or map that the numbers are from"),
    "unit": text("unit of the numbers of the row"),
    "of": number("the quantity", None),
    "interval": text("what the interval describes"),
    "name": text("name of the group, biome or layer"),
    "group": text("what the rows are classed by"),
    "class": text("the class; `all`: all rows"),
    "among": text("what is compared", "estimates", "biomes", "layers"),
    "estimate": count("number of the estimate, as in the paper", 1, 6),
    "sites": text("sites of the estimate", "NPP", "Δ14C", "roots"),
    "target": text("what is learnt: log I_root, log I_bulk per cm, or logit f_BNPP", "iroot", "ibulk", "f_bnpp"),
    "learner": text("name of the learner; `map forest`: the forests of the maps"),
    "split": text("what is held out: sites, or whole regions", "site", "spatial"),
    "fold": count("number of the fold that is held out"),
    "simulation": count("number of the simulation"),
    # numbers of things
    "n": count("number of sites, or of predictions; none of a map", known=False),
    "layers": count("number of layers"),
    "profiles": count("number of profiles"),
    "records": count("number of records"),
    "units": count("number of sites or profiles that the records belong to"),
    "simulations": count("number of simulations"),
    "pairs": count("number of pairs of sites"),
    # radiocarbon layers
    "year": number("year of sampling, AD", "yr"),
    "zone": text("zone of the atmosphere"),
    "delta14c": number("measured Δ14C", "per mille"),
    "sigma": number("standard deviation of the measurement", "per mille", 0),
    "k": number("decay rate", "yr-1", 0),
    "age": number("carbon age 1/k", "yr", 0),
    "stock": number("carbon stock of the layer", "Mg ha-1", 0),
    "stock_source": text("where the stock is from", known=False),
    "n_modes": count("number of ages that the measurement can mean"),
    **{f"mode{i}_age": number(f"age number {i}, the most probable first", "yr", 0) for i in (1, 2, 3)},
    **{f"mode{i}_probability": number(f"probability of age number {i}", "1", 0) for i in (1, 2, 3)},
    "log_marginal": number("log marginal likelihood; only where layers are inverted one by one"),
    "model_sd": number("misfit of the one-pool model, sigma_model", "per mille", 0),
    "unexplained": truth("whether no rate brings the model within three standard deviations"),
    # fluxes
    "npp": number("measured net primary production", CF_FLUX_UNIT),
    "satellite_npp": number("net primary production, from satellites", CF_FLUX_UNIT),
    "iroot": number("I_root, carbon that roots bring into the soil", CF_FLUX_UNIT),
    "ibulk": number("I_bulk, carbon that enters bulk soil", CF_FLUX_UNIT),
    "iloss": number("I_loss = I_root - I_bulk", CF_FLUX_UNIT),
    "iloss_site": number("I_loss over the sites", CF_FLUX_UNIT),
    "share": share("I_loss / I_root", None),
    "ibulk_t100": number("I_bulk that stays longer than a century", CF_FLUX_UNIT),
    "s": number("spread of log k within the layer", "1", 0),
    "transit_time": number("mean transit time, stock over input", "yr", 0),
    "difference": number("I_loss of a - I_loss of b", CF_FLUX_UNIT),
    "probability": share("probability that a is above b"),
    "factor": number("I_root / I_bulk", "1", 0),
    **{f"probability_above_{i}": share(f"probability that the factor is above {i}") for i in (1, 2, 4)},
    "area_mha": number("area", "1e6 ha", 0),
    **{f"{flux}_pg": number(f"total {flux} over whole-map members", "Pg yr-1") for flux in FLUXES},
    **{f"{f}_mg_ha": number(f"{f} per area, over whole-map members", CF_FLUX_UNIT) for f in FLUXES},
    **{f"{f}_pg_independent": number(f"total {f}, were cells independent", "Pg yr-1") for f in FLUXES},
    # regressions
    "coefficient": text("predictor of the coefficient, or `intercept`"),
    "probability_of_direction": number("probability that it has the sign of its median", "1", 0.5, 1),
    "paper": number("the paper's value", None),
    "component": text("name of the component"),
    # predictions and their scores
    "observed": number(f"observation; {SCALE}"),
    "pit": share("part of the prediction's distribution below the observation"),
    "crps": number("continuous ranked probability score; of several predictions the mean"),
    "log_score": number("log of the predictive density at the observation; of several the mean"),
    "inside": truth("whether it is inside the area of applicability"),
    "spread": number("standard deviation of the trees of the posterior forest, before it is scaled", "1", 0),
    "r2": number("R², part of the variance that is predicted", "1", None, 1),
    "rmse": number("root mean square error", "1", 0),
    "bias": number("mean of predicted - observed"),
    "concordance": number("Lin's concordance of predicted and observed", "1", -1, 1),
    **{f"coverage{i}": share(f"part of the observations in their {i} % interval") for i in (50, 80, 95)},
    "coverage95_se": number("standard error of coverage95", "1", 0),
    "below95": share("part of the observations below their 95 % interval"),
    "above95": share("part of the observations above their 95 % interval"),
    "interval_score95": number("score of the 95 % interval: its width, and 40 times the misses", "1", 0),
    "pit_mean": share("mean of pit, which is 0.5 without bias"),
    "tau95": number("95th percentile of |error| / standard deviation of the trees, which is scaled by it", "1", 0),
    "seconds": number("time of a fit, tuning included", "s", 0),
    "mib": number("size of the fitted learner", "MiB", 0),
    # diagnostics
    "r_hat": number("R-hat"),
    "ess_bulk": number("bulk effective sample size"),
    "ess_tail": number("tail effective sample size"),
    "r_hat_max": number("largest R-hat of a parameter"),
    "ess_bulk_min": number("smallest bulk effective sample size of a parameter"),
    "ess_tail_min": number("smallest tail effective sample size of a parameter"),
    "divergences": count("number of divergent transitions"),
    "e_bfmi_min": number("smallest E-BFMI of a chain"),
    "quadrature_error": number("standard deviation of the error of the log likelihood; turnover only", "1", 0),
    "elpd_loo": number("expected log predictive density, leaving one site or profile out"),
    "elpd_se": number("standard error of elpd_loo", "1", 0),
    "p_loo": number("effective number of parameters"),
    "pareto_k_bad": share("part of the sites or profiles whose Pareto k is above 0.7"),
}
"""Columns by name; of a quantity that is summarised, the quantity."""

DIAGNOSTICS = "r_hat_max ess_bulk_min ess_tail_min divergences e_bfmi_min"
SCORES = "coverage95 coverage95_se coverage50 pit_mean crps log_score bias rmse"
SUMMARY = "quantity where unit n * interval"
TOTALS = " ".join(f"{f}_pg_* {f}_mg_ha_* {f}_pg_independent_p025 {f}_pg_independent_p975" for f in FLUXES)
TOTALS = f"layer area_mha {TOTALS} share_*"
PREDICTIONS = "observed mean p025 p975 pit crps log_score"

PREDICTION = {
    "mean": number("prediction, without the error of measurement"),
    "of": number("distribution of the prediction"),
}
BIAS = number("mean of observed - predicted")
OF_RADIOCARBON = {
    "observed": number("measured Δ14C", "per mille"),
    "mean": number("prediction, without the error of measurement", "per mille"),
    "of": number("distribution of the prediction", "per mille"),
    "crps": number("continuous ranked probability score; of several predictions the mean", "per mille"),
    "bias": number("mean of observed - predicted", "per mille"),
    "rmse": number("root mean square error", "per mille", 0),
}
SCORES_OF_RADIOCARBON = {name: OF_RADIOCARBON[name] for name in ("crps", "bias", "rmse")}
REGRESSIONS = ("drivers_iroot", "drivers_ibulk", "allocation")
FITS = ("turnover", *REGRESSIONS, "root_depth")


def alike(names: Iterable[str], ending: str, schema: pa.DataFrameSchema) -> dict[str, pa.DataFrameSchema]:
    """Tables that have one form, by name."""
    return {f"{name}{ending}": schema for name in names}


# A line says what a table is and what has a row, the next what columns it has.
# fmt: off
TABLES: dict[str, pa.DataFrameSchema] = {
    "checks": table(
        "what was used of each source, what was left out, and why", "a rule of a source",
        "source file what rule rows", by="run, fit, train, map, estimate",
        source=text("what the source is"),
        file=text("where it was read"),
        what=text("what became of the rows", "read", "dropped", "remark", "used"),
        rule=text("rule that dropped or changed them", known=False),
        rows=count("number of rows"),
    ),
    "diagnostics": table(
        "whether each fit can be trusted", "a fit",
        f"fit {DIAGNOSTICS} verdict quadrature_error? elpd_loo elpd_se p_loo pareto_k_bad", by="run, fit",
        fit=text("name of the fit", *FITS, "stocks", "production", "turnover, log-normal", "turnover, two pools"),
        verdict=text("what the diagnostics say", "good", "do not trust"),
    ),
    "layers": table(
        "age, stock and I_bulk of every radiocarbon layer", "a measured layer",
        "id lat lon biome top bottom year zone delta14c sigma k_* age_* stock_source stock_* ibulk_* "
        "ibulk_t100_* s_* n_modes mode1_age mode1_probability mode2_age mode2_probability mode3_age mode3_probability "
        "log_marginal? model_sd unexplained", by="run, fit turnover",
    ),
    "point_inversion": table(
        "every decay rate that gives a layer's value, and the age's posterior", "a measured layer",
        "id profile top bottom delta14c year zone k age roots k_1 k_2 k_3 posterior_age_median posterior_age_p025 "
        "posterior_age_p975", by="run --preset paper, fit turnover",
        k=number("decay rate that is taken, the slowest that fits", "yr-1", 0),
        roots=count("number of decay rates that give the value; 0: `k` comes closest"),
        **{f"k_{i}": number(f"decay rate number {i} that fits, from the slowest on", "yr-1", 0) for i in (1, 2, 3)},
        posterior_age=number("carbon age under the weak prior", "yr", 0),
    ),
    "turnover_population": table(
        "hyperparameters of the turnover model", "a hyperparameter",
        "parameter meaning unit * r_hat ess_bulk ess_tail", by="run, fit turnover",
        parameter=text("name of the hyperparameter"),
        meaning=text("what it is"),
        of=number("the hyperparameter", None),
    ),
    "turnover_ages": table(
        "carbon age of the median profile of a biome, covariates at their mean", "a biome and a depth",
        "biome biome_name depth_cm age_*", by="run, fit turnover",
    ),
    "turnover_ppc": table(
        "posterior predictive check of the layers that were fitted", "a class of layers",
        f"group class layers profiles {SCORES}", by="run, fit turnover",
        **SCORES_OF_RADIOCARBON,
    ),
    "turnover_misfit": table(
        "how far layers are from the one-pool model, by what may explain it", "a class of layers",
        "structure class layers misfit_median bias_median share_over_50", by="run, fit turnover",
        structure=text("what the layers are classed by"),
        misfit_median=number("median of |observed - fitted|", "per mille", 0),
        bias_median=number("median of observed - fitted", "per mille"),
        share_over_50=share("part of the layers that are off by more than 50 per mille"),
    ),
    "turnover_respired": table(
        "CO2 of incubated layers, as measured and as the fit has it", "an incubated layer",
        "id top bottom biome year delta14c respired predicted_* gap_*", by="run, fit turnover",
        respired=number("measured radiocarbon of the CO2", "per mille"),
        predicted=number("radiocarbon of the CO2, measured again", "per mille"),
        gap=number("radiocarbon of the CO2 less that of the bulk carbon, in the model", "per mille"),
    ),
    "turnover_cv": table(
        "scores of the predictions for held-out profiles", "a class of layers",
        f"group class layers profiles {SCORES}", by="fit turnover --folds",
        **SCORES_OF_RADIOCARBON,
    ),
    "turnover_held_out": table(
        "predictions for the layers of held-out profiles, or studies", "a measurement of a layer",
        f"id top bottom biome fold {PREDICTIONS} measured", by="fit turnover --folds",
        **OF_RADIOCARBON,
        measured=text("which of its carbon", "bulk", "respired", "light less heavy"),
    ),
    "turnover_prehistory": table(
        "age and I_bulk with a pool steady in 1950, and with the history since 55 kyr BP",
        "a history, depth and quantity",
        "prehistory depth_cm quantity unit n *", by="fit turnover --both-histories",
        prehistory=text("the history", "steady", "intcal20"),
        depth_cm=text("range of depth", unit="cm"),
    ),
    "ibulk_profiles": table(
        "I_bulk of the standard layers of every radiocarbon profile", "a standard layer of a profile",
        "profile lat lon biome layer source ibulk_* learner_*",
        layer=LAYER,
        source=text("what ibulk is from", "measured layers", "posterior of the profile", "none"),
        learner=number("I_bulk that the forest predicts there", CF_FLUX_UNIT),
    ),
    "stock_sources": table(
        "how gridded stocks compare with measured ones", "a source of stocks",
        "name layers compared log_bias log_sd",
        name=text("name of the source"),
        layers=count("number of layers without a measured stock that it informs"),
        compared=count("number of layers that have a measured stock too"),
        log_bias=number("median of log measured - log gridded"),
        log_sd=number("standard deviation of this difference, from its median absolute deviation"),
    ),
    **alike(REGRESSIONS, "", table(
        "coefficients of the regression, by biome", "a coefficient and a biome",
        "coefficient group biome records * probability_of_direction", by="run, fit",
        biome=BIOME_LABEL,
        group=text("group of the predictor"),
        of=number("change of the log response (allocation: logit) for one standard deviation of the predictor"),
    )),
    **alike(REGRESSIONS, "_summary", table(
        "what the regression explains", "a quantity",
        "quantity paper *", by="run, fit",
        paper=number("the paper's value"),
        of=number("the quantity"),
    )),
    **alike(REGRESSIONS, "_loadings", table(
        "loadings of the components that are predictors", "a component",
        "component", by="run, fit",
        **{r"^(?!component$).+": number("loading on the standardised covariate of this name")},
    )),
    "drivers_iroot_biome": table(
        "mean I_root of the sites of each biome", "a biome",
        "biome units * paper", by="run, fit drivers",
        biome=BIOME_LABEL,
        of=number("I_root of the sites", CF_FLUX_UNIT),
        paper=number("the paper's mean", CF_FLUX_UNIT),
    ),
    "allocation_biome": table(
        "mean f_BNPP of the sites of each biome", "a biome",
        "biome units * paper", by="run, fit allocation",
        biome=BIOME_LABEL,
        of=share("f_BNPP of the sites"),
        paper=share("the paper's mean"),
    ),
    "root_depth": table(
        "depth of roots by biome, what changes it and how much it varies", "a quantity",
        "quantity where profiles unit *", by="run, fit root-depth",
        where=BIOME_LABEL,
    ),
    "root_shares": table(
        "share of each layer in root carbon", "a layer of a biome",
        "biome biome_name layer share_*", by="run, fit root-depth",
        layer=LAYER,
        share=share("share of the root carbon of 0-200 cm"),
    ),
    **alike(FITS[1:], "_ppc", table(
        "posterior predictive check of the records that were fitted", "a class of records",
        f"group class records units {SCORES}", by="run, fit",
        bias=BIAS,
    )),
    **alike(FITS[1:], "_cv", table(
        "scores of the predictions for held-out sites", "a class of records",
        f"group class records units {SCORES}", by="fit --folds",
        bias=BIAS,
    )),
    **alike(FITS[1:], "_held_out", table(
        "predictions for the records of held-out sites, on the scale of the regression", "a record",
        f"fold {PREDICTIONS} unit", by="fit --folds",
        **PREDICTION,
        unit=text("name of the site or profile"),
    )),
    **alike(FITS, "_folds", table(
        "diagnostics of the fits to all but one fold", "a fold",
        f"fold {DIAGNOSTICS} quadrature_error?", by="fit --folds",
    )),
    **alike(FITS, "_sbc", table(
        "simulation-based calibration: whether the ranks of truths are uniform", "a quantity",
        "quantity simulations rank_mean p_uniform outside_band?", by="fit --simulations",
        rank_mean=share("mean rank; 0.5 without bias"),
        p_uniform=share("probability of ranks as uneven as these, if they are uniform"),
        outside_band=share("share of their distribution outside the band that holds all of it in 95 % of cases"),
    )),
    **alike(FITS, "_sbc_ranks", table(
        "ranks of true values among posterior draws", "a simulation",
        "", by="fit --simulations",
        **{"^.+": share("rank of the quantity of this name")},
    )),
    **alike(FITS, "_sbc_fits", table(
        "diagnostics of the fits to simulations", "a simulation",
        f"simulation {DIAGNOSTICS} quadrature_error?", by="fit --simulations",
    )),
    "variograms": table(
        "over what distance the errors of a forest are correlated", "a class of distances",
        "target distance_km semivariance pairs fitted range_km block_km", by="run, train",
        distance_km=number("mean distance between the sites of a pair", "km", 0),
        semivariance=number("semivariance of the residuals", "1", 0),
        fitted=number("semivariance of the fitted model", "1", 0),
        range_km=number("range of the fitted model", "km", 0),
        block_km=number("side of the blocks that are held out", "km", 0),
    ),
    "learners": table(
        "scores of the forests of the maps and, after `train`, of all learners", "a learner and what is held out",
        "target learner split r2 rmse bias crps coverage95 tau95? n concordance? coverage50? coverage80? below95? "
        "above95? interval_score95? pit_mean? seconds? mib?", by="run, train",
    ),
    "persistence_learners": table(
        "scores of the forests of age, transit time and input that stays", "a quantity",
        "target split r2 rmse bias crps coverage95 tau95 n ratio_uncorrected ratio", by="run",
        target=text("what is learnt, on the log scale", "age", "transit_time", "ibulk_t100"),
        ratio_uncorrected=number("predicted over observed mean, on the natural scale, of inputs", "1", 0, known=False),
        ratio=number("the same, with the factors that the other folds ask for", "1", 0, known=False),
    ),
    "held_out": table(
        "predictions of the forests of the maps for held-out places", "a prediction",
        "target split fold row observed mean sd", by="run, train",
        row=count("number of the record among those that are learnt from"),
        mean=PREDICTION["mean"],
        sd=number("standard deviation of the trees", "1", 0),
    ),
    "natural_scale": table(
        "means of fluxes at held-out places, predicted and observed, on the natural scale",
        "a target, what is held out, and a class of biome or depth",
        "target split group class n sites observed uncorrected predicted ratio_uncorrected ratio ratio_p025 ratio_p975",
        by="run, train",
        target=text("I_root of the profile, or I_bulk of the layer", "iroot", "ibulk"),
        split=text("what is held out: sites, whole studies, or whole regions", "site", "study", "spatial"),
        n=count("number of rows that were predicted"),
        sites=count("number of sites or profiles"),
        observed=number("mean of what was measured", CF_FLUX_UNIT, 0),
        uncorrected=number("mean of what the forest predicts", CF_FLUX_UNIT, 0),
        predicted=number(
            "mean of what is predicted with the factors of biome and depth that other held-out places ask for",
            CF_FLUX_UNIT, 0,
        ),
        ratio_uncorrected=number("`uncorrected` over `observed`", "1", 0),
        ratio=number("`predicted` over `observed`, with its 95 % interval over resampled sites", "1", 0),
    ),
    "learners_held_out": table(
        "predictions of all learners for held-out places", "a prediction",
        f"target learner split fold id {PREDICTIONS} inside spread lat lon", by="train",
        **PREDICTION,
    ),
    "learners_by_class": table(
        "scores of all learners by biome, depth and area of applicability", "a learner, what is held out and a class",
        "target learner split group class n r2 rmse bias concordance crps coverage50 coverage80 coverage95 below95 "
        "above95 interval_score95 pit_mean", by="train",
    ),
    "learners_tau": table(
        "factor that the standard deviation of the posterior forest needs", "what is held out and a class",
        "target split group class n sites tau95 p025 p975", by="train",
        sites=count("number of sites"),
        of=number("tau95 over bootstraps of sites", "1", 0),
    ),
    "learners_importance": table(
        "importance of each predictor in the posterior forest", "a predictor and a fold",
        "target split fold feature rmse_ratio", by="train",
        feature=text("name of the predictor"),
        rmse_ratio=number("error with the predictor shuffled, over the error without", "1", 0),
    ),
    "production_sites": table(
        "production, and which part of it goes below ground, at every site with a record, given its records", "a site",
        "id lat lon biome records below observed npp_* f_bnpp_* iroot_* satellite_npp",
        by='run with iroot_model = "field"',
        below=count("number of records with belowground production"),
        observed=number("mean of their belowground production", CF_FLUX_UNIT, 0, known=False),
        npp=number("production of the site", CF_FLUX_UNIT, 0),
        f_bnpp=share("share of it that goes below ground"),
    ),
    "npp_sites": table("net primary production", "a site", "id lat lon biome npp satellite_npp", by="run, estimate"),
    "sites": table(
        "fluxes (means) and the share lost (median) at every site", "a layer of a site, by estimate",
        "estimate sites id lat lon biome layer iroot iroot_p025 iroot_p975 ibulk ibulk_p025 ibulk_p975 "
        "iloss iloss_p025 iloss_p975 share share_p025 share_p975", by="run, estimate",
    ),
    "persistence": table(
        "how much root carbon stays in bulk soil, and for how long, as means over radiocarbon profiles",
        "a time in a layer of a biome, by estimate and family",
        "family estimate biome biome_name layer n t_years iroot_* ibulk_* iloss_* share_*", by="run",
        family=text(
            "what the rates within a layer are taken to be; the paper's I_bulk is that of one pool",
            "one pool", "log-normal", "two pools",
        ),
        estimate=text("estimate of I_root, or the mean of both", "3", "4", "mean"),
        biome=BIOME_OR_ALL,
        n=count("number of profiles", 1),
        t_years=number(
            "years that `ibulk` stays at least; `iloss` is what does not, and `share` its part of `iroot`", "yr", 0
        ),
    ),
    "ladder": table(
        "how much root carbon is lost under choices that data do not make, in the mean radiocarbon profile",
        "a way to count", "rung what compared_with change why share_* ibulk_* iroot_*", by="run",
        rung=count("number of the rung", 1),
        what=text("the way to count, 0-200 cm"),
        compared_with=text("rung that it differs from in one thing", known=False),
        change=number("median share lost, less that of the rung that it is compared with", "1"),
        why=text("why it differs from that rung"),
        share=number("share of I_root that is lost, conditional on the rung", "1", None, 1),
    ),
    "transit_times": table(
        "mean age of the carbon, and mean transit time, over all carbon of radiocarbon profiles",
        "a layer of a biome", "family biome biome_name layer n age_* transit_time_*", by="run",
        family=text("what the rates within a layer are taken to be", "one pool", "log-normal", "two pools"),
        biome=BIOME_OR_ALL,
        n=count("number of profiles", 1),
    ),
    "turnover_families": table(
        "how well each family of rates predicts profiles that are left out", "a family",
        "family elpd_loo elpd_se p_loo pareto_k_bad difference difference_se weight", by="run with two rates",
        family=text("what the rates within a layer are taken to be", "log-normal", "two pools"),
        difference=number("elpd_loo less that of the best family", "1", None, 0),
        difference_se=number("standard error of that difference", "1", 0),
        weight=share("stacking weight of the family"),
    ),
    "iloss_estimates": table(
        "the six estimates of how much root carbon is lost, as means over sites", "a layer of a biome, by estimate",
        "estimate sites biome biome_name layer n iroot_* ibulk_* iloss_* share_* "
        "iloss_site_p025 iloss_site_median iloss_site_p975", by="run, estimate",
        biome=BIOME_OR_ALL,
    ),
    "tau": table(
        "factor by which the forests' standard deviation is scaled to cover 95 % of held-out places", "a target",
        "target tau95_site? tau95_spatial? splits tau95_bootstraps bootstraps", by="run, train",
        tau95_site=number("factor at held-out sites", "1", 0),
        tau95_spatial=number("factor in held-out regions", "1", 0),
        splits=count("number of hold-outs"),
        tau95_bootstraps=number("factor at profiles that bootstraps left out (paper, eq. 9)", "1", 0),
        bootstraps=count("number of bootstraps"),
    ),
    "ensemble": table(
        "the paper's learners and their ensemble on the last fifth of the sites", "a learner of a target",
        "target learner r2 rmse in_ensemble n", by="run --preset paper",
        target=text("what is learnt", "iroot", "ibulk", "f_bnpp", "ibulk, all data"),
        learner=text("name of the learner, or the ensemble"),
        in_ensemble=truth("whether it is one of the three best"),
    ),
    "ensemble_sites": table(
        "what the paper's ensemble predicts", "a site",
        "lat lon iroot f_bnpp", by="run --preset paper",
        f_bnpp=share("share of production that goes below ground"),
        **{
            r"^ibulk_\d": number("I_bulk of this layer, learnt from four fifths of the profiles", CF_FLUX_UNIT),
            r"^harmonised_\d": number("the same, learnt from all profiles", CF_FLUX_UNIT),
        },
    ),
    "iloss_pairs": table(
        "differences in I_loss between estimates, biomes and layers", "a pair",
        "among a b difference_* probability", by="run, estimate",
        a=text("one"),
        b=text("the other"),
    ),
    "iloss_letters": table(
        "which estimates, biomes and layers differ in I_loss", "an estimate, biome or layer",
        "among name iloss_* letters", by="run, estimate",
        letters=text("two that share a letter cannot be distinguished with 97.5 % probability"),
    ),
    "biome_letters": table(
        "which biomes differ in I_root, I_bulk, f_BNPP and I_loss, by tests over sites", "a biome",
        "quantity name mean median n letters lowercase", by="run --preset paper",
        quantity=text("what is compared", *FLUXES, "f_bnpp"),
        mean=number("mean over sites; of f_BNPP a share, without unit", CF_FLUX_UNIT),
        median=number("median over sites, in the same unit", CF_FLUX_UNIT),
        letters=text("two biomes that share a letter do not differ (P < 0.05)"),
        lowercase=text("I_root and I_bulk of the biome share a letter if they do not differ", known=False),
    ),
    "iloss_correlation": table(
        "correlation of the draws of I_loss between estimates", "an estimate",
        "estimate", by="run, estimate",
        estimate=text("name of the estimate"),
        **{r"^estimate_\d$": share("correlation with the estimate of this name", -1)},
    ),
    "turnover_factor": table(
        "factor by which turnover is overestimated if all of I_root is taken to enter bulk soil",
        "a biome, a layer or all",
        "group name factor_* probability_above_1 probability_above_2 probability_above_4", by="run, estimate",
        group=text("what the row is about", "all", "biome", "layer"),
    ),
    "map_totals": table(
        "totals of the map", "a layer of a biome", f"biome biome_name {TOTALS}", by="run, map", biome=BIOME_OR_ALL
    ),
    "map_totals_latitude": table(
        "totals of the map by latitude", "a layer of a band",
        f"south north {TOTALS}", by="run, map",
        south=number("southern edge of the band", "degrees_north", -90, 90),
        north=number("northern edge of the band", "degrees_north", -90, 90),
    ),
    "map_totals_zones": table(
        "totals of the map by zone", "a layer of a zone",
        f"zone {TOTALS}", by="map --zones",
        zone=text("name of the zone"),
    ),
    "map_ranges": table(
        "what the cells of the map, each by what the forests predict, range over; I_loss by the median of its members",
        "a flux in a layer of a biome",
        "biome biome_name layer quantity cells mean p025 median p975 cell_p025 cell_median cell_p975", by="run, map",
        biome=BIOME_OR_ALL,
        quantity=text("the flux", *FLUXES),
        cells=count("number of cells with a value"),
        mean=number("mean over the area", CF_FLUX_UNIT),
        p025=number("value below which 2.5 % of the area lies", CF_FLUX_UNIT),
        median=number("value below which half of the area lies", CF_FLUX_UNIT),
        p975=number("value below which 97.5 % of the area lies", CF_FLUX_UNIT),
        cell_p025=number("the same, of the number of cells instead of their area: 2.5 %", CF_FLUX_UNIT),
        cell_median=number("half of the cells", CF_FLUX_UNIT),
        cell_p975=number("97.5 % of the cells", CF_FLUX_UNIT),
    ),
    "summary_global": table("the main numbers", "a quantity", SUMMARY),
    "summary_biome": table("the main numbers by biome", "a quantity of a biome", f"biome biome_name {SUMMARY}"),
    "summary_depth": table("the main numbers by layer", "a quantity of a layer", f"layer {SUMMARY}", layer=LAYER),
    "paper_comparison": table(
        "the paper's numbers and ours", "a quantity",
        "quantity unit paper paper_low paper_high paper_interval ours ours_low ours_high ours_interval note",
        paper_low=number("lower end of the paper's range", None),
        paper_high=number("upper end of the paper's range", None),
        paper_interval=text("what the paper's range describes", known=False),
        ours=number("our value", None),
        ours_low=number("lower end of our interval", None),
        ours_high=number("upper end of our interval", None),
        ours_interval=text("what our interval describes", known=False),
        note=text("what differs", known=False),
    ),
}
# fmt: on
"""The schema of each table, by its name without ending: what it is (`title`), what has a row (`description`), the
commands that write it (`metadata`), and its columns, whose `metadata` has the unit.
"""


def column_of(name: str, column: str) -> pa.Column | None:
    """The schema of a column of a table, if there is one; it may be of a pattern of names."""
    columns = TABLES[name].columns if name in TABLES else {}
    patterns = (c for pattern, c in columns.items() if c.regex and re.fullmatch(pattern, column))
    return columns.get(column) or next(patterns, None)


def needed_columns(name: str) -> list[str]:
    """Columns without which a table is not as a command writes it; none of a table that has no schema."""
    columns = TABLES[name].columns if name in TABLES else {}
    return [name for name, column in columns.items() if column.required and not column.regex]


def require_schema(name: str, table: pd.DataFrame) -> None:
    """Refuses to let a table be written that is not as it was declared, which is a mistake in the program.

    Parameters
    ----------
    name : str
        Name of the table, without ending.
    table : DataFrame
        The table; one without any column is empty, and passes.

    Raises
    ------
    ValueError
        It has no schema, a column is missing, there is one that the schema does not have, or a value is not of its
        column's type or within its bounds.
    """
    if name not in TABLES:
        raise ValueError(f"tables/{name}.csv has no schema; expected a table of {__name__}.TABLES")
    if not len(table.columns):
        return
    if table.empty and set(needed_columns(name)) <= set(table):  # columns without values have no type
        return
    try:
        TABLES[name].validate(table, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        case = errors.failure_cases.iloc[0]
        found: Any = case["failure_case"]
        match case["check"]:
            case "column_in_schema":
                said = f"has the column {found}, which is not in its schema"
            case "column_in_dataframe":
                said = f"lacks the column {found} of its schema"
            case "not_nullable":
                said = f"column {case['column']}: is empty in row {case['index']}; expected a value"
            case check:
                said = f"column {case['column']}: expected {check}, found {found}"
        raise ValueError(f"tables/{name}.csv {said}") from None
