"""``snapenv capture``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snapenv.cli.help import command, option
from snapenv.cli.options import (
    base_family_option,
    base_option,
    device_option,
    exports_option,
    json_option,
    rehash_option,
    smoke_option,
    snapshot_output_option,
    tag_word,
)

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.cli.app import App
    from snapenv.model.exports import ExportFormat
    from snapenv.model.image import ImageRef
    from snapenv.model.snapshot import BaseFamily, Prove, Vendor


def _host(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse what ssh, or a program that it starts, would take for an option."""
    if any(part.startswith("-") for part in (value or "").split("@")):
        raise click.BadParameter(f"{value!r} is not a host", ctx, param)
    return value


@command(
    examples=(
        "snapenv capture",
        "snapenv capture --python ENV/bin/python -o snapshot",
        "snapenv capture --ssh HOST --python /env/bin/python",
    )
)
@option(
    "--python",
    metavar="PATH",
    envvar="SNAPENV_PYTHON",
    group="Environment",
    help="Capture the environment of this Python.  [default: the active one]",
)
@option(
    "--container",
    metavar="NAME",
    envvar="SNAPENV_CONTAINER",
    group="Environment",
    help="Capture from this running container; --python is a path in it.",
)
@option(
    "--ssh",
    metavar="HOST",
    callback=_host,
    envvar="SNAPENV_SSH",
    group="Environment",
    help="Capture on this machine over ssh; --python is a path on it.",
)
@snapshot_output_option
@tag_word("purpose", default="train", help="Set what the environment is for, a word of the tag.")
@tag_word("level", default="base", help="Set how it is optimized, such as amp; a word of the tag.")
@base_option
@base_family_option
@smoke_option
@device_option
@exports_option
@rehash_option
@option(
    "--prove",
    type=click.Choice(["record", "off"]),
    default="record",
    show_default=True,
    envvar="SNAPENV_PROVE",
    group="Packages",
    help="Check files against the RECORD of their index, or work offline from uv's cache.",
)
@option(
    "--vendor",
    type=click.Choice(["none", "missing", "all"]),
    default="missing",
    show_default=True,
    envvar="SNAPENV_VENDOR",
    group="Packages",
    help="Choose the wheels that travel: none, those missing from their index, or all.",
)
@option(
    "--allow",
    metavar="PATH",
    multiple=True,
    envvar="SNAPENV_ALLOW",
    group="Packages",
    help="Let this file travel although it seems to hold a secret, such as site/x.py.",
)
@option(
    "--carry",
    metavar="PATH",
    multiple=True,
    envvar="SNAPENV_CARRY",
    group="Packages",
    help="Also capture a file or folder beside the sources of a package, such as configs.",
)
@json_option
@click.pass_obj
def capture(
    app: App,
    *,
    output: Path | None,
    python: str | None,
    container: str | None,
    ssh: str | None,
    purpose: str,
    level: str,
    base: ImageRef | None,
    base_family: BaseFamily | None,
    smoke: bool | None,
    device: str,
    exports: tuple[ExportFormat, ...],
    rehash: bool,
    prove: Prove,
    vendor: Vendor,
    allow: tuple[str, ...],
    carry: tuple[str, ...],
) -> None:
    """Lock a working environment.

    Captures the active environment, or the one at --python, in a running container or on another
    machine over ssh. Nothing in it is changed.
    """
    if container and ssh:
        raise click.UsageError("--container and --ssh cannot be used together.")
    from snapenv.workflows.capture import Capture
    from snapenv.workflows.capture import capture as run

    request = Capture(
        python=python,
        container=container,
        ssh=ssh,
        output=output,
        purpose=purpose,
        level=level,
        base=str(base) if base else None,
        base_family=base_family,
        smoke=smoke,
        device=device,
        exports=exports,
        rehash=rehash,
        prove=prove,
        vendor=vendor,
        allow=allow,
        carry=carry,
    )
    app.run(lambda services: run(request, services))
