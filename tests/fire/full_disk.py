"""Commands that find no inode where they write: a real file system that has but so many."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.fire.look import below, differences, tree

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fire.attempts import Undisturbed
    from tests.fire.cases import Case
    from tests.fire.room import Room

_MADE = "made"  # what cases call what they make
_SMALL = "small"  # a folder of that disk, for what is made
_PLACES = (_SMALL, "../tmp", "../cache", "../state")
_ENOUGH = 1 << 20
_BUG = 70


def few_inodes(
    room: Room, case: Case, usual: Undisturbed, *, times: int, chance: random.Random
) -> Iterator[tuple[str, list[str]]]:
    """Run a command with so few inodes that it may end anywhere; yield where, and what is wrong.

    It does what it does, or says what it may not write, and then has made nothing. With room
    again it does what it does.
    """
    size = len(below(usual.after, _MADE)) + 3
    for number in range(times):
        place = _PLACES[number % len(_PLACES)] if number else _SMALL
        free = chance.randrange(size if place == _SMALL else 12)
        yield f"{free} inodes in {place}", _with_inodes(room, case, usual, place, free)


def _with_inodes(room: Room, case: Case, usual: Undisturbed, place: str, free: int) -> list[str]:
    room.renew()
    words = case.said({**room.stand_for, **case.before(room), _MADE: f"{_SMALL}/{_MADE}"})
    small = room.work / _SMALL
    small.mkdir()
    before = {**tree(room.work)}
    with _small_disk(room.work / place, free) as disk:
        done = room.run(*words)
        wrong = _wrong(before, small, room, case, usual, ended_well=done.code == usual.done.code)
        if done.code != usual.done.code and (
            done.code in {0, 1, _BUG} or done.code < 0 or "error:" not in done.stderr
        ):
            wrong.append(f"exit code {done.code}: {done.stderr[-400:]}")
        if done.code == usual.done.code:
            return wrong
        options = f"remount,nr_inodes={_ENOUGH}"
        subprocess.run(("mount", "-o", options, str(disk)), check=True)
        again = room.run(*words)
        if again.code != usual.done.code:
            return [*wrong, f"next: exit code {again.code}: {again.stderr[-400:]}"]
        after = _wrong(before, small, room, case, usual, ended_well=True)
        return [*wrong, *(f"next: {one}" for one in after)]


def _wrong(  # noqa: PLR0913 - all but three by name
    before: dict[str, str],
    small: Path,
    room: Room,
    case: Case,
    usual: Undisturbed,
    *,
    ended_well: bool,
) -> list[str]:
    """Compare what is there with what was, or with what the command makes."""
    expected = dict(before)
    for path, entry in usual.after.items() if ended_well else ():
        if path.startswith(_MADE):
            expected[f"{small.name}/{path}"] = entry
        elif any(path == place or path.startswith(f"{place}/") for place in case.changes):
            expected[path] = entry
    return differences(expected, tree(room.work))


@contextmanager
def _small_disk(place: Path, free: int) -> Iterator[Path]:
    """Let a folder be a file system with so many free inodes, and then what it was."""
    options = f"nr_inodes={free + 1}"
    subprocess.run(("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)), check=True)
    try:
        yield place
    finally:
        subprocess.run(("umount", str(place)), check=True)
