"""Run snapenv as a user does: a program, with its streams and its exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from snapenv.cli.main import cli
from snapenv.errors import SnapenvError
from tests.schemas import validate

_CONTEXT = click.Context(cli)
COMMANDS = {
    name: command
    for name in cli.list_commands(_CONTEXT)
    if (command := cli.get_command(_CONTEXT, name))
}


EXIT_CODES = {error.slug: error.exit_code for error in SnapenvError.__subclasses__()}


@dataclass(frozen=True)
class Command:
    """The program, with environment variables added for it."""

    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end."""
        return subprocess.run(
            [sys.executable, "-m", "snapenv", *words],
            env={**os.environ, **self.environment},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )

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


def certificates() -> bytes:
    """Give a tar with this machine's own authorities as ca.pem, or nothing where it names none."""
    path = Path(os.environ.get("SSL_CERT_FILE", ""))
    if not path.is_file():
        return b""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(path.resolve(), "ca.pem")
    return stream.getvalue()
