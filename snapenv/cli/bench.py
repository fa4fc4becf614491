"""``snapenv bench``."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snapenv.cli.completion import RefType
from snapenv.cli.help import command, option
from snapenv.cli.options import (
    device_option,
    engine_option,
    into_option,
    json_option,
    repository_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from snapenv.cli.app import App
    from snapenv.model.bench import BenchOptions

    F = TypeVar("F", bound=Callable[..., object])

_TRAINING = ("model", "data", "imgsz", "batch", "workers", "amp", "cache", "steps", "device")


def _training_option(*words: str, **attributes: Any) -> Callable[[F], F]:  # noqa: ANN401
    name = words[-1].lstrip("-").partition("/")[0].upper()
    return option(*words, envvar=f"SNAPENV_BENCH_{name}", group="Training", **attributes)


_OPTIONS = (
    engine_option,
    into_option("measure in the one in this folder"),
    option(
        "--container",
        metavar="NAME",
        envvar="SNAPENV_BENCH_CONTAINER",
        group="Engine",
        help="Measure in this running container, such as one of snapenv up.",
    ),
    repository_option,
    device_option,
    _training_option(
        "--model",
        metavar="MODEL",
        default="yolov8n.yaml",
        show_default=True,
        help="Train this model; a .yaml needs no weights.",
    ),
    _training_option(
        "--data",
        metavar="FILE.yaml",
        help="Train on this dataset.  [default: images that are made for it]",
    ),
    _training_option(
        "--imgsz", type=click.IntRange(32, 4096), default=640, show_default=True, help="Image size."
    ),
    _training_option(
        "--batch", type=click.IntRange(1), default=16, show_default=True, help="Images a step."
    ),
    _training_option(
        "--workers",
        type=click.IntRange(0, 256),
        default=8,
        show_default=True,
        help="Processes that load images; no more than there are processors.",
    ),
    _training_option(
        "--amp/--no-amp", default=True, show_default=True, help="Use mixed precision."
    ),
    _training_option(
        "--cache",
        type=click.Choice(("none", "ram", "disk")),
        default="none",
        show_default=True,
        help="Keep decoded images here.",
    ),
    _training_option(
        "--steps",
        type=click.IntRange(5, 1000),
        default=50,
        show_default=True,
        help="Measure so many steps of each run, after a fifth as many to warm up.",
    ),
    option(
        "--repeat",
        type=click.IntRange(1, 20),
        default=3,
        show_default=True,
        envvar="SNAPENV_BENCH_REPEAT",
        group="Training",
        help="Train so many times over, each in a process of its own.",
    ),
)


def bench_options(command: F) -> F:
    """Add every option of a bench, in the order in which help lists them."""
    return functools.reduce(lambda decorated, add: add(decorated), reversed(_OPTIONS), command)


def training_of(options: dict[str, Any]) -> BenchOptions:
    """Take what is trained out of the options of a command."""
    from snapenv.model.bench import BenchOptions

    fields = {name: options.pop(name) for name in _TRAINING}
    return BenchOptions(**fields, warmup_steps=max(fields["steps"] // 5, 2))


@command(
    examples=(
        "snapenv bench train-yolov8.4.190-base-cu130",
        "snapenv bench SNAPSHOT --engine venv --into .venv --data data.yaml --batch 32",
        "snapenv bench TAG --compare other-machine.json",
    )
)
@click.argument("ref", type=RefType())
@bench_options
@option(
    "--compare",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.json",
    multiple=True,
    envvar="SNAPENV_BENCH_COMPARE",
    group="Output",
    help="Compare with what this command printed with --json elsewhere. May be repeated.",
)
@json_option
@click.pass_obj
def bench(app: App, /, **options: Any) -> None:  # noqa: ANN401 - as training_of() reads them
    """Measure how fast a training goes in a restored environment, without changing it.

    REF is what snapenv verify takes. What was measured is kept, and compared with next time.
    """
    from snapenv.workflows.bench import BenchCommand
    from snapenv.workflows.bench import bench as run

    training = training_of(options)
    options["repository"] = str(options["repository"])
    request = BenchCommand(options=training, **options)
    app.run(lambda services: run(request, services))
