"""Means on the natural scale: are predicted fluxes of unseen places right on average, by biome and depth?

Forests are fitted and scored on the log scale, where one that shrinks towards the middle does well. Averages and totals
are on the natural one, which it may then miss. So the mean of each calibrated log-normal is compared with what was
measured at held-out places, and a regression of their ratio on biome and depth makes them right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.linear_model import PoissonRegressor

from ..constants import BIOMES, DEPTH_CLASSES, INTERVAL

PENALTY = 30.0
"""Records that the prior of a class is worth: with fewer of its own, its factor is nearer to that of all."""

BOOTSTRAPS = 500
"""Resampled sites from which the interval of a ratio comes."""

DRAWS = 100
"""Factors of resampled regions, one after the other for the members: their spread is then known to 7 %."""


@dataclass(frozen=True)
class NaturalScale:
    """Factors of predicted means, by biome and depth.

    Attributes
    ----------
    log_biome : tuple of float
        log of the factor of each of the nine biomes.
    log_depth : tuple of float
        log of the factor of each of `DEPTH_CLASSES`, over that of the biome; empty for what has no depth.
    drawn : tuple of tuple of float
        The same numbers, first of biomes and then of depths, from resampled regions: what is not known of them.
    """

    log_biome: tuple[float, ...]
    log_depth: tuple[float, ...] = ()
    drawn: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def fit(cls, rows: pd.DataFrame, region: NDArray | None = None, *, seed: int = 0) -> Self:
        """Factors by which predictions sum up to what was observed, in every biome and every class of depth.

        A Poisson regression of their ratio, weighted by the prediction, has such sums, by its score equations, whatever
        the distribution; a penalty draws classes of few records towards the others.

        Parameters
        ----------
        rows : DataFrame
            `observed` and `predicted` means on the natural scale, `biome` (1–9), and `middle` (cm) where there is a
            depth.
        region : ndarray, optional
            What each row was left out with, for `drawn`, whose seed is the other argument.
        """
        depth = _depth_class(rows["middle"].to_numpy()) if "middle" in rows else np.zeros(len(rows), int)
        # in each class of depth relative to its mean, lest the small fluxes of the subsoil count for nothing
        weight = (rows["predicted"] / rows["predicted"].groupby(depth).transform("mean")).to_numpy()
        X = rows["biome"].to_numpy()[:, None] == np.array(list(BIOMES))
        if "middle" in rows:
            X = np.concatenate([X, depth[:, None] == np.arange(len(DEPTH_CLASSES))], axis=1)
        X, ratio = X.astype(float), (rows["observed"] / rows["predicted"]).to_numpy()

        def factors(times: NDArray) -> tuple[float, ...]:
            model = PoissonRegressor(alpha=PENALTY / len(rows), solver="newton-cholesky")
            model.fit(X, ratio, sample_weight=times * weight)
            return tuple(map(float, model.coef_ + model.intercept_ * (np.arange(X.shape[1]) < len(BIOMES))))

        found, drawn = factors(np.ones(len(rows))), list[tuple[float, ...]]()
        if region is not None:
            label, rng = np.unique(region, return_inverse=True)[1], np.random.default_rng(seed)
            there = int(label.max()) + 1
            drawn = [factors(np.bincount(rng.integers(0, there, there), minlength=there)[label]) for _ in range(DRAWS)]
        return cls(found[: len(BIOMES)], found[len(BIOMES) :], tuple(drawn))

    def log_factor(self, biome: NDArray, middle: NDArray | None = None) -> NDArray[np.float32]:
        """log of the factor of places, or of layers whose middle (cm) is given; the shapes broadcast."""
        found = np.array(self.log_biome)[np.asarray(biome, int) - 1]
        if middle is not None:
            found = found + np.array(self.log_depth)[_depth_class(middle)]
        return found.astype(np.float32)

    def deviations(self, biome: NDArray, middle: NDArray | None, members: int) -> NDArray[np.float32]:
        """How far the log of the factor of each member is from `log_factor`: one axis more, (…, member).

        Members share what is not known of the factors, so that it is in the spread of means and totals, which would
        else be as sure as if held-out regions had been without number.
        """
        if not self.drawn:
            return np.zeros((*np.shape(biome), members), np.float32)
        drawn = np.array(self.drawn)[np.arange(members) % len(self.drawn)] - np.array(self.log_biome + self.log_depth)
        found = drawn.T[np.asarray(biome, int) - 1]
        if middle is not None:
            found = found + drawn.T[len(BIOMES) + _depth_class(middle)]
        return found.astype(np.float32)


def _tuples(values: Any) -> Any:
    return tuple(map(_tuples, values)) if isinstance(values, list) else values


def read_scales(written: Mapping[str, Any], names: Iterable[str]) -> dict[str, NaturalScale]:
    """Factors by name, as far as there are any, from a JSON object of their attributes."""
    found = {name: written.get(name) for name in names}
    return {name: NaturalScale(**{k: _tuples(v) for k, v in one.items()}) for name, one in found.items() if one}


def _depth_class(middle: NDArray) -> NDArray[np.int64]:
    return np.digitize(middle, [low for low, _ in DEPTH_CLASSES[1:]])


def natural_means(predictions: pd.DataFrame, measured: NDArray, table: pd.DataFrame) -> pd.DataFrame:
    """Held-out predictions on the natural scale.

    Parameters
    ----------
    predictions : DataFrame
        `split`, `fold`, `row`, `mean`, `sd`, `tau` of `learners.validate`, on the log scale.
    measured : ndarray
        Posterior mean of each row that was learnt from, on the natural scale, (n,). Single draws will not do: those of
        layers whose age has two modes decide the means of whole biomes.
    table : DataFrame
        The rows that were learnt from: `biome`, and `top` and `bottom` (cm) of layers.

    Returns
    -------
    DataFrame
        `split`, `fold`, `row`, `observed` and `predicted` (whose spread is scaled by what the other folds ask for),
        `biome`, and `middle` of layers (cm). Fluxes of layers are those of their whole thickness, not per cm.
    """
    parts = []
    for _, of_split in predictions.groupby("split", sort=False):
        for fold, some in of_split.groupby("fold"):
            tau95 = of_split.loc[of_split["fold"] != fold, "tau"].quantile(0.95)
            sd = some["sd"].to_numpy(float) * tau95 / norm.ppf(INTERVAL[1])
            mean = np.exp(some["mean"].to_numpy(float) + sd**2 / 2)
            parts.append(some[["split", "fold", "row"]].assign(observed=measured[some["row"]], predicted=mean))
    out = pd.concat(parts, ignore_index=True)
    of = table.iloc[out["row"]]
    out["biome"] = of["biome"].to_numpy(int)
    if "top" in of:
        top, bottom = (of[c].to_numpy(float) for c in ("top", "bottom"))
        out["middle"] = (top + bottom) / 2
        out[["observed", "predicted"]] *= (bottom - top)[:, None]
    return out


def corrected(rows: pd.DataFrame, group: NDArray) -> NDArray[np.float64]:
    """Predictions times the factors that the other folds ask for, without the sites or regions of their own, (n,).

    Parameters
    ----------
    rows : DataFrame
        `natural_means` of one split.
    group : ndarray
        What was left out as a whole, for each row that was learnt from.
    """
    out, label = rows["predicted"].to_numpy(float).copy(), group[rows["row"]]
    for fold in rows["fold"].unique():
        here = (rows["fold"] == fold).to_numpy()
        others = rows[~here & ~np.isin(label, label[here])]
        if len(others):
            scale = NaturalScale.fit(others)
            middle = rows.loc[here, "middle"].to_numpy() if "middle" in rows else None
            out[here] *= np.exp(scale.log_factor(rows.loc[here, "biome"], middle))
    return out


def natural_table(rows: pd.DataFrame, site: NDArray, seed: int) -> pd.DataFrame:
    """`tables/natural_scale.csv` of one split: means of what was observed and predicted, and their ratio with its 95 %
    interval over resampled sites, in all, by biome and by depth.

    Parameters
    ----------
    rows : DataFrame
        `natural_means` with `corrected`.
    site : ndarray
        Site or profile of each row that was learnt from.
    """
    label, found = site[rows["row"]], []
    rng = np.random.default_rng(seed)
    for group, name, here in _classes(rows):
        some = rows[here]
        if some.empty:
            continue
        number, places = pd.factorize(label[here])
        sums = {c: np.bincount(number, some[c]) for c in ("observed", "predicted", "corrected")}
        drawn = rng.multinomial(len(places), np.full(len(places), 1 / len(places)), BOOTSTRAPS)
        ratio = (drawn @ sums["corrected"]) / (drawn @ sums["observed"])
        low, high = np.quantile(ratio, INTERVAL)
        means = {c: value.sum() / len(some) for c, value in sums.items()}
        found.append(
            {
                "group": group,
                "class": name,
                "n": len(some["row"].unique()),
                "sites": len(places),
                "observed": means["observed"],
                "uncorrected": means["predicted"],
                "predicted": means["corrected"],
                "ratio_uncorrected": means["predicted"] / means["observed"],
                "ratio": means["corrected"] / means["observed"],
                "ratio_p025": low,
                "ratio_p975": high,
            }
        )
    return pd.DataFrame(found)


def _classes(rows: pd.DataFrame) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    yield "all", "all", np.ones(len(rows), bool)
    for number, name in BIOMES.items():
        yield "biome", name, (rows["biome"] == number).to_numpy()
    if "middle" in rows:
        for number, (low, high) in enumerate(DEPTH_CLASSES):
            yield "depth, cm", f"{low}-{high}", _depth_class(rows["middle"].to_numpy()) == number
