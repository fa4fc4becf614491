"""Places in which others may write too: what they put there is not followed, and not waited for.

Linux names an open file or folder by its number, and that name leads nowhere else, whoever moves
the thing meanwhile. Elsewhere names are as they are.
Source: https://man7.org/linux/man-pages/man5/proc_pid_fd.5.html
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OPEN = Path("/proc/self/fd")
_NAMED = getattr(os, "O_PATH", None)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_LINKS = 40  # as of Linux


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` and ``~user`` expanded, or as it is where there is no such user."""
    try:
        return Path(os.path.expanduser(path))  # noqa: PTH111 - Path raises RuntimeError then
    except ValueError:  # no name of a user holds a NUL
        return Path(path)


def home(environment: Mapping[str, str]) -> Path:
    """Return the home folder, by HOME or of the user; ``~`` where neither is known."""
    return Path(environment.get("HOME") or expanded("~"))


# As Path's own methods are from Python 3.14 on; before, they raise OSError where a folder above may
# not be entered, or where a name is too long.
def exists(path: Path) -> bool:
    """Return whether there is something; False where that cannot be found out."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: Path) -> bool:
    """Return whether there is a file; False where that cannot be found out."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Return whether there is a folder; False where that cannot be found out."""
    return os.path.isdir(path)  # noqa: PTH112


def is_link(path: Path) -> bool:
    """Return whether there is a symbolic link; False where that cannot be found out."""
    return os.path.islink(path)  # noqa: PTH114


def open_plain(path: Path, *, follow: bool = True) -> BinaryIO:
    """Open a plain file to read where somebody else may have put a pipe, which would never answer.

    Raises:
        OSError: It is not there, is no plain file, or cannot be read.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    handle = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    return os.fdopen(handle, "rb")


def refuse_odd(path: Path) -> None:
    """Check that a file may be put in the place of what is there: nothing, or a plain file.

    Raises:
        OSError: A device, a pipe, a socket or a folder is there, or a link to one.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(errno.EEXIST, "what is there is no plain file", str(path))


@contextlib.contextmanager
def pinned(folder: Path) -> Iterator[Path]:
    """Yield a name for a folder as it is now; a link on the way is followed as ``_follows`` says.

    Raises:
        OSError: There is no such folder, or a link of somebody else leads there.
    """
    if not can_name():
        yield folder
        return
    handle = open_folder(folder)
    try:
        yield named(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def entered(folder: Path) -> Iterator[Path]:
    """Yield such a name for a folder that was just made; a link in its place is refused.

    Raises:
        OSError: It is no folder any more.
    """
    if not can_name():
        yield folder
        return
    handle = os.open(folder, (_NAMED or 0) | _FOLDER | os.O_NOFOLLOW)
    try:
        yield named(handle)
    finally:
        os.close(handle)


def named(handle: int) -> Path:
    """Return the name of what is open, which leads there for as long as it is open."""
    return _OPEN / str(handle)


def open_writable(name: str | Path, *, above: int | None = None) -> int:
    """Open a folder after giving its owner every right to it; a link is none.

    Raises:
        OSError: It is no folder, or somebody else's.
    """
    if can_name():
        handle = os.open(name, (_NAMED or 0) | _FOLDER | os.O_NOFOLLOW, dir_fd=above)
        try:
            named(handle).chmod(0o700)
            return os.open(named(handle), _FOLDER)
        finally:
            os.close(handle)
    os.chmod(name, 0o700, dir_fd=above, follow_symlinks=False)
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)


def give_folder(folder: Path, uid: int, gid: int) -> None:
    """Make a folder somebody's own; a link that somebody has put in its place stays as it is.

    Raises:
        OSError: It is no folder, or may not be given away.
    """
    with pinned(folder.parent) as above:
        handle = os.open(above / folder.name, _FOLDER | os.O_NOFOLLOW)
        try:
            os.fchown(handle, uid, gid)
        finally:
            os.close(handle)


def can_name() -> bool:
    """Return whether this system names what is open."""
    return _NAMED is not None and _OPEN.is_dir()


def open_folder(folder: Path) -> int:
    """Open a folder, one name after another.

    Raises:
        OSError: There is no such folder, or a link of somebody else leads there.
    """
    flags = (_NAMED or 0) | os.O_CLOEXEC | os.O_NOFOLLOW
    left, links = list(folder.absolute().parts[:0:-1]), 0
    opened = [os.open("/", flags)]
    try:
        while left:
            above, name = opened[-1], left.pop()
            opened.append(os.open(name, flags, dir_fd=above))
            target = _target(opened[-1], above, folder)
            if target is not None and _is_of_proc(above):
                os.close(opened.pop())
                opened.append(os.open(name, flags & ~os.O_NOFOLLOW, dir_fd=above))
            elif target is not None:
                os.close(opened.pop())
                left.extend(Path(target).parts[::-1])
                links += 1
                _check(links <= _MOST_LINKS, errno.ELOOP, folder)
        _check(stat.S_ISDIR(os.fstat(opened[-1]).st_mode), errno.ENOTDIR, folder)
        return opened.pop()
    finally:
        for handle in opened:
            os.close(handle)


def _check(holds: bool, number: int, folder: Path) -> None:  # noqa: FBT001 - what is checked
    if not holds:
        raise OSError(number, os.strerror(number), str(folder))


def _target(handle: int, above: int, folder: Path) -> str | None:
    """Return where a link leads; None of what is none."""
    status = os.fstat(handle)
    if not stat.S_ISLNK(status.st_mode):
        return None
    if not _follows(status.st_uid, os.fstat(above).st_uid):
        raise OSError(errno.EACCES, "a link of another user leads there", str(folder))
    return os.readlink("", dir_fd=handle)


def _is_of_proc(folder: int) -> bool:
    """Return whether the kernel has made the links of a folder; they lead where no name does."""
    return os.fstat(folder).st_dev == _OPEN.parents[1].stat().st_dev


def _follows(owner: int, owner_above: int) -> bool:
    """Return whether a link is followed: one's own, root's, or of the owner of its folder.

    Linux has the same rule for folders like /tmp alone.
    Source: https://docs.kernel.org/admin-guide/sysctl/fs.html#protected-symlinks
    """
    return owner in {0, os.geteuid(), owner_above}
