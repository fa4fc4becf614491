"""The operating system, the processor and what they allow, from what they publish as text.

Sources: https://www.freedesktop.org/software/systemd/man/latest/os-release.html and
https://systemd.io/CONTAINER_INTERFACE/
"""

# Paths are plain strings: pathlib takes longer to import than all that is read here.
# ruff: noqa: PTH110, PTH118, PTH123

from __future__ import annotations

import json
import os
import re
import resource


def system() -> dict[str, object]:
    """Describe the machine as snapenv's ``System``; no host name."""
    return {
        "os": _os(),
        "machine": os.uname().machine,
        "glibc": _glibc(),
        "cpu": _cpu(),
        "cpu_count": cpu_count(),
        "shm_bytes": _shm_bytes(),
        "container": _container(),
        "cuda_toolkit": _cuda_toolkit(),
        "limits": {
            "nofile": _limit(resource.RLIMIT_NOFILE),
            "memlock_bytes": _limit(resource.RLIMIT_MEMLOCK),
            "stack_bytes": _limit(resource.RLIMIT_STACK),
        },
    }


def _os() -> str:
    text = _read("/etc/os-release") or _read("/usr/lib/os-release")
    words = (
        re.search(rf"^{key}=[\"']?([^\"'\n]*)", text, re.MULTILINE) for key in ("ID", "VERSION_ID")
    )
    return " ".join(word.group(1) for word in words if word) or os.uname().sysname.lower()


def _glibc() -> str | None:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").rpartition(" ")[2] or None
    except (ValueError, OSError):  # musl
        return None


def _cpu() -> str | None:
    match = re.search(r"^model name\s*:\s*(.*\S)", _read("/proc/cpuinfo"), re.MULTILINE)
    return match.group(1) if match else None


def cpu_count() -> int:
    """Return the number of processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _shm_bytes() -> int | None:
    try:
        shm = os.statvfs("/dev/shm")  # noqa: S108
    except OSError:
        return None
    return shm.f_blocks * shm.f_frsize


def _limit(which: int) -> int | None:
    soft, _ = resource.getrlimit(which)
    return None if soft == resource.RLIM_INFINITY else soft


def _container() -> str | None:
    """Name what this runs in, if it is a container: each kind leaves a mark of its own."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    if os.path.exists("/run/.containerenv"):
        return "podman"
    if os.path.exists("/.dockerenv"):
        return "docker"
    named = os.environ.get("container") or _read("/run/systemd/container").strip()  # noqa: SIM112
    return container_of(named=named, cgroup=_read("/proc/1/cgroup"))


def container_of(*, named: str, cgroup: str) -> str | None:
    """Name the container from what its manager set, or from the cgroup of its first process."""
    marks = {"kubepods": "kubernetes", "docker": "docker", "libpod": "podman", "lxc": "lxc"}
    known = {"oci": "container", **{name: name for name in marks.values()}}
    if named:
        return known.get(named, "container")
    return next((name for mark, name in marks.items() if mark in cgroup), None)


def _cuda_toolkit() -> str | None:
    """Return the version of the toolkit; nvcc is not run."""
    named = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    top = named or "/usr/local/cuda"
    for name, read in (("version.json", _of_json), ("version.txt", _of_text)):
        version = read(_read(os.path.join(top, name)))
        if version:
            return version
    return _of_text(os.path.realpath(top))


def _of_json(text: str) -> str | None:
    try:
        return _of_text("CUDA Version " + json.loads(text)["cuda"]["version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _of_text(text: str) -> str | None:
    """Find the version in ``CUDA Version 10.2.89`` and in ``/usr/local/cuda-12.4``."""
    match = re.search(r"(?:CUDA Version |/cuda-)(\d+(?:\.\d+)+)", text)
    return match.group(1) if match else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
