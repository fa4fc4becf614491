"""What is asked of the hosts of wheels: a RECORD by parts, or a whole wheel.

requests is imported here, and this module late: most captures ask nothing.
"""

from __future__ import annotations

import io
import tempfile
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO
from zipfile import ZipFile

from snapenv.errors import WriteError
from snapenv.index.download import Download
from snapenv.index.range_reader import open_remote
from snapenv.index.record import ARCHIVE_ERRORS, read_record
from snapenv.index.session import IndexSession, NoRangesError, choose_trust
from snapenv.network.session import ABSENT, Patience, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from snapenv.index.configuration import Configuration
    from snapenv.index.credentials import Credentials
    from snapenv.model.wheels import IndexWheel, WheelRecord
    from snapenv.network.session import Response
    from snapenv.ports import Task

_MOST_DIGITS = 18  # of a size


def open_session(
    configuration: Configuration, credentials: Credentials, patience: Patience | None
) -> IndexSession:
    """Make ready to ask with these credentials; nothing is asked yet."""
    trust = choose_trust(configuration.pip, configuration.texts.environment)
    return IndexSession(credentials, trust=trust, patience=patience or Patience())


def read_remote_record(wheel: IndexWheel, session: IndexSession) -> WheelRecord:
    """Return a wheel's own RECORD and size; where the host gives no parts, of the whole wheel.

    Raises:
        PackageIndexError: The host does not answer or refuses, or it is no wheel.
        WriteError: The wheel had to be downloaded, and there is no space for it.
    """
    try:
        return session.repeat(wheel, lambda: _record_of_parts(wheel, session))
    except NoRangesError:
        return _record_of_whole(wheel, session)


def is_offered(wheel: IndexWheel, session: IndexSession) -> bool:
    """Return whether its host still has a file, of its size; nothing of it is read.

    Raises:
        PackageIndexError: The host does not answer or refuses.
    """

    def ask() -> bool:
        try:
            with session.get(wheel, part="bytes=0-0") as response:
                size_bytes = _size_of_whole(response)
                return None in (size_bytes, wheel.size_bytes) or size_bytes == wheel.size_bytes
        except NoRangesError:
            return True
        except RequestError as error:
            if error.status in ABSENT:
                return False
            raise

    return session.repeat(wheel, ask)


def _size_of_whole(response: Response) -> int | None:
    """Return how large a file is of which one byte was asked for; None where nothing tells."""
    length = response.headers.get("Content-Range", "").rpartition("/")[2]
    if not length and response.headers.get("Content-Encoding") is None:
        length = response.headers.get("Content-Length", "")
    is_size = length.isascii() and length.isdecimal() and len(length) <= _MOST_DIGITS
    return int(length) if is_size else None


def download_wheel(wheel: IndexWheel, into: Path, session: IndexSession, task: Task) -> None:
    """Download a wheel to a new file, whole and with its hash checked, or not at all.

    Raises:
        PackageIndexError: The host does not answer or refuses, or serves other bytes.
        WriteError: The disk is full or the place cannot be written.
    """
    with _whole_file(into) as file:
        _download(wheel, file, session, task.count)


def _record_of_parts(wheel: IndexWheel, session: IndexSession) -> WheelRecord:
    with _is_archive():
        archive, size_bytes = open_remote(wheel, session)
        with archive:
            return read_record(archive, wheel, size_bytes)


def _record_of_whole(wheel: IndexWheel, session: IndexSession) -> WheelRecord:
    """Download a wheel from a host that gives no parts, and keep its RECORD alone."""

    def read() -> WheelRecord:
        with _is_archive(), ZipFile(file) as archive:
            size_bytes = file.seek(0, io.SEEK_END)
            return read_record(archive, wheel, size_bytes)

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
    """Turn what a damaged or hostile archive raises into a RequestError."""
    try:
        yield
    except ARCHIVE_ERRORS as error:
        raise RequestError("serves a file that is not a wheel") from error


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
