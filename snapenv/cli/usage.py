"""``snapenv usage`` and its commands."""

from __future__ import annotations

import click

from snapenv.cli.group import LazyGroup
from snapenv.cli.options import json_option

# The module and the function of each command, in the order in which they are used.
_COMMANDS: dict[str, tuple[str, str]] = {
    "report": ("usage_report", "report"),
    "export": ("usage_export", "export"),
    "top": ("usage_top", "top"),
    "init": ("usage_init", "init"),
    "sample": ("usage_sample", "sample"),
    "import": ("usage_import", "usage_import"),
    "pause": ("usage_pause", "pause"),
}

_FOR_PROGRAMS = ("sample", "pause")  # that no person types


@click.group(cls=LazyGroup, table=_COMMANDS, for_programs=_FOR_PROGRAMS)
@json_option
def usage() -> None:
    """Count what runs have used of the GPUs, for whom, for what, and at which cost."""
