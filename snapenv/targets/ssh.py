"""Another machine, by the user's own ssh: their configuration, keys, agent and jump hosts.

A run is one round trip. What the remote login shell is given is the same few words each
time, whatever shell it is; all else travels on stdin: one line that a POSIX shell reads and
obeys (``remote_run.sh``), then the files as a tar. So neither variables nor files are ever words
of a command line. Stdin stays open until the program has ended: when it closes early, nobody
waits any more, and the remote shell ends the program and removes its folder.

Login shells greet. A mark on both streams says where the program begins, and the same mark on
stderr how it ended: without it, an exit code of 255 is ssh's own.
"""

from __future__ import annotations

import importlib.resources
import io
import os
import re
import shlex
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from msgspec import Struct

from snapenv.content import Tar
from snapenv.errors import InterpreterError, SshError, WriteError
from snapenv.ports import Completed
from snapenv.targets.process import converse, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence

    from snapenv.model.carried import Content

_OPTIONS = (
    "-T",  # no terminal
    "-a",  # neither the agent
    "-x",  # nor the display is lent
    "-oBatchMode=yes",
    "-oConnectTimeout=20",
    "-oServerAliveInterval=20",
    "-oControlMaster=no",  # an open connection is shared, but none is left behind
    "-oClearAllForwardings=yes",
    "-oRemoteCommand=none",
)
_OBEY = """exec sh -c 'IFS= read -r line && eval "$(printf %b "$line")"'"""
_SCRIPT = "remote_run.sh"
_NOT_RUN = (126, 127)  # a shell's, for what cannot be executed
_UNWRITTEN = "unwritten"
_OF_SSH = 255  # ssh's own exit code
_GREETING = 4096  # bytes that are kept of a greeting
_FAREWELL_S = 5.0  # for the remote program to end after an interruption


class SshTarget(Struct, frozen=True):
    """An environment of another machine; ``host`` is whatever ssh takes for one."""

    host: str
    python: str

    def run(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, Content] | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        stdout: BinaryIO | None = None,
    ) -> Completed:
        """Run a program as ``ports.Target`` says; an interruption ends it on the other machine too.

        Raises:
            SshError: ssh is not here, the host does not answer, refuses, or runs
                no programs, or the connection broke.
            WriteError: The host has no room for the files.
        """
        mark = f"snapenv-{uuid.uuid4().hex}"
        kept = io.BytesIO()
        out = _Output(mark=mark.encode(), into=kept if stdout is None else stdout)
        err = _Errors(mark=mark.encode(), on_line=on_line)
        ended = converse(
            self._connect(),
            sent=_order((mark, self.python), argv, files or {}, environment or {}),
            on_bytes=out.write,
            on_line=err.hear,
            farewell_s=_FAREWELL_S,
        )
        if not err.answer:
            raise self._broken(out, err, ended)
        return Completed(
            exit_code=self._exit_code(err, argv[0]),
            stdout=kept.getvalue().decode(errors="replace"),
            stderr="".join(err.lines),
        )

    def _connect(self) -> subprocess.Popen[bytes]:
        try:
            return start(("ssh", *_OPTIONS, "--", self.host, _OBEY), listens=True)
        except OSError as error:
            raise SshError(
                f"cannot run ssh: {error.strerror}", hint="Install the OpenSSH client."
            ) from error

    def _exit_code(self, err: _Errors, program: str) -> int:
        """Tell a program's own end from not having run."""
        if err.answer == _UNWRITTEN:
            raise WriteError(
                f"{self.host} cannot take the files of a run: {_last(err.lines[:1])}",
                hint="Free some space in its temporary folder, or set TMPDIR there.",
            )
        exit_code = int(err.answer)
        if exit_code in _NOT_RUN:
            raise InterpreterError(
                f"cannot run {program} on {self.host}: {_last(err.lines).rpartition(': ')[2]}",
                hint="Give the path of a Python on that machine with --python.",
            )
        return exit_code

    def _broken(self, out: _Output, err: _Errors, ended: int) -> SshError:
        """Say what came of a connection over which no program ended."""
        reason = _last(err.lines) or _last(err.greeting) or out.greeting or f"exit code {ended}"
        if err.begun:
            return SshError(
                f"the connection to {self.host} broke: {reason}",
                hint="See that the other machine is up and has memory left, and run it again.",
            )
        what = "cannot be reached" if ended == _OF_SSH else "runs no programs over ssh"
        return SshError(
            f"{self.host} {what}: {reason}",
            hint=f"See that ssh -o BatchMode=yes {shlex.quote(self.host)} true works by itself.",
        )


@dataclass(kw_only=True, slots=True)
class _Output:
    """What comes on stdout: a greeting up to the mark, then the program's own bytes."""

    mark: bytes
    into: BinaryIO
    _before: bytes = b""
    _begun: bool = False

    def write(self, chunk: bytes) -> None:
        """Pass on what follows the mark's line."""
        if self._begun:
            self.into.write(chunk)
            return
        before, mark_found, after = (self._before + chunk).partition(self.mark + b"\n")
        self._before, self._begun = before[-_GREETING:], bool(mark_found)
        self.into.write(after)

    @property
    def greeting(self) -> str:
        """Return the last line before the mark."""
        return _last(self._before.decode(errors="replace").splitlines())


@dataclass(kw_only=True, slots=True)
class _Errors:
    """What comes on stderr: a greeting up to the mark, the program's lines, and the answer."""

    mark: bytes
    on_line: Callable[[str], None] | None
    begun: bool = False
    greeting: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    answer: str = ""  # the program's exit code, or _UNWRITTEN

    def hear(self, line: bytes) -> None:
        """Take a line with its line break."""
        above, mark_found, answer = line.partition(self.mark)
        text = above.decode(errors="replace")
        if not self.begun:
            self.begun = bool(mark_found)
            self.greeting.append(text)
        else:
            self.answer = answer.decode().strip()
            self._pass_on(text)

    def _pass_on(self, text: str) -> None:
        if text:
            self.lines.append(text)
        if text and self.on_line:
            self.on_line(text.rstrip())


def _order(
    own: tuple[str, str],
    argv: Sequence[str],
    files: Mapping[str, Content],
    environment: Mapping[str, str],
) -> Iterator[bytes]:
    """Yield what is sent, in pieces: a line for the remote shell, and the files.

    ``own`` are the mark and the Python that unpacks the files where there is no tar.
    """
    packed = Tar(files)
    variables = " ".join(shlex.quote(f"{name}={value}") for name, value in environment.items())
    mark, python = own
    words = (
        mark,
        str(packed.size_bytes),
        python,
        f"export {variables}" if variables else "",
        *argv,
    )
    program = (importlib.resources.files("snapenv.targets") / _SCRIPT).read_text("utf-8")
    yield _one_line(f"set -- {shlex.join(words)}\n{program}")
    yield from packed


def _one_line(script: str) -> bytes:
    """Write a script so that ``printf %b`` gives it back: printable ASCII, and one line break."""
    line = re.sub(rb"[^ -\[\]-~]", lambda byte: b"\\0%03o" % byte.group()[0], os.fsencode(script))
    return line + b"\n"


def _last(lines: Sequence[str]) -> str:
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
