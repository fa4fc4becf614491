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
    from tests.fire.look import Tree
    from tests.fire.room import Done, Room

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
    whole = _on_disk(room, case, _SMALL, _ENOUGH)[0]
    for number in range(times):
        place = _PLACES[number % len(_PLACES)]
        free = chance.randrange(size if place == _SMALL else 12)
        yield f"{free} inodes in {place}", _wrong(room, case, place, free, whole)


def _wrong(room: Room, case: Case, place: str, free: int, whole: Tree) -> list[str]:
    after, done, next_after, again = _on_disk(room, case, place, free)
    wrong = [f"next: {one}" for one in differences(whole, next_after)]
    if again.code not in {0, 1}:
        wrong.append(f"next: exit code {again.code}: {again.stderr[-400:]}")
    if done.code == again.code:
        return [*differences(whole, after), *wrong]
    if done.code in {0, 1, _BUG} or done.code < 0 or "error:" not in done.stderr:
        wrong.append(f"exit code {done.code}: {done.stderr[-400:]}")
    left = {path for path in after if path.startswith(f"{_SMALL}/")}
    return [*wrong, *(f"{path} is left" for path in sorted(left))]


def _on_disk(room: Room, case: Case, place: str, free: int) -> tuple[Tree, Done, Tree, Done]:
    """Run a command with so few inodes, and with many if it has not ended well; return both."""
    room.renew()
    words = case.said({**room.stand_for, **case.before(room), _MADE: f"{_SMALL}/{_MADE}"})
    (room.work / _SMALL).mkdir()
    with _small_disk(room.work / place, free) as disk:
        done = room.run(*words)
        after = tree(room.work)
        if done.code in {0, 1}:
            return after, done, after, done
        options = f"remount,nr_inodes={_ENOUGH}"
        subprocess.run(("mount", "-o", options, str(disk)), check=True)
        again = room.run(*words)
        return after, done, tree(room.work), again


@contextmanager
def _small_disk(place: Path, free: int) -> Iterator[Path]:
    """Let a folder be a file system with so many free inodes, and then what it was."""
    options = f"nr_inodes={free + 1}"
    subprocess.run(("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)), check=True)
    try:
        yield place
    finally:
        subprocess.run(("umount", str(place)), check=True)
