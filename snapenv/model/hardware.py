"""The machine below an environment, as its own driver and kernel report it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def image_architecture(machine: str) -> str:
    """Return how images name a machine that the kernel names: ``arm64`` for ``aarch64``."""
    return _ARCHITECTURES.get(machine, machine)


class Gpu(Struct, frozen=True, kw_only=True):
    """One NVIDIA GPU as NVML reports it; no UUID and no serial number.

    What a GPU does not have, or its driver does not tell, is None.
    """

    name: str  # "NVIDIA GPU" where it is not told
    memory_mib: int | None = None  # in all
    compute_capability: tuple[int, int] | None = None  # (major, minor): an H200 is (9, 0)
    sm_count: int | None = None  # of the whole GPU, also where MIG divides it
    ecc: bool | None = None  # error correction is on
    mig: bool | None = None  # it is divided by MIG
    mig_devices: tuple[str, ...] = ()  # profiles in the driver's order: "1g.10gb"
    power_limit_w: int | None = None  # that is set

    @property
    def label(self) -> str:
        """The name with the compute capability, where that is known: ``NVIDIA L4 (8.9)``."""
        capability = self.compute_capability
        return f"{self.name} ({capability[0]}.{capability[1]})" if capability else self.name


class Driver(Struct, frozen=True, kw_only=True):
    """The NVIDIA driver that is loaded, and the newest CUDA that it serves."""

    version: str  # "unknown" where it is not told
    cuda: tuple[int, int] | None = None  # (major, minor)
    kernel_module: str | None = None  # as /proc/driver/nvidia/version says; None on WSL


class DriverFault(Struct, frozen=True, kw_only=True):
    """A driver that is there and does not answer; after an update the two versions differ.

    ``kind`` is ``error`` where NVML names one, ``missing`` or ``library`` where the driver is
    loaded and NVML's library is not found or does not load, ``crash`` or ``hang`` where it gave no
    answer.
    """

    error: str  # NVML's own words
    # how it fails to answer
    # how it fails to answer
    kind: Literal["error", "missing", "library", "crash", "hang"] = "error"
    kernel_module: str | None = None  # version of the module that is loaded
    library: str | None = None  # from the name of the libnvidia-ml.so that was loaded


class GpuFault(Struct, frozen=True, kw_only=True):
    """A GPU that the driver counts and that does not answer, and why, in NVML's words."""

    number: int  # the driver's
    error: str  # "GPU is lost"


class Limits(Struct, frozen=True, kw_only=True):
    """What one process may use (the soft limits); None is unlimited."""

    nofile: int | None = None  # open files
    memlock_bytes: int | None = None  # locked memory
    stack_bytes: int | None = None  # stack of a thread


class System(Struct, frozen=True, kw_only=True):
    """The operating system an environment lives on."""

    os: str  # "debian 12", from os-release's ID and VERSION_ID
    machine: str  # "x86_64"
    glibc: str | None = None  # its version; None where another libc is
    cpu: str | None = None  # the name of its model
    cpu_count: int  # that the process may use
    shm_bytes: int | None = None  # the size of /dev/shm
    container: str | None = None  # "docker", "podman", "kubernetes", "lxc" or "container"
    cuda_toolkit: str | None = None  # "12.4.1"; not what torch was built for
    limits: Limits = Limits()  # of the process that looked

    @property
    def architecture(self) -> str:
        """The machine as images name it: ``amd64``, ``arm64``."""
        return image_architecture(self.machine)


class Hardware(Struct, frozen=True, kw_only=True):
    """System, driver and GPUs; ``driver`` is None and ``gpus`` empty without an NVIDIA GPU.

    ``gpus`` are those that answer, in the driver's order.

    ``topology`` gives for each way between two GPUs its pairs: ``{"nvlink": ("0-1",)}``.
    The ways, from near to far: ``nvlink``, ``board``, ``pcie switch``, ``pcie switches``,
    ``host bridge``, ``numa node``, ``system``.
    """

    system: System  # operating system, processor, limits
    driver: Driver | None = None  # None where there is none, or it does not answer
    driver_fault: DriverFault | None = None  # why NVML does not answer
    gpus: tuple[Gpu, ...] = ()  # in the driver's order
    gpu_faults: tuple[GpuFault, ...] = ()  # GPUs that do not answer
    topology: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # {"nvlink": ("0-1",)}

    @property
    def driver_label(self) -> str:
        """What is known of the driver, in two words: ``driver 580.95.05``."""
        if self.driver:
            return f"driver {self.driver.version}"
        return "a driver that does not answer" if self.driver_fault else "no NVIDIA driver"

    @property
    def numbered_gpus(self) -> tuple[tuple[int, Gpu], ...]:
        """The GPUs that respond, each with the number that the driver gives it."""
        silent = {fault.number for fault in self.gpu_faults}
        answering = (number for number in itertools.count() if number not in silent)
        return tuple(zip(answering, self.gpus, strict=False))
