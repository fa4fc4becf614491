"""What of a training's own options holds it back: loaders, cache, batch."""

from __future__ import annotations

import functools
import statistics
from typing import TYPE_CHECKING

from snapenv.tuning.case import DATA_BOUND, WAITING, Case, found
from snapenv.tuning.system import CPU_BUSY, LOW_UTILIZATION, PROFILER, data_bound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.findings import Finding

FREE_MEMORY = 0.4
IDLE_LOADERS = 0.5
USUAL_WORKERS = 8

_find = functools.partial(found, "application")


def find_data_wait(case: Case) -> Iterator[Finding]:
    """Find steps that wait for their batch."""
    wait, workers = case.share("wait"), case.options.workers
    bound = data_bound(case)
    if wait > WAITING:
        yield _find(
            "data-wait",
            "error" if bound else "warning",
            f"of a step is waiting for data, with workers={workers}",
            figure=wait,
            threshold=DATA_BOUND if bound else WAITING,
            source="measured: 7 to 10 % with small images and no workers, 73 % with large ones"
            if bound
            else PROFILER,
            next=_feed(case),
        )


def _feed(case: Case) -> str:
    """Return what is to be tried first for data to come sooner."""
    workers, cache = case.options.workers, case.options.cache
    best = most_workers(case)
    if workers < best:
        more = min(best, max(USUAL_WORKERS, 2 * workers))
        return f"Try workers={more}, and compare images/s."
    if cache != "none":
        return "Shrink the images to the size of the training once, beforehand."
    if idle_loaders(case):
        return "Copy the data to a faster disk: its loaders have CPU time left."
    return "Try cache=ram, where the decoded images fit into half of the free memory."


def most_workers(case: Case) -> int:
    """Return how many loaders the CPUs can feed, with one left for the trainer."""
    return max(int(case.cpus) - 1, 1)


def idle_loaders(case: Case) -> bool:
    """Whether the loaders mostly sleep, as they do on a slow disk."""
    if not case.options.workers or case.held_by_quota:
        return False
    busy = statistics.median(
        run.cpu.loaders_ms / (run.cpu.wall_ms * run.options.workers) for run in case.bench.runs
    )
    return busy < IDLE_LOADERS


def find_idle_gpu(case: Case) -> Iterator[Finding]:
    """Find a GPU that is idle although neither data nor CPUs are short."""
    utilization = case.utilization
    if utilization is None or utilization >= LOW_UTILIZATION or data_bound(case):
        return
    if case.held_by_quota or case.cpu_used / case.cpus >= CPU_BUSY:
        return
    yield _find(
        "idle-gpu",
        "warning",
        "of the time the GPU is busy",
        figure=utilization,
        threshold=LOW_UTILIZATION,
        above=False,
        source=PROFILER,
        next=f"Try batch={2 * case.options.batch}, and compare images/s.",
    )


def find_free_memory(case: Case) -> Iterator[Finding]:
    """Find memory of the GPU that a larger batch could use."""
    free = [use.memory_free / use.memory_total for use in case.gpu_uses if use.memory_total]
    if free and statistics.median(free) > FREE_MEMORY and not data_bound(case):
        yield _find(
            "batch",
            "warning",
            "of the GPU's memory is never used",
            figure=statistics.median(free),
            threshold=FREE_MEMORY,
            source="ultralytics' batch=-1, which fills 60 %",
            next=f"Try batch={2 * case.options.batch}, and compare images/s.",
        )
