"""``snapenv usage`` and its commands."""

from __future__ import annotations

import click

from snapenv.cli.group import LazyGroup
from snapenv.cli.options import json_option

# The module and the function of each command, in the order in which they are used.
_COMMANDS = {
    "report": ("usage_report", "report"),
    "export": ("usage_export", "export"),
    "top": ("usage_top", "top"),
    "init": ("usage_init", "init"),
    "sample": ("usage_sample", "sample"),
    "import": ("usage_import", "usage_import"),
    "correct": ("usage_correct", "correct"),
    "pause": ("usage_pause", "pause"),
}

# How the help of each begins; the help of all imports none.
_SAYS = {
    "report": "Report what a month's runs have used, and what that has cost.",
    "export": "Write what a reader may see of this machine's ledger into a folder of its own.",
    "top": "Show what runs on this machine, and how well it uses its GPUs.",
    "init": "Make a team's ledger of usage in a PostgreSQL database, and say who sees what of it.",
    "sample": "Watch the runs of this machine until none goes on.",
    "import": "Read into the ledger what Slurm, Kubernetes and others ran.",
    "correct": "Correct the GPU hours of a run in this machine's ledger.",
    "pause": "Stop a run so that it can go on later, or warn that it would be.",
}

_FOR_PROGRAMS = ("sample", "pause")  # that no person types


@click.group(cls=LazyGroup, table=_COMMANDS, says=_SAYS, for_programs=_FOR_PROGRAMS)
@json_option
def usage() -> None:
    """Count what runs have used of the GPUs, for whom, for what, and at which cost."""
