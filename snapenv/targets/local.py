"""This machine: programs run as child processes of snapenv."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from snapenv.errors import InterpreterError, WriteError
from snapenv.ports import Completed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# What belongs to the Python that snapenv itself runs on would mislead another one.
_OURS = ("__PYVENV_LAUNCHER__", "PYTHONHOME", "PYTHONEXECUTABLE")


@dataclass(frozen=True, slots=True)
class LocalTarget:
    """An environment of this machine, by its interpreter."""

    python: str

    def run(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, bytes] | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run a program as ``ports.Target`` says; it ends with snapenv if that is interrupted."""
        with tempfile.TemporaryDirectory(prefix="snapenv-", ignore_cleanup_errors=True) as folder:
            for name, content in (files or {}).items():
                _write(Path(folder, name), content)
            inherited = {name: value for name, value in os.environ.items() if name not in _OURS}
            return _run(argv, folder, {**inherited, **(environment or {})}, on_line)


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise WriteError(
            f"cannot write {path}: {error.strerror}", hint="Free some space, or set TMPDIR."
        ) from error


def _run(
    argv: Sequence[str],
    folder: str,
    environment: Mapping[str, str],
    on_line: Callable[[str], None] | None,
) -> Completed:
    try:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise InterpreterError(
            f"cannot run {argv[0]}: {error.strerror}",
            hint="Give the path of a Python, such as --python ENV/bin/python.",
        ) from error
    with process:
        stdout, stderr = _listen(process, on_line)
    return Completed(exit_code=process.returncode, stdout=stdout, stderr=stderr)


def _listen(
    process: subprocess.Popen[bytes], on_line: Callable[[str], None] | None
) -> tuple[str, str]:
    """Read both streams to their ends: stdout in a thread, stderr here, line by line.

    An interruption ends the program with all that it started, which may hold the streams too.
    """
    stdout: list[bytes] = []
    reader = threading.Thread(target=lambda: stdout.extend(_pipe(process.stdout)), daemon=True)
    reader.start()
    stderr: list[str] = []
    try:
        for line in _pipe(process.stderr):
            stderr.append(line.decode(errors="replace"))
            if on_line:
                on_line(stderr[-1].rstrip())
        reader.join()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        reader.join()
        raise
    return b"".join(stdout).decode(errors="replace"), "".join(stderr)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise TypeError("opened with a pipe")
    return stream
