"""Ask what is about to run, or runs already, whether it still is what its lock says.

A container that was just started from an image is that image, byte for byte; so an image is asked
once, by ``snapenv-check`` inside it, and what it answered is kept by its id. One that a build or a
restore has just proved is not asked at all. An older image holds no such program.
"""

from __future__ import annotations

import contextlib
from hashlib import sha256
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.errors import (
    EngineError,
    InterpreterError,
    NotAsLockedError,
    NotFoundError,
)
from snapenv.json_text import read_json
from snapenv.model.launch import InImage, InVenv
from snapenv.model.snapshot import IMAGE_CHECK, IMAGE_PYTHON

if TYPE_CHECKING:
    from snapenv.model.launch import RunRecord
    from snapenv.ports import Completed, Runs, Services

_NONE = 99  # an exit code that snapenv-check does not have
_ASK = f"[ -x {IMAGE_CHECK} ] || exit {_NONE}; exec {IMAGE_CHECK} --json"
_PREFIX = "snapenv-check: "
_NAMED = 3  # differences in one line


class LockState(Struct, frozen=True, kw_only=True):
    """Whether an environment is as locked; None where that cannot be told."""

    ok: bool | None
    summary: str  # one line


def keep_as_locked(image_id: str, services: Services) -> None:
    """Remember that an image was proved to be as locked."""
    state = LockState(ok=True, summary="proved")
    services.made().keep_value(_name(image_id), state)


def check_before(
    record: RunRecord, repository: str, services: Services, *, strict: bool
) -> tuple[str, ...]:
    """Return what is to be said of an environment before a run starts in it.

    A venv is looked at where ``strict`` asks for it: that takes longer than most runs may wait.

    Raises:
        NotAsLockedError: It is not as locked, or that cannot be told, and ``strict`` wants it.
    """
    place = record.launch.place
    match place:
        case InImage():
            state = _of_image(place, services)
        case InVenv(folder=folder) if strict:
            state = _of_venv(folder, record.ref, repository, services)
        case _:
            return ()
    return _judge(state, record.ref, strict=strict)


def check_running(record: RunRecord, runs: Runs, *, strict: bool) -> tuple[str, ...]:
    """Return what is to be said of a container that runs, and may have changed since.

    Raises:
        NotAsLockedError: As of ``check_before``.
    """
    state = LockState(ok=None, summary="it does not answer")
    with contextlib.suppress(EngineError, NotFoundError):
        state = _read(runs.execute(record.run, ("sh", "-c", _ASK)))
    return _judge(state, record.run, strict=strict)


def _judge(state: LockState, name: str, *, strict: bool) -> tuple[str, ...]:
    if state.ok or (state.ok is None and not strict):
        return ()
    if not strict:
        return (state.summary,)
    raise NotAsLockedError(
        state.summary if state.ok is False else f"{name}: {state.summary}",
        hint="Restore it anew from its snapshot, or leave out --strict.",
    )


def _of_image(place: InImage, services: Services) -> LockState:
    made, name = services.made(), _name(place.id)
    state = made.find_value(name, LockState)
    if state is None:
        with services.progress.task("Asking whether the image is as locked"):
            state = _ask_image(place, services)
        if state.ok is not None:
            made.keep_value(name, state)
    return state


def _ask_image(place: InImage, services: Services) -> LockState:
    image = services.engine.find(place.id)
    if image is None:
        return LockState(ok=None, summary="the image is gone")
    target = services.engine.image_target(image, python=IMAGE_PYTHON, gpus=None)
    try:
        return _read(target.run(("sh", "-c", _ASK)))
    except (EngineError, InterpreterError) as error:
        return LockState(ok=None, summary=error.message)


def _read(done: Completed) -> LockState:
    """Read what snapenv-check answers; an entrypoint may print before."""
    if done.exit_code == _NONE:
        return LockState(ok=None, summary="the image is older than snapenv-check")
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    try:
        state: LockState = read_json(lines[-1], LockState)
    except (IndexError, ValueError):
        return LockState(ok=None, summary=f"snapenv-check ended with {done.exit_code}")
    return LockState(ok=state.ok, summary=state.summary.removeprefix(_PREFIX))


def _of_venv(folder: str, ref: str, repository: str, services: Services) -> LockState:
    """Compare a venv with the snapshot that REF names, reading what has changed since the last."""
    from snapenv.probe.probe import probe  # these take longer than most runs may wait
    from snapenv.steps.snapshots import read_source
    from snapenv.steps.source import resolve_source
    from snapenv.verify.compare import compare_facts

    try:
        snapshot = read_source(
            resolve_source(ref, repository=repository, services=services), services
        )
    except NotFoundError as error:
        return LockState(ok=None, summary=f"nothing says what it was locked as: {error.message}")
    with services.progress.task("Comparing the environment with the lock"):
        target = services.local(f"{folder}/bin/python")
        facts = probe(target, hashes=services.kept("hashes"))
    no = [check for check in compare_facts(snapshot.lock.facts, facts) if check.fails]
    named = "; ".join(f"{each.id}: {each.expected} became {each.actual}" for each in no[-_NAMED:])
    return LockState(ok=not no, summary=f"{snapshot.lock.tag}: not as locked: {named}")


def _name(image_id: str) -> str:
    return sha256(f"as locked {image_id}".encode()).hexdigest()
