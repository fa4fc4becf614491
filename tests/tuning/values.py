"""Runs as a bench measures them."""

from __future__ import annotations

from msgspec.structs import replace

from snapenv.model.bench import BenchOptions, BenchRun, CpuUse, GpuUse, Phases

OPTIONS = BenchOptions(batch=4, workers=0, imgsz=160)
RUN = BenchRun(
    options=OPTIONS,
    step_ms=(100.0, 110.0),
    images_per_s=40.0,
    losses=(5.0, 4.5, 4.25),
    phases=Phases(wait=0.1, preprocess=0.0, forward=0.4, backward=0.4, optimizer=0.1),
    cpu=CpuUse(
        wall_ms=210,
        process_ms=200,
        loaders_ms=0,
        available=2,
        quota=None,
        periods=None,
        throttled_periods=None,
        load_average=0.5,
    ),
    gpu=None,
    setup_ms=4000,
    validation_ms=None,
    host_memory_peak=1 << 30,
)
GPU = GpuUse(
    name="NVIDIA L4",
    memory_total=24 << 30,
    memory_peak=8 << 30,
    memory_free=15 << 30,
    utilization=None,
    util_source=None,
    watts=70,
    joules_per_image=0.5,
    clock_mhz=None,
    max_clock_mhz=None,
)
ON_GPU = replace(RUN, gpu=GPU, options=replace(OPTIONS, batch=16, device="0"))
