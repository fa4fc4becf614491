"""Measurements as values, to plant something in."""

from __future__ import annotations

from msgspec.structs import replace

from snapenv.model.bench import Bench, BenchOptions, BenchRun, CpuUse, GpuUse, Phases
from snapenv.model.hardware import Gpu, Hardware, System

QUIET = Phases(wait=0.02, preprocess=0.01, forward=0.35, backward=0.5, optimizer=0.05)
GB = 10**9
H200 = "NVIDIA H200"

CPU = CpuUse(
    wall_ms=2000.0,
    process_ms=6000.0,
    loaders_ms=1000.0,
    available=8,
    quota=None,
    periods=None,
    throttled_periods=None,
    load_average=3.0,
)
"""What a training on eight CPUs takes: three of them, and half of one for its loaders."""

RUN = BenchRun(
    options=BenchOptions(workers=4),
    step_ms=(100.0,) * 20,
    images_per_s=160.0,
    losses=(1.0,),
    phases=QUIET,
    cpu=CPU,
    gpu=None,
    setup_ms=3000.0,
    validation_ms=None,
    host_memory_peak=GB,
)
"""A training on a quiet machine of eight CPUs, in which nothing is to be found."""

GPU = GpuUse(
    name=H200,
    memory_total=140 * GB,
    memory_peak=100 * GB,
    memory_free=30 * GB,
    utilization=0.93,
    util_source="nvml",
    watts=600.0,
    joules_per_image=1.0,
    clock_mhz=1900,
    max_clock_mhz=1980,
    pcie="gen 5 x16",
    pcie_max="gen 5 x16",
)
"""A GPU that is used well."""

MACHINE = Hardware(
    system=System(os="debian 12", machine="x86_64", cpu_count=8, shm_bytes=64 * GB),
    gpus=(Gpu(name=H200, memory_mib=143_771, compute_capability=(9, 0)),),
)
"""A machine of eight CPUs with that GPU."""


def sample_run(**changed: object) -> BenchRun:
    """Return the quiet run, changed."""
    return replace(RUN, **changed)


def sample_cpu(**changed: object) -> CpuUse:
    """Return the CPUs of the quiet run, changed."""
    return replace(CPU, **changed)


def sample_gpu_use(**changed: object) -> GpuUse:
    """Return the GPU that is used well, changed."""
    return replace(GPU, **changed)


def sample_machine(**changed: object) -> Hardware:
    """Return the machine, with its system changed."""
    return replace(MACHINE, system=replace(MACHINE.system, **changed))


def sample_bench(*runs: BenchRun) -> Bench:
    """Return these runs; three that are alike where there is one."""
    return Bench(
        runs=runs if len(runs) > 1 else runs * 3,
        inference=None,
        machine="8 x a processor",
        snapenv="1.0",
        at="2026-11-29T00:00:00Z",
    )
