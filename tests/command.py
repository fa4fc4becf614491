"""Run snapenv as a user does: words in, its streams and its exit code out."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
import pytest

from snapenv.cli import app
from snapenv.cli.group import listed_commands, typed_command
from snapenv.cli.main import cli, main
from snapenv.errors import SnapenvError
from tests.schemas import validate

if TYPE_CHECKING:
    from collections.abc import Iterator

# By the words that are typed after the program's name: "usage report".
COMMANDS = {
    context.command_path.partition(" ")[2]: context.command
    for context in listed_commands(click.Context(cli, info_name="snapenv"))
}


def parse(words: Sequence[str]) -> click.Context:
    """Parse the words of a command line without the program's name, and run nothing.

    Raises:
        click.UsageError: The command does not take them.
    """
    name = typed_command(cli, words[:2])
    assert name in COMMANDS, words
    rest = list(words[len(name.split()) :])
    return COMMANDS[name].make_context(name, rest, parent=click.Context(cli))


EXIT_CODES = {error.slug: error.exit_code for error in SnapenvError.__subclasses__()}


@dataclass(frozen=True)
class Command:
    """The command line within this process, with environment variables added for it.

    Starting a process and importing what a command needs takes longer than most commands. What it
    writes, and what its children write, is caught as if it were piped.
    """

    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end."""
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            pytest.MonkeyPatch.context() as patch,
        ):
            for name, value in self.environment.items():
                patch.setenv(name, value)
            if folder:
                patch.chdir(folder)
            _forget()
            with redirected("stdout", out), redirected("stderr", err):
                code = main(words)
            return subprocess.CompletedProcess(words, code, _text(out), _text(err))

    def document(self, *words: str) -> dict[str, Any]:
        """Run with --json, and give the one document that stdout holds."""
        done = self.run("--json", *words)
        document: dict[str, Any] = json.loads(done.stdout)
        validate(document)
        assert document["exit_code"] == done.returncode
        return document

    def result(self, *words: str) -> dict[str, Any]:
        """Run with --json, and give the result of a command that says yes."""
        document = self.document(*words)
        assert document["ok"], document
        result: dict[str, Any] = document["result"]
        return result

    def error(self, kind: str, *words: str, folder: Path | None = None) -> str:
        """Run with --json, and return the stderr of a command that ends with an error of a kind."""
        done = self.run("--json", *words, folder=folder)
        assert done.stdout, done.stderr
        document = json.loads(done.stdout)
        validate(document)
        assert (document["error"] or {}).get("kind") == kind, done.stderr
        assert document["exit_code"] == done.returncode == EXIT_CODES[kind]
        return done.stderr


@dataclass(frozen=True)
class Program(Command):
    """A process of its own, where how it begins, ends or encodes is under test."""

    def run(self, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the program to its end."""
        return subprocess.run(
            [sys.executable, "-m", "snapenv", *words],
            env={**os.environ, **self.environment},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )


def _forget() -> None:
    """Let go of what one process asks its machine but once."""
    for value in vars(app).values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()


@contextlib.contextmanager
def redirected(name: str, into: IO[bytes]) -> Iterator[None]:
    """Let a standard stream and its descriptor write into a file until the block ends."""
    descriptor = {"stdout": 1, "stderr": 2}[name]
    getattr(sys, name).flush()
    kept = os.dup(descriptor)
    os.dup2(into.fileno(), descriptor)
    try:
        with (
            open(descriptor, "w", encoding="utf-8", closefd=False) as stream,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(sys, name, stream)
            yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def certificates() -> bytes:
    """Return a tar with this machine's own authorities as ca.pem, or nothing if it names none."""
    path = Path(os.environ.get("SSL_CERT_FILE", ""))
    if not path.is_file():
        return b""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(path.resolve(), "ca.pem")
    return stream.getvalue()
