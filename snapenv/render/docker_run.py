"""A Launch as options of ``docker run``, for files that call it.

Source: https://docs.docker.com/reference/cli/docker/container/run/
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

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
    for security in launch.security:
        yield f"--security-opt {shlex.quote(security)}"
    yield from _resources(launch)
    yield f"--stop-signal {launch.stop_signal} --stop-timeout {launch.grace_s}"
    for name, value in sorted(launch.labels.items()):
        yield f"--label {shlex.quote(f'{name}={value}')}"
    for name, text in sorted(launch.variables.items()):
        if text is not None:
            yield f"--env {shlex.quote(f'{name}={text}')}"
    for mount in launch.mounts:
        words = f"type={mount.kind},source={mount.source},target={mount.target}"
        yield f"--mount {shlex.quote(words + ',readonly' * mount.read_only)}"


def _resources(launch: Launch) -> Iterator[str]:
    if launch.gpus is None:  # where the engine gives GPUs to every container that names none
        yield "--env NVIDIA_VISIBLE_DEVICES=void"
    else:
        devices = launch.gpus if launch.gpus == "all" else f'"device={launch.gpus}"'
        yield f"--gpus {shlex.quote(devices)}"
    yield f"--shm-size {launch.shm_bytes}" if launch.shm_bytes else "--ipc host"
    if launch.cpus:
        yield f"--cpus {launch.cpus:g}"
    if launch.memory_bytes:
        yield f"--memory {launch.memory_bytes} --memory-swap {launch.memory_bytes}"
    for limit in launch.limits:
        yield f"--ulimit {limit.name}={limit.soft}:{limit.hard}"
    if launch.network:
        yield f"--network {shlex.quote(launch.network)}"
