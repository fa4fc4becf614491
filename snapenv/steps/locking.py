"""Lock what was seen: packages, base image, baseline; then write the snapshot."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from snapenv.base.choose import choose_base
from snapenv.errors import SmokeTrainError, UsageError
from snapenv.lock.carry import VendorOptions
from snapenv.lock.check_files import check_files
from snapenv.lock.fetch import temporary_folder
from snapenv.lock.make_lock import make_lock, name_environment
from snapenv.lock.packages import Packages, lock_packages
from snapenv.lock.pins import refuse_what_cannot_be_carried
from snapenv.lock.store import make_snapshot, write_lock, write_measured, write_snapshot
from snapenv.model.facts import Facts
from snapenv.model.image import Tag
from snapenv.model.snapshot import (
    CHECK_FILES,
    DOCKERFILE,
    LOCK_FILE,
    MEASURED_FILE,
    SNAPSHOTS,
    Base,
    Lock,
)
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.ownership.claim import claim_path
from snapenv.ownership.staging import refuse_unwritable
from snapenv.program import program_digest
from snapenv.report.summary import lock_lines, summarize
from snapenv.secrets.refuse import refuse_leaking_texts
from snapenv.sizes import counted
from snapenv.steps.locked_before import Told, keep_lock, now, place, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.kept import Kept
    from snapenv.lock.carry import Fetch, Travelling
    from snapenv.model.carried import Collected
    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.outcome import Outcome
    from snapenv.model.results import CaptureResult
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Services, Target
    from snapenv.steps.capture_request import Capture
    from snapenv.steps.runnable import Runnable


class _Plan(Struct, frozen=True, kw_only=True):
    """The facts, and what follows from them alone."""

    facts: Facts
    tag: Tag
    base: Base
    parent: str | None  # the digest of the snapshot that it was made of
    keep_as: str | None = None  # the name under which the lock is kept


class Parent(Struct, frozen=True, kw_only=True):
    """What a new snapshot takes over from the one that it was made of."""

    digest: str
    base: Base | None = None  # None: it is chosen anew


def lock_environment(  # noqa: PLR0913 - two by name
    request: Capture,
    facts: Facts,
    target: Target,
    services: Services,
    *,
    parent: Parent | None = None,
    keep_as: str | None = None,
) -> Outcome[CaptureResult]:
    """Lock an environment, and write the snapshot whole or not at all.

    The caller holds ``request.output``, where that is given. ``keep_as`` is the name under which
    the lock is kept for the next capture.

    Raises:
        PlaceTakenError: The folder exists already.
        LockError: Something cannot be carried; it is named.
        BaseError: No base image fits.
    """
    plan = replace(_plan(request, facts, parent), keep_as=keep_as)
    if request.output:
        return _lock(request, plan, request.output, target, services)
    folder = Path(SNAPSHOTS, str(plan.tag))
    refuse_unwritable(folder)
    with claim_path(services.kept("locks"), folder):
        return _lock(request, plan, folder, target, services)


def _lock(
    request: Capture, plan: _Plan, folder: Path, target: Target, services: Services
) -> Outcome[CaptureResult]:
    facts = plan.facts
    refuse_what_cannot_be_carried(facts)
    _refuse_exports(request, facts, target)
    with temporary_folder(services) as fetched:
        options = _vendor_options(request, fetched)
        packages = lock_packages(facts, options, fetch_from(target, services), services)
        baseline = _baseline(request, facts, target, services)
        lock = make_lock(facts, packages, options, tag=plan.tag, base=plan.base, baseline=baseline)
        lock = replace(lock, parent=plan.parent)
        snapshot = _snapshot(lock, packages, services)
        refuse_leaking_texts(snapshot, services.secrets(), services.made())
        write_snapshot(snapshot, folder, scratch=fetched)
    notes = (
        *packages.warnings,
        *facts.environment.notes,
        *_loaded(facts),
        *_unused_gpu(baseline, facts),
        *_conda_scripts(facts),
    )
    told = _told(snapshot, notes)
    if plan.keep_as and baseline is None and lock.conda is None:
        keep_lock(plan.keep_as, snapshot.files, told, services, until_s=packages.until_s)
    return tell(told, folder, place(request, target))


def _plan(request: Capture, facts: Facts, parent: Parent | None) -> _Plan:
    tag = name_environment(facts.environment, purpose=request.purpose, level=request.level)
    from snapenv.preflight.captured import captured_warnings

    catalogue = load_catalogue()
    own = parent.base if parent else None
    base = own or choose_base(facts, catalogue, image=request.base, family=request.base_family)
    warnings = captured_warnings(facts, catalogue, site_packages=base.site_packages)
    return _Plan(
        facts=facts,
        tag=tag,
        base=replace(base, warnings=tuple(dict.fromkeys((*base.warnings, *warnings)))),
        parent=parent.digest if parent else None,
    )


def fetch_from(target: Target, services: Services) -> Fetch:
    """Return what fetches from a target the bytes of what no index has."""

    def fetch(missing: Travelling) -> Collected:
        from snapenv.probe.collect import collect

        distributions, files = missing.distributions, missing.plan.files
        packages = missing.packages
        counts = ((len(distributions) + len(packages), "package"), (len(files), "file"))
        what = " and ".join(counted(number, noun) for number, noun in counts if number)
        with services.progress.task(f"Fetching {what}"):
            return collect(
                target,
                distributions=[each.name for each in distributions],
                files=files,
                packages=[package.name for package in packages],
                carry=missing.beside,
                into=missing.into,
            )

    return fetch


def _vendor_options(request: Capture, fetched: Path) -> VendorOptions:
    return VendorOptions(
        prove=request.prove,
        vendor=request.vendor,
        anew=request.rehash,
        allow=request.allow,
        beside=request.carry,
        into=fetched,
    )


def _snapshot(lock: Lock, packages: Packages, services: Services) -> Snapshot:
    made = services.made()
    texts = _rendered(lock, made)
    return make_snapshot(
        lock,
        pylock=packages.pylock,
        dockerfile=texts.pop(DOCKERFILE).encode(),
        captured_at=now(),
        carried={
            **packages.carried,
            **{name: text.encode() for name, text in texts.items()},
            **check_files(lock, made),
        },
        hashed=packages.hashed,
    )


def _rendered(lock: Lock, made: Kept) -> dict[str, str]:
    """Return the texts of a snapshot but pylock.toml by name, also as written before."""
    known = (program_digest().encode(), msgspec.json.encode(lock))
    name = hashlib.sha256(b"\n".join(known)).hexdigest()
    texts = made.find_value(name, dict[str, str])
    if texts is None:
        from snapenv.render.dockerfile import render_dockerfile
        from snapenv.render.layers import split_lock

        layers = split_lock(lock)
        files = {layer.file: layer.content.decode() for layer in layers}
        measured = write_measured(lock)
        if measured:
            files[MEASURED_FILE] = measured.decode()
        kept = (*files, *CHECK_FILES)
        dockerfile = render_dockerfile(lock, layers, kept=kept)
        written = {LOCK_FILE: write_lock(lock).decode(), DOCKERFILE: dockerfile.decode()}
        texts = {**written, **files}
        made.keep_value(name, texts)
    return texts


def _refuse_exports(request: Capture, facts: Facts, target: Target) -> None:
    """See that exports which are asked for can be made, before anything is fetched.

    Raises:
        SmokeTrainError: ultralytics is not installed.
        UsageError: There is to be no baseline; or one is made on a GPU, and there is none.
    """
    if not request.exports:
        return
    if request.smoke is False:
        raise UsageError(
            "--exports are measured with the smoke-train, and --no-smoke leaves that out",
            hint="Leave out one of the two.",
        )
    _require_ultralytics(facts, target, leave_out="without --exports")
    from snapenv.steps.exporting import require_gpu

    require_gpu(request.exports, facts, _runnable(request, target))


def _runnable(request: Capture, target: Target) -> Runnable:
    from snapenv.steps.runnable import Runnable

    return Runnable(target=target, device=request.device, name=place(request, target))


def _require_ultralytics(facts: Facts, target: Target, *, leave_out: str) -> None:
    if facts.environment.find("ultralytics") is None:
        raise SmokeTrainError(
            f"ultralytics is not installed for {target.python}: there is nothing to train with",
            hint=f"Install ultralytics there, or capture {leave_out}.",
        )


def _baseline(
    request: Capture, facts: Facts, target: Target, services: Services
) -> Fingerprint | None:
    """Train for the losses to compare with, where ultralytics is there or it was asked for."""
    if request.smoke:
        _require_ultralytics(facts, target, leave_out="with --no-smoke")
    if request.smoke is False or facts.environment.find("ultralytics") is None:
        return None
    from snapenv.verify.smoke_train import smoke_train

    with services.progress.task("Smoke-train, for the baseline") as task:
        baseline = smoke_train(target, device=request.device, task=task)
    baseline = with_ranks(baseline, request.device, facts, target, services)
    if not request.exports:
        return baseline
    from snapenv.steps.exporting import with_exports

    return with_exports(baseline, _runnable(request, target), request.exports, facts, services)


def with_ranks(
    baseline: Fingerprint, device: str, facts: Facts, target: Target, services: Services
) -> Fingerprint:
    """Train on all devices at once too, where several are asked for.

    Raises:
        SmokeTrainError: They do not work together, so that nothing can be compared with them.
    """
    from snapenv.verify.ranks import find_defect
    from snapenv.verify.train_ranks import count_ranks, train_ranks

    count = count_ranks(device, gpus=len(facts.hardware.gpus))
    if not count:
        return baseline
    with services.progress.task("Smoke-train on several devices") as task:
        answer = train_ranks(target, device=device, task=task)
    defect = find_defect(count, answer)
    if defect:
        raise SmokeTrainError(
            f"several devices do not train together: {defect.actual} (expected: {defect.expected})",
            hint=f"{defect.fix} Or capture with one: --device 0.",
        )
    return answer.added_to(baseline)


def _loaded(facts: Facts) -> tuple[str, ...]:
    """Warn of what is in the memory of each program here, and does not travel."""
    if not facts.startup:
        return ()
    from snapenv.verify.compare import loaded_lines

    return loaded_lines(facts.startup)


def _conda_scripts(facts: Facts) -> Iterator[str]:
    """Name the scripts of conda's packages that are not run at a restore, or by an image."""
    conda = facts.conda
    for package in conda.packages if conda else ():
        if package.link_scripts:
            yield (
                f"{package.name} has scripts that conda runs: {', '.join(package.link_scripts)}; "
                "a restore does not run them, and what they made travels as files"
            )
    for script in conda.scripts if conda else ():
        yield (
            f"{script} does more than set constants: a container does it only in a shell "
            "that reads it"
        )


def _unused_gpu(baseline: Fingerprint | None, facts: Facts) -> tuple[str, ...]:
    """Warn of a baseline that was trained on the CPU although there is a GPU."""
    if baseline is None:
        return ()
    from snapenv.verify.device import find_unused_gpu

    unused = find_unused_gpu(baseline, [facts.hardware])
    if unused is None:
        return ()
    return (
        (
            f"the baseline is not from {unused.gpu}: it trained on the CPU: {unused.why}. "
            f"{unused.fix}"
        ),
    )


def _told(snapshot: Snapshot, notes: tuple[str, ...]) -> Told:
    lock = snapshot.lock
    return Told(
        result=summarize(lock, path="", digest=snapshot.digest, python=""),
        lines=tuple(lock_lines(lock)),
        of_base=lock.base.warnings,
        notes=notes,
    )
