"""Where the real parts live, and how programs are run to make them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_SHORT = 60  # a Unix socket's path has at most 107 characters, and containerd adds its own
_STARTS_WITHIN_S = 60.0


class UnavailableError(Exception):
    """A real part cannot be had on this machine; the message says why in a few words."""


@dataclass(frozen=True, slots=True)
class Place:
    """The cache folder of the real parts."""

    folder: Path

    @classmethod
    def default(cls) -> Place:
        """Return ``$SNAPENV_TEST_CACHE``, else a folder in the home's cache."""
        named = os.environ.get("SNAPENV_TEST_CACHE")
        return cls(Path(named) if named else Path.home() / ".cache" / "snapenv-tests")

    @property
    def run(self) -> Path:
        """Sockets and pid files: in the cache, or in a short folder where that is too deep."""
        inside = self.folder / "run"
        if len(str(inside)) <= _SHORT:
            return inside
        key = hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]
        return Path(tempfile.gettempdir()) / f"snapenv-tests-{os.getuid()}-{key}"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Let one process at a time make and start things here."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """A program of ours that runs in the background until it is stopped."""

    name: str
    pid_file: Path
    log: Path

    def pid(self) -> int | None:
        """Return its process, if it still runs and is not another one of the same number."""
        try:
            pid = int(self.pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if self.name.encode() in command else None

    def start(self, argv: Sequence[str], *, answers: Callable[[], bool]) -> None:
        """Start it, apart from this session, and wait until it answers.

        Raises:
            UnavailableError: It ended, or does not answer.
        """
        self.pid_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + _STARTS_WITHIN_S
        while time.monotonic() < until and process.poll() is None:
            if answers():
                self.pid_file.write_text(str(process.pid))
                process.returncode = 0  # it outlives us: not to be waited for
                return
            time.sleep(0.1)
        process.terminate()
        raise UnavailableError(f"{self.name} does not start here: {_last_line(self.log)}")

    def stop(self) -> bool:
        """End it and wait until it is gone; False where it did not run."""
        pid = self.pid()
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + _STARTS_WITHIN_S
        while self.pid() is not None and time.monotonic() < until:
            time.sleep(0.1)
        return True


def say(text: str) -> None:
    """Tell what is being made; pytest shows it where a test fails."""
    sys.stderr.write(f"{text}\n")


def call(*argv: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a program to its end and give its stdout.

    Raises:
        UnavailableError: It is not there, or failed.
    """
    try:
        done = subprocess.run(
            argv,
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, **(environment or {})},
        )
    except OSError as error:
        raise UnavailableError(f"cannot run {argv[0]}: {error.strerror}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no word"]
        raise UnavailableError(f"{argv[0]} exited with {done.returncode}: {said[-1]}")
    return done.stdout


def install(packages: Mapping[str, str]) -> None:
    """Install Debian packages whose program, by package, is not on PATH.

    Raises:
        UnavailableError: Not Linux, not root, or no apt.
    """
    if sys.platform != "linux":
        raise UnavailableError("not Linux")
    if os.getuid() != 0:
        raise UnavailableError("not root")
    missing = [name for name, program in packages.items() if not _there(program)]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise UnavailableError(f"no apt to install {', '.join(missing)}")
    say(f"installing {', '.join(missing)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    call("apt-get", "update", "--quiet", environment=quiet)
    call("apt-get", "install", "-y", "--no-install-recommends", *missing, environment=quiet)


def _there(program: str) -> bool:
    if program.startswith("/"):
        return Path(program).exists()
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no word"


def kept_port(kept: Path) -> int:
    """Return the port of last time, which is in the names of the images, or a free one."""
    if kept.exists():
        return int(json.loads(kept.read_text())["port"])
    port = free_port()
    kept.write_text(json.dumps({"port": port}))
    return port


def free_port() -> int:
    """Return a port of loopback that is free, and that no connection is given meanwhile."""
    return free_ports(1)[0]


def free_ports(count: int) -> tuple[int, ...]:
    """Return different ports of loopback that are free, and that no connection is given meanwhile.

    The kernel takes those of connections from 32768 on, also while a server is about to start.
    """
    found = set[int]()
    while len(found) < count:
        port = secrets.choice(range(20_000, 32_768))
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
    return tuple(found)
