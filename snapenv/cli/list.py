"""``snapenv list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snapenv.cli.help import command, option
from snapenv.cli.options import json_option, repository_option

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef


@command(
    "list",
    examples=(
        "snapenv list",
        "snapenv list --remote --repository example.com/team/env",
    ),
)
@repository_option
@option(
    "--remote",
    is_flag=True,
    envvar="SNAPENV_REMOTE",
    group="Output",
    help="Also list what the repository has in its registry.",
)
@json_option
@click.pass_obj
def list_(app: App, *, repository: ImageRef, remote: bool) -> None:
    """List the images that snapenv made.

    Lists local images, and with --remote those of --repository in its registry. The last column
    is local, remote, both, or differ if the tag names two images.
    """
    from snapenv.workflows.list import Listing, list_images

    request = Listing(repository=str(repository), remote=remote)
    app.run(lambda services: list_images(request, services))
