"""The wheels of package indexes, asked for with what this machine knows of them."""

from __future__ import annotations

import functools
from threading import Lock
from typing import TYPE_CHECKING

from snapenv.index.configuration import read_configuration
from snapenv.index.credentials import Credentials
from snapenv.index.netrc_file import read_netrc
from snapenv.index.records import RecordCache

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.index.configuration import Configuration
    from snapenv.index.session import IndexSession
    from snapenv.model.uv import Call, UvSettings
    from snapenv.model.wheels import IndexWheel, WheelRecord
    from snapenv.network.session import Patience
    from snapenv.ports import Task
    from snapenv.secrets.model import Secret


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
        """Return what a call of uv gets of this machine's configuration, and what it must not get.

        It may hold a credential.
        """
        from snapenv.index.uv_isolation import uv_settings

        return uv_settings(self._configuration, self._credentials.variables(), call=call)

    def record(self, wheel: IndexWheel) -> WheelRecord:
        """Return a wheel's own RECORD and size, of a few kB where the server can.

        Many may ask at once.

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
