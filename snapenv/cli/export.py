"""``snapenv export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from snapenv.cli.completion import RefType
from snapenv.cli.help import command, option
from snapenv.cli.options import json_option, repository_option, vendor_option

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef
    from snapenv.model.snapshot import Vendor


@command(
    examples=(
        "snapenv export train-yolov8.4.190-base-cu130 -o env.tar.zst",
        "snapenv export train-yolov8.4.190-base-cu130 -o env.tar.zst --delta",
        "snapenv export snapshots/train-yolov8.4.190-base-cu130 -o env.tar.zst --vendor=all",
    )
)
@click.argument("ref", type=RefType())
@option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    envvar="SNAPENV_OUTPUT",
    group="Output",
    help="Write this new file.",
)
@option(
    "--delta",
    is_flag=True,
    envvar="SNAPENV_DELTA",
    group="Output",
    help="Leave out the layers of the base image; the import pulls them.",
)
@vendor_option
@repository_option
@json_option
@click.pass_obj
def export(
    app: App, ref: str, *, output: Path, delta: bool, vendor: Vendor, repository: ImageRef
) -> None:
    """Write an image and its snapshot, or a snapshot alone, to a file.

    REF is a tag such as train-yolov8.4.190-base-cu130, an image, or a snapshot folder, which is
    written without an engine and without an image. snapenv import reads the file, and so does
    snapenv restore.
    """
    from snapenv.workflows.export import Export
    from snapenv.workflows.export import export as run

    request = Export(ref=ref, output=output, repository=str(repository), delta=delta, vendor=vendor)
    app.run(lambda services: run(request, services))
