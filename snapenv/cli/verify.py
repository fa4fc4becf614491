"""``snapenv verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import click

from snapenv.cli.completion import RefType
from snapenv.cli.help import command, option
from snapenv.cli.options import (
    declared_options,
    device_option,
    engine_option,
    exports_option,
    into_option,
    json_option,
    rehash_option,
    report_option,
    repository_option,
    sign_key_option,
    sign_option,
    smoke_option,
)

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.cli.app import App
    from snapenv.model.exports import ExportFormat
    from snapenv.model.image import ImageRef


@command(
    examples=(
        "snapenv verify train-yolov8.4.190-base-cu130",
        "snapenv verify snapshots/train-yolov8.4.190-base-cu130 --engine venv --into .venv",
        "snapenv verify TAG --repository example.com/team/env --attest",
        "snapenv verify train-yolov8.4.190-base-cu130 --exports onnx,openvino",
        "snapenv verify train-yolov8.4.190-base-cu130 --container snapenv-project",
    )
)
@click.argument("ref", type=RefType())
@engine_option
@into_option("verify the one in this folder")
@option(
    "--container",
    metavar="NAME",
    envvar="SNAPENV_VERIFY_CONTAINER",
    group="Engine",
    help="Verify this running container, such as one of snapenv up.",
)
@repository_option
@smoke_option
@device_option
@exports_option
@declared_options
@rehash_option
@report_option
@option(
    "--attest",
    is_flag=True,
    envvar="SNAPENV_ATTEST",
    group="Attestation",
    help="Attach the result to the image in its registry.",
)
@sign_key_option
@sign_option
@json_option
@click.pass_obj
def verify(
    app: App,
    /,
    ref: str,
    *,
    engine: Literal["docker", "venv"],
    into: Path,
    container: str | None,
    repository: ImageRef,
    smoke: bool | None,
    device: str,
    exports: tuple[ExportFormat, ...],
    rehash: bool,
    report: Path | None,
    attest: bool,
    sign_key: Path | None,
    sign: bool,
    **declared: Any,  # noqa: ANN401 - as of DeclaredOptions
) -> None:
    """Prove that what is restored already matches the capture.

    REF is a tag such as train-yolov8.4.190-base-cu130, an image, an archive, or a snapshot
    folder. Nothing is pulled. Exits with 1 if something does not match.
    """
    from snapenv.model.usage import DeclaredOptions
    from snapenv.workflows.verify import Verify
    from snapenv.workflows.verify import verify as run

    request = Verify(
        ref=ref,
        engine=engine,
        into=into,
        container=container,
        repository=str(repository),
        device=device,
        smoke=smoke,
        exports=exports,
        rehash=rehash,
        report=report,
        attest=attest,
        sign_key=sign_key,
        sign=sign,
        declared=DeclaredOptions(**declared),
    )
    app.run(lambda services: run(request, services))
