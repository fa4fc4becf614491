"""Documents that are changed by their form, so that more than the first byte is wrong in them.

The fuzzer changes bytes itself; this changes values of JSON and TOML, lines and fields of texts,
members of archives, and texts within a bundle, each by what its name says that it is.
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any, Literal

from snapenv.toml import parse_any_toml, write_toml
from tests.probe.fuzz_readers.hostile import HOW, PIECES, TIMES, Mutation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from tests.fuzz.target import Form

_NUMBERS = (0, 1, -1, 2, 7, 127, 255, 4096, 65_535, 1 << 31, 1 << 53, 1 << 63, -(1 << 63), 10**30)
_FLOATS = (0.0, -0.0, 0.5, 1e-320, 1e300, -1e300, 1e15, float("nan"), float("inf"))
_TEXTS = (
    *("", " ", "a", "A", "0", "-1", "1.0", "1e400", "9" * 5_000, "²", "\u0661", "null", "true"),
    *("nan", "inf", "../../x", "/etc/passwd", "a" * 3_000, "a\nb", "a\0b", "\x1b[2J", "\ud800"),
    *("https://example.com/x", "https://[::1", "http://user:pass@example.com:99999/x", "//", "@"),
    *("sha256:" + "0" * 64, "2026-11-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01", "1!2.0"),
    *("é", "\u202e", "{{ v }}", "$(id)", "%s%n", "\\", '"', "'''", "#", ",", ";", "=", ":"),
)
_DEEPEST = 3_000


def mutate(form: Form, content: bytes, random: Random) -> bytes:
    """Return a document that differs in some values, or the bytes changed where it is none."""
    for _ in range(random.choice((1, 1, 2, 4))):
        try:
            content = _MUTATORS[form](content, random)
        except Exception:  # noqa: BLE001, PERF203 - it is no document of this form any more
            content = _text(content, random)
    return content


def _text(content: bytes, random: Random) -> bytes:
    how = random.choice(sorted(HOW))
    piece = (
        random.choice(PIECES)
        if random.random() < 0.7
        else random.choice(_TEXTS).encode("utf-8", "surrogatepass")
    )
    change = Mutation(how, random.randrange(max(len(content), 1)), piece, random.choice(TIMES))
    content = content or b"\n"
    return HOW[change.how](content, change.at, change.piece * min(change.times, 200))


def _json(content: bytes, random: Random) -> bytes:
    value = _changed(json.loads(content), random)
    text = json.dumps(value, ensure_ascii=random.random() < 0.5)
    return text.encode("utf-8", "surrogatepass")


def _toml(content: bytes, random: Random) -> bytes:
    return write_toml(_changed(parse_any_toml(content.decode()), random)).encode()


def _bundle(content: bytes, random: Random) -> bytes:
    parts: dict[str, Any] = json.loads(content)
    name = random.choice(sorted(parts))
    change = random.random()
    if change < 0.1:
        del parts[name]
    elif change < 0.2:
        parts[str(_odd("", random))] = parts[name]
    elif isinstance(parts[name], str):
        inner = parts[name].encode("utf-8", "surrogateescape")
        parts[name] = mutate(form_of(name), inner, random).decode("utf-8", "surrogateescape")
    else:
        parts[name] = _changed(parts[name], random)
    return json.dumps(parts).encode()


def form_of(name: str) -> Form:
    """Return the form of a text by its name."""
    endings: Mapping[str, Form] = {".json": "json", ".toml": "toml"}
    return next((form for ending, form in endings.items() if name.endswith(ending)), "text")


def _changed(value: Any, random: Random) -> Any:  # noqa: ANN401 - any JSON
    """Change one value in a tree of values."""
    places: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        pairs = (
            one.items()
            if isinstance(one, dict)
            else enumerate(one if isinstance(one, list) else ())
        )
        for key, below in [*pairs]:
            places.append((one, key))
            if isinstance(below, dict | list):
                waiting.append(below)
    if not places:
        return _odd(value, random)
    one, key = random.choice(places)
    change = random.random()
    if change < 0.12:
        del one[key]
    elif change < 0.2:
        _double(one, key, random)
    elif change < 0.28:
        other, at = random.choice(places)
        one[key] = json.loads(json.dumps(other[at])) if at in _keys(other) else None
    elif change < 0.3:
        one[key] = _deep(one[key], random)
    else:
        one[key] = _odd(one[key], random)
    return value


def _keys(one: Any) -> Any:  # noqa: ANN401
    return one.keys() if isinstance(one, dict) else range(len(one))


def _double(one: Any, key: Any, random: Random) -> None:  # noqa: ANN401
    if isinstance(one, dict):
        one[str(_odd(str(key), random))] = one[key]
    else:
        one.extend([one[key]] * random.choice((1, 2, 300)))


def _deep(value: object, random: Random) -> object:
    for _ in range(random.choice((1, 5, _DEEPEST))):
        value = [value] if random.random() < 0.5 else {"a": value}
    return value


def _odd(value: object, random: Random) -> object:
    """Return another value, mostly of the same kind."""
    if random.random() < 0.2:
        return random.choice(
            (None, True, False, [], {}, "", 0, -1, 1.5, [[]], {"": None}, random.choice(_TEXTS))
        )
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return random.choice(_FLOATS if random.random() < 0.3 else (*_NUMBERS, value + 1, -value))
    if isinstance(value, str):
        return _odd_text(value, random)
    return random.choice((None, [value], {}, []))


def _odd_text(value: str, random: Random) -> str:
    text = random.choice(_TEXTS)
    at = random.randrange(len(value) + 1)
    return random.choice(
        (text, value + text, text + value, value[:at] + text + value[at:], value[:at], value[at:])
    )


def _tar(content: bytes, random: Random) -> bytes:  # noqa: C901 - one change of many
    """Change a member of a tar, its name, kind or size, or the order."""
    members: list[tuple[tarfile.TarInfo, bytes]] = []
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive.getmembers()[:64]:
            file = archive.extractfile(member) if member.isreg() else None
            members.append((member, file.read() if file else b""))
    at = random.randrange(len(members))
    member, held = members[at]
    change = random.randrange(9)
    if change == 0:
        member.name = random.choice((_odd_text(member.name, random), "../x", "/x", "a/../../x"))
    elif change == 1:
        member.type = random.choice((b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"L", b"S", b"x"))
        member.linkname = random.choice(("../x", "/etc/passwd", member.name))
    elif change == 2:
        held = mutate(form_of(member.name), held, random)
        member.size = len(held)
    elif change == 3:
        member.size = random.choice((0, 1, 511, 513, 1 << 20, 1 << 33, 1 << 60))
    elif change == 4:
        member.mode, member.uid = random.choice(((0, -1), (0o7777, 1 << 60), (-1, 0)))
    elif change == 5:
        members.append(members[at])
    elif change == 6:
        members.insert(0, members.pop())
    elif change == 7:
        member.pax_headers = {
            random.choice(("size", "path", "GNU.sparse.map", "mtime", "linkpath")): random.choice(
                ("-1", "1" * 30, "x\nx", "0,1,2", "nan", "../x")
            )
        }
    else:
        del members[at]
    if change in (2, 3):
        members[at] = (member, held)
    whole = io.BytesIO()
    form: Literal[1, 2] = 2 if random.random() < 0.3 else 1  # of PAX, of GNU
    for one, inside in members:
        whole.write(one.tobuf(form, "utf-8", "surrogateescape"))
        whole.write(inside + bytes(-len(inside) % 512))
    return whole.getvalue() + bytes(1024)


def _zip(content: bytes, random: Random) -> bytes:
    members: list[tuple[zipfile.ZipInfo, bytes]] = []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(one, archive.read(one)) for one in archive.infolist()[:64]]
    at = random.randrange(len(members))
    member, held = members[at]
    change = random.randrange(5)
    if change == 0:
        member.filename = _odd_text(member.filename, random)
    elif change == 1:
        members[at] = (member, mutate(form_of(member.filename), held, random))
    elif change == 2:
        member.external_attr, member.create_system = random.choice(((-1 % (1 << 32), 3), (0, 0)))
    elif change == 3:
        members.append(members[at])
    else:
        member.compress_type = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, 12, 14))
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for one, inside in members:
            archive.writestr(one, inside)
    packed = bytearray(whole.getvalue())
    if random.random() < 0.3:  # a number in a header that is not what it was
        spot = random.randrange(len(packed))
        packed[spot] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(packed)


_MUTATORS: Mapping[Form, Callable[[bytes, Random], bytes]] = {
    "bundle": _bundle,
    "bytes": _text,
    "json": _json,
    "tar": _tar,
    "text": _text,
    "toml": _toml,
    "zip": _zip,
}
