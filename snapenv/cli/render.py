"""``snapenv render``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from snapenv.cli.completion import RefType
from snapenv.cli.help import option
from snapenv.cli.launch_options import RunCommand
from snapenv.cli.options import (
    ImageRefType,
    force_option,
    json_option,
    output_folder_option,
    repository_option,
)
from snapenv.cli.render_options import options_of, render_options
from snapenv.model.targets import TARGETS

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef


@click.command(
    cls=RunCommand,
    options_metavar="",
    examples=(
        "snapenv render example.com/team/env:train-yolov8.4.190-base-cu130 --as compose",
        "snapenv render TAG --as compose --data /datasets/coco -- yolo train data=coco.yaml",
        "snapenv render --as prometheus",
    ),
)
@click.argument("ref", type=RefType(), required=False)
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS] [--] [COMMAND...]")
@option(
    "--as",
    "target",
    type=click.Choice(tuple(TARGETS)),
    required=True,
    envvar="SNAPENV_RENDER_AS",
    group="Target",
    help="; ".join(f"{name}: {what}" for name, what in TARGETS.items()) + ".",
)
@option(
    "--image",
    type=ImageRefType(),
    metavar="NAME:TAG@sha256:…",
    envvar="SNAPENV_IMAGE",
    group="Image",
    help="Name the image that was built of REF and pushed, where REF is a snapshot.",
)
@repository_option
@render_options
@output_folder_option
@force_option
@option(
    "--dry-run",
    is_flag=True,
    envvar="SNAPENV_DRY_RUN",
    group="Output",
    help="Print the files, and write nothing.",
)
@json_option
@click.pass_obj
def render(
    app: App,
    /,
    *,
    ref: str | None,
    target: str,
    image: ImageRef | None,
    repository: ImageRef,
    output: Path,
    force: bool,
    dry_run: bool,
    ipc: str,
    data: tuple[Path, ...],
    **options: Any,  # noqa: ANN401 - of a launch, and of the target
) -> None:
    """Write the files that run an environment where people work, without snapenv.

    REF is a tag, an image that was pushed, or, with --image, a snapshot folder, an archive, or a
    snapshot in a registry.
    COMMAND is what is to run; without one, the files open a workspace or check the environment.
    Rules for Prometheus and a dashboard for Grafana are for the runs of all images: no REF.
    """
    from snapenv.workflows.render import Render
    from snapenv.workflows.render import render as write

    own = options_of(target, options)
    request = Render(
        ref=ref,
        target=target,
        image=image,
        repository=str(repository),
        output=output,
        force=force,
        dry_run=dry_run,
        options=own,
        host_ipc=ipc == "host",
        data=tuple(map(str, data)),
        **options,
    )
    app.run(lambda services: write(request, services))
