"""``snapenv ps``, ``logs``, ``attach`` and ``stop``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snapenv.cli.help import command, option
from snapenv.cli.launch_options import stop_timeout_option
from snapenv.cli.options import json_option

if TYPE_CHECKING:
    from snapenv.cli.app import App


@command(examples=("snapenv ps", "snapenv ps --all"))
@option(
    "-a",
    "--all",
    "ended",
    is_flag=True,
    envvar="SNAPENV_ALL",
    group="Output",
    help="List what has ended too.",
)
@json_option
@click.pass_obj
def ps(app: App, *, ended: bool) -> None:
    """List your runs, the newest first."""
    from snapenv.workflows.ps import list_runs

    app.run(lambda services: list_runs(services, ended=ended))


@command(examples=("snapenv logs RUN --follow", "snapenv logs RUN --tail 20"))
@click.argument("run")
@option(
    "-f",
    "--follow",
    is_flag=True,
    envvar="SNAPENV_FOLLOW",
    group="Output",
    help="Go on until the run ends.",
)
@option(
    "--tail",
    type=click.IntRange(0),
    metavar="LINES",
    envvar="SNAPENV_TAIL",
    group="Output",
    help="Begin with the last lines.  [default: all]",
)
@click.pass_obj
def logs(app: App, *, run: str, follow: bool, tail: int | None) -> None:
    """Show what a run has printed."""
    from snapenv.workflows.attach import show_logs

    app.hand_over(lambda services, _: show_logs(run, services, follow=follow, tail=tail))


@command(examples=("snapenv attach RUN",))
@click.argument("run")
@click.pass_obj
def attach(app: App, *, run: str) -> None:
    """Come back to a run, with its terminal if it has one.

    Exits with the code of the run; Ctrl-P Ctrl-Q leaves a terminal again.
    """
    from snapenv.workflows.attach import attach as connect

    app.hand_over(lambda services, say: connect(run, services, say))


@command(examples=("snapenv stop RUN", "snapenv stop RUN --pause"))
@click.argument("run")
@stop_timeout_option("Wait this many seconds before killing it.  [default: as it was started]")
@option(
    "--pause",
    is_flag=True,
    envvar="SNAPENV_PAUSE",
    group="Program",
    help="Wait for the next checkpoint first, and keep a copy of it.",
)
@json_option
@click.pass_obj
def stop(app: App, *, run: str, grace_s: int | None, pause: bool) -> None:
    """Stop a run: send SIGINT, wait, and take its container away."""
    from snapenv.workflows.stop import stop as end

    app.run(lambda services: end(run, services, grace_s=grace_s, pause=pause))
