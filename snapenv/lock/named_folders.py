"""Find texts that name folders of the machine they were on, and will lead nowhere elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TEXT_BYTES = 8192  # a NUL among the first says that it is none
_GOES_ON = b"-._~+"  # beside letters and digits, what makes a name longer


class NamedFolder(Struct, frozen=True, kw_only=True):
    """A folder that a text names, the first time that it does."""

    place: str  # such as "site/x.py"
    line: int  # from 1
    what: str  # "this environment's folder"

    def __str__(self) -> str:
        """Say it in a sentence."""
        return (
            f"{self.place} line {self.line} names {self.what}, and travels as it is: "
            "it will lead nowhere elsewhere"
        )


def find_folders(
    place: str, content: bytes, folders: Mapping[str, tuple[str, ...]]
) -> tuple[NamedFolder, ...]:
    """Look for folders in a text; ``folders`` are absolute, by what they are.

    The first kind that is found at a place counts there: an environment may lie in a home folder.
    """
    if b"\0" in content[:_TEXT_BYTES]:
        return ()
    found: dict[int, str] = {}
    for what, places in folders.items():
        for at in sorted(at for one in places for at in _at(content, one.encode(errors="replace"))):
            if at not in found:
                found[at] = what
    first: dict[str, int] = {}
    for at, what in sorted(found.items()):
        first.setdefault(what, content.count(b"\n", 0, at) + 1)
    return tuple(NamedFolder(place=place, line=line, what=what) for what, line in first.items())


def _at(content: bytes, folder: bytes) -> Iterator[int]:
    """Yield where a folder is named, and not one whose name only begins like it."""
    at = content.find(folder)
    while at >= 0:
        after = content[at + len(folder) : at + len(folder) + 1]
        if not (after.isalnum() or after in _GOES_ON or after == b"_") or not after:
            yield at
        at = content.find(folder, at + 1)
