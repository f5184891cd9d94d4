"""`python tools/run_page.py OUT`: the page of the documentation on a run of the public data, from the run's tables.

Every number of `docs/run.md` is from them: the page is made again after each run that it should tell of, and never
edited.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from bayes_rootc.constants import BIOMES, LAYER_NAMES, PROFILE_NAME
from bayes_rootc.report.abstract import sentences
from bayes_rootc.report.captions import number, posterior
from bayes_rootc.report.results import Results

PAGE = Path(__file__).parents[1] / "docs" / "run.md"
FLUX = "Mg C ha⁻¹ yr⁻¹"
GLOBAL = "global"


def main() -> None:
    results = Results.read(Path(sys.argv[1]))
    if results.simulated:
        raise SystemExit("a run of the demo world is not one of the public data")
    PAGE.write_text("\n".join(page(results)) + "\n", encoding="utf-8")


def page(results: Results) -> Iterator[str]:
    """Lines of the page."""
    run = results.run
    settings = run["settings"]
    yield "# Results and validation on public data\n"
    yield (
        f"This page is made from the tables of one run with the default settings (seed {run['seed']}, "
        f"{settings['members']} members, commit {str(run['commit'])[:10]}); `python tools/run_page.py OUT` makes it "
        "again. Brackets are 95 % intervals. What takes more than a run, such as fits without some of the studies, is "
        "among [further checks](results.md).\n"
    )
    yield "## In five sentences\n"
    yield " ".join(sentences(results)) + "\n"
    yield "## How much stays\n"
    yield (
        f"Input to bulk soil that stays longer than some years, {FLUX}, as a mean over radiocarbon profiles "
        "(`persistence.csv`):\n"
    )
    yield from _persistence(results.table("persistence"))
    yield "What stays for a century with the first of these families, by biome and by depth:\n"
    yield from _century(results.table("persistence"))
    yield "## How old it is\n"
    yield (
        "Mean age of all carbon, and its mean transit time, yr, over radiocarbon profiles (`transit_times.csv`); both "
        "are conditional on the family:\n"
    )
    yield from _ages(results.table("transit_times"))
    yield "## What the share lost hangs on\n"
    yield "0–200 cm, mean radiocarbon profile (`ladder.csv`). Each rung differs from another one in one thing:\n"
    yield from table(
        ("way to count", "share lost", f"I_bulk, {FLUX}", "differs from", "why"),
        (
            (
                r["what"],
                _share(r),
                posterior(r, "ibulk_"),
                _text(r["compared_with"]),
                r["why"],
            )
            for _, r in results.table("ladder").iterrows()
        ),
    )
    yield "## The six estimates\n"
    yield "The paper's definition of I_bulk, 0–200 cm, means over the sites (`iloss_estimates.csv`):\n"
    estimates = results.table("iloss_estimates")
    estimates = estimates[(estimates["biome"] == 0) & (estimates["layer"] == PROFILE_NAME)]
    yield from table(
        ("estimate", "sites", f"I_root, {FLUX}", f"I_bulk, {FLUX}", "share lost"),
        (
            (r["estimate"], f"{r['n']:,} {r['sites']}", *(posterior(r, f"{f}_") for f in ("iroot", "ibulk")),
             _share(r))
            for _, r in estimates.iterrows()
        ),
    )  # fmt: skip
    yield "## Totals\n"
    yield f"All mapped land, 0–200 cm, at {settings['resolution']:g}° (`map_totals.csv`), Pg C yr⁻¹:\n"
    totals = results.table("map_totals")
    totals = totals[totals["layer"] == PROFILE_NAME]
    yield from table(
        ("", "area, Mha", "I_root", "I_bulk", "I_loss", "share lost"),
        (
            (_name(r), number(r["area_mha"]), *(posterior(r, f"{f}_pg_") for f in ("iroot", "ibulk", "iloss")),
             _share(r))
            for _, r in totals.iterrows()
        ),
    )  # fmt: skip
    yield "## Means on the natural scale\n"
    yield (
        "Predicted over observed means in held-out regions, as the forests predict them and with the factors that the "
        "other folds ask for (`natural_scale.csv`); the interval is over resampled sites:\n"
    )
    natural = results.table("natural_scale")
    natural = natural[natural["split"] == "spatial"]
    yield from table(
        ("", "records", "forest", "corrected"),
        (
            (f"{TARGETS[r['target']]}, {r['class']}{' cm' * r['group'].startswith('depth')}", r["n"],
             f"{r['ratio_uncorrected']:.2f}", f"{r['ratio']:.2f} ({r['ratio_p025']:.2f} to {r['ratio_p975']:.2f})")
            for _, r in natural.iterrows()
        ),
    )  # fmt: skip
    staying = results.table("persistence_learners").set_index("target")
    if "ibulk_t100" in staying.index and pd.notna(staying.loc["ibulk_t100", "ratio"]):
        before, after = (staying.loc["ibulk_t100", name] for name in ("ratio_uncorrected", "ratio"))
        yield f"Of the input that stays longer than a century, all layers: {before:.2f}, and {after:.2f} corrected.\n"
    yield "## Radiocarbon replicated by the fit\n"
    yield (
        "Replicates of each layer, taken as one pool, against what was measured (`turnover_ppc.csv`). A layer was "
        "fitted to the value that it is compared with, so shares inside are too high by construction; a bias would "
        "show:\n"
    )
    yield from table(
        ("", "layers", "profiles", "inside 95 %", "mean PIT", "bias of the mean, ‰"),
        (
            (_class(r), f"{r['layers']:,}", f"{r['profiles']:,}", f"{100 * r['coverage95']:.1f} %",
             f"{r['pit_mean']:.2f}", number(r["bias"], 2))
            for _, r in results.table("turnover_ppc").iterrows()
        ),
    )  # fmt: skip
    yield "## Forests on held-out places\n"
    yield "On the scale on which they learn (`learners.csv`):\n"
    learners = results.table("learners")
    learners = learners[learners["learner"] == "map forest"]
    yield from table(
        ("", "left out", "R²", "CRPS", "inside 95 %"),
        (
            (TARGETS[r["target"]], {"site": "sites", "spatial": "regions"}[r["split"]], f"{r['r2']:.2f}",
             f"{r['crps']:.3f}", f"{100 * r['coverage95']:.1f} %")
            for _, r in learners.iterrows()
        ),
    )  # fmt: skip
    stays = results.table("persistence_learners")
    yield "Maps of how long carbon stays, in regions that were left out (`persistence_learners.csv`):\n"
    yield from table(
        ("", "R²", "CRPS", "inside 95 %"),
        (
            (r["target"].replace("_", " "), f"{r['r2']:.2f}", f"{r['crps']:.3f}", f"{100 * r['coverage95']:.1f} %")
            for _, r in stays.iterrows()
        ),
    )
    yield "## The paper's numbers beside these\n"
    yield "Whatever the paper's text says that a run also has (`paper_comparison.csv`):\n"
    yield from table(
        ("", "paper", "here", "interval", "note"),
        (
            (f"{r['quantity']}{', ' + r['unit'] if r['unit'] != '1' else ''}", _span(r, "paper"), _span(r, "ours"),
             _text(r["ours_interval"]), _text(r["note"]))
            for _, r in results.table("paper_comparison").iterrows()
        ),
    )  # fmt: skip
    yield "## Can the fits be trusted?\n"
    yield from table(
        ("fit", "R-hat, at most", "effective draws, at least", "divergences", "verdict"),
        (
            (r["fit"], f"{r['r_hat_max']:.3f}", f"{min(r['ess_bulk_min'], r['ess_tail_min']):,.0f}", r["divergences"],
             r["verdict"])
            for _, r in results.table("diagnostics").iterrows()
        ),
    )  # fmt: skip


TARGETS = {"iroot": "I_root", "ibulk": "I_bulk", "f_bnpp": "f_BNPP"}


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Lines of a table."""
    head = list(head)
    for cells in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(str(cell) for cell in cells) + " |"
    yield ""


def _persistence(rows: pd.DataFrame) -> Iterator[str]:
    here = rows[(rows["estimate"] == "mean") & (rows["biome"] == 0) & (rows["layer"] == PROFILE_NAME)]
    years = sorted(here["t_years"].unique())
    first = here.iloc[0]
    yield from table(
        ("stays longer than, yr", *(f"{t:g}" for t in years)),
        (
            (family, *(posterior(r, "ibulk_") for _, r in of.sort_values("t_years").iterrows()))
            for family, of in here.groupby("family", sort=False)
        ),
    )
    yield f"I_root of these {first['n']:,} profiles is {posterior(first, 'iroot_')}.\n"


def _century(rows: pd.DataFrame) -> Iterator[str]:
    of = rows[(rows["family"] == rows["family"].iloc[0]) & (rows["estimate"] == "mean") & (rows["t_years"] == 100)]
    places = [(_name(r), r) for _, r in of[of["layer"] == PROFILE_NAME].iterrows()]
    world = of[of["biome"] == 0].set_index("layer")
    places += [(f"{layer.replace('-', '–')} cm", world.loc[layer]) for layer in LAYER_NAMES]
    yield from table(
        ("", "profiles", f"I_root, {FLUX}", f"stays a century, {FLUX}", "does not stay"),
        ((name, f"{r['n']:,}", posterior(r, "iroot_"), posterior(r, "ibulk_"), _share(r)) for name, r in places),
    )


def _ages(rows: pd.DataFrame) -> Iterator[str]:
    families = list(rows["family"].unique())
    found = rows.set_index(["family", "biome", "layer"])
    of_first = rows[rows["family"] == families[0]]
    places = [(_name(r), r) for _, r in of_first[of_first["layer"] == PROFILE_NAME].iterrows()]
    world = of_first[of_first["biome"] == 0].set_index("layer")
    places += [(f"{layer.replace('-', '–')} cm", world.loc[layer].copy()) for layer in LAYER_NAMES]

    def cells(name: str, row: pd.Series) -> Iterator[str]:
        layer = row["layer"] if "layer" in row else row.name
        yield from (name, f"{row['n']:,}")
        for family in families:
            here = found.loc[(family, row["biome"], layer)]
            yield from (posterior(here, "age_"), posterior(here, "transit_time_"))

    head = [f"{quantity}, {family}" for family in families for quantity in ("age", "transit time")]
    yield from table(("", "profiles", *head), (cells(name, row) for name, row in places))


def _class(row: pd.Series) -> str:
    return f"{row['class']} cm" if str(row["group"]).startswith("depth") else str(row["class"])


def _span(row: pd.Series, name: str) -> str:
    if pd.isna(row[name]):
        return ""
    middle, low, high = (row[key] for key in (name, f"{name}_low", f"{name}_high"))
    return number(middle) + (f" ({number(low)} to {number(high)})" if pd.notna(low) else "")


def _share(row: pd.Series) -> str:
    return posterior(row, "share_", percent=True)


def _name(row: pd.Series) -> str:
    return "all" if row["biome_name"] == GLOBAL else BIOMES[int(row["biome"])]


def _text(value: object) -> str:
    return str(value) if pd.notna(value) else ""


if __name__ == "__main__":
    main()
