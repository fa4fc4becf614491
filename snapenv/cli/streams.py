"""Stdout and stderr as they are: full, closed, read no further, or of few signs."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

import click

from snapenv.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from snapenv.report.styled import Styled

# What a stream that has no such signs is given in their place.
_WORDS = str.maketrans({"✓": "ok", "✗": "no", "→": "->", "…": "...", "·": "-"})
_NOT_SHOWN = dict.fromkeys((7, 8, 11, 12, 13))  # bell, backspace and the like, as Rich does it
_TAKEN_FOR_TERMINAL = ("FORCE_COLOR", "TTY_COMPATIBLE")  # variables; see rich.console
_INSTEAD = "snapenv"
_GONE = (errno.EPIPE, errno.EIO, errno.ESHUTDOWN)  # nobody reads any more


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Write the answer on stdout; that nobody reads on, as below ``head``, is no failure.

    Raises:
        WriteError: It cannot be written: the disk is full.
    """
    try:
        yield
        if sys.stdout:
            sys.stdout.flush()
    except OSError as error:
        failure = cannot_answer(error)
        if error.errno not in _GONE:
            raise failure from error


def cannot_answer(error: OSError) -> WriteError:
    """Say that stdout takes no answer, and send the rest of it nowhere."""
    _silence(sys.stdout)
    return WriteError(
        f"cannot write the answer to stdout: {error.strerror}",
        hint="Free some space, or send it to another place.",
    )


def echo(text: str) -> None:
    """Print a JSON document on stdout: UTF-8, whatever its other letters are of."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    if codecs.lookup(encoding).name != "utf-8" or not _is_encodable(text):
        text = "".join(map(_escaped, text))
    click.echo(text)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def take_every_sign() -> None:
    """Let stdout take signs that it has not: it gets a word instead."""
    codecs.register_error(_INSTEAD, _instead)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors=_INSTEAD)


def _instead(error: UnicodeError) -> tuple[str, int]:
    """Return what is written in the place of signs, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_WORDS)
    return text.encode("ascii", "backslashreplace").decode(), error.end


def warn(text: str) -> None:
    """Print a line on stderr, if it can be."""
    with _unheard():
        click.echo(text, err=True)


def print_text(text: Styled, *, err: bool = False) -> None:
    """Print unbroken lines, in colour where they go to a terminal.

    A stream that cannot write a sign gets a word instead.
    """
    stream = sys.stderr if err else sys.stdout
    text = _in_signs_of(getattr(stream, "encoding", None) or "utf-8", text)
    if not _is_terminal(stream):
        click.echo(text.plain.translate(_NOT_SHOWN), err=err)
        return
    from rich.console import Console

    try:
        Console(stderr=err, highlight=False).print(rich_text(text), soft_wrap=True)
    except SystemExit as error:  # Rich's own answer to a pipe that nobody reads
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error


def rich_text(text: Styled) -> Text:
    """Return a text as Rich shows it."""
    from rich.text import Text

    return Text.assemble(*text.pieces)


def print_stderr(text: Styled) -> None:
    """Print on stderr, in colour where that is a terminal, if it can be."""
    with _unheard():
        print_text(text, err=True)


def _in_signs_of(encoding: str, text: Styled) -> Styled:
    """Return a text that can be written; without styles where a sign of it could not."""
    try:
        text.plain.encode(encoding)
    except UnicodeEncodeError:
        from snapenv.report.styled import styled

        words = text.plain.translate(_WORDS).encode(encoding, errors="backslashreplace")
        return styled(words.decode(encoding))
    return text


def _is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream may be one, or is to be taken for one; what it can do knows Rich."""
    if any(os.environ.get(name) for name in _TAKEN_FOR_TERMINAL):
        return True
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Go on where stderr takes nothing: what is said there is never the answer."""
    try:
        yield
    except OSError:
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere, so that its end is no failure either."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _escaped(sign: str) -> str:
    """Write a sign of a string of JSON in ASCII."""
    if sign.isascii():
        return sign
    units = sign.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
