"""``snapenv clean``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from snapenv.cli.help import command, option
from snapenv.cli.options import json_option

if TYPE_CHECKING:
    from snapenv.cli.app import App

_AGE = re.compile(r"(\d{1,6})([hdw])", re.ASCII)
_UNITS_S = {"h": 3600, "d": 86400, "w": 7 * 86400}
_COUNT = re.compile(r"\d{1,6}", re.ASCII)


def _age(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    match = _AGE.fullmatch(value)
    if match is None:
        raise click.BadParameter(f"{value!r} is not an age such as 12h, 7d or 4w", ctx, param)
    return int(match[1]) * float(_UNITS_S[match[2]])


@command(
    examples=(
        "snapenv clean",
        "snapenv clean --yes",
        "snapenv clean --older-than 30d --keep train-yolov8.4.190-base-cu130 --yes",
        "snapenv clean --keep 2 --yes",
    )
)
@option(
    "--older-than",
    "older_than_s",
    metavar="AGE",
    callback=_age,
    envvar="SNAPENV_OLDER_THAN",
    group="Choice",
    help="Choose all that was not used for so long, such as 7d, environments and runs too.",
)
@option(
    "--keep",
    metavar="N|NAME",
    multiple=True,
    envvar="SNAPENV_KEEP",
    group="Choice",
    help="Keep the environments used last, so many, or the one of this name. May be repeated.",
)
@option(
    "--yes",
    is_flag=True,
    envvar="SNAPENV_YES",
    group="Choice",
    help="Free what is chosen; without it, it is only listed.",
)
@json_option
@click.pass_obj
def clean(app: App, *, older_than_s: float | None, keep: tuple[str, ...], yes: bool) -> None:
    """List what snapenv has made on this machine, and free what is chosen.

    Without options that is what is made anew when it is needed: caches, what builds keep, images of
    snapenv up that no container uses, and images of environments that have lost their name.
    What snapenv has not made is never removed.
    """
    from snapenv.workflows.clean import Cleaning
    from snapenv.workflows.clean import clean as free

    counts = [int(word) for word in keep if _COUNT.fullmatch(word)]
    request = Cleaning(
        older_than_s=older_than_s,
        keep=tuple(word for word in keep if not _COUNT.fullmatch(word)),
        keep_newest=max(counts, default=None),
        yes=yes,
    )
    app.run(lambda services: free(request, services))
