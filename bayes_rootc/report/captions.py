"""Numbers as people write them, and the captions of the figures: what to see, with this run's own numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from ..constants import LAYER_NAMES, PROFILE_NAME
from ..mapping.regressors import POSTERIOR_FOREST
from ..models.rates import PERSISTING
from .regression_tables import R_SQUARED
from .results import Results

MINUS = "−"
TARGETS = {"iroot": "I_root", "ibulk": "I_bulk", "f_bnpp": "f_BNPP"}
"""What is learnt, as it is printed."""

UNITS = {"Mg C ha-1 yr-1": "Mg C ha⁻¹ yr⁻¹", "Pg C yr-1": "Pg C yr⁻¹", "1": "", "per mille": "‰", "yr": "yr"}
"""Units of the tables as printed."""

AGREEMENT = 0.1
"""Families of rates agree where their inputs differ by no more than this."""


def number(value: object, digits: int = 3) -> str:
    """A number with a sensible count of digits: thousands parted, no false precision, a dash where there is none.

    Examples
    --------
    >>> [number(v) for v in (13726.4, 981.35, 2.0829, 0.0449, -1.5, 3, float("nan"))]
    ['13,700', '981', '2.08', '0.0449', '−1.50', '3', '–']
    """
    value = float(str(value)) if value not in ("", None) else math.nan
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    rounded = round(value, digits - 1 - math.floor(math.log10(abs(value))))
    decimals = max(digits - 1 - math.floor(math.log10(abs(rounded))), 0)
    text = f"{abs(rounded):,.{0 if value.is_integer() else decimals}f}"
    return (MINUS if rounded < 0 else "") + text


def interval(middle: object, low: object, high: object, *, percent: bool = False) -> str:
    """`1.52 (1.19 to 1.80)`, in percent where asked; without brackets where there are no bounds, or the value is known
    without an error.
    """
    values = [100 * float(str(v)) if percent else float(str(v)) for v in (middle, low, high)]
    mark = " %" if percent else ""
    if not all(map(math.isfinite, values[1:])) or values[0] == values[1] == values[2]:
        return number(values[0]) + (mark if math.isfinite(values[0]) else "")
    return f"{number(values[0])}{mark} ({number(values[1])} to {number(values[2])})"


def posterior(row: pd.Series, prefix: str = "", *, percent: bool = False) -> str:
    """Median and 95 % interval of a row of a summary table, whose columns begin with the prefix."""
    return interval(*(row[f"{prefix}{name}"] for name in ("median", "p025", "p975")), percent=percent)


def pick(table: pd.DataFrame, **conditions: object) -> pd.Series | None:
    """The first row that meets all conditions (a text is the beginning of the value), if there is one."""
    here = pd.Series(True, index=table.index)
    for column, wanted in conditions.items():
        here &= table[column].str.startswith(wanted) if isinstance(wanted, str) else table[column] == wanted
    return table[here].iloc[0] if here.any() else None


def caption(results: Results, name: str) -> str:
    """What to see in a figure.

    Raises
    ------
    InputError
        A table that it quotes is missing.
    """
    return {
        "sites": _sites,
        "schematic": _schematic,
        "inputs": _inputs,
        "loss": _loss,
        "loss_map": _loss_map,
        "production_maps": _production_maps,
        "iroot_maps": lambda r: _layer_maps(r, "iroot"),
        "ibulk_maps": lambda r: _layer_maps(r, "ibulk"),
        "iloss_maps": lambda r: _layer_maps(r, "iloss"),
        "iloss_uncertainty": _uncertainty,
        "age_maps": _age_maps,
        "ibulk_t100_maps": _t100_maps,
        "satellite": _satellite,
        "ages": _ages,
        "persistence": _persistence,
        "ladder": _ladder,
        "respired": _respired,
        "held_out": _held_out,
        "turnover": _turnover,
        "turnover_held_out": _turnover_held_out,
        "turnover_sbc": _turnover_sbc,
        "turnover_prehistory": _turnover_prehistory,
        "learners_iroot": lambda r: _learners(r, "iroot"),
        "learners_ibulk": lambda r: _learners(r, "ibulk"),
        "learners_f_bnpp": lambda r: _learners(r, "f_bnpp"),
        "learners_reliability": _reliability,
        "modes": _modes,
        "predictive": _predictive,
        "drivers": _drivers,
        "root_shares": _root_shares,
    }[name](results)


def _sites(results: Results) -> str:
    sites = results.table("sites")
    n = sites[sites["layer"] == "0-200"].groupby("sites")["id"].nunique()
    counts = ", ".join(f"{number(v, 6)} {k}" for k, v in n.items())
    return (
        f"Sites used, by data set ({counts}). No data set covers all biomes evenly: where bars are short, the maps and "
        "the biome's means rest on sites elsewhere. Land and coastline are those of the biome raster."
    )


def _schematic(results: Results) -> str:
    factor = pick(results.table("turnover_factor"), group="all")
    text = posterior(factor, "factor_") if factor is not None else "–"
    return (
        "Where the carbon goes that roots put into the soil. (a) I_root, and the parts of it that enter bulk soil and "
        "that are lost before they do: widths to scale, medians with 95 % intervals of the mean over the six "
        "estimates. (b) Both parts by depth, and the share lost. Taking all of I_root to enter bulk soil makes "
        f"turnover look {text} times too fast."
    )


def _inputs(results: Results) -> str:
    summary = results.table("summary_global")
    root = pick(summary, quantity="iroot", where="NPP sites")
    bulk = pick(summary, quantity="ibulk", interval="95 % of the sites")
    means = [number(row["mean"]) if row is not None else "–" for row in (root, bulk)]
    return (
        "Root inputs compared with inputs to bulk soil. (a) I_root observed at NPP sites, mean "
        f"{means[0]} Mg C ha⁻¹ yr⁻¹, and I_bulk of radiocarbon profiles, mean {means[1]} "
        "(dashed: means). (b) The same by biome. (c) The seven layers: I_root at root profiles (predicted total, "
        "observed depth distribution) and I_bulk of radiocarbon profiles. (d) The same as shares of 0–200 cm. Boxes: "
        "median and quartiles of the sites' posterior means, whiskers 2.5–97.5 %, dots the mean. They show how sites "
        "differ, not how well a mean is known."
    )


def _loss(results: Results) -> str:
    share = pick(results.table("summary_global"), quantity="share", where="mean of")
    text = posterior(share, percent=True) if share is not None else "–"
    return (
        "Estimates of I_loss from independent data sets. (a) Posterior means of the sites; colours as in (c), dashed: "
        "satellite NPP × f_BNPP. (b) Mean over the sites in each layer; shapes and colours as in (c)"
        f"{_circular(results)}. (c) Share of I_root that is lost, mean I_loss over mean I_root; averaged over the "
        f"estimates {text}. Grey: the range that the paper prints for its six estimates. (d) By biome: mean of the "
        "estimates that have sites there, and the map. Points are medians and bars 95 % intervals of the posterior of "
        "a mean. The estimates share data and models, so their intervals are not independent, and errors that they "
        "share are not in them."
    )


def _circular(results: Results) -> str:
    """What estimates by depth rest on where I_root is divided like I_bulk."""
    if results.run["settings"].get("iroot_depth") != "paper":
        return ""
    return (
        "; estimates 1–4 divide I_root among layers like I_bulk, which is circular: every layer of a site then loses "
        "the same share"
    )


def _loss_map(results: Results) -> str:
    text, middle = _of_all_land(results, "iloss"), _middle(results)
    share = f"{results.map_middle.title()} I_loss over {results.map_middle} I_root"
    probability = results.maps["iloss_probability"].sel(layer="0-200").values
    known = probability[probability == probability]
    band = " with the mean of their 95 % intervals (band)" if results.map_middle == "mean" else ""
    certain = ((known >= 0.975) | (known <= 0.025)).mean() if len(known) else math.nan
    return (
        f"I_loss, 0–200 cm; over all mapped land {text}. (a) {middle[0].upper()}{middle[1:]}; and by latitude the mean "
        f"of the cells (line){band}, the mean share of I_root, and the mean "
        f"probability of a loss. (b) Half the 95 % interval of a cell. (c) {share}. (d) Probability that I_loss is "
        f"positive. Dots: the sign is known with 97.5 % probability, {number(100 * certain)} % of the cells. The "
        "interval of one cell is that of a new site there and is wide; that of the total is narrower because cells err "
        "partly independently. Hatched: outside the area of applicability of one of the forests, where nothing like it "
        "was measured. Colours span the 2–98 % quantiles of the cells, arrows mark values beyond. Grey land: not "
        "mapped for want of a covariate."
    )


def _middle(results: Results) -> str:
    if results.map_middle == "mean":
        return "mean over the members"
    return (
        "median over the members, which of I_root and I_bulk is what the forests predict, of I_bulk in 0–200 cm the "
        "sum of its layers (by τ₉₅ of bootstraps the members of a cell spread so far that their mean is that of the "
        "largest few)"
    )


def _of_all_land(results: Results, flux: str) -> str:
    """Total of a map; or, where there is none, what its cells range over."""
    summary = results.table("summary_global")
    total, cells = (pick(summary, quantity=flux, where=where) for where in ("map, total", "map, cells"))
    if total is not None:
        return f"{posterior(total)} Pg C yr⁻¹"
    return f"{posterior(cells)} Mg C ha⁻¹ yr⁻¹, median and {cells['interval']}" if cells is not None else "–"


def _layers(results: Results) -> str:
    """Layers that the maps have, in words."""
    *others, last = (layer.replace("-", "–") for layer in results.map_layers)
    if len(others) == len(LAYER_NAMES):
        return f"seven layers and in {last} cm"
    return f"{', '.join(others)} and {last} cm" if others else f"{last} cm"


def _median_of(results: Results, name: str, unit: str = "") -> str:
    """Median over the cells of a map of the profile, or, where there is none, of the deepest layer, and of which."""
    layer = results.map_layers[-1]
    values = results.maps[name].sel(layer=layer).values
    return f"{number(pd.Series(values.ravel()).median())}{unit} in {layer.replace('-', '–')} cm"


def _layer_maps(results: Results, flux: str) -> str:
    names = {"iroot": "I_root", "ibulk": "I_bulk", "iloss": "I_loss"}
    text = _of_all_land(results, flux)
    middle = " The neutral colour is 0." if flux == "iloss" else ""
    return (
        f"{names[flux]} in {_layers(results)}: {_middle(results)}; in all {text}. Every panel has its "
        "own colour scale, from the 2 % to the 98 % quantile of its cells; note that the two deepest layers are 50 cm "
        f"thick, the others 20 cm.{middle}"
    )


def _uncertainty(results: Results) -> str:
    return (
        f"Half the 95 % interval of I_loss over its absolute mean, in {_layers(results)}: the paper's margin "
        f"of deviation. In half of the cells it is above {_median_of(results, 'iloss_uncertainty')}. It has no bound "
        "where the mean is near 0: colours end at 10."
    )


def _skill(results: Results, target: str) -> str:
    """R² of a forest of how long carbon stays, in regions that were held out."""
    if not results.has("persistence_learners"):
        return ""
    row = pick(results.table("persistence_learners"), target=target)
    return f" R² in regions that were held out: {number(row['r2'], 2)}, on the log scale." if row is not None else ""


def _production_maps(results: Results) -> str:
    maps = results.maps
    above = float((maps["iroot_mean"].sel(layer=PROFILE_NAME) > maps["npp_mean"]).sum())
    return (
        "Net primary production (a) and the share of it that goes below ground (c), means over the fields of the "
        "production model, with half the 95 % interval of a site in the cell (b, d). Their product is I_root, whose "
        f"mean is above that of production in {above:.0f} cells. Conditional on the sites with records being like "
        "others of their biome and climate, and on the satellite's errors being alike within a biome."
    )


def _age_maps(results: Results) -> str:
    return (
        f"Mean age of the carbon in {_layers(results)} (mean over members), in steady state. In half of the "
        f"cells it is above {_median_of(results, 'age_median', ' yr')}.{_skill(results, 'age')} Every "
        "panel has its own colour scale. The trees are those of I_bulk, so that member m of both is one posterior draw."
    )


def _t100_maps(results: Results) -> str:
    both = results.maps[["ibulk_t100_mean", "ibulk_mean"]].sel(layer=results.map_layers[-1])
    part = both["ibulk_t100_mean"].values / both["ibulk_mean"].values
    return (
        f"Input to bulk soil that stays longer than 100 years, in {_layers(results)} (mean over members): in "
        f"half of the cells less than {number(100 * pd.Series(part.ravel()).median())} % of I_bulk."
        f"{_skill(results, 'ibulk_t100')} It hardly depends on how rates are distributed within a layer. Every panel "
        "has its own colour scale."
    )


def _satellite(results: Results) -> str:
    both = results.table("npp_sites").dropna(subset=["npp", "satellite_npp"])
    means = [number(both[c].mean()) for c in ("npp", "satellite_npp")]
    return (
        f"Net primary production measured at {number(len(both), 6)} sites, mean {means[0]}, and from satellites there, "
        f"mean {means[1]} Mg C ha⁻¹ yr⁻¹. (a) Site by site. (b) Means by biome, with 95 % intervals (± 1.96 standard "
        "errors over the sites). Dashed: equal. Estimates 2, 4 and 6 rest on the satellites'."
    )


def _ages(results: Results) -> str:
    summary = results.table("summary_global")
    ages = {key: pick(summary, quantity=f"age {key}") for key in ("0-30 cm", "30-100 cm")}
    text = "; ".join(f"{key.replace('-', '–')}: {posterior(row)} yr" for key, row in ages.items() if row is not None)
    return (
        "Carbon age and depth. (a) Radiocarbon of the atmosphere in the five zones, and the years of the samples. (b) "
        "Measured Δ¹⁴C against depth. (c) Carbon age (posterior median of a layer) by biome; lines: median of the "
        f"layers whose middle lies in a standard layer (at least five), dotted: all biomes. Mean over profiles, {text}."
    )


def _persistence(results: Results) -> str:
    run = results.table("transit_times")["family"].iloc[0]
    rows = {t: staying(results, run, t) for t in (0, 100)}
    text = {t: posterior(row, "ibulk_") for t, row in rows.items()}
    family = {
        "one pool": "Each layer is taken to be one pool, which bulk radiocarbon cannot tell from many rates",
        "log-normal": "Rates within a layer are log-normal, wider or narrower by depth",
        "two pools": "Each layer is taken to be two pools, a fast and a slow one, nearer or farther apart by depth",
    }[run]
    return (
        "Carbon that enters bulk soil, by how long it stays, mean over profiles. (a) Input that stays longer than the "
        f"years below: {text[0]} Mg C ha⁻¹ yr⁻¹ enter in all, {text[100]} stay longer than a century; dashed, other "
        f"rates (one pool: the paper's definition); level, what roots bring at these places. (b) Mean age of "
        f"the carbon, and mean transit time (stock over input). {family}; in steady state, the input of less than a "
        f"decade hangs on it, that of a century hardly.{_families(results)}"
    )


def _families(results: Results) -> str:
    """Where two families of rates agree on the input that stays, and where not; nothing if only one was fitted."""
    table = results.table("persistence")
    families = [name for name in table["family"].unique() if name != "one pool"]
    if len(families) < 2:
        return ""
    first, second = families[:2]
    ratio = {
        t: staying(results, second, t)["ibulk_median"] / staying(results, first, t)["ibulk_median"] for t in PERSISTING
    }
    alike = [t for t, r in ratio.items() if abs(math.log(r)) <= math.log(1 + AGREEMENT)]
    apart = {t: r for t, r in ratio.items() if t not in alike}

    def years(values: Iterable[int]) -> str:
        *most, last = (str(v) for v in values)
        return f"{', '.join(most)} and {last}" if most else last

    where = f"agree within {number(100 * AGREEMENT)} % on the input that stays longer than {years(alike)} years"
    text = f" {first.capitalize()} rates and {second} {where if alike else 'agree at no time'}"
    if not apart:
        return f"{text}."
    middle = ", ".join(f"{number(r, 2)} times as much after {t}" for t, r in apart.items())
    return f"{text}; elsewhere {second} give more or less: {middle}."


def _ladder(results: Results) -> str:
    table = results.table("ladder")
    low, high = 100 * table["share_median"].min(), 100 * table["share_median"].max()
    return (
        "Share of root carbon that is lost in 0–200 cm of the mean radiocarbon profile, and what enters bulk soil, in "
        "each way to count: from the paper's definition to that of this run, then other rates within a layer, what "
        "stays for a time, wider priors, and what the balance leaves out. Points are medians and bars 95 % "
        f"intervals, each conditional on its own choices. Medians go from {number(low)} to {number(high)} %. "
        f"The largest steps are {'; '.join(largest_steps(table, 3))}."
    )


def largest_steps(ladder: pd.DataFrame, count: int) -> list[str]:
    """Steps of the ladder that change the share lost most, in words."""
    steps = ladder.iloc[ladder["change"].abs().nlargest(count).index]
    return [
        f"from “{step['compared_with']}” to “{step['what']}” ({'+' if step['change'] > 0 else ''}"
        f"{number(100 * step['change'])} points)"
        for _, step in steps.iterrows()
    ]


def _respired(results: Results) -> str:
    table = results.table("turnover_respired")
    inside = (table["respired"] >= table["predicted_p025"]) & (table["respired"] <= table["predicted_p975"])
    gap = table["respired"] - table["delta14c"]
    return (
        f"CO₂ that {number(len(table), 6)} layers respired in the laboratory, without living roots. (a) In the median "
        f"its Δ¹⁴C is {number(gap.median())} ‰ above that of the layer's carbon: in a layer of one pool they would be "
        "the same. Bars: the model's difference, mean of the layers of a class of depth. (b) "
        f"{number(100 * inside.mean())} % of the values lie in the 95 % interval of another measurement; they were in "
        "the fit."
    )


def staying(results: Results, family: str, years: int) -> pd.Series:
    """Row of `persistence.csv` for whole profiles of the world, the estimates averaged."""
    table = results.table("persistence")
    here = (table["biome"] == 0) & (table["layer"] == "0-200") & (table["estimate"] == "mean")
    return table[here & (table["family"] == family) & (table["t_years"] == years)].iloc[0]


def _held_out(results: Results) -> str:
    scores = results.map_forest_scores
    spatial = scores[scores["split"] == "spatial"].set_index("target")["r2"]
    text = ", ".join(f"{TARGETS.get(str(k), k)} {number(v, 2)}" for k, v in spatial.items())
    return (
        "Predictions of places that the forests had not seen: sites (top) and whole regions (bottom). R² in regions: "
        f"{text}. A low R² means that the map stays close to the overall mean and that its intervals, not its pattern, "
        "carry the information. Observations are posterior draws, so their own error is in the scatter. R², RMSE and "
        "coverage of the 95 % interval are on the log scale (f_BNPP: log odds); dashed 1:1."
    )


def _turnover(results: Results) -> str:
    table = results.table("turnover_population").set_index("parameter")
    profile, layer, misfit = (table.loc[name] for name in ("tau_profile", "tau_layer", "model_sd"))
    tail = (
        f", with heavy tails (Student's t with {number(table.loc['nu', 'mean'], 2)} degrees of freedom)"
        if "nu" in table.index
        else ""
    )
    skew = table["mean"].to_dict()["profile_skew"]
    side, factor = "old" if skew < 0 else "young", math.exp(2 * abs(skew))
    return (
        "The hierarchical fit. (a) Median age of a biome's profiles, covariates at their mean, with 95 % bands. (b) "
        "Effect of the principal components of soil, climate and topography on log k (grey: the interval spans 0). (c) "
        f"Profiles scatter by {number(profile['mean'], 2)} in log k about what biome, depth and covariates say (those "
        f"on the {side} side {number(factor, 2)} times as far as the others), layers of one profile by "
        f"{number(layer['mean'], 2)}; a one-pool model misses a measurement by {number(misfit['mean'], 2)} ‰ in the "
        f"mean of biomes and periods{tail}. (d) Radiocarbon that the prior and the posterior would make, and the "
        "measured: the prior allows far more than was seen, so the data decide."
    )


def _turnover_held_out(results: Results) -> str:
    every = results.table("turnover_cv").iloc[0]
    return (
        "Cross-validation by profile: each profile is predicted from a fit to the others, by its place, depth and year "
        f"alone. (a) Flat (dashed) is calibrated. (b) {number(100 * every['coverage95'], 3)} % of all layers lie in "
        f"their 95 % interval (grey: 93–97 %), and the CRPS is {number(every['crps'], 3)} ‰."
    )


def _turnover_sbc(results: Results) -> str:
    ranks = results.table("turnover_sbc_ranks")
    return (
        f"Simulation-based calibration: {number(len(ranks), 6)} worlds from the prior, each fitted like the data: "
        "ranks of the true hyperparameters among the posterior draws. Where sampler and model agree they are uniform: "
        "bars stay within the band, which holds 95 % of what chance makes. A heap in the middle would be intervals too "
        "wide, one at both ends intervals too narrow, a slope a bias."
    )


def _turnover_prehistory(results: Results) -> str:
    table = results.table("turnover_prehistory")
    rows = {
        prehistory: pick(table, prehistory=prehistory, quantity="carbon age", depth_cm="30-100")
        for prehistory in ("steady", "intcal20")
    }
    steady, history = (posterior(row) if row is not None else "–" for row in rows.values())
    return (
        "What is assumed about the years before 1950. Blue: a pool steady under the atmosphere of 1950, as in the "
        "paper; orange: the atmosphere of the last 55,000 years. (a) Mean age over profiles. (b) Mean I_bulk of "
        f"layers. At 30–100 cm the age is {steady} yr with the first and {history} yr with the second."
    )


def _learners(results: Results, target: str) -> str:
    scores = results.table("learners")
    names = {"iroot": "log I_root", "ibulk": "log I_bulk per cm", "f_bnpp": "the log odds of f_BNPP"}
    rows = [pick(scores, target=target, learner="ensemble", split=split) for split in ("site", "spatial")]
    known, new = (number(row["r2"], 2) if row is not None else "–" for row in rows)
    return (
        f"Observed against predicted {names[target]} of the paper's five learners and of their ensemble: (a–f) sites "
        f"held out, (g–l) whole regions held out. R² of the ensemble: {known} at new sites of known regions, {new} in "
        "new regions, which is the number that a map of unsampled land should be judged by. Dashed 1:1."
    )


def _reliability(results: Results) -> str:
    scores = results.table("learners")
    forest = scores[(scores["learner"] == POSTERIOR_FOREST) & (scores["split"] == "spatial")].set_index("target")
    text = ", ".join(
        f"{TARGETS.get(str(target), target)} {number(100 * c)} %" for target, c in forest["coverage95"].items()
    )
    return (
        "Share of held-out observations below each quantile of their predictions, less that quantile. A learner whose "
        "intervals can be trusted stays in the grey band of chance; one that rises and then falls claims too much. "
        f"95 % intervals of the forest of posterior draws hold, in new regions: {text}."
    )


def _modes(results: Results) -> str:
    layers = results.table("layers")
    two = layers["n_modes"] > 1
    over = int((layers["mode2_probability"] >= 0.1).sum())
    return (
        "After the bomb tests one radiocarbon value can have two ages, on either side of the peak. Where it lies below "
        "all that the peak leaves, a second mode has another cause: a layer and the rest of its profile disagree, and "
        "heavy tails let either be right. Left: Δ¹⁴C of the model against age (line) and "
        "the measurement (blue; band: ± one standard deviation, misfit of a one-pool model included). Right: posterior "
        f"draws, with the two modes and their probabilities from layers.csv. {number(two.sum(), 6)} of "
        f"{number(len(layers), 6)} layers have a second mode of at least 0.5 %, {number(over, 6)} of at least 10 %. "
        "Shown: the most doubtful layers, one a place and year."
    )


def _predictive(results: Results) -> str:
    unexplained = int(results.table("layers")["unexplained"].sum())
    return (
        "Can the model make data like ours? (a–c) Observed Δ¹⁴C and 95 % of the replicated data sets. (d–f) Rank of "
        "each observation among its own replicates; flat (dashed) would be a calibrated forecast of unseen data. Here "
        "each layer's k was fitted to the same value that it is compared with, so ranks gather in the middle and the "
        "check is lenient; a pile at 0 or 100 % would be alarming. Layers that no decay rate explains within three "
        f"standard deviations: {number(unexplained, 6)}."
    )


def _drivers(results: Results) -> str:

    def row(table: str, **conditions: str) -> str:
        found = pick(results.table(table), **conditions) if results.has(table) else None  # few records: not fitted
        return posterior(found, percent=True) if found is not None else "–"

    bulk, root = (row(f"drivers_{name}_summary", quantity=R_SQUARED) for name in ("ibulk", "iroot"))
    return (
        "Change of log I_root, of log I_bulk and of the log odds of f_BNPP for one standard deviation of a principal "
        "component of climate, soil or topography (for I_bulk also of a layer's top and bottom), by biome; number of "
        "records in brackets. Grey: the 95 % interval spans 0; blank: no records. Biomes' own coefficients explain "
        f"{bulk} of what varies in I_bulk, and {root} in I_root. f_BNPP over all sites: "
        f"{row('allocation_biome', biome='all')}."
    )


def _root_shares(results: Results) -> str:
    shares = results.table("root_shares")
    top = shares[shares["layer"] == "0-20"].set_index("biome_name")["share_median"]
    return (
        "Share of each layer in root carbon of 0–200 cm: median and 95 % interval of the biome's mean profile. The top "
        f"20 cm hold most in {top.idxmax()} ({number(100 * top.max(), 2)} %) and least in {top.idxmin()} "
        f"({number(100 * top.min(), 2)} %). Axes differ between layers."
    )
