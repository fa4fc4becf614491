"""Compare two smoke-trains step by step. Pure: values in, a tier and a check out."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.causes import find_cause
from snapenv.model.fingerprint import Tier
from snapenv.model.outcome import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.fingerprint import Conditions, Fingerprint
    from snapenv.model.outcome import Part, Topic

_CPU = "cpu"
_ABSENT = "absent"
_HASH_DIGITS = 12  # that people compare
_CAUSES = 5  # that a line names
_SOFTWARE: tuple[Topic, ...] = ("python", "frameworks", "files", "kernels", "variables")

_PACKAGES = ("ultralytics", "torch", "numpy", "opencv", "cudnn", "albumentations")
_CONDITIONS = ("device", "threads", "tf32", *_PACKAGES)
_PLANNED = ("ultralytics", "images_sha256", "arguments", "threads", "tf32")  # the same everywhere

# The largest relative difference at step 1, and at every later one, and on which GPUs that was
# measured: python -m tests.gpu tolerances writes these three.
_CLOSE = (1e-6, 1e-4)
_OTHER_DEVICE = (1e-3, 5e-2)
_MEASURED_ON: tuple[str, ...] = ()

_EXPECTED: dict[Tier, str] = {
    "identical": "every loss bit for bit",
    "close": "within {:.0e} at step 1 and {:.0e} after it".format(*_CLOSE),
    "other device": "within {:.0e} at step 1 and {:.0e} after it, on another device".format(
        *_OTHER_DEVICE
    ),
    "different": "the losses of the capture",
}
_AFTERWARDS = "what follows the last step: validation and the final checkpoint"
_PLACES = re.compile(r"(/[^\s'\",:]+|0x[0-9a-f]+|\d+)")  # what differs between two runs
_FAILURES = (  # what a failure says, its cause, and what to do
    (
        re.compile(r"weights.only|unsupported global", re.IGNORECASE),
        "torch 2.6 and newer loads weights only by default, which ultralytics before 8.3 lacks",
        "Use ultralytics 8.3 or newer, or a torch before 2.6.",
    ),
    (
        re.compile(r"torchvision::nms"),
        "torch and torchvision are from different builds",
        "Install both from one index, in one command.",
    ),
    (
        re.compile(r"numpy is not available|'numpy' has no attribute", re.IGNORECASE),
        "ultralytics or torch is older than this NumPy",
        "Use a NumPy that was current for that ultralytics.",
    ),
    (
        re.compile(r"out of memory", re.IGNORECASE),
        "validation takes batches of twice the size",
        "Free the GPU's memory: see what nvidia-smi lists.",
    ),
)
_UNCALIBRATED = "; the tolerances are not yet measured on a GPU"


class Change(Struct, frozen=True):
    """A condition that is not the same, as people read it; ``name`` is its field or argument."""

    name: str  # "torch", "device", "lr0"
    expected: str
    actual: str

    def __str__(self) -> str:
        """Return ``torch 2.6.0 → 2.11.0``."""
        return f"{self.name} {self.expected} → {self.actual}"


class Match(Struct, frozen=True, kw_only=True):
    """How near two fingerprints are; steps count from 1, differences are relative."""

    tier: Tier
    steps: int  # of the longer one
    first_differing_step: int | None  # None where every loss is the same bit for bit
    largest_relative_difference: float  # infinite where a loss is missing or not finite
    differing: tuple[Change, ...]  # conditions
    on_gpu: bool  # either of them


def compare_fingerprints(
    expected: Fingerprint, actual: Fingerprint, *, same_packages: bool
) -> Match:
    """Find the best tier that two smoke-trains reach; which of them is first is no matter.

    ``same_packages`` is what comparing the facts gave; conditions that differ take it back.
    Losses of other data, other arguments or another ultralytics are never better than
    ``different``, nor are losses that are not finite. The same holds for TF32 and for the number
    of threads: the smoke-train sets both itself, so that something undid it.
    """
    conditions = (expected.conditions, actual.conditions)
    differences = expected.relative_differences(actual)
    first = expected.first_differing_step(actual)
    changes = tuple(_changes(*conditions))
    same_packages = same_packages and not any(change.name in _PACKAGES for change in changes)
    tier: Tier = "different"
    is_as_planned = all(
        getattr(conditions[0], name) == getattr(conditions[1], name) for name in _PLANNED
    )
    if is_as_planned and all(map(math.isfinite, differences)):
        tier = _choose_tier(*conditions, differences, same_packages=same_packages, first=first)
    return Match(
        tier=tier,
        steps=len(differences),
        first_differing_step=first,
        largest_relative_difference=max(differences, default=math.inf),
        differing=changes,
        on_gpu=any(side.device != _CPU for side in conditions),
    )


def fingerprint_check(match: Match, *, facts: Sequence[Check] = ()) -> Check:
    """Say which tier was reached; ``different`` alone fails, and names where to look.

    ``facts`` are the checks of what the two environments hold: those that fail are the likely
    cause, together with the conditions that differ.
    """
    ok = match.tier != "different"
    causes = (*map(str, match.differing), *_failing(facts))
    return Check(
        id="fingerprint",
        ok=ok,
        expected=_EXPECTED[match.tier],
        actual=_describe(match) + (_UNCALIBRATED if match.on_gpu and not _MEASURED_ON else ""),
        fix=None if ok else _fix(match, causes),
        part=_part(match, has_other_cause=len(causes) > len(match.differing)),
    )


def afterwards_check(expected: Fingerprint, actual: Fingerprint) -> Check | None:
    """Judge what followed the last step; None where it went well, then as now.

    A failure that the capture had too is a warning, and so is one that an older capture did not
    look for. A new one is an error of the workload, with its cause where that is known.
    """
    captured, failure = expected.afterwards, actual.afterwards
    if failure is None and captured is None:
        return None
    if failure is None:
        return Check(
            id="afterwards",
            ok=True,
            expected=f"what failed at the capture: {captured}",
            actual="what follows training works now, and failed at the capture",
            part="workload",
        )
    known = captured is not None and _kind(captured) == _kind(failure)
    is_known = bool(expected.operators) or captured is not None
    cause, fix = _explain(failure)
    return Check(
        id="afterwards",
        ok=False,
        expected=f"it fails as it did at the capture: {captured}" if known else _AFTERWARDS,
        actual=(
            "training itself works, what follows it fails as it did at the capture: "
            if known
            else ""
        )
        + failure
        + (f" ({cause})" if cause else ""),
        fix=fix,
        part="workload",
        severity="warning" if known or not is_known else "error",
    )


def _kind(failure: str) -> str:
    """Return a failure without its paths, addresses and numbers."""
    return _PLACES.sub("…", failure)


def _explain(failure: str) -> tuple[str, str]:
    """Return the cause, empty where it is unknown, and what to do."""
    for says, known, fix in _FAILURES:
        if says.search(failure):
            return known, fix
    general = find_cause(failure)
    if general:
        return general.reason, general.fix
    return "", "Train for one epoch in this environment yourself, and read the whole error."


def tier_limits(tier: Tier) -> tuple[float, float] | None:
    """Return the largest relative difference of a loss, at step 1 and later; None for no such."""
    return {"close": _CLOSE, "other device": _OTHER_DEVICE}.get(tier)


def _choose_tier(
    expected: Conditions,
    actual: Conditions,
    differences: Sequence[float],
    *,
    same_packages: bool,
    first: int | None,
) -> Tier:
    """Try the tiers, the strictest first; all differences are finite."""
    same_device = expected.device == actual.device
    same_kind = (expected.device == _CPU) == (actual.device == _CPU)
    if same_packages and same_device and differences and first is None:
        return "identical"
    if same_packages and same_kind and _within(differences, _CLOSE):
        return "close"
    if not (same_device or expected.tf32 or actual.tf32) and _within(differences, _OTHER_DEVICE):
        return "other device"
    return "different"


def _within(differences: Sequence[float], limits: tuple[float, float]) -> bool:
    first, later = limits
    return (
        bool(differences)
        and differences[0] <= first
        and all(difference <= later for difference in differences[1:])
    )


def _changes(expected: Conditions, actual: Conditions) -> Iterator[Change]:
    for name in _CONDITIONS:
        values = [getattr(side, name) for side in (expected, actual)]
        if values[0] != values[1]:
            yield Change(name, *(_ABSENT if value is None else str(value) for value in values))
    for name in sorted(expected.arguments.keys() | actual.arguments.keys()):
        arguments = [side.arguments.get(name, _ABSENT) for side in (expected, actual)]
        if arguments[0] != arguments[1]:
            yield Change(name, *arguments)
    if expected.images_sha256 != actual.images_sha256:
        digests = (side.images_sha256[:_HASH_DIGITS] for side in (expected, actual))
        yield Change("images", *digests)


def _failing(facts: Sequence[Check]) -> Iterator[str]:
    """Name packages that fail as ``numpy 2.4.6 → 2.4.5``, other facts by the id of their check."""
    for check in facts:
        if check.fails and check.package:
            yield str(Change(check.package, check.expected, check.actual))
        elif check.fails and check.topic in _SOFTWARE:
            yield check.id


def _part(match: Match, *, has_other_cause: bool) -> Part:
    """Return where the cause of other losses lies: with nothing that differs, in the training."""
    if match.tier != "different" or not (match.differing or has_other_cause):
        return "workload"
    only_device = all(change.name == "device" for change in match.differing)
    return "host" if only_device and not has_other_cause else "environment"


def _describe(match: Match) -> str:
    if match.first_differing_step is None:
        same = f"{match.tier}: all {match.steps} losses are the same"
        return f"{same}, of other packages" if match.tier == "different" else same
    return (
        f"{match.tier}: the losses differ from step {match.first_differing_step} of {match.steps}, "
        f"by at most {match.largest_relative_difference:.1e}"
    )


def _fix(match: Match, causes: Sequence[str]) -> str:
    where = _where(match)
    if causes:
        more = f" and {len(causes) - _CAUSES} more" if len(causes) > _CAUSES else ""
        return f"These differ: {', '.join(causes[:_CAUSES])}{more}. Restore them as captured."
    return f"No fact differs{where}. Train again; if it repeats, check the machine."


def _where(match: Match) -> str:
    """Say what a step tells: a first loss comes before any backward pass."""
    step = match.first_differing_step
    if step is None:
        return ""
    if step == 1:
        return (
            ", and the first loss does: the images, the model or the loss are computed differently"
        )
    return ", and the first loss holds: the backward pass or the optimizer is computed differently"
