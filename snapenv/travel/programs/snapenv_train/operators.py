"""Try each kind of operation that training is made of, apart from any training.

Where losses part, this tells the family to which the difference belongs. The inputs are made of
bytes that are the same everywhere; no generator of torch is asked, and the switches for TF32 are
as they were afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import traceback
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from snapenv_train.surroundings import allow_tf32

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Tensor = Any  # torch's, which is not there where this is checked

_MATRIX = (96, 384)  # of the one that is multiplied with its like
_IMAGES = (2, 8, 24, 24)  # images, channels, height, width
_KERNELS = (16, 8, 3, 3)  # out, in, height, width
_BOXES = 512
_OVERLAP = 0.5  # from which on one of two boxes is dropped
_ROWS = (32, 512)
_AMPERE = (8, 0)  # the first with TF32
_WIDEST = 1 << 31  # a number of 32 bits with a sign is below it


class _Trial(NamedTuple):
    """One operation in one kind of numbers: ``fp32``, ``tf32`` or ``bf16``."""

    name: str
    numbers: str
    operate: Callable[[str, Any], Sequence[Tensor]]  # of the device and the dtype


def fingerprint_operators(device: str) -> list[dict[str, object]]:
    """Run every operation on ``cpu`` or ``cuda``; return each as snapenv's ``Operator``.

    One that fails says why, and the next is run.
    """
    return [_fingerprint(trial, device) for trial in _trials(device)]


def _trials(device: str) -> Iterator[_Trial]:
    families = (("matmul", _multiply), ("convolution", _convolve), ("reduction", _reduce))
    for name, operate in families:
        yield _Trial(name, "fp32", operate)
    yield _Trial("nms", "fp32", _suppress)
    if _has_tf32(device):
        yield _Trial("matmul", "tf32", _multiply)
        yield _Trial("convolution", "tf32", _convolve)
    for name, operate in families:
        yield _Trial(name, "bf16", operate)


def _fingerprint(trial: _Trial, device: str) -> dict[str, object]:
    import torch

    named: dict[str, object] = {"name": f"{trial.name} {trial.numbers}"}
    dtype = torch.bfloat16 if trial.numbers == "bf16" else torch.float32
    try:
        with _tf32(allowed=trial.numbers == "tf32"):
            results = [result.detach().cpu() for result in trial.operate(device, dtype)]
        return {**named, "sha256": _hash(results), "values": _describe(results)}
    except Exception as error:  # noqa: BLE001 - whatever a device cannot do is the answer
        return {**named, "error": traceback.format_exception_only(type(error), error)[-1].strip()}


def _multiply(device: str, dtype: Any) -> Sequence[Tensor]:  # noqa: ANN401
    rows, columns = _MATRIX
    left = _draw("left", (rows, columns)).to(device, dtype)
    right = _draw("right", (columns, rows)).to(device, dtype)
    return [left @ right]


def _convolve(device: str, dtype: Any) -> Sequence[Tensor]:  # noqa: ANN401
    """Convolve, and go back: the result, and the gradients of images and kernels."""
    import torch

    images = _draw("images", _IMAGES).to(device, dtype).requires_grad_()
    kernels = _draw("kernels", _KERNELS).to(device, dtype).requires_grad_()
    result = torch.nn.functional.conv2d(images, kernels, padding=1)
    slope = _draw("slope", tuple(result.shape)).to(device, dtype)
    return [result, *torch.autograd.grad(result, (images, kernels), slope)]


def _reduce(device: str, dtype: Any) -> Sequence[Tensor]:  # noqa: ANN401
    """Sum, softmax, and a batch norm over the batch alone."""
    import torch

    rows = _draw("rows", _ROWS).to(device, dtype)
    images = rows.reshape(8, 8, 16, 16)
    normal = torch.nn.functional.batch_norm(images, None, None, training=True)
    return [rows.sum(), rows.sum(0), rows.sum(1), rows.softmax(1), normal]


def _suppress(device: str, dtype: Any) -> Sequence[Tensor]:  # noqa: ANN401
    """Return the numbers of the boxes that are kept, the best first."""
    import torch
    import torchvision

    corners = _draw("corners", (_BOXES, 2)) * 32
    sides = _draw("sides", (_BOXES, 2)) * 8 + 16
    boxes = torch.cat((corners, corners + sides), 1).to(device, dtype)
    return [torchvision.ops.nms(boxes, _draw("scores", (_BOXES,)).to(device, dtype), _OVERLAP)]


def _draw(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return numbers from -1 to below 1, float32 on the CPU, which the name alone decides."""
    import torch

    count = math.prod(shape)
    drawn = bytearray(hashlib.shake_256(b"snapenv " + name.encode()).digest(4 * count))
    whole = torch.frombuffer(drawn, dtype=torch.int32)
    return (whole.double() / _WIDEST).float().reshape(shape)


def _hash(results: Sequence[Tensor]) -> str:
    """Return the sha256 over all bytes, the numbers in the results' own kind."""
    import torch

    content = hashlib.sha256()
    for result in results:
        plain = result.contiguous()
        bits = plain.view(torch.int16) if plain.dtype == torch.bfloat16 else plain
        content.update(bits.numpy().tobytes())
    return content.hexdigest()


def _describe(results: Sequence[Tensor]) -> list[str]:
    """Return mean, mean of the absolutes, largest, and one fixed weighted mean.

    The sums are exact, so that their order is no matter.

    Raises:
        ArithmeticError: There are infinite ones, or what is no number.
    """
    import torch

    numbers = torch.cat([result.reshape(-1).double() for result in results])
    if not torch.isfinite(numbers).all():
        raise ArithmeticError("the result is not finite")
    weighted = numbers * _draw("weights", tuple(numbers.shape)).double()
    sums = [math.fsum(each.tolist()) for each in (numbers, numbers.abs(), weighted)]
    mean, mean_abs, functional = (total / len(numbers) for total in sums)
    return [value.hex() for value in (mean, mean_abs, float(numbers.max()), functional)]


def _has_tf32(device: str) -> bool:
    import torch

    return bool(
        device == "cuda"
        and torch.version.cuda  # AMD's are devices of this name, too
        and torch.cuda.get_device_capability(0) >= _AMPERE
    )


@contextlib.contextmanager
def _tf32(*, allowed: bool) -> Iterator[None]:
    """Set torch's switches for a block; they are off before and after it."""
    allow_tf32(allowed=allowed)
    try:
        yield
    finally:
        allow_tf32(allowed=False)
