"""Compare what single operations gave, apart from any training. Pure: values in, checks out.

An operation is named by its family and its precision, such as ``matmul fp32``. That another GPU or
CPU rounds otherwise is expected; how far, depends on the bits of the precision and the length of
the sums. The tolerances come from those bits; python -m tests.gpu tolerances widens them where
devices that were measured are further apart.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from snapenv.model.outcome import Check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.fingerprint import Fingerprint, Operator

Likeness = Literal["identical", "near", "different"]

_CPU = "cpu"
_NAMED = 3  # operations that a line names
_TF32 = "tf32"

# Of the largest number of a result. Bits of the mantissa: 52, 23, 10, 10, 7.
_TOLERANCES = {"fp64": 1e-12, "fp32": 1e-5, _TF32: 5e-3, "fp16": 5e-3, "bf16": 4e-2}
_CHOICES = ("nms",)  # the answer is which, not how much: it is the same or it is not

_CAUSES = {  # by family: on a GPU, on a CPU
    "matmul": ("another cuBLAS", "another MKL or OpenBLAS, or another number of threads"),
    "convolution": (
        "another cuDNN, or another choice of its algorithm",
        "another oneDNN or its threads",
    ),
    "nms": ("another torchvision", "another torchvision"),
    "reduction": ("another build of torch", "another build of torch, or number of threads"),
}
_OTHERWISE = "another build of torch"
_TF32_SWITCHED = (
    "TF32 was switched on or off; see TORCH_ALLOW_TF32_CUBLAS_OVERRIDE and NVIDIA_TF32_OVERRIDE"
)


class OperatorPair(Struct, frozen=True, kw_only=True):
    """The same operation on both sides."""

    name: str
    likeness: Likeness
    distance: float | None  # None where a side could not do it
    error: str = ""  # of the side that could not, with the side

    @property
    def family(self) -> str:
        return self.name.rpartition(" ")[0]

    @property
    def precision(self) -> str:
        return self.name.rpartition(" ")[2]

    @property
    def described(self) -> str:
        """The operation as a line names it."""
        if self.distance is None:
            return f"{self.name} (not possible {self.error})"
        return f"{self.name} (by {self.distance:.1e})"


def compare_operators(
    expected: Fingerprint, actual: Fingerprint, *, same_hardware: bool = True
) -> tuple[Check, ...]:
    """Return one check over the operations that both sides did; none where a side did none.

    A far result is a no. A near one is expected on other hardware and of other packages; on the
    same it is a warning, since the tier of the losses decides whether training is the same. Losses
    that are identical make any difference a warning: training does not use that operation.
    """
    by_name = {operator.name: operator for operator in actual.operators}
    shared = [operator for operator in expected.operators if operator.name in by_name]
    pairs = [compare_operator(operator, by_name[operator.name]) for operator in shared]
    if not pairs:
        return ()
    strict = same_hardware and all(
        getattr(expected.conditions, name) == getattr(actual.conditions, name)
        for name in ("torch", "cudnn", "numpy")
    )
    far, near = (
        [pair for pair in pairs if pair.likeness == kind] for kind in ("different", "near")
    )
    same_losses = bool(actual.losses) and expected.losses == actual.losses
    worst = next(iter([*far, *(near if strict else ())]), None)
    on_gpu = actual.conditions.device != _CPU
    return (
        Check(
            id="operators",
            ok=worst is None,
            expected=f"{len(pairs)} operations as at the capture",
            actual="; ".join(filter(None, (_names("different", far), _names("near", near))))
            or f"all {len(pairs)} identical",
            fix=f"{worst.name} differs first; the likely cause is "
            f"{_cause(worst, pairs, on_gpu=on_gpu)}."
            if worst
            else None,
            part="environment" if strict else "host",
            severity="error" if far and not same_losses else "warning",
        ),
    )


def compare_operator(expected: Operator, actual: Operator) -> OperatorPair:
    """Say how like one another two results of one operation are; both failing is identical."""
    name, error = expected.name, actual.error or expected.error
    if error:
        side = "now" if actual.error else "at the capture"
        likeness: Likeness = "identical" if expected.error and actual.error else "different"
        return OperatorPair(name=name, likeness=likeness, distance=None, error=f"{side}: {error}")
    distance = _distance(expected, actual)
    family, _, precision = name.rpartition(" ")
    if expected.sha256 == actual.sha256:
        likeness = "identical"
    elif family in _CHOICES or distance > _tolerance(precision):
        likeness = "different"
    else:
        likeness = "near"
    return OperatorPair(name=name, likeness=likeness, distance=distance)


def _distance(expected: Operator, actual: Operator) -> float:
    """Return the largest difference, relative to the largest value of either side."""
    values = [tuple(map(float.fromhex, side.values)) for side in (expected, actual)]
    every = (*values[0], *values[1])
    if len(values[0]) != len(values[1]) or not all(map(math.isfinite, every)):
        return math.inf
    scale = max(map(abs, every), default=0.0)
    apart = max(
        (abs(value - other) for value, other in zip(*values, strict=True)), default=math.inf
    )
    return apart / scale if scale else apart


def _tolerance(precision: str) -> float:
    """Return the relative tolerance; that of fp32 where the precision is unknown."""
    return _TOLERANCES.get(precision, _TOLERANCES["fp32"])


def _names(likeness: Likeness, pairs: Sequence[OperatorPair]) -> str:
    more = f" and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else ""
    names = ", ".join(pair.described for pair in pairs[:_NAMED])
    return f"{likeness}: {names}{more}" if pairs else ""


def _cause(worst: OperatorPair, pairs: Sequence[OperatorPair], *, on_gpu: bool) -> str:
    """Name TF32 where it alone is apart, or fp32 is as far apart as TF32 rounds."""
    odd = {pair.precision for pair in pairs if pair.likeness != "identical"}
    is_rounded = worst.precision == "fp32" and worst.likeness == "different"
    far = worst.distance or 0.0
    if on_gpu and (odd == {_TF32} or (is_rounded and 0 < far <= _tolerance(_TF32))):
        return f"that {_TF32_SWITCHED}"
    return _CAUSES.get(worst.family, (_OTHERWISE, _OTHERWISE))[0 if on_gpu else 1]
