"""A Launch as options of ``docker run``, for files that call it.

Source: https://docs.docker.com/reference/cli/docker/container/run/
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from snapenv.docker_options import docker_options, gpus_option, mount_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.launch import Launch


def docker_run_options(launch: Launch) -> tuple[str, ...]:
    """Return lines of options, each quoted for a shell.

    The user, the name and the mount of the project are the caller's, as they depend on where the
    file runs.
    """
    return tuple(_options(launch))


def _options(launch: Launch) -> Iterator[str]:
    if launch.init:
        yield "--init --env TINI_KILL_PROCESS_GROUP=1"
    yield f"--stop-signal {launch.stop_signal} --stop-timeout {launch.grace_s}"
    yield from map(shlex.join, docker_options(launch))
    if launch.gpus is None:  # where the engine gives GPUs to every container that names none
        yield "--env NVIDIA_VISIBLE_DEVICES=void"
    else:
        yield shlex.join(gpus_option(launch.gpus))
    for name, value in launch.set_variables:
        yield f"--env {shlex.quote(f'{name}={value}')}"
    yield from map(shlex.join, map(mount_option, launch.mounts))
