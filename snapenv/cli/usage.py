"""``snapenv usage`` and its commands."""

from __future__ import annotations

import click

from snapenv.cli.group import LazyGroup
from snapenv.cli.options import json_option

# The module and the function of each command, in the order in which they are used.
_COMMANDS = {
    "report": (
        "usage_report",
        "report",
        "Report what a month's runs have used, and what that has cost.",
    ),
    "export": (
        "usage_export",
        "export",
        "Write what a reader may see of this machine's ledger into a folder of its own.",
    ),
    "top": ("usage_top", "top", "Show what runs on this machine, and how well it uses its GPUs."),
    "init": (
        "usage_init",
        "init",
        "Make a team's ledger of usage in a PostgreSQL database, and say who sees what of it.",
    ),
    "sample": ("usage_sample", "sample", "Watch the runs of this machine until none goes on."),
    "import": (
        "usage_import",
        "usage_import",
        "Read into the ledger what Slurm, Kubernetes and others ran.",
    ),
    "pause": (
        "usage_pause",
        "pause",
        "Stop a run so that it can go on later, or warn that it would be.",
    ),
}

_FOR_PROGRAMS = ("sample", "pause")  # that no person types


@click.group(cls=LazyGroup, table=_COMMANDS, for_programs=_FOR_PROGRAMS)
@json_option
def usage() -> None:
    """Count what runs have used of the GPUs, for whom, for what, and at which cost."""
