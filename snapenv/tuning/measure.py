"""Measure a training of some steps on a target, in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from snapenv.causes import find_cause
from snapenv.errors import BenchError
from snapenv.json_text import read_json
from snapenv.model.bench import BenchRun, BenchStep, Inference
from snapenv.nvidia import advice
from snapenv.travel.answer import TRAINING_ENVIRONMENT, progress_of, read_answer, run, visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from snapenv.model.bench import BenchOptions
    from snapenv.ports import Completed, Target, Task

_MARK = "snapenv-bench: "
_STEP = "snapenv-bench-step: "
_MISSING = {3: "ultralytics is not installed", 4: "torch is not installed"}  # by exit code
_NO_GPU = 6
_TRY = "Train with a smaller batch, or fewer workers."


class Measured(Struct, frozen=True, kw_only=True):
    """A run, and how fast the trained model predicts, where that was asked for."""

    run: BenchRun
    inference: Inference | None = None


class Ended(Struct, frozen=True, kw_only=True):
    """A run that was ended early: the steps until then."""

    steps: tuple[BenchStep, ...]


class _EndError(Exception):
    """No more steps are wanted."""


def measure(
    target: Target, options: BenchOptions, task: Task, *, inference: bool = False
) -> Measured:
    """Train for some steps, and return what was measured.

    Nothing is fetched and nothing stays behind. ``options.data`` is a path over there.

    Raises:
        BenchError: It did not train, or not what was asked for.
        InterpreterError: The target's interpreter cannot be executed.
        EngineError: The container ended before the program did.
    """
    return _measure(target, options, progress_of(_MARK, task), inference=inference)


def measure_while(
    target: Target,
    options: BenchOptions,
    task: Task,
    *,
    goes_on: Callable[[tuple[BenchStep, ...]], bool],
) -> BenchRun | Ended:
    """Train for as long as ``goes_on`` says, which is told the steps until then after each.

    A training that is ended early ends with all that it started.

    Raises:
        BenchError, InterpreterError, EngineError: As of ``measure``.
    """
    steps = list[BenchStep]()
    note = progress_of(_MARK, task)

    def hear(line: str) -> None:
        note(line)
        step = _step_of(line)
        if step:
            steps.append(step)
            if not goes_on(tuple(steps)):
                raise _EndError

    try:
        return _measure(target, options, hear, inference=False).run
    except _EndError:
        return Ended(steps=tuple(steps))


def _step_of(line: str) -> BenchStep | None:
    """Return the step that a line tells of; None of another line, and of one that was cut."""
    _, is_marked, text = line.rpartition(_STEP)
    try:
        return read_json(text, BenchStep) if is_marked else None
    except ValueError:
        return None


def _measure(
    target: Target, options: BenchOptions, hear: Callable[[str], None], *, inference: bool
) -> Measured:
    words = msgspec.json.encode({**msgspec.structs.asdict(options), "inference": inference})
    done = run(
        target,
        "snapenv_bench",
        (words.decode(),),
        environment={**TRAINING_ENVIRONMENT, **visible(options.device)},
        on_line=hear,
    )
    if done.exit_code != 0:
        raise _failure(done, target.python)
    try:
        return read_answer(done.stdout, _MARK, Measured)
    except ValueError as error:
        raise BenchError(
            f"the answer of the bench cannot be read: {error}",
            hint="Report this as a bug, with the output of the command.",
        ) from error


def _failure(done: Completed, python: str) -> BenchError:
    if done.exit_code in _MISSING:
        return BenchError(
            f"{_MISSING[done.exit_code]} in the environment of {python}", hint="Install it there."
        )
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no output"]
    ours = [line.rpartition(_MARK)[2] for line in lines if _MARK in line]
    detail = (ours or lines)[-1]
    cause = find_cause(detail)
    if done.exit_code == _NO_GPU:
        hint = f"{cause.fix} {advice.OR_CPU}" if cause else advice.OR_CPU
        return BenchError(f"torch sees no GPU: {detail}", hint=hint)
    why = f", as {cause.reason}" if cause else ""
    return BenchError(
        f"the training that was to be measured failed with exit code {done.exit_code}{why}: "
        f"{detail}",
        hint=cause.fix if cause else _TRY,
    )
