"""A launch as a command for a shell: ``docker run``, or ``env`` for a venv.

It is equal but for the files that snapenv writes before the start, which ``files_note`` names.
Source: https://docs.docker.com/reference/cli/docker/container/run/
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from snapenv.docker_options import docker_options, gpus_option, mount_option, published_port
from snapenv.model.host import NVIDIA_DEVICE
from snapenv.model.launch import InImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from snapenv.model.host import HostEngine
    from snapenv.model.launch import Launch


def shell_command(launch: Launch, engine: HostEngine | None, *, detached: bool) -> str:
    """Return the command on one line; ``engine`` is None for a venv."""
    taken = [name for name, value in launch.variables.items() if value is None]
    without = ("env", *(word for name in taken for word in ("-u", name))) if taken else ()
    if isinstance(launch.place, InImage) and engine:
        words = ("docker", "run", *_options(launch, engine, detached=detached))
        return shlex.join((*without, *words, launch.place.name, *launch.argv))
    given = [f"{name}={value}" for name, value in launch.set_variables]
    words = (*(without or ("env",)), *given, *launch.argv)
    return f"cd {shlex.quote(launch.folder or '.')} && {shlex.join(words)}"


def files_note(launch: Launch) -> str | None:
    """Say what is written before the start, which no option of a command does."""
    names = ["/etc/passwd and /etc/group"] if launch.user and launch.user.uid else []
    names += sorted(launch.files)
    return f"snapenv also writes {', '.join(names)} before the start" if names else None


def _options(launch: Launch, engine: HostEngine, *, detached: bool) -> Iterator[str]:
    yield "--detach" if detached else "--rm"
    if launch.stdin:
        yield "-it" if launch.tty else "-i"
    yield from ("--name", f"snapenv-{launch.run}")
    yield from ("--init",) if launch.init else ()
    yield from ("--stop-signal", launch.stop_signal, "--stop-timeout", str(launch.grace_s))
    if launch.user:
        yield from ("--user", f"{launch.user.uid}:{launch.user.gid}")
        yield from _each("--group-add", map(str, launch.user.groups))
    for pair in docker_options(launch):
        yield from pair
    yield from _gpus(launch.gpus, engine)
    yield from _each("--publish", map(published_port, launch.ports))
    for mount in launch.mounts:
        yield from mount_option(mount)
    yield from _each("--workdir", (launch.folder,) if launch.folder else ())
    variables = launch.variables.items()
    yield from _each(
        "--env", (name if value is None else f"{name}={value}" for name, value in variables)
    )


def _each(option: str, values: Iterable[str]) -> Iterator[str]:
    for value in values:
        yield from (option, value)


def _gpus(gpus: str | None, engine: HostEngine) -> Iterator[str]:
    if gpus is None:
        yield from ("--env", "NVIDIA_VISIBLE_DEVICES=void")
    elif engine.injects == "cdi":
        yield from _each("--device", (f"{NVIDIA_DEVICE}{name}" for name in gpus.split(",")))
    else:
        yield from gpus_option(gpus)
