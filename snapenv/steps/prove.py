"""Prove that what came back is what was captured: the facts, the losses, what ran, how fast."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import SmokeTrainError
from snapenv.model.exports import Export
from snapenv.model.facts import Facts
from snapenv.model.fingerprint import Fingerprint, Tier
from snapenv.model.image import Image
from snapenv.model.outcome import Check, Verdict
from snapenv.probe.inspect_image import inspect_image
from snapenv.probe.probe import probe
from snapenv.steps.outside import check_outside
from snapenv.steps.still_locked import keep_as_locked
from snapenv.verify.compare import compare_facts
from snapenv.verify.device import check_device
from snapenv.verify.exports import export_checks
from snapenv.verify.fingerprint import (
    afterwards_check,
    compare_fingerprints,
    fingerprint_check,
    tier_limits,
)
from snapenv.verify.libraries import compare_libraries
from snapenv.verify.operators import compare_operators
from snapenv.verify.ranks import check_ranks, compare_topology
from snapenv.verify.smoke_train import smoke_train
from snapenv.verify.speed import compare_speed, energy_lines
from snapenv.verify.train_ranks import count_ranks, train_ranks
from snapenv.verify.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.exports import ExportFormat
    from snapenv.model.image import Image
    from snapenv.model.outcome import Topic
    from snapenv.model.snapshot import Lock
    from snapenv.ports import Services, Target
    from snapenv.steps.runnable import Runnable

_PACKAGES: tuple[Topic, ...] = ("python", "frameworks", "packages")
_CPU = "cpu"
_SEVERAL = 2
_NO_CUDA = "gpu.torch"  # the preflight's check of a torch without CUDA
_COMPARING = "Comparing every file with the lock"
_READ = "its files were read on {}, and the image is the same; --rehash reads them again"


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
    exports: tuple[Export, ...] = ()  # in the order in which they were asked for


class _Trained(Struct, frozen=True, kw_only=True):
    """What a smoke-train adds to a proof; nothing where there was none."""

    checks: tuple[Check, ...] = ()
    tier: Tier | None = None
    fingerprint: Fingerprint | None = None
    energy: tuple[str, ...] = ()


def prove_image(image: Image, target: Target, lock: Lock, services: Services) -> tuple[Check, ...]:
    """Look into an image that is new here, and compare it with a lock."""
    with services.progress.task(_COMPARING):
        facts = inspect_image(image, target, services, rehash=True).facts
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
    runnable: Runnable,
    lock: Lock,
    *,
    smoke: bool | None,
    services: Services,
    existed: bool = False,
    rehash: bool = False,
    diff: str | None = None,
    exports: Sequence[ExportFormat] = (),
) -> Proved:
    """Compare the facts, then train where the lock has losses to compare with.

    What ``existed`` before was not made by this restore. With ``rehash`` every file is read again.
    ``diff`` is a command that shows what differs, such as ``snapenv diff snapshots/… .venv``.

    Raises:
        SmokeTrainError: A smoke-train is asked for and the lock has no baseline.
        UsageError: One of ``exports`` is made on a GPU, and there is none.
        ExportError, InstallError, LockError, PackageIndexError: No export can be tried.
    """
    baseline = lock.baseline
    if smoke and baseline is None:
        raise SmokeTrainError(
            f"{lock.tag} was captured without a smoke-train: there are no losses to compare with",
            hint="Capture again with --smoke, or restore with --no-smoke.",
        )
    facts, notes = _inspect(runnable, services, existed=existed, rehash=rehash)
    tried = _try_exports(runnable, exports, facts, services) if exports else ()
    checks = _compare_with_lock(runnable, lock, facts, services, rehash=rehash)
    checks = (*checks, *export_checks(tried, baseline))
    passed = (
        f"{runnable.name} is {lock.tag}" if existed else f"{lock.tag} is back in {runnable.name}"
    )
    if smoke is False or baseline is None:
        passed, trained = f"{passed}: verified without a smoke-train", _Trained()
    else:
        trained = _train(runnable, lock, baseline, facts, checks, services)
    checks = (*checks, *trained.checks)
    return Proved(
        checks=checks,
        verdict=judge(
            (*runnable.checked, *checks),
            passed=passed,
            failed=f"{runnable.name} is not {lock.tag}",
            tier=trained.tier,
            diff=diff,
        ),
        facts=facts,
        tier=trained.tier,
        fingerprint=trained.fingerprint,
        baseline=baseline,
        limits=tier_limits(trained.tier) if trained.tier else None,
        energy=trained.energy,
        notes=notes,
        exports=tried,
    )


def _try_exports(
    runnable: Runnable, formats: Sequence[ExportFormat], facts: Facts, services: Services
) -> tuple[Export, ...]:
    from snapenv.steps.exporting import require_gpu, try_exports_of  # Jinja comes with it

    require_gpu(formats, facts, runnable)
    return try_exports_of(runnable, formats, facts, services)


def _compare_with_lock(
    runnable: Runnable, lock: Lock, facts: Facts, services: Services, *, rehash: bool
) -> tuple[Check, ...]:
    """Compare the facts; an image without a difference is known as the lock's from now on."""
    compared = (
        replace(check, actual=f"{check.actual}, of {runnable.base_python}")
        if check.topic == "python" and not check.ok and runnable.base_python
        else check
        for check in compare_facts(lock.facts, facts)
    )
    image = runnable.image
    outside = check_outside(image, lock, services, rehash=rehash) if image else ()
    checks = (*_entrypoint(image, services), *compared, *outside)
    if image and not any(check.fails for check in checks):
        keep_as_locked(image.id, services)
    return checks


def _train(  # noqa: PLR0913, PLR0917 - both sides, and what is known of them
    runnable: Runnable,
    lock: Lock,
    baseline: Fingerprint,
    facts: Facts,
    checks: tuple[Check, ...],
    services: Services,
) -> _Trained:
    """Train, and compare with the capture's training; ``checks`` are those of the facts."""
    with services.progress.task("Smoke-train, for the proof") as task:
        actual = smoke_train(runnable.target, device=runnable.device, task=task)
    actual, of_ranks = _train_ranks(runnable, lock, facts, actual, services)
    same_packages = not any(check.fails for check in checks if check.topic in _PACKAGES)
    match = compare_fingerprints(baseline, actual, same_packages=same_packages)
    cpus = (lock.hardware.system.cpu, facts.hardware.system.cpu)
    return _Trained(
        checks=(
            fingerprint_check(match, facts=checks),
            *_compare_trainings(baseline, actual, cpus),
            *_device(actual, facts, runnable),
            *of_ranks,
        ),
        tier=match.tier,
        fingerprint=actual,
        energy=energy_lines(actual.speed) if actual.speed else (),
    )


def _train_ranks(
    runnable: Runnable, lock: Lock, facts: Facts, trained: Fingerprint, services: Services
) -> tuple[Fingerprint, tuple[Check, ...]]:
    """Train on all devices at once, where several are asked for; add that to the fingerprint."""
    count = runnable.ranks
    if count is None:
        count = count_ranks(runnable.device, gpus=len(facts.hardware.gpus))
    if count < _SEVERAL:
        return trained, ()
    with services.progress.task("Smoke-train on several devices") as task:
        answer = train_ranks(runnable.target, device=runnable.device, task=task)
    links = compare_topology(lock.hardware.topology, facts.hardware.topology)
    checks = check_ranks(count, answer, lock.baseline)
    return answer.added_to(trained), (*checks, *((links,) if links else ()))


def _compare_trainings(
    expected: Fingerprint, actual: Fingerprint, cpus: tuple[str | None, str | None]
) -> tuple[Check, ...]:
    """Compare what two smoke-trains tell beside their losses; ``cpus`` are both machines'."""
    devices = (expected.conditions.device, actual.conditions.device)
    same_hardware = devices[0] == devices[1]
    if devices == (_CPU, _CPU):  # whose name no training tells
        same_hardware = cpus[0] == cpus[1]
    others = (afterwards_check(expected, actual), compare_speed(expected, actual))
    return (
        *compare_operators(expected, actual, same_hardware=same_hardware),
        *compare_libraries(expected, actual),
        *(check for check in others if check),
    )


def _device(actual: Fingerprint, facts: Facts, runnable: Runnable) -> tuple[Check, ...]:
    """Judge whether a GPU was left unused, unless the preflight has said so already."""
    hardware = (facts.hardware, *((runnable.below,) if runnable.below else ()))
    check = check_device(actual, hardware, refused=runnable.refused)
    checked = {check.id for check in runnable.checked}
    return (check,) if check and (check.fails or _NO_CUDA not in checked) else ()


def _inspect(
    runnable: Runnable, services: Services, *, existed: bool, rehash: bool
) -> tuple[Facts, tuple[str, ...]]:
    """Return the facts, and what is to be said of them."""
    with services.progress.task(_COMPARING):
        if runnable.image is None:
            hashes = services.kept("hashes")
            return probe(runnable.target, hashes=hashes, rehash=rehash, fresh=not existed), ()
        inspection = inspect_image(runnable.image, runnable.target, services, rehash=rehash)
        return inspection.facts, (_READ.format(inspection.day),) if inspection.again else ()
