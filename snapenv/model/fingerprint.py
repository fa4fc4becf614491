"""The smoke-train's losses, and under which conditions they hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import zip_longest
from typing import Annotated, Literal

from msgspec import Meta, Struct

from snapenv.model.exports import Export

Tier = Literal["identical", "close", "other device", "different"]

_EXPONENT = "[+-]([0-9]{1,3}|10[01][0-9]|102[0-3])"
HexFloat = Annotated[str, Meta(pattern=rf"\A(-?(0x[01]\.[0-9a-f]{{1,13}}p{_EXPONENT}|inf)|nan)\Z")]
"""What ``float.hex`` writes, so that ``float.fromhex`` reads it."""


class Conditions(Struct, frozen=True, kw_only=True):
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


class Operator(Struct, frozen=True, kw_only=True):
    """What one kind of operation gave, apart from any training.

    ``values`` are a few numbers over the result (as ``float.hex`` writes them), by which near
    results are told from far ones; ``sha256`` (hex) is over all of its bytes. ``error`` says why
    it could not be done, and then there are no values.
    """

    name: str  # "matmul fp32", "convolution tf32", "nms fp32", "reduction bf16"
    sha256: str = ""
    values: tuple[HexFloat, ...] = ()
    error: str | None = None


class MappedLibrary(Struct, frozen=True, kw_only=True):
    """A shared library that was in memory after a training step: what really ran.

    ``path`` is relative to the environment for one of its own files ("site/torch/lib/libc10.so"),
    else absolute; no home folder, no name of a user.
    """

    soname: str  # "libcudnn.so.9"
    path: str
    version: str | None = None  # where the file's name or the library itself tells it


class RankPair(Struct, frozen=True, kw_only=True):
    """How two ranks reach each other."""

    ranks: tuple[int, int]  # from 0, the one that sends first
    peer: bool | None = None  # each GPU reads the other's memory directly; None on the CPU
    bytes_per_s: float  # of 16 MiB sent from the one to the other


class RanksSpeed(Struct, frozen=True, kw_only=True):
    """How fast several ranks were together."""

    bytes_per_s: float  # of the bus, in an all-reduce of 64 MiB: as nccl-tests' busbw counts it
    step_ms_median: float  # of a training step of all
    pairs: tuple[RankPair, ...]  # each two, in order


class Ranks(Struct, frozen=True, kw_only=True):
    """A smoke-train of one process a device, by DistributedDataParallel.

    Its losses are not those of one device: each rank has its own images and batch norm.
    """

    devices: tuple[str, ...]  # by rank: a GPU's name, or "cpu"
    backend: Literal["nccl", "gloo"]  # of torch.distributed
    losses: tuple[HexFloat, ...]  # of each step, the sum over all ranks, as ``float.hex`` writes it
    checksums: tuple[str, ...]  # by rank: sha256 (hex) over its parameters after the last step
    parted_at: int | None = None  # the first step after which these were not equal, from 1
    inexact: tuple[int, ...] = ()  # ranks to which a sum of whole numbers came out wrong


class Speed(Struct, frozen=True, kw_only=True):
    """How fast the smoke-train went; the first step is left out, it warms up.

    What needs a GPU is None without one. Power is NVML's, of the whole GPU.
    """

    images_per_s: float  # without the first step
    step_ms_median: float  # time of a step
    step_ms_p95: float  # 95 % of the steps take no longer
    loading_share: float | None = None  # of a step's time that went into waiting for its batch
    peak_gpu_memory_mib: int | None = None  # that torch held at most
    gpu_utilization: float | None = None  # 0 to 1, the mean over the samples
    watts: float | None = None  # mean
    joules_per_image: float | None = None  # by the mean of the watts
    clock_mhz: int | None = None  # of the SMs, mean
    max_clock_mhz: int | None = None  # that the GPU allows
    power_limit_w: float | None = None  # that is set for the GPU
    throttled: tuple[str, ...] = ()  # NVML's reasons, sorted: "power cap", "thermal"
    pcie: str | None = None  # "gen 4 x16", the link as it was under load
    shm_bytes: int | None = None  # the size of /dev/shm
    cpu_count: int | None = None  # that the process may use
    ranks: RanksSpeed | None = None  # of several devices together, where there were several


class Cuda(Struct, frozen=True, kw_only=True):
    """What torch says of CUDA where it was not told to train on the CPU."""

    available: bool
    built_for: str | None = None  # "13.0"; None for a torch without CUDA
    error: str | None = None  # in torch's own words, on one line
    visible: str | None = None  # CUDA_VISIBLE_DEVICES, where it is set


class Fingerprint(Struct, frozen=True, kw_only=True):
    """One smoke-train: the loss of each step in order, as ``float.hex`` writes it."""

    losses: tuple[HexFloat, ...]
    conditions: Conditions
    operators: tuple[Operator, ...] = ()  # in the order in which they ran
    libraries: tuple[MappedLibrary, ...] = ()  # sorted by soname, then path
    afterwards: str | None = None  # why training failed after its last step, where it did
    speed: Speed | None = None  # of this run; no part of what is compared bit for bit
    cuda: Cuda | None = None  # of this run and its machine; it does not travel
    ranks: Ranks | None = None  # the same on several devices at once, where there were several
    exports: tuple[Export, ...] | None = None  # of the capture, likewise of this run

    @property
    def values(self) -> tuple[float, ...]:
        """The losses as numbers."""
        return tuple(map(float.fromhex, self.losses))

    def relative_differences(self, other: Fingerprint) -> tuple[float, ...]:
        """Return one number a step, infinite where either loss is missing or not finite."""
        pairs = zip_longest(self.values, other.values, fillvalue=math.nan)
        return tuple(_relative_difference(loss, another) for loss, another in pairs)

    def first_differing_step(self, other: Fingerprint) -> int | None:
        """Return the first step, from 1, whose losses are not the same bit for bit."""
        pairs = enumerate(zip_longest(self.losses, other.losses), start=1)
        return next((step for step, (loss, another) in pairs if loss != another), None)


def _relative_difference(loss: float, other: float) -> float:
    if not (math.isfinite(loss) and math.isfinite(other)):
        return math.inf
    return abs(loss - other) / max(abs(loss), abs(other)) if loss != other else 0.0
