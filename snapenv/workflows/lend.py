"""Fetch here what only this machine's credentials open, and hand it on without them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from snapenv.kept import KeptFiles
from snapenv.lock.pylock import lend_wheels, read_wheels
from snapenv.model.carried import Content
from snapenv.model.snapshot import LENT, PYLOCK_FILE
from snapenv.model.wheels import IndexWheel
from snapenv.workflows.fetch import fetch_wheels

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.snapshot import Installer, Snapshot
    from snapenv.ports import Outside


@dataclass(frozen=True, kw_only=True, slots=True)
class Lent:
    """Files beside a snapshot's own, while it is built; none where all can be had by anyone."""

    files: Mapping[str, Content] = field(default_factory=dict)
    uv: str | None = None  # the wheel of uv among them


def lend(snapshot: Snapshot, into: Path, outside: Outside) -> Lent:
    """Fetch the wheels that lie where this machine has a credential, checked by their hashes.

    They are kept in the user's cache folder: uv, which is handed files, would not keep them.

    Raises:
        PackageIndexError: One cannot be had, or is not what its hash says.
        SnapshotDamagedError: The snapshot's pylock.toml is no such file.
    """
    pylock, lock = snapshot.text(PYLOCK_FILE), snapshot.lock
    uv = _wheel_of(lock.installer)
    wheels = [one for one in read_wheels(pylock, where=lock.tag) if outside.wheels.is_private(one)]
    with_uv = lock.installer.file is None and outside.wheels.is_private(uv)
    if not wheels and not with_uv:
        return Lent()
    with outside.progress.task("Fetching what needs a credential") as task:
        wanted, kept = [*wheels, *([uv] if with_uv else [])], KeptFiles(outside.kept("wheels"))
        fetched = fetch_wheels(wanted, into, outside, task, kept=kept)
    return Lent(
        files={
            f"{LENT}/{PYLOCK_FILE}": lend_wheels(pylock, wheels, where=lock.tag),
            **{f"{LENT}/{name}": path for name, path in fetched.items()},
        },
        uv=f"{LENT}/{uv.filename}" if with_uv else None,
    )


def _wheel_of(uv: Installer) -> IndexWheel:
    return IndexWheel(name="uv", version=uv.version, url=uv.url, sha256=uv.sha256)
