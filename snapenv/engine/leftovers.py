"""What a killed command has left in an engine: containers, and programs in somebody's container.

Each container that snapenv makes bears the id of the process that made it, which has written
down before at which engine it does so.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from docker.errors import APIError, DockerException, NotFound

from snapenv.engine.address import find_address
from snapenv.engine.answers import ListedContainer, Made, read_answer
from snapenv.engine.connection import connect
from snapenv.errors import EngineError, EngineMissingError
from snapenv.ownership.leftovers import note, process_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from docker import APIClient

LABEL = "io.snapenv.process"
_MADE, _RUN = "containers", "program"
_TIMEOUT_S = 10
# The engine cannot end what an exec started; it is known by its working folder. As the user of
# the program: another one, root too, may not read the link.
_KILL = """
for process in /proc/[0-9]*; do
    [ "$(readlink "$process/cwd")" = "$1" ] && kill -9 "${process#/proc/}"
done
"""


def own_label() -> dict[str, str]:
    """Return the label of a container that is about to be made, and write that down."""
    note(_MADE, find_address().url)
    return {LABEL: process_id()}


def note_program(container: str, folder: str) -> None:
    """Write down that a program is about to run in ``folder`` of somebody's container."""
    note(_RUN, find_address().url, container, folder)


def take_away(process: str, entry: Sequence[str]) -> bool:
    """Remove what an entry of a killed process says; False where its engine is not reached now."""
    try:
        address = find_address()
        if entry[1] != address.url:
            return False
        with contextlib.closing(connect(address)) as client:
            client.timeout = _TIMEOUT_S
            if entry[0] == _MADE:
                of_process = {"label": f"{LABEL}={process}"}
                answered = client.containers(all=True, filters=of_process)
                for container in read_answer(answered, tuple[ListedContainer, ...]):
                    with contextlib.suppress(NotFound):
                        client.remove_container(container.id, v=True, force=True)
            elif entry[0] == _RUN:
                end_program(client, entry[2], entry[3])
    except (DockerException, EngineError, EngineMissingError, OSError):
        return False
    return True


def end_program(client: APIClient, container: str, folder: str) -> None:
    """Kill what runs in a folder of a container, and remove the folder.

    Raises:
        DockerException, OSError: The engine does not answer.
    """
    for argv, user in ((["sh", "-c", _KILL, "sh", folder], ""), (["rm", "-rf", folder], "0")):
        with contextlib.suppress(APIError):  # the container is gone, or has ended
            made = client.exec_create(container, argv, user=user)
            client.exec_start(read_answer(made, Made).id)
