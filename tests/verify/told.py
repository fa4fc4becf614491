"""A task that remembers what it was told."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Told:
    """A ``Task`` whose notes can be looked at."""

    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def count(self, done: int, total: int | None) -> None:
        """Nothing of a smoke-train is counted in bytes."""
