"""Put the files beside this script where they belong in the environment of its interpreter.

Run it as ``ENVIRONMENT/bin/python overlay/apply.py``. It reads index.json and checks everything
first: where anything is wrong, nothing is changed. Running it again does no harm.

It stands alone in a snapshot: the standard library of Python 3.8, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import sys
import sysconfig
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOTS = {"site": Path(sysconfig.get_paths()["purelib"]), "prefix": Path(sys.prefix)}
FIELDS: dict[str, dict[str, type]] = {
    "file": {"sha256": str, "executable": bool, "script": bool},
    "link": {"link": str},
    "deleted": {"deleted": bool},
}
UNWRITABLE = re.compile("[\0-\x1f\x7f\ud800-\udfff]")
SHA256 = re.compile(r"[0-9a-f]{64}")
PLACEHOLDER = re.compile(rb"#!python((?: [^\n]*?)?)\r?\n")
LONGEST_INTERPRETER = 120  # of a first line: older kernels read 127 bytes of it


class Refused(Exception):  # noqa: N818 - it says what happened
    """The index or the environment is not as it should be; nothing was changed."""


class Entry(NamedTuple):
    """One thing to put in place."""

    name: str  # "site/PATH" or "prefix/PATH"
    root: Path  # absolute
    place: Path  # absolute
    kind: str
    content: str  # the sha256 of a file, or where a link points
    executable: bool
    script: bool  # starts with this interpreter


def main() -> None:
    entries = [_entry(item) for item in _index()]
    _check_together(entries)
    for entry in entries:
        _check(entry)
    _put(entries)


def _index() -> list[Any]:
    try:
        found = json.loads((HERE / "index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Refused(f"index.json: {error}") from error
    if not isinstance(found, list):
        raise Refused("index.json: should be a list")
    return found


def _entry(item: object) -> Entry:
    if not isinstance(item, dict):
        raise Refused(f"index.json: {item!r} should be a table")
    root, path = item.get("root"), item.get("path")
    if root not in ("site", "prefix") or not isinstance(path, str) or not _is_plain(path):
        raise Refused(f"index.json: {item!r} names no file of the environment")
    name = f"{root}/{path}"
    return Entry(
        name=name,
        root=ROOTS[root],
        place=ROOTS[root] / path,
        kind=_kind(name, {key: item[key] for key in item if key not in ("root", "path")}),
        content=item.get("sha256") or item.get("link") or "",
        executable=item.get("executable", False),
        script=item.get("script", False),
    )


def _is_plain(path: str) -> bool:
    parts = path.split("/")
    return not UNWRITABLE.search(path) and not {"", ".", ".."}.intersection(parts)


def _kind(name: str, rest: dict[str, object]) -> str:
    """Say what an entry is, by fields that are all known and of their types."""
    for kind, fields in FIELDS.items():
        is_known = all(type(value) is fields.get(key) for key, value in rest.items())
        if is_known and rest.get(next(iter(fields)), False) is not False:
            return kind
    raise Refused(f"index.json: {name} is not of a known form")


def _check_together(entries: list[Entry]) -> None:
    kept = {entry.place: entry for entry in entries if entry.kind != "deleted"}
    places = set()
    for entry in entries:
        if entry.place in places:
            raise Refused(f"index.json: {entry.name} is there twice")
        places.add(entry.place)
        above = next((kept[folder] for folder in entry.place.parents if folder in kept), None)
        if above:
            raise Refused(f"index.json: {above.name} is a file, so {entry.name} cannot be")


def _check(entry: Entry) -> None:
    folder = entry.place.parent
    if not _is_inside(folder, entry.root):
        raise Refused(f"{entry.name}: its folder leads out of the environment")
    if entry.kind != "deleted" and not _can_be_folder(folder):
        raise Refused(f"{entry.name}: a file is where its folder should be")
    if entry.place.is_dir() and not entry.place.is_symlink():
        raise Refused(f"{entry.name}: a folder is there")
    if entry.kind == "file":
        _content(entry)
    elif entry.kind == "link":
        _check_link(entry)


def _can_be_folder(folder: Path) -> bool:
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    return there.is_dir()


def _check_link(entry: Entry) -> None:
    link = entry.content
    if (
        not link
        or UNWRITABLE.search(link)
        or os.path.normpath(link) != link
        or not any(_is_inside(entry.place.parent / link, root) for root in ROOTS.values())
    ):
        raise Refused(f"{entry.name}: the link {link!r} leads out of the environment")


def _is_inside(path: Path, root: Path) -> bool:
    real = root.resolve()
    return real in (path.resolve(), *path.resolve().parents)


def _content(entry: Entry) -> bytes:
    """Read the bytes of a file from beside this script, where they lie by their hash."""
    path = HERE / entry.content
    if not SHA256.fullmatch(entry.content) or path.is_symlink():
        raise Refused(f"{entry.name}: its content is not named by a hash")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Refused(f"{entry.name}: its content cannot be read: {error}") from error
    if hashlib.sha256(content).hexdigest() != entry.content:
        raise Refused(f"{entry.name}: its content is not what index.json says")
    return _with_interpreter(content) if entry.script else content


def _with_interpreter(content: bytes) -> bytes:
    """Let a script start with this interpreter, through the shell where its path is odd."""
    found = PLACEHOLDER.match(content)
    if not found:
        return content
    python, options, rest = os.fsencode(sys.executable), found[1], content[found.end() :]
    if len(python + options) <= LONGEST_INTERPRETER and b" " not in python:
        return b"#!" + python + options + b"\n" + rest
    quoted = os.fsencode(shlex.quote(sys.executable)) + options
    return b"#!/bin/sh\n'''exec' " + quoted + b' "$0" "$@"\n' + b"' '''\n" + rest


def _put(entries: list[Entry]) -> None:
    """Write everything under temporary names, and rename only when all of it is there."""
    put = [(entry, _temporary(entry, at)) for at, entry in enumerate(entries)]
    put = [(entry, new) for entry, new in put if entry.kind != "deleted"]
    try:
        for entry, new in put:
            _write(entry, new)
        for entry, new in put:
            new.replace(entry.place)
    finally:
        for _, new in put:
            _remove(new)
    for entry in entries:
        if entry.kind == "deleted":
            _remove(entry.place)
        _remove_compiled(entry.place)


def _temporary(entry: Entry, at: int) -> Path:
    return entry.place.with_name(f".snapenv-new-{at}")


def _write(entry: Entry, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    _remove(new)
    if entry.kind == "link":
        new.symlink_to(entry.content)
        return
    with new.open("xb") as file:
        file.write(_content(entry))
    new.chmod(0o755 if entry.executable else 0o644)


def _remove(path: Path) -> None:
    if os.path.lexists(path):
        path.unlink()


def _remove_compiled(path: Path) -> None:
    """Remove what Python made of another source: of one second and size, it would pass for new."""
    cache = path.parent / "__pycache__"
    if path.suffix != ".py" or cache.is_symlink() or not cache.is_dir():
        return
    for compiled in cache.iterdir():
        if compiled.name.startswith(f"{path.stem}.") and compiled.suffix == ".pyc":
            compiled.unlink()


if __name__ == "__main__":
    try:
        main()
    except (Refused, OSError, RuntimeError) as error:
        sys.exit(f"overlay: {error}")
