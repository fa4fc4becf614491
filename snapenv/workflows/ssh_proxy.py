"""Connect an ssh of this machine with a workspace that has no port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.errors import NotFoundError
from snapenv.model.outcome import Handed
from snapenv.steps.launching import find_run
from snapenv.steps.serving import WORKSPACE, sshd_words

if TYPE_CHECKING:
    from snapenv.ports import Services


def ssh_proxy(name: str, services: Services) -> Handed:
    """Be the connection until ssh or its server ends it.

    Raises:
        NotFoundError: No workspace of this name runs.
    """
    record, runs = find_run(name, services)
    if record.kind != WORKSPACE:
        raise NotFoundError(f"there is no workspace {name}", hint="See snapenv ps.")
    done = runs.execute(name, sshd_words(record.launch), connected=True)
    return Handed(exit_code=done.exit_code)
