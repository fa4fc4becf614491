"""The machine below an environment, as its own driver and kernel report it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One NVIDIA GPU as NVML reports it; no UUID and no serial number.

    What a GPU does not have, or its driver does not tell, is None.
    """

    name: str
    memory_mib: int
    compute_capability: tuple[int, int]  # (major, minor): an H200 is (9, 0)
    sm_count: int | None = None  # of the whole GPU, also where MIG divides it
    ecc: bool | None = None
    mig: bool | None = None
    mig_devices: tuple[str, ...] = ()  # profiles in the driver's order: "1g.10gb"
    power_limit_w: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Driver:
    """The NVIDIA driver that is loaded, and the newest CUDA that it serves."""

    version: str
    cuda: tuple[int, int]  # (major, minor)
    kernel_module: str | None = None  # as /proc/driver/nvidia/version says; None on WSL


@dataclass(frozen=True, kw_only=True, slots=True)
class DriverFault:
    """A driver that is there and does not answer; after an update the two versions differ."""

    error: str  # NVML's own words
    kernel_module: str | None = None
    library: str | None = None  # from the name of the libnvidia-ml.so that was loaded


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one process may use (the soft limits); None is unlimited."""

    nofile: int | None = None
    memlock_bytes: int | None = None
    stack_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """The operating system an environment lives on."""

    os: str  # "debian 12", from os-release's ID and VERSION_ID
    machine: str  # "x86_64"
    glibc: str | None = None
    cpu: str | None = None
    cpu_count: int
    shm_bytes: int | None = None  # the size of /dev/shm
    container: str | None = None  # "docker", "podman", "kubernetes", "lxc" or "container"
    cuda_toolkit: str | None = None  # "12.4.1"; not what torch was built for
    limits: Limits = Limits()

    @property
    def architecture(self) -> str:
        """The machine as images name it: ``amd64``, ``arm64``."""
        return _ARCHITECTURES.get(self.machine, self.machine)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """System, driver and GPUs; ``driver`` is None and ``gpus`` empty without an NVIDIA GPU.

    ``topology`` gives for each way between two GPUs its pairs: ``{"nvlink": ("0-1",)}``.
    The ways, from near to far: ``nvlink``, ``board``, ``pcie switch``, ``pcie switches``,
    ``host bridge``, ``numa node``, ``system``.
    """

    system: System
    driver: Driver | None = None
    driver_fault: DriverFault | None = None
    gpus: tuple[Gpu, ...] = ()
    topology: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
