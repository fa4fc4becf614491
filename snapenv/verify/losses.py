"""The losses of two smoke-trains side by side, of environments that differ on purpose. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from snapenv.model.update import LossesSideBySide

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snapenv.model.facts import Facts
    from snapenv.model.fingerprint import Fingerprint


def losses_side_by_side(
    before: tuple[Fingerprint | None, Facts], after: tuple[Fingerprint | None, Facts]
) -> LossesSideBySide | None:
    """Put the losses of two trainings beside each other; None where either was not trained."""
    (left, left_facts), (right, right_facts) = before, after
    if left is None or right is None:
        return None
    largest = max(left.relative_differences(right), default=math.inf)
    devices = (left.conditions.device, right.conditions.device)
    processors = {facts.hardware.system.cpu for facts in (left_facts, right_facts)}
    return LossesSideBySide(
        before=tuple(_finite(left.values)),
        after=tuple(_finite(right.values)),
        first_differing_step=left.first_differing_step(right),
        largest_relative_difference=largest if math.isfinite(largest) else None,
        devices=devices,
        same_machine=len({*devices}) == 1 and len(processors) == 1,
    )


def losses_words(losses: LossesSideBySide | None) -> str:
    """Say in a few words how the losses compare: ``losses identical``."""
    if losses is None:
        return "no losses to compare"
    if losses.first_differing_step is None:
        return "losses identical"
    largest = losses.largest_relative_difference
    how = "not all comparable" if largest is None else f"by at most {largest:.1e}"
    words = f"losses different from step {losses.first_differing_step}, {how}"
    if losses.same_machine:
        return words
    return f"{words}; they are of two machines ({' and '.join(losses.devices)})"


def _finite(values: Iterable[float]) -> Iterable[float | None]:
    return (value if math.isfinite(value) else None for value in values)
