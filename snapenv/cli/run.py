"""``snapenv run``, and ``snapenv shell``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from snapenv.cli.completion import RefType
from snapenv.cli.help import command, option
from snapenv.cli.launch_options import RunCommand, asked, launch_options, tty_option

if TYPE_CHECKING:
    from snapenv.cli.app import App

_SHELL = "if command -v bash >/dev/null; then exec bash; else exec sh; fi"


@command(
    cls=RunCommand,
    options_metavar="",
    examples=(
        "snapenv run train-yolov8.4.190-base-cu130 -- yolo train model=yolov8n.pt data=data.yaml",
        "snapenv run TAG --data /datasets/coco --device 0 -- python train.py",
        "snapenv run TAG --detach -- python train.py",
    ),
)
@click.argument("ref", type=RefType())
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS] [--] COMMAND...")
@option(
    "-d",
    "--detach",
    "detached",
    is_flag=True,
    envvar="SNAPENV_DETACH",
    group="Program",
    help="Start in the background, and print the run's id.",
)
@launch_options
@tty_option
@click.pass_obj
def run(app: App, /, *, argv: tuple[str, ...], detached: bool, **options: Any) -> None:  # noqa: ANN401 - as asked() reads them
    """Run COMMAND in a restored environment, as you, in the current folder.

    REF is a tag, an image, a snapshot folder that was restored, or the folder of a venv. Exits
    with the code of COMMAND.
    """
    from snapenv.workflows.run import Run
    from snapenv.workflows.run import run as start

    if not argv:
        raise click.UsageError(
            f"no command to run: snapenv run {options['ref']} -- COMMAND, or for a shell: "
            f"snapenv shell {options['ref']}"
        )
    request = Run(argv=argv, detached=detached, **asked(options, stdin=not detached))
    app.hand_over(lambda services, say: start(request, services, say))


@command(examples=("snapenv shell train-yolov8.4.190-base-cu130",))
@click.argument("ref", type=RefType())
@launch_options
@tty_option
@click.pass_obj
def shell(app: App, /, **options: Any) -> None:  # noqa: ANN401 - as asked() reads them
    """Open a shell in a restored environment, as you, in the current folder.

    REF is what snapenv run takes. Exits with the code of the shell.
    """
    from snapenv.workflows.run import Run
    from snapenv.workflows.run import run as start

    request = Run(kind="shell", argv=("sh", "-c", _SHELL), **asked(options))
    app.hand_over(lambda services, say: start(request, services, say))
