"""Torch's switches for TF32, whichever torch: ``allow_tf32``, and ``fp32_precision`` since 2.9.

Both are set, the old ones first. Where ``torch.backends.fp32_precision`` is ``tf32``, turning off
the old ones leaves convolutions in TF32; and where old and new disagree, reading the old raises.

Source: https://docs.pytorch.org/docs/main/notes/cuda.html#tensorfloat-32-tf32-on-ampere-and-later-devices
"""

from __future__ import annotations

from typing import Any, Iterable

_OF_CUDA = ("cuda.matmul", "cudnn.conv", "cudnn.rnn")
_OTHERS = ("", "cudnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")  # "" is above them all


def allow_tf32(*, allowed: bool) -> None:
    """Let CUDA's matrix products and convolutions in float32 use TF32, or let nothing use it."""
    import torch

    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
    for switch in _find_new(_OTHERS):
        switch.fp32_precision = "ieee"
    for switch in _find_new(_OF_CUDA):
        switch.fp32_precision = "tf32" if allowed else "ieee"


def is_tf32_allowed() -> bool:
    """Return whether anything of CUDA would use TF32 now; the new switches decide if there."""
    import torch

    new = [switch.fp32_precision == "tf32" for switch in _find_new(_OF_CUDA)]
    old = (torch.backends.cuda.matmul, torch.backends.cudnn)
    return any(new) if new else any(switch.allow_tf32 for switch in old)


def _find_new(names: Iterable[str]) -> list[Any]:
    """Return those places below ``torch.backends`` that have a precision of their own."""
    places = (_find(name) for name in names)
    return [place for place in places if hasattr(place, "fp32_precision")]


def _find(name: str) -> Any:  # noqa: ANN401
    import torch

    place: Any = torch.backends
    for part in filter(None, name.split(".")):
        place = getattr(place, part, None)
    return place
