"""``snapenv usage init``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snapenv.cli.help import command, option
from snapenv.cli.options import json_option

if TYPE_CHECKING:
    from snapenv.cli.app import App

_TO_GRANT = "Access"


class MemberType(click.ParamType["tuple[str, str]"]):
    """A login and a project: ``LOGIN=PROJECT``."""

    name = "LOGIN=PROJECT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Take it apart, or end in a usage error."""
        if isinstance(value, tuple):
            return value
        login, _, project = str(value).rpartition("=")
        if not login or not project:
            self.fail(f"{value!r} is not of the form LOGIN=PROJECT", param, ctx)
        return login, project


@command(
    "init",
    examples=(
        "snapenv usage init postgresql://keeper@db.example.com/usage",
        "snapenv usage init postgresql://keeper@db.example.com/usage --member ada=birds",
        "snapenv usage init postgresql://keeper@db.example.com/usage --manager mona --finance finn",
    ),
)
@click.argument("url")
@option(
    "--member",
    "members",
    type=MemberType(),
    multiple=True,
    envvar="SNAPENV_USAGE_MEMBER",
    group=_TO_GRANT,
    help="Let a login count its runs for a project, and see all runs of it.",
)
@option(
    "--manager",
    "managers",
    metavar="LOGIN",
    multiple=True,
    envvar="SNAPENV_USAGE_MANAGER",
    group=_TO_GRANT,
    help="Let a login see sums by project and user, with pseudonyms for users.",
)
@option(
    "--finance",
    metavar="LOGIN",
    multiple=True,
    envvar="SNAPENV_USAGE_FINANCE",
    group=_TO_GRANT,
    help="Let a login see sums by project, and no users.",
)
@option(
    "--service",
    "services",
    metavar="LOGIN",
    multiple=True,
    envvar="SNAPENV_USAGE_SERVICE",
    group=_TO_GRANT,
    help="Let a login hand over what others ran, for any project.",
)
@option(
    "--remove",
    metavar="LOGIN[=PROJECT]",
    multiple=True,
    envvar="SNAPENV_USAGE_REMOVE",
    group=_TO_GRANT,
    help="Take away a project from a login, or all that it may do; its runs stay.",
)
@json_option
@click.pass_obj
def init(
    app: App,
    *,
    url: str,
    members: tuple[tuple[str, str], ...],
    managers: tuple[str, ...],
    finance: tuple[str, ...],
    services: tuple[str, ...],
    remove: tuple[str, ...],
) -> None:
    """Make a team's ledger of usage in a PostgreSQL database, and say who sees what of it.

    URL is that of an empty database, as psql takes it, with a login that owns it and may make
    roles. What is there already stays, so it can be run again. Logins are made before, by whoever
    runs the server. A password is best kept in ~/.pgpass: the command line shows it to others.
    """
    from snapenv.model.usage import ProjectMember, TeamGrants
    from snapenv.workflows.usage_init import usage_init

    add = TeamGrants(
        members=tuple(ProjectMember(*member) for member in members),
        managers=managers,
        finance=finance,
        services=services,
    )
    app.run(lambda services: usage_init(url, services, add=add, remove=remove))
