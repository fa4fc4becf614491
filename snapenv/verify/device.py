"""Whether a training left a GPU unused that is there. Pure: values in, a check out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.causes import find_cause
from snapenv.model.outcome import Check, Severity
from snapenv.nvidia import advice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.hardware import Hardware

_CPU = "cpu"
_LOOK = "Run python -c 'import torch; torch.cuda.init()' in it to see why."


class UnusedGpu(Struct, frozen=True, kw_only=True):
    """A training that chose the CPU by itself, beside a GPU."""

    gpu: str  # "NVIDIA H200"
    why: str
    fix: str
    severity: Severity


def find_unused_gpu(
    trained: Fingerprint, hardware: Sequence[Hardware], *, refused: str | None = None
) -> UnusedGpu | None:
    """Judge a training that chose its device itself; None where no GPU was left unused.

    ``hardware`` is that of the target and of the machine below it, where these are two;
    ``refused`` is why an engine that could did not hand on a GPU. An unused GPU is a no. A
    warning it is for a torch without CUDA, and where a driver shows no GPU.
    """
    if trained.conditions.device != _CPU or trained.cuda is None:
        return None
    unused = next(filter(None, map(_describe, hardware)), None)
    if unused is None and refused is None:
        return None
    without_cuda = trained.cuda.built_for is None
    torch = f"torch {trained.conditions.torch} is built without CUDA"
    why = torch if without_cuda else refused or _explain(trained)
    is_unused = any(map(_has_gpu, hardware))
    return UnusedGpu(
        gpu=unused or "a GPU of the engine",
        why=why,
        fix=f"{_fix(trained, hardware, why)} {advice.OR_CPU}",
        severity="error" if is_unused and not without_cuda else "warning",
    )


def check_device(
    trained: Fingerprint, hardware: Sequence[Hardware], *, refused: str | None = None
) -> Check | None:
    """Return the check of a GPU that was left unused; None where there is no such."""
    unused = find_unused_gpu(trained, hardware, refused=refused)
    if unused is None:
        return None
    return Check(
        id="gpu.used",
        ok=False,
        expected=f"training on {unused.gpu}",
        actual=f"it trained on the CPU: {unused.why}",
        fix=unused.fix,
        part="host",
        severity=unused.severity,
    )


def _has_gpu(hardware: Hardware) -> bool:
    """Return whether there is a GPU, also where the driver is loaded and does not answer."""
    fault = hardware.driver_fault
    return bool(hardware.gpus) or (fault is not None and fault.kernel_module is not None)


def _describe(hardware: Hardware) -> str | None:
    if hardware.gpus:
        return ", ".join(dict.fromkeys(gpu.name for gpu in hardware.gpus))
    if hardware.driver_fault:
        return "the GPU of the NVIDIA driver"
    return f"a GPU of driver {hardware.driver.version}" if hardware.driver else None


def _explain(trained: Fingerprint) -> str:
    cuda = trained.cuda
    if cuda is None or cuda.error is None:
        return "torch.cuda.is_available() is False, without a reason"
    hidden = f", with CUDA_VISIBLE_DEVICES={cuda.visible!r}" if cuda.visible is not None else ""
    # CUDA's own error out of what torch says around it, else the first sentence.
    named = re.search(r"Error \d+: .*", cuda.error)
    words = named[0] if named else re.split(r"(?<=[a-z])[.:] ", cuda.error)[0].rstrip(".")
    return f"{words}{hidden}"


def _fix(trained: Fingerprint, hardware: Sequence[Hardware], why: str) -> str:
    fault = next((machine.driver_fault for machine in hardware if machine.driver_fault), None)
    if fault:
        return f"NVML says {fault.error}: check that nvidia-smi works."
    if trained.cuda and trained.cuda.built_for is None:
        return advice.CUDA_TORCH
    cause = find_cause(f"{why} {trained.cuda.error if trained.cuda else None}")
    return f"{cause.fix.rstrip('.')}." if cause else _LOOK
