"""This process's terminal or streams, connected with those of a container.

Source: https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerAttach
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import struct
import termios
import threading
import tty
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator

    from snapenv.ports import Frame

TAIL_BYTES = 64 * 1024
REFUSED = b"[FATAL tini"  # how the engine's init begins the line of a program that it cannot start

_HANDED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_HEADER = struct.Struct(">BxxxI")  # of which stream, and how many bytes
_CHUNK_BYTES = 64 * 1024
_END = b"\0"


class Streamed(Struct, frozen=True, kw_only=True):
    """What passed through: the last of it, what init said in its place, and signals handed on."""

    output: bytes
    refused: str  # empty where the program was started
    signals: tuple[int, ...]


class Controls(Struct, frozen=True, kw_only=True):
    """What is asked of a container meanwhile, from another thread."""

    signal: Callable[[int], None]
    resize: Callable[[int, int], None]  # rows, columns
    abandoned: Callable[[], None]  # nobody reads its output any more


def connect_streams(
    connection: socket.socket, controls: Controls, *, is_tty: bool, stdin: bool
) -> Streamed:
    """Hand everything on, both ways, until the container's output ends."""
    output = _Output(controls.abandoned)
    with (
        _raw_terminal() if is_tty else contextlib.nullcontext(),
        _signals(controls, resizing=is_tty) as got,
        _sending_stdin(connection) if stdin else contextlib.nullcontext(),
    ):
        chunks = iter(lambda: connection.recv(_CHUNK_BYTES), b"")
        for out, err in ((chunk, None) for chunk in chunks) if is_tty else frames(chunks):
            output.take(out, err)
    return Streamed(
        output=bytes(output.tail),
        refused=output.refused.decode(errors="replace").strip(),
        signals=tuple(got),
    )


def frames(chunks: Iterable[bytes]) -> Iterator[Frame]:
    """Tell stdout from stderr in what a container without a terminal prints, as it comes."""
    rest = bytearray()
    number, left = 0, 0
    for chunk in chunks:
        rest += chunk
        while rest:
            if not left:
                if len(rest) < _HEADER.size:
                    break
                number, left = _HEADER.unpack_from(rest)
                del rest[: _HEADER.size]
            piece = bytes(rest[:left])
            del rest[: len(piece)]
            left -= len(piece)
            if piece:
                yield (None, piece) if number == _STDERR else (piece, None)


class _Output:
    """Writes what comes to stdout and stderr at once, and keeps its end."""

    def __init__(self, abandoned: Callable[[], None]) -> None:
        self._abandoned = abandoned
        self._closed = set[int]()
        self.tail = bytearray()
        self.refused = b""

    def take(self, out: bytes | None, err: bytes | None) -> None:
        piece = out or err or b""
        if not self.tail and (self.refused or piece).startswith(REFUSED):
            self.refused += piece  # it comes in several pieces, and nothing after it
            return
        self.tail += piece
        del self.tail[:-TAIL_BYTES]
        self._write(_STDOUT if err is None else _STDERR, piece)

    def _write(self, handle: int, piece: bytes) -> None:
        if handle in self._closed:
            return
        try:
            while piece:
                piece = piece[os.write(handle, piece) :]
        except OSError as error:
            self._closed.add(handle)
            if error.errno in {errno.EPIPE, errno.EIO} and handle == _STDOUT:
                self._abandoned()


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Hand on each key as it is pressed."""
    before = termios.tcgetattr(_STDIN)
    tty.setraw(_STDIN)
    try:
        yield
    finally:
        termios.tcsetattr(_STDIN, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _signals(controls: Controls, *, resizing: bool) -> Iterator[list[int]]:
    """Hand signals on from a thread: the main one may be writing to somebody who does not read."""
    got = list[int]()
    if threading.current_thread() is not threading.main_thread():
        yield got
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)  # as set_wakeup_fd wants it
    heard = [each for each in _HANDED_ON if signal.getsignal(each) is not signal.SIG_IGN]
    heard += [signal.SIGWINCH] if resizing else []

    def hand_on() -> None:
        while (number := os.read(reading, 1)) != _END:
            if number[0] == signal.SIGWINCH:
                controls.resize(*_size())
            elif number[0] in heard:
                got.append(number[0])
                controls.signal(number[0])

    # A handler would run only once the main thread is back from reading, which may be never where
    # the signal came just before that began. The byte is written as the signal comes.
    before = {each: signal.signal(each, lambda *_: None) for each in heard}
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    thread = threading.Thread(target=hand_on, daemon=True)
    thread.start()
    try:
        if resizing:
            os.write(writing, bytes([signal.SIGWINCH]))
        yield got
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.write(writing, _END)
        thread.join()
        os.close(reading)
        os.close(writing)


def _size() -> tuple[int, int]:
    """Return the terminal's rows and columns as they are now; COLUMNS and LINES may be older."""
    columns, rows = os.get_terminal_size(_STDIN)
    return rows, columns


@contextlib.contextmanager
def _sending_stdin(connection: socket.socket) -> Iterator[None]:
    """Send stdin from a thread until its end, which the program sees too."""
    waking, wake = os.pipe()

    def send() -> None:
        with contextlib.suppress(OSError, ValueError):  # the program reads no more
            while waking not in select.select([_STDIN, waking], [], [])[0]:
                chunk = os.read(_STDIN, _CHUNK_BYTES)
                if not chunk:
                    connection.shutdown(1)
                    return
                connection.sendall(chunk)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.write(wake, _END)
        thread.join(1.0)
        if not thread.is_alive():
            os.close(waking)
            os.close(wake)
