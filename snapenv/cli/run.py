"""``snapenv run``, and ``snapenv shell``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from snapenv.cli.completion import RefType
from snapenv.cli.help import command, option
from snapenv.cli.launch_options import (
    RunCommand,
    launch_options,
    limit_options,
    request_fields,
    tty_option,
)

if TYPE_CHECKING:
    from snapenv.cli.app import App

_RESTART = re.compile(r"on-failure:(\d{1,4})", re.ASCII)
_CHANGEABLE = (  # with --resume
    *("resume", "restarts", "detached", "memory_bytes", "shm_bytes", "data", "dry_run"),
    *("strict", "stop_rule", "min_improvement", "max_hours", "max_cost", "notify", "prices"),
)
_SHELL = "if command -v bash >/dev/null; then exec bash; else exec sh; fi"


def _restarts(ctx: click.Context, param: click.Parameter, value: str) -> int:
    match = _RESTART.fullmatch(value)
    if value != "no" and match is None:
        raise click.BadParameter(f"{value!r} is not such as on-failure:3", ctx, param)
    return int(match[1]) if match else 0


@command(
    cls=RunCommand,
    options_metavar="",
    examples=(
        "snapenv run train-yolov8.4.190-base-cu130 -- yolo train model=yolov8n.pt data=data.yaml",
        "snapenv run TAG --data /datasets/coco --device 0 -- python train.py",
        "snapenv run TAG --detach -- python train.py",
        "snapenv run --resume RUN",
    ),
)
@click.argument("ref", type=RefType(), required=False)
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS] [--] COMMAND...")
@option(
    "--resume",
    metavar="RUN",
    envvar="SNAPENV_RESUME",
    group="Program",
    help="Continue the training of this run, as it was started, instead of REF and COMMAND.",
)
@option(
    "--restart",
    "restarts",
    metavar="on-failure:N",
    default="no",
    callback=_restarts,
    envvar="SNAPENV_RESTART",
    group="Program",
    help="After a failure continue the training, or start anew, at most so many times.",
)
@option(
    "-d",
    "--detach",
    "detached",
    is_flag=True,
    envvar="SNAPENV_DETACH",
    group="Program",
    help="Start in the background, and print the run's id.",
)
@option(
    "--profile",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.toml",
    envvar="SNAPENV_PROFILE",
    group="Program",
    help="Train with the settings that snapenv tune has found.",
)
@launch_options
@limit_options(stop_rule=True)
@option(
    "--estimate",
    is_flag=True,
    envvar="SNAPENV_ESTIMATE",
    group="Usage",
    help="Say what it will take and cost, judged by earlier runs, and start nothing.",
)
@tty_option
@click.pass_obj
def run(
    app: App,
    /,
    *,
    argv: tuple[str, ...],
    detached: bool,
    estimate: bool,
    profile: Path | None,
    resume: str | None,
    restarts: int,
    **options: Any,  # noqa: ANN401 - as request_fields() reads them
) -> None:
    """Run COMMAND in a restored environment, as you, in the current folder.

    REF is a tag, an image, a snapshot folder that was restored, or the folder of a venv. Exits
    with the code of COMMAND.
    """
    from snapenv.launch.training import Changes
    from snapenv.workflows.run import Run
    from snapenv.workflows.run import run as start

    if restarts and detached:
        raise click.UsageError("--restart watches the run: leave --detach out")
    if resume:
        _refuse_with_resume()
    elif not options["ref"]:
        raise click.UsageError("Missing argument 'REF'.")
    elif not argv:
        raise click.UsageError(
            f"no command to run: snapenv run {options['ref']} -- COMMAND, or for a shell: "
            f"snapenv shell {options['ref']}"
        )
    fields = request_fields({**options, "ref": options["ref"] or ""}, stdin=not detached)
    request = Run(
        argv=argv,
        detached=detached,
        estimate=estimate,
        profile=profile,
        resume=resume,
        restarts=restarts,
        changes=Changes(
            memory_bytes=fields["memory_bytes"], shm_bytes=fields["shm_bytes"], data=fields["data"]
        ),
        **fields,
    )
    app.hand_over(lambda services, say: start(request, services, say))


def _refuse_with_resume() -> None:
    """Refuse what a run that is continued has from the run that it continues.

    Raises:
        UsageError: It is on the command line.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and context.params.get(name) and name not in _CHANGEABLE:
            word = parameter.opts[-1] if isinstance(parameter, click.Option) else name.upper()
            raise click.UsageError(
                f"{word} is given beside --resume, which goes on as the run was started"
            )


@command(examples=("snapenv shell train-yolov8.4.190-base-cu130",))
@click.argument("ref", type=RefType())
@launch_options
@tty_option
@click.pass_obj
def shell(app: App, /, **options: Any) -> None:  # noqa: ANN401 - as request_fields() reads them
    """Open a shell in a restored environment, as you, in the current folder.

    REF is what snapenv run takes. Exits with the code of the shell.
    """
    from snapenv.workflows.run import Run
    from snapenv.workflows.run import run as start

    request = Run(kind="shell", argv=("sh", "-c", _SHELL), **request_fields(options))
    app.hand_over(lambda services, say: start(request, services, say))
