"""Find the very wheel of an index that each pin was installed from, and prove it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import LockError
from snapenv.lock.answers import (
    DAY_S,
    Answer,
    keep_answers,
    key,
    program_key,
    question,
    read_answers,
)
from snapenv.lock.ask import Uv, ask_index, with_tags
from snapenv.lock.pins import pinned
from snapenv.lock.prove import prove
from snapenv.model.facts import Facts
from snapenv.model.python import Distribution
from snapenv.model.wheels import IndexWheel, Pinned
from snapenv.ports import Task
from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.lock.ask import Offers
    from snapenv.model.snapshot import Prove
    from snapenv.ports import Services


class Found(Struct, frozen=True, kw_only=True):
    """What the index gives back, by distribution."""

    pinned: Mapping[str, Pinned]
    absent: frozenset[str]  # pins that no index gives back as they are installed
    uv: IndexWheel  # of the uv that is running here, for an image


def find_wheels(facts: Facts, services: Services, *, how: Prove, anew: bool, task: Task) -> Found:
    """Ask the index for what it has not said today, or for all ``anew``.

    A wheel of a pin is one whose own RECORD lists the installed files. Where nothing is to be
    proved, uv answers from what it has kept, and the tags of the wheel's name decide.

    Raises:
        LockError: The index does not answer or refuses, or does not have this uv.
        PackageIndexError: A wheel's RECORD cannot be had.
    """
    uv = Uv(
        machine=services.local(sys.executable),
        program=services.uv(),
        settings=services.wheels.uv_settings("ask"),
        offline=how == "off",
    )
    pins = pinned(facts.environment)
    answers = _answers(pins, _Question(facts=facts, uv=uv, task=task), services, anew=anew)
    return _found(pins, answers[program_key(services.uv())].wheel, answers)


class _Question(Struct, frozen=True, kw_only=True):
    facts: Facts
    uv: Uv
    task: Task


def _answers(
    pins: Sequence[Distribution], asking: _Question, services: Services, *, anew: bool
) -> Mapping[str, Answer]:
    offline, now = asking.uv.offline, time.time()
    kept = services.made()
    named = question(asking.facts, asking.uv, kept)
    known = {} if anew else read_answers(kept, named, since=0 if offline else now - DAY_S)
    unknown = [pin for pin in pins if key(pin) not in known]
    wheels = _ask(unknown, asking, services) if unknown else {}
    own = program_key(services.uv())
    if own not in known:
        wheels[own] = _ask_for_uv(asking, services)
    answers = {
        name: Answer(wheel=wheel, proved=not offline, asked_at=now)
        for name, wheel in wheels.items()
    }
    if answers and not offline:
        keep_answers(kept, named, {**known, **answers})
    return {**known, **answers}


def _ask(
    pins: Sequence[Distribution], asking: _Question, services: Services
) -> dict[str, IndexWheel | None]:
    """Return the wheel of each pin, by its key."""
    offers = ask_index(pins, asking.facts, asking.uv, asking.task)
    wheels = _tagged(pins, offers) if asking.uv.offline else _proved(pins, offers, asking, services)
    return {key(pin): wheels[pin.name] for pin in pins}


def _tagged(pins: Sequence[Distribution], offers: Offers) -> Mapping[str, IndexWheel | None]:
    return {pin.name: with_tags(pin, offers[pin.name]) for pin in pins}


def _proved(
    pins: Sequence[Distribution], offers: Offers, asking: _Question, services: Services
) -> Mapping[str, IndexWheel | None]:
    asking.task.note(f"{counted(len(pins), 'pin')}, comparing their files with the index")
    minor = asking.facts.environment.interpreter.minor
    return prove(pins, offers, record=services.wheels.record, python=minor)


def _ask_for_uv(asking: _Question, services: Services) -> IndexWheel:
    own = Distribution(name="uv", version=asking.uv.version(), origin="index")
    offered = ask_index([own], asking.facts, asking.uv, asking.task)[own.name]
    if not offered:
        raise LockError(
            f"the index does not have uv {own.version}, which is running here",
            hint="Install a uv that it has, with pip install uv in the environment of snapenv.",
        )
    if asking.uv.offline:
        return offered[0]
    return replace(offered[0], size_bytes=services.wheels.record(offered[0]).size_bytes)


def _found(
    pins: Sequence[Distribution], uv: IndexWheel | None, answers: Mapping[str, Answer]
) -> Found:
    of_pins = {pin.name: answers[key(pin)] for pin in pins}
    if uv is None:
        raise ValueError("the answer for uv has always a wheel")
    return Found(
        pinned={
            name: Pinned(wheel=answer.wheel, proof="record" if answer.proved else "none")
            for name, answer in of_pins.items()
            if answer.wheel
        },
        absent=frozenset(name for name, answer in of_pins.items() if answer.wheel is None),
        uv=uv,
    )
