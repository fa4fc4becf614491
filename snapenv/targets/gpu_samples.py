"""What NVML tells of the GPUs of this machine while they work; it needs no rights.

Of a GPU that has GPM (Hopper and newer) it is the share of the time in which a multiprocessor had
work. Of others it is every sample of the driver's ring, of the share in which any kernel ran;
MIG instances have no such samples.

Source: https://docs.nvidia.com/deploy/nvml-api/ (device queries, GPM, MIG)
"""

from __future__ import annotations

import ctypes
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapenv.model.sampling import GpuReading, Utilization

if TYPE_CHECKING:
    from snapenv.model.usage import UtilSource

_LIBRARY = "libnvidia-ml.so.1"
_LEAST_GPM_MS = 100  # between two samples of GPM, says its page
_SM_UTIL, _GRAPHICS_UTIL = 2, 1  # NVML_GPM_METRIC_…, in the order in which they are preferred
_GPM_SOURCES: tuple[tuple[int, UtilSource], ...] = (
    (_SM_UTIL, "gpm_sm"),
    (_GRAPHICS_UTIL, "gpm_graphics"),
)
_GPU_UTILIZATION_SAMPLES = 1  # of nvmlSamplingType_t
_CORE_TEMPERATURE = 0  # of nvmlTemperatureSensors_t


class NvmlGpus:
    """All GPUs of this machine, and their MIG instances; none where there is no driver."""

    def __init__(self) -> None:
        self._devices: tuple[_Device, ...] | None = None

    def read(self, elapsed_ms: int) -> tuple[GpuReading, ...]:
        """Look at each GPU once; one that is lost is left out until it answers again.

        Samples of utilisation are those of the last ``elapsed_ms``.
        """
        if self._devices is None:
            self._devices = _find_devices()
        readings = (device.read(elapsed_ms) for device in self._devices)
        return tuple(reading for reading in readings if reading)


class _Device:
    """A GPU, or a MIG instance with its ``parent``."""

    def __init__(self, nvml: Any, handle: Any, number: str, parent: Any = None) -> None:  # noqa: ANN401
        self._nvml, self._handle, self._parent, self._number = nvml, handle, parent, number
        self._uuid: str | None = self._ask("nvmlDeviceGetUUID")
        self._model: str | None = self._ask("nvmlDeviceGetName")
        self._parent_uuid: str | None = (
            self._ask("nvmlDeviceGetUUID", of=parent) if parent else None
        )
        support = self._ask("nvmlGpmQueryDeviceSupport", of=parent or handle)
        self._has_gpm = bool(support and support.isSupportedDevice)
        self._gpm_sample: Any = None
        self._gpm_ms = 0  # when it was taken

    def read(self, elapsed_ms: int) -> GpuReading | None:
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        if memory is None or self._uuid is None:
            return None
        source, utilizations = self._utilization(elapsed_ms)
        processes = self._ask("nvmlDeviceGetComputeRunningProcesses") or ()
        reading = GpuReading(
            gpu=self._uuid,
            number=self._number,
            model=self._model or "NVIDIA GPU",
            parent=self._parent_uuid,
            utilizations=utilizations,
            util_source=source,
            memory_bytes=memory.used,
            memory_total_bytes=memory.total,
            pids=frozenset(
                process.pid for process in processes if Path(f"/proc/{process.pid}").exists()
            ),
        )
        return reading if self._parent else _with_sensors(reading, self._ask)

    def _utilization(self, elapsed_ms: int) -> tuple[UtilSource | None, tuple[Utilization, ...]]:
        if self._has_gpm:
            return self._from_gpm()
        if self._parent:
            return None, ()
        now_us = time.time_ns() // 1000
        since_us = max(now_us - elapsed_ms * 1000, 0)
        samples = self._ask("nvmlDeviceGetSamples", _GPU_UTILIZATION_SAMPLES, since_us)
        if samples:  # none since then is an error of NVML's, NotFound
            values = (
                Utilization((now_us - sample.timeStamp) // 1000, float(sample.sampleValue.uiVal))
                for sample in samples[1]
            )
            return "nvml", tuple(value for value in values if 0 <= value.age_ms <= elapsed_ms)
        rates = self._ask("nvmlDeviceGetUtilizationRates")
        return ("nvml", (Utilization(0, float(rates.gpu)),)) if rates else (None, ())

    def _from_gpm(self) -> tuple[UtilSource | None, tuple[Utilization, ...]]:
        """Compare a sample with the one before; the first tells nothing yet."""
        now_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        elapsed_ms = now_ms - self._gpm_ms
        if self._gpm_sample and elapsed_ms < _LEAST_GPM_MS:
            return None, ()
        before, self._gpm_sample = self._gpm_sample, self._take_gpm_sample()
        self._gpm_ms = now_ms
        try:
            if before is None or self._gpm_sample is None:
                return None, ()
            source, percent = self._compare_gpm(before)
            return source, (() if percent is None else (Utilization(elapsed_ms, percent),))
        finally:
            if before:
                self._nvml.nvmlGpmSampleFree(before)

    def _take_gpm_sample(self) -> Any:  # noqa: ANN401
        nvml = self._nvml
        sample = nvml.nvmlGpmSampleAlloc()
        try:
            if self._parent:
                instance = nvml.nvmlDeviceGetGpuInstanceId(self._handle)
                nvml.nvmlGpmMigSampleGet(self._parent, instance, sample)
            else:
                nvml.nvmlGpmSampleGet(self._handle, sample)
        except nvml.NVMLError:
            nvml.nvmlGpmSampleFree(sample)
            return None
        return sample

    def _compare_gpm(self, before: Any) -> tuple[UtilSource | None, float | None]:  # noqa: ANN401
        query = self._nvml.c_nvmlGpmMetricsGet_t()
        query.version = self._nvml.NVML_GPM_METRICS_GET_VERSION
        query.numMetrics = len(_GPM_SOURCES)
        query.sample1, query.sample2 = before, self._gpm_sample
        for metric, (number, _) in zip(query.metrics, _GPM_SOURCES, strict=False):
            metric.metricId = number
        try:
            self._nvml.nvmlGpmMetricsGet(query)
        except self._nvml.NVMLError:
            return None, None
        for metric, (_, source) in zip(query.metrics, _GPM_SOURCES, strict=False):
            if metric.nvmlReturn == 0 and math.isfinite(metric.value):
                return source, min(max(metric.value, 0.0), 100.0)
        return None, None

    def _ask(self, question: str, *about: object, of: Any = None) -> Any:  # noqa: ANN401
        """Ask; None where this GPU or driver cannot tell."""
        try:
            return getattr(self._nvml, question)(of or self._handle, *about)
        except self._nvml.NVMLError:
            return None


def _with_sensors(reading: GpuReading, ask: Any) -> GpuReading:  # noqa: ANN401
    """Add what only a whole GPU has."""
    from msgspec.structs import replace

    return replace(
        reading,
        power_mw=ask("nvmlDeviceGetPowerUsage"),
        power_limit_mw=ask("nvmlDeviceGetEnforcedPowerLimit"),
        energy_mj=ask("nvmlDeviceGetTotalEnergyConsumption"),
        clock_mhz=ask("nvmlDeviceGetClockInfo", _nvml().NVML_CLOCK_SM),
        throttle=ask("nvmlDeviceGetCurrentClocksThrottleReasons"),
        temperature_c=ask("nvmlDeviceGetTemperature", _CORE_TEMPERATURE),
    )


def _nvml() -> Any:  # noqa: ANN401
    import pynvml

    return pynvml


def _find_devices() -> tuple[_Device, ...]:
    try:
        ctypes.CDLL(_LIBRARY)  # before the 8,000 lines of pynvml are compiled for nothing
    except OSError:
        return ()
    nvml = _nvml()
    devices = list[_Device]()
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError:
        return ()
    for number in range(count):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(number)
        except nvml.NVMLError:  # lost; the others are told
            continue
        devices += (_Device(nvml, handle, str(number)), *_find_instances(nvml, handle, number))
    return tuple(devices)


def _find_instances(nvml: Any, gpu: Any, number: int) -> list[_Device]:  # noqa: ANN401
    """Find the MIG instances of a GPU; dcgm-exporter calls them by their GPU instance."""
    try:
        is_divided = nvml.nvmlDeviceGetMigMode(gpu)[0]
        most = nvml.nvmlDeviceGetMaxMigDeviceCount(gpu) if is_divided else 0
    except nvml.NVMLError:
        return []
    instances = list[_Device]()
    for index in range(most):
        try:
            handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index)
            name = f"{number}.{nvml.nvmlDeviceGetGpuInstanceId(handle)}"
        except nvml.NVMLError:
            continue
        instances.append(_Device(nvml, handle, name, parent=gpu))
    return instances
