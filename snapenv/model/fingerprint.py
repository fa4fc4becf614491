"""The smoke-train's losses, and under which conditions they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Tier = Literal["identical", "close", "other device", "different"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """What the losses depend on besides the seed."""

    device: str  # "cpu", or the GPU's name
    threads: int
    tf32: bool
    ultralytics: str
    torch: str
    numpy: str
    opencv: str
    cudnn: int | None = None  # 91900 is 9.19.0; None without CUDA
    albumentations: str | None = None
    arguments: Mapping[str, str]  # of model.train, each as JSON
    images_sha256: str  # hex, over the generated images and labels


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """How fast the smoke-train went; the first step is left out, it warms up."""

    images_per_s: float
    step_ms_median: float
    step_ms_p95: float
    peak_gpu_memory_mib: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """One smoke-train: the loss of each step in order, as ``float.hex`` writes it."""

    losses: tuple[str, ...]
    conditions: Conditions
    speed: Speed | None = None  # of this run; no part of what is compared bit for bit

    @property
    def values(self) -> tuple[float, ...]:
        """The losses as numbers."""
        return tuple(float.fromhex(loss) for loss in self.losses)
