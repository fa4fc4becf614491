"""What must never leave this machine."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """A credential that this machine uses; its value is never shown."""

    value: str = field(repr=False)
    what: str  # how to name it to people: "the password of index.example.com in pip.conf"
