"""The wiring: the one place that knows the adapters, and where an outcome meets the user."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.text import Text

    from snapenv.model.outcome import Outcome
    from snapenv.ports import Engine, Outside

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
    from platformdirs import user_cache_path
    from uv import find_uv_bin

    from snapenv.cli.progress import StderrProgress
    from snapenv.engine.venv import UvVenvs
    from snapenv.ports import Outside
    from snapenv.targets.local import LocalTarget
    from snapenv.targets.ssh import SshTarget

    uv = find_uv_bin()
    return Outside(
        local=LocalTarget,
        remote=SshTarget,
        engine=cast("Engine", _Late(_docker)),
        venvs=UvVenvs(uv=uv, local=LocalTarget),
        progress=StderrProgress(Console(stderr=True, highlight=False)),
        uv=uv,
        hashes=user_cache_path("snapenv") / "hashes",
        certificates=_certificates(),
    )


class _Late:
    """Stands for an adapter that takes long to import, until it is asked for something."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = functools.cache(make)

    def __getattr__(self, name: str) -> object:
        return getattr(self._make(), name)


def _docker() -> Engine:
    from snapenv.engine.docker import DockerEngine

    return DockerEngine()


def _certificates() -> bytes | None:
    """Read the authorities that this machine is told to trust beside the usual ones."""
    for name in _CERTIFICATES:
        path = Path(os.environ.get(name, ""))
        if path.is_file():
            return path.read_bytes()
    return None
