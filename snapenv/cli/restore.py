"""``snapenv restore``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from snapenv.cli.completion import RefType
from snapenv.cli.help import command, option
from snapenv.cli.options import (
    device_option,
    engine_option,
    exports_option,
    into_option,
    json_option,
    mirror_option,
    rehash_option,
    report_option,
    repository_option,
    smoke_option,
)

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.exports import ExportFormat
    from snapenv.model.image import ImageRef


@command(
    examples=(
        "snapenv restore train-yolov8.4.190-base-cu130 --repository example.com/team/env",
        "snapenv restore snapshots/train-yolov8.4.190-base-cu130 --engine venv --into .venv",
    )
)
@click.argument("ref", type=RefType())
@engine_option
@into_option("create it in this new folder")
@option(
    "--python",
    metavar="PATH",
    envvar="SNAPENV_PYTHON",
    group="Engine",
    help="With --engine venv: use this Python.  [default: one of the captured version]",
)
@repository_option
@mirror_option
@smoke_option
@device_option
@exports_option
@option(
    "--preflight/--no-preflight",
    default=True,
    show_default=True,
    envvar="SNAPENV_PREFLIGHT",
    group="Check",
    help="Check first whether this machine can run it, and stop if it cannot.",
)
@option(
    "--require-verified",
    is_flag=True,
    envvar="SNAPENV_REQUIRE_VERIFIED",
    group="Attestation",
    help="Restore only an image to which a verification that passed is attached.",
)
@option(
    "--verify-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    envvar="SNAPENV_VERIFY_KEY",
    group="Attestation",
    help="With --require-verified: count only what this public key has signed.",
)
@option(
    "--verify-identity",
    metavar="NAME",
    envvar="SNAPENV_VERIFY_IDENTITY",
    group="Attestation",
    help="With --require-verified: count only what was signed by this identity of --verify-issuer.",
)
@option(
    "--verify-issuer",
    metavar="URL",
    envvar="SNAPENV_VERIFY_ISSUER",
    group="Attestation",
    help="Set who vouches for --verify-identity, such as https://gitlab.com.",
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
    exports: tuple[ExportFormat, ...],
    rehash: bool,
    report: Path | None,
    preflight: bool,
    require_verified: bool,
    verify_key: Path | None,
    verify_identity: str | None,
    verify_issuer: str | None,
) -> None:
    """Restore REF, and prove that it matches the capture.

    REF is a tag such as train-yolov8.4.190-base-cu130, an image, an archive, or a snapshot
    folder. Exits with 1 if this machine cannot run it, in which case nothing is fetched, or if
    the result does not match the capture.
    """
    if (verify_key or verify_identity or verify_issuer) and not require_verified:
        raise click.UsageError("who has signed is asked with --require-verified alone")
    if bool(verify_identity) != bool(verify_issuer):
        raise click.UsageError("--verify-identity and --verify-issuer belong together")
    if verify_key and verify_identity:
        raise click.UsageError("--verify-key and --verify-identity cannot be used together")

    from snapenv.model.attachment import TrustedSigner
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
        exports=exports,
        smoke=smoke,
        rehash=rehash,
        report=report,
        preflight=preflight,
        require_verified=require_verified,
        signer=TrustedSigner(key=verify_key, identity=verify_identity, issuer=verify_issuer),
    )
    app.run(lambda services: run(request, services))
