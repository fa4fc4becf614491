"""CSV that spreadsheets read as data: text in quotes, no formula, numbers as numbers.

Source: https://www.rfc-editor.org/rfc/rfc4180, https://owasp.org/www-community/attacks/CSV_Injection
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Cell: TypeAlias = "str | int | Number | None"

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Number(str):
    """A number as it is to be written, such as an amount with its decimals."""

    __slots__ = ()


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return a header and rows, each ended by CR LF; None is an empty cell."""
    lines = [",".join(map(_quoted, header))]
    lines += (",".join(map(_cell, row)) for row in rows)
    return "".join(f"{line}\r\n" for line in lines)


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, int | Number):
        return str(value)
    return _quoted(harmless(value))


def harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula: with ``'`` before what begins as one."""
    clean = text.replace("\0", "")
    begin = unicodedata.normalize("NFKC", clean.lstrip(" \u00a0\u3000")[:1])
    return f"'{clean}" if begin.startswith(_FORMULA) or clean.startswith(_FORMULA) else clean


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
