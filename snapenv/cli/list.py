"""``snapenv list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snapenv.cli.help import command, option
from snapenv.cli.options import RepositoryType, device_option, json_option, repository_option

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef


@command(
    "list",
    examples=(
        "snapenv list",
        "snapenv list --remote example.com/team/env",
        "snapenv list --fits example.com/team/env",
    ),
)
@click.argument("of", metavar="[REPOSITORY]", type=RepositoryType(), required=False)
@repository_option
@option(
    "--remote",
    is_flag=True,
    envvar="SNAPENV_REMOTE",
    group="Output",
    help="Also list what the repository has in its registry.",
)
@option(
    "--fits",
    is_flag=True,
    envvar="SNAPENV_FITS",
    group="Output",
    help="Print only the newest in the registry that runs on this machine, to restore it.",
)
@device_option
@json_option
@click.pass_obj
def list_(
    app: App,
    *,
    of: ImageRef | None,
    repository: ImageRef,
    remote: bool,
    fits: bool,
    device: str,
) -> None:
    """List the images that snapenv made, and which of a registry run here.

    Lists local images, and with --remote images and snapshots of REPOSITORY in its registry:
    digest, the GPU of the capture, the last verdict of this machine, what a pull moves, and
    whether it runs here. A tag is local, remote, both, or differ if it names two images. No
    Docker is needed for the registry.
    """
    from snapenv.workflows.list import Listing, list_images

    request = Listing(repository=str(of or repository), remote=remote, fits=fits, device=device)
    app.run(lambda services: list_images(request, services))
