"""JSON of somebody else is a value or a ValueError, whatever it holds."""

from __future__ import annotations

import pytest
from msgspec import Struct

from snapenv.json_text import read_json


class Form(Struct):
    name: str


def test_a_document_of_the_form_is_its_value() -> None:
    assert read_json(b'{"name": "x", "more": [1]}', Form) == Form("x")
    assert read_json("null", Form | None) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"name": 1}',
        b'{"name": "\xff"}',
        b'{"name": "x", "more": ' + b"[" * 100_000,
        '{"name": "\ud800"}',
        b"9" * 6_000,
    ],
    ids=["empty", "cut", "another form", "no text", "deep", "half a sign", "long"],
)
def test_any_other_document_is_a_value_error(content: bytes | str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is msgspec's
        read_json(content, Form)
