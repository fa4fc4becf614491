"""``snapenv list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snapenv.cli.options import json_option, repository_option

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef


@click.command("list")
@repository_option
@click.option(
    "--remote",
    is_flag=True,
    envvar="SNAPENV_REMOTE",
    help="List what the repository has in its registry too.",
)
@json_option
@click.pass_obj
def list_(app: App, *, repository: ImageRef, remote: bool) -> None:
    """List the images that snapenv made.

    Those here, and with --remote those of --repository in its registry. The last column says
    here, there, both, or differ where the tag names two images.
    """
    from snapenv.workflows.list import Listing, list_images

    request = Listing(repository=str(repository), remote=remote)
    app.run(lambda outside: list_images(request, outside))
