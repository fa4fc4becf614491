"""Look at two environments, or read what was written down of them, and name what differs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from snapenv.errors import NotFoundError
from snapenv.model.outcome import Check
from snapenv.model.results import Comparison, DiffResult, DiffSide
from snapenv.model.snapshot import SUMS_FILE
from snapenv.places import exists
from snapenv.probe.probe import probe
from snapenv.steps.snapshots import read_folder, read_source
from snapenv.steps.source import (
    Archive,
    Environment,
    LocalImage,
    RegistryImage,
    SnapshotFolder,
    Source,
    resolve_side,
)
from snapenv.steps.unpack import unpacked
from snapenv.verify.differences import CONSEQUENCES, differences, sections

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.facts import Facts
    from snapenv.model.outcome import Group
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Services

_KINDS: Mapping[type[Source], Literal["snapshot", "archive", "image"]] = {
    SnapshotFolder: "snapshot",
    Archive: "archive",
    LocalImage: "image",
    RegistryImage: "image",
}


class Diff(Struct, frozen=True, kw_only=True):
    """What a user may ask of a comparison."""

    left: str  # "live", an environment, a snapshot folder, a tag of the convention, or an image
    right: str
    repository: str
    rehash: bool = False  # trust no hash that an earlier look kept


def diff(request: Diff, services: Services) -> Comparison:
    """Look at both sides, and name what differs by its consequence; nothing is trained.

    Where all that differs is cosmetic the answer is yes: the same wheels, installed by another
    tool or on another machine, are the same environment, as they are for a restore; a no would
    make every comparison across two machines one. What is cosmetic is listed all the same.
    """
    left, left_facts = _inspect(request.left, request, services)
    right, right_facts = _inspect(request.right, request, services)
    differing = differences(left_facts, right_facts)
    counts = Counter(difference.group for difference in differing)
    return Comparison(
        command="diff",
        result=DiffResult(left=left, right=right, differences=differing),
        checks=tuple(_check(group, counts[group]) for group in CONSEQUENCES),
        lines=(_verdict(counts),),
        sections=sections(differing),
    )


def _inspect(text: str, request: Diff, services: Services) -> tuple[DiffSide, Facts]:
    """Return what a side of the comparison is, and its facts.

    Raises:
        NotFoundError: There is no such folder, image or tag, or it holds nothing to compare.
        InterpreterError: The named Python is not there, or is none.
        EnvironmentMissingError: ``live`` is asked for and no environment is active.
        SnapshotDamagedError: A file of the snapshot is not what SHA256SUMS says.
        SnapshotVersionError: A newer snapenv wrote the snapshot.
        EngineMissingError: It is an image, and no engine answers.
        RegistryError: The image is not here, and its registry does not answer.
    """
    source = resolve_side(text, repository=request.repository, services=services)
    if isinstance(source, Environment):
        with services.progress.task(f"Looking at {source}"):
            target = services.local(source.python)
            facts = probe(target, hashes=services.kept("hashes"), rehash=request.rehash)
        return DiffSide(kind="environment", place=source.python, digest=None), facts
    if isinstance(source, SnapshotFolder) and not exists(source.path / SUMS_FILE):
        raise NotFoundError(
            f"{source} holds neither a snapshot nor an environment: "
            f"there is no {SUMS_FILE} and no bin/python",
            hint="Name a folder that snapenv capture wrote, or an environment's.",
        )
    if isinstance(source, RegistryImage):
        with unpacked(source, services, packages=False) as opened:
            if isinstance(opened, SnapshotFolder):
                return _side(opened, read_folder(opened))
    if isinstance(source, LocalImage | RegistryImage):
        services.engine.check()
    return _side(source, read_source(source, services))


def _side(source: Source, snapshot: Snapshot) -> tuple[DiffSide, Facts]:
    side = DiffSide(kind=_KINDS[type(source)], place=str(source), digest=snapshot.digest)
    return side, snapshot.lock.facts


def _check(group: Group, count: int) -> Check:
    """Answer for one group; what has no consequence is never a no."""
    fix = CONSEQUENCES[group].fix
    ok = fix is None or not count
    return Check(
        id=group,
        ok=ok,
        expected="the same",
        actual=f"{count} different" if count else "the same",
        fix=None if ok else fix,
    )


def _verdict(counts: Counter[Group]) -> str:
    """Count what differs by group; what is cosmetic alone is no difference."""
    counted = ", ".join(
        f"{counts[group]} {CONSEQUENCES[group].title}" for group in CONSEQUENCES if counts[group]
    )
    if counts.keys() <= {"cosmetic"}:
        return f"the same environment; {counted}" if counted else "the same environment"
    return f"different: {counted}"
