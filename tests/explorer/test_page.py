"""The page holds what it needs, asks for nothing, and is safe whatever the tables hold."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import zlib
from pathlib import Path

import pandas as pd
import pytest

from bayes_rootc.cli import main
from bayes_rootc.errors import InputError
from bayes_rootc.explorer import page as page_module
from bayes_rootc.explorer.page import MARK, MODULES, write_explorer
from bayes_rootc.explorer.show import explore
from bayes_rootc.report.html import render
from bayes_rootc.report.results import Results
from tests.report.conftest import HOSTILE, finish, made_up

from .conftest import HOSTILE_SITE, make
from .node import WEB
from .test_tiles import about_of


def text_of(out: Path) -> str:
    return (out / "explorer" / "index.html").read_text(encoding="utf-8")


def part(out: Path, name: str):
    """A part of the page, as its program reads it."""
    found = re.search(rf'<script type="text/plain" id="part-{name}">(.*?)</script>', text_of(out))
    return json.loads(zlib.decompress(base64.b64decode(found[1])))


def test_the_policy_allows_this_program_and_style_and_no_request(explored):
    text = text_of(explored)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)[1]
    program = re.search(r'<script type="module">(.*?)</script>', text, re.DOTALL)[1]
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    sums = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (program, style)]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{sums[0]}'; style-src 'sha256-{sums[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|innerHTML|outerHTML|eval)\b", program)
    assert set(re.findall(r"https?://[^\s\"'`)]+", program)) == {"http://www.w3.org/2000/svg"}


def test_only_tiles_may_be_loaded_and_they_are_there(fine):
    about, text = about_of(fine / "explorer" / "index.html"), text_of(fine)
    assert "script-src 'sha256-" in text and "' 'self' file:;" in text
    folder = fine / "explorer" / about["tiles"]
    names = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.js")}
    assert names == {f"{tile}/{name}" for tile in about["present"] for name in (*about["variables"], "cells")}
    assert {name.split("/")[0] for name in about["present"]} == {"0", "1"}
    assert (fine / "explorer" / "index.html").stat().st_size < 1_000_000


def test_what_tables_hold_is_never_html(explored):
    text = text_of(explored)
    assert "onmouseover" not in text and "<script>alert" not in text
    assert HOSTILE_SITE + "" in [name[: len(HOSTILE_SITE)] for name in part(explored, "places")["sites"]["known"]["id"]]


def test_a_missing_layer_is_left_out(explored):
    about = about_of(explored / "explorer" / "index.html")
    assert "150-200" not in about["layers"] and about["layers"][0] == "0-200" and len(about["layers"]) == 7


def test_quantities_are_taken_as_they_are_found(explored):
    quantities = {q["name"]: q for q in about_of(explored / "explorer" / "index.html")["quantities"]}
    assert list(quantities) == ["iloss", "iroot", "ibulk", "age", "f_bnpp", "ibulk_t100", "npp"]
    assert quantities["age"]["unit"] == "yr" and quantities["ibulk_t100"]["symbol"] == "I_bulk(100 yr)"
    assert not quantities["npp"]["layered"] and quantities["npp"]["meaning"] == "net primary production"
    assert quantities["age"]["statistics"] == ["median", "mean", "p025", "p975", "uncertainty"]


def test_tables_of_the_page_are_those_of_the_run(explored):
    totals, want = part(explored, "totals")["map_totals"], pd.read_csv(explored / "tables" / "map_totals.csv")
    assert totals["iloss_pg_median"] == pytest.approx(want["iloss_pg_median"].tolist(), rel=1e-5)
    stays, want = part(explored, "persistence"), pd.read_csv(explored / "tables" / "persistence.csv")
    want = want[(want["family"] == "log-normal") & (want["estimate"] == "mean")]
    median = [v for v, quantity in zip(stays["median"], stays["quantity"], strict=True) if quantity == "ibulk"]
    assert median == pytest.approx(want["ibulk_median"].tolist(), rel=1e-5)
    assert set(stays["quantity"]) == {"ibulk", "age", "transit_time"} and set(stays["family"]) == {"log-normal"}
    layers = part(explored, "places")["layers"]["table"]
    assert layers["delta14c"] == pytest.approx(pd.read_csv(explored / "tables" / "layers.csv")["delta14c"].tolist())


def test_zones_have_their_totals_where_a_run_was_asked_for_them(tmp_path):
    out = finish(tmp_path / "out")
    zones = made_up("map_totals_zones", {"zone": ["Chile", HOSTILE], "layer": ["0-20", "0-200"], "iloss_pg": 0.4})
    zones.to_csv(out / "tables" / "map_totals_zones.csv", index=False)
    make(out)
    found = part(out, "totals")["map_totals_zones"]
    assert found["zone"] == ["Chile", "Chile", HOSTILE, HOSTILE] and found["iloss_pg_median"] == [0.4] * 4


def test_parameters_have_their_prior_next_to_them(explored):
    (fit,) = part(explored, "parameters")
    rows = {row["name"]: row for row in fit["rows"]}
    assert rows["model_sd"]["prior"] and sum(rows["model_sd"]["posterior"]) == pytest.approx(1000, abs=50)
    assert rows["model_sd"]["p025"] < rows["model_sd"]["median"] < rows["model_sd"]["p975"]


def test_links_lead_to_the_geotiffs_from_any_folder(tmp_path):
    out = finish(tmp_path / "out")
    for name in ("iloss_0-20_mean", "iloss_probability_0-20", "iroot_applicability", "other"):
        (out / "maps" / f"{name}.tif").write_bytes(b"")
    make(out)
    about = about_of(out / "explorer" / "index.html")
    assert about["maps"] == "../maps"
    assert about["tiffs"] == ["iloss_0-20_mean", "iloss_probability_0-20", "iroot_applicability"]
    elsewhere = write_explorer(Results(out), tmp_path / "a" / "b", settings={}, simulated=False)
    assert about_of(elsewhere)["maps"] == "../../out/maps"


def test_the_same_run_gives_the_same_page(explored):
    before = text_of(explored)
    for _ in range(3):
        make(explored)
        assert text_of(explored) == before


def test_the_same_run_gives_the_same_tiles_and_leaves_no_old_ones(fine):
    before = text_of(fine)
    make(fine)
    assert text_of(fine) == before
    make(fine, seed=99)
    assert len(list((fine / "explorer" / "tiles").iterdir())) == 1 and text_of(fine) != before
    make(fine)
    assert text_of(fine) == before


def test_a_page_that_would_be_too_large_is_rounded_more(explored, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(explored, out)
    size = (out / "explorer" / "index.html").stat().st_size
    monkeypatch.setattr(page_module, "MOST_BYTES", 0)
    make(out)
    steps = {v["step"] for v in about_of(out / "explorer" / "index.html")["variables"].values() if v["floor"]}
    assert steps == {0.08} and (out / "explorer" / "index.html").stat().st_size < size


def test_a_run_with_little_more_than_maps_has_an_explorer(tmp_path):
    out = finish(tmp_path / "out")
    shutil.rmtree(out / "tables")
    shutil.rmtree(out / "posterior")
    make(out)
    assert part(out, "places") == {"lat": [], "lon": []}
    assert part(out, "totals") == {} == part(out, "persistence") and part(out, "parameters") == []


def test_a_folder_that_holds_something_else_is_left_alone(explored, tmp_path):
    (tmp_path / "index.html").write_text("my homepage")
    with pytest.raises(InputError, match=r"holds index.html, and no explorer; expected a new or empty folder"):
        write_explorer(Results(explored), tmp_path, settings={}, simulated=False)
    assert (tmp_path / "index.html").read_text() == "my homepage"
    with pytest.raises(InputError, match="is a file"):
        write_explorer(Results(explored), tmp_path / "index.html", settings={}, simulated=False)


def test_an_explorer_that_was_stopped_is_made_again(fine, tmp_path):
    shutil.copytree(fine / "explorer" / "tiles", tmp_path / "explorer" / "tiles")
    (tmp_path / "explorer" / "tiles" / "old").mkdir()
    write_explorer(Results(fine), tmp_path / "explorer", settings={}, simulated=False)
    assert len(list((tmp_path / "explorer" / "tiles").iterdir())) == 1


def test_the_command_says_where_it_is_and_what_is_wrong(explored, tmp_path, capsys):
    assert main(["explore", "--from", str(explored), "--to", str(tmp_path / "web")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'web' / 'index.html'}\n"
    assert main(["explore", "--from", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"bayes-rootc: {tmp_path / 'none'}: no such output folder\n"
    out = finish(tmp_path / "out")
    (out / "maps" / "maps.nc").unlink()
    assert main(["explore", "--from", str(out)]) == 2
    assert "maps.nc: not found in the output folder" in capsys.readouterr().err


def test_in_python_it_is_made_when_it_is_old_and_opened(explored, tmp_path, monkeypatch):
    out, opened = tmp_path / "out", []
    shutil.copytree(explored, out)
    shutil.rmtree(out / "explorer")
    monkeypatch.setattr("webbrowser.open", opened.append)
    explorer = explore(out)
    assert opened == [explorer.page.resolve().as_uri()] and explorer.page == out / "explorer" / "index.html"
    first = explorer.page.stat().st_mtime_ns
    assert explore(out, show=False).page.stat().st_mtime_ns == first and len(opened) == 1
    os.utime(out / "tables" / "sites.csv", ns=(first + 10**9, first + 10**9))
    assert explore(out, show=False).page.stat().st_mtime_ns > first


def test_in_a_notebook_it_stands_in_a_frame(explored, fine, monkeypatch):
    inline = explore(explored, show=False)._repr_html_()
    assert inline.startswith('<iframe srcdoc="&lt;!doctype html&gt;') and 'sandbox="allow-scripts' in inline
    assert inline.count('"') == 12  # nothing of the page ends the attribute
    monkeypatch.chdir(fine)
    assert explore(fine, show=False)._repr_html_().startswith('<iframe src="explorer/index.html"')


def test_the_report_leads_to_it(tmp_path):
    out = finish(tmp_path / "out")
    assert "explorer" not in render(Results.read(out), [])
    make(out)
    assert 'href="explorer/index.html"' in render(Results.read(out), [])


def test_every_module_is_on_the_page_after_those_that_it_imports():
    assert {path.stem for path in WEB.glob("*.mjs")} == set(MODULES)
    for i, name in enumerate(MODULES):
        wanted = re.findall(r'from "\./(\w+)\.mjs"', (WEB / f"{name}.mjs").read_text(encoding="utf-8"))
        assert set(wanted) <= set(MODULES[:i]), name


def test_its_mark_stands_early_in_the_page(explored):
    assert MARK in text_of(explored)[:2000]
