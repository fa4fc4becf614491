"""What this process has made that must not outlive it, written down before it is made.

Each process has a file, a JSON list a line, and holds its lock. Who finds one without a lock
knows that its process was killed, and takes away what stands in it. Names are never guessed, so
nothing goes that belongs to a living process or to somebody else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.errors import WriteError
from snapenv.ownership.lock_file import HeldError, LockFile
from snapenv.places import open_plain, open_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Entry = Sequence[str]  # a kind, and what names it
    TakeAway = Callable[[str, Entry], bool]  # of a process by its id; whether it is done

_PATH, _EMPTY, _FILE, _WHOLE = "path", "empty", "file", "whole"
_OF_FILES = (_PATH, _EMPTY, _FILE, _WHOLE)
_NOTHING = ""


class _Ledger:
    """The file of this process; nothing is written before ``begin`` and after ``end``."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._file: LockFile | None = None
        self._noted: list[Entry] = []  # also what could not be written
        self._guard = threading.Lock()
        self.id = uuid.uuid4().hex  # also a label of the containers that this process makes

    def begin(self, folder: Path) -> None:
        self._folder = folder

    def note(self, entry: Entry, *, lasting: bool = True) -> None:
        if self._folder is None:
            return
        with self._guard, contextlib.suppress(OSError):  # a ledger is no reason to fail
            self._noted.append(entry)
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = LockFile.take(self._folder / f"{_host()}.{self.id}")
            line = json.dumps(list(entry)) + "\n"
            self._file.append(line, lasting=lasting and not _is_passing(entry))

    def end(self, take_away: TakeAway) -> None:
        """Take away what is still there."""
        file, self._file, self._folder = self._file, None, None
        noted, self._noted = self._noted, []
        if file:
            _take_away(file, noted, self.id, take_away)


_OWN = _Ledger()


@contextlib.contextmanager
def ledger(folder: Path | None, take_away: TakeAway) -> Iterator[None]:
    """Write down in ``folder`` what this process makes, until the block ends; None writes nothing.

    What an interruption or a failure has left, in a moment in which nobody watched or while the
    engine was away, is taken away at the end, or by the next command.
    """
    if folder:
        _OWN.begin(folder)
    try:
        yield
    except BaseException:
        _OWN.end(take_away)
        raise
    finally:
        _OWN.end(_nothing_left)


def _nothing_left(process: str, entry: Entry) -> bool:
    """Say that what is no path was taken away by whoever made it."""
    del process, entry
    return True


def process_id() -> str:
    """Return a name of this process that no other one has, ever."""
    return _OWN.id


def note(kind: str, *words: str) -> None:
    """Write down what is about to be made outside of this machine's files, such as a container."""
    _OWN.note((kind, *words))


def note_path(path: Path, *, lasting: bool = True) -> None:
    """Write down a file or folder that is about to be made, under a name that nothing else has.

    What is not ``lasting`` is not waited for: a power cut may take away that it was written down.
    """
    _OWN.note((_PATH, str(path.absolute())), lasting=lasting)


def note_empty(folder: Path) -> None:
    """Write down a folder that is about to be made, and is to go if it is empty then."""
    _OWN.note((_EMPTY, str(folder.absolute())))


def note_file(path: Path, sha256: str, *, before: Path | None) -> None:
    """Write down a file that is about to be put at a path with others that belong to it.

    Killed before all of them are, they go; where a file is ``before``, it comes back. What has
    other bytes by then is somebody else's.
    """
    _OWN.note((_FILE, str(path.absolute()), sha256, str(before.absolute()) if before else _NOTHING))


def note_whole(folder: Path) -> None:
    """Write down that all files of ``note_file`` are there, which stay from now on."""
    _OWN.note((_WHOLE, str(folder.absolute())))


@contextlib.contextmanager
def scratch_folder(prefix: str = "snapenv-", *, within: Path | None = None) -> Iterator[Path]:
    """Yield a new folder, which is gone afterwards; without ``within``, where temporary files lie.

    Raises:
        WriteError: It cannot be made.
    """
    try:
        folder = Path(within or tempfile.gettempdir(), f"{prefix}{uuid.uuid4().hex[:12]}")
        note_path(folder)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise WriteError(
            f"cannot write {error.filename or within or 'temporary files'}: {error.strerror}",
            hint="Free some space, or set TMPDIR to another place.",
        ) from error
    try:
        yield folder
    finally:
        remove(folder)


def take_away_leftovers(folder: Path | None, take_away: TakeAway) -> None:
    """Remove what killed processes of this machine have left.

    ``take_away`` is given the name of a killed process and an entry that is no path; where it
    says no, that is tried again another time.
    """
    for path in sorted(folder.glob(f"{_host()}.*")) if folder else ():
        with contextlib.suppress(OSError, HeldError):
            file = LockFile.take(path, create=False)
            _take_away(file, None, path.name.rpartition(".")[2], take_away)


def _take_away(
    file: LockFile, noted: Sequence[Entry] | None, process: str, take_away: TakeAway
) -> None:
    """Take away what a process has noted, which its file says where it is not known.

    What resists, as on a disk that is broken, stays noted.
    """
    try:
        entries = list(_entries(file.read())) if noted is None else noted
        _take_away_files(entries)
        left = [
            entry
            for entry in entries
            if (
                os.path.lexists(entry[1])
                if entry[0] == _PATH
                else entry[0] not in _OF_FILES and not take_away(process, entry)
            )
        ]
        text = "".join(json.dumps(list(entry)) + "\n" for entry in left)
        with contextlib.suppress(OSError):
            if left and text != file.read():
                file.write(text)
    except BaseException:
        file.release()
        raise
    if left:
        file.release()
    else:
        file.remove()


def _take_away_files(entries: Sequence[Entry]) -> None:
    whole = max((at for at, entry in enumerate(entries) if entry[0] == _WHOLE), default=-1)
    for entry in entries[whole + 1 :]:
        if entry[0] == _FILE and len(entry) == len((_FILE, "path", "sha256", "before")):
            _put_back(Path(entry[1]), entry[2], entry[3])
    for entry in entries:
        if entry[0] == _PATH:
            remove(Path(entry[1]))
    for entry in reversed(entries):
        if entry[0] == _EMPTY:
            with contextlib.suppress(OSError):
                Path(entry[1]).rmdir()


def _put_back(path: Path, sha256: str, before: str) -> None:
    with contextlib.suppress(OSError):
        with open_plain(path, follow=False) as file:
            if hashlib.sha256(file.read()).hexdigest() != sha256:
                return
        if before == _NOTHING:
            path.unlink()
        else:
            Path(before).replace(path)


def _is_passing(entry: Entry) -> bool:
    """Return whether what an entry names is gone anyway when the machine starts again."""
    return entry[0] == _PATH and Path(tempfile.gettempdir()) in Path(entry[1]).parents


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there; what resists stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        if os.path.lexists(path):
            _make_writable(path)
            shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink()


def _make_writable(top: Path) -> None:
    """Return back the right to write to folders, which a program may have taken from its own.

    A link in the place of one leads nowhere: each is opened from the one above, and changed open.
    """
    with contextlib.suppress(OSError, RecursionError):
        _make_all_writable(open_writable(top))


def _make_all_writable(folder: int) -> None:
    """Do so below an open folder, and close it."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        for name in names:
            with contextlib.suppress(OSError):
                _make_all_writable(open_writable(name, above=folder))
    finally:
        os.close(folder)


def _entries(text: str) -> Iterator[list[str]]:
    """Read entries; a line that was cut when its process was killed names nothing yet."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            entry = json.loads(line)
            words = entry if isinstance(entry, list) else []
            if len(words) > 1 and all(isinstance(word, str) for word in words):
                yield words


def _host() -> str:
    return os.uname().nodename.replace("/", "_") or "localhost"
