"""``snapenv verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from snapenv.cli.options import (
    device_option,
    engine_option,
    into_option,
    json_option,
    rehash_option,
    report_option,
    repository_option,
    smoke_option,
)

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef


@click.command()
@click.argument("ref")
@engine_option
@into_option("prove the one in this folder")
@repository_option
@smoke_option
@device_option
@rehash_option
@report_option
@json_option
@click.pass_obj
def verify(
    app: App,
    ref: str,
    *,
    engine: Literal["docker", "venv"],
    into: Path,
    repository: ImageRef,
    smoke: bool | None,
    device: str,
    rehash: bool,
    report: Path | None,
) -> None:
    """Prove what is here already; pull nothing.

    REF is a tag such as train-yolov8.4.190-base-cu130, an image, an archive, or a snapshot
    folder. Exits with 1 where what is here is not what was captured.
    """
    from snapenv.workflows.restore import Restore
    from snapenv.workflows.verify import verify as run

    request = Restore(
        ref=ref,
        engine=engine,
        into=into,
        repository=str(repository),
        device=device,
        smoke=smoke,
        rehash=rehash,
        report=report,
    )
    app.run(lambda outside: run(request, outside))
