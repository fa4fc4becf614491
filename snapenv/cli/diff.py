"""``snapenv diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snapenv.cli.completion import RefType
from snapenv.cli.help import command
from snapenv.cli.options import json_option, rehash_option, repository_option

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef


@command(
    examples=(
        "snapenv diff snapshots/train-yolov8.4.190-base-cu130 live",
        "snapenv diff ENV OTHER/bin/python",
    )
)
@click.argument("left", metavar="A", type=RefType("live"))
@click.argument("right", metavar="B", type=RefType("live"))
@repository_option
@rehash_option
@json_option
@click.pass_obj
def diff(app: App, left: str, right: str, *, repository: ImageRef, rehash: bool) -> None:
    """Show the differences between two environments.

    A and B are each a snapshot folder, a tag such as train-yolov8.4.190-base-cu130, an image,
    an archive, an environment (its folder, or ENV/bin/python), or live for the active one.
    Differences are grouped by consequence: ABI, numerics, behaviour, cosmetic. Exits with 1 if
    there are any but cosmetic ones.
    """
    from snapenv.workflows.diff import Diff
    from snapenv.workflows.diff import diff as run

    request = Diff(left=left, right=right, repository=str(repository), rehash=rehash)
    app.run(lambda services: run(request, services))
