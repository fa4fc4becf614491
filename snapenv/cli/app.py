"""The wiring: the one place that knows the adapters, and where an outcome meets the user."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.text import Text

    from snapenv.model.outcome import Outcome
    from snapenv.ports import Outside

_CERTIFICATES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")


@dataclass
class App:
    """What a command is given: how to answer, and the outside, made when it is asked for."""

    json: bool = False

    def run(self, workflow: Callable[[Outside], Outcome]) -> None:
        """Run a workflow, show its outcome, and end with its exit code."""
        outcome = workflow(_connect())
        self.show(outcome)
        if outcome.exit_code:
            click.get_current_context().exit(outcome.exit_code)

    def show(self, outcome: Outcome) -> None:
        """Print the answer on stdout, and what to look out for on stderr."""
        from snapenv.report.document import outcome_json
        from snapenv.report.text import outcome_text, warnings_text

        if outcome.warnings:
            say(warnings_text(outcome))
        if self.json:
            click.echo(outcome_json(outcome))
        else:
            _print(Console(highlight=False), outcome_text(outcome))


def say(text: Text) -> None:
    """Print on stderr, in colour where that is a terminal."""
    _print(Console(stderr=True, highlight=False), text)


def _print(console: Console, text: Text) -> None:
    """Print unbroken lines; a stream that cannot write a sign gets a plain one instead."""
    encoding = console.encoding or "utf-8"
    text.plain.encode(encoding, errors="replace")
    console.print(text, soft_wrap=True)


def _connect() -> Outside:
    from uv import find_uv_bin

    from snapenv.cli.progress import StderrProgress
    from snapenv.engine.docker import DockerEngine
    from snapenv.engine.venv import UvVenvs
    from snapenv.ports import Outside
    from snapenv.targets.local import LocalTarget

    uv = find_uv_bin()
    return Outside(
        local=LocalTarget,
        engine=DockerEngine(),
        venvs=UvVenvs(uv=uv, local=LocalTarget),
        progress=StderrProgress(Console(stderr=True, highlight=False)),
        uv=uv,
        certificates=_certificates(),
    )


def _certificates() -> bytes | None:
    """Read the authorities that this machine is told to trust beside the usual ones."""
    for name in _CERTIFICATES:
        path = Path(os.environ.get(name, ""))
        if path.is_file():
            return path.read_bytes()
    return None
