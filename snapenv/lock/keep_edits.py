"""The overlay of an updated environment: edits of what stays are kept; of what moves, decided."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from snapenv.errors import ConflictError, SnapshotDamagedError
from snapenv.lock.paths import place_in_environment
from snapenv.model.carried import Content
from snapenv.model.snapshot import APPLY_OVERLAY, OVERLAY
from snapenv.model.wheels import Pinned
from snapenv.sizes import first_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from snapenv.model.python import Distribution
    from snapenv.model.snapshot import Snapshot
    from snapenv.model.update import Edits, Move
    from snapenv.model.wheels import IndexWheel

_INDEX = f"{OVERLAY}/index.json"
_OF_DATA = re.compile(r"[^/]+\.data/(?P<scheme>\w+)/(?P<path>.+)")
_ROOTS = {"purelib": "site", "platlib": "site", "scripts": "prefix/bin", "data": "prefix"}
_NAMED = 8  # files in one message


class KeptEdits(Struct, frozen=True, kw_only=True):
    """The overlay that goes on, by names in the snapshot, and the places that it leaves out."""

    files: Mapping[str, Content]
    names: tuple[str, ...]  # of what it puts in place, as "site/x.py"
    dropped: tuple[str, ...] = ()  # edits of a user that go with their packages


def keep_edits(
    snapshot: Snapshot,
    moves: Sequence[Move],
    arriving: Mapping[str, IndexWheel],
    *,
    read_record: Callable[[IndexWheel], str],
    edits: Edits | None,
) -> KeptEdits:
    """Return the overlay without what belongs to packages that move or go.

    ``arriving`` are the new wheels by name. Edits of a package that is removed go with it.

    Raises:
        SnapshotDamagedError: The overlay is not of its form.
        ConflictError: Files of a package that moves were edited, or a new wheel brings a file
            where one of the user's own lies; and ``edits`` does not say what becomes of them.
    """
    lock = snapshot.lock
    packages = {each.name: each for each in lock.environment.distributions}
    minor = lock.environment.interpreter.minor
    gone = {move.name: packages[move.name] for move in moves if move.name in packages}
    edited = {place: name for name, each in gone.items() for place in _edited_places(each, minor)}
    _refuse_edited_wheels(snapshot, gone, moves, edits)
    if _INDEX not in snapshot.files:
        return KeptEdits(files={}, names=())
    entries = _entries(snapshot)
    own = _places_of_wheels(
        (locked.wheel for name in gone if isinstance(locked := lock.packages[name], Pinned)),
        read_record,
    )
    new = _places_of_wheels(arriving.values(), read_record)
    removed = {move.name for move in moves if move.after is None}
    of_moving = {place: name for place, name in edited.items() if name not in removed}
    disputed = [
        name
        for entry in entries
        if (name := _name(entry)) in of_moving or (name in new and name not in own)
    ]
    if disputed and edits is None:
        raise _undecided(disputed, {**new, **of_moving})
    kept = disputed if edits == "keep" else ()
    left_out = ((own.keys() | edited.keys()) | set(disputed)) - set(kept)
    staying = [entry for entry in entries if _name(entry) not in left_out]
    user_edits = [*disputed, *(place for place, name in edited.items() if name in removed)]
    return KeptEdits(
        files=_overlay(snapshot, staying),
        names=tuple(sorted(map(_name, staying))),
        dropped=tuple(sorted(set(user_edits) & left_out)),
    )


def _entries(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Read the overlay's index.

    Raises:
        SnapshotDamagedError: It is of another form, or names a file that is not there.
    """
    try:
        entries: list[dict[str, Any]] = json.loads(snapshot.text(_INDEX))
        names = [_content(entry) for entry in entries if _name(entry) and "sha256" in entry]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(type(error).__name__) from error
    missing = [name for name in names if name not in snapshot.files]
    if missing:
        raise _damaged(f"{missing[0]} is missing")
    return entries


def _damaged(why: str) -> SnapshotDamagedError:
    return SnapshotDamagedError(
        f"{_INDEX} is not of its form: {why}",
        hint="Get the snapshot again from where it was captured.",
    )


def _content(entry: Mapping[str, Any]) -> str:
    return f"{OVERLAY}/{entry['sha256']}"


def _edited_places(each: Distribution, minor: str) -> Iterator[str]:
    for path in (*each.files.edited, *each.files.missing) if each.files else ():
        yield place_in_environment(each.name, path, minor)


def _refuse_edited_wheels(
    snapshot: Snapshot,
    gone: Mapping[str, Distribution],
    moves: Sequence[Move],
    edits: Edits | None,
) -> None:
    """Refuse to lose edits that are part of a wheel which travels, unless they are to be dropped.

    Raises:
        ConflictError: That is so.
    """
    moving = {move.name for move in moves if move.before and move.after}
    for name, each in gone.items():
        is_own = not isinstance(snapshot.lock.packages[name], Pinned)
        if is_own and name in moving and edits != "drop" and each.files and each.files.edited:
            raise ConflictError(
                f"{name} {each.version} travels as it is installed, with edited files "
                f"({first_of(each.files.edited, _NAMED)}), and would be replaced by the index's",
                hint="Give them up with --edits=drop, or put them on the new version yourself, "
                "and capture again.",
            )


def _undecided(disputed: Sequence[str], owners: Mapping[str, str]) -> ConflictError:
    packages = " and ".join(sorted({owners[name] for name in disputed}))
    return ConflictError(
        f"{packages} would move, and these files of the snapshot lie over its own: "
        f"{first_of(disputed, _NAMED)}",
        hint="Put them over the new version with --edits=keep, or give them up with --edits=drop.",
    )


def _places_of_wheels(
    wheels: Iterable[IndexWheel], read_record: Callable[[IndexWheel], str]
) -> Mapping[str, str]:
    """Return where the files of wheels lie once they are installed, each with its package."""
    return {
        place: wheel.name
        for wheel in wheels
        for row in csv.reader(read_record(wheel).splitlines())
        if row and (place := installed_place(row[0]))
    }


def installed_place(path: str) -> str | None:
    """Return where a file of a wheel is installed, by its path in the archive; None: nowhere.

    Source: https://packaging.python.org/en/latest/specifications/binary-distribution-format/
    """
    data = _OF_DATA.fullmatch(path)
    if data is None:
        return f"site/{path}"
    root = _ROOTS.get(data["scheme"])
    return f"{root}/{data['path']}" if root else None


def _name(entry: Mapping[str, Any]) -> str:
    return f"{entry['root']}/{entry['path']}"


def _overlay(snapshot: Snapshot, entries: Sequence[Mapping[str, Any]]) -> Mapping[str, Content]:
    if not entries:
        return {}
    held = {_content(entry) for entry in entries if "sha256" in entry}
    index = json.dumps(entries, ensure_ascii=False, indent=1) + "\n"
    return {
        _INDEX: index.encode(),
        APPLY_OVERLAY: snapshot.files[APPLY_OVERLAY],
        **{name: snapshot.files[name] for name in sorted(held)},
    }
