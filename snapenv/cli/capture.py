"""``snapenv capture``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from snapenv.cli.options import (
    base_option,
    device_option,
    json_option,
    rehash_option,
    smoke_option,
    tag_word,
)

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef
    from snapenv.model.snapshot import Prove, Vendor


def _host(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse what ssh, or a program that it starts, would take for an option."""
    if any(part.startswith("-") for part in (value or "").split("@")):
        raise click.BadParameter(f"{value!r} is no host", ctx, param)
    return value


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    envvar="SNAPENV_OUTPUT",
    help="Write the snapshot to this new folder.  [default: snapshots/TAG]",
)
@click.option(
    "--python",
    metavar="PATH",
    envvar="SNAPENV_PYTHON",
    help="Look at this Python's environment.  [default: the active one]",
)
@click.option(
    "--container",
    metavar="NAME",
    envvar="SNAPENV_CONTAINER",
    help="Look into this running container, at its own active Python or at --python in there.",
)
@click.option(
    "--ssh",
    metavar="HOST",
    callback=_host,
    envvar="SNAPENV_SSH",
    help="Look at this machine over ssh; --python is a path over there.",
)
@tag_word("purpose", default="train", help="Say what the environment is for; part of the tag.")
@tag_word("level", default="base", help="Say how it is optimised, such as amp; part of the tag.")
@base_option
@smoke_option
@device_option
@rehash_option
@click.option(
    "--prove",
    type=click.Choice(["record", "off"]),
    default="record",
    show_default=True,
    envvar="SNAPENV_PROVE",
    help="Compare the files with the index's own RECORD, or work offline with what uv has kept.",
)
@click.option(
    "--vendor",
    type=click.Choice(["none", "missing", "all"]),
    default="missing",
    show_default=True,
    envvar="SNAPENV_VENDOR",
    help="Let no wheels travel, those that no index gives back, or all of them.",
)
@click.option(
    "--allow",
    metavar="PATH",
    multiple=True,
    envvar="SNAPENV_ALLOW",
    help="Let a file travel although it looks as if it held a secret, such as site/x.py.",
)
@click.option(
    "--carry",
    metavar="PATH",
    multiple=True,
    envvar="SNAPENV_CARRY",
    help="Let a file or folder beside the sources of a package travel too, such as configs.",
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
    smoke: bool | None,
    device: str,
    rehash: bool,
    prove: Prove,
    vendor: Vendor,
    allow: tuple[str, ...],
    carry: tuple[str, ...],
) -> None:
    """Lock the environment that works.

    It is looked at where it is: in the active environment, at --python, in a container or over
    ssh. Nothing in it is changed.
    """
    if container and ssh:
        raise click.UsageError("--container and --ssh are two places: give one of them.")
    from snapenv.workflows.capture import capture as run
    from snapenv.workflows.capture_request import Capture

    request = Capture(
        python=python,
        container=container,
        ssh=ssh,
        output=output,
        purpose=purpose,
        level=level,
        base=str(base) if base else None,
        smoke=smoke,
        device=device,
        rehash=rehash,
        prove=prove,
        vendor=vendor,
        allow=allow,
        carry=carry,
    )
    app.run(lambda outside: run(request, outside))
