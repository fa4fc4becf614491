"""Benches as values."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from snapenv.model.bench import (
    Bench,
    BenchOptions,
    BenchRun,
    CpuUse,
    Phases,
)

AT = "2026-03-01T12:00:00+00:00"
CPU = CpuUse(
    wall_ms=1000,
    process_ms=1500,
    loaders_ms=100,
    available=2,
    quota=None,
    periods=None,
    throttled_periods=None,
    load_average=1.0,
)
PHASES = Phases(wait=0.05, preprocess=0.01, forward=0.3, backward=0.5, optimizer=0.1)


def sample_run(images_per_s: float = 20.0, **fields: Any) -> BenchRun:  # noqa: ANN401
    """Return a run of ten equal steps of four images on a CPU."""
    run = BenchRun(
        options=BenchOptions(batch=4, workers=0, imgsz=64, warmup_steps=2, steps=10),
        step_ms=(4000 / images_per_s,) * 10,
        images_per_s=images_per_s,
        losses=(3.0,) * 12,
        phases=PHASES,
        cpu=CPU,
        gpu=None,
        setup_ms=2000,
        validation_ms=None,
        host_memory_peak=500_000_000,
    )
    return replace(run, **fields)


def sample_bench(*images_per_s: float, machine: str = "2 x a processor", at: str = AT) -> Bench:
    """Return a bench of so many runs."""
    return Bench(
        runs=tuple(map(sample_run, images_per_s or (20.0, 21.0, 22.0))),
        inference=None,
        machine=machine,
        snapenv="0.1.0",
        at=at,
    )
