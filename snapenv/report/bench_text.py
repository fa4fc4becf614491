"""A bench as lines for people: what was measured, how far the repeats part, and other machines."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from snapenv.model.bench import p95
from snapenv.report.printable import printable
from snapenv.sizes import counted, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.bench import Bench, BenchRun
    from snapenv.model.results import BenchResult, OtherBench


def bench_lines(result: BenchResult) -> tuple[str, ...]:
    """Return what was measured, and how it compares with what was measured elsewhere."""
    lines = [*measured_lines(result.bench), *map(printable, map(_other, result.others))]
    if result.bench.noisy:
        lines.append("the steps differ much: measure again when nothing else runs on this machine")
    return tuple(lines)


def measured_lines(bench: Bench) -> tuple[str, ...]:
    """Return what was measured."""
    return tuple(map(printable, _measured(bench)))


def _measured(bench: Bench) -> Iterator[str]:
    runs = bench.runs
    options, steps = runs[0].options, bench.steps_ms
    yield (
        f"{options.model} at {options.imgsz} px, batch {options.batch}, "
        f"{counted(options.workers, 'worker')}, on {bench.machine}: "
        f"{counted(len(runs), 'run')} of {counted(len(runs[0].step_ms), 'step')}"
    )
    rates = [run.images_per_s for run in runs]
    spread = f"{min(rates):.1f} to {max(rates):.1f}" if len(rates) > 1 else ""
    yield _line("images/s", f"{median(rates):.1f}", spread)
    yield _line("step", f"{median(steps):.1f} ms", f"95 % below {p95(steps):.1f} ms")
    yield _line("phases", ", ".join(_phases(runs)))
    validated = [run.validation_ms for run in runs if run.validation_ms is not None]
    if validated:
        yield _line("validation", f"{median(validated):.1f} ms an image")
    yield from _machine(runs)
    inference = bench.inference
    if inference:
        yield _line(
            "inference",
            f"{inference.latency_ms:.1f} ms",
            f"95 % below {inference.latency_p95_ms:.1f} ms; "
            f"{inference.images_per_s:.1f} images/s at batch {inference.batch}",
        )


def _phases(runs: Sequence[BenchRun]) -> Iterator[str]:
    phases = [run.phases for run in runs]
    shares = {
        "waiting for data": median(each.wait for each in phases),
        "preprocess": median(each.preprocess for each in phases),
        "forward": median(each.forward for each in phases),
        "backward": median(each.backward for each in phases),
        "optimizer": median(each.optimizer for each in phases),
    }
    for name, share in {**shares, "other": max(1 - sum(shares.values()), 0)}.items():
        yield f"{name} {share:.0%}"


def _machine(runs: Sequence[BenchRun]) -> Iterator[str]:
    """Yield what was used of the processors, of the memory and of the GPU."""
    cpu, memory = runs[-1].cpu, size(max(run.host_memory_peak for run in runs))
    used = (cpu.process_ms + cpu.loaders_ms) / cpu.wall_ms if cpu.wall_ms else 0
    loaders = cpu.loaders_ms / cpu.wall_ms if cpu.wall_ms else 0
    allowed = f"{cpu.quota:g} by the control group" if cpu.quota else f"{cpu.available}"
    yield _line("processors", f"{used:.2f} of {allowed}", f"loaders {loaders:.2f}; memory {memory}")
    gpu = runs[-1].gpu
    if gpu is None:
        return
    yield _line("GPU memory", size(gpu.memory_peak), f"{size(gpu.memory_free)} were always free")
    if gpu.utilization is not None:
        yield _line("GPU used", f"{gpu.utilization:.0%}", f"as {gpu.util_source} counts it")
    if gpu.watts is not None:
        energy = f"{gpu.joules_per_image:.2f} J an image" if gpu.joules_per_image else ""
        yield _line("power", f"{gpu.watts:.0f} W", energy)


def _other(other: OtherBench) -> str:
    ratio = f"{other.ratio:.2f} times as fast" if other.apart else "no difference beyond the noise"
    return f"{other.machine}, {other.at}: {other.images_per_s:.1f} images/s; here {ratio}"


def _line(title: str, value: str, more: str = "") -> str:
    return f"{title:<11} {value}" + (f"  ({more})" if more else "")
