"""What was made before, kept until it is needed again, in a folder of the user's own.

Each thing is one file, named by a digest of all that it is made of, so that a name has one content
for ever. A file holds what it is, the SHA-256 of what follows, and that. It is only a cache: what
is damaged, too old, or could have been put there by somebody else is passed over, and where
nothing can be written nothing is kept.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shutil
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from snapenv.content import sha256_of
from snapenv.durable import boot_id
from snapenv.errors import SnapshotDamagedError
from snapenv.json_text import read_json
from snapenv.ownership.leftovers import note_path
from snapenv.ownership.staging import replace_file
from snapenv.threads import do_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from snapenv.model.carried import Content

T = TypeVar("T")

MOST_BYTES = 256 << 20  # of one thing; what is larger is made again
_MOST_OF_ALL_BYTES = 4 << 30
_MOST_OF_FILES_BYTES = 16 << 30  # an environment with torch and CUDA has 3 GiB of wheels
_DAY_S = 24 * 3600.0
KEPT_S = 90 * _DAY_S  # since it was last needed
_MAGIC = b"snapenv-kept 1\n"
_SHA256_BYTES = 32
_KEY_BYTES = 32
_READERS = 4  # threads that hash
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Kept(Struct, frozen=True):
    """A folder of such files; None keeps nothing."""

    folder: Path | None

    def namer(self) -> Callable[..., str]:
        """Return what names a thing by the parts that it is made of, which are bytes or texts.

        They may hold credentials: the name is a digest that is keyed with random bytes of this
        folder, so that they can be neither told nor guessed from it.
        """
        import hmac  # which many commands need not wait for

        key = self._key()

        def name(*parts: str | bytes) -> str:
            digest = hmac.new(key, digestmod="sha256")
            for part in parts:
                content = part.encode(errors="surrogatepass") if isinstance(part, str) else part
                digest.update(len(content).to_bytes(8, "big") + content)
            return digest.hexdigest()

        return name

    def find(self, name: str) -> bytes | None:
        """Return what is kept under a name, if it is whole and our own."""
        if self.folder is None or not _is_safe(self.folder):
            return None
        path = self.folder / name
        head, body = _read(path, len(_MAGIC) + _SHA256_BYTES)
        if head != _MAGIC + hashlib.sha256(body).digest():
            return None
        _mark_as_needed(path)
        return body

    def keep(self, name: str, body: bytes) -> None:
        """Keep a thing, whole or not at all."""
        if self.folder is None or len(body) > MOST_BYTES:
            return
        with contextlib.suppress(OSError):
            _make_private(self.folder)
            if _is_safe(self.folder):
                content = b"".join((_MAGIC, hashlib.sha256(body).digest(), body))
                replace_file(self.folder / name, content, lasting=False)
                _forget_once(self.folder)

    def find_value(self, name: str, kind: type[T]) -> T | None:
        """Return a value that is kept as JSON; one of another form is passed over."""
        body = self.find(name)
        try:
            return read_json(body, kind) if body else None
        except ValueError:
            return None

    def keep_value(self, name: str, value: object) -> None:
        """Keep a value as JSON."""
        import msgspec

        self.keep(name, msgspec.json.encode(value))

    def _key(self) -> bytes:
        """Return the random bytes of this folder, made when they are not there.

        Where they can be neither read nor made they are others each time: nothing is found then.
        """
        if self.folder is None:
            return b""
        path = self.folder / "key"
        _, key = _read(path) if _is_safe(self.folder) else (b"", b"")
        if len(key) == _KEY_BYTES:
            return key
        made = os.urandom(_KEY_BYTES)
        with contextlib.suppress(OSError):
            _make_private(self.folder)
            if _is_safe(self.folder):
                replace_file(path, made, lasting=False)
        return made


class KeptFiles(Struct, frozen=True):
    """A folder of files of any size, each named by its SHA-256; None keeps nothing."""

    folder: Path | None

    def look_up(self, sha256: str) -> Path | None:
        """Return where a file is kept, if it is whole and our own: nothing may write to it."""
        path = self._path(sha256)
        if path is None or not _is_safe(path.parent):
            return None
        with contextlib.suppress(OSError, SnapshotDamagedError):
            if _is_own(path.lstat()):
                if sha256_of(path).hexdigest() == sha256:
                    _mark_as_needed(path)
                    return path
                path.unlink()
        return None

    def look_up_all(self, digests: Sequence[str], seen: Kept) -> list[Path] | None:
        """Return where files are kept, if all of them are, whole and our own.

        Each is hashed once: until this machine starts again it is known by its size, mtime, inode
        and device, whose digest ``seen`` keeps. The ctime is none: each hard link changes it.
        """
        if not digests:
            return []
        paths = [path for path in map(self._path, digests) if path]
        known = _known_by(paths) if self.folder and _is_safe(self.folder) else ""
        name = known and seen.namer()("whole", known)
        if not name or seen.find(name) is None:
            if None in do_at_once(self.look_up, digests, most=_READERS):
                return None
            if name:
                seen.keep(name, b"")
        for path in paths:
            _mark_as_needed(path)
        return paths

    def find(self, sha256: str, into: Path) -> bool:
        """Put a file at ``into``, if it is kept, whole and our own; return whether it is there.

        It shares its bytes with the kept one where the file system can: nothing may write to it.
        """
        path = self.look_up(sha256)
        with contextlib.suppress(OSError):
            if path:
                _link_or_copy(path, into)
                return True
        return False

    def keep(self, sha256: str, content: Content) -> None:
        """Keep content whose SHA-256 was checked, unless it is kept already.

        A file shares its bytes with the kept one where the file system can: from then on nothing
        may write to it, and only this user may read it.
        """
        path = self._path(sha256)
        if path is None:
            return
        with contextlib.suppress(OSError):
            _make_private(path.parent)
            if not _is_safe(path.parent) or self.look_up(sha256):
                return
            if isinstance(content, bytes):
                replace_file(path, content, lasting=False)
            else:
                content.chmod(0o600)
                _link_or_copy(content, path)
            _forget_old(path.parent, _MOST_OF_FILES_BYTES)

    def _path(self, sha256: str) -> Path | None:
        return self.folder / sha256 if self.folder and _SHA256.fullmatch(sha256) else None


def _link_or_copy(source: Path, to: Path) -> None:
    """Give a file a second name, or, where the file system has no such thing, copy it.

    Raises:
        OSError: It cannot be read or written; nothing is left behind.
    """
    temporary = to.with_name(f".{to.name[:40]}.{os.urandom(16).hex()}")
    note_path(temporary, lasting=False)
    try:
        try:
            temporary.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, temporary)
            temporary.chmod(0o600)
        temporary.replace(to)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path, head_bytes: int = 0) -> tuple[bytes, bytes]:
    """Read a plain file of our own, its head and what follows, which may be large.

    Both are empty where there is none, or others could have written it.
    """
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 - of a descriptor
            if _is_own(os.fstat(file.fileno())):
                return file.read(head_bytes), file.read()
    except OSError:
        pass
    return b"", b""


def _known_by(files: Sequence[Path]) -> str:
    """Return what files of our own that were read once are known by; empty where that is unsure."""
    boot, lines = boot_id(), list[str]()
    for file in files:
        try:
            status = file.lstat()
        except OSError:
            return ""
        if not (boot and _is_own(status)):
            return ""
        numbers = (status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)
        lines.append(f"{file.name} {numbers}")
    return "\n".join([boot, *lines])


def _mark_as_needed(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.stat().st_mtime < time.time() - _DAY_S:
            os.utime(path)


@functools.cache
def _forget_once(folder: Path) -> None:
    """Forget what is old, once a command: a folder may hold thousands of things."""
    with contextlib.suppress(OSError):
        _forget_old(folder, _MOST_OF_ALL_BYTES)


def _forget_old(folder: Path, most_bytes: int) -> None:
    """Remove what was not needed for long, and the oldest where there is too much.

    Raises:
        OSError: The folder cannot be read, or another snapenv was quicker.
    """
    with os.scandir(folder) as entries:
        aged = [(entry.stat(follow_symlinks=False), entry.path) for entry in entries]
    newest_first = sorted(aged, key=lambda entry: entry[0].st_mtime, reverse=True)
    total, oldest = 0, time.time() - KEPT_S
    for status, path in newest_first:
        total += status.st_size
        is_key = Path(path).name == "key"
        if not is_key and (status.st_mtime < oldest or total > most_bytes):
            Path(path).unlink()


def _make_private(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def _is_safe(folder: Path) -> bool:
    """Return whether nobody else could put a file into a folder, or another folder in its place."""
    try:
        place = folder.resolve(strict=True)
        return _is_own(place.stat()) and all(_keeps(above.stat()) for above in place.parents)
    except OSError:
        return False


def _is_own(status: os.stat_result) -> bool:
    is_plain = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    return is_plain and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _keeps(status: os.stat_result) -> bool:
    """Return whether what lies in a folder can be moved only by its owner, by root or by us."""
    is_shared = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
    return status.st_uid in (0, os.geteuid()) and not is_shared
