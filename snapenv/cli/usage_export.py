"""``snapenv usage export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from snapenv.cli.help import command, option
from snapenv.cli.options import json_option

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.workflows.usage_export import Reader


class RoleType(click.ParamType["Reader"]):
    """Whom an export is for: ``member=NAME``, ``manager`` or ``finance``."""

    name = "role"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Reader:
        """Return it, or end in a usage error."""
        from snapenv.workflows.usage_export import Reader

        role, given, member = str(value).partition("=")
        if role == "member" and member:
            return Reader(role="member", member=member)
        if not given and role == "manager":
            return Reader(role="manager")
        if not given and role == "finance":
            return Reader(role="finance")
        return self.fail(f"{value!r} is not member=NAME, manager or finance", param, ctx)


@command(
    examples=(
        "snapenv usage export --role member=ada --output for-ada",
        "snapenv usage export --role manager --output for-managers",
        "snapenv usage export --role finance --output for-finance",
    )
)
@option(
    "--role",
    "reader",
    type=RoleType(),
    metavar="member=NAME|manager|finance",
    required=True,
    envvar="SNAPENV_USAGE_ROLE",
    group="Usage",
    help="Write what such a reader may see, and no more.",
)
@option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    required=True,
    envvar="SNAPENV_USAGE_FOLDER",
    group="Output",
    help="Write it into this new folder.",
)
@json_option
@click.pass_obj
def export(app: App, *, reader: Reader, output: Path) -> None:
    """Write what a reader may see of this machine's ledger into a folder of its own.

    A member gets a ledger with the own runs and those of the own projects, managers sums by project
    and pseudonym, finance sums by project. What a team's ledger shows each role is the same.
    """
    from snapenv.workflows.usage_export import export_usage

    app.run(lambda services: export_usage(reader, output, services))
