"""``snapenv usage top``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snapenv.cli.help import command
from snapenv.cli.options import json_option, prices_option

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.cli.app import App


@command(examples=("snapenv usage top", "snapenv usage top --prices prices.toml"))
@prices_option
@json_option
@click.pass_obj
def top(app: App, *, prices: Path | None) -> None:
    """Show what runs on this machine, and how well it uses its GPUs.

    On a terminal the table is shown anew every two seconds, until Ctrl-C; elsewhere once.
    """
    from snapenv.workflows.usage_top import show_top

    app.follow(lambda services, width: show_top(services, prices=prices, width=width))
