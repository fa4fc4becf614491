"""``snapenv onboard``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from snapenv.cli.completion import RefType
from snapenv.cli.help import command, option
from snapenv.cli.options import (
    ImageRefType,
    device_option,
    engine_option,
    force_option,
    json_option,
    output_folder_option,
    repository_option,
)

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef


@command(
    examples=(
        "snapenv onboard snapshots/train-yolov8.4.190-base-cu130 -o docs",
        "snapenv onboard example.com/team/env:train-yolov8.4.190-base-cu130",
    )
)
@click.argument("ref", type=RefType())
@option(
    "--image",
    type=ImageRefType(),
    metavar="NAME:TAG",
    envvar="SNAPENV_IMAGE",
    group="Image",
    help="Name what colleagues restore, where that is not REF.",
)
@engine_option
@repository_option
@device_option
@option(
    "--preflight/--no-preflight",
    default=True,
    show_default=True,
    envvar="SNAPENV_PREFLIGHT",
    group="Check",
    help="Include the answers of this machine.",
)
@output_folder_option
@force_option
@json_option
@click.pass_obj
def onboard(
    app: App,
    ref: str,
    *,
    image: ImageRef | None,
    engine: Literal["docker", "venv"],
    repository: ImageRef,
    device: str,
    preflight: bool,
    output: Path,
    force: bool,
) -> None:
    """Write ONBOARDING.md and ONBOARDING.html: what a new colleague needs to know of REF.

    REF is a snapshot folder, an archive, or an image of this machine. But for what this machine
    answers, the same snapshot gives the same bytes.
    """
    from snapenv.workflows.onboard import Onboard
    from snapenv.workflows.onboard import onboard as write

    request = Onboard(
        ref=ref,
        repository=str(repository),
        image=image,
        device=device,
        venv=engine == "venv",
        preflight=preflight,
        output=output,
        force=force,
    )
    app.run(lambda services: write(request, services))
