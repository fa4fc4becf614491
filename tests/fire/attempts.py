"""An attempt: a command is met by something, and then what it left is looked at."""

from __future__ import annotations

import hashlib
import os
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.ownership.new_folder import UNFINISHED
from tests.command import EXIT_CODES
from tests.fire.blows import ENDS, Blow
from tests.fire.faults import NO_FAULT, Call, Injector
from tests.fire.look import Rows, Tree, below, differences, ledger_rows, shape, tree, without
from tests.fire.own_engine import RUNS
from tests.fire.room import Done, Room, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fire.cases import Case

_EMPTY = ("tmp", *(f"cache/snapenv/{name}" for name in ("running", "locks", "fetched")))
# A lock that nobody holds is taken by the next who needs it; notes, by the next command.
_LOCKS, _NOTES = "cache/snapenv/locks/", "cache/snapenv/running/"
_TRIAL = re.compile(r"[a-z0-9_]{8}")  # with which Python's tempfile tries a folder
_EMPTY_SUM = hashlib.sha256(b"").hexdigest()
_BUG = 70
_TAKEN = EXIT_CODES["place-taken"]
_PASSING = ("container snapenv-", "nameless volumes", "untagged ")
_WAIT_S = 300.0


@dataclass(frozen=True)
class Undisturbed:
    """What a command does when nothing befalls it."""

    before: Tree  # of its folder
    after: Tree
    outside_before: Mapping[str, str]  # what its engine holds
    outside_after: Mapping[str, str]
    done: Done
    calls: tuple[Call, ...]
    rows: Rows  # of the ledger


@dataclass(frozen=True)
class Met:
    """How a command ended that was met by something."""

    done: Done
    orphans: int  # processes of it that lived on


def do_undisturbed(room: Room, case: Case, injector: Injector) -> Undisturbed:
    """Let a command do what it does."""
    room.renew()
    words = case.said({**room.stand_for, **case.before(room)})
    before, outside = tree(room.work), room.outside()
    done = room.run(*words, variables=injector.arm(NO_FAULT, room.folder))
    assert done.code in {0, 1}, (words, done)
    assert room.all_ended() or case.lives_on, words
    calls = injector.calls()
    if not case.lives_on:
        room.end()
    assert not list(untidy(room)), (words, list(untidy(room)))
    made, now, rows = tree(room.work), room.outside(), _rows(room)
    wrong = tuple(case.proof(room))
    assert not wrong, (words, wrong)
    room.end()
    return Undisturbed(before, made, outside, now, done, calls, rows)


def attempt(
    room: Room, case: Case, blow: Blow, injector: Injector, usual: Undisturbed
) -> list[str]:
    """Let a command be met; return what is wrong after it, and after the same one again."""
    room.renew()
    state, rows = tree(room.folder / "state"), _rows(room)
    words = case.said({**room.stand_for, **case.before(room)})
    met = _meet(room, case, words, blow, injector)
    if blow.kind == "power":
        room.end()
        lose_power(room, injector.calls(), seed=blow.fault.first)
        if room.engine:
            room.engine.lose_power()
    wrong = [
        *_wrong_end(case, met, blow, usual),
        *_wrong_places(room, case, blow, met.done, usual),
        *_wrong_state(room, state, rows),
        *_wrong_outside(room, blow, met.done, usual),
    ]
    if not blow.leaves_work and not blow.number:
        passing = (_LOCKS, _NOTES) if blow.breaks_disk else ()
        left = (one for one in untidy(room) if not one.startswith(passing))
        wrong.extend(f"{one} is left" for one in left)
    if room.engine and blow.kind in {"power", "engine"}:
        room.engine.restart_others()
    held = {name: frozenset(row[:1] for row in of) for name, of in _rows(room).items()}
    again = room.run(*words)
    if not case.lives_on:
        room.end()
    wrong.extend(f"next: {one}" for one in _wrong_next(room, case, blow, again, usual))
    wrong.extend(f"next: {one}" for one in _wrong_state(room, state, held))
    if case.counts and (rows := _rows(room)) != usual.rows:
        wrong.append(f"next: the ledger counts {_other_rows(usual.rows, rows)}")
    wrong.extend(f"next: {one}" for one in case.proof(room))
    room.end()
    return wrong


def _other_rows(expected: Rows, actual: Rows) -> str:
    """Name the tables whose rows are others, with one row that is missing and one too many."""
    other = {
        table: (sorted(map(str, old - new))[:1], sorted(map(str, new - old))[:1])
        for table in expected.keys() | actual.keys()
        if (old := expected.get(table, frozenset())) != (new := actual.get(table, frozenset()))
    }
    return ", ".join(f"{table}: {what}" for table, what in sorted(other.items()))


def _meet(room: Room, case: Case, words: tuple[str, ...], blow: Blow, injector: Injector) -> Met:
    streams = room.folder.with_name(f"{room.folder.name}-streams")
    streams.mkdir(exist_ok=True)
    begun = time.monotonic()
    variables = injector.arm(blow.fault, room.folder)
    process = room.start(*words, variables=variables, into=streams)
    if blow.number:
        time.sleep(blow.after_s)
        process.send_signal(blow.number)
    elif blow.kind == "engine" and room.engine:
        time.sleep(blow.after_s)
        room.engine.kill()
        room.engine.start()
    code = process.wait(_WAIT_S)
    orphans = 0 if case.lives_on or room.all_ended() else len(room.living())
    if not case.lives_on:
        room.end()
    return Met(Done(code, *said(streams), time.monotonic() - begun), orphans)


def lose_power(room: Room, calls: tuple[Call, ...], *, seed: int) -> None:
    """Let files be as a disk has them that was cut off: what was not synced is lost, or the end.

    Temporary files are gone, as on a machine that starts.
    """
    synced = _synced_bytes(calls)
    chance = random.Random(seed)
    for above, _, names in os.walk(room.folder):
        for name in names:
            path = Path(above, name)
            if path.suffix == ".pyc":  # Python syncs none, and this is between it and the disk
                continue
            status = path.lstat()
            kept = synced.get((status.st_dev, status.st_ino), status.st_size)
            if kept < status.st_size and not path.is_symlink():
                os.truncate(path, chance.choice([kept, (kept + status.st_size) // 2]))
    for path in (room.folder / "tmp").iterdir():
        _remove(path)


def _synced_bytes(calls: tuple[Call, ...]) -> Mapping[tuple[int, int], int]:
    """Return how much the disk has of each file that was written to."""
    synced = dict[tuple[int, int], int]()
    for call in calls:
        if call.name == "syncfs":
            synced.clear()
        elif call.name == "fsync":
            synced[call.file] = call.size_bytes
        elif call.name == "write":
            synced.setdefault(call.file, call.size_bytes)
        elif call.name == "truncate":
            synced[call.file] = min(synced.get(call.file, call.size_bytes), call.size_bytes)
    return synced


def _remove(path: Path) -> None:
    from snapenv.ownership.leftovers import remove

    remove(path)


def _wrong_end(case: Case, met: Met, blow: Blow, usual: Undisturbed) -> Iterator[str]:
    code, done = met.done.code, met.done
    if met.orphans and blow.kind != "power":
        yield f"{met.orphans} of its processes live on"
    if "Traceback" in done.stderr:
        yield f"a traceback: {done.stderr[-600:]}"
    is_usual = code == usual.done.code
    may_differ = blow.kind == "engine" and case.may_say_other
    if case.follows:
        less, more = sorted((done.stdout, usual.done.stdout), key=len)
        may_differ = may_differ or more.startswith(less)
    if is_usual and not may_differ and shape(done.stdout) != shape(usual.done.stdout):
        yield f"it ends with {code} and says {done.stdout[-300:]!r}"
    if is_usual:
        return
    if blow.is_harmless:
        yield f"it ends with {code}: {done.stderr[-400:]}"
    elif blow.number and blow.kind == "term":
        if code not in {ENDS[blow.number], -blow.number}:
            yield f"exit code {code}: {done.stderr[-400:]}"
    elif (blow.breaks_disk or blow.kind == "engine") and (
        code in {0, 1, _BUG} or code < 0 or "error:" not in done.stderr
    ):
        yield f"exit code {code}: {done.stderr[-400:]}"


def _wrong_places(
    room: Room, case: Case, blow: Blow, done: Done, usual: Undisturbed
) -> Iterator[str]:
    """Compare where it runs with before and with afterwards."""
    now = tree(room.work)
    theirs = (*case.makes, *case.changes)
    others = without(usual.before, theirs)
    beside = without(now, theirs)
    if blow.ends_at_once:  # the next command takes away what is new
        beside = {path: entry for path, entry in beside.items() if path in others}
    yield from differences(others, beside)
    ended_well = done.code == usual.done.code
    for place in theirs:
        old, new = below(usual.before, place), below(usual.after, place)
        actual = below(now, place)
        if blow.breaks_disk and actual.get(f"{place}/{UNFINISHED}", "").endswith(_EMPTY_SUM):
            actual = without(actual, (f"{place}/{UNFINISHED}",))  # which says that it is whole
        if actual == new or (actual == old and not ended_well):
            continue
        if blow.ends_at_once and (f"{place}/{UNFINISHED}" in actual or actual == {place: "dir"}):
            continue
        if blow.ends_at_once and case.in_pieces and _is_of(actual, old, new):
            continue
        kind = "after an exit code of success, " if ended_well else ""
        yield f"{kind}{place} is neither as before nor whole: {differences(new, actual)[:4]}"


def _is_of(actual: Tree, old: Tree, new: Tree) -> bool:
    """Return whether each file is as before or as afterwards, but for temporary ones."""
    return all(
        entry in {old.get(path), new.get(path)} or Path(path).name.startswith(".")
        for path, entry in actual.items()
    )


def _wrong_state(room: Room, before: Tree, rows: Rows) -> Iterator[str]:
    """Compare what is kept of runs with what was."""
    now = tree(room.folder / "state")
    lost = {path for path in before if path.startswith("snapenv/runs/")}
    yield from (
        f"state: {path} is lost or changed" for path in lost if now.get(path) != before[path]
    )
    held = ledger_rows(room.folder / "state/snapenv/usage.sqlite3")
    if held == "damaged":
        yield "the ledger is damaged"
        return
    for table, old in rows.items():
        new = held.get(table, frozenset())
        if gone := old - new - {row[:1] for row in new}:
            yield f"the ledger has lost {len(gone)} of {table}: {sorted(map(str, gone))[:2]}"


def _wrong_outside(room: Room, blow: Blow, done: Done, usual: Undisturbed) -> Iterator[str]:
    """Compare what its engine holds with before and with afterwards."""
    if room.engine is None:
        return
    now = room.outside()
    if blow.leaves_work:
        now = _without_runs(room, _without_passing(now), usual)
        usual = replace(
            usual,
            outside_before=_without_passing(usual.outside_before),
            outside_after=_without_passing(usual.outside_after),
        )
    if done.code == usual.done.code and now != usual.outside_after:
        yield f"after an exit code of success: {differences(usual.outside_after, now)}"
    elif now not in (usual.outside_before, usual.outside_after):
        yield f"the engine is neither as before nor as after: {differences(usual.outside_before, now)}"


def _without_passing(outside: Mapping[str, str]) -> Mapping[str, str]:
    return {name: of for name, of in outside.items() if not name.startswith(_PASSING)}


def _without_runs(room: Room, now: Mapping[str, str], usual: Undisturbed) -> Mapping[str, str]:
    """Leave out runs that go on, or are kept to be looked at, although their command is gone."""
    if RUNS not in now or room.engine is None:
        return now
    if RUNS in usual.outside_after and now[RUNS] == "started":
        return now
    recorded = {path.parent.name for path in room.folder.glob("state/snapenv/runs/*/run.json")}
    if room.engine.runs().keys() - recorded:
        return now
    return {name: of for name, of in now.items() if name != RUNS}


def _wrong_next(
    room: Room, case: Case, blow: Blow, again: Done, usual: Undisturbed
) -> Iterator[str]:
    now = tree(room.work)
    if again.code and case.once:
        pass  # the run had ended
    elif again.code == _TAKEN and case.makes and not differences(usual.after, now):
        pass  # it had ended before
    elif again.code != usual.done.code:
        yield f"exit code {again.code}: {again.stderr[-500:]}"
    elif shape(again.stdout) != shape(usual.done.stdout) and not case.may_say_other:
        yield f"it says {again.stdout[-300:]!r}"
    yield from differences(usual.after, now)
    outside = room.outside()
    is_over = case.once and again.code  # and was not read to its end: ps shows how it ended
    if (blow.leaves_work or is_over) and outside.get(RUNS) == "started":
        outside = _without_runs(room, outside, usual)
    yield from differences(usual.outside_after, outside)
    is_done = again.code == _TAKEN or case.may_say_other  # and needs no lock
    left = (one for one in untidy(room) if not (is_done and one.startswith(_LOCKS)))
    yield from (f"{one} is left" for one in left)


def untidy(room: Room) -> Iterator[str]:
    """Name what stands where nothing stands when no command runs."""
    for name in _EMPTY:
        folder = room.folder / name
        for path in folder.iterdir() if folder.is_dir() else ():
            if name != "tmp" or not _TRIAL.fullmatch(path.name):
                yield str(path.relative_to(room.folder))


def _rows(room: Room) -> Rows:
    rows = ledger_rows(room.folder / "state/snapenv/usage.sqlite3")
    return {} if rows == "damaged" else rows
