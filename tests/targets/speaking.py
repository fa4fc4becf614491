"""A program whose lines must be heard while it runs: it goes on with each only once it was."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PROGRAM = """
import os, sys, time
for word in ("one", "two  ", "three"):
    print("  " + word, file=sys.stderr, flush=True)
    until = time.monotonic() + 60
    while not os.path.exists(os.path.join(sys.argv[1], word.strip())):
        if time.monotonic() > until:
            sys.exit(word + "was not heard")
        time.sleep(0.01)
"""


def speaker(folder: Path) -> tuple[tuple[str, ...], list[str], Callable[[str], None]]:
    """Return the words of the program, what was heard of it, and who hears it."""
    heard = list[str]()

    def hear(line: str) -> None:
        heard.append(line)
        (folder / line.strip()).touch()

    return (sys.executable, "-c", _PROGRAM, str(folder)), heard, hear
