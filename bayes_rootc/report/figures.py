"""The figures, by the paper's numbers and by name: each is drawn from a run's `Results` and gives its axes.

`figure_2(Results.read("out"))[0].figure.savefig("figure_2.pdf")`. What only a posterior can show has a name, no number.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..mapping.regressors import LEARNERS
from .captions import caption
from .figures_learners import figure_ed2, figure_ed3, figure_ed9, figure_reliability
from .figures_maps import (
    figure_4,
    figure_age_maps,
    figure_ed1,
    figure_ed4,
    figure_ed5,
    figure_ed6,
    figure_ed7,
    figure_production_maps,
    figure_t100_maps,
)
from .figures_posterior import figure_modes, figure_predictive
from .figures_regressions import explained, figure_2
from .figures_schematic import figure_5
from .figures_sites import figure_1, figure_3, figure_ed8, figure_held_out, figure_root_shares, figure_s5
from .figures_turnover import (
    figure_calibration,
    figure_held_out_profiles,
    figure_histories,
    figure_ladder,
    figure_persistence,
    figure_respired,
    figure_turnover,
)
from .results import Results
from .style import AxesArray, save

type Draw = Callable[[Results], AxesArray]

FIGURES: dict[str, tuple[str, Draw]] = {
    "sites": ("Where the data were measured", figure_ed1),
    "schematic": ("Where root carbon goes", figure_5),
    "loss": ("Root carbon lost before it enters bulk soil: six estimates", figure_3),
    "loss_map": ("Where root carbon is lost", figure_4),
    "inputs": ("Root inputs and inputs to bulk soil", figure_1),
    "ages": ("Radiocarbon and the age of soil carbon", figure_s5),
    "persistence": ("How long carbon stays in bulk soil", figure_persistence),
    "ladder": ("What the share lost hangs on", figure_ladder),
    "respired": ("What soil respires is younger than what it holds", figure_respired),
    "turnover": ("What turns carbon over faster", figure_turnover),
    "turnover_held_out": ("Radiocarbon of profiles that the fit has not seen", figure_held_out_profiles),
    "turnover_sbc": ("Does the fit find the truth in worlds that it made", figure_calibration),
    "turnover_prehistory": ("How much the years before 1950 matter", figure_histories),
    "modes": ("One radiocarbon value, two ages", figure_modes),
    "predictive": ("Replicated and observed radiocarbon", figure_predictive),
    "drivers": ("What drives inputs, and how much goes below ground", figure_2),
    "root_shares": ("Root carbon by depth and biome", figure_root_shares),
    "held_out": ("How well the forests predict elsewhere", figure_held_out),
    "learners_iroot": ("Learners of root inputs", figure_ed2),
    "learners_ibulk": ("Learners of inputs to bulk soil", figure_ed3),
    "learners_f_bnpp": ("Learners of the part of production that goes below ground", figure_ed9),
    "learners_reliability": ("Can the intervals of the learners be trusted", figure_reliability),
    "production_maps": ("What grows, and how much of it below ground", figure_production_maps),
    "iroot_maps": ("Root inputs by layer", figure_ed4),
    "ibulk_maps": ("Inputs to bulk soil by layer", figure_ed5),
    "iloss_maps": ("Loss of root carbon by layer", figure_ed6),
    "iloss_uncertainty": ("How uncertain the loss is, by layer", figure_ed7),
    "age_maps": ("Age of soil carbon by layer", figure_age_maps),
    "ibulk_t100_maps": ("Inputs to bulk soil that stay longer than a century", figure_t100_maps),
    "satellite": ("Measured and satellite net primary production", figure_ed8),
}
"""Title and drawing of every figure, in reading order."""


def save_figures(results: Results) -> list[tuple[Path, str, str]]:
    """Draws every figure that the run allows into `figures/` of the output folder; returns path, title and caption.

    Raises
    ------
    InputError
        A table, the maps, the turnover posterior or the data folder is missing.
    """
    saved = []
    for name, title, draw in catalogue(results):
        path = results.out / "figures" / f"{name}.png"
        save(draw(), path, simulated=results.simulated)
        saved.append((path, title, caption(results, name)))
    return saved


def catalogue(results: Results) -> list[tuple[str, str, Callable[[], AxesArray]]]:
    """Name, title and drawing of every figure that the run allows, in reading order."""
    return [
        (name, title, partial(draw, results)) for name, (title, draw) in FIGURES.items() if _possible(results, name)
    ]


def _possible(results: Results, name: str) -> bool:
    """Some figures need data that not everyone has, or a check that was not asked for."""
    hierarchical = bool(results.run["settings"]["turnover_prior"] == "hierarchical")
    match name:
        case "turnover":
            return hierarchical
        case "turnover_held_out":
            return hierarchical and results.has("turnover_held_out", "turnover_cv")
        case "turnover_sbc":
            return hierarchical and results.has("turnover_sbc_ranks")
        case "turnover_prehistory" | "persistence" | "ladder":
            return hierarchical and results.has(name)
        case "respired":
            return hierarchical and results.has("turnover_respired")
        case "drivers":
            return bool(explained(results))
        case "satellite":
            return bool(results.table("npp_sites")[["npp", "satellite_npp"]].notna().all(axis=1).any())
        case _ if name.startswith("learners_"):  # `train` after the run: a run leaves the scores of the maps alone
            return results.has("learners_held_out") and set(LEARNERS) <= set(results.table("learners")["learner"])
    return results.has_maps_of(name)


def without_maps(results: Results) -> list[str]:
    """Titles of the figures that are left out because maps that they show were not made."""
    fields = results.run["settings"].get("iroot_model") == "field"
    wanted = {name: title for name, (title, _) in FIGURES.items() if fields or name != "production_maps"}
    return [title for name, title in wanted.items() if not results.has_maps_of(name)]
