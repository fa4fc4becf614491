"""The page of a search in a real browser: on a phone, on a desk, by day and by night, and on A4."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import pytest

from snapenv.report.tune_view import tune_html
from tests.engines.page import open_page
from tests.report.tune_results import default_is_best, hostile, many, proven

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.results import TuneResult
    from tests.engines.browser import Browser

pytestmark = pytest.mark.browser

PHONE, DESK = (390, 844), (1280, 900)


@pytest.mark.parametrize(
    ("result", "size"),
    [
        (proven(), PHONE),
        (hostile(), DESK),
        pytest.param(hostile(), PHONE, marks=pytest.mark.full),
        pytest.param(many(), PHONE, marks=pytest.mark.full),
        pytest.param(default_is_best(), PHONE, marks=pytest.mark.full),
    ],
)
def test_nothing_is_wider_than_the_window(
    browser: Browser, result: TuneResult, size: tuple[int, int]
) -> None:
    seen = browser.measure(tune_html(result), width=size[0], height=size[1], dark=False)

    assert (seen["width"], seen["scroll_width"]) == (size[0], size[0])
    assert (seen["outside"], seen["outside_text"], seen["cut"]) == ([], [], [])
    assert (seen["scripts"], seen["fetched"]) == (0, 0)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_and_all_marks_stand_out(browser: Browser, *, dark: bool) -> None:
    seen = browser.measure(tune_html(proven(), ("see",)), width=390, height=844, dark=dark)

    assert seen["dark"] is dark
    assert seen["text_contrast"]["contrast"] >= 4.5, seen["text_contrast"]
    assert seen["part_contrast"]["contrast"] >= 3, seen["part_contrast"]
    assert seen["line_contrast"]["contrast"] >= 3, seen["line_contrast"]
    assert seen["smallest_text"] >= 11


def test_it_asks_for_nothing_and_prints_on_a4(browser: Browser, tmp_path: Path) -> None:
    assert browser.requests(tune_html(hostile())) == []
    file = tmp_path / "trials.html"
    file.write_bytes(tune_html(proven()))

    with open_page(browser) as page:
        page.go(file.as_uri())
        page.wait("document.readyState === 'complete'")
        print_out = page.ask("Page.printToPDF", paperWidth=210 / 25.4, paperHeight=297 / 25.4)

    pdf = base64.b64decode(print_out["data"])
    ((wide, high),) = set(re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf))
    assert (float(wide), float(high)) == pytest.approx((595, 842), abs=1)
    assert 2 <= len(re.findall(rb"/Type /Page\b", pdf)) <= 3
