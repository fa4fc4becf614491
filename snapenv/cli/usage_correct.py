"""``snapenv usage correct``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snapenv.cli.help import command, option
from snapenv.cli.options import json_option

if TYPE_CHECKING:
    from snapenv.cli.app import App


@command(
    examples=(
        "snapenv usage correct RUN --hours 5 --reason 'the container hung after 5 hours'",
        "snapenv usage correct RUN --hours 0 --month 2026-11 --reason 'the GPU failed'",
    )
)
@click.argument("run")
@option(
    "--hours",
    type=float,
    metavar="HOURS",
    required=True,
    envvar="SNAPENV_CORRECT_HOURS",
    group="Usage",
    help="Count so many hours in the month, of all GPUs of the run together.",
)
@option(
    "--reason",
    metavar="TEXT",
    required=True,
    envvar="SNAPENV_CORRECT_REASON",
    group="Usage",
    help="Keep this line, on why the hours were wrong, with the correction.",
)
@option(
    "--month",
    metavar="YYYY-MM",
    envvar="SNAPENV_MONTH",
    group="Usage",
    help="Correct this month of UTC.  [default: the only one in which the run had GPUs]",
)
@json_option
@click.pass_obj
def correct(app: App, *, run: str, hours: float, reason: str, month: str | None) -> None:
    """Correct the GPU hours of a run in this machine's ledger.

    What was measured stays: the difference is added beside it, and counted by every report. Time
    that is taken away is first that without samples, then that of the lowest utilisation. Energy
    stays as measured. With the hours that it has already, nothing is added.
    """
    from snapenv.workflows.usage_correct import UsageCorrect, correct_usage

    request = UsageCorrect(run=run, hours=hours, reason=reason, month=month)
    app.run(lambda services: correct_usage(request, services))
