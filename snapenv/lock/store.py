"""Snapshots as files: SHA256SUMS over all, written whole or not at all, checked when read."""

from __future__ import annotations

import hashlib
import os.path
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.errors import NotFoundError, PlaceTakenError, SnapshotDamagedError, WriteError
from snapenv.lock.document import lock_from_toml, lock_to_toml
from snapenv.model.snapshot import (
    DOCKERFILE,
    LOCK_FILE,
    OVERLAY,
    PYLOCK_FILE,
    SUMS_FILE,
    VENDOR,
    Lock,
    Snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUM_LINE = re.compile(
    rf"([0-9a-f]{{64}})  ((?:(?:{VENDOR}|{OVERLAY})/)?[A-Za-z0-9][A-Za-z0-9._+!-]*)", re.ASCII
)
_CAPTURED = "# captured at "  # sha256sum -c passes over comments
_DATE_LINE = re.compile(
    rf"{_CAPTURED}(\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d))", re.ASCII
)


def make_snapshot(
    lock: Lock,
    *,
    pylock: bytes,
    dockerfile: bytes,
    captured_at: str,
    carried: Mapping[str, bytes] | None = None,
) -> Snapshot:
    """Put a lock and what belongs to it together, with their checksums.

    ``carried`` are the files of ``vendor/`` and ``overlay/``.
    """
    contents = {
        LOCK_FILE: lock_to_toml(lock),
        PYLOCK_FILE: pylock,
        DOCKERFILE: dockerfile,
        **(carried or {}),
    }
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in sorted(contents.items())
    )
    contents[SUMS_FILE] = f"{_CAPTURED}{captured_at}\n{sums}".encode()
    return Snapshot(lock=lock, files=contents, digest=_digest(sums), captured_at=captured_at)


def refuse_taken(folder: Path) -> None:
    """Check that a snapshot can be written here, before anything long is done.

    Raises:
        PlaceTakenError: Something stands there already.
    """
    if os.path.lexists(folder):
        raise PlaceTakenError(
            f"{folder} exists already", hint="Give another folder with -o, or remove this one."
        )


def write_snapshot(snapshot: Snapshot, folder: Path) -> None:
    """Write a snapshot to a new folder, under a temporary name until it is whole.

    Raises:
        PlaceTakenError: Something else stands there already.
        WriteError: The disk is full or the place cannot be written; nothing is left behind.
    """
    refuse_taken(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        for name, content in snapshot.files.items():
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).write_bytes(content)
        temporary.chmod(0o755)
        temporary.rename(folder)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_snapshot(folder: Path) -> Snapshot:
    """Read and check a snapshot folder.

    Raises:
        NotFoundError: There is no snapshot.
        SnapshotDamagedError: A file is missing, unreadable, or not what SHA256SUMS says.
        SnapshotVersionError: A newer snapenv wrote it.
    """
    try:
        there = (folder / SUMS_FILE).is_file()
        paths = [path for path in folder.rglob("*") if path.is_file()] if there else []
        contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    except OSError as error:
        raise SnapshotDamagedError(
            f"{folder} cannot be read: {error.strerror}",
            hint="See that the path is right, and who may read it.",
        ) from error
    if not there:
        raise NotFoundError(
            f"{folder} holds no snapshot: {SUMS_FILE} is missing",
            hint="Name a folder that snapenv capture wrote.",
        )
    return parse_snapshot(contents, where=str(folder))


def parse_snapshot(
    contents: Mapping[str, bytes], *, where: str, in_image: bool = False
) -> Snapshot:
    """Check a snapshot's files against their checksums, then read them.

    An image does not hold the carried files beside what it was built with.

    Raises:
        SnapshotDamagedError: A file is missing, is not what SHA256SUMS says, or is not in it.
        SnapshotVersionError: A newer snapenv wrote it.
    """
    captured_at, sums = _parse_sums(contents.get(SUMS_FILE, b""), where)
    absent = {name for name in sums if in_image and "/" in name and name not in contents}
    needed = {LOCK_FILE, PYLOCK_FILE, DOCKERFILE, *sums, *contents} - {SUMS_FILE} - absent
    for name in sorted(needed):
        _check_file(name, contents.get(name), sums.get(name), where)
    lock = lock_from_toml(contents[LOCK_FILE], where=where)
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    return Snapshot(
        lock=lock,
        files=contents,
        digest=_digest(lines),
        captured_at=captured_at,
        absent=tuple(sorted(absent)),
    )


def _parse_sums(content: bytes, where: str) -> tuple[str, Mapping[str, str]]:
    """Read the date and the sums by name; nothing but what ``make_snapshot`` writes is taken."""
    lines = content.decode(errors="replace").split("\n")
    date = _DATE_LINE.fullmatch(lines[0])
    found = [_SUM_LINE.fullmatch(line) for line in lines[1:-1]]
    sums = {line[2]: line[1] for line in found if line}
    if date is None or lines[-1] or len(sums) != len(found):
        raise _damaged(f"{where}/{SUMS_FILE} is not of its form")
    return date[1], sums


def _check_file(name: str, content: bytes | None, expected: str | None, where: str) -> None:
    if content is None:
        raise _damaged(f"{where}/{name} is missing")
    if expected is None:
        raise _damaged(f"{where}/{name} is not in {SUMS_FILE}")
    if hashlib.sha256(content).hexdigest() != expected:
        raise _damaged(f"{where}/{name} is not what {SUMS_FILE} says")


def _digest(sums: str) -> str:
    return f"sha256:{hashlib.sha256(sums.encode()).hexdigest()}"


def _damaged(message: str) -> SnapshotDamagedError:
    return SnapshotDamagedError(message, hint="Get the snapshot again from where it was captured.")


def _cannot_write(folder: Path, error: OSError) -> WriteError:
    return WriteError(
        f"cannot write {folder}: {error.strerror}",
        hint="Free some space or choose another place with -o; nothing was left behind.",
    )
