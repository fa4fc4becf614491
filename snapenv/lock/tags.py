"""Which tags a wheel can have to be installed where it was captured.

Source: https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/
"""

from __future__ import annotations

import contextlib
import functools
import re
from typing import TYPE_CHECKING

from msgspec import Struct
from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_MANYLINUX = re.compile(
    r"manylinux(?:_(?P<major>\d{1,9})_(?P<minor>\d{1,9})|(?P<old>1|2010|2014))_(.+)"
)
_OLD_GLIBC = {"1": (2, 5), "2010": (2, 12), "2014": (2, 17)}
_PLATFORM = "linux_here"  # stands for any platform that fits


class Platform(Struct, frozen=True, kw_only=True):
    """What a wheel is installed on."""

    python: str  # its minor version, such as "3.11"
    machine: str  # "x86_64"
    glibc: str | None = None  # "2.36"; None where it is unknown, or another C library

    def fits(self, tag: Tag) -> bool:
        """Return whether an installer there takes a wheel with this tag."""
        platform = tag.platform
        if platform != "any" and not self._is_here(platform):
            return False
        return Tag(tag.interpreter, tag.abi, _on(platform)) in _order(self.python)

    def rank(self, tags: Collection[Tag]) -> tuple[int, int] | None:
        """Return how well a wheel with these tags fits, the least best; None where it does not.

        First counts how special it is to this Python, then how new a glibc it is for.
        """
        order = _order(self.python)
        ranks = (
            (order[Tag(tag.interpreter, tag.abi, _on(tag.platform))], -_glibc_minor(tag.platform))
            for tag in tags
            if self.fits(tag)
        )
        return min(ranks, default=None)

    def made_tag(self, *, compiled: bool) -> str:
        """Return a tag that fits."""
        if not compiled:
            return "py3-none-any"
        minor = f"cp{self.python.replace('.', '')}"
        return f"{minor}-{minor}-linux_{self.machine}"

    def _is_here(self, platform: str) -> bool:
        tag_parts = _MANYLINUX.fullmatch(platform)
        if not tag_parts:
            return platform == f"linux_{self.machine}" or platform.startswith("musllinux_")
        needed = _OLD_GLIBC.get(tag_parts["old"]) or (
            int(tag_parts["major"]),
            int(tag_parts["minor"]),
        )
        own_glibc = re.fullmatch(r"(\d{1,9})\.(\d{1,9})", self.glibc or "")
        is_old_enough = not own_glibc or needed <= (int(own_glibc[1]), int(own_glibc[2]))
        return tag_parts[4] == self.machine and is_old_enough


def tags_of(wheel_file: bytes) -> frozenset[Tag]:
    """Return the tags that a WHEEL file names; lines that are none are passed over."""
    lines = re.findall(rb"(?im)^Tag: *([\w.]+-[\w.]+-[\w.]+)[ \t\r]*$", wheel_file)
    tags = set[Tag]()
    for line in lines:
        with contextlib.suppress(ValueError):  # packaging's InvalidTag, from 26.4 on
            tags |= parse_tag(line.decode(errors="replace"))
    return frozenset(tags)


def compressed(tags: Collection[Tag]) -> str:
    """Write a set of tags as a file name does: each part sorted and joined by dots."""
    parts = (
        {tag.interpreter for tag in tags},
        {tag.abi for tag in tags},
        {tag.platform for tag in tags},
    )
    return "-".join(".".join(sorted(part)) for part in parts)


def _on(platform: str) -> str:
    return platform if platform == "any" else _PLATFORM


def _glibc_minor(platform: str) -> int:
    """Return N of ``manylinux_2_N``; 0 of any other platform."""
    tag_parts = _MANYLINUX.fullmatch(platform)
    if not tag_parts:
        return 0
    return int(tag_parts["minor"]) if tag_parts["minor"] else _OLD_GLIBC[tag_parts["old"]][1]


@functools.cache
def _order(python: str) -> Mapping[Tag, int]:
    """Return what a Python takes, the best first; of PyPy and of a build without the GIL too."""
    major, minor = map(int, python.split(".")[:2])
    digits = f"{major}{minor}"
    abis = [f"cp{digits}", f"cp{digits}t"]
    version = (major, minor)
    tags = (
        *cpython_tags(version, abis, [_PLATFORM]),
        *(Tag(f"pp{digits}", f"pypy{digits}_pp73", name) for name in (_PLATFORM, "any")),
        *compatible_tags(version, f"cp{digits}", [_PLATFORM]),
        *compatible_tags(version, f"pp{digits}", [_PLATFORM]),
    )
    return {tag: place for place, tag in enumerate(dict.fromkeys(tags))}
