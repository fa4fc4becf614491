"""Commands at once, and commands that may not write to the user's home."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.command import EXIT_CODES
from tests.fire.attempts import Undisturbed, untidy
from tests.fire.look import differences, ledger_rows, shape, tree
from tests.fire.room import said

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.fire.cases import Case
    from tests.fire.room import Room

_WAIT_S = 300.0
_BUG = 70
_TAKEN = EXIT_CODES["place-taken"]


def crowd(room: Room, case: Case, usual: Undisturbed, *, many: int) -> list[str]:
    """Start a command many times at once; return what is wrong.

    One of those that want one place has it, and the others say so; all others do what they do.
    """
    room.renew()
    words = case.said({**room.stand_for, **case.before(room)})
    streams = [room.folder.with_name(f"{room.folder.name}-streams{each}") for each in range(many)]
    for each in streams:
        each.mkdir(exist_ok=True)
    started = [room.start(*words, into=each) for each in streams]
    codes = [process.wait(_WAIT_S) for process in started]
    texts = [said(each) for each in streams]
    if not case.lives_on:
        room.end()
    wrong = [
        f"exit code {code}: {err[-300:]}"
        for code, (_, err) in zip(codes, texts, strict=True)
        if code != usual.done.code and (code, bool(case.makes or case.once)) != (_TAKEN, True)
    ]
    wrong.extend(
        f"it says {out[-200:]!r}"
        for code, (out, _) in zip(codes, texts, strict=True)
        if code == usual.done.code
        and shape(out) != shape(usual.done.stdout)
        and not case.may_say_other
    )
    if case.makes and codes.count(usual.done.code) != 1:
        wrong.append(f"{codes.count(usual.done.code)} of {many} have made {case.makes[0]}")
    wrong.extend(differences(usual.after, tree(room.work)))
    wrong.extend(f"{one} is left" for one in untidy(room))
    if ledger_rows(room.folder / "state/snapenv/usage.sqlite3") == "damaged":
        wrong.append("the ledger is damaged")
    room.end()
    return wrong


def mixed_crowd(room: Room, cases: Sequence[Case], usual: Mapping[str, Undisturbed]) -> list[str]:
    """Start different commands at once, each with a place of its own; return what is wrong.

    Each does what it does alone, but for what it says of the others.
    """
    room.renew()
    made = {case.name: f"made{number}" for number, case in enumerate(cases)}
    words = {
        case.name: case.said({**room.stand_for, **case.before(room), "made": made[case.name]})
        for case in cases
    }
    streams = {
        case.name: room.folder.with_name(f"{room.folder.name}-{made[case.name]}") for case in cases
    }
    for each in streams.values():
        each.mkdir(exist_ok=True)
    started = {name: room.start(*words[name], into=streams[name]) for name in words}
    codes = {name: process.wait(_WAIT_S) for name, process in started.items()}
    room.end()
    ends = {case.name for case in cases if case.once}  # what they are about may have ended by then
    wrong = [
        f"{name}: exit code {code}: {said(streams[name])[1][-400:]}"
        for name, code in codes.items()
        if code != usual[name].done.code and not (code == _TAKEN and name in ends)
    ]
    expected, outside = dict(usual[cases[0].name].before), dict[str, str]()
    for case in cases:
        alone = usual[case.name]
        for path, entry in alone.after.items():
            if alone.before.get(path) != entry:
                expected[path.replace("made", made[case.name], 1)] = entry
        outside.update(alone.outside_after)
    wrong.extend(differences(expected, tree(room.work)))
    wrong.extend(differences(outside, room.outside()))
    wrong.extend(f"{one} is left" for one in untidy(room))
    if ledger_rows(room.folder / "state/snapenv/usage.sqlite3") == "damaged":
        wrong.append("the ledger is damaged")
    return wrong


def read_only_home(room: Room, case: Case, usual: Undisturbed) -> list[str]:
    """Run a command that may write into the folder where it runs, and for the moment into TMPDIR.

    It does what it does, or says what it may not write, and then has made nothing.
    """
    room.renew()
    words = case.said({**room.stand_for, **case.before(room)})
    before = tree(room.work)
    with _read_only(*(room.folder / name for name in ("home", "cache", "state"))):
        done = room.run(*words)
    now = tree(room.work)
    if "Traceback" in done.stderr or done.code == _BUG:
        return [f"exit code {done.code}: {done.stderr[-500:]}"]
    if done.code == usual.done.code:
        return differences(usual.after, now)
    if "error:" not in done.stderr or done.code in {0, 1}:
        return [f"exit code {done.code}: {done.stderr[-500:]}"]
    return differences(before, now)


@contextmanager
def _read_only(*folders: Path) -> Iterator[None]:
    with ExitStack() as mounted:
        for folder in folders:
            place = str(folder)
            subprocess.run(("mount", "--bind", place, place), check=True)
            mounted.callback(subprocess.run, ("umount", place), check=True)
            subprocess.run(("mount", "-o", "remount,ro,bind", place), check=True)
        yield
