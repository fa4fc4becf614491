"""The page of usage in a real browser: on a phone, on a desk, by day and by night, and on A4."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import pytest

from snapenv.report.usage_view import usage_html
from tests.engines.page import open_page
from tests.report.usage_reports import hostile, nothing, team_month, without_prices

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.usage_report import UsageReportResult
    from tests.engines.browser import Browser

pytestmark = pytest.mark.browser

PHONE, DESK = (390, 844), (1280, 900)
PAPER_PX = 718  # of an A4 page between margins of a centimetre


@pytest.mark.parametrize(
    ("report", "size"),
    [
        (team_month(), PHONE),
        (team_month(), DESK),
        (without_prices(), PHONE),
        (nothing(), PHONE),
        (hostile(), PHONE),
        (hostile(), DESK),
    ],
)
def test_nothing_is_wider_than_the_window(
    browser: Browser, report: UsageReportResult, size: tuple[int, int]
) -> None:
    seen = browser.measure(usage_html(report), width=size[0], height=size[1], dark=False)

    assert (seen["width"], seen["scroll_width"]) == (size[0], size[0])
    assert (seen["outside"], seen["outside_text"], seen["cut"]) == ([], [], [])
    assert (seen["scripts"], seen["fetched"]) == (0, 0)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_and_all_parts_stand_out(browser: Browser, *, dark: bool) -> None:
    seen = browser.measure(usage_html(team_month()), width=390, height=844, dark=dark)

    assert seen["dark"] is dark
    assert seen["text_contrast"]["contrast"] >= 4.5, seen["text_contrast"]
    assert seen["part_contrast"]["contrast"] >= 3, seen["part_contrast"]
    assert seen["line_contrast"]["contrast"] >= 3, seen["line_contrast"]
    assert seen["smallest_text"] >= 11


def test_bars_and_columns_are_as_long_as_their_figures(browser: Browser) -> None:
    seen = browser.measure(usage_html(team_month()), width=1280, height=900, dark=False)

    bill, lines = seen["bars"][:4], seen["bars"][4:7]
    # 5210.4, 2890.3, 12.5 and 8000 hours; then parts of 5223, 2800.2 and 90 hours.
    assert bill == [[["effective", 65]], [["idle", 36]], [["unseen", 0]], [["unallocated", 100]]]
    assert lines[0] == [["effective", 77], ["idle", 23], ["unseen", 0]]
    assert lines[1] == [["effective", 23], ["idle", 31]]
    assert lines[2] == [["idle", 2]]
    histogram, months, _ = seen["parts"]
    assert [kind for kind, _ in histogram] == ["idle"] * 7 + ["effective"] * 3
    heights = [height for _, height in histogram]
    assert heights[9] / heights[7] == pytest.approx(6, abs=0.2)
    assert [kind for kind, _ in months].count("unallocated") == 12


def test_a_page_asks_for_nothing(browser: Browser) -> None:
    assert browser.requests(usage_html(hostile())) == []


def test_it_prints_on_a4(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "usage.html"
    file.write_bytes(usage_html(team_month()))

    with open_page(browser) as page:
        page.ask("Emulation.setEmulatedMedia", media="print")
        page.ask(
            "Emulation.setDeviceMetricsOverride",
            width=PAPER_PX,
            height=1000,
            deviceScaleFactor=1,
            mobile=False,
        )
        page.go(file.as_uri())
        page.wait("document.readyState === 'complete'")
        width = page.evaluate("document.documentElement.scrollWidth")
        print_out = page.ask("Page.printToPDF", paperWidth=210 / 25.4, paperHeight=297 / 25.4)

    assert width == PAPER_PX
    pdf = base64.b64decode(print_out["data"])
    boxes = set(re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf))
    ((wide, high),) = boxes  # in points, of whole pixels
    assert (float(wide), float(high)) == pytest.approx((595, 842), abs=1)
    assert 2 <= len(re.findall(rb"/Type /Page\b", pdf)) <= 4
