"""A place that one command alone writes at a time: the others are told who does.

The lock files lie in a folder of the user's own, and not beside the place.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from typing import TYPE_CHECKING

from snapenv.errors import PlaceBusyError
from snapenv.ownership.lock_file import HeldError, LockFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def claim(folder: Path | None, name: str, *, key: str | None = None) -> Iterator[None]:
    """Hold what is called ``name`` for this command alone, until the block ends.

    ``key`` tells it from all others, where the name alone does not. Lock files lie in ``folder``;
    where that is None or cannot be written, nothing is held: what is written is whole or not at
    all even so.

    Raises:
        PlaceBusyError: Another command holds it.
    """
    lock = _take(folder, name, key or name) if folder else None
    try:
        yield
    finally:
        if lock:
            lock.remove()


def claim_path(folder: Path | None, path: Path) -> contextlib.AbstractContextManager[None]:
    """Hold a file or folder that is to be made, as ``claim`` does, by whatever name it is given."""
    return claim(folder, str(path), key=os.path.realpath(path))


def busy(name: str, holder: str) -> PlaceBusyError:
    """Say that another process writes ``name``; ``holder`` is what it says of itself."""
    return PlaceBusyError(
        f"{name} is being written by {holder or 'another process'}",
        hint="Wait until that has ended, or give another place.",
    )


def describe_self() -> str:
    """Say who this process is, to a person who finds that it holds something."""
    return f"process {os.getpid()}, a snapenv that runs since {time.strftime('%H:%M:%S')}"


def _take(folder: Path, name: str, key: str) -> LockFile | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = LockFile.take(folder / hashlib.sha256(os.fsencode(key)).hexdigest())
    except HeldError as error:
        raise busy(name, error.text) from error
    except OSError:
        return None
    with contextlib.suppress(OSError):  # it is held even if it does not say by whom
        lock.write(describe_self())
    return lock
