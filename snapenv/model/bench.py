"""How fast a training goes in an environment: what is measured, as values.

Times are milliseconds, memory is bytes, power watts, shares 0 to 1. None is unknown, or does not
apply: what needs a GPU is None without one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from snapenv.model.usage import UtilSource

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOISY = 1.5  # p95 of the steps over their median

Cache = Literal["none", "ram", "disk"]
"""Where ultralytics keeps decoded images."""


class BenchOptions(Struct, frozen=True, kw_only=True):
    """What is trained, and how; as asked for, and in a result as it really was."""

    model: str = "yolov8n.yaml"  # as ultralytics takes it
    data: str | None = None  # a dataset's YAML; None makes images, the same each time
    imgsz: int = 640  # pixels
    batch: int = 16  # images a step
    workers: int = 8  # on a CPU ultralytics makes that 0; the program sets it all the same
    amp: bool = True  # mixed precision
    cache: Cache = "none"  # of decoded images
    compile: bool = False  # by torch.compile
    channels_last: bool = False  # False leaves it to ultralytics; in a result, as it was
    augment: bool = True  # without it the losses do not depend on workers
    device: str = "cpu"  # or a number of a GPU
    warmup_steps: int = 10  # before those that are measured
    steps: int = 50  # that are measured
    seed: int = 0  # of what is random


class Phases(Struct, frozen=True, kw_only=True):
    """Shares of the time of all measured steps; what is left of 1 is all else."""

    wait: float  # for the next batch
    preprocess: float  # of the batch, on the device
    forward: float  # with the loss
    backward: float  # to the gradients
    optimizer: float  # to the next weights


class CpuUse(Struct, frozen=True, kw_only=True):
    """What the measured steps took of the processors, and what they were allowed."""

    wall_ms: float  # of all measured steps
    process_ms: float  # CPU time of the training process
    loaders_ms: float  # and of its loaders
    available: int  # CPUs that the process may use
    quota: float | None  # CPUs that its control group may use; None without a limit
    periods: int | None  # of the control group, in this time
    throttled_periods: int | None  # of these, how many were cut short
    load_average: float | None  # of the machine, one minute, at the end


class GpuUse(Struct, frozen=True, kw_only=True):
    """What the measured steps took of the GPU."""

    name: str  # "NVIDIA H200"
    memory_total: int  # in all
    memory_peak: int  # that torch held at most
    memory_free: int  # least that was left, of all programs
    utilization: float | None  # mean
    util_source: UtilSource | None  # what counts it
    watts: float | None  # mean
    joules_per_image: float | None  # of the GPU alone
    clock_mhz: int | None  # of the multiprocessors, mean
    max_clock_mhz: int | None  # that the GPU allows
    throttled: tuple[str, ...] = ()  # NVML's reasons, sorted
    pcie: str | None = None  # "gen 4 x16", under load
    pcie_max: str | None = None  # that the GPU and its slot allow


class BenchRun(Struct, frozen=True, kw_only=True):
    """One training of some steps, in a process of its own."""

    options: BenchOptions  # as it really was: workers are read back
    step_ms: tuple[float, ...]  # from the end of one step to that of the next, in order
    images_per_s: float  # of the median step
    losses: tuple[float, ...]  # one a step, those of the warm-up first
    phases: Phases  # shares of the steps
    cpu: CpuUse  # of the processors
    gpu: GpuUse | None  # None without one
    setup_ms: float  # from the start of the process to the first step
    validation_ms: float | None  # for each image
    host_memory_peak: int  # of the process and its loaders


class BenchStep(Struct, frozen=True, kw_only=True):
    """One measured step, as it is told while a training goes on."""

    step_ms: float  # from the end of the step before
    setup_ms: float  # from the start of the process to the first step


class Inference(Struct, frozen=True, kw_only=True):
    """How fast the trained model predicts."""

    latency_ms: float  # median, of a batch of one
    latency_p95_ms: float  # 95 % are below it
    images_per_s: float  # at the batch that gives most
    batch: int  # that one


class Bench(Struct, frozen=True, kw_only=True):
    """The same training several times over, and what came of it."""

    runs: tuple[BenchRun, ...]  # in their order
    inference: Inference | None  # of the last run's model
    machine: str  # "2 x Intel(R) Xeon(R) …", or the GPU's name
    snapenv: str  # the version that measured
    at: str  # RFC 3339

    @property
    def steps_ms(self) -> tuple[float, ...]:
        """The times of all steps, of every run."""
        return tuple(ms for run in self.runs for ms in run.step_ms)

    @property
    def noisy(self) -> bool:
        """Whether the steps differ so much that something else runs on the machine."""
        from statistics import median  # which whoever only names a result need not wait for

        return p95(self.steps_ms) > _NOISY * median(self.steps_ms)


def p95(values: Sequence[float]) -> float:
    """Return the value that 95 % of some values do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]
