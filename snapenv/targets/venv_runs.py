"""Runs in a venv: processes of this machine, known by their folder in the user's state folder.

``process.json`` holds what finds a process again, ``output.log`` what one in the background
printed, and ``exit-code`` how it ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import (
    CommandMissingError,
    CommandRefusedError,
    NotFoundError,
    StartError,
    WriteError,
)
from snapenv.json_text import read_json
from snapenv.model.launch import RUN_ID, Ended, Launch, RunState
from snapenv.ownership.interruption import deferred
from snapenv.ownership.leftovers import remove
from snapenv.ownership.staging import replace_file
from snapenv.places import exists, is_file
from snapenv.ports import Completed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from snapenv.ports import Frame

_PROCESS, _LOG, _CODE = "process.json", "output.log", "exit-code"
_SCRATCH = "scratch"
_HANDED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_BY_TERMINAL = 0x80  # SI_KERNEL of asm-generic/siginfo.h: the terminal told the whole group
_POLL_S = 0.1
# Waits for the program whatever signals its group gets, which the program hears as usual.
_SUPERVISE = """
cd "$1" && shift || exit
trap : INT TERM HUP QUIT
"$@"
code=$?
echo "$code" > "$0.new" && mv "$0.new" "$0"
"""


class _Process(Struct, frozen=True, kw_only=True):
    """What finds a process again: a number is given to another one some day."""

    pid: int
    ticks: int  # when it began, as the kernel counts since the boot
    started: str
    launch: Launch
    group: bool  # it leads a process group of its own
    exit_code: int | None = None
    finished: str | None = None


class VenvRuns(Struct, frozen=True):
    """Processes, as ``ports.Runs`` says; ``state`` is the user's state folder."""

    state_folder: Path

    def refused_limits(self) -> tuple[str, ...]:
        """Return none: a process keeps the limits of its caller."""
        return ()

    def run(self, launch: Launch) -> Ended:
        """Run in the foreground; on a terminal it hears Ctrl-C and Ctrl-Z as if called there."""
        got = list[int]()
        with _blocked() as heard:
            self._prepare(launch)
            process = _spawn(launch)
            try:
                self._note(launch, process.pid, group=not launch.tty)
            except WriteError:
                process.wait()
                raise
            while process.poll() is None:
                info = signal.sigtimedwait({*heard, signal.SIGCHLD}, _POLL_S * 10)
                if info is None or info.si_signo == signal.SIGCHLD:
                    continue
                got.append(info.si_signo)
                if not (launch.tty and info.si_code == _BY_TERMINAL):
                    _send(process.pid, info.si_signo, group=not launch.tty)
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        record = self._read(launch.run)
        if record:
            self._write(launch.run, replace(record, exit_code=code, finished=_now()))
        state = self.state(launch.run) or RunState(run=launch.run, status="exited", exit_code=code)
        return Ended(state=state, output=b"", signals=tuple(got))

    def start(self, launch: Launch) -> RunState:
        """Start in the background."""
        self._prepare(launch)
        folder = self._folder(launch.run)
        with deferred():
            pid = _spawn_supervised(launch, folder / _CODE, folder / _LOG)
            self._note(launch, pid, group=True)
        state = self.wait(launch.run, 2 * _POLL_S)
        return state or RunState(run=launch.run, status="exited")

    def attach(self, run: str) -> Ended:
        """Show what a run prints until it ends; Ctrl-C goes to the run."""
        if not self._is_running(run):
            raise _not_running(run)
        tail = bytearray()
        while True:
            try:
                for out, _ in self.logs(run, follow=True, tail=0 if not tail else None):
                    tail += out or b""
                    os.write(1, out or b"")
                break
            except KeyboardInterrupt:
                self.signal(run, signal.SIGINT)
        state = self.state(run) or RunState(run=run, status="exited")
        return Ended(state=state, output=bytes(tail[-64 * 1024 :]))

    def state(self, run: str) -> RunState | None:
        """Return how a run stands."""
        record = self._read(run)
        if record is None:
            return None
        running = start_ticks(record.pid) == record.ticks and record.exit_code is None
        code, finished = record.exit_code, record.finished
        if code is None and not running:
            code, finished = self._ended(run)
        return RunState(
            run=run,
            status="running" if running else "exited",
            pid=record.pid,
            exit_code=code,
            started=record.started,
            finished=finished,
            labels=record.launch.labels,
        )

    def list_runs(self) -> tuple[RunState, ...]:
        """Return how each run stands, the newest first."""
        folder = self.state_folder / "runs"
        names = [each.parent.name for each in folder.glob(f"*/{_PROCESS}")]
        states = filter(None, map(self.state, names))
        return tuple(sorted(states, key=lambda each: each.started or "", reverse=True))

    def logs(self, run: str, *, follow: bool, tail: int | None) -> Iterator[Frame]:
        """Yield what a run in the background has printed."""
        path = self._folder(run) / _LOG
        if not exists(path):
            raise NotFoundError(
                f"no output of {run} is kept", hint="Only a run with --detach keeps what it prints."
            )
        with path.open("rb") as file:
            text = file.read()
            if tail is not None:
                text = b"".join(text.splitlines(keepends=True)[-tail:] if tail else ())
            while True:
                running = self._is_running(run)
                if text:
                    yield text, None
                text = file.read()
                if not text:
                    if not follow or not running:
                        return
                    time.sleep(_POLL_S)

    def signal(self, run: str, number: int) -> None:
        """Send a signal to the process group of a run."""
        record = self._read(run)
        if record and start_ticks(record.pid) == record.ticks:
            _send(record.pid, number, group=record.group)

    def wait(self, run: str, timeout_s: float | None = None) -> RunState | None:
        """Wait for the end of a run."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            state = self.state(run)
            if not (state and state.running) or (until and time.monotonic() >= until):
                return state
            time.sleep(_POLL_S)

    def stop(self, run: str, grace_s: int) -> RunState | None:
        """Send its stop signal, and SIGKILL after so many seconds."""
        record = self._read(run)
        if record:
            self.signal(run, signal.Signals[record.launch.stop_signal])
            state = self.wait(run, grace_s)
            if state and state.running:
                self.signal(run, signal.SIGKILL)
                return self.wait(run, 2.0)
        return self.state(run)

    def execute(
        self,
        run: str,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        connected: bool = False,
    ) -> Completed:
        """Run one more program in the venv of a run, and in its folder."""
        record = self._read(run)
        if record is None or not self._is_running(run):
            raise _not_running(run)
        variables = {**_variables(record.launch), **(environment or {})}
        with _start_errors(argv[0], record.launch):
            done = subprocess.run(
                list(argv),
                cwd=record.launch.folder,
                env=variables,
                stdin=None if connected else subprocess.DEVNULL,
                capture_output=not connected,
                check=False,
            )
        return Completed(
            exit_code=done.returncode,
            stdout=(done.stdout or b"").decode(errors="replace"),
            stderr=(done.stderr or b"").decode(errors="replace"),
        )

    def put(self, run: str, files: Mapping[str, bytes]) -> None:
        """Write files, each in a folder that only its user may read."""
        del run
        try:
            for path, content in files.items():
                Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                replace_file(Path(path), content, lasting=False)
        except OSError as error:
            raise WriteError(
                f"cannot write {error.filename}: {error.strerror}", hint="Free some space."
            ) from error

    def remove(self, run: str) -> None:
        """End a run at once, and take away what is left of it but its record."""
        self.signal(run, signal.SIGKILL)
        folder = self._folder(run)
        for name in (_PROCESS, _LOG, _CODE, _SCRATCH):
            with contextlib.suppress(FileNotFoundError):
                remove(folder / name)

    def _prepare(self, launch: Launch) -> None:
        """Make the folder of a run and write its files; refuse what cannot be started."""
        folder = self._folder(launch.run)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(
                f"cannot write {folder}: {error.strerror}", hint="Free some space."
            ) from error
        self.put(launch.run, launch.files)
        _refuse_missing(launch)

    def _note(self, launch: Launch, pid: int, *, group: bool) -> None:
        """Write down what finds a process again; where that cannot be, it is ended."""
        ticks = start_ticks(pid) or 0
        process = _Process(pid=pid, ticks=ticks, started=_now(), launch=launch, group=group)
        try:
            self._write(launch.run, process)
        except OSError as error:
            _send(pid, signal.SIGKILL, group=group)
            raise WriteError(
                f"cannot write {self._folder(launch.run) / _PROCESS}: {error.strerror}",
                hint=f"Free some space. {launch.argv[0]} was ended: it would not be found again.",
            ) from error

    def _folder(self, run: str) -> Path:
        if not RUN_ID.fullmatch(run):
            raise NotFoundError(f"{run!r} is no run", hint="See snapenv ps --all.")
        return self.state_folder / "runs" / run

    def _read(self, run: str) -> _Process | None:
        try:
            return read_json((self._folder(run) / _PROCESS).read_bytes(), _Process)
        except (OSError, ValueError):
            return None

    def _write(self, run: str, process: _Process) -> None:
        path = self._folder(run) / _PROCESS
        replace_file(path, msgspec.json.encode(process), lasting=False)

    def _ended(self, run: str) -> tuple[int | None, str | None]:
        """Return the exit code that was written down, and when; None where nobody was there."""
        path = self._folder(run) / _CODE
        try:
            return int(path.read_text()), _rfc3339(path.stat().st_mtime)
        except (OSError, ValueError):
            return None, None

    def _is_running(self, run: str) -> bool:
        state = self.state(run)
        return state is not None and state.running


@contextlib.contextmanager
def _blocked() -> Iterator[set[signal.Signals]]:
    """Let signals wait until they are asked for, but for those that are ignored."""
    heard = {number for number in _HANDED_ON if signal.getsignal(number) is not signal.SIG_IGN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*heard, signal.SIGCHLD})
    try:
        yield heard
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _spawn(launch: Launch) -> subprocess.Popen[bytes]:
    """Start a program with the streams of this process; without a terminal in its own group."""
    with _start_errors(launch.argv[0], launch):
        return subprocess.Popen(
            launch.argv,
            cwd=launch.folder,
            env=_variables(launch),
            stdin=None if launch.stdin else subprocess.DEVNULL,
            start_new_session=not launch.tty,
            preexec_fn=_unblock,  # noqa: PLW1509 - no other thread runs
        )


def _spawn_supervised(launch: Launch, code: Path, log: Path) -> int:
    """Start a program that outlives this process, and writes down its exit code."""
    words = ("sh", "-c", _SUPERVISE, str(code), launch.folder or ".", *launch.argv)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with _start_errors(launch.argv[0], launch):
        return os.posix_spawn(
            "/bin/sh",
            words,
            _variables(launch),
            file_actions=(
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ),
            setsid=True,
        )


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def _send(pid: int, number: int, *, group: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(pid, number)


def start_ticks(pid: int) -> int | None:
    """Return when a process began; None where there is none, or only what it left to its parent.

    Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _variables(launch: Launch) -> dict[str, str]:
    variables: dict[str, str | None] = {**os.environ, **launch.variables}
    return {name: value for name, value in variables.items() if value is not None}


def _refuse_missing(launch: Launch) -> None:
    """Tell a program that is not there from one that may not be executed, before it is started."""
    program, variables = launch.argv[0], _variables(launch)
    places = [""] if "/" in program else variables.get("PATH", "").split(":")
    missing = [
        path for place in places if exists(path := Path(launch.folder or "", place, program))
    ]
    if not missing:
        raise CommandMissingError(
            f"there is no command {program} in {_venv(launch)}",
            hint="Check its name; a file of this folder is called by its path: ./NAME",
        )
    if not any(is_file(path) and os.access(path, os.X_OK) for path in missing):
        raise CommandRefusedError(
            f"{missing[0]} cannot be executed",
            hint="Check that it is a program, and may be executed: ls -l",
        )


@contextlib.contextmanager
def _start_errors(program: str, launch: Launch) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise CommandMissingError(
            f"there is no command {program} in {_venv(launch)}", hint="Check its name."
        ) from error
    except PermissionError as error:
        raise CommandRefusedError(
            f"{program} cannot be executed: {error.strerror}", hint="See who may: ls -l"
        ) from error
    except OSError as error:
        raise StartError(
            f"{program} was not started: {error.strerror}", hint="See ulimit -a, and free memory."
        ) from error


def _venv(launch: Launch) -> str:
    return getattr(launch.place, "folder", sys.prefix)


def _now() -> str:
    return _rfc3339(time.time())


def _rfc3339(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _not_running(run: str) -> NotFoundError:
    return NotFoundError(f"no run {run} is running", hint="See snapenv ps.")
