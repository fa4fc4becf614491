"""``snapenv tune``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snapenv.cli.bench import bench_options, training_of
from snapenv.cli.completion import RefType
from snapenv.cli.help import command, option
from snapenv.cli.options import json_option, report_option

if TYPE_CHECKING:
    from snapenv.cli.app import App


def _vary(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> dict[str, str]:
    """Read NAME=VALUES, or end in a usage error."""
    values = {}
    for word in words:
        name, _, given = word.partition("=")
        if not given:
            raise click.BadParameter(f"{word!r} is not such as batch=8,16", ctx, param)
        values[name] = given
    return values


@command(
    examples=(
        "snapenv tune train-yolov8.4.190-base-cu130 --model yolov8m.yaml",
        "snapenv tune TAG --batch 16 --vary batch=16 --output fast.toml",
        "snapenv tune SNAPSHOT --engine venv --into .venv --data data.yaml --objective energy",
        "snapenv tune TAG --kept --report trials.html",
    )
)
@click.argument("ref", type=RefType())
@bench_options
@option(
    "--vary",
    metavar="NAME=VALUES",
    multiple=True,
    callback=_vary,
    envvar="SNAPENV_TUNE_VARY",
    group="Search",
    help="Try these values of batch, workers, cache, amp or compile besides the default. "
    "May be repeated.  [default: what memory and processors allow]",
)
@option(
    "--objective",
    type=click.Choice(("speed", "energy", "time")),
    default="speed",
    show_default=True,
    envvar="SNAPENV_TUNE_OBJECTIVE",
    group="Search",
    help="Search for most images/s, least energy an image, or least time to --images.",
)
@option(
    "--images",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    envvar="SNAPENV_TUNE_IMAGES",
    group="Search",
    help="So many images are trained, for --objective time.",
)
@option(
    "--trials",
    type=click.IntRange(1, 1000),
    default=24,
    show_default=True,
    envvar="SNAPENV_TUNE_TRIALS",
    group="Search",
    help="Measure at most so many settings.",
)
@option(
    "--pairs",
    type=click.IntRange(2, 50),
    default=3,
    show_default=True,
    envvar="SNAPENV_TUNE_PAIRS",
    group="Search",
    help="Compare the best with the default so many times.",
)
@option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.toml",
    default=Path("tuned.toml"),
    show_default=True,
    envvar="SNAPENV_TUNE_OUTPUT",
    group="Output",
    help="Write the profile to this file, replacing an older one.",
)
@report_option
@option(
    "--kept",
    is_flag=True,
    envvar="SNAPENV_TUNE_KEPT",
    group="Search",
    help="Tell the last search of REF again that came to its end; nothing is measured.",
)
@json_option
@click.pass_obj
def tune(app: App, /, **options: Any) -> None:  # noqa: ANN401 - as training_of() reads them
    """Search for the settings with which a training goes fastest in a restored environment.

    REF is what snapenv verify takes. The options of the training are the default, which is to be
    beaten. An interrupted search goes on when it is asked for again. Needs the extra "tune".
    """
    from snapenv.workflows.tune import TuneCommand
    from snapenv.workflows.tune import tune as run

    training = training_of(options)
    options["repository"] = str(options["repository"])
    request = TuneCommand(options=training, **options)
    app.run(lambda services: run(request, services))
