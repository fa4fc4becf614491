"""A PostgreSQL of its own on this machine, on a Unix socket, as Debian's user of that name.

Every login is let in without a password but GUARDED, so that a test is whom it names.
Source: https://www.postgresql.org/docs/current/app-pg-ctl.html
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from snapenv.ownership.lock_file import HeldError, LockFile
from tests.engines.place import UnavailableError, install

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARDED = "guarded"  # the one login that needs a password
SUPERUSER = "postgres"
_USER = "postgres"
_PREFIX, _LOCK = "snapenv-pg-", "in-use"
_PORT = "5432"  # part of the socket's name alone
_ACCESS = f"local all {GUARDED} scram-sha-256\nlocal all all trust\n"
_SETTINGS = ("fsync=off", "shared_buffers=16MB", "max_connections=30", "listen_addresses=")


@dataclass(frozen=True, kw_only=True, slots=True)
class Postgres:
    """A server that can be stopped and started; it runs when a test gets it."""

    programs: Path
    folder: Path  # holds the data, the log and the socket

    def url(self, login: str, database: str, *, password: str | None = None) -> str:
        """Return the address of a database for a login."""
        user = quote(login, safe="") + (f":{quote(password, safe='')}" if password else "")
        return f"postgresql://{user}@/{database}?host={quote(str(self.folder))}&port={_PORT}"

    def new_database(self) -> str:
        """Make an empty database, and return its name."""
        name = f"d{uuid.uuid4().hex[:12]}"
        self._program("createdb", "-h", str(self.folder), "-p", _PORT, "-U", SUPERUSER, name)
        return name

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        words = [f"-c {setting}" for setting in _SETTINGS]
        options = " ".join((*words, f"-k {self.folder}", f"-p {_PORT}"))
        self._control("start", "-l", str(self.folder / "log"), "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: ``fast`` ends its connections, ``immediate`` is as a crash."""
        self._control("stop", "-m", mode)

    def log(self) -> str:
        """Return what the server has written so far."""
        return (self.folder / "log").read_text()

    def _control(self, *words: str) -> None:
        self._program("pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", "30", *words)

    def _program(self, name: str, *words: str) -> None:
        """Run a program as the user that owns the folder; its children keep no pipe of ours."""
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                (*_as_owner(), str(self.programs / name), *words),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
            )
            output.seek(0)
            if done.returncode != 0:
                raise UnavailableError(f"{name} exited with {done.returncode}: {output.read()}")


def _as_owner() -> tuple[str, ...]:
    """Return the words that run a program as a user whom PostgreSQL takes: it refuses root."""
    if os.getuid() != 0:
        return ()
    return ("setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups")


def find_programs() -> Path:
    """Return the folder of PostgreSQL's programs, which Debian keeps off PATH.

    ``$SNAPENV_TEST_POSTGRES`` names those of another version.

    Raises:
        UnavailableError: They cannot be had here.
    """
    if named := os.environ.get("SNAPENV_TEST_POSTGRES"):
        return Path(named)
    if not (found := _installed()):
        install({"postgresql": "/usr/lib/postgresql"})
        found = _installed()
    if not found:
        raise UnavailableError("no initdb below /usr/lib/postgresql")
    return found


def _installed() -> Path | None:
    """Return the folder of the newest version of 15 or later."""
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    fitting = [path for path in versions if path.parent.name.isdecimal()]
    newest = max(fitting, key=lambda path: int(path.parent.name), default=None)
    return newest if newest and int(newest.parent.name) >= 15 else None


@contextlib.contextmanager
def run_postgres() -> Iterator[Postgres]:
    """Yield a running server without databases of ours, until the block ends.

    Raises:
        UnavailableError: It cannot run here.
    """
    programs = find_programs()
    _remove_leftovers(programs)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = LockFile.take(folder / _LOCK)
    server = Postgres(programs=programs, folder=folder)
    try:
        if os.getuid() == 0:
            shutil.chown(folder, _USER, _USER)
        server._program(
            *("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", SUPERUSER),
            *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
        )
        (folder / "data" / "pg_hba.conf").write_text(_ACCESS)
        server.start()
        yield server
    finally:
        _remove(server)
        lock.release()


def _remove_leftovers(programs: Path) -> None:
    """End the servers of tests that were killed: nobody holds their lock any more."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(HeldError, OSError):
            lock = LockFile.take(path, create=False)
            _remove(Postgres(programs=programs, folder=path.parent))
            lock.release()


def _remove(server: Postgres) -> None:
    with contextlib.suppress(UnavailableError):  # it may not run
        server.stop("immediate")
    shutil.rmtree(server.folder, ignore_errors=True)
