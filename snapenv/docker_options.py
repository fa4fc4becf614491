"""What a Launch asks of an engine, as options of ``docker run``.

Source: https://docs.docker.com/reference/cli/docker/container/run/
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.launch import Launch, Mount, Port


def docker_options(launch: Launch) -> Iterator[tuple[str, str]]:
    """Yield each option with its value, not quoted: rights, limits, network and labels.

    Those that depend on where a command runs are the caller's: GPUs, user, folder, mounts,
    variables and ports.
    """
    yield "--cap-drop", "ALL"
    for name in launch.capabilities:
        yield "--cap-add", name
    for word in launch.security:
        yield "--security-opt", word
    if launch.shm_bytes is None:
        yield "--ipc", "host"
    else:
        yield "--ipc", "private"
        yield "--shm-size", str(launch.shm_bytes)
    for limit in launch.limits:
        yield "--ulimit", f"{limit.name}={limit.soft}:{limit.hard}"
    if launch.memory_bytes:
        yield "--memory", str(launch.memory_bytes)
        yield "--memory-swap", str(launch.memory_bytes)
    if launch.cpus:
        yield "--cpus", f"{launch.cpus:g}"
    if launch.network:
        yield "--network", launch.network
    for name, value in sorted(launch.labels.items()):
        yield "--label", f"{name}={value}"


def gpus_option(gpus: str) -> tuple[str, str]:
    """Return the option for ``all`` GPUs, or for numbers and UUIDs with commas between them."""
    return "--gpus", "all" if gpus == "all" else f'"device={gpus}"'  # CSV: commas are quoted


def mount_option(mount: Mount) -> tuple[str, str]:
    """Return ``--mount`` with its value, which is CSV: a comma in a path is quoted."""
    fields = [f"type={mount.kind}", f"source={mount.source}", f"target={mount.target}"]
    quoted = (f'"{text}"' if "," in text else text for text in fields)
    return "--mount", ",".join((*quoted, *(("readonly",) if mount.read_only else ())))


def published_port(port: Port) -> str:
    """Return a port as ``--publish`` and Compose take it: ``127.0.0.1:8888:8888``."""
    return f"{bracketed(port.address)}:{port.host or ''}:{port.inside}"


def bracketed(address: str) -> str:
    """Return an address before a colon and a port: one of IPv6 stands in brackets."""
    return f"[{address}]" if ":" in address else address


def docker_run_options(launch: Launch) -> tuple[str, ...]:
    """Return lines of options, each quoted for a shell.

    The user, the name and the mount of the project are the caller's, as they depend on where the
    file runs.
    """
    return tuple(_lines(launch))


def _lines(launch: Launch) -> Iterator[str]:
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
