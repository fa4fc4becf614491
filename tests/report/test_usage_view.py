from __future__ import annotations

from html.parser import HTMLParser

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.usage_report import UsageRow
from snapenv.report.usage_view import Table, UsagePage, make_usage_page, usage_html
from tests.report.usage_reports import (
    HOSTILE,
    hostile,
    nothing,
    team_month,
    totals,
    without_prices,
)


class Elements(HTMLParser):
    """Collects the elements of a page, with their attributes, and its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def table(page: UsagePage, name: str) -> Table:
    return next(each for each in page.tables if each.id == name)


def cells(table: Table) -> list[tuple[str, ...]]:
    return [(line.name, *line.cells) for line in table.lines]


def test_the_parts_of_the_bill_sum_up_to_it_to_the_cent() -> None:
    bill = table(make_usage_page(team_month()), "bill")

    assert cells(bill) == [
        ("effective", "5,210.4 h", "13,026.01"),
        ("idle", "2,890.3 h", "7,225.76"),
        ("unseen", "12.5 h", "31.26"),
        ("unallocated", "8,000.0 h", "16,000.00"),
    ]
    assert bill.total is not None
    assert bill.total.cells == ("16,113.2 h", "36,283.03")


@pytest.mark.parametrize("thirds", range(1, 8))
def test_the_lines_of_a_table_sum_up_to_its_last(thirds: int) -> None:
    rows = tuple(
        UsageRow(name=f"p{at}", totals=replace(totals(runs=1, effective_h=1, idle_h=0), cost=3_334))
        for at in range(thirds)
    )

    shown = table(make_usage_page(replace(team_month(), rows=rows)), "rows")

    cents = [round(100 * float(line.cells[-1])) for line in shown.lines]
    assert shown.total is not None
    assert sum(cents) == round(100 * float(shown.total.cells[-1])) == round(thirds / 3)


def test_each_row_has_its_figures_and_its_parts() -> None:
    rows = table(make_usage_page(team_month()), "rows")

    assert rows.title == "Projects"
    assert rows.heads == ("runs", "GPU time", "density", "energy", "cost in EUR")
    assert cells(rows)[1] == (
        "solder joints",
        "100",
        "2,800.2 h",
        "42.9 %",
        "1,680.1 kWh",
        "7,000.51",
    )
    assert cells(rows)[2][0] == "(none)"
    assert [block.kind for block in rows.lines[1].bar or ()] == ["effective", "idle"]


def test_a_month_without_prices_shows_no_money() -> None:
    page = make_usage_page(without_prices())

    assert [figure.label for figure in page.figures] == [
        "GPU time",
        "effective compute density",
        "energy of the GPUs",
    ]
    assert [each.id for each in page.tables] == ["bill", "rows", "board", "failures", "months"]
    heads = {head for each in page.tables for head in each.heads}
    assert not {head for head in heads if "cost" in head or "bill" in head}
    assert "EUR" not in Elements(usage_html(without_prices())).text


def test_a_month_of_nothing_says_so() -> None:
    page = make_usage_page(nothing())

    assert page.charts == ()
    assert [each.id for each in page.tables] == ["bill"]
    assert [(figure.value, figure.note) for figure in page.figures] == wording(
        [("0.0 s", "0 runs"), ("unknown", "of it at 70 % utilisation or more")]
    )


def test_one_month_is_no_trend() -> None:
    page = make_usage_page(replace(team_month(), months=team_month().months[-1:]))

    assert [chart.id for chart in page.charts] == ["histogram"]
    assert "months" not in [each.id for each in page.tables]


def test_environments_are_no_second_table_where_the_rows_are_environments() -> None:
    page = make_usage_page(replace(team_month(), by="environment"))

    assert "environments" not in [each.id for each in page.tables]
    assert table(page, "rows").title == "Environments"


def test_the_board_ranks_trainings_with_what_they_took() -> None:
    board = table(make_usage_page(team_month()), "board")

    assert cells(board) == [
        ("1. yolov8n.pt", "54.3", "100", "12.0 h", "12.3 GB", "30.00", "0.55"),
        ("2. unknown model", "40.0", "10", "9.0 h", "unknown", "22.00", "0.55"),
    ]
    assert board.lines[0].detail == wording(
        "mAP50-95(B), run 20261103-101112-abcd, ada, line-3, train-yolov8.4.190-base-cu130, 12000 images, batch 64, imgsz 640, amp"
    )


def test_the_notes_name_sources_prices_and_factors() -> None:
    assert make_usage_page(team_month()).notes == wording(
        (
            "effective: from 70 % of the time in which multiprocessors had work (NVML's GPM)",
            "effective: from 70 % of the time in which any kernel ran (NVML), which flatters",
            "samples are missing for 12.5 h",
            "2 runs not ended yet",
            "1 correction added: the job hung",
            "energy: 4,867.9 kWh, of the GPUs alone",
            "CO2: 1.8 t at 380 g/kWh (Germany, 2024, UBA), PUE 1.3",
            "price: NVIDIA H200 2.50 EUR an hour, from 2026-01-01",
            "price: power 0.31 EUR a kWh",
        )
    )


def test_whatever_the_texts_are_the_page_has_no_element_of_theirs() -> None:
    page = usage_html(hostile())

    seen, clean = Elements(page), Elements(usage_html(team_month()))
    assert seen.tags == clean.tags
    assert seen.attributes == clean.attributes
    assert HOSTILE.replace("\u202e", "\\u202e") in seen.text
    assert "\u202e" not in page.decode()


def test_the_same_report_gives_the_same_bytes() -> None:
    assert usage_html(team_month()) == usage_html(team_month())
