"""What must never leave this machine."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """A credential that this machine uses; its value is never shown."""

    value: str = field(repr=False)
    what: str  # how to name it to people: "the password of index.example.com in pip.conf"


@dataclass(frozen=True, kw_only=True, slots=True)
class Leak:
    """A credential in something that would leave this machine; its value is not kept."""

    place: str  # such as "site/x.py", "vendor/x.whl" or "label x"
    line: int | None  # from 1; None in what is no text
    what: str  # such as "a GitHub token"
