"""The last verdict on each snapshot, kept in the user's state folder of this machine."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from snapenv.json_text import read_json
from snapenv.model.results import LastVerdict
from snapenv.ownership.staging import replace_file

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES = 4096


def keep_verdict(state: Path | None, snapshot: str, verdict: LastVerdict) -> None:
    """Write down the verdict on a snapshot, known by its digest, in the place of the one before.

    Where nothing can be written, nothing is kept.
    """
    place = _place(state, snapshot)
    if place is None:
        return
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, msgspec.json.encode(verdict) + b"\n")


def last_verdict(state: Path | None, snapshot: str) -> LastVerdict | None:
    """Return the last verdict on a snapshot; None where there is none that can be read."""
    place = _place(state, snapshot)
    try:
        with place.open("rb") if place else contextlib.nullcontext() as file:
            content = file.read(_MOST_BYTES) if file else b""
        return read_json(content, LastVerdict)
    except (OSError, ValueError):
        return None


def _place(state: Path | None, snapshot: str) -> Path | None:
    name = snapshot.removeprefix("sha256:")
    is_digest = name.isascii() and name.isalnum()
    return state / "verdicts" / f"{name}.json" if state and is_digest else None
