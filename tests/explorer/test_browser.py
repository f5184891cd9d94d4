"""The explorer in a browser, from a file and without a network: what mouse, keys and address do, and what is said."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_rootc.explorer.codec import Scale
from tests.browser import DESK, PHONE, Page, browser
from tests.report.conftest import finish

from .conftest import HOSTILE_SITE, make

pytestmark = pytest.mark.browser

SCALE = Scale(0.001, 0.01)
READY = """document.getElementById("map")?.dataset.waiting === "0"
    && document.getElementById("content").children.length > 0"""
TYPE = """(values => {
    for (const [id, value] of Object.entries(values)) document.getElementById(id).value = value;
    document.querySelector("#content form").dispatchEvent(new Event("input"));
    return document.getElementById("content").innerText;
})"""


@pytest.fixture(scope="module")
def page():
    with browser() as opened:
        opened.send(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0
        )
        yield opened


def until(page: Page, condition: str) -> None:
    """Waits for a condition."""
    end = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < end, (condition, page.complaints(), page.evaluate("document.body.innerText")[:2000])
        time.sleep(0.03)


def show(page: Page, out: Path, view: str = "", size: tuple[int, int] = DESK) -> None:
    """Opens an explorer at a view."""
    page.open(out / "explorer" / "index.html", size)
    until(page, READY)
    if view:
        page.evaluate(f'location.hash = "{view}"')
        time.sleep(0.1)
        until(page, READY)


def middle(page: Page, selector: str) -> tuple[float, float]:
    """Middle of an element, in pixels of the window."""
    box = page.evaluate(
        f'(() => {{ const b = document.querySelector("{selector}").getBoundingClientRect();'
        " return [b.left + b.width / 2, b.top + b.height / 2]; })()"
    )
    return box[0], box[1]


def mouse(page: Page, kind: str, at: tuple[float, float]) -> None:
    buttons = 0 if kind == "mouseReleased" else 1
    page.send("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", buttons=buttons, clickCount=1)


def click(page: Page, at: tuple[float, float]) -> None:
    mouse(page, "mousePressed", at)
    mouse(page, "mouseReleased", at)


def press(page: Page, key: str, text: str = "") -> None:
    page.send("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
    page.send("Input.dispatchKeyEvent", type="keyUp", key=key)


def shown_table(page: Page) -> dict[str, tuple[float, float, float]]:
    """Median and interval of the first table of the panel, by the symbol of the quantity."""
    rows = page.evaluate(
        '[...document.querySelector("#content table tbody").rows].map((r) => [...r.cells].map((c) => c.innerText))'
    )
    found = {}
    for name, value, *_ in rows:
        numbers = [float(text.replace("−", "-")) for text in re.findall(r"[−\d.]+(?:e-\d+)?", value)]
        found[name.split("\n")[0].strip()] = tuple(numbers)
    return found


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_it_opens_without_a_request_or_a_word(page, explored, size):
    show(page, explored, size=size)
    assert page.requests() == [(explored / "explorer" / "index.html").resolve().as_uri()]
    assert page.complaints() == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    colours = """(() => {
        const canvas = document.getElementById("canvas");
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return new Set(new Uint32Array(data.buffer)).size;
    })()"""
    assert page.evaluate(colours) > 30


def test_three_places_answer_with_the_numbers_of_the_maps(page, explored):
    maps = xr.load_dataset(explored / "maps" / "maps.nc", engine="h5netcdf").sel(layer="0-20")
    for lat, lon in ((2.5, 12.5), (-32.5, -117.5), (47.5, 172.5)):
        show(page, explored, f"#c={lat},{lon}&z=8&l=0-20&sites=0")
        click(page, middle(page, "#canvas"))
        until(page, """document.querySelector("#content table") !== null""")
        cell = maps.sel(lat=lat, lon=lon, method="nearest")
        found = shown_table(page)
        for name, symbol in {"iroot": "Iroot", "ibulk": "Ibulk", "iloss": "Iloss"}.items():
            for got, statistic in zip(found[symbol], ("median", "p025", "p975"), strict=True):
                want = float(cell[f"{name}_{statistic}"])
                assert abs(got - want) <= SCALE.error(want) + 0.006 * abs(want), (name, statistic)  # three digits shown
    assert page.complaints() == []


def test_all_that_the_maps_say_of_a_cell_can_be_saved(page, explored, tmp_path):
    show(page, explored, "#at=-32.5,-117.5")
    until(page, """[...document.querySelectorAll("button")].some((b) => b.innerText === "CSV of this cell")""")
    page.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.evaluate(
        """[...document.querySelectorAll("button")].find((b) => b.innerText.startsWith("CSV")).click() ?? 0"""
    )
    end = time.monotonic() + 20
    while not (saved := list(tmp_path.glob("*.csv"))):
        assert time.monotonic() < end
        time.sleep(0.05)
    table = pd.read_csv(saved[0]).set_index(["quantity", "layer_cm"])
    maps = xr.load_dataset(explored / "maps" / "maps.nc", engine="h5netcdf")
    cell = maps.sel(lat=-32.5, lon=-117.5, method="nearest")
    assert len(table) == 5 * 7 + 2  # two quantities are of the whole profile
    for quantity, layer, statistic in (("iroot", "0-20", "mean"), ("iloss", "0-200", "p025"), ("age", "60-80", "p975")):
        want = float(cell[f"{quantity}_{statistic}"].sel(layer=layer))
        assert table.loc[(quantity, layer), statistic] == pytest.approx(want, rel=0.0055)
    assert page.complaints() == []


def test_a_measured_place_answers_with_its_rows_of_the_table(page, explored):
    sites = pd.read_csv(explored / "tables" / "sites.csv")
    want = sites[(sites["id"] == "roots-3") & (sites["layer"] == "0-200")].set_index("estimate")
    show(page, explored, f"#c={want['lat'].iloc[0]},{want['lon'].iloc[0]}&z=30")
    click(page, middle(page, "#canvas"))
    until(page, """document.querySelector("#content table") !== null""")
    rows = page.evaluate("""
        [...[...document.querySelectorAll("#content h3")].find((h) => h.innerText === "roots-3")
            .nextSibling.nextSibling.querySelectorAll("tbody tr")]
            .map((r) => [...r.cells].map((c) => Number(c.innerText.split("\\n")[0].replace("−", "-"))))""")
    assert [row[0] for row in rows] == [5, 6]
    for estimate, *fluxes, _ in rows:
        expected = want.loc[int(estimate), ["iroot", "ibulk", "iloss"]].astype(float)
        np.testing.assert_allclose(fluxes, expected, rtol=0.012)  # three digits shown


def test_the_address_brings_a_view_back(page, explored):
    show(page, explored, "#c=20,10&z=3&q=ibulk&s=p975&l=20-40&sites=0")
    click(page, middle(page, "#canvas"))
    until(page, """location.hash.includes("at=")""")
    time.sleep(0.4)  # the address is written when the map rests
    look = """[location.hash, document.getElementById("content").innerText,
        document.getElementById("canvas").toDataURL()]"""
    before = page.evaluate(look)
    page.open(explored / "explorer" / "index.html", DESK)
    until(page, READY)
    page.evaluate(f'location.hash = "{before[0]}"')
    until(page, f"{READY} && document.getElementById('content').innerText.includes('Posterior')")
    time.sleep(0.3)
    assert page.evaluate(look) == before


def test_two_maps_are_swiped_by_mouse_and_keys(page, explored):
    show(page, explored, "#q=iroot&s=mean&q2=ibulk&s2=mean")
    assert len(page.evaluate("""[...document.querySelectorAll(".legend-one")].map((e) => e.innerText)""")) == 2
    x, y = middle(page, ".swipe")
    mouse(page, "mousePressed", (x, y))
    mouse(page, "mouseMoved", (x - 200, y))
    mouse(page, "mouseReleased", (x - 200, y))
    until(page, """Number(document.querySelector(".swipe").getAttribute("aria-valuenow")) < 40""")
    before = page.evaluate("""Number(document.querySelector(".swipe").getAttribute("aria-valuenow"))""")
    press(page, "ArrowRight")
    until(page, f"""Number(document.querySelector(".swipe").getAttribute("aria-valuenow")) === {before + 2}""")
    assert page.complaints() == []


def test_keys_alone_reach_every_number(page, explored):
    show(page, explored)
    page.evaluate("""document.getElementById("canvas").focus() ?? 0""")
    for _ in range(4):
        press(page, "+", "+")
    press(page, "Enter")
    until(page, """document.getElementById("said").textContent.includes("Mg C")""")
    first = page.evaluate("""document.getElementById("said").textContent""")
    page.send("Input.dispatchKeyEvent", type="keyDown", key="ArrowUp", modifiers=8)
    until(page, f"document.getElementById('said').textContent !== {first!r}")
    page.evaluate("""document.getElementById("tab-place").focus() ?? 0""")
    press(page, "ArrowRight")
    until(page, """document.getElementById("content").innerText.startsWith("Totals")""")
    assert page.evaluate("document.activeElement.id") == "tab-totals"


def test_two_fingers_zoom(page, explored):
    show(page, explored, "#sites=0", PHONE)
    x, y = middle(page, "#canvas")

    def touch(kind: str, *fingers: float) -> None:
        points = [{"x": x + away, "y": y, "id": i} for i, away in enumerate(fingers)]
        page.send("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    page.send("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
    touch("touchStart", -20, 20)
    for away in (30, 40, 60, 80):
        touch("touchMove", -away, away)
    touch("touchEnd")
    page.send("Emulation.setTouchEmulationEnabled", enabled=False)
    until(page, """Number(new URLSearchParams(location.hash.slice(1)).get("z")) > 2.5""")
    assert "at=" not in page.evaluate("location.hash") and page.complaints() == []


def test_everything_that_can_be_used_has_a_name(page, explored):
    show(page, explored, "#q2=ibulk&tab=calculator&at=10,10")
    nameless = page.evaluate("""
        [...document.querySelectorAll("button, input, select, a[href], canvas[tabindex], [role=slider], svg[role=img]")]
            .filter((e) => !e.closest("[hidden]"))
            .filter((e) => !(e.getAttribute("aria-label") || e.innerText?.trim() || e.labels?.length))
            .map((e) => e.outerHTML.slice(0, 99))""")
    assert nameless == []
    assert page.evaluate("""document.querySelectorAll("[role=tab][aria-selected=true]").length""") == 1


def test_hostile_names_are_shown_as_they_are(page, explored):
    show(page, explored, "#tab=place")
    page.evaluate("globalThis.alert = () => { throw new Error('ran') }")
    names = """[...document.querySelectorAll("#content h3, #content button.link")].map((e) => e.innerText)"""
    for site in range(40):
        page.evaluate(f'location.hash = "#site={site}"')
        until(page, "document.querySelector('#content .under') !== null")
        time.sleep(0.05)
        if any(HOSTILE_SITE[:20] in name for name in page.evaluate(names)):
            break
    else:
        raise AssertionError("the hostile site was not found")
    assert page.complaints() == [] and page.evaluate("document.querySelectorAll('#content script').length") == 0


def test_a_missing_layer_and_a_spoilt_address_leave_a_map(page, explored):
    show(page, explored, "#l=150-200&q=nothing&s=x&site=99999&tab=constructor&c=a,b&z=-1")
    assert page.evaluate("""document.getElementById("l").value""") == "0-200"
    assert "150–200 cm" not in page.evaluate("""document.getElementById("l").innerText""")
    assert page.complaints() == []


def test_a_quantity_of_the_whole_profile_and_one_of_another_version_are_shown(page, explored):
    show(page, explored, "#q=npp&l=20-40&at=7.5,12.5")
    assert page.evaluate("""[document.getElementById("l").value, document.getElementById("s").value]""") == [
        "0-200",
        "mean",
    ]
    assert "NPP" in page.evaluate("""document.getElementById("legend").innerText""")
    until(page, """document.getElementById("content").innerText.includes("this cell’s own value after 100 years")""")
    show(page, explored, "#q=age&s=uncertainty&l=20-40&q2=ibulk_t100")
    assert page.evaluate("""document.querySelectorAll(".legend-one").length""") == 2 and page.complaints() == []


@pytest.mark.parametrize(
    ("layers", "statistics", "says"),
    [
        (["0-200"], ("mean",), "0–200 cm"),
        (["0-20"], ("mean",), "By depth"),
        (["0-20", "20-40"], ("uncertainty",), "The maps have no values for 0–20 cm here"),
        (["20-40", "0-200"], ("probability", "applicability"), "Probability that carbon is lost"),
        (["0-20", "0-200"], ("p025", "p975", "applicability"), "inside the area of applicability"),
    ],
)
def test_chosen_maps_are_shown_without_the_others(page, tmp_path, layers, statistics, says):
    out = finish(tmp_path)
    maps = xr.load_dataset(out / "maps" / "maps.nc", engine="h5netcdf").sel(layer=layers)
    maps[[n for n in maps.data_vars if str(n).endswith((*statistics, "biome"))]].to_netcdf(
        out / "maps" / "maps.nc", engine="h5netcdf"
    )
    make(out)
    show(page, out, "#at=-32.5,-117.5")
    until(page, """document.querySelector("#content table") !== null""")
    assert says in page.evaluate("document.getElementById('content').innerText")
    assert page.complaints() == []


def test_the_calculator_computes_as_one_types(page, explored):
    show(page, explored, "#tab=calculator&at=48.7,9.2")
    until(page, """document.querySelector("#content .answer") !== null""")
    assert "age: 85." in page.evaluate("""document.querySelector("#content .answer").innerText""")
    assert "age: 2,0" in page.evaluate(TYPE + '({"c-delta": -210, "c-year": 1998.5})')
    assert "the year must be" in page.evaluate(TYPE + '({"c-year": 1066})')
    assert "latitude must be" in page.evaluate(TYPE + '({"c-year": 1998, "c-lat": 91})')


def test_the_policy_stops_a_request(page, explored):
    show(page, explored)
    ask = 'fetch("data:text/plain,x").then(() => "went", () => "stopped")'
    answer = page.send("Runtime.evaluate", expression=ask, awaitPromise=True, returnByValue=True)
    assert answer["result"]["value"] == "stopped"


def tiles_asked(page: Page) -> set[str]:
    """Tiles that the page asked for, `level/row/column`."""
    found = (re.search(r"/tiles/\w+/(\d+/\d+/\d+)/", url) for url in page.requests())
    return {match[1] for match in found if match}


def test_tiles_come_when_they_are_looked_at(page, fine):
    show(page, fine)
    folder = (fine / "explorer").resolve().as_uri()
    assert all(url.startswith(folder) for url in page.requests())
    assert tiles_asked(page) and all(tile.startswith("1/") for tile in tiles_asked(page))
    show(page, fine, "#c=10.05,20.05&z=40&sites=0")
    assert 1 <= len([tile for tile in tiles_asked(page) if tile.startswith("0/")]) <= 2  # of eighteen
    click(page, middle(page, "#canvas"))
    until(page, """document.querySelector("#content table") !== null""")
    cell = xr.load_dataset(fine / "maps" / "maps.nc", engine="h5netcdf").sel(lat=10.05, lon=20.05, method="nearest")
    want = [float(cell[f"iloss_{s}"].sel(layer="0-200")) for s in ("mean", "p025", "p975")]
    np.testing.assert_allclose(shown_table(page)["Iloss"], want, rtol=0.012)
    assert page.complaints() == []
