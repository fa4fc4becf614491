"""``snapenv pull``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snapenv.cli.completion import RefType
from snapenv.cli.help import command, option
from snapenv.cli.options import json_option, repository_option, snapshot_output_option

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef


@command(
    examples=(
        "snapenv pull example.com/team/env:train-yolov8.4.190-base-cu130",
        "snapenv pull train-yolov8.4.190-base-cu130 --repository example.com/team/env",
    )
)
@click.argument("ref", type=RefType())
@snapshot_output_option
@repository_option
@option(
    "--replace",
    is_flag=True,
    envvar="SNAPENV_REPLACE",
    group="Image",
    help="Move the tag from the local image that has it, which stays reachable.",
)
@json_option
@click.pass_obj
def pull(app: App, ref: str, *, output: Path | None, repository: ImageRef, replace: bool) -> None:
    """Pull a snapshot or an image from a registry.

    A snapshot that lies alone is written to a folder, without Docker; an image goes to the engine.
    """
    from snapenv.workflows.pull import Pull
    from snapenv.workflows.pull import pull as run

    request = Pull(ref=ref, repository=str(repository), output=output, replace=replace)
    app.run(lambda services: run(request, services))
