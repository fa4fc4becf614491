"""Look at two environments, or read what was written down of them, and name what differs."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.errors import NotFoundError
from snapenv.lock.store import read_snapshot
from snapenv.model.outcome import Check
from snapenv.model.results.diff import Comparison, DiffResult, DiffSide
from snapenv.model.snapshot import SUMS_FILE
from snapenv.probe.probe import probe
from snapenv.verify.differences import CONSEQUENCES, differences, sections
from snapenv.workflows.archive import read_stored
from snapenv.workflows.interpreter import find_interpreter
from snapenv.workflows.reference import fetch_image, read_image, resolve_ref

if TYPE_CHECKING:
    from snapenv.model.difference import Group
    from snapenv.model.facts import Facts
    from snapenv.model.image import ImageRef
    from snapenv.ports import Outside

_ZSTD = b"\x28\xb5\x2f\xfd"  # what a frame starts with: RFC 8878
LIVE = "live"
_PYTHON = re.compile(r".*/bin/python[0-9.]*")


class Diff(Struct, frozen=True, kw_only=True):
    """What a user may ask of a comparison."""

    left: str  # "live", an environment, a snapshot folder, a tag of the convention, or an image
    right: str
    repository: str
    rehash: bool = False  # trust no hash that an earlier look kept


def diff(request: Diff, outside: Outside) -> Comparison:
    """Look at both sides, and name what differs by its consequence; nothing is trained.

    Where all that differs is cosmetic the answer is yes: the same wheels, installed by another
    tool or on another machine, are the same environment, as they are for a restore; a no would
    make every comparison across two machines one. What is cosmetic is listed all the same.
    """
    left, left_facts = _look(request.left, request, outside)
    right, right_facts = _look(request.right, request, outside)
    found = differences(left_facts, right_facts)
    counts = Counter(one.group for one in found)
    return Comparison(
        command="diff",
        result=DiffResult(left=left, right=right, differences=found),
        checks=tuple(_check(group, counts[group]) for group in CONSEQUENCES),
        lines=(_verdict(counts),),
        sections=sections(found),
    )


def _look(text: str, request: Diff, outside: Outside) -> tuple[DiffSide, Facts]:
    """Tell what a word of the command line names, and give its facts.

    Raises:
        NotFoundError: There is no such folder, image or tag, or it holds nothing to compare.
        InterpreterError: The named Python is not there, or is none.
        EnvironmentMissingError: ``live`` is asked for and no environment is active.
        SnapshotDamagedError: A file of the snapshot is not what SHA256SUMS says.
        SnapshotVersionError: A newer snapenv wrote the snapshot.
        EngineMissingError: It is an image, and no engine answers.
        RegistryError: The image is not here, and its registry does not answer.
    """
    if text == LIVE:
        return _environment(None, request, outside)
    if _is_archive(text):
        return _archive(Path(text).expanduser(), outside)
    if _is_environment(text):
        return _environment(text, request, outside)
    ref = resolve_ref(text, repository=request.repository, outside=outside)
    return _snapshot(ref) if isinstance(ref, Path) else _image(ref, outside)


def _is_archive(text: str) -> bool:
    """Say whether it is a file packed as archives are, and so no interpreter."""
    try:
        with Path(text).expanduser().open("rb") as file:
            return file.read(len(_ZSTD)) == _ZSTD
    except OSError:
        return False


def _archive(file: Path, outside: Outside) -> tuple[DiffSide, Facts]:
    snapshot = read_stored(file, outside)
    return DiffSide(kind="archive", place=str(file), digest=snapshot.digest), snapshot.lock.facts


def _is_environment(text: str) -> bool:
    """Say whether it is an interpreter, the path of one that is not there, or a folder with one."""
    path = Path(text).expanduser()
    if path.is_dir():
        return (path / "bin" / "python").is_file() and not (path / SUMS_FILE).exists()
    return path.is_file() or _PYTHON.fullmatch(text) is not None


def _environment(named: str | None, request: Diff, outside: Outside) -> tuple[DiffSide, Facts]:
    python = find_interpreter(named, os.environ, own_prefix=sys.prefix)
    with outside.progress.task(f"Looking at {python}"):
        facts = probe(outside.local(python), hashes=outside.kept("hashes"), rehash=request.rehash)
    return DiffSide(kind="environment", place=python, digest=None), facts


def _snapshot(folder: Path) -> tuple[DiffSide, Facts]:
    if not (folder / SUMS_FILE).exists():
        raise NotFoundError(
            f"{folder} holds neither a snapshot nor an environment: "
            f"there is no {SUMS_FILE} and no bin/python",
            hint="Name a folder that snapenv capture wrote, or an environment's.",
        )
    snapshot = read_snapshot(folder)
    return DiffSide(kind="snapshot", place=str(folder), digest=snapshot.digest), snapshot.lock.facts


def _image(ref: ImageRef, outside: Outside) -> tuple[DiffSide, Facts]:
    outside.engine.check()
    snapshot = read_image(fetch_image(ref, outside), ref, outside)
    return DiffSide(kind="image", place=str(ref), digest=snapshot.digest), snapshot.lock.facts


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
    told = ", ".join(
        f"{counts[group]} {CONSEQUENCES[group].title}" for group in CONSEQUENCES if counts[group]
    )
    if counts.keys() <= {"cosmetic"}:
        return f"the same environment; {told}" if told else "the same environment"
    return f"different: {told}"
