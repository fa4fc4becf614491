"""The wheels of package indexes, asked for with what this machine knows of them."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import re
import zlib
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.index.configuration import read_configuration
from snapenv.index.credentials import Credentials, read_netrc
from snapenv.model.wheels import WheelRecord
from snapenv.ownership.staging import replace_file

if TYPE_CHECKING:
    from snapenv.index.configuration import Configuration
    from snapenv.index.session import IndexSession
    from snapenv.model.uv import Call, UvSettings
    from snapenv.model.wheels import IndexWheel
    from snapenv.network.session import Patience
    from snapenv.ports import Task
    from snapenv.secrets.model import Secret

_SHA256 = re.compile(r"[0-9a-f]{64}")


class RecordCache(Struct, frozen=True):
    """A folder of RECORDs, or none. What cannot be read or written there is as if not there.

    A wheel never changes, so they are kept for ever. Each is a file of its own, packed with a
    checksum, named by the sha256 of its wheel. Its first line is the size of the wheel in bytes, or
    nothing, then a space and as JSON the paths of the files that may be run, and the scripts that
    pip cuts; an older snapenv did not write these, and what it kept is read anew.
    """

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
        except (OSError, EOFError, zlib.error, ValueError, TypeError, RecursionError):
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
                packed = gzip.compress(content, compresslevel=6, mtime=0)
                replace_file(path, packed, lasting=False)

    def _path(self, wheel: IndexWheel) -> Path | None:
        if self.folder is None or not _SHA256.fullmatch(wheel.sha256):
            return None
        return self.folder / wheel.sha256[:2] / f"{wheel.sha256}.record.gz"


class IndexWheels:
    """The wheels of the indexes that this machine is configured for, as ``ports.Wheels`` says.

    RECORDs are kept in ``cache``, a folder, for ever. The configuration is read when it is first
    needed; a keyring is asked once a host has refused.
    """

    def __init__(self, cache: Path | None, *, patience: Patience | None = None) -> None:
        self._cache = RecordCache(cache)
        self._patience = patience
        self._lock = Lock()

    def variables(self) -> dict[str, str]:
        """Return what uv must be told of the configured indexes; it may hold a credential."""
        return self._credentials.variables()

    def uv_settings(self, call: Call) -> UvSettings:
        """Return what a call of uv gets of this machine's configuration, and what it must not."""
        from snapenv.index.uv_isolation import uv_settings

        return uv_settings(self._configuration, self._credentials.variables(), call=call)

    def record(self, wheel: IndexWheel) -> WheelRecord:
        """Return a wheel's own RECORD and size, once asked for ever.

        Raises:
            PackageIndexError: The host does not answer or refuses, or it is no wheel.
            WriteError: The wheel had to be downloaded, and there is no space for it.
        """
        kept = self._cache.find(wheel)
        if kept is not None:
            return kept
        from snapenv.index.fetching import read_remote_record

        record = read_remote_record(wheel, self._session())
        self._cache.keep(wheel, record)
        return record

    def fetch(self, wheel: IndexWheel, into: Path, task: Task) -> None:
        """Download a wheel to a new file, whole and with its hash checked, or not at all.

        Raises:
            PackageIndexError: The host does not answer or refuses, or serves other bytes.
            WriteError: The disk is full or the place cannot be written.
        """
        from snapenv.index.fetching import download_wheel

        download_wheel(wheel, into, self._session(), task)

    def is_offered(self, wheel: IndexWheel) -> bool:
        """Return whether its host still has a file, of its size; nothing of it is read.

        Raises:
            PackageIndexError: The host does not answer or refuses.
        """
        from snapenv.index.fetching import is_offered

        return is_offered(wheel, self._session())

    def is_private(self, wheel: IndexWheel) -> bool:
        """Return whether this machine has a credential for where the wheel lies."""
        return self._credentials.is_known(wheel.url)

    def secrets(self) -> tuple[Secret, ...]:
        """List each credential that this machine is told, and those that a keyring answered."""
        return self._credentials.secrets()

    @functools.cached_property
    def _configuration(self) -> Configuration:
        return read_configuration()

    @functools.cached_property
    def _credentials(self) -> Credentials:
        environment = self._configuration.texts.environment
        return Credentials(self._configuration, read_netrc(environment))

    def _session(self) -> IndexSession:
        with self._lock:
            return self._opened

    @functools.cached_property
    def _opened(self) -> IndexSession:
        from snapenv.index.fetching import open_session

        return open_session(self._configuration, self._credentials, self._patience)
