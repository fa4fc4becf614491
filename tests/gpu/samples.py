"""Records of machines that never were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.model.fingerprint import Operator
from tests.gpu.record import Planted, Record, Training
from tests.samples import sample_fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

H200 = "NVIDIA H200"
LOSSES = (60.0, 59.0, 58.0)


def training(losses: Sequence[float] = LOSSES) -> Training:
    return Training(losses=tuple(loss.hex() for loss in losses))


def record(
    device: str,
    losses: Sequence[float] = LOSSES,
    *,
    repeats: Sequence[Training] = (),
    planted: Sequence[Planted] = (),
    operator: float = 1.0,
) -> Record:
    """Return a record of a device; the product of matrices gave the number ``operator``,
    and the choice of boxes is much further apart."""
    fingerprint = sample_fingerprint()
    baseline = replace(
        fingerprint,
        losses=tuple(loss.hex() for loss in losses),
        conditions=replace(fingerprint.conditions, device=device),
        operators=(
            Operator(name="matmul fp32", sha256=str(operator), values=(operator.hex(),)),
            Operator(name="nms fp32", sha256=str(operator), values=((operator**100).hex(),)),
        ),
    )
    return Record(
        name=device.lower().replace(" ", "-"),
        at="2026-03-01T12:00:00+00:00",
        rehearsal=device == "cpu",
        snapenv="0.1.0",
        baseline=baseline,
        repeats=tuple(repeats),
        planted=tuple(planted),
    )
