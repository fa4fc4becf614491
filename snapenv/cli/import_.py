"""``snapenv import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from snapenv.cli.help import command, option
from snapenv.cli.options import json_option, mirror_option, repository_option

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef


@command(
    "import",
    examples=("snapenv import env.tar.zst",),
)
@click.argument("file", type=click.Path(path_type=Path))
@repository_option
@mirror_option
@option(
    "--replace",
    is_flag=True,
    envvar="SNAPENV_REPLACE",
    group="Image",
    help="Move the tag from the image that has it.",
)
@json_option
@click.pass_obj
def import_(
    app: App, file: Path, *, repository: ImageRef, mirror: str | None, replace: bool
) -> None:
    """Load the image of an archive.

    All of FILE is checked before the engine gets any of it.
    """
    from snapenv.workflows.import_ import Import, import_image

    request = Import(file=file, repository=str(repository), mirror=mirror, replace=replace)
    app.run(lambda services: import_image(request, services))
