"""What of this machine's configuration one kind of call of uv gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Call = Literal["ask", "install"]  # for the wheels that an index offers; to make an environment
UV_CONFIG = "uv.toml"  # in the folder that uv runs in


@dataclass(frozen=True, kw_only=True, slots=True)
class UvSettings:
    """What uv is told beside its arguments; it may hold credentials, and is never written.

    ``unset`` names variables of this machine that it must not see. ``config`` is the only
    configuration file that it reads.
    """

    unset: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    config: bytes = field(default=b"", repr=False)

    def words(self, program: str, *arguments: str) -> tuple[str, ...]:
        """Return the words that run uv; ``files`` and ``variables`` belong to them."""
        cleared = tuple(word for name in self.unset for word in ("-u", name))
        shell = ("/usr/bin/env", *cleared) if cleared else ()
        return (*shell, program, *arguments, "--config-file", UV_CONFIG)

    @property
    def files(self) -> Mapping[str, bytes]:
        """The file that the words name."""
        return {UV_CONFIG: self.config}


_LENGTH = 300  # characters


def first_words(stderr: str) -> str:
    """Return the beginning of why uv failed, on one line; its last words are but its advice."""
    words = " ".join(stderr.split())
    return (words.partition("error: ")[2] or words)[:_LENGTH]
