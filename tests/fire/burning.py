"""All that is asked for, done to one command."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fire.attempts import attempt, do_undisturbed
from tests.fire.blows import LONG, Kind, blows
from tests.fire.full_disk import few_inodes
from tests.fire.together import crowd, read_only_home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fire.cases import Case
    from tests.fire.faults import Injector
    from tests.fire.room import Room

AT_ONCE = 20


@dataclass(frozen=True)
class Asked:
    """What is to be done to each command."""

    kinds: tuple[Kind, ...]
    times: int
    seed: int


@dataclass(frozen=True)
class Met:
    """What a command was met by, and what was wrong then."""

    kind: Kind
    what: str
    wrong: list[str]
    times: int = 1


def burn(room: Room, case: Case, injector: Injector, asked: Asked) -> Iterator[Met]:
    """Do all that is asked for to a command; what a room cannot give is left out."""
    usual = do_undisturbed(room, case, injector)
    calls, lasts_s = len(usual.calls), usual.done.lasted_s
    for kind in asked.kinds:
        if kind == "home":
            yield Met(kind, kind, read_only_home(room, case, usual))
        elif kind == "crowd":
            wrong = crowd(room, case, usual, many=AT_ONCE)
            yield Met(kind, f"{AT_ONCE} at once", wrong, AT_ONCE)
        elif kind == "inodes":
            if case.makes and os.geteuid() == 0:  # who alone may mount
                chance = random.Random(f"{asked.seed} {case.name} {kind}")
                met = few_inodes(room, case, usual, times=asked.times, chance=chance)
                yield from (Met(kind, where, wrong) for where, wrong in met)
        elif room.engine or kind != "engine":
            chance = random.Random(f"{asked.seed} {case.name} {kind}")
            for blow in blows(kind, calls=calls, lasts_s=lasts_s, times=asked.times, chance=chance):
                wrong = attempt(room, case, blow, injector, usual)
                done = kind not in LONG or injector.was_hit()  # ENOSPC befalls no unlink
                yield Met(kind, str(blow), wrong, int(done))
