"""Child processes of snapenv: heard as they speak, and ended where snapenv ends.

Where snapenv is interrupted it ends them itself; where it is killed, their guardian does.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
from typing import IO, TYPE_CHECKING

from snapenv.ownership.interruption import deferred, wake_handle
from snapenv.targets.guardian import GUARDIAN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_CHUNK = 1 << 16  # what a pipe holds
_INTERRUPTION = "interruption"


def start(
    argv: Sequence[str],
    *,
    folder: str | None = None,
    environment: Mapping[str, str] | None = None,
    listens: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own; its stdin is empty unless it ``listens``.

    Raises:
        OSError: It is not there or cannot be executed.
    """
    with deferred():
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE if listens else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        GUARDIAN.watch(process.pid)
    return process


def converse(
    process: subprocess.Popen[bytes],
    *,
    on_bytes: Callable[[bytes], object],
    on_line: Callable[[bytes], None],
    sent: Iterable[bytes] = (),
    farewell_s: float = 0.0,
) -> int:
    """Hear both streams to their ends, and return the exit code.

    ``on_bytes`` is given what stdout says, ``on_line`` each line of stderr with its line break,
    if it has one. ``sent`` is written to stdin, a piece at a time as it is taken; stdin stays open
    until the streams have ended.
    When either raises, or snapenv is interrupted, the program ends with all that it started:
    of itself within ``farewell_s``, since its streams are closed, else it is killed.
    """
    line = b""
    with process:
        try:
            for out, err in _frames(process, (piece for piece in sent if piece)):
                on_bytes(out)
                *whole, line = (line + err).split(b"\n")
                for each in whole:
                    on_line(each + b"\n")
            if line:
                on_line(line)
            if process.stdin:
                process.stdin.close()
            process.wait()
        except BaseException:
            _end(process, farewell_s)
            raise
        finally:
            GUARDIAN.forget(process.pid)
    return process.returncode


def _frames(
    process: subprocess.Popen[bytes], pieces: Iterator[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    """Yield what stdout and stderr say, as (stdout, stderr), while the pieces go to stdin."""
    out, err = _pipe(process.stdout), _pipe(process.stderr)
    rest = memoryview(next(pieces, b""))
    interruption = wake_handle()
    with selectors.DefaultSelector() as selector:
        for stream in (out, err):
            selector.register(stream, selectors.EVENT_READ)
        if interruption is not None:
            selector.register(interruption, selectors.EVENT_READ, _INTERRUPTION)
        if rest:
            os.set_blocking(_pipe(process.stdin).fileno(), False)
            selector.register(_pipe(process.stdin), selectors.EVENT_WRITE)
        while {out, err} & {key.fileobj for key in selector.get_map().values()}:
            for key, _ in selector.select():
                if key.fileobj is process.stdin:
                    rest = _send(key.fd, rest, pieces)
                    output, ended = b"", not rest
                else:
                    output = _read(key)
                    ended = not output
                if ended:
                    selector.unregister(key.fileobj)
                yield (output, b"") if key.fileobj is out else (b"", output)


def _read(key: selectors.SelectorKey) -> bytes:
    if key.data == _INTERRUPTION:  # heard by the main thread, while this may be another one
        raise KeyboardInterrupt
    return os.read(key.fd, _CHUNK)


def _send(stdin: int, rest: memoryview, pieces: Iterator[bytes]) -> memoryview:
    """Write what goes in, and return what is next; nothing where nobody reads any more."""
    try:
        rest = rest[os.write(stdin, rest) :]
    except BrokenPipeError:
        return rest[:0]
    return rest or memoryview(next(pieces, b""))


def _end(process: subprocess.Popen[bytes], farewell_s: float) -> None:
    out, err = _pipe(process.stdout), _pipe(process.stderr)
    if farewell_s:
        _say_farewell(process, farewell_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (out, err):  # which end when the last of them is gone
        while not stream.closed and os.read(stream.fileno(), _CHUNK):
            pass


def _say_farewell(process: subprocess.Popen[bytes], patience_s: float) -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience_s)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise TypeError("opened with a pipe")
    return stream
