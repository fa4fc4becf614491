"""``snapenv audit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from snapenv.cli.completion import RefType
from snapenv.cli.help import command, option
from snapenv.cli.options import json_option, repository_option

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef


def _service(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise click.BadParameter(f"{value!r} is not an address such as https://…", ctx, param)
    return value


@command(
    examples=(
        "snapenv audit snapshots/train-yolov8.4.190-base-cu130",
        "snapenv audit TAG --database all.zip",
    )
)
@click.argument("ref", type=RefType())
@repository_option
@option(
    "--service",
    metavar="URL",
    default="https://api.osv.dev",
    show_default=True,
    callback=_service,
    envvar="SNAPENV_AUDIT_SERVICE",
    group="Database",
    help="Ask this service, which has OSV's API.",
)
@option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.zip",
    envvar="SNAPENV_AUDIT_DATABASE",
    group="Database",
    help="Read this copy of OSV's database of PyPI, and ask nobody.",
)
@json_option
@click.pass_obj
def audit(app: App, ref: str, *, repository: ImageRef, service: str, database: Path | None) -> None:
    """List known vulnerabilities and malicious releases among the packages of REF.

    REF is a snapshot folder, an archive, an image, or a tag. Exits with 1 if there are any.
    """
    from snapenv.workflows.audit import Audit
    from snapenv.workflows.audit import audit as run

    request = Audit(ref=ref, repository=str(repository), service=service, database=database)
    app.run(lambda services: run(request, services))
