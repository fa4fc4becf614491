"""``snapenv usage pause``, which the sampler starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snapenv.cli.help import command, option

if TYPE_CHECKING:
    from snapenv.cli.app import App
    from snapenv.model.launch import StoppedBy


@command()
@click.argument("run")
@option("--by", type=click.Choice(("stop-rule", "max-hours", "max-cost")), required=True)
@option("--reason", required=True)
@option("--warn", is_flag=True)
@click.pass_obj
def pause(app: App, *, run: str, by: StoppedBy, reason: str, warn: bool) -> None:
    """Stop a run so that it can go on later, or warn that it would be."""
    from snapenv.launch.records import Stop
    from snapenv.workflows.pause import pause as stop

    why = Stop(by=by, reason=reason)
    app.hand_over(lambda services, say: stop(run, why, services, say, warn=warn))
