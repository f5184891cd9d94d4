"""The report: complete in itself, honest about simulated data, and safe whatever the tables hold."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from bayes_rootc.errors import InputError
from bayes_rootc.methods import read_figures, read_numbers, read_statements
from bayes_rootc.report.abstract import sentences
from bayes_rootc.report.captions import number, staying
from bayes_rootc.report.html import printed, render, write_report
from bayes_rootc.report.results import Results
from bayes_rootc.report.style import new_figure

from .conftest import HOSTILE

BANNER = "SIMULATED DATA: the demo world — these numbers say nothing about the Earth"


class Page(HTMLParser):
    """Collects what a browser would fetch, and the text it would show."""

    def __init__(self, text: str):
        super().__init__()
        self.references: list[str] = []
        self.tags: list[str] = []
        self.shown = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data):
        self.shown += data


def page_of(folder) -> str:
    """The page with one small figure."""
    path = folder / "figure.png"
    new_figure(0.5, 0.5).savefig(path)
    return render(Results.read(folder), [(path, "A figure", "Its caption.")])


def change_run(folder, **changes) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")


def test_the_report_is_complete_in_itself(reported):
    text = (reported / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    images = [r for r in page.references if r.startswith("data:image/png;base64,")]
    assert len(images) == page.tags.count("img") == len(list((reported / "figures").glob("*.png")))
    assert all(r.startswith(("data:", "#")) for r in page.references)
    assert not re.search(r"https?://|@import|url\(", text)
    assert not {"script", "iframe", "object"} & set(page.tags)
    assert '<meta name="viewport"' in text
    assert not list(reported.rglob(".*"))


def test_the_banner_is_there_exactly_when_the_data_are_simulated(finished):
    assert "SIMULATED" not in page_of(finished)
    change_run(finished, simulated=True)
    text = page_of(finished)
    assert BANNER in text and text.index(BANNER) < text.index("<h1>")


def test_what_the_tables_hold_is_escaped(finished):
    text = page_of(finished)
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text


def test_headline_numbers_come_from_the_tables(finished):
    shown = re.sub(r"\s+", " ", Page(page_of(finished)).shown)
    assert "95 %: 56.0 to 91.0" in shown  # of a share of 0.7
    assert "77.9 (65.3 to 90.9)" in shown and "3,869" in shown  # the paper's, with the paper's digits
    assert "israd.csv" in shown and "/somewhere" not in shown
    assert "nan" not in shown.lower().split()


def test_the_paper_is_gone_through_where_a_run_follows_it(finished):
    path = finished / "tables" / "paper_comparison.csv"
    (loss,) = (n for n in read_numbers() if n.says == "I_loss / I_root, mean and range of the six estimates")
    pd.read_csv(path).replace("I_loss / I_root", loss.row["quantity"]).to_csv(path, index=False)
    before = page_of(finished)
    assert "The paper, statement by statement" in before and "--preset paper" in before
    settings = json.loads((finished / "run.json").read_text(encoding="utf-8"))["settings"]
    change_run(finished, settings=settings | {"preset": "paper"})
    text = page_of(finished)
    shown = re.sub(r"\s+", " ", Page(text).shown)
    for entry in (*read_statements(), *read_figures(), *read_numbers()):
        for said in filter(None, (entry.why, *entry.where)):
            assert printed(said) in text and printed(said) not in before, said
    assert f"{len(read_numbers())} numbers of the text: " in shown
    row = next(part for part in text.split("<tr>") if loss.value in part and loss.cell.split(":")[0] in part)
    assert "70 (60 to 80)" in row and "<i>I</i><sub>loss</sub>" in row
    assert "<script>" not in text and "nan" not in shown.lower().split()


def test_numbers_without_an_error_have_no_interval_and_tests_are_called_tests(finished):
    tables = finished / "tables"
    summary = pd.read_csv(tables / "summary_global.csv")
    (at_sites,) = summary.index[(summary["quantity"] == "share") & summary["where"].str.startswith("mean of")]
    summary.loc[at_sites, ["median", "p025", "p975"]] = 0.87
    summary.to_csv(tables / "summary_global.csv", index=False)
    factors = pd.read_csv(tables / "turnover_factor.csv")
    certain = {f"factor_{key}": 4.321 for key in ("median", "p025", "p975")} | {"probability_above_4": 1.0}
    factors.assign(**certain).to_csv(tables / "turnover_factor.csv", index=False)
    letters = {"quantity": ["iroot", "ibulk"], "name": "tundra", "mean": [0.91, 0.26], "median": 0.2, "n": 33}
    letters |= {"letters": ["C", "B"], "lowercase": ["a", "b"]}
    pd.DataFrame(letters).to_csv(tables / "biome_letters.csv", index=False)
    settings = json.loads((finished / "run.json").read_text(encoding="utf-8"))["settings"]
    preset = {"preset": "paper", "gridded_stocks": "soil_map", "tau_bootstraps": 500, "site_predictions": "ensemble"}
    change_run(finished, settings=settings | preset)
    text = page_of(finished)
    shown = re.sub(r"\s+", " ", Page(text).shown)
    assert "a value without an error" in shown and "4.32 (" not in shown
    assert "the probability that it is more than 1, 2" not in shown
    (tundra,) = (part for part in text.split("<tr>") if "C a, n = 33" in part)
    assert "0.910" in tundra and "B b, n = 33" in tundra and "Welch" in shown
    assert "that 500 bootstraps left out" in shown and "that of the soil map at the site" in shown
    assert "run --preset paper" in shown


def test_a_fit_that_failed_is_told(finished):
    assert '"verdict bad"' not in page_of(finished)
    path = finished / "tables" / "diagnostics.csv"
    pd.read_csv(path).assign(verdict="do not trust").to_csv(path, index=False)
    assert '"verdict bad"' in page_of(finished)


def test_a_run_that_has_not_ended_leaves_no_report(finished, land):
    (finished / "tables" / "sites.csv").unlink()
    with pytest.raises(InputError, match=r"sites\.csv: not found"):
        write_report(finished, land.folder.parent)
    assert not (finished / "report.html").exists()


def test_symbols_are_set_and_the_rest_is_escaped():
    assert printed("I_root <i>") == "<i>I</i><sub>root</sub> &lt;i&gt;"


def test_the_abstract_says_what_the_tables_say(finished, land):
    results = Results.read(finished, data=land.folder.parent)
    said = list(sentences(results))
    assert len(said) == 5 and all(s.endswith(".") and s.count(". ") == 0 for s in said)
    assert "nan" not in " ".join(said) and "–" not in " ".join(said)
    for text, family, years in ((said[1], "one pool", 0), (said[2], "log-normal", 0), (said[3], "log-normal", 100)):
        assert number(staying(results, family, years)["ibulk_median"]) in text
    assert "3 ways to count" in said[4] and "to “log-normal rates, > 100 yr” (+40 points)" in said[4]
    results.close()
