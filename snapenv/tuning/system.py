"""What of the machine holds a training back: CPUs, clocks, the bus, shared memory, other work.

Source of the counters of quotas: https://docs.kernel.org/scheduler/sched-bwc.html
"""

from __future__ import annotations

import functools
import statistics
from typing import TYPE_CHECKING

from snapenv.model.bench import p95
from snapenv.tuning.case import DATA_BOUND, QUOTA_THROTTLED, QUOTA_USED, Case, found, middle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.findings import Finding

LOW_UTILIZATION = 0.5
CPU_BUSY = 0.9
LEAST_CPU = 0.9
MOST_LOAD = 1.5
UNSTEADY_STEPS = 1.5
UNSTEADY_RUNS = 1.2
LOW_CLOCK = 0.9
PREFETCHED = 4  # batches a worker, in ultralytics; torch's own default is 2
TOO_HOT = frozenset({"thermal", "hardware thermal", "hardware slowdown", "power brake"})

PROFILER = "PyTorch's profiler plug-in for TensorBoard"
_find = functools.partial(found, "system")
_REPEAT = "Measure again when nothing else runs."


def find_quota(case: Case) -> Iterator[Finding]:
    """Find a control group that allows too few CPUs.

    That shows in its counters alone: loaders and trainer slow down together.
    """
    if case.quota is None or not case.held_by_quota:
        return
    raise_limit = (
        "Allow it more CPUs: --cpus of docker run, limits.cpu of Kubernetes, --cpus-per-task of "
        "Slurm."
    )
    if case.throttled > QUOTA_THROTTLED:
        yield _find(
            "cpu-quota",
            "error",
            f"of its periods were cut short by a limit of {case.quota:g} CPUs",
            figure=case.throttled,
            threshold=QUOTA_THROTTLED,
            source="measured: 87 % with half a CPU, 5 % on a busy machine",
            next=raise_limit,
        )
        return
    yield _find(
        "cpu-quota",
        "error",
        f"of the {case.quota:g} CPUs that its control group allows are in use",
        figure=case.cpu_used / case.quota,
        threshold=QUOTA_USED,
        source="measured: all of a limit that holds a training back is used",
        next=raise_limit,
    )


def find_cpu_bound(case: Case) -> Iterator[Finding]:
    """Find a GPU that is idle while all CPUs are busy."""
    utilization = case.utilization
    used = case.cpu_used / case.cpus
    if utilization is None or utilization >= LOW_UTILIZATION or case.held_by_quota:
        return
    if used >= CPU_BUSY:
        yield _find(
            "cpu-bound",
            "error",
            f"of the {case.cpus:g} CPUs are in use, while the GPU is busy {utilization:.0%} of the "
            "time",
            figure=used,
            threshold=CPU_BUSY,
            source=f"Jobstats, for CPUs; {PROFILER}, for the GPU under {LOW_UTILIZATION:.0%}",
            next="Use a machine with more CPUs for each GPU.",
        )


def find_other_work(case: Case) -> Iterator[Finding]:
    """Find programs beside the training that take the CPU from it.

    On a CPU the trainer computes whenever it does not wait for data: it needs a whole CPU then.
    """
    if case.held_by_quota:
        return
    got = _cpu_while_computing(case)
    load, cpus = middle(run.cpu.load_average for run in case.bench.runs), _all_cpus(case)
    if case.on_cpu and got < LEAST_CPU:
        yield _find(
            "busy-machine",
            "warning",
            "of a CPU for the trainer while it computes; other programs have the rest",
            figure=got,
            threshold=LEAST_CPU,
            above=False,
            source="measured: a training that is alone has at least one CPU",
            next=_REPEAT,
        )
    elif load is not None and load - case.cpu_used > MOST_LOAD * cpus:
        yield _find(
            "busy-machine",
            "warning",
            f"load average of other programs, for each of {cpus:g} CPUs",
            figure=(load - case.cpu_used) / cpus,
            threshold=MOST_LOAD,
            unit="ratio",
            source="measured: images/s fell to half at a load of 2 to 7 on 2 CPUs",
            next=_REPEAT,
        )


def _cpu_while_computing(case: Case) -> float:
    return statistics.median(
        run.cpu.process_ms / max(run.cpu.wall_ms * (1 - run.phases.wait), 1)
        for run in case.bench.runs
    )


def _all_cpus(case: Case) -> int:
    """Return the CPUs of the machine, as far as they are known; its load is of all of them."""
    seen = case.hardware.system.cpu_count if case.hardware else 0
    return max(seen, case.bench.runs[0].cpu.available)


def find_noise(case: Case) -> Iterator[Finding]:
    """Find times that differ too much for a small gain to be seen in them."""
    runs = case.bench.runs
    rates = [run.images_per_s for run in runs]
    steps = statistics.median(p95(run.step_ms) / statistics.median(run.step_ms) for run in runs)
    if steps > UNSTEADY_STEPS:
        yield _find(
            "noise",
            "warning",
            "95th percentile of the steps over their median",
            figure=steps,
            threshold=UNSTEADY_STEPS,
            unit="ratio",
            source="measured: 1.0 to 1.3 on a quiet machine, up to 2.7 on a busy one",
            next=_REPEAT,
        )
    elif max(rates) > UNSTEADY_RUNS * min(rates):
        yield _find(
            "noise",
            "warning",
            "fastest run over the slowest",
            figure=max(rates) / min(rates),
            threshold=UNSTEADY_RUNS,
            unit="ratio",
            source="measured: repeats lay 5 to 10 % apart on a quiet machine",
            next=_REPEAT,
        )


def find_slow_clock(case: Case) -> Iterator[Finding]:
    """Find a GPU that runs slower than it can, and says that heat or power is why.

    A power cap is usual under full load, and only warned of.
    """
    clocks = [
        use.clock_mhz / use.max_clock_mhz
        for use in case.gpu_uses
        if use.clock_mhz and use.max_clock_mhz
    ]
    reasons = {reason for use in case.gpu_uses for reason in use.throttled}
    hot = reasons & TOO_HOT
    named = sorted(hot or reasons & {"power cap"})
    if not clocks or not named or statistics.median(clocks) >= LOW_CLOCK:
        return
    yield _find(
        "clock",
        "error" if hot else "warning",
        f"of the GPU's highest clock; the driver's reason: {', '.join(named)}",
        figure=statistics.median(clocks),
        threshold=LOW_CLOCK,
        above=False,
        source="snapenv; reasons as of nvmlDeviceGetCurrentClocksEventReasons",
        next="See to its cooling: nvidia-smi -q -d TEMPERATURE,PERFORMANCE"
        if hot
        else "Compare its power limit with the usual one: nvidia-smi -q -d POWER",
    )


def find_narrow_bus(case: Case) -> Iterator[Finding]:
    """Find a PCIe link that is narrower or slower, under load, than GPU and slot allow."""
    for use in case.gpu_uses[:1]:
        link, best = _bandwidth(use.pcie), _bandwidth(use.pcie_max)
        if link and best and link < best:
            yield _find(
                "pcie",
                "warning",
                f"of the bandwidth of the bus: {use.pcie} where {use.pcie_max} is possible",
                figure=link / best,
                threshold=1.0,
                above=False,
                source="nvmlDeviceGetMaxPcieLinkWidth and nvmlDeviceGetMaxPcieLinkGeneration",
                next="Reseat the GPU, or put it into another slot.",
            )


def _bandwidth(link: str | None) -> int | None:
    """Return a number that grows as the bandwidth of "gen 4 x16" does: each generation doubles."""
    words = (link or "").replace("x", "").split()
    if len(words) != 3 or not (words[1] + words[2]).isdecimal():  # noqa: PLR2004
        return None
    return int(words[2]) << int(words[1])


def find_slice(case: Case) -> Iterator[Finding]:
    """Find that a slice of a GPU was measured, as MIG makes them."""
    for use in case.gpu_uses[:1]:
        memory = case.gpu.memory_mib if case.gpu else None
        if " MIG " in f"{use.name} ":
            whole = memory * (1 << 20) if memory else use.memory_total
            yield _find(
                "mig",
                "warning",
                f"of its memory belongs to {use.name}: a slice of a GPU",
                figure=use.memory_total / whole,
                threshold=1.0,
                above=False,
                source="MIG gives a slice a fixed part of the GPU",
                next="Compare it with the same slices only, or measure on a whole GPU.",
            )


def find_small_shm(case: Case) -> Iterator[Finding]:
    """Find shared memory that is small for the batches that the loaders hold ready."""
    shm = case.hardware.system.shm_bytes if case.hardware else None
    options = case.options
    needed = options.workers * PREFETCHED * options.batch * 3 * options.imgsz**2
    if shm is not None and shm < needed:
        yield _find(
            "shm",
            "warning",
            "shared memory (/dev/shm), where loaders keep what they prepared",
            figure=shm,
            threshold=needed,
            above=False,
            unit="bytes",
            source=f"ultralytics: {PREFETCHED} batches ahead for each worker",
            next="Give it more: --shm-size of docker run, or fewer workers.",
        )


def find_many_workers(case: Case) -> Iterator[Finding]:
    """Find more loaders than CPUs: ultralytics does not see the limit of a control group."""
    if case.options.workers > max(case.cpus, 1):
        best = max(int(case.cpus), 1)
        yield _find(
            "workers",
            "warning",
            "workers, for the CPUs that there are",
            figure=case.options.workers,
            threshold=case.cpus,
            unit="count",
            source="torch's DataLoader, which warns of more workers than CPUs",
            next=f"Try workers={best}.",
        )


def data_bound(case: Case) -> bool:
    """Whether the training waits for its data."""
    return case.share("wait") > DATA_BOUND
