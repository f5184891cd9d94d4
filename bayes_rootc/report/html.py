"""The report: one page that holds everything, for a scientist to send to a colleague."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from ..constants import BIOMES
from ..files import write_text
from ..methods import Entry, Number, read_figures, read_numbers, read_statements
from .abstract import sentences
from .captions import TARGETS, UNITS, interval, number, pick, posterior, staying
from .figures import save_figures, without_maps
from .results import Results
from .style import FLUX_COLOURS
from .tables import CELLS

TITLE = "How much root carbon reaches the soil"
QUANTITIES = {
    "iroot": "I_root, input from roots",
    "ibulk": "I_bulk, input to bulk soil",
    "iloss": "I_loss, lost on the way",
    "share": "I_loss / I_root",
    "f_bnpp": "f_BNPP, part of NPP below ground",
}
COVERAGE_TOLERANCE, WEAK_R2, UNEXPLAINED_SHARE = 0.03, 0.2, 0.01
"""Beyond these a verdict is not `good`."""

PREHISTORY = {
    "steady": "steady under the atmosphere of 1950 (the paper's)",
    "intcal20": "the history of IntCal20 and SHCal20 from 55,000 years BP",
}


@dataclass(frozen=True)
class Head:
    """A column's head; numbers are set flush right, wide columns do not collapse on a phone."""

    text: str
    number: bool = False
    wide: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell as printed, with a smaller line under it."""

    text: str
    under: str = ""


class Row:
    """Cells as printed; `part` rows belong to the row above them."""

    def __init__(self, cells: Iterable[str | Cell], *, part: bool = False):
        self.cells = [Cell(c) if isinstance(c, str) else c for c in cells]
        self.part = part


@dataclass(frozen=True)
class Table:
    """A table as printed."""

    head: list[Head]
    rows: list[Row]
    caption: str = ""


def write_report(out: Path, data: Path | None = None) -> Path:
    """Plots the figures and writes `report.html` next to them.

    Parameters
    ----------
    out : Path
        Folder of a finished run.
    data : Path, optional
        Data folder, for land and atmosphere; by default where the run had it.

    Raises
    ------
    InputError
        A file of the run, or its data folder, is missing or not readable.
    """
    results = Results.read(out, data=data)
    try:
        page = render(results, save_figures(results))
    finally:
        results.close()
    path = results.out / "report.html"
    write_text(path, page)
    return path


def render(results: Results, figures: Iterable[tuple[Path, str, str]]) -> str:
    """The page as text. Everything from the tables is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["printed"] = printed
    template = environment.from_string(files("bayes_rootc.report").joinpath("report.html").read_text(encoding="utf-8"))
    run = results.run
    settings = run["settings"]
    return template.render(
        title=TITLE,
        simulated=results.simulated,
        abstract=" ".join(sentences(results)),
        cards=list(_cards(results)),
        fluxes=_fluxes(results),
        biomes=_biomes(results),
        letters=_letters(results),
        biome_letters=_biome_letters(results) if results.has("biome_letters") else None,
        factors=_factors(results),
        ladder=_ladder(results) if results.has("ladder") else None,
        explorer="explorer/index.html" if (results.out / "explorer" / "index.html").is_file() else "",
        figures=[_embedded(path, title, text) for path, title, text in figures],
        without_maps=without_maps(results),
        paper=_paper(results),
        statements=_statement_by_statement(results) if settings.get("preset") == "paper" else [],
        checks=_checks(results),
        verdicts=list(_verdicts(results)),
        diagnostics=_diagnostics(results.table("diagnostics")),
        scores=_scores(results),
        means=_means(results) if results.has("natural_scale") else None,
        turnover=_turnover(results),
        stocks=_stocks(results),
        prehistory=PREHISTORY.get(settings["prehistory"], settings["prehistory"]),
        prior=_prior(settings),
        other_stocks=_other_stocks(settings),
        elsewhere=_elsewhere(settings),
        members=number(settings["members"], 6),
        command=_command(settings),
        seed=run["seed"],
        atmosphere=run.get("atmosphere", ""),
        machine=f"Peak memory {number(run['peak_memory_gib'])} GiB." if run.get("peak_memory_gib") else "",
        seconds=_seconds(run.get("seconds", {})),
        settings=json.dumps({k: _folder(k, v) for k, v in settings.items()}, indent=1, ensure_ascii=False),
        versions=Table([Head("package"), Head("version")], [Row([k, str(v)]) for k, v in run["versions"].items()]),
        checksums=Table([Head("file"), Head("SHA-256")], [Row([k, str(v)]) for k, v in run["input_sha256"].items()]),
        version=run["versions"].get("bayes-rootc", ""),
    )


def printed(text: object) -> Markup:
    """Symbols of the tables as they are printed, with everything else escaped.

    Examples
    --------
    >>> print(printed("I_loss of <b>, Δ14C"))
    <i>I</i><sub>loss</sub> of &lt;b&gt;, Δ<sup>14</sup>C
    """
    safe = re.sub(r"\b([If])_(root|bulk|loss|BNPP)\b", r"<i>\1</i><sub>\2</sub>", str(escape(text)))
    return Markup(safe.replace("Δ14C", "Δ<sup>14</sup>C"))


def _embedded(path: Path, title: str, text: str) -> dict[str, object]:
    data = path.read_bytes()
    width, height = struct.unpack(">II", data[16:24])  # of a PNG's header: the browser keeps the place free
    return {
        "id": path.stem,
        "title": title,
        "caption": text,
        "data": base64.b64encode(data).decode(),
        "width": width,
        "height": height,
    }


def _cards(results: Results) -> Iterable[dict[str, str]]:
    """The numbers that a reader should take away: first the one that the data decide."""
    yield from _staying_cards(results)
    summary = results.table("summary_global")
    wanted = (
        ("share", "mean of", "Share of root carbon lost", "mean of the estimates at sites"),
        ("share", "map", "Share of root carbon lost", "map"),
        ("iloss", "map, total", "I_loss of all mapped land", "map, 0–200 cm"),
        ("iroot", "map, per area", "I_root", "map, per area"),
        ("ibulk", "map, per area", "I_bulk", "map, per area"),
        *(
            (flux, CELLS, f"I_{flux[1:]}", "cells of the map, 95 % of their area")
            for flux in ("iloss", "iroot", "ibulk")
        ),
    )
    for quantity, where, name, of in wanted:
        row = pick(summary, quantity=quantity, where=where)
        if row is None:
            continue
        percent = quantity == "share"
        factor, unit = (100, "%") if percent else (1, UNITS.get(str(row["unit"]), str(row["unit"])))
        low, high = factor * row["p025"], factor * row["p975"]
        yield {
            "name": name,
            "value": number(factor * row["median"]),
            "unit": unit,
            "range": f"95 %: {number(low)} to {number(high)}" if low < high else "a value without an error",
            "of": of,
            "tone": FLUX_COLOURS["iloss" if percent else quantity],
        }


def _staying_cards(results: Results) -> Iterable[dict[str, str]]:
    """What stays a century, which hardly depends on the rates within a layer, and what enters in the paper's
    definition.
    """
    if not results.has("persistence", "transit_times"):
        return
    run = results.table("transit_times")["family"].iloc[0]
    families = results.table("persistence")["family"].unique()
    for family, years, name, of in (
        (run, 100, "Root carbon that stays in bulk soil longer than a century", f"{run} rates, at radiocarbon sites"),
        ("one pool", 0, "Root carbon that enters bulk soil", "in the paper's definition: one pool a layer"),
    ):
        if family in families:
            row = staying(results, family, years)
            middle, high, low = (100 * (1 - row[f"share_{key}"]) for key in ("median", "p025", "p975"))
            yield {
                "name": name,
                "value": number(middle),
                "unit": "%",
                "range": f"95 %: {number(low)} to {number(high)}",
                "of": of,
                "tone": FLUX_COLOURS["ibulk"],
            }


def _fluxes(results: Results) -> Table:
    rows = []
    for _, r in results.table("summary_global").iterrows():
        percent = r["quantity"] in ("share", "f_bnpp")
        name = QUANTITIES.get(r["quantity"], f"carbon {r['quantity']}".replace("-", "–"))
        count = f", n = {number(r['n'], 6)}" if number(r["n"]) != "–" else ""
        unit = UNITS.get(str(r["unit"]), str(r["unit"]))
        mean = number(100 * r["mean"]) + " %" if percent else number(r["mean"])
        of = f"; {r['interval']}" if r["p025"] < r["p975"] else ""
        value = Cell(posterior(r, percent=percent), f"{unit}{of}".removeprefix("; "))
        rows.append(Row([Cell(name, f"{r['where']}{count}"), value, mean]))
    head = [Head("quantity", wide=True), Head("median (95 %)", wide=True), Head("mean", True)]
    return Table(head, rows, "The world")


def _biomes(results: Results) -> Table:
    summary = results.table("summary_biome")
    mapped = summary[summary["where"].str.startswith("map")]
    quantities = [q for q in ("iroot", "ibulk", "iloss", "share") if pick(mapped, quantity=q) is not None]
    rows = []
    for biome, name in BIOMES.items():
        found = {q: pick(mapped, biome=biome, quantity=q) for q in quantities}
        if any(row is not None for row in found.values()):
            cells = ["–" if r is None else posterior(r, percent=q == "share") for q, r in found.items()]
            rows.append(Row([name, *cells]))
    head = [Head("biome", wide=True), *(Head(QUANTITIES[q].split(",")[0], True) for q in quantities)]
    of = ", ".join(mapped["interval"].unique())
    return Table(head, rows, f"By biome, map, 0–200 cm: median ({of}), Mg C ha⁻¹ yr⁻¹")


def _letters(results: Results) -> Table:
    tested = results.has("biome_letters")
    middle = "mean" if tested else "median"  # the bounds of a test are of the mean
    rows = []
    for among, part in results.table("iloss_letters").groupby("among", sort=False):
        for _, r in part.iterrows():
            name = f"estimate {r['name']}" if among == "estimates" else str(r["name"])
            name = f"{name.replace('-', '–')} cm" if among == "layers" else name
            value = interval(*(r[f"iloss_{key}"] for key in (middle, "p025", "p975")))
            rows.append(Row([name, value, str(r["letters"])]))
    head = [Head("mean I_loss at sites of", wide=True), Head(f"{middle} (95 %)", True), Head("letters")]
    caption = (
        "Which means differ, Mg C ha⁻¹ yr⁻¹. Among estimates, among biomes and among layers, two that share a letter "
    )
    if tested:
        caption += f"do not differ: {TEST}. Intervals are of the mean over sites"
    else:
        caption += (
            "cannot be distinguished with 97.5 % probability; "
            "what they have in common cancels, so intervals may overlap"
        )
    return Table(head, rows, caption)


TEST = "P < 0.05 by Welch's t over sites, all pairs by Holm's rule"


def _biome_letters(results: Results) -> Table:
    """Means of the paper's Figs. 1 and 3 with their letters, where they were tested."""
    table = results.table("biome_letters")
    quantities = list(dict.fromkeys(table["quantity"]))
    rows = []
    for biome in BIOMES.values():
        cells = []
        for quantity in quantities:
            row = pick(table, quantity=quantity, name=biome)
            percent = quantity == "f_bnpp"
            cells.append("–" if row is None else _lettered(row, percent=percent))
        rows.append(Row([biome, *cells]))
    head = [Head("biome", wide=True), *(Head(QUANTITIES[q].split(",")[0], True) for q in quantities)]
    caption = (
        "Means over sites, Mg C ha⁻¹ yr⁻¹. In a column two biomes that share a capital letter, and in a biome I_root "
        f"and I_bulk that share a lower-case one, do not differ: {TEST}"
    )
    return Table(head, rows, caption)


def _lettered(row: pd.Series, *, percent: bool) -> Cell:
    mean = number(100 * row["mean"]) + " %" if percent else number(row["mean"])
    letters = f"{_text(row['letters'])}{' ' + _text(row['lowercase']) if _text(row['lowercase']) else ''}"
    return Cell(mean, f"{letters}, n = {number(row['n'], 6)}")


def _factors(results: Results) -> Table:
    table = results.table("turnover_factor")
    spread = bool((table["factor_p025"] < table["factor_p975"]).any())  # a value without an error has no probability
    rows = []
    for _, r in table.iterrows():
        name = f"{str(r['name']).replace('-', '–')} cm" if r["group"] == "layer" else str(r["name"])
        above = [number(100 * r[f"probability_above_{limit}"]) + " %" for limit in (1, 2, 4) if spread]
        rows.append(Row([name, posterior(r, "factor_"), *above]))
    head = [Head("sites of", wide=True), Head("I_root / I_bulk", True)]
    caption = "How many times too fast turnover is judged if all of I_root is taken to enter bulk soil"
    if spread:
        head += [Head(f"> {limit}", True) for limit in (1, 2, 4)]
        caption += ", and the probability that it is more than 1, 2 and the paper's 4 times"
    return Table(head, rows, caption)


def _paper(results: Results) -> Table:
    rows = []
    for _, r in results.table("paper_comparison").iterrows():
        percent = r["unit"] == "1" and not str(r["quantity"]).startswith(("I_root / I_bulk", "R²"))
        factor, unit = (100, "%") if percent else (1, UNITS.get(str(r["unit"]), str(r["unit"])))
        paper, low, high = (_as_printed(factor * r[f"paper{end}"]) for end in ("", "_low", "_high"))
        theirs = f"{paper} ({low} to {high})" if "–" not in (low, high) else paper
        ours = interval(*(factor * r[f"ours{end}"] for end in ("", "_low", "_high")))
        quantity = Cell(re.sub(r"(\d)-(\d)", r"\1–\2", str(r["quantity"])), unit)
        kinds = [_text(r[c]) for c in ("paper_interval", "ours_interval")]
        rows.append(Row([quantity, Cell(theirs, kinds[0]), Cell(ours, kinds[1]), _text(r["note"])]))
    return Table([Head(text, wide=True) for text in ("quantity", "paper", "ours (mean)", "what differs")], rows)


def _statement_by_statement(results: Results) -> list[tuple[str, Table]]:
    """What became of the paper's statements, figures and numbers, each with a line that sums it up."""
    statements, figures, numbers = read_statements(), read_figures(), read_numbers()
    rows = [Row([Cell(s.says, s.section), Cell(s.status, s.why), ", ".join(s.where)]) for s in statements]
    drawn = [
        Row([Cell(f.name, f.shows), Cell(f.status, f.why), Cell(", ".join(f.where), ", ".join(f.tables))])
        for f in figures
    ]
    compared = [
        Row([
            Cell(n.says, n.place),
            f"{n.value} {n.unit}".strip(),
            _ours(results, n),
            Cell(n.status, n.why),
            n.cell or ", ".join(n.where),
        ])
        for n in numbers
    ]  # fmt: skip
    here, where = Head("here", wide=True), Head("where", wide=True)
    values = [Head(text, wide=True) for text in ("number", "paper", "this run")]
    return [
        (_counted("statements of the Methods", statements), Table([Head("statement", wide=True), here, where], rows)),
        (_counted("figures", figures), Table([Head("figure", wide=True), here, where], drawn)),
        (_counted("numbers of the text", numbers), Table([*values, here, where], compared)),
    ]


def _counted(what: str, entries: Sequence[Entry]) -> str:
    """`42 statements of the Methods: 17 done, 23 otherwise, 2 not possible`."""
    counts = Counter(entry.status for entry in entries)
    found = ", ".join(f"{counts[s]} {s}" for s in ("done", "otherwise", "not possible") if counts[s])
    return f"{len(entries)} {what}: {found}"


def _ours(results: Results, wanted: Number) -> str:
    """This run's value of a number of the paper; a dash where there is none."""
    values = wanted.ours(results.table(wanted.table)) if wanted.table and results.has(wanted.table) else None
    if values is None:
        return "–"
    return interval(*values) if len(values) > 1 else number(values[0], 9 if values[0].is_integer() else 3)  # a count


def _as_printed(value: float) -> str:
    """A number of the paper, with the digits that it has there."""
    return number(value) if pd.isna(value) else f"{value:,.6g}"


def _checks(results: Results) -> Table:
    rows = []
    for (source, _), part in results.table("checks").groupby(["source", "file"], sort=False):
        read, used = (int(part.loc[part["what"] == w, "rows"].sum()) for w in ("read", "used"))
        name = PurePath(str(part["file"].iloc[0])).name
        rows.append(Row([f"{source}: {name}", number(read, 9), number(used, 9)]))
        for _, r in part[part["what"].isin(["dropped", "remark"])].iterrows():
            rows.append(
                Row(
                    [f"{'dropped' if r['what'] == 'dropped' else 'note'}: {r['rule']}", number(r["rows"], 9), ""],
                    part=True,
                )
            )
    return Table([Head("source and rule", wide=True), Head("rows", True), Head("used", True)], rows)


def _verdicts(results: Results) -> Iterable[dict[str, str]]:
    """What a reader may rely on, and what not."""
    fits = results.table("diagnostics")
    bad = fits[fits["verdict"] != "good"]
    text = "sampled fits (R-hat, effective sample size, divergences, energy): " + ", ".join(fits["fit"].astype(str))
    yield _verdict("bad" if len(bad) else "", text + (f"; not {', '.join(bad['fit'].astype(str))}" if len(bad) else ""))
    regions = results.map_forest_scores
    regions = regions[regions["split"] == "spatial"]
    named = [TARGETS.get(str(t), str(t)) for t in regions["target"]]
    covered = ", ".join(f"{t} {100 * c:.0f} %" for t, c in zip(named, regions["coverage95"], strict=True))
    far = (regions["coverage95"] - 0.95).abs() > COVERAGE_TOLERANCE
    yield _verdict("bad" if far.any() else "", f"95 % intervals in regions that were held out cover: {covered}")
    weak = [f"{t} (R² {number(r, 2)})" for t, r in zip(named, regions["r2"], strict=True) if r < WEAK_R2]
    if weak:
        text = (
            "hardly better than their mean in regions that were held out, so that their maps show a level more than a"
        )
        yield _verdict("caution", f"{text} pattern: {', '.join(weak)}")
    layers = results.table("layers")
    share = float(layers["unexplained"].mean())
    text = f"layers whose radiocarbon no decay rate explains within three standard deviations: {100 * share:.2g} %"
    yield _verdict("caution" if share > UNEXPLAINED_SHARE else "", text)


def _verdict(tone: str, text: str) -> dict[str, str]:
    return {"tone": tone, "word": {"": "good", "caution": "caution", "bad": "do not trust"}[tone], "text": text}


def _diagnostics(table: pd.DataFrame) -> Table:
    columns = {
        "fit": "fit",
        "r_hat_max": "largest R-hat",
        "ess_bulk_min": "smallest ESS, bulk",
        "ess_tail_min": "smallest ESS, tail",
        "divergences": "divergences",
        "e_bfmi_min": "smallest E-BFMI",
        "verdict": "verdict",
    }
    head = [Head(text, number=name not in ("fit", "verdict")) for name, text in columns.items()]
    rows = [
        Row([str(r[c]) if c in ("fit", "verdict") else number(r[c], 4) for c in columns]) for _, r in table.iterrows()
    ]
    return Table(head, rows, "Sampling")


def _scores(results: Results) -> Table:
    columns = {"r2": "R²", "rmse": "RMSE", "bias": "bias", "crps": "CRPS", "coverage95": "coverage of 95 %", "n": "n"}
    head = [Head("target"), Head("learner"), Head("held out"), *(Head(text, True) for text in columns.values())]
    rows = []
    for _, r in results.table("learners").iterrows():
        cells = [
            TARGETS.get(str(r["target"]), str(r["target"])),
            str(r["learner"]),
            {"site": "sites", "spatial": "regions"}.get(r["split"], r["split"]),
        ]
        rows.append(Row(cells + [number(r[c], 6 if c == "n" else 3) for c in columns]))
    return Table(head, rows, "Learners on held-out data (log scale; f_BNPP: log odds)")


def _ladder(results: Results) -> Table:
    head = [Head("way to count", wide=True), Head("share lost, %", True), Head("I_bulk", True), Head("I_root", True)]
    rows = []
    for _, r in results.table("ladder").iterrows():
        against = f"{100 * r['change']:+.0f} points from {r['compared_with']}: " if pd.notna(r["change"]) else ""
        what = Cell(f"{r['rung']}. {r['what']}", f"{against}{r['why']}")
        found = (posterior(r, f"{q}_", percent=q == "share") for q in ("share", "ibulk", "iroot"))
        rows.append(Row([what, *found]))
    return Table(head, rows, "The share lost under choices that the data do not make, 0–200 cm, Mg C ha⁻¹ yr⁻¹")


def _means(results: Results) -> Table:
    head = [Head("flux"), Head("class"), Head("sites", True), Head("as predicted", True), Head("corrected", True)]
    table = results.table("natural_scale")
    rows = [
        Row(
            [
                TARGETS.get(str(r["target"]), str(r["target"])),
                str(r["class"]) + (" cm" if str(r["group"]).startswith("depth") else ""),
                number(r["sites"], 6),
                number(r["ratio_uncorrected"]),
                f"{number(r['ratio'])} ({number(r['ratio_p025'])}–{number(r['ratio_p975'])})",
            ]
        )
        for _, r in table[table["split"] == "spatial"].iterrows()
    ]
    return Table(head, rows, "Means in regions that were held out: predicted over observed, Mg C ha⁻¹ yr⁻¹")


def _turnover(results: Results) -> Table:
    if results.run["settings"].get("turnover_prior") in ("weak", "point"):
        return Table([], [])
    table = results.table("turnover_population")
    shown = table[~table["parameter"].str.contains("offset")]  # those by biome are in a figure
    rows = [
        Row(
            [
                str(r["parameter"]),
                str(r["meaning"]),
                number(r["mean"]),
                f"{number(r['p025'])} to {number(r['p975'])}",
                UNITS.get(str(r["unit"]), str(r["unit"])),
            ]
        )
        for _, r in shown.iterrows()
    ]
    head = [Head("parameter"), Head("meaning", wide=True), Head("mean", True), Head("95 %", True), Head("unit")]
    return Table(head, rows, "Population of decay rates")


def _stocks(results: Results) -> Table:
    rows = [
        Row(
            [
                str(r["name"]),
                number(r["layers"], 6),
                number(r["compared"], 6),
                number(r["log_bias"]),
                number(r["log_sd"]),
            ]
        )
        for _, r in results.table("stock_sources").iterrows()
    ]
    head = [Head("stock"), Head("layers", True), Head("compared with measured", True), Head("log bias", True)]
    return Table([*head, Head("log sd", True)], rows, "Carbon stocks that were not measured in the layer")


def _prior(settings: dict[str, object]) -> str:
    if settings.get("turnover_prior") == "point":
        return "k is the slowest that gives the measured value, without an error, as in the paper."
    if settings.get("turnover_prior") == "weak":
        age, spread = number(settings["prior_median_age"]), number(settings["prior_log_sd"])
        return f"The prior of k is weak: median age {age} yr, standard deviation {spread} in log k."
    text = "k is judged from all layers together: by depth, biome, soil, climate, topography and profile"
    robust = "heavy-tailed (Student's t)" if settings.get("turnover_error") == "student" else "Normal"
    return f"{text}; errors about the one-pool model are {robust}."


def _other_stocks(settings: dict[str, object]) -> str:
    if settings.get("gridded_stocks") == "soil_map":
        return "that of the soil map at the site, as it is"
    if settings.get("gridded_stocks") == "model":
        return "predicted from gridded stocks, depth and biome by the model that measured stocks are fitted with"
    return "gridded, with the error of the latter estimated where both are known"


def _elsewhere(settings: dict[str, object]) -> str:
    """What predicts at sites, and what the spread of the forests is stretched by."""
    bootstraps = settings.get("tau_bootstraps")
    text = "The spread is stretched until 95 % intervals cover 95 % of the observations "
    text += f"that {number(bootstraps, 6)} bootstraps left out. " if bootstraps else "in regions that were held out. "
    if settings.get("site_predictions") == "ensemble":
        text += "At sites the ensemble of the three best of five learners predicts, without an error."
    return text


def _command(settings: dict[str, object]) -> str:
    data = f" --data {_folder('data', settings['data'])}" if settings.get("data") else ""
    quick = " --quick" if settings.get("quick") else ""
    preset = f" --preset {settings['preset']}" if settings.get("preset") else ""
    return f"bayes-rootc run{preset}{data}{quick} --seed {settings['seed']}"


def _folder(key: str, value: object) -> object:
    """A folder by its name alone: where it lay on one computer helps nobody else."""
    return PurePath(str(value)).name if key in ("data", "out") and value else value


def _seconds(seconds: dict[str, float]) -> Table:
    rows = [Row([name, number(value)]) for name, value in seconds.items()]
    if rows:
        rows.append(Row(["together", number(sum(seconds.values()))]))
    return Table([Head("stage"), Head("seconds", True)], rows, "Time")


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
