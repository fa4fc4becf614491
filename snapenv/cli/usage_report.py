"""``snapenv usage report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from snapenv.cli.help import command, option
from snapenv.cli.options import json_option, prices_option

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.usage_report import By


@command(
    examples=(
        "snapenv usage report",
        "snapenv usage report --month 2026-11 --by user --prices prices.toml",
        "snapenv usage report --format focus --prices prices.toml --output november.csv",
        "snapenv usage report --format html --output november.html",
    )
)
@option(
    "--month",
    metavar="YYYY-MM",
    envvar="SNAPENV_MONTH",
    group="Usage",
    help="Report this month of UTC.  [default: the current one]",
)
@option(
    "--by",
    type=click.Choice(["user", "project", "model", "tag", "gpu", "environment"]),
    default="project",
    show_default=True,
    envvar="SNAPENV_BY",
    group="Usage",
    help="Put the runs together by this.",
)
@prices_option
@option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "csv", "html", "focus", "emissions"]),
    default="text",
    show_default=True,
    envvar="SNAPENV_FORMAT",
    group="Output",
    help="Write it as this; focus is FOCUS 1.2, and emissions CodeCarbon's CSV.",
)
@option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    envvar="SNAPENV_USAGE_OUTPUT",
    group="Output",
    help="Write it to this file, replacing an existing one.  [default: stdout]",
)
@json_option
@click.pass_obj
def report(
    app: App,
    *,
    month: str | None,
    by: By,
    prices: Path | None,
    form: Literal["text", "json", "csv", "html", "focus", "emissions"],
    output: Path | None,
) -> None:
    """Report what a month's runs have used, and what that has cost.

    Costs need a price list: see docs/usage.md. Times and days are of UTC.
    """
    from snapenv.workflows.usage_report import UsageReport
    from snapenv.workflows.usage_report import report_usage as run

    if form == "json" and output is None:
        app.json = True
    request = UsageReport(month=month, by=by, prices=prices, form=form, output=output)
    app.run(lambda services: run(request, services))
