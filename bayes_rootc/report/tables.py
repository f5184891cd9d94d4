"""Summary tables of a run, and its headline numbers compared with the paper's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..constants import BIOMES, INTERVAL, LAYER_NAMES, PROFILE_NAME
from ..data.folder import Inputs
from ..data.tables import SourceCheck
from ..estimates import combine, numbered
from ..inference.sampling import summarise, summary_columns

FLUX = "Mg C ha-1 yr-1"
POSTERIOR, SITES, AMONG = "95 % of the posterior of the mean", "95 % of the sites", "range of the six estimates"
HELD_OUT = {"site": "sites", "spatial": "regions"}
CELLS, AREA = "map, cells", "95 % of the mapped area"
BY_BIOME = {"iroot": FLUX, "ibulk": FLUX, "iloss": FLUX, "share": "1"}


def checks_table(checks: list[SourceCheck]) -> pd.DataFrame:
    """`tables/checks.csv`: source, what (read, dropped, replaced, used), rule, rows."""
    rows = []
    for c in checks:
        rows.append({"source": c.source, "file": c.file, "what": "read", "rule": "", "rows": c.read})
        rows += [
            {"source": c.source, "file": c.file, "what": "dropped", "rule": rule, "rows": n}
            for rule, n in c.dropped.items()
        ]
        rows += [
            {"source": c.source, "file": c.file, "what": "remark", "rule": rule, "rows": n}
            for rule, n in (c.doubts | c.remarks).items()
        ]
        rows.append({"source": c.source, "file": c.file, "what": "used", "rule": "", "rows": c.used})
    return pd.DataFrame(rows)


def checks_text(checks: list[SourceCheck]) -> str:
    """The same for people: first what may be in another unit, then a block a source."""
    doubts = [f"  {c.file}, {doubt} ({n:,} values)" for c in checks for doubt, n in c.doubts.items()]
    lines = ["", "look at this first:", *doubts] if doubts else []
    for c in checks:
        lines += ["", f"{c.source}  ({c.file})", f"  {c.read:>7,} read", f"  {c.used:>7,} used"]
        lines += [f"  {n:>7,} dropped: {rule}" for rule, n in c.dropped.items()]
        lines += [f"  {n:>7,} note: {rule}" for rule, n in c.remarks.items()]
    return "\n".join(lines[1:])


def layers_table(
    layers: pd.DataFrame, summary: xr.Dataset, stocks: pd.DataFrame, drawn: dict[str, NDArray]
) -> pd.DataFrame:
    """`tables/layers.csv`: every measured layer, with k (yr⁻¹), age (yr), σ_model (‰), and, from their draws
    (layer, draw), `stock` (Mg C ha⁻¹), `ibulk`, its part that stays longer than a century, `ibulk_t100` (Mg C ha⁻¹
    yr⁻¹), and the spread `s` of log k within the layer.
    """
    columns = ["id", "lat", "lon", "biome", "top", "bottom", "year", "zone", "delta14c", "sigma"]
    s = summary
    parts = [layers[columns].reset_index(drop=True)]
    for quantity in ("k", "age"):
        parts.append(
            pd.DataFrame(
                {f"{quantity}_{key}": s[f"{quantity}_{key}"].values for key in ("mean", "median", "p025", "p975")}
            )
        )
    parts.append(stocks[["stock_source"]].reset_index(drop=True))
    parts += [summary_columns(name, drawn[name]) for name in ("stock", "ibulk", "ibulk_t100", "s")]
    modes = {"n_modes": s["n_modes"].values}
    for mode in range(s.sizes["mode"]):
        modes[f"mode{mode + 1}_age"] = 1 / s["mode_k"].values[:, mode]
        modes[f"mode{mode + 1}_probability"] = s["mode_probability"].values[:, mode]
    if "log_marginal" in s:  # of layers that were judged alone
        modes["log_marginal"] = s["log_marginal"].values
    parts.append(pd.DataFrame(modes | {name: s[name].values for name in ("model_sd", "unexplained")}))
    return pd.concat(parts, axis=1)


def root_shares_table(fractions: xr.Dataset) -> pd.DataFrame:
    """`tables/root_shares.csv`: share of each layer in root carbon, by biome."""
    rows = []
    for b, biome in enumerate(BIOMES):
        for j, layer in enumerate(fractions["layer"].values):
            summary = {f"share_{key}": float(v) for key, v in summarise(fractions["expected"].values[:, b, j]).items()}
            rows.append({"biome": biome, "biome_name": BIOMES[biome], "layer": layer} | summary)
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Mapped:
    """What the summaries say of the map.

    Attributes
    ----------
    totals : DataFrame
        `map_totals`, of members that are one map each.
    ranges : DataFrame, optional
        `map_ranges`: what the cells range over. It stands for the totals where bootstraps have stretched the members:
        what covers 95 % of single observations is no error of a whole map, and its largest members outweigh the rest.
    """

    totals: pd.DataFrame
    ranges: pd.DataFrame | None = None

    def rows(self, biome: int, layer: str, *, total: bool = False, share: bool = False) -> list[dict[str, object]]:
        """Rows of a layer of a biome (0: all); with the totals also those in Pg, and the share lost."""
        table = self.totals if self.ranges is None else self.ranges
        here = table[(table["biome"] == biome) & (table["layer"] == layer)]
        if not len(here):
            return []
        if self.ranges is not None:
            columns = ["mean", "median", "p025", "p975"]
            return [_row(r["quantity"], CELLS, FLUX, 0, dict(r[columns]), AREA) for _, r in here.iterrows()]
        found, first = [], here.iloc[0]
        for quantity in ("iroot", "ibulk", "iloss"):
            found.append(_of_table(quantity, "map, per area", FLUX, first, f"{quantity}_mg_ha"))
            if total:
                found.append(_of_table(quantity, "map, total", "Pg C yr-1", first, f"{quantity}_pg"))
        return found + ([_of_table("share", "map", "1", first, "share")] if share else [])


def summary_global(inputs: Inputs, age: NDArray, estimates: list[xr.Dataset], mapped: Mapped) -> pd.DataFrame:
    """`tables/summary_global.csv`: quantity, where, unit, n, mean, median, 95 % interval, and what it is of."""
    rows = [
        _of_sites("iroot", "NPP sites, observed", FLUX, inputs.npp["bnpp"]),
        _of_sites("f_bnpp", "NPP sites, observed", "1", inputs.npp["f_bnpp"].dropna()),
    ]
    for name, (top, bottom) in {"age 0-30 cm": (0, 30), "age 30-100 cm": (30, 100), "age 0-200 cm": (0, 200)}.items():
        draws, n = profile_mean_age(inputs.layers, age, top, bottom)
        rows.append(_of_draws(name, "Δ14C profiles", "yr", n, draws))
    bulk = numbered(estimates, 3)["ibulk"].values.sum(axis=1)
    rows.append(_of_draws("ibulk", "Δ14C profiles, observed first", FLUX, len(bulk), bulk.mean(axis=0)))
    rows.append(_of_sites("ibulk", "Δ14C profiles, observed first", FLUX, bulk.mean(axis=1)))
    rows += [
        _of_draws(q, _mean_of(estimates), unit, len(estimates), combine(estimates, q)) for q, unit in BY_BIOME.items()
    ]
    return pd.DataFrame([*rows, *mapped.rows(0, PROFILE_NAME, total=True, share=True)])


def summary_by_biome(inputs: Inputs, estimates: list[xr.Dataset], mapped: Mapped) -> pd.DataFrame:
    """`tables/summary_biome.csv`: the three fluxes and the share lost, by biome: sites (mean of the estimates that have
    any) and map.
    """
    rows = []
    for biome, name in BIOMES.items():
        at = {"biome": biome, "biome_name": name}
        observed = inputs.npp.loc[inputs.npp["biome"] == biome, "bnpp"]
        if len(observed):
            rows.append(at | _of_sites("iroot", "NPP sites, observed", FLUX, observed))
        n = sum(int((e["biome"] == biome).any()) for e in estimates)
        for quantity, unit in BY_BIOME.items():
            draws = combine(estimates, quantity, biome)
            if len(draws):
                rows.append(at | _of_draws(quantity, f"mean of {n} estimates", unit, n, draws))
        rows += [at | row for row in mapped.rows(biome, PROFILE_NAME, share=True)]
    return pd.DataFrame(rows)


def summary_by_depth(estimates: list[xr.Dataset], mapped: Mapped) -> pd.DataFrame:
    """`tables/summary_depth.csv`: the three fluxes by layer, the share lost in it, and `*_of_profile`, the layer's part
    of the profile.
    """
    rows = []
    for layer, name in enumerate(LAYER_NAMES):
        for quantity, unit in BY_BIOME.items():
            rows.append(
                {"layer": name}
                | _of_draws(
                    quantity, _mean_of(estimates), unit, len(estimates), combine(estimates, quantity, layer=layer)
                )
            )
        for quantity in ("iroot", "ibulk", "iloss"):
            part = combine(estimates, quantity, layer=layer) / combine(estimates, quantity)
            rows.append(
                {"layer": name} | _of_draws(f"{quantity}_of_profile", _mean_of(estimates), "1", len(estimates), part)
            )
        rows += [{"layer": name} | row for row in mapped.rows(0, name)]
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class PaperNumber:
    """A number of the paper with its range, as printed."""

    quantity: str
    unit: str
    value: float
    low: float = np.nan
    high: float = np.nan
    interval: str = ""


PAPER = {
    "iroot": PaperNumber("I_root, 0-200 cm, NPP sites", FLUX, 3.50, 0.09, 13.38, SITES),
    "f_bnpp": PaperNumber("f_BNPP, NPP sites", "1", 0.377, 0.076, 0.827, SITES),
    "root_top": PaperNumber("share of I_root in 0-20 cm", "1", 0.60),
    "root_top60": PaperNumber("share of I_root in 0-60 cm (paper: more than)", "1", 0.80),
    "age_top": PaperNumber("carbon age, 0-30 cm", "yr", 982),
    "age_deep": PaperNumber("carbon age, 30-100 cm", "yr", 3869),
    "age_profile": PaperNumber("carbon age, 0-200 cm", "yr", 3862),
    "ibulk": PaperNumber("I_bulk, 0-200 cm, radiocarbon profiles", FLUX, 0.60, 0.06, 3.59, SITES),
    "bulk_top": PaperNumber("share of I_bulk in 0-20 cm", "1", 0.689),
    "iloss": PaperNumber("I_loss, 0-200 cm, six estimates", FLUX, 2.31, 1.80, 3.36, AMONG),
    "share": PaperNumber("I_loss / I_root, six estimates", "1", 0.779, 0.653, 0.909, AMONG),
    "loss_top": PaperNumber("share of I_loss in 0-20 cm", "1", 0.618),
    "factor": PaperNumber("I_root / I_bulk: turnover too fast by (paper: about)", "1", 4.0),
}
"""The paper's headline numbers (abstract; Results; Supplementary Table 2 as quoted in the text)."""


def paper_comparison(
    inputs: Inputs, age: NDArray, estimates: list[xr.Dataset], scores: pd.DataFrame, fractions: xr.Dataset
) -> pd.DataFrame:
    """`tables/paper_comparison.csv`: quantity, unit, the paper's value and range, ours, what each interval is of, and a
    note of what differs.
    """
    ibulk = numbered(estimates, 3)["ibulk"].values
    ours: dict[str, tuple[float, float, float, str, str]] = {}

    def sites(key: str, values: pd.Series | NDArray, note: str) -> None:
        low, high = np.quantile(values, INTERVAL)
        ours[key] = (float(np.mean(values)), float(low), float(high), SITES, note)

    def draws(key: str, values: NDArray, note: str) -> None:
        low, high = np.quantile(values, INTERVAL)
        ours[key] = (float(np.mean(values)), float(low), float(high), POSTERIOR if low < high else "", note)

    n_npp = f"{len(inputs.npp)} sites against 725, of other compilations"
    sites("iroot", inputs.npp["bnpp"], n_npp)
    sites("f_bnpp", inputs.npp["f_bnpp"].dropna(), n_npp)
    weights = pd.Series(inputs.roots["biome"]).value_counts(normalize=True)
    shares = fractions["expected"].sel(biome=weights.index.to_numpy())
    by_profile = (
        (shares * xr.DataArray(weights.to_numpy(), dims="biome")).sum("biome").transpose("draw", "layer").values
    )
    n_roots = f"{len(inputs.roots)} root profiles against 559, biomes weighted by profiles"
    draws("root_top", by_profile[:, 0], n_roots)
    draws("root_top60", by_profile[:, :3].sum(axis=1), n_roots)
    for key, (top, bottom) in {"age_top": (0, 30), "age_deep": (30, 100), "age_profile": (0, 200)}.items():
        values, n = profile_mean_age(inputs.layers, age, top, bottom)
        kind = "point estimates" if np.ptp(values) == 0 else "mean of a skewed posterior, not of point estimates"
        draws(key, values, f"{n:,} profiles against 750; {kind}")
    n_profiles = f"{len(ibulk):,} profiles against 750; stocks of other origin"
    sites("ibulk", ibulk.sum(axis=1).mean(axis=1), n_profiles)
    bulk = ibulk.mean(axis=0, dtype=float)
    draws("bulk_top", bulk[0] / bulk.sum(axis=0), n_profiles)
    for key, quantity in {"iloss": "iloss", "share": "share"}.items():
        each = [combine([e], quantity).mean() for e in estimates]
        ours[key] = (float(np.mean(each)), float(min(each)), float(max(each)), AMONG, _mean_of(estimates))
    draws("loss_top", combine(estimates, "iloss", layer=0) / combine(estimates, "iloss"), "ratio of means")
    draws("factor", combine(estimates, "iroot") / combine(estimates, "ibulk"), "ratio of means")
    rows = []
    for key, paper in PAPER.items():
        mean, low, high, interval, note = ours[key]
        rows.append(
            {
                "quantity": paper.quantity,
                "unit": paper.unit,
                "paper": paper.value,
                "paper_low": paper.low,
                "paper_high": paper.high,
                "paper_interval": paper.interval,
                "ours": mean,
                "ours_low": low,
                "ours_high": high,
                "ours_interval": interval,
                "note": note,
            }
        )
    for target, name in {"iroot": "I_root", "ibulk": "I_bulk"}.items():
        for _, score in scores[scores["target"] == target].iterrows():
            rows.append(
                {
                    "quantity": f"R² of the forest of {name}, held-out {HELD_OUT[score['split']]}",
                    "unit": "1",
                    "paper": np.nan,
                    "ours": score["r2"],
                    "note": "the text gives no figure; log scale",
                }
            )
    return pd.DataFrame(rows)


def profile_mean_age(layers: pd.DataFrame, age: NDArray, top: float, bottom: float) -> tuple[NDArray[np.float64], int]:
    """Mean carbon age (yr) within a depth range, from that of layers, (layer, draw): mean over each profile's layers,
    weighted by the thickness inside it, then over profiles; (draw,), and how many profiles.
    """
    overlap = np.clip(np.minimum(layers["bottom"], bottom) - np.maximum(layers["top"], top), 0, None).to_numpy()
    use = overlap > 0
    profile = pd.factorize(layers["profile_index"].to_numpy()[use])[0]
    n = int(profile.max()) + 1 if use.any() else 0
    summed = np.zeros((n, age.shape[1]))
    np.add.at(summed, profile, overlap[use, None] * age[use])
    return (summed / np.bincount(profile, overlap[use], n)[:, None]).mean(axis=0), n


def _mean_of(estimates: list[xr.Dataset]) -> str:
    return f"mean of {len(estimates)} estimates"


def _of_sites(quantity: str, where: str, unit: str, values: pd.Series | NDArray) -> dict[str, object]:
    low, median, high = np.quantile(values, [INTERVAL[0], 0.5, INTERVAL[1]])
    mean = float(np.mean(values))
    return _row(quantity, where, unit, len(values), {"mean": mean, "median": median, "p025": low, "p975": high}, SITES)


def _of_draws(quantity: str, where: str, unit: str, n: int, draws: NDArray) -> dict[str, object]:
    return _row(quantity, where, unit, n, {key: float(v) for key, v in summarise(draws).items()}, POSTERIOR)


def _of_table(quantity: str, where: str, unit: str, row: pd.Series, prefix: str) -> dict[str, object]:
    return _row(
        quantity, where, unit, 0, {key: row[f"{prefix}_{key}"] for key in ("mean", "median", "p025", "p975")}, POSTERIOR
    )


def _row(quantity: str, where: str, unit: str, n: int, values: dict[str, float], interval: str) -> dict[str, object]:
    return {"quantity": quantity, "where": where, "unit": unit, "n": n or np.nan, **values, "interval": interval}
