"""Find credentials in what would leave this machine: those that it uses, and well-known forms.

A stream of any size is read once, in windows at fixed places of it, so that what is found does
not depend on how the stream is cut. Most of a large environment is machine code. There a form
cannot be, for each of them holds a run of text, and runs of text are quick to find; only where
one is, a closer look is taken.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from msgspec import Struct

from snapenv.secrets.model import Leak
from snapenv.secrets.token_forms import FORMS, LONGEST, SHORTEST, Form

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from snapenv.secrets.model import Location, Secret

SHORTEST_VALUE = 8  # characters; a shorter value would be found everywhere
_NO_SECRETS = frozenset(
    (
        *("anonymous", "x-access-token", "x-oauth-basic", "oauth2accesstoken", "__token__"),
        *("password", "username", "changeme", "disabled", "localhost", "undefined"),
    )
)
_MOST = 64  # leaks, at one location
_BLOCK = 1 << 20
_CELL = 1 << 10
_BEFORE = 16  # bytes that a pattern may look back
_ANCHOR = 16  # bytes, of the longest anchor
_LONGEST_VALUE = 64  # bytes; of a longer one its beginning is looked for
_AFTER = LONGEST + _LONGEST_VALUE
_DASHES = (b"_", b"-")
_LONG, _SHORT = 8, 4  # bytes, of a word
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_Found = tuple[int, str]  # where it begins, and what it is
_TEXT = bytes((*b"\t\n\r", *range(32, 127)))


def find_leaks(
    location: Location,
    chunks: Iterable[bytes],
    secrets: Collection[Secret],
    *,
    forms: bool = True,
) -> tuple[Leak, ...]:
    """Look for secrets in a stream of bytes, in order, each kind once a line, 64 at most.

    A secret is found as it is, URL-encoded, JSON-escaped and in base64; less than 8 characters,
    or a word such as ``anonymous``, is no secret. Without ``forms`` nothing else is looked for.
    """
    groups = _group(tuple(secrets))
    leaks: dict[tuple[int | None, str], None] = {}
    line: int | None = 1
    for window in _windows(chunks):
        if window.data.find(b"\0", window.start, window.end) >= 0:
            line = None
        done = window.start
        for at, what in (*sorted(_find(window, groups, forms=forms)), (window.end, None)):
            line = line and line + window.data.count(b"\n", done, at)
            done = at
            if what is not None:
                leaks[line, what] = None
        if len(leaks) >= _MOST:
            break
    return tuple(Leak(location=location, line=line, what=what) for line, what in leaks)[:_MOST]


class _Window(Struct, frozen=True, kw_only=True):
    """A part of the stream, with what is before and after it: its own is ``start`` to ``end``."""

    data: bytes
    start: int
    end: int


def _windows(chunks: Iterable[bytes]) -> Iterator[_Window]:
    """Cut a stream at multiples of 1 MiB, however it comes."""
    held, start = bytearray(), 0
    for piece in _pieces(chunks):
        held += piece
        while len(held) >= start + _BLOCK + _AFTER:
            whole = bytes(held[: start + _BLOCK + _AFTER])
            yield _Window(data=whole, start=start, end=start + _BLOCK)
            del held[: start + _BLOCK - _BEFORE]
            start = _BEFORE
    while len(held) > start:
        yield _Window(data=bytes(held), start=start, end=min(start + _BLOCK, len(held)))
        del held[: start + _BLOCK - _BEFORE]
        start = _BEFORE


def _pieces(chunks: Iterable[bytes]) -> Iterator[memoryview]:
    for chunk in chunks:
        for start in range(0, len(chunk), _BLOCK):
            yield memoryview(chunk)[start : start + _BLOCK]


def _find(window: _Window, groups: tuple[_Values, ...], *, forms: bool) -> Iterator[_Found]:
    """Yield where in a window a secret begins, and what it is."""
    for group in groups:
        for start, end in _runs(window, group.characters, group.shortest):
            yield from group.find(window.data, start, end)
    if forms:
        for start, end in _runs(window, _TEXT, SHORTEST):
            yield from _find_forms(window.data, start, end)


def _runs(window: _Window, characters: bytes, shortest: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a window outside of which no unbroken run of these characters begins."""
    marked = window.data.translate(_table(characters))
    run = b"\1" * shortest
    at, beyond = window.start, shortest - 1
    while (start := marked.find(run, at, window.end + beyond)) >= 0:
        at = start + _CELL
        while at < window.end and marked.find(run, at, at + _CELL) >= 0:
            at += _CELL
        yield start, min(at, window.end)


@functools.cache
def _table(characters: bytes) -> bytes:
    return bytes(number in characters for number in range(256))


class _Values(Struct, frozen=True, kw_only=True):
    """Values to look for, of any number in one pass.

    Where one of them is, so is one of its words of ``size`` bytes at a multiple of ``size``.
    """

    what: Mapping[bytes, str]
    words: frozenset[int]
    size: int
    characters: bytes
    shortest: int

    def find(self, data: bytes, start: int, end: int) -> Iterator[_Found]:
        """Yield where values begin between ``start`` and ``end``."""
        stop = min(end + _LONGEST_VALUE, len(data))
        stop -= (stop - start) % self.size
        here = memoryview(data)[start:stop].cast("Q" if self.size == _LONG else "I")
        if not self.words.isdisjoint(here):
            for value, what in self.what.items():
                yield from ((at, what) for at in _places(data, value, start, end))


@functools.lru_cache(maxsize=8)
def _group(secrets: tuple[Secret, ...]) -> tuple[_Values, ...]:
    """Part the values into those that hold a run of text and the others."""
    what: dict[bytes, str] = {}
    for secret in secrets:
        if len(secret.value) >= SHORTEST_VALUE and secret.value.lower() not in _NO_SECRETS:
            for value in _disguises(secret.value):
                what.setdefault(value[:_LONGEST_VALUE], secret.what)
    long = {v: name for v, name in what.items() if len(v) >= SHORTEST and not v.strip(_TEXT)}
    short = {v: name for v, name in what.items() if v not in long}
    groups = [_values(long, size=_LONG, characters=_TEXT, shortest=SHORTEST)] if long else []
    if short:
        least = min(len(value) for value in short)
        characters = bytes(sorted({*b"".join(short)}))
        groups.append(_values(short, size=_SHORT, characters=characters, shortest=least))
    return tuple(groups)


def _values(what: Mapping[bytes, str], *, size: int, characters: bytes, shortest: int) -> _Values:
    words = {
        int.from_bytes(value[start : start + size], sys.byteorder)
        for value in what
        for start in range(size)
    }
    return _Values(
        what=what, words=frozenset(words), size=size, characters=characters, shortest=shortest
    )


def _disguises(value: str) -> Iterator[bytes]:
    """Yield the ways in which a value is written into URLs, JSON, TOML and headers."""
    raw = value.encode(errors="surrogatepass")
    yield raw
    for text in (quote(raw, safe=""), quote(raw), quote_plus(raw), json.dumps(value)[1:-1]):
        yield text.encode()
    for pad in range(3):
        whole = base64.b64encode(bytes(pad) + raw)
        certain = whole[(0, 2, 3)[pad] : (pad + len(raw)) * 4 // 3]
        yield certain
        yield certain.translate(_URL_SAFE)


def _find_forms(data: bytes, start: int, end: int) -> Iterator[_Found]:
    """Yield where forms begin between ``start`` and ``end``."""
    anchors, stop = _anchors(), min(end + _ANCHOR, len(data))
    for pattern in anchors.patterns:
        for anchor in pattern.finditer(data, start, stop):
            last = anchor.end()
            for size in (4, 3) if anchor[0] in _DASHES else (last - anchor.start(),):
                for length, form in anchors.by_end.get(data[last - size : last], ()):
                    at = last - length
                    if start <= at < end and _holds(form, data, at):
                        yield at, form.what


def _holds(form: Form, data: bytes, at: int) -> bool:
    match = form.pattern.match(data, at)
    return match is not None and form.judge(match[1])


def _places(data: bytes, value: bytes, start: int, end: int) -> Iterator[int]:
    """Yield where ``value`` begins between ``start`` and ``end``."""
    stop = end + len(value) - 1
    at = data.find(value, start, stop)
    while at >= 0:
        yield at
        at = data.find(value, at + 1, stop)


class _Anchors(Struct, frozen=True, kw_only=True):
    """How to find the anchors of all forms.

    Each pattern begins with one literal character, which Python looks for as fast as it can.
    Most anchors end in ``_`` or ``-``, which is rarer than what they begin with: those are found
    by that character and what stands before it.
    """

    patterns: tuple[re.Pattern[bytes], ...]
    by_end: Mapping[bytes, tuple[tuple[int, Form], ...]]  # last 4 or 3 bytes, or all: its length


@functools.cache
def _anchors() -> _Anchors:
    by_end: dict[bytes, list[tuple[int, Form]]] = defaultdict(list)
    for form in FORMS:
        for anchor in form.anchors:
            end = anchor[-4:] if anchor.endswith(_DASHES) else anchor
            by_end[end].append((len(anchor), form))
    by_letter: dict[tuple[bytes, bool], list[bytes]] = defaultdict(list)
    for end in by_end:
        at_end = end.endswith(_DASHES)
        by_letter[end[-1:] if at_end else end[:1], at_end].append(end)
    return _Anchors(
        patterns=tuple(
            _pattern(letter, ends, at_end=at_end) for (letter, at_end), ends in by_letter.items()
        ),
        by_end={end: tuple(forms) for end, forms in by_end.items()},
    )


def _pattern(letter: bytes, anchors: list[bytes], *, at_end: bool) -> re.Pattern[bytes]:
    if not at_end:
        rest = b"|".join(re.escape(anchor[1:]) for anchor in anchors)
        return re.compile(re.escape(letter) + b"(?:" + rest + b")")
    before = (  # what looks back must be of one length
        b"(?<=" + b"|".join(re.escape(end) for end in anchors if len(end) == size) + b")"
        for size in sorted({len(end) for end in anchors})
    )
    return re.compile(re.escape(letter) + b"(?:" + b"|".join(before) + b")")
