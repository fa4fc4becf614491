from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapenv.csv_text import Number, csv_text, harmless

FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\uff1d1",
    "\uff0b1",
    "\uff0d1",
    "\uff20a",
)
ROWS = st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=5)


@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_compute_is_text(text: str) -> None:
    assert harmless(text) == f"'{text}"
    assert csv_text(["a"], [[text]]).startswith('"a"\r\n"\'')


@pytest.mark.parametrize("text", ["", "lanes", "a=1", "a;=1", 'a "b", c', "'x", "3.5"])
def test_any_other_text_stays(text: str) -> None:
    assert harmless(text) == text


def test_a_null_is_left_out_and_hides_no_formula() -> None:
    assert harmless("\0=1") == "'=1"


def test_numbers_are_numbers_and_a_negative_one_too() -> None:
    assert (
        csv_text(["a", "b", "c"], [[-3, Number("-0.50"), None]]) == '"a","b","c"\r\n-3,-0.50,\r\n'
    )


@given(ROWS)
def test_a_reader_gets_back_what_was_written(rows: list[list[str]]) -> None:
    written = csv_text(["a", "b"], rows)

    read = list(csv.reader(io.StringIO(written, newline="")))
    assert read == [["a", "b"], *([harmless(text) for text in row] for row in rows)]
