"""Watch the GPU while it trains, through NVML, in a thread that looks at most 20 times a second.

Source: https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
"""

from __future__ import annotations

import ctypes
import statistics
import threading
from typing import Any, Callable, NamedTuple

_INTERVAL_S = 0.05
_LIBRARY = "libnvidia-ml.so.1"
_BUS_ID_BYTES = 32  # "00000000:3B:00.0" and its end
# Source: https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html
_REASONS = {
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability",
}  # 0x1 is an idle GPU


class _Sample(NamedTuple):
    """What NVML says at one moment; None is what it cannot say."""

    utilization: float | None  # 0 to 1
    watts: float | None
    clock_mhz: int | None
    reasons: int  # bits
    generation: int | None  # of PCIe
    width: int | None


class Watch:
    """A thread that looks at one GPU from ``start`` to ``stop``."""

    def __init__(self, bus_id: bytes) -> None:
        import snapenv_pynvml as pynvml

        self._nvml = pynvml
        self._nvml.nvmlInit()
        self._handle = self._nvml.nvmlDeviceGetHandleByPciBusId(bus_id)
        self._samples: list[_Sample] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._joules: float | None = None

    def start(self) -> None:
        """Look from now on."""
        self._joules = self._read_joules()
        self._thread.start()

    def stop(self, *, images: int, seconds: float) -> dict[str, object]:
        """End the thread; return what was seen, by the names of snapenv's ``Speed``.

        ``images`` were trained on in ``seconds`` since the start.
        """
        joules = self._read_joules()
        self._ended.set()
        self._thread.join()
        limit = self._ask("nvmlDeviceGetEnforcedPowerLimit")
        used = None if joules is None or self._joules is None else joules - self._joules
        return {
            **summarize(self._samples, joules=used, images=images, seconds=seconds),
            "max_clock_mhz": self._ask("nvmlDeviceGetMaxClockInfo", self._nvml.NVML_CLOCK_SM),
            "power_limit_w": None if limit is None else limit / 1000,
            "pcie_max": self._read_max_pcie(),
        }

    def _look_on(self) -> None:
        while True:
            self._samples.append(self._read_sample())
            if self._ended.wait(_INTERVAL_S):
                return

    def _read_sample(self) -> _Sample:
        utilization = self._ask("nvmlDeviceGetUtilizationRates")
        milliwatts = self._ask("nvmlDeviceGetPowerUsage")
        return _Sample(
            utilization=None if utilization is None else utilization.gpu / 100,
            watts=None if milliwatts is None else milliwatts / 1000,
            clock_mhz=self._ask("nvmlDeviceGetClockInfo", self._nvml.NVML_CLOCK_SM),
            reasons=self._ask("nvmlDeviceGetCurrentClocksThrottleReasons") or 0,
            generation=self._ask("nvmlDeviceGetCurrPcieLinkGeneration"),
            width=self._ask("nvmlDeviceGetCurrPcieLinkWidth"),
        )

    def _read_joules(self) -> float | None:
        millijoules = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        return None if millijoules is None else millijoules / 1000

    def _read_max_pcie(self) -> str | None:
        generation = self._ask("nvmlDeviceGetMaxPcieLinkGeneration")
        width = self._ask("nvmlDeviceGetMaxPcieLinkWidth")
        return f"gen {generation} x{width}" if generation and width else None

    def _ask(self, question: str, *about: object) -> Any:  # noqa: ANN401
        """Ask; None where the GPU does not support it or the driver does not know it."""
        try:
            return getattr(self._nvml, question)(self._handle, *about)
        except self._nvml.NVMLError:
            return None


def watch_gpu(find_bus_id: Callable[[], bytes] | None = None) -> Watch | None:
    """Return a watch of torch's first GPU; None where there is no NVML, as under WSL at times."""
    try:
        ctypes.CDLL(_LIBRARY)  # before the 8,000 lines of pynvml are compiled for nothing
        return Watch((find_bus_id or _bus_id)())
    except Exception:  # noqa: BLE001 - a GPU that cannot be watched still trains
        return None


def summarize(
    samples: list[_Sample], *, joules: float | None, images: int, seconds: float
) -> dict[str, object]:
    """Sum up what was seen; the energy is the mean power's where the GPU does not count it."""
    watts = _mean([sample.watts for sample in samples])
    if joules is None and watts is not None:
        joules = watts * seconds
    clock = _mean([sample.clock_mhz for sample in samples])
    bits = {bit for bit in _REASONS for sample in samples if sample.reasons & bit}
    return {
        "gpu_utilization": _mean([sample.utilization for sample in samples]),
        "watts": watts,
        "joules_per_image": None if joules is None else round(joules / images, 4),
        "clock_mhz": None if clock is None else round(clock),
        "throttled": sorted(_REASONS[bit] for bit in bits),
        "pcie": _pcie(samples),
    }


def _pcie(samples: list[_Sample]) -> str | None:
    """Return the best link that was seen: an idle GPU lets it go slower."""
    links = [(s.generation, s.width) for s in samples if s.generation and s.width]
    return "gen {} x{}".format(*max(links)) if links else None


def _mean(values: list[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.mean(known), 3) if known else None


def _bus_id() -> bytes:
    """Ask CUDA where its first device is, which CUDA_VISIBLE_DEVICES decides; NVML sees them all.

    Source: https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__DEVICE.html

    Raises:
        OSError: CUDA does not say.
    """
    cuda = ctypes.CDLL("libcuda.so.1")
    device, text = ctypes.c_int(), ctypes.create_string_buffer(_BUS_ID_BYTES)
    refused = cuda.cuDeviceGet(ctypes.byref(device), 0)
    if refused or cuda.cuDeviceGetPCIBusId(text, _BUS_ID_BYTES, device):
        raise OSError("CUDA does not say where its device is")
    return text.value
