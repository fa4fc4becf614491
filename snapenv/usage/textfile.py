"""A run and its GPUs as a file for the textfile collector of node_exporter. Pure.

Numbers are in base units, and nothing has a timestamp, for which the collector would refuse the
file. Series of a GPU have the run's label too, as two runs on one GPU are two files.
Source: https://github.com/prometheus/node_exporter#textfile-collector ,
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.usage.charges import effective_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from snapenv.model.sampling import GpuReading
    from snapenv.model.usage import EpochRow, RunGpu, UsageRun

_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class _Metric(Struct, frozen=True):
    name: str
    kind: str
    help: str


_INFO = _Metric("snapenv_run_info", "gauge", "What a run is, in its labels; 1 while it goes on.")
_RUN_GPU = _Metric("snapenv_run_gpu", "gauge", "1 for each GPU that a run has.")
_ALLOCATED = _Metric("snapenv_run_gpu_seconds_total", "counter", "How long a run has had a GPU.")
_EFFECTIVE = _Metric(
    "snapenv_run_effective_gpu_seconds_total",
    "counter",
    "How long a GPU of a run was utilized by 70 percent and more.",
)
_ENERGY = _Metric("snapenv_run_energy_joules_total", "counter", "What a GPU has taken for a run.")
_EPOCH = _Metric("snapenv_run_epoch", "gauge", "The last finished epoch of a run's training.")
_LOSS = _Metric("snapenv_run_loss", "gauge", "The sum of the training losses of that epoch.")
_UTILIZATION = _Metric(
    "snapenv_gpu_utilization_ratio", "gauge", "Utilization of a GPU by the source that is named."
)
_GAUGES: tuple[tuple[_Metric, str, float], ...] = (  # by the field of a reading, and its unit
    (_Metric("snapenv_gpu_power_watts", "gauge", "What a GPU takes."), "power_mw", 1e-3),
    (
        _Metric("snapenv_gpu_power_limit_watts", "gauge", "What a GPU may take."),
        "power_limit_mw",
        1e-3,
    ),
    (
        _Metric("snapenv_gpu_temperature_celsius", "gauge", "Temperature of a GPU."),
        "temperature_c",
        1,
    ),
    (
        _Metric("snapenv_gpu_memory_used_bytes", "gauge", "Memory of a GPU that is taken."),
        "memory_bytes",
        1,
    ),
    (
        _Metric("snapenv_gpu_memory_bytes", "gauge", "Memory of a GPU."),
        "memory_total_bytes",
        1,
    ),
)

_Series = tuple[_Metric, "Mapping[str, str | None]", float]


def textfile(
    run: UsageRun,
    rows: Sequence[RunGpu],
    readings: Iterable[GpuReading],
    last: EpochRow | None = None,
) -> str:
    """Write what is known of a run and its GPUs now; ``last`` is its last finished epoch."""
    lines, before = list[str](), ""
    used = {gpu.uuid for gpu in run.gpus}
    by_gpu = {reading.gpu: reading for reading in readings if reading.gpu in used}
    series = (*_of_run(run, rows, by_gpu, last), *_of_gpus(run, by_gpu))
    for metric, labels, value in sorted(series, key=lambda each: each[0].name):
        if metric.name != before:
            lines += (
                f"# HELP {metric.name} {metric.help}",
                f"# TYPE {metric.name} {metric.kind}",
            )
        before = metric.name
        lines.append(f"{metric.name}{{{_labels(labels)}}} {value:.15g}")
    return "".join(f"{line}\n" for line in lines)


def _of_run(
    run: UsageRun,
    rows: Sequence[RunGpu],
    by_gpu: Mapping[str, GpuReading],
    last: EpochRow | None,
) -> Iterator[_Series]:
    declared = {"project": run.project, "purpose": run.purpose, "model": run.model}
    known = {"tag": run.tag, "image": run.image, "snapshot": run.snapshot}
    yield _INFO, {"run": run.run, **declared, **known}, 1
    for gpu in run.gpus:
        labels = {"run": run.run, **_gpu_labels(gpu.uuid, by_gpu.get(gpu.uuid)), **declared}
        own = [row for row in rows if row.gpu == gpu.uuid]
        effective = sum(effective_ms(row.buckets) for row in own)
        yield _RUN_GPU, labels, 1
        yield _ALLOCATED, labels, sum(row.allocated_ms for row in own) / 1000
        yield _EFFECTIVE, labels, effective / 1000
        if any(row.energy_mj is not None for row in own):
            yield _ENERGY, labels, sum(row.energy_mj or 0 for row in own) / 1000
    if last:
        yield _EPOCH, {"run": run.run, "project": run.project}, last.epoch
        if last.loss is not None:
            yield _LOSS, {"run": run.run, "project": run.project}, last.loss


def _gpu_labels(gpu: str, reading: GpuReading | None) -> dict[str, str | None]:
    """Name a GPU, or a MIG instance, as dcgm-exporter does."""
    if reading is None or reading.parent is None:
        return {"UUID": gpu}
    return {"UUID": reading.parent, "GPU_I_ID": reading.number.partition(".")[2]}


def _of_gpus(run: UsageRun, by_gpu: Mapping[str, GpuReading]) -> Iterator[_Series]:
    for gpu, reading in by_gpu.items():
        labels = {
            **_gpu_labels(gpu, reading),
            "Hostname": run.host,
            "modelName": reading.model,
            "run": run.run,
        }
        percents = [utilization.percent for utilization in reading.utilizations]
        if percents:
            ratio = sum(percents) / len(percents) / 100
            yield _UTILIZATION, {**labels, "source": reading.util_source}, ratio
        for metric, field, unit in _GAUGES:
            value = getattr(reading, field)
            if value is not None:
                yield metric, labels, value * unit


def _labels(labels: Mapping[str, str | None]) -> str:
    given = ((name, value) for name, value in labels.items() if value is not None)
    return ",".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in given)
