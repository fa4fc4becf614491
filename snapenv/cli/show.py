"""``snapenv show``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snapenv.cli.completion import RefType
from snapenv.cli.help import command, option
from snapenv.cli.options import json_option, repository_option

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef


@command(
    examples=(
        "snapenv show snapshots/train-yolov8.4.190-base-cu130 --packages",
        "snapenv show example.com/team/env:train-yolov8.4.190-base-cu130",
    )
)
@click.argument("ref", type=RefType())
@repository_option
@option(
    "--packages",
    is_flag=True,
    envvar="SNAPENV_PACKAGES",
    group="Output",
    help="Also list the packages, where each comes from, and how that is proved.",
)
@json_option
@click.pass_obj
def show(app: App, ref: str, *, repository: ImageRef, packages: bool) -> None:
    """Show what REF is, without pulling it.

    REF is a tag such as train-yolov8.4.190-base-cu130, an image, an archive, or a snapshot
    folder.
    """
    from snapenv.workflows.show import show as run

    app.run(lambda services: run(ref, services, repository=str(repository), packages=packages))
