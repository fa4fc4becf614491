"""``snapenv import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from snapenv.cli.help import command, option
from snapenv.cli.options import (
    json_option,
    mirror_option,
    repository_option,
    snapshot_output_option,
)

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef


@command(
    "import",
    examples=("snapenv import env.tar.zst",),
)
@click.argument("file", type=click.Path(path_type=Path))
@snapshot_output_option
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
    app: App,
    file: Path,
    *,
    output: Path | None,
    repository: ImageRef,
    mirror: str | None,
    replace: bool,
) -> None:
    """Load the image of an archive, or write its snapshot to a folder.

    All of FILE is checked before the engine gets any of it. An archive of a snapshot alone needs
    no engine.
    """
    from snapenv.workflows.import_ import Import, import_archive

    request = Import(
        file=file,
        output=output,
        repository=str(repository),
        mirror=mirror,
        replace=replace,
    )
    app.run(lambda services: import_archive(request, services))
