"""What a new colleague reads of an environment: one Markdown file and one page, of the same values.

Both are the same bytes for the same values. What was seen of the machine that made them stands
apart, and may be left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.model.outcome import Check, Verdict
from snapenv.report.printable import printable, render_page

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~])")
_MARKS = {"passed": "✓", "warning": "!", "failed": "✗"}
MARKDOWN_FILE, HTML_FILE = "ONBOARDING.md", "ONBOARDING.html"


class Command(Struct, frozen=True, kw_only=True):
    """A command to type, and what it is for."""

    line: str
    does: str


class Trouble(Struct, frozen=True, kw_only=True):
    """What a check says where it says no, and what mends it."""

    id: str  # of the check
    actual: str
    fix: str


class Answers(Struct, frozen=True, kw_only=True):
    """What the machine that made the page answered; its checks name neither users nor machines."""

    verdict: Verdict
    checks: tuple[Check, ...]
    lines: tuple[str, ...]  # what it is


class Onboarding(Struct, frozen=True, kw_only=True):
    """All that both files say. Nothing in it is trusted: part came with the snapshot."""

    title: str  # the tag
    snapenv: str  # the version that made this
    facts: tuple[tuple[str, str], ...]  # what the environment is
    needs: tuple[tuple[str, str], ...]  # of a machine
    commands: tuple[Command, ...]
    output: tuple[str, ...]  # the lines that a proof prints where all holds
    losses: str | None  # in a sentence, where it was trained
    troubles: tuple[Trouble, ...]
    origin: tuple[str, ...]  # where the snapshot came from, in sentences
    answers: Answers | None = None


class Line(Struct, frozen=True, kw_only=True):
    """A check as it is shown; ``kind`` is passed, warning or failed."""

    kind: str
    mark: str
    check: Check


class _View(Struct, frozen=True, kw_only=True):
    page: Onboarding
    checks: tuple[Line, ...]


def onboarding_files(page: Onboarding) -> dict[str, bytes]:
    """Return both files by their names, in UTF-8."""
    return {
        MARKDOWN_FILE: _markdown(page),
        HTML_FILE: render_page("onboarding.html.j2", v=_view(page)),
    }


def _markdown(page: Onboarding) -> bytes:
    from snapenv.templating import template_environment  # Jinja takes longer than all before it

    filling = template_environment().overlay(trim_blocks=True, lstrip_blocks=True)
    filling.filters.update(md=_escaped, code=_indented)
    return filling.get_template("onboarding.md.j2").render(v=_view(page)).encode()


def _view(page: Onboarding) -> _View:
    return _View(page=page, checks=tuple(_lines(page)))


def _lines(page: Onboarding) -> Iterator[Line]:
    for check in page.answers.checks if page.answers else ():
        kind = "passed" if check.ok else "failed" if check.fails else "warning"
        yield Line(kind=kind, mark=_MARKS[kind], check=check)


def _escaped(text: str) -> str:
    """Return a text on one line in which nothing is Markdown."""
    return _MARKDOWN.sub(r"\\\1", " ".join(printable(text).split()))


def _indented(line: str) -> str:
    """Return a line of code, in which nothing is Markdown either."""
    return f"    {printable(line)}"
