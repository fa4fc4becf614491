from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.report.html import report_html
from tests.report.reports import (
    HOSTILE,
    close,
    different,
    facts_alone,
    hostile,
    identical,
)

if TYPE_CHECKING:
    from snapenv.model.results import Report

ALL = [identical(), close(), different(), facts_alone(), hostile()]
NAMES = ["identical", "close", "different", "facts alone", "hostile"]
_EMPTY = {"meta", "br"}


class Page(HTMLParser):
    """What is in a page: its tags with their attributes, and its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


@pytest.mark.parametrize("report", ALL, ids=NAMES)
def test_every_tag_is_closed_in_its_turn_and_every_id_is_there_once(report: Report) -> None:
    page = Page(report_html(report))

    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert page.open == []
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("report", ALL, ids=NAMES)
def test_a_page_names_nothing_to_fetch_and_nothing_to_run(report: Report) -> None:
    text = report_html(report).decode()
    page = Page(text.encode())

    names = {name for _, attributes in page.tags for name in attributes}
    assert not {"src", "href", "srcset", "action", "data", "xlink:href"} & names
    assert not {name for name in names if name.startswith("on")}
    assert not {"script", "img", "link", "iframe", "object", "base", "form"} & {
        tag for tag, _ in page.tags
    }
    assert not re.search(r"url\(|@import", text[: text.index("</style>")])


def test_the_policy_of_a_page_lets_nothing_in() -> None:
    policies = [
        attributes["content"]
        for _, attributes in Page(report_html(identical())).tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]

    assert policies == [
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    ]


def test_the_same_report_gives_the_same_bytes() -> None:
    assert report_html(different()) == report_html(different())


def test_what_comes_from_elsewhere_stays_text() -> None:
    page = Page(report_html(hostile()))

    shown = " ".join(page.texts)
    assert [tag for tag, _ in page.tags].count("style") == 1
    assert HOSTILE in shown
    assert "{{ 7*7 }}" in shown


def test_nothing_that_is_unseen_reaches_the_page() -> None:
    text = report_html(hostile()).decode()

    unseen = {one for one in text if not one.isprintable()}
    assert unseen == {"\n"}
    assert r"faked: held\u202egnp.exe" in text


def test_the_answer_and_the_next_step_come_first() -> None:
    texts = [text for text in Page(report_html(different())).texts if text]

    start = texts.index("✗ different")
    assert "is not train-yolov8.4.190-base-cu130" in texts[start + 1]
    assert texts[start + 2 : start + 6] == wording(
        [
            "The cause lies in the",
            "environment",
            "(check",
            "distribution.numpy",
        ]
    )
    assert texts.index("Next:") < texts.index("Tag")


def test_a_report_of_facts_alone_has_no_chart_and_no_empty_sections() -> None:
    page = Page(report_html(facts_alone()))

    assert "svg" not in {tag for tag, _ in page.tags}
    assert [attributes["id"] for tag, attributes in page.tags if tag == "h2"] == [
        "losses",
        "differences",
    ]


def test_a_chart_is_told_to_those_who_do_not_see_it() -> None:
    page = Page(report_html(different()))

    charts = [
        attributes
        for tag, attributes in page.tags
        if attributes.get("role") == "img" and tag == "svg"
    ]
    assert [chart["aria-labelledby"] for chart in charts] == [
        "chart-losses-title chart-losses-desc",
        "chart-differences-title chart-differences-desc",
    ]
    assert "The losses as a table" in page.texts
