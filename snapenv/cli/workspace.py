"""``snapenv up`` and ``snapenv down``, and what ssh connects through."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snapenv.cli.completion import RefType
from snapenv.cli.help import command, option
from snapenv.cli.launch_options import (
    launch_options,
    limit_options,
    request_fields,
    stop_timeout_option,
)
from snapenv.cli.options import check_address, json_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from snapenv.cli.app import App
    from snapenv.workspace.serving import Service

_LAST_PORT = 65535


def _name(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    from snapenv.model.launch import RUN_ID

    if value is not None and not RUN_ID.fullmatch(value):
        raise click.BadParameter(
            f"{value!r} is not of lower case letters, digits, dots, dashes and underscores",
            ctx,
            param,
        )
    return value


@command(
    examples=(
        "snapenv up train-yolov8.4.190-base-cu130",
        "snapenv up TAG --jupyter --ssh --data /datasets/coco --device 0",
        "snapenv up TAG --engine venv --into .venv",
    )
)
@click.argument("ref", type=RefType())
@option(
    "--jupyter",
    is_flag=True,
    envvar="SNAPENV_SERVE_JUPYTER",
    group="Service",
    help="Serve JupyterLab.",
)
@option(
    "--tensorboard",
    is_flag=True,
    envvar="SNAPENV_SERVE_TENSORBOARD",
    group="Service",
    help="Serve TensorBoard of --runs.",
)
@option(
    "--ssh",
    is_flag=True,
    envvar="SNAPENV_SERVE_SSH",
    group="Service",
    help="Let your own ssh keys in.",
)
@option(
    "--ssh-port",
    type=click.IntRange(1, _LAST_PORT),
    envvar="SNAPENV_SSH_PORT",
    group="Service",
    help="Listen for ssh at this port.  [default: ssh goes through the engine]",
)
@option(
    "--bind",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    callback=check_address,
    envvar="SNAPENV_BIND",
    group="Service",
    help="Listen at this address of the machine.",
)
@option(
    "--name",
    callback=_name,
    envvar="SNAPENV_NAME",
    group="Service",
    help="Name the workspace.  [default: as the folder]",
)
@option(
    "-y",
    "--yes",
    is_flag=True,
    envvar="SNAPENV_YES",
    group="Service",
    help="Change ~/.ssh/config without asking.",
)
@launch_options
@limit_options(stop_rule=False)
@json_option
@click.pass_obj
def up(app: App, /, *, name: str | None, yes: bool, **options: Any) -> None:  # noqa: ANN401 - as request_fields() reads them
    """Start a workspace in a restored environment: Jupyter, TensorBoard, ssh.

    It stays until snapenv down. Where no service is named it has Jupyter and TensorBoard. REF is
    what snapenv run takes. The environment stays as it is. Of a workspace that runs already, the
    addresses are printed again.
    """
    from snapenv.workflows.up import Up, workspace_name
    from snapenv.workflows.up import up as run

    options["ssh"] = options["ssh"] or options["ssh_port"] is not None
    every: tuple[Service, ...] = ("jupyter", "tensorboard", "ssh")
    serves = tuple(each for each in every if options.pop(each))
    fields = request_fields(options, stdin=False)
    request = Up(
        run=name or workspace_name(fields["folder"]),
        serves=serves or every[:2],
        **fields,
    )
    app.run(lambda services: run(request, services, _confirm(yes=yes)))


@command(examples=("snapenv down", "snapenv down NAME --stop-timeout 10"))
@click.argument("name", required=False)
@stop_timeout_option(
    "Wait so long after SIGINT before all is killed.  [default: as of snapenv up]", group="Service"
)
@json_option
@click.pass_obj
def down(app: App, *, name: str | None, grace_s: int | None) -> None:
    """End a workspace, and all that runs in it; results stay.

    NAME is by default that of the current folder's.
    """
    from snapenv.workflows.down import down as run
    from snapenv.workflows.up import workspace_name

    wanted = name or workspace_name(Path.cwd())
    app.run(lambda services: run(wanted, services, grace_s=grace_s))


@command()
@click.argument("name")
@click.pass_obj
def ssh_proxy(app: App, *, name: str) -> None:
    """Connect stdin and stdout with an sshd in a workspace: for ssh's ProxyCommand."""
    from snapenv.workflows.ssh_proxy import ssh_proxy as run

    app.hand_over(lambda services, _: run(name, services))


def _confirm(*, yes: bool) -> Callable[[str], bool]:
    """Return what asks the user, who can be asked where stdin and stderr are a terminal."""

    def ask(question: str) -> bool:
        if yes or not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
            return yes
        return click.confirm(question, err=True)

    return ask
