"""``snapenv usage sample``, which snapenv itself starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snapenv.cli.help import command, option

if TYPE_CHECKING:
    from snapenv.cli.app import App


@command(examples=("snapenv usage sample",))
@option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0, min_open=True),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    envvar="SNAPENV_SAMPLE_INTERVAL",
    help="Look at the runs and their GPUs so often.",
)
@click.pass_obj
def sample(app: App, *, interval_s: float) -> None:
    """Watch the runs of this machine until none goes on.

    Each run starts it, or wakes the one that runs.
    """
    from snapenv.workflows.sample import sample as run

    app.hand_over(lambda services, _: run(services, interval_s=interval_s))
