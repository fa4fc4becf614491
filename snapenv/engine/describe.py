"""What a Docker engine says of itself, as a value.

Source: https://docs.docker.com/reference/api/engine/version/v1.51/#tag/System
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from snapenv.engine.answers import Info, Version, read_answer
from snapenv.model.host import HostEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_PAIR = re.compile(r"(\d{1,9})\.(\d{1,9})")
_CONTAINERD_STORE = "io.containerd.snapshotter.v1"
_SYSTEM_CONTAINERD = "/run/containerd/"  # else the engine runs a containerd of its own
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_IN_A_MACHINE = "Docker Desktop"  # its engine runs in a virtual machine
DATA = "/var/lib/docker"
_CONTAINERD_ROOT = "/var/lib/containerd"
_SECCOMP = "name=seccomp"
_UNFILTERED = "profile=unconfined"
_ROOTLESS = "name=rootless"  # may go on: ",…"
_USERNS = "name=userns"
_SELINUX = "name=selinux"


def describe(
    answered: Mapping[str, object], version: Version, *, address: str, buildkit: bool
) -> HostEngine:
    """Read ``docker info`` and ``docker version``; what an engine does not say it cannot do.

    The size of a container's /dev/shm is in neither.

    Raises:
        EngineError: It is no answer of an engine.
    """
    info = read_answer(answered, Info)
    here = is_here(address, info)
    return HostEngine(
        version=version.version or info.server_version or "unknown",
        api=_pair(version.api_version) or (0, 0),
        oldest_api=_pair(version.min_api_version) or (1, 12),
        address=address,
        local=here,
        buildkit=buildkit,
        architecture=version.arch or "amd64",
        root=info.docker_root_dir or DATA,
        free_bytes=_least(info, _free_bytes) if here else None,
        free_inodes=_least(info, _free_inodes) if here else None,
        runtimes=tuple(sorted(info.runtimes or ())),
        cdi=bool(info.cdi_spec_dirs),
        cdi_devices=tuple(_cdi_devices(info)),
        cgroup_driver=info.cgroup_driver or "none",
        rootless=_has_option(info, _ROOTLESS),
        userns_remap=_has_option(info, _USERNS),
        seccomp=_has_seccomp(info),
        selinux=_has_option(info, _SELINUX),
        containerd_store=_is_containerd_store(info),
        memory_bytes=info.mem_total or None,
        cpus=info.ncpu or None,
        limits_memory=info.memory_limit is not False,
        limits_cpus=info.cpu_cfs_quota is not False,
    )


def is_here(address: str, info: Info) -> bool:
    """Return whether an engine runs on this very machine, by its address and its name.

    A socket alone does not tell: it may be handed into a container, forwarded by ssh, or be that
    of a virtual machine.
    """
    parts = urlsplit(address)
    near = parts.scheme == "unix" or (parts.scheme == "tcp" and parts.hostname in _LOOPBACK)
    named = info.name == os.uname().nodename
    return near and named and info.operating_system != _IN_A_MACHINE


def _has_option(info: Info, name: str) -> bool:
    return any(option.startswith(name) for option in info.security_options or ())


def _has_seccomp(info: Info) -> bool:
    """Return whether system calls are filtered; an engine that says nothing of its security may."""
    options = info.security_options or ("name=seccomp",)
    return any(option.startswith(_SECCOMP) and _UNFILTERED not in option for option in options)


def _least(info: Info, free: Callable[[os.statvfs_result], int | None]) -> int | None:
    """Return what is free where an image is kept, the least of the places that take part."""
    places = [info.docker_root_dir or DATA]
    containerd = info.containerd.address if info.containerd else None
    if _is_containerd_store(info) and (containerd or "").startswith(_SYSTEM_CONTAINERD):
        places.append(_CONTAINERD_ROOT)
    known = []
    for place in places:
        with suppress(OSError, ValueError):  # a name that no file has
            known.append(free(os.statvfs(place)))
    return min((size for size in known if size is not None), default=None)


def _free_bytes(system: os.statvfs_result) -> int:
    return system.f_bavail * system.f_frsize


def _free_inodes(system: os.statvfs_result) -> int | None:
    """Return the free inodes; btrfs and others have no fixed number, and say 0 of 0."""
    return system.f_favail if system.f_files else None


def _is_containerd_store(info: Info) -> bool:
    return any(_CONTAINERD_STORE in row for row in info.driver_status or ())


def _cdi_devices(info: Info) -> Iterator[str]:
    for device in info.discovered_devices or ():
        if device.source == "cdi" and device.id:
            yield device.id


def _pair(text: str | None) -> tuple[int, int] | None:
    numbers = _PAIR.match(text or "")
    return (int(numbers[1]), int(numbers[2])) if numbers else None
