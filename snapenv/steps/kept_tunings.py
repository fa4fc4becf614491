"""The last search of each snapshot that came to its end, in the state folder."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from snapenv.json_text import read_json
from snapenv.model.tuning import Tuning
from snapenv.ownership.staging import replace_file

if TYPE_CHECKING:
    from pathlib import Path


def keep_tuning(state: Path | None, snapshot: str, tuning: Tuning) -> None:
    """Write down a search in the place of the one before; where that fails, nothing is kept."""
    path = _path(state, snapshot)
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.encode(tuning))


def kept_tuning(state: Path | None, snapshot: str) -> Tuning | None:
    """Return what is kept of a snapshot."""
    path = _path(state, snapshot)
    try:
        return read_json(path.read_bytes(), Tuning) if path else None
    except (OSError, ValueError):
        return None


def _path(state: Path | None, snapshot: str) -> Path | None:
    name = snapshot.removeprefix("sha256:")
    return state / "tune" / f"{name}.json" if state and name.isalnum() else None
