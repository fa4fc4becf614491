"""``snapenv restore``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from snapenv.cli.options import (
    device_option,
    engine_option,
    into_option,
    json_option,
    mirror_option,
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
@into_option("make it in this new folder")
@click.option(
    "--python",
    metavar="PATH",
    envvar="SNAPENV_PYTHON",
    help="With --engine venv: make it with this Python.  [default: one of the captured version]",
)
@repository_option
@mirror_option
@smoke_option
@device_option
@click.option(
    "--preflight/--no-preflight",
    default=True,
    show_default=True,
    envvar="SNAPENV_PREFLIGHT",
    help="Check first whether this machine can run it, and stop where it cannot.",
)
@rehash_option
@report_option
@json_option
@click.pass_obj
def restore(
    app: App,
    ref: str,
    *,
    engine: Literal["docker", "venv"],
    into: Path,
    python: str | None,
    repository: ImageRef,
    mirror: str | None,
    smoke: bool | None,
    device: str,
    rehash: bool,
    report: Path | None,
    preflight: bool,
) -> None:
    """Bring REF back, and prove it the same.

    REF is a tag such as train-yolov8.4.190-base-cu130, an image, an archive, or a snapshot
    folder. Exits with 1 where this machine cannot run it, and then nothing is fetched, or where
    what came back is not what was captured.
    """
    from snapenv.workflows.restore import Restore
    from snapenv.workflows.restore import restore as run

    request = Restore(
        ref=ref,
        engine=engine,
        into=into,
        python=python,
        repository=str(repository),
        mirror=mirror,
        device=device,
        smoke=smoke,
        rehash=rehash,
        report=report,
        preflight=preflight,
    )
    app.run(lambda outside: run(request, outside))
