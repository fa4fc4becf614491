"""``snapenv update``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snapenv.cli.completion import SnapshotType
from snapenv.cli.help import command, option
from snapenv.cli.options import (
    device_option,
    json_option,
    mirror_option,
    repository_option,
    smoke_option,
    snapshot_output_option,
)

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.image import ImageRef
    from snapenv.model.update import Edits, Wanted

_PYTHON = re.compile(r"3\.\d{1,2}(?:\.\d{1,2})?", re.ASCII)


class _PackageType(click.ParamType["Wanted"]):
    """A package with or without a version: ``torch``, ``torch==2.12.0``."""

    name = "PKG[==V]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Wanted:
        """Parse, or end in a usage error."""
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.utils import canonicalize_name

        from snapenv.model.update import Wanted

        if isinstance(value, Wanted):
            return value
        try:
            parsed = Requirement(str(value))
        except InvalidRequirement:
            self.fail(f"{value!r} is not a package such as torch or torch==2.12.0", param, ctx)
        if parsed.url or parsed.marker:
            self.fail(f"{value!r} is more than a package and its version", param, ctx)
        return Wanted(
            name=canonicalize_name(parsed.name),
            specifier=str(parsed.specifier),
            extras=tuple(sorted(parsed.extras)),
        )


def _names(
    ctx: click.Context, param: click.Parameter, values: tuple[Wanted, ...]
) -> tuple[str, ...]:
    for value in values:
        if value.specifier or value.extras:
            raise click.BadParameter(f"'{value}': name the package alone", ctx, param)
    return tuple(value.name for value in values)


def _python(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value and not _PYTHON.fullmatch(value):
        raise click.BadParameter(f"{value!r} is not a version such as 3.13", ctx, param)
    return value


def _ask(text: str) -> bool:
    return click.confirm(f"{text}\nLet them move?", err=True)


@command(
    examples=(
        "snapenv update snapshots/train-yolov8.4.189-base-cu130 --upgrade ultralytics -o new",
        "snapenv update SNAPSHOT --upgrade torch==2.12.0 --allow-moves -o new",
        "snapenv update SNAPSHOT --add scikit-learn --remove polars -o new",
    )
)
@click.argument("snapshot", type=SnapshotType(path_type=Path))
@option(
    "--upgrade",
    type=_PackageType(),
    multiple=True,
    envvar="SNAPENV_UPGRADE",
    group="Packages",
    help="Move this package to its newest version, or to the one named.",
)
@option(
    "--add",
    type=_PackageType(),
    multiple=True,
    envvar="SNAPENV_ADD",
    group="Packages",
    help="Add this package, and what it requires.",
)
@option(
    "--remove",
    type=_PackageType(),
    metavar="PKG",
    multiple=True,
    callback=_names,
    envvar="SNAPENV_REMOVE",
    group="Packages",
    help="Remove this package; what it required stays.",
)
@option(
    "--python",
    metavar="VERSION",
    callback=_python,
    envvar="SNAPENV_PYTHON_VERSION",
    group="Packages",
    help="Move to this Python, such as 3.13.",
)
@option(
    "--allow-moves",
    is_flag=True,
    envvar="SNAPENV_ALLOW_MOVES",
    group="Packages",
    help="Let other packages move as far as the update needs it.",
)
@option(
    "--edits",
    type=click.Choice(["keep", "drop"]),
    envvar="SNAPENV_EDITS",
    group="Packages",
    help="Keep edited files of packages that move, over their new version, or drop them.",
)
@snapshot_output_option
@smoke_option
@device_option
@repository_option
@mirror_option
@json_option
@click.pass_obj
def update(
    app: App,
    snapshot: Path,
    *,
    upgrade: tuple[Wanted, ...],
    add: tuple[Wanted, ...],
    remove: tuple[str, ...],
    python: str | None,
    allow_moves: bool,
    edits: Edits | None,
    output: Path | None,
    smoke: bool | None,
    device: str,
    repository: ImageRef,
    mirror: str | None,
) -> None:
    """Change packages of SNAPSHOT, and write a new snapshot.

    SNAPSHOT is a folder, an archive of a snapshot, or one that lies alone in a registry.
    Every other package is held at its version. The new environment is installed from the index,
    proved and trained like a capture; the answer is how it differs from SNAPSHOT, with the losses
    of both. Exits with 1 if there is nothing to change.
    """
    if not (upgrade or add or remove or python):
        raise click.UsageError("Name a change: --upgrade, --add, --remove or --python.")
    from snapenv.model.update import Changes
    from snapenv.workflows.update import Update
    from snapenv.workflows.update import update as run

    is_watched = sys.stdin.isatty() and sys.stderr.isatty() and not app.json
    request = Update(
        snapshot=snapshot,
        changes=Changes(upgrade=upgrade, add=add, remove=remove, python=python),
        repository=str(repository),
        output=output,
        allow_moves=allow_moves,
        confirm=_ask if is_watched else None,
        edits=edits,
        smoke=smoke,
        device=device,
        mirror=mirror,
    )
    app.run(lambda services: run(request, services))
