"""Letters as the paper's Figs. 1 and 3 have them: which groups of sites differ with P < 0.05.

The paper does not name its test. Groups are of unequal size and spread, so the means of each pair are compared by
Welch's t, and the P values of all pairs by Holm's rule (1979, Scandinavian Journal of Statistics 6, 65-70), which keeps
the chance of any false difference among them at 5 %. Unlike the posterior's letters (`contrasts`), they take sites as
independent and what is said of each as certain.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import norm, ttest_ind

from .constants import BIOMES, LAYER_NAMES
from .contrasts import PAIR, STATISTICS, compact_letters
from .estimates import numbered, places

ALPHA = 0.05
Z95 = norm.ppf(1 - ALPHA / 2)

type Samples = dict[str, NDArray[np.float64]]
"""Values of the sites of each group, by its name."""


def compare_pairs(samples: Samples) -> pd.DataFrame:
    """Differences between the means of all pairs of groups with at least two sites that differ.

    Returns
    -------
    DataFrame
        `a`, `b`, their `difference` with the pair's 95 % interval `p025`, `p975`, and `p`, by Holm's rule.

    Examples
    --------
    >>> compare_pairs({"low": np.array([1.0, 2, 3]), "high": np.array([11.0, 12, 13])})["p"].item() < 0.001
    True
    """
    names = [name for name, values in samples.items() if len(values) > 1 and np.ptp(values) > 0]
    rows = []
    for a, b in combinations(names, 2):
        found = ttest_ind(samples[a], samples[b], equal_var=False)
        bounds = found.confidence_interval(1 - ALPHA)
        rows.append((a, b, samples[a].mean() - samples[b].mean(), bounds.low, bounds.high, found.pvalue))
    table = pd.DataFrame(rows, columns=["a", "b", "difference", "p025", "p975", "p"])
    return table.assign(p=holm(table["p"].to_numpy(float)))


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """P values of several tests, such that those below 5 % hold together (Holm 1979).

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    order = np.argsort(p)
    out = np.empty(len(p))
    out[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return out


def lettered(samples: Samples, pairs: pd.DataFrame) -> pd.DataFrame:
    """Mean and median of each group, the largest mean first, and letters: two groups that share one do not differ."""
    names = sorted(samples, key=lambda name: -samples[name].mean())
    sure = pairs[pairs["p"] < ALPHA]
    letters = compact_letters(names, {frozenset(pair) for pair in zip(sure["a"], sure["b"], strict=True)})
    rows = [
        {
            "name": name,
            "mean": samples[name].mean(),
            "median": float(np.median(samples[name])),
            "n": len(samples[name]),
            "letters": letters[name],
        }
        for name in names
    ]
    return pd.DataFrame(rows)


def by_biome(values: NDArray[np.float64], biome: NDArray[np.int64]) -> Samples:
    """Values of the sites of each biome that has any."""
    return {name: values[biome == b] for b, name in BIOMES.items() if (biome == b).any()}


def site_samples(estimates: list[xr.Dataset], npp: pd.DataFrame) -> dict[str, Samples]:
    """What the letters of Figs. 1 and 3 compare: I_root, I_bulk, f_BNPP and I_loss by biome.

    I_root is that observed at production sites (estimate 1), I_bulk that of radiocarbon profiles (estimate 3), I_loss
    the mean of the estimates of a data set at each of its sites.
    """
    root, bulk = numbered(estimates, 1), numbered(estimates, 3)
    f_bnpp = npp[npp["f_bnpp"].notna()]
    loss = _loss_of_sites(estimates)
    return {
        "iroot": by_biome(_profile(root["iroot"]), root["biome"].values),
        "ibulk": by_biome(_profile(bulk["ibulk"]), bulk["biome"].values),
        "f_bnpp": by_biome(f_bnpp["f_bnpp"].to_numpy(float), f_bnpp["biome"].to_numpy(int)),
        "iloss": by_biome(loss["iloss"].to_numpy(float), loss["biome"].to_numpy(int)),
    }


def biome_letters(estimates: list[xr.Dataset], npp: pd.DataFrame) -> pd.DataFrame:
    """`tables/biome_letters.csv`: `quantity`, biome (`name`), `mean`, `median`, `n`, `letters`, capital as in the
    paper; of I_root and I_bulk also the `lowercase` letter by which they differ from each other in the biome.
    """
    samples = site_samples(estimates, npp)
    parts = []
    for quantity, groups in samples.items():
        table = lettered(groups, compare_pairs(groups)).assign(quantity=quantity)
        parts.append(table.assign(letters=table["letters"].str.upper(), lowercase=""))
    table = pd.concat(parts, ignore_index=True)
    for name in samples["iroot"].keys() & samples["ibulk"].keys():
        both = {quantity: samples[quantity][name] for quantity in ("iroot", "ibulk")}
        found = lettered(both, compare_pairs(both)).set_index("name")["letters"]
        for quantity in both:
            table.loc[(table["quantity"] == quantity) & (table["name"] == name), "lowercase"] = found[quantity]
    return table[["quantity", *table.columns.drop("quantity")]]


def iloss_tests(estimates: list[xr.Dataset]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`tables/iloss_pairs.csv` and `iloss_letters.csv` by tests over sites, for estimates without a posterior.

    The `probability` that a is above b is the test's counterpart, 1 - P/2 or P/2.
    """
    loss = _loss_of_sites(estimates)
    among = {
        "estimates": {str(e.attrs["estimate"]): _profile(e["iroot"]) - _profile(e["ibulk"]) for e in estimates},
        "biomes": by_biome(loss["iloss"].to_numpy(float), loss["biome"].to_numpy(int)),
        "layers": {name: loss[name].to_numpy(float) for name in LAYER_NAMES},
    }
    pairs, letters = [], []
    for label, samples in among.items():
        found = compare_pairs(samples)
        half = found["p"].astype(float) / 2
        pairs.append(
            pd.DataFrame(
                {
                    "among": label,
                    "a": found["a"],
                    "b": found["b"],
                    "difference_mean": found["difference"],
                    "difference_median": found["difference"],
                    "difference_p025": found["p025"],
                    "difference_p975": found["p975"],
                    "probability": np.where(found["difference"] > 0, 1 - half, half),
                }
            )
        )
        table = lettered(samples, found)
        error = np.array([_standard_error(samples[name]) for name in table["name"]])
        letters.append(
            pd.DataFrame(
                {
                    "among": label,
                    "name": table["name"],
                    "iloss_mean": table["mean"],
                    "iloss_median": table["median"],
                    "iloss_p025": table["mean"] - Z95 * error,
                    "iloss_p975": table["mean"] + Z95 * error,
                    "letters": table["letters"],
                }
            )
        )
    columns = [*PAIR, *(f"difference_{statistic}" for statistic in STATISTICS), "probability"]
    return pd.concat(pairs, ignore_index=True)[columns], pd.concat(letters, ignore_index=True)


def _standard_error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


def _profile(draws: xr.DataArray) -> NDArray[np.float64]:
    """Mean over draws of the sum over layers, (site,)."""
    return draws.values.sum(axis=1).mean(axis=1).astype(float)


def _loss_of_sites(estimates: list[xr.Dataset]) -> pd.DataFrame:
    """I_loss of the profile (`iloss`) and of the layers, the mean of the estimates of each site."""
    parts = []
    for e in estimates:
        loss = (e["iroot"] - e["ibulk"]).values.mean(axis=2).astype(float)
        layers = pd.DataFrame(loss, columns=list(LAYER_NAMES))
        parts.append(places(e)[["id", "biome"]].assign(sites=e.attrs["sites"], iloss=loss.sum(axis=1)).join(layers))
    return pd.concat(parts).groupby(["sites", "id", "biome"], as_index=False).mean()
