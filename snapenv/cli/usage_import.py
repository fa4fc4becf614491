"""``snapenv usage import``."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import click

from snapenv.cli.help import command, option
from snapenv.cli.options import json_option

if TYPE_CHECKING:
    from snapenv.cli.app import App

_DAY = click.DateTime(["%Y-%m-%d"])
_DAYS = 30


@command(
    name="import",
    examples=(
        "snapenv usage import --slurm",
        "snapenv usage import --slurm --prometheus http://prometheus.example.com:9090",
    ),
)
@option(
    "--slurm",
    is_flag=True,
    envvar="SNAPENV_IMPORT_SLURM",
    group="Source",
    help="Read the jobs that Slurm's sacct knows.",
)
@option(
    "--prometheus",
    metavar="URL",
    envvar="SNAPENV_IMPORT_PROMETHEUS",
    group="Source",
    help="Read what this Prometheus has seen of GPUs, and of the pods and jobs on them.",
)
@option(
    "--since",
    type=_DAY,
    metavar="YYYY-MM-DD",
    envvar="SNAPENV_IMPORT_SINCE",
    group="Time",
    help=f"Read from the start of this day of UTC on.  [default: {_DAYS} days ago]",
)
@option(
    "--until",
    type=_DAY,
    metavar="YYYY-MM-DD",
    envvar="SNAPENV_IMPORT_UNTIL",
    group="Time",
    help="Read until the start of this day of UTC.  [default: now]",
)
@option(
    "--cluster",
    metavar="NAME",
    envvar="SNAPENV_IMPORT_CLUSTER",
    group="Source",
    help="Tell runs of several clusters apart by this name.  [default: Slurm's, or the URL's host]",
)
@json_option
@click.pass_obj
def usage_import(
    app: App,
    *,
    slurm: bool,
    prometheus: str | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
    cluster: str | None,
) -> None:
    """Read into the ledger what Slurm, Kubernetes and others ran.

    A run that was imported before is completed, and not counted twice.
    """
    from snapenv.workflows.usage_import import UsageImport
    from snapenv.workflows.usage_import import usage_import as run

    now = dt.datetime.now(dt.timezone.utc)
    start = _utc(since) if since else now - dt.timedelta(days=_DAYS)
    end = min(_utc(until), now) if until else now
    if end <= start:
        raise click.UsageError("--since is not before --until, or before now")
    request = UsageImport(
        slurm=slurm,
        prometheus=prometheus,
        since_ms=round(start.timestamp() * 1000),
        until_ms=round(end.timestamp() * 1000),
        cluster=cluster,
    )
    app.run(lambda services: run(request, services))


def _utc(day: dt.datetime) -> dt.datetime:
    return day.replace(tzinfo=dt.timezone.utc)
