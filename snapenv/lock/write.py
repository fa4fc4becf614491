"""Write the files of a snapshot to a folder, whole or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.content import write_content
from snapenv.ownership.staging import staged
from snapenv.threads import do_at_once

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.carried import Content

CAPTURED = "# captured at "  # sha256sum -c passes over comments
_WRITERS = 4  # threads


def sums_file(captured_at: str, lines: bytes) -> bytes:
    """Return SHA256SUMS of a snapshot; ``captured_at`` is in ISO 8601."""
    return f"{CAPTURED}{captured_at}\n".encode() + lines


def write_files(files: Mapping[str, Content], folder: Path, *, scratch: Path | None = None) -> None:
    """Write files to a new folder, under a temporary name until all are there.

    Those that lie below ``scratch``, which nothing writes to again, are linked where that can be;
    all others are copied.

    Raises:
        PlaceTakenError: Something else stands there already.
        SnapshotDamagedError: A carried file is gone or cannot be read; nothing is left behind.
        WriteError: The disk is full or the place cannot be written; nothing is left behind.
    """
    with staged(folder, folder=0o700) as temporary:
        for above in {(temporary / name).parent for name in files}:
            above.mkdir(exist_ok=True)
        do_at_once(
            lambda file: _write(temporary / file[0], file[1], scratch),
            files.items(),
            most=_WRITERS,
        )
        temporary.chmod(0o755)


def _write(place: Path, content: Content, scratch: Path | None) -> None:
    if isinstance(content, Path) and scratch in content.parents:
        with contextlib.suppress(OSError):  # another file system, or one without links
            place.hardlink_to(content)
            place.chmod(0o644)
            return
    write_content(place, content)
