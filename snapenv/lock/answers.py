"""What the index answered before, kept for a day in the user's cache folder.

A wheel never changes, but it can be withdrawn: so an answer grows old, and what was read of a
wheel does not (see ``ports.Wheels.record``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.lock.ask import python_platform
from snapenv.model.wheels import IndexWheel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.kept import Kept
    from snapenv.lock.ask import Uv
    from snapenv.model.facts import Facts
    from snapenv.model.python import Distribution

_FORM = 3  # of what is kept
DAY_S = 24 * 60 * 60.0


class Answer(Struct, frozen=True, kw_only=True):
    """The wheel that was installed, if the index has it; and whether that was proved."""

    wheel: IndexWheel | None
    proved: bool
    asked_at: float  # seconds since the epoch


def question(facts: Facts, uv: Uv, kept: Kept) -> str:
    """Name what an answer depends on beside the pin; no credential can be told from it."""
    parts = [
        _FORM,
        sorted(uv.settings.variables.items()),
        uv.settings.config.decode(),
        facts.environment.interpreter.version,
        python_platform(facts),
    ]
    return kept.namer()("answers", json.dumps(parts))


def key(pin: Distribution) -> str:
    """Name a pin with the bytes that are installed."""
    files = pin.files
    bytes_of = (files.recorded or files.sha256) if files else ""
    return f"{pin.name}=={pin.version} {bytes_of}"


def program_key(program: str) -> str:
    """Name a program as it is now; after an update it has another name."""
    try:
        status = Path(program).stat()
    except OSError:
        return program
    return f"{program} {status.st_size} {status.st_mtime_ns}"


def read_answers(kept: Kept, name: str, *, since: float) -> Mapping[str, Answer]:
    """Return the answers to a question that came ``since`` then, by pin."""
    answers = kept.find_value(name, dict[str, Answer]) or {}
    return {pin: answer for pin, answer in answers.items() if answer.asked_at >= since}


def keep_answers(kept: Kept, name: str, answers: Mapping[str, Answer]) -> None:
    """Keep answers; where they cannot be kept they are asked for again."""
    kept.keep_value(name, answers)
