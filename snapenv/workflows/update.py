"""Change an environment on purpose, and say what came of it."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import ConflictError, NotFoundError, UsageError
from snapenv.lock.ask import uv_here
from snapenv.lock.fetch import temporary_folder
from snapenv.lock.keep_edits import KeptEdits, keep_edits
from snapenv.lock.resolve import Resolution, Resolving, choose_wheels, resolve
from snapenv.lock.store import read_snapshot
from snapenv.model.facts import Facts
from snapenv.model.hardware import image_architecture
from snapenv.model.image import Tag
from snapenv.model.outcome import Check, Verdict
from snapenv.model.results import UpdateOutcome, UpdateResult
from snapenv.model.snapshot import OVERLAY, PYLOCK_FILE, VENDOR, Snapshot
from snapenv.model.update import Changes, Edits, Move
from snapenv.model.wheels import FromBase, IndexWheel, Pinned, Vendored
from snapenv.ownership.claim import claim_path
from snapenv.ownership.staging import refuse_unwritable
from snapenv.pylock import write_pylock
from snapenv.sizes import first_of
from snapenv.steps.capture_request import Capture
from snapenv.steps.install import Installation, as_held, installed
from snapenv.steps.locking import Parent, lock_environment
from snapenv.steps.snapshots import read_folder
from snapenv.steps.source import SnapshotFolder, resolve_snapshot
from snapenv.steps.unpack import unpacked
from snapenv.verify.differences import differences, sections
from snapenv.verify.losses import losses_side_by_side, losses_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.outcome import Outcome
    from snapenv.model.results import CaptureResult
    from snapenv.model.snapshot import Lock
    from snapenv.model.wheels import Locked
    from snapenv.ports import Services

_NAMED = 6  # moves in the last line


class Update(Struct, frozen=True, kw_only=True):
    """What a user may ask of an update; ``confirm`` is asked whether others may move, too."""

    snapshot: Path
    changes: Changes
    repository: str
    output: Path | None = None
    allow_moves: bool = False
    confirm: Callable[[str], bool] | None = None
    edits: Edits | None = None
    smoke: bool | None = None
    device: str = "auto"
    mirror: str | None = None


class _Planned(Struct, frozen=True, kw_only=True):
    """What is to be installed in the place of a snapshot."""

    parent: Snapshot
    facts: Facts  # of the parent, with the Python that is wanted
    resolution: Resolution
    wheels: Mapping[str, IndexWheel]  # that were not there, or not for this Python
    kept: KeptEdits


def update(request: Update, services: Services) -> UpdateOutcome:
    """Resolve with all else held, install, prove and train, and write a new snapshot.

    The answer is how it differs from the one that was updated, with the losses of both.

    Raises:
        NotFoundError: There is no such snapshot, or no such package in it or on an index.
        ConflictError: What is asked for does not fit what stays.
        PlaceTakenError: The output exists already.
        InstallError: A package, or the Python, cannot be had.
    """
    named = resolve_snapshot(request.snapshot, repository=request.repository)
    with unpacked(named, services, required=True) as source:
        if not isinstance(source, SnapshotFolder):
            raise UsageError(
                f"{request.snapshot} is an image",
                hint="Name the snapshot: a folder that snapenv capture wrote, or an archive of it.",
            )
        return _update(request, read_folder(source), services)


def _update(request: Update, parent: Snapshot, services: Services) -> UpdateOutcome:
    _refuse_impossible(parent.lock, request.changes, machine=os.uname().machine)
    with _holding(request.output, services), temporary_folder(services) as scratch:
        planned = _plan(request, parent, services)
        if not planned.resolution.moves and planned.facts == parent.lock.facts:
            return _unchanged(request, planned)
        installation = Installation(
            snapshot=_changed(planned),
            scratch=scratch,
            python=request.changes.python,
            device=request.device,
            mirror=request.mirror,
        )
        with installed(installation, services) as made:
            captured = lock_environment(
                _capture(request, parent.lock),
                as_held(made.facts, parent.lock.facts),
                made.target,
                services,
                parent=Parent(
                    digest=parent.digest,
                    base=parent.lock.base if _keeps_base(parent.lock, request.changes) else None,
                ),
            )
    return _outcome(parent, planned, captured)


@contextlib.contextmanager
def _holding(output: Path | None, services: Services) -> Iterator[None]:
    """Hold the place of the new snapshot, where it is known before all else."""
    if output is None:
        yield
        return
    refuse_unwritable(output)
    with claim_path(services.kept("locks"), output):
        yield


def _refuse_impossible(lock: Lock, changes: Changes, *, machine: str) -> None:
    """Refuse what no resolver need be asked for.

    An image may be built for a machine that the engine emulates; a venv is installed and looked at
    by this one.

    Raises:
        NotFoundError: A package is not in the snapshot.
        UsageError: A package is there already, or is named twice.
        ConflictError: The environment is conda's, PyPy's or of another kind of machine, or the base
            image's own is to change.
    """
    if lock.conda:
        raise ConflictError(
            f"{lock.tag} is conda's, and uv holds none of its packages",
            hint="Update it with conda, and capture again.",
        )
    if lock.environment.interpreter.implementation != "cpython":
        raise ConflictError(
            f"{lock.tag} runs on {lock.environment.interpreter.implementation}, and only CPython "
            "can be updated",
            hint="Update it with pip, and capture again.",
        )
    _refuse_names(lock, changes)
    inherits = lock.base.site_packages == "inherited"
    needed, actual = lock.hardware.system.architecture, image_architecture(machine)
    if needed != actual and not inherits:
        raise ConflictError(
            f"{lock.tag} is for {needed}, and this machine is {actual}",
            hint=f"Update it on a machine of {needed}.",
        )
    if changes.python and inherits:
        raise ConflictError(
            f"the Python of {lock.tag} is that of {lock.base.image}",
            hint="Capture from a container of another base image.",
        )
    of_base = [
        name
        for name in (*changes.remove, *(each.name for each in changes.upgrade))
        if isinstance(lock.packages[name], FromBase) and (name in changes.remove or name == "torch")
    ]
    if of_base:
        raise ConflictError(
            f"{of_base[0]} is part of {lock.base.image}",
            hint="Capture from a container of another base image.",
        )


def _refuse_names(lock: Lock, changes: Changes) -> None:
    known = lock.packages.keys()
    names = [*changes.remove, *(each.name for each in changes.upgrade)]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise NotFoundError(
                f"{name} is not in {lock.tag}", hint=f"{hint}Bring it in with --add {name}."
            )
    for each in changes.add:
        if each.name in known:
            version = next(
                distribution.version
                for distribution in lock.environment.distributions
                if distribution.name == each.name
            )
            raise UsageError(
                f"{each.name} {version} is in {lock.tag} already",
                hint=f"Move it with --upgrade {each}.",
            )
    names += [each.name for each in changes.add]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"{twice} is named twice", hint="Name each package once.")


def _plan(request: Update, parent: Snapshot, services: Services) -> _Planned:
    """Resolve, and put together what is to be installed; without moves, only that."""
    lock, changes = parent.lock, request.changes
    facts = _with_python(lock.facts, changes.python)
    uv = uv_here(services)
    resolving = Resolving(
        snapshot=parent,
        changes=changes,
        uv=uv,
        facts=facts,
        allow_moves=request.allow_moves,
    )
    with services.progress.task("Resolving") as task:
        resolution = resolve(resolving, task)
    price = resolution.price
    if price and not (request.confirm and request.confirm(price.moves)):
        raise price.refused()
    with services.progress.task("Asking for the wheels") as task:
        wheels = choose_wheels(
            resolution, facts, uv, task, everything=_changes_minor(lock, changes)
        )
    moving = {move.name for move in resolution.moves}
    kept = keep_edits(
        parent,
        resolution.moves,
        {name: wheel for name, wheel in wheels.items() if name in moving},
        read_record=lambda wheel: services.wheels.record(wheel).text,
        edits=request.edits,
    )
    return _Planned(parent=parent, facts=facts, resolution=resolution, wheels=wheels, kept=kept)


def _with_python(facts: Facts, version: str | None) -> Facts:
    """Return facts with another Python; a minor version that it has already is no other."""
    interpreter = facts.environment.interpreter
    if version is None or f"{interpreter.version}.".startswith(f"{version}."):
        return facts
    environment = replace(facts.environment, interpreter=replace(interpreter, version=version))
    return replace(facts, environment=environment)


def _changes_minor(lock: Lock, changes: Changes) -> bool:
    minor = lock.environment.interpreter.minor
    return changes.python is not None and not f"{changes.python}.".startswith(f"{minor}.")


def _keeps_base(lock: Lock, changes: Changes) -> bool:
    """Return whether the base stays as it is; one of another family has what the packages need."""
    return lock.base.family == "pytorch" and not _changes_minor(lock, changes)


def _changed(planned: _Planned) -> Snapshot:
    """Return the snapshot to install, which is not one that is written."""
    parent, kept = planned.parent, planned.kept
    packages = _packages(parent.lock, planned)
    lock = replace(
        parent.lock,
        packages=packages,
        environment=planned.facts.environment,
        overlay=kept.names,
    )
    vendored = {
        each.wheel.file for each in packages.values() if isinstance(each, Vendored) and each.wheel
    }
    travelling = {each.file for each in packages.values() if isinstance(each, Pinned) and each.file}
    tools = {lock.installer.file}
    return replace(
        parent,
        lock=lock,
        files={
            **{
                name: content
                for name, content in parent.files.items()
                if not name.startswith((f"{OVERLAY}/", f"{VENDOR}/"))
                or name in vendored | travelling | tools
            },
            **kept.files,
            PYLOCK_FILE: write_pylock(
                packages,
                machine=lock.hardware.system.machine,
                python=lock.environment.interpreter.minor,
            ),
        },
    )


def _packages(lock: Lock, planned: _Planned) -> dict[str, Locked]:
    gone = {move.name for move in planned.resolution.moves if move.after is None}
    stay = {name: each for name, each in lock.packages.items() if name not in gone}
    new = {name: Pinned(wheel=wheel, proof="none") for name, wheel in planned.wheels.items()}
    return dict(sorted({**stay, **new}.items()))


def _capture(request: Update, lock: Lock) -> Capture:
    """Ask for a capture of the kind that the snapshot was."""
    tag = Tag.parse(lock.tag)
    travels = any(isinstance(each, Pinned) and each.file for each in lock.packages.values())
    is_system = lock.base.family != "pytorch"
    return Capture(
        output=request.output,
        purpose=tag.purpose,
        level=tag.level,
        base=lock.base.image if is_system and not _changes_minor(lock, request.changes) else None,
        base_family=lock.base.family if is_system else None,
        smoke=request.smoke,
        device=request.device,
        prove=lock.prove,
        vendor="all" if travels else "missing",
        allow=lock.allowed,
    )


def _unchanged(request: Update, planned: _Planned) -> UpdateOutcome:
    """Say that there is nothing to change; no snapshot is written."""
    named = " and ".join(sorted(request.changes.names)) or f"Python {request.changes.python}"
    return UpdateOutcome(
        command="update",
        result=UpdateResult(parent=planned.parent.digest, moves=()),
        checks=(
            Check(
                id="change",
                ok=False,
                expected="something to change",
                actual=f"{named} stays as it is with all else held",
                fix="Name another version, or let others move with --allow-moves.",
            ),
        ),
        lines=("nothing was written",),
        warnings=planned.resolution.warnings,
    )


def _outcome(
    parent: Snapshot, planned: _Planned, captured: Outcome[CaptureResult]
) -> UpdateOutcome:
    result = captured.result
    lock = read_snapshot(Path(result.path)).lock
    differing = differences(parent.lock.facts, lock.facts)
    losses = losses_side_by_side(
        (parent.lock.baseline, parent.lock.facts), (lock.baseline, lock.facts)
    )
    moves = planned.resolution.moves
    pythons = [each.environment.interpreter.version for each in (parent.lock, lock)]
    return UpdateOutcome(
        command="update",
        result=UpdateResult(
            parent=parent.digest,
            moves=moves,
            path=result.path,
            tag=result.tag,
            digest=result.digest,
            differences=differing,
            losses=losses,
            dropped=planned.kept.dropped,
        ),
        sections=sections(differing),
        lines=(
            *(f"{place} went with its package" for place in planned.kept.dropped),
            f"{result.tag} is locked in {result.path}, made of {parent.digest}",
            f"digest {result.digest}",
        ),
        warnings=(*planned.resolution.warnings, *captured.warnings),
        verdict=Verdict(ok=True, summary=f"{_named(moves, pythons)}; {losses_words(losses)}"),
    )


def _named(moves: Sequence[Move], pythons: Sequence[str]) -> str:
    """Name what is another, Python first, then what was asked for."""
    python = (" → ".join(("Python " + pythons[0], pythons[1])),) if pythons[0] != pythons[1] else ()
    return first_of((*python, *map(str, moves)), _NAMED)
