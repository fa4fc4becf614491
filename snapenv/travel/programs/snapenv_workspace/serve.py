"""Keep the programs of a workspace running until a signal ends it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv_workspace import served, ssh

if TYPE_CHECKING:
    from types import FrameType
    from typing import Callable

_LOOK_EVERY_S = 0.2
_LONGEST_PAUSE_S = 30.0
_PROC = Path("/proc")


class _Ended(Exception):  # noqa: N818 - it is no error
    """A signal asked the workspace to end."""


class _Keeper:
    """Keeps one program running: what ends is started again, each time after a longer pause."""

    def __init__(self, program: served.Program) -> None:
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._pause_s = 0.0
        self._start_at = 0.0

    def tend(self) -> None:
        """Start the program if it does not run and its pause is over."""
        if self._process and self._process.poll() is not None:
            code = self._process.returncode
            self._process = None
            self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2 + 1)
            self._start_at = time.monotonic() + self._pause_s
            _say(f"{self._program.name} ended with {code}; again in {self._pause_s:.0f} s")
        if self._process is None and time.monotonic() >= self._start_at:
            self._process = subprocess.Popen(
                self._program.argv,
                env={**os.environ, **self._program.environment},
                stdin=subprocess.DEVNULL,
            )

    def end(self) -> None:
        """Ask the program to end, and wait for it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def main() -> int:
    """Serve what the words ask for, until SIGINT, SIGTERM or SIGHUP; return 0."""
    wanted = served.parse(sys.argv[1:])
    _handle_signals(_end)
    keepers: list[_Keeper] = []
    try:
        _prepare(wanted)
        keepers += [_Keeper(program) for program in served.programs(wanted)]
        while True:
            for keeper in keepers:
                keeper.tend()
            time.sleep(_LOOK_EVERY_S)
    except _Ended:
        _handle_signals(signal.SIG_IGN)
        _end_all(keepers, contained=wanted.contained)
    return 0


def _handle_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def _prepare(wanted: served.Served) -> None:
    """Make what nobody else may know: the token, and the key of the host."""
    umask = os.umask(0o077)
    state = Path(wanted.state)
    state.mkdir(parents=True, exist_ok=True)
    token = state / served.TOKEN_FILE
    if wanted.jupyter and not token.exists():
        token.write_text(secrets.token_urlsafe(32))
    if wanted.ssh:
        ssh.prepare(Path(wanted.ssh), state, wanted.keys, os.environ)
    served.write(wanted)
    os.umask(umask)


def _end_all(keepers: list[_Keeper], *, contained: bool) -> None:
    """End the programs, and wait for them.

    In a container everything is first interrupted as by Ctrl-C, so that a training can save its
    state: what was started by ssh or from a terminal is nobody's child here.
    """
    if contained:
        for process in _others():
            with contextlib.suppress(OSError):  # it has ended
                os.kill(process, signal.SIGINT)
    for keeper in keepers:
        keeper.end()
    while contained and _others():
        time.sleep(_LOOK_EVERY_S)


def _others() -> list[int]:
    """Return the processes of this container beside its init and this program."""
    numbers = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    return [number for number in numbers if number not in (1, os.getpid()) and _runs(number)]


def _runs(process: int) -> bool:
    """Return whether a process runs, and is of this user."""
    try:
        status = _fields(_PROC / str(process) / "status")
    except OSError:
        return False
    user = status.get("Uid", "").split()[:1]
    return user == [str(os.getuid())] and not status.get("State", "Z").startswith("Z")


def _fields(file: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in file.read_text(errors="replace").splitlines())
    return {name: value.strip() for name, _, value in lines}


def _end(number: int, frame: FrameType | None) -> None:
    del frame
    raise _Ended(number)


def _say(text: str) -> None:
    sys.stderr.write(f"workspace: {text}\n")
    sys.stderr.flush()
