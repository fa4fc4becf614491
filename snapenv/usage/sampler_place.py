"""Where the sampler of a ledger is found: beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def lock_path(ledger: Path) -> Path:
    """Return the file that the sampler locks for as long as it lives."""
    return ledger.with_name(f"{ledger.name}.sampler")


def pipe_path(ledger: Path) -> Path:
    """Return the named pipe at which it waits to be woken."""
    return ledger.with_name(f"{ledger.name}.wake")
