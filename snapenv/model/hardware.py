"""The machine below an environment, as its own driver and kernel report it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One NVIDIA GPU as NVML reports it; no UUID and no serial number."""

    name: str
    memory_mib: int
    compute_capability: tuple[int, int]  # (major, minor): an H200 is (9, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Driver:
    """The NVIDIA driver that is loaded, and the newest CUDA that it serves."""

    version: str
    cuda: tuple[int, int]  # (major, minor)


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """The operating system an environment lives on."""

    os: str  # "debian 12", from os-release's ID and VERSION_ID
    machine: str  # "x86_64"
    glibc: str | None = None
    cpu: str | None = None
    cpu_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """System, driver and GPUs; ``driver`` is None and ``gpus`` empty without an NVIDIA GPU."""

    system: System
    driver: Driver | None = None
    gpus: tuple[Gpu, ...] = ()
