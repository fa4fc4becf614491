"""What must never leave this machine, and where it was found."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import Struct


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """A credential that this machine uses; its value is never shown."""

    value: str = field(repr=False)
    what: str  # how to name it to people: "the password of index.example.com in pip.conf"


class Location(Struct, frozen=True, kw_only=True):
    """Where bytes stand that would leave: a file, or a field of an image's configuration."""

    name: str  # such as "site/x.py", "opt/x.py", "history" or "label x"
    layer: int | None = None  # of an image that holds the file, from 1, the lowest

    def __str__(self) -> str:
        """Return the location as people read it, such as ``layer 3: opt/x.py``."""
        return self.name if self.layer is None else f"layer {self.layer}: {self.name}"


class Leak(Struct, frozen=True, kw_only=True):
    """A credential in something that would leave this machine; its value is not kept."""

    location: Location
    line: int | None  # from 1; None in what is no text
    what: str  # such as "a GitHub token"
