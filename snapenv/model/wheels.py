"""Wheels as package indexes offer them, and how each distribution of a lock comes back."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from msgspec import Struct, field

Proof = Literal["record", "none"]
"""Whether a wheel's own RECORD lists the very files that are installed, or nobody has compared."""


class IndexWheel(Struct, frozen=True, kw_only=True):
    """One wheel that an index offers, known by its hash wherever it lies."""

    name: str  # of the distribution, normalised
    version: str
    url: str  # https or http, without user info
    sha256: str  # hex
    size_bytes: int | None = None
    index: str | None = None  # the address of the index that named it, without user info
    executable: tuple[str, ...] | None = None
    """The files that may be run once it is installed, from site-packages; None: nobody looked."""
    cut_scripts: tuple[str, ...] = ()
    """The scripts that were installed without the options of their first line, likewise."""

    @property
    def filename(self) -> str:
        """The name that tells its tags, such as ``numpy-2.4.1-cp311-cp311-….whl``."""
        return unquote(urlsplit(self.url).path).rpartition("/")[2]

    @property
    def host(self) -> str:
        """Where it is served from."""
        return _host(self.url.partition("//")[2].partition("/")[0])


@functools.cache  # hundreds of wheels lie on one host
def _host(netloc: str) -> str:
    return urlsplit(f"//{netloc}").hostname or ""


class WheelRecord(Struct, frozen=True, kw_only=True):
    """What a wheel says of itself: its own RECORD, how large the wheel is, and what may be run.

    pip drops what follows the interpreter in a script's first line, such as ``#!python -u``:
    ``cut_scripts`` names the hashes of those that are other then, as RECORD writes them.
    """

    text: str
    size_bytes: int | None  # None where the host does not tell
    executable: tuple[str, ...] = ()  # paths in the archive, sorted
    cut_scripts: Mapping[str, str] = field(default_factory=dict)  # by their paths in the archive


class Pinned(Struct, frozen=True, kw_only=True, tag=True):
    """A distribution that an index gives back, by the one wheel that is installed."""

    wheel: IndexWheel
    proof: Proof
    file: str | None = None  # where the wheel lies in the snapshot, if it travels


class VendoredWheel(Struct, frozen=True, kw_only=True):
    """A wheel that was rebuilt from installed files."""

    file: str  # where it lies in the snapshot
    sha256: str  # hex
    size_bytes: int | None = None


class Vendored(Struct, frozen=True, kw_only=True, tag=True):
    """A distribution that no index gives back; without a wheel it is files of the overlay."""

    wheel: VendoredWheel | None = None


class FromBase(Struct, frozen=True, kw_only=True, tag=True):
    """A distribution that the base image holds."""


class FromConda(Struct, frozen=True, kw_only=True, tag=True):
    """A distribution that a package of conda holds."""


Locked: TypeAlias = Pinned | Vendored | FromBase | FromConda
"""How one distribution comes back."""
