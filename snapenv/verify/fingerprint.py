"""Compare two smoke-trains step by step. Pure: values in, a tier and a check out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from snapenv.model.fingerprint import Tier
from snapenv.model.outcome import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.fingerprint import Conditions, Fingerprint

_CPU = "cpu"
_ABSENT = "absent"
_HASH_DIGITS = 12  # that people compare

_PACKAGES = ("ultralytics", "torch", "numpy", "opencv", "cudnn", "albumentations")
_CONDITIONS = ("device", "threads", "tf32", *_PACKAGES)

# The largest relative difference at step 1, and at every later one.
_CLOSE = (1e-6, 1e-4)
_OTHER_DEVICE = (1e-3, 5e-2)

_EXPECTED: dict[Tier, str] = {
    "identical": "every loss bit for bit",
    "close": "within 1e-06 at step 1 and 1e-04 after it",
    "other device": "within 1e-03 at step 1 and 5e-02 after it, on another device",
    "different": "the losses of the capture",
}
_UNCALIBRATED = "; the tolerances are not yet measured on a GPU"


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """How near two fingerprints are; steps count from 1, differences are relative."""

    tier: Tier
    steps: int  # of the longer one
    first_differing_step: int | None  # None where every loss is the same bit for bit
    largest_relative_difference: float  # infinite where a loss is missing or not finite
    differing: tuple[str, ...]  # the conditions that differ: "torch 2.6.0 → 2.11.0"
    on_gpu: bool  # either of them


def compare_fingerprints(expected: Fingerprint, seen: Fingerprint, *, same_packages: bool) -> Match:
    """Find the best tier that two smoke-trains reach; which of them is first is no matter.

    ``same_packages`` is what comparing the facts gave; conditions that differ take it back.
    Losses of other data, other arguments or another ultralytics are never better than
    ``different``, nor are losses that are not finite.
    """
    here, there = expected.conditions, seen.conditions
    differences = _relative_differences(expected.values, seen.values)
    first = _first_differing_step(expected.losses, seen.losses)
    same_packages = same_packages and not _differing(here, there, _PACKAGES)
    tier: Tier = "different"
    if _comparable(here, there) and all(map(math.isfinite, differences)):
        tier = _choose_tier(here, there, differences, same_packages=same_packages, first=first)
    return Match(
        tier=tier,
        steps=len(differences),
        first_differing_step=first,
        largest_relative_difference=max(differences, default=math.inf),
        differing=tuple(_describe_conditions(here, there)),
        on_gpu=not here.device == there.device == _CPU,
    )


def fingerprint_check(match: Match) -> Check:
    """Say which tier was reached; ``different`` alone fails, and names where to look."""
    ok = match.tier != "different"
    return Check(
        id="fingerprint",
        ok=ok,
        expected=_EXPECTED[match.tier],
        seen=_describe(match) + (_UNCALIBRATED if match.on_gpu else ""),
        fix=None if ok else _fix(match),
    )


def _choose_tier(
    here: Conditions,
    there: Conditions,
    differences: Sequence[float],
    *,
    same_packages: bool,
    first: int | None,
) -> Tier:
    """Try the tiers, the strictest first; all differences are finite."""
    same_device = here.device == there.device
    same_kind = (here.device == _CPU) == (there.device == _CPU)
    if same_packages and same_device and differences and first is None:
        return "identical"
    if same_packages and same_kind and _within(differences, _CLOSE):
        return "close"
    if not (same_device or here.tf32 or there.tf32) and _within(differences, _OTHER_DEVICE):
        return "other device"
    return "different"


def _comparable(here: Conditions, there: Conditions) -> bool:
    return (here.ultralytics, here.images_sha256, here.arguments) == (
        there.ultralytics,
        there.images_sha256,
        there.arguments,
    )


def _relative_differences(expected: Sequence[float], seen: Sequence[float]) -> list[float]:
    """Give one number a step, infinite where either loss is missing or not finite."""
    return [
        _relative_difference(here, there)
        for here, there in zip_longest(expected, seen, fillvalue=math.nan)
    ]


def _relative_difference(here: float, there: float) -> float:
    if not (math.isfinite(here) and math.isfinite(there)):
        return math.inf
    return abs(here - there) / max(abs(here), abs(there)) if here != there else 0.0


def _first_differing_step(expected: Sequence[str], seen: Sequence[str]) -> int | None:
    pairs = enumerate(zip_longest(expected, seen), start=1)
    return next((step for step, (here, there) in pairs if here != there), None)


def _within(differences: Sequence[float], limits: tuple[float, float]) -> bool:
    first, later = limits
    return (
        bool(differences)
        and differences[0] <= first
        and all(difference <= later for difference in differences[1:])
    )


def _describe_conditions(here: Conditions, there: Conditions) -> Iterator[str]:
    yield from _differing(here, there, _CONDITIONS)
    for name in sorted(here.arguments.keys() | there.arguments.keys()):
        values = (here.arguments.get(name, _ABSENT), there.arguments.get(name, _ABSENT))
        if values[0] != values[1]:
            yield f"{name} {values[0]} → {values[1]}"
    if here.images_sha256 != there.images_sha256:
        hashes = (here.images_sha256[:_HASH_DIGITS], there.images_sha256[:_HASH_DIGITS])
        yield f"images {hashes[0]} → {hashes[1]}"


def _differing(here: Conditions, there: Conditions, names: Sequence[str]) -> list[str]:
    values = {name: (_value(here, name), _value(there, name)) for name in names}
    return [f"{name} {old} → {new}" for name, (old, new) in values.items() if old != new]


def _value(conditions: Conditions, name: str) -> str:
    value = getattr(conditions, name)
    return _ABSENT if value is None else str(value)


def _describe(match: Match) -> str:
    if match.first_differing_step is None:
        return f"{match.tier}: all {match.steps} losses are the same"
    return (
        f"{match.tier}: the losses part at step {match.first_differing_step} of {match.steps}, "
        f"by at most {match.largest_relative_difference:.1e}"
    )


def _fix(match: Match) -> str:
    if match.differing:
        return f"These differ: {', '.join(match.differing)}. Restore them as captured."
    return "Look at the packages and variables that differ; if none does, at the machine itself."
