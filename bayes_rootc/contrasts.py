"""What only a posterior can say of the estimates: which differ, how surely, and by what factor turnover is misjudged.

Draw m of every quantity goes back to the same posterior draws and trees, so differences and ratios are taken draw by
draw; what two estimates have in common cancels.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from .constants import BIOMES, LAYER_NAMES
from .estimates import GLOBAL, combine
from .inference.sampling import summarise

CERTAIN = 0.975
"""Probability of a sign from which on two means are said to differ: the 95 % interval of the difference excludes 0."""

FACTORS = (1.0, 2.0, 4.0)
"""By which turnover may be too fast; the last is the paper's."""


def groups_of(estimates: list[xr.Dataset]) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Draws of mean I_loss that are compared among each other: of the six estimates, of biomes, and of layers."""
    biomes = {name: combine(estimates, "iloss", b) for b, name in BIOMES.items()}
    return {
        "estimates": {str(e.attrs["estimate"]): combine([e], "iloss") for e in estimates},
        "biomes": {name: draws for name, draws in biomes.items() if len(draws)},
        "layers": {name: combine(estimates, "iloss", layer=i) for i, name in enumerate(LAYER_NAMES)},
    }


def pairs_table(groups: dict[str, dict[str, NDArray[np.float64]]]) -> pd.DataFrame:
    """`tables/iloss_pairs.csv`: `among` (estimates, biomes, layers), `a`, `b`, their `difference` (Mg C ha⁻¹ yr⁻¹) with
    its posterior, and the `probability` that a is above b: in place of a test's significance.
    """
    rows = []
    for among, draws in groups.items():
        for a, b in combinations(draws, 2):
            away = draws[a] - draws[b]
            summary = {f"difference_{key}": float(v) for key, v in summarise(away).items()}
            rows.append({"among": among, "a": a, "b": b} | summary | {"probability": float((away > 0).mean())})
    return pd.DataFrame(rows, columns=[*PAIR, *(f"difference_{s}" for s in STATISTICS), "probability"])


PAIR, STATISTICS = ("among", "a", "b"), ("mean", "median", "p025", "p975")


def letters_table(groups: dict[str, dict[str, NDArray[np.float64]]], pairs: pd.DataFrame) -> pd.DataFrame:
    """`tables/iloss_letters.csv`: mean I_loss with its posterior, and letters: two that share a letter cannot be
    distinguished with 97.5 % probability.
    """
    rows = []
    for among, draws in groups.items():
        names = sorted(draws, key=lambda name: -draws[name].mean())
        some = pairs[pairs["among"] == among]
        sure = some[(some["probability"] >= CERTAIN) | (some["probability"] <= 1 - CERTAIN)]
        different = {frozenset(pair) for pair in zip(sure["a"], sure["b"], strict=True)}
        for name, letters in compact_letters(names, different).items():
            summary = {f"iloss_{key}": float(v) for key, v in summarise(draws[name]).items()}
            rows.append({"among": among, "name": name} | summary | {"letters": letters})
    return pd.DataFrame(rows)


def compact_letters(names: list[str], different: set[frozenset[str]]) -> dict[str, str]:
    """Letters of each name, in their order: any two that share one are not `different`, and any two that are not
    different share one (insert and absorb; Piepho 2004, Journal of Computational and Graphical Statistics 13, 456-466).
    """
    columns = [set(names)]
    for pair in sorted(different, key=sorted):
        split = []
        for column in columns:
            split += [column - {name} for name in pair] if pair <= column else [column]
        columns = []
        for column in sorted(split, key=len, reverse=True):  # a column within another says nothing more
            if not any(column <= other for other in columns):
                columns.append(column)
    columns.sort(key=lambda column: [name not in column for name in names])
    return {name: "".join(chr(ord("a") + i) for i, column in enumerate(columns) if name in column) for name in names}


def correlation_table(estimates: list[xr.Dataset]) -> pd.DataFrame:
    """`tables/iloss_correlation.csv`: of the draws of mean I_loss of two estimates: they share data and models."""
    draws = {f"estimate_{e.attrs['estimate']}": combine([e], "iloss") for e in estimates}
    return pd.DataFrame(np.corrcoef(list(draws.values())), index=list(draws), columns=list(draws)).reset_index(
        names="estimate"
    )


def factor_table(estimates: list[xr.Dataset]) -> pd.DataFrame:
    """`tables/turnover_factor.csv`: how many times too fast turnover is judged where all of I_root is taken to enter
    bulk soil, I_root / I_bulk (both the mean over sites and estimates): everywhere, by biome and by layer; and the
    probability that it is above 1, 2 and the paper's 4.
    """
    rows = []
    where: list[tuple[str, str, int, int]] = [("all", GLOBAL, 0, -1)]
    where += [("biome", name, b, -1) for b, name in BIOMES.items()]
    where += [("layer", name, 0, i) for i, name in enumerate(LAYER_NAMES)]
    for group, name, biome, layer in where:
        root, bulk = (combine(estimates, quantity, biome, layer) for quantity in ("iroot", "ibulk"))
        if len(root):
            factor = root / bulk
            summary = {f"factor_{key}": float(v) for key, v in summarise(factor).items()}
            above = {f"probability_above_{limit:g}": float((factor > limit).mean()) for limit in FACTORS}
            rows.append({"group": group, "name": name, **summary, **above})
    return pd.DataFrame(rows)
