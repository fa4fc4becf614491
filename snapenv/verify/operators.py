"""Compare what single operations gave, apart from any training. Pure: values in, checks out.

An operation is named by its family and its precision, such as ``matmul fp32``. That another GPU or
CPU rounds otherwise is expected; how far, depends on the bits of the precision and the length of
the sums. The tolerances come from those bits and are not yet measured on a GPU.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from snapenv.model.fingerprint import Operator
from snapenv.model.outcome import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.outcome import Severity

Likeness = Literal["identical", "near", "different"]

_CPU = "cpu"
_NAMED = 3  # operations that a line names
_TF32 = "tf32"

# Of the largest number of a result. Bits of the mantissa: 52, 23, 10, 10, 7.
_TOLERANCES = {"fp64": 1e-12, "fp32": 1e-5, _TF32: 5e-3, "fp16": 5e-3, "bf16": 4e-2}
_CHOICES = ("nms",)  # the answer is which, not how much: it is the same or it is not

_CAUSES = (  # family, on a GPU, on a CPU
    ("matmul", "another cuBLAS", "another MKL or OpenBLAS, or another number of threads"),
    ("conv", "another cuDNN, or another choice of its algorithm", "another oneDNN or its threads"),
    ("nms", "another torchvision", "another torchvision"),
    ("reduction", "another build of torch", "another build of torch, or number of threads"),
)
_OTHERWISE = "another build of torch"
_TF32_SWITCHED = (
    "TF32 was switched on or off; see TORCH_ALLOW_TF32_CUBLAS_OVERRIDE and NVIDIA_TF32_OVERRIDE"
)


class _Pair(Struct, frozen=True, kw_only=True):
    """The same operation on both sides."""

    expected: Operator
    actual: Operator
    likeness: Likeness

    @property
    def family(self) -> str:
        return self.expected.name.rpartition(" ")[0]

    @property
    def precision(self) -> str:
        return self.expected.name.rpartition(" ")[2]


def compare_operators(
    expected: Fingerprint, actual: Fingerprint, *, same_hardware: bool = True
) -> tuple[Check, ...]:
    """Return one check over the operations that both sides did; none where a side did none.

    A far result is a no. A near one is expected on other hardware and of other packages; on the
    same it is a warning, since the tier of the losses decides whether training is the same. Losses
    that are identical make any difference a warning: training does not use that operation.
    """
    pairs = _pair(expected.operators, actual.operators)
    if not pairs:
        return ()
    strict = same_hardware and _same_packages(expected, actual)
    worst = _first_to_report(pairs, strict=strict)
    return (
        Check(
            id="operators",
            ok=worst is None,
            expected=f"{len(pairs)} operations as at the capture",
            actual=_describe(pairs),
            fix=_fix(worst, pairs, actual) if worst else None,
            part="environment" if strict else "host",
            severity=_severity(pairs, expected, actual),
        ),
    )


def compare_operator(expected: Operator, actual: Operator) -> Likeness:
    """Say how like one another two results of one operation are; both failing is identical."""
    if expected.error or actual.error:
        return "identical" if expected.error and actual.error else "different"
    if expected.sha256 == actual.sha256:
        return "identical"
    family, _, precision = expected.name.rpartition(" ")
    if family in _CHOICES:
        return "different"
    return "near" if _distance(expected, actual) <= _tolerance(precision) else "different"


def _pair(expected: Sequence[Operator], actual: Sequence[Operator]) -> list[_Pair]:
    """Pair by name, in the order of the capture; what one side alone did says nothing."""
    by_name = {operator.name: operator for operator in actual}
    return [
        _Pair(expected=operator, actual=again, likeness=compare_operator(operator, again))
        for operator in expected
        if (again := by_name.get(operator.name))
    ]


def _distance(expected: Operator, actual: Operator) -> float:
    """Return the largest difference, relative to the largest value of either side."""
    values = [tuple(map(float.fromhex, side.values)) for side in (expected, actual)]
    every = (*values[0], *values[1])
    if len(values[0]) != len(values[1]) or not all(map(math.isfinite, every)):
        return math.inf
    scale = max(map(abs, every), default=0.0)
    apart = max((abs(one - other) for one, other in zip(*values, strict=True)), default=math.inf)
    return apart / scale if scale else apart


def _tolerance(precision: str) -> float:
    """Return the relative tolerance; that of fp32 where the precision is unknown."""
    return _TOLERANCES.get(precision, _TOLERANCES["fp32"])


def _same_packages(expected: Fingerprint, actual: Fingerprint) -> bool:
    return all(
        getattr(expected.conditions, name) == getattr(actual.conditions, name)
        for name in ("torch", "cudnn", "numpy")
    )


def _first_to_report(pairs: Sequence[_Pair], *, strict: bool) -> _Pair | None:
    """Return the first far result, else the first near one where none is expected."""
    wanted: tuple[Likeness, ...] = ("different", "near") if strict else ("different",)
    of_kind = (one for kind in wanted for one in pairs if one.likeness == kind)
    return next(of_kind, None)


def _severity(pairs: Sequence[_Pair], expected: Fingerprint, actual: Fingerprint) -> Severity:
    far = any(one.likeness == "different" for one in pairs)
    same_losses = bool(actual.losses) and expected.losses == actual.losses
    return "error" if far and not same_losses else "warning"


def _describe(pairs: Sequence[_Pair]) -> str:
    parts = (_names(pairs, likeness) for likeness in ("different", "near"))
    odd = "; ".join(part for part in parts if part)
    return odd or f"all {len(pairs)} identical"


def _names(pairs: Sequence[_Pair], likeness: Likeness) -> str:
    names = [_name(one) for one in pairs if one.likeness == likeness]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{likeness}: {', '.join(names[:_NAMED])}{more}" if names else ""


def _name(pair: _Pair) -> str:
    if pair.expected.error or pair.actual.error:
        side = "now" if pair.actual.error else "at the capture"
        error = pair.actual.error or pair.expected.error
        return f"{pair.expected.name} (not possible {side}: {error})"
    return f"{pair.expected.name} (by {_distance(pair.expected, pair.actual):.1e})"


def _fix(worst: _Pair, pairs: Sequence[_Pair], actual: Fingerprint) -> str:
    cause = _cause(worst, pairs, on_gpu=actual.conditions.device != _CPU)
    return f"{worst.expected.name} differs first; the likely cause is {cause}."


def _cause(worst: _Pair, pairs: Sequence[_Pair], *, on_gpu: bool) -> str:
    if on_gpu and _looks_like_tf32(worst, pairs):
        return f"that {_TF32_SWITCHED}"
    return next(_causes_of(worst.family, on_gpu=on_gpu), _OTHERWISE)


def _causes_of(family: str, *, on_gpu: bool) -> Iterator[str]:
    for name, gpu, cpu in _CAUSES:
        if family.startswith(name):
            yield gpu if on_gpu else cpu


def _looks_like_tf32(worst: _Pair, pairs: Sequence[_Pair]) -> bool:
    """Tell from TF32 alone being apart, or fp32 being as far apart as TF32 rounds."""
    odd = {one.precision for one in pairs if one.likeness != "identical"}
    if odd == {_TF32}:
        return True
    apart = (
        0.0
        if worst.actual.error or worst.expected.error
        else _distance(worst.expected, worst.actual)
    )
    return (
        worst.precision == "fp32"
        and worst.likeness == "different"
        and 0 < apart <= _tolerance(_TF32)
    )
