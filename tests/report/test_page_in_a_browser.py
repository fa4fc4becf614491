"""The page in a real browser, on a phone and on a desk, by day and by night."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.report.html import report_html
from tests.report.reports import (
    close,
    different,
    facts_alone,
    hostile,
    identical,
)

if TYPE_CHECKING:
    from snapenv.model.results import Report
    from tests.engines.browser import Browser

pytestmark = pytest.mark.browser

PHONE, DESK = (360, 800), (1280, 900)
REPORTS = {
    "identical": identical(),
    "close": close(),
    "different": different(),
    "facts alone": facts_alone(),
    "hostile": hostile(),
}
each_size = pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
each_scheme = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])


@pytest.mark.parametrize("name", REPORTS)
@each_size
def test_nothing_is_wider_than_the_window(
    browser: Browser, name: str, size: tuple[int, int]
) -> None:
    page = report_html(REPORTS[name])

    seen = browser.measure(page, width=size[0], height=size[1], dark=False)

    assert (seen["width"], seen["scroll_width"]) == (size[0], size[0])
    assert (seen["outside"], seen["outside_text"], seen["cut"]) == ([], [], [])


@each_size
@each_scheme
def test_all_text_and_all_lines_stand_out(
    browser: Browser, size: tuple[int, int], *, dark: bool
) -> None:
    page = report_html(different())

    seen = browser.measure(page, width=size[0], height=size[1], dark=dark)

    assert seen["dark"] is dark
    assert seen["text_contrast"]["contrast"] >= 4.5, seen["text_contrast"]
    assert seen["line_contrast"]["contrast"] >= 3, seen["line_contrast"]
    assert seen["smallest_text"] >= 11


@each_scheme
def test_a_yes_stands_out_too(browser: Browser, *, dark: bool) -> None:
    seen = browser.measure(report_html(close()), width=360, height=800, dark=dark)

    assert seen["text_contrast"]["contrast"] >= 4.5, seen["text_contrast"]


@pytest.mark.parametrize(
    ("report", "points", "marks"),
    [
        (identical(), ([10], [10], []), (10, 10, 0)),
        (different(), ([10], [10], [6]), (10, 10, 10)),
        (hostile(), ([1], [1], [1]), (1, 1, 5)),
        (facts_alone(), ([], [], []), (0, 0, 0)),
    ],
    ids=["identical", "different", "hostile", "facts alone"],
)
def test_the_curves_have_a_point_for_each_step(
    browser: Browser,
    report: Report,
    points: tuple[list[int], ...],
    marks: tuple[int, ...],
) -> None:
    seen = browser.measure(report_html(report), width=360, height=800, dark=False)

    assert tuple(seen["points"].values()) == points
    assert tuple(seen["marks"].values()) == marks


def test_the_curves_can_be_told_apart_without_colour(browser: Browser) -> None:
    seen = browser.measure(report_html(identical()), width=360, height=800, dark=False)

    assert seen["dashes"] == {"expected": "none", "actual": "2px, 6px"}


@pytest.mark.parametrize("name", ["different", "hostile"])
def test_a_page_asks_for_nothing(browser: Browser, name: str) -> None:
    page = report_html(REPORTS[name])

    assert browser.requests(page) == []


def test_a_request_would_be_seen(browser: Browser) -> None:
    page = b"<!doctype html><title>x</title><img src=http://evil.invalid/x>"

    assert browser.requests(page) == ["http://evil.invalid/x"]


def test_the_policy_holds_even_where_something_was_not_escaped(browser: Browser) -> None:
    planted = b"<img src=http://evil.invalid/x><style>@import 'http://evil.invalid/y'</style>"
    page = report_html(identical()).replace(b"</main>", planted + b"</main>")

    assert b"evil.invalid" in page
    assert browser.requests(page) == []
