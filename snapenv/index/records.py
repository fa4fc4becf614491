"""RECORDs that were read before: a wheel never changes, so they are kept for ever.

Each is a file of its own, packed with a checksum, named by the sha256 of its wheel. Its first line
is the size of the wheel in bytes, or nothing, then a space and as JSON the paths of the files that
may be run, and the scripts that pip cuts; an older snapenv did not write these, and what it kept is
read anew.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.content import replace_file
from snapenv.model.wheels import WheelRecord

if TYPE_CHECKING:
    from snapenv.model.wheels import IndexWheel

_SHA256 = re.compile(r"[0-9a-f]{64}")


class RecordCache(Struct, frozen=True):
    """A folder of RECORDs, or none. What cannot be read or written there is as if not there."""

    folder: Path | None

    def find(self, wheel: IndexWheel) -> WheelRecord | None:
        """Return the RECORD of a wheel, if it is kept and whole."""
        path = self._path(wheel)
        if path is None:
            return None
        try:
            head, _, text = gzip.decompress(path.read_bytes()).decode().partition("\n")
            size, _, more = head.partition(" ")
            executable, cut_scripts = json.loads(more)
            if not text or not isinstance(cut_scripts, dict):
                return None
            return WheelRecord(
                text=text,
                size_bytes=int(size) if size else None,
                executable=tuple(executable),
                cut_scripts=cut_scripts,
            )
        except (OSError, EOFError, zlib.error, ValueError, TypeError):
            return None

    def keep(self, wheel: IndexWheel, record: WheelRecord) -> None:
        """Keep the RECORD of a wheel, whole or not at all."""
        path = self._path(wheel)
        if path is not None:
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                more = json.dumps((record.executable, dict(record.cut_scripts)))
                head = f"{record.size_bytes or ''} {more}"
                content = f"{head}\n{record.text}".encode()
                replace_file(path, gzip.compress(content, compresslevel=6, mtime=0))

    def _path(self, wheel: IndexWheel) -> Path | None:
        if self.folder is None or not _SHA256.fullmatch(wheel.sha256):
            return None
        return self.folder / wheel.sha256[:2] / f"{wheel.sha256}.record.gz"
