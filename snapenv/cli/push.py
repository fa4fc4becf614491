"""``snapenv push``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snapenv.cli.completion import RefType
from snapenv.cli.help import command, option
from snapenv.cli.options import RepositoryType, json_option, vendor_option

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef
    from snapenv.model.snapshot import Vendor


@command(
    examples=(
        "snapenv push snapshots/train-yolov8.4.190-base-cu130 example.com/team/env",
        "snapenv push train-yolov8.4.190-base-cu130 example.com/team/env --replace",
    )
)
@click.argument("ref", type=RefType())
@click.argument("repository", type=RepositoryType())
@vendor_option
@option(
    "--replace",
    is_flag=True,
    envvar="SNAPENV_REPLACE",
    group="Image",
    help="Move the tag from what has it, which stays reachable by its digest.",
)
@json_option
@click.pass_obj
def push(app: App, ref: str, *, repository: ImageRef, vendor: Vendor, replace: bool) -> None:
    """Push a snapshot alone, or an image, to a registry.

    REF is a snapshot folder, an archive of a snapshot, or an image of this machine. A snapshot
    is a few MB as an OCI artifact, from which a restore makes a venv without Docker.
    """
    from snapenv.workflows.push import Push
    from snapenv.workflows.push import push as run

    request = Push(ref=ref, repository=str(repository), vendor=vendor, replace=replace)
    app.run(lambda services: run(request, services))
