"""What lies in a folder, as values to compare: an independent look that asks nothing of snapenv."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import stat
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Literal

Tree = Mapping[str, str]  # by its path: "dir", "-> where", or mode and SHA-256

_TIME = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00|Z| UTC)?")
_WARNINGS = re.compile(rb'<section aria-labelledby="warnings">.*?</section>\n', re.DOTALL)
_RUN = re.compile(rb"\d{6}-\d{6}-[0-9a-f]{4}")
_PASSING = (".pyc", "-wal", "-shm")
_TOLD = (".html", ".md", "SHA256SUMS", ".csv")  # they name the time, and of what they warn
_OF_UV = re.compile(rb"[^\n]*/uv_cache.json,[^\n]*\n")  # when uv installed it
_HEX = re.compile(r"[0-9a-f]{12,}")
_DIGITS = re.compile(r"\d+")
_TOKEN = re.compile(r"token=[\w-]+")


def tree(folder: Path) -> Tree:
    """Return what lies below a folder; bytecode and an open database's files are passed over."""
    found = dict[str, str]()
    for above, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in (*folders, *sorted(names)):
            path = Path(above, name)
            if not name.endswith(_PASSING) and name != "uv_cache.json":
                found[str(path.relative_to(folder))] = _entry(path)
    return found


def _entry(path: Path) -> str:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return f"-> {path.readlink()}"
    if stat.S_ISDIR(status.st_mode):
        return "dir"
    if not stat.S_ISREG(status.st_mode):
        return f"kind {stat.S_IFMT(status.st_mode):o}"
    content = path.read_bytes()
    if path.name == "RECORD":
        content = _OF_UV.sub(b"", content)
    if path.name.endswith(_TOLD):
        content = _RUN.sub(b"RUN", _TIME.sub(b"TIME", _WARNINGS.sub(b"", content)))
    return f"{stat.S_IMODE(status.st_mode):o} {hashlib.sha256(content).hexdigest()}"


def below(found: Tree, place: str) -> Tree:
    """Return what of a tree is a place or lies below it."""
    return {
        path: entry
        for path, entry in found.items()
        if path == place or path.startswith(f"{place}/")
    }


def without(found: Tree, places: tuple[str, ...]) -> Tree:
    """Return what of a tree is none of these places and does not lie below them."""
    gone = {path for place in places for path in below(found, place)}
    return {path: entry for path, entry in found.items() if path not in gone}


def differences(before: Tree, after: Tree) -> list[str]:
    """Name what differs between two trees."""
    paths = sorted(before.keys() | after.keys())
    return [
        f"{path}: {before.get(path, 'absent')[:24]} was expected, it is {after.get(path, 'absent')[:24]}"
        for path in paths
        if before.get(path) != after.get(path)
    ]


def shape(text: str) -> str:
    """Return what a command has said, with all numbers, digests, tokens and runs alike."""
    text = _TOKEN.sub("token=x", _RUN.sub(b"RUN", text.encode()).decode())
    return _DIGITS.sub("0", _HEX.sub("x", text))


Rows = Mapping[str, frozenset[tuple[object, ...]]]


def ledger_rows(path: Path) -> Rows | Literal["damaged"]:
    """Return what a ledger of usage holds, by its tables."""
    if not path.exists():
        return {}
    try:
        with closing(sqlite3.connect(path)) as database:
            if database.execute("pragma integrity_check").fetchall() != [("ok",)]:
                return "damaged"
            tables = [
                name
                for (name,) in database.execute("select name from sqlite_master where type='table'")
            ]
            return {
                name: frozenset(database.execute(f'select * from "{name}"').fetchall())
                for name in tables
                if name != "writes"  # which counts
            }
    except sqlite3.DatabaseError:
        return "damaged"
