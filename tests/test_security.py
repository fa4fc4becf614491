"""SECURITY.md names, for each promise, a test that exists."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (_ROOT / "SECURITY.md").read_text("utf-8"))
_PROMISED = (_ROOT / "SECURITY.md").read_text("utf-8").partition("## What is promised")[2]
_ROWS = [
    line
    for line, following in pairwise(_PROMISED.splitlines())
    if line.startswith("| ") and not line.startswith("| ---") and not following.startswith("| ---")
]


@pytest.mark.parametrize(("module", "name"), _NAMED)
def test_a_test_that_holds_a_promise_exists(module: str, name: str) -> None:
    body = ast.parse((_ROOT / module).read_text("utf-8")).body

    assert name in {item.name for item in body if isinstance(item, ast.FunctionDef)}


def test_each_promise_names_a_test() -> None:
    assert _ROWS
    assert [row for row in _ROWS if "`tests/" not in row] == []
