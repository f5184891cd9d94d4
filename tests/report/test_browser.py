"""The report in a browser: it asks for nothing, complains of nothing, shows everything, and fits a phone."""

from __future__ import annotations

import pytest

from tests.browser import DESK, PHONE, browser

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_the_report_is_whole_and_readable(reported, size):
    with browser() as page:
        page.open(reported / "report.html", size)
        assert page.requests() == [(reported / "report.html").resolve().as_uri()]
        assert page.complaints() == []
        images = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 300)")
        assert len(images) > 20 and all(images)
        assert page.evaluate("innerWidth") == size[0]
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]  # no scrolling sideways
        print_size = "parseFloat(getComputedStyle(document.querySelector('p')).fontSize)"
        assert page.evaluate(print_size) >= 16


def test_what_is_wrong_with_a_page_is_seen(tmp_path):
    page_file = tmp_path / "bad.html"
    page_file.write_text(
        '<!doctype html><title>x</title><img src="none.png"><div style="width:2000px">x</div>'
        '<script>console.log("said"); throw new Error("thrown")</script>'
    )
    with browser() as page:
        page.open(page_file, PHONE)
        assert page.requests()[1].endswith("none.png")
        assert len(page.complaints()) >= 2
        assert page.evaluate("document.documentElement.scrollWidth") > PHONE[0]
        assert not page.evaluate("document.images[0].naturalWidth")
