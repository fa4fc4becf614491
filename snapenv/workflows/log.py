"""Show what a snapshot was made of: its line of ancestors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.model.outcome import Outcome
from snapenv.model.results import LogEntry, LogResult
from snapenv.report.lineage import log_lines
from snapenv.steps.ancestors import Search, read_ancestor
from snapenv.steps.source import resolve_source
from snapenv.steps.unpack import unpacked
from snapenv.verify.differences import differences
from snapenv.verify.losses import losses_side_by_side, losses_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.ports import Services
    from snapenv.steps.ancestors import Ancestor

_MOST = 200  # generations: more than anybody reads
_LABELLED = ("python", "torch", "cuda", "ultralytics")


def log(text: str, services: Services, *, repository: str) -> Outcome[LogResult]:
    """List a snapshot and the ones that it was made of, with what each has changed.

    A parent that is found nowhere is named by its digest, and ends the list.

    Raises:
        NotFoundError: The REF names nothing.
    """
    source = resolve_source(text, repository=repository, services=services)
    with unpacked(source, services, packages=False) as readable:
        newest = read_ancestor(readable, services)
    search = Search(source, repository, services)
    line = tuple(_line(newest, search))
    entries = tuple(
        _entry(child, parent) for child, parent in zip(line, (*line[1:], None), strict=False)
    )
    last = line[-1].parent
    if last and last not in {each.digest for each in line}:
        entries = (*entries, LogEntry(digest=last, parent=None, place=None))
    result = LogResult(entries=entries, searched=tuple(search.searched))
    return Outcome(
        command="log",
        result=result,
        lines=tuple(log_lines(result)),
        warnings=tuple(search.warnings),
    )


def _line(newest: Ancestor, search: Search) -> Iterator[Ancestor]:
    """Yield a snapshot and its ancestors; labels may lie, so none comes twice."""
    known, current = set[str](), newest
    while current.digest not in known and len(known) < _MOST:
        yield current
        known.add(current.digest)
        parent = search.find(current.parent) if current.parent else None
        if parent is None:
            return
        current = parent


def _entry(child: Ancestor, parent: Ancestor | None) -> LogEntry:
    return LogEntry(
        digest=child.digest,
        parent=child.parent,
        place=child.place,
        tag=child.tag,
        captured_at=child.captured_at,
        changes=_changes(parent, child) if parent else None,
        losses=_losses(parent, child) if parent else None,
    )


def _changes(parent: Ancestor, child: Ancestor) -> tuple[str, ...] | None:
    """Say what has changed: by all facts, else by what labels tell; None where neither is known."""
    if parent.lock and child.lock:
        differing = differences(parent.lock.facts, child.lock.facts)
        return tuple(
            f"{each.subject} {each.left or 'absent'} → {each.right or 'absent'}"
            for each in differing
            if each.group != "cosmetic"
        )
    if parent.needs is None or child.needs is None:
        return None
    sides = [
        {name: getattr(side, name) for name in _LABELLED} for side in (parent.needs, child.needs)
    ]
    return tuple(
        f"{name} {sides[0][name] or 'absent'} → {sides[1][name] or 'absent'}"
        for name in _LABELLED
        if sides[0][name] != sides[1][name]
    )


def _losses(parent: Ancestor, child: Ancestor) -> str | None:
    if parent.lock is None or child.lock is None:
        return None
    sides = [(each.baseline, each.facts) for each in (parent.lock, child.lock)]
    return losses_words(losses_side_by_side(*sides))
