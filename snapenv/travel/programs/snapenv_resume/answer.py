"""What snapenv reads after a run: what it continued from, or why it did not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from snapenv_resume.files import own_folder, replace

if TYPE_CHECKING:
    from pathlib import Path


class NothingToResumeError(Exception):
    """A reason not to train, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def write_answer(save_dir: Path, answer: dict[str, object]) -> None:
    """Write ``snapenv/resumed.json``, whole."""
    text = json.dumps(answer, indent=2) + "\n"
    replace(own_folder(save_dir) / "resumed.json", lambda path: path.write_text(text, "utf-8"))
