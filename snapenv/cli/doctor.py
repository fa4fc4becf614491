"""``snapenv doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from snapenv.cli.completion import RefType
from snapenv.cli.help import command
from snapenv.cli.options import (
    device_option,
    engine_option,
    json_option,
    mirror_option,
    repository_option,
)

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef


@command(
    examples=(
        "snapenv doctor",
        "snapenv doctor example.com/team/env:train-yolov8.4.190-base-cu130 --device 0",
    )
)
@click.argument("ref", type=RefType(), required=False)
@engine_option
@repository_option
@mirror_option
@device_option
@json_option
@click.pass_obj
def doctor(
    app: App,
    ref: str | None,
    *,
    engine: Literal["docker", "venv"],
    repository: ImageRef,
    mirror: str | None,
    device: str,
) -> None:
    """Check whether this machine can run REF.

    REF is a tag such as train-yolov8.4.190-base-cu130, an image, an archive, or a snapshot
    folder; nothing is pulled. Without REF, show what this machine can run. Exits with 1 if it
    cannot.
    """
    from snapenv.workflows.doctor import Doctor
    from snapenv.workflows.doctor import doctor as run

    request = Doctor(
        ref=ref,
        repository=str(repository),
        mirror=mirror,
        device=device,
        venv=engine == "venv",
    )
    app.run(lambda services: run(request, services))
