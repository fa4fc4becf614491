"""``snapenv build``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from snapenv.cli.completion import SnapshotType
from snapenv.cli.help import command, option
from snapenv.cli.options import (
    base_family_option,
    base_option,
    json_option,
    mirror_option,
    repository_option,
    sign_key_option,
    sign_option,
)

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import Compression, ImageRef
    from snapenv.model.snapshot import BaseFamily


@command(
    examples=(
        "snapenv build snapshots/train-yolov8.4.190-base-cu130",
        "snapenv build SNAPSHOT --base-family slim",
        "snapenv build SNAPSHOT --repository example.com/team/env --push",
    )
)
@click.argument("snapshot", type=SnapshotType(path_type=Path))
@repository_option
@base_option
@base_family_option
@mirror_option
@option(
    "--push",
    is_flag=True,
    envvar="SNAPENV_PUSH",
    group="Image",
    help="Push the image to its registry.",
)
@option(
    "--replace",
    is_flag=True,
    envvar="SNAPENV_REPLACE",
    group="Image",
    help="Rebuild, and move the tag from the image that has it.",
)
@option(
    "--compression",
    type=click.Choice(["gzip", "zstd"]),
    default="gzip",
    show_default=True,
    envvar="SNAPENV_COMPRESSION",
    group="Image",
    help="Compress new layers with this; zstd is smaller, and needs Docker 23 or newer to pull.",
)
@sign_key_option
@sign_option
@json_option
@click.pass_obj
def build(
    app: App,
    snapshot: Path,
    *,
    repository: ImageRef,
    base: ImageRef | None,
    base_family: BaseFamily | None,
    mirror: str | None,
    push: bool,
    replace: bool,
    compression: Compression,
    sign_key: Path | None,
    sign: bool,
) -> None:
    """Build the image of SNAPSHOT, and tag it.

    The image is compared with the lock before it gets the tag. With --push, an SBOM and the
    provenance are attached to it in its registry.
    """
    from snapenv.workflows.build import Build
    from snapenv.workflows.build import build as run

    request = Build(
        repository=str(repository),
        base=str(base) if base else None,
        base_family=base_family,
        mirror=mirror,
        push=push,
        replace=replace,
        compression=compression,
        sign_key=sign_key,
        sign=sign,
    )
    app.run(lambda services: run(snapshot, request, services))
