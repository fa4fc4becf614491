"""What is read of a machine while runs go on, from outside of them."""

from __future__ import annotations

from msgspec import Struct

from snapenv.model.usage import UtilSource


class Moment(Struct, frozen=True, kw_only=True):
    """A moment by two clocks: what people call it, and how long the machine has been up."""

    wall_ms: int  # since 1970; jumps when somebody sets the clock
    boot_ms: int  # CLOCK_BOOTTIME: never jumps, and counts while the machine sleeps


class Utilization(Struct, frozen=True):
    """How much of a short time a GPU was busy."""

    age_ms: int  # how long ago that time began or, of a sample of the driver's, was
    percent: float


class GpuReading(Struct, frozen=True, kw_only=True):
    """One look at a GPU, or at a MIG instance; None is what it does not tell."""

    gpu: str  # the UUID
    number: str  # as nvidia-smi and dcgm-exporter know it: "0", of a MIG instance "0.7"
    model: str
    parent: str | None = None  # of a MIG instance the UUID of its GPU
    utilizations: tuple[Utilization, ...] = ()  # since the look before, as far as they are known
    util_source: UtilSource | None = None
    memory_bytes: int | None = None
    memory_total_bytes: int | None = None
    power_mw: int | None = None
    power_limit_mw: int | None = None
    energy_mj: int | None = None  # since the driver was loaded
    clock_mhz: int | None = None  # of the multiprocessors
    throttle: int | None = None  # NVML's reasons, as bits
    temperature_c: int | None = None
    pids: frozenset[int] = frozenset()  # of processes on it, as far as this machine shows them


class Load(Struct, frozen=True, kw_only=True):
    """What a run takes of the machine beside its GPUs."""

    pids: frozenset[int]
    cpu_ms: int  # of all CPUs, since it began
    memory_bytes: int  # without caches of files that can be given up
