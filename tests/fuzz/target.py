"""A reader of foreign bytes as the fuzzer calls it, and what it may and may not do meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from snapenv.errors import SnapenvError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

Form = Literal["bundle", "bytes", "json", "tar", "text", "toml", "zip"]
"""What a document is, which says how it is changed. A bundle is a JSON object of texts by name."""

SECRET = "s3cr3tPassw0rd"
_LONGEST_MESSAGE = 4_000
_MORE_TRIES = 2
_PATIENCE = 20  # times what a reader may take
_LEAVES = frozenset(
    {
        *("socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto"),
        *("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.kill"),
        *("pickle.find_class", "ctypes.dlopen"),
    }
)
_WRITES = frozenset(
    {
        *("os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir"),
        *("os.symlink", "os.truncate", "os.utime"),
    }
)
_HELPERS = "docker-credential-"  # of docker's configuration, and none of them is there
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True, kw_only=True)
class Target:
    """One reader.

    ``read`` raises what ``snapenv`` shows to its user, or what it ``refuses`` with: errors that
    the reader's own docstring names, and its callers translate.
    """

    name: str
    read: Callable[[bytes], object]
    form: Form
    refuses: tuple[type[Exception], ...] = ()
    most_bytes: int = 1 << 14
    cpu_s: float = 2.0  # of an instrumented reader, as the processor counts them


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a reader did that none may do; ``place`` tells it from others."""

    what: str
    place: str
    details: str


class BrokenRuleError(Exception):
    """A reader has done what is forbidden, or its answer is not what it should be."""


def try_reader(target: Target, content: bytes) -> tuple[Finding | None, bool]:
    """Let a reader read; return what is wrong, if anything, and whether it took the document.

    What is slow is read twice more: where others have the processors too, the same takes longer.
    """
    finding, taken, took_s = _try_once(target, content)
    for _ in range(_MORE_TRIES):
        if finding or took_s <= target.cpu_s:
            break
        took_s = min(took_s, _try_once(target, content)[2])
    if finding is None and took_s > target.cpu_s:
        finding = Finding(what=f"took {took_s:.1f} s", place="slow", details="")
    return finding, taken


def _try_once(target: Target, content: bytes) -> tuple[Finding | None, bool, float]:
    """Let a reader read once; return the seconds too that it had a processor."""
    begun = time.process_time()
    with _ending_after(_PATIENCE * target.cpu_s):
        finding, taken = _judge(target, content)
    return finding, taken, time.process_time() - begun


@contextlib.contextmanager
def _ending_after(cpu_s: float) -> Iterator[None]:
    """End what has had a processor for so long; time in which others had it does not count."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise BrokenRuleError(f"had a processor for {cpu_s:.0f} s, and has not ended")

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _judge(target: Target, content: bytes) -> tuple[Finding | None, bool]:
    taken = False
    try:
        with _watched():
            target.read(content)
        taken = True
    except SnapenvError as error:
        wrong = _wrong_message(error)
        if wrong:
            return _finding(f"{type(error).__name__}: {wrong}", error), False
    except target.refuses as error:
        if SECRET in str(error):
            return _finding(f"{type(error).__name__}: tells the secret", error), False
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return _finding(f"{type(error).__name__}: {str(error)[:200]}", error), False
    return None, taken


def _wrong_message(error: SnapenvError) -> str | None:
    """Return what an error's text may not have: a secret, or no end."""
    for text in (error.message, error.hint):
        if SECRET in text:
            return "tells the secret"
        if len(text) > _LONGEST_MESSAGE:
            return f"has {len(text)} letters"
    return None


def _finding(what: str, error: BaseException) -> Finding:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/snapenv" in frame.filename] or list(frames)
    place = f"{type(error).__name__} {own[-1].filename}:{own[-1].lineno}" if own else what
    return Finding(
        what=what, place=place, details="".join(traceback.format_exception(error))[-6_000:]
    )


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Give an empty folder, the only place in which a reader may write."""
    with tempfile.TemporaryDirectory(dir=_Watch.folder) as folder:
        yield Path(folder)


class _Watch:
    """Whether a reader is at work, whose system calls count."""

    on = False
    installed = False
    folder = os.path.realpath(tempfile.gettempdir())


@contextlib.contextmanager
def writing_below(folder: str) -> Iterator[None]:
    """Let readers write below this folder alone."""
    before = _Watch.folder, tempfile.tempdir
    _Watch.folder = tempfile.tempdir = os.path.realpath(folder)
    try:
        yield
    finally:
        _Watch.folder, tempfile.tempdir = before


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    if not _Watch.installed:
        sys.addaudithook(_audit)
        _Watch.installed = True
    _Watch.on = True
    try:
        yield
    finally:
        _Watch.on = False


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if not _Watch.on:
        return
    if event in _LEAVES and not str(arguments[0]).startswith(_HELPERS):
        raise BrokenRuleError(f"{event} {arguments!r:.200}")
    if event in _WRITES or (event == "open" and _is_writing(arguments)):
        below_open = any(type(one) is int and one >= 0 for one in arguments[1:]) and event != "open"
        for path in _written(event, arguments):
            if isinstance(path, str | bytes) and not (below_open or _is_scratch(path)):
                raise BrokenRuleError(f"{event} {path!r:.200}")


def _written(event: str, arguments: tuple[object, ...]) -> tuple[object, ...]:
    """Return the paths of an event that change: of a link, the one that is made."""
    if event == "os.rename":
        return arguments[:2]
    return arguments[1:2] if event in {"os.link", "os.symlink"} else arguments[:1]


def _is_writing(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & _WRITING)


def _is_scratch(path: str | bytes) -> bool:
    return os.path.realpath(os.fsdecode(path)).startswith(_Watch.folder)
