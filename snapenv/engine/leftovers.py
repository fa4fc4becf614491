"""What a killed command has left in an engine: containers, and programs in somebody's container.

Each container that snapenv makes for itself bears the id of the process that made it, which has
written down before at which engine it does so. So does the container of a run, by a label of its
own: it stays once it was started.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from docker.errors import APIError, DockerException, NotFound

from snapenv.engine.address import find_address
from snapenv.engine.answers import ListedContainer, Made, read_answer
from snapenv.engine.connection import connect
from snapenv.errors import EngineError, EngineMissingError
from snapenv.ownership.leftovers import note, process_id, remove

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from docker import APIClient

LABEL = "io.snapenv.process"
STARTER_LABEL = "io.snapenv.started-by"  # of the container of a run
_MADE, _RUN, _UNSTARTED = "containers", "program", "unstarted"
_NOT_RUNNING = ["created", "dead"]  # it never ran, or the engine was killed as it removed it
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


def starter_label(staged: Path) -> dict[str, str]:
    """Return the label of a run's container that is about to be made, and write that down.

    ``staged`` is the folder with its files.
    """
    note(_UNSTARTED, find_address().url, str(staged))
    return {STARTER_LABEL: process_id()}


def take_away(process: str, entry: Sequence[str]) -> bool:
    """Remove what an entry of a killed process says; False where its engine is not reached now."""
    try:
        address = find_address()
        if entry[1] != address.url:
            return False
        with contextlib.closing(connect(address)) as client:
            client.timeout = _TIMEOUT_S
            if entry[0] == _MADE:
                for container in _list(client, {"label": f"{LABEL}={process}"}):
                    with contextlib.suppress(NotFound):
                        client.remove_container(container.id, v=True, force=True)
            elif entry[0] == _RUN:
                end_program(client, entry[2], entry[3])
            elif entry[0] == _UNSTARTED:
                _remove_unstarted(client, process, Path(entry[2]))
    except (DockerException, EngineError, EngineMissingError, OSError):
        return False
    return True


def _remove_unstarted(client: APIClient, process: str, staged: Path) -> None:
    """Remove the container of a run that does not go on and has printed nothing.

    Raises:
        DockerException, EngineError, OSError: The engine does not answer, or not as one.
    """
    of_process = {"label": f"{STARTER_LABEL}={process}"}
    for container in _list(client, {**of_process, "status": _NOT_RUNNING}):
        with contextlib.suppress(APIError):  # it is being started or removed
            client.remove_container(container.id, v=True)
    if not _list(client, of_process):
        remove(staged)


def _list(client: APIClient, filters: Mapping[str, object]) -> tuple[ListedContainer, ...]:
    answered = client.containers(all=True, filters=filters)
    return read_answer(answered, tuple[ListedContainer, ...])


def end_program(client: APIClient, container: str, folder: str) -> None:
    """Kill what runs in a folder of a container, and remove the folder.

    Raises:
        DockerException, OSError: The engine does not answer.
    """
    for argv, user in ((["sh", "-c", _KILL, "sh", folder], ""), (["rm", "-rf", folder], "0")):
        with contextlib.suppress(APIError):  # the container is gone, or has ended
            made = client.exec_create(container, argv, user=user)
            client.exec_start(read_answer(made, Made).id)
