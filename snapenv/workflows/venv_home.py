"""Which Python a venv was made from.

Source: https://docs.python.org/3/library/venv.html#how-venvs-work
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def venv_home(venv: Path) -> Path | None:
    """Give the folder of the Python that a venv was made from; None where nothing says so."""
    try:
        text = (venv / "pyvenv.cfg").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    pairs = (line.partition("=") for line in text.splitlines())
    home = next((value.strip() for key, _, value in pairs if key.strip() == "home"), None)
    return type(venv)(home) if home else None
