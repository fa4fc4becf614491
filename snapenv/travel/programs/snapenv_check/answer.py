"""The answer, for people and for programs; its last line says all that one line can."""

# Paths are plain strings, as elsewhere in what travels.
# ruff: noqa: PTH113, PTH123

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Dict

if TYPE_CHECKING:
    from snapenv_check.compare import Finding
    from snapenv_check.environment import Examined
    from snapenv_check.expected import Facts
    from snapenv_check.losses import Trained

Document = Dict[str, Any]

_SCHEMA = 1
_NAMED = 3  # findings in the last line
_LONGEST = 1000  # characters of the last line
_MESSAGE = "/dev/termination-log"
"""Where Kubernetes takes a container's last words from.

Source: https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
"""


def document(
    lock: Facts, examined: Examined, trained: Trained | None, untrained: str | None
) -> Document:
    """Return the answer to a check; ``untrained`` is why no losses can be compared."""
    no = [each for each in examined.findings if each.counts]
    ok = not no and (trained is None or trained.ok)
    return {
        "schema": _SCHEMA,
        "ok": None if ok and untrained else ok,
        "tag": lock["tag"],
        "packages": examined.packages,
        "by": examined.by,
        "findings": [each._asdict() for each in examined.findings],
        "smoke_train": trained and trained._asdict(),
        "summary": _summary(lock["tag"], examined, trained, untrained, no),
    }


def unknown(reason: str) -> Document:
    """Return the answer that it cannot be told."""
    return {
        "schema": _SCHEMA,
        "ok": None,
        "tag": None,
        "packages": None,
        "by": None,
        "findings": [],
        "smoke_train": None,
        "summary": _one_line(f"snapenv-check: it cannot be told: {reason}"),
    }


def as_json(answer: Document) -> str:
    """Return an answer for programs, on one line."""
    return json.dumps(answer) + "\n"


def as_text(answer: Document) -> str:
    """Return an answer for people: a line for each finding, and the summary."""
    lines = [
        f"{'no  ' if each['counts'] else 'note'}  {each['topic']}: {_change(each)}"
        for each in answer["findings"]
    ]
    text = "\n".join([*lines, answer["summary"]]) + "\n"
    return text.encode("ascii", "backslashreplace").decode("ascii")


def leave_message(answer: Document) -> None:
    """Write the last line where Kubernetes takes it from, if that is there and can be written."""
    if os.path.isfile(_MESSAGE):
        try:
            with open(_MESSAGE, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(answer["summary"])  # an end of line would break a row of kubectl
        except OSError:
            pass


def _summary(
    tag: str,
    examined: Examined,
    trained: Trained | None,
    untrained: str | None,
    no: list[Finding],
) -> str:
    losses = f"; {trained.words}" if trained else ""
    if untrained:
        losses = f"; its training cannot be compared: {untrained}"
    if not no:
        state = "as locked" if trained is None or trained.ok else "as locked, but trains otherwise"
        return _one_line(f"snapenv-check: {tag}: {state}: {examined.packages} packages{losses}")
    named = "; ".join(_change(each._asdict()) for each in no[:_NAMED])
    more = f"; and {len(no) - _NAMED} more" if len(no) > _NAMED else ""
    return _one_line(f"snapenv-check: {tag}: not as locked: {named}{more}{losses}")


def _change(finding: Document) -> str:
    sides = [
        "absent" if finding[side] is None else finding[side] for side in ("expected", "actual")
    ]
    return f"{finding['subject']} {sides[0]} became {sides[1]}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
