"""The documentation: it builds from the repository alone, is whole, and asks nothing of another server."""

from __future__ import annotations

import argparse
import html
import os
import re
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from matplotlib.image import imread

import bayes_rootc
from bayes_rootc.cli import _parser
from bayes_rootc.inference import store
from bayes_rootc.models import regression, root_depth, turnover
from bayes_rootc.schemas import TABLES
from bayes_rootc.settings import RunSettings
from tests.browser import DESK, PHONE, browser

ROOT = Path(__file__).parents[1]
ALSO_PUBLIC = (
    "bayes_rootc.report.results.Results",
    "bayes_rootc.report.figures.catalogue",
    "bayes_rootc.esm.compare.compare",
    "bayes_rootc.esm.export.export",
    "bayes_rootc.mapping.forest.CompiledForest",
)
ASSETS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}
OUTSIDE = re.compile(r"^\s*(?:https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site; a warning would have failed it."""
    out = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stderr == done.stdout == ""
    return out


def text_of(page: Path) -> str:
    """What a page says."""
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def pages_of(nav: list) -> Iterator[str]:
    """Files that the navigation names."""
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from [value] if isinstance(value, str) else pages_of(value)


def test_every_page_is_there_and_in_the_navigation(site):
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = sorted(pages_of(config["nav"]))
    assert named == sorted(str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md"))
    for name in named:
        assert len(text_of(site / name.replace(".md", ".html"))) > 500, name
    assert not (site / "_site").exists() and not (site / "tutorial.py").exists()


def test_no_page_asks_for_anything_outside(site):
    wanted: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            given = dict(attrs)
            wanted.extend(value for key, value in attrs if key == "srcset" or key == ASSETS.get(tag))
            if tag == "link" and given.get("rel") not in ("prev", "next", "canonical"):
                wanted.append(given["href"])
            wanted.extend(re.findall(r"url\(['\"]?([^'\")]+)", given.get("style") or ""))

    for page in site.rglob("*.html"):
        Reader().feed(page.read_text(encoding="utf-8"))
        assert "<!--" not in page.read_text(encoding="utf-8"), f"{page}: a part was not filled in"
    for sheet in site.rglob("*.css"):
        wanted += re.findall(r"(?:@import\s+|url\()['\"]?([^'\")]+)", sheet.read_text(encoding="utf-8"))
    assert len(wanted) > 100
    assert [address for address in wanted if OUTSIDE.match(address or "")] == []


def test_no_page_names_the_machine_that_made_it(site):
    for page in site.rglob("*.html"):
        assert str(ROOT) not in page.read_text(encoding="utf-8"), page


def test_equations_are_drawn_by_the_browser_itself(site):
    found = []
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "arithmatex" not in text and "$$" not in text, f"{page}: LaTeX was left as it is"
        found += re.findall(r"<math .*?</math>", text, re.DOTALL)
    names = [[element.tag.split("}")[1] for element in ElementTree.fromstring(one).iter()] for one in found]
    assert len(found) > 100 and {"mfrac", "msqrt", "mtable"} <= {name for one in names for name in one}
    model = (site / "model.html").read_text(encoding="utf-8")
    assert model.count('<div class="equation">') >= 15
    assert re.search(r"<mi>k</mi><mi>t</mi>.*?<mo>∼</mo><mtext>Normal</mtext>", model, re.DOTALL)


def test_a_page_of_the_gallery_has_the_figure_of_its_code(site):
    overview = (site / "gallery" / "index.html").read_text(encoding="utf-8")
    pages = sorted(set((site / "gallery").glob("*.html")) - {site / "gallery" / "index.html"})
    assert len(pages) >= 8
    for page in pages:
        (picture,) = re.findall(r'<img[^>]* src="data:image/png;base64,([^"]+)"', page.read_text(encoding="utf-8"))
        assert np.ptp(imread(BytesIO(b64decode(picture)))) > 0.5, page  # not blank
        assert picture in overview and f'href="{page.name}"' in overview, page


def test_every_command_and_option_is_on_its_page(site):
    text = text_of(site / "commands.html")
    (choices,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    assert len(choices.choices) >= 12
    page = (site / "commands.html").read_text(encoding="utf-8")
    for name, command in choices.choices.items():
        assert f'id="{name}"' in page
        assert " ".join(command.description.split()) in " ".join(text.split())
        for action in command._actions:
            for option in action.option_strings:
                assert option in text, (name, option)


def test_every_setting_is_on_its_page_with_its_meaning(site):
    text = text_of(site / "settings.html")
    for name in RunSettings.model_fields:
        (meaning,) = re.findall(rf"^{name}$\n.*\n.*\n(.+)$", text, re.MULTILINE)
        assert len(meaning) > 10, name


def test_every_table_and_column_is_on_its_page(site):
    text = text_of(site / "tables.html")
    for name, schema in TABLES.items():
        assert re.search(rf"\b{name}\b", text), name
        for column, found in schema.columns.items():
            assert f"{column}\n" in text and found.description.replace("`", "") in text, (name, column)


def test_every_public_name_is_in_the_reference(site):
    reference = "".join(page.read_text(encoding="utf-8") for page in (site / "api").glob("*.html"))
    here = [getattr(bayes_rootc, name) for name in bayes_rootc.__all__]
    for name in [*(f"{item.__module__}.{item.__qualname__}" for item in here), *ALSO_PUBLIC]:
        assert f'id="{name}"' in reference, name


def test_every_prior_is_listed(site):
    text = text_of(site / "priors.html")
    for model in (turnover, regression, root_depth):
        for name, (*_, reason) in model.PRIORS.items():
            assert re.search(rf"^{name}$", text, re.MULTILINE), name
            assert reason.split("; ")[-1] in text, reason


def test_the_layout_of_posteriors_is_complete(site):
    text = text_of(site / "api" / "posteriors.html")
    for name in {*store.DIMS, *store.CONSTANTS, *regression.SAMPLED, *root_depth.SAMPLED}:
        assert re.search(rf"\b{name}\b", text), name


def test_the_tutorial_is_shown_whole(site):
    shown = text_of(site / "tutorial.html")
    for line in (ROOT / "docs" / "tutorial.py").read_text(encoding="utf-8").split('"""')[2].splitlines():
        assert line.startswith("#") or line.strip() in shown, line


def test_the_citation_file_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0" and cited["license"] == "BSD-3-Clause"
    assert cited["version"] == bayes_rootc.__version__
    assert f"## {cited['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for reference in [cited, *cited["references"]]:
        assert {"type", "title", "authors"} <= reference.keys()


def test_what_the_reference_says_of_a_function(site):
    text = " ".join(text_of(site / "api" / "radiocarbon.html").split())
    assert "k (array-like of float) – Decay rate, yr⁻¹, > 0. Broadcasts with year and zone." in text
    assert "InputError – k ≤ 0 or not finite" in text


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, DESK])
def test_pages_in_a_browser(site, size):
    pages = [
        "index",
        "tutorial",
        "own-data",
        "model",
        "assumptions",
        "results",
        "engineering",
        "gallery/index",
        "gallery/many_rates",
        "glossary",
        "priors",
        "commands",
        "settings",
        "tables",
        "faq",
        "api/radiocarbon",
    ]
    with browser() as page:
        for name in pages:
            page.open(site / f"{name}.html", size)
            assert all(url.startswith(site.resolve().as_uri()) for url in page.requests()), name
            assert page.complaints() == [], name
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0], name  # no scrolling sideways
            assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 300)"), name


@pytest.mark.browser
def test_search_works_without_a_server(site):
    ask = """(() => {
        const query = document.querySelector("[data-md-component=search-query]");
        query.focus();
        query.value = "bomb";
        query.dispatchEvent(new KeyboardEvent("keyup"));
        return document.querySelectorAll(".md-search-result__item").length;
    })()"""
    with browser() as page:
        page.open(site / "api" / "data.html", DESK)
        end = time.monotonic() + 20
        while not (found := page.evaluate(ask)) and time.monotonic() < end:
            time.sleep(0.2)
        assert found >= 3 and page.complaints() == []
        assert all(url.startswith(site.resolve().as_uri()) for url in page.requests())
