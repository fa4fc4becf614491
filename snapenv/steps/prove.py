"""Prove that what came back is what was captured: the facts, the losses, what ran, how fast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import SmokeTrainError
from snapenv.model.facts import Facts
from snapenv.model.fingerprint import Fingerprint, Tier
from snapenv.model.hardware import Hardware
from snapenv.model.image import Image
from snapenv.model.outcome import Check, Verdict
from snapenv.probe.inspect_image import inspect_image
from snapenv.probe.probe import probe
from snapenv.verify.compare import compare_facts
from snapenv.verify.device import check_device
from snapenv.verify.fingerprint import (
    afterwards_check,
    compare_fingerprints,
    fingerprint_check,
    tier_limits,
)
from snapenv.verify.libraries import compare_libraries
from snapenv.verify.operators import compare_operators
from snapenv.verify.smoke_train import smoke_train
from snapenv.verify.speed import compare_speed, energy_lines
from snapenv.verify.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.outcome import Topic
    from snapenv.model.snapshot import Lock
    from snapenv.ports import Services, Target

_PACKAGES: tuple[Topic, ...] = ("python", "frameworks", "packages")
_CPU = "cpu"
_NO_CUDA = "gpu.torch"  # the preflight's check of a torch without CUDA
_READ = "its files were read on {}, and the image is the same; --rehash reads them again"


class Subject(Struct, frozen=True, kw_only=True):
    """What is proved, for its verdict: how people name it, and a command that shows what differs.

    ``checked`` are the checks that came before the proof, such as those of the preflight. With
    ``rehash`` the files of an ``image`` are read again, although it has not changed. ``below`` is
    the machine that a container runs on, and ``refused`` why its engine handed on no GPU.
    """

    name: str  # "example.com/team/env:train-…", ".venv"
    diff: str | None = None  # "snapenv diff snapshots/… .venv"
    existed: bool = False  # it was here already, and is inspected alone
    checked: tuple[Check, ...] = ()
    image: Image | None = None  # that the target is a container of
    rehash: bool = False
    below: Hardware | None = None
    refused: str | None = None
    base_python: Path | None = None  # the folder of the Python that a venv was made with


class Proved(Struct, frozen=True, kw_only=True):
    """The checks of one target; without a smoke-train there is no tier and no fingerprint.

    ``verdict`` counts what was checked before, too; ``baseline`` is the capture's fingerprint.
    ``limits`` are those of the tier, relative, at step 1 and later; ``notes`` are for people.
    """

    checks: tuple[Check, ...]
    verdict: Verdict
    facts: Facts
    tier: Tier | None = None
    fingerprint: Fingerprint | None = None
    baseline: Fingerprint | None = None
    limits: tuple[float, float] | None = None
    energy: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def prove_image(image: Image, target: Target, lock: Lock, services: Services) -> tuple[Check, ...]:
    """Look into an image that is new here, and compare it with a lock."""
    subject = Subject(name=image.id, image=image, rehash=True)
    facts, _ = _inspect(target, subject, services)
    return (*_entrypoint(image, services), *compare_facts(lock.facts, facts))


def _entrypoint(image: Image | None, services: Services) -> tuple[Check, ...]:
    """Name an entrypoint that does not start what a container is given; else say nothing."""
    if image is None or services.engine.starts_commands(image):
        return ()
    return (
        Check(
            id="entrypoint",
            ok=False,
            expected="one that starts the command that a container is given",
            actual=f"ENTRYPOINT {json.dumps(image.entrypoint)}",
            fix='Make an image of it with ENTRYPOINT [], or with one that ends in exec "$@".',
            part="image",
        ),
    )


def prove(  # noqa: PLR0913 - all but two by name
    target: Target,
    lock: Lock,
    *,
    smoke: bool | None,
    device: str,
    services: Services,
    subject: Subject | None = None,
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
    subject = subject or Subject(name="what came back")
    facts, notes = _inspect(target, subject, services)
    compared = (_with_base(check, subject) for check in compare_facts(lock.facts, facts))
    checks = (*_entrypoint(subject.image, services), *compared)
    if smoke is False or baseline is None:
        return Proved(
            checks=checks,
            verdict=_judge(checks, lock, subject),
            facts=facts,
            baseline=baseline,
            notes=notes,
        )
    with services.progress.task("Smoke-train, for the proof") as task:
        actual = smoke_train(target, device=device, task=task)
    match = compare_fingerprints(baseline, actual, same_packages=_same_packages(checks))
    same_hardware = _same_hardware(lock.facts, facts, baseline, actual)
    trained = (
        *checks,
        fingerprint_check(match, facts=checks),
        *_compare_runs(baseline, actual, same_hardware=same_hardware),
        *_device(actual, facts, subject),
    )
    return Proved(
        checks=trained,
        verdict=_judge(trained, lock, subject, tier=match.tier),
        facts=facts,
        tier=match.tier,
        fingerprint=actual,
        baseline=baseline,
        limits=tier_limits(match.tier),
        energy=energy_lines(actual.speed) if actual.speed else (),
        notes=notes,
    )


def _device(actual: Fingerprint, facts: Facts, subject: Subject) -> tuple[Check, ...]:
    """Judge whether a GPU was left unused, unless the preflight has said so already."""
    hardware = (facts.hardware, *((subject.below,) if subject.below else ()))
    check = check_device(actual, hardware, refused=subject.refused)
    told = {one.id for one in subject.checked}
    return (check,) if check and (check.fails or _NO_CUDA not in told) else ()


def _inspect(target: Target, subject: Subject, services: Services) -> tuple[Facts, tuple[str, ...]]:
    """Give the facts, and what is to be said of them."""
    with services.progress.task("Comparing every file with the lock"):
        if subject.image is None:
            hashes, fresh = services.kept("hashes"), not subject.existed
            return probe(target, hashes=hashes, rehash=subject.rehash, fresh=fresh), ()
        inspection = inspect_image(subject.image, target, services, rehash=subject.rehash)
        return inspection.facts, (_READ.format(inspection.day),) if inspection.again else ()


def _with_base(check: Check, subject: Subject) -> Check:
    """Say of another Python where it lies."""
    if check.topic != "python" or check.ok or subject.base_python is None:
        return check
    return replace(check, actual=f"{check.actual}, of {subject.base_python}")


def _same_packages(checks: Sequence[Check]) -> bool:
    return not any(check.fails for check in checks if check.topic in _PACKAGES)


def _same_hardware(
    captured: Facts, current: Facts, expected: Fingerprint, actual: Fingerprint
) -> bool:
    """Say whether both trained on one model of GPU, or of CPU, whose name no training tells."""
    devices = (expected.conditions.device, actual.conditions.device)
    if devices != (_CPU, _CPU):
        return devices[0] == devices[1]
    return captured.hardware.system.cpu == current.hardware.system.cpu


def _compare_runs(
    expected: Fingerprint, actual: Fingerprint, *, same_hardware: bool
) -> Iterator[Check]:
    """Compare all of two smoke-trains but their losses."""
    yield from compare_operators(expected, actual, same_hardware=same_hardware)
    yield from compare_libraries(expected, actual)
    last = (afterwards_check(expected, actual), compare_speed(expected, actual))
    yield from (check for check in last if check)


def _judge(
    checks: Sequence[Check], lock: Lock, subject: Subject, *, tier: Tier | None = None
) -> Verdict:
    passed = (
        f"{subject.name} is {lock.tag}"
        if subject.existed
        else f"{lock.tag} is back in {subject.name}"
    )
    return judge(
        (*subject.checked, *checks),
        passed=passed if tier else f"{passed}: by its facts alone, without a smoke-train",
        failed=f"{subject.name} is not {lock.tag}",
        tier=tier,
        diff=subject.diff,
    )
