"""Snapshots as files: SHA256SUMS over all, written whole or not at all, checked when read."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from snapenv.conda_lock import write_conda_lock, write_explicit
from snapenv.content import sha256_of, size_bytes
from snapenv.errors import (
    LockError,
    NotFoundError,
    SnapshotDamagedError,
)
from snapenv.json_text import read_json
from snapenv.lock.document import lock_from_toml, lock_to_toml
from snapenv.lock.write import CAPTURED, sums_file, write_files
from snapenv.model.exports import Export
from snapenv.model.fingerprint import Speed
from snapenv.model.snapshot import (
    APPLY_OVERLAY,
    CONDA_LOCK_FILE,
    DOCKERFILE,
    EXPLICIT_FILE,
    INSTALL_CONDA,
    LOCK_FILE,
    MEASURED_FILE,
    OVERLAY,
    PYLOCK_FILE,
    SUMS_FILE,
    VENDOR,
    Lock,
    Snapshot,
)
from snapenv.threads import do_at_once
from snapenv.toml import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from snapenv.model.carried import Content

_NAME = rf"(?:(?:{VENDOR}/_?|{OVERLAY}/))?[A-Za-z0-9][A-Za-z0-9._+!-]*"
_SUM_LINE = re.compile(rf"([0-9a-f]{{64}})  ({_NAME})", re.ASCII)
_DATE_LINE = re.compile(
    rf"{CAPTURED}(?P<date>\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d))"
    r"(?:, measured (?P<speed>\{[^{}]*\}) (?P<check>[0-9a-f]{16}))?",
    re.ASCII,
)
_EXPORTS = "exports"  # a key of measured.json
_INSTALL_CONDA = Path(__file__).with_name("in_snapshot") / "install_conda.py"
_FOLDERS = (VENDOR, OVERLAY)
_TEXTS_OF_ALL = (LOCK_FILE, PYLOCK_FILE, DOCKERFILE)
_TEXTS = (
    *(*_TEXTS_OF_ALL, CONDA_LOCK_FILE, EXPLICIT_FILE, MEASURED_FILE, SUMS_FILE),
    *(INSTALL_CONDA, f"{OVERLAY}/index.json", APPLY_OVERLAY),
)
_MAX_TEXT_BYTES = 16 * 1024 * 1024  # as much as is read out of an image
_READERS = 4  # threads that hash


def make_snapshot(  # noqa: PLR0913 - the files of a snapshot by kind
    lock: Lock,
    *,
    pylock: bytes,
    dockerfile: bytes,
    captured_at: str,
    carried: Mapping[str, Content] | None = None,
    hashed: Mapping[str, str] | None = None,
) -> Snapshot:
    """Put a lock and what belongs to it together, with their checksums.

    ``carried`` are the files of ``vendor/`` and ``overlay/``, and what was written already;
    ``hashed`` gives the sha256, in hex, of those whose content was hashed a moment ago. When
    it was captured, in the first line of SHA256SUMS, and what was measured are no part of the
    digest.

    Raises:
        LockError: A snapshot with a file of this name or size could not be read again.
        SnapshotDamagedError: A carried file is gone or cannot be read.
    """
    known = carried or {}
    measured = write_measured(lock)
    contents: dict[str, Content] = {
        LOCK_FILE: known[LOCK_FILE] if LOCK_FILE in known else write_lock(lock),
        **({MEASURED_FILE: measured} if measured else {}),
        PYLOCK_FILE: pylock,
        DOCKERFILE: dockerfile,
        **_write_conda(lock),
        **known,
    }
    _refuse_unreadable(contents)
    hashed = hashed or {}
    others = {name: content for name, content in contents.items() if name not in hashed}
    sums = {**hashed, **_hash_all(others)}
    contents[SUMS_FILE] = sums_file(captured_at, _sum_lines(sums).encode())
    return Snapshot(
        lock=lock,
        files=contents,
        digest=_digest(sums),
        captured_at=captured_at,
    )


def _write_conda(lock: Lock) -> dict[str, Content]:
    if lock.conda is None:
        return {}
    return {
        CONDA_LOCK_FILE: write_conda_lock(lock.conda),
        EXPLICIT_FILE: write_explicit(lock.conda),
        INSTALL_CONDA: _INSTALL_CONDA.read_bytes(),
    }


def write_lock(lock: Lock) -> bytes:
    """Return the text of a lock in a snapshot, without what is new each time."""
    return lock_to_toml(_with_measured(lock, None, None))


def _with_measured(lock: Lock, speed: Speed | None, exports: tuple[Export, ...] | None) -> Lock:
    """Return a lock whose baseline tells this of its run, and nothing else."""
    if lock.baseline is None:
        return lock
    baseline = replace(lock.baseline, speed=speed, exports=exports, cuda=None)
    return replace(lock, baseline=baseline)


def write_measured(lock: Lock) -> bytes | None:
    """Return the text of ``measured.json``, where there is something to write.

    The exports stand beside the figures of the speed, which an older snapenv reads alone.
    """
    baseline = lock.baseline
    if baseline is None or (baseline.speed is None and baseline.exports is None):
        return None
    document = msgspec.to_builtins(baseline.speed) if baseline.speed else {}
    if baseline.exports is not None:
        document[_EXPORTS] = msgspec.to_builtins(baseline.exports)
    return msgspec.json.format(msgspec.json.encode(document)) + b"\n"


def _read_measured(lock: Lock, contents: Mapping[str, Content], head: str, where: str) -> Lock:
    """Add what was measured to a lock; schema 1 has it in ``head``, a line of SHA256SUMS."""
    text = _text(MEASURED_FILE, contents, where) or head
    try:
        document = read_json(text, dict[str, object]) if text else {}
        exports = document.pop(_EXPORTS, None)
        return _with_measured(
            lock,
            msgspec.convert(document, Speed) if document else None,
            msgspec.convert(exports, tuple[Export, ...] | None),
        )
    except ValueError as error:
        raise _damaged(f"{where}/{MEASURED_FILE}: {one_line(str(error))}") from error


def _check(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _refuse_unreadable(contents: Mapping[str, Content]) -> None:
    for name, content in contents.items():
        if not re.fullmatch(_NAME, name, re.ASCII):
            why = "no name that a snapshot can hold"
        elif name in _TEXTS and size_bytes(content) > _MAX_TEXT_BYTES:
            why = f"over {_MAX_TEXT_BYTES >> 20} MiB: too much differs from what was installed"
        else:
            continue
        raise LockError(
            f"{_printable(name)} is {why}",
            hint="Take what is not needed out of the environment, and capture again.",
        )


def write_snapshot(snapshot: Snapshot, folder: Path, *, scratch: Path | None = None) -> None:
    """Write a snapshot to a new folder, as ``write_files`` does."""
    write_files(snapshot.files, folder, scratch=scratch)


def read_snapshot(folder: Path, *, where: str | None = None, carried: bool = True) -> Snapshot:
    """Read and check a snapshot folder; what may be large stays in its files, as Paths.

    ``where`` is what it is called in errors, if not by its path. Without ``carried``, what lies in
    ``vendor/`` and ``overlay/`` may be missing.

    Raises:
        NotFoundError: There is no snapshot.
        SnapshotDamagedError: A file is missing, unreadable, no plain file, or not what
            SHA256SUMS says.
        SnapshotVersionError: A newer snapenv wrote it.
    """
    try:
        there = (folder / SUMS_FILE).is_file()
        contents = dict(_read_folder(folder)) if there else {}
    except OSError as error:
        raise SnapshotDamagedError(
            f"{error.filename or folder} cannot be read: {error.strerror}",
            hint="See that the path is right, and who may read it.",
        ) from error
    if not there:
        raise NotFoundError(
            f"{folder} holds no snapshot: {SUMS_FILE} is missing",
            hint="Name a folder that snapenv capture wrote.",
        )
    return parse_snapshot(contents, where=where or str(folder), in_image=not carried)


def read_digest(folder: Path) -> str | None:
    """Return the digest that a snapshot folder says it has, unchecked; None where it has none."""
    path = folder / SUMS_FILE
    try:
        if not _is_plain(path) or path.stat().st_size > _MAX_TEXT_BYTES:
            return None
        return _digest(_parse_sums(path.read_bytes(), str(folder))[1])
    except (OSError, SnapshotDamagedError):
        return None


def _read_folder(folder: Path, above: str = "") -> Iterator[tuple[str, Content]]:
    """Yield all that lies in a snapshot folder and in its two folders, by its names.

    Small plain files that are texts are read. All else is a Path, whatever it is.

    Raises:
        OSError: A folder or a text cannot be read.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            name, path = f"{above}{entry.name}", Path(entry.path)
            if name in _FOLDERS and entry.is_dir(follow_symlinks=False):
                yield from _read_folder(path, f"{name}/")
            elif name in _TEXTS and _is_plain(path) and entry.stat().st_size <= _MAX_TEXT_BYTES:
                yield name, path.read_bytes()
            else:
                yield name, path


def parse_snapshot(
    contents: Mapping[str, Content], *, where: str, in_image: bool = False
) -> Snapshot:
    """Check a snapshot's files against their checksums, then read them.

    An image does not hold the carried files beside what it was built with.

    Raises:
        SnapshotDamagedError: A file is missing, is not what SHA256SUMS says, is not in it, or is
            no plain file.
        SnapshotVersionError: A newer snapenv wrote it.
    """
    try:
        head, sums = _parse_sums(_text(SUMS_FILE, contents, where), where)
        absent = {name for name in sums if in_image and "/" in name and name not in contents}
        _check_files(contents, {name: sums[name] for name in sums.keys() - absent}, where)
    except SnapshotDamagedError:
        _refuse_newer(contents, where)
        raise
    text, pylock, conda = (
        _text(name, contents, where) for name in (LOCK_FILE, PYLOCK_FILE, CONDA_LOCK_FILE)
    )
    lock = lock_from_toml(text, pylock, conda or None, where=where)
    return Snapshot(
        lock=_read_measured(lock, contents, head["speed"], where),
        files=contents,
        digest=_digest(sums),
        captured_at=head["date"],
        absent=tuple(sorted(absent)),
    )


def _text(name: str, contents: Mapping[str, Content], where: str) -> bytes:
    content = contents.get(name, b"")
    if isinstance(content, Path):
        raise _damaged(f"{where}/{name} is no plain file of up to {_MAX_TEXT_BYTES >> 20} MiB")
    return content


def _parse_sums(content: bytes, where: str) -> tuple[re.Match[str], Mapping[str, str]]:
    """Read the first line and the sums by name; only what ``make_snapshot`` writes is taken."""
    lines = content.decode(errors="replace").split("\n")
    head = _DATE_LINE.fullmatch(lines[0])
    matches = [_SUM_LINE.fullmatch(line) for line in lines[1:-1]]
    sums = {line[2]: line[1] for line in matches if line}
    if head is None or not _is_whole(head) or lines[-1] or len(sums) != len(matches):
        raise _damaged(f"{where}/{SUMS_FILE} is not of its form")
    return head, sums


def _is_whole(head: re.Match[str]) -> bool:
    return _is_date(head["date"]) and (not head["speed"] or head["check"] == _check(head["speed"]))


def _is_date(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return False
    return True


def _check_files(contents: Mapping[str, Content], sums: Mapping[str, str], where: str) -> None:
    """Check that the files are those of ``sums``, plain, and byte for byte."""
    files = {name: contents[name] for name in sorted(contents.keys() - {SUMS_FILE})}
    for name, content in files.items():
        if isinstance(content, Path) and not _is_plain(content):
            raise _damaged(f"{where}/{_printable(name)} is no plain file")
    _check_names(files.keys(), sums.keys(), where)
    for name in _TEXTS:
        _text(name, files, where)
    for name, digest in _hash_all(files).items():
        if digest != sums[name]:
            raise _damaged(f"{where}/{name} is not what {SUMS_FILE} says")


def _check_names(there: AbstractSet[str], named: AbstractSet[str], where: str) -> None:
    for name in sorted({*_TEXTS_OF_ALL, *named, *there}):
        if name not in there:
            raise _damaged(f"{where}/{name} is missing")
        if name not in named:
            raise _damaged(f"{where}/{_printable(name)} is not in {SUMS_FILE}")


def _refuse_newer(contents: Mapping[str, Content], where: str) -> None:
    """Refuse what is of another form because a newer snapenv wrote it, and its lock is whole.

    Raises:
        SnapshotVersionError: It is so.
    """
    lock, sums = contents.get(LOCK_FILE), contents.get(SUMS_FILE)
    if isinstance(lock, bytes) and isinstance(sums, bytes):
        line = f"{_sha256(lock)}  {LOCK_FILE}".encode()
        if line in sums.split(b"\n"):
            with contextlib.suppress(SnapshotDamagedError):
                lock_from_toml(lock, b"", where=where)


def _is_plain(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)


def _hash_all(contents: Mapping[str, Content]) -> Mapping[str, str]:
    """Return the sha256 of each file, in hex."""
    sums = do_at_once(_sha256, contents.values(), most=_READERS)
    return dict(zip(contents, sums, strict=True))


def _sha256(content: Content) -> str:
    return sha256_of(content).hexdigest()


def _sum_lines(sums: Mapping[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def _digest(sums: Mapping[str, str]) -> str:
    lines = _sum_lines({name: sums[name] for name in sums.keys() - {MEASURED_FILE}})
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def _damaged(message: str) -> SnapshotDamagedError:
    return SnapshotDamagedError(message, hint="Get the snapshot again from where it was captured.")
