"""``snapenv log``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snapenv.cli.completion import RefType
from snapenv.cli.help import command
from snapenv.cli.options import json_option, repository_option

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef


@command(
    examples=(
        "snapenv log snapshots/train-yolov8.4.190-base-cu130",
        "snapenv log train-yolov8.4.190-base-cu130 --repository example.com/team/env",
    )
)
@click.argument("ref", type=RefType())
@repository_option
@json_option
@click.pass_obj
def log(app: App, ref: str, *, repository: ImageRef) -> None:
    """Show what REF was made of by snapenv update, the newest first.

    Ancestors are found by their digests: among the snapshot folders of this folder, of snapshots
    and beside REF, among local images, and in the repository's registry. One that is found nowhere
    is named by its digest.
    """
    from snapenv.workflows.log import log as run

    app.run(lambda services: run(ref, services, repository=str(repository)))
