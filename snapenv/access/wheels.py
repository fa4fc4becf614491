"""The wheels of package indexes, asked for with what this machine knows of them."""

from __future__ import annotations

import io
import tempfile
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO
from zipfile import ZipFile

from snapenv.access.configuration import read_configuration
from snapenv.access.credentials import Credentials
from snapenv.access.download import Download
from snapenv.access.netrc_file import read_netrc
from snapenv.access.part import open_remote
from snapenv.access.record import ARCHIVE_ERRORS, read_record
from snapenv.access.records import RecordCache
from snapenv.access.session import IndexSession, Patience, choose_trust
from snapenv.access.transfer import NoRangesError, TransferError
from snapenv.errors import WriteError
from snapenv.model.wheels import WheelRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from snapenv.model.secret import Secret
    from snapenv.model.wheels import IndexWheel
    from snapenv.ports import Task


@dataclass(frozen=True, slots=True)
class _Machine:
    """What is read of this machine once it is needed."""

    credentials: Credentials
    session: IndexSession


class IndexWheels:
    """The wheels of the indexes that this machine is configured for, as ``ports.Wheels`` says.

    RECORDs are kept in ``cache``, a folder, for ever. The configuration is read when it is first
    needed; a keyring is asked once a host has refused.
    """

    def __init__(self, cache: Path | None, *, patience: Patience | None = None) -> None:
        self._cache = RecordCache(cache)
        self._patience = patience or Patience()
        self._lock = Lock()
        self._known: _Machine | None = None

    def variables(self) -> Mapping[str, str]:
        """Give what uv must be told of the configured indexes; it may hold a credential."""
        return self._machine().credentials.variables()

    def record(self, wheel: IndexWheel) -> WheelRecord:
        """Give a wheel's own RECORD and size, of a few kB where the server can.

        Many may ask at once.

        Raises:
            PackageIndexError: The host does not answer or refuses, or it is no wheel.
            WriteError: The wheel had to be downloaded, and there is no space for it.
        """
        kept = self._cache.find(wheel)
        if kept is not None:
            return kept
        session = self._machine().session
        try:
            record = session.repeat(wheel, lambda: _record_of_parts(wheel, session))
        except NoRangesError:
            record = _record_of_whole(wheel, session)
        self._cache.keep(wheel, record)
        return record

    def fetch(self, wheel: IndexWheel, into: Path, task: Task) -> None:
        """Download a wheel to a new file, whole and with its hash checked, or not at all.

        Raises:
            PackageIndexError: The host does not answer or refuses, or serves other bytes.
            WriteError: The disk is full or the place cannot be written.
        """
        session = self._machine().session
        with _whole_file(into) as file:
            _download(wheel, file, session, task.count)

    def is_private(self, wheel: IndexWheel) -> bool:
        """Say whether this machine has a credential for where the wheel lies."""
        return self._machine().credentials.is_known(wheel.url)

    def secrets(self) -> tuple[Secret, ...]:
        """List each credential that this machine is told, and those that a keyring answered."""
        return self._machine().credentials.secrets()

    def _machine(self) -> _Machine:
        with self._lock:
            if self._known is None:
                self._known = _read_machine(self._patience)
            return self._known


def _read_machine(patience: Patience) -> _Machine:
    configuration = read_configuration()
    environment = configuration.texts.environment
    credentials = Credentials(configuration, read_netrc(environment))
    trust = choose_trust(configuration.pip, environment)
    session = IndexSession(credentials, trust=trust, patience=patience)
    return _Machine(credentials, session)


def _record_of_parts(wheel: IndexWheel, session: IndexSession) -> WheelRecord:
    with _is_archive():
        archive, size_bytes = open_remote(wheel, session)
        with archive:
            return WheelRecord(text=read_record(archive, wheel), size_bytes=size_bytes)


def _record_of_whole(wheel: IndexWheel, session: IndexSession) -> WheelRecord:
    """Download a wheel from a host that gives no parts, and keep its RECORD alone."""

    def read() -> WheelRecord:
        with _is_archive(), ZipFile(file) as archive:
            size_bytes = file.seek(0, io.SEEK_END)
            return WheelRecord(text=read_record(archive, wheel), size_bytes=size_bytes)

    with _writing("a temporary file"), tempfile.TemporaryFile() as file:
        _download(wheel, file, session, lambda _done, _total: None)
        return session.repeat(wheel, read)


def _download(
    wheel: IndexWheel,
    file: BinaryIO,
    session: IndexSession,
    count: Callable[[int, int | None], None],
) -> None:
    download = Download(wheel, file, session=session, count=count)
    session.repeat(wheel, download.go_on)


@contextmanager
def _is_archive() -> Iterator[None]:
    """Turn what a damaged or hostile archive raises into a TransferError."""
    try:
        yield
    except ARCHIVE_ERRORS as error:
        raise TransferError("serves what is no wheel") from error


@contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file beside its place, and put it there when it is whole."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with _writing(str(path)):
        try:
            with temporary.open("x+b") as file:
                yield file
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _writing(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"cannot write {what}: {error.strerror}",
            hint="Free some space, or choose another place.",
        ) from error
