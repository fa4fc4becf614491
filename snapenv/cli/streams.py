"""Stdout and stderr as they are: full, closed, read no further, or of few signs."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING, TextIO

import click

from snapenv.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.text import Text

# What a stream that has no such signs is given in their place.
_WORDS = str.maketrans({"✓": "ok", "✗": "no", "→": "->", "…": "...", "·": "-"})
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
    """Print a JSON document on stdout, in signs that it has."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = "".join(map(_escaped, text))
    click.echo(text)


def warn(text: str) -> None:
    """Print a line on stderr, if it can be."""
    with _unheard():
        click.echo(text, err=True)


def print_text(console: Console, text: Text) -> None:
    """Print unbroken lines; a stream that cannot write a sign gets a word instead."""
    try:
        text.plain.encode(console.encoding)
    except UnicodeEncodeError:
        plain = text.plain.translate(_WORDS)
        encoded = plain.encode(console.encoding, errors="backslashreplace")
        text = text.__class__(encoded.decode(console.encoding))
    try:
        console.print(text, soft_wrap=True)
    except SystemExit as error:  # Rich's own answer to a pipe that nobody reads
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error


def print_stderr(text: Text) -> None:
    """Print on stderr, in colour where that is a terminal, if it can be."""
    from rich.console import Console

    with _unheard():
        print_text(Console(stderr=True, highlight=False), text)


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
