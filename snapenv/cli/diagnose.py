"""``snapenv diagnose``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from snapenv.cli.bench import bench_options, training_of
from snapenv.cli.completion import RefType
from snapenv.cli.help import command, option
from snapenv.cli.options import json_option

if TYPE_CHECKING:
    from snapenv.cli.app import App


@command(
    examples=(
        "snapenv diagnose train-yolov8.4.190-base-cu130",
        "snapenv diagnose SNAPSHOT --engine venv --into .venv --data data.yaml --workers 4",
        "snapenv diagnose TAG --kept",
    )
)
@click.argument("ref", type=RefType())
@bench_options
@option(
    "--kept",
    is_flag=True,
    envvar="SNAPENV_DIAGNOSE_KEPT",
    group="Training",
    help="Read the last bench of REF instead; nothing is trained.",
)
@json_option
@click.pass_obj
def diagnose(app: App, /, **options: Any) -> None:  # noqa: ANN401 - as training_of() reads them
    """Find what holds a training back, and name one thing to try next.

    REF is what snapenv verify takes; a training is measured as snapenv bench does. Exits with 1 if
    something holds it back.
    """
    from snapenv.workflows.diagnose import Diagnose
    from snapenv.workflows.diagnose import diagnose as run

    training = training_of(options)
    options["repository"] = str(options["repository"])
    request = Diagnose(options=training, **options)
    app.run(lambda services: run(request, services))
