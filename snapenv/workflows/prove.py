"""Prove that what came back is what was captured: the facts, then the losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from snapenv.errors import SmokeTrainError
from snapenv.model.fingerprint import Fingerprint, Tier
from snapenv.model.outcome import Check
from snapenv.probe.probe import probe
from snapenv.verify.compare import compare_facts
from snapenv.verify.fingerprint import compare_fingerprints, fingerprint_check
from snapenv.verify.smoke_train import smoke_train

if TYPE_CHECKING:
    from snapenv.model.snapshot import Lock
    from snapenv.ports import Outside, Target

_PACKAGES = ("python", "frameworks", "distribution")


@dataclass(frozen=True, kw_only=True, slots=True)
class Proved:
    """The checks of one target; without a smoke-train there is no tier and no fingerprint."""

    checks: tuple[Check, ...]
    tier: Tier | None = None
    fingerprint: Fingerprint | None = None


def prove_facts(target: Target, lock: Lock, outside: Outside) -> tuple[Check, ...]:
    """Probe a target and compare with a lock."""
    with outside.progress.task("Comparing every file with the lock"):
        return compare_facts(lock.facts, probe(target))


def prove(
    target: Target, lock: Lock, *, smoke: bool | None, device: str, outside: Outside
) -> Proved:
    """Compare the facts, then train on ``device`` where the lock has losses to compare with.

    Raises:
        SmokeTrainError: A smoke-train is asked for and the lock has no baseline.
    """
    baseline = lock.baseline
    if smoke and baseline is None:
        raise SmokeTrainError(
            f"{lock.tag} was captured without a smoke-train: there are no losses to compare with",
            hint="Capture again with --smoke, or restore with --no-smoke.",
        )
    checks = prove_facts(target, lock, outside)
    if smoke is False or baseline is None:
        return Proved(checks=checks)
    with outside.progress.task("Smoke-train, for the proof") as task:
        seen = smoke_train(target, device=device, task=task)
    same = all(check.ok for check in checks if check.id.startswith(_PACKAGES))
    match = compare_fingerprints(baseline, seen, same_packages=same)
    return Proved(checks=(*checks, fingerprint_check(match)), tier=match.tier, fingerprint=seen)
