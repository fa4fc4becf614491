"""Hostile files of a .dist-info and of conda-meta: real ones as seeds, mutated, and odd ones.

A mutation is a value, so hypothesis can shrink a list of them, and ``random`` can make the many
that one look at an environment takes.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from random import Random

BATCH = 20  # inputs in one example: making folders costs more than reading

READ = ("METADATA", "RECORD", "WHEEL", "direct_url.json")
CONDA = "conda-meta"  # as a kind of file, beside those of a .dist-info

METADATA = b"Metadata-Version: 2.1\nName: plain\nVersion: 1.0\n"
_MARK = re.compile(rb"[:,='\"\n]")
TIMES = (1, 1, 1, 40, 5_000)
DEEP = ((b"[", 100_000), (b'{"a":', 100_000), (b"{" * 3, 5_000), (b"\\\n", 5_000))
"""Past every limit of recursion, of numbers and of paths."""

PIECES: tuple[bytes, ...] = (
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xc2\x85"),
    *(b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\0", b"\x1b[2J", b"\x7f", b"\x08"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\x80", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90"),
    *(b'"', b"'", b'""', b'"""', b"'''", b",", b";", b"#", b"\\", b"=", b"]]", b"{{ v }}", b"{%"),
    *(b"$(id)", b"`id`", b"${HOME}", b"\nRUN id\n", b'"\n[base]\nimage = "x', b"\n# syntax=x\n"),
    *(b" --index-url https://example.com", b" @ https://example.com/x.whl", b"\\\n-r x", b"==*"),
    *(b"../", b"../" * 40, b"/", b"//", b"/etc/passwd", b"/dev/zero", b"~/", b"-e"),
    *(b"[]", b"{}", b"9", b"1e999", b"/proc/kmsg", b"/sys/kernel/tracing/trace_pipe"),
    *(b"null", b"true", b"-0", b"NaN", b"0", b'"\\ud800"', b'"\\u0000"'),
    *(b"Name: other\n", b"Name:\n other\n", b"Version: 2 beta\n", b"VERSION:\t3\n", b" folded\n"),
    *(
        "Näme: ñ\n".encode(),
        "Version: \u0661\n".encode(),
        b"Tag: a b c\n",
        b"Tag:\n",
        b"Tag: \xff\n",
    ),
    *(b"sha256=", b"sha512=x", b"md5=x", b"=", b"__editable__x.pth,,\n", b"x.py,sha256=\xff,1\n"),
)

SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "METADATA": (METADATA, b"", b"Name: a\r\nVersion: 1!2.0rc1+x.y\r\n\r\nName: b\r\n"),
    "RECORD": (b"", b"plain.py,,\nplain-1.0.dist-info/RECORD,,\n", b'"a ""b"" c.py",sha256=x,1\n'),
    "WHEEL": (b"", b"Wheel-Version: 1.0\nTag: py3-none-any\nTag: cp311-abi3-linux_x86_64\n"),
    "direct_url.json": (
        b"null",
        b'{"url": "https://user:secret@example.com/x.whl?token=secret", "archive_info": {}}',
        b'{"url": "file:///home/alice/src", "dir_info": {"editable": true}}',
        b'{"url": "https://example.com/x", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}',
    ),
    CONDA: (
        b'{"name": "plain", "version": "1.0", "files": ["lib/x.so", "bin/x"]}',
        b'{"files": []}',
        b'{"files": ["lib/python3.11/site-packages/plain/__init__.py"], "link": {"type": 1}}',
    ),
}


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change: how, where as a number that is taken modulo the length, and with what."""

    how: str
    at: int
    piece: bytes
    times: int = 1


@dataclass(frozen=True, slots=True)
class Hostile:
    """The contents of a file, kept short enough to be printed."""

    seed: bytes
    mutations: tuple[Mutation, ...] = ()

    @property
    def content(self) -> bytes:
        content = self.seed
        for change in self.mutations:
            spot = change.at % max(len(content), 1)
            content = HOW[change.how](content or b"\n", spot, change.piece * change.times)
        return content


def _flip(content: bytes, at: int, _: bytes) -> bytes:
    return content[:at] + bytes([content[at] ^ (1 << at % 8)]) + content[at + 1 :]


def _insert(content: bytes, at: int, piece: bytes) -> bytes:
    return content[:at] + piece + content[at:]


def _cut(content: bytes, at: int, _: bytes) -> bytes:
    return content[:at]


def _replace_line(content: bytes, at: int, piece: bytes) -> bytes:
    lines = content.split(b"\n")
    lines[at % len(lines)] = piece
    return b"\n".join(lines)


def _repeat_line(content: bytes, at: int, _: bytes) -> bytes:
    lines = content.split(b"\n")
    return b"\n".join([*lines, lines[at % len(lines)]])


def _replace_field(content: bytes, at: int, piece: bytes) -> bytes:
    """Replace what stands between two marks of any of the formats."""
    first = _MARK.search(content, at) or _MARK.search(content)
    if first is None:
        return piece
    last = _MARK.search(content, first.end())
    return content[: first.end()] + piece + (content[last.start() :] if last else b"")


HOW: Mapping[str, Callable[[bytes, int, bytes], bytes]] = {
    "flip": _flip,
    "insert": _insert,
    "cut": _cut,
    "replace line": _replace_line,
    "repeat line": _repeat_line,
    "replace field": _replace_field,
}


def seeds(kind: str) -> tuple[bytes, ...]:
    """Return the odd ones, and those of the packages that these tests run with."""
    found = (dist.read_text(kind) for dist in importlib.metadata.distributions())
    real = (text.encode("utf-8", "surrogateescape")[:400] for text in found if text)
    return (*SEEDS[kind], *sorted(set(real)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
"""Any JSON, lone surrogates and NaN among it."""

_KEYED = {
    "direct_url.json": st.fixed_dictionaries(
        {"url": json_values | st.text()},
        optional={"dir_info": json_values, "vcs_info": json_values, "archive_info": json_values},
    )
    | st.builds(
        lambda url, vcs, commit: {"url": url, "vcs_info": {"vcs": vcs, "commit_id": commit}},
        *(st.text(), json_values, json_values),
    ),
    CONDA: st.fixed_dictionaries({"files": json_values | st.lists(json_values, max_size=3)}),
}


_pieces = st.tuples(st.sampled_from(PIECES), st.sampled_from(TIMES)) | st.sampled_from(DEEP)
_any_bytes = st.binary(max_size=60)
_mutations = st.builds(
    lambda how, at, piece: Mutation(how, at, *piece),
    st.sampled_from(sorted(HOW)),
    st.integers(min_value=0, max_value=1_000),
    _pieces | st.tuples(st.binary(max_size=6)),
)


def batches(kind: str) -> st.SearchStrategy[list[Hostile]]:
    """Return contents for a kind of file: mutated seeds, of its form with odd values, or any."""
    of_seeds = st.builds(
        Hostile, st.sampled_from(seeds(kind)), st.lists(_mutations, max_size=4).map(tuple)
    )
    keyed = _KEYED.get(kind, st.nothing()).map(lambda value: json.dumps(value).encode())
    one = of_seeds | (_any_bytes | keyed).map(Hostile)
    return st.lists(one, min_size=BATCH, max_size=BATCH)


class Mutator:
    """Makes as many contents as are asked for, the same for the same ``random``."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._seeds = {kind: seeds(kind) for kind in (*READ, CONDA)}

    def content(self, kind: str) -> bytes:
        count = self._random.randrange(1, 4)
        changes = tuple(self._change() for _ in range(count))
        return Hostile(self._random.choice(self._seeds[kind]), changes).content

    def _change(self) -> Mutation:
        how, at = self._random.choice(sorted(HOW)), self._random.randrange(1_000)
        if self._random.random() < 1 / 50:  # they are large
            return Mutation(how, at, *self._random.choice(DEEP))
        if self._random.random() < 1 / 3:
            return Mutation(how, at, self._random.randbytes(4))
        return Mutation(how, at, self._random.choice(PIECES), self._random.choice((1, 1, 1, 40)))


def write_distribution(site: Path, number: int, files: Mapping[str, bytes]) -> None:
    """Write one .dist-info; METADATA is a good one where none is given."""
    info = site / f"plain_{number:04}-1.0.dist-info"
    info.mkdir(parents=True)
    good = METADATA.replace(b"plain", b"plain-%d" % number)
    for name, content in {"METADATA": good, **files}.items():
        (info / name).write_bytes(content)
