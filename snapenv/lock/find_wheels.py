"""Find the very wheel of an index that each pin was installed from, and prove it.

Answers are kept for a day in the user's cache folder: a wheel never changes, but it can be
withdrawn. What was read of a wheel does not grow old (see ``ports.Wheels.record``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import LockError
from snapenv.lock.ask import Uv, ask_index, python_platform, uv_here, with_tags
from snapenv.lock.pins import pinned
from snapenv.lock.prove import prove
from snapenv.model.facts import Facts
from snapenv.model.python import Distribution
from snapenv.model.wheels import IndexWheel, Pinned, WheelRecord
from snapenv.ports import Task
from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.kept import Kept
    from snapenv.model.snapshot import Prove
    from snapenv.ports import Services

_FORM = 3  # of the answers that are kept
_DAY_S = 24 * 60 * 60.0
_RATTLER = "py-rattler"
_PYTHON_OF_TOOLS = "3.12.0"  # uv's wheels are for any Python, py-rattler's for any from 3.10 on


class OnIndex(Struct, frozen=True, kw_only=True):
    """What the index gives back, by distribution."""

    pinned: Mapping[str, Pinned]
    absent: frozenset[str]  # pins that no index gives back as they are installed
    uv: IndexWheel  # of the uv that is running here, for an image
    rattler: IndexWheel | None = None  # of the py-rattler here, where the environment is conda's
    until_s: float | None  # since 1970, when an answer has to be asked anew; None: each time


class Answer(Struct, frozen=True, kw_only=True):
    """The wheel that was installed, if the index has it; and whether that was proved."""

    wheel: IndexWheel | None
    proved: bool
    asked_at: float  # seconds since the epoch


def find_wheels(facts: Facts, services: Services, *, how: Prove, anew: bool, task: Task) -> OnIndex:
    """Ask the index for what it has not said today, or for all ``anew``.

    A wheel of a pin is one whose own RECORD lists the installed files. Where nothing is to be
    proved, uv answers from what it has kept, and the tags of the wheel's name decide.

    Raises:
        LockError: The index does not answer or refuses, or does not have this uv or py-rattler.
        PackageIndexError: A wheel's RECORD cannot be had.
    """
    uv = uv_here(services, offline=how == "off")
    pins = pinned(facts.environment)
    rattler = _rattler() if facts.conda else None
    asking = _Asking(facts=facts, uv=uv, rattler=rattler, task=task, record=services.wheels.record)
    own = _program_key(uv.program)
    answers = _answers(pins, own, asking, services.made(), anew=anew)
    own_wheel = answers[own].wheel
    if own_wheel is None:
        raise ValueError("the answer for uv has always a wheel")
    of_pins = {pin.name: answers[key(pin)] for pin in pins}
    oldest_s = min(answers[name].asked_at for name in (own, *map(key, pins)))
    return OnIndex(
        pinned={
            name: Pinned(wheel=answer.wheel, proof="record" if answer.proved else "none")
            for name, answer in of_pins.items()
            if answer.wheel
        },
        absent=frozenset(name for name, answer in of_pins.items() if answer.wheel is None),
        uv=own_wheel,
        rattler=answers[key(rattler)].wheel if rattler else None,
        until_s=None if uv.offline else oldest_s + _DAY_S,
    )


class _Asking(Struct, frozen=True, kw_only=True):
    facts: Facts
    uv: Uv
    rattler: Distribution | None
    task: Task
    record: Callable[[IndexWheel], WheelRecord]


def _answers(
    pins: Sequence[Distribution], own: str, asking: _Asking, kept: Kept, *, anew: bool
) -> Mapping[str, Answer]:
    """Return the answers by the keys of pins and tools; ``own`` is the key of the uv here."""
    offline, now = asking.uv.offline, time.time()
    named = question(asking.facts, asking.uv, kept)
    known = {} if anew else read_answers(kept, named, since=0 if offline else now - _DAY_S)
    unknown = [pin for pin in pins if key(pin) not in known]
    wheels = _ask(unknown, asking) if unknown else {}
    if own not in known:
        wheels[own] = _ask_for_tool("uv", asking.uv.version(), asking)
    rattler = asking.rattler
    if rattler and key(rattler) not in known:
        wheels[key(rattler)] = _ask_for_tool(rattler.name, rattler.version, asking)
    answers = {
        name: Answer(wheel=wheel, proved=not offline, asked_at=now)
        for name, wheel in wheels.items()
    }
    if answers and not offline:
        kept.keep_value(named, {**known, **answers})
    return {**known, **answers}


def _ask(pins: Sequence[Distribution], asking: _Asking) -> dict[str, IndexWheel | None]:
    """Return the wheel of each pin, by its key."""
    offers = ask_index(pins, asking.facts, asking.uv, asking.task)
    if asking.uv.offline:
        return {key(pin): with_tags(pin, offers[pin.name]) for pin in pins}
    asking.task.note(f"{counted(len(pins), 'pin')}, comparing their files with the index")
    minor = asking.facts.environment.interpreter.minor
    wheels = prove(pins, offers, record=asking.record, python=minor)
    return {key(pin): wheels[pin.name] for pin in pins}


def _rattler() -> Distribution:
    """Return the py-rattler that is installed beside snapenv.

    Raises:
        LockError: It is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version  # 10 ms, and for conda alone

    try:
        return Distribution(name=_RATTLER, version=version(_RATTLER), origin="index")
    except PackageNotFoundError as error:
        raise LockError(
            f"{_RATTLER}, which installs conda's packages, is not installed beside snapenv",
            hint="Install it: pip install 'snapenv[conda]'.",
        ) from error


def _ask_for_tool(name: str, number: str, asking: _Asking) -> IndexWheel:
    """Return the wheel of a tool for an image, whatever Python the environment has."""
    own = Distribution(name=name, version=number, origin="index")
    environment = asking.facts.environment
    interpreter = replace(environment.interpreter, version=_PYTHON_OF_TOOLS)
    facts = replace(asking.facts, environment=replace(environment, interpreter=interpreter))
    offered = ask_index([own], facts, asking.uv, asking.task)[name]
    if not offered:
        raise LockError(
            f"the index does not have {name} {number}, which is installed beside snapenv",
            hint=f"Install one that it has, with pip install {name} in the environment of snapenv.",
        )
    if asking.uv.offline:
        return offered[0]
    return replace(offered[0], size_bytes=asking.record(offered[0]).size_bytes)


def question(facts: Facts, uv: Uv, kept: Kept) -> str:
    """Name what an answer depends on beside the pin; no credential can be told from it."""
    parts = [
        _FORM,
        sorted(uv.settings.variables.items()),
        uv.settings.config.decode(),
        facts.environment.interpreter.version,
        python_platform(facts),
    ]
    return kept.namer()("answers", json.dumps(parts))


def key(pin: Distribution) -> str:
    """Name a pin with the bytes that are installed."""
    files = pin.files
    bytes_of = (files.recorded or files.sha256) if files else ""
    return f"{pin.name}=={pin.version} {bytes_of}"


def _program_key(program: str) -> str:
    """Name a program as it is now; after an update it has another name."""
    try:
        status = Path(program).stat()
    except OSError:
        return program
    return f"{program} {status.st_size} {status.st_mtime_ns}"


def read_answers(kept: Kept, name: str, *, since: float) -> Mapping[str, Answer]:
    """Return the answers to a question that came ``since`` then, by pin."""
    answers = kept.find_value(name, dict[str, Answer]) or {}
    return {pin: answer for pin, answer in answers.items() if answer.asked_at >= since}
