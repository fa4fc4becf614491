"""The wiring: the one place that knows the adapters, and where an outcome meets the user."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, cast

import click

from snapenv.cli.streams import answering, echo, print_stderr, print_text, rich_text, warn
from snapenv.errors import UsageError
from snapenv.network.address import AUTHORITY_VARIABLES
from snapenv.ownership.interruption import Interrupted
from snapenv.places import home, is_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from snapenv.engine.docker import DockerEngine
    from snapenv.index.wheels import IndexWheels
    from snapenv.model.outcome import Handed, Outcome, Result
    from snapenv.ports import (
        Advisories,
        Engine,
        Registry,
        Runs,
        Sensors,
        Services,
        Target,
        Venvs,
        Wheels,
    )
    from snapenv.secrets.model import Secret

_REFRESH_S = 2.0
_SHORTEST_SECRET = 8  # characters; shorter ones stand in words


@dataclass
class App:
    """What a command is given: how to answer, and the services, made when they are used."""

    json: bool = False
    in_workflow: bool = False  # what fails meanwhile is not stdout or stderr

    def run(self, workflow: Callable[[Services], Outcome[Result]]) -> None:
        """Run a workflow, show its outcome, and end with its exit code."""
        from msgspec.structs import replace

        services = _connect()
        with _cleaning(services.cache):
            self.in_workflow = True
            outcome = workflow(services)
            self.in_workflow = False
        warnings = dict.fromkeys((*outcome.warnings, *services.warnings()))
        self.show(replace(outcome, warnings=tuple(warnings)))
        if outcome.exit_code:
            click.get_current_context().exit(outcome.exit_code)

    def hand_over(self, workflow: Callable[[Services, Callable[[str], None]], Handed]) -> None:
        """Run a workflow that hands stdin, stdout and stderr to a program; end with its code."""

        def say(text: str) -> None:
            warn(f"note: {without_secrets(text)}")

        services = _connect(say=say)
        with _cleaning(services.cache):
            self.in_workflow = True
            handed = workflow(services, say)
            self.in_workflow = False
        if handed.answer is not None:
            with answering():
                click.echo(handed.answer)
        click.get_current_context().exit(handed.exit_code)

    def follow(self, workflow: Callable[[Services, int | None], Outcome[Result]]) -> None:
        """Show an outcome anew every two seconds, until Ctrl-C; where no terminal is, once.

        The workflow is told how many columns the terminal has.
        """
        from rich.console import Console

        console = Console(highlight=False)
        if self.json or not console.is_terminal:
            self.run(lambda services: workflow(services, None))
            return
        from rich.live import Live

        from snapenv.report.text import outcome_text

        services = _connect()
        try:
            with Live(console=console, auto_refresh=False) as live:
                while True:
                    outcome = workflow(services, console.width)
                    live.update(rich_text(outcome_text(outcome)), refresh=True)
                    time.sleep(_REFRESH_S)
        except Interrupted as raised:
            if raised.number != SIGINT:
                raise

    def show(self, outcome: Outcome[Result]) -> None:
        """Print the answer on stdout; on stderr what to look out for, and what to type next."""
        from snapenv.report.document import outcome_json
        from snapenv.report.next import next_command
        from snapenv.report.text import next_text, outcome_text, warnings_text

        if outcome.warnings:
            print_stderr(warnings_text(outcome))
        with answering():
            if self.json:
                echo(outcome_json(outcome))
            elif outcome.document is not None:
                click.echo(outcome.document, nl=False)
            else:
                print_text(outcome_text(outcome))
        following = None if self.json else next_command(outcome)
        if following:
            print_stderr(next_text(following))


def _has_home() -> bool:
    return home(os.environ).is_absolute()


def _refuse_homeless() -> None:
    """Check that there is a home folder, in which caches, records and settings lie.

    Raises:
        UsageError: There is none.
    """
    if not _has_home():
        named = os.environ.get("HOME")
        raise UsageError(
            f"there is no home folder: HOME is {named}, which is no absolute path"
            if named
            else f"there is no home folder: HOME is not set, and the user {os.getuid()} has no "
            "entry in /etc/passwd",
            hint="Set HOME to a folder of yours, such as HOME=/tmp/home.",
        )


def _connect(*, say: Callable[[str], None] | None = None) -> Services:
    _refuse_homeless()
    from platformdirs import user_cache_path, user_state_path

    from snapenv.cli.progress import stderr_progress
    from snapenv.ports import Services
    from snapenv.targets.local import LocalTarget, list_gpus

    cache, warnings = user_cache_path("snapenv"), list[str]()
    state = user_state_path("snapenv")
    warn_of_run = say or warnings.append
    engine = cast("Engine", _Lazy(lambda: _docker(registry, warnings.append, cache / "made")))
    registry = cast("Registry", _Lazy(lambda: _registry(engine)))
    return Services(
        local=LocalTarget,
        remote=_remote,
        engine=engine,
        registry=registry,
        venvs=cast("Venvs", _Lazy(_venvs)),
        containers=cast(
            "Runs", _Lazy(lambda: _containers(engine, warn_of_run, cache / "made", state))
        ),
        processes=cast("Runs", _Lazy(lambda: _processes(state))),
        gpus=list_gpus,
        state=state,
        progress=stderr_progress(),
        uv=_uv,
        wheels=cast("Wheels", _Lazy(_wheels)),
        advisories=_advisories,
        cache=cache,
        secrets=_secrets,
        missing_helpers=_missing_helpers,
        kernel_log=_kernel_log,
        start_aside=_start_aside,
        start_sampler=lambda: _start_sampler(state),
        sensors=cast("Sensors", _Lazy(lambda: _sensors(state))),
        certificates=_certificates(),
        warn=warn_of_run,
        warnings=lambda: tuple(warnings),
    )


@contextlib.contextmanager
def _cleaning(cache: Path | None) -> Iterator[None]:
    """Take away what killed commands have left, and write down what this one makes."""
    from snapenv.ownership.leftovers import ledger, take_away_leftovers

    running = cache / "running" if cache else None
    take_away_leftovers(running, _take_away)
    with ledger(running, _take_away):
        yield


def _take_away(process: str, entry: Sequence[str]) -> bool:
    """Remove what a killed command has left in an engine; say whether that is done."""
    from snapenv.engine.leftovers import take_away

    return take_away(process, entry)


class _Lazy:
    """Stands for an adapter that takes long to import, until it is used."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = functools.cache(make)

    def __getattr__(self, name: str) -> object:
        return getattr(self._make(), name)


def _remote(host: str, python: str) -> Target:
    from snapenv.targets.ssh import SshTarget

    return SshTarget(host, python)


@functools.cache
def _uv() -> str:
    from uv import find_uv_bin

    return find_uv_bin()


def _advisories(service: str) -> Advisories:
    from snapenv.index.advisories import OsvService

    return OsvService(service)


def _venvs() -> Venvs:
    from snapenv.engine.venv import UvVenvs
    from snapenv.targets.local import LocalTarget

    return UvVenvs(_uv(), LocalTarget, lambda: _wheels().uv_settings("install"))


def _docker(registry: Registry, warn: Callable[[str], None], kept: Path) -> Engine:
    from snapenv.engine.docker import DockerEngine
    from snapenv.kept import Kept

    return DockerEngine(registry=registry, warn=warn, kept=Kept(kept))


def _containers(engine: Engine, warn: Callable[[str], None], kept: Path, state: Path) -> Runs:
    from snapenv.engine.runs import DockerRuns
    from snapenv.kept import Kept

    docker = cast("DockerEngine", engine)
    return DockerRuns(lambda: docker.client, docker.describe, warn, Kept(kept), state)


def _processes(state: Path) -> Runs:
    from snapenv.targets.venv_runs import VenvRuns

    return VenvRuns(state)


def list_tags(timeout_s: float) -> tuple[str, ...]:
    """Ask the engine for the tags of snapenv's images, without the adapter, which starts slowly."""
    from snapenv.engine.tags import list_tags as ask

    return ask(timeout_s)


def _registry(engine: Engine) -> Registry:
    from snapenv.registry.client import RegistryClient

    return RegistryClient(insecure=functools.partial(_is_insecure, engine))


def _is_insecure(engine: Engine, host: str) -> bool:
    """Ask the engine, where there is one, whether its configuration takes http from a registry."""
    from snapenv.errors import EngineError, EngineMissingError

    try:
        return engine.is_insecure(host)
    except (EngineError, EngineMissingError):
        return False


def _start_aside(words: Sequence[str]) -> None:
    from snapenv.targets.aside import start_aside

    start_aside(words)


def _kernel_log(since_s: float) -> tuple[str, ...]:
    from snapenv.targets.kernel_log import read_kernel_log

    return read_kernel_log(since_s)


def _start_sampler(state: Path) -> None:
    """Start what looks at runs from outside, or wake it."""
    from snapenv.targets.sampler_process import start_sampler
    from snapenv.usage.ledger import ledger_path
    from snapenv.usage.sampler_place import lock_path, pipe_path

    if os.environ.get("SNAPENV_SAMPLE_INTERVAL") == "0":
        return
    ledger, named = ledger_path(state, os.environ), os.environ.get("SNAPENV_LEDGER", "")
    # It starts in another folder.
    absolute = {} if not named or "://" in named else {"SNAPENV_LEDGER": str(ledger)}
    start_sampler(lock_path(ledger), pipe_path(ledger), {**os.environ, **absolute})


def _sensors(state: Path) -> Sensors:
    from snapenv.targets.sensors import MachineSensors
    from snapenv.usage.ledger import ledger_path
    from snapenv.usage.sampler_place import pipe_path

    return MachineSensors(pipe_path(ledger_path(state, os.environ)))


def _missing_helpers() -> tuple[str, ...]:
    from snapenv.docker_login import missing_helpers

    return missing_helpers()


@functools.cache
def _wheels() -> IndexWheels:
    from platformdirs import user_cache_path

    from snapenv.index.wheels import IndexWheels

    # Where there is no home, the error that says so is explained.
    return IndexWheels(user_cache_path("snapenv") / "records" if _has_home() else None)


@functools.cache
def _secrets() -> tuple[Secret, ...]:
    """Return what must not leave this machine: of its package indexes, and of other programs."""
    from snapenv.secrets.known_secrets import known_secrets

    return (*_wheels().secrets(), *known_secrets(os.environ, home(os.environ)))


def without_secrets(text: str) -> str:
    """Put stars in the place of every credential that this machine uses."""
    values = (secret.value for secret in _secrets() if len(secret.value) >= _SHORTEST_SECRET)
    return functools.reduce(lambda left, value: left.replace(value, "****"), values, text)


def _certificates() -> bytes | None:
    """Read the authorities that this machine is told to trust beside the usual ones."""
    for name in AUTHORITY_VARIABLES:
        path = Path(os.environ.get(name, ""))
        if is_file(path):
            return path.read_bytes()
    return None
