"""How near two smoke-trains are: the tiers of a proof.

They are those of ``snapenv/verify/fingerprint.py``; a test holds both together.
"""

from __future__ import annotations

import math
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from snapenv_check.expected import Facts

_CPU = "cpu"
_PACKAGES = ("ultralytics", "torch", "numpy", "opencv", "cudnn", "albumentations")
_PLANNED = ("ultralytics", "images_sha256", "arguments", "threads", "tf32")  # the same everywhere
# The largest relative difference at step 1, and at every later one.
_CLOSE = (1e-6, 1e-4)
_OTHER_DEVICE = (1e-3, 5e-2)


class Trained(NamedTuple):
    """A smoke-train beside the baseline; steps count from 1, differences are relative."""

    ok: bool
    tier: str  # "identical", "close", "other device" or "different"
    device: str
    steps: int
    first_differing_step: int | None  # None where every loss is the same bit for bit
    largest_relative_difference: float | None  # None where a loss is missing or not finite
    words: str


def compare(expected: Facts, actual: Facts, *, same_packages: bool) -> Trained:
    """Find the best tier that two smoke-trains reach."""
    conditions = (expected["conditions"], actual["conditions"])
    same_packages = same_packages and _are_alike(_PACKAGES, *conditions)
    losses = [[float.fromhex(loss) for loss in side["losses"]] for side in (expected, actual)]
    differences = [_difference(*pair) for pair in zip_longest(*losses, fillvalue=math.nan)]
    texts = enumerate(zip_longest(expected["losses"], actual["losses"]), start=1)
    first = next((step for step, (left, right) in texts if left != right), None)
    tier = "different"
    if _are_alike(_PLANNED, *conditions) and all(map(math.isfinite, differences)):
        tier = _choose_tier(*conditions, differences, same_packages=same_packages, first=first)
    largest = max(differences, default=math.inf)
    return Trained(
        ok=tier != "different",
        tier=tier,
        device=conditions[1]["device"],
        steps=len(differences),
        first_differing_step=first,
        largest_relative_difference=largest if math.isfinite(largest) else None,
        words=_describe(tier, len(differences), first, largest),
    )


def _describe(tier: str, steps: int, first: int | None, largest: float) -> str:
    if first is None:
        return f"losses {tier}: all {steps} are the same"
    return f"losses {tier}: from step {first} of {steps}, by at most {largest:.1e}"


def _are_alike(names: tuple[str, ...], left: Facts, right: Facts) -> bool:
    return all(left.get(name) == right.get(name) for name in names)


def _difference(loss: float, other: float) -> float:
    if not (math.isfinite(loss) and math.isfinite(other)):
        return math.inf
    return abs(loss - other) / max(abs(loss), abs(other)) if loss != other else 0.0


def _choose_tier(
    expected: Facts,
    actual: Facts,
    differences: list[float],
    *,
    same_packages: bool,
    first: int | None,
) -> str:
    """Try the tiers, the strictest first; all differences are finite."""
    devices = (expected["device"], actual["device"])
    same_kind = (devices[0] == _CPU) == (devices[1] == _CPU)
    if same_packages and devices[0] == devices[1] and differences and first is None:
        return "identical"
    if same_packages and same_kind and _within(differences, _CLOSE):
        return "close"
    is_other = devices[0] != devices[1] and not (expected["tf32"] or actual["tf32"])
    return "other device" if is_other and _within(differences, _OTHER_DEVICE) else "different"


def _within(differences: list[float], limits: tuple[float, float]) -> bool:
    first, later = limits
    return (
        bool(differences)
        and differences[0] <= first
        and all(difference <= later for difference in differences[1:])
    )
