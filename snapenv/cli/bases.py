"""``snapenv bases``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from snapenv.cli.completion import SnapshotType
from snapenv.cli.help import command, option
from snapenv.cli.options import json_option, mirror_option

if TYPE_CHECKING:
    from snapenv.cli.app import App


@command(
    examples=(
        "snapenv bases",
        "snapenv bases snapshots/train-yolov8.4.190-base-cu130 --limit 3",
    )
)
@click.argument("snapshot", type=SnapshotType(path_type=Path), required=False)
@mirror_option
@option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    default=8,
    show_default=True,
    envvar="SNAPENV_LIMIT",
    group="Output",
    help="List at most this many; the registry is asked about the first 8.",
)
@json_option
@click.pass_obj
def bases(app: App, snapshot: Path | None, *, mirror: str | None, limit: int) -> None:
    """List base images, best first, with the reason for each.

    They are ranked for SNAPSHOT, or for the active environment.
    """
    from snapenv.workflows.bases import Bases
    from snapenv.workflows.bases import bases as run

    request = Bases(snapshot=snapshot, mirror=mirror, limit=limit)
    app.run(lambda services: run(request, services))
