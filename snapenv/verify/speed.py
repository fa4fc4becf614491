"""Compare how fast two smoke-trains went, and what energy one took. Pure: values in, words out.

A slower training is a warning, never a no: it gives the same losses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from snapenv.model.outcome import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.fingerprint import Fingerprint, Speed

SLOW = 0.8
"""The share of the capture's images per second below which training is called slow."""

CO2_G_PER_KWH = 445
"""Grams of CO2 per kWh of electricity, the world's average of 2024.

Source: IEA, Electricity 2025, https://www.iea.org/reports/electricity-2025/emissions
"""
CO2_SOURCE = "the world's average of 2024, IEA, Electricity 2025"

_JOULES_PER_KWH = 3.6e6
_IMAGES = 1_000_000  # that an estimate is given for
_LESS = 0.95  # a figure below this share of the capture's is lower, not noise
_MORE_WAITING = 0.1  # of a step, added
_LOW_UTILIZATION = 0.8  # of the capture's
_CPU = "cpu"
_MIG = " MIG "  # CUDA names a part of a GPU "NVIDIA A100-SXM4-40GB MIG 3g.20gb"
_LINK = re.compile(r"gen (\d{1,2}) x(\d{1,3})")


def compare_speed(expected: Fingerprint, actual: Fingerprint) -> Check | None:
    """Say how fast it was beside the capture; None on CPUs, or where the device is another.

    On CPUs what else a machine does counts for more than what is wrong with it.
    What explains a slow one is named from the facts of both sides, the surest first.
    """
    speeds = (expected.speed, actual.speed)
    devices = (expected.conditions.device, actual.conditions.device)
    if speeds[0] is None or speeds[1] is None or speeds[0].images_per_s <= 0:
        return None
    if _CPU in devices or _without_mig(devices[0]) != _without_mig(devices[1]):
        return None
    share = speeds[1].images_per_s / speeds[0].images_per_s
    if devices[0] != devices[1] and share >= SLOW:
        return None
    return Check(
        id="speed",
        ok=share >= SLOW,
        expected=f"at least {SLOW:.0%} of {speeds[0].images_per_s:.1f} images/s",
        actual=f"{speeds[1].images_per_s:.1f} images/s, {share:.0%} of the capture's",
        fix=None if share >= SLOW else _fix(devices, speeds[0], speeds[1]),
        part="host",
        severity="warning",
    )


def energy_lines(speed: Speed) -> tuple[str, ...]:
    """Return watts, joules, and an estimate of CO2 with its factor; empty without NVML's power."""
    if speed.joules_per_image is None:
        return ()
    watts = f" at {speed.watts:.0f} W" if speed.watts is not None else ""
    grams = grams_of_co2(speed.joules_per_image)
    factor = f"{CO2_G_PER_KWH} g/kWh ({CO2_SOURCE})"
    return (
        f"{speed.joules_per_image:.2f} J an image{watts}, of the whole GPU",
        f"about {grams:.0f} g CO2 a million images, at {factor}",
    )


def grams_of_co2(joules_per_image: float, *, images: int = _IMAGES) -> float:
    """Estimate the CO2 of training on some images, by the world's average of electricity."""
    return joules_per_image * images / _JOULES_PER_KWH * CO2_G_PER_KWH


def _without_mig(device: str) -> str:
    return device.partition(_MIG)[0]


def _fix(devices: tuple[str, str], expected: Speed, actual: Speed) -> str:
    causes = [*_gpu(expected, actual), *_data(expected, actual), *_waiting(expected, actual)]
    if devices[0] != devices[1]:
        parts = " → ".join(devices)
        cause = f"MIG gives another part of the GPU ({parts}): use one of the same size."
        causes.insert(0, cause)
    if not causes:
        return "No figure explains it: look for other programs with nvidia-smi and top."
    return " ".join(causes[:2])


def _gpu(expected: Speed, actual: Speed) -> Iterator[str]:
    """What the GPU itself says of being held back."""
    new = sorted(set(actual.throttled) - set(expected.throttled))
    if new:
        reasons = ", ".join(new)
        yield f"The driver holds the clocks down: {reasons}; see nvidia-smi -q -d PERFORMANCE."
    if _lower(expected.power_limit_w, actual.power_limit_w):
        yield (
            f"The power limit is lower ({expected.power_limit_w:.0f} W → "
            f"{actual.power_limit_w:.0f} W): "
            f"raise it with nvidia-smi -pl {expected.power_limit_w:.0f}."
        )
    elif _lower(expected.clock_mhz, actual.clock_mhz) and not new:
        yield (
            f"The clocks are lower ({expected.clock_mhz} MHz → {actual.clock_mhz} MHz): "
            "release them with nvidia-smi -rgc."
        )
    if _lower(_lanes(expected.pcie), _lanes(actual.pcie)):
        yield f"The PCIe link is narrower ({expected.pcie} → {actual.pcie}): see the card's slot."


def _data(expected: Speed, actual: Speed) -> Iterator[str]:
    """What keeps batches from coming in time."""
    if _lower(expected.cpu_count, actual.cpu_count):
        yield (
            f"There are fewer CPUs ({expected.cpu_count} → {actual.cpu_count}): "
            "give the container more with --cpus, or train with fewer workers."
        )
    if not _waits_more(expected, actual):
        return
    shares = f"{expected.loading_share:.0%} → {actual.loading_share:.0%} of a step"
    if _lower(expected.shm_bytes, actual.shm_bytes):
        yield (
            f"Training waits for data ({shares}), and /dev/shm is smaller: give it --shm-size 1g."
        )
    else:
        yield f"Training waits for data ({shares}): look at the disk and at other programs."


def _waiting(expected: Speed, actual: Speed) -> Iterator[str]:
    low = expected.gpu_utilization, actual.gpu_utilization
    if low[0] and low[1] is not None and low[1] < low[0] * _LOW_UTILIZATION:
        yield (
            f"The GPU waits (busy {low[0]:.0%} → {low[1]:.0%}): "
            "the CPU is too slow or busy with other programs; see top."
        )


def _waits_more(expected: Speed, actual: Speed) -> bool:
    old, new = expected.loading_share, actual.loading_share
    return old is not None and new is not None and new - old >= _MORE_WAITING


def _lower(expected: float | None, actual: float | None) -> bool:
    return expected is not None and actual is not None and actual < expected * _LESS


def _lanes(link: str | None) -> float | None:
    """Return what a PCIe link carries, as a number to compare: each generation doubles a lane."""
    link_parts = _LINK.fullmatch(link or "")
    return float(2 ** int(link_parts[1]) * int(link_parts[2])) if link_parts else None
