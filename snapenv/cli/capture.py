"""``snapenv capture``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from snapenv.cli.options import base_option, device_option, json_option, smoke_option, tag_word

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    envvar="SNAPENV_OUTPUT",
    help="Write the snapshot to this new folder.  [default: snapshots/TAG]",
)
@click.option(
    "--python",
    metavar="PATH",
    envvar="SNAPENV_PYTHON",
    help="Look at this Python's environment.  [default: the active one]",
)
@click.option(
    "--container",
    metavar="NAME",
    envvar="SNAPENV_CONTAINER",
    help="Look into this running container; --python is a path in there.",
)
@tag_word("purpose", default="train", help="Say what the environment is for; part of the tag.")
@tag_word("level", default="base", help="Say how it is optimised, such as amp; part of the tag.")
@base_option
@smoke_option
@device_option
@json_option
@click.pass_obj
def capture(
    app: App,
    *,
    output: Path | None,
    python: str | None,
    container: str | None,
    purpose: str,
    level: str,
    base: ImageRef | None,
    smoke: bool | None,
    device: str,
) -> None:
    """Look at the working environment, and lock what is there."""
    from snapenv.workflows.capture import Capture
    from snapenv.workflows.capture import capture as run

    request = Capture(
        python=python,
        container=container,
        output=output,
        purpose=purpose,
        level=level,
        base=str(base) if base else None,
        smoke=smoke,
        device=device,
    )
    app.run(lambda outside: run(request, outside))
