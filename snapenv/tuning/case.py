"""What every rule is asked of: a measurement, and the machine that it was taken on."""

from __future__ import annotations

import functools
import statistics
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from snapenv.model.bench import Bench
from snapenv.model.findings import Finding
from snapenv.model.hardware import Hardware

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snapenv.model.bench import BenchOptions, GpuUse
    from snapenv.model.findings import Layer, Unit
    from snapenv.model.hardware import Gpu
    from snapenv.model.outcome import Severity

Phase = Literal["wait", "preprocess", "forward", "backward", "optimizer"]

QUOTA_USED = 0.9
QUOTA_THROTTLED = 0.5
FEWEST_PERIODS = 10
"""Of fewer periods nothing is concluded."""

WAITING = 0.05
DATA_BOUND = 0.2


class Case(Struct, frozen=True, kw_only=True, dict=True):
    """A measurement of one or more runs; of several, a figure is their median, or their sum."""

    bench: Bench
    hardware: Hardware | None = None  # None where it was not seen

    @property
    def options(self) -> BenchOptions:
        """What was trained, and how."""
        return self.bench.runs[0].options

    @property
    def on_cpu(self) -> bool:
        """Whether no GPU took part."""
        return self.bench.runs[0].gpu is None

    @property
    def gpu_uses(self) -> tuple[GpuUse, ...]:
        """What each run took of the GPU; empty on a CPU."""
        return tuple(run.gpu for run in self.bench.runs if run.gpu)

    @property
    def gpu(self) -> Gpu | None:
        """The GPU that was used, as the driver describes it; None where it is not known."""
        names = {use.name for use in self.gpu_uses}
        gpus = self.hardware.gpus if self.hardware else ()
        return next((gpu for gpu in gpus if gpu.name in names), None)

    @property
    def tensor_cores(self) -> bool:
        """Whether the GPU is known to have tensor cores; those of the GTX 16 series have none."""
        gpu = self.gpu
        capability = gpu.compute_capability if gpu else None
        return (
            gpu is not None
            and capability is not None
            and capability >= (7, 0)
            and "GTX 16" not in gpu.name
        )

    def share(self, phase: Phase) -> float:
        """Return which share of a step a phase takes."""
        shares: list[float] = [getattr(run.phases, phase) for run in self.bench.runs]
        return statistics.median(shares)

    @property
    def computing(self) -> float:
        """The share of a step that goes forward and backward."""
        return self.share("forward") + self.share("backward")

    @property
    def utilization(self) -> float | None:
        """Of the GPU, 0 to 1; None where it is not known."""
        return middle(use.utilization for use in self.gpu_uses)

    @property
    def quota(self) -> float | None:
        """The CPUs that the control group allows, where that is fewer than the process sees."""
        cpu = self.bench.runs[0].cpu
        return cpu.quota if cpu.quota is not None and cpu.quota < cpu.available else None

    @property
    def cpus(self) -> float:
        """How many CPUs the training may use."""
        available = self.bench.runs[0].cpu.available
        return available if self.quota is None else self.quota

    @functools.cached_property
    def cpu_used(self) -> float:
        """How many CPUs were busy for the training and its loaders."""
        uses = [run.cpu for run in self.bench.runs]
        busy = sum(use.process_ms + use.loaders_ms for use in uses)
        return busy / sum(use.wall_ms for use in uses)

    @property
    def throttled(self) -> float:
        """The share of the control group's periods that were cut short."""
        uses = [run.cpu for run in self.bench.runs]
        periods = sum(use.periods or 0 for use in uses)
        if periods < FEWEST_PERIODS:
            return 0.0
        return sum(use.throttled_periods or 0 for use in uses) / periods

    @property
    def held_by_quota(self) -> bool:
        """Whether the limit of the control group holds the training back."""
        if self.quota is None:
            return False
        return self.cpu_used / self.quota >= QUOTA_USED or self.throttled > QUOTA_THROTTLED


def middle(values: Iterable[float | None]) -> float | None:
    """Return the median of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def found(  # noqa: PLR0913 - as a finding has fields
    layer: Layer,
    name: str,
    severity: Severity,
    subject: str,
    *,
    figure: float,
    threshold: float,
    source: str,
    next: str,  # noqa: A002 - as in a verdict
    unit: Unit = "share",
    above: bool = True,
) -> Finding:
    """Return a finding; its id is made of the layer and the name."""
    return Finding(
        id=f"{layer}.{name}",
        layer=layer,
        severity=severity,
        subject=subject,
        figure=round(figure, 4),
        threshold=threshold,
        above=above,
        unit=unit,
        source=source,
        next=next,
    )
