"""A folder with all that a command reads and writes, made anew for each attempt."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.fire.own_engine import Engine
from tests.targets.processes import all_end

if TYPE_CHECKING:
    from collections.abc import Iterator


_WAIT_S = 300.0


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str
    lasted_s: float


def _no_database() -> str:
    raise AssertionError("there is no PostgreSQL in this room")


@dataclass
class Room:
    """``folder`` has home, caches, state, temporary files, and ``work``, where commands run."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    stand_for: Mapping[str, str] = field(default_factory=dict)  # what words of commands mean
    engine: Engine | None = None
    engine_kept: Mapping[str, str] = field(default_factory=dict)
    new_database: Callable[[], str] = _no_database  # the address of an empty one, as its owner

    @property
    def work(self) -> Path:
        """Where commands run, and where what they make belongs."""
        return self.folder / "work"

    @property
    def kept(self) -> Path:
        """What the folder is made anew of."""
        return self.folder.with_name(f"{self.folder.name}-kept")

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a command in here; every child of it has the mark."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("SNAPENV")},
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "home" / ".config"),
            "DOCKER_CONFIG": str(self.folder / "home" / ".docker"),
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",
            "SNAPENV_SAMPLE_INTERVAL": "0",
            "SNAPENV_TEST_MARK": self.mark,
            **self.variables,
        }

    def make(self) -> None:
        """Make it, empty."""
        for name in ("home", "tmp", "cache", "state", "work"):
            (self.folder / name).mkdir(parents=True)

    def keep(self) -> None:
        """Let what is in it now be what every attempt begins with."""
        shutil.rmtree(self.kept, ignore_errors=True)
        _copy(self.folder, self.kept)
        self.engine_kept = self.outside()

    def outside(self) -> Mapping[str, str]:
        """Return what its engine holds, where it has one."""
        return self.engine.look() if self.engine else {}

    def renew(self) -> None:
        """Let it be as it was kept."""
        subprocess.run(["rm", "-rf", str(self.folder)], check=True)
        _copy(self.kept, self.folder)
        if self.engine:
            self.engine.renew(self.engine_kept)

    def start(
        self, *words: str, variables: Mapping[str, str] | None = None, into: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command; its two streams go to files in ``into``, or nowhere.

        Where the first word is a program of Python, that is run in the place of snapenv.
        """
        program = () if words[0].endswith(".py") else ("-m", "snapenv")
        with contextlib.ExitStack() as opened:
            return subprocess.Popen(
                [sys.executable, *program, *words],
                env={**self.environment, **(variables or {})},
                cwd=self.work,
                stdin=subprocess.DEVNULL,
                stdout=_stream(opened, into, "out"),
                stderr=_stream(opened, into, "err"),
                start_new_session=True,
            )

    def run(
        self, *words: str, variables: Mapping[str, str] | None = None, wait_s: float = _WAIT_S
    ) -> Done:
        """Run a command to its end."""
        streams = self.folder.with_name(f"{self.folder.name}-streams")
        streams.mkdir(exist_ok=True)
        begun = time.monotonic()
        process = self.start(*words, variables=variables, into=streams)
        try:
            code = process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.end()
            code = -999
        return Done(code, *said(streams), time.monotonic() - begun)

    def living(self) -> list[int]:
        """Return the processes that were started in here and live."""
        word = f"SNAPENV_TEST_MARK={self.mark}".encode()
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if word in _variables(path)]

    def all_ended(self) -> bool:
        """Return whether nothing lives that was started in here, or is about to end."""
        return all_end(*self.living())

    def end(self) -> None:
        """Kill what lives."""
        for pid in self.living():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert all_end(*self.living())


def said(streams: Path) -> tuple[str, str]:
    """Return what a command that was started with ``into`` has said."""
    out, err = (
        (streams / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err")
    )
    return out, err


def _stream(opened: contextlib.ExitStack, into: Path | None, name: str) -> IO[bytes] | int:
    return opened.enter_context((into / name).open("wb")) if into else subprocess.DEVNULL


def _copy(folder: Path, to: Path) -> None:
    subprocess.run(["cp", "-a", str(folder), str(to)], check=True)


def _variables(process: Path) -> Iterator[bytes] | bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""
